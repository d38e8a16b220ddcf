/* alloc_test.c: the C library's allocator, its count, and cache lines. */
#include "support/test.h"

#include "base/alloc.h"

static void counts_what_was_asked(void **state) {
  (void)state;
  allocator a;
  allocator_init_libc(&a);
  uint8_t *p = mem_alloc(&a, 100);
  assert_non_null(p);
  assert_int_equal(a.used, 100);
  memset(p, 7, 100);
  p = mem_resize(&a, p, 100, 1000);
  assert_non_null(p);
  assert_int_equal(a.used, 1000);
  assert_int_equal(p[99], 7);
  p = mem_resize(&a, p, 1000, 10);
  assert_int_equal(a.used, 10);
  uint64_t *one = MEM_NEW(&a, uint64_t);
  assert_non_null(one);
  assert_int_equal(*one, 0);
  assert_int_equal(a.used, 18);
  MEM_DELETE(&a, one);
  mem_free(&a, p, 10);
  mem_free(&a, NULL, 0);
  assert_int_equal(a.used, 0);
}

static void refuses_the_impossible(void **state) {
  (void)state;
  allocator a;
  allocator_init_libc(&a);
  /* volatile: the compiler may not know the size */
  volatile size_t huge = SIZE_MAX;
  assert_null(mem_alloc(&a, huge));
  assert_null(mem_alloc_lines(&a, huge));
  assert_null(mem_alloc_lines(&a, huge / 2));
  uint8_t *p = mem_alloc(&a, 8);
  assert_non_null(p);
  memset(p, 9, 8);
  assert_null(mem_resize(&a, p, 8, huge - 100));
  assert_int_equal(p[7], 9);
  assert_int_equal(a.used, 8);
  mem_free(&a, p, 8);
  assert_int_equal(a.used, 0);
}

static void lines_are_aligned(void **state) {
  (void)state;
  rng r = test_rng("lines_are_aligned");
  test_allocator a;
  test_allocator_init(&a);
  void *pieces[200];
  size_t sizes[200];
  for (size_t i = 0; i < COUNT_OF(pieces); i++) {
    sizes[i] = 1 + rng_below(&r, 1000);
    pieces[i] = mem_alloc_lines(&a.base, sizes[i]);
    assert_non_null(pieces[i]);
    assert_int_equal((uintptr_t)pieces[i] % 64, 0);
    memset(pieces[i], (int)i, sizes[i]);
  }
  for (size_t i = 0; i < COUNT_OF(pieces); i++) {
    for (size_t j = 0; j < sizes[i]; j++) assert_int_equal(((uint8_t *)pieces[i])[j], i);
    mem_free_lines(&a.base, pieces[i], sizes[i]);
  }
  mem_free_lines(&a.base, NULL, 0);
  test_allocator_check(&a);
}

static void failures_are_reported(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  test_allocator_fail(&a, 1, true);
  assert_null(mem_alloc(&a.base, 1));
  assert_null(mem_zalloc(&a.base, 1));
  assert_null(mem_alloc_lines(&a.base, 1));
  assert_int_equal(mem_fail(4096, "a block"), VARVE_NOMEM);
  assert_string_equal(status_message(), "out of memory: asked for 4096 bytes for a block");
  test_allocator_check(&a);
}

static void lists_grow(void **state) {
  (void)state;
  test_allocator a;
  uint32_t *list = NULL;
  size_t room = 0;
  test_allocator_init(&a);
  for (uint32_t i = 0; i < 1000; i++) {
    uint32_t *grown = mem_grow(&a.base, list, i, &room, sizeof *list, "a list");
    assert_non_null(grown);
    assert_true(room > i);
    list = grown;
    list[i] = i;
  }
  for (uint32_t i = 0; i < 1000; i++) assert_int_equal(list[i], i);
  size_t before = room;
  test_allocator_fail(&a, 1, true);
  assert_ptr_equal(mem_grow(&a.base, list, room - 1, &room, sizeof *list, "a list"), list); /* there is room */
  assert_null(mem_grow(&a.base, list, room, &room, sizeof *list, "a list"));
  assert_int_equal(room, before);
  assert_non_null(strstr(status_message(), "for a list"));
  assert_int_equal(list[999], 999);
  mem_free(&a.base, list, room * sizeof *list);
  room = SIZE_MAX / 8;
  assert_null(mem_grow(&a.base, NULL, room, &room, 16, "what no memory holds"));
  test_allocator_check(&a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(counts_what_was_asked),
      cmocka_unit_test(refuses_the_impossible),
      cmocka_unit_test(lines_are_aligned),
      cmocka_unit_test(failures_are_reported),
      cmocka_unit_test(lists_grow),
  };
  return cmocka_run_group_tests_name("alloc", tests, NULL, NULL);
}
