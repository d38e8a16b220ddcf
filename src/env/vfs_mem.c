/* vfs_mem.c: files in memory: the place ":memory:", and a fast directory for tests.
 *
 * A file is a head, one piece of memory that doubles as the file grows, and a tail that exists only after the file grew
 * while it was mapped:
 *
 *     file bytes   0 ........ head_size | ........ head_size + tail_size
 *                  head (mapped: stays) | tail (may move)
 *
 * The next growth or map without a mapping joins them again. Closing the last handle gives back what doubling took too
 * much: tables are written once, closed and opened for reading.
 *
 * Invariants
 *   1. A head does not move while it is mapped.
 *   2. Bytes past `size` have no meaning; they are zeroed when the file grows over them.
 *   3. fs->nodes is sorted by (kind, number); a removed file is in no list and lives until its last close.
 *
 * Locks: fs->guard (the list, opens, removed, locked) before node->guard (bytes, sizes, maps).
 */
#include "env/sync.h"
#include "env/vfs.h"

#include <inttypes.h>

#define MEMFS_CAPACITY_MIN 256u
#ifdef VARVE_THREADS
#define MEMFS_THREADS VFS_THREADS
#else
#define MEMFS_THREADS 0u /* sync_none.c's locks find a second thread, they do not keep it out */
#endif

typedef struct memfs_node {
  mutex guard;
  file_kind kind;
  bool removed;
  uint32_t opens;
  uint32_t maps;
  uint64_t number;
  size_t size;
  uint8_t *head;
  size_t head_size;
  uint8_t *tail;
  size_t tail_size;
} memfs_node;

typedef struct memfs {
  vfs base;
  mutex guard;
  bool locked;
  uint32_t files_open;
  memfs_node **nodes;
  size_t count;
  size_t capacity;
} memfs;

typedef struct memfs_file {
  vfs_file base;
  memfs_node *node;
  uint32_t maps;
  bool writable;
} memfs_file;

static memfs *memfs_of(vfs *fs) {
  return CONTAINER_OF(fs, memfs, base);
}

static memfs_file *memfs_file_of(vfs_file *file) {
  return CONTAINER_OF(file, memfs_file, base);
}

/* The index of the first node >= (kind, number). */
static size_t memfs_find(const memfs *fs, file_kind kind, uint64_t number) {
  size_t low = 0, high = fs->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    const memfs_node *node = fs->nodes[middle];
    bool less = node->kind < kind || (node->kind == kind && node->number < number);
    if (less) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

static memfs_node *memfs_lookup(const memfs *fs, file_kind kind, uint64_t number) {
  size_t at = memfs_find(fs, kind, number);
  if (at == fs->count || fs->nodes[at]->kind != kind || fs->nodes[at]->number != number) return NULL;
  return fs->nodes[at];
}

/* ---- the bytes of one file; the node's guard is held ---- */

static int memfs_full(const memfs_node *node, uint64_t size) {
  return status_fail(VARVE_NOMEM, "%s: out of memory: the file cannot grow to %" PRIu64 " bytes",
                     file_name(node->kind, node->number), size);
}

static void memfs_node_free(allocator *a, memfs_node *node) {
  ASSERT(node->opens == 0 && node->maps == 0);
  mem_free(a, node->head, node->head_size);
  mem_free(a, node->tail, node->tail_size);
  mutex_destroy(&node->guard);
  MEM_DELETE(a, node);
}

/* Makes the head hold `capacity` bytes and the tail nothing. */
static int memfs_join(allocator *a, memfs_node *node, size_t capacity) {
  ASSERT(node->maps == 0 && capacity >= node->size);
  if (capacity > node->head_size) {
    uint8_t *head = mem_resize(a, node->head, node->head_size, capacity);
    if (head == NULL) return memfs_full(node, capacity);
    if (node->size > node->head_size) memcpy(head + node->head_size, node->tail, node->size - node->head_size);
    node->head = head;
    node->head_size = capacity;
  }
  mem_free(a, node->tail, node->tail_size);
  node->tail = NULL;
  node->tail_size = 0;
  return VARVE_OK;
}

/* Gives back what the file does not use. */
static void memfs_trim(allocator *a, memfs_node *node) {
  if (node->tail != NULL && memfs_join(a, node, node->size) < 0) return;
  if (node->size == node->head_size) return;
  if (node->size == 0) {
    mem_free(a, node->head, node->head_size);
    node->head = NULL;
  } else {
    uint8_t *head = mem_resize(a, node->head, node->head_size, node->size);
    if (head == NULL) return;
    node->head = head;
  }
  node->head_size = node->size;
}

static int memfs_reserve(allocator *a, memfs_node *node, size_t size) {
  if (size <= node->head_size + node->tail_size) return VARVE_OK;
  size_t doubled = node->head_size + node->tail_size;
  doubled = doubled > SIZE_MAX / 4 ? size : MAX(MAX(size, doubled * 2), MEMFS_CAPACITY_MIN);
  if (node->maps == 0) {
    if (memfs_join(a, node, doubled) == VARVE_OK) return VARVE_OK;
    return memfs_join(a, node, size);
  }
  size_t tail_size = doubled - node->head_size;
  uint8_t *tail = mem_resize(a, node->tail, node->tail_size, tail_size);
  if (tail == NULL) return memfs_full(node, size);
  node->tail = tail;
  node->tail_size = tail_size;
  return VARVE_OK;
}

/* Where byte `offset` is, and how many (at most `size`) lie behind it in one piece. */
static uint8_t *memfs_span(const memfs_node *node, size_t offset, size_t size, size_t *length) {
  ASSERT(offset < node->head_size + node->tail_size);
  if (offset < node->head_size) {
    *length = MIN(size, node->head_size - offset);
    return node->head + offset;
  }
  *length = MIN(size, node->tail_size - (offset - node->head_size));
  return node->tail + (offset - node->head_size);
}

static void memfs_copy_in(memfs_node *node, size_t offset, const uint8_t *data, size_t size) {
  while (size > 0) {
    size_t length;
    uint8_t *at = memfs_span(node, offset, size, &length);
    if (data != NULL) {
      memcpy(at, data, length);
      data += length;
    } else {
      memset(at, 0, length);
    }
    offset += length;
    size -= length;
  }
}

/* Makes the file at least `size` bytes long, the new ones zero. */
static int memfs_grow(allocator *a, memfs_node *node, uint64_t size) {
  if (size <= node->size) return VARVE_OK;
  if (size > SIZE_MAX / 2) return memfs_full(node, size);
  TRY(memfs_reserve(a, node, (size_t)size));
  memfs_copy_in(node, node->size, NULL, (size_t)size - node->size);
  node->size = (size_t)size;
  return VARVE_OK;
}

/* ---- files ---- */

static int memfs_read_at(vfs_file *file, uint64_t offset, void *data, size_t size, size_t *got) {
  memfs_node *node = memfs_file_of(file)->node;
  uint8_t *out = data;
  mutex_lock(&node->guard);
  size_t left = offset >= node->size ? 0 : MIN(size, node->size - (size_t)offset);
  size_t at = left == 0 ? 0 : (size_t)offset;
  *got = left;
  while (left > 0) {
    size_t length;
    const uint8_t *from = memfs_span(node, at, left, &length);
    memcpy(out, from, length);
    out += length;
    at += length;
    left -= length;
  }
  mutex_unlock(&node->guard);
  return VARVE_OK;
}

static int memfs_writable(const memfs_file *file) {
  if (LIKELY(file->writable)) return VARVE_OK;
  return status_fail(VARVE_READONLY, "%s is open for reading only", file_name(file->base.kind, file->base.number));
}

static int memfs_write_at(vfs_file *file, uint64_t offset, const void *data, size_t size) {
  memfs_file *self = memfs_file_of(file);
  memfs_node *node = self->node;
  int rc = VARVE_OK;
  TRY(memfs_writable(self));
  if (size == 0) return VARVE_OK;
  mutex_lock(&node->guard);
  if (offset > SIZE_MAX / 2 || size > SIZE_MAX / 2 - (size_t)offset) STEP(memfs_full(node, offset));
  STEP(memfs_reserve(file->fs->alloc, node, (size_t)offset + size));
  STEP(memfs_grow(file->fs->alloc, node, offset)); /* zeroes the gap alone: the rest is overwritten at once */
  memfs_copy_in(node, (size_t)offset, data, size);
  node->size = MAX(node->size, (size_t)offset + size);
out:
  mutex_unlock(&node->guard);
  return rc;
}

static int memfs_allocate(vfs_file *file, uint64_t size) {
  memfs_node *node = memfs_file_of(file)->node;
  TRY(memfs_writable(memfs_file_of(file)));
  mutex_lock(&node->guard);
  int rc = memfs_grow(file->fs->alloc, node, size);
  mutex_unlock(&node->guard);
  return rc;
}

static int memfs_truncate(vfs_file *file, uint64_t size) {
  memfs_node *node = memfs_file_of(file)->node;
  int rc = VARVE_OK;
  TRY(memfs_writable(memfs_file_of(file)));
  mutex_lock(&node->guard);
  if (size > node->size) {
    rc = status_fail(VARVE_INVALID, "%s has %zu bytes and cannot be cut to %" PRIu64,
                     file_name(node->kind, node->number), node->size, size);
  } else {
    node->size = (size_t)size;
    if (node->maps == 0) memfs_trim(file->fs->alloc, node);
  }
  mutex_unlock(&node->guard);
  return rc;
}

static int memfs_size(vfs_file *file, uint64_t *size) {
  memfs_node *node = memfs_file_of(file)->node;
  mutex_lock(&node->guard);
  *size = node->size;
  mutex_unlock(&node->guard);
  return VARVE_OK;
}

static int memfs_sync(vfs_file *file) {
  (void)file;
  return VARVE_OK;
}

static int memfs_map(vfs_file *file, size_t size, bool writable, void **data) {
  memfs_file *self = memfs_file_of(file);
  memfs_node *node = self->node;
  int rc = VARVE_OK;
  ASSERT(size > 0);
  *data = NULL;
  if (writable) TRY(memfs_writable(self));
  mutex_lock(&node->guard);
  if (size > node->size) {
    STEP(status_fail(VARVE_CORRUPT, "%s is cut short: it has %zu bytes and %zu are to be mapped",
                     file_name(node->kind, node->number), node->size, size));
  }
  if (size > node->head_size) {
    if (node->maps > 0) {
      STEP(status_fail(VARVE_UNSUPPORTED, "%s grew while it was mapped: unmap it before mapping more of it",
                       file_name(node->kind, node->number)));
    }
    STEP(memfs_join(file->fs->alloc, node, node->head_size + node->tail_size));
  }
  node->maps++;
  self->maps++;
  *data = node->head;
out:
  mutex_unlock(&node->guard);
  return rc;
}

static int memfs_unmap(vfs_file *file, void *data, size_t size) {
  memfs_file *self = memfs_file_of(file);
  mutex_lock(&self->node->guard);
  ASSERT(self->maps > 0 && data == self->node->head && size <= self->node->head_size);
  self->maps--;
  self->node->maps--;
  mutex_unlock(&self->node->guard);
  return VARVE_OK;
}

static int memfs_close(vfs_file *file) {
  memfs_file *self = memfs_file_of(file);
  memfs *fs = memfs_of(file->fs);
  memfs_node *node = self->node;
  mutex_lock(&fs->guard);
  mutex_lock(&node->guard);
  ASSERT(node->opens > 0 && fs->files_open > 0 && node->maps >= self->maps);
  node->maps -= self->maps;
  node->opens--;
  fs->files_open--;
  bool last = node->opens == 0;
  if (last && !node->removed) memfs_trim(fs->base.alloc, node);
  mutex_unlock(&node->guard);
  if (last && node->removed) memfs_node_free(fs->base.alloc, node);
  mutex_unlock(&fs->guard);
  MEM_DELETE(fs->base.alloc, self);
  return VARVE_OK;
}

/* ---- the place ---- */

/* A new empty node, in the list. fs->guard is held. */
static int memfs_create(memfs *fs, file_kind kind, uint64_t number, memfs_node **created) {
  allocator *a = fs->base.alloc;
  if (fs->count == fs->capacity) {
    size_t capacity = fs->capacity == 0 ? 16 : fs->capacity * 2;
    memfs_node **nodes = mem_resize(a, fs->nodes, fs->capacity * sizeof(*nodes), capacity * sizeof(*nodes));
    if (nodes == NULL) return mem_fail(capacity * sizeof(*nodes), "the list of files");
    fs->nodes = nodes;
    fs->capacity = capacity;
  }
  memfs_node *node = MEM_NEW(a, memfs_node);
  if (node == NULL) return mem_fail(sizeof(*node), file_name(kind, number));
  mutex_init(&node->guard);
  node->kind = kind;
  node->number = number;
  size_t at = memfs_find(fs, kind, number);
  memmove(fs->nodes + at + 1, fs->nodes + at, (fs->count - at) * sizeof(*fs->nodes));
  fs->nodes[at] = node;
  fs->count++;
  *created = node;
  return VARVE_OK;
}

static const vfs_ops memfs_ops;

static int memfs_open(vfs *base, file_kind kind, uint64_t number, uint32_t flags, vfs_file **file) {
  memfs *fs = memfs_of(base);
  int rc = VARVE_OK;
  *file = NULL;
  memfs_file *self = MEM_NEW(base->alloc, memfs_file);
  if (self == NULL) return mem_fail(sizeof(*self), file_name(kind, number));
  mutex_lock(&fs->guard);
  memfs_node *node = memfs_lookup(fs, kind, number);
  if ((flags & VFS_CREATE) != 0) {
    if (node != NULL) STEP(status_fail(VARVE_EXISTS, "%s exists already", file_name(kind, number)));
    STEP(memfs_create(fs, kind, number, &node));
  } else if (node == NULL) {
    STEP(status_fail(VARVE_MISSING, "%s is missing", file_name(kind, number)));
  }
  node->opens++;
  fs->files_open++;
  self->base.ops = &memfs_ops;
  self->base.fs = base;
  self->base.kind = kind;
  self->base.number = number;
  self->node = node;
  self->writable = (flags & (VFS_CREATE | VFS_WRITE)) != 0;
  *file = &self->base;
out:
  mutex_unlock(&fs->guard);
  if (rc < 0) MEM_DELETE(base->alloc, self);
  return rc;
}

static int memfs_remove(vfs *base, file_kind kind, uint64_t number) {
  memfs *fs = memfs_of(base);
  int rc = VARVE_OK;
  mutex_lock(&fs->guard);
  memfs_node *node = memfs_lookup(fs, kind, number);
  if (node == NULL) STEP(status_fail(VARVE_MISSING, "%s is missing and cannot be removed", file_name(kind, number)));
  size_t at = memfs_find(fs, kind, number);
  fs->count--;
  memmove(fs->nodes + at, fs->nodes + at + 1, (fs->count - at) * sizeof(*fs->nodes));
  node->removed = true;
  if (node->opens == 0) memfs_node_free(base->alloc, node);
out:
  mutex_unlock(&fs->guard);
  return rc;
}

static int memfs_sync_dir(vfs *fs) {
  (void)fs;
  return VARVE_OK;
}

/* Looks for the next file after each visit, so `visit` may open and remove files. */
static int memfs_list(vfs *base, vfs_visit visit, void *context) {
  memfs *fs = memfs_of(base);
  file_kind kind = FILE_SUPER;
  uint64_t number = 0;
  for (;;) {
    mutex_lock(&fs->guard);
    size_t at = memfs_find(fs, kind, number);
    memfs_node *node = at < fs->count ? fs->nodes[at] : NULL;
    uint64_t size = 0;
    if (node != NULL) {
      kind = node->kind;
      number = node->number;
      mutex_lock(&node->guard);
      size = node->size;
      mutex_unlock(&node->guard);
    }
    mutex_unlock(&fs->guard);
    if (node == NULL) return VARVE_OK;
    int rc = visit(context, kind, number, size);
    if (rc != 0) return rc;
    number++;
  }
}

static int memfs_lock(vfs *base, uint32_t wait_ms) {
  memfs *fs = memfs_of(base);
  (void)wait_ms; /* the holder is the caller's own process, and most often its own thread */
  mutex_lock(&fs->guard);
  bool taken = fs->locked;
  fs->locked = true;
  mutex_unlock(&fs->guard);
  if (!taken) return VARVE_OK;
  return status_fail(VARVE_LOCKED, "database %s is open in this process already; close it first", base->location);
}

static int memfs_unlock(vfs *base) {
  memfs *fs = memfs_of(base);
  mutex_lock(&fs->guard);
  ASSERT(fs->locked);
  fs->locked = false;
  mutex_unlock(&fs->guard);
  return VARVE_OK;
}

static int memfs_close_fs(vfs *base) {
  memfs *fs = memfs_of(base);
  allocator *a = base->alloc;
  ASSERT(fs->files_open == 0);
  for (size_t i = 0; i < fs->count; i++) memfs_node_free(a, fs->nodes[i]);
  mem_free(a, fs->nodes, fs->capacity * sizeof(*fs->nodes));
  mutex_destroy(&fs->guard);
  MEM_DELETE(a, fs);
  return VARVE_OK;
}

static const vfs_ops memfs_ops = {
    .version = 1,
    .open = memfs_open,
    .close = memfs_close,
    .read_at = memfs_read_at,
    .write_at = memfs_write_at,
    .allocate = memfs_allocate,
    .truncate = memfs_truncate,
    .size = memfs_size,
    .sync = memfs_sync,
    .map = memfs_map,
    .unmap = memfs_unmap,
    .remove = memfs_remove,
    .sync_dir = memfs_sync_dir,
    .list = memfs_list,
    .lock = memfs_lock,
    .unlock = memfs_unlock,
    .close_fs = memfs_close_fs,
};

INTERNAL int vfs_mem_open(allocator *alloc, vfs **fs) {
  *fs = NULL;
  memfs *self = MEM_NEW(alloc, memfs);
  if (self == NULL) return mem_fail(sizeof(*self), ":memory:");
  mutex_init(&self->guard);
  self->base.ops = &memfs_ops;
  self->base.alloc = alloc;
  self->base.traits = VFS_MAP_READ | VFS_MAP_WRITE | MEMFS_THREADS;
  self->base.location = ":memory:";
  *fs = &self->base;
  return VARVE_OK;
}

#undef MEMFS_CAPACITY_MIN
#undef MEMFS_THREADS
