/* buf.c: bytes that are owned and grow by doubling, so that appending costs constant time a byte.
 *
 * Invariants
 *   1. size <= capacity; data is NULL exactly when capacity is 0.
 *   2. A call that fails leaves the contents as they were.
 */
#include "base/buf.h"

#define BUF_CAPACITY_MIN 64u

INTERNAL void buf_free(buf *b) {
  ASSERT(b->size <= b->capacity);
  mem_free(b->alloc, b->data, b->capacity);
  buf_init(b, b->alloc);
}

INTERNAL int buf_reserve(buf *b, size_t extra) {
  ASSERT(b->size <= b->capacity);
  ASSERT((b->data == NULL) == (b->capacity == 0));
  if (LIKELY(extra <= b->capacity - b->size)) return VARVE_OK;
  if (extra > PTRDIFF_MAX - b->size) return mem_fail(extra, "a buffer");
  size_t need = b->size + extra;
  size_t doubled = b->capacity > PTRDIFF_MAX / 2 ? PTRDIFF_MAX : b->capacity * 2;
  size_t capacity = MAX(need, MAX(doubled, BUF_CAPACITY_MIN));
  uint8_t *data = mem_resize(b->alloc, b->data, b->capacity, capacity);
  if (data == NULL && capacity > need) { /* what is needed may fit where its double does not */
    capacity = need;
    data = mem_resize(b->alloc, b->data, b->capacity, capacity);
  }
  if (data == NULL) return mem_fail(capacity, "a buffer");
  b->data = data;
  b->capacity = capacity;
  return VARVE_OK;
}

INTERNAL int buf_append(buf *b, const void *data, size_t size) {
  if (size == 0) return VARVE_OK;
  ASSERT(data != NULL);
  TRY(buf_reserve(b, size));
  memcpy(b->data + b->size, data, size);
  b->size += size;
  return VARVE_OK;
}

INTERNAL int buf_append_zeros(buf *b, size_t size) {
  if (size == 0) return VARVE_OK;
  TRY(buf_reserve(b, size));
  memset(b->data + b->size, 0, size);
  b->size += size;
  return VARVE_OK;
}

INTERNAL int buf_set(buf *b, slice s) {
  ASSERT(s.size == 0 || b->capacity == 0 || (const uint8_t *)s.data + s.size <= b->data ||
         (const uint8_t *)s.data >= b->data + b->capacity);
  if (s.size > b->capacity) TRY(buf_reserve(b, s.size - b->size));
  if (s.size > 0) memcpy(b->data, s.data, s.size);
  b->size = s.size;
  return VARVE_OK;
}

#undef BUF_CAPACITY_MIN
