/* rangedel_test.c: fragments against a look at every tombstone, the encoding, and hostile bytes. */
#include "support/test.h"

#include "lsm/rangedel.h"

enum { KEYS = 64, TOMBSTONES = 48 };

/* Keys that are prefixes of each other and hold 0x00 and 0xff; sorted. */
static uint8_t key_bytes[KEYS][8];
static slice keys[KEYS];

static void make_keys(rng *r) {
  static const uint8_t alphabet[] = {0, 'a', 0xff};
  for (uint32_t i = 0; i < KEYS;) {
    slice k = slice_make(key_bytes[i], 1 + rng_below(r, 6));
    for (size_t j = 0; j < k.size; j++) key_bytes[i][j] = alphabet[rng_below(r, 3)];
    bool is_new = true;
    for (uint32_t j = 0; j < i; j++) is_new = is_new && !slice_equal(keys[j], k);
    if (is_new) keys[i++] = k;
  }
  for (uint32_t i = 1; i < KEYS; i++) {
    for (uint32_t j = i; j > 0 && slice_compare(keys[j], keys[j - 1]) < 0; j--) {
      slice swapped = keys[j];
      keys[j] = keys[j - 1];
      keys[j - 1] = swapped;
    }
  }
}

static bool covers(const range_tombstone *t, slice key) {
  return slice_compare(t->begin, key) <= 0 && slice_compare(key, t->end) < 0;
}

static uint64_t newest_covering(const range_tombstone *list, size_t count, slice key, uint64_t seq_max) {
  uint64_t newest = 0;
  for (size_t i = 0; i < count; i++) {
    if (covers(&list[i], key) && list[i].seq <= seq_max) newest = MAX(newest, list[i].seq);
  }
  return newest;
}

static void check_order(const rangedel_set *set) {
  for (size_t i = 0; i < set->count; i++) {
    const range_tombstone *f = &set->fragments[i], *b = f - 1;
    assert_true(slice_compare(f->begin, f->end) < 0);
    if (i == 0 || slice_compare(b->end, f->begin) <= 0) continue;
    assert_true(slice_equal(b->begin, f->begin) && slice_equal(b->end, f->end));
    assert_true(b->seq > f->seq);
  }
}

static void check_answers(const rangedel_set *set, const range_tombstone *list, size_t count) {
  for (uint32_t k = 0; k < KEYS; k++) {
    for (uint64_t seq_max = 0; seq_max <= 20; seq_max++) {
      uint64_t expected = newest_covering(list, count, keys[k], seq_max);
      const range_tombstone *found = rangedel_find(set, keys[k], seq_max);
      assert_int_equal(found == NULL ? 0 : found->seq, expected);
      if (found != NULL) assert_true(covers(found, keys[k]));
    }
  }
}

/* As a table's writer does it: the count, then fragment by fragment. */
static void encode(const rangedel_set *set, buf *out) {
  size_t count = set == NULL ? 0 : set->count;
  TEST_OK(buf_append_varint(out, count));
  for (size_t i = 0; i < count; i++) TEST_OK(rangedel_append(&set->fragments[i], out));
}

static void fragments_answer_like_the_list(void **state) {
  (void)state;
  rng r = test_rng("fragments_answer");
  test_allocator a;
  test_allocator_init(&a);
  for (uint32_t round = 0; round < test_scale(200); round++) {
    make_keys(&r);
    range_tombstone list[TOMBSTONES];
    size_t count = 1 + rng_below(&r, TOMBSTONES);
    uint32_t spread = 1 + rng_below(&r, KEYS - 1);
    for (size_t i = 0; i < count; i++) {
      uint32_t begin = rng_below(&r, KEYS - 1);
      uint32_t end = begin + 1 + rng_below(&r, MIN(spread, KEYS - 1 - begin));
      list[i] = (range_tombstone){keys[begin], keys[end], 1 + rng_below(&r, 19)};
    }
    rangedel_set *set, *again;
    TEST_OK(rangedel_build(&a.base, list, count, &set));
    check_order(set);
    check_answers(set, list, count);
    assert_true(rangedel_memory(set) <= a.base.used);

    buf out;
    buf_init(&out, &a.base);
    encode(set, &out);
    TEST_OK(rangedel_decode(&a.base, buf_slice(&out), &again));
    memset(out.data, 0, out.size); /* the set has a copy */
    assert_int_equal(again->count, set->count);
    check_order(again);
    check_answers(again, list, count);
    buf_free(&out);
    rangedel_free(set);
    rangedel_free(again);
    test_allocator_check(&a);
  }
}

static slice text(const char *s) {
  return slice_make(s, strlen(s));
}

static void the_example_of_the_header(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  range_tombstone list[] = {{text("f"), text("z"), 9}, {text("a"), text("m"), 7}, {text("a"), text("m"), 7}};
  rangedel_set *set;
  TEST_OK(rangedel_build(&a.base, list, COUNT_OF(list), &set));
  buf out;
  buf_init(&out, &a.base);
  encode(set, &out);
  static const uint8_t expected[] = "\4\1a\1f\7\1f\1m\11\1f\1m\7\1m\1z\11";
  assert_int_equal(out.size, sizeof expected - 1);
  assert_memory_equal(out.data, expected, out.size);
  buf_free(&out);
  rangedel_free(set);
  test_allocator_check(&a);
}

static void none_is_null(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  rangedel_set *set = (rangedel_set *)&a;
  TEST_OK(rangedel_build(&a.base, NULL, 0, &set));
  assert_null(set);
  assert_null(rangedel_find(NULL, text("a"), SEQ_MAX));
  assert_int_equal(rangedel_memory(NULL), 0);
  buf out;
  buf_init(&out, &a.base);
  encode(NULL, &out);
  set = (rangedel_set *)&a;
  TEST_OK(rangedel_decode(&a.base, buf_slice(&out), &set));
  assert_null(set);
  buf_free(&out);
  rangedel_free(NULL);
  test_allocator_check(&a);
}

/* Many that begin at one key: the sweep must not cost more than its output. */
static void many_of_one_range(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  enum { MANY = 20000 };
  range_tombstone *list = mem_alloc(&a.base, MANY * sizeof *list);
  for (uint32_t i = 0; i < MANY; i++) list[i] = (range_tombstone){text("a"), text("b"), i + 1};
  rangedel_set *set;
  TEST_OK(rangedel_build(&a.base, list, MANY, &set));
  assert_int_equal(set->count, MANY);
  for (uint32_t i = 0; i <= MANY; i += 777) {
    const range_tombstone *found = rangedel_find(set, text("ab"), i);
    assert_int_equal(found == NULL ? 0 : found->seq, i);
  }
  rangedel_free(set);
  mem_free(&a.base, list, MANY * sizeof *list);
  test_allocator_check(&a);
}

static void failing_memory(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  range_tombstone list[] = {{text("f"), text("z"), 9}, {text("a"), text("m"), 7}};
  bool failed = true;
  for (uint64_t nth = 1; failed; nth++) {
    rangedel_set *set;
    test_allocator_fail(&a, nth, false);
    int rc = rangedel_build(&a.base, list, COUNT_OF(list), &set);
    failed = rc < 0;
    if (failed) TEST_RC(rc, VARVE_NOMEM);
    assert_int_equal(set == NULL, failed);
    rangedel_free(set);
    test_allocator_check(&a);
    assert_true(nth < 50);
  }
  failed = true;
  for (uint64_t nth = 1; failed; nth++) {
    rangedel_set *set;
    test_allocator_fail(&a, nth, false);
    failed = rangedel_decode(&a.base, slice_make("\1\1a\1f\7", 6), &set) < 0;
    assert_int_equal(set == NULL, failed);
    rangedel_free(set);
    test_allocator_check(&a);
    assert_true(nth < 50);
  }
}

static void refuse(const char *bytes, size_t size) {
  test_allocator a;
  test_allocator_init(&a);
  rangedel_set *set;
  TEST_RC(rangedel_decode(&a.base, slice_make(bytes, size), &set), VARVE_CORRUPT);
  assert_null(set);
  test_allocator_check(&a);
}
#define REFUSE(literal) refuse((literal), sizeof(literal) - 1)

static void hostile_bytes_are_refused(void **state) {
  (void)state;
  REFUSE("");
  REFUSE("\0\0");                                       /* something after nothing */
  REFUSE("\377\377\377\377\17\1a\1f");                  /* more fragments than there is room for */
  REFUSE("\1\1a\1f");                                   /* no sequence */
  REFUSE("\1\1a\1f\7\7");                               /* something after the end */
  REFUSE("\2\1a\1f\7");                                 /* one is missing */
  REFUSE("\1\1a\1a\7");                                 /* empty */
  REFUSE("\1\1b\1a\7");                                 /* upside down */
  REFUSE("\1\1a\1f\377\377\377\377\377\377\377\377\1"); /* more than 56 bits */
  REFUSE("\2\1a\1f\7\1e\1m\6");                         /* overlapping */
  REFUSE("\2\1a\1f\7\1a\1e\6");                         /* same begin, other end */
  REFUSE("\2\1a\1f\7\1a\1f\7");                         /* same sequence twice */
  REFUSE("\2\1a\1f\7\1a\1f\10");                        /* ascending */
  REFUSE("\2\1f\1g\7\1a\1b\10");                        /* not sorted */
  REFUSE("\1\207\200\4a\1f\7");                         /* key longer than INNER_KEY_MAX */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(fragments_answer_like_the_list),
      cmocka_unit_test(the_example_of_the_header),
      cmocka_unit_test(none_is_null),
      cmocka_unit_test(many_of_one_range),
      cmocka_unit_test(failing_memory),
      cmocka_unit_test(hostile_bytes_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
