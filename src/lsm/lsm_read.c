/* lsm_read.c: a get: memtables, then level 0 newest first, then one table of each deeper level, until something is
 * known.
 *
 * Sources are asked from the newest to the oldest, so the first version found is the answer, unless a range tombstone
 * met on the way (in this source or a newer one) has a larger sequence.
 */
#include "lsm/lsm_int.h"

#define LOOKUP_FINDS_MAX    3u
#define LOOKUP_FINDS_EXPECT 2u

typedef struct lookup {
  lsm *lsm;
  uint8_t *finds; /* of the slot */
  slice key;
  uint64_t seq, hash;
  uint64_t cover; /* newest range tombstone over the key so far, 0 = none */
  table_get_result found;
} lookup;

/* A version was found: OK or NOTFOUND. */
static int lookup_outcome(const lookup *k, uint64_t trailer) {
  if (trailer_kind(trailer) != KIND_PUT || k->cover > trailer_seq(trailer)) return VARVE_NOTFOUND;
  return VARVE_OK;
}

/* OK, NOTFOUND = known to be absent, DONE = this source does not say. */
static int lookup_memtable(lookup *k, const memtable *mt) {
  range_tombstone range;
  if (memtable_covering(mt, k->key, k->seq, &range)) k->cover = MAX(k->cover, range.seq);
  uint64_t trailer;
  if (!memtable_get(mt, k->key, k->seq, &trailer, &k->found.value)) {
    return k->cover > 0 ? VARVE_NOTFOUND : VARVE_DONE;
  }
  return lookup_outcome(k, trailer);
}

/* As a processor predicts a branch: keys that were there of late are expected to be there. */
static inline int lookup_predicted(lookup *k, table *t, uint32_t level) {
  uint8_t finds = k->finds[level];
  int rc = finds >= LOOKUP_FINDS_EXPECT ? table_get_expected(t, k->key, k->hash, k->seq, &k->found)
                                        : table_get(t, k->key, k->hash, k->seq, &k->found);
  if (rc == VARVE_OK && finds < LOOKUP_FINDS_MAX) k->finds[level] = (uint8_t)(finds + 1);
  if (rc == VARVE_NOTFOUND && finds > 0) k->finds[level] = (uint8_t)(finds - 1);
  return rc;
}

static int lookup_table(lookup *k, table_meta *meta, uint32_t level) {
  table *t;
  TRY(table_cache_get(k->lsm, meta, &t));
  if (UNLIKELY(meta->range_tombstones > 0)) {
    const range_tombstone *range = rangedel_find(table_range_set(t), k->key, k->seq);
    if (range != NULL) k->cover = MAX(k->cover, range->seq);
  }
  int rc = lookup_predicted(k, t, level);
  if (rc < 0) return rc;
  if (rc == VARVE_NOTFOUND) return k->cover > 0 ? VARVE_NOTFOUND : VARVE_DONE;
  rc = lookup_outcome(k, k->found.trailer);
  if (rc == VARVE_NOTFOUND && k->found.block != NULL) {
    pin_unref(&k->found.block->pin);
    k->found.block = NULL;
  }
  return rc;
}

static int lookup_version(lookup *k, const version *v) {
  k->hash = key_hash(k->key);
  for (uint32_t i = 0; i < v->level[0].count; i++) {
    table_meta *meta = v->level[0].tables[i];
    if (table_meta_compare(meta, k->key) != 0) continue;
    int rc = lookup_table(k, meta, 0);
    if (rc != VARVE_DONE) return rc;
  }
  for (uint32_t level = 1; level < LEVELS; level++) {
    const version_level *here = &v->level[level];
    if (here->count == 0) continue;
    uint32_t i = version_find(here, k->key);
    if (i == here->count || table_meta_compare(here->tables[i], k->key) != 0) continue;
    int rc = lookup_table(k, here->tables[i], level);
    if (rc != VARVE_DONE) return rc;
  }
  return VARVE_NOTFOUND;
}

static int lookup_view(lookup *k, const view *v) {
  int rc = lookup_memtable(k, v->active);
  for (uint32_t i = 0; rc == VARVE_DONE && i < v->immutable_count; i++) rc = lookup_memtable(k, v->immutable[i]);
  return rc == VARVE_DONE ? lookup_version(k, v->current) : rc;
}

INTERNAL int lsm_get(lsm *l, slice key, uint64_t seq_max, lsm_value *value) {
  ASSERT(key.size > 0);
  reader_slot *slot;
  view *v = view_enter(l, &slot);
  uint64_t gets = atomic_load_explicit(&slot->gets, memory_order_relaxed);
  atomic_store_explicit(&slot->gets, gets + 1, memory_order_relaxed);
  lookup k = {.lsm = l, .finds = slot->finds, .key = key};
  /* After the view: view.c, invariant 3. */
  k.seq = MIN(seq_max, atomic_load_explicit(&l->last_seq, memory_order_acquire));
  int rc = lookup_view(&k, v);
  if (rc == VARVE_OK && value != NULL) {
    value->data = k.found.value;
    value->pin = k.found.block != NULL ? &k.found.block->pin : &v->pin;
    if (k.found.block == NULL) pin_ref(value->pin);
  } else if (k.found.block != NULL) {
    pin_unref(&k.found.block->pin);
  }
  view_leave(slot);
  return rc;
}

#undef LOOKUP_FINDS_MAX
#undef LOOKUP_FINDS_EXPECT
