/* sync_test.c: mutexes, conditions and threads as sync.h promises them. */
#include "support/test.h"

#include "env/env.h"
#include "env/sync.h"

typedef struct counter {
  mutex guard;
  cond changed;
  uint64_t count; /* not atomic: the mutex is what makes it right */
  uint32_t rounds;
  uint32_t turn;
  bool stop;
} counter;

static void counter_init(counter *c, uint32_t rounds) {
  memset(c, 0, sizeof(*c));
  mutex_init(&c->guard);
  cond_init(&c->changed);
  c->rounds = rounds;
}

static void counter_destroy(counter *c) {
  cond_destroy(&c->changed);
  mutex_destroy(&c->guard);
}

static env *memory_env(allocator *a) {
  env *e;
  TEST_OK(env_open(a, ":memory:", 0, &e));
  assert_true(e->threads);
  return e;
}

static void *count_up(void *context) {
  counter *c = context;
  for (uint32_t i = 0; i < c->rounds; i++) {
    mutex_lock(&c->guard);
    uint64_t seen = c->count;
    if (i % 64 == 0) thread_yield();
    c->count = seen + 1;
    mutex_unlock(&c->guard);
  }
  return NULL;
}

static void mutex_excludes(void **state) {
  (void)state;
  counter c;
  thread threads[4];
  counter_init(&c, test_scale(5000));
  for (size_t i = 0; i < COUNT_OF(threads); i++) TEST_OK(thread_start(&threads[i], count_up, &c));
  for (size_t i = 0; i < COUNT_OF(threads); i++) thread_join(&threads[i]);
  assert_int_equal(c.count, (uint64_t)c.rounds * COUNT_OF(threads));
  counter_destroy(&c);
}

/* Odd turns are this thread's, even ones the test's. */
static void *answer_turns(void *context) {
  counter *c = context;
  mutex_lock(&c->guard);
  for (uint32_t i = 0; i < c->rounds; i++) {
    while (c->turn % 2 == 0) cond_wait(&c->changed, &c->guard);
    c->turn++;
    cond_signal(&c->changed);
  }
  mutex_unlock(&c->guard);
  return NULL;
}

static void signals_wake(void **state) {
  (void)state;
  counter c;
  thread t;
  counter_init(&c, test_scale(500));
  TEST_OK(thread_start(&t, answer_turns, &c));
  mutex_lock(&c.guard);
  for (uint32_t i = 0; i < c.rounds; i++) {
    c.turn++;
    cond_signal(&c.changed);
    while (c.turn % 2 == 1) cond_wait(&c.changed, &c.guard);
  }
  assert_int_equal(c.turn, 2 * c.rounds);
  mutex_unlock(&c.guard);
  thread_join(&t);
  counter_destroy(&c);
}

static void *wait_for_stop(void *context) {
  counter *c = context;
  mutex_lock(&c->guard);
  c->count++;
  cond_broadcast(&c->changed);
  while (!c->stop) cond_wait(&c->changed, &c->guard);
  mutex_unlock(&c->guard);
  return NULL;
}

static void broadcast_wakes_all(void **state) {
  (void)state;
  counter c;
  thread threads[3];
  counter_init(&c, 1);
  for (size_t i = 0; i < COUNT_OF(threads); i++) TEST_OK(thread_start(&threads[i], wait_for_stop, &c));
  mutex_lock(&c.guard);
  while (c.count < COUNT_OF(threads)) cond_wait(&c.changed, &c.guard);
  c.stop = true;
  cond_broadcast(&c.changed);
  mutex_unlock(&c.guard);
  for (size_t i = 0; i < COUNT_OF(threads); i++) thread_join(&threads[i]);
  counter_destroy(&c);
}

static void waits_end_in_time(void **state) {
  (void)state;
  allocator a;
  allocator_init_libc(&a);
  env *e = memory_env(&a);
  counter c;
  thread t;
  counter_init(&c, 1);
  mutex_lock(&c.guard);
  static const uint64_t spans[] = {0, 1, 3000, 20000};
  for (size_t i = 0; i < COUNT_OF(spans); i++) {
    uint64_t begin = e->now_us(e);
    while (cond_wait_us(&c.changed, &c.guard, spans[i])) { /* woken for no reason: POSIX allows it */
    }
    uint64_t took = e->now_us(e) - begin;
    assert_true(took >= spans[i]);
    assert_true(took < spans[i] + 5000000);
    mutex_unlock(&c.guard); /* it is held again, or this fails: the mutexes of a checked build count */
    mutex_lock(&c.guard);
  }
  /* a signal ends a wait of years at once; no span is too long to be added to the clock */
  c.turn = 1;
  c.rounds = 1;
  TEST_OK(thread_start(&t, answer_turns, &c));
  while (c.turn == 1) assert_true(cond_wait_us(&c.changed, &c.guard, UINT64_MAX));
  mutex_unlock(&c.guard);
  thread_join(&t);
  counter_destroy(&c);
  TEST_OK(env_close(e));
  assert_int_equal(a.used, 0);
}

static void env_gives_time_entropy_memory(void **state) {
  (void)state;
  test_allocator a;
  uint8_t first[1000] = {0}, second[1000] = {0}, zeros[16] = {0};
  test_allocator_init(&a);
  env *e = memory_env(&a.base);
  uint64_t before = e->now_us(e);
  for (int i = 0; i < 1000; i++) {
    uint64_t now = e->now_us(e);
    assert_true(now >= before);
    before = now;
  }
  e->random(e, first, sizeof(first));
  e->random(e, second, sizeof(second));
  assert_memory_not_equal(first, second, sizeof(first));
  assert_memory_not_equal(first + sizeof(first) - 16, zeros, 16); /* filled to the end */
  assert_true(e->memory_total(e) > (UINT64_C(16) << 20));
  TEST_OK(env_close(e));
  TEST_OK(env_close(NULL));
  for (uint64_t nth = 1; nth <= 2; nth++) {
    test_allocator_fail(&a, nth, false);
    TEST_RC(env_open(&a.base, ":memory:", 0, &e), VARVE_NOMEM);
    assert_null(e);
  }
  test_allocator_fail(&a, 0, false);
  TEST_RC(env_open(&a.base, "/nowhere/at/all", VFS_PLACE_CREATE, &e), VARVE_MISSING);
  assert_null(e);
  test_allocator_check(&a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(mutex_excludes),
      cmocka_unit_test(signals_wake),
      cmocka_unit_test(broadcast_wakes_all),
      cmocka_unit_test(waits_end_in_time),
      cmocka_unit_test(env_gives_time_entropy_memory),
  };
  return cmocka_run_group_tests_name("sync", tests, NULL, NULL);
}
