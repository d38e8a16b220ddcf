/* misuse_test.c: what callers and places do wrong: each gets its own status and a sentence that says what to do, and nothing that
 * was acknowledged is lost. Damaged files are in damage_test.c, full disks in full_test.c.
 */
#define _GNU_SOURCE
#include "unit/api/engine_bed.h"

#include "lsm/sst_format.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct misuse {
  char dir[TEST_PATH_MAX], path[BED_PATH_MAX];
  varve_db *db;
} misuse;

static int misuse_setup(void **state) {
  misuse *m = calloc(1, sizeof *m);
  assert_non_null(m);
  test_dir_create(m->dir);
  bed_join(m->path, m->dir, "db");
  TEST_OK(varve_open(m->path, NULL, &m->db));
  TEST_OK(bed_put(m->db, 1, 1, 100));
  *state = m;
  return 0;
}

static int misuse_teardown(void **state) {
  misuse *m = *state;
  (void)varve_close(m->db);
  test_dir_remove(m->dir);
  free(m);
  return 0;
}

static void misuse_write_file(const char *dir, const char *name, const void *bytes, size_t size) {
  char path[2 * BED_PATH_MAX];
  (void)snprintf(path, sizeof path, "%s/%s", dir, name);
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes, 1, size, f), size);
  assert_int_equal(fclose(f), 0);
}

/* ---- arguments ---- */

static void keys_have_1_to_65536_bytes(void **state) {
  misuse *m = *state;
  static char bytes[VARVE_KEY_SIZE_MAX + 1];
  varve_slice empty = {"", 0}, null = {NULL, 0}, largest = {bytes, VARVE_KEY_SIZE_MAX}, over = {bytes, sizeof bytes};
  varve_slice value = VARVE_STR("v");
  varve_value v;
  varve_batch *b;
  TEST_OK(varve_batch_create(&b));
  memset(bytes, 'k', sizeof bytes);
  EXPECT(varve_put(m->db, empty, value, NULL), VARVE_KEY_EMPTY, "at least one byte");
  EXPECT(varve_put(m->db, null, value, NULL), VARVE_KEY_EMPTY, "at least one byte");
  EXPECT(varve_delete(m->db, empty, NULL), VARVE_KEY_EMPTY, "at least one byte");
  EXPECT(varve_get(m->db, empty, NULL, &v), VARVE_KEY_EMPTY, "at least one byte");
  EXPECT(varve_has(m->db, empty, NULL), VARVE_KEY_EMPTY, "at least one byte");
  EXPECT(varve_batch_put(b, NULL, empty, value), VARVE_KEY_EMPTY, "at least one byte");
  EXPECT(varve_batch_delete(b, NULL, empty), VARVE_KEY_EMPTY, "at least one byte");
  EXPECT(varve_put(m->db, over, value, NULL), VARVE_KEY_TOO_LARGE, "65537 bytes; at most 65,536");
  EXPECT(varve_delete(m->db, over, NULL), VARVE_KEY_TOO_LARGE, "at most 65,536");
  EXPECT(varve_get(m->db, over, NULL, &v), VARVE_KEY_TOO_LARGE, "store a hash");
  EXPECT(varve_has(m->db, over, NULL), VARVE_KEY_TOO_LARGE, "store a hash");
  EXPECT(varve_batch_put(b, NULL, over, value), VARVE_KEY_TOO_LARGE, "store a hash");
  EXPECT(varve_batch_delete(b, NULL, over), VARVE_KEY_TOO_LARGE, "store a hash");
  assert_int_equal(varve_batch_count(b), 0);
  varve_batch_destroy(b);
  TEST_RC(varve_put(m->db, largest, value, NULL), VARVE_OK);
  TEST_RC(varve_has(m->db, largest, NULL), VARVE_OK);
  TEST_OK(varve_compact(m->db, NULL, NULL));
  TEST_RC(varve_has(m->db, largest, NULL), VARVE_OK);
  TEST_RC(varve_delete(m->db, largest, NULL), VARVE_OK);
  TEST_RC(varve_has(m->db, largest, NULL), VARVE_NOTFOUND);
}

static void values_have_up_to_1_gib(void **state) {
  misuse *m = *state;
  varve_slice over = {"x", (size_t)VARVE_VALUE_SIZE_MAX + 1}, null = {NULL, 3}, empty = {NULL, 0};
  varve_batch *b;
  varve_value v;
  TEST_OK(varve_batch_create(&b));
  EXPECT(varve_put(m->db, VARVE_STR("k"), over, NULL), VARVE_VALUE_TOO_LARGE, "split it over keys");
  EXPECT(varve_batch_put(b, NULL, VARVE_STR("k"), over), VARVE_VALUE_TOO_LARGE, "1073741825 bytes");
  EXPECT(varve_put(m->db, VARVE_STR("k"), null, NULL), VARVE_INVALID, "data is NULL");
  varve_batch_destroy(b);
  TEST_RC(varve_put(m->db, VARVE_STR("k"), empty, NULL), VARVE_OK);
  TEST_RC(varve_get(m->db, VARVE_STR("k"), NULL, &v), VARVE_OK);
  assert_int_equal(v.size, 0);
  varve_value_release(&v);
  varve_value_release(&v); /* emptied by the first */
  varve_value_release(NULL);
}

static void null_arguments_are_named(void **state) {
  misuse *m = *state;
  varve_slice k = VARVE_STR("k"), null = {NULL, 1};
  varve_value v;
  TEST_OK(varve_close(m->db));
  EXPECT(varve_open(NULL, NULL, &m->db), VARVE_INVALID, "path is empty");
  assert_null(m->db);
  EXPECT(varve_open("", NULL, &m->db), VARVE_INVALID, ":memory:");
  EXPECT(varve_open("x", NULL, NULL), VARVE_INVALID, "NULL");
  EXPECT(varve_put(NULL, k, k, NULL), VARVE_INVALID, "handle is NULL");
  EXPECT(varve_get(NULL, k, NULL, &v), VARVE_INVALID, "handle is NULL");
  TEST_OK(varve_open(":memory:", NULL, &m->db));
  EXPECT(varve_get(m->db, k, NULL, NULL), VARVE_INVALID, "NULL");
  EXPECT(varve_put(m->db, null, k, NULL), VARVE_INVALID, "key's data is NULL");
  EXPECT(varve_write(m->db, NULL, NULL), VARVE_INVALID, "batch is NULL");
  EXPECT(varve_batch_create(NULL), VARVE_INVALID, "NULL");
  EXPECT(varve_batch_put(NULL, NULL, k, k), VARVE_INVALID, "batch is NULL");
  EXPECT(varve_batch_delete(NULL, NULL, k), VARVE_INVALID, "batch is NULL");
  EXPECT(varve_batch_delete_range(NULL, NULL, k, k), VARVE_INVALID, "batch is NULL");
  EXPECT(varve_iter_open(m->db, NULL, NULL), VARVE_INVALID, "NULL");
  EXPECT(varve_count(m->db, NULL, NULL), VARVE_INVALID, "NULL");
  EXPECT(varve_snapshot_open(m->db, NULL), VARVE_INVALID, "NULL");
  EXPECT(varve_keyspace_open(m->db, k, NULL), VARVE_INVALID, "NULL");
  EXPECT(varve_keyspace_list(m->db, NULL, NULL), VARVE_INVALID, "NULL");
  EXPECT(varve_get_stats(m->db, NULL), VARVE_INVALID, "NULL");
  EXPECT(varve_backup(m->db, NULL, NULL, NULL, NULL), VARVE_INVALID, "target");
  EXPECT(varve_restore(NULL, "x", NULL, NULL), VARVE_INVALID, "backup");
  EXPECT(varve_restore("x", "", NULL, NULL), VARVE_INVALID, "target");
  TEST_RC(varve_close(NULL), VARVE_OK);
  varve_batch_destroy(NULL);
  varve_batch_clear(NULL);
  varve_iter_close(NULL);
  varve_snapshot_close(NULL);
}

static void options_that_contradict_are_refused(void **state) {
  misuse *m = *state;
  varve_db *db;
  varve_options o = {.must_exist = true, .must_not_exist = true};
  EXPECT(varve_open(m->path, &o, &db), VARVE_INVALID, "exclude each other");
  o = (varve_options){.read_only = true, .must_not_exist = true};
  EXPECT(varve_open(m->path, &o, &db), VARVE_INVALID, "read_only");
  o = (varve_options){.reserved = {0, 0, 0, 1}};
  EXPECT(varve_open(m->path, &o, &db), VARVE_INVALID, "= {0}");
  o = (varve_options){.durability = (varve_durability)7};
  EXPECT(varve_open(m->path, &o, &db), VARVE_INVALID, "durability");
  o = (varve_options){.compression = (varve_compression)7};
  EXPECT(varve_open(m->path, &o, &db), VARVE_INVALID, "compression");
}

static void keyspaces_are_checked(void **state) {
  misuse *m = *state;
  varve_db *other;
  varve_keyspace *space, *again;
  char name[VARVE_KEYSPACE_NAME_MAX + 1];
  varve_slice none = {"", 0}, over = {name, sizeof name}, k = VARVE_STR("k");
  memset(name, 'n', sizeof name);
  EXPECT(varve_keyspace_open(m->db, none, &space), VARVE_INVALID, "1 to 255 bytes");
  EXPECT(varve_keyspace_open(m->db, over, &space), VARVE_INVALID, "256");
  TEST_RC(varve_keyspace_drop(m->db, VARVE_STR("nobody")), VARVE_NOTFOUND);
  TEST_OK(varve_keyspace_open(m->db, VARVE_STR("space"), &space));
  TEST_OK(varve_keyspace_open(m->db, VARVE_STR("space"), &again));
  assert_ptr_equal(space, again);
  varve_write_options o = {VARVE_DURABILITY_DEFAULT, space};
  TEST_OK(varve_put(m->db, k, k, &o));
  TEST_OK(varve_open(":memory:", NULL, &other));
  EXPECT(varve_put(other, k, k, &o), VARVE_INVALID, "another database");
  TEST_OK(varve_close(other));
  TEST_OK(varve_keyspace_drop(m->db, VARVE_STR("space")));
  EXPECT(varve_put(m->db, k, k, &o), VARVE_CLOSED, "dropped");
  TEST_OK(varve_keyspace_open(m->db, VARVE_STR("space"), &again));
  varve_read_options r = {NULL, again};
  TEST_RC(varve_has(m->db, k, &r), VARVE_NOTFOUND);
}

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
  EXPECT(varve_open(path, NULL, &db), VARVE_NOT_DATABASE, "not a directory");
  bed_says("give another path");
  char below[2 * BED_PATH_MAX];
  (void)snprintf(below, sizeof below, "%s/db", path);
  assert_true(varve_open(below, NULL, &db) < 0);
  (void)snprintf(below, sizeof below, "%s/no/db", m->dir);
  EXPECT(varve_open(below, NULL, &db), VARVE_MISSING, "create that first");
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

/* ---- handles ---- */

static void a_closed_handle_says_closed(void **state) {
  misuse *m = *state;
  varve_db *db = m->db;
  varve_slice k = VARVE_STR("k");
  varve_value v;
  varve_iter *it;
  varve_snapshot *s;
  varve_keyspace *space;
  varve_stats stats;
  uint64_t count;
  varve_batch *b;
  TEST_OK(varve_batch_create(&b));
  TEST_OK(varve_close(db));
  EXPECT(varve_put(db, k, k, NULL), VARVE_CLOSED, "closed");
  EXPECT(varve_delete(db, k, NULL), VARVE_CLOSED, "closed");
  EXPECT(varve_delete_range(db, k, k, NULL), VARVE_CLOSED, "closed");
  EXPECT(varve_get(db, k, NULL, &v), VARVE_CLOSED, "closed");
  EXPECT(varve_has(db, k, NULL), VARVE_CLOSED, "closed");
  EXPECT(varve_write(db, b, NULL), VARVE_CLOSED, "closed");
  EXPECT(varve_sync(db), VARVE_CLOSED, "closed");
  EXPECT(varve_iter_open(db, NULL, &it), VARVE_CLOSED, "closed");
  EXPECT(varve_count(db, NULL, &count), VARVE_CLOSED, "closed");
  EXPECT(varve_snapshot_open(db, &s), VARVE_CLOSED, "closed");
  EXPECT(varve_keyspace_open(db, k, &space), VARVE_CLOSED, "closed");
  EXPECT(varve_keyspace_drop(db, k), VARVE_CLOSED, "closed");
  EXPECT(varve_keyspace_list(db, bed_names_visit, NULL), VARVE_CLOSED, "closed");
  EXPECT(varve_compact(db, NULL, NULL), VARVE_CLOSED, "closed");
  EXPECT(varve_flush(db), VARVE_CLOSED, "closed");
  EXPECT(varve_verify(db, NULL, NULL, NULL), VARVE_CLOSED, "closed");
  EXPECT(varve_backup(db, "/nowhere", NULL, NULL, NULL), VARVE_CLOSED, "closed");
  EXPECT(varve_get_stats(db, &stats), VARVE_CLOSED, "closed");
  EXPECT(varve_work(db, 1, NULL), VARVE_CLOSED, "closed");
  EXPECT(varve_close(db), VARVE_CLOSED, "closed");
  varve_batch_destroy(b);
  for (int i = 0; i < 60; i++) { /* the handle is remembered while others come and go */
    varve_db *other;
    TEST_OK(varve_open(":memory:", NULL, &other));
    TEST_OK(varve_close(other));
  }
  EXPECT(varve_sync(db), VARVE_CLOSED, "closed");
  TEST_OK(varve_open(m->path, NULL, &m->db));
}

static void close_waits_for_what_is_open(void **state) {
  misuse *m = *state;
  for (int flushed = 0; flushed < 2; flushed++) {
    varve_iter *it;
    varve_snapshot *s;
    varve_value v;
    TEST_OK(varve_iter_open(m->db, NULL, &it));
    EXPECT(varve_close(m->db), VARVE_BUSY, "1 iterators");
    TEST_RC(varve_iter_first(it), VARVE_OK); /* it is open still, all of it */
    TEST_OK(bed_put(m->db, 3, 1, 100));
    varve_iter_close(it);
    TEST_OK(varve_snapshot_open(m->db, &s));
    EXPECT(varve_close(m->db), VARVE_BUSY, "1 snapshots");
    varve_snapshot_close(s);
    TEST_RC(varve_get(m->db, VARVE_STR("key00000001"), NULL, &v), VARVE_OK);
    EXPECT(varve_close(m->db), VARVE_BUSY, "release some values");
    TEST_OK(bed_put(m->db, 4, 1, 100));
    TEST_OK(varve_flush(m->db));
    EXPECT(varve_close(m->db), VARVE_BUSY, "release some values");
    varve_value_release(&v);
    TEST_OK(varve_close(m->db));
    varve_options o = {.no_mmap = flushed == 0};
    TEST_OK(varve_open(m->path, &o, &m->db));
    bed_check(m->db, 4, 1, 100);
  }
}

static void two_openers_exclude_each_other(void **state) {
  misuse *m = *state;
  varve_db *db;
  char pid[32];
  (void)snprintf(pid, sizeof pid, "%ld", (long)getpid());
  EXPECT(varve_open(m->path, NULL, &db), VARVE_LOCKED, pid);
  bed_says("close it");
  varve_options o = {.read_only = true};
  EXPECT(varve_open(m->path, &o, &db), VARVE_LOCKED, pid);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    int rc = varve_open(m->path, NULL, &db);
    bool fine = rc == VARVE_LOCKED && strstr(varve_errmsg(NULL), pid) != NULL;
    if (!fine) fprintf(stderr, "%s: %s\n", varve_status_name(rc), varve_errmsg(NULL));
    _exit(fine ? 0 : 1);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  bed_check(m->db, 1, 1, 100);
}

static void a_killed_holder_leaves_no_lock(void **state) {
  misuse *m = *state;
  TEST_OK(varve_close(m->db));
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    varve_db *db;
    if (varve_open(m->path, NULL, &db) < 0 || bed_put(db, 2, 1, 100) < 0) _exit(1);
    _exit(7); /* with all of it open */
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(WEXITSTATUS(status), 7);
  TEST_OK(varve_open(m->path, NULL, &m->db));
  bed_check(m->db, 2, 1, 100);
}

/* ---- backups ---- */

static void a_backup_is_not_written_to(void **state) {
  misuse *m = *state;
  varve_db *db;
  char backup[BED_PATH_MAX], other[BED_PATH_MAX];
  bed_join(backup, m->dir, "backup");
  bed_join(other, m->dir, "other");
  TEST_OK(varve_backup(m->db, backup, NULL, NULL, NULL));
  EXPECT(varve_open(backup, NULL, &db), VARVE_READONLY, "restore it to another place");
  varve_options o = {.read_only = true};
  TEST_OK(varve_open(backup, &o, &db));
  bed_check(db, 1, 1, 100);
  TEST_OK(varve_close(db));
  EXPECT(varve_restore(backup, m->path, NULL, NULL), VARVE_LOCKED, "close it");
  TEST_OK(varve_close(m->db));
  EXPECT(varve_restore(backup, m->path, NULL, NULL), VARVE_EXISTS, "restore to a new place");
  EXPECT(varve_restore(m->path, other, NULL, NULL), VARVE_INVALID, "not a backup");
  char foreign[BED_PATH_MAX];
  bed_join(foreign, m->dir, "foreign");
  assert_int_equal(mkdir(foreign, 0700), 0);
  misuse_write_file(foreign, "notes.txt", "x", 1);
  EXPECT(varve_restore(backup, foreign, NULL, NULL), VARVE_EXISTS, "other files");
  EXPECT(varve_restore(foreign, other, NULL, NULL), VARVE_NOT_DATABASE, "no database");
  TEST_OK(varve_open(m->path, NULL, &m->db));
  EXPECT(varve_backup(m->db, foreign, NULL, NULL, NULL), VARVE_EXISTS, "other files");
  bed_check(m->db, 1, 1, 100);
  varve_db *second;
  char place[BED_PATH_MAX];
  bed_join(place, m->dir, "second");
  TEST_OK(varve_open(place, NULL, &second));
  EXPECT(varve_backup(second, backup, NULL, NULL, NULL), VARVE_EXISTS, "not a backup of this database");
  EXPECT(varve_backup(second, m->path, NULL, NULL, NULL), VARVE_LOCKED, "close it");
  TEST_OK(varve_close(second));
}

int main(void) {
#define MISUSE(f) cmocka_unit_test_setup_teardown(f, misuse_setup, misuse_teardown)
  const struct CMUnitTest tests[] = {
      MISUSE(keys_have_1_to_65536_bytes),
      MISUSE(values_have_up_to_1_gib),
      MISUSE(null_arguments_are_named),
      MISUSE(options_that_contradict_are_refused),
      MISUSE(keyspaces_are_checked),
      MISUSE(a_directory_with_other_files_is_no_database),
      MISUSE(a_file_is_no_database),
      MISUSE(must_exist_and_must_not_exist),
      MISUSE(a_newer_format_is_named),
      MISUSE(a_read_only_open_changes_no_file),
      MISUSE(a_directory_without_write_permission),
      MISUSE(a_closed_handle_says_closed),
      MISUSE(close_waits_for_what_is_open),
      MISUSE(two_openers_exclude_each_other),
      MISUSE(a_killed_holder_leaves_no_lock),
      MISUSE(a_backup_is_not_written_to),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
