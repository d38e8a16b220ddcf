/* sst_check.c: everything that a table says, compared with everything that it holds.
 *
 * The whole file is read again, not what is mapped or cached: checksums, order within and across blocks, heads,
 * separators,
 * the filter (every key must pass), and the properties against a recount.
 *
 * Invariants
 *   1. A table that sst_writer finished passes; a table with one byte changed does not.
 */
#include "lsm/sst_int.h"

typedef struct sst_check {
  table *t;
  sst_window window;
  buf last; /* the last key of the block before */
  buf key;
  uint64_t last_trailer;
  uint64_t blocks;
  sst_summary seen;
} sst_check;

/* Entry j of the open block as a whole key in c->key. */
static int sst_check_key(sst_check *c, const block *b, uint32_t i, uint32_t j, slice *value) {
  slice suffix;
  if (!block_entry(b, j, &suffix, value)) return table_block_damaged(c->t, i, "an entry is broken");
  TRY(buf_set(&c->key, b->prefix));
  return buf_append(&c->key, suffix.data, suffix.size);
}

static int sst_check_entry(sst_check *c, const block *b, uint32_t i, uint32_t j) {
  table *t = c->t;
  slice value;
  TRY(sst_check_key(c, b, i, j, &value));
  slice key = buf_slice(&c->key);
  uint64_t trailer = block_trailer(b, j);
  if (!filter_may_contain(t->filter, t->bloom_bits, key_hash(key))) {
    return sst_damaged(t->number, t->footer.part[SST_FILTER].offset, "the filter denies a key that is there");
  }
  c->seen.entries++;
  c->seen.raw_bytes += key.size + value.size;
  if (trailer_kind(trailer) == KIND_DELETE) c->seen.tombstones++;
  c->seen.seq_min = MIN(c->seen.seq_min, trailer_seq(trailer));
  c->seen.seq_max = MAX(c->seen.seq_max, trailer_seq(trailer));
  return VARVE_OK;
}

/* The first key of block i against what came before, the last one against the index. */
static int sst_check_bounds(sst_check *c, const block *b, uint32_t i) {
  table *t = c->t;
  slice value;
  TRY(sst_check_key(c, b, i, 0, &value));
  slice first = buf_slice(&c->key);
  if (i == 0) {
    TRY(buf_set(&c->last, first)); /* for the properties: the table's first key */
    bool ok = t->summary.range_tombstones > 0 ? slice_compare(t->summary.smallest, first) <= 0
                                              : slice_equal(t->summary.smallest, first);
    if (!ok) return sst_damaged(t->number, t->footer.part[SST_PROPERTIES].offset, "the smallest key is wrong");
  } else {
    if (entry_compare(buf_slice(&c->last), c->last_trailer, first, block_trailer(b, 0)) >= 0) {
      return table_block_damaged(t, i, "a block begins before the end of the one before it");
    }
    buf separator;
    buf_init(&separator, c->window.alloc);
    slice rest = sst_index_separator(&t->index, i - 1);
    int rc = VARVE_OK;
    STEP(buf_append(&separator, t->index.prefix.data, t->index.prefix.size));
    STEP(buf_append(&separator, rest.data, rest.size));
    slice s = buf_slice(&separator);
    int low = slice_compare(buf_slice(&c->last), s), high = slice_compare(s, first);
    bool spans = slice_equal(buf_slice(&c->last), first);
    if (low > 0 || (spans ? high != 0 : high >= 0) || t->index.heads[i - 1] != head_u64(rest.data, rest.size)) {
      STEP(sst_damaged(t->number, t->footer.part[SST_INDEX].offset, "a separator is wrong"));
    }
  out:
    buf_free(&separator);
    TRY(rc);
  }
  TRY(sst_check_key(c, b, i, b->count - 1, &value));
  TRY(buf_set(&c->last, buf_slice(&c->key)));
  c->last_trailer = block_trailer(b, b->count - 1);
  return VARVE_OK;
}

static int sst_check_blocks(sst_check *c) {
  for (uint32_t i = 0; i < c->t->index.count; i++) {
    block b;
    TRY(sst_window_block(&c->window, i, &b));
    if (!block_check(&b)) return table_block_damaged(c->t, i, "a block breaks its format");
    TRY(sst_check_bounds(c, &b, i));
    for (uint32_t j = 0; j < b.count; j++) TRY(sst_check_entry(c, &b, i, j));
    c->blocks++;
  }
  return VARVE_OK;
}

/* The last key, which the last separator and the properties repeat. */
static int sst_check_end(sst_check *c) {
  table *t = c->t;
  if (t->index.count == 0) return VARVE_OK;
  slice last = buf_slice(&c->last), prefix = t->index.prefix;
  slice rest = sst_index_separator(&t->index, t->index.count - 1);
  bool ok = slice_starts_with(last, prefix) &&
            slice_equal(rest, slice_make((const uint8_t *)last.data + prefix.size, last.size - prefix.size)) &&
            t->index.heads[t->index.count - 1] == head_u64(rest.data, rest.size);
  if (!ok) return sst_damaged(t->number, t->footer.part[SST_INDEX].offset, "the last separator is wrong");
  int order = slice_compare(last, t->summary.largest);
  if (t->summary.largest_exclusive ? order >= 0 : order != 0) {
    return sst_damaged(t->number, t->footer.part[SST_PROPERTIES].offset, "the largest key is wrong");
  }
  return VARVE_OK;
}

static int sst_check_properties(sst_check *c) {
  table *t = c->t;
  const sst_summary *said = &t->summary, *seen = &c->seen;
  for (size_t i = 0; t->ranges != NULL && i < t->ranges->count; i++) {
    const range_tombstone *r = &t->ranges->fragments[i];
    c->seen.seq_min = MIN(c->seen.seq_min, r->seq);
    c->seen.seq_max = MAX(c->seen.seq_max, r->seq);
    int low = slice_compare(r->begin, said->smallest), high = slice_compare(r->end, said->largest);
    if (low < 0 || high > 0) {
      return sst_damaged(t->number, t->footer.part[SST_RANGES].offset, "a range tombstone exceeds the table's bounds");
    }
  }
  if (said->entries + said->range_tombstones == 0) c->seen.seq_min = 0;
  bool ok = said->entries == seen->entries && said->tombstones == seen->tombstones &&
            said->raw_bytes == seen->raw_bytes && said->seq_min == seen->seq_min && said->seq_max == seen->seq_max;
  if (!ok) return sst_damaged(t->number, t->footer.part[SST_PROPERTIES].offset, "the properties are not what it holds");
  return VARVE_OK;
}

/* The sections that are kept in memory, as they are in the file now. */
static int sst_check_parts(sst_check *c) {
  table *t = c->t;
  uint8_t bytes[SST_FOOTER_BYTES];
  sst_footer footer;
  TRY(vfs_read_exact(t->file, t->size - SST_FOOTER_BYTES, bytes, sizeof bytes));
  TRY(sst_footer_get(bytes, t->number, t->size, &footer));
  for (size_t i = 0; i < SST_PARTS; i++) {
    sst_extent e = footer.part[i];
    if (e.size == 0) continue;
    if (e.size > PTRDIFF_MAX) return mem_fail((size_t)PTRDIFF_MAX, "a section");
    uint8_t *data = mem_alloc_lines(c->window.alloc, (size_t)e.size);
    if (data == NULL) return mem_fail((size_t)e.size, "a section");
    sst_section s;
    int rc = vfs_read_exact(t->file, e.offset, data, (size_t)e.size);
    if (rc >= 0) rc = sst_section_open(data, e.size, t->number, e.offset, &s);
    mem_free_lines(c->window.alloc, data, (size_t)e.size);
    TRY(rc);
  }
  return VARVE_OK;
}

INTERNAL int table_verify(table *t, uint64_t *blocks, uint64_t *entries) {
  sst_check c = {.t = t, .seen = {.seq_min = SEQ_MAX}};
  sst_window_init(&c.window, t, t->alloc);
  buf_init(&c.last, t->alloc);
  buf_init(&c.key, t->alloc);
  int rc = VARVE_OK;
  STEP(sst_check_parts(&c));
  STEP(sst_check_blocks(&c));
  STEP(sst_check_end(&c));
  STEP(sst_check_properties(&c));
out:
  *blocks = c.blocks;
  *entries = c.seen.entries;
  sst_window_free(&c.window);
  buf_free(&c.last);
  buf_free(&c.key);
  return rc;
}
