/* index_change.c: making, opening, listing and dropping indexes, one at a time (change_lock).
 *
 * Making one that maintains itself: its definition, as "being built from the first row on", and the table of indexes
 * that has it come into being in one commit. From then on every write maintains it, and index_build adds the rows that
 * were there before.
 */
#include "index/index_int.h"

static const uint8_t index_next_id[3] = {1, 0, 'n'};

/* ---- checks ---- */

static int index_check_name(slice name) {
  if (name.size > 0 && name.size <= INDEX_NAME_MAX && name.data != NULL) return VARVE_OK;
  return status_fail(VARVE_INVALID, "an index's name has 1 to 255 bytes; this one has %zu", name.size);
}

INTERNAL int index_check(const varve_index *ix) {
  if (UNLIKELY(atomic_load_explicit(&ix->dropped, memory_order_relaxed))) {
    return status_fail(VARVE_CLOSED, "the index \"%.*s\" was dropped", (int)ix->name_size, ix->name);
  }
  if (LIKELY(atomic_load_explicit(&ix->ready, memory_order_acquire))) return VARVE_OK;
  return status_fail(VARVE_INVALID,
                     "the index \"%.*s\" is not built yet: varve_index_open with its extract function goes on with it",
                     (int)ix->name_size, ix->name);
}

INTERNAL void *index_owner(const varve_index *ix) {
  return ix->store->owner;
}

static int index_check_open(const varve_index *ix, const index_options *o) {
  const char *what = NULL;
  if (o->kind != 0 && o->kind != ix->shape.kind) what = ix->shape.kind == VARVE_HASH ? "is HASH" : "is BTREE";
  if (o->unique && !ix->shape.unique) what = "is not unique";
  if (o->has_keyspace && ix->maintained && o->keyspace != ix->keyspace) what = "is of another keyspace";
  if (o->extract != NULL && !ix->maintained) what = "was made as a manual one, without extract";
  if (what == NULL) return VARVE_OK;
  return status_fail(VARVE_INVALID, "the index \"%.*s\" %s; drop it first to make it anew", (int)ix->name_size,
                     ix->name, what);
}

/* ---- creation ---- */

/* The next id to give. change_lock held. */
static int index_take_id(index_store *s, uint64_t *id) {
  lsm_value found;
  int rc = lsm_get(s->lsm, slice_make(index_next_id, sizeof index_next_id), SEQ_MAX, &found);
  *id = 1;
  if (rc != VARVE_OK) return rc == VARVE_NOTFOUND ? VARVE_OK : rc;
  bool whole = found.data.size == sizeof *id;
  if (whole) *id = get_u64(found.data.data);
  pin_unref(found.pin);
  if (whole && *id > 0 && *id < UINT64_MAX) return VARVE_OK;
  return status_fail(VARVE_CORRUPT, "the catalog's entry of the next index makes no sense");
}

/* Appends the definition to `b`. `position` as index_def_encode's. */
static int index_put_def(const varve_index *ix, const slice *position, batch *b) {
  static const slice none = {NULL, 0};
  buf key, value;
  int rc = VARVE_OK;
  buf_init(&key, ix->store->alloc);
  buf_init(&value, ix->store->alloc);
  STEP(index_def_encode(ix, position, &key, &value));
  STEP(batch_put(b, none, buf_slice(&key), buf_slice(&value)));
out:
  buf_free(&key);
  buf_free(&value);
  return rc;
}

static int index_create_batch(const varve_index *ix, batch *b) {
  static const slice none = {NULL, 0};
  uint64_t next = ix->id + 1;
  TRY(batch_put(b, none, slice_make(index_next_id, sizeof index_next_id), slice_make(&next, sizeof next)));
  return index_put_def(ix, ix->maintained ? &none : NULL, b);
}

static int index_make_new(index_store *s, const index_options *o, varve_index **out) {
  varve_index *ix = index_make(s, o->name);
  if (ix == NULL) return VARVE_NOMEM;
  int rc = index_take_id(s, &ix->id);
  if (rc < 0) {
    MEM_DELETE(s->alloc, ix);
    return rc;
  }
  ix->maintained = o->extract != NULL;
  ix->keyspace = ix->maintained ? o->keyspace : 0;
  ix->extract = o->extract;
  ix->context = o->context;
  index_shape_init(&ix->shape, o->kind == 0 ? VARVE_BTREE : o->kind, o->unique, ix->id);
  atomic_store(&ix->ready, !ix->maintained);
  ix->next = s->indexes; /* for good: handles stay until the store goes */
  s->indexes = ix;
  *out = ix;
  return VARVE_OK;
}

/* Ends the index: in the database, and for everybody who has its handle. change_lock held. */
static int index_drop_now(varve_index *ix) {
  index_store *s = ix->store;
  const index_table *table;
  batch b;
  int rc = VARVE_OK;
  batch_init(&b, s->alloc);
  atomic_store(&ix->dropped, true);
  STEP(index_def_remove(ix, &b));
  STEP(index_table_make(s, &table));
  STEP(index_commit_change(s, &b, table));
out:
  if (rc < 0) atomic_store(&ix->dropped, false);
  batch_free(&b);
  return rc;
}

static int index_create_locked(index_store *s, const index_options *o, varve_index **out) {
  const index_table *table;
  varve_index *ix = NULL;
  batch b;
  int rc = VARVE_OK;
  if (index_by_name(s, o->name) != NULL) {
    return status_fail(VARVE_EXISTS, "there is an index \"%.*s\" already: open it", (int)o->name.size,
                       (const char *)o->name.data);
  }
  batch_init(&b, s->alloc);
  STEP(index_make_new(s, o, &ix));
  STEP(index_create_batch(ix, &b));
  STEP(index_table_make(s, &table));
  STEP(index_commit_change(s, &b, table));
  if (ix->maintained) {
    rc = index_build(ix, o->progress, o->progress_context);
    if (rc == VARVE_EXISTS) {
      char message[STATUS_MESSAGE_SIZE];
      status_keep_message(message);
      ALSO(index_drop_now(ix));
      status_set_message(message);
    }
    ix = rc < 0 ? NULL : ix; /* what is left of it stays, to be gone on with */
  }
  *out = ix;
  ix = NULL;
out:
  if (ix != NULL) atomic_store(&ix->dropped, true); /* it never was */
  batch_free(&b);
  return rc;
}

INTERNAL int index_create(index_store *s, const index_options *o, varve_index **out) {
  *out = NULL;
  TRY(index_check_name(o->name));
  TRY(index_load(s));
  mutex_lock(&s->change_lock);
  int rc = index_create_locked(s, o, out);
  mutex_unlock(&s->change_lock);
  return rc;
}

/* ---- opening ---- */

static int index_attach(varve_index *ix, const index_options *o) {
  index_store *s = ix->store;
  const index_table *table;
  varve_index_extract extract = ix->extract;
  void *context = ix->context;
  ix->extract = o->extract;
  ix->context = o->context;
  int rc = index_table_make(s, &table);
  if (rc >= 0) {
    atomic_store_explicit(&s->table, table, memory_order_release);
    return rc;
  }
  ix->extract = extract;
  ix->context = context;
  return rc;
}

static int index_rebuild_locked(varve_index *ix, varve_progress progress, void *context) {
  static const slice none = {NULL, 0};
  index_store *s = ix->store;
  batch b;
  int rc = VARVE_OK;
  if (atomic_load(&ix->dropped)) return index_check(ix);
  if (ix->extract == NULL) {
    return status_fail(VARVE_INVALID, "the index \"%.*s\" has no extract function: give it with varve_index_open",
                       (int)ix->name_size, ix->name);
  }
  batch_init(&b, s->alloc);
  STEP(index_entries_remove(ix, &b));
  STEP(index_put_def(ix, &none, &b));
  atomic_store(&ix->ready, false);
  STEP(index_commit_change(s, &b, atomic_load(&s->table)));
  STEP(index_build(ix, progress, context));
out:
  batch_free(&b);
  return rc;
}

/* Goes on with the building. At its very beginning there may be postings of rows as they no longer are: a repair leaves
 * it so. */
static int index_go_on(varve_index *ix, varve_progress progress, void *context) {
  buf position;
  buf_init(&position, ix->store->alloc);
  int rc = index_def_position(ix, &position);
  bool anew = rc == VARVE_OK && position.size == 0;
  buf_free(&position);
  if (rc < 0) return rc;
  return anew ? index_rebuild_locked(ix, progress, context) : index_build(ix, progress, context);
}

static int index_open_locked(index_store *s, const index_options *o, varve_index **out) {
  varve_index *ix = index_by_name(s, o->name);
  if (ix == NULL) return VARVE_NOTFOUND;
  TRY(index_check_open(ix, o));
  if (o->extract != NULL && (o->extract != ix->extract || o->context != ix->context)) TRY(index_attach(ix, o));
  if (!atomic_load(&ix->ready) && ix->extract != NULL) TRY(index_go_on(ix, o->progress, o->progress_context));
  *out = ix;
  return VARVE_OK;
}

INTERNAL int index_open(index_store *s, const index_options *o, varve_index **out) {
  *out = NULL;
  TRY(index_check_name(o->name));
  TRY(index_load(s));
  mutex_lock(&s->change_lock);
  int rc = index_open_locked(s, o, out);
  mutex_unlock(&s->change_lock);
  return rc;
}

/* ---- the end of indexes ---- */

INTERNAL int index_drop(index_store *s, slice name) {
  TRY(index_check_name(name));
  TRY(index_load(s));
  mutex_lock(&s->change_lock);
  varve_index *ix = index_by_name(s, name);
  int rc = ix == NULL ? VARVE_NOTFOUND : index_drop_now(ix);
  mutex_unlock(&s->change_lock);
  return rc;
}

static bool index_is_of(const varve_index *ix, uint64_t keyspace) {
  return ix->maintained && ix->keyspace == keyspace;
}

INTERNAL int index_drop_keyspace(index_store *s, uint64_t keyspace, batch *b) {
  const index_table *table;
  int rc = VARVE_OK;
  TRY(index_load(s));
  mutex_lock(&s->change_lock);
  varve_index *last = NULL; /* those before it were marked */
  for (varve_index *ix = s->indexes; ix != NULL; ix = ix->next) {
    if (!index_is_of(ix, keyspace) || atomic_load(&ix->dropped)) continue;
    STEP(index_def_remove(ix, b));
  }
  for (varve_index *ix = s->indexes; ix != NULL; ix = ix->next) {
    if (!index_is_of(ix, keyspace) || atomic_load(&ix->dropped)) continue;
    atomic_store(&ix->dropped, true);
    ix->ending = true;
    last = ix;
  }
  if (last == NULL) {
    rc = lsm_write(s->lsm, b, LSM_DEFAULT);
    goto out;
  }
  STEP(index_table_make(s, &table));
  STEP(index_commit_change(s, b, table));
out:
  for (varve_index *ix = s->indexes; ix != NULL; ix = ix->next) {
    if (ix->ending && rc < 0) atomic_store(&ix->dropped, false); /* it is still there */
    ix->ending = false;
  }
  mutex_unlock(&s->change_lock);
  return rc;
}

INTERNAL int index_list(index_store *s, int (*visit)(void *context, varve_slice name), void *context) {
  static const uint8_t from[3] = {1, 0, 'i'}, to[3] = {1, 0, 'i' + 1};
  user_iter *it;
  user_iter_options o = {.seq_max = SEQ_MAX, .lower = slice_make(from, 3), .upper = slice_make(to, 3)};
  TRY(lsm_iter_open(s->lsm, &o, &it));
  int rc = user_iter_first(it);
  while (rc == VARVE_OK) {
    slice key = user_iter_key(it);
    slice name = slice_make((const uint8_t *)key.data + 3, key.size - 3);
    rc = visit(context, name) == 0 ? user_iter_next(it) : status_fail(VARVE_ABORTED, "the caller asked to stop");
  }
  user_iter_close(it);
  return rc == VARVE_DONE ? VARVE_OK : rc;
}

/* ---- anew ---- */

INTERNAL int index_rebuild(varve_index *ix, varve_progress progress, void *context) {
  if (!ix->maintained) {
    return status_fail(VARVE_INVALID, "the index \"%.*s\" is a manual one: the program alone knows what is in it",
                       (int)ix->name_size, ix->name);
  }
  mutex_lock(&ix->store->change_lock);
  int rc = index_rebuild_locked(ix, progress, context);
  mutex_unlock(&ix->store->change_lock);
  return rc;
}
