/* file_place_bed.h: what file_place_test.c and file_lock_test.c share: a place of one file, in a directory of its own.
 */
#ifndef VARVE_FILE_PLACE_BED_H
#define VARVE_FILE_PLACE_BED_H

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

static inline int scene_setup(void **state) {
  scene *s = calloc(1, sizeof(*s));
  assert_non_null(s);
  test_allocator_init(&s->alloc);
  test_dir_create(s->root);
  snprintf(s->path, sizeof(s->path), "%s/app.varve", s->root);
  TEST_OK(vfs_posix_open(&s->alloc.base, s->path, VFS_PLACE_CREATE, &s->fs));
  *state = s;
  return 0;
}

static inline int scene_teardown(void **state) {
  scene *s = *state;
  if (s->fs != NULL) TEST_OK(vfs_close_fs(s->fs));
  test_allocator_check(&s->alloc);
  chmod(s->root, 0700);
  test_dir_remove(s->root);
  free(s);
  return 0;
}

static inline void assert_message_has(const char *part) {
  if (strstr(status_message(), part) != NULL) return;
  print_error("\"%s\" does not say \"%s\"\n", status_message(), part);
  fail();
}

/* A path below the root. Static storage, one for each of four calls in a row. */
static inline const char *below(const scene *s, const char *name) {
  static char paths[4][TEST_PATH_MAX + 64];
  static unsigned next;
  char *path = paths[next++ % COUNT_OF(paths)];
  snprintf(path, sizeof(paths[0]), "%s/%s", s->root, name);
  return path;
}

static inline void write_text(const char *path, const char *text) {
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
}

/* The file's text, or "missing". Static storage. */
static inline const char *read_text(const char *path) {
  static char text[128];
  FILE *file = fopen(path, "r");
  if (file == NULL) return "missing";
  text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
  fclose(file);
  return text;
}

static inline bool is_there(const char *path) {
  struct stat info;
  return lstat(path, &info) == 0;
}

/* Makes the file, with "hello" in it, under the lock, which is given back. */
static inline void make_file(scene *s) {
  vfs_file *file;
  TEST_OK(vfs_lock(s->fs, 0));
  TEST_OK(vfs_open(s->fs, FILE_SINGLE, 0, VFS_CREATE, &file));
  TEST_OK(vfs_write_at(file, 0, "hello", 5));
  TEST_OK(vfs_close(file));
  TEST_OK(vfs_unlock(s->fs));
}

#define SCENE_TEST(test) cmocka_unit_test_setup_teardown(test, scene_setup, scene_teardown)

#endif
