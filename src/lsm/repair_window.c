/* repair_window.c: reads files of which any part may be unreadable.
 *
 * A disk that fails gives up single sectors: a read that fails as a whole is tried again in small pieces, and those
 * that fail are zeros. Every byte that counts is under a checksum, so zeros in its place are found like other damage.
 *
 * Invariants
 *   1. Memory is the window (256 KiB), or the largest piece that was asked for, never more than the file holds.
 */
#include "lsm/repair.h"

#define REPAIR_WINDOW_BYTES (256u * KiB)
#define REPAIR_PIECE_BYTES  4096u

INTERNAL int repair_window_open(repair_window *w, env *e, file_kind kind, uint64_t number) {
  memset(w, 0, sizeof *w);
  w->alloc = e->alloc;
  TRY(vfs_open(e->fs, kind, number, 0, &w->file));
  int rc = vfs_size(w->file, &w->size);
  if (rc < 0) repair_window_close(w);
  return rc;
}

INTERNAL void repair_window_close(repair_window *w) {
  (void)vfs_close(w->file); /* only read from */
  mem_free_lines(w->alloc, w->data, w->room);
  memset(w, 0, sizeof *w);
}

/* Reads [offset, offset + size) into the window, zeros where nothing comes. */
static int repair_window_fill(repair_window *w, uint64_t offset, size_t size) {
  size_t got = 0;
  int rc = vfs_read_at(w->file, offset, w->data, size, &got);
  if (rc < 0 && rc != VARVE_IO) return rc;
  if (rc >= 0) {
    memset(w->data + got, 0, size - got);
    return VARVE_OK;
  }
  for (size_t done = 0; done < size;) {
    size_t n = MIN(size - done, (size_t)REPAIR_PIECE_BYTES);
    rc = vfs_read_at(w->file, offset + done, w->data + done, n, &got);
    if (rc < 0 && rc != VARVE_IO) return rc;
    if (rc < 0) {
      w->unreadable += n;
      got = 0;
    }
    memset(w->data + done + got, 0, n - got);
    done += n;
  }
  return VARVE_OK;
}

INTERNAL int repair_window_bytes(repair_window *w, uint64_t offset, uint64_t size, const uint8_t **p) {
  ASSERT(size > 0 && offset <= w->size && size <= w->size - offset);
  bool inside = offset >= w->at && offset - w->at <= w->filled && size <= w->filled - (offset - w->at);
  if (!inside) {
    uint64_t begin = offset / 8 * 8;
    uint64_t want = MIN(w->size - begin, MAX(size + (offset - begin), (uint64_t)REPAIR_WINDOW_BYTES));
    if (want > PTRDIFF_MAX) return mem_fail((size_t)PTRDIFF_MAX, "a part of a damaged file");
    w->filled = 0;
    if (want > w->room) {
      mem_free_lines(w->alloc, w->data, w->room);
      w->room = 0;
      w->data = mem_alloc_lines(w->alloc, (size_t)want);
      if (w->data == NULL) return mem_fail((size_t)want, "a part of a damaged file");
      w->room = (size_t)want;
    }
    TRY(repair_window_fill(w, begin, (size_t)want));
    w->at = begin;
    w->filled = (size_t)want;
  }
  ASSERT(offset >= w->at && offset - w->at + size <= w->filled);
  *p = w->data + (offset - w->at);
  return VARVE_OK;
}

#undef REPAIR_WINDOW_BYTES
#undef REPAIR_PIECE_BYTES
