/* memtable_memory_test.c: the promise of a reservation in the worst orders of keys, its failures, and how much memory
 * an entry takes. */
#include "support/test.h"

#include "lsm/memtable_int.h"

static slice text(const char *s) {
  return slice_make(s, strlen(s));
}

static void add(memtable *mt, uint64_t seq, entry_kind kind, slice key, slice value) {
  TEST_OK(memtable_reserve(mt, key.size + value.size, 1));
  memtable_add(mt, seq, kind, key, value);
}

/* The worst order for splits: leaves that are full, then one key into each of them. */
static void one_key_into_each_full_leaf(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  memtable *mt;
  TEST_OK(memtable_create(&a.base, &mt));
  enum { COUNT = 4000 * BTREE_FANOUT }; /* so that the new leaves take more than a chunk */
  uint64_t seq = 1;
  for (uint32_t round = 0; round < 3; round++) {
    uint32_t step = round == 0 ? 1 : BTREE_FANOUT / 2;
    TEST_OK(memtable_reserve(mt, (size_t)COUNT / step * 5, COUNT / step));
    test_allocator_fail(&a, 1, true);
    for (uint32_t i = 0; i < COUNT; i += step) {
      uint8_t key[5] = {(uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i, (uint8_t)round};
      memtable_add(mt, seq++, KIND_PUT, slice_make(key, round == 0 ? 4 : 5), slice_make(NULL, 0));
    }
    test_allocator_fail(&a, 0, false);
    if (round == 0) assert_int_equal(mt->leaves, COUNT / BTREE_FANOUT); /* ascending keys fill their leaves */
  }
  assert_int_equal(mt->slots, seq - 1);
  pin_unref(memtable_pin(mt));
  test_allocator_check(&a);
}

/* Always at the end of a full leaf, but not ascending: that must not make a leaf for each key. */
static void keys_before_the_edge_do_not_waste_leaves(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  memtable *mt;
  TEST_OK(memtable_create(&a.base, &mt));
  uint64_t seq = 1;
  for (uint32_t i = 0; i < 4 * BTREE_FANOUT; i++) {
    uint8_t key[2] = {(uint8_t)(i >> 8), (uint8_t)i};
    add(mt, seq++, KIND_PUT, slice_make(key, 2), text(""));
  }
  for (uint32_t i = 2000; i > 0; i--) {
    uint8_t key[4] = {0, BTREE_FANOUT - 1, (uint8_t)(i >> 8), (uint8_t)i};
    add(mt, seq++, KIND_PUT, slice_make(key, 4), text(""));
    assert_true(mt->leaves <= 4 * mt->slots / BTREE_FANOUT + 2);
  }
  assert_true(mt->leaves <= 2 * mt->slots / BTREE_FANOUT + 2);
  pin_unref(memtable_pin(mt));
  test_allocator_check(&a);
}

static void a_refused_reservation_changes_nothing(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  memtable *mt;
  test_allocator_fail(&a, 1, false);
  TEST_RC(memtable_create(&a.base, &mt), VARVE_NOMEM);
  TEST_OK(memtable_create(&a.base, &mt));
  static uint8_t value[100000];
  uint64_t seq = 0;
  for (uint32_t i = 0; i < 100; i++) {
    TEST_OK(memtable_reserve(mt, 16 + sizeof value, 1));
    test_allocator_fail(&a, 1, true);
    uint8_t key[4] = {'k', 0, (uint8_t)(i >> 8), (uint8_t)i};
    memtable_add(mt, ++seq, KIND_PUT, slice_make(key, sizeof key), slice_make(value, sizeof value));
    TEST_RC(memtable_reserve(mt, 8 << 20, 10), VARVE_NOMEM);
    test_allocator_fail(&a, 0, false);
    assert_int_equal(memtable_entries(mt), seq);
    slice found;
    uint64_t trailer;
    assert_true(memtable_get(mt, slice_make(key, sizeof key), SEQ_MAX, &trailer, &found));
    assert_int_equal(found.size, sizeof value);
  }
  TEST_RC(memtable_reserve(mt, UINT32_MAX, 1), VARVE_LIMIT);
  pin_unref(memtable_pin(mt));
  test_allocator_check(&a);
}

static void memory_is_close_to_what_is_counted(void **state) {
  (void)state;
  rng r = test_rng("memory_is_close");
  for (uint32_t batch = 1; batch <= 100; batch *= 10) {
    test_allocator a;
    test_allocator_init(&a);
    memtable *mt;
    TEST_OK(memtable_create(&a.base, &mt));
    size_t fixed = a.base.used;
    uint64_t seq = 0, payload = 0;
    static uint8_t value[100];
    while (memtable_bytes(mt) < 4 * MiB) {
      TEST_OK(memtable_reserve(mt, (size_t)batch * 116, batch));
      if (seq == 0) assert_true(a.base.used <= fixed + ARENA_FIRST_CHUNK_BYTES + 2 * MiB);
      for (uint32_t i = 0; i < batch; i++) {
        uint64_t key[2] = {rng_next(&r), 0};
        memtable_add(mt, ++seq, KIND_PUT, slice_make(key, sizeof key), slice_make(value, sizeof value));
        payload += 116;
      }
      assert_true(memtable_bytes(mt) <= a.base.used - fixed);
    }
    assert_true(a.base.used - fixed <= memtable_bytes(mt) + 9 * MiB / 8);
    if (BTREE_FANOUT == 64) assert_true(memtable_bytes(mt) <= payload * 7 / 5);
    pin_unref(memtable_pin(mt));
    test_allocator_check(&a);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_key_into_each_full_leaf),
      cmocka_unit_test(keys_before_the_edge_do_not_waste_leaves),
      cmocka_unit_test(a_refused_reservation_changes_nothing),
      cmocka_unit_test(memory_is_close_to_what_is_counted),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
