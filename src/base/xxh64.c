/* xxh64.c: XXH64. Four independent lanes eat 32 bytes a round, are merged, and the tail follows in steps of 8, 4
 * and 1 bytes; the avalanche at the end spreads every bit.
 *
 * The lanes are written out, not looped over, so that the multiplications of one round overlap in the processor.
 */
#include "base/xxh64.h"

#include "base/coding.h"

#define XXH64_P1 UINT64_C(0x9e3779b185ebca87)
#define XXH64_P2 UINT64_C(0xc2b2ae3d27d4eb4f)
#define XXH64_P3 UINT64_C(0x165667b19e3779f9)
#define XXH64_P4 UINT64_C(0x85ebca77c2b2ae63)
#define XXH64_P5 UINT64_C(0x27d4eb2f165667c5)

static inline uint64_t xxh64_rotate(uint64_t v, unsigned bits) {
  return (v << bits) | (v >> (64 - bits));
}

static inline uint64_t xxh64_round(uint64_t lane, uint64_t input) {
  return xxh64_rotate(lane + input * XXH64_P2, 31) * XXH64_P1;
}

static inline uint64_t xxh64_merge(uint64_t hash, uint64_t lane) {
  return (hash ^ xxh64_round(0, lane)) * XXH64_P1 + XXH64_P4;
}

static inline uint64_t xxh64_tail(uint64_t hash, const uint8_t *p, size_t left) {
  ASSERT_SLOW(left < 32);
  for (; left >= 8; p += 8, left -= 8) {
    hash = xxh64_rotate(hash ^ xxh64_round(0, get_u64(p)), 27) * XXH64_P1 + XXH64_P4;
  }
  if (left >= 4) {
    hash = xxh64_rotate(hash ^ (get_u32(p) * XXH64_P1), 23) * XXH64_P2 + XXH64_P3;
    p += 4;
    left -= 4;
  }
  for (; left > 0; p++, left--) hash = xxh64_rotate(hash ^ (*p * XXH64_P5), 11) * XXH64_P1;
  return hash;
}

INTERNAL uint64_t xxh64(const void *data, size_t size, uint64_t seed) {
  ASSERT(data != NULL || size == 0);
  const uint8_t *p = data;
  size_t left = size;
  uint64_t hash;
  if (left >= 32) {
    uint64_t a = seed + XXH64_P1 + XXH64_P2, b = seed + XXH64_P2, c = seed, d = seed - XXH64_P1;
    do {
      a = xxh64_round(a, get_u64(p));
      b = xxh64_round(b, get_u64(p + 8));
      c = xxh64_round(c, get_u64(p + 16));
      d = xxh64_round(d, get_u64(p + 24));
      p += 32;
      left -= 32;
    } while (left >= 32);
    hash = xxh64_rotate(a, 1) + xxh64_rotate(b, 7) + xxh64_rotate(c, 12) + xxh64_rotate(d, 18);
    hash = xxh64_merge(xxh64_merge(xxh64_merge(xxh64_merge(hash, a), b), c), d);
  } else {
    hash = seed + XXH64_P5;
  }
  hash = xxh64_tail(hash + (uint64_t)size, p, left);
  hash = (hash ^ (hash >> 33)) * XXH64_P2;
  hash = (hash ^ (hash >> 29)) * XXH64_P3;
  return hash ^ (hash >> 32);
}

#undef XXH64_P1
#undef XXH64_P2
#undef XXH64_P3
#undef XXH64_P4
#undef XXH64_P5
