/* fuzz.c: what fuzz targets share (see fuzz.h). */
#include "fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"
#include "lsm/sst_format.h"
#include "lsm/wal_format.h"

const fuzz_target *const fuzz_targets[] = {
    &fuzz_super,      &fuzz_manifest, &fuzz_edit,   &fuzz_wal,  &fuzz_table,  &fuzz_block,   &fuzz_index,
    &fuzz_properties, &fuzz_ranges,   &fuzz_filter, &fuzz_lz4,  &fuzz_coding, &fuzz_batch,   &fuzz_catalogue,
    &fuzz_database,   &fuzz_single,   &fuzz_ops,    &fuzz_load, &fuzz_tuple,  &fuzz_posting,
};
const size_t fuzz_targets_count = COUNT_OF(fuzz_targets);

void fuzz_failed(const char *condition, const char *file, int line) {
  fprintf(stderr, "%s:%d: %s does not hold (last message: %s)\n", file, line, condition, status_message());
  abort();
}

void fuzz_check_status(int rc) {
  bool fine = rc >= 0 || rc == VARVE_CORRUPT || rc == VARVE_NEWER_FORMAT || rc == VARVE_NOT_DATABASE;
  if (!fine) fprintf(stderr, "%s\n", varve_status_name(rc));
  FUZZ_CHECK(fine);
}

/* ---- input ---- */

uint8_t fuzz_u8(fuzz_input *in) {
  if (in->left == 0) return 0;
  in->left--;
  return *in->at++;
}

uint32_t fuzz_number(fuzz_input *in, unsigned bytes) {
  uint32_t v = 0;
  for (unsigned i = 0; i < bytes; i++) v |= (uint32_t)fuzz_u8(in) << (8 * i);
  return v;
}

uint8_t *fuzz_copy(const fuzz_input *in) {
  uint8_t *bytes = malloc(in->left + 1);
  FUZZ_CHECK(bytes != NULL);
  memcpy(bytes, in->at, in->left);
  return bytes;
}

slice fuzz_take(fuzz_input *in, size_t size) {
  slice s = slice_make(in->at, MIN(size, in->left));
  in->at += s.size;
  in->left -= s.size;
  return s;
}

/* ---- memory and places ---- */

static struct {
  allocator base;
  size_t cap;
} fuzz_memory;

static void *fuzz_resize(allocator *self, void *ptr, size_t old_size, size_t new_size) {
  size_t used = atomic_load(&self->used) - old_size;
  if (new_size > fuzz_memory.cap || used > fuzz_memory.cap - new_size) {
    fprintf(stderr, "%zu bytes more than the %zu in use are beyond the cap of %zu\n", new_size, used, fuzz_memory.cap);
    abort();
  }
  atomic_store(&self->used, used + new_size);
  if (new_size > 0) return realloc(ptr, new_size);
  free(ptr);
  return NULL;
}

allocator *fuzz_memory_begin(size_t cap) {
  fuzz_memory.base.resize = fuzz_resize;
  fuzz_memory.cap = cap;
  FUZZ_CHECK(atomic_load(&fuzz_memory.base.used) == 0);
  return &fuzz_memory.base;
}

void fuzz_memory_end(void) {
  FUZZ_CHECK(atomic_load(&fuzz_memory.base.used) == 0);
}

static allocator fuzz_disk;

static void fuzz_random(env *e, void *data, size_t size) {
  static rng r;
  uint8_t *p = data;
  (void)e;
  r.state = 0x5eed;
  for (size_t i = 0; i < size; i++) p[i] = (uint8_t)rng_next(&r);
}

env *fuzz_env(allocator *alloc) {
  env *e;
  if (fuzz_disk.resize == NULL) allocator_init_libc(&fuzz_disk);
  FUZZ_CHECK(env_open(alloc, ":memory:", VFS_PLACE_CREATE, &e) >= 0);
  FUZZ_CHECK(vfs_close_fs(e->fs) >= 0);
  FUZZ_CHECK(vfs_mem_open(&fuzz_disk, &e->fs) >= 0);
  e->random = fuzz_random;
  return e;
}

void fuzz_put(vfs *fs, file_kind kind, uint64_t number, const void *data, size_t size) {
  vfs_file *file;
  if (vfs_open(fs, kind, number, VFS_CREATE, &file) < 0) return; /* there is one */
  if (size > 0) FUZZ_CHECK(vfs_write_at(file, 0, data, size) >= 0);
  FUZZ_CHECK(vfs_close(file) >= 0);
}

/* ---- files ---- */

void fuzz_files_read(fuzz_input *in, fuzz_files *files) {
  size_t count = fuzz_u8(in) % (FUZZ_FILES_MAX + 1);
  files->count = 0;
  for (size_t i = 0; i < count && in->left > 0; i++) {
    fuzz_file *f = &files->file[files->count++];
    f->kind = (file_kind)(fuzz_u8(in) % FILE_KINDS);
    uint8_t number = fuzz_u8(in);
    f->number = f->kind == FILE_SUPER ? 0 : MAX(1u, number);
    slice bytes = fuzz_take(in, fuzz_number(in, 3));
    f->size = bytes.size;
    f->data = malloc(f->size + 1);
    FUZZ_CHECK(f->data != NULL);
    memcpy(f->data, bytes.data, f->size);
  }
}

static int fuzz_visit(void *context, file_kind kind, uint64_t number, uint64_t size) {
  fuzz_files *files = context;
  FUZZ_CHECK(files->count < FUZZ_FILES_MAX);
  files->file[files->count++] = (fuzz_file){kind, number, NULL, (size_t)size};
  return 0;
}

void fuzz_files_of(vfs *fs, fuzz_files *files) {
  files->count = 0;
  FUZZ_CHECK(vfs_list(fs, fuzz_visit, files) >= 0);
  for (size_t i = 0; i < files->count; i++) {
    fuzz_file *f = &files->file[i];
    vfs_file *file;
    f->data = malloc(f->size + 1);
    FUZZ_CHECK(f->data != NULL);
    FUZZ_CHECK(vfs_open(fs, f->kind, f->number, 0, &file) >= 0);
    FUZZ_CHECK(vfs_read_exact(file, 0, f->data, f->size) >= 0);
    FUZZ_CHECK(vfs_close(file) >= 0);
    if (f->kind != FILE_WAL) continue;
    size_t used = f->size; /* without most of the space that was reserved */
    while (used > 0 && f->data[used - 1] == 0) used--;
    f->size = MIN((used + 15) / 8 * 8, f->size);
  }
}

void fuzz_files_emit(const fuzz_files *files, uint8_t flags, fuzz_emit emit, void *context) {
  size_t size = 2, at = 2;
  for (size_t i = 0; i < files->count; i++) size += 5 + files->file[i].size;
  uint8_t *data = malloc(size);
  FUZZ_CHECK(data != NULL);
  data[0] = flags;
  data[1] = (uint8_t)files->count;
  for (size_t i = 0; i < files->count; i++) {
    const fuzz_file *f = &files->file[i];
    const uint8_t head[5] = {(uint8_t)f->kind, (uint8_t)f->number, (uint8_t)f->size, (uint8_t)(f->size >> 8),
                             (uint8_t)(f->size >> 16)};
    memcpy(data + at, head, sizeof head);
    memcpy(data + at + sizeof head, f->data, f->size);
    at += sizeof head + f->size;
  }
  emit(context, data, size);
  free(data);
}

void fuzz_files_free(fuzz_files *files) {
  for (size_t i = 0; i < files->count; i++) free(files->file[i].data);
  files->count = 0;
}

void fuzz_emit_file(const fuzz_file *file, uint8_t flags, fuzz_emit emit, void *context) {
  uint8_t *data = malloc(file->size + 1);
  FUZZ_CHECK(data != NULL);
  data[0] = flags;
  memcpy(data + 1, file->data, file->size);
  emit(context, data, file->size + 1);
  free(data);
}

/* ---- seals ---- */

static void fuzz_seal_super(uint8_t *p, size_t size) {
  for (size_t slot = 0; size - slot >= SUPER_SLOT_SIZE && slot < 2 * SUPER_SLOT_SIZE; slot += SUPER_SLOT_SIZE) {
    put_u64(p + slot + SUPER_SLOT_SIZE - 8, xxh64(p + slot, SUPER_SLOT_SIZE - 8, 0));
  }
}

static void fuzz_seal_wal(uint8_t *p, size_t size) {
  if (size < WAL_HEADER_SIZE) return;
  put_u64(p + WAL_CHECKSUM_AT, xxh64(p, WAL_CHECKSUM_AT, 0));
  uint64_t salt = get_u64(p + WAL_SALT_AT);
  for (size_t at = WAL_HEADER_SIZE; at < size && size - at > WAL_FRAME_HEADER_SIZE;) {
    uint32_t body = get_u32(p + at);
    if (body == 0 || body > size - at - WAL_FRAME_HEADER_SIZE) return;
    put_u32(p + at + 4, wal_frame_checksum(p + at, body, salt, at));
    at += (size_t)wal_frame_size(body);
  }
}

static void fuzz_seal_manifest(uint8_t *p, size_t size, uint64_t number) {
  if (size < 64) return;
  put_u64(p + 56, xxh64(p, 56, 0));
  for (size_t at = 64; at < size && size - at > 8;) {
    uint32_t body = get_u32(p + at);
    if (body == 0 || body > size - at - 8) return;
    put_u32(p + at + 4, (uint32_t)xxh64(p + at + 8, body, number ^ at ^ body));
    at += 8 + (size_t)body;
  }
}

static void fuzz_seal_section(uint8_t *p, size_t size, uint64_t number, uint64_t offset, uint64_t stored) {
  if (offset > size || stored > size - offset || stored < SST_SECTION_TAIL) return;
  uint8_t *end = p + offset + stored;
  put_u32(end - 4, sst_checksum(p + offset, (size_t)stored - 4, number, offset));
}

static void fuzz_seal_table(uint8_t *p, size_t size, uint64_t number) {
  if (size < SST_FOOTER_BYTES) return;
  uint8_t *footer = p + size - SST_FOOTER_BYTES;
  uint64_t index = get_u64(footer + 32 + 16 * SST_INDEX), stored = get_u64(footer + 40 + 16 * SST_INDEX);
  if (index <= size && stored <= size - index && stored >= 16) {
    uint32_t count = get_u32(p + index);
    size_t offsets = 8 + 8 * (size_t)count;
    for (size_t i = 0; i < count && i < size && offsets + 4 * i + 8 <= stored; i++) {
      uint64_t from = (uint64_t)get_u32(p + index + offsets + 4 * i) * 8;
      uint64_t to = (uint64_t)get_u32(p + index + offsets + 4 * i + 4) * 8;
      if (to > from && to <= index) fuzz_seal_section(p, size, number, from, to - from);
    }
  }
  for (size_t i = 0; i < SST_PARTS; i++) {
    uint64_t offset = get_u64(footer + 32 + 16 * i), bytes = get_u64(footer + 40 + 16 * i);
    fuzz_seal_section(p, size - SST_FOOTER_BYTES, number, offset, bytes);
  }
  put_u32(footer + 124, sst_checksum(footer, 124, number, size - SST_FOOTER_BYTES));
}

void fuzz_seal(uint8_t *data, size_t size, file_kind kind, uint64_t number) {
  if (kind == FILE_SUPER) fuzz_seal_super(data, size);
  if (kind == FILE_MANIFEST) fuzz_seal_manifest(data, size, number);
  if (kind == FILE_WAL) fuzz_seal_wal(data, size);
  if (kind == FILE_SST) fuzz_seal_table(data, size, number);
}
