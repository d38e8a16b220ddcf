/* api_read.c: gets, iterators, counting and snapshots. */
#include "api/api_int.h"

INTERNAL int api_prefix(const varve_db *db, const varve_keyspace *keyspace, slice *prefix) {
  static const uint8_t default_prefix[1] = {KEYSPACE_DEFAULT};
  *prefix = slice_make(default_prefix, sizeof default_prefix);
  if (LIKELY(keyspace == NULL)) return VARVE_OK;
  if (keyspace->db != db) return status_fail(VARVE_INVALID, "the keyspace belongs to another database");
  if (atomic_load(&keyspace->dropped)) {
    return status_fail(VARVE_CLOSED, "the keyspace \"%.*s\" was dropped", (int)keyspace->name_size, keyspace->name);
  }
  *prefix = slice_make(keyspace->prefix, keyspace->prefix_size);
  return VARVE_OK;
}

INTERNAL int api_key_make(varve_db *db, slice prefix, slice key, api_key *out) {
  size_t size = prefix.size + key.size;
  uint8_t *at = out->small;
  out->large = NULL;
  if (UNLIKELY(size > sizeof out->small)) {
    at = out->large = mem_alloc(db->alloc, size);
    if (at == NULL) return mem_fail(size, "a key");
  }
  memcpy(at, prefix.data, prefix.size);
  if (key.size > 0) memcpy(at + prefix.size, key.data, key.size);
  out->key = slice_make(at, size);
  return VARVE_OK;
}

INTERNAL void api_key_free(varve_db *db, api_key *k) {
  if (UNLIKELY(k->large != NULL)) mem_free(db->alloc, k->large, k->key.size);
}

/* ---- gets ---- */

static int api_sequence(const varve_db *db, const varve_snapshot *snapshot, uint64_t *seq) {
  *seq = SEQ_MAX;
  if (LIKELY(snapshot == NULL)) return VARVE_OK;
  if (snapshot->db != db) return status_fail(VARVE_INVALID, "the snapshot belongs to another database");
  *seq = snapshot->seq;
  return VARVE_OK;
}

static int api_find(varve_db *db, slice key, const varve_read_options *options, lsm_value *value) {
  slice prefix;
  uint64_t seq;
  TRY(api_check(db));
  TRY(api_prefix(db, options == NULL ? NULL : options->keyspace, &prefix));
  TRY(api_sequence(db, options == NULL ? NULL : options->snapshot, &seq));
  TRY(api_check_key(key));
  api_key inner;
  TRY(api_key_make(db, prefix, key, &inner));
  int rc = lsm_get(db->lsm, inner.key, seq, value);
  api_key_free(db, &inner);
  return rc;
}

VARVE_API int varve_get(varve_db *db, varve_slice key, const varve_read_options *options, varve_value *value) {
  if (UNLIKELY(value == NULL)) return status_fail(VARVE_INVALID, "value is NULL; varve_has asks without it");
  lsm_value found;
  int rc = api_find(db, key, options, &found);
  if (rc == VARVE_OK) {
    *value = (varve_value){found.data.data, found.data.size, found.pin};
  } else {
    *value = (varve_value){NULL, 0, NULL};
  }
  return rc;
}

VARVE_API int varve_has(varve_db *db, varve_slice key, const varve_read_options *options) {
  return api_find(db, key, options, NULL);
}

VARVE_API void varve_value_release(varve_value *value) {
  if (value == NULL) return;
  pin_unref(value->pin);
  *value = (varve_value){NULL, 0, NULL};
}

/* ---- iterators ---- */

/* lower and upper become the inner keys that bound the walk. */
static int api_bounds(const varve_iter_options *o, slice prefix, buf *lower, buf *upper) {
  TRY(buf_append(lower, prefix.data, prefix.size));
  TRY(buf_append(upper, prefix.data, prefix.size));
  bool from_prefix = slice_compare(o->prefix, o->lower) > 0;
  slice from = from_prefix ? o->prefix : o->lower;
  TRY(buf_append(lower, from.data, from.size));
  TRY(buf_append(upper, o->prefix.data, o->prefix.size));
  api_successor(upper);
  if (o->upper.size == 0) return VARVE_OK;
  buf bound;
  buf_init(&bound, upper->alloc);
  int rc = VARVE_OK;
  STEP(buf_append(&bound, prefix.data, prefix.size));
  STEP(buf_append(&bound, o->upper.data, o->upper.size));
  if (slice_compare(buf_slice(&bound), buf_slice(upper)) < 0) STEP(buf_set(upper, buf_slice(&bound)));
out:
  buf_free(&bound);
  return rc;
}

INTERNAL void api_iter_free(varve_iter *it) {
  if (it == NULL) return;
  allocator *alloc = it->key.alloc;
  buf_free(&it->key);
  buf_free(&it->lower);
  buf_free(&it->upper);
  MEM_DELETE(alloc, it);
}

/* The handle that was closed last, with its buffers, or a new one. */
INTERNAL varve_iter *api_iter_take(varve_db *db) {
  varve_iter *it = atomic_exchange_explicit(&db->idle_iter, NULL, memory_order_acquire);
  if (LIKELY(it != NULL)) return it;
  it = MEM_NEW(db->alloc, varve_iter);
  if (it == NULL) return NULL;
  it->db = db;
  buf_init(&it->key, db->alloc);
  buf_init(&it->lower, db->alloc);
  buf_init(&it->upper, db->alloc);
  return it;
}

INTERNAL void api_iter_give(varve_iter *it) {
  enum { KEPT_BYTES = 8 * 1024 };
  if (UNLIKELY(it->key.capacity + it->lower.capacity + it->upper.capacity > KEPT_BYTES)) {
    api_iter_free(it);
    return;
  }
  buf_clear(&it->key);
  buf_clear(&it->lower);
  buf_clear(&it->upper);
  api_iter_free(atomic_exchange_explicit(&it->db->idle_iter, it, memory_order_acq_rel));
}

INTERNAL int api_iter_begin(varve_db *db, const varve_iter_options *o, varve_iter **out) {
  slice prefix;
  *out = NULL;
  TRY(api_prefix(db, o->keyspace, &prefix));
  varve_iter *it = api_iter_take(db);
  if (it == NULL) return mem_fail(sizeof *it, "an iterator");
  it->prefix_size = (uint8_t)prefix.size;
  int rc = VARVE_OK;
  STEP(buf_append(&it->key, prefix.data, prefix.size));
  STEP(api_bounds(o, prefix, &it->lower, &it->upper));
  *out = it;
  it = NULL;
out:
  if (it != NULL) api_iter_give(it);
  return rc;
}

VARVE_API int varve_iter_open(varve_db *db, const varve_iter_options *options, varve_iter **out) {
  static const varve_iter_options none;
  const varve_iter_options *o = options == NULL ? &none : options;
  uint64_t seq;
  varve_iter *it;
  if (out == NULL) return status_fail(VARVE_INVALID, "there is nowhere to put the iterator: iter is NULL");
  *out = NULL;
  TRY(api_check(db));
  TRY(api_sequence(db, o->snapshot, &seq));
  TRY(api_iter_begin(db, o, &it));
  user_iter_options bounds = {.seq_max = seq, .lower = buf_slice(&it->lower), .upper = buf_slice(&it->upper)};
  int rc = lsm_iter_open(db->lsm, &bounds, &it->in);
  if (rc < 0) {
    api_iter_give(it);
    return rc;
  }
  *out = it;
  return VARVE_OK;
}

VARVE_API void varve_iter_close(varve_iter *it) {
  if (it == NULL) return;
  user_iter *in = it->in;
  txn_iter *walk = it->walk;
  index_cursor *postings = it->postings;
  it->postings = NULL;
  it->in = NULL;
  it->walk = NULL;
  api_iter_give(it); /* before the last that keeps the database from closing */
  if (postings != NULL) {
    index_cursor_close(postings);
  } else if (walk != NULL) {
    txn_iter_close(walk);
  } else {
    user_iter_close(in);
  }
}

static int api_iter_target(varve_iter *it, slice key) {
  it->key.size = it->prefix_size;
  return buf_append(&it->key, key.data, key.size);
}

VARVE_API int varve_iter_first(varve_iter *it) {
  if (UNLIKELY(it->postings != NULL)) return index_cursor_move(it->postings, INDEX_FIRST, slice_make(NULL, 0));
  return LIKELY(it->walk == NULL) ? user_iter_first(it->in) : txn_iter_first(it->walk);
}

VARVE_API int varve_iter_last(varve_iter *it) {
  if (UNLIKELY(it->postings != NULL)) return index_cursor_move(it->postings, INDEX_LAST, slice_make(NULL, 0));
  return LIKELY(it->walk == NULL) ? user_iter_last(it->in) : txn_iter_last(it->walk);
}

VARVE_API int varve_iter_seek(varve_iter *it, varve_slice key) {
  if (UNLIKELY(it->postings != NULL)) return index_cursor_move(it->postings, INDEX_SEEK, key);
  TRY(api_iter_target(it, key));
  slice target = buf_slice(&it->key);
  return LIKELY(it->walk == NULL) ? user_iter_seek(it->in, target) : txn_iter_seek(it->walk, target);
}

VARVE_API int varve_iter_seek_for_prev(varve_iter *it, varve_slice key) {
  if (UNLIKELY(it->postings != NULL)) return index_cursor_move(it->postings, INDEX_SEEK_FOR_PREV, key);
  TRY(api_iter_target(it, key));
  slice target = buf_slice(&it->key);
  return LIKELY(it->walk == NULL) ? user_iter_seek_for_prev(it->in, target) : txn_iter_seek_for_prev(it->walk, target);
}

VARVE_API int varve_iter_next(varve_iter *it) {
  if (UNLIKELY(it->postings != NULL)) return index_cursor_move(it->postings, INDEX_NEXT, slice_make(NULL, 0));
  return LIKELY(it->walk == NULL) ? user_iter_next(it->in) : txn_iter_next(it->walk);
}

VARVE_API int varve_iter_prev(varve_iter *it) {
  if (UNLIKELY(it->postings != NULL)) return index_cursor_move(it->postings, INDEX_PREV, slice_make(NULL, 0));
  return LIKELY(it->walk == NULL) ? user_iter_prev(it->in) : txn_iter_prev(it->walk);
}

VARVE_API varve_slice varve_iter_key(const varve_iter *it) {
  if (UNLIKELY(it->postings != NULL)) return index_cursor_key(it->postings);
  slice key = user_iter_key(it->in);
  if (key.size == 0) return key;
  return slice_make((const uint8_t *)key.data + it->prefix_size, key.size - it->prefix_size);
}

VARVE_API varve_slice varve_iter_value(const varve_iter *it) {
  if (UNLIKELY(it->postings != NULL)) return index_cursor_primary(it->postings);
  return user_iter_value(it->in);
}

VARVE_API int varve_iter_status(const varve_iter *it) {
  if (UNLIKELY(it->postings != NULL)) return index_cursor_status(it->postings);
  return user_iter_status(it->in);
}

VARVE_API int varve_count(varve_db *db, const varve_iter_options *options, uint64_t *count) {
  varve_iter *it;
  if (count == NULL) return status_fail(VARVE_INVALID, "there is nowhere to put the number: count is NULL");
  *count = 0;
  TRY(varve_iter_open(db, options, &it));
  int rc = user_iter_first(it->in);
  for (; rc == VARVE_OK; rc = user_iter_next(it->in)) (*count)++;
  varve_iter_close(it);
  return rc == VARVE_DONE ? VARVE_OK : rc;
}

/* ---- snapshots ---- */

VARVE_API int varve_snapshot_open(varve_db *db, varve_snapshot **out) {
  if (out == NULL) return status_fail(VARVE_INVALID, "there is nowhere to put the snapshot: snapshot is NULL");
  *out = NULL;
  TRY(api_check(db));
  varve_snapshot *s = MEM_NEW(db->alloc, varve_snapshot);
  if (s == NULL) return mem_fail(sizeof *s, "a snapshot");
  s->db = db;
  int rc = lsm_snapshot_acquire(db->lsm, &s->seq);
  if (rc < 0) {
    MEM_DELETE(db->alloc, s);
    return rc;
  }
  *out = s;
  return VARVE_OK;
}

VARVE_API void varve_snapshot_close(varve_snapshot *s) {
  if (s == NULL) return;
  varve_db *db = s->db;
  lsm_snapshot_release(db->lsm, s->seq);
  MEM_DELETE(db->alloc, s);
}

VARVE_API uint64_t varve_snapshot_sequence(const varve_snapshot *s) {
  return s == NULL ? 0 : s->seq;
}
