/* index_read.c: finding postings: gets of one key, and cursors over a range of entries.
 *
 * A unique index has one entry for a key, so finding it is a get: a cursor then holds the value, and no iterator. So it
 * is with a HASH index that has one posting of the key, when one probe finds it.
 *
 * Invariant: a cursor that is positioned has an entry whose form was checked; `key` and `primary` are its parts.
 */
#include "index/index_int.h"

#define INDEX_CURSOR_KEPT 8192u /* bytes of buffers that an idle cursor may have */
#define INDEX_PROBE_BYTES 320u  /* of an entry's key that is made on the stack */

struct index_cursor {
  varve_index *index;
  allocator *alloc;
  user_iter *in; /* one of these, or neither: `found` is all there is */
  txn_iter *in_txn;
  pin *pin;               /* of found */
  slice found_key, found; /* a posting without an iterator; found_key is in `lower` */
  bool has_found;
  int status;
  slice key, primary;
  buf room, target, lower, upper;
};

/* ---- opening and closing ---- */

static void index_cursor_free(index_cursor *c) {
  if (c == NULL) return;
  buf *bufs[] = {&c->room, &c->target, &c->lower, &c->upper};
  for (size_t i = 0; i < COUNT_OF(bufs); i++) buf_free(bufs[i]);
  MEM_DELETE(c->alloc, c);
}

INTERNAL void index_cursor_forget(index_store *s) {
  index_cursor_free(atomic_exchange(&s->idle, NULL));
}

static index_cursor *index_cursor_take(varve_index *ix) {
  allocator *alloc = ix->store->alloc;
  index_cursor *c = atomic_exchange_explicit(&ix->store->idle, NULL, memory_order_acquire);
  if (c == NULL) {
    c = MEM_NEW(alloc, index_cursor);
    if (c == NULL) {
      (void)mem_fail(sizeof *c, "an index cursor");
      return NULL;
    }
    c->alloc = alloc;
    buf *bufs[] = {&c->room, &c->target, &c->lower, &c->upper};
    for (size_t i = 0; i < COUNT_OF(bufs); i++) buf_init(bufs[i], alloc);
  }
  c->index = ix;
  c->status = VARVE_DONE;
  return c;
}

INTERNAL void index_cursor_close(index_cursor *c) {
  if (c == NULL) return;
  index_store *s = c->index->store;
  user_iter *in = c->in;
  txn_iter *in_txn = c->in_txn;
  pin *held = c->pin;
  c->in = NULL;
  c->in_txn = NULL;
  c->pin = NULL;
  c->has_found = false;
  c->key = c->primary = slice_make(NULL, 0);
  if (c->room.capacity + c->target.capacity + c->lower.capacity + c->upper.capacity > INDEX_CURSOR_KEPT) {
    index_cursor_free(c);
  } else {
    index_cursor_free(atomic_exchange_explicit(&s->idle, c, memory_order_acq_rel));
  }
  /* Last: from here on the database may be closed. */
  user_iter_close(in);
  txn_iter_close(in_txn);
  pin_unref(held);
}

/* Over the entries from c->lower to c->upper. */
static int index_cursor_begin(index_cursor *c, txn *t, bool equal) {
  slice lower = buf_slice(&c->lower), upper = buf_slice(&c->upper);
  if (t != NULL) return txn_iter_open(t, lower, upper, &c->in_txn);
  user_iter_options o = {.seq_max = SEQ_MAX, .lower = lower, .upper = upper, .equal_prefix = equal};
  return lsm_iter_open(c->index->store->lsm, &o, &c->in);
}

static int index_get_entry(const varve_index *ix, txn *t, slice entry, lsm_value *found) {
  return t == NULL ? lsm_get(ix->store->lsm, entry, SEQ_MAX, found) : txn_get(t, entry, found);
}

/* The posting of `key` without an iterator: OK, NOTFOUND, or DONE = there may be several. Entries of the key are from
 * c->lower to c->upper. */
static int index_find_one(index_cursor *c, txn *t, slice key, lsm_value *primary, bool *only) {
  const varve_index *ix = c->index;
  TRY(index_key_begin(&ix->shape, key, &c->lower));
  if (ix->shape.unique) {
    *only = true;
    return index_get_entry(ix, t, buf_slice(&c->lower), primary);
  }
  TRY(buf_set(&c->upper, buf_slice(&c->lower)));
  index_key_successor(&c->upper);
  if (t != NULL || ix->shape.kind != VARVE_HASH) return VARVE_DONE;
  return lsm_find_prefix(ix->store->lsm, buf_slice(&c->lower), buf_slice(&c->upper), primary, only);
}

INTERNAL int index_find(varve_index *ix, txn *t, slice key, index_cursor **out) {
  lsm_value found = {0};
  bool only = false;
  *out = NULL;
  TRY(index_check(ix));
  index_cursor *c = index_cursor_take(ix);
  if (c == NULL) return VARVE_NOMEM;
  int rc = VARVE_OK;
  STEP(index_find_one(c, t, key, &found, &only));
  if (rc == VARVE_OK && only) {
    size_t skip = c->lower.size - key.size;
    c->has_found = true;
    c->found_key = slice_make(c->lower.data + skip, key.size);
    c->found = found.data;
    c->pin = found.pin;
  } else if (rc != VARVE_NOTFOUND) {
    if (rc == VARVE_OK) pin_unref(found.pin);
    STEP(index_cursor_begin(c, t, ix->shape.kind == VARVE_HASH));
  }
  *out = c;
  return VARVE_OK;
out:
  index_cursor_close(c);
  return rc;
}

static int index_check_ordered(const varve_index *ix) {
  TRY(index_check(ix));
  if (ix->shape.kind == VARVE_BTREE) return VARVE_OK;
  return status_fail(VARVE_UNSUPPORTED, "the index \"%.*s\" is HASH: it finds equal keys only; ranges need BTREE",
                     (int)ix->name_size, ix->name);
}

INTERNAL int index_range(varve_index *ix, txn *t, slice lower, slice upper, index_cursor **out) {
  *out = NULL;
  TRY(index_check_ordered(ix));
  index_cursor *c = index_cursor_take(ix);
  if (c == NULL) return VARVE_NOMEM;
  int rc = VARVE_OK;
  if (lower.size > 0) {
    STEP(index_key_begin(&ix->shape, lower, &c->lower));
  } else {
    STEP(buf_set(&c->lower, index_shape_prefix(&ix->shape)));
  }
  if (upper.size > 0) {
    STEP(index_key_begin(&ix->shape, upper, &c->upper));
  } else {
    STEP(buf_set(&c->upper, index_shape_prefix(&ix->shape)));
    index_key_successor(&c->upper);
  }
  if (slice_compare(buf_slice(&c->lower), buf_slice(&c->upper)) < 0) {
    STEP(index_cursor_begin(c, t, false));
  } else if (t != NULL) {
    STEP(txn_check(t));
  }
  *out = c;
  return VARVE_OK;
out:
  index_cursor_close(c);
  return rc;
}

INTERNAL int index_prefix(varve_index *ix, txn *t, slice prefix, index_cursor **out) {
  buf upper;
  int rc = VARVE_OK;
  *out = NULL;
  buf_init(&upper, ix->store->alloc);
  STEP(buf_set(&upper, prefix));
  while (upper.size > 0 && upper.data[upper.size - 1] == 0xff) upper.size--;
  if (upper.size > 0) upper.data[upper.size - 1]++;
  rc = index_range(ix, t, prefix, buf_slice(&upper), out);
out:
  buf_free(&upper);
  return rc;
}

/* ---- moves ---- */

static int index_cursor_end(index_cursor *c, int rc) {
  c->status = rc;
  c->key = c->primary = slice_make(NULL, 0);
  return rc;
}

static const user_iter *index_cursor_at(const index_cursor *c) {
  return c->in != NULL ? c->in : txn_iter_at(c->in_txn);
}

static int index_cursor_show(index_cursor *c, int rc) {
  if (rc != VARVE_OK) return index_cursor_end(c, rc);
  const user_iter *at = index_cursor_at(c);
  const varve_index *ix = c->index;
  rc = index_key_read(&ix->shape, user_iter_key(at), user_iter_value(at), &c->room, &c->key, &c->primary);
  if (rc == VARVE_CORRUPT) {
    rc = status_fail(VARVE_CORRUPT, "an entry of the index \"%.*s\" is broken; varve_index_rebuild makes it anew",
                     (int)ix->name_size, ix->name);
  }
  if (rc < 0) return index_cursor_end(c, rc);
  c->status = VARVE_OK;
  return VARVE_OK;
}

static int index_cursor_show_found(index_cursor *c, bool there) {
  if (!there) return index_cursor_end(c, VARVE_DONE);
  c->key = c->found_key;
  c->primary = c->found;
  c->status = VARVE_OK;
  return VARVE_OK;
}

/* Of a cursor without an iterator: over the one value, or over nothing. */
static int index_cursor_move_found(index_cursor *c, index_move move, slice key) {
  int order = c->has_found ? slice_compare(c->found_key, key) : 0;
  switch (move) {
    case INDEX_SEEK:
      return index_cursor_show_found(c, c->has_found && order >= 0);
    case INDEX_SEEK_FOR_PREV:
      return index_cursor_show_found(c, c->has_found && order <= 0);
    case INDEX_NEXT:
    case INDEX_PREV:
      return index_cursor_end(c, VARVE_DONE);
    default:
      return index_cursor_show_found(c, c->has_found);
  }
}

static int index_cursor_step(index_cursor *c, index_move move, slice target) {
  if (c->in != NULL) {
    switch (move) {
      case INDEX_FIRST:
        return user_iter_first(c->in);
      case INDEX_LAST:
        return user_iter_last(c->in);
      case INDEX_SEEK:
        return user_iter_seek(c->in, target);
      case INDEX_SEEK_FOR_PREV:
        return user_iter_seek_for_prev(c->in, target);
      case INDEX_NEXT:
        return user_iter_next(c->in);
      default:
        return user_iter_prev(c->in);
    }
  }
  switch (move) {
    case INDEX_FIRST:
      return txn_iter_first(c->in_txn);
    case INDEX_LAST:
      return txn_iter_last(c->in_txn);
    case INDEX_SEEK:
      return txn_iter_seek(c->in_txn, target);
    case INDEX_SEEK_FOR_PREV:
      return txn_iter_seek_for_prev(c->in_txn, target);
    case INDEX_NEXT:
      return txn_iter_next(c->in_txn);
    default:
      return txn_iter_prev(c->in_txn);
  }
}

/* The last posting whose index key is at most `key`: entries of that key itself come before its successor. */
static int index_cursor_seek_back(index_cursor *c, slice key) {
  TRY(index_key_begin(&c->index->shape, key, &c->target));
  if (c->index->shape.unique) return index_cursor_step(c, INDEX_SEEK_FOR_PREV, buf_slice(&c->target));
  index_key_successor(&c->target);
  int rc = index_cursor_step(c, INDEX_SEEK_FOR_PREV, buf_slice(&c->target));
  bool beyond = rc == VARVE_OK && slice_equal(user_iter_key(index_cursor_at(c)), buf_slice(&c->target));
  return beyond ? index_cursor_step(c, INDEX_PREV, key) : rc;
}

/* HASH: a cursor is over one key, which is not where its order among keys is. */
static int index_cursor_seek_hash(index_cursor *c, index_move move, slice key) {
  TRY(index_cursor_show(c, index_cursor_step(c, INDEX_FIRST, key)));
  if (c->status != VARVE_OK) return c->status;
  int order = slice_compare(c->key, key);
  if (move == INDEX_SEEK) return order >= 0 ? VARVE_OK : index_cursor_end(c, VARVE_DONE);
  if (order > 0) return index_cursor_end(c, VARVE_DONE);
  return index_cursor_show(c, index_cursor_step(c, INDEX_LAST, key));
}

INTERNAL int index_cursor_move(index_cursor *c, index_move move, slice key) {
  if ((move == INDEX_NEXT || move == INDEX_PREV) && c->status != VARVE_OK) return c->status;
  if (c->in == NULL && c->in_txn == NULL) return index_cursor_move_found(c, move, key);
  if (move != INDEX_SEEK && move != INDEX_SEEK_FOR_PREV) return index_cursor_show(c, index_cursor_step(c, move, key));
  if (key.size > VARVE_KEY_SIZE_MAX)
    return index_cursor_end(c, status_fail(VARVE_KEY_TOO_LARGE, "the key is too large"));
  if (c->index->shape.kind == VARVE_HASH) return index_cursor_seek_hash(c, move, key);
  if (move == INDEX_SEEK_FOR_PREV) return index_cursor_show(c, index_cursor_seek_back(c, key));
  int rc = index_key_begin(&c->index->shape, key, &c->target);
  return index_cursor_show(c, rc < 0 ? rc : index_cursor_step(c, move, buf_slice(&c->target)));
}

INTERNAL slice index_cursor_key(const index_cursor *c) {
  return c->key;
}

INTERNAL slice index_cursor_primary(const index_cursor *c) {
  return c->primary;
}

INTERNAL int index_cursor_status(const index_cursor *c) {
  return c->status;
}

/* ---- one key ---- */

/* Bytes that are their own pin. */
typedef struct index_copy {
  pin pin;
  allocator *alloc;
  size_t size;
  uint8_t bytes[];
} index_copy;

static void index_copy_release(pin *p) {
  index_copy *c = CONTAINER_OF(p, index_copy, pin);
  mem_free(c->alloc, c, sizeof *c + c->size);
}

static int index_copy_make(allocator *alloc, slice bytes, lsm_value *out) {
  index_copy *c = mem_alloc(alloc, sizeof *c + bytes.size);
  if (c == NULL) return mem_fail(sizeof *c + bytes.size, "a primary key");
  pin_init(&c->pin, index_copy_release);
  c->alloc = alloc;
  c->size = bytes.size;
  if (bytes.size > 0) memcpy(c->bytes, bytes.data, bytes.size);
  out->data = slice_make(c->bytes, bytes.size);
  out->pin = &c->pin;
  return VARVE_OK;
}

/* The entry's key made on the stack, where a probe does without an iterator. DONE = it does not, or the key is long. */
static int index_get_probe(const varve_index *ix, slice key, lsm_value *primary) {
  uint8_t lower_bytes[INDEX_PROBE_BYTES], upper_bytes[INDEX_PROBE_BYTES];
  bool only, unique = ix->shape.unique;
  if (ix->shape.kind != VARVE_HASH && !unique) return VARVE_DONE;
  if (key.size > INDEX_PROBE_BYTES - INDEX_PREFIX_MAX - INDEX_HASH_BYTES - VARINT32_SIZE_MAX) return VARVE_DONE;
  /* Buffers with all the room that they need: they never ask an allocator. */
  buf lower = {lower_bytes, 0, sizeof lower_bytes, NULL}, upper = {upper_bytes, 0, sizeof upper_bytes, NULL};
  TRY(index_key_begin(&ix->shape, key, &lower));
  ASSERT(lower.data == lower_bytes);
  if (unique) return lsm_get(ix->store->lsm, buf_slice(&lower), SEQ_MAX, primary);
  TRY(buf_set(&upper, buf_slice(&lower)));
  index_key_successor(&upper);
  return lsm_find_prefix(ix->store->lsm, buf_slice(&lower), buf_slice(&upper), primary, &only);
}

INTERNAL int index_get(varve_index *ix, txn *t, slice key, lsm_value *primary) {
  bool only;
  TRY(index_check(ix));
  if (t == NULL) {
    int found = index_get_probe(ix, key, primary);
    if (found != VARVE_DONE) return found;
  }
  index_cursor *c = index_cursor_take(ix);
  if (c == NULL) return VARVE_NOMEM;
  int rc = index_find_one(c, t, key, primary, &only);
  if (rc == VARVE_DONE) {
    rc = index_cursor_begin(c, t, ix->shape.kind == VARVE_HASH);
    if (rc >= 0) rc = index_cursor_move(c, INDEX_FIRST, key);
    if (rc == VARVE_OK) rc = index_copy_make(ix->store->alloc, c->primary, primary);
    if (rc == VARVE_DONE) rc = VARVE_NOTFOUND;
  }
  index_cursor_close(c);
  return rc;
}

INTERNAL int index_get_info(varve_index *ix, varve_index_info *info) {
  *info = (varve_index_info){.name = slice_make(ix->name, ix->name_size),
                             .kind = ix->shape.kind,
                             .unique = ix->shape.unique,
                             .maintained = ix->maintained,
                             .ready = atomic_load(&ix->ready)};
  if (info->ready || atomic_load(&ix->dropped)) TRY(index_check(ix));
  buf upper;
  user_iter *it = NULL;
  int rc = VARVE_OK;
  buf_init(&upper, ix->store->alloc);
  STEP(buf_set(&upper, index_shape_prefix(&ix->shape)));
  index_key_successor(&upper);
  user_iter_options o = {.seq_max = SEQ_MAX, .lower = index_shape_prefix(&ix->shape), .upper = buf_slice(&upper)};
  STEP(lsm_iter_open(ix->store->lsm, &o, &it));
  for (rc = user_iter_first(it); rc == VARVE_OK; rc = user_iter_next(it)) info->entries++;
out:
  user_iter_close(it);
  buf_free(&upper);
  return rc == VARVE_DONE ? VARVE_OK : rc;
}

#undef INDEX_CURSOR_KEPT
#undef INDEX_PROBE_BYTES
