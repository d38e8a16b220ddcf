/* fail_nth_copies.h: backups, restores, conversions and repairs while the Nth call fails, of the database's place or of
 * the other one.
 *
 * A backup that was made stays one while the next fails: its target opens with the old state or the new one. What
 * failed succeeds when it is asked for again, in the same place.
 */
#ifndef VARVE_FAIL_NTH_COPIES_H
#define VARVE_FAIL_NTH_COPIES_H

#include "crash/fail_nth_scenes.h"

#include "lsm/convert.h"
#include "lsm/copy.h"

static struct {
  nth_state state[2];        /* that the target may hold, when `made` */
  bool made, restored, told; /* told: what a repair could not read is in its report */
  vfs *fresh;                /* the place of a restore */
} copies;

typedef int (*copies_way)(env *from, env *to);

static int copies_try_backup(nth_run *run) {
  env *e;
  varve_backup_report report;
  TRY(nth_env(run, run->target, VFS_PLACE_CREATE, &e));
  int rc = lsm_backup(run->db->lsm, e, &report, NULL, NULL);
  ALSO(api_close_env(e));
  return rc;
}

static void copies_backup(nth_run *run) {
  copies.state[1] = run->sure;
  if (!nth_done(run, copies_try_backup(run), "backup")) return;
  copies.state[0] = run->sure;
  copies.made = true;
}

static void copies_setup(nth_run *run) {
  scene_history(run);
  copies_backup(run);
}

static void copies_two_backups(nth_run *run) {
  memset(&copies, 0, sizeof copies);
  copies_backup(run);
  nth_batch(run, 3, 4, false);
  copies_backup(run);
}

/* The target as it is. */
static void copies_check_target(nth_run *run, const nth_state *a, const nth_state *b) {
  nth_state found;
  varve_db *db;
  NTH_OK(run, nth_try_open(run, run->target, true, &db));
  NTH_OK(run, nth_read(run, db, &found));
  if (memcmp(&found, a, sizeof found) != 0 && memcmp(&found, b, sizeof found) != 0) {
    nth_fail_at(run, "backup", "its target holds another state");
  }
  int rc = varve_verify(db, NULL, NULL, NULL);
  /* What a backup that was cut short leaves of the slot that it wrote; the next one mends it. */
  if (a == b || rc != VARVE_CORRUPT || strstr(varve_errmsg(NULL), "this slot is not whole") == NULL) NTH_OK(run, rc);
  NTH_OK(run, varve_close(db));
}

static void copies_after_backups(nth_run *run) {
  nth_run r = *run;
  nth_state found;
  r.calm = true;
  memset(r.space, 0, sizeof r.space);
  if (copies.made) copies_check_target(&r, &copies.state[0], &copies.state[1]);
  NTH_OK(&r, nth_try_open(&r, r.f, false, &r.db));
  NTH_OK(&r, nth_read(&r, r.db, &found));
  NTH_OK(&r, copies_try_backup(&r));
  copies_check_target(&r, &found, &found);
  nth_close(&r);
}

static int copies_try(nth_run *run, fault_vfs *source, fault_vfs *target, copies_way way) {
  env *from, *to;
  TRY(nth_env(run, source, VFS_PLACE_READ_ONLY, &from));
  int rc = nth_env(run, target, VFS_PLACE_CREATE, &to);
  if (rc >= 0) {
    rc = way(from, to);
    ALSO(api_close_env(to));
  }
  ALSO(api_close_env(from));
  return rc;
}

static int copies_way_restore(env *from, env *to) {
  return lsm_restore(from, to, NULL, NULL);
}

static int copies_try_restore(nth_run *run) {
  return copies_try(run, run->target, run->f, copies_way_restore);
}

/* To a fresh place below run->f. */
static void copies_restore(nth_run *run) {
  copies.fresh = nth_new_disk();
  run->f->inner = copies.fresh;
  copies.restored = nth_done(run, copies_try_restore(run), "restore");
  nth_check_released(run, "restore");
}

static void copies_after_restore(nth_run *run) {
  nth_run r = *run;
  nth_state found;
  r.calm = true;
  int rc = copies.restored ? VARVE_EXISTS : copies_try_restore(&r);
  if (rc != VARVE_EXISTS) NTH_OK(&r, rc);
  NTH_OK(&r, nth_try_open(&r, r.f, false, &r.db)); /* whole, although the call that made it may have failed */
  NTH_OK(&r, nth_read(&r, r.db, &found));
  nth_compare(&r, &found, "restored");
  NTH_OK(&r, varve_verify(r.db, NULL, NULL, NULL));
  nth_put(&r, 0, 1, true);
  nth_close(&r);
  TEST_OK(vfs_close_fs(copies.fresh));
}

/* The database's place is read, the other one written. */
static int copies_way_convert(env *from, env *to) {
  return lsm_convert(from, to, NULL, NULL);
}

static int copies_way_repair(env *from, env *to) {
  varve_repair_options none = {0};
  varve_repair_report report;
  TRY(lsm_repair(from, to, &none, &report));
  copies.told = report.losses > 0;
  if (copies.told && nth_current->mode->memory) nth_fail_at(nth_current, "repair", "lack of memory is no loss");
  nth_current->surfaced = true; /* a read that failed is a loss, or was of what is there twice: see the comparison */
  return VARVE_OK;
}

static void copies_convert(nth_run *run) {
  copies.told = false;
  copies.restored = nth_done(run, copies_try(run, run->f, run->target, copies_way_convert), "convert");
  nth_check_released(run, "convert");
}

static void copies_repair(nth_run *run) {
  copies.told = false;
  copies.restored = nth_done(run, copies_try(run, run->f, run->target, copies_way_repair), "repair");
  nth_check_released(run, "repair");
}

static bool copies_is_clear(nth_run *run) {
  env *e;
  NTH_OK(run, nth_env(run, run->f, VFS_PLACE_CREATE, &e));
  bool clear = copy_require_empty(e, "copy") == VARVE_OK;
  NTH_OK(run, api_close_env(e));
  return clear;
}

/* A copy that failed left nothing, so that it can be asked for again, or was there already. Where nothing could be
 * removed any more it left files that are no database, or one with nothing in it; never a part of it. */
static void copies_after_way(nth_run *run, copies_way way) {
  static const nth_state nothing = {.exists = {true}};
  nth_run r = *run;
  nth_state found;
  r.calm = true;
  r.f = run->target;
  if (!copies.restored && copies_is_clear(&r)) {
    NTH_OK(&r, copies_try(&r, run->f, run->target, way));
    copies.restored = true;
  }
  int rc = nth_try_open(&r, r.f, false, &r.db);
  if (!copies.restored && (rc == VARVE_NOT_DATABASE || rc == VARVE_CORRUPT)) return;
  NTH_OK(&r, rc);
  NTH_OK(&r, nth_read(&r, r.db, &found));
  bool none = !copies.restored && memcmp(&found, &nothing, sizeof found) == 0;
  if (!none && !copies.told) nth_compare(&r, &found, "the copy");
  NTH_OK(&r, varve_verify(r.db, NULL, NULL, NULL));
  NTH_OK(&r, varve_put(r.db, VARVE_STR("another"), VARVE_STR("one"), NULL));
  nth_close(&r);
}

static void copies_after_convert(nth_run *run) {
  copies_after_way(run, copies_way_convert);
}

static void copies_after_repair(nth_run *run) {
  copies_after_way(run, copies_way_repair);
}

static const nth_scenario nth_copies[] = {
    {.name = "backup", .setup = scene_history, .body = copies_two_backups, .after = copies_after_backups},
    {.name = "backup, target",
     .setup = scene_history,
     .body = copies_two_backups,
     .after = copies_after_backups,
     .at_target = true},
    {.name = "restore",
     .setup = copies_setup,
     .body = copies_restore,
     .after = copies_after_restore,
     .opens = true,
     .no_place = true},
    {.name = "restore, backup",
     .setup = copies_setup,
     .body = copies_restore,
     .after = copies_after_restore,
     .opens = true,
     .no_place = true,
     .at_target = true},
    {.name = "convert",
     .setup = scene_logs,
     .body = copies_convert,
     .after = copies_after_convert,
     .opens = true,
     .kills = true},
    {.name = "convert, target",
     .setup = scene_logs,
     .body = copies_convert,
     .after = copies_after_convert,
     .opens = true,
     .kills = true,
     .at_target = true},
    {.name = "repair", .setup = scene_history, .body = copies_repair, .after = copies_after_repair, .opens = true},
    {.name = "repair, target",
     .setup = scene_history,
     .body = copies_repair,
     .after = copies_after_repair,
     .opens = true,
     .at_target = true},
};

#endif
