/* fuzz_table.c: a table: opened, walked, searched, checked. When the check finds nothing wrong, everything that it
 * holds must be in order, the same in both directions, and found by gets.
 */
#include "fuzz/fuzz.h"

#include <stdlib.h>

#include "lsm/sst_format.h"

enum { TABLE_NUMBER = 7, TABLE_ENTRIES = 512 };

typedef struct table_seen {
  uint64_t hash[TABLE_ENTRIES];
  size_t count;
} table_seen;

static uint64_t table_entry_hash(const iter *it) {
  return xxh64(it->value.data == NULL ? "" : it->value.data, it->value.size,
               xxh64(it->key.data, it->key.size, it->trailer));
}

/* Every entry forward, with a get of each. */
static int table_forward(table *t, iter *it, bool good, table_seen *seen) {
  uint64_t last_trailer = 0;
  uint8_t *last = NULL;
  size_t last_size = 0;
  int rc = iter_first(it);
  for (seen->count = 0; rc == VARVE_OK && seen->count < TABLE_ENTRIES; rc = iter_next(it)) {
    table_get_result g = {0};
    FUZZ_CHECK(it->key.size <= INNER_KEY_MAX + 65535);
    bool ordered = last == NULL || entry_compare(slice_make(last, last_size), last_trailer, it->key, it->trailer) < 0;
    FUZZ_CHECK(!good || ordered);
    int found = table_get(t, it->key, key_hash(it->key), trailer_seq(it->trailer), &g);
    fuzz_check_status(found);
    if (good) FUZZ_CHECK(found == VARVE_OK && g.trailer == it->trailer && slice_equal(g.value, it->value));
    if (found == VARVE_OK && g.block != NULL) pin_unref(&g.block->pin);
    seen->hash[seen->count++] = table_entry_hash(it);
    free(last);
    last = malloc(it->key.size + 1);
    FUZZ_CHECK(last != NULL);
    memcpy(last, it->key.data, it->key.size);
    last_size = it->key.size;
    last_trailer = it->trailer;
  }
  free(last);
  return rc;
}

static void table_walk(table *t, allocator *alloc, bool good, bool bulk) {
  static table_seen seen;
  iter *it;
  FUZZ_CHECK(table_iter_open(t, alloc, bulk, &it) >= 0);
  int rc = table_forward(t, it, good, &seen);
  fuzz_check_status(rc);
  FUZZ_CHECK(!good || rc >= 0);
  size_t count = seen.count;
  if (rc == VARVE_DONE) {
    for (rc = iter_last(it); rc == VARVE_OK && count > 0; rc = iter_prev(it)) {
      count--;
      FUZZ_CHECK(!good || table_entry_hash(it) == seen.hash[count]);
    }
    fuzz_check_status(rc);
    FUZZ_CHECK(!good || (rc == VARVE_DONE && count == 0));
  }
  rc = iter_seek(it, slice_make("\0k05", 4), TRAILER_MAX);
  fuzz_check_status(rc);
  FUZZ_CHECK(!good || rc != VARVE_OK || slice_compare(it->key, slice_make("\0k05", 4)) >= 0);
  rc = iter_seek_before(it, slice_make("\0k05", 4));
  fuzz_check_status(rc);
  FUZZ_CHECK(!good || rc != VARVE_OK || slice_compare(it->key, slice_make("\0k05", 4)) < 0);
  iter_close(it);
}

static void table_run(const uint8_t *data, size_t size) {
  fuzz_input in = {data, size};
  uint8_t flags = fuzz_u8(&in);
  uint8_t *file = fuzz_copy(&in);
  if ((flags & FUZZ_SEAL) != 0) {
    if (in.left >= SST_FOOTER_BYTES) { /* what a changed length would break */
      uint8_t *footer = file + in.left - SST_FOOTER_BYTES;
      put_u64(footer + 16, TABLE_NUMBER);
      put_u64(footer + 24, in.left);
    }
    fuzz_seal(file, in.left, FILE_SST, TABLE_NUMBER);
  }
  allocator *alloc = fuzz_memory_begin(300 * in.left + (1 << 20));
  env *e = fuzz_env(alloc);
  block_cache *cache;
  table *t;
  fuzz_put(e->fs, FILE_SST, TABLE_NUMBER, file, in.left);
  FUZZ_CHECK(block_cache_create(alloc, 64 << 10, &cache) >= 0);
  int rc = table_open(e, cache, TABLE_NUMBER, in.left, (flags & 2) == 0, &t);
  fuzz_check_status(rc);
  if (rc >= 0) {
    uint64_t blocks, entries;
    rc = table_verify(t, &blocks, &entries);
    fuzz_check_status(rc);
    (void)rangedel_find(table_range_set(t), slice_make("\0k05", 4), SEQ_MAX);
    table_walk(t, alloc, rc >= 0, false);
    table_walk(t, alloc, rc >= 0, true);
    table_close(t);
  }
  block_cache_destroy(cache);
  FUZZ_CHECK(env_close(e) >= 0);
  fuzz_memory_end();
  free(file);
}

static void table_seeds(fuzz_emit emit, void *context) {
  fuzz_files files;
  fuzz_sample(3, &files);
  for (size_t i = 0; i < files.count; i++) {
    if (files.file[i].kind != FILE_SST) continue;
    for (uint8_t flags = 0; flags < 4; flags++) fuzz_emit_file(&files.file[i], flags, emit, context);
  }
  fuzz_files_free(&files);
}

const fuzz_target fuzz_table = {"table", 6000, table_run, table_seeds};
