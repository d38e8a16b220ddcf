/* vfs_single_slots.c: the bytes of a single file's header, slots and directory (docs/FORMAT.md, "One file").
 *
 * Invariants
 *   1. A directory that was read names no page twice, none that is not there and none below the first: whatever the
 *      bytes say.
 *   2. Putting a directory takes no memory: image was given room when the file or extent was added.
 */
#include "env/vfs_single.h"

#include "base/coding.h"
#include "base/xxh64.h"

#define HEADER_MAGIC       "VARVEONE"
#define SLOT_MAGIC         "VARVEDIR"
#define SINGLE_FORMAT      1u
#define HEADER_CHECKSUM_AT 56u
#define SLOT_RECORD_SIZE   (SINGLE_PAGE / SINGLE_SLOT_RECORDS)
#define SLOT_CHECKSUM_AT   (SLOT_RECORD_SIZE - 8u)

static_assert(sizeof(HEADER_MAGIC) - 1 == 8 && sizeof(SLOT_MAGIC) - 1 == 8, "magics have 8 bytes");

/* ---- header ---- */

INTERNAL void single_header_put(uint8_t page[SINGLE_PAGE]) {
  memset(page, 0, SINGLE_PAGE);
  memcpy(page, HEADER_MAGIC, 8);
  put_u32(page + 8, SINGLE_FORMAT);
  put_u32(page + 12, SINGLE_PAGE);
  put_u64(page + HEADER_CHECKSUM_AT, xxh64(page, HEADER_CHECKSUM_AT, 0));
}

static bool slots_all_zero(const uint8_t *p, size_t size) {
  for (size_t i = 0; i < size; i++) {
    if (p[i] != 0) return false;
  }
  return true;
}

/* Whether the page is the beginning of `whole` and zeros from there on, at whatever byte it was cut. */
static bool slots_is_cut(const uint8_t *page, const uint8_t *whole) {
  size_t same = 0;
  while (same < SINGLE_PAGE && page[same] == whole[same]) same++;
  return slots_all_zero(page + same, SINGLE_PAGE - same);
}

INTERNAL single_slot single_first_slot(void) {
  static const uint8_t none[FILE_KINDS];
  const uint64_t offset = SINGLE_FIRST_PAGE * SINGLE_PAGE;
  single_slot slot = {SINGLE_SLOT_SYNCED, 1, offset, sizeof none, 0, 0};
  slot.end = single_directory_copy(&slot) + sizeof none;
  slot.checksum = single_directory_checksum(&slot, none);
  return slot;
}

/* A creation that was cut short: no page but those that it writes, and no header, or, when all else is there, the
 * beginning of one. */
static bool slots_unfinished(const uint8_t *pages, const uint8_t *header, uint64_t size) {
  if (size > (SINGLE_FIRST_PAGE + 2) * SINGLE_PAGE || !slots_is_cut(pages, header)) return false;
  if (pages[0] != 0 && size <= SINGLE_FIRST_PAGE * SINGLE_PAGE) return false;
  uint8_t whole[SINGLE_PAGE]; /* of a slot any part may have arrived, and nothing else: the file may be somebody's */
  single_slot slot = single_first_slot();
  for (unsigned i = 0; i < 2; i++) {
    const uint8_t *page = pages + (size_t)(1 + i) * SINGLE_PAGE;
    single_slot_put(whole, &slot, i);
    for (size_t k = 0; k < SINGLE_PAGE; k++) {
      if (page[k] != 0 && page[k] != whole[k]) return false;
    }
  }
  return slots_all_zero(pages + (size_t)3 * SINGLE_PAGE, (size_t)2 * SINGLE_PAGE); /* and a directory of zeros */
}

/* ---- slots ---- */

static uint64_t slots_seed(unsigned at, unsigned record) {
  return (uint64_t)(1 + at) * SINGLE_PAGE + record * SLOT_RECORD_SIZE;
}

INTERNAL void single_slot_put(uint8_t page[SINGLE_PAGE], const single_slot *slot, unsigned at) {
  ASSERT(at < SINGLE_SLOTS && slot->generation > 0 && slot->generation <= INT64_MAX);
  ASSERT(slot->offset % SINGLE_PAGE == 0 && slot->offset >= SINGLE_FIRST_PAGE * SINGLE_PAGE);
  memset(page, 0, SINGLE_PAGE);
  for (unsigned i = 0; i < SINGLE_SLOT_RECORDS; i++) {
    uint8_t *p = page + i * SLOT_RECORD_SIZE;
    memcpy(p, SLOT_MAGIC, 8);
    put_u32(p + 8, SINGLE_FORMAT);
    put_u32(p + 12, slot->flags);
    put_u64(p + 16, slot->generation);
    put_u64(p + 24, slot->offset);
    put_u64(p + 32, slot->size);
    put_u64(p + 40, slot->checksum);
    put_u64(p + 48, slot->end);
    put_u64(p + SLOT_CHECKSUM_AT, xxh64(p, SLOT_CHECKSUM_AT, slots_seed(at, i)));
  }
}

static bool slots_get_record(const uint8_t *p, uint64_t seed, single_slot *slot) {
  if (memcmp(p, SLOT_MAGIC, 8) != 0 || get_u32(p + 8) != SINGLE_FORMAT) return false;
  if (get_u64(p + SLOT_CHECKSUM_AT) != xxh64(p, SLOT_CHECKSUM_AT, seed)) return false;
  slot->flags = get_u32(p + 12);
  slot->generation = get_u64(p + 16);
  slot->offset = get_u64(p + 24);
  slot->size = get_u64(p + 32);
  slot->checksum = get_u64(p + 40);
  slot->end = get_u64(p + 48);
  const uint64_t end_max = (SINGLE_PAGES_MAX - 1) * SINGLE_PAGE;
  return slot->flags <= SINGLE_SLOT_SYNCED && slot->generation > 0 && slot->generation <= INT64_MAX &&
         slot->offset % SINGLE_PAGE == 0 && slot->offset >= SINGLE_FIRST_PAGE * SINGLE_PAGE && slot->end <= end_max &&
         slot->offset <= slot->end && slot->size <= slot->end - slot->offset && slot->size >= FILE_KINDS &&
         slot->size <= slot->end - single_directory_copy(slot) && single_directory_copy(slot) <= slot->end;
}

INTERNAL unsigned single_slot_get(const uint8_t page[SINGLE_PAGE], single_slot *slot, unsigned at) {
  ASSERT(at < SINGLE_SLOTS);
  unsigned count = 0;
  memset(slot, 0, sizeof *slot);
  for (unsigned i = 0; i < SINGLE_SLOT_RECORDS; i++) {
    single_slot record;
    if (!slots_get_record(page + i * SLOT_RECORD_SIZE, slots_seed(at, i), &record)) continue;
    if (record.generation < slot->generation) continue;
    count = record.generation == slot->generation ? count + 1 : 1;
    *slot = record;
  }
  return count;
}

/* Whether a slot has a record that is whole: no file of somebody else's has one by chance. */
static bool slots_any(const uint8_t *pages) {
  single_slot slot;
  for (unsigned i = 0; i < SINGLE_SLOTS; i++) {
    if (single_slot_get(pages + (size_t)(1 + i) * SINGLE_PAGE, &slot, i) > 0) return true;
  }
  return false;
}

INTERNAL int single_header_check(const single *s, const uint8_t *pages, uint64_t size) {
  uint8_t header[SINGLE_PAGE];
  single_header_put(header);
  if (memcmp(pages, header, SINGLE_PAGE) == 0) return VARVE_OK;
  if (slots_unfinished(pages, header, size)) return VARVE_MISSING;
  if (memcmp(pages, HEADER_MAGIC, 8) != 0 && !slots_any(pages)) {
    return status_fail(VARVE_NOT_DATABASE, "%s is not a Varve database: it does not begin like one", s->base.location);
  }
  uint32_t format = get_u32(pages + 8);
  put_u32(header + 8, format);
  bool only_format = memcmp(pages, header, SINGLE_PAGE) == 0; /* then the version is what is damaged */
  if (format > SINGLE_FORMAT && !only_format) {
    return status_fail(VARVE_NEWER_FORMAT,
                       "%s was written by a newer version of Varve: it has format version %u, and this program knows "
                       "%u",
                       s->base.location, format, SINGLE_FORMAT);
  }
  return status_fail(VARVE_CORRUPT, "%s is damaged at offset 0: its header is broken; restore it from a backup",
                     s->base.location);
}

INTERNAL uint64_t single_directory_checksum(const single_slot *slot, const uint8_t *data) {
  return xxh64(data, (size_t)slot->size, slot->generation ^ slot->offset);
}

/* ---- putting a directory ---- */

static void slots_append(buf *b, uint64_t v) {
  ASSERT(b->capacity - b->size >= VARINT64_SIZE_MAX);
  b->size += varint_put(b->data + b->size, v);
}

/* The size that the directory gives the file; false = it does not name it. */
static bool slots_size(const single_node *node, bool synced, uint64_t *size) {
  bool whole = synced || node->kind == FILE_WAL;
  *size = whole ? node->size : node->sound;
  return whole || node->named;
}

/* One extent of the file after the other, as far as `size` bytes reach. */
static void slots_put_extents(buf *b, const single_node *node, uint64_t size, uint64_t *behind, uint64_t *end) {
  uint64_t left = size;
  for (size_t i = 0; left > 0; i++) {
    ASSERT(i < node->count);
    const single_extent *e = &node->extents[i];
    uint64_t bytes = MIN(left, e->pages * SINGLE_PAGE);
    bool forward = e->page >= *behind;
    slots_append(b, forward ? (e->page - *behind) * 2 : (*behind - e->page) * 2 - 1);
    slots_append(b, single_pages(bytes));
    *behind = e->page + single_pages(bytes);
    *end = MAX(*end, e->page * SINGLE_PAGE + bytes);
    left -= bytes;
  }
}

INTERNAL void single_directory_put(single *s, bool synced, uint64_t *end) {
  buf *b = &s->image;
  uint64_t counts[FILE_KINDS] = {0}, size;
  *end = 0;
  buf_clear(b);
  for (size_t i = 0; i < s->count; i++) counts[s->nodes[i]->kind] += slots_size(s->nodes[i], synced, &size);
  for (unsigned k = 0; k < FILE_KINDS; k++) slots_append(b, counts[k]);
  uint64_t behind = SINGLE_FIRST_PAGE, before = 0;
  unsigned kind = FILE_SUPER;
  for (size_t i = 0; i < s->count; i++) {
    single_node *node = s->nodes[i];
    ASSERT(!node->removed);
    if (!slots_size(node, synced, &size)) continue;
    if (node->kind != kind) before = 0;
    kind = node->kind;
    slots_append(b, node->number - before);
    before = node->number;
    slots_append(b, size);
    slots_put_extents(b, node, size, &behind, end);
    node->shown = MAX(node->shown, single_pages(size));
    if (synced) node->snap = size;
    if (synced) node->snapped = true;
  }
}

/* ---- getting one ---- */

typedef struct slots_reader {
  single *s;
  reader r;
  uint64_t offset; /* of the directory's first byte in the file */
  const uint8_t *start;
  uint64_t pages_max; /* no extent ends behind this page */
  uint64_t behind;
} slots_reader;

static int slots_damaged(const slots_reader *d, const char *reason) {
  return status_fail(VARVE_CORRUPT, "%s is damaged at offset %llu: the directory: %s; restore it from a backup",
                     d->s->base.location, (unsigned long long)(d->offset + (uint64_t)(d->r.at - d->start)), reason);
}

static int slots_get_extent(slots_reader *d, single_node *node, uint64_t first, uint64_t left, uint64_t *pages) {
  uint64_t jump, page;
  if (!read_varint64(&d->r, &jump) || !read_varint64(&d->r, pages)) return slots_damaged(d, "an extent is cut short");
  uint64_t far = jump / 2 + (jump & 1);
  bool forward = (jump & 1) == 0;
  if (forward ? far > d->pages_max : far > d->behind) return slots_damaged(d, "an extent is not in the file");
  page = forward ? d->behind + far : d->behind - far;
  if (*pages == 0 || *pages > left) return slots_damaged(d, "an extent has more pages than the file, or none");
  if (page < SINGLE_FIRST_PAGE || page > d->pages_max || *pages > d->pages_max - page) {
    return slots_damaged(d, "an extent is not in the file");
  }
  TRY(single_node_room(d->s, node));
  node->extents[node->count++] = (single_extent){page, *pages, first, *pages * SINGLE_PAGE};
  d->s->extents++;
  d->behind = page + *pages;
  return VARVE_OK;
}

static int slots_get_file(slots_reader *d, file_kind kind, uint64_t before, single_node *node) {
  uint64_t step, size;
  if (!read_varint64(&d->r, &step) || !read_varint64(&d->r, &size)) return slots_damaged(d, "it is cut short");
  if (kind == FILE_SUPER ? step != 0 : step == 0 || step > SINGLE_NUMBER_MAX - before) {
    return slots_damaged(d, "the numbers of the files do not rise");
  }
  if (size > SINGLE_SIZE_MAX) return slots_damaged(d, "a file is too large");
  node->kind = kind;
  node->number = before + step;
  node->size = node->sound = size;
  node->named = true;
  node->shown = single_pages(size);
  uint64_t first = 0, pages = 0;
  for (; first < node->shown; first += pages) TRY(slots_get_extent(d, node, first, node->shown - first, &pages));
  return VARVE_OK;
}

static void slots_sift(single_range *list, size_t at, size_t count) {
  single_range moved = list[at];
  for (size_t child; (child = 2 * at + 1) < count; at = child) {
    if (child + 1 < count && list[child].start < list[child + 1].start) child++;
    if (moved.start >= list[child].start) break;
    list[at] = list[child];
  }
  list[at] = moved;
}

/* Claims what the directory names, ascending: in the order of the files every claim could move all free ranges. */
static int slots_claim(const slots_reader *d, const single_slot *slot) {
  single *s = d->s;
  size_t count = 0, total = s->extents + 1;
  int rc = VARVE_OK;
  single_range *list = mem_alloc(s->base.alloc, total * sizeof *list);
  if (list == NULL) return mem_fail(total * sizeof *list, "the pages in use");
  list[count++] = single_directory_range(slot);
  for (size_t i = 0; i < s->count; i++) {
    const single_node *node = s->nodes[i];
    for (size_t k = 0; k < node->count; k++) {
      const single_extent *e = &node->extents[k];
      list[count++] = (single_range){e->page, e->page + e->pages};
    }
  }
  ASSERT(count == total);
  for (size_t i = count / 2; i > 0; i--) slots_sift(list, i - 1, count);
  for (size_t left = count; left > 1; left--) {
    single_range last = list[0];
    list[0] = list[left - 1];
    list[left - 1] = last;
    slots_sift(list, 0, left - 1);
  }
  for (size_t i = 0; i < count; i++) STEP(single_space_claim(s->base.alloc, &s->space, list[i]));
out:
  mem_free(s->base.alloc, list, total * sizeof *list);
  return rc == VARVE_EXISTS ? slots_damaged(d, "a page is in use twice") : rc;
}

INTERNAL int single_directory_get(single *s, const single_slot *slot, const uint8_t *data) {
  ASSERT(s->count == 0 && s->extents == 0);
  allocator *a = s->base.alloc;
  slots_reader d = {s,
                    reader_of(slice_make(data, (size_t)slot->size)),
                    slot->offset,
                    data,
                    single_pages(slot->end),
                    SINGLE_FIRST_PAGE};
  uint64_t counts[FILE_KINDS], total = 0;
  for (unsigned k = 0; k < FILE_KINDS; k++) {
    if (!read_varint64(&d.r, &counts[k])) return slots_damaged(&d, "it is cut short");
    if (counts[k] > slot->size / 2 || (k == FILE_SUPER && counts[k] > 1)) {
      return slots_damaged(&d, "it has more files than can be");
    }
    total += counts[k];
  }
  if (total > slot->size / 2) return slots_damaged(&d, "it has more files than can be"); /* two bytes each at least */
  if (total > 0) {
    s->nodes = mem_alloc(a, (size_t)total * sizeof *s->nodes);
    if (s->nodes == NULL) return mem_fail((size_t)total * sizeof *s->nodes, "the list of files");
    s->room = (size_t)total;
  }
  for (unsigned k = 0; k < FILE_KINDS; k++) {
    uint64_t before = 0;
    for (uint64_t i = 0; i < counts[k]; i++) {
      single_node *node = MEM_NEW(a, single_node);
      if (node == NULL) return mem_fail(sizeof *node, "a file of the directory");
      s->nodes[s->count++] = node;
      TRY(slots_get_file(&d, (file_kind)k, before, node));
      before = node->number;
    }
  }
  if (reader_left(&d.r) > 0) return slots_damaged(&d, "something follows the last file");
  return slots_claim(&d, slot);
}

#undef HEADER_MAGIC
#undef SLOT_MAGIC
#undef SINGLE_FORMAT
#undef HEADER_CHECKSUM_AT
#undef SLOT_RECORD_SIZE
#undef SLOT_CHECKSUM_AT
