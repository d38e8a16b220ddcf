/* index_verify.c: an index compared with its rows, both ways, at one snapshot.
 *
 *   rows      -> for each key that the extractor tells: is its entry there, with this row?
 *   entries   -> does its row exist, and does the extractor tell this key of it?
 */
#include <stdio.h>

#include "index/index_int.h"

#define CHECK_TOLD_ROWS 4096u /* rows or entries between two calls of `progress` */
#define CHECK_KEY_SHOWN 40

typedef struct index_checker {
  varve_index *index;
  index_item item;
  varve_index_report *report;
  varve_progress progress;
  void *context;
  uint64_t seq;
  index_keys keys;
  buf entry, room, row;
} index_checker;

static size_t index_check_shown(char *out, size_t room, slice key) {
  size_t n = 0;
  for (size_t i = 0; i < MIN(key.size, (size_t)CHECK_KEY_SHOWN) && n + 5 < room; i++) {
    uint8_t c = ((const uint8_t *)key.data)[i];
    bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
    n += (size_t)snprintf(out + n, room - n, plain ? "%c" : "\\x%02x", c);
  }
  return n;
}

static void index_check_tell(index_checker *c, uint64_t *counter, const char *what, slice key, slice primary) {
  char shown[2][4 * CHECK_KEY_SHOWN + 1];
  if ((*counter)++ > 0 || c->report->first[0] != '\0') return;
  size_t a = index_check_shown(shown[0], sizeof shown[0], key),
         b = index_check_shown(shown[1], sizeof shown[1], primary);
  snprintf(c->report->first, sizeof c->report->first, "%s: key \"%.*s\", primary key \"%.*s\"", what, (int)a, shown[0],
           (int)b, shown[1]);
}

static int index_check_told(index_checker *c, uint64_t done) {
  if (done % CHECK_TOLD_ROWS != 0 || c->progress == NULL || c->progress(c->context, done, 0) == 0) return VARVE_OK;
  return status_fail(VARVE_ABORTED, "the caller asked to stop");
}

/* ---- rows ---- */

static int index_check_posting(index_checker *c, slice key, slice primary) {
  lsm_value found;
  TRY(index_key_entry(&c->index->shape, key, primary, &c->entry));
  int rc = lsm_get(c->index->store->lsm, buf_slice(&c->entry), c->seq, &found);
  if (rc < 0) return rc;
  bool right = rc == VARVE_OK && slice_equal(found.data, c->index->shape.unique ? primary : slice_make(NULL, 0));
  if (rc == VARVE_OK) pin_unref(found.pin);
  if (!right) index_check_tell(c, &c->report->missing, "a posting is missing", key, primary);
  return VARVE_OK;
}

static int index_check_row(index_checker *c, slice row, slice value, size_t prefix) {
  slice primary = slice_make((const uint8_t *)row.data + prefix, row.size - prefix);
  TRY(index_keys_extract(&c->keys, &c->item, row, value));
  for (uint32_t i = 0; i < index_keys_count(&c->keys); i++) {
    TRY(index_check_posting(c, index_keys_at(&c->keys, i), primary));
  }
  c->report->rows++;
  return index_check_told(c, c->report->rows);
}

/* The end of the keys that begin with `prefix`, in c->room. */
static int index_check_walk(index_checker *c, slice prefix, user_iter **it) {
  TRY(buf_set(&c->room, prefix));
  index_key_successor(&c->room);
  user_iter_options o = {.seq_max = c->seq, .lower = prefix, .upper = buf_slice(&c->room)};
  return lsm_iter_open(c->index->store->lsm, &o, it);
}

static int index_check_rows(index_checker *c) {
  uint8_t prefix[VARINT64_SIZE_MAX];
  size_t size = varint_put(prefix, c->index->keyspace);
  user_iter *it;
  TRY(index_check_walk(c, slice_make(prefix, size), &it));
  int rc = user_iter_first(it);
  while (rc == VARVE_OK) {
    rc = index_check_row(c, user_iter_key(it), user_iter_value(it), size);
    if (rc >= 0) rc = user_iter_next(it);
  }
  user_iter_close(it);
  return rc == VARVE_DONE ? VARVE_OK : rc;
}

/* ---- entries ---- */

static int index_check_owner(index_checker *c, slice key, slice primary) {
  uint8_t prefix[VARINT64_SIZE_MAX];
  lsm_value row;
  if (!c->index->maintained) return VARVE_OK;
  TRY(buf_set(&c->row, slice_make(prefix, varint_put(prefix, c->index->keyspace))));
  TRY(buf_append(&c->row, primary.data, primary.size));
  int rc = lsm_get(c->index->store->lsm, buf_slice(&c->row), c->seq, &row);
  if (rc < 0) return rc;
  if (rc == VARVE_NOTFOUND) {
    index_check_tell(c, &c->report->wrong, "a posting has no row", key, primary);
    return VARVE_OK;
  }
  rc = index_keys_extract(&c->keys, &c->item, buf_slice(&c->row), row.data);
  pin_unref(row.pin);
  if (rc < 0) return rc;
  if (!index_keys_have(&c->keys, key)) {
    index_check_tell(c, &c->report->wrong, "a posting's row has another key", key, primary);
  }
  return VARVE_OK;
}

static int index_check_entry(index_checker *c, slice entry, slice value) {
  slice key = {NULL, 0}, primary = {NULL, 0};
  c->report->entries++;
  int rc = index_key_read(&c->index->shape, entry, value, &c->room, &key, &primary);
  if (rc == VARVE_CORRUPT) {
    slice none = {NULL, 0};
    index_check_tell(c, &c->report->wrong, "an entry is broken", entry, none);
    return VARVE_OK;
  }
  TRY(rc);
  TRY(index_check_owner(c, key, primary));
  return index_check_told(c, c->report->entries);
}

static int index_check_entries(index_checker *c) {
  user_iter *it;
  TRY(index_check_walk(c, index_shape_prefix(&c->index->shape), &it));
  int rc = user_iter_first(it);
  while (rc == VARVE_OK) {
    rc = index_check_entry(c, user_iter_key(it), user_iter_value(it));
    if (rc >= 0) rc = user_iter_next(it);
  }
  user_iter_close(it);
  return rc == VARVE_DONE ? VARVE_OK : rc;
}

static int index_check_all(index_checker *c) {
  buf *bufs[] = {&c->entry, &c->room, &c->row};
  allocator *alloc = c->index->store->alloc;
  for (size_t i = 0; i < COUNT_OF(bufs); i++) buf_init(bufs[i], alloc);
  index_keys_init(&c->keys, alloc);
  int rc = c->index->maintained ? index_check_rows(c) : VARVE_OK;
  if (rc >= 0) rc = index_check_entries(c);
  for (size_t i = 0; i < COUNT_OF(bufs); i++) buf_free(bufs[i]);
  index_keys_free(&c->keys);
  return rc;
}

INTERNAL int index_verify(varve_index *ix, varve_index_report *report, varve_progress progress, void *context) {
  memset(report, 0, sizeof *report);
  TRY(index_check(ix));
  mutex_lock(&ix->store->change_lock);
  index_item item = {ix, ix->extract, ix->context};
  mutex_unlock(&ix->store->change_lock);
  if (ix->maintained && item.extract == NULL) {
    return status_fail(VARVE_INVALID, "the index \"%.*s\" has no extract function: give it with varve_index_open",
                       (int)ix->name_size, ix->name);
  }
  index_checker c = {.index = ix, .item = item, .report = report, .progress = progress, .context = context};
  TRY(lsm_snapshot_acquire(ix->store->lsm, &c.seq));
  int rc = index_check_all(&c);
  lsm_snapshot_release(ix->store->lsm, c.seq);
  if (rc < 0 || report->missing + report->wrong == 0) return rc;
  return status_fail(VARVE_CORRUPT, "the index \"%.*s\" does not fit its rows: %llu postings missing, %llu wrong (%s)",
                     (int)ix->name_size, ix->name, (unsigned long long)report->missing,
                     (unsigned long long)report->wrong, report->first);
}

#undef CHECK_TOLD_ROWS
#undef CHECK_KEY_SHOWN
