/* repair_pages_tables.c: the tables of a single file whose directory is lost.
 *
 *     |block 0|block| ... |ranges|filter|index|properties|footer|
 *      ^ 2. a page that begins like it                    ^ 1. says number and size, and so where the first page is
 *
 * With a list of tables (the manifest's) those that it names come first, and of the others only what is newer; without
 * one all do, the highest number first, and of one number the one that begins as it should.
 *
 * Invariants
 *   1. No page is in two tables.
 *   2. Bytes looked at for tables without a footer are bounded: 64 times the file and 64 MiB.
 */
#include "lsm/repair_pages.h"
#include "lsm/repair_scan.h"

#define PAGES_GUESSES     64u     /* numbers above the highest one that is known */
#define PAGES_GUESSES_MAX 100000u /* of all */

/* ---- tables with a footer ---- */

/* The pieces of a table; *count 0 when it would have to begin before the first page. */
static const vfs_piece *pages_of_table(const pages_part *part, vfs_piece *whole, size_t *count) {
  *count = part->count;
  if (part->pieces != NULL) return part->pieces;
  bool fits = part->at >= part->size + PAGES_FIRST * VFS_PIECE_UNIT;
  *whole = (vfs_piece){fits ? part->at - part->size : 0, align_up(part->size, VFS_PIECE_UNIT)};
  *count = fits;
  return whole;
}

typedef struct pages_beginning {
  repair_window window;
  repair_scan scan;
} pages_beginning;

/* The file without a name that was adopted to be looked at. */
static int pages_begin_open(repair *r, pages_beginning *b) {
  TRY(repair_window_open(&b->window, r->from, FILE_SST, PAGES_NAMELESS));
  repair_scan_init(&b->scan, &b->window, 1, b->window.size);
  r->pages->budget -= MIN(r->pages->budget, (uint64_t)256 * KiB);
  return VARVE_OK;
}

static void pages_begin_close(pages_beginning *b) {
  repair_scan_free(&b->scan);
  repair_window_close(&b->window);
}

/* Whether it begins with a block, or ranges, of table `number`. */
static int pages_begins(repair *r, pages_beginning *b, uint64_t number, bool *begins) {
  repair_section found = {.kind = FOUND_NOTHING};
  uint64_t budget = b->scan.budget = MIN(16 * b->window.size, r->pages->budget);
  b->scan.number = number;
  int rc = budget == 0 ? VARVE_OK : repair_scan_at(&b->scan, 0, &found);
  r->pages->budget -= budget - MIN(budget, b->scan.budget);
  *begins = found.kind != FOUND_NOTHING;
  return rc;
}

/* Adopts the best of the parts [from, to), all of one number, if the pages of any are free. */
static int pages_adopt_table(repair *r, size_t from, size_t to) {
  repair_pages *p = r->pages;
  size_t best = to, count;
  vfs_piece whole;
  unsigned best_score = 0;
  for (size_t i = from; i < to; i++) {
    const pages_part *part = &p->parts[i];
    const vfs_piece *pieces = pages_of_table(part, &whole, &count);
    bool all_free = count > 0, begins = to - from == 1;
    for (size_t k = 0; all_free && k < count; k++) all_free = repair_pages_free(p, &pieces[k]);
    if (!all_free) continue;
    if (!begins) {
      TRY(vfs_single_adopt(r->from->fs, FILE_SST, PAGES_NAMELESS, part->size, pieces, count));
      pages_beginning b;
      TRY(pages_begin_open(r, &b));
      int rc = pages_begins(r, &b, part->number, &begins);
      pages_begin_close(&b);
      TRY(rc);
    }
    unsigned score = 1u + (begins ? 2u : 0u) + (part->pieces != NULL ? 1u : 0u);
    if (score <= best_score) continue;
    best = i;
    best_score = score;
  }
  if (best == to) return VARVE_OK;
  const pages_part *part = &p->parts[best];
  const vfs_piece *pieces = pages_of_table(part, &whole, &count);
  for (size_t k = 0; k < count; k++) repair_pages_take(p, &pieces[k]);
  return repair_pages_adopt(r, FILE_SST, part->number, part->size, pieces, count);
}

/* The tables that the manifest names, when it is whole. */
static int pages_named_tables(repair *r, const version *v) {
  const repair_pages *p = r->pages;
  for (uint32_t level = 0; level < LEVELS; level++) {
    for (uint32_t i = 0; i < v->level[level].count; i++) {
      const table_meta *meta = v->level[level].tables[i];
      pages_part key = {.kind = FILE_SST, .number = meta->number, .size = meta->size};
      size_t from = repair_pages_find(p, &key), to = from;
      while (to < p->count && p->parts[to].number == meta->number && p->parts[to].size == meta->size) to++;
      TRY(pages_adopt_table(r, from, to));
    }
  }
  return VARVE_OK;
}

/* All others with a number of `least` or more. */
static int pages_other_tables(repair *r, uint64_t least) {
  const repair_pages *p = r->pages;
  pages_part key = {.kind = FILE_SST, .number = UINT64_MAX};
  for (size_t from = repair_pages_find(p, &key), to; from < p->count && p->parts[from].number >= least; from = to) {
    bool has;
    for (to = from; to < p->count && p->parts[to].number == p->parts[from].number;) to++;
    TRY(repair_pages_has(r, FILE_SST, p->parts[from].number, &has));
    if (!has) TRY(pages_adopt_table(r, from, to));
    r->report->files_ignored += to - from - 1;
  }
  return VARVE_OK;
}

/* ---- tables without a footer ---- */

typedef struct pages_wanted {
  uint64_t number, size; /* size 0 = not known */
} pages_wanted;

/* Adopts what begins in page `at` when it is one of the tables that are wanted. */
static int pages_try_page(repair *r, uint64_t at, pages_wanted *wanted, size_t *count) {
  repair_pages *p = r->pages;
  pages_beginning b;
  vfs_piece piece = {at, repair_pages_stop(p, at + VFS_PIECE_UNIT) - at};
  bool begins = false;
  size_t i = 0;
  int rc = VARVE_OK;
  TRY(vfs_single_adopt(r->from->fs, FILE_SST, PAGES_NAMELESS, piece.size, &piece, 1));
  TRY(pages_begin_open(r, &b));
  for (; i < *count && !begins && rc >= 0; i++) rc = pages_begins(r, &b, wanted[i].number, &begins);
  pages_begin_close(&b);
  if (rc < 0 || !begins) return rc;
  pages_wanted w = wanted[i - 1];
  wanted[i - 1] = wanted[--*count];
  uint64_t size = w.size == 0 ? piece.size : MIN(w.size, piece.size);
  piece.size = align_up(size, VFS_PIECE_UNIT);
  repair_pages_take(p, &piece);
  return repair_pages_adopt(r, FILE_SST, w.number, size, &piece, 1);
}

static int pages_seek(repair *r, pages_wanted *wanted, size_t count) {
  repair_pages *p = r->pages;
  uint64_t end = p->all.size;
  for (uint64_t at = PAGES_FIRST * VFS_PIECE_UNIT; at < end && count > 0 && p->budget > 0; at += VFS_PIECE_UNIT) {
    const uint8_t *bytes;
    vfs_piece page = {at, VFS_PIECE_UNIT};
    size_t n = (size_t)MIN(end - at, (uint64_t)64);
    if (!repair_pages_free(p, &page)) continue;
    TRY(repair_window_bytes(&p->all, at, n, &bytes));
    if (repair_scan_like(bytes, n)) TRY(pages_try_page(r, at, wanted, &count));
    if (at % MiB == 0) TRY(repair_progress(r, 0));
  }
  return VARVE_OK;
}

static int pages_want(repair *r, pages_wanted **list, size_t *count, size_t *room, uint64_t number, uint64_t size) {
  bool has;
  TRY(repair_pages_has(r, FILE_SST, number, &has));
  if (has) return VARVE_OK;
  pages_wanted *grown = mem_grow(r->alloc, *list, *count, room, sizeof *grown, REPAIR_LIST);
  if (grown == NULL) return VARVE_NOMEM;
  *list = grown;
  grown[(*count)++] = (pages_wanted){number, size};
  return VARVE_OK;
}

/* Tables that should be there and have no footer any more. Without a list any number may be one. */
static int pages_lost_tables(repair *r, const version *v) {
  pages_wanted *list = NULL;
  size_t count = 0, room = 0;
  int rc = VARVE_OK;
  for (uint32_t level = 0; v != NULL && level < LEVELS; level++) {
    for (uint32_t i = 0; i < v->level[level].count; i++) {
      const table_meta *meta = v->level[level].tables[i];
      STEP(pages_want(r, &list, &count, &room, meta->number, meta->size));
    }
  }
  uint64_t last = v != NULL ? 0 : MIN(r->pages->number_max + PAGES_GUESSES, (uint64_t)PAGES_GUESSES_MAX);
  for (uint64_t number = 1; number <= last; number++) STEP(pages_want(r, &list, &count, &room, number, 0));
  STEP(pages_seek(r, list, count));
out:
  mem_free(r->alloc, list, room * sizeof *list);
  return rc;
}

INTERNAL int repair_pages_tables(repair *r) {
  const version *v = r->remains.state.current;
  if (v == NULL) { /* what has a footer is whole more often than what has none, and so takes its pages first */
    TRY(pages_other_tables(r, 1));
    return pages_lost_tables(r, NULL);
  }
  TRY(pages_named_tables(r, v));
  TRY(pages_lost_tables(r, v));
  return pages_other_tables(r, r->remains.state.next_number);
}

#undef PAGES_GUESSES
#undef PAGES_GUESSES_MAX
