/* sst_int.h: an open table, and how its blocks are reached: for the reader, the iterator and the check. */
#ifndef VARVE_SST_INT_H
#define VARVE_SST_INT_H

#include "lsm/block.h"
#include "lsm/sst_format.h"

/* What is known of each block of a mapped table. Only moves away from UNSEEN, to a value that every thread would find.
 * */
#define SST_STATE_UNSEEN 0u /* not checked yet */
#define SST_STATE_RAW    1u /* .. 8: its checksum is right, it is raw, and this minus 1 is its padding */
#define SST_STATE_LZ4    16u

/* Immutable after table_open but for `states`. What a get reads comes first. */
struct table {
  const uint8_t *map; /* the whole file, or NULL: blocks are read */
  atomic_uchar *states;
  slice filter;
  uint32_t bloom_bits;
  sst_index index;

  uint64_t number, size;
  block_cache *cache;
  allocator *alloc;
  vfs_file *file;
  uint8_t *tail; /* of a table that is not mapped: everything between the blocks and the footer, from tail_offset on */
  size_t tail_size;
  uint64_t tail_offset;
  rangedel_set *ranges;
  sst_summary summary; /* its slices point into the properties */
  sst_footer footer;
  size_t memory; /* charged to the cache */
};

/* The stored section of block i. */
static inline sst_extent table_block_extent(const table *t, uint32_t i) {
  ASSERT_SLOW(i < t->index.count);
  uint64_t offset = sst_index_offset(&t->index, i);
  return (sst_extent){offset, sst_index_offset(&t->index, i + 1) - offset};
}

/* Block i through the map or the cache. *held is its pin when it lies in the cache, else NULL. */
INTERNAL int table_block_load(table *t, uint32_t i, block *b, cache_block **held);

/* The same, on the path that costs next to nothing: a mapped, raw block that was checked before. */
static inline int table_block(table *t, uint32_t i, block *b, cache_block **held) {
  if (LIKELY(t->map != NULL)) {
    uint32_t state = atomic_load_explicit(&t->states[i], memory_order_relaxed);
    if (LIKELY(state - SST_STATE_RAW < 8u)) {
      sst_extent e = table_block_extent(t, i);
      size_t size = (size_t)e.size - SST_SECTION_TAIL - (state - SST_STATE_RAW);
      if (LIKELY(block_open(b, slice_make(t->map + e.offset, size)))) {
        *held = NULL;
        return VARVE_OK;
      }
    }
  }
  return table_block_load(t, i, b, held);
}

/* The lines of a mapped block that a search reads, all asked for at once, and the page of its end. */
static inline void table_prefetch(const table *t, uint32_t i) {
  if (t->map == NULL) return;
  const uint8_t *at = t->map + sst_index_offset(&t->index, i);
  for (size_t line = 0; line < 4; line++) __builtin_prefetch(at + line * 64);
  __builtin_prefetch(t->map + sst_index_offset(&t->index, i + 1) - 1);
}

/* "7.sst is damaged at offset N: reason" of block i. */
INTERNAL int table_block_damaged(const table *t, uint32_t i, const char *reason);

/* ---- a window that slides over the blocks with large reads: bulk iterators and the check (sst_window.c) ---- */

#define SST_WINDOW_BYTES (128u * KiB)

typedef struct sst_window {
  table *t;
  allocator *alloc;
  uint8_t *data; /* file bytes [offset, offset + size) */
  size_t size, room;
  uint64_t offset;
  uint8_t *inflated; /* the last compressed block */
  size_t inflated_room;
} sst_window;

INTERNAL void sst_window_init(sst_window *w, table *t, allocator *alloc);
INTERNAL void sst_window_free(sst_window *w);
/* Block i, checked and inflated; valid until the next call. */
INTERNAL int sst_window_block(sst_window *w, uint32_t i, block *b);

#endif
