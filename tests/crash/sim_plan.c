/* sim_plan.c: draws up the run of a seed. */
#include "sim_plan.h"

#include "base/limits.h"

const char *const sim_op_names[SIM_OP_KINDS] = {
#define SIM_OP_NAME(name, weight) #name,
    SIM_OP_MAP(SIM_OP_NAME) SIM_OP_TXN_MAP(SIM_OP_NAME) SIM_OP_INDEX_MAP(SIM_OP_NAME)
#undef SIM_OP_NAME
};

static const uint32_t sim_op_weights[SIM_OP_KINDS] = {
#define SIM_OP_WEIGHT(name, weight) weight,
    SIM_OP_MAP(SIM_OP_WEIGHT) SIM_OP_TXN_MAP(SIM_OP_WEIGHT) SIM_OP_INDEX_MAP(SIM_OP_WEIGHT)
#undef SIM_OP_WEIGHT
};

static uint32_t sim_plan_one_of(rng *r, const uint32_t *list, uint32_t count) {
  return list[rng_below(r, count)];
}
#define SIM_ONE_OF(r, ...) \
  sim_plan_one_of((r), (const uint32_t[]){__VA_ARGS__}, COUNT_OF(((const uint32_t[]){__VA_ARGS__})))

/* Every size is given: what the engine would choose by itself differs between hosts. */
static void sim_plan_options(sim_plan *p, rng *r) {
  varve_options *o = &p->options;
  memset(o, 0, sizeof *o);
  o->no_thread = true;
  o->durability = rng_percent(r, 30) ? VARVE_STRICT : VARVE_RELAXED;
  o->compression = rng_percent(r, 50) ? VARVE_COMPRESSION_LZ4 : VARVE_COMPRESSION_NONE;
  o->sync_interval_ms = SIM_ONE_OF(r, 1, 5, 100);
  o->memory_bytes = SIM_ONE_OF(r, 64 * KiB, 128 * KiB, 256 * KiB);
  o->memtable_bytes = SIM_ONE_OF(r, 4 * KiB, 4 * KiB, 6 * KiB, 16 * KiB);
  o->table_bytes = SIM_ONE_OF(r, 1 * KiB, 2 * KiB, 4 * KiB);
  o->block_bytes = SIM_ONE_OF(r, 64, 128, 256, 512);
  o->bloom_bits = SIM_ONE_OF(r, 1, 4, 10);
  o->l0_runs = SIM_ONE_OF(r, 2, 2, 3, 8);
  o->level_fanout = SIM_ONE_OF(r, 2, 3, 10);
  o->no_mmap = rng_percent(r, 40);
  if (!o->no_mmap && rng_percent(r, 60)) o->memory_bytes = 0; /* a bound switches maps of tables off */
  p->strict_percent = SIM_ONE_OF(r, 0, 3, 10, 50);
  p->traits = 0;
  if (rng_percent(r, 50)) p->traits |= VFS_MAP_READ;
  if (rng_percent(r, p->single ? 15 : 40)) p->traits |= VFS_MAP_WRITE; /* of a single file it maps all: dear */
}

/* Of the kinds from `first` on to `end`, the first `always` of which are never left out. */
static void sim_plan_weights(rng *r, uint32_t weights[SIM_OP_KINDS], uint32_t first, uint32_t always, uint32_t end) {
  memset(weights, 0, sizeof sim_op_weights);
  memcpy(&weights[first], &sim_op_weights[first], always * sizeof weights[0]);
  for (uint32_t i = first + always; i < end; i++) {
    uint32_t luck = rng_below(r, 10);
    weights[i] = luck < 4 ? 0 : luck == 9 ? 3 * sim_op_weights[i] : sim_op_weights[i];
  }
}

static sim_op_kind sim_plan_draw(rng *r, const uint32_t weights[SIM_OP_KINDS]) {
  uint32_t sum = 0;
  for (uint32_t i = 0; i < SIM_OP_KINDS; i++) sum += weights[i];
  uint32_t at = rng_below(r, sum), kind = 0;
  while (at >= weights[kind]) at -= weights[kind++];
  return (sim_op_kind)kind;
}

/* Faults of one or two sorts, a few of them; half of the runs have none. Lies are told in few runs, since they leave
 * little to check. */
static void sim_plan_faults(sim_plan *p, rng *r) {
  static const uint8_t sorts[] = {SIM_FAULT_read, SIM_FAULT_write, SIM_FAULT_torn, SIM_FAULT_sync,
                                  SIM_FAULT_name, SIM_FAULT_full,  SIM_FAULT_full};
  if (rng_percent(r, 50)) return;
  bool lies = rng_percent(r, 15);
  sim_fault_kind lie = rng_percent(r, 50) ? SIM_FAULT_lie : SIM_FAULT_misdirect;
  uint32_t first = rng_below(r, COUNT_OF(sorts)), second = rng_below(r, COUNT_OF(sorts));
  uint32_t count = 1 + rng_below(r, 4);
  for (uint32_t i = 0; i < count; i++) {
    sim_fault *f = &p->op[rng_below(r, p->count)].fault;
    f->kind = lies ? lie : (sim_fault_kind)sorts[rng_percent(r, 50) ? first : second];
    f->seed = rng_next(r);
    f->and_later = rng_percent(r, 15);
    f->nth = f->kind == SIM_FAULT_full ? rng_below(r, SIM_ONE_OF(r, 64, 2000, 24000)) : 1 + rng_below(r, 5);
  }
  /* A block of a mapped table is checked once in a process: what is written over it afterwards is seen as it is. */
  if (lies && lie == SIM_FAULT_misdirect) p->options.no_mmap = true;
}

/* Puts kinds from `first` to `end` into places of others. */
static void sim_plan_replace(sim_plan *p, rng *r, uint32_t first, uint32_t always, uint32_t end) {
  uint32_t weights[SIM_OP_KINDS], percent = SIM_ONE_OF(r, 15, 35, 60);
  sim_plan_weights(r, weights, first, always, end);
  for (uint32_t i = 0; i < p->count; i++) {
    if (rng_percent(r, percent)) p->op[i].kind = sim_plan_draw(r, weights);
  }
}

static void sim_plan_more(sim_plan *p) {
  rng r = sim_rng(p->seed, 5, 0);
  p->txns = !p->plain && rng_percent(&r, 50);
  if (p->txns) sim_plan_replace(p, &r, SIM_OP_tx_write, 2, SIM_OP_tx_mark + 1);
  r = sim_rng(p->seed, 6, 0);
  p->indexes = !p->plain && rng_percent(&r, 40);
  for (uint32_t i = 0; i < SIM_INDEXES; i++) {
    p->index[i].space = i == 0 ? 2 : 1;
    p->index[i].kind = rng_percent(&r, 50) ? VARVE_BTREE : VARVE_HASH;
    p->index[i].unique = i == 1 || (i == 0 && rng_percent(&r, 50));
  }
  if (p->indexes) sim_plan_replace(p, &r, SIM_OP_row, 2, SIM_OP_index_look + 1);
}

void sim_plan_make(sim_plan *p, uint64_t seed, bool single, bool plain) {
  rng r = sim_rng(seed, 2, 0);
  uint32_t weights[SIM_OP_KINDS];
  memset(p, 0, sizeof *p);
  p->seed = seed;
  p->single = single;
  p->plain = plain;
  sim_plan_options(p, &r);
  sim_plan_weights(&r, weights, SIM_OP_put, 1, SIM_OPS_PLAIN);
  p->count = 20 + rng_below(&r, rng_percent(&r, 30) ? SIM_OPS_MAX - 20 : 60);
  for (uint32_t i = 0; i < p->count; i++) p->op[i].kind = sim_plan_draw(&r, weights);
  sim_plan_faults(p, &r);
  p->image_percent = SIM_ONE_OF(&r, 1, 3, 6);
  p->after_sync_percent = SIM_ONE_OF(&r, 2, 10, 20);
  p->between_percent = SIM_ONE_OF(&r, 2, 10);
  sim_plan_more(p);
}

#undef SIM_ONE_OF
