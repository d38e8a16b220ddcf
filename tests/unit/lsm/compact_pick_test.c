/* compact_pick_test.c: what is merged next, on random versions: inputs that may be merged together, and an end of the
 * picking. */
#include "support/test.h"

#include <stdio.h>

#include "lsm/lsm_int.h"

enum { KEY_SPACE = 10000 };

typedef struct pick_bed {
  allocator alloc;
  version *v;
  uint64_t next;
  lsm_options options;
} pick_bed;

static void pick_setup(pick_bed *b) {
  memset(b, 0, sizeof *b);
  allocator_init_libc(&b->alloc);
  TEST_OK(version_create(&b->alloc, &b->v));
  b->next = 1;
  b->options = (lsm_options){.l0_runs = 4, .fanout = 4, .memtable_bytes = 1000, .table_bytes = 1000};
}

static void pick_teardown(pick_bed *b) {
  pin_unref(&b->v->pin);
  assert_int_equal(atomic_load(&b->alloc.used), 0);
}

static slice pick_key(char text[16], uint32_t i) {
  int n = snprintf(text, 16, "%06u", (unsigned)i);
  return slice_make(text, (size_t)n);
}

/* Adds a table [from, to] to a level. */
static void pick_add(pick_bed *b, uint32_t level, uint32_t from, uint32_t to, uint64_t size, uint64_t seq,
                     uint32_t dead_percent) {
  char x[16], y[16];
  table_meta *meta;
  edit e;
  version *next;
  TEST_OK(table_meta_create(&b->alloc, pick_key(x, from), pick_key(y, to), false, &meta));
  meta->number = b->next++;
  meta->size = size;
  meta->entries = 100;
  meta->tombstones = dead_percent;
  meta->seq_max = seq;
  meta->seq_min = seq > 0 ? 1 : 0;
  edit_init(&e, &b->alloc);
  TEST_OK(edit_add(&e, level, meta));
  pin_unref(&meta->pin);
  TEST_OK(version_apply(b->v, &e, &next));
  edit_free(&e);
  pin_unref(&b->v->pin);
  b->v = next;
}

static bool pick_takes(const job_inputs *in, uint32_t level, uint32_t i) {
  return i >= in->level[level].from && i < in->level[level].to;
}

/* The two promises of a pick, checked table by table. */
static void pick_check(const version *v, const job_inputs *in) {
  uint32_t taken = 0;
  assert_null(in->memtable);
  for (uint32_t level = 0; level < LEVELS; level++) {
    const version_level *here = &v->level[level];
    assert_true(in->level[level].from <= in->level[level].to && in->level[level].to <= here->count);
    taken += in->level[level].to - in->level[level].from;
    if (level > in->output_level) assert_int_equal(in->level[level].from, in->level[level].to);
    for (uint32_t i = in->level[level].from; i < in->level[level].to; i++) {
      const table_meta *t = here->tables[i];
      /* All that it meets in the levels from its own to the output takes part, or something newer would be put below
       * it. */
      for (uint32_t below = level + 1; below <= in->output_level; below++) {
        for (uint32_t k = 0; k < v->level[below].count; k++) {
          const table_meta *other = v->level[below].tables[k];
          if (table_meta_overlaps(other, t->smallest, t->largest)) assert_true(pick_takes(in, below, k));
        }
      }
      if (level != 0) continue;
      for (uint32_t k = 0; k < here->count; k++) {
        bool older = here->tables[k]->seq_max < t->seq_max;
        if (older && table_meta_overlaps(here->tables[k], t->smallest, t->largest)) assert_true(pick_takes(in, 0, k));
      }
    }
  }
  assert_true(taken > 0);
  for (uint32_t level = 0; in->move && level < LEVELS; level++) {
    if (level == in->output_level) assert_int_equal(in->level[level].from, in->level[level].to);
  }
}

static void nothing_to_do_in_an_empty_version(void **state) {
  (void)state;
  pick_bed b;
  job_inputs in;
  pick_setup(&b);
  assert_false(compact_pick(b.v, &b.options, SEQ_MAX, false, &in));
  assert_false(compact_pick(b.v, &b.options, SEQ_MAX, true, &in));
  pick_add(&b, 0, 0, 10, 100, 5, 0);
  assert_false(compact_pick(b.v, &b.options, SEQ_MAX, false, &in)); /* one run is fine */
  assert_true(compact_pick(b.v, &b.options, SEQ_MAX, true, &in));
  pick_teardown(&b);
}

static void level_0_goes_when_it_has_enough_runs(void **state) {
  (void)state;
  pick_bed b;
  job_inputs in;
  pick_setup(&b);
  for (uint32_t i = 0; i < 3; i++) pick_add(&b, 0, 0, 100, 500, 10 + i, 0);
  assert_false(compact_pick(b.v, &b.options, SEQ_MAX, false, &in));
  pick_add(&b, 0, 50, 70, 500, 20, 0);
  assert_true(compact_pick(b.v, &b.options, SEQ_MAX, false, &in));
  assert_int_equal(in.level[0].to - in.level[0].from, 4);
  assert_false(in.move);
  pick_check(b.v, &in);
  pick_teardown(&b);
}

/* Runs that do not touch each other, nor the level they go to, change their level without being read. */
static void disjoint_runs_are_moved(void **state) {
  (void)state;
  pick_bed b;
  job_inputs in;
  pick_setup(&b);
  for (uint32_t i = 0; i < 4; i++) pick_add(&b, 0, 100 * i, 100 * i + 50, 500, 10 + i, 0);
  assert_true(compact_pick(b.v, &b.options, SEQ_MAX, false, &in));
  assert_true(in.move);
  pick_check(b.v, &in);
  pick_teardown(&b);
}

static void dead_tables_come_back_as_space(void **state) {
  (void)state;
  pick_bed b;
  job_inputs in;
  pick_setup(&b);
  pick_add(&b, LEVELS - 1, 0, 100, 900, 50, 60);
  assert_true(compact_pick(b.v, &b.options, SEQ_MAX, false, &in));
  pick_check(b.v, &in);
  assert_int_equal(in.output_level, LEVELS - 1);
  assert_false(compact_pick(b.v, &b.options, 40, false, &in)); /* a snapshot needs what is deleted */
  pick_teardown(&b);
  pick_setup(&b);
  pick_add(&b, LEVELS - 1, 0, 100, 900, 50, 5);
  assert_false(compact_pick(b.v, &b.options, SEQ_MAX, false, &in)); /* a few are not worth it */
  pick_teardown(&b);
}

static void pick_random_version(pick_bed *b, rng *r) {
  uint64_t seq = 1000;
  for (uint32_t level = LEVELS - 1; level > 0; level--) {
    if (rng_percent(r, 40)) continue;
    uint32_t at = rng_below(r, 500), count = rng_below(r, 12);
    for (uint32_t i = 0; i < count && at + 300 < KEY_SPACE; i++) {
      uint32_t from = at + rng_below(r, 200), to = from + rng_below(r, 400);
      pick_add(b, level, from, to, 200 + rng_below(r, 3000), rng_percent(r, 30) ? 0 : 1 + rng_below(r, 900),
               rng_percent(r, 10) ? 50 : 0);
      at = to + 1 + rng_below(r, 300);
    }
  }
  uint32_t runs = rng_below(r, 9);
  for (uint32_t i = 0; i < runs; i++) {
    uint32_t from = rng_below(r, KEY_SPACE - 2000);
    pick_add(b, 0, from, from + rng_below(r, 2000), 200 + rng_below(r, 2000), ++seq, 0);
  }
}

static void picks_keep_their_promises(void **state) {
  (void)state;
  rng r = test_rng("picks_keep_their_promises");
  uint32_t picked = 0, moved = 0, full = 0;
  for (uint32_t i = 0; i < test_scale(3000); i++) {
    pick_bed b;
    job_inputs in;
    pick_setup(&b);
    b.options.l0_runs = 2 + rng_below(&r, 6);
    b.options.fanout = 2 + rng_below(&r, 10);
    pick_random_version(&b, &r);
    uint64_t oldest = rng_percent(&r, 30) ? rng_below(&r, 1000) : SEQ_MAX;
    bool everything = rng_percent(&r, 30);
    if (compact_pick(b.v, &b.options, oldest, everything, &in)) {
      pick_check(b.v, &in);
      picked++;
      moved += in.move;
      full += everything;
    }
    if (b.v->level[0].count >= b.options.l0_runs) assert_true(compact_pick(b.v, &b.options, oldest, false, &in));
    pick_teardown(&b);
  }
  printf("%u picks, %u moves, %u of everything\n", (unsigned)picked, (unsigned)moved, (unsigned)full);
  assert_true(picked > 0 && full > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nothing_to_do_in_an_empty_version), cmocka_unit_test(level_0_goes_when_it_has_enough_runs),
      cmocka_unit_test(disjoint_runs_are_moved),           cmocka_unit_test(dead_tables_come_back_as_space),
      cmocka_unit_test(picks_keep_their_promises),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
