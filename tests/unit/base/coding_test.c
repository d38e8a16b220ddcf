/* coding_test.c: integers as bytes: round trips, order, and every way a varint can be wrong. */
#include "support/test.h"

#include <stdlib.h>

#include "base/coding.h"

/* Bytes at the very end of an allocation, so that the sanitizers see a read past them. */
typedef struct exact {
  uint8_t *data;
  size_t size;
} exact;

static exact exact_copy(const void *data, size_t size) {
  exact e = {malloc(size == 0 ? 1 : size), size};
  assert_non_null(e.data);
  if (size > 0) memcpy(e.data, data, size);
  return e;
}

static void varint_round_trip_of(uint64_t v) {
  uint8_t bytes[VARINT64_SIZE_MAX];
  size_t n = varint_put(bytes, v);
  assert_int_equal(n, varint_size(v));
  assert_true(n <= VARINT64_SIZE_MAX && (v > UINT32_MAX || n <= VARINT32_SIZE_MAX));
  for (size_t size = 0; size <= n; size++) { /* all truncations, and the whole */
    exact e = exact_copy(bytes, size);
    reader r = reader_of(slice_make(e.data, size));
    uint64_t got = 1;
    assert_int_equal(read_varint64(&r, &got), size == n);
    assert_ptr_equal(r.at, e.data + (size == n ? n : 0));
    if (size == n) assert_true(got == v);
    uint32_t got32 = 1;
    r = reader_of(slice_make(e.data, size));
    bool fits = size == n && v <= UINT32_MAX;
    assert_int_equal(read_varint32(&r, &got32), fits);
    assert_ptr_equal(r.at, e.data + (fits ? n : 0));
    if (fits) assert_true(got32 == v);
    free(e.data);
  }
}

static void varints_round_trip(void **state) {
  (void)state;
  rng r = test_rng("varints_round_trip");
  for (unsigned bits = 0; bits < 64; bits++) {
    uint64_t edge = UINT64_C(1) << bits;
    varint_round_trip_of(edge - 1);
    varint_round_trip_of(edge);
    varint_round_trip_of(edge + 1);
    for (unsigned i = 0; i < 50; i++) varint_round_trip_of(rng_next(&r) >> bits);
  }
  varint_round_trip_of(UINT64_MAX);
  varint_round_trip_of(UINT32_MAX);
}

/* One value has one encoding: the same value with a longer one is refused. */
static void long_forms_are_refused(void **state) {
  (void)state;
  rng random = test_rng("long_forms_are_refused");
  for (unsigned round = 0; round < 2000; round++) {
    uint8_t bytes[VARINT64_SIZE_MAX + 2];
    size_t n = varint_put(bytes, rng_next(&random) >> rng_below(&random, 64));
    for (; n < sizeof bytes; n++) {
      bytes[n - 1] |= 0x80;
      bytes[n] = 0;
      reader r = reader_of(slice_make(bytes, n + 1));
      uint64_t v;
      uint32_t v32;
      slice s;
      assert_false(read_varint64(&r, &v));
      assert_false(read_varint32(&r, &v32));
      assert_false(read_slice(&r, SIZE_MAX, &s));
      assert_ptr_equal(r.at, bytes);
    }
  }
  static const uint8_t too_many_bits[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02};
  static const uint8_t eleven[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81, 0x01};
  uint64_t v;
  reader r = reader_of(slice_make(too_many_bits, sizeof too_many_bits));
  assert_false(read_varint64(&r, &v));
  r = reader_of(slice_make(eleven, sizeof eleven));
  assert_false(read_varint64(&r, &v));
}

/* What is read is what would have been written, for all strings of bytes. */
static void reading_is_the_inverse_of_writing(void **state) {
  (void)state;
  rng random = test_rng("reading_is_the_inverse_of_writing");
  unsigned read = 0;
  for (unsigned round = 0; round < 100000; round++) {
    uint8_t bytes[12], again[VARINT64_SIZE_MAX];
    test_fill(&random, bytes, sizeof bytes);
    if (rng_percent(&random, 50)) {
      for (size_t i = 0; i < sizeof bytes - 1 && rng_percent(&random, 85); i++) bytes[i] |= 0x80;
    }
    reader r = reader_of(slice_make(bytes, sizeof bytes));
    uint64_t v;
    if (!read_varint64(&r, &v)) continue;
    read++;
    size_t n = varint_put(again, v);
    assert_ptr_equal(r.at, bytes + n);
    assert_memory_equal(bytes, again, n);
  }
  assert_true(read > 10000);
}

static void fixed_integers_and_bytes(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  buf b;
  buf_init(&b, &a.base);
  TEST_OK(buf_append_u32(&b, 0x01020304));
  TEST_OK(buf_append_u64(&b, UINT64_C(0x05060708090a0b0c)));
  TEST_OK(buf_append_varint(&b, 300));
  TEST_OK(buf_append_slice(&b, slice_make("hello", 5)));
  TEST_OK(buf_append_slice(&b, slice_make(NULL, 0)));
  static const uint8_t bytes[] = {4, 3, 2, 1, 12, 11, 10, 9, 8, 7, 6, 5, 0xac, 2, 5, 'h', 'e', 'l', 'l', 'o', 0};
  assert_true(slice_equal(buf_slice(&b), slice_make(bytes, sizeof bytes)));
  for (size_t size = 0; size <= sizeof bytes; size++) {
    exact e = exact_copy(bytes, size);
    reader r = reader_of(slice_make(e.data, size));
    uint32_t u32, low, high, v32;
    slice s, none;
    bool all = read_u32(&r, &u32) && read_u32(&r, &low) && read_u32(&r, &high) && read_varint32(&r, &v32) &&
               read_slice(&r, 5, &s) && read_slice(&r, 0, &none);
    assert_int_equal(all, size == sizeof bytes);
    if (all) {
      assert_int_equal(u32, 0x01020304);
      assert_true(((uint64_t)high << 32 | low) == UINT64_C(0x05060708090a0b0c));
      assert_int_equal(v32, 300);
      assert_true(slice_equal(s, slice_make("hello", 5)) && none.size == 0);
      assert_int_equal(reader_left(&r), 0);
    }
    free(e.data);
  }
  buf_free(&b);
  test_allocator_check(&a);
}

static void slices_stay_within_bounds(void **state) {
  (void)state;
  static const uint8_t five[] = {5, 'a', 'b', 'c', 'd', 'e', 'f'};
  slice s;
  uint8_t byte;
  reader r = reader_of(slice_make(five, sizeof five));
  assert_false(read_slice(&r, 4, &s)); /* over the caller's bound */
  assert_ptr_equal(r.at, five);
  assert_true(read_slice(&r, 5, &s));
  assert_int_equal(s.size, 5);
  assert_false(read_bytes(&r, 2, &s));
  assert_false(read_bytes(&r, SIZE_MAX, &s));
  assert_true(read_u8(&r, &byte));
  assert_int_equal(byte, 'f');
  assert_false(read_u8(&r, &byte));
  assert_true(read_bytes(&r, 0, &s));
  reader empty = reader_of(slice_make(NULL, 0));
  assert_true(read_bytes(&empty, 0, &s));
  assert_false(read_u8(&empty, &byte));
  /* A length near 2^64 must not wrap round. */
  uint8_t huge[VARINT64_SIZE_MAX + 1] = {0};
  for (uint64_t v = UINT64_MAX - 20; v != 0; v++) {
    size_t n = varint_put(huge, v);
    r = reader_of(slice_make(huge, n + 1));
    assert_false(read_slice(&r, SIZE_MAX, &s));
  }
}

static void nothing_is_appended_when_memory_is_out(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  buf b;
  buf_init(&b, &a.base);
  TEST_OK(buf_append_zeros(&b, 60));
  static const uint8_t bytes[1000];
  test_allocator_fail(&a, 1, true);
  TEST_RC(buf_append_slice(&b, slice_make(bytes, sizeof bytes)), VARVE_NOMEM);
  TEST_RC(buf_append_slice(&b, slice_make(bytes, SIZE_MAX)), VARVE_NOMEM);
  TEST_RC(buf_append_u64(&b, 1), VARVE_NOMEM);
  TEST_RC(buf_append_varint(&b, 1), VARVE_NOMEM);
  assert_int_equal(b.size, 60);
  buf_free(&b);
  test_allocator_check(&a);
}

static void heads_order_as_bytes_do(void **state) {
  (void)state;
  rng r = test_rng("heads_order_as_bytes_do");
  for (unsigned i = 0; i < 20000; i++) {
    uint8_t a[12], b[12];
    size_t na = rng_below(&r, 12), nb = rng_below(&r, 12);
    test_fill(&r, a, sizeof a);
    memcpy(b, a, sizeof b);
    b[rng_below(&r, 12)] = (uint8_t)rng_next(&r);
    if (slice_compare(slice_make(a, na), slice_make(b, nb)) > 0) continue;
    assert_true(head_u64(a, na) <= head_u64(b, nb));
    assert_true(head_u32(a, na) <= head_u32(b, nb));
  }
  assert_true(head_u64((const uint8_t *)"abcdefgh", 8) == UINT64_C(0x6162636465666768));
  assert_true(head_u64((const uint8_t *)"abc", 3) == UINT64_C(0x6162630000000000));
  assert_true(head_u32((const uint8_t *)"ab", 2) == UINT32_C(0x61620000));
  assert_true(head_u64(NULL, 0) == 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(varints_round_trip),
      cmocka_unit_test(long_forms_are_refused),
      cmocka_unit_test(reading_is_the_inverse_of_writing),
      cmocka_unit_test(fixed_integers_and_bytes),
      cmocka_unit_test(slices_stay_within_bounds),
      cmocka_unit_test(nothing_is_appended_when_memory_is_out),
      cmocka_unit_test(heads_order_as_bytes_do),
  };
  return cmocka_run_group_tests_name("coding", tests, NULL, NULL);
}
