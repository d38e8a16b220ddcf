/* fail_nth_io_test.c: every call of the file layer fails, one after the other: once, from then on, in part, because the
 * disk is full, for want of memory (see fail_nth.h).
 */
#include "crash/fail_nth_copies.h"
#include "crash/fail_nth_run.h"

#define NTH_WRITES (FAULT_BIT(FAULT_WRITE) | FAULT_BIT(FAULT_ALLOCATE))
#define NTH_SYNCS  (FAULT_BIT(FAULT_SYNC) | FAULT_BIT(FAULT_SYNC_DIR))
#define NTH_MEMORY \
  (FAULT_BIT(FAULT_OPEN) | FAULT_BIT(FAULT_READ) | FAULT_BIT(FAULT_MAP) | FAULT_BIT(FAULT_LIST) | FAULT_BIT(FAULT_LOCK))

/* The ways in which one write may fail take turns: each meets every third write. */
static const nth_mode nth_io_modes[] = {
    {"once", false, false, {.ops = FAULT_ALL, .kind = FAULT_ANY_KIND, .status = VARVE_IO}, false, 0, 0},
    {"for ever",
     false,
     false,
     {.ops = FAULT_ALL, .kind = FAULT_ANY_KIND, .status = VARVE_IO, .and_later = true},
     false,
     0,
     0},
    {"in part",
     false,
     true,
     {.ops = FAULT_BIT(FAULT_WRITE), .kind = FAULT_ANY_KIND, .status = VARVE_IO, .part = 13},
     false,
     3,
     1},
    {"whole",
     false,
     true,
     {.ops = FAULT_BIT(FAULT_WRITE), .kind = FAULT_ANY_KIND, .status = VARVE_IO, .part = SIZE_MAX},
     false,
     3,
     2},
    {"whole, then none",
     false,
     true,
     {.ops = FAULT_BIT(FAULT_WRITE), .kind = FAULT_ANY_KIND, .status = VARVE_IO, .part = SIZE_MAX, .and_later = true},
     true,
     3,
     3},
    {"full, whole, then none",
     false,
     true,
     {.ops = FAULT_BIT(FAULT_WRITE), .kind = FAULT_ANY_KIND, .status = VARVE_FULL, .part = SIZE_MAX, .and_later = true},
     true,
     3,
     1},
    {"full", false, true, {.ops = NTH_WRITES, .kind = FAULT_ANY_KIND, .status = VARVE_FULL, .part = 40}, false, 3, 2},
    {"full for ever",
     false,
     true,
     {.ops = NTH_WRITES | NTH_SYNCS, .kind = FAULT_ANY_KIND, .status = VARVE_FULL, .part = 7, .and_later = true},
     false,
     0,
     0},
    {"no memory", false, true, {.ops = NTH_MEMORY, .kind = FAULT_ANY_KIND, .status = VARVE_NOMEM}, false, 0, 0},
};

static void nth_io(nth_layout layout) {
  for (size_t i = 0; i < COUNT_OF(nth_scenarios); i++) {
    nth_all_n(layout, &nth_scenarios[i], nth_io_modes, COUNT_OF(nth_io_modes));
  }
  for (size_t i = 0; i < COUNT_OF(nth_copies); i++) {
    nth_all_n(layout, &nth_copies[i], nth_io_modes, COUNT_OF(nth_io_modes));
  }
  nth_check_shells();
}

static void calls_in_a_directory(void **state) {
  (void)state;
  nth_io(NTH_DIRECTORY);
}

static void calls_in_a_directory_that_is_mapped(void **state) {
  (void)state;
  nth_io(NTH_MAPPED);
}

static void calls_in_one_file(void **state) {
  (void)state;
  nth_io(NTH_SINGLE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(calls_in_a_directory),
      cmocka_unit_test(calls_in_a_directory_that_is_mapped),
      cmocka_unit_test(calls_in_one_file),
  };
  nth_begin();
  int rc = cmocka_run_group_tests(tests, NULL, NULL);
  nth_print_totals();
  return rc;
}
