/* rangedel.h: range tombstones, cut into fragments that do not overlap.
 *
 * A range tombstone [begin, end) @ seq hides every version of the keys in it with a smaller sequence. A set holds the
 * fragments of many: sorted by begin, equal ranges together with their sequences descending, so that one binary
 * search answers for a key. Sets are immutable.
 *
 *     [a,     m) @ 7                 fragments  [a, f) @ 7   [f, m) @ 9, 7   [m, z) @ 9
 *         [f,        z) @ 9
 *
 * Encoded (a table's range-tombstone section): varint count, then for each fragment
 *   varint begin size | begin | varint end size | end | varint seq
 */
#ifndef VARVE_RANGEDEL_H
#define VARVE_RANGEDEL_H

#include "base/coding.h"
#include "lsm/entry.h"

typedef struct range_tombstone {
  slice begin, end;
  uint64_t seq;
} range_tombstone;

typedef struct rangedel_set {
  allocator *alloc;
  range_tombstone *fragments; /* slices into `bytes` */
  size_t count, capacity;
  uint8_t *bytes;
  size_t bytes_size;
} rangedel_set;

/* Fragments `count` tombstones (any order, may overlap), copying their keys. A sequence that appears twice in one
 * range is kept once. NOMEM. *set is NULL when count is 0. */
INTERNAL int rangedel_build(allocator *alloc, const range_tombstone *list, size_t count, rangedel_set **set);
INTERNAL void rangedel_free(rangedel_set *set); /* NULL is allowed */
INTERNAL size_t rangedel_memory(const rangedel_set *set);

/* The newest fragment with begin <= key < end and seq <= seq_max, or NULL. set may be NULL. */
INTERNAL const range_tombstone *rangedel_find(const rangedel_set *set, slice key, uint64_t seq_max);

/* Adds one fragment to an encoded section, in which the caller has put the count before. */
INTERNAL int rangedel_append(const range_tombstone *f, buf *out);
/* Hostile bytes: CORRUPT (no message) unless they are the encoding of a well-formed set. */
INTERNAL int rangedel_decode(allocator *alloc, slice bytes, rangedel_set **set);

#endif
