/* posix_test.c: what vfs_posix owes beyond the contract: permissions, links, limits, descriptors, helpful failures. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "support/test.h"

#include "env/env.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct scene {
  test_allocator alloc;
  char root[TEST_PATH_MAX];
  char path[TEST_PATH_MAX + 8];
  vfs *fs;
} scene;

static int scene_setup(void **state) {
  scene *s = calloc(1, sizeof(*s));
  assert_non_null(s);
  test_allocator_init(&s->alloc);
  test_dir_create(s->root);
  snprintf(s->path, sizeof(s->path), "%s/db", s->root);
  TEST_OK(vfs_posix_open(&s->alloc.base, s->path, VFS_PLACE_CREATE, &s->fs));
  *state = s;
  return 0;
}

static int scene_teardown(void **state) {
  scene *s = *state;
  if (s->fs != NULL) TEST_OK(vfs_close_fs(s->fs));
  test_allocator_check(&s->alloc);
  test_dir_remove(s->root);
  free(s);
  return 0;
}

static void assert_message_has(const char *part) {
  if (strstr(status_message(), part) != NULL) return;
  print_error("\"%s\" does not say \"%s\"\n", status_message(), part);
  fail();
}

/* Static storage. */
static const char *inside(const scene *s, const char *name) {
  static char path[TEST_PATH_MAX + 64];
  snprintf(path, sizeof(path), "%s/%s", s->path, name);
  return path;
}

static vfs_file *create(vfs *fs, file_kind kind, uint64_t number) {
  vfs_file *file;
  TEST_OK(vfs_open(fs, kind, number, VFS_CREATE, &file));
  return file;
}

static unsigned mode_of(const char *path) {
  struct stat info;
  assert_int_equal(lstat(path, &info), 0);
  return info.st_mode & 07777;
}

static void places_that_are_none(void **state) {
  scene *s = *state;
  char path[TEST_PATH_MAX + 32];
  vfs *fs;
  snprintf(path, sizeof(path), "%s/none", s->root);
  TEST_RC(vfs_posix_open(&s->alloc.base, path, 0, &fs), VARVE_MISSING);
  assert_null(fs);
  assert_message_has(path);
  TEST_RC(vfs_posix_open(&s->alloc.base, path, VFS_PLACE_CREATE | VFS_PLACE_READ_ONLY, &fs), VARVE_MISSING);
  assert_int_equal(access(path, F_OK), -1);
  snprintf(path, sizeof(path), "%s/none/deeper", s->root);
  TEST_RC(vfs_posix_open(&s->alloc.base, path, VFS_PLACE_CREATE, &fs), VARVE_MISSING);
  assert_message_has("create that first");
  snprintf(path, sizeof(path), "%s/dangling", s->root);
  assert_int_equal(symlink("nowhere", path), 0);
  TEST_RC(vfs_posix_open(&s->alloc.base, path, VFS_PLACE_CREATE, &fs), VARVE_MISSING);
  snprintf(path, sizeof(path), "%s/fifo", s->root);
  assert_int_equal(mkfifo(path, 0600), 0);
  TEST_RC(vfs_posix_open(&s->alloc.base, path, VFS_PLACE_CREATE, &fs), VARVE_NOT_DATABASE);
  assert_null(fs);
  assert_message_has(path);
  assert_message_has("give another path");
}

static void owner_only(void **state) {
  scene *s = *state;
  mode_t before = umask(0);
  TEST_OK(vfs_close(create(s->fs, FILE_SST, 1)));
  TEST_OK(vfs_lock(s->fs, 0));
  umask(before);
  assert_int_equal(mode_of(s->path), 0700);
  assert_int_equal(mode_of(inside(s, "1.sst")), 0600);
  assert_int_equal(mode_of(inside(s, "LOCK")), 0600);
  TEST_OK(vfs_unlock(s->fs));
}

static void opens_regular_files_alone(void **state) {
  scene *s = *state;
  vfs_file *file;
  assert_int_equal(symlink("/etc/hostname", inside(s, "1.sst")), 0);
  TEST_RC(vfs_open(s->fs, FILE_SST, 1, 0, &file), VARVE_IO);
  assert_message_has("1.sst");
  TEST_RC(vfs_open(s->fs, FILE_SST, 1, VFS_WRITE, &file), VARVE_IO);
  assert_message_has("symbolic links");
  assert_int_equal(mkfifo(inside(s, "2.wal"), 0600), 0);
  TEST_RC(vfs_open(s->fs, FILE_WAL, 2, 0, &file), VARVE_IO); /* and does not wait for a writer */
  assert_message_has("not a regular file");
  assert_int_equal(mkdir(inside(s, "3.man"), 0700), 0);
  TEST_RC(vfs_open(s->fs, FILE_MANIFEST, 3, 0, &file), VARVE_IO);
  assert_int_equal(symlink("/tmp/varve_elsewhere", inside(s, "LOCK")), 0);
  TEST_RC(vfs_lock(s->fs, 0), VARVE_IO);
  assert_message_has("LOCK");
}

/* Whatever the caller closed before: a print to standard output must not reach a file. */
static void keeps_off_standard_streams(void **state) {
  scene *s = *state;
  int status = 0;
  fflush(NULL);
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    vfs *fs;
    vfs_file *file;
    for (int fd = 0; fd <= 2; fd++) close(fd);
    if (vfs_posix_open(&s->alloc.base, s->path, 0, &fs) < 0) _exit(1);
    if (vfs_lock(fs, 0) < 0 || vfs_open(fs, FILE_SST, 1, VFS_CREATE, &file) < 0) _exit(2);
    for (int fd = 0; fd <= 2; fd++) {
      if (fcntl(fd, F_GETFD) != -1) _exit(3);
    }
    for (int fd = 3; fd < 64; fd++) {
      int flags = fcntl(fd, F_GETFD);
      char link[64], target[TEST_PATH_MAX];
      snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
      ssize_t n = readlink(link, target, sizeof(target) - 1);
      if (n <= 0) continue;
      target[n] = '\0';
      if (strstr(target, "varve_test_") != NULL && (flags & FD_CLOEXEC) == 0) _exit(4);
    }
    _exit(0);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
}

/* A file system of 1 MiB, where this process may mount one; 77 where it may not. */
static int fill_a_disk(const scene *s) {
  allocator a;
  vfs *fs;
  vfs_file *wal, *sst;
  uint64_t size = 0;
  static char data[1 << 20];
  allocator_init_libc(&a);
  if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) return 77;
  if (mount("tmpfs", s->path, "tmpfs", 0, "size=1m") != 0) return 77;
  if (vfs_posix_open(&a, s->path, 0, &fs) < 0 || vfs_lock(fs, 0) < 0) return 1;
  if (vfs_open(fs, FILE_WAL, 1, VFS_CREATE, &wal) < 0 || vfs_write_at(wal, 0, "kept", 4) < 0) return 2;
  if (vfs_allocate(wal, 2 << 20) != VARVE_FULL || strstr(status_message(), "1.wal") == NULL) return 3;
  if (vfs_size(wal, &size) < 0 || size != 4) return 4;
  if (vfs_open(fs, FILE_SST, 2, VFS_CREATE, &sst) < 0 || vfs_write_at(sst, 0, data, sizeof(data)) != VARVE_FULL)
    return 5;
  if (vfs_read_exact(wal, 0, data, 4) < 0 || memcmp(data, "kept", 4) != 0) return 6;
  if (vfs_allocate(wal, 100000) != VARVE_FULL) return 7;
  if (vfs_close(sst) < 0 || vfs_remove(fs, FILE_SST, 2) < 0) return 8;
  if (vfs_allocate(wal, 100000) < 0 || vfs_write_at(wal, 4, data, 99996) < 0) return 9;
  return vfs_close(wal) < 0 || vfs_close_fs(fs) < 0 ? 10 : 0;
}

static void disk_full(void **state) {
  const scene *s = *state;
  int status = 0;
  fflush(NULL);
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) _exit(fill_a_disk(s));
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) skip();
  assert_int_equal(WEXITSTATUS(status), 0);
}

/* A limit of file sizes stands for a full disk: what does not fit fails, the rest goes on. */
static void size_limit(void **state) {
  scene *s = *state;
  struct rlimit old, small;
  char *data = calloc(1, 300000);
  uint64_t size = 0;
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
  small = old;
  small.rlim_cur = 100000;
  vfs_file *file = create(s->fs, FILE_WAL, 1);
  TEST_OK(vfs_write_at(file, 0, "kept", 4));
  void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
  int reserved = vfs_allocate(file, 300000);
  int sized = vfs_size(file, &size);
  int written = vfs_write_at(file, 4, data, 300000);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
  TEST_RC(reserved, VARVE_FULL);
  TEST_OK(sized);
  assert_int_equal(size, 4); /* as long as it was */
  TEST_RC(written, VARVE_FULL);
  assert_message_has("1.wal");
  assert_message_has("then try again");
  TEST_OK(vfs_read_exact(file, 0, data, 4));
  assert_memory_equal(data, "kept", 4);
  TEST_OK(vfs_allocate(file, 300000));
  TEST_OK(vfs_write_at(file, 4, data, 300000));
  TEST_OK(vfs_close(file));
  signal(SIGXFSZ, handler);
  free(data);
}

static void too_many_open_files(void **state) {
  scene *s = *state;
  struct rlimit old, small;
  vfs_file *file;
  TEST_OK(vfs_close(create(s->fs, FILE_SST, 1)));
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
  small = old;
  small.rlim_cur = 3;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &small), 0);
  int rc = vfs_open(s->fs, FILE_SST, 1, 0, &file);
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
  TEST_RC(rc, VARVE_IO);
  assert_message_has("1.sst");
  assert_message_has("ulimit -n");
}

static void sees_foreign_names(void **state) {
  scene *s = *state;
  vfs *fs;
  assert_false(s->fs->foreign);
  static const char *const names[] = {"LOCK", "LOCK.node", "LOCK.node.1.2.3.ab", "7.sst", "7.sst.bak"};
  for (size_t i = 0; i < COUNT_OF(names); i++) {
    assert_int_equal(close(creat(inside(s, names[i]), 0600)), 0);
    TEST_OK(vfs_posix_open(&s->alloc.base, s->path, VFS_PLACE_CREATE, &fs));
    assert_int_equal(fs->foreign, i == 4);
    TEST_OK(vfs_close_fs(fs));
  }
  TEST_OK(vfs_close(create(s->fs, FILE_SUPER, 0))); /* a database: nobody asks what else is there */
  TEST_OK(vfs_posix_open(&s->alloc.base, s->path, 0, &fs));
  assert_false(fs->foreign);
  TEST_OK(vfs_close_fs(fs));
}

static bool is_mapped(const char *path) {
  char line[TEST_PATH_MAX + 200];
  bool found = false;
  FILE *maps = fopen("/proc/self/maps", "r");
  assert_non_null(maps);
  while (fgets(line, sizeof(line), maps) != NULL) found = found || strstr(line, path) != NULL;
  fclose(maps);
  return found;
}

static void closing_unmaps(void **state) {
  scene *s = *state;
  vfs_file *file = create(s->fs, FILE_SST, 1);
  void *map;
  TEST_OK(vfs_allocate(file, 10000));
  TEST_OK(vfs_map(file, 10000, false, &map));
  assert_true(is_mapped(inside(s, "1.sst")));
  TEST_OK(vfs_close(file));
  assert_false(is_mapped(inside(s, "1.sst")));
}

/* Names are relative to the directory, not to its path. */
static void follows_a_moved_directory(void **state) {
  scene *s = *state;
  char moved[TEST_PATH_MAX + 32];
  snprintf(moved, sizeof(moved), "%s/moved", s->root);
  assert_int_equal(rename(s->path, moved), 0);
  vfs_file *file = create(s->fs, FILE_SST, 1);
  TEST_OK(vfs_write_at(file, 0, "abc", 3));
  TEST_OK(vfs_sync(file));
  TEST_OK(vfs_close(file));
  TEST_OK(vfs_sync_dir(s->fs));
  snprintf(moved, sizeof(moved), "%s/moved/1.sst", s->root);
  assert_int_equal(access(moved, F_OK), 0);
}

/* A mapped store survives the death of the process; reserved space is really there. */
static void mapped_stores_survive_a_kill(void **state) {
  scene *s = *state;
  if ((s->fs->traits & VFS_MAP_WRITE) == 0) skip();
  vfs_file *file = create(s->fs, FILE_WAL, 1);
  struct stat info;
  char data[9] = "";
  TEST_OK(vfs_allocate(file, 1 << 20));
  assert_int_equal(stat(inside(s, "1.wal"), &info), 0);
  assert_true(info.st_blocks * 512 >= 1 << 20);
  fflush(NULL);
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    void *map;
    if (vfs_map(file, 1 << 20, true, &map) < 0) _exit(1);
    memcpy((char *)map + 777777, "survives", 8);
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFSIGNALED(status));
  TEST_OK(vfs_read_exact(file, 777777, data, 8));
  assert_string_equal(data, "survives");
  TEST_OK(vfs_close(file));
}

#define SCENE_TEST(test) cmocka_unit_test_setup_teardown(test, scene_setup, scene_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      SCENE_TEST(places_that_are_none),
      SCENE_TEST(owner_only),
      SCENE_TEST(opens_regular_files_alone),
      SCENE_TEST(keeps_off_standard_streams),
      SCENE_TEST(size_limit),
      SCENE_TEST(disk_full),
      SCENE_TEST(sees_foreign_names),
      SCENE_TEST(closing_unmaps),
      SCENE_TEST(too_many_open_files),
      SCENE_TEST(follows_a_moved_directory),
      SCENE_TEST(mapped_stores_survive_a_kill),
  };
  return cmocka_run_group_tests_name("posix", tests, NULL, NULL);
}
