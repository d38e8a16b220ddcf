/* rustlite_storage_test.c: nine ways to lose or mix up data, each as a test that must pass here.
 *
 * They were found in RustLite, an embedded database in Rust that is a log-structured merge tree, too; its version 0.8.0
 * was surveyed. The comment of each test says what that version does.
 */
#include "unit/api/engine_bed.h"

#include <unistd.h>

static varve_options rustlite_options(void) {
  varve_options o = {.no_thread = true, .memtable_bytes = 1, .table_bytes = 1};
  return o;
}

static varve_db *rustlite_open(const char *path) {
  varve_db *db;
  varve_options o = rustlite_options();
  TEST_OK(varve_open(path, &o, &db));
  return db;
}

/* What a process that is killed now leaves behind, opened again in memory. */
static varve_db *rustlite_open_crashed(const char *path) {
  static bed_image image;
  varve_db *db;
  varve_options o = rustlite_options();
  bed_image_of_dir(path, &image);
  TEST_OK(bed_open_image(&image, &o, &db));
  bed_image_free(&image);
  return db;
}

/* 1. put, sync, put, sync, get gives the first value, and a delete brings it back: all its tables have sequence 0,
 * so that the oldest file wins. */
static void rustlite_1_overwrites_win_over_older_tables(void **state) {
  (void)state;
  char dir[TEST_PATH_MAX], path[BED_PATH_MAX];
  test_dir_create(dir);
  bed_join(path, dir, "db");
  varve_db *db = rustlite_open(path);
  TEST_OK(bed_put(db, 1, 1, 10));
  TEST_OK(varve_flush(db));
  TEST_OK(bed_put(db, 1, 2, 10));
  TEST_OK(varve_flush(db));
  bed_check(db, 1, 2, 10);
  assert_true(bed_stats(db).level[0].tables == 2);
  TEST_OK(varve_delete(db, VARVE_STR("key00000001"), NULL));
  TEST_OK(varve_flush(db));
  bed_check(db, 1, 0, 0);
  TEST_OK(varve_close(db));
  db = rustlite_open(path);
  bed_check(db, 1, 0, 0);
  TEST_OK(varve_compact(db, NULL, NULL));
  bed_check(db, 1, 0, 0);
  TEST_OK(varve_close(db));
  test_dir_remove(dir);
}

/* 2. After 8 overwrites with a sync each, compaction keeps the fourth value for good. */
static void rustlite_2_compaction_keeps_the_newest(void **state) {
  (void)state;
  char dir[TEST_PATH_MAX], path[BED_PATH_MAX];
  test_dir_create(dir);
  bed_join(path, dir, "db");
  varve_db *db = rustlite_open(path);
  for (uint32_t turn = 1; turn <= 8; turn++) {
    for (uint32_t i = 0; i < 20; i++) TEST_OK(bed_put(db, i, turn, 100));
    TEST_OK(varve_flush(db));
    for (uint32_t i = 0; i < 20; i++) bed_check(db, i, turn, 100);
  }
  TEST_OK(varve_compact(db, NULL, NULL));
  varve_stats s = bed_stats(db);
  assert_true(s.compactions > 0);
  uint64_t entries = 0;
  for (uint32_t level = 0; level < s.levels; level++) entries += s.level[level].entries;
  assert_int_equal(entries, 20); /* and the older ones are gone */
  for (uint32_t i = 0; i < 20; i++) bed_check(db, i, 8, 100);
  TEST_OK(varve_close(db));
  db = rustlite_open(path);
  for (uint32_t i = 0; i < 20; i++) bed_check(db, i, 8, 100);
  TEST_OK(varve_close(db));
  test_dir_remove(dir);
}

/* 3. The log is the database: it is never cut, and each open replays all of it into an unbounded memtable. */
static void rustlite_3_the_log_is_bounded(void **state) {
  (void)state;
  char dir[TEST_PATH_MAX], path[BED_PATH_MAX];
  test_dir_create(dir);
  bed_join(path, dir, "db");
  varve_db *db = rustlite_open(path);
  enum { SIZE = 1000, LIVE = 200 };
  uint64_t log_bound = 5 * (uint64_t)(2 * MEMTABLE_BYTES_MIN + 2 * WAL_CHUNK_BYTES), written = 0;
  uint32_t rounds = (uint32_t)(2 * log_bound / (SIZE * LIVE)) + 1; /* twice what the logs may have */
  for (uint32_t turn = 1; turn <= rounds; turn++) {
    for (uint32_t i = 0; i < LIVE; i++) TEST_OK(bed_put(db, i, turn, SIZE));
    written += (uint64_t)SIZE * LIVE;
    assert_true(bed_stats(db).log_bytes <= log_bound);
  }
  assert_true(written > 20 * (uint64_t)MEMTABLE_BYTES_MIN && written > 2 * log_bound);
  varve_db *after = rustlite_open_crashed(path);
  assert_true(bed_stats(after).memtable_bytes < 4 * (uint64_t)MEMTABLE_BYTES_MIN + 2 * ARENA_FIRST_CHUNK_BYTES);
  for (uint32_t i = 0; i < LIVE; i++) bed_check(after, i, rounds, SIZE);
  TEST_OK(varve_close(after));
  TEST_OK(varve_close(db));
  db = rustlite_open(path);
  for (uint32_t i = 0; i < LIVE; i++) bed_check(db, i, rounds, SIZE);
  assert_true(bed_stats(db).log_bytes <= log_bound);
  TEST_OK(varve_close(db));
  test_dir_remove(dir);
}

/* 4. A value of 17 MiB is written and acknowledged, and the log's reader refuses everything above 16 MiB: the
 * database cannot be opened any more. */
static void rustlite_4_a_large_value_keeps_the_database_openable(void **state) {
  (void)state;
  char dir[TEST_PATH_MAX], path[BED_PATH_MAX];
  test_dir_create(dir);
  bed_join(path, dir, "db");
  size_t size = (size_t)17 << 20;
  uint8_t *bytes = malloc(size);
  assert_non_null(bytes);
  rng r = test_rng("rustlite_4");
  for (size_t i = 0; i + 8 <= size; i += 8) {
    uint64_t word = rng_next(&r);
    memcpy(bytes + i, &word, 8);
  }
  varve_slice large = {bytes, size};
  varve_db *db = rustlite_open(path);
  TEST_OK(bed_put(db, 1, 1, 10));
  TEST_OK(varve_put(db, VARVE_STR("large"), large, NULL));
  TEST_OK(bed_put(db, 2, 1, 10));
  for (int turn = 0; turn < 4; turn++) {
    varve_value v;
    if (turn == 1) { /* killed: it comes out of the log */
      varve_db *after = rustlite_open_crashed(path);
      TEST_RC(varve_get(after, VARVE_STR("large"), NULL, &v), VARVE_OK);
      assert_int_equal(v.size, size);
      assert_memory_equal(v.data, bytes, size);
      varve_value_release(&v);
      TEST_OK(varve_close(after));
    }
    if (turn == 2) TEST_OK(varve_compact(db, NULL, NULL));
    if (turn == 3) {
      TEST_OK(varve_close(db));
      db = rustlite_open(path);
    }
    bed_check(db, 1, 1, 10);
    bed_check(db, 2, 1, 10);
    TEST_RC(varve_get(db, VARVE_STR("large"), NULL, &v), VARVE_OK);
    assert_int_equal(v.size, size);
    assert_memory_equal(v.data, bytes, size);
    varve_value_release(&v);
  }
  TEST_OK(varve_verify(db, NULL, NULL, NULL));
  TEST_OK(varve_close(db));
  free(bytes);
  test_dir_remove(dir);
}

/* 5. Recovery leaves a torn tail where it is and the writer appends behind it: the next recovery stops there, and
 * every write acknowledged in between is gone. */
static void rustlite_5_a_torn_tail_eats_nothing_later(void **state) {
  (void)state;
  static bed_image image;
  rng r = test_rng("rustlite_5");
  varve_options o = rustlite_options();
  for (uint32_t torn = 1; torn < 60; torn++) {
    env *e;
    varve_db *db;
    image.count = 0;
    for (uint32_t crash = 1; crash <= 4; crash++) {
      TEST_OK(env_open(api_allocator(), ":memory:", VFS_PLACE_CREATE, &e));
      bed_image_put(&image, e->fs);
      TEST_OK(vfs_lock(e->fs, 0));
      TEST_OK(api_open(e, &o, &db));
      for (uint32_t i = 1; i < crash; i++) bed_check(db, i, i, 20);
      TEST_OK(bed_put(db, crash, crash, 20));
      TEST_OK(varve_sync(db));
      uint64_t end = wal_end(db->lsm->wal), file = wal_file_number(db->lsm->wal);
      TEST_OK(bed_put(db, 1000 + crash, 1, 20)); /* the one that is torn */
      bed_image_free(&image);
      bed_image_take(db->env->fs, &image);
      TEST_OK(varve_close(db));
      for (size_t i = 0; i < image.count; i++) {
        bed_file *f = &image.files[i];
        if (f->kind != FILE_WAL || f->number != file) continue;
        uint64_t from = end + torn;
        if (rng_percent(&r, 50)) {
          f->size = (size_t)MIN(from, f->size);
        } else {
          for (uint64_t at = from; at < MIN(from + 100, f->size); at++) f->bytes[at] = (uint8_t)rng_next(&r);
        }
      }
    }
    TEST_OK(bed_open_image(&image, &o, &db));
    for (uint32_t i = 1; i <= 4; i++) bed_check(db, i, i, 20);
    TEST_OK(varve_close(db));
    bed_image_free(&image);
  }
}

/* 6. Damage in the middle of a log silently drops everything behind it, later logs too. */
static void rustlite_6_damage_in_a_log_is_reported(void **state) {
  (void)state;
  static bed_image image;
  varve_db *db;
  varve_options o = rustlite_options();
  TEST_OK(varve_open(":memory:", &o, &db));
  for (uint32_t i = 0; i < 40; i++) {
    TEST_OK(bed_put(db, i, 1, 50));
    if (i % 10 == 9) TEST_OK(varve_sync(db));
  }
  uint64_t synced = wal_synced(db->lsm->wal);
  TEST_OK(bed_put(db, 40, 1, 50)); /* says how far the sync went */
  bed_image_take(db->env->fs, &image);
  TEST_OK(varve_close(db));
  bed_file *wal = bed_image_find(&image, FILE_WAL);
  assert_non_null(wal);
  uint64_t reported = 0;
  bed_content whole, content;
  TEST_OK(bed_examine(&image, &o, &whole));
  assert_int_equal(whole.entries, 41);
  for (uint64_t at = WAL_HEADER_SIZE; at < synced; at++) {
    wal->bytes[at] ^= 0x10;
    int rc = bed_examine(&image, &o, &content);
    wal->bytes[at] ^= 0x10;
    if (rc >= 0 && content.digest == whole.digest) continue; /* the padding between frames says nothing */
    if (rc != VARVE_CORRUPT) fail_msg("a flip at %llu was not reported", (unsigned long long)at);
    bed_says(".wal is damaged at offset");
    reported++;
  }
  assert_true(reported * 100 > (synced - WAL_HEADER_SIZE) * 90);
  bed_image_free(&image);
}

/* How many files of a kind a directory holds. */
static size_t rustlite_files(const char *path, file_kind kind) {
  static bed_image image;
  size_t count = 0;
  bed_image_of_dir(path, &image);
  for (size_t i = 0; i < image.count; i++) count += image.files[i].kind == kind;
  bed_image_free(&image);
  return count;
}

static size_t rustlite_tables(varve_db *db) {
  varve_stats s = bed_stats(db);
  size_t count = 0;
  for (uint32_t level = 0; level < s.levels; level++) count += s.level[level].tables;
  return count;
}

/* 7. What is appended to the manifest is never replayed: after flush and reopen the table is an orphan. Files
 * are named after the millisecond: of 200 flushes 35 files are left. */
static void rustlite_7_every_table_survives_a_reopen(void **state) {
  (void)state;
  char dir[TEST_PATH_MAX], path[BED_PATH_MAX];
  test_dir_create(dir);
  bed_join(path, dir, "db");
  varve_db *db = rustlite_open(path);
  for (uint32_t i = 0; i < 200; i++) {
    TEST_OK(bed_put(db, i, 1, 100));
    TEST_OK(varve_flush(db));
    if (i % 50 != 49) continue;
    size_t tables = rustlite_tables(db);
    varve_db *after = rustlite_open_crashed(path);
    assert_int_equal(rustlite_tables(after), tables);
    for (uint32_t k = 0; k <= i; k++) bed_check(after, k, 1, 100);
    TEST_OK(varve_close(after));
    TEST_OK(varve_close(db));
    db = rustlite_open(path);
    assert_true(rustlite_tables(db) > 0);
    assert_int_equal(rustlite_files(path, FILE_SST), rustlite_tables(db));
    assert_int_equal(rustlite_files(path, FILE_MANIFEST), 1);
    for (uint32_t k = 0; k <= i; k++) bed_check(db, k, 1, 100);
  }
  TEST_OK(varve_close(db));
  test_dir_remove(dir);
}

/* ---- 8 ---- */

static void rustlite_same(const bed_image *image, const bed_content *wanted, const char *what, size_t at) {
  bed_content content;
  varve_options o = rustlite_options();
  int rc = bed_examine(image, &o, &content);
  if (rc < 0) fail_msg("%s cut at %zu: %s", what, at, varve_errmsg(NULL));
  if (content.digest != wanted->digest || content.entries != wanted->entries) {
    fail_msg("%s cut at %zu: another content", what, at);
  }
}

/* `before` with one file as it is in `after`, to be written up to some byte. */
static bed_file *rustlite_graft(bed_image *before, const bed_file *f) {
  for (size_t i = 0; i < before->count; i++) {
    if (before->files[i].kind == f->kind && before->files[i].number == f->number) return &before->files[i];
  }
  bed_file *fresh = &before->files[before->count++];
  *fresh = (bed_file){f->kind, f->number, 0, calloc(1, f->size + 1)};
  return fresh;
}

/* 8. The manifest is written over in place and then truncated; one that cannot be read is an empty database. Here
 * the new manifest is cut after each byte, then SUPER's new slot is written up to each byte: the content is always
 * the same. */
static void rustlite_8_manifest_replacement_is_atomic(void **state) {
  (void)state;
  static bed_image before, after;
  varve_db *db;
  bed_content wanted;
  varve_options o = rustlite_options();
  TEST_OK(varve_open(":memory:", &o, &db));
  for (uint32_t i = 0; i < 90; i++) {
    TEST_OK(bed_put(db, i % 60, i, 60));
    if (i % 20 == 19) TEST_OK(varve_flush(db));
  }
  TEST_OK(bed_read_all(db, &wanted));
  bed_image_take(db->env->fs, &before);
  mutex_lock(&db->lsm->step_lock);
  TEST_OK(work_new_manifest(db->lsm));
  mutex_unlock(&db->lsm->step_lock);
  bed_image_take(db->env->fs, &after);
  TEST_OK(varve_close(db));
  const bed_file *man = bed_image_find(&after, FILE_MANIFEST), *root = bed_image_find(&after, FILE_SUPER);
  bed_file *half = rustlite_graft(&before, man);
  assert_int_equal(half->size, 0); /* it is a new one */
  for (size_t at = 0; at <= man->size; at++) {
    half->size = at;
    memcpy(half->bytes, man->bytes, at);
    rustlite_same(&before, &wanted, "the manifest", at);
  }
  half = rustlite_graft(&before, root);
  assert_int_equal(half->size, root->size);
  assert_memory_not_equal(half->bytes, root->bytes, root->size);
  for (size_t at = 0; at < root->size; at++) {
    bool changed = half->bytes[at] != root->bytes[at];
    half->bytes[at] = root->bytes[at];
    if (changed || at % 256 == 0) rustlite_same(&before, &wanted, "SUPER", at);
  }
  rustlite_same(&after, &wanted, "the manifest's removal", 0);
  bed_image_free(&before);
  bed_image_free(&after);
}

/* The same for what a flush appends to the manifest: the content is the same with and without the record. */
static void rustlite_8_manifest_append_is_atomic(void **state) {
  (void)state;
  static bed_image before, after;
  varve_db *db;
  bed_content wanted;
  varve_options o = rustlite_options();
  TEST_OK(varve_open(":memory:", &o, &db));
  for (uint32_t i = 0; i < 30; i++) TEST_OK(bed_put(db, i, i, 60));
  bed_image_take(db->env->fs, &before);
  TEST_OK(varve_flush(db));
  TEST_OK(bed_read_all(db, &wanted));
  bed_image_take(db->env->fs, &after);
  TEST_OK(varve_close(db));
  const bed_file *man = bed_image_find(&after, FILE_MANIFEST);
  assert_non_null(bed_image_find(&after, FILE_SST));
  for (size_t i = 0; i < after.count; i++) { /* the table and the next log are there before the record is */
    const bed_file *f = &after.files[i];
    if (f->kind != FILE_SST && f->kind != FILE_WAL) continue;
    bed_file *copy = rustlite_graft(&before, f);
    if (copy->size > 0) continue; /* the log that was flushed, as it was */
    memcpy(copy->bytes, f->bytes, f->size);
    copy->size = f->size;
  }
  bed_file *half = rustlite_graft(&before, man);
  assert_true(half->size < man->size);
  uint8_t *longer = malloc(man->size);
  assert_non_null(longer);
  memcpy(longer, man->bytes, man->size);
  free(half->bytes);
  half->bytes = longer;
  for (; half->size <= man->size; half->size++) rustlite_same(&before, &wanted, "the record", half->size);
  bed_image_free(&before);
  bed_image_free(&after);
}

/* 9. A restored copy reads the source's files, whose paths are in its manifest, and its compaction removes them. */
static void rustlite_9_a_restored_copy_leaves_its_source_alone(void **state) {
  (void)state;
  static bed_image before, after;
  char dir[TEST_PATH_MAX], path[BED_PATH_MAX], copy[BED_PATH_MAX], restored[BED_PATH_MAX], moved[BED_PATH_MAX];
  test_dir_create(dir);
  bed_join(path, dir, "db");
  bed_join(copy, dir, "backup");
  bed_join(restored, dir, "restored");
  bed_join(moved, dir, "moved");
  varve_db *db = rustlite_open(path);
  for (uint32_t i = 0; i < 300; i++) {
    TEST_OK(bed_put(db, i % 100, i, 200));
    if (i % 100 == 99) TEST_OK(varve_flush(db));
  }
  TEST_OK(varve_backup(db, copy, NULL, NULL, NULL));
  TEST_OK(varve_restore(copy, restored, NULL, NULL));
  TEST_OK(varve_close(db));
  bed_image_of_dir(path, &before);
  assert_int_equal(rename(restored, moved), 0);
  varve_db *second = rustlite_open(moved);
  for (uint32_t i = 0; i < 100; i++) bed_check(second, i, 200 + i, 200);
  for (uint32_t i = 0; i < 100; i++) TEST_OK(bed_put(second, i, 1000 + i, 200));
  TEST_OK(varve_compact(second, NULL, NULL));
  TEST_OK(varve_close(second));
  bed_image_of_dir(path, &after);
  assert_true(bed_image_equal(&before, &after));
  db = rustlite_open(path);
  for (uint32_t i = 0; i < 100; i++) bed_check(db, i, 200 + i, 200);
  TEST_OK(varve_close(db));
  bed_image_free(&before);
  bed_image_free(&after);
  test_dir_remove(dir);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(rustlite_1_overwrites_win_over_older_tables),
      cmocka_unit_test(rustlite_2_compaction_keeps_the_newest),
      cmocka_unit_test(rustlite_3_the_log_is_bounded),
      cmocka_unit_test(rustlite_4_a_large_value_keeps_the_database_openable),
      cmocka_unit_test(rustlite_5_a_torn_tail_eats_nothing_later),
      cmocka_unit_test(rustlite_6_damage_in_a_log_is_reported),
      cmocka_unit_test(rustlite_7_every_table_survives_a_reopen),
      cmocka_unit_test(rustlite_8_manifest_replacement_is_atomic),
      cmocka_unit_test(rustlite_8_manifest_append_is_atomic),
      cmocka_unit_test(rustlite_9_a_restored_copy_leaves_its_source_alone),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
