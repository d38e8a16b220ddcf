/* fail_nth.h: what the tests that let the Nth call fail share: a place whose file layer and memory fail on demand, a
 * model of what it must hold, and one run of a scenario with one failure.
 *
 *     golden ──copy──> disk ── fault_vfs ──[vfs_single]── database       setup makes the golden disk once
 *                        │
 *                        ├─ copied when the steps are over: what a process that died here leaves
 *                        └─ after the close
 *
 * Both must open, hold a state that the contract permits, verify, take writes, and open again.
 *
 * Which states: `sure` has every acknowledged commit and no other. A commit that failed is nowhere, but for the one
 * that made the database read-only (an error of a sync, FAILED from then on): that one is there whole or not at all.
 *
 * The clock and the random numbers are the run's own, so a run with the same N is the same run.
 */
#ifndef VARVE_FAIL_NTH_H
#define VARVE_FAIL_NTH_H

#include "unit/api/engine_bed.h"

#include "support/fault_vfs.h"

#ifdef __linux__
#include <malloc.h>
#endif

enum { NTH_SPACES = 3, NTH_KEYS = 24, NTH_VALUE = 120, NTH_VALUE_MAX = 8000 };

typedef enum nth_layout { NTH_DIRECTORY, NTH_MAPPED, NTH_SINGLE, NTH_LAYOUTS } nth_layout;
static const char *const nth_layout_names[NTH_LAYOUTS] = {"directory", "mapped", "single"};

typedef struct nth_state {
  bool exists[NTH_SPACES];
  uint8_t turn[NTH_SPACES][NTH_KEYS]; /* of the value of each key, 0 = absent */
} nth_state;

typedef struct nth_mode {
  const char *name;
  bool memory;      /* allocations fail, not calls of the file layer */
  bool may_be_none; /* a scenario may have no such call */
  fault_rule rule;
  bool part_once;        /* see fault_vfs */
  uint64_t every, first; /* N = first, first + every ...; 0 = all */
} nth_mode;

typedef struct nth_run nth_run;

typedef struct nth_scenario {
  const char *name;
  void (*setup)(nth_run *run); /* without failures; NULL = the place is empty */
  void (*body)(nth_run *run);
  void (*after)(nth_run *run); /* failures are off: what the scenario alone knows. May be NULL */
  bool opens;                  /* the body opens the database, too */
  bool kills;                  /* setup ends like a process that dies */
  bool at_target;              /* it is the second place that fails */
  bool no_place;               /* the first place is the business of `after` */
  size_t value_size;           /* 0 = NTH_VALUE */
  uint32_t sync_interval_ms;   /* 0 = never by itself */
} nth_scenario;

struct nth_run {
  const nth_scenario *scenario;
  const nth_mode *mode;
  nth_layout layout;
  uint64_t nth;
  fault_vfs *f, *target; /* over `disk` and `target_disk` */
  vfs *golden, *golden_target;
  rng random;
  uint64_t now_us;
  bool armed;
  uint64_t memory_calls; /* while it is not armed */
  varve_db *db;
  varve_keyspace *space[NTH_SPACES];
  nth_state sure, maybe, golden_state;
  bool has_maybe, was_failed, surfaced;
  bool calm;         /* no call may fail */
  uint64_t met_seen; /* failures that earlier calls met */
  uint8_t turn, golden_turn;
};

/* ---- memory ---- */

static test_allocator nth_memory;
static allocator nth_disk_memory;

/* Handles of closed databases are remembered, so they do not count. */
static bool nth_is_shell(size_t size) {
  return size == sizeof(varve_db) || size == sizeof(varve_keyspace);
}

static int64_t nth_pieces;

/* The process's allocator and every database's is this one. */
static void *nth_resize(allocator *self, void *ptr, size_t old_size, size_t new_size) {
  void *result = nth_memory.base.resize(&nth_memory.base, ptr, old_size, new_size);
  if (new_size > 0 && result == NULL) return NULL;
  atomic_fetch_add(&self->used, new_size);
  atomic_fetch_sub(&self->used, old_size);
  nth_pieces += new_size > 0 && !nth_is_shell(new_size);
  nth_pieces -= old_size > 0 && !nth_is_shell(old_size);
  return result;
}

static inline void nth_begin(void) {
  test_allocator_init(&nth_memory);
  allocator_init_libc(&nth_disk_memory);
  api_allocator()->resize = nth_resize;
#ifdef M_MMAP_THRESHOLD
  (void)mallopt(M_MMAP_THRESHOLD, 64 << 20); /* disks come and go: their memory is kept */
  (void)mallopt(M_TRIM_THRESHOLD, 256 << 20);
#endif
}

/* ---- failures ---- */

static inline uint64_t nth_met(const nth_run *run) {
  if (run->mode->memory) return atomic_load(&nth_memory.failures);
  return atomic_load(&(run->scenario->at_target ? run->target : run->f)->failed);
}

static inline void nth_fail_at(const nth_run *run, const char *what, const char *more) {
  fail_msg("%s, %s, %s, N = %llu: %s: %s", nth_layout_names[run->layout], run->scenario->name, run->mode->name,
           (unsigned long long)run->nth, what, more);
}

/* Calls count from here on, or do not. */
static inline void nth_arm(nth_run *run, bool armed) {
  fault_vfs *f = run->scenario->at_target ? run->target : run->f;
  if (run->armed == armed) return;
  run->armed = armed;
  if (!run->mode->memory) {
    f->rule.nth = armed ? run->nth : 0;
    return;
  }
  if (armed) {
    atomic_store(&nth_memory.calls, run->memory_calls);
    nth_memory.fail_on = run->mode->rule.and_later;
    nth_memory.fail_at = run->nth;
  } else {
    run->memory_calls = atomic_load(&nth_memory.calls);
    nth_memory.fail_at = 0;
  }
}

/* The outcome of a call that may have met the failure: true = it was done. A failure has the injected status, or is
 * FAILED after a final one, and says what it met; and no call fails for what an earlier one met. */
static inline bool nth_done(nth_run *run, int rc, const char *call) {
  uint64_t met = nth_met(run), seen = run->met_seen;
  run->met_seen = met;
  run->was_failed = run->db != NULL && atomic_load(&run->db->lsm->failed) != 0;
  if (rc >= 0) return true;
  char more[STATUS_MESSAGE_SIZE + 64];
  const char *says = varve_errmsg(NULL);
  snprintf(more, sizeof more, "%s (%s)", varve_status_name(rc), says);
  if (met == 0 || run->calm) nth_fail_at(run, call, more);
  bool final = rc == VARVE_FAILED && run->was_failed;
  bool kept = run->layout == NTH_SINGLE && strstr(says, "because a sync failed") != NULL; /* the one file's */
  if (!final && rc != run->mode->rule.status) nth_fail_at(run, call, more);
  if (!final && !kept && met == seen) nth_fail_at(run, "an old failure came again", more);
  if (strstr(says, run->mode->memory ? "memory" : "injected") == NULL) nth_fail_at(run, "the message", more);
  run->surfaced = true;
  return false;
}

/* A call after the failures. */
static inline void nth_ok_at(const nth_run *run, int rc, const char *call, int line) {
  char more[STATUS_MESSAGE_SIZE + 64];
  if (rc >= 0) return;
  snprintf(more, sizeof more, "line %d: %s (%s)", line, varve_status_name(rc), varve_errmsg(NULL));
  nth_fail_at(run, call, more);
}
#define NTH_OK(run, expr) nth_ok_at((run), (expr), #expr, __LINE__)

/* ---- places ---- */

/* The fault_vfs lives as long as the run, and so does its disk. */
static int nth_keep(vfs *fs) {
  (void)fs;
  return VARVE_OK;
}

static vfs_ops nth_ops;

static inline fault_vfs *nth_place(vfs *disk) {
  fault_vfs *f;
  TEST_OK(fault_vfs_open(disk, &f));
  nth_ops = *f->base.ops;
  nth_ops.close_fs = nth_keep;
  f->base.ops = &nth_ops;
  return f;
}

static inline vfs *nth_new_disk(void) {
  vfs *disk;
  TEST_OK(vfs_mem_open(&nth_disk_memory, &disk));
  return disk;
}

/* The size without the zeros at the end, in steps. */
static inline size_t nth_used(const uint8_t *bytes, size_t size) {
  static const uint8_t zeros[4096];
  while (size > 0) {
    size_t step = size % sizeof zeros == 0 ? sizeof zeros : size % sizeof zeros;
    if (memcmp(bytes + size - step, zeros, step) != 0) break;
    size -= step;
  }
  return size;
}

static inline int nth_copy_visit(void *context, file_kind kind, uint64_t number, uint64_t size) {
  vfs **fs = context;
  vfs_file *from, *to;
  TEST_OK(vfs_open(fs[0], kind, number, 0, &from));
  TEST_OK(vfs_open(fs[1], kind, number, VFS_CREATE, &to));
  void *bytes = NULL;
  bool mapped = size > 0 && vfs_map(from, (size_t)size, false, &bytes) >= 0; /* it may have grown while it was mapped */
  if (!mapped) {
    bytes = mem_alloc(&nth_disk_memory, (size_t)size + 1);
    assert_non_null(bytes);
    TEST_OK(vfs_read_exact(from, 0, bytes, (size_t)size));
  }
  size_t used = nth_used(bytes, (size_t)size);
  if (size > 0) TEST_OK(vfs_allocate(to, size));
  if (used > 0) TEST_OK(vfs_write_at(to, 0, bytes, used));
  if (mapped) {
    TEST_OK(vfs_unmap(from, bytes, (size_t)size));
  } else {
    mem_free(&nth_disk_memory, bytes, (size_t)size + 1);
  }
  TEST_OK(vfs_close(from));
  TEST_OK(vfs_close(to));
  return 0;
}

/* What is on `disk` now, as another disk. */
static inline vfs *nth_copy_disk(vfs *disk) {
  vfs *fs[2] = {disk, nth_new_disk()};
  TEST_OK(vfs_list(disk, nth_copy_visit, fs));
  return fs[1];
}

static nth_run *nth_current;

static uint64_t nth_now_us(env *e) {
  (void)e;
  return nth_current->now_us += 400;
}

static void nth_random(env *e, void *data, size_t size) {
  (void)e;
  test_fill(&nth_current->random, data, size);
}

static uint64_t nth_memory_total(env *e) {
  (void)e;
  return UINT64_C(1) << 30;
}

/* An env over a place, locked. */
static inline int nth_env(nth_run *run, fault_vfs *f, uint32_t flags, env **out) {
  vfs *fs = &f->base;
  *out = NULL;
  bool reads = (flags & VFS_PLACE_READ_ONLY) != 0;
  fs->traits = (f->inner->traits & ~(VFS_MAP_READ | VFS_MAP_WRITE)) | (reads ? VFS_READ_ONLY : 0u);
  if (run->layout != NTH_DIRECTORY) fs->traits |= VFS_MAP_READ | VFS_MAP_WRITE;
  env *e = MEM_NEW(api_allocator(), env);
  if (e == NULL) return mem_fail(sizeof *e, "an env");
  int opened = run->layout == NTH_SINGLE ? vfs_single_open(api_allocator(), fs, flags, &fs) : VARVE_OK;
  if (opened < 0) {
    MEM_DELETE(api_allocator(), e);
    return opened;
  }
  *e = (env){.fs = fs, .alloc = api_allocator(), .now_us = nth_now_us, .random = nth_random};
  e->memory_total = nth_memory_total;
  int rc = vfs_lock(fs, 0);
  if (rc >= 0) *out = e;
  if (rc >= 0) return rc;
  char message[STATUS_MESSAGE_SIZE];
  status_keep_message(message);
  (void)env_close(e);
  status_set_message(message);
  return rc;
}

static inline varve_options nth_options(const nth_run *run) {
  varve_options o = {.no_thread = true, .memtable_bytes = 1, .table_bytes = 1, .block_bytes = 1, .l0_runs = 2};
  o.level_fanout = 2;
  o.sync_interval_ms = run->scenario->sync_interval_ms == 0 ? 1000000 : run->scenario->sync_interval_ms;
  o.no_mmap = run->layout == NTH_DIRECTORY;
  return o;
}

static inline int nth_try_open(nth_run *run, fault_vfs *f, bool read_only, varve_db **db) {
  env *e;
  varve_options o = nth_options(run);
  o.read_only = read_only;
  *db = NULL;
  TRY(nth_env(run, f, read_only ? VFS_PLACE_READ_ONLY : VFS_PLACE_CREATE, &e));
  return api_open(e, &o, db);
}

/* Nothing is open, locked, or held in memory. */
static inline void nth_check_released(const nth_run *run, const char *when) {
  const fault_vfs *places[2] = {run->f, run->target};
  for (int i = 0; i < 2; i++) {
    if (atomic_load(&places[i]->files_open) != 0) nth_fail_at(run, when, "files are still open");
    if (atomic_load(&places[i]->locks_held) != 0) nth_fail_at(run, when, "the lock is still held");
  }
  if (nth_pieces != 0) nth_fail_at(run, when, "memory is still held");
}

/* ---- the model, compared with what is there ---- */

static const char *const nth_space_names[NTH_SPACES] = {"", "alpha", "beta"};

static inline size_t nth_value_size(const nth_run *run) {
  return run->scenario->value_size == 0 ? NTH_VALUE : run->scenario->value_size;
}

/* The first byte is the turn; the rest depends on everything. */
static inline varve_slice nth_value(const nth_run *run, uint8_t *bytes, int space, uint32_t i, uint8_t turn) {
  rng r = {((uint64_t)turn << 32) | (uint64_t)space << 16 | i};
  size_t size = nth_value_size(run);
  for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
    uint64_t word = rng_next(&r);
    memcpy(bytes + at, &word, MIN(sizeof word, size - at));
  }
  bytes[0] = turn;
  varve_slice value = {bytes, size};
  return value;
}

/* The turn of a value of key i, which must be one that was written. */
static inline uint8_t nth_turn_of(const nth_run *run, int space, uint32_t i, varve_slice value) {
  static uint8_t bytes[NTH_VALUE_MAX];
  uint8_t turn = value.size > 0 ? *(const uint8_t *)value.data : 0;
  varve_slice wanted = nth_value(run, bytes, space, i, turn);
  bool right = turn > 0 && turn <= run->turn && value.size == wanted.size;
  if (!right || memcmp(value.data, wanted.data, wanted.size) != 0) nth_fail_at(run, "read", "a value of nobody");
  return turn;
}

static inline uint32_t nth_key_number(const nth_run *run, varve_slice key) {
  char text[32];
  for (uint32_t i = 0; i < NTH_KEYS; i++) {
    varve_slice wanted = bed_key(text, i);
    if (key.size == wanted.size && memcmp(key.data, wanted.data, wanted.size) == 0) return i;
  }
  nth_fail_at(run, "read", "a key that nobody wrote");
  return 0;
}

/* One keyspace, forward, then backward, then key by key. */
static inline int nth_read_space(nth_run *run, varve_db *db, int s, const varve_snapshot *snapshot, uint8_t *turns) {
  varve_keyspace *space = NULL;
  varve_iter *it;
  uint8_t back[NTH_KEYS] = {0};
  char text[32];
  memset(turns, 0, NTH_KEYS);
  if (s > 0) TRY(varve_keyspace_open(db, VARVE_STR(nth_space_names[s]), &space));
  varve_iter_options io = {.keyspace = space, .snapshot = snapshot};
  varve_read_options ro = {.keyspace = space, .snapshot = snapshot};
  TRY(varve_iter_open(db, &io, &it));
  int rc = varve_iter_first(it);
  for (uint32_t last = 0; rc == VARVE_OK; rc = varve_iter_next(it)) {
    uint32_t i = nth_key_number(run, varve_iter_key(it));
    if (i < last) nth_fail_at(run, "read", "keys out of order");
    turns[i] = nth_turn_of(run, s, i, varve_iter_value(it));
    last = i + 1;
  }
  if (rc >= 0) rc = varve_iter_last(it);
  for (; rc == VARVE_OK; rc = varve_iter_prev(it)) {
    uint32_t i = nth_key_number(run, varve_iter_key(it));
    back[i] = nth_turn_of(run, s, i, varve_iter_value(it));
  }
  varve_iter_close(it);
  if (rc < 0) return rc;
  if (memcmp(turns, back, NTH_KEYS) != 0) nth_fail_at(run, "read", "backward is not forward");
  for (uint32_t i = 0; i < NTH_KEYS; i++) {
    varve_value v;
    rc = varve_get(db, bed_key(text, i), &ro, &v);
    if (rc < 0) return rc;
    varve_slice got = {v.data, v.size};
    uint8_t turn = rc == VARVE_OK ? nth_turn_of(run, s, i, got) : 0;
    if (rc == VARVE_OK) varve_value_release(&v);
    if (turn != turns[i]) nth_fail_at(run, "read", "a get and an iterator do not agree");
  }
  return VARVE_OK;
}

static inline int nth_list_visit(void *context, varve_slice name) {
  nth_state *state = context;
  for (int s = 1; s < NTH_SPACES; s++) {
    if (name.size != strlen(nth_space_names[s]) || memcmp(name.data, nth_space_names[s], name.size) != 0) continue;
    state->exists[s] = true;
    return 0;
  }
  return 1;
}

static inline int nth_read(nth_run *run, varve_db *db, nth_state *out) {
  memset(out, 0, sizeof *out);
  out->exists[0] = true;
  TRY(varve_keyspace_list(db, nth_list_visit, out));
  for (int s = 0; s < NTH_SPACES; s++) {
    if (out->exists[s]) TRY(nth_read_space(run, db, s, NULL, out->turn[s]));
  }
  return VARVE_OK;
}

static inline void nth_state_text(const nth_state *state, char text[256]) {
  size_t n = 0;
  for (int s = 0; s < NTH_SPACES; s++) {
    if (!state->exists[s]) continue;
    for (int i = 0; i < NTH_KEYS; i++) n += (size_t)snprintf(text + n, 256 - n, "%x.", state->turn[s][i]);
    n += (size_t)snprintf(text + n, 256 - n, "|");
  }
}

/* `found` is a state that may be there. */
static inline void nth_compare(const nth_run *run, const nth_state *found, const char *when) {
  if (memcmp(found, &run->sure, sizeof *found) == 0) return;
  if (run->has_maybe && memcmp(found, &run->maybe, sizeof *found) == 0) return;
  char have[256], want[256], text[600];
  nth_state_text(found, have);
  nth_state_text(&run->sure, want);
  snprintf(text, sizeof text, "found %s, expected %s%s", have, want, run->has_maybe ? " or the last one too" : "");
  nth_fail_at(run, when, text);
}

#endif
