/* coding.c: varints (LEB128: seven bits a byte, the lowest first, the top bit says that more follow) and a reader
 * that cannot run past its end.
 *
 * Invariants
 *   1. One value has one encoding: a reader refuses a varint whose last byte is zero (unless it is the only one), and
 *      one that does not fit its type.
 *   2. A read that fails moves nothing.
 */
#include "base/coding.h"

INTERNAL size_t varint_put(uint8_t *p, uint64_t v) {
  size_t n = 0;
  while (v >= 0x80) {
    p[n++] = (uint8_t)(v | 0x80);
    v >>= 7;
  }
  p[n++] = (uint8_t)v;
  ASSERT_SLOW(n <= VARINT64_SIZE_MAX);
  return n;
}

INTERNAL size_t varint_size(uint64_t v) {
  size_t bits = 64 - (size_t)__builtin_clzll(v | 1);
  return (bits + 6) / 7;
}

INTERNAL int buf_append_varint(buf *b, uint64_t v) {
  TRY(buf_reserve(b, VARINT64_SIZE_MAX));
  b->size += varint_put(b->data + b->size, v);
  ASSERT(b->size <= b->capacity);
  return VARVE_OK;
}

INTERNAL int buf_append_u32(buf *b, uint32_t v) {
  return buf_append(b, &v, sizeof v);
}

INTERNAL int buf_append_u64(buf *b, uint64_t v) {
  return buf_append(b, &v, sizeof v);
}

INTERNAL int buf_append_slice(buf *b, slice s) {
  if (s.size > PTRDIFF_MAX - VARINT64_SIZE_MAX) return mem_fail(s.size, "a buffer");
  TRY(buf_reserve(b, s.size + VARINT64_SIZE_MAX)); /* all or nothing: no size is left without its bytes */
  b->size += varint_put(b->data + b->size, s.size);
  return buf_append(b, s.data, s.size);
}

INTERNAL bool read_u8(reader *r, uint8_t *v) {
  ASSERT_SLOW(r->at <= r->end);
  if (reader_left(r) < 1) return false;
  *v = *r->at++;
  return true;
}

INTERNAL bool read_u32(reader *r, uint32_t *v) {
  ASSERT_SLOW(r->at <= r->end);
  if (reader_left(r) < 4) return false;
  *v = get_u32(r->at);
  r->at += 4;
  return true;
}

INTERNAL bool read_varint64(reader *r, uint64_t *v) {
  ASSERT_SLOW(r->at <= r->end);
  const uint8_t *p = r->at;
  size_t left = reader_left(r);
  if (LIKELY(left > 0 && p[0] < 0x80)) {
    *v = p[0];
    r->at = p + 1;
    return true;
  }
  size_t n = MIN(left, VARINT64_SIZE_MAX);
  uint64_t value = 0;
  for (size_t i = 0; i < n; i++) {
    value |= (uint64_t)(p[i] & 0x7fu) << (7 * i);
    if (p[i] >= 0x80) continue;
    if (p[i] == 0) return false;                              /* not the shortest form (i > 0 here) */
    if (i == VARINT64_SIZE_MAX - 1 && p[i] > 1) return false; /* more than 64 bits */
    *v = value;
    r->at = p + i + 1;
    return true;
  }
  return false;
}

INTERNAL bool read_varint32(reader *r, uint32_t *v) {
  reader ahead = *r;
  uint64_t value;
  if (!read_varint64(&ahead, &value) || value > UINT32_MAX) return false;
  *v = (uint32_t)value;
  *r = ahead;
  return true;
}

INTERNAL bool read_bytes(reader *r, size_t size, slice *s) {
  ASSERT_SLOW(r->at <= r->end);
  if (size > reader_left(r)) return false;
  *s = slice_make(r->at, size);
  if (size > 0) r->at += size; /* at may be NULL when nothing is left */
  return true;
}

INTERNAL bool read_slice(reader *r, size_t size_max, slice *s) {
  reader ahead = *r;
  uint64_t size;
  if (!read_varint64(&ahead, &size) || size > size_max) return false;
  if (!read_bytes(&ahead, (size_t)size, s)) return false;
  ASSERT_SLOW(ahead.at <= r->end);
  *r = ahead;
  return true;
}
