/* lock_test.c: the owner lock between processes: who holds it is named, a killed holder holds nothing, and the claims
 * of native processes and of Node (LOCK, LOCK.node; see vfs_posix_lock.c) are told apart from what dead ones left. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "support/test.h"

#include "env/env.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct scene {
  test_allocator alloc;
  char path[TEST_PATH_MAX];
  vfs *fs;
} scene;

#include "unit/env/process_bed.h"

static vfs *open_place(scene *s, uint32_t flags) {
  vfs *fs;
  TEST_OK(vfs_posix_open(&s->alloc.base, s->path, flags, &fs));
  return fs;
}

static int scene_setup(void **state) {
  scene *s = calloc(1, sizeof(*s));
  assert_non_null(s);
  test_allocator_init(&s->alloc);
  test_dir_create(s->path);
  s->fs = open_place(s, VFS_PLACE_CREATE);
  *state = s;
  return 0;
}

static int scene_teardown(void **state) {
  scene *s = *state;
  TEST_OK(vfs_close_fs(s->fs));
  test_allocator_check(&s->alloc);
  chmod(s->path, 0700);
  test_dir_remove(s->path);
  free(s);
  return 0;
}

static void assert_message_has(const char *part) {
  if (strstr(status_message(), part) != NULL) return;
  print_error("\"%s\" does not say \"%s\"\n", status_message(), part);
  fail();
}

static void assert_message_names(long long pid) {
  char text[48];
  snprintf(text, sizeof(text), "process %lld", pid);
  assert_message_has(text);
}

static void write_text(const scene *s, const char *name, const char *text) {
  char path[TEST_PATH_MAX + 32];
  snprintf(path, sizeof(path), "%s/%s", s->path, name);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
}

/* The file's text, or "missing". Static storage. */
static const char *read_text(const scene *s, const char *name) {
  static char text[128];
  char path[TEST_PATH_MAX + 32];
  snprintf(path, sizeof(path), "%s/%s", s->path, name);
  FILE *file = fopen(path, "r");
  if (file == NULL) return "missing";
  text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
  fclose(file);
  return text;
}

/* Field 22 of /proc/<pid>/stat, read in another way than the code under test does. */
static unsigned long long process_start(long long pid) {
  char path[64], text[1024];
  unsigned long long start = 0;
  snprintf(path, sizeof(path), "/proc/%lld/stat", pid);
  FILE *file = fopen(path, "r");
  if (file == NULL) return 0;
  text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
  fclose(file);
  const char *after_name = strrchr(text, ')');
  assert_non_null(after_name);
  int found = sscanf(after_name + 1,
                     " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &start);
  assert_int_equal(found, 1);
  return start;
}

static void child_locks(const child_work *w) {
  vfs *fs = NULL;
  if (w->lock && (vfs_posix_open(&w->s->alloc.base, w->s->path, 0, &fs) < 0 || vfs_lock(fs, 0) < 0)) _exit(1);
  child_is_ready(w);
  if (w->ms == 0) pause();
  usleep(w->ms * 1000);
  _exit(w->lock && vfs_unlock(fs) < 0 ? 1 : 0);
}

/* A child that waits to be killed; with `lock` it holds the lock of the place by then, and for `ms` only when not 0. */
static pid_t child_start(scene *s, bool lock, uint32_t ms) {
  return child_run((child_work){.s = s, .lock = lock, .ms = ms}, child_locks);
}

/* ---- native processes ---- */

static void claim_is_written_and_cleared(void **state) {
  scene *s = *state;
  char expected[64];
  TEST_OK(vfs_lock(s->fs, 0));
  snprintf(expected, sizeof(expected), "%lld %llu\n", (long long)getpid(), process_start(getpid()));
  assert_string_equal(read_text(s, "LOCK"), expected);
  TEST_OK(vfs_unlock(s->fs));
  assert_string_equal(read_text(s, "LOCK"), "");
  write_text(s, "LOCK", "123456789 12345678901234567890 left behind by a longer line\n");
  TEST_OK(vfs_lock(s->fs, 0));
  assert_string_equal(read_text(s, "LOCK"), expected);
  TEST_OK(vfs_close_fs(s->fs)); /* gives the lock back as unlock does */
  assert_string_equal(read_text(s, "LOCK"), "");
  s->fs = open_place(s, 0);
}

static void holder_is_named_and_dies_with_its_lock(void **state) {
  scene *s = *state;
  pid_t pid = child_start(s, true, 0);
  TEST_RC(vfs_lock(s->fs, 0), VARVE_LOCKED);
  assert_message_names(pid);
  assert_message_has(s->path);
  vfs *reader = open_place(s, VFS_PLACE_READ_ONLY);
  TEST_RC(vfs_lock(reader, 0), VARVE_LOCKED);
  assert_message_names(pid);
  TEST_OK(vfs_close_fs(reader));
  TEST_RC(vfs_lock(s->fs, 30), VARVE_LOCKED);
  child_kill(pid);
  assert_string_not_equal(read_text(s, "LOCK"), ""); /* what it left is no lock */
  TEST_OK(vfs_lock(s->fs, 0));
  TEST_OK(vfs_unlock(s->fs));
}

/* Between taking the lock and writing its line a holder has what the one before left there, who may be dead. */
static void line_of_a_dead_one_does_not_name_the_holder(void **state) {
  scene *s = *state;
  char line[64], dead[64];
  pid_t gone = child_start(s, false, 0);
  child_kill(gone);
  pid_t pid = child_start(s, true, 0);
  snprintf(line, sizeof(line), "%lld %llu\n", (long long)pid, process_start(pid));
  snprintf(dead, sizeof(dead), "%lld 1\n", (long long)gone);
  write_text(s, "LOCK", dead);
  TEST_RC(vfs_lock(s->fs, 0), VARVE_LOCKED);
  assert_message_has("is open in another process");
  write_text(s, "LOCK", line);
  TEST_RC(vfs_lock(s->fs, 0), VARVE_LOCKED);
  assert_message_names(pid);
  child_kill(pid);
}

static void *sleep_for_ever(void *unused) {
  (void)unused;
  for (;;) pause();
  return NULL;
}

/* The first thread of a process that was killed may be gone, while another is still writing. */
static void process_lives_while_one_of_its_threads_does(void **state) {
  scene *s = *state;
  char line[64], path[64], text[256] = "";
  fflush(NULL);
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    pthread_t other;
    if (pthread_create(&other, NULL, sleep_for_ever, NULL) != 0) _exit(1);
    syscall(SYS_exit, 0);
  }
  snprintf(path, sizeof(path), "/proc/%lld/stat", (long long)pid);
  for (int tries = 0; tries < 5000 && strstr(text, ") Z ") == NULL; tries++) {
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    usleep(1000);
  }
  assert_non_null(strstr(text, ") Z "));
  snprintf(line, sizeof(line), "%lld %llu\n", (long long)pid, process_start(pid));
  write_text(s, "LOCK.node", line);
  TEST_RC(vfs_lock(s->fs, 0), VARVE_LOCKED);
  assert_message_names(pid);
  assert_int_equal(kill(pid, SIGKILL), 0);
  TEST_OK(vfs_lock(s->fs, 20000)); /* a zombie that nobody waited for, and nothing else */
  TEST_OK(vfs_unlock(s->fs));
  assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void waiting_ends_when_the_holder_does(void **state) {
  scene *s = *state;
  pid_t pid = child_start(s, true, 150);
  TEST_RC(vfs_lock(s->fs, 10), VARVE_LOCKED);
  TEST_OK(vfs_lock(s->fs, 20000));
  TEST_OK(vfs_unlock(s->fs));
  assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* A child made by fork has the parent's memory, and neither its lock nor a way to give that back. */
static void forked_child_owns_nothing(void **state) {
  scene *s = *state;
  int status = 0;
  TEST_OK(vfs_lock(s->fs, 0));
  fflush(NULL);
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    vfs *own;
    if (vfs_posix_open(&s->alloc.base, s->path, 0, &own) < 0) _exit(1);
    if (vfs_lock(own, 0) != VARVE_LOCKED) _exit(2);
    char holder[48];
    snprintf(holder, sizeof(holder), "process %lld;", (long long)getppid());
    if (strstr(status_message(), holder) == NULL) _exit(5);
    if (vfs_unlock(s->fs) < 0) _exit(3);
    _exit(vfs_lock(own, 0) == VARVE_LOCKED ? 0 : 4);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
  assert_string_not_equal(read_text(s, "LOCK"), "");
  pid = child_start(s, false, 0);
  child_kill(pid);
  TEST_OK(vfs_unlock(s->fs));
  assert_string_equal(read_text(s, "LOCK"), "");
}

/* Takes the lock again and again; two that have it at once both want to create the same file. */
static int contend(scene *s, uint32_t rounds) {
  char owner[TEST_PATH_MAX + 16];
  vfs *fs;
  snprintf(owner, sizeof(owner), "%s/owner", s->path);
  if (vfs_posix_open(&s->alloc.base, s->path, 0, &fs) < 0) return 1;
  for (uint32_t i = 0; i < rounds; i++) {
    if (vfs_lock(fs, 60000) < 0) return 2;
    int fd = open(owner, O_CREAT | O_EXCL, 0600);
    if (fd < 0) return 3;
    close(fd);
    if (unlink(owner) != 0) return 4;
    if (vfs_unlock(fs) < 0) return 5;
  }
  return vfs_close_fs(fs) < 0 ? 6 : 0;
}

static void processes_take_turns(void **state) {
  scene *s = *state;
  pid_t pids[3];
  fflush(NULL);
  for (size_t i = 0; i < COUNT_OF(pids); i++) {
    pids[i] = fork();
    assert_true(pids[i] >= 0);
    if (pids[i] == 0) _exit(contend(s, test_scale(60)));
  }
  for (size_t i = 0; i < COUNT_OF(pids); i++) {
    int status = 0;
    assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
  }
}

/* ---- Node's claim ---- */

static void live_node_excludes(void **state) {
  scene *s = *state;
  char claim[64];
  pid_t pid = child_start(s, false, 0);
  snprintf(claim, sizeof(claim), "%lld %llu\n", (long long)pid, process_start(pid));
  write_text(s, "LOCK.node", claim);
  TEST_RC(vfs_lock(s->fs, 0), VARVE_LOCKED);
  assert_message_names(pid);
  assert_message_has("Node");
  assert_string_equal(read_text(s, "LOCK"), ""); /* backed off: the claim is withdrawn, so Node may go on */
  assert_string_equal(read_text(s, "LOCK.node"), claim);
  snprintf(claim, sizeof(claim), "%lld 0\n", (long long)pid); /* a Node that had no /proc */
  write_text(s, "LOCK.node", claim);
  TEST_RC(vfs_lock(s->fs, 0), VARVE_LOCKED);
  kill(pid, SIGKILL);
  siginfo_t info;
  assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
  TEST_OK(vfs_lock(s->fs, 0)); /* dead already, though nobody has collected it yet */
  assert_string_equal(read_text(s, "LOCK.node"), "missing");
  TEST_OK(vfs_unlock(s->fs));
  assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void what_dead_nodes_left_is_removed(void **state) {
  scene *s = *state;
  char dead[64], reused[64];
  pid_t pid = child_start(s, false, 0);
  snprintf(dead, sizeof(dead), "%lld %llu\n", (long long)pid, process_start(pid));
  child_kill(pid);
  /* the number is in use again, by a process that started at another time */
  snprintf(reused, sizeof(reused), "%lld %llu\n", (long long)getpid(), process_start(getpid()) + 1);
  /* the process lives, the worker's thread does not */
  char ended[80], lives[80];
  snprintf(ended, sizeof(ended), "%lld %llu\n%lld\n", (long long)getpid(), process_start(getpid()), (long long)pid);
  snprintf(lives, sizeof(lives), "%lld %llu\n%lld\n", (long long)getpid(), process_start(getpid()),
           (long long)getpid());
  write_text(s, "LOCK.node", lives);
  TEST_RC(vfs_lock(s->fs, 0), VARVE_LOCKED);
  const char *const claims[] = {
      dead, ended, reused, "", "\n", "12", "0 0\n", "-1 5\n", "x\n", "99999999999999999999999 1\n", "4294967297 1\n"};
  for (size_t i = 0; i < COUNT_OF(claims); i++) {
    write_text(s, "LOCK.node", claims[i]);
    TEST_OK(vfs_lock(s->fs, 0));
    assert_string_equal(read_text(s, "LOCK.node"), "missing");
    TEST_OK(vfs_unlock(s->fs));
  }
}

/* ---- places that cannot be written ---- */

static void read_only_directories(void **state) {
  scene *s = *state;
  vfs_file *file;
  TEST_OK(vfs_open(s->fs, FILE_SST, 1, VFS_CREATE, &file));
  TEST_OK(vfs_close(file));
  char table[TEST_PATH_MAX + 8];
  snprintf(table, sizeof(table), "%s/1.sst", s->path);
  assert_int_equal(chmod(table, 0444), 0);
  assert_int_equal(chmod(s->path, 0555), 0);
  TEST_RC(try_as_nobody(s, 0, FILE_SST, 1), VARVE_READONLY);
  TEST_OK(try_as_nobody(s, VFS_PLACE_READ_ONLY, FILE_SST, 1)); /* no LOCK, no owner */
  assert_int_equal(chmod(s->path, 0755), 0);
  TEST_OK(vfs_lock(s->fs, 0)); /* makes LOCK */
  assert_int_equal(chmod(s->path, 0555), 0);
  char path[TEST_PATH_MAX + 8];
  snprintf(path, sizeof(path), "%s/LOCK", s->path);
  assert_int_equal(chmod(path, 0444), 0);
  TEST_RC(try_as_nobody(s, VFS_PLACE_READ_ONLY, FILE_SST, 1), VARVE_LOCKED);
  TEST_OK(vfs_unlock(s->fs));
  TEST_OK(try_as_nobody(s, VFS_PLACE_READ_ONLY, FILE_SST, 1)); /* a shared lock */
  assert_string_equal(read_text(s, "LOCK"), "");
  TEST_RC(try_as_nobody(s, 0, FILE_SST, 1), VARVE_READONLY);
}

#define SCENE_TEST(test) cmocka_unit_test_setup_teardown(test, scene_setup, scene_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      SCENE_TEST(claim_is_written_and_cleared),
      SCENE_TEST(holder_is_named_and_dies_with_its_lock),
      SCENE_TEST(line_of_a_dead_one_does_not_name_the_holder),
      SCENE_TEST(process_lives_while_one_of_its_threads_does),
      SCENE_TEST(waiting_ends_when_the_holder_does),
      SCENE_TEST(forked_child_owns_nothing),
      SCENE_TEST(processes_take_turns),
      SCENE_TEST(live_node_excludes),
      SCENE_TEST(what_dead_nodes_left_is_removed),
      SCENE_TEST(read_only_directories),
  };
  return cmocka_run_group_tests_name("lock", tests, NULL, NULL);
}
