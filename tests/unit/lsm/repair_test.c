/* repair_test.c: databases damaged in one place at a time, and what a repair makes of them. */
#include "repair_history.h"

#include "support/fault_vfs.h"

static void a_whole_database_loses_nothing(void **state) {
  (void)state;
  for (int clean = 0; clean < 2; clean++) {
    repair_damages none = {.count = 0};
    history_make(1, clean == 1);
    image_copy(&image, &hurt);
    varve_repair_report report = repair_and_check(&none);
    assert_int_equal(report.losses, 0);
    assert_int_equal(report.mended, 0);
    assert_false(report.list_lost);
    assert_true(report.tables > 1 && report.logs >= 1 && report.entries > 300);
    bed_image_free(&hurt);
    bed_image_free(&image);
  }
}

static void a_damaged_block_is_named_with_its_neighbours(void **state) {
  (void)state;
  repair_damages d = {.count = 0};
  history_make(2, true);
  image_copy(&image, &hurt);
  uint32_t i = image_index(&hurt, FILE_SST);
  hurt.files[i].bytes[hurt.files[i].size / 4] ^= 1;
  damage_add(&d, i, hurt.files[i].size / 4, hurt.files[i].size / 4 + 1);
  varve_repair_report report = repair_and_check(&d);
  assert_int_equal(report.losses, 1);
  assert_int_equal(report.blocks_lost, 1);
  assert_int_equal(report.tables_damaged, 1);
  assert_int_equal(report.tables_lost, 0);
  assert_string_equal(seen.loss[0].file, file_name(FILE_SST, hurt.files[i].number));
  assert_string_equal(seen.loss[0].reason, "checksum mismatch");
  assert_true(seen.loss[0].offset <= hurt.files[i].size / 4);
  assert_true(seen.loss[0].offset + seen.loss[0].size > hurt.files[i].size / 4);
  assert_int_equal(report.bytes_lost, seen.loss[0].size);
  assert_true(strncmp(seen.loss[0].after, "key", 3) == 0 && strncmp(seen.loss[0].before, "key", 3) == 0);
  assert_true(strcmp(seen.loss[0].after, seen.loss[0].before) < 0);
  bed_image_free(&hurt);
  bed_image_free(&image);
}

/* The last block and the footer: the index is found behind the hole, and the hole is told all the same. */
static void a_lost_last_block_is_told_without_a_footer(void **state) {
  (void)state;
  repair_damages d = {.count = 0};
  history_make(11, true);
  image_copy(&image, &hurt);
  uint32_t i = image_index(&hurt, FILE_SST);
  bed_file *f = &hurt.files[i];
  sst_footer footer;
  TEST_OK(sst_footer_get(f->bytes + f->size - SST_FOOTER_BYTES, f->number, f->size, &footer));
  uint64_t at = footer.part[SST_RANGES].offset - 20; /* where the blocks end */
  f->bytes[at] ^= 1;
  f->bytes[f->size - 100] ^= 4;
  damage_add(&d, i, at, at + 1);
  varve_repair_report report = repair_and_check(&d);
  assert_int_equal(report.losses, 1);
  assert_int_equal(report.blocks_lost, 1);
  assert_true(seen.loss[0].offset <= at && seen.loss[0].offset + seen.loss[0].size > at);
  bed_image_free(&hurt);
  bed_image_free(&image);
}

/* The ends of all tables are damaged: blocks are found without them. */
static void tables_without_index_or_footer_lose_nothing(void **state) {
  (void)state;
  for (int how = 0; how < 3; how++) {
    repair_damages none = {.count = 0};
    history_make(3 + (uint64_t)how, true);
    image_copy(&image, &hurt);
    for (uint32_t i = 0; i < hurt.count; i++) {
      bed_file *f = &hurt.files[i];
      if (f->kind != FILE_SST) continue;
      sst_footer footer;
      TEST_OK(sst_footer_get(f->bytes + f->size - SST_FOOTER_BYTES, f->number, f->size, &footer));
      if (how == 0) f->bytes[f->size - 100] ^= 4; /* the footer */
      if (how == 1) f->bytes[footer.part[SST_INDEX].offset + 1] ^= 4;
      if (how == 2) f->size = (size_t)footer.part[SST_RANGES].offset; /* everything behind the blocks */
    }
    varve_repair_report report = repair_and_check(&none);
    assert_int_equal(report.losses, 0);
    assert_int_equal(report.mended, report.tables);
    bed_image_free(&hurt);
    bed_image_free(&image);
  }
}

static void without_super_the_manifest_is_found(void **state) {
  (void)state;
  repair_damages none = {.count = 0};
  history_make(7, true);
  image_copy(&image, &hurt);
  image_remove(&hurt, image_index(&hurt, FILE_SUPER));
  varve_repair_report report = repair_and_check(&none);
  assert_int_equal(report.losses, 0);
  assert_int_equal(report.mended, 1);
  assert_false(report.list_lost);
  assert_string_equal(seen.loss[0].file, "SUPER");
  bed_image_free(&hurt);
  bed_image_free(&image);
}

static void without_a_manifest_all_files_are_used(void **state) {
  (void)state;
  repair_damages none = {.count = 0};
  history_make(8, true);
  image_copy(&image, &hurt);
  image_remove(&hurt, image_index(&hurt, FILE_MANIFEST));
  varve_repair_report report = repair_and_check(&none);
  assert_int_equal(report.losses, 1);
  assert_true(report.list_lost);
  assert_non_null(strstr(seen.loss[0].reason, "all tables and logs were used"));
  bed_image_free(&hurt);
  image_copy(&image, &hurt);
  uint32_t m = image_index(&hurt, FILE_MANIFEST);
  hurt.files[m].bytes[64 + 9] ^= 1; /* its first record */
  report = repair_and_check(&none);
  assert_true(report.list_lost);
  bed_image_free(&hurt);
  bed_image_free(&image);
}

static void a_table_that_the_manifest_forgot_is_used(void **state) {
  (void)state;
  repair_damages none = {.count = 0};
  history_make(9, true);
  image_copy(&image, &hurt);
  bed_file *m = &hurt.files[image_index(&hurt, FILE_MANIFEST)];
  /* Cut at the end of the first record: what follows is forgotten, as if it had never been. */
  m->size = 64 + 8 + get_u32(m->bytes + 64);
  varve_repair_report report = repair_and_check(&none);
  assert_true(report.list_lost || report.losses > 0);
  bed_image_free(&hurt);
  bed_image_free(&image);
}

static void frames_behind_a_damaged_one_are_saved(void **state) {
  (void)state;
  repair_damages d = {.count = 0};
  history_make(10, true);
  image_copy(&image, &hurt);
  uint32_t i = 0;
  for (uint32_t k = 0; k < hurt.count; k++) {
    if (hurt.files[k].kind == FILE_WAL && hurt.files[k].size > hurt.files[i].size) i = k;
    if (hurt.files[i].kind != FILE_WAL) i = k;
  }
  hurt.files[i].bytes[WAL_HEADER_SIZE + 30] ^= 1; /* the first frame */
  damage_add(&d, i, WAL_HEADER_SIZE + 30, WAL_HEADER_SIZE + 31);
  varve_repair_report report = repair_and_check(&d);
  assert_int_equal(report.losses, 1);
  assert_int_equal(report.commits_lost_at, 1);
  assert_int_equal(seen.loss[0].offset, WAL_HEADER_SIZE);
  assert_non_null(strstr(seen.loss[0].reason, "the commits with the sequences"));
  /* A byte of the header: put right. Two: without it nothing is known. */
  hurt.files[i].bytes[WAL_HEADER_SIZE + 30] ^= 1;
  hurt.files[i].bytes[50] ^= 0x10;
  d.count = 0;
  report = repair_and_check(&d);
  assert_int_equal(report.losses, 0);
  assert_int_equal(report.mended, 1);
  hurt.files[i].bytes[51] ^= 0x10;
  damage_add(&d, i, 50, 52);
  report = repair_and_check(&d);
  assert_int_equal(report.logs_lost, 1);
  bed_image_free(&hurt);
  bed_image_free(&image);
}

/* A keyspace whose name is lost gets one, and new ones get other ids. */
static void a_keyspace_without_a_name_gets_one(void **state) {
  (void)state;
  varve_options o = {.no_thread = true, .block_bytes = 256};
  env *e, *to;
  varve_repair_report report;
  varve_keyspace *space;
  char text[32];
  TEST_OK(env_open(api_allocator(), ":memory:", VFS_PLACE_CREATE, &e));
  TEST_OK(vfs_lock(e->fs, 0));
  varve_db *db;
  TEST_OK(api_open(e, &o, &db));
  TEST_OK(varve_keyspace_open(db, VARVE_STR("people"), &space));
  varve_write_options w = {.keyspace = space};
  for (uint32_t i = 0; i < 200; i++) TEST_OK(varve_put(db, bed_key(text, i), VARVE_STR("someone"), &w));
  TEST_OK(varve_compact(db, NULL, NULL));
  bed_image_take(e->fs, &hurt);
  TEST_OK(varve_close(db));
  bed_file *f = &hurt.files[image_index(&hurt, FILE_SST)];
  f->bytes[40] ^= 1; /* the first block: the catalogue, and some of the entries */
  TEST_OK(repair_bed_run(&hurt, &to, &report, &seen));
  assert_int_equal(report.keyspaces_renamed, 1);
  assert_int_equal(report.losses, 2);
  assert_non_null(strstr(seen.loss[1].reason, "it is \"recovered-2\" now"));
  db = repair_bed_open(to);
  TEST_OK(varve_keyspace_open(db, VARVE_STR("recovered-2"), &space));
  varve_iter_options all = {.keyspace = space};
  uint64_t count, none;
  TEST_OK(varve_count(db, &all, &count));
  assert_true(count > 150 && count < 200);
  assert_int_equal(count, report.entries);
  varve_iter_options fresh = {0};
  TEST_OK(varve_keyspace_open(db, VARVE_STR("new"), &fresh.keyspace));
  TEST_OK(varve_count(db, &fresh, &none));
  assert_int_equal(none, 0);
  TEST_OK(varve_close(db));
  bed_image_free(&hurt);
}

static void lost_deletions_of_ranges_are_told(void **state) {
  (void)state;
  varve_options o = {.no_thread = true};
  env *e, *to;
  varve_db *db;
  varve_snapshot *snapshot;
  varve_repair_report report;
  char text[2][32];
  TEST_OK(env_open(api_allocator(), ":memory:", VFS_PLACE_CREATE, &e));
  TEST_OK(vfs_lock(e->fs, 0));
  TEST_OK(api_open(e, &o, &db));
  for (uint32_t i = 0; i < 100; i++) TEST_OK(bed_put(db, i, 1, 50));
  TEST_OK(varve_flush(db));
  TEST_OK(varve_snapshot_open(db, &snapshot)); /* so that no compaction turns the range into space */
  TEST_OK(varve_delete_range(db, bed_key(text[0], 10), bed_key(text[1], 60), NULL));
  TEST_OK(bed_put(db, 20, 2, 50));
  TEST_OK(varve_flush(db));
  TEST_OK(varve_delete_range(db, bed_key(text[0], 90), bed_key(text[1], 95), NULL)); /* in the log */
  bed_image_take(e->fs, &hurt);
  varve_snapshot_close(snapshot);
  TEST_OK(varve_close(db));
  TEST_OK(repair_bed_run(&hurt, &to, &report, &seen));
  assert_int_equal(report.losses, 0);
  assert_int_equal(report.entries, 46);
  TEST_OK(varve_close(repair_bed_open(to)));
  for (uint32_t i = 0; i < hurt.count; i++) {
    bed_file *f = &hurt.files[i];
    if (f->kind != FILE_SST) continue;
    sst_footer footer;
    TEST_OK(sst_footer_get(f->bytes + f->size - SST_FOOTER_BYTES, f->number, f->size, &footer));
    if (footer.part[SST_RANGES].size > 0) f->bytes[footer.part[SST_RANGES].offset + 2] ^= 1;
  }
  TEST_OK(repair_bed_run(&hurt, &to, &report, &seen));
  assert_int_equal(report.losses, 1);
  assert_int_equal(report.entries, 95);
  assert_non_null(strstr(seen.loss[0].reason, "deletions of whole ranges are lost"));
  db = repair_bed_open(to);
  bed_check(db, 20, 2, 50);
  bed_check(db, 11, 1, 50);
  bed_check(db, 92, 0, 50);
  TEST_OK(varve_close(db));
  bed_image_free(&hurt);
}

/* Where a compaction was cut short the same versions are there twice, in inputs and output. */
static void files_that_a_compaction_left_do_no_harm(void **state) {
  (void)state;
  static bed_image before;
  varve_options o = {.no_thread = true};
  env *e, *to;
  varve_db *db;
  varve_repair_report report;
  TEST_OK(env_open(api_allocator(), ":memory:", VFS_PLACE_CREATE, &e));
  TEST_OK(vfs_lock(e->fs, 0));
  TEST_OK(api_open(e, &o, &db));
  for (uint32_t turn = 1; turn < 5; turn++) {
    for (uint32_t i = 0; i < 50; i++) TEST_OK(bed_put(db, i, turn, 50));
    if (turn == 2)
      TEST_OK(varve_compact(db, NULL, NULL));
    else
      TEST_OK(varve_flush(db));
  }
  bed_image_take(e->fs, &before);
  TEST_OK(varve_compact(db, NULL, NULL));
  bed_image_take(e->fs, &hurt);
  TEST_OK(varve_close(db));
  for (size_t i = 0; i < before.count; i++) { /* the inputs come back, as after a power cut */
    if (before.files[i].kind == FILE_SST) image_add(&hurt, &before.files[i]);
  }
  TEST_OK(repair_bed_run(&hurt, &to, &report, &seen));
  assert_int_equal(report.files_ignored, 3);
  assert_int_equal(report.losses, 0);
  db = repair_bed_open(to);
  for (uint32_t i = 0; i < 50; i++) bed_check(db, i, 4, 50);
  TEST_OK(varve_close(db));
  /* Without the manifest's end the records before it still say what went. */
  bed_file *m = &hurt.files[image_index(&hurt, FILE_MANIFEST)];
  m->bytes[64 + 9] ^= 1;
  TEST_OK(repair_bed_run(&hurt, &to, &report, &seen));
  assert_true(report.list_lost);
  assert_int_equal(report.files_ignored, 3);
  db = repair_bed_open(to);
  for (uint32_t i = 0; i < 50; i++) bed_check(db, i, 4, 50);
  TEST_OK(varve_close(db));
  image_remove(&hurt, image_index(&hurt, FILE_MANIFEST));
  TEST_OK(repair_bed_run(&hurt, &to, &report, &seen)); /* now anything that was written may come */
  assert_int_equal(report.entries, 50);
  TEST_OK(varve_close(repair_bed_open(to)));
  bed_image_free(&before);
  bed_image_free(&hurt);
}

static int stop_at_once(void *context, uint64_t done, uint64_t total) {
  assert_true(done <= total);
  return --*(int *)context <= 0;
}

/* However far it got: what fails leaves no database. */
static void a_repair_that_fails_leaves_no_database(void **state) {
  (void)state;
  history_make(11, true);
  image_copy(&image, &hurt);
  hurt.files[image_index(&hurt, FILE_SST)].bytes[100] ^= 1; /* so that tables are copied */
  int steps = 0;
  for (int n = 1;; n++) {
    env *from, *to;
    varve_repair_report report;
    varve_db *db;
    int left = n;
    varve_repair_options o = {.progress = stop_at_once, .context = &left};
    TEST_OK(env_open(api_allocator(), ":memory:", VFS_PLACE_CREATE, &from));
    TEST_OK(env_open(api_allocator(), ":memory:", VFS_PLACE_CREATE, &to));
    bed_image_put(&hurt, from->fs);
    TEST_OK(vfs_lock(to->fs, 0));
    int rc = lsm_repair(from, to, &o, &report);
    TEST_OK(env_close(from));
    if (rc == VARVE_OK) {
      TEST_OK(api_close_env(to));
      break;
    }
    steps++;
    assert_int_equal(rc, VARVE_ABORTED);
    varve_options must = {.must_exist = true, .no_thread = true};
    EXPECT(api_open(to, &must, &db), VARVE_MISSING, "no database");
  }
  assert_true(steps > 3);
  for (uint64_t n = 1;; n++) { /* the nth call that changes the target fails */
    env *from, *to;
    fault_vfs *fault;
    varve_repair_report report;
    varve_repair_options o = {0};
    varve_db *db;
    TEST_OK(env_open(api_allocator(), ":memory:", VFS_PLACE_CREATE, &from));
    TEST_OK(env_open(api_allocator(), ":memory:", VFS_PLACE_CREATE, &to));
    bed_image_put(&hurt, from->fs);
    TEST_OK(fault_vfs_open(to->fs, &fault));
    to->fs = &fault->base;
    TEST_OK(vfs_lock(to->fs, 0));
    fault_vfs_arm(fault, (fault_rule){.ops = FAULT_BIT(FAULT_WRITE) | FAULT_BIT(FAULT_SYNC) | FAULT_BIT(FAULT_SYNC_DIR),
                                      .kind = FAULT_ANY_KIND,
                                      .nth = n,
                                      .status = VARVE_FULL});
    int rc = lsm_repair(from, to, &o, &report);
    TEST_OK(env_close(from));
    uint64_t failed = fault->failed;
    fault_vfs_disarm(fault);
    if (failed == 0) {
      TEST_OK(rc);
      TEST_OK(api_close_env(to));
      break;
    }
    assert_int_equal(rc, VARVE_FULL);
    varve_options must = {.must_exist = true, .no_thread = true};
    assert_true(api_open(to, &must, &db) < 0);
  }
  bed_image_free(&hurt);
  bed_image_free(&image);
}

static void sectors_that_cannot_be_read_are_lost_alone(void **state) {
  (void)state;
  history_make(12, true);
  env *from, *to;
  fault_vfs *fault;
  varve_repair_report report;
  varve_repair_options o = {.loss = repair_bed_loss, .context = &seen};
  for (uint64_t n = 1; n < 40; n += 3) {
    memset(&seen, 0, sizeof seen);
    TEST_OK(env_open(api_allocator(), ":memory:", VFS_PLACE_CREATE, &from));
    TEST_OK(env_open(api_allocator(), ":memory:", VFS_PLACE_CREATE, &to));
    bed_image_put(&image, from->fs);
    TEST_OK(fault_vfs_open(from->fs, &fault));
    from->fs = &fault->base;
    TEST_OK(vfs_lock(to->fs, 0));
    fault_vfs_arm(fault, (fault_rule){.ops = FAULT_BIT(FAULT_READ), .kind = FILE_SST, .nth = n, .status = VARVE_IO});
    int rc = lsm_repair(from, to, &o, &report);
    if (rc < 0) assert_int_equal(rc, VARVE_IO); /* it came when everything had been read once */
    TEST_OK(env_close(from));
    if (rc < 0)
      TEST_OK(api_close_env(to));
    else
      TEST_OK(varve_close(repair_bed_open(to)));
  }
  bed_image_free(&image);
}

static void places_are_checked(void **state) {
  (void)state;
  char dir[TEST_PATH_MAX], source[BED_PATH_MAX], target[BED_PATH_MAX];
  varve_repair_report report;
  varve_db *db;
  test_dir_create(dir);
  bed_join(source, dir, "db");
  bed_join(target, dir, "new");
  EXPECT(varve_repair(source, target, NULL, NULL), VARVE_MISSING, "no database");
  EXPECT(varve_repair("", target, NULL, NULL), VARVE_INVALID, "empty");
  EXPECT(varve_repair(source, "", NULL, NULL), VARVE_INVALID, "empty");
  TEST_OK(varve_open(source, NULL, &db));
  for (uint32_t i = 0; i < 100; i++) TEST_OK(bed_put(db, i, 1, 100));
  EXPECT(varve_repair(source, target, NULL, NULL), VARVE_LOCKED, "");
  TEST_OK(varve_close(db));
  assert_true(varve_repair(source, source, NULL, NULL) < 0);
  TEST_OK(varve_repair(source, target, NULL, &report));
  assert_int_equal(report.entries, 100);
  assert_int_equal(report.losses, 0);
  EXPECT(varve_repair(source, target, NULL, NULL), VARVE_EXISTS, "not empty");
  TEST_OK(varve_open(target, NULL, &db));
  for (uint32_t i = 0; i < 100; i++) bed_check(db, i, 1, 100);
  TEST_OK(varve_close(db));
  test_dir_remove(dir);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_whole_database_loses_nothing),
      cmocka_unit_test(a_damaged_block_is_named_with_its_neighbours),
      cmocka_unit_test(a_lost_last_block_is_told_without_a_footer),
      cmocka_unit_test(tables_without_index_or_footer_lose_nothing),
      cmocka_unit_test(without_super_the_manifest_is_found),
      cmocka_unit_test(without_a_manifest_all_files_are_used),
      cmocka_unit_test(a_table_that_the_manifest_forgot_is_used),
      cmocka_unit_test(frames_behind_a_damaged_one_are_saved),
      cmocka_unit_test(a_keyspace_without_a_name_gets_one),
      cmocka_unit_test(lost_deletions_of_ranges_are_told),
      cmocka_unit_test(files_that_a_compaction_left_do_no_harm),
      cmocka_unit_test(a_repair_that_fails_leaves_no_database),
      cmocka_unit_test(sectors_that_cannot_be_read_are_lost_alone),
      cmocka_unit_test(places_are_checked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
