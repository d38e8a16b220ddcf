/* vfs_single.c: many files in one file: the place and the names. docs/FORMAT.md, "One file", draws the bytes; the parts
 * and the locks are in vfs_single.h.
 *
 * It keeps the promises of vfs.h, with two that are weaker where nothing rests on them: after the death of the process
 * alone, a removal, and the name and growth of a file that is no log, may be as they were at the last sync or sync_dir.
 * (The engine refers to a table or manifest only after it synced it.) A file's sync makes its name durable as well.
 *
 * Invariants
 *   1. nodes is sorted by (kind, number); a removed node is in no list and lives until its last close.
 *   2. Nothing below is written before the lock was taken, the header found ours and the file synced.
 */
#include "env/vfs_single.h"

/* The index of the first node >= (kind, number). */
static size_t single_find(const single *s, file_kind kind, uint64_t number) {
  size_t low = 0, high = s->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    const single_node *node = s->nodes[middle];
    if (node->kind < kind || (node->kind == kind && node->number < number)) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

INTERNAL single_node *single_lookup(const single *s, file_kind kind, uint64_t number) {
  size_t at = single_find(s, kind, number);
  if (at == s->count || s->nodes[at]->kind != kind || s->nodes[at]->number != number) return NULL;
  return s->nodes[at];
}

/* Reads the directory unless that was done: by the first lock, or without one by the first use. */
static int single_need(single *s) {
  mutex_lock(&s->publishing);
  int rc = s->file != NULL ? VARVE_OK : single_load(s);
  mutex_unlock(&s->publishing);
  return rc;
}

static int single_changes(single *s, file_kind kind, uint64_t number) {
  if (LIKELY((s->base.traits & VFS_READ_ONLY) == 0)) return single_check(s);
  return status_fail(VARVE_READONLY, "%s cannot be changed: %s was opened for reading only", file_name(kind, number),
                     s->base.location);
}

/* ---- files ---- */

INTERNAL int single_create(single *s, file_kind kind, uint64_t number, single_node **created) {
  allocator *a = s->base.alloc;
  single_node **nodes = mem_grow(a, s->nodes, s->count, &s->room, sizeof(*nodes), "the list of files");
  if (nodes == NULL) return VARVE_NOMEM;
  s->nodes = nodes;
  single_node *node = MEM_NEW(a, single_node);
  if (node == NULL) return mem_fail(sizeof *node, file_name(kind, number));
  node->kind = kind;
  node->number = number;
  node->changed = s->names_changed = ++s->change;
  size_t at = single_find(s, kind, number);
  memmove(s->nodes + at + 1, s->nodes + at, (s->count - at) * sizeof(*s->nodes));
  s->nodes[at] = node;
  s->count++;
  *created = node;
  return VARVE_OK;
}

static const vfs_ops single_vfs_ops;

static int single_open(vfs *fs, file_kind kind, uint64_t number, uint32_t flags, vfs_file **file) {
  single *s = single_of(fs);
  int rc = VARVE_OK;
  *file = NULL;
  bool known = kind < FILE_KINDS || (kind == FILE_SINGLE && (fs->traits & VFS_LOST) != 0);
  ASSERT(known && number <= SINGLE_NUMBER_MAX && (kind == FILE_SUPER || kind == FILE_SINGLE) == (number == 0));
  TRY(single_need(s));
  if ((flags & (VFS_CREATE | VFS_WRITE)) != 0) TRY(single_changes(s, kind, number));
  if ((flags & VFS_CREATE) != 0) TRY(single_make_room(s));
  single_file *self = MEM_NEW(fs->alloc, single_file);
  if (self == NULL) return mem_fail(sizeof *self, file_name(kind, number));
  mutex_lock(&s->guard);
  single_node *node = single_lookup(s, kind, number);
  if ((flags & VFS_CREATE) != 0) {
    if (node != NULL) STEP(status_fail(VARVE_EXISTS, "%s exists already", file_name(kind, number)));
    STEP(single_create(s, kind, number, &node));
  } else if (node == NULL) {
    STEP(status_fail(VARVE_MISSING, "%s is missing", file_name(kind, number)));
  }
  node->opens++;
  s->files_open++;
  self->base = (vfs_file){&single_vfs_ops, fs, number, kind};
  self->node = node;
  self->writable = (flags & (VFS_CREATE | VFS_WRITE)) != 0;
  *file = &self->base;
out:
  mutex_unlock(&s->guard);
  if (rc < 0) MEM_DELETE(fs->alloc, self);
  return rc;
}

/* The last handle gives back the pages that were taken ahead, or all of them. */
static int single_close(vfs_file *file) {
  single_file *self = single_file_of(file);
  single *s = single_of(file->fs);
  single_node *node = self->node;
  int rc = single_unmap_all(file);
  mutex_lock(&s->guard);
  ASSERT(node->opens > 0 && s->files_open > 0);
  node->opens--;
  s->files_open--;
  if (node->opens == 0 && node->removed) {
    single_node_release(s, node);
  } else if (node->opens == 0) {
    single_node_cut(s, node, single_pages(node->size), node->changed);
  }
  mutex_unlock(&s->guard);
  MEM_DELETE(s->base.alloc, self);
  return rc;
}

/* ---- names ---- */

static int single_remove(vfs *fs, file_kind kind, uint64_t number) {
  single *s = single_of(fs);
  int rc = VARVE_OK;
  TRY(single_need(s));
  TRY(single_changes(s, kind, number));
  mutex_lock(&s->guard);
  single_node *node = single_lookup(s, kind, number);
  if (node == NULL) STEP(status_fail(VARVE_MISSING, "%s is missing and cannot be removed", file_name(kind, number)));
  size_t at = single_find(s, kind, number);
  s->count--;
  memmove(s->nodes + at, s->nodes + at + 1, (s->count - at) * sizeof(*s->nodes));
  node->removed = true;
  node->gone = s->names_changed = ++s->change;
  if (node->opens == 0) single_node_release(s, node);
out:
  mutex_unlock(&s->guard);
  return rc;
}

static int single_sync_dir(vfs *fs) {
  single *s = single_of(fs);
  TRY(single_need(s));
  if ((fs->traits & VFS_READ_ONLY) != 0) {
    return status_fail(VARVE_READONLY, "%s was opened for reading only", fs->location);
  }
  TRY(single_check(s));
  mutex_lock(&s->guard);
  uint64_t change = s->names_changed;
  bool durable = change <= s->durable;
  mutex_unlock(&s->guard);
  return durable ? VARVE_OK : single_publish(s, change, true);
}

/* Looks for the next file after each visit, so `visit` may open and remove files. */
static int single_list(vfs *fs, vfs_visit visit, void *context) {
  single *s = single_of(fs);
  file_kind kind = FILE_SUPER;
  uint64_t number = 0;
  TRY(single_need(s));
  for (;;) {
    uint64_t size = 0;
    mutex_lock(&s->guard);
    size_t at = single_find(s, kind, number);
    const single_node *node = at < s->count ? s->nodes[at] : NULL;
    if (node != NULL) {
      kind = node->kind;
      number = node->number;
      size = node->size;
    }
    mutex_unlock(&s->guard);
    if (node == NULL || kind == FILE_SINGLE) return VARVE_OK;
    int rc = visit(context, kind, number, size);
    if (rc != 0) return rc;
    number++;
  }
}

/* ---- the place ---- */

/* Somebody else may have changed the file since it was read. */
static int single_refresh(single *s) {
  if (s->stale && s->files_open == 0 && s->failed == VARVE_OK && s->file != NULL) TRY(single_unload(s));
  s->stale = false;
  return s->file != NULL ? VARVE_OK : single_load(s);
}

static int single_lock(vfs *fs, uint32_t wait_ms) {
  single *s = single_of(fs);
  if (fs->foreign) {
    return status_fail(VARVE_NOT_DATABASE, "%s is not a Varve database: it does not begin like one", fs->location);
  }
  TRY(vfs_lock(s->below, wait_ms));
  mutex_lock(&s->publishing);
  int rc = single_refresh(s);
  mutex_unlock(&s->publishing);
  s->locked = rc >= 0;
  if (rc >= 0) return rc;
  char message[STATUS_MESSAGE_SIZE];
  status_keep_message(message);
  (void)vfs_unlock(s->below);
  status_set_message(message);
  return rc;
}

static int single_unlock(vfs *fs) {
  single *s = single_of(fs);
  ASSERT(s->locked);
  int rc = single_settle(s);
  s->locked = false;
  s->stale = true;
  ALSO(vfs_unlock(s->below));
  return rc;
}

static int single_close_fs(vfs *fs) {
  single *s = single_of(fs);
  allocator *a = fs->alloc;
  ASSERT(s->files_open == 0);
  int rc = s->stale ? VARVE_OK : single_settle(s);
  ALSO(single_unload(s));
  ALSO(vfs_close_fs(s->below));
  buf_free(&s->image);
  mutex_destroy(&s->guard);
  mutex_destroy(&s->syncing);
  mutex_destroy(&s->publishing);
  MEM_DELETE(a, s);
  return rc;
}

static const vfs_ops single_vfs_ops = {
    .version = 1,
    .open = single_open,
    .close = single_close,
    .read_at = single_read_at,
    .write_at = single_write_at,
    .allocate = single_allocate,
    .truncate = single_truncate,
    .size = single_size,
    .sync = single_sync,
    .map = single_map_file,
    .unmap = single_unmap_file,
    .remove = single_remove,
    .sync_dir = single_sync_dir,
    .list = single_list,
    .lock = single_lock,
    .unlock = single_unlock,
    .close_fs = single_close_fs,
};

/* Whether there is a file, and whether it is somebody else's; it may be being made by another process. */
static int single_look(single *s) {
  vfs_file *file = NULL;
  uint64_t size;
  int rc = vfs_open(s->below, FILE_SINGLE, 0, 0, &file);
  if (rc == VARVE_MISSING && (s->flags & VFS_PLACE_CREATE) != 0) return VARVE_OK;
  if (rc == VARVE_MISSING) return status_fail(VARVE_MISSING, "there is no database at %s", s->base.location);
  TRY(rc);
  const size_t head = (size_t)(SINGLE_FIRST_PAGE + 1) * SINGLE_PAGE;
  uint8_t *pages = mem_zalloc(s->base.alloc, head);
  if (pages == NULL) STEP(mem_fail(head, "the header of a file"));
  STEP(vfs_size(file, &size));
  size_t got;
  STEP(vfs_read_at(file, 0, pages, head, &got));
  int what = single_header_check(s, pages, size);
  s->base.foreign = what == VARVE_NOT_DATABASE && (s->flags & VFS_PLACE_SALVAGE) == 0;
out:
  mem_free(s->base.alloc, pages, head);
  ALSO(vfs_close(file));
  return rc;
}

INTERNAL int vfs_single_open(allocator *alloc, vfs *base, uint32_t flags, vfs **fs) {
  *fs = NULL;
  ASSERT(base != NULL);
  single *s = MEM_NEW(alloc, single);
  if (s == NULL) {
    int rc = mem_fail(sizeof *s, "a place in one file");
    (void)vfs_close_fs(base);
    return rc;
  }
  mutex_init(&s->publishing);
  mutex_init(&s->syncing);
  mutex_init(&s->guard);
  buf_init(&s->image, alloc);
  s->base.ops = &single_vfs_ops;
  s->base.alloc = alloc;
  s->base.traits = base->traits & (VFS_THREADS | VFS_READ_ONLY | VFS_MAP_WRITE);
  if ((flags & VFS_PLACE_READ_ONLY) != 0) s->base.traits |= VFS_READ_ONLY;
  s->base.location = base->location;
  s->below = base;
  s->flags = flags;
  int rc = single_look(s);
  if (rc < 0) {
    char message[STATUS_MESSAGE_SIZE];
    status_keep_message(message);
    (void)single_close_fs(&s->base);
    status_set_message(message);
    return rc;
  }
  *fs = &s->base;
  return VARVE_OK;
}
