/* index_moment_test.c: what was begun before an index came or went is not committed after it. */
#include "unit/api/index_bed.h"

#include "api/api_int.h"

/* A put as varve_put makes it, stopped before its commit. */
typedef struct started {
  index_moment m;
  batch b;
} started;

static void start(bed *b, started *s) {
  slice prefix;
  OK(index_moment_of(b->db->indexes, b->users->id, &s->m));
  batch_init(&s->b, api_allocator());
  OK(api_prefix(b->db, b->users, &prefix));
  OK(batch_put(&s->b, prefix, str("1"), str("a@x,30")));
}

static int finish(bed *b, started *s) {
  lsm_precondition condition = {.check = index_moment_holds, .context = &s->m};
  int rc = lsm_commit(b->db->lsm, &s->b, LSM_DEFAULT, &condition);
  batch_free(&s->b);
  return rc;
}

static void late_puts_conflict(void **state) {
  bed *b = *state;
  varve_index *age;
  varve_index_options ao = age_options(b);
  started s;
  start(b, &s);
  assert_null(s.m.set);
  OK(varve_index_create(b->db, str("age"), &ao, &age));
  EXPECT(VARVE_CONFLICT, finish(b, &s));
  start(b, &s);
  assert_non_null(s.m.set);
  OK(finish(b, &s)); /* nothing came in between; the posting is missing, as nobody made it */
  EXPECT(VARVE_CORRUPT, varve_index_verify(age, NULL, NULL, NULL));
  start(b, &s);
  OK(varve_index_rebuild(age, NULL, NULL));
  EXPECT(VARVE_CONFLICT, finish(b, &s));
  start(b, &s);
  OK(varve_index_drop(b->db, str("age")));
  EXPECT(VARVE_CONFLICT, finish(b, &s));
  start(b, &s);
  assert_null(s.m.set);
  OK(finish(b, &s));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(late_puts_conflict),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
