/* vfs_single_space.c: the pages of a single file that nobody names.
 *
 *     |header, slots|used|free|used|free ............................ SINGLE_PAGES_MAX
 *
 * Invariants
 *   1. Ranges are not empty, ascend and do not touch.
 *   2. The last one ends at SINGLE_PAGES_MAX: what is handed out ends below it, so it is never used up.
 */
#include "env/vfs_single.h"

#define SPACE_ROOM_FIRST 64u

INTERNAL int single_space_init(allocator *a, single_space *s) {
  ASSERT(s->ranges == NULL);
  s->ranges = mem_alloc(a, SPACE_ROOM_FIRST * sizeof *s->ranges);
  if (s->ranges == NULL) return mem_fail(SPACE_ROOM_FIRST * sizeof *s->ranges, "the list of free pages");
  s->room = SPACE_ROOM_FIRST;
  s->count = 1;
  s->ranges[0] = (single_range){SINGLE_FIRST_PAGE, SINGLE_PAGES_MAX};
  return VARVE_OK;
}

INTERNAL void single_space_destroy(allocator *a, single_space *s) {
  mem_free(a, s->ranges, s->room * sizeof *s->ranges);
  s->ranges = NULL;
  s->count = s->room = 0;
}

/* The index of the first range that ends behind `page`. */
static size_t space_find(const single_space *s, uint64_t page) {
  size_t low = 0, high = s->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (s->ranges[middle].end <= page) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/* Room for one more range at `at`. */
static bool space_insert(allocator *a, single_space *s, size_t at, single_range r) {
  if (s->count == s->room) {
    single_range *grown = mem_resize(a, s->ranges, s->room * sizeof *grown, 2 * s->room * sizeof *grown);
    if (grown == NULL) return false;
    s->ranges = grown;
    s->room *= 2;
  }
  memmove(s->ranges + at + 1, s->ranges + at, (s->count - at) * sizeof *s->ranges);
  s->ranges[at] = r;
  s->count++;
  return true;
}

static void space_drop(single_space *s, size_t at) {
  ASSERT(at < s->count);
  s->count--;
  memmove(s->ranges + at, s->ranges + at + 1, (s->count - at) * sizeof *s->ranges);
}

/* Takes the first `pages` of range `at`. */
static single_range space_front(single_space *s, size_t at, uint64_t pages) {
  single_range *r = &s->ranges[at];
  single_range taken = {r->start, r->start + pages};
  ASSERT(pages > 0 && taken.end <= r->end && taken.end < SINGLE_PAGES_MAX);
  r->start = taken.end;
  if (r->start == r->end) space_drop(s, at);
  return taken;
}

INTERNAL int single_space_claim(allocator *a, single_space *s, single_range r) {
  ASSERT(r.start < r.end && r.end < SINGLE_PAGES_MAX);
  size_t at = space_find(s, r.start);
  if (at == s->count || s->ranges[at].start > r.start || s->ranges[at].end < r.end) return VARVE_EXISTS;
  single_range before = {s->ranges[at].start, r.start};
  if (before.start == before.end) {
    (void)space_front(s, at, r.end - r.start);
    return VARVE_OK;
  }
  if (s->ranges[at].end == r.end) {
    s->ranges[at].end = r.start;
    return VARVE_OK;
  }
  if (!space_insert(a, s, at, before)) return mem_fail(s->room * sizeof *s->ranges, "the list of free pages");
  s->ranges[at + 1].start = r.end;
  return VARVE_OK;
}

INTERNAL uint64_t single_space_extend(single_space *s, uint64_t at, uint64_t want) {
  size_t i = space_find(s, at);
  if (i == s->count || s->ranges[i].start != at) return 0;
  uint64_t pages = MIN(want, s->ranges[i].end - s->ranges[i].start - (i + 1 == s->count ? 1 : 0));
  if (pages > 0) (void)space_front(s, i, pages);
  return pages;
}

/* The lowest range that holds all that is wanted, or the largest one if that is a good part of it, or the tail: few
 * extents for each file matter more than the last hole. */
INTERNAL single_range single_space_take(single_space *s, uint64_t need, uint64_t want) {
  single_range none = {0, 0};
  ASSERT(need > 0 && need <= want && s->count > 0);
  size_t largest = s->count - 1;
  uint64_t most = 0;
  for (size_t i = 0; i + 1 < s->count; i++) {
    uint64_t pages = s->ranges[i].end - s->ranges[i].start;
    if (pages >= want) return space_front(s, i, want);
    if (pages > most) {
      most = pages;
      largest = i;
    }
  }
  if (most >= need && most >= want / 4) return space_front(s, largest, most);
  const single_range *tail = &s->ranges[s->count - 1];
  if (tail->end - tail->start <= need) return none;
  return space_front(s, s->count - 1, MIN(want, tail->end - tail->start - 1));
}

INTERNAL void single_space_give(allocator *a, single_space *s, single_range r) {
  if (r.start == r.end) return;
  ASSERT(r.start < r.end && r.start >= SINGLE_FIRST_PAGE && r.end < SINGLE_PAGES_MAX);
  size_t at = space_find(s, r.start);
  ASSERT(at < s->count && s->ranges[at].start >= r.end); /* the pages were in use */
  bool joins_next = s->ranges[at].start == r.end;
  bool joins_last = at > 0 && s->ranges[at - 1].end == r.start;
  if (joins_next && joins_last) {
    s->ranges[at].start = s->ranges[at - 1].start;
    space_drop(s, at - 1);
  } else if (joins_next) {
    s->ranges[at].start = r.start;
  } else if (joins_last) {
    s->ranges[at - 1].end = r.end;
  } else {
    (void)space_insert(a, s, at, r);
  }
}

INTERNAL uint64_t single_space_top(const single_space *s) {
  ASSERT(s->count > 0 && s->ranges[s->count - 1].end == SINGLE_PAGES_MAX);
  return s->ranges[s->count - 1].start;
}

#undef SPACE_ROOM_FIRST
