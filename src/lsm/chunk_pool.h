/* chunk_pool.h: the chunks of memtables that are gone, kept for the next ones.
 *
 * A memtable takes its memory in chunks of one size and gives all of it back after its flush. Fresh pages from the
 * system cost a fault each, which is a quarter of the price of an insert; chunks that are used again cost none.
 *
 * Threads: any. Chunks in the pool count as used in the allocator below.
 */
#ifndef VARVE_CHUNK_POOL_H
#define VARVE_CHUNK_POOL_H

#include "env/sync.h"

#include "base/alloc.h"

#define CHUNK_POOL_MAX 64u

typedef struct chunk_pool {
  allocator base; /* what memtables are given */
  allocator *under;
  mutex lock;
  uint32_t count, count_max;
  void *chunks[CHUNK_POOL_MAX];
} chunk_pool;

/* Keeps up to bytes_max of chunks. */
INTERNAL void chunk_pool_init(chunk_pool *p, allocator *under, uint64_t bytes_max);
/* Gives the chunks back; nothing may be in use. */
INTERNAL void chunk_pool_destroy(chunk_pool *p);

#endif
