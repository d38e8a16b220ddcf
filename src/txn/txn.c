/* txn.c: the life of a transaction but for its end: stores, beginning, savepoints, closing.
 *
 * A closed transaction is kept, emptied, with the memory that it had, for the next one to begin: a transaction of one
 * write then allocates nothing.
 */
#include "txn/txn_int.h"

#define TXN_KEPT_BYTES (64 * KiB) /* of buffers that an idle transaction may have, each */

/* ---- stores ---- */

INTERNAL int txn_store_create(lsm *l, env *e, txn_store **out) {
  *out = NULL;
  txn_store *s = MEM_NEW(e->alloc, txn_store);
  if (s == NULL) return mem_fail(sizeof *s, "transactions");
  s->lsm = l;
  s->env = e;
  lock_table_init(&s->locks, e);
  *out = s;
  return VARVE_OK;
}

static void txn_free(txn *t) {
  if (t == NULL) return;
  allocator *alloc = t->store->env->alloc;
  ASSERT(t->over && t->iters == NULL);
  batch_free(&t->writes);
  if (t->overlay != NULL) pin_unref(memtable_pin(t->overlay));
  mem_free(alloc, t->marks, t->mark_room * sizeof *t->marks);
  mem_free(alloc, t->watches, t->watch_room * sizeof *t->watches);
  read_set_free(&t->reads);
  buf_free(&t->watched_keys);
  buf_free(&t->conflict_key);
  buf_free(&t->conflict_range);
  lock_owner_free(&t->locks);
  MEM_DELETE(alloc, t);
}

INTERNAL void txn_store_destroy(txn_store *s) {
  if (s == NULL) return;
  ASSERT(atomic_load(&s->open) == 0);
  txn_free(atomic_exchange(&s->idle, NULL));
  txn_iter_forget(s);
  lock_table_free(&s->locks);
  MEM_DELETE(s->env->alloc, s);
}

INTERNAL uint64_t txn_store_open_count(const txn_store *s) {
  return atomic_load(&s->open);
}

INTERNAL uint64_t txn_store_schema(const txn_store *s) {
  return atomic_load_explicit(&s->schema, memory_order_acquire);
}

INTERNAL void txn_store_new_schema(txn_store *s) {
  atomic_fetch_add_explicit(&s->schema, 1, memory_order_release);
}

INTERNAL void txn_store_get_stats(const txn_store *s, varve_stats *stats) {
  stats->transactions = atomic_load(&s->open);
  stats->commits_txn = atomic_load(&s->commits);
  stats->conflicts = atomic_load(&s->conflicts);
}

/* ---- beginning ---- */

static txn *txn_make(txn_store *s) {
  allocator *alloc = s->env->alloc;
  txn *t = MEM_NEW(alloc, txn);
  if (t == NULL) return NULL;
  t->store = s;
  t->over = true;
  batch_init(&t->writes, alloc);
  read_set_init(&t->reads, alloc);
  buf_init(&t->watched_keys, alloc);
  buf_init(&t->conflict_key, alloc);
  buf_init(&t->conflict_range, alloc);
  lock_owner_init(&t->locks);
  return t;
}

INTERNAL int txn_begin(txn_store *s, const txn_options *options, void *owner, txn **out) {
  *out = NULL;
  txn *t = atomic_exchange_explicit(&s->idle, NULL, memory_order_acquire);
  if (UNLIKELY(t == NULL)) t = txn_make(s);
  if (t == NULL) return mem_fail(sizeof *t, "a transaction");
  ASSERT(t->over && t->writes.count == 0 && t->reads.count == 0 && t->watch_count == 0 && !t->has_snapshot);
  t->isolation = options->isolation == VARVE_ISOLATION_DEFAULT ? VARVE_SNAPSHOT : options->isolation;
  t->schema = txn_store_schema(s);
  int rc = VARVE_OK;
  if (t->isolation != VARVE_READ_COMMITTED) {
    rc = lsm_snapshot_acquire(s->lsm, &t->seq);
    t->has_snapshot = rc >= 0;
  }
  if (rc >= 0 && lsm_last_seq(s->lsm) >= TXN_SEQ_BASE) {
    rc = status_fail(VARVE_LIMIT, "all 2^55 sequence numbers are used; no transaction can begin");
  }
  if (rc < 0) {
    if (t->has_snapshot) lsm_snapshot_release(s->lsm, t->seq);
    t->has_snapshot = false;
    txn_free(t);
    return rc;
  }
  t->owner = owner;
  t->read_only = options->read_only;
  t->durability = options->durability;
  t->lock_wait_ms = options->lock_wait_ms;
  uint64_t bytes = options->read_set_bytes == 0 ? TXN_READ_SET_BYTES_DEFAULT : options->read_set_bytes;
  read_set_clear(&t->reads, MAX(bytes, (uint64_t)TXN_READ_SET_BYTES_MIN));
  t->over = t->touched = t->conflicted = false;
  t->lost = VARVE_OK;
  t->floor = t->committed = 0;
  atomic_fetch_add(&s->open, 1);
  *out = t;
  return VARVE_OK;
}

INTERNAL void *txn_owner(const txn *t) {
  return t->owner;
}

INTERNAL int txn_check(const txn *t) {
  if (LIKELY(!t->over)) return VARVE_OK;
  return status_fail(VARVE_CLOSED, "the transaction is over: it was committed or rolled back; begin another one");
}

INTERNAL varve_isolation txn_isolation(const txn *t) {
  return t->isolation;
}

INTERNAL uint64_t txn_sequence(const txn *t) {
  if (t->committed > 0) return t->committed;
  return t->isolation == VARVE_READ_COMMITTED ? 0 : t->seq;
}

INTERNAL bool txn_read_only(const txn *t) {
  return t->read_only;
}

/* ---- savepoints ---- */

INTERNAL int txn_savepoint(txn *t, uint32_t *savepoint) {
  TRY(txn_check(t));
  if (t->mark_count == UINT32_MAX) return status_fail(VARVE_LIMIT, "a transaction has at most 2^32 - 1 savepoints");
  txn_mark *grown = mem_grow(t->store->env->alloc, t->marks, t->mark_count, &t->mark_room, sizeof *grown, "savepoints");
  if (grown == NULL) return VARVE_NOMEM;
  t->marks = grown;
  t->marks[t->mark_count++] = (txn_mark){t->writes.ops.size, t->writes.owners.size, t->writes.count};
  *savepoint = (uint32_t)t->mark_count;
  return VARVE_OK;
}

static int txn_check_savepoint(const txn *t, uint32_t savepoint) {
  TRY(txn_check(t));
  if (savepoint > 0 && savepoint <= t->mark_count) return VARVE_OK;
  return status_fail(VARVE_INVALID, "there is no savepoint %u: the transaction has %zu", savepoint, t->mark_count);
}

INTERNAL int txn_rollback_to(txn *t, uint32_t savepoint) {
  TRY(txn_check_savepoint(t, savepoint));
  const txn_mark *mark = &t->marks[savepoint - 1];
  ASSERT(mark->count <= t->writes.count && mark->ops_size <= t->writes.ops.size);
  t->writes.ops.size = mark->ops_size;
  t->writes.owners.size = mark->owners_size;
  t->writes.count = mark->count;
  t->mark_count = savepoint;
  if (t->overlay_count > mark->count) txn_overlay_drop(t);
  return VARVE_OK;
}

INTERNAL int txn_release(txn *t, uint32_t savepoint) {
  TRY(txn_check_savepoint(t, savepoint));
  t->mark_count = savepoint - 1;
  return VARVE_OK;
}

/* ---- closing ---- */

static void txn_trim(buf *b) {
  if (b->capacity > TXN_KEPT_BYTES) buf_free(b);
}

INTERNAL void txn_close(txn *t) {
  if (t == NULL) return;
  txn_store *s = t->store;
  allocator *alloc = s->env->alloc;
  txn_rollback(t);
  batch_clear(&t->writes);
  txn_trim(&t->writes.ops);
  txn_trim(&t->writes.owners);
  txn_trim(&t->watched_keys);
  txn_trim(&t->conflict_key);
  txn_trim(&t->conflict_range);
  txn_overlay_drop(t);
  if (t->mark_room * sizeof *t->marks > TXN_KEPT_BYTES) {
    mem_free(alloc, t->marks, t->mark_room * sizeof *t->marks);
    t->marks = NULL;
    t->mark_room = 0;
  }
  if (t->watch_room * sizeof *t->watches > TXN_KEPT_BYTES) {
    mem_free(alloc, t->watches, t->watch_room * sizeof *t->watches);
    t->watches = NULL;
    t->watch_room = 0;
  }
  read_set_clear(&t->reads, 0);
  if (read_set_memory(&t->reads) > TXN_KEPT_BYTES) read_set_free(&t->reads);
  t->mark_count = t->watch_count = 0;
  t->conflicted = false;
  t->owner = NULL;
  /* What is taken out was another thread's: acquired as well as released. */
  txn_free(atomic_exchange_explicit(&s->idle, t, memory_order_acq_rel));
  atomic_fetch_sub(&s->open, 1); /* the last that keeps the database from closing */
}

#undef TXN_KEPT_BYTES
