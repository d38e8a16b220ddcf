/* fuzz_wal.c: the log's reader over a hostile file, and batches. */
#include "fuzz/fuzz.h"

#include <stdlib.h>

#include "lsm/batch.h"
#include "lsm/wal_format.h"

/* Operations of a batch, put together anew: the same bytes. */
static uint32_t batch_again(allocator *alloc, slice ops, bool *whole) {
  reader r = reader_of(ops);
  batch_op op;
  batch b;
  int rc;
  batch_init(&b, alloc);
  while ((rc = batch_read(&r, &op)) == 1) {
    slice none = slice_make(NULL, 0);
    FUZZ_CHECK(op.key.size > 0 && op.key.size <= INNER_KEY_MAX);
    if (op.kind == KIND_PUT) FUZZ_CHECK(batch_put(&b, none, op.key, op.value) >= 0);
    if (op.kind == KIND_DELETE) FUZZ_CHECK(batch_delete(&b, none, op.key) >= 0);
    if (op.kind == KIND_RANGE_DELETE) FUZZ_CHECK(batch_delete_range(&b, op.key, op.value) >= 0);
  }
  FUZZ_CHECK(rc == 0 || rc == VARVE_CORRUPT);
  *whole = rc == 0;
  uint32_t count = b.count;
  FUZZ_CHECK(b.ops.size <= ops.size &&
             memcmp(b.ops.data == NULL ? "" : (char *)b.ops.data, ops.size == 0 ? "" : ops.data, b.ops.size) == 0);
  FUZZ_CHECK(!*whole || b.ops.size == ops.size);
  batch_free(&b);
  return count;
}

static void batch_run(const uint8_t *data, size_t size) {
  bool whole;
  (void)batch_again(fuzz_memory_begin(16 * size + (64 << 10)), slice_make(data, size), &whole);
  fuzz_memory_end();
}

static void wal_run(const uint8_t *data, size_t size) {
  fuzz_input in = {data, size};
  uint8_t flags = fuzz_u8(&in);
  uint8_t *file = fuzz_copy(&in);
  if ((flags & FUZZ_SEAL) != 0) {
    if (in.left >= 16) memcpy(file, "VARVEWAL\1\0\0\0\0\0\0", 16);
    fuzz_seal(file, in.left, FILE_WAL, 1);
  }
  allocator *alloc = fuzz_memory_begin(16 * in.left + (1 << 20));
  env *e = fuzz_env(alloc);
  if ((flags & 2) != 0) e->fs->traits &= ~(VFS_MAP_READ | VFS_MAP_WRITE);
  fuzz_put(e->fs, FILE_WAL, 5, file, in.left);
  wal_header h;
  wal_reader *r;
  int rc = wal_reader_open(e, 5, &h, &r);
  fuzz_check_status(rc);
  if (rc == VARVE_OK) {
    wal_frame f;
    uint64_t seq = h.next_seq, end = WAL_HEADER_SIZE;
    while ((rc = wal_reader_next(r, &f)) == VARVE_OK) {
      bool whole;
      FUZZ_CHECK(f.first_seq == seq && f.offset == end && f.count > 0 && f.synced <= f.offset);
      (void)batch_again(alloc, f.body, &whole);
      seq += f.count;
      end = wal_reader_end(r);
      FUZZ_CHECK(end >= f.offset + WAL_FRAME_HEADER_SIZE + f.body.size && seq <= SEQ_MAX + 1);
    }
    fuzz_check_status(rc);
    FUZZ_CHECK(wal_reader_end(r) == end);
    wal_reader_close(r);
    wal_writer *w; /* what was read can be written on */
    if (rc == VARVE_DONE && seq < SEQ_MAX && wal_continue(e, 5, &h, end, 0, &w) >= 0) {
      FUZZ_CHECK(wal_append(w, seq, 1, slice_make("\0\1k", 3)) >= 0);
      FUZZ_CHECK(wal_close(w) >= 0);
      FUZZ_CHECK(wal_reader_open(e, 5, &h, &r) == VARVE_OK);
      do rc = wal_reader_next(r, &f);
      while (rc == VARVE_OK && f.offset < end);
      FUZZ_CHECK(rc == VARVE_OK && f.offset == end && f.first_seq == seq);
      wal_reader_close(r);
    }
  }
  FUZZ_CHECK(env_close(e) >= 0);
  fuzz_memory_end();
  free(file);
}

static void wal_seeds(fuzz_emit emit, void *context) {
  for (unsigned which = 0; which < FUZZ_SAMPLES; which++) {
    fuzz_files files;
    fuzz_sample(which, &files);
    for (size_t i = 0; i < files.count; i++) {
      if (files.file[i].kind != FILE_WAL) continue;
      for (uint8_t flags = 0; flags < 4; flags++) fuzz_emit_file(&files.file[i], flags, emit, context);
    }
    fuzz_files_free(&files);
  }
}

static void batch_seeds(fuzz_emit emit, void *context) {
  fuzz_files files;
  fuzz_sample(0, &files);
  for (size_t i = 0; i < files.count; i++) {
    const fuzz_file *f = &files.file[i];
    if (f->kind != FILE_WAL) continue;
    for (size_t at = WAL_HEADER_SIZE; at + WAL_FRAME_HEADER_SIZE < f->size && get_u32(f->data + at) > 0;) {
      uint32_t size = get_u32(f->data + at);
      if (size > f->size - at - WAL_FRAME_HEADER_SIZE) break;
      emit(context, f->data + at + WAL_FRAME_HEADER_SIZE, size);
      at += (size_t)wal_frame_size(size);
    }
  }
  fuzz_files_free(&files);
}

const fuzz_target fuzz_wal = {"wal", 4096, wal_run, wal_seeds};
const fuzz_target fuzz_batch = {"batch", 1024, batch_run, batch_seeds};
