/* fuzz_keys.c: tuples and entries of indexes from any bytes: what is read is what would be written. */
#include "fuzz/fuzz.h"

#include <stdlib.h>

#include "index/index_key.h"
#include "index/tuple.h"

/* ---- tuples: read, written again: the same bytes but for what has more than one form, which reads the same ---- */

static void tuple_run(const uint8_t *data, size_t size) {
  uint8_t *bytes = malloc(size + 1), *scratch = malloc(size + 1), *again = malloc(size + 1);
  FUZZ_CHECK(bytes != NULL && scratch != NULL && again != NULL);
  memcpy(bytes, data, size);
  varve_tuple_reader r;
  varve_tuple_element e;
  varve_tuple t;
  varve_tuple_read(&r, slice_make(bytes, size), scratch, size);
  varve_tuple_begin(&t, again, size);
  int rc, last = VARVE_OK;
  bool canonical = true;
  while ((rc = varve_tuple_next(&r, &e)) == VARVE_OK) {
    FUZZ_CHECK(r.at <= size);
    /* A correction that leads elsewhere is dropped: the element is the double. */
    last = varve_tuple_put(&t, &e);
    FUZZ_CHECK(last == VARVE_OK || last == VARVE_LIMIT);
    canonical = canonical && last == VARVE_OK && t.size == r.at && memcmp(again, bytes, t.size) == 0;
    if (last != VARVE_OK) break;
    if (e.type != VARVE_TUPLE_NUMBER && e.type != VARVE_TUPLE_DATE) continue;
    if (!canonical) break;
  }
  FUZZ_CHECK(rc == VARVE_OK || rc == VARVE_DONE || rc == VARVE_CORRUPT);
  FUZZ_CHECK(rc != VARVE_DONE || !canonical || t.size == size);
  free(bytes);
  free(scratch);
  free(again);
}

static void tuple_seeds(fuzz_emit emit, void *context) {
  static const uint8_t seed[] = {0x10, 0x20, 0x21, 0x30, 0xc3, 0x40, 0,    0,    0,    0,    0,    0,    0x80,
                                 1,    0x40, 0x61, 0,    0xff, 0,    0x60, 0x50, 1,    0,    0,    0x38, 0x80,
                                 0,    0,    0,    0,    0,    0,    0,    0xbf, 0x9e, 0xff, 0xfe, 0xef};
  emit(context, seed, sizeof seed);
  emit(context, seed, 14);
}

/* ---- entries:  shape u8 | value size u8 | value | the entry behind its index's prefix ---- */

static void posting_run(const uint8_t *data, size_t size) {
  fuzz_input in = {data, size};
  uint8_t flags = fuzz_u8(&in);
  index_shape shape;
  allocator *alloc = fuzz_memory_begin(4 << 20);
  buf entry, room, written;
  slice key, primary;
  buf_init(&entry, alloc);
  buf_init(&room, alloc);
  buf_init(&written, alloc);
  index_shape_init(&shape, flags % 2 == 0 ? VARVE_BTREE : VARVE_HASH, (flags & 2) != 0, 1);
  slice value = fuzz_take(&in, fuzz_u8(&in));
  FUZZ_CHECK(buf_set(&entry, index_shape_prefix(&shape)) >= 0);
  FUZZ_CHECK(buf_append(&entry, in.at, in.left) >= 0);
  int rc = index_key_read(&shape, buf_slice(&entry), value, &room, &key, &primary);
  FUZZ_CHECK(rc == VARVE_OK || rc == VARVE_CORRUPT);
  if (rc == VARVE_OK) {
    FUZZ_CHECK(index_key_entry(&shape, key, primary, &written) >= 0);
    FUZZ_CHECK(slice_equal(buf_slice(&written), buf_slice(&entry)));
    FUZZ_CHECK(index_key_begin(&shape, key, &written) >= 0);
    FUZZ_CHECK(slice_starts_with(buf_slice(&entry), buf_slice(&written)));
  }
  /* And any bytes as an index key, with a primary key behind them. */
  FUZZ_CHECK(index_key_entry(&shape, slice_make(in.at, in.left), value, &written) >= 0);
  slice stored = shape.unique ? value : slice_make(NULL, 0);
  FUZZ_CHECK(index_key_read(&shape, buf_slice(&written), stored, &room, &key, &primary) == VARVE_OK);
  FUZZ_CHECK(slice_equal(key, slice_make(in.at, in.left)) && slice_equal(primary, value));
  buf_free(&entry);
  buf_free(&room);
  buf_free(&written);
  fuzz_memory_end();
}

static void posting_seeds(fuzz_emit emit, void *context) {
  static const uint8_t seed[] = {0, 0, 'a', 0, 0xfd, 'b', 0, 0x7f, 0, 1, 'p'};
  static const uint8_t unique[] = {2, 2, 'p', 'k', 'a', 0, 'b'};
  emit(context, seed, sizeof seed);
  emit(context, unique, sizeof unique);
}

const fuzz_target fuzz_tuple = {"tuple", 512, tuple_run, tuple_seeds};
const fuzz_target fuzz_posting = {"posting", 512, posting_run, posting_seeds};
