/* iter.h: the one iterator contract of the engine, for memtables, blocks, tables, levels and merges.
 *
 * Moves return VARVE_OK when positioned, VARVE_DONE when there is no entry in that direction, < 0 on failure. After
 * DONE or a failure the iterator is not positioned (valid == false) and only an absolute move (first, last, seek,
 * seek_before) may follow. next and prev need a positioned iterator. Directions may be mixed freely.
 *
 * key and value are borrowed until the next move or close. An iterator sees all versions, tombstones too.
 */
#ifndef VARVE_ITER_H
#define VARVE_ITER_H

#include "lsm/entry.h"

typedef struct iter iter;

typedef struct iter_ops {
  int (*first)(iter *it);
  int (*last)(iter *it);
  int (*seek)(iter *it, slice key, uint64_t trailer); /* the first version at or after (key, trailer) */
  int (*seek_before)(iter *it, slice key);            /* the last version with a key < `key` */
  int (*next)(iter *it);
  int (*prev)(iter *it);
  void (*close)(iter *it); /* releases the struct */
} iter_ops;

/* Implementations put this first in their own structs. */
struct iter {
  const iter_ops *ops;
  bool valid;
  slice key;
  uint64_t trailer;
  slice value;
};

static inline int iter_first(iter *it) {
  return it->ops->first(it);
}
static inline int iter_last(iter *it) {
  return it->ops->last(it);
}
static inline int iter_seek(iter *it, slice key, uint64_t trailer) {
  return it->ops->seek(it, key, trailer);
}
static inline int iter_seek_before(iter *it, slice key) {
  return it->ops->seek_before(it, key);
}
static inline int iter_next(iter *it) {
  ASSERT_SLOW(it->valid);
  return it->ops->next(it);
}
static inline int iter_prev(iter *it) {
  ASSERT_SLOW(it->valid);
  return it->ops->prev(it);
}
/* NULL is allowed. */
static inline void iter_close(iter *it) {
  if (it != NULL) it->ops->close(it);
}

#endif
