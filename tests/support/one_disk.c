/* one_disk.c: see one_disk.h. */
#include "support/one_disk.h"

#include "support/test.h"

#include <stdlib.h>

#define SECTOR 512u

typedef struct one_vfs {
  vfs base;
  one_disk *disk;
  bool holds;
} one_vfs;

typedef struct one_file {
  vfs_file base;
  one_disk *disk;
} one_file;

static one_disk *disk_of(vfs_file *file) {
  return CONTAINER_OF(file, one_file, base)->disk;
}

void one_disk_init(one_disk *d) {
  memset(d, 0, sizeof *d);
  mutex_init(&d->guard);
}

void one_disk_free(one_disk *d) {
  for (size_t i = 0; i < d->count; i++) free(d->changes[i].data);
  free(d->changes);
  free(d->bytes);
  mutex_destroy(&d->guard);
}

static void disk_resize(one_disk *d, size_t size) {
  if (size > d->room) {
    d->room = MAX(size, 2 * d->room);
    d->bytes = realloc(d->bytes, d->room);
    assert_non_null(d->bytes);
  }
  if (size > d->size) memset(d->bytes + d->size, 0, size - d->size);
  d->size = size;
}

void one_disk_copy(const one_disk *from, one_disk *to) {
  one_disk_init(to);
  to->exists = from->exists;
  disk_resize(to, from->size);
  if (from->size > 0) memcpy(to->bytes, from->bytes, from->size);
}

static void disk_record(one_disk *d, one_change_kind kind, uint64_t offset, const void *data, size_t size) {
  if (!d->record) return;
  if (d->count == d->changes_room) {
    d->changes_room = MAX(64u, 2 * d->changes_room);
    d->changes = realloc(d->changes, d->changes_room * sizeof *d->changes);
    assert_non_null(d->changes);
  }
  one_change *c = &d->changes[d->count++];
  *c = (one_change){kind, offset, size, size > 0 ? malloc(size) : NULL};
  if (size > 0) memcpy(c->data, data, size);
}

static int disk_read_at(vfs_file *file, uint64_t offset, void *data, size_t size, size_t *got) {
  one_disk *d = disk_of(file);
  mutex_lock(&d->guard);
  d->reads++;
  *got = offset >= d->size ? 0 : MIN(size, d->size - (size_t)offset);
  if (*got > 0) memcpy(data, d->bytes + offset, *got);
  mutex_unlock(&d->guard);
  return VARVE_OK;
}

static int disk_write_at(vfs_file *file, uint64_t offset, const void *data, size_t size) {
  one_disk *d = disk_of(file);
  int rc = VARVE_OK;
  mutex_lock(&d->guard);
  d->writes++;
  size_t end = MAX(d->size, (size_t)offset + size);
  if (d->fail_write > 0 && --d->fail_write == 0) {
    rc = status_fail(VARVE_IO, "this write was to fail");
  } else if (d->size_max > 0 && end > d->size_max) {
    rc = status_fail(VARVE_FULL, "the disk is full");
  } else {
    disk_resize(d, end);
    memcpy(d->bytes + offset, data, size);
    disk_record(d, ONE_WRITE, offset, data, size);
  }
  mutex_unlock(&d->guard);
  return rc;
}

static int disk_truncate(vfs_file *file, uint64_t size) {
  one_disk *d = disk_of(file);
  mutex_lock(&d->guard);
  assert_true(size <= d->size);
  disk_resize(d, (size_t)size);
  disk_record(d, ONE_TRUNCATE, size, NULL, 0);
  mutex_unlock(&d->guard);
  return VARVE_OK;
}

static int disk_allocate(vfs_file *file, uint64_t size) {
  one_disk *d = disk_of(file);
  if (size <= d->size) return VARVE_OK;
  return disk_write_at(file, size - 1, "", 1);
}

static int disk_size(vfs_file *file, uint64_t *size) {
  *size = disk_of(file)->size;
  return VARVE_OK;
}

static int disk_sync(vfs_file *file) {
  one_disk *d = disk_of(file);
  int rc = VARVE_OK;
  mutex_lock(&d->guard);
  d->syncs++;
  if (d->fail_sync > 0 && --d->fail_sync == 0) {
    rc = status_fail(VARVE_IO, "this sync was to fail");
  } else {
    disk_record(d, ONE_SYNC, 0, NULL, 0);
  }
  mutex_unlock(&d->guard);
  return rc;
}

static int disk_map(vfs_file *file, size_t size, bool writable, void **data) {
  (void)file;
  (void)size;
  (void)writable;
  *data = NULL;
  return status_fail(VARVE_UNSUPPORTED, "no maps here");
}

static int disk_unmap(vfs_file *file, void *data, size_t size) {
  (void)file;
  (void)data;
  (void)size;
  return VARVE_OK;
}

static int disk_close(vfs_file *file) {
  MEM_DELETE(file->fs->alloc, CONTAINER_OF(file, one_file, base));
  return VARVE_OK;
}

static const vfs_ops disk_ops;

static int disk_open(vfs *fs, file_kind kind, uint64_t number, uint32_t flags, vfs_file **file) {
  one_disk *d = CONTAINER_OF(fs, one_vfs, base)->disk;
  *file = NULL;
  assert_int_equal(kind, FILE_SINGLE);
  assert_int_equal(number, 0);
  if ((flags & VFS_CREATE) == 0 && !d->exists) return status_fail(VARVE_MISSING, "no such file");
  one_file *self = MEM_NEW(fs->alloc, one_file);
  if (self == NULL) return mem_fail(sizeof *self, "a file");
  d->exists = true;
  self->base = (vfs_file){&disk_ops, fs, number, kind};
  self->disk = d;
  *file = &self->base;
  return VARVE_OK;
}

static int disk_remove(vfs *fs, file_kind kind, uint64_t number) {
  (void)fs;
  return status_fail(VARVE_UNSUPPORTED, "%s stays", file_name(kind, number));
}

static int disk_sync_dir(vfs *fs) {
  (void)fs;
  return VARVE_OK;
}

static int disk_list(vfs *fs, vfs_visit visit, void *context) {
  (void)fs;
  (void)visit;
  (void)context;
  return VARVE_OK;
}

static int disk_lock(vfs *fs, uint32_t wait_ms) {
  one_vfs *self = CONTAINER_OF(fs, one_vfs, base);
  (void)wait_ms;
  if (self->disk->locked) return status_fail(VARVE_LOCKED, "%s is open elsewhere", fs->location);
  self->disk->locked = self->holds = true;
  return VARVE_OK;
}

static int disk_unlock(vfs *fs) {
  one_vfs *self = CONTAINER_OF(fs, one_vfs, base);
  assert_true(self->holds);
  self->disk->locked = self->holds = false;
  return VARVE_OK;
}

static int disk_close_fs(vfs *fs) {
  one_vfs *self = CONTAINER_OF(fs, one_vfs, base);
  if (self->holds) self->disk->locked = false;
  MEM_DELETE(fs->alloc, self);
  return VARVE_OK;
}

static const vfs_ops disk_ops = {
    .version = 1,
    .open = disk_open,
    .close = disk_close,
    .read_at = disk_read_at,
    .write_at = disk_write_at,
    .allocate = disk_allocate,
    .truncate = disk_truncate,
    .size = disk_size,
    .sync = disk_sync,
    .map = disk_map,
    .unmap = disk_unmap,
    .remove = disk_remove,
    .sync_dir = disk_sync_dir,
    .list = disk_list,
    .lock = disk_lock,
    .unlock = disk_unlock,
    .close_fs = disk_close_fs,
};

int one_disk_open(one_disk *d, allocator *alloc, uint32_t flags, vfs **fs) {
  *fs = NULL;
  one_vfs *self = MEM_NEW(alloc, one_vfs);
  if (self == NULL) return mem_fail(sizeof *self, "a disk");
  self->base.ops = &disk_ops;
  self->base.alloc = alloc;
  self->base.traits = VFS_THREADS | ((flags & VFS_PLACE_READ_ONLY) != 0 ? VFS_READ_ONLY : 0);
  self->base.location = "one.varve";
  self->disk = d;
  *fs = &self->base;
  return VARVE_OK;
}

int one_disk_single(one_disk *d, allocator *alloc, uint32_t flags, vfs **fs) {
  vfs *base;
  TRY(one_disk_open(d, alloc, flags, &base));
  return vfs_single_open(alloc, base, flags, fs);
}

static void disk_apply(one_disk *image, const one_change *c, one_cut how, rng *r) {
  if (c->kind == ONE_SYNC || how == ONE_CUT_NONE) return;
  if (c->kind == ONE_TRUNCATE) {
    if (how == ONE_CUT_ALL || rng_percent(r, 50)) disk_resize(image, MIN(image->size, (size_t)c->offset));
    return;
  }
  uint32_t percent = how == ONE_CUT_ALL ? 100 : rng_below(r, 101);
  for (size_t done = 0; done < c->size;) {
    size_t at = (size_t)c->offset + done, n = MIN(c->size - done, SECTOR - at % SECTOR);
    if (how == ONE_CUT_ALL || rng_percent(r, percent)) {
      if (at + n > image->size) disk_resize(image, at + n);
      memcpy(image->bytes + at, c->data + done, n);
    }
    done += n;
  }
}

void one_disk_cut(const one_disk *d, size_t at, one_cut how, rng *r, one_disk *image) {
  size_t synced = 0;
  assert_true(at <= d->count);
  for (size_t i = 0; i < at; i++) synced = d->changes[i].kind == ONE_SYNC ? i + 1 : synced;
  one_disk_init(image);
  image->exists = d->exists;
  for (size_t i = 0; i < at; i++) disk_apply(image, &d->changes[i], i < synced ? ONE_CUT_ALL : how, r);
}

#undef SECTOR
