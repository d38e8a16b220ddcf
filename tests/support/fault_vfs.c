/* fault_vfs.c: counts, fails, passes on (see fault_vfs.h). */
#include "support/fault_vfs.h"

typedef struct fault_file {
  vfs_file base;
  vfs_file *inner;
} fault_file;

static fault_vfs *fault_of(vfs *fs) {
  return CONTAINER_OF(fs, fault_vfs, base);
}

static fault_file *fault_file_of(vfs_file *file) {
  return CONTAINER_OF(file, fault_file, base);
}

static const char *const fault_names[FAULT_OPS] = {"open",     "close",    "read", "write", "allocate",
                                                   "truncate", "size",     "sync", "map",   "unmap",
                                                   "remove",   "sync_dir", "list", "lock",  "unlock"};

/* The status of the injected failure, or OK. */
static int fault_check(vfs *fs, fault_op op, int kind, uint64_t number) {
  fault_vfs *f = fault_of(fs);
  const fault_rule *rule = &f->rule;
  atomic_fetch_add(&f->calls[op], 1);
  if (f->before != NULL) f->before(f->context, op, kind < 0 ? FILE_SUPER : (file_kind)kind, number);
  if (rule->nth == 0 || (rule->ops & FAULT_BIT(op)) == 0) return VARVE_OK;
  if (rule->kind != FAULT_ANY_KIND && kind >= 0 && kind != rule->kind) return VARVE_OK;
  uint64_t call = atomic_fetch_add(&f->matched, 1) + 1;
  if (call < rule->nth || (call > rule->nth && !rule->and_later)) return VARVE_OK;
  if (atomic_fetch_add(&f->failed, 1) == 0) {
    f->failed_op = op;
    f->failed_kind = kind;
  }
  return status_fail(rule->status, "%s: injected failure of %s",
                     kind < 0 ? fs->location : file_name((file_kind)kind, number), fault_names[op]);
}

static int fault_check_file(vfs_file *file, fault_op op) {
  return fault_check(file->fs, op, (int)file->kind, file->number);
}

static const vfs_ops fault_ops;

static int fault_open(vfs *fs, file_kind kind, uint64_t number, uint32_t flags, vfs_file **file) {
  *file = NULL;
  TRY(fault_check(fs, FAULT_OPEN, (int)kind, number));
  fault_file *self = MEM_NEW(fs->alloc, fault_file);
  if (self == NULL) return mem_fail(sizeof *self, "a fault_file");
  int rc = vfs_open(fault_of(fs)->inner, kind, number, flags, &self->inner);
  if (rc < 0) {
    MEM_DELETE(fs->alloc, self);
    return rc;
  }
  self->base = (vfs_file){&fault_ops, fs, number, kind};
  *file = &self->base;
  atomic_fetch_add(&fault_of(fs)->files_open, 1);
  return rc;
}

static int fault_close(vfs_file *file) {
  fault_file *self = fault_file_of(file);
  int rc = vfs_close(self->inner);
  ALSO(fault_check_file(file, FAULT_CLOSE));
  atomic_fetch_sub(&fault_of(file->fs)->files_open, 1);
  MEM_DELETE(file->fs->alloc, self);
  return rc;
}

static int fault_read_at(vfs_file *file, uint64_t offset, void *data, size_t size, size_t *got) {
  *got = 0;
  TRY(fault_check_file(file, FAULT_READ));
  return vfs_read_at(fault_file_of(file)->inner, offset, data, size, got);
}

static int fault_write_at(vfs_file *file, uint64_t offset, const void *data, size_t size) {
  vfs_file *inner = fault_file_of(file)->inner;
  int rc = fault_check_file(file, FAULT_WRITE);
  if (rc >= 0) return vfs_write_at(inner, offset, data, size);
  const fault_vfs *f = fault_of(file->fs);
  size_t part = f->part_once && atomic_load(&f->failed) > 1 ? 0 : MIN(size, f->rule.part);
  if (part > 0) (void)vfs_write_at(inner, offset, data, part);
  return rc;
}

static int fault_allocate(vfs_file *file, uint64_t size) {
  TRY(fault_check_file(file, FAULT_ALLOCATE));
  return vfs_allocate(fault_file_of(file)->inner, size);
}

static int fault_truncate(vfs_file *file, uint64_t size) {
  TRY(fault_check_file(file, FAULT_TRUNCATE));
  return vfs_truncate(fault_file_of(file)->inner, size);
}

static int fault_size(vfs_file *file, uint64_t *size) {
  *size = 0;
  TRY(fault_check_file(file, FAULT_SIZE));
  return vfs_size(fault_file_of(file)->inner, size);
}

static int fault_sync(vfs_file *file) {
  TRY(fault_check_file(file, FAULT_SYNC));
  return vfs_sync(fault_file_of(file)->inner);
}

static int fault_map(vfs_file *file, size_t size, bool writable, void **data) {
  *data = NULL;
  TRY(fault_check_file(file, FAULT_MAP));
  if ((file->fs->traits & (writable ? VFS_MAP_WRITE : VFS_MAP_READ)) == 0) {
    return status_fail(VARVE_UNSUPPORTED, "%s cannot be mapped", file_name(file->kind, file->number));
  }
  TRY(vfs_map(fault_file_of(file)->inner, size, writable, data));
  atomic_fetch_add(&fault_of(file->fs)->maps_open, 1);
  return VARVE_OK;
}

static int fault_unmap(vfs_file *file, void *data, size_t size) {
  int rc = vfs_unmap(fault_file_of(file)->inner, data, size);
  ALSO(fault_check_file(file, FAULT_UNMAP));
  atomic_fetch_sub(&fault_of(file->fs)->maps_open, 1);
  return rc;
}

static int fault_remove(vfs *fs, file_kind kind, uint64_t number) {
  TRY(fault_check(fs, FAULT_REMOVE, (int)kind, number));
  return vfs_remove(fault_of(fs)->inner, kind, number);
}

static int fault_sync_dir(vfs *fs) {
  TRY(fault_check(fs, FAULT_SYNC_DIR, FAULT_ANY_KIND, 0));
  return vfs_sync_dir(fault_of(fs)->inner);
}

static int fault_list(vfs *fs, vfs_visit visit, void *context) {
  TRY(fault_check(fs, FAULT_LIST, FAULT_ANY_KIND, 0));
  return vfs_list(fault_of(fs)->inner, visit, context);
}

static int fault_lock(vfs *fs, uint32_t wait_ms) {
  TRY(fault_check(fs, FAULT_LOCK, FAULT_ANY_KIND, 0));
  TRY(vfs_lock(fault_of(fs)->inner, wait_ms));
  atomic_fetch_add(&fault_of(fs)->locks_held, 1);
  return VARVE_OK;
}

static int fault_unlock(vfs *fs) {
  int rc = vfs_unlock(fault_of(fs)->inner);
  ALSO(fault_check(fs, FAULT_UNLOCK, FAULT_ANY_KIND, 0));
  atomic_fetch_sub(&fault_of(fs)->locks_held, 1);
  return rc;
}

static int fault_close_fs(vfs *fs) {
  allocator *alloc = fs->alloc;
  int rc = vfs_close_fs(fault_of(fs)->inner);
  MEM_DELETE(alloc, fault_of(fs));
  return rc;
}

static const vfs_ops fault_ops = {
    .version = 1,
    .open = fault_open,
    .close = fault_close,
    .read_at = fault_read_at,
    .write_at = fault_write_at,
    .allocate = fault_allocate,
    .truncate = fault_truncate,
    .size = fault_size,
    .sync = fault_sync,
    .map = fault_map,
    .unmap = fault_unmap,
    .remove = fault_remove,
    .sync_dir = fault_sync_dir,
    .list = fault_list,
    .lock = fault_lock,
    .unlock = fault_unlock,
    .close_fs = fault_close_fs,
};

int fault_vfs_open(vfs *inner, fault_vfs **out) {
  *out = NULL;
  fault_vfs *f = MEM_NEW(inner->alloc, fault_vfs);
  if (f == NULL) return mem_fail(sizeof *f, "a fault_vfs");
  f->base = *inner;
  f->base.ops = &fault_ops;
  f->inner = inner;
  *out = f;
  return VARVE_OK;
}

void fault_vfs_arm(fault_vfs *f, fault_rule rule) {
  f->rule = rule;
  f->part_once = false;
  atomic_store(&f->matched, 0);
  atomic_store(&f->failed, 0);
}

void fault_vfs_disarm(fault_vfs *f) {
  fault_vfs_arm(f, (fault_rule){.kind = FAULT_ANY_KIND});
}
