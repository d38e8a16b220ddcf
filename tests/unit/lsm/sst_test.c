/* sst_test.c: tables against sorted arrays in every way that they can be read; failures of memory; many threads. */
#include "sst_model.h"

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
      assert_int_equal(stats.charged, t->memory);
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
      cmocka_unit_test(blocks_have_their_size),      cmocka_unit_test(out_of_memory_leaks_nothing),
#ifdef VARVE_THREADS
      cmocka_unit_test(threads_read_together),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
