/* fork_test.c: what a child made by fork does with the parent's handle must not reach the database.
 *
 * What was wrong: the child has the mapped log, the descriptors and the handle of the parent, and nothing refused
 * them. Its puts wrote frames into the parent's log under the same sequences as the parent's next ones; varve_close
 * waited for ever for a thread that does not exist in the child. And a close of the parent left the lock with the
 * child, which has the same open file: nobody could open the database while the child lived.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "support/test.h"
#include "varve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef int (*fork_call)(varve_db *db);

static int fork_put(varve_db *db) {
  int rc = VARVE_OK;
  for (int i = 0; i < 300 && rc >= 0; i++) rc = varve_put(db, VARVE_STR("child"), VARVE_STR("of the parent"), NULL);
  return rc;
}

static int fork_put_strict(varve_db *db) {
  varve_write_options strict = {.durability = VARVE_STRICT};
  return varve_put(db, VARVE_STR("child"), VARVE_STR("of the parent"), &strict);
}

static int fork_get(varve_db *db) {
  return varve_has(db, VARVE_STR("parent"), NULL);
}

static int fork_compact(varve_db *db) {
  return varve_compact(db, NULL, NULL);
}

/* Whether the call is refused with CLOSED, in a child that is killed when it hangs. */
static void fork_refuses(varve_db *db, fork_call call) {
  int status = 0;
  fflush(NULL);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    alarm(20);
    int rc = call(db);
    _exit(rc == VARVE_CLOSED && strstr(varve_errmsg(db), "fork") != NULL ? 0 : 1);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_child_cannot_use_the_handle_of_its_parent(void **state) {
  static const fork_call calls[] = {fork_put,   fork_put_strict, fork_get,   fork_compact,
                                    varve_sync, varve_flush,     varve_close};
  const char *path = *state;
  varve_db *db;
  varve_value value;
  char key[32];
  uint64_t count;
  TEST_OK(varve_open(path, NULL, &db));
  for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
    snprintf(key, sizeof(key), "parent %zu", i);
    TEST_OK(varve_put(db, varve_str(key), VARVE_STR("before"), NULL));
    fork_refuses(db, calls[i]);
    TEST_OK(varve_put(db, varve_str(key), VARVE_STR("after"), NULL));
  }
  TEST_OK(varve_close(db));
  TEST_OK(varve_open(path, NULL, &db));
  TEST_OK(varve_verify(db, NULL, NULL, NULL));
  TEST_OK(varve_count(db, NULL, &count));
  assert_int_equal(count, sizeof(calls) / sizeof(calls[0]));
  TEST_OK(varve_get(db, varve_str(key), NULL, &value));
  assert_int_equal(value.size, 5);
  assert_memory_equal(value.data, "after", 5);
  varve_value_release(&value);
  TEST_OK(varve_close(db));
}

/* The child opens a database of its own, and the parent's when that is closed. */
static void a_child_can_open_databases(void **state) {
  const char *path = *state;
  varve_db *db, *own;
  int status = 0;
  TEST_OK(varve_open(path, NULL, &db));
  fflush(NULL);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    varve_options wait = {.lock_wait_ms = 20000};
    alarm(30);
    if (varve_open(":memory:", NULL, &own) < 0) _exit(1);
    if (varve_put(own, VARVE_STR("a"), VARVE_STR("1"), NULL) < 0 || varve_close(own) < 0) _exit(2);
    if (varve_open(path, NULL, &own) != VARVE_LOCKED) _exit(3);
    if (varve_open(path, &wait, &own) < 0) _exit(4);
    if (varve_put(own, VARVE_STR("child"), VARVE_STR("1"), NULL) < 0 || varve_close(own) < 0) _exit(5);
    _exit(0);
  }
  usleep(50000);
  TEST_OK(varve_put(db, VARVE_STR("parent"), VARVE_STR("1"), NULL));
  TEST_OK(varve_close(db));
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
  TEST_OK(varve_open(path, NULL, &db));
  assert_int_equal(varve_has(db, VARVE_STR("child"), NULL), VARVE_OK);
  assert_int_equal(varve_has(db, VARVE_STR("parent"), NULL), VARVE_OK);
  TEST_OK(varve_close(db));
}

static int fork_setup(void **state) {
  char *path = malloc(TEST_PATH_MAX);
  assert_non_null(path);
  test_dir_create(path);
  *state = path;
  return 0;
}

static int fork_teardown(void **state) {
  test_dir_remove(*state);
  free(*state);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_child_cannot_use_the_handle_of_its_parent, fork_setup, fork_teardown),
      cmocka_unit_test_setup_teardown(a_child_can_open_databases, fork_setup, fork_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
