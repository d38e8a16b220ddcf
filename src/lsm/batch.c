/* batch.c: changes appended to a buf, and read back from bytes that may be hostile. Format: batch.h.
 *
 * Invariants
 *   1. A batch holds whole operations only: room for all of one is made before its first byte is written.
 *   2. What batch_read accepts is what batch_put, batch_delete and batch_delete_range write, in their only encoding.
 */
#include "lsm/batch.h"

INTERNAL void batch_init(batch *b, allocator *alloc) {
  buf_init(&b->ops, alloc);
  buf_init(&b->owners, alloc);
  b->count = 0;
}

INTERNAL void batch_free(batch *b) {
  buf_free(&b->ops);
  buf_free(&b->owners);
  b->count = 0;
}

/* Room for `bytes` more, which may be more than a size_t holds. */
static int batch_make_room(batch *b, uint64_t bytes) {
  ASSERT(b->ops.size <= BATCH_BYTES_MAX);
  if (bytes > BATCH_BYTES_MAX - b->ops.size) {
    return status_fail(VARVE_LIMIT,
                       "a batch holds at most %u bytes: it has %zu and %llu more were to come; write it in parts",
                       BATCH_BYTES_MAX, b->ops.size, (unsigned long long)bytes);
  }
  return buf_reserve(&b->ops, (size_t)bytes);
}

/* These write where batch_make_room made room. */
static void batch_push_size(batch *b, size_t size) {
  b->ops.size += varint_put(b->ops.data + b->ops.size, size);
}

static void batch_push_bytes(batch *b, slice s) {
  if (s.size == 0) return; /* s.data may be NULL */
  memcpy(b->ops.data + b->ops.size, s.data, s.size);
  b->ops.size += s.size;
}

static int batch_push(batch *b, entry_kind kind, slice prefix, slice key, const slice *second) {
  uint64_t key_size = (uint64_t)prefix.size + key.size;
  ASSERT(key_size > 0 && key_size <= INNER_KEY_MAX);
  uint64_t bytes = 1 + varint_size(key_size) + key_size;
  if (second != NULL) bytes += (uint64_t)varint_size(second->size) + second->size;
  TRY(batch_make_room(b, bytes));
  size_t end = b->ops.size + (size_t)bytes;
  b->ops.data[b->ops.size++] = (uint8_t)kind;
  batch_push_size(b, (size_t)key_size);
  batch_push_bytes(b, prefix);
  batch_push_bytes(b, key);
  if (second != NULL) {
    batch_push_size(b, second->size);
    batch_push_bytes(b, *second);
  }
  ASSERT(b->ops.size == end && end <= b->ops.capacity);
  b->count++;
  return VARVE_OK;
}

INTERNAL int batch_put(batch *b, slice prefix, slice key, slice value) {
  ASSERT(value.size <= VARVE_VALUE_SIZE_MAX);
  return batch_push(b, KIND_PUT, prefix, key, &value);
}

INTERNAL int batch_delete(batch *b, slice prefix, slice key) {
  return batch_push(b, KIND_DELETE, prefix, key, NULL);
}

INTERNAL int batch_delete_range(batch *b, slice begin, slice end) {
  ASSERT(slice_compare(begin, end) < 0);
  ASSERT(end.size <= INNER_KEY_MAX);
  return batch_push(b, KIND_RANGE_DELETE, slice_make(NULL, 0), begin, &end);
}

INTERNAL int batch_read(reader *r, batch_op *op) {
  if (reader_left(r) == 0) return 0;
  reader ahead = *r;
  uint8_t kind;
  if (!read_u8(&ahead, &kind)) return VARVE_CORRUPT;
  if (!read_slice(&ahead, INNER_KEY_MAX, &op->key) || op->key.size == 0) return VARVE_CORRUPT;
  switch (kind) {
    case KIND_PUT:
      if (!read_slice(&ahead, VARVE_VALUE_SIZE_MAX, &op->value)) return VARVE_CORRUPT;
      break;
    case KIND_DELETE:
      op->value = slice_make(NULL, 0);
      break;
    case KIND_RANGE_DELETE:
      if (!read_slice(&ahead, INNER_KEY_MAX, &op->value)) return VARVE_CORRUPT;
      if (slice_compare(op->key, op->value) >= 0) return VARVE_CORRUPT;
      break;
    default:
      return VARVE_CORRUPT;
  }
  ASSERT(ahead.at > r->at && ahead.at <= r->end);
  op->kind = (entry_kind)kind;
  *r = ahead;
  return 1;
}
