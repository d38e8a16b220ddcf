/* fuzz_seed.c: small databases whose files are what fuzzing begins with: a log alone, tables in levels, both closed
 * and killed.
 */
#include "fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/api_int.h"

static void seed_put(varve_db *db, varve_keyspace *space, unsigned i, size_t size) {
  char key[16], value[200];
  varve_write_options o = {VARVE_DURABILITY_DEFAULT, space};
  int n = snprintf(key, sizeof key, "k%02u", i % 40);
  for (size_t k = 0; k < size; k++) value[k] = (char)(k % 5 == 0 ? 'a' + (int)i % 26 : 'x');
  FUZZ_CHECK(varve_put(db, (varve_slice){key, (size_t)n}, (varve_slice){value, size}, &o) >= 0);
}

static void seed_log(varve_db *db) {
  varve_keyspace *space;
  FUZZ_CHECK(varve_keyspace_open(db, VARVE_STR("s"), &space) >= 0);
  for (unsigned i = 0; i < 4; i++) seed_put(db, i % 2 == 0 ? NULL : space, i, 8 + i);
  FUZZ_CHECK(varve_sync(db) >= 0);
  FUZZ_CHECK(varve_delete(db, VARVE_STR("k01"), NULL) >= 0);
  FUZZ_CHECK(varve_delete_range(db, VARVE_STR("k02"), VARVE_STR("k09"), NULL) >= 0);
  seed_put(db, NULL, 3, 0);
}

static void seed_tables(varve_db *db) {
  varve_snapshot *snapshot;
  for (unsigned i = 0; i < 16; i++) seed_put(db, NULL, i, 40);
  FUZZ_CHECK(varve_compact(db, NULL, NULL) >= 0);
  FUZZ_CHECK(varve_snapshot_open(db, &snapshot) >= 0);
  for (unsigned i = 4; i < 12; i++) seed_put(db, NULL, i, 5);
  FUZZ_CHECK(varve_delete_range(db, VARVE_STR("k05"), VARVE_STR("k07"), NULL) >= 0);
  FUZZ_CHECK(varve_delete(db, VARVE_STR("k00"), NULL) >= 0);
  FUZZ_CHECK(varve_flush(db) >= 0);
  varve_snapshot_close(snapshot);
}

static vfs *seed_fs;

static int seed_keep_fs(vfs *fs) {
  seed_fs = fs;
  return VARVE_OK;
}

void fuzz_sample(unsigned which, fuzz_files *files) {
  static vfs_ops ops;
  varve_options o = {.no_thread = true, .memory_bytes = 1, .block_bytes = 1, .sync_interval_ms = 1000000};
  bool closed = which % 2 == 1;
  varve_db *db;
  env *e = fuzz_env(api_allocator());
  const vfs_ops *own = e->fs->ops;
  ops = *own;
  ops.close_fs = seed_keep_fs;
  e->fs->ops = &ops;
  FUZZ_CHECK(vfs_lock(e->fs, 0) >= 0);
  FUZZ_CHECK(api_open(e, &o, &db) >= 0);
  if (which >= 2) seed_tables(db);
  seed_log(db);
  if (!closed) fuzz_files_of(db->env->fs, files);
  FUZZ_CHECK(varve_close(db) >= 0);
  if (closed) fuzz_files_of(seed_fs, files);
  seed_fs->ops = own;
  FUZZ_CHECK(vfs_close_fs(seed_fs) >= 0);
}
