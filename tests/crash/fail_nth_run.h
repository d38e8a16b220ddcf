/* fail_nth_run.h: a scenario with its Nth call failing, for N = 1, 2, 3 ... until none does, and what is demanded after
 * each (see fail_nth.h).
 */
#ifndef VARVE_FAIL_NTH_RUN_H
#define VARVE_FAIL_NTH_RUN_H

#include "crash/fail_nth_calls.h"

typedef struct nth_totals {
  uint64_t runs, surfaced, final; /* final: the database was read-only from then on */
  uint64_t absorbed[FAULT_OPS][FILE_KINDS + 2];
} nth_totals;

static nth_totals nth_all;
static size_t nth_golden_bytes; /* what the golden disks take */

/* ---- after the failures ---- */

typedef struct nth_files {
  uint64_t count[FILE_KINDS];
} nth_files;

static int nth_files_visit(void *context, file_kind kind, uint64_t number, uint64_t size) {
  nth_files *files = context;
  (void)number;
  (void)size;
  files->count[kind]++;
  return 0;
}

/* Right after an open: nothing is there that nothing names. */
static void nth_check_files(const nth_run *run, varve_db *db) {
  nth_files files = {{0}};
  varve_stats stats;
  uint64_t tables = 0;
  NTH_OK(run, vfs_list(db->env->fs, nth_files_visit, &files));
  NTH_OK(run, varve_get_stats(db, &stats));
  for (uint32_t level = 0; level < VARVE_LEVELS_MAX; level++) tables += stats.level[level].tables;
  if (files.count[FILE_SST] != tables) nth_fail_at(run, "files", "a table that nothing names");
  if (files.count[FILE_MANIFEST] != 1) nth_fail_at(run, "files", "more than one manifest");
  if (files.count[FILE_SUPER] != 1) nth_fail_at(run, "files", "no SUPER");
}

static void nth_check_open(nth_run *r, const char *when) {
  nth_state found;
  varve_verify_report report;
  NTH_OK(r, nth_try_open(r, r->f, false, &r->db));
  nth_check_files(r, r->db);
  NTH_OK(r, nth_read(r, r->db, &found));
  nth_compare(r, &found, when);
  r->sure = found;
  r->has_maybe = false;
  NTH_OK(r, varve_verify(r->db, &report, NULL, NULL));
  if (report.errors != 0) nth_fail_at(r, when, report.first);
}

/* The disk opens, holds what it may, verifies, and, when there are writes to be made, takes them and holds them, too,
 * when it is opened again. */
static void nth_check_disk(const nth_run *run, vfs *disk, const char *when, bool writes) {
  nth_run r = *run;
  r.calm = true;
  r.was_failed = false;
  r.f->inner = disk;
  memset(r.space, 0, sizeof r.space);
  nth_check_open(&r, when);
  if (!writes) {
    nth_close(&r);
    return;
  }
  nth_batch(&r, 2, 3, false);
  nth_put(&r, 0, 1, true);
  nth_flush(&r);
  nth_put(&r, 0, 5, false);
  nth_close(&r);
  nth_check_open(&r, "the second time");
  nth_close(&r);
}

/* ---- one run ---- */

static const char *const nth_op_names[FAULT_OPS] = {"open",     "close",    "read", "write", "allocate",
                                                    "truncate", "size",     "sync", "map",   "unmap",
                                                    "remove",   "sync_dir", "list", "lock",  "unlock"};

static void nth_end_place(fault_vfs *f, vfs *disk) {
  MEM_DELETE(&nth_disk_memory, f);
  TEST_OK(vfs_close_fs(disk));
}

static void nth_handles(nth_run *run) {
  for (int s = 1; s < NTH_SPACES; s++) {
    if (run->sure.exists[s]) nth_space_open(run, s);
  }
}

/* An I/O error that no call told of is one without consequences: a map in whose place bytes are read and written; what
 * gives back a file that was only read; the removal of a table that was not finished, which the next open removes. No
 * space and no memory may be met by background work, which is tried again. */
static void nth_note(nth_run *run) {
  const uint32_t may = FAULT_BIT(FAULT_MAP) | FAULT_BIT(FAULT_UNMAP) | FAULT_BIT(FAULT_CLOSE);
  const fault_vfs *f = run->scenario->at_target ? run->target : run->f;
  nth_all.runs++;
  nth_all.surfaced += run->surfaced;
  if (run->mode->memory || run->surfaced) return;
  nth_all.absorbed[f->failed_op][f->failed_kind + 1]++;
  bool output = f->failed_op == FAULT_REMOVE && f->failed_kind == FILE_SST;
  bool copy = f->failed_op == FAULT_WRITE && f->failed_kind == FILE_SINGLE; /* of a slot, which is there already */
  bool may_pass = run->mode->rule.status != VARVE_IO || (FAULT_BIT(f->failed_op) & may) != 0 || copy || output;
  if (!may_pass) nth_fail_at(run, "an I/O error was told to nobody", nth_op_names[f->failed_op]);
}

static void nth_prepare(nth_run *run, vfs *disk, vfs *target_disk) {
  fault_rule rule = run->mode->rule;
  rule.nth = 0;
  nth_current = run;
  run->f = nth_place(disk);
  run->target = nth_place(target_disk);
  fault_vfs_arm(run->f, rule);
  fault_vfs_arm(run->target, rule);
  run->f->part_once = run->target->part_once = run->mode->part_once;
  test_allocator_fail(&nth_memory, 0, false);
  atomic_store(&nth_memory.failures, 0);
  run->random = (rng){run->nth};
  run->memory_calls = 0;
  run->now_us = 0;
  run->db = NULL;
  memset(run->space, 0, sizeof run->space);
  run->sure = run->golden_state;
  run->turn = run->golden_turn;
  run->has_maybe = run->was_failed = run->surfaced = run->armed = false;
  run->met_seen = 0;
}

/* False when there are fewer than N calls. */
static bool nth_once(nth_run *run) {
  const nth_scenario *s = run->scenario;
  vfs *disk = nth_copy_disk(run->golden), *target_disk = nth_copy_disk(run->golden_target);
  nth_prepare(run, disk, target_disk);
  if (!s->opens) {
    NTH_OK(run, nth_try_open(run, run->f, false, &run->db));
    nth_handles(run);
  }
  nth_arm(run, true);
  s->body(run);
  nth_arm(run, false);
  nth_read_live(run);
  vfs *killed = nth_copy_disk(disk);
  nth_all.final += run->was_failed;
  nth_arm(run, true);
  nth_close(run);
  nth_arm(run, false);
  bool met = nth_met(run) > 0;
  if (met) nth_note(run);
  if (s->after != NULL) s->after(run);
  if (!s->no_place) {
    nth_check_disk(run, killed, "after a kill", run->nth % 2 == 0);
    nth_check_disk(run, disk, "after the close", run->nth % 2 == 1);
  }
  run->f->inner = disk;
  nth_end_place(run->f, disk);
  nth_end_place(run->target, target_disk);
  TEST_OK(vfs_close_fs(killed));
  assert_int_equal(atomic_load(&nth_disk_memory.used), nth_golden_bytes);
  return met;
}

/* ---- all N ---- */

/* Runs the setup, once. */
static void nth_make_golden(nth_run *run) {
  const nth_scenario *s = run->scenario;
  static const nth_mode none = {.name = "setup", .rule = {.kind = FAULT_ANY_KIND}};
  run->mode = &none;
  run->calm = true;
  memset(&run->golden_state, 0, sizeof run->golden_state);
  run->golden_state.exists[0] = true;
  run->golden_turn = 0;
  run->golden = nth_new_disk();
  run->golden_target = nth_new_disk();
  nth_prepare(run, run->golden, run->golden_target);
  if (s->setup != NULL) {
    nth_open(run, false);
    s->setup(run);
    vfs *killed = nth_copy_disk(run->golden);
    nth_close(run);
    vfs *unused = s->kills ? run->golden : killed;
    if (s->kills) run->golden = killed;
    TEST_OK(vfs_close_fs(unused));
  }
  run->golden_state = run->sure;
  run->golden_turn = run->turn;
  run->calm = false;
  MEM_DELETE(&nth_disk_memory, run->f);
  MEM_DELETE(&nth_disk_memory, run->target);
  nth_golden_bytes = atomic_load(&nth_disk_memory.used);
}

/* A run costs ten times as much with the constants of a release, for its logs have 1 MiB: there a tenth is tried. */
#ifdef VARVE_TINY
enum { NTH_PERCENT = 100 };
#else
enum { NTH_PERCENT = 10 };
#endif

/* How far apart the failures are, and the first: every call is one of them, but when fewer rounds are asked for. */
static uint64_t nth_stride(uint64_t *first) {
  uint32_t percent = test_scale(NTH_PERCENT);
  uint64_t stride = percent >= 100 ? 1 : (100 + percent - 1) / percent;
  static uint64_t drawn;
  rng r = test_rng("fail_nth");
  r.state += drawn++;
  *first = stride == 1 ? 1 : 1 + rng_below(&r, (uint32_t)stride);
  return stride;
}

/* VARVE_NTH=<part of a scenario's name> does these alone. */
static void nth_all_n(nth_layout layout, const nth_scenario *scenario, const nth_mode *modes, size_t mode_count) {
  enum { LARGE_STRIDE = 16 }; /* a run with large values has as many more calls: a sample of it is as long */
  static nth_run run;
  const char *only = getenv("VARVE_NTH");
  if (only != NULL && strstr(scenario->name, only) == NULL) return;
  memset(&run, 0, sizeof run);
  run.layout = layout;
  nth_pieces = 0; /* what a test that failed left */
  run.scenario = scenario;
  nth_make_golden(&run);
  printf("%-9s %-22s", nth_layout_names[layout], scenario->name);
  for (size_t m = 0; m < mode_count; m++) {
    uint64_t runs = 0, stride = nth_stride(&run.nth);
    run.mode = &modes[m];
    if (stride > 1 && scenario->value_size > 0) stride *= LARGE_STRIDE;
    if (stride == 1 && modes[m].every > 0) {
      stride = modes[m].every;
      run.nth = modes[m].first;
    }
    while (nth_once(&run)) {
      run.nth += stride;
      runs++;
    }
    printf(" %s %llu", modes[m].name, (unsigned long long)runs);
    assert_true(runs > 0 || stride > 1 || modes[m].may_be_none);
  }
  printf("\n");
  TEST_OK(vfs_close_fs(run.golden));
  TEST_OK(vfs_close_fs(run.golden_target));
}

/* The handles that are remembered are all that is left, and go as others are closed. */
static void nth_check_shells(void) {
  for (int i = 0; i < 64; i++) {
    varve_db *db;
    varve_options o = {.no_thread = true};
    TEST_OK(varve_open(":memory:", &o, &db));
    TEST_OK(varve_close(db));
  }
  assert_int_equal(atomic_load(&nth_memory.pieces), 64);
  assert_int_equal(atomic_load(&nth_memory.base.used), 64 * sizeof(varve_db));
}

static void nth_print_totals(void) {
  static const char *const kinds[FILE_KINDS + 2] = {"place", "SUPER", "manifest", "log", "table", "single"};
  printf("%llu runs met a failure; in %llu a call said so, in %llu it was final\n", (unsigned long long)nth_all.runs,
         (unsigned long long)nth_all.surfaced, (unsigned long long)nth_all.final);
  for (int op = 0; op < FAULT_OPS; op++) {
    for (int kind = 0; kind < FILE_KINDS + 2; kind++) {
      unsigned long long n = nth_all.absorbed[op][kind];
      if (n > 0) printf("no call said: %s of %s: %llu\n", nth_op_names[op], kinds[kind], n);
    }
  }
}

#endif
