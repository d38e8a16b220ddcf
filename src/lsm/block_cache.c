/* block_cache.c: frames of blocks in an open-addressed table, replaced by CLOCK (the hand walks the table itself).
 *
 *   frame = | cache_frame, one line | data, at a multiple of 64 |        one piece of memory, freed by its last pin
 *
 * The cache holds one pin of every frame in its table; each user holds one more. A hit is found, marked used and
 * pinned under
 * the lock, so a frame whose count is 1 under the lock is pinned by nobody and may go.
 *
 * Invariants
 *   1. `bytes` is the memory of all frames that live, those that are not in the table (any more) too.
 *   2. Linear probing without holes: between a frame's home and its slot every slot is taken.
 *   3. After an insert or a charge bytes + charged <= bytes_max, or every frame in the table is pinned.
 *   4. The release of a frame takes no lock: it may happen under ours or in any thread.
 */
#include "lsm/block_cache.h"

#include "env/sync.h"

#define CACHE_SLOTS_MIN  64u
#define CACHE_USED_MAX   2u /* rounds of the hand that a used frame survives */
#define CACHE_LINE       64u
#define CACHE_LARGE_PART 4u /* a frame of more than this part of the bound is never kept */

typedef struct cache_frame {
  cache_block block;
  block_cache *cache;
  uint64_t table, offset;
  uint32_t room; /* bytes of data allocated; block.size may be made smaller by the owner */
  uint32_t used; /* under the lock */
} cache_frame;

static_assert(sizeof(cache_frame) <= CACHE_LINE, "a frame's header is one line");

struct block_cache {
  allocator *alloc;
  uint64_t bytes_max;
  mutex lock;
  cache_frame **slots;
  size_t slot_count, taken, hand; /* slot_count is a power of two */
  uint64_t hits, misses, evictions;
  atomic_uint_least64_t bytes;
  atomic_int_least64_t charged;
};

static inline size_t cache_home(const block_cache *c, uint64_t table, uint64_t offset) {
  uint64_t h = (table * UINT64_C(0x9e3779b97f4a7c15)) ^ offset;
  h = (h ^ (h >> 32)) * UINT64_C(0xd6e8feb86659fd93);
  return (size_t)(h >> 32) & (c->slot_count - 1);
}

static void cache_frame_release(pin *p) {
  cache_block *block = CONTAINER_OF(p, cache_block, pin);
  cache_frame *frame = CONTAINER_OF(block, cache_frame, block);
  block_cache *c = frame->cache;
  size_t size = CACHE_LINE + frame->room;
  uint64_t before = atomic_fetch_sub_explicit(&c->bytes, size, memory_order_relaxed);
  ASSERT(before >= size);
  mem_free_lines(c->alloc, frame, size);
}

INTERNAL int block_cache_create(allocator *alloc, uint64_t bytes_max, block_cache **cache) {
  *cache = NULL;
  block_cache *c = MEM_NEW(alloc, block_cache);
  if (c == NULL) return mem_fail(sizeof *c, "the block cache");
  c->slots = mem_zalloc(alloc, CACHE_SLOTS_MIN * sizeof *c->slots);
  if (c->slots == NULL) {
    MEM_DELETE(alloc, c);
    return mem_fail(CACHE_SLOTS_MIN * sizeof *c->slots, "the block cache");
  }
  c->alloc = alloc;
  c->bytes_max = bytes_max;
  c->slot_count = CACHE_SLOTS_MIN;
  mutex_init(&c->lock);
  atomic_init(&c->bytes, 0);
  atomic_init(&c->charged, 0);
  *cache = c;
  return VARVE_OK;
}

INTERNAL void block_cache_destroy(block_cache *c) {
  if (c == NULL) return;
  for (size_t i = 0; i < c->slot_count; i++) {
    if (c->slots[i] == NULL) continue;
    ASSERT(atomic_load(&c->slots[i]->block.pin.refs) == 1);
    pin_unref(&c->slots[i]->block.pin);
  }
  ASSERT(atomic_load(&c->bytes) == 0);
  mutex_destroy(&c->lock);
  mem_free(c->alloc, c->slots, c->slot_count * sizeof *c->slots);
  MEM_DELETE(c->alloc, c);
}

INTERNAL int cache_block_create(block_cache *c, uint32_t size, cache_block **block) {
  *block = NULL;
  if ((uint64_t)size + 2 * CACHE_LINE > PTRDIFF_MAX) return mem_fail(size, "a block");
  cache_frame *frame = mem_alloc_lines(c->alloc, CACHE_LINE + (size_t)size);
  if (frame == NULL) return mem_fail(CACHE_LINE + (size_t)size, "a block");
  memset(frame, 0, sizeof *frame);
  pin_init(&frame->block.pin, cache_frame_release);
  frame->block.data = (uint8_t *)frame + CACHE_LINE;
  frame->block.size = size;
  frame->room = size;
  frame->cache = c;
  atomic_fetch_add_explicit(&c->bytes, CACHE_LINE + (uint64_t)size, memory_order_relaxed);
  *block = &frame->block;
  return VARVE_OK;
}

/* The slot of (table, offset), or the empty one where it would go. */
static inline size_t cache_find(const block_cache *c, uint64_t table, uint64_t offset) {
  ASSERT_SLOW(c->taken < c->slot_count);
  size_t i = cache_home(c, table, offset);
  while (c->slots[i] != NULL && (c->slots[i]->offset != offset || c->slots[i]->table != table)) {
    i = (i + 1) & (c->slot_count - 1);
  }
  return i;
}

INTERNAL cache_block *block_cache_get(block_cache *c, uint64_t table, uint64_t offset) {
  cache_block *block = NULL;
  mutex_lock(&c->lock);
  cache_frame *frame = c->slots[cache_find(c, table, offset)];
  if (frame != NULL) {
    pin_ref(&frame->block.pin);
    frame->used = CACHE_USED_MAX;
    block = &frame->block;
    c->hits++;
  } else {
    c->misses++;
  }
  mutex_unlock(&c->lock);
  return block;
}

/* Empties slot i and closes the gap (invariant 2): a later frame moves in when its home is not behind the gap. */
static void cache_remove(block_cache *c, size_t i) {
  ASSERT(c->slots[i] != NULL && c->taken > 0);
  cache_frame *frame = c->slots[i];
  size_t mask = c->slot_count - 1, gap = i;
  for (size_t j = (i + 1) & mask; c->slots[j] != NULL; j = (j + 1) & mask) {
    size_t home = cache_home(c, c->slots[j]->table, c->slots[j]->offset);
    if (((j - home) & mask) >= ((j - gap) & mask)) {
      c->slots[gap] = c->slots[j];
      gap = j;
    }
  }
  c->slots[gap] = NULL;
  c->taken--;
  pin_unref(&frame->block.pin);
}

static bool cache_over(const block_cache *c) {
  int64_t charged = atomic_load_explicit(&c->charged, memory_order_relaxed);
  uint64_t bytes = atomic_load_explicit(&c->bytes, memory_order_relaxed);
  return bytes + (charged > 0 ? (uint64_t)charged : 0) > c->bytes_max;
}

/* Turns the hand until the bound holds or every frame was found pinned. */
static void cache_shrink(block_cache *c) {
  size_t left = c->slot_count * (CACHE_USED_MAX + 1) + 1;
  while (c->taken > 0 && cache_over(c) && left-- > 0) {
    cache_frame *frame = c->slots[c->hand];
    if (frame != NULL && atomic_load_explicit(&frame->block.pin.refs, memory_order_acquire) == 1) {
      if (frame->used == 0) {
        cache_remove(c, c->hand); /* another frame may have moved here: the hand stays */
        c->evictions++;
        continue;
      }
      frame->used--;
    }
    c->hand = (c->hand + 1) & (c->slot_count - 1);
  }
}

/* Room for one more at a load of at most 3/4. False when memory is out. */
static bool cache_grow(block_cache *c) {
  if ((c->taken + 1) * 4 <= c->slot_count * 3) return true;
  size_t old_count = c->slot_count, count = old_count * 2;
  if (count > PTRDIFF_MAX / sizeof *c->slots) return false;
  cache_frame **old_slots = c->slots, **slots = mem_zalloc(c->alloc, count * sizeof *slots);
  if (slots == NULL) return c->taken + 1 < old_count;
  c->slots = slots;
  c->slot_count = count;
  c->hand = 0;
  for (size_t i = 0; i < old_count; i++) {
    if (old_slots[i] == NULL) continue;
    size_t at = cache_find(c, old_slots[i]->table, old_slots[i]->offset);
    ASSERT(slots[at] == NULL);
    slots[at] = old_slots[i];
  }
  mem_free(c->alloc, old_slots, old_count * sizeof *old_slots);
  return true;
}

INTERNAL void block_cache_insert(block_cache *c, uint64_t table, uint64_t offset, cache_block **block) {
  cache_frame *frame = CONTAINER_OF(*block, cache_frame, block);
  ASSERT(frame->cache == c && frame->block.size <= frame->room);
  if (frame->room > c->bytes_max / CACHE_LARGE_PART) return; /* stays its owner's: it would sweep all others out */
  mutex_lock(&c->lock);
  cache_frame *first = c->slots[cache_find(c, table, offset)];
  if (first != NULL) {
    ASSERT(first != frame);
    pin_ref(&first->block.pin);
    first->used = CACHE_USED_MAX;
    *block = &first->block;
  } else {
    cache_shrink(c);
    if (cache_grow(c)) {
      frame->table = table;
      frame->offset = offset;
      frame->used = 1;
      pin_ref(&frame->block.pin);
      c->slots[cache_find(c, table, offset)] = frame;
      c->taken++;
    }
  }
  mutex_unlock(&c->lock);
  if (first != NULL) pin_unref(&frame->block.pin);
}

INTERNAL void block_cache_forget(block_cache *c, uint64_t table) {
  mutex_lock(&c->lock);
  for (size_t i = 0; i < c->slot_count; i++) {
    while (c->slots[i] != NULL && c->slots[i]->table == table) cache_remove(c, i);
  }
  mutex_unlock(&c->lock);
}

INTERNAL void block_cache_charge(block_cache *c, int64_t bytes) {
  int64_t before = atomic_fetch_add_explicit(&c->charged, bytes, memory_order_relaxed);
  ASSERT(before + bytes >= 0);
  if (bytes <= 0 || !cache_over(c)) return;
  mutex_lock(&c->lock);
  cache_shrink(c);
  mutex_unlock(&c->lock);
}

INTERNAL void block_cache_stats(block_cache *c, cache_stats *stats) {
  mutex_lock(&c->lock);
  stats->hits = c->hits;
  stats->misses = c->misses;
  stats->evictions = c->evictions;
  mutex_unlock(&c->lock);
  stats->bytes = atomic_load_explicit(&c->bytes, memory_order_relaxed);
  stats->charged = (uint64_t)atomic_load_explicit(&c->charged, memory_order_relaxed);
}

/* Frames that live but are not in the table belong to users alone. */
INTERNAL bool block_cache_in_use(block_cache *c) {
  mutex_lock(&c->lock);
  uint64_t ours = 0;
  bool pinned = false;
  for (size_t i = 0; i < c->slot_count; i++) {
    const cache_frame *frame = c->slots[i];
    if (frame == NULL) continue;
    ours += CACHE_LINE + frame->room;
    pinned = pinned || atomic_load(&frame->block.pin.refs) > 1;
  }
  mutex_unlock(&c->lock);
  return pinned || atomic_load(&c->bytes) != ours;
}

#undef CACHE_SLOTS_MIN
#undef CACHE_USED_MAX
#undef CACHE_LINE
#undef CACHE_LARGE_PART
