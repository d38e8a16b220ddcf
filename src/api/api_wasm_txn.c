/* api_wasm_txn.c: transactions for JavaScript. What reads and walks does so in the functions of the database, which
 * take a transaction besides; here is what begins, writes and ends one. One thread, so nobody waits for a lock here:
 * JavaScript tries again when another transaction has ended.
 */
#include "api/api_wasm.h"

#include "api/api_int.h"
#include "txn/txn.h"

/* CONFLICT is above 0, where sizes are. */
static int wasm_txn_result(int rc) {
  return rc == VARVE_CONFLICT ? ABI_CONFLICT : rc;
}

/* out[0] = the transaction. */
WASM_EXPORT("txn_begin") int wasm_txn_begin(varve_db *db, int isolation, int read_only, int durability) {
  varve_txn_options o = {
      .isolation = (varve_isolation)isolation,
      .read_only = read_only != 0,
      .durability = (varve_durability)durability,
  };
  varve_txn *txn = NULL;
  TRY(varve_txn_begin(db, &o, &txn));
  ASSERT(txn != NULL);
  wasm_state()->io.out[0] = (uint32_t)(uintptr_t)txn;
  return VARVE_OK;
}

/* As db_get. */
WASM_EXPORT("txn_get_for_update")
int wasm_txn_get_for_update(varve_txn *txn, varve_keyspace *keyspace, uint32_t key_size) {
  varve_read_options o = {NULL, keyspace};
  varve_value value = {NULL, 0, NULL};
  int rc = varve_txn_get_for_update(txn, slice_make(wasm_state()->io.key, key_size), &o, &value);
  return rc == VARVE_OK ? wasm_give(&value) : rc == VARVE_NOTFOUND ? ABI_ABSENT : wasm_txn_result(rc);
}

static int wasm_txn_change(varve_txn *txn, const wasm_change *c) {
  switch (c->kind) {
    case ABI_OP_PUT:
      return varve_txn_put(txn, c->keyspace, c->key, c->value);
    case ABI_OP_DEL:
      return varve_txn_delete(txn, c->keyspace, c->key);
    default:
      ASSERT(c->kind == ABI_OP_CLEAR);
      return varve_txn_delete_range(txn, c->keyspace, c->key, c->value);
  }
}

/* Makes the changes in stage[at .. end), all or none. */
WASM_EXPORT("txn_write") int wasm_txn_write(varve_txn *txn, uint32_t at, uint32_t end) {
  reader r = reader_of(wasm_stage_slice(at, end));
  uint32_t savepoint = 0;
  TRY(varve_txn_savepoint(txn, &savepoint));
  int rc = VARVE_OK;
  while (reader_left(&r) > 0) {
    wasm_change c;
    STEP(wasm_change_read(&r, end, &c));
    STEP(wasm_txn_change(txn, &c));
  }
out:
  if (rc < 0) {
    char message[STATUS_MESSAGE_SIZE];
    status_keep_message(message);
    (void)varve_txn_rollback_to(txn, savepoint);
    status_set_message(message);
  }
  (void)varve_txn_release(txn, savepoint);
  return rc < 0 ? rc : VARVE_OK;
}

/* The savepoint's number. */
WASM_EXPORT("txn_savepoint") int wasm_txn_savepoint(varve_txn *txn) {
  uint32_t savepoint = 0;
  TRY(varve_txn_savepoint(txn, &savepoint));
  ASSERT(savepoint > 0 && savepoint <= INT32_MAX);
  return (int)savepoint;
}

WASM_EXPORT("txn_rollback_to") int wasm_txn_rollback_to(varve_txn *txn, uint32_t savepoint) {
  return varve_txn_rollback_to(txn, savepoint);
}

WASM_EXPORT("txn_release") int wasm_txn_release(varve_txn *txn, uint32_t savepoint) {
  return varve_txn_release(txn, savepoint);
}

WASM_EXPORT("txn_commit") int wasm_txn_commit(varve_txn *txn) {
  return wasm_txn_result(varve_txn_commit(txn));
}

WASM_EXPORT("txn_close") void wasm_txn_close(varve_txn *txn) {
  varve_txn_close(txn);
}

/* The handle that JavaScript has of the keyspace; NULL = the default one, or one of the engine's own. */
static varve_keyspace *wasm_keyspace_of(varve_db *db, uint64_t id) {
  varve_keyspace *k = db->keyspaces;
  while (k != NULL && (k->id != id || atomic_load(&k->dropped))) k = k->next;
  return k;
}

/* out[0] = the keyspace, out[1] = 1 when it is the engine's own, out[2], out[3] = the key, out[4] = 1 when another
 * transaction has a lock on it. */
WASM_EXPORT("txn_conflict") int wasm_txn_conflict(varve_db *db, const varve_txn *txn) {
  varve_conflict c;
  uint32_t *out = wasm_state()->io.out;
  memset(&c, 0, sizeof c);
  TRY(varve_txn_get_conflict(txn, &c));
  out[0] = (uint32_t)(uintptr_t)wasm_keyspace_of(db, c.keyspace);
  out[1] = out[0] == 0 && c.keyspace != KEYSPACE_DEFAULT;
  out[2] = (uint32_t)(uintptr_t)c.key.data;
  out[3] = (uint32_t)c.key.size;
  out[4] = c.locked;
  return VARVE_OK;
}

static int wasm_txn_put_change(varve_keyspace *keyspace, uint32_t kind, slice key, slice value) {
  buf *page = &wasm_state()->page;
  TRY(buf_append_u32(page, kind));
  TRY(buf_append_u32(page, (uint32_t)(uintptr_t)keyspace));
  TRY(buf_append_u32(page, (uint32_t)key.size));
  TRY(buf_append_u32(page, (uint32_t)value.size));
  TRY(buf_append(page, key.data, key.size));
  TRY(buf_append(page, value.data, value.size));
  return buf_append_zeros(page, wasm_padding(key.size + value.size));
}

/* A range ends in its keyspace, or with it: then nothing is left of the end. */
static slice wasm_range_end(slice end, uint64_t keyspace) {
  reader r = reader_of(end);
  uint64_t id;
  if (!read_varint64(&r, &id) || id != keyspace) return slice_make(NULL, 0);
  return slice_make(r.at, reader_left(&r));
}

/* What the transaction is about to commit, as in the stage; the page is in out[0], out[1]. */
WASM_EXPORT("txn_changes") int wasm_txn_changes(varve_db *db, varve_txn *txn) {
  reader r = reader_of(buf_slice(&txn_writes(txn)->ops));
  varve_keyspace *keyspace = NULL;
  uint64_t last = KEYSPACE_DEFAULT;
  batch_op op;
  buf_clear(&wasm_state()->page);
  while (batch_read(&r, &op) == 1) {
    reader key = reader_of(op.key);
    uint64_t id = 0;
    if (!read_varint64(&key, &id) || id == KEYSPACE_CATALOG) continue;
    if (id != last) keyspace = wasm_keyspace_of(db, id);
    last = id;
    uint32_t kind = op.kind == KIND_PUT ? ABI_OP_PUT : op.kind == KIND_DELETE ? ABI_OP_DEL : ABI_OP_CLEAR;
    slice value = op.kind == KIND_RANGE_DELETE ? wasm_range_end(op.value, id) : op.value;
    TRY(wasm_txn_put_change(keyspace, kind, slice_make(key.at, reader_left(&key)), value));
  }
  return wasm_page_result(&wasm_state()->page);
}
