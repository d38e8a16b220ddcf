/* env_wasm.c: the outside world of the WebAssembly build in a JavaScript host: its clock, its entropy, its memory.
 * There are no threads: the host calls varve_work between its tasks.
 */
#include "env/env.h"

#define WASM_IMPORT(name) __attribute__((import_module("host"), import_name(name)))

WASM_IMPORT("now_us") extern double host_now_us(void);
WASM_IMPORT("random") extern void host_random(void *data, size_t size);
WASM_IMPORT("memory") extern double host_memory(void);

static uint64_t wasm_env_now_us(env *self) {
  double now = host_now_us();
  ASSERT(now >= 0);
  if ((uint64_t)now > self->last_us) self->last_us = (uint64_t)now;
  return self->last_us;
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

INTERNAL int env_target_place(allocator *alloc, const char *path, uint32_t flags, vfs **fs) {
  return vfs_host_open(alloc, path, flags, fs);
}

INTERNAL void env_target_init(env *e) {
  e->now_us = wasm_env_now_us;
  e->random = wasm_env_random;
  e->memory_total = wasm_env_memory;
  e->threads = false;
}

#undef WASM_IMPORT
