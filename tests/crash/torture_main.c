/* torture_main.c: runs seeds through the crash simulator.
 *
 *     torture [--seeds N] [--from S] [--minutes M] [--layout dir|single|both] [--plain] [--quiet] [--json]
 *     torture --seed S [--layout dir|single] [--image K] [--keep OPS] [--faults OPS] [--images OPS] [--trace]
 *
 * A failure prints what it was and, after the run was made as small as it can be, the one line that shows it again;
 * the exit code is 1 then. Seeds that once failed (tests/crash/seeds.txt, --regressions FILE) come first. After 1,000
 * seeds every counter of sim_counts.h must be above zero, unless --unchecked leaves that to whoever adds up.
 *
 * --plain leaves transactions and indexes out of all seeds: what a seed was before there were any.
 *
 * --hashes prints the trace of each seed. It is the same natively and in WebAssembly, but for the moments at which
 * memtables and small block caches are full, which depend on the size of a pointer: --roomy makes them large.
 */
#include "sim_shrink.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MAIN_SEEDS_FOR_COUNTERS = 1000, MAIN_PROGRESS_S = 10, MAIN_ROOMY = 16 << 20 };

typedef struct main_options {
  uint64_t seeds, from, seed, image;
  double minutes;
  bool one, directory, single, quiet, json, trace, hashes, stop, unchecked, roomy, plain;
  const char *keep, *faults, *images, *regressions;
} main_options;

typedef struct main_state {
  main_options o;
  sim_counts counts;
  uint64_t trace; /* over the traces of all seeds */
  uint64_t done, failures;
  double began, told;
} main_state;

static double main_now(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int main_usage(const char *what) {
  fprintf(stderr,
          "torture: %s\n"
          "torture [--seeds N] [--from S] [--minutes M] [--layout dir|single|both] [--regressions FILE]\n"
          "        [--plain] [--quiet] [--json] [--hashes] [--stop] [--unchecked] [--roomy]\n"
          "torture --seed S [--layout dir|single] [--image K] [--keep OPS] [--faults OPS] [--images OPS] [--trace]\n",
          what);
  return 2;
}

static void main_progress(main_state *m, bool last) {
  double now = main_now(), s = now - m->began;
  if (m->o.quiet || (!last && now - m->told < MAIN_PROGRESS_S)) return;
  m->told = now;
  fprintf(stderr,
          "torture: %" PRIu64 " seeds (%.0f/s), %" PRIu64 " images (%.0f/s), %" PRIu64 " checks, %" PRIu64
          " failures, %.0f s\n",
          m->done, (double)m->done / MAX(s, 0.001), m->counts.images, (double)m->counts.images / MAX(s, 0.001),
          m->counts.reached[SIM_COUNT_checks], m->failures, s);
}

/* ---- one seed ---- */

static void main_run(main_state *m, uint64_t seed, bool single, bool plain) {
  static sim_plan plan;
  static sim_world world;
  sim_plan_make(&plan, seed, single, plain);
  if (m->o.roomy) plan.options.memtable_bytes = MAIN_ROOMY / 16;
  if (m->o.roomy && plan.options.memory_bytes != 0) plan.options.memory_bytes = MAIN_ROOMY;
  if (m->o.one && !sim_shrink_parse(&plan, m->o.keep, m->o.faults, m->o.images)) {
    fprintf(stderr, "torture: a list of operations is like 3-5,9 or none\n");
    m->failures++;
    return;
  }
  sim_shrink_run(&world, &plan, m->o.one ? m->o.image : 0, m->o.trace);
  sim_counts_add(&m->counts, &world.counts);
  m->trace = xxh64(&world.trace, sizeof world.trace, m->trace);
  m->done++;
  if (m->o.hashes) printf("0x%" PRIx64 " %s %016" PRIx64 "\n", seed, single ? "single" : "dir", world.trace);
  if (!world.failed) return;
  m->failures++;
  printf("FAILED seed 0x%" PRIx64 " (%s): %s: %s\n", seed, single ? "single" : "dir", world.failure, world.why);
  fflush(stdout);
  if (!m->o.one) sim_shrink(&plan, &world);
  printf("  again with: ");
  sim_shrink_print(&plan, m->o.one ? m->o.image : 0);
  fflush(stdout);
}

static void main_layouts(main_state *m, uint64_t seed) {
  if (m->o.directory) main_run(m, seed, false, m->o.plain);
  if (m->o.single) main_run(m, seed, true, m->o.plain);
}

/* ---- many ---- */

/* Lines of "seed layout [plain] what it was"; # begins a comment. */
static bool main_regressions(main_state *m) {
  if (m->o.regressions == NULL) return true;
  FILE *f = fopen(m->o.regressions, "r");
  char line[256], layout[16], word[16];
  if (f == NULL) {
    perror(m->o.regressions);
    return false;
  }
  while (fgets(line, sizeof line, f) != NULL) {
    uint64_t seed;
    if (line[0] == '#' || sscanf(line, "%" SCNi64 " %15s %15s", (int64_t *)(void *)&seed, layout, word) != 3) continue;
    bool single = strcmp(layout, "single") == 0;
    if (single ? m->o.single : m->o.directory) main_run(m, seed, single, strcmp(word, "plain") == 0);
  }
  (void)fclose(f);
  return true;
}

static void main_missing(void *context, const char *name) {
  (void)context;
  fprintf(stderr, "torture: never reached: %s\n", name);
}

static void main_many(main_state *m) {
  double until = m->o.minutes > 0 ? m->began + m->o.minutes * 60 : 0;
  for (uint64_t i = 0; until > 0 || i < m->o.seeds; i++) {
    if (until > 0 && main_now() >= until) break;
    if (m->failures > 0 && (m->o.stop || m->failures >= 10)) break;
    main_layouts(m, m->o.from + i);
    main_progress(m, false);
  }
  uint64_t seeds = m->counts.seeds / ((m->o.directory ? 1 : 0) + (m->o.single ? 1u : 0));
  if (m->failures > 0 || m->o.unchecked || m->o.plain || seeds < MAIN_SEEDS_FOR_COUNTERS) return;
  m->failures += sim_counts_missing(&m->counts, m->o.directory, m->o.single, main_missing, NULL);
}

/* ---- the command line ---- */

/* The value of the option at *i, or NULL. */
static const char *main_value(int argc, char **argv, int *i, const char *name) {
  if (strcmp(argv[*i], name) != 0 || *i + 1 >= argc) return NULL;
  return argv[++*i];
}

static bool main_flag(main_options *o, const char *arg) {
  if (strcmp(arg, "--quiet") == 0) return o->quiet = true;
  if (strcmp(arg, "--json") == 0) return o->json = true;
  if (strcmp(arg, "--trace") == 0) return o->trace = true;
  if (strcmp(arg, "--hashes") == 0) return o->hashes = true;
  if (strcmp(arg, "--stop") == 0) return o->stop = true;
  if (strcmp(arg, "--unchecked") == 0) return o->unchecked = true;
  if (strcmp(arg, "--roomy") == 0) return o->roomy = true;
  if (strcmp(arg, "--plain") == 0) return o->plain = true;
  return false;
}

static bool main_parse_one(main_options *o, int argc, char **argv, int *i) {
  const char *v;
  if ((v = main_value(argc, argv, i, "--seeds")) != NULL) return (o->seeds = strtoull(v, NULL, 0)) > 0;
  if ((v = main_value(argc, argv, i, "--from")) != NULL) return (o->from = strtoull(v, NULL, 0)), true;
  if ((v = main_value(argc, argv, i, "--minutes")) != NULL) return (o->minutes = strtod(v, NULL)) > 0;
  if ((v = main_value(argc, argv, i, "--seed")) != NULL) return (o->seed = strtoull(v, NULL, 0)), o->one = true;
  if ((v = main_value(argc, argv, i, "--image")) != NULL) return (o->image = strtoull(v, NULL, 0)) > 0;
  if ((v = main_value(argc, argv, i, "--keep")) != NULL) return (o->keep = v) != NULL;
  if ((v = main_value(argc, argv, i, "--faults")) != NULL) return (o->faults = v) != NULL;
  if ((v = main_value(argc, argv, i, "--images")) != NULL) return (o->images = v) != NULL;
  if ((v = main_value(argc, argv, i, "--regressions")) != NULL) return (o->regressions = v) != NULL;
  if ((v = main_value(argc, argv, i, "--layout")) != NULL) {
    o->directory = strcmp(v, "single") != 0;
    o->single = strcmp(v, "dir") != 0;
    return strcmp(v, "dir") == 0 || strcmp(v, "single") == 0 || strcmp(v, "both") == 0;
  }
  return main_flag(o, argv[*i]);
}

int main(int argc, char **argv) {
  static main_state m = {.o = {.seeds = 1000, .from = 1, .directory = true, .single = true}};
  for (int i = 1; i < argc; i++) {
    if (!main_parse_one(&m.o, argc, argv, &i)) return main_usage(argv[i]);
  }
  m.began = m.told = main_now();
  if (m.o.one) {
    m.o.quiet = true;
    main_layouts(&m, m.o.seed);
    if (m.failures == 0) printf("seed 0x%" PRIx64 ": no failure\n", m.o.seed);
  } else {
    if (!main_regressions(&m)) return 2;
    main_many(&m);
  }
  main_progress(&m, true);
  if (m.o.json) sim_counts_print_json(&m.counts);
  return m.failures > 0;
}
