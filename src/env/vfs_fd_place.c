/* vfs_fd_place.c: a directory by descriptor: what POSIX systems and WASI do alike.
 *
 * Every name is opened relative to the directory's descriptor, so neither a change of the working directory nor a
 * rename of a directory above moves the database.
 *
 * Invariants
 *   1. fd_held lists every place of this process that holds its lock, each directory once.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif
#include "env/vfs_fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the directory ---- */

INTERNAL int fd_remove(vfs *fs, file_kind kind, uint64_t number) {
  char name[FILE_NAME_SIZE_MAX];
  file_name_format(name, kind, number);
  TRY(fd_place_writable(fs, name));
  if (unlinkat(fd_place_of(fs)->dir, name, 0) == 0) return VARVE_OK;
  return fd_fail(fs, name, "remove it", errno, true);
}

/* A directory's names are durable after a sync of the directory, its own name after a sync of its parent. EINVAL is how
 * file systems without such a sync say so; there is nothing more that could be asked of them. */
static int fd_sync_names(vfs *fs, int dir, const char *what) {
  if (fsync(dir) == 0 || errno == EINVAL) return VARVE_OK;
  return fd_fail(fs, "", what, errno, true);
}

INTERNAL int fd_sync_dir(vfs *fs) {
  fd_place *self = fd_place_of(fs);
  TRY(fd_place_writable(fs, ""));
  TRY(fd_sync_names(fs, self->dir, "make the names of files durable"));
  if (!self->sync_parent) return VARVE_OK;
  int parent = fd_os_open(self->dir, "..", O_RDONLY | O_DIRECTORY, 0);
  if (parent >= 0) {
    int rc = fd_sync_names(fs, parent, "make the name of the directory durable");
    close(parent);
    TRY(rc);
  }
  /* A parent that we may not open is nobody's failure: some hosts (WASI) show us the directory alone. */
  self->sync_parent = false;
  return VARVE_OK;
}

typedef struct fd_entry {
  uint64_t number;
  uint64_t size;
  file_kind kind;
} fd_entry;

typedef struct fd_entries {
  fd_entry *data;
  size_t count;
  size_t capacity;
} fd_entries;

static int fd_entry_order(const void *a, const void *b) {
  const fd_entry *left = a, *right = b;
  if (left->kind != right->kind) return left->kind < right->kind ? -1 : 1;
  return (left->number > right->number) - (left->number < right->number);
}

static int fd_entries_add(vfs *fs, fd_entries *entries, const char *name) {
  fd_entry entry;
  struct stat info;
  if (!file_name_parse(name, strlen(name), &entry.kind, &entry.number)) return VARVE_OK;
  if (fstatat(fd_place_of(fs)->dir, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return VARVE_OK; /* removed since */
    return fd_fail(fs, name, "find the size", errno, false);
  }
  if (!S_ISREG(info.st_mode)) return VARVE_OK; /* not ours: open refuses it as well */
  entry.size = (uint64_t)info.st_size;
  if (entries->count == entries->capacity) {
    size_t capacity = entries->capacity == 0 ? 64 : entries->capacity * 2;
    fd_entry *data = mem_resize(fs->alloc, entries->data, entries->capacity * sizeof(entry), capacity * sizeof(entry));
    if (data == NULL) return mem_fail(capacity * sizeof(entry), "the list of files");
    entries->data = data;
    entries->capacity = capacity;
  }
  entries->data[entries->count++] = entry;
  return VARVE_OK;
}

static int fd_entries_read(vfs *fs, fd_entries *entries) {
  int rc = VARVE_OK;
  int fd = fd_os_open(fd_place_of(fs)->dir, ".", O_RDONLY | O_DIRECTORY, 0);
  if (fd < 0) return fd_fail(fs, "", "list the files", errno, false);
  DIR *dir = fdopendir(fd);
  if (dir == NULL) {
    rc = fd_fail(fs, "", "list the files", errno, false);
    close(fd);
    return rc;
  }
  for (;;) {
    errno = 0;
    const struct dirent *entry = readdir(dir);
    if (entry == NULL && errno != 0) STEP(fd_fail(fs, "", "list the files", errno, false));
    if (entry == NULL) break;
    STEP(fd_entries_add(fs, entries, entry->d_name));
  }
out:
  closedir(dir);
  return rc;
}

/* All names are read before the first visit, so `visit` may open and remove files. */
INTERNAL int fd_list(vfs *fs, vfs_visit visit, void *context) {
  fd_entries entries = {NULL, 0, 0};
  int rc = VARVE_OK;
  STEP(fd_entries_read(fs, &entries));
  if (entries.count > 0) qsort(entries.data, entries.count, sizeof(*entries.data), fd_entry_order);
  for (size_t i = 0; i < entries.count && rc == 0; i++) {
    rc = visit(context, entries.data[i].kind, entries.data[i].number, entries.data[i].size);
  }
out:
  mem_free(fs->alloc, entries.data, entries.capacity * sizeof(*entries.data));
  return rc;
}

/* ---- the place ---- */

/* Whether the directory holds names that are not ours. */
static int fd_find_foreign(vfs *fs, bool *found) {
  int rc = VARVE_OK;
  file_kind kind;
  uint64_t number;
  *found = false;
  int fd = fd_os_open(fd_place_of(fs)->dir, ".", O_RDONLY | O_DIRECTORY, 0);
  DIR *dir = fd < 0 ? NULL : fdopendir(fd);
  if (dir == NULL) {
    rc = fd_fail(fs, "", "list the files", errno, false);
    if (fd >= 0) close(fd);
    return rc;
  }
  while (!*found) {
    errno = 0;
    const struct dirent *entry = readdir(dir);
    if (entry == NULL && errno != 0) STEP(fd_fail(fs, "", "list the files", errno, false));
    if (entry == NULL) break;
    const char *name = entry->d_name;
    bool ours = strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "LOCK") == 0 ||
                strncmp(name, "LOCK.node", 9) == 0 || file_name_parse(name, strlen(name), &kind, &number);
    *found = !ours;
  }
out:
  closedir(dir);
  return rc;
}

/* Opens the directory, and makes it first when asked to. */
static int fd_open_dir(const char *path, uint32_t flags, bool *created, int *dir) {
  bool create = (flags & VFS_PLACE_CREATE) != 0 && (flags & VFS_PLACE_READ_ONLY) == 0;
  *created = false;
  for (int tries = 0;; tries++) {
    *dir = fd_os_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
    if (*dir >= 0) return VARVE_OK;
    int error = errno;
    if (error == ENOTDIR) {
      return status_fail(VARVE_NOT_DATABASE, "%s is not a directory, and so not a database; give another path", path);
    }
    if (error != ENOENT) {
      return status_fail(fd_status(error, false), "%s: cannot open the directory: %s; %s", path, strerror(error),
                         fd_remedy(error, false));
    }
    if (!create || tries == 2) { /* a symbolic link to nowhere exists for mkdir and is missing for open */
      return status_fail(VARVE_MISSING, "there is no database at %s; check the path, or let open create it", path);
    }
    if (mkdir(path, 0700) == 0) {
      *created = true;
    } else if (errno == ENOENT) {
      return status_fail(VARVE_MISSING, "%s: the directory above it does not exist; create that first", path);
    } else if (errno != EEXIST) {
      return status_fail(fd_status(errno, true), "%s: cannot create the directory: %s; %s", path, strerror(errno),
                         fd_remedy(errno, true));
    }
  }
}

INTERNAL int fd_place_open(allocator *alloc, const char *path, uint32_t flags, const vfs_ops *ops, uint32_t traits,
                           fd_place **place) {
  struct stat info;
  bool created = false;
  int rc = VARVE_OK;
  *place = NULL;
  ASSERT(path != NULL && ops->version == 1);
  fd_place *self = MEM_NEW(alloc, fd_place);
  if (self == NULL) return mem_fail(sizeof(*self), path);
  self->dir = -1;
  self->lock_fd = -1;
  self->location_size = strlen(path) + 1;
  self->location = mem_alloc(alloc, self->location_size);
  if (self->location == NULL) STEP(mem_fail(self->location_size, path));
  memcpy(self->location, path, self->location_size);
  STEP(fd_open_dir(path, flags, &created, &self->dir));
  self->base.ops = ops;
  self->base.alloc = alloc;
  self->base.traits = (flags & VFS_PLACE_READ_ONLY) != 0 ? traits | VFS_READ_ONLY : traits;
  self->base.location = self->location;
  if (fstat(self->dir, &info) != 0) STEP(fd_fail(&self->base, "", "open the directory", errno, false));
  self->dev = info.st_dev;
  self->ino = info.st_ino;
  /* A directory without SUPER may have been made by a process that died before it made the name durable. */
  self->sync_parent = created || fstatat(self->dir, "SUPER", &info, AT_SYMLINK_NOFOLLOW) != 0;
  /* Beside a SUPER nobody asks: the directory is a database's, and may be a large one. */
  if (self->sync_parent && !created) STEP(fd_find_foreign(&self->base, &self->base.foreign));
  *place = self;
out:
  if (rc < 0) {
    if (self->dir >= 0) close(self->dir);
    mem_free(alloc, self->location, self->location_size);
    MEM_DELETE(alloc, self);
  }
  return rc;
}

INTERNAL int fd_close_fs(vfs *fs) {
  fd_place *self = fd_place_of(fs);
  allocator *alloc = fs->alloc;
  int rc = VARVE_OK;
  if (self->held) ALSO(vfs_unlock(fs));
  ASSERT(self->lock_fd < 0);
  if (close(self->dir) != 0 && errno != EINTR) ALSO(fd_fail(fs, "", "close the directory", errno, false));
  mem_free(alloc, self->location, self->location_size);
  MEM_DELETE(alloc, self);
  return rc;
}

/* ---- one holder within the process ---- */

/* A spin lock, because it must work before anybody could have initialised a mutex; it is held for a few loads. */
static atomic_flag fd_held_guard = ATOMIC_FLAG_INIT;
static fd_place *fd_held;

static void fd_held_lock(void) {
  while (atomic_flag_test_and_set_explicit(&fd_held_guard, memory_order_acquire)) thread_yield();
}

static void fd_held_unlock(void) {
  atomic_flag_clear_explicit(&fd_held_guard, memory_order_release);
}

INTERNAL bool fd_place_claim(fd_place *place, pid_t self) {
  bool free_to_take = true;
  fd_held_lock();
  /* What a parent held before fork is not ours: the kernel's lock decides about that. */
  for (const fd_place *p = fd_held; p != NULL; p = p->next_held) {
    if (p->dev == place->dev && p->ino == place->ino && p->owner == self) free_to_take = false;
  }
  if (free_to_take) {
    ASSERT(!place->held);
    place->held = true;
    place->owner = self;
    place->next_held = fd_held;
    fd_held = place;
  }
  fd_held_unlock();
  return free_to_take;
}

INTERNAL void fd_place_release(fd_place *place) {
  fd_held_lock();
  ASSERT(place->held);
  fd_place **at = &fd_held;
  while (*at != place) {
    ASSERT(*at != NULL);
    at = &(*at)->next_held;
  }
  *at = place->next_held;
  place->next_held = NULL;
  place->held = false;
  fd_held_unlock();
}
