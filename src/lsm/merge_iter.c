/* merge_iter.c: several sorted sources as one.
 *
 * A binary heap of children, smallest (going forward) or largest (backward) at the root, compared by a cached 64-bit
 * head of the key behind what all keys share, and by the whole key only on a tie. The child at the root is the
 * position; after it moved it sinks as far as it must, which for runs of one child is one comparison with each of two
 * children.
 *
 * Invariants
 *   1. heap[0 .. live) holds the positioned children, heap[live .. count) the others.
 *   2. Going forward every child is on its first version after the position, going backward on its last one before it.
 *   3. head of a child is head_u64 of its key behind `skip` bytes. All keys share those, so heads order as keys do.
 */
#include "lsm/lsm_int.h"

typedef struct merge_child {
  uint64_t head;
  iter *it;
  uint64_t seq_max;
} merge_child;

typedef struct merge_iter {
  iter base;
  allocator *alloc;
  size_t skip;
  bool forward;
  uint32_t live, count;
  merge_child heap[];
} merge_iter;

static uint64_t merge_head(const merge_iter *m, const iter *it) {
  /* A table whose keys lie outside its bounds is damaged: who writes what is merged sees that they are out of order. */
  if (UNLIKELY(it->key.size < m->skip)) return 0;
  return head_u64((const uint8_t *)it->key.data + m->skip, it->key.size - m->skip);
}

/* Whether a is to come before b in the direction of travel. */
static inline bool merge_before(const merge_iter *m, const merge_child *a, const merge_child *b) {
  if (LIKELY(a->head != b->head)) return (a->head < b->head) == m->forward;
  int order = entry_compare(a->it->key, a->it->trailer, b->it->key, b->it->trailer);
  return (order < 0) == m->forward;
}

static void merge_sink(merge_iter *m, uint32_t i) {
  merge_child moving = m->heap[i];
  for (;;) {
    uint32_t child = 2 * i + 1;
    if (child >= m->live) break;
    if (child + 1 < m->live && merge_before(m, &m->heap[child + 1], &m->heap[child])) child++;
    if (!merge_before(m, &m->heap[child], &moving)) break;
    m->heap[i] = m->heap[child];
    i = child;
  }
  m->heap[i] = moving;
}

static int merge_show(merge_iter *m) {
  m->base.valid = m->live > 0;
  if (m->live == 0) return VARVE_DONE;
  const iter *top = m->heap[0].it;
  m->base.key = top->key;
  m->base.trailer = top->trailer;
  m->base.value = top->value;
  return VARVE_OK;
}

/* Sorts the children into positioned and others, and makes the heap. */
static int merge_rebuild(merge_iter *m, bool forward) {
  m->forward = forward;
  m->live = 0;
  for (uint32_t i = 0; i < m->count; i++) {
    if (!m->heap[i].it->valid) continue;
    m->heap[i].head = merge_head(m, m->heap[i].it);
    merge_child swap = m->heap[m->live];
    m->heap[m->live++] = m->heap[i];
    m->heap[i] = swap;
  }
  for (uint32_t i = m->live / 2; i-- > 0;) merge_sink(m, i);
  return merge_show(m);
}

static int merge_failed(merge_iter *m, int rc) {
  m->base.valid = false;
  m->live = 0;
  return rc;
}

static int merge_first(iter *it) {
  merge_iter *m = (merge_iter *)(void *)it;
  for (uint32_t i = 0; i < m->count; i++) {
    int rc = iter_first(m->heap[i].it);
    if (rc < 0) return merge_failed(m, rc);
  }
  return merge_rebuild(m, true);
}

static int merge_last(iter *it) {
  merge_iter *m = (merge_iter *)(void *)it;
  for (uint32_t i = 0; i < m->count; i++) {
    int rc = iter_last(m->heap[i].it);
    if (rc < 0) return merge_failed(m, rc);
  }
  return merge_rebuild(m, false);
}

static int merge_seek(iter *it, slice key, uint64_t trailer) {
  merge_iter *m = (merge_iter *)(void *)it;
  for (uint32_t i = 0; i < m->count; i++) {
    int rc = iter_seek(m->heap[i].it, key, trailer);
    if (rc < 0) return merge_failed(m, rc);
  }
  return merge_rebuild(m, true);
}

static int merge_seek_before(iter *it, slice key) {
  merge_iter *m = (merge_iter *)(void *)it;
  for (uint32_t i = 0; i < m->count; i++) {
    int rc = iter_seek_before(m->heap[i].it, key);
    if (rc < 0) return merge_failed(m, rc);
  }
  return merge_rebuild(m, false);
}

/* The root moved: put it where it belongs now. */
static int merge_moved(merge_iter *m, int rc) {
  if (UNLIKELY(rc < 0)) return merge_failed(m, rc);
  if (UNLIKELY(rc == VARVE_DONE)) {
    merge_child done = m->heap[0];
    m->heap[0] = m->heap[--m->live];
    m->heap[m->live] = done;
  } else {
    m->heap[0].head = merge_head(m, m->heap[0].it);
  }
  if (m->live > 1) merge_sink(m, 0);
  return merge_show(m);
}

/* Turns around: every child but the root's goes to the other side of the position. The root's key is its own child's,
 * which is not moved until the others are placed. */
static int merge_turn(merge_iter *m, bool forward) {
  iter *top = m->heap[0].it;
  for (uint32_t i = 1; i < m->count; i++) {
    iter *child = m->heap[i].it;
    int rc = iter_seek(child, top->key, top->trailer);
    if (rc < 0) return rc;
    if (forward) continue;
    rc = rc == VARVE_OK ? iter_prev(child) : iter_last(child);
    if (rc < 0) return rc;
  }
  return VARVE_OK;
}

static int merge_next(iter *it) {
  merge_iter *m = (merge_iter *)(void *)it;
  if (UNLIKELY(!m->forward)) {
    int rc = merge_turn(m, true);
    if (rc >= 0) rc = iter_next(m->heap[0].it);
    if (rc < 0) return merge_failed(m, rc);
    return merge_rebuild(m, true);
  }
  return merge_moved(m, iter_next(m->heap[0].it));
}

static int merge_prev(iter *it) {
  merge_iter *m = (merge_iter *)(void *)it;
  if (UNLIKELY(m->forward)) {
    int rc = merge_turn(m, false);
    if (rc >= 0) rc = iter_prev(m->heap[0].it);
    if (rc < 0) return merge_failed(m, rc);
    return merge_rebuild(m, false);
  }
  return merge_moved(m, iter_prev(m->heap[0].it));
}

static size_t merge_size(uint32_t count) {
  return sizeof(merge_iter) + count * sizeof(merge_child);
}

static void merge_close(iter *it) {
  merge_iter *m = (merge_iter *)(void *)it;
  for (uint32_t i = 0; i < m->count; i++) iter_close(m->heap[i].it);
  mem_free(m->alloc, m, merge_size(m->count));
}

static const iter_ops merge_ops = {merge_first, merge_last, merge_seek, merge_seek_before,
                                   merge_next,  merge_prev, merge_close};

INTERNAL int merge_iter_open(allocator *alloc, iter *const *children, const uint64_t *seq_max, uint32_t count,
                             size_t skip, iter **out) {
  if (count == 1) {
    *out = children[0];
    return VARVE_OK;
  }
  merge_iter *m = mem_zalloc(alloc, merge_size(count));
  if (m == NULL) return mem_fail(merge_size(count), "a merge");
  m->base.ops = &merge_ops;
  m->alloc = alloc;
  m->skip = skip;
  m->count = count;
  for (uint32_t i = 0; i < count; i++) {
    m->heap[i].it = children[i];
    m->heap[i].seq_max = seq_max[i];
  }
  *out = &m->base;
  return VARVE_OK;
}

INTERNAL int merge_iter_skip(iter *it, slice key, uint64_t seq) {
  if (it->ops != &merge_ops) return VARVE_OK;
  merge_iter *m = (merge_iter *)(void *)it;
  ASSERT(m->forward);
  bool moved = false;
  for (uint32_t i = 0; i < m->live; i++) {
    merge_child *child = &m->heap[i];
    if (child->seq_max >= seq || slice_compare(child->it->key, key) >= 0) continue;
    int rc = iter_seek(child->it, key, TRAILER_MAX);
    if (rc < 0) return merge_failed(m, rc);
    moved = true;
  }
  return moved ? merge_rebuild(m, true) : VARVE_OK;
}
