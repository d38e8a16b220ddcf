/* sim_run.c: the life of one database: opened, used, closed, killed, cut off from power, opened again. */
#include "sim_run.h"

#include <stdio.h>

enum { RUN_STREAM_OP = 20, RUN_STREAM_IMAGES = 21, RUN_STREAM_IMAGE = 22, RUN_STREAM_SESSION = 23 };

/* ---- images ---- */

static void run_hook(void *context, sim_disk *disk, sim_call call, bool after) {
  sim_run *r = context;
  uint32_t percent = after ? r->plan->after_sync_percent : r->plan->image_percent;
  (void)call;
  if (r->in_image || r->over || r->world->failed) return;
  sim_build_advance(r, false);
  if (r->plan->op[r->op].no_images) return;
  if (!rng_percent(&r->images, percent)) return;
  if (after) r->world->counts.reached[SIM_COUNT_images_after_sync]++;
  sim_run_image(r, disk);
}

void sim_run_image(sim_run *r, sim_disk *disk) {
  static const sim_count modes[SIM_MODES] = {SIM_COUNT_images_none, SIM_COUNT_images_kill, SIM_COUNT_images_prefix,
                                             SIM_COUNT_images_subset};
  static const sim_mode weights[8] = {SIM_NONE,   SIM_KILL,   SIM_PREFIX, SIM_PREFIX,
                                      SIM_SUBSET, SIM_SUBSET, SIM_SUBSET, SIM_SUBSET};
  const sim_history *h = &r->history;
  uint64_t number = ++r->image;
  if (r->only_image != 0 && number != r->only_image) return;
  rng g = sim_plan_rng(r->plan, RUN_STREAM_IMAGE, (uint32_t)number);
  sim_mode mode = weights[rng_below(&g, 8)];
  char message[STATUS_MESSAGE_SIZE];
  status_keep_message(message); /* the engine is in the middle of something */
  r->in_image = true;
  r->world->counts.reached[modes[mode]]++;
  if (h->issued == 0) r->world->counts.reached[SIM_COUNT_images_in_creation]++;
  sim_trace(r->world, "image", number, (uint64_t)mode, 0, NULL, 0);
  sim_disk *image = sim_disk_crash(disk, &g, mode);
  sim_expect e = {.low = mode == SIM_KILL && !disk->sync_failed ? h->returned : h->acked,
                  .high = h->pending ? h->issued + 1 : h->issued,
                  .durable = h->acked,
                  .ghosts = true,
                  .weak = image->weak};
  if (image->weak) e.low = e.durable = 0;
  sim_check_image(&r->checker, image, mode, e, rng_next(&g), 0);
  if (r->world->failed) {
    char why[SIM_WHY_SIZE];
    (void)snprintf(why, sizeof why, "%s", r->world->why);
    (void)snprintf(r->world->why, sizeof r->world->why, "image %llu (%s) in operation %u (%s): %.600s",
                   (unsigned long long)number, sim_mode_names[mode], (unsigned)r->op,
                   r->op == SIM_OPS_MAX ? "creation" : sim_op_names[r->plan->op[r->op].kind], why);
  }
  r->in_image = false;
  status_set_message(message);
}

/* ---- what may fail ---- */

bool sim_run_may_any_fail(const sim_run *r) {
  bool failed = r->session.db != NULL && atomic_load(&r->session.db->lsm->failed) != 0;
  return r->disk->weak || r->full || failed || r->disk->sync_failed || r->disk->faults > r->faults_seen;
}

bool sim_run_may_fail(sim_run *r, int status, const char *what) {
  bool failed = r->session.db != NULL && atomic_load(&r->session.db->lsm->failed) != 0;
  bool struck = r->disk->faults > r->faults_seen || r->full || r->disk->sync_failed;
  if (r->world->failed || r->disk->weak) return true;
  if (status == VARVE_FAILED && failed) return true;
  if ((status == VARVE_IO || status == VARVE_FULL) && struck) return true;
  return sim_fail(r->world, "status", "operation %u: %s: %s: %s", (unsigned)r->op, what, varve_status_name(status),
                  varve_errmsg(NULL));
}

/* ---- commits ---- */

void sim_run_committed(sim_run *r, int rc, uint32_t operations, bool strict) {
  sim_history *h = &r->history;
  sim_trace(r->world, "commit", (uint64_t)(rc & 0xffff), h->issued, operations, NULL, 0);
  uint64_t before = h->commit[h->issued].seq, seq = atomic_load(&r->session.db->lsm->last_seq);
  bool failed = atomic_load(&r->session.db->lsm->failed) != 0;
  r->world->counts.reached[SIM_COUNT_commits]++;
  if (seq != before && seq != before + operations) {
    (void)sim_fail(r->world, "sequence", "operation %u: the sequence went from %llu to %llu with %u changes",
                   (unsigned)r->op, (unsigned long long)before, (unsigned long long)seq, (unsigned)operations);
  } else if (rc >= 0 && seq == before) {
    (void)sim_fail(r->world, "sequence", "operation %u: a commit said OK and did nothing", (unsigned)r->op);
  } else if (rc < 0 && sim_run_may_fail(r, rc, "commit") && seq == before) {
    r->world->counts.reached[failed ? SIM_COUNT_writes_refused_after_failure : SIM_COUNT_commit_failed_unapplied]++;
    sim_history_failed(h);
    sim_touched_now(r, false);
    return;
  } else if (rc < 0 && !failed) {
    (void)sim_fail(r->world, "failed commit", "operation %u: a commit failed (%s), is visible, and writes go on",
                   (unsigned)r->op, varve_status_name(rc));
  }
  sim_history_applied(h);
  sim_touched_now(r, true);
  sim_run_observe(r);
  if (rc < 0) r->world->counts.reached[SIM_COUNT_commit_failed_in_doubt]++;
  if (rc < 0) return;
  if (strict) sim_history_synced(h, true);
  if (strict) r->world->counts.reached[SIM_COUNT_strict_commits]++;
}

/* ---- opening and restarting ---- */

static bool run_open_spaces(sim_run *r) {
  const sim_state *now = &r->history.commit[r->history.issued].after;
  for (uint32_t i = 1; i < SIM_SPACES; i++) {
    r->space[i] = NULL;
    if (!now->made[i]) continue;
    int rc = varve_keyspace_open(r->session.db, sim_space_name(i), &r->space[i]);
    if (rc < 0 && !sim_run_may_fail(r, rc, "keyspace_open")) return false;
    if (rc < 0) return false;
  }
  return true;
}

static void run_forget(sim_run *r) {
  r->age = (sim_age){0};
  memset(&r->stats, 0, sizeof r->stats);
  memset(r->seen_files, 0, sizeof r->seen_files);
  r->seen_log = wal_log_number(r->session.db->lsm->wal);
  r->seen_manifest = r->session.db->lsm->root.manifest;
}

bool sim_run_open(sim_run *r) {
  rng g = sim_plan_rng(r->plan, RUN_STREAM_SESSION, r->sessions++);
  r->disk->before = run_hook;
  r->disk->context = r;
  int rc = sim_session_open(&r->session, r->disk, r->plan, false, rng_next(&g));
  sim_trace(r->world, "opened", (uint64_t)(rc & 0xffff), r->sessions, 0, NULL, 0);
  if (rc < 0) {
    char message[STATUS_MESSAGE_SIZE];
    status_keep_message(message);
    if (!sim_session_clean(&r->session, "an open that failed")) return false;
    status_set_message(message);
    r->session.db = NULL;
    return sim_run_may_fail(r, rc, "open") && false;
  }
  run_forget(r);
  return true;
}

/* Finds out where the database stands after a crash, and goes on from there. */
static void run_find(sim_run *r, const sim_expect *e, bool durable, rng *g) {
  sim_found found;
  int rc = VARVE_OK;
  bool same = sim_check_find(&r->checker, r->session.db, e, &found, true, &rc);
  if (!same && rc < 0 && sim_run_may_fail(r, rc, "reading after an open") && !e->weak) {
    sim_disk_disarm(r->disk);
    r->faults_seen = r->disk->faults;
    same = sim_check_find(&r->checker, r->session.db, e, &found, false, &rc);
  }
  if (!same) {
    r->over = true; /* a lie was found out, or the run has failed */
    return;
  }
  /* A lie lost something: what was written since may come back later, in another history. */
  if (e->weak && found.at < r->history.issued) {
    r->over = true;
    return;
  }
  sim_history_rewind(&r->history, found.at, found.ghost, durable);
  if (!run_open_spaces(r) || !sim_index_open_all(r, g)) r->over = true;
}

/* Opens, with patience for the faults that are still armed: three times, then without them. */
static bool run_open_again(sim_run *r) {
  for (uint32_t tries = 0; tries < 4 && !r->world->failed; tries++) {
    if (tries == 3) sim_disk_disarm(r->disk);
    if (sim_run_open(r)) return true;
    if (r->disk->weak) return false;
    if (!r->disk->sync_failed) continue;
    rng none = {0}; /* what is dirty and what is not cannot be told any more */
    sim_disk *next = sim_disk_crash(r->disk, &none, SIM_KILL);
    sim_disk_destroy(r->disk);
    r->disk = next;
    r->crashes++;
  }
  return false;
}

void sim_run_restart(sim_run *r, int mode, rng *g) {
  sim_history *h = &r->history;
  bool was_failed = atomic_load(&r->session.db->lsm->failed) != 0;
  sim_disk *next = mode < SIM_MODES ? sim_disk_crash(r->disk, g, (sim_mode)mode) : NULL;
  bool kept = next == NULL || (mode == SIM_KILL && !r->disk->sync_failed);
  sim_expect e = {.low = kept ? h->returned : h->acked, .high = h->issued, .durable = h->acked, .ghosts = true};
  sim_reads_close(r, !was_failed && next == NULL);
  sim_txn_close_all(r, !was_failed && next == NULL, next != NULL);
  memset(&r->touched, 0, sizeof r->touched);
  r->built_seq = 0;
  if (next != NULL) r->disk->before = NULL;
  int rc = sim_session_close(&r->session);
  sim_trace(r->world, "closed", (uint64_t)(rc & 0xffff), (uint64_t)mode, 0, NULL, 0);
  if (next == NULL && rc < 0 && !was_failed && (rc != VARVE_FAILED || r->disk->faults == r->faults_seen)) {
    (void)sim_run_may_fail(r, rc, "close");
  }
  if (next == NULL && rc >= 0) sim_history_synced(h, true);
  if (next == NULL && r->disk->sync_failed) {
    next = sim_disk_crash(r->disk, g, SIM_KILL);
    e.low = h->acked;
  }
  if (next == NULL && rc >= 0) e.low = e.durable = h->acked;
  if (next != NULL) {
    sim_disk_destroy(r->disk);
    r->disk = next;
    r->crashes++;
    h->returned = e.low; /* until it is open again and we know */
  }
  if (r->world->failed) return;
  e.weak = r->disk->weak;
  if (e.weak) e.low = h->returned = h->acked = 0;
  r->full = false;
  if (!run_open_again(r)) {
    r->over = true;
    return;
  }
  run_find(r, &e, next != NULL && mode != SIM_KILL && mode < SIM_MODES, g);
}

/* ---- the run ---- */

static void run_arm(sim_run *r, const sim_op *op) {
  r->faults_seen = r->disk->faults;
  if (r->full && op->fault.kind == SIM_FAULT_none) {
    rng g = sim_plan_rng(r->plan, RUN_STREAM_OP + 100, r->op);
    if (!rng_percent(&g, 30)) return;
    sim_disk_disarm(r->disk);
    r->full = false;
    if (atomic_load(&r->session.db->lsm->failed) == 0) r->world->counts.reached[SIM_COUNT_space_came_back]++;
  }
  if (op->fault.kind == SIM_FAULT_none) return;
  sim_disk_arm(r->disk, &op->fault);
  r->full = r->full || op->fault.kind == SIM_FAULT_full;
}

/* Begins a new log, as a commit does that finds the memtable full. */
static void run_rotate(sim_run *r) {
  lsm *l = r->session.db->lsm;
  int rc = lsm_check_failed(l);
  mutex_lock(&l->commit_lock);
  bool any = memtable_entries(l->active) + memtable_range_deletes(l->active) > 0;
  if (rc >= 0 && any) rc = work_make_room(l);
  if (rc >= 0 && any) rc = lsm_rotate(l);
  mutex_unlock(&l->commit_lock);
  sim_trace(r->world, "rotate", (uint64_t)(rc & 0xffff), any, 0, NULL, 0);
  sim_run_observe(r);
  if (rc < 0) (void)sim_run_may_fail(r, rc, "rotate");
}

static void run_operation(sim_run *r, uint32_t i) {
  const sim_op *op = &r->plan->op[i];
  rng g = sim_plan_rng(r->plan, RUN_STREAM_OP, i);
  r->op = i;
  r->images = sim_plan_rng(r->plan, RUN_STREAM_IMAGES, i);
  run_arm(r, op);
  sim_trace(r->world, sim_op_names[op->kind], i, (uint64_t)op->kind, r->history.issued, NULL, 0);
  /* After a failure the database is for reading only: some more operations meet that, then it is opened again. */
  bool useless = atomic_load(&r->session.db->lsm->failed) != 0 || r->disk->sync_failed;
  if (useless && rng_percent(&g, 40)) {
    static const int ways[4] = {SIM_MODES, SIM_KILL, SIM_NONE, SIM_SUBSET};
    sim_run_restart(r, ways[rng_below(&g, 4)], &g);
  } else {
    uint32_t ghosts = r->history.ghost_count;
    sim_op_run(r, op, &g);
    /* What a failed commit left at the end of a log meets the next log. */
    bool ghost = r->history.ghost_count > ghosts && !r->world->failed && !r->over;
    if (ghost && rng_percent(&g, 50)) run_rotate(r);
  }
  if (r->world->failed || r->over) return;
  sim_run_observe(r);
  r->world->counts.operations++;
  if (op->no_images || !rng_percent(&r->images, r->plan->between_percent)) return;
  r->world->counts.reached[SIM_COUNT_images_between_calls]++;
  sim_run_image(r, r->disk);
}

static void run_end(sim_run *r) {
  if (r->session.db != NULL) {
    bool check = !r->world->failed && !r->over && !sim_run_may_any_fail(r);
    sim_reads_close(r, check);
    sim_txn_close_all(r, check, false);
    r->faults_seen = 0;
    int rc = sim_session_close(&r->session);
    if (rc < 0 && rc != VARVE_FAILED && !r->world->failed) (void)sim_run_may_fail(r, rc, "the last close");
  }
  sim_disk_destroy(r->disk);
  sim_disk_destroy(r->backup_disk);
  if (!r->world->failed && r->world->disks.pieces != 0) {
    (void)sim_fail(r->world, "leak", "the simulated disks left %llu pieces",
                   (unsigned long long)r->world->disks.pieces);
  }
}

void sim_run_plan(sim_run *r, sim_world *w, const sim_plan *plan, uint64_t only_image) {
  memset(r, 0, sizeof *r);
  r->world = w;
  r->plan = plan;
  r->only_image = only_image;
  sim_history_init(&r->history, plan->seed);
  r->checker = (sim_checker){w, plan, &r->history, &r->session.db};
  sim_index_init(r);
  r->disk = sim_disk_create(w, plan->traits);
  r->op = SIM_OPS_MAX;
  r->images = sim_plan_rng(plan, RUN_STREAM_IMAGES, r->op);
  bool open = sim_run_open(r);
  for (uint32_t i = 0; open && i < plan->count && !w->failed && !r->over; i++) {
    if (!plan->op[i].left_out) run_operation(r, i);
  }
  run_end(r);
  w->counts.seeds++;
}
