/* sim_model.h: what the database must hold: keys, values, and every state that it went through.
 *
 * A commit's number is its place in the history; commit 0 is the empty database. Every operation of a batch takes one
 * sequence, so the sequence that a database reports says which commit it stopped at, and the two must agree.
 *
 *     0 ............ acked ............ returned ............ issued ...... issued + 1
 *     on stable storage  |  survives the death of the process  |  the one under way
 *
 * A commit that failed without being applied leaves a ghost: its frame may be in the log until something is written
 * over it, so after a crash the state may be "its base and it", but never anything that follows from it.
 */
#ifndef VARVE_SIM_MODEL_H
#define VARVE_SIM_MODEL_H

#include "sim_world.h"
#include "varve.h"

enum { SIM_KEYS = 40, SIM_KEY_MAX = 320, SIM_SPACES = 3, SIM_COMMITS = 1000, SIM_GHOSTS = 8, SIM_VALUE_MAX = 24000 };
enum { SIM_INDEXES = 3, SIM_CODES = 96 };

/* MAYBE: it may be ready. */
typedef enum sim_index_status { SIM_INDEX_NONE, SIM_INDEX_BUILDING, SIM_INDEX_MAYBE, SIM_INDEX_READY } sim_index_status;

typedef struct sim_key {
  uint16_t size;
  uint8_t bytes[SIM_KEY_MAX];
} sim_key;

typedef struct sim_state {
  uint16_t value[SIM_SPACES][SIM_KEYS]; /* number of the value, 0 = absent */
  bool made[SIM_SPACES];                /* the keyspace is there; [0] always */
  uint8_t index[SIM_INDEXES];           /* sim_index_status */
  bool posted[SIM_INDEXES][SIM_KEYS];   /* of an index that is being built: the rows that are in it */
  bool begun[SIM_INDEXES];              /* of the same: a step was committed */
} sim_state;

typedef struct sim_commit {
  sim_state after;
  uint64_t seq;    /* of its last operation */
  uint32_t proven; /* commits that the log can prove to have been synced, when this is its last frame */
} sim_commit;

typedef struct sim_ghost {
  uint32_t base;
  sim_commit commit;
} sim_ghost;

typedef struct sim_history {
  sim_key key[SIM_KEYS]; /* sorted */
  uint32_t value_max, big_percent;
  uint32_t next_value;
  sim_commit commit[SIM_COMMITS + 2];
  uint32_t issued, returned, acked;
  uint32_t proven; /* what frames written from now on prove */
  bool pending;    /* commit[issued + 1] is under way */
  sim_ghost ghost[SIM_GHOSTS];
  uint32_t ghost_count;
} sim_history;

void sim_history_init(sim_history *h, uint64_t seed);

varve_slice sim_history_key(const sim_history *h, uint32_t i);
varve_slice sim_space_name(uint32_t space);

/* The bytes of a value; borrowed until the next call. */
varve_slice sim_history_value(const sim_history *h, uint32_t number);
uint16_t sim_history_new_value(sim_history *h);

/* The next commit: a copy of the last state, to be changed; then it is under way, with `operations` sequences; then it
 * was applied, or not. */
sim_state *sim_history_begin(sim_history *h);
void sim_history_pend(sim_history *h, uint32_t operations);
void sim_history_applied(sim_history *h);
void sim_history_failed(sim_history *h);
/* Everything that was issued is on stable storage; `logged`: in the log, whose later frames will say so. */
void sim_history_synced(sim_history *h, bool logged);

/* After a crash the database stands at commit `at`, or at the ghost `ghost` (>= 0). */
void sim_history_rewind(sim_history *h, uint32_t at, int ghost, bool durable);

#endif
