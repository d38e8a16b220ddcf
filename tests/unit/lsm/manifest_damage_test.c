/* manifest_damage_test.c: a torn tail of the manifest is cut, all other damage is seen, and no file is costly to
 * refuse.
 */
#include "manifest_bed.h"

/* One wrong bit or byte: an error, unless it is in the last record: that may be a torn append, and is cut. */
static void test_every_bit_and_byte(void **state) {
  (void)state;
  static history h;
  int rc;
  uint64_t end;
  bool torn;
  rng r = test_rng("manifest_bits");
  size_t size;
  TEST_OK(manifest_close(write_history(&h, 1)));
  uint8_t *bytes = get_bytes(1, &size);
  for (size_t at = 0; at < size; at++) {
    for (unsigned k = 0; k < 10; k++) {
      uint8_t kept = bytes[at];
      bytes[at] = (uint8_t)(bytes[at] ^ (k < 8 ? 1u << k : k == 8 ? 0xffu : 1u + rng_below(&r, 255)));
      put_bytes(1, bytes, size);
      int found = load(&h, &rc, &end, &torn);
      if (at < h.ends[EDITS - 1]) {
        TEST_RC(rc, VARVE_CORRUPT);
        assert_int_equal(strncmp(status_message(), "1.man is damaged at offset ", 27), 0);
      } else {
        assert_int_equal(found, EDITS - 1);
        assert_true(torn);
      }
      bytes[at] = kept;
    }
  }
  free(bytes);
  free_history(&h);
}

static void test_every_length(void **state) {
  (void)state;
  static history h;
  int rc;
  uint64_t end;
  bool torn;
  rng r = test_rng("manifest_lengths");
  size_t size;
  TEST_OK(manifest_close(write_history(&h, 1)));
  uint8_t *bytes = get_bytes(1, &size), *copy = malloc(size);
  for (size_t cut = 0; cut <= size; cut++) {
    uint32_t whole = 0;
    while (whole < EDITS && h.ends[whole + 1] <= cut) whole++;
    for (int tail = 0; tail < 3; tail++) { /* nothing, zeros, garbage behind the cut */
      size_t length = tail == 0 ? cut : MIN(size, cut + 100);
      memcpy(copy, bytes, cut);
      memset(copy + cut, 0, length - cut);
      if (tail == 2) test_fill(&r, copy + cut, length - cut);
      put_bytes(1, copy, length);
      int found = load(&h, &rc, &end, &torn);
      if (cut < h.ends[0]) {
        if (found != 0) TEST_RC(rc, VARVE_CORRUPT); /* zeros may be what was cut */
        continue;
      }
      if (tail == 0) assert_int_equal(found, whole);
      assert_in_range(found, whole, EDITS);
      if (found == (int)whole) assert_int_equal(torn, length > h.ends[whole]);
      if (tail == 0 && cut % 7 != 0) continue;
      manifest *m; /* the tail goes when the manifest is opened, and the next edit takes its place */
      TEST_OK(manifest_open(&e, 1, end, torn, &m));
      edit change;
      edit_init(&change, &memory.base);
      change.has_last_seq = true;
      change.last_seq = 100000;
      TEST_OK(manifest_append(m, &change));
      TEST_OK(manifest_close(m));
      manifest_state s;
      TEST_OK(manifest_load(&e, &root, &s, &end, &torn));
      assert_int_equal(s.last_seq, 100000);
      assert_false(torn);
      free_state(&s);
    }
  }
  free(copy);
  free(bytes);
  free_history(&h);
}

/* Every position looks like a record of many bytes: without a bound this takes the square of the file's size. */
static void test_costly_file(void **state) {
  (void)state;
  enum { SIZE = 2 << 20 };
  static history h;
  int rc;
  uint64_t end;
  bool torn;
  size_t size;
  TEST_OK(manifest_close(write_history(&h, 1)));
  uint8_t *bytes = get_bytes(1, &size), *large = malloc(SIZE);
  memcpy(large, bytes, size);
  memset(large + size, 0, SIZE - size);
  for (size_t at = size; at + 4 <= SIZE / 2; at += 4) put_u32(large + at, 0x00080000);
  put_bytes(1, large, SIZE);
  clock_t begin = clock();
  load(&h, &rc, &end, &torn);
  TEST_RC(rc, VARVE_CORRUPT);
  double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
  print_message("refused after %.2f s\n", seconds);
  assert_true(seconds < 20);
  assert_non_null(strstr(status_message(), "many times over"));
  free(bytes);
  free(large);
  free_history(&h);
}

static void test_fuzzed(void **state) {
  (void)state;
  static history h;
  int rc;
  uint64_t end;
  bool torn;
  size_t size;
  rng r = test_rng("manifest_fuzz");
  TEST_OK(manifest_close(write_history(&h, 1)));
  uint8_t *bytes = get_bytes(1, &size), *copy = malloc(size);
  for (uint32_t i = 0; i < test_scale(10000); i++) {
    memcpy(copy, bytes, size);
    for (uint32_t n = 1 + rng_below(&r, 4); n > 0; n--) {
      size_t at = rng_below(&r, (uint32_t)size), most = MIN(size - at, 40u), len = 1 + rng_below(&r, (uint32_t)most);
      if (rng_percent(&r, 50)) {
        test_fill(&r, copy + at, len);
      } else {
        memmove(copy + at, bytes + rng_below(&r, (uint32_t)(size - len + 1)), len);
      }
    }
    put_bytes(1, copy, rng_percent(&r, 80) ? size : rng_below(&r, (uint32_t)size));
    load(&h, &rc, &end, &torn);
    assert_true(rc == VARVE_OK || rc == VARVE_CORRUPT || rc == VARVE_NEWER_FORMAT);
  }
  free(copy);
  free(bytes);
  free_history(&h);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_every_bit_and_byte, setup, teardown),
      cmocka_unit_test_setup_teardown(test_every_length, setup, teardown),
      cmocka_unit_test_setup_teardown(test_costly_file, setup, teardown),
      cmocka_unit_test_setup_teardown(test_fuzzed, setup, teardown),
  };
  return cmocka_run_group_tests_name("manifest_damage", tests, NULL, NULL);
}
