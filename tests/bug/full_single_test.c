/* full_single_test.c: the disk is full just when a file of a database in one file gets its first pages, and then it is
 * not full any more.
 *
 * What was wrong: the place believed itself as long as to the beginning of those pages, although nothing had been
 * written
 * there. Other files grew over bytes that were not there: they could not be read, closing failed, and a directory that
 * named them made the database CORRUPT for ever.
 */
#include "support/one_disk.h"
#include "support/test.h"

enum { FULL_PAGE = 4096, FULL_GROWN = 8 * FULL_PAGE };

static void full_place(one_disk *d, test_allocator *a, vfs **fs) {
  TEST_OK(one_disk_single(d, &a->base, VFS_PLACE_CREATE, fs));
  TEST_OK(vfs_lock(*fs, 0));
}

static void full_close(vfs *fs) {
  TEST_OK(vfs_unlock(fs));
  TEST_OK(vfs_close_fs(fs));
}

static void full_check_zeros(vfs_file *file) {
  uint8_t bytes[FULL_PAGE];
  for (uint64_t at = FULL_PAGE; at < FULL_GROWN; at += sizeof bytes) {
    size_t got = 0;
    TEST_OK(vfs_read_at(file, at, bytes, sizeof bytes, &got));
    assert_int_equal(got, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++) assert_int_equal(bytes[i], 0);
  }
}

static void a_file_grows_after_another_could_not(void **state) {
  (void)state;
  one_disk d;
  vfs *fs;
  vfs_file *first, *second;
  uint8_t page[FULL_PAGE];
  memset(page, 7, sizeof page);
  test_allocator a;
  test_allocator_init(&a);
  one_disk_init(&d);
  full_place(&d, &a, &fs);
  TEST_OK(vfs_open(fs, FILE_SST, 1, VFS_CREATE, &first));
  TEST_OK(vfs_write_at(first, 0, page, sizeof page)); /* more pages are taken than are written */
  TEST_OK(vfs_open(fs, FILE_SST, 2, VFS_CREATE, &second));
  d.size_max = d.size;
  TEST_RC(vfs_allocate(second, FULL_PAGE), VARVE_FULL);
  d.size_max = 0;
  TEST_OK(vfs_close(second));
  TEST_OK(vfs_allocate(first, FULL_GROWN));
  full_check_zeros(first);
  TEST_OK(vfs_sync(first));
  TEST_OK(vfs_close(first));
  full_close(fs);
  full_place(&d, &a, &fs);
  TEST_OK(vfs_open(fs, FILE_SST, 1, 0, &first));
  full_check_zeros(first);
  TEST_OK(vfs_close(first));
  full_close(fs);
  one_disk_free(&d);
  test_allocator_check(&a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_file_grows_after_another_could_not),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
