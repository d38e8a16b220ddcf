/* read_set.h: what a transaction has read: keys and ranges, in bounded memory.
 *
 * Beyond the bound the set is sorted, what overlaps is joined, and if that is not enough neighbours become one range,
 * the gap between them included, until half of the bound is free. So the set may grow wider than what was read, never
 * narrower.
 */
#ifndef VARVE_READ_SET_H
#define VARVE_READ_SET_H

#include "base/buf.h"

/* begin <= key < end, or <= end when inclusive; a key alone is begin = end, inclusive. No end when unbounded. */
typedef struct read_item {
  size_t begin_at, end_at; /* in bytes */
  uint32_t begin_size, end_size;
  bool inclusive, unbounded;
} read_item;

typedef struct read_set {
  read_item *items;
  size_t count, room;
  buf bytes;
  uint64_t bytes_max;
} read_set;

INTERNAL void read_set_init(read_set *r, allocator *alloc);
INTERNAL void read_set_free(read_set *r);
INTERNAL void read_set_clear(read_set *r, uint64_t bytes_max);
INTERNAL size_t read_set_memory(const read_set *r); /* in use */

/* NOMEM; nothing is forgotten then. */
INTERNAL int read_set_add_key(read_set *r, slice key);
/* lower <= key < upper (<= when inclusive); upper empty = no bound. */
INTERNAL int read_set_add_range(read_set *r, slice lower, slice upper, bool inclusive);

static inline slice read_set_begin(const read_set *r, const read_item *i) {
  return slice_make(r->bytes.data + i->begin_at, i->begin_size);
}
static inline slice read_set_end(const read_set *r, const read_item *i) {
  return slice_make(r->bytes.data + i->end_at, i->end_size);
}
static inline bool read_item_is_key(const read_item *i) {
  return i->inclusive && i->begin_at == i->end_at && i->begin_size == i->end_size;
}

#endif
