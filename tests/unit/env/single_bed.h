/* single_bed.h: what the tests of vfs_single share: a disk, a place in one file of it, files whose bytes follow from
 * their numbers.
 */
#ifndef VARVE_SINGLE_BED_H
#define VARVE_SINGLE_BED_H

#include "env/vfs_single.h"
#include "support/one_disk.h"
#include "support/test.h"

#include "base/coding.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct bench {
  test_allocator alloc;
  one_disk disk;
  vfs *fs;
} bench;

static inline int bench_setup(void **state) {
  bench *b = calloc(1, sizeof *b);
  test_allocator_init(&b->alloc);
  one_disk_init(&b->disk);
  *state = b;
  return 0;
}

static inline void bench_open(bench *b, uint32_t flags) {
  TEST_OK(one_disk_single(&b->disk, &b->alloc.base, flags, &b->fs));
  TEST_OK(vfs_lock(b->fs, 0));
}

static inline void bench_close(bench *b) {
  TEST_OK(vfs_unlock(b->fs));
  TEST_OK(vfs_close_fs(b->fs));
  b->fs = NULL;
}

static inline int bench_teardown(void **state) {
  bench *b = *state;
  if (b->fs != NULL) TEST_OK(vfs_close_fs(b->fs));
  test_allocator_check(&b->alloc);
  one_disk_free(&b->disk);
  free(b);
  return 0;
}

/* Byte i of a file depends on its number and kind. */
static inline void content(uint8_t *data, file_kind kind, uint64_t number, uint64_t from, size_t size) {
  for (size_t i = 0; i < size; i++) {
    uint64_t at = from + i;
    data[i] = (uint8_t)((at * 31 + (at >> 9) * 7 + number * 101 + (uint64_t)kind) % 255 + 1);
  }
}

static inline vfs_file *put_file(vfs *fs, file_kind kind, uint64_t number, size_t size) {
  vfs_file *file;
  uint8_t *data = malloc(size + 1);
  TEST_OK(vfs_open(fs, kind, number, VFS_CREATE, &file));
  content(data, kind, number, 0, size);
  TEST_OK(vfs_write_at(file, 0, data, size));
  free(data);
  return file;
}

static inline void check_file(vfs *fs, file_kind kind, uint64_t number, size_t size) {
  vfs_file *file;
  uint8_t *data = malloc(2 * size + 2);
  size_t got;
  TEST_OK(vfs_open(fs, kind, number, 0, &file));
  TEST_OK(vfs_read_at(file, 0, data, size + 1, &got));
  assert_int_equal(got, size);
  content(data + size + 1, kind, number, 0, size);
  assert_memory_equal(data, data + size + 1, size);
  TEST_OK(vfs_close(file));
  free(data);
}

static inline void put_synced(vfs *fs, file_kind kind, uint64_t number, size_t size) {
  vfs_file *file = put_file(fs, kind, number, size);
  TEST_OK(vfs_sync(file));
  TEST_OK(vfs_close(file));
}

#define BENCH(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)

#endif
