/* make_golden.c: makes a golden database: `make_golden DIRECTORY FILE.varve`, which must not exist: the same database as
 * a directory and in one file. The same bytes each time: without a thread, and with ids and salts from a fixed seed.
 *
 * It leaves tables on several levels with LZ4 blocks and range tombstones, a keyspace, and a log that was not flushed.
 */
#include "golden.h"

#include <stdlib.h>

#include "api/api_int.h"
#include "base/rng.h"
#include "lsm/lsm_int.h"

static rng golden_entropy = {UINT64_C(20240101)};

static void golden_random(env *self, void *data, size_t size) {
  (void)self;
  for (size_t i = 0; i < size; i++) ((uint8_t *)data)[i] = (uint8_t)rng_next(&golden_entropy);
}

static void golden_ok(int rc, const char *what) {
  if (rc >= 0) return;
  fprintf(stderr, "make_golden: %s: %s\n", what, varve_errmsg(NULL));
  exit(1);
}

static void golden_put(varve_db *db, varve_keyspace *space, uint32_t i, uint32_t turn) {
  char key[32], value[GOLDEN_VALUE_MAX + 1];
  varve_write_options o = {VARVE_DURABILITY_DEFAULT, space};
  golden_ok(varve_put(db, golden_key(key, i), golden_value(value, i, turn), &o), "put");
}

static void golden_fill(varve_db *db) {
  varve_keyspace *other;
  golden_ok(varve_keyspace_open(db, VARVE_STR("other"), &other), "keyspace");
  for (uint32_t i = 0; i < GOLDEN_KEYS; i++) golden_put(db, NULL, i, 1);
  for (uint32_t i = 0; i < 50; i++) golden_put(db, other, i, 1);
  golden_ok(varve_compact(db, NULL, NULL), "compact");
}

static void golden_change(varve_db *db) {
  char from[32], to[32];
  varve_keyspace *other;
  golden_ok(varve_keyspace_open(db, VARVE_STR("other"), &other), "keyspace");
  for (uint32_t i = 0; i < GOLDEN_KEYS; i += 4) golden_put(db, NULL, i, 2);
  varve_write_options o = {VARVE_DURABILITY_DEFAULT, other};
  for (uint32_t i = 0; i < 50; i += 5) golden_ok(varve_delete(db, golden_key(from, i), &o), "delete");
  golden_ok(varve_delete_range(db, golden_key(from, 100), golden_key(to, 200), NULL), "delete_range");
  golden_ok(varve_flush(db), "flush");
  for (uint32_t i = 7; i < GOLDEN_KEYS; i += 50) golden_ok(varve_delete(db, golden_key(from, i), NULL), "delete");
  golden_ok(varve_flush(db), "flush");
}

/* What stays in the log. */
static void golden_fill_log(varve_db *db) {
  char from[32], to[32];
  for (uint32_t i = 3; i < GOLDEN_KEYS; i += 10) {
    if (golden_turn(i) == 3) golden_put(db, NULL, i, 3);
  }
  golden_ok(varve_delete_range(db, golden_key(from, 300), golden_key(to, 310), NULL), "delete_range");
  for (uint32_t i = 0; i < GOLDEN_LATE; i++) golden_put(db, NULL, GOLDEN_KEYS + i, 4);
}

typedef struct golden_spare {
  uint64_t keep, spare;
} golden_spare;

static int golden_find_spare(void *context, file_kind kind, uint64_t number, uint64_t size) {
  golden_spare *s = context;
  (void)size;
  if (kind == FILE_WAL && number != s->keep) s->spare = number;
  return 0;
}

/* Takes away what says nothing: the zeros behind the log's end, and spare files for logs to come. */
static void golden_trim(const char *path, uint64_t log, uint64_t end) {
  env *e;
  vfs_file *file;
  golden_ok(env_open(api_allocator(), path, 0, &e), "open");
  vfs *fs = e->fs;
  golden_ok(vfs_lock(fs, 0), "lock");
  golden_ok(vfs_open(fs, FILE_WAL, log, VFS_WRITE, &file), "open the log");
  golden_ok(vfs_truncate(file, end), "cut the log");
  golden_ok(vfs_close(file), "close the log");
  for (;;) {
    golden_spare s = {log, 0};
    golden_ok(vfs_list(fs, golden_find_spare, &s), "list");
    if (s.spare == 0) break;
    golden_ok(vfs_remove(fs, FILE_WAL, s.spare), "remove");
  }
  golden_ok(vfs_sync_dir(fs), "sync");
  golden_ok(vfs_unlock(fs), "unlock");
  golden_ok(env_close(e), "close");
}

int main(int argc, char **argv) {
  env *e;
  varve_db *db;
  varve_snapshot *before;
  varve_options o = {
      .no_thread = true, .must_not_exist = true, .sync_interval_ms = 1000000, .table_bytes = 1, .block_bytes = 1024};
  if (argc != 3) {
    fprintf(stderr, "the form is: make_golden DIRECTORY FILE.varve\n");
    return 2;
  }
  golden_ok(env_open(api_allocator(), argv[1], VFS_PLACE_CREATE, &e), "open");
  golden_ok(vfs_lock(e->fs, 0), "lock");
  e->random = golden_random;
  golden_ok(api_open(e, &o, &db), "open");
  golden_fill(db);
  golden_ok(varve_snapshot_open(db, &before), "snapshot"); /* keeps what is deleted from being compacted away */
  golden_change(db);
  golden_fill_log(db);
  uint64_t log = wal_file_number(db->lsm->wal), end = wal_end(db->lsm->wal);
  varve_snapshot_close(before);
  golden_ok(varve_close(db), "close");
  golden_trim(argv[1], log, end);
  golden_ok(varve_convert(argv[1], argv[2], NULL, NULL), "convert");
  return 0;
}
