/* lying_table_test.c: tables with right checksums and wrong content, as somebody may make them: versions out of
 * order, and keys outside the bounds that the manifest has. A compaction of them ended the process; now it is
 * CORRUPT.
 */
#include "unit/api/engine_bed.h"

typedef struct lying_key {
  const char *key;
  uint64_t seq;
} lying_key;

static void lying_table(env *e, uint64_t number, const lying_key *keys, size_t count, uint64_t *size) {
  const sst_options o = {4096, 1, false};
  sst_writer *w;
  sst_summary s;
  TEST_OK(sst_writer_create(e, number, &o, &w));
  for (size_t i = 0; i < count; i++) {
    slice key = slice_make(keys[i].key, strlen(keys[i].key));
    TEST_OK(sst_writer_add(w, key, trailer_make(keys[i].seq, KIND_PUT), slice_make("v", 1)));
  }
  TEST_OK(sst_writer_finish(w, &s));
  *size = s.size;
  sst_writer_close(w);
}

/* A database whose manifest names two tables of level 0 with the bounds `low` to `high`, in which are `a` and `b`. */
static void lying_open(const lying_key *a, size_t a_count, const lying_key *b, size_t b_count, const char *low,
                       const char *high, varve_db **db) {
  varve_options o = {.no_thread = true};
  manifest_state state = {.log_min = 1, .next_number = 50, .last_seq = 100, .clean_log = 1, .clean_end = 64};
  super root = {.id = "0123456789abcde"};
  edit change;
  manifest *m;
  version *v;
  env *e;
  const lying_key *keys[2] = {a, b};
  const size_t counts[2] = {a_count, b_count};
  TEST_OK(env_open(api_allocator(), ":memory:", VFS_PLACE_CREATE, &e));
  edit_init(&change, e->alloc);
  for (uint32_t i = 0; i < 2; i++) {
    table_meta *meta;
    uint64_t size;
    lying_table(e, 10 + i, keys[i], counts[i], &size);
    TEST_OK(table_meta_create(e->alloc, slice_make(low, strlen(low)), slice_make(high, strlen(high)), false, &meta));
    meta->number = 10 + i;
    meta->size = size;
    meta->entries = counts[i];
    meta->seq_min = 1;
    meta->seq_max = 50 + i;
    TEST_OK(edit_add(&change, 0, meta));
    pin_unref(&meta->pin);
  }
  TEST_OK(version_create(e->alloc, &v));
  TEST_OK(version_apply(v, &change, &state.current));
  pin_unref(&v->pin);
  edit_free(&change);
  TEST_OK(manifest_create(e, &root, 1, &state, &m));
  TEST_OK(manifest_close(m));
  pin_unref(&state.current->pin);
  root.manifest = 1;
  TEST_OK(super_write(e, &root));
  TEST_OK(vfs_lock(e->fs, 0));
  TEST_OK(api_open(e, &o, db));
}

static void one_version_in_two_tables_is_damage(void **state) {
  (void)state;
  static const lying_key keys[] = {{"\1a", 5}, {"\1b", 7}};
  varve_db *db;
  lying_open(keys, 2, keys, 2, "\1a", "\1b", &db);
  TEST_RC(varve_compact(db, NULL, NULL), VARVE_CORRUPT);
  TEST_OK(varve_close(db));
}

static void keys_outside_the_bounds_are_damage(void **state) {
  (void)state;
  static const lying_key one[] = {{"\1", 5}, {"\1long/prefix/b", 7}}, two[] = {{"\1long/prefix/a", 9}};
  varve_db *db;
  lying_open(one, 2, two, 1, "\1long/prefix/a", "\1long/prefix/b", &db);
  (void)varve_compact(db, NULL, NULL); /* in the right order by chance, or CORRUPT: never a death */
  TEST_OK(varve_close(db));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_version_in_two_tables_is_damage),
      cmocka_unit_test(keys_outside_the_bounds_are_damage),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
