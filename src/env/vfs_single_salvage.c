/* vfs_single_salvage.c: a single file without a directory that counts, for a repair.
 *
 *     |....|directory, old|its copy|....|log|table|another table|.......
 *
 * What the bytes of logs, manifests and tables say is not known here: the repair looks at all bytes (FILE_SINGLE), and
 * adopts what it finds. What is known here is how a directory looks. Slots that named one may be gone, and older ones
 * stand in free pages until something else takes those: a guess where files lie in pieces, for the repair to check.
 *
 * When a slot is left and both copies of its directory are damaged, but not in the same bytes, what they tell together
 * is the directory.
 *
 * Invariants
 *   1. Nothing is written, and no page is taken: files that were adopted may overlap.
 *   2. Bytes looked at for directories are bounded: 8 times the file and 1 MiB.
 */
#include "env/vfs_single.h"

#include "base/coding.h"
#include "base/limits.h"

#define SALVAGE_RUNS      12u           /* where two copies of a directory differ */
#define SALVAGE_MIX_BYTES (256 * MiB)   /* that are checksummed at most to choose between them */
#define SALVAGE_WINDOW    (1024u * KiB) /* a directory is found when two copies of it fit into half of that */

static_assert(VFS_PIECE_UNIT == SINGLE_PAGE, "pieces are pages");

/* ---- the place ---- */

/* One more extent of a file that is to have `pages` pages: those behind them would be given back when it is closed. */
static int salvage_extent(single *s, single_node *node, const vfs_piece *p, uint64_t pages) {
  uint64_t first = 0;
  if (node->count > 0) first = node->extents[node->count - 1].first + node->extents[node->count - 1].pages;
  if (first >= pages) return VARVE_OK;
  TRY(single_node_room(s, node));
  uint64_t taken = MIN(p->size / SINGLE_PAGE, pages - first);
  node->extents[node->count++] = (single_extent){p->at / SINGLE_PAGE, taken, first, taken * SINGLE_PAGE};
  s->extents++;
  return VARVE_OK;
}

INTERNAL int vfs_single_adopt(vfs *fs, file_kind kind, uint64_t number, uint64_t size, const vfs_piece *pieces,
                              size_t count) {
  single *s = single_of(fs);
  uint64_t room = 0;
  int rc = VARVE_OK;
  ASSERT((fs->traits & VFS_LOST) != 0 && number <= SINGLE_NUMBER_MAX);
  mutex_lock(&s->guard);
  single_node *node = single_lookup(s, kind, number);
  if (node == NULL) STEP(single_create(s, kind, number, &node));
  ASSERT(node->opens == 0);
  s->extents -= node->count;
  node->count = 0;
  node->size = 0;
  for (size_t i = 0; i < count; i++) {
    ASSERT(pieces[i].at % SINGLE_PAGE == 0 && pieces[i].size % SINGLE_PAGE == 0 && pieces[i].size > 0);
    room += pieces[i].size;
    STEP(salvage_extent(s, node, &pieces[i], single_pages(size)));
  }
  ASSERT(size <= room);
  node->size = size;
out:
  mutex_unlock(&s->guard);
  return rc;
}

INTERNAL int single_salvage_load(single *s, int rc) {
  ASSERT(rc < 0 && s->count == 0 && (s->base.traits & VFS_READ_ONLY) != 0);
  s->lost = rc;
  status_keep_message(s->lost_message);
  s->generation = 0;
  s->sound_slot = s->newest_slot = 0;
  TRY(single_space_init(s->base.alloc, &s->space));
  s->base.traits |= VFS_LOST;
  vfs_piece all = {0, single_pages(s->size) * SINGLE_PAGE};
  return vfs_single_adopt(&s->base, FILE_SINGLE, 0, s->size, &all, all.size > 0);
}

INTERNAL int vfs_single_lost(vfs *fs) {
  const single *s = single_of(fs);
  ASSERT((fs->traits & VFS_LOST) != 0 && s->lost < 0);
  status_set_message(s->lost_message);
  return s->lost;
}

/* How much of the file lies behind the end of all; *first = where that begins in the file. */
static uint64_t salvage_beyond(const single *s, const single_node *node, uint64_t *first) {
  uint64_t end = s->size / SINGLE_PAGE, beyond = 0;
  *first = UINT64_MAX;
  for (size_t i = 0; i < node->count; i++) {
    const single_extent *e = &node->extents[i];
    uint64_t there = e->page >= end ? 0 : MIN(e->pages, end - e->page);
    if (there < e->pages) *first = MIN(*first, (e->first + there) * SINGLE_PAGE);
    beyond += e->pages - there;
  }
  return beyond;
}

/* Holes are kept, and read as zeros, as long as all of them are no more than the file. */
INTERNAL void single_salvage_clip(single *s) {
  uint64_t left = single_pages(s->size);
  for (size_t i = 0; i < s->count; i++) {
    single_node *node = s->nodes[i];
    const single_extent *last = node->count == 0 ? NULL : &node->extents[node->count - 1];
    uint64_t first, beyond = salvage_beyond(s, node, &first);
    if (beyond == 0) continue;
    bool tail = last->page >= s->size / SINGLE_PAGE || last->pages > s->size / SINGLE_PAGE - last->page;
    if ((tail && first >= last->first * SINGLE_PAGE) || beyond > left) {
      node->size = MIN(node->size, first);
    } else {
      left -= beyond;
    }
  }
}

/* ---- a directory of two damaged copies ---- */

typedef struct salvage_runs {
  size_t from[SALVAGE_RUNS], to[SALVAGE_RUNS];
  unsigned count;
} salvage_runs;

/* Where they differ: stretches with less than `gap` bytes between them are one. False = there are too many. */
static bool salvage_differ(const uint8_t *a, const uint8_t *b, size_t size, size_t gap, salvage_runs *r) {
  r->count = 0;
  for (size_t i = 0; i < size; i++) {
    if (a[i] == b[i]) continue;
    bool goes_on = r->count > 0 && i - r->to[r->count - 1] < gap;
    if (!goes_on && r->count == SALVAGE_RUNS) return false;
    if (!goes_on) r->from[r->count++] = i;
    r->to[r->count - 1] = i + 1;
  }
  return true;
}

static void salvage_swap(uint8_t *a, uint8_t *b, size_t from, size_t to) {
  for (size_t i = from; i < to; i++) {
    uint8_t kept = a[i];
    a[i] = b[i];
    b[i] = kept;
  }
}

INTERNAL int single_salvage_mix(single *s, const single_slot *slot, uint8_t *data) {
  size_t size = (size_t)slot->size, got = 0, gap = 1;
  salvage_runs r;
  int rc = VARVE_OK;
  uint8_t *other = mem_zalloc(s->base.alloc, size);
  if (other == NULL) return mem_fail(size, "the directory");
  STEP(vfs_read_at(s->file, single_directory_copy(slot), other, size, &got));
  while (gap < size && !salvage_differ(data, other, size, gap, &r)) gap *= 8;
  if (gap >= size || r.count == 0 || size > SALVAGE_MIX_BYTES >> r.count) goto out;
  for (unsigned choice = 0; choice < 1u << r.count; choice++) { /* in Gray's order: one stretch changes at a time */
    if (single_directory_checksum(slot, data) == slot->checksum) break;
    unsigned bit = 0;
    while (bit + 1 < r.count && ((choice + 1) >> bit & 1) == 0) bit++;
    salvage_swap(data, other, r.from[bit], r.to[bit]);
  }
out:
  mem_free(s->base.alloc, other, size);
  return rc;
}

/* ---- directories ---- */

typedef struct salvage_reader {
  reader r;
  uint64_t pages, behind;
} salvage_reader;

static bool salvage_get_extent(salvage_reader *d, uint64_t left, vfs_piece *piece) {
  uint64_t jump, pages;
  if (!read_varint64(&d->r, &jump) || !read_varint64(&d->r, &pages)) return false;
  uint64_t far = jump / 2 + (jump & 1);
  bool forward = (jump & 1) == 0;
  if (forward ? far > d->pages : far > d->behind) return false;
  uint64_t page = forward ? d->behind + far : d->behind - far;
  if (page < SINGLE_FIRST_PAGE || page >= d->pages || pages == 0 || pages > left || pages > d->pages - page)
    return false;
  *piece = (vfs_piece){page * SINGLE_PAGE, pages * SINGLE_PAGE};
  d->behind = page + pages;
  return true;
}

typedef struct salvage_list {
  allocator *alloc;
  vfs_piece *pieces; /* of the file at hand */
  size_t count, room;
  vfs_single_visit visit; /* NULL = the directory is only measured */
  void *context;
} salvage_list;

static int salvage_add(salvage_list *l, const vfs_piece *piece) {
  if (l->visit == NULL) return VARVE_OK;
  vfs_piece *list = mem_grow(l->alloc, l->pieces, l->count, &l->room, sizeof *list, "the pieces of a file");
  if (list == NULL) return VARVE_NOMEM;
  l->pieces = list;
  l->pieces[l->count++] = *piece;
  return VARVE_OK;
}

/* One file: OK, DONE when it cannot be one. */
static int salvage_get_file(salvage_reader *d, file_kind kind, uint64_t *number, salvage_list *l) {
  uint64_t step, size;
  if (!read_varint64(&d->r, &step) || !read_varint64(&d->r, &size)) return VARVE_DONE;
  if (kind == FILE_SUPER ? step != 0 : step == 0 || step > SINGLE_NUMBER_MAX - *number) return VARVE_DONE;
  *number += step;
  uint64_t left = single_pages(size);
  if (left > d->pages) return VARVE_DONE;
  l->count = 0;
  while (left > 0) {
    vfs_piece piece;
    if (!salvage_get_extent(d, left, &piece)) return VARVE_DONE;
    left -= piece.size / SINGLE_PAGE;
    TRY(salvage_add(l, &piece));
  }
  return l->visit == NULL ? VARVE_OK : l->visit(l->context, kind, *number, size, l->pieces, l->count);
}

/* Reads the directory that `data` begins with, if it is one: *used = its size, 0 = it is none. *looked = bytes that
 * were looked at. */
static int salvage_directory(slice data, uint64_t pages, salvage_list *l, size_t *used, size_t *looked) {
  salvage_reader d = {reader_of(data), pages, SINGLE_FIRST_PAGE};
  uint64_t counts[FILE_KINDS], total = 0;
  bool whole = true;
  int rc = VARVE_OK;
  *used = 0;
  for (unsigned k = 0; whole && k < FILE_KINDS; k++) {
    whole = read_varint64(&d.r, &counts[k]) && counts[k] <= data.size / 2 && (k != FILE_SUPER || counts[k] <= 1);
    if (whole) total += counts[k];
  }
  whole = whole && total > 0;
  for (unsigned k = 0; whole && k < FILE_KINDS; k++) {
    uint64_t number = 0;
    for (uint64_t i = 0; whole && i < counts[k]; i++) {
      rc = salvage_get_file(&d, (file_kind)k, &number, l);
      if (rc < 0) return rc;
      whole = rc == VARVE_OK;
    }
  }
  *looked = data.size - reader_left(&d.r);
  if (whole) *used = *looked;
  return VARVE_OK;
}

/* The directory that may begin in page `at` of the window, and stands there a second time behind it. */
static int salvage_page(const uint8_t *window, size_t filled, size_t at, uint64_t pages, salvage_list *l,
                        uint64_t *budget) {
  size_t used, looked;
  salvage_list measure = {.visit = NULL};
  ASSERT(at % SINGLE_PAGE == 0 && at < filled);
  TRY(salvage_directory(slice_make(window + at, filled - at), pages, &measure, &used, &looked));
  size_t copy = at + (size_t)single_pages(used) * SINGLE_PAGE;
  bool twice = used > 0 && copy <= filled && used <= filled - copy && memcmp(window + at, window + copy, used) == 0;
  *budget -= MIN(*budget, (uint64_t)looked);
  if (!twice || *budget < used) return VARVE_OK;
  *budget -= used;
  return salvage_directory(slice_make(window + at, used), pages, l, &used, &looked);
}

INTERNAL int vfs_single_images(vfs *fs, vfs_single_visit visit, void *context) {
  single *s = single_of(fs);
  int rc = VARVE_OK;
  size_t room = (size_t)MIN(s->size, (uint64_t)SALVAGE_WINDOW);
  uint64_t budget = 8 * s->size + 1 * MiB;
  salvage_list l = {.alloc = s->base.alloc, .visit = visit, .context = context};
  vfs_file *all = NULL;
  ASSERT((fs->traits & VFS_LOST) != 0);
  uint8_t *window = mem_alloc(s->base.alloc, MAX(room, 1u));
  if (window == NULL) return mem_fail(room, "a part of a damaged file");
  STEP(vfs_open(fs, FILE_SINGLE, 0, 0, &all));
  for (uint64_t from = 0; from < s->size && budget > 0; from += SALVAGE_WINDOW / 2) {
    size_t filled;
    rc = vfs_read_at(all, from, window, room, &filled);
    if (rc == VARVE_IO) continue; /* what cannot be read names nothing */
    if (rc < 0) goto out;
    for (size_t at = 0; at < MIN(filled, (size_t)SALVAGE_WINDOW / 2) && budget > 0; at += SINGLE_PAGE) {
      STEP(salvage_page(window, filled, at, single_pages(s->size), &l, &budget));
    }
  }
  rc = VARVE_OK;
out:
  ALSO(vfs_close(all));
  mem_free(s->base.alloc, l.pieces, l.room * sizeof *l.pieces);
  mem_free(s->base.alloc, window, MAX(room, 1u));
  return rc;
}

#undef SALVAGE_RUNS
#undef SALVAGE_MIX_BYTES
#undef SALVAGE_WINDOW
