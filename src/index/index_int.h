/* index_int.h: the inside of indexes.
 *
 * Locks, in the order in which they may be taken, all before the engine's:
 *   change_lock  one creation, opening, building, dropping at a time
 *   load_lock    reading the definitions, once
 *
 * Who writes rows takes neither: it reads `table`, which is replaced whole and kept until the store goes, and before it
 * the schema, a number of txn_store's, which is counted up after the table was replaced, inside the commit that makes
 * the change. A commit that was begun under another number is refused.
 */
#ifndef VARVE_INDEX_INT_H
#define VARVE_INDEX_INT_H

#include "env/sync.h"
#include "index/index.h"

#define INDEX_NAME_MAX VARVE_KEYSPACE_NAME_MAX

typedef struct index_item {
  varve_index *index;
  varve_index_extract extract; /* NULL = not given yet: the keyspace cannot be written to */
  void *context;
} index_item;

struct index_set {
  uint64_t keyspace;
  uint32_t count;
  index_item items[];
};

typedef struct index_table {
  struct index_table *next;
  uint32_t count;
  index_set *sets[];
} index_table;

struct varve_index {
  index_store *store;
  struct varve_index *next;
  index_shape shape;
  uint64_t id, keyspace;
  bool maintained;
  atomic_bool dropped, ready;
  bool ending;                 /* with its keyspace, by the commit under way */
  varve_index_extract extract; /* [change_lock] */
  void *context;
  uint8_t name_size;
  uint8_t name[INDEX_NAME_MAX];
};

struct index_store {
  lsm *lsm;
  txn_store *txns;
  allocator *alloc;
  void *owner;
  _Atomic(const index_table *) table; /* NULL = not loaded */
  _Atomic(index_cursor *) idle;       /* a closed one, with its buffers, for the next */
  mutex change_lock, load_lock;
  varve_index *indexes; /* [change_lock, or loading] every handle ever made */
  index_table *tables;  /* [change_lock, or loading] every table ever made */
};

/* ---- index_catalogue.c ---- */

/* The index with the name, NULL when there is none. change_lock held, and loaded. */
INTERNAL varve_index *index_by_name(const index_store *s, slice name);
/* A new handle, not in the list. */
INTERNAL varve_index *index_make(index_store *s, slice name);

/* Reads the definitions, the first time. */
INTERNAL int index_load(index_store *s);

/* The key and value of the definition; `position`: the rows below it are in the index; NULL = it is built. NOMEM. */
INTERNAL int index_def_encode(const varve_index *ix, const slice *position, buf *key, buf *value);
/* Where building has got to: OK, or NOTFOUND when it is built. */
INTERNAL int index_def_position(varve_index *ix, buf *position);
/* Appends to `b` what ends the index: its definition goes, and all its entries. */
INTERNAL int index_def_remove(const varve_index *ix, batch *b);
INTERNAL int index_entries_remove(const varve_index *ix, batch *b);

/* A table of the indexes as they are now, in the store's list but not current. change_lock held. */
INTERNAL int index_table_make(index_store *s, const index_table **out);
/* Commits `b`; with it, `table` becomes the current one and the schema another. */
INTERNAL int index_commit_change(index_store *s, const batch *b, const index_table *table);

/* ---- index_read.c ---- */

INTERNAL void index_cursor_forget(index_store *s);

/* ---- index_build.c ---- */

/* Goes on with building until all rows are in it. change_lock held. */
INTERNAL int index_build(varve_index *ix, varve_progress progress, void *context);

/* ---- index_write.c ---- */

/* Index keys of a row, one after the other in `bytes`. */
typedef struct index_keys {
  buf bytes;
  buf ends; /* u32 each */
} index_keys;
INTERNAL void index_keys_init(index_keys *k, allocator *alloc);
INTERNAL void index_keys_free(index_keys *k);
static inline uint32_t index_keys_count(const index_keys *k) {
  return (uint32_t)(k->ends.size / sizeof(uint32_t));
}
INTERNAL slice index_keys_at(const index_keys *k, uint32_t i);
INTERNAL bool index_keys_have(const index_keys *k, slice key);
/* What the extractor tells of a row; `key` is its inner key. */
INTERNAL int index_keys_extract(index_keys *k, const index_item *item, slice key, slice value);
/* "the key ... of the unique index ... has another row": EXISTS. */
INTERNAL int index_taken(const varve_index *ix, slice key);

#endif
