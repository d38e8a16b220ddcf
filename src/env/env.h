/* env.h: the outside world as one bundle, handed to the engine at open: files, clock, entropy, memory, threads.
 *
 * Everything that is not decided by the engine's input comes through here, so that a simulated env with a seed replays
 * a run exactly.
 */
#ifndef VARVE_ENV_H
#define VARVE_ENV_H

#include "env/vfs.h"

typedef struct env {
  vfs *fs;
  allocator *alloc;
  uint64_t (*now_us)(struct env *self);                      /* monotonic */
  void (*random)(struct env *self, void *data, size_t size); /* unpredictable bytes: database ids, log salts */
  uint64_t (*memory_total)(struct env *self);                /* the machine's memory in bytes, 0 = unknown */
  bool threads;                                              /* sync.h makes real threads here */
  uint64_t last_us;                                          /* of now_us, where a host's clock may step back */
} env;

/* The env of this build's target (env_native.c, env_wasi.c, env_wasm.c) over the place `path` (":memory:" = vfs_mem,
 * one file = vfs_single). `flags` as VFS_PLACE_*. The allocator is owned by the caller and outlives the env. Failures
 * as vfs_*_open; *out is NULL then. */
INTERNAL int env_open(allocator *alloc, const char *path, uint32_t flags, env **out);
/* Closes the vfs as well. NULL is allowed. */
INTERNAL int env_close(env *e);

/* ---- what each target defines, for env.c ---- */

INTERNAL int env_target_place(allocator *alloc, const char *path, uint32_t flags, vfs **fs);
/* Sets what env_open has not set: the functions and `threads`. */
INTERNAL void env_target_init(env *e);

#endif
