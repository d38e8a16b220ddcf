/* vfs_posix.c: a directory, or one file, of a POSIX system. The files are vfs_fd.c's, the lock is vfs_posix_lock.c's;
 * here is what else the system gives: mappings, reserved space, the strongest sync, descriptors above 2.
 *
 * Invariants
 *   1. A log is mapped for writing only where a store to reserved space cannot run out of it: file systems that copy on
 *      write, and those that we do not know, may answer a store with SIGBUS when the disk is full.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif
#include "env/vfs_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/vfs.h>
#endif

#ifdef VARVE_THREADS
#define POSIX_THREADS VFS_THREADS
#else
#define POSIX_THREADS 0u /* sync_none.c's locks find a second thread, they do not keep it out */
#endif

/* ---- what differs between systems ---- */

#if defined(__APPLE__)
/* fsync leaves the bytes in the drive's cache there. Some file systems know no stronger request. */
static int posix_sync_once(int fd) {
  if (fcntl(fd, F_FULLFSYNC) == 0) return 0;
  return errno == ENOTSUP || errno == EINVAL ? fsync(fd) : -1;
}
#else
static int posix_sync_once(int fd) {
  return fdatasync(fd);
}
#endif

#if defined(__linux__)

/* fallocate itself: the C library's posix_fallocate would write bytes one block at a time where it is not supported. */
INTERNAL int fd_os_reserve(int fd, uint64_t offset, uint64_t size) {
  for (;;) {
    if (fallocate(fd, 0, (off_t)offset, (off_t)size) == 0) return 0;
    if (errno == ENOSYS) return EOPNOTSUPP;
    if (errno != EINTR) return errno;
  }
}

/* The file systems of invariant 1, by their numbers in statfs(2). */
static bool posix_can_map_for_writing(int dir) {
  static const uint32_t known[] = {
      0xEF53,     /* ext2, ext3, ext4 */
      0x58465342, /* xfs */
      0x01021994, /* tmpfs */
  };
  struct statfs info;
  if (fstatfs(dir, &info) != 0) return false;
  for (size_t i = 0; i < COUNT_OF(known); i++) {
    if ((uint32_t)info.f_type == known[i]) return true;
  }
  return false;
}

#else

INTERNAL int fd_os_reserve(int fd, uint64_t offset, uint64_t size) {
  (void)fd;
  (void)offset;
  (void)size;
  return EOPNOTSUPP;
}

/* Elsewhere fsync does not promise to take a mapping's stores with it. */
static bool posix_can_map_for_writing(int dir) {
  (void)dir;
  return false;
}

#endif

INTERNAL int fd_os_open(int dir, const char *name, int flags, unsigned mode) {
  flags |= O_CLOEXEC | O_NONBLOCK;          /* O_NONBLOCK: a FIFO of that name must not make us wait */
  if (dir != AT_FDCWD) flags |= O_NOFOLLOW; /* the database's own directory may well be a link */
  int fd;
  do fd = openat(dir, name, flags, (mode_t)mode);
  while (fd < 0 && errno == EINTR);
  if (fd < 0 || fd > STDERR_FILENO) return fd;
  int high = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  int error = errno;
  close(fd);
  errno = error;
  return high;
}

INTERNAL int fd_os_sync(int fd) {
  int rc;
  do rc = posix_sync_once(fd);
  while (rc != 0 && errno == EINTR);
  return rc;
}

INTERNAL int fd_os_unmap(void *data, size_t size) {
  return munmap(data, size);
}

/* ---- mappings ---- */

static int posix_map(vfs_file *file, size_t size, bool writable, void **data) {
  fd_file *self = fd_file_of(file);
  allocator *alloc = file->fs->alloc;
  uint64_t now = 0;
  int rc = VARVE_OK;
  ASSERT(size > 0);
  *data = NULL;
  if (writable) TRY(fd_file_writable(self));
  if (writable && (file->fs->traits & VFS_MAP_WRITE) == 0) {
    return status_fail(VARVE_UNSUPPORTED, FD_SPOT ": this file system cannot be mapped for writing",
                       FD_SPOT_OF(file->fs, fd_file_name(file->fs, file->kind, file->number)));
  }
  TRY(fd_size(file, &now));
  if (size > now) { /* touching what lies behind the end would be SIGBUS */
    return status_fail(
        VARVE_CORRUPT, "%s is cut short: it has %llu bytes and %zu are to be mapped; restore %s from a backup",
        fd_file_name(file->fs, file->kind, file->number), (unsigned long long)now, size, file->fs->location);
  }
  fd_map *map = MEM_NEW(alloc, fd_map);
  if (map == NULL) return mem_fail(sizeof(*map), "a mapping");
  map->size = size;
  map->data = mmap(NULL, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, self->fd, 0);
  if (map->data == MAP_FAILED) STEP(fd_file_fail(file, "map", size, 0, errno, false));
  mutex_lock(&self->guard);
  map->next = self->maps;
  self->maps = map;
  mutex_unlock(&self->guard);
  *data = map->data;
out:
  if (rc < 0) MEM_DELETE(alloc, map);
  return rc;
}

static int posix_unmap(vfs_file *file, void *data, size_t size) {
  fd_file *self = fd_file_of(file);
  mutex_lock(&self->guard);
  fd_map **at = &self->maps;
  while (*at != NULL && (*at)->data != data) at = &(*at)->next;
  fd_map *map = *at;
  ASSERT(map != NULL && map->size == size);
  *at = map->next;
  mutex_unlock(&self->guard);
  MEM_DELETE(file->fs->alloc, map);
  if (fd_os_unmap(data, size) == 0) return VARVE_OK;
  return fd_file_fail(file, "unmap", size, 0, errno, false);
}

/* ---- the place ---- */

static const vfs_ops posix_ops = {
    .version = 1,
    .open = fd_open,
    .close = fd_close,
    .read_at = fd_read_at,
    .write_at = fd_write_at,
    .allocate = fd_allocate,
    .truncate = fd_truncate,
    .size = fd_size,
    .sync = fd_sync,
    .map = posix_map,
    .unmap = posix_unmap,
    .remove = fd_remove,
    .sync_dir = fd_sync_dir,
    .list = fd_list,
    .lock = posix_lock,
    .unlock = posix_unlock,
    .close_fs = fd_close_fs,
};

INTERNAL int vfs_posix_open(allocator *alloc, const char *path, uint32_t flags, vfs **fs) {
  fd_place *place;
  *fs = NULL;
  TRY(fd_place_open(alloc, path, flags, &posix_ops, VFS_MAP_READ | POSIX_THREADS, &place));
  if (posix_can_map_for_writing(place->dir)) place->base.traits |= VFS_MAP_WRITE;
  *fs = &place->base;
  return VARVE_OK;
}

#undef POSIX_THREADS
