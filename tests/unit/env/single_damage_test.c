/* single_damage_test.c: vfs_single meets damage: every byte of header, slots and directory, directories that were made
 * up, files that were cut, files of something else.
 */
#include "unit/env/single_bed.h"

static int open_image(one_disk *d, allocator *alloc, uint32_t flags, vfs **fs) {
  TRY(one_disk_single(d, alloc, flags, fs));
  bool foreign = (*fs)->foreign;
  int rc = vfs_lock(*fs, 0);
  if (foreign) TEST_RC(rc, VARVE_NOT_DATABASE);
  if (rc >= 0) return VARVE_OK;
  char message[STATUS_MESSAGE_SIZE];
  status_keep_message(message);
  TEST_OK(vfs_close_fs(*fs));
  status_set_message(message);
  *fs = NULL;
  return rc;
}

static void a_damaged_byte_loses_nothing(void **state) {
  bench *b = *state;
  bench_open(b, VFS_PLACE_CREATE);
  put_synced(b->fs, FILE_SUPER, 0, 8192);
  put_synced(b->fs, FILE_MANIFEST, 1, 300);
  put_synced(b->fs, FILE_WAL, 2, 70000);
  for (uint64_t n = 3; n < 30; n++) put_synced(b->fs, FILE_SST, n, 5000);
  uint64_t from = single_of(b->fs)->sound_pages.start * SINGLE_PAGE, size = single_of(b->fs)->image.size;
  uint64_t second = from + single_pages(size) * SINGLE_PAGE, to = second + size;
  bench_close(b);
  uint32_t harmless = 0;
  for (uint64_t at = 0; at < to; at = at + 1 == SINGLE_FIRST_PAGE * SINGLE_PAGE ? from : at + 1) {
    if (at == from + size) at = second;
    bool inside = at >= from;
    if (!inside && at % SINGLE_PAGE > 80 && at % SINGLE_PAGE < 4080 && at % 37 != 0) continue;
    b->disk.bytes[at] ^= (uint8_t)(1 + at % 255);
    vfs *fs;
    TEST_OK(open_image(&b->disk, &b->alloc.base, VFS_PLACE_READ_ONLY, &fs)); /* all is there twice, or says nothing */
    check_file(fs, FILE_WAL, 2, 70000);
    check_file(fs, FILE_SST, 29, 5000);
    TEST_OK(vfs_close_fs(fs));
    harmless++;
    b->disk.bytes[at] ^= (uint8_t)(1 + at % 255);
  }
  assert_true(harmless > 600);
  for (uint64_t i = 0; i < size; i++) {
    vfs *fs;
    b->disk.bytes[from + i] ^= 1;
    b->disk.bytes[second + size - 1 - i] ^= 16;
    TEST_RC(open_image(&b->disk, &b->alloc.base, VFS_PLACE_READ_ONLY, &fs), VARVE_CORRUPT);
    assert_non_null(strstr(status_message(), "both copies"));
    b->disk.bytes[from + i] ^= 1;
    b->disk.bytes[second + size - 1 - i] ^= 16;
  }
}

/* What is damaged and does no harm yet is made good by the next open for writing, before more is damaged. */
static void a_damaged_byte_is_mended(void **state) {
  bench *b = *state;
  bench_open(b, VFS_PLACE_CREATE);
  put_synced(b->fs, FILE_WAL, 2, 70000);
  uint64_t from = single_of(b->fs)->sound_pages.start * SINGLE_PAGE;
  bench_close(b);
  const uint64_t places[] = {0, 9, 4000, SINGLE_PAGE + 600, from, from + SINGLE_PAGE};
  for (size_t i = 0; i < COUNT_OF(places); i++) {
    vfs *fs;
    b->disk.bytes[places[i]] ^= 4;
    TEST_OK(open_image(&b->disk, &b->alloc.base, 0, &fs));
    bool header = memcmp(b->disk.bytes, "VARVEONE\1\0\0\0", 12) == 0 && b->disk.bytes[4000] == 0;
    assert_true(header);
    from = single_of(fs)->sound_pages.start * SINGLE_PAGE;
    assert_memory_equal(b->disk.bytes + from, b->disk.bytes + from + SINGLE_PAGE, single_of(fs)->image.size);
    check_file(fs, FILE_WAL, 2, 70000);
    TEST_OK(vfs_close_fs(fs));
  }
}

/* A directory with right checksums and a wrong content. */
static void forged(bench *b, const uint8_t *directory, size_t size, const char *word) {
  one_disk d;
  vfs *fs;
  one_disk_copy(&b->disk, &d);
  const uint64_t offset = 8 * SINGLE_PAGE;
  memset(d.bytes + offset, 0, SINGLE_PAGE);
  memcpy(d.bytes + offset, directory, size);
  single_slot slot = {SINGLE_SLOT_SYNCED, 1000, offset, size, 0, 10 * SINGLE_PAGE};
  slot.checksum = single_directory_checksum(&slot, directory);
  single_slot_put(d.bytes + 2 * SINGLE_PAGE, &slot, 1);
  int rc = open_image(&d, &b->alloc.base, VFS_PLACE_CREATE, &fs);
  if (word == NULL) {
    TEST_OK(rc);
    TEST_OK(vfs_close_fs(fs));
  } else {
    TEST_RC(rc, VARVE_CORRUPT);
    if (strstr(status_message(), word) == NULL) fail_msg("\"%s\" does not say \"%s\"", status_message(), word);
    assert_non_null(strstr(status_message(), "at offset 32"));
  }
  one_disk_free(&d);
}

#define FORGED(word, ...)                       \
  do {                                          \
    static const uint8_t bytes[] = __VA_ARGS__; \
    forged(b, bytes, sizeof bytes, word);       \
  } while (0)

static void forged_directories_are_refused(void **state) {
  bench *b = *state;
  bench_open(b, VFS_PLACE_CREATE);
  put_synced(b->fs, FILE_SST, 1, 9 * SINGLE_PAGE);
  bench_close(b);
  /* counts; then number, size, jump (zigzag; from page 4), pages */
  FORGED(NULL, {0, 0, 0, 0});
  FORGED(NULL, {0, 0, 0, 1, 7, 1, 2, 1});
  FORGED(NULL, {1, 0, 0, 1, 0, 1, 2, 1, 7, 1, 0, 1});
  FORGED("cut short", {0, 0, 0, 1, 7});
  FORGED("cut short", {0, 0, 0, 1, 7, 1, 2});
  FORGED("follows", {0, 0, 0, 1, 7, 1, 2, 1, 0});
  FORGED("more files", {2, 0, 0, 0, 0, 1, 2, 1});
  FORGED("more files", {0, 0, 0, 99, 7, 1, 2, 1});
  FORGED("more files", {0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 0});
  FORGED("twice", {0, 0, 0, 1, 7, 1, 8, 1});                     /* the directory's own page */
  FORGED("twice", {0, 0, 0, 1, 7, 1, 10, 1});                    /* its second copy's */
  FORGED("twice", {0, 0, 0, 2, 7, 1, 2, 1, 1, 1, 1, 1});         /* the other file's */
  FORGED("not in the file", {0, 0, 0, 1, 7, 1, 7, 1});           /* page 0: the header */
  FORGED("not in the file", {0, 0, 0, 1, 7, 1, 9, 1});           /* before the file */
  FORGED("not in the file", {0, 0, 0, 1, 7, 1, 12, 1});          /* page 10, behind the end */
  FORGED("not in the file", {0, 0, 0, 1, 7, 0x81, 0x40, 10, 2}); /* pages 9 and 10 */
  FORGED("not in the file", {0, 0, 0, 1, 7, 1, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1});
  FORGED("or none", {0, 0, 0, 1, 7, 1, 2, 0});
  FORGED("or none", {0, 0, 0, 1, 7, 1, 2, 2});
  FORGED("do not rise", {0, 0, 0, 1, 0, 1, 2, 1});
  FORGED("do not rise", {0, 0, 0, 2, 7, 1, 2, 1, 0, 1, 0, 1});
  FORGED("do not rise", {1, 0, 0, 0, 1, 1, 2, 1});
  FORGED("do not rise", {0, 0, 0, 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 1, 2, 1});
  FORGED("too large", {0, 0, 0, 1, 7, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 1});
}

#undef FORGED

static void a_shorter_file_is_found(void **state) {
  bench *b = *state;
  vfs *fs;
  bench_open(b, VFS_PLACE_CREATE);
  put_synced(b->fs, FILE_SST, 1, 50000);
  bench_close(b);
  while (b->disk.size > 0) {
    b->disk.size -= MIN(b->disk.size, 1000);
    int rc = open_image(&b->disk, &b->alloc.base, VFS_PLACE_READ_ONLY, &fs);
    if (b->disk.size == 0) break;
    if (rc >= 0) fail_msg("%zu bytes open", b->disk.size);
    TEST_RC(rc, VARVE_CORRUPT);
  }
  TEST_OK(vfs_close_fs(fs));
}

static void something_else_is_left_alone(void **state) {
  bench *b = *state;
  static const char texts[][16] = {"notes", "VARVEON", "\0\0\0\0notes", "SQLite format 3"};
  for (size_t i = 0; i < COUNT_OF(texts); i++) {
    one_disk d;
    vfs *base, *fs;
    vfs_file *file;
    one_disk_init(&d);
    TEST_OK(one_disk_open(&d, &b->alloc.base, 0, &base));
    TEST_OK(vfs_open(base, FILE_SINGLE, 0, VFS_CREATE, &file));
    TEST_OK(vfs_write_at(file, 0, texts[i], 15));
    TEST_OK(vfs_write_at(file, i == 1 ? 90000 : 100, "x", 1));
    TEST_OK(vfs_close(file));
    TEST_OK(vfs_close_fs(base));
    uint64_t writes = d.writes;
    TEST_RC(open_image(&d, &b->alloc.base, VFS_PLACE_CREATE, &fs), VARVE_NOT_DATABASE);
    assert_int_equal(d.writes, writes);
    one_disk_free(&d);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      BENCH(a_damaged_byte_loses_nothing), BENCH(a_damaged_byte_is_mended),     BENCH(forged_directories_are_refused),
      BENCH(a_shorter_file_is_found),      BENCH(something_else_is_left_alone),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
