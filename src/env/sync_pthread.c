/* sync_pthread.c: sync.h over POSIX threads.
 *
 * A call that fails here was given something that is not a mutex, or unlocks what it does not hold: a broken promise of
 * ours, so it is asserted and not returned. Only starting a thread can fail for reasons of the machine.
 *
 * Invariants
 *   1. Waiting is measured on the monotonic clock: a change of the wall clock neither wakes nor delays anybody.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "env/sync.h"

#include <errno.h>
#include <sched.h>
#include <time.h>

static_assert(sizeof(mutex) == sizeof(pthread_mutex_t), "compile this file with VARVE_THREADS");

#define SYNC_WAIT_US_MAX (UINT64_C(1000000) * 3600 * 24 * 365) /* a year: keeps the deadline inside time_t */

INTERNAL void mutex_init(mutex *m) {
  pthread_mutexattr_t kind;
  int rc = pthread_mutexattr_init(&kind);
  ASSERT(rc == 0);
#ifdef VARVE_DEBUG
  rc = pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_ERRORCHECK);
  ASSERT(rc == 0);
#endif
  rc = pthread_mutex_init(m, &kind);
  ASSERT(rc == 0);
  pthread_mutexattr_destroy(&kind);
}

INTERNAL void mutex_destroy(mutex *m) {
  int rc = pthread_mutex_destroy(m);
  ASSERT(rc == 0);
}

INTERNAL void mutex_lock(mutex *m) {
  int rc = pthread_mutex_lock(m);
  ASSERT(rc == 0);
}

INTERNAL void mutex_unlock(mutex *m) {
  int rc = pthread_mutex_unlock(m);
  ASSERT(rc == 0);
}

#if defined(__APPLE__)

INTERNAL void cond_init(cond *c) {
  int rc = pthread_cond_init(c, NULL);
  ASSERT(rc == 0);
}

INTERNAL bool cond_wait_us(cond *c, mutex *m, uint64_t us) {
  us = MIN(us, SYNC_WAIT_US_MAX);
  struct timespec span = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
  int rc = pthread_cond_timedwait_relative_np(c, m, &span);
  ASSERT(rc == 0 || rc == ETIMEDOUT);
  return rc == 0;
}

#else

INTERNAL void cond_init(cond *c) {
  pthread_condattr_t kind;
  int rc = pthread_condattr_init(&kind);
  ASSERT(rc == 0);
  rc = pthread_condattr_setclock(&kind, CLOCK_MONOTONIC);
  ASSERT(rc == 0);
  rc = pthread_cond_init(c, &kind);
  ASSERT(rc == 0);
  pthread_condattr_destroy(&kind);
}

INTERNAL bool cond_wait_us(cond *c, mutex *m, uint64_t us) {
  struct timespec until;
  int rc = clock_gettime(CLOCK_MONOTONIC, &until);
  ASSERT(rc == 0);
  us = MIN(us, SYNC_WAIT_US_MAX);
  until.tv_sec += (time_t)(us / 1000000);
  until.tv_nsec += (long)(us % 1000000) * 1000;
  if (until.tv_nsec >= 1000000000) {
    until.tv_nsec -= 1000000000;
    until.tv_sec++;
  }
  rc = pthread_cond_timedwait(c, m, &until);
  ASSERT(rc == 0 || rc == ETIMEDOUT);
  return rc == 0;
}

#endif

INTERNAL void cond_destroy(cond *c) {
  int rc = pthread_cond_destroy(c);
  ASSERT(rc == 0);
}

INTERNAL void cond_wait(cond *c, mutex *m) {
  int rc = pthread_cond_wait(c, m);
  ASSERT(rc == 0);
}

INTERNAL void cond_signal(cond *c) {
  int rc = pthread_cond_signal(c);
  ASSERT(rc == 0);
}

INTERNAL void cond_broadcast(cond *c) {
  int rc = pthread_cond_broadcast(c);
  ASSERT(rc == 0);
}

INTERNAL int thread_start(thread *t, void *(*run)(void *), void *context) {
  int rc = pthread_create(t, NULL, run, context);
  if (rc == 0) return VARVE_OK;
  return status_fail(VARVE_NOMEM, "cannot start a thread: %s; raise the limit of threads, or open with no_thread",
                     strerror(rc));
}

INTERNAL void thread_join(thread *t) {
  int rc = pthread_join(*t, NULL);
  ASSERT(rc == 0);
}

INTERNAL void thread_yield(void) {
  sched_yield();
}

INTERNAL void thread_at_fork(void (*child)(void)) {
  int rc = pthread_atfork(NULL, NULL, child);
  ASSERT(rc == 0 || rc == ENOMEM); /* then a forked child is as it would be without */
}

#undef SYNC_WAIT_US_MAX
