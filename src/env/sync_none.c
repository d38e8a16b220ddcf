/* sync_none.c: sync.h where there is one thread (WebAssembly, or a native build without VARVE_THREADS).
 *
 * Locks only remember that they are held, so that taking one twice or giving back one that is free is found here too,
 * where it costs one byte, and not first as a deadlock in a build with threads. Nobody could end a wait, so waiting is
 * an error of the caller.
 */
#include "env/sync.h"

INTERNAL void mutex_init(mutex *m) {
  m->held = false;
}

INTERNAL void mutex_destroy(mutex *m) {
  ASSERT(!m->held);
}

INTERNAL void mutex_lock(mutex *m) {
  ASSERT(!m->held);
  m->held = true;
}

INTERNAL void mutex_unlock(mutex *m) {
  ASSERT(m->held);
  m->held = false;
}

INTERNAL void cond_init(cond *c) {
  c->none = 0;
}

INTERNAL void cond_destroy(cond *c) {
  (void)c;
}

INTERNAL void cond_wait(cond *c, mutex *m) {
  (void)c;
  (void)m;
  bool another_thread_could_end_it = false;
  ASSERT(another_thread_could_end_it);
}

INTERNAL bool cond_wait_us(cond *c, mutex *m, uint64_t us) {
  (void)us;
  cond_wait(c, m);
  return false;
}

INTERNAL void cond_signal(cond *c) {
  (void)c;
}

INTERNAL void cond_broadcast(cond *c) {
  (void)c;
}

INTERNAL int thread_start(thread *t, void *(*run)(void *), void *context) {
  (void)t;
  (void)run;
  (void)context;
  return status_fail(VARVE_UNSUPPORTED, "this host has no threads; open with no_thread and call varve_work");
}

INTERNAL void thread_join(thread *t) {
  (void)t;
  bool any_thread_was_started = false;
  ASSERT(any_thread_was_started);
}

INTERNAL void thread_yield(void) {
}

INTERNAL void thread_at_fork(void (*child)(void)) {
  (void)child; /* a process with no threads of ours has nothing that a fork could leave behind */
}
