/* memtable_iter.c: a walk over all versions in a memtable.
 *
 * The iterator stands in a copy of one leaf's references, so the writer does not disturb it: what is inserted into
 * that leaf later has sequences that the user of this position does not want. The next leaf is the one that the copy
 * names; for the leaf before, the tree is asked for what is before the first key of the copy.
 *
 * Within a slot, versions link from newest to oldest. Going backwards means against the links: the chain is then
 * collected into an array once, however long it is.
 *
 * Invariants
 *   1. When valid, `at` is a version in the chain that starts at view.refs[view.at].
 *   2. chain_at is the place of `at` in that chain, the newest being 0.
 *   3. chain_count > 0: chain[] is a whole chain, newest first, not necessarily that of this slot.
 */
#include "lsm/memtable_int.h"

#define MEMITER_AHEAD 6u /* slots whose entries are asked for before the walk gets there */

typedef struct memiter {
  iter base;
  memtable *mt;
  allocator *alloc;
  arena_ref at;
  arena_ref *chain;
  size_t chain_count, chain_capacity, chain_at;
  memtree_view view;
} memiter;

static memiter *memiter_of(iter *it) {
  return CONTAINER_OF(it, memiter, base);
}

static int memiter_stand(memiter *m, arena_ref ref) {
  const mem_entry *e = mem_entry_at(m->mt, ref);
  m->at = ref;
  m->base.key = mem_entry_key(e);
  m->base.trailer = e->trailer;
  m->base.value = mem_entry_value(e);
  m->base.valid = true;
  return VARVE_OK;
}

static int memiter_done(memiter *m) {
  m->base.valid = false;
  return VARVE_DONE;
}

static inline void memiter_prefetch(const memiter *m, uint32_t slot) {
  if (slot < m->view.count) __builtin_prefetch(mem_entry_at(m->mt, m->view.refs[slot]));
}

/* To the newest version of the slot at view.at, or of the first slot of the next leaf. */
static int memiter_enter(memiter *m) {
  memtree_view *v = &m->view;
  if (v->at == v->count) {
    if (v->next == 0) return memiter_done(m);
    memtree_view_leaf(m->mt, v->next, v);
    for (uint32_t i = 1; i < MEMITER_AHEAD; i++) memiter_prefetch(m, i);
  }
  ASSERT(v->at < v->count);
  memiter_prefetch(m, v->at + MEMITER_AHEAD);
  m->chain_at = 0;
  return memiter_stand(m, v->refs[v->at]);
}

static bool memiter_has_chain(const memiter *m) {
  return m->chain_count > 0 && m->chain[0] == m->view.refs[m->view.at];
}

static int memiter_chain_grow(memiter *m) {
  size_t capacity = MAX(2 * m->chain_capacity, 16), each = sizeof *m->chain;
  if (capacity > PTRDIFF_MAX / each) return mem_fail(SIZE_MAX, "an iterator");
  void *grown = mem_resize(m->alloc, m->chain, m->chain_capacity * each, capacity * each);
  if (grown == NULL) return mem_fail(capacity * each, "an iterator");
  m->chain = grown;
  m->chain_capacity = capacity;
  return VARVE_OK;
}

/* Collects the versions of the current slot, unless they are there. */
static int memiter_collect(memiter *m) {
  if (memiter_has_chain(m)) return VARVE_OK;
  m->chain_count = 0;
  size_t n = 0;
  for (arena_ref ref = m->view.refs[m->view.at]; ref != 0; ref = mem_entry_at(m->mt, ref)->older) {
    if (n == m->chain_capacity) TRY(memiter_chain_grow(m));
    m->chain[n++] = ref;
  }
  m->chain_count = n;
  ASSERT(memiter_has_chain(m));
  return VARVE_OK;
}

/* To the oldest version of the slot at view.at. */
static int memiter_enter_back(memiter *m) {
  arena_ref newest = m->view.refs[m->view.at];
  if (mem_entry_at(m->mt, newest)->older == 0) {
    m->chain_at = 0;
    return memiter_stand(m, newest);
  }
  m->base.valid = false; /* in case that memory is out */
  TRY(memiter_collect(m));
  m->chain_at = m->chain_count - 1;
  return memiter_stand(m, m->chain[m->chain_at]);
}

static int memiter_next(iter *it) {
  memiter *m = memiter_of(it);
  arena_ref older = mem_entry_at(m->mt, m->at)->older;
  if (older != 0) {
    m->chain_at++;
    return memiter_stand(m, older);
  }
  m->view.at++;
  return memiter_enter(m);
}

static int memiter_to_before(memiter *m, slice key) {
  if (!memtree_view_find(m->mt, key, MEMTREE_BEFORE, &m->view) || m->view.at == 0) return memiter_done(m);
  m->view.at--;
  return memiter_enter_back(m);
}

static int memiter_prev(iter *it) {
  memiter *m = memiter_of(it);
  if (m->at != m->view.refs[m->view.at]) { /* a newer version of the same key */
    size_t at = m->chain_at;
    m->base.valid = false; /* in case that memory is out */
    TRY(memiter_collect(m));
    ASSERT(at > 0 && at < m->chain_count && m->chain[at] == m->at);
    m->chain_at = at - 1;
    return memiter_stand(m, m->chain[at - 1]);
  }
  if (m->view.at == 0) return memiter_to_before(m, m->base.key);
  m->view.at--;
  if (m->view.at >= MEMITER_AHEAD) memiter_prefetch(m, m->view.at - MEMITER_AHEAD);
  return memiter_enter_back(m);
}

static int memiter_first(iter *it) {
  memiter *m = memiter_of(it);
  if (!memtree_view_find(m->mt, slice_make(NULL, 0), MEMTREE_KEY, &m->view)) return memiter_done(m);
  ASSERT(m->view.at == 0);
  return memiter_enter(m);
}

static int memiter_last(iter *it) {
  memiter *m = memiter_of(it);
  if (!memtree_view_find(m->mt, slice_make(NULL, 0), MEMTREE_LAST, &m->view)) return memiter_done(m);
  ASSERT(m->view.at > 0);
  m->view.at--;
  return memiter_enter_back(m);
}

static int memiter_seek(iter *it, slice key, uint64_t trailer) {
  memiter *m = memiter_of(it);
  if (!memtree_view_find(m->mt, key, MEMTREE_KEY, &m->view)) return memiter_done(m);
  if (!m->view.equal) return memiter_enter(m);
  m->chain_at = 0;
  for (arena_ref ref = m->view.refs[m->view.at]; ref != 0; ref = mem_entry_at(m->mt, ref)->older) {
    if (mem_entry_at(m->mt, ref)->trailer <= trailer) return memiter_stand(m, ref);
    m->chain_at++;
  }
  m->view.at++;
  return memiter_enter(m);
}

static int memiter_seek_before(iter *it, slice key) {
  return memiter_to_before(memiter_of(it), key);
}

static void memiter_close(iter *it) {
  memiter *m = memiter_of(it);
  allocator *alloc = m->alloc;
  pin_unref(memtable_pin(m->mt));
  mem_free(alloc, m->chain, m->chain_capacity * sizeof *m->chain);
  MEM_DELETE(alloc, m);
}

INTERNAL int memtable_iter_open(memtable *mt, allocator *alloc, iter **it) {
  static const iter_ops ops = {
      .first = memiter_first,
      .last = memiter_last,
      .seek = memiter_seek,
      .seek_before = memiter_seek_before,
      .next = memiter_next,
      .prev = memiter_prev,
      .close = memiter_close,
  };
  memiter *m = MEM_NEW(alloc, memiter);
  if (m == NULL) return mem_fail(sizeof *m, "an iterator");
  m->base.ops = &ops;
  m->mt = mt;
  m->alloc = alloc;
  pin_ref(memtable_pin(mt));
  *it = &m->base;
  return VARVE_OK;
}

#undef MEMITER_AHEAD
