/* sim_model.c: keys, values and the list of states.
 *
 * Keys are few, so that they collide, shadow and delete each other: letters of small alphabets (some with the bytes 00
 * and ff), many of them prefixes of others, some long with a common beginning. A value is made from its number, so that
 * a state is a table of numbers.
 */
#include "sim_model.h"

#include <stdlib.h>

static int sim_key_compare(const void *a, const void *b) {
  const sim_key *x = a, *y = b;
  int order = memcmp(x->bytes, y->bytes, MIN(x->size, y->size));
  return order != 0 ? order : (int)x->size - (int)y->size;
}

static sim_key sim_key_make(rng *r) {
  static const uint8_t letters[3][3] = {{'a', 'b', 'c'}, {0, 1, 0xff}, {'k', 0, 'z'}};
  sim_key k = {0};
  if (rng_percent(r, 20)) {
    memcpy(k.bytes, "a rather long common beginning/", 31);
    k.size = 31;
  }
  if (rng_percent(r, 3)) {
    memset(k.bytes + k.size, 'w', 200);
    k.size = (uint16_t)(k.size + 200);
  }
  const uint8_t *alphabet = letters[rng_below(r, 3)];
  uint32_t more = 1 + rng_below(r, 5);
  for (uint32_t i = 0; i < more; i++) k.bytes[k.size++] = alphabet[rng_below(r, 3)];
  return k;
}

void sim_history_init(sim_history *h, uint64_t seed) {
  rng r = sim_rng(seed, 1, 0);
  memset(h, 0, sizeof *h);
  for (uint32_t count = 0; count < SIM_KEYS;) {
    sim_key k = sim_key_make(&r);
    bool known = false;
    for (uint32_t i = 0; i < count && !known; i++) known = sim_key_compare(&h->key[i], &k) == 0;
    if (!known) h->key[count++] = k;
  }
  qsort(h->key, SIM_KEYS, sizeof h->key[0], sim_key_compare);
  static const uint32_t sizes[] = {12, 60, 200, 700};
  h->value_max = sizes[rng_below(&r, COUNT_OF(sizes))];
  h->big_percent = rng_percent(&r, 30) ? 3 : 0;
  h->next_value = 1;
  h->commit[0].after.made[0] = true;
}

varve_slice sim_history_key(const sim_history *h, uint32_t i) {
  ASSERT(i < SIM_KEYS);
  varve_slice s = {h->key[i].bytes, h->key[i].size};
  return s;
}

varve_slice sim_space_name(uint32_t space) {
  static const char *const names[SIM_SPACES] = {"", "one", "one and more"};
  ASSERT(space > 0 && space < SIM_SPACES);
  return varve_str(names[space]);
}

/* ---- values ---- */

static uint32_t sim_value_size(const sim_history *h, rng *r) {
  uint32_t sort = rng_below(r, 100);
  if (sort < h->big_percent) return 3000 + rng_below(r, SIM_VALUE_MAX - 3000);
  if (sort < 8) return rng_below(r, 2);         /* none, or one byte */
  if (sort < 12) return 240 + rng_below(r, 40); /* around the size of a block */
  return rng_below(r, h->value_max);
}

varve_slice sim_history_value(const sim_history *h, uint32_t number) {
  static uint64_t words[SIM_VALUE_MAX / 8 + 2];
  rng r = {number * UINT64_C(0x51ed270b)};
  uint32_t size = sim_value_size(h, &r);
  uint64_t word = rng_next(&r), step = rng_percent(&r, 50) ? 0 : UINT64_C(0x9e3779b97f4a7c15); /* 0: compresses well */
  for (uint32_t i = 0; i * 8 < size; i++) {
    words[i] = word;
    word = (word + step) ^ (word & step) >> 7;
  }
  varve_slice s = {words, size};
  return s;
}

uint16_t sim_history_new_value(sim_history *h) {
  ASSERT(h->next_value < UINT16_MAX);
  return (uint16_t)h->next_value++;
}

/* ---- the list ---- */

sim_state *sim_history_begin(sim_history *h) {
  ASSERT(h->issued < SIM_COMMITS && !h->pending);
  h->commit[h->issued + 1].after = h->commit[h->issued].after;
  return &h->commit[h->issued + 1].after;
}

void sim_history_pend(sim_history *h, uint32_t operations) {
  sim_commit *c = &h->commit[h->issued + 1];
  c->seq = h->commit[h->issued].seq + operations;
  c->proven = h->commit[h->issued].proven; /* it may begin a log, which proves nothing about the one before */
  h->pending = true;
}

void sim_history_applied(sim_history *h) {
  h->issued++;
  h->commit[h->issued].proven = h->proven;
  h->returned = h->issued;
  h->pending = false;
}

void sim_history_failed(sim_history *h) {
  h->pending = false;
  if (h->ghost_count == SIM_GHOSTS) { /* the oldest gives way */
    memmove(&h->ghost[0], &h->ghost[1], (SIM_GHOSTS - 1) * sizeof h->ghost[0]);
    h->ghost_count--;
  }
  h->ghost[h->ghost_count++] = (sim_ghost){h->issued, h->commit[h->issued + 1]};
}

void sim_history_synced(sim_history *h, bool logged) {
  h->acked = h->issued;
  if (logged) h->proven = h->issued;
  uint32_t kept = 0;
  for (uint32_t i = 0; i < h->ghost_count; i++) {
    if (h->ghost[i].base >= h->acked) h->ghost[kept++] = h->ghost[i];
  }
  h->ghost_count = kept;
}

void sim_history_rewind(sim_history *h, uint32_t at, int ghost, bool durable) {
  if (ghost >= 0) {
    at = h->ghost[ghost].base + 1;
    h->commit[at] = h->ghost[ghost].commit;
  }
  ASSERT(at <= h->issued + 1);
  h->issued = h->returned = at;
  h->acked = durable ? at : MIN(h->acked, at);
  h->proven = MIN(h->proven, h->commit[at].proven);
  h->pending = false;
  if (durable) h->ghost_count = 0;
}
