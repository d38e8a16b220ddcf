/* history_test.c: random histories of transactions over few keys, interleaved on one thread and on several threads, and
 * what history.h finds in them: at each level nothing that the level forbids; of what it allows, enough to see that the
 * search finds it; and with a bug planted, the anomaly that the bug lets through.
 *
 * VARVE_TEST_SCALE=1500 makes about 100,000 transactions.
 */
#include "support/test.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/history.h"
#include "varve.h"

enum { SLOTS = 5, STEPS_MAX = 256, THREADS = 4, READ_COMMITTED = 1, SNAPSHOT = 2, SERIALIZABLE = 3 };

typedef enum plant {
  PLANT_NOTHING,
  PLANT_LOWER,    /* transactions run at the level below the one that is claimed */
  PLANT_KEYS_ONLY /* a scan notes the keys that it found and not the range */
} plant;

typedef struct slot {
  varve_txn *txn;
  varve_snapshot *beside; /* PLANT_KEYS_ONLY: scans read here */
  uint32_t number, left;
  bool reads_only;
  history_txn meta;
  history_step steps[STEPS_MAX];
  size_t count;
} slot;

typedef struct story {
  varve_db *db;
  int level;
  plant plant;
  pthread_mutex_t lock; /* of the history, with threads */
  history h;
  atomic_uint next;
  uint32_t transactions;
  atomic_uint failures;
  char why[300];
} story;

typedef struct teller {
  story *s;
  rng r;
  pthread_t thread;
} teller;

static void story_check(story *s, int rc, const char *what) {
  if (rc >= 0) return;
  if (atomic_fetch_add(&s->failures, 1) > 0) return;
  (void)snprintf(s->why, sizeof s->why, "%s: %s", what, varve_errmsg(NULL));
}

static varve_slice story_key(char text[8], uint32_t k) {
  int n = snprintf(text, 8, "k%02u", k);
  varve_slice s = {text, (size_t)n};
  return s;
}

/* ---- steps ---- */

static history_step *slot_note(slot *t, uint32_t key) {
  assert_true(t->count < STEPS_MAX);
  history_step *step = &t->steps[t->count];
  *step = (history_step){.key = (uint8_t)key, .at = (uint32_t)t->count};
  t->count++;
  return step;
}

static void slot_saw(history_step *step, const void *data, size_t size) {
  uint32_t value[2];
  if (size != sizeof value) {
    step->writer = UINT32_MAX; /* nobody wrote that */
    return;
  }
  memcpy(value, data, sizeof value);
  step->writer = value[0];
  step->at = value[1];
}

static void slot_get(story *s, slot *t, uint32_t key) {
  char text[8];
  varve_value v;
  int rc = varve_txn_get(t->txn, story_key(text, key), NULL, &v);
  story_check(s, rc, "get");
  history_step *step = slot_note(t, key);
  step->none = rc == VARVE_NOTFOUND;
  if (rc == VARVE_OK) slot_saw(step, v.data, v.size);
  varve_value_release(&v);
}

static void slot_put(story *s, slot *t, uint32_t key) {
  char text[8];
  uint32_t value[2] = {t->number, (uint32_t)t->count};
  slot_note(t, key)->write = true;
  story_check(s, varve_txn_put(t->txn, NULL, story_key(text, key), (varve_slice){value, sizeof value}), "put");
}

static void slot_delete(story *s, slot *t, uint32_t from, uint32_t to) {
  char a[8], b[8];
  story_check(s,
              to == from + 1 ? varve_txn_delete(t->txn, NULL, story_key(a, from))
                             : varve_txn_delete_range(t->txn, NULL, story_key(a, from), story_key(b, to)),
              "delete");
  for (uint32_t k = from; k < to; k++) {
    history_step *step = slot_note(t, k);
    step->write = step->none = true;
  }
}

static int slot_scan_open(story *s, slot *t, const varve_iter_options *o, varve_iter **it) {
  if (t->beside == NULL) return varve_txn_iter_open(t->txn, o, it);
  varve_iter_options other = *o;
  other.snapshot = t->beside;
  return varve_iter_open(s->db, &other, it);
}

/* A walk over from <= k < to, up to `limit` entries; what it did not find it has read as well. */
static void slot_scan(story *s, slot *t, uint32_t from, uint32_t to, bool backward, uint32_t limit) {
  char a[8], b[8];
  varve_iter *it;
  varve_iter_options o = {.lower = story_key(a, from), .upper = story_key(b, to)};
  uint32_t next = backward ? to - 1 : from, seen = 0;
  int rc = slot_scan_open(s, t, &o, &it);
  story_check(s, rc, "scan");
  if (rc < 0) return;
  rc = backward ? varve_iter_last(it) : varve_iter_first(it);
  for (; rc == VARVE_OK; rc = backward ? varve_iter_prev(it) : varve_iter_next(it)) {
    varve_slice key = varve_iter_key(it), value = varve_iter_value(it);
    uint32_t k = (uint32_t)(((const char *)key.data)[1] - '0') * 10 + (uint32_t)(((const char *)key.data)[2] - '0');
    for (; next != k; next += backward ? UINT32_MAX : 1) {
      history_step *gap = slot_note(t, next);
      gap->range = gap->none = true;
    }
    history_step *step = slot_note(t, k);
    step->range = true;
    slot_saw(step, value.data, value.size);
    next += backward ? UINT32_MAX : 1;
    if (t->beside != NULL) story_check(s, varve_txn_has(t->txn, key, NULL), "has");
    if (++seen == limit) break;
  }
  story_check(s, rc, "scan");
  if (rc == VARVE_DONE) {
    for (; backward ? next + 1 != from : next != to; next += backward ? UINT32_MAX : 1) {
      history_step *gap = slot_note(t, next);
      gap->range = gap->none = true;
    }
  }
  varve_iter_close(it);
}

static void slot_step(story *s, slot *t, rng *r) {
  uint32_t kind = rng_below(r, 100), k = rng_below(r, HISTORY_KEYS), to = k + 1 + rng_below(r, HISTORY_KEYS - k);
  if (t->reads_only && kind >= 45 && kind < 80) kind -= 45;
  if (kind < 45) {
    slot_get(s, t, k);
  } else if (kind < 70) {
    slot_put(s, t, k);
  } else if (kind < 77) {
    slot_delete(s, t, k, k + 1);
  } else if (kind < 80) {
    slot_delete(s, t, k, MIN(to, k + 3));
  } else if (t->beside == NULL || t->reads_only || t->count == 0) { /* a snapshot does not see own writes */
    slot_scan(s, t, k, to, kind % 2 == 0, kind < 90 ? 0 : 1 + rng_below(r, 2));
  }
}

/* ---- transactions ---- */

static void slot_begin(story *s, slot *t, rng *r) {
  t->number = 1 + atomic_fetch_add(&s->next, 1);
  t->left = 1 + rng_below(r, 8);
  t->count = 0;
  t->reads_only = rng_below(r, 6) == 0;
  t->beside = NULL;
  int level = s->plant == PLANT_LOWER ? s->level - 1 : s->level;
  varve_txn_options o = {.isolation = (varve_isolation)level, .read_only = t->reads_only && rng_below(r, 2) == 0};
  story_check(s, varve_txn_begin(s->db, &o, &t->txn), "begin");
  if (s->plant == PLANT_KEYS_ONLY) story_check(s, varve_snapshot_open(s->db, &t->beside), "snapshot");
  t->meta = (history_txn){.snapshot = varve_txn_sequence(t->txn)};
}

static void slot_end(story *s, slot *t, rng *r) {
  int rc = rng_below(r, 12) == 0 ? varve_txn_rollback(t->txn) + VARVE_CONFLICT : varve_txn_commit(t->txn);
  story_check(s, rc, "commit");
  bool wrote = false;
  for (size_t i = 0; i < t->count; i++) wrote |= t->steps[i].write;
  t->meta.committed = rc == VARVE_OK;
  if (t->meta.committed && wrote) t->meta.sequence = varve_txn_sequence(t->txn);
  pthread_mutex_lock(&s->lock);
  history_add(&s->h, t->number, t->meta, t->steps, t->count);
  pthread_mutex_unlock(&s->lock);
  varve_txn_close(t->txn);
  varve_snapshot_close(t->beside);
  t->txn = NULL;
}

static void slot_turn(story *s, slot *t, rng *r) {
  if (t->txn == NULL) {
    slot_begin(s, t, r);
  } else if (t->left > 0 && t->count + 2 * HISTORY_KEYS < STEPS_MAX) {
    t->left--;
    slot_step(s, t, r);
  } else {
    slot_end(s, t, r);
  }
}

/* ---- stories ---- */

static void story_begin(story *s, int level, plant p, bool thread) {
  memset(s, 0, sizeof *s);
  s->level = level;
  s->plant = p;
  pthread_mutex_init(&s->lock, NULL);
  varve_options o = {.no_thread = !thread, .memtable_bytes = 1};
  TEST_OK(varve_open(":memory:", &o, &s->db));
  slot first = {0};
  TEST_OK(varve_txn_begin(s->db, NULL, &first.txn));
  for (uint32_t k = 0; k < HISTORY_KEYS; k++) slot_put(s, &first, k);
  TEST_OK(varve_txn_commit(first.txn));
  first.meta = (history_txn){.committed = true, .sequence = varve_txn_sequence(first.txn)};
  history_add(&s->h, 0, first.meta, first.steps, first.count);
  varve_txn_close(first.txn);
}

static void story_end(story *s, const char *name, history_report *report) {
  if (atomic_load(&s->failures) > 0) fail_msg("%s", s->why);
  TEST_OK(varve_close(s->db));
  history_check(&s->h, report);
  print_message("%-28s %llu transactions, %llu committed, %llu steps, edges %llu ww %llu wr %llu rw;", name,
                (unsigned long long)report->transactions, (unsigned long long)report->committed,
                (unsigned long long)report->steps, (unsigned long long)report->edges[0],
                (unsigned long long)report->edges[1], (unsigned long long)report->edges[2]);
  for (int a = 0; a < HISTORY_ANOMALIES; a++) {
    if (report->found[a] == 0) continue;
    print_message(" %s: %llu", history_anomaly_name((history_anomaly)a), (unsigned long long)report->found[a]);
  }
  print_message("; forbidden: %llu\n", (unsigned long long)history_forbidden(report, s->level));
  for (int a = 0; a < HISTORY_ANOMALIES && history_forbidden(report, s->level) > 0; a++) {
    if (report->found[a] > 0) print_message("    %s\n", report->example[a]);
  }
  history_free(&s->h);
  pthread_mutex_destroy(&s->lock);
}

/* On one thread, whose turn it is decided by the seed; flushes and compactions in between. */
static void run_interleaved(const char *name, int level, plant p, uint32_t transactions, history_report *report) {
  static story s;
  static slot slots[SLOTS];
  rng r = test_rng(name);
  memset(slots, 0, sizeof slots);
  story_begin(&s, level, p, false);
  while (atomic_load(&s.next) < transactions) {
    uint32_t care = rng_below(&r, 4000);
    if (care == 0) TEST_OK(varve_compact(s.db, NULL, NULL));
    if (care < 10) TEST_OK(varve_flush(s.db));
    slot_turn(&s, &slots[rng_below(&r, SLOTS)], &r);
  }
  for (int i = 0; i < SLOTS; i++) {
    if (slots[i].txn != NULL) slot_end(&s, &slots[i], &r);
  }
  story_end(&s, name, report);
}

static void *teller_run(void *context) {
  teller *w = context;
  slot *t = calloc(1, sizeof *t);
  if (t == NULL) return NULL;
  while (atomic_load(&w->s->next) < w->s->transactions || t->txn != NULL) {
    slot_turn(w->s, t, &w->r);
    if (rng_below(&w->r, 4) == 0) sched_yield();
    if (rng_below(&w->r, 10000) == 0) story_check(w->s, varve_flush(w->s->db), "flush");
  }
  free(t);
  return NULL;
}

static void run_threads(const char *name, int level, uint32_t transactions, history_report *report) {
  static story s;
  teller tellers[THREADS];
  story_begin(&s, level, PLANT_NOTHING, true);
  s.transactions = transactions;
  for (int i = 0; i < THREADS; i++) {
    tellers[i].s = &s;
    tellers[i].r = test_rng(name);
    tellers[i].r.state += (uint64_t)i * 0x9e3779b97f4a7c15u;
    assert_int_equal(pthread_create(&tellers[i].thread, NULL, teller_run, &tellers[i]), 0);
  }
  for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_join(tellers[i].thread, NULL), 0);
  story_end(&s, name, report);
}

/* ---- tests ---- */

static void test_read_committed(void **state) {
  (void)state;
  history_report r;
  run_interleaved("read committed", READ_COMMITTED, PLANT_NOTHING, test_scale(1200), &r);
  assert_int_equal(history_forbidden(&r, READ_COMMITTED), 0);
  assert_true(r.found[HISTORY_LOST_UPDATE] > 0 && history_forbidden(&r, SNAPSHOT) > 0);
  run_threads("read committed, threads", READ_COMMITTED, test_scale(1000), &r);
  assert_int_equal(history_forbidden(&r, READ_COMMITTED), 0);
}

static void test_snapshot(void **state) {
  (void)state;
  history_report r;
  run_interleaved("snapshot", SNAPSHOT, PLANT_NOTHING, test_scale(1200), &r);
  assert_int_equal(history_forbidden(&r, SNAPSHOT), 0);
  assert_true(r.found[HISTORY_G2] + r.found[HISTORY_G2_ITEM] > 0);
  run_threads("snapshot, threads", SNAPSHOT, test_scale(1000), &r);
  assert_int_equal(history_forbidden(&r, SNAPSHOT), 0);
}

static void test_serializable(void **state) {
  (void)state;
  history_report r;
  run_interleaved("serializable", SERIALIZABLE, PLANT_NOTHING, test_scale(1200), &r);
  assert_int_equal(history_forbidden(&r, SERIALIZABLE), 0);
  assert_true(r.edges[2] > r.transactions / 4);
  run_threads("serializable, threads", SERIALIZABLE, test_scale(1000), &r);
  assert_int_equal(history_forbidden(&r, SERIALIZABLE), 0);
}

static void test_planted_bugs_are_found(void **state) {
  (void)state;
  history_report r;
  run_interleaved("planted: notes nothing", SERIALIZABLE, PLANT_LOWER, test_scale(600), &r);
  assert_true(r.found[HISTORY_G2] + r.found[HISTORY_G2_ITEM] > 0);
  run_interleaved("planted: no first wins", SNAPSHOT, PLANT_LOWER, test_scale(600), &r);
  assert_true(r.found[HISTORY_LOST_UPDATE] > 0);
  assert_true(history_forbidden(&r, SNAPSHOT) > r.found[HISTORY_LOST_UPDATE]);
  uint64_t found = 0; /* it is the rarest */
  for (int i = 0; i < 20 && found == 0; i++) {
    run_interleaved("planted: no ranges noted", SERIALIZABLE, PLANT_KEYS_ONLY, 2000, &r);
    found += r.found[HISTORY_G2];
  }
  assert_true(found > 0);
}

/* Small histories, made by hand, one for each name. */
typedef struct script {
  const char *steps; /* "1w0 2r0:1" = transaction 1 writes key 0, 2 reads key 0 as 1 wrote it; r0:- = nothing */
  const char *order; /* of commits; a transaction that is not named was rolled back */
  history_anomaly name;
} script;

static void script_run(const script *x, history_report *r) {
  history h = {0};
  history_txn metas[8] = {{0}};
  history_step steps[8][STEPS_MAX];
  size_t counts[8] = {0};
  metas[0] = (history_txn){.committed = true, .sequence = 1};
  for (uint8_t k = 0; k < HISTORY_KEYS; k++) steps[0][counts[0]++] = (history_step){.key = k, .write = true};
  for (const char *p = x->order; *p != '\0'; p++) {
    metas[*p - '0'] = (history_txn){.committed = true, .sequence = 10 + (uint64_t)(p - x->order)};
  }
  for (const char *p = x->steps; *p != '\0'; p++) {
    if (*p < '1' || *p > '7' || (p[1] != 'w' && p[1] != 'r' && p[1] != 's')) continue;
    int t = *p - '0';
    history_step step = {.key = (uint8_t)(p[2] - '0'), .write = p[1] == 'w', .range = p[1] == 's'};
    step.at = (uint32_t)counts[t];
    if (!step.write && p[4] == '-') step.none = true;
    if (!step.write && p[4] != '-') {
      step.writer = (uint32_t)(p[4] - '0');
      step.at = p[5] == '.' ? (uint32_t)(p[6] - '0') : 0;
    }
    steps[t][counts[t]++] = step;
    p += step.write ? 2 : p[5] == '.' ? 6 : 4;
  }
  for (size_t t = 0; t < 8; t++) history_add(&h, t, metas[t], steps[t], counts[t]);
  history_check(&h, r);
  history_free(&h);
}

static void test_names(void **state) {
  (void)state;
  static const script scripts[] = {
      {"1w0 2r0:1", "2", HISTORY_G1A},
      {"1w0 1w0 2r0:1.0", "12", HISTORY_G1B},
      {"1w0 2w1 1r1:2 2r0:1", "12", HISTORY_G1C},
      {"1w0 1r0:0", "1", HISTORY_INTERNAL},
      {"1r0:0.0 2w0 1w0", "21", HISTORY_LOST_UPDATE},
      {"1r0:0.0 2w0 2w1 1r1:2.1", "21", HISTORY_G_SINGLE},
      {"1w0 2r0:1 2r1:0.0 3w1 4r1:3 4r0:0.0", "1324", HISTORY_G_NONADJACENT},
      {"1r0:0.0 1r1:0.0 2r0:0.0 2r1:0.0 1w0 2w1", "12", HISTORY_G2_ITEM},
      {"1s0:0.0 2s1:0.0 1w1 2w0", "12", HISTORY_G2},
  };
  for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
    history_report r;
    script_run(&scripts[i], &r);
    if (r.found[scripts[i].name] == 0) {
      fail_msg("no %s in \"%s\"", history_anomaly_name(scripts[i].name), scripts[i].steps);
    }
    print_message("%-14s %s\n", history_anomaly_name(scripts[i].name), r.example[scripts[i].name]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_names), cmocka_unit_test(test_read_committed),
                                     cmocka_unit_test(test_snapshot), cmocka_unit_test(test_serializable),
                                     cmocka_unit_test(test_planted_bugs_are_found)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
