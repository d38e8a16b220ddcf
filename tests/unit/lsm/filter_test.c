/* filter_test.c: no false negatives, few false positives, and the bits where the format says. */
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "lsm/filter.h"

static void built_keys_are_found(void **state) {
  (void)state;
  rng r = test_rng("built_keys_are_found");
  test_allocator a;
  test_allocator_init(&a);
  for (uint32_t bits = 2; bits <= 20; bits++) {
    for (uint32_t round = 0; round < 5; round++) {
      size_t count = 1 + rng_below(&r, 3000);
      uint64_t *hashes = malloc(count * sizeof *hashes);
      for (size_t i = 0; i < count; i++) hashes[i] = rng_next(&r);
      buf out;
      buf_init(&out, &a.base);
      TEST_OK(buf_append(&out, "12345678", 8)); /* it appends */
      TEST_OK(filter_build(hashes, count, bits, &out));
      slice filter = slice_make(out.data + 8, out.size - 8);
      assert_int_equal(filter.size % FILTER_LINE, 0);
      assert_int_equal(filter.size / FILTER_LINE, (count * bits + 511) / 512);
      for (size_t i = 0; i < count; i++) assert_true(filter_may_contain(filter, bits, hashes[i]));
      buf_free(&out);
      free(hashes);
    }
  }
  test_allocator_check(&a);
}

static double false_positives(uint32_t bits) {
  test_allocator a;
  test_allocator_init(&a);
  enum { KEYS = 20000, PROBES = 100000 };
  uint64_t *hashes = malloc(KEYS * sizeof *hashes);
  char key[32];
  for (uint32_t i = 0; i < KEYS; i++) {
    hashes[i] = key_hash(slice_make(key, (size_t)snprintf(key, sizeof key, "%016u", i)));
  }
  buf out;
  buf_init(&out, &a.base);
  TEST_OK(filter_build(hashes, KEYS, bits, &out));
  uint32_t passed = 0;
  for (uint32_t i = 0; i < PROBES; i++) {
    uint64_t hash = key_hash(slice_make(key, (size_t)snprintf(key, sizeof key, "%016u", KEYS + i)));
    passed += filter_may_contain(buf_slice(&out), bits, hash);
  }
  buf_free(&out);
  free(hashes);
  test_allocator_check(&a);
  return (double)passed / PROBES;
}

static void few_false_positives(void **state) {
  (void)state;
  double five = false_positives(5), ten = false_positives(10), twenty = false_positives(20);
  print_message("false positives: 5 bits %.2f %%, 10 bits %.2f %%, 20 bits %.3f %%\n", five * 100, ten * 100,
                twenty * 100);
  assert_true(ten < 0.0125); /* the paper's price for one line instead of many: 0.8 % becomes 1 % */
  assert_true(five < 0.13);
  assert_true(twenty < 0.001);
}

static void nothing_says_maybe(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  buf out;
  buf_init(&out, &a.base);
  uint64_t hash = 42;
  TEST_OK(filter_build(&hash, 1, 1, &out));
  TEST_OK(filter_build(NULL, 0, 10, &out));
  assert_int_equal(out.size, 0);
  assert_true(filter_may_contain(buf_slice(&out), 10, hash));
  test_allocator_check(&a);
}

/* One key, one line: exactly the six bits that the format names. */
static void golden_bits(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  uint64_t hash = UINT64_C(0x8000000000000001);
  uint64_t many[103];
  for (size_t i = 0; i < COUNT_OF(many); i++) many[i] = hash; /* 1030 bits: three lines */
  buf out;
  buf_init(&out, &a.base);
  TEST_OK(filter_build(many, COUNT_OF(many), 10, &out));
  assert_int_equal(out.size, 3 * FILTER_LINE);
  uint8_t want[3 * FILTER_LINE] = {0};
  /* line = (0x80000000 * 3) >> 32 = 1; bits: the top nine of 0x9e3779b9 ^ 1 .. 6 */
  static const uint32_t step[] = {0x9e3779b9, 0xe35e67b1, 0x734297e9, 0x35fbe861, 0xdeb7c719, 0x0448b211};
  for (size_t i = 0; i < COUNT_OF(step); i++)
    want[FILTER_LINE + (step[i] >> 23) / 8] |= (uint8_t)(1u << (step[i] >> 23) % 8);
  assert_memory_equal(out.data, want, sizeof want);
  /* Each bit counts: without one of them the key is not found. */
  for (size_t i = 0; i < COUNT_OF(step); i++) {
    uint32_t bit = step[i] >> 23;
    out.data[FILTER_LINE + bit / 8] &= (uint8_t) ~(1u << bit % 8);
    assert_false(filter_may_contain(buf_slice(&out), 10, hash));
    out.data[FILTER_LINE + bit / 8] |= (uint8_t)(1u << bit % 8);
  }
  assert_true(filter_may_contain(buf_slice(&out), 10, hash));
  buf_free(&out);
  test_allocator_check(&a);
}

/* Entries of a hash index are one key to a filter when they have one hash; nothing else is cut. */
static void hash_entries_are_cut(void **state) {
  (void)state;
  static const struct {
    const char *key;
    size_t size, part;
  } rows[] = {{"\1\0h\5"
               "12345678"
               "tail",
               16, 12},
              {"\1\0h\5"
               "12345678",
               12, 12},
              {"\1\0h\5"
               "1234567",
               11, 11},
              {"\1\0h\x80\1"
               "12345678x",
               14, 13},
              {"\1\0h\x80", 4, 4},
              {"\1\0h", 3, 3},
              {"\1\0b\5"
               "12345678"
               "tail",
               16, 16},
              {"\1\1h\5"
               "12345678"
               "tail",
               16, 16},
              {"\2\0h\5"
               "12345678"
               "tail",
               16, 16},
              {"\1", 1, 1},
              {"", 0, 0}};
  for (size_t i = 0; i < COUNT_OF(rows); i++) {
    assert_int_equal(filter_part(slice_make(rows[i].key, rows[i].size)).size, rows[i].part);
  }
  assert_true(key_hash(slice_make("\1\0h\5"
                                  "12345678"
                                  "a",
                                  13)) == key_hash(slice_make("\1\0h\5"
                                                              "12345678",
                                                              12)));
  assert_true(key_hash(slice_make("\1\0b\5"
                                  "12345678"
                                  "a",
                                  13)) != key_hash(slice_make("\1\0b\5"
                                                              "12345678",
                                                              12)));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(built_keys_are_found), cmocka_unit_test(few_false_positives),
      cmocka_unit_test(nothing_says_maybe),   cmocka_unit_test(golden_bits),
      cmocka_unit_test(hash_entries_are_cut),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
