/* arena.c: memory addressed by 32-bit references, in runs of consecutive chunk numbers.
 *
 * A run is one piece of memory that spans one or more chunk numbers, so a piece inside it may cross from one chunk to
 * the next and its reference works all the same. Pieces come from the open run. When one does not fit there, the
 * spare run that arena_reserve made becomes the open one, or a new run is made.
 *
 *     chunk    | 0 | 1 | 2   3   4 | 5 |
 *     run      first  full   open    spare
 *
 * Invariants
 *   1. Chunk 0 belongs to the first run, whose first 8 bytes are never handed out: reference 0 is none.
 *   2. A spare holds, alone, everything that the reservation promised: what is left of the open run is only a bonus.
 *   3. Chunk table entries are written before any reference into them exists, and never change until arena_free.
 */
#include "base/arena.h"

#define ARENA_LINE       64u
#define ARENA_PIECE_LOSS 63u /* most bytes that one piece loses to rounding and to the alignment of a line */

static_assert(ARENA_CHUNKS_MAX <= 1u << (32 - (ARENA_CHUNK_SHIFT - 3)), "a reference has 32 bits");

/* What the run at chunk number `first` was allocated with. */
static size_t arena_run_bytes(const arena *a, uint32_t first) {
  ASSERT(first < a->chunk_count && a->chunk_pieces[first] > 0);
  return first == 0 ? a->first_bytes : (size_t)a->chunk_pieces[first] << ARENA_CHUNK_SHIFT;
}

INTERNAL void arena_init(arena *a, allocator *alloc, uint32_t first_chunk_bytes) {
  ASSERT(first_chunk_bytes > 0 && first_chunk_bytes <= ARENA_CHUNK_BYTES);
  memset(a, 0, sizeof *a);
  a->alloc = alloc;
  a->first_bytes = (uint32_t)align_up(first_chunk_bytes, ARENA_LINE);
}

INTERNAL void arena_free(arena *a) {
  size_t freed = 0;
  for (uint32_t i = 0; i < a->chunk_count; i += a->chunk_pieces[i]) {
    size_t bytes = arena_run_bytes(a, i);
    mem_free_lines(a->alloc, a->chunk[i], bytes);
    freed += bytes;
  }
  ASSERT(freed == a->bytes);
  arena_init(a, a->alloc, a->first_bytes);
}

/* Makes a run with room for `size` bytes; the very first is of its own size whatever is asked. */
static int arena_add_run(arena *a, uint64_t size, uint32_t *first) {
  uint64_t pieces = a->chunk_count == 0 ? 1 : (size + ARENA_CHUNK_BYTES - 1) >> ARENA_CHUNK_SHIFT;
  if (pieces > ARENA_CHUNKS_MAX - a->chunk_count) {
    return status_fail(VARVE_LIMIT, "one memory table holds at most %u MiB", ARENA_CHUNKS_MAX);
  }
  uint64_t bytes = a->chunk_count == 0 ? a->first_bytes : pieces << ARENA_CHUNK_SHIFT;
  uint8_t *memory = bytes > PTRDIFF_MAX ? NULL : mem_alloc_lines(a->alloc, (size_t)bytes);
  if (memory == NULL) return mem_fail((size_t)MIN(bytes, SIZE_MAX), "a memory table");
  *first = a->chunk_count;
  a->chunk_pieces[a->chunk_count] = (uint32_t)pieces;
  for (uint64_t i = 0; i < pieces; i++) a->chunk[a->chunk_count++] = memory + ((size_t)i << ARENA_CHUNK_SHIFT);
  a->bytes += (size_t)bytes;
  return VARVE_OK;
}

static void arena_open_run(arena *a, uint32_t first) {
  a->open = first;
  a->open_bytes = arena_run_bytes(a, first);
  a->open_used = first == 0 ? sizeof(uint64_t) : 0; /* reference 0 is none */
  if (a->spare == first) a->spare = 0;
}

static int arena_open_first(arena *a) {
  uint32_t first = 0;
  TRY(arena_add_run(a, 0, &first));
  ASSERT(first == 0);
  arena_open_run(a, first);
  return VARVE_OK;
}

INTERNAL void arena_reset(arena *a) {
  if (a->chunk_count == 0) return;
  uint32_t count = a->chunk_count;
  ASSERT(a->chunk_pieces[0] == 1);
  for (uint32_t i = 1; i < count; i += a->chunk_pieces[i]) {
    size_t bytes = arena_run_bytes(a, i);
    mem_free_lines(a->alloc, a->chunk[i], bytes);
    a->bytes -= bytes;
  }
  a->chunk_count = 1;
  a->spare = 0;
  arena_open_run(a, 0);
  ASSERT(a->bytes == a->first_bytes);
}

INTERNAL int arena_reserve(arena *a, size_t size, size_t count) {
  if (size > UINT32_MAX || count > UINT32_MAX) {
    return status_fail(VARVE_LIMIT, "one memory table holds at most %u MiB", ARENA_CHUNKS_MAX);
  }
  uint64_t need = (uint64_t)size + (uint64_t)count * ARENA_PIECE_LOSS;
  if (a->chunk_count == 0) TRY(arena_open_first(a));
  ASSERT(a->open_used <= a->open_bytes);
  if (LIKELY(need <= a->open_bytes - a->open_used)) return VARVE_OK;
  if (a->spare != 0 && need <= arena_run_bytes(a, a->spare)) return VARVE_OK;
  uint32_t first = 0;
  TRY(arena_add_run(a, need, &first));
  if (a->spare != 0) arena_open_run(a, a->spare); /* too small for this promise: its rest is a bonus now */
  a->spare = first;
  ASSERT(a->spare != 0 && need <= arena_run_bytes(a, a->spare));
  return VARVE_OK;
}

static inline size_t arena_align(size_t n, size_t align) {
  return (n + align - 1) & ~(align - 1);
}

/* Opens the run that `size` bytes go to when they do not fit the open one. */
static int arena_next_run(arena *a, size_t size, size_t align) {
  if (a->chunk_count == 0) {
    TRY(arena_open_first(a));
    if (size + arena_align(a->open_used, align) <= a->open_bytes) return VARVE_OK;
  }
  if (a->spare == 0 || arena_run_bytes(a, a->spare) < size) {
    uint32_t first = 0;
    TRY(arena_add_run(a, size, &first));
    a->spare = first;
  }
  arena_open_run(a, a->spare);
  ASSERT(a->spare == 0 && size <= a->open_bytes);
  return VARVE_OK;
}

static inline arena_ref arena_alloc_aligned(arena *a, size_t size, size_t align) {
  ASSERT(size > 0);
  if (size > PTRDIFF_MAX - ARENA_LINE) return 0;
  size = arena_align(size, sizeof(uint64_t));
  size_t at = arena_align(a->open_used, align);
  if (UNLIKELY(at > a->open_bytes || size > a->open_bytes - at)) {
    if (arena_next_run(a, size, align) < 0) return 0;
    at = arena_align(a->open_used, align);
  }
  ASSERT(at <= a->open_bytes && size <= a->open_bytes - at);
  a->open_used = at + size;
  arena_ref ref = (a->open << (ARENA_CHUNK_SHIFT - 3)) + (arena_ref)(at >> 3);
  ASSERT(ref != 0);
  return ref;
}

INTERNAL arena_ref arena_alloc(arena *a, size_t size) {
  return arena_alloc_aligned(a, size, sizeof(uint64_t));
}

INTERNAL arena_ref arena_alloc_lines(arena *a, size_t size) {
  return arena_alloc_aligned(a, size, ARENA_LINE);
}

#undef ARENA_LINE
#undef ARENA_PIECE_LOSS
