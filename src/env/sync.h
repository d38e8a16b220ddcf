/* sync.h: mutex, condition, thread. sync_pthread.c makes them real; sync_none.c (WebAssembly) makes locks cost
 * nothing, waiting an error of the caller and thread_start UNSUPPORTED.
 *
 * Lock order is in docs/ARCHITECTURE.md.
 */
#ifndef VARVE_SYNC_H
#define VARVE_SYNC_H

#include "base/status.h"

#ifdef VARVE_THREADS
#include <pthread.h>
typedef pthread_mutex_t mutex;
typedef pthread_cond_t cond;
typedef pthread_t thread;
#else
typedef struct mutex {
  bool held;
} mutex;
typedef struct cond {
  char none;
} cond;
typedef struct thread {
  char none;
} thread;
#endif

INTERNAL void mutex_init(mutex *m);
INTERNAL void mutex_destroy(mutex *m);
INTERNAL void mutex_lock(mutex *m);
INTERNAL void mutex_unlock(mutex *m);

INTERNAL void cond_init(cond *c);
INTERNAL void cond_destroy(cond *c);
INTERNAL void cond_wait(cond *c, mutex *m);
/* False when `us` microseconds passed without a signal. */
INTERNAL bool cond_wait_us(cond *c, mutex *m, uint64_t us);
INTERNAL void cond_signal(cond *c);
INTERNAL void cond_broadcast(cond *c);

INTERNAL int thread_start(thread *t, void *(*run)(void *), void *context); /* UNSUPPORTED, NOMEM */
INTERNAL void thread_join(thread *t);
INTERNAL void thread_yield(void);

/* Calls `child` in every process that is forked from this one, before anything else runs there. */
INTERNAL void thread_at_fork(void (*child)(void));

#endif
