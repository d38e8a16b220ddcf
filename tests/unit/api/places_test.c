/* places_test.c: places that hold no database, a newer one, one that may only be read: each gets its own status and a
 * sentence that says what to do, and no file is changed.
 */
#define _GNU_SOURCE
#include "unit/api/misuse_bed.h"

#include "lsm/sst_format.h"

/* ---- places ---- */

static void a_directory_with_other_files_is_no_database(void **state) {
  misuse *m = *state;
  static bed_image image;
  varve_db *db;
  char path[BED_PATH_MAX];
  bed_join(path, m->dir, "other");
  assert_int_equal(mkdir(path, 0700), 0);
  misuse_write_file(path, "readme.txt", "hello", 5);
  EXPECT(varve_open(path, NULL, &db), VARVE_NOT_DATABASE, "use an empty directory or a new name");
  assert_null(db);
  misuse_write_file(path, "SUPER", "something else that is long enough to be read", 45);
  EXPECT(varve_open(path, NULL, &db), VARVE_NOT_DATABASE, "not a Varve database");
  bed_image_of_dir(path, &image);
  assert_int_equal(image.count, 1); /* nothing was made */
  assert_int_equal(image.files[0].size, 45);
  bed_image_free(&image);
}

static void a_file_is_no_database(void **state) {
  misuse *m = *state;
  varve_db *db;
  char path[BED_PATH_MAX];
  bed_join(path, m->dir, "file");
  misuse_write_file(m->dir, "file", "hello", 5);
  EXPECT(varve_open(path, NULL, &db), VARVE_NOT_DATABASE, "a file of something else");
  bed_says("give another path");
  char below[2 * BED_PATH_MAX];
  (void)snprintf(below, sizeof below, "%s/db", path);
  assert_true(varve_open(below, NULL, &db) < 0);
  (void)snprintf(below, sizeof below, "%s/no/db", m->dir);
  EXPECT(varve_open(below, NULL, &db), VARVE_MISSING, "create that first");
}

/* A path chooses the layout; every pair of layouts is backed up and restored, the second backup taking what is new. */
static void one_file_or_a_directory(void **state) {
  misuse *m = *state;
  static const char *const names[][3] = {
      {"a.varve", "b.varve", "c.varve"}, {"d.varve", "e", "f.varve"}, {"g", "h.varve", "i"}};
  for (size_t i = 0; i < COUNT_OF(names); i++) {
    char path[3][BED_PATH_MAX];
    struct stat info;
    varve_db *db;
    varve_value v;
    varve_backup_report report;
    for (size_t k = 0; k < 3; k++) bed_join(path[k], m->dir, names[i][k]);
    TEST_OK(varve_open(path[0], NULL, &db));
    TEST_OK(varve_put(db, VARVE_STR("a"), VARVE_STR("1"), NULL));
    TEST_OK(varve_backup(db, path[1], NULL, NULL, NULL));
    TEST_OK(varve_put(db, VARVE_STR("b"), VARVE_STR("2"), NULL));
    TEST_OK(varve_backup(db, path[1], &report, NULL, NULL));
    assert_true(report.files_kept > 0);
    EXPECT(varve_backup(db, path[0], NULL, NULL, NULL), VARVE_LOCKED, "in this process");
    TEST_OK(varve_close(db));
    TEST_OK(varve_restore(path[1], path[2], NULL, NULL));
    EXPECT(varve_restore(path[1], path[2], NULL, NULL), VARVE_EXISTS, "is not empty");
    TEST_OK(varve_open(path[2], NULL, &db));
    TEST_OK(varve_get(db, VARVE_STR("b"), NULL, &v));
    assert_int_equal(v.size, 1);
    varve_value_release(&v);
    TEST_OK(varve_verify(db, NULL, NULL, NULL));
    TEST_OK(varve_close(db));
    for (size_t k = 0; k < 3; k++) {
      assert_int_equal(stat(path[k], &info), 0);
      assert_int_equal(S_ISREG(info.st_mode), strchr(names[i][k], '.') != NULL);
    }
  }
}

static void must_exist_and_must_not_exist(void **state) {
  misuse *m = *state;
  varve_db *db;
  char path[BED_PATH_MAX];
  struct stat info;
  bed_join(path, m->dir, "new");
  varve_options must = {.must_exist = true}, must_not = {.must_not_exist = true}, read_only = {.read_only = true};
  EXPECT(varve_open(path, &must, &db), VARVE_MISSING, "no database at");
  EXPECT(varve_open(path, &read_only, &db), VARVE_MISSING, "no database at");
  assert_int_not_equal(stat(path, &info), 0);
  TEST_OK(varve_open(path, &must_not, &db));
  TEST_OK(varve_close(db));
  EXPECT(varve_open(path, &must_not, &db), VARVE_EXISTS, "already");
  TEST_OK(varve_open(path, &must, &db));
  TEST_OK(varve_close(db));
  TEST_OK(varve_close(m->db));
  TEST_OK(varve_open(m->path, &must, &m->db));
  bed_check(m->db, 1, 1, 100);
}

/* Writes format version 2 at `at` of the file and the checksum over [0, covered) behind it. */
static void misuse_newer(bed_file *f, size_t base, size_t at, size_t covered) {
  put_u32(f->bytes + base + at, FORMAT_VERSION + 1);
  put_u64(f->bytes + base + covered, xxh64(f->bytes + base, covered, 0));
}

static int misuse_examine(bed_image *image) {
  varve_options o = {.no_thread = true};
  bed_content content;
  return bed_examine(image, &o, &content);
}

static void a_newer_format_is_named(void **state) {
  misuse *m = *state;
  static bed_image image;
  char name[FILE_NAME_SIZE_MAX];
  TEST_OK(varve_flush(m->db));
  TEST_OK(bed_put(m->db, 2, 1, 100));
  TEST_OK(varve_close(m->db));
  for (int kind = 0; kind < FILE_KINDS; kind++) {
    bed_image_of_dir(m->path, &image);
    TEST_OK(misuse_examine(&image));
    bed_file *f = bed_image_find(&image, (file_kind)kind);
    assert_non_null(f);
    for (size_t i = 0; kind == FILE_WAL && i < image.count; i++) { /* the one that is a log, not a spare */
      if (image.files[i].kind == FILE_WAL && get_u64(image.files[i].bytes + 16) > 0) f = &image.files[i];
    }
    if (kind == FILE_SUPER) {
      for (size_t slot = 0; slot < 2; slot++) {
        if (memcmp(f->bytes + slot * SUPER_SLOT_SIZE, "VARVE", 5) != 0) continue;
        misuse_newer(f, slot * SUPER_SLOT_SIZE, 8, SUPER_SLOT_SIZE - 8);
      }
    }
    if (kind == FILE_MANIFEST || kind == FILE_WAL) misuse_newer(f, 0, 8, 56);
    if (kind == FILE_SST) {
      uint8_t *foot = f->bytes + f->size - SST_FOOTER_BYTES;
      size_t covered = SST_FOOTER_BYTES - 4;
      put_u32(foot + 8, SST_FORMAT_VERSION + 1);
      put_u32(foot + covered, sst_checksum(foot, covered, f->number, f->size - SST_FOOTER_BYTES));
    }
    file_name_format(name, f->kind, f->number);
    EXPECT(misuse_examine(&image), VARVE_NEWER_FORMAT, "version 2");
    if (kind != FILE_SUPER) bed_says(name);
    bed_image_free(&image);
  }
  TEST_OK(varve_open(m->path, NULL, &m->db));
}

/* ---- reading only ---- */

typedef struct misuse_times {
  struct stat info[64];
  uint32_t count;
} misuse_times;

static void misuse_times_take(const char *path, const bed_image *image, misuse_times *t) {
  char name[FILE_NAME_SIZE_MAX], file[2 * BED_PATH_MAX];
  t->count = 0;
  for (size_t i = 0; i < image->count; i++) {
    file_name_format(name, image->files[i].kind, image->files[i].number);
    (void)snprintf(file, sizeof file, "%s/%s", path, name);
    assert_true(t->count < COUNT_OF(t->info));
    assert_int_equal(stat(file, &t->info[t->count++]), 0);
  }
}

static bool misuse_times_equal(const misuse_times *a, const misuse_times *b) {
  if (a->count != b->count) return false;
  for (uint32_t i = 0; i < a->count; i++) {
    const struct stat *x = &a->info[i], *y = &b->info[i];
    if (x->st_ino != y->st_ino || x->st_size != y->st_size) return false;
    if (x->st_mtim.tv_sec != y->st_mtim.tv_sec || x->st_mtim.tv_nsec != y->st_mtim.tv_nsec) return false;
  }
  return true;
}

/* Everything that reads works, everything that writes is READONLY. */
static void misuse_use_read_only(varve_db *db, const char *backup) {
  varve_keyspace *space;
  varve_slice k = VARVE_STR("k");
  bed_content content;
  bed_check(db, 1, 1, 100);
  bed_check(db, 2, 1, 100);
  TEST_OK(bed_read_all(db, &content));
  TEST_OK(varve_verify(db, NULL, NULL, NULL));
  EXPECT(varve_put(db, k, k, NULL), VARVE_READONLY, "reading only");
  EXPECT(varve_delete(db, k, NULL), VARVE_READONLY, "reading only");
  EXPECT(varve_delete_range(db, VARVE_STR("a"), k, NULL), VARVE_READONLY, "reading only");
  EXPECT(varve_flush(db), VARVE_READONLY, "reading only");
  EXPECT(varve_compact(db, NULL, NULL), VARVE_READONLY, "reading only");
  EXPECT(varve_keyspace_open(db, VARVE_STR("new"), &space), VARVE_READONLY, "reading only");
  TEST_OK(varve_sync(db));
  TEST_OK(varve_work(db, 1000, NULL));
  if (backup != NULL) EXPECT(varve_backup(db, backup, NULL, NULL, NULL), VARVE_READONLY, "reading only");
}

static void a_read_only_open_changes_no_file(void **state) {
  misuse *m = *state;
  static bed_image before, after;
  static misuse_times was, is;
  char backup[BED_PATH_MAX];
  varve_db *db;
  varve_options o = {.read_only = true};
  bed_join(backup, m->dir, "backup");
  TEST_OK(varve_flush(m->db));
  TEST_OK(bed_put(m->db, 2, 1, 100));
  for (int round = 0; round < 2; round++) {
    char path[BED_PATH_MAX];
    bed_join(path, m->dir, round == 0 ? "crashed" : "db");
    if (round == 0) { /* as a killed process leaves it, with a torn end */
      bed_image_of_dir(m->path, &before);
      for (size_t i = 0; i < before.count; i++) {
        bed_file *f = &before.files[i];
        if (f->kind == FILE_WAL && f->number == wal_file_number(m->db->lsm->wal)) {
          f->bytes[wal_end(m->db->lsm->wal) + 40] = 0x77;
        }
      }
      bed_image_to_dir(&before, path);
      bed_image_free(&before);
    } else {
      TEST_OK(varve_close(m->db));
    }
    bed_image_of_dir(path, &before);
    misuse_times_take(path, &before, &was);
    TEST_OK(varve_open(path, &o, &db));
    misuse_use_read_only(db, backup);
    TEST_OK(varve_close(db));
    bed_image_of_dir(path, &after);
    misuse_times_take(path, &after, &is);
    assert_true(bed_image_equal(&before, &after));
    assert_true(misuse_times_equal(&was, &is));
    bed_image_free(&before);
    bed_image_free(&after);
  }
  TEST_OK(varve_open(m->path, NULL, &m->db));
}

/* A directory that this user may not write: root may all the same, so a child becomes somebody else. */
static void a_directory_without_write_permission(void **state) {
  misuse *m = *state;
  TEST_OK(bed_put(m->db, 2, 1, 100));
  TEST_OK(varve_close(m->db));
  assert_int_equal(chmod(m->dir, 0755), 0);
  char command[3 * BED_PATH_MAX];
  (void)snprintf(command, sizeof command, "chmod -R a+rX,a-w '%s'", m->path);
  assert_int_equal(system(command), 0);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    varve_db *db;
    varve_options o = {.read_only = true};
    bool fine = geteuid() != 0 || setuid(65534) == 0;
    int rc = varve_open(m->path, NULL, &db);
    fine = fine && rc == VARVE_READONLY && strstr(varve_errmsg(NULL), "read_only") != NULL;
    if (!fine) fprintf(stderr, "%s: %s\n", varve_status_name(rc), varve_errmsg(NULL));
    rc = varve_open(m->path, &o, &db);
    if (rc < 0) fprintf(stderr, "%s: %s\n", varve_status_name(rc), varve_errmsg(NULL));
    fine = fine && rc >= 0;
    varve_value v; /* no assertions here: they would go on with the parent's tests */
    fine = fine && varve_get(db, VARVE_STR("key00000002"), NULL, &v) == VARVE_OK && v.size == 100;
    varve_value_release(&v);
    fine = fine && varve_put(db, VARVE_STR("k"), VARVE_STR("v"), NULL) == VARVE_READONLY;
    fine = fine && varve_verify(db, NULL, NULL, NULL) == VARVE_OK && varve_close(db) == VARVE_OK;
    _exit(fine ? 0 : 1);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
  (void)snprintf(command, sizeof command, "chmod -R u+rwX '%s'", m->path);
  assert_int_equal(system(command), 0);
  TEST_OK(varve_open(m->path, NULL, &m->db));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      MISUSE(a_directory_with_other_files_is_no_database),
      MISUSE(a_file_is_no_database),
      MISUSE(one_file_or_a_directory),
      MISUSE(must_exist_and_must_not_exist),
      MISUSE(a_newer_format_is_named),
      MISUSE(a_read_only_open_changes_no_file),
      MISUSE(a_directory_without_write_permission),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
