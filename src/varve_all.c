/* varve_all.c: the whole engine as one translation unit, bottom layer first. This is what the libraries are built from,
 * and tools/amalgamate.mjs makes dist/varve.c of it.
 *
 * Everything shared between files becomes static here, so that nothing but varve_* leaves the library and the compiler
 * sees every caller. Targets differ by the files that are chosen, never inside one.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* before the first system header: what vfs_posix.c and env_native.c need */
#endif

#define INTERNAL static __attribute__((unused))

#if !defined(__EMSCRIPTEN__) && !defined(__wasi__) && !defined(VARVE_THREADS)
#define VARVE_THREADS 1
#endif

#include "base/base.c"
#include "base/status.c"
#include "base/alloc.c"
#include "base/arena.c"
#include "base/buf.c"
#include "base/coding.c"
#include "base/xxh64.c"
#include "base/lz4.c"
