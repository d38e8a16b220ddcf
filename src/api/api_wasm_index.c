/* api_wasm_index.c: indexes for JavaScript. What finds the index keys of a row there is a function that the engine
 * imports; it leaves them where index_room says, each a u32 size, bytes, padding.
 */
#include "api/api_wasm.h"

/* How many keys there are, or < 0 when it failed. `id` says which index is asked for. */
__attribute__((import_module("host"), import_name("index_extract"))) extern int host_index_extract(
    uint32_t id, const void *key, uint32_t key_size, const void *value, uint32_t value_size);

static buf wasm_emitted;

/* Where the keys of a row go. */
WASM_EXPORT("index_room") uint8_t *wasm_index_room(uint32_t size) {
  if (wasm_emitted.alloc == NULL) buf_init(&wasm_emitted, &wasm_state()->alloc);
  buf_clear(&wasm_emitted);
  if (buf_reserve(&wasm_emitted, size) < 0) return NULL;
  wasm_emitted.size = size;
  return wasm_emitted.data;
}

static int wasm_extract(void *context, varve_slice key, varve_slice value, varve_index_emit emit, void *emit_context) {
  int count =
      host_index_extract((uint32_t)(uintptr_t)context, key.data, (uint32_t)key.size, value.data, (uint32_t)value.size);
  if (count < 0) return status_fail(VARVE_ABORTED, "the function that tells a row's index keys failed");
  reader r = reader_of(count == 0 ? slice_make(NULL, 0) : buf_slice(&wasm_emitted));
  for (int i = 0; i < count; i++) {
    uint32_t size = 0;
    slice found, padding;
    bool whole = read_u32(&r, &size) && read_bytes(&r, size, &found) && read_bytes(&r, wasm_padding(size), &padding);
    ASSERT(whole);
    int rc = emit(emit_context, found);
    if (rc != VARVE_OK) return rc;
  }
  return VARVE_OK;
}

/* The name is in io.key. `extractor` 0 = a manual index. out[0] = the index. ABI_ABSENT when there is none and it is
 * not to be created. */
WASM_EXPORT("index_open")
int wasm_index_open(varve_db *db, uint32_t name_size, varve_keyspace *keyspace, int kind, int unique,
                    uint32_t extractor, int create) {
  varve_index_options o = {
      .kind = (varve_index_kind)kind,
      .unique = unique != 0,
      .keyspace = keyspace,
      .extract = extractor == 0 ? NULL : wasm_extract,
      .context = (void *)(uintptr_t)extractor,
  };
  varve_index *index = NULL;
  slice name = slice_make(wasm_state()->io.key, name_size);
  int rc = create != 0 ? varve_index_create(db, name, &o, &index) : varve_index_open(db, name, &o, &index);
  if (rc == VARVE_NOTFOUND) return ABI_ABSENT;
  TRY(rc);
  ASSERT(index != NULL);
  wasm_state()->io.out[0] = (uint32_t)(uintptr_t)index;
  return VARVE_OK;
}

/* 1 = dropped, 0 = there was none. */
WASM_EXPORT("index_drop") int wasm_index_drop(varve_db *db, uint32_t name_size) {
  int rc = varve_index_drop(db, slice_make(wasm_state()->io.key, name_size));
  return rc < 0 ? rc : rc == VARVE_OK;
}

/* As keyspace_list. */
WASM_EXPORT("index_list") int wasm_index_list(varve_db *db) {
  int kept = VARVE_OK;
  buf_clear(&wasm_state()->page);
  int rc = varve_index_list(db, wasm_name_visit, &kept);
  if (kept < 0) return kept;
  if (rc < 0) return rc;
  return wasm_page_result(&wasm_state()->page);
}

/* A JSON text in the page. */
WASM_EXPORT("index_info") int wasm_index_info(varve_index *index) {
  varve_index_info info;
  memset(&info, 0, sizeof info);
  TRY(varve_index_get_info(index, &info));
  buf_clear(&wasm_state()->page);
  TRY(wasm_text("kind", (uint64_t)info.kind, '{'));
  TRY(wasm_text("unique", info.unique, ','));
  TRY(wasm_text("maintained", info.maintained, ','));
  TRY(wasm_text("entries", info.entries, ','));
  TRY(buf_append(&wasm_state()->page, "}", 1));
  return wasm_page_result(&wasm_state()->page);
}

/* Key and primary key lie one behind the other at the start of the stage. */
WASM_EXPORT("index_insert")
int wasm_index_insert(varve_index *index, varve_txn *txn, uint32_t key_size, uint32_t primary_size) {
  slice both = wasm_stage_slice(0, key_size + primary_size);
  slice primary = slice_make((const uint8_t *)both.data + key_size, primary_size);
  return varve_index_insert(index, txn, slice_make(both.data, key_size), primary);
}

/* 1 = removed, 0 = there was none. */
WASM_EXPORT("index_remove")
int wasm_index_remove(varve_index *index, varve_txn *txn, uint32_t key_size, uint32_t primary_size) {
  slice both = wasm_stage_slice(0, key_size + primary_size);
  slice primary = slice_make((const uint8_t *)both.data + key_size, primary_size);
  int rc = varve_index_remove(index, txn, slice_make(both.data, key_size), primary);
  return rc < 0 ? rc : rc == VARVE_OK;
}

/* The primary key, as db_get's value. The index key is in the stage. */
WASM_EXPORT("index_get") int wasm_index_get(varve_index *index, varve_txn *txn, uint32_t key_size) {
  varve_value primary = {NULL, 0, NULL};
  int rc = varve_index_get(index, txn, wasm_stage_slice(0, key_size), &primary);
  if (rc != VARVE_OK) return rc == VARVE_NOTFOUND ? ABI_ABSENT : rc;
  return wasm_give(&primary);
}

/* Rows are index keys and primary keys. The bounds lie in the stage: mode 0 = one key, 1 = lower and upper, 2 = a
 * prefix. out[0] = the iterator. */
WASM_EXPORT("index_iter_open")
int wasm_index_iter_open(varve_index *index, varve_txn *txn, int mode, uint32_t first_size, uint32_t second_size,
                         int reverse) {
  slice both = wasm_stage_slice(0, first_size + second_size);
  slice first = slice_make(both.data, first_size);
  slice second = slice_make(second_size == 0 ? NULL : (const uint8_t *)both.data + first_size, second_size);
  varve_iter *iter = NULL;
  switch (mode) {
    case 0:
      TRY(varve_index_find(index, txn, first, &iter));
      break;
    case 1:
      TRY(varve_index_range(index, txn, first, second, &iter));
      break;
    default:
      TRY(varve_index_prefix(index, txn, first, &iter));
      break;
  }
  return wasm_iter_give(iter, reverse != 0);
}

WASM_EXPORT("index_rebuild") int wasm_index_rebuild(varve_index *index, int with_progress) {
  return varve_index_rebuild(index, with_progress != 0 ? wasm_progress : NULL, NULL);
}

/* As db_verify. */
WASM_EXPORT("index_verify") int wasm_index_verify(varve_index *index, int with_progress) {
  varve_index_report report;
  memset(&report, 0, sizeof report);
  buf_clear(&wasm_state()->page);
  int rc = varve_index_verify(index, &report, with_progress != 0 ? wasm_progress : NULL, NULL);
  if (rc < 0 && rc != VARVE_CORRUPT) return rc;
  if (rc == VARVE_CORRUPT && report.first[0] != '\0') status_set_message(report.first);
  TRY(wasm_text("rows", report.rows, '{'));
  TRY(wasm_text("entries", report.entries, ','));
  TRY(wasm_text("missing", report.missing, ','));
  TRY(wasm_text("wrong", report.wrong, ','));
  TRY(buf_append(&wasm_state()->page, "}", 1));
  (void)wasm_page_result(&wasm_state()->page);
  return rc;
}
