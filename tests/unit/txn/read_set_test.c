/* read_set_test.c: what was added is never forgotten, however small the memory: against a list of all of it; how much
 * is kept; and that what is joined lies close together.
 */
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "txn/read_set.h"

enum { LINE = 4000 }; /* keys on the line; a place between two is a key with a byte more */

typedef struct line {
  bool read[2 * LINE]; /* place 2 i = key i, 2 i + 1 = behind it */
} line;

static slice line_key(char text[64], uint32_t place, size_t pad) {
  int n = snprintf(text, 64, "user:%0*u", (int)(6 + pad), place / 2);
  if (place % 2 == 1) text[n++] = '\0'; /* right behind the key */
  return slice_make(text, (size_t)n);
}

static bool item_covers(const read_set *r, const read_item *i, slice key) {
  if (slice_compare(key, read_set_begin(r, i)) < 0) return false;
  if (i->unbounded) return true;
  int order = slice_compare(key, read_set_end(r, i));
  return order < 0 || (order == 0 && i->inclusive);
}

static bool set_covers(const read_set *r, slice key) {
  for (size_t i = 0; i < r->count; i++) {
    if (item_covers(r, &r->items[i], key)) return true;
  }
  return false;
}

static size_t set_bytes(const read_set *r) {
  return r->bytes.size + r->count * sizeof *r->items;
}

static uint32_t line_check(const read_set *r, const line *l, size_t pad) {
  uint32_t covered = 0;
  for (uint32_t place = 0; place < 2 * LINE; place++) {
    char text[64];
    bool covers = set_covers(r, line_key(text, place, pad));
    if (l->read[place] && !covers) fail_msg("place %u is forgotten", place);
    covered += covers;
  }
  return covered;
}

static void line_add(rng *r, read_set *set, line *l, size_t pad) {
  char a[64], b[64];
  uint32_t from = rng_below(r, LINE) * 2, to = from + rng_below(r, 20);
  to = MIN(to, 2u * LINE - 1);
  bool inclusive = rng_percent(r, 50);
  if (rng_percent(r, 70)) {
    TEST_OK(read_set_add_key(set, line_key(a, from, pad)));
    l->read[from] = true;
    return;
  }
  bool unbounded = rng_below(r, 2000) == 0;
  TEST_OK(read_set_add_range(set, line_key(a, from, pad), unbounded ? slice_make("", 0) : line_key(b, to, pad),
                             inclusive && !unbounded));
  uint32_t end = unbounded ? 2 * LINE : to + (inclusive ? 1 : 0);
  for (uint32_t place = from; place < end; place++) l->read[place] = true;
}

static void test_nothing_is_forgotten(void **state) {
  (void)state;
  rng r = test_rng("forgotten");
  test_allocator alloc;
  test_allocator_init(&alloc);
  line *l = malloc(sizeof *l);
  assert_non_null(l);
  for (uint32_t turn = 0; turn < test_scale(40); turn++) {
    read_set set;
    size_t pad = rng_below(&r, 30);
    uint64_t bytes_max = rng_percent(&r, 50) ? 4096 : 200 + rng_below(&r, 20000);
    read_set_init(&set, &alloc.base);
    read_set_clear(&set, bytes_max);
    memset(l, 0, sizeof *l);
    uint32_t adds = rng_below(&r, 1500);
    for (uint32_t i = 0; i < adds; i++) {
      line_add(&r, &set, l, pad);
      assert_true(set_bytes(&set) <= bytes_max || set.count <= 1);
    }
    (void)line_check(&set, l, pad);
    read_set_free(&set);
  }
  free(l);
  test_allocator_check(&alloc);
}

/* While they fit nothing is widened, and what comes again takes nothing. */
static void test_exact_while_it_fits(void **state) {
  (void)state;
  test_allocator alloc;
  test_allocator_init(&alloc);
  static line l;
  read_set set;
  char a[64], b[64];
  read_set_init(&set, &alloc.base);
  read_set_clear(&set, 40000);
  memset(&l, 0, sizeof l);
  for (uint32_t turn = 0; turn < 50; turn++) {
    for (uint32_t k = 0; k < 200; k++) TEST_OK(read_set_add_key(&set, line_key(a, 40 * k, 0)));
    TEST_OK(read_set_add_range(&set, line_key(a, 10, 0), line_key(b, 20, 0), false));
    TEST_OK(read_set_add_range(&set, line_key(a, 20, 0), line_key(b, 20, 0), false)); /* nothing */
    TEST_OK(read_set_add_range(&set, line_key(a, 22, 0), line_key(b, 21, 0), true));  /* nothing */
  }
  for (uint32_t k = 0; k < 200; k++) l.read[40 * k] = true;
  for (uint32_t p = 10; p < 20; p++) l.read[p] = true;
  uint32_t wanted = 0;
  for (uint32_t p = 0; p < 2 * LINE; p++) wanted += l.read[p];
  assert_int_equal(line_check(&set, &l, 0), wanted);
  read_set_free(&set);
  test_allocator_check(&alloc);
}

/* Two crowds of keys far apart: what lies between the crowds stays free. */
static void test_neighbours_are_joined_first(void **state) {
  (void)state;
  test_allocator alloc;
  test_allocator_init(&alloc);
  read_set set;
  char text[64];
  read_set_init(&set, &alloc.base);
  read_set_clear(&set, 4096);
  for (uint32_t i = 0; i < 3000; i++) {
    int n = snprintf(text, sizeof text, "%s%04u", i % 2 == 0 ? "apples/" : "pears/", i);
    TEST_OK(read_set_add_key(&set, slice_make(text, (size_t)n)));
  }
  assert_true(set_bytes(&set) <= 4096);
  assert_false(set_covers(&set, varve_str("bananas")));
  assert_true(set_covers(&set, varve_str("apples/1000")) && set_covers(&set, varve_str("pears/1001")));
  read_set_free(&set);
  test_allocator_check(&alloc);
}

static void test_memory_runs_out(void **state) {
  (void)state;
  rng r = test_rng("memory");
  test_allocator alloc;
  static line l;
  char text[64];
  for (uint64_t nth = 1; nth < 60; nth++) {
    test_allocator_init(&alloc);
    read_set set;
    read_set_init(&set, &alloc.base);
    read_set_clear(&set, 2000);
    memset(&l, 0, sizeof l);
    test_allocator_fail(&alloc, nth, false);
    for (uint32_t i = 0; i < 300; i++) {
      uint32_t place = rng_below(&r, LINE) * 2;
      /* A failure may or may not have added it; the caller's read fails. */
      if (read_set_add_key(&set, line_key(text, place, 0)) == VARVE_OK) l.read[place] = true;
    }
    (void)line_check(&set, &l, 0);
    read_set_free(&set);
    test_allocator_check(&alloc);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_nothing_is_forgotten), cmocka_unit_test(test_exact_while_it_fits),
      cmocka_unit_test(test_neighbours_are_joined_first), cmocka_unit_test(test_memory_runs_out)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
