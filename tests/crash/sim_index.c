/* sim_index.c: the keys that rows have in indexes, and what the model says of writing a row. */
#include "sim_index.h"

#include "base/xxh64.h"

/* ---- keys ---- */

void sim_index_keys_of(const sim_index_plan *p, varve_slice value, sim_index_keys *keys) {
  uint64_t hash = xxh64(value.data, value.size, 77);
  keys->count = p->unique ? hash % 6 != 0 : (uint32_t)(hash % 3);
  keys->number[0] = (uint8_t)((hash >> 8) % (p->unique ? SIM_CODES : SIM_LETTERS));
  keys->number[1] = (uint8_t)((hash >> 24) % SIM_LETTERS); /* may be the same again */
}

varve_slice sim_index_key(const sim_index_plan *p, uint32_t number) {
  static const varve_slice letters[SIM_LETTERS] = {{"a", 1}, {"a\0", 2}, {"ab", 2}, {"b", 1}, {"\xff", 1}};
  static uint8_t code[2];
  varve_slice key = {code, sizeof code};
  if (!p->unique) return letters[number];
  code[0] = (uint8_t)(number / 8);
  code[1] = (uint8_t)(number % 8 * 36);
  return key;
}

varve_slice sim_index_name(uint32_t index) {
  static const char *const names[SIM_INDEXES] = {"by letter", "by", "z"};
  return varve_str(names[index]);
}

varve_index_options sim_index_options(const sim_plan *p, uint32_t index, varve_keyspace *space, sim_extractor *x) {
  varve_index_options o = {.kind = p->index[index].kind,
                           .unique = p->index[index].unique,
                           .keyspace = space,
                           .extract = sim_index_extract,
                           .context = x};
  return o;
}

/* ---- a row ---- */

static bool postings_have(const sim_index_keys *keys, uint8_t number) {
  for (uint32_t i = 0; i < keys->count; i++) {
    if (keys->number[i] == number) return true;
  }
  return false;
}

static void postings_of(const sim_index_plan *p, const sim_history *h, uint16_t number, sim_index_keys *keys) {
  keys->count = 0;
  if (number != 0) sim_index_keys_of(p, sim_history_value(h, number), keys);
}

static void postings_note(sim_index_codes *c, uint32_t index, uint32_t number) {
  c->bits[index][number / 64] |= UINT64_C(1) << number % 64;
}

/* Whether another row has the key. */
static void postings_taken(const sim_plan *p, const sim_history *h, const sim_state *state, const uint16_t *shows,
                           uint32_t index, uint32_t key, uint8_t number, sim_row_change *change) {
  postings_note(&change->looked_at, index, number);
  for (uint32_t k = 0; k < SIM_KEYS; k++) {
    sim_index_keys other;
    if (k == key || shows[k] == 0) continue;
    postings_of(&p->index[index], h, shows[k], &other);
    if (!postings_have(&other, number)) continue;
    change->maybe_taken = true;
    if (state->index[index] == SIM_INDEX_READY) change->taken = true;
  }
}

void sim_index_row(const sim_plan *p, const sim_history *h, const sim_state *state, const uint16_t *shows,
                   uint32_t space, uint32_t key, uint16_t number, sim_row_change *change) {
  *change = (sim_row_change){.operations = 1};
  for (uint32_t i = 0; i < SIM_INDEXES; i++) {
    const sim_index_plan *plan = &p->index[i];
    sim_index_keys before, after;
    if (plan->space != space || state->index[i] == SIM_INDEX_NONE) continue;
    postings_of(plan, h, shows[key], &before);
    postings_of(plan, h, number, &after);
    for (uint32_t n = 0; n < before.count; n++) {
      if (postings_have(&after, before.number[n])) continue;
      /* While it is built two rows may have a key, and the entry is that of the first one. */
      if (plan->unique && state->index[i] != SIM_INDEX_READY && !state->posted[i][key]) continue;
      change->operations++;
      if (plan->unique) postings_note(&change->codes, i, before.number[n]);
    }
    for (uint32_t n = 0; n < after.count; n++) {
      if (postings_have(&before, after.number[n])) continue;
      change->operations++;
      if (!plan->unique) continue;
      if (!change->taken) postings_taken(p, h, state, shows, i, key, after.number[n], change);
      postings_note(&change->codes, i, after.number[n]);
    }
  }
}

bool sim_index_any(const sim_plan *p, const sim_state *state, uint32_t space) {
  for (uint32_t i = 0; i < SIM_INDEXES; i++) {
    if (p->index[i].space == space && state->index[i] != SIM_INDEX_NONE) return true;
  }
  return false;
}

void sim_index_posted(const sim_plan *p, const sim_history *h, sim_state *state, uint32_t space, uint32_t key,
                      uint16_t before, uint16_t after) {
  for (uint32_t i = 0; i < SIM_INDEXES; i++) {
    sim_index_keys old, now;
    if (p->index[i].space != space || state->index[i] == SIM_INDEX_NONE || state->posted[i][key]) continue;
    postings_of(&p->index[i], h, before, &old);
    postings_of(&p->index[i], h, after, &now);
    bool stays = now.count > 0 && old.count > 0 && old.number[0] == now.number[0]; /* left as it is */
    state->posted[i][key] = !stays;
  }
}
