/* index.h: the door of indexes: postings (index key, primary key), kept in the same tree and commits as the rows.
 *
 * An index of a keyspace with an extractor maintains itself. Who writes a row asks index_moment_of first: a set says
 * that the row has to be written through here, and whatever is committed passes the moment on (index_moment_holds), so
 * that nothing that was made without knowing of an index is committed after the index came into being.
 *
 * Keys of rows are inner keys. Threads: everything may be called from any thread; a cursor belongs to one at a time.
 */
#ifndef VARVE_INDEX_H
#define VARVE_INDEX_H

#include "index/index_key.h"
#include "txn/txn.h"

typedef struct index_store index_store;
typedef struct index_set index_set; /* the indexes of one keyspace that maintain themselves */

/* `owner` is the caller's, for index_owner. */
INTERNAL int index_store_create(lsm *l, txn_store *txns, allocator *alloc, void *owner, index_store **out);
/* The database is closed: only handles are left, for index_owner. */
INTERNAL index_store *index_store_close(index_store *s); /* what handles point to; NULL = there are none */
INTERNAL void index_store_destroy(index_store *s);       /* NULL is allowed */

/* ---- writing rows ---- */

/* What there was to know of a keyspace's indexes when a write began. */
typedef struct index_moment {
  index_store *store;
  uint64_t keyspace, schema;
  const index_set *set; /* NULL = none: rows are written as they are. Stays valid while the store is there */
} index_moment;

INTERNAL int index_moment_of(index_store *s, uint64_t keyspace, index_moment *m);
/* For lsm_precondition: `context` is the moment. CONFLICT = indexes were made or dropped since: begin again. */
INTERNAL int index_moment_holds(void *context, lsm *l);

/* The row's change with its indexes' changes; `value` NULL = a deletion. EXISTS = a unique index has its key already
 * (nothing was changed then). INVALID = an index has no extractor yet. */
INTERNAL int index_write_row(const index_moment *m, txn *t, slice key, const slice *value);
/* Deletes the rows from begin to end (exclusive). */
INTERNAL int index_write_range(const index_moment *m, txn *t, slice begin, slice end);
/* Commits all operations of a batch, each with the indexes of its keyspace. */
INTERNAL int index_commit_batch(index_store *s, const batch *b, lsm_durability d);

/* ---- indexes ---- */

typedef struct index_options {
  slice name;
  varve_index_kind kind; /* 0 = any, for index_open */
  bool unique, has_keyspace;
  uint64_t keyspace; /* id */
  varve_index_extract extract;
  void *context;
  varve_progress progress;
  void *progress_context;
} index_options;

INTERNAL int index_create(index_store *s, const index_options *o, varve_index **out);
INTERNAL int index_open(index_store *s, const index_options *o, varve_index **out);
INTERNAL int index_drop(index_store *s, slice name);
INTERNAL int index_list(index_store *s, int (*visit)(void *context, varve_slice name), void *context);
/* Commits `b`, which drops the keyspace, together with the end of all its indexes. */
INTERNAL int index_drop_keyspace(index_store *s, uint64_t keyspace, batch *b);

/* OK, CLOSED (dropped), INVALID (not built yet). */
INTERNAL int index_check(const varve_index *ix);
INTERNAL void *index_owner(const varve_index *ix);
INTERNAL int index_get_info(varve_index *ix, varve_index_info *info);
INTERNAL int index_verify(varve_index *ix, varve_index_report *report, varve_progress progress, void *context);
INTERNAL int index_rebuild(varve_index *ix, varve_progress progress, void *context);

/* Manual ones: one posting, in `t` or in a commit of its own. */
INTERNAL int index_insert(varve_index *ix, txn *t, slice key, slice primary);
INTERNAL int index_remove(varve_index *ix, txn *t, slice key, slice primary);

/* ---- reading postings ---- */

/* The lowest primary key of an index key: OK or NOTFOUND. */
INTERNAL int index_get(varve_index *ix, txn *t, slice key, lsm_value *primary);

typedef struct index_cursor index_cursor;
INTERNAL int index_find(varve_index *ix, txn *t, slice key, index_cursor **out);
/* BTREE: lower <= index key < upper; upper empty = no bound. */
INTERNAL int index_range(varve_index *ix, txn *t, slice lower, slice upper, index_cursor **out);
INTERNAL int index_prefix(varve_index *ix, txn *t, slice prefix, index_cursor **out);
INTERNAL void index_cursor_close(index_cursor *c); /* NULL is allowed */
typedef enum index_move { INDEX_FIRST, INDEX_LAST, INDEX_SEEK, INDEX_SEEK_FOR_PREV, INDEX_NEXT, INDEX_PREV } index_move;
/* As the moves of iterators; `key` is an index key, for the seeks. */
INTERNAL int index_cursor_move(index_cursor *c, index_move move, slice key);
INTERNAL slice index_cursor_key(const index_cursor *c);
INTERNAL slice index_cursor_primary(const index_cursor *c);
INTERNAL int index_cursor_status(const index_cursor *c);

#endif
