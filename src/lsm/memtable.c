/* memtable.c: the outside of a memtable: entries are made here, the tree (memtable_tree.c) and the range
 * tombstones (memtable_ranges.c) keep them in order.
 *
 * Invariants
 *   1. After memtable_reserve nothing that was reserved for fails: a batch is in the log by then, it must get in here
 *      too.
 *   2. An entry is whole before the first store that makes it reachable, and never changes after it.
 */
#include "lsm/memtable_int.h"

#define MEMTABLE_ENTRY_BYTES offsetof(mem_entry, bytes)

static void memtable_release(pin *p) {
  memtable *mt = CONTAINER_OF(p, memtable, users);
  allocator *alloc = mt->alloc;
  memranges_free(mt);
  arena_free(&mt->arena);
  mem_free_lines(alloc, mt, sizeof *mt);
}

INTERNAL int memtable_create(allocator *alloc, memtable **mt) {
  memtable *made = mem_alloc_lines(alloc, sizeof *made);
  if (made == NULL) return mem_fail(sizeof *made, "a memory table");
  memset(made, 0, sizeof *made);
  made->alloc = alloc;
  arena_init(&made->arena, alloc, ARENA_FIRST_CHUNK_BYTES);
  atomic_init(&made->root, 0);
  atomic_init(&made->ranges, 0);
  atomic_init(&made->entries, 0);
  atomic_init(&made->range_deletes, 0);
  atomic_init(&made->bytes, 0);
  pin_init(&made->users, memtable_release);
  *mt = made;
  return VARVE_OK;
}

INTERNAL pin *memtable_pin(memtable *mt) {
  return &mt->users;
}

INTERNAL void memtable_begin_at(memtable *mt, uint64_t seq) {
  ASSERT(mt->last_seq == 0 && seq <= SEQ_MAX);
  mt->begin_seq = seq;
}

INTERNAL uint64_t memtable_begin_seq(const memtable *mt) {
  return mt->begin_seq;
}

INTERNAL bool memtable_reset(memtable *mt) {
  /* Acquired: whoever gave up the last other pin is done reading. */
  if (atomic_load_explicit(&mt->users.refs, memory_order_acquire) != 1) return false;
  memranges_free(mt);
  arena_reset(&mt->arena);
  atomic_init(&mt->root, 0);
  atomic_init(&mt->ranges, 0);
  atomic_init(&mt->entries, 0);
  atomic_init(&mt->range_deletes, 0);
  atomic_init(&mt->bytes, 0);
  mt->begin_seq = mt->last_seq = mt->slots = 0;
  mt->spans_bytes = 0;
  mt->leaves = mt->inners = mt->height = 0;
  mt->ascending = false;
  mt->last_leaf = 0;
  return true;
}

INTERNAL int memtable_reserve(memtable *mt, size_t bytes, size_t count) {
  ASSERT(bytes <= UINT32_MAX && count <= UINT32_MAX);
  uint64_t node_bytes, nodes;
  memtree_growth(mt, count, &node_bytes, &nodes);
  /* An entry loses less than 8 bytes to rounding; only nodes lose what a cache line takes. */
  uint64_t need = bytes + count * (uint64_t)(MEMTABLE_ENTRY_BYTES + 8) + node_bytes;
  if (need > SIZE_MAX || nodes > SIZE_MAX) {
    return status_fail(VARVE_LIMIT, "%zu operations of %zu bytes do not fit one memory table", count, bytes);
  }
  return arena_reserve(&mt->arena, (size_t)need, (size_t)nodes + 1);
}

INTERNAL void memtable_add(memtable *mt, uint64_t seq, entry_kind kind, slice key, slice value) {
  ASSERT(kind == KIND_PUT || kind == KIND_DELETE);
  ASSERT(seq > mt->last_seq && seq <= SEQ_MAX);
  ASSERT(key.size <= UINT32_MAX && value.size <= VARVE_VALUE_SIZE_MAX);
  arena_ref ref = arena_alloc(&mt->arena, MEMTABLE_ENTRY_BYTES + key.size + value.size);
  ASSERT(ref != 0); /* the caller reserved */
  mem_entry *entry = arena_at(&mt->arena, ref);
  entry->trailer = trailer_make(seq, kind);
  entry->older = 0;
  entry->key_size = (uint32_t)key.size;
  entry->value_size = (uint32_t)value.size;
  if (key.size > 0) memcpy(entry->bytes, key.data, key.size);
  if (value.size > 0) memcpy(entry->bytes + key.size, value.data, value.size);
  memtree_insert(mt, ref, entry);
  mt->last_seq = seq;
  uint64_t entries = atomic_load_explicit(&mt->entries, memory_order_relaxed);
  atomic_store_explicit(&mt->entries, entries + 1, memory_order_relaxed);
  mem_count_bytes(mt);
}

INTERNAL size_t memtable_bytes(const memtable *mt) {
  return atomic_load_explicit(&mt->bytes, memory_order_relaxed);
}

INTERNAL uint64_t memtable_entries(const memtable *mt) {
  return atomic_load_explicit(&mt->entries, memory_order_relaxed);
}

INTERNAL uint64_t memtable_range_deletes(const memtable *mt) {
  return atomic_load_explicit(&mt->range_deletes, memory_order_relaxed);
}

INTERNAL bool memtable_get(const memtable *mt, slice key, uint64_t seq_max, uint64_t *trailer, slice *value) {
  arena_ref ref = memtree_get(mt, key);
  while (ref != 0) {
    const mem_entry *e = mem_entry_at(mt, ref);
    if (trailer_seq(e->trailer) <= seq_max) {
      *trailer = e->trailer;
      *value = mem_entry_value(e);
      return true;
    }
    ASSERT_SLOW(e->older == 0 || mem_entry_at(mt, e->older)->trailer < e->trailer);
    ref = e->older;
  }
  return false;
}

INTERNAL bool memtable_changed(const memtable *mt, slice lower, slice upper, uint64_t since, slice *found) {
  memtree_view view;
  if (memtable_ranges_changed(mt, lower, upper, since, found)) return true;
  if (!memtree_view_find(mt, lower, MEMTREE_KEY, &view)) return false;
  for (;;) {
    for (uint32_t i = view.at; i < view.count; i++) {
      const mem_entry *e = mem_entry_at(mt, view.refs[i]); /* the newest version of its key */
      slice key = mem_entry_key(e);
      if (upper.size > 0 && slice_compare(key, upper) >= 0) return false;
      if (trailer_seq(e->trailer) <= since) continue;
      *found = key;
      return true;
    }
    if (view.next == 0) return false;
    memtree_view_leaf(mt, view.next, &view);
    ASSERT(view.at == 0);
  }
}

#undef MEMTABLE_ENTRY_BYTES
