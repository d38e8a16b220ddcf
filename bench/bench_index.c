/* bench_index.c: indexes: inserts, finds by HASH and by BTREE, and misses, beside LMDB's sorted duplicates.
 *
 *   bench_index DIRECTORY [rows, default 1,000,000] [rounds, default 3]
 *
 * Each row has one posting: an index key of 16 bytes, 200 (URLs with random ends) or 201 (random beginnings) and a
 * primary key of 16. Postings are inserted in transactions of 1,000, the database is closed and opened again, and
 * random keys are found. Times are of the thread's processor, so that other programs disturb them less; the best
 * round counts. Compression is off, as LMDB has none, but for the rows that say LZ4.
 */
#include "bench.h"

#include "varve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#ifdef BENCH_LMDB
#include <lmdb.h>
#endif

enum { PRIMARY = 16, KEY_MAX = 201, FINDS = 200000, COMMIT = 1000 };

typedef struct run {
  const char *title;
  varve_index_kind kind; /* 0 = LMDB */
  bool unique, lz4, iterate;
  size_t key_size;
  double insert, find, miss; /* ns each, the best so far */
} run;

const bench_engine bench_the_engine = {.name = "index"}; /* for bench_die */

static char index_path[400];
static uint32_t index_rows;
static bench_sink index_sink;

static double index_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void index_check(int rc) {
  if (rc < 0) bench_die("%s: %s", varve_status_name(rc), varve_errmsg(NULL));
}

/* 16 hexadecimal digits, or 200 bytes: an URL that ends with them or, as a key of 201, letters that begin with them. */
static varve_slice index_key(char *out, size_t size, uint32_t row) {
  char digits[17];
  snprintf(digits, sizeof digits, "%016llx", (unsigned long long)bench_mix(row));
  if (size > 16) {
    for (size_t i = 0; i < size; i++) out[i] = (char)('a' + (bench_mix(i / 4) >> i % 4 * 8) % 26);
    memcpy(out, "https://example.com/", 20);
  }
  memcpy(size > 200 ? out : out + size - 16, digits, 16);
  varve_slice key = {out, size};
  return key;
}

static char *index_keys(size_t size, uint32_t first, uint32_t seed) {
  char *keys = malloc((size_t)FINDS * size);
  if (keys == NULL) bench_die("out of memory");
  for (uint32_t i = 0; i < FINDS; i++) {
    index_key(keys + (size_t)i * size, size, first + (uint32_t)(bench_mix(seed + (uint64_t)i) % index_rows));
  }
  return keys;
}

static void index_best(double *best, double seconds, uint32_t count) {
  double each = seconds * 1e9 / count;
  if (*best <= 0 || each < *best) *best = each;
}

static void index_clear(void) {
  char command[1000];
  snprintf(command, sizeof command, "rm -rf '%s' && mkdir -p '%s'", index_path, index_path);
  if (system(command) != 0) bench_die("%s failed", command);
}

/* ---- Varve ---- */

static varve_db *index_open(const run *r, varve_index **ix) {
  varve_db *db;
  varve_options o = {.compression = r->lz4 ? VARVE_COMPRESSION_LZ4 : VARVE_COMPRESSION_NONE};
  varve_index_options io = {.kind = r->kind, .unique = r->unique};
  index_check(varve_open(index_path, &o, &db));
  int rc = varve_index_open(db, VARVE_STR("i"), &io, ix);
  if (rc == VARVE_NOTFOUND) rc = varve_index_create(db, VARVE_STR("i"), &io, ix);
  index_check(rc);
  return db;
}

static void index_fill(varve_db *db, varve_index *ix, const run *r) {
  char key[KEY_MAX], primary[PRIMARY + 1];
  for (uint32_t row = 0; row < index_rows;) {
    varve_txn *t;
    index_check(varve_txn_begin(db, NULL, &t));
    for (uint32_t i = 0; i < COMMIT && row < index_rows; i++, row++) {
      snprintf(primary, sizeof primary, "%016u", row);
      varve_slice p = {primary, PRIMARY};
      index_check(varve_index_insert(ix, t, index_key(key, r->key_size, row), p));
    }
    index_check(varve_txn_commit(t));
    varve_txn_close(t);
  }
}

static bool index_find(varve_index *ix, const run *r, varve_slice key) {
  varve_value v;
  if (!r->iterate) {
    int rc = varve_index_get(ix, NULL, key, &v);
    index_check(rc);
    bench_touch(&index_sink, v.data, v.size);
    varve_value_release(&v);
    return rc == VARVE_OK;
  }
  varve_iter *it;
  index_check(varve_index_find(ix, NULL, key, &it));
  int rc = varve_iter_first(it);
  index_check(rc);
  varve_slice p = varve_iter_value(it);
  bench_touch(&index_sink, p.data, p.size);
  varve_iter_close(it);
  return rc == VARVE_OK;
}

static double index_finds(varve_index *ix, const run *r, const char *keys, bool there) {
  double begin = index_seconds();
  for (uint32_t i = 0; i < FINDS; i++) {
    varve_slice key = {keys + (size_t)i * r->key_size, r->key_size};
    if (index_find(ix, r, key) != there) bench_die("a key was%s found", there ? " not" : "");
  }
  return index_seconds() - begin;
}

static void index_varve(run *r, uint32_t seed) {
  varve_index *ix;
  index_clear();
  varve_db *db = index_open(r, &ix);
  double begin = index_seconds();
  index_fill(db, ix, r);
  index_best(&r->insert, index_seconds() - begin, index_rows);
  index_check(varve_close(db));
  db = index_open(r, &ix);
  char *keys = index_keys(r->key_size, 0, seed), *absent = index_keys(r->key_size, index_rows, seed);
  index_finds(ix, r, keys, true); /* pages that were not there yet */
  index_best(&r->find, index_finds(ix, r, keys, true), FINDS);
  index_best(&r->miss, index_finds(ix, r, absent, false), FINDS);
  free(keys);
  free(absent);
  index_check(varve_close(db));
}

/* ---- LMDB ---- */

#ifdef BENCH_LMDB
static void lmdb_check(int rc) {
  if (rc != 0) bench_die("LMDB: %s", mdb_strerror(rc));
}

static double lmdb_finds(MDB_env *env, MDB_dbi dbi, size_t size, char *keys, bool there) {
  double begin = index_seconds();
  MDB_txn *t;
  MDB_cursor *c;
  lmdb_check(mdb_txn_begin(env, NULL, MDB_RDONLY, &t));
  lmdb_check(mdb_cursor_open(t, dbi, &c));
  for (uint32_t i = 0; i < FINDS; i++) {
    MDB_val key = {size, keys + (size_t)i * size}, value;
    int rc = mdb_cursor_get(c, &key, &value, MDB_SET_KEY);
    if ((rc == 0) != there) bench_die("LMDB: a key was%s found", there ? " not" : "");
    if (rc == 0) bench_touch(&index_sink, value.mv_data, value.mv_size);
    if (i % BENCH_READ_RENEW == BENCH_READ_RENEW - 1) { /* each read of Varve's sees the latest */
      mdb_txn_reset(t);
      lmdb_check(mdb_txn_renew(t));
      lmdb_check(mdb_cursor_renew(t, c));
    }
  }
  mdb_cursor_close(c);
  mdb_txn_abort(t);
  return index_seconds() - begin;
}

static MDB_env *lmdb_open(MDB_dbi *dbi) {
  MDB_env *env;
  MDB_txn *t;
  lmdb_check(mdb_env_create(&env));
  lmdb_check(mdb_env_set_mapsize(env, (size_t)4 << 30));
  lmdb_check(mdb_env_set_maxdbs(env, 1));
  lmdb_check(mdb_env_open(env, index_path, MDB_NOSYNC | MDB_NORDAHEAD, 0644));
  lmdb_check(mdb_txn_begin(env, NULL, 0, &t));
  lmdb_check(mdb_dbi_open(t, "i", MDB_CREATE | MDB_DUPSORT, dbi));
  lmdb_check(mdb_txn_commit(t));
  return env;
}

static void index_lmdb(run *r, uint32_t seed) {
  char key[KEY_MAX], primary[PRIMARY + 1];
  MDB_dbi dbi;
  index_clear();
  MDB_env *env = lmdb_open(&dbi);
  double begin = index_seconds();
  for (uint32_t row = 0; row < index_rows;) {
    MDB_txn *t;
    lmdb_check(mdb_txn_begin(env, NULL, 0, &t));
    for (uint32_t i = 0; i < COMMIT && row < index_rows; i++, row++) {
      index_key(key, r->key_size, row);
      snprintf(primary, sizeof primary, "%016u", row);
      MDB_val k = {r->key_size, key}, v = {PRIMARY, primary};
      lmdb_check(mdb_put(t, dbi, &k, &v, 0));
    }
    lmdb_check(mdb_txn_commit(t));
  }
  index_best(&r->insert, index_seconds() - begin, index_rows);
  mdb_env_close(env);
  env = lmdb_open(&dbi);
  char *keys = index_keys(r->key_size, 0, seed), *absent = index_keys(r->key_size, index_rows, seed);
  lmdb_finds(env, dbi, r->key_size, keys, true);
  index_best(&r->find, lmdb_finds(env, dbi, r->key_size, keys, true), FINDS);
  index_best(&r->miss, lmdb_finds(env, dbi, r->key_size, absent, false), FINDS);
  free(keys);
  free(absent);
  mdb_env_close(env);
}
#endif

int main(int count, char **arguments) {
  static run runs[] = {
      {.title = "BTREE, get", .kind = VARVE_BTREE},
      {.title = "HASH, get", .kind = VARVE_HASH},
      {.title = "BTREE, find", .kind = VARVE_BTREE, .iterate = true},
      {.title = "HASH, find", .kind = VARVE_HASH, .iterate = true},
      {.title = "BTREE, unique", .kind = VARVE_BTREE, .unique = true},
      {.title = "HASH, unique", .kind = VARVE_HASH, .unique = true},
      {.title = "BTREE, LZ4", .kind = VARVE_BTREE, .lz4 = true},
      {.title = "HASH, LZ4", .kind = VARVE_HASH, .lz4 = true},
#ifdef BENCH_LMDB
      {.title = "LMDB dupsort"},
#endif
  };
  if (count < 2) bench_die("usage: bench_index DIRECTORY [rows] [rounds]");
  snprintf(index_path, sizeof index_path, "%s/index", arguments[1]);
  index_rows = count > 2 ? (uint32_t)strtoul(arguments[2], NULL, 10) : 1000000;
  uint32_t rounds = count > 3 ? (uint32_t)strtoul(arguments[3], NULL, 10) : 3;
  printf("%-16s %8s %12s %10s %10s   (ns of processor time each; %u rows, best of %u rounds)\n", "", "key", "insert",
         "find", "miss", index_rows, rounds);
  static const size_t sizes[] = {16, 200, KEY_MAX};
  for (size_t which = 0; which < sizeof sizes / sizeof sizes[0]; which++) {
    size_t key_size = sizes[which];
    for (uint32_t round = 0; round < rounds; round++) {
      for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        run *r = &runs[i];
        if (round == 0) r->insert = r->find = r->miss = 0;
        r->key_size = key_size;
#ifdef BENCH_LMDB
        if (r->kind == 0) {
          index_lmdb(r, 7 + round);
          continue;
        }
#endif
        index_varve(r, 7 + round);
      }
    }
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
      printf("%-16s %6zu B %12.0f %10.0f %10.0f\n", runs[i].title, key_size, runs[i].insert, runs[i].find,
             runs[i].miss);
    }
  }
  index_clear();
  return index_sink.sum == 0;
}
