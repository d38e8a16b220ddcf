/* recover_test.c: recovery from several logs and their holes, and recovery that is interrupted. */
#include "unit/api/engine_bed.h"

#include "support/fault_vfs.h"

enum { PER_LOG = 10, LOGS = 3 };

static varve_options recover_options(void) {
  varve_options o = {.no_thread = true, .memtable_bytes = 1, .table_bytes = 1, .sync_interval_ms = 1000000};
  return o;
}

static uint32_t recover_key(uint32_t log, uint32_t i) {
  return 100 * log + i;
}

/* What a killed process leaves with three logs that are not flushed, the first of them also named by the manifest. A
 * sync after log `synced` (0 = none). file[i] and end[i] say where each log is and ends. */
typedef struct recover_case {
  bed_image image;
  uint64_t file[LOGS], end[LOGS], half[LOGS]; /* half: the end of the fifth entry */
} recover_case;

static void recover_make(recover_case *c, uint32_t synced) {
  varve_db *db;
  varve_options o = recover_options();
  TEST_OK(varve_open(":memory:", &o, &db));
  lsm *l = db->lsm;
  for (uint32_t i = 0; i < PER_LOG; i++) TEST_OK(bed_put(db, recover_key(0, i), 1, 20));
  TEST_OK(varve_flush(db));
  l->thread_running = true; /* so that commits leave the work to a thread that is not there */
  for (uint32_t log = 0; log < LOGS; log++) {
    if (log > 0) {
      mutex_lock(&l->commit_lock);
      TEST_OK(lsm_rotate(l));
      mutex_unlock(&l->commit_lock);
    }
    for (uint32_t i = 0; i < PER_LOG; i++) {
      TEST_OK(bed_put(db, recover_key(log + 1, i), 1, 20));
      if (i == PER_LOG / 2 - 1) c->half[log] = wal_end(l->wal);
      if (synced == log + 1 && i == PER_LOG / 2) TEST_OK(varve_sync(db));
    }
    c->file[log] = wal_file_number(l->wal);
    c->end[log] = wal_end(l->wal);
  }
  l->thread_running = false;
  assert_int_equal(bed_stats(db).flushes, 1);
  bed_image_take(db->env->fs, &c->image);
  TEST_OK(varve_close(db));
}

static bed_file *recover_file(recover_case *c, uint32_t log) {
  for (size_t i = 0; i < c->image.count; i++) {
    if (c->image.files[i].kind == FILE_WAL && c->image.files[i].number == c->file[log]) return &c->image.files[i];
  }
  fail_msg("log %u has no file", (unsigned)log);
  return NULL;
}

/* Entries of the flushed table and of the logs, up to `entries` of those of the logs. */
static void recover_check(varve_db *db, uint32_t entries) {
  for (uint32_t i = 0; i < PER_LOG; i++) bed_check(db, recover_key(0, i), 1, 20);
  for (uint32_t k = 0; k < LOGS * PER_LOG; k++) {
    bed_check(db, recover_key(1 + k / PER_LOG, k % PER_LOG), k < entries ? 1 : 0, 20);
  }
}

static varve_db *recover_open_case(const recover_case *c) {
  varve_db *db;
  varve_options o = recover_options();
  TEST_OK(bed_open_image(&c->image, &o, &db));
  return db;
}

static void several_logs_are_replayed(void **state) {
  (void)state;
  static recover_case c;
  for (uint32_t synced = 0; synced <= LOGS; synced++) {
    recover_make(&c, synced);
    varve_db *db = recover_open_case(&c);
    recover_check(db, LOGS * PER_LOG);
    assert_int_equal(bed_stats(db).sequence, (LOGS + 1) * PER_LOG);
    TEST_OK(varve_compact(db, NULL, NULL));
    recover_check(db, LOGS * PER_LOG);
    TEST_OK(varve_verify(db, NULL, NULL, NULL));
    TEST_OK(varve_close(db));
    bed_image_free(&c.image);
  }
}

/* Power went before anything of these logs was synced: what follows the hole goes, and never comes back. */
static void logs_behind_a_hole_that_were_never_synced_are_dropped(void **state) {
  (void)state;
  static recover_case c;
  static bed_image after;
  for (uint32_t torn = 0; torn < LOGS; torn++) {
    recover_make(&c, 0);
    bed_file *f = recover_file(&c, torn);
    memset(f->bytes + c.half[torn] + 3, 0, f->size - (size_t)c.half[torn] - 3);
    uint32_t entries = torn * PER_LOG + PER_LOG / 2;
    varve_db *db = recover_open_case(&c);
    recover_check(db, entries);
    TEST_OK(bed_put(db, 5000, 1, 20));
    TEST_OK(varve_sync(db));
    bed_image_take(db->env->fs, &after);
    TEST_OK(varve_close(db));
    varve_options o = recover_options();
    TEST_OK(bed_open_image(&after, &o, &db));
    recover_check(db, entries);
    bed_check(db, 5000, 1, 20);
    TEST_OK(varve_flush(db));
    recover_check(db, entries);
    TEST_OK(varve_close(db));
    bed_image_free(&after);
    bed_image_free(&c.image);
  }
}

static void recover_expect_corrupt(recover_case *c, const char *word) {
  varve_db *db;
  varve_options o = recover_options();
  EXPECT(bed_open_image(&c->image, &o, &db), VARVE_CORRUPT, word);
  assert_null(db);
  o.read_only = true;
  EXPECT(bed_open_image(&c->image, &o, &db), VARVE_CORRUPT, word);
}

/* The same hole, but a later log says that it was synced, and so everything before it was. */
static void a_hole_before_synced_logs_is_corrupt(void **state) {
  (void)state;
  static recover_case c;
  for (uint32_t torn = 0; torn + 1 < LOGS; torn++) {
    recover_make(&c, LOGS);
    bed_file *f = recover_file(&c, torn);
    memset(f->bytes + c.half[torn] + 3, 0, f->size - (size_t)c.half[torn] - 3);
    recover_expect_corrupt(&c, ".wal is damaged at offset");
    bed_says("synced");
    bed_image_free(&c.image);
  }
}

static void a_missing_first_log_is_corrupt(void **state) {
  (void)state;
  static recover_case c;
  for (uint32_t synced = 0; synced <= LOGS; synced += LOGS) {
    recover_make(&c, synced);
    recover_file(&c, 0)->size = 0;
    recover_expect_corrupt(&c, "is missing");
    recover_file(&c, 1)->size = 0;
    recover_file(&c, 2)->size = 0;
    recover_expect_corrupt(&c, "is missing");
    bed_image_free(&c.image);
  }
}

static void two_files_of_one_log_are_corrupt(void **state) {
  (void)state;
  static recover_case c;
  recover_make(&c, 0);
  const bed_file *f = recover_file(&c, 1);
  bed_file *copy = &c.image.files[c.image.count++];
  *copy = *f;
  copy->number = 900;
  copy->bytes = malloc(f->size);
  assert_non_null(copy->bytes);
  memcpy(copy->bytes, f->bytes, f->size);
  recover_expect_corrupt(&c, "both claim to be log");
  bed_image_free(&c.image);
}

static void the_end_of_a_clean_close_is_kept_to(void **state) {
  (void)state;
  static bed_image image;
  char dir[TEST_PATH_MAX], path[BED_PATH_MAX];
  varve_db *db;
  varve_options o = recover_options();
  test_dir_create(dir);
  bed_join(path, dir, "db");
  TEST_OK(varve_open(path, &o, &db));
  for (uint32_t i = 0; i < 10; i++) TEST_OK(bed_put(db, i, 1, 20));
  uint64_t end = wal_end(db->lsm->wal);
  TEST_OK(varve_close(db));
  bed_image_of_dir(path, &image);
  bed_file *f = bed_image_find(&image, FILE_WAL);
  TEST_OK(bed_open_image(&image, &o, &db));
  for (uint32_t i = 0; i < 10; i++) bed_check(db, i, 1, 20);
  TEST_OK(varve_close(db));
  for (uint64_t at = WAL_HEADER_SIZE; at + 8 < end; at += 40) {
    uint8_t *kept = malloc(f->size);
    assert_non_null(kept);
    memcpy(kept, f->bytes, f->size);
    memset(f->bytes + at, 0, f->size - (size_t)at); /* nothing behind it that could prove anything */
    EXPECT(bed_open_image(&image, &o, &db), VARVE_CORRUPT, "the last close left it whole");
    free(f->bytes);
    f->bytes = kept;
  }
  bed_image_free(&image);
  test_dir_remove(dir);
}

/* ---- interruptions ---- */

static int recover_open_failing(const bed_image *image, const fault_rule *rule, test_allocator *memory,
                                uint64_t *failed, bed_image *left) {
  env *e;
  fault_vfs *f;
  TEST_OK(env_open(&memory->base, ":memory:", VFS_PLACE_CREATE, &e));
  bed_image_put(image, e->fs);
  TEST_OK(fault_vfs_open(e->fs, &f));
  e->fs = &f->base;
  TEST_OK(vfs_lock(e->fs, 0));
  fault_vfs_arm(f, *rule);
  lsm *l;
  lsm_options lo = {.no_thread = true, .memtable_bytes = MEMTABLE_BYTES_MIN, .memory_bytes = MEMORY_BYTES_DEFAULT};
  lo.table_bytes = TABLE_BYTES_MIN;
  lo.block_bytes = BLOCK_BYTES_DEFAULT;
  lo.bloom_bits = 10;
  lo.l0_runs = 4;
  lo.fanout = 10;
  lo.sync_interval_ms = 1000;
  int rc = lsm_open(e, &lo, &l);
  *failed = atomic_load(&f->failed);
  fault_vfs_disarm(f);
  if (rc >= 0) TEST_OK(lsm_close(l));
  bed_image_take(f->inner, left);
  TEST_OK(vfs_unlock(e->fs));
  TEST_OK(env_close(e));
  test_allocator_check(memory);
  return rc;
}

/* Every call of the file layer that recovery makes fails once, before or after a part of its work was done; the next
 * recovery finds everything. */
static void an_interrupted_recovery_is_repeated(void **state) {
  (void)state;
  static recover_case c;
  static bed_image left;
  test_allocator memory;
  uint32_t interrupted = 0;
  for (uint32_t torn = 0; torn < 2; torn++) {
    recover_make(&c, 0);
    uint32_t entries = LOGS * PER_LOG;
    if (torn == 1) { /* with logs to drop */
      bed_file *f = recover_file(&c, 1);
      memset(f->bytes + c.half[1] + 3, 0, f->size - (size_t)c.half[1] - 3);
      entries = PER_LOG + PER_LOG / 2;
    }
    for (uint64_t nth = 1;; nth++) {
      varve_db *db;
      uint64_t failed;
      fault_rule rule = {
          .ops = FAULT_ALL & ~(FAULT_BIT(FAULT_CLOSE) | FAULT_BIT(FAULT_UNMAP) | FAULT_BIT(FAULT_UNLOCK)),
          .kind = FAULT_ANY_KIND,
          .nth = nth,
          .and_later = nth % 2 == 0,
          .status = VARVE_IO,
          .part = nth % 3 == 0 ? 5 : 0};
      test_allocator_init(&memory);
      int rc = recover_open_failing(&c.image, &rule, &memory, &failed, &left);
      if (failed == 0) {
        TEST_OK(rc);
        bed_image_free(&left);
        break;
      }
      interrupted += rc < 0;
      if (rc < 0) bed_says("injected");
      varve_options o = recover_options();
      TEST_OK(bed_open_image(&left, &o, &db));
      recover_check(db, entries);
      TEST_OK(varve_verify(db, NULL, NULL, NULL));
      TEST_OK(varve_close(db));
      bed_image_free(&left);
    }
    bed_image_free(&c.image);
  }
  assert_true(interrupted > 30);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(several_logs_are_replayed),
      cmocka_unit_test(logs_behind_a_hole_that_were_never_synced_are_dropped),
      cmocka_unit_test(a_hole_before_synced_logs_is_corrupt),
      cmocka_unit_test(a_missing_first_log_is_corrupt),
      cmocka_unit_test(two_files_of_one_log_are_corrupt),
      cmocka_unit_test(the_end_of_a_clean_close_is_kept_to),
      cmocka_unit_test(an_interrupted_recovery_is_repeated),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
