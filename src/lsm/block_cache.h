/* block_cache.h: decoded blocks under one bound, replaced by CLOCK.
 *
 * Keyed by (table number, block offset). A block found or inserted is pinned until cache_unpin / its pin is dropped;
 * pinned blocks
 * are not evicted, and when everything is pinned an insert goes over the bound rather than fail.
 *
 * The bound covers the blocks and what tables charge for indexes and filters that they hold in memory (cache_charge).
 */
#ifndef VARVE_BLOCK_CACHE_H
#define VARVE_BLOCK_CACHE_H

#include "base/alloc.h"
#include "base/pin.h"
#include "base/slice.h"

typedef struct block_cache block_cache;

typedef struct cache_stats {
  uint64_t bytes, charged, hits, misses, evictions;
} cache_stats;

/* One piece of memory with the payload behind it, aligned to 8 (to 64 for the payload). */
typedef struct cache_block {
  pin pin; /* pin_unref when done */
  uint8_t *data;
  uint32_t size;
} cache_block;

INTERNAL int block_cache_create(allocator *alloc, uint64_t bytes_max, block_cache **cache);
INTERNAL void block_cache_destroy(block_cache *cache); /* nothing may be pinned. NULL is allowed */

/* A frame for `size` bytes, pinned, not yet in the cache. NOMEM. Fill it, then insert it, or unpin it to drop it. */
INTERNAL int cache_block_create(block_cache *cache, uint32_t size, cache_block **block);
/* Pinned on a hit, else NULL. */
INTERNAL cache_block *block_cache_get(block_cache *cache, uint64_t table, uint64_t offset);
/* Adds a filled frame; when another thread was first, *block is swapped for that one (still pinned). */
INTERNAL void block_cache_insert(block_cache *cache, uint64_t table, uint64_t offset, cache_block **block);
/* Forgets the blocks of a removed table. */
INTERNAL void block_cache_forget(block_cache *cache, uint64_t table);
INTERNAL void block_cache_charge(block_cache *cache, int64_t bytes);
INTERNAL bool block_cache_in_use(block_cache *cache); /* some block is pinned by a user */
INTERNAL void block_cache_stats(block_cache *cache, cache_stats *stats);

#endif
