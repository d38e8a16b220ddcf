/* bench_util.c: clocks, seeded numbers, keys, values, memory and disk for the benchmark workers. */
#define _GNU_SOURCE
#include "bench.h"

#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

void bench_die(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fprintf(stderr, "%s: ", bench_the_engine.name);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  exit(1);
}

double bench_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

double bench_cpu_seconds(void) {
  struct rusage use;
  getrusage(RUSAGE_SELF, &use);
  return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
         (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-6;
}

uint64_t bench_mix(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9u;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

uint64_t bench_random(uint64_t *state) {
  *state += 0x9e3779b97f4a7c15u;
  return bench_mix(*state);
}

uint64_t bench_random_below(uint64_t *state, uint64_t n) {
  return (uint64_t)(((unsigned __int128)bench_random(state) * n) >> 64);
}

/* A Feistel network over the next even number of bits, walked until it lands below n: a permutation without a table,
 * so that the workload adds nothing to the memory row. */
uint64_t bench_permute(uint64_t i, uint64_t n, uint64_t seed) {
  unsigned half = 1;
  while (half < 32 && ((uint64_t)1 << (2 * half)) < n) half++;
  uint64_t mask = ((uint64_t)1 << half) - 1;
  do {
    uint64_t left = i >> half, right = i & mask;
    for (uint64_t round = 0; round < 4; round++) {
      uint64_t next = left ^ (((right + seed + round) * 0x9e3779b97f4a7c15u) >> 32 & mask);
      left = right;
      right = next;
    }
    i = left << half | right;
  } while (i >= n);
  return i;
}

void bench_key(char out[BENCH_KEY_SIZE], uint64_t number) {
  memset(out, '0', BENCH_KEY_SIZE);
  for (unsigned at = BENCH_KEY_SIZE; number != 0 && at > 0; number /= 10) out[--at] = (char)('0' + number % 10);
}

void bench_values_init(bench_values *values, double ratio, size_t value_size, uint64_t seed) {
  size_t size = (size_t)1 << 20, piece = 100;
  size_t fresh = ratio >= 1 ? piece : (size_t)((double)piece * ratio);
  if (fresh == 0) fresh = 1;
  if (size < 2 * value_size) size = 2 * value_size;
  values->pool = malloc(size + piece);
  if (values->pool == NULL) bench_die("out of memory");
  values->size = size;
  values->at = 0;
  for (size_t at = 0; at < size; at += piece) {
    for (size_t i = 0; i < piece; i++) {
      values->pool[at + i] = i < fresh ? (char)bench_random(&seed) : values->pool[at + i - fresh];
    }
  }
}

const char *bench_values_next(bench_values *values, size_t value_size) {
  if (values->at + value_size > values->size) values->at = 0;
  values->at += value_size;
  return values->pool + values->at - value_size;
}

uint64_t bench_memory(const char *field) {
  FILE *file = fopen("/proc/self/status", "r");
  char line[256];
  unsigned long long kib = 0;
  size_t size = strlen(field);
  if (file == NULL) return 0;
  while (fgets(line, sizeof line, file) != NULL) {
    if (strncmp(line, field, size) == 0 && line[size] == ':') kib = strtoull(line + size + 1, NULL, 10);
  }
  fclose(file);
  return kib * 1024;
}

static uint64_t util_sum;
static const char *util_suffix;

static int util_visit(const char *path, const struct stat *info, int kind, struct FTW *at) {
  (void)at;
  if (kind != FTW_F) return 0;
  if (util_suffix == NULL) {
    util_sum += (uint64_t)info->st_blocks * 512;
    return 0;
  }
  size_t size = strlen(path), tail = strlen(util_suffix);
  if (size >= tail && strcmp(path + size - tail, util_suffix) == 0) util_sum += (uint64_t)info->st_size;
  return 0;
}

uint64_t bench_disk_bytes(const char *dir) {
  util_sum = 0;
  util_suffix = NULL;
  nftw(dir, util_visit, 16, FTW_PHYS);
  return util_sum;
}

uint64_t bench_suffix_bytes(const char *dir, const char *suffix) {
  util_sum = 0;
  util_suffix = suffix;
  nftw(dir, util_visit, 16, FTW_PHYS);
  return util_sum;
}
