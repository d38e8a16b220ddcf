/* alloc.h: one allocator object, told the old size, allowed to fail. Nothing in the engine calls malloc.
 *
 * The size that was asked for is passed back at release, so an allocator needs no headers, the count of bytes in use is
 * exact and a test allocator can check both (the idea is Lua's lua_Alloc).
 */
#ifndef VARVE_ALLOC_H
#define VARVE_ALLOC_H

#include "base/status.h"

typedef struct allocator {
  /* realloc's meaning, with new_size 0 = release and ptr NULL = new. NULL when it fails, `ptr` is then unchanged.
   * Results are aligned as any object needs: to 16 bytes natively, to 8 in WebAssembly. */
  void *(*resize)(struct allocator *self, void *ptr, size_t old_size, size_t new_size);
  atomic_size_t used; /* bytes handed out now */
} allocator;

/* The C library's malloc, counted. */
INTERNAL void allocator_init_libc(allocator *self);

/* Uninitialised memory, or NULL; size > 0. mem_zalloc's is zero. */
INTERNAL void *mem_alloc(allocator *a, size_t size);
INTERNAL void *mem_zalloc(allocator *a, size_t size);
INTERNAL void *mem_resize(allocator *a, void *ptr, size_t old_size, size_t new_size);
INTERNAL void mem_free(allocator *a, void *ptr, size_t size); /* NULL is allowed */

/* A list of `count` items of `size` bytes with room for one more: `list` itself, or what takes its place, with *room
 * items now. NULL, with the message of mem_fail, when there is no memory; `list` is as it was then. */
INTERNAL void *mem_grow(allocator *a, void *list, size_t count, size_t *room, size_t size, const char *what);

/* Memory aligned to 64 bytes (a cache line), released with the same size. */
INTERNAL void *mem_alloc_lines(allocator *a, size_t size);
INTERNAL void mem_free_lines(allocator *a, void *ptr, size_t size);

/* "out of memory: asked for N bytes for WHAT". */
INTERNAL int mem_fail(size_t size, const char *what);

/* A pointer to one T, zeroed. */
#define MEM_NEW(a, T)      ((T *)mem_zalloc((a), sizeof(T)))
#define MEM_DELETE(a, ptr) mem_free((a), (ptr), sizeof(*(ptr)))

#endif
