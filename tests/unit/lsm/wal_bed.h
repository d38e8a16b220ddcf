/* wal_bed.h: what the tests of the log share: a place with faults, a list of what was appended, files as bytes.
 */
#ifndef VARVE_WAL_BED_H
#define VARVE_WAL_BED_H

#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/limits.h"
#include "env/sync.h"
#include "lsm/wal_format.h"
#include "support/fault_vfs.h"

/* ---- a place, and what was written to it ---- */

typedef struct bed {
  test_allocator memory;
  char path[TEST_PATH_MAX]; /* "" = in memory */
  fault_vfs *fs;
  env e;
  rng r;
} bed;

static rng *bed_entropy;

static inline void bed_random(env *self, void *data, size_t size) {
  (void)self;
  test_fill(bed_entropy, data, size);
}

static inline void bed_open(bed *b, const char *name, bool posix, bool mapped) {
  vfs *inner;
  memset(b, 0, sizeof *b);
  test_allocator_init(&b->memory);
  b->r = test_rng(name);
  bed_entropy = &b->r;
  if (posix) {
    test_dir_create(b->path);
    TEST_OK(vfs_posix_open(&b->memory.base, b->path, 0, &inner));
  } else {
    TEST_OK(vfs_mem_open(&b->memory.base, &inner));
  }
  TEST_OK(fault_vfs_open(inner, &b->fs));
  if (!mapped) b->fs->base.traits &= ~(VFS_MAP_READ | VFS_MAP_WRITE);
  b->e = (env){.fs = &b->fs->base, .alloc = &b->memory.base, .random = bed_random};
}

static inline void bed_close(bed *b) {
  TEST_OK(vfs_close_fs(&b->fs->base));
  test_allocator_check(&b->memory);
  if (b->path[0] != '\0') test_dir_remove(b->path);
}

typedef struct want_frame {
  uint64_t offset, seq, synced;
  uint32_t count, size;
  uint8_t *body;
} want_frame;

typedef struct want_log {
  want_frame frames[512];
  size_t count;
  uint64_t seq, end;
} want_log;

static inline void want_free(want_log *l) {
  for (size_t i = 0; i < l->count; i++) free(l->frames[i].body);
  l->count = 0;
}

static inline uint32_t some_size(rng *r) {
  return rng_percent(r, 80) ? 1 + rng_below(r, 200) : 1 + rng_below(r, 5000);
}

/* Appends a frame of `size` random bytes and notes it when that worked. */
static inline int append_frame(wal_writer *w, want_log *l, rng *r, uint32_t size) {
  assert_true(l->count < COUNT_OF(l->frames));
  want_frame f = {wal_end(w), l->seq, wal_synced(w), 1 + rng_below(r, MIN(size, 9u)), size, malloc(size)};
  assert_non_null(f.body);
  test_fill(r, f.body, size);
  bool cut = wal_is_uncut(w); /* then the append itself syncs what is before it */
  int rc = wal_append(w, f.seq, f.count, slice_make(f.body, size));
  if (cut) f.synced = f.offset;
  if (rc < 0) {
    free(f.body);
    return rc;
  }
  l->seq += f.count;
  l->frames[l->count++] = f;
  l->end = f.offset + wal_frame_size(size);
  assert_int_equal(wal_end(w), l->end);
  return rc;
}

/* Reads file `number`: the frames must be the first ones of `l`. Returns the last status (of opening, when that is
 * not OK). */
static inline int read_frames(env *e, uint64_t number, const want_log *l, size_t *count) {
  wal_header h;
  wal_reader *r = NULL;
  wal_frame f;
  *count = 0;
  int rc = wal_reader_open(e, number, &h, &r);
  if (rc != VARVE_OK) {
    assert_null(r);
    return rc;
  }
  while ((rc = wal_reader_next(r, &f)) == VARVE_OK) {
    assert_true(*count < l->count);
    const want_frame *want = &l->frames[(*count)++];
    assert_int_equal(f.offset, want->offset);
    assert_int_equal(f.first_seq, want->seq);
    assert_int_equal(f.count, want->count);
    assert_int_equal(f.synced, want->synced);
    assert_int_equal(f.body.size, want->size);
    assert_memory_equal(f.body.data, want->body, want->size);
    assert_int_equal(wal_reader_end(r), want->offset + wal_frame_size(want->size));
    assert_true(wal_reader_synced(r) >= want->synced);
  }
  if (rc == VARVE_DONE) assert_int_equal(wal_reader_next(r, &f), VARVE_DONE);
  wal_reader_close(r);
  return rc;
}

/* A torn tail: bytes other than zeros stand behind the first `count` frames of `l` in file `number`. */
static inline bool has_tail(env *e, uint64_t number, const want_log *l, size_t count) {
  const want_frame *last = count == 0 ? NULL : &l->frames[count - 1];
  uint64_t end = last == NULL ? WAL_HEADER_SIZE : last->offset + wal_frame_size(last->size), size;
  vfs_file *file;
  bool found = false;
  TEST_OK(vfs_open(e->fs, FILE_WAL, number, 0, &file));
  TEST_OK(vfs_size(file, &size));
  assert_true(end <= size);
  uint8_t *tail = malloc((size_t)(size - end) + 1);
  assert_non_null(tail);
  TEST_OK(vfs_read_exact(file, end, tail, (size_t)(size - end)));
  for (size_t i = 0; i < size - end; i++) found = found || tail[i] != 0;
  free(tail);
  TEST_OK(vfs_close(file));
  return found;
}

static inline void expect_log(env *e, uint64_t number, const want_log *l, bool torn) {
  size_t count;
  TEST_RC(read_frames(e, number, l, &count), VARVE_DONE);
  assert_int_equal(count, l->count);
  assert_int_equal(has_tail(e, number, l, count), torn);
}

static const wal_header first_header = {.log = 1, .next_seq = 1};

static inline wal_writer *create_log(env *e, uint64_t number, want_log *l, uint64_t size) {
  wal_header h = first_header;
  wal_writer *w;
  TEST_OK(wal_create(e, number, false, &h, size, &w));
  l->count = 0;
  l->seq = h.next_seq;
  l->end = WAL_HEADER_SIZE;
  return w;
}

/* ---- files as bytes ---- */

typedef struct image {
  uint8_t *data;
  size_t size;
} image;

static inline image take_image(env *e, uint64_t number, uint64_t limit) {
  vfs_file *file;
  uint64_t size;
  TEST_OK(vfs_open(e->fs, FILE_WAL, number, 0, &file));
  TEST_OK(vfs_size(file, &size));
  image i = {malloc((size_t)size + 1), (size_t)MIN(size, limit)};
  assert_non_null(i.data);
  if (i.size > 0) TEST_OK(vfs_read_exact(file, 0, i.data, i.size));
  TEST_OK(vfs_close(file));
  return i;
}

static inline void put_image(env *e, uint64_t number, const uint8_t *data, size_t size) {
  vfs_file *file;
  int rc = vfs_open(e->fs, FILE_WAL, number, VFS_WRITE, &file);
  if (rc == VARVE_MISSING) rc = vfs_open(e->fs, FILE_WAL, number, VFS_CREATE, &file);
  TEST_OK(rc);
  uint64_t before;
  TEST_OK(vfs_size(file, &before));
  if (before > size) TEST_OK(vfs_truncate(file, size));
  if (size > 0) TEST_OK(vfs_write_at(file, 0, data, size));
  TEST_OK(vfs_close(file));
}

/* A small log in which some frames prove that others were synced. */
static inline image damage_log(bed *b, want_log *l, uint32_t frames) {
  wal_writer *w = create_log(&b->e, 1, l, 0);
  for (uint32_t i = 0; i < frames; i++) {
    TEST_OK(append_frame(w, l, &b->r, 1 + rng_below(&b->r, 60)));
    if (i % 3 == 1 && i + 2 < frames) TEST_OK(wal_sync(w));
  }
  TEST_OK(wal_close(w));
  return take_image(&b->e, 1, l->end + 64);
}

#endif
