/* user_iter.c: what a user sees: of each key the newest version visible at one sequence, without the deleted ones.
 *
 * Forward the merged input stands on the current version and its bytes are lent out. Backward versions come oldest
 * first, so the input must go past the whole key before its newest visible version is known: that one is copied.
 *
 * A transaction's own writes are one more source, the overlay: its sequences are above all committed ones, so they come
 * first of their key. Visible are then two runs of sequences: the overlay's up to one, and the committed up to one.
 *
 * Range tombstones of every source are asked for each version; the fragment that answered last is kept, and going
 * forward the sources that are older than a fragment jump over it.
 *
 * Invariants
 *   1. FORWARD: `in` is on the version shown. BACKWARD: `in` is before every version of the key shown (or not
 *      positioned).
 *   2. The view is pinned, so nothing that `in` reads changes but for newer versions in the active memtable, which
 *      are invisible at `seq`.
 */
#include "lsm/lsm_int.h"

#define USER_ITER_STEPS_MAX  8    /* versions of one key stepped over before seeking past them */
#define USER_ITER_SOURCES    24   /* that are collected on the stack */
#define USER_ITER_KEPT_BYTES 8192 /* of buffers that an idle iterator may have */

typedef struct range_source {
  const memtable *memtable;
  const rangedel_set *set;
  uint64_t seq; /* the newest that is visible in it */
} range_source;

struct user_iter {
  lsm *lsm;
  view *view;
  iter *in; /* NULL = nothing in range */
  uint64_t seq;
  uint64_t visible; /* the largest trailer that is: of what is committed, and of the overlay (0 = none) */
  uint64_t overlay_visible;
  memtable *overlay;
  buf lower, upper;
  uint64_t hash; /* that filters are asked for when `equal` */
  bool equal;
  uint64_t lower_head, upper_head; /* of the bounds: mostly they tell */
  buf saved_key, saved_value;
  slice key, value;
  int status;
  bool forward;
  range_source *ranges;
  uint32_t range_count, range_capacity;
  range_tombstone cover; /* seq 0 = none yet */
};

/* ---- opening ---- */

typedef struct source_list {
  iter **children;
  uint64_t *seq_max;
  uint32_t count, capacity;
} source_list;

static int user_iter_add_range(user_iter *u, const memtable *mt, const rangedel_set *set, uint64_t seq) {
  if (u->range_count == u->range_capacity) {
    uint32_t capacity = u->range_capacity == 0 ? 4 : 2 * u->range_capacity;
    size_t each = sizeof *u->ranges, size = capacity * each;
    range_source *grown = mem_resize(u->lsm->env->alloc, u->ranges, u->range_capacity * each, size);
    if (grown == NULL) return mem_fail(size, "an iterator's range tombstones");
    u->ranges = grown;
    u->range_capacity = capacity;
  }
  u->ranges[u->range_count++] = (range_source){mt, set, seq};
  return VARVE_OK;
}

/* `seq` = the newest that is visible; no version in it, now or later, has a sequence above seq_max. */
static int user_iter_memtable(user_iter *u, source_list *s, memtable *mt, uint64_t seq, uint64_t seq_max) {
  if (memtable_range_deletes(mt) > 0) TRY(user_iter_add_range(u, mt, NULL, seq));
  if (memtable_entries(mt) == 0) return VARVE_OK;
  ASSERT(s->count < s->capacity);
  TRY(memtable_iter_open(mt, u->lsm->env->alloc, &s->children[s->count]));
  s->seq_max[s->count++] = seq_max;
  return VARVE_OK;
}

/* Range tombstones of tables from .. to - 1; the newest sequence in them to *seq_max. */
static int user_iter_ranges(user_iter *u, const version_level *level, uint32_t from, uint32_t to, uint64_t *seq_max) {
  *seq_max = 0;
  for (uint32_t i = from; i < to; i++) {
    table_meta *meta = level->tables[i];
    *seq_max = MAX(*seq_max, meta->seq_max);
    if (meta->range_tombstones == 0) continue;
    table *t;
    TRY(table_cache_get(u->lsm, meta, &t));
    TRY(user_iter_add_range(u, NULL, table_range_set(t), u->seq));
  }
  return VARVE_OK;
}

/* Whether a table's filter denies every point of the range. Its range tombstones count all the same. 1 = it does. */
static int user_iter_denied(user_iter *u, table_meta *meta) {
  if (!u->equal) return 0;
  table *t;
  TRY(table_cache_get(u->lsm, meta, &t));
  return !table_may_contain(t, u->hash);
}

/* One level below 0, of which tables from .. to - 1 overlap the range. */
static int user_iter_level(user_iter *u, source_list *s, const version_level *level, uint32_t from, uint32_t to) {
  uint64_t seq_max;
  int denied = VARVE_OK;
  TRY(user_iter_ranges(u, level, from, to, &seq_max));
  while (from < to && (denied = user_iter_denied(u, level->tables[from])) > 0) from++;
  TRY(denied);
  while (from < to && (denied = user_iter_denied(u, level->tables[to - 1])) > 0) to--;
  TRY(denied);
  if (from == to) return VARVE_OK;
  if (u->equal && to - from == 1) {
    table *t;
    TRY(table_cache_get(u->lsm, level->tables[from], &t));
    TRY(table_iter_open(t, u->lsm->env->alloc, false, &s->children[s->count]));
  } else {
    TRY(level_iter_open(u->lsm, level, from, to, false, &s->children[s->count]));
  }
  s->seq_max[s->count++] = seq_max;
  return VARVE_OK;
}

static int user_iter_tables(user_iter *u, source_list *s, const version *v) {
  slice lower = buf_slice(&u->lower), upper = buf_slice(&u->upper);
  const version_level *l0 = &v->level[0];
  for (uint32_t i = 0; i < l0->count; i++) {
    if (!table_meta_overlaps(l0->tables[i], lower, upper)) continue;
    uint64_t seq_max;
    TRY(user_iter_ranges(u, l0, i, i + 1, &seq_max));
    int denied = user_iter_denied(u, l0->tables[i]);
    TRY(denied);
    if (denied > 0) continue;
    table *t;
    TRY(table_cache_get(u->lsm, l0->tables[i], &t));
    TRY(table_iter_open(t, u->lsm->env->alloc, false, &s->children[s->count]));
    s->seq_max[s->count++] = seq_max;
  }
  for (uint32_t level = 1; level < LEVELS; level++) {
    uint32_t from, to;
    version_overlap(&v->level[level], lower, upper, &from, &to);
    if (from < to) TRY(user_iter_level(u, s, &v->level[level], from, to));
  }
  return VARVE_OK;
}

static int user_iter_sources(user_iter *u) {
  allocator *alloc = u->lsm->env->alloc;
  const view *v = u->view;
  iter *children[USER_ITER_SOURCES];
  uint64_t seq_max[USER_ITER_SOURCES];
  source_list s = {children, seq_max, 0, 2 + IMMUTABLES_MAX + v->current->level[0].count + LEVELS};
  int rc = VARVE_OK;
  bool many = s.capacity > USER_ITER_SOURCES;
  if (many) {
    s.children = mem_alloc(alloc, s.capacity * sizeof(iter *));
    s.seq_max = mem_alloc(alloc, s.capacity * sizeof(uint64_t));
    if (s.children == NULL || s.seq_max == NULL) {
      rc = mem_fail(s.capacity * sizeof(uint64_t), "an iterator's sources");
      goto out;
    }
  }
  if (u->overlay != NULL) {
    STEP(user_iter_memtable(u, &s, u->overlay, trailer_seq(u->overlay_visible), UINT64_MAX));
  }
  STEP(user_iter_memtable(u, &s, v->active, u->seq, TXN_SEQ_BASE - 1));
  for (uint32_t i = 0; i < v->immutable_count; i++) {
    STEP(user_iter_memtable(u, &s, v->immutable[i], u->seq, TXN_SEQ_BASE - 1));
  }
  STEP(user_iter_tables(u, &s, v->current));
  if (s.count > 0) STEP(merge_iter_open(alloc, s.children, s.seq_max, s.count, 0, &u->in));
  s.count = 0; /* owned by the merge now */
out:
  for (uint32_t i = 0; i < s.count; i++) iter_close(s.children[i]);
  if (many) {
    mem_free(alloc, s.children, s.capacity * sizeof(iter *));
    mem_free(alloc, s.seq_max, s.capacity * sizeof(uint64_t));
  }
  return rc;
}

static void user_iter_free(user_iter *u) {
  if (u == NULL) return;
  allocator *alloc = u->lsm->env->alloc;
  ASSERT(u->in == NULL && u->view == NULL);
  mem_free(alloc, u->ranges, u->range_capacity * sizeof *u->ranges);
  buf_free(&u->lower);
  buf_free(&u->upper);
  buf_free(&u->saved_key);
  buf_free(&u->saved_value);
  MEM_DELETE(alloc, u);
}

/* One with nothing in it: the one that was closed last, with the memory that it had, or a new one. */
static user_iter *user_iter_take(lsm *l) {
  user_iter *u = atomic_exchange_explicit(&l->idle_iter, NULL, memory_order_acquire);
  if (LIKELY(u != NULL)) return u;
  allocator *alloc = l->env->alloc;
  u = MEM_NEW(alloc, user_iter);
  if (u == NULL) return NULL;
  u->lsm = l;
  buf_init(&u->lower, alloc);
  buf_init(&u->upper, alloc);
  buf_init(&u->saved_key, alloc);
  buf_init(&u->saved_value, alloc);
  return u;
}

static void user_iter_give(user_iter *u) {
  size_t kept = u->lower.capacity + u->upper.capacity + u->saved_key.capacity + u->saved_value.capacity +
                u->range_capacity * sizeof *u->ranges;
  if (UNLIKELY(kept > USER_ITER_KEPT_BYTES)) {
    user_iter_free(u);
    return;
  }
  u->range_count = 0;
  u->cover = (range_tombstone){{NULL, 0}, {NULL, 0}, 0};
  u->key = u->value = slice_make(NULL, 0);
  /* What is taken out was another thread's: acquired as well as released. */
  user_iter_free(atomic_exchange_explicit(&u->lsm->idle_iter, u, memory_order_acq_rel));
}

INTERNAL void lsm_iter_forget(lsm *l) {
  user_iter_free(atomic_exchange(&l->idle_iter, NULL));
}

INTERNAL int lsm_iter_open(lsm *l, const user_iter_options *options, user_iter **out) {
  *out = NULL;
  user_iter *u = user_iter_take(l);
  if (u == NULL) return mem_fail(sizeof *u, "an iterator");
  int rc = VARVE_OK;
  atomic_fetch_add(&l->iterators_open, 1);
  u->status = VARVE_DONE;
  u->view = view_pin(l); /* before the sequence: view.c, invariant 3 */
  u->seq = MIN(options->seq_max, atomic_load_explicit(&l->last_seq, memory_order_acquire));
  u->visible = trailer_make(u->seq, (entry_kind)0xff);
  u->overlay_visible = 0;
  if (options->overlay != NULL) {
    ASSERT(options->overlay_seq >= TXN_SEQ_BASE && options->overlay_seq <= SEQ_MAX);
    u->overlay = options->overlay;
    pin_ref(memtable_pin(u->overlay));
    u->overlay_visible = trailer_make(options->overlay_seq, (entry_kind)0xff);
  }
  STEP(buf_set(&u->lower, options->lower));
  STEP(buf_set(&u->upper, options->upper));
  u->lower_head = head_u64(u->lower.data, u->lower.size);
  u->upper_head = head_u64(u->upper.data, u->upper.size);
  u->equal = options->equal_prefix;
  if (u->equal) u->hash = key_hash(options->lower);
  STEP(user_iter_sources(u));
  *out = u;
  u = NULL;
out:
  user_iter_close(u);
  return rc;
}

INTERNAL void user_iter_close(user_iter *u) {
  if (u == NULL) return;
  lsm *l = u->lsm;
  iter_close(u->in);
  u->in = NULL;
  pin_unref(&u->view->pin);
  u->view = NULL;
  if (u->overlay != NULL) pin_unref(memtable_pin(u->overlay));
  u->overlay = NULL;
  user_iter_give(u);
  atomic_fetch_sub(&l->iterators_open, 1);
}

/* ---- visibility ---- */

static inline bool user_iter_hidden(const user_iter *u, uint64_t trailer) {
  if (LIKELY(trailer <= u->visible)) return false;
  return trailer < trailer_make(TXN_SEQ_BASE, (entry_kind)0) || trailer > u->overlay_visible;
}

/* The largest visible trailer below a hidden one. */
static inline uint64_t user_iter_below_hidden(const user_iter *u, uint64_t trailer) {
  return trailer > u->overlay_visible && u->overlay_visible > 0 ? u->overlay_visible : u->visible;
}

/* `in` to the newest visible version of `key`, or to whatever follows when there is none. */
static int user_iter_seek_visible(user_iter *u, slice key) {
  int rc = iter_seek(u->in, key, MAX(u->visible, u->overlay_visible));
  if (rc != VARVE_OK || !user_iter_hidden(u, u->in->trailer) || !slice_equal(u->in->key, key)) return rc;
  return iter_seek(u->in, key, u->visible);
}

static bool user_iter_covered_slow(user_iter *u, slice key, uint64_t seq) {
  if (u->cover.seq > seq && slice_compare(u->cover.begin, key) <= 0 && slice_compare(key, u->cover.end) < 0) {
    return true;
  }
  for (uint32_t i = 0; i < u->range_count; i++) {
    range_tombstone found;
    if (u->ranges[i].memtable != NULL) {
      if (!memtable_covering(u->ranges[i].memtable, key, u->ranges[i].seq, &found)) continue;
    } else {
      const range_tombstone *f = rangedel_find(u->ranges[i].set, key, u->ranges[i].seq);
      if (f == NULL) continue;
      found = *f;
    }
    if (found.seq <= seq) continue;
    u->cover = found;
    return true;
  }
  return false;
}

static inline bool user_iter_covered(user_iter *u, slice key, uint64_t seq) {
  return u->range_count > 0 && user_iter_covered_slow(u, key, seq);
}

static int user_iter_end(user_iter *u, int status) {
  u->status = status;
  u->key = u->value = slice_make(NULL, 0);
  return status;
}

static int user_iter_show(user_iter *u, slice key, slice value) {
  u->key = key;
  u->value = value;
  u->status = VARVE_OK;
  return VARVE_OK;
}

/* ---- forward ---- */

static inline bool user_iter_is_above(const user_iter *u, slice key) {
  if (LIKELY(key.size >= 8 && head_u64(key.data, 8) < u->upper_head)) return false;
  return u->upper.size > 0 && slice_compare(key, buf_slice(&u->upper)) >= 0;
}

/* Past the version that `in` is on: one step, or after many steps on one key a seek past all its versions. `key_copy`
 * is in->key, kept elsewhere; `target` the trailer to go to. */
static int user_iter_step(user_iter *u, int *steps, uint64_t target) {
  if (++*steps <= USER_ITER_STEPS_MAX) return iter_next(u->in);
  *steps = 0;
  TRY(buf_set(&u->saved_value, u->in->key));
  return iter_seek(u->in, buf_slice(&u->saved_value), target);
}

/* From where `in` is (rc = its last move): the first visible key; versions of saved_key are passed over when
 * `skipping`. */
static int user_iter_find_forward(user_iter *u, int rc, bool skipping) {
  iter *in = u->in;
  int steps = 0;
  u->forward = true;
  while (rc == VARVE_OK) {
    if (user_iter_is_above(u, in->key)) return user_iter_end(u, VARVE_DONE);
    if (user_iter_hidden(u, in->trailer)) {
      rc = user_iter_step(u, &steps, user_iter_below_hidden(u, in->trailer));
      continue;
    }
    if (skipping && slice_equal(in->key, buf_slice(&u->saved_key))) {
      rc = user_iter_step(u, &steps, 0);
      continue;
    }
    bool covered = user_iter_covered(u, in->key, trailer_seq(in->trailer));
    if (LIKELY(!covered && trailer_kind(in->trailer) == KIND_PUT)) return user_iter_show(u, in->key, in->value);
    steps = 0;
    skipping = true;
    rc = buf_set(&u->saved_key, in->key);
    if (rc >= 0 && covered) rc = merge_iter_skip(in, u->cover.end, u->cover.seq);
    /* The skip may have left the key; if not, its versions are passed over above. */
  }
  return user_iter_end(u, rc);
}

/* ---- backward ---- */

static inline bool user_iter_is_below(const user_iter *u, slice key) {
  if (LIKELY(key.size >= 8 && head_u64(key.data, 8) > u->lower_head)) return false;
  return u->lower.size > 0 && slice_compare(key, buf_slice(&u->lower)) < 0;
}

/* `in` is on the oldest version of a key. Takes in the newest visible one and goes before the key. *found = it is a
 * value. */
static int user_iter_take_key(user_iter *u, bool *found) {
  iter *in = u->in;
  *found = false;
  TRY(buf_set(&u->saved_key, in->key));
  slice key = buf_slice(&u->saved_key);
  int rc = VARVE_OK;
  uint64_t before = 0; /* a newer version of the key has a larger trailer */
  for (int steps = 0; rc == VARVE_OK && (steps == 0 || (in->trailer > before && slice_equal(in->key, key))); steps++) {
    if (steps == USER_ITER_STEPS_MAX || user_iter_hidden(u, in->trailer)) {
      /* Many versions: go to the wanted one at once, if there is one, and then before them all. */
      rc = user_iter_seek_visible(u, key);
      if (rc < 0) return rc;
      if (rc == VARVE_OK && slice_equal(in->key, key)) {
        *found = trailer_kind(in->trailer) == KIND_PUT && !user_iter_covered(u, key, trailer_seq(in->trailer));
        if (*found) TRY(buf_set(&u->saved_value, in->value));
      }
      return iter_seek_before(in, key);
    }
    *found = trailer_kind(in->trailer) == KIND_PUT && !user_iter_covered(u, key, trailer_seq(in->trailer));
    if (*found) TRY(buf_set(&u->saved_value, in->value));
    before = in->trailer;
    rc = iter_prev(in);
  }
  return rc;
}

static int user_iter_find_backward(user_iter *u, int rc) {
  u->forward = false;
  while (rc == VARVE_OK) {
    if (user_iter_is_below(u, u->in->key)) break;
    bool found;
    rc = user_iter_take_key(u, &found);
    if (rc < 0) break;
    if (found) return user_iter_show(u, buf_slice(&u->saved_key), buf_slice(&u->saved_value));
  }
  return user_iter_end(u, rc < 0 ? rc : VARVE_DONE);
}

/* ---- moves ---- */

INTERNAL int user_iter_seek(user_iter *u, slice key) {
  if (u->in == NULL) return user_iter_end(u, VARVE_DONE);
  slice lower = buf_slice(&u->lower);
  slice target = slice_compare(key, lower) < 0 ? lower : key;
  int rc = target.size == 0 ? iter_first(u->in) : iter_seek(u->in, target, TRAILER_MAX);
  return user_iter_find_forward(u, rc, false);
}

INTERNAL int user_iter_first(user_iter *u) {
  return user_iter_seek(u, slice_make(NULL, 0));
}

INTERNAL int user_iter_last(user_iter *u) {
  if (u->in == NULL) return user_iter_end(u, VARVE_DONE);
  slice upper = buf_slice(&u->upper);
  return user_iter_find_backward(u, upper.size == 0 ? iter_last(u->in) : iter_seek_before(u->in, upper));
}

INTERNAL int user_iter_seek_for_prev(user_iter *u, slice key) {
  if (u->in == NULL) return user_iter_end(u, VARVE_DONE);
  slice upper = buf_slice(&u->upper);
  if (upper.size > 0 && slice_compare(key, upper) >= 0) return user_iter_last(u);
  /* The last key <= key is the last one before its successor. */
  int rc = buf_set(&u->saved_key, key);
  if (rc >= 0) rc = buf_append_zeros(&u->saved_key, 1);
  if (rc >= 0) rc = iter_seek_before(u->in, buf_slice(&u->saved_key));
  return user_iter_find_backward(u, rc);
}

INTERNAL int user_iter_next(user_iter *u) {
  if (u->status != VARVE_OK) return u->status;
  if (UNLIKELY(!u->forward)) {
    int rc = iter_seek(u->in, buf_slice(&u->saved_key), 0);
    return user_iter_find_forward(u, rc, true);
  }
  /* An older version of the key would have a smaller trailer, and a put of sequence 0 has none below it. */
  bool skipping = u->in->trailer > (uint64_t)KIND_PUT;
  int rc = skipping ? buf_set(&u->saved_key, u->key) : VARVE_OK;
  if (rc >= 0) rc = iter_next(u->in);
  return user_iter_find_forward(u, rc, skipping);
}

INTERNAL int user_iter_prev(user_iter *u) {
  if (u->status != VARVE_OK) return u->status;
  int rc = VARVE_OK;
  if (UNLIKELY(u->forward)) {
    rc = buf_set(&u->saved_key, u->key);
    if (rc >= 0) rc = iter_seek_before(u->in, buf_slice(&u->saved_key));
  } else if (!u->in->valid) {
    rc = VARVE_DONE;
  }
  return user_iter_find_backward(u, rc);
}

INTERNAL slice user_iter_key(const user_iter *u) {
  return u->key;
}

INTERNAL slice user_iter_value(const user_iter *u) {
  return u->value;
}

INTERNAL int user_iter_status(const user_iter *u) {
  return u->status;
}
