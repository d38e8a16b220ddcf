/* txn_commit.c: the end of a transaction: what must not have changed is asked, then everything is committed or nothing.
 *
 * The question is asked inside the commit lock, where no other commit can come in between. When there is much to ask it
 * is asked before that as well, of everything up to a sequence, so that inside the lock only what was committed since
 * then is left.
 */
#include "txn/txn_int.h"

#include <stdio.h>

#define TXN_ASK_BEFORE 16u /* more things to ask about than this: also before the lock */
#define TXN_KEY_SHOWN  60u /* bytes of a key in a message */

/* ---- conflicts ---- */

static size_t txn_show_key(char *out, size_t room, slice inner) {
  reader r = reader_of(inner);
  uint64_t keyspace = 0;
  (void)read_varint64(&r, &keyspace);
  size_t n = 0, left = reader_left(&r), shown = MIN(left, (size_t)TXN_KEY_SHOWN);
  out[n++] = '"';
  for (size_t i = 0; i < shown && n + 16 < room; i++) {
    uint8_t c = r.at[i];
    if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
      out[n++] = (char)c;
    } else {
      n += (size_t)snprintf(out + n, room - n, "\\x%02x", c);
    }
  }
  n += (size_t)snprintf(out + n, room - n, "%s\"", left > shown ? "..." : "");
  ASSERT(n < room);
  if (keyspace > 0 && room - n > 40) {
    n += (size_t)snprintf(out + n, room - n, " of keyspace %llu", (unsigned long long)keyspace);
  }
  return n;
}

INTERNAL int txn_conflict_with(txn *t, bool read, slice key, slice lower, const slice *upper, const char *why) {
  char shown[300], text[STATUS_MESSAGE_SIZE];
  t->conflict = (txn_conflict){.range = upper != NULL, .read = read};
  t->conflicted = buf_set(&t->conflict_key, key) >= 0;
  buf_clear(&t->conflict_range);
  if (upper != NULL && t->conflicted) {
    t->conflicted = buf_append(&t->conflict_range, lower.data, lower.size) >= 0 &&
                    buf_append(&t->conflict_range, upper->data, upper->size) >= 0;
  }
  if (t->conflicted) {
    t->conflict.key = buf_slice(&t->conflict_key);
    t->conflict.lower = upper == NULL ? t->conflict.key : slice_make(t->conflict_range.data, lower.size);
    if (upper != NULL) t->conflict.upper = slice_make(t->conflict_range.data + lower.size, upper->size);
  }
  shown[txn_show_key(shown, sizeof shown, key)] = '\0';
  int n = snprintf(text, sizeof text, "another transaction %s the key %s, %s this one %s; run it again", why, shown,
                   upper != NULL ? "in a range that" : "which", read ? "read" : "wrote");
  ASSERT(n > 0);
  status_set_message(text);
  return VARVE_CONFLICT;
}

/* ---- what must not have changed ---- */

static int txn_validate_watched(txn *t) {
  for (size_t i = 0; i < t->watch_count; i++) {
    slice key = slice_make(t->watched_keys.data + t->watches[i].at, t->watches[i].size);
    int rc = lsm_changed(t->store->lsm, key, MAX(t->watches[i].since, t->floor));
    if (rc == VARVE_CONFLICT) return txn_conflict_with(t, true, key, key, NULL, "changed");
    if (rc < 0) return rc;
  }
  return VARVE_OK;
}

static int txn_validate_range(txn *t, bool read, slice lower, slice upper, uint64_t since) {
  buf found;
  buf_init(&found, t->store->env->alloc);
  int rc = lsm_changed_range(t->store->lsm, lower, upper, since, &found);
  if (rc == VARVE_CONFLICT) rc = txn_conflict_with(t, read, buf_slice(&found), lower, &upper, "changed");
  buf_free(&found);
  return rc;
}

static int txn_validate_writes(txn *t, uint64_t since) {
  reader r = reader_of(buf_slice(&t->writes.ops));
  batch_op op;
  int more;
  while ((more = batch_read(&r, &op)) == 1) {
    int rc;
    if (op.kind == KIND_RANGE_DELETE) {
      rc = txn_validate_range(t, false, op.key, op.value, since);
    } else {
      rc = lsm_changed(t->store->lsm, op.key, since);
      if (rc == VARVE_CONFLICT) rc = txn_conflict_with(t, false, op.key, op.key, NULL, "changed");
    }
    if (rc != VARVE_OK) return rc;
  }
  ASSERT(more == 0);
  return VARVE_OK;
}

static int txn_validate_item(txn *t, const read_item *item, uint64_t since, buf *upper) {
  slice lower = read_set_begin(&t->reads, item);
  if (read_item_is_key(item)) {
    int rc = lsm_changed(t->store->lsm, lower, since);
    return rc == VARVE_CONFLICT ? txn_conflict_with(t, true, lower, lower, NULL, "changed") : rc;
  }
  buf_clear(upper);
  if (!item->unbounded) TRY(buf_set(upper, read_set_end(&t->reads, item)));
  if (item->inclusive) TRY(buf_append_zeros(upper, 1));
  return txn_validate_range(t, true, lower, buf_slice(upper), since);
}

static int txn_validate_reads(txn *t, uint64_t since) {
  buf upper;
  int rc = VARVE_OK;
  buf_init(&upper, t->store->env->alloc);
  for (size_t i = 0; i < t->reads.count && rc == VARVE_OK; i++) {
    rc = txn_validate_item(t, &t->reads.items[i], since, &upper);
  }
  buf_free(&upper);
  return rc;
}

static int txn_validate(txn *t) {
  uint64_t since = MAX(t->seq, t->floor);
  if (lsm_last_seq(t->store->lsm) == since) return VARVE_OK;
  int rc = txn_validate_watched(t);
  if (rc != VARVE_OK || t->isolation == VARVE_READ_COMMITTED) return rc;
  rc = txn_validate_writes(t, since);
  if (rc != VARVE_OK || t->isolation == VARVE_SNAPSHOT || t->writes.count == 0) return rc;
  return txn_validate_reads(t, since);
}

static int txn_validate_at_commit(void *context, lsm *l) {
  txn *t = context;
  ASSERT(t->store->lsm == l);
  if (txn_store_schema(t->store) == t->schema) return txn_validate(t);
  status_set_message("an index was made or dropped while the transaction was open; run it again");
  return VARVE_CONFLICT;
}

/* A range may take long. */
static bool txn_asks_much(const txn *t) {
  size_t keys = t->watch_count + t->writes.count + t->reads.count;
  if (keys > TXN_ASK_BEFORE) return true;
  for (size_t i = 0; i < t->reads.count; i++) {
    if (!read_item_is_key(&t->reads.items[i])) return true;
  }
  return false;
}

static int txn_validate_before(txn *t) {
  lsm *l = t->store->lsm;
  uint64_t now = lsm_last_seq(l); /* before any view is entered: it then has everything up to it */
  if (now == t->seq || !txn_asks_much(t)) return VARVE_OK;
  int rc = txn_validate(t);
  if (rc == VARVE_OK) t->floor = now;
  return rc;
}

/* ---- the end ---- */

INTERNAL void txn_end(txn *t) {
  txn_store *s = t->store;
  ASSERT(!t->over);
  t->over = true;
  if (t->locks.held != NULL) lock_release_all(&s->locks, &t->locks);
  if (t->has_snapshot) lsm_snapshot_release(s->lsm, t->seq);
  t->has_snapshot = false;
  txn_iters_detach(t);
}

INTERNAL void txn_rollback(txn *t) {
  if (!t->over) txn_end(t);
}

static int txn_commit_writes(txn *t) {
  lsm_precondition condition = {.check = txn_validate_at_commit, .context = t}; /* the schema, at every level */
  bool asks = t->isolation != VARVE_READ_COMMITTED || t->watch_count > 0;
  if (t->lost < 0) return status_fail(t->lost, "what the transaction has read could not be noted: memory was out");
  if (t->writes.count == 0) return t->watch_count > 0 ? txn_validate(t) : VARVE_OK;
  if (t->isolation == VARVE_SERIALIZABLE) TRY(txn_iters_flush(t));
  if (asks) {
    int before = txn_validate_before(t);
    if (before != VARVE_OK) return before;
  }
  int rc = lsm_commit(t->store->lsm, &t->writes, t->durability, &condition);
  t->committed = condition.seq;
  return rc;
}

INTERNAL int txn_commit(txn *t) {
  TRY(txn_check(t));
  int rc = txn_commit_writes(t);
  if (rc == VARVE_OK) atomic_fetch_add_explicit(&t->store->commits, 1, memory_order_relaxed);
  if (rc == VARVE_CONFLICT) atomic_fetch_add_explicit(&t->store->conflicts, 1, memory_order_relaxed);
  txn_end(t);
  return rc;
}

INTERNAL int txn_get_conflict(const txn *t, txn_conflict *c) {
  if (!t->conflicted) return VARVE_NOTFOUND;
  *c = t->conflict;
  return VARVE_OK;
}

#undef TXN_ASK_BEFORE
#undef TXN_KEY_SHOWN
