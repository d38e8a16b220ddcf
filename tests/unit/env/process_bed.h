/* process_bed.h: what the tests of places do with other processes. A test defines `scene` with `alloc` and `path`
 * before it includes this.
 */
#ifndef VARVE_PROCESS_BED_H
#define VARVE_PROCESS_BED_H

/* What a child does, and how it says that it is ready. */
typedef struct child_work {
  scene *s;
  const char *path;
  bool lock;
  uint32_t ms;
  int ready;
} child_work;

static inline void child_is_ready(const child_work *w) {
  if (write(w->ready, "r", 1) != 1) _exit(1);
}

/* A child that does `run`, which says when it is ready: this waits for that. */
static inline pid_t child_run(child_work w, void (*run)(const child_work *w)) {
  int ready[2];
  char byte = 0;
  assert_int_equal(pipe(ready), 0);
  fflush(NULL);
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    w.ready = ready[1];
    run(&w);
    _exit(0);
  }
  close(ready[1]);
  assert_int_equal(read(ready[0], &byte, 1), 1);
  close(ready[0]);
  return pid;
}

static inline void child_kill(pid_t pid) {
  assert_int_equal(kill(pid, SIGKILL), 0);
  assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* The status of opening and locking the place; as nobody when this is root, whom no permission stops. A reader opens
 * the file (kind, number) as well. */
static inline int try_as_nobody(scene *s, uint32_t flags, file_kind kind, uint64_t number) {
  int status = 0;
  fflush(NULL);
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    vfs *fs;
    vfs_file *file;
    if (geteuid() == 0 && (setegid(65534) != 0 || seteuid(65534) != 0)) _exit(99);
    int rc = vfs_posix_open(&s->alloc.base, s->path, flags, &fs);
    if (rc >= 0) rc = vfs_lock(fs, 0);
    if (rc < 0) fprintf(stderr, "nobody: %s\n", status_message());
    if (rc >= 0 && (flags & VFS_PLACE_READ_ONLY) != 0 && vfs_open(fs, kind, number, 0, &file) < 0) _exit(97);
    if (rc >= 0 && vfs_unlock(fs) < 0) _exit(98);
    _exit(-rc);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFEXITED(status));
  return -WEXITSTATUS(status);
}

#endif
