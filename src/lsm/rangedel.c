/* rangedel.c: range tombstones cut into fragments by a sweep over their sorted bounds. Format: rangedel.h.
 *
 * The sweep goes from bound to bound. `active` are the tombstones that cover what lies behind the bound reached,
 * newest first: at a bound those that end there leave and those that begin there join, in one merge, and each of
 * `active` is put out as a fragment that reaches to the next bound. So the whole costs O(n log n + fragments).
 *
 * Invariants
 *   1. Fragments are sorted by begin; two of them have the same begin and end or do not touch each other's inside.
 *   2. Fragments of one range have strictly descending sequences.
 */
#include "lsm/rangedel.h"

/* ---- sorting, in place and without recursion: heap sort ---- */

typedef bool (*rangedel_less)(const void *base, size_t i, size_t j);
typedef void (*rangedel_swap)(void *base, size_t i, size_t j);

static void rangedel_sift(void *base, size_t at, size_t count, rangedel_less less, rangedel_swap swap) {
  for (;;) {
    size_t child = 2 * at + 1;
    if (child >= count) return;
    if (child + 1 < count && less(base, child, child + 1)) child++;
    if (!less(base, at, child)) return;
    swap(base, at, child);
    at = child;
  }
}

static void rangedel_sort(void *base, size_t count, rangedel_less less, rangedel_swap swap) {
  for (size_t i = count / 2; i-- > 0;) rangedel_sift(base, i, count, less, swap);
  for (size_t n = count; n > 1; n--) {
    swap(base, 0, n - 1);
    rangedel_sift(base, 0, n - 1, less, swap);
  }
}

static bool rangedel_key_less(const void *base, size_t i, size_t j) {
  const slice *keys = base;
  return slice_compare(keys[i], keys[j]) < 0;
}

static void rangedel_key_swap(void *base, size_t i, size_t j) {
  slice *keys = base, kept = keys[i];
  keys[i] = keys[j];
  keys[j] = kept;
}

/* By begin, then newest first. */
static bool rangedel_start_less(const void *base, size_t i, size_t j) {
  const range_tombstone *const *starts = base;
  int order = slice_compare(starts[i]->begin, starts[j]->begin);
  return order != 0 ? order < 0 : starts[i]->seq > starts[j]->seq;
}

static void rangedel_start_swap(void *base, size_t i, size_t j) {
  const range_tombstone **starts = base, *kept = starts[i];
  starts[i] = starts[j];
  starts[j] = kept;
}

/* ---- the sweep ---- */

typedef struct rangedel_sweep {
  rangedel_set *set;
  slice *bounds; /* sorted, unique after rangedel_copy_bounds */
  size_t bound_count, bound_capacity;
  const range_tombstone **starts; /* sorted by begin, newest first; `next` is the first that has not begun */
  size_t count, next;
  const range_tombstone **active, **merged; /* newest first; room for `count` each */
  size_t active_count;
} rangedel_sweep;

static void *rangedel_array(allocator *alloc, size_t count, size_t each) {
  if (count > PTRDIFF_MAX / each) {
    mem_fail(SIZE_MAX, "range tombstones");
    return NULL;
  }
  void *array = mem_alloc(alloc, count * each);
  if (array == NULL) mem_fail(count * each, "range tombstones");
  return array;
}

static int rangedel_sweep_init(rangedel_sweep *s, const range_tombstone *list, size_t count) {
  allocator *alloc = s->set->alloc;
  if (count > PTRDIFF_MAX / 2) return mem_fail(SIZE_MAX, "range tombstones");
  s->count = count;
  s->bound_capacity = 2 * count;
  s->bounds = rangedel_array(alloc, s->bound_capacity, sizeof *s->bounds);
  if (s->bounds == NULL) return VARVE_NOMEM;
  s->starts = rangedel_array(alloc, count, sizeof *s->starts);
  if (s->starts == NULL) return VARVE_NOMEM;
  s->active = rangedel_array(alloc, count, sizeof *s->active);
  if (s->active == NULL) return VARVE_NOMEM;
  s->merged = rangedel_array(alloc, count, sizeof *s->merged);
  if (s->merged == NULL) return VARVE_NOMEM;
  for (size_t i = 0; i < count; i++) {
    ASSERT(slice_compare(list[i].begin, list[i].end) < 0);
    ASSERT(list[i].seq <= SEQ_MAX);
    s->starts[i] = &list[i];
    s->bounds[s->bound_count++] = list[i].begin;
    s->bounds[s->bound_count++] = list[i].end;
  }
  rangedel_sort(s->starts, count, rangedel_start_less, rangedel_start_swap);
  rangedel_sort(s->bounds, s->bound_count, rangedel_key_less, rangedel_key_swap);
  return VARVE_OK;
}

static void rangedel_sweep_free(rangedel_sweep *s, allocator *alloc) {
  mem_free(alloc, s->bounds, s->bound_capacity * sizeof *s->bounds);
  mem_free(alloc, s->starts, s->count * sizeof *s->starts);
  mem_free(alloc, s->active, s->count * sizeof *s->active);
  mem_free(alloc, s->merged, s->count * sizeof *s->merged);
}

/* Drops repeated bounds and moves the rest to the set's own bytes. */
static int rangedel_copy_bounds(rangedel_sweep *s) {
  rangedel_set *set = s->set;
  size_t kept = 1, bytes = s->bounds[0].size;
  for (size_t i = 1; i < s->bound_count; i++) {
    if (slice_equal(s->bounds[i], s->bounds[kept - 1])) continue;
    if (s->bounds[i].size > PTRDIFF_MAX - bytes) return mem_fail(SIZE_MAX, "range tombstones");
    bytes += s->bounds[i].size;
    s->bounds[kept++] = s->bounds[i];
  }
  s->bound_count = kept;
  ASSERT(kept >= 2 && bytes > 0);
  set->bytes = rangedel_array(set->alloc, bytes, 1);
  if (set->bytes == NULL) return VARVE_NOMEM;
  set->bytes_size = bytes;
  uint8_t *at = set->bytes;
  for (size_t i = 0; i < kept; i++) {
    slice key = s->bounds[i];
    if (key.size > 0) memcpy(at, key.data, key.size);
    s->bounds[i].data = at;
    at += key.size;
  }
  ASSERT(at == set->bytes + bytes);
  return VARVE_OK;
}

static int rangedel_make_room(rangedel_set *set, size_t extra) {
  if (extra <= set->capacity - set->count) return VARVE_OK;
  size_t most = PTRDIFF_MAX / sizeof *set->fragments;
  if (extra > most - set->count) return mem_fail(SIZE_MAX, "range tombstones");
  size_t capacity = MIN(most, MAX(set->count + extra, set->capacity * 2));
  size_t each = sizeof *set->fragments;
  void *grown = mem_resize(set->alloc, set->fragments, set->capacity * each, capacity * each);
  if (grown == NULL) return mem_fail(capacity * each, "range tombstones");
  set->fragments = grown;
  set->capacity = capacity;
  return VARVE_OK;
}

/* Puts out what covers [begin, end). */
static int rangedel_emit(rangedel_sweep *s, slice begin, slice end) {
  rangedel_set *set = s->set;
  TRY(rangedel_make_room(set, s->active_count));
  for (size_t i = 0; i < s->active_count; i++) {
    uint64_t seq = s->active[i]->seq;
    if (i > 0 && s->active[i - 1]->seq == seq) continue;
    ASSERT(i == 0 || s->active[i - 1]->seq > seq);
    set->fragments[set->count++] = (range_tombstone){begin, end, seq};
  }
  return VARVE_OK;
}

/* At `bound`: ends leave, beginnings join. */
static void rangedel_turn(rangedel_sweep *s, slice bound) {
  size_t n = 0, i = 0, starts_end = s->next;
  while (starts_end < s->count && slice_compare(s->starts[starts_end]->begin, bound) == 0) starts_end++;
  while (i < s->active_count || s->next < starts_end) {
    if (i < s->active_count && slice_compare(s->active[i]->end, bound) <= 0) {
      i++;
      continue;
    }
    bool old = i < s->active_count && (s->next == starts_end || s->active[i]->seq >= s->starts[s->next]->seq);
    s->merged[n++] = old ? s->active[i++] : s->starts[s->next++];
  }
  ASSERT(n <= s->count);
  const range_tombstone **spent = s->active;
  s->active = s->merged;
  s->merged = spent;
  s->active_count = n;
}

INTERNAL int rangedel_build(allocator *alloc, const range_tombstone *list, size_t count, rangedel_set **set) {
  *set = NULL;
  if (count == 0) return VARVE_OK;
  int rc = VARVE_OK;
  rangedel_sweep s;
  memset(&s, 0, sizeof s);
  s.set = MEM_NEW(alloc, rangedel_set);
  if (s.set == NULL) return mem_fail(sizeof *s.set, "range tombstones");
  s.set->alloc = alloc;
  STEP(rangedel_sweep_init(&s, list, count));
  STEP(rangedel_copy_bounds(&s));
  for (size_t i = 0; i + 1 < s.bound_count; i++) {
    rangedel_turn(&s, s.bounds[i]);
    STEP(rangedel_emit(&s, s.bounds[i], s.bounds[i + 1]));
  }
  ASSERT(s.next == count && s.set->count > 0);
  *set = s.set;
  s.set = NULL;
out:
  rangedel_free(s.set);
  rangedel_sweep_free(&s, alloc);
  return rc;
}

INTERNAL void rangedel_free(rangedel_set *set) {
  if (set == NULL) return;
  allocator *alloc = set->alloc;
  mem_free(alloc, set->fragments, set->capacity * sizeof *set->fragments);
  mem_free(alloc, set->bytes, set->bytes_size);
  MEM_DELETE(alloc, set);
}

INTERNAL size_t rangedel_memory(const rangedel_set *set) {
  if (set == NULL) return 0;
  return sizeof *set + set->capacity * sizeof *set->fragments + set->bytes_size;
}

/* The first fragment in [low, count) that begins at or after key (after it when `past`). */
static size_t rangedel_bound(const rangedel_set *set, slice key, bool past) {
  size_t low = 0, high = set->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    int order = slice_compare(set->fragments[middle].begin, key);
    if (order < 0 || (past && order == 0)) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

INTERNAL const range_tombstone *rangedel_find(const rangedel_set *set, slice key, uint64_t seq_max) {
  if (set == NULL) return NULL;
  size_t high = rangedel_bound(set, key, true);
  if (high == 0) return NULL;
  const range_tombstone *last = &set->fragments[high - 1]; /* the oldest of the only range that may hold key */
  if (last->seq > seq_max || slice_compare(key, last->end) >= 0) return NULL;
  size_t end = high;
  size_t low = rangedel_bound(set, last->begin, false);
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (set->fragments[middle].seq > seq_max) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  ASSERT(low < end && set->fragments[low].seq <= seq_max);
  return &set->fragments[low];
}

INTERNAL int rangedel_append(const range_tombstone *f, buf *out) {
  TRY(buf_append_slice(out, f->begin));
  TRY(buf_append_slice(out, f->end));
  return buf_append_varint(out, f->seq);
}

static bool rangedel_follows(const range_tombstone *before, const range_tombstone *f) {
  if (before == NULL || slice_compare(before->end, f->begin) <= 0) return true;
  return slice_equal(before->begin, f->begin) && slice_equal(before->end, f->end) && before->seq > f->seq;
}

static int rangedel_decode_fragments(rangedel_set *set, reader *r, size_t count) {
  for (size_t i = 0; i < count; i++) {
    range_tombstone f;
    if (!read_slice(r, INNER_KEY_MAX, &f.begin) || !read_slice(r, INNER_KEY_MAX, &f.end)) return VARVE_CORRUPT;
    if (!read_varint64(r, &f.seq) || f.seq > SEQ_MAX) return VARVE_CORRUPT;
    if (slice_compare(f.begin, f.end) >= 0) return VARVE_CORRUPT;
    if (!rangedel_follows(i == 0 ? NULL : &set->fragments[i - 1], &f)) return VARVE_CORRUPT;
    ASSERT(set->count < set->capacity);
    set->fragments[set->count++] = f;
  }
  return reader_left(r) == 0 ? VARVE_OK : VARVE_CORRUPT;
}

#define RANGEDEL_FRAGMENT_BYTES_MIN 4u /* sizes of begin and end, one byte of end, sequence */

INTERNAL int rangedel_decode(allocator *alloc, slice bytes, rangedel_set **set) {
  *set = NULL;
  reader r = reader_of(bytes);
  uint64_t count;
  if (!read_varint64(&r, &count)) return VARVE_CORRUPT;
  if (count > reader_left(&r) / RANGEDEL_FRAGMENT_BYTES_MIN) return VARVE_CORRUPT;
  if (count == 0) return reader_left(&r) == 0 ? VARVE_OK : VARVE_CORRUPT;
  int rc = VARVE_OK;
  rangedel_set *made = MEM_NEW(alloc, rangedel_set);
  if (made == NULL) return mem_fail(sizeof *made, "range tombstones");
  made->alloc = alloc;
  STEP(rangedel_make_room(made, (size_t)count));
  size_t left = reader_left(&r);
  made->bytes = rangedel_array(alloc, left, 1);
  if (made->bytes == NULL) rc = VARVE_NOMEM;
  STEP(rc);
  made->bytes_size = left;
  memcpy(made->bytes, r.at, left);
  r = reader_of(slice_make(made->bytes, left)); /* the fragments borrow from the copy */
  STEP(rangedel_decode_fragments(made, &r, (size_t)count));
  ASSERT(made->count == count);
  *set = made;
  made = NULL;
out:
  rangedel_free(made);
  return rc;
}

#undef RANGEDEL_FRAGMENT_BYTES_MIN
