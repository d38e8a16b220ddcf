/* index_build.c: brings the rows that were there before an index into it, online, and checks an index against its rows.
 *
 * A step is one SERIALIZABLE transaction: it reads the next rows from the position on, adds their postings and
 * writes the new position. If somebody changes one of these rows meanwhile, or adds one between them, the step is
 * done again, with fewer rows; what is written elsewhere is not in its way. Rows that are written during the
 * building are maintained by whoever writes them, before the position and behind it, so a step may find postings
 * that are there already.
 *
 * Invariant: rows below the position that is in the definition are in the index; it never goes back but for a rebuild.
 */
#include "index/index_int.h"

#ifdef VARVE_TINY
#define BUILD_ROWS_MAX 4u
#else
#define BUILD_ROWS_MAX 1024u
#endif
#define BUILD_BYTES_MAX (256u * KiB) /* of rows, in a step */

typedef struct index_builder {
  varve_index *index;
  index_item item;
  buf position, upper; /* inner keys: where the next step begins, and the end of the keyspace */
  index_keys keys;
  buf entry, def_key, def_value;
  uint32_t rows; /* of the next step, at most */
  uint64_t done;
  bool ended;
} index_builder;

static void index_builder_init(index_builder *b, varve_index *ix) {
  memset(b, 0, sizeof *b);
  allocator *alloc = ix->store->alloc;
  b->index = ix;
  b->item = (index_item){ix, ix->extract, ix->context};
  b->rows = BUILD_ROWS_MAX;
  buf *bufs[] = {&b->position, &b->upper, &b->entry, &b->def_key, &b->def_value};
  for (size_t i = 0; i < COUNT_OF(bufs); i++) buf_init(bufs[i], alloc);
  index_keys_init(&b->keys, alloc);
}

static void index_builder_free(index_builder *b) {
  buf *bufs[] = {&b->position, &b->upper, &b->entry, &b->def_key, &b->def_value};
  for (size_t i = 0; i < COUNT_OF(bufs); i++) buf_free(bufs[i]);
  index_keys_free(&b->keys);
}

/* Inner keys: `row` behind the keyspace's id. */
static int index_builder_inner(const index_builder *b, slice row, buf *out) {
  uint8_t prefix[VARINT64_SIZE_MAX];
  TRY(buf_set(out, slice_make(prefix, varint_put(prefix, b->index->keyspace))));
  return buf_append(out, row.data, row.size);
}

static int index_builder_begin(index_builder *b) {
  TRY(index_builder_inner(b, slice_make(NULL, 0), &b->upper));
  index_key_successor(&b->upper);
  int rc = index_def_position(b->index, &b->entry);
  if (rc != VARVE_OK) return rc;
  return index_builder_inner(b, buf_slice(&b->entry), &b->position);
}

static size_t index_builder_prefix(const index_builder *b) {
  return varint_size(b->index->keyspace);
}

static int index_builder_post(index_builder *b, txn *t, slice key, slice primary) {
  static const slice none = {NULL, 0};
  bool unique = b->index->shape.unique;
  TRY(index_key_entry(&b->index->shape, key, primary, &b->entry));
  if (unique) {
    lsm_value found;
    int rc = txn_get(t, buf_slice(&b->entry), &found);
    if (rc < 0) return rc;
    if (rc == VARVE_OK) {
      bool same = slice_equal(found.data, primary);
      pin_unref(found.pin);
      return same ? VARVE_OK : index_taken(b->index, key);
    }
  }
  return txn_put(t, none, buf_slice(&b->entry), unique ? primary : none);
}

static int index_builder_row(index_builder *b, txn *t, slice key, slice value) {
  size_t prefix = index_builder_prefix(b);
  slice primary = slice_make((const uint8_t *)key.data + prefix, key.size - prefix);
  TRY(index_keys_extract(&b->keys, &b->item, key, value));
  for (uint32_t i = 0; i < index_keys_count(&b->keys); i++) {
    TRY(index_builder_post(b, t, index_keys_at(&b->keys, i), primary));
  }
  return VARVE_OK;
}

/* The rows of a step; the position behind the last of them to `next`. OK, or DONE after the last row of all. */
static int index_builder_rows(index_builder *b, txn *t, buf *next, uint32_t *rows) {
  txn_iter *it;
  size_t bytes = 0;
  *rows = 0;
  TRY(txn_iter_open(t, buf_slice(&b->position), buf_slice(&b->upper), &it));
  int rc = txn_iter_first(it);
  while (rc == VARVE_OK && *rows < b->rows && bytes < BUILD_BYTES_MAX) {
    slice key = user_iter_key(txn_iter_at(it)), value = user_iter_value(txn_iter_at(it));
    rc = index_builder_row(b, t, key, value);
    if (rc < 0) break;
    bytes += key.size + value.size;
    ++*rows;
    rc = buf_set(next, key);
    if (rc >= 0) rc = buf_append_zeros(next, 1);
    /* The last one of a step is not left: what was read ends with it. */
    if (rc >= 0 && *rows < b->rows && bytes < BUILD_BYTES_MAX) rc = txn_iter_next(it);
  }
  txn_iter_close(it);
  return rc;
}

/* One step: OK or CONFLICT; b->ended after the last one. */
static int index_builder_step(index_builder *b, buf *next) {
  static const slice none = {NULL, 0};
  txn_options o = {.isolation = VARVE_SERIALIZABLE};
  txn *t;
  uint32_t rows;
  int rc = VARVE_OK;
  TRY(txn_begin(b->index->store->txns, &o, NULL, &t));
  STEP(index_builder_rows(b, t, next, &rows));
  bool ended = rc == VARVE_DONE;
  size_t prefix = index_builder_prefix(b);
  slice position = ended ? none : slice_make(next->data + prefix, next->size - prefix);
  STEP(index_def_encode(b->index, ended ? NULL : &position, &b->def_key, &b->def_value));
  STEP(txn_put(t, none, buf_slice(&b->def_key), buf_slice(&b->def_value)));
  STEP(txn_commit(t));
  if (rc != VARVE_OK) goto out;
  b->done += rows;
  b->ended = ended;
  if (!ended) STEP(buf_set(&b->position, buf_slice(next)));
out:
  txn_close(t);
  return rc;
}

INTERNAL int index_build(varve_index *ix, varve_progress progress, void *context) {
  index_builder b;
  buf next;
  int rc = VARVE_OK;
  ASSERT(ix->extract != NULL && ix->maintained);
  index_builder_init(&b, ix);
  buf_init(&next, ix->store->alloc);
  STEP(index_builder_begin(&b));
  b.ended = rc == VARVE_NOTFOUND;
  while (!b.ended) {
    STEP(index_builder_step(&b, &next));
    b.rows = rc == VARVE_CONFLICT ? MAX(b.rows / 4, 1u) : MIN(b.rows * 2, BUILD_ROWS_MAX);
    if (!b.ended && progress != NULL && progress(context, b.done, 0) != 0) {
      STEP(status_fail(VARVE_ABORTED, "the caller asked to stop; varve_index_open goes on with the index"));
    }
  }
  atomic_store_explicit(&ix->ready, true, memory_order_release);
  rc = VARVE_OK;
out:
  buf_free(&next);
  index_builder_free(&b);
  return rc;
}

#undef BUILD_ROWS_MAX
#undef BUILD_BYTES_MAX
