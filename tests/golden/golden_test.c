/* golden_test.c: databases of every format version are read to the last entry, read-only and for writing, and stay
 * readable when they are written on. VARVE_GOLDEN names the directory tests/golden where it is not where this was
 * compiled.
 */
#include "unit/api/engine_bed.h"

#include "golden/golden.h"

static const char *const golden_versions[] = {"v1"};

/* The directory of a version: beside this source. */
static void golden_place(char path[BED_PATH_MAX], const char *name) {
  const char *given = getenv("VARVE_GOLDEN");
  char here[TEST_PATH_MAX];
  if (given == NULL) {
    (void)snprintf(here, sizeof here, "%s", __FILE__);
    char *slash = strrchr(here, '/');
    assert_non_null(slash);
    *slash = '\0';
    given = here;
  }
  bed_join(path, given, name);
}

static void golden_check_key(varve_db *db, varve_keyspace *space, uint32_t i, uint32_t turn) {
  char text[32], value[GOLDEN_VALUE_MAX + 1];
  varve_read_options o = {NULL, space};
  varve_value v;
  int rc = varve_get(db, golden_key(text, i), &o, &v);
  TEST_OK(rc);
  TEST_RC(rc, turn == 0 ? VARVE_NOTFOUND : VARVE_OK);
  if (turn == 0) return;
  varve_slice wanted = golden_value(value, i, turn);
  assert_int_equal(v.size, wanted.size);
  assert_memory_equal(v.data, wanted.data, wanted.size);
  varve_value_release(&v);
}

static void golden_check(varve_db *db) {
  varve_keyspace *other;
  bed_names names = {.count = 0};
  bed_content content;
  uint64_t live = 0;
  TEST_OK(varve_keyspace_list(db, bed_names_visit, &names));
  assert_int_equal(names.count, 1);
  assert_string_equal(names.name[0], "other");
  TEST_OK(varve_keyspace_open(db, VARVE_STR("other"), &other));
  for (uint32_t i = 0; i < GOLDEN_KEYS + GOLDEN_LATE + 10; i++) {
    golden_check_key(db, NULL, i, golden_turn(i));
    live += golden_turn(i) > 0;
  }
  for (uint32_t i = 0; i < 60; i++) {
    golden_check_key(db, other, i, golden_other_turn(i));
    live += golden_other_turn(i) > 0;
  }
  TEST_OK(bed_read_all(db, &content));
  assert_int_equal(content.entries, live);
  TEST_OK(varve_verify(db, NULL, NULL, NULL));
}

/* The files have what they are there for. */
static void golden_check_kinds(varve_db *db) {
  varve_stats s = bed_stats(db);
  uint64_t levels = 0, ranges = 0;
  for (uint32_t level = 0; level < s.levels; level++) levels += s.level[level].tables > 0;
  const version *v = atomic_load(&db->lsm->view)->current;
  for (uint32_t level = 0; level < LEVELS; level++) {
    for (uint32_t i = 0; i < v->level[level].count; i++) ranges += v->level[level].tables[i]->range_tombstones;
  }
  assert_true(levels >= 2 && ranges > 0 && s.memtable_bytes > 0);
}

static void golden_check_kept(const char *path) {
  varve_options read_only = {.read_only = true};
  varve_db *db;
  TEST_OK(varve_open(path, &read_only, &db));
  golden_check(db);
  golden_check_kinds(db);
  TEST_OK(varve_close(db));
}

static void golden_check_written(const char *path) {
  varve_options plain = {0}, unmapped = {.no_mmap = true};
  varve_db *db;
  TEST_OK(varve_open(path, &unmapped, &db));
  golden_check(db);
  TEST_OK(varve_close(db));
  TEST_OK(varve_open(path, &plain, &db));
  golden_check(db);
  TEST_OK(varve_put(db, VARVE_STR("city/99999"), VARVE_STR("new"), NULL));
  TEST_OK(varve_delete(db, VARVE_STR("city/99999"), NULL));
  TEST_OK(varve_compact(db, NULL, NULL));
  golden_check(db);
  TEST_OK(varve_close(db));
  TEST_OK(varve_open(path, &plain, &db));
  golden_check(db);
  TEST_OK(varve_close(db));
}

static void golden_version(const char *name) {
  static bed_image image, after;
  char dir[TEST_PATH_MAX], path[BED_PATH_MAX], from[BED_PATH_MAX];
  test_dir_create(dir);
  bed_join(path, dir, "db");
  golden_place(from, name);
  bed_image_of_dir(from, &image);
  assert_true(image.count >= 4);
  bed_image_to_dir(&image, path);
  golden_check_kept(path);
  bed_image_of_dir(path, &after);
  assert_true(bed_image_equal(&image, &after));
  bed_image_free(&after);
  golden_check_written(path);
  bed_image_free(&image);
  test_dir_remove(dir);
}

static size_t golden_read_file(const char *path, uint8_t *bytes, size_t room) {
  FILE *file = fopen(path, "rb");
  assert_non_null(file);
  size_t size = fread(bytes, 1, room, file);
  assert_true(size > 0 && size < room);
  (void)fclose(file);
  return size;
}

/* The same in one file. */
static void golden_file(const char *format) {
  static uint8_t bytes[1 << 20], after[1 << 20];
  char name[32], dir[TEST_PATH_MAX], path[BED_PATH_MAX], from[BED_PATH_MAX];
  (void)snprintf(name, sizeof name, "%s.varve", format);
  test_dir_create(dir);
  bed_join(path, dir, "db.varve");
  golden_place(from, name);
  size_t size = golden_read_file(from, bytes, sizeof bytes);
  FILE *copy = fopen(path, "wb");
  assert_non_null(copy);
  assert_int_equal(fwrite(bytes, 1, size, copy), size);
  assert_int_equal(fclose(copy), 0);
  golden_check_kept(path);
  assert_int_equal(golden_read_file(path, after, sizeof after), size);
  assert_memory_equal(after, bytes, size);
  golden_check_written(path);
  test_dir_remove(dir);
}

static void golden_databases_are_read(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT_OF(golden_versions); i++) golden_version(golden_versions[i]);
}

static void golden_files_are_read(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT_OF(golden_versions); i++) golden_file(golden_versions[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(golden_databases_are_read),
                                     cmocka_unit_test(golden_files_are_read)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
