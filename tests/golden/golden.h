/* golden.h: what the golden databases hold: known to the program that makes one and to the test that reads all of them.
 *
 * A golden database is a directory, or one file, as some release left it. Later releases read it for ever:
 * tests/golden/v<format version> and v<format version>.varve.
 */
#ifndef VARVE_GOLDEN_H
#define VARVE_GOLDEN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "varve.h"

enum { GOLDEN_KEYS = 1200, GOLDEN_LATE = 40, GOLDEN_VALUE_MAX = 120 };

static inline varve_slice golden_key(char text[32], uint32_t i) {
  int n = snprintf(text, 32, i % 3 == 0 ? "city/%05u" : "city/%05u/name", (unsigned)i);
  varve_slice s = {text, (size_t)n};
  return s;
}

/* Text that LZ4 makes smaller. */
static inline varve_slice golden_value(char text[GOLDEN_VALUE_MAX + 1], uint32_t i, uint32_t turn) {
  int n = snprintf(text, GOLDEN_VALUE_MAX + 1, "value %u of key %u %.*s", (unsigned)turn, (unsigned)i, (int)(i % 60),
                   "abcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabc");
  varve_slice s = {text, (size_t)n};
  return s;
}

/* The value's number that key i has in the end, 0 = absent. */
static inline uint32_t golden_turn(uint32_t i) {
  if (i >= GOLDEN_KEYS) return i < GOLDEN_KEYS + GOLDEN_LATE ? 4 : 0;
  if (i >= 100 && i < 200) return 0; /* a range delete that is in a table */
  if (i >= 300 && i < 310) return 0; /* one that is in the log */
  if (i % 50 == 7) return 0;         /* deletes */
  if (i % 10 == 3) return 3;         /* in the log */
  return i % 4 == 0 ? 2 : 1;
}

static inline uint32_t golden_other_turn(uint32_t i) {
  return i < 50 ? (i % 5 == 0 ? 0 : 1) : 0; /* of the keyspace "other" */
}

#endif
