/* merge_iter_test.c: random sources merged against one sorted array, moved in both directions; sources that fail. */
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "lsm/lsm_int.h"

enum { VERSIONS_MAX = 300, KEY_SIZE_MAX = 40 };

typedef struct merge_entry {
  uint8_t key[KEY_SIZE_MAX];
  size_t size;
  uint64_t trailer;
} merge_entry;

/* A source: the entries of an array whose index is listed. */
typedef struct list_iter {
  iter base;
  const merge_entry *all;
  uint32_t index[VERSIONS_MAX], count, at;
  uint32_t *fail_after; /* moves of all sources that still succeed; NULL = all do */
} list_iter;

static uint32_t list_open_count;

static int list_show(list_iter *l, uint32_t at) {
  l->base.valid = false;
  if (l->fail_after != NULL && (*l->fail_after)-- == 0) {
    *l->fail_after = 0;
    return status_fail(VARVE_IO, "the source fails");
  }
  l->at = at;
  if (at >= l->count) return VARVE_DONE;
  const merge_entry *e = &l->all[l->index[at]];
  l->base.valid = true;
  l->base.key = slice_make(e->key, e->size);
  l->base.trailer = e->trailer;
  l->base.value = slice_make(&e->trailer, sizeof e->trailer);
  return VARVE_OK;
}

static int list_first(iter *it) {
  return list_show((list_iter *)(void *)it, 0);
}

static int list_last(iter *it) {
  list_iter *l = (list_iter *)(void *)it;
  return list_show(l, l->count == 0 ? 0 : l->count - 1);
}

static int list_seek(iter *it, slice key, uint64_t trailer) {
  list_iter *l = (list_iter *)(void *)it;
  uint32_t i = 0;
  for (; i < l->count; i++) {
    const merge_entry *e = &l->all[l->index[i]];
    if (entry_compare(slice_make(e->key, e->size), e->trailer, key, trailer) >= 0) break;
  }
  return list_show(l, i);
}

static int list_seek_before(iter *it, slice key) {
  list_iter *l = (list_iter *)(void *)it;
  uint32_t i = 0;
  for (; i < l->count; i++) {
    const merge_entry *e = &l->all[l->index[i]];
    if (slice_compare(slice_make(e->key, e->size), key) >= 0) break;
  }
  return list_show(l, i == 0 ? l->count : i - 1);
}

static int list_next(iter *it) {
  list_iter *l = (list_iter *)(void *)it;
  assert_true(it->valid);
  return list_show(l, l->at + 1);
}

static int list_prev(iter *it) {
  list_iter *l = (list_iter *)(void *)it;
  assert_true(it->valid);
  return list_show(l, l->at == 0 ? l->count : l->at - 1);
}

static void list_close(iter *it) {
  list_open_count--;
  free(it);
}

static const iter_ops list_ops = {list_first, list_last, list_seek, list_seek_before, list_next, list_prev, list_close};

typedef struct merge_bed {
  test_allocator memory;
  rng r;
  merge_entry all[VERSIONS_MAX];
  uint32_t count, sources, fail_after;
  iter *it;
} merge_bed;

static int merge_entry_order(const void *a, const void *b) {
  const merge_entry *x = a, *y = b;
  return entry_compare(slice_make(x->key, x->size), x->trailer, slice_make(y->key, y->size), y->trailer);
}

/* Versions of few keys with a common beginning of `skip` bytes, spread over the sources at random. */
static void merge_make(merge_bed *b, bool failing) {
  static const char common[] = "a rather long beginning/";
  list_iter *lists[16];
  iter *children[16];
  uint64_t seq_max[16];
  size_t skip = rng_below(&b->r, 2) * (sizeof common - 1);
  test_allocator_init(&b->memory);
  b->count = rng_below(&b->r, VERSIONS_MAX);
  b->sources = 2 + rng_below(&b->r, 9);
  for (uint32_t i = 0; i < b->count; i++) {
    merge_entry *e = &b->all[i];
    memcpy(e->key, common, skip);
    e->size = skip + 1 + rng_below(&b->r, 12);
    for (size_t k = skip; k < e->size; k++) e->key[k] = (uint8_t)(rng_below(&b->r, 3) * 127);
    e->trailer = trailer_make(1 + i, rng_percent(&b->r, 20) ? KIND_DELETE : KIND_PUT);
  }
  if (b->count > 0) qsort(b->all, b->count, sizeof b->all[0], merge_entry_order);
  for (uint32_t i = 0; i < b->sources; i++) {
    lists[i] = calloc(1, sizeof *lists[i]);
    assert_non_null(lists[i]);
    lists[i]->base.ops = &list_ops;
    lists[i]->all = b->all;
    lists[i]->fail_after = failing ? &b->fail_after : NULL;
    children[i] = &lists[i]->base;
    seq_max[i] = 0;
    list_open_count++;
  }
  for (uint32_t i = 0; i < b->count; i++) {
    uint32_t to = rng_below(&b->r, b->sources);
    lists[to]->index[lists[to]->count++] = i;
    seq_max[to] = MAX(seq_max[to], trailer_seq(b->all[i].trailer));
  }
  TEST_OK(merge_iter_open(&b->memory.base, children, seq_max, b->sources, skip, &b->it));
}

static void merge_end(merge_bed *b) {
  iter_close(b->it);
  assert_int_equal(list_open_count, 0);
  test_allocator_check(&b->memory);
}

static void merge_check(const merge_bed *b, int rc, int64_t at) {
  bool placed = at >= 0 && at < b->count;
  TEST_OK(rc);
  TEST_RC(rc, placed ? VARVE_OK : VARVE_DONE);
  assert_true(b->it->valid == placed);
  if (!placed) return;
  const merge_entry *e = &b->all[at];
  assert_int_equal(b->it->key.size, e->size);
  assert_memory_equal(b->it->key.data, e->key, e->size);
  assert_int_equal(b->it->trailer, e->trailer);
  assert_int_equal(b->it->value.size, sizeof e->trailer);
  assert_memory_equal(b->it->value.data, &e->trailer, sizeof e->trailer);
}

/* An absolute move to around a random entry: where it must lead. */
static int merge_jump(merge_bed *b, int64_t *at) {
  uint32_t target = b->count == 0 ? 0 : rng_below(&b->r, b->count);
  merge_entry e = b->count == 0 ? (merge_entry){{0}, 1, 0} : b->all[target];
  slice key = slice_make(e.key, e.size);
  switch (rng_below(&b->r, 4)) {
    case 0:
      *at = 0;
      return iter_first(b->it);
    case 1:
      *at = (int64_t)b->count - 1;
      return iter_last(b->it);
    case 2: {
      uint64_t trailer = rng_percent(&b->r, 50) ? e.trailer : TRAILER_MAX;
      for (*at = 0; *at < b->count; (*at)++) {
        const merge_entry *x = &b->all[*at];
        if (entry_compare(slice_make(x->key, x->size), x->trailer, key, trailer) >= 0) break;
      }
      return iter_seek(b->it, key, trailer);
    }
    default:
      for (*at = 0; *at < b->count; (*at)++) {
        if (slice_compare(slice_make(b->all[*at].key, b->all[*at].size), key) >= 0) break;
      }
      (*at)--;
      return iter_seek_before(b->it, key);
  }
}

static void merges_agree_with_a_sorted_array(void **state) {
  (void)state;
  static merge_bed b;
  b.r = test_rng("merges_agree_with_a_sorted_array");
  for (uint32_t round = 0; round < test_scale(400); round++) {
    merge_make(&b, false);
    for (uint32_t walk = 0; walk < 8; walk++) {
      int64_t at = 0;
      uint32_t forward = rng_below(&b.r, 101);
      int jumped = merge_jump(&b, &at);
      merge_check(&b, jumped, at);
      for (uint32_t step = 0; step < 60 && b.it->valid; step++) {
        bool on = rng_percent(&b.r, forward);
        int rc = on ? iter_next(b.it) : iter_prev(b.it);
        at += on ? 1 : -1;
        merge_check(&b, rc, at);
      }
    }
    merge_end(&b);
  }
}

/* merge_iter_skip leaves out, of the sources whose versions are all older, what is before the key: nothing newer is
 * lost. */
static void a_skip_loses_nothing_newer(void **state) {
  (void)state;
  static merge_bed b;
  b.r = test_rng("a_skip_loses_nothing_newer");
  for (uint32_t round = 0; round < test_scale(400); round++) {
    merge_make(&b, false);
    if (b.count > 0 && iter_first(b.it) == VARVE_OK) {
      merge_entry target = b.all[rng_below(&b.r, b.count)];
      uint64_t seq = 1 + rng_below(&b.r, VERSIONS_MAX);
      slice key = slice_make(target.key, target.size);
      int rc = merge_iter_skip(b.it, key, seq);
      TEST_OK(rc);
      for (uint32_t i = 0; i < b.count; i++) {
        const merge_entry *e = &b.all[i];
        slice k = slice_make(e->key, e->size);
        bool here = b.it->valid && slice_equal(b.it->key, k) && b.it->trailer == e->trailer;
        bool needed = slice_compare(k, key) >= 0 || trailer_seq(e->trailer) >= seq;
        if (needed) assert_true(here);
        if (here) (void)iter_next(b.it);
      }
      assert_false(b.it->valid);
    }
    merge_end(&b);
  }
}

static void a_source_that_fails_stops_the_merge(void **state) {
  (void)state;
  static merge_bed b;
  b.r = test_rng("a_source_that_fails_stops_the_merge");
  for (uint32_t round = 0; round < test_scale(400); round++) {
    int64_t at = 0;
    int rc;
    b.fail_after = rng_below(&b.r, 60);
    merge_make(&b, true);
    rc = merge_jump(&b, &at);
    for (uint32_t step = 0; step < 200 && rc == VARVE_OK; step++) {
      rc = rng_percent(&b.r, 60) ? iter_next(b.it) : iter_prev(b.it);
    }
    assert_true(rc == VARVE_OK || rc == VARVE_DONE || rc == VARVE_IO);
    if (rc != VARVE_OK) assert_false(b.it->valid);
    b.fail_after = 1000000; /* an absolute move finds its way again */
    merge_check(&b, iter_first(b.it), 0);
    merge_end(&b);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(merges_agree_with_a_sorted_array),
      cmocka_unit_test(a_skip_loses_nothing_newer),
      cmocka_unit_test(a_source_that_fails_stops_the_merge),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
