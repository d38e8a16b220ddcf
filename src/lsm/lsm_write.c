/* lsm_write.c: the way of a commit: room, log, memtable, publication; and what logs need: rotation, syncs, recycling.
 *
 *   commit_lock { make room → reserve memory → append one frame to the log → apply to the memtable →
 *                 publish the last sequence }
 *   STRICT: then wait until the log is on stable storage that far. Whoever gets sync_lock syncs for all that came
 *           before it.
 *
 * Invariants
 *   1. After the append nothing can fail: memory was reserved before, so log and memtable never differ.
 *   2. Logs are synced in their order; what a strict commit waits for includes every older log.
 *   3. A commit is visible to other threads before a strict one returns, as in Pebble; if its sync then fails the
 *      database is read-only and the commit's caller is told.
 */
#include "lsm/lsm_int.h"
#include "lsm/wal_format.h"

#define WRITE_CLOCK_COMMITS 64 /* without a thread: commits between looks at the clock */
#define WRITE_CUT_BYTES     (64 * KiB)
#define WRITE_SHARE         4 /* without a thread: background bytes per byte committed */

INTERNAL uint64_t lsm_log_size(const lsm *l) {
  return align_up(l->options.memtable_bytes + WAL_CHUNK_BYTES, WAL_CHUNK_BYTES);
}

/* ---- applying ---- */

INTERNAL int lsm_reserve(memtable *mt, slice ops, uint32_t count) {
  return memtable_reserve(mt, ops.size, count);
}

INTERNAL void lsm_apply(memtable *mt, slice ops, uint64_t seq) {
  reader r = reader_of(ops);
  batch_op op;
  int rc;
  while ((rc = batch_read(&r, &op)) == 1) {
    if (op.kind == KIND_RANGE_DELETE) {
      memtable_delete_range(mt, seq, op.key, op.value);
    } else {
      memtable_add(mt, seq, op.kind, op.key, op.value);
    }
    seq++;
  }
  ASSERT(rc == 0);
}

/* ---- logs ---- */

/* Takes away the file of a log that did not come to be: its header may be whole, and the next try has the same
 * number. */
static int write_drop_log(lsm *l, uint64_t file, int rc) {
  char message[STATUS_MESSAGE_SIZE];
  status_keep_message(message);
  int gone = vfs_remove(l->env->fs, FILE_WAL, file);
  if (gone < 0 && gone != VARVE_MISSING) return lsm_fail(l, gone);
  atomic_store(&l->names_unsynced, true);
  status_set_message(message);
  return rc;
}

/* A file for the next log: a spare if there is one. */
static int write_new_log(lsm *l, wal_header *h, wal_writer **wal) {
  old_log spare = {0};
  mutex_lock(&l->state_lock);
  if (l->spare_count > 0) spare = l->spares[--l->spare_count];
  mutex_unlock(&l->state_lock);
  uint64_t file = spare.file != 0 ? spare.file : lsm_new_number(l);
  int rc = wal_create(l->env, file, spare.file != 0, h, 0, wal); /* it grows as it must */
  if (rc == VARVE_OK && spare.file == 0) atomic_store(&l->names_unsynced, true);
  if (rc == VARVE_EXISTS) return rc; /* then it is not ours */
  return rc < 0 ? write_drop_log(l, file, rc) : rc;
}

INTERNAL int lsm_rotate(lsm *l) {
  memtable *fresh = NULL;
  wal_writer *wal = NULL;
  view *next = NULL;
  int rc = VARVE_OK;
  uint64_t log = wal_log_number(l->wal);
  wal_header h = {
      .log = log + 1, .log_before = log, .end_before = wal_end(l->wal), .next_seq = atomic_load(&l->last_seq) + 1};
  TRY(memtable_create(&l->chunks.base, &fresh));
  memtable_begin_at(fresh, h.next_seq);
  STEP(view_create(l, &next));
  STEP(write_new_log(l, &h, &wal)); /* the last that can fail */
  mutex_lock(&l->state_lock);
  const view *v = atomic_load(&l->view); /* not released while state_lock is held */
  memtable *immutable[IMMUTABLES_MAX];
  ASSERT(v->immutable_count < IMMUTABLES_MAX && l->log_count < OLD_LOGS_MAX);
  immutable[0] = v->active;
  for (uint32_t i = 0; i < v->immutable_count; i++) immutable[i + 1] = v->immutable[i];
  for (uint32_t i = v->immutable_count; i > 0; i--) l->memtable_log[i] = l->memtable_log[i - 1];
  l->memtable_log[0] = l->active_log;
  view_install(l, next, fresh, immutable, v->immutable_count + 1, v->current);
  next = NULL;
  rc = wal_seal(l->wal); /* full: its map is memory that nobody needs */
  l->logs[l->log_count++] = (old_log){l->wal, log, wal_file_number(l->wal), wal_allocated(l->wal), false};
  l->wal = wal;
  l->active = fresh;
  /* The full memtable goes to a table next, which makes its log's tail durable sooner than syncing both would. */
  if (l->thread_running) atomic_store(&l->sync_due, false);
  l->active_log = h.log;
  mutex_unlock(&l->state_lock);
  work_wake(l);
out:
  view_discard(l, next);
  pin_unref(memtable_pin(fresh));
  return rc;
}

/* The unsynced logs, oldest first, the current one last. sync_lock held: none of them is closed. */
static uint32_t write_unsynced_logs(lsm *l, old_log *list) {
  uint32_t count = 0;
  mutex_lock(&l->state_lock);
  for (uint32_t i = 0; i < l->log_count; i++) {
    if (!l->logs[i].synced) list[count++] = l->logs[i];
  }
  list[count++] = (old_log){.wal = l->wal, .log = wal_log_number(l->wal)};
  mutex_unlock(&l->state_lock);
  return count;
}

static void write_mark_synced(lsm *l, uint64_t log) {
  mutex_lock(&l->state_lock);
  for (uint32_t i = 0; i < l->log_count; i++) {
    if (l->logs[i].log == log) l->logs[i].synced = true;
  }
  mutex_unlock(&l->state_lock);
}

/* A log that recovery found has no writer any more. */
static int write_sync_log(lsm *l, const old_log *log) {
  if (log->wal != NULL) return wal_sync(log->wal);
  vfs_file *file;
  TRY(vfs_open(l->env->fs, FILE_WAL, log->file, VFS_WRITE, &file));
  int rc = vfs_sync(file);
  ALSO(vfs_close(file));
  return rc;
}

/* sync_lock held. */
static int write_sync_locked(lsm *l) {
  old_log list[OLD_LOGS_MAX + 1];
  TRY(lsm_check_failed(l));
  atomic_store(&l->sync_due, false);
  uint32_t count = write_unsynced_logs(l, list);
  if (atomic_exchange(&l->names_unsynced, false)) {
    int rc = vfs_sync_dir(l->env->fs);
    if (rc < 0) return lsm_fail(l, rc);
  }
  for (uint32_t i = 0; i < count; i++) {
    if (list[i].wal != NULL && wal_synced(list[i].wal) == wal_end(list[i].wal)) continue;
    int rc = write_sync_log(l, &list[i]);
    if (rc < 0) return lsm_fail(l, rc);
    atomic_fetch_add(&l->counters.syncs, 1);
  }
  for (uint32_t i = 0; i + 1 < count; i++) write_mark_synced(l, list[i].log);
  return VARVE_OK;
}

INTERNAL int lsm_sync_logs(lsm *l) {
  mutex_lock(&l->sync_lock);
  int rc = write_sync_locked(l);
  mutex_unlock(&l->sync_lock);
  return rc;
}

INTERNAL int lsm_sync_header(lsm *l, uint64_t log) {
  old_log found = {.synced = true};
  mutex_lock(&l->sync_lock); /* the log is not closed meanwhile */
  mutex_lock(&l->state_lock);
  if (wal_log_number(l->wal) == log) found.wal = l->wal;
  for (uint32_t i = 0; i < l->log_count; i++) {
    if (l->logs[i].log == log) found = l->logs[i];
  }
  mutex_unlock(&l->state_lock);
  int rc = VARVE_OK;
  if (found.wal != NULL) {
    rc = wal_sync_header(found.wal);
  } else if (!found.synced) {
    rc = write_sync_log(l, &found); /* one that recovery found: whoever wrote it may have died before any sync */
  }
  mutex_unlock(&l->sync_lock);
  return rc < 0 ? lsm_fail(l, rc) : rc;
}

/* Waits until log `log` is durable up to `end`, syncing unless somebody did in the meantime. */
static int write_sync_to(lsm *l, uint64_t log, uint64_t end) {
  mutex_lock(&l->sync_lock);
  mutex_lock(&l->state_lock);
  bool done = log == wal_log_number(l->wal) && !atomic_load(&l->names_unsynced) && wal_synced(l->wal) >= end;
  for (uint32_t i = 0; done && i < l->log_count; i++) done = l->logs[i].synced;
  mutex_unlock(&l->state_lock);
  int rc = done ? lsm_check_failed(l) : write_sync_locked(l);
  mutex_unlock(&l->sync_lock);
  return rc;
}

INTERNAL int lsm_sync(lsm *l) {
  if (l->options.read_only) return VARVE_OK;
  return lsm_sync_logs(l);
}

INTERNAL int lsm_mark_spare(lsm *l, uint64_t file_number) {
  static const uint8_t mark = WAL_SPARE;
  vfs_file *file;
  TRY(vfs_open(l->env->fs, FILE_WAL, file_number, VFS_WRITE, &file));
  int rc = vfs_write_at(file, WAL_SPARE_AT, &mark, sizeof mark);
  ALSO(vfs_close(file));
  return rc;
}

INTERNAL int lsm_retire_logs(lsm *l, uint64_t log_min) {
  int rc = VARVE_OK;
  mutex_lock(&l->sync_lock);
  for (;;) {
    old_log log = {0};
    bool keep = false;
    mutex_lock(&l->state_lock);
    if (l->log_count > 0 && l->logs[0].log < log_min) {
      log = l->logs[0];
      l->log_count--;
      memmove(&l->logs[0], &l->logs[1], l->log_count * sizeof l->logs[0]);
      keep = l->spare_count < SPARE_LOGS_MAX && log.size <= 2 * lsm_log_size(l);
    }
    mutex_unlock(&l->state_lock);
    if (log.file == 0) break;
    ALSO(wal_close(log.wal));
    if (!keep) {
      ALSO(vfs_remove(l->env->fs, FILE_WAL, log.file));
      continue;
    }
    ALSO(lsm_mark_spare(l, log.file));
    mutex_lock(&l->state_lock);
    l->spares[l->spare_count++] = (old_log){NULL, 0, log.file, log.size, true};
    mutex_unlock(&l->state_lock);
  }
  mutex_unlock(&l->sync_lock);
  return rc;
}

/* ---- commits ---- */

/* commit_lock held. */
static int write_commit(lsm *l, const batch *b, lsm_precondition *condition) {
  TRY(lsm_check_failed(l));
  if (condition != NULL && condition->check != NULL) {
    int holds = condition->check(condition->context, l);
    if (holds != VARVE_OK) return holds;
  }
  memtable *mt = l->active;
  uint64_t held = memtable_entries(mt) + memtable_range_deletes(mt);
  /* A long log that was just replayed is left as it is: to write on in it would take a cut and a sync of all of it. */
  bool apart = wal_is_uncut(l->wal) && wal_end(l->wal) > WRITE_CUT_BYTES;
  if (UNLIKELY(held > 0 && (apart || memtable_bytes(mt) + b->ops.size > l->options.memtable_bytes))) {
    TRY(work_make_room(l));
    TRY(lsm_rotate(l));
    mt = l->active;
  }
  /* The cut of a replayed log's tail syncs it, and its frames say so from then on: the logs before it come first. */
  if (UNLIKELY(wal_is_uncut(l->wal))) TRY(lsm_sync_logs(l));
  uint64_t seq = atomic_load_explicit(&l->last_seq, memory_order_relaxed) + 1;
  if (seq > TXN_SEQ_BASE - b->count) return status_fail(VARVE_LIMIT, "all 2^55 sequence numbers are used");
  slice ops = buf_slice(&b->ops);
  TRY(lsm_reserve(mt, ops, b->count));
  int rc = wal_append(l->wal, seq, b->count, ops);
  if (UNLIKELY(rc < 0)) return wal_is_in_doubt(l->wal) ? lsm_fail(l, rc) : rc;
  lsm_apply(mt, ops, seq);
  atomic_store_explicit(&l->last_seq, seq + b->count - 1, memory_order_release);
  if (condition != NULL) condition->seq = seq + b->count - 1;
  atomic_fetch_add_explicit(&l->counters.commits, 1, memory_order_relaxed);
  atomic_fetch_add_explicit(&l->counters.writes, b->count, memory_order_relaxed);
  atomic_fetch_add_explicit(&l->counters.bytes_written, b->ops.size, memory_order_relaxed);
  return VARVE_OK;
}

/* Relaxed commits reach stable storage in time: the first one since the last sync notes when it was, and the thread,
 * or whoever works in its place (work_sync_in_time), looks at that. Without a thread the clock is looked at now and
 * then. */
static int write_sync_in_time(lsm *l) {
  if (!atomic_load_explicit(&l->sync_due, memory_order_relaxed)) {
    atomic_store(&l->dirty_us, l->env->now_us(l->env));
    atomic_store(&l->sync_due, true);
    l->unasked_commits = 0;
    work_wake(l);
    return VARVE_OK;
  }
  if (l->thread_running || ++l->unasked_commits < WRITE_CLOCK_COMMITS) return VARVE_OK;
  l->unasked_commits = 0;
  return work_sync_in_time(l);
}

INTERNAL int lsm_commit(lsm *l, const batch *b, lsm_durability durability, lsm_precondition *condition) {
  if (l->options.read_only) return status_fail(VARVE_READONLY, "the database was opened for reading only");
  bool strict = durability == LSM_DEFAULT ? l->options.strict : durability == LSM_STRICT;
  if (b->count == 0 && condition == NULL) return strict ? lsm_sync_logs(l) : lsm_check_failed(l);
  mutex_lock(&l->commit_lock);
  int rc = write_commit(l, b, condition);
  uint64_t log = wal_log_number(l->wal), end = wal_end(l->wal);
  if (rc == VARVE_OK && !strict) rc = write_sync_in_time(l);
  mutex_unlock(&l->commit_lock);
  if (rc == VARVE_OK && strict) rc = write_sync_to(l, log, end);
  if (rc == VARVE_OK && !l->thread_running) {
    /* The commit is done; a failure of background work is kept and met by the commit that cannot go on without it. */
    bool more;
    (void)lsm_step(l, WRITE_SHARE * (uint64_t)b->ops.size, &more);
  }
  return rc;
}

INTERNAL int lsm_write(lsm *l, const batch *b, lsm_durability durability) {
  return lsm_commit(l, b, durability, NULL);
}
