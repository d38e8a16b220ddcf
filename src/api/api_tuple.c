/* api_tuple.c: tuples of varve.h: what a caller gives is checked here, the bytes are tuple.c's. */
#include "api/api_int.h"

#include "index/tuple.h"

VARVE_API void varve_tuple_begin(varve_tuple *t, void *data, size_t room) {
  if (t == NULL) return;
  memset(t, 0, sizeof *t);
  t->data = data;
  t->room = data == NULL ? 0 : room;
}

VARVE_API int varve_tuple_put(varve_tuple *t, const varve_tuple_element *element) {
  if (t == NULL || element == NULL) return status_fail(VARVE_INVALID, "the tuple or its element is NULL");
  if (t->size > t->room) return status_fail(VARVE_INVALID, "the tuple was not begun with varve_tuple_begin");
  if (element->bytes.data == NULL && element->bytes.size > 0) {
    return status_fail(VARVE_INVALID, "the element's data is NULL");
  }
  return tuple_put(t, element);
}

VARVE_API varve_slice varve_tuple_slice(const varve_tuple *t) {
  return t == NULL ? slice_make(NULL, 0) : slice_make(t->data, t->size);
}

VARVE_API void varve_tuple_read(varve_tuple_reader *r, varve_slice bytes, void *scratch, size_t scratch_size) {
  if (r == NULL) return;
  memset(r, 0, sizeof *r);
  r->data = bytes.data;
  r->size = bytes.data == NULL ? 0 : bytes.size;
  r->scratch = scratch;
  r->scratch_size = scratch == NULL ? 0 : scratch_size;
}

VARVE_API int varve_tuple_next(varve_tuple_reader *r, varve_tuple_element *element) {
  if (r == NULL || element == NULL) return status_fail(VARVE_INVALID, "the reader or its element is NULL");
  if (r->at > r->size || r->scratch_used > r->scratch_size) {
    return status_fail(VARVE_INVALID, "the reader was not begun with varve_tuple_read");
  }
  return tuple_next(r, element);
}
