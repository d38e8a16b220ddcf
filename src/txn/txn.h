/* txn.h: the door of transactions: reads of one moment, writes that become visible together or not at all.
 *
 * A transaction keeps its writes as a batch (what is committed) and, once it reads, as a memtable over the database.
 * Nothing is locked while it runs; lsm_commit asks at the end, with all other commits held back, whether what must not
 * have changed did:
 *
 *                      reads see                  must not have changed since the snapshot
 *   READ_COMMITTED     the latest commits         nothing
 *   SNAPSHOT           the snapshot               keys and ranges that it wrote (first committer wins)
 *   SERIALIZABLE       the snapshot               the same, and keys and ranges that it read
 *   any                                           keys of txn_get_for_update and txn_watch, since they were read
 *
 * Keys are inner keys, as in lsm.h: the caller puts the keyspace's id in front.
 *
 * Threads: a store may be used from any thread; a transaction, with its iterators, by one at a time.
 */
#ifndef VARVE_TXN_H
#define VARVE_TXN_H

#include "lsm/lsm.h"

typedef struct varve_txn txn;
typedef struct txn_iter txn_iter;

/* What the transactions of one database share: locks of txn_get_for_update, figures, a closed transaction for reuse. */
typedef struct txn_store txn_store;

INTERNAL int txn_store_create(lsm *l, env *e, txn_store **out);
/* No transaction may be open. NULL is allowed. */
INTERNAL void txn_store_destroy(txn_store *s);
INTERNAL uint64_t txn_store_open_count(const txn_store *s);
/* A number that changes when writes must be made in another way than before (an index came or went): a transaction that
 * began under another one conflicts. To be changed only where no commit can come in between: in an lsm_precondition. */
INTERNAL uint64_t txn_store_schema(const txn_store *s);
INTERNAL void txn_store_new_schema(txn_store *s);
INTERNAL void txn_store_get_stats(const txn_store *s, varve_stats *stats);

typedef struct txn_options {
  varve_isolation isolation; /* DEFAULT = SNAPSHOT */
  bool read_only;
  lsm_durability durability;
  uint32_t lock_wait_ms;
  uint64_t read_set_bytes; /* 0 = the default */
} txn_options;

/* NOMEM, LIMIT. `owner` is the caller's, for txn_owner. */
INTERNAL int txn_begin(txn_store *s, const txn_options *options, void *owner, txn **out);
INTERNAL void txn_close(txn *t); /* rolls back what is not over. NULL is allowed */
INTERNAL void *txn_owner(const txn *t);
/* OK, or CLOSED once it was committed or rolled back. */
INTERNAL int txn_check(const txn *t);
INTERNAL varve_isolation txn_isolation(const txn *t);
INTERNAL bool txn_read_only(const txn *t);
/* Of the state that it sees (READ_COMMITTED: 0), and after a commit that wrote something, of that. */
INTERNAL uint64_t txn_sequence(const txn *t);

/* ---- reads: the transaction's own writes, and below them what its level lets it see ---- */

/* OK, NOTFOUND or a failure; `value` may be NULL. */
INTERNAL int txn_get(txn *t, slice key, lsm_value *value);
/* The same after a lock on the key: CONFLICT when it cannot be had in time, or when the key changed since the
 * snapshot. */
INTERNAL int txn_get_for_update(txn *t, slice key, lsm_value *value);
/* The same without a lock: for reads whose outcome must still hold at the commit, at every level. */
INTERNAL int txn_get_watched(txn *t, slice key, lsm_value *value);

/* An iterator over lower <= key < upper (upper empty = no bound). It sees the writes of now. It may be closed after the
 * transaction. */
INTERNAL int txn_iter_open(txn *t, slice lower, slice upper, txn_iter **it);
INTERNAL void txn_iter_close(txn_iter *it); /* NULL is allowed */
/* Moves, as user_iter's; seeks take inner keys. */
INTERNAL int txn_iter_first(txn_iter *it);
INTERNAL int txn_iter_last(txn_iter *it);
INTERNAL int txn_iter_seek(txn_iter *it, slice key);
INTERNAL int txn_iter_seek_for_prev(txn_iter *it, slice key);
INTERNAL int txn_iter_next(txn_iter *it);
INTERNAL int txn_iter_prev(txn_iter *it);
/* For its key, value and status; not to be moved. */
INTERNAL user_iter *txn_iter_at(const txn_iter *it);

/* ---- writes: READONLY in a read-only transaction ---- */

/* `prefix` and `key` are joined to the inner key. LIMIT, NOMEM. */
INTERNAL int txn_put(txn *t, slice prefix, slice key, slice value);
INTERNAL int txn_delete(txn *t, slice prefix, slice key);
INTERNAL int txn_delete_range(txn *t, slice begin, slice end); /* begin < end */
/* The batch that writes go to: the caller may add operations to it at once. Its `owners` are the caller's. */
INTERNAL int txn_writing(txn *t, batch **writes);
/* The same, to look at: at any time. */
INTERNAL const batch *txn_writes(const txn *t);

/* Savepoints nest and are numbered from 1. INVALID when there is none with the number. */
INTERNAL int txn_savepoint(txn *t, uint32_t *savepoint);
INTERNAL int txn_rollback_to(txn *t, uint32_t savepoint);
INTERNAL int txn_release(txn *t, uint32_t savepoint);

/* ---- the end ---- */

INTERNAL int txn_commit(txn *t); /* OK, CONFLICT or a failure: it is over in every case */
INTERNAL void txn_rollback(txn *t);

/* After CONFLICT. Inner keys. */
typedef struct txn_conflict {
  slice key;          /* that changed, or was locked; of a range, the first that was found */
  slice lower, upper; /* the range that was read or deleted; upper empty = no bound */
  bool range, read, locked;
} txn_conflict;
INTERNAL int txn_get_conflict(const txn *t, txn_conflict *c); /* NOTFOUND when there was none */

#endif
