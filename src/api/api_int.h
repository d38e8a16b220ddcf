/* api_int.h: the objects behind the public handles, and the checks that every call makes first.
 *
 * A closed database's handle is remembered for a while (api_db.c), so that its use is an error and not a crash.
 */
#ifndef VARVE_API_INT_H
#define VARVE_API_INT_H

#include "env/sync.h"
#include "index/index.h"
#include "lsm/lsm.h"
#include "txn/txn.h"

/* States of a handle. An open one is in API_LIVE plus the number of forks between the first process and the one that
 * opened it, so that a child made by fork finds its parent's handles in another state than its own. */
#define API_LIVE   0x56415256u
#define API_CLOSED 0x434c4f53u

/* Keyspace ids in front of every key. */
#define KEYSPACE_DEFAULT 0u
#define KEYSPACE_CATALOG 1u /* names -> ids; under the empty name the next id to give */
#define KEYSPACE_FIRST   2u

struct varve_db {
  atomic_uint state; /* API_LIVE and so on, API_CLOSED */
  uint64_t serial;   /* of this handle in the process: no other ever has it */
  allocator *alloc;
  env *env;
  lsm *lsm;
  txn_store *txns;
  index_store *indexes;
  mutex keyspace_lock;         /* the list, and creation and dropping */
  varve_keyspace *keyspaces;   /* all handles ever given */
  _Atomic(batch *) idle_batch; /* of a put that is over, for the next one */
  _Atomic(varve_iter *) idle_iter;
};

struct varve_keyspace {
  varve_db *db;
  struct varve_keyspace *next;
  uint64_t id;
  uint8_t prefix[KEYSPACE_PREFIX_MAX];
  uint8_t prefix_size;
  uint8_t name_size;
  char name[VARVE_KEYSPACE_NAME_MAX];
  atomic_bool dropped;
};

struct varve_snapshot {
  varve_db *db;
  uint64_t seq;
};

struct varve_iter {
  varve_db *db;
  user_iter *in;
  txn_iter *walk;         /* of a transaction: moves go through it. NULL = none */
  index_cursor *postings; /* of an index: it has no `in` then. NULL = none */
  buf key;                /* target of a seek, behind the prefix */
  buf lower, upper;       /* inner keys; used while it is opened */
  uint8_t prefix_size;
};

/* The process's allocator: handles outlive databases. */
INTERNAL allocator *api_allocator(void);

/* OK, INVALID (NULL) or CLOSED. */
INTERNAL int api_check(const varve_db *db);

/* The prefix of a keyspace, NULL = the default one. INVALID when it belongs to another database, CLOSED when it was
 * dropped. */
INTERNAL int api_prefix(const varve_db *db, const varve_keyspace *keyspace, slice *prefix);
static inline uint64_t api_keyspace_id(const varve_keyspace *keyspace) {
  return keyspace == NULL ? KEYSPACE_DEFAULT : keyspace->id;
}
INTERNAL int api_check_key(slice key);
INTERNAL int api_check_value(slice value);

/* prefix and key joined, in `small` when it fits, else in memory that api_key_free gives back. */
#define API_KEY_SMALL 256u
typedef struct api_key {
  slice key;
  uint8_t *large;
  uint8_t small[API_KEY_SMALL];
} api_key;
INTERNAL int api_key_make(varve_db *db, slice prefix, slice key, api_key *out);
INTERNAL void api_key_free(varve_db *db, api_key *k);

/* Notes in a batch that it names the keyspace, for api_check_owners; and the keyspace's prefix. */
INTERNAL int api_batch_prefix(batch *b, varve_keyspace *keyspace, slice *prefix);
/* The inner keys from `begin` to `end` (exclusive; empty = the keyspace's end). NOTFOUND when there are none. */
INTERNAL int api_range(slice prefix, slice begin, slice end, buf *from, buf *to);
/* CLOSED or INVALID when a keyspace that the batch names cannot be written to any more. */
INTERNAL int api_check_owners(const varve_db *db, const batch *b);
INTERNAL int api_durability(varve_durability given, lsm_durability *d);

/* The handle of an iterator under these options, its bounds made; the caller opens what it walks over. */
INTERNAL int api_iter_begin(varve_db *db, const varve_iter_options *o, varve_iter **it);
/* An empty handle; NULL = out of memory. */
INTERNAL varve_iter *api_iter_take(varve_db *db);
INTERNAL void api_iter_give(varve_iter *it);

/* An empty batch for one call. */
INTERNAL int api_batch_take(varve_db *db, batch **b);
INTERNAL void api_batch_give(varve_db *db, batch *b);

/* NULL is allowed. */
INTERNAL void api_iter_free(varve_iter *it);

/* The range of inner keys that begin with the bytes of b: *b becomes their successor (empty when there is none). */
INTERNAL void api_successor(buf *b);

/* An env over `path`, locked. A place with other people's files and no database is left as it is: `foreign` then,
 * unless that is OK. */
INTERNAL int api_open_env(const char *path, uint32_t flags, uint32_t lock_wait_ms, int foreign, env **out);
INTERNAL int api_close_env(env *e);

/* varve_open over an env that the caller made and locked; it is the database's from now on, also when this fails. For
 * tests. */
INTERNAL int api_open(env *e, const varve_options *options, varve_db **db);

#endif
