/* index_catalogue.c: the definitions of indexes, in the database and in memory, and which writes have to know of them.
 *
 *   definition's value   u8 kind (1 BTREE, 2 HASH) | u8 flags | varint index id | varint keyspace id | position
 *   flags                1 unique, 2 maintains itself, 4 being built: then the position, a byte string: rows with keys
 *                        below it are in the index
 *
 * Invariants
 *   1. The current table has every index that maintains itself, with its extractor as far as it is known.
 *   2. A table and the number of the schema change inside one commit; what was begun before it cannot be committed
 *      after it.
 */
#include "index/index_int.h"

enum { DEF_UNIQUE = 1, DEF_MAINTAINED = 2, DEF_BUILDING = 4 };

static const uint8_t index_def_prefix[3] = {1, 0, 'i'};

/* ---- stores ---- */

INTERNAL int index_store_create(lsm *l, txn_store *txns, allocator *alloc, void *owner, index_store **out) {
  *out = MEM_NEW(alloc, index_store);
  if (*out == NULL) return mem_fail(sizeof **out, "indexes");
  index_store *s = *out;
  s->lsm = l;
  s->txns = txns;
  s->alloc = alloc;
  s->owner = owner;
  mutex_init(&s->change_lock);
  mutex_init(&s->load_lock);
  return VARVE_OK;
}

static size_t index_set_bytes(uint32_t count) {
  return sizeof(index_set) + count * sizeof(index_item);
}

static size_t index_table_bytes(uint32_t count) {
  return sizeof(index_table) + count * sizeof(index_set *);
}

static void index_table_free(allocator *alloc, index_table *t) {
  for (uint32_t i = 0; i < t->count; i++) {
    if (t->sets[i] != NULL) mem_free(alloc, t->sets[i], index_set_bytes(t->sets[i]->count));
  }
  mem_free(alloc, t, index_table_bytes(t->count));
}

INTERNAL void index_store_destroy(index_store *s) {
  if (s == NULL) return;
  index_cursor_forget(s);
  while (s->tables != NULL) {
    index_table *next = s->tables->next;
    index_table_free(s->alloc, s->tables);
    s->tables = next;
  }
  while (s->indexes != NULL) {
    varve_index *next = s->indexes->next;
    MEM_DELETE(s->alloc, s->indexes);
    s->indexes = next;
  }
  mutex_destroy(&s->change_lock);
  mutex_destroy(&s->load_lock);
  MEM_DELETE(s->alloc, s);
}

INTERNAL index_store *index_store_close(index_store *s) {
  index_cursor_forget(s);
  s->lsm = NULL;
  s->txns = NULL;
  if (s->indexes != NULL) return s;
  index_store_destroy(s);
  return NULL;
}

/* ---- definitions ---- */

static int index_def_key(slice name, buf *key) {
  TRY(buf_set(key, slice_make(index_def_prefix, sizeof index_def_prefix)));
  return buf_append(key, name.data, name.size);
}

INTERNAL int index_def_encode(const varve_index *ix, const slice *position, buf *key, buf *value) {
  uint8_t head[2 + 2 * VARINT64_SIZE_MAX];
  head[0] = (uint8_t)ix->shape.kind;
  head[1] = (uint8_t)((ix->shape.unique ? DEF_UNIQUE : 0) | (ix->maintained ? DEF_MAINTAINED : 0) |
                      (position != NULL ? DEF_BUILDING : 0));
  size_t size = 2;
  size += varint_put(head + size, ix->id);
  size += varint_put(head + size, ix->keyspace);
  TRY(index_def_key(slice_make(ix->name, ix->name_size), key));
  TRY(buf_set(value, slice_make(head, size)));
  return position == NULL ? VARVE_OK : buf_append_slice(value, *position);
}

/* Fills in what a definition says. */
static bool index_def_decode(varve_index *ix, slice value, slice *position, bool *building) {
  reader r = reader_of(value);
  uint8_t kind, flags;
  if (!read_u8(&r, &kind) || !read_u8(&r, &flags)) return false;
  if ((kind != VARVE_BTREE && kind != VARVE_HASH) || flags > (DEF_UNIQUE | DEF_MAINTAINED | DEF_BUILDING)) return false;
  if (!read_varint64(&r, &ix->id) || !read_varint64(&r, &ix->keyspace) || ix->keyspace > UINT32_MAX) return false;
  *building = (flags & DEF_BUILDING) != 0;
  *position = slice_make(NULL, 0);
  if (*building && !read_slice(&r, VARVE_KEY_SIZE_MAX + 1, position)) return false;
  ix->maintained = (flags & DEF_MAINTAINED) != 0;
  if (reader_left(&r) > 0 || (*building && !ix->maintained)) return false;
  index_shape_init(&ix->shape, (varve_index_kind)kind, (flags & DEF_UNIQUE) != 0, ix->id);
  return true;
}

static int index_def_broken(slice name) {
  return status_fail(VARVE_CORRUPT, "the definition of the index \"%.*s\" makes no sense", (int)name.size,
                     (const char *)name.data);
}

INTERNAL int index_def_position(varve_index *ix, buf *position) {
  lsm_value found = {0};
  varve_index said = *ix;
  slice at = {NULL, 0}, name = slice_make(ix->name, ix->name_size);
  bool building = false, got = false;
  buf key;
  int rc = VARVE_OK;
  buf_init(&key, ix->store->alloc);
  STEP(index_def_key(name, &key));
  STEP(lsm_get(ix->store->lsm, buf_slice(&key), SEQ_MAX, &found));
  got = rc == VARVE_OK;
  if (!got || !index_def_decode(&said, found.data, &at, &building)) STEP(index_def_broken(name));
  rc = building ? buf_set(position, at) : VARVE_NOTFOUND;
out:
  if (got) pin_unref(found.pin);
  buf_free(&key);
  return rc;
}

INTERNAL int index_entries_remove(const varve_index *ix, batch *b) {
  uint8_t end[INDEX_PREFIX_MAX];
  memcpy(end, ix->shape.prefix, ix->shape.prefix_size);
  end[ix->shape.prefix_size - 1]++; /* the last byte of a varint is below 0x80 */
  return batch_delete_range(b, index_shape_prefix(&ix->shape), slice_make(end, ix->shape.prefix_size));
}

INTERNAL int index_def_remove(const varve_index *ix, batch *b) {
  slice prefix = slice_make(index_def_prefix, sizeof index_def_prefix);
  TRY(batch_delete(b, prefix, slice_make(ix->name, ix->name_size)));
  return index_entries_remove(ix, b);
}

/* ---- tables ---- */

static uint32_t index_table_find(const index_table *t, uint64_t keyspace) {
  uint32_t at = 0;
  while (at < t->count && t->sets[at]->keyspace != keyspace) at++;
  return at;
}

static bool index_is_current(const varve_index *ix) {
  return ix->maintained && !atomic_load(&ix->dropped);
}

static uint32_t index_table_members(const index_store *s, uint64_t keyspace) {
  uint32_t count = 0;
  for (const varve_index *ix = s->indexes; ix != NULL; ix = ix->next) {
    count += index_is_current(ix) && ix->keyspace == keyspace;
  }
  return count;
}

static int index_table_add(index_store *s, index_table *t, varve_index *ix) {
  uint32_t at = index_table_find(t, ix->keyspace);
  if (at == t->count) {
    size_t size = index_set_bytes(index_table_members(s, ix->keyspace));
    index_set *set = mem_zalloc(s->alloc, size);
    if (set == NULL) return mem_fail(size, "a keyspace's indexes");
    set->keyspace = ix->keyspace;
    t->sets[t->count++] = set;
  }
  index_set *set = t->sets[at];
  set->items[set->count++] = (index_item){ix, ix->extract, ix->context};
  ASSERT(set->count <= index_table_members(s, ix->keyspace));
  return VARVE_OK;
}

INTERNAL int index_table_make(index_store *s, const index_table **out) {
  uint32_t room = 0;
  for (const varve_index *ix = s->indexes; ix != NULL; ix = ix->next) room += index_is_current(ix);
  index_table *t = mem_zalloc(s->alloc, index_table_bytes(room));
  if (t == NULL) return mem_fail(index_table_bytes(room), "the indexes");
  int rc = VARVE_OK;
  for (varve_index *ix = s->indexes; ix != NULL && rc >= 0; ix = ix->next) {
    if (index_is_current(ix)) rc = index_table_add(s, t, ix);
  }
  if (t->count < room) { /* several indexes of one keyspace: the size that it is freed with is that of its sets */
    index_table *smaller =
        rc < 0 ? NULL : mem_resize(s->alloc, t, index_table_bytes(room), index_table_bytes(t->count));
    if (smaller != NULL) {
      t = smaller;
    } else {
      for (uint32_t i = 0; i < t->count; i++) mem_free(s->alloc, t->sets[i], index_set_bytes(t->sets[i]->count));
      mem_free(s->alloc, t, index_table_bytes(room));
      return rc < 0 ? rc : mem_fail(index_table_bytes(room), "the indexes");
    }
  }
  if (rc < 0) {
    index_table_free(s->alloc, t);
    return rc;
  }
  t->next = s->tables;
  s->tables = t;
  *out = t;
  return VARVE_OK;
}

/* ---- loading ---- */

INTERNAL varve_index *index_by_name(const index_store *s, slice name) {
  for (varve_index *ix = s->indexes; ix != NULL; ix = ix->next) {
    if (!atomic_load(&ix->dropped) && slice_equal(slice_make(ix->name, ix->name_size), name)) return ix;
  }
  return NULL;
}

INTERNAL varve_index *index_make(index_store *s, slice name) {
  ASSERT(name.size > 0 && name.size <= INDEX_NAME_MAX);
  varve_index *ix = MEM_NEW(s->alloc, varve_index);
  if (ix == NULL) {
    (void)mem_fail(sizeof *ix, "an index");
    return NULL;
  }
  ix->store = s;
  ix->name_size = (uint8_t)name.size;
  memcpy(ix->name, name.data, name.size);
  return ix;
}

static int index_load_one(index_store *s, slice name, slice value) {
  if (name.size == 0 || name.size > INDEX_NAME_MAX) return index_def_broken(name);
  if (index_by_name(s, name) != NULL) return VARVE_OK; /* of an attempt that failed further on */
  varve_index *ix = index_make(s, name);
  if (ix == NULL) return VARVE_NOMEM;
  slice position;
  bool building;
  if (!index_def_decode(ix, value, &position, &building)) {
    MEM_DELETE(s->alloc, ix);
    return index_def_broken(name);
  }
  atomic_store(&ix->ready, !building);
  ix->next = s->indexes;
  s->indexes = ix;
  return VARVE_OK;
}

static int index_load_all(index_store *s) {
  uint8_t end[3] = {1, 0, 'i' + 1};
  user_iter *it;
  user_iter_options o = {.seq_max = SEQ_MAX,
                         .lower = slice_make(index_def_prefix, sizeof index_def_prefix),
                         .upper = slice_make(end, sizeof end)};
  TRY(lsm_iter_open(s->lsm, &o, &it));
  int rc = user_iter_first(it);
  for (; rc == VARVE_OK; rc = user_iter_next(it)) {
    slice key = user_iter_key(it);
    slice name = slice_make((const uint8_t *)key.data + sizeof end, key.size - sizeof end);
    rc = index_load_one(s, name, user_iter_value(it));
    if (rc < 0) break;
  }
  user_iter_close(it);
  return rc == VARVE_DONE ? VARVE_OK : rc;
}

INTERNAL int index_load(index_store *s) {
  if (LIKELY(atomic_load_explicit(&s->table, memory_order_acquire) != NULL)) return VARVE_OK;
  const index_table *table = NULL;
  int rc = VARVE_OK;
  mutex_lock(&s->load_lock);
  if (atomic_load(&s->table) != NULL) goto out;
  STEP(index_load_all(s));
  STEP(index_table_make(s, &table));
  atomic_store_explicit(&s->table, table, memory_order_release);
out:
  mutex_unlock(&s->load_lock);
  return rc;
}

/* ---- what a write has to know ---- */

INTERNAL int index_moment_of(index_store *s, uint64_t keyspace, index_moment *m) {
  m->store = s;
  m->keyspace = keyspace;
  m->schema = txn_store_schema(s->txns); /* before the table: invariant 2 */
  m->set = NULL;
  const index_table *t = atomic_load_explicit(&s->table, memory_order_acquire);
  if (UNLIKELY(t == NULL)) {
    TRY(index_load(s));
    t = atomic_load_explicit(&s->table, memory_order_acquire);
  }
  if (LIKELY(t->count == 0)) return VARVE_OK;
  uint32_t at = index_table_find(t, keyspace);
  if (at < t->count) m->set = t->sets[at];
  return VARVE_OK;
}

INTERNAL int index_moment_holds(void *context, lsm *l) {
  const index_moment *m = context;
  (void)l;
  return LIKELY(txn_store_schema(m->store->txns) == m->schema) ? VARVE_OK : VARVE_CONFLICT;
}

typedef struct index_change {
  index_store *store;
  const index_table *table;
} index_change;

static int index_change_now(void *context, lsm *l) {
  index_change *c = context;
  (void)l;
  atomic_store_explicit(&c->store->table, c->table, memory_order_release);
  txn_store_new_schema(c->store->txns);
  return VARVE_OK;
}

INTERNAL int index_commit_change(index_store *s, const batch *b, const index_table *table) {
  index_change change = {s, table};
  lsm_precondition condition = {.check = index_change_now, .context = &change};
  const index_table *before = atomic_load(&s->table);
  int rc = lsm_commit(s->lsm, b, LSM_DEFAULT, &condition);
  if (rc < 0 && before != table) {
    atomic_store_explicit(&s->table, before, memory_order_release);
    txn_store_new_schema(s->txns);
  }
  return rc;
}
