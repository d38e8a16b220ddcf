/* api_wasm_value.c: large values in pieces, so that neither side holds a second copy of one.
 *
 * On its way in a value is written where a batch of one change has it: the change is made with an empty value, behind
 * which the pieces follow as they come; the value's size goes before it when it is known, at the commit:
 *
 *     kind  key size  key  .....  value     ..... is room for the largest size; a smaller one moves the value up
 *                          ^head  ^head + WASM_SIZE_ROOM
 *
 * On its way out a value is pinned, and read where it is.
 */
#include "api/api_wasm.h"

#include "lsm/batch.h"

#define WASM_SIZE_ROOM 5u /* of a varint up to VARVE_VALUE_SIZE_MAX */

typedef struct wasm_put {
  varve_batch *batch;
  size_t head;   /* where the value's size goes */
  size_t size;   /* of the value so far */
  uint8_t width; /* of the size, which is known from the beginning; 0 = it is not */
} wasm_put;

WASM_EXPORT("put_close") void wasm_put_close(wasm_put *p) {
  ASSERT(p != NULL);
  varve_batch_destroy(p->batch);
  MEM_DELETE(&wasm_state()->alloc, p);
}

static size_t wasm_put_at(const wasm_put *p) {
  return p->head + (p->width > 0 ? p->width : WASM_SIZE_ROOM);
}

/* The key is in io.key; size < 0 = not known yet. out[0] = the value in the making. */
WASM_EXPORT("put_open") int wasm_put_open(varve_keyspace *keyspace, uint32_t key_size, double size) {
  wasm_put *p = MEM_NEW(&wasm_state()->alloc, wasm_put);
  if (p == NULL) return mem_fail(sizeof *p, "a value");
  ASSERT(size <= VARVE_VALUE_SIZE_MAX);
  int rc = VARVE_OK;
  STEP(varve_batch_create(&p->batch));
  STEP(varve_batch_put(p->batch, keyspace, slice_make(wasm_state()->io.key, key_size), slice_make(NULL, 0)));
  buf *ops = &p->batch->ops;
  p->head = ops->size - 1;
  p->width = size < 0 ? 0 : (uint8_t)varint_size((uint64_t)size);
  ASSERT(p->width <= WASM_SIZE_ROOM);
  ops->size = p->head;
  STEP(buf_reserve(ops, WASM_SIZE_ROOM + (size > 0 ? (size_t)size : 0)));
  ops->size = wasm_put_at(p);
  wasm_state()->io.out[0] = (uint32_t)(uintptr_t)p;
  p = NULL;
out:
  if (p != NULL) wasm_put_close(p);
  return rc;
}

/* Room for `size` more bytes: doubled, but to no more than the largest value takes. */
static int wasm_put_grow(wasm_put *p, size_t size) {
  buf *ops = &p->batch->ops;
  size_t need = ops->size + size, most = wasm_put_at(p) + VARVE_VALUE_SIZE_MAX;
  ASSERT(need <= most);
  if (need <= ops->capacity) return VARVE_OK;
  size_t capacity = MIN(MAX(need, 2 * ops->capacity), most);
  uint8_t *data = mem_resize(ops->alloc, ops->data, ops->capacity, capacity);
  if (data == NULL) return mem_fail(capacity, "a value");
  ops->data = data;
  ops->capacity = capacity;
  return VARVE_OK;
}

/* Makes the value `size` bytes longer. out[0] = where they go, until the next call. */
WASM_EXPORT("put_add") int wasm_put_add(wasm_put *p, uint32_t size) {
  buf *ops = &p->batch->ops;
  ASSERT(ops->size == wasm_put_at(p) + p->size);
  if (size > VARVE_VALUE_SIZE_MAX - p->size) {
    return status_fail(VARVE_VALUE_TOO_LARGE, "a value may have at most 1 GiB; this one has more: split it over keys");
  }
  TRY(wasm_put_grow(p, size));
  wasm_state()->io.out[0] = (uint32_t)(uintptr_t)(ops->data + ops->size);
  ops->size += size;
  p->size += size;
  return VARVE_OK;
}

/* Commits the value. out[0] = where it is, until put_close. */
WASM_EXPORT("put_commit") int wasm_put_commit(varve_db *db, wasm_put *p, int durability) {
  buf *ops = &p->batch->ops;
  size_t width = varint_size(p->size), from = wasm_put_at(p);
  ASSERT(p->width == 0 || p->width == width);
  ASSERT(ops->size == from + p->size && p->head + width <= from);
  if (p->head + width < from) memmove(ops->data + p->head + width, ops->data + from, p->size);
  (void)varint_put(ops->data + p->head, p->size);
  ops->size = p->head + width + p->size;
  p->width = (uint8_t)width;
  wasm_state()->io.out[0] = (uint32_t)(uintptr_t)(ops->data + p->head + width);
  varve_write_options o = {(varve_durability)durability, NULL};
  return varve_write(db, p->batch, &o);
}

/* The key is in io.key. Returns ABI_ABSENT, or the value's size; out[0] = the handle, out[1] = where the value is until
 * value_close. */
WASM_EXPORT("value_open")
int wasm_value_open(varve_db *db, varve_keyspace *keyspace, varve_snapshot *snapshot, uint32_t key_size) {
  varve_read_options o = {snapshot, keyspace};
  varve_value *value = MEM_NEW(&wasm_state()->alloc, varve_value);
  if (value == NULL) return mem_fail(sizeof *value, "a value");
  int rc = varve_get(db, slice_make(wasm_state()->io.key, key_size), &o, value);
  if (rc != VARVE_OK) {
    MEM_DELETE(&wasm_state()->alloc, value);
    return rc == VARVE_NOTFOUND ? ABI_ABSENT : rc;
  }
  ASSERT(value->size <= VARVE_VALUE_SIZE_MAX);
  wasm_state()->io.out[0] = (uint32_t)(uintptr_t)value;
  wasm_state()->io.out[1] = (uint32_t)(uintptr_t)value->data;
  return (int)value->size;
}

WASM_EXPORT("value_close") void wasm_value_close(varve_value *value) {
  ASSERT(value != NULL);
  varve_value_release(value);
  MEM_DELETE(&wasm_state()->alloc, value);
}

#undef WASM_SIZE_ROOM
