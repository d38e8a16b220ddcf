/* test.h: what every native test begins with: cmocka, a seed that can be repeated, an allocator that finds leaks and
 * fails on demand, a scratch directory.
 *
 * A randomised test takes its seed from test_seed(), which prints it; VARVE_SEED=<number> repeats a run.
 */
#ifndef VARVE_TEST_H
#define VARVE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "base/slice.h"

/* The seed of this process: VARVE_SEED or the time. Printed the first time. */
uint64_t test_seed(void);

/* A generator of its own for each test, so that running one test alone draws the same numbers. */
rng test_rng(const char *test_name);

/* How often to go round a loop: `count` times VARVE_TEST_SCALE (a percentage, default 100), at least once. */
uint32_t test_scale(uint32_t count);

void test_fill(rng *r, void *data, size_t size);

/* rc < 0 with its message shows in the failure. */
void test_ok_at(int rc, const char *text, const char *file, int line);
#define TEST_OK(expr)           test_ok_at((expr), #expr, __FILE__, __LINE__)
#define TEST_RC(expr, expected) assert_string_equal(varve_status_name(expr), varve_status_name(expected))

/* An allocator over malloc that
 *   - checks that every release and resize names the size that was asked for,
 *   - guards both ends of a piece, fills new memory with 0xa5 and released memory with 0x5a,
 *   - moves every piece that is resized,
 *   - fails the allocation number `fail_at` (1 = the next one; 0 = none), and with `fail_on` all later ones as well.
 * Safe to use from many threads. */
typedef struct test_allocator {
  allocator base; /* pass &a.base */
  atomic_uint_fast64_t calls;
  uint64_t fail_at;
  bool fail_on;
  atomic_uint_fast64_t failures;
  atomic_uint_fast64_t pieces; /* live now */
} test_allocator;

void test_allocator_init(test_allocator *a);
/* The next `nth` allocation fails; counting starts anew. */
void test_allocator_fail(test_allocator *a, uint64_t nth, bool and_later);
/* Fails the test when anything is still allocated. */
void test_allocator_check(test_allocator *a);

/* A new directory below TMPDIR, and its removal with all that is in it. */
#define TEST_PATH_MAX 4096
void test_dir_create(char path[TEST_PATH_MAX]);
void test_dir_remove(const char *path);

#endif
