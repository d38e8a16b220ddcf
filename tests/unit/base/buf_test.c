/* buf_test.c: growth, contents, and what a failed allocation leaves behind. */
#include "support/test.h"

#include "base/buf.h"

static void holds_what_was_appended(void **state) {
  (void)state;
  rng r = test_rng("holds_what_was_appended");
  test_allocator a;
  test_allocator_init(&a);
  buf b;
  buf_init(&b, &a.base);
  static uint8_t expected[300000];
  size_t size = 0;
  while (size < sizeof expected - 1000) {
    size_t n = rng_below(&r, 1000);
    if (rng_percent(&r, 30)) {
      TEST_OK(buf_append_zeros(&b, n));
      memset(expected + size, 0, n);
    } else {
      test_fill(&r, expected + size, n);
      TEST_OK(buf_append(&b, expected + size, n));
    }
    size += n;
    assert_int_equal(b.size, size);
  }
  assert_true(slice_equal(buf_slice(&b), slice_make(expected, size)));
  assert_true(a.calls < 20); /* doubling */
  TEST_OK(buf_set(&b, slice_make(expected, 10)));
  assert_true(slice_equal(buf_slice(&b), slice_make(expected, 10)));
  TEST_OK(buf_set(&b, slice_make(NULL, 0)));
  assert_int_equal(b.size, 0);
  TEST_OK(buf_set(&b, slice_make(expected, sizeof expected)));
  assert_true(slice_equal(buf_slice(&b), slice_make(expected, sizeof expected)));
  buf_clear(&b);
  assert_int_equal(b.size, 0);
  buf_free(&b);
  assert_null(b.data);
  TEST_OK(buf_append(&b, "again", 5));
  buf_free(&b);
  test_allocator_check(&a);
}

static void nothing_changes_when_memory_is_out(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  buf b;
  buf_init(&b, &a.base);
  test_allocator_fail(&a, 1, true);
  TEST_RC(buf_append(&b, "x", 1), VARVE_NOMEM);
  assert_int_equal(b.size + b.capacity, 0);
  TEST_OK(buf_append(&b, NULL, 0));
  test_allocator_fail(&a, 0, false);
  TEST_OK(buf_append(&b, "hello", 5));
  test_allocator_fail(&a, 1, true);
  static const uint8_t many[1000];
  TEST_RC(buf_append(&b, many, sizeof many), VARVE_NOMEM);
  TEST_RC(buf_append_zeros(&b, sizeof many), VARVE_NOMEM);
  TEST_RC(buf_set(&b, slice_make(many, sizeof many)), VARVE_NOMEM);
  TEST_RC(buf_reserve(&b, SIZE_MAX), VARVE_NOMEM);
  TEST_RC(buf_reserve(&b, SIZE_MAX - 4), VARVE_NOMEM);
  assert_true(slice_equal(buf_slice(&b), slice_make("hello", 5)));
  buf_free(&b);
  test_allocator_check(&a);
}

/* Where the double cannot be had, what is needed is asked for. */
static void growth_settles_for_what_is_needed(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  buf b;
  buf_init(&b, &a.base);
  TEST_OK(buf_append_zeros(&b, 1000));
  test_allocator_fail(&a, 1, false);
  TEST_OK(buf_append_zeros(&b, 10));
  assert_int_equal(b.capacity, 1010);
  buf_free(&b);
  test_allocator_check(&a);
}

static void slices_compare_as_bytes(void **state) {
  (void)state;
  assert_true(slice_compare(slice_make("a", 1), slice_make("b", 1)) < 0);
  assert_true(slice_compare(slice_make("\xff", 1), slice_make("a", 1)) > 0);
  assert_true(slice_compare(slice_make("a", 1), slice_make("a\0", 2)) < 0);
  assert_true(slice_compare(slice_make("ab", 2), slice_make("ab", 2)) == 0);
  assert_true(slice_compare(slice_make(NULL, 0), slice_make("", 0)) == 0);
  assert_true(slice_starts_with(slice_make("abc", 3), slice_make("ab", 2)));
  assert_true(slice_starts_with(slice_make("abc", 3), slice_make(NULL, 0)));
  assert_false(slice_starts_with(slice_make("ab", 2), slice_make("abc", 3)));
  assert_int_equal(slice_common_prefix(slice_make("abcd", 4), slice_make("abx", 3)), 2);
  assert_int_equal(slice_common_prefix(slice_make("ab", 2), slice_make("abx", 3)), 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(holds_what_was_appended),
      cmocka_unit_test(nothing_changes_when_memory_is_out),
      cmocka_unit_test(growth_settles_for_what_is_needed),
      cmocka_unit_test(slices_compare_as_bytes),
  };
  return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
