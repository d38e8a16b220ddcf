/* sim_check.h: the oracle: what a database must hold, read in every way, and what must be true of a crash image.
 *
 * The checks of an image, in this order:
 *    1  it opens, within a number of calls
 *    2  a full scan is one state of the history, at least the last that was on stable storage, at most the last issued
 *    3  scans forward and backward, point reads and has agree
 *    4  the sequence is that state's, and the next file number is above every name
 *    5  a second crash inside of the recovery leads to the same state
 *    6  a synced write after the recovery survives the next crash (which finds poisoned tails)
 *    7  levels are sorted and disjoint, every table is there and whole, nothing is left over
 *    8  the catalogue of keyspaces is that state's
 *    9  no memory, no handle, no lock is left after a close
 *   10  with one bit flipped there is an error or the same answer
 *   11  with a read error in the open the open fails
 *   12  old snapshots and iterators still read their state: sim_reads.c, on the database that lives on
 */
#ifndef VARVE_SIM_CHECK_H
#define VARVE_SIM_CHECK_H

#include "sim_index.h"
#include "sim_session.h"

/* Which states are right. */
typedef struct sim_expect {
  uint32_t low, high;     /* commits of the history; low > high: none */
  uint32_t durable;       /* the lowest after one more power cut: the image of a mere kill may have more */
  bool ghosts;            /* or a ghost that stands on one of them */
  bool weak;              /* something lied: an error is right as well, and any state from 0 to high */
  const sim_commit *also; /* or this one; NULL = none */
  bool also_pending;      /* it was under way at the crash: the death of the process alone may leave it unsynced, */
  uint32_t also_base;     /* and the next power cut may take it away, down to this commit and further */
} sim_expect;

typedef struct sim_found {
  uint32_t at; /* commit of the history */
  int ghost;   /* >= 0: a ghost */
  bool also;
  const sim_commit *commit;
} sim_found;

typedef struct sim_checker {
  sim_world *world;
  const sim_plan *plan;
  const sim_history *history;
  varve_db *const *live; /* the database of the run: opening a half index there goes on with it */
} sim_checker;

/* Compares everything that `db` shows with a state; checks 2 and 3. `snapshot` may be NULL. An error of the database
 * is a failure of the check, but for `may_fail`: then its status is in *rc. */
bool sim_check_space(const sim_checker *c, varve_db *db, const varve_snapshot *snapshot, varve_keyspace *space,
                     const uint16_t *value, bool may_fail, int *rc);
bool sim_check_state(const sim_checker *c, varve_db *db, const sim_state *state, bool may_fail, int *rc);

/* sim_index_check.c: every index that is ready has the postings of the state's rows, and the others are not. Of one,
 * as a transaction sees it. */
bool sim_check_indexes(const sim_checker *c, varve_db *db, const sim_state *state, bool may_fail, int *rc);
bool sim_check_postings(const sim_checker *c, varve_index *ix, uint32_t index, varve_txn *t, const uint16_t *value,
                        bool may_fail, int *rc);
/* Verifies the indexes of an image, and goes on with those that are half built: *changed. */
bool sim_check_go_on(const sim_checker *c, varve_db *db, const sim_state *state, bool *changed);

/* One iterator over all of a keyspace, forward and backward. */
bool sim_check_iterator(const sim_checker *c, varve_iter *it, const uint16_t *value, bool may_fail, int *rc);

/* The same to and fro: seeks, and steps that turn. */
bool sim_check_walk(const sim_checker *c, varve_iter *it, const uint16_t *value, bool may_fail, int *rc);

/* Finds out which state the database is in and checks it. */
bool sim_check_find(const sim_checker *c, varve_db *db, const sim_expect *expect, sim_found *found, bool may_fail,
                    int *rc);

/* Checks 4 and 7 on a database that was just opened. */
bool sim_check_files(const sim_checker *c, varve_db *db);
bool sim_check_verify(const sim_checker *c, varve_db *db);

/* All of it, on an image, which is given away. `depth` counts the crashes before this one. */
void sim_check_image(const sim_checker *c, sim_disk *image, sim_mode mode, sim_expect expect, uint64_t seed,
                     uint32_t depth);

#endif
