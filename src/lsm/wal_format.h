/* wal_format.h: the bytes of a log's header and of a frame's header, for the writer, the reader and the dump tool.
 * The layout is drawn in wal.h.
 */
#ifndef VARVE_WAL_FORMAT_H
#define VARVE_WAL_FORMAT_H

#include "base/coding.h"
#include "base/xxh64.h"
#include "lsm/entry.h"
#include "lsm/super.h"
#include "lsm/wal.h"

#define WAL_MAGIC        "VARVEWAL"
#define WAL_SPARE_AT     12u
#define WAL_SPARE        0x5au /* at 12 while the header is being written: the file holds no log */
#define WAL_SALT_AT      48u
#define WAL_CHECKSUM_AT  56u
#define WAL_UNIT         8u
#define WAL_END_MAX      ((uint64_t)UINT32_MAX * WAL_UNIT) /* `synced` has 32 bits, in units of 8 */
#define WAL_FILE_NUM_MAX ((UINT64_C(1) << 56) - 1)

static_assert(sizeof(WAL_MAGIC) - 1 == 8, "the magic has 8 bytes");
static_assert(WAL_HEADER_SIZE % WAL_UNIT == 0 && WAL_FRAME_HEADER_SIZE % WAL_UNIT == 0, "frames start at units");

static inline void wal_header_put(uint8_t p[WAL_HEADER_SIZE], const wal_header *h) {
  memcpy(p, WAL_MAGIC, 8);
  put_u32(p + 8, FORMAT_VERSION);
  put_u32(p + 12, 0);
  put_u64(p + 16, h->log);
  put_u64(p + 24, h->log_before);
  put_u64(p + 32, h->end_before);
  put_u64(p + 40, h->next_seq);
  put_u64(p + WAL_SALT_AT, h->salt);
  put_u64(p + WAL_CHECKSUM_AT, xxh64(p, WAL_CHECKSUM_AT, 0));
}

/* False unless p holds a whole header of this format version. */
static inline bool wal_header_get(const uint8_t p[WAL_HEADER_SIZE], wal_header *h) {
  if (memcmp(p, WAL_MAGIC, 8) != 0 || get_u32(p + 8) != FORMAT_VERSION || get_u32(p + 12) != 0) return false;
  if (get_u64(p + WAL_CHECKSUM_AT) != xxh64(p, WAL_CHECKSUM_AT, 0)) return false;
  h->log = get_u64(p + 16);
  h->log_before = get_u64(p + 24);
  h->end_before = get_u64(p + 32);
  h->next_seq = get_u64(p + 40);
  h->salt = get_u64(p + WAL_SALT_AT);
  return true;
}

/* Whether the header was being written when everything stopped: whatever else is there is no log. */
static inline bool wal_header_spare(const uint8_t p[WAL_HEADER_SIZE]) {
  return memcmp(p, WAL_MAGIC, 8) == 0 && get_u32(p + 8) == FORMAT_VERSION && get_u32(p + WAL_SPARE_AT) == WAL_SPARE;
}

typedef struct wal_frame_header {
  uint32_t body_size, checksum;
  uint64_t first_seq;
  uint32_t count;
  uint64_t synced; /* bytes */
} wal_frame_header;

static inline wal_frame_header wal_frame_header_get(const uint8_t *p) {
  wal_frame_header f = {get_u32(p), get_u32(p + 4), get_u64(p + 8), get_u32(p + 16),
                        (uint64_t)get_u32(p + 20) * WAL_UNIT};
  return f;
}

/* Bytes that a frame takes in the file. */
static inline uint64_t wal_frame_size(size_t body_size) {
  return align_up(WAL_FRAME_HEADER_SIZE + (uint64_t)body_size, WAL_UNIT);
}

/* Checksum of the frame whose bytes are at p and whose place in the file is `offset`. */
static inline uint32_t wal_frame_checksum(const uint8_t *p, uint32_t body_size, uint64_t salt, uint64_t offset) {
  return (uint32_t)xxh64(p + 8, WAL_FRAME_HEADER_SIZE - 8 + (size_t)body_size, salt ^ offset ^ body_size);
}

#endif
