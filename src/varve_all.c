/* varve_all.c: the whole engine as one translation unit, bottom layer first. This is what the libraries are built from,
 * and tools/amalgamate.mjs makes dist/varve.c of it.
 *
 * Everything shared between files becomes static here, so that nothing but varve_* leaves the library and the compiler
 * sees every caller. Targets differ by the files that are chosen, never inside one.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* before the first system header: what the files of src/env need */
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif

#define INTERNAL static
/* A target has no use for some functions, and no definition of other targets' doors. The build of single files, which
 * the tests use, finds those that nobody uses. */
#pragma GCC diagnostic ignored "-Wunused-function"

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

#include "env/vfs.c"
#include "env/vfs_mem.c"
#if defined(__EMSCRIPTEN__)
#include "env/sync_none.c"
#include "env/vfs_host.c"
#include "env/env_wasm.c"
#elif defined(__wasi__)
#include "env/sync_none.c"
#include "env/vfs_fd.c"
#include "env/vfs_fd_place.c"
#include "env/vfs_wasi.c"
#include "env/env_wasi.c"
#else
#include "env/sync_pthread.c"
#include "env/vfs_fd.c"
#include "env/vfs_fd_place.c"
#include "env/vfs_posix.c"
#include "env/vfs_posix_lock.c"
#include "env/env_native.c"
#endif
