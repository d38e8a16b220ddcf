/* stuck_compaction_test.c: a flipped byte in a table stops compaction. Writers go on until level 0 is full
 * and then get CORRUPT, in a bounded time; reads that do not meet the damage go on, and what was acknowledged
 * is there after an open.
 *
 * What was wrong: with a background thread the writers waited for room that nobody was going to make, for
 * ever.
 */
#include "unit/api/engine_bed.h"

#include <signal.h>
#include <unistd.h>

/* Keys below STUCK_WRITTEN are written again later, except the even ones. */
enum {
  STUCK_KEYS = 300,
  STUCK_WRITTEN = 200,
  STUCK_VALUE = 1000,
  STUCK_TURNS = 400,
  STUCK_SECONDS = 60,
  STUCK_FAILURES = 20
};

static void stuck_alarm(int number) {
  (void)number;
  static const char text[] = "a writer waits for room that nobody makes\n";
  ssize_t unused = write(STDERR_FILENO, text, sizeof text - 1);
  (void)unused;
  _exit(1);
}

static varve_options stuck_options(bool with_thread) {
  varve_options o = {.no_thread = !with_thread, .l0_runs = 2, .memtable_bytes = 64 * KiB, .memory_bytes = 4 * MiB};
  o.table_bytes = 1 * MiB;
  o.compression = VARVE_COMPRESSION_NONE;
  return o;
}

/* All keys in a table below level 0, with a wrong byte near its begin: in the block of key 0. */
static varve_db *stuck_open(bool with_thread) {
  static bed_image image;
  varve_options o = stuck_options(false);
  varve_db *db;
  TEST_OK(varve_open(":memory:", &o, &db));
  for (uint32_t i = 0; i < STUCK_KEYS; i++) TEST_OK(bed_put(db, i, 1, STUCK_VALUE));
  TEST_OK(varve_compact(db, NULL, NULL));
  bed_image_take(db->env->fs, &image);
  TEST_OK(varve_close(db));
  bed_file *damaged = bed_image_find(&image, FILE_SST);
  assert_non_null(damaged);
  assert_true(damaged->size > (size_t)STUCK_KEYS * STUCK_VALUE); /* one for all */
  damaged->bytes[100] ^= 1;
  o = stuck_options(with_thread);
  TEST_OK(bed_open_image(&image, &o, &db));
  bed_image_free(&image);
  return db;
}

typedef struct stuck_writer {
  varve_db *db;
  uint32_t first, step; /* keys first, first + step, … */
  uint32_t turns[STUCK_KEYS];
  int rc;
  char message[STATUS_MESSAGE_SIZE];
} stuck_writer;

/* Goes on after a failure, until it is met many times in a row: by then nobody makes room any more. */
static void *stuck_write(void *context) {
  stuck_writer *w = context;
  uint32_t failures = 0, i = w->first;
  for (uint32_t turn = 2; turn < STUCK_TURNS && failures < STUCK_FAILURES;) {
    w->rc = bed_put(w->db, i, turn, STUCK_VALUE);
    failures = w->rc < 0 ? failures + 1 : 0;
    if (w->rc < 0) continue;
    w->turns[i] = turn;
    i += w->step;
    if (i < STUCK_WRITTEN) continue;
    i = w->first;
    turn++;
  }
  if (w->rc < 0) status_keep_message(w->message);
  return NULL;
}

static void stuck_check(varve_db *db, const stuck_writer *w, uint32_t count) {
  for (uint32_t k = 0; k < count; k++) {
    for (uint32_t i = w[k].first; i < STUCK_WRITTEN; i += w[k].step) {
      if (w[k].turns[i] != 0) bed_check(db, i, w[k].turns[i], STUCK_VALUE);
    }
  }
  for (uint32_t i = STUCK_WRITTEN; i < STUCK_KEYS; i++) bed_check(db, i, 1, STUCK_VALUE);
  varve_value v;
  char text[32];
  TEST_RC(varve_get(db, bed_key(text, STUCK_KEYS), NULL, &v), VARVE_NOTFOUND);
}

static void stuck_check_again(varve_db *db, const stuck_writer *w, uint32_t count) {
  static bed_image image;
  varve_options o = stuck_options(false);
  bed_image_take(db->env->fs, &image);
  TEST_OK(varve_close(db));
  TEST_OK(bed_open_image(&image, &o, &db));
  stuck_check(db, w, count);
  TEST_OK(varve_close(db));
  bed_image_free(&image);
}

static void stuck_run(bool thread_wanted, uint32_t count) {
  static stuck_writer w[2];
  thread threads[2];
  (void)signal(SIGALRM, stuck_alarm);
  (void)alarm(STUCK_SECONDS);
  varve_db *db = stuck_open(thread_wanted);
  assert_int_equal(db->lsm->thread_running, thread_wanted);
  memset(w, 0, sizeof w);
  for (uint32_t k = 0; k < count; k++) {
    w[k] = (stuck_writer){.db = db, .first = 2 * k + 1, .step = 2 * count};
    if (count > 1) TEST_OK(thread_start(&threads[k], stuck_write, &w[k]));
  }
  if (count == 1) stuck_write(&w[0]);
  for (uint32_t k = 0; k < count && count > 1; k++) thread_join(&threads[k]);
  for (uint32_t k = 0; k < count; k++) {
    TEST_RC(w[k].rc, VARVE_CORRUPT);
    if (strstr(w[k].message, "verify") == NULL) fail_msg("%s", w[k].message);
  }
  for (int again = 0; again < 20; again++) TEST_RC(bed_put(db, 1, STUCK_TURNS + 1, STUCK_VALUE), VARVE_CORRUPT);
  stuck_check(db, w, count);
  varve_value v;
  char text[32];
  TEST_RC(varve_get(db, bed_key(text, 0), NULL, &v), VARVE_CORRUPT); /* the damaged block's own */
  TEST_RC(varve_compact(db, NULL, NULL), VARVE_CORRUPT);
  TEST_RC(varve_verify(db, NULL, NULL, NULL), VARVE_CORRUPT);
  stuck_check(db, w, count);
  stuck_check_again(db, w, count);
  (void)alarm(0);
}

static void writers_do_not_wait_for_ever(void **state) {
  (void)state;
  stuck_run(true, 1);
  stuck_run(true, 2);
}

static void writers_that_work_themselves(void **state) {
  (void)state;
  stuck_run(false, 1);
  stuck_run(false, 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(writers_that_work_themselves),
      cmocka_unit_test(writers_do_not_wait_for_ever),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
