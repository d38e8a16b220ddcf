/* model_test.c: thousands of random histories against a sorted array (tests/support/model.h), in memory and in a
 * directory. */
#include "support/test.h"

#include "support/model.h"
#include "varve.h"

#include <stdio.h>

static void model_seeds(const char *name, bool on_disk, uint32_t count, uint32_t steps) {
  rng r = test_rng(name);
  model_counts counts = {0};
  char why[512], dir[TEST_PATH_MAX], path[TEST_PATH_MAX + 16];
  for (uint32_t i = 0; i < count; i++) {
    uint64_t seed = rng_next(&r);
    model_options o = {":memory:", steps};
    if (on_disk) {
      test_dir_create(dir);
      (void)snprintf(path, sizeof path, "%s/db", dir);
      o.path = path;
    }
    bool ok = model_run(seed, &o, &counts, why);
    if (on_disk) test_dir_remove(dir);
    if (!ok) fail_msg("history %llu of %s: %s", (unsigned long long)seed, name, why);
  }
  printf("%s: %llu operations, %llu reopens, %llu flushes, %llu compactions, %llu moves, %llu snapshots read\n", name,
         (unsigned long long)counts.operations, (unsigned long long)counts.reopens, (unsigned long long)counts.flushes,
         (unsigned long long)counts.compactions, (unsigned long long)counts.moves,
         (unsigned long long)counts.snapshots_read);
  if (count < 6) return; /* a scaled-down run is too short to reach everything */
  assert_true(counts.operations > 0 && counts.flushes > 0 && counts.compactions > 0);
  assert_true(counts.snapshots_read > 0 && counts.range_deletes > 0 && counts.batches > 0);
  assert_true(!on_disk || counts.reopens > 0);
}

static void histories_in_memory_agree(void **state) {
  (void)state;
  model_seeds("histories_in_memory_agree", false, test_scale(1000), 400);
}

static void histories_on_disk_agree(void **state) {
  (void)state;
  model_seeds("histories_on_disk_agree", true, test_scale(100), 400);
}

static void long_histories_agree(void **state) {
  (void)state;
  model_seeds("long_histories_agree", false, test_scale(6), 20000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(histories_in_memory_agree),
      cmocka_unit_test(histories_on_disk_agree),
      cmocka_unit_test(long_histories_agree),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
