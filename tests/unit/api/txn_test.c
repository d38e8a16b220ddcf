/* txn_test.c: what the isolation table does not ask of transactions: what a conflict tells; values and iterators that
 * outlive their transaction; keyspaces; misuse; memory that runs out; what one costs; a death with some open.
 */
#define _GNU_SOURCE
#include "unit/api/txn_bed.h"

#include <sys/wait.h>
#include <unistd.h>

static void put(varve_db *db, const char *key, const char *value) {
  TEST_OK(varve_put(db, varve_str(key), varve_str(value), NULL));
}

static void is(varve_db *db, const char *key, const char *value) {
  varve_value v;
  int rc = varve_get(db, varve_str(key), NULL, &v);
  TEST_RC(rc, value == NULL ? VARVE_NOTFOUND : VARVE_OK);
  if (value != NULL) assert_true(slice_equal((slice){v.data, v.size}, varve_str(value)));
  varve_value_release(&v);
}

/* ---- what a conflict tells ---- */

static void test_conflict_tells(void **state) {
  (void)state;
  varve_db *db = txn_open(":memory:", false);
  varve_keyspace *space;
  varve_conflict c;
  TEST_OK(varve_keyspace_open(db, VARVE_STR("users"), &space));
  varve_write_options into = {.keyspace = space};
  varve_txn *t = txn_at(db, VARVE_SERIALIZABLE, 1);
  TEST_RC(varve_txn_get_conflict(t, &c), VARVE_NOTFOUND);
  varve_iter_options o = {.keyspace = space, .lower = VARVE_STR("b"), .upper = VARVE_STR("d")};
  uint64_t n;
  TEST_OK(varve_txn_count(t, &o, &n));
  TEST_OK(varve_txn_put(t, NULL, VARVE_STR("x"), VARVE_STR("y")));
  TEST_OK(varve_put(db, VARVE_STR("c\n"), VARVE_STR("1"), &into));
  EXPECT(varve_txn_commit(t), VARVE_CONFLICT, "\"c\\x0a\"");
  bed_says("read");
  TEST_RC(varve_txn_get_conflict(t, &c), VARVE_OK);
  assert_true(c.range && c.read && !c.locked && c.keyspace >= 2);
  assert_true(slice_equal(c.key, VARVE_STR("c\n")) && slice_equal(c.begin, VARVE_STR("b")));
  assert_true(slice_equal(c.end, VARVE_STR("d")));
  varve_txn_close(t);
  t = txn_at(db, VARVE_SNAPSHOT, 1);
  TEST_OK(varve_txn_delete_range(t, space, VARVE_STR("b"), VARVE_STR("")));
  TEST_OK(varve_put(db, VARVE_STR("e"), VARVE_STR("1"), &into));
  EXPECT(varve_txn_commit(t), VARVE_CONFLICT, "wrote");
  TEST_RC(varve_txn_get_conflict(t, &c), VARVE_OK);
  assert_true(c.range && !c.read && c.end.size == 0 && slice_equal(c.key, VARVE_STR("e")));
  varve_txn_close(t);
  TEST_OK(varve_close(db));
}

/* ---- lives ---- */

static void test_values_and_iterators_outlive(void **state) {
  (void)state;
  varve_db *db = txn_open(":memory:", false);
  char big[3000];
  memset(big, 'b', sizeof big);
  put(db, "1", "one");
  varve_txn *t = txn_at(db, VARVE_SERIALIZABLE, 1);
  varve_value own, base;
  TEST_OK(varve_txn_put(t, NULL, VARVE_STR("2"), (varve_slice){big, sizeof big}));
  TEST_RC(varve_txn_get(t, VARVE_STR("2"), NULL, &own), VARVE_OK);
  TEST_RC(varve_txn_get(t, VARVE_STR("1"), NULL, &base), VARVE_OK);
  varve_iter *it;
  TEST_OK(varve_txn_iter_open(t, NULL, &it));
  for (uint32_t i = 0; i < 3000; i++) { /* moves the batch and fills the overlay */
    char text[32];
    TEST_OK(varve_txn_put(t, NULL, bed_key(text, i), VARVE_STR("v")));
    if (i % 100 == 0) TEST_RC(varve_txn_has(t, bed_key(text, i / 2), NULL), VARVE_OK);
  }
  TEST_OK(varve_txn_commit(t));
  varve_txn_close(t);
  for (int i = 0; i < 3; i++) { /* what a next one uses again must not be theirs */
    t = txn_at(db, VARVE_SERIALIZABLE, 1);
    TEST_OK(varve_txn_put(t, NULL, VARVE_STR("2"), VARVE_STR("other")));
    varve_value v;
    TEST_RC(varve_txn_get(t, VARVE_STR("2"), NULL, &v), VARVE_OK);
    assert_int_equal(v.size, 5);
    varve_value_release(&v);
    varve_txn_close(t);
  }
  assert_int_equal(own.size, sizeof big);
  assert_memory_equal(own.data, big, sizeof big);
  assert_memory_equal(base.data, "one", 3);
  TEST_RC(varve_iter_first(it), VARVE_OK);
  TEST_RC(varve_iter_next(it), VARVE_OK);
  assert_int_equal(varve_iter_value(it).size, sizeof big);
  TEST_RC(varve_iter_next(it), VARVE_DONE); /* what was put later is not in it */
  TEST_RC(varve_close(db), VARVE_BUSY);
  varve_iter_close(it);
  varve_value_release(&base);
  TEST_OK(varve_close(db));
  varve_value_release(&own); /* the transaction's own memory, not the database's */
}

static void test_open_transactions_keep_it_open(void **state) {
  (void)state;
  varve_db *db = txn_open(":memory:", false);
  varve_txn *a = txn_at(db, VARVE_READ_COMMITTED, 1), *b = txn_at(db, VARVE_SNAPSHOT, 1);
  EXPECT(varve_close(db), VARVE_BUSY, "2 transactions");
  varve_stats s = bed_stats(db);
  assert_int_equal(s.transactions, 2);
  assert_int_equal(s.snapshots, 1);
  usleep(3000);
  s = bed_stats(db);
  assert_true(s.oldest_snapshot_ms >= 3 && s.oldest_snapshot_ms < 60000);
  TEST_OK(varve_txn_commit(b)); /* it is over, and the handle is still to be closed */
  EXPECT(varve_close(db), VARVE_BUSY, "2 transactions");
  varve_txn_close(a);
  varve_txn_close(b);
  varve_txn_close(NULL);
  TEST_OK(varve_close(db));
}

static void test_keyspaces(void **state) {
  (void)state;
  varve_db *db = txn_open(":memory:", false), *other = txn_open(":memory:", false);
  varve_keyspace *a, *b, *foreign;
  TEST_OK(varve_keyspace_open(db, VARVE_STR("a"), &a));
  TEST_OK(varve_keyspace_open(db, VARVE_STR("b"), &b));
  TEST_OK(varve_keyspace_open(other, VARVE_STR("a"), &foreign));
  for (int level = VARVE_READ_COMMITTED; level <= VARVE_SERIALIZABLE; level++) {
    TEST_OK(varve_keyspace_open(db, VARVE_STR("b"), &b));
    varve_txn *t = txn_at(db, (varve_isolation)level, 1);
    varve_read_options in_a = {.keyspace = a}, in_b = {.keyspace = b};
    TEST_OK(varve_txn_put(t, a, VARVE_STR("k"), VARVE_STR("1")));
    TEST_OK(varve_txn_put(t, b, VARVE_STR("k"), VARVE_STR("2")));
    TEST_RC(varve_txn_put(t, foreign, VARVE_STR("k"), VARVE_STR("2")), VARVE_INVALID);
    TEST_RC(varve_txn_has(t, VARVE_STR("k"), NULL), VARVE_NOTFOUND);
    TEST_RC(varve_txn_has(t, VARVE_STR("k"), &in_a), VARVE_OK);
    TEST_RC(varve_txn_has(t, VARVE_STR("k"), &in_b), VARVE_OK);
    TEST_OK(varve_keyspace_drop(db, VARVE_STR("b")));
    TEST_RC(varve_txn_has(t, VARVE_STR("k"), &in_b), VARVE_CLOSED);
    TEST_RC(varve_txn_commit(t), VARVE_CLOSED);
    TEST_RC(varve_txn_commit(t), VARVE_CLOSED);
    varve_txn_close(t);
    TEST_RC(varve_has(db, VARVE_STR("k"), &in_a), VARVE_NOTFOUND);
  }
  TEST_OK(varve_close(db));
  TEST_OK(varve_close(other));
}

static void test_misuse(void **state) {
  (void)state;
  varve_db *db = txn_open(":memory:", false);
  varve_txn *t;
  varve_value v;
  varve_snapshot *s;
  uint64_t n;
  varve_txn_options bad = {.isolation = (varve_isolation)9}, reserved = {.reserved = {0, 1}};
  TEST_RC(varve_txn_begin(NULL, NULL, &t), VARVE_INVALID);
  TEST_RC(varve_txn_begin(db, NULL, NULL), VARVE_INVALID);
  EXPECT(varve_txn_begin(db, &bad, &t), VARVE_INVALID, "isolation");
  EXPECT(varve_txn_begin(db, &reserved, &t), VARVE_INVALID, "reserved");
  TEST_RC(varve_txn_get(NULL, VARVE_STR("k"), NULL, &v), VARVE_INVALID);
  TEST_RC(varve_txn_commit(NULL), VARVE_INVALID);
  TEST_OK(varve_txn_begin(db, NULL, &t));
  TEST_OK(varve_snapshot_open(db, &s));
  varve_read_options ro = {.snapshot = s};
  varve_iter_options io = {.snapshot = s};
  EXPECT(varve_txn_get(t, VARVE_STR("k"), &ro, &v), VARVE_INVALID, "snapshot");
  EXPECT(varve_txn_count(t, &io, &n), VARVE_INVALID, "snapshot");
  TEST_RC(varve_txn_get(t, VARVE_STR("k"), NULL, NULL), VARVE_INVALID);
  TEST_RC(varve_txn_savepoint(t, NULL), VARVE_INVALID);
  TEST_RC(varve_txn_rollback_to(t, 0), VARVE_INVALID);
  TEST_RC(varve_txn_release(t, 1), VARVE_INVALID);
  TEST_OK(varve_txn_rollback(t));
  EXPECT(varve_txn_put(t, NULL, VARVE_STR("k"), VARVE_STR("v")), VARVE_CLOSED, "over");
  TEST_RC(varve_txn_get(t, VARVE_STR("k"), NULL, &v), VARVE_CLOSED);
  TEST_RC(varve_txn_rollback(t), VARVE_CLOSED);
  varve_txn_close(t);
  varve_snapshot_close(s);
  varve_txn_options ro_txn = {.read_only = true, .isolation = VARVE_SERIALIZABLE};
  TEST_OK(varve_txn_begin(db, &ro_txn, &t));
  TEST_RC(varve_txn_put(t, NULL, VARVE_STR("k"), VARVE_STR("v")), VARVE_READONLY);
  TEST_RC(varve_txn_delete_range(t, NULL, VARVE_STR(""), VARVE_STR("")), VARVE_READONLY);
  TEST_RC(varve_txn_get_for_update(t, VARVE_STR("k"), NULL, &v), VARVE_READONLY);
  TEST_OK(varve_txn_count(t, NULL, &n));
  put(db, "k", "v");
  TEST_RC(varve_txn_has(t, VARVE_STR("k"), NULL), VARVE_NOTFOUND);
  TEST_OK(varve_txn_commit(t));
  varve_txn_close(t);
  TEST_OK(varve_close(db));
}

/* ---- durability, and the end of a process ---- */

static void test_sequence_and_strict(void **state) {
  (void)state;
  char dir[TEST_PATH_MAX], path[BED_PATH_MAX];
  test_dir_create(dir);
  bed_join(path, dir, "db");
  varve_db *db = txn_open(path, true);
  varve_txn *t;
  varve_txn_options o = {.durability = VARVE_STRICT};
  uint64_t syncs = bed_stats(db).syncs;
  TEST_OK(varve_txn_begin(db, &o, &t));
  uint64_t before = varve_txn_sequence(t);
  TEST_OK(varve_txn_put(t, NULL, VARVE_STR("1"), VARVE_STR("a")));
  TEST_OK(varve_txn_put(t, NULL, VARVE_STR("2"), VARVE_STR("b")));
  assert_int_equal(varve_txn_sequence(t), before);
  TEST_OK(varve_txn_commit(t));
  assert_true(varve_txn_sequence(t) == before + 2 && bed_stats(db).sequence == before + 2);
  assert_true(bed_stats(db).syncs > syncs);
  assert_int_equal(bed_stats(db).commits_txn, 1);
  varve_txn_close(t);
  TEST_OK(varve_close(db));
  /* A process that dies in the middle of two. */
  pid_t child = fork();
  if (child == 0) {
    varve_db *mine;
    if (varve_open(path, NULL, &mine) < 0) _exit(1);
    varve_txn *a, *b;
    varve_value v;
    if (varve_txn_begin(mine, NULL, &a) < 0 || varve_txn_begin(mine, NULL, &b) < 0) _exit(2);
    if (varve_txn_put(a, NULL, VARVE_STR("1"), VARVE_STR("x")) < 0 || varve_txn_delete(b, NULL, VARVE_STR("2")) < 0) {
      _exit(3);
    }
    if (varve_txn_get(a, VARVE_STR("1"), NULL, &v) != VARVE_OK || varve_txn_commit(b) != VARVE_OK) _exit(4);
    _exit(0);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  db = txn_open(path, true);
  is(db, "1", "a");
  is(db, "2", NULL);
  TEST_OK(varve_close(db));
  test_dir_remove(dir);
}

/* ---- memory ---- */

/* Reads, ranges, locks, writes, savepoints and iterators, beside a change of what is read: OK is never an answer. */
static int starved(varve_db *db, bool point) {
  varve_txn *t = NULL;
  varve_iter *it = NULL;
  varve_value v = {0};
  uint32_t number;
  char text[32];
  varve_txn_options o = {.isolation = VARVE_SERIALIZABLE, .read_set_bytes = 1, .lock_wait_ms = 1};
  int rc = VARVE_OK;
  STEP(varve_txn_begin(db, &o, &t));
  STEP(varve_txn_get_for_update(t, VARVE_STR("l"), NULL, &v));
  for (uint32_t i = 0; i < 200; i++) STEP(varve_txn_has(t, bed_key(text, 2 * i), NULL));
  for (uint32_t i = 0; i < 30; i++) STEP(varve_txn_put(t, NULL, bed_key(text, 1000 + i), bed_key(text, i)));
  STEP(varve_txn_savepoint(t, &number));
  STEP(varve_txn_delete_range(t, NULL, VARVE_STR("key00001"), VARVE_STR("key00002")));
  STEP(varve_txn_get(t, VARVE_STR("key00001005"), NULL, &v));
  STEP(varve_txn_iter_open(t, NULL, &it));
  rc = varve_iter_last(it);
  for (int i = 0; i < 5 && rc == VARVE_OK; i++) rc = varve_iter_prev(it);
  if (rc < 0) goto out;
  STEP(varve_txn_rollback_to(t, number));
  STEP(varve_txn_has(t, VARVE_STR("key00001005"), NULL));
  varve_iter_close(it);
  it = NULL;
  /* A key that was read, or one behind the last, which the iterator has read. */
  STEP(varve_put(db, point ? VARVE_STR("key00000100") : VARVE_STR("z"), VARVE_STR("changed"), NULL));
  varve_value_release(&v);
  STEP(varve_txn_commit(t));
  TEST_RC(rc, VARVE_CONFLICT);
out:
  varve_value_release(&v);
  varve_iter_close(it);
  varve_txn_close(t);
  return rc;
}

static void test_memory_runs_out(void **state) {
  (void)state;
  uint32_t failures = 0;
  for (uint64_t turn = 2; turn < 800; turn++) {
    uint64_t nth = turn / 2;
    bool point = turn % 2 == 0;
    test_allocator alloc;
    env *e;
    varve_db *db;
    varve_options o = {.no_thread = true};
    test_allocator_init(&alloc);
    TEST_OK(env_open(&alloc.base, ":memory:", VFS_PLACE_CREATE, &e));
    TEST_OK(vfs_lock(e->fs, 0));
    TEST_OK(api_open(e, &o, &db));
    test_allocator_fail(&alloc, nth, false);
    int rc = starved(db, point);
    bool failed = atomic_load(&alloc.failures) > 0;
    test_allocator_fail(&alloc, 0, false);
    if (rc < 0) {
      TEST_RC(rc, VARVE_NOMEM);
      failures++;
    }
    TEST_RC(starved(db, point), VARVE_CONFLICT); /* it goes on as if nothing had been */
    varve_stats s = bed_stats(db);
    assert_true(s.transactions == 0 && s.snapshots == 0 && s.iterators == 0);
    uint64_t n;
    TEST_OK(varve_count(db, NULL, &n));
    assert_int_equal(n, 1);
    TEST_OK(varve_close(db));
    test_allocator_check(&alloc);
    if (!failed) break; /* every allocation has failed once */
  }
  print_message("%u allocations failed\n", failures);
  assert_true(failures > 10);
}

/* ---- cost ---- */

static void test_memory_is_used_again(void **state) {
  (void)state;
  varve_db *db = txn_open(":memory:", false);
  uint64_t used = 0;
  for (uint32_t i = 0; i < 400; i++) {
    varve_txn *t = txn_at(db, VARVE_SERIALIZABLE, 1);
    varve_value v;
    for (uint32_t n = 0; n < 20; n++) {
      char text[32];
      TEST_OK(varve_txn_put(t, NULL, bed_key(text, n), VARVE_STR("value")));
      TEST_RC(varve_txn_get(t, bed_key(text, n), NULL, &v), VARVE_OK);
      varve_value_release(&v);
    }
    TEST_OK(varve_txn_rollback(t));
    varve_txn_close(t);
    if (i == 2) used = bed_stats(db).memory_bytes;
  }
  assert_true(bed_stats(db).memory_bytes == used);
  TEST_OK(varve_close(db));
}

static void test_many_savepoints(void **state) {
  (void)state;
  varve_db *db = txn_open(":memory:", false);
  varve_txn *t = txn_at(db, VARVE_SNAPSHOT, 1);
  char text[32];
  uint32_t number;
  for (uint32_t i = 1; i <= 500; i++) {
    TEST_OK(varve_txn_savepoint(t, &number));
    assert_int_equal(number, i);
    TEST_OK(varve_txn_put(t, NULL, bed_key(text, i), VARVE_STR("v")));
    if (i % 7 == 0) TEST_RC(varve_txn_has(t, bed_key(text, i / 2), NULL), VARVE_OK);
  }
  uint64_t n;
  TEST_OK(varve_txn_count(t, NULL, &n));
  assert_int_equal(n, 500);
  TEST_OK(varve_txn_rollback_to(t, 101));
  TEST_OK(varve_txn_count(t, NULL, &n));
  assert_int_equal(n, 100);
  TEST_RC(varve_txn_rollback_to(t, 102), VARVE_INVALID);
  TEST_OK(varve_txn_release(t, 50));
  TEST_RC(varve_txn_rollback_to(t, 50), VARVE_INVALID);
  TEST_OK(varve_txn_rollback_to(t, 49));
  TEST_OK(varve_txn_commit(t));
  varve_txn_close(t);
  TEST_OK(varve_count(db, NULL, &n));
  assert_int_equal(n, 48);
  TEST_OK(varve_close(db));
}

int main(void) {
  const struct CMUnitTest tests[] = {

      cmocka_unit_test(test_conflict_tells),
      cmocka_unit_test(test_values_and_iterators_outlive),
      cmocka_unit_test(test_open_transactions_keep_it_open),
      cmocka_unit_test(test_keyspaces),
      cmocka_unit_test(test_misuse),
      cmocka_unit_test(test_sequence_and_strict),
      cmocka_unit_test(test_memory_runs_out),
      cmocka_unit_test(test_memory_is_used_again),
      cmocka_unit_test(test_many_savepoints)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
