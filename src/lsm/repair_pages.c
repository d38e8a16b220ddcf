/* repair_pages.c: the files of a database in one file whose directory is lost, found by what their bytes say.
 *
 *     |SUPER|SUPER|log, header|log ...|manifest, header|...|table ... footer|table ... footer|.......
 *
 *   SUPER       pages with its magic and checksum, of each slot the highest generation
 *   manifests   pages that begin like one; they go on to the page behind the last whole record, and some
 *   tables      footers, wherever they lie: they say the number and the size, and so where the first page is
 *               without a footer: pages that begin with the first block of a table that is named and was not found
 *   logs        pages that begin like one; they go on to the next file
 *
 * A file may lie in pieces. Old directories in free pages name the pieces of most (vfs_single_images), and are believed
 * when the bytes agree: a table's footer stands where they say, more frames or records go on from one to the next.
 *
 * Free pages hold files that are no part of the database any more. What the manifest names decides, when it is whole;
 * else all count, but for those of whose pages a table with a higher number has some: numbers rise with time.
 *
 * Invariants
 *   1. No page is in two tables; logs and manifests end where another begins. So what follows is linear in the file.
 *   2. Memory: a bit for each page, and a part for each footer and header, of which no more are looked at than twice
 *      the pages.
 */
#include "lsm/repair_pages.h"

#include "lsm/sst_format.h"
#include "lsm/wal_format.h"

#define PAGES_MAN_SLACK (64u * KiB) /* behind the last whole record: where a damaged one may be followed */
#define PAGES_COMPARED  16u         /* logs of one number */

/* ---- pages that are taken ---- */

INTERNAL bool repair_pages_free(const repair_pages *p, const vfs_piece *piece) {
  uint64_t from = piece->at / VFS_PIECE_UNIT, to = from + piece->size / VFS_PIECE_UNIT;
  for (uint64_t i = from; i < MIN(to, p->pages);) {
    bool byte = i % 8 == 0 && p->taken[i / 8] == 0;
    if (!byte && (p->taken[i / 8] >> i % 8 & 1) != 0) return false;
    i += byte ? 8 : 1;
  }
  return true;
}

INTERNAL void repair_pages_take(repair_pages *p, const vfs_piece *piece) {
  uint64_t from = piece->at / VFS_PIECE_UNIT, to = from + piece->size / VFS_PIECE_UNIT;
  for (uint64_t i = from; i < MIN(to, p->pages); i++) p->taken[i / 8] |= (uint8_t)(1u << i % 8);
}

/* ---- parts ---- */

static bool pages_before(const pages_part *a, const pages_part *b) {
  bool tables = a->kind == FILE_SST && b->kind == FILE_SST;
  if ((a->kind == FILE_SST) != (b->kind == FILE_SST)) return b->kind == FILE_SST;
  if (tables && a->number != b->number) return a->number > b->number;
  if (tables && a->size != b->size) return a->size < b->size;
  return a->at < b->at;
}

static void pages_sift(pages_part *list, size_t at, size_t count) {
  pages_part moved = list[at];
  for (size_t child; (child = 2 * at + 1) < count; at = child) {
    if (child + 1 < count && pages_before(&list[child], &list[child + 1])) child++;
    if (!pages_before(&moved, &list[child])) break;
    list[at] = list[child];
  }
  list[at] = moved;
}

/* Logs and manifests by place, then tables by number, the highest first: heapsort. */
static void pages_sort(repair_pages *p) {
  for (size_t i = p->count / 2; i > 0; i--) pages_sift(p->parts, i - 1, p->count);
  for (size_t left = p->count; left > 1; left--) {
    pages_part top = p->parts[0];
    p->parts[0] = p->parts[left - 1];
    p->parts[left - 1] = top;
    pages_sift(p->parts, 0, left - 1);
  }
}

/* The first part that is not before `key`. */
INTERNAL size_t repair_pages_find(const repair_pages *p, const pages_part *key) {
  size_t low = 0, high = p->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (pages_before(&p->parts[middle], key)) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

static int pages_add(repair *r, file_kind kind, uint64_t number, uint64_t at, uint64_t size) {
  repair_pages *p = r->pages;
  if (p->count >= 2 * p->pages + 64) return VARVE_OK; /* made to look like files, many times over */
  pages_part *list = mem_grow(r->alloc, p->parts, p->count, &p->room, sizeof *list, REPAIR_LIST);
  if (list == NULL) return VARVE_NOMEM;
  p->parts = list;
  p->parts[p->count++] = (pages_part){.kind = kind, .number = number, .at = at, .size = size};
  if (kind != FILE_WAL) p->number_max = MAX(p->number_max, number);
  return VARVE_OK;
}

/* ---- looking ---- */

/* Whether a header begins here, if need be with a damaged byte in the magic. */
static bool pages_like(const uint8_t *page, const char magic[8]) {
  unsigned same = 0;
  for (size_t i = 0; i < 8; i++) same += page[i] == (uint8_t)magic[i];
  return same == 8 || (same == 7 && get_u64(page + 8) == FORMAT_VERSION);
}

static void pages_super(repair_pages *p, const uint8_t *page, uint64_t at) {
  uint64_t generation = get_u64(page + 16);
  if (get_u64(page + SUPER_SLOT_SIZE - 8) != xxh64(page, SUPER_SLOT_SIZE - 8, 0)) return;
  unsigned slot = (unsigned)(generation & 1);
  if (generation <= p->super_generation[slot]) return;
  p->super_at[slot] = at;
  p->super_generation[slot] = generation;
}

static int pages_look_head(repair *r, const uint8_t *page, uint64_t at) {
  wal_header h;
  if (memcmp(page, "VARVE\0DB", 8) == 0) pages_super(r->pages, page, at);
  if (pages_like(page, WAL_MAGIC)) {
    bool whole = wal_header_get(page, &h) && h.log > 0 && h.log <= PAGES_NUMBER_MAX;
    return pages_add(r, FILE_WAL, whole ? h.log : PAGES_NAMELESS + at / VFS_PIECE_UNIT, at, 0);
  }
  if (!pages_like(page, "VARVEMAN")) return VARVE_OK;
  uint64_t number = get_u64(page + 16);
  return number == 0 || number > PAGES_NUMBER_MAX ? VARVE_OK : pages_add(r, FILE_MANIFEST, number, at, 0);
}

/* A table's footer may begin at `at`. */
static int pages_look_footer(repair *r, uint64_t at) {
  const uint8_t *bytes;
  sst_footer f;
  repair_window *w = &r->pages->all;
  if (w->size - at < SST_FOOTER_BYTES) return VARVE_OK;
  TRY(repair_window_bytes(w, at, SST_FOOTER_BYTES, &bytes));
  uint64_t number = get_u64(bytes + 16), size = get_u64(bytes + 24), end = at + SST_FOOTER_BYTES;
  if (number == 0 || number > PAGES_NUMBER_MAX || size < SST_FOOTER_BYTES || size % 8 != 0) return VARVE_OK;
  if (size > w->size || (size - end) % VFS_PIECE_UNIT != 0) return VARVE_OK;
  if (sst_footer_get(bytes, number, size, &f) < 0) return VARVE_OK;
  return pages_add(r, FILE_SST, number, end, size);
}

static int pages_scan(repair *r) {
  repair_pages *p = r->pages;
  uint8_t page[VFS_PIECE_UNIT];
  for (uint64_t at = PAGES_FIRST * VFS_PIECE_UNIT; at < p->all.size; at += sizeof page) {
    const uint8_t *bytes;
    size_t n = (size_t)MIN(p->all.size - at, (uint64_t)sizeof page);
    if (at % MiB == 0) TRY(repair_progress(r, 0));
    TRY(repair_window_bytes(&p->all, at, n, &bytes));
    memcpy(page, bytes, n); /* the window moves on */
    if (n < sizeof page) memset(page + n, 0, sizeof page - n);
    TRY(pages_look_head(r, page, at));
    for (size_t i = 0; i < n; i += 8) {
      if (memcmp(page + i, SST_MAGIC, 8) == 0) TRY(pages_look_footer(r, at + i));
    }
  }
  return VARVE_OK;
}

/* ---- pieces, by old directories ---- */

/* Where byte `offset` of a file in these pieces is; 0 = nowhere. */
static uint64_t pages_locate(const vfs_piece *pieces, size_t count, uint64_t offset) {
  for (size_t i = 0; i < count; i++) {
    if (offset < pieces[i].size) return pieces[i].at + offset;
    offset -= pieces[i].size;
  }
  return 0;
}

static uint64_t pages_sum(const vfs_piece *pieces, size_t count) {
  uint64_t sum = 0;
  for (size_t i = 0; i < count; i++) sum += pieces[i].size;
  return sum;
}

static int pages_image(void *context, file_kind kind, uint64_t number, uint64_t size, const vfs_piece *pieces,
                       size_t count) {
  repair *r = context;
  repair_pages *p = r->pages;
  if (count < 2 || kind == FILE_SUPER || (kind == FILE_SST && size < SST_FOOTER_BYTES)) return VARVE_OK;
  pages_part key = {.kind = kind, .number = number, .size = size, .at = pieces[0].at};
  if (kind == FILE_SST) {
    key.at = pages_locate(pieces, count, size - 1) + 1;
    key.size = size;
  }
  size_t at = repair_pages_find(p, &key);
  if (at == p->count || p->parts[at].kind != kind || p->parts[at].at != key.at) return VARVE_OK;
  pages_part *part = &p->parts[at];
  if (kind == FILE_SST && (part->number != number || part->size != size)) return VARVE_OK;
  if (part->pieces != NULL && pages_sum(pieces, count) <= pages_sum(part->pieces, part->count)) return VARVE_OK;
  vfs_piece *copy = mem_alloc(r->alloc, count * sizeof *copy);
  if (copy == NULL) return mem_fail(count * sizeof *copy, REPAIR_LIST);
  memcpy(copy, pieces, count * sizeof *copy);
  mem_free(r->alloc, part->pieces, part->count * sizeof *copy);
  part->pieces = copy;
  part->count = count;
  return VARVE_OK;
}

/* ---- adopting ---- */

INTERNAL int repair_pages_adopt(repair *r, file_kind kind, uint64_t number, uint64_t size, const vfs_piece *pieces,
                                size_t count) {
  TRY(vfs_single_adopt(r->from->fs, kind, number, size, pieces, count));
  return repair_add_file(r, kind, number, size);
}

static int pages_adopt_super(repair *r) {
  repair_pages *p = r->pages;
  vfs_piece pieces[2];
  if (p->super_at[0] == 0 && p->super_at[1] == 0) return VARVE_OK;
  for (unsigned i = 0; i < 2; i++) {
    uint64_t nowhere = p->pages * VFS_PIECE_UNIT; /* zeros: the other slot counts */
    pieces[i] = (vfs_piece){p->super_at[i] != 0 ? p->super_at[i] : nowhere, SUPER_SLOT_SIZE};
    repair_pages_take(p, &pieces[i]);
  }
  return repair_pages_adopt(r, FILE_SUPER, 0, 2 * SUPER_SLOT_SIZE, pieces, 2);
}

/* From page `at` on: where the next log or manifest begins, or what is taken. */
INTERNAL uint64_t repair_pages_stop(const repair_pages *p, uint64_t at) {
  pages_part key = {.kind = FILE_WAL, .at = at};
  size_t next = repair_pages_find(p, &key);
  bool found = next < p->count && p->parts[next].kind != FILE_SST;
  uint64_t end = found ? p->parts[next].at : p->pages * VFS_PIECE_UNIT;
  for (uint64_t i = at / VFS_PIECE_UNIT; i < end / VFS_PIECE_UNIT; i++) {
    if ((p->taken[i / 8] >> i % 8 & 1) != 0) return i * VFS_PIECE_UNIT;
  }
  return end;
}

/* How far whole frames, or records, follow each other in the file. */
static int pages_reach(repair *r, file_kind kind, uint64_t number, uint64_t *reach) {
  repair_window w;
  const uint8_t *bytes;
  uint64_t salt = number, at = WAL_HEADER_SIZE;
  const uint64_t head = kind == FILE_WAL ? WAL_FRAME_HEADER_SIZE : 8;
  int rc = VARVE_OK;
  *reach = 0;
  TRY(repair_window_open(&w, r->from, kind, number));
  if (w.size < WAL_HEADER_SIZE) goto out;
  STEP(repair_window_bytes(&w, 0, WAL_HEADER_SIZE, &bytes));
  if (kind == FILE_WAL) salt = get_u64(bytes + WAL_SALT_AT);
  while (w.size - at > head) {
    STEP(repair_window_bytes(&w, at, head, &bytes));
    uint32_t body = get_u32(bytes), sum = get_u32(bytes + 4);
    if (body == 0 || body > w.size - at - head) break;
    STEP(repair_window_bytes(&w, at, head + body, &bytes));
    bool log = kind == FILE_WAL;
    uint32_t is = log ? wal_frame_checksum(bytes, body, salt, at) : (uint32_t)xxh64(bytes + 8, body, salt ^ at ^ body);
    if (is != sum) break;
    at = log ? MIN(at + wal_frame_size(body), w.size) : at + head + body;
  }
  *reach = at;
out:
  repair_window_close(&w);
  return rc;
}

/* A log or manifest as it was adopted. */
typedef struct pages_placed {
  vfs_piece whole; /* in one piece */
  const vfs_piece *pieces;
  size_t count;
  uint64_t size, reach;
} pages_placed;

static int pages_try(repair *r, const pages_part *part, uint64_t number, pages_placed *x) {
  x->size = pages_sum(x->pieces, x->count);
  TRY(vfs_single_adopt(r->from->fs, part->kind, number, x->size, x->pieces, x->count));
  return pages_reach(r, part->kind, number, &x->reach);
}

/* Adopts a log or manifest as far as it goes; in the pieces that an old directory names when it reaches further so. */
static int pages_adopt_part(repair *r, const pages_part *part, uint64_t number, pages_placed *x) {
  const repair_pages *p = r->pages;
  memset(x, 0, sizeof *x);
  x->whole = (vfs_piece){part->at, repair_pages_stop(p, part->at + VFS_PIECE_UNIT) - part->at};
  x->pieces = &x->whole;
  x->count = 1;
  TRY(pages_try(r, part, number, x));
  if (part->pieces == NULL) return VARVE_OK;
  pages_placed other = {.pieces = part->pieces, .count = part->count};
  vfs_piece *last = &part->pieces[part->count - 1];
  last->size = MAX(last->size, repair_pages_stop(p, last->at + VFS_PIECE_UNIT) - last->at);
  TRY(pages_try(r, part, number, &other));
  if (other.reach > x->reach) {
    *x = other;
    return VARVE_OK;
  }
  return vfs_single_adopt(r->from->fs, part->kind, number, x->size, x->pieces, x->count);
}

INTERNAL int repair_pages_has(const repair *r, file_kind kind, uint64_t number, bool *has) {
  vfs_file *file;
  int rc = vfs_open(r->from->fs, kind, number, 0, &file);
  *has = rc >= 0;
  return rc == VARVE_MISSING ? VARVE_OK : rc < 0 ? rc : vfs_close(file);
}

static int pages_adopt_manifests(repair *r) {
  repair_pages *p = r->pages;
  for (size_t i = 0; i < p->count && p->parts[i].kind != FILE_SST; i++) {
    const pages_part *part = &p->parts[i];
    pages_placed x;
    bool has;
    if (part->kind != FILE_MANIFEST) continue;
    TRY(repair_pages_has(r, FILE_MANIFEST, part->number, &has));
    if (has) continue;
    TRY(pages_adopt_part(r, part, part->number, &x));
    uint64_t size = MIN(x.size, align_up(x.reach, VFS_PIECE_UNIT) + PAGES_MAN_SLACK);
    TRY(repair_pages_adopt(r, FILE_MANIFEST, part->number, size, x.pieces, x.count));
    vfs_piece known = {part->at, align_up(MAX(x.reach, (uint64_t)1), VFS_PIECE_UNIT)};
    if (x.pieces == &x.whole) repair_pages_take(p, &known);
    for (size_t k = 0; x.pieces != &x.whole && k + 1 < x.count; k++) repair_pages_take(p, &x.pieces[k]);
  }
  return VARVE_OK;
}

/* ---- logs ---- */

/* A second log with the number of one that was adopted: the one that goes further counts when there is a list, else
 * both do. */
static int pages_second_log(repair *r, const pages_part *part, unsigned *compared) {
  uint64_t reach, name = PAGES_NAMELESS + part->at / VFS_PIECE_UNIT;
  pages_placed x;
  if (r->remains.state.current != NULL && ++*compared > PAGES_COMPARED) return VARVE_OK;
  TRY(pages_reach(r, FILE_WAL, part->number, &reach));
  TRY(pages_adopt_part(r, part, name, &x));
  if (r->remains.state.current == NULL) return repair_add_file(r, FILE_WAL, name, x.size);
  r->report->files_ignored++;
  if (x.reach <= reach) return vfs_single_adopt(r->from->fs, FILE_WAL, name, 0, NULL, 0);
  repair_file *f = repair_find_file(r, FILE_WAL, part->number);
  f->size = x.size;
  return vfs_single_adopt(r->from->fs, FILE_WAL, part->number, x.size, x.pieces, x.count);
}

INTERNAL int repair_pages_logs(repair *r) {
  const repair_pages *p = r->pages;
  unsigned compared = 0;
  for (size_t i = 0; i < p->count && p->parts[i].kind != FILE_SST; i++) {
    const pages_part *part = &p->parts[i];
    vfs_piece page = {part->at, VFS_PIECE_UNIT};
    pages_placed x;
    bool has;
    if (part->kind != FILE_WAL || !repair_pages_free(p, &page)) continue;
    TRY(repair_pages_has(r, FILE_WAL, part->number, &has));
    if (has) {
      TRY(pages_second_log(r, part, &compared));
      continue;
    }
    TRY(pages_adopt_part(r, part, part->number, &x));
    TRY(repair_add_file(r, FILE_WAL, part->number, x.size));
  }
  return VARVE_OK;
}

/* ---- all of it ---- */

INTERNAL int repair_pages_open(repair *r) {
  repair_pages *p = r->pages = MEM_NEW(r->alloc, repair_pages);
  if (p == NULL) return mem_fail(sizeof *p, REPAIR_LIST);
  TRY(repair_window_open(&p->all, r->from, FILE_SINGLE, 0));
  p->pages = align_up(p->all.size, VFS_PIECE_UNIT) / VFS_PIECE_UNIT;
  p->budget = 64 * p->all.size + 64 * MiB;
  p->taken = mem_zalloc(r->alloc, (size_t)(p->pages / 8 + 1));
  if (p->taken == NULL) return mem_fail((size_t)(p->pages / 8 + 1), REPAIR_LIST);
  TRY(pages_scan(r));
  pages_sort(p);
  TRY(vfs_single_images(r->from->fs, pages_image, r));
  TRY(pages_adopt_super(r));
  return pages_adopt_manifests(r);
}

INTERNAL bool repair_pages_empty(const repair *r) {
  return r->pages->count == 0 && r->file_count == 0;
}

INTERNAL void repair_pages_close(repair *r) {
  repair_pages *p = r->pages;
  if (p == NULL) return;
  for (size_t i = 0; i < p->count; i++) {
    mem_free(r->alloc, p->parts[i].pieces, p->parts[i].count * sizeof *p->parts[i].pieces);
  }
  mem_free(r->alloc, p->parts, p->room * sizeof *p->parts);
  mem_free(r->alloc, p->taken, (size_t)(p->pages / 8 + 1));
  repair_window_close(&p->all);
  MEM_DELETE(r->alloc, p);
  r->pages = NULL;
}

#undef PAGES_MAN_SLACK
#undef PAGES_COMPARED
