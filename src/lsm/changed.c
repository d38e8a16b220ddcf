/* changed.c: what was written since a snapshot: the question that a transaction asks when it commits.
 *
 * Sources are asked from the newest to the oldest: the active memtable, the full ones, tables. A memtable knows at
 * which sequence it begins, so mostly the first one ends the search: everything before it is older than the snapshot.
 * Tables tell the newest sequence in them, and those that are not newer than the snapshot are not opened.
 *
 * Why nothing is missed: the snapshot is in the engine's list, so a job that meets a version newer than it either has
 * the snapshot in its copy of the list, or copied the list before the snapshot was taken and then has no such version
 * among its inputs. Above the oldest snapshot a version goes only when a newer one of the same stripe takes its place,
 * a delete never goes, and no sequence becomes 0 (job.c, invariant 1).
 */
#include "lsm/lsm_int.h"

/* ---- one key ---- */

static int changed_table(lsm *l, table_meta *meta, slice key, uint64_t hash, uint64_t since) {
  if (meta->seq_max <= since || table_meta_compare(meta, key) != 0) return VARVE_OK;
  table *t;
  TRY(table_cache_get(l, meta, &t));
  const range_tombstone *range = rangedel_find(table_range_set(t), key, SEQ_MAX);
  if (range != NULL && range->seq > since) return VARVE_CONFLICT;
  table_get_result found = {0};
  int rc = table_get(t, key, hash, SEQ_MAX, &found);
  if (rc == VARVE_NOTFOUND) return VARVE_OK;
  if (rc < 0) return rc;
  if (found.block != NULL) pin_unref(&found.block->pin);
  return trailer_seq(found.trailer) > since ? VARVE_CONFLICT : VARVE_OK;
}

static int changed_version(lsm *l, const version *v, slice key, uint64_t since) {
  uint64_t hash = key_hash(key);
  for (uint32_t i = 0; i < v->level[0].count; i++) {
    int rc = changed_table(l, v->level[0].tables[i], key, hash, since);
    if (rc != VARVE_OK) return rc;
  }
  for (uint32_t level = 1; level < LEVELS; level++) {
    const version_level *here = &v->level[level];
    if (here->count == 0) continue;
    uint32_t i = version_find(here, key);
    if (i == here->count) continue;
    int rc = changed_table(l, here->tables[i], key, hash, since);
    if (rc != VARVE_OK) return rc;
  }
  return VARVE_OK;
}

static bool changed_memtable(const memtable *mt, slice key, uint64_t since) {
  range_tombstone range;
  uint64_t trailer;
  slice value;
  if (memtable_covering(mt, key, SEQ_MAX, &range) && range.seq > since) return true;
  return memtable_get(mt, key, SEQ_MAX, &trailer, &value) && trailer_seq(trailer) > since;
}

INTERNAL int lsm_changed(lsm *l, slice key, uint64_t since) {
  ASSERT(key.size > 0);
  if (lsm_last_seq(l) <= since) return VARVE_OK;
  reader_slot *slot;
  view *v = view_enter(l, &slot);
  const memtable *mt = v->active;
  int rc = changed_memtable(mt, key, since) ? VARVE_CONFLICT : VARVE_OK;
  for (uint32_t i = 0; rc == VARVE_OK && memtable_begin_seq(mt) > since + 1 && i < v->immutable_count; i++) {
    mt = v->immutable[i];
    if (changed_memtable(mt, key, since)) rc = VARVE_CONFLICT;
  }
  if (rc == VARVE_OK && memtable_begin_seq(mt) > since + 1) rc = changed_version(l, v->current, key, since);
  view_leave(slot);
  return rc;
}

/* ---- a range ---- */

static bool changed_range_set(const rangedel_set *set, slice lower, slice upper, uint64_t since, slice *found) {
  if (set == NULL) return false;
  for (size_t i = 0; i < set->count; i++) {
    const range_tombstone *f = &set->fragments[i];
    if (upper.size > 0 && slice_compare(f->begin, upper) >= 0) return false;
    if (f->seq <= since || slice_compare(f->end, lower) <= 0) continue;
    *found = slice_compare(f->begin, lower) < 0 ? lower : f->begin;
    return true;
  }
  return false;
}

static int changed_range_table(lsm *l, table_meta *meta, slice lower, slice upper, uint64_t since, buf *found) {
  if (meta->seq_max <= since || !table_meta_overlaps(meta, lower, upper)) return VARVE_OK;
  table *t;
  slice key;
  iter *it;
  TRY(table_cache_get(l, meta, &t));
  if (changed_range_set(table_range_set(t), lower, upper, since, &key)) {
    TRY(buf_set(found, key));
    return VARVE_CONFLICT;
  }
  TRY(table_iter_open(t, l->env->alloc, false, &it));
  int rc = lower.size == 0 ? iter_first(it) : iter_seek(it, lower, TRAILER_MAX);
  while (rc == VARVE_OK && (upper.size == 0 || slice_compare(it->key, upper) < 0)) {
    if (trailer_seq(it->trailer) > since) {
      rc = buf_set(found, it->key);
      if (rc == VARVE_OK) rc = VARVE_CONFLICT;
    } else {
      rc = iter_next(it);
    }
  }
  iter_close(it);
  return rc == VARVE_DONE ? VARVE_OK : rc;
}

static int changed_range_version(lsm *l, const version *v, slice lower, slice upper, uint64_t since, buf *found) {
  for (uint32_t i = 0; i < v->level[0].count; i++) {
    int rc = changed_range_table(l, v->level[0].tables[i], lower, upper, since, found);
    if (rc != VARVE_OK) return rc;
  }
  for (uint32_t level = 1; level < LEVELS; level++) {
    uint32_t from, to;
    version_overlap(&v->level[level], lower, upper, &from, &to);
    for (uint32_t i = from; i < to; i++) {
      int rc = changed_range_table(l, v->level[level].tables[i], lower, upper, since, found);
      if (rc != VARVE_OK) return rc;
    }
  }
  return VARVE_OK;
}

/* The view is pinned: a long walk must not keep a slot from other readers. */
static int changed_range_view(lsm *l, const view *v, slice lower, slice upper, uint64_t since, buf *found) {
  const memtable *mt = v->active;
  slice key;
  bool changed = memtable_changed(mt, lower, upper, since, &key);
  for (uint32_t i = 0; !changed && memtable_begin_seq(mt) > since + 1 && i < v->immutable_count; i++) {
    mt = v->immutable[i];
    changed = memtable_changed(mt, lower, upper, since, &key);
  }
  if (changed) {
    TRY(buf_set(found, key));
    return VARVE_CONFLICT;
  }
  if (memtable_begin_seq(mt) <= since + 1) return VARVE_OK;
  return changed_range_version(l, v->current, lower, upper, since, found);
}

INTERNAL int lsm_changed_range(lsm *l, slice lower, slice upper, uint64_t since, buf *found) {
  if (lsm_last_seq(l) <= since) return VARVE_OK;
  if (upper.size > 0 && slice_compare(lower, upper) >= 0) return VARVE_OK;
  view *v = view_pin(l);
  int rc = changed_range_view(l, v, lower, upper, since, found);
  pin_unref(&v->pin);
  return rc;
}
