/* single_salvage_test.c: a single file whose directory is lost, opened for a repair: all its bytes, the directories
 * that still stand somewhere, and files that are adopted.
 */
#define _POSIX_C_SOURCE 200809L

#include "unit/env/single_bed.h"

#include <time.h>

static void salvage_open(bench *b) {
  TEST_OK(one_disk_single(&b->disk, &b->alloc.base, VFS_PLACE_READ_ONLY | VFS_PLACE_SALVAGE, &b->fs));
  assert_false(b->fs->foreign);
  TEST_OK(vfs_lock(b->fs, 0));
}

static void fill(bench *b) {
  bench_open(b, VFS_PLACE_CREATE);
  put_synced(b->fs, FILE_SUPER, 0, 8192);
  vfs_file *log = put_file(b->fs, FILE_WAL, 2, 70000), *table = put_file(b->fs, FILE_SST, 3, 70000);
  uint8_t *data = malloc(400000);
  content(data, FILE_WAL, 2, 0, 400000);
  TEST_OK(vfs_write_at(log, 0, data, 400000)); /* a second piece, behind the table */
  TEST_OK(vfs_sync(log));
  TEST_OK(vfs_sync(table));
  TEST_OK(vfs_close(log));
  TEST_OK(vfs_close(table));
  free(data);
}

static void lose_slots(bench *b) {
  memset(b->disk.bytes + SINGLE_PAGE, 0, SINGLE_SLOTS * SINGLE_PAGE);
}

typedef struct seen_files {
  uint32_t logs, tables;
  vfs_piece pieces[8]; /* of the log */
  size_t count;
} seen_files;

static int see_file(void *context, file_kind kind, uint64_t number, uint64_t size, const vfs_piece *pieces,
                    size_t count) {
  seen_files *x = context;
  if (kind == FILE_WAL && number == 2 && size == 400000) {
    x->logs++;
    assert_true(count > 1 && count <= COUNT_OF(x->pieces));
    memcpy(x->pieces, pieces, count * sizeof *pieces);
    x->count = count;
  }
  x->tables += kind == FILE_SST && number == 3 && size == 70000 && count >= 1;
  return VARVE_OK;
}

static int count_file(void *context, file_kind kind, uint64_t number, uint64_t size) {
  (void)number;
  (void)size;
  assert_true(kind < FILE_KINDS);
  ++*(uint32_t *)context;
  return VARVE_OK;
}

static void files_are_found_in_a_directory_without_a_slot(void **state) {
  bench *b = *state;
  seen_files x = {.logs = 0};
  uint32_t listed = 0;
  fill(b);
  bench_close(b);
  lose_slots(b);
  uint64_t writes = b->disk.writes;
  salvage_open(b);
  assert_true((b->fs->traits & VFS_LOST) != 0);
  TEST_RC(vfs_single_lost(b->fs), VARVE_CORRUPT);
  assert_non_null(strstr(status_message(), "none of its slots"));
  TEST_OK(vfs_list(b->fs, count_file, &listed));
  assert_int_equal(listed, 0);
  TEST_OK(vfs_single_images(b->fs, see_file, &x));
  assert_true(x.logs > 0 && x.tables > 0);
  TEST_OK(vfs_single_adopt(b->fs, FILE_WAL, 2, 400000, x.pieces, x.count));
  check_file(b->fs, FILE_WAL, 2, 400000);
  TEST_OK(vfs_single_adopt(b->fs, FILE_WAL, 2, 100, x.pieces, 1)); /* again, another size */
  check_file(b->fs, FILE_WAL, 2, 100);
  TEST_OK(vfs_list(b->fs, count_file, &listed));
  assert_int_equal(listed, 1);
  vfs_file *file;
  uint8_t page[SINGLE_PAGE + 8];
  size_t got;
  TEST_OK(vfs_open(b->fs, FILE_SINGLE, 0, 0, &file)); /* all of it */
  TEST_OK(vfs_read_at(file, 4, page, sizeof page, &got));
  assert_memory_equal(page, b->disk.bytes + 4, sizeof page);
  TEST_OK(vfs_close(file));
  vfs_piece nowhere = {(b->disk.size / SINGLE_PAGE + 9) * SINGLE_PAGE, SINGLE_PAGE};
  TEST_OK(vfs_single_adopt(b->fs, FILE_SST, 9, 4000, &nowhere, 1));
  TEST_OK(vfs_open(b->fs, FILE_SST, 9, 0, &file));
  TEST_OK(vfs_read_at(file, 0, page, sizeof page, &got));
  assert_int_equal(got, 4000);
  for (size_t i = 0; i < got; i++) assert_int_equal(page[i], 0);
  TEST_OK(vfs_close(file));
  bench_close(b);
  assert_int_equal(b->disk.writes, writes);
}

/* With a directory that counts the flag changes nothing; neither does it for files of a newer version. */
static void a_directory_that_counts_is_used(void **state) {
  bench *b = *state;
  fill(b);
  bench_close(b);
  salvage_open(b);
  assert_true((b->fs->traits & VFS_LOST) == 0);
  check_file(b->fs, FILE_WAL, 2, 400000);
  check_file(b->fs, FILE_SST, 3, 70000);
  bench_close(b);
  put_u32(b->disk.bytes + 8, 2);
  b->disk.bytes[12] = 1;
  TEST_OK(one_disk_single(&b->disk, &b->alloc.base, VFS_PLACE_READ_ONLY | VFS_PLACE_SALVAGE, &b->fs));
  TEST_RC(vfs_lock(b->fs, 0), VARVE_NEWER_FORMAT);
}

/* Both copies are damaged, each in places of its own. */
static void two_damaged_copies_make_a_whole_directory(void **state) {
  bench *b = *state;
  fill(b);
  for (uint64_t n = 10; n < 400; n++) put_synced(b->fs, FILE_SST, n, 300);
  uint64_t first = single_of(b->fs)->sound_pages.start * SINGLE_PAGE, size = single_of(b->fs)->image.size;
  uint64_t second = first + single_pages(size) * SINGLE_PAGE;
  bench_close(b);
  assert_true(size > 1500);
  memset(b->disk.bytes + first + 100, 0xee, 512);
  b->disk.bytes[first + 3] ^= 1;
  memset(b->disk.bytes + second + 900, 0xee, 512);
  b->disk.bytes[second + 5] ^= 1;
  vfs *fs;
  TEST_OK(one_disk_single(&b->disk, &b->alloc.base, VFS_PLACE_READ_ONLY, &fs));
  TEST_RC(vfs_lock(fs, 0), VARVE_CORRUPT); /* that is for a repair alone */
  TEST_OK(vfs_close_fs(fs));
  salvage_open(b);
  assert_true((b->fs->traits & VFS_LOST) == 0);
  check_file(b->fs, FILE_WAL, 2, 400000);
  for (uint64_t n = 10; n < 400; n++) check_file(b->fs, FILE_SST, n, 300);
  bench_close(b);
  b->disk.bytes[first + 5] ^= 8; /* and both in one byte */
  salvage_open(b);
  assert_true((b->fs->traits & VFS_LOST) != 0);
}

/* Cut, with a directory that is whole: what there was behind the end is not there, or zeros. */
static void a_file_that_was_cut_keeps_its_directory(void **state) {
  bench *b = *state;
  fill(b);
  put_synced(b->fs, FILE_SST, 4, 200000);
  uint64_t directory = single_of(b->fs)->sound_pages.end * SINGLE_PAGE, top = 0;
  const single *s = single_of(b->fs);
  for (size_t i = 0; i < s->count; i++) {
    const single_extent *e = &s->nodes[i]->extents[s->nodes[i]->count - 1];
    if (s->nodes[i]->kind == FILE_SST && s->nodes[i]->number == 4) top = (e->page + e->pages) * SINGLE_PAGE;
  }
  bench_close(b);
  size_t cut = (size_t)(MAX(top, directory) - 50000);
  assert_true(cut >= directory); /* else the directory would be lost as well */
  b->disk.size = cut;
  salvage_open(b);
  assert_true((b->fs->traits & VFS_LOST) == 0);
  check_file(b->fs, FILE_WAL, 2, 400000);
  check_file(b->fs, FILE_SST, 3, 70000);
  vfs_file *file;
  uint64_t size;
  TEST_OK(vfs_open(b->fs, FILE_SST, 4, 0, &file));
  TEST_OK(vfs_size(file, &size));
  assert_true(size < 200000 && size >= 140000);
  TEST_OK(vfs_close(file));
}

/* A directory of many extents in descending order takes no more time than one in ascending order. */
static void descending_extents_cost_no_more(void **state) {
  bench *b = *state;
  enum { EXTENTS = 200000 };
  uint8_t *d = malloc(EXTENTS * 2 + 64);
  size_t n = 0, room = EXTENTS * 2 + 64;
  vfs *fs;
  bench_open(b, VFS_PLACE_CREATE);
  put_synced(b->fs, FILE_SST, 1, 100);
  bench_close(b);
  memcpy(d, "\0\0\0\1\7", 5);
  n = 5;
  n += varint_put(d + n, (uint64_t)EXTENTS * SINGLE_PAGE);
  const uint64_t high = 3 * EXTENTS;
  n += varint_put(d + n, (high - SINGLE_FIRST_PAGE) * 2);
  d[n++] = 1;
  for (uint32_t i = 1; i < EXTENTS && n + 2 < room; i++) {
    d[n++] = 2 * 3 - 1; /* two pages before the one that was */
    d[n++] = 1;
  }
  uint64_t offset = (high + 2) * SINGLE_PAGE;
  single_slot slot = {SINGLE_SLOT_SYNCED, 1000, offset, n, 0, 0};
  slot.end = single_directory_copy(&slot) + n;
  slot.checksum = single_directory_checksum(&slot, d);
  vfs_file *file;
  vfs *base;
  TEST_OK(one_disk_open(&b->disk, &b->alloc.base, 0, &base));
  TEST_OK(vfs_open(base, FILE_SINGLE, 0, VFS_WRITE, &file));
  TEST_OK(vfs_write_at(file, offset, d, n));
  TEST_OK(vfs_write_at(file, single_directory_copy(&slot), d, n));
  TEST_OK(vfs_close(file));
  TEST_OK(vfs_close_fs(base));
  single_slot_put(b->disk.bytes + SINGLE_PAGE, &slot, 0);
  TEST_OK(one_disk_single(&b->disk, &b->alloc.base, VFS_PLACE_READ_ONLY, &fs));
  struct timespec from, to;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
  TEST_OK(vfs_lock(fs, 0));
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
  double seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
  print_message("%u extents: %.3f s\n", (unsigned)single_of(fs)->extents, seconds);
  assert_int_equal(single_of(fs)->extents, EXTENTS);
  assert_true(seconds < 1);
  TEST_OK(vfs_close_fs(fs));
  free(d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      BENCH(files_are_found_in_a_directory_without_a_slot),
      BENCH(a_directory_that_counts_is_used),
      BENCH(two_damaged_copies_make_a_whole_directory),
      BENCH(a_file_that_was_cut_keeps_its_directory),
      BENCH(descending_extents_cost_no_more),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
