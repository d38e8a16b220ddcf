/* batch_test.c: operations written and read back, the limits, and hostile bytes. */
#include "support/test.h"

#include "lsm/batch.h"

static slice bytes_of(const char *s) {
  return slice_make(s, strlen(s));
}

static void operations_come_back(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  batch b;
  batch_init(&b, &a.base);
  TEST_OK(batch_put(&b, bytes_of("k/"), bytes_of("one"), bytes_of("1")));
  TEST_OK(batch_put(&b, slice_make(NULL, 0), bytes_of("two"), slice_make(NULL, 0)));
  TEST_OK(batch_delete(&b, bytes_of("k/"), bytes_of("three")));
  TEST_OK(batch_delete(&b, bytes_of("p"), slice_make(NULL, 0)));
  TEST_OK(batch_delete_range(&b, bytes_of("a"), slice_make("a\0", 2)));
  assert_int_equal(b.count, 5);
  static const uint8_t expected[] = "\1\5k/one\0011\1\3two\0\0\7k/three\0\1p\2\1a\2a\0";
  assert_int_equal(b.ops.size, sizeof expected - 1);
  assert_memory_equal(b.ops.data, expected, sizeof expected - 1);

  reader r = reader_of(buf_slice(&b.ops));
  batch_op op;
  assert_int_equal(batch_read(&r, &op), 1);
  assert_int_equal(op.kind, KIND_PUT);
  assert_true(slice_equal(op.key, bytes_of("k/one")) && slice_equal(op.value, bytes_of("1")));
  assert_int_equal(batch_read(&r, &op), 1);
  assert_true(op.kind == KIND_PUT && slice_equal(op.key, bytes_of("two")) && op.value.size == 0);
  assert_int_equal(batch_read(&r, &op), 1);
  assert_true(op.kind == KIND_DELETE && slice_equal(op.key, bytes_of("k/three")) && op.value.size == 0);
  assert_int_equal(batch_read(&r, &op), 1);
  assert_true(op.kind == KIND_DELETE && slice_equal(op.key, bytes_of("p")));
  assert_int_equal(batch_read(&r, &op), 1);
  assert_true(op.kind == KIND_RANGE_DELETE && slice_equal(op.key, bytes_of("a")));
  assert_true(slice_equal(op.value, slice_make("a\0", 2)));
  assert_int_equal(batch_read(&r, &op), 0);
  assert_int_equal(batch_read(&r, &op), 0);
  batch_free(&b);
  test_allocator_check(&a);
}

static void a_cleared_batch_is_filled_again(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  batch b;
  batch_init(&b, &a.base);
  TEST_OK(batch_put(&b, slice_make(NULL, 0), bytes_of("a"), bytes_of("1")));
  batch_clear(&b);
  assert_int_equal(b.count, 0);
  reader r = reader_of(buf_slice(&b.ops));
  batch_op op;
  assert_int_equal(batch_read(&r, &op), 0);
  TEST_OK(batch_delete(&b, slice_make(NULL, 0), bytes_of("b")));
  assert_int_equal(b.count, 1);
  assert_int_equal(b.ops.size, 3);
  assert_memory_equal(b.ops.data, "\0\1b", 3);
  batch_free(&b);
  test_allocator_check(&a);
}

static void failures_change_nothing(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  batch b;
  batch_init(&b, &a.base);
  TEST_OK(batch_put(&b, slice_make(NULL, 0), bytes_of("kept"), bytes_of("v")));
  static uint8_t large[1000];
  size_t size = b.ops.size;
  test_allocator_fail(&a, 1, true);
  TEST_RC(batch_put(&b, slice_make(NULL, 0), bytes_of("k"), slice_make(large, sizeof large)), VARVE_NOMEM);
  assert_int_equal(b.ops.size, size);
  assert_int_equal(b.count, 1);
  test_allocator_fail(&a, 0, false);

  /* The limit is checked before memory is asked for, so a value that is not there can stand for 1 GiB. */
  b.ops.size = BATCH_BYTES_MAX - 20; /* as if it were nearly full */
  TEST_RC(batch_put(&b, slice_make(NULL, 0), bytes_of("k"), slice_make(large, 17)), VARVE_LIMIT);
  TEST_RC(batch_put(&b, slice_make(NULL, 0), bytes_of("k"), slice_make(large, VARVE_VALUE_SIZE_MAX)), VARVE_LIMIT);
  assert_int_equal(b.ops.size, BATCH_BYTES_MAX - 20);
  assert_int_equal(b.count, 1);
  b.ops.size = size;
  batch_free(&b);
  test_allocator_check(&a);
}

static void refuse(const char *text, size_t size) {
  reader r = reader_of(slice_make(text, size));
  const uint8_t *at = r.at;
  batch_op op;
  TEST_RC(batch_read(&r, &op), VARVE_CORRUPT);
  assert_ptr_equal(r.at, at);
}
#define REFUSE(text) refuse((text), sizeof(text) - 1)

static void hostile_bytes_are_refused(void **state) {
  (void)state;
  REFUSE("\3\1a"); /* no such kind */
  REFUSE("\377\1a\1b");
  REFUSE("\1");                       /* no key */
  REFUSE("\0\0");                     /* empty key */
  REFUSE("\0\2a");                    /* key past the end */
  REFUSE("\1\1a");                    /* no value */
  REFUSE("\1\1a\2b");                 /* value past the end */
  REFUSE("\1\1a\200\0");              /* size not in its shortest form */
  REFUSE("\1\1a\201\200\200\200\4v"); /* a value of more than 1 GiB */
  REFUSE("\0\207\200\4k");            /* a key longer than INNER_KEY_MAX */
  REFUSE("\2\1b\1a");                 /* range upside down */
  REFUSE("\2\1a\1a");                 /* empty range */
  REFUSE("\2\1a\0");
  REFUSE("\2\0\1a");
  REFUSE("\1\377\377\377\377\377\377\377\377\377\1k");
}

/* Whatever is accepted is written back as it was: one value has one encoding. */
static void mutations_are_refused_or_mean_themselves(void **state) {
  (void)state;
  rng r = test_rng("mutations");
  test_allocator a;
  test_allocator_init(&a);
  batch b, again;
  batch_init(&b, &a.base);
  batch_init(&again, &a.base);
  for (uint32_t round = 0; round < test_scale(3000); round++) {
    batch_clear(&b);
    batch_clear(&again);
    for (uint32_t i = 0; i < 4; i++) {
      uint8_t key[200], value[300];
      test_fill(&r, key, sizeof key);
      test_fill(&r, value, sizeof value);
      slice k = slice_make(key, 1 + rng_below(&r, 199)), v = slice_make(value, rng_below(&r, 300));
      if (rng_percent(&r, 50)) {
        TEST_OK(batch_put(&b, slice_make(NULL, 0), k, v));
      } else if (v.size == 0 || rng_percent(&r, 50) || slice_compare(k, v) >= 0) {
        TEST_OK(batch_delete(&b, slice_make(NULL, 0), k));
      } else {
        TEST_OK(batch_delete_range(&b, k, v));
      }
    }
    size_t size = b.ops.size - rng_below(&r, rng_percent(&r, 30) ? (uint32_t)b.ops.size : 1);
    if (rng_percent(&r, 80)) b.ops.data[rng_below(&r, (uint32_t)b.ops.size)] ^= (uint8_t)(1 << rng_below(&r, 8));
    uint8_t *exact = mem_alloc(&a.base, size); /* guarded at its end */
    memcpy(exact, b.ops.data, size);
    reader rd = reader_of(slice_make(exact, size));
    batch_op op;
    int rc;
    while ((rc = batch_read(&rd, &op)) == 1) {
      if (op.kind == KIND_PUT) TEST_OK(batch_put(&again, slice_make(NULL, 0), op.key, op.value));
      if (op.kind == KIND_DELETE) TEST_OK(batch_delete(&again, slice_make(NULL, 0), op.key));
      if (op.kind == KIND_RANGE_DELETE) TEST_OK(batch_delete_range(&again, op.key, op.value));
    }
    assert_true(rc == 0 || rc == VARVE_CORRUPT);
    assert_int_equal(again.ops.size, (size_t)(rd.at - exact));
    if (again.ops.size > 0) assert_memory_equal(again.ops.data, exact, again.ops.size);
    mem_free(&a.base, exact, size);
  }
  batch_free(&b);
  batch_free(&again);
  test_allocator_check(&a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(operations_come_back),
      cmocka_unit_test(a_cleared_batch_is_filled_again),
      cmocka_unit_test(failures_change_nothing),
      cmocka_unit_test(hostile_bytes_are_refused),
      cmocka_unit_test(mutations_are_refused_or_mean_themselves),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
