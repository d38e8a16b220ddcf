/* sim_shrink.c: delta debugging of a plan (Zeller and Hildebrandt, 2002), by halves and then one by one. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sigaction, sigsetjmp */
#endif
#include "sim_shrink.h"

#include <stdio.h>
#include <stdlib.h>

#ifndef __wasm__
#include <setjmp.h>
#include <signal.h>
#include <unistd.h>
#endif

static sim_run shrink_run;

/* ---- runs that end in a signal ---- */

#ifndef __wasm__
static sigjmp_buf shrink_back;
static volatile sig_atomic_t shrink_running;

static void shrink_caught(int number) {
  if (!shrink_running) _exit(1);
  siglongjmp(shrink_back, number);
}

static void shrink_catch(void) {
  static bool done;
  if (done) return;
  done = true;
  struct sigaction act = {.sa_handler = shrink_caught, .sa_flags = SA_NODEFER};
  (void)sigaction(SIGABRT, &act, NULL);
#ifndef __SANITIZE_ADDRESS__ /* which says more */
  (void)sigaction(SIGSEGV, &act, NULL);
  (void)sigaction(SIGFPE, &act, NULL);
#endif
}

/* What a run that is given up had taken stays taken: the process is at its end anyway. */
static void shrink_guarded(sim_world *w, const sim_plan *plan, uint64_t only_image) {
  shrink_catch();
  int number = sigsetjmp(shrink_back, 1);
  if (number == 0) {
    shrink_running = 1;
    sim_run_plan(&shrink_run, w, plan, only_image);
  } else {
    w->failed = false;
    (void)sim_fail(w, "signal", "operation %u, image %llu: signal %d: %s", (unsigned)shrink_run.op,
                   (unsigned long long)shrink_run.image, number,
                   number == SIGABRT ? "a promise of the engine does not hold (see above)" : "a wild access");
  }
  shrink_running = 0;
}
#else
static void shrink_guarded(sim_world *w, const sim_plan *plan, uint64_t only_image) {
  sim_run_plan(&shrink_run, w, plan, only_image);
}
#endif

void sim_shrink_run(sim_world *w, const sim_plan *plan, uint64_t only_image, bool print_trace) {
  sim_world_init(w);
  w->print_trace = print_trace;
  shrink_guarded(w, plan, only_image);
}

/* ---- lists of operations ---- */

typedef enum shrink_what { SHRINK_OPS, SHRINK_FAULTS, SHRINK_IMAGES } shrink_what;

static bool shrink_has(const sim_plan *p, shrink_what what, uint32_t i) {
  const sim_op *op = &p->op[i];
  if (op->left_out) return false;
  if (what == SHRINK_FAULTS) return op->fault.kind != SIM_FAULT_none;
  return what == SHRINK_OPS || !op->no_images;
}

static void shrink_drop(sim_plan *p, shrink_what what, uint32_t i) {
  sim_op *op = &p->op[i];
  if (what == SHRINK_OPS) op->left_out = true;
  if (what == SHRINK_FAULTS) op->fault.kind = SIM_FAULT_none;
  if (what == SHRINK_IMAGES) op->no_images = true;
}

static void shrink_print_list(const sim_plan *p, shrink_what what, const char *name) {
  uint32_t count = 0, all = 0;
  for (uint32_t i = 0; i < p->count; i++) {
    count += shrink_has(p, what, i);
    all += what == SHRINK_OPS || !p->op[i].left_out;
  }
  if (what != SHRINK_FAULTS && count == all) return;
  printf(" --%s ", name);
  if (count == 0) printf("none");
  for (uint32_t i = 0, printed = 0; i < p->count; i++) {
    if (!shrink_has(p, what, i)) continue;
    uint32_t end = i;
    while (end + 1 < p->count && shrink_has(p, what, end + 1)) end++;
    printf("%s%u", printed++ > 0 ? "," : "", (unsigned)i);
    if (end > i) printf("-%u", (unsigned)end);
    i = end;
  }
}

void sim_shrink_print(const sim_plan *p, uint64_t only_image) {
  printf("torture --seed 0x%llx --layout %s", (unsigned long long)p->seed, p->single ? "single" : "dir");
  if (p->plain) printf(" --plain");
  if (only_image != 0) printf(" --image %llu", (unsigned long long)only_image);
  shrink_print_list(p, SHRINK_OPS, "keep");
  shrink_print_list(p, SHRINK_FAULTS, "faults");
  shrink_print_list(p, SHRINK_IMAGES, "images");
  printf("\n");
}

static bool shrink_parse_list(sim_plan *p, shrink_what what, const char *list) {
  bool in[SIM_OPS_MAX] = {false};
  if (list == NULL) return true;
  for (const char *at = list; *at != '\0' && strcmp(list, "none") != 0;) {
    char *end;
    unsigned long from = strtoul(at, &end, 10), to = from;
    if (end == at) return false;
    if (*end == '-') {
      at = end + 1;
      to = strtoul(at, &end, 10);
      if (end == at) return false;
    }
    for (unsigned long i = from; i <= to && i < SIM_OPS_MAX; i++) in[i] = true;
    at = *end == ',' ? end + 1 : end;
    if (*end != ',' && *end != '\0') return false;
  }
  for (uint32_t i = 0; i < p->count; i++) {
    if (!in[i]) shrink_drop(p, what, i);
  }
  return true;
}

bool sim_shrink_parse(sim_plan *p, const char *keep, const char *faults, const char *images) {
  return shrink_parse_list(p, SHRINK_OPS, keep) && shrink_parse_list(p, SHRINK_FAULTS, faults) &&
         shrink_parse_list(p, SHRINK_IMAGES, images);
}

/* ---- shrinking ---- */

/* Tries without `size` of what is there, from the `from`th on: true when the failure stays. */
static bool shrink_try(sim_plan *plan, sim_world *w, shrink_what what, uint32_t from, uint32_t size) {
  static sim_plan less;
  static sim_world world;
  less = *plan;
  uint32_t seen = 0, dropped = 0;
  for (uint32_t i = 0; i < plan->count && dropped < size; i++) {
    if (!shrink_has(plan, what, i) || seen++ < from) continue;
    shrink_drop(&less, what, i);
    dropped++;
  }
  if (dropped == 0) return false;
  sim_shrink_run(&world, &less, 0, false);
  if (!world.failed || strcmp(world.failure, w->failure) != 0) return false;
  *plan = less;
  *w = world;
  return true;
}

static uint32_t shrink_count(const sim_plan *p, shrink_what what) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < p->count; i++) count += shrink_has(p, what, i);
  return count;
}

static void shrink_pass(sim_plan *plan, sim_world *w, shrink_what what) {
  for (uint32_t size = MAX(shrink_count(plan, what), 1u); size > 0; size /= 2) {
    for (uint32_t from = 0; from < shrink_count(plan, what);) {
      if (!shrink_try(plan, w, what, from, size)) from += size;
    }
  }
}

void sim_shrink(sim_plan *plan, sim_world *w) {
  shrink_pass(plan, w, SHRINK_OPS);
  shrink_pass(plan, w, SHRINK_FAULTS);
  shrink_pass(plan, w, SHRINK_IMAGES);
  shrink_pass(plan, w, SHRINK_OPS);
}
