/* fuzz_main.c: the door for libFuzzer: VARVE_FUZZ_TARGET names the target. */
#include "fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerInitialize(int *count, char ***arguments);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const fuzz_target *main_target;

int LLVMFuzzerInitialize(int *count, char ***arguments) {
  const char *name = getenv("VARVE_FUZZ_TARGET");
  (void)count;
  (void)arguments;
  for (size_t i = 0; name != NULL && i < fuzz_targets_count; i++) {
    if (strcmp(fuzz_targets[i]->name, name) == 0) main_target = fuzz_targets[i];
  }
  if (main_target != NULL) return 0;
  fprintf(stderr, "VARVE_FUZZ_TARGET must name one of:");
  for (size_t i = 0; i < fuzz_targets_count; i++) fprintf(stderr, " %s", fuzz_targets[i]->name);
  fprintf(stderr, "\n");
  exit(2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size <= main_target->size_max) main_target->run(data, size);
  return 0;
}
