/* level_iter.c: the disjoint, sorted tables of one level as one iterator. A table is opened when the position reaches
 * it.
 *
 * Bounds of tables cover range tombstones too, so a table may have no version where its bounds say it might: then the
 * walk goes on to the next one.
 */
#include "lsm/lsm_int.h"

typedef struct level_iter {
  iter base;
  lsm *lsm;
  const version_level *level;
  uint32_t from, to;
  uint32_t at; /* table of `in` */
  iter *in;    /* NULL = none */
  bool bulk;
} level_iter;

static int level_iter_enter(level_iter *v, uint32_t index) {
  ASSERT(index >= v->from && index < v->to);
  if (v->in != NULL && v->at == index) return VARVE_OK;
  iter_close(v->in);
  v->in = NULL;
  table *t;
  TRY(table_cache_get(v->lsm, v->level->tables[index], &t));
  TRY(table_iter_open(t, v->lsm->env->alloc, v->bulk, &v->in));
  v->at = index;
  return VARVE_OK;
}

static int level_iter_show(level_iter *v, int rc) {
  v->base.valid = rc == VARVE_OK;
  if (rc != VARVE_OK) return rc;
  v->base.key = v->in->key;
  v->base.trailer = v->in->trailer;
  v->base.value = v->in->value;
  return VARVE_OK;
}

/* `rc` of a move inside the current table; while it is DONE, the first version of the tables after it. */
static int level_iter_forward(level_iter *v, int rc) {
  while (rc == VARVE_DONE && v->at + 1 < v->to) {
    rc = level_iter_enter(v, v->at + 1);
    if (rc >= 0) rc = iter_first(v->in);
  }
  return level_iter_show(v, rc);
}

static int level_iter_backward(level_iter *v, int rc) {
  while (rc == VARVE_DONE && v->at > v->from) {
    rc = level_iter_enter(v, v->at - 1);
    if (rc >= 0) rc = iter_last(v->in);
  }
  return level_iter_show(v, rc);
}

static int level_iter_first(iter *it) {
  level_iter *v = (level_iter *)(void *)it;
  int rc = level_iter_enter(v, v->from);
  if (rc >= 0) rc = iter_first(v->in);
  return level_iter_forward(v, rc);
}

static int level_iter_last(iter *it) {
  level_iter *v = (level_iter *)(void *)it;
  int rc = level_iter_enter(v, v->to - 1);
  if (rc >= 0) rc = iter_last(v->in);
  return level_iter_backward(v, rc);
}

static int level_iter_seek(iter *it, slice key, uint64_t trailer) {
  level_iter *v = (level_iter *)(void *)it;
  uint32_t index = MAX(version_find(v->level, key), v->from);
  if (index >= v->to) return level_iter_show(v, VARVE_DONE);
  int rc = level_iter_enter(v, index);
  if (rc >= 0) rc = iter_seek(v->in, key, trailer);
  return level_iter_forward(v, rc);
}

static int level_iter_seek_before(iter *it, slice key) {
  level_iter *v = (level_iter *)(void *)it;
  uint32_t index = MIN(version_find(v->level, key), v->to - 1);
  int rc = level_iter_enter(v, MAX(index, v->from));
  if (rc >= 0) rc = iter_seek_before(v->in, key);
  return level_iter_backward(v, rc);
}

static int level_iter_next(iter *it) {
  level_iter *v = (level_iter *)(void *)it;
  return level_iter_forward(v, iter_next(v->in));
}

static int level_iter_prev(iter *it) {
  level_iter *v = (level_iter *)(void *)it;
  return level_iter_backward(v, iter_prev(v->in));
}

static void level_iter_close(iter *it) {
  level_iter *v = (level_iter *)(void *)it;
  iter_close(v->in);
  MEM_DELETE(v->lsm->env->alloc, v);
}

static const iter_ops level_iter_ops = {level_iter_first, level_iter_last, level_iter_seek, level_iter_seek_before,
                                        level_iter_next,  level_iter_prev, level_iter_close};

INTERNAL int level_iter_open(lsm *l, const version_level *level, uint32_t from, uint32_t to, bool bulk, iter **out) {
  ASSERT(from < to && to <= level->count);
  level_iter *v = MEM_NEW(l->env->alloc, level_iter);
  if (v == NULL) return mem_fail(sizeof *v, "a level iterator");
  v->base.ops = &level_iter_ops;
  v->lsm = l;
  v->level = level;
  v->from = from;
  v->to = to;
  v->bulk = bulk;
  *out = &v->base;
  return VARVE_OK;
}
