/* view.c: how readers get at a moment of the database without a lock.
 *
 * A reader writes the view that it is about to use into a slot of its own (a hazard pointer: M. Michael, 2004), then
 * checks that it is still the current one. Whoever swaps the view puts the old one on the retired list and drops the
 * engine's pin on it only once no slot names it. Longer users (iterators, values) take a pin while they are in the
 * slot and then leave it.
 *
 * Invariants
 *   1. A view in a slot, checked after it was written there, is not released.
 *   2. A view holds pins on its memtables and its version, a version on its tables: nothing a reader sees goes away
 *      under it.
 *   3. A view is loaded before the published sequence: so it holds everything up to that sequence that had been
 *      written to it, and a compaction that finished later cannot have dropped what the reader needs.
 */
#include "lsm/lsm_int.h"

static void view_release(pin *p) {
  view *v = (view *)(void *)p;
  memtable *active = v->active;
  if (active != NULL) pin_unref(memtable_pin(active));
  for (uint32_t i = 0; i < v->immutable_count; i++) pin_unref(memtable_pin(v->immutable[i]));
  pin_unref(&v->current->pin);
  atomic_fetch_sub(&v->owner->views_alive, 1);
  MEM_DELETE(v->owner->env->alloc, v);
}

/* A slot to begin looking at: threads have different stacks, so they mostly find one of their own. */
static uint32_t view_slot_hint(void) {
  char here;
  uint64_t address = (uint64_t)(uintptr_t)&here >> 14;
  return (uint32_t)((address * 0x9e3779b97f4a7c15u) >> 32) % READER_SLOTS;
}

INTERNAL view *view_enter(lsm *l, reader_slot **slot) {
  uint32_t i = view_slot_hint();
  view *v = atomic_load(&l->view);
  for (uint32_t tries = 1;; tries++) {
    view *none = NULL;
    if (atomic_compare_exchange_strong(&l->slots[i].held, &none, v)) break;
    i = (i + 1) % READER_SLOTS;
    if (tries % READER_SLOTS == 0) thread_yield();
  }
  for (;;) {
    view *now = atomic_load(&l->view);
    if (LIKELY(now == v)) break;
    v = now;
    atomic_store(&l->slots[i].held, v);
  }
  *slot = &l->slots[i];
  return v;
}

INTERNAL view *view_pin(lsm *l) {
  reader_slot *slot;
  view *v = view_enter(l, &slot);
  pin_ref(&v->pin);
  view_leave(slot);
  return v;
}

INTERNAL int view_create(lsm *l, view **v) {
  *v = MEM_NEW(l->env->alloc, view);
  return *v == NULL ? mem_fail(sizeof **v, "a view") : VARVE_OK;
}

INTERNAL void view_discard(lsm *l, view *v) {
  if (v != NULL) MEM_DELETE(l->env->alloc, v);
}

INTERNAL void view_install(lsm *l, view *v, memtable *active, memtable *const *immutable, uint32_t immutable_count,
                           version *current) {
  ASSERT(immutable_count <= IMMUTABLES_MAX);
  pin_init(&v->pin, view_release);
  atomic_fetch_add(&l->views_alive, 1);
  v->owner = l;
  v->active = active;
  pin_ref(memtable_pin(active));
  for (uint32_t i = 0; i < immutable_count; i++) {
    v->immutable[i] = immutable[i];
    pin_ref(memtable_pin(immutable[i]));
  }
  v->immutable_count = immutable_count;
  v->current = current;
  pin_ref(&current->pin);
  view *before = atomic_exchange(&l->view, v);
  if (before != NULL) {
    before->retired_next = l->retired;
    l->retired = before;
  }
}

static bool view_in_slot(const lsm *l, const view *v) {
  for (uint32_t i = 0; i < READER_SLOTS; i++) {
    if (atomic_load(&l->slots[i].held) == v) return true;
  }
  return false;
}

INTERNAL void view_sweep(lsm *l) {
  mutex_lock(&l->state_lock);
  view **link = &l->retired, *free_list = NULL;
  while (*link != NULL) {
    view *v = *link;
    if (view_in_slot(l, v)) {
      link = &v->retired_next;
      continue;
    }
    *link = v->retired_next;
    v->retired_next = free_list;
    free_list = v;
  }
  mutex_unlock(&l->state_lock);
  /* Releasing may close tables and queue files, which takes the lock again. */
  while (free_list != NULL) {
    view *next = free_list->retired_next;
    pin_unref(&free_list->pin);
    free_list = next;
  }
}
