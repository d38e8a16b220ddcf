/* status_test.c: names of statuses, and the message of a thread. */
#include "support/test.h"

#include <pthread.h>

#include "base/status.h"

static void names_follow_the_map(void **state) {
  (void)state;
#define STATUS_CHECK(name, number, text)                       \
  assert_int_equal(VARVE_##name, number);                      \
  assert_string_equal(varve_status_name(VARVE_##name), #name); \
  assert_true(sizeof(text) > 5);
  VARVE_STATUS_MAP(STATUS_CHECK)
#undef STATUS_CHECK
  assert_string_equal(varve_status_name(5), "UNKNOWN");
  assert_string_equal(varve_status_name(-1000), "UNKNOWN");
}

static void *other_thread(void *context) {
  (void)context;
  if (strcmp(status_message(), "no error") != 0) return (void *)"a new thread began with a message";
  (void)status_fail(VARVE_FULL, "of the other thread");
  return NULL;
}

static void a_thread_has_its_own_message(void **state) {
  (void)state;
  assert_string_equal(status_message(), "no error");
  assert_int_equal(status_fail(VARVE_IO, "%s: %d of %d", "7.sst", 3, 9), VARVE_IO);
  assert_string_equal(status_message(), "7.sst: 3 of 9");
  pthread_t thread;
  void *result = NULL;
  assert_int_equal(pthread_create(&thread, NULL, other_thread, NULL), 0);
  assert_int_equal(pthread_join(thread, &result), 0);
  assert_null(result);
  assert_string_equal(status_message(), "7.sst: 3 of 9");
}

static void a_message_may_quote_the_last_one(void **state) {
  (void)state;
  (void)status_fail(VARVE_IO, "disk on fire");
  (void)status_fail(VARVE_CORRUPT, "%s, while opening", status_message());
  assert_string_equal(status_message(), "disk on fire, while opening");
  status_set_message(status_message());
  assert_string_equal(status_message(), "disk on fire, while opening");
}

static void a_long_message_is_cut(void **state) {
  (void)state;
  char text[600];
  memset(text, 'x', sizeof text);
  text[599] = '\0';
  (void)status_fail(VARVE_IO, "%s", text);
  assert_int_equal(strlen(status_message()), 511);
  status_set_message(text);
  assert_int_equal(strlen(status_message()), 511);
  /* 510 bytes of text and a character of three bytes: it does not fit and goes whole. */
  memcpy(text + 510, "\xe2\x82\xac", 4);
  status_set_message(text);
  assert_int_equal(strlen(status_message()), 510);
  text[511] = '\0';
  (void)status_fail(VARVE_IO, "%s\xe2\x82\xac%s", "", text);
  assert_int_equal(strlen(status_message()), 511);
}

static int also_keeps_the_first(int first, int second) {
  int rc = VARVE_OK;
  ALSO(first);
  ALSO(second);
  return rc;
}

static int step_by_step(int first, int second, int *steps) {
  int rc = VARVE_OK;
  TRY(first);
  *steps = 1;
  STEP(second);
  *steps = 2;
out:
  *steps += 10;
  return rc;
}

static void cleanup_macros(void **state) {
  (void)state;
  assert_int_equal(also_keeps_the_first(VARVE_IO, VARVE_FULL), VARVE_IO);
  assert_int_equal(also_keeps_the_first(VARVE_NOTFOUND, VARVE_FULL), VARVE_FULL);
  int steps = 0;
  assert_int_equal(step_by_step(VARVE_IO, VARVE_OK, &steps), VARVE_IO);
  assert_int_equal(steps, 0);
  assert_int_equal(step_by_step(VARVE_NOTFOUND, VARVE_FULL, &steps), VARVE_FULL);
  assert_int_equal(steps, 11);
  assert_int_equal(step_by_step(VARVE_NOTFOUND, VARVE_DONE, &steps), VARVE_DONE);
  assert_int_equal(steps, 12);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(names_follow_the_map),
      cmocka_unit_test(a_thread_has_its_own_message),
      cmocka_unit_test(a_message_may_quote_the_last_one),
      cmocka_unit_test(a_long_message_is_cut),
      cmocka_unit_test(cleanup_macros),
  };
  return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
