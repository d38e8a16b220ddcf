/* filter.h: blocked Bloom filter (Putze, Sanders, Singler: Cache-, Hash- and Space-Efficient Bloom Filters, 2007): all
 * bits of
 * a key lie in one 64-byte line, so a lookup costs one cache miss. 10 bits a key: about 1 % false positives.
 *
 *   section := lines of 64 bytes; line = high 32 bits of the hash * lines >> 32; bits from the low 32 bits
 *
 * One hash (key_hash) of a key serves every table that is asked for it. A hash index's entries, 01 00 'h' | varint
 * index id | 8 bytes of hash | ..., are in filters with their bytes up to the hash alone, so that one question to a
 * filter tells whether a table has any entry of an index key.
 */
#ifndef VARVE_FILTER_H
#define VARVE_FILTER_H

#include "base/buf.h"
#include "base/xxh64.h"

#define FILTER_LINE 64u

#define FILTER_ENTRY_HASH 8u /* bytes of hash in a hash index's entry */

/* The part of a key in the catalogue's keyspace that filters are made of. */
INTERNAL slice filter_system_part(slice key);

/* The part of a key that filters are made of: all of it, but for entries of hash indexes. */
static inline slice filter_part(slice key) {
  return LIKELY(key.size < 2 || ((const uint8_t *)key.data)[0] != 1) ? key : filter_system_part(key);
}

static inline uint64_t key_hash(slice key) {
  slice part = filter_part(key);
  return xxh64(part.data, part.size, 0);
}

/* Appends the filter of `count` hashes. bits_per_key 1 = none (nothing appended). */
INTERNAL int filter_build(const uint64_t *hashes, size_t count, uint32_t bits_per_key, buf *out);
/* Asks for the line that the next call will look at. */
INTERNAL void filter_prefetch(slice filter, uint64_t hash);
/* False = the key is not there. An empty filter says true. */
INTERNAL bool filter_may_contain(slice filter, uint32_t bits_per_key, uint64_t hash);

#endif
