/* lock_table.c: a hash of keys that are locked, with a holder and a queue each. All of it under one mutex: locks are
 * for the few hot keys of an application.
 *
 * Invariants
 *   1. An entry is in the table while it has a holder; it is in its holder's list.
 *   2. Who is in a queue has `waiting` set to its entry, until the lock is handed over or the wait is given up.
 *   3. Nobody waits for itself: a wait that would close a circle is not begun, and handing over a lock makes its new
 *      holder one that runs.
 */
#include "txn/lock_table.h"

#include "base/xxh64.h"

#define LOCK_BUCKETS_MIN 64u

struct lock_entry {
  lock_entry *next;      /* in the bucket */
  lock_entry *held_next; /* of the holder's */
  lock_owner *holder;
  lock_owner *first, *last; /* who waits */
  uint64_t hash;
  size_t size;
  uint8_t key[];
};

INTERNAL void lock_table_init(lock_table *t, env *e) {
  memset(t, 0, sizeof *t);
  t->env = e;
  mutex_init(&t->lock);
}

INTERNAL void lock_table_free(lock_table *t) {
  ASSERT(t->entry_count == 0);
  mem_free(t->env->alloc, t->buckets, t->bucket_count * sizeof *t->buckets);
  mutex_destroy(&t->lock);
}

INTERNAL void lock_owner_init(lock_owner *o) {
  memset(o, 0, sizeof *o);
  cond_init(&o->wake);
}

INTERNAL void lock_owner_free(lock_owner *o) {
  ASSERT(o->held == NULL && o->waiting == NULL);
  cond_destroy(&o->wake);
}

/* ---- the hash ---- */

static lock_entry **lock_bucket(const lock_table *t, uint64_t hash) {
  return &t->buckets[hash & (t->bucket_count - 1)];
}

static int lock_grow(lock_table *t) {
  if (t->entry_count < t->bucket_count) return VARVE_OK;
  size_t count = MAX((size_t)LOCK_BUCKETS_MIN, 2 * t->bucket_count);
  lock_entry **made = mem_zalloc(t->env->alloc, count * sizeof *made);
  if (made == NULL) return mem_fail(count * sizeof *made, "locks");
  for (size_t i = 0; i < t->bucket_count; i++) {
    for (lock_entry *e = t->buckets[i], *next; e != NULL; e = next) {
      next = e->next;
      e->next = made[e->hash & (count - 1)];
      made[e->hash & (count - 1)] = e;
    }
  }
  mem_free(t->env->alloc, t->buckets, t->bucket_count * sizeof *made);
  t->buckets = made;
  t->bucket_count = count;
  return VARVE_OK;
}

static lock_entry *lock_find(const lock_table *t, slice key, uint64_t hash) {
  if (t->bucket_count == 0) return NULL;
  for (lock_entry *e = *lock_bucket(t, hash); e != NULL; e = e->next) {
    if (e->hash == hash && slice_equal(slice_make(e->key, e->size), key)) return e;
  }
  return NULL;
}

static void lock_give(lock_entry *e, lock_owner *o) {
  e->holder = o;
  e->held_next = o->held;
  o->held = e;
}

static int lock_add(lock_table *t, lock_owner *o, slice key, uint64_t hash) {
  TRY(lock_grow(t));
  lock_entry *e = mem_zalloc(t->env->alloc, sizeof *e + key.size);
  if (e == NULL) return mem_fail(sizeof *e + key.size, "a lock");
  e->hash = hash;
  e->size = key.size;
  memcpy(e->key, key.data, key.size);
  lock_entry **bucket = lock_bucket(t, hash);
  e->next = *bucket;
  *bucket = e;
  t->entry_count++;
  lock_give(e, o);
  return VARVE_OK;
}

static void lock_remove(lock_table *t, lock_entry *e) {
  lock_entry **link = lock_bucket(t, e->hash);
  while (*link != e) link = &(*link)->next;
  *link = e->next;
  t->entry_count--;
  mem_free(t->env->alloc, e, sizeof *e + e->size);
}

/* ---- waiting ---- */

/* Whether waiting for `e` would be waiting for oneself. Chains end: nobody waits for itself so far. */
static bool lock_closes_circle(const lock_owner *o, const lock_entry *e) {
  while (e != NULL) {
    if (e->holder == o) return true;
    e = e->holder->waiting;
  }
  return false;
}

static void lock_leave_queue(lock_owner *o) {
  lock_entry *e = o->waiting;
  lock_owner **link = &e->first, *before = NULL;
  while (*link != o) {
    before = *link;
    link = &before->behind;
    ASSERT(*link != NULL);
  }
  *link = o->behind;
  if (e->last == o) e->last = before;
  o->behind = NULL;
  o->waiting = NULL;
}

static lock_outcome lock_wait(lock_table *t, lock_owner *o, lock_entry *e, uint32_t wait_ms) {
  uint64_t end = t->env->now_us(t->env) + (uint64_t)wait_ms * 1000;
  o->waiting = e;
  o->behind = NULL;
  if (e->last != NULL) {
    e->last->behind = o;
  } else {
    e->first = o;
  }
  e->last = o;
  while (o->waiting != NULL) {
    uint64_t now = t->env->now_us(t->env);
    if (now >= end) {
      lock_leave_queue(o);
      return LOCK_TIMEOUT;
    }
    (void)cond_wait_us(&o->wake, &t->lock, end - now);
  }
  return LOCK_HELD; /* it was handed over */
}

INTERNAL int lock_acquire(lock_table *t, lock_owner *o, slice key, uint32_t wait_ms, lock_outcome *outcome) {
  uint64_t hash = xxh64(key.data, key.size, 0);
  int rc = VARVE_OK;
  *outcome = LOCK_HELD;
  mutex_lock(&t->lock);
  ASSERT(o->waiting == NULL);
  lock_entry *e = lock_find(t, key, hash);
  if (e == NULL) {
    rc = lock_add(t, o, key, hash);
  } else if (e->holder != o) {
    if (lock_closes_circle(o, e)) {
      *outcome = LOCK_DEADLOCK;
    } else if (!t->env->threads || wait_ms == 0) {
      *outcome = LOCK_TIMEOUT;
    } else {
      *outcome = lock_wait(t, o, e, wait_ms);
    }
  }
  mutex_unlock(&t->lock);
  return rc;
}

INTERNAL void lock_release_all(lock_table *t, lock_owner *o) {
  mutex_lock(&t->lock);
  ASSERT(o->waiting == NULL);
  while (o->held != NULL) {
    lock_entry *e = o->held;
    o->held = e->held_next;
    lock_owner *next = e->first;
    if (next == NULL) {
      lock_remove(t, e);
      continue;
    }
    e->first = next->behind;
    if (e->first == NULL) e->last = NULL;
    next->behind = NULL;
    next->waiting = NULL;
    lock_give(e, next);
    cond_signal(&next->wake);
  }
  mutex_unlock(&t->lock);
}

#undef LOCK_BUCKETS_MIN
