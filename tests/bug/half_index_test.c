/* half_index_test.c: two ways in which an index lost postings. Both were found by the crash simulator.
 *
 * What was wrong: while a unique index is built, a row that is not in it yet may have a key that a row in it has.
 * Deleting the former took the posting of the latter, and the build never came to that row again. And when the drop of
 * a keyspace failed, its indexes counted as dropped in memory: they could not be opened, and the next index that was
 * made took them out of what writes maintain.
 */
#include "unit/api/engine_bed.h"

#include "support/fault_vfs.h"

enum { HALF_ROWS = 1500 }; /* more than a step of a build takes */

static int half_extract(void *context, varve_slice key, varve_slice value, varve_index_emit emit, void *emit_context) {
  (void)context;
  (void)key;
  return emit(emit_context, value);
}

static varve_slice half_number(char *text, int n) {
  (void)snprintf(text, 16, "%06d", n);
  return varve_str(text);
}

/* After the first step a row in front gets the last one's value, and the last one goes. */
static int half_progress(void *context, uint64_t done, uint64_t total) {
  char last[16];
  varve_db **db = context;
  (void)done;
  (void)total;
  if (*db == NULL) return 0;
  varve_slice value = half_number(last, HALF_ROWS - 1);
  TEST_OK(varve_put(*db, VARVE_STR("0"), value, NULL));
  TEST_OK(varve_delete(*db, value, NULL));
  *db = NULL;
  return 0;
}

static void a_row_takes_only_its_own_posting(void **state) {
  (void)state;
  varve_db *db, *once;
  varve_index *ix;
  varve_index_report report;
  varve_options o = {.no_thread = true};
  char text[16];
  TEST_OK(varve_open(":memory:", &o, &db));
  for (int i = 0; i < HALF_ROWS; i++) TEST_OK(varve_put(db, half_number(text, i), half_number(text, i), NULL));
  once = db;
  varve_index_options io = {
      .unique = true, .extract = half_extract, .progress = half_progress, .progress_context = &once};
  TEST_OK(varve_index_create(db, VARVE_STR("by value"), &io, &ix));
  assert_null(once);
  TEST_OK(varve_index_verify(ix, &report, NULL, NULL));
  assert_int_equal(report.rows, HALF_ROWS);
  TEST_OK(varve_close(db));
}

static void indexes_stay_when_a_drop_fails(void **state) {
  (void)state;
  env *e;
  fault_vfs *f;
  varve_db *db;
  varve_keyspace *ks;
  varve_index *ix, *other;
  varve_index_report report;
  varve_options o = {.no_thread = true};
  TEST_OK(env_open(api_allocator(), ":memory:", VFS_PLACE_CREATE, &e));
  TEST_OK(fault_vfs_open(e->fs, &f));
  f->base.traits &= ~VFS_MAP_WRITE;
  e->fs = &f->base;
  TEST_OK(vfs_lock(e->fs, 0));
  TEST_OK(api_open(e, &o, &db));
  TEST_OK(varve_keyspace_open(db, VARVE_STR("rows"), &ks));
  varve_index_options io = {.keyspace = ks, .extract = half_extract};
  varve_write_options w = {.keyspace = ks};
  TEST_OK(varve_index_create(db, VARVE_STR("first"), &io, &ix));
  fault_rule rule = {.ops = FAULT_BIT(FAULT_WRITE), .kind = FILE_WAL, .nth = 1, .status = VARVE_IO};
  fault_vfs_arm(f, rule);
  TEST_RC(varve_keyspace_drop(db, VARVE_STR("rows")), VARVE_IO);
  fault_vfs_disarm(f);
  TEST_OK(varve_index_create(db, VARVE_STR("second"), &io, &other));
  TEST_OK(varve_put(db, VARVE_STR("a"), VARVE_STR("1"), &w));
  TEST_OK(varve_index_open(db, VARVE_STR("first"), NULL, &ix));
  TEST_OK(varve_index_verify(ix, &report, NULL, NULL));
  assert_int_equal(report.entries, 1);
  TEST_OK(varve_close(db));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_row_takes_only_its_own_posting),
                                     cmocka_unit_test(indexes_stay_when_a_drop_fails)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
