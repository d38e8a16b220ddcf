/* cut_copy_test.c: each call of a backup's or a restore's target fails once, or memory runs out; then the same is asked
 * for again.
 *
 * What was wrong: a backup that stopped between the making of SUPER and its first slot could never be made again in
 * that place: CORRUPT, tables beside an empty SUPER. A restore said EXISTS, "not empty", when it could not read the
 * target.
 */
#include "unit/api/engine_bed.h"

#include "support/fault_vfs.h"

static int cut_keep(vfs *fs) {
  (void)fs;
  return VARVE_OK;
}

static vfs_ops cut_ops;

static fault_vfs *cut_place(void) {
  vfs *disk;
  fault_vfs *f;
  TEST_OK(vfs_mem_open(api_allocator(), &disk));
  TEST_OK(fault_vfs_open(disk, &f));
  cut_ops = *f->base.ops;
  cut_ops.close_fs = cut_keep;
  f->base.ops = &cut_ops;
  return f;
}

static void cut_remove(fault_vfs *f) {
  vfs *disk = f->inner;
  MEM_DELETE(disk->alloc, f);
  TEST_OK(vfs_close_fs(disk));
}

static env *cut_env(fault_vfs *f) {
  env *e;
  TEST_OK(env_open(api_allocator(), ":memory:", VFS_PLACE_CREATE, &e)); /* for its clock */
  TEST_OK(vfs_close_fs(e->fs));
  e->fs = &f->base;
  return e;
}

static void cut_arm(fault_vfs *f, uint64_t nth) {
  fault_vfs_arm(f, (fault_rule){.ops = FAULT_ALL, .kind = FAULT_ANY_KIND, .nth = nth, .status = VARVE_IO});
}

static int cut_backup(varve_db *db, fault_vfs *to) {
  varve_backup_report report;
  env *e = cut_env(to);
  int rc = lsm_backup(db->lsm, e, &report, NULL, NULL);
  TEST_OK(env_close(e));
  return rc;
}

static int cut_restore(fault_vfs *from, fault_vfs *to) {
  env *a = cut_env(from), *b = cut_env(to);
  int rc = lsm_restore(a, b, NULL, NULL);
  TEST_OK(env_close(a));
  TEST_OK(env_close(b));
  return rc;
}

static varve_db *cut_database(void) {
  varve_db *db;
  varve_options o = {.no_thread = true};
  TEST_OK(varve_open(":memory:", &o, &db));
  for (uint32_t i = 0; i < 20; i++) TEST_OK(bed_put(db, i, 1, 100));
  return db;
}

static void a_backup_is_made_again(void **state) {
  (void)state;
  bool met = true;
  for (uint64_t nth = 1; met; nth++) {
    varve_db *db = cut_database();
    fault_vfs *to = cut_place();
    cut_arm(to, nth);
    int rc = cut_backup(db, to);
    if (rc < 0) TEST_RC(rc, VARVE_IO);
    met = atomic_load(&to->failed) > 0;
    fault_vfs_disarm(to);
    TEST_OK(cut_backup(db, to));
    TEST_OK(varve_close(db));
    cut_remove(to);
  }
}

static void a_restore_is_made_again(void **state) {
  (void)state;
  bool met = true;
  varve_db *db = cut_database();
  fault_vfs *backup = cut_place();
  TEST_OK(cut_backup(db, backup));
  for (uint64_t nth = 1; met; nth++) {
    fault_vfs *to = cut_place();
    cut_arm(to, nth);
    int rc = cut_restore(backup, to);
    if (rc < 0) TEST_RC(rc, VARVE_IO);
    met = atomic_load(&to->failed) > 0;
    fault_vfs_disarm(to);
    int again = cut_restore(backup, to);
    if (again < 0) TEST_RC(again, VARVE_EXISTS); /* it was published before the failure */
    varve_db *restored;
    varve_options o = {.no_thread = true};
    TEST_OK(vfs_lock(&to->base, 0));
    TEST_OK(api_open(cut_env(to), &o, &restored));
    for (uint32_t i = 0; i < 20; i++) bed_check(restored, i, 1, 100);
    TEST_OK(varve_close(restored));
    cut_remove(to);
  }
  cut_remove(backup);
  TEST_OK(varve_close(db));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_backup_is_made_again),
      cmocka_unit_test(a_restore_is_made_again),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
