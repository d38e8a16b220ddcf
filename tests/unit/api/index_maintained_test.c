/* index_maintained_test.c: indexes that maintain themselves: every way of writing, transactions at every
 * level, and a model. */
#include "unit/api/index_bed.h"

static void every_write_path(void **state) {
  bed *b = *state;
  varve_index *email, *age;
  varve_index_options eo = email_options(b), ao = age_options(b);
  OK(varve_index_create(b->db, str("email"), &eo, &email));
  OK(varve_index_create(b->db, str("age"), &ao, &age));
  OK(put(b, "1", "a@x,30"));
  OK(put(b, "2", "b@x+bb@x,30"));
  OK(put(b, "3", "-"));
  OK(put(b, "4", "-,25"));
  expect_find(email, NULL, "bb@x", "bb@x=2 ");
  expect_range(age, "", "", "25=4 30=1 30=2 ");
  EXPECT(VARVE_EXISTS, put(b, "5", "a@x,1"));
  expect_find(age, NULL, "1", "");
  EXPECT(VARVE_INVALID, varve_index_insert(age, NULL, str("1"), str("2")));
  OK(put(b, "2", "bb@x+c@x,31"));
  expect_find(email, NULL, "b@x", "");
  expect_find(email, NULL, "c@x", "c@x=2 ");
  expect_range(age, "", "", "25=4 30=1 31=2 ");
  OK(del(b, "1"));
  OK(del(b, "nobody"));
  OK(put(b, "5", "a@x,1"));
  expect_find(email, NULL, "a@x", "a@x=5 ");
  /* A batch, in its order: the key changes hands in it, and a row comes and goes. */
  varve_batch *batch;
  OK(varve_batch_create(&batch));
  OK(varve_batch_delete(batch, b->users, str("5")));
  OK(varve_batch_put(batch, b->users, str("6"), str("a@x,40")));
  OK(varve_batch_put(batch, b->users, str("7"), str("q@x,41")));
  OK(varve_batch_put(batch, b->users, str("7"), str("r@x,42")));
  OK(varve_batch_put(batch, NULL, str("6"), str("not,indexed")));
  OK(varve_write(b->db, batch, NULL));
  expect_find(email, NULL, "a@x", "a@x=6 ");
  expect_find(email, NULL, "q@x", "");
  expect_range(age, "", "", "25=4 31=2 40=6 42=7 ");
  varve_batch_clear(batch);
  OK(varve_batch_put(batch, b->users, str("8"), str("s@x,50")));
  OK(varve_batch_put(batch, b->users, str("9"), str("a@x,51")));
  EXPECT(VARVE_EXISTS, varve_write(b->db, batch, NULL)); /* all of it or nothing */
  expect_find(email, NULL, "s@x", "");
  varve_batch_destroy(batch);
  /* A range. */
  varve_write_options wo = {.keyspace = b->users};
  OK(varve_delete_range(b->db, str("4"), str("7"), &wo));
  expect_range(age, "", "", "31=2 42=7 ");
  OK(varve_delete_range(b->db, str("7"), str("4"), &wo));
  OK(varve_index_verify(email, NULL, NULL, NULL));
  OK(varve_index_verify(age, NULL, NULL, NULL));
  OK(varve_delete_range(b->db, str(""), str(""), &wo));
  expect_range(age, "", "", "");
  varve_index_info info;
  OK(varve_index_get_info(email, &info));
  assert_int_equal(info.entries, 0);
  OK(varve_index_verify(email, NULL, NULL, NULL));
}

static void two_at_once(bed *b, varve_index *email, varve_index *age, int level) {
  varve_txn_options to = {.isolation = (varve_isolation)level};
  varve_txn *t, *u;
  /* Two that change one row: at every level one of them conflicts, or its postings would stay. */
  OK(varve_txn_begin(b->db, &to, &t));
  OK(varve_txn_begin(b->db, &to, &u));
  OK(varve_txn_put(t, b->users, str("3"), str("e@x,50")));
  OK(varve_txn_put(u, b->users, str("3"), str("f@x,51")));
  OK(varve_txn_commit(t));
  EXPECT(VARVE_CONFLICT, varve_txn_commit(u));
  varve_txn_close(t);
  varve_txn_close(u);
  /* Two that make different rows with one unique key. */
  OK(varve_txn_begin(b->db, &to, &t));
  OK(varve_txn_begin(b->db, &to, &u));
  OK(varve_txn_put(t, b->users, str("5"), str("g@x")));
  OK(varve_txn_put(u, b->users, str("6"), str("g@x")));
  OK(varve_txn_commit(u));
  EXPECT(VARVE_CONFLICT, varve_txn_commit(t));
  varve_txn_close(t);
  varve_txn_close(u);
  expect_find(email, NULL, "g@x", "g@x=6 ");
  /* A range is deleted while a row comes into it. */
  OK(varve_txn_begin(b->db, &to, &t));
  OK(varve_txn_delete_range(t, b->users, str(""), str("")));
  OK(put(b, "7", "h@x,60"));
  EXPECT(level == VARVE_READ_COMMITTED ? VARVE_OK : VARVE_CONFLICT, varve_txn_commit(t));
  varve_txn_close(t);
  OK(varve_index_verify(email, NULL, NULL, NULL));
  OK(varve_index_verify(age, NULL, NULL, NULL));
  expect_find(age, NULL, "60", "60=7 ");
  varve_write_options wo = {.keyspace = b->users};
  OK(varve_delete_range(b->db, str(""), str(""), &wo));
}

static void read_only_ones(bed *b, varve_index *email) {
  varve_txn_options ro = {.read_only = true};
  varve_txn *t;
  OK(put(b, "1", "a@x,30"));
  OK(varve_txn_begin(b->db, &ro, &t));
  EXPECT(VARVE_READONLY, varve_txn_put(t, b->users, str("3"), str("c@x,32")));
  OK(put(b, "1", "z@x,31"));
  expect_find(email, t, "a@x", "a@x=1 ");
  OK(varve_txn_commit(t));
  EXPECT(VARVE_CLOSED, varve_index_find(email, t, str("a@x"), &(varve_iter *){NULL}));
  varve_txn_close(t);
}

static void in_transactions(void **state) {
  bed *b = *state;
  varve_index *email, *age;
  varve_index_options eo = email_options(b), ao = age_options(b);
  OK(varve_index_create(b->db, str("email"), &eo, &email));
  OK(varve_index_create(b->db, str("age"), &ao, &age));
  for (int level = VARVE_READ_COMMITTED; level <= VARVE_SERIALIZABLE; level++) {
    varve_txn_options to = {.isolation = (varve_isolation)level};
    varve_txn *t;
    uint32_t mark;
    OK(put(b, "1", "a@x,30"));
    OK(put(b, "2", "b@x,31"));
    OK(varve_txn_begin(b->db, &to, &t));
    OK(varve_txn_put(t, b->users, str("3"), str("c@x,32")));
    OK(varve_txn_savepoint(t, &mark));
    EXPECT(VARVE_EXISTS, varve_txn_put(t, b->users, str("4"), str("a@x,33")));
    expect_find(age, t, "33", "");
    OK(varve_txn_put(t, b->users, str("1"), str("d@x,34")));
    OK(varve_txn_put(t, b->users, str("4"), str("a@x,33"))); /* it is free now */
    expect_find(email, t, "a@x", "a@x=4 ");
    expect_find(email, NULL, "a@x", "a@x=1 ");
    OK(varve_txn_rollback_to(t, mark));
    expect_find(email, t, "a@x", "a@x=1 ");
    expect_find(email, t, "c@x", "c@x=3 ");
    OK(varve_txn_delete_range(t, b->users, str("2"), str("3")));
    expect_find(email, t, "b@x", "");
    OK(varve_txn_delete(t, b->users, str("1")));
    OK(varve_txn_commit(t));
    varve_txn_close(t);
    expect_range(age, "", "", "32=3 ");
    OK(varve_index_verify(email, NULL, NULL, NULL));
    OK(varve_index_verify(age, NULL, NULL, NULL));
    two_at_once(b, email, age, level);
  }
  read_only_ones(b, email);
}
static void needs_its_extractor(void **state) {
  bed *b = *state;
  varve_index *email;
  varve_index_options eo = email_options(b);
  OK(put(b, "1", "a@x"));
  OK(varve_index_create(b->db, str("email"), &eo, &email));
  bed_reopen(b);
  EXPECT(VARVE_INVALID, put(b, "2", "b@x"));
  assert_non_null(strstr(varve_errmsg(b->db), "varve_index_open"));
  EXPECT(VARVE_INVALID, del(b, "1"));
  OK(varve_put(b->db, str("other"), str("keyspace"), NULL));
  varve_index_options reading = {.kind = 0};
  OK(varve_index_open(b->db, str("email"), &reading, &email));
  expect_find(email, NULL, "a@x", "a@x=1 ");
  EXPECT(VARVE_INVALID, put(b, "2", "b@x"));
  varve_txn *t;
  OK(varve_txn_begin(b->db, NULL, &t));
  EXPECT(VARVE_INVALID, varve_txn_put(t, b->users, str("2"), str("b@x")));
  varve_txn_close(t);
  eo = email_options(b);
  OK(varve_index_open(b->db, str("email"), &eo, &email));
  OK(put(b, "2", "b@x"));
  expect_find(email, NULL, "b@x", "b@x=2 ");
  OK(varve_index_verify(email, NULL, NULL, NULL));
  /* Dropping the keyspace drops it too. */
  OK(varve_keyspace_drop(b->db, str("users")));
  EXPECT(VARVE_NOTFOUND, varve_index_open(b->db, str("email"), NULL, &email));
  OK(varve_keyspace_open(b->db, str("users"), &b->users));
  OK(put(b, "2", "b@x"));
}

/* A transaction that was open when an index came into being has to begin again. */
static void schema_changes(void **state) {
  bed *b = *state;
  varve_index *ix;
  varve_index_options eo = email_options(b);
  for (int level = VARVE_READ_COMMITTED; level <= VARVE_SERIALIZABLE; level++) {
    varve_txn_options to = {.isolation = (varve_isolation)level};
    varve_txn *t;
    OK(varve_txn_begin(b->db, &to, &t));
    OK(varve_txn_put(t, b->users, str("1"), str("a@x")));
    OK(varve_index_create(b->db, str("email"), &eo, &ix));
    EXPECT(VARVE_CONFLICT, varve_txn_commit(t));
    varve_txn_close(t);
    OK(varve_txn_begin(b->db, &to, &t));
    OK(varve_txn_put(t, b->users, str("1"), str("a@x")));
    OK(varve_index_drop(b->db, str("email")));
    EXPECT(VARVE_CONFLICT, varve_txn_commit(t));
    varve_txn_close(t);
  }
}

/* ---- a model: rows in an array; both indexes must be what a walk over it says ---- */

enum { MODEL_ROWS = 60, MODEL_KEYS = 12 };

typedef struct model {
  int email[MODEL_ROWS]; /* -1 = no row, MODEL_KEYS = a row without */
  int age[MODEL_ROWS];
} model;

static void model_value(const model *m, int row, char *out, size_t room) {
  if (m->email[row] == MODEL_KEYS) {
    snprintf(out, room, "-,%d", m->age[row]);
  } else {
    snprintf(out, room, "e%d,%d", m->email[row], m->age[row]);
  }
}

static bool model_taken(const model *m, int row, int email) {
  for (int i = 0; i < MODEL_ROWS; i++) {
    if (i != row && m->email[i] == email && email < MODEL_KEYS) return true;
  }
  return false;
}

static void model_check(const model *m, varve_index *email, varve_index *age, varve_txn *t) {
  char key[20], want[1500];
  for (int e = 0; e < MODEL_KEYS; e++) {
    want[0] = '\0';
    snprintf(key, sizeof key, "e%d", e);
    for (int i = 0; i < MODEL_ROWS; i++) {
      if (m->email[i] == e) snprintf(want, sizeof want, "%s=%03d ", key, i);
    }
    expect_find(email, t, key, want);
  }
  for (int a = 0; a < 5; a++) {
    size_t at = 0;
    want[0] = '\0';
    snprintf(key, sizeof key, "%d", a);
    for (int i = 0; i < MODEL_ROWS; i++) {
      if (m->email[i] >= 0 && m->age[i] == a) {
        at += (size_t)snprintf(want + at, sizeof want - at, "%s=%03d ", key, i);
      }
    }
    if (at < 490) expect_find(age, t, key, want);
  }
}

/* One random change through `t`, or outside; the model with it. */
static void model_change(bed *b, model *m, varve_txn *t, unsigned *seed) {
  varve_write_options wo = {.keyspace = b->users};
  char key[20], end[20], value[40];
  int row = bed_random(seed) % MODEL_ROWS, what = bed_random(seed) % 10;
  snprintf(key, sizeof key, "%03d", row);
  if (what < 6) {
    model next = *m;
    next.email[row] = bed_random(seed) % (MODEL_KEYS + 1);
    next.age[row] = bed_random(seed) % 5;
    model_value(&next, row, value, sizeof value);
    int want = model_taken(m, row, next.email[row]) ? VARVE_EXISTS : VARVE_OK;
    EXPECT(want,
           t != NULL ? varve_txn_put(t, b->users, str(key), str(value)) : varve_put(b->db, str(key), str(value), &wo));
    if (want == VARVE_OK) *m = next;
  } else if (what < 9) {
    OK(t != NULL ? varve_txn_delete(t, b->users, str(key)) : varve_delete(b->db, str(key), &wo));
    m->email[row] = -1;
  } else {
    int to = row + bed_random(seed) % 5;
    snprintf(end, sizeof end, "%03d", to);
    OK(t != NULL ? varve_txn_delete_range(t, b->users, str(key), str(end))
                 : varve_delete_range(b->db, str(key), str(end), &wo));
    for (int i = row; i < to && i < MODEL_ROWS; i++) m->email[i] = -1;
  }
}

static void model_txn(bed *b, model *m, varve_index *email, varve_index *age, unsigned *seed) {
  varve_txn_options to = {.isolation = (varve_isolation)(1 + bed_random(seed) % 3)};
  varve_txn *t;
  model inside = *m, marked = *m;
  uint32_t mark = 0;
  OK(varve_txn_begin(b->db, &to, &t));
  int changes = 1 + bed_random(seed) % 20;
  for (int i = 0; i < changes; i++) {
    model_change(b, &inside, t, seed);
    if (mark == 0 && bed_random(seed) % 8 == 0) {
      OK(varve_txn_savepoint(t, &mark));
      marked = inside;
    } else if (mark > 0 && bed_random(seed) % 8 == 0) {
      OK(varve_txn_rollback_to(t, mark));
      inside = marked;
    }
  }
  model_check(&inside, email, age, t);
  model_check(m, email, age, NULL);
  if (bed_random(seed) % 3 > 0) {
    OK(varve_txn_commit(t));
    *m = inside;
  }
  varve_txn_close(t);
}

static void random_model(void **state) {
  bed *b = *state;
  const char *given = getenv("VARVE_TEST_SEED");
  unsigned seed = given == NULL ? 6 : (unsigned)strtoul(given, NULL, 10);
  print_message("seed %u\n", seed);
  varve_index *email, *age;
  varve_index_options eo = email_options(b), ao = age_options(b);
  eo.kind = seed % 2 == 0 ? VARVE_HASH : VARVE_BTREE;
  model m;
  for (int i = 0; i < MODEL_ROWS; i++) m.email[i] = -1;
  for (int i = 0; i < 200; i++) {
    varve_write_options wo = {.keyspace = b->users};
    char key[20], value[40];
    m.email[i % MODEL_ROWS] = i % MODEL_ROWS < MODEL_KEYS ? i % MODEL_ROWS : MODEL_KEYS;
    m.age[i % MODEL_ROWS] = i % 5;
    snprintf(key, sizeof key, "%03d", i % MODEL_ROWS);
    model_value(&m, i % MODEL_ROWS, value, sizeof value);
    OK(varve_put(b->db, str(key), str(value), &wo));
  }
  OK(varve_index_create(b->db, str("email"), &eo, &email));
  OK(varve_index_create(b->db, str("age"), &ao, &age));
  for (int round = 0; round < 400; round++) {
    int what = bed_random(&seed) % 40;
    if (what == 0) {
      bed_reopen(b);
      eo = email_options(b);
      eo.kind = 0;
      OK(varve_index_open(b->db, str("email"), &eo, &email));
      ao = age_options(b);
      OK(varve_index_open(b->db, str("age"), &ao, &age));
    } else if (what == 1) {
      OK(varve_compact(b->db, NULL, NULL));
    } else if (what == 2) {
      OK(varve_flush(b->db));
    } else if (what == 3) {
      OK(varve_index_rebuild(email, NULL, NULL));
    } else if (what < 20) {
      model_txn(b, &m, email, age, &seed);
    } else {
      for (int i = 0; i < 10; i++) model_change(b, &m, NULL, &seed);
    }
    model_check(&m, email, age, NULL);
    if (round % 20 == 0) {
      OK(varve_index_verify(email, NULL, NULL, NULL));
      OK(varve_index_verify(age, NULL, NULL, NULL));
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(every_write_path), TEST(in_transactions), TEST(needs_its_extractor),
      TEST(schema_changes),   TEST(random_model),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
