/* vfs_posix_lock.c: one owner of a place at a time: between the threads of a process, between native processes, and
 * between native processes and Node, which cannot take a lock of the kernel.
 *
 * Native processes exclude each other by a lock of the kernel on the file LOCK (open file description lock, write,
 * whole file), which dies with its holder. Node excludes others by the existence of the file LOCK.node. So that the two
 * kinds see each other, each publishes a claim that the other one can check:
 *
 *     LOCK        a native holder writes one line into it after it has the kernel's lock, and truncates the file to 0
 *                 bytes before it gives the lock back. The file itself is never removed.
 *     LOCK.node   Node makes it (by link, else with O_EXCL) with that line in it, and removes it at the end.
 *     the line    "<pid> <start>\n", both decimal. <start> is field 22 of /proc/<pid>/stat (the 20th after the
 *                 last ")"), 0 where there is no /proc. In LOCK.node a second line "<thread>\n" may follow: the id of
 *                 the worker's thread, which may be terminated while its process lives on.
 *
 * A claim is alive when a process <pid> exists that is no zombie (state Z or X, with one thread) and, if <start> is
 * not 0 and the start of that process can be read, has this start and, if one is named, this thread. An empty LOCK is
 * no claim. An empty LOCK.node is a claim about to be written: it is read again for up to 20 ms, and is dead when it
 * still says nothing.
 *
 * Each side publishes first and checks the other's claim second, so of two that start together at least one sees the
 * other:
 *
 *     native   1. kernel's lock on LOCK; held by another: LOCKED       2. writes its line into LOCK
 *              3. reads LOCK.node: alive: truncates LOCK, gives the lock back, LOCKED
 *                 dead: removes LOCK.node                              4. owns the directory
 *     Node     1. creates LOCK.node; exists and is alive: LOCKED; exists and is dead: removes it and tries again
 *              2. reads LOCK: alive: tries again for 50 ms, then removes LOCK.node, LOCKED
 *              3. owns the directory
 *
 * When both collide the native one backs off in its step 3, and Node finds LOCK empty within its 50 ms.
 *
 * One file, app.varve, has app.varve-lock and app.varve-lock.node beside it in the places of LOCK and LOCK.node, with
 * this difference: a native holder removes app.varve-lock at the end, so that a database that nobody has open is one
 * file. So whoever got the kernel's lock on app.varve-lock looks whether that is still the file of this name, and
 * begins again when it is not. And a native process takes the kernel's lock on app.varve itself as well, where locks
 * belong to open files (OFD locks; closing another descriptor drops those of the other kind): it is the lock that other
 * paths to the file meet, hard links and a name that changed while the file was open. Node has no such lock: a hard
 * link opened natively and the file opened in Node do not see each other, nor do two processes of Node.
 *
 * A read-only place whose directory or LOCK cannot be written takes a shared lock on the LOCK that is there, publishes
 * nothing, and goes on without a lock when there is none: nobody could own such a directory for writing.
 *
 * Limits: a claim says nothing across machines or across process-id namespaces (containers); the kernel's lock between
 * native processes works across the latter. A child made by fork does not own its parent's database.
 *
 * Invariants
 *   1. A place that is held is in the registry of vfs_fd.c; it has lock_fd >= 0 unless it goes without a lock.
 *   2. LOCK has a line only while its writer has the kernel's lock, or died with it.
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
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_LINE_SIZE_MAX 64u
#define LOCK_PATH_SIZE_MAX 64u
#define LOCK_EMPTY_WAIT_MS 20u
#define LOCK_PAUSE_MAX_MS  50u
#define LOCK_TRIES_MAX     16

#if defined(F_OFD_SETLK)
#define LOCK_COMMAND F_OFD_SETLK
#else
#define LOCK_COMMAND F_SETLK /* bound to the process: the registry keeps a second descriptor from dropping it */
#endif

typedef struct lock_claim {
  uint64_t pid; /* 0 = none */
  uint64_t start;
  uint64_t thread; /* 0 = none named */
} lock_claim;

/* ---- claims ---- */

/* Reads decimal digits at *at, at most 18 of them. */
static bool lock_parse_number(const char **at, uint64_t *n) {
  const char *begin = *at;
  *n = 0;
  while (**at >= '0' && **at <= '9' && *at - begin < 18) *n = *n * 10 + (uint64_t)(*(*at)++ - '0');
  return *at != begin;
}

/* What a small file says, as a string: at most `room` - 1 bytes. -1 and errno. */
static ssize_t lock_read_text(int fd, char *text, size_t room) {
  ssize_t n;
  do n = pread(fd, text, room - 1, 0);
  while (n < 0 && errno == EINTR);
  text[n < 0 ? 0 : n] = '\0';
  return n;
}

/* A line that is not complete, or breaks the format, is no claim. */
static lock_claim lock_read_claim(int fd) {
  static const lock_claim none = {0, 0, 0};
  char line[LOCK_LINE_SIZE_MAX];
  lock_claim claim = none;
  const char *at = line;
  if (lock_read_text(fd, line, sizeof(line)) <= 0) return none;
  if (!lock_parse_number(&at, &claim.pid) || *at++ != ' ') return none;
  if (!lock_parse_number(&at, &claim.start) || *at++ != '\n') return none;
  if (!lock_parse_number(&at, &claim.thread) || *at != '\n') claim.thread = 0;
  return claim;
}

/* Field 22 of /proc/<pid>/stat, and its state; false where it cannot be read. The name in field 2 may hold anything,
 * ")" and blanks as well, so fields are counted from the last ")". */
static bool lock_process_start(uint64_t pid, uint64_t *start, char *state) {
  char path[LOCK_PATH_SIZE_MAX], text[1024];
  snprintf(path, sizeof(path), "/proc/%llu/stat", (unsigned long long)pid);
  int fd = fd_os_open(AT_FDCWD, path, O_RDONLY, 0);
  if (fd < 0) return false;
  ssize_t n = lock_read_text(fd, text, sizeof(text));
  close(fd);
  const char *at = n <= 0 ? NULL : strrchr(text, ')');
  if (at == NULL || at[1] != ' ') return false;
  at += 2;
  *state = *at;
  for (int field = 3; field < 22; field++) {
    at = strchr(at, ' ');
    if (at == NULL) return false;
    at++;
    if (field == 19 && strncmp(at, "1 ", 2) != 0) *state = 'D'; /* threads: see lock_claim_alive */
  }
  return lock_parse_number(&at, start);
}

/* A process that was killed is a zombie as soon as its first thread is gone. The others may still be in the middle of a
 * write, so until they have ended the claim holds: lock_process_start gives no state of Z then. */
static bool lock_claim_alive(lock_claim claim) {
  uint64_t start = 0;
  char state = '?';
  if (claim.pid == 0 || claim.pid > INT32_MAX) return false;
  if (kill((pid_t)claim.pid, 0) != 0 && errno == ESRCH) return false;
  if (!lock_process_start(claim.pid, &start, &state)) return true;
  if (state == 'Z' || state == 'X') return false;
  if (claim.start != 0 && claim.start != start) return false;
  if (claim.thread == 0) return true;
  char path[LOCK_PATH_SIZE_MAX];
  snprintf(path, sizeof(path), "/proc/%llu/task/%llu", (unsigned long long)claim.pid, (unsigned long long)claim.thread);
  return access(path, F_OK) == 0;
}

static void lock_pause_ms(uint32_t ms) {
  struct timespec span = {ms / 1000, (long)(ms % 1000) * 1000000};
  nanosleep(&span, NULL);
}

/* ---- LOCK ---- */

/* Takes or frees nothing but asks once. An errno value. */
static int lock_take_kernel(int fd, bool shared) {
  struct flock whole;
  memset(&whole, 0, sizeof(whole)); /* l_pid must be 0, l_len 0 is the whole file */
  whole.l_type = shared ? F_RDLCK : F_WRLCK;
  whole.l_whence = SEEK_SET;
  for (;;) {
    if (fcntl(fd, LOCK_COMMAND, &whole) == 0) return 0;
    if (errno != EINTR) return errno;
  }
}

/* Closing a descriptor frees the lock only when no child made by fork has the same open file. */
static void lock_free_kernel(int fd) {
  struct flock whole;
  memset(&whole, 0, sizeof(whole));
  whole.l_type = F_UNLCK;
  whole.l_whence = SEEK_SET;
  int rc = fcntl(fd, LOCK_COMMAND, &whole);
  (void)rc; /* there is nothing else to try */
}

/* Writes first and cuts after: a reader in between finds one whole line and leftovers behind it. An errno value. */
static int lock_publish(int fd) {
  char line[LOCK_LINE_SIZE_MAX];
  uint64_t start = 0;
  char state;
  if (!lock_process_start((uint64_t)getpid(), &start, &state)) start = 0;
  int length = snprintf(line, sizeof(line), "%lld %llu\n", (long long)getpid(), (unsigned long long)start);
  ASSERT(length > 0 && (unsigned)length < sizeof(line));
  ssize_t n;
  do n = pwrite(fd, line, (size_t)length, 0);
  while (n < 0 && errno == EINTR);
  if (n < 0) return errno;
  if (n != length) return ENOSPC;
  return ftruncate(fd, length) == 0 ? 0 : errno;
}

static int lock_held_by(const vfs *fs, uint64_t pid, const char *what) {
  if (pid == 0) {
    return status_fail(VARVE_LOCKED,
                       "database %s is open in another process; close it there, or open with lock_wait_ms",
                       fs->location);
  }
  return status_fail(VARVE_LOCKED, "database %s is open in process %llu%s; close it there, or open with lock_wait_ms",
                     fs->location, (unsigned long long)pid, what);
}

/* Who has the kernel's lock on `fd`; 0 when it does not say. Between taking the lock and writing its line a holder lets
 * the line of a dead one stand, or none: both are read again for a while. */
static uint64_t lock_read_holder(int fd) {
  for (uint32_t waited = 0;; waited++) {
    lock_claim claim = lock_read_claim(fd);
    if (lock_claim_alive(claim)) return claim.pid;
    if (waited == LOCK_EMPTY_WAIT_MS) return 0;
    lock_pause_ms(1);
  }
}

/* Opens LOCK; *fd = -1 when a read-only place has to go without. `shared` says that it can only be read. */
static int lock_open_file(fd_place *self, int *fd, bool *shared) {
  const vfs *fs = &self->base;
  bool read_only = (fs->traits & VFS_READ_ONLY) != 0;
  *shared = false;
  *fd = fd_os_open(self->dir, self->lock_name, O_RDWR | O_CREAT, 0600);
  if (*fd >= 0) return VARVE_OK;
  int error = errno;
  bool denied = error == EACCES || error == EPERM || error == EROFS;
  if (!read_only || !denied) return fd_fail(fs, self->lock_name, "open it", error, true);
  *fd = fd_os_open(self->dir, self->lock_name, O_RDONLY, 0);
  *shared = *fd >= 0;
  if (*fd >= 0 || errno == ENOENT || errno == EACCES || errno == EPERM) return VARVE_OK;
  return fd_fail(fs, self->lock_name, "open it", errno, false);
}

/* ---- LOCK.node ---- */

/* The process that LOCK.node names, if it lives; 0 and no such file (any more) otherwise. */
static int lock_check_node(fd_place *self, uint64_t *holder) {
  const vfs *fs = &self->base;
  lock_claim claim = {0, 0, 0};
  *holder = 0;
  for (uint32_t waited = 0;; waited++) {
    int fd = fd_os_open(self->dir, self->lock_node_name, O_RDONLY, 0);
    if (fd < 0 && errno == ENOENT) return VARVE_OK;
    if (fd < 0) return fd_fail(fs, self->lock_node_name, "read it", errno, false);
    claim = lock_read_claim(fd);
    close(fd);
    if (claim.pid != 0 || waited == LOCK_EMPTY_WAIT_MS) break;
    lock_pause_ms(1);
  }
  if (lock_claim_alive(claim)) {
    *holder = claim.pid;
    return VARVE_OK;
  }
  if (unlinkat(self->dir, self->lock_node_name, 0) == 0 || errno == ENOENT) return VARVE_OK;
  if ((fs->traits & VFS_READ_ONLY) != 0) return VARVE_OK; /* it is dead all the same */
  return fd_fail(fs, self->lock_node_name, "remove what a dead process left", errno, true);
}

/* ---- taking and giving back ---- */

/* Whether the lock file still has its name: the holder before us may have removed it. A directory's LOCK stays. */
static bool lock_is_named(const fd_place *self, int fd) {
  struct stat ours, named;
  if (self->name == NULL) return true;
  if (fstat(fd, &ours) != 0 || fstatat(self->dir, self->lock_name, &named, AT_SYMLINK_NOFOLLOW) != 0) return false;
  return ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

/* Opens the lock file and takes the kernel's lock on it; see lock_open_file. */
static int lock_take_file(fd_place *self, int *fd, bool *shared) {
  const vfs *fs = &self->base;
  for (int tries = 0;; tries++) {
    int rc = VARVE_OK;
    TRY(lock_open_file(self, fd, shared));
    if (*fd < 0) return VARVE_OK;
    int error = lock_take_kernel(*fd, *shared);
    if (error == 0 && lock_is_named(self, *fd)) return VARVE_OK;
    if (error == EAGAIN || error == EACCES) {
      rc = lock_held_by(fs, lock_read_holder(*fd), "");
    } else if (error != 0) {
      rc = fd_fail(fs, self->lock_name, "lock it", error, false);
    } else if (tries == LOCK_TRIES_MAX) {
      rc = lock_held_by(fs, 0, "");
    }
    close(*fd);
    *fd = -1;
    if (rc < 0) return rc;
  }
}

#if defined(F_OFD_SETLK)

INTERNAL int fd_os_hold(fd_place *place, int fd, bool writable) {
  ASSERT(place->name != NULL && place->held);
  if (place->file_fd >= 0) return VARVE_OK;
  int own = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1); /* one open file with `fd`, and so one lock */
  if (own < 0) return fd_fail(&place->base, place->name, "lock it", errno, false);
  int error = lock_take_kernel(own, !writable);
  place->file_fd = own; /* where the file system has no locks, the lock file has to do */
  if (error != EAGAIN && error != EACCES) return VARVE_OK;
  close(own);
  place->file_fd = -1;
  return status_fail(VARVE_LOCKED,
                     "database %s is open in another process, by another path to the file; close it there, or open "
                     "with lock_wait_ms",
                     place->base.location);
}

/* The lock on the file itself, if there is one yet. */
static int lock_take_itself(fd_place *self) {
  bool writable = (self->base.traits & VFS_READ_ONLY) == 0;
  if (self->name == NULL) return VARVE_OK;
  int fd = fd_os_open(self->dir, self->name, writable ? O_RDWR : O_RDONLY, 0);
  if (fd < 0) return errno == ENOENT ? VARVE_OK : fd_fail(&self->base, self->name, "open it", errno, writable);
  int rc = fd_os_hold(self, fd, writable);
  close(fd);
  return rc;
}

#else

INTERNAL int fd_os_hold(fd_place *place, int fd, bool writable) {
  (void)writable; /* a lock of the process is gone with the first descriptor that is closed */
  ASSERT(place->name != NULL && fd >= 0);
  return VARVE_OK;
}

static int lock_take_itself(fd_place *self) {
  ASSERT(self->file_fd < 0);
  return VARVE_OK;
}

#endif

/* Takes the claim away, and the lock file of one file with it. An errno value. */
static int lock_withdraw(const fd_place *self, int fd) {
  int error = ftruncate(fd, 0) == 0 ? 0 : errno;
  if (self->name != NULL && lock_is_named(self, fd) && unlinkat(self->dir, self->lock_name, 0) == 0) return 0;
  return error;
}

/* One attempt; the registry has the place already. */
static int lock_attempt(fd_place *self) {
  const vfs *fs = &self->base;
  bool shared = false, published = false;
  uint64_t node = 0;
  int fd = -1, rc = VARVE_OK;
  ASSERT(self->held && self->lock_fd < 0 && self->file_fd < 0);
  TRY(lock_take_file(self, &fd, &shared));
  if (fd >= 0 && !shared) {
    int error = lock_publish(fd);
    published = true;                                   /* in part, perhaps */
    bool read_only = (fs->traits & VFS_READ_ONLY) != 0; /* may read on a full disk: Node alone cannot see it then */
    if (error != 0 && !read_only) STEP(fd_fail(fs, self->lock_name, "write the process's id", error, true));
  }
  STEP(lock_check_node(self, &node));
  if (node != 0) STEP(lock_held_by(fs, node, " (Node.js)"));
  STEP(lock_take_itself(self));
  self->lock_fd = fd;
out:
  if (rc < 0 && fd >= 0) {
    if (published) (void)lock_withdraw(self, fd); /* the first failure is the one to report */
    close(fd);
  }
  return rc;
}

INTERNAL int posix_lock(vfs *fs, uint32_t wait_ms) {
  fd_place *self = fd_place_of(fs);
  pid_t pid = getpid();
  uint32_t waited = 0, pause = 1;
  for (;;) {
    int rc = VARVE_OK;
    if (fd_place_claim(self, pid)) {
      rc = lock_attempt(self);
      if (rc < 0) fd_place_release(self);
    } else {
      rc = status_fail(VARVE_LOCKED, "database %s is open in this process (%lld) already; close it first", fs->location,
                       (long long)pid);
    }
    if (rc != VARVE_LOCKED || waited >= wait_ms) return rc;
    pause = MIN(MIN(pause, wait_ms - waited), LOCK_PAUSE_MAX_MS);
    lock_pause_ms(pause);
    waited += pause;
    pause *= 2;
  }
}

INTERNAL int posix_unlock(vfs *fs) {
  fd_place *self = fd_place_of(fs);
  int rc = VARVE_OK;
  ASSERT(self->held);
  int fd = self->lock_fd;
  bool ours = self->owner == getpid();
  self->lock_fd = -1;
  if (self->file_fd >= 0) {
    if (ours) lock_free_kernel(self->file_fd);
    close(self->file_fd);
  }
  self->file_fd = -1;
  if (fd >= 0) {
    int mode = fcntl(fd, F_GETFL);
    bool wrote = mode >= 0 && (mode & O_ACCMODE) == O_RDWR;
    int error = ours && wrote ? lock_withdraw(self, fd) : 0;
    if (error != 0) ALSO(fd_fail(fs, self->lock_name, "clear it", error, true));
    if (ours) lock_free_kernel(fd); /* a child must not: it has its parent's */
    close(fd);
  }
  fd_place_release(self);
  return rc;
}

#undef LOCK_LINE_SIZE_MAX
#undef LOCK_PATH_SIZE_MAX
#undef LOCK_TRIES_MAX
#undef LOCK_EMPTY_WAIT_MS
#undef LOCK_PAUSE_MAX_MS
#undef LOCK_COMMAND
