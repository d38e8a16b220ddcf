/* chunk_pool.c: a stack of free chunks in front of an allocator. Every other size passes through. */
#include "lsm/chunk_pool.h"

#include "base/arena.h"

#define CHUNK_POOL_SIZE (ARENA_CHUNK_BYTES + 64u) /* a chunk, aligned to a cache line: see mem_alloc_lines */

static void *chunk_pool_take(chunk_pool *p) {
  mutex_lock(&p->lock);
  void *chunk = p->count > 0 ? p->chunks[--p->count] : NULL;
  mutex_unlock(&p->lock);
  return chunk;
}

static bool chunk_pool_keep(chunk_pool *p, void *chunk) {
  mutex_lock(&p->lock);
  bool keep = p->count < p->count_max;
  if (keep) p->chunks[p->count++] = chunk;
  mutex_unlock(&p->lock);
  return keep;
}

static void *chunk_pool_resize(allocator *self, void *ptr, size_t old_size, size_t new_size) {
  chunk_pool *p = CONTAINER_OF(self, chunk_pool, base);
  if (old_size == 0 && new_size == CHUNK_POOL_SIZE) {
    void *chunk = chunk_pool_take(p);
    if (chunk != NULL) return chunk;
  }
  if (new_size == 0 && old_size == CHUNK_POOL_SIZE && chunk_pool_keep(p, ptr)) return NULL;
  return p->under->resize(p->under, ptr, old_size, new_size);
}

INTERNAL void chunk_pool_init(chunk_pool *p, allocator *under, uint64_t bytes_max) {
  p->base.resize = chunk_pool_resize;
  atomic_init(&p->base.used, 0);
  p->under = under;
  mutex_init(&p->lock);
  p->count = 0;
  p->count_max = (uint32_t)MIN(bytes_max / CHUNK_POOL_SIZE, (uint64_t)CHUNK_POOL_MAX);
}

INTERNAL void chunk_pool_destroy(chunk_pool *p) {
  while (p->count > 0) mem_free(p->under, p->chunks[--p->count], CHUNK_POOL_SIZE);
  mutex_destroy(&p->lock);
}

#undef CHUNK_POOL_SIZE
