/* undo_not_synced_test.c: the write of a commit fails although all of it arrives; zeros take it back; then another log
 * is begun, and a strict commit goes there.
 *
 * What was wrong: the first log counted as synced, so the zeros were not. After a power cut that commit could be there
 * again, in a log of which the next one says that it ended before: the open took a database whose strict commits were
 * all on stable storage for a damaged one.
 */
#include "unit/api/engine_bed.h"

#include "support/fault_vfs.h"

typedef struct undo_watch {
  uint64_t file; /* of the first log */
  uint32_t syncs;
} undo_watch;

static void undo_before(void *context, fault_op op, file_kind kind, uint64_t number) {
  undo_watch *w = context;
  if (kind != FILE_WAL) return;
  if (op == FAULT_OPEN && w->file == 0) w->file = number;
  if (op == FAULT_SYNC && number == w->file) w->syncs++;
}

static void undo_begin(fault_vfs **f, undo_watch *watch, const varve_options *o, varve_db **db) {
  env *e;
  TEST_OK(env_open(api_allocator(), ":memory:", VFS_PLACE_CREATE, &e));
  TEST_OK(fault_vfs_open(e->fs, f));
  (*f)->base.traits &= ~VFS_MAP_WRITE;
  (*f)->before = undo_before;
  (*f)->context = watch;
  e->fs = &(*f)->base;
  TEST_OK(vfs_lock(e->fs, 0));
  TEST_OK(api_open(e, o, db));
}

static int undo_put_strict(varve_db *db, uint32_t i, size_t size) {
  static uint8_t bytes[1 * MiB];
  char text[32];
  varve_write_options strict = {.durability = VARVE_STRICT};
  varve_slice value = {bytes, size};
  assert_true(size <= sizeof bytes);
  return varve_put(db, bed_key(text, i), value, &strict);
}

static void zeros_over_a_frame_are_synced_before_the_next_log(void **state) {
  (void)state;
  varve_db *db;
  fault_vfs *f;
  undo_watch watch = {0, 0};
  varve_options o = {.no_thread = true, .memtable_bytes = 64 * KiB};
  undo_begin(&f, &watch, &o, &db);
  TEST_OK(undo_put_strict(db, 1, 100));
  fault_rule rule = {.ops = FAULT_BIT(FAULT_WRITE), .kind = FILE_WAL, .nth = 1, .status = VARVE_IO, .part = SIZE_MAX};
  fault_vfs_arm(f, rule);
  TEST_RC(undo_put_strict(db, 2, 100), VARVE_IO);
  fault_vfs_disarm(f);
  watch.syncs = 0;
  TEST_OK(undo_put_strict(db, 3, sizeof(uint8_t[1 * MiB]))); /* no room for it in this memtable and log */
  assert_true(watch.syncs > 0);
  TEST_OK(varve_close(db));
}

/* The tail of a log is cut off before it is written on; the sync of that fails. */
static void a_failed_sync_of_a_cut_is_final(void **state) {
  (void)state;
  static bed_image image;
  varve_db *db;
  fault_vfs *f;
  env *e;
  undo_watch watch = {0, 0};
  varve_options o = {.no_thread = true, .sync_interval_ms = 1000000};
  undo_begin(&f, &watch, &o, &db);
  TEST_OK(bed_put(db, 1, 1, 100));
  bed_image_take(f->inner, &image); /* as a process leaves it that dies */
  TEST_OK(varve_close(db));
  TEST_OK(env_open(api_allocator(), ":memory:", VFS_PLACE_CREATE, &e));
  bed_image_put(&image, e->fs);
  bed_image_free(&image);
  TEST_OK(fault_vfs_open(e->fs, &f));
  e->fs = &f->base;
  TEST_OK(vfs_lock(e->fs, 0));
  TEST_OK(api_open(e, &o, &db));
  fault_rule rule = {.ops = FAULT_BIT(FAULT_SYNC), .kind = FILE_WAL, .nth = 2, .status = VARVE_IO};
  fault_vfs_arm(f, rule); /* the first one is that of what was replayed */
  TEST_RC(bed_put(db, 2, 1, 100), VARVE_IO);
  fault_vfs_disarm(f);
  TEST_RC(bed_put(db, 3, 1, 100), VARVE_FAILED);
  bed_check(db, 1, 1, 100);
  TEST_RC(varve_close(db), VARVE_FAILED);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(zeros_over_a_frame_are_synced_before_the_next_log),
                                     cmocka_unit_test(a_failed_sync_of_a_cut_is_final)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
