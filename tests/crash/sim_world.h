/* sim_world.h: what everything simulated shares: the trace, the counters, the first failure, memory that is counted.
 *
 * One world is one run of one seed. Nothing in it depends on the host: no time, no address, no hash order, no size of a
 * word. So the trace, a hash over every call of the file layer and every result of an operation, is the same for the
 * same seed wherever it runs.
 */
#ifndef VARVE_SIM_WORLD_H
#define VARVE_SIM_WORLD_H

#include "base/alloc.h"
#include "base/rng.h"
#include "base/xxh64.h"
#include "sim_counts.h"

#define SIM_WHY_SIZE 768

/* An allocator that knows how many pieces are out: what is left after a close is a leak. */
typedef struct sim_memory {
  allocator base; /* pass &m->base */
  uint64_t pieces;
} sim_memory;

typedef struct sim_world {
  uint64_t trace;       /* XXH64 over all that happened so far */
  uint64_t trace_calls; /* how much that was */
  bool print_trace;
  sim_counts counts;
  sim_memory disks; /* of simulated disks and their images */
  bool failed;
  char failure[48]; /* the class of the failure: what a shrunken run must still show */
  char why[SIM_WHY_SIZE];
} sim_world;

void sim_memory_init(sim_memory *m);
void sim_world_init(sim_world *w);

/* Adds one event to the trace. `name` is for --trace alone. */
void sim_trace(sim_world *w, const char *name, uint64_t a, uint64_t b, uint64_t c, const void *data, size_t size);

/* Notes the first failure of the run; false, so that checks can end with it. */
bool sim_fail(sim_world *w, const char *failure, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A generator of its own for everything that draws numbers, so that leaving one thing out moves nothing else. */
static inline rng sim_rng(uint64_t seed, uint64_t stream, uint64_t number) {
  uint64_t words[3] = {seed, stream, number};
  rng r = {xxh64(words, sizeof words, 0)};
  return r;
}

#endif
