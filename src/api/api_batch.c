/* api_batch.c: batches, and the commit of one. */
#include "api/api_int.h"

VARVE_API int varve_batch_create(varve_batch **out) {
  if (out == NULL) return status_fail(VARVE_INVALID, "there is nowhere to put the batch: batch is NULL");
  allocator *alloc = api_allocator();
  *out = MEM_NEW(alloc, batch);
  if (*out == NULL) return mem_fail(sizeof(batch), "a batch");
  batch_init(*out, alloc);
  return VARVE_OK;
}

VARVE_API void varve_batch_destroy(varve_batch *b) {
  if (b == NULL) return;
  batch_free(b);
  MEM_DELETE(api_allocator(), b);
}

VARVE_API void varve_batch_clear(varve_batch *b) {
  if (b != NULL) batch_clear(b);
}

INTERNAL int api_check_key(slice key) {
  if (UNLIKELY(key.size > VARVE_KEY_SIZE_MAX)) {
    return status_fail(VARVE_KEY_TOO_LARGE, "the key has %zu bytes; at most 65,536 are allowed: store a hash of it",
                       key.size);
  }
  if (UNLIKELY(key.data == NULL && key.size > 0)) return status_fail(VARVE_INVALID, "the key's data is NULL");
  return VARVE_OK;
}

INTERNAL int api_check_value(slice value) {
  if (UNLIKELY(value.size > VARVE_VALUE_SIZE_MAX)) {
    return status_fail(VARVE_VALUE_TOO_LARGE, "the value has %zu bytes; at most 1 GiB is allowed: split it over keys",
                       value.size);
  }
  if (UNLIKELY(value.data == NULL && value.size > 0)) return status_fail(VARVE_INVALID, "the value's data is NULL");
  return VARVE_OK;
}

static int api_check_batch(const batch *b) {
  return b == NULL ? status_fail(VARVE_INVALID, "the batch is NULL") : VARVE_OK;
}

/* A batch does not know its database, and a keyspace may be dropped before the commit: the handles are kept, to be
 * checked then. The database's serial tells whether a handle may be looked at: a batch may outlive its database. */
typedef struct api_owner {
  uint64_t serial;
  varve_keyspace *keyspace;
} api_owner;

INTERNAL int api_batch_prefix(batch *b, varve_keyspace *keyspace, slice *prefix) {
  TRY(api_prefix(keyspace == NULL ? NULL : keyspace->db, keyspace, prefix));
  if (keyspace == NULL) return VARVE_OK;
  api_owner owner;
  memset(&owner, 0, sizeof owner); /* its padding is compared too */
  owner.serial = keyspace->db->serial;
  owner.keyspace = keyspace;
  for (size_t at = 0; at < b->owners.size; at += sizeof owner) {
    if (memcmp(b->owners.data + at, &owner, sizeof owner) == 0) return VARVE_OK;
  }
  return buf_append(&b->owners, &owner, sizeof owner);
}

INTERNAL int api_check_owners(const varve_db *db, const batch *b) {
  for (size_t at = 0; at < b->owners.size; at += sizeof(api_owner)) {
    api_owner owner;
    slice prefix;
    memcpy(&owner, b->owners.data + at, sizeof owner);
    if (owner.serial != db->serial) {
      return status_fail(VARVE_INVALID, "the batch names a keyspace of another database");
    }
    TRY(api_prefix(db, owner.keyspace, &prefix));
  }
  return VARVE_OK;
}

VARVE_API int varve_batch_put(varve_batch *b, varve_keyspace *keyspace, varve_slice key, varve_slice value) {
  slice prefix;
  TRY(api_check_batch(b));
  TRY(api_batch_prefix(b, keyspace, &prefix));
  TRY(api_check_key(key));
  TRY(api_check_value(value));
  return batch_put(b, prefix, key, value);
}

VARVE_API int varve_batch_delete(varve_batch *b, varve_keyspace *keyspace, varve_slice key) {
  slice prefix;
  TRY(api_check_batch(b));
  TRY(api_batch_prefix(b, keyspace, &prefix));
  TRY(api_check_key(key));
  return batch_delete(b, prefix, key);
}

INTERNAL void api_successor(buf *b) {
  while (b->size > 0 && b->data[b->size - 1] == 0xff) b->size--;
  if (b->size > 0) b->data[b->size - 1]++;
}

INTERNAL int api_range(slice prefix, slice begin, slice end, buf *from, buf *to) {
  if (begin.size > VARVE_KEY_SIZE_MAX + 1u) TRY(api_check_key(begin)); /* + 1: a bound may be a key's successor */
  if (end.size > VARVE_KEY_SIZE_MAX + 1u) TRY(api_check_key(end));
  if (end.size > 0 && slice_compare(begin, end) >= 0) return VARVE_NOTFOUND;
  TRY(buf_append(from, prefix.data, prefix.size));
  TRY(buf_append(from, begin.data, begin.size));
  TRY(buf_append(to, prefix.data, prefix.size));
  if (end.size > 0) return buf_append(to, end.data, end.size);
  api_successor(to);
  return VARVE_OK;
}

VARVE_API int varve_batch_delete_range(varve_batch *b, varve_keyspace *keyspace, varve_slice begin, varve_slice end) {
  slice prefix;
  TRY(api_check_batch(b));
  TRY(api_batch_prefix(b, keyspace, &prefix));
  int rc = VARVE_OK;
  buf from, to;
  buf_init(&from, api_allocator());
  buf_init(&to, api_allocator());
  STEP(api_range(prefix, begin, end, &from, &to));
  if (rc == VARVE_OK) STEP(batch_delete_range(b, buf_slice(&from), buf_slice(&to)));
  rc = VARVE_OK;
out:
  buf_free(&from);
  buf_free(&to);
  return rc;
}

VARVE_API size_t varve_batch_count(const varve_batch *b) {
  return b == NULL ? 0 : b->count;
}

VARVE_API size_t varve_batch_size(const varve_batch *b) {
  return b == NULL ? 0 : b->ops.size;
}

INTERNAL int api_durability(varve_durability given, lsm_durability *d) {
  if (UNLIKELY(given > VARVE_STRICT))
    return status_fail(VARVE_INVALID, "durability must be 0, VARVE_RELAXED or VARVE_STRICT");
  *d = given == VARVE_STRICT ? LSM_STRICT : given == VARVE_RELAXED ? LSM_RELAXED : LSM_DEFAULT;
  return VARVE_OK;
}

/* Commits a batch, with the changes of indexes that maintain themselves: those of a keyspace that `m` has a set of. An
 * index that comes or goes before the commit makes it begin again. */
static int api_commit(varve_db *db, const batch *b, lsm_durability d, index_moment *m) {
  if (UNLIKELY(b->count == 0)) return lsm_write(db->lsm, b, d);
  if (LIKELY(m->set == NULL)) {
    lsm_precondition condition = {.check = index_moment_holds, .context = m};
    int rc = lsm_commit(db->lsm, b, d, &condition);
    if (LIKELY(rc != VARVE_CONFLICT)) return rc;
  }
  return index_commit_batch(db->indexes, b, d);
}

/* The first moment, with a set if one of the batch's keyspaces has one. */
static int api_batch_moment(varve_db *db, const batch *b, index_moment *m) {
  TRY(index_moment_of(db->indexes, KEYSPACE_DEFAULT, m));
  for (size_t at = 0; at < b->owners.size && m->set == NULL; at += sizeof(api_owner)) {
    api_owner owner;
    index_moment other;
    memcpy(&owner, b->owners.data + at, sizeof owner);
    TRY(index_moment_of(db->indexes, owner.keyspace->id, &other));
    m->set = other.set;
  }
  return VARVE_OK;
}

VARVE_API int varve_write(varve_db *db, const varve_batch *b, const varve_write_options *options) {
  lsm_durability d;
  TRY(api_check(db));
  TRY(api_check_batch(b));
  TRY(api_durability(options == NULL ? VARVE_DURABILITY_DEFAULT : options->durability, &d));
  TRY(api_check_owners(db, b));
  index_moment m;
  TRY(api_batch_moment(db, b, &m));
  return api_commit(db, b, d, &m);
}

/* ---- one change as a batch of one ---- */

INTERNAL int api_batch_take(varve_db *db, batch **b) {
  *b = atomic_exchange_explicit(&db->idle_batch, NULL, memory_order_acquire);
  return LIKELY(*b != NULL) ? VARVE_OK : varve_batch_create(b);
}

INTERNAL void api_batch_give(varve_db *db, batch *b) {
  enum { KEPT_BYTES = 64 * 1024 };
  batch_clear(b);
  if (UNLIKELY(b->ops.capacity > KEPT_BYTES)) buf_free(&b->ops);
  /* What is taken out was another thread's: acquired as well as released. */
  varve_batch_destroy(atomic_exchange_explicit(&db->idle_batch, b, memory_order_acq_rel));
}

VARVE_API int varve_put(varve_db *db, varve_slice key, varve_slice value, const varve_write_options *options) {
  slice prefix;
  lsm_durability d;
  index_moment m;
  batch *b;
  TRY(api_check(db));
  TRY(api_prefix(db, options == NULL ? NULL : options->keyspace, &prefix));
  TRY(api_check_key(key));
  TRY(api_check_value(value));
  TRY(api_durability(options == NULL ? VARVE_DURABILITY_DEFAULT : options->durability, &d));
  TRY(index_moment_of(db->indexes, api_keyspace_id(options == NULL ? NULL : options->keyspace), &m));
  TRY(api_batch_take(db, &b));
  int rc = batch_put(b, prefix, key, value);
  if (LIKELY(rc >= 0)) rc = api_commit(db, b, d, &m);
  api_batch_give(db, b);
  return rc;
}

VARVE_API int varve_delete(varve_db *db, varve_slice key, const varve_write_options *options) {
  slice prefix;
  lsm_durability d;
  index_moment m;
  batch *b;
  TRY(api_check(db));
  TRY(api_prefix(db, options == NULL ? NULL : options->keyspace, &prefix));
  TRY(api_check_key(key));
  TRY(api_durability(options == NULL ? VARVE_DURABILITY_DEFAULT : options->durability, &d));
  TRY(index_moment_of(db->indexes, api_keyspace_id(options == NULL ? NULL : options->keyspace), &m));
  TRY(api_batch_take(db, &b));
  int rc = batch_delete(b, prefix, key);
  if (rc >= 0) rc = api_commit(db, b, d, &m);
  api_batch_give(db, b);
  return rc;
}

VARVE_API int varve_delete_range(varve_db *db, varve_slice begin, varve_slice end, const varve_write_options *options) {
  lsm_durability d;
  index_moment m;
  batch *b;
  varve_keyspace *keyspace = options == NULL ? NULL : options->keyspace;
  slice prefix;
  TRY(api_check(db));
  TRY(api_prefix(db, keyspace, &prefix));
  TRY(api_durability(options == NULL ? VARVE_DURABILITY_DEFAULT : options->durability, &d));
  TRY(index_moment_of(db->indexes, api_keyspace_id(keyspace), &m));
  TRY(api_batch_take(db, &b));
  int rc = varve_batch_delete_range(b, keyspace, begin, end);
  if (rc >= 0) rc = api_commit(db, b, d, &m);
  api_batch_give(db, b);
  return rc;
}

VARVE_API int varve_sync(varve_db *db) {
  TRY(api_check(db));
  return lsm_sync(db->lsm);
}
