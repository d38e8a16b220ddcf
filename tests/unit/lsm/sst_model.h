/* sst_model.h: for the tests of tables: versions in order, a place with tables, and comparisons of the two. */
#ifndef VARVE_SST_MODEL_H
#define VARVE_SST_MODEL_H

#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "lsm/sst_int.h"

/* ---- a model: versions in order ---- */

typedef struct sst_version {
  slice key, value;
  uint64_t trailer;
} sst_version;

typedef struct sst_model {
  sst_version *v;
  size_t count, capacity;
} sst_model;

static inline slice sst_copy(slice s) {
  uint8_t *data = malloc(s.size + 1);
  if (s.size > 0) memcpy(data, s.data, s.size);
  return slice_make(data, s.size);
}

static inline void sst_drop(sst_version *v) {
  free((void *)(uintptr_t)v->key.data);
  free((void *)(uintptr_t)v->value.data);
}

static inline void sst_model_add(sst_model *m, slice key, uint64_t trailer, slice value) {
  if (m->count == m->capacity) {
    m->capacity = m->capacity * 2 + 16;
    m->v = realloc(m->v, m->capacity * sizeof *m->v);
  }
  m->v[m->count++] = (sst_version){sst_copy(key), sst_copy(value), trailer};
}

static inline int sst_order(const void *a, const void *b) {
  const sst_version *x = a, *y = b;
  return entry_compare(x->key, x->trailer, y->key, y->trailer);
}

static inline void sst_model_sort(sst_model *m) {
  qsort(m->v, m->count, sizeof *m->v, sst_order);
  size_t kept = 0;
  for (size_t i = 0; i < m->count; i++) {
    if (kept > 0 && sst_order(&m->v[kept - 1], &m->v[i]) == 0) {
      sst_drop(&m->v[i]);
    } else {
      m->v[kept++] = m->v[i];
    }
  }
  m->count = kept;
}

static inline void sst_model_free(sst_model *m) {
  for (size_t i = 0; i < m->count; i++) sst_drop(&m->v[i]);
  free(m->v);
  *m = (sst_model){0};
}

static inline size_t sst_model_seek(const sst_model *m, slice key, uint64_t trailer) {
  size_t low = 0, high = m->count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (entry_compare(m->v[middle].key, m->v[middle].trailer, key, trailer) < 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

enum { SHAPE_ALPHABET, SHAPE_DECIMAL, SHAPE_LONG, SHAPE_GROUPS, SHAPES };

static inline slice sst_random_key(rng *r, uint32_t shape, uint8_t *room) {
  static const uint8_t alphabet[] = {0, 1, 'a', 0xfe, 0xff};
  size_t size;
  if (shape == SHAPE_ALPHABET) { /* many are prefixes of others */
    size = 1 + rng_below(r, 9);
    for (size_t i = 0; i < size; i++) room[i] = alphabet[rng_below(r, 5)];
  } else if (shape == SHAPE_DECIMAL) {
    size = (size_t)snprintf((char *)room, 32, "%c%016u", 1, rng_below(r, 100000));
  } else if (shape == SHAPE_LONG) { /* one head for all: every search ends in a tie */
    memset(room, 'x', 300);
    size = 260 + rng_below(r, 30);
    for (int i = 0; i < 3; i++) room[255 + rng_below(r, 30)] = alphabet[rng_below(r, 5)];
  } else { /* ties within groups */
    size =
        (size_t)snprintf((char *)room, 64, "group-%03u-%s-%u", rng_below(r, 30), "0000000000000000", rng_below(r, 999));
  }
  return slice_make(room, size);
}

static inline void sst_model_fill(sst_model *m, rng *r, uint32_t shape, uint32_t count) {
  static uint8_t value[70000];
  uint8_t key[512];
  uint32_t versions_max = rng_percent(r, 30) ? 1 : rng_percent(r, 80) ? 4 : 40;
  bool plain = rng_percent(r, 20);
  for (uint32_t i = 0; i < count; i++) {
    slice k = sst_random_key(r, shape, key);
    for (uint32_t j = plain ? 1 : 1 + rng_below(r, versions_max); j > 0; j--) {
      size_t size = rng_percent(r, 1) ? rng_below(r, sizeof value) : rng_percent(r, 20) ? rng_below(r, 600) : 10;
      test_fill(r, value, MIN(size, 16));
      memset(value + 16, (int)i, size < 16 ? 0 : size - 16); /* compresses well */
      bool put = plain || rng_percent(r, 80);
      uint64_t trailer = trailer_make(plain ? 0 : rng_below(r, 100), put ? KIND_PUT : KIND_DELETE);
      sst_model_add(m, k, trailer, slice_make(value, put ? size : 0));
    }
  }
  sst_model_sort(m);
}

/* ---- a place, and tables in it ---- */

typedef struct place {
  test_allocator alloc;
  env e;
  block_cache *cache;
} place;

static inline void place_open(place *p, uint64_t cache_bytes) {
  memset(p, 0, sizeof *p);
  test_allocator_init(&p->alloc);
  p->e.alloc = &p->alloc.base;
  TEST_OK(vfs_mem_open(&p->alloc.base, &p->e.fs));
  TEST_OK(block_cache_create(&p->alloc.base, cache_bytes, &p->cache));
}

static inline void place_close(place *p) {
  cache_stats s;
  block_cache_stats(p->cache, &s);
  assert_int_equal(s.charged, 0);
  block_cache_destroy(p->cache);
  TEST_OK(vfs_close_fs(p->e.fs));
  test_allocator_check(&p->alloc);
}

typedef struct range_list {
  const range_tombstone *list;
  size_t count;
} range_list;

/* The points of m and the ranges (in order, mixed in somewhere) as file 7; returns its size. */
static inline int write_table(place *p, const sst_model *m, range_list ranges, const sst_options *o, sst_summary *s) {
  sst_writer *w;
  int rc = sst_writer_create(&p->e, 7, o, &w);
  if (rc < 0) return rc;
  size_t range = 0;
  for (size_t i = 0; i <= m->count && rc >= 0; i++) {
    while (rc >= 0 && range < ranges.count && (i == m->count || range <= i)) {
      const range_tombstone *t = &ranges.list[range++];
      rc = sst_writer_add_range(w, t->begin, t->end, t->seq);
    }
    if (rc >= 0 && i < m->count) rc = sst_writer_add(w, m->v[i].key, m->v[i].trailer, m->v[i].value);
  }
  if (rc >= 0) rc = sst_writer_finish(w, s);
  if (rc >= 0) { /* the bounds are the writer's */
    assert_int_equal(s->entries, m->count);
    s->smallest = sst_copy(s->smallest);
    s->largest = sst_copy(s->largest);
  }
  sst_writer_close(w);
  return rc;
}

static inline void free_summary(sst_summary *s) {
  free((void *)(uintptr_t)s->smallest.data);
  free((void *)(uintptr_t)s->largest.data);
}

static inline void remove_table(place *p) {
  block_cache_forget(p->cache, 7);
  TEST_OK(vfs_remove(p->e.fs, FILE_SST, 7));
}

/* ---- comparing ----
 * `may_fail`: the table is damaged: an answer is right or CORRUPT. Each returns whether all was well. */

static inline bool corrupt_or(int rc, int want, bool may_fail) {
  if (may_fail && rc == VARVE_CORRUPT) {
    assert_non_null(strstr(status_message(), "7.sst is damaged at offset"));
    return false;
  }
  if (rc != want) print_error("%s\n", rc < 0 ? status_message() : "");
  assert_string_equal(varve_status_name(rc), varve_status_name(want));
  return true;
}

static inline void expect_at(const iter *it, const sst_version *v) {
  assert_true(it->valid);
  assert_true(slice_equal(it->key, v->key));
  assert_true(it->trailer == v->trailer);
  assert_true(slice_equal(it->value, v->value));
}

static inline bool expect_get(table *t, const sst_model *m, slice key, uint64_t seq, bool may_fail) {
  size_t i = sst_model_seek(m, key, seq << 8 | 0xff);
  bool there = i < m->count && slice_equal(m->v[i].key, key);
  table_get_result g;
  int rc = table_get(t, key, key_hash(key), seq, &g);
  if (!corrupt_or(rc, there ? VARVE_OK : VARVE_NOTFOUND, may_fail)) return false;
  if (!there) {
    assert_null(g.block);
    return true;
  }
  assert_true(g.trailer == m->v[i].trailer);
  assert_true(slice_equal(g.value, m->v[i].value));
  if (g.block != NULL) pin_unref(&g.block->pin);
  return true;
}

/* The index names exactly the first block whose separator is at or after the key: earlier ones would only cost time. */
static inline void expect_index(const table *t, slice key) {
  uint32_t want = 0;
  for (; want < t->index.count; want++) {
    slice rest = sst_index_separator(&t->index, want), prefix = t->index.prefix;
    uint8_t *whole = malloc(prefix.size + rest.size + 1);
    memcpy(whole, prefix.data, prefix.size);
    memcpy(whole + prefix.size, rest.data, rest.size);
    int order = slice_compare(slice_make(whole, prefix.size + rest.size), key);
    free(whole);
    if (order >= 0) break;
  }
  assert_int_equal(sst_index_seek(&t->index, key), want);
}

static inline bool expect_scan(table *t, allocator *alloc, const sst_model *m, bool bulk, bool may_fail) {
  iter *it;
  bool well = true;
  TEST_OK(table_iter_open(t, alloc, bulk, &it));
  int rc = iter_first(it);
  for (size_t i = 0; well && i < m->count; i++) {
    well = corrupt_or(rc, VARVE_OK, may_fail);
    if (!well) break;
    expect_at(it, &m->v[i]);
    rc = iter_next(it);
  }
  if (well) well = corrupt_or(rc, VARVE_DONE, may_fail);
  assert_false(it->valid);
  bool back = true;
  rc = iter_last(it);
  for (size_t i = m->count; back && i-- > 0;) {
    back = corrupt_or(rc, VARVE_OK, may_fail);
    if (!back) break;
    expect_at(it, &m->v[i]);
    rc = iter_prev(it);
  }
  if (back) back = corrupt_or(rc, VARVE_DONE, may_fail);
  iter_close(it);
  return well && back;
}

/* A random walk of seeks and steps. */
static inline void expect_walk(table *t, allocator *alloc, const sst_model *m, bool bulk, rng *r, uint32_t shape,
                               uint32_t steps) {
  iter *it;
  uint8_t key[512];
  TEST_OK(table_iter_open(t, alloc, bulk, &it));
  int64_t at = -1; /* of the model; -1 = not positioned */
  int64_t count = (int64_t)m->count;
  while (steps-- > 0) {
    uint32_t move = at < 0 ? rng_below(r, 4) : rng_below(r, 12);
    slice k = sst_random_key(r, shape, key);
    if (count > 0 && rng_percent(r, 60)) k = m->v[rng_below(r, (uint32_t)count)].key;
    if (rng_percent(r, 2)) k = slice_make(NULL, 0); /* before everything */
    uint64_t trailer = rng_percent(r, 50) ? TRAILER_MAX : trailer_make(rng_below(r, 100), KIND_PUT);
    int rc;
    switch (move) {
      case 0:
        rc = iter_first(it), at = count > 0 ? 0 : -1;
        break;
      case 1:
        rc = iter_last(it), at = count - 1;
        break;
      case 2:
        rc = iter_seek(it, k, trailer), at = (int64_t)sst_model_seek(m, k, trailer);
        break;
      case 3:
        rc = iter_seek_before(it, k), at = (int64_t)sst_model_seek(m, k, TRAILER_MAX) - 1;
        break;
      default:
        rc = move % 2 == 0 ? iter_next(it) : iter_prev(it);
        at += move % 2 == 0 ? 1 : -1;
    }
    if (at >= count) at = -1;
    TEST_RC(rc, at >= 0 ? VARVE_OK : VARVE_DONE);
    assert_int_equal(it->valid, at >= 0);
    if (at >= 0) expect_at(it, &m->v[at]);
  }
  iter_close(it);
}

static inline void expect_summary(const table *t, const sst_summary *want, const sst_model *m) {
  sst_summary s;
  table_summary(t, &s);
  uint64_t raw = 0, tombstones = 0;
  for (size_t i = 0; i < m->count; i++) {
    raw += m->v[i].key.size + m->v[i].value.size;
    tombstones += trailer_kind(m->v[i].trailer) == KIND_DELETE;
  }
  assert_int_equal(want->entries, m->count);
  assert_int_equal(want->tombstones, tombstones);
  assert_int_equal(want->raw_bytes, raw);
  assert_int_equal(s.size, want->size);
  assert_int_equal(s.entries, want->entries);
  assert_int_equal(s.tombstones, want->tombstones);
  assert_int_equal(s.range_tombstones, want->range_tombstones);
  assert_int_equal(s.raw_bytes, want->raw_bytes);
  assert_true(s.seq_min == want->seq_min && s.seq_max == want->seq_max);
  assert_int_equal(s.largest_exclusive, want->largest_exclusive);
  assert_true(slice_equal(s.smallest, want->smallest) && slice_equal(s.largest, want->largest));
}

static inline void expect_verified(table *t, const sst_model *m) {
  uint64_t blocks, entries;
  TEST_OK(table_verify(t, &blocks, &entries));
  assert_int_equal(entries, m->count);
  assert_int_equal(blocks, t->index.count);
}

static const range_list no_ranges = {NULL, 0};

#endif
