/* filter.h: blocked Bloom filter (Putze, Sanders, Singler: Cache-, Hash- and Space-Efficient Bloom Filters, 2007): all
 * bits of
 * a key lie in one 64-byte line, so a lookup costs one cache miss. 10 bits a key: about 1 % false positives.
 *
 *   section := lines of 64 bytes; line = high 32 bits of the hash * lines >> 32; bits from the low 32 bits
 *
 * One hash (key_hash) of a key serves every table that is asked for it.
 */
#ifndef VARVE_FILTER_H
#define VARVE_FILTER_H

#include "base/buf.h"
#include "base/xxh64.h"

#define FILTER_LINE 64u

static inline uint64_t key_hash(slice key) {
  return xxh64(key.data, key.size, 0);
}

/* Appends the filter of `count` hashes. bits_per_key 1 = none (nothing appended). */
INTERNAL int filter_build(const uint64_t *hashes, size_t count, uint32_t bits_per_key, buf *out);
/* Asks for the line that the next call will look at. */
INTERNAL void filter_prefetch(slice filter, uint64_t hash);
/* False = the key is not there. An empty filter says true. */
INTERNAL bool filter_may_contain(slice filter, uint32_t bits_per_key, uint64_t hash);

#endif
