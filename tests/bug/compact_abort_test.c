/* compact_abort_test.c: one caller's ABORTED does not end the full compaction that another caller waits for.
 *
 * What was wrong: the one that stopped threw the common job away, and the other's call said OK with
 * everything that was deleted still in the tables.
 */
#include "unit/api/engine_bed.h"

enum { ABORT_KEYS = 6000, ABORT_VALUE = 1000, ABORT_TIMES = 5 };

typedef struct abort_run {
  varve_db *db;
  uint32_t calls, aborted;
  int rc;
  atomic_bool over;
} abort_run;

static int abort_at_once(void *context, uint64_t done, uint64_t total) {
  (void)context;
  (void)done;
  (void)total;
  return 1;
}

/* The progress of the one that waits: in the middle of its compaction another one asks for the same, and stops. */
static int abort_progress(void *context, uint64_t done, uint64_t total) {
  abort_run *run = context;
  if (++run->calls % 2 == 1 && done < total && run->aborted < ABORT_TIMES) {
    TEST_RC(varve_compact(run->db, abort_at_once, NULL), VARVE_ABORTED);
    run->aborted++;
  }
  return 0;
}

static varve_db *abort_open(bool with_thread) {
  varve_options o = {.no_thread = !with_thread, .memory_bytes = 64 * MiB, .memtable_bytes = 1 * MiB};
  o.table_bytes = 1 * MiB;
  o.compression = VARVE_COMPRESSION_NONE; /* more bytes than one turn merges */
  varve_db *db;
  char text[32];
  TEST_OK(varve_open(":memory:", &o, &db));
  for (uint32_t i = 0; i < ABORT_KEYS; i++) TEST_OK(bed_put(db, i, 1, ABORT_VALUE));
  TEST_OK(varve_compact(db, NULL, NULL));
  for (uint32_t i = 0; i < ABORT_KEYS; i += 2) TEST_OK(varve_delete(db, bed_key(text, i), NULL));
  TEST_OK(varve_flush(db));
  return db;
}

/* Nothing is left that was deleted. */
static void abort_check(varve_db *db) {
  varve_stats s = bed_stats(db);
  uint64_t entries = 0, tombstones = 0;
  for (uint32_t level = 0; level < s.levels; level++) {
    entries += s.level[level].entries;
    tombstones += s.level[level].tombstones;
  }
  assert_int_equal(tombstones, 0);
  assert_int_equal(entries, ABORT_KEYS / 2);
  for (uint32_t i = 0; i < ABORT_KEYS; i++) bed_check(db, i, i % 2, ABORT_VALUE);
}

static void an_abort_ends_its_caller_alone(void **state) {
  (void)state;
  abort_run run = {.db = abort_open(false)};
  TEST_OK(varve_compact(run.db, abort_progress, &run));
  assert_true(run.aborted > 0);
  abort_check(run.db);
  TEST_OK(varve_close(run.db));
}

/* When the last one stops, the work is given up, and can be asked for again. */
static void the_last_abort_ends_the_work(void **state) {
  (void)state;
  varve_db *db = abort_open(false);
  TEST_RC(varve_compact(db, abort_at_once, NULL), VARVE_ABORTED);
  assert_null(db->lsm->full_job);
  for (uint32_t i = 0; i < ABORT_KEYS; i++) bed_check(db, i, i % 2, ABORT_VALUE);
  TEST_OK(varve_compact(db, NULL, NULL));
  abort_check(db);
  TEST_OK(varve_close(db));
}

static void *abort_compact(void *context) {
  abort_run *run = context;
  run->rc = varve_compact(run->db, NULL, NULL);
  atomic_store(&run->over, true);
  return NULL;
}

static void aborts_from_another_thread(void **state) {
  (void)state;
  abort_run run = {.db = abort_open(true)};
  thread t;
  TEST_OK(thread_start(&t, abort_compact, &run));
  while (!atomic_load(&run.over)) TEST_RC(varve_compact(run.db, abort_at_once, NULL), VARVE_ABORTED);
  thread_join(&t);
  TEST_OK(run.rc);
  abort_check(run.db);
  TEST_OK(varve_close(run.db));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_abort_ends_its_caller_alone),
      cmocka_unit_test(the_last_abort_ends_the_work),
      cmocka_unit_test(aborts_from_another_thread),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
