/* backup_history_test.c: a backup is brought up to date by the database that it is of, and by no other
 * history of it.
 *
 * What was wrong: a copy of a database (cp -r) has its id, and gives its next tables the same numbers. A
 * table with the number and the size of one in the target counted as that table: the backup of one copy
 * reported success and held what the other had written. And an old copy could take a newer backup back to its
 * own state.
 */
#include "unit/api/engine_bed.h"

typedef struct history {
  char dir[TEST_PATH_MAX], a[BED_PATH_MAX], b[BED_PATH_MAX], target[BED_PATH_MAX];
} history;

static int history_setup(void **state) {
  history *h = calloc(1, sizeof *h);
  assert_non_null(h);
  test_dir_create(h->dir);
  bed_join(h->a, h->dir, "a");
  bed_join(h->b, h->dir, "b");
  bed_join(h->target, h->dir, "target");
  *state = h;
  return 0;
}

static int history_teardown(void **state) {
  history *h = *state;
  test_dir_remove(h->dir);
  free(h);
  return 0;
}

static varve_db *history_open(const char *path) {
  varve_options o = {.no_thread = true};
  varve_db *db;
  TEST_OK(varve_open(path, &o, &db));
  return db;
}

/* Database a with one entry, and b, its copy, both open. */
static void history_fork(const history *h, varve_db **a, varve_db **b) {
  static bed_image image;
  *a = history_open(h->a);
  TEST_OK(bed_put(*a, 0, 1, 100));
  TEST_OK(varve_close(*a));
  bed_image_of_dir(h->a, &image);
  bed_image_to_dir(&image, h->b);
  bed_image_free(&image);
  *a = history_open(h->a);
  *b = history_open(h->b);
}

/* The backup holds key i with that turn's value, and is whole. */
static void history_check(const history *h, uint32_t i, uint32_t turn, size_t size) {
  varve_options o = {.read_only = true};
  varve_db *db;
  TEST_OK(varve_open(h->target, &o, &db));
  bed_check(db, 0, 1, 100);
  bed_check(db, i, turn, size);
  TEST_OK(varve_verify(db, NULL, NULL, NULL));
  TEST_OK(varve_close(db));
}

/* db's backup is refused, and the target stays as it is to the byte. */
static void history_refuse(const history *h, varve_db *db, const char *word) {
  static bed_image before, after;
  bed_image_of_dir(h->target, &before);
  EXPECT(varve_backup(db, h->target, NULL, NULL, NULL), VARVE_EXISTS, word);
  bed_image_of_dir(h->target, &after);
  assert_true(bed_image_equal(&before, &after));
  bed_image_free(&before);
  bed_image_free(&after);
}

static void another_history_is_refused(void **state) {
  const history *h = *state;
  varve_db *a, *b;
  history_fork(h, &a, &b);
  TEST_OK(bed_put(a, 1, 2, 100));
  TEST_OK(bed_put(b, 1, 3, 100)); /* of the same size */
  TEST_OK(varve_backup(a, h->target, NULL, NULL, NULL));
  history_check(h, 1, 2, 100);
  history_refuse(h, b, "another history");
  history_check(h, 1, 2, 100);
  TEST_OK(bed_put(b, 2, 4, 500)); /* also when it has gone on further; a table more may be in the directory then */
  EXPECT(varve_backup(b, h->target, NULL, NULL, NULL), VARVE_EXISTS, "another history");
  history_check(h, 1, 2, 100);
  TEST_OK(bed_put(a, 2, 5, 100)); /* and its own database goes on with it */
  varve_backup_report report;
  TEST_OK(varve_backup(a, h->target, &report, NULL, NULL));
  assert_true(report.files_kept > 0);
  history_check(h, 2, 5, 100);
  TEST_OK(varve_close(a));
  TEST_OK(varve_close(b));
}

static void a_later_state_is_not_taken_back(void **state) {
  const history *h = *state;
  varve_db *a, *b;
  history_fork(h, &a, &b);
  TEST_OK(bed_put(a, 1, 2, 100));
  TEST_OK(varve_backup(a, h->target, NULL, NULL, NULL));
  history_refuse(h, b, "later state");
  history_check(h, 1, 2, 100);
  TEST_OK(varve_close(a));
  TEST_OK(varve_close(b));
}

static void another_history_of_another_size(void **state) {
  const history *h = *state;
  varve_db *a, *b;
  history_fork(h, &a, &b);
  TEST_OK(bed_put(a, 1, 2, 100));
  TEST_OK(bed_put(b, 1, 3, 500));
  TEST_OK(varve_backup(a, h->target, NULL, NULL, NULL));
  history_refuse(h, b, "another history");
  history_check(h, 1, 2, 100);
  TEST_OK(varve_close(a));
  TEST_OK(varve_close(b));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(another_history_is_refused, history_setup, history_teardown),
      cmocka_unit_test_setup_teardown(a_later_state_is_not_taken_back, history_setup, history_teardown),
      cmocka_unit_test_setup_teardown(another_history_of_another_size, history_setup, history_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
