/* api_wasm.c: the flat exports that JavaScript calls: the functions of varve.h with numbers for arguments, and batches,
 * many gets and pages of rows in one crossing each.
 *
 * Memory shared with JavaScript (bindings/js/src/module.js is the only file there that knows of it):
 *
 *   io.key     a key, a path or a name on its way in
 *   io.small   a value of up to SMALL bytes on its way out, so that a get is one call and holds nothing
 *   io.out     results that do not fit into the returned number
 *   io.number  options on their way in, as doubles
 *   stage      grows: changes on their way in, keys of getMany, bounds of ranges
 *   page       grows: rows and texts on their way out; an iterator has one of its own
 *
 * A change in the stage, every part little-endian and the whole padded to 4 bytes:
 *
 *   u32 kind (ABI_OP_*)   u32 keyspace   u32 key size   u32 value size   key bytes   value bytes   padding
 *
 * A row in a page: u32 key size   u32 value size   key bytes   value bytes   padding. The highest bit of a size
 * (ABI_ASCII) says that the bytes are all below 128, which JavaScript decodes faster.
 *
 * Results: negative = a failure, whose number is an enum varve_status; ABI_ABSENT = VARVE_NOTFOUND where 0 and up is a
 * size.
 *
 * Trust: module.js is part of the engine, so handles and pointers are believed; sizes inside a stage are checked all
 * the same, because they are made of what an application passed.
 */
#ifndef VARVE_API_WASM_C
#define VARVE_API_WASM_C

#include "base/buf.h"
#include "base/coding.h"
#include "base/limits.h"

#include <stdio.h>

#define ABI_VERSION        1
#define ABI_OP_PUT         0
#define ABI_OP_DEL         1
#define ABI_OP_CLEAR       2
#define ABI_KEYS           1
#define ABI_VALUES         2
#define ABI_ABSENT         (-1000)
#define ABI_MISSING        0xffffffffu
#define ABI_ASCII          0x80000000u
#define ABI_SMALL          1024
#define ABI_KEY_ROOM       65552
#define ABI_OUTS           16
#define ABI_NUMBERS        32
#define ABI_READ_ONLY      1
#define ABI_MUST_EXIST     2
#define ABI_MUST_NOT_EXIST 4

#define WASM_EXPORT(name) __attribute__((export_name(name), used, visibility("default")))
#define WASM_STAGE_KEEP   (1u << 20) /* a stage larger than this is given back after its use */

__attribute__((import_module("host"), import_name("progress"))) extern int host_progress(double done, double total);

typedef struct wasm_io_block {
  alignas(16) uint8_t key[ABI_KEY_ROOM];
  alignas(16) uint8_t small[ABI_SMALL];
  uint32_t out[ABI_OUTS];
  double number[ABI_NUMBERS];
} wasm_io_block;

typedef struct wasm_iter {
  varve_iter *iter;
  bool reverse;
  enum { WASM_AT_START, WASM_AT_ROW, WASM_AT_NEXT_ROW } at; /* AT_ROW: on a row that was not delivered yet */
  buf page;
} wasm_iter;

static wasm_io_block wasm_io;
static allocator wasm_alloc;
static bool wasm_ready;
static buf wasm_stage;
static buf wasm_page;
static varve_batch *wasm_batch;
static varve_value wasm_held; /* of the last get of a large value, until db_release */

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

static uint32_t wasm_size_word(const void *data, size_t size) {
  ASSERT(size <= VARVE_VALUE_SIZE_MAX);
  return (uint32_t)size | (wasm_is_ascii(data, size) ? ABI_ASCII : 0);
}

static uint32_t wasm_pad(uint32_t size) {
  return (4u - (size & 3u)) & 3u;
}

static int wasm_progress(void *context, uint64_t done, uint64_t total) {
  (void)context;
  return host_progress((double)done, (double)total);
}

/* ---- Memory ---- */

WASM_EXPORT("abi") int wasm_abi(void) {
  if (!wasm_ready) {
    allocator_init_libc(&wasm_alloc);
    buf_init(&wasm_stage, &wasm_alloc);
    buf_init(&wasm_page, &wasm_alloc);
    wasm_ready = true;
  }
  return ABI_VERSION;
}

/* Where the io block is: out[0..3] = key, small, out, number. */
WASM_EXPORT("io") uint32_t *wasm_io_address(void) {
  ASSERT(wasm_ready);
  wasm_io.out[0] = (uint32_t)(uintptr_t)wasm_io.key;
  wasm_io.out[1] = (uint32_t)(uintptr_t)wasm_io.small;
  wasm_io.out[2] = (uint32_t)(uintptr_t)wasm_io.out;
  wasm_io.out[3] = (uint32_t)(uintptr_t)wasm_io.number;
  return wasm_io.out;
}

/* Makes the stage hold `capacity` bytes, keeping the first `used`. out[0] = address, out[1] = capacity. */
WASM_EXPORT("stage") int wasm_stage_reserve(uint32_t used, uint32_t capacity) {
  ASSERT(wasm_ready && used <= wasm_stage.capacity && used <= capacity);
  wasm_stage.size = used;
  TRY(buf_reserve(&wasm_stage, capacity - used));
  wasm_io.out[0] = (uint32_t)(uintptr_t)wasm_stage.data;
  wasm_io.out[1] = (uint32_t)wasm_stage.capacity;
  return VARVE_OK;
}

/* Gives a stage back that one large write made large. */
WASM_EXPORT("unstage") void wasm_stage_trim(void) {
  if (wasm_stage.capacity > WASM_STAGE_KEEP) buf_free(&wasm_stage);
  if (wasm_page.capacity > 4 * WASM_STAGE_KEEP) buf_free(&wasm_page);
}

WASM_EXPORT("errmsg") const char *wasm_errmsg(varve_db *db) {
  return varve_errmsg(db);
}

WASM_EXPORT("version") const char *wasm_version(void) {
  return varve_version();
}

/* ---- Open and close ---- */

static const char *wasm_path(uint8_t *data, uint32_t size) {
  ASSERT(size < ABI_KEY_ROOM);
  data[size] = '\0';
  return (const char *)data;
}

/* The path is in io.key, the options in io.number in this order. out[0] = the database. */
WASM_EXPORT("db_open") int wasm_db_open(uint32_t path_size) {
  const double *n = wasm_io.number;
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
  wasm_io.out[0] = 0;
  TRY(varve_open(wasm_path(wasm_io.key, path_size), &o, &db));
  ASSERT(db != NULL);
  wasm_io.out[0] = (uint32_t)(uintptr_t)db;
  return VARVE_OK;
}

WASM_EXPORT("db_close") int wasm_db_close(varve_db *db) {
  varve_value_release(&wasm_held);
  TRY(varve_close(db));
  varve_batch_destroy(wasm_batch);
  wasm_batch = NULL;
  buf_free(&wasm_stage);
  buf_free(&wasm_page);
  return VARVE_OK;
}

/* ---- Reading one or many ---- */

/* The key is in io.key. Returns the value's size, or ABI_ABSENT. out[0] = where it is, out[1] = 1 when all ASCII,
 * out[2] = 1 when db_release must be called once it was read. */
WASM_EXPORT("db_get")
int wasm_db_get(varve_db *db, varve_keyspace *keyspace, varve_snapshot *snapshot, uint32_t key_size) {
  varve_read_options o = {snapshot, keyspace};
  varve_value value = {NULL, 0, NULL};
  int rc = varve_get(db, slice_make(wasm_io.key, key_size), &o, &value);
  if (rc != VARVE_OK) return rc == VARVE_NOTFOUND ? ABI_ABSENT : rc;
  ASSERT(value.size <= VARVE_VALUE_SIZE_MAX);
  uint32_t size = (uint32_t)value.size;
  wasm_io.out[1] = wasm_is_ascii(value.data, size);
  if (LIKELY(size <= ABI_SMALL)) {
    if (size > 0) memcpy(wasm_io.small, value.data, size);
    varve_value_release(&value);
    wasm_io.out[0] = (uint32_t)(uintptr_t)wasm_io.small;
    wasm_io.out[2] = 0;
    return (int)size;
  }
  varve_value_release(&wasm_held);
  wasm_held = value;
  wasm_io.out[0] = (uint32_t)(uintptr_t)value.data;
  wasm_io.out[2] = 1;
  return (int)size;
}

WASM_EXPORT("db_release") void wasm_db_release(void) {
  varve_value_release(&wasm_held);
}

/* 1 = there is one, 0 = none. */
WASM_EXPORT("db_has")
int wasm_db_has(varve_db *db, varve_keyspace *keyspace, varve_snapshot *snapshot, uint32_t key_size) {
  varve_read_options o = {snapshot, keyspace};
  int rc = varve_has(db, slice_make(wasm_io.key, key_size), &o);
  return rc < 0 ? rc : rc == VARVE_OK;
}

static int wasm_page_put(buf *page, const void *data, size_t size) {
  TRY(buf_append(page, data, size));
  return buf_append_zeros(page, wasm_pad((uint32_t)size));
}

static int wasm_page_result(const buf *page) {
  wasm_io.out[0] = (uint32_t)(uintptr_t)page->data;
  wasm_io.out[1] = (uint32_t)page->size;
  return VARVE_OK;
}

/* Looks up the keys in stage[at .. end), each u32 size, bytes, padding, until `budget` bytes of values were found. The
 * page holds a u32 size (ABI_MISSING = none), bytes, padding for each. out[0], out[1] = the page, out[2] = how many
 * keys were looked up, out[3] = where in the stage the next one begins. */
WASM_EXPORT("db_get_many")
int wasm_db_get_many(varve_db *db, varve_keyspace *keyspace, varve_snapshot *snapshot, uint32_t at, uint32_t end,
                     uint32_t budget) {
  ASSERT(at <= end && end <= wasm_stage.capacity);
  varve_read_options o = {snapshot, keyspace};
  reader r = reader_of(slice_make(wasm_stage.data + at, end - at));
  uint32_t count = 0;
  buf_clear(&wasm_page);
  while (reader_left(&r) > 0 && wasm_page.size < budget) {
    uint32_t size;
    slice key, padding;
    if (!read_u32(&r, &size) || !read_bytes(&r, size, &key) || !read_bytes(&r, wasm_pad(size), &padding)) {
      return status_fail(VARVE_INVALID, "the list of keys is cut short at byte %u", (unsigned)(end - reader_left(&r)));
    }
    varve_value value = {NULL, 0, NULL};
    int rc = varve_get(db, key, &o, &value);
    uint32_t word = rc == VARVE_OK ? wasm_size_word(value.data, value.size) : ABI_MISSING;
    if (rc >= 0) rc = buf_append_u32(&wasm_page, word);
    if (rc >= 0) rc = wasm_page_put(&wasm_page, value.data, value.size);
    varve_value_release(&value);
    if (rc < 0) return rc;
    count++;
  }
  wasm_io.out[2] = count;
  wasm_io.out[3] = end - (uint32_t)reader_left(&r);
  return wasm_page_result(&wasm_page);
}

/* ---- Writing ---- */

static int wasm_batch_add(reader *r, uint32_t end) {
  uint32_t kind, keyspace, key_size, value_size;
  slice key, value, padding;
  if (!read_u32(r, &kind) || !read_u32(r, &keyspace) || !read_u32(r, &key_size) || !read_u32(r, &value_size) ||
      !read_bytes(r, key_size, &key) || !read_bytes(r, value_size, &value) ||
      !read_bytes(r, wasm_pad(key_size + value_size), &padding)) {
    return status_fail(VARVE_INVALID, "the list of changes is cut short at byte %u", (unsigned)(end - reader_left(r)));
  }
  varve_keyspace *space = (varve_keyspace *)(uintptr_t)keyspace;
  switch (kind) {
    case ABI_OP_PUT:
      return varve_batch_put(wasm_batch, space, key, value);
    case ABI_OP_DEL:
      return varve_batch_delete(wasm_batch, space, key);
    case ABI_OP_CLEAR:
      return varve_batch_delete_range(wasm_batch, space, key, value);
    default:
      return status_fail(VARVE_INVALID, "a change has the unknown kind %u", (unsigned)kind);
  }
}

/* Commits the changes in stage[at .. end) as one batch. */
WASM_EXPORT("db_write") int wasm_db_write(varve_db *db, uint32_t at, uint32_t end, int durability) {
  ASSERT(at <= end && end <= wasm_stage.capacity);
  if (wasm_batch == NULL) TRY(varve_batch_create(&wasm_batch));
  varve_batch_clear(wasm_batch);
  reader r = reader_of(slice_make(wasm_stage.data + at, end - at));
  while (reader_left(&r) > 0) TRY(wasm_batch_add(&r, end));
  varve_write_options o = {(varve_durability)durability, NULL};
  int rc = varve_write(db, wasm_batch, &o);
  if (end > WASM_STAGE_KEEP) {
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

/* ---- Iterators ---- */

/* The bounds lie one after another in the stage: lower, upper, prefix. */
static varve_iter_options wasm_range(varve_keyspace *keyspace, varve_snapshot *snapshot, uint32_t lower_size,
                                     uint32_t upper_size, uint32_t prefix_size) {
  ASSERT((uint64_t)lower_size + upper_size + prefix_size <= wasm_stage.capacity);
  const uint8_t *p = wasm_stage.data;
  varve_iter_options o = {
      .snapshot = snapshot,
      .keyspace = keyspace,
      .lower = lower_size == 0 ? slice_make(NULL, 0) : slice_make(p, lower_size),
      .upper = upper_size == 0 ? slice_make(NULL, 0) : slice_make(p + lower_size, upper_size),
      .prefix = prefix_size == 0 ? slice_make(NULL, 0) : slice_make(p + lower_size + upper_size, prefix_size),
  };
  return o;
}

/* out[0] = the iterator. */
WASM_EXPORT("iter_open")
int wasm_iter_open(varve_db *db, varve_keyspace *keyspace, varve_snapshot *snapshot, uint32_t lower_size,
                   uint32_t upper_size, uint32_t prefix_size, int reverse) {
  varve_iter_options o = wasm_range(keyspace, snapshot, lower_size, upper_size, prefix_size);
  wasm_iter *it = MEM_NEW(&wasm_alloc, wasm_iter);
  if (it == NULL) return mem_fail(sizeof *it, "an iterator");
  int rc = varve_iter_open(db, &o, &it->iter);
  if (rc < 0) {
    MEM_DELETE(&wasm_alloc, it);
    return rc;
  }
  it->reverse = reverse != 0;
  it->at = WASM_AT_START;
  buf_init(&it->page, &wasm_alloc);
  wasm_io.out[0] = (uint32_t)(uintptr_t)it;
  return VARVE_OK;
}

WASM_EXPORT("iter_close") void wasm_iter_close(wasm_iter *it) {
  ASSERT(it != NULL && it->iter != NULL);
  varve_iter_close(it->iter);
  buf_free(&it->page);
  MEM_DELETE(&wasm_alloc, it);
}

/* Moves to the first row at or after (reverse: at or before) the key in io.key. The next page begins there. */
WASM_EXPORT("iter_seek") int wasm_iter_seek(wasm_iter *it, uint32_t key_size) {
  slice key = slice_make(wasm_io.key, key_size);
  int rc = it->reverse ? varve_iter_seek_for_prev(it->iter, key) : varve_iter_seek(it->iter, key);
  if (rc < 0) return rc;
  it->at = WASM_AT_ROW;
  return VARVE_OK;
}

static int wasm_iter_move(wasm_iter *it) {
  int rc;
  if (it->at == WASM_AT_NEXT_ROW) {
    rc = it->reverse ? varve_iter_prev(it->iter) : varve_iter_next(it->iter);
  } else if (it->at == WASM_AT_START) {
    rc = it->reverse ? varve_iter_last(it->iter) : varve_iter_first(it->iter);
  } else {
    rc = varve_iter_status(it->iter);
  }
  it->at = WASM_AT_NEXT_ROW;
  return rc;
}

static int wasm_iter_row(wasm_iter *it, uint32_t mode) {
  slice key = slice_make(NULL, 0), value = slice_make(NULL, 0);
  if ((mode & ABI_KEYS) != 0) key = varve_iter_key(it->iter);
  if ((mode & ABI_VALUES) != 0) value = varve_iter_value(it->iter);
  size_t size = key.size + value.size;
  buf *page = &it->page;
  TRY(buf_reserve(page, 8 + size + 3));
  uint8_t *p = page->data + page->size;
  put_u32(p, wasm_size_word(key.data, key.size));
  put_u32(p + 4, wasm_size_word(value.data, value.size));
  if (key.size > 0) memcpy(p + 8, key.data, key.size);
  if (value.size > 0) memcpy(p + 8 + key.size, value.data, value.size);
  page->size += align_up(8 + size, 4);
  return VARVE_OK;
}

/* Fills the iterator's page with up to `rows` rows, and no further row once it holds `bytes`. Returns how many; out[0],
 * out[1] = the page, out[2] = 1 when there are no more. A failure after some rows is left for the next call. */
WASM_EXPORT("iter_page") int wasm_iter_page(wasm_iter *it, uint32_t mode, uint32_t rows, uint32_t bytes) {
  ASSERT(rows > 0 && rows <= INT32_MAX);
  uint32_t count = 0;
  wasm_io.out[2] = 0;
  if (it->page.capacity > 4 * WASM_STAGE_KEEP) buf_free(&it->page);
  buf_clear(&it->page);
  while (count < rows && it->page.size < bytes) {
    int rc = wasm_iter_move(it);
    if (rc == VARVE_DONE) {
      wasm_io.out[2] = 1;
      break;
    }
    if (rc >= 0) rc = wasm_iter_row(it, mode);
    if (rc < 0 && count == 0) return rc;
    if (rc < 0) {
      if (rc == VARVE_NOMEM) it->at = WASM_AT_ROW;
      break;
    }
    count++;
  }
  (void)wasm_page_result(&it->page);
  return (int)count;
}

/* out[0], out[1] = the low and the high half of the count. */
WASM_EXPORT("db_count")
int wasm_db_count(varve_db *db, varve_keyspace *keyspace, varve_snapshot *snapshot, uint32_t lower_size,
                  uint32_t upper_size, uint32_t prefix_size) {
  varve_iter_options o = wasm_range(keyspace, snapshot, lower_size, upper_size, prefix_size);
  uint64_t count = 0;
  TRY(varve_count(db, &o, &count));
  put_u64(wasm_io.out, count);
  return VARVE_OK;
}

/* ---- Snapshots and keyspaces ---- */

/* out[0] = the snapshot, out[2], out[3] = its sequence. */
WASM_EXPORT("snapshot_open") int wasm_snapshot_open(varve_db *db) {
  varve_snapshot *snapshot = NULL;
  TRY(varve_snapshot_open(db, &snapshot));
  ASSERT(snapshot != NULL);
  wasm_io.out[0] = (uint32_t)(uintptr_t)snapshot;
  put_u64(wasm_io.out + 2, varve_snapshot_sequence(snapshot));
  return VARVE_OK;
}

WASM_EXPORT("snapshot_close") void wasm_snapshot_close(varve_snapshot *snapshot) {
  varve_snapshot_close(snapshot);
}

/* The name is in io.key. out[0] = the keyspace. */
WASM_EXPORT("keyspace_open") int wasm_keyspace_open(varve_db *db, uint32_t name_size) {
  varve_keyspace *keyspace = NULL;
  TRY(varve_keyspace_open(db, slice_make(wasm_io.key, name_size), &keyspace));
  ASSERT(keyspace != NULL);
  wasm_io.out[0] = (uint32_t)(uintptr_t)keyspace;
  return VARVE_OK;
}

/* 1 = dropped, 0 = there was none. */
WASM_EXPORT("keyspace_drop") int wasm_keyspace_drop(varve_db *db, uint32_t name_size) {
  int rc = varve_keyspace_drop(db, slice_make(wasm_io.key, name_size));
  return rc < 0 ? rc : rc == VARVE_OK;
}

static int wasm_keyspace_visit(void *context, varve_slice name) {
  int *rc = context;
  *rc = buf_append_u32(&wasm_page, wasm_size_word(name.data, name.size));
  if (*rc >= 0) *rc = wasm_page_put(&wasm_page, name.data, name.size);
  return *rc < 0;
}

/* The page holds a u32 size, bytes, padding for each name. out[0], out[1] = the page. */
WASM_EXPORT("keyspace_list") int wasm_keyspace_list(varve_db *db) {
  int kept = VARVE_OK;
  buf_clear(&wasm_page);
  int rc = varve_keyspace_list(db, wasm_keyspace_visit, &kept);
  if (kept < 0) return kept;
  if (rc < 0) return rc;
  return wasm_page_result(&wasm_page);
}

/* ---- Care: their results are JSON texts in the page ---- */

static int wasm_text(const char *name, uint64_t value, char before) {
  char text[64];
  int size = snprintf(text, sizeof text, "%c\"%s\":%llu", before, name, (unsigned long long)value);
  ASSERT(size > 0 && (size_t)size < sizeof text);
  return buf_append(&wasm_page, text, (size_t)size);
}

/* clang-format off */
#define WASM_STATS(X)                                                                                     \
  X(disk_bytes) X(table_bytes) X(log_bytes) X(memory_bytes) X(memory_bytes_max) X(memtable_bytes)         \
  X(cache_bytes) X(cache_hits) X(cache_misses) X(commits) X(writes) X(gets) X(iterators) X(snapshots)     \
  X(bytes_written) X(flushes) X(compactions) X(trivial_moves) X(bytes_flushed) X(bytes_compacted_in)      \
  X(bytes_compacted_out) X(syncs) X(stalls) X(stall_us)
/* clang-format on */

WASM_EXPORT("db_stats") int wasm_db_stats(varve_db *db) {
  varve_stats s;
  memset(&s, 0, sizeof s);
  TRY(varve_get_stats(db, &s));
  buf_clear(&wasm_page);
  TRY(wasm_text("sequence", s.sequence, '{'));
#define WASM_STATS_TEXT(name) TRY(wasm_text(#name, s.name, ','));
  WASM_STATS(WASM_STATS_TEXT)
#undef WASM_STATS_TEXT
  TRY(buf_append(&wasm_page, ",\"levels\":[", 11));
  for (uint32_t i = 0; i < s.levels && i < VARVE_LEVELS_MAX; i++) {
    if (i > 0) TRY(buf_append(&wasm_page, ",", 1));
    TRY(wasm_text("tables", s.level[i].tables, '{'));
    TRY(wasm_text("bytes", s.level[i].bytes, ','));
    TRY(wasm_text("entries", s.level[i].entries, ','));
    TRY(wasm_text("tombstones", s.level[i].tombstones, ','));
    TRY(buf_append(&wasm_page, "}", 1));
  }
  TRY(buf_append(&wasm_page, "]}", 2));
  return wasm_page_result(&wasm_page);
}

WASM_EXPORT("db_compact") int wasm_db_compact(varve_db *db, int with_progress) {
  return varve_compact(db, with_progress != 0 ? wasm_progress : NULL, NULL);
}

WASM_EXPORT("db_flush") int wasm_db_flush(varve_db *db) {
  return varve_flush(db);
}

/* The report is filled in for CORRUPT as well; its sentence is then the error's message. */
WASM_EXPORT("db_verify") int wasm_db_verify(varve_db *db, int with_progress) {
  varve_verify_report report;
  memset(&report, 0, sizeof report);
  buf_clear(&wasm_page);
  int rc = varve_verify(db, &report, with_progress != 0 ? wasm_progress : NULL, NULL);
  if (rc < 0 && rc != VARVE_CORRUPT) return rc;
  if (rc == VARVE_CORRUPT && report.first[0] != '\0') status_set_message(report.first);
  TRY(wasm_text("files", report.files, '{'));
  TRY(wasm_text("blocks", report.blocks, ','));
  TRY(wasm_text("entries", report.entries, ','));
  TRY(wasm_text("bytes", report.bytes, ','));
  TRY(wasm_text("errors", report.errors, ','));
  TRY(buf_append(&wasm_page, "}", 1));
  (void)wasm_page_result(&wasm_page);
  return rc;
}

/* The target's path is in io.key. */
WASM_EXPORT("db_backup") int wasm_db_backup(varve_db *db, uint32_t path_size, int with_progress) {
  varve_backup_report report;
  memset(&report, 0, sizeof report);
  TRY(varve_backup(db, wasm_path(wasm_io.key, path_size), &report, with_progress != 0 ? wasm_progress : NULL, NULL));
  buf_clear(&wasm_page);
  TRY(wasm_text("files_copied", report.files_copied, '{'));
  TRY(wasm_text("files_kept", report.files_kept, ','));
  TRY(wasm_text("bytes_copied", report.bytes_copied, ','));
  TRY(wasm_text("sequence", report.sequence, ','));
  TRY(buf_append(&wasm_page, "}", 1));
  return wasm_page_result(&wasm_page);
}

/* Both paths are in io.key, each followed by a zero byte. */
WASM_EXPORT("restore") int wasm_restore(uint32_t backup_size, uint32_t target_size, int with_progress) {
  ASSERT((uint64_t)backup_size + target_size + 2 <= ABI_KEY_ROOM);
  const char *backup = wasm_path(wasm_io.key, backup_size);
  const char *target = wasm_path(wasm_io.key + backup_size + 1, target_size);
  return varve_restore(backup, target, with_progress != 0 ? wasm_progress : NULL, NULL);
}

#undef WASM_EXPORT
#undef WASM_STAGE_KEEP
#undef WASM_STATS

#endif
