/* vfs_host.c: files of the JavaScript host, one WebAssembly import for each slot of vfs_ops.
 *
 * The host keeps the files; here they are numbers. `place` is a database's directory or one file, `file` an open file.
 * Offsets and sizes cross as doubles, which hold every integer below 2^53 and cost JavaScript nothing, where a 64-bit
 * integer would become a BigInt. bindings/js/src/module.js is the other side, bindings/js/src/host/host.js the contract
 * of what stands behind it.
 *
 * A negative result is an enum varve_status. The host keeps the sentence that explains it until the next failure;
 * host_fail fetches it at once, so that varve_errmsg is as good here as it is natively.
 *
 * Invariants
 *   1. The host never throws into these calls and never calls back into the module.
 *   2. Pointers given to the host are used during the call only.
 */
#include "env/vfs.h"

#define HOST_IMPORT(name) __attribute__((import_module("host"), import_name(name)))

#define HOST_SIZE_MAX 9007199254740992.0 /* 2^53 */
#define HOST_FOREIGN  1
#define HOST_ONE_FILE 2

HOST_IMPORT("place_open") extern int host_place_open(const char *path, size_t size, uint32_t flags);
/* HOST_FOREIGN: the place held names that are no file of ours when it was opened. HOST_ONE_FILE: it is one file. */
HOST_IMPORT("place_traits") extern int host_place_traits(int place);
HOST_IMPORT("place_close") extern int host_place_close(int place);
HOST_IMPORT("open") extern int host_open(int place, int kind, double number, uint32_t flags);
HOST_IMPORT("close") extern int host_close(int file);
HOST_IMPORT("read") extern int host_read(int file, double offset, void *data, size_t size);
HOST_IMPORT("write") extern int host_write(int file, double offset, const void *data, size_t size);
HOST_IMPORT("allocate") extern int host_allocate(int file, double size);
HOST_IMPORT("truncate") extern int host_truncate(int file, double size);
HOST_IMPORT("size") extern double host_size(int file);
HOST_IMPORT("sync") extern int host_sync(int file);
HOST_IMPORT("remove") extern int host_remove(int place, int kind, double number);
HOST_IMPORT("sync_dir") extern int host_sync_dir(int place);
HOST_IMPORT("list") extern int host_list(int place, double *rows, size_t room);
HOST_IMPORT("lock") extern int host_lock(int place, uint32_t wait_ms);
HOST_IMPORT("unlock") extern int host_unlock(int place);
HOST_IMPORT("message") extern int host_message(char *text, size_t room);

typedef struct host_fs {
  vfs base;
  int place;
  char *location;
  size_t location_size; /* with the NUL */
} host_fs;

typedef struct host_file {
  vfs_file base;
  int file;
} host_file;

/* The host's failure as ours. A number that is no failure of ours becomes IO. */
static int host_fail(int status) {
  char text[480];
  int size = host_message(text, sizeof text - 1);
  if (size < 0 || (size_t)size >= sizeof text) size = 0;
  text[size] = '\0';
  if (status > VARVE_NOMEM || status < VARVE_LEADER_LOST) status = VARVE_IO;
  return status_fail(status, "%s", size == 0 ? "the JavaScript host reported a failure" : text);
}

static int host_result(int result) {
  return LIKELY(result >= 0) ? VARVE_OK : host_fail(result);
}

/* Read-only places refuse changes here, so that no host has to. */
static int host_writable(const vfs *fs) {
  if (LIKELY((fs->traits & VFS_READ_ONLY) == 0)) return VARVE_OK;
  return status_fail(VARVE_READONLY, "%s is open for reading only", fs->location);
}

static host_file *host_file_of(vfs_file *file) {
  return CONTAINER_OF(file, host_file, base);
}
static host_fs *host_fs_of(vfs *fs) {
  return CONTAINER_OF(fs, host_fs, base);
}

static int host_vfs_open(vfs *fs, file_kind kind, uint64_t number, uint32_t flags, vfs_file **out) {
  ASSERT(number < ((uint64_t)1 << 53));
  ASSERT((kind == FILE_SINGLE) == ((fs->traits & VFS_ONE_FILE) != 0));
  *out = NULL;
  if ((flags & (VFS_CREATE | VFS_WRITE)) != 0) TRY(host_writable(fs));
  host_file *f = MEM_NEW(fs->alloc, host_file);
  if (f == NULL) return mem_fail(sizeof *f, "an open file");
  int file = host_open(host_fs_of(fs)->place, (int)kind, (double)number, flags);
  if (file < 0) {
    MEM_DELETE(fs->alloc, f);
    return host_fail(file);
  }
  f->base.ops = fs->ops;
  f->base.fs = fs;
  f->base.number = number;
  f->base.kind = kind;
  f->file = file;
  *out = &f->base;
  return VARVE_OK;
}

static int host_vfs_close(vfs_file *file) {
  host_file *f = host_file_of(file);
  int rc = host_result(host_close(f->file));
  MEM_DELETE(file->fs->alloc, f);
  return rc;
}

static int host_vfs_read_at(vfs_file *file, uint64_t offset, void *data, size_t size, size_t *got) {
  ASSERT((double)offset < HOST_SIZE_MAX && size <= INT32_MAX);
  *got = 0;
  int result = host_read(host_file_of(file)->file, (double)offset, data, size);
  if (UNLIKELY(result < 0)) return host_fail(result);
  ASSERT((size_t)result <= size);
  *got = (size_t)result;
  return VARVE_OK;
}

static int host_vfs_write_at(vfs_file *file, uint64_t offset, const void *data, size_t size) {
  ASSERT((double)offset < HOST_SIZE_MAX && size <= INT32_MAX);
  TRY(host_writable(file->fs));
  return host_result(host_write(host_file_of(file)->file, (double)offset, data, size));
}

static int host_vfs_allocate(vfs_file *file, uint64_t size) {
  ASSERT((double)size < HOST_SIZE_MAX);
  TRY(host_writable(file->fs));
  return host_result(host_allocate(host_file_of(file)->file, (double)size));
}

static int host_vfs_truncate(vfs_file *file, uint64_t size) {
  ASSERT((double)size < HOST_SIZE_MAX);
  TRY(host_writable(file->fs));
  return host_result(host_truncate(host_file_of(file)->file, (double)size));
}

static int host_vfs_size(vfs_file *file, uint64_t *size) {
  *size = 0;
  double result = host_size(host_file_of(file)->file);
  if (result < 0) return host_fail((int)result);
  ASSERT(result < HOST_SIZE_MAX);
  *size = (uint64_t)result;
  return VARVE_OK;
}

static int host_vfs_sync(vfs_file *file) {
  TRY(host_writable(file->fs));
  return host_result(host_sync(host_file_of(file)->file));
}

static int host_vfs_map(vfs_file *file, size_t size, bool writable, void **data) {
  (void)size, (void)writable;
  *data = NULL;
  return status_fail(VARVE_UNSUPPORTED, "%s cannot be mapped: WebAssembly has no mapped files",
                     file_name(file->kind, file->number));
}

static int host_vfs_unmap(vfs_file *file, void *data, size_t size) {
  (void)data, (void)size;
  return status_fail(VARVE_UNSUPPORTED, "%s was never mapped", file_name(file->kind, file->number));
}

static int host_vfs_remove(vfs *fs, file_kind kind, uint64_t number) {
  TRY(host_writable(fs));
  return host_result(host_remove(host_fs_of(fs)->place, (int)kind, (double)number));
}

static int host_vfs_sync_dir(vfs *fs) {
  TRY(host_writable(fs));
  return host_result(host_sync_dir(host_fs_of(fs)->place));
}

/* The host sorts by kind and number and writes {kind, number, size} as three doubles a file; when there are more than
 * `room` files it only says how many, and is asked again. */
static int host_vfs_list(vfs *fs, vfs_visit visit, void *context) {
  size_t room = 64;
  double *rows = NULL;
  int rc = VARVE_OK;
  for (;;) {
    rows = mem_alloc(fs->alloc, room * 3 * sizeof *rows);
    if (rows == NULL) return mem_fail(room * 3 * sizeof *rows, "a list of files");
    int count = host_list(host_fs_of(fs)->place, rows, room);
    if (count < 0) {
      rc = host_fail(count);
      break;
    }
    if ((size_t)count <= room) {
      for (int i = 0; i < count && rc == VARVE_OK; i++) {
        const double *row = rows + 3 * (size_t)i;
        ASSERT(row[0] >= 0 && row[0] <= FILE_SINGLE && row[1] >= 0 && row[1] < HOST_SIZE_MAX && row[2] >= 0);
        rc = visit(context, (file_kind)row[0], (uint64_t)row[1], (uint64_t)row[2]);
      }
      break;
    }
    mem_free(fs->alloc, rows, room * 3 * sizeof *rows);
    room = (size_t)count + 16;
  }
  mem_free(fs->alloc, rows, room * 3 * sizeof *rows);
  return rc;
}

static int host_vfs_lock(vfs *fs, uint32_t wait_ms) {
  return host_result(host_lock(host_fs_of(fs)->place, wait_ms));
}

static int host_vfs_unlock(vfs *fs) {
  return host_result(host_unlock(host_fs_of(fs)->place));
}

static int host_vfs_close_fs(vfs *fs) {
  host_fs *h = host_fs_of(fs);
  allocator *alloc = fs->alloc;
  int rc = host_result(host_place_close(h->place));
  mem_free(alloc, h->location, h->location_size);
  MEM_DELETE(alloc, h);
  return rc;
}

static const vfs_ops host_ops = {
    .version = 1,
    .open = host_vfs_open,
    .close = host_vfs_close,
    .read_at = host_vfs_read_at,
    .write_at = host_vfs_write_at,
    .allocate = host_vfs_allocate,
    .truncate = host_vfs_truncate,
    .size = host_vfs_size,
    .sync = host_vfs_sync,
    .map = host_vfs_map,
    .unmap = host_vfs_unmap,
    .remove = host_vfs_remove,
    .sync_dir = host_vfs_sync_dir,
    .list = host_vfs_list,
    .lock = host_vfs_lock,
    .unlock = host_vfs_unlock,
    .close_fs = host_vfs_close_fs,
};

INTERNAL int vfs_host_open(allocator *alloc, const char *path, uint32_t flags, vfs **out) {
  *out = NULL;
  size_t size = strlen(path);
  host_fs *h = MEM_NEW(alloc, host_fs);
  if (h == NULL) return mem_fail(sizeof *h, "a place for files");
  char *location = mem_alloc(alloc, size + 1);
  if (location == NULL) {
    MEM_DELETE(alloc, h);
    return mem_fail(size + 1, "a path");
  }
  memcpy(location, path, size + 1);
  int place = host_place_open(path, size, flags);
  if (place < 0) {
    mem_free(alloc, location, size + 1);
    MEM_DELETE(alloc, h);
    return host_fail(place);
  }
  h->base.ops = &host_ops;
  h->base.alloc = alloc;
  h->base.traits = (flags & VFS_PLACE_READ_ONLY) != 0 ? VFS_READ_ONLY : 0;
  int traits = host_place_traits(place);
  h->base.foreign = (traits & HOST_FOREIGN) != 0;
  if ((traits & HOST_ONE_FILE) != 0) h->base.traits |= VFS_ONE_FILE;
  h->base.location = location;
  h->place = place;
  h->location = location;
  h->location_size = size + 1;
  *out = &h->base;
  return VARVE_OK;
}

#undef HOST_IMPORT
#undef HOST_SIZE_MAX
#undef HOST_FOREIGN
#undef HOST_ONE_FILE
