/* version.c: the set of tables that make up the database at one moment, and the step from one to the next.
 *
 * A version never changes; edits make new ones. Its levels are arrays of pinned metas, so that a reader that pins a
 * version pins its tables. Applying an edit copies the pointers of what stays, sorts only what is new, and checks
 * order where new and old tables meet: what stays was checked when it was new.
 *
 * Invariants
 *   1. In every level >= 1 smallest ascends and tables are disjoint; in level 0 (seq_max, number) descends.
 *   2. No number is in a version twice.
 *   3. level.bytes is the sum of its tables' sizes.
 */
#include "lsm/version.h"

/* ---- metas ---- */

static size_t table_meta_bytes(const table_meta *m) {
  return sizeof *m + m->smallest.size + m->largest.size;
}

static void table_meta_release(pin *p) {
  table_meta *m = CONTAINER_OF(p, table_meta, pin);
  if (m->on_release != NULL) m->on_release(m, m->release_context);
  mem_free(m->alloc, m, table_meta_bytes(m));
}

INTERNAL int table_meta_create(allocator *alloc, slice smallest, slice largest, bool largest_exclusive,
                               table_meta **meta) {
  *meta = NULL;
  ASSERT(smallest.size <= INNER_KEY_MAX && largest.size <= INNER_KEY_MAX);
  ASSERT_SLOW(slice_compare(smallest, largest) + (largest_exclusive ? 1 : 0) <= 0);
  size_t bytes = sizeof(table_meta) + smallest.size + largest.size;
  table_meta *m = mem_zalloc(alloc, bytes);
  if (m == NULL) return mem_fail(bytes, "a table's bounds");
  uint8_t *keys = (uint8_t *)(m + 1);
  if (smallest.size > 0) memcpy(keys, smallest.data, smallest.size);
  if (largest.size > 0) memcpy(keys + smallest.size, largest.data, largest.size);
  pin_init(&m->pin, table_meta_release);
  m->alloc = alloc;
  m->smallest = slice_make(keys, smallest.size);
  m->largest = slice_make(keys + smallest.size, largest.size);
  m->largest_exclusive = largest_exclusive;
  atomic_init(&m->reader, NULL);
  atomic_init(&m->obsolete, false);
  ASSERT(table_meta_bytes(m) == bytes);
  *meta = m;
  return VARVE_OK;
}

/* Whether the whole table is before key. */
static bool table_meta_before(const table_meta *t, slice key) {
  int order = slice_compare(t->largest, key);
  return order < 0 || (order == 0 && t->largest_exclusive);
}

INTERNAL int table_meta_compare(const table_meta *t, slice key) {
  if (table_meta_before(t, key)) return -1;
  return slice_compare(t->smallest, key) > 0 ? 1 : 0;
}

INTERNAL bool table_meta_overlaps(const table_meta *t, slice begin, slice end) {
  if (table_meta_before(t, begin)) return false; /* never before the empty key, which no table holds */
  return end.size == 0 || slice_compare(t->smallest, end) <= 0;
}

/* ---- versions ---- */

static void version_release(pin *p) {
  version *v = CONTAINER_OF(p, version, pin);
  for (uint32_t i = 0; i < LEVELS; i++) {
    version_level *level = &v->level[i];
    for (uint32_t t = 0; t < level->count; t++) pin_unref(&level->tables[t]->pin);
    mem_free(v->alloc, level->tables, level->count * sizeof *level->tables);
  }
  MEM_DELETE(v->alloc, v);
}

INTERNAL int version_create(allocator *alloc, version **out) {
  *out = NULL;
  version *v = MEM_NEW(alloc, version);
  if (v == NULL) return mem_fail(sizeof *v, "a version");
  pin_init(&v->pin, version_release);
  v->alloc = alloc;
  *out = v;
  return VARVE_OK;
}

/* ---- the parts of an edit, sorted ---- */

typedef int (*version_order)(const edit_table *a, const edit_table *b);

static int version_by_number(const edit_table *a, const edit_table *b) {
  if (a->number != b->number) return a->number < b->number ? -1 : 1;
  return (a->level > b->level) - (a->level < b->level);
}

/* The order of tables in their level. */
static int version_meta_order(uint32_t level, const table_meta *a, const table_meta *b) {
  if (level > 0) {
    int order = slice_compare(a->smallest, b->smallest);
    if (order != 0) return order;
  } else if (a->seq_max != b->seq_max) {
    return a->seq_max > b->seq_max ? -1 : 1;
  }
  return (a->number < b->number) - (a->number > b->number);
}

static int version_by_place(const edit_table *a, const edit_table *b) {
  if (a->level != b->level) return a->level < b->level ? -1 : 1;
  return version_meta_order(a->level, a->meta, b->meta);
}

static void version_sift(const edit_table **items, size_t root, size_t count, version_order order) {
  for (;;) {
    size_t child = root * 2 + 1;
    if (child >= count) return;
    if (child + 1 < count && order(items[child], items[child + 1]) < 0) child++;
    if (order(items[root], items[child]) >= 0) return;
    const edit_table *kept = items[root];
    items[root] = items[child];
    items[child] = kept;
    root = child;
  }
}

/* Heapsort: no memory, no bad case for a file to choose. */
static void version_sort(const edit_table **items, size_t count, version_order order) {
  for (size_t i = count / 2; i-- > 0;) version_sift(items, i, count, order);
  for (size_t left = count; left-- > 1;) {
    const edit_table *largest = items[0];
    items[0] = items[left];
    items[left] = largest;
    version_sift(items, 0, left, order);
  }
}

/* Whether `number` is among the sorted items, at `level` (LEVELS = at any). */
static bool version_listed(const edit_table *const *items, size_t count, uint64_t number, uint32_t level) {
  size_t low = 0, high = count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (items[middle]->number < number) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  for (; low < count && items[low]->number == number; low++) {
    if (level == LEVELS || items[low]->level == level) return true;
  }
  return false;
}

static int version_broken(const char *what, const edit_table *t) {
  return status_fail(VARVE_CORRUPT, "%s: table %llu of level %u", what, (unsigned long long)t->number, t->level);
}

/* An edit taken apart: removed[] by number, added[] by level and place. */
typedef struct version_change {
  const edit_table **removed, **added;
  size_t removed_count, added_count;
} version_change;

/* Sorts, and refuses numbers that come twice. `room` holds e->count pointers. */
static int version_change_init(version_change *c, const edit *e, const edit_table **room) {
  *c = (version_change){room, room, 0, 0};
  for (size_t i = 0; i < e->count; i++) c->removed_count += e->tables[i].meta == NULL;
  c->added = room + c->removed_count;
  size_t removed = 0;
  for (size_t i = 0; i < e->count; i++) {
    ASSERT(e->tables[i].level < LEVELS);
    if (e->tables[i].meta == NULL) {
      c->removed[removed++] = &e->tables[i];
    } else {
      c->added[c->added_count++] = &e->tables[i];
    }
  }
  ASSERT(removed == c->removed_count && removed + c->added_count == e->count);
  version_sort(c->removed, c->removed_count, version_by_number);
  version_sort(c->added, c->added_count, version_by_number);
  for (size_t i = 1; i < c->removed_count; i++) {
    if (c->removed[i - 1]->number == c->removed[i]->number) return version_broken("removed twice", c->removed[i]);
  }
  for (size_t i = 1; i < c->added_count; i++) {
    if (c->added[i - 1]->number == c->added[i]->number) return version_broken("added twice", c->added[i]);
  }
  return VARVE_OK;
}

/* Every removed table must be in `base`, and no added one may, unless the edit removes it: it moves then. */
static int version_change_check(const version_change *c, const version *base) {
  size_t found = 0;
  for (uint32_t l = 0; l < LEVELS; l++) {
    for (uint32_t t = 0; t < base->level[l].count; t++) {
      edit_table table = {l, base->level[l].tables[t]->number, NULL};
      if (version_listed(c->removed, c->removed_count, table.number, l)) {
        found++;
      } else if (version_listed(c->added, c->added_count, table.number, LEVELS)) {
        return version_broken("added although it is there", &table);
      }
    }
  }
  ASSERT(found <= c->removed_count);
  if (found == c->removed_count) return VARVE_OK;
  return status_fail(VARVE_CORRUPT, "%zu of the tables that are removed are not there", c->removed_count - found);
}

/* ---- applying ---- */

/* Whether `a`, then `b`, may follow each other in a level. */
static bool version_in_order(uint32_t level, const table_meta *a, const table_meta *b) {
  if (level == 0) return version_meta_order(0, a, b) < 0;
  return table_meta_before(a, b->smallest);
}

/* Level `l` of the next version: what stays of `base`, merged with added[0 .. count - 1]. */
static int version_level_apply(version_level *next, uint32_t l, const version_level *base, const version_change *c,
                               const edit_table *const *added, size_t count) {
  size_t taken = 0;
  bool met = false; /* the last table is new: what comes next has not been checked against it */
  for (uint32_t t = 0; t <= base->count; t++) {
    table_meta *kept = t < base->count ? base->tables[t] : NULL;
    if (kept != NULL && c->removed_count > 0 && version_listed(c->removed, c->removed_count, kept->number, l)) continue;
    while (taken < count && (kept == NULL || version_meta_order(l, added[taken]->meta, kept) < 0)) {
      table_meta *m = added[taken]->meta;
      if (next->count > 0 && !version_in_order(l, next->tables[next->count - 1], m)) {
        return version_broken("out of order, or it overlaps its neighbour", added[taken]);
      }
      next->tables[next->count++] = m;
      next->bytes += m->size;
      pin_ref(&m->pin);
      taken++;
      met = true;
    }
    if (kept == NULL) break;
    if (met && !version_in_order(l, next->tables[next->count - 1], kept)) {
      return version_broken("out of order, or it overlaps its neighbour", added[taken - 1]);
    }
    next->tables[next->count++] = kept;
    next->bytes += kept->size;
    pin_ref(&kept->pin);
    met = false;
  }
  ASSERT(taken == count);
  return VARVE_OK;
}

/* How many tables level l of the next version has. */
static size_t version_level_count(const version_change *c, const version *base, uint32_t l, size_t added) {
  size_t removed = 0;
  for (size_t i = 0; i < c->removed_count; i++) removed += c->removed[i]->level == l;
  ASSERT(removed <= base->level[l].count);
  return base->level[l].count - removed + added;
}

static int version_levels_apply(version *v, const version *base, const version_change *c) {
  size_t from = 0;
  for (uint32_t l = 0; l < LEVELS; l++) {
    size_t to = from;
    while (to < c->added_count && c->added[to]->level == l) to++;
    size_t count = version_level_count(c, base, l, to - from);
    if (count == 0) continue;
    if (count > UINT32_MAX / sizeof(table_meta *)) return mem_fail(count, "a level");
    version_level *level = &v->level[l];
    level->tables = mem_alloc(v->alloc, count * sizeof *level->tables);
    if (level->tables == NULL) return mem_fail(count * sizeof *level->tables, "a level");
    int rc = version_level_apply(level, l, &base->level[l], c, c->added + from, to - from);
    if (rc < 0) { /* so that releasing the version gives back what was taken */
      for (uint32_t t = 0; t < level->count; t++) pin_unref(&level->tables[t]->pin);
      mem_free(v->alloc, level->tables, count * sizeof *level->tables);
      *level = (version_level){NULL, 0, 0};
      return rc;
    }
    ASSERT(level->count == count);
    from = to;
  }
  ASSERT(from == c->added_count);
  return VARVE_OK;
}

INTERNAL int version_apply(const version *base, const edit *e, version **next) {
  int rc = VARVE_OK;
  version *v = NULL;
  version_change change;
  *next = NULL;
  size_t room_size = MAX(e->count, 1) * sizeof(edit_table *); /* no memory for nothing would be a special case */
  const edit_table **room = mem_alloc(base->alloc, room_size);
  if (room == NULL) return mem_fail(room_size, "an edit");
  STEP(version_change_init(&change, e, room));
  STEP(version_change_check(&change, base));
  version_sort(change.added, change.added_count, version_by_place);
  STEP(version_create(base->alloc, &v));
  STEP(version_levels_apply(v, base, &change));
  *next = v;
  v = NULL;
out:
  if (v != NULL) pin_unref(&v->pin);
  mem_free(base->alloc, room, room_size);
  return rc;
}

/* ---- searching ---- */

INTERNAL table_meta *version_find_table(const version *v, uint64_t number) {
  for (uint32_t level = 0; v != NULL && level < LEVELS; level++) {
    for (uint32_t i = 0; i < v->level[level].count; i++) {
      if (v->level[level].tables[i]->number == number) return v->level[level].tables[i];
    }
  }
  return NULL;
}

INTERNAL uint32_t version_find(const version_level *level, slice key) {
  uint32_t low = 0, high = level->count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (table_meta_before(level->tables[middle], key)) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  ASSERT_SLOW(low == level->count || !table_meta_before(level->tables[low], key));
  return low;
}

INTERNAL void version_overlap(const version_level *level, slice begin, slice end, uint32_t *from, uint32_t *to) {
  *from = version_find(level, begin);
  uint32_t low = *from, high = level->count;
  if (end.size == 0) low = high;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (slice_compare(level->tables[middle]->smallest, end) <= 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  *to = low;
  ASSERT(*from <= *to && *to <= level->count);
}
