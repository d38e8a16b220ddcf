/* sim_index.h: indexes that maintain themselves: what they are, the keys that rows have in them, and what the model
 * says of writing a row.
 *
 * Index keys have numbers in the order of their bytes. One that is unique gives most rows one of SIM_CODES keys, so
 * that two rows often have the same; the others give each row up to two keys out of a few.
 */
#ifndef VARVE_SIM_INDEX_H
#define VARVE_SIM_INDEX_H

#include "sim_plan.h"

enum { SIM_LETTERS = 5 };

typedef struct sim_index_keys {
  uint32_t count;
  uint8_t number[2];
} sim_index_keys;

/* What an extractor is given as its context. `run` is told of the rows of a build; NULL = nobody is. */
struct sim_run;
typedef struct sim_extractor {
  struct sim_run *run;
  const sim_index_plan *plan;
  uint32_t index;
} sim_extractor;

void sim_index_keys_of(const sim_index_plan *p, varve_slice value, sim_index_keys *keys);
/* Borrowed until the next call. */
varve_slice sim_index_key(const sim_index_plan *p, uint32_t number);
int sim_index_extract(void *context, varve_slice key, varve_slice value, varve_index_emit emit, void *emit_context);
varve_slice sim_index_name(uint32_t index);
varve_index_options sim_index_options(const sim_plan *p, uint32_t index, varve_keyspace *space, sim_extractor *x);

/* Index keys that a change adds or takes away. */
typedef struct sim_index_codes {
  uint64_t bits[SIM_INDEXES][2];
} sim_index_codes;

static inline bool sim_index_has_code(const sim_index_codes *c, uint32_t index, uint32_t number) {
  return (c->bits[index][number / 64] >> number % 64 & 1) != 0;
}

/* One row changes: `shows` are the values of its keyspace before. */
typedef struct sim_row_change {
  uint32_t operations;       /* sequences, the row's own with them */
  bool taken, maybe_taken;   /* a unique index has its key: the write must, or may, be refused */
  sim_index_codes codes;     /* of unique indexes: what it touches */
  sim_index_codes looked_at; /* of unique indexes: what it asks for */
} sim_row_change;

/* `state` says which indexes there are. number 0 = the row is deleted. */
void sim_index_row(const sim_plan *p, const sim_history *h, const sim_state *state, const uint16_t *shows,
                   uint32_t space, uint32_t key, uint16_t number, sim_row_change *change);
bool sim_index_any(const sim_plan *p, const sim_state *state, uint32_t space);

/* The row was written: what it has in unique indexes that are being built is its own now. */
void sim_index_posted(const sim_plan *p, const sim_history *h, sim_state *state, uint32_t space, uint32_t key,
                      uint16_t before, uint16_t after);

#endif
