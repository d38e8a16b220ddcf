/* sim_plan.h: one seed turned into a whole run: options, operations, faults, where crash images are taken.
 *
 * Everything is drawn up before the run begins, and every operation draws from a generator of its own. So operations,
 * faults and crash points can be taken out one by one and the rest stays what it was: that is what the shrinker does.
 *
 * Transactions and indexes came later. A seed that has them replaces some of its operations, as a generator of its
 * own says; everything else is drawn as before. So a seed without them (and each, when the plan is `plain`) does what
 * it always did, and what old seeds found can still be shown.
 *
 * Swarm testing (Groce et al., ISSTA 2012): each seed leaves out a random half of the operations and faults, and draws
 * tiny sizes, so that deep states are reached that an even mixture never gets to.
 */
#ifndef VARVE_SIM_PLAN_H
#define VARVE_SIM_PLAN_H

#include "sim_disk.h"
#include "sim_model.h"

#define SIM_OP_MAP(X) \
  X(put, 30)          \
  X(delete, 10)       \
  X(range, 6)         \
  X(batch, 16)        \
  X(keyspace, 3)      \
  X(sync, 3)          \
  X(flush, 5)         \
  X(compact, 2)       \
  X(work, 10)         \
  X(snapshot, 5)      \
  X(iterator, 5)      \
  X(look, 3)          \
  X(verify, 1)        \
  X(backup, 2)        \
  X(reopen, 3)        \
  X(kill, 2)          \
  X(power, 3)

/* Operations that take the place of others in seeds that have transactions. */
#define SIM_OP_TXN_MAP(X) \
  X(tx_write, 24)         \
  X(tx_end, 10)           \
  X(tx_begin, 12)         \
  X(tx_read, 14)          \
  X(tx_mark, 10)

/* The same in seeds that have indexes. */
#define SIM_OP_INDEX_MAP(X) \
  X(row, 20)                \
  X(index, 8)               \
  X(index_look, 5)

typedef enum sim_op_kind {
#define SIM_OP_ENUM(name, weight) SIM_OP_##name,
  SIM_OP_MAP(SIM_OP_ENUM) SIM_OP_TXN_MAP(SIM_OP_ENUM) SIM_OP_INDEX_MAP(SIM_OP_ENUM)
#undef SIM_OP_ENUM
      SIM_OP_KINDS
} sim_op_kind;

enum { SIM_OPS_PLAIN = SIM_OP_tx_write };

extern const char *const sim_op_names[SIM_OP_KINDS];

enum { SIM_OPS_MAX = 160 };

typedef struct sim_op {
  sim_op_kind kind;
  bool left_out;  /* by the shrinker */
  bool no_images; /* by the shrinker */
  sim_fault fault;
} sim_op;

typedef struct sim_index_plan {
  uint8_t space;
  bool unique;
  varve_index_kind kind;
} sim_index_plan;

typedef struct sim_plan {
  uint64_t seed;
  bool single; /* a database in one file */
  bool plain;  /* without transactions and indexes, whatever the seed says */
  bool txns, indexes;
  sim_index_plan index[SIM_INDEXES];
  uint32_t traits;
  varve_options options;
  uint32_t strict_percent;
  uint32_t image_percent, after_sync_percent, between_percent; /* of calls that change, of syncs, of operations */
  uint32_t count;
  sim_op op[SIM_OPS_MAX + 1]; /* the one behind all is the creation, which cannot be left out */
} sim_plan;

void sim_plan_make(sim_plan *p, uint64_t seed, bool single, bool plain);

/* The generator of operation i; `stream` tells its uses apart. */
static inline rng sim_plan_rng(const sim_plan *p, uint64_t stream, uint32_t i) {
  return sim_rng(p->seed, stream, i);
}

#endif
