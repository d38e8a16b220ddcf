/* lz4.c: the LZ4 block format.
 *
 *     block    = sequence*, the last one without a match
 *     sequence = token u8 | more literal length | literals | offset u16 | more match length
 *     token    = literal length (4 bits, 15 = more follows) | match length - 4 (4 bits, 15 = more follows)
 *     more     = 255* u8 < 255, summed
 *
 * The last 5 bytes of a block are always literals and the last match begins at least 12 bytes before its end. Both
 * rules let a decoder copy 8 bytes at a time; the first is checked when decompressing.
 *
 * Compression is greedy with one hash table of the last position of each 5-byte string; where nothing matches, the
 * steps grow, so that data that cannot be compressed costs little.
 *
 * Invariants
 *   1. Decompression reads inside [data, data + size) and writes inside [out, out + out_size), whatever the bytes say.
 *   2. Compression is a function of its input alone: the table is cleared first.
 */
#include "base/lz4.h"

#include "base/coding.h"

#define LZ4_MATCH_MIN     4u
#define LZ4_LAST_LITERALS 5u  /* a block's last bytes that are literals */
#define LZ4_MATCH_LIMIT   12u /* a block's last bytes where no match begins */
#define LZ4_OFFSET_MAX    65535u
#define LZ4_WIDE          32u /* literals that are copied without looking at their size */
#define LZ4_HASH_BITS_MAX 12u
#define LZ4_HASH_BITS_MIN 8u
#define LZ4_SKIP_SHIFT    6u /* misses until the step grows by one, as a power of two */

static_assert(1u << LZ4_HASH_BITS_MAX == COUNT_OF(((lz4_work *)NULL)->table), "the table holds every hash");

static inline uint32_t lz4_hash(const uint8_t *p, unsigned bits) {
  return (uint32_t)(((get_u64(p) << 24) * UINT64_C(889523592379)) >> (64 - bits));
}

/* How many bytes from p on equal those from q on; p stops at `end`, and q < p. */
static inline size_t lz4_match_size(const uint8_t *p, const uint8_t *q, const uint8_t *end) {
  const uint8_t *start = p;
  while (LIKELY((size_t)(end - p) >= 8)) {
    uint64_t differ = get_u64(p) ^ get_u64(q);
    if (differ != 0) return (size_t)(p - start) + ((size_t)__builtin_ctzll(differ) >> 3);
    p += 8;
    q += 8;
  }
  while (p < end && *p == *q) p++, q++;
  return (size_t)(p - start);
}

static inline uint8_t *lz4_put_length(uint8_t *op, size_t left) {
  for (; left >= 255; left -= 255) *op++ = 255;
  *op++ = (uint8_t)left;
  return op;
}

/* Bytes that a sequence takes at most. */
static inline size_t lz4_sequence_bound(size_t literals, size_t match) {
  return 1 + literals / 255 + 1 + literals + 2 + match / 255 + 1;
}

/* Writes token, length and literals; room was checked. `wide`: LZ4_WIDE bytes may be read and written. */
static inline uint8_t *lz4_put_literals(uint8_t *op, const uint8_t *from, size_t size, bool wide, uint8_t **token) {
  *token = op++;
  if (size >= 15) {
    **token = 15u << 4;
    op = lz4_put_length(op, size - 15);
  } else {
    **token = (uint8_t)(size << 4);
  }
  if (LIKELY(wide && size <= LZ4_WIDE)) {
    memcpy(op, from, LZ4_WIDE / 2);
    memcpy(op + LZ4_WIDE / 2, from + LZ4_WIDE / 2, LZ4_WIDE / 2);
  } else {
    memcpy(op, from, size);
  }
  return op + size;
}

static inline uint8_t *lz4_put_match(uint8_t *op, uint8_t *token, size_t offset, size_t size) {
  ASSERT_SLOW(offset >= 1 && offset <= LZ4_OFFSET_MAX && size >= LZ4_MATCH_MIN);
  put_u16(op, (uint16_t)offset);
  op += 2;
  size_t more = size - LZ4_MATCH_MIN;
  if (more < 15) {
    *token |= (uint8_t)more;
    return op;
  }
  *token |= 15;
  return lz4_put_length(op, more - 15);
}

static unsigned lz4_hash_bits(size_t size) {
  unsigned bits = LZ4_HASH_BITS_MIN;
  while (bits < LZ4_HASH_BITS_MAX && ((size_t)1 << bits) < size / 2) bits++;
  return bits;
}

/* The next match at or after *at, below `limit`: *at = its begin, *from = its copy. False when there is none. */
static inline bool lz4_find(uint32_t *table, unsigned bits, const uint8_t *base, const uint8_t *limit,
                            const uint8_t **at, const uint8_t **from) {
  const uint8_t *ip = *at;
  uint32_t misses = 1u << LZ4_SKIP_SHIFT;
  while (ip < limit) {
    uint32_t *slot = &table[lz4_hash(ip, bits)];
    const uint8_t *candidate = base + *slot;
    *slot = (uint32_t)(ip - base);
    if (candidate < ip && (size_t)(ip - candidate) <= LZ4_OFFSET_MAX && get_u32(candidate) == get_u32(ip)) {
      *at = ip;
      *from = candidate;
      return true;
    }
    size_t step = misses++ >> LZ4_SKIP_SHIFT;
    if ((size_t)(limit - ip) <= step) return false;
    ip += step;
  }
  return false;
}

INTERNAL size_t lz4_compress(lz4_work *work, const void *data, size_t size, void *out, size_t room) {
  ASSERT(size < UINT32_C(0x80000000));
  const uint8_t *base = data, *ip = base, *anchor = base, *end = base + size;
  uint8_t *op = out, *op_end = op + room, *token;
  if (size > LZ4_MATCH_LIMIT) {
    unsigned bits = lz4_hash_bits(size);
    memset(work->table, 0, sizeof work->table[0] << bits);
    const uint8_t *limit = end - LZ4_MATCH_LIMIT, *match_end = end - LZ4_LAST_LITERALS, *from = NULL;
    ip++; /* position 0 is what an empty slot says */
    while (lz4_find(work->table, bits, base, limit, &ip, &from)) {
      while (ip > anchor && from > base && ip[-1] == from[-1]) ip--, from--;
      size_t literals = (size_t)(ip - anchor);
      size_t match = LZ4_MATCH_MIN + lz4_match_size(ip + LZ4_MATCH_MIN, from + LZ4_MATCH_MIN, match_end);
      size_t bound = lz4_sequence_bound(literals, match), left = (size_t)(op_end - op);
      if (left < bound) return 0;
      bool wide = left - bound >= LZ4_WIDE && (size_t)(end - anchor) >= LZ4_WIDE;
      op = lz4_put_literals(op, anchor, literals, wide, &token);
      op = lz4_put_match(op, token, (size_t)(ip - from), match);
      ip += match;
      anchor = ip;
      ASSERT_SLOW(anchor <= match_end);
      if (ip < limit) work->table[lz4_hash(ip - 2, bits)] = (uint32_t)(ip - 2 - base);
    }
  }
  size_t literals = (size_t)(end - anchor);
  size_t last = 1 + literals + (literals >= 15 ? (literals - 15) / 255 + 1 : 0);
  if ((size_t)(op_end - op) < last) return 0;
  if (literals == 0) {
    *op++ = 0; /* only the empty block: `data` may be NULL */
  } else {
    op = lz4_put_literals(op, anchor, literals, false, &token);
  }
  ASSERT(op <= op_end);
  return (size_t)(op - (uint8_t *)out);
}

/* Adds the bytes of "more" to *length. False at the end of input, or when more than `most` comes together. */
static inline bool lz4_read_length(const uint8_t **ip, const uint8_t *end, size_t most, size_t *length) {
  uint8_t byte;
  do {
    if (*ip == end) return false;
    byte = *(*ip)++;
    *length += byte;
    if (*length > most) return false;
  } while (byte == 255);
  return true;
}

/* Copies a match of `size` bytes whose source may overlap; `slack` bytes after it may be overwritten. */
static inline void lz4_copy_match(uint8_t *op, size_t offset, size_t size, size_t slack) {
  const uint8_t *from = op - offset;
  if (LIKELY(slack >= 16)) {
    uint8_t *end = op + size;
    if (LIKELY(offset >= 16)) {
      for (; op < end; op += 16, from += 16) memcpy(op, from, 16);
      return;
    }
    if (offset >= 8) {
      for (; op < end; op += 8, from += 8) memcpy(op, from, 8);
      return;
    }
    /* The first 8 bytes one by one; then whole periods back, the pattern is at least 8 bytes behind. */
    for (size_t i = 0; i < 8; i++) op[i] = from[i];
    size_t period = offset;
    while (period < 8) period += offset;
    for (op += 8; op < end; op += 8) memcpy(op, op - period, 8);
    return;
  }
  for (size_t i = 0; i < size; i++) op[i] = from[i];
}

/* The literals of a sequence. False when they are longer than the input or the output that is left. */
static inline bool lz4_copy_literals(const uint8_t **ip, const uint8_t *end, uint8_t **op, uint8_t *op_end,
                                     size_t size) {
  size_t in_left = (size_t)(end - *ip), out_left = (size_t)(op_end - *op);
  if (LIKELY(size <= 16 && in_left >= 16 && out_left >= 16)) {
    memcpy(*op, *ip, 16);
  } else {
    if (size > in_left || size > out_left) return false;
    if (size > 0) memcpy(*op, *ip, size);
  }
  *ip += size;
  *op += size;
  return true;
}

INTERNAL bool lz4_decompress(const void *data, size_t size, void *out, size_t out_size) {
  if (size == 0) return false;
  if (out_size == 0) return size == 1 && *(const uint8_t *)data == 0;
  const uint8_t *ip = data, *end = ip + size;
  uint8_t *base = out, *op = base, *op_end = op + out_size;
  while (ip < end) {
    unsigned token = *ip++;
    size_t literals = token >> 4;
    if (UNLIKELY(literals == 15) && !lz4_read_length(&ip, end, out_size, &literals)) return false;
    if (!lz4_copy_literals(&ip, end, &op, op_end, literals)) return false;
    ASSERT_SLOW(ip <= end && op <= op_end);
    if (ip == end) return op == op_end && (token & 15u) == 0;
    if (end - ip < 2) return false;
    size_t offset = get_u16(ip), match = token & 15u;
    ip += 2;
    if (offset == 0 || offset > (size_t)(op - base)) return false;
    if (UNLIKELY(match == 15) && !lz4_read_length(&ip, end, out_size, &match)) return false;
    match += LZ4_MATCH_MIN;
    size_t out_left = (size_t)(op_end - op);
    if (out_left < LZ4_LAST_LITERALS || match > out_left - LZ4_LAST_LITERALS) return false;
    lz4_copy_match(op, offset, match, out_left - match);
    op += match;
  }
  return false;
}

#undef LZ4_MATCH_MIN
#undef LZ4_LAST_LITERALS
#undef LZ4_MATCH_LIMIT
#undef LZ4_OFFSET_MAX
#undef LZ4_WIDE
#undef LZ4_HASH_BITS_MAX
#undef LZ4_HASH_BITS_MIN
#undef LZ4_SKIP_SHIFT
