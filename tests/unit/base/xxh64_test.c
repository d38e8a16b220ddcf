/* xxh64_test.c: against the system's libxxhash. */
#include "support/test.h"

#include <stdlib.h>
#include <xxhash.h>

#include "base/xxh64.h"

static void equals_the_library(void **state) {
  (void)state;
  rng r = test_rng("equals_the_library");
  for (size_t size = 0; size <= 1024; size++) {
    uint8_t *data = malloc(size + 8);
    assert_non_null(data);
    for (unsigned round = 0; round < 8; round++) {
      size_t shift = rng_below(&r, 8); /* any alignment */
      test_fill(&r, data, size + 8);
      uint64_t seed = round == 0 ? 0 : rng_next(&r);
      assert_true(xxh64(data + shift, size, seed) == XXH64(data + shift, size, seed));
    }
    free(data);
  }
  static uint8_t large[1 << 20];
  test_fill(&r, large, sizeof large);
  assert_true(xxh64(large, sizeof large, 99) == XXH64(large, sizeof large, 99));
}

/* From the specification's reference: the empty input, and one that is published with it. */
static void known_values(void **state) {
  (void)state;
  assert_true(xxh64(NULL, 0, 0) == UINT64_C(0xef46db3751d8e999));
  assert_true(xxh64("a", 1, 0) == UINT64_C(0xd24ec4f1a98c6e5b));
  assert_true(xxh64("abc", 3, 0) == UINT64_C(0x44bc2cf5ad770999));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(equals_the_library), cmocka_unit_test(known_values)};
  return cmocka_run_group_tests_name("xxh64", tests, NULL, NULL);
}
