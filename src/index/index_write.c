/* index_write.c: a row's change together with its indexes' changes.
 *
 * The row as it was says which postings go, as it will be which ones come; those in both are left alone. All is found
 * out before anything is written, so a key that is taken (EXISTS) leaves a transaction as it was.
 *
 * What was read must hold at the commit at every isolation level: a row, or the key of a unique index, that somebody
 * else changes meanwhile would leave postings that belong to no row, or two rows with one key. So rows and keys are
 * read with txn_get_watched.
 */
#include <stdio.h>

#include "index/index_int.h"

#define INDEX_TRIES      1000u /* of a commit that others' commits get in the way of */
#define INDEX_DIFF_MAX   64u   /* keys of a row beyond which old and new ones are not compared */
#define INDEX_NAME_SHOWN 60

/* ---- the index keys of a row ---- */

INTERNAL void index_keys_init(index_keys *k, allocator *alloc) {
  buf_init(&k->bytes, alloc);
  buf_init(&k->ends, alloc);
}

INTERNAL void index_keys_free(index_keys *k) {
  buf_free(&k->bytes);
  buf_free(&k->ends);
}

INTERNAL slice index_keys_at(const index_keys *k, uint32_t i) {
  ASSERT(i < index_keys_count(k));
  size_t from = i == 0 ? 0 : get_u32(k->ends.data + (i - 1) * sizeof(uint32_t));
  size_t to = get_u32(k->ends.data + i * sizeof(uint32_t));
  ASSERT(from <= to && to <= k->bytes.size);
  return slice_make(k->bytes.data == NULL ? NULL : k->bytes.data + from, to - from);
}

INTERNAL bool index_keys_have(const index_keys *k, slice key) {
  uint32_t count = index_keys_count(k);
  for (uint32_t i = 0; i < count; i++) {
    if (slice_equal(index_keys_at(k, i), key)) return true;
  }
  return false;
}

static int index_keys_emit(void *context, varve_slice key) {
  index_keys *k = context;
  if (key.size > VARVE_KEY_SIZE_MAX || (key.size > 0 && key.data == NULL)) {
    return status_fail(VARVE_KEY_TOO_LARGE, "an index key of %zu bytes is more than the 65,536 that are allowed",
                       key.size);
  }
  if (k->bytes.size > UINT32_MAX - key.size) return status_fail(VARVE_LIMIT, "a row has too many index keys");
  TRY(buf_append(&k->bytes, key.data, key.size));
  return buf_append_u32(&k->ends, (uint32_t)k->bytes.size);
}

/* A row's key without its keyspace's id. */
static slice index_row_key(slice inner) {
  reader r = reader_of(inner);
  uint64_t keyspace;
  bool whole = read_varint64(&r, &keyspace);
  ASSERT(whole);
  return slice_make(r.at, reader_left(&r));
}

INTERNAL int index_keys_extract(index_keys *k, const index_item *item, slice key, slice value) {
  buf_clear(&k->bytes);
  buf_clear(&k->ends);
  ASSERT(item->extract != NULL);
  int rc = item->extract(item->context, index_row_key(key), value, index_keys_emit, k);
  if (rc <= 0) return rc;
  const varve_index *ix = item->index;
  return status_fail(VARVE_ABORTED, "the extractor of the index \"%.*s\" returned %d", (int)ix->name_size, ix->name,
                     rc);
}

INTERNAL int index_taken(const varve_index *ix, slice key) {
  char shown[4 * INDEX_NAME_SHOWN + 1];
  size_t n = 0;
  for (size_t i = 0; i < MIN(key.size, (size_t)INDEX_NAME_SHOWN); i++) {
    uint8_t c = ((const uint8_t *)key.data)[i];
    bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
    n += (size_t)snprintf(shown + n, sizeof shown - n, plain ? "%c" : "\\x%02x", c);
  }
  return status_fail(VARVE_EXISTS, "the unique index \"%.*s\" has the key \"%.*s\" already, of another row",
                     (int)ix->name_size, ix->name, (int)n, shown);
}

/* ---- one row ---- */

/* What is found out about one change. */
typedef struct index_plan {
  txn *t;
  slice key; /* the row's, inner */
  index_keys before, after;
  buf entry;
  batch changes; /* of the indexes */
} index_plan;

static void index_plan_init(index_plan *p, txn *t, allocator *alloc) {
  p->t = t;
  index_keys_init(&p->before, alloc);
  index_keys_init(&p->after, alloc);
  buf_init(&p->entry, alloc);
  batch_init(&p->changes, alloc);
}

static void index_plan_free(index_plan *p) {
  index_keys_free(&p->before);
  index_keys_free(&p->after);
  buf_free(&p->entry);
  batch_free(&p->changes);
}

/* Whether the unique key whose entry is p->entry is free for `primary`. */
static int index_plan_check(index_plan *p, const varve_index *ix, slice key, slice primary) {
  lsm_value found;
  int rc = txn_get_watched(p->t, buf_slice(&p->entry), &found);
  if (rc != VARVE_OK) return rc == VARVE_NOTFOUND ? VARVE_OK : rc;
  bool same = slice_equal(found.data, primary);
  pin_unref(found.pin);
  return same ? VARVE_OK : index_taken(ix, key);
}

/* Whether the unique key whose entry is p->entry is this row's: while an index is being built two rows may have one
 * key, and the entry is that of the one that came first. */
static int index_plan_owns(index_plan *p, const varve_index *ix, slice primary, bool *owns) {
  lsm_value found;
  *owns = true;
  if (!ix->shape.unique || atomic_load_explicit(&ix->ready, memory_order_acquire)) return VARVE_OK;
  int rc = txn_get_watched(p->t, buf_slice(&p->entry), &found);
  *owns = rc == VARVE_OK && slice_equal(found.data, primary);
  if (rc == VARVE_OK) pin_unref(found.pin);
  return rc == VARVE_NOTFOUND ? VARVE_OK : rc;
}

static int index_plan_item(index_plan *p, const index_item *item, const slice *old, const slice *value) {
  static const slice none = {NULL, 0};
  const varve_index *ix = item->index;
  slice primary = index_row_key(p->key);
  buf_clear(&p->before.ends);
  buf_clear(&p->after.ends);
  if (old != NULL) TRY(index_keys_extract(&p->before, item, p->key, *old));
  if (value != NULL) TRY(index_keys_extract(&p->after, item, p->key, *value));
  uint32_t before = index_keys_count(&p->before), after = index_keys_count(&p->after);
  bool compare = before <= INDEX_DIFF_MAX && after <= INDEX_DIFF_MAX;
  for (uint32_t i = 0; i < before; i++) {
    slice key = index_keys_at(&p->before, i);
    if (compare && index_keys_have(&p->after, key)) continue;
    bool owns;
    TRY(index_key_entry(&ix->shape, key, primary, &p->entry));
    TRY(index_plan_owns(p, ix, primary, &owns));
    if (owns) TRY(batch_delete(&p->changes, none, buf_slice(&p->entry)));
  }
  for (uint32_t i = 0; i < after; i++) {
    slice key = index_keys_at(&p->after, i);
    if (compare && index_keys_have(&p->before, key)) continue;
    TRY(index_key_entry(&ix->shape, key, primary, &p->entry));
    if (ix->shape.unique) TRY(index_plan_check(p, ix, key, primary));
    TRY(batch_put(&p->changes, none, buf_slice(&p->entry), ix->shape.unique ? primary : none));
  }
  return VARVE_OK;
}

static int index_no_extractor(const varve_index *ix) {
  return status_fail(VARVE_INVALID,
                     "the keyspace has the index \"%.*s\", which maintains itself: give its extract function with "
                     "varve_index_open before writing",
                     (int)ix->name_size, ix->name);
}

static int index_set_check(const index_set *set) {
  for (uint32_t i = 0; i < set->count; i++) {
    if (set->items[i].extract == NULL) return index_no_extractor(set->items[i].index);
  }
  return VARVE_OK;
}

static int index_plan_row(index_plan *p, const index_set *set, slice key, const slice *old, const slice *value) {
  p->key = key;
  for (uint32_t i = 0; i < set->count; i++) TRY(index_plan_item(p, &set->items[i], old, value));
  return VARVE_OK;
}

/* Everything of a batch of inner keys goes to the transaction, or nothing. */
static int index_txn_apply(txn *t, const batch *b) {
  static const slice none = {NULL, 0};
  reader r = reader_of(buf_slice(&b->ops));
  batch_op op;
  int rc = VARVE_OK;
  while (rc >= 0 && batch_read(&r, &op) == 1) {
    if (op.kind == KIND_PUT) {
      rc = txn_put(t, none, op.key, op.value);
    } else {
      rc = op.kind == KIND_DELETE ? txn_delete(t, none, op.key) : txn_delete_range(t, op.key, op.value);
    }
  }
  return rc;
}

static int index_txn_apply_all(txn *t, const batch *b) {
  uint32_t mark;
  TRY(txn_savepoint(t, &mark));
  int rc = index_txn_apply(t, b);
  if (rc < 0) (void)txn_rollback_to(t, mark);
  (void)txn_release(t, mark);
  return rc;
}

INTERNAL int index_write_row(const index_moment *m, txn *t, slice key, const slice *value) {
  static const slice none = {NULL, 0};
  lsm_value old = {0};
  index_plan plan;
  int rc = VARVE_OK;
  bool had = false;
  ASSERT(m->set != NULL);
  TRY(index_set_check(m->set));
  TRY(txn_check(t));
  if (txn_read_only(t)) return txn_delete(t, none, key); /* it says so */
  index_plan_init(&plan, t, m->store->alloc);
  STEP(txn_get_watched(t, key, &old));
  had = rc == VARVE_OK;
  if (rc == VARVE_CONFLICT) goto out;
  STEP(index_plan_row(&plan, m->set, key, had ? &old.data : NULL, value));
  STEP(value == NULL ? batch_delete(&plan.changes, none, key) : batch_put(&plan.changes, none, key, *value));
  rc = index_txn_apply_all(t, &plan.changes);
out:
  if (had) pin_unref(old.pin);
  index_plan_free(&plan);
  return rc;
}

/* ---- a range of rows ---- */

/* Rows that are deleted one by one: at READ_COMMITTED a range is not looked at again at the commit, so only the rows
 * that were seen may go. */
static int index_delete_rows(const index_moment *m, txn *t, txn_iter *it) {
  int rc = txn_iter_first(it);
  buf key;
  buf_init(&key, m->store->alloc);
  for (; rc == VARVE_OK; rc = txn_iter_next(it)) {
    rc = buf_set(&key, user_iter_key(txn_iter_at(it)));
    if (rc >= 0) rc = index_write_row(m, t, buf_slice(&key), NULL);
    if (rc != VARVE_OK) break;
  }
  buf_free(&key);
  return rc == VARVE_DONE ? VARVE_OK : rc;
}

INTERNAL int index_write_range(const index_moment *m, txn *t, slice begin, slice end) {
  static const slice none = {NULL, 0};
  txn_iter *it;
  index_plan plan;
  int rc = VARVE_OK;
  ASSERT(m->set != NULL && slice_compare(begin, end) < 0);
  TRY(index_set_check(m->set));
  TRY(txn_check(t));
  if (txn_read_only(t)) return txn_delete(t, none, begin);
  TRY(txn_iter_open(t, begin, end, &it));
  if (txn_isolation(t) == VARVE_READ_COMMITTED) {
    rc = index_delete_rows(m, t, it);
    txn_iter_close(it);
    return rc;
  }
  index_plan_init(&plan, t, m->store->alloc);
  int move = txn_iter_first(it);
  for (; move == VARVE_OK; move = txn_iter_next(it)) {
    slice old = user_iter_value(txn_iter_at(it));
    STEP(index_plan_row(&plan, m->set, user_iter_key(txn_iter_at(it)), &old, NULL));
  }
  STEP(move);
  STEP(batch_delete_range(&plan.changes, begin, end));
  rc = index_txn_apply_all(t, &plan.changes);
out:
  txn_iter_close(it);
  index_plan_free(&plan);
  return rc;
}

/* ---- commits of their own ---- */

/* What one of them writes; the moment is one of after the transaction began. */
typedef struct index_work {
  index_store *store;
  int (*write)(const struct index_work *w, txn *t);
  uint64_t keyspace;
  slice key, end;
  const slice *value;
  const batch *b;
} index_work;

static int index_commit(const index_work *w, lsm_durability d) {
  txn_options o = {.isolation = VARVE_SNAPSHOT, .durability = d};
  int rc = VARVE_CONFLICT;
  /* A conflict means that another commit got through: as a whole there is progress. */
  for (uint32_t tries = 0; rc == VARVE_CONFLICT && tries < INDEX_TRIES; tries++) {
    txn *t;
    if (tries > 0) thread_yield();
    TRY(txn_begin(w->store->txns, &o, NULL, &t));
    rc = w->write(w, t);
    if (rc == VARVE_OK) rc = txn_commit(t);
    txn_close(t);
  }
  return rc;
}

static int index_work_row(const index_work *w, txn *t) {
  static const slice none = {NULL, 0};
  index_moment m;
  TRY(index_moment_of(w->store, w->keyspace, &m));
  if (m.set != NULL) return index_write_row(&m, t, w->key, w->value);
  return w->value == NULL ? txn_delete(t, none, w->key) : txn_put(t, none, w->key, *w->value);
}

static int index_work_range(const index_work *w, txn *t) {
  index_moment m;
  TRY(index_moment_of(w->store, w->keyspace, &m));
  return m.set != NULL ? index_write_range(&m, t, w->key, w->end) : txn_delete_range(t, w->key, w->end);
}

static int index_work_op(const index_work *w, txn *t, const batch_op *op) {
  index_work one = {.store = w->store, .key = op->key, .end = op->value, .value = NULL};
  reader r = reader_of(op->key);
  bool whole = read_varint64(&r, &one.keyspace);
  ASSERT(whole);
  if (op->kind == KIND_RANGE_DELETE) return index_work_range(&one, t);
  if (op->kind == KIND_PUT) one.value = &op->value;
  return index_work_row(&one, t);
}

static int index_work_batch(const index_work *w, txn *t) {
  reader r = reader_of(buf_slice(&w->b->ops));
  batch_op op;
  int rc = VARVE_OK;
  while (rc == VARVE_OK && batch_read(&r, &op) == 1) rc = index_work_op(w, t, &op);
  return rc;
}

INTERNAL int index_commit_batch(index_store *s, const batch *b, lsm_durability d) {
  index_work w = {.store = s, .write = index_work_batch, .b = b};
  return index_commit(&w, d);
}

/* ---- manual postings ---- */

static int index_check_manual(const varve_index *ix) {
  TRY(index_check(ix));
  if (!ix->maintained) return VARVE_OK;
  return status_fail(VARVE_INVALID, "the index \"%.*s\" maintains itself: write the rows of its keyspace instead",
                     (int)ix->name_size, ix->name);
}

static int index_post(varve_index *ix, txn *t, slice key, slice primary, bool insert) {
  static const slice none = {NULL, 0};
  buf entry;
  lsm_value found = {0};
  bool there = false;
  int rc = VARVE_OK;
  TRY(index_check_manual(ix));
  buf_init(&entry, ix->store->alloc);
  STEP(index_key_entry(&ix->shape, key, primary, &entry));
  if (insert && !ix->shape.unique) {
    rc = txn_put(t, none, buf_slice(&entry), none);
    goto out;
  }
  STEP(txn_get_watched(t, buf_slice(&entry), &found));
  if (rc == VARVE_CONFLICT) goto out;
  there = rc == VARVE_OK;
  bool same = there && (!ix->shape.unique || slice_equal(found.data, primary));
  if (insert) {
    rc = !there ? txn_put(t, none, buf_slice(&entry), primary) : same ? VARVE_OK : index_taken(ix, key);
  } else {
    rc = same ? txn_delete(t, none, buf_slice(&entry)) : VARVE_NOTFOUND;
  }
out:
  if (there) pin_unref(found.pin);
  buf_free(&entry);
  return rc;
}

typedef struct index_posting {
  index_work base;
  varve_index *index;
  bool insert;
} index_posting;

static int index_work_posting(const index_work *w, txn *t) {
  const index_posting *p = CONTAINER_OF(w, const index_posting, base);
  return index_post(p->index, t, w->key, w->end, p->insert);
}

static int index_post_alone(varve_index *ix, slice key, slice primary, bool insert) {
  index_posting p = {{.store = ix->store, .write = index_work_posting, .key = key, .end = primary}, ix, insert};
  return index_commit(&p.base, LSM_DEFAULT);
}

INTERNAL int index_insert(varve_index *ix, txn *t, slice key, slice primary) {
  return t == NULL ? index_post_alone(ix, key, primary, true) : index_post(ix, t, key, primary, true);
}

INTERNAL int index_remove(varve_index *ix, txn *t, slice key, slice primary) {
  return t == NULL ? index_post_alone(ix, key, primary, false) : index_post(ix, t, key, primary, false);
}

#undef INDEX_TRIES
#undef INDEX_DIFF_MAX
#undef INDEX_NAME_SHOWN
