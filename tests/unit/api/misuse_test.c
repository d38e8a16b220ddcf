/* misuse_test.c: what callers do wrong with arguments, handles and backups: each gets its own status and a sentence
 * that says what to do. Places are in places_test.c, damaged files in damage_test.c, full disks in full_test.c.
 */
#define _GNU_SOURCE
#include "unit/api/misuse_bed.h"

/* ---- arguments ---- */

static void keys_have_1_to_65536_bytes(void **state) {
  misuse *m = *state;
  static char bytes[VARVE_KEY_SIZE_MAX + 1];
  varve_slice null = {NULL, 1}, largest = {bytes, VARVE_KEY_SIZE_MAX}, over = {bytes, sizeof bytes};
  varve_slice value = VARVE_STR("v");
  varve_value v;
  varve_batch *b;
  TEST_OK(varve_batch_create(&b));
  memset(bytes, 'k', sizeof bytes);
  EXPECT(varve_put(m->db, null, value, NULL), VARVE_INVALID, "data is NULL");
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

/* As in LevelDB and abstract-level: the empty key is a key like any other, the first one. */
static void the_empty_key_is_a_key(void **state) {
  misuse *m = *state;
  varve_slice empty = {NULL, 0};
  varve_value v;
  varve_iter *it;
  TEST_OK(varve_put(m->db, VARVE_STR("a"), VARVE_STR("later"), NULL));
  TEST_OK(varve_put(m->db, empty, VARVE_STR("first"), NULL));
  TEST_OK(varve_flush(m->db));
  TEST_OK(varve_get(m->db, VARVE_STR(""), NULL, &v));
  assert_int_equal(v.size, 5);
  varve_value_release(&v);
  TEST_OK(varve_iter_open(m->db, NULL, &it));
  TEST_OK(varve_iter_first(it));
  assert_int_equal(varve_iter_key(it).size, 0);
  TEST_OK(varve_iter_next(it));
  TEST_OK(varve_iter_prev(it));
  assert_int_equal(varve_iter_key(it).size, 0);
  varve_iter_close(it);
  TEST_OK(varve_delete_range(m->db, empty, VARVE_STR("a"), NULL));
  TEST_RC(varve_has(m->db, empty, NULL), VARVE_NOTFOUND);
  TEST_OK(varve_has(m->db, VARVE_STR("a"), NULL));
  TEST_OK(varve_put(m->db, empty, VARVE_STR("again"), NULL));
  TEST_OK(varve_delete(m->db, empty, NULL));
  TEST_RC(varve_has(m->db, empty, NULL), VARVE_NOTFOUND);
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
    EXPECT(varve_close(m->db), VARVE_BUSY, "release them");
    TEST_OK(bed_put(m->db, 4, 1, 100));
    TEST_OK(varve_flush(m->db));
    EXPECT(varve_close(m->db), VARVE_BUSY, "release them");
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
  const struct CMUnitTest tests[] = {
      MISUSE(keys_have_1_to_65536_bytes),
      MISUSE(values_have_up_to_1_gib),
      MISUSE(the_empty_key_is_a_key),
      MISUSE(null_arguments_are_named),
      MISUSE(options_that_contradict_are_refused),
      MISUSE(keyspaces_are_checked),
      MISUSE(a_closed_handle_says_closed),
      MISUSE(close_waits_for_what_is_open),
      MISUSE(two_openers_exclude_each_other),
      MISUSE(a_killed_holder_leaves_no_lock),
      MISUSE(a_backup_is_not_written_to),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
