/* sim_session.h: one process's use of a simulated disk: its clock, entropy and memory, and the database open on it.
 *
 * There are no threads: background work is done by commits and by varve_work, with budgets that the seed chooses.
 */
#ifndef VARVE_SIM_SESSION_H
#define VARVE_SIM_SESSION_H

#include "api/api_int.h"
#include "lsm/lsm_int.h"
#include "sim_plan.h"

typedef struct sim_session {
  sim_memory memory; /* first: how the env's functions find the rest */
  sim_world *world;
  sim_disk *disk;
  rng entropy, clock;
  uint64_t now_us;
  varve_db *db; /* NULL when it is not open */
} sim_session;

/* An env over the disk in the plan's layout, locked; of a backup `single` may differ. */
int sim_session_env(sim_session *s, sim_disk *disk, bool single, uint32_t flags, uint64_t seed, env **out);

/* varve_open on the disk. */
int sim_session_open(sim_session *s, sim_disk *disk, const sim_plan *p, bool read_only, uint64_t seed);

/* varve_close; and nothing may be left: memory, handles, the lock. Whatever it returns the database is closed. */
int sim_session_close(sim_session *s);

/* Nothing may be left of a session without a database. */
bool sim_session_clean(sim_session *s, const char *after);

#endif
