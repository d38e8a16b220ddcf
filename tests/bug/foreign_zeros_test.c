/* foreign_zeros_test.c: a small file of somebody else that begins with a page of zeros.
 *
 * What was wrong: with zeros at four places it counted as a creation that was cut short, and open made a database of
 * it: what had been in it was gone.
 */
#include "unit/api/engine_bed.h"

enum { FOREIGN_SIZE = 16384, FOREIGN_FROM = 8192 + 100 };

static void a_file_that_begins_with_zeros_is_left_alone(void **state) {
  (void)state;
  static uint8_t bytes[FOREIGN_SIZE], back[FOREIGN_SIZE];
  char dir[TEST_PATH_MAX], path[BED_PATH_MAX];
  varve_db *db;
  test_dir_create(dir);
  bed_join(path, dir, "firmware.bin");
  memset(bytes + FOREIGN_FROM, 0x5a, 1000);
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(bytes, 1, sizeof bytes, file), sizeof bytes);
  assert_int_equal(fclose(file), 0);
  TEST_RC(varve_open(path, NULL, &db), VARVE_NOT_DATABASE);
  file = fopen(path, "rb");
  assert_non_null(file);
  assert_int_equal(fread(back, 1, sizeof back, file), sizeof back);
  assert_int_equal(fclose(file), 0);
  assert_memory_equal(back, bytes, sizeof bytes);
  test_dir_remove(dir);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_file_that_begins_with_zeros_is_left_alone)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
