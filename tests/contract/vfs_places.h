/* vfs_places.h: what the contract tests of env/vfs.h run on: every vfs, each test in a new place of each.
 *
 * Another vfs joins with one line in `kinds`. A test says which power it needs that not every place has (a directory
 * that can be opened twice, maps, threads) and is skipped where it is missing.
 */
#ifndef VARVE_VFS_PLACES_H
#define VARVE_VFS_PLACES_H

#include "support/test.h"

#include "env/vfs.h"

#include <stdio.h>
#include <stdlib.h>

#define NEEDS_DISK     1u /* the place outlives its vfs: it can be opened twice and read-only, files may have holes */
#define NEEDS_MAP      2u
#define NEEDS_MAP_BOTH 4u
#define NEEDS_THREADS  8u

typedef struct vfs_kind {
  const char *name;
  int (*open)(allocator *alloc, const char *path, uint32_t flags, vfs **fs);
  bool disk;
  bool directory; /* others may put files into it */
} vfs_kind;

static inline int open_memory(allocator *alloc, const char *path, uint32_t flags, vfs **fs) {
  (void)path;
  (void)flags;
  return vfs_mem_open(alloc, fs);
}

/* A new file in memory that holds all others. */
static inline int open_single_memory(allocator *alloc, const char *path, uint32_t flags, vfs **fs) {
  vfs *base;
  (void)path;
  *fs = NULL;
  int rc = vfs_mem_open(alloc, &base);
  return rc < 0 ? rc : vfs_single_open(alloc, base, flags, fs);
}

static inline int open_single_posix(allocator *alloc, const char *path, uint32_t flags, vfs **fs) {
  vfs *base;
  char file[TEST_PATH_MAX + 16];
  snprintf(file, sizeof(file), "%s.varve", path);
  *fs = NULL;
  int rc = vfs_posix_open(alloc, file, flags, &base);
  return rc < 0 ? rc : vfs_single_open(alloc, base, flags, fs);
}

static const vfs_kind kinds[] = {
    {"mem", open_memory, false, false},
    {"posix", vfs_posix_open, true, true},
    {"single over mem", open_single_memory, false, false},
    {"single over posix", open_single_posix, true, false},
};

typedef struct contract {
  const char *name;
  void (*run)(void **state);
  uint32_t needs;
} contract;

/* What a test works with. */
typedef struct place {
  const vfs_kind *kind;
  uint32_t needs;
  test_allocator alloc;
  char root[TEST_PATH_MAX];
  char path[TEST_PATH_MAX + 8];
  vfs *fs;
  bool skip;
} place;

static inline int place_setup(void **state) {
  const place *wanted = *state;
  place *p = calloc(1, sizeof(*p));
  assert_non_null(p);
  *p = *wanted;
  test_allocator_init(&p->alloc);
  test_dir_create(p->root);
  snprintf(p->path, sizeof(p->path), "%s/db", p->root);
  TEST_OK(p->kind->open(&p->alloc.base, p->path, VFS_PLACE_CREATE, &p->fs));
  uint32_t traits = p->fs->traits;
  p->skip = ((p->needs & NEEDS_DISK) != 0 && !p->kind->disk) ||
            ((p->needs & NEEDS_MAP) != 0 && (traits & VFS_MAP_READ) == 0) ||
            ((p->needs & NEEDS_MAP_BOTH) != 0 && (traits & VFS_MAP_WRITE) == 0) ||
            ((p->needs & NEEDS_THREADS) != 0 && (traits & VFS_THREADS) == 0);
  *state = p;
  return 0;
}

static inline int place_teardown(void **state) {
  place *p = *state;
  if (p->fs != NULL) TEST_OK(vfs_close_fs(p->fs));
  test_allocator_check(&p->alloc);
  test_dir_remove(p->root);
  free(p);
  return 0;
}

/* A log of vfs_single that could not grow where it lay is in pieces, and is not mapped: *map = NULL. */
static inline int map_log(const place *p, vfs_file *file, size_t size, void **map) {
  int rc = vfs_map(file, size, true, map);
  return rc == VARVE_UNSUPPORTED && strncmp(p->kind->name, "single", 6) == 0 ? VARVE_OK : rc;
}

#define PLACE(state)   \
  place *p = *(state); \
  if (p->skip) {       \
    skip();            \
  }                    \
  vfs *fs = p->fs

static inline vfs_file *create(vfs *fs, file_kind kind, uint64_t number) {
  vfs_file *file;
  TEST_OK(vfs_open(fs, kind, number, VFS_CREATE, &file));
  assert_non_null(file);
  assert_ptr_equal(file->fs, fs);
  assert_int_equal(file->kind, kind);
  assert_int_equal(file->number, number);
  return file;
}

static inline vfs_file *reopen(vfs *fs, file_kind kind, uint64_t number, uint32_t flags) {
  vfs_file *file;
  TEST_OK(vfs_open(fs, kind, number, flags, &file));
  return file;
}

static inline void assert_message_has(const char *part) {
  if (strstr(status_message(), part) != NULL) return;
  print_error("\"%s\" does not say \"%s\"\n", status_message(), part);
  fail();
}

static inline void assert_bytes(vfs_file *file, uint64_t offset, const void *expected, size_t size) {
  uint8_t *data = malloc(size + 1);
  size_t got;
  TEST_OK(vfs_read_at(file, offset, data, size, &got));
  assert_int_equal(got, size);
  assert_memory_equal(data, expected, size);
  free(data);
}

static inline uint64_t size_of(vfs_file *file) {
  uint64_t size;
  TEST_OK(vfs_size(file, &size));
  return size;
}

typedef struct listing {
  vfs *fs;
  char text[512];
  bool remove;
  int stop_after;
} listing;

static inline int listing_visit(void *context, file_kind kind, uint64_t number, uint64_t size) {
  listing *l = context;
  size_t length = strlen(l->text);
  snprintf(l->text + length, sizeof(l->text) - length, "%s=%d ", file_name(kind, number), (int)size);
  if (l->remove) TEST_OK(vfs_remove(l->fs, kind, number));
  return l->stop_after > 0 && --l->stop_after == 0 ? 42 : 0;
}

static inline int run_contracts(const char *suite, const contract *contracts, size_t count) {
  static struct CMUnitTest tests[128];
  static place places[COUNT_OF(tests)];
  static char names[COUNT_OF(tests)][80];
  size_t total = COUNT_OF(kinds) * count;
  assert_true(total <= COUNT_OF(tests));
  for (size_t i = 0; i < total; i++) {
    const vfs_kind *kind = &kinds[i / count];
    const contract *c = &contracts[i % count];
    snprintf(names[i], sizeof(names[i]), "%s: %s", kind->name, c->name);
    places[i].kind = kind;
    places[i].needs = c->needs;
    struct CMUnitTest test = {names[i], c->run, place_setup, place_teardown, &places[i]};
    tests[i] = test;
  }
  return _cmocka_run_group_tests(suite, tests, total, NULL, NULL);
}

#endif
