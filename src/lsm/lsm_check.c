/* lsm_check.c: reads every byte that the database relies on, and compares what says the same thing twice.
 *
 * Tables are those of one view, so reads and writes go on meanwhile; manifest and logs are read with the stepper and
 * committers held off. A problem does not end the check: the report counts them all and keeps the first one's
 * message.
 */
#include "lsm/lsm_int.h"

static_assert(sizeof(((varve_verify_report *)0)->first) == STATUS_MESSAGE_SIZE, "a report holds a message");

typedef struct checker {
  lsm *lsm;
  varve_verify_report *report;
  varve_progress progress;
  void *context;
  uint64_t total;
} checker;

/* Counts a problem; failures that are none of the data (NOMEM, IO) end the check. */
static int check_found(checker *c, int rc) {
  if (rc != VARVE_CORRUPT && rc != VARVE_NEWER_FORMAT && rc != VARVE_MISSING) return rc;
  if (c->report->errors++ == 0) status_keep_message(c->report->first);
  return VARVE_OK;
}

static int check_progress(checker *c) {
  if (c->progress == NULL || c->progress(c->context, MIN(c->report->bytes, c->total), c->total) == 0) return VARVE_OK;
  return status_fail(VARVE_ABORTED, "the check was stopped by its caller");
}

/* The manifest's idea of a table against the table's own. */
static int check_meta(const table_meta *m, const table *t, uint64_t entries) {
  sst_summary s;
  table_summary(t, &s);
  bool same = s.entries == m->entries && entries == m->entries && s.tombstones == m->tombstones &&
              s.range_tombstones == m->range_tombstones && s.seq_min == m->seq_min && s.seq_max == m->seq_max &&
              slice_equal(s.smallest, m->smallest) && slice_equal(s.largest, m->largest) &&
              s.largest_exclusive == m->largest_exclusive;
  if (same) return VARVE_OK;
  return status_fail(VARVE_CORRUPT, "%s and the manifest do not agree on what is in it",
                     file_name(FILE_SST, m->number));
}

static int check_table(checker *c, table_meta *meta) {
  table *t;
  uint64_t blocks = 0, entries = 0;
  TRY(table_cache_get(c->lsm, meta, &t));
  TRY(table_verify(t, &blocks, &entries));
  TRY(check_meta(meta, t, entries));
  c->report->files++;
  c->report->blocks += blocks;
  c->report->entries += entries;
  return VARVE_OK;
}

static int check_tables(checker *c, const version *v) {
  for (uint32_t level = 0; level < LEVELS; level++) {
    for (uint32_t i = 0; i < v->level[level].count; i++) {
      table_meta *meta = v->level[level].tables[i];
      TRY(check_found(c, check_table(c, meta)));
      c->report->bytes += meta->size;
      TRY(check_progress(c));
    }
  }
  return VARVE_OK;
}

/* SUPER and the manifest, as the next open would read them. step_lock held. */
static int check_manifest(checker *c) {
  lsm *l = c->lsm;
  super root;
  /* What failed to be written, or to be acted on, may be there: then the next open decides. */
  bool failed = atomic_load(&l->failed) != 0, unsure = failed || l->manifest == NULL;
  TRY(super_read(l->env, &root));
  if (!failed && (root.manifest != l->root.manifest || root.generation != l->root.generation)) {
    return status_fail(VARVE_CORRUPT, "SUPER is not what was written last: it names %s",
                       file_name(FILE_MANIFEST, root.manifest));
  }
  if (root.mate == SUPER_MATE_BROKEN) {
    unsigned slot = 1 - (unsigned)(root.generation & 1);
    TRY(check_found(c, status_fail(VARVE_CORRUPT,
                                   "SUPER is damaged at offset %u: this slot is not whole; the other one is, and the "
                                   "next open for writing mends it",
                                   slot * SUPER_SLOT_SIZE)));
  }
  manifest_state state;
  uint64_t end;
  bool torn;
  TRY(manifest_load(l->env, &root, &state, &end, &torn));
  const version *now = atomic_load(&l->view)->current;
  bool same = unsure || end == manifest_size(l->manifest);
  for (uint32_t level = 0; level < LEVELS; level++) {
    same = same && (unsure || state.current->level[level].count == now->level[level].count);
  }
  pin_unref(&state.current->pin);
  c->report->files += 2;
  c->report->bytes += end + (uint64_t)2 * SUPER_SLOT_SIZE;
  if (same) return VARVE_OK;
  return status_fail(VARVE_CORRUPT, "%s does not hold what was written to it", file_name(FILE_MANIFEST, root.manifest));
}

static int check_log(checker *c, uint64_t file, uint64_t end_wanted) {
  wal_header h;
  wal_reader *r;
  wal_frame frame;
  int rc = wal_reader_open(c->lsm->env, file, &h, &r);
  if (rc == VARVE_DONE) {
    return status_fail(VARVE_CORRUPT, "%s is damaged at offset 0: it has no log header", file_name(FILE_WAL, file));
  }
  TRY(rc);
  uint64_t entries = 0;
  while ((rc = wal_reader_next(r, &frame)) == VARVE_OK) {
    reader bytes = reader_of(frame.body);
    batch_op op;
    uint32_t count = 0;
    while ((rc = batch_read(&bytes, &op)) == 1) count++;
    if (rc == 0 && count == frame.count) {
      entries += count;
      continue;
    }
    rc = status_fail(VARVE_CORRUPT, "%s is damaged at offset %llu: the operations of the frame cannot be read",
                     file_name(FILE_WAL, file), (unsigned long long)frame.offset);
    break;
  }
  uint64_t end = wal_reader_end(r);
  wal_reader_close(r);
  if (rc < 0) return rc;
  if (end < end_wanted) {
    return status_fail(VARVE_CORRUPT, "%s is damaged at offset %llu: %llu bytes of commits follow that cannot be read",
                       file_name(FILE_WAL, file), (unsigned long long)end, (unsigned long long)(end_wanted - end));
  }
  c->report->files++;
  c->report->bytes += end;
  c->report->entries += entries;
  return VARVE_OK;
}

/* commit_lock and step_lock held: no log is begun, recycled or written. */
static int check_logs(checker *c) {
  lsm *l = c->lsm;
  for (uint32_t i = 0; i < l->log_count; i++) {
    uint64_t end = l->logs[i].wal == NULL ? 0 : wal_end(l->logs[i].wal);
    TRY(check_found(c, check_log(c, l->logs[i].file, end)));
  }
  if (l->wal == NULL) return VARVE_OK; /* read-only: all of them are in the list */
  return check_found(c, check_log(c, wal_file_number(l->wal), wal_end(l->wal)));
}

INTERNAL int lsm_verify(lsm *l, varve_verify_report *report, varve_progress progress, void *context) {
  memset(report, 0, sizeof *report);
  checker c = {l, report, progress, context, 0};
  view *v = view_pin(l);
  for (uint32_t level = 0; level < LEVELS; level++) c.total += v->current->level[level].bytes;
  int rc = check_tables(&c, v->current);
  pin_unref(&v->pin);
  if (rc >= 0) {
    mutex_lock(&l->commit_lock);
    mutex_lock(&l->step_lock);
    rc = check_found(&c, check_manifest(&c));
    if (rc >= 0) rc = check_logs(&c);
    mutex_unlock(&l->step_lock);
    mutex_unlock(&l->commit_lock);
  }
  if (rc < 0) return rc;
  return report->errors == 0 ? VARVE_OK : status_fail(VARVE_CORRUPT, "%s", report->first);
}
