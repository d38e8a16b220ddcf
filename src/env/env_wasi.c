/* env_wasi.c: the outside world of a program under a WASI host: one thread, the host's clock and entropy.
 *
 * Invariants
 *   1. now_us never goes back. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "env/env.h"

#include "base/rng.h"

#include <time.h>
#include <unistd.h>

#define WASI_ENTROPY_MAX 256u /* what one getentropy gives at most */

static uint64_t wasi_now_us(env *self) {
  struct timespec now;
  (void)self;
  int rc = clock_gettime(CLOCK_MONOTONIC, &now);
  ASSERT(rc == 0);
  return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Ids and salts must differ between databases and runs; they are no secrets. So a host without a source of entropy gets
 * them from what differs anyway: the clocks. */
static void wasi_random(env *self, void *data, size_t size) {
  uint8_t *bytes = data;
  size_t done = 0;
  while (done < size) {
    size_t part = MIN(size - done, WASI_ENTROPY_MAX);
    if (getentropy(bytes + done, part) != 0) break;
    done += part;
  }
  if (LIKELY(done == size)) return;
  struct timespec wall = {0, 0};
  clock_gettime(CLOCK_REALTIME, &wall);
  rng r = {wasi_now_us(self) ^ ((uint64_t)wall.tv_sec << 30) ^ (uint64_t)wall.tv_nsec};
  for (; done < size; done++) bytes[done] = (uint8_t)rng_next(&r);
}

/* The host's memory is not ours to see. */
static uint64_t wasi_memory_total(env *self) {
  (void)self;
  return 0;
}

INTERNAL int env_target_place(allocator *alloc, const char *path, uint32_t flags, vfs **fs) {
  return vfs_wasi_open(alloc, path, flags, fs);
}

INTERNAL void env_target_init(env *e) {
  e->now_us = wasi_now_us;
  e->random = wasi_random;
  e->memory_total = wasi_memory_total;
  e->threads = false;
}

#undef WASI_ENTROPY_MAX
