/* sst_format.h: the numbers of the table format and its sections: shared by the writer, the reader and the check. The
 * drawing of each byte is in docs/FORMAT.md. */
#ifndef VARVE_SST_FORMAT_H
#define VARVE_SST_FORMAT_H

#include "base/lz4.h"
#include "lsm/sst.h"

#define SST_MAGIC          "VARVESST"
#define SST_FORMAT_VERSION 1u
#define SST_FOOTER_BYTES   128u
#define SST_SECTION_TAIL   8u /* codec word and checksum */
#define SST_CODEC_RAW      0u
#define SST_CODEC_LZ4      1u

/* The sections behind the blocks, in the order of the file. */
typedef enum sst_part { SST_RANGES = 0, SST_FILTER = 1, SST_INDEX = 2, SST_PROPERTIES = 3, SST_PARTS = 4 } sst_part;

/* Where each begins: the filter at a cache line, the rest at 8. */
static inline uint64_t sst_part_align(sst_part part) {
  return part == SST_FILTER ? FILTER_LINE : 8;
}

typedef struct sst_extent {
  uint64_t offset, size; /* of the stored section; size 0 = none (ranges and filter only) */
} sst_extent;

typedef struct sst_footer {
  sst_extent part[SST_PARTS];
} sst_footer;

static inline uint64_t sst_seed(uint64_t number, uint64_t offset) {
  return (number * UINT64_C(0x9e3779b97f4a7c15)) ^ offset;
}
static inline uint32_t sst_checksum(const void *data, size_t size, uint64_t number, uint64_t offset) {
  return (uint32_t)xxh64(data, size, sst_seed(number, offset));
}

/* "7.sst is damaged at offset 4096: reason". Returns CORRUPT. */
INTERNAL int sst_damaged(uint64_t number, uint64_t offset, const char *reason);

/* ---- sections (sst_section.c) ---- */

/* Ends the section whose payload is out[start ..] and that will be at `offset` of file `number`. */
INTERNAL int sst_section_end(buf *out, size_t start, uint32_t codec, uint64_t number, uint64_t offset);

typedef struct sst_section {
  slice payload;     /* as stored: what LZ4 made when codec says so, without its raw size */
  uint32_t codec;    /* SST_CODEC_* */
  uint32_t raw_size; /* of LZ4 */
} sst_section;

/* Checks and takes apart the `size` stored bytes of a section. CORRUPT with the message. */
INTERNAL int sst_section_open(const uint8_t *stored, uint64_t size, uint64_t number, uint64_t offset, sst_section *s);
/* Inflates an LZ4 section into raw_size bytes. */
INTERNAL int sst_section_inflate(const sst_section *s, uint64_t number, uint64_t offset, uint8_t *out);

/* ---- footer and properties (sst_props.c) ---- */

INTERNAL void sst_footer_put(uint8_t bytes[SST_FOOTER_BYTES], const sst_footer *f, uint64_t number, uint64_t size);
/* Checks it against the file: magic, checksum, version, number, size, and that the parts lie in order without gaps up
 * to
 * the footer. */
INTERNAL int sst_footer_get(const uint8_t bytes[SST_FOOTER_BYTES], uint64_t number, uint64_t size, sst_footer *f);

INTERNAL int sst_properties_put(buf *out, const sst_summary *summary, uint32_t bloom_bits);
/* The slices of the summary point into `bytes`. False = CORRUPT. */
INTERNAL bool sst_properties_get(slice bytes, sst_summary *summary, uint32_t *bloom_bits);

/* ---- index (sst_index.c) ---- */

/*  payload   0   4  count n of blocks
 *            4   4  size p of the prefix that all separators share
 *            8  8n  heads: the next 8 bytes of each separator after the prefix, big-endian value, zero-padded,
 *                   non-decreasing
 *               4n + 4  offsets of the blocks / 8, ascending; the last is the end of the last block
 *               4n  ends of the separators, from the start of the first, ascending
 *               p   prefix
 *                   separators without the prefix, one after the other
 *
 *  Separator i is >= the last key of block i and < the first key of block i + 1 (equal to both when the versions of
 *  one key
 *  span the two). The last separator is the last key of the table. */
typedef struct sst_index {
  uint32_t count;
  const uint64_t *heads;
  const uint32_t *offsets; /* / 8 */
  const uint32_t *ends;
  const uint8_t *separators;
  slice prefix;
} sst_index;

static inline uint64_t sst_index_offset(const sst_index *x, uint32_t i) {
  return (uint64_t)x->offsets[i] * 8;
}
static inline slice sst_index_separator(const sst_index *x, uint32_t i) {
  uint32_t begin = i == 0 ? 0 : x->ends[i - 1];
  return slice_make(x->separators + begin, x->ends[i] - begin);
}

/* Checks hostile bytes (aligned to 8) but for the heads' values and the order of the separators. False = CORRUPT. */
INTERNAL bool sst_index_open(sst_index *x, slice payload, uint64_t blocks_end);
/* The first block whose separator is at or after key; count when none: the block where key is, if it is anywhere. */
INTERNAL uint32_t sst_index_seek(const sst_index *x, slice key);

typedef struct sst_index_builder {
  buf separators, ends, offsets; /* ends and offsets: u32 */
} sst_index_builder;

INTERNAL void sst_index_builder_init(sst_index_builder *b, allocator *alloc);
INTERNAL void sst_index_builder_free(sst_index_builder *b);
/* A block at `offset` ended with key `last`; `next` is the first key of the following one (empty = none). */
INTERNAL int sst_index_builder_add(sst_index_builder *b, uint64_t offset, slice last, slice next);
/* Appends the payload; `first` is the first key of the table, `end` where the last block ends. */
INTERNAL int sst_index_builder_finish(sst_index_builder *b, slice first, uint64_t end, buf *out);

#endif
