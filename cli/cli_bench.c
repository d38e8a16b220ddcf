/* cli_bench.c: a small measurement of this machine: fill in order, fill at random, read at random, scan.
 *
 * It works in a keyspace of its own and drops it. Comparisons with other engines are the business of bench/.
 */
#include <inttypes.h>
#include <string.h>

#include "cli.h"

#define BENCH_KEYSPACE   "varve-bench"
#define BENCH_KEY_SIZE   16
#define BENCH_VALUE_SIZE 100

typedef struct bench_work {
  cli_state *cli;
  varve_keyspace *keyspace;
  uint64_t n, state; /* xorshift64*: a fixed seed, so that two runs do the same work */
  char value[BENCH_VALUE_SIZE];
} bench_work;

static uint64_t bench_random(bench_work *bench) {
  bench->state ^= bench->state >> 12;
  bench->state ^= bench->state << 25;
  bench->state ^= bench->state >> 27;
  return bench->state * UINT64_C(2685821657736338717);
}

static varve_slice bench_key(char key[BENCH_KEY_SIZE + 1], uint64_t number) {
  int size = snprintf(key, BENCH_KEY_SIZE + 1, "%016" PRIu64, number);
  CLI_ASSERT(size == BENCH_KEY_SIZE);
  return (varve_slice){key, BENCH_KEY_SIZE};
}

static int bench_fill(bench_work *bench, bool random) {
  varve_write_options options = {.keyspace = bench->keyspace};
  char key[BENCH_KEY_SIZE + 1];
  for (uint64_t i = 0; i < bench->n; i++) {
    uint64_t number = random ? bench_random(bench) % bench->n : i;
    memcpy(bench->value, &i, sizeof i); /* each value is different, as in real data */
    varve_slice value = {bench->value, BENCH_VALUE_SIZE};
    int status = varve_put(bench->cli->db, bench_key(key, number), value, &options);
    if (status != VARVE_OK) return status;
  }
  return VARVE_OK;
}

static int bench_fill_in_order(bench_work *bench) {
  return bench_fill(bench, false);
}

static int bench_fill_at_random(bench_work *bench) {
  return bench_fill(bench, true);
}

static int bench_read_at_random(bench_work *bench) {
  varve_read_options options = {.keyspace = bench->keyspace};
  char key[BENCH_KEY_SIZE + 1];
  for (uint64_t i = 0; i < bench->n; i++) {
    varve_value value;
    int status = varve_get(bench->cli->db, bench_key(key, bench_random(bench) % bench->n), &options, &value);
    if (status != VARVE_OK) return status;
    CLI_ASSERT(value.size == BENCH_VALUE_SIZE);
    varve_value_release(&value);
  }
  return VARVE_OK;
}

static int bench_scan(bench_work *bench) {
  varve_iter_options options = {.keyspace = bench->keyspace};
  varve_iter *iter = NULL;
  uint64_t seen = 0;
  int status = varve_iter_open(bench->cli->db, &options, &iter);
  if (status == VARVE_OK) status = varve_iter_first(iter);
  for (; status == VARVE_OK; status = varve_iter_next(iter)) seen++;
  varve_iter_close(iter);
  CLI_ASSERT(status < 0 || seen == bench->n);
  return status < 0 ? status : VARVE_OK;
}

static int bench_compact(bench_work *bench) {
  return varve_compact(bench->cli->db, NULL, NULL);
}

static int bench_run(bench_work *bench) {
  static const struct {
    const char *name;
    int (*run)(struct bench_work *);
  } steps[] = {{"fill in order", bench_fill_in_order},
               {"fill at random", bench_fill_at_random},
               {"read at random", bench_read_at_random},
               {"scan", bench_scan},
               {"compact", bench_compact},
               {"read when compacted", bench_read_at_random},
               {"scan when compacted", bench_scan}};
  cli_output *out = &bench->cli->out;
  char entries[32];
  cli_count_text(entries, bench->n);
  (void)cli_print(out, "%s entries, keys of %d bytes, values of %d bytes, %s\n", entries, BENCH_KEY_SIZE,
                  BENCH_VALUE_SIZE, bench->cli->options.durability == VARVE_STRICT ? "strict" : "relaxed");
  (void)cli_print(out, "%-22s %14s %12s %10s\n", "", "per second", "us each", "MB/s");
  for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
    uint64_t start = terminal_now_us();
    int status = steps[i].run(bench);
    if (status != VARVE_OK) return cli_db_failed(bench->cli->db, status);
    uint64_t elapsed = terminal_now_us() - start;
    if (elapsed == 0) elapsed = 1;
    double each = (double)elapsed / (double)bench->n;
    double bytes = (double)bench->n * (BENCH_KEY_SIZE + BENCH_VALUE_SIZE);
    char per_second[32];
    cli_count_text(per_second, (uint64_t)(1e6 / each));
    (void)cli_print(out, "%-22s %14s %12.3f %10.1f\n", steps[i].name, per_second, each, bytes / (double)elapsed);
    (void)fflush(out->file);
    if (terminal_interrupted()) return cli_fail(CLI_ERROR, "interrupted");
  }
  return CLI_OK;
}

/* Whether the default keyspace has any. */
static int bench_has_entries(varve_db *db, bool *any) {
  varve_iter *iter = NULL;
  int status = varve_iter_open(db, NULL, &iter);
  if (status == VARVE_OK) status = varve_iter_first(iter);
  *any = status == VARVE_OK;
  varve_iter_close(iter);
  return status < 0 ? status : VARVE_OK;
}

int cli_run_bench(cli_state *cli) {
  bench_work bench = {.cli = cli, .n = cli->command.n != 0 ? cli->command.n : 100000, .state = 88172645463325252u};
  varve_slice name = VARVE_STR(BENCH_KEYSPACE);
  cli_names names;
  int status = cli_names_read(cli->db, &names);
  bool there = false, used = names.count > 0;
  for (size_t i = 0; i < names.count; i++)
    there = there || cli_slice_is(cli_buf_slice(&names.names[i]), BENCH_KEYSPACE);
  cli_names_free(&names);
  if (status != VARVE_OK) return cli_db_failed(cli->db, status);
  if (there) {
    return cli_fail(CLI_ERROR,
                    "there is a keyspace '%s' already; if an earlier bench left it, remove it: varve %s drop %s",
                    BENCH_KEYSPACE, cli->path, BENCH_KEYSPACE);
  }
  if (!used) status = bench_has_entries(cli->db, &used);
  if (status != VARVE_OK) return cli_db_failed(cli->db, status);
  if (used && (cli->command.given & CLI_OPT_FORCE) == 0) {
    return cli_usage("'%s' has entries, and bench would compact them; give it another path, :memory:, or --force",
                     cli->path);
  }
  for (size_t i = 0; i < BENCH_VALUE_SIZE; i++) bench.value[i] = (char)(i % 2 == 0 ? bench_random(&bench) : 'v');
  int failed = cli_keyspace(cli, name, true, &bench.keyspace);
  if (failed) return failed;
  failed = bench_run(&bench);
  status = varve_keyspace_drop(cli->db, name);
  if (!failed && status == VARVE_OK) status = varve_compact(cli->db, NULL, NULL);
  if (!failed && status != VARVE_OK) failed = cli_db_failed(cli->db, status);
  return failed;
}

#undef BENCH_KEYSPACE
#undef BENCH_KEY_SIZE
#undef BENCH_VALUE_SIZE
