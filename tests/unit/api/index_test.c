/* index_test.c: indexes through the public interface: manual ones and such as maintain themselves, in transactions and
 * outside, with reopening, compaction, threads and a model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "varve.h"

#define OK(call)         index_expect((call), VARVE_OK, #call, __LINE__)
#define EXPECT(rc, call) index_expect((call), (rc), #call, __LINE__)

static void index_expect(int rc, int want, const char *what, int line) {
  if (rc == want) return;
  print_message("line %d: %s gave %s, wanted %s: %s\n", line, what, varve_status_name(rc), varve_status_name(want),
                rc < 0 ? varve_errmsg(NULL) : "");
  fail();
}

static varve_slice str(const char *s) {
  return varve_str(s);
}

typedef struct bed {
  char path[64];
  varve_db *db;
  varve_keyspace *users;
} bed;

static void bed_open(bed *b) {
  varve_options o = {.memtable_bytes = 64 << 10, .table_bytes = 64 << 10};
  OK(varve_open(b->path, &o, &b->db));
  OK(varve_keyspace_open(b->db, str("users"), &b->users));
}

static int bed_setup(void **state) {
  static int number;
  bed *b = calloc(1, sizeof *b);
  snprintf(b->path, sizeof b->path, "/tmp/varve-index-%d-%d", (int)getpid(), number++);
  bed_open(b);
  *state = b;
  return 0;
}

static int bed_teardown(void **state) {
  bed *b = *state;
  char command[100];
  OK(varve_close(b->db));
  snprintf(command, sizeof command, "rm -rf %s", b->path);
  int rc = system(command); /* NOLINT: a name of our own */
  free(b);
  return rc;
}

static void bed_reopen(bed *b) {
  OK(varve_close(b->db));
  bed_open(b);
}

/* "key=primary " for each posting, in order; backward too. */
static void list(varve_iter *it, char *out, size_t room, bool backward) {
  size_t at = 0;
  out[0] = '\0';
  int rc = backward ? varve_iter_last(it) : varve_iter_first(it);
  for (; rc == VARVE_OK; rc = backward ? varve_iter_prev(it) : varve_iter_next(it)) {
    varve_slice k = varve_iter_key(it), v = varve_iter_value(it);
    at += (size_t)snprintf(out + at, room - at, "%.*s=%.*s ", (int)k.size, (const char *)k.data, (int)v.size,
                           (const char *)v.data);
  }
  assert_int_equal(rc, VARVE_DONE);
}

static void expect_find(varve_index *ix, varve_txn *t, const char *key, const char *want) {
  char got[500];
  varve_iter *it;
  OK(varve_index_find(ix, t, str(key), &it));
  list(it, got, sizeof got, false);
  assert_string_equal(got, want);
  varve_iter_close(it);
  varve_value v;
  int rc = varve_index_get(ix, t, str(key), &v);
  assert_int_equal(rc, want[0] == '\0' ? VARVE_NOTFOUND : VARVE_OK);
  if (rc == VARVE_OK) {
    const char *first = strchr(want, '=') + 1;
    assert_memory_equal(v.data, first, v.size);
    assert_int_equal(first[v.size], ' ');
    varve_value_release(&v);
  }
}

static void expect_range(varve_index *ix, const char *lower, const char *upper, const char *want) {
  char got[500];
  varve_iter *it;
  OK(varve_index_range(ix, NULL, str(lower), str(upper), &it));
  list(it, got, sizeof got, false);
  assert_string_equal(got, want);
  varve_iter_close(it);
}

static void expect_prefix(varve_index *ix, const char *prefix, const char *want) {
  char got[500];
  varve_iter *it;
  OK(varve_index_prefix(ix, NULL, str(prefix), &it));
  list(it, got, sizeof got, false);
  assert_string_equal(got, want);
  varve_iter_close(it);
}

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
    char name[10];
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

/* ---- indexes that maintain themselves ---- */

/* A row's value is "email,age": age indexed when it is there; "-" as email = none; "a+b" = two. */
static int extract_email(void *context, varve_slice key, varve_slice value, varve_index_emit emit, void *emit_context) {
  const char *p = value.data, *end = p + value.size;
  (void)key;
  if (context != NULL) ++*(int *)context;
  const char *comma = memchr(p, ',', value.size);
  if (comma != NULL) end = comma;
  if (end - p == 1 && *p == '-') return 0;
  while (p < end) {
    const char *plus = memchr(p, '+', (size_t)(end - p));
    const char *stop = plus == NULL ? end : plus;
    int rc = emit(emit_context, (varve_slice){p, (size_t)(stop - p)});
    if (rc != 0) return rc;
    p = plus == NULL ? end : plus + 1;
  }
  return 0;
}

static int extract_age(void *context, varve_slice key, varve_slice value, varve_index_emit emit, void *emit_context) {
  const char *comma = value.size == 0 ? NULL : memchr(value.data, ',', value.size);
  (void)context;
  (void)key;
  if (comma == NULL) return 0;
  return emit(emit_context, (varve_slice){comma + 1, (size_t)((const char *)value.data + value.size - comma - 1)});
}

static varve_index_options email_options(bed *b) {
  return (varve_index_options){.kind = VARVE_HASH, .unique = true, .keyspace = b->users, .extract = extract_email};
}

static varve_index_options age_options(bed *b) {
  return (varve_index_options){.kind = VARVE_BTREE, .keyspace = b->users, .extract = extract_age};
}

static int put(bed *b, const char *key, const char *value) {
  varve_write_options o = {.keyspace = b->users};
  return varve_put(b->db, str(key), str(value), &o);
}

static int del(bed *b, const char *key) {
  varve_write_options o = {.keyspace = b->users};
  return varve_delete(b->db, str(key), &o);
}

static void every_write_path(void **state) {
  bed *b = *state;
  varve_index *email, *age;
  varve_index_options eo = email_options(b), ao = age_options(b);
  OK(varve_index_create(b->db, str("email"), &eo, &email));
  OK(varve_index_create(b->db, str("age"), &ao, &age));
  OK(put(b, "1", "a@x,30"));
  OK(put(b, "2", "b@x+bb@x,30"));
  OK(put(b, "3", "-"));
  OK(put(b, "4", "-,25"));
  expect_find(email, NULL, "bb@x", "bb@x=2 ");
  expect_range(age, "", "", "25=4 30=1 30=2 ");
  EXPECT(VARVE_EXISTS, put(b, "5", "a@x,1"));
  expect_find(age, NULL, "1", "");
  EXPECT(VARVE_INVALID, varve_index_insert(age, NULL, str("1"), str("2")));
  OK(put(b, "2", "bb@x+c@x,31"));
  expect_find(email, NULL, "b@x", "");
  expect_find(email, NULL, "c@x", "c@x=2 ");
  expect_range(age, "", "", "25=4 30=1 31=2 ");
  OK(del(b, "1"));
  OK(del(b, "nobody"));
  OK(put(b, "5", "a@x,1"));
  expect_find(email, NULL, "a@x", "a@x=5 ");
  /* A batch, in its order: the key changes hands in it, and a row comes and goes. */
  varve_batch *batch;
  OK(varve_batch_create(&batch));
  OK(varve_batch_delete(batch, b->users, str("5")));
  OK(varve_batch_put(batch, b->users, str("6"), str("a@x,40")));
  OK(varve_batch_put(batch, b->users, str("7"), str("q@x,41")));
  OK(varve_batch_put(batch, b->users, str("7"), str("r@x,42")));
  OK(varve_batch_put(batch, NULL, str("6"), str("not,indexed")));
  OK(varve_write(b->db, batch, NULL));
  expect_find(email, NULL, "a@x", "a@x=6 ");
  expect_find(email, NULL, "q@x", "");
  expect_range(age, "", "", "25=4 31=2 40=6 42=7 ");
  varve_batch_clear(batch);
  OK(varve_batch_put(batch, b->users, str("8"), str("s@x,50")));
  OK(varve_batch_put(batch, b->users, str("9"), str("a@x,51")));
  EXPECT(VARVE_EXISTS, varve_write(b->db, batch, NULL)); /* all of it or nothing */
  expect_find(email, NULL, "s@x", "");
  varve_batch_destroy(batch);
  /* A range. */
  varve_write_options wo = {.keyspace = b->users};
  OK(varve_delete_range(b->db, str("4"), str("7"), &wo));
  expect_range(age, "", "", "31=2 42=7 ");
  OK(varve_delete_range(b->db, str("7"), str("4"), &wo));
  OK(varve_index_verify(email, NULL, NULL, NULL));
  OK(varve_index_verify(age, NULL, NULL, NULL));
  OK(varve_delete_range(b->db, str(""), str(""), &wo));
  expect_range(age, "", "", "");
  varve_index_info info;
  OK(varve_index_get_info(email, &info));
  assert_int_equal(info.entries, 0);
  OK(varve_index_verify(email, NULL, NULL, NULL));
}

static void in_transactions(void **state) {
  bed *b = *state;
  varve_index *email, *age;
  varve_index_options eo = email_options(b), ao = age_options(b);
  OK(varve_index_create(b->db, str("email"), &eo, &email));
  OK(varve_index_create(b->db, str("age"), &ao, &age));
  for (int level = VARVE_READ_COMMITTED; level <= VARVE_SERIALIZABLE; level++) {
    varve_txn_options to = {.isolation = (varve_isolation)level};
    varve_txn *t, *u;
    uint32_t mark;
    OK(put(b, "1", "a@x,30"));
    OK(put(b, "2", "b@x,31"));
    OK(varve_txn_begin(b->db, &to, &t));
    OK(varve_txn_put(t, b->users, str("3"), str("c@x,32")));
    OK(varve_txn_savepoint(t, &mark));
    EXPECT(VARVE_EXISTS, varve_txn_put(t, b->users, str("4"), str("a@x,33")));
    expect_find(age, t, "33", "");
    OK(varve_txn_put(t, b->users, str("1"), str("d@x,34")));
    OK(varve_txn_put(t, b->users, str("4"), str("a@x,33"))); /* it is free now */
    expect_find(email, t, "a@x", "a@x=4 ");
    expect_find(email, NULL, "a@x", "a@x=1 ");
    OK(varve_txn_rollback_to(t, mark));
    expect_find(email, t, "a@x", "a@x=1 ");
    expect_find(email, t, "c@x", "c@x=3 ");
    OK(varve_txn_delete_range(t, b->users, str("2"), str("3")));
    expect_find(email, t, "b@x", "");
    OK(varve_txn_delete(t, b->users, str("1")));
    OK(varve_txn_commit(t));
    varve_txn_close(t);
    expect_range(age, "", "", "32=3 ");
    OK(varve_index_verify(email, NULL, NULL, NULL));
    OK(varve_index_verify(age, NULL, NULL, NULL));
    /* Two that change one row: at every level one of them conflicts, or its postings would stay. */
    OK(varve_txn_begin(b->db, &to, &t));
    OK(varve_txn_begin(b->db, &to, &u));
    OK(varve_txn_put(t, b->users, str("3"), str("e@x,50")));
    OK(varve_txn_put(u, b->users, str("3"), str("f@x,51")));
    OK(varve_txn_commit(t));
    EXPECT(VARVE_CONFLICT, varve_txn_commit(u));
    varve_txn_close(t);
    varve_txn_close(u);
    /* Two that make different rows with one unique key. */
    OK(varve_txn_begin(b->db, &to, &t));
    OK(varve_txn_begin(b->db, &to, &u));
    OK(varve_txn_put(t, b->users, str("5"), str("g@x")));
    OK(varve_txn_put(u, b->users, str("6"), str("g@x")));
    OK(varve_txn_commit(u));
    EXPECT(VARVE_CONFLICT, varve_txn_commit(t));
    varve_txn_close(t);
    varve_txn_close(u);
    expect_find(email, NULL, "g@x", "g@x=6 ");
    /* A range is deleted while a row comes into it. */
    OK(varve_txn_begin(b->db, &to, &t));
    OK(varve_txn_delete_range(t, b->users, str(""), str("")));
    OK(put(b, "7", "h@x,60"));
    EXPECT(level == VARVE_READ_COMMITTED ? VARVE_OK : VARVE_CONFLICT, varve_txn_commit(t));
    varve_txn_close(t);
    OK(varve_index_verify(email, NULL, NULL, NULL));
    OK(varve_index_verify(age, NULL, NULL, NULL));
    expect_find(age, NULL, "60", "60=7 ");
    varve_write_options wo = {.keyspace = b->users};
    OK(varve_delete_range(b->db, str(""), str(""), &wo));
  }
  varve_txn_options ro = {.read_only = true};
  varve_txn *t;
  OK(put(b, "1", "a@x,30"));
  OK(varve_txn_begin(b->db, &ro, &t));
  EXPECT(VARVE_READONLY, varve_txn_put(t, b->users, str("3"), str("c@x,32")));
  OK(put(b, "1", "z@x,31"));
  expect_find(email, t, "a@x", "a@x=1 ");
  OK(varve_txn_commit(t));
  EXPECT(VARVE_CLOSED, varve_index_find(email, t, str("a@x"), &(varve_iter *){NULL}));
  varve_txn_close(t);
}

static void needs_its_extractor(void **state) {
  bed *b = *state;
  varve_index *email;
  varve_index_options eo = email_options(b);
  OK(put(b, "1", "a@x"));
  OK(varve_index_create(b->db, str("email"), &eo, &email));
  bed_reopen(b);
  EXPECT(VARVE_INVALID, put(b, "2", "b@x"));
  assert_non_null(strstr(varve_errmsg(b->db), "varve_index_open"));
  EXPECT(VARVE_INVALID, del(b, "1"));
  OK(varve_put(b->db, str("other"), str("keyspace"), NULL));
  varve_index_options reading = {.kind = 0};
  OK(varve_index_open(b->db, str("email"), &reading, &email));
  expect_find(email, NULL, "a@x", "a@x=1 ");
  EXPECT(VARVE_INVALID, put(b, "2", "b@x"));
  varve_txn *t;
  OK(varve_txn_begin(b->db, NULL, &t));
  EXPECT(VARVE_INVALID, varve_txn_put(t, b->users, str("2"), str("b@x")));
  varve_txn_close(t);
  eo = email_options(b);
  OK(varve_index_open(b->db, str("email"), &eo, &email));
  OK(put(b, "2", "b@x"));
  expect_find(email, NULL, "b@x", "b@x=2 ");
  OK(varve_index_verify(email, NULL, NULL, NULL));
  /* Dropping the keyspace drops it too. */
  OK(varve_keyspace_drop(b->db, str("users")));
  EXPECT(VARVE_NOTFOUND, varve_index_open(b->db, str("email"), NULL, &email));
  OK(varve_keyspace_open(b->db, str("users"), &b->users));
  OK(put(b, "2", "b@x"));
}

/* ---- building ---- */

static int stop_after(void *context, uint64_t done, uint64_t total) {
  (void)done;
  (void)total;
  return --*(int *)context < 0;
}

static void built_in_steps(void **state) {
  bed *b = *state;
  varve_index *age;
  varve_index_options ao = age_options(b);
  char key[20], value[40];
  for (int i = 0; i < 20000; i++) {
    snprintf(key, sizeof key, "%06d", i);
    snprintf(value, sizeof value, "-,%d", i % 50);
    OK(put(b, key, value));
  }
  int steps = 3;
  ao.progress = stop_after;
  ao.progress_context = &steps;
  EXPECT(VARVE_ABORTED, varve_index_create(b->db, str("age"), &ao, &age));
  OK(put(b, "000001", "-,99")); /* below the position and above it */
  OK(put(b, "019999", "-,99"));
  OK(del(b, "000002"));
  for (int round = 0; round < 3; round++) {
    bed_reopen(b);
    EXPECT(VARVE_INVALID, put(b, "x", "-"));
    varve_index_options reading = {.kind = 0};
    OK(varve_index_open(b->db, str("age"), &reading, &age));
    EXPECT(VARVE_INVALID, varve_index_find(age, NULL, str("1"), &(varve_iter *){NULL}));
    ao = age_options(b);
    steps = 3;
    ao.progress = stop_after;
    ao.progress_context = &steps;
    EXPECT(VARVE_ABORTED, varve_index_open(b->db, str("age"), &ao, &age));
  }
  ao.progress = NULL;
  OK(varve_index_open(b->db, str("age"), &ao, &age));
  varve_index_report report;
  OK(varve_index_verify(age, &report, NULL, NULL));
  assert_int_equal(report.rows, 19999);
  assert_int_equal(report.entries, 19999);
  expect_find(age, NULL, "99", "99=000001 99=019999 ");
  OK(varve_index_rebuild(age, NULL, NULL));
  OK(varve_index_verify(age, &report, NULL, NULL));
  assert_int_equal(report.entries, 19999);
  /* One that cannot be: two rows with one key. Nothing of it stays. */
  varve_index_options uo = ao;
  uo.unique = true;
  EXPECT(VARVE_EXISTS, varve_index_create(b->db, str("unique"), &uo, &age));
  assert_non_null(strstr(varve_errmsg(b->db), "unique"));
  EXPECT(VARVE_NOTFOUND, varve_index_open(b->db, str("unique"), NULL, &age));
  OK(put(b, "y", "-,1"));
}

typedef struct churn {
  bed *b;
  _Atomic bool stop;
  unsigned seed;
  uint64_t writes;
} churn;

static void *churn_run(void *context) {
  churn *c = context;
  char key[20], value[40];
  while (!c->stop) {
    snprintf(key, sizeof key, "%06d", rand_r(&c->seed) % 5000);
    snprintf(value, sizeof value, "e%d@x,%d", rand_r(&c->seed) % 20000, rand_r(&c->seed) % 50);
    int rc = rand_r(&c->seed) % 4 == 0 ? del(c->b, key) : put(c->b, key, value);
    if (rc != VARVE_OK && rc != VARVE_EXISTS) print_message("%s\n", varve_errmsg(NULL));
    assert_true(rc == VARVE_OK || rc == VARVE_EXISTS);
    c->writes++;
  }
  return NULL;
}

/* Indexes come and go while two threads write. */
static void built_online(void **state) {
  bed *b = *state;
  varve_index *age, *email;
  varve_index_options ao = age_options(b), eo = email_options(b);
  eo.unique = false;
  char key[20], value[40];
  for (int i = 0; i < 5000; i++) {
    snprintf(key, sizeof key, "%06d", i);
    snprintf(value, sizeof value, "e%d@x,%d", i, i % 50);
    OK(put(b, key, value));
  }
  churn c[2] = {{.b = b, .seed = 1}, {.b = b, .seed = 2}};
  pthread_t threads[2];
  for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, churn_run, &c[i]);
  for (int round = 0; round < 6; round++) {
    OK(varve_index_create(b->db, str("age"), &ao, &age));
    OK(varve_index_create(b->db, str("email"), &eo, &email));
    OK(varve_index_verify(age, NULL, NULL, NULL));
    OK(varve_index_verify(email, NULL, NULL, NULL));
    if (round == 3) OK(varve_compact(b->db, NULL, NULL));
    OK(varve_index_drop(b->db, str("age")));
    OK(varve_index_drop(b->db, str("email")));
  }
  OK(varve_index_create(b->db, str("age"), &ao, &age));
  for (int i = 0; i < 2; i++) {
    c[i].stop = true;
    pthread_join(threads[i], NULL);
  }
  print_message("%llu writes beside it\n", (unsigned long long)(c[0].writes + c[1].writes));
  OK(varve_index_verify(age, NULL, NULL, NULL));
}

/* Unique keys under two threads: of each key one row wins. */
typedef struct racer {
  bed *b;
  char name;
  int won;
} racer;

static void *racer_run(void *context) {
  racer *r = context;
  char key[20], value[40];
  for (int i = 0; i < 500; i++) {
    snprintf(key, sizeof key, "%c%d", r->name, i);
    snprintf(value, sizeof value, "k%d", i);
    int rc = put(r->b, key, value);
    assert_true(rc == VARVE_OK || rc == VARVE_EXISTS);
    r->won += rc == VARVE_OK;
  }
  return NULL;
}

static void one_row_wins(void **state) {
  bed *b = *state;
  varve_index *email;
  varve_index_options eo = email_options(b);
  OK(varve_index_create(b->db, str("email"), &eo, &email));
  racer r[3] = {{b, 'a', 0}, {b, 'b', 0}, {b, 'c', 0}};
  pthread_t threads[3];
  for (int i = 0; i < 3; i++) pthread_create(&threads[i], NULL, racer_run, &r[i]);
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  assert_int_equal(r[0].won + r[1].won + r[2].won, 500);
  varve_index_report report;
  OK(varve_index_verify(email, &report, NULL, NULL));
  assert_int_equal(report.rows, 500);
  assert_int_equal(report.entries, 500);
}

/* ---- a model: rows in an array; both indexes must be what a walk over it says ---- */

enum { MODEL_ROWS = 60, MODEL_KEYS = 12 };

typedef struct model {
  int email[MODEL_ROWS]; /* -1 = no row, MODEL_KEYS = a row without */
  int age[MODEL_ROWS];
} model;

static void model_value(const model *m, int row, char *out, size_t room) {
  if (m->email[row] == MODEL_KEYS) {
    snprintf(out, room, "-,%d", m->age[row]);
  } else {
    snprintf(out, room, "e%d,%d", m->email[row], m->age[row]);
  }
}

static bool model_taken(const model *m, int row, int email) {
  for (int i = 0; i < MODEL_ROWS; i++) {
    if (i != row && m->email[i] == email && email < MODEL_KEYS) return true;
  }
  return false;
}

static void model_check(const model *m, varve_index *email, varve_index *age, varve_txn *t) {
  char key[20], want[1500];
  for (int e = 0; e < MODEL_KEYS; e++) {
    want[0] = '\0';
    snprintf(key, sizeof key, "e%d", e);
    for (int i = 0; i < MODEL_ROWS; i++) {
      if (m->email[i] == e) snprintf(want, sizeof want, "%s=%03d ", key, i);
    }
    expect_find(email, t, key, want);
  }
  for (int a = 0; a < 5; a++) {
    size_t at = 0;
    want[0] = '\0';
    snprintf(key, sizeof key, "%d", a);
    for (int i = 0; i < MODEL_ROWS; i++) {
      if (m->email[i] >= 0 && m->age[i] == a) {
        at += (size_t)snprintf(want + at, sizeof want - at, "%s=%03d ", key, i);
      }
    }
    if (at < 490) expect_find(age, t, key, want);
  }
}

/* One random change through `t`, or outside; the model with it. */
static void model_change(bed *b, model *m, varve_txn *t, unsigned *seed) {
  varve_write_options wo = {.keyspace = b->users};
  char key[20], end[20], value[40];
  int row = rand_r(seed) % MODEL_ROWS, what = rand_r(seed) % 10;
  snprintf(key, sizeof key, "%03d", row);
  if (what < 6) {
    model next = *m;
    next.email[row] = rand_r(seed) % (MODEL_KEYS + 1);
    next.age[row] = rand_r(seed) % 5;
    model_value(&next, row, value, sizeof value);
    int want = model_taken(m, row, next.email[row]) ? VARVE_EXISTS : VARVE_OK;
    EXPECT(want,
           t != NULL ? varve_txn_put(t, b->users, str(key), str(value)) : varve_put(b->db, str(key), str(value), &wo));
    if (want == VARVE_OK) *m = next;
  } else if (what < 9) {
    OK(t != NULL ? varve_txn_delete(t, b->users, str(key)) : varve_delete(b->db, str(key), &wo));
    m->email[row] = -1;
  } else {
    int to = row + rand_r(seed) % 5;
    snprintf(end, sizeof end, "%03d", to);
    OK(t != NULL ? varve_txn_delete_range(t, b->users, str(key), str(end))
                 : varve_delete_range(b->db, str(key), str(end), &wo));
    for (int i = row; i < to && i < MODEL_ROWS; i++) m->email[i] = -1;
  }
}

static void model_txn(bed *b, model *m, varve_index *email, varve_index *age, unsigned *seed) {
  varve_txn_options to = {.isolation = (varve_isolation)(1 + rand_r(seed) % 3)};
  varve_txn *t;
  model inside = *m, marked = *m;
  uint32_t mark = 0;
  OK(varve_txn_begin(b->db, &to, &t));
  int changes = 1 + rand_r(seed) % 20;
  for (int i = 0; i < changes; i++) {
    model_change(b, &inside, t, seed);
    if (mark == 0 && rand_r(seed) % 8 == 0) {
      OK(varve_txn_savepoint(t, &mark));
      marked = inside;
    } else if (mark > 0 && rand_r(seed) % 8 == 0) {
      OK(varve_txn_rollback_to(t, mark));
      inside = marked;
    }
  }
  model_check(&inside, email, age, t);
  model_check(m, email, age, NULL);
  if (rand_r(seed) % 3 > 0) {
    OK(varve_txn_commit(t));
    *m = inside;
  }
  varve_txn_close(t);
}

static void random_model(void **state) {
  bed *b = *state;
  const char *given = getenv("VARVE_TEST_SEED");
  unsigned seed = given == NULL ? 6 : (unsigned)strtoul(given, NULL, 10);
  print_message("seed %u\n", seed);
  varve_index *email, *age;
  varve_index_options eo = email_options(b), ao = age_options(b);
  eo.kind = seed % 2 == 0 ? VARVE_HASH : VARVE_BTREE;
  model m;
  for (int i = 0; i < MODEL_ROWS; i++) m.email[i] = -1;
  for (int i = 0; i < 200; i++) {
    varve_write_options wo = {.keyspace = b->users};
    char key[20], value[40];
    m.email[i % MODEL_ROWS] = i % MODEL_ROWS < MODEL_KEYS ? i % MODEL_ROWS : MODEL_KEYS;
    m.age[i % MODEL_ROWS] = i % 5;
    snprintf(key, sizeof key, "%03d", i % MODEL_ROWS);
    model_value(&m, i % MODEL_ROWS, value, sizeof value);
    OK(varve_put(b->db, str(key), str(value), &wo));
  }
  OK(varve_index_create(b->db, str("email"), &eo, &email));
  OK(varve_index_create(b->db, str("age"), &ao, &age));
  for (int round = 0; round < 400; round++) {
    int what = rand_r(&seed) % 40;
    if (what == 0) {
      bed_reopen(b);
      eo = email_options(b);
      eo.kind = 0;
      OK(varve_index_open(b->db, str("email"), &eo, &email));
      ao = age_options(b);
      OK(varve_index_open(b->db, str("age"), &ao, &age));
    } else if (what == 1) {
      OK(varve_compact(b->db, NULL, NULL));
    } else if (what == 2) {
      OK(varve_flush(b->db));
    } else if (what == 3) {
      OK(varve_index_rebuild(email, NULL, NULL));
    } else if (what < 20) {
      model_txn(b, &m, email, age, &seed);
    } else {
      for (int i = 0; i < 10; i++) model_change(b, &m, NULL, &seed);
    }
    model_check(&m, email, age, NULL);
    if (round % 20 == 0) {
      OK(varve_index_verify(email, NULL, NULL, NULL));
      OK(varve_index_verify(age, NULL, NULL, NULL));
    }
  }
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

/* A transaction that was open when an index came into being has to begin again. */
static void schema_changes(void **state) {
  bed *b = *state;
  varve_index *ix;
  varve_index_options eo = email_options(b);
  for (int level = VARVE_READ_COMMITTED; level <= VARVE_SERIALIZABLE; level++) {
    varve_txn_options to = {.isolation = (varve_isolation)level};
    varve_txn *t;
    OK(varve_txn_begin(b->db, &to, &t));
    OK(varve_txn_put(t, b->users, str("1"), str("a@x")));
    OK(varve_index_create(b->db, str("email"), &eo, &ix));
    EXPECT(VARVE_CONFLICT, varve_txn_commit(t));
    varve_txn_close(t);
    OK(varve_txn_begin(b->db, &to, &t));
    OK(varve_txn_put(t, b->users, str("1"), str("a@x")));
    OK(varve_index_drop(b->db, str("email")));
    EXPECT(VARVE_CONFLICT, varve_txn_commit(t));
    varve_txn_close(t);
  }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(manual_btree),     TEST(manual_hash),     TEST(manual_unique),       TEST(zeros_in_keys),
      TEST(every_write_path), TEST(in_transactions), TEST(needs_its_extractor), TEST(built_in_steps),
      TEST(built_online),     TEST(one_row_wins),    TEST(random_model),        TEST(verify_finds),
      TEST(misuse),           TEST(schema_changes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
