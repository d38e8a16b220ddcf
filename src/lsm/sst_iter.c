/* sst_iter.c: all point versions of a table, in both directions.
 *
 * One block is open at a time. The key is assembled in the iterator's own buffer: the block's prefix once, each
 * entry's suffix
 * behind it.
 *
 * Invariants
 *   1. While valid: `block` is block `block_index`, `at` < block.count, and key, trailer and value are of entry `at`.
 *   2. held pins the open block when it lies in the cache; a bulk iterator never holds one.
 */
#include "lsm/sst_int.h"

#define SST_ITER_NONE  UINT32_MAX
#define SST_ITER_SLACK 16u /* bytes behind the key that a copy of a fixed size may write */
#define SST_ITER_KEY   128u

typedef struct sst_iter {
  iter base;
  block block;
  uint32_t at, block_index;
  table *t;
  buf key;
  cache_block *held;
  allocator *alloc;
  bool bulk;
  sst_window window;
} sst_iter;

/* Lets go of the open block. */
static void sst_iter_drop(sst_iter *it) {
  it->base.valid = false;
  it->block_index = SST_ITER_NONE;
  if (it->held == NULL) return;
  pin_unref(&it->held->pin);
  it->held = NULL;
}

static int sst_iter_broken(sst_iter *it, const char *reason) {
  int rc = table_block_damaged(it->t, it->block_index, reason);
  sst_iter_drop(it);
  return rc;
}

static int sst_iter_room(sst_iter *it, size_t size) {
  it->key.size = it->block.prefix.size;
  int rc = buf_reserve(&it->key, size + SST_ITER_SLACK);
  if (rc < 0) sst_iter_drop(it);
  return rc;
}

/* Makes entry `at` of the open block the current one. */
static inline int sst_iter_show(sst_iter *it) {
  slice suffix, value;
  it->base.valid = false;
  if (UNLIKELY(!block_entry(&it->block, it->at, &suffix, &value))) return sst_iter_broken(it, "an entry is broken");
  uint64_t trailer = block_trailer(&it->block, it->at);
  size_t prefix = it->block.prefix.size, size = prefix + suffix.size;
  if (UNLIKELY(trailer_kind(trailer) > KIND_PUT || size - 1 >= INNER_KEY_MAX)) {
    return sst_iter_broken(it, "an entry is broken");
  }
  if (UNLIKELY(size + SST_ITER_SLACK > it->key.capacity)) TRY(sst_iter_room(it, suffix.size));
  uint8_t *to = it->key.data + prefix;
  const uint8_t *from = suffix.data;
  if (LIKELY(suffix.size <= SST_ITER_SLACK && (size_t)(it->block.data + it->block.size - from) >= SST_ITER_SLACK)) {
    memcpy(to, from, SST_ITER_SLACK);
  } else {
    memcpy(to, from, suffix.size);
  }
  it->base.key = slice_make(it->key.data, size);
  it->base.value = value;
  it->base.trailer = trailer;
  it->base.valid = true;
  return VARVE_OK;
}

/* Opens block i and places its prefix; `at` is the caller's to set. */
static int sst_iter_load(sst_iter *it, uint32_t i) {
  ASSERT(i < it->t->index.count);
  if (it->block_index == i) return VARVE_OK;
  sst_iter_drop(it);
  if (it->bulk) {
    TRY(sst_window_block(&it->window, i, &it->block));
  } else {
    TRY(table_block(it->t, i, &it->block, &it->held));
  }
  it->block_index = i;
  slice prefix = it->block.prefix;
  if (prefix.size + SST_ITER_SLACK > it->key.capacity) {
    it->key.size = 0;
    int rc = buf_reserve(&it->key, prefix.size + SST_ITER_KEY);
    if (rc < 0) {
      sst_iter_drop(it);
      return rc;
    }
  }
  if (prefix.size > 0) memcpy(it->key.data, prefix.data, prefix.size);
  return VARVE_OK;
}

/* The first entry of block i, the last of block i. DONE outside the table. */
static int sst_iter_enter(sst_iter *it, uint32_t i) {
  it->base.valid = false;
  if (i >= it->t->index.count) return VARVE_DONE;
  TRY(sst_iter_load(it, i));
  it->at = 0;
  return sst_iter_show(it);
}
static int sst_iter_enter_end(sst_iter *it, uint32_t i) {
  it->base.valid = false;
  if (i >= it->t->index.count) return VARVE_DONE; /* i - 1 of block 0 too */
  TRY(sst_iter_load(it, i));
  it->at = it->block.count - 1;
  return sst_iter_show(it);
}

static int sst_iter_first(iter *base) {
  return sst_iter_enter((sst_iter *)base, 0);
}

static int sst_iter_last(iter *base) {
  sst_iter *it = (sst_iter *)base;
  return sst_iter_enter_end(it, it->t->index.count - 1);
}

static int sst_iter_next(iter *base) {
  sst_iter *it = (sst_iter *)base;
  ASSERT_SLOW(it->base.valid && it->at < it->block.count);
  if (LIKELY(it->at + 1 < it->block.count)) {
    it->at++;
    return sst_iter_show(it);
  }
  return sst_iter_enter(it, it->block_index + 1);
}

static int sst_iter_prev(iter *base) {
  sst_iter *it = (sst_iter *)base;
  ASSERT_SLOW(it->base.valid && it->at < it->block.count);
  if (LIKELY(it->at > 0)) {
    it->at--;
    return sst_iter_show(it);
  }
  return sst_iter_enter_end(it, it->block_index - 1);
}

/* Block and entry of the first version at or after (key, trailer); *block is the count of blocks when there is none. */
static int sst_iter_find(sst_iter *it, slice key, uint64_t trailer, uint32_t *at) {
  it->base.valid = false;
  uint32_t i = sst_index_seek(&it->t->index, key);
  *at = 0;
  for (; i < it->t->index.count; i++) {
    TRY(sst_iter_load(it, i));
    *at = block_seek(&it->block, key, trailer);
    if (UNLIKELY(*at == UINT32_MAX)) return sst_iter_broken(it, "an entry is broken");
    if (LIKELY(*at < it->block.count)) return VARVE_OK;
  }
  return VARVE_DONE;
}

static int sst_iter_seek(iter *base, slice key, uint64_t trailer) {
  sst_iter *it = (sst_iter *)base;
  int rc = sst_iter_find(it, key, trailer, &it->at);
  return rc == VARVE_OK ? sst_iter_show(it) : rc;
}

static int sst_iter_seek_before(iter *base, slice key) {
  sst_iter *it = (sst_iter *)base;
  uint32_t at;
  int rc = sst_iter_find(it, key, TRAILER_MAX, &at);
  if (rc < 0) return rc;
  if (rc == VARVE_DONE) return sst_iter_last(base);
  if (at == 0) return sst_iter_enter_end(it, it->block_index - 1);
  it->at = at - 1;
  return sst_iter_show(it);
}

static void sst_iter_close(iter *base) {
  sst_iter *it = (sst_iter *)base;
  sst_iter_drop(it);
  sst_window_free(&it->window);
  buf_free(&it->key);
  MEM_DELETE(it->alloc, it);
}

static const iter_ops sst_iter_ops = {
    sst_iter_first, sst_iter_last, sst_iter_seek, sst_iter_seek_before, sst_iter_next, sst_iter_prev, sst_iter_close,
};

INTERNAL int table_iter_open(table *t, allocator *alloc, bool bulk, iter **out) {
  *out = NULL;
  sst_iter *it = MEM_NEW(alloc, sst_iter);
  if (it == NULL) return mem_fail(sizeof *it, "a table's iterator");
  it->base.ops = &sst_iter_ops;
  it->t = t;
  it->alloc = alloc;
  it->bulk = bulk;
  it->block_index = SST_ITER_NONE;
  buf_init(&it->key, alloc);
  sst_window_init(&it->window, t, alloc);
  int rc = VARVE_OK;
  STEP(buf_reserve(&it->key, SST_ITER_KEY));
  *out = &it->base;
  return rc;
out:
  sst_iter_close(&it->base);
  return rc;
}

#undef SST_ITER_NONE
#undef SST_ITER_SLACK
#undef SST_ITER_KEY
