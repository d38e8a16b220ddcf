/* repair_damage_test.c: random damage to random databases, and a repair that owes all that was not hit. */
#include "repair_history.h"

/* Random damage, again and again: never a crash, all that is owed, nothing that was never written; and when it says
 * that nothing was lost, then nothing is missing. */
static void random_damage_costs_what_it_hit(void **state) {
  (void)state;
  rng r = test_rng("random_damage_costs_what_it_hit");
  uint64_t lost = 0, mended = 0, listless = 0, rounds = 0;
  for (uint32_t base = 0; base < 6; base++) {
    history_make(rng_next(&r), rng_percent(&r, 50));
    for (uint32_t round = 0; round < 60; round++, rounds++) {
      repair_damages d = {.count = 0}, none = {.count = 0};
      image_copy(&image, &hurt);
      uint32_t k = 1 + rng_below(&r, rng_percent(&r, 50) ? 2 : 12);
      for (uint32_t i = 0; i < k; i++) damage_file(&r, &hurt, rng_below(&r, (uint32_t)hurt.count), &d);
      repair_oracle whole;
      repair_bed_oracle(&image, &none, &whole);
      varve_repair_report report = repair_and_check(&d);
      if (report.losses == 0 && memcmp(&whole, &oracle, sizeof whole) != 0) {
        for (uint32_t s = 0; s < REPAIR_SPACES; s++) {
          for (uint32_t i = 0; i < REPAIR_KEYS; i++) {
            const repair_owed *a = &whole.key[s][i], *b = &oracle.key[s][i];
            bool there = a->known && trailer_kind(a->trailer) == KIND_PUT;
            if (there && memcmp(a, b, sizeof *a) != 0)
              fail_msg("key %u of keyspace %u was lost, and not a word of it", i, s);
          }
        }
      }
      lost += report.losses > 0;
      mended += report.losses == 0 && report.mended > 0;
      listless += report.list_lost;
      bed_image_free(&hurt);
    }
    bed_image_free(&image);
  }
  print_message("%llu rounds: %llu with losses, %llu mended, %llu without a list of files\n",
                (unsigned long long)rounds, (unsigned long long)lost, (unsigned long long)mended,
                (unsigned long long)listless);
  assert_true(lost > 0 && mended > 0 && listless > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_damage_costs_what_it_hit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
