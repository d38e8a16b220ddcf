/* sst_index.c: the index of a table: which block a key is in (the format is drawn in sst_format.h).
 *
 * A search reads a few of the heads, which lie together, and a separator's bytes only when a head ties.
 *
 * Invariants
 *   1. sst_index_open bounds every array; a search reads nothing outside the payload whatever it says.
 */
#include "lsm/block.h"
#include "lsm/sst_format.h"

/* ---- builder ---- */

INTERNAL void sst_index_builder_init(sst_index_builder *b, allocator *alloc) {
  buf_init(&b->separators, alloc);
  buf_init(&b->ends, alloc);
  buf_init(&b->offsets, alloc);
}

INTERNAL void sst_index_builder_free(sst_index_builder *b) {
  buf_free(&b->separators);
  buf_free(&b->ends);
  buf_free(&b->offsets);
}

/* The shortest string that we find in [last, next): its size; its last byte is *end, the rest is last's or next's. */
static size_t sst_index_separate(slice last, slice next, uint8_t *end) {
  const uint8_t *l = last.data, *n = next.data;
  size_t common = slice_common_prefix(last, next);
  if (common < last.size) {
    ASSERT(common < next.size && l[common] < n[common]);
    if (l[common] + 1 < n[common]) {
      *end = (uint8_t)(l[common] + 1);
      return common + 1;
    }
    if (next.size > common + 1) {
      *end = n[common];
      return common + 1;
    }
    for (size_t i = common + 1; i < last.size; i++) {
      if (l[i] == 0xff) continue;
      *end = (uint8_t)(l[i] + 1);
      return i + 1;
    }
  }
  *end = last.size == 0 ? 0 : l[last.size - 1];
  return last.size;
}

INTERNAL int sst_index_builder_add(sst_index_builder *b, uint64_t offset, slice last, slice next) {
  ASSERT(offset % 8 == 0 && last.size > 0);
  if (offset / 8 >= UINT32_MAX) return status_fail(VARVE_LIMIT, "a table is too large");
  uint8_t end = ((const uint8_t *)last.data)[last.size - 1];
  size_t size = next.size == 0 ? last.size : sst_index_separate(last, next, &end);
  ASSERT(size > 0 && size <= last.size);
  if (b->separators.size + (uint64_t)size > UINT32_MAX) return status_fail(VARVE_LIMIT, "a table's index is too large");
  TRY(buf_append(&b->separators, last.data, size));
  b->separators.data[b->separators.size - 1] = end;
  TRY(buf_append_u32(&b->ends, (uint32_t)b->separators.size));
  return buf_append_u32(&b->offsets, (uint32_t)(offset / 8));
}

INTERNAL int sst_index_builder_finish(sst_index_builder *b, slice first, uint64_t end, buf *out) {
  size_t n = b->offsets.size / 4;
  ASSERT(b->ends.size == b->offsets.size && end % 8 == 0);
  if (end / 8 > UINT32_MAX) return status_fail(VARVE_LIMIT, "a table is too large");
  TRY(buf_append_u32(&b->offsets, (uint32_t)(end / 8)));
  size_t prefix = 0;
  if (n > 0) {
    size_t last_begin = n == 1 ? 0 : get_u32(b->ends.data + 4 * (n - 2));
    slice last = slice_make(b->separators.data + last_begin, b->separators.size - last_begin);
    prefix = slice_common_prefix(first, last); /* of all that lies between the two */
  }
  TRY(buf_reserve(out, 8 + 16 * n + 4 + b->separators.size));
  TRY(buf_append_u32(out, (uint32_t)n));
  TRY(buf_append_u32(out, (uint32_t)prefix));
  size_t begin = 0;
  for (size_t i = 0; i < n; i++) {
    size_t stop = get_u32(b->ends.data + 4 * i);
    ASSERT(stop - begin >= prefix);
    TRY(buf_append_u64(out, head_u64(b->separators.data + begin + prefix, stop - begin - prefix)));
    begin = stop;
  }
  TRY(buf_append(out, b->offsets.data, b->offsets.size));
  for (size_t i = 0; i < n; i++) {
    TRY(buf_append_u32(out, get_u32(b->ends.data + 4 * i) - (uint32_t)(prefix * (i + 1))));
  }
  TRY(buf_append(out, first.data, prefix));
  for (size_t i = 0, at = 0; i < n; i++) {
    size_t stop = get_u32(b->ends.data + 4 * i);
    TRY(buf_append(out, b->separators.data + at + prefix, stop - at - prefix));
    at = stop;
  }
  return VARVE_OK;
}

/* ---- reader ---- */

INTERNAL bool sst_index_open(sst_index *x, slice payload, uint64_t blocks_end) {
  const uint8_t *data = payload.data;
  ASSERT((uintptr_t)data % 8 == 0);
  if (payload.size < 12) return false;
  uint64_t n = get_u32(data), prefix = get_u32(data + 4);
  uint64_t fixed = 8 + 16 * n + 4; /* no overflow: n < 2^32 */
  if (n > INT32_MAX || fixed > payload.size || prefix > payload.size - fixed) return false;
  x->count = (uint32_t)n;
  x->heads = (const uint64_t *)(const void *)(data + 8);
  x->offsets = (const uint32_t *)(const void *)(data + 8 + 8 * n);
  x->ends = x->offsets + n + 1;
  x->prefix = slice_make(data + fixed, (size_t)prefix);
  x->separators = data + fixed + prefix;
  uint64_t separators_size = payload.size - fixed - prefix;
  if (x->offsets[0] != 0 || (uint64_t)x->offsets[n] * 8 != blocks_end) return false;
  if (n == 0) return prefix == 0 && separators_size == 0;
  uint32_t end = 0;
  for (size_t i = 0; i < n; i++) {
    if (x->offsets[i] >= x->offsets[i + 1] || x->ends[i] < end) return false;
    if ((uint64_t)(x->offsets[i + 1] - x->offsets[i]) * 8 > SST_BLOCK_BYTES_CAP) return false;
    if (i > 0 && x->heads[i] < x->heads[i - 1]) return false;
    end = x->ends[i];
  }
  return end == separators_size;
}

/* The first index whose head is not less than `head`, without a branch that depends on the data; count > 0. */
static inline uint32_t sst_index_lower_bound(const uint64_t *heads, uint32_t count, uint64_t head) {
  const uint64_t *base = heads;
  uint32_t n = count;
  while (n > 3) { /* three loads that do not wait for each other */
    uint32_t quarter = n / 4;
    uint32_t before =
        (uint32_t)(base[quarter - 1] < head) + (base[2 * quarter - 1] < head) + (base[3 * quarter - 1] < head);
    base += before * quarter;
    n -= 3 * quarter; /* what lies right of the quarter may stay in: it is not less */
  }
  while (n > 1) {
    uint32_t half = n / 2;
    base += half & (0 - (uint32_t)(base[half - 1] < head));
    n -= half;
  }
  return (uint32_t)(base - heads) + (*base < head);
}

/* Order of a separator and the rest of a key, for equal heads (as block_compare_entry does it). */
static inline int sst_index_compare(slice separator, slice rest) {
  int order = 0;
  if (separator.size > 8 && rest.size > 8) {
    size_t n = MIN(separator.size, rest.size) - 8;
    order = memcmp((const uint8_t *)separator.data + 8, (const uint8_t *)rest.data + 8, n);
  }
  return order != 0 ? order : (separator.size > rest.size) - (separator.size < rest.size);
}

/* Among the separators from low on that share the head of `rest`, the first at or after it. */
static uint32_t sst_index_find_tie(const sst_index *x, uint32_t low, uint64_t head, slice rest) {
  ASSERT(low < x->count && x->heads[low] == head);
  if (sst_index_compare(sst_index_separator(x, low), rest) >= 0) return low; /* nearly always the only one */
  uint32_t high = x->count;
  if (head != UINT64_MAX) high = low + sst_index_lower_bound(x->heads + low, x->count - low, head + 1);
  low++;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (sst_index_compare(sst_index_separator(x, middle), rest) < 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

INTERNAL uint32_t sst_index_seek(const sst_index *x, slice key) {
  if (UNLIKELY(x->count == 0 || key.size == 0)) return 0;
  int side = block_compare_prefix(x->prefix, key);
  if (UNLIKELY(side != 0)) return side < 0 ? 0 : x->count;
  size_t p = x->prefix.size;
  slice rest = slice_make((const uint8_t *)key.data + p, key.size - p);
  uint64_t head = head_u64(rest.data, rest.size);
  uint32_t i = sst_index_lower_bound(x->heads, x->count, head);
  if (i == x->count || x->heads[i] != head) return i;
  return sst_index_find_tie(x, i, head, rest);
}
