/* full_test.c: a disk without space: the write that does not fit fails with FULL and is not there, everything
 * acknowledged is, reads go on, and with space the writes do too.
 *
 * On a small file system of its own where the process may mount one (root), and everywhere with a file layer that
 * says FULL.
 */
#define _GNU_SOURCE
#include "unit/api/engine_bed.h"

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include "support/fault_vfs.h"

enum { FULL_KEYS = 4000, FULL_SIZE = 3000 };

typedef struct full_case {
  varve_db *db;
  uint8_t there[FULL_KEYS]; /* 0 = absent, 1 = acknowledged, 2 = its write failed: absent or there */
} full_case;

/* Puts new keys until one does not fit; how many did. */
static uint32_t full_fill(full_case *c, uint32_t from, uint32_t to) {
  uint32_t done = 0;
  for (uint32_t i = from; i < to; i++) {
    uint8_t bytes[FULL_SIZE];
    char text[32];
    rng r = {i};
    test_fill(&r, bytes, sizeof bytes); /* does not compress */
    varve_slice v = {bytes, sizeof bytes};
    int rc = varve_put(c->db, bed_key(text, i), v, NULL);
    if (rc < 0) {
      TEST_RC(rc, VARVE_FULL);
      c->there[i] = 2;
      return done;
    }
    c->there[i] = 1;
    done++;
  }
  return done;
}

static void full_check(full_case *c) {
  for (uint32_t i = 0; i < FULL_KEYS; i++) {
    char text[32];
    uint8_t bytes[FULL_SIZE];
    varve_value v;
    int rc = varve_get(c->db, bed_key(text, i), NULL, &v);
    TEST_OK(rc);
    if (c->there[i] == 1) TEST_RC(rc, VARVE_OK);
    if (c->there[i] != 1) TEST_RC(rc, VARVE_NOTFOUND); /* a write that failed is not there, in this run */
    if (rc != VARVE_OK) continue;
    rng r = {i};
    test_fill(&r, bytes, sizeof bytes);
    assert_int_equal(v.size, sizeof bytes);
    assert_memory_equal(v.data, bytes, sizeof bytes);
    varve_value_release(&v);
  }
}

static void full_delete(full_case *c, uint32_t from, uint32_t to) {
  char a[32], b[32];
  TEST_OK(varve_delete_range(c->db, bed_key(a, from), bed_key(b, to), NULL));
  for (uint32_t i = from; i < to; i++) c->there[i] = 0;
}

static void full_file(const char *path, size_t size) {
  FILE *f = fopen(path, "wb");
  static const uint8_t zeros[65536];
  assert_non_null(f);
  for (size_t at = 0; at < size; at += sizeof zeros) assert_int_equal(fwrite(zeros, 1, sizeof zeros, f), sizeof zeros);
  assert_int_equal(fclose(f), 0);
}

/* A file system of 8 MiB at `path`, in a mount namespace of our own. */
static bool full_mount(const char *path) {
  return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
         mount("tmpfs", path, "tmpfs", 0, "size=8m") == 0;
}

static void full_on_a_small_file_system(bool no_thread) {
  static full_case c;
  char dir[TEST_PATH_MAX], path[BED_PATH_MAX], ballast[BED_PATH_MAX], little[BED_PATH_MAX];
  memset(&c, 0, sizeof c);
  test_dir_create(dir);
  if (!full_mount(dir)) {
    print_message("no file system can be mounted here: the file layer that says FULL stands in for it\n");
    test_dir_remove(dir);
    return;
  }
  bed_join(path, dir, "db");
  bed_join(ballast, dir, "ballast");
  bed_join(little, dir, "little");
  full_file(ballast, 2 << 20);
  full_file(little, 3 << 19);
  varve_options o = {.memtable_bytes = 256 * KiB, .table_bytes = 256 * KiB, .no_thread = no_thread};
  TEST_OK(varve_open(path, &o, &c.db));
  uint32_t done = full_fill(&c, 0, 3000);
  assert_true(done > 100 && done < 3000);
  bed_says("space");
  full_check(&c);
  assert_int_equal(remove(ballast), 0); /* space: the writes go on */
  uint32_t more = full_fill(&c, done + 1, 3000);
  assert_true(more > 100);
  full_check(&c);
  /* A reopen on the full disk. */
  int rc = varve_close(c.db);
  assert_true(rc == VARVE_OK || rc == VARVE_FULL);
  TEST_OK(varve_open(path, &o, &c.db));
  full_check(&c);
  /* Deleting makes space as well; what it takes on the way is room for a log and a small table. */
  assert_int_equal(remove(little), 0);
  full_delete(&c, 0, 3000);
  full_check(&c);
  TEST_OK(varve_compact(c.db, NULL, NULL));
  assert_true(bed_stats(c.db).table_bytes < 1 << 20);
  assert_true(full_fill(&c, 3000, 3500) == 500);
  full_check(&c);
  TEST_OK(varve_verify(c.db, NULL, NULL, NULL));
  TEST_OK(varve_close(c.db));
  TEST_OK(varve_open(path, &o, &c.db));
  full_check(&c);
  TEST_OK(varve_close(c.db));
  assert_int_equal(umount2(dir, MNT_DETACH), 0);
  test_dir_remove(dir);
}

static void a_full_file_system_with_a_thread(void **state) {
  (void)state;
  full_on_a_small_file_system(false);
}

static void a_full_file_system_without_a_thread(void **state) {
  (void)state;
  full_on_a_small_file_system(true);
}

/* ---- the file layer says FULL ---- */

static void full_by_fault(uint32_t ops, int kind) {
  static full_case c;
  static bed_image image;
  env *e;
  fault_vfs *f;
  varve_options o = {.memtable_bytes = 1, .table_bytes = 1, .no_thread = true};
  memset(&c, 0, sizeof c);
  TEST_OK(env_open(api_allocator(), ":memory:", VFS_PLACE_CREATE, &e));
  TEST_OK(fault_vfs_open(e->fs, &f));
  f->base.traits &= ~VFS_MAP_WRITE;
  e->fs = &f->base;
  TEST_OK(vfs_lock(e->fs, 0));
  TEST_OK(api_open(e, &o, &c.db));
  full_fill(&c, 0, 100);
  fault_vfs_arm(f, (fault_rule){.ops = ops, .kind = kind, .nth = 5, .and_later = true, .status = VARVE_FULL});
  uint32_t done = full_fill(&c, 100, 900);
  assert_true(done < 800 && atomic_load(&f->failed) > 0);
  full_check(&c);
  fault_vfs_disarm(f);
  assert_true(full_fill(&c, 101 + done, 1000) == 1000 - 101 - done);
  full_check(&c);
  TEST_OK(varve_flush(c.db));
  TEST_OK(varve_compact(c.db, NULL, NULL));
  TEST_OK(varve_verify(c.db, NULL, NULL, NULL));
  full_check(&c);
  bed_image_take(e->fs, &image);
  TEST_OK(varve_close(c.db));
  TEST_OK(bed_open_image(&image, &o, &c.db));
  full_check(&c);
  TEST_OK(varve_close(c.db));
  bed_image_free(&image);
}

static void no_space_for_the_log(void **state) {
  (void)state;
  full_by_fault(FAULT_BIT(FAULT_WRITE) | FAULT_BIT(FAULT_ALLOCATE), FILE_WAL);
}

static void no_space_for_tables(void **state) {
  (void)state;
  full_by_fault(FAULT_BIT(FAULT_WRITE), FILE_SST);
}

static void no_space_for_the_manifest(void **state) {
  (void)state;
  full_by_fault(FAULT_BIT(FAULT_WRITE), FILE_MANIFEST);
}

static void no_space_at_all(void **state) {
  (void)state;
  full_by_fault(FAULT_BIT(FAULT_WRITE) | FAULT_BIT(FAULT_ALLOCATE), FAULT_ANY_KIND);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(no_space_for_the_log),
      cmocka_unit_test(no_space_for_tables),
      cmocka_unit_test(no_space_for_the_manifest),
      cmocka_unit_test(no_space_at_all),
      cmocka_unit_test(a_full_file_system_with_a_thread),
      cmocka_unit_test(a_full_file_system_without_a_thread),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
