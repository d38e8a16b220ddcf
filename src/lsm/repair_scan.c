/* repair_scan.c: what begins at this offset of a table, when no footer and no index say so?
 *
 * A section does not begin with its size, but every payload tells where it ends, by its own rules:
 *   raw block   the last entry's offset and sizes
 *   LZ4 block   the raw size, and the sequences up to the one that completes it
 *   ranges      the count, and so many fragments
 *   index       the counts, and the end of the last separator
 * So there is one candidate for the size, whose checksum (32 bits, for this file and this offset) is then compared;
 * what passes is checked to its last byte. To be taken for a section, bytes that are none must look like one by their
 * rules and meet that checksum by chance: for a wholly random gigabyte that is less likely than 1 in 10^6.
 *
 * Invariants
 *   1. Bytes looked at for candidates that fail are bounded: 16 times the file and 64 MiB. Random damage costs a small
 *      part of that; a file that was made to cost more is given up.
 */
#include "lsm/repair_scan.h"

#include "base/xxh64.h"

#define SCAN_HEAD_BYTES 64u
#define SCAN_BLOCK_HEAD 16u
#define SCAN_FLAGS_MAX  3u

INTERNAL void repair_scan_init(repair_scan *s, repair_window *w, uint64_t number, uint64_t end) {
  memset(s, 0, sizeof *s);
  ASSERT(end <= w->size);
  s->window = w;
  s->number = number;
  s->end = end;
  s->budget = 16 * w->size + (uint64_t)64 * MiB;
}

INTERNAL void repair_scan_free(repair_scan *s) {
  mem_free_lines(s->window->alloc, s->raw, s->raw_room);
  s->raw = NULL;
  s->raw_room = 0;
}

static int repair_scan_inflate(repair_scan *s, const sst_section *section, uint64_t offset, slice *payload) {
  if (section->raw_size > s->raw_room) {
    mem_free_lines(s->window->alloc, s->raw, s->raw_room);
    s->raw_room = 0;
    s->raw = mem_alloc_lines(s->window->alloc, section->raw_size);
    if (s->raw == NULL) return mem_fail(section->raw_size, "a block");
    s->raw_room = section->raw_size;
  }
  TRY(sst_section_inflate(section, s->number, offset, s->raw));
  *payload = slice_make(s->raw, section->raw_size);
  return VARVE_OK;
}

INTERNAL int repair_scan_block(repair_scan *s, uint64_t offset, uint64_t size, block *b) {
  const uint8_t *p;
  sst_section section;
  ASSERT(offset % 8 == 0);
  if (size == 0 || size > SST_BLOCK_BYTES_CAP || offset > s->window->size || size > s->window->size - offset) {
    return sst_damaged(s->number, offset, "the file is cut short");
  }
  TRY(repair_window_bytes(s->window, offset, size, &p));
  TRY(sst_section_open(p, size, s->number, offset, &section));
  slice payload = section.payload;
  if (section.codec == SST_CODEC_LZ4) TRY(repair_scan_inflate(s, &section, offset, &payload));
  if (block_open(b, payload) && block_check(b)) return VARVE_OK;
  return sst_damaged(s->number, offset, "a block breaks its format");
}

/* ---- how long would it be? Each gives the payload's size, 0 = it is none ---- */

/* Takes `bytes` from the budget: false when it is used up. */
static bool repair_scan_spend(repair_scan *s, uint64_t bytes) {
  if (bytes > s->budget) s->budget = 0;
  if (s->budget == 0) return false;
  s->budget -= bytes;
  return true;
}

/* Whether the first bytes of a payload may be a block's: counts, flags and the six zeros. */
static bool repair_scan_is_head(const uint8_t *p) {
  return get_u32(p) > 0 && get_u32(p + 4) <= SCAN_FLAGS_MAX && get_u16(p + 10) == 0 && get_u32(p + 12) == 0;
}

static int repair_scan_raw(repair_scan *s, uint64_t offset, uint64_t left, uint64_t *size) {
  const uint8_t *p;
  ASSERT(left >= SCAN_BLOCK_HEAD && left <= s->end - offset);
  TRY(repair_window_bytes(s->window, offset, SCAN_BLOCK_HEAD, &p));
  if (!repair_scan_is_head(p)) return VARVE_OK;
  uint64_t n = get_u32(p), width = (get_u32(p + 4) & 2) != 0 ? 4 : 2;
  uint64_t trailers = align_up(SCAN_BLOCK_HEAD + 4 * n + width * n, 8);
  uint64_t entries = trailers + ((get_u32(p + 4) & 1) != 0 ? 8 * n : 0) + get_u16(p + 8);
  uint64_t last_at = SCAN_BLOCK_HEAD + 4 * n + width * (n - 1);
  if (entries >= left || 2 * n > left - entries) return VARVE_OK;
  TRY(repair_window_bytes(s->window, offset + last_at, width, &p));
  uint64_t last = width == 4 ? get_u32(p) : get_u16(p);
  if (last < entries || last >= left) return VARVE_OK;
  uint64_t room = MIN(left - last, (uint64_t)2 * VARINT32_SIZE_MAX);
  TRY(repair_window_bytes(s->window, offset + last, room, &p));
  reader r = reader_of(slice_make(p, (size_t)room));
  uint32_t suffix, value;
  if (!read_varint32(&r, &suffix) || !read_varint32(&r, &value)) return VARVE_OK;
  uint64_t end = last + (room - reader_left(&r)) + suffix + value;
  if (end <= left) *size = end;
  return VARVE_OK;
}

static bool repair_scan_length(const uint8_t *p, uint64_t size, uint64_t *at, uint64_t *length) {
  if (*length < 15) return true;
  for (;;) {
    if (*at >= size) return false;
    uint8_t more = p[(*at)++];
    *length += more;
    if (more != 255) return true;
  }
}

/* Walks LZ4 sequences up to the one that completes `raw` bytes, and says where that ends; 0 = never. */
static uint64_t repair_scan_sequences(const uint8_t *p, uint64_t size, uint64_t raw) {
  uint64_t at = 0, made = 0;
  ASSERT(raw > 0);
  while (at < size) {
    uint8_t token = p[at++];
    uint64_t literals = token >> 4, match = token & 15u;
    if (!repair_scan_length(p, size, &at, &literals)) return 0;
    if (literals > size - at || literals > raw - made) return 0;
    at += literals;
    made += literals;
    ASSERT(at <= size && made <= raw);
    if (made == raw) return at;
    if (size - at < 2) return 0;
    uint64_t back = get_u16(p + at);
    at += 2;
    if (back == 0 || back > made || !repair_scan_length(p, size, &at, &match)) return 0;
    match += 4;
    if (match >= raw - made) return 0;
    made += match;
  }
  return 0;
}

/* The first bytes that LZ4 sequences make: false when they are broken, or too few. */
static bool repair_scan_begin(const uint8_t *p, uint64_t size, uint8_t out[SCAN_BLOCK_HEAD]) {
  uint64_t at = 0, made = 0;
  while (made < SCAN_BLOCK_HEAD) {
    if (at >= size) return false;
    uint8_t token = p[at++];
    uint64_t literals = token >> 4, match = token & 15u;
    if (!repair_scan_length(p, size, &at, &literals)) return false;
    for (; literals > 0 && made < SCAN_BLOCK_HEAD; literals--) {
      if (at >= size) return false;
      out[made++] = p[at++];
    }
    if (made == SCAN_BLOCK_HEAD) return true;
    if (size - at < 2) return false;
    uint64_t back = get_u16(p + at);
    at += 2;
    if (back == 0 || back > made || !repair_scan_length(p, size, &at, &match)) return false;
    for (match += 4; match > 0 && made < SCAN_BLOCK_HEAD; match--, made++) out[made] = out[made - back];
  }
  return true;
}

static int repair_scan_lz4(repair_scan *s, uint64_t offset, uint64_t left, uint64_t *size) {
  const uint8_t *p;
  uint8_t head[SCAN_BLOCK_HEAD];
  uint64_t first = MIN(left, (uint64_t)SCAN_HEAD_BYTES);
  TRY(repair_window_bytes(s->window, offset, first, &p));
  uint64_t raw = get_u32(p);
  if (raw < SCAN_BLOCK_HEAD || raw > SST_BLOCK_BYTES_CAP || raw > (left - 4) * 255 + 64) return VARVE_OK;
  if (!repair_scan_begin(p + 4, first - 4, head) || !repair_scan_is_head(head)) return VARVE_OK;
  if ((uint64_t)get_u32(head) * 8 + SCAN_BLOCK_HEAD > raw) return VARVE_OK;
  uint64_t most = MIN(left - 4, raw); /* a block is stored compressed when that makes it smaller */
  if (!repair_scan_spend(s, most)) return VARVE_OK;
  TRY(repair_window_bytes(s->window, offset, 4 + most, &p));
  uint64_t end = repair_scan_sequences(p + 4, most, raw);
  s->budget += end == 0 ? 0 : most - end;
  if (end > 0) *size = 4 + end;
  return VARVE_OK;
}

/* The end of `count` fragments; 0 = they are broken, UINT64_MAX = they go on beyond the bytes. */
static uint64_t repair_scan_fragments(const uint8_t *p, uint64_t size) {
  reader r = reader_of(slice_make(p, (size_t)size));
  uint64_t count;
  if (!read_varint64(&r, &count) || count == 0) return 0;
  for (; count > 0; count--) {
    slice part[2];
    for (unsigned i = 0; i < 2; i++) {
      reader ahead = r;
      uint32_t length;
      if (!read_varint32(&ahead, &length)) return reader_left(&r) < VARINT32_SIZE_MAX ? UINT64_MAX : 0;
      if (length > INNER_KEY_MAX) return 0;
      if (!read_slice(&r, INNER_KEY_MAX, &part[i])) return UINT64_MAX;
    }
    if (slice_compare(part[0], part[1]) >= 0) return 0;
    uint64_t seq;
    if (!read_varint64(&r, &seq)) return reader_left(&r) < VARINT64_SIZE_MAX ? UINT64_MAX : 0;
    if (seq > SEQ_MAX) return 0;
  }
  return size - reader_left(&r);
}

static int repair_scan_ranges(repair_scan *s, uint64_t offset, uint64_t left, uint64_t *size) {
  for (uint64_t most = 4 * KiB;; most *= 8) {
    const uint8_t *p;
    uint64_t n = MIN(left, most);
    TRY(repair_window_bytes(s->window, offset, n, &p));
    uint64_t end = repair_scan_fragments(p, n);
    if (end != UINT64_MAX) {
      *size = end;
      return VARVE_OK;
    }
    if (n == left || !repair_scan_spend(s, n)) return VARVE_OK;
  }
}

static int repair_scan_index(repair_scan *s, uint64_t offset, uint64_t left, uint64_t *size) {
  const uint8_t *p;
  if (left < 32) return VARVE_OK;
  TRY(repair_window_bytes(s->window, offset, 8, &p));
  uint64_t n = get_u32(p), prefix = get_u32(p + 4), fixed = 8 + 16 * n + 4;
  if (n == 0 || prefix > INNER_KEY_MAX || fixed + prefix > left) return VARVE_OK;
  TRY(repair_window_bytes(s->window, offset + 8 + 8 * n, 4, &p));
  if (get_u32(p) != 0) return VARVE_OK; /* the first block's offset */
  TRY(repair_window_bytes(s->window, offset + fixed - 4, 4, &p));
  uint64_t end = fixed + prefix + get_u32(p);
  if (end <= left) *size = end;
  return VARVE_OK;
}

INTERNAL bool repair_scan_like(const uint8_t *p, uint64_t size) {
  uint8_t head[SCAN_BLOCK_HEAD];
  if (size < SCAN_HEAD_BYTES) return false;
  if (repair_scan_is_head(p)) return true;
  uint32_t raw = get_u32(p);
  return raw >= SCAN_BLOCK_HEAD && raw <= SST_BLOCK_BYTES_CAP && repair_scan_begin(p + 4, size - 4, head) &&
         repair_scan_is_head(head);
}

/* ---- what is there ---- */

/* Checks the section with a payload of `payload` bytes: *found is filled in when it is one. */
static int repair_scan_check(repair_scan *s, uint64_t offset, uint64_t payload, repair_found kind, uint32_t codec,
                             repair_section *found) {
  uint64_t size = align_up(payload, 8) + SST_SECTION_TAIL;
  const uint8_t *p;
  sst_section section;
  if (payload == 0 || size > s->end - offset || size > SST_BLOCK_BYTES_CAP) return VARVE_OK;
  TRY(repair_window_bytes(s->window, offset + size - SST_SECTION_TAIL, 4, &p));
  if (get_u32(p) != (codec | (uint32_t)(align_up(payload, 8) - payload) << 8)) return VARVE_OK;
  if (!repair_scan_spend(s, size)) return VARVE_OK;
  if (kind == FOUND_BLOCK) {
    int rc = repair_scan_block(s, offset, size, &found->block);
    if (rc < 0) return rc == VARVE_CORRUPT ? VARVE_OK : rc;
  } else {
    TRY(repair_window_bytes(s->window, offset, size, &p));
    if (sst_section_open(p, size, s->number, offset, &section) < 0) return VARVE_OK;
    found->payload = section.payload;
  }
  s->budget += size; /* it was none that fails */
  ASSERT(size % 8 == 0 && size <= s->end - offset);
  found->kind = kind;
  found->size = size;
  return VARVE_OK;
}

INTERNAL int repair_scan_at(repair_scan *s, uint64_t offset, repair_section *found) {
  static const struct {
    repair_found kind;
    uint32_t codec;
    int (*measure)(repair_scan *s, uint64_t offset, uint64_t left, uint64_t *size);
  } kinds[] = {{FOUND_BLOCK, SST_CODEC_RAW, repair_scan_raw},
               {FOUND_BLOCK, SST_CODEC_LZ4, repair_scan_lz4},
               {FOUND_INDEX, SST_CODEC_RAW, repair_scan_index},
               {FOUND_RANGES, SST_CODEC_RAW, repair_scan_ranges}};
  ASSERT(offset % 8 == 0);
  memset(found, 0, sizeof *found);
  if (offset >= s->end || s->end - offset < SCAN_BLOCK_HEAD + SST_SECTION_TAIL) return VARVE_OK;
  for (size_t i = 0; i < COUNT_OF(kinds); i++) {
    uint64_t payload = 0;
    TRY(kinds[i].measure(s, offset, s->end - offset - SST_SECTION_TAIL, &payload));
    if (payload > 0) TRY(repair_scan_check(s, offset, payload, kinds[i].kind, kinds[i].codec, found));
    if (found->kind != FOUND_NOTHING) return VARVE_OK;
  }
  return VARVE_OK;
}

#undef SCAN_HEAD_BYTES
#undef SCAN_BLOCK_HEAD
#undef SCAN_FLAGS_MAX
