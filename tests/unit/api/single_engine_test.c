/* single_engine_test.c: the engine over a database in one file: it comes back as it was after a close, after the death
 * of the process at any write and after a power cut at any write with any part of what was not synced.
 */
#include "support/one_disk.h"
#include "unit/api/engine_bed.h"

static int bed_open_disk(one_disk *d, const varve_options *options, varve_db **db) {
  env *e;
  *db = NULL;
  TEST_OK(env_open(api_allocator(), ":memory:", VFS_PLACE_CREATE, &e));
  TEST_OK(vfs_close_fs(e->fs));
  TEST_OK(one_disk_single(d, api_allocator(), options->read_only ? VFS_PLACE_READ_ONLY : VFS_PLACE_CREATE, &e->fs));
  int rc = vfs_lock(e->fs, 0);
  if (rc < 0) {
    char message[STATUS_MESSAGE_SIZE];
    status_keep_message(message);
    TEST_OK(env_close(e));
    status_set_message(message);
    return rc;
  }
  return api_open(e, options, db);
}

static void comes_back_after_a_close(void **state) {
  (void)state;
  one_disk d;
  one_disk_init(&d);
  varve_options o = {.no_thread = true, .memtable_bytes = 64 * KiB, .table_bytes = 64 * KiB};
  varve_db *db;
  uint32_t count = MAX(test_scale(6000), 3000u), turns = 10; /* fewer would not flush often enough */
  size_t early = 0;
  for (uint32_t turn = 1; turn <= turns; turn++) {
    TEST_OK(bed_open_disk(&d, &o, &db));
    for (uint32_t i = 0; i < count; i++) {
      if (turn > 1) bed_check(db, i, turn - 1, 100);
      TEST_OK(bed_put(db, i, turn, 100));
    }
    varve_verify_report report;
    TEST_OK(varve_verify(db, &report, NULL, NULL));
    assert_true(bed_stats(db).flushes > 3);
    TEST_OK(varve_close(db));
    if (turn == 4) early = d.size;
  }
  o.read_only = true;
  uint8_t *before = malloc(d.size);
  memcpy(before, d.bytes, d.size);
  uint64_t writes = d.writes, syncs = d.syncs;
  TEST_OK(bed_open_disk(&d, &o, &db));
  for (uint32_t i = 0; i < count; i++) bed_check(db, i, turns, 100);
  TEST_OK(varve_close(db));
  assert_memory_equal(before, d.bytes, d.size);
  assert_int_equal(d.writes - writes + d.syncs - syncs, 0);
  assert_true(d.size < 2 * early); /* what was replaced is gone */
  free(before);
  one_disk_free(&d);
}

typedef struct acknowledged {
  size_t changes; /* made when the call returned */
  uint32_t key, turn;
  bool strict;
} acknowledged;

enum { CRASH_KEYS = 200, CRASH_PUTS = 1500 };

/* What must be there at least, and what may be at most, after `at` changes. */
static void check_survivors(varve_db *db, const acknowledged *acks, uint32_t count, size_t at, bool power) {
  uint32_t least[CRASH_KEYS] = {0}, most[CRASH_KEYS] = {0};
  uint32_t last_strict = 0;
  for (uint32_t i = 0; i < count; i++) {
    if (acks[i].changes <= at && (acks[i].strict || !power)) last_strict = i + 1;
  }
  for (uint32_t i = 0; i < count; i++) {
    if (i < last_strict) least[acks[i].key] = acks[i].turn;
    if (i == 0 || acks[i - 1].changes <= at) most[acks[i].key] = acks[i].turn;
  }
  for (uint32_t k = 0; k < CRASH_KEYS; k++) {
    char text[32];
    varve_value v;
    int rc = varve_get(db, bed_key(text, k), NULL, &v);
    TEST_OK(rc);
    if (rc == VARVE_NOTFOUND) {
      assert_int_equal(least[k], 0);
      continue;
    }
    uint8_t bytes[BED_VALUE_MAX];
    uint32_t turn = get_u32(v.data);
    bool fits = turn >= least[k] && turn <= most[k] && v.size == 150;
    bed_value(bytes, 146, k, turn);
    if (!fits || memcmp((const uint8_t *)v.data + 4, bytes, 146) != 0) {
      fail_msg("key %u has turn %u, of %u to %u, %zu changes", k, turn, least[k], most[k], at);
    }
    varve_value_release(&v);
  }
}

static void crash_script(one_disk *d, rng *r, acknowledged *acks, uint32_t *count) {
  varve_options o = {.no_thread = true, .memtable_bytes = 64 * KiB, .table_bytes = 64 * KiB, .sync_interval_ms = 1};
  varve_db *db = NULL;
  *count = 0;
  for (uint32_t i = 0; i < CRASH_PUTS; i++) {
    if (i % 500 == 0) {
      TEST_OK(varve_close(db));
      TEST_OK(bed_open_disk(d, &o, &db));
    }
    acknowledged a = {0, rng_below(r, CRASH_KEYS), i + 1, rng_percent(r, 10)};
    uint8_t bytes[150];
    char text[32];
    put_u32(bytes, a.turn);
    bed_value(bytes + 4, 146, a.key, a.turn);
    varve_write_options w = {.durability = a.strict ? VARVE_STRICT : VARVE_RELAXED};
    varve_slice value = {bytes, sizeof bytes};
    TEST_OK(varve_put(db, bed_key(text, a.key), value, &w));
    bool more = true;
    if (rng_percent(r, 20)) TEST_OK(varve_work(db, 4096, &more));
    a.changes = d->count;
    acks[(*count)++] = a;
  }
  TEST_OK(varve_close(db));
}

static void examine_image(one_disk *image, const acknowledged *acks, uint32_t count, size_t at, bool power) {
  varve_options o = {.no_thread = true, .memtable_bytes = 64 * KiB, .table_bytes = 64 * KiB};
  varve_db *db;
  int rc = bed_open_disk(image, &o, &db);
  if (rc < 0) fail_msg("after %zu changes (%s): %s", at, power ? "power" : "death", varve_errmsg(NULL));
  check_survivors(db, acks, count, at, power);
  TEST_OK(varve_verify(db, NULL, NULL, NULL));
  TEST_OK(bed_put(db, 1, 1, 100));
  TEST_OK(varve_close(db));
}

static void survives_crashes(void **state) {
  (void)state;
  static acknowledged acks[CRASH_PUTS];
  uint32_t count;
  one_disk d;
  rng r = test_rng("survives_crashes");
  one_disk_init(&d);
  d.record = true;
  crash_script(&d, &r, acks, &count);
  assert_true(d.count > 1000);
  uint32_t rounds = test_scale(600);
  for (uint32_t i = 0; i < rounds; i++) {
    size_t at = i < 60 ? i : rng_below(&r, (uint32_t)d.count + 1);
    one_cut how = (one_cut)(i % 4 == 0 ? ONE_CUT_ALL : i % 8 == 1 ? ONE_CUT_NONE : ONE_CUT_SOME);
    one_disk image, again;
    one_disk_cut(&d, at, how, &r, &image);
    one_disk_copy(&image, &again);
    /* a second cut while it recovers */
    again.record = true;
    varve_options o = {.no_thread = true};
    varve_db *db;
    int rc = bed_open_disk(&again, &o, &db);
    if (rc < 0) fail_msg("after %zu changes: %s", at, varve_errmsg(NULL));
    TEST_OK(varve_close(db));
    if (again.count > 0) {
      one_disk third;
      /* what was there is on stable storage only after the first sync: it is the image all the same */
      one_change *first = again.changes;
      size_t upto = rng_below(&r, (uint32_t)again.count + 1);
      one_disk_copy(&image, &third);
      for (size_t k = 0; k < upto; k++) {
        if (first[k].kind == ONE_TRUNCATE && rng_percent(&r, 50)) third.size = MIN(third.size, (size_t)first[k].offset);
        if (first[k].kind != ONE_WRITE) continue;
        bool later_sync = false;
        for (size_t m = k; m < upto; m++) later_sync = later_sync || first[m].kind == ONE_SYNC;
        if (!later_sync && how != ONE_CUT_ALL && rng_percent(&r, 50)) continue;
        if (first[k].offset + first[k].size > third.size) {
          third.bytes = realloc(third.bytes, (size_t)first[k].offset + first[k].size);
          memset(third.bytes + third.size, 0, (size_t)first[k].offset + first[k].size - third.size);
          third.size = third.room = (size_t)first[k].offset + first[k].size;
        }
        memcpy(third.bytes + first[k].offset, first[k].data, first[k].size);
      }
      examine_image(&third, acks, count, at, how != ONE_CUT_ALL);
      one_disk_free(&third);
    }
    examine_image(&image, acks, count, at, how != ONE_CUT_ALL);
    one_disk_free(&image);
    one_disk_free(&again);
  }
  one_disk_free(&d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(comes_back_after_a_close),
      cmocka_unit_test(survives_crashes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
