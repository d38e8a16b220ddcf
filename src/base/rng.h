/* rng.h: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): a seed decides everything after it. Not for secrets. */
#ifndef VARVE_RNG_H
#define VARVE_RNG_H

#include "base/base.h"

typedef struct rng {
  uint64_t state;
} rng;

static inline uint64_t rng_next(rng *r) {
  uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}
/* 0 .. n - 1, for n > 0. */
static inline uint32_t rng_below(rng *r, uint32_t n) {
  return (uint32_t)(((rng_next(r) >> 32) * (uint64_t)n) >> 32);
}
static inline bool rng_percent(rng *r, uint32_t percent) {
  return rng_below(r, 100) < percent;
}

#endif
