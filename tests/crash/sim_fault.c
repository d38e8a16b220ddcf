/* sim_fault.c: what every call of the simulated disk passes through: the hook, the armed fault, the trace. */
#include "sim_disk.h"

/* Which faults can happen in which calls. */
static bool sim_fault_fits(sim_fault_kind kind, sim_call call) {
  switch (kind) {
    case SIM_FAULT_read:
      return call == SIM_CALL_read;
    case SIM_FAULT_write:
      return call == SIM_CALL_write || call == SIM_CALL_allocate || call == SIM_CALL_truncate;
    case SIM_FAULT_torn:
    case SIM_FAULT_misdirect:
      return call == SIM_CALL_write;
    case SIM_FAULT_sync:
      return call == SIM_CALL_sync || call == SIM_CALL_sync_dir;
    case SIM_FAULT_lie:
      return call == SIM_CALL_sync || call == SIM_CALL_sync_dir;
    case SIM_FAULT_name:
      return call == SIM_CALL_create || call == SIM_CALL_remove;
    default:
      return false; /* full: by size */
  }
}

void sim_disk_count(sim_disk *d, sim_fault_kind fault, sim_call call, file_kind kind) {
  d->faults++;
  d->world->counts.faults[fault][call][kind]++;
}

int sim_disk_error(sim_disk *d, sim_fault_kind fault, sim_call call, file_kind kind, uint64_t number) {
  sim_disk_count(d, fault, call, kind);
  int status = fault == SIM_FAULT_full ? VARVE_FULL : VARVE_IO;
  bool directory = call == SIM_CALL_sync_dir;
  return status_fail(status, "%s: the simulated disk made %s fail (%s)",
                     directory ? "directory" : file_name(kind, number), sim_call_names[call], sim_fault_names[fault]);
}

/* Whether the armed fault strikes in this call. */
static bool sim_fault_strikes(sim_disk *d, sim_call call) {
  if (d->fault.nth == 0 || !sim_fault_fits(d->fault.kind, call)) return false;
  if (--d->fault.nth > 0) return false;
  d->fault.nth = d->fault.and_later ? 1 : 0;
  return true;
}

/* Every call comes through here first. *strikes = the armed fault happens in it. */
int sim_disk_enter(sim_disk *d, sim_call call, file_kind kind, uint64_t number, bool *strikes) {
  static const uint32_t changing = 1u << SIM_CALL_create | 1u << SIM_CALL_write | 1u << SIM_CALL_allocate |
                                   1u << SIM_CALL_truncate | 1u << SIM_CALL_sync | 1u << SIM_CALL_remove |
                                   1u << SIM_CALL_sync_dir;
  *strikes = false;
  d->calls++;
  d->world->counts.calls++;
  if (d->calls_max != 0 && d->calls > d->calls_max) {
    (void)sim_fail(d->world, "endless", "more than %llu calls of the disk", (unsigned long long)d->calls_max);
    return status_fail(VARVE_IO, "too many calls");
  }
  if (d->before != NULL && (changing & (1u << call)) != 0) d->before(d->context, d, call, false);
  *strikes = sim_fault_strikes(d, call);
  if (!*strikes || d->fault.kind == SIM_FAULT_torn || d->fault.kind == SIM_FAULT_misdirect) return VARVE_OK;
  if (d->fault.kind == SIM_FAULT_sync || d->fault.kind == SIM_FAULT_lie) return VARVE_OK;
  return sim_disk_error(d, d->fault.kind, call, kind, number);
}

/* The call's end: into the trace it goes, with what it did. */
int sim_disk_leave(sim_disk *d, sim_call call, const vfs_file *file, uint64_t offset, uint64_t size, const void *data,
                   int rc) {
  file_kind kind = file == NULL ? FILE_SUPER : file->kind;
  uint64_t number = file == NULL ? 0 : file->number;
  uint64_t what = (uint64_t)call << 32 | (uint64_t)kind << 16 | (uint64_t)(rc & 0xffff);
  sim_trace(d->world, sim_call_names[call], what, number ^ offset << 24, size, data, data == NULL ? 0 : (size_t)size);
  return rc;
}

void sim_disk_arm(sim_disk *d, const sim_fault *fault) {
  d->fault = *fault;
  if (fault->kind != SIM_FAULT_full) return;
  d->room = fault->nth;
  d->fault.nth = 0;
}

void sim_disk_disarm(sim_disk *d) {
  d->fault.nth = 0;
  d->room = UINT64_MAX;
}
