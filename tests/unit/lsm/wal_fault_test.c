/* wal_fault_test.c: the log when the file layer or memory fails, when it grows, beside a thread that syncs; and what
 * an append costs.
 */
#include "wal_bed.h"

/* ---- failures ---- */

/* Creates, appends past the first chunk, syncs, closes, continues. Failed appends and syncs are made again once.
 * Returns the first failure; l has the frames that were acknowledged. */
static int script(bed *b, want_log *l, const wal_header *first, bool *begun) {
  wal_header h = *first;
  wal_writer *w = NULL;
  int rc = VARVE_OK, again;
  l->count = 0;
  l->seq = 1;
  l->end = WAL_HEADER_SIZE;
  *begun = false;
  TRY(wal_create(&b->e, 1, false, &h, 0, &w));
  *begun = true;
  for (int round = 0; round < 2; round++) {
    for (uint32_t i = 0; i < 6; i++) {
      uint32_t size = i == 3 ? WAL_CHUNK_BYTES : 100 + i;
      again = append_frame(w, l, &b->r, size);
      ALSO(again);
      if (again < 0) {
        assert_int_equal(wal_end(w), l->end);
        if (wal_is_in_doubt(w)) { /* a sync that failed is final: nothing may follow */
          ALSO(wal_close(w));
          return rc;
        }
        TEST_OK(append_frame(w, l, &b->r, size - 50)); /* shorter than what may be there in part */
      }
      if (i % 4 == 1) ALSO(wal_sync(w));
      assert_true(wal_synced(w) <= wal_end(w));
    }
    uint64_t end = wal_end(w);
    ALSO(wal_close(w));
    w = NULL;
    if (round == 1) break;
    again = wal_continue(&b->e, 1, &h, end, 0, &w);
    ALSO(again);
    if (again < 0) TEST_OK(wal_continue(&b->e, 1, &h, end, 0, &w));
  }
  return rc;
}

static void failing(bool mapped, size_t part, bool memory) {
  bed b;
  static want_log l;
  const wal_header first = {.log = 1, .next_seq = 1};
  bed_open(&b, "failing", false, mapped);
  /* most calls are the same write of zeros again and again: not every one of them is tried */
  for (uint64_t nth = 1;; nth += nth > 12 && WAL_CHUNK_BYTES > 64 * KiB ? 1 + rng_below(&b.r, 7) : 1) {
    bool begun;
    size_t count;
    (void)vfs_remove(b.e.fs, FILE_WAL, 1);
    if (memory) {
      b.memory.failures = 0;
      test_allocator_fail(&b.memory, nth, false);
    } else {
      fault_vfs_arm(b.fs, (fault_rule){FAULT_ALL, FAULT_ANY_KIND, nth, false, VARVE_FULL, part});
    }
    int rc = script(&b, &l, &first, &begun);
    bool over = memory ? b.memory.failures == 0 : b.fs->failed == 0;
    test_allocator_fail(&b.memory, 0, false);
    fault_vfs_disarm(b.fs);
    if (rc < 0) TEST_RC(rc, memory ? VARVE_NOMEM : VARVE_FULL);
    if (over) TEST_OK(rc);
    if (begun) {
      TEST_RC(read_frames(&b.e, 1, &l, &count), VARVE_DONE);
      assert_int_equal(count, l.count);
      if (memory) assert_false(has_tail(&b.e, 1, &l, count));
    } else {
      vfs_file *file; /* no half-made file stays behind, unless removing it is what failed */
      TEST_RC(vfs_open(b.e.fs, FILE_WAL, 1, 0, &file), VARVE_MISSING);
    }
    want_free(&l);
    if (over) break;
    assert_true(nth < 2000);
  }
  bed_close(&b);
}

static void test_failing_calls(void **state) {
  (void)state;
  static const size_t parts[] = {0, 4, 30, SIZE_MAX};
  for (size_t i = 0; i < COUNT_OF(parts); i++) {
    failing(false, parts[i], false);
  }
  failing(true, 0, false);
}

static void test_failing_memory(void **state) {
  (void)state;
  failing(false, 0, true);
  failing(true, 0, true);
}

/* A frame whose write failed although it arrived must not be there later. */
static void test_failed_frame_stays_dead(void **state) {
  (void)state;
  bed b;
  static want_log l;
  bed_open(&b, "failed_frame", false, false);
  wal_writer *w = create_log(&b.e, 1, &l, 0);
  TEST_OK(append_frame(w, &l, &b.r, 10));
  fault_vfs_arm(b.fs, (fault_rule){FAULT_BIT(FAULT_WRITE), FILE_WAL, 1, false, VARVE_IO, SIZE_MAX});
  TEST_RC(append_frame(w, &l, &b.r, 10), VARVE_IO);
  assert_non_null(strstr(status_message(), "injected failure of write"));
  TEST_OK(wal_close(w));
  expect_log(&b.e, 1, &l, true);
  want_free(&l);
  bed_close(&b);
}

/* No read that fails is taken for the end of the log; and reading again goes on where it was. */
static void test_failing_reads(void **state) {
  (void)state;
  bed b;
  static want_log l;
  size_t count;
  bed_open(&b, "failing_reads", false, false);
  wal_writer *w = create_log(&b.e, 1, &l, 0);
  for (int i = 0; i < 60; i++) TEST_OK(append_frame(w, &l, &b.r, 20000));
  TEST_OK(wal_close(w));
  for (uint64_t nth = 1;; nth++) {
    fault_vfs_arm(b.fs, (fault_rule){FAULT_BIT(FAULT_READ) | FAULT_BIT(FAULT_SIZE) | FAULT_BIT(FAULT_OPEN), FILE_WAL,
                                     nth, false, VARVE_IO, 0});
    int rc = read_frames(&b.e, 1, &l, &count);
    bool over = b.fs->failed == 0;
    fault_vfs_disarm(b.fs);
    TEST_RC(rc, over ? VARVE_DONE : VARVE_IO);
    if (over) break;
    assert_true(nth < 100);
  }
  assert_int_equal(count, l.count);
  for (uint64_t nth = 1;; nth++) { /* the same for memory */
    b.memory.failures = 0;
    test_allocator_fail(&b.memory, nth, false);
    int rc = read_frames(&b.e, 1, &l, &count);
    test_allocator_fail(&b.memory, 0, false);
    TEST_RC(rc, b.memory.failures == 0 ? VARVE_DONE : VARVE_NOMEM);
    if (b.memory.failures == 0) break;
  }
  wal_header h;
  wal_reader *r;
  wal_frame f;
  uint32_t frames = 0, failures = 0;
  TEST_RC(wal_reader_open(&b.e, 1, &h, &r), VARVE_OK);
  for (int rc = VARVE_OK; rc != VARVE_DONE;) {
    fault_vfs_arm(b.fs, (fault_rule){FAULT_BIT(FAULT_READ), FILE_WAL, 1, false, VARVE_IO, 0});
    rc = wal_reader_next(r, &f);
    fault_vfs_disarm(b.fs);
    frames += rc == VARVE_OK;
    failures += rc == VARVE_IO;
    if (rc == VARVE_IO)
      rc = wal_reader_next(r, &f);
    else
      continue;
    frames += rc == VARVE_OK;
  }
  assert_int_equal(frames, l.count);
  assert_true(failures > 3);
  wal_reader_close(r);
  want_free(&l);
  bed_close(&b);
}

/* Where growing cannot be mapped, frames are written instead; the disk is full and has room again. */
static void test_growing(void **state) {
  (void)state;
  bed b;
  static want_log l;
  for (int posix = 0; posix < 2; posix++) {
    bed_open(&b, "growing", posix != 0, true);
    wal_writer *w = create_log(&b.e, 1, &l, 0);
    for (uint32_t i = 0; i < 30; i++) {
      fault_op op = i % 3 == 0 ? FAULT_MAP : i % 3 == 1 ? FAULT_ALLOCATE : FAULT_OPS;
      fault_vfs_arm(b.fs, (fault_rule){FAULT_BIT(op), FILE_WAL, 1, true, i % 3 == 0 ? VARVE_NOMEM : VARVE_FULL, 0});
      uint64_t end = wal_end(w), allocated = wal_allocated(w);
      uint32_t size = 1 + rng_below(&b.r, WAL_CHUNK_BYTES);
      int rc = append_frame(w, &l, &b.r, size);
      bool grows = end + wal_frame_size(size) > allocated;
      TEST_RC(rc, grows && op == FAULT_ALLOCATE ? VARVE_FULL : VARVE_OK);
      fault_vfs_disarm(b.fs);
      if (rc == VARVE_OK && grows && op == FAULT_MAP) assert_true(wal_memory(w) < wal_allocated(w));
      TEST_OK(append_frame(w, &l, &b.r, 100));
      expect_log(&b.e, 1, &l, false);
    }
    TEST_OK(wal_close(w));
    want_free(&l);
    bed_close(&b);
  }
}

/* ---- syncing ---- */

typedef struct append_job {
  bed *b;
  want_log *l;
  wal_writer *w;
  uint64_t synced; /* while the sync was under way */
} append_job;

static void append_in_sync(void *context, fault_op op, file_kind kind, uint64_t number) {
  append_job *job = context;
  (void)kind;
  (void)number;
  if (op != FAULT_SYNC) return;
  job->synced = wal_synced(job->w);
  TEST_OK(append_frame(job->w, job->l, &job->b->r, 30));
}

/* What is appended while a sync is under way does not count as synced, nor does anything when it fails. */
static void test_synced_is_exact(void **state) {
  (void)state;
  bed b;
  static want_log l;
  for (int mapped = 0; mapped < 2; mapped++) {
    bed_open(&b, "synced_is_exact", false, mapped != 0);
    wal_writer *w = create_log(&b.e, 1, &l, 0);
    append_job job = {&b, &l, w, 0};
    for (uint64_t round = 0; round < 3; round++) {
      TEST_OK(append_frame(w, &l, &b.r, 30));
      uint64_t end = wal_end(w), synced = wal_synced(w);
      b.fs->before = append_in_sync;
      b.fs->context = &job;
      if (round == 1) fault_vfs_arm(b.fs, (fault_rule){FAULT_BIT(FAULT_SYNC), FAULT_ANY_KIND, 1, false, VARVE_IO, 0});
      TEST_RC(wal_sync(w), round == 1 ? VARVE_IO : VARVE_OK);
      b.fs->before = NULL;
      fault_vfs_disarm(b.fs);
      assert_int_equal(job.synced, synced);
      assert_int_equal(wal_synced(w), round == 1 ? synced : end);
      assert_true(wal_end(w) > end);
    }
    uint64_t syncs = b.fs->calls[FAULT_SYNC];
    TEST_OK(wal_sync(w));
    TEST_OK(wal_sync(w)); /* nothing new: no call */
    assert_int_equal(b.fs->calls[FAULT_SYNC], syncs + 1);
    TEST_OK(wal_close(w));
    expect_log(&b.e, 1, &l, false);
    want_free(&l);
    bed_close(&b);
  }
}

typedef struct sync_job {
  wal_writer *w;
  atomic_bool stop;
  uint64_t syncs;
} sync_job;

static void *sync_run(void *context) {
  sync_job *job = context;
  uint64_t synced = 0;
  while (!atomic_load(&job->stop)) {
    uint64_t end = wal_end(job->w);
    if (wal_sync(job->w) < 0) abort();
    uint64_t now = wal_synced(job->w);
    if (now < end || now < synced || now > wal_end(job->w)) abort();
    synced = now;
    job->syncs++;
  }
  return NULL;
}

static void synced_beside(bool posix, bool mapped) {
  bed b;
  static want_log l;
  bed_open(&b, "synced_beside", posix, mapped);
  wal_writer *w = create_log(&b.e, 1, &l, 0);
  sync_job job = {.w = w};
  thread t;
  TEST_OK(thread_start(&t, sync_run, &job));
  for (uint32_t i = 0; i < 400; i++) {
    TEST_OK(append_frame(w, &l, &b.r, i % 40 == 0 ? WAL_CHUNK_BYTES / 4 : 1 + rng_below(&b.r, 500)));
    if (i % 16 == 0) thread_yield();
  }
  atomic_store(&job.stop, true);
  thread_join(&t);
  TEST_OK(wal_sync(w));
  assert_int_equal(wal_synced(w), l.end);
  TEST_OK(wal_close(w));
  wal_header h;
  wal_reader *r;
  wal_frame f;
  TEST_RC(wal_reader_open(&b.e, 1, &h, &r), VARVE_OK);
  for (size_t i = 0; i < l.count; i++) {
    TEST_RC(wal_reader_next(r, &f), VARVE_OK);
    assert_memory_equal(f.body.data, l.frames[i].body, f.body.size);
    assert_true(f.synced >= l.frames[i].synced && f.synced <= f.offset);
  }
  TEST_RC(wal_reader_next(r, &f), VARVE_DONE);
  wal_reader_close(r);
  want_free(&l);
  bed_close(&b);
}

static void test_synced_beside(void **state) {
  (void)state;
  for (int i = 0; i < 4; i++) synced_beside((i & 1) != 0, (i & 2) != 0);
}

/* ---- cost ---- */

static double seconds_now(void) {
  struct timespec t;
  timespec_get(&t, TIME_UTC);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Frames of 130 bytes. Says, and does not judge: the machine may be busy. */
static void test_cost(void **state) {
  (void)state;
  static const char *const names[] = {"in memory, written", "in memory, mapped", "on disk, written", "on disk, mapped"};
  uint8_t body[106] = {1};
  uint32_t count = test_scale(100000);
  for (int i = 0; i < 4; i++) {
    bed b;
    wal_header h = {.log = 1, .next_seq = 1};
    wal_writer *w;
    bed_open(&b, "cost", (i & 2) != 0, (i & 1) != 0);
    for (uint64_t log = 1; log < 3; log++) {
      h = (wal_header){.log = log, .log_before = log - 1, .next_seq = 1};
      double created = seconds_now();
      TEST_OK(wal_create(&b.e, 1, log > 1, &h, 16 * MiB, &w));
      double begin = seconds_now(), best = 1;
      for (uint32_t n = 0; n < count; n += 1000) {
        double before = seconds_now();
        for (uint32_t k = n; k < MIN(n + 1000, count); k++) TEST_OK(wal_append(w, 1 + k, 1, slice_make(body, 106)));
        best = MIN(best, seconds_now() - before);
      }
      double end = seconds_now();
      TEST_OK(wal_close(w));
      print_message("%-20s %s: create %.2f ms, append %.1f ns (best thousand %.1f)\n", names[i],
                    log == 1 ? "new     " : "recycled", (begin - created) * 1e3, (end - begin) * 1e9 / count,
                    best * 1e6);
    }
    wal_reader *r;
    wal_frame f;
    double begin = seconds_now();
    uint32_t read = 0;
    TEST_RC(wal_reader_open(&b.e, 1, &h, &r), VARVE_OK);
    while (wal_reader_next(r, &f) == VARVE_OK) read++;
    assert_int_equal(read, count);
    print_message("%-20s read %.1f ns a frame\n", names[i], (seconds_now() - begin) * 1e9 / count);
    wal_reader_close(r);
    bed_close(&b);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_failing_calls),
      cmocka_unit_test(test_failing_memory),
      cmocka_unit_test(test_failed_frame_stays_dead),
      cmocka_unit_test(test_failing_reads),
      cmocka_unit_test(test_growing),
      cmocka_unit_test(test_synced_is_exact),
      cmocka_unit_test(test_synced_beside),
      cmocka_unit_test(test_cost),
  };
  return cmocka_run_group_tests_name("wal_fault", tests, NULL, NULL);
}
