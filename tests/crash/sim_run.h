/* sim_run.h: one run of a plan: a database that lives on a simulated disk through operations, faults and crashes, with
 * images of the disk taken and checked on the way.
 */
#ifndef VARVE_SIM_RUN_H
#define VARVE_SIM_RUN_H

#include "sim_check.h"
#include "sim_txn.h"

enum { SIM_SNAPSHOTS = 4, SIM_ITERATORS = 3 };

/* What of the database's life so far a held reader has seen go by. */
typedef struct sim_age {
  uint64_t flushes, compactions;
} sim_age;

typedef struct sim_held_snapshot {
  varve_snapshot *handle; /* NULL = none */
  sim_state state;
  varve_keyspace *space[SIM_SPACES];
  sim_age age;
} sim_held_snapshot;

typedef struct sim_held_iterator {
  varve_iter *handle;
  uint16_t value[SIM_KEYS];
  sim_age age;
} sim_held_iterator;

typedef struct sim_run {
  sim_world *world;
  const sim_plan *plan;
  sim_history history;
  sim_checker checker;
  sim_disk *disk, *backup_disk;
  sim_session session;
  varve_keyspace *space[SIM_SPACES];
  sim_held_snapshot snapshot[SIM_SNAPSHOTS];
  sim_held_iterator iterator[SIM_ITERATORS];
  sim_held_txn txn[SIM_TXNS];
  sim_touched touched;
  bool over;            /* the database is gone for good: nothing is left to do */
  bool full;            /* the disk has no room at present */
  uint64_t faults_seen; /* of the disk, when the operation began */
  uint32_t op;          /* the one under way */
  uint32_t sessions;    /* opened so far */
  /* indexes */
  sim_extractor extractor[SIM_INDEXES];
  uint32_t building; /* the index that is being built, + 1; 0 = none */
  bool building_pauses, build_taken, build_stopped, opening;
  uint64_t built_seq; /* of the last step of a build */
  rng *build_rng;
  /* images */
  rng images;
  uint64_t image;      /* the number of the last one */
  uint64_t only_image; /* check this one alone; 0 = all */
  bool in_image;
  /* what was last seen of the engine, for the counters */
  uint64_t seen_log, seen_manifest, seen_tombstones;
  uint64_t seen_files[8];
  uint32_t seen_file_at;
  sim_age age;
  varve_stats stats;
  /* of backups */
  uint64_t backup_seq; /* what the backup holds, 0 = there is none */
  sim_commit backup_commit;
  uint32_t crashes, backup_history; /* of the main disk so far, and when the backup was made */
} sim_run;

/* Runs the plan in a world of its own. `r` may be left as garbage before; it needs no release after. */
void sim_run_plan(sim_run *r, sim_world *w, const sim_plan *plan, uint64_t only_image);

/* ---- between sim_run.c, sim_ops.c, sim_reads.c and sim_backup.c ---- */

/* A range of keys, mostly short. */
void sim_op_draw_range(rng *g, uint32_t *low, uint32_t *high);

/* A change of rows of one keyspace; making a keyspace, or dropping it. */
void sim_op_row(sim_run *r, rng *g, uint32_t space);
void sim_op_keyspace(sim_run *r, uint32_t space);

/* One operation. */
void sim_op_run(sim_run *r, const sim_op *op, rng *g);

/* Whether a failure with this status can be right now; else the run fails. */
bool sim_run_may_fail(sim_run *r, int status, const char *what);
bool sim_run_may_any_fail(const sim_run *r);

/* An ordinary commit of `operations` sequences that was begun with sim_history_begin: after the call, with its status.
 * `strict`: it promised stable storage. */
void sim_run_committed(sim_run *r, int rc, uint32_t operations, bool strict);

/* Looks at what the engine did since the last time. */
void sim_run_observe(sim_run *r);
void sim_run_observe_log(sim_run *r); /* of the log alone, from inside of a call too */

/* An image of the main disk, checked at once. */
void sim_run_image(sim_run *r, sim_disk *disk);

/* The database is closed; `mode` < SIM_MODES: by a crash, whose image it goes on from. */
void sim_run_restart(sim_run *r, int mode, rng *g);

bool sim_run_open(sim_run *r);

/* sim_reads.c */
void sim_reads_snapshot(sim_run *r, rng *g);
void sim_reads_iterator(sim_run *r, rng *g);
void sim_reads_close(sim_run *r, bool check); /* all of them */

/* sim_build.c */
void sim_index_init(sim_run *r);
void sim_index_run(sim_run *r, rng *g);
void sim_index_look(sim_run *r, rng *g);
/* A value; where an index is unique one that is likely to be refused now and then. */
uint16_t sim_index_new_value(sim_run *r, rng *g, uint32_t space);
/* After an open: every index gets its extractor, and half ones are gone on with. */
bool sim_index_open_all(sim_run *r, rng *g);
/* Looks whether the step of a build that was under way is committed. */
void sim_build_advance(sim_run *r, bool returned);

/* sim_txn.c */
void sim_txn_begin(sim_run *r, rng *g);
void sim_txn_write_run(sim_run *r, rng *g);
void sim_txn_read_run(sim_run *r, rng *g);
void sim_txn_mark_run(sim_run *r, rng *g);
void sim_txn_end_run(sim_run *r, rng *g);
void sim_txn_space_gone(sim_run *r, uint32_t space); /* it was dropped */
/* Rolls back what is open; `check`: after reading everything, `crash`: the power is cut at this moment. */
void sim_txn_close_all(sim_run *r, bool check, bool crash);
/* The commit under way changes these keys; then it was applied, or not. */
void sim_touch(sim_run *r, uint32_t space, uint32_t low, uint32_t high);
void sim_touch_codes(sim_run *r, const sim_index_codes *codes);
void sim_touched_now(sim_run *r, bool applied);

/* ---- between sim_txn.c and sim_txn_reads.c ---- */

/* One that is open; a new one when there is none. NULL: it could not begin. */
sim_held_txn *sim_txn_any(sim_run *r, rng *g);
/* A keyspace that is there; others than the default one more often than elsewhere. */
uint32_t sim_txn_space(const sim_run *r, rng *g);
const sim_state *sim_txn_latest(const sim_run *r);
/* Its own writes over `value`, and what it sees of a keyspace. */
void sim_txn_apply(const sim_run *r, const sim_held_txn *t, uint32_t space, uint16_t *value);
void sim_txn_view(const sim_run *r, const sim_held_txn *t, uint32_t space, uint16_t value[SIM_KEYS]);
/* Reads all of a keyspace, in every way. */
void sim_txn_look(sim_run *r, sim_held_txn *t, uint32_t space);
bool sim_txn_changed(const sim_run *r, uint32_t space, uint32_t key, uint64_t since);
bool sim_txn_codes_changed(const sim_run *r, const sim_index_codes *codes, uint64_t since);
/* Since each was watched, or since the transaction's state. */
bool sim_txn_watched_changed(const sim_run *r, const sim_held_txn *t, bool since_base);
void sim_txn_forget(sim_held_txn *t);
/* A call that failed: right after a fault, and the transaction is given up. */
void sim_txn_failed(sim_run *r, sim_held_txn *t, int rc, const char *what);
static inline void sim_txn_mark_keys(bool *marked, uint32_t low, uint32_t high) {
  for (uint32_t i = low; i < high; i++) marked[i] = true;
}

/* sim_backup.c */
void sim_backup_run(sim_run *r, rng *g);

#endif
