/* sst.h: a table: an immutable sorted file. Writer and reader.
 *
 *   [block] … [block] [range tombstones] [filter] [index] [properties] [footer, 128 bytes, at the end]
 *
 *   Every section is stored as   payload | zeros to a multiple of 8 | u32 codec (0 raw, 1 LZ4 preceded by a u32 raw
 *   size;
 *                                | the count of zeros in the second byte) | u32 checksum, and starts at a multiple of 8
 *   checksum = low half of XXH64 of everything before it in the section, seed = file number * odd constant ^ section
 *   offset: a block
 *   that is intact but in the wrong place, or of the wrong file, does not pass.
 *
 * The index, the filter and the properties are never compressed and are used in place. docs/FORMAT.md has each byte.
 */
#ifndef VARVE_SST_H
#define VARVE_SST_H

#include "env/env.h"
#include "lsm/block_cache.h"
#include "lsm/filter.h"
#include "lsm/iter.h"
#include "lsm/rangedel.h"

#define SST_BLOCK_BYTES_CAP (1u << 30 | 1u << 20) /* no section may claim more: the largest value and its key fit */

/* ---- writer ---- */
typedef struct sst_options {
  uint32_t block_bytes; /* target of a payload */
  uint32_t bloom_bits;  /* 1 = no filter */
  bool compress;        /* LZ4 for blocks that get at least 12 % smaller */
} sst_options;

/* What the writer knows at the end; bounds are owned by the writer until it is closed. */
typedef struct sst_summary {
  uint64_t size, entries, tombstones, range_tombstones, seq_min, seq_max, raw_bytes; /* raw: keys and values */
  slice smallest, largest; /* as in version.h, range tombstones included */
  bool largest_exclusive;
} sst_summary;

typedef struct sst_writer sst_writer;

/* Creates file `number`. Writes go out in pieces of 256 KiB or more. */
INTERNAL int sst_writer_create(env *e, uint64_t number, const sst_options *options, sst_writer **w);
/* Versions in entry order. */
INTERNAL int sst_writer_add(sst_writer *w, slice key, uint64_t trailer, slice value);
/* A range-tombstone fragment, in order of begin (sequences descending in one range); may come before, between or after
 * points. */
INTERNAL int sst_writer_add_range(sst_writer *w, slice begin, slice end, uint64_t seq);
INTERNAL uint64_t sst_writer_size(const sst_writer *w); /* file bytes so far, the open block estimated */
/* Writes the rest and syncs the file (its name is the caller's: sync_dir). */
INTERNAL int sst_writer_finish(sst_writer *w, sst_summary *summary);
/* Closes; removes the file unless it was finished. NULL is allowed. */
INTERNAL void sst_writer_close(sst_writer *w);

/* ---- reader ---- */
typedef struct table table;

typedef struct table_get_result {
  uint64_t trailer;
  slice value;        /* borrowed: from `block` when not NULL, else from the mapped table, valid while the table is */
  cache_block *block; /* pinned for the caller, or NULL */
} table_get_result;

/* Opens and checks footer, index, properties, filter and range tombstones. `map` asks for a mapped file (falls back to
 * reading).
 * NEWER_FORMAT, CORRUPT, IO, NOMEM. Any thread may use an open table. Blocks are checked at their first use (mapped)
 * or when read. */
INTERNAL int table_open(env *e, block_cache *cache, uint64_t number, uint64_t size, bool map, table **t);
INTERNAL void table_close(table *t); /* NULL is allowed */

/* The newest version of key with sequence <= seq_max: OK, NOTFOUND, or a failure. `hash` = key_hash(key). Point
 * versions only. */
INTERNAL int table_get(table *t, slice key, uint64_t hash, uint64_t seq_max, table_get_result *result);
/* The same, for a key that is expected to be there: the block is on its way to the processor while the filter is
 * asked. */
INTERNAL int table_get_expected(table *t, slice key, uint64_t hash, uint64_t seq_max, table_get_result *result);

/* False = no key whose key_hash is `hash` is in the table. */
INTERNAL bool table_may_contain(const table *t, uint64_t hash);

INTERNAL const rangedel_set *table_range_set(const table *t); /* NULL when there are none */
INTERNAL bool table_mapped(const table *t);
INTERNAL void table_summary(const table *t, sst_summary *summary); /* borrowed from the table */

/* An iterator over all point versions. `bulk`: for compaction and verify: reads ahead in pieces of 128 KiB or more
 * with pread, even when
 * the table is mapped, and leaves the cache alone. The table must outlive it. */
INTERNAL int table_iter_open(table *t, allocator *alloc, bool bulk, iter **it);

/* Reads and checks everything. Counts what was read. CORRUPT with file, offset, reason. */
INTERNAL int table_verify(table *t, uint64_t *blocks, uint64_t *entries);

#endif
