/* spare_version_test.c: a log's file that waits for its next use holds nothing. When a byte of its version rotted, the
 * whole database was refused as one of a newer version of Varve.
 */
#include "support/test.h"

#include "lsm/wal_format.h"

static void a_spare_with_a_wrong_version_is_a_spare(void **state) {
  (void)state;
  test_allocator memory;
  test_allocator_init(&memory);
  env e = {.alloc = &memory.base};
  wal_header h = {.log = 3, .log_before = 2, .end_before = 64, .next_seq = 9, .salt = 77}, got;
  wal_reader *r;
  vfs_file *file;
  uint8_t bytes[512] = {0};
  TEST_OK(vfs_mem_open(&memory.base, &e.fs));
  wal_header_put(bytes, &h);
  bytes[WAL_SPARE_AT] = WAL_SPARE;
  TEST_OK(vfs_open(e.fs, FILE_WAL, 2, VFS_CREATE, &file));
  for (size_t at = 8; at < 12; at++) {
    for (unsigned bit = 0; bit < 8; bit++) {
      bytes[at] ^= (uint8_t)(1u << bit);
      TEST_OK(vfs_write_at(file, 0, bytes, sizeof bytes));
      TEST_RC(wal_reader_open(&e, 2, &got, &r), VARVE_DONE);
      bytes[at] ^= (uint8_t)(1u << bit);
    }
  }
  /* A header that is whole but for a higher version is another matter. */
  put_u32(bytes + 8, 2);
  bytes[WAL_SPARE_AT] = 0;
  put_u64(bytes + WAL_CHECKSUM_AT, xxh64(bytes, WAL_CHECKSUM_AT, 0));
  TEST_OK(vfs_write_at(file, 0, bytes, sizeof bytes));
  TEST_RC(wal_reader_open(&e, 2, &got, &r), VARVE_NEWER_FORMAT);
  TEST_OK(vfs_close(file));
  TEST_OK(vfs_close_fs(e.fs));
  test_allocator_check(&memory);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_spare_with_a_wrong_version_is_a_spare),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
