/* sim_build.c: indexes of the database that lives on: made with the rows that are there, gone on with after a crash,
 * dropped, made anew; rows that are written through them.
 *
 * A build is several commits of the engine inside of one call. What each of them holds is learnt from the extractor,
 * which the engine asks about each row before it commits the step: so a crash image of any moment can be compared. A
 * step that is under way may be the last one: its state says MAYBE.
 */
#include "sim_run.h"

enum { BUILD_COMMITS = 100 }; /* the most that a build may take */

static uint64_t build_seq(const sim_run *r) {
  return atomic_load(&r->session.db->lsm->last_seq);
}

static bool build_strict(const sim_run *r) {
  return r->plan->options.durability == VARVE_STRICT;
}

static void build_next(sim_run *r) {
  sim_state *next = sim_history_begin(&r->history);
  next->index[r->building - 1] = SIM_INDEX_MAYBE;
  next->begun[r->building - 1] = true;
  sim_history_pend(&r->history, 1);
}

/* The commit before the first step: there is nothing in the index. */
static void build_first(sim_run *r, uint32_t i) {
  sim_state *next = sim_history_begin(&r->history);
  next->index[i] = SIM_INDEX_BUILDING;
  next->begun[i] = false;
  memset(next->posted[i], 0, sizeof next->posted[i]);
  sim_history_pend(&r->history, 2);
}

/* Whether the step under way was committed. A step without rows is told of by the sequence alone. */
static bool build_step_done(sim_run *r) {
  sim_history *h = &r->history;
  if (!h->pending || build_seq(r) < h->commit[h->issued + 1].seq) return false;
  sim_history_applied(h);
  r->built_seq = h->commit[h->issued].seq;
  return true;
}

void sim_build_advance(sim_run *r, bool returned) {
  if (r->building == 0 || r->building_pauses) return;
  while (build_step_done(r)) {
    if (returned && build_strict(r)) sim_history_synced(&r->history, true);
    sim_run_observe_log(r);
    if (!r->build_taken) build_next(r);
  }
}

/* Two rows have one key: what is committed next is the end of the index. */
static void build_taken(sim_run *r) {
  sim_history *h = &r->history;
  uint32_t i = r->building - 1;
  r->build_taken = true;
  h->pending = false;
  sim_state *next = sim_history_begin(h);
  next->index[i] = SIM_INDEX_NONE;
  memset(next->posted[i], 0, sizeof next->posted[i]);
  sim_history_pend(h, 2);
}

static void build_row(sim_run *r, varve_slice key, const sim_index_keys *keys) {
  sim_history *h = &r->history;
  const sim_index_plan *p = &r->plan->index[r->building - 1];
  if (r->build_taken) return;
  sim_build_advance(r, true);
  sim_commit *c = &h->commit[h->issued + 1];
  bool *posted = c->after.posted[r->building - 1];
  uint32_t row = 0;
  while (row < SIM_KEYS && !slice_equal(key, sim_history_key(h, row))) row++;
  if (row == SIM_KEYS || !h->pending) {
    (void)sim_fail(r->world, "index", "a build met a row that is not there");
    return;
  }
  if (!p->unique) {
    c->seq += keys->count;
  } else if (!posted[row] && keys->count > 0) {
    for (uint32_t k = 0; k < SIM_KEYS; k++) {
      sim_index_keys other = {0};
      uint16_t number = c->after.value[p->space][k];
      if (k == row || !posted[k] || number == 0) continue;
      sim_index_keys_of(p, sim_history_value(h, number), &other);
      if (other.count > 0 && other.number[0] == keys->number[0]) return build_taken(r);
    }
    c->seq++;
  }
  posted[row] = true;
}

int sim_index_extract(void *context, varve_slice key, varve_slice value, varve_index_emit emit, void *emit_context) {
  const sim_extractor *x = context;
  sim_index_keys keys;
  sim_index_keys_of(x->plan, value, &keys);
  if (x->run != NULL && x->run->building == x->index + 1 && !x->run->building_pauses) build_row(x->run, key, &keys);
  int rc = VARVE_OK;
  for (uint32_t i = 0; i < keys.count && rc == VARVE_OK; i++) {
    rc = emit(emit_context, sim_index_key(x->plan, keys.number[i]));
  }
  return rc;
}

/* ---- builds ---- */

/* Between two steps: rows are written beside it, or it is stopped. */
static int build_progress(void *context, uint64_t done, uint64_t total) {
  sim_run *r = context;
  sim_history *h = &r->history;
  (void)done;
  (void)total;
  sim_build_advance(r, true);
  h->commit[h->issued].after.index[r->building - 1] = SIM_INDEX_BUILDING;
  r->world->counts.reached[SIM_COUNT_index_steps]++;
  if (r->world->failed) return 1;
  if (rng_percent(r->build_rng, 25) && !r->opening) {
    r->building_pauses = true;
    h->pending = false;
    sim_op_row(r, r->build_rng, r->plan->index[r->building - 1].space);
    r->building_pauses = false;
    r->world->counts.reached[SIM_COUNT_index_rows_beside_build]++;
    if (r->world->failed) return 1;
    build_next(r);
  }
  r->build_stopped = rng_percent(r->build_rng, 5);
  return r->build_stopped;
}

static void build_begin(sim_run *r, uint32_t i, rng *g) {
  r->building = i + 1;
  r->build_rng = g;
  r->build_taken = r->build_stopped = false;
}

/* The call has returned; the history gets what it has done. True = the index is ready. */
static bool build_end(sim_run *r, int rc, const char *what) {
  sim_history *h = &r->history;
  uint32_t i = r->building - 1;
  bool done = false, refused = rc == VARVE_EXISTS && r->build_taken;
  bool stopped = rc == VARVE_ABORTED && r->build_stopped;
  while (build_step_done(r)) {
    done = true;
    if (build_seq(r) > h->commit[h->issued].seq) build_next(r);
  }
  r->building = 0;
  sim_trace(r->world, what, (uint64_t)(rc & 0xffff), h->issued, build_seq(r), NULL, 0);
  if (!done && h->pending && build_seq(r) == h->commit[h->issued].seq && rc < 0 && !refused && !stopped) {
    sim_history_failed(h);
  }
  h->pending = false;
  if (build_seq(r) != h->commit[h->issued].seq) {
    return sim_fail(r->world, "sequence", "operation %u: %s left the sequence at %llu, %llu was expected",
                    (unsigned)r->op, what, (unsigned long long)build_seq(r),
                    (unsigned long long)h->commit[h->issued].seq);
  }
  sim_run_observe(r);
  r->world->counts.reached[SIM_COUNT_index_duplicates] += refused;
  if (rc >= 0) {
    h->commit[h->issued].after.index[i] = SIM_INDEX_READY;
    if (r->build_taken) (void)sim_fail(r->world, "index", "%s does not see that two rows have one key", what);
  }
  if (rc >= 0 && build_strict(r)) sim_history_synced(h, true);
  if (rc < 0 && !refused && !stopped) (void)sim_run_may_fail(r, rc, what);
  return rc >= 0;
}

static void build_create(sim_run *r, uint32_t i, rng *g) {
  varve_index *ix;
  varve_index_options o = sim_index_options(r->plan, i, r->space[r->plan->index[i].space], &r->extractor[i]);
  o.progress = build_progress;
  o.progress_context = r;
  build_begin(r, i, g);
  build_first(r, i);
  if (build_end(r, varve_index_create(r->session.db, sim_index_name(i), &o, &ix), "index_create")) {
    r->world->counts.reached[SIM_COUNT_indexes_made]++;
  }
}

static void build_anew(sim_run *r, uint32_t i, rng *g) {
  varve_index *ix;
  int rc = varve_index_open(r->session.db, sim_index_name(i), NULL, &ix);
  if (rc != VARVE_OK) {
    (void)sim_run_may_fail(r, rc, "index_open");
    return;
  }
  build_begin(r, i, g);
  build_first(r, i);
  if (build_end(r, varve_index_rebuild(ix, build_progress, r), "index_rebuild")) {
    r->world->counts.reached[SIM_COUNT_indexes_rebuilt]++;
  }
}

static void build_drop(sim_run *r, uint32_t i) {
  sim_state *next = sim_history_begin(&r->history);
  next->index[i] = SIM_INDEX_NONE;
  memset(next->posted[i], 0, sizeof next->posted[i]);
  sim_history_pend(&r->history, 2);
  int rc = varve_index_drop(r->session.db, sim_index_name(i));
  if (rc == VARVE_NOTFOUND) {
    (void)sim_fail(r->world, "catalogue", "an index to be dropped is not there");
    return;
  }
  sim_run_committed(r, rc, 2, build_strict(r));
  r->world->counts.reached[SIM_COUNT_indexes_dropped] += rc >= 0;
}

/* Goes on with one that is half built. False = not now. */
static bool build_go_on(sim_run *r, uint32_t i, rng *g) {
  varve_index *ix;
  varve_index_options o = sim_index_options(r->plan, i, r->space[r->plan->index[i].space], &r->extractor[i]);
  o.progress = build_progress;
  o.progress_context = r;
  build_begin(r, i, g);
  if (r->history.commit[r->history.issued].after.begun[i]) {
    build_next(r);
  } else {
    build_first(r, i); /* once more: a repair may have left something */
  }
  int rc = varve_index_open(r->session.db, sim_index_name(i), &o, &ix);
  bool ready = build_end(r, rc, "index_open");
  r->world->counts.reached[SIM_COUNT_index_builds_resumed] += ready;
  if (rc == VARVE_EXISTS && !r->world->failed &&
      r->history.commit[r->history.issued].after.index[i] != SIM_INDEX_NONE) {
    build_drop(r, i); /* it can never be finished as it is */
    return true;
  }
  return ready || rc == VARVE_ABORTED;
}

/* After an open of the database: gives the extractor. */
static bool build_open(sim_run *r, uint32_t i, rng *g) {
  varve_index *ix;
  varve_index_info info;
  uint8_t *status = &r->history.commit[r->history.issued].after.index[i];
  int rc = varve_index_open(r->session.db, sim_index_name(i), NULL, &ix);
  if (rc == VARVE_OK) rc = varve_index_get_info(ix, &info);
  if (rc != VARVE_OK) return sim_run_may_fail(r, rc, "index_open") && false;
  uint8_t said = info.ready ? SIM_INDEX_READY : SIM_INDEX_BUILDING;
  if (*status != SIM_INDEX_MAYBE && *status != said) {
    return sim_fail(r->world, "index", "index %u is %s", (unsigned)i, info.ready ? "ready too early" : "not ready");
  }
  *status = said;
  if (!info.ready) {
    r->world->counts.reached[SIM_COUNT_index_builds_cut]++;
    return build_go_on(r, i, g);
  }
  varve_index_options o = sim_index_options(r->plan, i, r->space[r->plan->index[i].space], &r->extractor[i]);
  rc = varve_index_open(r->session.db, sim_index_name(i), &o, &ix);
  return rc == VARVE_OK || (sim_run_may_fail(r, rc, "index_open") && false);
}

static bool build_open_each(sim_run *r, rng *g) {
  const sim_state *now = &r->history.commit[r->history.issued].after;
  for (uint32_t i = 0; i < SIM_INDEXES; i++) {
    if (now->index[i] == SIM_INDEX_NONE) continue;
    bool ok = build_open(r, i, g);
    now = &r->history.commit[r->history.issued].after;
    if (!ok && !r->world->failed && now->index[i] != SIM_INDEX_NONE) { /* a fault: once more without */
      sim_disk_disarm(r->disk);
      ok = now->index[i] == SIM_INDEX_READY ? build_open(r, i, g) : build_go_on(r, i, g);
    }
    if (!ok) return false;
    now = &r->history.commit[r->history.issued].after;
  }
  return true;
}

bool sim_index_open_all(sim_run *r, rng *g) {
  r->opening = true; /* not all have their extractors yet: rows cannot be written */
  bool ok = build_open_each(r, g);
  r->opening = false;
  return ok;
}

void sim_index_init(sim_run *r) {
  for (uint32_t i = 0; i < SIM_INDEXES; i++) r->extractor[i] = (sim_extractor){r, &r->plan->index[i], i};
}

uint16_t sim_index_new_value(sim_run *r, rng *g, uint32_t space) {
  enum { TRIES = 12, WANTED = 5 };
  uint16_t number = sim_history_new_value(&r->history);
  if (!r->plan->indexes || space != r->plan->index[1].space || !rng_percent(g, 40)) return number;
  for (uint32_t i = 0; i < TRIES; i++) {
    sim_index_keys keys;
    sim_index_keys_of(&r->plan->index[1], sim_history_value(&r->history, number), &keys);
    if (keys.count > 0 && keys.number[0] < WANTED) break;
    number = sim_history_new_value(&r->history);
  }
  return number;
}

void sim_index_run(sim_run *r, rng *g) {
  uint32_t i = rng_below(g, SIM_INDEXES), space = r->plan->index[i].space, luck = rng_below(g, 100);
  const sim_state *now = &r->history.commit[r->history.issued].after;
  if (r->history.issued + BUILD_COMMITS > SIM_COMMITS) return;
  if (!now->made[space]) return sim_op_keyspace(r, space);
  if (r->space[space] == NULL) return;
  if (now->index[i] == SIM_INDEX_NONE) return build_create(r, i, g);
  if (now->index[i] == SIM_INDEX_READY && luck < 25) return build_anew(r, i, g);
  if (luck < 50) return build_drop(r, i);
  if (luck < 65) return sim_op_keyspace(r, space); /* which goes with its indexes */
  if (now->index[i] != SIM_INDEX_READY) (void)build_go_on(r, i, g);
}

/* ---- looking ---- */

void sim_index_look(sim_run *r, rng *g) {
  const sim_state *now = &r->history.commit[r->history.issued].after;
  for (uint32_t i = 0; i < SIM_INDEXES; i++) {
    varve_index *ix;
    varve_index_report report;
    if (now->index[i] != SIM_INDEX_READY || rng_percent(g, 30)) continue;
    int rc = varve_index_open(r->session.db, sim_index_name(i), NULL, &ix);
    if (rc == VARVE_OK) rc = varve_index_verify(ix, &report, NULL, NULL);
    sim_trace(r->world, "index verify", (uint64_t)(rc & 0xffff), i, 0, NULL, 0);
    if (rc == VARVE_OK) {
      if (sim_check_postings(&r->checker, ix, i, NULL, now->value[r->plan->index[i].space], true, &rc)) continue;
      if (rc == VARVE_OK) return;
    }
    (void)sim_run_may_fail(r, rc, "an index");
  }
}
