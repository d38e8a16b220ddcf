/* memtable_ranges.c: the range tombstones of a memtable, as they came, with enough beside them to find the newest one
 * that covers a key without a look at most of them.
 *
 * They are kept in pages in the order of their sequences. Pages are numbered from 0; block (p, j) is the 2^j pages
 * that end with page p, for every j that divides p + 1 so often, as in a binary counter. A full block has its spans:
 * the union of its ranges, sorted and disjoint. A key outside the spans is in none of the block's ranges.
 *
 *     page      0   1   2   3   4          the list, newest first: page 4, then block (3, 2)
 *     level 0  [0] [1] [2] [3] [4]         block (3, 2) = block (1, 1), block (3, 1)
 *     level 1      [0,1]   [2,3]
 *     level 2          [0 .. 3]
 *
 * Fragments (rangedel.h) are not kept: n ranges that all begin at the same key, as cutting the head off a queue
 * leaves them, make n * n / 2 of those, but spans of n tombstones are n log n at most.
 *
 * Invariants
 *   1. Tombstones and pages are written before the count or reference that shows them, and never change.
 *   2. Spans are the only part that may be missing (out of memory): a search then looks into the block.
 */
#include "lsm/memtable_int.h"

#ifdef VARVE_TINY
#define MEMRANGES_PAGE 4u
#else
#define MEMRANGES_PAGE 32u
#endif
#define MEMRANGES_LEVELS_MAX 32u

typedef struct memranges_tombstone {
  uint64_t seq;
  uint32_t begin_size, end_size;
  uint8_t bytes[]; /* begin, end */
} memranges_tombstone;

/* From the begin of one tombstone to the end of another. */
typedef struct memranges_span {
  arena_ref begin, end;
} memranges_span;

/* In memory of its own: the arena has what was reserved for the writes to come. */
typedef struct memranges_spans {
  size_t count;
  memranges_span list[];
} memranges_spans;

typedef struct memranges_level {
  uint64_t first_seq;
  _Atomic(memranges_spans *) spans; /* NULL until the block is full */
  arena_ref before;                 /* the page before the block, 0 = none */
} memranges_level;

typedef struct memranges_page {
  _Atomic uint32_t count;
  uint32_t number;
  uint32_t levels; /* of blocks that end with this page */
  arena_ref tombstones[MEMRANGES_PAGE];
  memranges_level level[];
} memranges_page;

static memranges_page *memranges_page_at(const memtable *mt, arena_ref ref) {
  return arena_at(&mt->arena, ref);
}

static const memranges_tombstone *memranges_at(const memtable *mt, arena_ref ref) {
  return arena_at(&mt->arena, ref);
}

static slice memranges_begin(const memtable *mt, arena_ref ref) {
  const memranges_tombstone *t = memranges_at(mt, ref);
  return slice_make(t->bytes, t->begin_size);
}

static slice memranges_end(const memtable *mt, arena_ref ref) {
  const memranges_tombstone *t = memranges_at(mt, ref);
  return slice_make(t->bytes + t->begin_size, t->end_size);
}

static bool memranges_covers(const memtable *mt, arena_ref begin, arena_ref end, slice key) {
  return slice_compare(memranges_begin(mt, begin), key) <= 0 && slice_compare(key, memranges_end(mt, end)) < 0;
}

/* ---- spans ---- */

static size_t memranges_spans_size(size_t count) {
  return sizeof(memranges_spans) + count * sizeof(memranges_span);
}

/* The union of two sorted, disjoint lists into `out` (NULL: only counted). */
static size_t memranges_unite(const memtable *mt, const memranges_spans *a, const memranges_spans *b,
                              memranges_span *out) {
  size_t i = 0, j = 0, n = 0;
  memranges_span last = {0, 0};
  while (i < a->count || j < b->count) {
    bool from_a = j == b->count || (i < a->count && slice_compare(memranges_begin(mt, a->list[i].begin),
                                                                  memranges_begin(mt, b->list[j].begin)) <= 0);
    memranges_span span = from_a ? a->list[i++] : b->list[j++];
    if (n > 0 && slice_compare(memranges_begin(mt, span.begin), memranges_end(mt, last.end)) <= 0) {
      if (slice_compare(memranges_end(mt, span.end), memranges_end(mt, last.end)) > 0) last.end = span.end;
    } else {
      last = span;
      n++;
    }
    if (out != NULL) out[n - 1] = last;
  }
  ASSERT(n <= a->count + b->count);
  return n;
}

/* The union as a new list; NULL when memory is out or a or b is missing. */
static memranges_spans *memranges_join(memtable *mt, const memranges_spans *a, const memranges_spans *b) {
  if (a == NULL || b == NULL) return NULL;
  size_t count = memranges_unite(mt, a, b, NULL);
  memranges_spans *joined = mem_alloc(mt->alloc, memranges_spans_size(count));
  if (joined == NULL) return NULL;
  joined->count = count;
  memranges_unite(mt, a, b, joined->list);
  return joined;
}

static void memranges_spans_free(memtable *mt, memranges_spans *spans) {
  if (spans != NULL) mem_free(mt->alloc, spans, memranges_spans_size(spans->count));
}

/* Spans of a full page: united in pairs of growing lists, as in a merge sort. */
static memranges_spans *memranges_page_spans(memtable *mt, const memranges_page *page, uint32_t from, uint32_t count) {
  if (count == 1) {
    memranges_spans *one = mem_alloc(mt->alloc, memranges_spans_size(1));
    if (one == NULL) return NULL;
    one->count = 1;
    one->list[0] = (memranges_span){page->tombstones[from], page->tombstones[from]};
    return one;
  }
  memranges_spans *a = memranges_page_spans(mt, page, from, count / 2);
  memranges_spans *b = memranges_page_spans(mt, page, from + count / 2, count - count / 2);
  memranges_spans *joined = memranges_join(mt, a, b);
  memranges_spans_free(mt, a);
  memranges_spans_free(mt, b);
  return joined;
}

static bool memranges_spans_cover(const memtable *mt, const memranges_spans *spans, slice key) {
  size_t low = 0, high = spans->count; /* spans before low begin at or before key */
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (slice_compare(memranges_begin(mt, spans->list[middle].begin), key) <= 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low > 0 && slice_compare(key, memranges_end(mt, spans->list[low - 1].end)) < 0;
}

/* Makes the spans of all blocks that end with a page that has just become full. */
static void memranges_fill_levels(memtable *mt, memranges_page *page) {
  memranges_spans *spans = memranges_page_spans(mt, page, 0, MEMRANGES_PAGE);
  for (uint32_t j = 0; j < page->levels; j++) {
    if (spans == NULL) return;
    mt->spans_bytes += memranges_spans_size(spans->count);
    MEMTREE_STORE(page->level[j].spans, spans);
    if (j + 1 == page->levels) return;
    const memranges_page *before = memranges_page_at(mt, page->level[j].before);
    ASSERT(j < before->levels);
    spans = memranges_join(mt, MEMTREE_LOAD(before->level[j].spans), spans);
  }
}

/* ---- adding ---- */

/* A page for the tombstones from `seq` on, behind the last one. */
static arena_ref memranges_new_page(memtable *mt, arena_ref last, uint64_t seq) {
  uint32_t number = last == 0 ? 0 : memranges_page_at(mt, last)->number + 1;
  uint32_t levels = (uint32_t)__builtin_ctzll((uint64_t)number + 1) + 1;
  ASSERT(levels <= MEMRANGES_LEVELS_MAX);
  arena_ref made = arena_alloc(&mt->arena, sizeof(memranges_page) + levels * sizeof(memranges_level));
  ASSERT(made != 0); /* the caller reserved */
  memranges_page *page = memranges_page_at(mt, made);
  atomic_init(&page->count, 0);
  page->number = number;
  page->levels = levels;
  for (uint32_t j = 0; j < levels; j++) {
    memranges_level *level = &page->level[j];
    atomic_init(&level->spans, NULL);
    if (j == 0) {
      level->before = last;
      level->first_seq = seq;
      continue;
    }
    /* Block (p, j) is block (p, j - 1) and the one of the same size before it. */
    const memranges_page *before = memranges_page_at(mt, page->level[j - 1].before);
    level->before = before->level[j - 1].before;
    level->first_seq = before->level[j - 1].first_seq;
  }
  return made;
}

INTERNAL void memtable_delete_range(memtable *mt, uint64_t seq, slice begin, slice end) {
  ASSERT(seq > mt->last_seq && seq <= SEQ_MAX);
  ASSERT(slice_compare(begin, end) < 0 && begin.size <= UINT32_MAX && end.size <= UINT32_MAX);
  arena_ref ref = arena_alloc(&mt->arena, sizeof(memranges_tombstone) + begin.size + end.size);
  ASSERT(ref != 0); /* the caller reserved */
  memranges_tombstone *t = arena_at(&mt->arena, ref);
  t->seq = seq;
  t->begin_size = (uint32_t)begin.size;
  t->end_size = (uint32_t)end.size;
  if (begin.size > 0) memcpy(t->bytes, begin.data, begin.size);
  memcpy(t->bytes + begin.size, end.data, end.size);
  arena_ref last = MEMTREE_LOAD(mt->ranges);
  if (last == 0 || MEMTREE_LOAD(memranges_page_at(mt, last)->count) == MEMRANGES_PAGE) {
    last = memranges_new_page(mt, last, seq);
  }
  memranges_page *page = memranges_page_at(mt, last);
  uint32_t count = MEMTREE_LOAD(page->count);
  page->tombstones[count] = ref;
  MEMTREE_STORE(page->count, count + 1);
  MEMTREE_STORE(mt->ranges, last);
  if (count + 1 == MEMRANGES_PAGE) memranges_fill_levels(mt, page);
  mt->last_seq = seq;
  uint64_t deletes = atomic_load_explicit(&mt->range_deletes, memory_order_relaxed);
  atomic_store_explicit(&mt->range_deletes, deletes + 1, memory_order_relaxed);
  mem_count_bytes(mt);
}

/* ---- finding ---- */

/* The newest tombstone of block (page, level) with a sequence <= seq_max that covers key, 0 = none. */
static arena_ref memranges_find(const memtable *mt, const memranges_page *page, uint32_t level, slice key,
                                uint64_t seq_max) {
  const memranges_level *block = &page->level[level];
  if (block->first_seq > seq_max) return 0;
  const memranges_spans *spans = MEMTREE_LOAD(block->spans);
  if (spans != NULL && !memranges_spans_cover(mt, spans, key)) return 0;
  if (level > 0) {
    arena_ref found = memranges_find(mt, page, level - 1, key, seq_max);
    if (found != 0) return found;
    return memranges_find(mt, memranges_page_at(mt, page->level[level - 1].before), level - 1, key, seq_max);
  }
  for (uint32_t i = MEMTREE_LOAD(page->count); i-- > 0;) {
    arena_ref ref = page->tombstones[i];
    if (memranges_at(mt, ref)->seq <= seq_max && memranges_covers(mt, ref, ref, key)) return ref;
  }
  return 0;
}

static bool memranges_search(const memtable *mt, arena_ref at, slice key, uint64_t seq_max, range_tombstone *found) {
  while (at != 0) {
    const memranges_page *page = memranges_page_at(mt, at);
    arena_ref ref = memranges_find(mt, page, page->levels - 1, key, seq_max);
    if (ref != 0) {
      *found = (range_tombstone){memranges_begin(mt, ref), memranges_end(mt, ref), memranges_at(mt, ref)->seq};
      return true;
    }
    at = page->level[page->levels - 1].before;
  }
  return false;
}

INTERNAL bool memtable_covering(const memtable *mt, slice key, uint64_t seq_max, range_tombstone *found) {
  arena_ref last = MEMTREE_LOAD(mt->ranges);
  return UNLIKELY(last != 0) && memranges_search(mt, last, key, seq_max, found);
}

INTERNAL bool memtable_ranges_changed(const memtable *mt, slice lower, slice upper, uint64_t since, slice *found) {
  for (arena_ref at = MEMTREE_LOAD(mt->ranges); at != 0;) {
    const memranges_page *page = memranges_page_at(mt, at);
    for (uint32_t i = MEMTREE_LOAD(page->count); i-- > 0;) {
      arena_ref ref = page->tombstones[i];
      if (memranges_at(mt, ref)->seq <= since) return false; /* and so are all before it */
      slice begin = memranges_begin(mt, ref);
      if (upper.size > 0 && slice_compare(begin, upper) >= 0) continue;
      if (slice_compare(memranges_end(mt, ref), lower) <= 0) continue;
      *found = slice_compare(begin, lower) < 0 ? lower : begin;
      return true;
    }
    at = page->level[0].before;
  }
  return false;
}

/* ---- all of them ---- */

INTERNAL int memtable_range_set(const memtable *mt, allocator *alloc, rangedel_set **set) {
  *set = NULL;
  uint64_t count = memtable_range_deletes(mt), n = 0;
  if (count == 0) return VARVE_OK;
  if (count > PTRDIFF_MAX / sizeof(range_tombstone)) return mem_fail(SIZE_MAX, "range tombstones");
  size_t size = (size_t)count * sizeof(range_tombstone);
  range_tombstone *list = mem_alloc(alloc, size);
  if (list == NULL) return mem_fail(size, "range tombstones");
  for (arena_ref at = MEMTREE_LOAD(mt->ranges); at != 0;) {
    const memranges_page *page = memranges_page_at(mt, at);
    for (uint32_t i = MEMTREE_LOAD(page->count); i-- > 0;) {
      arena_ref ref = page->tombstones[i];
      ASSERT(n < count); /* nobody writes */
      list[n++] = (range_tombstone){memranges_begin(mt, ref), memranges_end(mt, ref), memranges_at(mt, ref)->seq};
    }
    at = page->level[0].before;
  }
  ASSERT(n == count);
  int rc = rangedel_build(alloc, list, (size_t)count, set);
  mem_free(alloc, list, size);
  return rc;
}

INTERNAL void memranges_free(memtable *mt) {
  for (arena_ref at = MEMTREE_LOAD(mt->ranges); at != 0;) {
    memranges_page *page = memranges_page_at(mt, at);
    for (uint32_t j = 0; j < page->levels; j++) memranges_spans_free(mt, MEMTREE_LOAD(page->level[j].spans));
    at = page->level[0].before;
  }
}

#undef MEMRANGES_PAGE
#undef MEMRANGES_LEVELS_MAX
