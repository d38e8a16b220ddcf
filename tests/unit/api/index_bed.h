/* index_bed.h: a database with a keyspace for tests of indexes, extractors, and what a find is expected to give. */
#ifndef INDEX_BED_H
#define INDEX_BED_H

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

static inline void index_expect(int rc, int want, const char *what, int line) {
  if (rc == want) return;
  print_message("line %d: %s gave %s, wanted %s: %s\n", line, what, varve_status_name(rc), varve_status_name(want),
                rc < 0 ? varve_errmsg(NULL) : "");
  fail();
}

static inline varve_slice str(const char *s) {
  return varve_str(s);
}

/* 0 .. 2^31 - 1 */
static inline int bed_random(unsigned *seed) {
  *seed = *seed * 1664525u + 1013904223u;
  unsigned mixed = *seed ^ *seed >> 15;
  mixed *= 0x2c1b3c6du;
  return (int)((mixed ^ mixed >> 13) & 0x7fffffff);
}

typedef struct bed {
  char path[64];
  varve_db *db;
  varve_keyspace *users;
} bed;

static inline void bed_open(bed *b) {
  varve_options o = {.memtable_bytes = 64 << 10, .table_bytes = 64 << 10};
  OK(varve_open(b->path, &o, &b->db));
  OK(varve_keyspace_open(b->db, str("users"), &b->users));
}

static inline int bed_setup(void **state) {
  static int number;
  bed *b = calloc(1, sizeof *b);
  snprintf(b->path, sizeof b->path, "/tmp/varve-index-%d-%d", (int)getpid(), number++);
  bed_open(b);
  *state = b;
  return 0;
}

static inline int bed_teardown(void **state) {
  bed *b = *state;
  char command[100];
  OK(varve_close(b->db));
  snprintf(command, sizeof command, "rm -rf %s", b->path);
  int rc = system(command); /* NOLINT: a name of our own */
  free(b);
  return rc;
}

static inline void bed_reopen(bed *b) {
  OK(varve_close(b->db));
  bed_open(b);
}

/* "key=primary " for each posting, in order; backward too. */
static inline void list(varve_iter *it, char *out, size_t room, bool backward) {
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

static inline void expect_find(varve_index *ix, varve_txn *t, const char *key, const char *want) {
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
    const char *first = want + strcspn(want, "=") + 1;
    assert_memory_equal(v.data, first, v.size);
    assert_int_equal(first[v.size], ' ');
    varve_value_release(&v);
  }
}

static inline void expect_range(varve_index *ix, const char *lower, const char *upper, const char *want) {
  char got[500];
  varve_iter *it;
  OK(varve_index_range(ix, NULL, str(lower), str(upper), &it));
  list(it, got, sizeof got, false);
  assert_string_equal(got, want);
  varve_iter_close(it);
}

static inline void expect_prefix(varve_index *ix, const char *prefix, const char *want) {
  char got[500];
  varve_iter *it;
  OK(varve_index_prefix(ix, NULL, str(prefix), &it));
  list(it, got, sizeof got, false);
  assert_string_equal(got, want);
  varve_iter_close(it);
}

/* ---- indexes that maintain themselves ---- */

/* A row's value is "email,age": age indexed when it is there; "-" as email = none; "a+b" = two. */
static inline int extract_email(void *context, varve_slice key, varve_slice value, varve_index_emit emit,
                                void *emit_context) {
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

static inline int extract_age(void *context, varve_slice key, varve_slice value, varve_index_emit emit,
                              void *emit_context) {
  const char *comma = value.size == 0 ? NULL : memchr(value.data, ',', value.size);
  (void)context;
  (void)key;
  if (comma == NULL) return 0;
  return emit(emit_context, (varve_slice){comma + 1, (size_t)((const char *)value.data + value.size - comma - 1)});
}

static inline varve_index_options email_options(bed *b) {
  return (varve_index_options){.kind = VARVE_HASH, .unique = true, .keyspace = b->users, .extract = extract_email};
}

static inline varve_index_options age_options(bed *b) {
  return (varve_index_options){.kind = VARVE_BTREE, .keyspace = b->users, .extract = extract_age};
}

static inline int put(bed *b, const char *key, const char *value) {
  varve_write_options o = {.keyspace = b->users};
  return varve_put(b->db, str(key), str(value), &o);
}

static inline int del(bed *b, const char *key) {
  varve_write_options o = {.keyspace = b->users};
  return varve_delete(b->db, str(key), &o);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)

#endif
