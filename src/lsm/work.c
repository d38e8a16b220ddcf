/* work.c: background work as a bounded, resumable state machine, and the thread that calls it.
 *
 * A step does, in this order of urgency: let go of old views and remove dead files; flush the oldest immutable
 * memtable; go on with the compaction, or pick the next; begin a new manifest when the old one is long. A flush
 * that becomes due goes ahead of a compaction that is under way.
 *
 * Failures: a failed sync or manifest is final (lsm_fail). FULL and NOMEM may pass: the job is dropped, nothing is
 * lost (its inputs are all there), the status is kept for the writers that wait and the work is tried again. A table
 * that cannot be read stops compactions, not flushes and reads.
 *
 * Order of a publication: outputs synced (job) → their names synced → edit in the manifest, synced → view swapped →
 * inputs removed.
 */
#include "lsm/lsm_int.h"

#define WORK_SLICE    (1 * MiB) /* one turn of the thread: it looks at the clock in between */
#define WORK_RETRY_US 200000    /* after a failure that may pass */

static void work_set_status(lsm *l, int status) {
  mutex_lock(&l->state_lock);
  l->step_status = status;
  if (status < 0) status_keep_message(l->step_message);
  cond_broadcast(&l->state_changed);
  mutex_unlock(&l->state_lock);
}

/* ---- publication ---- */

INTERNAL int work_new_manifest(lsm *l) {
  manifest *fresh = NULL;
  uint64_t number = lsm_new_number(l), before = l->root.manifest;
  version *current = atomic_load(&l->view)->current; /* only the stepper changes it */
  mutex_lock(&l->state_lock);
  view *v = atomic_load(&l->view);
  uint64_t oldest = v->immutable_count > 0 ? l->memtable_log[v->immutable_count - 1] : l->active_log;
  mutex_unlock(&l->state_lock);
  uint64_t flushed_seq = 0;
  for (uint32_t level = 0; level < LEVELS; level++) {
    for (uint32_t i = 0; i < current->level[level].count; i++) {
      flushed_seq = MAX(flushed_seq, current->level[level].tables[i]->seq_max);
    }
  }
  manifest_state state = {.current = current,
                          .log_min = oldest,
                          .next_number = atomic_load(&l->next_number),
                          .last_seq = MAX(flushed_seq, l->flushed_seq)};
  TRY(manifest_create(l->env, &l->root, number, &state, &fresh));
  super root = l->root;
  root.manifest = number;
  int rc = super_write(l->env, &root);
  if (rc < 0) {
    (void)manifest_close(fresh);
    /* Either slot may be the one that counts now, but for a failure before anything was written. */
    return rc == VARVE_NOMEM ? rc : lsm_fail(l, rc);
  }
  l->root = root;
  rc = manifest_close(l->manifest);
  l->manifest = fresh;
  int again = super_write(l->env, &l->root); /* in the other slot, too: then one damaged slot loses nothing */
  if (again < 0 && again != VARVE_NOMEM) return lsm_fail(l, again);
  if (before != 0) ALSO(vfs_remove(l->env->fs, FILE_MANIFEST, before));
  return rc;
}

/* Appends to the manifest. A failure leaves none: the next publication begins a new one. */
static int work_append(lsm *l, const edit *e) {
  int rc = manifest_append(l->manifest, e);
  if (rc >= 0) return rc;
  (void)manifest_close(l->manifest); /* rc is the failure */
  l->manifest = NULL;
  return rc == VARVE_FULL || rc == VARVE_NOMEM ? rc : lsm_fail(l, rc);
}

static void work_install(lsm *l, view *fresh, version *next, const memtable *flushed) {
  mutex_lock(&l->state_lock);
  view *v = atomic_load(&l->view);
  memtable *immutable[IMMUTABLES_MAX];
  uint32_t count = 0;
  for (uint32_t i = 0; i < v->immutable_count; i++) {
    if (v->immutable[i] != flushed) immutable[count++] = v->immutable[i];
  }
  ASSERT(flushed == NULL || count + 1 == v->immutable_count);
  view_install(l, fresh, v->active, immutable, count, next);
  cond_broadcast(&l->state_changed);
  mutex_unlock(&l->state_lock);
}

/* Publishes a finished job: manifest, version, view. `flushed` is taken out of the immutables. */
static int work_publish(lsm *l, job *j, memtable *flushed) {
  edit *e = job_edit(j);
  version *next = NULL;
  view *fresh = NULL;
  int rc = VARVE_OK;
  mutex_lock(&l->state_lock);
  const view *v = atomic_load(&l->view);
  version *base = v->current;
  uint64_t log_min = 0;
  if (flushed != NULL) {
    uint32_t n = v->immutable_count;
    ASSERT(n > 0 && v->immutable[n - 1] == flushed);
    log_min = n > 1 ? l->memtable_log[n - 2] : l->active_log;
  }
  mutex_unlock(&l->state_lock);
  /* Before the record takes its numbers: the new manifest's own must not be above them. */
  if (l->manifest == NULL) TRY(work_new_manifest(l));
  if (flushed != NULL) {
    e->has_log_min = true;
    e->log_min = log_min;
    e->has_last_seq = true;
    e->last_seq = MAX(l->flushed_seq, job_seq_max(j));
  }
  e->has_next_number = true;
  e->next_number = atomic_load(&l->next_number);
  TRY(version_apply(base, e, &next));
  STEP(view_create(l, &fresh)); /* here: once the record is durable nothing may fail, or its tables would be given up */
  rc = vfs_sync_dir(l->env->fs);
  if (rc < 0) {
    rc = lsm_fail(l, rc);
    goto out;
  }
  if (flushed != NULL) STEP(lsm_sync_header(l, log_min));
  STEP(work_append(l, e));
  if (flushed != NULL) l->flushed_seq = e->last_seq; /* not before: until now a manifest may not claim it */
  work_install(l, fresh, next, flushed);
  fresh = NULL;
  job_published(j);
out:
  view_discard(l, fresh);
  pin_unref(&next->pin);
  if (rc >= 0 && flushed != NULL) rc = lsm_retire_logs(l, log_min);
  return rc;
}

/* ---- jobs ---- */

/* Goes on with a job; when it is done, publishes it. */
static int work_job(lsm *l, job **slot, uint64_t *budget) {
  job *j = *slot;
  bool done;
  int rc = job_run(j, budget, &done);
  if (rc >= 0 && !done) return rc;
  if (rc >= 0) {
    memtable *flushed = job_in(j)->memtable;
    rc = work_publish(l, j, flushed);
    /* A record that failed to be written may yet be found by the next open: its tables stay, and so does the job, to
     * be published again in a new manifest. */
    if (rc < 0 && l->manifest == NULL) return rc;
  }
  job_destroy(j, atomic_load(&l->failed) != 0);
  *slot = NULL;
  return rc;
}

static int work_flush(lsm *l, uint64_t *budget) {
  if (l->flush_job == NULL) {
    view *v = view_pin(l);
    job_inputs in = {.memtable = v->immutable[v->immutable_count - 1]};
    int rc = job_create(l, &in, &l->flush_job);
    pin_unref(&v->pin);
    if (rc < 0) return rc;
  }
  return work_job(l, &l->flush_job, budget);
}

/* Begins a compaction if there is reason for one. */
static int work_pick(lsm *l) {
  if (l->compact_job != NULL || l->compaction_broken) return VARVE_OK;
  job_inputs in;
  view *v = view_pin(l);
  bool full = l->full_asked > l->full_begun;
  bool any = compact_pick(v->current, &l->options, lsm_oldest_snapshot(l), full, &in);
  int rc = any ? job_create(l, &in, &l->compact_job) : VARVE_OK;
  if (rc >= 0 && full) {
    l->full_job = l->compact_job;
    l->full_begun = l->full_asked;
    if (!any) l->full_done = l->full_asked;
  }
  pin_unref(&v->pin);
  return rc;
}

static int work_compact(lsm *l, uint64_t *budget) {
  int rc = work_job(l, &l->compact_job, budget);
  if (l->full_job != NULL && l->compact_job == NULL) {
    l->full_job = NULL;
    if (rc >= 0) l->full_done = l->full_begun;
    if (rc < 0) l->full_begun = l->full_done; /* asked for still */
  }
  if (rc == VARVE_CORRUPT || rc == VARVE_UNSUPPORTED) l->compaction_broken = true;
  return rc;
}

static int work_remove_dead(lsm *l) {
  for (;;) {
    mutex_lock(&l->state_lock);
    uint64_t number = l->dead_count > 0 ? l->dead[--l->dead_count] : 0;
    mutex_unlock(&l->state_lock);
    if (number == 0) return VARVE_OK;
    int rc = vfs_remove(l->env->fs, FILE_SST, number);
    if (rc < 0 && rc != VARVE_MISSING) return rc;
  }
}

static bool work_has_immutable(lsm *l) {
  mutex_lock(&l->state_lock);
  bool any = atomic_load(&l->view)->immutable_count > 0;
  mutex_unlock(&l->state_lock);
  return any;
}

/* One thing, the most urgent; *idle = there was none. */
static int work_once(lsm *l, uint64_t *budget, bool *idle) {
  *idle = false;
  if (l->flush_job != NULL || work_has_immutable(l)) return work_flush(l, budget);
  TRY(work_pick(l));
  if (l->compact_job != NULL) return work_compact(l, budget);
  if (l->manifest != NULL && manifest_wants_rewrite(l->manifest)) return work_new_manifest(l);
  *idle = true;
  return VARVE_OK;
}

INTERNAL int work_step(lsm *l, uint64_t budget, bool *more) {
  bool idle = false;
  *more = false;
  TRY(lsm_check_failed(l));
  int rc = VARVE_OK;
  budget = MAX(budget, (uint64_t)1);
  while (budget > 0 && !idle && rc >= 0) {
    view_sweep(l);
    rc = work_remove_dead(l);
    if (rc >= 0) rc = work_once(l, &budget, &idle);
  }
  view_sweep(l);
  if (rc >= 0) rc = work_remove_dead(l);
  if (rc == VARVE_IO) rc = lsm_fail(l, rc);
  work_set_status(l, rc);
  *more = rc >= 0 && !idle;
  return rc;
}

/* ---- syncs that are due ---- */

static bool work_sync_is_due(lsm *l, uint64_t *wait_us) {
  if (!atomic_load(&l->sync_due)) {
    *wait_us = UINT64_MAX;
    return false;
  }
  uint64_t due = atomic_load(&l->dirty_us) + l->options.sync_interval_ms * UINT64_C(1000);
  uint64_t now = l->env->now_us(l->env);
  *wait_us = now >= due ? 0 : due - now;
  return now >= due;
}

INTERNAL int work_sync_in_time(lsm *l) {
  uint64_t wait_us;
  return work_sync_is_due(l, &wait_us) ? lsm_sync_logs(l) : VARVE_OK;
}

INTERNAL int lsm_step(lsm *l, uint64_t budget, bool *more) {
  bool unused;
  if (more == NULL) more = &unused;
  *more = false;
  if (l->options.read_only) return VARVE_OK;
  mutex_lock(&l->step_lock);
  int rc = work_step(l, budget, more);
  mutex_unlock(&l->step_lock);
  if (rc >= 0 && !l->thread_running) rc = work_sync_in_time(l);
  return rc;
}

/* ---- room for writers ---- */

/* Whether a rotation may happen now; state_lock held. */
static bool work_has_room(lsm *l) {
  const view *v = atomic_load(&l->view);
  return v->immutable_count < IMMUTABLES_MAX && v->current->level[0].count < compact_l0_stop(&l->options) &&
         l->log_count < OLD_LOGS_MAX;
}

/* Level 0 is full and will stay so: a table that cannot be read stopped compaction. state_lock held. */
static bool work_is_stuck(lsm *l) {
  return atomic_load(&l->compaction_broken) &&
         atomic_load(&l->view)->current->level[0].count >= compact_l0_stop(&l->options);
}

static int work_stuck(void) {
  return status_fail(VARVE_CORRUPT,
                     "a damaged table stopped compaction and level 0 is full: run verify, restore a backup");
}

/* With a thread: wakes it and waits for what it does. The failure it meets is the writer's answer. */
static int work_wait_for_room(lsm *l) {
  int rc = VARVE_OK;
  char message[STATUS_MESSAGE_SIZE];
  mutex_lock(&l->state_lock);
  l->step_status = VARVE_OK;
  while (!work_has_room(l) && !work_is_stuck(l) && rc >= 0) {
    atomic_store(&l->has_work, true);
    cond_signal(&l->work_cond);
    cond_wait(&l->state_changed, &l->state_lock);
    rc = atomic_load(&l->failed) != 0 ? VARVE_FAILED : l->step_status;
    memcpy(message, l->step_message, sizeof message);
  }
  bool room = work_has_room(l);
  mutex_unlock(&l->state_lock);
  if (rc >= 0 && !room) return work_stuck();
  if (rc == VARVE_FAILED) return lsm_check_failed(l);
  return rc < 0 ? status_fail(rc, "%s", message) : rc;
}

INTERNAL int work_make_room(lsm *l) {
  mutex_lock(&l->state_lock);
  bool room = work_has_room(l);
  mutex_unlock(&l->state_lock);
  if (room) return VARVE_OK;
  uint64_t begin = l->env->now_us(l->env);
  atomic_fetch_add(&l->counters.stalls, 1);
  int rc = VARVE_OK;
  if (l->thread_running) {
    rc = work_wait_for_room(l);
  } else {
    bool more = true;
    while (rc >= 0 && more && !room) {
      rc = lsm_step(l, WORK_SLICE, &more);
      mutex_lock(&l->state_lock);
      room = work_has_room(l);
      mutex_unlock(&l->state_lock);
    }
    if (rc >= 0 && !room) rc = work_stuck();
  }
  atomic_fetch_add(&l->counters.stall_us, l->env->now_us(l->env) - begin);
  return rc;
}

/* ---- the thread ---- */

INTERNAL void work_wake(lsm *l) {
  if (!l->thread_running) return;
  mutex_lock(&l->state_lock);
  atomic_store(&l->has_work, true);
  cond_signal(&l->work_cond);
  mutex_unlock(&l->state_lock);
}

static void work_sleep(lsm *l, uint64_t wait_us) {
  mutex_lock(&l->state_lock);
  if (!atomic_load(&l->stop) && !atomic_load(&l->has_work)) {
    if (wait_us == UINT64_MAX) {
      cond_wait(&l->work_cond, &l->state_lock);
    } else {
      (void)cond_wait_us(&l->work_cond, &l->state_lock, wait_us);
    }
  }
  mutex_unlock(&l->state_lock);
}

static void *work_run(void *context) {
  lsm *l = context;
  bool more = true;
  int rc = VARVE_OK;
  while (!atomic_load(&l->stop)) {
    if (atomic_load(&l->failed) != 0) { /* for good: there is nothing left to do but to be stopped */
      atomic_store(&l->has_work, false);
      work_sleep(l, UINT64_MAX);
      continue;
    }
    uint64_t wait_us;
    /* A flush that is due makes more durable than a sync does, so it goes first, unless it fails. */
    if (work_sync_is_due(l, &wait_us) && (rc < 0 || !work_has_immutable(l))) {
      (void)lsm_sync_logs(l); /* a failure is kept by lsm_fail and met by the next call of anyone */
      continue;
    }
    if (!more) work_sleep(l, wait_us);
    atomic_store(&l->has_work, false);
    rc = lsm_step(l, WORK_SLICE, &more);
    if (rc >= 0) continue;
    more = false;
    /* Logs that waited for their flush must be synced after all. */
    atomic_store(&l->dirty_us, 0);
    atomic_store(&l->sync_due, true);
    if (rc != VARVE_CORRUPT) work_sleep(l, WORK_RETRY_US);
  }
  return NULL;
}

INTERNAL int work_thread_start(lsm *l) {
  if (!l->env->threads || l->options.no_thread || l->options.read_only) return VARVE_OK;
  l->thread_running = true;
  int rc = thread_start(&l->worker, work_run, l);
  if (rc < 0) l->thread_running = false;
  return rc;
}

INTERNAL void work_thread_stop(lsm *l) {
  if (!l->thread_running) return;
  atomic_store(&l->stop, true);
  work_wake(l);
  thread_join(&l->worker);
  l->thread_running = false;
  atomic_store(&l->stop, false);
}
