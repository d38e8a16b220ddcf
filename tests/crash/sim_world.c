/* sim_world.c: the trace, the first failure, counted memory. */
#include "sim_world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void *sim_memory_resize(allocator *self, void *ptr, size_t old_size, size_t new_size) {
  sim_memory *m = CONTAINER_OF(self, sim_memory, base);
  ASSERT((ptr == NULL) == (old_size == 0));
  void *result = NULL;
  if (new_size == 0) {
    free(ptr);
    m->pieces -= old_size > 0;
  } else {
    result = realloc(ptr, new_size);
    if (result == NULL) return NULL;
    m->pieces += ptr == NULL;
  }
  size_t used = atomic_load_explicit(&self->used, memory_order_relaxed);
  ASSERT(used >= old_size);
  atomic_store_explicit(&self->used, used - old_size + new_size, memory_order_relaxed);
  return result;
}

void sim_memory_init(sim_memory *m) {
  memset(m, 0, sizeof *m);
  m->base.resize = sim_memory_resize;
}

void sim_world_init(sim_world *w) {
  memset(w, 0, sizeof *w);
  sim_memory_init(&w->disks);
}

void sim_trace(sim_world *w, const char *name, uint64_t a, uint64_t b, uint64_t c, const void *data, size_t size) {
  uint64_t words[4] = {a, b, c, size == 0 ? size : xxh64(data, size, size)};
  w->trace = xxh64(words, sizeof words, w->trace);
  w->trace_calls++;
  if (!w->print_trace) return;
  printf("%8llu %-14s %lld %llu %llu %016llx\n", (unsigned long long)w->trace_calls, name, (long long)a,
         (unsigned long long)b, (unsigned long long)c, (unsigned long long)w->trace);
}

bool sim_fail(sim_world *w, const char *failure, const char *format, ...) {
  if (w->failed) return false;
  w->failed = true;
  (void)snprintf(w->failure, sizeof w->failure, "%s", failure);
  va_list args;
  va_start(args, format);
  (void)vsnprintf(w->why, sizeof w->why, format, args);
  va_end(args);
  return false;
}
