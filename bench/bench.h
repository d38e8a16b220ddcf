/* bench.h: what a benchmarked engine has to offer, and the tools that every workload uses.
 *
 * One worker program is built for each engine (bench_main.c + bench_util.c + bench_<engine>), so that no engine pays
 * for another's shared library in its memory row. The worker runs one group of workloads and prints one line of JSON
 * for each result; tools/bench.mjs runs the workers, interleaves the engines and makes the table.
 *
 * An engine that fails at anything ends the process (bench_die): a wrong answer must never look like a fast one.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BENCH_KEY_SIZE      16u
#define BENCH_MISS_KEY_SIZE 17u                 /* a key and ".", as in db_bench: between two that exist */
#define BENCH_CACHE_BYTES   ((size_t)128 << 20) /* Varve's default bound on all its memory */
#define BENCH_READ_RENEW    1000u               /* reads after which a reader's transaction is renewed */

typedef struct bench_config {
  const char *dir;     /* exists; the engine's files go below it */
  const char *variant; /* what follows the engine's name: "" or "16m" */
  bool strict;         /* every write is on stable storage when it returns */
  bool compress;       /* the engine's default compression; otherwise none */
} bench_config;

typedef struct bench_entry {
  char key[BENCH_KEY_SIZE];
  const char *value;
  size_t value_size;
} bench_entry;

/* Where bytes that were read go, so that no read can be left out and lazy pages are really touched. */
typedef struct bench_sink {
  uint64_t sum;
  uint64_t bytes;
} bench_sink;

static inline void bench_touch(bench_sink *sink, const void *data, size_t size) {
  const unsigned char *bytes = (const unsigned char *)data;
  if (size == 0) return;
  sink->sum += (uint64_t)bytes[0] + bytes[size - 1];
  sink->bytes += size;
}

typedef struct bench_engine {
  const char *name;
  uint64_t log_goal; /* a log this long is worth measuring recovery with; 0 = it has none */
  void *(*open)(const bench_config *config);
  void (*close)(void *db);
  void (*put)(void *db, const char *key, const char *value, size_t value_size);
  void (*batch)(void *db, const bench_entry *entries, size_t count, bool ascending); /* ascending = after all others */
  void (*del)(void *db, const char *key);
  bool (*get)(void *db, const char *key, size_t key_size, bench_sink *sink);
  uint64_t (*scan)(void *db, bool reverse, bench_sink *sink); /* the number of entries */
  /* Seeks to the first entry >= key and reads it and the `nexts` after it. `reuse` = one iterator for all calls. */
  uint64_t (*seek)(void *db, const char *key, unsigned nexts, bool reuse, bench_sink *sink);
  bool (*compact)(void *db);                        /* false = the engine has no such thing */
  uint64_t (*log_bytes)(void *db, const char *dir); /* what recovery would have to read now */
} bench_engine;

/* The engine of this worker. */
extern const bench_engine bench_the_engine;

/* ---- bench_util.c ---- */

#if defined(__GNUC__)
__attribute__((noreturn, format(printf, 1, 2)))
#endif
void bench_die(const char *format, ...);

double bench_seconds(void);     /* monotonic */
double bench_cpu_seconds(void); /* user and system, all threads of the process */

uint64_t bench_mix(uint64_t x);
uint64_t bench_random(uint64_t *state);
uint64_t bench_random_below(uint64_t *state, uint64_t n);

/* The i-th of the numbers 0 … n-1 in an order given by the seed; every number comes once. */
uint64_t bench_permute(uint64_t i, uint64_t n, uint64_t seed);

void bench_key(char out[BENCH_KEY_SIZE], uint64_t number);

/* Values as db_bench makes them: slices of a 1 MiB pool that compresses to about `ratio` of its size. */
typedef struct bench_values {
  char *pool;
  size_t size, at;
} bench_values;
void bench_values_init(bench_values *values, double ratio, size_t value_size, uint64_t seed);
const char *bench_values_next(bench_values *values, size_t value_size);

/* Bytes of a field of /proc/self/status ("VmHWM", "VmRSS", "RssAnon"). */
uint64_t bench_memory(const char *field);

/* Blocks that the files below a directory take; with a suffix, the sizes of the files whose names end in it. */
uint64_t bench_disk_bytes(const char *dir);
uint64_t bench_suffix_bytes(const char *dir, const char *suffix);

#ifdef __cplusplus
}
#endif
#endif
