/* test.c: the shared helpers of native tests (see test.h). */
#define _XOPEN_SOURCE 700

#include "support/test.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/xxh64.h"

uint64_t test_seed(void) {
  static uint64_t seed;
  static bool known;
  if (!known) {
    const char *text = getenv("VARVE_SEED");
    seed = text != NULL ? strtoull(text, NULL, 0) : (uint64_t)time(NULL);
    known = true;
    fprintf(stderr, "VARVE_SEED=%llu\n", (unsigned long long)seed);
  }
  return seed;
}

rng test_rng(const char *test_name) {
  rng r = {xxh64(test_name, strlen(test_name), test_seed())};
  return r;
}

uint32_t test_scale(uint32_t count) {
  const char *text = getenv("VARVE_TEST_SCALE");
  uint64_t percent = text != NULL ? strtoull(text, NULL, 10) : 100;
  uint64_t scaled = count * percent / 100;
  return scaled < 1 ? 1 : scaled > UINT32_MAX ? UINT32_MAX : (uint32_t)scaled;
}

void test_fill(rng *r, void *data, size_t size) {
  uint8_t *p = data;
  for (size_t i = 0; i < size; i++) p[i] = (uint8_t)rng_next(r);
}

void test_ok_at(int rc, const char *text, const char *file, int line) {
  if (rc >= 0) return;
  print_error("%s: %s (%s)\n", text, varve_status_name(rc), status_message());
  _fail(file, line);
}

/* ---- the allocator ---------------------------------------------------------------------------------- */

/* | size u64 | guard u64 | bytes | guard u64 | */
#define TEST_HEAD  16u
#define TEST_GUARD UINT64_C(0x7e57a110c8ed9e55)

static void test_complain(const char *what, size_t have, size_t want) {
  fprintf(stderr, "test_allocator: %s: %zu, expected %zu\n", what, have, want);
  abort();
}

static uint8_t *test_piece_check(void *ptr, size_t size) {
  uint8_t *raw = (uint8_t *)ptr - TEST_HEAD;
  uint64_t words[2], tail;
  memcpy(words, raw, sizeof words);
  if (words[1] != TEST_GUARD) test_complain("not a live piece, or written before its begin", 0, size);
  if (words[0] != size) test_complain("released with the wrong size", size, (size_t)words[0]);
  memcpy(&tail, raw + TEST_HEAD + size, sizeof tail);
  if (tail != TEST_GUARD) test_complain("written past the end of a piece", size + 1, size);
  return raw;
}

static bool test_must_fail(test_allocator *a) {
  uint64_t call = atomic_fetch_add(&a->calls, 1) + 1;
  if (a->fail_at == 0 || call < a->fail_at || (call > a->fail_at && !a->fail_on)) return false;
  atomic_fetch_add(&a->failures, 1);
  return true;
}

static void *test_resize(allocator *self, void *ptr, size_t old_size, size_t new_size) {
  test_allocator *a = (test_allocator *)(void *)self;
  uint8_t *old = NULL, *raw = NULL;
  if ((ptr == NULL) != (old_size == 0)) test_complain("NULL and a size do not go together", old_size, 0);
  if (ptr != NULL) old = test_piece_check(ptr, old_size);
  if (new_size > 0) {
    if (test_must_fail(a) || new_size > PTRDIFF_MAX - 64) return NULL;
    raw = malloc(TEST_HEAD + new_size + sizeof(uint64_t));
    if (raw == NULL) return NULL;
    uint64_t words[2] = {new_size, TEST_GUARD};
    memcpy(raw, words, sizeof words);
    memset(raw + TEST_HEAD, 0xa5, new_size);
    memcpy(raw + TEST_HEAD + new_size, &words[1], sizeof words[1]);
    if (old != NULL) memcpy(raw + TEST_HEAD, old + TEST_HEAD, MIN(old_size, new_size));
    atomic_fetch_add(&a->pieces, 1);
    atomic_fetch_add(&self->used, new_size);
  }
  if (old != NULL) {
    memset(old, 0x5a, TEST_HEAD + old_size + sizeof(uint64_t));
    free(old);
    atomic_fetch_sub(&a->pieces, 1);
    atomic_fetch_sub(&self->used, old_size);
  }
  return raw == NULL ? NULL : raw + TEST_HEAD;
}

void test_allocator_init(test_allocator *a) {
  memset(a, 0, sizeof *a);
  a->base.resize = test_resize;
}

void test_allocator_fail(test_allocator *a, uint64_t nth, bool and_later) {
  atomic_store(&a->calls, 0);
  a->fail_at = nth;
  a->fail_on = and_later;
}

void test_allocator_check(test_allocator *a) {
  assert_int_equal(atomic_load(&a->pieces), 0);
  assert_int_equal(atomic_load(&a->base.used), 0);
}

/* ---- the scratch directory -------------------------------------------------------------------------- */

void test_dir_create(char path[TEST_PATH_MAX]) {
  const char *parent = getenv("TMPDIR");
  int n = snprintf(path, TEST_PATH_MAX, "%s/varve_test_XXXXXX", parent != NULL ? parent : P_tmpdir);
  assert_true(n > 0 && n < TEST_PATH_MAX);
  assert_non_null(mkdtemp(path));
}

static int test_dir_visit(const char *path, const struct stat *st, int kind, struct FTW *where) {
  (void)st;
  (void)kind;
  (void)where;
  return remove(path);
}

void test_dir_remove(const char *path) {
  assert_int_equal(nftw(path, test_dir_visit, 16, FTW_DEPTH | FTW_PHYS), 0);
}
