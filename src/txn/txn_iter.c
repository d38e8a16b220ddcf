/* txn_iter.c: iterators of a transaction: the database at its snapshot with its own writes over it, and a note of what
 * was walked over.
 *
 * What a walk has read is one range without holes: from where it was positioned to where it stands, keys that are not
 * there included; to the bound when it came to the end or failed. Steps cost nothing: the range is noted when the walk
 * is left (an absolute move, a turn, close, commit), for then the iterator still knows where it stands.
 *
 *     seek(c) next next        c ······ h            noted [c, h]
 *     then prev, prev                 f ·· h         noted [f, h)
 *
 * Only a transaction that is SERIALIZABLE and may write takes notes.
 */
#include "txn/txn_int.h"

typedef enum txn_walk { TXN_WALK_NONE, TXN_WALK_FORWARD, TXN_WALK_BACKWARD } txn_walk;

struct txn_iter {
  user_iter *in;
  allocator *alloc;
  txn_store *store;
  txn *noting; /* whom notes go to, NULL = nobody */
  txn_iter *next, *before;
  txn_walk walk;
  buf from; /* of the walk: forward its first key, backward its end, which is not part of it */
  buf lower, upper;
};

/* ---- opening and closing ---- */

static void txn_iter_free(txn_iter *it) {
  if (it == NULL) return;
  allocator *alloc = it->alloc;
  buf_free(&it->from);
  buf_free(&it->lower);
  buf_free(&it->upper);
  MEM_DELETE(alloc, it);
}

INTERNAL void txn_iter_forget(txn_store *s) {
  txn_iter_free(atomic_exchange(&s->idle_iter, NULL));
}

static txn_iter *txn_iter_take(txn_store *s) {
  txn_iter *it = atomic_exchange_explicit(&s->idle_iter, NULL, memory_order_acquire);
  if (it != NULL) return it;
  it = MEM_NEW(s->env->alloc, txn_iter);
  if (it == NULL) return NULL;
  it->alloc = s->env->alloc;
  buf_init(&it->from, it->alloc);
  buf_init(&it->lower, it->alloc);
  buf_init(&it->upper, it->alloc);
  return it;
}

static void txn_iter_give(txn_store *s, txn_iter *it) {
  enum { KEPT_BYTES = 8 * 1024 };
  ASSERT(it->in == NULL && it->noting == NULL);
  if (it->from.capacity + it->lower.capacity + it->upper.capacity > KEPT_BYTES) {
    txn_iter_free(it);
    return;
  }
  txn_iter_free(atomic_exchange_explicit(&s->idle_iter, it, memory_order_acq_rel));
}

static void txn_iter_link(txn_iter *it, txn *t) {
  it->noting = t;
  it->before = NULL;
  it->next = t->iters;
  if (it->next != NULL) it->next->before = it;
  t->iters = it;
}

static void txn_iter_unlink(txn_iter *it) {
  if (it->next != NULL) it->next->before = it->before;
  if (it->before != NULL) {
    it->before->next = it->next;
  } else {
    ASSERT(it->noting->iters == it);
    it->noting->iters = it->next;
  }
  it->next = it->before = NULL;
  it->noting = NULL;
}

INTERNAL int txn_iter_open(txn *t, slice lower, slice upper, txn_iter **out) {
  *out = NULL;
  TRY(txn_check(t));
  t->touched = true;
  if (t->writes.count > 0) TRY(txn_overlay(t));
  txn_store *s = t->store;
  txn_iter *it = txn_iter_take(s);
  if (it == NULL) return mem_fail(sizeof *it, "an iterator");
  bool notes = t->isolation == VARVE_SERIALIZABLE && !t->read_only;
  user_iter_options options = {.seq_max = t->isolation == VARVE_READ_COMMITTED ? SEQ_MAX : t->seq,
                               .lower = lower,
                               .upper = upper,
                               .overlay = t->writes.count > 0 ? t->overlay : NULL,
                               .overlay_seq = TXN_SEQ_BASE + t->writes.count - 1};
  int rc = VARVE_OK;
  it->store = s;
  it->walk = TXN_WALK_NONE;
  if (notes) STEP(buf_set(&it->lower, lower));
  if (notes) STEP(buf_set(&it->upper, upper));
  STEP(lsm_iter_open(s->lsm, &options, &it->in));
  if (notes) txn_iter_link(it, t);
  *out = it;
  it = NULL;
out:
  if (it != NULL) txn_iter_give(s, it);
  return rc;
}

/* ---- notes ---- */

static int txn_iter_note(txn_iter *it) {
  if (it->walk == TXN_WALK_NONE) return VARVE_OK;
  read_set *reads = &it->noting->reads;
  bool there = user_iter_status(it->in) == VARVE_OK;
  slice key = user_iter_key(it->in), from = buf_slice(&it->from);
  if (it->walk == TXN_WALK_FORWARD) {
    TRY(read_set_add_range(reads, from, there ? key : buf_slice(&it->upper), there));
  } else {
    TRY(read_set_add_range(reads, there ? key : buf_slice(&it->lower), from, false));
  }
  it->walk = TXN_WALK_NONE;
  return VARVE_OK;
}

INTERNAL int txn_iters_flush(txn *t) {
  for (txn_iter *it = t->iters; it != NULL; it = it->next) TRY(txn_iter_note(it));
  return VARVE_OK;
}

INTERNAL void txn_iters_detach(txn *t) {
  while (t->iters != NULL) txn_iter_unlink(t->iters);
}

INTERNAL void txn_iter_close(txn_iter *it) {
  if (it == NULL) return;
  if (it->noting != NULL) {
    int rc = txn_iter_note(it);
    if (rc < 0) it->noting->lost = rc; /* there is nobody to tell but the commit */
    txn_iter_unlink(it);
  }
  user_iter *in = it->in;
  it->in = NULL;
  txn_iter_give(it->store, it); /* before the last that keeps the database from closing */
  user_iter_close(in);
}

/* ---- moves ---- */

/* A walk begins: what the one before has read is noted first. */
static int txn_iter_begin(txn_iter *it, txn_walk walk, slice from) {
  TRY(txn_iter_note(it));
  TRY(buf_set(&it->from, from));
  it->walk = walk;
  return VARVE_OK;
}

INTERNAL int txn_iter_first(txn_iter *it) {
  if (it->noting != NULL) TRY(txn_iter_begin(it, TXN_WALK_FORWARD, buf_slice(&it->lower)));
  return user_iter_first(it->in);
}

INTERNAL int txn_iter_last(txn_iter *it) {
  if (it->noting != NULL) TRY(txn_iter_begin(it, TXN_WALK_BACKWARD, buf_slice(&it->upper)));
  return user_iter_last(it->in);
}

INTERNAL int txn_iter_seek(txn_iter *it, slice key) {
  if (it->noting != NULL) {
    slice lower = buf_slice(&it->lower);
    TRY(txn_iter_begin(it, TXN_WALK_FORWARD, slice_compare(key, lower) < 0 ? lower : key));
  }
  return user_iter_seek(it->in, key);
}

INTERNAL int txn_iter_seek_for_prev(txn_iter *it, slice key) {
  if (it->noting != NULL) {
    slice upper = buf_slice(&it->upper);
    bool above = upper.size > 0 && slice_compare(key, upper) >= 0;
    TRY(txn_iter_begin(it, TXN_WALK_BACKWARD, above ? upper : key));
    if (!above) TRY(buf_append_zeros(&it->from, 1)); /* the key itself is part of it */
  }
  return user_iter_seek_for_prev(it->in, key);
}

/* The walk turns at the key that it stands on, which the one before has noted. */
static int txn_iter_turn(txn_iter *it, txn_walk walk) {
  if (it->walk == walk || it->walk == TXN_WALK_NONE || user_iter_status(it->in) != VARVE_OK) return VARVE_OK;
  return txn_iter_begin(it, walk, user_iter_key(it->in));
}

INTERNAL int txn_iter_next(txn_iter *it) {
  if (it->noting != NULL) TRY(txn_iter_turn(it, TXN_WALK_FORWARD));
  return user_iter_next(it->in);
}

INTERNAL int txn_iter_prev(txn_iter *it) {
  if (it->noting != NULL) TRY(txn_iter_turn(it, TXN_WALK_BACKWARD));
  return user_iter_prev(it->in);
}

INTERNAL user_iter *txn_iter_at(const txn_iter *it) {
  return it->in;
}
