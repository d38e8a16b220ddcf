/* short_slot_test.c: a disk is full while a database in one file is made, and each write that fails writes a part.
 *
 * What was wrong: a slot of which less than its magic had been written was taken for somebody else's bytes, so that the
 * place said NOT_DATABASE for ever instead of being made again.
 */
#include "unit/api/engine_bed.h"

#include "support/fault_vfs.h"

static int short_keep(vfs *fs) {
  (void)fs;
  return VARVE_OK;
}

static int short_open(fault_vfs *f, varve_db **db) {
  env *e;
  varve_options o = {.no_thread = true};
  TEST_OK(env_open(api_allocator(), ":memory:", VFS_PLACE_CREATE, &e)); /* for its clock */
  TEST_OK(vfs_close_fs(e->fs));
  *db = NULL;
  int rc = vfs_single_open(api_allocator(), &f->base, VFS_PLACE_CREATE, &e->fs);
  if (rc < 0) {
    MEM_DELETE(api_allocator(), e);
    return rc;
  }
  rc = vfs_lock(e->fs, 0);
  if (rc >= 0) return api_open(e, &o, db);
  char message[STATUS_MESSAGE_SIZE];
  status_keep_message(message);
  TEST_OK(env_close(e));
  status_set_message(message);
  return rc;
}

/* The nth write and all later ones write `part` bytes and fail. */
static bool short_once(uint64_t nth, size_t part) {
  vfs *disk;
  fault_vfs *f;
  varve_db *db;
  TEST_OK(vfs_mem_open(api_allocator(), &disk));
  TEST_OK(fault_vfs_open(disk, &f));
  vfs_ops ops = *f->base.ops;
  ops.close_fs = short_keep;
  f->base.ops = &ops;
  fault_rule rule = {.ops = FAULT_BIT(FAULT_WRITE), .kind = FAULT_ANY_KIND, .nth = nth, .and_later = true};
  rule.status = VARVE_FULL;
  rule.part = part;
  fault_vfs_arm(f, rule);
  int rc = short_open(f, &db);
  bool met = atomic_load(&f->failed) > 0;
  if (rc < 0) TEST_RC(rc, VARVE_FULL);
  (void)varve_close(db);
  fault_vfs_disarm(f);
  TEST_OK(short_open(f, &db));
  TEST_OK(bed_put(db, 1, 1, 100));
  TEST_OK(varve_close(db));
  TEST_OK(short_open(f, &db));
  bed_check(db, 1, 1, 100);
  TEST_OK(varve_close(db));
  MEM_DELETE(disk->alloc, f);
  TEST_OK(vfs_close_fs(disk));
  return met;
}

static void a_place_is_made_again(void **state) {
  (void)state;
  for (size_t part = 0; part < 130; part += part < 20 ? 1 : 13) {
    uint64_t nth = 1;
    while (short_once(nth, part)) nth++;
    assert_true(nth > 3);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_place_is_made_again)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
