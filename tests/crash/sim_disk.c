/* sim_disk.c: the simulated disk as a vfs, and the faults of its calls. */
#include "sim_disk.h"

typedef struct sim_file {
  vfs_file base;
  sim_node *node;
  bool writable;
  uint32_t maps, write_maps;
} sim_file;

static const vfs_ops sim_disk_ops;

static sim_disk *sim_disk_of(vfs *fs) {
  return CONTAINER_OF(fs, sim_disk, base);
}

static sim_file *sim_file_of(vfs_file *file) {
  return CONTAINER_OF(file, sim_file, base);
}

/* ---- files ---- */

static int sim_disk_lookup(const sim_disk *d, file_kind kind, uint64_t number) {
  for (uint32_t i = 0; i < d->live.count; i++) {
    if (d->live.list[i].kind == kind && d->live.list[i].number == number) return (int)i;
  }
  return -1;
}

static void sim_disk_name_changed(sim_disk *d, sim_name change) {
  sim_names_push(d->world, &d->changes, change);
  sim_names_apply(d->world, &d->live, &change);
}

static int sim_disk_make_name(sim_disk *d, file_kind kind, uint64_t number, sim_node **node) {
  bool strikes;
  TRY(sim_disk_enter(d, SIM_CALL_create, kind, number, &strikes));
  if (sim_disk_lookup(d, kind, number) >= 0) {
    return status_fail(VARVE_EXISTS, "%s exists already", file_name(kind, number));
  }
  if (d->room < SIM_SECTOR) return sim_disk_error(d, SIM_FAULT_full, SIM_CALL_create, kind, number);
  *node = sim_node_create(d->world);
  sim_disk_name_changed(d, (sim_name){kind, false, number, *node});
  return VARVE_OK;
}

static int sim_disk_find_name(sim_disk *d, file_kind kind, uint64_t number, sim_node **node) {
  bool strikes;
  TRY(sim_disk_enter(d, SIM_CALL_open, kind, number, &strikes));
  int at = sim_disk_lookup(d, kind, number);
  if (at < 0) return status_fail(VARVE_MISSING, "%s is missing", file_name(kind, number));
  *node = d->live.list[at].node;
  return VARVE_OK;
}

static int sim_disk_open(vfs *fs, file_kind kind, uint64_t number, uint32_t flags, vfs_file **out) {
  sim_disk *d = sim_disk_of(fs);
  sim_node *node = NULL;
  vfs_file named = {&sim_disk_ops, fs, number, kind};
  bool create = (flags & VFS_CREATE) != 0;
  *out = NULL;
  int rc = create ? sim_disk_make_name(d, kind, number, &node) : sim_disk_find_name(d, kind, number, &node);
  (void)sim_disk_leave(d, create ? SIM_CALL_create : SIM_CALL_open, &named, 0, flags, NULL, rc);
  if (rc < 0) return rc;
  sim_file *file = MEM_NEW(&d->world->disks.base, sim_file);
  ASSERT(file != NULL);
  file->base = named;
  file->node = node;
  file->writable = (flags & (VFS_CREATE | VFS_WRITE)) != 0;
  node->users++;
  d->files_open++;
  *out = &file->base;
  return rc;
}

static int sim_disk_unmap(vfs_file *base, void *data, size_t size) {
  sim_file *file = sim_file_of(base);
  sim_disk *d = sim_disk_of(base->fs);
  sim_node *n = file->node;
  bool strikes;
  TRY(sim_disk_enter(d, SIM_CALL_unmap, base->kind, base->number, &strikes));
  ASSERT(file->maps > 0 && n->maps > 0);
  sim_node_observe(d->world, n);
  file->maps--;
  n->maps--;
  if (data != NULL && data == n->map) {
    ASSERT(size <= n->map_size && file->write_maps > 0);
    file->write_maps--;
    n->write_maps--;
  }
  if (n->map != NULL && n->write_maps == 0) {
    mem_free(&d->world->disks.base, n->map, SIM_MAP_ROOM);
    n->map = NULL;
    n->map_size = 0;
  }
  return sim_disk_leave(d, SIM_CALL_unmap, base, 0, size, NULL, VARVE_OK);
}

static int sim_disk_close(vfs_file *base) {
  sim_file *file = sim_file_of(base);
  sim_disk *d = sim_disk_of(base->fs);
  while (file->write_maps > 0) (void)sim_disk_unmap(base, file->node->map, file->node->map_size);
  file->node->maps -= file->maps;
  (void)sim_disk_leave(d, SIM_CALL_close, base, 0, 0, NULL, VARVE_OK);
  sim_node_unref(d->world, file->node);
  ASSERT(d->files_open > 0);
  d->files_open--;
  MEM_DELETE(&d->world->disks.base, file);
  return VARVE_OK;
}

static int sim_disk_read_at(vfs_file *base, uint64_t offset, void *data, size_t size, size_t *got) {
  sim_disk *d = sim_disk_of(base->fs);
  sim_node *n = sim_file_of(base)->node;
  bool strikes;
  *got = 0;
  int rc = sim_disk_enter(d, SIM_CALL_read, base->kind, base->number, &strikes);
  if (rc < 0) return sim_disk_leave(d, SIM_CALL_read, base, offset, size, NULL, rc);
  sim_node_observe(d->world, n);
  if (offset < n->live.size) {
    *got = MIN(size, n->live.size - (size_t)offset);
    memcpy(data, n->live.data + offset, *got);
  }
  return sim_disk_leave(d, SIM_CALL_read, base, offset, *got, data, rc);
}

/* How much of a growth to `size` there is room for: the new size. */
static uint64_t sim_disk_grant(sim_disk *d, const sim_node *n, uint64_t size) {
  if (size <= n->live.size) return size;
  uint64_t more = size - n->live.size;
  if (d->room == UINT64_MAX || more <= d->room) return size;
  return n->live.size + d->room;
}

static void sim_disk_take(sim_disk *d, uint64_t before, uint64_t after) {
  if (d->room != UINT64_MAX && after > before) d->room -= after - before;
}

/* The write lands somewhere else inside of its own file, or at the same place of another one. */
static void sim_disk_misdirect(sim_disk *d, vfs_file *base, uint32_t offset, const void *data, uint32_t size) {
  rng r = {d->fault.seed};
  sim_node *n = sim_file_of(base)->node;
  d->weak = true;
  sim_disk_count(d, SIM_FAULT_misdirect, SIM_CALL_write, base->kind);
  if (rng_percent(&r, 50) && d->live.count > 1) n = d->live.list[rng_below(&r, d->live.count)].node;
  if (n->live.size == 0) return;
  sim_node_observe(d->world, n);
  if (n == sim_file_of(base)->node || offset >= n->live.size) offset = rng_below(&r, n->live.size);
  if (rng_percent(&r, 50)) offset -= offset % 8;
  sim_node_changed(d->world, n, SIM_CHANGE_WRITE, offset, data, MIN(size, n->live.size - offset));
}

static int sim_disk_write_at(vfs_file *base, uint64_t offset, const void *data, size_t size) {
  sim_disk *d = sim_disk_of(base->fs);
  sim_file *file = sim_file_of(base);
  sim_node *n = file->node;
  bool strikes;
  int rc = sim_disk_enter(d, SIM_CALL_write, base->kind, base->number, &strikes);
  if (rc >= 0 && !file->writable) rc = status_fail(VARVE_READONLY, "%s is open for reading", base->fs->location);
  ASSERT(offset <= UINT32_MAX / 2 && size <= UINT32_MAX / 2);
  sim_node_observe(d->world, n);
  uint32_t at = (uint32_t)offset, part = 0;
  if (rc >= 0) part = (uint32_t)size;
  if (rc >= 0 && strikes && d->fault.kind == SIM_FAULT_misdirect) {
    sim_disk_misdirect(d, base, at, data, part);
    part = 0;
  } else if (rc >= 0 && strikes) {
    rng r = {d->fault.seed};
    part = rng_percent(&r, 25) ? part : rng_below(&r, part + 1); /* all of it may be there, too */
    rc = sim_disk_error(d, SIM_FAULT_torn, SIM_CALL_write, base->kind, base->number);
  } else if (rc >= 0) {
    uint64_t granted = sim_disk_grant(d, n, offset + size);
    if (granted < offset + size) {
      part = granted > offset ? (uint32_t)(granted - offset) : 0;
      rc = sim_disk_error(d, SIM_FAULT_full, SIM_CALL_write, base->kind, base->number);
    }
  }
  uint32_t before = n->live.size;
  if (part > 0) sim_node_changed(d->world, n, SIM_CHANGE_WRITE, at, data, part);
  sim_disk_take(d, before, n->live.size);
  (void)sim_disk_leave(d, SIM_CALL_write, base, offset, size, data, rc);
  return rc;
}

static int sim_disk_allocate(vfs_file *base, uint64_t size) {
  sim_disk *d = sim_disk_of(base->fs);
  sim_node *n = sim_file_of(base)->node;
  bool strikes;
  int rc = sim_disk_enter(d, SIM_CALL_allocate, base->kind, base->number, &strikes);
  ASSERT(size <= UINT32_MAX / 2);
  sim_node_observe(d->world, n);
  if (rc >= 0 && sim_disk_grant(d, n, size) < size) {
    rc = sim_disk_error(d, SIM_FAULT_full, SIM_CALL_allocate, base->kind, base->number);
  }
  if (rc >= 0 && size > n->live.size) {
    sim_disk_take(d, n->live.size, size);
    sim_node_changed(d->world, n, SIM_CHANGE_GROW, 0, NULL, (uint32_t)size);
  }
  return sim_disk_leave(d, SIM_CALL_allocate, base, 0, size, NULL, rc);
}

static int sim_disk_truncate(vfs_file *base, uint64_t size) {
  sim_disk *d = sim_disk_of(base->fs);
  sim_node *n = sim_file_of(base)->node;
  bool strikes;
  int rc = sim_disk_enter(d, SIM_CALL_truncate, base->kind, base->number, &strikes);
  sim_node_observe(d->world, n);
  if (rc >= 0 && size > n->live.size) rc = status_fail(VARVE_INVALID, "a cut to a larger size");
  if (rc >= 0 && size < n->live.size) {
    if (d->room != UINT64_MAX) d->room += n->live.size - size;
    sim_node_changed(d->world, n, SIM_CHANGE_CUT, 0, NULL, (uint32_t)size);
  }
  return sim_disk_leave(d, SIM_CALL_truncate, base, 0, size, NULL, rc);
}

static int sim_disk_size(vfs_file *base, uint64_t *size) {
  sim_disk *d = sim_disk_of(base->fs);
  bool strikes;
  TRY(sim_disk_enter(d, SIM_CALL_size, base->kind, base->number, &strikes));
  *size = sim_file_of(base)->node->live.size;
  return sim_disk_leave(d, SIM_CALL_size, base, 0, *size, NULL, VARVE_OK);
}

static void sim_disk_forget_changes(sim_node *n) {
  n->change_count = 0;
  n->written.size = 0;
}

/* A sync that fails: some of it may have got there, the rest never will; reads show it, or what was before. */
static int sim_disk_sync_fails(sim_disk *d, vfs_file *base, sim_node *n) {
  rng r = {d->fault.seed};
  d->sync_failed = true;
  for (uint32_t i = 0; i < n->change_count && rng_percent(&r, 60); i++) {
    sim_node_apply(d->world, &n->durable, n, &n->changes[i]);
  }
  sim_disk_forget_changes(n);
  if (n->maps == 0 && rng_percent(&r, 50)) {
    n->live.size = 0;
    sim_bytes_put(d->world, &n->live, 0, n->durable.data, n->durable.size);
  }
  return sim_disk_error(d, SIM_FAULT_sync, SIM_CALL_sync, base->kind, base->number);
}

static int sim_disk_sync(vfs_file *base) {
  sim_disk *d = sim_disk_of(base->fs);
  sim_node *n = sim_file_of(base)->node;
  bool strikes;
  int rc = sim_disk_enter(d, SIM_CALL_sync, base->kind, base->number, &strikes);
  sim_node_observe(d->world, n);
  if (rc >= 0 && strikes && d->fault.kind == SIM_FAULT_lie) {
    sim_disk_count(d, SIM_FAULT_lie, SIM_CALL_sync, base->kind);
    d->weak = true;
  } else if (rc >= 0 && strikes) {
    rc = sim_disk_sync_fails(d, base, n);
  } else if (rc >= 0) {
    for (uint32_t i = 0; i < n->change_count; i++) sim_node_apply(d->world, &n->durable, n, &n->changes[i]);
    sim_disk_forget_changes(n);
  }
  (void)sim_disk_leave(d, SIM_CALL_sync, base, 0, 0, NULL, rc);
  if (rc >= 0 && d->before != NULL) d->before(d->context, d, SIM_CALL_sync, true);
  return rc;
}

static void sim_node_map(sim_world *w, sim_node *n, uint32_t size) {
  if (n->map == NULL) n->map = mem_alloc(&w->disks.base, SIM_MAP_ROOM);
  ASSERT(n->map != NULL);
  if (size > n->map_size) {
    memcpy(n->map + n->map_size, n->live.data + n->map_size, size - n->map_size);
    n->map_size = size;
  }
  n->write_maps++;
}

static int sim_disk_map(vfs_file *base, size_t size, bool writable, void **data) {
  sim_disk *d = sim_disk_of(base->fs);
  sim_file *file = sim_file_of(base);
  sim_node *n = file->node;
  bool strikes;
  *data = NULL;
  int rc = sim_disk_enter(d, SIM_CALL_map, base->kind, base->number, &strikes);
  uint32_t trait = writable ? VFS_MAP_WRITE : VFS_MAP_READ;
  sim_node_observe(d->world, n);
  if (rc >= 0 && (d->base.traits & trait) == 0) rc = status_fail(VARVE_UNSUPPORTED, "this disk does not map");
  if (rc >= 0 && size > n->live.size) {
    rc = status_fail(VARVE_CORRUPT, "%s is cut short: it cannot be mapped", file_name(base->kind, base->number));
  }
  if (rc >= 0 && writable && size > SIM_MAP_ROOM) rc = status_fail(VARVE_UNSUPPORTED, "a map of %zu bytes", size);
  if (rc >= 0 && writable) {
    ASSERT(file->writable);
    sim_node_map(d->world, n, (uint32_t)size);
    file->write_maps++;
    *data = n->map;
  } else if (rc >= 0) {
    *data = n->live.data;
  }
  if (rc >= 0) {
    file->maps++;
    n->maps++;
  }
  return sim_disk_leave(d, SIM_CALL_map, base, 0, size, NULL, rc);
}

/* ---- the directory ---- */

/* The number in the header of a log's file, 0 when it holds none: for telling that a log was dropped. */
static uint64_t sim_disk_log_number(const sim_node *n) {
  uint64_t number = 0;
  if (n->live.size < 64 || memcmp(n->live.data, "VARVEWAL", 8) != 0 || n->live.data[12] != 0) return 0;
  memcpy(&number, n->live.data + 16, sizeof number);
  return number;
}

static int sim_disk_remove(vfs *fs, file_kind kind, uint64_t number) {
  sim_disk *d = sim_disk_of(fs);
  vfs_file named = {&sim_disk_ops, fs, number, kind};
  bool strikes;
  int rc = sim_disk_enter(d, SIM_CALL_remove, kind, number, &strikes);
  int at = sim_disk_lookup(d, kind, number);
  if (rc >= 0 && at < 0) rc = status_fail(VARVE_MISSING, "%s is missing", file_name(kind, number));
  if (rc >= 0) {
    sim_node *n = d->live.list[at].node;
    if (kind == FILE_WAL) d->log_removed = MAX(d->log_removed, sim_disk_log_number(n));
    if (d->room != UINT64_MAX) d->room += n->live.size;
    sim_disk_name_changed(d, (sim_name){kind, true, number, n});
  }
  return sim_disk_leave(d, SIM_CALL_remove, &named, 0, 0, NULL, rc);
}

static void sim_disk_forget_name_changes(sim_disk *d) {
  for (uint32_t i = 0; i < d->changes.count; i++) sim_node_unref(d->world, d->changes.list[i].node);
  d->changes.count = 0;
}

static int sim_disk_sync_dir(vfs *fs) {
  sim_disk *d = sim_disk_of(fs);
  bool strikes;
  int rc = sim_disk_enter(d, SIM_CALL_sync_dir, FILE_SUPER, 0, &strikes);
  if (rc >= 0 && strikes && d->fault.kind == SIM_FAULT_lie) {
    sim_disk_count(d, SIM_FAULT_lie, SIM_CALL_sync_dir, FILE_SUPER);
    d->weak = true;
  } else if (rc >= 0 && strikes) {
    d->sync_failed = true;
    sim_disk_forget_name_changes(d);
    rc = sim_disk_error(d, SIM_FAULT_sync, SIM_CALL_sync_dir, FILE_SUPER, 0);
  } else if (rc >= 0) {
    for (uint32_t i = 0; i < d->changes.count; i++) sim_names_apply(d->world, &d->durable, &d->changes.list[i]);
    sim_disk_forget_name_changes(d);
  }
  (void)sim_disk_leave(d, SIM_CALL_sync_dir, NULL, 0, 0, NULL, rc);
  if (rc >= 0 && d->before != NULL) d->before(d->context, d, SIM_CALL_sync_dir, true);
  return rc;
}

/* Looks for the next name after each visit, so `visit` may open and remove files. */
static int sim_disk_list(vfs *fs, vfs_visit visit, void *context) {
  sim_disk *d = sim_disk_of(fs);
  bool strikes, first = true;
  TRY(sim_disk_enter(d, SIM_CALL_list, FILE_SUPER, 0, &strikes));
  sim_name last = {0};
  for (uint32_t i = 0; i < d->live.count; i++) {
    const sim_name *name = &d->live.list[i];
    bool later = first || name->kind > last.kind || (name->kind == last.kind && name->number > last.number);
    if (!later || name->kind == FILE_SINGLE) continue;
    first = false;
    last = *name;
    uint64_t size = name->node->live.size;
    vfs_file named = {&sim_disk_ops, fs, last.number, last.kind};
    (void)sim_disk_leave(d, SIM_CALL_list, &named, 0, size, NULL, VARVE_OK);
    int rc = visit(context, last.kind, last.number, size);
    if (rc != 0) return rc;
    i = UINT32_MAX; /* names may have come and gone: from the start again */
  }
  return VARVE_OK;
}

static int sim_disk_lock(vfs *fs, uint32_t wait_ms) {
  sim_disk *d = sim_disk_of(fs);
  bool strikes;
  TRY(sim_disk_enter(d, SIM_CALL_lock, FILE_SUPER, 0, &strikes));
  int rc = d->locked ? status_fail(VARVE_LOCKED, "the simulated disk is in use") : VARVE_OK;
  d->locked = true;
  return sim_disk_leave(d, SIM_CALL_lock, NULL, 0, wait_ms, NULL, rc);
}

static int sim_disk_unlock(vfs *fs) {
  sim_disk *d = sim_disk_of(fs);
  bool strikes;
  TRY(sim_disk_enter(d, SIM_CALL_unlock, FILE_SUPER, 0, &strikes));
  ASSERT(d->locked);
  d->locked = false;
  return sim_disk_leave(d, SIM_CALL_unlock, NULL, 0, 0, NULL, VARVE_OK);
}

static int sim_disk_close_fs(vfs *fs) {
  (void)fs; /* the disk stays */
  return VARVE_OK;
}

static const vfs_ops sim_disk_ops = {
    .version = 1,
    .open = sim_disk_open,
    .close = sim_disk_close,
    .read_at = sim_disk_read_at,
    .write_at = sim_disk_write_at,
    .allocate = sim_disk_allocate,
    .truncate = sim_disk_truncate,
    .size = sim_disk_size,
    .sync = sim_disk_sync,
    .map = sim_disk_map,
    .unmap = sim_disk_unmap,
    .remove = sim_disk_remove,
    .sync_dir = sim_disk_sync_dir,
    .list = sim_disk_list,
    .lock = sim_disk_lock,
    .unlock = sim_disk_unlock,
    .close_fs = sim_disk_close_fs,
};

/* ---- the disk ---- */

sim_disk *sim_disk_create(sim_world *w, uint32_t traits) {
  sim_disk *d = MEM_NEW(&w->disks.base, sim_disk);
  ASSERT(d != NULL);
  d->base = (vfs){.ops = &sim_disk_ops, .alloc = &w->disks.base, .traits = traits, .location = "the simulated disk"};
  d->world = w;
  d->room = UINT64_MAX;
  return d;
}

void sim_disk_destroy(sim_disk *d) {
  if (d == NULL) return;
  sim_world *w = d->world;
  sim_names_clear(w, &d->live);
  sim_names_clear(w, &d->durable);
  sim_names_clear(w, &d->changes);
  MEM_DELETE(&w->disks.base, d);
}

uint64_t sim_disk_bytes(const sim_disk *d) {
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < d->live.count; i++) bytes += d->live.list[i].node->live.size;
  return bytes;
}
