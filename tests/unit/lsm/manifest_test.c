/* manifest_test.c: the list of edits: what was appended is the state that comes back; a torn tail is cut, all other
 * damage is seen; failures end the manifest.
 */
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/xxh64.h"
#include "lsm/manifest.h"
#include "support/fault_vfs.h"

static test_allocator memory;
static fault_vfs *fs;
static env e;
static super root = {.generation = 1, .id = "0123456789abcde", .manifest = 1};

static int setup(void **state) {
  (void)state;
  vfs *inner;
  test_allocator_init(&memory);
  TEST_OK(vfs_mem_open(&memory.base, &inner));
  TEST_OK(fault_vfs_open(inner, &fs));
  e = (env){.fs = &fs->base, .alloc = &memory.base};
  root.manifest = 1;
  return 0;
}

static int teardown(void **state) {
  (void)state;
  TEST_OK(vfs_close_fs(&fs->base));
  test_allocator_check(&memory);
  return 0;
}

/* ---- a list of edits, and the state after each ---- */

static void add_table(edit *change, uint32_t level, uint64_t number, uint64_t seq) {
  char key[24];
  table_meta *m;
  snprintf(key, sizeof key, "%08llu", (unsigned long long)number);
  TEST_OK(table_meta_create(&memory.base, slice_make(key, 8), slice_make(key, 8), false, &m));
  m->number = number;
  m->size = 1000 + number;
  m->seq_min = seq;
  m->seq_max = seq;
  TEST_OK(edit_add(change, level, m));
  pin_unref(&m->pin);
}

/* Edit i of every test: adds table i + 2, removes or moves an older one now and then. */
static edit nth_edit(uint32_t i) {
  edit change;
  edit_init(&change, &memory.base);
  change.has_next_number = change.has_last_seq = true;
  change.next_number = i + 3;
  change.last_seq = i * 10;
  if (i % 2 == 1) {
    change.has_log_min = true;
    change.log_min = i;
  }
  if (i % 5 == 4) {
    change.has_clean_end = true;
    change.clean_log = i % 10 == 4 ? i : 0;
    change.clean_end = i % 10 == 4 ? 64 : 0;
  }
  add_table(&change, i % 3 == 0 ? 0 : 1, i + 2, i * 10);
  if (i % 3 == 2) {
    TEST_OK(edit_remove(&change, 1, i + 1)); /* added by edit i - 1 to level 1 */
    add_table(&change, 2, i + 1, i * 10);
  }
  return change;
}

static void empty_state(manifest_state *s) {
  memset(s, 0, sizeof *s);
  s->next_number = 2;
  TEST_OK(version_create(&memory.base, &s->current));
}

static void free_state(manifest_state *s) {
  pin_unref(&s->current->pin);
}

static void apply(manifest_state *s, const edit *change) {
  version *next;
  TEST_OK(version_apply(s->current, change, &next));
  pin_unref(&s->current->pin);
  s->current = next;
  if (change->has_log_min) s->log_min = change->log_min;
  s->next_number = change->next_number;
  s->last_seq = change->last_seq;
  if (!change->has_clean_end) return;
  s->clean_log = change->clean_log;
  s->clean_end = change->clean_end;
}

static bool same_state(const manifest_state *a, const manifest_state *b) {
  if (a->log_min != b->log_min || a->next_number != b->next_number || a->last_seq != b->last_seq) return false;
  if (a->clean_log != b->clean_log || a->clean_end != b->clean_end) return false;
  for (uint32_t l = 0; l < LEVELS; l++) {
    if (a->current->level[l].count != b->current->level[l].count) return false;
    if (a->current->level[l].bytes != b->current->level[l].bytes) return false;
    for (uint32_t t = 0; t < a->current->level[l].count; t++) {
      const table_meta *x = a->current->level[l].tables[t], *y = b->current->level[l].tables[t];
      if (x->number != y->number || !slice_equal(x->smallest, y->smallest)) return false;
    }
  }
  return true;
}

#define EDITS 16u

typedef struct history {
  manifest_state states[EDITS + 1];
  uint64_t ends[EDITS + 1]; /* of the file */
  uint32_t count;
} history;

/* A manifest with EDITS edits, and every state on the way. */
static manifest *write_history(history *h, uint64_t number) {
  manifest *m;
  empty_state(&h->states[0]);
  TEST_OK(manifest_create(&e, &root, number, &h->states[0], &m));
  h->ends[0] = manifest_size(m);
  for (uint32_t i = 1; i <= EDITS; i++) {
    edit change = nth_edit(i);
    TEST_OK(manifest_append(m, &change));
    h->states[i] = h->states[i - 1];
    pin_ref(&h->states[i].current->pin);
    apply(&h->states[i], &change);
    h->ends[i] = manifest_size(m);
    edit_free(&change);
  }
  h->count = EDITS + 1;
  return m;
}

static void free_history(history *h) {
  for (uint32_t i = 0; i < h->count; i++) free_state(&h->states[i]);
}

/* Loads and says which state of the history it is; -1 = failure *rc. */
static int load(const history *h, int *rc, uint64_t *end, bool *torn) {
  manifest_state s;
  *rc = manifest_load(&e, &root, &s, end, torn);
  if (*rc != VARVE_OK) {
    assert_null(s.current);
    return -1;
  }
  int found = -2;
  for (uint32_t i = 0; i < h->count; i++) {
    if (h->ends[i] == *end && same_state(&s, &h->states[i])) found = (int)i;
  }
  free_state(&s);
  assert_true(found >= 0); /* never other data */
  return found;
}

static uint8_t *get_bytes(uint64_t number, size_t *size) {
  vfs_file *file;
  uint64_t bytes;
  TEST_OK(vfs_open(e.fs, FILE_MANIFEST, number, 0, &file));
  TEST_OK(vfs_size(file, &bytes));
  uint8_t *data = malloc((size_t)bytes + 1);
  TEST_OK(vfs_read_exact(file, 0, data, (size_t)bytes));
  TEST_OK(vfs_close(file));
  *size = (size_t)bytes;
  return data;
}

static void put_bytes(uint64_t number, const uint8_t *bytes, size_t size) {
  vfs_file *file;
  int rc = vfs_open(e.fs, FILE_MANIFEST, number, VFS_WRITE, &file);
  if (rc == VARVE_MISSING) rc = vfs_open(e.fs, FILE_MANIFEST, number, VFS_CREATE, &file);
  TEST_OK(rc);
  TEST_OK(vfs_truncate(file, 0));
  if (size > 0) TEST_OK(vfs_write_at(file, 0, bytes, size));
  TEST_OK(vfs_close(file));
}

/* ---- tests ---- */

static void test_round_trip(void **state) {
  (void)state;
  static history h;
  int rc;
  uint64_t end;
  bool torn;
  manifest *m = write_history(&h, 1);
  assert_int_equal(manifest_number(m), 1);
  assert_int_equal(load(&h, &rc, &end, &torn), EDITS); /* beside the writer: as after its death */
  TEST_OK(manifest_close(m));
  assert_int_equal(load(&h, &rc, &end, &torn), EDITS);
  assert_false(torn);

  uint64_t syncs = fs->calls[FAULT_SYNC];
  TEST_OK(manifest_open(&e, 1, end, torn, &m));
  assert_true(fs->calls[FAULT_SYNC] > syncs);
  edit nothing;
  edit_init(&nothing, &memory.base);
  TEST_OK(manifest_append(m, &nothing));
  assert_int_equal(manifest_size(m), end);
  TEST_OK(manifest_close(m));

  /* a new manifest holds the whole state in its first record */
  manifest_state s, again;
  TEST_OK(manifest_load(&e, &root, &s, &end, &torn));
  s.next_number = 41;
  TEST_OK(manifest_create(&e, &root, 40, &s, &m));
  TEST_OK(manifest_close(m));
  root.manifest = 40;
  TEST_OK(manifest_load(&e, &root, &again, &end, &torn));
  assert_true(same_state(&s, &again));
  TEST_RC(manifest_create(&e, &root, 40, &s, &m), VARVE_EXISTS);
  size_t size;
  free(get_bytes(40, &size)); /* and was not removed by that */
  free_state(&s);
  free_state(&again);
  root.manifest = 41;
  TEST_RC(manifest_load(&e, &root, &s, &end, &torn), VARVE_CORRUPT);
  assert_non_null(strstr(status_message(), "41.man is missing, although SUPER names it"));
  free_history(&h);
}

/* One wrong bit or byte: an error, unless it is in the last record: that may be a torn append, and is cut. */
static void test_every_bit_and_byte(void **state) {
  (void)state;
  static history h;
  int rc;
  uint64_t end;
  bool torn;
  rng r = test_rng("manifest_bits");
  size_t size;
  TEST_OK(manifest_close(write_history(&h, 1)));
  uint8_t *bytes = get_bytes(1, &size);
  for (size_t at = 0; at < size; at++) {
    for (unsigned k = 0; k < 10; k++) {
      uint8_t kept = bytes[at];
      bytes[at] ^= k < 8 ? (uint8_t)(1u << k) : k == 8 ? 0xff : (uint8_t)(1 + rng_below(&r, 255));
      put_bytes(1, bytes, size);
      int found = load(&h, &rc, &end, &torn);
      if (at < h.ends[EDITS - 1]) {
        TEST_RC(rc, VARVE_CORRUPT);
        assert_int_equal(strncmp(status_message(), "1.man is damaged at offset ", 27), 0);
      } else {
        assert_int_equal(found, EDITS - 1);
        assert_true(torn);
      }
      bytes[at] = kept;
    }
  }
  free(bytes);
  free_history(&h);
}

static void test_every_length(void **state) {
  (void)state;
  static history h;
  int rc;
  uint64_t end;
  bool torn;
  rng r = test_rng("manifest_lengths");
  size_t size;
  TEST_OK(manifest_close(write_history(&h, 1)));
  uint8_t *bytes = get_bytes(1, &size), *copy = malloc(size);
  for (size_t cut = 0; cut <= size; cut++) {
    uint32_t whole = 0;
    while (whole < EDITS && h.ends[whole + 1] <= cut) whole++;
    for (int tail = 0; tail < 3; tail++) { /* nothing, zeros, garbage behind the cut */
      size_t length = tail == 0 ? cut : MIN(size, cut + 100);
      memcpy(copy, bytes, cut);
      memset(copy + cut, 0, length - cut);
      if (tail == 2) test_fill(&r, copy + cut, length - cut);
      put_bytes(1, copy, length);
      int found = load(&h, &rc, &end, &torn);
      if (cut < h.ends[0]) {
        if (found != 0) TEST_RC(rc, VARVE_CORRUPT); /* zeros may be what was cut */
        continue;
      }
      if (tail == 0) assert_int_equal(found, whole);
      assert_in_range(found, whole, EDITS);
      if (found == (int)whole) assert_int_equal(torn, length > h.ends[whole]);
      if (tail == 0 && cut % 7 != 0) continue;
      manifest *m; /* the tail goes when the manifest is opened, and the next edit takes its place */
      TEST_OK(manifest_open(&e, 1, end, torn, &m));
      edit change;
      edit_init(&change, &memory.base);
      change.has_last_seq = true;
      change.last_seq = 100000;
      TEST_OK(manifest_append(m, &change));
      TEST_OK(manifest_close(m));
      manifest_state s;
      TEST_OK(manifest_load(&e, &root, &s, &end, &torn));
      assert_int_equal(s.last_seq, 100000);
      assert_false(torn);
      free_state(&s);
    }
  }
  free(copy);
  free(bytes);
  free_history(&h);
}

/* Writes a manifest of these edits, without any checks of what they mean, and expects this to be said about it. */
static void expect_refused(edit *edits, uint32_t count, const char *reason) {
  uint8_t file[4096] = "VARVEMAN";
  size_t size = 64;
  buf b;
  buf_init(&b, &memory.base);
  put_u32(file + 8, FORMAT_VERSION);
  put_u64(file + 16, 1);
  memcpy(file + 24, root.id, 16);
  put_u64(file + 56, xxh64(file, 56, 0));
  for (uint32_t i = 0; i < count; i++) {
    buf_clear(&b);
    TEST_OK(edit_encode(&edits[i], &b));
    memcpy(file + size + 8, b.data, b.size);
    put_u32(file + size, (uint32_t)b.size);
    put_u32(file + size + 4, (uint32_t)xxh64(file + size + 8, b.size, 1 ^ size ^ b.size));
    size += 8 + b.size;
    edit_free(&edits[i]);
  }
  buf_free(&b);
  put_bytes(1, file, size);
  manifest_state s;
  uint64_t end;
  bool torn;
  int rc = manifest_load(&e, &root, &s, &end, &torn);
  if (reason == NULL) {
    TEST_RC(rc, VARVE_OK);
    free_state(&s);
    return;
  }
  TEST_RC(rc, VARVE_CORRUPT);
  if (strstr(status_message(), reason) == NULL) fail_msg("%s, not: %s", status_message(), reason);
}

static edit numbers(uint64_t log_min, uint64_t next_number, uint64_t last_seq) {
  edit change;
  edit_init(&change, &memory.base);
  change.has_log_min = change.has_next_number = change.has_last_seq = true;
  change.log_min = log_min;
  change.next_number = next_number;
  change.last_seq = last_seq;
  return change;
}

static void test_senseless_states(void **state) {
  (void)state;
  edit two[2] = {numbers(5, 9, 100), numbers(5, 9, 100)};
  expect_refused(two, 2, NULL);
  two[0] = numbers(5, 9, 100);
  two[1] = numbers(4, 9, 100);
  expect_refused(two, 2, "a number goes back");
  two[0] = numbers(5, 9, 100);
  two[1] = numbers(5, 8, 100);
  expect_refused(two, 2, "a number goes back");
  two[0] = numbers(5, 9, 100);
  two[1] = numbers(5, 9, 99);
  expect_refused(two, 2, "a number goes back");
  two[0] = numbers(0, 1, 0);
  expect_refused(two, 1, "its own number");
  two[0] = numbers(0, 9, 100);
  add_table(&two[0], 1, 9, 5);
  expect_refused(two, 1, "a table's number is above the next number");
  two[0] = numbers(0, 9, 100);
  add_table(&two[0], 1, 8, 101);
  expect_refused(two, 1, "a table's sequences are above the last sequence");
  two[0] = numbers(0, 9, 100);
  two[0].has_last_seq = false;
  expect_refused(two, 1, "the first record does not hold the whole state");
  two[0] = numbers(0, 9, 100);
  two[1] = numbers(0, 9, 100);
  TEST_OK(edit_remove(&two[1], 3, 7));
  expect_refused(two, 2, "are removed are not there");
  assert_non_null(strstr(status_message(), "1.man is damaged at offset 78: "));
  two[0] = numbers(0, 9, 100);
  add_table(&two[0], 1, 8, 1);
  two[1] = numbers(0, 9, 100);
  add_table(&two[1], 2, 8, 1);
  expect_refused(two, 2, "added although it is there: table 8 of level 1");
  expect_refused(two, 0, "the first record is missing");
}

static void test_wrong_file(void **state) {
  (void)state;
  static history h;
  int rc;
  uint64_t end;
  bool torn;
  size_t size;
  TEST_OK(manifest_close(write_history(&h, 1)));
  uint8_t *bytes = get_bytes(1, &size);
  put_bytes(2, bytes, size);
  root.manifest = 2;
  load(&h, &rc, &end, &torn);
  TEST_RC(rc, VARVE_CORRUPT);
  assert_non_null(strstr(status_message(), "another file's content"));
  root.manifest = 1;
  root.id[3] ^= 1;
  load(&h, &rc, &end, &torn);
  TEST_RC(rc, VARVE_CORRUPT);
  assert_non_null(strstr(status_message(), "another database"));
  root.id[3] ^= 1;
  put_u32(bytes + 8, FORMAT_VERSION + 1);
  put_u64(bytes + 56, xxh64(bytes, 56, 0));
  put_bytes(1, bytes, size);
  load(&h, &rc, &end, &torn);
  TEST_RC(rc, VARVE_NEWER_FORMAT);
  free(bytes);
  free_history(&h);
}

/* Every position looks like a record of many bytes: without a bound this takes the square of the file's size. */
static void test_costly_file(void **state) {
  (void)state;
  enum { SIZE = 2 << 20 };
  static history h;
  int rc;
  uint64_t end;
  bool torn;
  size_t size;
  TEST_OK(manifest_close(write_history(&h, 1)));
  uint8_t *bytes = get_bytes(1, &size), *large = malloc(SIZE);
  memcpy(large, bytes, size);
  memset(large + size, 0, SIZE - size);
  for (size_t at = size; at + 4 <= SIZE / 2; at += 4) put_u32(large + at, 0x00080000);
  put_bytes(1, large, SIZE);
  clock_t begin = clock();
  load(&h, &rc, &end, &torn);
  TEST_RC(rc, VARVE_CORRUPT);
  double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
  print_message("refused after %.2f s\n", seconds);
  assert_true(seconds < 20);
  assert_non_null(strstr(status_message(), "many times over"));
  free(bytes);
  free(large);
  free_history(&h);
}

static void test_fuzzed(void **state) {
  (void)state;
  static history h;
  int rc;
  uint64_t end;
  bool torn;
  size_t size;
  rng r = test_rng("manifest_fuzz");
  TEST_OK(manifest_close(write_history(&h, 1)));
  uint8_t *bytes = get_bytes(1, &size), *copy = malloc(size);
  for (uint32_t i = 0; i < test_scale(10000); i++) {
    memcpy(copy, bytes, size);
    for (uint32_t n = 1 + rng_below(&r, 4); n > 0; n--) {
      size_t at = rng_below(&r, (uint32_t)size), most = MIN(size - at, 40u), len = 1 + rng_below(&r, (uint32_t)most);
      if (rng_percent(&r, 50)) {
        test_fill(&r, copy + at, len);
      } else {
        memmove(copy + at, bytes + rng_below(&r, (uint32_t)(size - len + 1)), len);
      }
    }
    put_bytes(1, copy, rng_percent(&r, 80) ? size : rng_below(&r, (uint32_t)size));
    load(&h, &rc, &end, &torn);
    assert_true(rc == VARVE_OK || rc == VARVE_CORRUPT || rc == VARVE_NEWER_FORMAT);
  }
  free(copy);
  free(bytes);
  free_history(&h);
}

/* Create, append twice, reopen, append: every call and every allocation fails once. What was acknowledged is there,
 * and a failed append ends the manifest. Returns the failure, and how many edits were acknowledged. */
static int script(const history *h, const edit *edits, uint32_t *acked, bool *begun) {
  manifest *m = NULL;
  manifest_state s;
  uint64_t end;
  bool torn;
  int rc = manifest_create(&e, &root, 1, &h->states[0], &m);
  *acked = 0;
  *begun = rc >= 0;
  TRY(rc);
  for (uint32_t i = 1; i < 4 && rc >= 0; i++) {
    rc = manifest_append(m, &edits[i]);
    if (rc >= 0) *acked = i;
    if (rc < 0 && rc != VARVE_NOMEM) TEST_RC(manifest_append(m, &edits[i]), VARVE_FAILED);
    if (i != 2 || rc < 0) continue;
    rc = manifest_close(m);
    m = NULL;
    if (rc >= 0) rc = manifest_load(&e, &root, &s, &end, &torn);
    if (rc >= 0) {
      free_state(&s);
      rc = manifest_open(&e, 1, end, torn, &m);
    }
  }
  ALSO(manifest_close(m));
  return rc;
}

static void test_failures(void **state) {
  (void)state;
  static history h;
  TEST_OK(manifest_close(write_history(&h, 1)));
  edit edits[4];
  for (uint32_t i = 0; i < 4; i++) edits[i] = nth_edit(i);
  for (int mode = 0; mode < 4; mode++) {
    static const size_t parts[] = {0, 5, SIZE_MAX};
    for (uint64_t nth = 1;; nth++) {
      uint32_t acked;
      bool begun, torn;
      uint64_t end;
      int rc;
      (void)vfs_remove(e.fs, FILE_MANIFEST, 1);
      if (mode < 3) {
        fault_vfs_arm(fs, (fault_rule){FAULT_ALL, FAULT_ANY_KIND, nth, false, VARVE_FULL, parts[mode]});
      } else {
        test_allocator_fail(&memory, nth, false);
      }
      int failure = script(&h, edits, &acked, &begun);
      bool over = mode < 3 ? fs->failed == 0 : memory.failures == 0;
      fault_vfs_disarm(fs);
      test_allocator_fail(&memory, 0, false);
      memory.failures = 0;
      if (over) {
        TEST_OK(failure);
        break;
      }
      assert_true(nth < 500);
      if (failure < 0) TEST_RC(failure, mode < 3 ? VARVE_FULL : VARVE_NOMEM);
      if (!begun) continue;
      int found = load(&h, &rc, &end, &torn);
      TEST_OK(rc);
      assert_in_range(found, acked, acked + 1);
    }
  }
  for (uint32_t i = 0; i < 4; i++) edit_free(&edits[i]);
  free_history(&h);
}

static void test_wants_rewrite(void **state) {
  (void)state;
  manifest_state s, reopened;
  manifest *m;
  uint64_t end;
  bool torn;
  empty_state(&s);
  TEST_OK(manifest_create(&e, &root, 1, &s, &m));
  free_state(&s);
  uint64_t base = manifest_size(m);
  for (uint32_t i = 1; !manifest_wants_rewrite(m); i++) {
    assert_true(manifest_size(m) <= MAX(MANIFEST_REWRITE_BYTES_MIN, 4 * base) + 100);
    edit change = nth_edit(i);
    TEST_OK(manifest_append(m, &change));
    edit_free(&change);
  }
  assert_true(manifest_size(m) > MANIFEST_REWRITE_BYTES_MIN);
  TEST_OK(manifest_close(m));
  clock_t begin = clock();
  TEST_OK(manifest_load(&e, &root, &reopened, &end, &torn));
  print_message("%llu bytes loaded in %.2f ms\n", (unsigned long long)end,
                1000.0 * (double)(clock() - begin) / CLOCKS_PER_SEC);
  TEST_OK(manifest_open(&e, 1, end, torn, &m));
  assert_true(manifest_wants_rewrite(m));
  TEST_OK(manifest_close(m));
  reopened.next_number = 1000000; /* the state alone is large now: no rewrite before four times as much */
  TEST_OK(manifest_create(&e, &root, 2, &reopened, &m));
  assert_false(manifest_wants_rewrite(m));
  TEST_OK(manifest_close(m));
  free_state(&reopened);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
      cmocka_unit_test_setup_teardown(test_every_bit_and_byte, setup, teardown),
      cmocka_unit_test_setup_teardown(test_every_length, setup, teardown),
      cmocka_unit_test_setup_teardown(test_senseless_states, setup, teardown),
      cmocka_unit_test_setup_teardown(test_wrong_file, setup, teardown),
      cmocka_unit_test_setup_teardown(test_costly_file, setup, teardown),
      cmocka_unit_test_setup_teardown(test_fuzzed, setup, teardown),
      cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
      cmocka_unit_test_setup_teardown(test_wants_rewrite, setup, teardown),
  };
  return cmocka_run_group_tests_name("manifest", tests, NULL, NULL);
}
