/* wal_reader.c: reads a log back after a start: the longest prefix of whole frames, and whether what follows it was
 * ever promised to anybody. The format is drawn in wal.h.
 *
 * The file is mapped where that works, and else read through a window of 256 KiB that grows to the largest frame.
 *
 *     |header|frame|frame|frame| bad ... |frame, synced = s| ...
 *                              ^end      ^valid, of this log, and s > end: then the bytes at `end` were synced, so what
 *                                         is bad there is rot and not a torn tail
 *
 * A power cut may keep any sectors of what was not synced, so a valid frame behind a bad one proves nothing by
 * itself; its `synced` does. The look-ahead tries every multiple of 8 to the end of the file. Checksums are taken
 * only where size, count, sequence and `synced` fit this log at this offset, which nothing but its own frames does
 * unless by design; against files made by design their bytes are bounded, and passing the bound is damage too.
 *
 * Invariants
 *   1. end only grows, and by whole valid frames in sequence.
 *   2. A failed read is a failure, never the end of the log.
 */
#include "lsm/wal_format.h"

#include "base/limits.h"

#define WAL_WINDOW_BYTES (256 * KiB)
#define WAL_SEQ_ANY      UINT64_MAX

struct wal_reader {
  allocator *alloc;
  vfs_file *file;
  uint64_t size; /* of the file */
  wal_header header;
  const uint8_t *map; /* NULL = window */
  uint8_t *window;
  size_t window_capacity, window_size;
  uint64_t window_at;
  uint64_t end, next_seq, synced;
  bool done;
};

static const char *wal_reader_name(const wal_reader *r) {
  return file_name(FILE_WAL, r->file->number);
}

/* Bytes [offset, offset + size), which are inside the file; *p is good until the next call. */
static int wal_reader_bytes(wal_reader *r, uint64_t offset, size_t size, const uint8_t **p) {
  ASSERT(size > 0 && offset <= r->size && size <= r->size - offset);
  if (r->map != NULL) {
    *p = r->map + offset;
    return VARVE_OK;
  }
  bool inside = offset >= r->window_at && offset - r->window_at <= r->window_size &&
                size <= r->window_size - (size_t)(offset - r->window_at);
  if (!inside) {
    size_t want = (size_t)MIN(r->size - offset, (uint64_t)MAX(size, WAL_WINDOW_BYTES));
    r->window_size = 0;
    if (want > r->window_capacity) {
      uint8_t *grown = mem_resize(r->alloc, r->window, r->window_capacity, want);
      if (grown == NULL) return mem_fail(want, "a frame of the log");
      r->window = grown;
      r->window_capacity = want;
    }
    TRY(vfs_read_exact(r->file, offset, r->window, want));
    r->window_at = offset;
    r->window_size = want;
  }
  ASSERT(offset >= r->window_at && offset - r->window_at + size <= r->window_size);
  *p = r->window + (offset - r->window_at);
  return VARVE_OK;
}

/* *at = the first multiple of 8 from `offset` on whose 8 bytes are not all zero; the file's size when there is none. */
static int wal_reader_skip_zeros(wal_reader *r, uint64_t offset, uint64_t *at) {
  ASSERT(offset % WAL_UNIT == 0);
  while (offset < r->size) {
    size_t n = (size_t)MIN(r->size - offset, (uint64_t)WAL_WINDOW_BYTES), i = 0;
    const uint8_t *p;
    TRY(wal_reader_bytes(r, offset, n, &p));
    while (n - i >= 64 &&
           (get_u64(p + i) | get_u64(p + i + 8) | get_u64(p + i + 16) | get_u64(p + i + 24) | get_u64(p + i + 32) |
            get_u64(p + i + 40) | get_u64(p + i + 48) | get_u64(p + i + 56)) == 0) {
      i += 64;
    }
    while (i < n && p[i] == 0) i++;
    if (i < n) {
      *at = (offset + i) / WAL_UNIT * WAL_UNIT;
      return VARVE_OK;
    }
    offset += n;
  }
  *at = r->size;
  return VARVE_OK;
}

/* Whether a frame with this header at `at` can exist at all. */
static bool wal_frame_fits(const wal_reader *r, const wal_frame_header *f, uint64_t at) {
  if (f->body_size == 0 || f->body_size > WAL_FRAME_BODY_MAX) return false;
  if (r->size - at < WAL_FRAME_HEADER_SIZE || f->body_size > r->size - at - WAL_FRAME_HEADER_SIZE) return false;
  if (f->count == 0 || f->count > f->body_size || f->synced > at) return false;
  return f->first_seq <= SEQ_MAX && f->count - 1 <= SEQ_MAX - f->first_seq;
}

/* Whether it would prove that bytes from `bad` on were synced. Between `bad`, where sequence `seq` was due, and `at`
 * there are as many bytes as operations, or more, and at least one of the latter. */
static bool wal_frame_proves(const wal_frame_header *f, uint64_t at, uint64_t bad, uint64_t seq) {
  if (seq == WAL_SEQ_ANY) return f->synced > bad;
  return f->synced > bad && f->first_seq > seq && f->first_seq - seq <= at - bad;
}

typedef struct wal_look {
  uint64_t bad, seq; /* proof is sought that `bad` was synced; seq WAL_SEQ_ANY: of any sequence */
  uint64_t budget;   /* bytes that may still be checksummed */
  bool found;
} wal_look;

/* Checks the frame at `at`, whose header fits. */
static int wal_look_check(wal_reader *r, wal_look *look, uint64_t at, const wal_frame_header *f) {
  const uint8_t *p;
  uint64_t cost = WAL_FRAME_HEADER_SIZE + (uint64_t)f->body_size;
  if (cost > look->budget) {
    return status_fail(
        VARVE_CORRUPT,
        "%s is damaged at offset %llu: what follows was made to look like frames of a log, many times over",
        wal_reader_name(r), (unsigned long long)look->bad);
  }
  look->budget -= cost;
  TRY(wal_reader_bytes(r, at, (size_t)cost, &p));
  look->found = wal_frame_checksum(p, f->body_size, r->header.salt, at) == f->checksum;
  return VARVE_OK;
}

/* Looks from `at` on for a valid frame that proves. */
static int wal_look_ahead(wal_reader *r, wal_look *look, uint64_t at) {
  ASSERT(at % WAL_UNIT == 0);
  look->found = false;
  look->budget = MIN(r->size, (uint64_t)64 * MiB) * 64 + r->size * 4 + (uint64_t)64 * MiB;
  while (!look->found && at < r->size && r->size - at > WAL_FRAME_HEADER_SIZE) {
    size_t n = (size_t)MIN(r->size - at, (uint64_t)WAL_WINDOW_BYTES), i = 0;
    const uint8_t *p;
    wal_frame_header f;
    bool candidate = false;
    TRY(wal_reader_bytes(r, at, n, &p));
    for (; !candidate && n - i >= WAL_FRAME_HEADER_SIZE; i += WAL_UNIT) {
      if (get_u32(p + i) == 0) continue;
      f = wal_frame_header_get(p + i);
      candidate = wal_frame_fits(r, &f, at + i) && wal_frame_proves(&f, at + i, look->bad, look->seq);
    }
    ASSERT(i > 0);
    at += i;
    if (candidate) TRY(wal_look_check(r, look, at - WAL_UNIT, &f));
  }
  return VARVE_OK;
}

/* The prefix ends at r->end, because of `reason`. DONE or CORRUPT. */
static int wal_reader_finish(wal_reader *r, const char *reason) {
  uint64_t at;
  TRY(wal_reader_skip_zeros(r, r->end, &at));
  if (at < r->size) { /* what follows the prefix is not only zeros */
    wal_look look = {r->end, r->next_seq, 0, false};
    TRY(wal_look_ahead(r, &look, MAX(at, r->end + WAL_UNIT)));
    if (look.found) {
      return status_fail(VARVE_CORRUPT,
                         "%s is damaged at offset %llu: %s, and a later frame proves that these bytes were synced",
                         wal_reader_name(r), (unsigned long long)r->end, reason);
    }
  }
  r->done = true;
  return VARVE_DONE;
}

INTERNAL int wal_reader_next(wal_reader *r, wal_frame *frame) {
  const uint8_t *p;
  if (r->done) return VARVE_DONE;
  ASSERT(r->end >= WAL_HEADER_SIZE && r->end % WAL_UNIT == 0);
  if (r->end >= r->size || r->size - r->end <= WAL_FRAME_HEADER_SIZE) {
    return wal_reader_finish(r, "the frame is cut short");
  }
  TRY(wal_reader_bytes(r, r->end, WAL_FRAME_HEADER_SIZE, &p));
  wal_frame_header f = wal_frame_header_get(p);
  if (f.body_size == 0) return wal_reader_finish(r, "there is no frame");
  if (!wal_frame_fits(r, &f, r->end)) return wal_reader_finish(r, "the frame's header makes no sense");
  TRY(wal_reader_bytes(r, r->end, WAL_FRAME_HEADER_SIZE + (size_t)f.body_size, &p));
  if (wal_frame_checksum(p, f.body_size, r->header.salt, r->end) != f.checksum) {
    return wal_reader_finish(r, "checksum does not match");
  }
  if (f.first_seq != r->next_seq) return wal_reader_finish(r, "the frame is out of sequence");
  frame->offset = r->end;
  frame->first_seq = f.first_seq;
  frame->count = f.count;
  frame->synced = f.synced;
  frame->body = slice_make(p + WAL_FRAME_HEADER_SIZE, f.body_size);
  r->end += wal_frame_size(f.body_size);
  r->next_seq += f.count;
  r->synced = MAX(r->synced, f.synced);
  return VARVE_OK;
}

/* Whether changing one byte makes the header valid. No writer that was cut short leaves that (see wal_write_header):
 * it is rot, also where it hit the salt, without which no frame could speak for the log. */
static bool wal_header_nearly(const uint8_t *bytes) {
  uint8_t copy[WAL_HEADER_SIZE];
  wal_header h;
  memcpy(copy, bytes, sizeof copy);
  for (size_t i = 0; i < sizeof copy; i++) {
    for (unsigned change = 1; change < 256; change++) {
      copy[i] = (uint8_t)(bytes[i] ^ change);
      if (wal_header_get(copy, &h)) return true;
    }
    copy[i] = bytes[i];
  }
  return false;
}

/* Whether all that is wrong is the version of a spare: nothing of the file is needed, whatever version it claims. */
static bool wal_header_spare_nearly(const uint8_t *bytes) {
  uint8_t copy[WAL_HEADER_SIZE];
  wal_header h;
  memcpy(copy, bytes, sizeof copy);
  put_u32(copy + 8, FORMAT_VERSION);
  if (!wal_header_spare(copy)) return false;
  copy[WAL_SPARE_AT] = 0;
  return wal_header_get(copy, &h);
}

/* The header is not valid: is the file a spare, or was it a log? */
static int wal_reader_no_header(wal_reader *r, const uint8_t bytes[WAL_HEADER_SIZE]) {
  wal_look look = {0, WAL_SEQ_ANY, 0, false};
  uint64_t at;
  bool magic = memcmp(bytes, WAL_MAGIC, 8) == 0;
  uint32_t version = get_u32(bytes + 8);
  r->header.salt = get_u64(bytes + WAL_SALT_AT);
  if (wal_header_spare(bytes) || wal_header_spare_nearly(bytes)) return VARVE_DONE;
  TRY(wal_reader_skip_zeros(r, 0, &at));
  if (at >= r->size) return VARVE_DONE;
  if (wal_header_nearly(bytes)) {
    return status_fail(VARVE_CORRUPT, "%s is damaged at offset 0: a byte of its header is wrong", wal_reader_name(r));
  }
  if (magic && version > FORMAT_VERSION) {
    return status_fail(VARVE_NEWER_FORMAT, "%s has format version %u; this program knows %u", wal_reader_name(r),
                       version, FORMAT_VERSION);
  }
  TRY(wal_look_ahead(r, &look, WAL_HEADER_SIZE));
  if (look.found) {
    return status_fail(VARVE_CORRUPT,
                       "%s is damaged at offset 0: its header is broken, but frames of a log that was synced are there",
                       wal_reader_name(r));
  }
  return VARVE_DONE;
}

static int wal_reader_map(wal_reader *r) {
  void *data = NULL;
  if ((r->file->fs->traits & VFS_MAP_READ) == 0 || r->size > PTRDIFF_MAX) return VARVE_OK;
  int rc = vfs_map(r->file, (size_t)r->size, false, &data);
  if (rc == VARVE_UNSUPPORTED) return VARVE_OK;
  if (rc >= 0) r->map = data;
  return rc;
}

INTERNAL int wal_reader_open(env *e, uint64_t file_number, wal_header *h, wal_reader **out) {
  int rc = VARVE_OK;
  const uint8_t *p;
  *out = NULL;
  wal_reader *r = MEM_NEW(e->alloc, wal_reader);
  if (r == NULL) return mem_fail(sizeof *r, "a log reader");
  r->alloc = e->alloc;
  STEP(vfs_open(e->fs, FILE_WAL, file_number, 0, &r->file));
  STEP(vfs_size(r->file, &r->size));
  if (r->size < WAL_HEADER_SIZE) {
    rc = VARVE_DONE;
    goto out;
  }
  STEP(wal_reader_map(r));
  STEP(wal_reader_bytes(r, 0, WAL_HEADER_SIZE, &p));
  if (!wal_header_get(p, &r->header)) {
    uint8_t bytes[WAL_HEADER_SIZE];
    memcpy(bytes, p, sizeof bytes);
    rc = wal_reader_no_header(r, bytes);
    goto out;
  }
  if (r->header.next_seq > SEQ_MAX || r->header.log == 0 || r->header.log_before >= r->header.log) {
    rc = status_fail(VARVE_CORRUPT, "%s is damaged at offset 16: its header makes no sense", wal_reader_name(r));
    goto out;
  }
  r->end = WAL_HEADER_SIZE;
  r->next_seq = r->header.next_seq;
  *h = r->header;
  *out = r;
  r = NULL;
out:
  wal_reader_close(r);
  return rc;
}

INTERNAL uint64_t wal_reader_end(const wal_reader *r) {
  return r->end;
}

INTERNAL uint64_t wal_reader_synced(const wal_reader *r) {
  return r->synced;
}

INTERNAL void wal_reader_close(wal_reader *r) {
  if (r == NULL) return;
  /* Nothing was written: a failure to give back what was only read changes no answer. */
  if (r->map != NULL) (void)vfs_unmap(r->file, (void *)(uintptr_t)r->map, (size_t)r->size);
  (void)vfs_close(r->file);
  mem_free(r->alloc, r->window, r->window_capacity);
  MEM_DELETE(r->alloc, r);
}

#undef WAL_WINDOW_BYTES
#undef WAL_SEQ_ANY
