/* snapshot_test.c: which versions compaction keeps: exactly those that some snapshot, or the latest state, sees; and
 * range tombstones where tables are cut.
 */
#include "unit/api/engine_bed.h"

static varve_db *snapshot_open(void) {
  varve_db *db;
  varve_options o = {.no_thread = true, .memtable_bytes = 1, .table_bytes = 1, .sync_interval_ms = 1000000};
  TEST_OK(varve_open(":memory:", &o, &db));
  return db;
}

static uint64_t snapshot_entries(varve_db *db, uint64_t *tombstones) {
  varve_stats s = bed_stats(db);
  uint64_t entries = 0;
  *tombstones = 0;
  for (uint32_t level = 0; level < s.levels; level++) {
    entries += s.level[level].entries;
    *tombstones += s.level[level].tombstones;
  }
  return entries;
}

static void snapshot_check(varve_db *db, const varve_snapshot *s, uint32_t i, uint32_t turn) {
  char text[32];
  uint8_t bytes[30];
  varve_read_options o = {s, NULL};
  varve_value v;
  int rc = varve_get(db, bed_key(text, i), &o, &v);
  TEST_RC(rc, turn == 0 ? VARVE_NOTFOUND : VARVE_OK);
  if (turn == 0) return;
  varve_slice wanted = bed_value(bytes, 30, i, turn);
  assert_int_equal(v.size, 30);
  assert_memory_equal(v.data, wanted.data, 30);
  varve_value_release(&v);
}

/* Versions 1 .. 9 of one key with snapshots after some of them: what is left is one version for each snapshot and the
 * newest. */
static void one_version_stays_for_each_snapshot(void **state) {
  (void)state;
  for (uint32_t mask = 0; mask < 256; mask += 5) {
    varve_db *db = snapshot_open();
    varve_snapshot *s[9] = {NULL};
    uint64_t tombstones, wanted = 1;
    for (uint32_t turn = 1; turn <= 9; turn++) {
      TEST_OK(bed_put(db, 1, turn, 30));
      if (turn % 4 == 0) TEST_OK(varve_flush(db));
      if (turn > 8 || (mask >> (turn - 1) & 1) == 0) continue;
      TEST_OK(varve_snapshot_open(db, &s[turn]));
      wanted++;
    }
    TEST_OK(varve_compact(db, NULL, NULL));
    assert_int_equal(snapshot_entries(db, &tombstones), wanted);
    for (uint32_t turn = 1; turn <= 8; turn++) {
      if (s[turn] != NULL) snapshot_check(db, s[turn], 1, turn);
    }
    snapshot_check(db, NULL, 1, 9);
    for (uint32_t turn = 1; turn <= 8; turn++) varve_snapshot_close(s[turn]);
    TEST_OK(varve_compact(db, NULL, NULL));
    assert_int_equal(snapshot_entries(db, &tombstones), 1);
    snapshot_check(db, NULL, 1, 9);
    TEST_OK(varve_close(db));
  }
}

static void a_delete_goes_with_what_it_hides(void **state) {
  (void)state;
  varve_db *db = snapshot_open();
  varve_snapshot *s;
  char text[32];
  uint64_t tombstones;
  for (uint32_t i = 0; i < 20; i++) TEST_OK(bed_put(db, i, 1, 30));
  TEST_OK(varve_snapshot_open(db, &s));
  for (uint32_t i = 0; i < 20; i++) TEST_OK(varve_delete(db, bed_key(text, i), NULL));
  TEST_OK(varve_compact(db, NULL, NULL));
  assert_int_equal(snapshot_entries(db, &tombstones), 40);
  assert_int_equal(tombstones, 20);
  for (uint32_t i = 0; i < 20; i++) {
    snapshot_check(db, s, i, 1);
    snapshot_check(db, NULL, i, 0);
  }
  varve_snapshot_close(s);
  TEST_OK(varve_compact(db, NULL, NULL));
  assert_int_equal(snapshot_entries(db, &tombstones), 0);
  assert_int_equal(bed_stats(db).table_bytes, 0);
  TEST_OK(varve_close(db));
}

/* Two snapshots, with a range delete between them over keys that fill many tables: it is cut where they are. */
static void range_tombstones_are_cut_with_their_tables(void **state) {
  (void)state;
  varve_db *db = snapshot_open();
  varve_snapshot *before, *after;
  char a[32], b[32];
  enum { KEYS = 3000, LOW = 300, HIGH = 2700, TURN = 2 };
  for (uint32_t i = 0; i < KEYS; i++) TEST_OK(bed_put(db, i, 1, 30));
  TEST_OK(varve_snapshot_open(db, &before));
  TEST_OK(varve_delete_range(db, bed_key(a, LOW), bed_key(b, HIGH), NULL));
  TEST_OK(varve_snapshot_open(db, &after));
  for (uint32_t i = 0; i < KEYS; i += 3) TEST_OK(bed_put(db, i, TURN, 30));
  TEST_OK(varve_compact(db, NULL, NULL));
  const version *v = atomic_load(&db->lsm->view)->current;
  const version_level *last = &v->level[LEVELS - 1];
  uint32_t with_range = 0;
  assert_true(last->count > 1);
  for (uint32_t i = 0; i < last->count; i++) {
    with_range += last->tables[i]->range_tombstones > 0;
    if (i == 0) continue;
    int order = slice_compare(last->tables[i - 1]->largest, last->tables[i]->smallest);
    assert_true(order < 0 || (order == 0 && last->tables[i - 1]->largest_exclusive));
  }
  assert_true(with_range > 1);
  TEST_OK(varve_verify(db, NULL, NULL, NULL));
  for (uint32_t i = 0; i < KEYS; i++) {
    bool inside = i >= LOW && i < HIGH;
    snapshot_check(db, before, i, 1);
    snapshot_check(db, after, i, inside ? 0 : 1);
    snapshot_check(db, NULL, i, i % 3 == 0 ? TURN : inside ? 0 : 1);
  }
  varve_snapshot_close(before);
  varve_snapshot_close(after);
  TEST_OK(varve_compact(db, NULL, NULL));
  uint64_t tombstones;
  assert_int_equal(snapshot_entries(db, &tombstones), LOW + (KEYS - HIGH) + (HIGH - LOW) / 3);
  assert_int_equal(tombstones, 0);
  for (uint32_t i = 0; i < KEYS; i++) snapshot_check(db, NULL, i, i % 3 == 0 ? TURN : i >= LOW && i < HIGH ? 0 : 1);
  TEST_OK(varve_close(db));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_version_stays_for_each_snapshot),
      cmocka_unit_test(a_delete_goes_with_what_it_hides),
      cmocka_unit_test(range_tombstones_are_cut_with_their_tables),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
