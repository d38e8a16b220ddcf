/* file_place_test.c: one file as a place of a POSIX system, which is what vfs_single stands on: which paths are one
 * file, what is done with it, and how failures name it. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "unit/env/file_place_bed.h"

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

int main(void) {
  const struct CMUnitTest tests[] = {
      SCENE_TEST(paths_choose),           SCENE_TEST(paths_that_are_none),        SCENE_TEST(holds_one_file),
      SCENE_TEST(messages_name_the_path), SCENE_TEST(keeps_off_standard_streams), SCENE_TEST(links_are_followed_once),
  };
  return cmocka_run_group_tests_name("file_place", tests, NULL, NULL);
}
