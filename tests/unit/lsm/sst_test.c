/* sst_test.c: tables against sorted arrays in every way that they can be read, and damaged tables, which must give the
 * same answers or CORRUPT. */
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

static slice sst_copy(slice s) {
  uint8_t *data = malloc(s.size + 1);
  if (s.size > 0) memcpy(data, s.data, s.size);
  return slice_make(data, s.size);
}

static void sst_drop(sst_version *v) {
  free((void *)(uintptr_t)v->key.data);
  free((void *)(uintptr_t)v->value.data);
}

static void sst_model_add(sst_model *m, slice key, uint64_t trailer, slice value) {
  if (m->count == m->capacity) {
    m->capacity = m->capacity * 2 + 16;
    m->v = realloc(m->v, m->capacity * sizeof *m->v);
  }
  m->v[m->count++] = (sst_version){sst_copy(key), sst_copy(value), trailer};
}

static int sst_order(const void *a, const void *b) {
  const sst_version *x = a, *y = b;
  return entry_compare(x->key, x->trailer, y->key, y->trailer);
}

static void sst_model_sort(sst_model *m) {
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

static void sst_model_free(sst_model *m) {
  for (size_t i = 0; i < m->count; i++) sst_drop(&m->v[i]);
  free(m->v);
  *m = (sst_model){0};
}

static size_t sst_model_seek(const sst_model *m, slice key, uint64_t trailer) {
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

static slice sst_random_key(rng *r, uint32_t shape, uint8_t *room) {
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

static void sst_model_fill(sst_model *m, rng *r, uint32_t shape, uint32_t count) {
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

static void place_open(place *p, uint64_t cache_bytes) {
  memset(p, 0, sizeof *p);
  test_allocator_init(&p->alloc);
  p->e.alloc = &p->alloc.base;
  TEST_OK(vfs_mem_open(&p->alloc.base, &p->e.fs));
  TEST_OK(block_cache_create(&p->alloc.base, cache_bytes, &p->cache));
}

static void place_close(place *p) {
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
static int write_table(place *p, const sst_model *m, range_list ranges, const sst_options *o, sst_summary *s) {
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
  if (rc >= 0) {
    assert_int_equal(sst_writer_entries(w), m->count);
    rc = sst_writer_finish(w, s);
  }
  if (rc >= 0) { /* the bounds are the writer's */
    s->smallest = sst_copy(s->smallest);
    s->largest = sst_copy(s->largest);
  }
  sst_writer_close(w);
  return rc;
}

static void free_summary(sst_summary *s) {
  free((void *)(uintptr_t)s->smallest.data);
  free((void *)(uintptr_t)s->largest.data);
}

static void remove_table(place *p) {
  block_cache_forget(p->cache, 7);
  TEST_OK(vfs_remove(p->e.fs, FILE_SST, 7));
}

/* ---- comparing ----
 * `may_fail`: the table is damaged: an answer is right or CORRUPT. Each returns whether all was well. */

static bool corrupt_or(int rc, int want, bool may_fail) {
  if (may_fail && rc == VARVE_CORRUPT) {
    assert_non_null(strstr(status_message(), "7.sst is damaged at offset"));
    return false;
  }
  if (rc != want) print_error("%s\n", rc < 0 ? status_message() : "");
  assert_string_equal(varve_status_name(rc), varve_status_name(want));
  return true;
}

static void expect_at(const iter *it, const sst_version *v) {
  assert_true(it->valid);
  assert_true(slice_equal(it->key, v->key));
  assert_true(it->trailer == v->trailer);
  assert_true(slice_equal(it->value, v->value));
}

static bool expect_get(table *t, const sst_model *m, slice key, uint64_t seq, bool may_fail) {
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
static void expect_index(const table *t, slice key) {
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

static bool expect_scan(table *t, allocator *alloc, const sst_model *m, bool bulk, bool may_fail) {
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
static void expect_walk(table *t, allocator *alloc, const sst_model *m, bool bulk, rng *r, uint32_t shape,
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

static void expect_summary(const table *t, const sst_summary *want, const sst_model *m) {
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

static void expect_verified(table *t, const sst_model *m) {
  uint64_t blocks, entries;
  TEST_OK(table_verify(t, &blocks, &entries));
  assert_int_equal(entries, m->count);
  assert_int_equal(blocks, t->index.count);
}

static const range_list no_ranges = {NULL, 0};

/* ---- tests ---- */

static void random_tables_match(void **state) {
  (void)state;
  rng r = test_rng("random_tables_match");
  for (uint32_t round = 0; round < test_scale(48); round++) {
    place p;
    place_open(&p, rng_percent(&r, 50) ? 8000 : 1 << 20);
    sst_model m = {0};
    uint32_t shape = round % SHAPES;
    sst_model_fill(&m, &r, shape, 1 + rng_below(&r, 600));
    sst_options o = {rng_percent(&r, 50) ? 256 : 64 + rng_below(&r, 8000), 1 + rng_below(&r, 20), round / 4 % 2 == 0};
    sst_summary s;
    TEST_OK(write_table(&p, &m, no_ranges, &o, &s));
    for (int map = 0; map < 2; map++) {
      table *t;
      TEST_OK(table_open(&p.e, p.cache, 7, s.size, map != 0, &t));
      assert_int_equal(table_mapped(t), map);
      assert_null(table_range_set(t));
      expect_summary(t, &s, &m);
      cache_stats stats;
      block_cache_stats(p.cache, &stats);
      assert_int_equal(stats.charged, table_memory(t));
      for (size_t i = 0; i < m.count; i++) {
        assert_true(expect_get(t, &m, m.v[i].key, trailer_seq(m.v[i].trailer), false));
        if (i % 16 == 0) expect_index(t, m.v[i].key);
        if (i % 4 == 0) assert_true(expect_get(t, &m, m.v[i].key, SEQ_MAX, false));
        if (i % 4 == 1) assert_true(expect_get(t, &m, m.v[i].key, rng_below(&r, 100), false));
      }
      uint8_t key[512];
      for (int i = 0; i < 200; i++) assert_true(expect_get(t, &m, sst_random_key(&r, shape, key), SEQ_MAX, false));
      for (int bulk = 0; bulk < 2; bulk++) {
        assert_true(expect_scan(t, p.e.alloc, &m, bulk != 0, false));
        expect_walk(t, p.e.alloc, &m, bulk != 0, &r, shape, 1000);
      }
      expect_verified(t, &m);
      table_close(t);
    }
    free_summary(&s);
    sst_model_free(&m);
    remove_table(&p);
    place_close(&p);
  }
}

/* Versions of one key over many blocks: each snapshot finds its own. */
static void versions_span_blocks(void **state) {
  (void)state;
  place p;
  place_open(&p, 1 << 20);
  sst_model m = {0};
  sst_model_add(&m, slice_make("a", 1), trailer_make(5, KIND_PUT), slice_make("first", 5));
  for (uint64_t seq = 1; seq <= 500; seq++) {
    sst_model_add(&m, slice_make("hot", 3), trailer_make(seq * 2, seq % 7 == 0 ? KIND_DELETE : KIND_PUT),
                  slice_make("0123456789", seq % 7 == 0 ? 0 : 10));
  }
  sst_model_add(&m, slice_make("z", 1), trailer_make(5, KIND_PUT), slice_make("last", 4));
  sst_model_sort(&m);
  sst_options o = {256, 10, false};
  sst_summary s;
  TEST_OK(write_table(&p, &m, no_ranges, &o, &s));
  for (int map = 0; map < 2; map++) {
    table *t;
    TEST_OK(table_open(&p.e, p.cache, 7, s.size, map != 0, &t));
    assert_true(t->index.count > 20);
    for (uint64_t seq = 0; seq <= 1001; seq++) assert_true(expect_get(t, &m, slice_make("hot", 3), seq, false));
    assert_true(expect_get(t, &m, slice_make("a", 1), SEQ_MAX, false));
    assert_true(expect_get(t, &m, slice_make("z", 1), SEQ_MAX, false));
    assert_true(expect_scan(t, p.e.alloc, &m, false, false));
    rng r = test_rng("versions_span_blocks");
    expect_walk(t, p.e.alloc, &m, map != 0, &r, SHAPE_ALPHABET, 2000);
    expect_verified(t, &m);
    table_close(t);
  }
  free_summary(&s);
  sst_model_free(&m);
  place_close(&p);
}

static void range_tombstones_and_bounds(void **state) {
  (void)state;
  place p;
  place_open(&p, 1 << 20);
  const range_tombstone list[] = {
      {slice_make("b", 1), slice_make("d", 1), 90},
      {slice_make("b", 1), slice_make("d", 1), 20},
      {slice_make("d", 1), slice_make("m", 1), 7},
  };
  static const struct {
    const char *keys[3];
    const char *smallest, *largest;
    bool exclusive;
  } cases[] = {
      {{NULL}, "b", "m", true},
      {{"a", NULL}, "a", "m", true},
      {{"c", "m", NULL}, "b", "m", false},
      {{"c", "x", NULL}, "b", "x", false},
      {{"a", "lzz", NULL}, "a", "m", true},
  };
  for (size_t i = 0; i < COUNT_OF(cases); i++) {
    sst_model m = {0};
    for (size_t j = 0; cases[i].keys[j] != NULL; j++) {
      sst_model_add(&m, slice_make(cases[i].keys[j], strlen(cases[i].keys[j])), trailer_make(50, KIND_PUT),
                    slice_make("v", 1));
    }
    sst_options o = {256, 10, true};
    sst_summary s;
    TEST_OK(write_table(&p, &m, (range_list){list, COUNT_OF(list)}, &o, &s));
    assert_int_equal(s.range_tombstones, 3);
    assert_true(s.seq_min == 7 && s.seq_max == 90);
    assert_true(slice_equal(s.smallest, slice_make(cases[i].smallest, strlen(cases[i].smallest))));
    assert_true(slice_equal(s.largest, slice_make(cases[i].largest, strlen(cases[i].largest))));
    assert_int_equal(s.largest_exclusive, cases[i].exclusive);
    for (int map = 0; map < 2; map++) {
      table *t;
      TEST_OK(table_open(&p.e, p.cache, 7, s.size, map != 0, &t));
      expect_summary(t, &s, &m);
      const rangedel_set *set = table_range_set(t);
      assert_non_null(set);
      assert_int_equal(set->count, 3);
      const range_tombstone *f = rangedel_find(set, slice_make("c", 1), 50);
      assert_non_null(f);
      assert_int_equal(f->seq, 20);
      assert_null(rangedel_find(set, slice_make("m", 1), SEQ_MAX));
      assert_true(expect_scan(t, p.e.alloc, &m, false, false));
      assert_true(expect_get(t, &m, slice_make("c", 1), SEQ_MAX, false));
      expect_verified(t, &m);
      table_close(t);
    }
    free_summary(&s);
    sst_model_free(&m);
    remove_table(&p);
  }
  place_close(&p);
}

static void huge_keys_and_values(void **state) {
  (void)state;
  rng r = test_rng("huge_keys_and_values");
  place p;
  place_open(&p, 4 << 20);
  sst_model m = {0};
  size_t huge = 3 << 20;
  uint8_t *value = malloc(huge), *key = malloc(INNER_KEY_MAX);
  test_fill(&r, value, huge);
  memset(key, 'k', INNER_KEY_MAX);
  for (uint8_t i = 0; i < 20; i++) {
    for (size_t at = INNER_KEY_MAX - 300; at < INNER_KEY_MAX; at++) key[at] = (uint8_t)(i * 3);
    sst_model_add(&m, slice_make(key, i % 3 == 0 ? INNER_KEY_MAX : INNER_KEY_MAX - 250), trailer_make(i, KIND_PUT),
                  slice_make(value, i % 7 == 0 ? huge - i : i * 100u));
    sst_model_add(&m, slice_make(&i, 1), trailer_make(i, KIND_PUT), slice_make(value + i, i % 5 == 0 ? 100000 : 50));
  }
  sst_model_sort(&m);
  for (int compress = 0; compress < 2; compress++) {
    memset(value, 0, compress ? huge : 0);
    sst_options o = {4096, 10, compress != 0};
    sst_summary s;
    TEST_OK(write_table(&p, &m, no_ranges, &o, &s));
    for (int map = 0; map < 2; map++) {
      table *t;
      TEST_OK(table_open(&p.e, p.cache, 7, s.size, map != 0, &t));
      for (size_t i = 0; i < m.count; i++) assert_true(expect_get(t, &m, m.v[i].key, SEQ_MAX, false));
      for (int bulk = 0; bulk < 2; bulk++) {
        assert_true(expect_scan(t, p.e.alloc, &m, bulk != 0, false));
        expect_walk(t, p.e.alloc, &m, bulk != 0, &r, SHAPE_ALPHABET, 100);
      }
      expect_verified(t, &m);
      table_close(t);
    }
    free_summary(&s);
    remove_table(&p);
  }
  free(value);
  free(key);
  sst_model_free(&m);
  place_close(&p);
}

static void an_empty_table_is_one(void **state) {
  (void)state;
  place p;
  place_open(&p, 1 << 20);
  sst_model m = {0};
  sst_options o = {4096, 10, true};
  sst_summary s;
  TEST_OK(write_table(&p, &m, no_ranges, &o, &s));
  for (int map = 0; map < 2; map++) {
    table *t;
    TEST_OK(table_open(&p.e, p.cache, 7, s.size, map != 0, &t));
    assert_true(expect_get(t, &m, slice_make("k", 1), SEQ_MAX, false));
    rng r = test_rng("an_empty_table_is_one");
    expect_walk(t, p.e.alloc, &m, false, &r, SHAPE_ALPHABET, 50);
    expect_walk(t, p.e.alloc, &m, true, &r, SHAPE_ALPHABET, 50);
    expect_verified(t, &m);
    table_close(t);
  }
  free_summary(&s);
  place_close(&p);
}

static void disorder_is_refused(void **state) {
  (void)state;
  place p;
  place_open(&p, 1 << 20);
  sst_options o = {4096, 10, false};
  for (int i = 0; i < 3; i++) {
    sst_writer *w;
    sst_summary s;
    TEST_OK(sst_writer_create(&p.e, 7, &o, &w));
    TEST_OK(sst_writer_add(w, slice_make("b", 1), trailer_make(5, KIND_PUT), slice_make("", 0)));
    slice key = i == 0 ? slice_make("a", 1) : slice_make("b", 1);
    TEST_RC(sst_writer_add(w, key, trailer_make(i == 1 ? 5 : 6, KIND_PUT), slice_make("", 0)), VARVE_CORRUPT);
    TEST_RC(sst_writer_add(w, slice_make("c", 1), trailer_make(5, KIND_PUT), slice_make("", 0)), VARVE_CORRUPT);
    TEST_RC(sst_writer_finish(w, &s), VARVE_CORRUPT);
    sst_writer_close(w);
    vfs_file *file;
    TEST_RC(vfs_open(p.e.fs, FILE_SST, 7, 0, &file), VARVE_MISSING); /* nothing is left behind */
  }
  place_close(&p);
}

/* Sizes: cut near the target, never far over it; the writer's own estimate near the truth. */
static void blocks_have_their_size(void **state) {
  (void)state;
  place p;
  place_open(&p, 1 << 20);
  sst_model m = {0};
  uint8_t value[100] = {0};
  for (uint32_t i = 0; i < 5000; i++) {
    char key[32];
    slice k = slice_make(key, (size_t)snprintf(key, sizeof key, "%016u", i));
    sst_model_add(&m, k, trailer_make(0, KIND_PUT), slice_make(value, sizeof value));
  }
  sst_options o = {4096, 10, false};
  sst_summary s;
  TEST_OK(write_table(&p, &m, no_ranges, &o, &s));
  assert_true(s.size < 5000 * 116);
  table *t;
  TEST_OK(table_open(&p.e, p.cache, 7, s.size, true, &t));
  for (uint32_t i = 0; i + 1 < t->index.count; i++) {
    uint64_t size = table_block_extent(t, i).size;
    assert_true(size <= 4096 && size > 4096 - 130);
  }
  table_close(t);
  free_summary(&s);
  sst_model_free(&m);
  place_close(&p);
}

/* ---- damage ---- */

typedef struct damaged {
  place p;
  sst_model m;
  range_list ranges;
  uint8_t *bytes;
  size_t size;
} damaged;

static void damaged_put(damaged *d, const uint8_t *bytes, size_t size) {
  vfs_file *file;
  TEST_OK(vfs_open(d->p.e.fs, FILE_SST, 7, VFS_CREATE, &file));
  if (size > 0) TEST_OK(vfs_write_at(file, 0, bytes, size));
  TEST_OK(vfs_close(file));
}

static void damaged_take(damaged *d, uint64_t size) {
  vfs_file *file;
  d->size = (size_t)size;
  d->bytes = malloc(d->size);
  TEST_OK(vfs_open(d->p.e.fs, FILE_SST, 7, 0, &file));
  TEST_OK(vfs_read_exact(file, 0, d->bytes, d->size));
  TEST_OK(vfs_close(file));
}

/* Everything that can be asked of the table: answers are right or CORRUPT. Returns whether all of it passed. */
static bool damaged_ask(damaged *d, uint64_t size, bool map) {
  table *t;
  int rc = table_open(&d->p.e, d->p.cache, 7, size, map, &t);
  if (!corrupt_or(rc, VARVE_OK, true)) {
    assert_null(t);
    return false;
  }
  bool well = true;
  for (size_t i = 0; i < d->m.count; i++) {
    well &= expect_get(t, &d->m, d->m.v[i].key, trailer_seq(d->m.v[i].trailer), true);
  }
  well &= expect_get(t, &d->m, slice_make("nothing", 7), SEQ_MAX, true);
  well &= expect_scan(t, d->p.e.alloc, &d->m, false, true);
  well &= expect_scan(t, d->p.e.alloc, &d->m, true, true);
  const rangedel_set *set = table_range_set(t);
  assert_int_equal(set == NULL ? 0 : set->count, d->ranges.count);
  for (size_t i = 0; i < d->ranges.count; i++) assert_int_equal(set->fragments[i].seq, d->ranges.list[i].seq);
  uint64_t blocks, entries;
  well &= corrupt_or(table_verify(t, &blocks, &entries), VARVE_OK, true);
  table_close(t);
  block_cache_forget(d->p.cache, 7);
  return well;
}

static void damaged_open(damaged *d, rng *r, bool compress) {
  static const range_tombstone list[] = {{{"b", 1}, {"d", 1}, 90}, {{"d", 1}, {"m", 1}, 7}};
  memset(d, 0, sizeof *d);
  place_open(&d->p, 1 << 20);
  d->ranges = (range_list){list, COUNT_OF(list)};
  for (uint32_t i = 0; i < 24; i++) {
    char key[32], value[64];
    slice k = slice_make(key, (size_t)snprintf(key, sizeof key, "key-%03u", i / 2));
    memset(value, 'v', sizeof value);
    sst_model_add(&d->m, k, trailer_make(1 + rng_below(r, 60), i % 5 == 0 ? KIND_DELETE : KIND_PUT),
                  slice_make(value, i % 5 == 0 ? 0 : rng_below(r, sizeof value)));
  }
  sst_model_sort(&d->m);
  sst_options o = {compress ? 512 : 256, 10, compress};
  sst_summary s;
  TEST_OK(write_table(&d->p, &d->m, d->ranges, &o, &s));
  damaged_take(d, s.size);
  free_summary(&s);
  assert_true(damaged_ask(d, d->size, true) && damaged_ask(d, d->size, false));
  remove_table(&d->p);
}

static void damaged_close(damaged *d) {
  free(d->bytes);
  sst_model_free(&d->m);
  place_close(&d->p);
}

static void every_flipped_byte_is_noticed(void **state) {
  (void)state;
  rng r = test_rng("every_flipped_byte_is_noticed");
  for (int compress = 0; compress < 2; compress++) {
    damaged d;
    damaged_open(&d, &r, compress != 0);
    for (size_t i = 0; i < d.size; i++) {
      uint8_t was = d.bytes[i];
      for (int kind = 0; kind < 3; kind++) {
        uint32_t flip = kind == 0 ? 1u << rng_below(&r, 8) : kind == 1 ? 0xff : was ^ (was + 1u);
        d.bytes[i] = (uint8_t)(was ^ flip);
        damaged_put(&d, d.bytes, d.size);
        for (int map = 0; map < 2; map++) {
          if (damaged_ask(&d, d.size, map != 0)) fail_msg("byte %zu of %zu may be %02x", i, d.size, d.bytes[i]);
        }
        remove_table(&d.p);
      }
      d.bytes[i] = was;
    }
    damaged_close(&d);
  }
}

static void every_cut_is_noticed(void **state) {
  (void)state;
  rng r = test_rng("every_cut_is_noticed");
  damaged d;
  damaged_open(&d, &r, true);
  for (size_t cut = 0; cut < d.size; cut++) {
    damaged_put(&d, d.bytes, cut);
    for (int map = 0; map < 2; map++) {
      assert_false(damaged_ask(&d, d.size, map != 0)); /* as the manifest says it should be */
      assert_false(damaged_ask(&d, cut, map != 0));    /* as the file is */
    }
    remove_table(&d.p);
  }
  uint8_t *longer = calloc(1, d.size + 8);
  memcpy(longer, d.bytes, d.size);
  damaged_put(&d, longer, d.size + 8);
  assert_false(damaged_ask(&d, d.size, true));
  assert_false(damaged_ask(&d, d.size + 8, true));
  free(longer);
  remove_table(&d.p);
  damaged_close(&d);
}

/* Damage behind checksums that were made right again: nothing may be read outside, answers may be anything. */
static void crafted_sections_are_survived(void **state) {
  (void)state;
  rng r = test_rng("crafted_sections_are_survived");
  damaged d;
  damaged_open(&d, &r, false);
  sst_footer f;
  TEST_OK(sst_footer_get(d.bytes + d.size - SST_FOOTER_BYTES, 7, d.size, &f));
  for (uint32_t round = test_scale(4000); round > 0; round--) {
    uint8_t *bytes = malloc(d.size);
    memcpy(bytes, d.bytes, d.size);
    uint32_t part = rng_below(&r, SST_PARTS + 1);
    sst_extent e = part < SST_PARTS ? f.part[part] : (sst_extent){d.size - SST_FOOTER_BYTES, SST_FOOTER_BYTES};
    if (part == SST_FILTER)
      e = (sst_extent){
          0, sst_index_offset(
                 &(sst_index){.offsets =
                                  (const uint32_t *)(const void *)(d.bytes + f.part[SST_INDEX].offset + 8 +
                                                                   8 * get_u32(d.bytes + f.part[SST_INDEX].offset))},
                 1)};
    uint32_t end = (uint32_t)e.size - 4;
    for (uint32_t n = 1 + rng_below(&r, 3); n > 0; n--)
      bytes[e.offset + rng_below(&r, rng_percent(&r, 50) ? MIN(end, 40) : end)] = (uint8_t)rng_next(&r);
    put_u32(bytes + e.offset + end, sst_checksum(bytes + e.offset, end, 7, e.offset));
    damaged_put(&d, bytes, d.size);
    free(bytes);
    for (int map = 0; map < 2; map++) {
      table *t;
      int rc = table_open(&d.p.e, d.p.cache, 7, d.size, map != 0, &t);
      assert_true(rc == VARVE_OK || rc == VARVE_CORRUPT || rc == VARVE_NEWER_FORMAT);
      if (rc < 0) continue;
      for (size_t i = 0; i < d.m.count; i++) {
        table_get_result g;
        rc = table_get(t, d.m.v[i].key, key_hash(d.m.v[i].key), SEQ_MAX, &g);
        assert_true(rc == VARVE_OK || rc == VARVE_NOTFOUND || rc == VARVE_CORRUPT);
        if (rc != VARVE_OK) continue;
        volatile uint64_t sum = xxh64(g.value.data, g.value.size, 0);
        (void)sum;
        if (g.block != NULL) pin_unref(&g.block->pin);
      }
      for (int bulk = 0; bulk < 2; bulk++) {
        iter *it;
        TEST_OK(table_iter_open(t, d.p.e.alloc, bulk != 0, &it));
        rc = iter_first(it);
        while (rc == VARVE_OK) {
          assert_true(it->key.size > 0 && it->key.size <= INNER_KEY_MAX && trailer_kind(it->trailer) <= KIND_PUT);
          rc = iter_next(it);
        }
        assert_true(rc == VARVE_DONE || rc == VARVE_CORRUPT);
        rc = iter_last(it);
        while (rc == VARVE_OK) rc = iter_prev(it);
        (void)iter_seek_before(it, slice_make("key-005", 7));
        iter_close(it);
      }
      uint64_t blocks, entries;
      (void)table_verify(t, &blocks, &entries);
      table_close(t);
    }
    remove_table(&d.p);
  }
  damaged_close(&d);
}

/* The properties are compared with what the table holds, each of them. */
static void wrong_properties_are_found(void **state) {
  (void)state;
  rng r = test_rng("wrong_properties_are_found");
  damaged d;
  damaged_open(&d, &r, false);
  sst_footer f;
  TEST_OK(sst_footer_get(d.bytes + d.size - SST_FOOTER_BYTES, 7, d.size, &f));
  sst_extent e = f.part[SST_PROPERTIES];
  uint8_t *section = d.bytes + e.offset;
  uint32_t found = 0;
  for (size_t at = 0;
       section[at] > 0 && section[at] < 10;) { /* all but the filter's bits: their count decides nothing */
    uint8_t tag = section[at];
    size_t last = at + 1 + section[at + 1]; /* the last byte of a number, or of a key */
    section[last] ^= 1;
    put_u32(section + e.size - 4, sst_checksum(section, (size_t)e.size - 4, 7, e.offset));
    damaged_put(&d, d.bytes, d.size);
    table *t;
    uint64_t blocks, entries;
    int rc = table_open(&d.p.e, d.p.cache, 7, d.size, true, &t);
    if (rc == VARVE_OK) {
      rc = table_verify(t, &blocks, &entries);
      table_close(t);
    }
    if (rc != VARVE_CORRUPT) fail_msg("property %u may be wrong", tag);
    remove_table(&d.p);
    section[last] ^= 1;
    at = last + 1;
    found++;
  }
  assert_int_equal(found, 9);
  damaged_close(&d);
}

/* A few bytes that claim to inflate to a gigabyte are refused before memory is asked for. */
static void a_bomb_is_refused(void **state) {
  (void)state;
  buf out;
  test_allocator a;
  test_allocator_init(&a);
  buf_init(&out, &a.base);
  TEST_OK(buf_append_u32(&out, 1u << 30));
  TEST_OK(buf_append_zeros(&out, 100));
  TEST_OK(sst_section_end(&out, 0, SST_CODEC_LZ4, 7, 4096));
  sst_section s;
  TEST_RC(sst_section_open(out.data, out.size, 7, 4096, &s), VARVE_CORRUPT);
  assert_non_null(strstr(status_message(), "7.sst is damaged at offset 4096: a compressed section claims"));
  buf_free(&out);
  test_allocator_check(&a);
}

static void a_newer_format_is_named(void **state) {
  (void)state;
  rng r = test_rng("a_newer_format_is_named");
  damaged d;
  damaged_open(&d, &r, false);
  uint8_t *footer = d.bytes + d.size - SST_FOOTER_BYTES;
  put_u32(footer + 8, 2);
  put_u32(footer + 124, sst_checksum(footer, 124, 7, d.size - SST_FOOTER_BYTES));
  damaged_put(&d, d.bytes, d.size);
  table *t;
  TEST_RC(table_open(&d.p.e, d.p.cache, 7, d.size, true, &t), VARVE_NEWER_FORMAT);
  TEST_RC(table_open(&d.p.e, d.p.cache, 8, d.size, true, &t), VARVE_MISSING);
  /* An intact table under another number. */
  put_u32(footer + 8, 1);
  put_u32(footer + 124, sst_checksum(footer, 124, 7, d.size - SST_FOOTER_BYTES));
  vfs_file *file;
  TEST_OK(vfs_open(d.p.e.fs, FILE_SST, 9, VFS_CREATE, &file));
  TEST_OK(vfs_write_at(file, 0, d.bytes, d.size));
  TEST_OK(vfs_close(file));
  TEST_RC(table_open(&d.p.e, d.p.cache, 9, d.size, true, &t), VARVE_CORRUPT);
  assert_non_null(strstr(status_message(), "another table"));
  damaged_close(&d);
}

/* ---- memory ---- */

static void out_of_memory_leaks_nothing(void **state) {
  (void)state;
  rng r = test_rng("out_of_memory_leaks_nothing");
  place p;
  place_open(&p, 1 << 20);
  sst_model m = {0};
  sst_model_fill(&m, &r, SHAPE_ALPHABET, 100);
  const range_tombstone list[] = {{slice_make("b", 1), slice_make("d", 1), 90}};
  sst_options o = {256, 10, true};
  sst_summary s = {0};
  for (uint64_t nth = 1;; nth++) {
    test_allocator_fail(&p.alloc, nth, false);
    int rc = write_table(&p, &m, (range_list){list, 1}, &o, &s);
    test_allocator_fail(&p.alloc, 0, false);
    if (rc == VARVE_OK) break;
    assert_true(rc == VARVE_NOMEM || rc == VARVE_FULL); /* files in memory are full when memory is */
  }
  for (int map = 0; map < 2; map++) {
    for (uint64_t nth = 1;; nth++) {
      table *t = NULL;
      iter *it = NULL;
      table_get_result g = {0};
      uint64_t failures = atomic_load(&p.alloc.failures);
      test_allocator_fail(&p.alloc, nth, false);
      int rc = table_open(&p.e, p.cache, 7, s.size, map != 0, &t);
      if (rc >= 0) rc = table_get(t, m.v[0].key, key_hash(m.v[0].key), SEQ_MAX, &g);
      if (rc >= 0) rc = table_iter_open(t, p.e.alloc, nth % 2 == 0, &it);
      if (rc >= 0) rc = iter_first(it);
      while (rc == VARVE_OK) rc = iter_next(it);
      bool failed = atomic_load(&p.alloc.failures) > failures;
      test_allocator_fail(&p.alloc, 0, false);
      assert_true(rc == VARVE_DONE || rc == VARVE_NOMEM);
      if (g.block != NULL) pin_unref(&g.block->pin);
      iter_close(it);
      table_close(t);
      block_cache_forget(p.cache, 7);
      if (!failed) break;
    }
  }
  free_summary(&s);
  sst_model_free(&m);
  place_close(&p);
}

/* ---- threads ---- */

#ifdef VARVE_THREADS
#include "env/sync.h"

typedef struct reading {
  table *t;
  const sst_model *m;
  allocator *alloc;
  uint64_t seed;
  uint64_t wrong;
} reading;

static void *reading_run(void *context) {
  reading *me = context;
  rng r = {me->seed};
  iter *it;
  if (table_iter_open(me->t, me->alloc, false, &it) < 0) return NULL;
  for (uint32_t i = 0; i < 3000; i++) {
    const sst_version *v = &me->m->v[rng_below(&r, (uint32_t)me->m->count)];
    table_get_result g;
    int rc = table_get(me->t, v->key, key_hash(v->key), trailer_seq(v->trailer), &g);
    if (rc == VARVE_OK) {
      me->wrong += trailer_seq(g.trailer) != trailer_seq(v->trailer);
      if (g.block != NULL) pin_unref(&g.block->pin);
    } else {
      me->wrong++;
    }
    rc = iter_seek(it, v->key, v->trailer);
    me->wrong += rc != VARVE_OK || !slice_equal(it->value, v->value);
  }
  iter_close(it);
  return NULL;
}

static void threads_read_together(void **state) {
  (void)state;
  rng r = test_rng("threads_read_together");
  for (int mode = 0; mode < 4; mode++) {
    place p;
    place_open(&p, 20000);
    sst_model m = {0};
    sst_model_fill(&m, &r, SHAPE_DECIMAL, 1000);
    sst_options o = {1024, 10, (mode & 1) != 0};
    sst_summary s;
    TEST_OK(write_table(&p, &m, no_ranges, &o, &s));
    table *t;
    TEST_OK(table_open(&p.e, p.cache, 7, s.size, (mode & 2) != 0, &t));
    enum { READERS = 3 };
    thread threads[READERS];
    reading readings[READERS];
    for (uint32_t i = 0; i < READERS; i++) {
      readings[i] = (reading){t, &m, p.e.alloc, rng_next(&r), 0};
      TEST_OK(thread_start(&threads[i], reading_run, &readings[i]));
    }
    for (uint32_t i = 0; i < READERS; i++) {
      thread_join(&threads[i]);
      assert_int_equal(readings[i].wrong, 0);
    }
    table_close(t);
    free_summary(&s);
    sst_model_free(&m);
    place_close(&p);
  }
}
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_tables_match),         cmocka_unit_test(versions_span_blocks),
      cmocka_unit_test(range_tombstones_and_bounds), cmocka_unit_test(huge_keys_and_values),
      cmocka_unit_test(an_empty_table_is_one),       cmocka_unit_test(disorder_is_refused),
      cmocka_unit_test(blocks_have_their_size),      cmocka_unit_test(every_flipped_byte_is_noticed),
      cmocka_unit_test(every_cut_is_noticed),        cmocka_unit_test(crafted_sections_are_survived),
      cmocka_unit_test(wrong_properties_are_found),  cmocka_unit_test(a_bomb_is_refused),
      cmocka_unit_test(a_newer_format_is_named),     cmocka_unit_test(out_of_memory_leaks_nothing),
#ifdef VARVE_THREADS
      cmocka_unit_test(threads_read_together),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
