/* txn_read.c: a transaction's gets: its own writes first, then what its level lets it see; and what is noted of them.
 *
 * Noted before it is read: a read that cannot be noted fails, so the commit never misses one.
 */
#include "txn/txn_int.h"

/* ---- own writes ---- */

/* The newest of the writes that are not in the overlay yet that says something about key: OK = a value, NOTFOUND =
 * deleted, DONE = none. */
static int txn_scan(const txn *t, slice key) {
  slice ops = slice_make(t->writes.ops.data + t->overlay_size, t->writes.ops.size - t->overlay_size);
  reader r = reader_of(ops);
  batch_op op;
  int found = VARVE_DONE, more;
  while ((more = batch_read(&r, &op)) == 1) {
    if (op.kind == KIND_RANGE_DELETE) {
      if (slice_compare(op.key, key) <= 0 && slice_compare(key, op.value) < 0) found = VARVE_NOTFOUND;
    } else if (slice_equal(op.key, key)) {
      found = op.kind == KIND_PUT ? VARVE_OK : VARVE_NOTFOUND;
    }
  }
  ASSERT(more == 0);
  return found;
}

static int txn_find_overlay(const txn *t, slice key, lsm_value *value) {
  range_tombstone range;
  uint64_t trailer;
  slice found;
  bool covered = memtable_covering(t->overlay, key, SEQ_MAX, &range);
  if (!memtable_get(t->overlay, key, SEQ_MAX, &trailer, &found)) return covered ? VARVE_NOTFOUND : VARVE_DONE;
  if (trailer_kind(trailer) != KIND_PUT) return VARVE_NOTFOUND;
  if (covered && range.seq > trailer_seq(trailer)) return VARVE_NOTFOUND;
  if (value != NULL) {
    value->data = found;
    value->pin = memtable_pin(t->overlay);
    pin_ref(value->pin);
  }
  return VARVE_OK;
}

/* OK, NOTFOUND = the transaction deleted it, DONE = it wrote nothing there. */
static int txn_find_own(txn *t, slice key, lsm_value *value) {
  if (t->writes.count == 0) return VARVE_DONE;
  uint32_t rest = t->writes.count - t->overlay_count;
  if (rest > 0 && rest <= TXN_SCAN_MAX) {
    int found = txn_scan(t, key);
    if (found == VARVE_NOTFOUND || (found == VARVE_OK && value == NULL)) return found;
    if (found == VARVE_DONE) return t->overlay_count == 0 ? VARVE_DONE : txn_find_overlay(t, key, value);
  }
  TRY(txn_overlay(t));
  return txn_find_overlay(t, key, value);
}

/* ---- gets ---- */

static int txn_get_committed(txn *t, slice key, lsm_value *value) {
  uint64_t seq = t->isolation == VARVE_READ_COMMITTED ? SEQ_MAX : t->seq;
  return lsm_get(t->store->lsm, key, seq, value);
}

INTERNAL int txn_get(txn *t, slice key, lsm_value *value) {
  TRY(txn_check(t));
  t->touched = true;
  int rc = txn_find_own(t, key, value);
  if (rc != VARVE_DONE) return rc;
  if (t->isolation == VARVE_SERIALIZABLE && !t->read_only) TRY(read_set_add_key(&t->reads, key));
  return txn_get_committed(t, key, value);
}

/* ---- reads that must hold ---- */

static int txn_watch_key(txn *t, slice key, uint64_t since) {
  txn_watch *grown =
      mem_grow(t->store->env->alloc, t->watches, t->watch_count, &t->watch_room, sizeof *grown, "watched keys");
  if (grown == NULL) return VARVE_NOMEM;
  t->watches = grown;
  size_t at = t->watched_keys.size;
  TRY(buf_append(&t->watched_keys, key.data, key.size));
  t->watches[t->watch_count++] = (txn_watch){since, at, key.size};
  return VARVE_OK;
}

/* The sequence that what is read now is watched from; with a snapshot in the engine's list that is not newer. */
static int txn_watch_since(txn *t, uint64_t *since) {
  if (!t->has_snapshot) {
    ASSERT(t->isolation == VARVE_READ_COMMITTED);
    TRY(lsm_snapshot_acquire(t->store->lsm, &t->seq));
    t->has_snapshot = true;
  }
  *since = t->isolation == VARVE_READ_COMMITTED ? lsm_last_seq(t->store->lsm) : t->seq;
  ASSERT(*since >= t->seq);
  return VARVE_OK;
}

static int txn_read_once(txn *t, slice key, lsm_value *value) {
  int rc = txn_find_own(t, key, value);
  return rc != VARVE_DONE ? rc : txn_get_committed(t, key, value);
}

/* READ_COMMITTED reads the latest, which may be newer than `since`: then the commit conflicts once too often, not
 * once too seldom. */
static int txn_read_watched(txn *t, slice key, lsm_value *value) {
  uint64_t since;
  TRY(txn_watch_since(t, &since));
  TRY(txn_watch_key(t, key, since));
  return txn_read_once(t, key, value);
}

INTERNAL int txn_get_watched(txn *t, slice key, lsm_value *value) {
  TRY(txn_check(t));
  if (t->read_only) return txn_get(t, key, value);
  t->touched = true;
  return txn_read_watched(t, key, value);
}

static slice txn_watched(const txn *t, size_t i) {
  return slice_make(t->watched_keys.data + t->watches[i].at, t->watches[i].size);
}

static bool txn_is_watched(const txn *t, slice key) {
  for (size_t i = t->watch_count; i-- > 0;) {
    if (slice_equal(txn_watched(t, i), key)) return true;
  }
  return false;
}

/* While all that was read are keys that it has locked, and they are as they were, the snapshot may as well be one of
 * now. */
static int txn_move_snapshot(txn *t) {
  lsm *l = t->store->lsm;
  uint64_t now;
  if (lsm_last_seq(l) == t->seq) return VARVE_OK;
  TRY(lsm_snapshot_acquire(l, &now));
  int rc = VARVE_OK;
  size_t i = 0;
  for (; i < t->watch_count && rc == VARVE_OK; i++) rc = lsm_changed(l, txn_watched(t, i), t->seq);
  if (rc != VARVE_OK) {
    lsm_snapshot_release(l, now);
    if (rc < 0) return rc;
    slice key = txn_watched(t, i - 1);
    return txn_conflict_with(t, true, key, key, NULL, "changed");
  }
  lsm_snapshot_release(l, t->seq);
  t->seq = now;
  for (i = 0; i < t->watch_count; i++) t->watches[i].since = now;
  return VARVE_OK;
}

INTERNAL int txn_get_for_update(txn *t, slice key, lsm_value *value) {
  lock_outcome outcome;
  TRY(txn_check(t));
  if (t->read_only) return status_fail(VARVE_READONLY, "the transaction was begun for reading only");
  TRY(lock_acquire(&t->store->locks, &t->locks, key, t->lock_wait_ms, &outcome));
  if (outcome != LOCK_HELD) {
    const char *why = outcome == LOCK_DEADLOCK ? "waits for a lock of this one and has locked" : "has locked";
    int conflict = txn_conflict_with(t, true, key, key, NULL, why);
    t->conflict.locked = true;
    return conflict;
  }
  if (t->isolation != VARVE_READ_COMMITTED) {
    int rc = VARVE_OK;
    if (!t->touched) {
      rc = txn_move_snapshot(t);
    } else if (lsm_last_seq(t->store->lsm) != t->seq) {
      rc = lsm_changed(t->store->lsm, key, t->seq);
      if (rc == VARVE_CONFLICT) return txn_conflict_with(t, true, key, key, NULL, "changed");
    }
    if (rc != VARVE_OK) return rc;
  }
  /* One that it has locked before is watched since then. */
  return txn_is_watched(t, key) ? txn_read_once(t, key, value) : txn_read_watched(t, key, value);
}
