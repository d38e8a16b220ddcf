/* arena_test.c: references, runs larger than a chunk, and the promise of a reservation. */
#include "support/test.h"

#include "base/arena.h"

/* The arena's chunk tables are too large for some stacks. */
static arena test_arena;

static void references_stay_valid(void **state) {
  (void)state;
  rng r = test_rng("references_stay_valid");
  test_allocator a;
  test_allocator_init(&a);
  arena_init(&test_arena, &a.base, 1000);
  enum { PIECES = 20000 };
  static arena_ref refs[PIECES];
  static uint32_t sizes[PIECES];
  for (uint32_t i = 0; i < PIECES; i++) {
    bool lines = rng_percent(&r, 10);
    sizes[i] = 1 + rng_below(&r, rng_percent(&r, 1) ? 100000 : 200);
    refs[i] = lines ? arena_alloc_lines(&test_arena, sizes[i]) : arena_alloc(&test_arena, sizes[i]);
    assert_int_not_equal(refs[i], 0);
    uint8_t *p = arena_at(&test_arena, refs[i]);
    assert_int_equal((uintptr_t)p % (lines ? 64 : 8), 0);
    memset(p, (int)(i * 7 % 251), sizes[i]);
  }
  for (uint32_t i = 0; i < PIECES; i++) {
    const uint8_t *p = arena_at(&test_arena, refs[i]);
    for (uint32_t j = 0; j < sizes[i]; j++) {
      if (p[j] != i * 7 % 251) fail_msg("piece %u was overwritten at byte %u", i, j);
    }
  }
  assert_true(test_arena.bytes <= a.base.used);
  assert_true(test_arena.bytes + 64 * (size_t)test_arena.chunk_count >= a.base.used);
  arena_free(&test_arena);
  test_allocator_check(&a);
}

static void large_pieces_are_contiguous(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  arena_init(&test_arena, &a.base, 64);
  static const size_t sizes[] = {ARENA_CHUNK_BYTES,     ARENA_CHUNK_BYTES + 1, 3 * (size_t)ARENA_CHUNK_BYTES + 5, 100,
                                 ARENA_CHUNK_BYTES - 1, ARENA_CHUNK_BYTES / 2, ARENA_CHUNK_BYTES / 2 + 8};
  arena_ref refs[COUNT_OF(sizes)];
  for (size_t i = 0; i < COUNT_OF(sizes); i++) {
    refs[i] = arena_alloc(&test_arena, sizes[i]);
    assert_int_not_equal(refs[i], 0);
    memset(arena_at(&test_arena, refs[i]), (int)i + 1, sizes[i]);
  }
  for (size_t i = 0; i < COUNT_OF(sizes); i++) {
    const uint8_t *p = arena_at(&test_arena, refs[i]);
    assert_int_equal(p[0], i + 1);
    assert_int_equal(p[sizes[i] / 2], i + 1);
    assert_int_equal(p[sizes[i] - 1], i + 1);
  }
  arena_free(&test_arena);
  test_allocator_check(&a);
}

static void small_arenas_stay_small(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  arena_init(&test_arena, &a.base, 4096);
  assert_int_equal(a.base.used, 0);
  assert_int_not_equal(arena_alloc(&test_arena, 100), 0);
  assert_int_equal(test_arena.bytes, 4096);
  assert_int_not_equal(arena_alloc(&test_arena, 3900), 0);
  assert_int_equal(test_arena.bytes, 4096);
  arena_free(&test_arena);
  assert_int_not_equal(arena_alloc(&test_arena, 8), 0); /* usable again */
  arena_free(&test_arena);
  test_allocator_check(&a);
}

/* After a reservation no allocation within it may fail, whatever the sizes are and however they are aligned. */
static void reservations_are_kept(void **state) {
  (void)state;
  rng r = test_rng("reservations_are_kept");
  for (uint32_t round = 0; round < test_scale(300); round++) {
    test_allocator a;
    test_allocator_init(&a);
    arena_init(&test_arena, &a.base, 64 + rng_below(&r, 70000));
    for (uint32_t step = 0; step < 12; step++) {
      test_allocator_fail(&a, 0, false);
      uint32_t count = 1 + rng_below(&r, 40);
      size_t each = 1 + rng_below(&r, rng_percent(&r, 10) ? 3000000 / count : 3000), left = count * each;
      TEST_OK(arena_reserve(&test_arena, left, count));
      test_allocator_fail(&a, 1, true);
      for (uint32_t i = 0; i < count; i++) {
        size_t size = i + 1 == count ? left : 1 + rng_below(&r, (uint32_t)(left - (count - i - 1)));
        bool lines = rng_percent(&r, 50);
        arena_ref ref = lines ? arena_alloc_lines(&test_arena, size) : arena_alloc(&test_arena, size);
        assert_int_not_equal(ref, 0);
        uint8_t *p = arena_at(&test_arena, ref);
        p[0] = p[size - 1] = 1;
        left -= size;
        if (left == 0 || rng_percent(&r, 2)) break;
      }
      assert_int_equal(a.failures, 0);
    }
    arena_free(&test_arena);
    test_allocator_check(&a);
  }
}

/* A reservation of exactly a chunk's bytes, in one piece of cache lines, needs that chunk alone. */
static void tight_reservations_are_kept(void **state) {
  (void)state;
  for (size_t less = 0; less < 130; less++) {
    test_allocator a;
    test_allocator_init(&a);
    arena_init(&test_arena, &a.base, 64);
    TEST_OK(arena_reserve(&test_arena, ARENA_CHUNK_BYTES - less, 1));
    test_allocator_fail(&a, 1, true);
    assert_int_not_equal(arena_alloc_lines(&test_arena, ARENA_CHUNK_BYTES - less), 0);
    arena_free(&test_arena);
    test_allocator_check(&a);
  }
}

static void failures_leave_the_arena_usable(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  arena_init(&test_arena, &a.base, 256);
  test_allocator_fail(&a, 1, true);
  assert_int_equal(arena_alloc(&test_arena, 8), 0);
  TEST_RC(arena_reserve(&test_arena, 8, 1), VARVE_NOMEM);
  test_allocator_fail(&a, 2, true);
  TEST_RC(arena_reserve(&test_arena, 10000, 1), VARVE_NOMEM);
  assert_int_equal(arena_alloc(&test_arena, 10000), 0);
  assert_int_not_equal(arena_alloc(&test_arena, 200), 0);
  test_allocator_fail(&a, 0, false);
  assert_int_not_equal(arena_alloc(&test_arena, 10000), 0);
  TEST_RC(arena_reserve(&test_arena, UINT32_MAX, 1), VARVE_LIMIT);
  TEST_RC(arena_reserve(&test_arena, 1, UINT32_MAX), VARVE_LIMIT);
  TEST_RC(arena_reserve(&test_arena, SIZE_MAX, SIZE_MAX), VARVE_LIMIT);
  assert_int_equal(arena_alloc(&test_arena, SIZE_MAX), 0);
  arena_free(&test_arena);
  test_allocator_check(&a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(references_stay_valid),       cmocka_unit_test(large_pieces_are_contiguous),
      cmocka_unit_test(small_arenas_stay_small),     cmocka_unit_test(reservations_are_kept),
      cmocka_unit_test(tight_reservations_are_kept), cmocka_unit_test(failures_leave_the_arena_usable),
  };
  return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
