/* fail_nth_alloc_test.c: every allocation fails, one after the other: once, and from then on (see fail_nth.h).
 */
#include "crash/fail_nth_copies.h"
#include "crash/fail_nth_run.h"

static const nth_mode nth_alloc_modes[] = {
    {"once", true, false, {.kind = FAULT_ANY_KIND, .status = VARVE_NOMEM}, false, 0, 0},
    {"for ever", true, false, {.kind = FAULT_ANY_KIND, .status = VARVE_NOMEM, .and_later = true}, false, 0, 0},
};

static void nth_alloc(nth_layout layout) {
  for (size_t i = 0; i < COUNT_OF(nth_scenarios); i++) {
    nth_all_n(layout, &nth_scenarios[i], nth_alloc_modes, COUNT_OF(nth_alloc_modes));
  }
  for (size_t i = 0; i < COUNT_OF(nth_copies); i++) {
    nth_all_n(layout, &nth_copies[i], nth_alloc_modes, COUNT_OF(nth_alloc_modes));
  }
  nth_check_shells();
}

static void allocations_in_a_directory(void **state) {
  (void)state;
  nth_alloc(NTH_DIRECTORY);
}

static void allocations_in_a_directory_that_is_mapped(void **state) {
  (void)state;
  nth_alloc(NTH_MAPPED);
}

static void allocations_in_one_file(void **state) {
  (void)state;
  nth_alloc(NTH_SINGLE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(allocations_in_a_directory),
      cmocka_unit_test(allocations_in_a_directory_that_is_mapped),
      cmocka_unit_test(allocations_in_one_file),
  };
  nth_begin();
  int rc = cmocka_run_group_tests(tests, NULL, NULL);
  nth_print_totals();
  return rc;
}
