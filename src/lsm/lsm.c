/* lsm.c: the engine as a whole: opening and closing, its failure, snapshots, flush and full compaction on demand,
 * figures.
 *
 * How the one bound on memory is shared out: memtables (active, full ones, and the log's map beside each) take what
 * the options say, at most a quarter of the bound each; compaction buffers a fixed part; the rest is the block
 * cache's, where tables that are not mapped charge their indexes and filters.
 */
#include "lsm/lsm_int.h"

#define CLOSE_FLUSH_BYTES (256 * KiB) /* a log longer than this is flushed at close: the next open reads nothing */
#define COMPACTION_BYTES  (4 * MiB)   /* reading and writing buffers of one merge */

/* ---- failure ---- */

INTERNAL int lsm_fail(lsm *l, int status) {
  ASSERT(status < 0);
  mutex_lock(&l->state_lock);
  if (atomic_load(&l->failed) == 0) {
    status_keep_message(l->failed_message);
    atomic_store(&l->failed, status);
  }
  cond_broadcast(&l->state_changed);
  mutex_unlock(&l->state_lock);
  return status;
}

INTERNAL int lsm_check_failed(lsm *l) {
  if (LIKELY(atomic_load_explicit(&l->failed, memory_order_acquire) == 0)) return VARVE_OK;
  return status_fail(VARVE_FAILED, "the database is read-only until it is opened again, because: %s",
                     l->failed_message);
}

INTERNAL uint64_t lsm_new_number(lsm *l) {
  return atomic_fetch_add(&l->next_number, 1);
}

INTERNAL uint64_t lsm_last_seq(const lsm *l) {
  return atomic_load_explicit(&l->last_seq, memory_order_acquire);
}

/* ---- snapshots ---- */

/* state_lock held. Both lists have room for as many. */
static int lsm_snapshots_grow(lsm *l) {
  allocator *alloc = l->env->alloc;
  size_t count = l->snapshot_capacity, more = MAX((size_t)16, 2 * count), each = sizeof(uint64_t);
  uint64_t *list = mem_alloc(alloc, more * each), *times = mem_alloc(alloc, more * each);
  if (list == NULL || times == NULL) {
    mem_free(alloc, list, more * each);
    mem_free(alloc, times, more * each);
    return mem_fail(more * each, "snapshots");
  }
  if (count > 0) memcpy(list, l->snapshots, count * each);
  if (count > 0) memcpy(times, l->snapshots_us, count * each);
  mem_free(alloc, l->snapshots, count * each);
  mem_free(alloc, l->snapshots_us, count * each);
  l->snapshots = list;
  l->snapshots_us = times;
  l->snapshot_capacity = more;
  return VARVE_OK;
}

INTERNAL int lsm_snapshot_acquire(lsm *l, uint64_t *seq) {
  uint64_t now_us = l->env->now_us(l->env);
  mutex_lock(&l->state_lock);
  int rc = l->snapshot_count < l->snapshot_capacity ? VARVE_OK : lsm_snapshots_grow(l);
  if (rc == VARVE_OK) {
    /* The newest is the largest: the list stays sorted. A job that copies the list later sees it; one that copied it
     * before has only inputs that are older. */
    *seq = atomic_load(&l->last_seq);
    l->snapshots_us[l->snapshot_count] = now_us;
    l->snapshots[l->snapshot_count++] = *seq;
  }
  mutex_unlock(&l->state_lock);
  return rc;
}

INTERNAL void lsm_snapshot_release(lsm *l, uint64_t seq) {
  mutex_lock(&l->state_lock);
  size_t i = l->snapshot_count; /* those that are held for a short time are at the end */
  while (i > 0 && l->snapshots[i - 1] != seq) i--;
  ASSERT(i > 0);
  size_t after = l->snapshot_count-- - i;
  memmove(l->snapshots + i - 1, l->snapshots + i, after * sizeof *l->snapshots);
  memmove(l->snapshots_us + i - 1, l->snapshots_us + i, after * sizeof *l->snapshots_us);
  mutex_unlock(&l->state_lock);
}

INTERNAL uint64_t lsm_oldest_snapshot(lsm *l) {
  mutex_lock(&l->state_lock);
  uint64_t oldest = l->snapshot_count > 0 ? l->snapshots[0] : SEQ_MAX;
  mutex_unlock(&l->state_lock);
  return oldest;
}

/* ---- flush and compaction on demand ---- */

static bool lsm_has_immutable(lsm *l) {
  view *v = view_pin(l);
  bool any = v->immutable_count > 0;
  pin_unref(&v->pin);
  return any;
}

INTERNAL int lsm_flush(lsm *l) {
  if (l->options.read_only) return status_fail(VARVE_READONLY, "the database was opened for reading only");
  TRY(lsm_check_failed(l));
  int rc = VARVE_OK;
  mutex_lock(&l->commit_lock);
  memtable *mt = l->active;
  if (memtable_entries(mt) + memtable_range_deletes(mt) > 0) {
    rc = work_make_room(l);
    if (rc >= 0) rc = lsm_rotate(l);
  }
  mutex_unlock(&l->commit_lock);
  while (rc >= 0 && lsm_has_immutable(l)) rc = lsm_step(l, l->options.memtable_bytes, NULL);
  return rc;
}

/* One turn of the full compaction with the caller's ticket; *left = it is not finished. */
static int lsm_compact_turn(lsm *l, uint64_t ticket, bool *left, uint64_t *done, uint64_t *total) {
  bool more;
  mutex_lock(&l->step_lock);
  int rc = work_step(l, 1 * MiB, &more);
  *left = l->full_done < ticket && !atomic_load(&l->compaction_broken);
  if (l->full_job != NULL) job_progress(l->full_job, done, total);
  mutex_unlock(&l->step_lock);
  return rc;
}

static uint64_t lsm_compact_join(lsm *l) {
  mutex_lock(&l->step_lock);
  uint64_t ticket = ++l->full_asked;
  l->full_waiters++;
  mutex_unlock(&l->step_lock);
  return ticket;
}

/* The last caller to leave takes back what is not done. */
static void lsm_compact_leave(lsm *l) {
  mutex_lock(&l->step_lock);
  ASSERT(l->full_waiters > 0);
  if (--l->full_waiters == 0) {
    l->full_asked = l->full_begun = l->full_done;
    if (l->full_job != NULL && l->manifest != NULL) {
      ASSERT(l->full_job == l->compact_job);
      job_destroy(l->compact_job, false);
      l->compact_job = NULL;
    }
    l->full_job = NULL;
  }
  mutex_unlock(&l->step_lock);
}

INTERNAL int lsm_compact(lsm *l, varve_progress progress, void *context) {
  TRY(lsm_flush(l));
  bool left = true;
  uint64_t done = 0, total = 1, ticket = lsm_compact_join(l);
  int rc = VARVE_OK;
  while (left && rc >= 0) {
    rc = lsm_compact_turn(l, ticket, &left, &done, &total);
    if (rc < 0 || progress == NULL || progress(context, left ? done : total, total) == 0) continue;
    rc = status_fail(VARVE_ABORTED, "the compaction was stopped by its caller");
  }
  lsm_compact_leave(l);
  if (rc >= 0 && atomic_load(&l->compaction_broken)) {
    rc = status_fail(VARVE_CORRUPT, "a table cannot be read, so nothing can be merged; run verify");
  }
  return rc;
}

/* ---- figures ---- */

static void lsm_stats_tables(const version *v, varve_stats *s) {
  s->levels = LEVELS;
  for (uint32_t level = 0; level < LEVELS; level++) {
    varve_level_stats *out = &s->level[level];
    out->tables = v->level[level].count;
    for (uint32_t i = 0; i < v->level[level].count; i++) {
      const table_meta *t = v->level[level].tables[i];
      out->bytes += t->size;
      out->entries += t->entries;
      out->tombstones += t->tombstones + t->range_tombstones;
    }
    s->table_bytes += out->bytes;
  }
}

/* Logs and memtables. */
static void lsm_stats_memory(lsm *l, const view *v, varve_stats *s) {
  s->memtable_bytes = memtable_bytes(v->active);
  for (uint32_t i = 0; i < v->immutable_count; i++) s->memtable_bytes += memtable_bytes(v->immutable[i]);
  mutex_lock(&l->state_lock);
  size_t mapped = l->wal == NULL ? 0 : wal_memory(l->wal);
  s->log_bytes = l->wal == NULL ? 0 : wal_allocated(l->wal);
  for (uint32_t i = 0; i < l->log_count; i++) {
    s->log_bytes += l->logs[i].size;
    if (l->logs[i].wal != NULL) mapped += wal_memory(l->logs[i].wal);
  }
  for (uint32_t i = 0; i < l->spare_count; i++) s->log_bytes += l->spares[i].size;
  s->snapshots = l->snapshot_count;
  uint64_t oldest_us = l->snapshot_count > 0 ? l->snapshots_us[0] : UINT64_MAX;
  mutex_unlock(&l->state_lock);
  s->memory_bytes = atomic_load(&l->env->alloc->used) + mapped;
  uint64_t now_us = l->env->now_us(l->env);
  if (oldest_us < now_us) s->oldest_snapshot_ms = (now_us - oldest_us) / 1000;
}

INTERNAL void lsm_get_stats(lsm *l, varve_stats *s) {
  memset(s, 0, sizeof *s);
  const lsm_counters *c = &l->counters;
  view *v = view_pin(l);
  lsm_stats_tables(v->current, s);
  lsm_stats_memory(l, v, s);
  pin_unref(&v->pin);
  cache_stats cache;
  block_cache_stats(l->cache, &cache);
  s->sequence = atomic_load(&l->last_seq);
  s->memory_bytes_max = l->options.memory_bytes;
  s->cache_bytes = cache.bytes + cache.charged;
  s->cache_hits = cache.hits;
  s->cache_misses = cache.misses;
  s->commits = atomic_load(&c->commits);
  s->writes = atomic_load(&c->writes);
  for (uint32_t i = 0; i < READER_SLOTS; i++) s->gets += atomic_load(&l->slots[i].gets);
  s->iterators = atomic_load(&l->iterators_open);
  s->bytes_written = atomic_load(&c->bytes_written);
  s->flushes = atomic_load(&c->flushes);
  s->compactions = atomic_load(&c->compactions);
  s->trivial_moves = atomic_load(&c->trivial_moves);
  s->bytes_flushed = atomic_load(&c->bytes_flushed);
  s->bytes_compacted_in = atomic_load(&c->bytes_in);
  s->bytes_compacted_out = atomic_load(&c->bytes_out);
  s->syncs = atomic_load(&c->syncs);
  s->stalls = atomic_load(&c->stalls);
  s->stall_us = atomic_load(&c->stall_us);
  uint64_t manifest_bytes = 0;
  mutex_lock(&l->step_lock);
  if (l->manifest != NULL) manifest_bytes = manifest_size(l->manifest);
  mutex_unlock(&l->step_lock);
  s->disk_bytes = s->table_bytes + s->log_bytes + manifest_bytes + (uint64_t)2 * SUPER_SLOT_SIZE;
}

/* ---- opening and closing ---- */

static void lsm_init_locks(lsm *l) {
  mutex_init(&l->state_lock);
  mutex_init(&l->commit_lock);
  mutex_init(&l->sync_lock);
  mutex_init(&l->open_lock);
  mutex_init(&l->step_lock);
  cond_init(&l->state_changed);
  cond_init(&l->work_cond);
}

static uint64_t lsm_cache_bytes(const env *e, const lsm_options *o) {
  /* The active memtable and the full ones; the log's map; the buffers of a merge. The cache gives way to none of
   * them. */
  uint64_t memtables = (1 + IMMUTABLES_MAX) * o->memtable_bytes;
  uint64_t log = (e->fs->traits & VFS_MAP_WRITE) != 0 ? o->memtable_bytes + WAL_CHUNK_BYTES : WAL_CHUNK_BYTES;
  uint64_t reserved = memtables + log + MIN((uint64_t)COMPACTION_BYTES, o->memory_bytes / 16);
  return MAX(o->memory_bytes > reserved ? o->memory_bytes - reserved : 0, o->memory_bytes / 8);
}

/* Everything that is held, in the order in which it depends on each other; for a failed open too. */
static int lsm_release(lsm *l) {
  int rc = VARVE_OK;
  allocator *alloc = l->env->alloc;
  bool keep = l->manifest == NULL || atomic_load(&l->failed) != 0; /* a failed record may name the outputs */
  job_destroy(l->flush_job, keep);
  job_destroy(l->compact_job, keep);
  view *v = atomic_exchange(&l->view, NULL);
  if (v != NULL) pin_unref(&v->pin);
  if (l->retired != NULL) view_sweep(l);
  for (size_t i = 0; i < l->dead_count; i++) ALSO(vfs_remove(l->env->fs, FILE_SST, l->dead[i]));
  mem_free(alloc, l->dead, l->dead_capacity * sizeof *l->dead);
  for (uint32_t i = 0; i < l->log_count; i++) ALSO(wal_close(l->logs[i].wal));
  ALSO(wal_close(l->wal));
  ALSO(manifest_close(l->manifest));
  lsm_iter_forget(l);
  block_cache_destroy(l->cache);
  chunk_pool_destroy(&l->chunks);
  mem_free(alloc, l->snapshots, l->snapshot_capacity * sizeof *l->snapshots);
  mem_free(alloc, l->snapshots_us, l->snapshot_capacity * sizeof *l->snapshots_us);
  mutex_destroy(&l->state_lock);
  mutex_destroy(&l->commit_lock);
  mutex_destroy(&l->sync_lock);
  mutex_destroy(&l->open_lock);
  mutex_destroy(&l->step_lock);
  cond_destroy(&l->state_changed);
  cond_destroy(&l->work_cond);
  mem_free_lines(alloc, l, sizeof *l);
  return rc;
}

INTERNAL int lsm_open(env *e, const lsm_options *options, lsm **out) {
  *out = NULL;
  lsm *l = mem_alloc_lines(e->alloc, sizeof *l);
  if (l == NULL) return mem_fail(sizeof *l, "a database");
  memset(l, 0, sizeof *l);
  l->env = e;
  l->options = *options;
  l->mapped_bytes_max = e->memory_total(e) / 2;
  lsm_init_locks(l);
  chunk_pool_init(&l->chunks, e->alloc, options->memtable_bytes);
  int rc = block_cache_create(e->alloc, lsm_cache_bytes(e, options), &l->cache);
  if (rc >= 0) rc = recover_open(l);
  if (rc >= 0) rc = work_thread_start(l);
  if (rc < 0) {
    char message[STATUS_MESSAGE_SIZE];
    status_keep_message(message);
    (void)lsm_release(l);
    status_set_message(message); /* what went wrong first */
    return rc;
  }
  *out = l;
  return VARVE_OK;
}

/* Files that were only kept for the logs to come. */
static int lsm_remove_spares(lsm *l) {
  int rc = VARVE_OK;
  for (uint32_t i = 0; i < l->spare_count; i++) ALSO(vfs_remove(l->env->fs, FILE_WAL, l->spares[i].file));
  l->spare_count = 0;
  return rc;
}

/* Leaves little to read for the next open, says how far the log goes, and gives back the space kept for more of it. */
static int lsm_close_cleanly(lsm *l) {
  if (l->options.read_only) return VARVE_OK;
  TRY(lsm_check_failed(l));
  int rc = VARVE_OK;
  if (wal_end(l->wal) > CLOSE_FLUSH_BYTES) rc = lsm_flush(l);
  int flushed = rc; /* FULL, say: the logs still have everything */
  TRY(lsm_sync_logs(l));
  if (l->manifest != NULL && wal_end(l->wal) != l->clean_end) {
    edit e;
    edit_init(&e, l->env->alloc);
    e.has_clean_end = true;
    e.clean_log = wal_log_number(l->wal);
    e.clean_end = wal_end(l->wal);
    rc = manifest_append(l->manifest, &e);
    edit_free(&e);
  }
  ALSO(wal_trim(l->wal));
  ALSO(lsm_remove_spares(l));
  return flushed < 0 ? flushed : rc;
}

static int lsm_check_unused(lsm *l) {
  view_sweep(l);
  uint64_t iterators = atomic_load(&l->iterators_open);
  mutex_lock(&l->state_lock);
  size_t snapshots = l->snapshot_count;
  view *v = atomic_load(&l->view);
  bool values = atomic_load(&l->views_alive) > 1 || atomic_load(&v->pin.refs) > 1 || block_cache_in_use(l->cache);
  mutex_unlock(&l->state_lock);
  if (iterators == 0 && snapshots == 0 && !values) return VARVE_OK;
  if (iterators == 0 && snapshots == 0) return status_fail(VARVE_BUSY, "values are still out: release them first");
  /* Whether there are values too cannot be told: iterators keep the same things. */
  return status_fail(VARVE_BUSY, "still open: %llu iterators and %llu snapshots; close them first",
                     (unsigned long long)iterators, (unsigned long long)snapshots);
}

INTERNAL int lsm_close(lsm *l) {
  work_thread_stop(l);
  int rc = lsm_check_unused(l);
  if (rc < 0) {
    (void)work_thread_start(l); /* without it commits do the work */
    return rc;
  }
  rc = lsm_close_cleanly(l);
  ALSO(lsm_release(l));
  return rc;
}
