/* index_build_test.c: indexes are built beside writers, in steps that go on after a close; of a unique key one
 * row wins. */
#include "unit/api/index_bed.h"

/* ---- building ---- */

static int stop_after(void *context, uint64_t done, uint64_t total) {
  (void)done;
  (void)total;
  return --*(int *)context < 0;
}

static void built_in_steps(void **state) {
  bed *b = *state;
  varve_index *age;
  varve_index_options ao = age_options(b);
  char key[20], value[40];
  for (int i = 0; i < 20000; i++) {
    snprintf(key, sizeof key, "%06d", i);
    snprintf(value, sizeof value, "-,%d", i % 50);
    OK(put(b, key, value));
  }
  int steps = 3;
  ao.progress = stop_after;
  ao.progress_context = &steps;
  EXPECT(VARVE_ABORTED, varve_index_create(b->db, str("age"), &ao, &age));
  OK(put(b, "000001", "-,99")); /* below the position and above it */
  OK(put(b, "019999", "-,99"));
  OK(del(b, "000002"));
  for (int round = 0; round < 3; round++) {
    bed_reopen(b);
    EXPECT(VARVE_INVALID, put(b, "x", "-"));
    varve_index_options reading = {.kind = 0};
    OK(varve_index_open(b->db, str("age"), &reading, &age));
    EXPECT(VARVE_INVALID, varve_index_find(age, NULL, str("1"), &(varve_iter *){NULL}));
    ao = age_options(b);
    steps = 3;
    ao.progress = stop_after;
    ao.progress_context = &steps;
    EXPECT(VARVE_ABORTED, varve_index_open(b->db, str("age"), &ao, &age));
  }
  ao.progress = NULL;
  OK(varve_index_open(b->db, str("age"), &ao, &age));
  varve_index_report report;
  OK(varve_index_verify(age, &report, NULL, NULL));
  assert_int_equal(report.rows, 19999);
  assert_int_equal(report.entries, 19999);
  expect_find(age, NULL, "99", "99=000001 99=019999 ");
  OK(varve_index_rebuild(age, NULL, NULL));
  OK(varve_index_verify(age, &report, NULL, NULL));
  assert_int_equal(report.entries, 19999);
  /* One that cannot be: two rows with one key. Nothing of it stays. */
  varve_index_options uo = ao;
  uo.unique = true;
  EXPECT(VARVE_EXISTS, varve_index_create(b->db, str("unique"), &uo, &age));
  assert_non_null(strstr(varve_errmsg(b->db), "unique"));
  EXPECT(VARVE_NOTFOUND, varve_index_open(b->db, str("unique"), NULL, &age));
  OK(put(b, "y", "-,1"));
}

typedef struct churn {
  bed *b;
  _Atomic bool stop;
  unsigned seed;
  uint64_t writes;
} churn;

static void *churn_run(void *context) {
  churn *c = context;
  char key[20], value[40];
  while (!c->stop) {
    snprintf(key, sizeof key, "%06d", bed_random(&c->seed) % 5000);
    snprintf(value, sizeof value, "e%d@x,%d", bed_random(&c->seed) % 20000, bed_random(&c->seed) % 50);
    int rc = bed_random(&c->seed) % 4 == 0 ? del(c->b, key) : put(c->b, key, value);
    if (rc != VARVE_OK && rc != VARVE_EXISTS) print_message("%s\n", varve_errmsg(NULL));
    assert_true(rc == VARVE_OK || rc == VARVE_EXISTS);
    c->writes++;
  }
  return NULL;
}

/* Indexes come and go while two threads write. */
static void built_online(void **state) {
  bed *b = *state;
  varve_index *age, *email;
  varve_index_options ao = age_options(b), eo = email_options(b);
  eo.unique = false;
  char key[20], value[40];
  for (int i = 0; i < 5000; i++) {
    snprintf(key, sizeof key, "%06d", i);
    snprintf(value, sizeof value, "e%d@x,%d", i, i % 50);
    OK(put(b, key, value));
  }
  churn c[2] = {{.b = b, .seed = 1}, {.b = b, .seed = 2}};
  pthread_t threads[2];
  for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, churn_run, &c[i]);
  for (int round = 0; round < 6; round++) {
    OK(varve_index_create(b->db, str("age"), &ao, &age));
    OK(varve_index_create(b->db, str("email"), &eo, &email));
    OK(varve_index_verify(age, NULL, NULL, NULL));
    OK(varve_index_verify(email, NULL, NULL, NULL));
    if (round == 3) OK(varve_compact(b->db, NULL, NULL));
    OK(varve_index_drop(b->db, str("age")));
    OK(varve_index_drop(b->db, str("email")));
  }
  OK(varve_index_create(b->db, str("age"), &ao, &age));
  for (int i = 0; i < 2; i++) {
    c[i].stop = true;
    pthread_join(threads[i], NULL);
  }
  print_message("%llu writes beside it\n", (unsigned long long)(c[0].writes + c[1].writes));
  OK(varve_index_verify(age, NULL, NULL, NULL));
}

/* Unique keys under two threads: of each key one row wins. */
typedef struct racer {
  bed *b;
  char name;
  int won;
} racer;

static void *racer_run(void *context) {
  racer *r = context;
  char key[20], value[40];
  for (int i = 0; i < 500; i++) {
    snprintf(key, sizeof key, "%c%d", r->name, i);
    snprintf(value, sizeof value, "k%d", i);
    int rc = put(r->b, key, value);
    assert_true(rc == VARVE_OK || rc == VARVE_EXISTS);
    r->won += rc == VARVE_OK;
  }
  return NULL;
}

static void one_row_wins(void **state) {
  bed *b = *state;
  varve_index *email;
  varve_index_options eo = email_options(b);
  OK(varve_index_create(b->db, str("email"), &eo, &email));
  racer r[3] = {{b, 'a', 0}, {b, 'b', 0}, {b, 'c', 0}};
  pthread_t threads[3];
  for (int i = 0; i < 3; i++) pthread_create(&threads[i], NULL, racer_run, &r[i]);
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  assert_int_equal(r[0].won + r[1].won + r[2].won, 500);
  varve_index_report report;
  OK(varve_index_verify(email, &report, NULL, NULL));
  assert_int_equal(report.rows, 500);
  assert_int_equal(report.entries, 500);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(built_in_steps),
      TEST(built_online),
      TEST(one_row_wins),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
