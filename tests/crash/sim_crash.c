/* sim_crash.c: what a crash leaves, and bits that rot.
 *
 * What the modes stand for: NONE is the kindest power cut for a careless engine's author (LevelDB's own fault test),
 * and finds little. PREFIX is a file system with ordered writes that stops anywhere. SUBSET is a disk with a cache
 * and a file system that sorts by place: the mode that finds tails that are taken for records. KILL is no power cut at
 * all, but the machine may lose power after it.
 */
#include "sim_disk.h"

#include <stdio.h>

const char *const sim_mode_names[SIM_MODES] = {"NONE", "KILL", "PREFIX", "SUBSET"};

static const uint8_t sim_crash_percent[5] = {0, 10, 50, 90, 100};

/* Bytes that the disk held before, wherever they were: what stands in a block that was given to a file and never
 * written. */
static void sim_crash_stale(const sim_disk *from, rng *r, uint8_t *to, uint32_t size) {
  const sim_bytes *old = &from->live.list[rng_below(r, from->live.count)].node->live;
  uint32_t at = old->size == 0 ? 0 : rng_below(r, old->size) / SIM_SECTOR * SIM_SECTOR;
  bool noise = old->size == 0 || rng_percent(r, 30);
  for (uint32_t i = 0; i < size; i++) to[i] = noise ? (uint8_t)rng_next(r) : old->data[(at + i) % old->size];
}

static void sim_crash_prefix(sim_world *w, rng *r, const sim_node *n, sim_bytes *to) {
  uint32_t whole = rng_below(r, n->change_count + 1);
  for (uint32_t i = 0; i < whole; i++) sim_node_apply(w, to, n, &n->changes[i]);
  if (whole == n->change_count || n->changes[whole].kind != SIM_CHANGE_WRITE) return;
  const sim_change *torn = &n->changes[whole];
  sim_bytes_put(w, to, torn->offset, n->written.data + torn->at, rng_below(r, torn->size + 1));
}

/* How much of a change lies in the sector in which its byte `at` is. */
static uint32_t sim_crash_piece(const sim_change *c, uint32_t at) {
  return MIN(c->size - at, SIM_SECTOR - (c->offset + at) % SIM_SECTOR);
}

/* Chooses for each sector after which change the disk saw it last: landed[sector] = that change + 1, 0 = never since
 * the last sync. A sector is written as it is in memory at that moment, with all changes until then. */
static void sim_crash_choose(rng *r, uint32_t percent, const sim_node *n, uint32_t *landed) {
  for (uint32_t i = 0; i < n->change_count; i++) {
    const sim_change *c = &n->changes[i];
    for (uint32_t at = 0; c->kind == SIM_CHANGE_WRITE && at < c->size; at += sim_crash_piece(c, at)) {
      if (rng_percent(r, percent)) landed[(c->offset + at) / SIM_SECTOR] = i + 1;
    }
  }
}

static void sim_crash_land(sim_world *w, rng *r, uint32_t percent, const sim_node *n, const uint32_t *landed,
                           sim_bytes *to) {
  for (uint32_t i = 0; i < n->change_count; i++) {
    const sim_change *c = &n->changes[i];
    if (c->kind != SIM_CHANGE_WRITE) {
      if (rng_percent(r, percent)) sim_node_apply(w, to, n, c);
      continue;
    }
    for (uint32_t at = 0, size; at < c->size; at += size) {
      size = sim_crash_piece(c, at);
      bool there = landed[(c->offset + at) / SIM_SECTOR] > i;
      if (there) sim_bytes_put(w, to, c->offset + at, n->written.data + c->at + at, size);
    }
  }
}

static void sim_crash_subset(const sim_disk *from, rng *r, const sim_node *n, sim_bytes *to) {
  sim_world *w = from->world;
  uint32_t percent = sim_crash_percent[rng_below(r, 5)], top = 0;
  for (uint32_t i = 0; i < n->change_count; i++) top = MAX(top, n->changes[i].offset + n->changes[i].size);
  size_t size = (top / SIM_SECTOR + 1) * sizeof(uint32_t);
  uint32_t *landed = mem_zalloc(&w->disks.base, size);
  ASSERT(landed != NULL);
  sim_crash_choose(r, percent, n, landed);
  sim_crash_land(w, r, percent, n, landed, to);
  mem_free(&w->disks.base, landed, size);
  /* The new size got to the disk and the bytes did not. */
  if (n->live.size <= to->size || !rng_percent(r, 50)) return;
  uint32_t before = to->size;
  sim_bytes_grow(w, to, n->live.size);
  bool fresh = n->durable.size == 0; /* never synced: no file system in use shows other files' bytes there */
  if (!fresh && rng_percent(r, 50)) sim_crash_stale(from, r, to->data + before, to->size - before);
}

static sim_node *sim_crash_node(const sim_disk *from, rng *r, sim_mode mode, const sim_node *n) {
  sim_world *w = from->world;
  sim_node *made = sim_node_create(w);
  sim_bytes_put(w, &made->durable, 0, n->durable.data, n->durable.size);
  if (mode == SIM_PREFIX) sim_crash_prefix(w, r, n, &made->durable);
  if (mode == SIM_SUBSET) sim_crash_subset(from, r, n, &made->durable);
  sim_bytes_put(w, &made->live, 0, made->durable.data, made->durable.size);
  return made;
}

/* After the death of the process: the same bytes, just as unsynced. Where a sync had failed nobody can tell what is
 * still dirty; those bytes count as written then. */
static sim_node *sim_crash_survivor(const sim_disk *from, const sim_node *n) {
  sim_world *w = from->world;
  sim_node *made = sim_node_create(w);
  const sim_bytes *durable = from->sync_failed ? &n->live : &n->durable;
  sim_bytes_put(w, &made->durable, 0, durable->data, durable->size);
  sim_bytes_put(w, &made->live, 0, durable->data, durable->size);
  for (uint32_t i = 0; !from->sync_failed && i < n->change_count; i++) {
    const sim_change *c = &n->changes[i];
    sim_node_changed(w, made, c->kind, c->offset, n->written.data + c->at, c->size);
  }
  bool same = made->live.size == n->live.size;
  if (!same || (n->live.size > 0 && memcmp(made->live.data, n->live.data, n->live.size) != 0)) {
    made->live.size = 0; /* a lie was told before: what is in memory is what is read */
    sim_bytes_put(w, &made->live, 0, n->live.data, n->live.size);
  }
  return made;
}

/* The copy of a node, made once however many names and changes lead to it. */
typedef struct sim_crash_copy {
  const sim_node *from;
  sim_node *to;
} sim_crash_copy;

static sim_node *sim_crash_copied(sim_crash_copy *copies, uint32_t *count, const sim_disk *from, const sim_node *n) {
  for (uint32_t i = 0; i < *count; i++) {
    if (copies[i].from == n) return copies[i].to;
  }
  sim_node *made = sim_crash_survivor(from, n);
  made->users++; /* of the list of copies */
  copies[(*count)++] = (sim_crash_copy){n, made};
  return made;
}

static void sim_crash_copy_names(sim_crash_copy *copies, uint32_t *count, const sim_disk *from, const sim_names *names,
                                 sim_names *to) {
  for (uint32_t i = 0; i < names->count; i++) {
    sim_name name = names->list[i];
    name.node = sim_crash_copied(copies, count, from, name.node);
    sim_names_push(from->world, to, name);
  }
}

static void sim_crash_kill(const sim_disk *from, sim_disk *d) {
  sim_world *w = from->world;
  size_t most = (size_t)from->live.count + from->durable.count + from->changes.count + 1;
  sim_crash_copy *copies = mem_alloc(&w->disks.base, most * sizeof *copies);
  ASSERT(copies != NULL);
  uint32_t count = 0;
  sim_crash_copy_names(copies, &count, from, &from->live, &d->live);
  sim_crash_copy_names(copies, &count, from, from->sync_failed ? &from->live : &from->durable, &d->durable);
  if (!from->sync_failed) sim_crash_copy_names(copies, &count, from, &from->changes, &d->changes);
  for (uint32_t i = 0; i < count; i++) sim_node_unref(w, copies[i].to);
  mem_free(&w->disks.base, copies, most * sizeof *copies);
}

static void sim_crash_cut(const sim_disk *from, rng *r, sim_mode mode, sim_disk *d) {
  sim_world *w = from->world;
  sim_names names = {0};
  for (uint32_t i = 0; i < from->durable.count; i++) sim_names_push(w, &names, from->durable.list[i]);
  uint32_t upto = mode == SIM_PREFIX ? rng_below(r, from->changes.count + 1) : from->changes.count;
  for (uint32_t i = 0; mode != SIM_NONE && i < upto; i++) {
    if (mode == SIM_PREFIX || rng_percent(r, 50)) sim_names_apply(w, &names, &from->changes.list[i]);
  }
  for (uint32_t i = 0; i < names.count; i++) {
    sim_name name = names.list[i];
    name.node = sim_crash_node(from, r, mode, name.node);
    sim_names_push(w, &d->live, name);
    sim_names_push(w, &d->durable, name);
  }
  sim_names_clear(w, &names);
}

sim_disk *sim_disk_crash(sim_disk *from, rng *r, sim_mode mode) {
  sim_disk *d = sim_disk_create(from->world, from->base.traits);
  d->weak = from->weak;
  for (uint32_t i = 0; i < from->live.count; i++) sim_node_observe(from->world, from->live.list[i].node);
  if (mode == SIM_KILL) {
    sim_crash_kill(from, d);
  } else {
    sim_crash_cut(from, r, mode, d);
  }
  return d;
}

bool sim_disk_rot(sim_disk *d, rng *r, char what[64]) {
  uint64_t bytes = sim_disk_bytes(d);
  if (bytes == 0) return false;
  /* Every other time a file first, so that the small ones get their share. */
  bool by_file = rng_percent(r, 50);
  uint64_t at = by_file ? 0 : rng_next(r) % bytes;
  uint32_t from = by_file ? rng_below(r, d->live.count) : 0;
  for (uint32_t i = from; i < d->live.count; i++) {
    sim_name *name = &d->live.list[i];
    sim_node *n = name->node;
    if (at >= n->live.size) {
      at -= n->live.size;
      continue;
    }
    if (by_file) at = rng_below(r, n->live.size);
    uint8_t bit = (uint8_t)(1u << rng_below(r, 8));
    n->live.data[at] ^= bit;
    if (at < n->durable.size) n->durable.data[at] = n->live.data[at];
    char file[FILE_NAME_SIZE_MAX];
    file_name_format(file, name->kind, name->number);
    (void)snprintf(what, 64, "bit 0x%02x at %llu of %s", bit, (unsigned long long)at, file);
    return true;
  }
  return false;
}
