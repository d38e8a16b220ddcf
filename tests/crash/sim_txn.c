/* sim_txn.c: transactions that are open beside each other and beside other writes, at every level, with savepoints;
 * their reads are compared with the model's, and each commit must succeed or conflict as the model says.
 *
 * The model is exact. A commit conflicts when one of these was changed since the transaction's state by somebody else:
 *
 *     a key that it watches (get_for_update)              at every level
 *     a key that it writes, or deletes in a range         from SNAPSHOT on
 *     a key that it read, or went over                    SERIALIZABLE, when it writes anything
 *
 * and otherwise it does not. Ranges begin and end at keys of the model, so that one that overlaps another always shares
 * a key with it.
 */
#include "sim_run.h"

void sim_txn_forget(sim_held_txn *t) {
  varve_txn_close(t->handle);
  t->handle = NULL;
}

/* A call that failed: right after a fault, and the transaction is given up. */
void sim_txn_failed(sim_run *r, sim_held_txn *t, int rc, const char *what) {
  (void)sim_run_may_fail(r, rc, what);
  sim_txn_forget(t);
}

/* ---- beginning ---- */

static void held_begin(sim_run *r, sim_held_txn *t, rng *g) {
  static const varve_isolation levels[8] = {VARVE_ISOLATION_DEFAULT, VARVE_READ_COMMITTED, VARVE_READ_COMMITTED,
                                            VARVE_SNAPSHOT,          VARVE_SNAPSHOT,       VARVE_SERIALIZABLE,
                                            VARVE_SERIALIZABLE,      VARVE_SERIALIZABLE};
  memset(t, 0, sizeof *t);
  varve_txn_options o = {.isolation = levels[rng_below(g, 8)], .read_only = rng_percent(g, 8)};
  if (rng_percent(g, 60)) o.durability = rng_percent(g, r->plan->strict_percent) ? VARVE_STRICT : VARVE_RELAXED;
  varve_durability d = o.durability == VARVE_DURABILITY_DEFAULT ? r->plan->options.durability : o.durability;
  int rc = varve_txn_begin(r->session.db, &o, &t->handle);
  sim_trace(r->world, "begin", (uint64_t)(rc & 0xffff), o.isolation, o.read_only, NULL, 0);
  if (rc < 0) {
    (void)sim_run_may_fail(r, rc, "txn_begin");
    return;
  }
  t->isolation = o.isolation == VARVE_ISOLATION_DEFAULT ? VARVE_SNAPSHOT : o.isolation;
  t->read_only = o.read_only;
  t->strict = d == VARVE_STRICT;
  t->base = *sim_txn_latest(r);
  t->base_seq = r->history.commit[r->history.issued].seq;
  t->schema = txn_store_schema(r->session.db->txns);
  memcpy(t->space, r->space, sizeof t->space);
}

/* One that is open; a new one when there is none. NULL: it could not begin. */
sim_held_txn *sim_txn_any(sim_run *r, rng *g) {
  uint32_t first = rng_below(g, SIM_TXNS);
  for (uint32_t i = 0; i < SIM_TXNS; i++) {
    sim_held_txn *t = &r->txn[(first + i) % SIM_TXNS];
    if (t->handle != NULL) return t;
  }
  held_begin(r, &r->txn[first], g);
  return r->txn[first].handle != NULL ? &r->txn[first] : NULL;
}

void sim_txn_begin(sim_run *r, rng *g) {
  sim_held_txn *t = &r->txn[rng_below(g, SIM_TXNS)];
  if (t->handle == NULL) held_begin(r, t, g);
  uint32_t open = 0;
  for (uint32_t i = 0; i < SIM_TXNS; i++) open += r->txn[i].handle != NULL;
  r->world->counts.reached[SIM_COUNT_txns_side_by_side] += open > 1;
}

/* ---- writing ---- */

/* What one write of a transaction is, by the model. */
typedef struct held_change {
  uint32_t operations;
  bool taken, maybe_taken;
} held_change;

/* Notes what a row's write through indexes asks for, which must hold to the commit. */
static void held_watch_row(const sim_run *r, sim_held_txn *t, uint32_t space, uint32_t key,
                           const sim_index_codes *asked) {
  uint64_t now = r->history.commit[r->history.issued].seq;
  uint64_t since = 1 + (t->isolation == VARVE_READ_COMMITTED ? now : t->base_seq);
  if (t->watched[space][key] == 0) t->watched[space][key] = since;
  for (uint32_t i = 0; i < SIM_INDEXES; i++) {
    for (uint32_t n = 0; n < SIM_CODES; n++) {
      if (sim_index_has_code(asked, i, n) && t->watched_code[i][n] == 0) t->watched_code[i][n] = since;
    }
  }
}

static void held_row(const sim_run *r, sim_held_txn *t, const uint16_t *shows, uint32_t key, bool alone,
                     sim_txn_write *w, held_change *c) {
  sim_row_change row;
  const sim_state *now = sim_txn_latest(r);
  sim_index_row(r->plan, &r->history, now, shows, w->space, key, w->value, &row);
  if (sim_index_any(r->plan, now, w->space) && alone) held_watch_row(r, t, w->space, key, &row.looked_at);
  /* What an index got after the transaction began is not in its state. */
  bool old = t->schema == txn_store_schema(r->session.db->txns) && r->built_seq <= t->base_seq;
  c->taken = c->taken || (row.taken && (old || t->isolation == VARVE_READ_COMMITTED));
  c->maybe_taken = c->maybe_taken || row.maybe_taken;
  c->operations += row.operations;
  for (uint32_t i = 0; i < SIM_INDEXES; i++) {
    for (uint32_t n = 0; n < 2; n++) w->codes.bits[i][n] |= row.codes.bits[i][n];
  }
}

/* Deletes the rows of a range: each for itself where a range is not asked about at the commit. */
static void held_rows_end(const sim_run *r, sim_held_txn *t, const uint16_t *shows, sim_txn_write *w, held_change *c) {
  bool each = t->isolation == VARVE_READ_COMMITTED && sim_index_any(r->plan, sim_txn_latest(r), w->space);
  uint32_t place = t->now.count;
  uint8_t low = w->low, high = w->high;
  for (uint32_t k = low; k < high; k++) {
    if (shows[k] == 0) continue;
    if (each) {
      t->write[place] = *w;
      t->write[place].low = (uint8_t)k;
      t->write[place].high = (uint8_t)(k + 1);
      memset(&t->write[place].codes, 0, sizeof t->write[place].codes);
      held_row(r, t, shows, k, true, &t->write[place++], c);
      continue;
    }
    held_row(r, t, shows, k, false, w, c);
    c->operations--;
  }
  if (!each && t->isolation == VARVE_SERIALIZABLE && sim_index_any(r->plan, sim_txn_latest(r), w->space)) {
    sim_txn_mark_keys(t->read[w->space], low, high);
  }
  c->operations += !each;
  t->now.count = each ? place : place + 1;
}

static int held_write_one(sim_run *r, sim_held_txn *t, rng *g, uint32_t space) {
  sim_txn_write *w = &t->write[t->now.count], made;
  uint16_t shows[SIM_KEYS];
  uint32_t what = rng_below(g, 10), low = rng_below(g, SIM_KEYS), high = low + 1, before = t->now.count;
  varve_slice end = {NULL, 0};
  held_change c = {0};
  if (what >= 8) sim_op_draw_range(g, &low, &high);
  made = (sim_txn_write){.space = (uint8_t)space, .low = (uint8_t)low, .high = (uint8_t)high, .in = r->space[space]};
  if (what < 6) made.value = sim_index_new_value(r, g, space);
  *w = made;
  if (!t->read_only) {
    sim_txn_view(r, t, space, shows);
    if (what < 8) {
      held_row(r, t, shows, low, true, w, &c);
      t->now.count++;
    } else {
      held_rows_end(r, t, shows, w, &c);
    }
  }
  varve_slice key = sim_history_key(&r->history, low);
  if (high < SIM_KEYS) end = sim_history_key(&r->history, high);
  int rc = what < 6   ? varve_txn_put(t->handle, made.in, key, sim_history_value(&r->history, made.value))
           : what < 8 ? varve_txn_delete(t->handle, made.in, key)
                      : varve_txn_delete_range(t->handle, made.in, key, end);
  t->touched = true;
  r->world->counts.reached[SIM_COUNT_txn_index_writes] += rc == VARVE_OK && c.operations > 1;
  if (rc == VARVE_OK) t->now.operations += c.operations;
  if (rc == VARVE_OK && c.taken) {
    (void)sim_fail(r->world, "unique", "a transaction gave a second row a key of a unique index");
  }
  if (rc != VARVE_EXISTS || !(c.taken || c.maybe_taken)) return rc;
  r->world->counts.reached[SIM_COUNT_unique_refusals_in_txns]++;
  t->now.count = before;
  return VARVE_OK;
}

void sim_txn_write_run(sim_run *r, rng *g) {
  sim_held_txn *t = sim_txn_any(r, g);
  if (t == NULL) return;
  uint32_t writes = 1 + rng_below(g, rng_percent(g, 20) ? 20 : 3), space = sim_txn_space(r, g);
  for (uint32_t i = 0; i < writes && t->now.count + SIM_KEYS < SIM_TXN_WRITES; i++) {
    int rc = held_write_one(r, t, g, space);
    if (t->read_only && rc == VARVE_READONLY) return;
    if (rc != VARVE_OK || t->read_only) {
      sim_txn_failed(r, t, rc < 0 ? rc : VARVE_BUG, "a write of a transaction");
      return;
    }
    if (rng_percent(g, 20)) space = sim_txn_space(r, g);
  }
  if (txn_writes(t->handle)->count == t->now.operations) return;
  (void)sim_fail(r->world, "transaction", "a transaction has %u changes, %u were made",
                 (unsigned)txn_writes(t->handle)->count, (unsigned)t->now.operations);
}

/* ---- savepoints ---- */

void sim_txn_mark_run(sim_run *r, rng *g) {
  sim_held_txn *t = sim_txn_any(r, g);
  uint32_t number = 0;
  if (t == NULL) return;
  if (t->marks == 0 || (t->marks < SIM_TXN_MARKS && rng_percent(g, 40))) {
    int rc = varve_txn_savepoint(t->handle, &number);
    if (rc < 0) return sim_txn_failed(r, t, rc, "txn_savepoint");
    t->mark[t->marks++] = t->now;
    if (number != t->marks) {
      (void)sim_fail(r->world, "transaction", "savepoint %u has the number %u", (unsigned)t->marks, (unsigned)number);
    }
    return;
  }
  number = 1 + rng_below(g, t->marks);
  bool back = rng_percent(g, 70);
  int rc = back ? varve_txn_rollback_to(t->handle, number) : varve_txn_release(t->handle, number);
  if (rc < 0) return sim_txn_failed(r, t, rc, "a savepoint");
  if (back && t->now.count > t->mark[number - 1].count) r->world->counts.reached[SIM_COUNT_txn_savepoint_rollbacks]++;
  if (back) t->now = t->mark[number - 1];
  t->marks = back ? number : number - 1;
  if (back && rng_percent(g, 40)) sim_txn_look(r, t, sim_txn_space(r, g)); /* right after it */
}

/* ---- the end ---- */

/* A keyspace that it writes to was dropped. */
static bool held_writes_into_nothing(const sim_run *r, const sim_held_txn *t) {
  for (uint32_t i = 0; i < t->now.count; i++) {
    if (t->write[i].in != r->space[t->write[i].space]) return true;
  }
  return false;
}

static bool held_writes_changed(const sim_run *r, const sim_held_txn *t) {
  for (uint32_t i = 0; i < t->now.count; i++) {
    const sim_txn_write *w = &t->write[i];
    for (uint32_t k = w->low; k < w->high; k++) {
      if (sim_txn_changed(r, w->space, k, t->base_seq)) return true;
    }
    if (sim_txn_codes_changed(r, &w->codes, t->base_seq)) return true;
  }
  return false;
}

static bool held_reads_changed(const sim_run *r, const sim_held_txn *t) {
  for (uint32_t s = 0; s < SIM_SPACES; s++) {
    for (uint32_t k = 0; k < SIM_KEYS; k++) {
      if (t->read[s][k] && sim_txn_changed(r, s, k, t->base_seq)) return true;
    }
  }
  return t->gone;
}

/* NULL, or why the commit must conflict. */
static const char *held_conflict_of(const sim_run *r, const sim_held_txn *t) {
  if (sim_txn_watched_changed(r, t, false)) return "a key that it watches was changed";
  if (t->now.operations == 0) return NULL;
  if (t->schema != txn_store_schema(r->session.db->txns)) return "indexes were made or dropped";
  if (t->isolation == VARVE_READ_COMMITTED) return NULL;
  if (held_writes_changed(r, t)) return "a key that it wrote was changed";
  if (t->isolation == VARVE_SERIALIZABLE && held_reads_changed(r, t)) return "a key that it read was changed";
  return NULL;
}

/* The model does not know everything: what steps of builds changed, what was read of indexes. */
static bool held_may_conflict(const sim_run *r, const sim_held_txn *t) {
  if (r->built_seq > t->base_seq) return true;
  return t->read_index && r->history.commit[r->history.issued].seq > t->base_seq;
}

/* What the engine says was in the way must have been changed. */
static void held_check_conflict(sim_run *r, const sim_held_txn *t) {
  varve_conflict c;
  uint64_t *reached = r->world->counts.reached;
  reached[SIM_COUNT_txn_conflicts]++;
  if (varve_txn_get_conflict(t->handle, &c) != VARVE_OK) return; /* the schema */
  reached[SIM_COUNT_txn_conflicts_of_reads] += c.read && !c.range;
  reached[SIM_COUNT_txn_conflicts_of_ranges] += c.read && c.range;
  if (c.keyspace != 0) return;
  for (uint32_t k = 0; k < SIM_KEYS; k++) {
    if (!slice_equal(c.key, sim_history_key(&r->history, k))) continue;
    if (t->isolation == VARVE_READ_COMMITTED || sim_txn_changed(r, 0, k, t->base_seq)) return;
    break;
  }
  (void)sim_fail(r->world, "transaction", "a conflict is said to be with a key that nobody changed");
}

/* The commit has been called. */
static void held_ended(sim_run *r, sim_held_txn *t, int rc, const char *conflict) {
  sim_history *h = &r->history;
  uint64_t before = h->commit[h->issued].seq, *reached = r->world->counts.reached;
  bool nothing = t->now.operations == 0;
  sim_trace(r->world, "txn end", (uint64_t)(rc & 0xffff), t->now.operations, t->isolation, NULL, 0);
  bool fits = (rc == VARVE_CONFLICT) == (conflict != NULL) || (rc == VARVE_CONFLICT && held_may_conflict(r, t));
  if (rc >= 0 && !fits) {
    (void)sim_fail(r->world, "isolation", "operation %u: a commit at level %d says %s: %s", (unsigned)r->op,
                   (int)t->isolation, varve_status_name(rc), conflict != NULL ? conflict : varve_errmsg(NULL));
    return;
  }
  if (rc == VARVE_CONFLICT || nothing) {
    h->pending = false;
    sim_touched_now(r, false);
    if (rc == VARVE_CONFLICT) held_check_conflict(r, t);
    if (rc < 0) (void)sim_run_may_fail(r, rc, "an empty commit");
    if (atomic_load(&r->session.db->lsm->last_seq) != before) {
      (void)sim_fail(r->world, "sequence", "a transaction that changed nothing took a sequence");
    }
    return;
  }
  reached[SIM_COUNT_txn_commits] += rc >= 0;
  reached[SIM_COUNT_txn_commits_of_many] += rc >= 0 && t->now.operations > 1;
  sim_run_committed(r, rc, t->now.operations, t->strict);
}

static void held_commit(sim_run *r, sim_held_txn *t) {
  sim_history *h = &r->history;
  if (held_writes_into_nothing(r, t)) {
    int rc = varve_txn_commit(t->handle);
    if (rc != VARVE_CLOSED) {
      (void)sim_fail(r->world, "transaction", "a commit into a dropped keyspace says %s", varve_status_name(rc));
    }
    return sim_txn_forget(t);
  }
  const char *conflict = held_conflict_of(r, t);
  if (t->now.operations > 0) {
    sim_state *next = sim_history_begin(h);
    for (uint32_t s = 0; s < SIM_SPACES; s++) sim_txn_apply(r, t, s, next->value[s]);
    for (uint32_t i = 0; i < t->now.count; i++) {
      const sim_txn_write *w = &t->write[i];
      sim_touch(r, w->space, w->low, w->high);
      sim_touch_codes(r, &w->codes);
    }
    if (conflict == NULL) sim_history_pend(h, t->now.operations);
  }
  held_ended(r, t, varve_txn_commit(t->handle), conflict);
  sim_txn_forget(t);
}

void sim_txn_end_run(sim_run *r, rng *g) {
  sim_held_txn *t = sim_txn_any(r, g);
  if (t == NULL) return;
  if (rng_percent(g, 80)) return held_commit(r, t);
  int rc = rng_percent(g, 50) ? varve_txn_rollback(t->handle) : VARVE_OK; /* or closed at once */
  if (rc < 0) (void)sim_run_may_fail(r, rc, "txn_rollback");
  r->world->counts.reached[SIM_COUNT_txn_rollbacks]++;
  sim_txn_forget(t);
}

/* ---- what happens around them ---- */

void sim_txn_space_gone(sim_run *r, uint32_t space) {
  for (uint32_t i = 0; i < SIM_TXNS; i++) {
    sim_held_txn *t = &r->txn[i];
    for (uint32_t k = 0; k < SIM_KEYS; k++) {
      t->gone = t->gone || t->read[space][k];
      if (t->watched[space][k] != 0) t->watch_gone = true;
    }
    memset(t->read[space], 0, sizeof t->read[space]);
    memset(t->watched[space], 0, sizeof t->watched[space]);
    memset(t->locked[space], 0, sizeof t->locked[space]);
  }
  memset(r->touched.seq[space], 0, sizeof r->touched.seq[space]);
}

void sim_txn_close_all(sim_run *r, bool check, bool crash) {
  for (uint32_t i = 0; i < SIM_TXNS; i++) {
    sim_held_txn *t = &r->txn[i];
    if (t->handle == NULL) continue;
    if (crash) r->world->counts.reached[SIM_COUNT_txns_open_at_crash] += t->now.operations > 0;
    for (uint32_t s = 0; check && s < SIM_SPACES && t->handle != NULL; s++) {
      if (s == 0 || r->space[s] != NULL) sim_txn_look(r, t, s);
    }
    if (t->handle != NULL) sim_txn_forget(t);
  }
}

void sim_touch(sim_run *r, uint32_t space, uint32_t low, uint32_t high) {
  sim_txn_mark_keys(r->touched.marked[space], low, high);
}

void sim_touch_codes(sim_run *r, const sim_index_codes *codes) {
  for (uint32_t i = 0; i < SIM_INDEXES; i++) {
    for (uint32_t n = 0; n < 2; n++) r->touched.marked_codes.bits[i][n] |= codes->bits[i][n];
  }
}

void sim_touched_now(sim_run *r, bool applied) {
  sim_touched *t = &r->touched;
  uint64_t seq = r->history.commit[r->history.issued].seq;
  for (uint32_t s = 0; applied && s < SIM_SPACES; s++) {
    for (uint32_t k = 0; k < SIM_KEYS; k++) {
      if (t->marked[s][k]) t->seq[s][k] = seq;
    }
  }
  for (uint32_t i = 0; applied && i < SIM_INDEXES; i++) {
    for (uint32_t n = 0; n < SIM_CODES; n++) {
      if (sim_index_has_code(&t->marked_codes, i, n)) t->code_seq[i][n] = seq;
    }
  }
  memset(t->marked, 0, sizeof t->marked);
  memset(&t->marked_codes, 0, sizeof t->marked_codes);
}
