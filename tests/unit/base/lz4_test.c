/* lz4_test.c: against the system's liblz4 in both directions, and hostile bytes. All buffers are of the exact size, so
 * that the sanitizers see one byte too many. */
#include "support/test.h"

#include <lz4.h>
#include <stdlib.h>

#include "base/lz4.h"

static lz4_work lz4_memory;

static uint8_t *exactly(size_t size) {
  uint8_t *p = malloc(size == 0 ? 1 : size);
  assert_non_null(p);
  return p;
}

/* Bytes of many kinds: noise, runs, short periods, few letters, copies from far behind. */
static void make_input(rng *r, uint8_t *data, size_t size) {
  uint32_t kind = rng_below(r, 6), far = 1 + rng_below(r, rng_percent(r, 50) ? 40 : 70000);
  for (size_t i = 0; i < size; i++) {
    bool copy = i >= far && !rng_percent(r, kind == 5 ? 30 : 3);
    if (kind == 0) {
      data[i] = (uint8_t)rng_next(r);
    } else if (kind == 1) {
      data[i] = 'a';
    } else if (kind == 2) {
      data[i] = (uint8_t)rng_below(r, 3);
    } else {
      data[i] = copy ? data[i - far] : (uint8_t)rng_next(r);
    }
  }
}

static void round_trip(rng *r, size_t size) {
  uint8_t *data = exactly(size), *packed = exactly(lz4_bound(size)), *back = exactly(size);
  make_input(r, data, size);
  test_fill(r, &lz4_memory, 64); /* any content */
  size_t n = lz4_compress(&lz4_memory, data, size, packed, lz4_bound(size));
  assert_true(n > 0 && n <= lz4_bound(size));
  uint8_t *trimmed = exactly(n);
  memcpy(trimmed, packed, n);

  assert_int_equal(LZ4_decompress_safe((const char *)trimmed, (char *)back, (int)n, (int)size), (int)size);
  assert_int_equal(memcmp(back, data, size), 0);
  memset(back, 0xee, size);
  assert_true(lz4_decompress(trimmed, n, back, size));
  assert_int_equal(memcmp(back, data, size), 0);

  /* The same bytes in exactly their room, and not in one less. */
  size_t again = lz4_compress(&lz4_memory, data, size, trimmed, n);
  assert_true(again == n || again == 0);
  uint8_t *short_room = exactly(n - 1);
  assert_int_equal(lz4_compress(&lz4_memory, data, size, short_room, n - 1), 0);

  int theirs = LZ4_compress_default((const char *)data, (char *)packed, (int)size, (int)lz4_bound(size));
  assert_true(theirs > 0);
  memset(back, 0xee, size);
  assert_true(lz4_decompress(packed, (size_t)theirs, back, size));
  assert_int_equal(memcmp(back, data, size), 0);
  free(data);
  free(packed);
  free(back);
  free(trimmed);
  free(short_room);
}

static void agrees_with_the_library(void **state) {
  (void)state;
  rng r = test_rng("agrees_with_the_library");
  for (size_t size = 0; size < 600; size++) round_trip(&r, size);
  for (uint32_t i = 0; i < test_scale(600); i++) round_trip(&r, rng_below(&r, 10000));
  for (uint32_t i = 0; i < test_scale(10); i++) round_trip(&r, rng_below(&r, 500000));
}

static void output_is_a_function_of_input(void **state) {
  (void)state;
  rng r = test_rng("output_is_a_function_of_input");
  uint8_t data[5000], first[6000], second[6000];
  make_input(&r, data, sizeof data);
  memset(&lz4_memory, 0, sizeof lz4_memory);
  size_t n = lz4_compress(&lz4_memory, data, sizeof data, first, sizeof first);
  test_fill(&r, &lz4_memory, sizeof lz4_memory);
  assert_int_equal(lz4_compress(&lz4_memory, data, sizeof data, second, sizeof second), n);
  assert_memory_equal(first, second, n);
}

/* Whatever the bytes: no access outside, and an answer that the library shares. */
static void hostile_bytes_are_refused_or_right(void **state) {
  (void)state;
  rng r = test_rng("hostile_bytes_are_refused_or_right");
  unsigned accepted = 0, refused = 0;
  for (uint32_t round = 0; round < test_scale(20000); round++) {
    size_t size = rng_below(&r, 300);
    uint8_t *data = exactly(size), *packed = exactly(lz4_bound(size)), *theirs = exactly(size);
    make_input(&r, data, size);
    size_t n = lz4_compress(&lz4_memory, data, size, packed, lz4_bound(size));
    for (uint32_t flips = 1 + rng_below(&r, 3); flips > 0; flips--)
      packed[rng_below(&r, (uint32_t)n)] = (uint8_t)rng_next(&r);
    if (rng_percent(&r, 20)) n = rng_below(&r, (uint32_t)n + 1);
    if (rng_percent(&r, 10)) test_fill(&r, packed, n);
    uint8_t *bytes = exactly(n);
    memcpy(bytes, packed, n);
    bool ok = lz4_decompress(bytes, n, data, size);
    int library = LZ4_decompress_safe((const char *)bytes, (char *)theirs, (int)n, (int)size);
    if (ok) {
      assert_int_equal(library, (int)size);
      assert_int_equal(memcmp(data, theirs, size), 0);
      accepted++;
    } else {
      refused++;
    }
    free(data);
    free(packed);
    free(theirs);
    free(bytes);
  }
  assert_true(accepted > 0 && refused > 0);
}

static void refuses(const void *bytes, size_t size, size_t out_size) {
  uint8_t *copy = exactly(size), *out = exactly(out_size);
  if (size > 0) memcpy(copy, bytes, size);
  assert_false(lz4_decompress(copy, size, out, out_size));
  free(copy);
  free(out);
}

static void broken_blocks_by_hand(void **state) {
  (void)state;
  refuses("", 0, 0);
  refuses("", 0, 5);
  refuses("\x00\x00", 2, 0); /* more after the empty block */
  refuses(
      "\x10"
      "a",
      2, 0); /* a literal that nobody asked for */
  refuses(
      "\x10"
      "a",
      2, 2); /* too short */
  refuses(
      "\x20"
      "a",
      2, 2); /* a literal past the input */
  refuses(
      "\x01"
      "a",
      2, 1); /* no literals, half an offset */
  refuses(
      "\x10"
      "a\x00\x00\x50"
      "bcdef",
      10, 10); /* offset 0 */
  refuses(
      "\x10"
      "a\x02\x00\x50"
      "bcdef",
      10, 10); /* offset before the begin */
  refuses(
      "\x1f"
      "a\x01\x00\xff\xff\xff\xff",
      8, 30);                                         /* a length without end */
  refuses("\xf0\xff\xff\xff\xff\xff\xff", 7, 100000); /* literals without end */
  refuses(
      "\x10"
      "a\x01\x00\x40"
      "bcde",
      9, 9); /* four last literals */
  refuses(
      "\x11"
      "a",
      2, 1); /* the last sequence promises a match */
  uint8_t out[10];
  assert_true(
      lz4_decompress("\x10"
                     "a\x01\x00\x50"
                     "bcdef",
                     10, out, 10));
  assert_memory_equal(out, "aaaaabcdef", 10);
  assert_true(lz4_decompress("\x00", 1, out, 0));
}

/* 255 bytes of length for each 255 * 255 of output: a bomb grows no further than the caller's size. */
static void bombs_stop_at_the_size_given(void **state) {
  (void)state;
  uint8_t bomb[5000];
  memset(bomb, 255, sizeof bomb);
  memcpy(bomb,
         "\x1f"
         "a\x01\x00",
         4);
  uint8_t *out = exactly(1000);
  assert_false(lz4_decompress(bomb, sizeof bomb, out, 1000));
  free(out);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(agrees_with_the_library),
      cmocka_unit_test(output_is_a_function_of_input),
      cmocka_unit_test(hostile_bytes_are_refused_or_right),
      cmocka_unit_test(broken_blocks_by_hand),
      cmocka_unit_test(bombs_stop_at_the_size_given),
  };
  return cmocka_run_group_tests_name("lz4", tests, NULL, NULL);
}
