/* single_test.c: vfs_single below the engine: what is there after a power cut at any change, how many calls a commit
 * makes, that space is used again, threads.
 */
#include "unit/env/single_bed.h"

/* ---- power cuts ---- */

enum { CUT_FILES = 80 };

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

int main(void) {
  const struct CMUnitTest tests[] = {
      BENCH(survives_power_cuts),          BENCH(a_commit_in_a_log_is_one_write_and_one_sync),
      BENCH(a_failed_sync_is_final),       BENCH(space_is_used_again),
      BENCH(a_full_disk_is_no_end),        BENCH(thousands_of_files),
      BENCH(reads_go_on_while_files_grow),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
