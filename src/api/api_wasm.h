/* api_wasm.h: the flat interface between JavaScript and the engine: what lies where, and what the two files of exports
 * share.
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
 * Results: negative = a failure, whose number is an enum varve_status; ABI_ABSENT = VARVE_NOTFOUND and ABI_CONFLICT =
 * VARVE_CONFLICT where 0 and up is a size.
 *
 * Trust: module.js is part of the engine, so handles and pointers are believed; sizes inside a stage are checked all
 * the same, because they are made of what an application passed.
 */
#ifndef VARVE_API_WASM_H
#define VARVE_API_WASM_H

#include "base/buf.h"
#include "base/coding.h"
#include "base/limits.h"

#define ABI_VERSION        6
#define ABI_OP_PUT         0
#define ABI_OP_DEL         1
#define ABI_OP_CLEAR       2
#define ABI_KEYS           1
#define ABI_VALUES         2
#define ABI_ABSENT         (-1000)
#define ABI_CONFLICT       (-1001)
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
#define WASM_KEEP         (1u << 20) /* a stage larger than this is given back after its use */

typedef struct wasm_io_block {
  alignas(16) uint8_t key[ABI_KEY_ROOM];
  alignas(16) uint8_t small[ABI_SMALL];
  uint32_t out[ABI_OUTS];
  double number[ABI_NUMBERS];
} wasm_io_block;

typedef struct wasm_shared {
  wasm_io_block io;
  allocator alloc;
  buf stage, page;
} wasm_shared;

/* The one of this instance. */
INTERNAL wasm_shared *wasm_state(void);

/* The size, with ABI_ASCII when it holds. */
INTERNAL uint32_t wasm_size_word(const void *data, size_t size);
INTERNAL uint32_t wasm_padding(size_t size);

/* Appends the bytes and their padding to the page. */
INTERNAL int wasm_page_put(const void *data, size_t size);
/* out[0], out[1] = a page. */
INTERNAL int wasm_page_result(const buf *page);

/* A value on its way out: see db_get. Takes it over; returns its size. */
INTERNAL int wasm_give(varve_value *value);

/* stage[at .. end). */
INTERNAL slice wasm_stage_slice(uint32_t at, uint32_t end);

typedef struct wasm_change {
  uint32_t kind; /* one of ABI_OP_* */
  varve_keyspace *keyspace;
  slice key, value;
} wasm_change;
/* The next change of a stage that ends at `end`. INVALID. */
INTERNAL int wasm_change_read(reader *r, uint32_t end, wasm_change *c);

/* Of api_wasm_rows.c: a visitor of names, `context` an int for its failure; "name":number into the page; the progress
 * of a long call; an iterator for JavaScript, which is closed when that fails. */
INTERNAL int wasm_name_visit(void *context, varve_slice name);
INTERNAL int wasm_text(const char *name, uint64_t value, char before);
INTERNAL int wasm_progress(void *context, uint64_t done, uint64_t total);
INTERNAL int wasm_iter_give(varve_iter *iter, bool reverse);

/* The bytes as a C string: a zero is written behind them. */
INTERNAL const char *wasm_path(uint8_t *data, uint32_t size);

#endif
