/* repair_merge.c: everything that was saved, merged into the tables of the new database.
 *
 * It is a full compaction with other inputs: of each key the newest version counts, unless it is a delete or a range
 * tombstone covers it, and its sequence becomes 0. Which tables lie in which level need not be known: tables that do
 * not overlap are strung together to runs, so that as many are open at once as there were levels and flushes.
 *
 * Sequences decide what is newer. Where two versions of a key have the same one the higher rank counts: logs before
 * tables, then the higher file number. That happens when the manifest is lost and inputs of a compaction are there
 * beside its output: merges at the bottom have made sequences 0.
 *
 * The catalogue (docs/FORMAT.md) is made anew from its entries and from the ids that are in keys: an id without a name
 * gets one, and the next id to give is above all of them. It lies between the default keyspace and the named ones, and
 * between its next id and its names lie definitions and postings of indexes ("Indexes"). These are kept, but an index
 * that maintains itself is said to be at the beginning of its building: its rows may be others than they were.
 *
 * Invariants
 *   1. Every entry that is written was in a source; no key is written twice.
 *   2. Memory: for each run a window and one table's index, the range tombstones, the names, and a writer.
 */
#include "lsm/repair.h"

#include <stdio.h>

#define MERGE_NONE       UINT32_MAX
#define MERGE_CATALOG    1u /* the catalogue's keyspace id */
#define MERGE_FIRST      2u
#define MERGE_ID_MAX     ((uint64_t)UINT32_MAX - 1)
#define MERGE_TELL_BYTES (1u * MiB) /* how often the caller is asked whether to go on */

typedef struct repair_run {
  uint32_t at; /* the source that is open */
  uint32_t last;
  table *table;
  iter *it;
} repair_run;

typedef struct repair_name {
  uint64_t id;
  uint8_t size;
  char text[VARVE_KEYSPACE_NAME_MAX];
} repair_name;

typedef struct repair_merger {
  repair *r;
  repair_run *runs;
  uint32_t run_count;
  size_t run_room;
  range_tombstone *list; /* slices into r->ranges */
  rangedel_set *ranges;
  sst_writer *out;
  uint64_t out_number;
  buf last; /* the last key that was looked at */
  bool has_last, past_catalog, in_indexes, has_next_index;
  uint64_t index_id; /* the highest one seen; 0 = none */
  uint64_t last_id;
  repair_name *names; /* in order */
  uint32_t name_count;
  size_t name_room;
  uint64_t *ids; /* keyspaces with entries, each once */
  uint32_t id_count;
  size_t id_room;
  uint64_t next_id;    /* as the catalogue says; 0 = it does not */
  uint64_t impossible; /* entries whose key or catalogue value no program writes */
  uint64_t unticked;
} repair_merger;

/* ---- runs ---- */

static bool repair_merge_before(const table_meta *a, const table_meta *b) {
  int order = slice_compare(a->largest, b->smallest);
  return order < 0 || (order == 0 && a->largest_exclusive);
}

static void repair_merge_sift(repair_source *s, size_t root, size_t count) {
  for (;;) {
    size_t child = root * 2 + 1;
    if (child >= count) return;
    if (child + 1 < count && slice_compare(s[child].meta->smallest, s[child + 1].meta->smallest) < 0) child++;
    if (slice_compare(s[root].meta->smallest, s[child].meta->smallest) >= 0) return;
    repair_source kept = s[root];
    s[root] = s[child];
    s[child] = kept;
    root = child;
  }
}

/* By smallest key: heapsort. */
static void repair_merge_sort(repair_source *s, size_t count) {
  for (size_t i = count / 2; i-- > 0;) repair_merge_sift(s, i, count);
  for (size_t left = count; left-- > 1;) {
    repair_source largest = s[0];
    s[0] = s[left];
    s[left] = largest;
    repair_merge_sift(s, 0, left);
  }
}

/* Strings the sources together: each goes to the first run whose end is before it. */
static int repair_merge_runs(repair_merger *m) {
  repair *r = m->r;
  repair_merge_sort(r->sources, r->source_count);
  ASSERT(m->run_count == 0);
  for (uint32_t i = 0; i < r->source_count; i++) {
    uint32_t k = 0;
    while (k < m->run_count && !repair_merge_before(r->sources[m->runs[k].last].meta, r->sources[i].meta)) k++;
    r->sources[i].next = MERGE_NONE;
    if (k < m->run_count) {
      r->sources[m->runs[k].last].next = i;
      m->runs[k].last = i;
      continue;
    }
    repair_run *list = mem_grow(r->alloc, m->runs, m->run_count, &m->run_room, sizeof *list, REPAIR_LIST);
    if (list == NULL) return VARVE_NOMEM;
    m->runs = list;
    m->runs[m->run_count++] = (repair_run){i, i, NULL, NULL};
  }
  return VARVE_OK;
}

static void repair_merge_close(repair_run *run) {
  iter_close(run->it);
  table_close(run->table);
  run->it = NULL;
  run->table = NULL;
}

/* Opens source `at` of the run, or those behind it, until one has an entry. The run is over when `it` is NULL. */
static int repair_merge_open(repair_merger *m, repair_run *run, uint32_t at) {
  repair *r = m->r;
  for (; at != MERGE_NONE; at = r->sources[at].next) {
    const repair_source *s = &r->sources[at];
    run->at = at;
    ASSERT(at < r->source_count && run->it == NULL && run->table == NULL);
    TRY(table_open(s->e, r->cache, s->meta->number, s->meta->size, false, &run->table));
    TRY(table_iter_open(run->table, r->alloc, true, &run->it));
    int rc = iter_first(run->it);
    if (rc < 0 || rc == VARVE_OK) return rc;
    repair_merge_close(run);
    TRY(repair_progress(r, s->meta->size));
  }
  return VARVE_OK;
}

static int repair_merge_advance(repair_merger *m, repair_run *run) {
  int rc = iter_next(run->it);
  if (rc != VARVE_DONE) return rc;
  const repair_source *s = &m->r->sources[run->at];
  repair_merge_close(run);
  TRY(repair_progress(m->r, s->e == m->r->from ? s->meta->size : 0));
  return repair_merge_open(m, run, s->next);
}

/* The run whose entry comes first; NULL at the end. */
static repair_run *repair_merge_first(repair_merger *m) {
  repair_run *first = NULL;
  for (uint32_t i = 0; i < m->run_count; i++) {
    repair_run *run = &m->runs[i];
    if (run->it == NULL) continue;
    if (first == NULL) {
      first = run;
      continue;
    }
    int order = entry_compare(run->it->key, run->it->trailer, first->it->key, first->it->trailer);
    /* One sequence, twice: a put comes before a delete by its kind, and no sequence has both; then by rank. */
    if (order < 0 || (order == 0 && m->r->sources[run->at].rank > m->r->sources[first->at].rank)) first = run;
  }
  return first;
}

/* ---- range tombstones ---- */

static int repair_merge_open_ranges(repair_merger *m) {
  repair *r = m->r;
  if (r->range_count == 0) return VARVE_OK;
  if (r->range_count > PTRDIFF_MAX / sizeof *m->list) return mem_fail(SIZE_MAX, "range tombstones");
  size_t size = (size_t)r->range_count * sizeof *m->list;
  m->list = mem_alloc(r->alloc, size);
  if (m->list == NULL) return mem_fail(size, "range tombstones");
  reader in = reader_of(buf_slice(&r->ranges));
  for (uint64_t i = 0; i < r->range_count; i++) {
    range_tombstone *f = &m->list[i];
    bool whole = read_slice(&in, INNER_KEY_MAX, &f->begin) && read_slice(&in, INNER_KEY_MAX, &f->end) &&
                 read_varint64(&in, &f->seq);
    ASSERT(whole);
    r->seq_max = MAX(r->seq_max, f->seq);
  }
  ASSERT(reader_left(&in) == 0);
  return rangedel_build(r->alloc, m->list, (size_t)r->range_count, &m->ranges);
}

/* ---- outputs ---- */

static int repair_merge_end_output(repair_merger *m) {
  repair *r = m->r;
  sst_summary s;
  table_meta *meta;
  if (m->out == NULL) return VARVE_OK;
  TRY(sst_writer_finish(m->out, &s));
  sst_writer *out = m->out;
  m->out = NULL;
  int rc = table_meta_create(r->alloc, s.smallest, s.largest, s.largest_exclusive, &meta);
  if (rc >= 0) {
    meta->number = m->out_number;
    meta->size = s.size;
    meta->entries = s.entries;
    meta->tombstones = s.tombstones;
    meta->range_tombstones = s.range_tombstones;
    meta->seq_min = s.seq_min;
    meta->seq_max = s.seq_max;
    rc = edit_add(&r->tables, REPAIR_LEVEL, meta);
    pin_unref(&meta->pin);
  }
  sst_writer_close(out);
  return rc;
}

static int repair_merge_put(repair_merger *m, slice key, slice value) {
  ASSERT(key.size > 0 && key.size <= INNER_KEY_MAX);
  static const sst_options options = {
      .block_bytes = BLOCK_BYTES_DEFAULT, .bloom_bits = BLOOM_BITS_DEFAULT, .compress = true};
  if (m->out != NULL && sst_writer_size(m->out) >= TABLE_BYTES_DEFAULT) TRY(repair_merge_end_output(m));
  if (m->out == NULL) {
    m->out_number = m->r->next_number++;
    TRY(sst_writer_create(m->r->to, m->out_number, &options, &m->out));
  }
  return sst_writer_add(m->out, key, trailer_make(0, KIND_PUT), value);
}

/* ---- keyspaces ---- */

/* The keyspace of an inner key; false for what no program writes. */
static bool repair_merge_id(slice key, uint64_t *id) {
  reader in = reader_of(key);
  if (!read_varint64(&in, id) || *id > MERGE_ID_MAX) return false;
  return reader_left(&in) <= VARVE_KEY_SIZE_MAX;
}

static int repair_merge_add_name(repair_merger *m, uint32_t at, slice text, uint64_t id) {
  ASSERT(at <= m->name_count && text.size <= VARVE_KEYSPACE_NAME_MAX);
  void *list = mem_grow(m->r->alloc, m->names, m->name_count, &m->name_room, sizeof *m->names, REPAIR_LIST);
  if (list == NULL) return VARVE_NOMEM;
  m->names = list;
  memmove(m->names + at + 1, m->names + at, (m->name_count - at) * sizeof *m->names);
  m->names[at].id = id;
  m->names[at].size = (uint8_t)text.size;
  memcpy(m->names[at].text, text.data, text.size);
  m->name_count++;
  return VARVE_OK;
}

/* ---- indexes: keys 01 00 and a kind ---- */

#define INDEX_DEFINITION 0x69
#define INDEX_NEXT       0x6e
#define INDEX_BTREE      0x62
#define INDEX_HASH       0x68
#define INDEX_MAINTAINED 2u
#define INDEX_BUILDING   4u

static int repair_merge_next_index(repair_merger *m) {
  const uint8_t key[3] = {MERGE_CATALOG, 0, INDEX_NEXT};
  uint8_t value[8];
  put_u64(value, m->index_id + 1);
  m->has_next_index = true;
  return repair_merge_put(m, slice_make(key, sizeof key), slice_make(value, sizeof value));
}

/* The definition, of an index that maintains itself one that says that no row is in it yet. */
static int repair_merge_index_definition(repair_merger *m, slice key, slice value) {
  reader r = reader_of(value);
  uint64_t id, keyspace;
  const uint8_t *bytes = value.data;
  bool whole = value.size > 2 && key.size > 3;
  if (whole) r.at += 2;
  whole = whole && read_varint64(&r, &id) && id > 0 && id < UINT64_MAX && read_varint64(&r, &keyspace);
  if (!whole) m->impossible++;
  if (!whole) return VARVE_OK;
  m->index_id = MAX(m->index_id, id);
  if ((bytes[1] & INDEX_MAINTAINED) == 0) return repair_merge_put(m, key, value);
  uint8_t anew[2 + 2 * VARINT64_SIZE_MAX + 1];
  size_t size = value.size - reader_left(&r);
  ASSERT(size < sizeof anew);
  memcpy(anew, bytes, size);
  anew[1] |= INDEX_BUILDING;
  anew[size] = 0; /* the position: an empty byte string */
  return repair_merge_put(m, key, slice_make(anew, size + 1));
}

static int repair_merge_index(repair_merger *m, slice key, slice value) {
  uint8_t kind = ((const uint8_t *)key.data)[2];
  if (!m->in_indexes) TRY(repair_merge_end_output(m)); /* of what is before the next id, which is written last */
  m->in_indexes = true;
  if (kind == INDEX_DEFINITION) return repair_merge_index_definition(m, key, value);
  if (kind == INDEX_BTREE || kind == INDEX_HASH) {
    reader r = reader_of(slice_make((const uint8_t *)key.data + 3, key.size - 3));
    uint64_t id;
    if (read_varint64(&r, &id) && id < UINT64_MAX) m->index_id = MAX(m->index_id, id);
    return repair_merge_put(m, key, value);
  }
  if (kind != INDEX_NEXT) return VARVE_OK; /* of the clients that a browser had: nobody waits for it now */
  uint64_t next = key.size == 3 && value.size == 8 ? get_u64(value.data) : 0;
  if (next > 0 && next < UINT64_MAX) m->index_id = MAX(m->index_id, next - 1);
  return repair_merge_next_index(m);
}

/* Behind the last of them: the next id may have been lost. */
static int repair_merge_end_indexes(repair_merger *m) {
  if (!m->in_indexes) return VARVE_OK;
  m->in_indexes = false;
  if (m->index_id > 0 && !m->has_next_index) TRY(repair_merge_next_index(m));
  return repair_merge_end_output(m);
}

#undef INDEX_DEFINITION
#undef INDEX_NEXT
#undef INDEX_BTREE
#undef INDEX_HASH
#undef INDEX_MAINTAINED
#undef INDEX_BUILDING

/* ---- the catalogue ---- */

/* An entry of the catalogue: kept, not written. */
static int repair_merge_catalog(repair_merger *m, slice key, slice value) {
  ASSERT(key.size > 0 && *(const uint8_t *)key.data == MERGE_CATALOG);
  slice name = slice_make((const uint8_t *)key.data + 1, key.size - 1);
  if (name.size > 1 && *(const uint8_t *)name.data == 0) return repair_merge_index(m, key, value);
  TRY(repair_merge_end_indexes(m));
  uint64_t id = value.size == 8 ? get_u64(value.data) : 0;
  bool sane = name.size <= VARVE_KEYSPACE_NAME_MAX && id >= MERGE_FIRST && id <= MERGE_ID_MAX + (name.size == 0);
  if (!sane) m->impossible++;
  if (!sane) return VARVE_OK;
  if (name.size == 0) {
    m->next_id = id;
    return VARVE_OK;
  }
  return repair_merge_add_name(m, m->name_count, name, id); /* they come in order */
}

static uint32_t repair_merge_find_name(const repair_merger *m, slice text, bool *found) {
  uint32_t low = 0, high = m->name_count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    int order = slice_compare(slice_make(m->names[middle].text, m->names[middle].size), text);
    if (order < 0) low = middle + 1;
    if (order >= 0) high = middle;
  }
  *found = low < m->name_count && slice_equal(slice_make(m->names[low].text, m->names[low].size), text);
  return low;
}

/* Gives a keyspace whose name is lost a new one: "recovered-7", or with an "x" or more behind it when that is taken. */
static int repair_merge_rename(repair_merger *m, uint64_t id) {
  char text[64], reason[160];
  bool taken;
  int length = snprintf(text, sizeof text, "recovered-%llu", (unsigned long long)id);
  ASSERT(length > 0 && (size_t)length < sizeof text);
  size_t size = (size_t)length;
  uint32_t at = repair_merge_find_name(m, slice_make(text, size), &taken);
  for (; taken && size < sizeof text - 1; at = repair_merge_find_name(m, slice_make(text, size), &taken)) {
    text[size++] = 'x';
    text[size] = '\0';
  }
  if (taken)
    return status_fail(VARVE_LIMIT, "every name that keyspace %llu could be given is taken", (unsigned long long)id);
  TRY(repair_merge_add_name(m, at, slice_make(text, size), id));
  snprintf(reason, sizeof reason, "the name of keyspace %llu is lost, or it had been dropped; it is \"%s\" now",
           (unsigned long long)id, text);
  m->r->report->keyspaces_renamed++;
  repair_tell(m->r, (varve_repair_loss){.file = "", .reason = reason});
  return VARVE_OK;
}

static bool repair_merge_has_name(const repair_merger *m, uint64_t id) {
  for (uint32_t i = 0; i < m->name_count; i++) {
    if (m->names[i].id == id) return true;
  }
  return false;
}

/* Writes the catalogue as a table of its own. */
static int repair_merge_write_catalog(repair_merger *m) {
  uint8_t key[1 + VARVE_KEYSPACE_NAME_MAX] = {MERGE_CATALOG}, value[8];
  uint64_t next = MAX(m->next_id, (uint64_t)MERGE_FIRST);
  for (uint32_t i = 0; i < m->id_count; i++) {
    if (!repair_merge_has_name(m, m->ids[i])) TRY(repair_merge_rename(m, m->ids[i]));
  }
  for (uint32_t i = 0; i < m->name_count; i++) next = MAX(next, m->names[i].id + 1);
  if (m->name_count == 0 && m->next_id == 0) return VARVE_OK;
  ASSERT(m->out == NULL && next >= MERGE_FIRST);
  put_u64(value, next);
  TRY(repair_merge_put(m, slice_make(key, 1), slice_make(value, sizeof value)));
  TRY(repair_merge_end_output(m)); /* indexes come between */
  for (uint32_t i = 0; i < m->name_count; i++) {
    memcpy(key + 1, m->names[i].text, m->names[i].size);
    put_u64(value, m->names[i].id);
    TRY(repair_merge_put(m, slice_make(key, 1 + (size_t)m->names[i].size), slice_make(value, sizeof value)));
  }
  return repair_merge_end_output(m);
}

/* ---- the merge ---- */

static int repair_merge_entry(repair_merger *m, slice key, slice value) {
  uint64_t id;
  if (!repair_merge_id(key, &id)) {
    m->impossible++;
    return VARVE_OK;
  }
  if (id == MERGE_CATALOG) return repair_merge_catalog(m, key, value);
  if (id >= MERGE_FIRST && !m->past_catalog) {
    TRY(repair_merge_end_indexes(m));
    TRY(repair_merge_end_output(m)); /* no table spans the catalogue's place */
    m->past_catalog = true;
  }
  if (id >= MERGE_FIRST && id != m->last_id) {
    uint64_t *list = mem_grow(m->r->alloc, m->ids, m->id_count, &m->id_room, sizeof *list, REPAIR_LIST);
    if (list == NULL) return VARVE_NOMEM;
    m->ids = list;
    m->ids[m->id_count++] = id;
    m->last_id = id;
  }
  m->r->report->entries++;
  return repair_merge_put(m, key, value);
}

static int repair_merge_take(repair_merger *m, repair_run *run) {
  ASSERT(run->it != NULL && run->it->valid);
  slice key = run->it->key;
  uint64_t trailer = run->it->trailer;
  if (m->has_last && slice_equal(key, buf_slice(&m->last))) return VARVE_OK; /* superseded, or there twice */
  TRY(buf_set(&m->last, key));
  m->has_last = true;
  m->unticked += key.size + run->it->value.size;
  if (m->unticked >= MERGE_TELL_BYTES) {
    m->unticked = 0;
    TRY(repair_progress(m->r, 0));
  }
  if (trailer_kind(trailer) != KIND_PUT) return VARVE_OK;
  const range_tombstone *f = rangedel_find(m->ranges, key, SEQ_MAX);
  if (f != NULL && f->seq > trailer_seq(trailer)) return VARVE_OK;
  return repair_merge_entry(m, key, run->it->value);
}

static int repair_merge_all(repair_merger *m) {
  TRY(repair_merge_open_ranges(m));
  TRY(repair_merge_runs(m));
  for (uint32_t i = 0; i < m->run_count; i++) TRY(repair_merge_open(m, &m->runs[i], m->runs[i].at));
  repair_run *run;
  while ((run = repair_merge_first(m)) != NULL) {
    TRY(repair_merge_take(m, run));
    TRY(repair_merge_advance(m, run));
  }
  TRY(repair_merge_end_indexes(m));
  TRY(repair_merge_end_output(m));
  TRY(repair_merge_write_catalog(m));
  if (m->impossible > 0) {
    repair_tell(m->r, (varve_repair_loss){.file = "", .reason = "entries that no program writes were left out"});
  }
  return VARVE_OK;
}

INTERNAL int repair_merge(repair *r) {
  repair_merger m = {.r = r};
  buf_init(&m.last, r->alloc);
  int rc = repair_merge_all(&m);
  for (uint32_t i = 0; i < m.run_count; i++) repair_merge_close(&m.runs[i]);
  sst_writer_close(m.out);
  rangedel_free(m.ranges);
  mem_free(r->alloc, m.list, (size_t)r->range_count * sizeof *m.list);
  mem_free(r->alloc, m.runs, m.run_room * sizeof *m.runs);
  mem_free(r->alloc, m.names, m.name_room * sizeof *m.names);
  mem_free(r->alloc, m.ids, m.id_room * sizeof *m.ids);
  buf_free(&m.last);
  return rc;
}

#undef MERGE_NONE
#undef MERGE_CATALOG
#undef MERGE_FIRST
#undef MERGE_ID_MAX
#undef MERGE_TELL_BYTES
