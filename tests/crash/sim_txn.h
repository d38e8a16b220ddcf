/* sim_txn.h: open transactions, and what the model knows of each: the state that it reads, its own writes, what it has
 * read and locked. What keys were changed since is the run's: touched.
 */
#ifndef VARVE_SIM_TXN_H
#define VARVE_SIM_TXN_H

#include "sim_index.h"
#include "sim_session.h"

enum { SIM_TXNS = 4, SIM_TXN_WRITES = 120, SIM_TXN_MARKS = 6 };

/* Keys low to high - 1 get a value, or 0: are deleted. */
typedef struct sim_txn_write {
  uint8_t space, low, high;
  uint16_t value;
  varve_keyspace *in;
  sim_index_codes codes; /* of unique indexes that it changes */
} sim_txn_write;

typedef struct sim_txn_place {
  uint32_t count, operations;
} sim_txn_place;

typedef struct sim_held_txn {
  varve_txn *handle; /* NULL = none */
  varve_isolation isolation;
  bool read_only, strict;
  bool touched;          /* the state that it reads may not move any more */
  bool gone, watch_gone; /* a keyspace was dropped in which it had read, or watched, something */
  sim_state base;
  uint64_t base_seq;
  uint64_t schema; /* the engine's number */
  varve_keyspace *space[SIM_SPACES];
  sim_txn_write write[SIM_TXN_WRITES];
  sim_txn_place now, mark[SIM_TXN_MARKS]; /* operations: sequences that the commit takes */
  uint32_t marks;
  bool read[SIM_SPACES][SIM_KEYS], locked[SIM_SPACES][SIM_KEYS];
  uint64_t watched[SIM_SPACES][SIM_KEYS]; /* the sequence since which it must be unchanged, + 1; 0 = not watched */
  uint64_t watched_code[SIM_INDEXES][SIM_CODES];
  bool read_index; /* what was read of indexes is not noted: it may conflict with any change */
} sim_held_txn;

/* What was changed, for conflicts. */
typedef struct sim_touched {
  bool marked[SIM_SPACES][SIM_KEYS]; /* by the commit under way */
  uint64_t seq[SIM_SPACES][SIM_KEYS];
  sim_index_codes marked_codes;
  uint64_t code_seq[SIM_INDEXES][SIM_CODES];
} sim_touched;

#endif
