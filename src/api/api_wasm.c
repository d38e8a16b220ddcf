/* api_wasm.c: what JavaScript calls to open, read and write: the functions of varve.h with numbers for arguments, many
 * gets and a whole batch in one crossing each. api_wasm.h says what lies where.
 */
#include "api/api_wasm.h"

static wasm_shared wasm_instance;
static bool wasm_ready;
static varve_batch *wasm_batch;
static varve_value wasm_held; /* of the last get of a large value, until db_release */

INTERNAL wasm_shared *wasm_state(void) {
  return &wasm_instance;
}

/* True when no byte is above 127: eight at a time. */
static bool wasm_is_ascii(const uint8_t *p, size_t size) {
  uint64_t seen = 0;
  size_t i = 0;
  for (; i + 8 <= size; i += 8) {
    uint64_t word;
    memcpy(&word, p + i, 8);
    seen |= word;
  }
  for (; i < size; i++) seen |= p[i];
  return (seen & UINT64_C(0x8080808080808080)) == 0;
}

INTERNAL uint32_t wasm_size_word(const void *data, size_t size) {
  ASSERT(size <= VARVE_VALUE_SIZE_MAX);
  return (uint32_t)size | (wasm_is_ascii(data, size) ? ABI_ASCII : 0);
}

INTERNAL uint32_t wasm_padding(size_t size) {
  return (uint32_t)(-size & 3u);
}

/* ---- Memory ---- */

WASM_EXPORT("abi") int wasm_abi(void) {
  if (!wasm_ready) {
    allocator_init_libc(&wasm_state()->alloc);
    buf_init(&wasm_state()->stage, &wasm_state()->alloc);
    buf_init(&wasm_state()->page, &wasm_state()->alloc);
    wasm_ready = true;
  }
  return ABI_VERSION;
}

/* Where the io block is: out[0..3] = key, small, out, number. */
WASM_EXPORT("io") uint32_t *wasm_io_address(void) {
  ASSERT(wasm_ready);
  wasm_state()->io.out[0] = (uint32_t)(uintptr_t)wasm_state()->io.key;
  wasm_state()->io.out[1] = (uint32_t)(uintptr_t)wasm_state()->io.small;
  wasm_state()->io.out[2] = (uint32_t)(uintptr_t)wasm_state()->io.out;
  wasm_state()->io.out[3] = (uint32_t)(uintptr_t)wasm_state()->io.number;
  return wasm_state()->io.out;
}

/* Makes the stage hold `capacity` bytes, keeping the first `used`. out[0] = address, out[1] = capacity. */
WASM_EXPORT("stage") int wasm_stage_reserve(uint32_t used, uint32_t capacity) {
  ASSERT(wasm_ready && used <= wasm_state()->stage.capacity && used <= capacity);
  wasm_state()->stage.size = used;
  TRY(buf_reserve(&wasm_state()->stage, capacity - used));
  wasm_state()->io.out[0] = (uint32_t)(uintptr_t)wasm_state()->stage.data;
  wasm_state()->io.out[1] = (uint32_t)wasm_state()->stage.capacity;
  return VARVE_OK;
}

/* Gives a stage back that one large write made large. */
WASM_EXPORT("unstage") void wasm_stage_trim(void) {
  if (wasm_state()->stage.capacity > WASM_KEEP) buf_free(&wasm_state()->stage);
  if (wasm_state()->page.capacity > 4 * WASM_KEEP) buf_free(&wasm_state()->page);
}

WASM_EXPORT("errmsg") const char *wasm_errmsg(varve_db *db) {
  return varve_errmsg(db);
}

WASM_EXPORT("version") const char *wasm_version(void) {
  return varve_version();
}

/* ---- Open and close ---- */

INTERNAL const char *wasm_path(uint8_t *data, uint32_t size) {
  ASSERT(size < ABI_KEY_ROOM);
  data[size] = '\0';
  return (const char *)data;
}

/* The path is in io.key, the options in io.number in this order. out[0] = the database. */
WASM_EXPORT("db_open") int wasm_db_open(uint32_t path_size) {
  const double *n = wasm_state()->io.number;
  uint32_t flags = (uint32_t)n[0];
  varve_options o = {
      .read_only = (flags & ABI_READ_ONLY) != 0,
      .must_exist = (flags & ABI_MUST_EXIST) != 0,
      .must_not_exist = (flags & ABI_MUST_NOT_EXIST) != 0,
      .no_thread = true,
      .no_mmap = true,
      .durability = (varve_durability)(uint32_t)n[1],
      .compression = (varve_compression)(uint32_t)n[2],
      .sync_interval_ms = (uint32_t)n[3],
      .lock_wait_ms = (uint32_t)n[4],
      .memory_bytes = (uint64_t)n[5],
      .memtable_bytes = (uint64_t)n[6],
      .table_bytes = (uint32_t)n[7],
      .block_bytes = (uint32_t)n[8],
      .bloom_bits = (uint32_t)n[9],
      .l0_runs = (uint32_t)n[10],
      .level_fanout = (uint32_t)n[11],
  };
  varve_db *db = NULL;
  wasm_state()->io.out[0] = 0;
  TRY(varve_open(wasm_path(wasm_state()->io.key, path_size), &o, &db));
  ASSERT(db != NULL);
  wasm_state()->io.out[0] = (uint32_t)(uintptr_t)db;
  return VARVE_OK;
}

WASM_EXPORT("db_close") int wasm_db_close(varve_db *db) {
  varve_value_release(&wasm_held);
  TRY(varve_close(db));
  varve_batch_destroy(wasm_batch);
  wasm_batch = NULL;
  buf_free(&wasm_state()->stage);
  buf_free(&wasm_state()->page);
  return VARVE_OK;
}

/* ---- Reading one or many ---- */

/* Lends a value of up to ABI_SMALL bytes in io.small, a larger one until db_release. */
INTERNAL int wasm_give(varve_value *value) {
  ASSERT(value->size <= VARVE_VALUE_SIZE_MAX);
  uint32_t size = (uint32_t)value->size;
  wasm_state()->io.out[1] = wasm_is_ascii(value->data, size);
  if (LIKELY(size <= ABI_SMALL)) {
    if (size > 0) memcpy(wasm_state()->io.small, value->data, size);
    varve_value_release(value);
    wasm_state()->io.out[0] = (uint32_t)(uintptr_t)wasm_state()->io.small;
    wasm_state()->io.out[2] = 0;
    return (int)size;
  }
  varve_value_release(&wasm_held);
  wasm_held = *value;
  wasm_state()->io.out[0] = (uint32_t)(uintptr_t)value->data;
  wasm_state()->io.out[2] = 1;
  return (int)size;
}

/* Here and below: `txn` NULL = the database itself. */
static int wasm_find(varve_db *db, varve_txn *txn, slice key, const varve_read_options *o, varve_value *value) {
  return txn == NULL ? varve_get(db, key, o, value) : varve_txn_get(txn, key, o, value);
}

/* The key is in io.key. Returns the value's size, or ABI_ABSENT. out[0] = where it is, out[1] = 1 when all ASCII,
 * out[2] = 1 when db_release must be called once it was read. */
WASM_EXPORT("db_get")
int wasm_db_get(varve_db *db, varve_txn *txn, varve_keyspace *keyspace, varve_snapshot *snapshot, uint32_t key_size) {
  varve_read_options o = {snapshot, keyspace};
  varve_value value = {NULL, 0, NULL};
  int rc = wasm_find(db, txn, slice_make(wasm_state()->io.key, key_size), &o, &value);
  if (rc != VARVE_OK) return rc == VARVE_NOTFOUND ? ABI_ABSENT : rc;
  return wasm_give(&value);
}

WASM_EXPORT("db_release") void wasm_db_release(void) {
  varve_value_release(&wasm_held);
}

/* 1 = there is one, 0 = none. */
WASM_EXPORT("db_has")
int wasm_db_has(varve_db *db, varve_txn *txn, varve_keyspace *keyspace, varve_snapshot *snapshot, uint32_t key_size) {
  varve_read_options o = {snapshot, keyspace};
  slice key = slice_make(wasm_state()->io.key, key_size);
  int rc = txn == NULL ? varve_has(db, key, &o) : varve_txn_has(txn, key, &o);
  return rc < 0 ? rc : rc == VARVE_OK;
}

INTERNAL int wasm_page_put(const void *data, size_t size) {
  TRY(buf_append(&wasm_state()->page, data, size));
  return buf_append_zeros(&wasm_state()->page, wasm_padding(size));
}

INTERNAL int wasm_page_result(const buf *page) {
  wasm_state()->io.out[0] = (uint32_t)(uintptr_t)page->data;
  wasm_state()->io.out[1] = (uint32_t)page->size;
  return VARVE_OK;
}

/* Looks up the keys in stage[at .. end), each u32 size, bytes, padding, until `budget` bytes of values were found. The
 * page holds a u32 size (ABI_MISSING = none), bytes, padding for each. out[0], out[1] = the page, out[2] = how many
 * keys were looked up, out[3] = where in the stage the next one begins. */
WASM_EXPORT("db_get_many")
int wasm_db_get_many(varve_db *db, varve_txn *txn, varve_keyspace *keyspace, varve_snapshot *snapshot, uint32_t at,
                     uint32_t end, uint32_t budget) {
  varve_read_options o = {snapshot, keyspace};
  reader r = reader_of(wasm_stage_slice(at, end));
  uint32_t count = 0;
  buf_clear(&wasm_state()->page);
  while (reader_left(&r) > 0 && wasm_state()->page.size < budget) {
    uint32_t size;
    slice key, padding;
    if (!read_u32(&r, &size) || !read_bytes(&r, size, &key) || !read_bytes(&r, wasm_padding(size), &padding)) {
      return status_fail(VARVE_INVALID, "the list of keys is cut short at byte %u", (unsigned)(end - reader_left(&r)));
    }
    varve_value value = {NULL, 0, NULL};
    int rc = wasm_find(db, txn, key, &o, &value);
    uint32_t word = rc == VARVE_OK ? wasm_size_word(value.data, value.size) : ABI_MISSING;
    if (rc >= 0) rc = buf_append_u32(&wasm_state()->page, word);
    if (rc >= 0) rc = wasm_page_put(value.data, value.size);
    varve_value_release(&value);
    if (rc < 0) return rc;
    count++;
  }
  wasm_state()->io.out[2] = count;
  wasm_state()->io.out[3] = end - (uint32_t)reader_left(&r);
  return wasm_page_result(&wasm_state()->page);
}

/* ---- Writing ---- */

INTERNAL slice wasm_stage_slice(uint32_t at, uint32_t end) {
  ASSERT(at <= end && end <= wasm_state()->stage.capacity);
  return slice_make(at == end ? NULL : wasm_state()->stage.data + at, end - at);
}

INTERNAL int wasm_change_read(reader *r, uint32_t end, wasm_change *c) {
  uint32_t keyspace, key_size, value_size;
  slice padding;
  if (!read_u32(r, &c->kind) || !read_u32(r, &keyspace) || !read_u32(r, &key_size) || !read_u32(r, &value_size) ||
      !read_bytes(r, key_size, &c->key) || !read_bytes(r, value_size, &c->value) ||
      !read_bytes(r, wasm_padding(key_size + value_size), &padding)) {
    return status_fail(VARVE_INVALID, "the list of changes is cut short at byte %u", (unsigned)(end - reader_left(r)));
  }
  if (c->kind > ABI_OP_CLEAR) return status_fail(VARVE_INVALID, "a change has the unknown kind %u", (unsigned)c->kind);
  c->keyspace = (varve_keyspace *)(uintptr_t)keyspace;
  return VARVE_OK;
}

static int wasm_batch_add(reader *r, uint32_t end) {
  wasm_change c;
  TRY(wasm_change_read(r, end, &c));
  switch (c.kind) {
    case ABI_OP_PUT:
      return varve_batch_put(wasm_batch, c.keyspace, c.key, c.value);
    case ABI_OP_DEL:
      return varve_batch_delete(wasm_batch, c.keyspace, c.key);
    default:
      return varve_batch_delete_range(wasm_batch, c.keyspace, c.key, c.value);
  }
}

/* Commits the changes in stage[at .. end) as one batch. */
WASM_EXPORT("db_write") int wasm_db_write(varve_db *db, uint32_t at, uint32_t end, int durability) {
  if (wasm_batch == NULL) TRY(varve_batch_create(&wasm_batch));
  varve_batch_clear(wasm_batch);
  reader r = reader_of(wasm_stage_slice(at, end));
  while (reader_left(&r) > 0) TRY(wasm_batch_add(&r, end));
  varve_write_options o = {(varve_durability)durability, NULL};
  int rc = varve_write(db, wasm_batch, &o);
  if (end > WASM_KEEP) {
    varve_batch_destroy(wasm_batch);
    wasm_batch = NULL;
  }
  return rc;
}

WASM_EXPORT("db_sync") int wasm_db_sync(varve_db *db) {
  return varve_sync(db);
}

/* Background work for a while. 1 = there is more. */
WASM_EXPORT("db_work") int wasm_db_work(varve_db *db, double budget) {
  ASSERT(budget >= 0);
  bool more = false;
  TRY(varve_work(db, (uint64_t)budget, &more));
  return more;
}
