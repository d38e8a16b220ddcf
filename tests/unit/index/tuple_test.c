/* tuple_test.c: tuples: the bytes are those of docs/FORMAT.md, they sort as the tuples do, hostile ones are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "index/tuple.h"

#define NUMBER(d)  ((varve_tuple_element){.type = VARVE_TUPLE_NUMBER, .number = (d)})
#define INTEGER(i) ((varve_tuple_element){.type = VARVE_TUPLE_NUMBER, .is_integer = true, .integer = (i)})
#define NATURAL(u) ((varve_tuple_element){.type = VARVE_TUPLE_NUMBER, .is_natural = true, .natural = (u)})
#define DATE(d)    ((varve_tuple_element){.type = VARVE_TUPLE_DATE, .number = (d)})
#define BOOLEAN(b) ((varve_tuple_element){.type = VARVE_TUPLE_BOOL, .boolean = (b)})
#define TEXT(s)    ((varve_tuple_element){.type = VARVE_TUPLE_TEXT, .bytes = {(s), sizeof(s) - 1}})
#define BYTES(s)   ((varve_tuple_element){.type = VARVE_TUPLE_BYTES, .bytes = {(s), sizeof(s) - 1}})
#define TYPE(t)    ((varve_tuple_element){.type = VARVE_TUPLE_##t})

static void tuple_hex(const varve_tuple *t, char *out, size_t room) {
  size_t at = 0;
  out[0] = '\0';
  for (size_t i = 0; i < t->size && at + 3 < room; i++) {
    at += (size_t)snprintf(out + at, room - at, "%02x", t->data[i]);
  }
}

static void expect_bytes(const varve_tuple_element *elements, size_t count, const char *hex) {
  uint8_t room[200];
  char got[401];
  varve_tuple t;
  varve_tuple_begin(&t, room, sizeof room);
  for (size_t i = 0; i < count; i++) assert_int_equal(varve_tuple_put(&t, &elements[i]), VARVE_OK);
  tuple_hex(&t, got, sizeof got);
  assert_string_equal(got, hex);
  /* One byte less of room: LIMIT, and nothing is written past it. */
  for (size_t less = 0; less < t.size; less++) {
    uint8_t *tight = malloc(less + 1);
    varve_tuple u;
    int rc = VARVE_OK;
    tight[less] = 0xa5;
    varve_tuple_begin(&u, tight, less);
    for (size_t i = 0; i < count && rc == VARVE_OK; i++) rc = varve_tuple_put(&u, &elements[i]);
    assert_int_equal(rc, VARVE_LIMIT);
    assert_int_equal(tight[less], 0xa5);
    assert_memory_equal(tight, t.data, u.size);
    free(tight);
  }
}
#define EXPECT(hex, ...)                             \
  expect_bytes((varve_tuple_element[]){__VA_ARGS__}, \
               sizeof((varve_tuple_element[]){__VA_ARGS__}) / sizeof(varve_tuple_element), hex)

static varve_tuple_element down(varve_tuple_element e) {
  e.descending = true;
  return e;
}

static void test_format_table(void **state) {
  (void)state;
  EXPECT("102021", TYPE(NULL), BOOLEAN(false), BOOLEAN(true));
  EXPECT("308000000000000000", INTEGER(0));
  EXPECT("308000000000000000", NUMBER(-0.0));
  EXPECT("30bff0000000000000", INTEGER(1));
  EXPECT("30bff0000000000000", NATURAL(1));
  EXPECT("30bff0000000000000", NUMBER(1));
  EXPECT("304007ffffffffffff", NUMBER(-1.5));
  EXPECT("30c3400000000000008001", INTEGER(9007199254740993));
  EXPECT("30c3e00000000000007fff", INTEGER(INT64_MAX));
  EXPECT("303c1fffffffffffff8000", INTEGER(INT64_MIN));
  EXPECT("30c3f00000000000007fff", NATURAL(UINT64_MAX));
  EXPECT("406100ff620040c3a900", TEXT("a\0b"), TEXT("\xc3\xa9"));
  EXPECT("5000ff0100", BYTES("\0\1"));
  EXPECT(
      "407573657200"
      "6030c01c00000000000000",
      TEXT("user"), TYPE(LIST), INTEGER(7), TYPE(END));
  EXPECT("38c278bcfe56800000", DATE(1700000000000.0));
  /* Downwards: the complement, so that a tag has its top bit set. */
  EXPECT("efdfde", down(TYPE(NULL)), down(BOOLEAN(false)), down(BOOLEAN(true)));
  EXPECT("bf9eff009dfffe40c3a900", down(TEXT("a\0b")), TEXT("\xc3\xa9"));
  EXPECT("9fcf3fe3ffffffffffffff", down(TYPE(LIST)), INTEGER(7), TYPE(END));
}

static void test_refused(void **state) {
  uint8_t room[100];
  varve_tuple t;
  (void)state;
  double zero = 0;
  varve_tuple_begin(&t, room, sizeof room);
  varve_tuple_element nan = NUMBER(zero / zero), end = TYPE(END), list = TYPE(LIST), odd = TYPE(NULL);
  assert_int_equal(varve_tuple_put(&t, &nan), VARVE_INVALID);
  assert_int_equal(varve_tuple_put(&t, &end), VARVE_INVALID);
  odd.type = (varve_tuple_type)77;
  assert_int_equal(varve_tuple_put(&t, &odd), VARVE_INVALID);
  const char *texts[] = {"\x80", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc3", "a\xff"};
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    varve_tuple_element text = {.type = VARVE_TUPLE_TEXT, .bytes = {texts[i], strlen(texts[i])}};
    assert_int_equal(varve_tuple_put(&t, &text), VARVE_INVALID);
  }
  for (int i = 0; i < 32; i++) assert_int_equal(varve_tuple_put(&t, &list), VARVE_OK);
  assert_int_equal(varve_tuple_put(&t, &list), VARVE_INVALID);
  assert_int_equal(t.size, 32);
}

static int read_all(slice bytes) {
  uint8_t *scratch = malloc(bytes.size + 1);
  varve_tuple_reader r;
  varve_tuple_element e;
  varve_tuple_read(&r, bytes, scratch, bytes.size);
  int rc;
  while ((rc = varve_tuple_next(&r, &e)) == VARVE_OK) continue;
  free(scratch);
  return rc;
}

static void test_hostile(void **state) {
  static const char *const broken[] = {
      "\x11",
      "\x01",
      "\x7f",
      "\xff",                                         /* no tags */
      "\x30\x80\x01\x01\x01\x01\x01\x01",             /* a number cut short */
      "\x30\xc3\x40\x01\x01\x01\x01\x01\x01\x80",     /* its correction */
      "\x30\xff\xff\xff\xff\xff\xff\xff\xff\x80\x80", /* NaN */
      "\x40\x61",
      "\x40\xc3",
      "\x50\x61",
      "\xbf\x9e",
      "\xbf\x9e\xff",
      "\xbf\x9e\xff\xfd", /* no end */
      "\x60",
      "\x60\x10",
      "\x9f\xef", /* a list without its end */
      "\x60\xef", /* a list that goes both ways */
  };
  (void)state;
  for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
    int rc = read_all(slice_make(broken[i], strlen(broken[i])));
    if (rc != VARVE_CORRUPT) print_message("case %zu gave %d\n", i, rc);
    assert_int_equal(rc, VARVE_CORRUPT);
  }
  assert_int_equal(read_all(slice_make("\x00", 1)), VARVE_CORRUPT);
  assert_int_equal(read_all(slice_make("\x40\xc3\x00", 3)), VARVE_CORRUPT);
  assert_int_equal(read_all(slice_make("", 0)), VARVE_DONE);
  char deep[70];
  memset(deep, 0x60, 33);
  memset(deep + 33, 0, 33);
  assert_int_equal(read_all(slice_make(deep, 66)), VARVE_CORRUPT);
  assert_int_equal(read_all(slice_make(deep + 1, 64)), VARVE_DONE);
}

/* ---- random tuples: order of bytes = order of values; there and back ---- */

typedef struct value {
  varve_tuple_element e;
  __int128 exact; /* of a number: times 2 for halves */
} value;

static const char *const near_texts[] = {"", "a", "ab", "b", "a\x01", "\xc3\xa9", "\xf0\x9f\x98\x80", "zz"};

static value random_value(rng *r) {
  value v = {{.type = (varve_tuple_type)rng_below(r, 6)}, 0};
  switch (v.e.type) {
    case VARVE_TUPLE_BOOL:
      v.e.boolean = rng_percent(r, 50);
      break;
    case VARVE_TUPLE_NUMBER: {
      static const uint64_t near[] = {0, 1, UINT64_C(1) << 53, UINT64_C(1) << 60, INT64_MAX, UINT64_MAX - 3000};
      uint64_t n = near[rng_below(r, 6)];
      n += rng_below(r, 2000);
      if (rng_percent(r, 30)) {
        v.e.number = (double)(int64_t)rng_below(r, 40) / 2 - 10;
        v.exact = (__int128)(v.e.number * 2);
      } else if (n <= INT64_MAX) {
        v.e.is_integer = true;
        v.e.integer = rng_percent(r, 50) ? -(int64_t)n : (int64_t)n;
        v.exact = 2 * (__int128)v.e.integer;
      } else {
        v.e.is_natural = true;
        v.e.natural = n;
        v.exact = 2 * (__int128)n;
      }
      break;
    }
    case VARVE_TUPLE_DATE:
      v.e.number = (double)(int64_t)rng_below(r, 5) - 2;
      break;
    case VARVE_TUPLE_TEXT: {
      const char *s = near_texts[rng_below(r, 8)];
      v.e.bytes = slice_make(s, strlen(s) + (rng_percent(r, 20) ? 1 : 0)); /* with its NUL byte at times */
      break;
    }
    case VARVE_TUPLE_BYTES:
      v.e.bytes = slice_make("\0\xff\0\0\1\xff\xff" + rng_below(r, 4), rng_below(r, 4));
      break;
    default:
      break;
  }
  return v;
}

static int order_of(const value *a, const value *b) {
  if (a->e.type != b->e.type) return a->e.type < b->e.type ? -1 : 1;
  switch (a->e.type) {
    case VARVE_TUPLE_BOOL:
      return (int)a->e.boolean - (int)b->e.boolean;
    case VARVE_TUPLE_NUMBER:
      return (a->exact > b->exact) - (a->exact < b->exact);
    case VARVE_TUPLE_DATE:
      return (a->e.number > b->e.number) - (a->e.number < b->e.number);
    case VARVE_TUPLE_TEXT:
    case VARVE_TUPLE_BYTES:
      return slice_compare(a->e.bytes, b->e.bytes);
    default:
      return 0;
  }
}

static void check_same(const value *v, const varve_tuple_element *e, bool descending) {
  assert_int_equal(e->type, v->e.type);
  assert_int_equal(e->descending, descending);
  if (e->type == VARVE_TUPLE_BOOL) assert_int_equal(e->boolean, v->e.boolean);
  if (e->type == VARVE_TUPLE_DATE) assert_true(e->number >= v->e.number && e->number <= v->e.number);
  if (e->type == VARVE_TUPLE_TEXT || e->type == VARVE_TUPLE_BYTES) assert_true(slice_equal(e->bytes, v->e.bytes));
  if (e->type != VARVE_TUPLE_NUMBER) return;
  bool whole = v->exact % 2 == 0;
  assert_int_equal(e->is_integer, whole && v->exact / 2 <= INT64_MAX);
  assert_int_equal(e->is_natural, whole && v->exact >= 0);
  if (e->is_integer) assert_true(e->integer == (int64_t)(v->exact / 2));
  if (e->is_natural) assert_true(e->natural == (uint64_t)(v->exact / 2));
  if (!whole) assert_true((__int128)(e->number * 2) == v->exact);
}

enum { COLUMNS = 4 };

static void test_random(void **state) {
  (void)state;
  const char *given = getenv("VARVE_TEST_SEED");
  uint64_t seed = given == NULL ? 6 : strtoull(given, NULL, 10);
  print_message("seed %llu\n", (unsigned long long)seed);
  rng r = {seed};
  for (int round = 0; round < 60000; round++) {
    value rows[2][COLUMNS];
    uint8_t room[2][200], scratch[200];
    varve_tuple t[2];
    bool descending[COLUMNS];
    size_t count[2] = {rng_below(&r, COLUMNS + 1), rng_below(&r, COLUMNS + 1)};
    for (size_t c = 0; c < COLUMNS; c++) {
      descending[c] = rng_percent(&r, 40);
      rows[0][c] = random_value(&r);
      rows[1][c] = rng_percent(&r, 50) ? rows[0][c] : random_value(&r);
    }
    for (size_t row = 0; row < 2; row++) {
      varve_tuple_begin(&t[row], room[row], sizeof room[row]);
      for (size_t c = 0; c < count[row]; c++) {
        varve_tuple_element e = rows[row][c].e;
        e.descending = descending[c];
        assert_int_equal(varve_tuple_put(&t[row], &e), VARVE_OK);
      }
      varve_tuple_reader back;
      varve_tuple_read(&back, varve_tuple_slice(&t[row]), scratch, t[row].size);
      for (size_t c = 0; c < count[row]; c++) {
        varve_tuple_element e;
        assert_int_equal(varve_tuple_next(&back, &e), VARVE_OK);
        check_same(&rows[row][c], &e, descending[c]);
      }
      varve_tuple_element none;
      assert_int_equal(varve_tuple_next(&back, &none), VARVE_DONE);
    }
    int expected = 0;
    for (size_t c = 0; expected == 0 && c < COLUMNS; c++) {
      if (c >= count[0] || c >= count[1]) {
        expected = (count[0] > count[1]) - (count[0] < count[1]);
        break;
      }
      expected = order_of(&rows[0][c], &rows[1][c]) * (descending[c] ? -1 : 1);
    }
    int got = slice_compare(varve_tuple_slice(&t[0]), varve_tuple_slice(&t[1]));
    if ((got > 0) - (got < 0) != (expected > 0) - (expected < 0)) {
      print_message("round %d: got %d, expected %d\n", round, got, expected);
      fail();
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_format_table),
      cmocka_unit_test(test_refused),
      cmocka_unit_test(test_hostile),
      cmocka_unit_test(test_random),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
