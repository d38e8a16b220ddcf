/* bench_lmdb.c: LMDB.
 *
 * Settings: MDB_NOSYNC where Varve is relaxed (a commit is in the page cache and survives the process), LMDB's
 * default, synchronous commits where Varve is strict. The variant "writemap" adds MDB_WRITEMAP. LMDB takes no cache:
 * it reads the mapped file. A put is a transaction. Reads share one read transaction that is reset and renewed every
 * BENCH_READ_RENEW reads, as a careful program would, so that old pages do not stay pinned. A batch of ascending keys
 * uses MDB_APPEND. LMDB has no compaction in place, so that row is empty. */
#include "bench.h"

#include <lmdb.h>
#include <stdlib.h>
#include <string.h>

typedef struct lmdb_db {
  MDB_env *env;
  MDB_dbi dbi;
  MDB_txn *read;
  MDB_cursor *reused;
  unsigned reads;
  bool reading;
} lmdb_db;

static void lmdb_check(int rc) {
  if (rc != 0) bench_die("%s", mdb_strerror(rc));
}

static void *lmdb_open(const bench_config *config) {
  lmdb_db *db = calloc(1, sizeof *db);
  MDB_txn *txn = NULL;
  unsigned flags = MDB_NOTLS;
  if (db == NULL) bench_die("out of memory");
  if (!config->strict) flags |= MDB_NOSYNC;
  if (strcmp(config->variant, "writemap") == 0) flags |= MDB_WRITEMAP;
  lmdb_check(mdb_env_create(&db->env));
  lmdb_check(mdb_env_set_mapsize(db->env, (size_t)16 << 30));
  lmdb_check(mdb_env_open(db->env, config->dir, flags, 0644));
  lmdb_check(mdb_txn_begin(db->env, NULL, 0, &txn));
  lmdb_check(mdb_dbi_open(txn, NULL, 0, &db->dbi));
  lmdb_check(mdb_txn_commit(txn));
  return db;
}

static void lmdb_read_end(lmdb_db *db) {
  if (db->reused != NULL) mdb_cursor_close(db->reused);
  db->reused = NULL;
  if (db->reading) mdb_txn_reset(db->read);
  db->reading = false;
}

static void lmdb_read_begin(lmdb_db *db) {
  if (db->reading && ++db->reads < BENCH_READ_RENEW) return;
  if (db->reading) mdb_txn_reset(db->read);
  if (db->read == NULL) {
    lmdb_check(mdb_txn_begin(db->env, NULL, MDB_RDONLY, &db->read));
  } else {
    lmdb_check(mdb_txn_renew(db->read));
  }
  if (db->reused != NULL) lmdb_check(mdb_cursor_renew(db->read, db->reused));
  db->reading = true;
  db->reads = 0;
}

static void lmdb_close(void *handle) {
  lmdb_db *db = handle;
  lmdb_read_end(db);
  if (db->read != NULL) mdb_txn_abort(db->read);
  mdb_env_close(db->env);
  free(db);
}

static MDB_val lmdb_val(const char *data, size_t size) {
  MDB_val val;
  val.mv_size = size;
  val.mv_data = (void *)(uintptr_t)data;
  return val;
}

static void lmdb_put(void *handle, const char *key, const char *value, size_t value_size) {
  lmdb_db *db = handle;
  MDB_txn *txn = NULL;
  MDB_val k = lmdb_val(key, BENCH_KEY_SIZE), v = lmdb_val(value, value_size);
  if (db->reading) lmdb_read_end(db);
  lmdb_check(mdb_txn_begin(db->env, NULL, 0, &txn));
  lmdb_check(mdb_put(txn, db->dbi, &k, &v, 0));
  lmdb_check(mdb_txn_commit(txn));
}

static void lmdb_batch(void *handle, const bench_entry *entries, size_t count, bool ascending) {
  lmdb_db *db = handle;
  MDB_txn *txn = NULL;
  if (db->reading) lmdb_read_end(db);
  lmdb_check(mdb_txn_begin(db->env, NULL, 0, &txn));
  for (size_t i = 0; i < count; i++) {
    MDB_val k = lmdb_val(entries[i].key, BENCH_KEY_SIZE), v = lmdb_val(entries[i].value, entries[i].value_size);
    lmdb_check(mdb_put(txn, db->dbi, &k, &v, ascending ? MDB_APPEND : 0));
  }
  lmdb_check(mdb_txn_commit(txn));
}

static void lmdb_del(void *handle, const char *key) {
  lmdb_db *db = handle;
  MDB_txn *txn = NULL;
  MDB_val k = lmdb_val(key, BENCH_KEY_SIZE);
  if (db->reading) lmdb_read_end(db);
  lmdb_check(mdb_txn_begin(db->env, NULL, 0, &txn));
  int rc = mdb_del(txn, db->dbi, &k, NULL);
  if (rc != MDB_NOTFOUND) lmdb_check(rc);
  lmdb_check(mdb_txn_commit(txn));
}

static bool lmdb_get(void *handle, const char *key, size_t key_size, bench_sink *sink) {
  lmdb_db *db = handle;
  MDB_val k = lmdb_val(key, key_size), v;
  lmdb_read_begin(db);
  int rc = mdb_get(db->read, db->dbi, &k, &v);
  if (rc == MDB_NOTFOUND) return false;
  lmdb_check(rc);
  bench_touch(sink, v.mv_data, v.mv_size);
  return true;
}

static uint64_t lmdb_scan(void *handle, bool reverse, bench_sink *sink) {
  lmdb_db *db = handle;
  MDB_cursor *cursor = NULL;
  MDB_val k, v;
  uint64_t count = 0;
  lmdb_read_begin(db);
  lmdb_check(mdb_cursor_open(db->read, db->dbi, &cursor));
  int rc = mdb_cursor_get(cursor, &k, &v, reverse ? MDB_LAST : MDB_FIRST);
  for (; rc == 0; rc = mdb_cursor_get(cursor, &k, &v, reverse ? MDB_PREV : MDB_NEXT), count++) {
    bench_touch(sink, k.mv_data, k.mv_size);
    bench_touch(sink, v.mv_data, v.mv_size);
  }
  if (rc != MDB_NOTFOUND) lmdb_check(rc);
  mdb_cursor_close(cursor);
  return count;
}

static uint64_t lmdb_seek(void *handle, const char *key, unsigned nexts, bool reuse, bench_sink *sink) {
  lmdb_db *db = handle;
  MDB_cursor *cursor = NULL;
  MDB_val k = lmdb_val(key, BENCH_KEY_SIZE), v;
  uint64_t count = 0;
  lmdb_read_begin(db);
  if (!reuse) lmdb_check(mdb_cursor_open(db->read, db->dbi, &cursor));
  if (reuse && db->reused == NULL) lmdb_check(mdb_cursor_open(db->read, db->dbi, &db->reused));
  if (reuse) cursor = db->reused;
  int rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
  for (; rc == 0; rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) {
    bench_touch(sink, k.mv_data, k.mv_size);
    bench_touch(sink, v.mv_data, v.mv_size);
    if (++count > nexts) break;
  }
  if (rc != MDB_NOTFOUND) lmdb_check(rc);
  if (!reuse) mdb_cursor_close(cursor);
  return count;
}

static bool lmdb_compact(void *handle) {
  (void)handle;
  return false;
}

static uint64_t lmdb_log_bytes(void *handle, const char *dir) {
  (void)handle;
  (void)dir;
  return 0;
}

const bench_engine bench_the_engine = {"lmdb",   0,        lmdb_open, lmdb_close, lmdb_put,     lmdb_batch,
                                       lmdb_del, lmdb_get, lmdb_scan, lmdb_seek,  lmdb_compact, lmdb_log_bytes};
