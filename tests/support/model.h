/* model.h: random histories run against the database and against a sorted array, which must agree at every step.
 *
 * One seed decides everything: options, which operations occur (swarm testing: Groce et al., ISSTA 2012), keys,
 * values. Uses only the public interface and the C library, so that it runs natively and under WASI alike.
 */
#ifndef VARVE_MODEL_H
#define VARVE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Called between close and open of a reopened database on disk; may be NULL. */
typedef struct model_options {
  const char *path; /* a place of its own for this run, or ":memory:" (then nothing is reopened) */
  uint32_t steps;
} model_options;

/* What was reached, summed over runs: a test that never got there proves nothing. */
typedef struct model_counts {
  uint64_t operations, reopens, flushes, compactions, moves, snapshots_read, iterated, range_deletes, batches;
} model_counts;

/* Runs one history. True = all agreed; else `why` says what differed, at which step. */
bool model_run(uint64_t seed, const model_options *options, model_counts *counts, char why[512]);

#endif
