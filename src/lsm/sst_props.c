/* sst_props.c: the footer, and the properties: what a table says about itself.
 *
 *   properties := property*, tags ascending;  property := varint tag | varint size | bytes
 *     1 entries   2 tombstones   3 range tombstones   4 lowest sequence   5 highest sequence   6 raw bytes   (varints)
 *     7 smallest  8 largest (bytes)   9 largest is exclusive (varint 0 or 1)   10 bloom bits a key (varint)
 *   All of these are present; a reader skips tags that it does not know.
 *
 * Invariants
 *   1. A footer passes sst_footer_get only when its parts fill the file, in order, without overlap.
 */
#include "lsm/sst_format.h"

enum {
  PROPERTY_ENTRIES = 1,
  PROPERTY_TOMBSTONES = 2,
  PROPERTY_RANGES = 3,
  PROPERTY_SEQ_MIN = 4,
  PROPERTY_SEQ_MAX = 5,
  PROPERTY_RAW_BYTES = 6,
  PROPERTY_SMALLEST = 7,
  PROPERTY_LARGEST = 8,
  PROPERTY_EXCLUSIVE = 9,
  PROPERTY_BLOOM_BITS = 10,
  PROPERTY_LAST = 10
};

#define FOOTER_VERSION 8u
#define FOOTER_FLAGS   12u
#define FOOTER_NUMBER  16u
#define FOOTER_SIZE    24u
#define FOOTER_PARTS   32u
#define FOOTER_ZEROS   96u
#define FOOTER_SUM     (SST_FOOTER_BYTES - 4)

INTERNAL void sst_footer_put(uint8_t bytes[SST_FOOTER_BYTES], const sst_footer *f, uint64_t number, uint64_t size) {
  ASSERT(size > SST_FOOTER_BYTES && size % 8 == 0);
  memset(bytes, 0, SST_FOOTER_BYTES);
  memcpy(bytes, SST_MAGIC, 8);
  put_u32(bytes + FOOTER_VERSION, SST_FORMAT_VERSION);
  put_u64(bytes + FOOTER_NUMBER, number);
  put_u64(bytes + FOOTER_SIZE, size);
  for (size_t i = 0; i < SST_PARTS; i++) {
    put_u64(bytes + FOOTER_PARTS + 16 * i, f->part[i].offset);
    put_u64(bytes + FOOTER_PARTS + 16 * i + 8, f->part[i].size);
  }
  put_u32(bytes + FOOTER_SUM, sst_checksum(bytes, FOOTER_SUM, number, size - SST_FOOTER_BYTES));
}

/* The parts follow each other from the end of the blocks to the footer. */
static bool sst_footer_layout(const sst_footer *f, uint64_t footer_at) {
  uint64_t at = f->part[0].offset;
  if (at > footer_at || at % 8 != 0) return false;
  for (size_t i = 0; i < SST_PARTS; i++) {
    const sst_extent *part = &f->part[i];
    bool optional = i == SST_RANGES || i == SST_FILTER;
    if (part->size == 0) {
      if (!optional || part->offset != at) return false;
      continue;
    }
    uint64_t begin = align_up(at, sst_part_align((sst_part)i));
    if (part->offset != begin || begin > footer_at || part->size > footer_at - begin) return false;
    if (part->size % 8 != 0 || part->size < SST_SECTION_TAIL || part->size > SST_BLOCK_BYTES_CAP) return false;
    at = begin + part->size;
  }
  return at == footer_at;
}

INTERNAL int sst_footer_get(const uint8_t bytes[SST_FOOTER_BYTES], uint64_t number, uint64_t size, sst_footer *f) {
  ASSERT(size >= SST_FOOTER_BYTES && size % 8 == 0);
  uint64_t at = size - SST_FOOTER_BYTES;
  if (memcmp(bytes, SST_MAGIC, 8) != 0) return sst_damaged(number, at, "no table footer");
  uint64_t owner = get_u64(bytes + FOOTER_NUMBER);
  /* The sum first under the number that the footer names: a whole footer of another table deserves its own message. */
  if (get_u32(bytes + FOOTER_SUM) != sst_checksum(bytes, FOOTER_SUM, owner, at)) {
    return sst_damaged(number, at, "checksum mismatch in the footer");
  }
  if (get_u32(bytes + FOOTER_VERSION) > SST_FORMAT_VERSION) {
    return status_fail(VARVE_NEWER_FORMAT, "%s has format version %u; this library knows %u",
                       file_name(FILE_SST, number), (unsigned)get_u32(bytes + FOOTER_VERSION),
                       (unsigned)SST_FORMAT_VERSION);
  }
  if (get_u32(bytes + FOOTER_VERSION) == 0) return sst_damaged(number, at, "format version 0");
  if (owner != number) return sst_damaged(number, at, "it is another table's file");
  if (get_u64(bytes + FOOTER_SIZE) != size) return sst_damaged(number, at, "the file has not the size it had");
  bool zero = get_u32(bytes + FOOTER_FLAGS) == 0;
  for (size_t i = FOOTER_ZEROS; i < FOOTER_SUM; i++) zero = zero && bytes[i] == 0;
  if (!zero) return sst_damaged(number, at, "the footer has unknown flags");
  for (size_t i = 0; i < SST_PARTS; i++) {
    f->part[i].offset = get_u64(bytes + FOOTER_PARTS + 16 * i);
    f->part[i].size = get_u64(bytes + FOOTER_PARTS + 16 * i + 8);
  }
  if (!sst_footer_layout(f, at)) return sst_damaged(number, at, "the footer's sections do not fit the file");
  return VARVE_OK;
}

static int sst_property_number(buf *out, uint64_t tag, uint64_t value) {
  TRY(buf_append_varint(out, tag));
  TRY(buf_append_varint(out, varint_size(value)));
  return buf_append_varint(out, value);
}

static int sst_property_bytes(buf *out, uint64_t tag, slice value) {
  TRY(buf_append_varint(out, tag));
  return buf_append_slice(out, value);
}

INTERNAL int sst_properties_put(buf *out, const sst_summary *s, uint32_t bloom_bits) {
  TRY(sst_property_number(out, PROPERTY_ENTRIES, s->entries));
  TRY(sst_property_number(out, PROPERTY_TOMBSTONES, s->tombstones));
  TRY(sst_property_number(out, PROPERTY_RANGES, s->range_tombstones));
  TRY(sst_property_number(out, PROPERTY_SEQ_MIN, s->seq_min));
  TRY(sst_property_number(out, PROPERTY_SEQ_MAX, s->seq_max));
  TRY(sst_property_number(out, PROPERTY_RAW_BYTES, s->raw_bytes));
  TRY(sst_property_bytes(out, PROPERTY_SMALLEST, s->smallest));
  TRY(sst_property_bytes(out, PROPERTY_LARGEST, s->largest));
  TRY(sst_property_number(out, PROPERTY_EXCLUSIVE, s->largest_exclusive ? 1 : 0));
  return sst_property_number(out, PROPERTY_BLOOM_BITS, bloom_bits);
}

INTERNAL bool sst_properties_get(slice bytes, sst_summary *s, uint32_t *bloom_bits) {
  reader r = reader_of(bytes);
  slice found[PROPERTY_LAST + 1];
  uint64_t number[PROPERTY_LAST + 1];
  uint32_t seen = 0;
  uint64_t before = 0;
  while (reader_left(&r) > 0) {
    uint64_t tag;
    slice value;
    if (!read_varint64(&r, &tag) || tag <= before || !read_slice(&r, reader_left(&r), &value)) return false;
    before = tag;
    if (tag > PROPERTY_LAST) continue;
    found[tag] = value;
    seen |= 1u << tag;
    if (tag == PROPERTY_SMALLEST || tag == PROPERTY_LARGEST) continue;
    reader v = reader_of(value);
    if (!read_varint64(&v, &number[tag]) || reader_left(&v) > 0) return false;
  }
  if (seen != (2u << PROPERTY_LAST) - 2) return false;
  s->entries = number[PROPERTY_ENTRIES];
  s->tombstones = number[PROPERTY_TOMBSTONES];
  s->range_tombstones = number[PROPERTY_RANGES];
  s->seq_min = number[PROPERTY_SEQ_MIN];
  s->seq_max = number[PROPERTY_SEQ_MAX];
  s->raw_bytes = number[PROPERTY_RAW_BYTES];
  s->smallest = found[PROPERTY_SMALLEST];
  s->largest = found[PROPERTY_LARGEST];
  s->largest_exclusive = number[PROPERTY_EXCLUSIVE] == 1;
  *bloom_bits = (uint32_t)number[PROPERTY_BLOOM_BITS];
  if (number[PROPERTY_EXCLUSIVE] > 1 || number[PROPERTY_BLOOM_BITS] - 1 >= BLOOM_BITS_MAX) return false;
  if (s->tombstones > s->entries || s->seq_min > s->seq_max || s->seq_max > SEQ_MAX) return false;
  if (s->smallest.size > INNER_KEY_MAX || s->largest.size > INNER_KEY_MAX) return false;
  if (s->entries + s->range_tombstones == 0) return s->smallest.size == 0 && s->largest.size == 0;
  int order = slice_compare(s->smallest, s->largest);
  return s->smallest.size > 0 && (s->largest_exclusive ? order < 0 : order <= 0);
}

#undef FOOTER_VERSION
#undef FOOTER_FLAGS
#undef FOOTER_NUMBER
#undef FOOTER_SIZE
#undef FOOTER_PARTS
#undef FOOTER_ZEROS
#undef FOOTER_SUM
