/* api_wasm_rows.c: what JavaScript calls to walk, count and look after a database: a page of rows in one crossing,
 * snapshots, keyspaces, and reports as JSON texts. api_wasm.h says what lies where.
 */
#include "api/api_int.h"
#include "api/api_wasm.h"

#include <stdio.h>

__attribute__((import_module("host"), import_name("progress"))) extern int host_progress(double done, double total);

typedef struct wasm_iter {
  varve_iter *iter;
  bool reverse;
  enum { WASM_AT_START, WASM_AT_ROW, WASM_AT_NEXT_ROW } at; /* AT_ROW: on a row that was not delivered yet */
  buf page;
} wasm_iter;

/* ---- Iterators ---- */

/* The bounds lie one after another in the stage: lower, upper, prefix. */
static varve_iter_options wasm_range(varve_keyspace *keyspace, varve_snapshot *snapshot, uint32_t lower_size,
                                     uint32_t upper_size, uint32_t prefix_size) {
  ASSERT((uint64_t)lower_size + upper_size + prefix_size <= wasm_state()->stage.capacity);
  const uint8_t *p = wasm_state()->stage.data;
  varve_iter_options o = {
      .snapshot = snapshot,
      .keyspace = keyspace,
      .lower = lower_size == 0 ? slice_make(NULL, 0) : slice_make(p, lower_size),
      .upper = upper_size == 0 ? slice_make(NULL, 0) : slice_make(p + lower_size, upper_size),
      .prefix = prefix_size == 0 ? slice_make(NULL, 0) : slice_make(p + lower_size + upper_size, prefix_size),
  };
  return o;
}

INTERNAL int wasm_iter_give(varve_iter *iter, bool reverse) {
  wasm_iter *it = MEM_NEW(&wasm_state()->alloc, wasm_iter);
  if (it == NULL) {
    varve_iter_close(iter);
    return mem_fail(sizeof *it, "an iterator");
  }
  it->iter = iter;
  it->reverse = reverse;
  it->at = WASM_AT_START;
  buf_init(&it->page, &wasm_state()->alloc);
  wasm_state()->io.out[0] = (uint32_t)(uintptr_t)it;
  return VARVE_OK;
}

/* out[0] = the iterator. */
WASM_EXPORT("iter_open")
int wasm_iter_open(varve_db *db, varve_txn *txn, varve_keyspace *keyspace, varve_snapshot *snapshot,
                   uint32_t lower_size, uint32_t upper_size, uint32_t prefix_size, int reverse) {
  varve_iter_options o = wasm_range(keyspace, snapshot, lower_size, upper_size, prefix_size);
  varve_iter *iter = NULL;
  TRY(txn == NULL ? varve_iter_open(db, &o, &iter) : varve_txn_iter_open(txn, &o, &iter));
  return wasm_iter_give(iter, reverse != 0);
}

WASM_EXPORT("iter_close") void wasm_iter_close(wasm_iter *it) {
  ASSERT(it != NULL && it->iter != NULL);
  varve_iter_close(it->iter);
  buf_free(&it->page);
  MEM_DELETE(&wasm_state()->alloc, it);
}

/* Moves to the first row at or after (reverse: at or before) the key in io.key. The next page begins there. */
WASM_EXPORT("iter_seek") int wasm_iter_seek(wasm_iter *it, uint32_t key_size) {
  slice key = slice_make(wasm_state()->io.key, key_size);
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
  wasm_state()->io.out[2] = 0;
  if (it->page.capacity > 4 * WASM_KEEP) buf_free(&it->page);
  buf_clear(&it->page);
  while (count < rows && it->page.size < bytes) {
    int rc = wasm_iter_move(it);
    if (rc == VARVE_DONE) {
      wasm_state()->io.out[2] = 1;
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
int wasm_db_count(varve_db *db, varve_txn *txn, varve_keyspace *keyspace, varve_snapshot *snapshot, uint32_t lower_size,
                  uint32_t upper_size, uint32_t prefix_size) {
  varve_iter_options o = wasm_range(keyspace, snapshot, lower_size, upper_size, prefix_size);
  uint64_t count = 0;
  TRY(txn == NULL ? varve_count(db, &o, &count) : varve_txn_count(txn, &o, &count));
  put_u64(wasm_state()->io.out, count);
  return VARVE_OK;
}

/* ---- Snapshots and keyspaces ---- */

/* out[0] = the snapshot, out[2], out[3] = its sequence. */
WASM_EXPORT("snapshot_open") int wasm_snapshot_open(varve_db *db) {
  varve_snapshot *snapshot = NULL;
  TRY(varve_snapshot_open(db, &snapshot));
  ASSERT(snapshot != NULL);
  wasm_state()->io.out[0] = (uint32_t)(uintptr_t)snapshot;
  put_u64(wasm_state()->io.out + 2, varve_snapshot_sequence(snapshot));
  return VARVE_OK;
}

WASM_EXPORT("snapshot_close") void wasm_snapshot_close(varve_snapshot *snapshot) {
  varve_snapshot_close(snapshot);
}

/* The name is in io.key. out[0] = the keyspace. */
WASM_EXPORT("keyspace_open") int wasm_keyspace_open(varve_db *db, uint32_t name_size) {
  varve_keyspace *keyspace = NULL;
  TRY(varve_keyspace_open(db, slice_make(wasm_state()->io.key, name_size), &keyspace));
  ASSERT(keyspace != NULL);
  wasm_state()->io.out[0] = (uint32_t)(uintptr_t)keyspace;
  return VARVE_OK;
}

/* 1 = dropped, 0 = there was none. */
WASM_EXPORT("keyspace_drop") int wasm_keyspace_drop(varve_db *db, uint32_t name_size) {
  int rc = varve_keyspace_drop(db, slice_make(wasm_state()->io.key, name_size));
  return rc < 0 ? rc : rc == VARVE_OK;
}

INTERNAL int wasm_name_visit(void *context, varve_slice name) {
  int *rc = context;
  *rc = buf_append_u32(&wasm_state()->page, wasm_size_word(name.data, name.size));
  if (*rc >= 0) *rc = wasm_page_put(name.data, name.size);
  return *rc < 0;
}

/* The page holds a u32 size, bytes, padding for each name. out[0], out[1] = the page. */
WASM_EXPORT("keyspace_list") int wasm_keyspace_list(varve_db *db) {
  int kept = VARVE_OK;
  buf_clear(&wasm_state()->page);
  int rc = varve_keyspace_list(db, wasm_name_visit, &kept);
  if (kept < 0) return kept;
  if (rc < 0) return rc;
  return wasm_page_result(&wasm_state()->page);
}

/* Where the numbers of the clients' last commits are: 01 00 'c' <client id> -> u64. It is no keyspace of an
 * application, but keys in it are read and written like those of one. out[0] = the keyspace, for as long as the
 * instance lives. */
WASM_EXPORT("keyspace_clients") int wasm_keyspace_clients(varve_db *db) {
  static varve_keyspace clients = {.id = KEYSPACE_CATALOG, .prefix = {KEYSPACE_CATALOG, 0, 'c'}, .prefix_size = 3};
  TRY(api_check(db));
  clients.db = db;
  wasm_state()->io.out[0] = (uint32_t)(uintptr_t)&clients;
  return VARVE_OK;
}

INTERNAL int wasm_progress(void *context, uint64_t done, uint64_t total) {
  (void)context;
  return host_progress((double)done, (double)total);
}

/* ---- Care: their results are JSON texts in the page ---- */

INTERNAL int wasm_text(const char *name, uint64_t value, char before) {
  char text[64];
  int size = snprintf(text, sizeof text, "%c\"%s\":%llu", before, name, (unsigned long long)value);
  ASSERT(size > 0 && (size_t)size < sizeof text);
  return buf_append(&wasm_state()->page, text, (size_t)size);
}

/* clang-format off */
#define WASM_STATS(X)                                                                                     \
  X(disk_bytes) X(table_bytes) X(log_bytes) X(memory_bytes) X(memory_bytes_max) X(memtable_bytes)         \
  X(cache_bytes) X(cache_hits) X(cache_misses) X(commits) X(writes) X(gets) X(iterators) X(snapshots)     \
  X(transactions) X(commits_txn) X(conflicts) X(oldest_snapshot_ms)                                       \
  X(bytes_written) X(flushes) X(compactions) X(trivial_moves) X(bytes_flushed) X(bytes_compacted_in)      \
  X(bytes_compacted_out) X(syncs) X(stalls) X(stall_us)
#define WASM_REPAIR(X)                                                                                    \
  X(entries) X(tables) X(tables_damaged) X(tables_lost) X(logs) X(logs_damaged) X(logs_lost)              \
  X(blocks_lost) X(commits_lost_at) X(bytes_lost) X(files_ignored) X(keyspaces_renamed) X(losses)         \
  X(mended) X(list_lost)
/* clang-format on */

WASM_EXPORT("db_stats") int wasm_db_stats(varve_db *db) {
  varve_stats s;
  memset(&s, 0, sizeof s);
  TRY(varve_get_stats(db, &s));
  buf_clear(&wasm_state()->page);
  TRY(wasm_text("sequence", s.sequence, '{'));
#define WASM_STATS_TEXT(name) TRY(wasm_text(#name, s.name, ','));
  WASM_STATS(WASM_STATS_TEXT)
#undef WASM_STATS_TEXT
  TRY(buf_append(&wasm_state()->page, ",\"levels\":[", 11));
  for (uint32_t i = 0; i < s.levels && i < VARVE_LEVELS_MAX; i++) {
    if (i > 0) TRY(buf_append(&wasm_state()->page, ",", 1));
    TRY(wasm_text("tables", s.level[i].tables, '{'));
    TRY(wasm_text("bytes", s.level[i].bytes, ','));
    TRY(wasm_text("entries", s.level[i].entries, ','));
    TRY(wasm_text("tombstones", s.level[i].tombstones, ','));
    TRY(buf_append(&wasm_state()->page, "}", 1));
  }
  TRY(buf_append(&wasm_state()->page, "]}", 2));
  return wasm_page_result(&wasm_state()->page);
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
  buf_clear(&wasm_state()->page);
  int rc = varve_verify(db, &report, with_progress != 0 ? wasm_progress : NULL, NULL);
  if (rc < 0 && rc != VARVE_CORRUPT) return rc;
  if (rc == VARVE_CORRUPT && report.first[0] != '\0') status_set_message(report.first);
  TRY(wasm_text("files", report.files, '{'));
  TRY(wasm_text("blocks", report.blocks, ','));
  TRY(wasm_text("entries", report.entries, ','));
  TRY(wasm_text("bytes", report.bytes, ','));
  TRY(wasm_text("errors", report.errors, ','));
  TRY(buf_append(&wasm_state()->page, "}", 1));
  (void)wasm_page_result(&wasm_state()->page);
  return rc;
}

/* The target's path is in io.key. */
WASM_EXPORT("db_backup") int wasm_db_backup(varve_db *db, uint32_t path_size, int with_progress) {
  varve_backup_report report;
  memset(&report, 0, sizeof report);
  TRY(varve_backup(db, wasm_path(wasm_state()->io.key, path_size), &report, with_progress != 0 ? wasm_progress : NULL,
                   NULL));
  buf_clear(&wasm_state()->page);
  TRY(wasm_text("files_copied", report.files_copied, '{'));
  TRY(wasm_text("files_kept", report.files_kept, ','));
  TRY(wasm_text("bytes_copied", report.bytes_copied, ','));
  TRY(wasm_text("sequence", report.sequence, ','));
  TRY(buf_append(&wasm_state()->page, "}", 1));
  return wasm_page_result(&wasm_state()->page);
}

/* Both paths are in io.key, each followed by a zero byte. */
WASM_EXPORT("restore") int wasm_restore(uint32_t backup_size, uint32_t target_size, int with_progress) {
  ASSERT((uint64_t)backup_size + target_size + 2 <= ABI_KEY_ROOM);
  const char *backup = wasm_path(wasm_state()->io.key, backup_size);
  const char *target = wasm_path(wasm_state()->io.key + backup_size + 1, target_size);
  return varve_restore(backup, target, with_progress != 0 ? wasm_progress : NULL, NULL);
}

/* ---- repair ---- */

#define WASM_LOSSES_MAX 10000u /* that are told one by one; the report counts all of them */

typedef struct wasm_losses {
  uint32_t count;
  int failed;
} wasm_losses;

/* ,"name":"text": what is no plain character is left out; reasons are English. */
static int wasm_string(const char *name, const char *text, char before) {
  buf *page = &wasm_state()->page;
  char head[64];
  int size = snprintf(head, sizeof head, "%c\"%s\":\"", before, name);
  ASSERT(size > 0 && (size_t)size < sizeof head);
  TRY(buf_append(page, head, (size_t)size));
  for (; *text != '\0'; text++) {
    if (*text == '"' || *text == '\\') TRY(buf_append(page, "\\", 1));
    if ((unsigned char)*text >= 0x20) TRY(buf_append(page, text, 1));
  }
  return buf_append(page, "\"", 1);
}

/* ,"name":"00ff": the bytes in hex; nothing when there are none. */
static int wasm_hex(const char *name, varve_slice bytes) {
  static const char digits[] = "0123456789abcdef";
  if (bytes.data == NULL) return VARVE_OK;
  TRY(wasm_string(name, "", ','));
  buf *page = &wasm_state()->page;
  page->size--; /* the closing quote */
  for (size_t i = 0; i < bytes.size; i++) {
    uint8_t byte = ((const uint8_t *)bytes.data)[i];
    char two[2] = {digits[byte >> 4], digits[byte & 15]};
    TRY(buf_append(page, two, 2));
  }
  return buf_append(page, "\"", 1);
}

static int wasm_put_loss(const varve_repair_loss *loss, bool first) {
  if (!first) TRY(buf_append(&wasm_state()->page, ",", 1));
  TRY(wasm_string("file", loss->file, '{'));
  TRY(wasm_string("reason", loss->reason, ','));
  TRY(wasm_text("offset", loss->offset, ','));
  TRY(wasm_text("size", loss->size, ','));
  TRY(wasm_text("harmless", loss->harmless, ','));
  TRY(wasm_hex("after", loss->after));
  TRY(wasm_hex("before", loss->before));
  if (loss->after.data != NULL) TRY(wasm_text("after_keyspace", loss->after_keyspace, ','));
  if (loss->before.data != NULL) TRY(wasm_text("before_keyspace", loss->before_keyspace, ','));
  return buf_append(&wasm_state()->page, "}", 1);
}

static void wasm_loss(void *context, const varve_repair_loss *loss) {
  wasm_losses *told = context;
  if (told->failed < 0 || told->count == WASM_LOSSES_MAX) return;
  told->failed = wasm_put_loss(loss, told->count++ == 0);
}

static int wasm_repair_progress(void *context, uint64_t done, uint64_t total) {
  (void)context; /* of the losses */
  return wasm_progress(NULL, done, total);
}

/* Both paths are in io.key, each followed by a zero byte. */
WASM_EXPORT("repair") int wasm_repair(uint32_t source_size, uint32_t target_size, int with_progress) {
  ASSERT((uint64_t)source_size + target_size + 2 <= ABI_KEY_ROOM);
  const char *source = wasm_path(wasm_state()->io.key, source_size);
  const char *target = wasm_path(wasm_state()->io.key + source_size + 1, target_size);
  wasm_losses told = {0, VARVE_OK};
  varve_repair_report r;
  varve_repair_options o = {.loss = wasm_loss, .context = &told};
  if (with_progress != 0) o.progress = wasm_repair_progress;
  memset(&r, 0, sizeof r);
  buf_clear(&wasm_state()->page);
  TRY(buf_append(&wasm_state()->page, "{\"told\":[", 9));
  TRY(varve_repair(source, target, &o, &r));
  TRY(told.failed);
  TRY(buf_append(&wasm_state()->page, "]", 1));
#define WASM_REPAIR_TEXT(name) TRY(wasm_text(#name, r.name, ','));
  WASM_REPAIR(WASM_REPAIR_TEXT)
#undef WASM_REPAIR_TEXT
  TRY(buf_append(&wasm_state()->page, "}", 1));
  return wasm_page_result(&wasm_state()->page);
}

#undef WASM_STATS
#undef WASM_REPAIR
#undef WASM_LOSSES_MAX
