/* compact_pick.c: which tables to merge next: a pure function of a version.
 *
 * Leveled compaction with dynamic targets (RocksDB, "dynamic level bytes", 2015): the last level's target is its own
 * size and each level above is `fanout` times smaller, up to the base level, the first one whose target is worth
 * having; level 0 goes straight there. So nearly all data is in the last level and space amplification stays near 1 +
 * 1 / fanout.
 *
 * Order of choice: level 0 when it has l0_runs runs; else the level with the largest size : target; else, when
 * nothing presses, a table that is mostly tombstones, so that deleted space comes back without being asked for.
 *
 * Invariants of a pick
 *   1. Every table of the output level that touches an input's bounds takes part: outputs stay disjoint.
 *   2. Level 0 takes part whole: a newer version never sinks below an older one.
 */
#include "lsm/lsm_int.h"

#define PICK_TOMBSTONES_PERCENT 30 /* of a table's entries, that make it worth a compaction of its own */

typedef struct pick_levels {
  uint32_t base, deepest; /* first and last level >= 1 in use; deepest = LEVELS - 1 when all are empty */
  uint64_t target[LEVELS];
} pick_levels;

INTERNAL uint32_t compact_l0_stop(const lsm_options *options) {
  return 2 * options->l0_runs;
}

static void pick_targets(const version *v, const lsm_options *options, pick_levels *p) {
  uint64_t base_bytes = options->memtable_bytes * options->l0_runs;
  p->deepest = LEVELS - 1;
  uint64_t target = MAX(v->level[p->deepest].bytes, base_bytes);
  p->base = p->deepest;
  p->target[p->base] = target;
  while (p->base > 1 && target > base_bytes) {
    target /= options->fanout;
    p->base--;
    p->target[p->base] = MAX(target, (uint64_t)1);
  }
  for (uint32_t level = 0; level < p->base; level++) p->target[level] = 0;
}

/* The hull of the bounds of tables from .. to - 1 of a level. */
static void pick_hull(const version_level *level, uint32_t from, uint32_t to, slice *begin, slice *end) {
  ASSERT(from < to);
  *begin = level->tables[from]->smallest;
  *end = level->tables[from]->largest;
  for (uint32_t i = from + 1; i < to; i++) {
    const table_meta *t = level->tables[i];
    if (slice_compare(t->smallest, *begin) < 0) *begin = t->smallest;
    if (slice_compare(t->largest, *end) > 0) *end = t->largest;
  }
}

/* Tables of level `from` into level `to`, which gives those that they touch. */
static void pick_into(const version *v, uint32_t from_level, uint32_t to_level, job_inputs *in) {
  slice begin, end;
  uint32_t from = in->level[from_level].from, to = in->level[from_level].to;
  pick_hull(&v->level[from_level], from, to, &begin, &end);
  version_overlap(&v->level[to_level], begin, end, &in->level[to_level].from, &in->level[to_level].to);
  in->output_level = to_level;
}

static bool pick_disjoint(const version_level *l0) {
  for (uint32_t i = 0; i < l0->count; i++) {
    for (uint32_t j = i + 1; j < l0->count; j++) {
      if (table_meta_overlaps(l0->tables[i], l0->tables[j]->smallest, l0->tables[j]->largest)) return false;
    }
  }
  return true;
}

static bool pick_level0(const version *v, const pick_levels *p, job_inputs *in) {
  const version_level *l0 = &v->level[0];
  if (l0->count == 0) return false;
  in->level[0].to = l0->count;
  /* Levels above the base are emptied first, so that nothing older is jumped over. */
  uint32_t to = p->base;
  for (uint32_t level = 1; level < to; level++) {
    if (v->level[level].count > 0) to = level;
  }
  pick_into(v, 0, to, in);
  bool alone = in->level[to].from == in->level[to].to;
  in->move = alone && l0->count <= 64 && pick_disjoint(l0);
  return true;
}

/* The table of `level` that drags the fewest bytes of the next level along, per byte of its own. */
static bool pick_least_overlap(const version *v, uint32_t level, job_inputs *in) {
  const version_level *here = &v->level[level], *below = &v->level[level + 1];
  double best = 0;
  uint32_t found = UINT32_MAX;
  for (uint32_t i = 0; i < here->count; i++) {
    const table_meta *t = here->tables[i];
    uint32_t from, to;
    uint64_t bytes = 0;
    version_overlap(below, t->smallest, t->largest, &from, &to);
    for (uint32_t k = from; k < to; k++) bytes += below->tables[k]->size;
    double cost = (double)bytes / (double)MAX(t->size, (uint64_t)1);
    if (found != UINT32_MAX && cost >= best) continue;
    best = cost;
    found = i;
  }
  if (found == UINT32_MAX) return false;
  in->level[level].from = found;
  in->level[level].to = found + 1;
  pick_into(v, level, level + 1, in);
  in->move = in->level[level + 1].from == in->level[level + 1].to;
  return true;
}

static bool pick_largest_score(const version *v, const pick_levels *p, job_inputs *in) {
  double best = 1;
  uint32_t found = 0;
  for (uint32_t level = 1; level < p->deepest; level++) {
    uint64_t bytes = v->level[level].bytes;
    if (bytes == 0) continue;
    double score = p->target[level] == 0 ? 1e9 : (double)bytes / (double)p->target[level];
    if (score <= best) continue;
    best = score;
    found = level;
  }
  return found > 0 && pick_least_overlap(v, found, in);
}

static bool pick_is_mostly_dead(const table_meta *t) {
  return t->range_tombstones > 0 || t->tombstones * 100 > t->entries * PICK_TOMBSTONES_PERCENT;
}

/* A table whose tombstones can be turned into space. Those of the last level only when no snapshot needs them any
 * more. */
static bool pick_tombstones(const version *v, const pick_levels *p, uint64_t oldest, job_inputs *in) {
  for (uint32_t level = 0; level < LEVELS; level++) {
    const version_level *here = &v->level[level];
    for (uint32_t i = 0; i < here->count; i++) {
      if (!pick_is_mostly_dead(here->tables[i]) || here->tables[i]->seq_max > oldest) continue;
      if (level == 0) return pick_level0(v, p, in);
      in->level[level].from = i;
      in->level[level].to = i + 1;
      in->output_level = level;
      if (level < p->deepest) {
        pick_into(v, level, level + 1, in);
        in->move = in->level[level + 1].from == in->level[level + 1].to && level + 1 < p->deepest;
      }
      return true;
    }
  }
  return false;
}

/* Nothing in the table is superseded, deleted or newer than the last level. */
static bool pick_is_settled(const table_meta *t) {
  return t->seq_max == 0 && t->tombstones == 0 && t->range_tombstones == 0;
}

/* Everything above the deepest level in use, and of that level what is touched or not settled. */
static bool pick_full(const version *v, const pick_levels *p, uint64_t oldest, job_inputs *in) {
  uint32_t bottom = p->deepest;
  const version_level *last = &v->level[bottom];
  uint32_t from = last->count, to = 0;
  bool any = false;
  for (uint32_t level = 0; level < bottom; level++) {
    uint32_t count = v->level[level].count;
    in->level[level].to = count;
    if (count == 0) continue;
    any = true;
    slice begin, end;
    uint32_t a, b;
    pick_hull(&v->level[level], 0, count, &begin, &end);
    version_overlap(last, begin, end, &a, &b);
    if (a == b) continue;
    from = MIN(from, a);
    to = MAX(to, b);
  }
  for (uint32_t i = 0; i < last->count; i++) {
    if (pick_is_settled(last->tables[i]) || last->tables[i]->seq_max > oldest) continue;
    from = MIN(from, i);
    to = MAX(to, i + 1);
  }
  in->output_level = bottom;
  if (from < to) {
    in->level[bottom].from = from;
    in->level[bottom].to = to;
    any = true;
  }
  if (!any) return false;
  /* The hull of all inputs together may touch tables of the last level that none of them does. */
  slice begin = {NULL, 0}, end = {NULL, 0};
  for (uint32_t level = 0; level <= bottom; level++) {
    if (in->level[level].from == in->level[level].to) continue;
    slice b, e;
    pick_hull(&v->level[level], in->level[level].from, in->level[level].to, &b, &e);
    if (begin.size == 0 || slice_compare(b, begin) < 0) begin = b;
    if (end.size == 0 || slice_compare(e, end) > 0) end = e;
  }
  version_overlap(last, begin, end, &in->level[bottom].from, &in->level[bottom].to);
  return true;
}

INTERNAL bool compact_pick(const version *v, const lsm_options *options, uint64_t oldest, bool full, job_inputs *in) {
  pick_levels p;
  pick_targets(v, options, &p);
  memset(in, 0, sizeof *in);
  if (full) return pick_full(v, &p, oldest, in);
  if (v->level[0].count >= options->l0_runs) return pick_level0(v, &p, in);
  if (pick_largest_score(v, &p, in)) return true;
  return pick_tombstones(v, &p, oldest, in);
}
