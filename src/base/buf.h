/* buf.h: bytes that are owned and grow. A zeroed struct with an allocator is an empty buf. */
#ifndef VARVE_BUF_H
#define VARVE_BUF_H

#include "base/alloc.h"
#include "base/slice.h"

typedef struct buf {
  uint8_t *data;
  size_t size;
  size_t capacity;
  allocator *alloc;
} buf;

static inline void buf_init(buf *b, allocator *a) {
  buf empty = {NULL, 0, 0, a};
  *b = empty;
}
INTERNAL void buf_free(buf *b);                 /* leaves it empty and usable */
INTERNAL int buf_reserve(buf *b, size_t extra); /* room for `extra` more bytes; grows by doubling. NOMEM */
INTERNAL int buf_append(buf *b, const void *data, size_t size);
INTERNAL int buf_append_zeros(buf *b, size_t size);
INTERNAL int buf_set(buf *b, slice s); /* contents = a copy of s, which may not alias b */
static inline void buf_clear(buf *b) {
  b->size = 0;
}
static inline slice buf_slice(const buf *b) {
  return slice_make(b->data, b->size);
}

#endif
