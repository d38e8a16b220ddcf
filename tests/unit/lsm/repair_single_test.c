/* repair_single_test.c: databases in one file whose directory is lost, and what a repair finds without it. */
#define _POSIX_C_SOURCE 200809L

#include "repair_bed.h"

#include <time.h>

#include "env/vfs_single.h"
#include "support/one_disk.h"

enum { ONE_KEYS = 900 };

static double one_cpu_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Every value that was ever written, as a bit of its hash and its key's. */
static uint8_t written[1 << 20];

static uint64_t written_at(varve_slice key, varve_slice value) {
  return xxh64(value.data == NULL ? "" : value.data, value.size, xxh64(key.data, key.size, 5)) % (8 * sizeof written);
}

static int one_put(varve_db *db, varve_slice key, varve_slice value, const varve_write_options *o) {
  uint64_t at = written_at(key, value);
  written[at / 8] |= (uint8_t)(1u << at % 8);
  return varve_put(db, key, value, o);
}

typedef struct one_database {
  one_disk disk;
  bed_content content;
  uint32_t in_pieces; /* files */
} one_database;

static void one_env(one_disk *d, uint32_t flags, env **e) {
  TEST_OK(env_open(api_allocator(), ":memory:", VFS_PLACE_CREATE, e));
  TEST_OK(vfs_close_fs((*e)->fs));
  TEST_OK(one_disk_single(d, api_allocator(), flags, &(*e)->fs));
}

static varve_db *one_open(one_disk *d, const varve_options *o) {
  env *e;
  varve_db *db;
  one_env(d, o->read_only ? VFS_PLACE_READ_ONLY : VFS_PLACE_CREATE, &e);
  TEST_OK(vfs_lock(e->fs, 0));
  TEST_OK(api_open(e, o, &db));
  return db;
}

static void one_put_more(varve_db *db, rng *r) {
  char text[32];
  uint8_t bytes[2000];
  for (size_t k = 0; k < sizeof bytes; k++) bytes[k] = (uint8_t)rng_next(r);
  TEST_OK(one_put(db, bed_key(text, 10000 + rng_below(r, 2000)), (varve_slice){bytes, sizeof bytes}, NULL));
}

static uint32_t one_in_pieces(varve_db *db) {
  const single *s = single_of(db->env->fs);
  uint32_t count = 0;
  for (size_t i = 0; i < s->count; i++) count += s->nodes[i]->count > 1;
  return count;
}

/* Tables in several levels, many of them replaced since, keyspaces, deletions of ranges, a log; as a process that dies
 * leaves it, or closed. */
static void one_make(one_database *x, uint64_t seed, bool closed) {
  rng r = {seed};
  const uint64_t bytes = 64 * KiB << seed % 3 * 2; /* the larger ones lie in pieces */
  varve_options o = {.no_thread = true, .memtable_bytes = bytes, .table_bytes = bytes};
  varve_keyspace *space;
  one_disk live;
  one_disk_init(&live);
  for (uint32_t session = 0; session < 3; session++) {
    varve_db *db = one_open(&live, &o);
    TEST_OK(varve_keyspace_open(db, VARVE_STR("space"), &space));
    for (uint32_t n = 0; n < 3000; n++) {
      char text[32];
      uint32_t i = rng_below(&r, ONE_KEYS);
      varve_write_options w = {.keyspace = i % 3 == 0 ? space : NULL};
      uint8_t bytes[400];
      size_t size = 20 + rng_below(&r, 300);
      for (size_t k = 0; k < size; k++) bytes[k] = (uint8_t)rng_next(&r);
      if (rng_percent(&r, 75)) {
        TEST_OK(one_put(db, bed_key(text, i), (varve_slice){bytes, size}, &w));
      } else {
        TEST_OK(varve_delete(db, bed_key(text, i), &w));
      }
      if (n % 1000 == 500) TEST_OK(varve_delete_range(db, VARVE_STR("key00000100"), VARVE_STR("key00000130"), NULL));
      if (bytes > 64 * KiB) one_put_more(db, &r);
      if (n == 2000 && session == 1) TEST_OK(varve_compact(db, NULL, NULL));
    }
    bool more = true;
    while (more) TEST_OK(varve_work(db, 1 * MiB, &more));
    if (session == 2 && !closed) one_disk_copy(&live, &x->disk);
    TEST_OK(varve_close(db));
  }
  if (closed) one_disk_copy(&live, &x->disk);
  one_disk_free(&live);
  o.read_only = true;
  varve_db *db = one_open(&x->disk, &o);
  x->in_pieces = one_in_pieces(db);
  TEST_OK(bed_read_all(db, &x->content));
  assert_true(x->content.entries > ONE_KEYS / 3);
  TEST_OK(varve_close(db));
}

static void one_free(one_database *x) {
  one_disk_free(&x->disk);
}

/* Nothing but what was written once is in the repaired database. */
static void one_check_written(varve_db *db, const char *name) {
  varve_keyspace *space = NULL;
  varve_iter *it;
  if (name != NULL) TEST_OK(varve_keyspace_open(db, VARVE_STR(name), &space));
  varve_iter_options o = {.keyspace = space};
  TEST_OK(varve_iter_open(db, &o, &it));
  int rc = varve_iter_first(it);
  for (; rc == VARVE_OK; rc = varve_iter_next(it)) {
    uint64_t at = written_at(varve_iter_key(it), varve_iter_value(it));
    if ((written[at / 8] >> at % 8 & 1) == 0) fail_msg("a value was never written");
  }
  assert_int_equal(rc, VARVE_DONE);
  varve_iter_close(it);
}

/* The entries of `whole` that `db` has not, or with another value. */
static uint64_t one_count_missing(varve_db *whole, varve_db *db, const char *name) {
  varve_keyspace *from = NULL, *to = NULL;
  varve_iter *it;
  uint64_t missing = 0;
  if (name != NULL) TEST_OK(varve_keyspace_open(whole, VARVE_STR(name), &from));
  if (name != NULL) TEST_OK(varve_keyspace_open(db, VARVE_STR(name), &to));
  varve_iter_options o = {.keyspace = from};
  varve_read_options read = {.keyspace = to};
  TEST_OK(varve_iter_open(whole, &o, &it));
  int rc = varve_iter_first(it);
  for (; rc == VARVE_OK; rc = varve_iter_next(it)) {
    varve_value v;
    int got = varve_get(db, varve_iter_key(it), &read, &v);
    TEST_OK(got);
    varve_slice value = varve_iter_value(it);
    missing += got == VARVE_NOTFOUND || v.size != value.size || memcmp(v.data, value.data, v.size) != 0;
    if (got == VARVE_OK) varve_value_release(&v);
  }
  varve_iter_close(it);
  return missing;
}

typedef struct one_result {
  varve_repair_report report;
  repair_seen seen;
  bed_content content;
  uint64_t missing; /* entries of the undamaged database */
  int rc;
} one_result;

/* Repairs what is on the disk, which must not change, and reads the new database. */
static one_result one_repair(one_disk *d, one_database *whole) {
  static one_result x;
  varve_repair_options o = {.loss = repair_bed_loss, .context = &x.seen};
  env *from, *to;
  memset(&x, 0, sizeof x);
  uint64_t writes = d->writes;
  TEST_OK(env_open(api_allocator(), ":memory:", VFS_PLACE_CREATE, &to));
  one_env(d, VFS_PLACE_READ_ONLY | VFS_PLACE_SALVAGE, &from);
  TEST_OK(vfs_lock(from->fs, 0));
  TEST_OK(vfs_lock(to->fs, 0));
  x.rc = lsm_repair(from, to, &o, &x.report);
  char message[STATUS_MESSAGE_SIZE];
  status_keep_message(message);
  TEST_OK(env_close(from));
  assert_int_equal(d->writes, writes);
  for (uint32_t i = 0; getenv("VARVE_PRINT") && i < x.seen.count; i++) {
    print_message("%d %s at %llu, %llu bytes: %s (%s .. %s)\n", x.seen.loss[i].harmless, x.seen.loss[i].file,
                  (unsigned long long)x.seen.loss[i].offset, (unsigned long long)x.seen.loss[i].size,
                  x.seen.loss[i].reason, x.seen.loss[i].after, x.seen.loss[i].before);
  }
  if (x.rc < 0) {
    TEST_OK(env_close(to));
    status_set_message(message);
    return x;
  }
  varve_db *db = repair_bed_open(to);
  TEST_OK(bed_read_all(db, &x.content));
  bed_names names = {.count = 0};
  TEST_OK(varve_keyspace_list(db, bed_names_visit, &names));
  one_check_written(db, NULL);
  for (uint32_t i = 0; i < names.count; i++) one_check_written(db, names.name[i]);
  if (whole != NULL) {
    varve_options reads = {.no_thread = true, .read_only = true};
    varve_db *was = one_open(&whole->disk, &reads);
    x.missing = one_count_missing(was, db, NULL);
    if (names.count == 1 && strcmp(names.name[0], "space") == 0) x.missing += one_count_missing(was, db, "space");
    TEST_OK(varve_close(was));
  }
  TEST_OK(varve_close(db));
  return x;
}

static bool one_same(const bed_content *a, const bed_content *b) {
  return a->entries == b->entries && a->digest == b->digest;
}

/* Where both copies of the directory that counts stand. */
static single_slot one_slot(const one_disk *d) {
  single_slot best = {0}, slot;
  for (unsigned i = 0; i < SINGLE_SLOTS; i++) {
    if (single_slot_get(d->bytes + (1 + i) * (size_t)SINGLE_PAGE, &slot, i) > 0 && slot.generation > best.generation)
      best = slot;
  }
  assert_true(best.generation > 0);
  return best;
}

static void wipe(one_disk *d, uint64_t at, uint64_t size) {
  memset(d->bytes + at, 0, (size_t)MIN(size, d->size - at));
}

static void wipe_slots(one_disk *d) {
  wipe(d, SINGLE_PAGE, SINGLE_SLOTS * SINGLE_PAGE);
}

static void wipe_copies(one_disk *d) {
  single_slot slot = one_slot(d);
  wipe(d, slot.offset, slot.size);
  wipe(d, single_directory_copy(&slot), slot.size);
}

static void wipe_begin(one_disk *d) {
  wipe(d, 0, SINGLE_FIRST_PAGE * SINGLE_PAGE);
}

static void wipe_all_directories(one_disk *d) {
  wipe_copies(d);
  wipe_begin(d);
}

static void opens_no_more(one_disk *d) {
  env *e;
  one_env(d, VFS_PLACE_READ_ONLY, &e);
  int rc = vfs_lock(e->fs, 0);
  assert_true(rc == VARVE_CORRUPT || rc == VARVE_NOT_DATABASE);
  TEST_OK(env_close(e));
}

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
  assert_true(y.missing > 0 && y.missing < 40);
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
    assert_true(y.missing < x.content.entries / 10);
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
    for (uint32_t round = 0; round < 15; round++, rounds++) {
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
  for (int how = 0; how < 2; how++) {
    double small = hostile_seconds(1 * MiB, how == 1), large = hostile_seconds(4 * MiB, how == 1);
    print_message("1 MiB: %.2f s, 4 MiB: %.2f s\n", small, large);
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
