/* pin.h: a count of users, embedded first in what they keep alive. The last one to leave calls `release`. */
#ifndef VARVE_PIN_H
#define VARVE_PIN_H

#include "base/base.h"

typedef struct pin {
  atomic_uint refs;
  void (*release)(struct pin *self);
} pin;

static inline void pin_init(pin *p, void (*release)(pin *)) {
  atomic_init(&p->refs, 1);
  p->release = release;
}
static inline void pin_ref(pin *p) {
  unsigned before = atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
  ASSERT(before > 0);
}
/* NULL is allowed. */
static inline void pin_unref(pin *p) {
  if (p == NULL) return;
  unsigned before = atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel);
  ASSERT(before > 0);
  if (before == 1) p->release(p);
}

#endif
