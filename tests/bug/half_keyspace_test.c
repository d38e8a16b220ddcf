/* half_keyspace_test.c: memory runs out while a keyspace is made.
 *
 * What was wrong: the handle was allocated when the keyspace was in the catalog already, so a call that failed with
 * NOMEM left a keyspace behind.
 */
#include "unit/api/engine_bed.h"

static void *(*half_resize)(allocator *self, void *ptr, size_t old_size, size_t new_size);
static bool half_armed;

/* The handle is the one piece of its size. */
static void *half_no_handle(allocator *self, void *ptr, size_t old_size, size_t new_size) {
  if (half_armed && ptr == NULL && new_size == sizeof(varve_keyspace)) return NULL;
  return half_resize(self, ptr, old_size, new_size);
}

static void a_keyspace_without_a_handle_is_not_made(void **state) {
  (void)state;
  varve_db *db;
  varve_keyspace *space;
  bed_names names = {.count = 0};
  varve_options o = {.no_thread = true};
  TEST_OK(varve_open(":memory:", &o, &db));
  half_resize = api_allocator()->resize;
  api_allocator()->resize = half_no_handle;
  half_armed = true;
  EXPECT(varve_keyspace_open(db, VARVE_STR("half"), &space), VARVE_NOMEM, "memory");
  half_armed = false;
  TEST_OK(varve_keyspace_list(db, bed_names_visit, &names));
  assert_int_equal(names.count, 0);
  TEST_OK(varve_keyspace_open(db, VARVE_STR("half"), &space));
  TEST_OK(varve_keyspace_list(db, bed_names_visit, &names));
  assert_int_equal(names.count, 1);
  TEST_OK(varve_close(db));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_keyspace_without_a_handle_is_not_made)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
