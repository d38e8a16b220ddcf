/* block.c: building, opening and searching blocks (the format is drawn in block.h).
 *
 * The builder keeps keys and values whole until the end: only then is the prefix known that all keys share.
 *
 * Invariants
 *   1. What block_builder_finish writes passes block_check.
 *   2. A view never reads outside its payload, whatever the payload says: block_open bounds the arrays, block_entry
 *   each
 *      entry; order and heads are trusted for answers, never for safety.
 */
#include "lsm/block.h"

#define BLOCK_HEADER      16u
#define BLOCK_TRAILERS    1u
#define BLOCK_WIDE        2u
#define BLOCK_PREFIX_MAX  65535u
#define BLOCK_PENDING_MIN 64u

typedef struct block_pending {
  uint64_t trailer;
  uint32_t key_size, value_size;
} block_pending;

/* Where the parts of a payload begin, for n entries. */
typedef struct block_layout {
  uint64_t offsets, trailers, prefix, entries;
} block_layout;

static inline block_layout block_layout_of(uint64_t n, bool wide, bool any_trailer, uint64_t prefix_size) {
  block_layout l;
  l.offsets = BLOCK_HEADER + 4 * n;
  l.trailers = align_up(l.offsets + (wide ? 4 : 2) * n, 8);
  l.prefix = l.trailers + (any_trailer ? 8 * n : 0);
  l.entries = l.prefix + prefix_size;
  return l;
}

/* ---- builder ---- */

INTERNAL void block_builder_init(block_builder *b, allocator *alloc) {
  memset(b, 0, sizeof *b);
  b->alloc = alloc;
  buf_init(&b->keys, alloc);
  buf_init(&b->values, alloc);
}

INTERNAL void block_builder_free(block_builder *b) {
  buf_free(&b->keys);
  buf_free(&b->values);
  mem_free(b->alloc, b->entries, b->capacity * sizeof *b->entries);
  block_builder_init(b, b->alloc);
}

static int block_builder_grow(block_builder *b) {
  ASSERT(b->count == b->capacity);
  size_t capacity = b->capacity == 0 ? BLOCK_PENDING_MIN : b->capacity * 2;
  size_t old_size = b->capacity * sizeof *b->entries, size = capacity * sizeof *b->entries;
  block_pending *entries = mem_resize(b->alloc, b->entries, old_size, size);
  if (entries == NULL) return mem_fail(size, "the entries of a block");
  b->entries = entries;
  b->capacity = capacity;
  return VARVE_OK;
}

static inline size_t block_length_size(size_t n) {
  return LIKELY(n < 0x80) ? 1 : varint_size(n);
}

INTERNAL int block_builder_add(block_builder *b, slice key, uint64_t trailer, slice value) {
  ASSERT(key.size > 0 && key.size <= INNER_KEY_MAX);
  ASSERT(value.size <= VARVE_VALUE_SIZE_MAX);
  if (b->count == b->capacity) TRY(block_builder_grow(b));
  TRY(buf_reserve(&b->values, value.size));
  size_t last_key = b->keys.size;
  TRY(buf_append(&b->keys, key.data, key.size));
  TRY(buf_append(&b->values, value.data, value.size)); /* cannot fail any more */
  if (b->count == 0) {
    b->prefix = MIN(key.size, BLOCK_PREFIX_MAX);
  } else if (key.size < b->prefix || !block_bytes_equal(b->keys.data, key.data, b->prefix)) {
    size_t common = slice_common_prefix(slice_make(b->keys.data, b->prefix), key);
    ASSERT(common < b->prefix);
    b->prefix = common;
  }
  b->last_key = last_key;
  b->entries[b->count++] = (block_pending){trailer, (uint32_t)key.size, (uint32_t)value.size};
  b->lengths += block_length_size(key.size) + block_length_size(value.size);
  b->any_trailer |= trailer != (uint64_t)KIND_PUT;
  return VARVE_OK;
}

/* Never less than what finish writes. */
INTERNAL size_t block_builder_size(const block_builder *b) {
  size_t n = b->count;
  size_t entries = b->keys.size - (n == 0 ? 0 : (n - 1) * b->prefix) + b->values.size + b->lengths;
  size_t fixed = BLOCK_HEADER + n * (4 + 2) + 8 + (b->any_trailer ? 8 * n : 0);
  size_t size = fixed + entries;
  return size <= UINT16_MAX ? size : size + 2 * n;
}

/* The entries, one after the other, with their offsets; returns the end. */
static uint64_t block_write_entries(const block_builder *b, uint8_t *data, block_layout l, bool wide) {
  const uint8_t *key = b->keys.data, *value = b->values.data;
  size_t prefix = b->prefix;
  uint8_t *to = data + l.entries;
  for (size_t i = 0; i < b->count; i++) {
    const block_pending *e = &b->entries[i];
    size_t suffix_size = e->key_size - prefix;
    put_u32(data + BLOCK_HEADER + 4 * i, head_u32(key + prefix, suffix_size));
    if (wide) {
      put_u32(data + l.offsets + 4 * i, (uint32_t)(to - data));
    } else {
      put_u16(data + l.offsets + 2 * i, (uint16_t)(to - data));
    }
    if (b->any_trailer) put_u64(data + l.trailers + 8 * i, e->trailer);
    to += varint_put(to, suffix_size);
    to += varint_put(to, e->value_size);
    memcpy(to, key + prefix, suffix_size);
    to += suffix_size;
    key += e->key_size;
    if (e->value_size == 0) continue; /* `value` may be NULL */
    memcpy(to, value, e->value_size);
    to += e->value_size;
    value += e->value_size;
  }
  ASSERT(key == b->keys.data + b->keys.size);
  return (uint64_t)(to - data);
}

INTERNAL int block_builder_finish(block_builder *b, buf *payload) {
  ASSERT(b->count > 0 && b->count < UINT32_MAX / 16);
  ASSERT(payload->size % 8 == 0);
  size_t bound = block_builder_size(b);
  if ((uint64_t)bound > UINT32_MAX) return status_fail(VARVE_LIMIT, "a block of %zu bytes is too large", bound);
  TRY(buf_reserve(payload, bound));
  uint8_t *data = payload->data + payload->size;
  bool wide = bound > UINT16_MAX;
  block_layout l = block_layout_of(b->count, wide, b->any_trailer, b->prefix);
  memset(data, 0, BLOCK_HEADER);
  put_u32(data, (uint32_t)b->count);
  put_u32(data + 4, (b->any_trailer ? BLOCK_TRAILERS : 0) | (wide ? BLOCK_WIDE : 0));
  put_u16(data + 8, (uint16_t)b->prefix);
  uint64_t offsets_end = l.offsets + (wide ? 4 : 2) * b->count;
  ASSERT(offsets_end <= l.trailers);
  memset(data + offsets_end, 0, (size_t)(l.trailers - offsets_end));
  memcpy(data + l.prefix, b->keys.data, b->prefix);
  uint64_t end = block_write_entries(b, data, l, wide);
  ASSERT(end <= bound);
  payload->size += (size_t)end;
  buf_clear(&b->keys);
  buf_clear(&b->values);
  b->count = b->lengths = b->prefix = b->last_key = 0;
  b->any_trailer = false;
  return VARVE_OK;
}

/* ---- view ---- */

INTERNAL bool block_open(block *b, slice payload) {
  const uint8_t *data = payload.data;
  ASSERT((uintptr_t)data % 8 == 0);
  if (UNLIKELY(payload.size < BLOCK_HEADER || (uint64_t)payload.size > UINT32_MAX)) return false;
  uint64_t n = get_u32(data);
  uint32_t flags = get_u32(data + 4);
  uint32_t prefix_size = get_u16(data + 8);
  if (UNLIKELY(n == 0 || flags > (BLOCK_TRAILERS | BLOCK_WIDE))) return false;
  block_layout l = block_layout_of(n, (flags & BLOCK_WIDE) != 0, (flags & BLOCK_TRAILERS) != 0, prefix_size);
  if (UNLIKELY(l.entries + 2 * n > payload.size)) return false; /* an entry has two bytes at least */
  b->data = data;
  b->size = (uint32_t)payload.size;
  b->count = (uint32_t)n;
  b->heads = (const uint32_t *)(const void *)(data + BLOCK_HEADER);
  b->offsets = data + l.offsets;
  b->trailers = (flags & BLOCK_TRAILERS) != 0 ? (const uint64_t *)(const void *)(data + l.trailers) : NULL;
  b->prefix = slice_make(data + l.prefix, prefix_size);
  b->wide = (flags & BLOCK_WIDE) != 0;
  return true;
}

INTERNAL bool block_entry_long(const uint8_t *at, const uint8_t *end, slice *suffix, slice *value) {
  reader r = {at, end};
  uint32_t suffix_size, value_size;
  if (!read_varint32(&r, &suffix_size) || !read_varint32(&r, &value_size)) return false;
  return read_bytes(&r, suffix_size, suffix) && read_bytes(&r, value_size, value);
}

/* The first index whose head is not less than `head`, without a branch that depends on the data. */
static inline uint32_t block_lower_bound(const uint32_t *heads, uint32_t count, uint32_t head) {
  const uint32_t *base = heads;
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

/* Order of an entry and (rest, trailer), for equal heads: when one of the two lies wholly in the head, the sizes
 * decide, since what the other has beyond are bytes that the head took as zero. */
static inline int block_compare_entry(slice suffix, uint64_t entry_trailer, slice rest, uint64_t trailer) {
  int order = 0;
  if (suffix.size > 4 && rest.size > 4) {
    size_t n = MIN(suffix.size, rest.size) - 4;
    order = memcmp((const uint8_t *)suffix.data + 4, (const uint8_t *)rest.data + 4, n);
  }
  if (order == 0) order = (suffix.size > rest.size) - (suffix.size < rest.size);
  if (order != 0) return order;
  return (entry_trailer < trailer) - (entry_trailer > trailer);
}

/* Among the entries [low, high), which share the head of `rest`, the first at or after (rest, trailer). */
static uint32_t block_find_tie(const block *b, uint32_t low, uint32_t high, slice rest, uint64_t trailer) {
  ASSERT(low <= high && high <= b->count);
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    slice suffix, value;
    if (!block_entry(b, middle, &suffix, &value)) return UINT32_MAX;
    if (block_compare_entry(suffix, block_trailer(b, middle), rest, trailer) < 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

static inline uint32_t block_locate(const block *b, slice key, uint64_t trailer, bool *found, slice *value) {
  *found = false;
  if (UNLIKELY(key.size == 0)) return 0;
  int side = block_compare_prefix(b->prefix, key);
  if (UNLIKELY(side != 0)) return side < 0 ? 0 : b->count;
  slice rest = slice_make((const uint8_t *)key.data + b->prefix.size, key.size - b->prefix.size);
  uint32_t head = head_u32(rest.data, rest.size);
  uint32_t i = block_lower_bound(b->heads, b->count, head);
  if (i == b->count || b->heads[i] != head) return i;
  slice suffix;
  if (UNLIKELY(!block_entry(b, i, &suffix, value))) return UINT32_MAX;
  if (UNLIKELY(block_compare_entry(suffix, block_trailer(b, i), rest, trailer) < 0)) {
    uint32_t high = b->count;
    if (head != UINT32_MAX) high = i + block_lower_bound(b->heads + i, b->count - i, head + 1);
    i = block_find_tie(b, i + 1, MAX(high, i + 1), rest, trailer); /* heads out of order: the entry i stays before */
    if (i >= b->count) return i;                                   /* the end, or UINT32_MAX */
    if (UNLIKELY(!block_entry(b, i, &suffix, value))) return UINT32_MAX;
  }
  *found = suffix.size == rest.size && block_bytes_equal(suffix.data, rest.data, rest.size);
  return i;
}

INTERNAL uint32_t block_seek(const block *b, slice key, uint64_t trailer) {
  bool found;
  slice value;
  return block_locate(b, key, trailer, &found, &value);
}

INTERNAL uint32_t block_find(const block *b, slice key, uint64_t trailer, bool *found, slice *value) {
  return block_locate(b, key, trailer, found, value);
}

/* Everything about entry i but its order, its bytes beginning at *at; moves *at behind it. */
static bool block_check_entry(const block *b, uint32_t i, uint64_t *at, slice *suffix) {
  uint32_t offset = b->wide ? get_u32(b->offsets + 4 * (size_t)i) : get_u16(b->offsets + 2 * (size_t)i);
  slice value;
  if (offset != *at || !block_entry(b, i, suffix, &value)) return false;
  size_t key_size = b->prefix.size + suffix->size;
  if (key_size == 0 || key_size > INNER_KEY_MAX || value.size > VARVE_VALUE_SIZE_MAX) return false;
  if (b->heads[i] != head_u32(suffix->data, suffix->size)) return false;
  entry_kind kind = trailer_kind(block_trailer(b, i));
  if (kind != KIND_PUT && kind != KIND_DELETE) return false;
  const uint8_t *end = (const uint8_t *)value.data + value.size;
  *at = (uint64_t)(end - b->data);
  return true;
}

INTERNAL bool block_check(const block *b) {
  bool any_trailer = b->trailers != NULL;
  block_layout l = block_layout_of(b->count, b->wide, any_trailer, b->prefix.size);
  ASSERT(l.entries <= b->size);
  if (get_u16(b->data + 10) != 0 || get_u32(b->data + 12) != 0) return false;
  for (uint64_t i = l.offsets + (b->wide ? 4 : 2) * (uint64_t)b->count; i < l.trailers; i++) {
    if (b->data[i] != 0) return false;
  }
  uint64_t at = l.entries;
  slice before = {NULL, 0};
  for (uint32_t i = 0; i < b->count; i++) {
    slice suffix;
    if (!block_check_entry(b, i, &at, &suffix)) return false;
    if (i > 0 && entry_compare(before, block_trailer(b, i - 1), suffix, block_trailer(b, i)) >= 0) return false;
    before = suffix;
  }
  return at == b->size;
}

#undef BLOCK_HEADER
#undef BLOCK_TRAILERS
#undef BLOCK_WIDE
#undef BLOCK_PREFIX_MAX
#undef BLOCK_PENDING_MIN
