/* memtable_ranges_test.c: the range tombstones of a memtable against a list of them. */
#include "support/test.h"

#include <stdlib.h>

#include "lsm/memtable_int.h"

static slice text(const char *s) {
  return slice_make(s, strlen(s));
}

static void add(memtable *mt, uint64_t seq, entry_kind kind, slice key, slice value) {
  TEST_OK(memtable_reserve(mt, key.size + value.size, 1));
  memtable_add(mt, seq, kind, key, value);
}

static slice range_key(uint32_t n, uint8_t buffer[4]) {
  for (uint32_t i = 0; i < 4; i++) buffer[i] = (uint8_t)(n >> (24 - 8 * i));
  return slice_make(buffer, 4);
}

typedef struct range {
  uint32_t begin, end;
} range;

enum { RANGE_KEYS = 400 };

static void check_covering(rng *r, const memtable *mt, const range *list, uint64_t count) {
  for (uint32_t i = 0; i < 60; i++) {
    uint8_t buffer[4];
    uint32_t n = rng_below(r, RANGE_KEYS);
    slice key = range_key(n, buffer);
    uint64_t seq_max = rng_percent(r, 50) ? SEQ_MAX : rng_below(r, (uint32_t)count + 2), expected = MIN(seq_max, count);
    while (expected > 0 && !(list[expected - 1].begin <= n && n < list[expected - 1].end)) expected--;
    range_tombstone found = {{NULL, 0}, {NULL, 0}, 0};
    assert_int_equal(memtable_covering(mt, key, seq_max, &found), expected > 0);
    assert_int_equal(found.seq, expected);
    if (expected == 0) continue;
    assert_true(slice_compare(found.begin, key) <= 0 && slice_compare(key, found.end) < 0);
  }
}

/* In all shapes: anywhere, the head of a queue, small pieces; also when there is no memory for spans. */
static void range_tombstones_match_a_list(void **state) {
  (void)state;
  for (uint32_t shape = 0; shape < 4; shape++) {
    rng r = test_rng("range_tombstones");
    test_allocator a;
    test_allocator_init(&a);
    memtable *mt;
    TEST_OK(memtable_create(&a.base, &mt));
    uint32_t count = test_scale(700);
    range *list = malloc(count * sizeof *list);
    for (uint32_t i = 0; i < count; i++) {
      uint32_t begin = shape == 1 ? 0 : rng_below(&r, RANGE_KEYS - 1);
      uint32_t end = shape == 1   ? 1 + i * (RANGE_KEYS - 100) / count
                     : shape == 2 ? begin + 1
                                  : begin + 1 + rng_below(&r, RANGE_KEYS - 1 - begin);
      list[i] = (range){begin, end};
      uint8_t b[4], e[4];
      TEST_OK(memtable_reserve(mt, 8 + 2 * 4096, 2));
      if (shape == 3) test_allocator_fail(&a, 1 + rng_below(&r, 20), false);
      memtable_delete_range(mt, i + 1, range_key(begin, b), range_key(end, e));
      test_allocator_fail(&a, 0, false);
      assert_int_equal(memtable_range_deletes(mt), i + 1);
      check_covering(&r, mt, list, i + 1);
    }
    assert_int_equal(memtable_entries(mt), 0);
    rangedel_set *set;
    TEST_OK(memtable_range_set(mt, &a.base, &set));
    pin_unref(memtable_pin(mt)); /* the set has its own keys */
    for (uint32_t n = 0; n < RANGE_KEYS; n++) {
      uint8_t b[4];
      uint64_t expected = count;
      while (expected > 0 && !(list[expected - 1].begin <= n && n < list[expected - 1].end)) expected--;
      const range_tombstone *f = rangedel_find(set, range_key(n, b), SEQ_MAX);
      assert_int_equal(f == NULL ? 0 : f->seq, expected);
    }
    rangedel_free(set);
    free(list);
    test_allocator_check(&a);
  }
}

static void no_range_tombstones_make_no_set(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  memtable *mt;
  TEST_OK(memtable_create(&a.base, &mt));
  add(mt, 1, KIND_PUT, text("k"), text("v"));
  rangedel_set *set;
  TEST_OK(memtable_range_set(mt, &a.base, &set));
  assert_null(set);
  TEST_OK(memtable_reserve(mt, 2 + 2 * 4096, 2));
  memtable_delete_range(mt, 2, text("a"), text("b"));
  test_allocator_fail(&a, 1, false);
  TEST_RC(memtable_range_set(mt, &a.base, &set), VARVE_NOMEM);
  assert_null(set);
  pin_unref(memtable_pin(mt));
  test_allocator_check(&a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(range_tombstones_match_a_list),
      cmocka_unit_test(no_range_tombstones_make_no_set),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
