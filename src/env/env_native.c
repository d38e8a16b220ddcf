/* env_native.c: the outside world of a native program.
 *
 * Invariants
 *   1. now_us never goes back. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "env/env.h"

#include "base/rng.h"
#include "env/sync.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/random.h>
#endif

#ifdef VARVE_THREADS
#define NATIVE_THREADS true
#else
#define NATIVE_THREADS false
#endif

static uint64_t native_now_us(env *self) {
  struct timespec now;
  (void)self;
  int rc = clock_gettime(CLOCK_MONOTONIC, &now);
  ASSERT(rc == 0);
  return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

#if defined(__linux__)

static size_t native_random_system(uint8_t *data, size_t size) {
  size_t done = 0;
  while (done < size) {
    ssize_t n = getrandom(data + done, size - done, 0);
    if (n > 0) done += (size_t)n;
    if (n < 0 && errno != EINTR) break;
  }
  return done;
}

#else

static size_t native_random_system(uint8_t *data, size_t size) {
  size_t done = 0;
  int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  while (done < size) {
    ssize_t n = read(fd, data + done, size - done);
    if (n > 0) done += (size_t)n;
    if (n == 0 || (n < 0 && errno != EINTR)) break;
  }
  close(fd);
  return done;
}

#endif

/* Ids and salts must differ between databases and runs; they are no secrets. So a system without a source of entropy
 * gets them from what differs anyway: the clocks, the process, an address. */
static void native_random(env *self, void *data, size_t size) {
  uint8_t *bytes = data;
  size_t done = native_random_system(bytes, size);
  if (LIKELY(done == size)) return;
  struct timespec wall = {0, 0};
  clock_gettime(CLOCK_REALTIME, &wall);
  rng r = {native_now_us(self) ^ ((uint64_t)wall.tv_sec << 30) ^ (uint64_t)wall.tv_nsec};
  r.state = rng_next(&r) ^ (uint64_t)getpid() ^ (uint64_t)(uintptr_t)data;
  for (; done < size; done++) bytes[done] = (uint8_t)rng_next(&r);
}

static uint64_t native_memory_total(env *self) {
  (void)self;
  long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  return pages <= 0 || page <= 0 ? 0 : (uint64_t)pages * (uint64_t)page;
}

INTERNAL int env_target_place(allocator *alloc, const char *path, uint32_t flags, vfs **fs) {
  return vfs_posix_open(alloc, path, flags, fs);
}

INTERNAL void env_target_init(env *e) {
  e->now_us = native_now_us;
  e->random = native_random;
  e->memory_total = native_memory_total;
  e->threads = NATIVE_THREADS;
}

#undef NATIVE_THREADS
