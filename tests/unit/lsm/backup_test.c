/* backup_test.c: backups that are full, incremental, of a database in use, stopped, damaged, or made of a damaged
 * source. */
#include "unit/api/engine_bed.h"

typedef struct backup_bed {
  char dir[TEST_PATH_MAX], path[BED_PATH_MAX], copy[BED_PATH_MAX], restored[BED_PATH_MAX];
  varve_db *db;
} backup_bed;

enum { BACKUP_KEYS = 400, BACKUP_SIZE = 300 };

static int backup_setup(void **state) {
  backup_bed *b = calloc(1, sizeof *b);
  assert_non_null(b);
  varve_options o = {.no_thread = true, .memtable_bytes = 1, .table_bytes = 1};
  test_dir_create(b->dir);
  bed_join(b->path, b->dir, "db");
  bed_join(b->copy, b->dir, "copy");
  bed_join(b->restored, b->dir, "restored");
  TEST_OK(varve_open(b->path, &o, &b->db));
  for (uint32_t i = 0; i < BACKUP_KEYS; i++) TEST_OK(bed_put(b->db, i, 1, BACKUP_SIZE));
  *state = b;
  return 0;
}

static int backup_teardown(void **state) {
  backup_bed *b = *state;
  TEST_OK(varve_close(b->db));
  test_dir_remove(b->dir);
  free(b);
  return 0;
}

static bed_content backup_content(const char *path) {
  varve_db *db;
  bed_content c;
  varve_options o = {.read_only = true};
  TEST_OK(varve_open(path, &o, &db));
  TEST_OK(varve_verify(db, NULL, NULL, NULL));
  TEST_OK(bed_read_all(db, &c));
  TEST_OK(varve_close(db));
  return c;
}

static void backup_same(const bed_content *a, const bed_content *b) {
  assert_int_equal(a->entries, b->entries);
  assert_int_equal(a->digest, b->digest);
}

static void a_full_backup_and_its_restoration(void **state) {
  backup_bed *b = *state;
  varve_backup_report report;
  bed_content now, copy, restored;
  TEST_OK(bed_read_all(b->db, &now));
  TEST_OK(varve_backup(b->db, b->copy, &report, NULL, NULL));
  assert_true(report.files_copied > 0 && report.files_kept == 0 && report.bytes_copied > 0);
  assert_int_equal(report.sequence, bed_stats(b->db).sequence);
  copy = backup_content(b->copy);
  backup_same(&now, &copy);
  TEST_OK(varve_restore(b->copy, b->restored, NULL, NULL));
  restored = backup_content(b->restored);
  backup_same(&now, &restored);
  varve_db *db;
  TEST_OK(varve_open(b->restored, NULL, &db));
  assert_memory_not_equal(db->lsm->root.id, b->db->lsm->root.id, sizeof db->lsm->root.id);
  TEST_OK(bed_put(db, 1, 9, 10));
  bed_check(db, 1, 9, 10);
  bed_check(db, 2, 1, BACKUP_SIZE);
  EXPECT(varve_backup(db, b->copy, NULL, NULL, NULL), VARVE_EXISTS, "another place");
  TEST_OK(varve_close(db));
}

static void a_second_backup_copies_what_is_new(void **state) {
  backup_bed *b = *state;
  varve_backup_report first, second, third;
  TEST_OK(varve_compact(b->db, NULL, NULL));
  TEST_OK(varve_backup(b->db, b->copy, &first, NULL, NULL));
  TEST_OK(varve_backup(b->db, b->copy, &second, NULL, NULL));
  assert_int_equal(second.files_copied, 0);
  assert_int_equal(second.files_kept, first.files_copied);
  TEST_OK(bed_put(b->db, 1000, 1, 10));
  TEST_OK(varve_backup(b->db, b->copy, &third, NULL, NULL));
  assert_int_equal(third.files_copied, 1);
  assert_true(third.bytes_copied < first.bytes_copied);
  bed_content now, copy = backup_content(b->copy);
  TEST_OK(bed_read_all(b->db, &now));
  backup_same(&now, &copy);
  /* Tables that are gone go from the backup too. */
  TEST_OK(varve_delete_range(b->db, VARVE_STR("key"), VARVE_STR("kez"), NULL));
  TEST_OK(varve_compact(b->db, NULL, NULL));
  TEST_OK(varve_backup(b->db, b->copy, &third, NULL, NULL));
  copy = backup_content(b->copy);
  assert_int_equal(copy.entries, 0);
  static bed_image image;
  bed_image_of_dir(b->copy, &image);
  assert_null(bed_image_find(&image, FILE_SST));
  assert_null(bed_image_find(&image, FILE_WAL));
  bed_image_free(&image);
}

typedef struct backup_writer {
  varve_db *db;
  uint32_t turn, calls, stop_at;
} backup_writer;

/* Writes, flushes and compacts in the middle of the copy. */
static int backup_write(void *context, uint64_t done, uint64_t total) {
  backup_writer *w = context;
  (void)done;
  (void)total;
  if (w->stop_at != 0 && ++w->calls >= w->stop_at) return 1;
  if (w->stop_at == 0 && ++w->calls > 25) return 0;
  w->turn++;
  for (uint32_t i = 0; i < 100; i++) {
    if (bed_put(w->db, i, 1 + w->turn, BACKUP_SIZE) < 0) return 1;
  }
  if (w->turn % 2 == 0 && varve_compact(w->db, NULL, NULL) < 0) return 1;
  return 0;
}

static void a_backup_is_of_one_moment(void **state) {
  backup_bed *b = *state;
  backup_writer w = {b->db, 0, 0, 0};
  bed_content now, copy;
  for (int round = 0; round < 4; round++) {
    uint32_t before = w.turn;
    w.calls = 0;
    TEST_OK(bed_read_all(b->db, &now));
    TEST_OK(varve_backup(b->db, b->copy, NULL, backup_write, &w));
    assert_true(w.turn > before);
    copy = backup_content(b->copy);
    backup_same(&now, &copy);
  }
  TEST_OK(varve_verify(b->db, NULL, NULL, NULL));
}

/* Stopped anywhere, the target is the backup that it was before, or tables without a SUPER; the next one succeeds. */
static void a_backup_that_is_stopped(void **state) {
  backup_bed *b = *state;
  bed_content first, now, copy;
  varve_db *db;
  varve_options o = {.read_only = true};
  backup_writer none = {b->db, 0, 0, 1};
  EXPECT(varve_backup(b->db, b->copy, NULL, backup_write, &none), VARVE_ABORTED, "stopped");
  EXPECT(varve_open(b->copy, &o, &db), VARVE_CORRUPT, "SUPER is missing");
  TEST_OK(varve_backup(b->db, b->copy, NULL, NULL, NULL));
  TEST_OK(bed_read_all(b->db, &first));
  for (uint32_t at = 1; at <= 3; at++) {
    for (uint32_t i = 0; i < BACKUP_KEYS; i++) TEST_OK(bed_put(b->db, i, 50 + at, BACKUP_SIZE));
    backup_writer w = {b->db, 0, 0, at};
    TEST_RC(varve_backup(b->db, b->copy, NULL, backup_write, &w), VARVE_ABORTED);
    copy = backup_content(b->copy);
    backup_same(&first, &copy);
  }
  TEST_OK(varve_backup(b->db, b->copy, NULL, NULL, NULL));
  TEST_OK(bed_read_all(b->db, &now));
  copy = backup_content(b->copy);
  backup_same(&now, &copy);
}

static void backup_flip(const char *path, file_kind kind) {
  static bed_image image;
  char name[FILE_NAME_SIZE_MAX], file[2 * BED_PATH_MAX];
  bed_image_of_dir(path, &image);
  bed_file *f = bed_image_find(&image, kind);
  assert_non_null(f);
  file_name_format(name, kind, f->number);
  (void)snprintf(file, sizeof file, "%s/%s", path, name);
  FILE *out = fopen(file, "r+b");
  assert_non_null(out);
  assert_int_equal(fseek(out, (long)(f->size / 3), SEEK_SET), 0);
  assert_int_not_equal(fputc(f->bytes[f->size / 3] ^ 0x20, out), EOF);
  assert_int_equal(fclose(out), 0);
  bed_image_free(&image);
}

static void a_damaged_source_is_not_backed_up(void **state) {
  backup_bed *b = *state;
  varve_db *db;
  varve_options o = {.read_only = true};
  TEST_OK(varve_compact(b->db, NULL, NULL));
  backup_flip(b->path, FILE_SST);
  EXPECT(varve_backup(b->db, b->copy, NULL, NULL, NULL), VARVE_CORRUPT, ".sst is damaged");
  EXPECT(varve_open(b->copy, &o, &db), VARVE_CORRUPT, "SUPER is missing");
}

static void a_damaged_backup_is_noticed(void **state) {
  backup_bed *b = *state;
  varve_db *db;
  varve_options o = {.read_only = true};
  TEST_OK(varve_compact(b->db, NULL, NULL));
  TEST_OK(varve_backup(b->db, b->copy, NULL, NULL, NULL));
  backup_flip(b->copy, FILE_SST);
  EXPECT(varve_backup(b->db, b->copy, NULL, NULL, NULL), VARVE_CORRUPT, ".sst is damaged"); /* it is read again */
  EXPECT(varve_restore(b->copy, b->restored, NULL, NULL), VARVE_CORRUPT, ".sst is damaged");
  EXPECT(varve_open(b->restored, &o, &db), VARVE_CORRUPT, "SUPER is missing");
  TEST_OK(varve_open(b->copy, &o, &db));
  EXPECT(varve_verify(db, NULL, NULL, NULL), VARVE_CORRUPT, ".sst is damaged");
  TEST_OK(varve_close(db));
}

int main(void) {
#define BACKUP(f) cmocka_unit_test_setup_teardown(f, backup_setup, backup_teardown)
  const struct CMUnitTest tests[] = {
      BACKUP(a_full_backup_and_its_restoration), BACKUP(a_second_backup_copies_what_is_new),
      BACKUP(a_backup_is_of_one_moment),         BACKUP(a_backup_that_is_stopped),
      BACKUP(a_damaged_source_is_not_backed_up), BACKUP(a_damaged_backup_is_noticed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
