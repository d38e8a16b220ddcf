/* bench_sqlite.c: SQLite as a key-value store: one table WITHOUT ROWID, prepared statements throughout.
 *
 * Settings: WAL; synchronous=OFF where Varve is relaxed, FULL where it is strict; the file mapped; a page cache as
 * large as Varve's memory bound. A put is a transaction of its own. Reads run in a read transaction that is ended and
 * begun again every BENCH_READ_RENEW reads. Full compaction is VACUUM and a checkpoint. */
#include "bench.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct sqlite_db {
  sqlite3 *sql;
  sqlite3_stmt *put, *del, *get, *forward, *backward, *seek, *begin, *commit;
  unsigned reads;
  bool reading;
} sqlite_db;

static void sqlite_check(sqlite_db *db, int rc) {
  if (rc != SQLITE_OK && rc != SQLITE_DONE && rc != SQLITE_ROW) bench_die("%s", sqlite3_errmsg(db->sql));
}

static void sqlite_exec(sqlite_db *db, const char *text) {
  sqlite_check(db, sqlite3_exec(db->sql, text, NULL, NULL, NULL));
}

static sqlite3_stmt *sqlite_prepare(sqlite_db *db, const char *text) {
  sqlite3_stmt *statement = NULL;
  sqlite_check(db, sqlite3_prepare_v3(db->sql, text, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL));
  return statement;
}

static void *sqlite_open(const bench_config *config) {
  sqlite_db *db = calloc(1, sizeof *db);
  char path[4096], pragma[128];
  if (db == NULL) bench_die("out of memory");
  if (snprintf(path, sizeof path, "%s/kv.sqlite", config->dir) >= (int)sizeof path) bench_die("the path is too long");
  if (sqlite3_open(path, &db->sql) != SQLITE_OK) bench_die("%s", sqlite3_errmsg(db->sql));
  sqlite_exec(db, "PRAGMA journal_mode=WAL");
  sqlite_exec(db, config->strict ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=OFF");
  snprintf(pragma, sizeof pragma, "PRAGMA cache_size=-%zu", BENCH_CACHE_BYTES >> 10);
  sqlite_exec(db, pragma);
  sqlite_exec(db, "PRAGMA mmap_size=17179869184");
  sqlite_exec(db, "CREATE TABLE IF NOT EXISTS kv(k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID");
  db->put = sqlite_prepare(db, "REPLACE INTO kv(k, v) VALUES(?1, ?2)");
  db->del = sqlite_prepare(db, "DELETE FROM kv WHERE k = ?1");
  db->get = sqlite_prepare(db, "SELECT v FROM kv WHERE k = ?1");
  db->forward = sqlite_prepare(db, "SELECT k, v FROM kv ORDER BY k");
  db->backward = sqlite_prepare(db, "SELECT k, v FROM kv ORDER BY k DESC");
  db->seek = sqlite_prepare(db, "SELECT k, v FROM kv WHERE k >= ?1 ORDER BY k LIMIT ?2");
  db->begin = sqlite_prepare(db, "BEGIN");
  db->commit = sqlite_prepare(db, "COMMIT");
  return db;
}

static void sqlite_run(sqlite_db *db, sqlite3_stmt *statement) {
  sqlite_check(db, sqlite3_step(statement));
  sqlite_check(db, sqlite3_reset(statement));
}

static void sqlite_read_end(sqlite_db *db) {
  if (db->reading) sqlite_run(db, db->commit);
  db->reading = false;
}

static void sqlite_read_begin(sqlite_db *db) {
  if (db->reading && ++db->reads < BENCH_READ_RENEW) return;
  sqlite_read_end(db);
  sqlite_run(db, db->begin);
  db->reading = true;
  db->reads = 0;
}

static void sqlite_close(void *handle) {
  sqlite_db *db = handle;
  sqlite_read_end(db);
  sqlite3_stmt *all[] = {db->put, db->del, db->get, db->forward, db->backward, db->seek, db->begin, db->commit};
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) sqlite3_finalize(all[i]);
  sqlite_check(db, sqlite3_close(db->sql));
  free(db);
}

static void sqlite_bind(sqlite3_stmt *statement, int at, const char *data, size_t size) {
  sqlite3_bind_blob(statement, at, data, (int)size, SQLITE_STATIC);
}

static void sqlite_put(void *handle, const char *key, const char *value, size_t value_size) {
  sqlite_db *db = handle;
  sqlite_read_end(db);
  sqlite_bind(db->put, 1, key, BENCH_KEY_SIZE);
  sqlite_bind(db->put, 2, value, value_size);
  sqlite_run(db, db->put);
}

static void sqlite_batch(void *handle, const bench_entry *entries, size_t count, bool ascending) {
  sqlite_db *db = handle;
  (void)ascending;
  sqlite_read_end(db);
  sqlite_run(db, db->begin);
  for (size_t i = 0; i < count; i++) sqlite_put(db, entries[i].key, entries[i].value, entries[i].value_size);
  sqlite_run(db, db->commit);
}

static void sqlite_del(void *handle, const char *key) {
  sqlite_db *db = handle;
  sqlite_read_end(db);
  sqlite_bind(db->del, 1, key, BENCH_KEY_SIZE);
  sqlite_run(db, db->del);
}

static void sqlite_touch(bench_sink *sink, sqlite3_stmt *statement, int column) {
  const void *data = sqlite3_column_blob(statement, column);
  bench_touch(sink, data, (size_t)sqlite3_column_bytes(statement, column));
}

static bool sqlite_get(void *handle, const char *key, size_t key_size, bench_sink *sink) {
  sqlite_db *db = handle;
  sqlite_read_begin(db);
  sqlite_bind(db->get, 1, key, key_size);
  int rc = sqlite3_step(db->get);
  sqlite_check(db, rc);
  if (rc == SQLITE_ROW) sqlite_touch(sink, db->get, 0);
  sqlite3_reset(db->get);
  return rc == SQLITE_ROW;
}

static uint64_t sqlite_rows(sqlite_db *db, sqlite3_stmt *statement, bench_sink *sink) {
  uint64_t count = 0;
  int rc = sqlite3_step(statement);
  for (; rc == SQLITE_ROW; rc = sqlite3_step(statement), count++) {
    sqlite_touch(sink, statement, 0);
    sqlite_touch(sink, statement, 1);
  }
  sqlite_check(db, rc);
  sqlite3_reset(statement);
  return count;
}

static uint64_t sqlite_scan(void *handle, bool reverse, bench_sink *sink) {
  sqlite_db *db = handle;
  sqlite_read_begin(db);
  return sqlite_rows(db, reverse ? db->backward : db->forward, sink);
}

static uint64_t sqlite_seek(void *handle, const char *key, unsigned nexts, bool reuse, bench_sink *sink) {
  sqlite_db *db = handle;
  (void)reuse;
  sqlite_read_begin(db);
  sqlite_bind(db->seek, 1, key, BENCH_KEY_SIZE);
  sqlite3_bind_int(db->seek, 2, (int)nexts + 1);
  return sqlite_rows(db, db->seek, sink);
}

static bool sqlite_compact(void *handle) {
  sqlite_db *db = handle;
  sqlite_read_end(db);
  sqlite_exec(db, "VACUUM");
  sqlite_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)");
  return true;
}

static uint64_t sqlite_log_bytes(void *handle, const char *dir) {
  (void)handle;
  return bench_suffix_bytes(dir, "-wal");
}

const bench_engine bench_the_engine = {
    "sqlite",   1 << 20,    sqlite_open, sqlite_close, sqlite_put,     sqlite_batch,
    sqlite_del, sqlite_get, sqlite_scan, sqlite_seek,  sqlite_compact, sqlite_log_bytes,
};
