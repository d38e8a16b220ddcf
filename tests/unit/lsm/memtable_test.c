/* memtable_test.c: a memtable against a sorted array of all versions, for many shapes of keys. Beside it: what memory
 * it takes and promises (memtable_memory_test.c), range tombstones (memtable_ranges_test.c), readers while it is
 * written (memtable_race_test.c). */
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

/* ---- the model -------------------------------------------------------------------------------------- */

typedef struct version {
  slice key;
  uint64_t trailer;
} version;

typedef struct model {
  version *list; /* sorted by entry_compare once model_sort was called */
  size_t count, capacity;
  uint8_t *bytes; /* of the keys */
  size_t bytes_used;
} model;

enum { MODEL_BYTES = 64 << 20 };

static void model_init(model *m, size_t capacity) {
  memset(m, 0, sizeof *m);
  m->capacity = capacity;
  m->list = malloc(capacity * sizeof *m->list);
  m->bytes = malloc(MODEL_BYTES);
  assert_true(m->list != NULL && m->bytes != NULL);
}

static void model_free(model *m) {
  free(m->list);
  free(m->bytes);
}

static void model_add(model *m, slice key, uint64_t trailer) {
  assert_true(m->count < m->capacity && key.size <= MODEL_BYTES - m->bytes_used);
  slice copy = slice_make(m->bytes + m->bytes_used, key.size);
  memcpy(m->bytes + m->bytes_used, key.data, key.size);
  m->bytes_used += key.size;
  m->list[m->count++] = (version){copy, trailer};
}

static int version_order(const void *a, const void *b) {
  const version *x = a, *y = b;
  return entry_compare(x->key, x->trailer, y->key, y->trailer);
}

static void model_sort(model *m) {
  qsort(m->list, m->count, sizeof *m->list, version_order);
}

/* The first version at or after (key, trailer). */
static size_t model_seek(const model *m, slice key, uint64_t trailer) {
  size_t low = 0, high = m->count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (entry_compare(m->list[middle].key, m->list[middle].trailer, key, trailer) < 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/* A value says which version it belongs to. */
static slice value_of(uint64_t seq, uint8_t buffer[64]) {
  size_t size = seq % 50;
  memset(buffer, (int)(seq * 31 % 251), size);
  return slice_make(buffer, size);
}

static void check_value(uint64_t trailer, slice value) {
  uint8_t buffer[64];
  slice expected = value_of(trailer_seq(trailer), buffer);
  if (trailer_kind(trailer) == KIND_DELETE) expected.size = 0;
  assert_int_equal(value.size, expected.size);
  if (value.size > 0) assert_memory_equal(value.data, expected.data, value.size);
}

/* ---- shapes of keys --------------------------------------------------------------------------------- */

typedef slice (*key_maker)(rng *r, uint8_t *buffer);
enum { KEY_BUFFER = 65536 };

static slice key_digits(rng *r, uint8_t *buffer) {
  uint32_t n = rng_below(r, 5000);
  for (uint32_t i = 16; i-- > 0; n /= 10) buffer[i] = (uint8_t)('0' + n % 10);
  return slice_make(buffer, 16);
}

/* Prefixes of each other, with the smallest and the largest byte; no key has 8 bytes. */
static slice key_short(rng *r, uint8_t *buffer) {
  static const uint8_t alphabet[] = {0, 'a', 0xff};
  size_t size = 1 + rng_below(r, 7);
  for (size_t i = 0; i < size; i++) buffer[i] = alphabet[rng_below(r, 3)];
  return slice_make(buffer, size);
}

/* "a", "a\0", "a\0\0" ...: one head, many keys. */
static slice key_zeros(rng *r, uint8_t *buffer) {
  size_t size = 1 + rng_below(r, 200);
  memset(buffer, 0, size);
  buffer[0] = (uint8_t)('a' + rng_below(r, 3));
  return slice_make(buffer, size);
}

/* The same at the other end: heads of 0xff only. */
static slice key_ones(rng *r, uint8_t *buffer) {
  size_t size = 1 + rng_below(r, 200);
  memset(buffer, 0xff, size);
  if (rng_percent(r, 20)) buffer[rng_below(r, (uint32_t)size)] = (uint8_t)rng_next(r);
  return slice_make(buffer, size);
}

/* Prefixes longer than a node's header holds, of which some keys are a part. */
static slice key_long_prefix(rng *r, uint8_t *buffer) {
  static const size_t lengths[] = {3, 39, 40, 41, 64, 300};
  size_t size = lengths[rng_below(r, COUNT_OF(lengths))];
  memset(buffer, 'p', size);
  if (rng_percent(r, 20)) buffer[rng_below(r, (uint32_t)size)] = (uint8_t)rng_next(r);
  size_t tail = rng_below(r, 4);
  for (size_t i = 0; i < tail; i++) buffer[size++] = (uint8_t)rng_below(r, 4);
  return slice_make(buffer, size);
}

static slice key_random(rng *r, uint8_t *buffer) {
  size_t size = 1 + rng_below(r, 24);
  test_fill(r, buffer, size);
  return slice_make(buffer, size);
}

static slice key_large(rng *r, uint8_t *buffer) {
  size_t size = rng_percent(r, 5) ? KEY_BUFFER - rng_below(r, 3) : 1 + rng_below(r, 300);
  memset(buffer, 'x', size);
  buffer[rng_below(r, (uint32_t)size)] = (uint8_t)rng_next(r);
  buffer[size - 1] = (uint8_t)rng_next(r);
  return slice_make(buffer, size);
}

/* Three ascending runs beside each other, as keyspaces have them; sometimes an old key. */
static uint32_t run_next[3];
static slice key_runs(rng *r, uint8_t *buffer) {
  uint32_t run = rng_below(r, 100) < 97 ? (uint32_t)(r->state >> 40) % 3 : rng_below(r, 3);
  uint32_t n = rng_percent(r, 90) ? ++run_next[run] : rng_below(r, run_next[run] + 1);
  buffer[0] = (uint8_t)run;
  for (uint32_t i = 0; i < 4; i++) buffer[1 + i] = (uint8_t)(n >> (24 - 8 * i));
  return slice_make(buffer, 5);
}

static slice key_few(rng *r, uint8_t *buffer) {
  buffer[0] = (uint8_t)rng_below(r, 5);
  return slice_make(buffer, 1);
}

static const struct {
  const char *name;
  key_maker make;
  uint32_t count;
} shapes[] = {
    {"digits", key_digits, 4000},
    {"short", key_short, 4000},
    {"zeros", key_zeros, 3000},
    {"ones", key_ones, 3000},
    {"long prefix", key_long_prefix, 4000},
    {"random", key_random, 4000},
    {"large", key_large, 1500},
    {"runs", key_runs, 5000},
    {"few", key_few, 2000},
};

/* ---- checks ----------------------------------------------------------------------------------------- */

static void check_at(const iter *it, const model *m, size_t at) {
  assert_true(it->valid);
  assert_true(at < m->count);
  assert_int_equal(it->trailer, m->list[at].trailer);
  assert_true(slice_equal(it->key, m->list[at].key));
  check_value(it->trailer, it->value);
}

static void check_walks(iter *it, const model *m) {
  size_t n = 0;
  int rc = iter_first(it);
  for (; rc == VARVE_OK; rc = iter_next(it)) check_at(it, m, n++);
  TEST_RC(rc, VARVE_DONE);
  assert_false(it->valid);
  assert_int_equal(n, m->count);
  rc = iter_last(it);
  for (; rc == VARVE_OK; rc = iter_prev(it)) check_at(it, m, --n);
  TEST_RC(rc, VARVE_DONE);
  assert_false(it->valid);
  assert_int_equal(n, 0);
}

/* A random move of the iterator and of `at` in the model. False when both are at an end. */
static bool check_move(rng *r, iter *it, const model *m, size_t *at, key_maker make, uint8_t *buffer) {
  uint32_t move = it->valid ? rng_below(r, 100) : 90 + rng_below(r, 10);
  int rc;
  if (move < 90) { /* mostly short walks, in both directions */
    bool forward = move % 2 == 0;
    rc = forward ? iter_next(it) : iter_prev(it);
    *at = forward ? *at + 1 : *at - 1;
  } else if (move < 92) {
    rc = move == 90 ? iter_first(it) : iter_last(it);
    *at = move == 90 ? 0 : m->count - 1;
  } else {
    slice key = make(r, buffer);
    if (rng_percent(r, 50)) key = m->list[rng_below(r, (uint32_t)m->count)].key;
    uint64_t trailer = rng_percent(r, 50) ? TRAILER_MAX : trailer_make(rng_below(r, (uint32_t)m->count + 2), KIND_PUT);
    if (move < 96) {
      rc = iter_seek(it, key, trailer);
      *at = model_seek(m, key, trailer);
    } else {
      rc = iter_seek_before(it, key);
      *at = model_seek(m, key, TRAILER_MAX) - 1;
    }
  }
  if (*at < m->count) {
    TEST_RC(rc, VARVE_OK);
    check_at(it, m, *at);
    return true;
  }
  TEST_RC(rc, VARVE_DONE);
  assert_false(it->valid);
  return false;
}

static void check_gets(rng *r, const memtable *mt, const model *m, key_maker make, uint8_t *buffer) {
  for (uint32_t i = 0; i < 300; i++) {
    slice key = rng_percent(r, 50) ? make(r, buffer) : m->list[rng_below(r, (uint32_t)m->count)].key;
    uint64_t seq_max = rng_percent(r, 50) ? SEQ_MAX : rng_below(r, (uint32_t)m->count + 2), trailer = 0;
    size_t at = model_seek(m, key, trailer_make(seq_max, (entry_kind)255));
    bool expected = at < m->count && slice_equal(m->list[at].key, key);
    slice value;
    assert_int_equal(memtable_get(mt, key, seq_max, &trailer, &value), expected);
    if (!expected) continue;
    assert_int_equal(trailer, m->list[at].trailer);
    check_value(trailer, value);
  }
  assert_int_equal(memtable_entries(mt), m->count);
}

static void versions_match_the_model(void **state) {
  (void)state;
  static uint8_t buffer[KEY_BUFFER];
  for (size_t s = 0; s < COUNT_OF(shapes); s++) {
    rng r = test_rng(shapes[s].name);
    memset(run_next, 0, sizeof run_next);
    test_allocator a;
    test_allocator_init(&a);
    model m;
    uint32_t count = test_scale(shapes[s].count);
    model_init(&m, count);
    memtable *mt;
    iter *it;
    TEST_OK(memtable_create(&a.base, &mt));
    TEST_OK(memtable_iter_open(mt, &a.base, &it));
    for (uint64_t seq = 1; seq <= count; seq++) {
      slice key = shapes[s].make(&r, buffer);
      entry_kind kind = rng_percent(&r, 20) ? KIND_DELETE : KIND_PUT;
      uint8_t value[64];
      add(mt, seq, kind, key, kind == KIND_PUT ? value_of(seq, value) : slice_make(NULL, 0));
      model_add(&m, key, trailer_make(seq, kind));
      if (seq != count && seq != 1 && !rng_percent(&r, 1)) continue;
      model_sort(&m);
      check_gets(&r, mt, &m, shapes[s].make, buffer);
      check_walks(it, &m);
      size_t at = 0;
      for (uint32_t i = 0; i < 500; i++) check_move(&r, it, &m, &at, shapes[s].make, buffer);
    }
    pin_unref(memtable_pin(mt)); /* the iterator has a pin of its own */
    check_walks(it, &m);
    iter_close(it);
    model_free(&m);
    test_allocator_check(&a);
  }
}

static void an_empty_one_has_nothing(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  memtable *mt;
  iter *it;
  TEST_OK(memtable_create(&a.base, &mt));
  TEST_OK(memtable_iter_open(mt, &a.base, &it));
  uint64_t trailer;
  slice s;
  range_tombstone t;
  assert_false(memtable_get(mt, text("a"), SEQ_MAX, &trailer, &s));
  assert_false(memtable_covering(mt, text("a"), SEQ_MAX, &t));
  assert_int_equal(memtable_bytes(mt), 0);
  assert_int_equal(memtable_entries(mt), 0);
  TEST_RC(iter_first(it), VARVE_DONE);
  TEST_RC(iter_last(it), VARVE_DONE);
  TEST_RC(iter_seek(it, text("a"), TRAILER_MAX), VARVE_DONE);
  TEST_RC(iter_seek_before(it, text("a")), VARVE_DONE);
  iter_close(it);
  pin_unref(memtable_pin(mt));
  test_allocator_check(&a);
}

/* ---- one key, many versions ------------------------------------------------------------------------- */

static void a_hot_key_is_walked_in_linear_time(void **state) {
  (void)state;
  enum { VERSIONS = 100000 };
  test_allocator a;
  test_allocator_init(&a);
  memtable *mt;
  TEST_OK(memtable_create(&a.base, &mt));
  add(mt, 1, KIND_PUT, text("a"), text("before"));
  add(mt, 2, KIND_PUT, text("z"), text("after"));
  for (uint64_t i = 3; i <= VERSIONS; i++) add(mt, i, KIND_PUT, text("hot"), slice_make(&i, 2));
  assert_int_equal(mt->slots, 3);
  iter *it;
  TEST_OK(memtable_iter_open(mt, &a.base, &it));
  uint64_t n = 3;
  TEST_RC(iter_last(it), VARVE_OK);
  for (TEST_RC(iter_prev(it), VARVE_OK); slice_equal(it->key, text("hot")); TEST_RC(iter_prev(it), VARVE_OK)) {
    assert_int_equal(trailer_seq(it->trailer), n++);
  }
  assert_int_equal(n, VERSIONS + 1);
  for (uint32_t i = 0; i < 1000; i++) { /* back and forth over the edge of the chain */
    TEST_RC(iter_seek_before(it, text("z")), VARVE_OK);
    assert_int_equal(trailer_seq(it->trailer), 3);
    TEST_RC(iter_next(it), VARVE_OK);
    assert_true(slice_equal(it->key, text("z")));
    TEST_RC(iter_prev(it), VARVE_OK);
    TEST_RC(iter_prev(it), VARVE_OK);
    assert_int_equal(trailer_seq(it->trailer), 4);
  }
  iter_close(it);
  pin_unref(memtable_pin(mt));
  test_allocator_check(&a);
}

static void an_iterator_without_memory_says_so(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  memtable *mt;
  TEST_OK(memtable_create(&a.base, &mt));
  for (uint64_t i = 1; i <= 100; i++) add(mt, i, KIND_PUT, text("hot"), text(""));
  iter *it;
  test_allocator_fail(&a, 1, false);
  TEST_RC(memtable_iter_open(mt, &a.base, &it), VARVE_NOMEM);
  TEST_OK(memtable_iter_open(mt, &a.base, &it));
  for (uint64_t nth = 1; nth <= 3; nth++) {
    test_allocator_fail(&a, nth, false);
    TEST_RC(iter_last(it), VARVE_NOMEM);
    assert_false(it->valid);
  }
  test_allocator_fail(&a, 0, false);
  TEST_RC(iter_last(it), VARVE_OK);
  assert_int_equal(trailer_seq(it->trailer), 1);
  iter_close(it);
  pin_unref(memtable_pin(mt));
  test_allocator_check(&a);
}

/* ---- memory ----------------------------------------------------------------------------------------- */

/* After a reservation no memory is asked for, whatever the keys. */
static void reserved_adds_cannot_fail(void **state) {
  (void)state;
  static uint8_t buffer[KEY_BUFFER];
  for (size_t s = 0; s < COUNT_OF(shapes); s++) {
    rng r = test_rng(shapes[s].name);
    memset(run_next, 0, sizeof run_next);
    test_allocator a;
    test_allocator_init(&a);
    memtable *mt;
    TEST_OK(memtable_create(&a.base, &mt));
    for (uint64_t seq = 1; seq <= test_scale(shapes[s].count);) {
      static const uint32_t sizes[] = {1, 1, 2, 10, 300};
      size_t count = sizes[rng_below(&r, COUNT_OF(sizes))], bytes = 0;
      rng ahead = r;
      if (shapes[s].make == key_runs) {
        bytes = 5 * count;
      } else {
        for (size_t i = 0; i < count; i++) bytes += shapes[s].make(&ahead, buffer).size;
      }
      size_t range_bytes = 100;
      TEST_OK(memtable_reserve(mt, bytes + range_bytes + 2 * 4096, count + 1));
      test_allocator_fail(&a, 1, true);
      for (size_t i = 0; i < count; i++) {
        memtable_add(mt, seq++, KIND_PUT, shapes[s].make(&r, buffer), slice_make(NULL, 0));
      }
      memset(buffer, 'b', 51);
      memtable_delete_range(mt, seq++, slice_make(buffer, 49), slice_make(buffer, 51));
      test_allocator_fail(&a, 0, false);
    }
    pin_unref(memtable_pin(mt));
    test_allocator_check(&a);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(versions_match_the_model),           cmocka_unit_test(an_empty_one_has_nothing),
      cmocka_unit_test(a_hot_key_is_walked_in_linear_time), cmocka_unit_test(an_iterator_without_memory_says_so),
      cmocka_unit_test(reserved_adds_cannot_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
