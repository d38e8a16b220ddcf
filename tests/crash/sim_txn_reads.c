/* sim_txn_reads.c: what a transaction sees, by the model, and its reads: gets, locks, scans that stop anywhere. What
 * was read is noted as the engine promises to: up to the key that a scan stands on, and to its bound when it ended.
 */
#include "sim_run.h"

enum { HELD_STEPS = 10 };

/* ---- what it sees ---- */

/* A keyspace that is there; some more often than for other operations. */
uint32_t sim_txn_space(const sim_run *r, rng *g) {
  uint32_t space = rng_percent(g, 45) ? 1 + rng_below(g, SIM_SPACES - 1) : 0;
  for (uint32_t i = 0; i < SIM_INDEXES; i++) { /* what a half index holds is known of commits alone */
    uint8_t status = sim_txn_latest(r)->index[i];
    if (r->plan->index[i].space == space && status != SIM_INDEX_NONE && status != SIM_INDEX_READY) return 0;
  }
  return r->space[space] != NULL ? space : 0;
}

const sim_state *sim_txn_latest(const sim_run *r) {
  return &r->history.commit[r->history.issued].after;
}

void sim_txn_apply(const sim_run *r, const sim_held_txn *t, uint32_t space, uint16_t *value) {
  for (uint32_t i = 0; i < t->now.count; i++) {
    const sim_txn_write *w = &t->write[i];
    if (w->space != space || w->in != r->space[space]) continue;
    for (uint32_t k = w->low; k < w->high; k++) value[k] = w->value;
  }
}

void sim_txn_view(const sim_run *r, const sim_held_txn *t, uint32_t space, uint16_t value[SIM_KEYS]) {
  const sim_state *from = t->isolation == VARVE_READ_COMMITTED ? sim_txn_latest(r) : &t->base;
  bool same = from != &t->base || t->space[space] == r->space[space];
  memset(value, 0, SIM_KEYS * sizeof *value);
  if (same) memcpy(value, from->value[space], SIM_KEYS * sizeof *value);
  sim_txn_apply(r, t, space, value);
}

static bool held_wrote(const sim_run *r, const sim_held_txn *t, uint32_t space, uint32_t key) {
  for (uint32_t i = 0; i < t->now.count; i++) {
    const sim_txn_write *w = &t->write[i];
    if (w->space == space && w->in == r->space[space] && w->low <= key && key < w->high) return true;
  }
  return false;
}

static void held_note(sim_held_txn *t, uint32_t space, uint32_t low, uint32_t high) {
  t->touched = true;
  if (t->isolation == VARVE_SERIALIZABLE && !t->read_only) sim_txn_mark_keys(t->read[space], low, high);
}

/* ---- reading ---- */

static bool held_check_value(sim_run *r, int rc, varve_value *v, uint32_t key, uint16_t number, const char *how) {
  bool right = (rc == VARVE_OK) == (number != 0);
  if (rc == VARVE_OK) {
    varve_slice got = {v->data, v->size};
    right = right && slice_equal(got, sim_history_value(&r->history, number));
    varve_value_release(v);
  }
  return right || sim_fail(r->world, "transaction", "%s of key %u in a transaction says %s, value %u was expected", how,
                           (unsigned)key, varve_status_name(rc), (unsigned)number);
}

static void held_get_one(sim_run *r, sim_held_txn *t, rng *g, uint32_t space) {
  uint16_t shows[SIM_KEYS];
  uint32_t key = rng_below(g, SIM_KEYS);
  varve_read_options o = {.keyspace = r->space[space]};
  varve_value v = {NULL, 0, NULL};
  sim_txn_view(r, t, space, shows);
  bool own = held_wrote(r, t, space, key);
  int rc = varve_txn_get(t->handle, sim_history_key(&r->history, key), &o, &v);
  if (rc < 0) return sim_txn_failed(r, t, rc, "txn_get");
  t->touched = true;
  if (!own) held_note(t, space, key, key + 1);
  (void)held_check_value(r, rc, &v, key, shows[key], "get");
}

bool sim_txn_changed(const sim_run *r, uint32_t space, uint32_t key, uint64_t since) {
  return r->touched.seq[space][key] > since;
}

bool sim_txn_codes_changed(const sim_run *r, const sim_index_codes *codes, uint64_t since) {
  for (uint32_t i = 0; i < SIM_INDEXES; i++) {
    for (uint32_t n = 0; n < SIM_CODES; n++) {
      if (sim_index_has_code(codes, i, n) && r->touched.code_seq[i][n] > since) return true;
    }
  }
  return false;
}

static bool held_locked_by_other(const sim_run *r, const sim_held_txn *t, uint32_t space, uint32_t key) {
  for (uint32_t i = 0; i < SIM_TXNS; i++) {
    const sim_held_txn *o = &r->txn[i];
    if (o != t && o->handle != NULL && o->locked[space][key]) return true;
  }
  return false;
}

bool sim_txn_watched_changed(const sim_run *r, const sim_held_txn *t, bool since_base) {
  if (t->watch_gone) return true;
  for (uint32_t s = 0; s < SIM_SPACES; s++) {
    for (uint32_t k = 0; k < SIM_KEYS; k++) {
      if (t->watched[s][k] == 0) continue;
      if (sim_txn_changed(r, s, k, since_base ? t->base_seq : t->watched[s][k] - 1)) return true;
    }
  }
  for (uint32_t i = 0; i < SIM_INDEXES; i++) {
    for (uint32_t n = 0; n < SIM_CODES; n++) {
      if (t->watched_code[i][n] != 0 && r->touched.code_seq[i][n] > t->watched_code[i][n] - 1) return true;
    }
  }
  return false;
}

/* As long as it has only locked, its state moves to now. */
static bool held_move(const sim_run *r, sim_held_txn *t) {
  if (sim_txn_watched_changed(r, t, true)) return false;
  t->base = *sim_txn_latest(r);
  t->base_seq = r->history.commit[r->history.issued].seq;
  memcpy(t->space, r->space, sizeof t->space);
  for (uint32_t s = 0; s < SIM_SPACES; s++) {
    for (uint32_t k = 0; k < SIM_KEYS; k++) {
      if (t->watched[s][k] != 0) t->watched[s][k] = t->base_seq + 1;
    }
  }
  return true;
}

/* Whether a lock on the key must be refused; else the model has it. */
static bool held_lock_refused(sim_run *r, sim_held_txn *t, uint32_t space, uint32_t key) {
  uint64_t now = r->history.commit[r->history.issued].seq;
  if (held_locked_by_other(r, t, space, key)) {
    r->world->counts.reached[SIM_COUNT_txn_locks_refused]++;
    return true;
  }
  if (t->isolation != VARVE_READ_COMMITTED) {
    bool fits = t->touched ? !sim_txn_changed(r, space, key, t->base_seq) : now == t->base_seq || held_move(r, t);
    if (!fits) return true;
  }
  uint64_t since = t->isolation == VARVE_READ_COMMITTED ? now : t->base_seq;
  uint64_t *watched = &t->watched[space][key];
  t->locked[space][key] = true;
  if (*watched == 0 || *watched > since + 1) *watched = since + 1;
  return false;
}

static void held_lock_one(sim_run *r, sim_held_txn *t, rng *g, uint32_t space) {
  uint16_t shows[SIM_KEYS];
  uint32_t key = rng_below(g, SIM_KEYS);
  if (rng_percent(g, 60)) key = space = 0; /* one that all of them want */
  varve_read_options o = {.keyspace = r->space[space]};
  varve_value v = {NULL, 0, NULL};
  bool refused = !t->read_only && held_lock_refused(r, t, space, key);
  sim_txn_view(r, t, space, shows);
  int rc = varve_txn_get_for_update(t->handle, sim_history_key(&r->history, key), &o, &v);
  if (t->read_only && rc == VARVE_READONLY) return;
  if (rc < 0) return sim_txn_failed(r, t, rc, "get_for_update");
  if ((rc == VARVE_CONFLICT) != refused) {
    (void)sim_fail(r->world, "transaction", "get_for_update of key %u says %s, %s was expected", (unsigned)key,
                   varve_status_name(rc), refused ? "CONFLICT" : "the value");
    if (rc == VARVE_OK) varve_value_release(&v);
    return;
  }
  r->world->counts.reached[SIM_COUNT_txn_locks]++;
  if (refused) return sim_txn_forget(t);
  (void)held_check_value(r, rc, &v, key, shows[key], "get_for_update");
}

static bool held_check_entry(sim_run *r, varve_iter *it, uint32_t key, uint16_t number) {
  if (slice_equal(varve_iter_key(it), sim_history_key(&r->history, key)) &&
      slice_equal(varve_iter_value(it), sim_history_value(&r->history, number))) {
    return true;
  }
  return sim_fail(r->world, "transaction", "a scan of a transaction is not on key %u, or shows another value",
                  (unsigned)key);
}

/* Some steps over low <= key < high, in one direction; notes what was gone over. */
static int held_scan_steps(sim_run *r, sim_held_txn *t, varve_iter *it, uint32_t space, uint32_t low, uint32_t high,
                           bool back, uint32_t steps) {
  uint16_t shows[SIM_KEYS];
  sim_txn_view(r, t, space, shows);
  uint32_t at = back ? high : low, seen = 0; /* backward: the key below `at` is next */
  int rc = back ? varve_iter_last(it) : varve_iter_first(it);
  for (;;) {
    while (back ? at > low && shows[at - 1] == 0 : at < high && shows[at] == 0) at = back ? at - 1 : at + 1;
    bool end = at == (back ? low : high);
    uint32_t key = back ? at - 1 : at;
    if (rc < 0) return rc;
    if ((rc == VARVE_DONE) != end) {
      (void)sim_fail(r->world, "transaction", "a scan of a transaction says %s before key %u", varve_status_name(rc),
                     (unsigned)at);
      return VARVE_OK;
    }
    if (end || ++seen > steps) {
      held_note(t, space, back ? (end ? low : key) : low, back ? high : end ? high : key + 1);
      return VARVE_OK;
    }
    if (!held_check_entry(r, it, key, shows[key])) return VARVE_OK;
    at = back ? at - 1 : at + 1;
    rc = back ? varve_iter_prev(it) : varve_iter_next(it);
  }
}

static void held_scan_one(sim_run *r, sim_held_txn *t, rng *g, uint32_t space) {
  uint32_t low = 0, high = SIM_KEYS;
  varve_iter_options o = {.keyspace = r->space[space]};
  varve_iter *it;
  if (rng_percent(g, 75)) {
    sim_op_draw_range(g, &low, &high);
    o.lower = sim_history_key(&r->history, low);
    if (high < SIM_KEYS) o.upper = sim_history_key(&r->history, high);
  }
  int rc = varve_txn_iter_open(t->handle, &o, &it);
  if (rc < 0) return sim_txn_failed(r, t, rc, "txn_iter_open");
  t->touched = true;
  uint32_t steps = rng_percent(g, 40) ? SIM_KEYS : rng_below(g, HELD_STEPS);
  rc = held_scan_steps(r, t, it, space, low, high, rng_percent(g, 40), steps);
  varve_iter_close(it);
  if (rc < 0) sim_txn_failed(r, t, rc, "a scan of a transaction");
}

/* All of a keyspace, in every way. */
void sim_txn_look(sim_run *r, sim_held_txn *t, uint32_t space) {
  uint16_t shows[SIM_KEYS];
  varve_iter_options o = {.keyspace = r->space[space]};
  varve_iter *it;
  int rc = varve_txn_iter_open(t->handle, &o, &it);
  if (rc < 0) return sim_txn_failed(r, t, rc, "txn_iter_open");
  sim_txn_view(r, t, space, shows);
  held_note(t, space, 0, SIM_KEYS);
  rc = VARVE_OK;
  bool same =
      sim_check_iterator(&r->checker, it, shows, true, &rc) && sim_check_walk(&r->checker, it, shows, true, &rc);
  varve_iter_close(it);
  if (!same && rc < 0) sim_txn_failed(r, t, rc, "an iterator of a transaction");
}

/* An index, as the transaction sees it; not one that came, or was built on, after it began. */
static void held_index_one(sim_run *r, sim_held_txn *t, rng *g) {
  uint16_t shows[SIM_KEYS];
  varve_index *ix;
  uint32_t i = rng_below(g, SIM_INDEXES), space = r->plan->index[i].space;
  if (sim_txn_latest(r)->index[i] != SIM_INDEX_READY || r->built_seq > t->base_seq) return;
  if (t->schema != txn_store_schema(r->session.db->txns)) return;
  int rc = varve_index_open(r->session.db, sim_index_name(i), NULL, &ix);
  if (rc != VARVE_OK) return sim_txn_failed(r, t, rc, "index_open");
  sim_txn_view(r, t, space, shows);
  t->touched = true;
  t->read_index = t->isolation == VARVE_SERIALIZABLE && !t->read_only;
  r->world->counts.reached[SIM_COUNT_txn_index_reads]++;
  bool same = sim_check_postings(&r->checker, ix, i, t->handle, shows, true, &rc);
  if (!same && rc < 0) sim_txn_failed(r, t, rc, "an index in a transaction");
}

void sim_txn_read_run(sim_run *r, rng *g) {
  sim_held_txn *t = sim_txn_any(r, g);
  if (t == NULL) return;
  uint32_t reads = 1 + rng_below(g, 4);
  for (uint32_t i = 0; i < reads && t->handle != NULL && !r->world->failed; i++) {
    uint32_t space = sim_txn_space(r, g), what = rng_below(g, 10);
    if (what < 3 || (what == 3 && !r->plan->indexes)) held_get_one(r, t, g, space);
    if (what == 3 && r->plan->indexes) held_index_one(r, t, g);
    if (what >= 4 && what < 6) held_lock_one(r, t, g, space);
    if (what >= 6 && what < 9) held_scan_one(r, t, g, space);
    if (what == 9) sim_txn_look(r, t, space);
  }
}
