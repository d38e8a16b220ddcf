/* bench_varve.c: Varve with its defaults, but for compression, which is off unless asked for as with the peers.
 * The variant "nothread" has no background thread: commits pay for the work. */
#include "bench.h"

#include "varve.h"

#include <stdlib.h>
#include <string.h>

typedef struct varve_bench {
  varve_db *db;
  varve_batch *batch;
  varve_iter *reused;
} varve_bench;

static void varve_check(const varve_bench *bench, int rc) {
  if (rc < 0) bench_die("%s: %s", varve_status_name(rc), varve_errmsg(bench->db));
}

static varve_slice varve_bytes(const char *data, size_t size) {
  varve_slice slice = {data, size};
  return slice;
}

static void *varve_bench_open(const bench_config *config) {
  varve_bench *bench = calloc(1, sizeof *bench);
  varve_options options = {0};
  if (bench == NULL) bench_die("out of memory");
  options.durability = config->strict ? VARVE_STRICT : VARVE_RELAXED;
  options.compression = config->compress ? VARVE_COMPRESSION_DEFAULT : VARVE_COMPRESSION_NONE;
  options.no_thread = strcmp(config->variant, "nothread") == 0;
  varve_check(bench, varve_open(config->dir, &options, &bench->db));
  varve_check(bench, varve_batch_create(&bench->batch));
  return bench;
}

static void varve_bench_close(void *handle) {
  varve_bench *bench = handle;
  varve_iter_close(bench->reused);
  varve_batch_destroy(bench->batch);
  varve_check(bench, varve_close(bench->db));
  free(bench);
}

static void varve_bench_put(void *handle, const char *key, const char *value, size_t value_size) {
  varve_bench *bench = handle;
  varve_check(bench, varve_put(bench->db, varve_bytes(key, BENCH_KEY_SIZE), varve_bytes(value, value_size), NULL));
}

static void varve_bench_batch(void *handle, const bench_entry *entries, size_t count, bool ascending) {
  varve_bench *bench = handle;
  (void)ascending;
  varve_batch_clear(bench->batch);
  for (size_t i = 0; i < count; i++) {
    varve_check(bench, varve_batch_put(bench->batch, NULL, varve_bytes(entries[i].key, BENCH_KEY_SIZE),
                                       varve_bytes(entries[i].value, entries[i].value_size)));
  }
  varve_check(bench, varve_write(bench->db, bench->batch, NULL));
}

static void varve_bench_del(void *handle, const char *key) {
  varve_bench *bench = handle;
  varve_check(bench, varve_delete(bench->db, varve_bytes(key, BENCH_KEY_SIZE), NULL));
}

static bool varve_bench_get(void *handle, const char *key, size_t key_size, bench_sink *sink) {
  varve_bench *bench = handle;
  varve_value value;
  int rc = varve_get(bench->db, varve_bytes(key, key_size), NULL, &value);
  if (rc == VARVE_NOTFOUND) return false;
  varve_check(bench, rc);
  bench_touch(sink, value.data, value.size);
  varve_value_release(&value);
  return true;
}

static void varve_touch(bench_sink *sink, const varve_iter *iter) {
  varve_slice key = varve_iter_key(iter), value = varve_iter_value(iter);
  bench_touch(sink, key.data, key.size);
  bench_touch(sink, value.data, value.size);
}

static uint64_t varve_bench_scan(void *handle, bool reverse, bench_sink *sink) {
  varve_bench *bench = handle;
  varve_iter *iter = NULL;
  uint64_t count = 0;
  varve_check(bench, varve_iter_open(bench->db, NULL, &iter));
  int rc = reverse ? varve_iter_last(iter) : varve_iter_first(iter);
  for (; rc == VARVE_OK; rc = reverse ? varve_iter_prev(iter) : varve_iter_next(iter), count++) {
    varve_touch(sink, iter);
  }
  varve_check(bench, rc);
  varve_iter_close(iter);
  return count;
}

static uint64_t varve_bench_seek(void *handle, const char *key, unsigned nexts, bool reuse, bench_sink *sink) {
  varve_bench *bench = handle;
  varve_iter *iter = bench->reused;
  uint64_t count = 0;
  if (!reuse || iter == NULL) varve_check(bench, varve_iter_open(bench->db, NULL, &iter));
  if (reuse) bench->reused = iter;
  int rc = varve_iter_seek(iter, varve_bytes(key, BENCH_KEY_SIZE));
  for (; rc == VARVE_OK; rc = varve_iter_next(iter)) {
    varve_touch(sink, iter);
    if (++count > nexts) break;
  }
  varve_check(bench, rc);
  if (!reuse) varve_iter_close(iter);
  return count;
}

static bool varve_bench_compact(void *handle) {
  varve_bench *bench = handle;
  varve_check(bench, varve_compact(bench->db, NULL, NULL));
  return true;
}

/* Log files are allocated ahead, so their size says too much. The keys of this workload are all different: what was
 * written and is in no table is what the log has to give back. */
static uint64_t varve_bench_log_bytes(void *handle, const char *dir) {
  varve_bench *bench = handle;
  varve_stats stats;
  uint64_t flushed = 0;
  (void)dir;
  varve_check(bench, varve_get_stats(bench->db, &stats));
  for (uint32_t i = 0; i < VARVE_LEVELS_MAX; i++) flushed += stats.level[i].entries;
  if (stats.writes == 0 || flushed >= stats.writes) return 0;
  double left = (double)(stats.writes - flushed) / (double)stats.writes;
  return (uint64_t)((double)stats.bytes_written * left);
}

const bench_engine bench_the_engine = {
    "varve",         8 << 20,         varve_bench_open, varve_bench_close, varve_bench_put,     varve_bench_batch,
    varve_bench_del, varve_bench_get, varve_bench_scan, varve_bench_seek,  varve_bench_compact, varve_bench_log_bytes,
};
