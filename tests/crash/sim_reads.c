/* sim_reads.c: check 12: snapshots and iterators that are held while the database is flushed, compacted, and changed
 * below them, and that must show their state to the end.
 */
#include "sim_run.h"

/* ---- snapshots ---- */

static void reads_check_snapshot(sim_run *r, sim_held_snapshot *s) {
  const sim_state *now = &r->history.commit[r->history.issued].after;
  int rc = VARVE_OK;
  for (uint32_t i = 0; i < SIM_SPACES && rc >= 0; i++) {
    /* A keyspace that was dropped since has no handle to read it by; one made again is another. */
    if (!s->state.made[i] || !now->made[i] || s->space[i] != r->space[i]) continue;
    if (!sim_check_space(&r->checker, r->session.db, s->handle, s->space[i], s->state.value[i], true, &rc)) break;
  }
  if (rc < 0) (void)sim_run_may_fail(r, rc, "reading a snapshot");
  uint64_t *reached = r->world->counts.reached;
  reached[SIM_COUNT_snapshot_across_flush] += r->age.flushes > s->age.flushes;
  reached[SIM_COUNT_snapshot_across_compaction] += r->age.compactions > s->age.compactions;
}

void sim_reads_snapshot(sim_run *r, rng *g) {
  sim_held_snapshot *s = &r->snapshot[rng_below(g, SIM_SNAPSHOTS)];
  if (s->handle != NULL) {
    reads_check_snapshot(r, s);
    if (rng_percent(g, 40)) return;
    varve_snapshot_close(s->handle);
    s->handle = NULL;
    return;
  }
  int rc = varve_snapshot_open(r->session.db, &s->handle);
  if (rc < 0) {
    (void)sim_run_may_fail(r, rc, "snapshot_open");
    return;
  }
  s->state = r->history.commit[r->history.issued].after;
  s->age = r->age;
  memcpy(s->space, r->space, sizeof s->space);
}

/* ---- iterators ---- */

static void reads_check_iterator(sim_run *r, sim_held_iterator *it) {
  int rc = VARVE_OK;
  bool same = sim_check_iterator(&r->checker, it->handle, it->value, true, &rc) &&
              sim_check_walk(&r->checker, it->handle, it->value, true, &rc);
  if (!same && rc < 0) (void)sim_run_may_fail(r, rc, "an iterator");
  uint64_t *reached = r->world->counts.reached;
  reached[SIM_COUNT_iterator_across_compaction] += r->age.compactions > it->age.compactions;
  reached[SIM_COUNT_iterator_over_dead_tables] += same && r->stats.compactions > 0 &&
                                                  r->session.db->lsm->dead_count == 0 &&
                                                  r->age.compactions > it->age.compactions + 1;
}

void sim_reads_iterator(sim_run *r, rng *g) {
  sim_held_iterator *it = &r->iterator[rng_below(g, SIM_ITERATORS)];
  if (it->handle != NULL) {
    reads_check_iterator(r, it);
    if (rng_percent(g, 40)) return;
    varve_iter_close(it->handle);
    it->handle = NULL;
    return;
  }
  const sim_state *now = &r->history.commit[r->history.issued].after;
  uint32_t space = rng_below(g, SIM_SPACES);
  if (!now->made[space]) space = 0;
  varve_iter_options o = {.keyspace = r->space[space]};
  int rc = varve_iter_open(r->session.db, &o, &it->handle);
  if (rc < 0) {
    (void)sim_run_may_fail(r, rc, "iter_open");
    return;
  }
  it->age = r->age;
  memcpy(it->value, now->value[space], sizeof it->value);
}

void sim_reads_close(sim_run *r, bool check) {
  for (uint32_t i = 0; i < SIM_SNAPSHOTS; i++) {
    if (r->snapshot[i].handle == NULL) continue;
    if (check) reads_check_snapshot(r, &r->snapshot[i]);
    varve_snapshot_close(r->snapshot[i].handle);
    r->snapshot[i].handle = NULL;
  }
  for (uint32_t i = 0; i < SIM_ITERATORS; i++) {
    if (r->iterator[i].handle == NULL) continue;
    if (check) reads_check_iterator(r, &r->iterator[i]);
    varve_iter_close(r->iterator[i].handle);
    r->iterator[i].handle = NULL;
  }
}
