/* vfs_fd.c: files by descriptor: what POSIX systems and WASI do alike.
 *
 * A call that the system cut short is continued; one that a signal interrupted is made again; any other failure is
 * reported with the file, what was to be done, the system's reason and a remedy.
 *
 * Invariants
 *   1. Symbolic links are not followed inside the directory, and only regular files are opened.
 *   2. A failed allocate leaves the file as long as it was.
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
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

static_assert(sizeof(off_t) == 8, "64-bit file offsets");

#define FD_CHUNK_MAX  ((size_t)1 << 30) /* one call's worth: some systems refuse more than INT_MAX */
#define FD_ZEROS_SIZE 65536u
#define FD_OFFSET_MAX ((uint64_t)INT64_MAX)

/* ---- failures ---- */

INTERNAL int fd_status(int error, bool changing) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return VARVE_FULL;
    case ENOMEM:
      return VARVE_NOMEM;
    case EROFS:
    case EACCES:
    case EPERM:
      return changing ? VARVE_READONLY : VARVE_IO;
    case ENOENT:
      return VARVE_MISSING;
    case EEXIST:
      return changing ? VARVE_EXISTS : VARVE_IO;
    default:
      return VARVE_IO;
  }
}

INTERNAL const char *fd_remedy(int error, bool changing) {
  switch (error) {
    case ENOSPC:
      return "free some space on the disk, then try again";
    case EDQUOT:
      return "free some space or raise the quota, then try again";
    case EFBIG:
      return "raise the limit of file sizes (ulimit -f), then try again";
    case EMFILE:
      return "raise the limit of open files (ulimit -n), or close databases";
    case ENFILE:
      return "the machine has too many files open; close some";
    case EROFS:
      return "the file system is mounted read-only; open the database with read_only";
    case EACCES:
    case EPERM:
      return changing ? "check the owner and the permissions, or open the database with read_only"
                      : "check the owner and the permissions";
    case ENOENT:
      return "it was removed, or never there";
    case EEXIST:
      return "nothing else may create files here";
    case ELOOP:
      return "symbolic links are not followed inside a database";
    case EIO:
      return "the disk may be failing: check it, and restore from a backup if need be";
    default:
      return "the system gives no more detail";
  }
}

/* ---- names ---- */

INTERNAL const char *fd_file_name(const vfs *fs, file_kind kind, uint64_t number) {
  const fd_place *place = CONTAINER_OF(fs, const fd_place, base);
  ASSERT((kind == FILE_SINGLE) == (place->name != NULL));
  return place->name != NULL ? place->name : file_name(kind, number);
}

INTERNAL const char *fd_spot_join(const vfs *fs) {
  return (fs->traits & VFS_ONE_FILE) != 0 ? "" : "/";
}

/* Names beside the one file begin with its own, which the location ends with. */
INTERNAL const char *fd_spot_end(const vfs *fs, const char *name) {
  const fd_place *place = CONTAINER_OF(fs, const fd_place, base);
  size_t size = place->name == NULL ? 0 : strlen(place->name);
  return size > 0 && strncmp(name, place->name, size) == 0 ? name + size : name;
}

INTERNAL int fd_fail(const vfs *fs, const char *name, const char *what, int error, bool changing) {
  return status_fail(fd_status(error, changing), FD_SPOT ": cannot %s: %s; %s", FD_SPOT_OF(fs, name), what,
                     strerror(error), fd_remedy(error, changing));
}

INTERNAL int fd_file_fail(const vfs_file *file, const char *what, uint64_t size, uint64_t offset, int error,
                          bool changing) {
  return status_fail(fd_status(error, changing), FD_SPOT ": cannot %s %" PRIu64 " bytes at offset %" PRIu64 ": %s; %s",
                     FD_SPOT_OF(file->fs, fd_file_name(file->fs, file->kind, file->number)), what, size, offset,
                     strerror(error), fd_remedy(error, changing));
}

INTERNAL int fd_place_writable(const vfs *fs, const char *name) {
  if (LIKELY((fs->traits & VFS_READ_ONLY) == 0)) return VARVE_OK;
  return status_fail(VARVE_READONLY, FD_SPOT ": the database is open for reading only", FD_SPOT_OF(fs, name));
}

INTERNAL int fd_file_writable(const fd_file *file) {
  if (LIKELY(file->writable)) return VARVE_OK;
  const vfs_file *base = &file->base;
  return status_fail(VARVE_READONLY, FD_SPOT " is open for reading only",
                     FD_SPOT_OF(base->fs, fd_file_name(base->fs, base->kind, base->number)));
}

/* ---- bytes ---- */

INTERNAL int fd_read_at(vfs_file *file, uint64_t offset, void *data, size_t size, size_t *got) {
  const fd_file *self = fd_file_of(file);
  uint8_t *out = data;
  *got = 0;
  if (offset > FD_OFFSET_MAX || size > FD_OFFSET_MAX - offset) return VARVE_OK; /* no file is that long */
  while (*got < size) {
    size_t want = MIN(size - *got, FD_CHUNK_MAX);
    ssize_t n = pread(self->fd, out + *got, want, (off_t)(offset + *got));
    if (n == 0) return VARVE_OK;
    if (n > 0) {
      ASSERT((size_t)n <= want);
      *got += (size_t)n;
    } else if (errno != EINTR) {
      return fd_file_fail(file, "read", size, offset, errno, false);
    }
  }
  return VARVE_OK;
}

/* An errno value. */
static int fd_write_all(int fd, uint64_t offset, const uint8_t *data, size_t size) {
  while (size > 0) {
    size_t want = MIN(size, FD_CHUNK_MAX);
    ssize_t n = pwrite(fd, data, want, (off_t)offset);
    if (n > 0) {
      ASSERT((size_t)n <= want);
      data += n;
      offset += (uint64_t)n;
      size -= (size_t)n;
    } else if (n == 0) {
      return ENOSPC;
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

INTERNAL int fd_write_at(vfs_file *file, uint64_t offset, const void *data, size_t size) {
  const fd_file *self = fd_file_of(file);
  TRY(fd_file_writable(self));
  bool too_far = offset > FD_OFFSET_MAX || size > FD_OFFSET_MAX - offset;
  int error = too_far ? EFBIG : fd_write_all(self->fd, offset, data, size);
  if (LIKELY(error == 0)) return VARVE_OK;
  return fd_file_fail(file, "write", size, offset, error, true);
}

/* An errno value. */
static int fd_write_zeros(int fd, uint64_t offset, uint64_t size) {
  static uint8_t zeros[FD_ZEROS_SIZE]; /* never written; not const, so that it takes no room in the program's file */
  while (size > 0) {
    size_t part = (size_t)MIN(size, FD_ZEROS_SIZE);
    int error = fd_write_all(fd, offset, zeros, part);
    if (error != 0) return error;
    offset += part;
    size -= part;
  }
  return 0;
}

static int fd_set_size(int fd, uint64_t size) {
  for (;;) {
    if (ftruncate(fd, (off_t)size) == 0) return 0;
    if (errno != EINTR) return errno;
  }
}

INTERNAL int fd_allocate(vfs_file *file, uint64_t size) {
  const fd_file *self = fd_file_of(file);
  uint64_t now = 0;
  TRY(fd_file_writable(self));
  TRY(fd_size(file, &now));
  if (size <= now) return VARVE_OK;
  int error = size > FD_OFFSET_MAX ? EFBIG : fd_os_reserve(self->fd, now, size - now);
  if (error == EOPNOTSUPP) error = fd_write_zeros(self->fd, now, size - now);
  if (error == 0) return VARVE_OK;
  (void)fd_set_size(self->fd, now); /* gives back what was reserved; the failure to report is the first */
  return fd_file_fail(file, "reserve", size - now, now, error, true);
}

INTERNAL int fd_truncate(vfs_file *file, uint64_t size) {
  const fd_file *self = fd_file_of(file);
  uint64_t now = 0;
  TRY(fd_file_writable(self));
  TRY(fd_size(file, &now));
  if (size > now) {
    return status_fail(VARVE_INVALID, FD_SPOT " has %" PRIu64 " bytes and cannot be cut to %" PRIu64,
                       FD_SPOT_OF(file->fs, fd_file_name(file->fs, file->kind, file->number)), now, size);
  }
  int error = fd_set_size(self->fd, size);
  return error == 0 ? VARVE_OK : fd_file_fail(file, "cut off", now - size, size, error, true);
}

INTERNAL int fd_size(vfs_file *file, uint64_t *size) {
  struct stat info;
  *size = 0;
  if (fstat(fd_file_of(file)->fd, &info) != 0) {
    return fd_fail(file->fs, fd_file_name(file->fs, file->kind, file->number), "find the size", errno, false);
  }
  *size = (uint64_t)info.st_size;
  return VARVE_OK;
}

INTERNAL int fd_sync(vfs_file *file) {
  const char *name = fd_file_name(file->fs, file->kind, file->number);
  TRY(fd_place_writable(file->fs, name));
  if (fd_os_sync(fd_file_of(file)->fd) == 0) return VARVE_OK;
  return fd_fail(file->fs, name, "make the bytes durable", errno, true);
}

/* ---- files ---- */

INTERNAL int fd_open(vfs *fs, file_kind kind, uint64_t number, uint32_t flags, vfs_file **file) {
  fd_place *place = fd_place_of(fs);
  const char *name = fd_file_name(fs, kind, number);
  struct stat info;
  int rc = VARVE_OK;
  bool create = (flags & VFS_CREATE) != 0, writable = create || (flags & VFS_WRITE) != 0;
  int os_flags = writable ? O_RDWR : O_RDONLY;
  *file = NULL;
  if (writable) TRY(fd_place_writable(fs, name));
  fd_file *self = MEM_NEW(fs->alloc, fd_file);
  if (self == NULL) return mem_fail(sizeof(*self), name);
  self->fd = fd_os_open(place->dir, name, create ? os_flags | O_CREAT | O_EXCL : os_flags, 0600);
  if (self->fd < 0) STEP(fd_fail(fs, name, create ? "create it" : "open it", errno, writable));
  if (fstat(self->fd, &info) != 0) STEP(fd_fail(fs, name, "open it", errno, false));
  if (!S_ISREG(info.st_mode)) {
    STEP(status_fail(VARVE_IO, FD_SPOT " is not a regular file; move it away", FD_SPOT_OF(fs, name)));
  }
  if (place->name != NULL && !create && place->held && place->file_known &&
      (info.st_dev != place->file_dev || info.st_ino != place->file_ino)) {
    STEP(status_fail(VARVE_IO, "%s was replaced by another file just now; open it again", fs->location));
  }
  if (place->name != NULL && create) STEP(fd_place_identify(place, self->fd));
  if (place->name != NULL && place->held) STEP(fd_os_hold(place, self->fd, writable));
  self->base.ops = fs->ops;
  self->base.fs = fs;
  self->base.kind = kind;
  self->base.number = number;
  self->writable = writable;
  mutex_init(&self->guard);
  *file = &self->base;
out:
  if (rc < 0) {
    if (self->fd >= 0) close(self->fd);
    MEM_DELETE(fs->alloc, self);
  }
  return rc;
}

INTERNAL int fd_close(vfs_file *file) {
  fd_file *self = fd_file_of(file);
  vfs *fs = file->fs;
  const char *name = fd_file_name(fs, file->kind, file->number);
  int rc = VARVE_OK;
  while (self->maps != NULL) {
    fd_map *map = self->maps;
    self->maps = map->next;
    if (fd_os_unmap(map->data, map->size) != 0) ALSO(fd_fail(fs, name, "unmap it", errno, false));
    MEM_DELETE(fs->alloc, map);
  }
  /* Not again after EINTR: the descriptor is gone then, and its number may be somebody else's. */
  if (close(self->fd) != 0 && errno != EINTR) ALSO(fd_fail(fs, name, "close it", errno, self->writable));
  mutex_destroy(&self->guard);
  MEM_DELETE(fs->alloc, self);
  return rc;
}

#undef FD_CHUNK_MAX
#undef FD_ZEROS_SIZE
#undef FD_OFFSET_MAX
