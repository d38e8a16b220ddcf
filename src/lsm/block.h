/* block.h: a sorted run of versions in about 4 KiB, searched by an array of heads.
 *
 *   payload (before compression), all integers little-endian, the payload starts at a multiple of 8 in the file and
 *   in memory
 *    0   4  count n (>= 1)
 *    4   4  flags: 1 = trailers present, 2 = offsets are 32 bits (else 16)
 *    8   2  prefix size p (common to all keys; at most 65,535)
 *   10   2  zero
 *   12   4  zero
 *   16  4n  heads: the next 4 key bytes after the prefix, big-endian value, zero-padded, non-decreasing
 *        2n or 4n  offsets of the entries from the payload's start, ascending; padded to a multiple of 8
 *        8n trailers (when flag 1; else every version is a PUT of sequence 0)
 *         p prefix
 *           entries: varint suffix size | varint value size | suffix | value
 *
 * No entry depends on another one: any can be reached at once, and going back costs what going forward does. A search
 * is a branchless
 * lower bound over the heads and a comparison of the few that tie.
 */
#ifndef VARVE_BLOCK_H
#define VARVE_BLOCK_H

#include "base/coding.h"
#include "lsm/iter.h"

/* ---- builder ---- */
typedef struct block_builder {
  allocator *alloc;
  buf keys, values; /* whole keys and values one after the other, until finish */
  struct block_pending *entries;
  size_t count, capacity;
  size_t prefix;    /* common to all keys so far */
  size_t lengths;   /* bytes of the varints, at most */
  size_t last_key;  /* where the last key begins in `keys` */
  bool any_trailer; /* some version is not (sequence 0, PUT) */
} block_builder;

INTERNAL void block_builder_init(block_builder *b, allocator *alloc);
INTERNAL void block_builder_free(block_builder *b);
INTERNAL int block_builder_add(block_builder *b, slice key, uint64_t trailer, slice value); /* in order */
INTERNAL size_t block_builder_size(const block_builder *b);        /* estimate of the payload */
INTERNAL int block_builder_finish(block_builder *b, buf *payload); /* appends; the builder is empty afterwards */

/* Whether n bytes are the same: for the short prefixes of searches, where a call costs more than the comparison. */
static inline bool block_bytes_equal(const uint8_t *a, const uint8_t *b, size_t n) {
  if (n >= 8) {
    size_t last = n - 8; /* the last step may overlap the one before */
    for (size_t i = 0; i < last; i += 8) {
      if (get_u64(a + i) != get_u64(b + i)) return false;
    }
    return get_u64(a + last) == get_u64(b + last);
  }
  if (n >= 4) return ((get_u32(a) ^ get_u32(b)) | (get_u32(a + n - 4) ^ get_u32(b + n - 4))) == 0;
  uint32_t differ = 0;
  for (size_t i = 0; i < n; i++) differ |= (uint32_t)a[i] ^ b[i];
  return differ == 0;
}

/* Where `key` stands to all keys that begin with `prefix`: < 0 before them, > 0 after them, 0 when it is one. */
static inline int block_compare_prefix(slice prefix, slice key) {
  if (LIKELY(key.size >= prefix.size && block_bytes_equal(key.data, prefix.data, prefix.size))) return 0;
  int order = slice_compare(key, prefix);
  ASSERT_SLOW(order != 0);
  return order;
}

/* ---- view: a checked payload ---- */
typedef struct block {
  const uint8_t *data;
  uint32_t size, count;
  const uint32_t *heads;
  const uint8_t *offsets;
  const uint64_t *trailers; /* NULL = all (0, PUT) */
  slice prefix;
  bool wide;
} block;

/* Checks the frame of hostile bytes (aligned to 8): sizes, counts, arrays within the payload. False = CORRUPT. O(1):
 * entries are checked as they are
 * reached (block_entry), so that opening a block costs nothing that grows with it. */
INTERNAL bool block_open(block *b, slice payload);
/* The path of block_entry for sizes of more than one byte each. */
INTERNAL bool block_entry_long(const uint8_t *at, const uint8_t *end, slice *suffix, slice *value);
/* Entry i < count: false when its bytes are not inside the payload (CORRUPT). */
static inline bool block_entry(const block *b, uint32_t i, slice *suffix, slice *value) {
  ASSERT_SLOW(i < b->count);
  uint32_t offset = b->wide ? get_u32(b->offsets + 4 * (size_t)i) : get_u16(b->offsets + 2 * (size_t)i);
  if (UNLIKELY(offset > b->size)) return false;
  const uint8_t *at = b->data + offset, *end = b->data + b->size;
  size_t left = (size_t)(end - at);
  if (UNLIKELY(left < 2 || ((at[0] | at[1]) & 0x80) != 0)) return block_entry_long(at, end, suffix, value);
  size_t suffix_size = at[0], value_size = at[1];
  if (UNLIKELY(suffix_size + value_size > left - 2)) return false;
  *suffix = slice_make(at + 2, suffix_size);
  *value = slice_make(at + 2 + suffix_size, value_size);
  return true;
}
static inline uint64_t block_trailer(const block *b, uint32_t i) {
  return b->trailers == NULL ? (uint64_t)KIND_PUT : b->trailers[i];
}
/* Index of the first version at or after (key, trailer), count when none; UINT32_MAX when the block is broken. */
INTERNAL uint32_t block_seek(const block *b, slice key, uint64_t trailer);
/* The same, and when it is a version of `key` itself: *found is true and *value its value. */
INTERNAL uint32_t block_find(const block *b, slice key, uint64_t trailer, bool *found, slice *value);

/* Everything checked: order, heads, prefix, no gaps. For verify and fuzzing. False = CORRUPT. */
INTERNAL bool block_check(const block *b);

#endif
