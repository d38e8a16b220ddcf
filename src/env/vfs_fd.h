/* vfs_fd.h: files by descriptor, for the vfs of POSIX systems and of WASI. Only src/env includes it.
 *
 * vfs_fd.c, vfs_fd_path.c and vfs_fd_place.c hold what is the same in both; the fd_os_* functions are what differs, and
 * each of vfs_posix.c and vfs_wasi.c defines them all. A build has one of the two.
 */
#ifndef VARVE_VFS_FD_H
#define VARVE_VFS_FD_H

#include "env/sync.h"
#include "env/vfs.h"

#include <sys/types.h>

typedef struct fd_map {
  struct fd_map *next;
  void *data;
  size_t size;
} fd_map;

typedef struct fd_file {
  vfs_file base;
  int fd;
  bool writable;
  mutex guard; /* maps */
  fd_map *maps;
} fd_file;

/* A directory, or one file in a directory (VFS_ONE_FILE). */
typedef struct fd_place {
  vfs base;
  int dir;          /* the directory, or the one that the file is in */
  bool sync_parent; /* the directory may be new: its name has to be made durable in its parent as well */
  bool held;        /* the lock is ours */
  int lock_fd;      /* LOCK, or -1 */
  int file_fd;      /* the one file, while the kernel's lock on it is ours; else -1 */
  dev_t dev;        /* the directory's identity: how two paths to it are told to be one */
  ino_t ino;
  bool file_known; /* the one file was there when it was last looked for, with this identity */
  dev_t file_dev;
  ino_t file_ino;
  pid_t owner; /* the process that took the lock: a forked child does not own it */
  struct fd_place *next_held;
  size_t location_size;
  char *location;
  const char *name; /* the one file's name, the end of `location`; NULL when the place is a directory */
  const char *lock_name;
  const char *lock_node_name;
  size_t lock_names_size;
  char *lock_names; /* the two above of one file, or NULL */
} fd_place;

static inline fd_place *fd_place_of(vfs *fs) {
  return CONTAINER_OF(fs, fd_place, base);
}
static inline fd_file *fd_file_of(vfs_file *file) {
  return CONTAINER_OF(file, fd_file, base);
}

/* ---- vfs_fd_path.c ---- */

#define FD_PATH_MAX 4096u /* with the NUL: paths that are followed, of databases in one file */

/* Whether a database at `path` is one file: see vfs_posix_open. NOT_DATABASE when it can be neither. */
INTERNAL int fd_path_choose(const char *path, bool *one_file);
/* `path` with the symbolic links of its last component followed: the path itself when that is no link. */
INTERNAL int fd_path_follow(const char *path, char followed[FD_PATH_MAX]);

/* ---- vfs_fd.c and vfs_fd_place.c ---- */

/* A file's name in messages and in its directory: file_name's, but for the one file, which the user named. */
INTERNAL const char *fd_file_name(const vfs *fs, file_kind kind, uint64_t number);
/* The path of a name in the place, for messages: three strings, one after the other. */
#define FD_SPOT               "%s%s%s"
#define FD_SPOT_OF(fs, name_) (fs)->location, fd_spot_join(fs), fd_spot_end(fs, name_)
INTERNAL const char *fd_spot_join(const vfs *fs);
INTERNAL const char *fd_spot_end(const vfs *fs, const char *name);

/* The status that `error` (errno) stands for while reading, or while changing something. */
INTERNAL int fd_status(int error, bool changing);
/* What a user can do about it. */
INTERNAL const char *fd_remedy(int error, bool changing);
/* Fails with "LOCATION/NAME: cannot WHAT: REASON; what to do". */
INTERNAL int fd_fail(const vfs *fs, const char *name, const char *what, int error, bool changing);
/* The same for a file, with the place in it: "cannot write 10 bytes at offset 20". */
INTERNAL int fd_file_fail(const vfs_file *file, const char *what, uint64_t size, uint64_t offset, int error,
                          bool changing);
/* OK, or READONLY when the place (the file) was opened for reading. */
INTERNAL int fd_place_writable(const vfs *fs, const char *name);
INTERNAL int fd_file_writable(const fd_file *file);

/* Opens the directory, or the one file, `path` and makes a place of it; see VFS_PLACE_* and vfs_posix_open. */
INTERNAL int fd_place_open(allocator *alloc, const char *path, uint32_t flags, const vfs_ops *ops, uint32_t traits,
                           fd_place **place);
/* Marks the place as held by this process; false when it is held already, by this vfs or another one. */
INTERNAL bool fd_place_claim(fd_place *place, pid_t self);
/* Takes down the identity of the one file `fd`, which was just made or opened. */
INTERNAL int fd_place_identify(fd_place *place, int fd);
INTERNAL void fd_place_release(fd_place *place);

/* The slots of vfs_ops that need nothing else. */
INTERNAL int fd_open(vfs *fs, file_kind kind, uint64_t number, uint32_t flags, vfs_file **file);
INTERNAL int fd_close(vfs_file *file);
INTERNAL int fd_read_at(vfs_file *file, uint64_t offset, void *data, size_t size, size_t *got);
INTERNAL int fd_write_at(vfs_file *file, uint64_t offset, const void *data, size_t size);
INTERNAL int fd_allocate(vfs_file *file, uint64_t size);
INTERNAL int fd_truncate(vfs_file *file, uint64_t size);
INTERNAL int fd_size(vfs_file *file, uint64_t *size);
INTERNAL int fd_sync(vfs_file *file);
INTERNAL int fd_remove(vfs *fs, file_kind kind, uint64_t number);
INTERNAL int fd_sync_dir(vfs *fs);
INTERNAL int fd_list(vfs *fs, vfs_visit visit, void *context);
INTERNAL int fd_close_fs(vfs *fs);

/* ---- vfs_posix.c or vfs_wasi.c ---- */

/* openat with O_CLOEXEC that never gives descriptor 0, 1 or 2: a stray print must not end up in a database.
 * -1 and errno. */
INTERNAL int fd_os_open(int dir, const char *name, int flags, unsigned mode);
/* Reserves zeroed space and grows the file. An errno value; EOPNOTSUPP asks for zeros to be written instead. */
INTERNAL int fd_os_reserve(int fd, uint64_t offset, uint64_t size);
/* Makes the bytes, and what is needed to find them, durable. 0, or -1 and errno. */
INTERNAL int fd_os_sync(int fd);
/* Takes away a mapping. 0, or -1 and errno. */
INTERNAL int fd_os_unmap(void *data, size_t size);
/* Takes the kernel's lock on the one file of a place that is held, where the kernel has such locks, and keeps it until
 * the place is given back. `fd` is a descriptor of it, and stays the caller's. LOCKED. */
INTERNAL int fd_os_hold(fd_place *place, int fd, bool writable);

/* ---- vfs_posix_lock.c ---- */

INTERNAL int posix_lock(vfs *fs, uint32_t wait_ms);
INTERNAL int posix_unlock(vfs *fs);

#endif
