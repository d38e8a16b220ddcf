/* faults_test.c: every call of the file layer, then every allocation, fails once while a small history runs: open,
 * put, batch, get, iterate, snapshot, range delete, flush, compact, verify, close.
 *
 * What must hold whatever fails: the call that meets it says so, or nothing was lost by it; everything acknowledged
 * is read back, in this run and after a new open of what is on disk then; what was not acknowledged is there whole or
 * not at all; no memory is left.
 */
#include "unit/api/engine_bed.h"

#include "support/fault_vfs.h"

enum { FAULT_KEYS = 40, FAULT_STEPS = 60, FAULT_VALUE = 200 };

typedef struct fault_run {
  test_allocator memory;
  fault_vfs *f;
  varve_db *db;
  int expected;             /* the failure that is injected */
  uint64_t may[FAULT_KEYS]; /* bit t = the key may have value t (0 = absent) */
  const char *what;
  uint64_t nth, met, calls; /* calls: that could have failed */
} fault_run;

#define FAULT_BIT_OF(turn) (UINT64_C(1) << (turn))

/* A call's outcome: true = done. Failures are the injected one, or what it left behind. */
static bool fault_done(const fault_run *run, int rc, const char *call) {
  if (rc >= 0) return true;
  bool known = rc == run->expected || rc == VARVE_FAILED;
  if (!known) {
    fail_msg("%s %llu: %s: %s: %s", run->what, (unsigned long long)run->nth, call, varve_status_name(rc),
             varve_errmsg(NULL));
  }
  return false;
}

static void fault_set(fault_run *run, uint32_t from, uint32_t to, uint32_t turn, bool done) {
  for (uint32_t i = from; i < to; i++) run->may[i] = (done ? 0 : run->may[i]) | FAULT_BIT_OF(turn);
}

static void fault_check_key(fault_run *run, varve_db *db, uint32_t i, bool narrow) {
  char text[32];
  uint8_t bytes[FAULT_VALUE];
  varve_value v;
  int rc = varve_get(db, bed_key(text, i), NULL, &v);
  if (!fault_done(run, rc, "get")) return;
  uint32_t found = 0;
  for (uint32_t turn = 1; rc == VARVE_OK && turn < 64 && found == 0; turn++) {
    varve_slice wanted = bed_value(bytes, FAULT_VALUE, i, turn);
    if (v.size == wanted.size && memcmp(v.data, wanted.data, wanted.size) == 0) found = turn;
  }
  if (rc == VARVE_OK) varve_value_release(&v);
  if ((rc == VARVE_OK && found == 0) || (run->may[i] & FAULT_BIT_OF(found)) == 0) {
    fail_msg("%s %llu: key %u has value %u; allowed: %llx", run->what, (unsigned long long)run->nth, (unsigned)i,
             (unsigned)found, (unsigned long long)run->may[i]);
  }
  if (narrow) run->may[i] = FAULT_BIT_OF(found);
}

static void fault_scan(fault_run *run) {
  varve_iter *it;
  uint32_t count = 0, least = 0;
  if (!fault_done(run, varve_iter_open(run->db, NULL, &it), "iter_open")) return;
  int rc = varve_iter_first(it);
  for (; rc == VARVE_OK; rc = varve_iter_next(it)) count++;
  if (fault_done(run, rc, "iterate")) {
    for (uint32_t i = 0; i < FAULT_KEYS; i++) least += (run->may[i] & 1) == 0;
    assert_true(count >= least && count <= FAULT_KEYS);
  }
  varve_iter_close(it);
}

static void fault_batch(fault_run *run, uint32_t first, uint32_t turn) {
  varve_batch *b;
  char text[32];
  uint8_t bytes[FAULT_VALUE];
  TEST_OK(varve_batch_create(&b));
  for (uint32_t i = first; i < first + 5; i++) {
    TEST_OK(varve_batch_put(b, NULL, bed_key(text, i), bed_value(bytes, FAULT_VALUE, i, turn)));
  }
  fault_set(run, first, first + 5, turn, fault_done(run, varve_write(run->db, b, NULL), "write"));
  varve_batch_destroy(b);
}

static void fault_step(fault_run *run, rng *r, uint32_t turn) {
  char a[32], b[32];
  uint32_t i = rng_below(r, FAULT_KEYS - 5);
  varve_snapshot *s;
  switch (turn % 12) {
    case 3:
      (void)fault_done(run, varve_flush(run->db), "flush");
      break;
    case 5:
      fault_set(run, i, i + 5, 0,
                fault_done(run, varve_delete_range(run->db, bed_key(a, i), bed_key(b, i + 5), NULL), "delete_range"));
      break;
    case 7:
      (void)fault_done(run, varve_sync(run->db), "sync");
      fault_scan(run);
      break;
    case 8:
      if (!fault_done(run, varve_snapshot_open(run->db, &s), "snapshot_open")) break;
      fault_batch(run, i, turn);
      varve_snapshot_close(s);
      break;
    case 10:
      (void)fault_done(run, varve_compact(run->db, NULL, NULL), "compact");
      break;
    case 11:
      (void)fault_done(run, varve_verify(run->db, NULL, NULL, NULL), "verify");
      break;
    default:
      fault_batch(run, i, turn);
      fault_check_key(run, run->db, rng_below(r, FAULT_KEYS), false);
  }
}

static varve_options fault_options(bool mmap) {
  varve_options o = {.no_thread = true, .memtable_bytes = 1, .table_bytes = 1, .sync_interval_ms = 1000000};
  o.no_mmap = !mmap;
  o.block_bytes = 512;
  return o;
}

/* The history, and what is left of it in `left`. */
static void fault_history(fault_run *run, bed_image *left) {
  rng r = {7};
  for (uint32_t turn = 1; turn < FAULT_STEPS; turn++) fault_step(run, &r, turn);
  run->met = atomic_load(&run->f->failed) + atomic_load(&run->memory.failures);
  run->calls = run->f->rule.nth > 0 ? atomic_load(&run->f->matched) : atomic_load(&run->memory.calls);
  fault_vfs_disarm(run->f);
  test_allocator_fail(&run->memory, 0, false);
  for (uint32_t i = 0; i < FAULT_KEYS; i++) fault_check_key(run, run->db, i, false);
  bed_image_take(run->f->inner, left);
}

static void fault_reopen(fault_run *run, const bed_image *left, const varve_options *o) {
  varve_db *db;
  TEST_OK(bed_open_image(left, o, &db));
  for (uint32_t i = 0; i < FAULT_KEYS; i++) fault_check_key(run, db, i, true);
  TEST_OK(varve_verify(db, NULL, NULL, NULL));
  TEST_OK(varve_compact(db, NULL, NULL));
  for (uint32_t i = 0; i < FAULT_KEYS; i++) fault_check_key(run, db, i, true);
  TEST_OK(varve_close(db));
}

/* One run in which a call of the file layer (rule) or an allocation fails; false when there were fewer than nth. */
static bool fault_once(fault_run *run, bool mmap, const fault_rule *rule, uint64_t nth) {
  static bed_image left;
  env *e;
  varve_options o = fault_options(mmap);
  test_allocator_init(&run->memory);
  run->nth = nth;
  for (uint32_t i = 0; i < FAULT_KEYS; i++) run->may[i] = 1;
  TEST_OK(env_open(&run->memory.base, ":memory:", VFS_PLACE_CREATE, &e));
  TEST_OK(fault_vfs_open(e->fs, &run->f));
  e->fs = &run->f->base;
  if (!mmap) run->f->base.traits &= ~(VFS_MAP_READ | VFS_MAP_WRITE);
  TEST_OK(vfs_lock(e->fs, 0));
  if (rule != NULL) {
    fault_vfs_arm(run->f, *rule);
  } else {
    test_allocator_fail(&run->memory, nth, false);
  }
  if (!fault_done(run, api_open(e, &o, &run->db), "open")) {
    test_allocator_check(&run->memory); /* the place is gone with it */
    return true;
  }
  fault_history(run, &left);
  (void)fault_done(run, varve_close(run->db), "close");
  test_allocator_check(&run->memory);
  fault_reopen(run, &left, &o);
  bed_image_free(&left);
  return run->met > 0;
}

/* How far apart the failures of the runs are, of `calls` possible ones; the first is one of them at random. */
static uint64_t fault_stride(uint64_t calls, uint64_t *first) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  uint64_t runs = test_scale(60);
#else
  uint64_t runs = test_scale(600);
#endif
  static uint32_t drawn;
  rng r = test_rng("fault_stride");
  uint64_t stride = calls / runs + 1;
  r.state += drawn++;
  *first = 1 + rng_next(&r) % stride;
  return stride;
}

static void fault_files(const char *what, uint32_t ops, int status, bool mmap, bool and_later) {
  static fault_run run;
  fault_rule rule = {.ops = ops, .kind = FAULT_ANY_KIND, .and_later = and_later, .status = status, .nth = UINT64_MAX};
  uint32_t runs = 0;
  memset(&run, 0, sizeof run);
  run.expected = status;
  run.what = what;
  assert_false(fault_once(&run, mmap, &rule, rule.nth)); /* counts the calls */
  uint64_t stride = fault_stride(run.calls, &rule.nth);
  for (;; rule.nth += stride, runs++) {
    rule.part = runs % 2 == 0 ? SIZE_MAX : 3;
    if (!fault_once(&run, mmap, &rule, rule.nth)) break;
  }
  printf("%s: %u runs\n", what, (unsigned)runs);
  assert_true(runs > 0);
}

#define FAULT_READING (FAULT_BIT(FAULT_READ) | FAULT_BIT(FAULT_SIZE) | FAULT_BIT(FAULT_OPEN) | FAULT_BIT(FAULT_LIST))

static void writes_that_fail(void **state) {
  (void)state;
  uint32_t ops = FAULT_BIT(FAULT_WRITE) | FAULT_BIT(FAULT_ALLOCATE) | FAULT_BIT(FAULT_TRUNCATE);
  fault_files("writes that fail", ops, VARVE_IO, false, false);
  fault_files("writes that meet a full disk", ops, VARVE_FULL, false, false);
  fault_files("a disk that stays full", ops, VARVE_FULL, false, true);
}

static void syncs_that_fail(void **state) {
  (void)state;
  uint32_t ops = FAULT_BIT(FAULT_SYNC) | FAULT_BIT(FAULT_SYNC_DIR);
  fault_files("syncs that fail", ops, VARVE_IO, false, false);
  fault_files("syncs that fail, mapped", ops, VARVE_IO, true, false);
}

static void reads_that_fail(void **state) {
  (void)state;
  fault_files("reads that fail", FAULT_READING, VARVE_IO, false, false);
  fault_files("opening and mapping that fails", FAULT_BIT(FAULT_OPEN) | FAULT_BIT(FAULT_MAP), VARVE_IO, true, false);
}

static void removals_that_fail(void **state) {
  (void)state;
  fault_files("removals that fail", FAULT_BIT(FAULT_REMOVE), VARVE_IO, false, false);
}

static void fault_allocations(const char *what, bool mmap) {
  static fault_run run;
  uint32_t runs = 0;
  uint64_t nth;
  memset(&run, 0, sizeof run);
  run.expected = VARVE_NOMEM;
  run.what = what;
  assert_false(fault_once(&run, mmap, NULL, UINT64_MAX)); /* counts the allocations */
  uint64_t stride = fault_stride(run.calls, &nth);
  for (; fault_once(&run, mmap, NULL, nth); nth += stride) runs++;
  printf("%s: %u runs\n", what, (unsigned)runs);
  assert_true(runs > 10);
}

static void allocations_that_fail(void **state) {
  (void)state;
  fault_allocations("allocations that fail", false);
}

static void allocations_that_fail_mapped(void **state) {
  (void)state;
  fault_allocations("allocations that fail, mapped", true);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(writes_that_fail),      cmocka_unit_test(syncs_that_fail),
      cmocka_unit_test(reads_that_fail),       cmocka_unit_test(removals_that_fail),
      cmocka_unit_test(allocations_that_fail), cmocka_unit_test(allocations_that_fail_mapped),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
