/* base.h: the few words that every file of the engine uses.
 *
 * Invariants
 *   1. Nothing here does I/O, reads a clock or holds state.
 *   2. Integers on disk are little-endian and so is every host that we build for.
 */
#ifndef VARVE_BASE_H
#define VARVE_BASE_H

#include "varve.h"

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A function shared between files of the engine. In the amalgamation it becomes static, so that the library exports
 * nothing but varve_*. */
#ifndef INTERNAL
#define INTERNAL
#endif

#define LIKELY(x)   __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* ASSERT states a promise of our own code and stays on in release. ASSERT_SLOW is for checks that take too much time
 * for that. Neither may ever be used on what a file or a caller says: those get a status. */
INTERNAL _Noreturn void assert_failed(const char *file, int line, const char *text);
#define ASSERT(x) (LIKELY(x) ? (void)0 : assert_failed(__FILE__, __LINE__, #x))
#ifdef VARVE_DEBUG
#define ASSERT_SLOW(x) ASSERT(x)
#else
#define ASSERT_SLOW(x) ((void)sizeof((x) ? 1 : 0))
#endif

#define MIN(a, b)                       ((a) < (b) ? (a) : (b))
#define MAX(a, b)                       ((a) > (b) ? (a) : (b))
#define COUNT_OF(array)                 (sizeof(array) / sizeof((array)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the formats are used in place: little-endian hosts only");
static_assert(sizeof(void *) == 4 || sizeof(void *) == 8, "32- or 64-bit hosts");

static inline uint64_t align_up(uint64_t n, uint64_t to) {
  return (n + to - 1) / to * to;
}

#endif
