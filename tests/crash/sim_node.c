/* sim_node.c: the bytes, files and names that sim_disk.c and sim_crash.c are made of. */
#include "sim_disk.h"

/* ---- bytes ---- */

static void sim_bytes_reserve(sim_world *w, sim_bytes *b, uint32_t size) {
  if (size <= b->room) return;
  uint32_t room = MAX(size, MAX(256u, b->room + b->room / 2));
  b->data = mem_resize(&w->disks.base, b->data, b->room, room);
  ASSERT(b->data != NULL);
  b->room = room;
}

void sim_bytes_grow(sim_world *w, sim_bytes *b, uint32_t size) {
  if (size <= b->size) return;
  sim_bytes_reserve(w, b, size);
  memset(b->data + b->size, 0, size - b->size);
  b->size = size;
}

void sim_bytes_put(sim_world *w, sim_bytes *b, uint32_t offset, const void *data, uint32_t size) {
  if (size == 0) return;
  sim_bytes_reserve(w, b, offset + size);
  sim_bytes_grow(w, b, offset);
  memcpy(b->data + offset, data, size);
  b->size = MAX(b->size, offset + size);
}

void sim_bytes_free(sim_world *w, sim_bytes *b) {
  mem_free(&w->disks.base, b->data, b->room);
  memset(b, 0, sizeof *b);
}

/* ---- files ---- */

sim_node *sim_node_create(sim_world *w) {
  sim_node *n = MEM_NEW(&w->disks.base, sim_node);
  ASSERT(n != NULL);
  return n;
}

void sim_node_unref(sim_world *w, sim_node *n) {
  ASSERT(n->users > 0);
  if (--n->users > 0) return;
  sim_bytes_free(w, &n->live);
  sim_bytes_free(w, &n->durable);
  sim_bytes_free(w, &n->written);
  mem_free(&w->disks.base, n->changes, n->change_room * sizeof *n->changes);
  mem_free(&w->disks.base, n->map, SIM_MAP_ROOM);
  MEM_DELETE(&w->disks.base, n);
}

void sim_node_apply(sim_world *w, sim_bytes *to, const sim_node *n, const sim_change *c) {
  switch (c->kind) {
    case SIM_CHANGE_WRITE:
      sim_bytes_put(w, to, c->offset, n->written.data + c->at, c->size);
      break;
    case SIM_CHANGE_GROW:
      sim_bytes_grow(w, to, c->size);
      break;
    case SIM_CHANGE_CUT:
      to->size = MIN(to->size, c->size);
      break;
  }
}

/* Notes a change and makes it in the live bytes. */
void sim_node_changed(sim_world *w, sim_node *n, sim_change_kind kind, uint32_t offset, const void *data,
                      uint32_t size) {
  if (n->change_count == n->change_room) {
    uint32_t room = MAX(8u, 2 * n->change_room);
    n->changes = mem_resize(&w->disks.base, n->changes, n->change_room * sizeof *n->changes, room * sizeof *n->changes);
    ASSERT(n->changes != NULL);
    n->change_room = room;
  }
  sim_change *c = &n->changes[n->change_count++];
  *c = (sim_change){kind, offset, size, n->written.size};
  if (kind == SIM_CHANGE_WRITE) sim_bytes_put(w, &n->written, n->written.size, data, size);
  sim_node_apply(w, &n->live, n, c);
  if (kind == SIM_CHANGE_WRITE && n->map != NULL && offset < n->map_size) {
    memcpy(n->map + offset, data, MIN(size, n->map_size - offset));
  }
}

void sim_node_observe(sim_world *w, sim_node *n) {
  if (n->map == NULL) return;
  uint32_t end = MIN(n->map_size, n->live.size);
  for (uint32_t at = 0; at < end; at += SIM_SECTOR) {
    uint32_t size = MIN(SIM_SECTOR, end - at);
    if (memcmp(n->map + at, n->live.data + at, size) == 0) continue;
    sim_node_changed(w, n, SIM_CHANGE_WRITE, at, n->map + at, size);
  }
}

/* ---- names ---- */

void sim_names_push(sim_world *w, sim_names *names, sim_name name) {
  if (names->count == names->room) {
    uint32_t room = MAX(16u, 2 * names->room);
    names->list = mem_resize(&w->disks.base, names->list, names->room * sizeof name, room * sizeof name);
    ASSERT(names->list != NULL);
    names->room = room;
  }
  name.node->users++;
  names->list[names->count++] = name;
}

void sim_names_apply(sim_world *w, sim_names *names, const sim_name *change) {
  uint32_t at = 0;
  while (at < names->count && (names->list[at].kind < change->kind ||
                               (names->list[at].kind == change->kind && names->list[at].number < change->number))) {
    at++;
  }
  bool there = at < names->count && names->list[at].kind == change->kind && names->list[at].number == change->number;
  if (there) {
    sim_node_unref(w, names->list[at].node);
    names->count--;
    memmove(&names->list[at], &names->list[at + 1], (names->count - at) * sizeof names->list[0]);
  }
  if (change->removal) return;
  sim_names_push(w, names, *change);
  memmove(&names->list[at + 1], &names->list[at], (names->count - 1 - at) * sizeof names->list[0]);
  names->list[at] = *change;
}

void sim_names_clear(sim_world *w, sim_names *names) {
  for (uint32_t i = 0; i < names->count; i++) sim_node_unref(w, names->list[i].node);
  mem_free(&w->disks.base, names->list, names->room * sizeof names->list[0]);
  memset(names, 0, sizeof *names);
}
