/* lsm_int.h: the inside of the storage engine: its one struct, its locks, and what its files share.
 *
 * Locks, in the order in which they may be taken:
 *   commit_lock  one committer at a time: sequences, log appends, memtable writes, rotation
 *   step_lock    one thread at a time runs background work (jobs, publication of versions, the manifest, removing
 *                files)
 *   sync_lock    one sync of the logs at a time; closing a log
 *   open_lock    opening a table that no one has opened yet
 *   state_lock   short: the fields marked [state]
 *
 * Readers take none: they enter a view through a hazard slot (view.c).
 */
#ifndef VARVE_LSM_INT_H
#define VARVE_LSM_INT_H

#include "env/sync.h"
#include "lsm/chunk_pool.h"
#include "lsm/lsm.h"
#include "lsm/manifest.h"
#include "lsm/memtable.h"
#include "lsm/sst.h"
#include "lsm/wal.h"

/* A view is what a reader reads: the memtables and the tables of one moment. Immutable, pinned. */
typedef struct view {
  pin pin;
  struct lsm *owner;
  memtable *active;
  memtable *immutable[IMMUTABLES_MAX]; /* newest first */
  uint32_t immutable_count;
  version *current;
  struct view *retired_next;
} view;

typedef struct reader_slot {
  alignas(64) _Atomic(view *) held;
  atomic_uint_fast64_t gets; /* counted by the holder */
  uint8_t finds[LEVELS];     /* the holder's: 0 .. 3, whether gets at a level found the key of late */
} reader_slot;

/* A log that holds writes of a memtable that is not flushed yet, or a spare file for the next log. */
typedef struct old_log {
  wal_writer *wal; /* NULL for a spare, and for one that recovery replayed */
  uint64_t log, file, size;
  bool synced;
} old_log;

#define OLD_LOGS_MAX   64u
#define SPARE_LOGS_MAX 1u

typedef struct lsm_counters {
  atomic_uint_fast64_t commits, writes, bytes_written, flushes, compactions, trivial_moves, bytes_flushed, bytes_in,
      bytes_out, syncs, stalls, stall_us;
} lsm_counters;

struct job;

struct lsm {
  env *env;
  lsm_options options;
  super root;
  block_cache *cache;
  chunk_pool chunks; /* memtables' memory */
  lsm_counters counters;

  _Atomic(view *) view;                     /* swapped under state_lock */
  atomic_uint_fast64_t last_seq;            /* published: every version with a sequence up to it is complete */
  atomic_int failed;                        /* a failed sync or manifest write: the status, for ever */
  char failed_message[STATUS_MESSAGE_SIZE]; /* [state], written before `failed` */
  reader_slot slots[READER_SLOTS];

  mutex state_lock;
  cond state_changed;     /* background work got somewhere, or failed: for writers that wait for room */
  cond work_cond;         /* there is work, or a commit to sync: for the thread */
  view *retired;          /* [state] swapped out, perhaps still in a slot */
  uint64_t *snapshots;    /* [state] live ones, ascending, with repeats */
  uint64_t *snapshots_us; /* [state] when each was taken; of those at one sequence, perhaps that of an earlier one */
  size_t snapshot_count, snapshot_capacity;
  old_log logs[OLD_LOGS_MAX]; /* [state] not flushed, ascending by log number */
  uint32_t log_count;
  old_log spares[SPARE_LOGS_MAX]; /* [state] */
  uint32_t spare_count;
  uint64_t memtable_log[IMMUTABLES_MAX]; /* [state] first log of immutable[i] */
  uint64_t mapped_bytes;                 /* [open] of tables */
  uint64_t mapped_bytes_max;
  _Atomic(struct user_iter *) idle_iter; /* a closed one, for the next */
  atomic_uint_fast64_t iterators_open;
  atomic_uint_fast64_t views_alive; /* more than the current one at close = values are still out */
  atomic_bool names_unsynced;       /* a file was created since the last sync_dir */

  mutex commit_lock;
  memtable *active;              /* [commit] of the view, which keeps it: writers need no slot */
  wal_writer *wal;               /* [commit]; changed under state_lock too */
  uint64_t clean_end;            /* [open] the log ended here at the last clean close, 0 = did not */
  uint64_t active_log;           /* [commit] the log that the active memtable began with */
  uint64_t unasked_commits;      /* [commit] since the clock was last asked (no thread) */
  atomic_uint_fast64_t dirty_us; /* when the first of them was made */
  atomic_bool sync_due;          /* there are commits that no sync has seen yet */

  mutex sync_lock;
  atomic_uint_fast64_t synced_us; /* when the last sync ended */

  mutex open_lock;

  mutex step_lock;
  manifest *manifest;                  /* [step] NULL after a failed append: the next publication begins a new one */
  struct job *flush_job, *compact_job; /* [step] */
  uint64_t full_asked, full_begun,
      full_done;         /* [step] tickets of lsm_compact's callers: up to which one a job of everything was asked
                                                 for, begun, and done */
  uint32_t full_waiters; /* [step] */
  struct job *full_job;  /* [step] the compact_job, when it is one of those */
  atomic_bool compaction_broken; /* [step] a table could not be read: no more compactions until the next open */
  int step_status;               /* [state] a failure of background work that may pass (FULL, NOMEM), or OK */
  char step_message[STATUS_MESSAGE_SIZE]; /* [state] what it said */
  uint64_t flushed_seq;                   /* [step] every version up to it is in tables */
  uint64_t *dead;                         /* [state] numbers of tables to remove */
  size_t dead_count, dead_capacity;
  atomic_uint_fast64_t next_number;
  atomic_bool has_work; /* for the thread */

  bool thread_running;
  atomic_bool stop;
  thread worker;
};

/* ---- view.c ---- */
/* Enter the current view: valid until view_leave. No lock; waits only when READER_SLOTS readers are inside. */
INTERNAL view *view_enter(lsm *l, reader_slot **slot);
static inline void view_leave(reader_slot *slot) {
  atomic_store_explicit(&slot->held, NULL, memory_order_release);
}
/* The current view with a pin of the caller's own. */
INTERNAL view *view_pin(lsm *l);
/* A view to be filled in: made before what cannot be taken back, so that the swap cannot fail. NOMEM. */
INTERNAL int view_create(lsm *l, view **v);
INTERNAL void view_discard(lsm *l, view *v); /* one that was not installed. NULL is allowed */
/* Fills in `v` (pins are taken here) and swaps it in. state_lock held. */
INTERNAL void view_install(lsm *l, view *v, memtable *active, memtable *const *immutable, uint32_t immutable_count,
                           version *current);
/* Lets go of retired views that no reader is in. */
INTERNAL void view_sweep(lsm *l);

/* ---- table_cache.c ---- */
/* The open reader of a table; it stays open as long as the meta. */
INTERNAL int table_cache_get(lsm *l, table_meta *meta, table **t);
/* A meta's release: closes its reader and, when it is obsolete, queues its file for removal. */
INTERNAL void table_cache_released(table_meta *meta, void *context);

/* ---- merge_iter.c ---- */
/* Merges children (taken over, closed with it) in entry order. seq_max[i]: no version of child i has a larger
 * sequence. `skip` = how many leading bytes all keys share (heads are cached from there). One child is returned as it
 * is. */
INTERNAL int merge_iter_open(allocator *alloc, iter *const *children, const uint64_t *seq_max, uint32_t count,
                             size_t skip, iter **out);
/* Moves children whose versions are all older than `seq` and which are before `key` to it, forward; the merge is then
 * at its smallest child. For a merge positioned forward only. A no-op returning OK for iterators that are no
 * merge. */
INTERNAL int merge_iter_skip(iter *it, slice key, uint64_t seq);

/* ---- level_iter.c ---- */
/* The tables of one level >= 1 (those from .. to - 1) as one iterator. The version must outlive it. */
INTERNAL int level_iter_open(lsm *l, const version_level *level, uint32_t from, uint32_t to, bool bulk, iter **out);

/* ---- user_iter.c ---- */
/* Frees the idle iterator. */
INTERNAL void lsm_iter_forget(lsm *l);

/* ---- compact_pick.c ---- */
/* What a job reads and where it writes. Pure data: indexes into `base`. */
typedef struct job_inputs {
  memtable *memtable; /* a flush of this one; then no tables take part */
  struct {
    uint32_t from, to; /* tables of this level */
  } level[LEVELS];
  uint32_t output_level;
  bool move; /* nothing to merge: the tables just change their level */
} job_inputs;

/* Decides on the next compaction: false when there is nothing to do. `oldest` is the oldest snapshot's sequence
 * (SEQ_MAX when there is none), `full` asks for everything in one level. A pure function of its arguments. */
INTERNAL bool compact_pick(const version *v, const lsm_options *options, uint64_t oldest, bool full, job_inputs *in);
/* Level 0 runs at which writers wait for compaction. */
INTERNAL uint32_t compact_l0_stop(const lsm_options *options);

/* ---- job.c: flush and compaction: one resumable merge ---- */
typedef struct job job;

INTERNAL int job_create(lsm *l, const job_inputs *in, job **out);
/* Works on until about *budget bytes went through (*budget is reduced) or it is done: *done, then job_edit is
 * complete and all outputs are on stable storage but for their names. On failure the job can only be destroyed. */
INTERNAL int job_run(job *j, uint64_t *budget, bool *done);
INTERNAL edit *job_edit(job *j); /* the publisher adds its own fields */
INTERNAL const job_inputs *job_in(const job *j);
INTERNAL uint64_t job_seq_max(const job *j); /* largest sequence that went through */
INTERNAL void job_progress(const job *j, uint64_t *done, uint64_t *total);
/* Marks the inputs' tables obsolete (they were replaced by a published edit). */
INTERNAL void job_published(job *j);
/* Removes the files of outputs that were not published, unless `keep_files`: a record that failed to be written may
 * yet name them. NULL is allowed. */
INTERNAL void job_destroy(job *j, bool keep_files);

/* ---- work.c ---- */
INTERNAL int work_thread_start(lsm *l);
INTERNAL void work_thread_stop(lsm *l);
INTERNAL void work_wake(lsm *l);
/* Syncs the logs when the oldest unsynced commit has waited for sync_interval_ms. */
INTERNAL int work_sync_in_time(lsm *l);
/* lsm_step with step_lock held. */
INTERNAL int work_step(lsm *l, uint64_t budget, bool *more);
/* Waits, or works, until a rotation may happen: an immutable's place is free and level 0 is below its stop.
 * commit_lock held. */
INTERNAL int work_make_room(lsm *l);
/* Begins a new manifest with the present state and names it in SUPER. step_lock held. */
INTERNAL int work_new_manifest(lsm *l);

/* ---- lsm.c ---- */
/* Makes `status`, with the thread's message, the database's failure: read-only from now on. Returns status. */
INTERNAL int lsm_fail(lsm *l, int status);
/* OK, or FAILED with the message of the failure that was. */
INTERNAL int lsm_check_failed(lsm *l);
INTERNAL uint64_t lsm_new_number(lsm *l);
INTERNAL uint64_t lsm_oldest_snapshot(lsm *l); /* SEQ_MAX when there is none */

/* ---- lsm_write.c ---- */
/* Makes the active memtable immutable and begins a new log. commit_lock held, and room for one more immutable. */
INTERNAL int lsm_rotate(lsm *l);
/* Brings all logs to stable storage. */
INTERNAL int lsm_sync_logs(lsm *l);
/* Makes the header of log `log` durable: before the manifest says that recovery begins there. */
INTERNAL int lsm_sync_header(lsm *l, uint64_t log);
/* After a flush: logs below log_min become spares or go. step_lock held. */
INTERNAL int lsm_retire_logs(lsm *l, uint64_t log_min);
/* Marks a log's file as one that holds no log any more: a manifest that has lost its end finds nothing to go on
 * with. */
INTERNAL int lsm_mark_spare(lsm *l, uint64_t file_number);
/* Bytes that the log of one memtable usually needs; a spare file may be twice as long. */
INTERNAL uint64_t lsm_log_size(const lsm *l);

/* ---- recover.c ---- */
/* Fills in everything from the files: root, manifest, version, memtable, logs; creates a database where there is
 * none. */
INTERNAL int recover_open(lsm *l);

#endif
