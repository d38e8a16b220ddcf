/* bench_main.c: the workloads. One process runs one group of them against one engine in one directory:
 *
 *     worker --group write --dir DIR [--variant 16m] [--n 1000000] [--seed 1] …
 *
 * and prints a line of JSON for each result: {"row": name, "value": number, "unit": "ops/s" | "ms" | "MiB", …}.
 *
 *   seq, batch, batchseq, sync   fill an empty directory
 *   write                        fillrandom, overwrite, then memory, reads as filled and disk; leaves the data for
 *   open, read, delete           which use it in this order; read compacts first
 *   crash                        writes and is killed by its own SIGKILL; leaves what crashopen has to recover
 *
 * The workloads are db_bench's, with two differences: fillrandom writes every key once, in random order, so that every
 * key of readrandom exists; and what was read is counted and checked. */
#include "bench.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_MAX   10000u
#define CRASH_KEYS  ((uint64_t)1 << 26)
#define SEEK_NEXTS  10u
#define MEMORY_STEP 65536u

typedef struct bench_run {
  bench_config config;
  const char *group;
  uint64_t n, reads, sync_n, batch, crash_mib, written, seed;
  size_t value_size;
  double ratio;
  void *db;
  bench_values values;
  bench_sink sink;
  uint64_t rss_start, private_start, private_max;
  double started, cpu_started;
} bench_run;

/* ---- Measuring and reporting ---------------------------------------------------------------------- */

static void run_number(const char *row, double value, const char *unit) {
  printf("{\"row\":\"%s\",\"value\":%.6f,\"unit\":\"%s\"}\n", row, value, unit);
  fflush(stdout);
}

static void run_start(bench_run *run) {
  run->cpu_started = bench_cpu_seconds();
  run->started = bench_seconds();
}

static double run_stop(bench_run *run, const char *row, uint64_t ops) {
  double seconds = bench_seconds() - run->started, cpu = bench_cpu_seconds() - run->cpu_started;
  printf("{\"row\":\"%s\",\"value\":%.1f,\"unit\":\"ops/s\",\"ops\":%" PRIu64 ",\"seconds\":%.6f,\"cpu\":%.6f}\n", row,
         (double)ops / seconds, ops, seconds, cpu);
  fflush(stdout);
  return seconds;
}

static void run_memory_sample(bench_run *run) {
  uint64_t now = bench_memory("RssAnon");
  if (now > run->private_max) run->private_max = now;
}

static double run_mib(uint64_t bytes) {
  return (double)bytes / (double)(1 << 20);
}

/* What the engine added to the process since before it was opened. VmHWM counts mapped files as well, which the kernel
 * can take back; the private row is the engine's own memory, sampled every MEMORY_STEP writes. */
static void run_memory(bench_run *run) {
  uint64_t peak = bench_memory("VmHWM");
  run_memory_sample(run);
  run_number("memory", run_mib(peak - run->rss_start), "MiB");
  run_number("memory_private", run_mib(run->private_max - run->private_start), "MiB");
}

static void run_open(bench_run *run) {
  bench_values_init(&run->values, run->ratio, run->value_size, run->seed);
  run->rss_start = bench_memory("VmRSS");
  run->private_start = bench_memory("RssAnon");
  run->db = bench_the_engine.open(&run->config);
}

static void run_close(bench_run *run) {
  double started = bench_seconds();
  bench_the_engine.close(run->db);
  run_number("close", (bench_seconds() - started) * 1e3, "ms");
}

static void run_expect(const char *what, uint64_t found, uint64_t expected) {
  if (found != expected) bench_die("%s found %" PRIu64 " entries instead of %" PRIu64, what, found, expected);
}

/* ---- Workloads ------------------------------------------------------------------------------------ */

typedef enum fill_order { FILL_ASCENDING, FILL_PERMUTED, FILL_RANDOM } fill_order;

static uint64_t fill_key(const bench_run *run, fill_order order, uint64_t i, uint64_t *state) {
  if (order == FILL_ASCENDING) return i;
  return order == FILL_PERMUTED ? bench_permute(i, run->n, run->seed) : bench_random_below(state, run->n);
}

static void work_fill(bench_run *run, const char *row, fill_order order, uint64_t ops) {
  uint64_t state = run->seed + (uint64_t)order;
  char key[BENCH_KEY_SIZE];
  run_start(run);
  for (uint64_t i = 0; i < ops; i++) {
    bench_key(key, fill_key(run, order, i, &state));
    bench_the_engine.put(run->db, key, bench_values_next(&run->values, run->value_size), run->value_size);
    if (i % MEMORY_STEP == 0) run_memory_sample(run);
  }
  run_stop(run, row, ops);
}

static void work_fill_batches(bench_run *run, const char *row, fill_order order) {
  bench_entry *entries = calloc(BATCH_MAX, sizeof *entries);
  uint64_t state = run->seed;
  if (entries == NULL) bench_die("out of memory");
  run_start(run);
  for (uint64_t i = 0; i < run->n;) {
    size_t count = 0;
    for (; count < run->batch && i < run->n; count++, i++) {
      bench_key(entries[count].key, fill_key(run, order, i, &state));
      entries[count].value = bench_values_next(&run->values, run->value_size);
      entries[count].value_size = run->value_size;
    }
    bench_the_engine.batch(run->db, entries, count, order == FILL_ASCENDING);
  }
  run_stop(run, row, run->n);
  free(entries);
}

/* Random gets among the first `range` keys; `miss` asks for keys between them that do not exist. */
static void work_read(bench_run *run, const char *row, uint64_t range, bool miss, uint64_t salt) {
  uint64_t state = run->seed ^ bench_mix(salt), found = 0;
  char key[BENCH_MISS_KEY_SIZE];
  size_t key_size = miss ? BENCH_MISS_KEY_SIZE : BENCH_KEY_SIZE;
  key[BENCH_KEY_SIZE] = '.';
  run_start(run);
  for (uint64_t i = 0; i < run->reads; i++) {
    bench_key(key, bench_random_below(&state, range));
    found += bench_the_engine.get(run->db, key, key_size, &run->sink);
  }
  run_stop(run, row, run->reads);
  run_expect(row, found, miss ? 0 : run->reads);
}

static void work_scan(bench_run *run, const char *row, bool reverse) {
  run_start(run);
  uint64_t found = bench_the_engine.scan(run->db, reverse, &run->sink);
  run_stop(run, row, run->n);
  run_expect(row, found, run->n);
}

static void work_seek(bench_run *run, const char *row, bool reuse) {
  uint64_t state = run->seed ^ bench_mix(9), ops = run->reads / 4 + 1, found = 0, expected = 0;
  char key[BENCH_KEY_SIZE];
  run_start(run);
  for (uint64_t i = 0; i < ops; i++) {
    uint64_t number = bench_random_below(&state, run->n), left = run->n - number;
    bench_key(key, number);
    found += bench_the_engine.seek(run->db, key, SEEK_NEXTS, reuse, &run->sink);
    expected += left < SEEK_NEXTS + 1 ? left : SEEK_NEXTS + 1;
  }
  run_stop(run, row, ops);
  run_expect(row, found, expected);
}

static void work_delete(bench_run *run) {
  uint64_t state = run->seed ^ bench_mix(5), distinct = 0;
  unsigned char *gone = calloc(1, (size_t)(run->n / 8 + 1));
  char key[BENCH_KEY_SIZE];
  if (gone == NULL) bench_die("out of memory");
  run_start(run);
  for (uint64_t i = 0; i < run->n; i++) {
    bench_key(key, bench_random_below(&state, run->n));
    bench_the_engine.del(run->db, key);
  }
  run_stop(run, "deleterandom", run->n);
  state = run->seed ^ bench_mix(5);
  for (uint64_t i = 0; i < run->n; i++) {
    uint64_t number = bench_random_below(&state, run->n);
    distinct += !(gone[number / 8] >> (number % 8) & 1);
    gone[number / 8] |= (unsigned char)(1u << (number % 8));
  }
  free(gone);
  run_expect("a scan after deleterandom", bench_the_engine.scan(run->db, false, &run->sink), run->n - distinct);
}

/* ---- Groups --------------------------------------------------------------------------------------- */

static void group_fill(bench_run *run) {
  run_open(run);
  if (strcmp(run->group, "seq") == 0) work_fill(run, "fillseq", FILL_ASCENDING, run->n);
  if (strcmp(run->group, "sync") == 0) work_fill(run, "fillsync", FILL_RANDOM, run->sync_n);
  if (strcmp(run->group, "batch") == 0) work_fill_batches(run, "fillbatch", FILL_PERMUTED);
  if (strcmp(run->group, "batchseq") == 0) work_fill_batches(run, "fillbatchseq", FILL_ASCENDING);
  run_close(run);
}

static void group_write(bench_run *run) {
  run_open(run);
  work_fill(run, "fillrandom", FILL_PERMUTED, run->n);
  work_fill(run, "overwrite", FILL_RANDOM, run->n);
  run_memory(run);
  work_read(run, "readrandom_filled", run->n, false, 1);
  run_close(run);
  run_number("disk", run_mib(bench_disk_bytes(run->config.dir)), "MiB");
}

static void group_read(bench_run *run) {
  run_open(run);
  run_start(run);
  if (bench_the_engine.compact(run->db)) run_stop(run, "compact", run->n);
  work_read(run, "readrandom", run->n, false, 2);
  work_read(run, "readmissing", run->n, true, 3);
  work_read(run, "readhot", (run->n + 99) / 100, false, 4);
  work_scan(run, "readseq", false);
  work_scan(run, "readreverse", true);
  work_seek(run, "seek10", false);
  work_seek(run, "seek10_reused", true);
  run_close(run);
  run_number("disk_compacted", run_mib(bench_disk_bytes(run->config.dir)), "MiB");
}

static void group_delete(bench_run *run) {
  run_open(run);
  work_delete(run);
  run_close(run);
}

/* An open in a process that did nothing else, and the first get after it, so that a lazy open cannot hide its work. */
static double group_open_timed(bench_run *run, const char *row, uint64_t number) {
  char key[BENCH_KEY_SIZE], first[64];
  bench_key(key, number);
  double started = bench_seconds();
  run->db = bench_the_engine.open(&run->config);
  double opened = bench_seconds();
  bool found = bench_the_engine.get(run->db, key, BENCH_KEY_SIZE, &run->sink);
  double read = bench_seconds();
  if (!found) bench_die("%s: a key that was written is not there", row);
  run_number(row, (opened - started) * 1e3, "ms");
  snprintf(first, sizeof first, "%s_get", row);
  run_number(first, (read - started) * 1e3, "ms");
  return (opened - started) * 1e3;
}

static void group_open(bench_run *run) {
  group_open_timed(run, "open", run->n / 2);
  run_close(run);
}

/* Writes without a clean end: at least crash_mib, then on until the log has a length worth measuring. */
static void group_crash(bench_run *run) {
  uint64_t entry = run->value_size + BENCH_KEY_SIZE, least = (run->crash_mib << 20) / entry, most = 2 * least, i = 0;
  char key[BENCH_KEY_SIZE];
  run_open(run);
  for (; i < most; i++) {
    bool look = i >= least && i % 1000 == 0;
    if (look && bench_the_engine.log_bytes(run->db, run->config.dir) >= bench_the_engine.log_goal) break;
    bench_key(key, bench_permute(i, CRASH_KEYS, run->seed));
    bench_the_engine.put(run->db, key, bench_values_next(&run->values, run->value_size), run->value_size);
  }
  run_number("crash_written", (double)i, "entries");
  run_number("crash_log", run_mib(bench_the_engine.log_bytes(run->db, run->config.dir)), "MiB");
  raise(SIGKILL);
}

static void group_crash_open(bench_run *run) {
  if (run->written == 0 || run->written > CRASH_KEYS) bench_die("needs --written N, what the crashed writer printed");
  group_open_timed(run, "open_crash", bench_permute(run->written - 1, CRASH_KEYS, run->seed));
  run_expect("the open after a kill", bench_the_engine.scan(run->db, false, &run->sink), run->written);
  run_close(run);
}

typedef struct bench_group {
  const char *name;
  void (*run)(bench_run *run);
} bench_group;

static const bench_group groups[] = {
    {"seq", group_fill},      {"batch", group_fill},
    {"batchseq", group_fill}, {"sync", group_fill},
    {"write", group_write},   {"open", group_open},
    {"read", group_read},     {"delete", group_delete},
    {"crash", group_crash},   {"crashopen", group_crash_open},
};

/* ---- Arguments ------------------------------------------------------------------------------------ */

static void main_argument(bench_run *run, const char *name, const char *value) {
  uint64_t number = strtoull(value, NULL, 10);
  if (strcmp(name, "--group") == 0)
    run->group = value;
  else if (strcmp(name, "--dir") == 0)
    run->config.dir = value;
  else if (strcmp(name, "--variant") == 0)
    run->config.variant = value;
  else if (strcmp(name, "--compression") == 0)
    run->config.compress = strcmp(value, "on") == 0;
  else if (strcmp(name, "--compression-ratio") == 0)
    run->ratio = strtod(value, NULL);
  else if (strcmp(name, "--n") == 0)
    run->n = number;
  else if (strcmp(name, "--reads") == 0)
    run->reads = number;
  else if (strcmp(name, "--sync-n") == 0)
    run->sync_n = number;
  else if (strcmp(name, "--batch") == 0)
    run->batch = number;
  else if (strcmp(name, "--crash-mib") == 0)
    run->crash_mib = number;
  else if (strcmp(name, "--written") == 0)
    run->written = number;
  else if (strcmp(name, "--seed") == 0)
    run->seed = number;
  else if (strcmp(name, "--value-size") == 0)
    run->value_size = (size_t)number;
  else
    bench_die("%s is not an option", name);
}

int main(int argc, char **argv) {
  bench_run run = {.config = {.variant = ""}, .n = 1000000, .sync_n = 2000, .batch = 1000, .crash_mib = 64};
  run.seed = 1;
  run.value_size = 100;
  run.ratio = 1;
  for (int i = 1; i + 1 < argc; i += 2) main_argument(&run, argv[i], argv[i + 1]);
  if (argc % 2 == 0 || run.config.dir == NULL || run.group == NULL) bench_die("needs --group NAME and --dir PATH");
  if (run.n == 0 || run.batch == 0 || run.batch > BATCH_MAX) bench_die("--n and --batch take 1 to 10,000 a batch");
  if (run.reads == 0) run.reads = run.n;
  run.config.strict = strcmp(run.group, "sync") == 0;
  for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
    if (strcmp(run.group, groups[i].name) != 0) continue;
    groups[i].run(&run);
    printf("{\"row\":\"read_sum\",\"value\":%" PRIu64 ",\"unit\":\"check\"}\n", run.sink.sum & 0xffffffffu);
    return 0;
  }
  bench_die("%s is not a group", run.group);
}
