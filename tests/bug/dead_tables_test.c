/* dead_tables_test.c: when hundreds of tables are dropped at once none of their files stays behind.
 *
 * What was wrong: the list of tables to remove had 256 places; what did not fit in was on the disk until the
 * next open, and in no number of stats.
 */
#include "unit/api/engine_bed.h"

enum { DEAD_TABLES = 300, DEAD_VALUE = TABLE_BYTES_MIN + 100 };

static int dead_count_visit(void *context, file_kind kind, uint64_t number, uint64_t size) {
  (void)number;
  (void)size;
  uint64_t *count = context;
  *count += kind == FILE_SST;
  return 0;
}

static uint64_t dead_files(varve_db *db) {
  uint64_t count = 0;
  TEST_OK(vfs_list(db->env->fs, dead_count_visit, &count));
  return count;
}

static uint64_t dead_live(varve_db *db) {
  varve_stats s = bed_stats(db);
  uint64_t count = 0;
  for (uint32_t level = 0; level < s.levels; level++) count += s.level[level].tables;
  return count;
}

/* A value makes a table of its own. */
static varve_db *dead_fill(void) {
  static uint8_t bytes[DEAD_VALUE];
  varve_options o = {.no_thread = true, .table_bytes = TABLE_BYTES_MIN, .compression = VARVE_COMPRESSION_NONE};
  varve_db *db;
  char text[32];
  rng r = {1};
  TEST_OK(varve_open(":memory:", &o, &db));
  for (uint32_t i = 0; i < DEAD_TABLES; i++) {
    varve_slice value = {bytes, sizeof bytes};
    test_fill(&r, bytes, 64);
    TEST_OK(varve_put(db, bed_key(text, i), value, NULL));
  }
  TEST_OK(varve_compact(db, NULL, NULL));
  assert_true(dead_live(db) > 256);
  assert_int_equal(dead_files(db), dead_live(db));
  return db;
}

static void dropped_tables_leave_no_file(void **state) {
  (void)state;
  varve_db *db = dead_fill();
  TEST_OK(varve_delete_range(db, VARVE_STR("a"), VARVE_STR("z"), NULL));
  TEST_OK(varve_compact(db, NULL, NULL));
  assert_int_equal(dead_live(db), 0);
  assert_int_equal(dead_files(db), 0);
  TEST_OK(varve_close(db));
}

/* They wait for the iterator, and go with the next work after it. */
static void tables_that_an_iterator_holds_go_after_it(void **state) {
  (void)state;
  varve_db *db = dead_fill();
  varve_iter *it;
  uint64_t before = dead_live(db), count = 0;
  TEST_OK(varve_iter_open(db, NULL, &it));
  TEST_OK(varve_delete_range(db, VARVE_STR("a"), VARVE_STR("z"), NULL));
  TEST_OK(varve_compact(db, NULL, NULL));
  assert_int_equal(dead_live(db), 0);
  assert_true(dead_files(db) >= before);
  int rc = varve_iter_first(it);
  for (; rc == VARVE_OK; rc = varve_iter_next(it)) count++;
  TEST_RC(rc, VARVE_DONE);
  assert_int_equal(count, DEAD_TABLES);
  varve_iter_close(it);
  TEST_OK(varve_work(db, 1, NULL));
  assert_int_equal(dead_files(db), 0);
  TEST_OK(varve_close(db));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(dropped_tables_leave_no_file),
      cmocka_unit_test(tables_that_an_iterator_holds_go_after_it),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
