/* limits.h: every bound and default of the engine in one place, checked against each other.
 *
 * VARVE_TINY shrinks the defaults and minima, never the formats, so that tests reach rotation, compaction, many levels
 * and split nodes with a few hundred entries.
 */
#ifndef VARVE_LIMITS_H
#define VARVE_LIMITS_H

#include "base/base.h"

#define KiB 1024u
#define MiB (1024u * KiB)

/* What a caller may pass. An inner key is a user key behind its keyspace's id. */
#define KEYSPACE_PREFIX_MAX 5u
#define INNER_KEY_MAX       (VARVE_KEY_SIZE_MAX + KEYSPACE_PREFIX_MAX + 1u) /* + 1: the successor of the largest key */
#define BATCH_BYTES_MAX     0x7fffffffu

#define SEQ_MAX ((UINT64_C(1) << 56) - 1)
/* Sequences from here on are a transaction's own writes, which no commit has given one yet: they sort before all that
 * is committed. */
#define TXN_SEQ_BASE (UINT64_C(1) << 55)
#define LEVELS       7u
static_assert(LEVELS <= VARVE_LEVELS_MAX, "stats must have room");

#ifdef VARVE_TINY
#define MEMTABLE_BYTES_DEFAULT     (16 * KiB)
#define MEMTABLE_BYTES_MIN         (4 * KiB)
#define TABLE_BYTES_DEFAULT        (8 * KiB)
#define TABLE_BYTES_MIN            (1 * KiB)
#define BLOCK_BYTES_DEFAULT        256u
#define BLOCK_BYTES_MIN            64u
#define MEMORY_BYTES_DEFAULT       (1 * MiB)
#define MEMORY_BYTES_MIN           (64 * KiB)
#define BTREE_FANOUT               8u
#define WAL_CHUNK_BYTES            (16 * KiB)
#define ARENA_FIRST_CHUNK_BYTES    (16 * KiB)
#define FANOUT_DEFAULT             3u
#define MANIFEST_REWRITE_BYTES_MIN (2 * KiB)
#else
#ifdef __wasm__
#define MEMTABLE_BYTES_DEFAULT (4 * MiB)
#define TABLE_BYTES_DEFAULT    (2 * MiB)
#define MEMORY_BYTES_DEFAULT   (32 * MiB)
#else
#define MEMTABLE_BYTES_DEFAULT (8 * MiB)
#define TABLE_BYTES_DEFAULT    (8 * MiB)
#define MEMORY_BYTES_DEFAULT   (128 * MiB)
#endif
#define MEMTABLE_BYTES_MIN         (64 * KiB)
#define TABLE_BYTES_MIN            (64 * KiB)
#define BLOCK_BYTES_DEFAULT        (4 * KiB)
#define BLOCK_BYTES_MIN            256u
#define MEMORY_BYTES_MIN           (1 * MiB)
#define BTREE_FANOUT               64u
#define WAL_CHUNK_BYTES            (1 * MiB) /* granularity of a log's size */
#define ARENA_FIRST_CHUNK_BYTES    (64 * KiB)
#define FANOUT_DEFAULT             10u
#define MANIFEST_REWRITE_BYTES_MIN (64 * KiB)
#endif

#define BLOCK_BYTES_MAX          (64 * KiB)
#define TABLE_BYTES_MAX          (256 * MiB)
#define BLOOM_BITS_DEFAULT       10u
#define BLOOM_BITS_MAX           20u
#define L0_RUNS_DEFAULT          8u
#define L0_RUNS_MAX              8u
#define IMMUTABLES_MAX           2u /* full memtables waiting for their flush; one more write makes the writer help */
#define SYNC_INTERVAL_MS_DEFAULT 100u
#define READER_SLOTS             64u

static_assert(MEMTABLE_BYTES_DEFAULT >= MEMTABLE_BYTES_MIN, "default within bounds");
static_assert(TABLE_BYTES_DEFAULT >= TABLE_BYTES_MIN && TABLE_BYTES_DEFAULT <= TABLE_BYTES_MAX,
              "default within bounds");
static_assert(BLOCK_BYTES_DEFAULT >= BLOCK_BYTES_MIN && BLOCK_BYTES_DEFAULT <= BLOCK_BYTES_MAX,
              "default within bounds");

#endif
