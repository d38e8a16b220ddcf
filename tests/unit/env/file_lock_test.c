/* file_lock_test.c: the lock of one file: what lies beside the file and when, and that every path to the file, through
 * links or under an old name, meets the same lock. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "unit/env/file_place_bed.h"
#include "unit/env/process_bed.h"

/* ---- locks ---- */

static void child_opens(const child_work *w) {
  vfs *fs = NULL;
  vfs_file *file;
  if (vfs_posix_open(&w->s->alloc.base, w->path, VFS_PLACE_CREATE, &fs) < 0 || vfs_lock(fs, 0) < 0) _exit(1);
  int rc = vfs_open(fs, FILE_SINGLE, 0, VFS_WRITE, &file);
  if (rc == VARVE_MISSING) rc = vfs_open(fs, FILE_SINGLE, 0, VFS_CREATE, &file);
  if (rc < 0) _exit(1);
  child_is_ready(w);
  alarm(60); /* outlives no test that failed */
  pause();
}

/* A child that has the lock of `path`, and the file open, until it is killed. */
static pid_t child_holds(scene *s, const char *path) {
  return child_run((child_work){.s = s, .path = path}, child_opens);
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
  assert_message_has("in this process");
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

static void read_only_files(void **state) {
  scene *s = *state;
  make_file(s);
  assert_int_equal(chmod(s->path, 0444), 0);
  assert_int_equal(chmod(s->root, 0555), 0);
  TEST_RC(try_as_nobody(s, 0, FILE_SINGLE, 0), VARVE_READONLY);
  TEST_OK(try_as_nobody(s, VFS_PLACE_READ_ONLY, FILE_SINGLE, 0));
  assert_int_equal(chmod(s->root, 0755), 0);
  TEST_OK(vfs_lock(s->fs, 0));
  TEST_RC(try_as_nobody(s, VFS_PLACE_READ_ONLY, FILE_SINGLE, 0), VARVE_LOCKED);
  TEST_OK(vfs_unlock(s->fs));
  TEST_OK(try_as_nobody(s, VFS_PLACE_READ_ONLY, FILE_SINGLE, 0));
}

int main(void) {
  const struct CMUnitTest tests[] = {
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
  return cmocka_run_group_tests_name("file_lock", tests, NULL, NULL);
}
