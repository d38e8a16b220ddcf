/* lz4.h: the LZ4 block format, written from its public specification (lz4_Block_format.md, version 1.6.x).
 * One block, no frame, no dictionary. */
#ifndef VARVE_LZ4_H
#define VARVE_LZ4_H

#include "base/base.h"

/* Largest compressed size of `size` bytes. */
static inline size_t lz4_bound(size_t size) {
  return size + size / 255 + 16;
}

/* Memory that lz4_compress works in: caller's, any content. */
typedef struct lz4_work {
  uint32_t table[1u << 12];
} lz4_work;

/* Compresses `size` (< 2^31) bytes into at most `room` bytes; returns the compressed size, or 0 when it does not fit:
 * give a smaller room to stop early on data that is not worth it. */
INTERNAL size_t lz4_compress(lz4_work *work, const void *data, size_t size, void *out, size_t room);

/* Decompresses hostile bytes into exactly `out_size` bytes. False, with nothing written past out_size and nothing read
 * past size, when they are anything else. */
INTERNAL bool lz4_decompress(const void *data, size_t size, void *out, size_t out_size);

#endif
