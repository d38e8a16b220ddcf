/* api_keyspace.c: namespaces: an id in front of every key, and the catalog of names, which is a keyspace itself.
 *
 *   inner key    = varint keyspace id | user key
 *   catalog      = id 1: name -> u64 id;  the empty name -> u64 next id to give
 *
 * Names that begin with a zero byte are no keyspaces' and never listed: under them the engine keeps entries of its own.
 *
 * Ids are never given twice, so a handle to a dropped keyspace can never reach the entries of a later one.
 */
#include "api/api_int.h"

#include "base/coding.h"

static int keyspace_catalog_get(varve_db *db, slice name, uint64_t *id) {
  static const uint8_t catalog[1] = {KEYSPACE_CATALOG};
  api_key key;
  lsm_value value;
  TRY(api_key_make(db, slice_make(catalog, 1), name, &key));
  int rc = lsm_get(db->lsm, key.key, SEQ_MAX, &value);
  api_key_free(db, &key);
  if (rc != VARVE_OK) return rc;
  bool whole = value.data.size == sizeof *id;
  if (whole) *id = get_u64(value.data.data);
  pin_unref(value.pin);
  if (whole && *id >= KEYSPACE_FIRST && *id <= UINT32_MAX) return VARVE_OK;
  return status_fail(VARVE_CORRUPT, "the catalog's entry of keyspace \"%.*s\" makes no sense", (int)name.size,
                     (const char *)name.data);
}

/* keyspace_lock held. */
static varve_keyspace *keyspace_find(varve_db *db, slice name) {
  for (varve_keyspace *k = db->keyspaces; k != NULL; k = k->next) {
    if (!atomic_load(&k->dropped) && slice_equal(slice_make(k->name, k->name_size), name)) return k;
  }
  return NULL;
}

static int keyspace_create(varve_db *db, slice name, uint64_t *id) {
  static const uint8_t catalog[1] = {KEYSPACE_CATALOG};
  slice prefix = slice_make(catalog, 1), none = slice_make("", 0);
  int rc = keyspace_catalog_get(db, none, id);
  if (rc < 0) return rc;
  if (rc == VARVE_NOTFOUND) *id = KEYSPACE_FIRST;
  if (*id == UINT32_MAX) return status_fail(VARVE_LIMIT, "all 2^32 keyspaces were given");
  uint64_t next = *id + 1;
  batch *b;
  TRY(api_batch_take(db, &b));
  rc = batch_put(b, prefix, none, slice_make(&next, sizeof next));
  if (rc >= 0) rc = batch_put(b, prefix, name, slice_make(id, sizeof *id));
  if (rc >= 0) rc = lsm_write(db->lsm, b, LSM_DEFAULT);
  api_batch_give(db, b);
  return rc;
}

static int keyspace_open(varve_db *db, slice name, varve_keyspace **out) {
  *out = keyspace_find(db, name);
  if (*out != NULL) return VARVE_OK;
  /* The handle first: a keyspace that was made is not told of as a failure. */
  varve_keyspace *k = MEM_NEW(db->alloc, varve_keyspace);
  if (k == NULL) return mem_fail(sizeof *k, "a keyspace");
  uint64_t id;
  int rc = keyspace_catalog_get(db, name, &id);
  if (rc == VARVE_NOTFOUND) rc = keyspace_create(db, name, &id);
  if (rc < 0) {
    MEM_DELETE(db->alloc, k);
    return rc;
  }
  uint8_t prefix[VARINT64_SIZE_MAX];
  size_t size = varint_put(prefix, id);
  ASSERT(size <= sizeof k->prefix && name.size <= sizeof k->name);
  memcpy(k->prefix, prefix, size);
  k->prefix_size = (uint8_t)size;
  memcpy(k->name, name.data, name.size);
  k->name_size = (uint8_t)name.size;
  k->id = id;
  k->db = db;
  k->next = db->keyspaces;
  db->keyspaces = k;
  *out = k;
  return VARVE_OK;
}

static int keyspace_check_name(slice name) {
  if (name.size > 0 && name.size <= VARVE_KEYSPACE_NAME_MAX && name.data != NULL) {
    if (*(const uint8_t *)name.data != 0) return VARVE_OK;
    return status_fail(VARVE_INVALID, "a keyspace's name must not begin with a zero byte");
  }
  return status_fail(VARVE_INVALID, "a keyspace's name has 1 to 255 bytes; this one has %zu", name.size);
}

VARVE_API int varve_keyspace_open(varve_db *db, varve_slice name, varve_keyspace **out) {
  if (out == NULL) return status_fail(VARVE_INVALID, "there is nowhere to put the handle: keyspace is NULL");
  *out = NULL;
  TRY(api_check(db));
  TRY(keyspace_check_name(name));
  mutex_lock(&db->keyspace_lock);
  int rc = keyspace_open(db, name, out);
  mutex_unlock(&db->keyspace_lock);
  return rc;
}

static int keyspace_drop(varve_db *db, slice name) {
  static const uint8_t catalog[1] = {KEYSPACE_CATALOG};
  uint64_t id;
  int rc = keyspace_catalog_get(db, name, &id);
  if (rc != VARVE_OK) return rc;
  uint8_t begin[VARINT64_SIZE_MAX], end[VARINT64_SIZE_MAX];
  size_t size = varint_put(begin, id);
  memcpy(end, begin, size);
  end[size - 1]++; /* the last byte of a varint is below 0x80 */
  batch *b;
  TRY(api_batch_take(db, &b));
  rc = batch_delete(b, slice_make(catalog, 1), name);
  if (rc >= 0) rc = batch_delete_range(b, slice_make(begin, size), slice_make(end, size));
  if (rc >= 0) rc = index_drop_keyspace(db->indexes, id, b); /* which commits it */
  api_batch_give(db, b);
  varve_keyspace *handle = rc < 0 ? NULL : keyspace_find(db, name);
  if (handle != NULL) atomic_store(&handle->dropped, true);
  return rc;
}

VARVE_API int varve_keyspace_drop(varve_db *db, varve_slice name) {
  TRY(api_check(db));
  TRY(keyspace_check_name(name));
  mutex_lock(&db->keyspace_lock);
  int rc = keyspace_drop(db, name);
  mutex_unlock(&db->keyspace_lock);
  return rc;
}

VARVE_API int varve_keyspace_list(varve_db *db, int (*visit)(void *context, varve_slice name), void *context) {
  static const uint8_t from[2] = {KEYSPACE_CATALOG, 1}, to[1] = {KEYSPACE_CATALOG + 1};
  TRY(api_check(db));
  if (visit == NULL) return status_fail(VARVE_INVALID, "there is nobody to tell the names: visit is NULL");
  user_iter *it;
  user_iter_options options = {.seq_max = SEQ_MAX, .lower = slice_make(from, 2), .upper = slice_make(to, 1)};
  TRY(lsm_iter_open(db->lsm, &options, &it));
  int rc = user_iter_first(it);
  while (rc == VARVE_OK) {
    slice key = user_iter_key(it);
    slice name = slice_make((const uint8_t *)key.data + 1, key.size - 1);
    rc = visit(context, name) == 0 ? user_iter_next(it) : status_fail(VARVE_ABORTED, "the caller asked to stop");
  }
  user_iter_close(it);
  return rc == VARVE_DONE ? VARVE_OK : rc;
}
