/* sim_check.c: reading a database in every way there is, and comparing it with a state of the history. */
#include "sim_check.h"

enum { CHECK_STEPS = 12 }; /* of a walk */

/* An error: right where it is expected, else the check's failure. */
static bool check_error(const sim_checker *c, int status, const char *what, bool may_fail, int *rc) {
  *rc = status;
  if (may_fail) return false;
  return sim_fail(c->world, "error", "%s: %s: %s", what, varve_status_name(status), varve_errmsg(NULL));
}

static bool check_value(const sim_checker *c, varve_slice got, uint32_t key, uint16_t number, const char *how) {
  if (slice_equal(got, sim_history_value(c->history, number))) return true;
  return sim_fail(c->world, "value", "%s of key %u shows %zu bytes that are not value %u", how, (unsigned)key, got.size,
                  (unsigned)number);
}

static bool check_get(const sim_checker *c, varve_db *db, const varve_read_options *o, uint32_t key, uint16_t number,
                      bool may_fail, int *rc) {
  varve_value v;
  varve_slice name = sim_history_key(c->history, key);
  int got = varve_get(db, name, o, &v);
  if (got < 0) return check_error(c, got, "get", may_fail, rc);
  bool right = (got == VARVE_OK) == (number != 0);
  if (got == VARVE_OK) {
    varve_slice value = {v.data, v.size};
    if (right) right = check_value(c, value, key, number, "get");
    varve_value_release(&v);
  }
  if (!right) {
    return sim_fail(c->world, "presence", "get of key %u says %s, value %u was expected", (unsigned)key,
                    varve_status_name(got), (unsigned)number);
  }
  if (key % 4 != 0) return true;
  int has = varve_has(db, name, o);
  if (has < 0) return check_error(c, has, "has", may_fail, rc);
  return has == got || sim_fail(c->world, "presence", "has of key %u differs from get", (unsigned)key);
}

static bool check_entry(const sim_checker *c, varve_iter *it, uint32_t key, const uint16_t *value) {
  if (!slice_equal(varve_iter_key(it), sim_history_key(c->history, key))) {
    return sim_fail(c->world, "scan", "the iterator is not on key %u", (unsigned)key);
  }
  return check_value(c, varve_iter_value(it), key, value[key], "scan");
}

bool sim_check_iterator(const sim_checker *c, varve_iter *it, const uint16_t *value, bool may_fail, int *rc) {
  for (int back = 0; back < 2; back++) {
    int got = back ? varve_iter_last(it) : varve_iter_first(it);
    for (uint32_t i = 0; i < SIM_KEYS; i++) {
      uint32_t key = back ? SIM_KEYS - 1 - i : i;
      if (value[key] == 0) continue;
      if (got < 0) return check_error(c, got, "iterator", may_fail, rc);
      if (got == VARVE_DONE) return sim_fail(c->world, "scan", "the iterator ended before key %u", (unsigned)key);
      if (!check_entry(c, it, key, value)) return false;
      got = back ? varve_iter_prev(it) : varve_iter_next(it);
    }
    if (got < 0) return check_error(c, got, "iterator", may_fail, rc);
    if (got != VARVE_DONE) return sim_fail(c->world, "scan", "the iterator shows more than there is");
  }
  return true;
}

/* The next key with a value from `key` on (step 1) or down (step -1); -1 when there is none. */
static int check_live(const uint16_t *value, int key, int step) {
  while (key >= 0 && key < SIM_KEYS && value[key] == 0) key += step;
  return key < SIM_KEYS ? key : -1;
}

bool sim_check_walk(const sim_checker *c, varve_iter *it, const uint16_t *value, bool may_fail, int *rc) {
  rng r = {c->world->trace};
  int at = -1;
  for (uint32_t i = 0; i < CHECK_STEPS; i++) {
    int got, step = rng_percent(&r, 50) ? 1 : -1;
    if (at < 0) {
      at = (int)rng_below(&r, SIM_KEYS);
      varve_slice key = sim_history_key(c->history, (uint32_t)at);
      got = step > 0 ? varve_iter_seek(it, key) : varve_iter_seek_for_prev(it, key);
      at = check_live(value, at, step);
    } else {
      got = step > 0 ? varve_iter_next(it) : varve_iter_prev(it);
      at = check_live(value, at + step, step);
    }
    if (got < 0) return check_error(c, got, "a walk", may_fail, rc);
    if ((got == VARVE_OK) != (at >= 0)) {
      return sim_fail(c->world, "walk", "step %u of a walk says %s", (unsigned)i, varve_status_name(got));
    }
    if (at >= 0 && !check_entry(c, it, (uint32_t)at, value)) return false;
  }
  return true;
}

bool sim_check_space(const sim_checker *c, varve_db *db, const varve_snapshot *snapshot, varve_keyspace *space,
                     const uint16_t *value, bool may_fail, int *rc) {
  varve_iter_options o = {.snapshot = snapshot, .keyspace = space};
  varve_read_options read = {snapshot, space};
  varve_iter *it;
  int got = varve_iter_open(db, &o, &it);
  if (got < 0) return check_error(c, got, "iter_open", may_fail, rc);
  bool ok = sim_check_iterator(c, it, value, may_fail, rc) && sim_check_walk(c, it, value, may_fail, rc);
  varve_iter_close(it);
  for (uint32_t i = 0; ok && i < SIM_KEYS; i++) ok = check_get(c, db, &read, i, value[i], may_fail, rc);
  c->world->counts.reached[SIM_COUNT_checks]++;
  return ok;
}

/* ---- the catalogue ---- */

typedef struct check_names {
  bool made[SIM_SPACES];
  bool strange;
} check_names;

static int check_name(void *context, varve_slice name) {
  check_names *n = context;
  for (uint32_t i = 1; i < SIM_SPACES; i++) {
    if (!slice_equal(name, sim_space_name(i))) continue;
    if (n->made[i]) break;
    n->made[i] = true;
    return 0;
  }
  n->strange = true;
  return 0;
}

bool sim_check_state(const sim_checker *c, varve_db *db, const sim_state *state, bool may_fail, int *rc) {
  check_names names = {.made = {true}};
  int got = varve_keyspace_list(db, check_name, &names);
  if (got < 0) return check_error(c, got, "keyspace_list", may_fail, rc);
  if (names.strange || memcmp(names.made, state->made, sizeof names.made) != 0) {
    return sim_fail(c->world, "catalogue", "the keyspaces are others than expected");
  }
  for (uint32_t i = 0; i < SIM_SPACES; i++) {
    varve_keyspace *space = NULL;
    if (!state->made[i]) continue;
    got = i == 0 ? VARVE_OK : varve_keyspace_open(db, sim_space_name(i), &space);
    if (got < 0) return check_error(c, got, "keyspace_open", may_fail, rc);
    if (!sim_check_space(c, db, NULL, space, state->value[i], may_fail, rc)) return false;
  }
  return sim_check_indexes(c, db, state, may_fail, rc);
}

/* ---- which state it is ---- */

/* The candidates in the order of their likelihood; false when there is no further one. */
static bool check_next(const sim_checker *c, const sim_expect *e, uint64_t seq, uint32_t *next, sim_found *found) {
  const sim_history *h = c->history;
  for (uint32_t i = (*next)++; i <= h->issued + 1 + SIM_GHOSTS + 1; i = (*next)++) {
    *found = (sim_found){.ghost = -1};
    if (i <= h->issued + 1) {
      if (i < e->low || i > e->high || h->commit[i].seq != seq) continue;
      found->at = i;
      found->commit = &h->commit[i];
      return true;
    }
    uint32_t ghost = i - (h->issued + 2);
    if (ghost < h->ghost_count) {
      const sim_ghost *g = &h->ghost[ghost];
      if (!e->ghosts || g->base < e->low || g->base > e->high || g->commit.seq != seq) continue;
      found->at = g->base;
      found->ghost = (int)ghost;
      found->commit = &g->commit;
      return true;
    }
    if (ghost < SIM_GHOSTS || e->also == NULL || e->also->seq != seq) continue;
    found->also = true;
    found->commit = e->also;
    return true;
  }
  return false;
}

bool sim_check_find(const sim_checker *c, varve_db *db, const sim_expect *expect, sim_found *found, bool may_fail,
                    int *rc) {
  varve_stats stats;
  uint32_t next = 0, tried = 0;
  *rc = varve_get_stats(db, &stats);
  sim_trace(c->world, "state", stats.sequence, expect->low, expect->high, NULL, 0);
  bool failed_before = c->world->failed;
  while (check_next(c, expect, stats.sequence, &next, found)) {
    tried++;
    bool same = sim_check_state(c, db, &found->commit->after, may_fail, rc);
    if (same) c->world->failed = failed_before;
    if (same || *rc < 0) return same;
  }
  if (tried > 0) return false;
  return sim_fail(c->world, "lost", "the database stands at sequence %llu; commits %u (%llu) to %u were expected",
                  (unsigned long long)stats.sequence, (unsigned)expect->low,
                  (unsigned long long)c->history->commit[MIN(expect->low, c->history->issued + 1)].seq,
                  (unsigned)expect->high);
}

/* ---- the files ---- */

typedef struct check_listing {
  uint64_t number_max;
  uint32_t count[FILE_KINDS];
} check_listing;

static int check_listed(void *context, file_kind kind, uint64_t number, uint64_t size) {
  (void)size;
  check_listing *l = context;
  l->number_max = MAX(l->number_max, number);
  l->count[kind]++;
  return 0;
}

bool sim_check_files(const sim_checker *c, varve_db *db) {
  check_listing l = {0};
  varve_stats stats;
  uint64_t tables = 0;
  int rc = vfs_list(db->env->fs, check_listed, &l);
  if (rc < 0) return check_error(c, rc, "list", false, &rc);
  (void)varve_get_stats(db, &stats);
  for (uint32_t i = 0; i < stats.levels; i++) tables += stats.level[i].tables;
  uint64_t next = atomic_load(&db->lsm->next_number);
  if (next <= l.number_max) {
    return sim_fail(c->world, "number", "the next file number is %llu and %llu is taken", (unsigned long long)next,
                    (unsigned long long)l.number_max);
  }
  uint64_t logs = (uint64_t)db->lsm->log_count + 1 + db->lsm->spare_count;
  if (l.count[FILE_SUPER] == 1 && l.count[FILE_MANIFEST] == 1 && l.count[FILE_SST] == tables &&
      l.count[FILE_WAL] == logs) {
    return true;
  }
  return sim_fail(c->world, "orphan", "%u SUPER, %u manifests, %u tables (%llu in use), %u logs (%llu in use)",
                  (unsigned)l.count[FILE_SUPER], (unsigned)l.count[FILE_MANIFEST], (unsigned)l.count[FILE_SST],
                  (unsigned long long)tables, (unsigned)l.count[FILE_WAL], (unsigned long long)logs);
}

bool sim_check_verify(const sim_checker *c, varve_db *db) {
  varve_verify_report report;
  int rc = varve_verify(db, &report, NULL, NULL);
  if (rc < 0) return check_error(c, rc, "verify", false, &rc);
  return report.errors == 0 || sim_fail(c->world, "verify", "%s", report.first);
}
