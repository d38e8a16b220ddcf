/* memtable_race_test.c: readers of a memtable while it is written.
 *
 * Twice: with threads, for the memory model (under the thread sanitizer), and in one thread, for the algorithm. For the
 * latter the memtable is compiled into this file once more, with every load that a reader may share with the writer
 * calling a hook, and the hook lets the writer add entries right there: each place where a reader can be overtaken is
 * met thousands of times, and a seed repeats the run.
 */
#include "support/test.h"

#include "env/sync.h"

static void race_hook(void);
#define MEMTREE_LOAD(field) (race_hook(), atomic_load_explicit(&(field), memory_order_acquire))

#define memtable_create        raced_create
#define memtable_pin           raced_pin
#define memtable_reserve       raced_reserve
#define memtable_add           raced_add
#define memtable_delete_range  raced_delete_range
#define memtable_bytes         raced_bytes
#define memtable_entries       raced_entries
#define memtable_range_deletes raced_range_deletes
#define memtable_get           raced_get
#define memtable_covering      raced_covering
#define memtable_range_set     raced_range_set
#define memtable_iter_open     raced_iter_open
#define memtree_insert         raced_tree_insert
#define memtree_growth         raced_tree_growth
#define memtree_get            raced_tree_get
#define memtree_view_find      raced_tree_view_find
#define memtree_view_leaf      raced_tree_view_leaf
#define memranges_free         raced_ranges_free

#include "lsm/memtable_tree.c"
#include "lsm/memtable_ranges.c"
#include "lsm/memtable_iter.c"
#include "lsm/memtable.c"

static slice text(const char *s) {
  return slice_make(s, strlen(s));
}

static void add(memtable *mt, uint64_t seq, slice key, slice value) {
  TEST_OK(memtable_reserve(mt, key.size + value.size, 1));
  memtable_add(mt, seq, KIND_PUT, key, value);
}

/* ---- what is written, and what a reader expects ----------------------------------------------------- */

/* Sequence i puts racer_key(i), but each 64th deletes a range. */
enum { RACE_READERS = 3, RACE_RANGE_EACH = 64 };

typedef struct race {
  memtable *mt;
  allocator *alloc;
  uint64_t count;
  uint32_t salt;
  _Atomic uint64_t published;
  atomic_uint faults;
} race;

typedef struct racer {
  race *race;
  uint64_t seed;
  thread handle;
} racer;

/* Ascending runs, scattered keys, overwrites, and prefixes that get shorter. */
static slice racer_key(const race *c, uint64_t seq, uint8_t buffer[32]) {
  rng r = {seq * 977 + c->salt};
  uint64_t n = rng_next(&r), block = seq / 1000;
  size_t size = 0;
  if (block % 3 != 0) {
    static const char prefix[] = "common/prefix/";
    size = n % 97 == 0 ? n % 13 : sizeof prefix - 1;
    memcpy(buffer, prefix, size);
  }
  uint64_t id = block % 4 == 1 ? seq : (n >> 20) % 5000;
  for (uint32_t i = 0; i < 8; i++) buffer[size++] = (uint8_t)(id >> (56 - 8 * i));
  return slice_make(buffer, size);
}

static slice race_range_key(uint64_t seq, uint8_t buffer[9]) {
  buffer[0] = 'r';
  memcpy(buffer + 1, &seq, 8);
  return slice_make(buffer, 9);
}

static void race_fault(race *c, bool ok) {
  if (!ok) atomic_fetch_add(&c->faults, 1);
}

/* One that was published; mostly of late, where the writer is at work. */
static uint64_t race_pick(rng *r, uint64_t published) {
  return rng_percent(r, 70) ? published - rng_next(r) % MIN(published, 8) : 1 + rng_next(r) % published;
}

static void race_get(race *c, rng *r, uint64_t published) {
  uint64_t seq = race_pick(r, published);
  uint8_t buffer[32];
  if (seq % RACE_RANGE_EACH == 0) {
    range_tombstone t = {{NULL, 0}, {NULL, 0}, 0};
    slice begin = race_range_key(seq, buffer);
    race_fault(c, memtable_covering(c->mt, begin, published, &t) && t.seq == seq && slice_equal(t.begin, begin));
    return;
  }
  uint64_t trailer = 0;
  slice value = {NULL, 0};
  bool found = memtable_get(c->mt, racer_key(c, seq, buffer), seq, &trailer, &value);
  race_fault(c, found && trailer_seq(trailer) == seq && value.size == 8);
  if (found) race_fault(c, get_u64(value.data) == seq);
}

/* Everything published is there, in order, once. */
static void race_scan(race *c, iter *it, uint64_t published, bool forward) {
  uint64_t seen = 0, expected = published - published / RACE_RANGE_EACH;
  slice key = {NULL, 0};
  uint64_t trailer = 0;
  bool any = false;
  for (int rc = forward ? iter_first(it) : iter_last(it); rc == 0; rc = forward ? iter_next(it) : iter_prev(it)) {
    int order = any ? entry_compare(key, trailer, it->key, it->trailer) : forward ? -1 : 1;
    race_fault(c, forward ? order < 0 : order > 0);
    race_fault(c, it->value.size == 8 && get_u64(it->value.data) == trailer_seq(it->trailer));
    seen += trailer_seq(it->trailer) <= published;
    key = it->key;
    trailer = it->trailer;
    any = true;
  }
  race_fault(c, seen == expected);
}

/* For a while forward from where the iterator stands: in order, and no jump over (key, seq). */
static void race_walk(race *c, iter *it, slice key, uint64_t seq) {
  slice before = it->key;
  uint64_t before_trailer = it->trailer, trailer = trailer_make(seq, KIND_PUT);
  bool passed = entry_compare(before, before_trailer, key, trailer) >= 0;
  for (uint32_t i = 0; i < 3 * BTREE_FANOUT || !passed; i++) {
    if (iter_next(it) != 0) break;
    race_fault(c, entry_compare(before, before_trailer, it->key, it->trailer) < 0);
    int order = entry_compare(it->key, it->trailer, key, trailer);
    race_fault(c, passed || order <= 0);
    passed = passed || order >= 0;
    before = it->key;
    before_trailer = it->trailer;
  }
  race_fault(c, passed);
}

static void race_seek(race *c, rng *r, iter *it, uint64_t published) {
  uint8_t buffer[32];
  uint64_t seq = published + 1 + rng_below(r, 3); /* not there yet */
  slice key = racer_key(c, seq, buffer);
  if (iter_seek(it, key, TRAILER_MAX) == 0) race_fault(c, slice_compare(it->key, key) >= 0);
  seq = race_pick(r, published);
  if (seq % RACE_RANGE_EACH == 0) return;
  key = racer_key(c, seq, buffer);
  bool found = iter_seek(it, key, trailer_make(seq, KIND_PUT)) == 0;
  race_fault(c, found && slice_equal(it->key, key) && trailer_seq(it->trailer) == seq);
  if (found) race_walk(c, it, key, seq);
  if (iter_seek_before(it, key) == 0) {
    race_fault(c, slice_compare(it->key, key) < 0);
    race_walk(c, it, key, seq);
  }
}

static void race_write_one(race *c) {
  uint64_t seq = atomic_load_explicit(&c->published, memory_order_relaxed) + 1;
  uint8_t buffer[32], end[32];
  if (seq % RACE_RANGE_EACH == 0) {
    slice begin = race_range_key(seq, buffer);
    memcpy(end, buffer, 9);
    end[9] = 0;
    TEST_OK(memtable_reserve(c->mt, 19 + 2 * 4096, 2));
    memtable_delete_range(c->mt, seq, begin, slice_make(end, 10));
  } else {
    add(c->mt, seq, racer_key(c, seq, buffer), slice_make(&seq, 8));
  }
  atomic_store_explicit(&c->published, seq, memory_order_release);
}

/* ---- one thread: the writer comes in between two loads of a reader ----------------------------------- */

static struct {
  race *race; /* NULL: nobody comes in */
  rng r;
} hooked;

static void race_hook(void) {
  race *c = hooked.race;
  if (c == NULL || !rng_percent(&hooked.r, 2)) return;
  hooked.race = NULL; /* the writer's own loads */
  for (uint32_t n = 1 + rng_below(&hooked.r, 3); n > 0 && atomic_load(&c->published) < c->count; n--) race_write_one(c);
  hooked.race = c;
}

static void a_writer_between_any_two_loads_harms_nobody(void **state) {
  (void)state;
  rng r = test_rng("between_any_two_loads");
  for (uint32_t round = 0; round < test_scale(8); round++) {
    test_allocator a;
    test_allocator_init(&a);
    race c = {.alloc = &a.base, .count = 6000, .salt = (uint32_t)rng_next(&r)};
    TEST_OK(memtable_create(&a.base, &c.mt));
    iter *it = NULL;
    TEST_OK(memtable_iter_open(c.mt, &a.base, &it));
    race_write_one(&c);
    hooked.r.state = rng_next(&r);
    while (atomic_load(&c.published) < c.count) {
      uint64_t published = atomic_load(&c.published);
      hooked.race = &c;
      for (uint32_t i = 0; i < 3; i++) race_get(&c, &r, published);
      race_seek(&c, &r, it, published);
      if (rng_percent(&r, 2)) race_scan(&c, it, published, rng_percent(&r, 50));
      hooked.race = NULL;
      assert_int_equal(atomic_load(&c.faults), 0);
    }
    iter_close(it);
    pin_unref(memtable_pin(c.mt));
    test_allocator_check(&a);
  }
}

/* ---- threads ---------------------------------------------------------------------------------------- */

static void *race_read(void *context) {
  racer *self = context;
  race *c = self->race;
  rng r = {self->seed};
  iter *it = NULL;
  if (memtable_iter_open(c->mt, c->alloc, &it) < 0) {
    race_fault(c, false);
    return NULL;
  }
  for (uint64_t published = 0, round = 0; published < c->count; round++) {
    published = atomic_load_explicit(&c->published, memory_order_acquire);
    if (published == 0) {
      thread_yield();
      continue;
    }
    for (uint32_t i = 0; i < 200; i++) race_get(c, &r, published);
    for (uint32_t i = 0; i < 50; i++) race_seek(c, &r, it, published);
    if (round % 8 == 0) race_scan(c, it, published, round % 16 == 0);
  }
  iter_close(it);
  return NULL;
}

/* A reader that found the root before it split, and looks into it after, when it has half of the keys. */
static void *root_read(void *context) {
  race *c = context;
  uint64_t trailer;
  slice value;
  race_fault(c, memtable_get(c->mt, text("z"), SEQ_MAX, &trailer, &value));
  return NULL;
}

static void a_root_that_split_is_left_again(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  race c = {.alloc = &a.base};
  TEST_OK(memtable_create(&a.base, &c.mt));
  add(c.mt, 1, text("z"), text(""));
  arena_ref old = atomic_load(&c.mt->root);
  for (uint64_t i = 2; i <= BTREE_FANOUT + 1; i++) add(c.mt, i, slice_make(&i, 1), text(""));
  arena_ref root = atomic_load(&c.mt->root);
  assert_int_not_equal(old, root);
  memtree_node *node = arena_at(&c.mt->arena, old);
  atomic_fetch_add(&node->version, 1); /* as in the middle of the split */
  atomic_store(&c.mt->root, old);
  thread late;
  TEST_OK(thread_start(&late, root_read, &c));
  for (uint32_t i = 0; i < 10000; i++) thread_yield();
  atomic_store(&c.mt->root, root);
  atomic_fetch_add(&node->version, 1);
  thread_join(&late);
  assert_int_equal(atomic_load(&c.faults), 0);
  pin_unref(memtable_pin(c.mt));
  test_allocator_check(&a);
}

static void readers_see_all_that_is_published(void **state) {
  (void)state;
  rng r = test_rng("readers_see_all");
  for (uint32_t round = 0; round < 3; round++) {
    test_allocator a;
    test_allocator_init(&a);
    race c = {.alloc = &a.base, .count = test_scale(20000), .salt = (uint32_t)rng_next(&r)};
    TEST_OK(memtable_create(&a.base, &c.mt));
    racer readers[RACE_READERS];
    for (uint32_t i = 0; i < RACE_READERS; i++) {
      readers[i].race = &c;
      readers[i].seed = rng_next(&r);
      TEST_OK(thread_start(&readers[i].handle, race_read, &readers[i]));
    }
    while (atomic_load(&c.published) < c.count) race_write_one(&c);
    for (uint32_t i = 0; i < RACE_READERS; i++) thread_join(&readers[i].handle);
    assert_int_equal(atomic_load(&c.faults), 0);
    pin_unref(memtable_pin(c.mt));
    test_allocator_check(&a);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_writer_between_any_two_loads_harms_nobody),
      cmocka_unit_test(a_root_that_split_is_left_again),
      cmocka_unit_test(readers_see_all_that_is_published),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
