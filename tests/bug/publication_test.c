/* publication_test.c: memory runs out while a flush, a compaction or a rotation is published. Every
 * allocation of each fails once; the call says NOMEM, the next try succeeds, and what is on disk opens again
 * with everything in it.
 *
 * What was wrong: the view was made after the manifest's record was durable. When there was no memory for it
 * the job was given up together with its tables, which the manifest named: the database could not be opened
 * again. A rotation wrote its log's header before it made the view, took the file away again, and after a
 * power cut there were two logs with one number.
 *
 * Why faults_test.c, which lets allocations fail too, did not find it: it takes the image that it opens again
 * before it closes the database, and after a failure of this kind the tables were removed by the close. FAILED,
 * which the handle said from then on, is an outcome that it allows. And it never looks at a removed name that
 * is there again after a power cut.
 */
#include "unit/api/engine_bed.h"

#include "support/fault_vfs.h"

enum { PUBLISH_KEYS = 40, PUBLISH_VALUE = 200 };
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { PUBLISH_STRIDE = 3 }; /* slow: each of the three ways of publish_all takes a third of the allocations */
#else
enum { PUBLISH_STRIDE = 1 };
#endif

typedef struct publish_run {
  test_allocator memory;
  env *e;
  vfs *inner;
  bed_image closed; /* what the close left behind */
  varve_db *db;
  uint64_t met;
} publish_run;

static varve_options publish_options(void) {
  varve_options o = {.no_thread = true, .memtable_bytes = 1, .table_bytes = 1, .durability = VARVE_STRICT};
  o.sync_interval_ms = 1000000;
  return o;
}

static void publish_at_unlock(void *context, fault_op op, file_kind kind, uint64_t number) {
  publish_run *run = context;
  (void)kind;
  (void)number;
  if (op == FAULT_UNLOCK) bed_image_take(run->inner, &run->closed);
}

static void publish_open(publish_run *run) {
  varve_options o = publish_options();
  fault_vfs *f;
  test_allocator_init(&run->memory);
  TEST_OK(env_open(&run->memory.base, ":memory:", VFS_PLACE_CREATE, &run->e));
  run->inner = run->e->fs;
  TEST_OK(fault_vfs_open(run->inner, &f));
  f->before = publish_at_unlock;
  f->context = run;
  run->e->fs = &f->base;
  TEST_OK(vfs_lock(run->e->fs, 0));
  TEST_OK(api_open(run->e, &o, &run->db));
}

static void publish_put(varve_db *db, uint32_t turn) {
  for (uint32_t i = 0; i < PUBLISH_KEYS; i++) TEST_OK(bed_put(db, i, turn, PUBLISH_VALUE));
}

static void publish_check(varve_db *db, uint32_t turn) {
  for (uint32_t i = 0; i < PUBLISH_KEYS; i++) bed_check(db, i, turn, PUBLISH_VALUE);
}

static void publish_check_image(bed_image *image, uint32_t turn) {
  varve_db *db;
  varve_options o = publish_options();
  TEST_OK(bed_open_image(image, &o, &db));
  publish_check(db, turn);
  TEST_OK(varve_verify(db, NULL, NULL, NULL));
  TEST_OK(varve_close(db));
  bed_image_free(image);
}

/* What a new process finds at this moment. */
static void publish_check_disk(vfs *fs, uint32_t turn) {
  static bed_image image;
  bed_image_take(fs, &image);
  publish_check_image(&image, turn);
}

static void publish_close(publish_run *run, uint32_t turn) {
  run->closed.count = 0;
  int rc = varve_close(run->db);
  assert_true(run->closed.count > 0);
  publish_check_image(&run->closed, turn);
  TEST_RC(rc, VARVE_OK);
  test_allocator_check(&run->memory);
}

/* Memory is there again: the handle goes on. */
static void publish_go_on(publish_run *run, uint32_t turn) {
  publish_check(run->db, turn);
  publish_check_disk(run->e->fs, turn);
  publish_put(run->db, turn + 1);
  TEST_OK(varve_flush(run->db));
  TEST_OK(varve_compact(run->db, NULL, NULL));
  publish_check(run->db, turn + 1);
  TEST_OK(varve_verify(run->db, NULL, NULL, NULL));
  publish_close(run, turn + 1);
}

static int publish_compact(varve_db *db) {
  return varve_compact(db, NULL, NULL);
}

/* `turns` times all keys go to a table, the last time not; then `call` meets the nth failure. */
static bool publish_once(int (*call)(varve_db *db), uint32_t turns, uint64_t nth, bool and_later, bool ends) {
  static publish_run run;
  publish_open(&run);
  for (uint32_t turn = 1; turn <= turns; turn++) {
    if (turn > 1) TEST_OK(varve_flush(run.db));
    publish_put(run.db, turn);
  }
  test_allocator_fail(&run.memory, nth, and_later);
  int rc = call(run.db);
  run.met = atomic_load(&run.memory.failures);
  test_allocator_fail(&run.memory, 0, false);
  if (rc < 0) TEST_RC(rc, VARVE_NOMEM);
  if (rc < 0) assert_true(run.met > 0);
  if (ends) {
    publish_close(&run, turns);
  } else {
    publish_go_on(&run, turns);
  }
  return run.met > 0;
}

static void publish_all(const char *what, int (*call)(varve_db *db), uint32_t turns) {
  for (int way = 0; way < 3; way++) { /* and then: close; go on; go on after all later ones failed too */
    uint64_t nth = 1 + (uint64_t)way;
    while (publish_once(call, turns, nth, way == 2, way == 0)) nth += PUBLISH_STRIDE;
    printf("%s: %llu allocations\n", what, (unsigned long long)nth - 1);
    assert_true(nth > 5);
  }
}

static void no_memory_while_a_flush_is_published(void **state) {
  (void)state;
  publish_all("flush", varve_flush, 1);
  publish_all("flush beside tables", varve_flush, 3);
}

static void no_memory_while_a_compaction_is_published(void **state) {
  (void)state;
  publish_all("compaction", publish_compact, 4);
}

/* ---- rotations ---- */

typedef struct publish_log {
  vfs *inner;
  bool armed;
  bed_file removed; /* the log that was taken away while armed; its name may be there again after a power cut */
} publish_log;

static void publish_before(void *context, fault_op op, file_kind kind, uint64_t number) {
  publish_log *log = context;
  vfs_file *file;
  uint64_t size;
  if (op != FAULT_REMOVE || kind != FILE_WAL || !log->armed || log->removed.bytes != NULL) return;
  if (vfs_open(log->inner, kind, number, 0, &file) < 0) return;
  TEST_OK(vfs_size(file, &size));
  log->removed = (bed_file){kind, number, (size_t)size, malloc((size_t)size + 1)};
  assert_non_null(log->removed.bytes);
  TEST_OK(vfs_read_exact(file, 0, log->removed.bytes, (size_t)size));
  TEST_OK(vfs_close(file));
}

static void publish_check_power_cut(publish_log *log, const uint32_t *turns) {
  static bed_image image;
  varve_db *db;
  varve_options o = publish_options();
  bed_image_take(log->inner, &image);
  if (log->removed.bytes != NULL) image.files[image.count++] = log->removed;
  log->removed.bytes = NULL; /* the image's */
  TEST_OK(bed_open_image(&image, &o, &db));
  for (uint32_t i = 0; i < PUBLISH_KEYS; i++) bed_check(db, i, turns[i], PUBLISH_VALUE);
  TEST_OK(varve_close(db));
  bed_image_free(&image);
}

static uint64_t publish_log_number(const publish_run *run) {
  return wal_log_number(run->db->lsm->wal);
}

/* Puts until the memtable rotates; the put that does it meets the nth failure and is made again. The images after it
 * hold the log that was taken away, whose removal is not durable. */
static bool publish_rotation(uint64_t nth) {
  static publish_run run;
  varve_options o = publish_options();
  publish_log log = {.armed = false};
  uint32_t turns[PUBLISH_KEYS] = {0}, at = 0, failures = 0;
  fault_vfs *f;
  test_allocator_init(&run.memory);
  TEST_OK(env_open(&run.memory.base, ":memory:", VFS_PLACE_CREATE, &run.e));
  log.inner = run.e->fs;
  TEST_OK(fault_vfs_open(run.e->fs, &f));
  f->base.traits &= ~(VFS_MAP_READ | VFS_MAP_WRITE);
  f->before = publish_before;
  f->context = &log;
  run.e->fs = &f->base;
  TEST_OK(vfs_lock(run.e->fs, 0));
  TEST_OK(api_open(run.e, &o, &run.db));
  for (uint64_t before = publish_log_number(&run); publish_log_number(&run) == before; at++) {
    uint32_t i = at % PUBLISH_KEYS, turn = 1 + at / PUBLISH_KEYS;
    bool near = memtable_bytes(run.db->lsm->active) + 4 * PUBLISH_VALUE > run.db->lsm->options.memtable_bytes;
    if (near && failures == 0) test_allocator_fail(&run.memory, nth, false);
    log.armed = near;
    int rc = bed_put(run.db, i, turn, PUBLISH_VALUE);
    failures += atomic_load(&run.memory.failures) > 0;
    test_allocator_fail(&run.memory, 0, false);
    if (rc < 0) TEST_RC(rc, VARVE_NOMEM);
    if (rc < 0) TEST_OK(bed_put(run.db, i, turn, PUBLISH_VALUE));
    turns[i] = turn;
  }
  log.armed = false;
  publish_check_power_cut(&log, turns);
  for (uint32_t i = 0; i < PUBLISH_KEYS; i++) bed_check(run.db, i, turns[i], PUBLISH_VALUE);
  TEST_OK(varve_close(run.db));
  test_allocator_check(&run.memory);
  return failures > 0;
}

static void no_memory_while_a_memtable_is_rotated(void **state) {
  (void)state;
  uint64_t nth = 1;
  while (publish_rotation(nth)) nth++;
  printf("rotation: %llu allocations\n", (unsigned long long)nth - 1);
  assert_true(nth > 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(no_memory_while_a_flush_is_published),
      cmocka_unit_test(no_memory_while_a_compaction_is_published),
      cmocka_unit_test(no_memory_while_a_memtable_is_rotated),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
