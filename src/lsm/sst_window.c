/* sst_window.c: blocks read in large pieces into memory of the reader's own, for those who pass over a table once and
 * must not sweep the cache for it.
 *
 * Invariants
 *   1. The window holds whole blocks from `offset` on, possibly followed by a part of one.
 *   2. Memory is the window, or the largest block when that is larger: never more than the file holds, but for what a
 *      checked LZ4 section inflates to.
 */
#include "lsm/sst_int.h"

INTERNAL void sst_window_init(sst_window *w, table *t, allocator *alloc) {
  memset(w, 0, sizeof *w);
  w->t = t;
  w->alloc = alloc;
}

INTERNAL void sst_window_free(sst_window *w) {
  mem_free_lines(w->alloc, w->data, w->room);
  mem_free_lines(w->alloc, w->inflated, w->inflated_room);
  sst_window_init(w, w->t, w->alloc);
}

static int sst_window_room(sst_window *w, uint8_t **data, size_t *room, uint64_t need) {
  if (need <= *room) return VARVE_OK;
  if (need > PTRDIFF_MAX) return mem_fail((size_t)PTRDIFF_MAX, "a block");
  mem_free_lines(w->alloc, *data, *room);
  *room = 0;
  *data = mem_alloc_lines(w->alloc, (size_t)need);
  if (*data == NULL) return mem_fail((size_t)need, "a block");
  *room = (size_t)need;
  return VARVE_OK;
}

/* Moves the window so that it holds `want`: from there on when going forward, up to there when going back. */
static int sst_window_move(sst_window *w, uint32_t i, sst_extent want) {
  const sst_index *x = &w->t->index;
  uint64_t begin = want.offset, end = want.offset + want.size;
  if (w->size > 0 && want.offset < w->offset) {
    uint32_t first = i;
    while (first > 0 && end - sst_index_offset(x, first - 1) <= SST_WINDOW_BYTES) first--;
    begin = sst_index_offset(x, first);
  } else {
    end = MAX(end, MIN(begin + SST_WINDOW_BYTES, sst_index_offset(x, x->count)));
  }
  w->size = 0;
  TRY(sst_window_room(w, &w->data, &w->room, MAX(end - begin, MIN(SST_WINDOW_BYTES, sst_index_offset(x, x->count)))));
  ASSERT(end - begin <= w->room);
  TRY(vfs_read_exact(w->t->file, begin, w->data, (size_t)(end - begin)));
  w->offset = begin;
  w->size = (size_t)(end - begin);
  return VARVE_OK;
}

INTERNAL int sst_window_block(sst_window *w, uint32_t i, block *b) {
  table *t = w->t;
  ASSERT(i < t->index.count);
  sst_extent e = table_block_extent(t, i);
  if (e.offset < w->offset || e.offset + e.size > w->offset + w->size) TRY(sst_window_move(w, i, e));
  const uint8_t *stored = w->data + (e.offset - w->offset);
  sst_section s;
  TRY(sst_section_open(stored, e.size, t->number, e.offset, &s));
  slice payload = s.payload;
  if (s.codec == SST_CODEC_LZ4) {
    TRY(sst_window_room(w, &w->inflated, &w->inflated_room, s.raw_size));
    TRY(sst_section_inflate(&s, t->number, e.offset, w->inflated));
    payload = slice_make(w->inflated, s.raw_size);
  }
  if (!block_open(b, payload)) return table_block_damaged(t, i, "a block's frame is broken");
  return VARVE_OK;
}
