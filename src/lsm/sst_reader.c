/* sst_reader.c: opening a table, reaching its blocks, and the point lookup.
 *
 * A mapped table is used where it lies: filter, index and raw blocks are pointers into the map, and each block's
 * checksum is computed once, by the first who comes (states). A table that is read keeps everything behind its blocks
 * in
 * one piece of memory, charged to the cache, and its blocks in the cache. Compressed blocks are inflated into the cache
 * either way.
 *
 * Invariants
 *   1. No byte of a block is used before its checksum was found right in this process; none is checked again on a hit.
 *   2. table_get on a mapped, raw, checked block: no lock, no allocation, no indirect call.
 */
#include "lsm/sst_int.h"

INTERNAL int table_block_damaged(const table *t, uint32_t i, const char *reason) {
  return sst_damaged(t->number, sst_index_offset(&t->index, i), reason);
}

/* ---- open ---- */

/* The bytes of a part, wherever they are. */
static const uint8_t *table_part(const table *t, uint64_t offset) {
  if (t->map != NULL) return t->map + offset;
  ASSERT(offset >= t->tail_offset && offset <= t->tail_offset + t->tail_size);
  return t->tail + (offset - t->tail_offset);
}

static int table_open_footer(table *t) {
  uint8_t bytes[SST_FOOTER_BYTES];
  uint64_t at = t->size - SST_FOOTER_BYTES;
  if (t->map != NULL) {
    memcpy(bytes, t->map + at, sizeof bytes);
  } else {
    TRY(vfs_read_exact(t->file, at, bytes, sizeof bytes));
  }
  return sst_footer_get(bytes, t->number, t->size, &t->footer);
}

/* What is not mapped is read in one piece, placed so that a multiple of 64 in the file is one in memory. */
static int table_open_tail(table *t) {
  if (t->map != NULL) return VARVE_OK;
  uint64_t begin = t->footer.part[0].offset / FILTER_LINE * FILTER_LINE;
  uint64_t size = t->size - SST_FOOTER_BYTES - begin;
  ASSERT(size > 0);
  if (size > PTRDIFF_MAX) return mem_fail((size_t)PTRDIFF_MAX, "a table's index");
  t->tail = mem_alloc_lines(t->alloc, (size_t)size);
  if (t->tail == NULL) return mem_fail((size_t)size, "a table's index");
  t->tail_size = (size_t)size;
  t->tail_offset = begin;
  t->memory += t->tail_size;
  return vfs_read_exact(t->file, begin, t->tail, t->tail_size);
}

static int table_open_part(table *t, sst_part part, slice *payload) {
  const sst_extent *e = &t->footer.part[part];
  *payload = slice_make(NULL, 0);
  if (e->size == 0) return VARVE_OK;
  sst_section s;
  TRY(sst_section_open(table_part(t, e->offset), e->size, t->number, e->offset, &s));
  if (s.codec != SST_CODEC_RAW) return sst_damaged(t->number, e->offset, "a section has an unknown codec");
  *payload = s.payload;
  if (part == SST_PROPERTIES) return VARVE_OK;
  /* What lies between two sections is zero, so that no byte of the file goes unchecked. */
  uint64_t before = part == SST_RANGES ? e->offset : t->footer.part[part - 1].offset + t->footer.part[part - 1].size;
  for (const uint8_t *p = table_part(t, before), *end = table_part(t, e->offset); p < end; p++) {
    if (*p != 0) return sst_damaged(t->number, before, "bytes between two sections");
  }
  return VARVE_OK;
}

static int table_open_parts(table *t) {
  slice ranges, index, properties;
  const sst_extent *part = t->footer.part;
  TRY(table_open_part(t, SST_RANGES, &ranges));
  TRY(table_open_part(t, SST_FILTER, &t->filter));
  TRY(table_open_part(t, SST_INDEX, &index));
  TRY(table_open_part(t, SST_PROPERTIES, &properties));
  if (!sst_index_open(&t->index, index, part[SST_RANGES].offset)) {
    return sst_damaged(t->number, part[SST_INDEX].offset, "the index is broken");
  }
  if (!sst_properties_get(properties, &t->summary, &t->bloom_bits)) {
    return sst_damaged(t->number, part[SST_PROPERTIES].offset, "the properties are broken");
  }
  t->summary.size = t->size;
  if (t->filter.size % FILTER_LINE != 0 || (t->bloom_bits == 1 && t->filter.size > 0)) {
    return sst_damaged(t->number, part[SST_FILTER].offset, "the filter has an impossible size");
  }
  if ((t->index.count > 0) != (t->summary.entries > 0)) {
    return sst_damaged(t->number, part[SST_PROPERTIES].offset, "the count of entries is wrong");
  }
  if (ranges.size > 0) {
    int rc = rangedel_decode(t->alloc, ranges, &t->ranges);
    if (rc == VARVE_CORRUPT) rc = sst_damaged(t->number, part[SST_RANGES].offset, "the range tombstones are broken");
    if (rc < 0) return rc;
    t->memory += rangedel_memory(t->ranges);
  }
  if (t->summary.range_tombstones != (t->ranges == NULL ? 0 : t->ranges->count)) {
    return sst_damaged(t->number, part[SST_RANGES].offset, "the count of range tombstones is wrong");
  }
  return VARVE_OK;
}

static int table_open_states(table *t) {
  if (t->map == NULL || t->index.count == 0) return VARVE_OK;
  t->states = mem_zalloc(t->alloc, t->index.count * sizeof *t->states);
  if (t->states == NULL) return mem_fail(t->index.count * sizeof *t->states, "a table's states");
  t->memory += t->index.count * sizeof *t->states;
  return VARVE_OK;
}

static int table_open_file(table *t, env *e, bool map) {
  uint64_t size;
  TRY(vfs_open(e->fs, FILE_SST, t->number, 0, &t->file));
  TRY(vfs_size(t->file, &size));
  if (size < t->size) return sst_damaged(t->number, size, "the file ends here, too early");
  if (size > t->size) return sst_damaged(t->number, t->size, "the file goes on where it should end");
  if (t->size < SST_FOOTER_BYTES || t->size % 8 != 0) return sst_damaged(t->number, 0, "a table cannot have its size");
  if (!map || (e->fs->traits & VFS_MAP_READ) == 0 || t->size > PTRDIFF_MAX) return VARVE_OK;
  void *data;
  if (vfs_map(t->file, (size_t)t->size, false, &data) < 0) return VARVE_OK; /* reading works as well */
  ASSERT((uintptr_t)data % 8 == 0); /* arrays are used in place; that filter lines are cache lines is speed alone */
  t->map = data;
  return VARVE_OK;
}

INTERNAL int table_open(env *e, block_cache *cache, uint64_t number, uint64_t size, bool map, table **out) {
  *out = NULL;
  table *t = MEM_NEW(e->alloc, table);
  if (t == NULL) return mem_fail(sizeof *t, "a table");
  t->alloc = e->alloc;
  t->cache = cache;
  t->number = number;
  t->size = size;
  size_t charged = 0;
  int rc = VARVE_OK;
  STEP(table_open_file(t, e, map));
  STEP(table_open_footer(t));
  STEP(table_open_tail(t));
  STEP(table_open_parts(t));
  STEP(table_open_states(t));
  t->memory += sizeof *t;
  charged = t->memory;
  *out = t;
  t = NULL;
out:
  if (charged > 0) block_cache_charge(cache, (int64_t)charged);
  if (t != NULL) t->memory = 0; /* never charged */
  table_close(t);
  return rc;
}

INTERNAL void table_close(table *t) {
  if (t == NULL) return;
  if (t->memory > 0) block_cache_charge(t->cache, -(int64_t)t->memory);
  rangedel_free(t->ranges);
  mem_free(t->alloc, t->states, t->index.count * sizeof *t->states);
  mem_free_lines(t->alloc, t->tail, t->tail_size);
  if (t->map != NULL) (void)vfs_unmap(t->file, (void *)(uintptr_t)t->map, (size_t)t->size);
  (void)vfs_close(t->file); /* only read from: nothing can be lost */
  MEM_DELETE(t->alloc, t);
}

/* ---- blocks ---- */

/* Swaps a frame that holds an LZ4 section for one with what it inflates to. */
static int table_block_inflate(table *t, const sst_section *s, uint64_t offset, cache_block **held) {
  cache_block *raw;
  TRY(cache_block_create(t->cache, s->raw_size, &raw));
  int rc = sst_section_inflate(s, t->number, offset, raw->data);
  if (rc < 0) {
    pin_unref(&raw->pin);
    return rc;
  }
  if (*held != NULL) pin_unref(&(*held)->pin);
  *held = raw;
  return VARVE_OK;
}

/* From the file into a frame that is not in the cache yet. */
static int table_block_read(table *t, sst_extent e, cache_block **held) {
  if (e.size > SST_BLOCK_BYTES_CAP) return sst_damaged(t->number, e.offset, "a section is too large");
  TRY(cache_block_create(t->cache, (uint32_t)e.size, held));
  sst_section s;
  TRY(vfs_read_exact(t->file, e.offset, (*held)->data, (size_t)e.size));
  TRY(sst_section_open((*held)->data, e.size, t->number, e.offset, &s));
  (*held)->size = (uint32_t)s.payload.size;
  return s.codec == SST_CODEC_RAW ? VARVE_OK : table_block_inflate(t, &s, e.offset, held);
}

/* From the map: raw blocks stay there (*held stays NULL), compressed ones are inflated into a frame. */
static int table_block_touch(table *t, uint32_t i, sst_extent e, slice *payload, cache_block **held) {
  sst_section s;
  TRY(sst_section_open(t->map + e.offset, e.size, t->number, e.offset, &s));
  if (s.codec == SST_CODEC_RAW) {
    uint64_t zeros = e.size - SST_SECTION_TAIL - s.payload.size;
    ASSERT(zeros < 8);
    atomic_store_explicit(&t->states[i], (unsigned char)(SST_STATE_RAW + zeros), memory_order_relaxed);
    *payload = s.payload;
    return VARVE_OK;
  }
  atomic_store_explicit(&t->states[i], SST_STATE_LZ4, memory_order_relaxed);
  return table_block_inflate(t, &s, e.offset, held);
}

INTERNAL int table_block_load(table *t, uint32_t i, block *b, cache_block **out) {
  ASSERT(i < t->index.count);
  int rc = VARVE_OK;
  cache_block *held = NULL;
  sst_extent e = table_block_extent(t, i);
  slice payload = {NULL, 0};
  *out = NULL;
  bool unseen = t->map != NULL && atomic_load_explicit(&t->states[i], memory_order_relaxed) != SST_STATE_LZ4;
  if (!unseen) held = block_cache_get(t->cache, t->number, e.offset);
  if (held == NULL) {
    STEP(t->map != NULL ? table_block_touch(t, i, e, &payload, &held) : table_block_read(t, e, &held));
    if (held != NULL) block_cache_insert(t->cache, t->number, e.offset, &held);
  }
  if (held != NULL) payload = slice_make(held->data, held->size);
  if (!block_open(b, payload)) STEP(table_block_damaged(t, i, "a block's frame is broken"));
  *out = held;
  held = NULL;
out:
  if (held != NULL) pin_unref(&held->pin);
  return rc;
}

/* ---- point lookup ---- */

/* The version in block i, where the index puts it, or after it. */
static inline int table_find(table *t, uint32_t i, slice key, uint64_t seq_max, table_get_result *result) {
  uint64_t trailer = seq_max << 8 | 0xff;
  /* A block may end with newer versions of the key: the one that is asked for then begins the next block. */
  for (; i < t->index.count; i++) {
    block b;
    cache_block *held;
    bool found;
    TRY(table_block(t, i, &b, &held));
    uint32_t at = block_find(&b, key, trailer, &found, &result->value);
    if (LIKELY(found)) {
      result->trailer = block_trailer(&b, at);
      result->block = held;
      if (LIKELY(trailer_kind(result->trailer) <= KIND_PUT)) return VARVE_OK;
      at = UINT32_MAX;
    }
    uint32_t count = b.count;
    if (held != NULL) pin_unref(&held->pin);
    result->block = NULL;
    if (UNLIKELY(at == UINT32_MAX)) return table_block_damaged(t, i, "an entry is broken");
    if (at < count) break;
  }
  return VARVE_NOTFOUND;
}

INTERNAL int table_get(table *t, slice key, uint64_t hash, uint64_t seq_max, table_get_result *result) {
  result->block = NULL;
  if (!filter_may_contain(t->filter, t->bloom_bits, hash)) return VARVE_NOTFOUND;
  uint32_t i = sst_index_seek(&t->index, key);
  if (i < t->index.count) table_prefetch(t, i);
  return table_find(t, i, key, seq_max, result);
}

INTERNAL int table_get_expected(table *t, slice key, uint64_t hash, uint64_t seq_max, table_get_result *result) {
  result->block = NULL;
  filter_prefetch(t->filter, hash);
  uint32_t i = sst_index_seek(&t->index, key);
  if (i < t->index.count) table_prefetch(t, i);
  if (!filter_may_contain(t->filter, t->bloom_bits, hash)) return VARVE_NOTFOUND;
  return table_find(t, i, key, seq_max, result);
}

/* ---- what it knows of itself ---- */

INTERNAL bool table_may_contain(const table *t, uint64_t hash) {
  return filter_may_contain(t->filter, t->bloom_bits, hash);
}

INTERNAL const rangedel_set *table_range_set(const table *t) {
  return t->ranges;
}

INTERNAL bool table_mapped(const table *t) {
  return t->map != NULL;
}

INTERNAL void table_summary(const table *t, sst_summary *summary) {
  *summary = t->summary;
}
