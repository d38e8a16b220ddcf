/* arena.h: memory addressed by 32-bit references and freed whole.
 *
 * A reference is an offset in units of 8 bytes into a table of chunks, so references are the same on 32- and 64-bit
 * hosts, half the size of pointers on the latter, and chunks never move. Reference 0 is none.
 *
 *     ref 32 bits = | chunk index | offset / 8 in the chunk |
 *
 * One thread allocates; any thread may follow a reference that it got through an acquire load.
 */
#ifndef VARVE_ARENA_H
#define VARVE_ARENA_H

#include "base/alloc.h"

typedef uint32_t arena_ref;

#define ARENA_CHUNK_SHIFT 20u /* log2 of a chunk's bytes: 1 MiB */
#define ARENA_CHUNK_BYTES (1u << ARENA_CHUNK_SHIFT)
/* 4 GiB in all. What is larger than a chunk takes consecutive chunk numbers of one piece of memory (a run), so that
 * its reference works like any other. */
#define ARENA_CHUNKS_MAX 4096u

typedef struct arena {
  allocator *alloc;
  uint8_t *chunk[ARENA_CHUNKS_MAX];        /* written before a reference into the chunk is published */
  uint32_t chunk_pieces[ARENA_CHUNKS_MAX]; /* > 0: first of so many chunk numbers in one piece of memory */
  uint32_t chunk_count;
  uint32_t first_bytes; /* of the first run: the chunk of a small arena may be smaller than ARENA_CHUNK_BYTES */
  uint32_t open;        /* first chunk number of the run that pieces come from */
  uint32_t spare;       /* of the run that a reservation made for later; 0 = none */
  size_t open_bytes;    /* size of the open run, and what of it is used */
  size_t open_used;
  size_t bytes; /* allocated in all: what the owner counts against its bound */
} arena;

INTERNAL void arena_init(arena *a, allocator *alloc, uint32_t first_chunk_bytes);
INTERNAL void arena_free(arena *a);
/* Empties it and keeps the first run for what comes. */
INTERNAL void arena_reset(arena *a);

/* Makes sure that allocations of `size` bytes in all, `count` pieces, none larger than size, succeed. NOMEM, LIMIT. */
INTERNAL int arena_reserve(arena *a, size_t size, size_t count);

/* 8-byte aligned (64 when `lines`); 0 when memory is out, never after a sufficient arena_reserve. */
INTERNAL arena_ref arena_alloc(arena *a, size_t size);
INTERNAL arena_ref arena_alloc_lines(arena *a, size_t size);

static inline void *arena_at(const arena *a, arena_ref ref) {
  return a->chunk[ref >> (ARENA_CHUNK_SHIFT - 3)] + ((size_t)(ref & ((1u << (ARENA_CHUNK_SHIFT - 3)) - 1)) << 3);
}

#endif
