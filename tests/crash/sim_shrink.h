/* sim_shrink.h: a failing run made as small as it can be, and the one line that repeats it. */
#ifndef VARVE_SIM_SHRINK_H
#define VARVE_SIM_SHRINK_H

#include "sim_run.h"

/* Runs a plan in a fresh world. A promise of the engine that does not hold (abort), or a wild access, ends the run as a
 * failure where the host has signals. */
void sim_shrink_run(sim_world *w, const sim_plan *plan, uint64_t only_image, bool print_trace);

/* Leaves out operations, then faults, then crash points, as long as the failure is of the same class. *w is that of the
 * last failing run. */
void sim_shrink(sim_plan *plan, sim_world *w);

/* "torture --seed ...". */
void sim_shrink_print(const sim_plan *plan, uint64_t only_image);

/* Lists like "3-5,9" or "none", of operations that are kept, that keep their fault, in which images are taken. NULL =
 * all. */
bool sim_shrink_parse(sim_plan *plan, const char *keep, const char *faults, const char *images);

#endif
