/* repair_table.c: what can be saved of one table.
 *
 * A table that is whole takes part in the merge as it is. Of a damaged one the whole blocks are copied, with the same
 * sequences, to a clean table in the target: by the index when footer and index are whole, else by scanning
 * (repair_scan.h). Footer, index, filter and properties say nothing that the blocks do not: damage there is mended.
 *
 *     |block|block|XXXXX|block| ... |block|ranges|filter|index|properties|footer|
 *                 ^ told as one stretch, with the last key before it and the first one after it
 *
 * Invariants
 *   1. What is copied passed its checksum and is in order; a block that is not is left out like a damaged one.
 *   2. Memory: one window or the largest block, and a writer.
 */
#include "lsm/repair_scan.h"

typedef struct table_repair {
  repair *r;
  uint64_t number, size;
  const table_meta *meta; /* NULL = the manifest says nothing of it */
  repair_window window;
  repair_scan scan;
  sst_writer *out;
  uint64_t out_number;
  buf last, key; /* the last key that was saved; the one at hand */
  uint64_t last_trailer, saved;
  bool has_last, scanned;
  uint64_t lost_at, lost_size; /* a stretch that was left out and is not told yet; size 0 = none */
  char lost_reason[STATUS_MESSAGE_SIZE];
  bool told;                        /* something of it was lost */
  char reason[STATUS_MESSAGE_SIZE]; /* why the table is not whole */
} table_repair;

/* ---- what is lost ---- */

static void repair_table_tell(table_repair *t, uint64_t offset, uint64_t size, const char *reason, slice before) {
  varve_repair_loss loss = {.file = file_name(FILE_SST, t->number), .offset = offset, .size = size, .reason = reason};
  if (t->has_last) {
    loss.after = buf_slice(&t->last);
  } else if (t->meta != NULL) {
    loss.after = t->meta->smallest;
  }
  loss.before = before.size > 0 ? before : t->meta != NULL ? t->meta->largest : before;
  t->told = true;
  repair_tell(t->r, loss);
}

/* Tells of the open stretch; `before` is the first key behind it, empty = nothing is. */
static void repair_table_end_stretch(table_repair *t, slice before) {
  if (t->lost_size == 0) return;
  ASSERT(t->lost_at <= UINT64_MAX - t->lost_size && t->lost_reason[0] != '\0');
  t->r->report->bytes_lost += t->lost_size;
  if (t->scanned) t->r->report->blocks_lost++; /* at least */
  repair_table_tell(t, t->lost_at, t->lost_size, t->lost_reason, before);
  t->lost_size = 0;
}

/* [offset, offset + size) is lost, because of what the thread's message says. */
static void repair_table_lose(table_repair *t, uint64_t offset, uint64_t size) {
  ASSERT(size > 0);
  if (t->lost_size > 0 && t->lost_at + t->lost_size == offset) {
    t->lost_size += size;
    return;
  }
  ASSERT(t->lost_size == 0); /* else that stretch would never be told */
  t->lost_at = offset;
  t->lost_size = size;
  repair_reason(t->lost_reason);
}

/* ---- what is saved ---- */

static int repair_table_key(table_repair *t, const block *b, uint32_t i, slice *value) {
  slice suffix;
  bool whole = block_entry(b, i, &suffix, value);
  ASSERT(whole); /* block_check saw it */
  TRY(buf_set(&t->key, b->prefix));
  return buf_append(&t->key, suffix.data, suffix.size);
}

static int repair_table_open_out(table_repair *t) {
  static const sst_options options = {.block_bytes = BLOCK_BYTES_DEFAULT, .bloom_bits = 1, .compress = false};
  if (t->out != NULL) return VARVE_OK;
  ASSERT(t->saved == 0);
  t->out_number = t->r->next_number++;
  return sst_writer_create(t->r->to, t->out_number, &options, &t->out);
}

/* Copies a whole block. CORRUPT when it does not come after what was copied before it. */
static int repair_table_take(table_repair *t, uint64_t offset, const block *b) {
  slice value;
  ASSERT(b->count > 0 && offset % 8 == 0);
  TRY(repair_table_key(t, b, 0, &value));
  if (t->has_last &&
      entry_compare(buf_slice(&t->last), t->last_trailer, buf_slice(&t->key), block_trailer(b, 0)) >= 0) {
    return sst_damaged(t->number, offset, "its keys are out of order");
  }
  repair_table_end_stretch(t, buf_slice(&t->key));
  TRY(repair_table_open_out(t));
  for (uint32_t i = 0; i < b->count; i++) {
    TRY(repair_table_key(t, b, i, &value));
    t->last_trailer = block_trailer(b, i);
    TRY(sst_writer_add(t->out, buf_slice(&t->key), t->last_trailer, value));
    t->r->seq_max = MAX(t->r->seq_max, trailer_seq(t->last_trailer));
  }
  t->saved += b->count;
  t->has_last = true;
  return buf_set(&t->last, buf_slice(&t->key));
}

static int repair_table_ranges(table_repair *t, slice payload) {
  rangedel_set *set;
  TRY(rangedel_decode(t->r->alloc, payload, &set));
  int rc = VARVE_OK;
  for (size_t i = 0; set != NULL && rc >= 0 && i < set->count; i++) rc = repair_add_range(t->r, &set->fragments[i]);
  rangedel_free(set);
  return rc;
}

static void repair_table_lose_ranges(table_repair *t, uint64_t offset, uint64_t size) {
  slice none = {NULL, 0};
  t->r->report->bytes_lost += size;
  repair_table_tell(t, offset, size, "its deletions of whole ranges are lost: what they deleted may be back", none);
}

/* ---- by the index ---- */

static int repair_table_index(table_repair *t, const sst_footer *f, buf *store, sst_index *x) {
  const sst_extent *e = &f->part[SST_INDEX];
  const uint8_t *p;
  sst_section s;
  TRY(repair_window_bytes(&t->window, e->offset, e->size, &p));
  TRY(sst_section_open(p, e->size, t->number, e->offset, &s));
  if (s.codec != SST_CODEC_RAW) return sst_damaged(t->number, e->offset, "a section has an unknown codec");
  TRY(buf_set(store, s.payload)); /* the window moves on */
  if (sst_index_open(x, buf_slice(store), f->part[SST_RANGES].offset)) return VARVE_OK;
  return sst_damaged(t->number, e->offset, "the index is broken");
}

static int repair_table_by_index(table_repair *t, const sst_index *x) {
  for (uint32_t i = 0; i < x->count; i++) {
    uint64_t offset = sst_index_offset(x, i), size = sst_index_offset(x, i + 1) - offset;
    block b;
    int rc = repair_scan_block(&t->scan, offset, size, &b);
    if (rc >= 0) rc = repair_table_take(t, offset, &b);
    if (rc >= 0) continue;
    if (rc != VARVE_CORRUPT) return rc;
    repair_table_lose(t, offset, size);
    t->r->report->blocks_lost++;
  }
  slice none = {NULL, 0};
  repair_table_end_stretch(t, none);
  return VARVE_OK;
}

/* The range tombstones where the footer says that they are. */
static int repair_table_footer_ranges(table_repair *t, const sst_footer *f) {
  const sst_extent *e = &f->part[SST_RANGES];
  const uint8_t *p;
  sst_section s = {0};
  if (e->size == 0) return VARVE_OK;
  TRY(repair_window_bytes(&t->window, e->offset, e->size, &p));
  int rc = sst_section_open(p, e->size, t->number, e->offset, &s);
  if (rc >= 0) rc = s.codec == SST_CODEC_RAW ? repair_table_ranges(t, s.payload) : VARVE_CORRUPT;
  if (rc != VARVE_CORRUPT) return rc;
  repair_table_lose_ranges(t, e->offset, e->size);
  return VARVE_OK;
}

/* ---- by scanning ---- */

typedef struct table_found {
  uint64_t blocks_end; /* where they end, UINT64_MAX = not known */
  bool ranges;         /* they were found */
} table_found;

/* Whether the table held range tombstones: 1, 0, or -1 = not known. */
static int repair_table_had_ranges(const table_repair *t) {
  return t->meta == NULL ? -1 : t->meta->range_tombstones > 0;
}

/* Looks for sections up to the end of the file, or of the blocks when that is known. */
static int repair_table_by_scan(table_repair *t, table_found *found) {
  uint64_t at = 0;
  uint64_t end = MIN(found->blocks_end, t->scan.end);
  while (at < end) {
    repair_section section;
    TRY(repair_scan_at(&t->scan, at, &section));
    int rc = VARVE_OK;
    if (section.kind == FOUND_BLOCK) rc = repair_table_take(t, at, &section.block);
    if (section.kind == FOUND_RANGES) {
      rc = repair_table_ranges(t, section.payload);
      if (rc >= 0) found->ranges = true;
    }
    if (section.kind == FOUND_INDEX) {
      sst_index x;
      uint32_t blocks = get_u32(section.payload.data);
      uint64_t blocks_end = (uint64_t)get_u32((const uint8_t *)section.payload.data + 8 + 12 * (uint64_t)blocks) * 8;
      if (sst_index_open(&x, section.payload, blocks_end)) {
        found->blocks_end = MIN(found->blocks_end, blocks_end);
        return VARVE_OK; /* behind it come neither blocks nor ranges; what is lost before it stays to be told */
      }
    }
    if (rc < 0 && rc != VARVE_CORRUPT) return rc;
    uint64_t size = section.kind == FOUND_NOTHING ? MIN((uint64_t)8, end - at) : section.size;
    if (section.kind == FOUND_NOTHING || rc < 0) {
      bool goes_on = t->lost_size > 0 && t->lost_at + t->lost_size == at;
      if (rc >= 0 && !goes_on) (void)sst_damaged(t->number, at, "no whole block is there");
      if (!found->ranges) repair_table_lose(t, at, size); /* the blocks are over behind the ranges */
    }
    ASSERT(size > 0 && size <= end - at + SST_BLOCK_BYTES_CAP);
    at += size;
  }
  return VARVE_OK;
}

/* What the scan left out counts as far as it can have been blocks. */
static void repair_table_judge_scan(table_repair *t, const table_found *found) {
  slice none = {NULL, 0};
  ASSERT(t->scanned);
  bool all = t->meta != NULL && t->saved == t->meta->entries;
  if (t->lost_size > 0 && found->blocks_end != UINT64_MAX) {
    uint64_t end = t->lost_at + t->lost_size;
    t->lost_size = t->lost_at >= found->blocks_end ? 0 : MIN(end, found->blocks_end) - t->lost_at;
  }
  if (all) t->lost_size = 0;
  bool cut = t->meta != NULL && t->meta->size > t->size && !all;
  if (cut && found->blocks_end == UINT64_MAX) {
    (void)sst_damaged(t->number, t->size, "the file is cut short");
    repair_table_lose(t, t->size, t->meta->size - t->size);
  }
  repair_table_end_stretch(t, none);
  if (!found->ranges && repair_table_had_ranges(t) != 0) {
    uint64_t at = found->blocks_end == UINT64_MAX ? t->size : found->blocks_end;
    repair_table_tell(t, at, 0,
                      repair_table_had_ranges(t) > 0
                          ? "its deletions of whole ranges are lost: what they deleted may be back"
                          : "its end is lost: if it held deletions of whole ranges, what they deleted may be back",
                      none);
  }
}

/* ---- one table ---- */

static int repair_table_footer(table_repair *t, sst_footer *f) {
  const uint8_t *p;
  if (t->size < SST_FOOTER_BYTES || t->size % 8 != 0) return sst_damaged(t->number, 0, "a table cannot have its size");
  TRY(repair_window_bytes(&t->window, t->size - SST_FOOTER_BYTES, SST_FOOTER_BYTES, &p));
  return sst_footer_get(p, t->number, t->size, f);
}

static int repair_table_salvage(table_repair *t) {
  sst_footer footer;
  sst_index x;
  buf store;
  buf_init(&store, t->r->alloc);
  table_found found = {UINT64_MAX, false};
  int rc = VARVE_OK;
  rc = repair_table_footer(t, &footer);
  if (rc < 0 && rc != VARVE_CORRUPT) goto out;
  bool has_footer = rc >= 0;
  if (has_footer) {
    found.blocks_end = footer.part[SST_RANGES].offset;
    rc = repair_table_index(t, &footer, &store, &x);
    if (rc < 0 && rc != VARVE_CORRUPT) goto out;
  }
  if (has_footer && rc >= 0) {
    STEP(repair_table_by_index(t, &x));
    STEP(repair_table_footer_ranges(t, &footer));
  } else {
    t->scanned = true;
    STEP(repair_table_by_scan(t, &found));
    if (has_footer) {
      found.ranges = true; /* the footer says where they are, and whether there are any */
      STEP(repair_table_footer_ranges(t, &footer));
    }
    repair_table_judge_scan(t, &found);
  }
out:
  buf_free(&store);
  return rc;
}

static int repair_table_finish(table_repair *t) {
  varve_repair_report *report = t->r->report;
  sst_summary summary;
  ASSERT((t->out != NULL) == (t->saved > 0) && t->lost_size == 0);
  if (t->out != NULL) {
    TRY(sst_writer_finish(t->out, &summary));
    TRY(repair_add_source(t->r, t->r->to, t->out_number, t->number, &summary));
  }
  report->tables_damaged++;
  if (t->saved == 0 && t->told) report->tables_lost++;
  if (t->told) return VARVE_OK;
  varve_repair_loss mended = {.file = file_name(FILE_SST, t->number), .reason = t->reason, .harmless = true};
  repair_tell(t->r, mended);
  return VARVE_OK;
}

static int repair_table_damaged(repair *r, uint64_t number, const table_meta *meta) {
  table_repair t = {.r = r, .number = number, .meta = meta};
  int rc = VARVE_OK;
  repair_reason(t.reason);
  TRY(repair_window_open(&t.window, r->from, FILE_SST, number));
  t.size = t.window.size;
  if (meta != NULL && meta->size < t.size) t.size = meta->size; /* bytes behind a table are none of it */
  repair_scan_init(&t.scan, &t.window, number, t.size);
  buf_init(&t.last, r->alloc);
  buf_init(&t.key, r->alloc);
  STEP(repair_table_salvage(&t));
  STEP(repair_table_finish(&t));
out:
  sst_writer_close(t.out);
  buf_free(&t.last);
  buf_free(&t.key);
  repair_scan_free(&t.scan);
  repair_window_close(&t.window);
  return rc;
}

/* Takes a whole table as it is: OK, or why it is not whole. */
static int repair_table_whole(repair *r, uint64_t number, uint64_t size) {
  table *t;
  uint64_t blocks, entries;
  sst_summary s;
  TRY(table_open(r->from, r->cache, number, size, false, &t));
  int rc = VARVE_OK;
  STEP(table_verify(t, &blocks, &entries));
  table_summary(t, &s);
  const rangedel_set *set = table_range_set(t);
  for (size_t i = 0; set != NULL && i < set->count; i++) STEP(repair_add_range(r, &set->fragments[i]));
  STEP(repair_add_source(r, r->from, number, number, &s));
  r->seq_max = MAX(r->seq_max, s.seq_max);
out:
  table_close(t);
  return rc;
}

INTERNAL int repair_table(repair *r, uint64_t number, uint64_t size, const table_meta *meta) {
  r->report->tables++;
  int rc = meta != NULL && meta->size != size ? sst_damaged(number, MIN(size, meta->size),
                                                            "the file has not the size "
                                                            "that it had")
                                              : repair_table_whole(r, number, size);
  if (rc == VARVE_CORRUPT || rc == VARVE_IO) rc = repair_table_damaged(r, number, meta);
  return rc < 0 ? rc : repair_progress(r, size);
}
