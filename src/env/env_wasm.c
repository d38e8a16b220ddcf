/* env_wasm.c: the outside world of the WebAssembly build in a JavaScript host: its clock, its entropy, its memory.
 * There are no threads: the host calls varve_work between its tasks.
 */
#include "env/env.h"

#define WASM_IMPORT(name) __attribute__((import_module("host"), import_name(name)))

WASM_IMPORT("now_us") extern double host_now_us(void);
WASM_IMPORT("random") extern void host_random(void *data, size_t size);
WASM_IMPORT("memory") extern double host_memory(void);

typedef struct wasm_env {
  env base;
  uint64_t last_us; /* the clock of a host may step back; ours does not */
} wasm_env;

static uint64_t wasm_env_now_us(env *self) {
  wasm_env *e = CONTAINER_OF(self, wasm_env, base);
  double now = host_now_us();
  ASSERT(now >= 0);
  if ((uint64_t)now > e->last_us) e->last_us = (uint64_t)now;
  return e->last_us;
}

static void wasm_env_random(env *self, void *data, size_t size) {
  ASSERT(self != NULL && (data != NULL || size == 0));
  host_random(data, size);
}

static uint64_t wasm_env_memory(env *self) {
  ASSERT(self != NULL);
  double bytes = host_memory();
  return bytes > 0 ? (uint64_t)bytes : 0;
}

INTERNAL int env_open(allocator *alloc, const char *path, uint32_t flags, env **out) {
  *out = NULL;
  vfs *fs = NULL;
  if (strcmp(path, ":memory:") == 0) {
    TRY(vfs_mem_open(alloc, &fs));
  } else {
    TRY(vfs_host_open(alloc, path, flags, &fs));
  }
  ASSERT(fs != NULL);
  wasm_env *e = MEM_NEW(alloc, wasm_env);
  if (e == NULL) {
    (void)vfs_close_fs(fs);
    return mem_fail(sizeof *e, "the environment");
  }
  e->base.fs = fs;
  e->base.alloc = alloc;
  e->base.now_us = wasm_env_now_us;
  e->base.random = wasm_env_random;
  e->base.memory_total = wasm_env_memory;
  e->base.threads = false;
  *out = &e->base;
  return VARVE_OK;
}

INTERNAL int env_close(env *e) {
  if (e == NULL) return VARVE_OK;
  allocator *alloc = e->alloc;
  int rc = vfs_close_fs(e->fs);
  MEM_DELETE(alloc, CONTAINER_OF(e, wasm_env, base));
  return rc;
}

#undef WASM_IMPORT
