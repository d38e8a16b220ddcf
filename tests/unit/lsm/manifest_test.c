/* manifest_test.c: the list of edits: what was appended is the state that comes back; senseless states are refused,
 * failures end the manifest. Damage is in manifest_damage_test.c.
 */
#include "manifest_bed.h"

static void test_round_trip(void **state) {
  (void)state;
  static history h;
  int rc;
  uint64_t end;
  bool torn;
  manifest *m = write_history(&h, 1);
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
      cmocka_unit_test_setup_teardown(test_senseless_states, setup, teardown),
      cmocka_unit_test_setup_teardown(test_wrong_file, setup, teardown),
      cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
      cmocka_unit_test_setup_teardown(test_wants_rewrite, setup, teardown),
  };
  return cmocka_run_group_tests_name("manifest", tests, NULL, NULL);
}
