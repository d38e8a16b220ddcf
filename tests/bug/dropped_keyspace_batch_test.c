/* dropped_keyspace_batch_test.c: a batch with a keyspace that was dropped after it was filled, or with one of
 * another database, is refused as a whole.
 *
 * What was wrong: the keyspace was looked at when the batch was filled, not when it was written. The entries
 * went in under an id that nothing names any more, and stayed for ever; or into the other database's keyspace
 * of that id.
 */
#include "unit/api/engine_bed.h"

typedef int (*drop_change)(varve_batch *b, varve_keyspace *keyspace);

static int drop_put(varve_batch *b, varve_keyspace *keyspace) {
  return varve_batch_put(b, keyspace, VARVE_STR("x"), VARVE_STR("1"));
}

static int drop_delete(varve_batch *b, varve_keyspace *keyspace) {
  return varve_batch_delete(b, keyspace, VARVE_STR("x"));
}

static int drop_delete_range(varve_batch *b, varve_keyspace *keyspace) {
  return varve_batch_delete_range(b, keyspace, VARVE_STR("a"), VARVE_STR("z"));
}

static const drop_change drop_changes[] = {drop_put, drop_delete, drop_delete_range};

static varve_db *drop_open(void) {
  varve_options o = {.no_thread = true};
  varve_db *db;
  TEST_OK(varve_open(":memory:", &o, &db));
  return db;
}

static uint64_t drop_sequence(varve_db *db) {
  return bed_stats(db).sequence;
}

/* The write is refused and nothing of the batch is there, also not what went to the default keyspace. */
static void drop_refuse(varve_db *db, varve_batch *b, int status) {
  uint64_t before = drop_sequence(db);
  TEST_RC(varve_write(db, b, NULL), status);
  assert_int_equal(drop_sequence(db), before);
  TEST_RC(varve_has(db, VARVE_STR("beside"), NULL), VARVE_NOTFOUND);
}

static void a_dropped_keyspace_is_closed(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT_OF(drop_changes); i++) {
    varve_db *db = drop_open();
    varve_keyspace *kept, *dropped, *later;
    varve_batch *b;
    TEST_OK(varve_keyspace_open(db, VARVE_STR("kept"), &kept));
    TEST_OK(varve_keyspace_open(db, VARVE_STR("a"), &dropped));
    TEST_OK(varve_batch_create(&b));
    TEST_OK(varve_batch_put(b, NULL, VARVE_STR("beside"), VARVE_STR("1")));
    TEST_OK(drop_put(b, kept));
    TEST_OK(drop_changes[i](b, dropped));
    TEST_OK(drop_put(b, kept));
    TEST_OK(varve_keyspace_drop(db, VARVE_STR("a")));
    drop_refuse(db, b, VARVE_CLOSED);
    TEST_OK(varve_keyspace_open(db, VARVE_STR("a"), &later)); /* the name again is not the keyspace again */
    drop_refuse(db, b, VARVE_CLOSED);
    TEST_RC(drop_changes[i](b, dropped), VARVE_CLOSED);
    varve_batch_clear(b); /* forgets it */
    TEST_OK(drop_changes[i](b, later));
    TEST_OK(drop_put(b, kept));
    TEST_OK(varve_write(db, b, NULL));
    varve_batch_destroy(b);
    TEST_OK(varve_close(db));
  }
}

/* Nothing is left below the dropped id that no compaction would ever remove. */
static void nothing_is_left_of_it(void **state) {
  (void)state;
  varve_db *db = drop_open();
  varve_keyspace *dropped;
  varve_batch *b;
  TEST_OK(varve_keyspace_open(db, VARVE_STR("a"), &dropped));
  TEST_OK(varve_batch_create(&b));
  TEST_OK(drop_put(b, dropped));
  TEST_OK(varve_write(db, b, NULL));
  TEST_OK(varve_keyspace_drop(db, VARVE_STR("a")));
  drop_refuse(db, b, VARVE_CLOSED);
  TEST_OK(varve_compact(db, NULL, NULL));
  varve_stats s = bed_stats(db);
  uint64_t entries = 0;
  for (uint32_t level = 0; level < s.levels; level++) entries += s.level[level].entries;
  assert_int_equal(entries, 1); /* the catalog's next id */
  varve_batch_destroy(b);
  TEST_OK(varve_close(db));
}

static void another_databases_keyspace_is_invalid(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT_OF(drop_changes); i++) {
    varve_db *db = drop_open(), *other = drop_open();
    varve_keyspace *mine, *others;
    varve_read_options in_mine = {.keyspace = NULL};
    varve_batch *b;
    TEST_OK(varve_keyspace_open(db, VARVE_STR("a"), &mine));
    TEST_OK(varve_keyspace_open(other, VARVE_STR("a"), &others));
    in_mine.keyspace = mine;
    TEST_OK(varve_batch_create(&b));
    TEST_OK(varve_batch_put(b, NULL, VARVE_STR("beside"), VARVE_STR("1")));
    TEST_OK(drop_changes[i](b, others));
    drop_refuse(db, b, VARVE_INVALID);
    TEST_RC(varve_has(db, VARVE_STR("x"), &in_mine), VARVE_NOTFOUND);
    TEST_OK(varve_write(other, b, NULL));
    varve_batch_destroy(b);
    TEST_OK(varve_close(db));
    TEST_OK(varve_close(other));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_dropped_keyspace_is_closed),
      cmocka_unit_test(nothing_is_left_of_it),
      cmocka_unit_test(another_databases_keyspace_is_invalid),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
