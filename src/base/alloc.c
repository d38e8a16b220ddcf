/* alloc.c: memory from the C library, counted, and cache lines cut out of it.
 *
 * A piece aligned to a cache line is 64 bytes larger than asked; the byte before it says how far it was moved:
 *
 *     | 0 .. 63 bytes | moved u8 | size bytes, at a multiple of 64 |
 *
 * Invariants
 *   1. `used` is the sum of the sizes that were asked for and not yet released.
 *   2. A failed call changes nothing.
 */
#include "base/alloc.h"

#include <stdlib.h>

#define ALLOC_LINE       64u
#define ALLOC_LIST_FIRST 16u
#define ALLOC_ALIGN      alignof(max_align_t) /* 16 natively, 8 in WebAssembly */

static void *alloc_libc_resize(allocator *self, void *ptr, size_t old_size, size_t new_size) {
  ASSERT((ptr == NULL) == (old_size == 0));
  void *result = NULL;
  if (new_size == 0) {
    free(ptr);
  } else {
    if (new_size > PTRDIFF_MAX) return NULL;
    result = realloc(ptr, new_size);
    if (UNLIKELY(result == NULL)) return NULL;
    ASSERT((uintptr_t)result % ALLOC_ALIGN == 0);
  }
  if (new_size >= old_size) {
    atomic_fetch_add_explicit(&self->used, new_size - old_size, memory_order_relaxed);
  } else {
    size_t before = atomic_fetch_sub_explicit(&self->used, old_size - new_size, memory_order_relaxed);
    ASSERT(before >= old_size - new_size);
  }
  return result;
}

INTERNAL void allocator_init_libc(allocator *self) {
  self->resize = alloc_libc_resize;
  atomic_init(&self->used, 0);
}

INTERNAL void *mem_alloc(allocator *a, size_t size) {
  ASSERT(size > 0);
  return a->resize(a, NULL, 0, size);
}

INTERNAL void *mem_zalloc(allocator *a, size_t size) {
  void *ptr = mem_alloc(a, size);
  if (LIKELY(ptr != NULL)) memset(ptr, 0, size);
  return ptr;
}

INTERNAL void *mem_resize(allocator *a, void *ptr, size_t old_size, size_t new_size) {
  ASSERT((ptr == NULL) == (old_size == 0));
  ASSERT(new_size > 0);
  return a->resize(a, ptr, old_size, new_size);
}

INTERNAL void mem_free(allocator *a, void *ptr, size_t size) {
  if (ptr == NULL) return;
  ASSERT(size > 0);
  (void)a->resize(a, ptr, size, 0);
}

INTERNAL void *mem_grow(allocator *a, void *list, size_t count, size_t *room, size_t size, const char *what) {
  ASSERT(count <= *room && size > 0);
  if (LIKELY(count < *room)) return list;
  size_t more = *room == 0 ? ALLOC_LIST_FIRST : 2 * *room;
  void *grown = more > PTRDIFF_MAX / size ? NULL : mem_resize(a, list, *room * size, more * size);
  if (grown == NULL) {
    (void)mem_fail(more > SIZE_MAX / size ? SIZE_MAX : more * size, what);
    return NULL;
  }
  *room = more;
  return grown;
}

INTERNAL void *mem_alloc_lines(allocator *a, size_t size) {
  ASSERT(size > 0);
  if (size > SIZE_MAX - ALLOC_LINE) return NULL;
  uint8_t *raw = mem_alloc(a, size + ALLOC_LINE);
  if (UNLIKELY(raw == NULL)) return NULL;
  size_t moved = ALLOC_LINE - (uintptr_t)raw % ALLOC_LINE; /* 1 .. 64, so that the byte before is ours */
  uint8_t *ptr = raw + moved;
  ptr[-1] = (uint8_t)moved;
  ASSERT((uintptr_t)ptr % ALLOC_LINE == 0);
  return ptr;
}

INTERNAL void mem_free_lines(allocator *a, void *ptr, size_t size) {
  if (ptr == NULL) return;
  uint8_t *lines = ptr;
  size_t moved = lines[-1];
  ASSERT(moved >= 1 && moved <= ALLOC_LINE);
  mem_free(a, lines - moved, size + ALLOC_LINE);
}

INTERNAL int mem_fail(size_t size, const char *what) {
  return status_fail(VARVE_NOMEM, "out of memory: asked for %zu bytes for %s", size, what);
}

#undef ALLOC_LINE
#undef ALLOC_LIST_FIRST
#undef ALLOC_ALIGN
