/* txn_write.c: a transaction's writes: a batch, and the memtable over the database that answers reads of them.
 *
 * The memtable is made when a read asks for it and then brought up to date, so a transaction that only writes has none.
 * Operation i of the batch has the sequence TXN_SEQ_BASE + i in it.
 */
#include "txn/txn_int.h"

INTERNAL int txn_writing(txn *t, batch **writes) {
  TRY(txn_check(t));
  if (UNLIKELY(t->read_only)) return status_fail(VARVE_READONLY, "the transaction was begun for reading only");
  t->touched = true;
  *writes = &t->writes;
  return VARVE_OK;
}

INTERNAL int txn_put(txn *t, slice prefix, slice key, slice value) {
  batch *b;
  TRY(txn_writing(t, &b));
  return batch_put(b, prefix, key, value);
}

INTERNAL int txn_delete(txn *t, slice prefix, slice key) {
  batch *b;
  TRY(txn_writing(t, &b));
  return batch_delete(b, prefix, key);
}

INTERNAL int txn_delete_range(txn *t, slice begin, slice end) {
  batch *b;
  TRY(txn_writing(t, &b));
  return batch_delete_range(b, begin, end);
}

INTERNAL const batch *txn_writes(const txn *t) {
  return &t->writes;
}

INTERNAL int txn_overlay(txn *t) {
  ASSERT(t->writes.count > 0 && t->overlay_count <= t->writes.count && t->overlay_size <= t->writes.ops.size);
  uint32_t count = t->writes.count - t->overlay_count;
  if (count == 0) return VARVE_OK;
  if (t->overlay == NULL) TRY(memtable_create(t->store->env->alloc, &t->overlay));
  slice ops = slice_make(t->writes.ops.data + t->overlay_size, t->writes.ops.size - t->overlay_size);
  TRY(lsm_reserve(t->overlay, ops, count));
  lsm_apply(t->overlay, ops, TXN_SEQ_BASE + t->overlay_count);
  t->overlay_count = t->writes.count;
  t->overlay_size = t->writes.ops.size;
  return VARVE_OK;
}

INTERNAL void txn_overlay_drop(txn *t) {
  t->overlay_count = 0;
  t->overlay_size = 0;
  if (t->overlay == NULL || memtable_reset(t->overlay)) return;
  pin_unref(memtable_pin(t->overlay)); /* an iterator or a value has it */
  t->overlay = NULL;
}
