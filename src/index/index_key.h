/* index_key.h: the keys of an index's entries.
 *
 *   definition    01 00 'i' | name
 *   next id       01 00 'n'
 *   BTREE entry   01 00 'b' | varint index id | index key                             unique: value = primary key
 *                 01 00 'b' | varint index id | ordered index key | primary key       else: value empty
 *   HASH entry    01 00 'h' | varint index id | u64 hash, big-endian | index key                             unique
 *                 01 00 'h' | varint index id | u64 hash, big-endian | byte string index key | primary key   else
 *
 * "Ordered" makes index keys prefix-free, with their order kept: docs/FORMAT.md, "Indexes".
 */
#ifndef VARVE_INDEX_KEY_H
#define VARVE_INDEX_KEY_H

#include "base/coding.h"
#include "base/status.h"

#define INDEX_PREFIX_MAX (3 + VARINT64_SIZE_MAX)
#define INDEX_HASH_BYTES 8u

/* What an index's entries look like. */
typedef struct index_shape {
  varve_index_kind kind;
  bool unique;
  uint8_t prefix_size;
  uint8_t prefix[INDEX_PREFIX_MAX];
} index_shape;

INTERNAL void index_shape_init(index_shape *s, varve_index_kind kind, bool unique, uint64_t id);
static inline slice index_shape_prefix(const index_shape *s) {
  return slice_make(s->prefix, s->prefix_size);
}

/* Replaces `out` by what the entries of an index key begin with; of a unique index that is all of the entry's key.
 * NOMEM. */
INTERNAL int index_key_begin(const index_shape *s, slice key, buf *out);
/* The key of a posting. KEY_TOO_LARGE, NOMEM. */
INTERNAL int index_key_entry(const index_shape *s, slice key, slice primary, buf *out);

/* Makes the end of a range of entries out of its beginning: the keys that begin with the bytes are below it. */
INTERNAL void index_key_successor(buf *b);

/* What an entry says. `key` may point into `room`, else slices are into the entry. CORRUPT without a message, NOMEM. */
INTERNAL int index_key_read(const index_shape *s, slice entry, slice value, buf *room, slice *key, slice *primary);

#endif
