/* index_repair_test.c: what a repair keeps of indexes: all postings of manual ones, and a building of the others that
 * begins anew.
 */
#include "unit/api/index_bed.h"

static void repaired(bed *b) {
  char other[sizeof b->path + 8];
  varve_repair_report report;
  snprintf(other, sizeof other, "%s.whole", b->path);
  OK(varve_close(b->db));
  OK(varve_repair(b->path, other, NULL, &report));
  assert_int_equal(report.losses, 0);
  char command[300];
  snprintf(command, sizeof command, "rm -rf %s && mv %s %s", b->path, other, b->path);
  assert_int_equal(system(command), 0); /* NOLINT: names of our own */
  bed_open(b);
}

static void a_repair_keeps_indexes(void **state) {
  bed *b = *state;
  varve_index *tags, *codes, *age, *email;
  varve_index_options to = {.kind = VARVE_BTREE}, co = {.kind = VARVE_HASH, .unique = true};
  varve_index_options ao = age_options(b), eo = email_options(b);
  OK(varve_index_create(b->db, str("tags"), &to, &tags));
  OK(varve_index_create(b->db, str("codes"), &co, &codes));
  OK(varve_index_create(b->db, str("age"), &ao, &age));
  OK(varve_index_create(b->db, str("email"), &eo, &email));
  OK(varve_index_insert(tags, NULL, str("red"), str("1")));
  OK(varve_index_insert(tags, NULL, str("red"), str("2")));
  OK(varve_index_insert(codes, NULL, str("x"), str("1")));
  OK(put(b, "ann", "ann@a,30"));
  OK(put(b, "bob", "bob@a,30"));
  OK(varve_put(b->db, str("plain"), str("row"), NULL));
  repaired(b);
  EXPECT(VARVE_INVALID, put(b, "x", "-")); /* its rows still have indexes */
  OK(varve_index_open(b->db, str("tags"), NULL, &tags));
  OK(varve_index_open(b->db, str("codes"), NULL, &codes));
  expect_find(tags, NULL, "red", "red=1 red=2 ");
  expect_find(codes, NULL, "x", "x=1 ");
  OK(varve_index_open(b->db, str("age"), NULL, &age));
  EXPECT(VARVE_INVALID, varve_index_find(age, NULL, str("30"), &(varve_iter *){NULL})); /* not built yet */
  ao = age_options(b);
  eo = email_options(b);
  OK(varve_index_open(b->db, str("age"), &ao, &age));
  OK(varve_index_open(b->db, str("email"), &eo, &email));
  expect_find(age, NULL, "30", "30=ann 30=bob ");
  expect_find(email, NULL, "bob@a", "bob@a=bob ");
  varve_index_report report;
  OK(varve_index_verify(age, &report, NULL, NULL));
  assert_int_equal(report.entries, 2);
  OK(varve_verify(b->db, NULL, NULL, NULL));
  /* An index that is made now gets an id of its own. */
  varve_index *more;
  OK(varve_index_create(b->db, str("more"), &to, &more));
  expect_find(more, NULL, "red", "");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_repair_keeps_indexes, bed_setup, bed_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
