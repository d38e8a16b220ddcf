/* wal_writer.c: appends frames to a log. The format is drawn in wal.h.
 *
 * Mapped, an append is a copy into the file's pages and no system call: bytes 8 to the end go first, then the
 * checksum is taken over them, and one 8-byte store of size and checksum makes the frame exist. Unmapped, the frame
 * is put together in memory and written at once. Whatever instant the process dies at, a frame that is not whole
 * fails its checksum.
 *
 *     |header|frame|frame| ... |frame|zeros, or what an earlier log left ...|
 *                         synced^    ^end                          allocated^
 *
 * Invariants
 *   1. synced <= end <= ready <= allocated; end is a multiple of 8; all that is allocated is mapped, or nothing.
 *   2. Only the holder of the commit lock moves end, allocated and the map; wal_sync reads end, and uses the file
 *      alone.
 *   3. Nothing is written at end or behind it but by an append that is under way.
 */
#include "lsm/wal_format.h"

#include "base/limits.h"

#define WAL_SCRATCH_KEPT (256 * KiB) /* a larger frame's memory is given back after the write */
#define WAL_ZEROS_BYTES  (64 * KiB)  /* zeros are written in pieces of this size */

struct wal_writer {
  allocator *alloc;
  vfs_file *file;
  uint64_t log, salt;
  uint64_t allocated;
  bool in_doubt;  /* a frame whose write failed may be at the end */
  bool uncut;     /* continued, and what follows its end was not cut off yet */
  uint64_t ready; /* bytes before it have been written once, and are mapped where there is a map */
  uint8_t *map;   /* NULL = frames are written */
  size_t map_size;
  buf scratch; /* the frame to be written, when there is no map */
  _Atomic uint64_t end;
  _Atomic uint64_t synced;
  atomic_bool undone; /* zeros were written over a frame at the end, and are not synced yet */
};

static bool wal_can_map(const vfs *fs, uint64_t size) {
  return (fs->traits & VFS_MAP_WRITE) != 0 && size <= PTRDIFF_MAX;
}

/* Replaces the map by one of everything allocated. Where that cannot be had, frames are written. */
static int wal_remap(wal_writer *w) {
  void *data = w->map;
  size_t size = w->map_size;
  w->map = NULL;
  w->map_size = 0;
  if (data != NULL) TRY(vfs_unmap(w->file, data, size));
  if (wal_can_map(w->file->fs, w->allocated) && vfs_map(w->file, (size_t)w->allocated, true, &data) >= 0) {
    ASSERT((uintptr_t)data % WAL_UNIT == 0);
    w->map = data;
    w->map_size = (size_t)w->allocated;
  }
  return VARVE_OK;
}

/* Writes zeros over [ready, end). Space that was only reserved costs every page's first store a visit to the file
 * system, and every sync a change of its metadata; pages that were written once cost neither. One chunk at a time,
 * just ahead of the log, so that no append waits for long and what is never used is never written. */
static int wal_make_ready(wal_writer *w, uint64_t end) {
  int rc = VARVE_OK;
  size_t room = (size_t)MIN(end - w->ready, (uint64_t)WAL_ZEROS_BYTES);
  uint8_t *zeros = mem_zalloc(w->alloc, room);
  if (zeros == NULL) return mem_fail(room, "zeros for the log");
  while (w->ready < end) {
    size_t n = (size_t)MIN(end - w->ready, (uint64_t)room);
    STEP(vfs_write_at(w->file, w->ready, zeros, n));
    w->ready += n;
  }
out:
  mem_free(w->alloc, zeros, room);
  return rc;
}

/* Room for a log that ends at `end`: a file that is long enough, zeros where it is new, and mapped. */
static int wal_reserve(wal_writer *w, uint64_t end) {
  uint64_t whole = align_up(end, WAL_CHUNK_BYTES);
  if (end > w->allocated) {
    TRY(vfs_allocate(w->file, whole));
    w->allocated = whole;
  }
  if (w->map == NULL || end > w->map_size) TRY(wal_remap(w));
  if (end > w->ready) TRY(wal_make_ready(w, MIN(whole, w->allocated)));
  ASSERT(end <= w->ready && w->ready <= w->allocated);
  ASSERT(w->map == NULL || w->map_size == w->allocated);
  return VARVE_OK;
}

/* At least `size` bytes, and room for a log that ends at `end`. */
static int wal_preallocate(wal_writer *w, uint64_t size, uint64_t end) {
  size = align_up(MIN(MAX(size, end), WAL_END_MAX), WAL_CHUNK_BYTES);
  if (size > w->allocated) {
    TRY(vfs_allocate(w->file, size));
    w->allocated = size;
  }
  return wal_reserve(w, end);
}

/* The header of a new log, over zeros or over an older log's, in steps that leave no doubt wherever they are cut, at
 * any byte: the mark of a spare comes first (the bytes before it do not change in a recycled file), and is taken
 * back, by one byte, when all else is there. A header that is neither spare nor whole was damaged. */
static int wal_write_header(wal_writer *w, const wal_header *h) {
  uint8_t bytes[WAL_HEADER_SIZE];
  wal_header_put(bytes, h);
  bytes[WAL_SPARE_AT] = WAL_SPARE;
  TRY(vfs_write_at(w->file, 8, bytes + 8, WAL_HEADER_SIZE - 8));
  TRY(vfs_write_at(w->file, 0, bytes, 8));
  bytes[WAL_SPARE_AT] = 0;
  return vfs_write_at(w->file, WAL_SPARE_AT, bytes + WAL_SPARE_AT, 1);
}

/* Releases a writer that could not be made, keeping the message of the failure that is the reason. */
static void wal_writer_discard(env *e, wal_writer *w, bool created) {
  char message[STATUS_MESSAGE_SIZE];
  uint64_t number = w->file->number;
  status_keep_message(message);
  (void)wal_close(w);
  if (created) (void)vfs_remove(e->fs, FILE_WAL, number);
  status_set_message(message);
}

static int wal_writer_open(env *e, uint64_t file_number, uint32_t flags, wal_writer **out) {
  wal_writer *w = MEM_NEW(e->alloc, wal_writer);
  *out = NULL;
  if (w == NULL) return mem_fail(sizeof *w, "a log writer");
  w->alloc = e->alloc;
  buf_init(&w->scratch, e->alloc);
  atomic_init(&w->end, 0);
  atomic_init(&w->synced, 0);
  atomic_init(&w->undone, false);
  int rc = vfs_open(e->fs, FILE_WAL, file_number, flags, &w->file);
  if (rc < 0) {
    MEM_DELETE(e->alloc, w);
    return rc;
  }
  rc = vfs_size(w->file, &w->allocated);
  if (rc < 0) {
    wal_writer_discard(e, w, (flags & VFS_CREATE) != 0);
    return rc;
  }
  *out = w;
  return VARVE_OK;
}

INTERNAL int wal_create(env *e, uint64_t file_number, bool recycle, wal_header *h, uint64_t size, wal_writer **out) {
  ASSERT(file_number > 0 && file_number <= WAL_FILE_NUM_MAX);
  ASSERT(h->log > 0 && h->log_before < h->log);
  ASSERT(h->next_seq <= SEQ_MAX);
  wal_writer *w = NULL;
  int rc = VARVE_OK;
  *out = NULL;
  TRY(wal_writer_open(e, file_number, recycle ? VFS_WRITE : VFS_CREATE, &w));
  e->random(e, &h->salt, sizeof h->salt);
  w->log = h->log;
  w->salt = h->salt;
  w->ready = w->allocated; /* of a spare: an earlier log wrote it */
  STEP(wal_preallocate(w, size, WAL_HEADER_SIZE));
  STEP(wal_write_header(w, h));
  atomic_store_explicit(&w->end, WAL_HEADER_SIZE, memory_order_release);
  *out = w;
  w = NULL;
out:
  if (w != NULL) wal_writer_discard(e, w, !recycle);
  return rc;
}

INTERNAL int wal_continue(env *e, uint64_t file_number, const wal_header *h, uint64_t end, uint64_t synced,
                          wal_writer **out) {
  ASSERT(end >= WAL_HEADER_SIZE && end % WAL_UNIT == 0);
  wal_writer *w = NULL;
  TRY(wal_writer_open(e, file_number, VFS_WRITE, &w));
  w->log = h->log;
  w->salt = h->salt;
  w->ready = w->allocated;
  w->uncut = w->allocated > end;
  atomic_store_explicit(&w->end, end, memory_order_release);
  atomic_store_explicit(&w->synced, MIN(synced, end), memory_order_release);
  *out = w;
  return VARVE_OK;
}

INTERNAL bool wal_is_uncut(const wal_writer *w) {
  return w->uncut;
}

INTERNAL bool wal_is_in_doubt(const wal_writer *w) {
  return w->in_doubt;
}

static int wal_cut(wal_writer *w) {
  uint64_t end = wal_end(w);
  TRY(vfs_truncate(w->file, end));
  w->allocated = w->ready = end;
  int rc = vfs_sync(w->file);
  w->in_doubt = rc < 0; /* a sync that failed is final: its bytes may be lost although the next one says OK */
  TRY(rc);
  atomic_store_explicit(&w->synced, end, memory_order_release);
  w->uncut = false;
  return VARVE_OK;
}

/* Everything of a frame but its first 8 bytes, which are returned: they make it one. */
static inline uint64_t wal_frame_fill(const wal_writer *w, uint8_t *p, uint64_t offset, uint64_t first_seq,
                                      uint32_t count, slice body) {
  uint32_t body_size = (uint32_t)body.size;
  uint64_t synced = wal_synced(w);
  put_u64(p + 8, first_seq);
  put_u32(p + 16, count);
  put_u32(p + 20, (uint32_t)(synced / WAL_UNIT));
  put_u64(p + wal_frame_size(body.size) - WAL_UNIT, 0); /* the padding; the body covers the rest */
  memcpy(p + WAL_FRAME_HEADER_SIZE, body.data, body.size);
  return (uint64_t)wal_frame_checksum(p, body_size, w->salt, offset) << 32 | body_size;
}

/* A frame whose write failed may be there all the same, whole: then it must not come to life, in a log after which
 * another one says that it ended before. Zeros make it none, or a cut, for which a full disk has room, and which counts
 * once it is synced; when neither works the log ends in doubt, and nothing may follow. The zeros are due like a commit:
 * before a later log, which says that this one ends here, is synced. */
static void wal_undo(wal_writer *w, uint64_t offset) {
  static const uint8_t none[WAL_UNIT];
  char message[STATUS_MESSAGE_SIZE];
  status_keep_message(message);
  if (vfs_write_at(w->file, offset, none, sizeof none) >= 0) {
    atomic_store_explicit(&w->undone, true, memory_order_release);
  } else {
    if (vfs_truncate(w->file, offset) < 0 || vfs_sync(w->file) < 0) {
      w->in_doubt = true;
    } else {
      w->allocated = w->ready = offset;
    }
  }
  status_set_message(message);
}

static int wal_append_written(wal_writer *w, uint64_t offset, uint64_t first_seq, uint32_t count, slice body) {
  buf *b = &w->scratch;
  buf_clear(b);
  uint64_t size = wal_frame_size(body.size);
  if (size > PTRDIFF_MAX) return status_fail(VARVE_LIMIT, "a batch of %zu bytes is too large for this host", body.size);
  TRY(buf_reserve(b, (size_t)size));
  put_u64(b->data, wal_frame_fill(w, b->data, offset, first_seq, count, body));
  int rc = vfs_write_at(w->file, offset, b->data, (size_t)size);
  if (rc < 0) wal_undo(w, offset);
  if (b->capacity > WAL_SCRATCH_KEPT) buf_free(b);
  return rc;
}

INTERNAL int wal_append(wal_writer *w, uint64_t first_seq, uint32_t count, slice body) {
  ASSERT(count > 0 && body.size >= count && !w->in_doubt);
  ASSERT(first_seq <= SEQ_MAX && count - 1 <= SEQ_MAX - first_seq);
  if (UNLIKELY(body.size > WAL_FRAME_BODY_MAX)) {
    return status_fail(VARVE_LIMIT, "a batch of %zu bytes is larger than a log frame's %u", body.size,
                       WAL_FRAME_BODY_MAX);
  }
  if (UNLIKELY(w->uncut)) TRY(wal_cut(w));
  uint64_t offset = atomic_load_explicit(&w->end, memory_order_relaxed);
  uint64_t end = offset + wal_frame_size(body.size);
  if (UNLIKELY(end > w->ready)) {
    if (end > WAL_END_MAX) return status_fail(VARVE_LIMIT, "log %llu is full", (unsigned long long)w->log);
    TRY(wal_reserve(w, end));
  }
  if (LIKELY(w->map != NULL)) {
    uint8_t *p = w->map + offset;
    uint64_t first = wal_frame_fill(w, p, offset, first_seq, count, body);
    atomic_store_explicit((_Atomic uint64_t *)(void *)p, first, memory_order_release);
  } else {
    TRY(wal_append_written(w, offset, first_seq, count, body));
  }
  atomic_store_explicit(&w->end, end, memory_order_release);
  return VARVE_OK;
}

INTERNAL int wal_sync(wal_writer *w) {
  uint64_t end = atomic_load_explicit(&w->end, memory_order_acquire);
  uint64_t synced = atomic_load_explicit(&w->synced, memory_order_relaxed);
  ASSERT(synced <= end);
  bool undone = atomic_exchange_explicit(&w->undone, false, memory_order_acq_rel);
  if (synced == end && !undone) return VARVE_OK;
  TRY(vfs_sync(w->file));
  atomic_store_explicit(&w->synced, end, memory_order_release);
  return VARVE_OK;
}

INTERNAL int wal_seal(wal_writer *w) {
  void *map = w->map;
  w->map = NULL;
  size_t size = w->map_size;
  w->map_size = 0;
  return map == NULL ? VARVE_OK : vfs_unmap(w->file, map, size);
}

INTERNAL int wal_trim(wal_writer *w) {
  uint64_t end = atomic_load_explicit(&w->end, memory_order_relaxed);
  TRY(wal_seal(w));
  if (w->allocated > end) TRY(vfs_truncate(w->file, end));
  w->allocated = w->ready = end;
  return VARVE_OK;
}

INTERNAL int wal_sync_header(wal_writer *w) {
  return wal_synced(w) > 0 ? VARVE_OK : vfs_sync(w->file);
}

INTERNAL uint64_t wal_file_number(const wal_writer *w) {
  return w->file->number;
}

INTERNAL uint64_t wal_log_number(const wal_writer *w) {
  return w->log;
}

INTERNAL uint64_t wal_end(const wal_writer *w) {
  return atomic_load_explicit(&w->end, memory_order_acquire);
}

INTERNAL uint64_t wal_synced(const wal_writer *w) {
  uint64_t synced = atomic_load_explicit(&w->synced, memory_order_acquire);
  bool undone = atomic_load_explicit(&w->undone, memory_order_acquire);
  return undone && synced > WAL_UNIT ? synced - WAL_UNIT : synced; /* never all of it */
}

INTERNAL uint64_t wal_allocated(const wal_writer *w) {
  return w->allocated;
}

INTERNAL size_t wal_memory(const wal_writer *w) {
  return w->map_size + w->scratch.capacity;
}

INTERNAL int wal_close(wal_writer *w) {
  if (w == NULL) return VARVE_OK;
  int rc = wal_seal(w);
  ALSO(vfs_close(w->file));
  buf_free(&w->scratch);
  MEM_DELETE(w->alloc, w);
  return rc;
}

#undef WAL_SCRATCH_KEPT
#undef WAL_ZEROS_BYTES
