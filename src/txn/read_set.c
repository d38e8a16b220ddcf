/* read_set.c: a list of what was read, appended to, and made smaller when it has become too large. What it promises:
 * read_set.h.
 *
 * Which neighbours are joined: those whose gap is likely the smallest, told by how many leading bytes the end of one
 * and the begin of the next share. One pass counts the gaps by that, the next one joins from the most shared on down
 * until half of the items are gone.
 *
 * Invariants
 *   1. Every key that was added, and every key of every range that was, lies in an item.
 *   2. After read_set_shrink the items are sorted by begin and do not touch.
 */
#include "txn/read_set.h"

#define READ_SHARED_MAX 255u /* shared bytes are told apart up to so many */

INTERNAL void read_set_init(read_set *r, allocator *alloc) {
  memset(r, 0, sizeof *r);
  buf_init(&r->bytes, alloc);
}

INTERNAL void read_set_free(read_set *r) {
  mem_free(r->bytes.alloc, r->items, r->room * sizeof *r->items);
  buf_free(&r->bytes);
  r->items = NULL;
  r->count = r->room = 0;
}

INTERNAL void read_set_clear(read_set *r, uint64_t bytes_max) {
  r->count = 0;
  r->bytes_max = bytes_max;
  buf_clear(&r->bytes);
}

static uint64_t read_set_used(const read_set *r) {
  return r->bytes.size + (uint64_t)r->count * sizeof *r->items;
}

INTERNAL size_t read_set_memory(const read_set *r) {
  return r->bytes.capacity + r->room * sizeof *r->items;
}

/* ---- order ---- */

static inline bool read_before(const read_set *r, const read_item *a, const read_item *b) {
  return slice_compare(read_set_begin(r, a), read_set_begin(r, b)) < 0;
}

static void read_sink(read_set *r, size_t i, size_t count) {
  read_item moving = r->items[i];
  for (;;) {
    size_t child = 2 * i + 1;
    if (child >= count) break;
    if (child + 1 < count && read_before(r, &r->items[child], &r->items[child + 1])) child++;
    if (!read_before(r, &moving, &r->items[child])) break;
    r->items[i] = r->items[child];
    i = child;
  }
  r->items[i] = moving;
}

/* By begin; a heap sort needs no memory. */
static void read_set_sort(read_set *r) {
  for (size_t i = r->count / 2; i-- > 0;) read_sink(r, i, r->count);
  for (size_t i = r->count; i-- > 1;) {
    read_item largest = r->items[0];
    r->items[0] = r->items[i];
    r->items[i] = largest;
    read_sink(r, 0, i);
  }
}

/* ---- joining ---- */

/* < 0, 0, > 0 as a ends before, with or after b. */
static int read_end_compare(const read_set *r, const read_item *a, const read_item *b) {
  if (a->unbounded || b->unbounded) return (int)a->unbounded - (int)b->unbounded;
  int order = slice_compare(read_set_end(r, a), read_set_end(r, b));
  return order != 0 ? order : (int)a->inclusive - (int)b->inclusive;
}

/* Whether b, which does not begin before a, begins within a or right behind it. */
static bool read_touches(const read_set *r, const read_item *a, const read_item *b) {
  return a->unbounded || slice_compare(read_set_begin(r, b), read_set_end(r, a)) <= 0;
}

/* a becomes both and what is between them. */
static void read_join(const read_set *r, read_item *a, const read_item *b) {
  if (read_end_compare(r, a, b) >= 0) return;
  a->end_at = b->end_at;
  a->end_size = b->end_size;
  a->inclusive = b->inclusive;
  a->unbounded = b->unbounded;
}

static void read_set_join_touching(read_set *r) {
  size_t n = 0;
  for (size_t i = 0; i < r->count; i++) {
    if (n > 0 && read_touches(r, &r->items[n - 1], &r->items[i])) {
      read_join(r, &r->items[n - 1], &r->items[i]);
    } else {
      r->items[n++] = r->items[i];
    }
  }
  r->count = n;
}

static size_t read_gap_shared(const read_set *r, const read_item *a, const read_item *b) {
  return MIN(slice_common_prefix(read_set_end(r, a), read_set_begin(r, b)), (size_t)READ_SHARED_MAX);
}

/* Joins about half of the neighbours, at least one pair. */
static void read_set_widen(read_set *r) {
  ASSERT(r->count > 1);
  size_t gaps[READ_SHARED_MAX + 1] = {0}, want = r->count / 2, more = 0, shared = READ_SHARED_MAX;
  for (size_t i = 0; i + 1 < r->count; i++) gaps[read_gap_shared(r, &r->items[i], &r->items[i + 1])]++;
  while (more + gaps[shared] < want) more += gaps[shared--];
  size_t equal = want - more, seen = 0, n = 0, all = gaps[shared]; /* of gaps that share as much: so many, spread out */
  read_item last = r->items[0];
  for (size_t i = 0; i + 1 < r->count; i++) {
    const read_item *next = &r->items[i + 1];
    size_t here = read_gap_shared(r, &r->items[i], next);
    bool join = here > shared;
    if (here == shared) {
      join = (seen + 1) * equal / all > seen * equal / all;
      seen++;
    }
    if (join) {
      read_join(r, &last, next);
    } else {
      r->items[n++] = last;
      last = *next;
    }
  }
  r->items[n++] = last;
  ASSERT(n < r->count);
  r->count = n;
}

/* Memory for the items that there are, and the bytes that they name. */
static uint64_t read_set_needs(const read_set *r) {
  uint64_t size = (uint64_t)r->count * sizeof *r->items;
  for (size_t i = 0; i < r->count; i++) {
    size += r->items[i].begin_size + (read_item_is_key(&r->items[i]) ? 0 : r->items[i].end_size);
  }
  return size;
}

/* Drops the bytes that no item names any more. */
static int read_set_pack(read_set *r) {
  buf packed;
  buf_init(&packed, r->bytes.alloc);
  TRY(buf_reserve(&packed, (size_t)read_set_needs(r)));
  for (size_t i = 0; i < r->count; i++) {
    read_item *item = &r->items[i];
    bool is_key = read_item_is_key(item);
    slice begin = read_set_begin(r, item), end = read_set_end(r, item);
    item->begin_at = packed.size;
    TRY(buf_append(&packed, begin.data, begin.size));
    if (is_key) {
      item->end_at = item->begin_at;
      continue;
    }
    item->end_at = packed.size;
    TRY(buf_append(&packed, end.data, end.size));
  }
  buf_free(&r->bytes);
  r->bytes = packed;
  return VARVE_OK;
}

static int read_set_shrink(read_set *r) {
  read_set_sort(r);
  read_set_join_touching(r);
  while (r->count > 1 && read_set_needs(r) > r->bytes_max / 2) read_set_widen(r);
  return read_set_pack(r);
}

/* ---- adding ---- */

/* `end` NULL = begin is a key. */
static int read_set_append(read_set *r, slice begin, const slice *end, read_item item) {
  read_item *grown = mem_grow(r->bytes.alloc, r->items, r->count, &r->room, sizeof *grown, "what was read");
  if (grown == NULL) return VARVE_NOMEM;
  r->items = grown;
  TRY(buf_reserve(&r->bytes, begin.size + (end == NULL ? 0 : end->size)));
  item.begin_at = item.end_at = r->bytes.size;
  item.begin_size = item.end_size = (uint32_t)begin.size;
  TRY(buf_append(&r->bytes, begin.data, begin.size));
  if (end != NULL) {
    item.end_at = r->bytes.size;
    item.end_size = (uint32_t)end->size;
    TRY(buf_append(&r->bytes, end->data, end->size));
  }
  r->items[r->count++] = item;
  return LIKELY(read_set_used(r) <= r->bytes_max) ? VARVE_OK : read_set_shrink(r);
}

INTERNAL int read_set_add_key(read_set *r, slice key) {
  ASSERT(key.size > 0 && key.size <= UINT32_MAX);
  if (r->count > 0) { /* again the last one */
    const read_item *last = &r->items[r->count - 1];
    if (read_item_is_key(last) && slice_equal(read_set_begin(r, last), key)) return VARVE_OK;
  }
  return read_set_append(r, key, NULL, (read_item){.inclusive = true});
}

INTERNAL int read_set_add_range(read_set *r, slice lower, slice upper, bool inclusive) {
  ASSERT(lower.size <= UINT32_MAX && upper.size <= UINT32_MAX);
  bool unbounded = upper.size == 0;
  ASSERT(!inclusive || !unbounded);
  if (!unbounded) {
    int order = slice_compare(lower, upper);
    if (order > 0 || (order == 0 && !inclusive)) return VARVE_OK;
    if (order == 0) return read_set_add_key(r, lower);
  }
  return read_set_append(r, lower, &upper, (read_item){.inclusive = inclusive, .unbounded = unbounded});
}

#undef READ_SHARED_MAX
