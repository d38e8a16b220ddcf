/* threads_test.c: readers beside writers, flushes, compactions, backups and checks, all at once; group commit;
 * closing while the background thread is busy. To be run under ThreadSanitizer as well.
 *
 * What readers check: both keys of a pair are always written in one batch with the same number, so whoever reads them
 * at one moment (snapshot, iterator) finds them equal; a snapshot reads the same whenever it is read.
 */
#define _GNU_SOURCE
#include "unit/api/engine_bed.h"

#include <pthread.h>
#include <unistd.h>

enum { PAIRS = 300, WRITERS = 2, READERS = 3, THREADS_MAX = 16 };

typedef struct crowd {
  char dir[TEST_PATH_MAX], path[BED_PATH_MAX];
  varve_db *db;
  atomic_bool stop;
  atomic_uint failures;
  char why[512];
  uint32_t rounds;
  atomic_uint_fast64_t reads, writes;
} crowd;

typedef struct member {
  crowd *c;
  uint32_t number;
  pthread_t thread;
} member;

static void crowd_fail(crowd *c, const char *what, int rc) {
  if (atomic_fetch_add(&c->failures, 1) > 0) return;
  (void)snprintf(c->why, sizeof c->why, "%s: %s: %s", what, varve_status_name(rc), varve_errmsg(NULL));
}

static bool crowd_ok(crowd *c, int rc, const char *what) {
  if (rc >= 0) return true;
  crowd_fail(c, what, rc);
  return false;
}

static void crowd_open(crowd *c, const varve_options *o, const char *name) {
  memset(c, 0, sizeof *c);
  test_dir_create(c->dir);
  bed_join(c->path, c->dir, name);
  TEST_OK(varve_open(c->path, o, &c->db));
}

static void crowd_close(crowd *c) {
  if (atomic_load(&c->failures) > 0) fail_msg("%s", c->why);
  TEST_OK(varve_verify(c->db, NULL, NULL, NULL));
  TEST_OK(varve_close(c->db));
  test_dir_remove(c->dir);
}

static void crowd_start(crowd *c, member *members, uint32_t *count, uint32_t number, void *(*run)(void *)) {
  assert_true(*count < THREADS_MAX);
  member *m = &members[(*count)++];
  m->c = c;
  m->number = number;
  assert_int_equal(pthread_create(&m->thread, NULL, run, m), 0);
}

static varve_slice pair_key(char text[32], uint32_t pair, char side) {
  int n = snprintf(text, 32, "%c/%06u", side, (unsigned)pair);
  varve_slice s = {text, (size_t)n};
  return s;
}

static int pair_write(varve_db *db, varve_batch *b, uint32_t pair, uint64_t number, const varve_write_options *o) {
  char left[32], right[32];
  uint8_t value[200];
  memset(value, (int)(number & 0xff), sizeof value);
  memcpy(value, &number, sizeof number);
  varve_slice v = {value, sizeof value};
  varve_batch_clear(b);
  TRY(varve_batch_put(b, NULL, pair_key(left, pair, 'a'), v));
  TRY(varve_batch_put(b, NULL, pair_key(right, pair, 'z'), v));
  return varve_write(db, b, o);
}

/* Each writer has pairs of its own and overwrites them with rising numbers; now and then it removes one. */
static void *crowd_write(void *context) {
  member *m = context;
  crowd *c = m->c;
  varve_batch *b;
  rng r = {m->number + 1};
  if (!crowd_ok(c, varve_batch_create(&b), "batch")) return NULL;
  for (uint64_t n = 1; n <= c->rounds; n++) {
    uint32_t pair = rng_below(&r, PAIRS / WRITERS) * WRITERS + m->number;
    int rc = VARVE_OK;
    if (rng_percent(&r, 5)) {
      char left[32], right[32];
      varve_batch_clear(b);
      rc = varve_batch_delete(b, NULL, pair_key(left, pair, 'a'));
      if (rc >= 0) rc = varve_batch_delete(b, NULL, pair_key(right, pair, 'z'));
      if (rc >= 0) rc = varve_write(c->db, b, NULL);
    } else {
      rc = pair_write(c->db, b, pair, n, NULL);
    }
    if (!crowd_ok(c, rc, "write")) break;
    atomic_fetch_add(&c->writes, 1);
  }
  varve_batch_destroy(b);
  return NULL;
}

/* OK and *number, 0 = absent. */
static int pair_read(varve_db *db, const varve_snapshot *s, uint32_t pair, char side, uint64_t *number) {
  char text[32];
  varve_read_options o = {s, NULL};
  varve_value v;
  *number = 0;
  int rc = varve_get(db, pair_key(text, pair, side), &o, &v);
  if (rc != VARVE_OK) return rc < 0 ? rc : VARVE_OK;
  if (v.size != 200) return status_fail(VARVE_BUG, "a value of %zu bytes", v.size);
  memcpy(number, v.data, sizeof *number);
  bool whole = ((const uint8_t *)v.data)[199] == (uint8_t)*number;
  varve_value_release(&v);
  return whole ? VARVE_OK : status_fail(VARVE_BUG, "a value is half of another");
}

/* Sums up one moment: keys "a/…" come before "z/…", in the same order, with the same values. */
static int crowd_scan(crowd *c, const varve_snapshot *s, bool backward, uint64_t *digest) {
  varve_iter_options o = {.snapshot = s};
  varve_iter *it;
  uint64_t sides[2] = {0, 0}, count[2] = {0, 0};
  *digest = 0;
  TRY(varve_iter_open(c->db, &o, &it));
  int rc = backward ? varve_iter_last(it) : varve_iter_first(it);
  for (; rc == VARVE_OK; rc = backward ? varve_iter_prev(it) : varve_iter_next(it)) {
    varve_slice key = varve_iter_key(it), value = varve_iter_value(it);
    int side = ((const char *)key.data)[0] == 'z';
    sides[side] += xxh64(value.data, value.size, xxh64((const char *)key.data + 1, key.size - 1, 0));
    count[side]++;
  }
  varve_iter_close(it);
  if (rc < 0) return rc;
  if (sides[0] != sides[1] || count[0] != count[1]) return status_fail(VARVE_BUG, "an iterator saw half of a batch");
  *digest = sides[0] + count[0];
  return VARVE_OK;
}

static void *crowd_read(void *context) {
  member *m = context;
  crowd *c = m->c;
  rng r = {1000 + m->number};
  while (!atomic_load(&c->stop) && atomic_load(&c->failures) == 0) {
    varve_snapshot *s;
    uint64_t first, again, left, right;
    if (!crowd_ok(c, varve_snapshot_open(c->db, &s), "snapshot")) break;
    bool fine = crowd_ok(c, crowd_scan(c, s, false, &first), "scan");
    for (int i = 0; fine && i < 30; i++) {
      uint32_t pair = rng_below(&r, PAIRS);
      fine = crowd_ok(c, pair_read(c->db, s, pair, 'a', &left), "get") &&
             crowd_ok(c, pair_read(c->db, s, pair, 'z', &right), "get");
      if (fine && left != right) crowd_fail(c, "a snapshot's gets saw half of a batch", VARVE_BUG);
    }
    fine = fine && crowd_ok(c, crowd_scan(c, s, true, &again), "scan");
    if (fine && first != again) crowd_fail(c, "a snapshot changed", VARVE_BUG);
    varve_snapshot_close(s);
    /* Without a snapshot the second of two gets is never older than the first. */
    uint32_t pair = rng_below(&r, PAIRS);
    uint64_t now;
    fine = fine && crowd_ok(c, pair_read(c->db, NULL, pair, 'a', &left), "get");
    fine = fine && crowd_ok(c, pair_read(c->db, NULL, pair, 'z', &right), "get");
    fine = fine && crowd_ok(c, crowd_scan(c, NULL, rng_percent(&r, 50), &now), "scan");
    if (fine && left > right && right > 0) crowd_fail(c, "a later get saw an older value", VARVE_BUG);
    atomic_fetch_add(&c->reads, 1);
  }
  return NULL;
}

static void *crowd_care(void *context) {
  member *m = context;
  crowd *c = m->c;
  char backup[BED_PATH_MAX];
  bed_join(backup, c->dir, "backup");
  while (!atomic_load(&c->stop) && atomic_load(&c->failures) == 0) {
    varve_stats s;
    switch (m->number) {
      case 0:
        (void)crowd_ok(c, varve_flush(c->db), "flush");
        break;
      case 1:
        (void)crowd_ok(c, varve_compact(c->db, NULL, NULL), "compact");
        break;
      case 2:
        (void)crowd_ok(c, varve_verify(c->db, NULL, NULL, NULL), "verify");
        break;
      case 3:
        (void)crowd_ok(c, varve_backup(c->db, backup, NULL, NULL, NULL), "backup");
        break;
      default:
        (void)crowd_ok(c, varve_sync(c->db), "sync");
        (void)crowd_ok(c, varve_get_stats(c->db, &s), "stats");
        (void)crowd_ok(c, varve_work(c->db, 10000, NULL), "work");
    }
    (void)usleep(2000);
  }
  return NULL;
}

static void crowd_run(const varve_options *o) {
#ifdef VARVE_TINY
  uint32_t rounds = test_scale(800); /* each of them is much more work there */
#else
  uint32_t rounds = test_scale(4000);
#endif
  static crowd c;
  static member members[THREADS_MAX];
  uint32_t count = 0;
  crowd_open(&c, o, "db");
  c.rounds = rounds;
  for (uint32_t i = 0; i < WRITERS; i++) crowd_start(&c, members, &count, i, crowd_write);
  for (uint32_t i = 0; i < READERS; i++) crowd_start(&c, members, &count, i, crowd_read);
  for (uint32_t i = 0; i < 5; i++) crowd_start(&c, members, &count, i, crowd_care);
  for (uint32_t i = 0; i < WRITERS; i++) pthread_join(members[i].thread, NULL);
  atomic_store(&c.stop, true);
  for (uint32_t i = WRITERS; i < count; i++) pthread_join(members[i].thread, NULL);
  if (atomic_load(&c.failures) == 0) {
    assert_true(atomic_load(&c.reads) > 0);
    assert_int_equal(atomic_load(&c.writes), WRITERS * (uint64_t)rounds);
    /* The last backup is a whole moment too. */
    char backup[BED_PATH_MAX];
    varve_options read_only = {.read_only = true};
    crowd copy = {.db = NULL};
    uint64_t digest;
    bed_join(backup, c.dir, "backup");
    TEST_OK(varve_backup(c.db, backup, NULL, NULL, NULL));
    TEST_OK(varve_open(backup, &read_only, &copy.db));
    TEST_OK(crowd_scan(&copy, NULL, false, &digest));
    TEST_OK(varve_close(copy.db));
  }
  crowd_close(&c);
}

static void readers_beside_everything_mapped(void **state) {
  (void)state;
  varve_options o = {.memtable_bytes = 1, .table_bytes = 1, .block_bytes = 512};
  crowd_run(&o);
}

static void readers_beside_everything_through_the_cache(void **state) {
  (void)state;
  varve_options o = {.memtable_bytes = 1, .table_bytes = 1, .block_bytes = 512, .memory_bytes = 1, .no_mmap = true};
  crowd_run(&o);
}

static void readers_without_a_background_thread(void **state) {
  (void)state;
  varve_options o = {.memtable_bytes = 1, .table_bytes = 1, .block_bytes = 512, .no_thread = true};
  crowd_run(&o);
}

/* ---- group commit ---- */

static void *strict_write(void *context) {
  member *m = context;
  varve_write_options o = {VARVE_STRICT, NULL};
  char text[32];
  for (uint32_t i = 0; i < m->c->rounds; i++) {
    if (!crowd_ok(m->c, varve_put(m->c->db, bed_key(text, m->number * 100000 + i), VARVE_STR("v"), &o), "put")) break;
  }
  return NULL;
}

static void strict_commits_share_their_syncs(void **state) {
  (void)state;
  static crowd c;
  static member members[THREADS_MAX];
  uint32_t count = 0;
  varve_options o = {.sync_interval_ms = 1000000};
  crowd_open(&c, &o, "db");
  c.rounds = test_scale(100);
  varve_stats before = bed_stats(c.db);
  for (uint32_t i = 0; i < 8; i++) crowd_start(&c, members, &count, i, strict_write);
  for (uint32_t i = 0; i < count; i++) pthread_join(members[i].thread, NULL);
  varve_stats after = bed_stats(c.db);
  uint64_t commits = after.commits - before.commits, syncs = after.syncs - before.syncs;
  printf("%llu strict commits of 8 threads took %llu syncs\n", (unsigned long long)commits, (unsigned long long)syncs);
  assert_int_equal(commits, 8 * (uint64_t)c.rounds);
  assert_true(syncs > 0 && syncs < commits);
  assert_int_equal(wal_synced(c.db->lsm->wal), wal_end(c.db->lsm->wal));
  crowd_close(&c);
}

/* ---- ends ---- */

static void closing_while_the_thread_is_busy(void **state) {
  (void)state;
  static crowd c;
  varve_options o = {.memtable_bytes = 1, .table_bytes = 1};
  crowd_open(&c, &o, "db");
  rng r = test_rng("closing_while_the_thread_is_busy");
  uint32_t turns = test_scale(15), per_turn = 3 * MEMTABLE_BYTES_MIN / 500;
  for (uint32_t turn = 1; turn <= turns; turn++) {
    uint32_t last = per_turn + rng_below(&r, per_turn);
    for (uint32_t i = 0; i < last; i++) TEST_OK(bed_put(c.db, i, turn, 500));
    TEST_OK(varve_close(c.db));
    TEST_OK(varve_open(c.path, &o, &c.db));
    for (uint32_t i = 0; i < last; i += 7) bed_check(c.db, i, turn, 500);
  }
  crowd_close(&c);
}

/* close says BUSY while a reader is inside, and what it stopped goes on. */
static void a_busy_close_changes_nothing(void **state) {
  (void)state;
  static crowd c;
  varve_iter *it;
  varve_options o = {.memtable_bytes = 1, .table_bytes = 1};
  crowd_open(&c, &o, "db");
  TEST_OK(varve_iter_open(c.db, NULL, &it));
  for (uint32_t turn = 1; turn <= 20; turn++) {
    for (uint32_t i = 0; i < 2 * MEMTABLE_BYTES_MIN / 500; i++) TEST_OK(bed_put(c.db, i, turn, 500));
    TEST_RC(varve_close(c.db), VARVE_BUSY);
  }
  TEST_RC(varve_iter_first(it), VARVE_DONE);
  varve_iter_close(it);
  crowd_close(&c);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(readers_beside_everything_mapped),
      cmocka_unit_test(readers_beside_everything_through_the_cache),
      cmocka_unit_test(readers_without_a_background_thread),
      cmocka_unit_test(strict_commits_share_their_syncs),
      cmocka_unit_test(closing_while_the_thread_is_busy),
      cmocka_unit_test(a_busy_close_changes_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
