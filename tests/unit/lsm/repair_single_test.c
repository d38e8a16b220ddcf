/* repair_single_test.c: databases in one file whose directory is lost, and what a repair finds without it. */
#include "repair_single_bed.h"

static void without_a_directory_nothing_is_lost(void **state) {
  (void)state;
  static void (*const damage[])(one_disk *) = {wipe_slots, wipe_copies, wipe_begin, wipe_all_directories};
  uint32_t in_pieces = 0;
  for (uint64_t seed = 0; seed < 6; seed++) {
    one_database x;
    one_make(&x, 77 + seed, seed >= 3);
    in_pieces += x.in_pieces;
    for (size_t how = 0; how < COUNT_OF(damage); how++) {
      one_disk hurt;
      one_disk_copy(&x.disk, &hurt);
      damage[how](&hurt);
      opens_no_more(&hurt);
      one_result y = one_repair(&hurt, NULL);
      TEST_OK(y.rc);
      assert_int_equal(y.report.losses, 0);
      assert_int_equal(y.report.mended, 1);
      assert_string_equal(y.seen.loss[0].file, "the directory");
      assert_false(y.report.list_lost);
      assert_true(one_same(&y.content, &x.content));
      one_disk_free(&hurt);
    }
    one_free(&x);
  }
  assert_true(in_pieces > 3); /* old directories in free pages said where the pieces are */
}

/* All that the directory in force does not name is gone, so that nothing but the bytes of the files is left. */
static void wipe_free_pages(one_database *x, one_disk *hurt) {
  varve_options o = {.no_thread = true, .read_only = true};
  varve_db *db = one_open(&x->disk, &o);
  const single *s = single_of(db->env->fs);
  uint8_t *kept = calloc(hurt->size / SINGLE_PAGE + 1, 1);
  for (size_t i = 0; i < s->count; i++) {
    for (size_t k = 0; k < s->nodes[i]->count; k++) {
      const single_extent *e = &s->nodes[i]->extents[k];
      memset(kept + e->page, 1, (size_t)e->pages);
    }
  }
  for (uint64_t page = 0; page * SINGLE_PAGE < hurt->size; page++) {
    if (!kept[page]) wipe(hurt, page * SINGLE_PAGE, SINGLE_PAGE);
  }
  free(kept);
  TEST_OK(varve_close(db));
}

static void the_bytes_of_files_suffice(void **state) {
  (void)state;
  uint32_t whole = 0;
  for (uint64_t seed = 0; seed < 9; seed++) {
    one_database x;
    one_make(&x, 77 + seed, seed % 2 == 1);
    one_disk hurt;
    one_disk_copy(&x.disk, &hurt);
    wipe_free_pages(&x, &hurt);
    opens_no_more(&hurt);
    one_result y = one_repair(&hurt, &x);
    TEST_OK(y.rc);
    print_message("seed %u: %u files in pieces, %llu losses, %llu of %llu entries missing\n", (unsigned)seed,
                  x.in_pieces, (unsigned long long)y.report.losses, (unsigned long long)y.missing,
                  (unsigned long long)x.content.entries);
    if (x.in_pieces == 0) assert_int_equal(y.report.losses, 0);
    if (y.report.losses == 0) assert_true(one_same(&y.content, &x.content));
    whole += x.in_pieces == 0;
    one_disk_free(&hurt);
    one_free(&x);
  }
  assert_true(whole > 0);
}

/* Where a byte of a file of this kind is in the one file. */
static uint64_t one_place(one_database *x, file_kind kind, uint32_t nth, uint64_t from_end) {
  varve_options o = {.no_thread = true, .read_only = true};
  varve_db *db = one_open(&x->disk, &o);
  const single *s = single_of(db->env->fs);
  uint64_t at = 0;
  for (size_t i = 0; i < s->count && at == 0; i++) {
    const single_node *node = s->nodes[i];
    if (node->kind != kind || nth-- > 0) continue;
    uint64_t offset = from_end == 0 ? 0 : node->size - from_end;
    for (size_t k = 0; k < node->count; k++) {
      const single_extent *e = &node->extents[k];
      if (offset / SINGLE_PAGE >= e->first) at = (e->page - e->first) * SINGLE_PAGE + offset;
    }
  }
  assert_true(at > 0);
  TEST_OK(varve_close(db));
  return at;
}

static void a_table_without_a_footer_is_found(void **state) {
  (void)state;
  one_database x;
  one_make(&x, 78, true); /* none is in pieces */
  assert_int_equal(x.in_pieces, 0);
  for (uint32_t nth = 0; nth < 3; nth++) {
    one_disk hurt;
    one_disk_copy(&x.disk, &hurt);
    hurt.bytes[one_place(&x, FILE_SST, nth, 100)] ^= 8;
    wipe_all_directories(&hurt);
    one_result y = one_repair(&hurt, NULL);
    TEST_OK(y.rc);
    assert_int_equal(y.report.losses, 0);
    assert_int_equal(y.report.mended, 2);
    assert_true(one_same(&y.content, &x.content));
    one_disk_free(&hurt);
  }
  one_free(&x);
}

static void a_damaged_block_costs_itself(void **state) {
  (void)state;
  one_database x;
  one_make(&x, 79, true);
  one_disk hurt;
  one_disk_copy(&x.disk, &hurt);
  hurt.bytes[one_place(&x, FILE_SST, 1, 0) + 100] ^= 8;
  wipe_copies(&hurt);
  one_result y = one_repair(&hurt, &x);
  TEST_OK(y.rc);
  assert_int_equal(y.report.losses, 1);
  assert_int_equal(y.report.blocks_lost, 1);
  assert_false(y.report.list_lost);
  assert_true(y.missing < 40); /* with small blocks perhaps none: its entries may be superseded elsewhere */
  one_disk_free(&hurt);
  one_free(&x);
}

/* Without a list of files nothing that is there is missing; where free pages hold what is no part of the database any
 * more, that may come in between, and the report says so. */
static void without_a_manifest_nothing_is_missing(void **state) {
  (void)state;
  for (uint64_t round = 0; round < 2; round++) {
    one_database x;
    one_make(&x, 78, true);
    assert_int_equal(x.in_pieces, 0);
    one_disk hurt;
    one_disk_copy(&x.disk, &hurt);
    wipe(&hurt, one_place(&x, FILE_MANIFEST, 0, 0), SINGLE_PAGE);
    if (round == 0) wipe_free_pages(&x, &hurt);
    wipe_begin(&hurt);
    one_result y = one_repair(&hurt, &x);
    TEST_OK(y.rc);
    assert_true(y.report.list_lost && y.report.losses >= 1);
    print_message("%llu of %llu entries are missing\n", (unsigned long long)y.missing,
                  (unsigned long long)x.content.entries);
    if (round == 0) assert_int_equal(y.missing, 0);
    assert_true(y.content.entries + y.missing >= x.content.entries);
    assert_true(y.missing < x.content.entries / 4);
    one_disk_free(&hurt);
    one_free(&x);
  }
}

/* Its last records are lost: the tables that they named are newer than all that it names, and are used. */
static void a_manifest_of_an_earlier_moment_is_not_believed(void **state) {
  (void)state;
  one_database x;
  one_make(&x, 81, false);
  for (uint64_t cut = 40; cut < 500; cut += 90) {
    one_disk hurt;
    one_disk_copy(&x.disk, &hurt);
    wipe(&hurt, one_place(&x, FILE_MANIFEST, 0, cut), cut);
    wipe_begin(&hurt);
    one_result y = one_repair(&hurt, &x);
    TEST_OK(y.rc);
    assert_int_equal(y.missing, 0);
    if (!one_same(&y.content, &x.content)) assert_true(y.report.losses > 0);
    one_disk_free(&hurt);
  }
  one_free(&x);
}

static void random_damage_is_told(void **state) {
  (void)state;
  rng r = test_rng("random_damage_is_told");
  uint32_t told = 0, rounds = 0;
  for (uint32_t base = 0; base < 3; base++) {
    one_database x;
    one_make(&x, rng_next(&r), base % 2 == 0);
    for (uint32_t round = 0; round < test_scale(15); round++, rounds++) {
      one_disk hurt;
      one_disk_copy(&x.disk, &hurt);
      (rng_percent(&r, 50) ? wipe_copies : wipe_slots)(&hurt);
      uint32_t k = 1 + rng_below(&r, 6);
      for (uint32_t i = 0; i < k; i++) {
        uint64_t at = rng_below(&r, (uint32_t)hurt.size), n = rng_percent(&r, 50) ? 1 : 1 + rng_below(&r, 9000);
        for (uint64_t b = at; b < MIN(at + n, hurt.size); b++) hurt.bytes[b] ^= (uint8_t)(1 + rng_below(&r, 255));
      }
      if (rng_percent(&r, 20)) hurt.size -= rng_below(&r, 100000);
      one_result y = one_repair(&hurt, &x);
      TEST_OK(y.rc);
      if (y.report.losses == 0 && !one_same(&y.content, &x.content))
        fail_msg("something is missing, and nobody said so");
      told += y.report.losses > 0;
      one_disk_free(&hurt);
    }
    one_free(&x);
  }
  print_message("%u rounds, %u with losses\n", rounds, told);
  assert_true(told > 0 && told < rounds);
}

/* A page that looks like the beginning, or the end, of something large, again and again. */
static void hostile_page(rng *r, uint8_t *page, uint64_t at) {
  uint64_t number = 1 + rng_below(r, rng_percent(r, 50) ? 3 : 100000),
           size = at + SINGLE_PAGE - SINGLE_FIRST_PAGE * SINGLE_PAGE;
  wal_header h = {.log = number, .next_seq = 1, .salt = rng_next(r)};
  for (size_t i = 0; i < SINGLE_PAGE; i += 8) put_u64(page + i, rng_next(r) & 0xfff);
  switch (rng_below(r, 3)) {
    case 0:
      wal_header_put(page, &h);
      break;
    case 1:
      memcpy(page, "VARVEMAN\1\0\0\0\0\0\0\0", 16);
      put_u64(page + 16, number);
      put_u64(page + 56, xxh64(page, 56, 0));
      break;
    default:
      for (unsigned k = 1; k <= 4; k++) { /* footers of tables from the first page on, and from pages in between */
        uint64_t from = k == 1 ? 0 : rng_below(r, (uint32_t)(size / SINGLE_PAGE)) * (uint64_t)SINGLE_PAGE;
        uint64_t bytes = size - from - (k - 1) * 512, index = bytes - SST_FOOTER_BYTES - 64;
        sst_footer f = {{{0, 0}, {0, 0}, {0, index}, {index, 64}}};
        if (bytes > 1024) sst_footer_put(page + SINGLE_PAGE - (k - 1) * 512 - SST_FOOTER_BYTES, &f, number + k, bytes);
      }
      break;
  }
}

/* Directories in every page, each of as many files as fit, each with a second copy. */
static void hostile_directories(one_disk *d, uint64_t from) {
  uint8_t one[SINGLE_PAGE];
  size_t n = 0;
  memcpy(one, "\0\0\0", 3);
  n = 3 + varint_put(one + 3, 900);
  for (uint32_t i = 0; i < 900; i++) { /* number, size, place, pages: the page before, and the one behind, in turn */
    uint8_t file[4] = {1, 1, i % 2 == 0 ? 0 : 3, 1};
    memcpy(one + n, file, sizeof file);
    n += sizeof file;
  }
  for (uint64_t at = from; at + SINGLE_PAGE <= d->size; at += SINGLE_PAGE) memcpy(d->bytes + at, one, n);
}

static double hostile_seconds(size_t size, bool directories) {
  rng r = {3};
  one_disk d;
  one_disk_init(&d);
  d.exists = true;
  d.bytes = calloc(size, 1);
  d.size = d.room = size;
  single_header_put(d.bytes);
  for (uint64_t at = SINGLE_FIRST_PAGE * SINGLE_PAGE; at < size; at += SINGLE_PAGE) hostile_page(&r, d.bytes + at, at);
  if (directories) hostile_directories(&d, size / 4 / SINGLE_PAGE * SINGLE_PAGE);
  double from = one_cpu_seconds();
  one_result y = one_repair(&d, NULL);
  double seconds = one_cpu_seconds() - from;
  TEST_OK(y.rc);
  one_disk_free(&d);
  return seconds;
}

static void hostile_files_take_linear_time(void **state) {
  (void)state;
  const size_t size = test_scale(100) < 100 ? MiB / 4 : 1 * MiB; /* a sanitised build takes ten times as long */
  for (int how = 0; how < 2; how++) {
    double small = hostile_seconds(size, how == 1), large = hostile_seconds(4 * size, how == 1);
    print_message("%zu KiB: %.2f s, four times as much: %.2f s\n", size / KiB, small, large);
    assert_true(large < 8 * small + 0.5);
  }
}

static void what_is_no_database_stays_none(void **state) {
  (void)state;
  rng r = test_rng("what_is_no_database_stays_none");
  one_disk d;
  one_disk_init(&d);
  d.exists = true;
  d.bytes = malloc(d.room = 300000);
  for (size_t i = 0; i < d.room; i++) d.bytes[i] = (uint8_t)rng_next(&r);
  d.size = d.room;
  one_result y = one_repair(&d, NULL);
  TEST_RC(y.rc, VARVE_NOT_DATABASE);
  single_header_put(d.bytes);
  y = one_repair(&d, NULL);
  TEST_RC(y.rc, VARVE_CORRUPT);
  assert_non_null(strstr(status_message(), "none of its slots"));
  one_disk_free(&d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(without_a_directory_nothing_is_lost),
      cmocka_unit_test(the_bytes_of_files_suffice),
      cmocka_unit_test(a_table_without_a_footer_is_found),
      cmocka_unit_test(a_damaged_block_costs_itself),
      cmocka_unit_test(without_a_manifest_nothing_is_missing),
      cmocka_unit_test(a_manifest_of_an_earlier_moment_is_not_believed),
      cmocka_unit_test(random_damage_is_told),
      cmocka_unit_test(hostile_files_take_linear_time),
      cmocka_unit_test(what_is_no_database_stays_none),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
