/* base.c: what happens when a promise of the engine does not hold: say which one and stop at once, before a wrong
 * byte can reach a file. */
#include "base/base.h"

#ifndef __EMSCRIPTEN__
#include <stdio.h>
#include <stdlib.h>
#endif

INTERNAL _Noreturn void assert_failed(const char *file, int line, const char *text) {
#ifdef __EMSCRIPTEN__
  /* The host sees a trap; there is no standard error to write to. */
  (void)file;
  (void)line;
  (void)text;
  __builtin_trap();
#else
  fprintf(stderr, "%s:%d: a promise does not hold: %s\n", file, line, text);
  fflush(stderr);
#ifdef __wasm__
  __builtin_trap();
#else
  abort();
#endif
#endif
}
