/* txn_int.h: the inside of transactions. */
#ifndef VARVE_TXN_INT_H
#define VARVE_TXN_INT_H

#include "txn/lock_table.h"
#include "txn/read_set.h"
#include "txn/txn.h"

#define TXN_READ_SET_BYTES_DEFAULT (1 * MiB)
#define TXN_READ_SET_BYTES_MIN     (4 * KiB)
#define TXN_SCAN_MAX               8u /* newest writes that a get looks through one by one */

struct txn_store {
  lsm *lsm;
  env *env;
  lock_table locks;
  _Atomic(txn *) idle; /* a closed one, with its memory, for the next */
  _Atomic(txn_iter *) idle_iter;
  atomic_uint_fast64_t open, commits, conflicts;
  atomic_uint_fast64_t schema;
};

/* A key that must be at the commit as it was at `since`. */
typedef struct txn_watch {
  uint64_t since;
  size_t at, size; /* of the key in watched_keys */
} txn_watch;

typedef struct txn_mark {
  size_t ops_size, owners_size;
  uint32_t count;
} txn_mark;

struct varve_txn {
  txn_store *store;
  void *owner;
  varve_isolation isolation;
  bool read_only, over;
  bool has_snapshot; /* seq is in the engine's list */
  bool touched;      /* read (but for keys that it locked) or written: the snapshot may not move any more */
  lsm_durability durability;
  uint32_t lock_wait_ms;
  uint64_t seq;
  uint64_t schema; /* the store's when it began */

  batch writes;
  memtable *overlay; /* writes [0, overlay_count), with sequences from TXN_SEQ_BASE on. NULL = none yet */
  uint32_t overlay_count;
  size_t overlay_size; /* bytes of writes.ops that are in it */
  txn_mark *marks;     /* savepoint i + 1 */
  size_t mark_count, mark_room;

  read_set reads; /* SERIALIZABLE and not read-only */
  txn_watch *watches;
  size_t watch_count, watch_room;
  buf watched_keys;
  lock_owner locks;
  txn_iter *iters; /* that are open and tell what they read */
  int lost;        /* a failure to note what was read: the commit fails with it */

  uint64_t committed; /* its commit's sequence, 0 = none */
  uint64_t floor;     /* of a commit: up to here everything was found unchanged */
  bool conflicted;
  txn_conflict conflict; /* slices into the next two */
  buf conflict_key, conflict_range;
};

/* ---- txn_write.c ---- */

/* Brings the overlay up to date. NOMEM. Call with writes only. */
INTERNAL int txn_overlay(txn *t);
INTERNAL void txn_overlay_drop(txn *t);

/* ---- txn_iter.c ---- */

/* What open iterators have read so far goes to the read set. NOMEM. */
INTERNAL int txn_iters_flush(txn *t);
/* Lets go of them. */
INTERNAL void txn_iters_detach(txn *t);
/* Frees the idle iterator. */
INTERNAL void txn_iter_forget(txn_store *s);

/* ---- txn_commit.c ---- */

/* Notes what the conflict is with, and says so. Returns CONFLICT. `upper` NULL = a key, else a range from lower. */
INTERNAL int txn_conflict_with(txn *t, bool read, slice key, slice lower, const slice *upper, const char *why);
/* Ends it: snapshot, locks, iterators. */
INTERNAL void txn_end(txn *t);

#endif
