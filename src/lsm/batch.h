/* batch.h: a list of changes; its bytes are the body of a log frame.
 *
 *   op := u8 kind (entry_kind) | varint key size | key | varint value size | value      (PUT)
 *                              | varint key size | key                                  (DELETE)
 *                              | varint begin size | begin | varint end size | end      (RANGE_DELETE)
 *   Keys are inner keys, never empty. begin < end.
 */
#ifndef VARVE_BATCH_H
#define VARVE_BATCH_H

#include "base/coding.h"
#include "lsm/entry.h"

struct varve_batch {
  buf ops;
  uint32_t count;
  buf owners; /* the api's: the keyspaces that it names, to be checked at the commit */
};
typedef struct varve_batch batch;

INTERNAL void batch_init(batch *b, allocator *alloc);
INTERNAL void batch_free(batch *b);
static inline void batch_clear(batch *b) {
  buf_clear(&b->ops);
  buf_clear(&b->owners);
  b->count = 0;
}

/* `prefix` (the keyspace's id) and `key` are joined to the inner key. LIMIT beyond BATCH_BYTES_MAX, NOMEM; the
 * batch is unchanged on failure. */
INTERNAL int batch_put(batch *b, slice prefix, slice key, slice value);
INTERNAL int batch_delete(batch *b, slice prefix, slice key);
INTERNAL int batch_delete_range(batch *b, slice begin, slice end); /* inner keys; begin < end */

typedef struct batch_op {
  entry_kind kind;
  slice key;   /* begin of a range */
  slice value; /* end of a range; empty for a delete */
} batch_op;

/* Walks the ops of hostile bytes: 1 = an op, 0 = the end, < 0 = CORRUPT (no message: the caller knows the file). The
 * slices are borrowed from the reader's bytes. */
INTERNAL int batch_read(reader *r, batch_op *op);

#endif
