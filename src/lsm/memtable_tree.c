/* memtable_tree.c: the B+tree of a memtable. Its nodes, and why readers need no lock: memtable_int.h.
 *
 * The writer goes down, puts the entry into a leaf and, when that is full, splits it and as many nodes above it as
 * are full. All nodes that a split changes are odd from before its first store until after its last: a reader that
 * came through one of them before the split cannot believe what it reads in another after it. Leaves split in the
 * middle, or, when keys arrive in ascending order, at the right edge, which leaves the left one full.
 *
 * Readers go down with the version of each node in hand: a child counts only if its parent did not change until the
 * child's version was known.
 *
 * Invariants
 *   1. Nodes never merge and never move: the smallest key that a node may hold is fixed, and that key is in it (but
 *      for the first node of a level). So the predecessor of a key is in the leaf below the last separator < key.
 *   2. A separator is smaller than or equal to every key below its child, and larger than every key below the child
 *      before.
 *   3. leaves <= 4 * slots / BTREE_FANOUT + 2; inner nodes have BTREE_FANOUT / 2 children at least, but for the root.
 */
#include "lsm/memtable_int.h"

#include "env/sync.h"

#define MEMTREE_PREFIX_BYTES (8u * MEMTREE_PREFIX_WORDS)
#define MEMTREE_SHARED_MAX   4u  /* a split node whose heads share so many bytes gets a longer prefix */
#define MEMTREE_SPINS        64u /* looks at a changing node before the processor is offered to others */
#define MEMTREE_LINE         64u

static inline memtree_node *memtree_at(const memtable *mt, arena_ref ref) {
  return arena_at(&mt->arena, ref);
}

static inline slice memtree_key(const memtable *mt, const memtree_node *node, uint32_t at) {
  return mem_entry_key(mem_entry_at(mt, MEMTREE_LOAD(node->refs[at])));
}

/* ---- searching a node ---- */

/* The head of key behind its first `skip` bytes; skip <= key.size. */
static inline uint64_t memtree_head(slice key, size_t skip) {
  const uint8_t *p = key.data;
  size_t rest = key.size - skip;
  if (LIKELY(rest >= 8)) return head_u64(p + skip, 8);
  if (rest == 0) return 0;
  if (LIKELY(key.size >= 8)) return head_u64(p + key.size - 8, 8) << (8 * (8 - rest)); /* one load, not a loop */
  return head_u64(p + skip, rest);
}

/* < 0 or > 0 as key comes before or after all keys with the node's prefix, 0 when it has the prefix. */
static int memtree_prefix_order(const memtable *mt, const memtree_node *node, size_t prefix_size, slice key) {
  size_t inlined = MIN(prefix_size, MEMTREE_PREFIX_BYTES);
  for (size_t i = 0; 8 * i < inlined; i++) {
    uint64_t theirs = MEMTREE_LOAD(node->prefix[i]);
    uint64_t ours = 8 * i < key.size ? memtree_head(key, 8 * i) : 0;
    if (inlined - 8 * i < 8) ours &= ~(UINT64_MAX >> (8 * (inlined - 8 * i)));
    if (ours != theirs) return ours < theirs ? -1 : 1;
  }
  if (prefix_size > inlined && key.size > inlined) {
    slice with = mem_entry_key(mem_entry_at(mt, MEMTREE_LOAD(node->prefix_ref)));
    size_t end = MIN(MIN(with.size, prefix_size), key.size); /* with.size: the two may not belong together */
    if (end > inlined) {
      int order = memcmp((const uint8_t *)key.data + inlined, (const uint8_t *)with.data + inlined, end - inlined);
      if (order != 0) return order;
    }
  }
  return key.size < prefix_size ? -1 : 0;
}

/* The first slot in [low, high) whose head is >= head (> head when `past`), else high. */
static inline uint32_t memtree_head_bound(const memtree_node *node, uint32_t low, uint32_t high, uint64_t head) {
  uint32_t n = high - low;
  while (n > 1) {
    uint32_t half = n / 2;
    low += MEMTREE_LOAD(node->heads[low + half - 1]) < head ? half : 0;
    n -= half;
  }
  if (n == 1 && MEMTREE_LOAD(node->heads[low]) < head) low++;
  return low;
}

/* The first slot in [low, count) whose key is >= key, else count. */
static uint32_t memtree_search(const memtable *mt, const memtree_node *node, uint32_t low, uint32_t count, slice key,
                               bool *equal) {
  *equal = false;
  size_t prefix_size = MEMTREE_LOAD(node->prefix_size);
  int order = memtree_prefix_order(mt, node, prefix_size, key);
  if (UNLIKELY(order != 0)) return order < 0 ? low : MAX(low, count);
  uint64_t head = memtree_head(key, prefix_size);
  uint32_t at = memtree_head_bound(node, low, count, head);
  if (at >= count || MEMTREE_LOAD(node->heads[at]) != head) return at;
  uint32_t high = at + 1;
  if (UNLIKELY(high < count && MEMTREE_LOAD(node->heads[high]) == head)) {
    high = head == UINT64_MAX ? count : memtree_head_bound(node, high, count, head + 1);
  }
  while (at < high) { /* mostly one */
    uint32_t middle = at + (high - at) / 2;
    order = slice_compare(memtree_key(mt, node, middle), key);
    if (order == 0) {
      *equal = true;
      return middle;
    }
    if (order < 0) {
      at = middle + 1;
    } else {
      high = middle;
    }
  }
  return at;
}

static inline void memtree_prefetch(const memtree_node *node) {
  const char *p = (const char *)node;
  for (size_t i = 0; i < offsetof(memtree_node, children); i += MEMTREE_LINE) __builtin_prefetch(p + i);
}

/* ---- reading ---- */

/* The node's version once it is even. */
static inline uint32_t memtree_begin(const memtree_node *node) {
  for (uint32_t spins = 1;; spins++) {
    uint32_t version = MEMTREE_LOAD(node->version);
    if (LIKELY((version & 1) == 0)) return version;
    if (spins % MEMTREE_SPINS == 0) thread_yield();
  }
}

/* True when all that was loaded from the node since memtree_begin belongs together. */
static inline bool memtree_unchanged(const memtree_node *node, uint32_t version) {
  return LIKELY(MEMTREE_LOAD(node->version) == version);
}

static inline uint32_t memtree_child(const memtable *mt, const memtree_node *node, slice key, memtree_goal goal) {
  uint32_t count = MEMTREE_LOAD(node->count);
  if (goal == MEMTREE_LAST) return count - 1;
  bool equal;
  uint32_t at = memtree_search(mt, node, 1, count, key, &equal);
  return equal && goal == MEMTREE_KEY ? at : at - 1;
}

/* One way down. NULL when the tree is empty, or (*again) when the writer came across. */
static const memtree_node *memtree_go_down(const memtable *mt, slice key, memtree_goal goal, uint32_t *version,
                                           bool *again) {
  *again = false;
  arena_ref ref = MEMTREE_LOAD(mt->root);
  if (ref == 0) return NULL;
  const memtree_node *node = memtree_at(mt, ref);
  *version = memtree_begin(node);
  *again = MEMTREE_LOAD(mt->root) != ref; /* it split before its version was read: it has half of the keys only */
  while (!*again && node->level > 0) {
    const memtree_node *child = memtree_at(mt, MEMTREE_LOAD(node->children[memtree_child(mt, node, key, goal)]));
    memtree_prefetch(child);
    uint32_t child_version = memtree_begin(child);
    *again = !memtree_unchanged(node, *version);
    node = child;
    *version = child_version;
  }
  return *again ? NULL : node;
}

INTERNAL arena_ref memtree_get(const memtable *mt, slice key) {
  for (;;) {
    bool again, equal;
    uint32_t version;
    const memtree_node *leaf = memtree_go_down(mt, key, MEMTREE_KEY, &version, &again);
    if (again) continue;
    if (leaf == NULL) return 0;
    uint32_t at = memtree_search(mt, leaf, 0, MEMTREE_LOAD(leaf->count), key, &equal);
    arena_ref ref = equal ? MEMTREE_LOAD(leaf->refs[at]) : 0;
    if (memtree_unchanged(leaf, version)) return ref;
  }
}

static void memtree_view_copy(const memtree_node *leaf, uint32_t count, memtree_view *view) {
  view->count = count;
  for (uint32_t i = 0; i < count; i++) view->refs[i] = MEMTREE_LOAD(leaf->refs[i]);
  view->next = MEMTREE_LOAD(leaf->next);
}

INTERNAL bool memtree_view_find(const memtable *mt, slice key, memtree_goal goal, memtree_view *view) {
  for (;;) {
    bool again;
    uint32_t version;
    const memtree_node *leaf = memtree_go_down(mt, key, goal, &version, &again);
    if (again) continue;
    if (leaf == NULL) return false;
    /* One count for both: a slot that is appended between them is not in the copy. */
    uint32_t count = MEMTREE_LOAD(leaf->count);
    view->at = count;
    view->equal = false;
    if (goal != MEMTREE_LAST) view->at = memtree_search(mt, leaf, 0, count, key, &view->equal);
    memtree_view_copy(leaf, count, view);
    if (!memtree_unchanged(leaf, version)) continue;
    ASSERT(view->count > 0 && view->count <= BTREE_FANOUT);
    return true;
  }
}

INTERNAL void memtree_view_leaf(const memtable *mt, arena_ref ref, memtree_view *view) {
  const memtree_node *leaf = memtree_at(mt, ref);
  ASSERT(leaf->level == 0);
  uint32_t version;
  do {
    version = memtree_begin(leaf);
    memtree_view_copy(leaf, MEMTREE_LOAD(leaf->count), view);
  } while (!memtree_unchanged(leaf, version));
  view->at = 0;
  view->equal = false;
  ASSERT(view->count > 0 && view->count <= BTREE_FANOUT);
}

/* ---- changing a node ---- */

static void memtree_lock(memtree_node *node) {
  uint32_t version = MEMTREE_LOAD(node->version);
  ASSERT((version & 1) == 0);
  MEMTREE_STORE(node->version, version + 1);
}

static void memtree_unlock(memtree_node *node) {
  uint32_t version = MEMTREE_LOAD(node->version);
  ASSERT((version & 1) == 1);
  MEMTREE_STORE(node->version, version + 1);
}

/* The prefix becomes the first `size` bytes of the key of `ref`, which all keys of the node have. */
static void memtree_set_prefix(memtable *mt, memtree_node *node, size_t size, arena_ref ref) {
  slice key = mem_entry_key(mem_entry_at(mt, ref));
  ASSERT(size <= key.size);
  MEMTREE_STORE(node->prefix_size, (uint32_t)size);
  MEMTREE_STORE(node->prefix_ref, ref);
  slice prefix = slice_make(key.data, MIN(size, MEMTREE_PREFIX_BYTES));
  for (size_t i = 0; i < MEMTREE_PREFIX_WORDS; i++) {
    MEMTREE_STORE(node->prefix[i], 8 * i < prefix.size ? memtree_head(prefix, 8 * i) : 0);
  }
  uint32_t count = MEMTREE_LOAD(node->count);
  for (uint32_t i = node->level > 0; i < count; i++) {
    MEMTREE_STORE(node->heads[i], memtree_head(memtree_key(mt, node, i), size));
  }
}

/* Shortens the prefix of a locked node to what the key has of it. */
static void memtree_admit(memtable *mt, memtree_node *node, slice key) {
  size_t size = MEMTREE_LOAD(node->prefix_size);
  if (LIKELY(memtree_prefix_order(mt, node, size, key) == 0)) return;
  arena_ref ref = MEMTREE_LOAD(node->prefix_ref);
  size_t common = slice_common_prefix(mem_entry_key(mem_entry_at(mt, ref)), key);
  ASSERT(common < size);
  memtree_set_prefix(mt, node, common, ref);
}

/* After a split: a longer prefix when the heads of a locked or new node have come to say little. Not whenever there
 * is one: it costs a look at every key. */
static void memtree_tighten(memtable *mt, memtree_node *node) {
  uint32_t low = node->level > 0, count = MEMTREE_LOAD(node->count);
  ASSERT(count >= 2);
  if (count - low < 2) return;
  uint64_t differs = MEMTREE_LOAD(node->heads[low]) ^ MEMTREE_LOAD(node->heads[count - 1]);
  if (differs >> (64 - 8 * MEMTREE_SHARED_MAX) != 0) return;
  size_t common = slice_common_prefix(memtree_key(mt, node, low), memtree_key(mt, node, count - 1));
  if (common <= MEMTREE_LOAD(node->prefix_size)) return;
  memtree_set_prefix(mt, node, common, MEMTREE_LOAD(node->refs[low]));
}

/* Puts a slot (with its child in an inner node) before slot `at`. The node is locked, or at == count. */
static void memtree_put_slot(memtree_node *node, uint32_t at, uint64_t head, arena_ref ref, arena_ref child) {
  uint32_t count = MEMTREE_LOAD(node->count);
  ASSERT(count < BTREE_FANOUT && at <= count);
  for (uint32_t i = count; i > at; i--) MEMTREE_STORE(node->heads[i], MEMTREE_LOAD(node->heads[i - 1]));
  for (uint32_t i = count; i > at; i--) MEMTREE_STORE(node->refs[i], MEMTREE_LOAD(node->refs[i - 1]));
  if (node->level > 0) {
    for (uint32_t i = count; i > at; i--) MEMTREE_STORE(node->children[i], MEMTREE_LOAD(node->children[i - 1]));
    MEMTREE_STORE(node->children[at], child);
  }
  MEMTREE_STORE(node->heads[at], head);
  MEMTREE_STORE(node->refs[at], ref);
  MEMTREE_STORE(node->count, count + 1);
}

/* Puts an entry into a node that has room. The node is locked or not yet seen by readers. */
static void memtree_put(memtable *mt, memtree_node *node, uint32_t at, arena_ref ref, arena_ref child) {
  slice key = mem_entry_key(mem_entry_at(mt, ref));
  memtree_admit(mt, node, key);
  memtree_put_slot(node, at, memtree_head(key, MEMTREE_LOAD(node->prefix_size)), ref, child);
}

/* A node without slots whose prefix is the first prefix_size bytes of the key of `ref`. */
static arena_ref memtree_new(memtable *mt, uint32_t level, size_t prefix_size, arena_ref ref) {
  arena_ref made = arena_alloc_lines(&mt->arena, level > 0 ? MEMTREE_INNER_BYTES : MEMTREE_LEAF_BYTES);
  ASSERT(made != 0); /* the caller reserved */
  memtree_node *node = memtree_at(mt, made);
  memset((void *)node, 0, level > 0 ? MEMTREE_INNER_BYTES : MEMTREE_LEAF_BYTES);
  node->level = level;
  memtree_set_prefix(mt, node, prefix_size, ref);
  if (level > 0) {
    mt->inners++;
  } else {
    mt->leaves++;
  }
  return made;
}

/* A leaf with one key. How much of it later keys will share is not known: all but its head. */
static arena_ref memtree_new_leaf(memtable *mt, arena_ref ref) {
  slice key = mem_entry_key(mem_entry_at(mt, ref));
  arena_ref made = memtree_new(mt, 0, key.size > 8 ? key.size - 8 : 0, ref);
  memtree_put(mt, memtree_at(mt, made), 0, ref, 0);
  return made;
}

/* Moves the upper half of a full, locked node to a new one. *separator = the smallest key below the new one. */
static arena_ref memtree_halve(memtable *mt, memtree_node *node, arena_ref *separator) {
  const uint32_t half = BTREE_FANOUT / 2;
  ASSERT(MEMTREE_LOAD(node->count) == BTREE_FANOUT);
  arena_ref made = memtree_new(mt, node->level, MEMTREE_LOAD(node->prefix_size), MEMTREE_LOAD(node->prefix_ref));
  memtree_node *right = memtree_at(mt, made);
  for (uint32_t i = 0; i < half; i++) {
    MEMTREE_STORE(right->heads[i], MEMTREE_LOAD(node->heads[half + i]));
    MEMTREE_STORE(right->refs[i], MEMTREE_LOAD(node->refs[half + i]));
    if (node->level > 0) MEMTREE_STORE(right->children[i], MEMTREE_LOAD(node->children[half + i]));
  }
  MEMTREE_STORE(right->count, half);
  MEMTREE_STORE(right->next, MEMTREE_LOAD(node->next));
  *separator = MEMTREE_LOAD(right->refs[0]);
  memtree_tighten(mt, right);
  if (node->level == 0) MEMTREE_STORE(node->next, made);
  MEMTREE_STORE(node->count, half);
  memtree_tighten(mt, node);
  return made;
}

/* ---- inserting ---- */

/* The way down to a leaf: path[0] is the leaf, path[height] the root; at = the slot or child. */
typedef struct memtree_step {
  memtree_node *node;
  uint32_t at;
} memtree_step;

/* Fills the path; true when the leaf has the key. */
static bool memtree_find_path(const memtable *mt, slice key, memtree_step path[MEMTREE_HEIGHT_MAX]) {
  memtree_node *node = memtree_at(mt, MEMTREE_LOAD(mt->root));
  ASSERT(node->level == mt->height && mt->height < MEMTREE_HEIGHT_MAX);
  while (node->level > 0) {
    uint32_t at = memtree_child(mt, node, key, MEMTREE_KEY);
    path[node->level] = (memtree_step){node, at};
    node = memtree_at(mt, MEMTREE_LOAD(node->children[at]));
    memtree_prefetch(node);
  }
  bool equal;
  path[0].node = node;
  path[0].at = memtree_search(mt, node, 0, MEMTREE_LOAD(node->count), key, &equal);
  return equal;
}

/* Puts a new child behind path[level].at, one level up after the other as long as they are full. */
static void memtree_grow(memtable *mt, memtree_step *path, arena_ref separator, arena_ref child) {
  for (uint32_t level = 1; level <= mt->height; level++) {
    memtree_node *node = path[level].node;
    uint32_t at = path[level].at + 1;
    if (MEMTREE_LOAD(node->count) < BTREE_FANOUT) {
      memtree_put(mt, node, at, separator, child);
      return;
    }
    arena_ref up, made = memtree_halve(mt, node, &up);
    if (at <= BTREE_FANOUT / 2) {
      memtree_put(mt, node, at, separator, child);
    } else {
      memtree_put(mt, memtree_at(mt, made), at - BTREE_FANOUT / 2, separator, child);
    }
    separator = up;
    child = made;
  }
  arena_ref old = MEMTREE_LOAD(mt->root);
  const memtree_node *below = memtree_at(mt, old);
  size_t prefix_size = MIN(MEMTREE_LOAD(below->prefix_size), mem_entry_at(mt, separator)->key_size);
  arena_ref root = memtree_new(mt, mt->height + 1, prefix_size, separator);
  memtree_put_slot(memtree_at(mt, root), 0, 0, separator, old);
  memtree_put(mt, memtree_at(mt, root), 1, separator, child);
  mt->height++;
  ASSERT(mt->height < MEMTREE_HEIGHT_MAX);
  MEMTREE_STORE(mt->root, root);
}

/* Splits the full leaf at the end of the path and puts the entry in. Returns the leaf that has it. */
static arena_ref memtree_split(memtable *mt, memtree_step *path, arena_ref leaf_ref, arena_ref ref, bool at_edge) {
  memtree_node *leaf = path[0].node;
  uint32_t at = path[0].at, height = mt->height, locked = 0;
  memtree_lock(leaf);
  while (locked < height && MEMTREE_LOAD(path[locked].node->count) == BTREE_FANOUT) memtree_lock(path[++locked].node);
  arena_ref separator = ref, made, target;
  if (at_edge) {
    target = made = memtree_new_leaf(mt, ref);
    MEMTREE_STORE(memtree_at(mt, made)->next, MEMTREE_LOAD(leaf->next));
    MEMTREE_STORE(leaf->next, made);
  } else {
    made = memtree_halve(mt, leaf, &separator);
    bool left = at <= BTREE_FANOUT / 2; /* between the halves: left, so that the separator stays the smallest key */
    target = left ? leaf_ref : made;
    memtree_put(mt, memtree_at(mt, target), left ? at : at - BTREE_FANOUT / 2, ref, 0);
  }
  memtree_grow(mt, path, separator, made);
  for (uint32_t level = 0; level <= locked; level++) memtree_unlock(path[level].node);
  return target;
}

/* Puts a new key at slot `at` of a leaf that has room. */
static void memtree_put_leaf(memtable *mt, memtree_node *leaf, uint32_t at, arena_ref ref, slice key) {
  bool at_end = at == MEMTREE_LOAD(leaf->count);
  mt->ascending = at_end;
  mt->slots++;
  size_t prefix_size = MEMTREE_LOAD(leaf->prefix_size);
  if (at_end && memtree_prefix_order(mt, leaf, prefix_size, key) == 0) {
    memtree_put_slot(leaf, at, memtree_head(key, prefix_size), ref, 0);
    return;
  }
  memtree_lock(leaf);
  memtree_put(mt, leaf, at, ref, 0);
  memtree_unlock(leaf);
}

/* Ascending keys: does the key belong at the end of the leaf that took the last one? */
static bool memtree_continues(const memtable *mt, slice key) {
  if (!mt->ascending) return false;
  const memtree_node *leaf = memtree_at(mt, mt->last_leaf);
  uint32_t count = MEMTREE_LOAD(leaf->count);
  if (slice_compare(key, memtree_key(mt, leaf, count - 1)) <= 0) return false;
  arena_ref next = MEMTREE_LOAD(leaf->next);
  return next == 0 || slice_compare(key, memtree_key(mt, memtree_at(mt, next), 0)) < 0;
}

INTERNAL void memtree_insert(memtable *mt, arena_ref ref, mem_entry *entry) {
  slice key = mem_entry_key(entry);
  if (UNLIKELY(MEMTREE_LOAD(mt->root) == 0)) {
    mt->last_leaf = memtree_new_leaf(mt, ref);
    mt->slots = 1;
    mt->ascending = true;
    MEMTREE_STORE(mt->root, mt->last_leaf);
    return;
  }
  bool continues = memtree_continues(mt, key);
  if (continues) {
    memtree_node *leaf = memtree_at(mt, mt->last_leaf);
    uint32_t count = MEMTREE_LOAD(leaf->count);
    if (count < BTREE_FANOUT) {
      memtree_put_leaf(mt, leaf, count, ref, key);
      return;
    }
  }
  memtree_step path[MEMTREE_HEIGHT_MAX];
  bool equal = memtree_find_path(mt, key, path);
  memtree_node *leaf = path[0].node;
  if (equal) {
    arena_ref older = MEMTREE_LOAD(leaf->refs[path[0].at]);
    ASSERT(mem_entry_at(mt, older)->trailer < entry->trailer);
    entry->older = older;
    MEMTREE_STORE(leaf->refs[path[0].at], ref);
    return;
  }
  arena_ref leaf_ref = mt->height == 0 ? MEMTREE_LOAD(mt->root) : MEMTREE_LOAD(path[1].node->children[path[1].at]);
  mt->last_leaf = leaf_ref;
  if (MEMTREE_LOAD(leaf->count) < BTREE_FANOUT) {
    memtree_put_leaf(mt, leaf, path[0].at, ref, key);
    return;
  }
  ASSERT(!continues || path[0].at == BTREE_FANOUT);
  bool at_end = path[0].at == BTREE_FANOUT;
  bool at_edge = at_end && (continues || MEMTREE_LOAD(leaf->next) == 0);
  mt->last_leaf = memtree_split(mt, path, leaf_ref, ref, at_edge);
  mt->ascending = at_edge;
  mt->slots++;
}

INTERNAL void memtree_growth(const memtable *mt, uint64_t count, uint64_t *bytes, uint64_t *pieces) {
  uint64_t leaves_max = 4 * (mt->slots + count) / BTREE_FANOUT + 2;
  ASSERT(leaves_max >= mt->leaves);
  uint64_t leaves = MIN(count, leaves_max - mt->leaves);
  uint64_t inners_max = 2 * (mt->leaves + leaves) / (BTREE_FANOUT - 2) + MEMTREE_HEIGHT_MAX;
  ASSERT(inners_max >= mt->inners);
  uint64_t inners = MIN(leaves * (mt->height + 1), inners_max - mt->inners);
  *bytes = leaves * MEMTREE_LEAF_BYTES + inners * MEMTREE_INNER_BYTES;
  *pieces = leaves + inners;
}

#undef MEMTREE_PREFIX_BYTES
#undef MEMTREE_SHARED_MAX
#undef MEMTREE_SPINS
#undef MEMTREE_LINE
