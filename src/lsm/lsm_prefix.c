/* lsm_prefix.c: one probe for the keys with a prefix, where the prefix is all that filters know of them (filter_part):
 * what a hash index's find asks for. When one table alone may have such keys, which its filter tells, the first of them
 * is read as a get reads a value, without any iterator.
 *
 * Everything else is left to an iterator (DONE): keys in memtables or in two tables, range tombstones, deletions,
 * versions that a snapshot does not see.
 */
#include "lsm/sst_int.h"

#include "lsm/lsm_int.h"

typedef struct prefix_probe {
  lsm *lsm;
  slice prefix, upper;
  uint64_t seq, hash;
  table *t;    /* the one that may have it */
  uint32_t at; /* its block that may */
  slice rest;
  bool only;
  cache_block *held;
} prefix_probe;

/* OK, or DONE = an iterator has to be asked. */
static int prefix_probe_memtable(const prefix_probe *p, const memtable *mt) {
  slice found;
  if (memtable_range_deletes(mt) > 0) return VARVE_DONE;
  if (memtable_entries(mt) == 0) return VARVE_OK;
  return memtable_changed(mt, p->prefix, p->upper, 0, &found) ? VARVE_DONE : VARVE_OK;
}

static int prefix_probe_meta(prefix_probe *p, table_meta *meta) {
  table *t;
  if (meta->range_tombstones > 0) return VARVE_DONE;
  TRY(table_cache_get(p->lsm, meta, &t));
  /* The block is on its way to the processor while the filter is asked. */
  filter_prefetch(t->filter, p->hash);
  uint32_t at = sst_index_seek(&t->index, p->prefix);
  if (at < t->index.count) table_prefetch(t, at);
  if (!table_may_contain(t, p->hash)) return VARVE_OK;
  if (p->t != NULL) return VARVE_DONE;
  p->t = t;
  p->at = at;
  return VARVE_OK;
}

static int prefix_probe_version(prefix_probe *p, const version *v) {
  const version_level *l0 = &v->level[0];
  int rc = VARVE_OK;
  for (uint32_t i = 0; rc == VARVE_OK && i < l0->count; i++) {
    if (table_meta_overlaps(l0->tables[i], p->prefix, p->upper)) rc = prefix_probe_meta(p, l0->tables[i]);
  }
  for (uint32_t level = 1; rc == VARVE_OK && level < LEVELS; level++) {
    if (v->level[level].count == 0) continue;
    uint32_t from, to;
    version_overlap(&v->level[level], p->prefix, p->upper, &from, &to);
    for (uint32_t i = from; rc == VARVE_OK && i < to; i++) rc = prefix_probe_meta(p, v->level[level].tables[i]);
  }
  return rc;
}

/* Whether entry `at` begins with the prefix; *rest is what follows it. */
static int prefix_probe_entry(const prefix_probe *p, const block *b, uint32_t i, uint32_t at, slice *rest) {
  slice suffix, value;
  if (UNLIKELY(!block_entry(b, at, &suffix, &value))) return table_block_damaged(p->t, i, "an entry is broken");
  size_t shared = b->prefix.size;
  if (shared > p->prefix.size) { /* so many with one hash: what follows is in two pieces */
    return slice_starts_with(b->prefix, p->prefix) ? VARVE_DONE : VARVE_NOTFOUND;
  }
  slice left = slice_make((const uint8_t *)p->prefix.data + shared, p->prefix.size - shared);
  if (memcmp(b->prefix.data, p->prefix.data, shared) != 0 || !slice_starts_with(suffix, left)) return VARVE_NOTFOUND;
  *rest = slice_make((const uint8_t *)suffix.data + left.size, suffix.size - left.size);
  return VARVE_OK;
}

/* OK, NOTFOUND, or DONE. The block is held on OK alone. */
static int prefix_probe_block(prefix_probe *p, uint32_t i, bool *further) {
  block b;
  slice next;
  TRY(table_block(p->t, i, &b, &p->held));
  uint32_t at = block_seek(&b, p->prefix, TRAILER_MAX);
  int rc = VARVE_NOTFOUND;
  *further = at == b.count;
  if (UNLIKELY(at == UINT32_MAX)) rc = table_block_damaged(p->t, i, "an entry is broken");
  if (at < b.count) rc = prefix_probe_entry(p, &b, i, at, &p->rest);
  uint64_t trailer = at < b.count ? block_trailer(&b, at) : 0;
  if (rc == VARVE_OK && (trailer_kind(trailer) != KIND_PUT || trailer_seq(trailer) > p->seq)) rc = VARVE_DONE;
  if (rc == VARVE_OK) {
    int more = at + 1 < b.count ? prefix_probe_entry(p, &b, i, at + 1, &next) : VARVE_DONE;
    p->only = more == VARVE_NOTFOUND;
    if (more < 0) rc = more;
  }
  if (rc == VARVE_OK) return rc;
  if (p->held != NULL) pin_unref(&p->held->pin);
  p->held = NULL;
  return rc;
}

static int prefix_probe_table(prefix_probe *p) {
  bool further = true;
  int rc = VARVE_NOTFOUND;
  uint32_t i = p->at;
  for (; further && rc == VARVE_NOTFOUND && i < p->t->index.count; i++) rc = prefix_probe_block(p, i, &further);
  return rc;
}

INTERNAL int lsm_find_prefix(lsm *l, slice prefix, slice upper, lsm_value *rest, bool *only) {
  ASSERT(prefix.size > 0);
  reader_slot *slot;
  view *v = view_enter(l, &slot);
  prefix_probe p = {.lsm = l, .prefix = prefix, .upper = upper, .hash = key_hash(prefix)};
  /* After the view: view.c, invariant 3. */
  p.seq = atomic_load_explicit(&l->last_seq, memory_order_acquire);
  int rc = prefix_probe_memtable(&p, v->active);
  for (uint32_t i = 0; rc == VARVE_OK && i < v->immutable_count; i++) rc = prefix_probe_memtable(&p, v->immutable[i]);
  if (rc == VARVE_OK) rc = prefix_probe_version(&p, v->current);
  if (rc == VARVE_OK) rc = p.t == NULL ? VARVE_NOTFOUND : prefix_probe_table(&p);
  if (rc == VARVE_OK) {
    rest->data = p.rest;
    rest->pin = p.held != NULL ? &p.held->pin : &v->pin;
    if (p.held == NULL) pin_ref(rest->pin);
    *only = p.only;
  }
  view_leave(slot);
  return rc;
}
