/* fuzz_parts.c: what tables are made of: blocks, index, properties, range tombstones, filters. */
#include "fuzz/fuzz.h"

#include <stdlib.h>

#include "lsm/block.h"
#include "lsm/sst_format.h"

/* A copy at a multiple of 64, as the engine has its sections. */
static uint8_t *parts_copy(fuzz_input *in, size_t *size) {
  uint8_t *bytes = aligned_alloc(64, (in->left + 64) / 64 * 64);
  FUZZ_CHECK(bytes != NULL);
  *size = in->left;
  memcpy(bytes, in->at, in->left);
  return bytes;
}

/* ---- blocks ---- */

/* Where (key, trailer) belongs, by looking at each entry. */
static uint32_t block_linear(const block *b, slice key, uint64_t trailer) {
  static uint8_t whole[1 << 17];
  uint32_t i = 0;
  for (; i < b->count; i++) {
    slice suffix, value;
    FUZZ_CHECK(block_entry(b, i, &suffix, &value));
    FUZZ_CHECK(b->prefix.size + suffix.size <= sizeof whole);
    memcpy(whole, b->prefix.data, b->prefix.size);
    memcpy(whole + b->prefix.size, suffix.data, suffix.size);
    if (entry_compare(slice_make(whole, b->prefix.size + suffix.size), block_trailer(b, i), key, trailer) >= 0) break;
  }
  return i;
}

static void block_run(const uint8_t *data, size_t size) {
  fuzz_input in = {data, size};
  uint8_t key[40];
  slice wanted = fuzz_take(&in, fuzz_u8(&in) % sizeof key);
  memcpy(key, wanted.data, wanted.size);
  uint64_t trailer = fuzz_number(&in, 2);
  uint8_t *bytes = parts_copy(&in, &size);
  block b;
  if (block_open(&b, slice_make(bytes, size))) {
    bool good = block_check(&b), found = false;
    slice value, suffix;
    for (uint32_t i = 0; i < b.count && i < 4096; i++) {
      bool inside = block_entry(&b, i, &suffix, &value);
      FUZZ_CHECK(!good || inside);
      if (inside && value.size > 0) FUZZ_CHECK((const uint8_t *)value.data + value.size <= bytes + size);
      (void)block_trailer(&b, i);
    }
    uint32_t at = block_seek(&b, slice_make(key, wanted.size), trailer);
    FUZZ_CHECK(at <= b.count || at == UINT32_MAX);
    if (good) FUZZ_CHECK(at == block_linear(&b, slice_make(key, wanted.size), trailer));
    FUZZ_CHECK(block_find(&b, slice_make(key, wanted.size), trailer, &found, &value) == at || !good);
  }
  free(bytes);
}

/* ---- the samples' tables taken apart ---- */

static void parts_seeds(fuzz_emit emit, void *context, sst_part part, const uint8_t *head, size_t head_size) {
  fuzz_files files;
  fuzz_sample(3, &files);
  for (size_t i = 0; i < files.count; i++) {
    const fuzz_file *f = &files.file[i];
    sst_footer footer;
    sst_section s;
    if (f->kind != FILE_SST) continue;
    FUZZ_CHECK(sst_footer_get(f->data + f->size - SST_FOOTER_BYTES, f->number, f->size, &footer) >= 0);
    sst_extent e = footer.part[part == SST_PARTS ? SST_INDEX : part];
    if (e.size == 0) continue;
    FUZZ_CHECK(sst_section_open(f->data + e.offset, e.size, f->number, e.offset, &s) >= 0);
    if (part == SST_PARTS) { /* the first block instead */
      uint32_t end = get_u32(f->data + e.offset + 8 + 8 * (size_t)get_u32(f->data + e.offset) + 4) * 8;
      FUZZ_CHECK(sst_section_open(f->data, end, f->number, 0, &s) >= 0);
      if (s.codec != SST_CODEC_RAW) continue;
    }
    fuzz_file seed = {FILE_SST, 0, malloc(head_size + s.payload.size), head_size + s.payload.size};
    FUZZ_CHECK(seed.data != NULL);
    if (head_size > 0) memcpy(seed.data, head, head_size);
    memcpy(seed.data + head_size, s.payload.data, s.payload.size);
    emit(context, seed.data, seed.size);
    free(seed.data);
  }
  fuzz_files_free(&files);
}

static void block_seeds(fuzz_emit emit, void *context) {
  static const uint8_t head[] = {4, 0, 'k', '0', '5', 0xff, 0xff};
  parts_seeds(emit, context, SST_PARTS, head, sizeof head);
}

/* ---- index ---- */

static void index_run(const uint8_t *data, size_t size) {
  fuzz_input in = {data, size};
  uint64_t end = (uint64_t)fuzz_number(&in, 2) * 8;
  uint8_t key[12];
  slice wanted = fuzz_take(&in, sizeof key);
  memcpy(key, wanted.data, wanted.size);
  uint8_t *bytes = parts_copy(&in, &size);
  sst_index x;
  if ((end == 0 && size >= 8 && get_u32(bytes) <= size / 8)) { /* as the index says itself */
    size_t at = 8 + 12 * (size_t)get_u32(bytes);
    if (at + 4 <= size) end = (uint64_t)get_u32(bytes + at) * 8;
  }
  if (sst_index_open(&x, slice_make(bytes, size), end)) {
    FUZZ_CHECK(sst_index_seek(&x, slice_make(key, wanted.size)) <= x.count);
    for (uint32_t i = 0; i < x.count; i++) {
      slice s = sst_index_separator(&x, i);
      FUZZ_CHECK(s.size <= size && sst_index_offset(&x, i) < sst_index_offset(&x, i + 1));
      if (s.size > 0) FUZZ_CHECK((const uint8_t *)s.data >= bytes && (const uint8_t *)s.data + s.size <= bytes + size);
    }
    FUZZ_CHECK(sst_index_offset(&x, x.count) == end);
  }
  free(bytes);
}

static void index_seeds(fuzz_emit emit, void *context) {
  static const uint8_t head[14] = {0, 0, 0, 'k', '0', '5'};
  parts_seeds(emit, context, SST_INDEX, head, sizeof head);
}

/* ---- properties ---- */

static void properties_run(const uint8_t *data, size_t size) {
  allocator *alloc = fuzz_memory_begin(16 * size + (64 << 10));
  sst_summary s, again;
  uint32_t bits, bits_again = 0;
  if (sst_properties_get(slice_make(data, size), &s, &bits)) {
    buf out;
    buf_init(&out, alloc);
    FUZZ_CHECK(bits >= 1 && bits <= BLOOM_BITS_MAX && s.seq_min <= s.seq_max && s.tombstones <= s.entries);
    FUZZ_CHECK(sst_properties_put(&out, &s, bits) >= 0);
    FUZZ_CHECK(out.size <= size && sst_properties_get(buf_slice(&out), &again, &bits_again));
    FUZZ_CHECK(bits == bits_again && s.entries == again.entries && slice_equal(s.largest, again.largest));
    buf_free(&out);
  }
  fuzz_memory_end();
}

static void properties_seeds(fuzz_emit emit, void *context) {
  parts_seeds(emit, context, SST_PROPERTIES, NULL, 0);
}

/* ---- range tombstones ---- */

static void ranges_run(const uint8_t *data, size_t size) {
  allocator *alloc = fuzz_memory_begin(64 * size + (64 << 10));
  rangedel_set *set = NULL, *again = NULL;
  int rc = rangedel_decode(alloc, slice_make(data, size), &set);
  FUZZ_CHECK(rc == VARVE_OK || rc == VARVE_CORRUPT);
  if (rc == VARVE_OK && set != NULL) {
    for (size_t i = 0; i < set->count; i++) {
      const range_tombstone *f = &set->fragments[i], *found = rangedel_find(set, f->begin, f->seq);
      FUZZ_CHECK(slice_compare(f->begin, f->end) < 0 && f->seq <= SEQ_MAX);
      FUZZ_CHECK(found != NULL && found->seq == f->seq && slice_equal(found->begin, f->begin));
      found = rangedel_find(set, f->end, SEQ_MAX);
      FUZZ_CHECK(found == NULL || !slice_equal(found->begin, f->begin));
    }
    FUZZ_CHECK(rangedel_build(alloc, set->fragments, set->count, &again) >= 0);
    FUZZ_CHECK(again != NULL && again->count == set->count);
    rangedel_free(again);
  }
  rangedel_free(set);
  fuzz_memory_end();
}

static void ranges_seeds(fuzz_emit emit, void *context) {
  parts_seeds(emit, context, SST_RANGES, NULL, 0);
}

/* ---- filters: of any bytes; and one that was built has no false negatives ---- */

static void filter_run(const uint8_t *data, size_t size) {
  fuzz_input in = {data, size};
  uint32_t bits = 2 + fuzz_u8(&in) % (BLOOM_BITS_MAX - 1);
  allocator *alloc = fuzz_memory_begin(64 * size + (64 << 10));
  uint64_t hashes[64];
  size_t count = 0;
  buf out;
  buf_init(&out, alloc);
  uint8_t *lines = aligned_alloc(64, in.left / 64 * 64 + 64);
  FUZZ_CHECK(lines != NULL);
  memcpy(lines, in.at, in.left / 64 * 64);
  slice any = slice_make(lines, in.left / 64 * 64);
  while (in.left > 0 && count < COUNT_OF(hashes)) {
    hashes[count] = key_hash(fuzz_take(&in, 1 + fuzz_u8(&in) % 8));
    (void)filter_may_contain(any, bits, hashes[count++]);
  }
  if (count > 0) {
    FUZZ_CHECK(filter_build(hashes, count, bits, &out) >= 0);
    for (size_t i = 0; i < count; i++) FUZZ_CHECK(filter_may_contain(buf_slice(&out), bits, hashes[i]));
  }
  buf_free(&out);
  free(lines);
  fuzz_memory_end();
}

const fuzz_target fuzz_block = {"block", 4096, block_run, block_seeds};
const fuzz_target fuzz_index = {"index", 2048, index_run, index_seeds};
const fuzz_target fuzz_properties = {"properties", 512, properties_run, properties_seeds};
const fuzz_target fuzz_ranges = {"ranges", 1024, ranges_run, ranges_seeds};
const fuzz_target fuzz_filter = {"filter", 1024, filter_run, NULL};
