/* entry.h: what the engine stores: versions of keys, and their one order.
 *
 * A version is (key, trailer, value) with trailer = sequence << 8 | kind. Every operation of a batch has a sequence
 * of its own, so a later operation of the same batch wins like any later one. Order everywhere: key ascending, then
 * trailer descending: the newest version of a key comes first.
 *
 * `key` below the api layer always means the inner key: the keyspace's varint id, then the user's bytes.
 */
#ifndef VARVE_ENTRY_H
#define VARVE_ENTRY_H

#include "base/limits.h"
#include "base/slice.h"

/* On disk: do not change the numbers. */
typedef enum entry_kind { KIND_DELETE = 0, KIND_PUT = 1, KIND_RANGE_DELETE = 2 } entry_kind;

#define TRAILER_MAX UINT64_MAX /* sorts before every version of its key */

static inline uint64_t trailer_make(uint64_t seq, entry_kind kind) {
  return seq << 8 | (uint64_t)kind;
}
static inline uint64_t trailer_seq(uint64_t trailer) {
  return trailer >> 8;
}
static inline entry_kind trailer_kind(uint64_t trailer) {
  return (entry_kind)(trailer & 0xff);
}

/* < 0, 0, > 0 as (a, ta) comes before, is, or comes after (b, tb). */
static inline int entry_compare(slice a, uint64_t ta, slice b, uint64_t tb) {
  int order = slice_compare(a, b);
  if (order != 0) return order;
  return (ta < tb) - (ta > tb);
}

#endif
