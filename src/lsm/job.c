/* job.c: flush and compaction: one merge that can be stopped after any version and gone on with later.
 *
 * All inputs are merged in entry order and written to new tables of one level. On the way go: versions that no
 * snapshot can see, deletes that have nothing left to hide, and sequences that no longer decide anything (they become
 * 0, and a block of only such versions stores none).
 *
 * A stripe is what one snapshot sees beyond the next older one: versions with sequences in one stripe cannot be told
 * apart by any reader but for the newest. Stripe i ends at snapshots[i]; the last one, at infinity, is everybody's
 * else.
 *
 *     snapshots   10        20                 versions of a key, newest first:  25  22  15  12  7
 *     stripes  0      1          2             kept:                             25      15      7
 *
 * Invariants
 *   1. A version goes only when a newer version of its key, or a range tombstone over it, lies in the same stripe, or
 *      when it is a delete in stripe 0 and no level below the output holds its key.
 *   2. All versions of a key are in one output table, and outputs do not overlap: range tombstones are clipped where
 *      tables are cut.
 */
#include "lsm/lsm_int.h"

#define JOB_GRANDPARENT_TABLES 10 /* cut an output before it touches more than so many tables' bytes below it */

struct job {
  lsm *lsm;
  job_inputs in;
  version *base;
  memtable *memtable;
  iter *merge;
  bool started, finished, published;
  rangedel_set *ranges; /* of all inputs */
  size_t range_at;      /* first fragment that may still have to be written */
  uint64_t *snapshots;
  size_t snapshot_count;
  sst_writer *out;
  uint64_t out_number;
  bool out_has_points;
  edit edit;
  buf last_key, cut_key; /* the last key taken; the key at which the open output began */
  bool has_last, has_cut;
  uint64_t last_seq;
  uint32_t deeper_at[LEVELS]; /* first table of each level below the output that is not before the last key */
  uint32_t grandparent_at;    /* the same for the level right below, and bytes of it that the open output spans */
  uint64_t grandparent_bytes;
  uint64_t bytes_done, bytes_total, bytes_out, seq_max;
};

/* ---- inputs ---- */

static int job_collect_ranges(job *j, const rangedel_set *set, range_tombstone **list, size_t *count, size_t *room) {
  allocator *alloc = j->lsm->env->alloc;
  if (set == NULL) return VARVE_OK;
  if (*count + set->count > *room) {
    size_t more = MAX(2 * *room, *count + set->count);
    range_tombstone *grown = mem_resize(alloc, *list, *room * sizeof **list, more * sizeof **list);
    if (grown == NULL) return mem_fail(more * sizeof **list, "range tombstones");
    *list = grown;
    *room = more;
  }
  memcpy(*list + *count, set->fragments, set->count * sizeof **list);
  *count += set->count;
  return VARVE_OK;
}

static int job_open_ranges(job *j) {
  allocator *alloc = j->lsm->env->alloc;
  if (j->memtable != NULL) return memtable_range_set(j->memtable, alloc, &j->ranges);
  range_tombstone *list = NULL;
  size_t count = 0, room = 0;
  int rc = VARVE_OK;
  for (uint32_t level = 0; level < LEVELS; level++) {
    for (uint32_t i = j->in.level[level].from; i < j->in.level[level].to; i++) {
      table_meta *meta = j->base->level[level].tables[i];
      if (meta->range_tombstones == 0) continue;
      table *t;
      STEP(table_cache_get(j->lsm, meta, &t));
      STEP(job_collect_ranges(j, table_range_set(t), &list, &count, &room));
    }
  }
  if (count > 0) STEP(rangedel_build(alloc, list, count, &j->ranges));
out:
  mem_free(alloc, list, room * sizeof *list);
  return rc;
}

/* Bytes that all keys of the inputs share, so that the merge's heads can look behind them. */
static void job_hull(const job *j, slice *smallest, slice *largest) {
  *smallest = *largest = slice_make(NULL, 0);
  for (uint32_t level = 0; level < LEVELS; level++) {
    for (uint32_t i = j->in.level[level].from; i < j->in.level[level].to; i++) {
      const table_meta *t = j->base->level[level].tables[i];
      if (smallest->data == NULL || slice_compare(t->smallest, *smallest) < 0) *smallest = t->smallest;
      if (largest->data == NULL || slice_compare(t->largest, *largest) > 0) *largest = t->largest;
    }
  }
}

static int job_open_tables(job *j) {
  lsm *l = j->lsm;
  allocator *alloc = l->env->alloc;
  uint32_t room = LEVELS + j->in.level[0].to, count = 0;
  int rc = VARVE_OK;
  iter **children = mem_alloc(alloc, room * sizeof *children);
  uint64_t *seq_max = mem_zalloc(alloc, room * sizeof *seq_max);
  if (children == NULL || seq_max == NULL) {
    rc = mem_fail(room * sizeof *children, "a merge's inputs");
    goto out;
  }
  for (uint32_t i = j->in.level[0].from; i < j->in.level[0].to; i++) {
    table *t;
    STEP(table_cache_get(l, j->base->level[0].tables[i], &t));
    STEP(table_iter_open(t, alloc, true, &children[count]));
    count++;
  }
  for (uint32_t level = 1; level < LEVELS; level++) {
    uint32_t from = j->in.level[level].from, to = j->in.level[level].to;
    if (from == to) continue;
    STEP(level_iter_open(l, &j->base->level[level], from, to, true, &children[count]));
    count++;
  }
  slice smallest, largest;
  job_hull(j, &smallest, &largest);
  STEP(merge_iter_open(alloc, children, seq_max, count, slice_common_prefix(smallest, largest), &j->merge));
  count = 0;
out:
  for (uint32_t i = 0; i < count; i++) iter_close(children[i]);
  mem_free(alloc, children, room * sizeof *children);
  mem_free(alloc, seq_max, room * sizeof *seq_max);
  return rc;
}

static int job_copy_snapshots(job *j) {
  lsm *l = j->lsm;
  int rc = VARVE_OK;
  mutex_lock(&l->state_lock);
  if (l->snapshot_count > 0) {
    size_t size = l->snapshot_count * sizeof(uint64_t);
    j->snapshots = mem_alloc(l->env->alloc, size);
    if (j->snapshots == NULL) {
      rc = mem_fail(size, "snapshots");
    } else {
      memcpy(j->snapshots, l->snapshots, size);
      j->snapshot_count = l->snapshot_count;
    }
  }
  mutex_unlock(&l->state_lock);
  return rc;
}

static int job_plan_edit(job *j) {
  for (uint32_t level = 0; level < LEVELS; level++) {
    for (uint32_t i = j->in.level[level].from; i < j->in.level[level].to; i++) {
      table_meta *meta = j->base->level[level].tables[i];
      TRY(edit_remove(&j->edit, level, meta->number));
      if (j->in.move) TRY(edit_add(&j->edit, j->in.output_level, meta));
      j->bytes_total += meta->size;
    }
  }
  return VARVE_OK;
}

INTERNAL int job_create(lsm *l, const job_inputs *in, job **out) {
  allocator *alloc = l->env->alloc;
  *out = NULL;
  job *j = MEM_NEW(alloc, job);
  if (j == NULL) return mem_fail(sizeof *j, "a compaction");
  int rc = VARVE_OK;
  j->lsm = l;
  j->in = *in;
  edit_init(&j->edit, alloc);
  buf_init(&j->last_key, alloc);
  buf_init(&j->cut_key, alloc);
  view *v = view_pin(l);
  j->base = v->current;
  pin_ref(&j->base->pin);
  pin_unref(&v->pin);
  if (in->memtable != NULL) {
    j->memtable = in->memtable;
    pin_ref(memtable_pin(j->memtable));
    j->bytes_total = memtable_bytes(j->memtable);
  }
  STEP(job_plan_edit(j));
  if (in->move) {
    j->finished = true;
  } else {
    STEP(job_copy_snapshots(j));
    STEP(job_open_ranges(j));
    if (j->memtable != NULL) {
      STEP(memtable_iter_open(j->memtable, alloc, &j->merge));
    } else {
      STEP(job_open_tables(j));
    }
  }
  *out = j;
  return rc;
out:
  job_destroy(j, false);
  return rc;
}

/* ---- what may go ---- */

/* The first snapshot that sees `seq`, snapshot_count for the latest state. */
static size_t job_stripe(const job *j, uint64_t seq) {
  size_t low = 0, high = j->snapshot_count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (j->snapshots[middle] < seq) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/* Whether no table below the output can hold `key`. Keys come in ascending order. */
static bool job_is_bottom(job *j, slice key) {
  if (j->memtable != NULL) return false; /* a flush: what is below it changes while it runs */
  for (uint32_t level = j->in.output_level + 1; level < LEVELS; level++) {
    const version_level *below = &j->base->level[level];
    uint32_t *at = &j->deeper_at[level];
    while (*at < below->count && table_meta_compare(below->tables[*at], key) < 0) (*at)++;
    if (*at < below->count && table_meta_compare(below->tables[*at], key) == 0) return false;
  }
  return true;
}

static bool job_is_bottom_range(const job *j, slice begin, slice end) {
  if (j->memtable != NULL) return false;
  for (uint32_t level = j->in.output_level + 1; level < LEVELS; level++) {
    uint32_t from, to;
    version_overlap(&j->base->level[level], begin, end, &from, &to);
    if (from < to) return false;
  }
  return true;
}

static bool job_range_needed(const job *j, size_t i) {
  const range_tombstone *f = &j->ranges->fragments[i];
  size_t stripe = job_stripe(j, f->seq);
  if (i > 0) {
    const range_tombstone *newer = f - 1;
    bool same = slice_equal(newer->begin, f->begin);
    if (same && job_stripe(j, newer->seq) == stripe) return false;
  }
  return stripe > 0 || !job_is_bottom_range(j, f->begin, f->end);
}

/* Decides on one version: false = it goes. *trailer may lose its sequence. */
static bool job_keep(job *j, slice key, bool same_key, uint64_t *trailer) {
  uint64_t seq = trailer_seq(*trailer);
  size_t stripe = job_stripe(j, seq);
  if (same_key && job_stripe(j, j->last_seq) == stripe) return false;
  if (j->ranges != NULL) {
    uint64_t seq_max = stripe < j->snapshot_count ? j->snapshots[stripe] : SEQ_MAX;
    const range_tombstone *f = rangedel_find(j->ranges, key, seq_max);
    if (f != NULL && f->seq > seq) return false;
    if (rangedel_find(j->ranges, key, SEQ_MAX) != NULL) return true;
  }
  if (stripe > 0 || !job_is_bottom(j, key)) return true;
  if (trailer_kind(*trailer) == KIND_DELETE) return false;
  *trailer = trailer_make(0, KIND_PUT);
  return true;
}

/* ---- outputs ---- */

static int job_open_output(job *j) {
  lsm *l = j->lsm;
  sst_options options = {l->options.block_bytes, l->options.bloom_bits, l->options.compress && j->in.output_level > 1};
  j->out_number = lsm_new_number(l);
  j->out_has_points = false;
  j->grandparent_bytes = 0;
  return sst_writer_create(l->env, j->out_number, &options, &j->out);
}

/* Range tombstones from where the last output ended up to `end` (none: to the last), clipped to that. */
static int job_write_ranges(job *j, const slice *end) {
  if (j->ranges == NULL) return VARVE_OK;
  size_t i = j->range_at;
  for (; i < j->ranges->count; i++) {
    range_tombstone f = j->ranges->fragments[i];
    if (end != NULL && slice_compare(f.begin, *end) >= 0) break;
    if (j->has_cut && slice_compare(f.begin, buf_slice(&j->cut_key)) < 0) f.begin = buf_slice(&j->cut_key);
    if (end != NULL && slice_compare(f.end, *end) > 0) f.end = *end;
    if (slice_compare(f.begin, f.end) >= 0 || !job_range_needed(j, i)) continue;
    if (j->out == NULL) TRY(job_open_output(j));
    TRY(sst_writer_add_range(j->out, f.begin, f.end, f.seq));
  }
  while (j->range_at < i && (end == NULL || slice_compare(j->ranges->fragments[j->range_at].end, *end) <= 0)) {
    j->range_at++;
  }
  return VARVE_OK;
}

static int job_add_output(job *j, const sst_summary *s) {
  table_meta *meta;
  TRY(table_meta_create(j->lsm->env->alloc, s->smallest, s->largest, s->largest_exclusive, &meta));
  meta->number = j->out_number;
  meta->size = s->size;
  meta->entries = s->entries;
  meta->tombstones = s->tombstones;
  meta->range_tombstones = s->range_tombstones;
  meta->seq_min = s->seq_min;
  meta->seq_max = s->seq_max;
  meta->on_release = table_cache_released;
  meta->release_context = j->lsm;
  j->bytes_out += s->size;
  int rc = edit_add(&j->edit, j->in.output_level, meta);
  pin_unref(&meta->pin);
  return rc;
}

/* Ends the open output before `next` (NULL = the end of everything). */
static int job_cut(job *j, const slice *next) {
  TRY(job_write_ranges(j, next));
  if (j->out != NULL) {
    sst_summary summary;
    TRY(sst_writer_finish(j->out, &summary));
    TRY(job_add_output(j, &summary));
    sst_writer_close(j->out);
    j->out = NULL;
  }
  if (next == NULL) return VARVE_OK;
  j->has_cut = true;
  return buf_set(&j->cut_key, *next);
}

/* Whether the table should end before `key`: it is full, or would touch too much of the level below. */
static bool job_wants_cut(job *j, slice key) {
  if (j->out == NULL || j->in.output_level == 0) return false;
  if (sst_writer_size(j->out) >= j->lsm->options.table_bytes) return true;
  uint32_t below = j->in.output_level + 1;
  if (below >= LEVELS) return false;
  const version_level *level = &j->base->level[below];
  uint32_t *at = &j->grandparent_at;
  while (*at < level->count && table_meta_compare(level->tables[*at], key) < 0) {
    if (j->out_has_points) j->grandparent_bytes += level->tables[*at]->size;
    (*at)++;
  }
  return j->grandparent_bytes > (uint64_t)JOB_GRANDPARENT_TABLES * j->lsm->options.table_bytes;
}

/* ---- running ---- */

static int job_take(job *j, uint64_t *cost) {
  iter *in = j->merge;
  uint64_t trailer = in->trailer, seq = trailer_seq(trailer);
  int order = j->has_last ? slice_compare(in->key, buf_slice(&j->last_key)) : 1;
  bool same_key = order == 0;
  if (UNLIKELY(order < 0 || (same_key && seq >= j->last_seq))) { /* bytes with right checksums may still lie */
    return status_fail(VARVE_CORRUPT, "the tables of a compaction do not hold their keys in order; run verify");
  }
  *cost = in->key.size + in->value.size + 16;
  bool keep = job_keep(j, in->key, same_key, &trailer);
  if (!same_key) {
    TRY(buf_set(&j->last_key, in->key));
    j->has_last = true;
  }
  j->last_seq = seq;
  j->seq_max = MAX(j->seq_max, seq);
  if (!keep) return VARVE_OK;
  slice key = buf_slice(&j->last_key);
  if (!same_key && job_wants_cut(j, key)) TRY(job_cut(j, &key));
  if (j->out == NULL) TRY(job_open_output(j));
  j->out_has_points = true;
  return sst_writer_add(j->out, key, trailer, in->value);
}

INTERNAL int job_run(job *j, uint64_t *budget, bool *done) {
  *done = false;
  int rc = VARVE_OK;
  if (!j->finished && !j->started) {
    rc = iter_first(j->merge);
    j->started = true;
  }
  while (!j->finished) {
    if (rc < 0) return rc;
    if (!j->merge->valid) {
      TRY(job_cut(j, NULL));
      j->finished = true;
      break;
    }
    if (*budget == 0) return VARVE_OK;
    uint64_t cost;
    TRY(job_take(j, &cost));
    *budget -= MIN(*budget, cost);
    j->bytes_done += cost;
    rc = iter_next(j->merge);
  }
  *done = true;
  return VARVE_OK;
}

INTERNAL edit *job_edit(job *j) {
  ASSERT(j->finished);
  return &j->edit;
}

INTERNAL const job_inputs *job_in(const job *j) {
  return &j->in;
}

INTERNAL void job_progress(const job *j, uint64_t *done, uint64_t *total) {
  *done = MIN(j->bytes_done, j->bytes_total);
  *total = j->bytes_total;
}

INTERNAL uint64_t job_seq_max(const job *j) {
  uint64_t seq = j->seq_max;
  for (size_t i = 0; j->ranges != NULL && i < j->ranges->count; i++) seq = MAX(seq, j->ranges->fragments[i].seq);
  return seq;
}

static void job_count(const job *j) {
  lsm_counters *c = &j->lsm->counters;
  if (j->memtable != NULL) {
    atomic_fetch_add(&c->flushes, 1);
    atomic_fetch_add(&c->bytes_flushed, j->bytes_out);
  } else if (j->in.move) {
    atomic_fetch_add(&c->trivial_moves, 1);
  } else {
    atomic_fetch_add(&c->compactions, 1);
    atomic_fetch_add(&c->bytes_in, j->bytes_total);
    atomic_fetch_add(&c->bytes_out, j->bytes_out);
  }
}

INTERNAL void job_published(job *j) {
  ASSERT(j->finished && !j->published);
  j->published = true;
  job_count(j);
  if (j->in.move) return;
  for (uint32_t level = 0; level < LEVELS; level++) {
    for (uint32_t i = j->in.level[level].from; i < j->in.level[level].to; i++) {
      atomic_store(&j->base->level[level].tables[i]->obsolete, true);
    }
  }
}

INTERNAL void job_destroy(job *j, bool keep_files) {
  if (j == NULL) return;
  allocator *alloc = j->lsm->env->alloc;
  sst_writer_close(j->out);
  iter_close(j->merge);
  bool remove = !j->published && !j->in.move && !keep_files;
  for (size_t i = 0; remove && i < j->edit.count; i++) {
    if (j->edit.tables[i].meta != NULL) atomic_store(&j->edit.tables[i].meta->obsolete, true);
  }
  edit_free(&j->edit);
  rangedel_free(j->ranges);
  mem_free(alloc, j->snapshots, j->snapshot_count * sizeof(uint64_t));
  buf_free(&j->last_key);
  buf_free(&j->cut_key);
  if (j->memtable != NULL) pin_unref(memtable_pin(j->memtable));
  pin_unref(&j->base->pin);
  MEM_DELETE(alloc, j);
}
