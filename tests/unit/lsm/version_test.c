/* version_test.c: edits survive their bytes, broken bytes are refused; versions obey their edits or refuse them;
 * searches agree with looking at every table.
 */
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "lsm/version.h"

static test_allocator memory;

static int setup(void **state) {
  (void)state;
  test_allocator_init(&memory);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  test_allocator_check(&memory);
  return 0;
}

static slice text(const char *s) {
  return slice_make(s, strlen(s));
}

static table_meta *table(uint64_t number, const char *smallest, const char *largest, bool exclusive) {
  table_meta *m;
  TEST_OK(table_meta_create(&memory.base, text(smallest), text(largest), exclusive, &m));
  m->number = number;
  m->size = 100 + number;
  m->entries = 7;
  m->seq_min = number;
  m->seq_max = number * 2;
  return m;
}

static void add(edit *e, uint32_t level, table_meta *m) {
  TEST_OK(edit_add(e, level, m));
  pin_unref(&m->pin);
}

/* Applies `e`, which is used up; *v becomes the next version. */
static int step(version **v, edit *e) {
  version *next;
  int rc = version_apply(*v, e, &next);
  edit_free(e);
  if (rc >= 0) {
    pin_unref(&(*v)->pin);
    *v = next;
  } else {
    assert_null(next);
  }
  return rc;
}

/* ---- edits ---- */

static edit some_edit(void) {
  edit e;
  edit_init(&e, &memory.base);
  e.has_log_min = e.has_next_number = e.has_last_seq = e.has_clean_end = true;
  e.log_min = 300;
  e.next_number = UINT64_C(1) << 50;
  e.last_seq = SEQ_MAX;
  e.clean_log = 301;
  e.clean_end = 4096;
  table_meta *m = table(5, "apple", "pear", true);
  m->tombstones = 3;
  m->range_tombstones = 1000;
  m->seq_max = SEQ_MAX;
  TEST_OK(edit_remove(&e, 2, 77));
  add(&e, 6, m);
  add(&e, 0, table(1, "k", "k", false));
  return e;
}

static void expect_equal(const edit *a, const edit *b) {
  assert_int_equal(a->count, b->count);
  assert_true(a->has_log_min == b->has_log_min && a->log_min == b->log_min);
  assert_true(a->has_next_number == b->has_next_number && a->next_number == b->next_number);
  assert_true(a->has_last_seq == b->has_last_seq && a->last_seq == b->last_seq);
  assert_true(a->has_clean_end == b->has_clean_end && a->clean_log == b->clean_log && a->clean_end == b->clean_end);
  for (size_t i = 0; i < a->count; i++) {
    const table_meta *x = a->tables[i].meta, *y = b->tables[i].meta;
    assert_int_equal(a->tables[i].level, b->tables[i].level);
    assert_int_equal(a->tables[i].number, b->tables[i].number);
    assert_int_equal(x == NULL, y == NULL);
    if (x == NULL) continue;
    assert_true(x->number == y->number && x->size == y->size && x->entries == y->entries);
    assert_true(x->tombstones == y->tombstones && x->range_tombstones == y->range_tombstones);
    assert_true(x->seq_min == y->seq_min && x->seq_max == y->seq_max);
    assert_true(slice_equal(x->smallest, y->smallest) && slice_equal(x->largest, y->largest));
    assert_true(x->largest_exclusive == y->largest_exclusive);
  }
}

static void test_edit_bytes(void **state) {
  (void)state;
  edit e = some_edit(), back;
  buf out;
  buf_init(&out, &memory.base);
  TEST_OK(edit_encode(&e, &out));
  edit_init(&back, &memory.base);
  TEST_OK(edit_decode(&back, buf_slice(&out)));
  expect_equal(&e, &back);
  edit_free(&back);
  /* exact bytes of the first fields and of the removed table: docs/FORMAT.md */
  static const uint8_t head[] = {1,    0xac, 2,    2,    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2,    3,
                                 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 4,    0xad, 2,    0x80, 0x20,
                                 5,    2,    77,   6,    6,    5,    105,  7,    3,    0xe8, 7};
  assert_memory_equal(out.data, head, sizeof head);
  edit_free(&e);
  buf_free(&out);
}

/* A reader of edits that is a few lines long: the offsets in `bytes` at which a prefix is an edit by itself. */
static bool is_edit(slice bytes) {
  edit e;
  edit_init(&e, &memory.base);
  int rc = edit_decode(&e, bytes);
  if (rc == VARVE_OK) edit_free(&e);
  assert_true(rc == VARVE_OK || rc == VARVE_CORRUPT);
  assert_int_equal(e.count, 0);
  return rc == VARVE_OK;
}

static void test_edit_hostile(void **state) {
  (void)state;
  rng r = test_rng("edit_hostile");
  edit e = some_edit();
  buf out;
  buf_init(&out, &memory.base);
  TEST_OK(edit_encode(&e, &out));
  edit_free(&e);
  uint32_t whole = 0;
  for (size_t cut = 0; cut < out.size; cut++) {
    uint8_t *exact = malloc(cut + 1); /* so that the sanitizers see a byte too far */
    memcpy(exact, out.data, cut);
    whole += is_edit(slice_make(exact, cut));
    free(exact);
  }
  assert_int_equal(whole, 6); /* one for each field but the last, and none in between */
  for (size_t at = 0; at < out.size; at++) {
    for (unsigned k = 0; k < 256; k++) {
      uint8_t kept = out.data[at];
      out.data[at] = (uint8_t)k;
      (void)is_edit(buf_slice(&out));
      out.data[at] = kept;
    }
  }
  for (uint32_t i = 0; i < test_scale(20000); i++) {
    uint8_t bytes[40];
    uint32_t size = rng_below(&r, sizeof bytes);
    test_fill(&r, bytes, size);
    for (uint32_t k = 0; k < size; k++) {
      if (rng_percent(&r, 60)) bytes[k] %= 8;
    }
    (void)is_edit(slice_make(bytes, size));
  }
  buf_free(&out);
}

static void test_edit_refused(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t size;
    bool good;
  } cases[] = {
      {"", 0, false},
      {"\x01\x05", 2, true},
      {"\x01\x05\x01\x05", 4, false}, /* twice */
      {"\x07\x05", 2, false},         /* unknown tag */
      {"\x00\x05", 2, false},         /* unknown tag */
      {"\x81\x00\x05", 3, false},     /* a tag that is not in its shortest form */
      {"\x05\x06\x01", 3, true},      /* remove from level 6 */
      {"\x05\x07\x01", 3, false},     /* from level 7 */
      {"\x05\x00\x00", 3, false},     /* number 0 */
      {"\x06\x01\x05\x09\x04\x02\x00\x01\x02\x00\x01"
       "a"
       "\x01"
       "b",
       14, true},
      {"\x06\x01\x05\x00\x04\x02\x00\x01\x02\x00\x01"
       "a"
       "\x01"
       "b",
       14, false}, /* no size */
      {"\x06\x01\x05\x09\x04\x05\x00\x01\x02\x00\x01"
       "a"
       "\x01"
       "b",
       14, false}, /* more tombstones than entries */
      {"\x06\x01\x05\x09\x04\x02\x00\x03\x02\x00\x01"
       "a"
       "\x01"
       "b",
       14, false}, /* sequences upside down */
      {"\x06\x01\x05\x09\x04\x02\x00\x01\x02\x02\x01"
       "a"
       "\x01"
       "b",
       14, false}, /* unknown flag */
      {"\x06\x01\x05\x09\x04\x02\x00\x01\x02\x00\x01"
       "b"
       "\x01"
       "a",
       14, false}, /* keys upside down */
      {"\x06\x01\x05\x09\x04\x02\x00\x01\x02\x01\x01"
       "a"
       "\x01"
       "a",
       14, false}, /* empty, as its end is exclusive */
      {"\x06\x01\x05\x09\x04\x02\x00\x01\x02\x00\x01"
       "a"
       "\x01"
       "a",
       14, true},
      {"\x06\x01\x05\x09\x04\x02\x00\x01\x02\x00\x00\x01"
       "a",
       13, false}, /* an empty key */
      {"\x06\x01\x05\x09\x04\x02\x00\x01\x02\x00\xff\xff\xff\xff\x0f"
       "a"
       "\x01"
       "a",
       18, false},
  };
  for (size_t i = 0; i < COUNT_OF(cases); i++) {
    if (is_edit(slice_make(cases[i].bytes, cases[i].size)) != cases[i].good) fail_msg("case %zu", i);
  }
}

/* Every allocation fails once: the failure is passed on, nothing leaks, and what was there is still there. */
static void test_out_of_memory(void **state) {
  (void)state;
  buf out;
  buf_init(&out, &memory.base);
  edit e = some_edit(), back;
  TEST_OK(edit_encode(&e, &out));
  edit_free(&e);
  for (uint64_t nth = 1;; nth++) {
    version *base = NULL, *next = NULL;
    edit_init(&back, &memory.base);
    TEST_OK(version_create(&memory.base, &base));
    test_allocator_fail(&memory, nth, false);
    int rc = edit_decode(&back, buf_slice(&out));
    if (rc >= 0) back.tables[0] = back.tables[--back.count]; /* not the table to remove */
    if (rc >= 0) rc = version_apply(base, &back, &next);
    test_allocator_fail(&memory, 0, false);
    if (next != NULL) pin_unref(&next->pin);
    edit_free(&back);
    pin_unref(&base->pin);
    if (rc == VARVE_OK) break;
    TEST_RC(rc, VARVE_NOMEM);
    assert_true(nth < 100);
  }
  buf_free(&out);
}

/* ---- versions ---- */

static void expect_level(const version *v, uint32_t level, const char *numbers) {
  char have[256] = "";
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < v->level[level].count; i++) {
    const table_meta *m = v->level[level].tables[i];
    snprintf(have + strlen(have), sizeof have - strlen(have), "%s%llu", i == 0 ? "" : " ",
             (unsigned long long)m->number);
    bytes += m->size;
  }
  assert_string_equal(have, numbers);
  assert_int_equal(v->level[level].bytes, bytes);
}

static unsigned released;

static void count_release(table_meta *self, void *context) {
  (void)self;
  assert_ptr_equal(context, &released);
  released++;
}

static void test_apply(void **state) {
  (void)state;
  version *v, *old;
  edit e;
  TEST_OK(version_create(&memory.base, &v));
  edit_init(&e, &memory.base);
  add(&e, 1, table(4, "m", "p", false));
  add(&e, 1, table(3, "a", "f", false));
  add(&e, 0, table(6, "b", "z", false));
  add(&e, 0, table(7, "a", "c", false));
  table_meta *tie = table(8, "a", "c", false);
  tie->seq_max = 14; /* as table 7 */
  add(&e, 0, tie);
  TEST_OK(step(&v, &e));
  expect_level(v, 0, "8 7 6");
  expect_level(v, 1, "3 4");
  old = v;
  pin_ref(&old->pin);

  table_meta *moved = v->level[1].tables[1];
  moved->on_release = count_release;
  moved->release_context = &released;
  released = 0;
  edit_init(&e, &memory.base);
  TEST_OK(edit_remove(&e, 0, 7));
  TEST_OK(edit_remove(&e, 1, 4));
  TEST_OK(edit_add(&e, 2, moved)); /* a trivial move */
  add(&e, 1, table(9, "g", "l", false));
  add(&e, 1, table(10, "f\x01", "g", true)); /* its end, exclusive, is where the next one begins */
  TEST_OK(step(&v, &e));
  expect_level(v, 0, "8 6");
  expect_level(v, 1, "3 10 9");
  expect_level(v, 2, "4");
  expect_level(old, 1, "3 4");
  edit_init(&e, &memory.base);
  TEST_OK(edit_remove(&e, 2, 4));
  TEST_OK(step(&v, &e));
  assert_int_equal(released, 0);
  pin_unref(&old->pin);
  assert_int_equal(released, 1);
  edit_init(&e, &memory.base); /* nothing at all is a change, too */
  TEST_OK(step(&v, &e));
  expect_level(v, 1, "3 10 9");
  pin_unref(&v->pin);
}

static void refuse(version **v, edit *e, const char *reason) {
  TEST_RC(step(v, e), VARVE_CORRUPT);
  if (strstr(status_message(), reason) == NULL) fail_msg("%s, not: %s", status_message(), reason);
}

static void test_refused(void **state) {
  (void)state;
  version *v;
  edit e;
  static const struct {
    const char *smallest, *largest;
    bool exclusive, good;
  } cases[] = {
      {"a", "b", false, true},  {"a", "d", false, false}, {"a", "d", true, true},     {"e", "e", false, false},
      {"a", "z", false, false}, {"f", "g", false, false}, {"f\x01", "h", true, true}, {"f\x01", "h", false, false},
      {"h", "h", false, false}, {"k", "l", false, true},  {"j", "l", false, true},    {"i", "l", false, false},
  };
  TEST_OK(version_create(&memory.base, &v));
  edit_init(&e, &memory.base);
  add(&e, 3, table(1, "d", "f", false));
  add(&e, 3, table(2, "h", "j", true));
  TEST_OK(step(&v, &e));
  for (size_t i = 0; i < COUNT_OF(cases); i++) {
    for (int order = 0; order < 2; order++) { /* against what is there, and against what comes with it */
      version *fresh = v;
      pin_ref(&v->pin);
      edit_init(&e, &memory.base);
      add(&e, 3, table(5, cases[i].smallest, cases[i].largest, cases[i].exclusive));
      if (order == 1) {
        TEST_OK(edit_remove(&e, 3, 1));
        TEST_OK(edit_remove(&e, 3, 2));
        add(&e, 3, table(11, "d", "f", false));
        add(&e, 3, table(12, "h", "j", true));
      }
      if (cases[i].good) {
        TEST_OK(step(&fresh, &e));
      } else {
        refuse(&fresh, &e, "overlaps its neighbour");
      }
      pin_unref(&fresh->pin);
    }
  }
  edit_init(&e, &memory.base);
  TEST_OK(edit_remove(&e, 3, 9));
  refuse(&v, &e, "are removed are not there");
  edit_init(&e, &memory.base);
  TEST_OK(edit_remove(&e, 2, 1));
  refuse(&v, &e, "are removed are not there");
  edit_init(&e, &memory.base);
  TEST_OK(edit_remove(&e, 3, 1));
  TEST_OK(edit_remove(&e, 3, 1));
  refuse(&v, &e, "removed twice");
  edit_init(&e, &memory.base);
  add(&e, 0, table(2, "a", "b", false));
  refuse(&v, &e, "although it is there");
  edit_init(&e, &memory.base);
  add(&e, 0, table(5, "a", "b", false));
  add(&e, 1, table(5, "a", "b", false));
  refuse(&v, &e, "added twice");
  expect_level(v, 3, "1 2");
  pin_unref(&v->pin);
}

/* ---- searching, against the plain way ---- */

static void key_of(char out[8], uint32_t n) {
  snprintf(out, 8, "%05u", n);
}

static uint32_t place_of(slice key) {
  uint32_t n = 0;
  for (size_t i = 0; i < key.size; i++) n = n * 10 + (uint32_t)(((const uint8_t *)key.data)[i] - '0');
  return n;
}

static bool key_before(const table_meta *m, const char *key) {
  int order = slice_compare(m->largest, text(key));
  return m->largest_exclusive ? order <= 0 : order < 0;
}

static void check_searches(rng *r, const version_level *l) {
  char begin[8], end[8];
  for (uint32_t i = 0; i < 200; i++) {
    uint32_t at = rng_below(r, 300);
    key_of(begin, at);
    key_of(end, at + rng_below(r, 60));
    if (rng_percent(r, 10)) begin[0] = '\0';
    if (rng_percent(r, 10)) end[0] = '\0';
    uint32_t want = 0, from, to, have_from, have_to;
    while (want < l->count && key_before(l->tables[want], begin)) want++;
    assert_int_equal(version_find(l, text(begin)), want);
    for (from = 0; from < l->count && !table_meta_overlaps(l->tables[from], text(begin), text(end));) from++;
    for (to = from; to < l->count && table_meta_overlaps(l->tables[to], text(begin), text(end));) to++;
    version_overlap(l, text(begin), text(end), &have_from, &have_to);
    assert_int_equal(have_to - have_from, to - from);
    if (to > from) assert_int_equal(have_from, from);
    for (uint32_t t = 0; t < l->count; t++) {
      int order = table_meta_compare(l->tables[t], text(begin));
      if (begin[0] != '\0') assert_int_equal(order < 0, key_before(l->tables[t], begin));
      assert_int_equal(order > 0, slice_compare(text(begin), l->tables[t]->smallest) < 0);
      bool touches = (begin[0] == '\0' || !key_before(l->tables[t], begin)) &&
                     (end[0] == '\0' || slice_compare(l->tables[t]->smallest, text(end)) <= 0);
      assert_int_equal(table_meta_overlaps(l->tables[t], text(begin), text(end)), touches);
    }
  }
}

/* Random edits on one level against a plain map of the key space: 300 places, each held by a table or by none. */
static void test_random_edits(void **state) {
  (void)state;
  rng r = test_rng("random_edits");
  version *v;
  uint64_t number = 1;
  TEST_OK(version_create(&memory.base, &v));
  for (uint32_t round = 0; round < test_scale(300); round++) {
    uint64_t owner[302] = {0};
    edit e;
    edit_init(&e, &memory.base);
    const version_level *l = &v->level[1];
    bool good = true;
    for (uint32_t t = 0; t < l->count; t++) {
      const table_meta *m = l->tables[t];
      bool removed = rng_percent(&r, 30);
      uint32_t from = place_of(m->smallest), to = place_of(m->largest);
      if (removed) TEST_OK(edit_remove(&e, 1, m->number));
      for (uint32_t k = from; !removed && k < to + !m->largest_exclusive; k++) owner[k] = m->number;
    }
    for (uint32_t n = rng_below(&r, 6); n > 0; n--) {
      char smallest[8], largest[8];
      uint32_t from = rng_below(&r, 295), to = from + 1 + rng_below(&r, 5);
      bool exclusive = rng_percent(&r, 50);
      key_of(smallest, from);
      key_of(largest, to);
      for (uint32_t k = from; k < to + !exclusive; k++) {
        good &= owner[k] == 0;
        owner[k] = number;
      }
      add(&e, 1, table(number++, smallest, largest, exclusive));
    }
    TEST_RC(step(&v, &e), good ? VARVE_OK : VARVE_CORRUPT);
    l = &v->level[1];
    for (uint32_t t = 1; t < l->count; t++) {
      assert_true(slice_compare(l->tables[t - 1]->smallest, l->tables[t]->smallest) < 0);
    }
    check_searches(&r, l);
  }
  pin_unref(&v->pin);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_edit_bytes, setup, teardown),
      cmocka_unit_test_setup_teardown(test_edit_hostile, setup, teardown),
      cmocka_unit_test_setup_teardown(test_edit_refused, setup, teardown),
      cmocka_unit_test_setup_teardown(test_out_of_memory, setup, teardown),
      cmocka_unit_test_setup_teardown(test_apply, setup, teardown),
      cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
      cmocka_unit_test_setup_teardown(test_random_edits, setup, teardown),
  };
  return cmocka_run_group_tests_name("version", tests, NULL, NULL);
}
