/* file_place_test.c: one file as a place of a POSIX system, which is what vfs_single stands on: which paths are one
 * file, what lies beside it and when, and that every path to the file, through links or under an old name, meets the
 * same lock. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "support/test.h"

#include "env/env.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct scene {
  test_allocator alloc;
  char root[TEST_PATH_MAX];
  char path[TEST_PATH_MAX + 16]; /* root/app.varve */
  vfs *fs;
} scene;

static int scene_setup(void **state) {
  scene *s = calloc(1, sizeof(*s));
  assert_non_null(s);
  test_allocator_init(&s->alloc);
  test_dir_create(s->root);
  snprintf(s->path, sizeof(s->path), "%s/app.varve", s->root);
  TEST_OK(vfs_posix_open(&s->alloc.base, s->path, VFS_PLACE_CREATE, &s->fs));
  *state = s;
  return 0;
}

static int scene_teardown(void **state) {
  scene *s = *state;
  if (s->fs != NULL) TEST_OK(vfs_close_fs(s->fs));
  test_allocator_check(&s->alloc);
  chmod(s->root, 0700);
  test_dir_remove(s->root);
  free(s);
  return 0;
}

static void assert_message_has(const char *part) {
  if (strstr(status_message(), part) != NULL) return;
  print_error("\"%s\" does not say \"%s\"\n", status_message(), part);
  fail();
}

/* A path below the root. Static storage, one for each of four calls in a row. */
static const char *below(const scene *s, const char *name) {
  static char paths[4][TEST_PATH_MAX + 64];
  static unsigned next;
  char *path = paths[next++ % COUNT_OF(paths)];
  snprintf(path, sizeof(paths[0]), "%s/%s", s->root, name);
  return path;
}

static void write_text(const char *path, const char *text) {
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
}

/* The file's text, or "missing". Static storage. */
static const char *read_text(const char *path) {
  static char text[128];
  FILE *file = fopen(path, "r");
  if (file == NULL) return "missing";
  text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
  fclose(file);
  return text;
}

static bool is_there(const char *path) {
  struct stat info;
  return lstat(path, &info) == 0;
}

/* Makes the file, with "hello" in it, under the lock, which is given back. */
static void make_file(scene *s) {
  vfs_file *file;
  TEST_OK(vfs_lock(s->fs, 0));
  TEST_OK(vfs_open(s->fs, FILE_SINGLE, 0, VFS_CREATE, &file));
  TEST_OK(vfs_write_at(file, 0, "hello", 5));
  TEST_OK(vfs_close(file));
  TEST_OK(vfs_unlock(s->fs));
}

/* ---- which paths are one file ---- */

static void expect_kind(scene *s, const char *path, bool one_file) {
  vfs *fs;
  TEST_OK(vfs_posix_open(&s->alloc.base, path, VFS_PLACE_CREATE, &fs));
  assert_int_equal((fs->traits & VFS_ONE_FILE) != 0, one_file);
  assert_string_equal(fs->location, path);
  TEST_OK(vfs_close_fs(fs));
}

static void paths_choose(void **state) {
  scene *s = *state;
  expect_kind(s, below(s, "new.varve"), true);
  assert_false(is_there(below(s, "new.varve"))); /* made by who has the lock */
  expect_kind(s, below(s, "new"), false);
  expect_kind(s, below(s, "new.varved"), false);
  expect_kind(s, below(s, "slash.varve/"), false);
  assert_int_equal(mkdir(below(s, "old.varve"), 0700), 0);
  expect_kind(s, below(s, "old.varve"), false);
  write_text(below(s, "plain.db"), "hello");
  expect_kind(s, below(s, "plain.db"), true);
  char before[TEST_PATH_MAX];
  assert_non_null(getcwd(before, sizeof(before)));
  assert_int_equal(chdir(s->root), 0);
  expect_kind(s, "here.varve", true);
  expect_kind(s, "./here.varve", true);
  assert_int_equal(chdir(before), 0);
}

static void paths_that_are_none(void **state) {
  scene *s = *state;
  vfs *fs;
  TEST_RC(vfs_posix_open(&s->alloc.base, s->path, 0, &fs), VARVE_MISSING);
  assert_null(fs);
  assert_message_has(s->path);
  uint32_t both = VFS_PLACE_CREATE | VFS_PLACE_READ_ONLY;
  TEST_RC(vfs_posix_open(&s->alloc.base, s->path, both, &fs), VARVE_MISSING);
  TEST_RC(vfs_posix_open(&s->alloc.base, below(s, "none/a.varve"), VFS_PLACE_CREATE, &fs), VARVE_MISSING);
  assert_message_has("create that first");
  write_text(below(s, "file"), "");
  TEST_RC(vfs_posix_open(&s->alloc.base, below(s, "file/a.varve"), VFS_PLACE_CREATE, &fs), VARVE_NOT_DATABASE);
  assert_int_equal(symlink("loop.varve", below(s, "loop.varve")), 0);
  TEST_RC(vfs_posix_open(&s->alloc.base, below(s, "loop.varve"), VFS_PLACE_CREATE, &fs), VARVE_IO);
  char *lengthy = malloc(8192);
  memset(lengthy, 'a', 8192);
  memcpy(lengthy + 8192 - 7, ".varve", 7);
  TEST_RC(vfs_posix_open(&s->alloc.base, lengthy, VFS_PLACE_CREATE, &fs), VARVE_IO);
  free(lengthy);
  for (uint64_t nth = 1; nth <= 3; nth++) {
    test_allocator_fail(&s->alloc, nth, false);
    TEST_RC(vfs_posix_open(&s->alloc.base, s->path, VFS_PLACE_CREATE, &fs), VARVE_NOMEM);
    assert_null(fs);
  }
  test_allocator_fail(&s->alloc, 0, false);
}

/* ---- the file ---- */

static int count_one(void *context, file_kind kind, uint64_t number, uint64_t size) {
  assert_int_equal(kind, FILE_SINGLE);
  assert_int_equal(number, 0);
  assert_int_equal(size, 5);
  ++*(int *)context;
  return 0;
}

static void holds_one_file(void **state) {
  scene *s = *state;
  vfs_file *file;
  char data[8];
  int count = 0;
  struct stat info;
  TEST_RC(vfs_open(s->fs, FILE_SINGLE, 0, VFS_WRITE, &file), VARVE_MISSING);
  TEST_OK(vfs_list(s->fs, count_one, &count));
  mode_t before = umask(0);
  make_file(s);
  umask(before);
  assert_int_equal(stat(s->path, &info), 0);
  assert_int_equal(info.st_mode & 07777, 0600);
  assert_string_equal(read_text(s->path), "hello");
  TEST_RC(vfs_open(s->fs, FILE_SINGLE, 0, VFS_CREATE, &file), VARVE_EXISTS);
  assert_message_has("app.varve: cannot create it");
  TEST_OK(vfs_list(s->fs, count_one, &count));
  assert_int_equal(count, 1);
  TEST_OK(vfs_sync_dir(s->fs));
  TEST_OK(vfs_open(s->fs, FILE_SINGLE, 0, 0, &file));
  TEST_OK(vfs_read_exact(file, 0, data, 5));
  assert_memory_equal(data, "hello", 5);
  TEST_RC(vfs_write_at(file, 0, "x", 1), VARVE_READONLY);
  assert_message_has("app.varve is open for reading only");
  TEST_RC(vfs_read_exact(file, 4, data, 5), VARVE_CORRUPT);
  assert_message_has(s->path);
  TEST_OK(vfs_close(file));
  TEST_OK(vfs_remove(s->fs, FILE_SINGLE, 0));
  assert_false(is_there(s->path));
}

static void messages_name_the_path(void **state) {
  scene *s = *state;
  vfs_file *file;
  char expected[TEST_PATH_MAX + 128];
  make_file(s);
  TEST_OK(vfs_open(s->fs, FILE_SINGLE, 0, VFS_WRITE, &file));
  TEST_RC(vfs_write_at(file, UINT64_MAX - 4, "0123456789", 10), VARVE_FULL);
  snprintf(expected, sizeof(expected), "%s: cannot write 10 bytes at offset 18446744073709551611: ", s->path);
  assert_message_has(expected);
  TEST_OK(vfs_close(file));
  vfs *reader;
  TEST_OK(vfs_posix_open(&s->alloc.base, s->path, VFS_PLACE_READ_ONLY, &reader));
  TEST_RC(vfs_open(reader, FILE_SINGLE, 0, VFS_WRITE, &file), VARVE_READONLY);
  snprintf(expected, sizeof(expected), "%s: the database is open for reading only", s->path);
  assert_message_has(expected);
  TEST_OK(vfs_close_fs(reader));
  assert_int_equal(mkdir(below(s, "app.varve-lock"), 0700), 0);
  TEST_RC(vfs_lock(s->fs, 0), VARVE_IO);
  snprintf(expected, sizeof(expected), "%s-lock: cannot open it: ", s->path);
  assert_message_has(expected);
}

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
    if (vfs_posix_open(&s->alloc.base, s->path, VFS_PLACE_CREATE, &fs) < 0) _exit(1);
    if (vfs_lock(fs, 0) < 0 || vfs_open(fs, FILE_SINGLE, 0, VFS_CREATE, &file) < 0) _exit(2);
    for (int fd = 0; fd <= 2; fd++) {
      if (fcntl(fd, F_GETFD) != -1) _exit(3);
    }
    _exit(0);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
}

/* A link is followed when it is given, and what it leads to is what gets the lock files; later ones are not followed.
 */
static void links_are_followed_once(void **state) {
  scene *s = *state;
  vfs *fs;
  vfs_file *file;
  assert_int_equal(mkdir(below(s, "deep"), 0700), 0);
  assert_int_equal(symlink("deep/second", below(s, "first.varve")), 0);
  assert_int_equal(symlink("../real.varve", below(s, "deep/second")), 0);
  TEST_OK(vfs_posix_open(&s->alloc.base, below(s, "first.varve"), VFS_PLACE_CREATE, &fs));
  TEST_OK(vfs_lock(fs, 0));
  TEST_OK(vfs_open(fs, FILE_SINGLE, 0, VFS_CREATE, &file));
  TEST_OK(vfs_close(file));
  assert_true(is_there(below(s, "real.varve-lock")));
  assert_false(is_there(below(s, "first.varve-lock")));
  TEST_OK(vfs_close_fs(fs));
  assert_true(is_there(below(s, "real.varve")));
  assert_false(is_there(below(s, "real.varve-lock")));
  write_text(below(s, "letter.txt"), "Dear Alice");
  assert_int_equal(symlink("letter.txt", s->path), 0); /* since the place was opened */
  TEST_RC(vfs_lock(s->fs, 0), VARVE_IO);
  assert_message_has("symbolic links");
  TEST_RC(vfs_open(s->fs, FILE_SINGLE, 0, VFS_WRITE, &file), VARVE_IO);
}

/* ---- locks ---- */

/* A child that has the lock of `path`, and the file open, until it is killed. */
static pid_t child_holds(scene *s, const char *path) {
  int ready[2];
  char byte = 0;
  assert_int_equal(pipe(ready), 0);
  fflush(NULL);
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    vfs *fs = NULL;
    vfs_file *file;
    if (vfs_posix_open(&s->alloc.base, path, VFS_PLACE_CREATE, &fs) < 0 || vfs_lock(fs, 0) < 0) _exit(1);
    int rc = vfs_open(fs, FILE_SINGLE, 0, VFS_WRITE, &file);
    if (rc == VARVE_MISSING) rc = vfs_open(fs, FILE_SINGLE, 0, VFS_CREATE, &file);
    if (rc < 0 || write(ready[1], "r", 1) != 1) _exit(1);
    alarm(60); /* outlives no test that failed */
    pause();
    _exit(0);
  }
  close(ready[1]);
  assert_int_equal(read(ready[0], &byte, 1), 1);
  close(ready[0]);
  return pid;
}

static void child_kill(pid_t pid) {
  assert_int_equal(kill(pid, SIGKILL), 0);
  assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void lock_file_is_there_while_held(void **state) {
  scene *s = *state;
  char claim[32];
  TEST_OK(vfs_lock(s->fs, 0));
  snprintf(claim, sizeof(claim), "%lld ", (long long)getpid());
  assert_int_equal(strncmp(read_text(below(s, "app.varve-lock")), claim, strlen(claim)), 0);
  struct stat info;
  assert_int_equal(stat(below(s, "app.varve-lock"), &info), 0);
  assert_int_equal(info.st_mode & 07777, 0600);
  TEST_OK(vfs_unlock(s->fs));
  assert_false(is_there(below(s, "app.varve-lock")));
  make_file(s);
  assert_false(is_there(below(s, "app.varve-lock")));
  vfs *other;
  TEST_OK(vfs_posix_open(&s->alloc.base, s->path, 0, &other));
  TEST_OK(vfs_lock(s->fs, 0));
  TEST_RC(vfs_lock(other, 0), VARVE_LOCKED);
  assert_message_has("in this process");
  assert_true(is_there(below(s, "app.varve-lock")));
  TEST_OK(vfs_close_fs(other));
  TEST_OK(vfs_unlock(s->fs));
}

static void a_killed_holder_holds_nothing(void **state) {
  scene *s = *state;
  char holder[32];
  pid_t pid = child_holds(s, s->path);
  snprintf(holder, sizeof(holder), "process %lld", (long long)pid);
  TEST_RC(vfs_lock(s->fs, 0), VARVE_LOCKED);
  assert_message_has(holder);
  assert_message_has(s->path);
  child_kill(pid);
  assert_true(is_there(below(s, "app.varve-lock")));
  TEST_OK(vfs_lock(s->fs, 0));
  TEST_OK(vfs_unlock(s->fs));
  assert_false(is_there(below(s, "app.varve-lock")));
}

static void every_path_within_the_process_meets(void **state) {
  scene *s = *state;
  vfs *linked, *aliased;
  vfs_file *file;
  make_file(s);
  assert_int_equal(link(s->path, below(s, "linked.varve")), 0);
  assert_int_equal(symlink("app.varve", below(s, "alias")), 0);
  TEST_OK(vfs_posix_open(&s->alloc.base, below(s, "linked.varve"), 0, &linked));
  TEST_OK(vfs_posix_open(&s->alloc.base, below(s, "alias"), 0, &aliased));
  TEST_OK(vfs_lock(s->fs, 0));
  TEST_RC(vfs_lock(linked, 0), VARVE_LOCKED);
  assert_message_has("in this process");
  TEST_RC(vfs_lock(aliased, 0), VARVE_LOCKED);
  assert_message_has("in this process");
  TEST_OK(vfs_unlock(s->fs));
  TEST_OK(vfs_lock(linked, 0));
  TEST_RC(vfs_lock(s->fs, 0), VARVE_LOCKED);
  TEST_OK(vfs_unlock(linked));
  TEST_OK(vfs_close_fs(aliased));
  /* two that are about to make a file, and a link to one that its holder has just made */
  assert_int_equal(unlink(s->path), 0);
  TEST_OK(vfs_posix_open(&s->alloc.base, s->path, VFS_PLACE_CREATE, &aliased));
  TEST_OK(vfs_lock(s->fs, 0));
  TEST_RC(vfs_lock(aliased, 0), VARVE_LOCKED);
  TEST_OK(vfs_open(s->fs, FILE_SINGLE, 0, VFS_CREATE, &file));
  assert_int_equal(unlink(below(s, "linked.varve")), 0);
  assert_int_equal(link(s->path, below(s, "linked.varve")), 0);
  TEST_RC(vfs_lock(linked, 0), VARVE_LOCKED);
  assert_message_has("in this process");
  TEST_OK(vfs_close(file));
  TEST_OK(vfs_close_fs(aliased));
  TEST_OK(vfs_close_fs(linked));
}

/* Another process finds the file itself locked, whatever it is called; closing a descriptor drops nothing. */
static void every_path_of_other_processes_meets(void **state) {
  scene *s = *state;
  vfs *linked, *moved, *reader;
  vfs_file *file;
  pid_t pid = child_holds(s, s->path);
  assert_int_equal(link(s->path, below(s, "linked.varve")), 0);
  TEST_OK(vfs_posix_open(&s->alloc.base, below(s, "linked.varve"), 0, &linked));
  for (uint32_t round = 0; round < 2; round++) {
    TEST_RC(vfs_lock(linked, round * 20), VARVE_LOCKED);
    assert_message_has("by another path");
    assert_false(is_there(below(s, "linked.varve-lock")));
  }
  assert_int_equal(rename(s->path, below(s, "moved.varve")), 0);
  TEST_OK(vfs_posix_open(&s->alloc.base, below(s, "moved.varve"), 0, &moved));
  TEST_RC(vfs_lock(moved, 0), VARVE_LOCKED);
  TEST_OK(vfs_posix_open(&s->alloc.base, below(s, "moved.varve"), VFS_PLACE_READ_ONLY, &reader));
  TEST_RC(vfs_lock(reader, 0), VARVE_LOCKED);
  TEST_OK(vfs_close_fs(reader));
  child_kill(pid);
  TEST_OK(vfs_lock(moved, 0));
  TEST_OK(vfs_open(moved, FILE_SINGLE, 0, VFS_WRITE, &file));
  TEST_OK(vfs_close(file));
  close(open(below(s, "moved.varve"), O_RDWR));
  pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) _exit(vfs_lock(linked, 0) == VARVE_LOCKED ? 0 : 1);
  int status = 0;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
  TEST_OK(vfs_close_fs(moved));
  TEST_OK(vfs_lock(linked, 0));
  TEST_OK(vfs_close_fs(linked));
}

static void a_file_put_in_its_place_is_noticed(void **state) {
  scene *s = *state;
  vfs_file *file;
  make_file(s);
  TEST_OK(vfs_lock(s->fs, 0));
  write_text(below(s, "other"), "other");
  assert_int_equal(rename(below(s, "other"), s->path), 0);
  TEST_RC(vfs_open(s->fs, FILE_SINGLE, 0, VFS_WRITE, &file), VARVE_IO);
  assert_message_has("replaced by another file");
  assert_string_equal(read_text(s->path), "other");
}

static void live_node_excludes(void **state) {
  scene *s = *state;
  char claim[64];
  snprintf(claim, sizeof(claim), "%lld 0\n", (long long)getppid());
  write_text(below(s, "app.varve-lock.node"), claim);
  TEST_RC(vfs_lock(s->fs, 0), VARVE_LOCKED);
  assert_message_has("Node");
  assert_false(is_there(below(s, "app.varve-lock"))); /* backed off */
  assert_string_equal(read_text(below(s, "app.varve-lock.node")), claim);
  write_text(below(s, "app.varve-lock.node"), "2147483646 1\n");
  TEST_OK(vfs_lock(s->fs, 0));
  assert_false(is_there(below(s, "app.varve-lock.node")));
}

/* Takes the lock again and again; two that have it at once both want to create the same file. The lock file comes and
 * goes meanwhile. */
static int contend(scene *s, const char *path, uint32_t rounds) {
  vfs *fs;
  if (vfs_posix_open(&s->alloc.base, path, VFS_PLACE_CREATE, &fs) < 0) return 1;
  for (uint32_t i = 0; i < rounds; i++) {
    int rc;
    do rc = vfs_lock(fs, 0); /* without a pause: the next one is to open the lock file while it is being removed */
    while (rc == VARVE_LOCKED);
    if (rc < 0) return 2;
    int fd = open(below(s, "owner"), O_CREAT | O_EXCL, 0600);
    if (fd < 0) return 3;
    close(fd);
    if (unlink(below(s, "owner")) != 0) return 4;
    if (vfs_unlock(fs) < 0) return 5;
  }
  return vfs_close_fs(fs) < 0 ? 6 : 0;
}

static void take_turns(scene *s, bool made) {
  pid_t pids[3];
  if (made) {
    make_file(s);
    assert_int_equal(link(s->path, below(s, "linked.varve")), 0);
  }
  fflush(NULL);
  for (size_t i = 0; i < COUNT_OF(pids); i++) {
    pids[i] = fork();
    assert_true(pids[i] >= 0);
    if (pids[i] == 0) _exit(contend(s, made && i == 1 ? below(s, "linked.varve") : s->path, test_scale(300)));
  }
  for (size_t i = 0; i < COUNT_OF(pids); i++) {
    int status = 0;
    assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
  }
  assert_false(is_there(below(s, "app.varve-lock")));
}

/* By the lock file alone: there is no file to lock yet. */
static void processes_take_turns(void **state) {
  take_turns(*state, false);
}

static void processes_take_turns_by_two_paths(void **state) {
  take_turns(*state, true);
}

/* ---- places that cannot be written ---- */

/* Runs as nobody when this is root, whom no permission stops. */
static int try_as_nobody(scene *s, uint32_t flags) {
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
    if (rc >= 0 && vfs_open(fs, FILE_SINGLE, 0, 0, &file) < 0) _exit(97);
    if (rc >= 0 && vfs_unlock(fs) < 0) _exit(98);
    _exit(-rc);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFEXITED(status));
  return -WEXITSTATUS(status);
}

static void read_only_files(void **state) {
  scene *s = *state;
  make_file(s);
  assert_int_equal(chmod(s->path, 0444), 0);
  assert_int_equal(chmod(s->root, 0555), 0);
  TEST_RC(try_as_nobody(s, 0), VARVE_READONLY);
  TEST_OK(try_as_nobody(s, VFS_PLACE_READ_ONLY));
  assert_int_equal(chmod(s->root, 0755), 0);
  TEST_OK(vfs_lock(s->fs, 0));
  TEST_RC(try_as_nobody(s, VFS_PLACE_READ_ONLY), VARVE_LOCKED);
  TEST_OK(vfs_unlock(s->fs));
  TEST_OK(try_as_nobody(s, VFS_PLACE_READ_ONLY));
}

#define SCENE_TEST(test) cmocka_unit_test_setup_teardown(test, scene_setup, scene_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      SCENE_TEST(paths_choose),
      SCENE_TEST(paths_that_are_none),
      SCENE_TEST(holds_one_file),
      SCENE_TEST(messages_name_the_path),
      SCENE_TEST(keeps_off_standard_streams),
      SCENE_TEST(links_are_followed_once),
      SCENE_TEST(lock_file_is_there_while_held),
      SCENE_TEST(a_killed_holder_holds_nothing),
      SCENE_TEST(every_path_within_the_process_meets),
      SCENE_TEST(every_path_of_other_processes_meets),
      SCENE_TEST(a_file_put_in_its_place_is_noticed),
      SCENE_TEST(live_node_excludes),
      SCENE_TEST(processes_take_turns),
      SCENE_TEST(processes_take_turns_by_two_paths),
      SCENE_TEST(read_only_files),
  };
  return cmocka_run_group_tests_name("file_place", tests, NULL, NULL);
}
