/* undone_commit_test.c: the write of a commit fails although all of it arrives, and so does the write that should take
 * it back.
 *
 * What was wrong: the failure of the second write was ignored. The caller had been told that the commit failed, and the
 * next open found it. Worse, the log that was begun next said that this one ended before it: the next open took the
 * logs for damaged, or dropped the later one with its acknowledged commits.
 */
#include "unit/api/engine_bed.h"

#include "support/fault_vfs.h"

enum { UNDONE_VALUE = 100 };

/* Key 1 is committed, the commit of key 2 fails. */
static fault_vfs *undone_begin(varve_db **db, uint32_t ops) {
  env *e;
  fault_vfs *f;
  varve_options o = {.no_thread = true};
  TEST_OK(env_open(api_allocator(), ":memory:", VFS_PLACE_CREATE, &e));
  TEST_OK(fault_vfs_open(e->fs, &f));
  f->base.traits &= ~VFS_MAP_WRITE;
  e->fs = &f->base;
  TEST_OK(vfs_lock(e->fs, 0));
  TEST_OK(api_open(e, &o, db));
  TEST_OK(bed_put(*db, 1, 1, UNDONE_VALUE));
  fault_rule rule = {.ops = ops, .kind = FILE_WAL, .nth = 1, .and_later = true, .status = VARVE_IO};
  rule.part = SIZE_MAX;
  fault_vfs_arm(f, rule);
  f->part_once = true;
  TEST_RC(bed_put(*db, 2, 1, UNDONE_VALUE), VARVE_IO);
  bed_says("injected failure of write");
  fault_vfs_disarm(f);
  return f;
}

/* What a process that dies now leaves behind. */
static varve_db *undone_reopen(fault_vfs *f) {
  static bed_image image;
  varve_db *db;
  varve_options o = {.no_thread = true};
  bed_image_take(f->inner, &image);
  TEST_OK(bed_open_image(&image, &o, &db));
  bed_image_free(&image);
  bed_check(db, 1, 1, UNDONE_VALUE);
  return db;
}

static void a_commit_that_failed_does_not_come_back(void **state) {
  (void)state;
  varve_db *db;
  fault_vfs *f = undone_begin(&db, FAULT_BIT(FAULT_WRITE));
  varve_db *again = undone_reopen(f);
  bed_check(again, 2, 0, UNDONE_VALUE);
  TEST_OK(varve_close(again));
  TEST_OK(bed_put(db, 3, 1, UNDONE_VALUE)); /* it goes on */
  again = undone_reopen(f);
  bed_check(again, 2, 0, UNDONE_VALUE);
  bed_check(again, 3, 1, UNDONE_VALUE);
  TEST_OK(varve_close(again));
  TEST_OK(varve_close(db));
}

static void the_next_log_goes_on_where_this_one_ends(void **state) {
  (void)state;
  varve_db *db;
  fault_vfs *f = undone_begin(&db, FAULT_BIT(FAULT_WRITE));
  mutex_lock(&db->lsm->commit_lock);
  TEST_OK(lsm_rotate(db->lsm));
  mutex_unlock(&db->lsm->commit_lock);
  varve_write_options strict = {.durability = VARVE_STRICT};
  fault_rule full = {.ops = FAULT_BIT(FAULT_WRITE), .kind = FILE_SST, .nth = 1, .and_later = true};
  full.status = VARVE_FULL; /* both logs are needed: the flush waits for space */
  fault_vfs_arm(f, full);
  TEST_OK(varve_put(db, VARVE_STR("three"), VARVE_STR("3"), &strict));
  TEST_OK(varve_put(db, VARVE_STR("four"), VARVE_STR("4"), &strict));
  varve_db *again = undone_reopen(f);
  bed_check(again, 2, 0, UNDONE_VALUE);
  TEST_RC(varve_has(again, VARVE_STR("three"), NULL), VARVE_OK);
  TEST_RC(varve_has(again, VARVE_STR("four"), NULL), VARVE_OK);
  TEST_OK(varve_close(again));
  fault_vfs_disarm(f);
  TEST_OK(varve_close(db));
}

/* Nothing takes it back: then nothing may be built on it. */
static void a_log_in_doubt_is_final(void **state) {
  (void)state;
  varve_db *db;
  fault_vfs *f = undone_begin(&db, FAULT_BIT(FAULT_WRITE) | FAULT_BIT(FAULT_TRUNCATE));
  EXPECT(bed_put(db, 3, 1, UNDONE_VALUE), VARVE_FAILED, "injected failure of write");
  TEST_RC(varve_flush(db), VARVE_FAILED);
  bed_check(db, 1, 1, UNDONE_VALUE);
  bed_check(db, 2, 0, UNDONE_VALUE);
  varve_db *again = undone_reopen(f);
  bed_check(again, 3, 0, UNDONE_VALUE);
  TEST_OK(varve_close(again));
  TEST_RC(varve_close(db), VARVE_FAILED);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_commit_that_failed_does_not_come_back),
      cmocka_unit_test(the_next_log_goes_on_where_this_one_ends),
      cmocka_unit_test(a_log_in_doubt_is_final),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
