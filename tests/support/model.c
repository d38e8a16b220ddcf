/* model.c: the histories of model.h.
 *
 * Keys come from a small set, so that they collide, shadow and delete each other: 1 to 4 letters of an alphabet of 3
 * (many are prefixes of others, and some hold the bytes 00 and ff), and some long ones with a common beginning. The
 * model of a keyspace is an array over that sorted set: the number of the value, 0 = absent. A value is made from its
 * number.
 */
#include "support/model.h"

#include "base/rng.h"
#include "varve.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEYS = 160, SPACES = 2, SNAPSHOTS = 4, KEY_MAX = 64, VALUE_MAX = 3000, BATCH_MAX = 24 };

typedef struct model_key {
  uint8_t size;
  uint8_t bytes[KEY_MAX];
} model_key;

typedef struct model_state {
  uint32_t value[SPACES][KEYS]; /* number of the value, 0 = absent */
} model_state;

typedef struct model {
  rng r;
  varve_db *db;
  varve_keyspace *space[SPACES]; /* [0] = NULL: the default one */
  varve_options options;
  const model_options *given;
  model_key key[KEYS];
  model_state now;
  struct {
    varve_snapshot *snapshot;
    model_state state;
  } old[SNAPSHOTS];
  uint32_t next_value, value_max, weight[12], weight_sum;
  uint32_t step;
  model_counts *counts;
  char *why;
  bool failed;
} model;

static bool model_fail(model *m, const char *format, ...) {
  if (m->failed) return false;
  m->failed = true;
  int at = snprintf(m->why, 512, "step %u: ", (unsigned)m->step);
  va_list args;
  va_start(args, format);
  (void)vsnprintf(m->why + at, 512 - (size_t)at, format, args);
  va_end(args);
  return false;
}

static bool model_ok(model *m, int rc, const char *what) {
  if (rc >= 0) return true;
  return model_fail(m, "%s: %s: %s", what, varve_status_name(rc), varve_errmsg(NULL));
}

/* ---- keys and values ---- */

static int model_key_compare(const void *a, const void *b) {
  const model_key *x = a, *y = b;
  int order = memcmp(x->bytes, y->bytes, MIN(x->size, y->size));
  return order != 0 ? order : (int)x->size - (int)y->size;
}

static model_key model_make_key(rng *r) {
  static const uint8_t letters[3][3] = {{'a', 'b', 'c'}, {0, 1, 0xff}, {'k', 0, 'z'}};
  model_key k = {0};
  if (rng_percent(r, 20)) {
    memcpy(k.bytes, "a rather long common beginning/", 31);
    k.size = 31;
  }
  const uint8_t *alphabet = letters[rng_below(r, 3)];
  uint32_t more = rng_below(r, 6); /* 0 gives the empty key, mostly */
  for (uint32_t i = 0; i < more; i++) k.bytes[k.size++] = alphabet[rng_below(r, 3)];
  return k;
}

static void model_make_keys(model *m) {
  uint32_t count = 0;
  while (count < KEYS) {
    model_key k = model_make_key(&m->r);
    bool known = false;
    for (uint32_t i = 0; i < count && !known; i++) known = model_key_compare(&m->key[i], &k) == 0;
    if (!known) m->key[count++] = k;
  }
  qsort(m->key, KEYS, sizeof m->key[0], model_key_compare);
}

static varve_slice model_slice(const model *m, uint32_t i) {
  varve_slice s = {m->key[i].bytes, m->key[i].size};
  return s;
}

static uint8_t model_value_bytes[VALUE_MAX];

static varve_slice model_value(const model *m, uint32_t number) {
  rng r = {number};
  uint32_t size = rng_percent(&r, 5) ? rng_below(&r, VALUE_MAX) : rng_below(&r, m->value_max);
  uint8_t repeat = (uint8_t)(1 + rng_below(&r, 8)); /* some compress well */
  for (uint32_t i = 0; i < size; i++) {
    model_value_bytes[i] = i % repeat == 0 ? (uint8_t)rng_next(&r) : model_value_bytes[i - 1];
  }
  varve_slice s = {model_value_bytes, size};
  return s;
}

static bool model_same_value(const model *m, varve_slice got, uint32_t number) {
  varve_slice wanted = model_value(m, number);
  return got.size == wanted.size && (got.size == 0 || memcmp(got.data, wanted.data, got.size) == 0);
}

/* ---- checks ---- */

static bool model_check_get(model *m, const model_state *state, const varve_snapshot *snapshot, uint32_t space,
                            uint32_t i) {
  varve_read_options o = {snapshot, m->space[space]};
  varve_value v;
  int rc = varve_get(m->db, model_slice(m, i), &o, &v);
  if (!model_ok(m, rc, "get")) return false;
  uint32_t wanted = state->value[space][i];
  if ((rc == VARVE_OK) != (wanted != 0)) {
    return model_fail(m, "get of key %u in space %u says %s, value %u was expected", (unsigned)i, (unsigned)space,
                      varve_status_name(rc), (unsigned)wanted);
  }
  if (rc != VARVE_OK) return true;
  varve_slice got = {v.data, v.size};
  bool same = model_same_value(m, got, wanted);
  varve_value_release(&v);
  return same || model_fail(m, "get of key %u found another value than number %u", (unsigned)i, (unsigned)wanted);
}

/* Whether the iterator, with the outcome rc, is on model position i (KEYS or -1 = on none). */
static bool model_check_at(model *m, const model_state *state, uint32_t space, varve_iter *it, int rc, int64_t i) {
  if (!model_ok(m, rc, "iterator")) return false;
  bool wanted = i >= 0 && i < KEYS;
  if ((rc == VARVE_OK) != wanted) {
    return model_fail(m, "the iterator says %s, position %lld was expected", varve_status_name(rc), (long long)i);
  }
  if (!wanted) return true;
  varve_slice key = varve_iter_key(it), expected = model_slice(m, (uint32_t)i);
  if (key.size != expected.size || memcmp(key.data, expected.data, key.size) != 0) {
    return model_fail(m, "the iterator is on another key than number %lld", (long long)i);
  }
  if (model_same_value(m, varve_iter_value(it), state->value[space][i])) return true;
  return model_fail(m, "the iterator shows another value at key %lld", (long long)i);
}

static int64_t model_next(const model_state *state, uint32_t space, int64_t i, int64_t high) {
  do i++;
  while (i < high && state->value[space][i] == 0);
  return i < high ? i : KEYS;
}

static int64_t model_prev(const model_state *state, uint32_t space, int64_t i, int64_t low) {
  do i--;
  while (i >= low && state->value[space][i] == 0);
  return i >= low ? i : -1;
}

/* A walk of random moves between two bounds. */
static bool model_walk(model *m, const model_state *state, uint32_t space, varve_iter *it, int64_t low, int64_t high) {
  int64_t at = KEYS;
  uint32_t moves = 1 + rng_below(&m->r, 60);
  uint32_t forward = rng_below(&m->r, 101);
  for (uint32_t k = 0; k < moves; k++) {
    bool placed = at >= 0 && at < KEYS;
    uint32_t what = placed ? rng_below(&m->r, 20) : rng_below(&m->r, 4);
    uint32_t target = rng_below(&m->r, KEYS);
    int rc;
    if (what == 0) {
      rc = varve_iter_first(it);
      at = model_next(state, space, low - 1, high);
    } else if (what == 1) {
      rc = varve_iter_last(it);
      at = model_prev(state, space, high, low);
    } else if (what == 2) {
      rc = varve_iter_seek(it, model_slice(m, target));
      at = model_next(state, space, MAX((int64_t)target, low) - 1, high);
    } else if (what == 3) {
      rc = varve_iter_seek_for_prev(it, model_slice(m, target));
      at = model_prev(state, space, MIN((int64_t)target + 1, high), low);
    } else if (rng_percent(&m->r, forward)) {
      rc = varve_iter_next(it);
      at = model_next(state, space, at, high);
    } else {
      rc = varve_iter_prev(it);
      at = model_prev(state, space, at, low);
    }
    m->counts->iterated++;
    if (!model_check_at(m, state, space, it, rc, at)) return false;
  }
  return true;
}

/* An iterator with random bounds: all of it, or [key low, key high), or the keys that begin like one. */
static bool model_iterate(model *m, const model_state *state, const varve_snapshot *snapshot, uint32_t space) {
  varve_iter_options o = {.snapshot = snapshot, .keyspace = m->space[space]};
  int64_t low = 0, high = KEYS;
  if (rng_percent(&m->r, 40)) {
    low = rng_below(&m->r, KEYS);
    high = low + rng_below(&m->r, (uint32_t)(KEYS - low));
    high = MAX(high, 1); /* the first key may be the empty one, which is no bound */
    o.lower = model_slice(m, (uint32_t)low);
    if (high < KEYS) o.upper = model_slice(m, (uint32_t)high);
  }
  if (rng_percent(&m->r, 30)) {
    uint32_t like = 1 + rng_below(&m->r, KEYS - 1);
    o.prefix = model_slice(m, like);
    o.prefix.size = 1 + rng_below(&m->r, (uint32_t)o.prefix.size);
    int64_t from = 0, to;
    while (from < KEYS &&
           (m->key[from].size < o.prefix.size || memcmp(m->key[from].bytes, o.prefix.data, o.prefix.size) != 0)) {
      from++;
    }
    for (to = from; to < KEYS && m->key[to].size >= o.prefix.size; to++) {
      if (memcmp(m->key[to].bytes, o.prefix.data, o.prefix.size) != 0) break;
    }
    low = MAX(low, from);
    high = MIN(high, to);
  }
  varve_iter *it;
  if (!model_ok(m, varve_iter_open(m->db, &o, &it), "iter_open")) return false;
  bool ok = model_walk(m, state, space, it, low, high);
  varve_iter_close(it);
  return ok;
}

static bool model_check_all(model *m, const model_state *state, const varve_snapshot *snapshot) {
  for (uint32_t space = 0; space < SPACES; space++) {
    varve_iter_options o = {.snapshot = snapshot, .keyspace = m->space[space]};
    varve_iter *it;
    if (!model_ok(m, varve_iter_open(m->db, &o, &it), "iter_open")) return false;
    int64_t at = model_next(state, space, -1, KEYS);
    bool ok = model_check_at(m, state, space, it, varve_iter_first(it), at);
    while (ok && at < KEYS) {
      at = model_next(state, space, at, KEYS);
      ok = model_check_at(m, state, space, it, varve_iter_next(it), at);
    }
    at = model_prev(state, space, KEYS, 0);
    ok = ok && model_check_at(m, state, space, it, varve_iter_last(it), at);
    while (ok && at >= 0) {
      at = model_prev(state, space, at, 0);
      ok = model_check_at(m, state, space, it, varve_iter_prev(it), at);
    }
    varve_iter_close(it);
    for (uint32_t i = 0; ok && i < KEYS; i++) ok = model_check_get(m, state, snapshot, space, i);
    if (!ok) return false;
  }
  return true;
}

/* ---- changes ---- */

static uint32_t model_space(model *m) {
  return rng_percent(&m->r, 25) ? 1 : 0;
}

static bool model_put(model *m) {
  uint32_t space = model_space(m), i = rng_below(&m->r, KEYS), number = m->next_value++;
  varve_write_options o = {rng_percent(&m->r, 3) ? VARVE_STRICT : VARVE_DURABILITY_DEFAULT, m->space[space]};
  if (!model_ok(m, varve_put(m->db, model_slice(m, i), model_value(m, number), &o), "put")) return false;
  m->now.value[space][i] = number;
  return true;
}

static bool model_delete(model *m) {
  uint32_t space = model_space(m), i = rng_below(&m->r, KEYS);
  varve_write_options o = {VARVE_DURABILITY_DEFAULT, m->space[space]};
  if (!model_ok(m, varve_delete(m->db, model_slice(m, i), &o), "delete")) return false;
  m->now.value[space][i] = 0;
  return true;
}

/* A range, mostly a short one; high = KEYS stands for no end. */
static void model_range(model *m, uint32_t *low, uint32_t *high) {
  *low = rng_below(&m->r, KEYS);
  uint32_t span = rng_percent(&m->r, 80) ? rng_below(&m->r, 12) : rng_below(&m->r, KEYS);
  *high = MAX(MIN(*low + span, (uint32_t)KEYS), 1u); /* an empty end is none */
}

static bool model_delete_range(model *m) {
  uint32_t space = model_space(m), low, high;
  model_range(m, &low, &high);
  varve_write_options o = {VARVE_DURABILITY_DEFAULT, m->space[space]};
  varve_slice end = {NULL, 0};
  if (high < KEYS) end = model_slice(m, high);
  if (!model_ok(m, varve_delete_range(m->db, model_slice(m, low), end, &o), "delete_range")) return false;
  for (uint32_t i = low; i < high; i++) m->now.value[space][i] = 0;
  m->counts->range_deletes++;
  return true;
}

static bool model_batch(model *m) {
  varve_batch *b;
  if (!model_ok(m, varve_batch_create(&b), "batch_create")) return false;
  model_state after = m->now;
  uint32_t count = 1 + rng_below(&m->r, BATCH_MAX);
  int rc = VARVE_OK;
  for (uint32_t k = 0; k < count && rc >= 0; k++) {
    uint32_t space = model_space(m), i = rng_below(&m->r, KEYS), what = rng_below(&m->r, 10);
    if (what < 6) {
      uint32_t number = m->next_value++;
      rc = varve_batch_put(b, m->space[space], model_slice(m, i), model_value(m, number));
      after.value[space][i] = number;
    } else if (what < 9) {
      rc = varve_batch_delete(b, m->space[space], model_slice(m, i));
      after.value[space][i] = 0;
    } else {
      uint32_t low, high;
      model_range(m, &low, &high);
      if (high == KEYS) high = KEYS - 1;
      rc = varve_batch_delete_range(b, m->space[space], model_slice(m, low), model_slice(m, high));
      for (uint32_t d = low; d < high; d++) after.value[space][d] = 0;
    }
  }
  if (rc >= 0) rc = varve_write(m->db, b, NULL);
  varve_batch_destroy(b);
  m->now = after;
  m->counts->batches++;
  return model_ok(m, rc, "batch");
}

static bool model_snapshot(model *m) {
  uint32_t i = rng_below(&m->r, SNAPSHOTS);
  if (m->old[i].snapshot != NULL) {
    m->counts->snapshots_read++;
    if (!model_check_all(m, &m->old[i].state, m->old[i].snapshot)) return false;
    varve_snapshot_close(m->old[i].snapshot);
    m->old[i].snapshot = NULL;
    return true;
  }
  m->old[i].state = m->now;
  return model_ok(m, varve_snapshot_open(m->db, &m->old[i].snapshot), "snapshot_open");
}

static bool model_read_snapshot(model *m) {
  uint32_t i = rng_below(&m->r, SNAPSHOTS);
  if (m->old[i].snapshot == NULL) return true;
  return model_iterate(m, &m->old[i].state, m->old[i].snapshot, model_space(m));
}

/* ---- opening ---- */

static bool model_open(model *m) {
  if (!model_ok(m, varve_open(m->given->path, &m->options, &m->db), "open")) return false;
  return model_ok(m, varve_keyspace_open(m->db, VARVE_STR("other"), &m->space[1]), "keyspace_open");
}

static bool model_close(model *m) {
  for (uint32_t i = 0; i < SNAPSHOTS; i++) {
    varve_snapshot_close(m->old[i].snapshot);
    m->old[i].snapshot = NULL;
  }
  varve_stats s;
  if (!model_ok(m, varve_get_stats(m->db, &s), "stats")) return false;
  m->counts->flushes += s.flushes;
  m->counts->compactions += s.compactions;
  m->counts->moves += s.trivial_moves;
  int rc = varve_close(m->db);
  if (rc != VARVE_BUSY) m->db = NULL;
  return model_ok(m, rc, "close");
}

static bool model_reopen(model *m) {
  if (strcmp(m->given->path, ":memory:") == 0) return true;
  m->counts->reopens++;
  return model_close(m) && model_open(m) && model_check_all(m, &m->now, NULL);
}

static bool model_verify(model *m) {
  varve_verify_report report;
  return model_ok(m, varve_verify(m->db, &report, NULL, NULL), "verify");
}

/* ---- the run ---- */

static bool model_step(model *m) {
  uint32_t draw = rng_below(&m->r, m->weight_sum), what = 0;
  while (draw >= m->weight[what]) draw -= m->weight[what++];
  m->counts->operations++;
  switch (what) {
    case 0:
      return model_put(m);
    case 1:
      return model_delete(m);
    case 2:
      return model_delete_range(m);
    case 3:
      return model_batch(m);
    case 4:
      return model_check_get(m, &m->now, NULL, model_space(m), rng_below(&m->r, KEYS));
    case 5:
      return model_iterate(m, &m->now, NULL, model_space(m));
    case 6:
      return model_snapshot(m);
    case 7:
      return model_read_snapshot(m);
    case 8:
      return model_ok(m, varve_flush(m->db), "flush");
    case 9:
      return model_ok(m, varve_compact(m->db, NULL, NULL), "compact");
    case 10:
      return model_reopen(m);
    default:
      return model_ok(m, varve_work(m->db, rng_below(&m->r, 20000), NULL), "work");
  }
}

static void model_draw(model *m) {
  static const uint32_t usual[12] = {400, 100, 40, 60, 100, 60, 20, 20, 12, 3, 4, 40};
  rng *r = &m->r;
  for (uint32_t i = 0; i < 12; i++) {
    m->weight[i] = i > 0 && rng_percent(r, 25) ? 0 : usual[i] * (1 + rng_below(r, 4));
    m->weight_sum += m->weight[i];
  }
  m->value_max = 1 + rng_below(r, 200);
  m->options.no_thread = rng_percent(r, 70);
  m->options.no_mmap = rng_percent(r, 50);
  m->options.compression = rng_percent(r, 50) ? VARVE_COMPRESSION_NONE : VARVE_COMPRESSION_LZ4;
  m->options.memtable_bytes = 1; /* as small as this build allows */
  m->options.table_bytes = 1;
  m->options.memory_bytes = rng_percent(r, 50) ? 1 : 0;
  m->options.block_bytes = 1 + rng_below(r, 1024);
  m->options.bloom_bits = rng_percent(r, 20) ? 1 : 0;
  m->options.l0_runs = 2 + rng_below(r, 4);
  m->options.level_fanout = 2 + rng_below(r, 4);
}

bool model_run(uint64_t seed, const model_options *given, model_counts *counts, char why[512]) {
  model *m = calloc(1, sizeof *m);
  if (m == NULL) abort();
  m->r.state = seed;
  m->given = given;
  m->counts = counts;
  m->why = why;
  m->next_value = 1;
  why[0] = '\0';
  model_make_keys(m);
  model_draw(m);
  bool ok = model_open(m);
  for (; ok && m->step < given->steps; m->step++) ok = model_step(m);
  ok = ok && model_check_all(m, &m->now, NULL) && model_verify(m) && model_reopen(m);
  if (m->db != NULL) ok = model_close(m) && ok;
  free(m);
  return ok;
}
