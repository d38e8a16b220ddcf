/* lock_table.h: locks on keys, of txn_get_for_update: one holder each, waiters in the order in which they came.
 *
 * A lock is handed to the first waiter when its holder lets go, so a hot key is served in turn. Who would wait for
 * itself (the holder waits for a lock whose holder waits … for one of ours) is told so at once.
 */
#ifndef VARVE_LOCK_TABLE_H
#define VARVE_LOCK_TABLE_H

#include "env/env.h"
#include "env/sync.h"

#include "base/slice.h"

typedef struct lock_entry lock_entry;

/* Who holds locks: embedded in a transaction. */
typedef struct lock_owner {
  lock_entry *held;          /* list */
  lock_entry *waiting;       /* for this one, NULL = none */
  struct lock_owner *behind; /* the next in the queue of that one */
  cond wake;
} lock_owner;

typedef struct lock_table {
  env *env;
  mutex lock;
  lock_entry **buckets;
  size_t bucket_count, entry_count;
} lock_table;

INTERNAL void lock_table_init(lock_table *t, env *e);
INTERNAL void lock_table_free(lock_table *t); /* no lock may be held */

INTERNAL void lock_owner_init(lock_owner *o);
INTERNAL void lock_owner_free(lock_owner *o);

typedef enum lock_outcome { LOCK_HELD, LOCK_DEADLOCK, LOCK_TIMEOUT } lock_outcome;

/* Takes the lock on `key`, or has it already. Waits for up to wait_ms, where there are threads. NOMEM, or OK and
 * *outcome. */
INTERNAL int lock_acquire(lock_table *t, lock_owner *o, slice key, uint32_t wait_ms, lock_outcome *outcome);
INTERNAL void lock_release_all(lock_table *t, lock_owner *o);

#endif
