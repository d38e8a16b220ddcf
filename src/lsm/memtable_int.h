/* memtable_int.h: the inside of a memtable: its tree and its range tombstones.
 *
 * Node, at a cache line (an inner node continues with its children):
 *
 *     0  4  version, odd while the node changes        64           heads     u64[BTREE_FANOUT]
 *     4  4  count                                      64 + 8F      refs      u32[BTREE_FANOUT]
 *     8  4  prefix size                                64 + 12F     children  u32[BTREE_FANOUT]
 *    12  4  an entry whose key has the prefix
 *    16  4  leaf: the next leaf, 0 = none              leaf: heads[i], refs[i]: key i and its newest version
 *    20  4  level, 0 = leaf                            inner: heads[i], refs[i], i > 0: the smallest key below
 *    24 40  first 40 bytes of the prefix               children[i], and an entry that has it; [0] is not used
 *
 * All keys of a node begin with its prefix; a head is the 8 bytes of a key after it, as a big-endian number, missing
 * bytes taken as zero. Different heads order as their keys do; equal heads leave it to the keys ("a" and "a\0" have
 * one head).
 *
 * Readers and the writer: what readers load while the writer may store is _Atomic, stored with release and loaded
 * with acquire, all of it: so a reader that sees one store of a change also sees that the version became odd before
 * it, and finds out when it loads the version again. That needs no fence. What a reader loads in the middle of a
 * change is wrong but harmless: a count is never larger than BTREE_FANOUT, a slot below any count once published
 * holds a reference to something whole, and nothing is freed.
 *
 * Changes that leave the version alone, because a reader that sees only a part of them is right all the same:
 *   1. a slot is appended (its contents first, then the count);
 *   2. the reference of a leaf's slot moves to a newer version of the same key.
 */
#ifndef VARVE_MEMTABLE_INT_H
#define VARVE_MEMTABLE_INT_H

#include "lsm/memtable.h"

#ifndef MEMTREE_LOAD /* a test looks in between */
#define MEMTREE_LOAD(field) atomic_load_explicit(&(field), memory_order_acquire)
#endif
#define MEMTREE_STORE(field, value) atomic_store_explicit(&(field), (value), memory_order_release)
#define MEMTREE_PREFIX_WORDS        5u
#define MEMTREE_HEIGHT_MAX          24u /* a level multiplies by BTREE_FANOUT / 2 at least */

/* One version of a key. Immutable once it is in the tree. */
typedef struct mem_entry {
  uint64_t trailer;
  arena_ref older; /* the next older version of the key, 0 = none */
  uint32_t key_size;
  uint32_t value_size;
  uint8_t bytes[]; /* key, value */
} mem_entry;

typedef struct memtree_node {
  _Atomic uint32_t version;
  _Atomic uint32_t count;
  _Atomic uint32_t prefix_size;
  _Atomic arena_ref prefix_ref;
  _Atomic arena_ref next;
  uint32_t level;
  _Atomic uint64_t prefix[MEMTREE_PREFIX_WORDS]; /* as heads: big-endian numbers, zeros behind the prefix */
  _Atomic uint64_t heads[BTREE_FANOUT];
  _Atomic arena_ref refs[BTREE_FANOUT];
  _Atomic arena_ref children[BTREE_FANOUT];
} memtree_node;

#define MEMTREE_LEAF_BYTES  offsetof(memtree_node, children)
#define MEMTREE_INNER_BYTES sizeof(memtree_node)

static_assert(offsetof(memtree_node, heads) == 64, "the header is one cache line");
static_assert(BTREE_FANOUT >= 4 && BTREE_FANOUT % 2 == 0, "halves of a split node have two slots at least");

struct memtable {
  /* Read by all, written seldom. */
  _Atomic arena_ref root;   /* 0 = empty */
  _Atomic arena_ref ranges; /* the last page of range tombstones, 0 = none */
  allocator *alloc;
  uint64_t begin_seq;
  arena arena;
  /* The writer's, on lines that readers of the tree do not touch. */
  alignas(64) _Atomic uint64_t entries;
  _Atomic uint64_t range_deletes;
  atomic_size_t bytes;
  size_t spans_bytes; /* of range tombstones, outside the arena */
  uint64_t last_seq;
  uint64_t slots;                  /* different keys */
  uint32_t leaves, inners, height; /* height: levels above the leaves */
  bool ascending;                  /* the last new key was appended to last_leaf */
  arena_ref last_leaf;             /* that the last new key went to */
  alignas(64) pin users;
};

static inline const mem_entry *mem_entry_at(const memtable *mt, arena_ref ref) {
  return arena_at(&mt->arena, ref);
}
static inline slice mem_entry_key(const mem_entry *e) {
  return slice_make(e->bytes, e->key_size);
}
static inline slice mem_entry_value(const mem_entry *e) {
  return slice_make(e->bytes + e->key_size, e->value_size);
}

/* Counts what is used of the arena: not the rest of its open run and not its spare. */
static inline void mem_count_bytes(memtable *mt) {
  const arena *a = &mt->arena;
  size_t rest = a->open_bytes - a->open_used;
  if (a->spare != 0) rest += (size_t)a->chunk_pieces[a->spare] << ARENA_CHUNK_SHIFT;
  ASSERT(rest <= a->bytes);
  atomic_store_explicit(&mt->bytes, a->bytes - rest + mt->spans_bytes, memory_order_relaxed);
}

/* ---- memtable_tree.c ---- */

/* Puts a new entry (older == 0, not yet seen by anyone) where its key belongs; one of the same key becomes its
 * `older`. */
INTERNAL void memtree_insert(memtable *mt, arena_ref ref, mem_entry *entry);
/* What inserting `count` more keys may take at most for nodes. */
INTERNAL void memtree_growth(const memtable *mt, uint64_t count, uint64_t *bytes, uint64_t *pieces);
/* The newest version of key, 0 = none. */
INTERNAL arena_ref memtree_get(const memtable *mt, slice key);

/* A copy of a leaf's references. */
typedef struct memtree_view {
  uint32_t count;
  uint32_t at;    /* where the key looked for is or would be; <= count */
  bool equal;     /* it is there */
  arena_ref next; /* leaf */
  arena_ref refs[BTREE_FANOUT];
} memtree_view;

typedef enum memtree_goal {
  MEMTREE_KEY,    /* the leaf that key belongs to */
  MEMTREE_BEFORE, /* the leaf of the last key < key; at is behind it, 0 when there is none */
  MEMTREE_LAST    /* the last leaf; at = count */
} memtree_goal;

/* False when the tree is empty. */
INTERNAL bool memtree_view_find(const memtable *mt, slice key, memtree_goal goal, memtree_view *view);
INTERNAL void memtree_view_leaf(const memtable *mt, arena_ref leaf, memtree_view *view); /* at = 0 */

/* ---- memtable_ranges.c ---- */

INTERNAL void memranges_free(memtable *mt);

#endif
