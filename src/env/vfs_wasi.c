/* vfs_wasi.c: a directory, or one file, under a WASI host (preview 1), through wasi-libc's part of POSIX. The files are
 * vfs_fd.c's.
 *
 * WASI has no locks, no processes and no mappings. A program cannot find out whether the writer of a claim in LOCK or
 * LOCK.node (see vfs_posix_lock.c) still lives, and one that is killed could not take a claim of its own away. So the
 * lock here holds within the program alone: THE CALLER HAS TO SEE TO IT THAT NOTHING ELSE HAS THE DATABASE OPEN.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "env/vfs_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Descriptors 0 to 2 are the host's and never given out; nothing is inherited by anybody. */
INTERNAL int fd_os_open(int dir, const char *name, int flags, unsigned mode) {
  if (dir == AT_FDCWD) return open(name, flags, mode);
  return openat(dir, name, flags | O_NOFOLLOW, mode);
}

/* Sets the size alone: newer hosts refuse to reserve space, and without maps a later FULL is an ordinary failure. */
INTERNAL int fd_os_reserve(int fd, uint64_t offset, uint64_t size) {
  return ftruncate(fd, (off_t)(offset + size)) == 0 ? 0 : errno;
}

INTERNAL int fd_os_sync(int fd) {
  return fdatasync(fd);
}

INTERNAL int fd_os_unmap(void *data, size_t size) {
  (void)data;
  (void)size;
  errno = ENOSYS;
  return -1;
}

INTERNAL int fd_os_hold(fd_place *place, int fd, bool writable) {
  (void)writable; /* there are no locks to take */
  ASSERT(place->name != NULL && fd >= 0);
  return VARVE_OK;
}

static int wasi_map(vfs_file *file, size_t size, bool writable, void **data) {
  (void)size;
  (void)writable;
  *data = NULL;
  return status_fail(VARVE_UNSUPPORTED, FD_SPOT ": files cannot be mapped under WASI",
                     FD_SPOT_OF(file->fs, fd_file_name(file->fs, file->kind, file->number)));
}

static int wasi_unmap(vfs_file *file, void *data, size_t size) {
  (void)data;
  (void)size;
  return status_fail(VARVE_UNSUPPORTED, FD_SPOT ": files cannot be mapped under WASI",
                     FD_SPOT_OF(file->fs, fd_file_name(file->fs, file->kind, file->number)));
}

static int wasi_lock(vfs *fs, uint32_t wait_ms) {
  (void)wait_ms; /* the holder is this very program: waiting would never end */
  if (fd_place_claim(fd_place_of(fs), 0)) return VARVE_OK;
  return status_fail(VARVE_LOCKED, "database %s is open in this program already; close it first", fs->location);
}

static int wasi_unlock(vfs *fs) {
  ASSERT(fd_place_of(fs)->held);
  fd_place_release(fd_place_of(fs));
  return VARVE_OK;
}

static const vfs_ops wasi_ops = {
    .version = 1,
    .open = fd_open,
    .close = fd_close,
    .read_at = fd_read_at,
    .write_at = fd_write_at,
    .allocate = fd_allocate,
    .truncate = fd_truncate,
    .size = fd_size,
    .sync = fd_sync,
    .map = wasi_map,
    .unmap = wasi_unmap,
    .remove = fd_remove,
    .sync_dir = fd_sync_dir,
    .list = fd_list,
    .lock = wasi_lock,
    .unlock = wasi_unlock,
    .close_fs = fd_close_fs,
};

INTERNAL int vfs_wasi_open(allocator *alloc, const char *path, uint32_t flags, vfs **fs) {
  fd_place *place;
  *fs = NULL;
  TRY(fd_place_open(alloc, path, flags, &wasi_ops, 0, &place));
  *fs = &place->base;
  return VARVE_OK;
}
