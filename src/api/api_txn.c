/* api_txn.c: transactions. */
#include "api/api_int.h"

#include "base/coding.h"

#define API_LOCK_WAIT_MS_DEFAULT 1000u

/* The handle is not closed, the database neither. `over` transactions pass: what they are told is txn.c's. */
static int api_check_txn(const varve_txn *t, varve_db **db) {
  *db = NULL;
  if (UNLIKELY(t == NULL)) return status_fail(VARVE_INVALID, "the transaction is NULL");
  *db = txn_owner(t);
  return api_check(*db);
}

static int api_txn_options(const varve_txn_options *o, txn_options *out) {
  if (o->isolation > VARVE_SERIALIZABLE) {
    return status_fail(VARVE_INVALID,
                       "isolation must be 0, VARVE_READ_COMMITTED, VARVE_SNAPSHOT or VARVE_SERIALIZABLE");
  }
  for (size_t i = 0; i < COUNT_OF(o->reserved); i++) {
    if (o->reserved[i] != 0) return status_fail(VARVE_INVALID, "options.reserved must be zero: begin with = {0}");
  }
  TRY(api_durability(o->durability, &out->durability));
  out->isolation = o->isolation;
  out->read_only = o->read_only;
  out->lock_wait_ms = o->lock_wait_ms == 0 ? API_LOCK_WAIT_MS_DEFAULT : o->lock_wait_ms;
  out->read_set_bytes = o->read_set_bytes;
  return VARVE_OK;
}

VARVE_API int varve_txn_begin(varve_db *db, const varve_txn_options *options, varve_txn **out) {
  static const varve_txn_options none;
  txn_options resolved;
  if (out == NULL) return status_fail(VARVE_INVALID, "there is nowhere to put the transaction: txn is NULL");
  *out = NULL;
  TRY(api_check(db));
  TRY(api_txn_options(options == NULL ? &none : options, &resolved));
  return txn_begin(db->txns, &resolved, db, out);
}

/* ---- reads ---- */

static int api_txn_no_snapshot(const varve_snapshot *snapshot) {
  if (LIKELY(snapshot == NULL)) return VARVE_OK;
  return status_fail(VARVE_INVALID, "a transaction reads its own state: options.snapshot must be NULL");
}

typedef int (*api_txn_read)(txn *t, slice key, lsm_value *value);

static int api_txn_find(varve_txn *t, slice key, const varve_read_options *options, api_txn_read find,
                        lsm_value *value) {
  varve_db *db;
  slice prefix;
  TRY(api_check_txn(t, &db));
  TRY(api_prefix(db, options == NULL ? NULL : options->keyspace, &prefix));
  TRY(api_txn_no_snapshot(options == NULL ? NULL : options->snapshot));
  TRY(api_check_key(key));
  api_key inner;
  TRY(api_key_make(db, prefix, key, &inner));
  int rc = find(t, inner.key, value);
  api_key_free(db, &inner);
  return rc;
}

static int api_txn_value(varve_txn *t, slice key, const varve_read_options *options, api_txn_read find,
                         varve_value *value) {
  if (value == NULL) return status_fail(VARVE_INVALID, "value is NULL; varve_txn_has asks without it");
  lsm_value found;
  int rc = api_txn_find(t, key, options, find, &found);
  *value = (varve_value){NULL, 0, NULL};
  if (rc == VARVE_OK) *value = (varve_value){found.data.data, found.data.size, found.pin};
  return rc;
}

VARVE_API int varve_txn_get(varve_txn *t, varve_slice key, const varve_read_options *options, varve_value *value) {
  return api_txn_value(t, key, options, txn_get, value);
}

VARVE_API int varve_txn_has(varve_txn *t, varve_slice key, const varve_read_options *options) {
  return api_txn_find(t, key, options, txn_get, NULL);
}

VARVE_API int varve_txn_get_for_update(varve_txn *t, varve_slice key, const varve_read_options *options,
                                       varve_value *value) {
  return api_txn_value(t, key, options, txn_get_for_update, value);
}

VARVE_API int varve_txn_iter_open(varve_txn *t, const varve_iter_options *options, varve_iter **out) {
  static const varve_iter_options none;
  const varve_iter_options *o = options == NULL ? &none : options;
  varve_db *db;
  varve_iter *it;
  if (out == NULL) return status_fail(VARVE_INVALID, "there is nowhere to put the iterator: iter is NULL");
  *out = NULL;
  TRY(api_check_txn(t, &db));
  TRY(api_txn_no_snapshot(o->snapshot));
  TRY(api_iter_begin(db, o, &it));
  int rc = txn_iter_open(t, buf_slice(&it->lower), buf_slice(&it->upper), &it->walk);
  if (rc < 0) {
    api_iter_give(it);
    return rc;
  }
  it->in = txn_iter_at(it->walk);
  *out = it;
  return VARVE_OK;
}

VARVE_API int varve_txn_count(varve_txn *t, const varve_iter_options *options, uint64_t *count) {
  varve_iter *it;
  if (count == NULL) return status_fail(VARVE_INVALID, "there is nowhere to put the number: count is NULL");
  *count = 0;
  TRY(varve_txn_iter_open(t, options, &it));
  int rc = varve_iter_first(it);
  for (; rc == VARVE_OK; rc = varve_iter_next(it)) (*count)++;
  varve_iter_close(it);
  return rc == VARVE_DONE ? VARVE_OK : rc;
}

/* ---- writes ---- */

/* Where a write goes: the batch, once it is sure that the keyspace is one of the same database; and what is to be known
 * of the keyspace's indexes. */
static int api_txn_batch(varve_txn *t, varve_keyspace *keyspace, batch **b, index_moment *m) {
  varve_db *db;
  slice prefix;
  TRY(api_check_txn(t, &db));
  TRY(api_prefix(db, keyspace, &prefix));
  TRY(txn_writing(t, b));
  return index_moment_of(db->indexes, api_keyspace_id(keyspace), m);
}

/* A row of a keyspace that has indexes; `value` NULL = a deletion. */
static int api_txn_row(varve_txn *t, varve_keyspace *keyspace, slice key, const slice *value, const index_moment *m) {
  batch *b;
  slice prefix;
  api_key inner;
  varve_db *db = txn_owner(t);
  TRY(txn_writing(t, &b));
  TRY(api_batch_prefix(b, keyspace, &prefix));
  TRY(api_check_key(key));
  if (value != NULL) TRY(api_check_value(*value));
  TRY(api_key_make(db, prefix, key, &inner));
  int rc = index_write_row(m, t, inner.key, value);
  api_key_free(db, &inner);
  return rc;
}

VARVE_API int varve_txn_put(varve_txn *t, varve_keyspace *keyspace, varve_slice key, varve_slice value) {
  batch *b;
  index_moment m;
  TRY(api_txn_batch(t, keyspace, &b, &m));
  if (LIKELY(m.set == NULL)) return varve_batch_put(b, keyspace, key, value);
  return api_txn_row(t, keyspace, key, &value, &m);
}

VARVE_API int varve_txn_delete(varve_txn *t, varve_keyspace *keyspace, varve_slice key) {
  batch *b;
  index_moment m;
  TRY(api_txn_batch(t, keyspace, &b, &m));
  if (LIKELY(m.set == NULL)) return varve_batch_delete(b, keyspace, key);
  return api_txn_row(t, keyspace, key, NULL, &m);
}

VARVE_API int varve_txn_delete_range(varve_txn *t, varve_keyspace *keyspace, varve_slice begin, varve_slice end) {
  batch *b;
  index_moment m;
  slice prefix;
  buf from, to;
  int rc = VARVE_OK;
  TRY(api_txn_batch(t, keyspace, &b, &m));
  if (LIKELY(m.set == NULL)) return varve_batch_delete_range(b, keyspace, begin, end);
  TRY(api_batch_prefix(b, keyspace, &prefix));
  buf_init(&from, api_allocator());
  buf_init(&to, api_allocator());
  STEP(api_range(prefix, begin, end, &from, &to));
  rc = rc == VARVE_NOTFOUND ? VARVE_OK : index_write_range(&m, t, buf_slice(&from), buf_slice(&to));
out:
  buf_free(&from);
  buf_free(&to);
  return rc;
}

/* ---- savepoints ---- */

VARVE_API int varve_txn_savepoint(varve_txn *t, uint32_t *savepoint) {
  varve_db *db;
  if (savepoint == NULL) return status_fail(VARVE_INVALID, "there is nowhere to put the number: savepoint is NULL");
  TRY(api_check_txn(t, &db));
  return txn_savepoint(t, savepoint);
}

VARVE_API int varve_txn_rollback_to(varve_txn *t, uint32_t savepoint) {
  varve_db *db;
  TRY(api_check_txn(t, &db));
  return txn_rollback_to(t, savepoint);
}

VARVE_API int varve_txn_release(varve_txn *t, uint32_t savepoint) {
  varve_db *db;
  TRY(api_check_txn(t, &db));
  return txn_release(t, savepoint);
}

/* ---- the end ---- */

VARVE_API int varve_txn_commit(varve_txn *t) {
  varve_db *db;
  TRY(api_check_txn(t, &db));
  TRY(txn_check(t));
  int rc = api_check_owners(db, txn_writes(t));
  if (rc < 0) {
    txn_rollback(t);
    return rc;
  }
  return txn_commit(t);
}

VARVE_API int varve_txn_rollback(varve_txn *t) {
  varve_db *db;
  TRY(api_check_txn(t, &db));
  TRY(txn_check(t));
  txn_rollback(t);
  return VARVE_OK;
}

VARVE_API uint64_t varve_txn_sequence(const varve_txn *t) {
  return t == NULL ? 0 : txn_sequence(t);
}

VARVE_API void varve_txn_close(varve_txn *t) {
  varve_db *db;
  /* After a fork what it holds is the parent's. */
  if (t == NULL || api_check_txn(t, &db) < 0) return;
  txn_close(t);
}

/* The keyspace's id, and the user's key behind it. */
static slice api_user_key(slice inner, uint64_t *keyspace) {
  reader r = reader_of(inner);
  if (!read_varint64(&r, keyspace)) return slice_make(NULL, 0);
  return slice_make(r.at, reader_left(&r));
}

VARVE_API int varve_txn_get_conflict(const varve_txn *t, varve_conflict *conflict) {
  varve_db *db;
  txn_conflict found;
  if (conflict == NULL) return status_fail(VARVE_INVALID, "there is nowhere to put the conflict: conflict is NULL");
  memset(conflict, 0, sizeof *conflict);
  TRY(api_check_txn(t, &db));
  int rc = txn_get_conflict(t, &found);
  if (rc != VARVE_OK) return rc;
  conflict->key = api_user_key(found.key, &conflict->keyspace);
  conflict->range = found.range;
  conflict->read = found.read;
  conflict->locked = found.locked;
  if (!found.range) return VARVE_OK;
  uint64_t keyspace = 0;
  slice lower = api_user_key(found.lower, &keyspace), upper = api_user_key(found.upper, &keyspace);
  conflict->begin = lower;
  /* An end in the next keyspace is the end of this one. */
  conflict->end = keyspace == conflict->keyspace ? upper : slice_make(NULL, 0);
  return VARVE_OK;
}

#undef API_LOCK_WAIT_MS_DEFAULT
