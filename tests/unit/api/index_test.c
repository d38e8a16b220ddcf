/* index_test.c: manual indexes, verification and misuse, through the public interface. */
#include "unit/api/index_bed.h"

/* ---- manual ones ---- */

static void manual_btree(void **state) {
  bed *b = *state;
  varve_index *ix, *same;
  varve_iter *it;
  char got[500];
  OK(varve_index_create(b->db, str("age"), NULL, &ix));
  EXPECT(VARVE_EXISTS, varve_index_create(b->db, str("age"), NULL, &same));
  const char *rows[][2] = {{"30", "bob"}, {"25", "eve"}, {"30", "ann"}, {"300", "tom"}, {"4", "kim"}};
  for (size_t i = 0; i < 5; i++) OK(varve_index_insert(ix, NULL, str(rows[i][0]), str(rows[i][1])));
  OK(varve_index_insert(ix, NULL, str("30"), str("ann"))); /* once is enough */
  for (int round = 0; round < 3; round++) {
    expect_find(ix, NULL, "30", "30=ann 30=bob ");
    expect_find(ix, NULL, "3", "");
    expect_range(ix, "", "", "25=eve 30=ann 30=bob 300=tom 4=kim ");
    expect_range(ix, "30", "4", "30=ann 30=bob 300=tom ");
    expect_range(ix, "26", "300", "30=ann 30=bob ");
    expect_range(ix, "4", "3", "");
    expect_prefix(ix, "3", "30=ann 30=bob 300=tom ");
    expect_prefix(ix, "", "25=eve 30=ann 30=bob 300=tom 4=kim ");
    OK(varve_index_range(ix, NULL, str(""), str(""), &it));
    list(it, got, sizeof got, true);
    assert_string_equal(got, "4=kim 300=tom 30=bob 30=ann 25=eve ");
    OK(varve_iter_seek(it, str("26")));
    assert_memory_equal(varve_iter_value(it).data, "ann", 3);
    OK(varve_iter_seek_for_prev(it, str("30")));
    assert_memory_equal(varve_iter_value(it).data, "bob", 3);
    OK(varve_iter_seek_for_prev(it, str("31")));
    assert_memory_equal(varve_iter_value(it).data, "tom", 3);
    EXPECT(VARVE_DONE, varve_iter_seek_for_prev(it, str("2")));
    EXPECT(VARVE_DONE, varve_iter_status(it));
    varve_iter_close(it);
    OK(varve_index_min(ix, NULL, &it));
    assert_memory_equal(varve_iter_value(it).data, "eve", 3);
    varve_iter_close(it);
    OK(varve_index_max(ix, NULL, &it));
    assert_memory_equal(varve_iter_value(it).data, "kim", 3);
    varve_iter_close(it);
    if (round == 0) OK(varve_compact(b->db, NULL, NULL));
    if (round == 1) bed_reopen(b);
    OK(varve_index_open(b->db, str("age"), NULL, &ix));
  }
  EXPECT(VARVE_NOTFOUND, varve_index_remove(ix, NULL, str("30"), str("tom")));
  OK(varve_index_remove(ix, NULL, str("30"), str("ann")));
  expect_find(ix, NULL, "30", "30=bob ");
  varve_index_info info;
  OK(varve_index_get_info(ix, &info));
  assert_int_equal(info.entries, 4);
  assert_true(info.kind == VARVE_BTREE && !info.unique && info.ready && !info.maintained);
  assert_memory_equal(info.name.data, "age", 3);
  OK(varve_index_verify(ix, NULL, NULL, NULL));
  OK(varve_index_drop(b->db, str("age")));
  EXPECT(VARVE_CLOSED, varve_index_get_info(ix, &info));
  EXPECT(VARVE_CLOSED, varve_index_insert(ix, NULL, str("a"), str("b")));
  EXPECT(VARVE_NOTFOUND, varve_index_open(b->db, str("age"), NULL, &ix));
  EXPECT(VARVE_NOTFOUND, varve_index_drop(b->db, str("age")));
  OK(varve_index_create(b->db, str("age"), NULL, &ix));
  EXPECT(VARVE_NOTFOUND, varve_index_min(ix, NULL, &it));
}

static void manual_hash(void **state) {
  bed *b = *state;
  varve_index *ix;
  varve_iter *it;
  varve_index_options o = {.kind = VARVE_HASH};
  OK(varve_index_create(b->db, str("city"), &o, &ix));
  char primary[16], key[16];
  for (int i = 0; i < 3000; i++) {
    snprintf(key, sizeof key, "city%d", i % 1000);
    snprintf(primary, sizeof primary, "%04d", i);
    OK(varve_index_insert(ix, NULL, str(key), str(primary)));
  }
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < 1000; i++) {
      char want[100];
      snprintf(key, sizeof key, "city%d", i);
      snprintf(want, sizeof want, "%s=%04d %s=%04d %s=%04d ", key, i, key, i + 1000, key, i + 2000);
      expect_find(ix, NULL, key, want);
    }
    expect_find(ix, NULL, "city", "");
    expect_find(ix, NULL, "city1000", "");
    OK(varve_index_find(ix, NULL, str("city7"), &it));
    OK(varve_iter_seek(it, str("city7")));
    OK(varve_iter_seek(it, str("a")));
    OK(varve_iter_seek_for_prev(it, str("z")));
    assert_memory_equal(varve_iter_value(it).data, "2007", 4);
    EXPECT(VARVE_DONE, varve_iter_seek(it, str("d")));
    EXPECT(VARVE_DONE, varve_iter_seek_for_prev(it, str("a")));
    varve_iter_close(it);
    if (round == 0) bed_reopen(b);
    OK(varve_index_open(b->db, str("city"), &o, &ix));
    if (round == 1) OK(varve_compact(b->db, NULL, NULL));
  }
  EXPECT(VARVE_UNSUPPORTED, varve_index_range(ix, NULL, str("a"), str("b"), &it));
  EXPECT(VARVE_UNSUPPORTED, varve_index_prefix(ix, NULL, str("a"), &it));
  EXPECT(VARVE_UNSUPPORTED, varve_index_min(ix, NULL, &it));
  OK(varve_index_verify(ix, NULL, NULL, NULL));
  varve_index_options other = {.kind = VARVE_BTREE};
  EXPECT(VARVE_INVALID, varve_index_open(b->db, str("city"), &other, &ix));
}

static void manual_unique(void **state) {
  bed *b = *state;
  for (int kind = VARVE_BTREE; kind <= VARVE_HASH; kind++) {
    varve_index_options o = {.kind = (varve_index_kind)kind, .unique = true};
    varve_index *ix;
    char name[16];
    snprintf(name, sizeof name, "u%d", kind);
    OK(varve_index_create(b->db, str(name), &o, &ix));
    OK(varve_index_insert(ix, NULL, str("k"), str("1")));
    OK(varve_index_insert(ix, NULL, str("k"), str("1")));
    EXPECT(VARVE_EXISTS, varve_index_insert(ix, NULL, str("k"), str("2")));
    EXPECT(VARVE_NOTFOUND, varve_index_remove(ix, NULL, str("k"), str("2")));
    expect_find(ix, NULL, "k", "k=1 ");
    OK(varve_index_remove(ix, NULL, str("k"), str("1")));
    OK(varve_index_insert(ix, NULL, str("k"), str("2")));
    OK(varve_index_insert(ix, NULL, str("k2"), str("2")));
    bed_reopen(b);
    OK(varve_index_open(b->db, str(name), &o, &ix));
    expect_find(ix, NULL, "k", "k=2 ");
    if (kind == VARVE_BTREE) expect_range(ix, "", "", "k=2 k2=2 ");
    /* Two transactions insert one key: the second is told, at the commit. */
    varve_txn *t1, *t2;
    for (int level = VARVE_READ_COMMITTED; level <= VARVE_SERIALIZABLE; level++) {
      varve_txn_options to = {.isolation = (varve_isolation)level};
      snprintf(name, sizeof name, "x%d", level);
      OK(varve_txn_begin(b->db, &to, &t1));
      OK(varve_txn_begin(b->db, &to, &t2));
      OK(varve_index_insert(ix, t1, str(name), str("a")));
      expect_find(ix, t2, name, "");
      OK(varve_index_insert(ix, t2, str(name), str("b")));
      expect_find(ix, t2, name, level == 1 ? "x1=b " : level == 2 ? "x2=b " : "x3=b ");
      EXPECT(VARVE_EXISTS, varve_index_insert(ix, t2, str(name), str("c")));
      OK(varve_txn_commit(t1));
      EXPECT(VARVE_CONFLICT, varve_txn_commit(t2));
      varve_txn_close(t1);
      varve_txn_close(t2);
      EXPECT(VARVE_EXISTS, varve_index_insert(ix, NULL, str(name), str("b")));
    }
  }
}

/* Keys with zeros, of all kinds, in order. */
static void zeros_in_keys(void **state) {
  bed *b = *state;
  varve_index *ix;
  OK(varve_index_create(b->db, str("z"), NULL, &ix));
  static unsigned char keys[400][600];
  size_t sizes[400], count = 0;
  const size_t runs[] = {0, 1, 2, 125, 126, 127, 128, 252, 253, 254, 300};
  for (size_t head = 0; head < 2; head++) {
    for (size_t r = 0; r < sizeof runs / sizeof runs[0]; r++) {
      for (int tail = -1; tail < 3; tail++) {
        unsigned char *k = keys[count];
        size_t n = 0;
        if (head == 1) k[n++] = 1;
        memset(k + n, 0, runs[r]);
        n += runs[r];
        if (tail >= 0) k[n++] = (unsigned char)(tail == 0 ? 1 : tail == 1 ? 0x80 : 0xff);
        sizes[count++] = n;
      }
    }
  }
  for (size_t i = 0; i < count; i++) {
    OK(varve_index_insert(ix, NULL, (varve_slice){keys[i], sizes[i]}, (varve_slice){keys[i], sizes[i] % 7}));
  }
  varve_iter *it;
  OK(varve_index_range(ix, NULL, str(""), str(""), &it));
  size_t seen = 0;
  unsigned char last[700];
  size_t last_size = 0;
  for (int rc = varve_iter_first(it); rc == VARVE_OK; rc = varve_iter_next(it)) {
    varve_slice k = varve_iter_key(it);
    size_t n = k.size < last_size ? k.size : last_size;
    int order = n == 0 ? 0 : memcmp(last, k.data, n);
    assert_true(seen == 0 || order < 0 || (order == 0 && last_size <= k.size));
    assert_int_equal(varve_iter_value(it).size, k.size % 7);
    memcpy(last, k.data, k.size);
    last_size = k.size;
    seen++;
  }
  varve_iter_close(it);
  varve_index_info info;
  OK(varve_index_get_info(ix, &info));
  assert_int_equal(info.entries, seen);
  for (size_t i = 0; i < count; i++) {
    varve_value v;
    OK(varve_index_get(ix, NULL, (varve_slice){keys[i], sizes[i]}, &v));
    assert_int_equal(v.size, sizes[i] % 7);
    varve_value_release(&v);
  }
  OK(varve_index_verify(ix, NULL, NULL, NULL));
}

/* ---- verify finds what is wrong; misuse ---- */

static int extract_liar(void *context, varve_slice key, varve_slice value, varve_index_emit emit, void *emit_context) {
  if (*(int *)context == 1) return emit(emit_context, str("other"));
  if (*(int *)context == 2) return 0;
  return extract_email(NULL, key, value, emit, emit_context);
}

static void verify_finds(void **state) {
  bed *b = *state;
  varve_index *ix;
  varve_index_report report;
  int lie = 0;
  varve_index_options o = {.kind = VARVE_HASH, .keyspace = b->users, .extract = extract_liar, .context = &lie};
  OK(varve_index_create(b->db, str("liar"), &o, &ix));
  OK(put(b, "1", "a@x"));
  OK(put(b, "2", "b@x"));
  OK(varve_index_verify(ix, &report, NULL, NULL));
  assert_int_equal(report.rows, 2);
  lie = 1;
  EXPECT(VARVE_CORRUPT, varve_index_verify(ix, &report, NULL, NULL));
  assert_int_equal(report.missing, 2);
  assert_int_equal(report.wrong, 2);
  assert_true(report.first[0] != '\0');
  OK(varve_index_rebuild(ix, NULL, NULL));
  OK(varve_index_verify(ix, &report, NULL, NULL));
  expect_find(ix, NULL, "other", "other=1 other=2 ");
  lie = 2; /* the row goes and its posting stays */
  OK(del(b, "1"));
  lie = 1;
  EXPECT(VARVE_CORRUPT, varve_index_verify(ix, &report, NULL, NULL));
  assert_int_equal(report.missing, 0);
  assert_int_equal(report.wrong, 1);
}

static int failing(void *context, varve_slice key, varve_slice value, varve_index_emit emit, void *emit_context) {
  (void)key;
  (void)value;
  (void)emit;
  (void)emit_context;
  return *(int *)context;
}

static int count_names(void *context, varve_slice name) {
  (void)name;
  ++*(int *)context;
  return 0;
}

static void misuse(void **state) {
  bed *b = *state;
  varve_index *ix = NULL, *other;
  varve_index_options o = {.kind = (varve_index_kind)3};
  static char large[70000];
  EXPECT(VARVE_INVALID, varve_index_create(b->db, str("x"), &o, &ix));
  o = (varve_index_options){.reserved = {1}};
  EXPECT(VARVE_INVALID, varve_index_create(b->db, str("x"), &o, &ix));
  EXPECT(VARVE_INVALID, varve_index_create(b->db, str(""), NULL, &ix));
  EXPECT(VARVE_INVALID, varve_index_create(b->db, (varve_slice){large, 256}, NULL, &ix));
  EXPECT(VARVE_INVALID, varve_index_create(b->db, str("x"), NULL, NULL));
  EXPECT(VARVE_INVALID, varve_index_insert(NULL, NULL, str("x"), str("y")));
  EXPECT(VARVE_NOTFOUND, varve_index_open(b->db, str("x"), NULL, &ix));
  OK(varve_index_create(b->db, str("x"), NULL, &ix));
  memset(large, 1, sizeof large);
  OK(varve_index_insert(ix, NULL, (varve_slice){large, 40000}, str("y")));
  EXPECT(VARVE_KEY_TOO_LARGE, varve_index_insert(ix, NULL, (varve_slice){large, 40000}, (varve_slice){large, 40000}));
  EXPECT(VARVE_KEY_TOO_LARGE, varve_index_insert(ix, NULL, (varve_slice){large, 66000}, str("y")));
  EXPECT(VARVE_INVALID, varve_index_rebuild(ix, NULL, NULL));
  int rc = 7, names = 0;
  o = (varve_index_options){.keyspace = b->users, .extract = failing, .context = &rc};
  EXPECT(VARVE_INVALID, varve_index_open(b->db, str("x"), &o, &other));
  OK(varve_index_create(b->db, str("f"), &o, &other));
  EXPECT(VARVE_ABORTED, put(b, "1", "a"));
  rc = VARVE_IO;
  EXPECT(VARVE_IO, put(b, "1", "a"));
  rc = 0;
  OK(put(b, "1", "a"));
  OK(varve_index_list(b->db, count_names, &names));
  assert_int_equal(names, 2);
  names = 0;
  OK(varve_keyspace_list(b->db, count_names, &names));
  assert_int_equal(names, 1);
  varve_db *second;
  varve_txn *t;
  OK(varve_open(":memory:", NULL, &second));
  OK(varve_txn_begin(second, NULL, &t));
  EXPECT(VARVE_INVALID, varve_index_insert(ix, t, str("x"), str("y")));
  varve_txn_close(t);
  OK(varve_close(second));
  varve_iter *it;
  OK(varve_index_range(ix, NULL, str(""), str(""), &it));
  EXPECT(VARVE_BUSY, varve_close(b->db));
  varve_iter_close(it);
  bed_reopen(b);
  EXPECT(VARVE_CLOSED, varve_index_insert(ix, NULL, str("x"), str("y")));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(manual_btree), TEST(manual_hash), TEST(manual_unique), TEST(zeros_in_keys), TEST(verify_finds), TEST(misuse),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
