/* vfs_fd_place.c: a directory by descriptor, or one file in a directory: what POSIX systems and WASI do alike.
 *
 * Every name is opened relative to the directory's descriptor, so neither a change of the working directory nor a
 * rename of a directory above moves the database.
 *
 * Within the process a directory is told by its identity. One file is told by its directory and name, under which two
 * that are about to make it meet, and by its own identity, under which two links to it do.
 *
 * Invariants
 *   1. fd_held lists every place of this process that holds its lock, each directory and each file once.
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
  const char *name = fd_file_name(fs, kind, number);
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

static int fd_list_one(vfs *fs, vfs_visit visit, void *context) {
  const fd_place *self = fd_place_of(fs);
  struct stat info;
  if (fstatat(self->dir, self->name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno == ENOENT ? VARVE_OK : fd_fail(fs, self->name, "find the size", errno, false);
  }
  return visit(context, FILE_SINGLE, 0, (uint64_t)info.st_size);
}

/* All names are read before the first visit, so `visit` may open and remove files. */
INTERNAL int fd_list(vfs *fs, vfs_visit visit, void *context) {
  fd_entries entries = {NULL, 0, 0};
  int rc = VARVE_OK;
  if ((fs->traits & VFS_ONE_FILE) != 0) return fd_list_one(fs, visit, context);
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

/* The directory as a place; base and location are set. */
static int fd_place_of_dir(fd_place *self, uint32_t flags) {
  struct stat info;
  bool created = false;
  TRY(fd_open_dir(self->location, flags, &created, &self->dir));
  if (fstat(self->dir, &info) != 0) return fd_fail(&self->base, "", "open the directory", errno, false);
  self->dev = info.st_dev;
  self->ino = info.st_ino;
  self->lock_name = "LOCK";
  self->lock_node_name = "LOCK.node";
  /* A directory without SUPER may have been made by a process that died before it made the name durable. */
  self->sync_parent = created || fstatat(self->dir, "SUPER", &info, AT_SYMLINK_NOFOLLOW) != 0;
  /* Beside a SUPER nobody asks: the directory is a database's, and may be a large one. */
  return self->sync_parent && !created ? fd_find_foreign(&self->base, &self->base.foreign) : VARVE_OK;
}

/* Opens the directory that the one file is in. */
static int fd_open_above(fd_place *self) {
  char above[FD_PATH_MAX] = ".";
  size_t size = (size_t)(self->name - self->location);
  ASSERT(size < FD_PATH_MAX);
  if (size > 0) {
    memcpy(above, self->location, size); /* with the slash: "/app.varve" is in "/" */
    above[size] = '\0';
  }
  self->dir = fd_os_open(AT_FDCWD, above, O_RDONLY | O_DIRECTORY, 0);
  if (self->dir >= 0) return VARVE_OK;
  if (errno == ENOENT) {
    return status_fail(VARVE_MISSING, "%s: the directory above it does not exist; create that first", self->location);
  }
  if (errno == ENOTDIR) {
    return status_fail(VARVE_NOT_DATABASE, "%s: what is above it is not a directory; give another path",
                       self->location);
  }
  return status_fail(fd_status(errno, false), "%s: cannot open the directory above it: %s; %s", self->location,
                     strerror(errno), fd_remedy(errno, false));
}

static int fd_name_locks(fd_place *self) {
  static const char lock[] = "-lock", node[] = "-lock.node";
  size_t size = strlen(self->name);
  size_t total = 2 * size + sizeof(lock) + sizeof(node);
  self->lock_names = mem_alloc(self->base.alloc, total);
  if (self->lock_names == NULL) return mem_fail(total, self->name);
  self->lock_names_size = total;
  char *second = self->lock_names + size + sizeof(lock);
  memcpy(self->lock_names, self->name, size);
  memcpy(self->lock_names + size, lock, sizeof(lock));
  memcpy(second, self->name, size);
  memcpy(second + size, node, sizeof(node));
  self->lock_name = self->lock_names;
  self->lock_node_name = second;
  return VARVE_OK;
}

/* The file as a place; base and location are set. It is not opened yet, and not made. */
static int fd_place_of_file(fd_place *self, uint32_t flags) {
  struct stat info;
  bool create = (flags & VFS_PLACE_CREATE) != 0 && (flags & VFS_PLACE_READ_ONLY) == 0;
  const char *slash = strrchr(self->location, '/');
  self->name = slash == NULL ? self->location : slash + 1;
  self->base.traits |= VFS_ONE_FILE;
  TRY(fd_open_above(self));
  TRY(fd_name_locks(self));
  if (fstat(self->dir, &info) != 0) return fd_fail(&self->base, self->name, "open it", errno, false);
  self->dev = info.st_dev;
  self->ino = info.st_ino;
  if (fstatat(self->dir, self->name, &info, AT_SYMLINK_NOFOLLOW) == 0) return VARVE_OK;
  if (errno != ENOENT) return fd_fail(&self->base, self->name, "open it", errno, false);
  if (create) return VARVE_OK;
  return status_fail(VARVE_MISSING, "there is no database at %s; check the path, or let open create it",
                     self->location);
}

static int fd_set_location(fd_place *self, const char *path) {
  self->location_size = strlen(path) + 1;
  self->location = mem_alloc(self->base.alloc, self->location_size);
  if (self->location == NULL) return mem_fail(self->location_size, path);
  memcpy(self->location, path, self->location_size);
  self->base.location = self->location;
  return VARVE_OK;
}

/* The same path, or what the link leads to. */
static int fd_set_followed(fd_place *self, const char *path) {
  char followed[FD_PATH_MAX];
  TRY(fd_path_follow(path, followed));
  return fd_set_location(self, followed);
}

static void fd_place_free(fd_place *self) {
  allocator *alloc = self->base.alloc;
  mem_free(alloc, self->lock_names, self->lock_names_size);
  mem_free(alloc, self->location, self->location_size);
  MEM_DELETE(alloc, self);
}

INTERNAL int fd_place_open(allocator *alloc, const char *path, uint32_t flags, const vfs_ops *ops, uint32_t traits,
                           fd_place **place) {
  bool one_file = false;
  int rc = VARVE_OK;
  *place = NULL;
  ASSERT(path != NULL && ops->version == 1);
  TRY(fd_path_choose(path, &one_file));
  fd_place *self = MEM_NEW(alloc, fd_place);
  if (self == NULL) return mem_fail(sizeof(*self), path);
  self->dir = -1;
  self->lock_fd = -1;
  self->file_fd = -1;
  self->base.ops = ops;
  self->base.alloc = alloc;
  self->base.traits = (flags & VFS_PLACE_READ_ONLY) != 0 ? traits | VFS_READ_ONLY : traits;
  STEP(one_file ? fd_set_followed(self, path) : fd_set_location(self, path));
  STEP(one_file ? fd_place_of_file(self, flags) : fd_place_of_dir(self, flags));
  *place = self;
out:
  if (rc < 0) {
    if (self->dir >= 0) close(self->dir);
    fd_place_free(self);
  }
  return rc;
}

INTERNAL int fd_close_fs(vfs *fs) {
  fd_place *self = fd_place_of(fs);
  int rc = VARVE_OK;
  if (self->held) ALSO(vfs_unlock(fs));
  ASSERT(self->lock_fd < 0 && self->file_fd < 0);
  if (close(self->dir) != 0 && errno != EINTR) ALSO(fd_fail(fs, "", "close the directory", errno, false));
  fd_place_free(self);
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

static bool fd_same_place(const fd_place *a, const fd_place *b) {
  bool named_alike = a->name == NULL || b->name == NULL ? a->name == b->name : strcmp(a->name, b->name) == 0;
  if (a->dev == b->dev && a->ino == b->ino && named_alike) return true;
  return a->file_known && b->file_known && a->file_dev == b->file_dev && a->file_ino == b->file_ino;
}

static void fd_place_know(fd_place *place, bool known, const struct stat *info) {
  fd_held_lock();
  place->file_known = known;
  place->file_dev = known ? info->st_dev : 0;
  place->file_ino = known ? info->st_ino : 0;
  fd_held_unlock();
}

INTERNAL int fd_place_identify(fd_place *place, int fd) {
  struct stat info;
  ASSERT(place->name != NULL && fd >= 0);
  if (fstat(fd, &info) != 0) return fd_fail(&place->base, place->name, "open it", errno, false);
  fd_place_know(place, true, &info);
  return VARVE_OK;
}

INTERNAL bool fd_place_claim(fd_place *place, pid_t self) {
  bool free_to_take = true;
  struct stat info;
  if (place->name != NULL) {
    fd_place_know(place, fstatat(place->dir, place->name, &info, AT_SYMLINK_NOFOLLOW) == 0, &info);
  }
  fd_held_lock();
  /* What a parent held before fork is not ours: the kernel's lock decides about that. */
  for (const fd_place *p = fd_held; p != NULL; p = p->next_held) {
    if (p->owner == self && fd_same_place(p, place)) free_to_take = false;
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
