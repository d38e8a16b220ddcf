/* single_test.c: vfs_single below the engine: what is there after a power cut at any change, what damage and forged
 * directories lead to, how many calls a commit makes, that space is used again, threads.
 */
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

static int bench_setup(void **state) {
  bench *b = calloc(1, sizeof *b);
  test_allocator_init(&b->alloc);
  one_disk_init(&b->disk);
  *state = b;
  return 0;
}

static void bench_open(bench *b, uint32_t flags) {
  TEST_OK(one_disk_single(&b->disk, &b->alloc.base, flags, &b->fs));
  TEST_OK(vfs_lock(b->fs, 0));
}

static void bench_close(bench *b) {
  TEST_OK(vfs_unlock(b->fs));
  TEST_OK(vfs_close_fs(b->fs));
  b->fs = NULL;
}

static int bench_teardown(void **state) {
  bench *b = *state;
  if (b->fs != NULL) TEST_OK(vfs_close_fs(b->fs));
  test_allocator_check(&b->alloc);
  one_disk_free(&b->disk);
  free(b);
  return 0;
}

/* Byte i of a file depends on its number and kind. */
static void content(uint8_t *data, file_kind kind, uint64_t number, uint64_t from, size_t size) {
  for (size_t i = 0; i < size; i++) {
    uint64_t at = from + i;
    data[i] = (uint8_t)((at * 31 + (at >> 9) * 7 + number * 101 + (uint64_t)kind) % 255 + 1);
  }
}

static vfs_file *put_file(vfs *fs, file_kind kind, uint64_t number, size_t size) {
  vfs_file *file;
  uint8_t *data = malloc(size + 1);
  TEST_OK(vfs_open(fs, kind, number, VFS_CREATE, &file));
  content(data, kind, number, 0, size);
  TEST_OK(vfs_write_at(file, 0, data, size));
  free(data);
  return file;
}

static void check_file(vfs *fs, file_kind kind, uint64_t number, size_t size) {
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

static void put_synced(vfs *fs, file_kind kind, uint64_t number, size_t size) {
  vfs_file *file = put_file(fs, kind, number, size);
  TEST_OK(vfs_sync(file));
  TEST_OK(vfs_close(file));
}

/* ---- power cuts ---- */

enum { CUT_FILES = 120 };

typedef struct cut_file {
  file_kind kind;
  size_t size;
  size_t synced, removed, gone; /* changes when sync, before remove, and when sync_dir after it returned */
} cut_file;

static void cut_script(bench *b, rng *r, cut_file *files) {
  vfs_file *wal = NULL;
  for (uint64_t n = 1; n < CUT_FILES; n++) {
    cut_file *f = &files[n];
    if (n % 30 == 1) {
      TEST_OK(vfs_close(wal));
      if (b->fs != NULL) bench_close(b);
      bench_open(b, VFS_PLACE_CREATE);
      TEST_OK(vfs_open(b->fs, FILE_WAL, 1000 + n, VFS_CREATE, &wal));
    }
    *f = (cut_file){rng_percent(r, 80) ? FILE_SST : FILE_MANIFEST, 1 + rng_below(r, 40000), SIZE_MAX, SIZE_MAX,
                    SIZE_MAX};
    vfs_file *file = put_file(b->fs, f->kind, n, f->size);
    if (rng_percent(r, 40)) TEST_OK(vfs_allocate(wal, rng_below(r, 100000) + n * 500)); /* publishes in between */
    if (rng_percent(r, 90)) {
      TEST_OK(vfs_sync(file));
      f->synced = b->disk.count;
    }
    TEST_OK(vfs_close(file));
    if (n > 5 && rng_percent(r, 70)) {
      uint64_t victim = 1 + rng_below(r, (uint32_t)n - 1);
      if (files[victim].removed != SIZE_MAX) continue;
      files[victim].removed = b->disk.count;
      TEST_OK(vfs_remove(b->fs, files[victim].kind, victim));
      if (rng_percent(r, 50)) continue;
      TEST_OK(vfs_sync_dir(b->fs));
      for (uint64_t i = 1; i <= n; i++) {
        if (files[i].removed != SIZE_MAX && files[i].gone == SIZE_MAX) files[i].gone = b->disk.count;
      }
    }
  }
  TEST_OK(vfs_close(wal));
  bench_close(b);
}

static void cut_check(one_disk *image, allocator *alloc, const cut_file *files, size_t at) {
  vfs *fs;
  vfs_file *file;
  TEST_OK(one_disk_single(image, alloc, VFS_PLACE_CREATE, &fs));
  int rc = vfs_lock(fs, 0);
  if (rc < 0) fail_msg("after %zu changes: %s", at, status_message());
  for (uint64_t n = 1; n < CUT_FILES; n++) {
    const cut_file *f = &files[n];
    if (f->synced <= at && f->removed >= at) check_file(fs, f->kind, n, f->size);
    if (f->gone <= at && f->removed < at) TEST_RC(vfs_open(fs, f->kind, n, 0, &file), VARVE_MISSING);
  }
  /* and new files take nothing away from those that are there */
  for (uint64_t n = 1; n < 5; n++) put_synced(fs, FILE_SST, 5000 + n, 30000);
  for (uint64_t n = 1; n < CUT_FILES; n++) {
    const cut_file *f = &files[n];
    if (f->synced <= at && f->removed >= at) check_file(fs, f->kind, n, f->size);
  }
  TEST_OK(vfs_close_fs(fs));
}

static void survives_power_cuts(void **state) {
  bench *b = *state;
  cut_file files[CUT_FILES];
  rng r = test_rng("survives_power_cuts");
  b->disk.record = true;
  cut_script(b, &r, files);
  for (size_t at = 0; at <= b->disk.count; at++) {
    for (uint32_t how = 0; how < 2; how++) {
      one_disk image;
      one_disk_cut(&b->disk, at, how == 0 ? ONE_CUT_SOME : at % 3 == 0 ? ONE_CUT_NONE : ONE_CUT_ALL, &r, &image);
      cut_check(&image, &b->alloc.base, files, at);
      one_disk_free(&image);
    }
  }
}

/* ---- calls ---- */

static void a_commit_in_a_log_is_one_write_and_one_sync(void **state) {
  bench *b = *state;
  vfs_file *wal;
  uint8_t frame[100] = {1};
  bench_open(b, VFS_PLACE_CREATE);
  TEST_OK(vfs_open(b->fs, FILE_WAL, 1, VFS_CREATE, &wal));
  TEST_OK(vfs_allocate(wal, 1 << 20));
  TEST_OK(vfs_sync(wal));
  for (uint64_t i = 0; i < 50; i++) {
    uint64_t writes = b->disk.writes, syncs = b->disk.syncs;
    TEST_OK(vfs_write_at(wal, 64 + i * sizeof frame, frame, sizeof frame));
    assert_int_equal(b->disk.writes - writes, 1);
    assert_int_equal(b->disk.syncs - syncs, 0);
    TEST_OK(vfs_sync(wal));
    assert_int_equal(b->disk.writes - writes, 1);
    assert_int_equal(b->disk.syncs - syncs, 1);
  }
  uint64_t writes = b->disk.writes, syncs = b->disk.syncs;
  TEST_OK(vfs_sync_dir(b->fs)); /* the names are durable already */
  assert_int_equal(b->disk.writes - writes + b->disk.syncs - syncs, 0);
  put_synced(b->fs, FILE_SST, 2, 100);
  assert_int_equal(b->disk.syncs - syncs, 2);
  TEST_OK(vfs_close(wal));
}

static void a_failed_sync_is_final(void **state) {
  bench *b = *state;
  vfs_file *file;
  bench_open(b, VFS_PLACE_CREATE);
  put_synced(b->fs, FILE_SST, 1, 5000);
  file = put_file(b->fs, FILE_SST, 2, 5000);
  b->disk.fail_sync = 1;
  TEST_RC(vfs_sync(file), VARVE_IO);
  uint64_t syncs = b->disk.syncs;
  TEST_RC(vfs_sync(file), VARVE_IO);
  assert_non_null(strstr(status_message(), "was to fail"));
  TEST_RC(vfs_sync_dir(b->fs), VARVE_IO);
  TEST_OK(vfs_close(file));
  TEST_RC(vfs_open(b->fs, FILE_SST, 3, VFS_CREATE, &file), VARVE_IO);
  check_file(b->fs, FILE_SST, 1, 5000);
  bench_close(b);
  assert_int_equal(b->disk.syncs, syncs);
  bench_open(b, 0);
  check_file(b->fs, FILE_SST, 1, 5000);
  TEST_RC(vfs_open(b->fs, FILE_SST, 2, 0, &file), VARVE_MISSING);
}

/* ---- space ---- */

static void space_is_used_again(void **state) {
  bench *b = *state;
  size_t most = 0;
  bench_open(b, VFS_PLACE_CREATE);
  for (uint64_t round = 0; round < 50; round++) {
    for (uint64_t n = 1; n <= 10; n++) put_synced(b->fs, FILE_SST, round * 10 + n, 100000 + (size_t)n * 1000);
    for (uint64_t n = 1; n <= 10; n++) check_file(b->fs, FILE_SST, round * 10 + n, 100000 + (size_t)n * 1000);
    for (uint64_t n = 1; n <= 10; n++) TEST_OK(vfs_remove(b->fs, FILE_SST, round * 10 + n));
    TEST_OK(vfs_sync_dir(b->fs));
    most = MAX(most, b->disk.size);
  }
  if (most > 3 * 10 * 105500) fail_msg("%zu bytes for ten files of 105 KB", most);
  bench_close(b);
  assert_in_range(b->disk.size, 1, 8 * SINGLE_PAGE); /* the tail was given back */
}

static void a_full_disk_is_no_end(void **state) {
  bench *b = *state;
  vfs_file *file;
  uint8_t data[4096] = {7};
  bench_open(b, VFS_PLACE_CREATE);
  put_synced(b->fs, FILE_SST, 1, 200000);
  b->disk.size_max = b->disk.size + 3 * SINGLE_PAGE;
  TEST_OK(vfs_open(b->fs, FILE_SST, 2, VFS_CREATE, &file));
  int rc = VARVE_OK;
  for (uint64_t i = 0; i < 100 && rc >= 0; i++) rc = vfs_write_at(file, i * sizeof data, data, sizeof data);
  TEST_RC(rc, VARVE_FULL);
  TEST_OK(vfs_close(file));
  check_file(b->fs, FILE_SST, 1, 200000);
  TEST_OK(vfs_remove(b->fs, FILE_SST, 2));
  TEST_OK(vfs_remove(b->fs, FILE_SST, 1));
  TEST_OK(vfs_sync_dir(b->fs));
  put_synced(b->fs, FILE_SST, 3, 150000);
  check_file(b->fs, FILE_SST, 3, 150000);
}

static int count_visit(void *context, file_kind kind, uint64_t number, uint64_t size) {
  (void)kind;
  (void)number;
  (void)size;
  ++*(uint32_t *)context;
  return 0;
}

static void thousands_of_files(void **state) {
  bench *b = *state;
  enum { FILES = 5000 };
  vfs_file *file;
  uint32_t count = 0;
  bench_open(b, VFS_PLACE_CREATE);
  for (uint64_t n = 1; n <= FILES; n++) TEST_OK(vfs_close(put_file(b->fs, FILE_SST, n, 100 + (size_t)n % 9000)));
  TEST_OK(vfs_sync_dir(b->fs));
  for (uint64_t n = 2; n <= FILES; n += 2) TEST_OK(vfs_remove(b->fs, FILE_SST, n));
  TEST_OK(vfs_sync_dir(b->fs));
  for (uint64_t n = 1; n <= 500; n++) put_synced(b->fs, FILE_SST, FILES + n, 6000);
  bench_close(b);
  bench_open(b, VFS_PLACE_READ_ONLY);
  TEST_OK(vfs_list(b->fs, count_visit, &count));
  assert_int_equal(count, FILES / 2 + 500);
  for (uint64_t n = 1; n <= FILES; n += 2) check_file(b->fs, FILE_SST, n, 100 + (size_t)n % 9000);
  for (uint64_t n = 1; n <= 500; n++) check_file(b->fs, FILE_SST, FILES + n, 6000);
  TEST_RC(vfs_open(b->fs, FILE_SST, 2, 0, &file), VARVE_MISSING);
  assert_true(single_of(b->fs)->sound_pages.end - single_of(b->fs)->sound_pages.start < 3000 * 12 / SINGLE_PAGE + 2);
}

/* ---- damage ---- */

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

static void every_damaged_byte_is_found_or_harmless(void **state) {
  bench *b = *state;
  bench_open(b, VFS_PLACE_CREATE);
  put_synced(b->fs, FILE_SUPER, 0, 8192);
  put_synced(b->fs, FILE_MANIFEST, 1, 300);
  put_synced(b->fs, FILE_WAL, 2, 70000);
  for (uint64_t n = 3; n < 30; n++) put_synced(b->fs, FILE_SST, n, 5000);
  uint64_t from = single_of(b->fs)->sound_pages.start * SINGLE_PAGE, to = from + single_of(b->fs)->image.size;
  bench_close(b);
  uint32_t harmless = 0, found = 0;
  for (uint64_t at = 0; at < to; at = at + 1 == SINGLE_FIRST_PAGE * SINGLE_PAGE ? from : at + 1) {
    bool inside = at >= from;
    if (!inside && at % SINGLE_PAGE > 80 && at % SINGLE_PAGE < 4080 && at % 37 != 0) continue;
    b->disk.bytes[at] ^= (uint8_t)(1 + at % 255);
    vfs *fs;
    int rc = open_image(&b->disk, &b->alloc.base, VFS_PLACE_READ_ONLY, &fs);
    if (rc >= 0) {
      assert_true(at >= SINGLE_PAGE && !inside); /* a slot: there is another one */
      check_file(fs, FILE_WAL, 2, 70000);
      check_file(fs, FILE_SST, 29, 5000);
      TEST_OK(vfs_close_fs(fs));
      harmless++;
    } else {
      assert_true(rc == VARVE_CORRUPT || rc == VARVE_NEWER_FORMAT || (rc == VARVE_NOT_DATABASE && at < 8));
      assert_non_null(strstr(status_message(), "one.varve"));
      assert_true(at < SINGLE_PAGE || inside);
      found++;
    }
    b->disk.bytes[at] ^= (uint8_t)(1 + at % 255);
  }
  assert_true(harmless > 400 && found > 200);
}

/* A directory with right checksums and a wrong content. */
static void forged(bench *b, const uint8_t *directory, size_t size, const char *word) {
  one_disk d;
  vfs *fs;
  one_disk_copy(&b->disk, &d);
  const uint64_t offset = 4 * SINGLE_PAGE;
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
    assert_non_null(strstr(status_message(), "at offset 16"));
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
  FORGED("twice", {0, 0, 0, 1, 7, 1, 0, 1});                     /* the directory's own page */
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

/* ---- threads ---- */

typedef struct crew {
  bench *b;
  vfs_file *file;
  atomic_uint_fast64_t written;
  uint64_t number;
  uint32_t rounds;
  const char *wrong;
  struct crew *writer;
} crew;

static void *crew_read(void *context) {
  crew *c = context;
  uint8_t data[3000], wanted[3000];
  size_t got;
  rng r = {c->number};
  while (c->wrong == NULL) {
    uint64_t end = atomic_load(&c->writer->written);
    if (end == UINT64_MAX) break;
    if (end < sizeof data) continue;
    uint64_t at = rng_next(&r) % (end - sizeof data + 1);
    if (vfs_read_at(c->writer->file, at, data, sizeof data, &got) < 0 || got != sizeof data) c->wrong = "read";
    content(wanted, FILE_WAL, 1, at, sizeof wanted);
    if (memcmp(data, wanted, sizeof data) != 0) c->wrong = "other bytes";
  }
  return NULL;
}

static void *crew_churn(void *context) {
  crew *c = context;
  for (uint32_t i = 0; i < c->rounds; i++) {
    put_synced(c->b->fs, FILE_SST, c->number + i, 20000);
    check_file(c->b->fs, FILE_SST, c->number + i, 20000);
    if (vfs_remove(c->b->fs, FILE_SST, c->number + i) < 0) c->wrong = "remove";
    if (i % 3 == 0 && vfs_sync_dir(c->b->fs) < 0) c->wrong = "sync_dir";
  }
  return NULL;
}

static void reads_go_on_while_files_grow(void **state) {
  bench *b = *state;
  crew writer = {.b = b}, others[4];
  thread threads[COUNT_OF(others)];
  uint8_t data[5000];
  bench_open(b, VFS_PLACE_CREATE);
  TEST_OK(vfs_open(b->fs, FILE_WAL, 1, VFS_CREATE, &writer.file));
  for (size_t i = 0; i < COUNT_OF(others); i++) {
    crew one = {.b = b, .number = 100000 * (i + 1), .rounds = test_scale(60), .writer = &writer};
    memcpy(&others[i], &one, sizeof one);
    TEST_OK(thread_start(&threads[i], i < 2 ? crew_read : crew_churn, &others[i]));
  }
  uint32_t rounds = test_scale(300);
  for (uint64_t i = 0; i < rounds; i++) {
    content(data, FILE_WAL, 1, i * sizeof data, sizeof data);
    TEST_OK(vfs_write_at(writer.file, i * sizeof data, data, sizeof data));
    if (i % 10 == 0) TEST_OK(vfs_sync(writer.file));
    atomic_store(&writer.written, (i + 1) * sizeof data);
  }
  atomic_store(&writer.written, UINT64_MAX);
  for (size_t i = 0; i < COUNT_OF(others); i++) {
    thread_join(&threads[i]);
    if (others[i].wrong != NULL) fail_msg("thread %zu: %s", i, others[i].wrong);
  }
  TEST_OK(vfs_close(writer.file));
  check_file(b->fs, FILE_WAL, 1, rounds * sizeof data);
}

#define BENCH(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      BENCH(survives_power_cuts),
      BENCH(a_commit_in_a_log_is_one_write_and_one_sync),
      BENCH(a_failed_sync_is_final),
      BENCH(space_is_used_again),
      BENCH(a_full_disk_is_no_end),
      BENCH(thousands_of_files),
      BENCH(every_damaged_byte_is_found_or_harmless),
      BENCH(forged_directories_are_refused),
      BENCH(a_shorter_file_is_found),
      BENCH(something_else_is_left_alone),
      BENCH(reads_go_on_while_files_grow),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
