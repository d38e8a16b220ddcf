/* sim_index_check.c: an index compared with what the model says of its keyspace: every posting, in both directions, and
 * none besides.
 */
#include "sim_check.h"

enum { POSTINGS_MAX = 2 * SIM_KEYS };

typedef struct posting {
  uint8_t number, key; /* of the index key, of the row */
} posting;

typedef struct postings {
  uint32_t count;
  posting at[POSTINGS_MAX];
} postings;

static bool postings_error(const sim_checker *c, int status, const char *what, bool may_fail, int *rc) {
  *rc = status;
  if (may_fail) return false;
  return sim_fail(c->world, "error", "%s: %s: %s", what, varve_status_name(status), varve_errmsg(NULL));
}

/* In the order of the index. */
static void postings_make(const sim_checker *c, const sim_index_plan *p, const uint16_t *value, postings *out) {
  sim_index_keys keys[SIM_KEYS] = {0};
  for (uint32_t k = 0; k < SIM_KEYS; k++) {
    if (value[k] != 0) sim_index_keys_of(p, sim_history_value(c->history, value[k]), &keys[k]);
  }
  out->count = 0;
  for (uint32_t number = 0; number < (p->unique ? SIM_CODES : SIM_LETTERS); number++) {
    for (uint32_t k = 0; k < SIM_KEYS; k++) {
      bool has = keys[k].count > 0 && keys[k].number[0] == number;
      has = has || (keys[k].count > 1 && keys[k].number[1] == number);
      if (has) out->at[out->count++] = (posting){(uint8_t)number, (uint8_t)k};
    }
  }
}

static bool postings_at(const sim_checker *c, const sim_index_plan *p, varve_iter *it, posting expected) {
  if (slice_equal(varve_iter_key(it), sim_index_key(p, expected.number)) &&
      slice_equal(varve_iter_value(it), sim_history_key(c->history, expected.key))) {
    return true;
  }
  return sim_fail(c->world, "index", "an index does not show row %u where it should", (unsigned)expected.key);
}

/* Both ways over `count` postings from `from` on. Closes the iterator. */
static bool postings_walk(const sim_checker *c, const sim_index_plan *p, varve_iter *it, const posting *from,
                          uint32_t count, bool may_fail, int *rc) {
  bool ok = true;
  for (int back = 0; ok && back < 2; back++) {
    int got = back ? varve_iter_last(it) : varve_iter_first(it);
    if (got == VARVE_DONE && count > 0) ok = sim_fail(c->world, "index", "an index shows nothing");
    for (uint32_t i = 0; ok && i < count && got == VARVE_OK; i++) {
      ok = postings_at(c, p, it, from[back ? count - 1 - i : i]);
      got = back ? varve_iter_prev(it) : varve_iter_next(it);
      if (ok && got == VARVE_DONE && i + 1 < count) ok = sim_fail(c->world, "index", "an index ended too early");
    }
    if (ok && got == VARVE_OK) ok = sim_fail(c->world, "index", "an index shows more postings than it should");
    if (ok && got < 0) ok = postings_error(c, got, "an index", may_fail, rc);
  }
  varve_iter_close(it);
  return ok;
}

/* One index key, by find and by get. */
static bool postings_find(const sim_checker *c, const sim_index_plan *p, varve_index *ix, varve_txn *t,
                          const postings *all, uint32_t number, bool may_fail, int *rc) {
  uint32_t from = 0, count = 0;
  varve_iter *it;
  varve_value v;
  while (from < all->count && all->at[from].number < number) from++;
  while (from + count < all->count && all->at[from + count].number == number) count++;
  int got = varve_index_get(ix, t, sim_index_key(p, number), &v);
  if (got < 0) return postings_error(c, got, "index_get", may_fail, rc);
  bool right = (got == VARVE_OK) == (count > 0);
  if (got == VARVE_OK) {
    varve_slice primary = {v.data, v.size};
    right = right && slice_equal(primary, sim_history_key(c->history, all->at[from].key));
    varve_value_release(&v);
  }
  if (!right) {
    return sim_fail(c->world, "index", "index_get of key %u says %s, or another row", (unsigned)number,
                    varve_status_name(got));
  }
  got = varve_index_find(ix, t, sim_index_key(p, number), &it);
  if (got < 0) return postings_error(c, got, "index_find", may_fail, rc);
  return postings_walk(c, p, it, &all->at[from], count, may_fail, rc);
}

bool sim_check_postings(const sim_checker *c, varve_index *ix, uint32_t index, varve_txn *t, const uint16_t *value,
                        bool may_fail, int *rc) {
  const sim_index_plan *p = &c->plan->index[index];
  const varve_slice none = {NULL, 0};
  postings all;
  varve_iter *it;
  postings_make(c, p, value, &all);
  uint32_t numbers = p->unique ? SIM_CODES : SIM_LETTERS, step = p->unique ? 7 : 1;
  for (uint32_t n = (uint32_t)(c->world->trace % step); n < numbers; n += step) {
    if (!postings_find(c, p, ix, t, &all, n, may_fail, rc)) return false;
  }
  c->world->counts.reached[SIM_COUNT_index_checks]++;
  if (p->kind == VARVE_HASH) {
    for (uint32_t i = 0; i < all.count; i++) {
      if (!postings_find(c, p, ix, t, &all, all.at[i].number, may_fail, rc)) return false;
    }
    return true;
  }
  int got = varve_index_range(ix, t, none, none, &it);
  if (got < 0) return postings_error(c, got, "index_range", may_fail, rc);
  return postings_walk(c, p, it, all.at, all.count, may_fail, rc);
}

/* ---- all of them ---- */

typedef struct postings_names {
  bool there[SIM_INDEXES];
  bool strange;
} postings_names;

static int postings_name(void *context, varve_slice name) {
  postings_names *n = context;
  for (uint32_t i = 0; i < SIM_INDEXES; i++) {
    if (!slice_equal(name, sim_index_name(i))) continue;
    if (n->there[i]) break;
    n->there[i] = true;
    return 0;
  }
  n->strange = true;
  return 0;
}

static bool postings_check_one(const sim_checker *c, varve_db *db, const sim_state *state, uint32_t i, bool may_fail,
                               int *rc) {
  varve_index *ix;
  varve_index_info info;
  if (db == *c->live && state->index[i] != SIM_INDEX_READY) return true;
  int got = varve_index_open(db, sim_index_name(i), NULL, &ix);
  if (got != VARVE_OK) return postings_error(c, got, "index_open", may_fail && got < 0, rc);
  got = varve_index_get_info(ix, &info);
  if (got < 0) return postings_error(c, got, "index_get_info", may_fail, rc);
  uint8_t said = info.ready ? SIM_INDEX_READY : SIM_INDEX_BUILDING;
  if (state->index[i] != SIM_INDEX_MAYBE && state->index[i] != said) {
    return sim_fail(c->world, "index", "index %u is %s", (unsigned)i, info.ready ? "ready too early" : "not ready");
  }
  if (!info.ready) return true;
  return sim_check_postings(c, ix, i, NULL, state->value[c->plan->index[i].space], may_fail, rc);
}

bool sim_check_indexes(const sim_checker *c, varve_db *db, const sim_state *state, bool may_fail, int *rc) {
  postings_names names = {0};
  if (!c->plan->indexes) return true;
  int got = varve_index_list(db, postings_name, &names);
  if (got < 0) return postings_error(c, got, "index_list", may_fail, rc);
  for (uint32_t i = 0; i < SIM_INDEXES; i++) {
    if (!names.strange && names.there[i] == (state->index[i] != SIM_INDEX_NONE)) continue;
    return sim_fail(c->world, "catalogue", "the indexes are others than expected");
  }
  for (uint32_t i = 0; i < SIM_INDEXES; i++) {
    if (names.there[i] && !postings_check_one(c, db, state, i, may_fail, rc)) return false;
  }
  return true;
}

/* ---- indexes of an image ---- */

static bool postings_has_duplicates(const sim_checker *c, uint32_t i, const sim_state *state) {
  postings all;
  if (!c->plan->index[i].unique) return false;
  postings_make(c, &c->plan->index[i], state->value[c->plan->index[i].space], &all);
  for (uint32_t n = 1; n < all.count; n++) {
    if (all.at[n].number == all.at[n - 1].number) return true;
  }
  return false;
}

static bool postings_go_on(const sim_checker *c, varve_db *db, const sim_state *state, uint32_t i) {
  static sim_extractor extractors[SIM_INDEXES]; /* the engine keeps the pointer */
  sim_extractor *x = &extractors[i];
  varve_keyspace *space;
  varve_index *ix;
  varve_index_report report;
  int rc = varve_keyspace_open(db, sim_space_name(c->plan->index[i].space), &space);
  if (rc < 0) return sim_fail(c->world, "error", "keyspace_open: %s", varve_errmsg(NULL));
  *x = (sim_extractor){NULL, &c->plan->index[i], i};
  varve_index_options o = sim_index_options(c->plan, i, space, x);
  rc = varve_index_open(db, sim_index_name(i), &o, &ix);
  if (rc == VARVE_EXISTS && postings_has_duplicates(c, i, state)) return true;
  if (rc != VARVE_OK) return sim_fail(c->world, "index", "opening index %u: %s", (unsigned)i, varve_errmsg(NULL));
  rc = varve_index_verify(ix, &report, NULL, NULL);
  bool ok = rc == VARVE_OK || sim_fail(c->world, "index", "verify: %s", varve_errmsg(NULL));
  int unused;
  return ok && sim_check_postings(c, ix, i, NULL, state->value[c->plan->index[i].space], false, &unused);
}

bool sim_check_go_on(const sim_checker *c, varve_db *db, const sim_state *state, bool *changed) {
  varve_index *ix;
  varve_index_info info;
  *changed = false;
  for (uint32_t i = 0; i < SIM_INDEXES; i++) {
    if (state->index[i] == SIM_INDEX_NONE) continue;
    int rc = varve_index_open(db, sim_index_name(i), NULL, &ix);
    if (rc == VARVE_OK) rc = varve_index_get_info(ix, &info);
    if (rc != VARVE_OK) return sim_fail(c->world, "error", "index_open: %s", varve_errmsg(NULL));
    *changed = *changed || !info.ready;
    c->world->counts.reached[SIM_COUNT_images_with_half_indexes] += !info.ready;
    if (!postings_go_on(c, db, state, i)) return false;
  }
  return true;
}
