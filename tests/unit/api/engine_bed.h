/* engine_bed.h: what the tests of the whole engine share: databases as images of files that can be damaged and opened
 * again in memory, the whole content of a database as one number, sentences that must hold a word.
 */
#ifndef VARVE_ENGINE_BED_H
#define VARVE_ENGINE_BED_H

#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/api_int.h"
#include "base/xxh64.h"
#include "lsm/lsm_int.h"

#define BED_PATH_MAX (TEST_PATH_MAX + 64)

static inline void bed_join(char path[BED_PATH_MAX], const char *dir, const char *name) {
  int n = snprintf(path, BED_PATH_MAX, "%s/%s", dir, name);
  assert_true(n > 0 && n < BED_PATH_MAX);
}

/* The last message holds these words. */
static inline void bed_says(const char *word) {
  if (strstr(varve_errmsg(NULL), word) == NULL) fail_msg("\"%s\" does not say \"%s\"", varve_errmsg(NULL), word);
}
#define EXPECT(expr, status, word) \
  do {                             \
    TEST_RC((expr), (status));     \
    bed_says(word);                \
  } while (0)

/* ---- entries ---- */

static inline varve_slice bed_key(char text[32], uint32_t i) {
  int n = snprintf(text, 32, "key%08u", (unsigned)i);
  varve_slice s = {text, (size_t)n};
  return s;
}

/* `size` bytes that depend on key and version. */
static inline varve_slice bed_value(uint8_t *bytes, size_t size, uint32_t i, uint32_t turn) {
  rng r = {((uint64_t)turn << 32) | i};
  for (size_t k = 0; k < size; k++) bytes[k] = (uint8_t)(k % 4 == 0 ? rng_next(&r) : bytes[k - 1]);
  varve_slice s = {bytes, size};
  return s;
}

enum { BED_VALUE_MAX = 4096 };

static inline int bed_put(varve_db *db, uint32_t i, uint32_t turn, size_t size) {
  char text[32];
  uint8_t bytes[BED_VALUE_MAX];
  assert_true(size <= sizeof bytes);
  return varve_put(db, bed_key(text, i), bed_value(bytes, size, i, turn), NULL);
}

/* Fails the test unless key i has that turn's value; turn 0 = absent. */
static inline void bed_check(varve_db *db, uint32_t i, uint32_t turn, size_t size) {
  char text[32];
  uint8_t bytes[BED_VALUE_MAX];
  varve_value v;
  int rc = varve_get(db, bed_key(text, i), NULL, &v);
  if (turn == 0) {
    TEST_RC(rc, VARVE_NOTFOUND);
    return;
  }
  TEST_OK(rc);
  TEST_RC(rc, VARVE_OK);
  varve_slice wanted = bed_value(bytes, size, i, turn);
  assert_int_equal(v.size, wanted.size);
  assert_memory_equal(v.data, wanted.data, wanted.size);
  varve_value_release(&v);
}

static inline varve_stats bed_stats(varve_db *db) {
  varve_stats s;
  TEST_OK(varve_get_stats(db, &s));
  return s;
}

/* ---- the whole content ---- */

typedef struct bed_content {
  uint64_t digest, entries;
} bed_content;

static inline uint64_t bed_entry_hash(uint64_t seed, varve_slice key, varve_slice value) {
  return xxh64(value.data == NULL ? "" : value.data, value.size, xxh64(key.data, key.size, seed));
}

/* Forward with gets, then backward: both must agree, or the answer is BUG. */
static inline int bed_read_space(varve_db *db, varve_keyspace *space, uint64_t seed, bed_content *out) {
  varve_iter_options o = {.keyspace = space};
  varve_read_options ro = {.keyspace = space};
  varve_iter *it;
  uint64_t sum = 0, back = 0, count = 0, count_back = 0;
  TRY(varve_iter_open(db, &o, &it));
  int rc = varve_iter_first(it);
  for (; rc == VARVE_OK; rc = varve_iter_next(it)) {
    varve_value v;
    uint64_t h = bed_entry_hash(seed, varve_iter_key(it), varve_iter_value(it));
    int found = varve_get(db, varve_iter_key(it), &ro, &v);
    if (found < 0) {
      rc = found;
      break;
    }
    varve_slice got = {v.data, v.size};
    if (found != VARVE_OK || bed_entry_hash(seed, varve_iter_key(it), got) != h) {
      rc = status_fail(VARVE_BUG, "a get and an iterator do not agree");
      if (found == VARVE_OK) varve_value_release(&v);
      break;
    }
    varve_value_release(&v);
    sum = sum * 31 + h;
    count++;
  }
  uint64_t scale = 1;
  if (rc == VARVE_DONE) {
    for (rc = varve_iter_last(it); rc == VARVE_OK; rc = varve_iter_prev(it)) {
      back += bed_entry_hash(seed, varve_iter_key(it), varve_iter_value(it)) * scale;
      scale *= 31;
      count_back++;
    }
  }
  varve_iter_close(it);
  if (rc < 0) return rc;
  if (sum != back || count != count_back) return status_fail(VARVE_BUG, "forward and backward do not agree");
  out->digest = out->digest * 31 + sum;
  out->entries += count;
  return VARVE_OK;
}

typedef struct bed_names {
  char name[8][VARVE_KEYSPACE_NAME_MAX + 1];
  uint32_t count;
} bed_names;

static inline int bed_names_visit(void *context, varve_slice name) {
  bed_names *names = context;
  if (names->count == COUNT_OF(names->name)) return 1;
  memcpy(names->name[names->count], name.data, name.size);
  names->name[names->count++][name.size] = '\0';
  return 0;
}

/* Everything that can be read, in all keyspaces: a failure, or one number. */
static inline int bed_read_all(varve_db *db, bed_content *out) {
  bed_names names = {.count = 0};
  memset(out, 0, sizeof *out);
  TRY(bed_read_space(db, NULL, 1, out));
  TRY(varve_keyspace_list(db, bed_names_visit, &names));
  for (uint32_t i = 0; i < names.count; i++) {
    varve_keyspace *space;
    TRY(varve_keyspace_open(db, VARVE_STR(names.name[i]), &space));
    TRY(bed_read_space(db, space, xxh64(names.name[i], strlen(names.name[i]), 2), out));
  }
  return VARVE_OK;
}

/* ---- images ---- */

typedef struct bed_file {
  file_kind kind;
  uint64_t number;
  size_t size;
  uint8_t *bytes;
} bed_file;

typedef struct bed_image {
  bed_file files[2048];
  size_t count;
  vfs *fs; /* while it is taken */
} bed_image;

static inline int bed_image_visit(void *context, file_kind kind, uint64_t number, uint64_t size) {
  bed_image *image = context;
  vfs_file *file;
  assert_true(image->count < COUNT_OF(image->files));
  bed_file *f = &image->files[image->count++];
  *f = (bed_file){kind, number, (size_t)size, malloc((size_t)size + 1)};
  assert_non_null(f->bytes);
  TEST_OK(vfs_open(image->fs, kind, number, 0, &file));
  TEST_OK(vfs_read_exact(file, 0, f->bytes, f->size));
  TEST_OK(vfs_close(file));
  return 0;
}

static inline void bed_image_take(vfs *fs, bed_image *image) {
  image->count = 0;
  image->fs = fs;
  TEST_OK(vfs_list(fs, bed_image_visit, image));
  image->fs = NULL;
}

static inline void bed_image_of_dir(const char *path, bed_image *image) {
  vfs *fs;
  TEST_OK(vfs_posix_open(api_allocator(), path, VFS_PLACE_READ_ONLY, &fs));
  bed_image_take(fs, image);
  TEST_OK(vfs_close_fs(fs));
}

static inline void bed_image_put(const bed_image *image, vfs *fs) {
  for (size_t i = 0; i < image->count; i++) {
    const bed_file *f = &image->files[i];
    vfs_file *file;
    TEST_OK(vfs_open(fs, f->kind, f->number, VFS_CREATE, &file));
    if (f->size > 0) TEST_OK(vfs_write_at(file, 0, f->bytes, f->size));
    TEST_OK(vfs_close(file));
  }
}

static inline void bed_image_to_dir(const bed_image *image, const char *path) {
  vfs *fs;
  TEST_OK(vfs_posix_open(api_allocator(), path, VFS_PLACE_CREATE, &fs));
  bed_image_put(image, fs);
  TEST_OK(vfs_close_fs(fs));
}

static inline void bed_image_free(bed_image *image) {
  for (size_t i = 0; i < image->count; i++) free(image->files[i].bytes);
  image->count = 0;
}

static inline bool bed_image_equal(const bed_image *a, const bed_image *b) {
  if (a->count != b->count) return false;
  for (size_t i = 0; i < a->count; i++) {
    const bed_file *x = &a->files[i], *y = &b->files[i];
    if (x->kind != y->kind || x->number != y->number || x->size != y->size) return false;
    if (memcmp(x->bytes, y->bytes, x->size) != 0) return false;
  }
  return true;
}

static inline bed_file *bed_image_find(bed_image *image, file_kind kind) {
  for (size_t i = 0; i < image->count; i++) {
    if (image->files[i].kind == kind) return &image->files[i];
  }
  return NULL;
}

/* Opens a copy of the image in memory. */
static inline int bed_open_image(const bed_image *image, const varve_options *options, varve_db **db) {
  env *e;
  TEST_OK(env_open(api_allocator(), ":memory:", VFS_PLACE_CREATE, &e));
  bed_image_put(image, e->fs);
  TEST_OK(vfs_lock(e->fs, 0));
  return api_open(e, options, db);
}

/* Opens the image, reads all of it, verifies, closes: the first failure, or OK and the content. */
static inline int bed_examine(const bed_image *image, const varve_options *options, bed_content *out) {
  varve_db *db;
  TRY(bed_open_image(image, options, &db));
  int rc = bed_read_all(db, out);
  if (rc >= 0) rc = varve_verify(db, NULL, NULL, NULL);
  char message[STATUS_MESSAGE_SIZE];
  status_keep_message(message);
  int closed = varve_close(db);
  if (rc < 0) status_set_message(message);
  return rc < 0 ? rc : closed;
}

#endif
