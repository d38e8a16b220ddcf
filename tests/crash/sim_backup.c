/* sim_backup.c: backups to a second simulated disk while the database is written, with crashes and faults of that disk;
 * each is opened and compared, and some are restored to a third one.
 */
#include "sim_run.h"

typedef struct keep_watch {
  sim_run *run;
  rng *g;
  bool single;
  uint64_t seed;
  const sim_commit *before, *now; /* states that the backup may show; before = NULL: there was none */
} keep_watch;

/* Reads go on and so do writes. */
static int keep_progress(void *context, uint64_t done, uint64_t total) {
  keep_watch *b = context;
  (void)done;
  (void)total;
  if (b->run->world->failed || !rng_percent(b->g, 15) || b->run->history.issued + 2 >= SIM_COMMITS) return 0;
  b->run->world->counts.reached[SIM_COUNT_backup_beside_writes]++;
  sim_op put = {.kind = SIM_OP_put};
  sim_op_run(b->run, &put, b->g);
  return 0;
}

/* Opens what is on a backup's disk and compares it with the two states that are right. */
static void keep_look(const keep_watch *b, sim_disk *disk, const sim_commit *before, const sim_commit *now) {
  sim_run *r = b->run;
  sim_session s;
  sim_plan plan = *r->plan;
  plan.single = b->single;
  int rc = sim_session_open(&s, disk, &plan, true, b->seed);
  sim_trace(r->world, "backup open", (uint64_t)(rc & 0xffff), b->seed, 0, NULL, 0);
  if (rc < 0) {
    bool nothing_yet = rc == VARVE_MISSING || rc == VARVE_CORRUPT || rc == VARVE_NOT_DATABASE;
    if (before != NULL || !nothing_yet) {
      (void)sim_fail(r->world, "backup", "a backup cannot be opened: %s: %s", varve_status_name(rc),
                     varve_errmsg(NULL));
    }
    (void)sim_session_clean(&s, "opening a backup");
    return;
  }
  uint64_t seq = atomic_load(&s.db->lsm->last_seq);
  const sim_commit *state = now != NULL && seq == now->seq ? now : before != NULL && seq == before->seq ? before : NULL;
  if (state == NULL) {
    (void)sim_fail(r->world, "backup", "a backup stands at sequence %llu", (unsigned long long)seq);
  } else {
    (void)sim_check_state(&r->checker, s.db, &state->after, false, &rc);
  }
  rc = sim_session_close(&s);
  if (rc < 0) (void)sim_fail(r->world, "backup", "closing a backup: %s", varve_errmsg(NULL));
}

static void keep_hook(void *context, sim_disk *disk, sim_call call, bool after) {
  keep_watch *b = context;
  sim_run *r = b->run;
  (void)call;
  if (r->in_image || r->world->failed || r->plan->op[r->op].no_images || !rng_percent(b->g, after ? 20 : 5)) return;
  char message[STATUS_MESSAGE_SIZE];
  status_keep_message(message);
  r->in_image = true;
  r->world->counts.images++;
  r->world->counts.reached[SIM_COUNT_backup_images]++;
  sim_disk *image = sim_disk_crash(disk, b->g, (sim_mode)rng_below(b->g, SIM_MODES));
  keep_look(b, image, b->before, b->now);
  sim_disk_destroy(image);
  r->in_image = false;
  status_set_message(message);
}

/* A new database from the backup. */
static void keep_restore(const keep_watch *b, const sim_commit *state) {
  sim_run *r = b->run;
  sim_session from, to;
  env *a = NULL, *z = NULL;
  sim_disk *disk = sim_disk_create(r->world, r->plan->traits);
  int rc = sim_session_env(&from, r->backup_disk, b->single, VFS_PLACE_READ_ONLY, 1, &a);
  if (rc >= 0) rc = sim_session_env(&to, disk, !b->single && r->plan->single, VFS_PLACE_CREATE, 2, &z);
  if (rc >= 0) rc = lsm_restore(a, z, NULL, NULL);
  if (a != NULL) ALSO(api_close_env(a));
  if (z != NULL) ALSO(api_close_env(z));
  if (rc < 0) {
    (void)sim_fail(r->world, "restore", "%s: %s", varve_status_name(rc), varve_errmsg(NULL));
  } else if (sim_session_clean(&from, "a restore") && sim_session_clean(&to, "a restore")) {
    rng g = {b->seed};
    sim_disk *cut = sim_disk_crash(disk, &g, SIM_NONE);
    keep_watch look = *b;
    look.single = !b->single && r->plan->single;
    keep_look(&look, cut, state, NULL);
    sim_disk_destroy(cut);
    r->world->counts.reached[SIM_COUNT_restores]++;
  }
  sim_disk_destroy(disk);
}

static int keep_make(sim_run *r, keep_watch *b, const sim_fault *fault, bool *struck) {
  sim_session s;
  env *e;
  varve_backup_report report;
  uint64_t before = r->backup_disk->faults;
  r->backup_disk->before = keep_hook;
  r->backup_disk->context = b;
  if (fault->kind != SIM_FAULT_none) sim_disk_arm(r->backup_disk, fault);
  int rc = sim_session_env(&s, r->backup_disk, b->single, VFS_PLACE_CREATE, b->seed, &e);
  if (rc >= 0) {
    rc = lsm_backup(r->session.db->lsm, e, &report, keep_progress, b);
    ALSO(api_close_env(e));
    char message[STATUS_MESSAGE_SIZE];
    status_keep_message(message);
    (void)sim_session_clean(&s, "a backup");
    status_set_message(message);
  }
  r->backup_disk->before = NULL;
  sim_disk_disarm(r->backup_disk);
  *struck = r->backup_disk->faults > before;
  return rc;
}

static void keep_forget(sim_run *r) {
  sim_disk_destroy(r->backup_disk);
  r->backup_disk = NULL;
  r->backup_seq = 0;
}

void sim_backup_run(sim_run *r, rng *g) {
  /* After a lie the database may have lost what its backup holds and counted on from there. */
  if (r->disk->weak && r->backup_history != r->crashes) keep_forget(r);
  if (r->backup_disk == NULL) r->backup_disk = sim_disk_create(r->world, r->plan->traits);
  sim_commit now = r->history.commit[r->history.issued], before = r->backup_commit;
  keep_watch b = {.run = r, .g = g, .seed = rng_next(g), .now = &now};
  b.single = r->plan->single && r->plan->seed % 2 == 0;
  if (r->backup_seq != 0) b.before = &before;
  sim_fault fault = {.kind = SIM_FAULT_none, .nth = 1 + rng_below(g, 20), .seed = rng_next(g)};
  if (rng_percent(g, 20)) fault.kind = (sim_fault_kind)(SIM_FAULT_read + rng_below(g, 6));
  bool struck;
  int rc = keep_make(r, &b, &fault, &struck);
  sim_trace(r->world, "backup", (uint64_t)(rc & 0xffff), now.seq, 0, NULL, 0);
  if (r->world->failed) return;
  if (rc < 0) {
    bool other = rc == VARVE_EXISTS && r->backup_seq != 0 && r->backup_history != r->crashes;
    if (!struck && !other) (void)sim_run_may_fail(r, rc, "backup");
    sim_disk *cut = sim_disk_crash(r->backup_disk, g, (sim_mode)rng_below(g, SIM_MODES));
    keep_look(&b, cut, b.before, b.now);
    sim_disk_destroy(cut);
    keep_forget(r);
    return;
  }
  r->world->counts.reached[r->backup_seq != 0 ? SIM_COUNT_backups_updated : SIM_COUNT_backups]++;
  r->backup_seq = MAX(now.seq, (uint64_t)1);
  r->backup_commit = now;
  r->backup_history = r->crashes;
  sim_disk *cut = sim_disk_crash(r->backup_disk, g, SIM_NONE); /* said OK: on stable storage */
  sim_disk_destroy(r->backup_disk);
  r->backup_disk = cut;
  keep_look(&b, cut, &now, NULL);
  if (!r->world->failed && rng_percent(g, 30)) keep_restore(&b, &now);
  if (r->world->failed) return;
  /* The backup flushed. */
  sim_history *h = &r->history;
  for (uint32_t i = h->acked; i <= h->issued; i++) {
    if (h->commit[i].seq <= now.seq) h->acked = MAX(h->acked, i);
  }
}
