/* txn_model_test.c: random transactions, several at once on one thread, against a model that keeps every state that the
 * database ever had: each read, each step of each iterator and the outcome of each commit must be what the model says,
 * CONFLICT and OK alike, while the database is flushed and compacted in between.
 *
 * Places on the line of keys: key i is at 2 i, what lies between it and the next at 2 i + 1. A read and a change are
 * spans [from, to) of places; two of them meet when they share one.
 */
#include "unit/api/engine_bed.h"

enum { KEYS = 24, COMMITS_MAX = 4000, TXNS = 4, ITERS = 6, SPANS_MAX = 4000, MARKS_MAX = 8, END = 2 * KEYS };
enum { ABSENT = 0, UNWRITTEN = -1 };

typedef struct span {
  int from, to;
} span;

typedef struct spans {
  span list[SPANS_MAX];
  int count;
} spans;

typedef struct model_txn {
  varve_txn *txn;
  varve_isolation level;
  bool read_only;
  int begun; /* after so many commits */
  int own[KEYS];
  spans reads, writes;
  struct {
    int own[KEYS], writes;
  } marks[MARKS_MAX];
  uint32_t mark_count;
} model_txn;

typedef struct model_iter {
  varve_iter *it;
  model_txn *of;                /* NULL when that is over */
  int seen[KEYS], lower, upper; /* keys lower <= k < upper */
  int at;                       /* KEYS = nowhere */
} model_iter;

typedef struct world {
  rng r;
  varve_db *db;
  size_t key_size;
  bool exact; /* no widening is to be expected */
  int states[COMMITS_MAX + 1][KEYS];
  int changes_from[COMMITS_MAX + 2]; /* spans of commit n: changes[from[n] .. from[n + 1]) */
  span changes[COMMITS_MAX * 8];
  int commits, change_count, next_value;
  model_txn txns[TXNS];
  model_iter iters[ITERS];
  uint64_t ok, conflicts, steps, too_often;
} world;

static uint8_t world_pad[512];

static varve_slice world_key(const world *w, char text[512], int k) {
  memcpy(text, world_pad, sizeof world_pad);
  text[0] = (char)('a' + k / 10);
  text[1] = (char)('0' + k % 10);
  varve_slice s = {text, w->key_size};
  return s;
}

static int world_key_of(varve_slice key) {
  const char *p = key.data;
  return (p[0] - 'a') * 10 + (p[1] - '0');
}

static int below(world *w, int n) {
  return (int)rng_below(&w->r, (uint32_t)n);
}

static void spans_add(spans *s, int from, int to) {
  if (from >= to) return;
  assert_true(s->count < SPANS_MAX);
  s->list[s->count++] = (span){from, to};
}

/* ---- commits ---- */

static void world_change(world *w, int from, int to) {
  assert_true(w->change_count < COMMITS_MAX * 8);
  w->changes[w->change_count++] = (span){from, to};
}

static void world_committed(world *w, const int own[KEYS]) {
  assert_true(w->commits < COMMITS_MAX);
  w->commits++;
  for (int k = 0; k < KEYS; k++) {
    w->states[w->commits][k] = own[k] == UNWRITTEN ? w->states[w->commits - 1][k] : own[k];
  }
  w->changes_from[w->commits + 1] = w->change_count;
}

static bool world_meets(const world *w, int begun, const spans *s) {
  for (int c = w->changes_from[begun + 1]; c < w->change_count; c++) {
    for (int i = 0; i < s->count; i++) {
      if (w->changes[c].from < s->list[i].to && s->list[i].from < w->changes[c].to) return true;
    }
  }
  return false;
}

/* Changes by nobody's transaction. */
static void world_plain(world *w) {
  int own[KEYS];
  for (int k = 0; k < KEYS; k++) own[k] = UNWRITTEN;
  char a[512], b[512];
  int k = below(w, KEYS), end = k + 1 + below(w, 4);
  varve_slice value = {&w->next_value, sizeof w->next_value};
  w->next_value++;
  switch (below(w, 4)) {
    case 0:
      TEST_OK(varve_delete(w->db, world_key(w, a, k), NULL));
      own[k] = ABSENT;
      world_change(w, 2 * k, 2 * k + 1);
      break;
    case 1:
      TEST_OK(varve_delete_range(w->db, world_key(w, a, k), world_key(w, b, MIN(end, KEYS)), NULL));
      for (int i = k; i < MIN(end, KEYS); i++) own[i] = ABSENT;
      world_change(w, 2 * k, 2 * MIN(end, KEYS));
      break;
    default:
      TEST_OK(varve_put(w->db, world_key(w, a, k), value, NULL));
      own[k] = w->next_value;
      world_change(w, 2 * k, 2 * k + 1);
  }
  world_committed(w, own);
}

/* ---- reads ---- */

static int txn_sees(const world *w, const model_txn *t, int k) {
  if (t->own[k] != UNWRITTEN) return t->own[k];
  return w->states[t->level == VARVE_READ_COMMITTED ? w->commits : t->begun][k];
}

static void check_value(varve_slice v, int wanted) {
  int got;
  assert_int_equal(v.size, sizeof got);
  memcpy(&got, v.data, sizeof got);
  assert_int_equal(got, wanted);
}

static void txn_step_get(world *w, model_txn *t) {
  char text[512];
  int k = below(w, KEYS), wanted = txn_sees(w, t, k);
  varve_value v = {0};
  bool has = below(w, 3) == 0;
  int rc =
      has ? varve_txn_has(t->txn, world_key(w, text, k), NULL) : varve_txn_get(t->txn, world_key(w, text, k), NULL, &v);
  TEST_RC(rc, wanted == ABSENT ? VARVE_NOTFOUND : VARVE_OK);
  if (!has && wanted != ABSENT) check_value((varve_slice){v.data, v.size}, wanted);
  varve_value_release(&v);
  if (t->own[k] == UNWRITTEN) spans_add(&t->reads, 2 * k, 2 * k + 1);
}

/* ---- iterators ---- */

static void iter_open(world *w, model_txn *t, model_iter *m) {
  char a[512], b[512];
  varve_iter_options o = {0};
  m->of = t;
  m->lower = below(w, 2) == 0 ? 0 : below(w, KEYS);
  m->upper = below(w, 2) == 0 ? KEYS : below(w, KEYS + 1);
  if (m->lower > 0) o.lower = world_key(w, a, m->lower);
  if (m->upper < KEYS) o.upper = world_key(w, b, m->upper);
  TEST_OK(varve_txn_iter_open(t->txn, &o, &m->it));
  for (int k = 0; k < KEYS; k++) m->seen[k] = txn_sees(w, t, k);
  m->at = KEYS;
}

static int iter_after(const model_iter *m, int k) {
  for (k = MAX(k, m->lower); k < m->upper; k++) {
    if (m->seen[k] != ABSENT) return k;
  }
  return KEYS;
}

static int iter_before(const model_iter *m, int k) {
  for (k = MIN(k, m->upper - 1); k >= m->lower; k--) {
    if (m->seen[k] != ABSENT) return k;
  }
  return KEYS;
}

static void iter_move(world *w, model_iter *m) {
  char text[512];
  int top = m->upper == KEYS ? END : 2 * m->upper, bottom = m->lower == 0 ? -1 : 2 * m->lower, rc, to;
  int k = below(w, KEYS), kind = below(w, 10);
  span read = {0, 0};
  if (m->at == KEYS && kind >= 4) kind = below(w, 4);
  switch (kind) {
    case 0:
      rc = varve_iter_first(m->it);
      to = iter_after(m, 0);
      read = (span){bottom, to == KEYS ? top : 2 * to + 1};
      break;
    case 1:
      rc = varve_iter_last(m->it);
      to = iter_before(m, KEYS);
      read = (span){to == KEYS ? bottom : 2 * to, top};
      break;
    case 2:
      rc = varve_iter_seek(m->it, world_key(w, text, k));
      to = iter_after(m, k);
      read = (span){MAX(2 * k, bottom), to == KEYS ? top : 2 * to + 1};
      break;
    case 3:
      rc = varve_iter_seek_for_prev(m->it, world_key(w, text, k));
      to = iter_before(m, k);
      read = (span){to == KEYS ? bottom : 2 * to, MIN(2 * k + 1, top)};
      break;
    case 4:
    case 5:
      rc = varve_iter_prev(m->it);
      to = iter_before(m, m->at - 1);
      read = (span){to == KEYS ? bottom : 2 * to, 2 * m->at};
      break;
    default:
      rc = varve_iter_next(m->it);
      to = iter_after(m, m->at + 1);
      read = (span){2 * m->at, to == KEYS ? top : 2 * to + 1};
  }
  w->steps++;
  m->at = to;
  TEST_RC(rc, to == KEYS ? VARVE_DONE : VARVE_OK);
  if (to != KEYS) {
    assert_int_equal(world_key_of(varve_iter_key(m->it)), to);
    check_value(varve_iter_value(m->it), m->seen[to]);
  }
  if (m->of != NULL) spans_add(&m->of->reads, read.from, read.to);
}

/* ---- transactions ---- */

static void txn_step_write(world *w, model_txn *t) {
  char a[512], b[512];
  int k = below(w, KEYS), kind = below(w, 8), end = k + 1 + below(w, 5);
  varve_slice value = {&w->next_value, sizeof w->next_value};
  w->next_value++;
  end = MIN(end, KEYS);
  int rc;
  if (kind == 0) {
    rc = varve_txn_delete_range(t->txn, NULL, world_key(w, a, k), world_key(w, b, end));
  } else if (kind <= 2) {
    rc = varve_txn_delete(t->txn, NULL, world_key(w, a, k));
  } else {
    rc = varve_txn_put(t->txn, NULL, world_key(w, a, k), value);
  }
  TEST_RC(rc, t->read_only ? VARVE_READONLY : VARVE_OK);
  if (t->read_only) return;
  if (kind != 0) end = k + 1;
  for (int i = k; i < end; i++) t->own[i] = kind <= 2 ? ABSENT : w->next_value;
  spans_add(&t->writes, 2 * k, kind == 0 ? 2 * end : 2 * k + 1);
}

static void txn_step_savepoint(world *w, model_txn *t) {
  uint32_t number;
  if (t->mark_count < MARKS_MAX && below(w, 2) == 0) {
    TEST_OK(varve_txn_savepoint(t->txn, &number));
    memcpy(t->marks[t->mark_count].own, t->own, sizeof t->own);
    t->marks[t->mark_count++].writes = t->writes.count;
    assert_int_equal(number, t->mark_count);
    return;
  }
  TEST_RC(varve_txn_rollback_to(t->txn, t->mark_count + 1), VARVE_INVALID);
  if (t->mark_count == 0) return;
  number = 1 + (uint32_t)below(w, (int)t->mark_count);
  if (below(w, 3) == 0) {
    TEST_OK(varve_txn_release(t->txn, number));
    t->mark_count = number - 1;
    return;
  }
  TEST_OK(varve_txn_rollback_to(t->txn, number));
  memcpy(t->own, t->marks[number - 1].own, sizeof t->own);
  t->writes.count = t->marks[number - 1].writes;
  t->mark_count = number;
}

static void txn_over(world *w, model_txn *t) {
  TEST_RC(varve_txn_put(t->txn, NULL, VARVE_STR("x"), VARVE_STR("y")), VARVE_CLOSED);
  TEST_RC(varve_txn_commit(t->txn), VARVE_CLOSED);
  varve_txn_close(t->txn);
  t->txn = NULL;
  for (int i = 0; i < ITERS; i++) {
    if (w->iters[i].of == t) w->iters[i].of = NULL; /* some of them go on */
  }
}

static void txn_step_commit(world *w, model_txn *t) {
  bool conflict = false;
  if (t->writes.count > 0 && t->level >= VARVE_SNAPSHOT) conflict = world_meets(w, t->begun, &t->writes);
  if (t->writes.count > 0 && t->level == VARVE_SERIALIZABLE) conflict |= world_meets(w, t->begun, &t->reads);
  int rc = varve_txn_commit(t->txn);
  if (rc == VARVE_CONFLICT && !conflict && !w->exact) {
    assert_int_equal(t->level, VARVE_SERIALIZABLE);
    w->too_often++;
  } else {
    TEST_RC(rc, conflict ? VARVE_CONFLICT : VARVE_OK);
  }
  if (rc == VARVE_OK && t->writes.count > 0) {
    for (int i = 0; i < t->writes.count; i++) world_change(w, t->writes.list[i].from, t->writes.list[i].to);
    world_committed(w, t->own);
  }
  if (rc == VARVE_OK) w->ok++;
  if (rc == VARVE_CONFLICT) w->conflicts++;
  txn_over(w, t);
}

static void txn_begin_one(world *w, model_txn *t) {
  memset(t, 0, sizeof *t);
  t->level = (varve_isolation)(1 + below(w, 3));
  if (!w->exact) t->level = VARVE_SERIALIZABLE;
  t->read_only = w->exact && below(w, 10) == 0;
  t->begun = w->commits;
  for (int k = 0; k < KEYS; k++) t->own[k] = UNWRITTEN;
  varve_txn_options o = {.isolation = t->level, .read_only = t->read_only, .read_set_bytes = w->exact ? 0 : 1};
  TEST_OK(varve_txn_begin(w->db, &o, &t->txn));
}

static void world_step(world *w) {
  model_txn *t = &w->txns[below(w, TXNS)];
  model_iter *m = &w->iters[below(w, ITERS)];
  if (t->txn == NULL) txn_begin_one(w, t);
  if (t->reads.count > SPANS_MAX - 2) {
    txn_step_commit(w, t);
    return;
  }
  int kind = below(w, 100);
  if (kind < 4) {
    world_plain(w);
  } else if (kind < 30) {
    txn_step_get(w, t);
  } else if (kind < 55) {
    if (w->exact || below(w, 8) == 0) txn_step_write(w, t);
  } else if (kind < 60) {
    txn_step_savepoint(w, t);
  } else if (kind < 65) {
    if (w->exact || below(w, 4) == 0) txn_step_commit(w, t); /* longer ones have more to widen */
  } else if (kind == 65) {
    TEST_OK(varve_txn_rollback(t->txn));
    txn_over(w, t);
  } else if (kind == 66) {
    TEST_OK(below(w, 4) > 0 ? varve_flush(w->db) : varve_compact(w->db, NULL, NULL));
  } else if (m->it == NULL) {
    iter_open(w, t, m);
  } else if (kind < 70) {
    varve_iter_close(m->it);
    m->it = NULL;
  } else {
    if (m->of == NULL || m->of->reads.count < SPANS_MAX) iter_move(w, m);
  }
}

static void world_end(world *w) {
  for (int i = 0; i < TXNS; i++) varve_txn_close(w->txns[i].txn);
  for (int i = 0; i < ITERS; i++) varve_iter_close(w->iters[i].it);
  for (int k = 0; k < KEYS; k++) {
    char text[512];
    TEST_RC(varve_has(w->db, world_key(w, text, k), NULL),
            w->states[w->commits][k] == ABSENT ? VARVE_NOTFOUND : VARVE_OK);
  }
  varve_stats s = bed_stats(w->db);
  assert_int_equal(s.transactions, 0);
  assert_int_equal(s.snapshots, 0);
  assert_true(s.conflicts == w->conflicts);
  TEST_OK(varve_close(w->db));
}

static void run_world(const char *name, bool exact, size_t key_size, bool threads, uint32_t steps) {
  world *w = calloc(1, sizeof *w);
  assert_non_null(w);
  w->r = test_rng(name);
  w->exact = exact;
  w->key_size = key_size;
  memset(world_pad, 'p', sizeof world_pad);
  varve_options o = {.no_thread = !threads, .memtable_bytes = 1};
  TEST_OK(varve_open(":memory:", &o, &w->db));
  uint64_t ok = 0, conflicts = 0;
  for (uint32_t i = 0; i < steps && w->commits < COMMITS_MAX - 1 && w->change_count < COMMITS_MAX * 8 - 100; i++) {
    world_step(w);
  }
  ok = w->ok;
  conflicts = w->conflicts;
  assert_true(ok > steps / 1000 && conflicts > steps / 1000);
  print_message("%s: %llu committed, %llu conflicts (%llu by widening), %llu steps of iterators\n", name,
                (unsigned long long)ok, (unsigned long long)conflicts, (unsigned long long)w->too_often,
                (unsigned long long)w->steps);
  world_end(w);
  free(w);
}

static void test_exact(void **state) {
  (void)state;
  run_world("exact", true, 2, false, test_scale(40000));
}

static void test_exact_with_thread(void **state) {
  (void)state;
  run_world("with thread", true, 200, true, test_scale(20000));
}

static void test_widening(void **state) {
  (void)state;
  run_world("widening", false, 400, false, test_scale(20000));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_exact), cmocka_unit_test(test_exact_with_thread),
                                     cmocka_unit_test(test_widening)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
