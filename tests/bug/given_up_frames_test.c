/* given_up_frames_test.c: power goes while the end of a long log is not synced; one sector does not arrive, those
 * behind it do. The open gives the end up, and the next commit, a strict one, goes to another log. Then the database is
 * repaired, though nothing is wrong with it.
 *
 * What was wrong: the repair took the frames behind the gap for saved ones. Their sequences had been given again, so an
 * old value that had been given up won over the one that was acknowledged last.
 */
#include "unit/api/engine_bed.h"

enum { GIVEN_UP_FILLERS = 100, GIVEN_UP_VALUE = 1000, GIVEN_UP_LATER = 9 };

/* Writes what is to be torn, and zeros what did not arrive of it. */
static void given_up_begin(const char *path, const varve_options *o, bed_image *image) {
  static const char mark[] = "the commit that is torn";
  varve_db *db;
  env *e;
  TEST_OK(api_open_env(path, VFS_PLACE_CREATE, 0, VARVE_NOT_DATABASE, &e));
  TEST_OK(api_open(e, o, &db));
  for (uint32_t i = 1; i <= GIVEN_UP_FILLERS; i++) TEST_OK(bed_put(db, i, 1, GIVEN_UP_VALUE));
  TEST_OK(varve_put(db, VARVE_STR("torn"), VARVE_STR(mark), NULL));
  for (uint32_t i = 0; i < GIVEN_UP_LATER; i++) TEST_OK(varve_put(db, VARVE_STR("key"), VARVE_STR("given up"), NULL));
  bed_image_take(e->fs, image);
  TEST_OK(varve_close(db));
  uint32_t torn = 0;
  for (size_t i = 0; i < image->count; i++) {
    bed_file *f = &image->files[i];
    for (size_t at = 0; f->kind == FILE_WAL && at + sizeof mark <= f->size; at++) {
      if (memcmp(f->bytes + at, mark, sizeof mark - 1) != 0) continue;
      memset(f->bytes + at, 0, 4);
      torn++;
    }
  }
  assert_int_equal(torn, 1);
}

static void a_repair_leaves_what_an_open_gave_up(void **state) {
  (void)state;
  static bed_image image;
  char dir[TEST_PATH_MAX], first[BED_PATH_MAX], second[BED_PATH_MAX], third[BED_PATH_MAX];
  varve_options o = {.no_thread = true, .sync_interval_ms = 1000000, .memtable_bytes = 4 * MiB};
  varve_repair_report report;
  varve_value v;
  varve_db *db;
  env *e;
  test_dir_create(dir);
  bed_join(first, dir, "first");
  bed_join(second, dir, "second");
  bed_join(third, dir, "third");
  given_up_begin(first, &o, &image);
  bed_image_to_dir(&image, second);
  bed_image_free(&image);
  TEST_OK(api_open_env(second, VFS_PLACE_CREATE, 0, VARVE_NOT_DATABASE, &e));
  TEST_OK(api_open(e, &o, &db));
  TEST_RC(varve_has(db, VARVE_STR("key"), NULL), VARVE_NOTFOUND);
  varve_write_options strict = {.durability = VARVE_STRICT};
  TEST_OK(varve_put(db, VARVE_STR("key"), VARVE_STR("acknowledged"), &strict));
  bed_image_take(e->fs, &image);
  TEST_OK(varve_close(db));
  bed_image_to_dir(&image, third);
  bed_image_free(&image);
  bed_join(second, dir, "fourth");
  TEST_OK(varve_repair(third, second, NULL, &report));
  assert_int_equal(report.losses, 0);
  TEST_OK(varve_open(second, &o, &db));
  TEST_RC(varve_get(db, VARVE_STR("key"), NULL, &v), VARVE_OK);
  assert_int_equal(v.size, strlen("acknowledged"));
  assert_memory_equal(v.data, "acknowledged", v.size);
  varve_value_release(&v);
  bed_check(db, GIVEN_UP_FILLERS, 1, GIVEN_UP_VALUE);
  TEST_OK(varve_close(db));
  test_dir_remove(dir);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_repair_leaves_what_an_open_gave_up)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
