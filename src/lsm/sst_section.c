/* sst_section.c: the one frame of everything in a table but its footer.
 *
 *   payload | p zeros to a multiple of 8 | u32 codec word | u32 checksum
 *   codec word = codec (0 raw, 1 LZ4) | p << 8
 *   LZ4 payload = u32 raw size | LZ4 block
 *
 * Invariants
 *   1. Nothing of a payload is looked at before its checksum was found right.
 *   2. A raw size is believed only as far as the stored bytes can make it (an LZ4 byte makes 255 at most).
 */
#include "lsm/sst_format.h"

INTERNAL int sst_damaged(uint64_t number, uint64_t offset, const char *reason) {
  return status_fail(VARVE_CORRUPT, "%s is damaged at offset %llu: %s", file_name(FILE_SST, number),
                     (unsigned long long)offset, reason);
}

INTERNAL int sst_section_end(buf *out, size_t start, uint32_t codec, uint64_t number, uint64_t offset) {
  ASSERT(start <= out->size && offset % 8 == 0);
  ASSERT(codec == SST_CODEC_RAW || codec == SST_CODEC_LZ4);
  size_t zeros = (8 - (out->size - start) % 8) % 8;
  TRY(buf_reserve(out, zeros + SST_SECTION_TAIL));
  memset(out->data + out->size, 0, zeros);
  out->size += zeros;
  put_u32(out->data + out->size, codec | (uint32_t)zeros << 8);
  out->size += 4;
  uint32_t sum = sst_checksum(out->data + start, out->size - start, number, offset);
  put_u32(out->data + out->size, sum);
  out->size += 4;
  ASSERT((out->size - start) % 8 == 0);
  return VARVE_OK;
}

INTERNAL int sst_section_open(const uint8_t *stored, uint64_t size, uint64_t number, uint64_t offset, sst_section *s) {
  if (size < SST_SECTION_TAIL || size % 8 != 0) return sst_damaged(number, offset, "a section has an impossible size");
  if (size > SST_BLOCK_BYTES_CAP || size > PTRDIFF_MAX) return sst_damaged(number, offset, "a section is too large");
  size_t length = (size_t)size - SST_SECTION_TAIL;
  uint32_t sum = sst_checksum(stored, length + 4, number, offset);
  if (UNLIKELY(get_u32(stored + length + 4) != sum)) return sst_damaged(number, offset, "checksum mismatch");
  uint32_t word = get_u32(stored + length);
  uint32_t zeros = word >> 8;
  if (zeros > 7 || zeros > length) return sst_damaged(number, offset, "a section has impossible padding");
  s->codec = word & 0xff;
  s->payload = slice_make(stored, length - zeros);
  s->raw_size = 0;
  if (s->codec == SST_CODEC_RAW) return VARVE_OK;
  if (s->codec != SST_CODEC_LZ4) return sst_damaged(number, offset, "a section has an unknown codec");
  if (s->payload.size < 4) return sst_damaged(number, offset, "a compressed section is too short");
  s->raw_size = get_u32(stored);
  s->payload = slice_make(stored + 4, s->payload.size - 4);
  if (s->raw_size == 0 || s->raw_size > SST_BLOCK_BYTES_CAP || s->raw_size > s->payload.size * (uint64_t)255 + 64) {
    return sst_damaged(number, offset, "a compressed section claims an impossible size");
  }
  return VARVE_OK;
}

INTERNAL int sst_section_inflate(const sst_section *s, uint64_t number, uint64_t offset, uint8_t *out) {
  ASSERT(s->codec == SST_CODEC_LZ4 && s->raw_size > 0);
  if (lz4_decompress(s->payload.data, s->payload.size, out, s->raw_size)) return VARVE_OK;
  return sst_damaged(number, offset, "a section does not decompress");
}
