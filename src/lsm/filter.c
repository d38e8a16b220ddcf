/* filter.c: the blocked Bloom filter of filter.h.
 *
 *   k   = bits_per_key * 3 / 5 probes, 1 .. 12 (10 bits: 6)
 *   bit = of the line's 512, numbered from the lowest bit of its first byte: the high 9 bits of h, where h starts as
 *   the
 *         low 32 bits of the hash and is multiplied by 0x9e3779b9 (mod 2^32) before each probe
 *
 * Invariants
 *   1. A key whose hash was built in is always found (no false negatives).
 *   2. A filter is a whole number of lines.
 */
#include "lsm/filter.h"

#include "base/coding.h"
#include "base/limits.h"

#define FILTER_STEP 0x9e3779b9u

static inline uint32_t filter_probes(uint32_t bits_per_key) {
  uint32_t probes = bits_per_key * 3 / 5;
  return probes < 1 ? 1 : MIN(probes, 12);
}

static inline size_t filter_line(uint64_t hash, size_t lines) {
  return (size_t)(((hash >> 32) * (uint64_t)lines) >> 32) * FILTER_LINE;
}

INTERNAL slice filter_system_part(slice key) {
  static const uint8_t entry[3] = {1, 0, 'h'};
  if (!slice_starts_with(key, slice_make(entry, sizeof entry))) return key;
  const uint8_t *from = key.data;
  reader r = {from + sizeof entry, from + key.size};
  uint64_t id;
  if (!read_varint64(&r, &id) || reader_left(&r) < FILTER_ENTRY_HASH) return key;
  return slice_make(from, (size_t)(r.at - from) + FILTER_ENTRY_HASH);
}

INTERNAL int filter_build(const uint64_t *hashes, size_t count, uint32_t bits_per_key, buf *out) {
  ASSERT(bits_per_key >= 1 && bits_per_key <= BLOOM_BITS_MAX);
  if (bits_per_key == 1 || count == 0) return VARVE_OK;
  uint64_t lines = ((uint64_t)count * bits_per_key + FILTER_LINE * 8 - 1) / (FILTER_LINE * 8);
  if (lines > UINT32_MAX || lines * FILTER_LINE > PTRDIFF_MAX) {
    return status_fail(VARVE_LIMIT, "a filter of %zu keys is too large", count);
  }
  size_t start = out->size;
  TRY(buf_append_zeros(out, (size_t)lines * FILTER_LINE));
  uint32_t probes = filter_probes(bits_per_key);
  for (size_t i = 0; i < count; i++) {
    uint8_t *line = out->data + start + filter_line(hashes[i], (size_t)lines);
    uint32_t h = (uint32_t)hashes[i];
    for (uint32_t probe = 0; probe < probes; probe++) {
      h *= FILTER_STEP;
      uint32_t bit = h >> 23;
      line[bit / 8] = (uint8_t)(line[bit / 8] | 1u << (bit % 8));
    }
  }
  ASSERT((out->size - start) % FILTER_LINE == 0);
  return VARVE_OK;
}

INTERNAL void filter_prefetch(slice filter, uint64_t hash) {
  if (filter.size < FILTER_LINE) return;
  __builtin_prefetch((const uint8_t *)filter.data + filter_line(hash, filter.size / FILTER_LINE));
}

INTERNAL bool filter_may_contain(slice filter, uint32_t bits_per_key, uint64_t hash) {
  ASSERT_SLOW(filter.size % FILTER_LINE == 0);
  if (filter.size < FILTER_LINE) return true;
  const uint8_t *line = (const uint8_t *)filter.data + filter_line(hash, filter.size / FILTER_LINE);
  uint32_t h = (uint32_t)hash;
  uint32_t set = 1;
  /* All probes, no early exit: they lie in one line, and a branch that depends on the data costs more than they do. */
  for (uint32_t left = filter_probes(bits_per_key); left > 0; left--) {
    h *= FILTER_STEP;
    uint32_t bit = h >> 23;
    set &= (uint32_t)line[bit / 8] >> (bit % 8);
  }
  return (set & 1) != 0;
}

#undef FILTER_STEP
