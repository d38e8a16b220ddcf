/* block_cache_test.c: the bound, pins, forgetting, and many threads at once. */
#include "support/test.h"

#include <stdlib.h>

#include "env/sync.h"
#include "lsm/block_cache.h"

static cache_block *frame_of(block_cache *c, uint32_t size, uint64_t table, uint64_t offset) {
  cache_block *b;
  TEST_OK(cache_block_create(c, size, &b));
  assert_int_equal((uintptr_t)b->data % 64, 0);
  assert_int_equal(b->size, size);
  memset(b->data, (int)(table * 31 + offset), size);
  return b;
}

static void put(block_cache *c, uint32_t size, uint64_t table, uint64_t offset) {
  cache_block *b = frame_of(c, size, table, offset);
  block_cache_insert(c, table, offset, &b);
  pin_unref(&b->pin);
}

static bool has(block_cache *c, uint64_t table, uint64_t offset) {
  cache_block *b = block_cache_get(c, table, offset);
  if (b == NULL) return false;
  for (uint32_t i = 0; i < b->size; i++) assert_int_equal(b->data[i], (uint8_t)(table * 31 + offset));
  pin_unref(&b->pin);
  return true;
}

static uint64_t bytes_of(block_cache *c) {
  cache_stats s;
  block_cache_stats(c, &s);
  return s.bytes;
}

static void found_after_insert(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  block_cache *c;
  TEST_OK(block_cache_create(&a.base, 1 << 20, &c));
  assert_false(has(c, 1, 0));
  put(c, 1000, 1, 0);
  put(c, 1000, 1, 8);
  put(c, 1000, 2, 0);
  assert_true(has(c, 1, 0) && has(c, 1, 8) && has(c, 2, 0));
  assert_false(has(c, 2, 8));
  /* The second to come gets the first one's frame. */
  cache_block *mine = frame_of(c, 1000, 1, 0), *was = mine;
  block_cache_insert(c, 1, 0, &mine);
  assert_ptr_not_equal(mine, was);
  pin_unref(&mine->pin);
  cache_stats s;
  block_cache_stats(c, &s);
  assert_int_equal(s.hits, 3);
  assert_int_equal(s.misses, 2);
  assert_int_equal(s.evictions, 0);
  assert_int_equal(s.bytes, 3 * 1064);
  /* A frame that is never inserted is dropped by its pin. */
  pin_unref(&frame_of(c, 5000, 9, 9)->pin);
  assert_int_equal(bytes_of(c), 3 * 1064);
  block_cache_destroy(c);
  test_allocator_check(&a);
}

static void bound_is_held(void **state) {
  (void)state;
  rng r = test_rng("bound_is_held");
  test_allocator a;
  test_allocator_init(&a);
  block_cache *c;
  TEST_OK(block_cache_create(&a.base, 100000, &c));
  for (uint32_t i = 0; i < test_scale(20000); i++) {
    uint64_t table = rng_below(&r, 10), offset = rng_below(&r, 100) * 8;
    if (rng_percent(&r, 50)) {
      put(c, 1 + rng_below(&r, 3000), table, offset);
    } else {
      (void)has(c, table, offset);
    }
    if (rng_percent(&r, 1)) block_cache_forget(c, table);
    assert_true(bytes_of(c) <= 100000);
    if (rng_percent(&r, 1)) {
      block_cache_charge(c, 60000);
      assert_true(bytes_of(c) <= 40000);
      block_cache_charge(c, -60000);
    }
  }
  cache_stats s;
  block_cache_stats(c, &s);
  assert_true(s.evictions > 0 && s.hits > 0 && s.bytes > 0);
  assert_int_equal(s.charged, 0);
  /* Larger than a quarter of the bound: stays its owner's. */
  cache_block *large = frame_of(c, 50000, 77, 0);
  block_cache_insert(c, 77, 0, &large);
  assert_false(has(c, 77, 0));
  pin_unref(&large->pin);
  block_cache_destroy(c);
  test_allocator_check(&a);
}

static void pinned_blocks_stay(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  block_cache *c;
  TEST_OK(block_cache_create(&a.base, 20000, &c));
  cache_block *pinned[30];
  for (uint32_t i = 0; i < 30; i++) { /* over the bound, as all are pinned */
    pinned[i] = frame_of(c, 1000, 5, i * 8);
    block_cache_insert(c, 5, i * 8, &pinned[i]);
  }
  assert_true(bytes_of(c) > 20000);
  for (uint32_t i = 0; i < 30; i++) assert_true(has(c, 5, i * 8));
  block_cache_forget(c, 5);
  for (uint32_t i = 0; i < 30; i++) assert_false(has(c, 5, i * 8));
  for (uint32_t i = 0; i < 30; i++) { /* forgotten, but still ours */
    for (uint32_t j = 0; j < 1000; j++) assert_int_equal(pinned[i]->data[j], (uint8_t)(5 * 31 + i * 8));
    pin_unref(&pinned[i]->pin);
  }
  assert_int_equal(bytes_of(c), 0);
  block_cache_destroy(c);
  test_allocator_check(&a);
}

/* Taking some out leaves the way to all others open. */
static void forgetting_loses_nothing_else(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  block_cache *c;
  TEST_OK(block_cache_create(&a.base, 1 << 20, &c));
  for (uint64_t table = 0; table < 10; table++) {
    for (uint64_t i = 0; i < 100; i++) put(c, 20, table, i * 8);
  }
  for (uint64_t gone = 0; gone < 10; gone += 3) {
    block_cache_forget(c, gone);
    for (uint64_t table = 0; table < 10; table++) {
      for (uint64_t i = 0; i < 100; i++) assert_int_equal(has(c, table, i * 8), table % 3 != 0 || table > gone);
    }
  }
  block_cache_destroy(c);
  test_allocator_check(&a);
}

/* What is used survives a stream of blocks that are read once. */
static void used_blocks_survive_a_scan(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  block_cache *c;
  TEST_OK(block_cache_create(&a.base, 100 * 1064, &c));
  for (uint32_t i = 0; i < 50; i++) put(c, 1000, 1, i * 8);
  uint32_t lost = 0;
  for (uint32_t i = 0; i < 5000; i++) {
    put(c, 1000, 2, i * 8);
    if (!has(c, 1, i % 50 * 8)) {
      lost++;
      put(c, 1000, 1, i % 50 * 8);
    }
  }
  assert_true(lost < 500);
  block_cache_destroy(c);
  test_allocator_check(&a);
}

static void out_of_memory_only_costs(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  block_cache *c;
  for (uint64_t nth = 1; nth <= 2; nth++) {
    test_allocator_fail(&a, nth, false);
    TEST_RC(block_cache_create(&a.base, 1 << 20, &c), VARVE_NOMEM);
    assert_null(c);
  }
  test_allocator_fail(&a, 0, false);
  TEST_OK(block_cache_create(&a.base, 1 << 20, &c));
  cache_block *b[300];
  for (uint32_t i = 0; i < 300; i++) b[i] = frame_of(c, 100, 1, i * 8);
  test_allocator_fail(&a, 1, true); /* the table of slots cannot grow any more */
  for (uint32_t i = 0; i < 300; i++) block_cache_insert(c, 1, i * 8, &b[i]);
  test_allocator_fail(&a, 0, false);
  uint32_t kept = 0;
  for (uint32_t i = 0; i < 300; i++) {
    kept += has(c, 1, i * 8);
    pin_unref(&b[i]->pin);
  }
  assert_true(kept > 40 && kept < 300);
  test_allocator_fail(&a, 1, false);
  TEST_RC(cache_block_create(c, 100, &b[0]), VARVE_NOMEM);
  block_cache_destroy(c);
  test_allocator_check(&a);
}

#ifdef VARVE_THREADS
typedef struct crowd {
  block_cache *cache;
  uint64_t seed;
  uint64_t wrong;
} crowd;

static void *crowd_run(void *context) {
  crowd *me = context;
  rng r = {me->seed};
  cache_block *kept[8] = {0};
  uint64_t kept_sum[8] = {0};
  for (uint32_t i = 0; i < 20000; i++) {
    uint64_t table = rng_below(&r, 4), offset = rng_below(&r, 60) * 8;
    cache_block *b = block_cache_get(me->cache, table, offset);
    if (b == NULL) {
      if (cache_block_create(me->cache, 500, &b) < 0) break;
      memset(b->data, (int)(table * 31 + offset), b->size);
      block_cache_insert(me->cache, table, offset, &b);
    }
    uint64_t want = (uint8_t)(table * 31 + offset);
    me->wrong += b->data[0] != want || b->data[499] != want;
    uint32_t slot = rng_below(&r, 8); /* keep it for a while */
    if (kept[slot] != NULL) {
      me->wrong += kept[slot]->data[250] != kept_sum[slot];
      pin_unref(&kept[slot]->pin);
    }
    kept[slot] = b;
    kept_sum[slot] = want;
    if (rng_below(&r, 500) == 0) block_cache_forget(me->cache, table);
    if (rng_below(&r, 500) == 0) {
      block_cache_charge(me->cache, 10000);
      block_cache_charge(me->cache, -10000);
    }
  }
  for (uint32_t i = 0; i < 8; i++) {
    if (kept[i] != NULL) pin_unref(&kept[i]->pin);
  }
  return NULL;
}

static void threads_share_it(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  block_cache *c;
  TEST_OK(block_cache_create(&a.base, 40000, &c));
  enum { CROWD = 4 };
  thread threads[CROWD];
  crowd crowds[CROWD];
  for (uint32_t i = 0; i < CROWD; i++) {
    crowds[i] = (crowd){c, test_seed() + i, 0};
    TEST_OK(thread_start(&threads[i], crowd_run, &crowds[i]));
  }
  for (uint32_t i = 0; i < CROWD; i++) {
    thread_join(&threads[i]);
    assert_int_equal(crowds[i].wrong, 0);
  }
  put(c, 500, 9, 9);
  assert_true(bytes_of(c) <= 40000 + 564);
  block_cache_destroy(c);
  test_allocator_check(&a);
}
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(found_after_insert),         cmocka_unit_test(bound_is_held),
      cmocka_unit_test(pinned_blocks_stay),         cmocka_unit_test(forgetting_loses_nothing_else),
      cmocka_unit_test(used_blocks_survive_a_scan), cmocka_unit_test(out_of_memory_only_costs),
#ifdef VARVE_THREADS
      cmocka_unit_test(threads_share_it),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
