/* fail_nth_calls.h: the calls of the public interface as steps of a scenario: each keeps the model, and judges the
 * outcome (see fail_nth.h). A step without a database, or with a keyspace that could not be opened, does nothing.
 */
#ifndef VARVE_FAIL_NTH_CALLS_H
#define VARVE_FAIL_NTH_CALLS_H

#include "crash/fail_nth.h"

static inline void nth_commit(nth_run *run, int rc, const nth_state *after, const char *call) {
  bool was_failed = run->was_failed;
  if (nth_done(run, rc, call)) {
    if (run->has_maybe) nth_fail_at(run, call, "a commit is acknowledged after a final failure");
    run->sure = *after;
  } else if (!was_failed && run->was_failed) {
    run->maybe = *after;
    run->has_maybe = true;
  }
}

static inline varve_write_options nth_how(const nth_run *run, int s, bool strict) {
  varve_write_options w = {.keyspace = run->space[s], .durability = strict ? VARVE_STRICT : VARVE_RELAXED};
  return w;
}

static inline bool nth_usable(const nth_run *run, int s) {
  return run->db != NULL && (s == 0 || run->space[s] != NULL);
}

static inline void nth_put(nth_run *run, int s, uint32_t i, bool strict) {
  static uint8_t bytes[NTH_VALUE_MAX];
  char text[32];
  if (!nth_usable(run, s)) return;
  nth_state after = run->sure;
  varve_write_options w = nth_how(run, s, strict);
  after.turn[s][i] = ++run->turn;
  int rc = varve_put(run->db, bed_key(text, i), nth_value(run, bytes, s, i, run->turn), &w);
  nth_commit(run, rc, &after, "put");
}

static inline void nth_delete(nth_run *run, int s, uint32_t i, bool strict) {
  char text[32];
  if (!nth_usable(run, s)) return;
  nth_state after = run->sure;
  varve_write_options w = nth_how(run, s, strict);
  after.turn[s][i] = 0;
  nth_commit(run, varve_delete(run->db, bed_key(text, i), &w), &after, "delete");
}

static inline void nth_range(nth_run *run, int s, uint32_t from, uint32_t to, bool strict) {
  char a[32], b[32];
  if (!nth_usable(run, s)) return;
  nth_state after = run->sure;
  varve_write_options w = nth_how(run, s, strict);
  memset(&after.turn[s][from], 0, to - from);
  nth_commit(run, varve_delete_range(run->db, bed_key(a, from), bed_key(b, to), &w), &after, "delete_range");
}

static inline int nth_fill_batch(nth_run *run, varve_batch *b, uint32_t from, uint32_t count, nth_state *after) {
  static uint8_t bytes[NTH_VALUE_MAX];
  char text[32];
  run->turn++;
  for (int s = 0; s < NTH_SPACES; s++) {
    if (!nth_usable(run, s)) continue;
    for (uint32_t i = from; i < from + count; i++) {
      TRY(varve_batch_put(b, run->space[s], bed_key(text, i), nth_value(run, bytes, s, i, run->turn)));
      after->turn[s][i] = run->turn;
    }
    TRY(varve_batch_delete(b, run->space[s], bed_key(text, from)));
    after->turn[s][from] = 0;
  }
  return VARVE_OK;
}

/* Puts `count` keys from `from` on in all keyspaces that are open, and deletes the first of them. */
static inline void nth_batch(nth_run *run, uint32_t from, uint32_t count, bool strict) {
  varve_batch *b;
  if (run->db == NULL) return;
  nth_state after = run->sure;
  varve_write_options w = {.durability = strict ? VARVE_STRICT : VARVE_RELAXED};
  if (!nth_done(run, varve_batch_create(&b), "batch_create")) return;
  int rc = nth_fill_batch(run, b, from, count, &after);
  if (rc >= 0) rc = varve_write(run->db, b, &w);
  nth_commit(run, rc, &after, "write");
  varve_batch_destroy(b);
}

static inline void nth_space_open(nth_run *run, int s) {
  if (run->db == NULL) return;
  nth_state after = run->sure;
  after.exists[s] = true;
  int rc = varve_keyspace_open(run->db, VARVE_STR(nth_space_names[s]), &run->space[s]);
  if (run->has_maybe && (run->maybe.exists[s] || run->sure.exists[s])) { /* nothing to commit */
    (void)nth_done(run, rc, "keyspace_open");
  } else {
    nth_commit(run, rc, &after, "keyspace_open");
  }
}

static inline void nth_space_drop(nth_run *run, int s) {
  if (run->db == NULL) return;
  nth_state after = run->sure;
  after.exists[s] = false;
  memset(after.turn[s], 0, sizeof after.turn[s]);
  int rc = varve_keyspace_drop(run->db, VARVE_STR(nth_space_names[s]));
  if (rc == VARVE_NOTFOUND && run->sure.exists[s]) nth_fail_at(run, "keyspace_drop", "the keyspace is gone");
  if (rc == VARVE_NOTFOUND) after = run->sure;
  if (rc == VARVE_NOTFOUND && run->has_maybe) return;
  nth_commit(run, rc, &after, "keyspace_drop");
  if (rc == VARVE_OK || run->has_maybe) run->space[s] = NULL;
}

/* All that can be read, while the database is open. */
static inline void nth_read_live(nth_run *run) {
  nth_state found;
  if (run->db != NULL && nth_done(run, nth_read(run, run->db, &found), "read")) nth_compare(run, &found, "live");
}

static inline void nth_flush(nth_run *run) {
  if (run->db != NULL) (void)nth_done(run, varve_flush(run->db), "flush");
}

static inline void nth_compact(nth_run *run) {
  if (run->db != NULL) (void)nth_done(run, varve_compact(run->db, NULL, NULL), "compact");
}

static inline void nth_sync(nth_run *run) {
  if (run->db != NULL) (void)nth_done(run, varve_sync(run->db), "sync");
}

static inline void nth_verify(nth_run *run) {
  varve_verify_report report;
  if (run->db != NULL) (void)nth_done(run, varve_verify(run->db, &report, NULL, NULL), "verify");
}

static inline void nth_work(nth_run *run) {
  bool more = true;
  while (run->db != NULL && more && nth_done(run, varve_work(run->db, 1 * MiB, &more), "work")) continue;
}

static inline void nth_open(nth_run *run, bool read_only) {
  (void)nth_done(run, nth_try_open(run, run->f, read_only, &run->db), "open");
  if (run->db == NULL) nth_check_released(run, "a failed open");
}

static inline void nth_close(nth_run *run) {
  if (run->db == NULL) return;
  int rc = varve_close(run->db);
  run->db = NULL; /* its failure is not asked for any more */
  if (rc == VARVE_FAILED) {
    if (!run->was_failed) nth_fail_at(run, "close", "FAILED, and nothing had failed");
    rc = run->mode->rule.status;
    run->met_seen = 0;
  }
  (void)nth_done(run, rc, "close");
  nth_check_released(run, "close");
}

#endif
