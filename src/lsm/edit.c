/* edit.c: a list of changes to the set of tables, and its bytes: the body of a manifest's record.
 *
 *   edit  := field, one or more
 *   field := varint tag, then by tag, all numbers varints:
 *     1 log_min         number
 *     2 next_number     number
 *     3 last_seq        sequence
 *     4 clean close     log, end offset (0, 0 takes it back)
 *     5 removed table   level, file number
 *     6 added table     level, file number, file size, entries, tombstones, range tombstones, smallest sequence,
 *                       largest sequence, flags (1: the largest key is exclusive), smallest key, largest key;
 *                       a key is its size and its bytes
 *
 * Fields 1 to 4 come at most once. A tag or flag that is not listed is damage: new ones come with a new format version.
 *
 * Invariants
 *   1. Every added table's meta is pinned by the edit.
 *   2. What edit_decode accepts, edit_encode gives back with the same meaning; no number is out of its range.
 */
#include "lsm/version.h"

#define EDIT_NUMBER_MAX     ((UINT64_C(1) << 56) - 1)
#define EDIT_TABLE_SIZE_MAX (UINT64_C(1) << 48)
#define EDIT_EXCLUSIVE      1u

enum edit_tag {
  EDIT_LOG_MIN = 1,
  EDIT_NEXT_NUMBER = 2,
  EDIT_LAST_SEQ = 3,
  EDIT_CLEAN = 4,
  EDIT_REMOVE = 5,
  EDIT_ADD = 6
};

INTERNAL void edit_init(edit *e, allocator *alloc) {
  memset(e, 0, sizeof *e);
  e->alloc = alloc;
}

INTERNAL void edit_free(edit *e) {
  ASSERT(e->count <= e->capacity);
  for (size_t i = 0; i < e->count; i++) {
    if (e->tables[i].meta != NULL) pin_unref(&e->tables[i].meta->pin);
  }
  mem_free(e->alloc, e->tables, e->capacity * sizeof *e->tables);
  edit_init(e, e->alloc);
}

static int edit_push(edit *e, uint32_t level, uint64_t number, table_meta *meta) {
  ASSERT(level < LEVELS);
  ASSERT(number > 0 && number <= EDIT_NUMBER_MAX);
  if (e->count == e->capacity) {
    size_t capacity = e->capacity == 0 ? 8 : e->capacity * 2;
    if (capacity > PTRDIFF_MAX / sizeof *e->tables) return mem_fail(capacity, "an edit");
    edit_table *tables = mem_resize(e->alloc, e->tables, e->capacity * sizeof *e->tables, capacity * sizeof *e->tables);
    if (tables == NULL) return mem_fail(capacity * sizeof *e->tables, "an edit");
    e->tables = tables;
    e->capacity = capacity;
  }
  e->tables[e->count++] = (edit_table){level, number, meta};
  return VARVE_OK;
}

INTERNAL int edit_add(edit *e, uint32_t level, table_meta *meta) {
  ASSERT(meta != NULL);
  TRY(edit_push(e, level, meta->number, meta));
  pin_ref(&meta->pin);
  return VARVE_OK;
}

INTERNAL int edit_remove(edit *e, uint32_t level, uint64_t number) {
  return edit_push(e, level, number, NULL);
}

/* ---- encode ---- */

static int edit_put_numbers(buf *out, const uint64_t *numbers, size_t count) {
  TRY(buf_reserve(out, count * VARINT64_SIZE_MAX));
  for (size_t i = 0; i < count; i++) out->size += varint_put(out->data + out->size, numbers[i]);
  return VARVE_OK;
}

static int edit_put_table(buf *out, const edit_table *t) {
  const table_meta *m = t->meta;
  if (m == NULL) {
    const uint64_t removed[] = {EDIT_REMOVE, t->level, t->number};
    return edit_put_numbers(out, removed, COUNT_OF(removed));
  }
  ASSERT(m->number == t->number && m->size > 0 && m->size <= EDIT_TABLE_SIZE_MAX);
  ASSERT(m->seq_min <= m->seq_max && m->seq_max <= SEQ_MAX && m->tombstones <= m->entries);
  const uint64_t added[] = {EDIT_ADD,
                            t->level,
                            m->number,
                            m->size,
                            m->entries,
                            m->tombstones,
                            m->range_tombstones,
                            m->seq_min,
                            m->seq_max,
                            m->largest_exclusive ? EDIT_EXCLUSIVE : 0};
  TRY(edit_put_numbers(out, added, COUNT_OF(added)));
  TRY(buf_append_slice(out, m->smallest));
  return buf_append_slice(out, m->largest);
}

INTERNAL int edit_encode(const edit *e, buf *out) {
  const uint64_t log_min[] = {EDIT_LOG_MIN, e->log_min}, next_number[] = {EDIT_NEXT_NUMBER, e->next_number};
  const uint64_t last_seq[] = {EDIT_LAST_SEQ, e->last_seq}, clean[] = {EDIT_CLEAN, e->clean_log, e->clean_end};
  if (e->has_log_min) TRY(edit_put_numbers(out, log_min, COUNT_OF(log_min)));
  if (e->has_next_number) TRY(edit_put_numbers(out, next_number, COUNT_OF(next_number)));
  if (e->has_last_seq) TRY(edit_put_numbers(out, last_seq, COUNT_OF(last_seq)));
  if (e->has_clean_end) TRY(edit_put_numbers(out, clean, COUNT_OF(clean)));
  for (size_t i = 0; i < e->count; i++) TRY(edit_put_table(out, &e->tables[i]));
  return VARVE_OK;
}

/* ---- decode ---- */

/* A number that may come once and is at most `max`. */
static bool edit_get_once(reader *r, bool *has, uint64_t max, uint64_t *value) {
  if (*has || !read_varint64(r, value) || *value > max) return false;
  *has = true;
  return true;
}

static bool edit_get_place(reader *r, uint32_t *level, uint64_t *number) {
  return read_varint32(r, level) && *level < LEVELS && read_varint64(r, number) && *number > 0 &&
         *number <= EDIT_NUMBER_MAX;
}

/* 1 = done, 0 = broken bytes, < 0 = failure. */
static int edit_get_added(reader *r, edit *e) {
  uint32_t level, flags;
  uint64_t number, size, entries, tombstones, ranges, seq_min, seq_max;
  slice smallest, largest;
  table_meta *m;
  if (!edit_get_place(r, &level, &number) || !read_varint64(r, &size) || !read_varint64(r, &entries)) return 0;
  if (!read_varint64(r, &tombstones) || !read_varint64(r, &ranges)) return 0;
  if (!read_varint64(r, &seq_min) || !read_varint64(r, &seq_max) || !read_varint32(r, &flags)) return 0;
  if (!read_slice(r, INNER_KEY_MAX, &smallest) || !read_slice(r, INNER_KEY_MAX, &largest)) return 0;
  if (size == 0 || size > EDIT_TABLE_SIZE_MAX || entries > SEQ_MAX || tombstones > entries || ranges > SEQ_MAX)
    return 0;
  if (seq_min > seq_max || seq_max > SEQ_MAX || (flags & ~EDIT_EXCLUSIVE) != 0 || smallest.size == 0) return 0;
  int order = slice_compare(smallest, largest);
  if (order > 0 || (order == 0 && flags != 0)) return 0;
  TRY(table_meta_create(e->alloc, smallest, largest, flags != 0, &m));
  m->number = number;
  m->size = size;
  m->entries = entries;
  m->tombstones = tombstones;
  m->range_tombstones = ranges;
  m->seq_min = seq_min;
  m->seq_max = seq_max;
  int rc = edit_add(e, level, m);
  pin_unref(&m->pin);
  return rc < 0 ? rc : 1;
}

/* As edit_get_added. */
static int edit_get_field(reader *r, edit *e) {
  uint32_t tag, level;
  uint64_t number;
  int rc;
  if (!read_varint32(r, &tag)) return 0;
  switch (tag) {
    case EDIT_LOG_MIN:
      return edit_get_once(r, &e->has_log_min, EDIT_NUMBER_MAX, &e->log_min);
    case EDIT_NEXT_NUMBER:
      return edit_get_once(r, &e->has_next_number, EDIT_NUMBER_MAX, &e->next_number);
    case EDIT_LAST_SEQ:
      return edit_get_once(r, &e->has_last_seq, SEQ_MAX, &e->last_seq);
    case EDIT_CLEAN:
      return edit_get_once(r, &e->has_clean_end, EDIT_NUMBER_MAX, &e->clean_log) && read_varint64(r, &e->clean_end) &&
             (e->clean_log > 0 || e->clean_end == 0);
    case EDIT_REMOVE:
      if (!edit_get_place(r, &level, &number)) return 0;
      rc = edit_remove(e, level, number);
      return rc < 0 ? rc : 1;
    case EDIT_ADD:
      return edit_get_added(r, e);
    default:
      return 0;
  }
}

INTERNAL int edit_decode(edit *e, slice bytes) {
  ASSERT(e->count == 0 && !e->has_log_min && !e->has_next_number && !e->has_last_seq && !e->has_clean_end);
  reader r = reader_of(bytes);
  int rc = bytes.size > 0 ? 1 : 0;
  while (rc > 0 && reader_left(&r) > 0) rc = edit_get_field(&r, e);
  if (rc > 0) return VARVE_OK;
  edit_free(e);
  return rc < 0 ? rc : VARVE_CORRUPT;
}

#undef EDIT_NUMBER_MAX
#undef EDIT_TABLE_SIZE_MAX
#undef EDIT_EXCLUSIVE
