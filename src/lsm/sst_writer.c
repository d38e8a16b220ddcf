/* sst_writer.c: a table from sorted versions, in one pass.
 *
 *   versions -> block builder -> section (compressed when it pays) -> pending -> file, in pieces of 256 KiB or more
 *   Kept until the end: 8 bytes of hash a key, the index, the range tombstones.
 *
 * Invariants
 *   1. written + pending.size is the file offset of what comes next, always a multiple of 8.
 *   2. The first failure is final: every later call returns it, and close removes the file.
 *   3. Versions come in order; if they do not (a damaged input of a compaction) the table is refused, not written.
 */
#include "lsm/block.h"
#include "lsm/sst_format.h"

#define WRITER_PIECE_BYTES (256u * KiB)
#define WRITER_KEEP_BYTES  (1u * MiB) /* buffers that one huge value made larger are given back */
#define WRITER_SAVED_PART  8u         /* LZ4 must save one part of so many (12.5 %) */

struct sst_writer {
  env *e;
  allocator *alloc;
  vfs_file *file;
  uint64_t number;
  sst_options options;
  block_builder block;
  buf pending;     /* bytes of the file not written yet */
  buf raw;         /* a block before compression */
  buf hashes;      /* u64 */
  buf first, last; /* keys: of the table; of the block before the open one, and at the end of the table */
  buf smallest, largest;
  buf ranges, range_begin, range_end; /* encoded fragments without their count; the last one's bounds */
  sst_index_builder index;
  uint64_t written, blocks_end, last_trailer, range_seq;
  sst_summary summary;
  int failure;
  bool finished;
  lz4_work lz4;
};

static void sst_writer_init(sst_writer *w, env *e, uint64_t number, const sst_options *options) {
  allocator *alloc = e->alloc;
  w->e = e;
  w->alloc = alloc;
  w->number = number;
  w->options = *options;
  block_builder_init(&w->block, alloc);
  buf *bufs[] = {&w->pending,  &w->raw,     &w->hashes, &w->first,       &w->last,
                 &w->smallest, &w->largest, &w->ranges, &w->range_begin, &w->range_end};
  for (size_t i = 0; i < COUNT_OF(bufs); i++) buf_init(bufs[i], alloc);
  sst_index_builder_init(&w->index, alloc);
  w->summary.seq_min = SEQ_MAX;
}

INTERNAL int sst_writer_create(env *e, uint64_t number, const sst_options *options, sst_writer **out) {
  ASSERT(options->block_bytes > 0 && options->block_bytes <= BLOCK_BYTES_MAX);
  ASSERT(options->bloom_bits >= 1 && options->bloom_bits <= BLOOM_BITS_MAX);
  *out = NULL;
  sst_writer *w = MEM_NEW(e->alloc, sst_writer);
  if (w == NULL) return mem_fail(sizeof *w, "a table's writer");
  sst_writer_init(w, e, number, options);
  int rc = VARVE_OK;
  STEP(buf_reserve(&w->pending, WRITER_PIECE_BYTES + 2 * (size_t)BLOCK_BYTES_MAX));
  STEP(vfs_open(e->fs, FILE_SST, number, VFS_CREATE | VFS_WRITE, &w->file));
  *out = w;
  w = NULL;
out:
  sst_writer_close(w);
  return rc;
}

INTERNAL void sst_writer_close(sst_writer *w) {
  if (w == NULL) return;
  block_builder_free(&w->block);
  buf *bufs[] = {&w->pending,  &w->raw,     &w->hashes, &w->first,       &w->last,
                 &w->smallest, &w->largest, &w->ranges, &w->range_begin, &w->range_end};
  for (size_t i = 0; i < COUNT_OF(bufs); i++) buf_free(bufs[i]);
  sst_index_builder_free(&w->index);
  if (w->file != NULL) {
    (void)vfs_close(w->file); /* finish synced what counts */
    if (!w->finished) (void)vfs_remove(w->e->fs, FILE_SST, w->number);
  }
  MEM_DELETE(w->alloc, w);
}

static inline uint64_t sst_writer_offset(const sst_writer *w) {
  return w->written + w->pending.size;
}

static int sst_writer_flush(sst_writer *w) {
  if (w->pending.size == 0) return VARVE_OK;
  TRY(vfs_write_at(w->file, w->written, w->pending.data, w->pending.size));
  w->written += w->pending.size;
  buf_clear(&w->pending);
  if (w->pending.capacity > WRITER_KEEP_BYTES) {
    buf_free(&w->pending);
    TRY(buf_reserve(&w->pending, WRITER_PIECE_BYTES + 2 * (size_t)BLOCK_BYTES_MAX));
  }
  return VARVE_OK;
}

static slice sst_writer_last_key(const sst_writer *w) {
  if (w->block.count == 0) return buf_slice(&w->last);
  return slice_make(w->block.keys.data + w->block.last_key, w->block.keys.size - w->block.last_key);
}

/* Entries of hash indexes stay as they are: their order puts nothing alike side by side, and they are read one at a
 * time, so inflating a block for each would cost more than the search. */
static bool sst_writer_compresses(const sst_writer *w) {
  slice key = sst_writer_last_key(w);
  return w->options.compress && filter_part(key).size == key.size;
}

/* Puts the open block's payload behind `pending`, compressed when asked for and worth it. */
static int sst_writer_put_block(sst_writer *w, uint32_t *codec) {
  *codec = SST_CODEC_RAW;
  if (!sst_writer_compresses(w)) return block_builder_finish(&w->block, &w->pending);
  buf_clear(&w->raw);
  TRY(block_builder_finish(&w->block, &w->raw));
  size_t room = w->raw.size - w->raw.size / WRITER_SAVED_PART;
  ASSERT(room > 4);
  if (w->raw.size < INT32_MAX) {
    TRY(buf_reserve(&w->pending, room));
    uint8_t *to = w->pending.data + w->pending.size;
    size_t size = lz4_compress(&w->lz4, w->raw.data, w->raw.size, to + 4, room - 4);
    if (size > 0) {
      ASSERT(size <= room - 4);
      put_u32(to, (uint32_t)w->raw.size);
      w->pending.size += 4 + size;
      *codec = SST_CODEC_LZ4;
      return VARVE_OK;
    }
  }
  return buf_append(&w->pending, w->raw.data, w->raw.size);
}

/* Ends the open block; `next` is the key that comes after it, empty at the end. */
static int sst_writer_cut(sst_writer *w, slice next) {
  ASSERT(w->block.count > 0);
  uint64_t offset = sst_writer_offset(w);
  size_t start = w->pending.size;
  ASSERT(start % 8 == 0);
  TRY(buf_set(&w->last, sst_writer_last_key(w)));
  TRY(sst_index_builder_add(&w->index, offset, buf_slice(&w->last), next));
  uint32_t codec;
  TRY(sst_writer_put_block(w, &codec));
  TRY(sst_section_end(&w->pending, start, codec, w->number, offset));
  w->blocks_end = sst_writer_offset(w);
  if (w->block.values.capacity > WRITER_KEEP_BYTES) block_builder_free(&w->block);
  if (w->raw.capacity > WRITER_KEEP_BYTES) buf_free(&w->raw);
  return w->pending.size >= WRITER_PIECE_BYTES ? sst_writer_flush(w) : VARVE_OK;
}

static inline void sst_writer_count_seq(sst_writer *w, uint64_t seq) {
  if (seq < w->summary.seq_min) w->summary.seq_min = seq;
  if (seq > w->summary.seq_max) w->summary.seq_max = seq;
}

/* Entries of a hash index that differ behind their hash alone have one hash here. */
static inline int sst_writer_add_hash(sst_writer *w, uint64_t hash) {
  size_t size = w->hashes.size;
  if (UNLIKELY(size > 0 && get_u64(w->hashes.data + size - sizeof hash) == hash)) return VARVE_OK;
  return buf_append_u64(&w->hashes, hash);
}

static int sst_writer_add_checked(sst_writer *w, slice key, uint64_t trailer, slice value) {
  bool new_key = true;
  if (LIKELY(w->summary.entries > 0)) {
    int order = slice_compare(sst_writer_last_key(w), key);
    if (UNLIKELY(order > 0 || (order == 0 && trailer >= w->last_trailer))) {
      return status_fail(VARVE_CORRUPT, "entries for %s come out of order", file_name(FILE_SST, w->number));
    }
    new_key = order != 0;
  } else {
    TRY(buf_set(&w->first, key));
  }
  if (w->block.count > 0) {
    size_t more = key.size - MIN(key.size, w->block.prefix) + value.size + (w->block.any_trailer ? 18 : 10);
    if (block_builder_size(&w->block) + more + SST_SECTION_TAIL > w->options.block_bytes) {
      TRY(sst_writer_cut(w, key));
    }
  }
  if (new_key && w->options.bloom_bits > 1) TRY(sst_writer_add_hash(w, key_hash(key)));
  TRY(block_builder_add(&w->block, key, trailer, value));
  w->last_trailer = trailer;
  w->summary.entries++;
  w->summary.raw_bytes += key.size + value.size;
  if (trailer_kind(trailer) == KIND_DELETE) w->summary.tombstones++;
  sst_writer_count_seq(w, trailer_seq(trailer));
  return VARVE_OK;
}

INTERNAL int sst_writer_add(sst_writer *w, slice key, uint64_t trailer, slice value) {
  ASSERT(!w->finished);
  ASSERT(trailer_kind(trailer) == KIND_PUT || trailer_kind(trailer) == KIND_DELETE);
  if (UNLIKELY(w->failure < 0)) return w->failure;
  int rc = sst_writer_add_checked(w, key, trailer, value);
  if (UNLIKELY(rc < 0)) w->failure = rc;
  return rc;
}

INTERNAL int sst_writer_add_range(sst_writer *w, slice begin, slice end, uint64_t seq) {
  ASSERT(!w->finished && seq <= SEQ_MAX);
  ASSERT(slice_compare(begin, end) < 0);
  if (w->failure < 0) return w->failure;
  int rc = VARVE_OK;
  if (w->summary.range_tombstones > 0) {
    bool same = slice_equal(begin, buf_slice(&w->range_begin)) && slice_equal(end, buf_slice(&w->range_end));
    ASSERT(same ? seq < w->range_seq : slice_compare(begin, buf_slice(&w->range_end)) >= 0);
  } else {
    STEP(buf_set(&w->smallest, begin));
  }
  range_tombstone fragment = {begin, end, seq};
  STEP(rangedel_append(&fragment, &w->ranges));
  STEP(buf_set(&w->range_begin, begin));
  STEP(buf_set(&w->range_end, end));
  w->range_seq = seq;
  w->summary.range_tombstones++;
  sst_writer_count_seq(w, seq);
out:
  if (rc < 0) w->failure = rc;
  return rc;
}

INTERNAL uint64_t sst_writer_size(const sst_writer *w) {
  return sst_writer_offset(w) + w->ranges.size + (w->block.count == 0 ? 0 : block_builder_size(&w->block));
}

/* The bounds of points and range tombstones together. */
static int sst_writer_bounds(sst_writer *w) {
  sst_summary *s = &w->summary;
  slice last = buf_slice(&w->last), end = buf_slice(&w->range_end);
  if (s->entries > 0 &&
      (s->range_tombstones == 0 || slice_compare(buf_slice(&w->first), buf_slice(&w->smallest)) < 0)) {
    TRY(buf_set(&w->smallest, buf_slice(&w->first)));
  }
  s->largest_exclusive = s->range_tombstones > 0 && (s->entries == 0 || slice_compare(last, end) < 0);
  TRY(buf_set(&w->largest, s->largest_exclusive ? end : last));
  s->smallest = buf_slice(&w->smallest);
  s->largest = buf_slice(&w->largest);
  if (s->entries + s->range_tombstones == 0) s->seq_min = 0;
  return VARVE_OK;
}

static int sst_writer_put_part(sst_writer *w, sst_part part) {
  switch (part) {
    case SST_RANGES:
      if (w->summary.range_tombstones == 0) return VARVE_OK;
      TRY(buf_append_varint(&w->pending, w->summary.range_tombstones));
      return buf_append(&w->pending, w->ranges.data, w->ranges.size);
    case SST_FILTER:
      return filter_build((const uint64_t *)(const void *)w->hashes.data, w->hashes.size / 8, w->options.bloom_bits,
                          &w->pending);
    case SST_INDEX:
      return sst_index_builder_finish(&w->index, buf_slice(&w->first), w->blocks_end, &w->pending);
    default:
      ASSERT(part == SST_PROPERTIES);
      return sst_properties_put(&w->pending, &w->summary, w->options.bloom_bits);
  }
}

/* The sections behind the blocks; an empty one is left out. */
static int sst_writer_put_parts(sst_writer *w, sst_footer *f) {
  for (sst_part part = 0; part < SST_PARTS; part++) {
    uint64_t at = sst_writer_offset(w);
    size_t zeros = (size_t)(align_up(at, sst_part_align(part)) - at), start = w->pending.size + zeros;
    f->part[part] = (sst_extent){at, 0};
    TRY(buf_append_zeros(&w->pending, zeros));
    TRY(sst_writer_put_part(w, part));
    if (w->pending.size == start) {
      w->pending.size -= zeros;
      continue;
    }
    TRY(sst_section_end(&w->pending, start, SST_CODEC_RAW, w->number, at + zeros));
    f->part[part] = (sst_extent){at + zeros, w->pending.size - start};
    if (f->part[part].size > SST_BLOCK_BYTES_CAP) return status_fail(VARVE_LIMIT, "a table is too large");
    if (w->pending.size >= WRITER_PIECE_BYTES) TRY(sst_writer_flush(w));
  }
  return VARVE_OK;
}

INTERNAL int sst_writer_finish(sst_writer *w, sst_summary *summary) {
  ASSERT(!w->finished);
  if (w->failure < 0) return w->failure;
  int rc = VARVE_OK;
  slice none = {NULL, 0};
  if (w->block.count > 0) STEP(sst_writer_cut(w, none));
  STEP(sst_writer_bounds(w));
  sst_footer footer;
  STEP(sst_writer_put_parts(w, &footer));
  uint8_t bytes[SST_FOOTER_BYTES];
  w->summary.size = sst_writer_offset(w) + SST_FOOTER_BYTES;
  sst_footer_put(bytes, &footer, w->number, w->summary.size);
  STEP(buf_append(&w->pending, bytes, sizeof bytes));
  STEP(sst_writer_flush(w));
  ASSERT(w->written == w->summary.size);
  STEP(vfs_sync(w->file));
  w->finished = true;
  *summary = w->summary;
out:
  if (rc < 0) w->failure = rc;
  return rc;
}

#undef WRITER_PIECE_BYTES
#undef WRITER_KEEP_BYTES
#undef WRITER_SAVED_PART
