/* lsm.h: the door of the storage engine: ordered bytes to bytes, many versions, crash-safe.
 *
 * Keyspaces and their catalog are keys in this one tree: api puts a keyspace's id before each key. Keys here are such
 * inner keys: never empty.
 *
 * Background work is lsm_step, a bounded, resumable state machine. With env->threads a thread of the engine calls it;
 * without, commits pay their share and the host may call it between tasks. Nothing sleeps a writer: one that meets
 * full memtables helps.
 *
 * Threads: every function may be called from any thread at any time between open and close, but for the iterator's,
 * which belong to one thread at a time.
 */
#ifndef VARVE_LSM_H
#define VARVE_LSM_H

#include "env/env.h"
#include "base/pin.h"
#include "lsm/batch.h"
#include "lsm/iter.h"
#include "lsm/memtable.h"

typedef struct lsm lsm;

typedef struct lsm_options {
  bool read_only, must_exist, must_not_exist, no_thread, no_mmap;
  bool strict;   /* the database's default durability */
  bool compress; /* LZ4 below level 1 */
  uint32_t sync_interval_ms, table_bytes, block_bytes, bloom_bits, l0_runs, fanout;
  uint64_t memory_bytes, memtable_bytes;
} lsm_options;

/* Opens or creates the database in e->fs, whose lock the caller holds. The env is borrowed until lsm_close. */
INTERNAL int lsm_open(env *e, const lsm_options *options, lsm **out);
/* Iterators, snapshots and values must have been released (BUSY otherwise, and it stays open). */
INTERNAL int lsm_close(lsm *l);

typedef enum lsm_durability { LSM_DEFAULT, LSM_RELAXED, LSM_STRICT } lsm_durability;

/* Commits a batch. An empty one is OK (and with STRICT still waits for what is before it). */
INTERNAL int lsm_write(lsm *l, const batch *b, lsm_durability durability);

/* What must hold at the moment of a commit: asked when no other commit can come in between, and nothing of this one is
 * written yet. OK, or what lsm_commit is to return instead of committing. It may read, and ask lsm_changed. */
typedef struct lsm_precondition {
  int (*check)(void *context, lsm *l); /* NULL = nothing */
  void *context;
  uint64_t seq; /* set by a commit: the sequence of its last change */
} lsm_precondition;

/* lsm_write on a condition (NULL = none). With one, an empty batch is an error. */
INTERNAL int lsm_commit(lsm *l, const batch *b, lsm_durability durability, lsm_precondition *condition);

/* The sequence of the last commit. */
INTERNAL uint64_t lsm_last_seq(const lsm *l);

/* Whether a commit after `since` wrote, deleted or covered with a deleted range the key (or any key with lower <= key
 * < upper; upper empty = no bound; *found = such a key): CONFLICT, OK = unchanged, or a failure. Exact when a snapshot
 * that is not newer than `since` is held: no version newer than it goes before a newer one is there. Values are not
 * compared: what was written with what it was before has changed. */
INTERNAL int lsm_changed(lsm *l, slice key, uint64_t since);
INTERNAL int lsm_changed_range(lsm *l, slice lower, slice upper, uint64_t since, buf *found);
INTERNAL int lsm_sync(lsm *l);

typedef struct lsm_value {
  slice data; /* borrowed until pin_unref(pin) */
  pin *pin;
} lsm_value;

/* The value of key as of sequence seq_max (SEQ_MAX = now): OK, NOTFOUND, or a failure. `value` may be NULL. */
INTERNAL int lsm_get(lsm *l, slice key, uint64_t seq_max, lsm_value *value);

/* The first of the keys from `prefix` to its successor `upper`, as of now, when filters know no more of them than the
 * prefix (filter_part): OK and what follows the prefix in it, *only = there is no other; NOTFOUND; or DONE: that takes
 * an iterator (with equal_prefix). */
INTERNAL int lsm_find_prefix(lsm *l, slice prefix, slice upper, lsm_value *rest, bool *only);

/* Snapshots: a sequence that stays readable until released. */
INTERNAL int lsm_snapshot_acquire(lsm *l, uint64_t *seq);
INTERNAL void lsm_snapshot_release(lsm *l, uint64_t seq);

/* ---- writes that are not committed, in a memtable of the caller's ---- */

/* Reserves in `mt` for the ops of a batch's body. NOMEM, LIMIT. */
INTERNAL int lsm_reserve(memtable *mt, slice ops, uint32_t count);
/* Applies them, with sequences from `seq` on: the memtable has been reserved for them. */
INTERNAL void lsm_apply(memtable *mt, slice ops, uint64_t seq);

/* ---- iterators over what is visible at one sequence ---- */
typedef struct user_iter user_iter;

typedef struct user_iter_options {
  uint64_t seq_max;   /* SEQ_MAX = now */
  slice lower, upper; /* lower <= key < upper; upper empty = no bound. Copied */
  /* Writes that are over everything committed, with sequences from TXN_SEQ_BASE on: those up to overlay_seq are seen.
   * NULL = none. Pinned. */
  memtable *overlay;
  uint64_t overlay_seq;
  /* All keys of the range have one filter_part, that of `lower`: tables whose filter denies it are left out. */
  bool equal_prefix;
} user_iter_options;

INTERNAL int lsm_iter_open(lsm *l, const user_iter_options *options, user_iter **it);
INTERNAL void user_iter_close(user_iter *it); /* NULL is allowed */
/* Moves: OK, DONE, or a failure that is kept until the next absolute move. */
INTERNAL int user_iter_first(user_iter *it);
INTERNAL int user_iter_last(user_iter *it);
INTERNAL int user_iter_seek(user_iter *it, slice key);          /* first key >= key */
INTERNAL int user_iter_seek_for_prev(user_iter *it, slice key); /* last key <= key */
INTERNAL int user_iter_next(user_iter *it);
INTERNAL int user_iter_prev(user_iter *it);
INTERNAL slice user_iter_key(const user_iter *it);
INTERNAL slice user_iter_value(const user_iter *it);
INTERNAL int user_iter_status(const user_iter *it);

/* ---- care ---- */
INTERNAL int lsm_flush(lsm *l);
INTERNAL int lsm_compact(lsm *l, varve_progress progress, void *context);
/* Does about `budget` bytes of work; *more (may be NULL) = there is more to do. */
INTERNAL int lsm_step(lsm *l, uint64_t budget, bool *more);
INTERNAL int lsm_verify(lsm *l, varve_verify_report *report, varve_progress progress, void *context);
INTERNAL int lsm_backup(lsm *l, env *target, varve_backup_report *report, varve_progress progress, void *context);
/* Copies the backup in `from` to a new database in `to`, verified. Both envs are locked by the caller. */
INTERNAL int lsm_restore(env *from, env *to, varve_progress progress, void *context);
/* Saves what is whole in `from`, whatever is damaged there, into a new database in `to`. Both envs are locked by the
 * caller; `from` is only read. */
INTERNAL int lsm_repair(env *from, env *to, const varve_repair_options *options, varve_repair_report *report);
INTERNAL void lsm_get_stats(lsm *l, varve_stats *stats);

#endif
