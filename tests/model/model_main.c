/* model_main.c: the random histories of tests/support/model.h as a plain program, so that the same seeds run natively
 * and under any WASI host: `model_main SEEDS FIRST_SEED PATH [STEPS]`. PATH is ":memory:" or an existing directory,
 * in which each seed makes its own.
 *
 * Prints what was done as one line of JSON. What is equal wherever the seeds run comes first; how often a thread of
 * the engine flushed or compacted depends on the machine.
 */
#include "support/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int model_main_usage(void) {
  fprintf(stderr, "the form is: model_main SEEDS FIRST_SEED PATH [STEPS]\n");
  return 2;
}

int main(int argc, char **argv) {
  if (argc < 4 || argc > 5) return model_main_usage();
  uint64_t seeds = strtoull(argv[1], NULL, 10), first = strtoull(argv[2], NULL, 10);
  const char *place = argv[3];
  uint32_t steps = argc == 5 ? (uint32_t)strtoul(argv[4], NULL, 10) : 400;
  if (seeds == 0 || steps == 0) return model_main_usage();
  model_counts c = {0};
  for (uint64_t seed = first; seed < first + seeds; seed++) {
    char path[4096], why[512];
    model_options o = {place, steps};
    if (strcmp(place, ":memory:") != 0) {
      int n = snprintf(path, sizeof path, "%s/%llu", place, (unsigned long long)seed);
      if (n < 0 || (size_t)n >= sizeof path) return model_main_usage();
      o.path = path;
    }
    if (model_run(seed, &o, &c, why)) continue;
    fprintf(stderr, "seed %llu: %s\n", (unsigned long long)seed, why);
    return 1;
  }
  printf(
      "{\"seeds\":%llu,\"operations\":%llu,\"reopens\":%llu,\"snapshots_read\":%llu,\"iterated\":%llu,\"range_"
      "deletes\":%llu,"
      "\"batches\":%llu,\"flushes\":%llu,\"compactions\":%llu,\"moves\":%llu}\n",
      (unsigned long long)seeds, (unsigned long long)c.operations, (unsigned long long)c.reopens,
      (unsigned long long)c.snapshots_read, (unsigned long long)c.iterated, (unsigned long long)c.range_deletes,
      (unsigned long long)c.batches, (unsigned long long)c.flushes, (unsigned long long)c.compactions,
      (unsigned long long)c.moves);
  return 0;
}
