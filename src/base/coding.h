/* coding.h: integers as bytes, and a reader that cannot run past its end.
 *
 * Fixed integers are little-endian; head_* are big-endian loads that order as their bytes do. Varints are LEB128, at
 * most 5 bytes (u32) or 10 (u64), and only in their shortest form: a reader refuses others, so that one value has one
 * encoding.
 */
#ifndef VARVE_CODING_H
#define VARVE_CODING_H

#include "base/buf.h"

static inline void put_u16(void *p, uint16_t v) {
  memcpy(p, &v, sizeof v);
}
static inline void put_u32(void *p, uint32_t v) {
  memcpy(p, &v, sizeof v);
}
static inline void put_u64(void *p, uint64_t v) {
  memcpy(p, &v, sizeof v);
}
static inline uint16_t get_u16(const void *p) {
  uint16_t v;
  memcpy(&v, p, sizeof v);
  return v;
}
static inline uint32_t get_u32(const void *p) {
  uint32_t v;
  memcpy(&v, p, sizeof v);
  return v;
}
static inline uint64_t get_u64(const void *p) {
  uint64_t v;
  memcpy(&v, p, sizeof v);
  return v;
}

/* The first 8 (4) bytes of `size` as a big-endian number, missing ones taken as zero: a < b as bytes implies
 * head(a) <= head(b). */
static inline uint64_t head_u64(const uint8_t *p, size_t size) {
  uint64_t v = 0;
  if (LIKELY(size >= 8)) {
    memcpy(&v, p, 8);
    return __builtin_bswap64(v);
  }
  for (size_t i = 0; i < size; i++) v |= (uint64_t)p[i] << (56 - 8 * i);
  return v;
}
static inline uint32_t head_u32(const uint8_t *p, size_t size) {
  uint32_t v = 0;
  if (LIKELY(size >= 4)) {
    memcpy(&v, p, 4);
    return __builtin_bswap32(v);
  }
  for (size_t i = 0; i < size; i++) v |= (uint32_t)p[i] << (24 - 8 * i);
  return v;
}

#define VARINT32_SIZE_MAX 5
#define VARINT64_SIZE_MAX 10

/* Write v at p (room for the maximum) and return the bytes used. */
INTERNAL size_t varint_put(uint8_t *p, uint64_t v);
INTERNAL size_t varint_size(uint64_t v);
INTERNAL int buf_append_varint(buf *b, uint64_t v);
INTERNAL int buf_append_u32(buf *b, uint32_t v);
INTERNAL int buf_append_u64(buf *b, uint64_t v);
INTERNAL int buf_append_slice(buf *b, slice s); /* varint size, then the bytes */

/* A reader over borrowed bytes. Each read_* returns false, moving nothing, when the bytes do not hold what is asked. */
typedef struct reader {
  const uint8_t *at;
  const uint8_t *end;
} reader;

static inline reader reader_of(slice s) {
  reader r = {s.data, (const uint8_t *)s.data + s.size};
  return r;
}
static inline size_t reader_left(const reader *r) {
  return (size_t)(r->end - r->at);
}
INTERNAL bool read_u8(reader *r, uint8_t *v);
INTERNAL bool read_u32(reader *r, uint32_t *v);
INTERNAL bool read_varint32(reader *r, uint32_t *v);
INTERNAL bool read_varint64(reader *r, uint64_t *v);
INTERNAL bool read_bytes(reader *r, size_t size, slice *s);     /* borrowed from the reader's bytes */
INTERNAL bool read_slice(reader *r, size_t size_max, slice *s); /* varint size <= size_max, then the bytes */

#endif
