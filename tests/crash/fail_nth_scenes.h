/* fail_nth_scenes.h: what is done while the Nth call fails: short histories that together come through every path of
 * the engine that reads, writes or takes memory.
 */
#ifndef VARVE_FAIL_NTH_SCENES_H
#define VARVE_FAIL_NTH_SCENES_H

#include "crash/fail_nth_calls.h"

/* ---- what a place holds before ---- */

/* Tables in several levels, tombstones among them, and a log. */
static void scene_history(nth_run *run) {
  nth_space_open(run, 1);
  nth_batch(run, 0, 12, false);
  nth_flush(run);
  nth_work(run);
  nth_batch(run, 8, 12, true);
  nth_range(run, 0, 3, 6, false);
  nth_flush(run);
  nth_work(run);
  nth_delete(run, 1, 9, false);
  nth_put(run, 0, 2, false);
  nth_flush(run);
  nth_batch(run, 14, 6, false);
  nth_put(run, 0, 23, true);
}

static void scene_little(nth_run *run) {
  nth_put(run, 0, 0, false);
}

/* A full memtable's log is followed by another one. */
static void scene_rotate(nth_run *run) {
  if (run->db == NULL) return;
  lsm *l = run->db->lsm;
  mutex_lock(&l->commit_lock);
  int rc = lsm_check_failed(l);
  if (rc >= 0) rc = work_make_room(l);
  if (rc >= 0) rc = lsm_rotate(l);
  mutex_unlock(&l->commit_lock);
  (void)nth_done(run, rc, "rotate");
}

/* Three logs to replay, the last one with a frame that was cut short. */
static void scene_logs(nth_run *run) {
  scene_history(run);
  scene_rotate(run);
  nth_batch(run, 4, 4, false);
  scene_rotate(run);
  nth_range(run, 1, 10, 13, false);
  nth_put(run, 1, 0, false);
  uint8_t torn[48];
  memset(torn, 0x17, sizeof torn);
  memset(torn + 1, 0, 3);
  lsm *l = run->db->lsm;
  vfs_file *file;
  NTH_OK(run, vfs_open(l->env->fs, FILE_WAL, wal_file_number(l->wal), VFS_WRITE, &file));
  NTH_OK(run, vfs_write_at(file, wal_end(l->wal), torn, sizeof torn));
  NTH_OK(run, vfs_close(file));
}

/* ---- what is done ---- */

static void scene_create(nth_run *run) {
  nth_open(run, false);
  nth_space_open(run, 1);
  nth_put(run, 0, 0, false);
  nth_batch(run, 1, 3, true);
}

static void scene_open(nth_run *run) {
  nth_open(run, false);
  nth_space_open(run, 1);
  nth_read_live(run);
  nth_put(run, 0, 7, false);
  nth_put(run, 1, 7, true);
}

static void scene_read_only(nth_run *run) {
  uint64_t before = 0, after = 0;
  for (int op = 0; op < FAULT_OPS; op++) before += (FAULT_CHANGING >> op & 1) * atomic_load(&run->f->calls[op]);
  nth_open(run, true);
  nth_space_open(run, 1);
  nth_read_live(run);
  nth_verify(run);
  for (int op = 0; op < FAULT_OPS; op++) after += (FAULT_CHANGING >> op & 1) * atomic_load(&run->f->calls[op]);
  if (before != after) nth_fail_at(run, "read-only", "something was written");
}

static void scene_commits(nth_run *run) {
  nth_put(run, 0, 0, false);
  nth_put(run, 1, 1, true);
  nth_delete(run, 0, 2, false);
  nth_batch(run, 3, 5, false);
  nth_range(run, 0, 4, 7, false);
  nth_batch(run, 6, 5, true);
  nth_range(run, 1, 2, 9, true);
  nth_sync(run);
  nth_delete(run, 0, 8, true);
  nth_put(run, 0, 3, false);
}

static void scene_reads(nth_run *run) {
  nth_read_live(run);
  uint64_t count;
  varve_iter_options o = {.prefix = VARVE_STR("key")};
  if (nth_done(run, varve_count(run->db, &o, &count), "count")) assert_true(count > 0);
  nth_verify(run);
}

static void scene_flush(nth_run *run) {
  nth_batch(run, 0, 4, false);
  nth_flush(run);
  nth_put(run, 0, 5, true);
  nth_flush(run);
  nth_put(run, 0, 6, false);
  scene_rotate(run);
  nth_put(run, 1, 6, false);
  nth_flush(run);
  nth_put(run, 0, 7, false);
}

static void scene_compact(nth_run *run) {
  for (uint32_t i = 0; i < 3; i++) {
    nth_batch(run, 5 * i, 8, false);
    nth_flush(run);
    nth_work(run);
  }
  nth_range(run, 0, 0, 15, false);
  nth_flush(run);
  nth_work(run);
  nth_batch(run, 20, 3, false);
  nth_compact(run);
  nth_put(run, 0, 1, true);
}

/* The tables of two flushes do not overlap, and change their level as they are. */
static void scene_move(nth_run *run) {
  for (uint32_t i = 0; i < NTH_KEYS; i += 6) {
    nth_put(run, 0, i, false);
    nth_put(run, 0, i + 3, false);
    nth_flush(run);
  }
  nth_work(run);
  nth_put(run, 0, 1, true);
}

static void scene_spaces(nth_run *run) {
  nth_space_open(run, 2);
  nth_put(run, 2, 3, false);
  nth_batch(run, 1, 3, true);
  nth_space_drop(run, 1);
  nth_space_open(run, 1);
  nth_put(run, 1, 4, false);
  nth_space_drop(run, 2);
  nth_flush(run);
}

/* What a snapshot and an iterator see stays what it was. */
static void scene_check_snapshot(nth_run *run, const varve_snapshot *snapshot, const nth_state *then) {
  uint8_t turns[NTH_KEYS];
  for (int s = 0; s < 2; s++) {
    if (!nth_done(run, nth_read_space(run, run->db, s, snapshot, turns), "read a snapshot")) continue;
    if (memcmp(turns, then->turn[s], sizeof turns) != 0) nth_fail_at(run, "snapshot", "it changed");
  }
}

static void scene_iterate(nth_run *run, varve_iter *it, int rc, const nth_state *then) {
  uint32_t wanted = 0, found = 0;
  for (int i = 0; i < NTH_KEYS; i++) wanted += then->turn[0][i] > 0;
  for (; rc == VARVE_OK; rc = varve_iter_next(it)) {
    uint32_t i = nth_key_number(run, varve_iter_key(it));
    if (nth_turn_of(run, 0, i, varve_iter_value(it)) != then->turn[0][i]) nth_fail_at(run, "iterator", "it changed");
    found++;
  }
  if (nth_done(run, rc, "next") && found != wanted) nth_fail_at(run, "iterator", "entries are missing");
}

static void scene_snapshot(nth_run *run) {
  varve_snapshot *snapshot = NULL;
  varve_iter *it = NULL;
  nth_state then = run->sure;
  if (!nth_done(run, varve_snapshot_open(run->db, &snapshot), "snapshot_open")) snapshot = NULL;
  int rc = varve_iter_open(run->db, NULL, &it);
  if (rc >= 0) rc = varve_iter_first(it);
  if (!nth_done(run, rc, "iter_first")) {
    varve_iter_close(it);
    it = NULL;
  }
  nth_batch(run, 0, 9, false);
  nth_range(run, 0, 10, 16, false);
  nth_compact(run);
  if (snapshot != NULL) scene_check_snapshot(run, snapshot, &then);
  if (it != NULL) scene_iterate(run, it, rc, &then);
  varve_iter_close(it);
  nth_put(run, 0, 2, false);
  nth_flush(run);
  if (snapshot != NULL) scene_check_snapshot(run, snapshot, &then);
  varve_snapshot_close(snapshot);
  nth_compact(run);
}

static void scene_manifest(nth_run *run) {
  for (int i = 0; i < 2; i++) {
    lsm *l = run->db->lsm;
    nth_put(run, 0, 1, false);
    mutex_lock(&l->step_lock);
    int rc = lsm_check_failed(l);
    if (rc >= 0) rc = work_new_manifest(l);
    mutex_unlock(&l->step_lock);
    (void)nth_done(run, rc, "new manifest");
    nth_flush(run);
  }
  nth_put(run, 0, 2, true);
}

static const nth_scenario nth_scenarios[] = {
    {.name = "create", .body = scene_create, .opens = true},
    {.name = "open", .setup = scene_history, .body = scene_open, .opens = true},
    {.name = "open after a kill", .setup = scene_logs, .body = scene_open, .opens = true, .kills = true},
    {.name = "open read-only", .setup = scene_logs, .body = scene_read_only, .opens = true, .kills = true},
    {.name = "commits", .setup = scene_history, .body = scene_commits},
    {.name = "commits, replayed logs", .setup = scene_logs, .body = scene_commits, .kills = true},
    {.name = "commits, timed syncs", .setup = scene_history, .body = scene_commits, .sync_interval_ms = 1},
    {.name = "reads", .setup = scene_history, .body = scene_reads},
    {.name = "flush", .setup = scene_history, .body = scene_flush},
    {.name = "compact", .setup = scene_history, .body = scene_compact},
    {.name = "compact, large", .setup = scene_history, .body = scene_compact, .value_size = 3000},
    {.name = "move", .setup = scene_little, .body = scene_move},
    {.name = "keyspaces", .setup = scene_history, .body = scene_spaces},
    {.name = "snapshot", .setup = scene_history, .body = scene_snapshot},
    {.name = "new manifest", .setup = scene_history, .body = scene_manifest},
};

#endif
