/* api_index.c: indexes of varve.h: handles and arguments are checked here, the rest is index.h's. */
#include "api/api_int.h"

/* ---- checks ---- */

static int api_check_index(const varve_index *ix, varve_db **db) {
  *db = NULL;
  if (UNLIKELY(ix == NULL)) return status_fail(VARVE_INVALID, "the index is NULL");
  *db = index_owner(ix);
  return api_check(*db);
}

/* The index may be used, and the transaction is NULL or one of the same database. */
static int api_check_use(const varve_index *ix, const varve_txn *t, varve_db **db) {
  TRY(api_check_index(ix, db));
  if (t == NULL) return VARVE_OK;
  if (txn_owner(t) != *db) return status_fail(VARVE_INVALID, "the transaction belongs to another database");
  return txn_check(t);
}

static int api_index_options(varve_db *db, slice name, const varve_index_options *o, index_options *out) {
  static const varve_index_options none;
  slice prefix;
  TRY(api_check(db));
  if (o == NULL) o = &none;
  if (o->kind > VARVE_HASH) return status_fail(VARVE_INVALID, "kind must be 0, VARVE_BTREE or VARVE_HASH");
  for (size_t i = 0; i < COUNT_OF(o->reserved); i++) {
    if (o->reserved[i] != 0) return status_fail(VARVE_INVALID, "options.reserved must be zero: begin with = {0}");
  }
  TRY(api_prefix(db, o->keyspace, &prefix));
  *out = (index_options){.name = name,
                         .kind = o->kind,
                         .unique = o->unique,
                         .has_keyspace = o->keyspace != NULL,
                         .keyspace = api_keyspace_id(o->keyspace),
                         .extract = o->extract,
                         .context = o->context,
                         .progress = o->progress,
                         .progress_context = o->progress_context};
  return VARVE_OK;
}

/* ---- making and opening ---- */

VARVE_API int varve_index_create(varve_db *db, varve_slice name, const varve_index_options *options,
                                 varve_index **index) {
  index_options o;
  if (index == NULL) return status_fail(VARVE_INVALID, "there is nowhere to put the handle: index is NULL");
  *index = NULL;
  TRY(api_index_options(db, name, options, &o));
  return index_create(db->indexes, &o, index);
}

VARVE_API int varve_index_open(varve_db *db, varve_slice name, const varve_index_options *options,
                               varve_index **index) {
  index_options o;
  if (index == NULL) return status_fail(VARVE_INVALID, "there is nowhere to put the handle: index is NULL");
  *index = NULL;
  TRY(api_index_options(db, name, options, &o));
  return index_open(db->indexes, &o, index);
}

VARVE_API int varve_index_drop(varve_db *db, varve_slice name) {
  TRY(api_check(db));
  return index_drop(db->indexes, name);
}

VARVE_API int varve_index_list(varve_db *db, int (*visit)(void *context, varve_slice name), void *context) {
  TRY(api_check(db));
  if (visit == NULL) return status_fail(VARVE_INVALID, "there is nobody to tell the names: visit is NULL");
  return index_list(db->indexes, visit, context);
}

VARVE_API int varve_index_get_info(varve_index *index, varve_index_info *info) {
  varve_db *db;
  TRY(api_check_index(index, &db));
  if (info == NULL) return status_fail(VARVE_INVALID, "there is nowhere to put the figures: info is NULL");
  return index_get_info(index, info);
}

VARVE_API int varve_index_verify(varve_index *index, varve_index_report *report, varve_progress progress,
                                 void *context) {
  varve_db *db;
  varve_index_report unused;
  TRY(api_check_index(index, &db));
  return index_verify(index, report == NULL ? &unused : report, progress, context);
}

VARVE_API int varve_index_rebuild(varve_index *index, varve_progress progress, void *context) {
  varve_db *db;
  TRY(api_check_index(index, &db));
  return index_rebuild(index, progress, context);
}

/* ---- postings ---- */

VARVE_API int varve_index_insert(varve_index *index, varve_txn *t, varve_slice key, varve_slice primary) {
  varve_db *db;
  TRY(api_check_use(index, t, &db));
  TRY(api_check_key(key));
  TRY(api_check_key(primary));
  return index_insert(index, t, key, primary);
}

VARVE_API int varve_index_remove(varve_index *index, varve_txn *t, varve_slice key, varve_slice primary) {
  varve_db *db;
  TRY(api_check_use(index, t, &db));
  TRY(api_check_key(key));
  TRY(api_check_key(primary));
  return index_remove(index, t, key, primary);
}

VARVE_API int varve_index_get(varve_index *index, varve_txn *t, varve_slice key, varve_value *primary) {
  varve_db *db;
  lsm_value found = {0};
  if (primary == NULL) return status_fail(VARVE_INVALID, "there is nowhere to put the primary key: primary is NULL");
  *primary = (varve_value){NULL, 0, NULL};
  TRY(api_check_use(index, t, &db));
  TRY(api_check_key(key));
  int rc = index_get(index, t, key, &found);
  if (rc == VARVE_OK) *primary = (varve_value){found.data.data, found.data.size, found.pin};
  return rc;
}

/* A handle around a cursor; the cursor is the handle's, also when this fails. */
static int api_index_iter(varve_db *db, index_cursor *c, varve_iter **out) {
  varve_iter *it = api_iter_take(db);
  if (it == NULL) {
    index_cursor_close(c);
    return mem_fail(sizeof *it, "an iterator");
  }
  it->postings = c;
  *out = it;
  return VARVE_OK;
}

static int api_index_nowhere(varve_iter **out) {
  if (out == NULL) return status_fail(VARVE_INVALID, "there is nowhere to put the iterator: iter is NULL");
  *out = NULL;
  return VARVE_OK;
}

VARVE_API int varve_index_find(varve_index *index, varve_txn *t, varve_slice key, varve_iter **out) {
  varve_db *db;
  index_cursor *c;
  TRY(api_index_nowhere(out));
  TRY(api_check_use(index, t, &db));
  TRY(api_check_key(key));
  TRY(index_find(index, t, key, &c));
  return api_index_iter(db, c, out);
}

VARVE_API int varve_index_range(varve_index *index, varve_txn *t, varve_slice lower, varve_slice upper,
                                varve_iter **out) {
  varve_db *db;
  index_cursor *c;
  TRY(api_index_nowhere(out));
  TRY(api_check_use(index, t, &db));
  if (lower.size > VARVE_KEY_SIZE_MAX + 1u) TRY(api_check_key(lower)); /* + 1: a bound may be a key's successor */
  if (upper.size > VARVE_KEY_SIZE_MAX + 1u) TRY(api_check_key(upper));
  TRY(index_range(index, t, lower, upper, &c));
  return api_index_iter(db, c, out);
}

VARVE_API int varve_index_prefix(varve_index *index, varve_txn *t, varve_slice prefix, varve_iter **out) {
  varve_db *db;
  index_cursor *c;
  TRY(api_index_nowhere(out));
  TRY(api_check_use(index, t, &db));
  TRY(api_check_key(prefix));
  TRY(index_prefix(index, t, prefix, &c));
  return api_index_iter(db, c, out);
}

static int api_index_end(varve_index *index, varve_txn *t, index_move move, varve_iter **out) {
  static const slice none = {NULL, 0};
  TRY(varve_index_range(index, t, none, none, out));
  int rc = index_cursor_move((*out)->postings, move, none);
  if (rc == VARVE_OK) return VARVE_OK;
  varve_iter_close(*out);
  *out = NULL;
  return rc == VARVE_DONE ? VARVE_NOTFOUND : rc;
}

VARVE_API int varve_index_min(varve_index *index, varve_txn *t, varve_iter **out) {
  return api_index_end(index, t, INDEX_FIRST, out);
}

VARVE_API int varve_index_max(varve_index *index, varve_txn *t, varve_iter **out) {
  return api_index_end(index, t, INDEX_LAST, out);
}
