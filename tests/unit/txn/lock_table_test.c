/* lock_table_test.c: one holder at a time, also with many threads that take several locks in any order: whoever would
 * close a circle is told, so nobody waits for ever; queues are served in turn; the table grows; memory runs out.
 */
#include "support/test.h"

#include <pthread.h>
#include <stdio.h>

#include "txn/lock_table.h"

enum { KEYS = 6, TAKERS = 6 };

typedef struct crowd {
  env *env;
  lock_table table;
  atomic_int inside[KEYS];
  atomic_uint broken, deadlocks, timeouts, taken;
  uint32_t rounds;
} crowd;

typedef struct taker {
  crowd *c;
  rng r;
  pthread_t thread;
} taker;

static slice crowd_key(char text[8], uint32_t k) {
  int n = snprintf(text, 8, "%u", k);
  return slice_make(text, (size_t)n);
}

/* Takes up to three locks; each is marked by who is inside. */
static void *taker_run(void *context) {
  taker *t = context;
  crowd *c = t->c;
  lock_owner o;
  lock_owner_init(&o);
  for (uint32_t round = 0; round < c->rounds; round++) {
    bool mine[KEYS] = {false};
    uint32_t want = 1 + rng_below(&t->r, 3);
    lock_outcome outcome = LOCK_HELD;
    for (uint32_t i = 0; i < want && outcome == LOCK_HELD; i++) {
      char text[8];
      uint32_t k = rng_below(&t->r, KEYS);
      if (lock_acquire(&c->table, &o, crowd_key(text, k), 60000, &outcome) < 0) atomic_fetch_add(&c->broken, 1);
      if (outcome != LOCK_HELD || mine[k]) continue;
      mine[k] = true;
      atomic_fetch_add(&c->taken, 1);
      if (atomic_fetch_add(&c->inside[k], 1) != 0) atomic_fetch_add(&c->broken, 1);
      if (rng_percent(&t->r, 30)) thread_yield();
    }
    if (outcome == LOCK_DEADLOCK) atomic_fetch_add(&c->deadlocks, 1);
    if (outcome == LOCK_TIMEOUT) atomic_fetch_add(&c->timeouts, 1);
    for (uint32_t k = 0; k < KEYS; k++) {
      if (mine[k]) atomic_fetch_sub(&c->inside[k], 1);
    }
    lock_release_all(&c->table, &o);
  }
  lock_owner_free(&o);
  return NULL;
}

static void test_crowd(void **state) {
  (void)state;
  allocator alloc;
  static crowd c;
  static taker takers[TAKERS];
  memset(&c, 0, sizeof c);
  allocator_init_libc(&alloc);
  TEST_OK(env_open(&alloc, ":memory:", VFS_PLACE_CREATE, &c.env));
  lock_table_init(&c.table, c.env);
  c.rounds = test_scale(800);
  for (uint32_t i = 0; i < TAKERS; i++) {
    takers[i].c = &c;
    takers[i].r = test_rng("crowd");
    takers[i].r.state += i * 0x9e3779b97f4a7c15u;
    assert_int_equal(pthread_create(&takers[i].thread, NULL, taker_run, &takers[i]), 0);
  }
  for (uint32_t i = 0; i < TAKERS; i++) assert_int_equal(pthread_join(takers[i].thread, NULL), 0);
  print_message("%u locks taken, %u deadlocks\n", atomic_load(&c.taken), atomic_load(&c.deadlocks));
  assert_int_equal(atomic_load(&c.broken), 0);
  assert_int_equal(atomic_load(&c.timeouts), 0);
  assert_true(atomic_load(&c.deadlocks) > 0);
  lock_table_free(&c.table);
  TEST_OK(env_close(c.env));
  assert_int_equal(atomic_load(&alloc.used), 0);
}

static void test_many_and_memory(void **state) {
  (void)state;
  test_allocator alloc;
  env *e;
  test_allocator_init(&alloc);
  TEST_OK(env_open(&alloc.base, ":memory:", VFS_PLACE_CREATE, &e));
  lock_table t;
  lock_owner a, b;
  lock_outcome outcome;
  char text[32];
  lock_table_init(&t, e);
  lock_owner_init(&a);
  lock_owner_init(&b);
  uint32_t failed = 0;
  for (uint32_t i = 0; i < 3000; i++) {
    int n = snprintf(text, sizeof text, "key %u", i);
    slice key = slice_make(text, (size_t)n);
    if (i % 50 == 7) test_allocator_fail(&alloc, 1, false);
    int rc = lock_acquire(&t, &a, key, 0, &outcome);
    if (rc == VARVE_NOMEM) {
      failed++;
      TEST_OK(lock_acquire(&t, &a, key, 0, &outcome));
    }
    assert_int_equal(outcome, LOCK_HELD);
    TEST_OK(lock_acquire(&t, &b, key, 0, &outcome));
    assert_int_equal(outcome, LOCK_TIMEOUT); /* it does not wait */
  }
  assert_true(failed > 0);
  lock_release_all(&t, &b);
  lock_release_all(&t, &a);
  lock_release_all(&t, &a);
  TEST_OK(lock_acquire(&t, &b, varve_str("key 7"), 0, &outcome));
  assert_int_equal(outcome, LOCK_HELD);
  lock_release_all(&t, &b);
  lock_owner_free(&a);
  lock_owner_free(&b);
  lock_table_free(&t);
  TEST_OK(env_close(e));
  test_allocator_check(&alloc);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_crowd), cmocka_unit_test(test_many_and_memory)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
