/* isolation_test.c: the isolation table: schedules of interleaved transactions, their outcome at each level expected
 * and got. After Hermitage (M. Kleppmann), its operations as puts, gets and scans.
 *
 * A schedule is a text: "1:put 1=11; 2:get 1; 1:commit". The number is the transaction's; 0 commits at once. A
 * transaction begins with the schedule, in the order of the numbers, unless it has a "begin". Keys and values are
 * numbers. Every schedule starts with 1 = 10 and 2 = 20.
 *
 *   get k            its value, or -               put k=v   del k   delr a..b (b excluded)
 *   scan a..b %m=r   {k:v,…} of a <= key < b whose value leaves r when divided by m (%0=r: equals r); parts may be left
 *                    out; rscan goes backward; scan1 stops after the first entry, whatever it is
 *   add n            all values += n               wipe %m=r  deletes what a scan finds, says how many
 *   inc k            get_for_update, + 1, put      lock k     get_for_update
 *   open, walk       opens an iterator; goes over all of it and closes it
 *   save n, back n, keep n                         savepoint, rollback_to, release
 *   commit, abort    ok, or CONFLICT
 *   flush, compact   (0 only)
 *
 * What the steps say, and the final state, is the outcome. Each schedule runs also with every commit flushed to a table
 * at once, and with everything compacted after every commit: conflicts are then found in tables.
 */
#include "unit/api/engine_bed.h"

enum { TXNS = 4, LEVELS_TESTED = 3, OUTCOME_MAX = 256 };

typedef enum variant { IN_MEMORY, FLUSHED, COMPACTED, VARIANTS } variant;

typedef struct row {
  const char *name, *schedule;
  const char *outcome[LEVELS_TESTED]; /* NULL = as the one before */
} row;

static const row rows[] = {
    {"G0 dirty write",
     "1:put 1=11; 2:put 1=12; 1:put 2=21; 1:commit; 2:put 2=22; 2:commit",
     {"ok ok {1:12,2:22}", "ok CONFLICT {1:11,2:21}", NULL}},
    {"G1a aborted read", "1:put 1=101; 2:get 1; 1:abort; 2:get 1; 2:commit", {"10 10 ok {1:10,2:20}", NULL, NULL}},
    {"G1b intermediate read",
     "1:put 1=101; 2:get 1; 1:put 1=11; 1:commit; 2:get 1; 2:commit",
     {"10 ok 11 ok {1:11,2:20}", "10 ok 10 ok {1:11,2:20}", NULL}},
    {"G1c circular flow",
     "1:put 1=11; 2:put 2=22; 1:get 2; 2:get 1; 1:commit; 2:commit",
     {"20 10 ok ok {1:11,2:22}", NULL, "20 10 ok CONFLICT {1:11,2:20}"}},
    {"OTV observed vanishes",
     "1:put 1=11; 1:put 2=19; 2:put 1=12; 1:commit; 3:get 1; 2:put 2=18; 3:get 2; 2:commit; 3:get 2; 3:get 1; 3:commit",
     {"ok 11 19 ok 18 12 ok {1:12,2:18}", "ok 10 20 CONFLICT 20 10 ok {1:11,2:19}", NULL}},
    {"PMP predicate read",
     "1:scan %0=30; 2:put 3=30; 2:commit; 1:scan %3=0; 1:commit",
     {"{} ok {3:30} ok {1:10,2:20,3:30}", "{} ok {} ok {1:10,2:20,3:30}", NULL}},
    {"PMP write predicate",
     "1:add 10; 2:wipe %0=20; 1:commit; 2:commit",
     {"1 ok ok {1:20}", "1 ok CONFLICT {1:20,2:30}", NULL}},
    {"P4 lost update",
     "1:get 1; 2:get 1; 1:put 1=11; 2:put 1=11; 1:commit; 2:commit",
     {"10 10 ok ok {1:11,2:20}", "10 10 ok CONFLICT {1:11,2:20}", NULL}},
    {"G-single read skew",
     "1:get 1; 2:get 1; 2:get 2; 2:put 1=12; 2:put 2=18; 2:commit; 1:get 2; 1:commit",
     {"10 10 20 ok 18 ok {1:12,2:18}", "10 10 20 ok 20 ok {1:12,2:18}", NULL}},
    {"G-single predicate",
     "1:scan %5=0; 2:put 1=12; 2:commit; 1:scan %3=0; 1:commit",
     {"{1:10,2:20} ok {1:12} ok {1:12,2:20}", "{1:10,2:20} ok {} ok {1:12,2:20}", NULL}},
    {"G-single write predicate",
     "1:get 1; 2:put 1=12; 2:put 2=18; 2:commit; 1:wipe %0=20; 1:commit",
     {"10 ok 0 ok {1:12,2:18}", "10 ok 1 CONFLICT {1:12,2:18}", NULL}},
    {"G2-item write skew",
     "1:get 1; 1:get 2; 2:get 1; 2:get 2; 1:put 1=11; 2:put 2=21; 1:commit; 2:commit",
     {"10 20 10 20 ok ok {1:11,2:21}", NULL, "10 20 10 20 ok CONFLICT {1:11,2:20}"}},
    {"G2 predicate",
     "1:scan %3=0; 2:scan %3=0; 1:put 3=30; 2:put 4=42; 1:commit; 2:commit",
     {"{} {} ok ok {1:10,2:20,3:30,4:42}", NULL, "{} {} ok CONFLICT {1:10,2:20,3:30}"}},
    {"G2 read-only anomaly",
     "1:scan; 2:get 2; 2:put 2=25; 2:commit; 3:begin; 3:scan; 3:commit; 1:put 1=0; 1:commit",
     {"{1:10,2:20} 20 ok {1:10,2:25} ok ok {1:0,2:25}", NULL, "{1:10,2:20} 20 ok {1:10,2:25} ok CONFLICT {1:10,2:25}"}},
    {"empty ranges",
     "1:scan 100..199; 2:scan 200..300; 1:put 250=1; 2:put 150=1; 1:commit; 2:commit",
     {"{} {} ok ok {1:10,150:1,2:20,250:1}", NULL, "{} {} ok CONFLICT {1:10,2:20,250:1}"}},
    /* ours */
    {"ranges of tombstones alone",
     "0:put 150=1; 0:put 250=1; 0:del 150; 0:delr 200..300; 1:begin; 2:begin; 1:scan 100..199; 2:scan 200..300;"
     "1:put 250=2; 2:put 150=2; 1:commit; 2:commit",
     {"{} {} ok ok {1:10,150:2,2:20,250:2}", NULL, "{} {} ok CONFLICT {1:10,2:20,250:2}"}},
    {"empty ranges, backward",
     "1:rscan 100..199; 2:rscan 200..300; 1:put 250=1; 2:put 150=1; 1:commit; 2:commit",
     {"{} {} ok ok {1:10,150:1,2:20,250:1}", NULL, "{} {} ok CONFLICT {1:10,2:20,250:1}"}},
    {"absent key",
     "1:get 3; 2:get 4; 1:put 4=1; 2:put 3=1; 1:commit; 2:commit",
     {"- - ok ok {1:10,2:20,3:1,4:1}", NULL, "- - ok CONFLICT {1:10,2:20,4:1}"}},
    {"key that is deleted",
     "1:get 1; 2:get 2; 1:del 2; 2:del 1; 1:commit; 2:commit",
     {"10 20 ok ok {}", NULL, "10 20 ok CONFLICT {1:10}"}},
    {"range that is deleted",
     "1:scan; 0:delr 1..2; 1:put 9=1; 1:commit",
     {"{1:10,2:20} ok {2:20,9:1}", NULL, "{1:10,2:20} CONFLICT {2:20}"}},
    {"limit: change behind it", "1:scan1; 0:put 2=21; 1:put 9=1; 1:commit", {"{1:10} ok {1:10,2:21,9:1}", NULL, NULL}},
    {"limit: change before it",
     "1:scan1; 0:put 0=1; 1:put 9=1; 1:commit",
     {"{1:10} ok {0:1,1:10,2:20,9:1}", NULL, "{1:10} CONFLICT {0:1,1:10,2:20}"}},
    {"limit: change of its last",
     "1:scan1; 0:put 1=11; 1:put 9=1; 1:commit",
     {"{1:10} ok {1:11,2:20,9:1}", NULL, "{1:10} CONFLICT {1:11,2:20}"}},
    {"limit, backward: before and behind",
     "1:rscan1; 2:rscan1; 0:put 1=11; 1:put 8=1; 1:commit; 0:put 3=1; 2:put 9=1; 2:commit",
     {"{2:20} {2:20} ok ok {1:11,2:20,3:1,8:1,9:1}", NULL, "{2:20} {2:20} ok CONFLICT {1:11,2:20,3:1,8:1}"}},
    {"delete and delete", "1:del 1; 2:del 1; 1:commit; 2:commit", {"ok ok {2:20}", "ok CONFLICT {2:20}", NULL}},
    {"deleted range and a put in it",
     "1:delr 100..199; 2:put 150=1; 2:commit; 1:commit",
     {"ok ok {1:10,2:20}", "ok CONFLICT {1:10,150:1,2:20}", NULL}},
    {"a put in a deleted range",
     "1:put 150=1; 2:delr 100..199; 2:commit; 1:commit",
     {"ok ok {1:10,150:1,2:20}", "ok CONFLICT {1:10,2:20}", NULL}},
    {"write against a plain put", "1:put 1=11; 0:put 1=12; 1:commit", {"ok {1:11,2:20}", "CONFLICT {1:12,2:20}", NULL}},
    {"read without a write does not conflict", "1:get 1; 0:put 1=12; 1:commit", {"10 ok {1:12,2:20}", NULL, NULL}},
    {"own writes",
     "1:put 3=30; 1:get 3; 1:del 1; 1:get 1; 1:scan; 1:rscan; 1:delr 2..3; 1:scan; 1:rscan; 1:put 2=22; 1:scan; 2:scan;"
     "1:commit; 2:commit",
     {"30 - {2:20,3:30} {3:30,2:20} {3:30} {3:30} {2:22,3:30} {1:10,2:20} ok ok {2:22,3:30}", NULL, NULL}},
    {"own reads of own writes do not conflict",
     "1:put 3=1; 1:get 3; 2:put 4=1; 2:get 4; 1:commit; 2:commit",
     {"1 1 ok ok {1:10,2:20,3:1,4:1}", NULL, NULL}},
    {"an iterator does not see later own writes",
     "1:put 3=30; 1:open; 1:put 15=1; 1:del 2; 1:delr 3..4; 1:get 15; 1:walk; 1:scan; 1:abort",
     {"1 {1:10,2:20,3:30} {1:10,15:1} {1:10,2:20}", NULL, NULL}},
    {"an iterator does not see later commits",
     "1:open; 0:put 3=30; 1:walk; 1:abort",
     {"{1:10,2:20} {1:10,2:20,3:30}", NULL, NULL}},
    {"abort leaves no trace",
     "1:put 1=99; 1:put 3=1; 1:del 2; 1:abort; 2:scan; 2:commit",
     {"{1:10,2:20} ok {1:10,2:20}", NULL, NULL}},
    {"snapshot older than a flush",
     "0:put 1=12; 0:del 2; 0:flush; 1:begin; 0:put 1=13; 0:put 2=2; 0:flush; 0:compact; 1:scan; 1:put 1=5; 1:commit",
     {"{1:13,2:2} ok {1:5,2:2}", "{1:12} CONFLICT {1:13,2:2}", NULL}},
    {"savepoints",
     "1:save 1; 1:put 1=11; 1:save 2; 1:del 2; 1:put 3=3; 1:scan; 1:back 2; 1:scan; 1:put 4=4; 1:back 1; 1:scan; 1:put "
     "5=5;"
     "1:save 2; 1:put 6=6; 1:keep 1; 1:commit",
     {"{1:11,3:3} {1:11,2:20} {1:10,2:20} ok {1:10,2:20,5:5,6:6}", NULL, NULL}},
    {"what was undone does not conflict",
     "1:save 1; 1:put 1=11; 1:back 1; 0:put 1=12; 1:put 3=3; 1:commit",
     {"ok {1:12,2:20,3:3}", NULL, NULL}},
    {"what was read before it was undone does",
     "1:save 1; 1:get 1; 1:back 1; 0:put 1=12; 1:put 3=3; 1:commit",
     {"10 ok {1:12,2:20,3:3}", NULL, "10 CONFLICT {1:12,2:20}"}},
    {"unique key, checked and put",
     "1:get 7; 2:get 7; 1:put 7=1; 2:put 7=2; 1:commit; 2:commit",
     {"- - ok ok {1:10,2:20,7:2}", "- - ok CONFLICT {1:10,2:20,7:1}", NULL}},
    {"child of a parent that goes",
     "1:get 1; 2:scan 100..199; 1:put 150=1; 2:del 1; 1:commit; 2:commit",
     {"10 {} ok ok {150:1,2:20}", NULL, "10 {} ok CONFLICT {1:10,150:1,2:20}"}},
    {"child of a parent that is locked",
     "1:lock 1; 2:scan 100..199; 1:put 150=1; 2:del 1; 2:commit; 1:commit",
     {"10 {} ok CONFLICT {2:20}", NULL, NULL}},
    {"locked counter",
     "1:inc 1; 1:commit; 2:inc 1; 2:commit; 0:put 1=50; 3:inc 1; 3:commit",
     {"10 ok 11 ok 50 ok {1:51,2:20}", NULL, NULL}},
    {"locked key, changed by a plain put",
     "1:lock 1; 0:put 1=12; 1:put 3=3; 1:commit",
     {"10 CONFLICT {1:12,2:20}", NULL, NULL}},
    {"a lock that another has", "1:lock 1; 2:lock 1; 2:abort; 1:commit", {"10 CONFLICT ok {1:10,2:20}", NULL, NULL}},
    {"two locks move the state",
     "1:lock 1; 0:put 2=21; 1:lock 2; 1:put 2=22; 1:commit",
     {"10 21 ok {1:10,2:22}", NULL, NULL}},
    {"a lock after a read does not",
     "1:get 1; 0:put 2=21; 1:lock 2; 1:abort",
     {"10 21 {1:10,2:21}", "10 CONFLICT {1:10,2:21}", NULL}},
};

/* ---- the machine ---- */

typedef struct machine {
  varve_db *db;
  varve_isolation level;
  variant variant;
  varve_txn *txn[TXNS];
  varve_iter *open[TXNS];
  char said[OUTCOME_MAX];
} machine;

static void machine_say(machine *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void machine_say(machine *m, const char *format, ...) {
  size_t n = strlen(m->said);
  va_list args;
  va_start(args, format);
  int more = vsnprintf(m->said + n, sizeof m->said - n, format, args);
  va_end(args);
  assert_true(more >= 0 && n + (size_t)more < sizeof m->said);
}

static void machine_space(machine *m) {
  if (m->said[0] != '\0') machine_say(m, " ");
}

static void machine_begin(machine *m, uint32_t t) {
  varve_txn_options o = {.isolation = m->level, .lock_wait_ms = 1};
  TEST_OK(varve_txn_begin(m->db, &o, &m->txn[t]));
}

static varve_slice number_slice(char text[24], long n) {
  int size = snprintf(text, 24, "%ld", n);
  varve_slice s = {text, (size_t)size};
  return s;
}

static long slice_number(varve_slice s) {
  char text[24] = {0};
  assert_true(s.size > 0 && s.size < sizeof text);
  memcpy(text, s.data, s.size);
  return strtol(text, NULL, 10);
}

/* After every commit. */
static void machine_settle(machine *m) {
  if (m->variant == FLUSHED) TEST_OK(varve_flush(m->db));
  if (m->variant == COMPACTED) TEST_OK(varve_compact(m->db, NULL, NULL));
}

typedef struct scan {
  char from[24], to[24];
  long divisor, rest; /* divisor 0: equal to rest; < 0: all */
} scan;

static scan scan_parse(const char *text) {
  scan s = {"", "", -1, 0};
  const char *range = strstr(text, "..");
  if (range != NULL) assert_true(sscanf(text, "%23[0-9]..%23[0-9]", s.from, s.to) == 2);
  const char *rule = strchr(text, '%');
  if (rule != NULL) assert_true(sscanf(rule, "%%%ld=%ld", &s.divisor, &s.rest) == 2);
  return s;
}

static bool scan_takes(const scan *s, long value) {
  return s->divisor < 0 || (s->divisor == 0 ? value == s->rest : value % s->divisor == s->rest);
}

static varve_iter *machine_iter(machine *m, uint32_t t, const scan *s) {
  varve_iter *it;
  varve_iter_options o = {.lower = varve_str(s->from), .upper = varve_str(s->to)};
  if (t == 0) {
    TEST_OK(varve_iter_open(m->db, &o, &it));
  } else {
    TEST_OK(varve_txn_iter_open(m->txn[t], &o, &it));
  }
  return it;
}

static void machine_walk(machine *m, varve_iter *it, const scan *s, bool backward, uint32_t limit) {
  uint32_t n = 0;
  machine_space(m);
  machine_say(m, "{");
  int rc = backward ? varve_iter_last(it) : varve_iter_first(it);
  for (uint32_t seen = 0; rc == VARVE_OK; rc = backward ? varve_iter_prev(it) : varve_iter_next(it)) {
    long value = slice_number(varve_iter_value(it));
    if (scan_takes(s, value)) {
      machine_say(m, "%s%ld:%ld", n++ > 0 ? "," : "", slice_number(varve_iter_key(it)), value);
    }
    if (++seen == limit) break;
  }
  TEST_OK(rc);
  machine_say(m, "}");
}

static void machine_scan(machine *m, uint32_t t, const char *text, bool backward, uint32_t limit) {
  scan s = scan_parse(text);
  varve_iter *it = machine_iter(m, t, &s);
  machine_walk(m, it, &s, backward, limit);
  varve_iter_close(it);
}

/* Puts all values + n, or (n = 0) deletes what the rule takes. */
static long machine_change(machine *m, uint32_t t, const char *text, long n) {
  scan s = scan_parse(text);
  varve_iter *it = machine_iter(m, t, &s);
  long count = 0;
  for (int rc = varve_iter_first(it); rc == VARVE_OK; rc = varve_iter_next(it)) {
    char number[24];
    long value = slice_number(varve_iter_value(it));
    if (n != 0) {
      TEST_OK(varve_txn_put(m->txn[t], NULL, varve_iter_key(it), number_slice(number, value + n)));
    } else if (scan_takes(&s, value)) {
      TEST_OK(varve_txn_delete(m->txn[t], NULL, varve_iter_key(it)));
      count++;
    }
  }
  varve_iter_close(it);
  return count;
}

static void machine_get(machine *m, uint32_t t, varve_slice key, bool lock, bool increase) {
  varve_value v;
  char text[24];
  int rc = lock ? varve_txn_get_for_update(m->txn[t], key, NULL, &v) : varve_txn_get(m->txn[t], key, NULL, &v);
  TEST_OK(rc);
  machine_space(m);
  if (rc != VARVE_OK) {
    machine_say(m, "%s", rc == VARVE_CONFLICT ? "CONFLICT" : "-");
    return;
  }
  long value = slice_number((varve_slice){v.data, v.size});
  varve_value_release(&v);
  machine_say(m, "%ld", value);
  if (increase) TEST_OK(varve_txn_put(m->txn[t], NULL, key, number_slice(text, value + 1)));
}

static void machine_write(machine *m, uint32_t t, const char *verb, const char *text) {
  char a[24], b[24];
  long key = strtol(text, NULL, 10), value = 0;
  varve_slice from = number_slice(a, key);
  if (strcmp(verb, "put") == 0) {
    assert_true(sscanf(text, "%ld=%ld", &key, &value) == 2);
    varve_slice to = number_slice(b, value);
    TEST_OK(t == 0 ? varve_put(m->db, from, to, NULL) : varve_txn_put(m->txn[t], NULL, from, to));
  } else if (strcmp(verb, "del") == 0) {
    TEST_OK(t == 0 ? varve_delete(m->db, from, NULL) : varve_txn_delete(m->txn[t], NULL, from));
  } else {
    assert_true(sscanf(text, "%ld..%ld", &key, &value) == 2);
    varve_slice to = number_slice(b, value);
    TEST_OK(t == 0 ? varve_delete_range(m->db, from, to, NULL) : varve_txn_delete_range(m->txn[t], NULL, from, to));
  }
  if (t == 0) machine_settle(m);
}

static void machine_commit(machine *m, uint32_t t) {
  int rc = varve_txn_commit(m->txn[t]);
  varve_conflict c;
  TEST_OK(rc);
  machine_space(m);
  machine_say(m, "%s", rc == VARVE_OK ? "ok" : varve_status_name(rc));
  TEST_RC(varve_txn_get_conflict(m->txn[t], &c), rc == VARVE_CONFLICT ? VARVE_OK : VARVE_NOTFOUND);
  if (rc == VARVE_CONFLICT) {
    assert_true(c.key.size > 0 && c.keyspace == 0);
    if (c.range) assert_true(slice_compare(c.begin, c.key) <= 0);
    if (c.range && c.end.size > 0) assert_true(slice_compare(c.key, c.end) < 0);
  }
  machine_settle(m);
}

static void machine_savepoint(machine *m, uint32_t t, const char *verb, uint32_t wanted) {
  uint32_t number;
  if (strcmp(verb, "save") == 0) {
    TEST_OK(varve_txn_savepoint(m->txn[t], &number));
    assert_int_equal(number, wanted);
  } else if (strcmp(verb, "back") == 0) {
    TEST_OK(varve_txn_rollback_to(m->txn[t], wanted));
  } else {
    TEST_OK(varve_txn_release(m->txn[t], wanted));
  }
}

static void machine_step(machine *m, uint32_t t, const char *verb, const char *text) {
  static const scan all = {"", "", -1, 0};
  char key[24];
#define IS(word) (strcmp(verb, word) == 0)
  if (IS("begin")) {
    machine_begin(m, t);
  } else if (IS("get") || IS("lock") || IS("inc")) {
    machine_get(m, t, number_slice(key, strtol(text, NULL, 10)), !IS("get"), IS("inc"));
  } else if (IS("put") || IS("del") || IS("delr")) {
    machine_write(m, t, verb, text);
  } else if (IS("scan") || IS("rscan") || IS("scan1") || IS("rscan1")) {
    machine_scan(m, t, text, verb[0] == 'r', strchr(verb, '1') != NULL ? 1 : 0);
  } else if (IS("add")) {
    (void)machine_change(m, t, "", strtol(text, NULL, 10));
  } else if (IS("wipe")) {
    long count = machine_change(m, t, text, 0);
    machine_space(m);
    machine_say(m, "%ld", count);
  } else if (IS("open")) {
    m->open[t] = machine_iter(m, t, &all);
  } else if (IS("walk")) {
    machine_walk(m, m->open[t], &all, false, 0);
    varve_iter_close(m->open[t]);
  } else if (IS("save") || IS("back") || IS("keep")) {
    machine_savepoint(m, t, verb, (uint32_t)strtoul(text, NULL, 10));
  } else if (IS("commit")) {
    machine_commit(m, t);
  } else if (IS("abort")) {
    TEST_OK(varve_txn_rollback(m->txn[t]));
  } else if (IS("flush")) {
    TEST_OK(varve_flush(m->db));
  } else if (IS("compact")) {
    TEST_OK(varve_compact(m->db, NULL, NULL));
  } else {
    fail_msg("no such step: %s", verb);
  }
#undef IS
}

static void machine_run(machine *m, const char *schedule) {
  for (uint32_t t = 1; t < TXNS; t++) {
    char uses[4], begins[16];
    (void)snprintf(uses, sizeof uses, "%u:", t);
    (void)snprintf(begins, sizeof begins, "%u:begin", t);
    if (strstr(schedule, uses) != NULL && strstr(schedule, begins) == NULL) machine_begin(m, t);
  }
  for (const char *at = schedule; at != NULL && *at != '\0';) {
    unsigned t;
    char verb[16] = {0}, text[32] = {0};
    assert_true(sscanf(at, " %u:%15[a-z0-9] %31[^;]", &t, verb, text) >= 2);
    machine_step(m, t, verb, text);
    at = strchr(at, ';');
    if (at != NULL) at++;
  }
}

static void run_row(const row *r, varve_isolation level, variant v, char got[OUTCOME_MAX]) {
  machine m = {.level = level, .variant = v};
  varve_options o = {.no_thread = true};
  TEST_OK(varve_open(":memory:", &o, &m.db));
  TEST_OK(varve_put(m.db, VARVE_STR("1"), VARVE_STR("10"), NULL));
  TEST_OK(varve_put(m.db, VARVE_STR("2"), VARVE_STR("20"), NULL));
  machine_settle(&m);
  machine_run(&m, r->schedule);
  for (uint32_t t = 1; t < TXNS; t++) varve_txn_close(m.txn[t]);
  machine_scan(&m, 0, "", false, 0);
  TEST_OK(varve_verify(m.db, NULL, NULL, NULL));
  TEST_OK(varve_close(m.db));
  memcpy(got, m.said, OUTCOME_MAX);
}

static void test_table(void **state) {
  (void)state;
  static const char *const names[] = {"read committed", "snapshot", "serializable"};
  static const char *const variants[] = {"in memory", "flushed", "compacted"};
  uint32_t cells = 0, different = 0;
  char got[OUTCOME_MAX];
  for (size_t i = 0; i < COUNT_OF(rows); i++) {
    const char *wanted = NULL;
    print_message("%s\n", rows[i].name);
    for (int level = 0; level < LEVELS_TESTED; level++) {
      if (rows[i].outcome[level] != NULL) wanted = rows[i].outcome[level];
      for (int v = 0; v < VARIANTS; v++) {
        run_row(&rows[i], (varve_isolation)(VARVE_READ_COMMITTED + level), (variant)v, got);
        bool equal = strcmp(got, wanted) == 0;
        cells++;
        different += !equal;
        if (v == 0 || !equal) {
          print_message("  %-14s expected %s\n  %-14s got      %s%s%s\n", names[level], wanted, "", got,
                        equal ? "" : "  <== DIFFERENT ", equal ? "" : variants[v]);
        }
      }
    }
  }
  print_message("%zu schedules, %u cells, %u different\n", COUNT_OF(rows), cells, different);
  assert_int_equal(different, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_table)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
