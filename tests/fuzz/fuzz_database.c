/* fuzz_database.c: a whole database from any files (database), or from the one file of one (single): opened, read in
 * both directions and by gets, checked, written to, compacted, closed, opened again; or, one file, repaired, with or
 * without its directory. Where verify finds nothing
 * wrong all reads must agree, and nothing may be lost by what follows.
 */
#include "fuzz/fuzz.h"

#include <stdlib.h>

#include "api/api_int.h"
#include "base/xxh64.h"

enum { DATABASE_ENTRIES = 400 };

typedef struct database_content {
  uint64_t hash[DATABASE_ENTRIES];
  size_t count;
  bool whole;
} database_content;

/* A place that outlives its database. */
static vfs *database_fs;
static vfs_ops database_ops;

static int database_keep_fs(vfs *fs) {
  database_fs = fs;
  return VARVE_OK;
}

static uint64_t database_hash(varve_slice key, varve_slice value) {
  return xxh64(value.data == NULL ? "" : value.data, value.size, xxh64(key.data == NULL ? "" : key.data, key.size, 3));
}

static void database_get(varve_db *db, varve_keyspace *space, varve_iter *it, bool good) {
  varve_read_options o = {.keyspace = space};
  varve_value v;
  varve_slice key = varve_iter_key(it), value = varve_iter_value(it);
  int rc = varve_get(db, key, &o, &v);
  fuzz_check_status(rc);
  if (good) FUZZ_CHECK(rc == VARVE_OK && v.size == value.size && memcmp(v.data, value.data, v.size) == 0);
  if (rc == VARVE_OK) varve_value_release(&v);
}

static void database_read_space(varve_db *db, varve_keyspace *space, bool good, database_content *c) {
  varve_iter_options o = {.keyspace = space};
  varve_iter *it;
  size_t first = c->count;
  int rc = varve_iter_open(db, &o, &it);
  fuzz_check_status(rc);
  FUZZ_CHECK(!good || rc >= 0);
  c->whole = c->whole && rc >= 0;
  if (rc < 0) return;
  rc = varve_iter_first(it);
  for (; rc == VARVE_OK && c->count < DATABASE_ENTRIES; rc = varve_iter_next(it)) {
    database_get(db, space, it, good);
    c->hash[c->count++] = database_hash(varve_iter_key(it), varve_iter_value(it));
  }
  fuzz_check_status(rc);
  FUZZ_CHECK(!good || rc >= 0);
  c->whole = c->whole && rc == VARVE_DONE;
  size_t at = c->count;
  if (rc == VARVE_DONE) {
    for (rc = varve_iter_last(it); rc == VARVE_OK && at > first; rc = varve_iter_prev(it)) {
      at--;
      if (good) FUZZ_CHECK(c->hash[at] == database_hash(varve_iter_key(it), varve_iter_value(it)));
    }
    fuzz_check_status(rc);
    FUZZ_CHECK(!good || (rc == VARVE_DONE && at == first));
  }
  varve_iter_close(it);
}

typedef struct database_names {
  varve_slice name[8];
  size_t count;
} database_names;

static int database_name(void *context, varve_slice name) {
  database_names *names = context;
  if (names->count == COUNT_OF(names->name) || name.size > VARVE_KEYSPACE_NAME_MAX) return 1;
  void *copy = malloc(name.size + 1);
  FUZZ_CHECK(copy != NULL);
  memcpy(copy, name.data, name.size);
  names->name[names->count++] = (varve_slice){copy, name.size};
  return 0;
}

static void database_read(varve_db *db, bool good, database_content *c) {
  database_names names = {.count = 0};
  c->count = 0;
  c->whole = true;
  database_read_space(db, NULL, good, c);
  int rc = varve_keyspace_list(db, database_name, &names);
  if (rc != VARVE_ABORTED) fuzz_check_status(rc);
  for (size_t i = 0; i < names.count; i++) {
    varve_keyspace *space;
    rc = varve_keyspace_open(db, names.name[i], &space);
    if (rc != VARVE_INVALID && rc != VARVE_READONLY && rc != VARVE_LIMIT) fuzz_check_status(rc);
    if (rc >= 0) database_read_space(db, space, false, c); /* two names may have one id */
    free((void *)(uintptr_t)names.name[i].data);
  }
}

static bool database_limit(int rc) {
  return rc == VARVE_LIMIT || rc == VARVE_FAILED || rc == VARVE_READONLY;
}

/* Writes, flushes and compacts; whatever the files were, only damage may stop it. */
static bool database_change(varve_db *db) {
  varve_snapshot *s;
  int rc = varve_put(db, VARVE_STR("fuzz"), VARVE_STR("written"), NULL);
  if (!database_limit(rc)) fuzz_check_status(rc);
  bool put = rc >= 0;
  rc = varve_delete_range(db, VARVE_STR("k90"), VARVE_STR("k99"), NULL);
  if (!database_limit(rc)) fuzz_check_status(rc);
  FUZZ_CHECK(varve_snapshot_open(db, &s) >= 0);
  rc = varve_flush(db);
  if (!database_limit(rc)) fuzz_check_status(rc);
  varve_snapshot_close(s);
  rc = varve_compact(db, NULL, NULL);
  if (!database_limit(rc)) fuzz_check_status(rc);
  return put;
}

static int database_open(allocator *alloc, vfs *fs, uint8_t flags, varve_db **db) {
  varve_options o = {.no_thread = true,
                     .read_only = (flags & 2) != 0,
                     .no_mmap = (flags & 4) != 0,
                     .must_exist = true,
                     .memory_bytes = (flags & 4) != 0,
                     .memtable_bytes = 1,
                     .sync_interval_ms = 1000000};
  env *e = fuzz_env(alloc);
  FUZZ_CHECK(vfs_close_fs(e->fs) >= 0);
  e->fs = fs;
  int rc = vfs_lock(fs, 0);
  if (rc < 0) {
    FUZZ_CHECK(env_close(e) >= 0);
    return rc;
  }
  return api_open(e, &o, db);
}

/* `fs` is released. */
static void database_use(allocator *alloc, vfs *fs, uint8_t flags) {
  static database_content before, after;
  varve_db *db;
  const vfs_ops *own = fs->ops;
  database_ops = *own;
  database_ops.close_fs = database_keep_fs;
  fs->ops = &database_ops;
  int rc = database_open(alloc, fs, flags, &db);
  if (rc != VARVE_MISSING && rc != VARVE_READONLY && rc != VARVE_LIMIT) fuzz_check_status(rc);
  if (rc >= 0) {
    bool good = varve_verify(db, NULL, NULL, NULL) >= 0;
    if (!good) fuzz_check_status(VARVE_CORRUPT);
    database_read(db, good, &before);
    bool put = (flags & 2) == 0 && database_change(db);
    rc = varve_close(db);
    if (!database_limit(rc)) fuzz_check_status(rc);
    if (good && (flags & 2) == 0) {
      rc = database_open(alloc, fs, flags | 2, &db);
      FUZZ_CHECK(rc >= 0);
      database_read(db, true, &after);
      varve_value v;
      rc = varve_get(db, VARVE_STR("fuzz"), NULL, &v);
      FUZZ_CHECK(!put || rc == VARVE_OK);
      if (rc == VARVE_OK) varve_value_release(&v);
      FUZZ_CHECK(varve_verify(db, NULL, NULL, NULL) >= 0);
      FUZZ_CHECK(varve_close(db) >= 0);
    }
  }
  fs->ops = own;
  FUZZ_CHECK(vfs_close_fs(fs) >= 0);
  fuzz_memory_end();
}

static allocator *database_disk(void) {
  static allocator disk;
  if (disk.resize == NULL) allocator_init_libc(&disk);
  return &disk;
}

/* ---- a directory ---- */

static void database_run(const uint8_t *data, size_t size) {
  fuzz_input in = {data, size};
  fuzz_files files;
  vfs *fs;
  uint8_t flags = fuzz_u8(&in);
  fuzz_files_read(&in, &files);
  FUZZ_CHECK(vfs_mem_open(database_disk(), &fs) >= 0);
  for (size_t i = 0; i < files.count; i++) {
    fuzz_file *f = &files.file[i];
    if ((flags & FUZZ_SEAL) != 0) fuzz_seal(f->data, f->size, f->kind, f->number);
    fuzz_put(fs, f->kind, f->number, f->data, f->size);
  }
  fuzz_files_free(&files);
  database_use(fuzz_memory_begin(64 * size + (4 << 20)), fs, flags);
}

/* SUPER's zeros are left out of an input's size: they come back as zeros only when they are there. */
static void database_seeds(fuzz_emit emit, void *context) {
  for (unsigned which = 0; which < FUZZ_SAMPLES; which++) {
    fuzz_files files;
    fuzz_sample(which, &files);
    fuzz_files_emit(&files, FUZZ_SEAL, emit, context);
    fuzz_files_emit(&files, (uint8_t)(4u * (which % 2)), emit, context);
    fuzz_files_emit(&files, 2 | FUZZ_SEAL, emit, context);
    fuzz_files_free(&files);
  }
}

const fuzz_target fuzz_database = {"database", 24 << 10, database_run, database_seeds};

/* ---- one file ---- */

/* Flags of an input. */
enum { SINGLE_REPAIR = 8, SINGLE_LOST = 16 };
enum { SINGLE_PAGE_BYTES = 4096, SINGLE_SLOT_COUNT = 3, SINGLE_RECORD_BYTES = 512 };

/* Every record of a slot becomes what its first one says, with the checksum of the directory that it names. */
static void single_seal(uint8_t *p, size_t size) {
  for (size_t slot = 1; slot <= SINGLE_SLOT_COUNT && (slot + 1) * SINGLE_PAGE_BYTES <= size; slot++) {
    uint8_t *first = p + slot * SINGLE_PAGE_BYTES;
    uint64_t offset = get_u64(first + 24), bytes = get_u64(first + 32);
    if (offset <= size && bytes <= size - offset) {
      put_u64(first + 40, xxh64(p + offset, (size_t)bytes, get_u64(first + 16) ^ offset));
    }
    for (size_t at = 0; at < SINGLE_PAGE_BYTES; at += SINGLE_RECORD_BYTES) {
      uint8_t *record = first + at;
      if (at > 0) memcpy(record, first, SINGLE_RECORD_BYTES);
      put_u64(record + SINGLE_RECORD_BYTES - 8, xxh64(record, SINGLE_RECORD_BYTES - 8, slot * SINGLE_PAGE_BYTES + at));
    }
  }
}

/* Changes of what is small and decides: the directory that counts, the slots. Each: where u8 | offset u8 | value u8. */
static void single_patch(uint8_t *p, size_t size, slice patches) {
  const uint8_t *change = patches.data;
  for (size_t i = 0; i + 3 <= patches.size; i += 3) {
    const uint8_t *slot = p + (1 + change[i] % SINGLE_SLOT_COUNT) * (size_t)SINGLE_PAGE_BYTES;
    bool head = change[i] >= 192;
    if (size < (1 + SINGLE_SLOT_COUNT) * (size_t)SINGLE_PAGE_BYTES) return;
    uint64_t at = head ? (uint64_t)(slot - p) + change[i + 1] % 56 : get_u64(slot + 24);
    if (!head) at += at < size ? change[i + 1] % 64 : 0;
    if (at < size) p[at] = change[i + 2];
  }
}

/* The file with runs of zeros left out: pieces  u16 zeros | u16 bytes | those bytes. */
static size_t single_unpack(fuzz_input *in, uint8_t *file, size_t room) {
  size_t at = 0;
  while (in->left > 0) {
    at += fuzz_number(in, 2);
    size_t want = fuzz_number(in, 2);
    slice piece = fuzz_take(in, want);
    if (at > room || piece.size > room - at) return room;
    if (piece.size > 0) memcpy(file + at, piece.data, piece.size);
    at += piece.size;
  }
  return at;
}

/* Repairs the file into memory, as varve_repair opens it; what comes of it is a database without a fault. */
static void single_repair(vfs *below, size_t used) {
  allocator *alloc = fuzz_memory_begin(64 * used + (24 << 20));
  varve_repair_options o = {.progress = NULL};
  varve_repair_report report;
  vfs *fs;
  FUZZ_CHECK(vfs_single_open(alloc, below, VFS_PLACE_READ_ONLY | VFS_PLACE_SALVAGE, &fs) >= 0);
  env *from = fuzz_env(alloc), *to = fuzz_env(alloc);
  FUZZ_CHECK(vfs_close_fs(from->fs) >= 0);
  from->fs = fs;
  int rc = vfs_lock(fs, 0);
  if (rc >= 0) rc = vfs_lock(to->fs, 0);
  if (rc >= 0) rc = lsm_repair(from, to, &o, &report);
  if (rc != VARVE_MISSING) fuzz_check_status(rc);
  FUZZ_CHECK(env_close(from) >= 0);
  if (rc >= 0) {
    varve_options open = {.no_thread = true, .read_only = true};
    varve_db *db;
    FUZZ_CHECK(api_open(to, &open, &db) >= 0);
    FUZZ_CHECK(varve_verify(db, NULL, NULL, NULL) >= 0);
    FUZZ_CHECK(varve_close(db) >= 0);
  } else {
    FUZZ_CHECK(env_close(to) >= 0);
  }
  fuzz_memory_end();
}

static void single_run(const uint8_t *data, size_t size) {
  enum { ROOM = 1 << 18 };
  static uint8_t file[ROOM];
  fuzz_input in = {data, size};
  uint8_t flags = fuzz_u8(&in);
  slice patches = fuzz_take(&in, 3 * (size_t)(fuzz_u8(&in) % 8));
  memset(file, 0, sizeof file);
  size_t used = single_unpack(&in, file, sizeof file);
  single_patch(file, used, patches);
  if ((flags & FUZZ_SEAL) != 0) single_seal(file, used);
  bool slots = used >= (1 + SINGLE_SLOT_COUNT) * (size_t)SINGLE_PAGE_BYTES;
  if ((flags & SINGLE_LOST) != 0 && slots) memset(file + SINGLE_PAGE_BYTES, 0, SINGLE_SLOT_COUNT * SINGLE_PAGE_BYTES);
  vfs *below, *fs;
  FUZZ_CHECK(vfs_mem_open(database_disk(), &below) >= 0);
  fuzz_put(below, FILE_SINGLE, 0, file, used);
  if ((flags & SINGLE_REPAIR) != 0) {
    single_repair(below, used);
    return;
  }
  allocator *alloc = fuzz_memory_begin(64 * used + (4 << 20));
  FUZZ_CHECK(vfs_single_open(alloc, below, (flags & 2) != 0 ? VFS_PLACE_READ_ONLY : 0, &fs) >= 0);
  database_use(alloc, fs, flags);
}

/* With `patches` changes that change nothing yet, for mutations to begin with. */
static void single_emit(const uint8_t *file, size_t size, uint8_t flags, size_t patches, fuzz_emit emit,
                        void *context) {
  uint8_t *out = malloc(size * 2 + 64);
  FUZZ_CHECK(out != NULL);
  size_t n = 2, at = 0;
  out[0] = flags;
  out[1] = (uint8_t)patches;
  for (; n < 2 + 3 * patches; n += 3) out[n] = 0, out[n + 1] = 0, out[n + 2] = 1; /* there is one SUPER */
  while (at < size) {
    size_t zeros = 0, bytes = 0, run = 0;
    while (at + zeros < size && zeros < 0xffff && file[at + zeros] == 0) zeros++;
    at += zeros;
    while (at + bytes < size && bytes < 0xffff && run < 16) run = file[at + bytes++] == 0 ? run + 1 : 0;
    put_u16(out + n, (uint16_t)zeros);
    put_u16(out + n + 2, (uint16_t)bytes);
    memcpy(out + n + 4, file + at, bytes);
    n += 4 + bytes;
    at += bytes;
  }
  emit(context, out, n);
  free(out);
}

static void single_seeds(fuzz_emit emit, void *context) {
  for (unsigned which = 0; which < FUZZ_SAMPLES; which++) {
    fuzz_files files;
    vfs *below, *fs;
    vfs_file *one;
    uint64_t size = 0;
    fuzz_sample(which, &files);
    FUZZ_CHECK(vfs_mem_open(database_disk(), &below) >= 0);
    const vfs_ops *own = below->ops;
    database_ops = *own;
    database_ops.close_fs = database_keep_fs;
    below->ops = &database_ops;
    FUZZ_CHECK(vfs_single_open(database_disk(), below, VFS_PLACE_CREATE, &fs) >= 0 && vfs_lock(fs, 0) >= 0);
    for (size_t i = 0; i < files.count; i++) {
      const fuzz_file *f = &files.file[i];
      fuzz_put(fs, f->kind, f->number, f->data, f->size);
      FUZZ_CHECK(vfs_open(fs, f->kind, f->number, VFS_WRITE, &one) >= 0);
      FUZZ_CHECK(vfs_sync(one) >= 0 && vfs_close(one) >= 0);
    }
    FUZZ_CHECK(vfs_sync_dir(fs) >= 0 && vfs_unlock(fs) >= 0 && vfs_close_fs(fs) >= 0);
    below->ops = own;
    FUZZ_CHECK(vfs_open(below, FILE_SINGLE, 0, 0, &one) >= 0 && vfs_size(one, &size) >= 0);
    uint8_t *file = malloc((size_t)size);
    FUZZ_CHECK(file != NULL && vfs_read_exact(one, 0, file, (size_t)size) >= 0);
    FUZZ_CHECK(vfs_close(one) >= 0 && vfs_close_fs(below) >= 0);
    single_emit(file, (size_t)size, FUZZ_SEAL, 0, emit, context);
    single_emit(file, (size_t)size, FUZZ_SEAL, 3, emit, context);
    single_emit(file, (size_t)size, (uint8_t)(2u * (which % 4)), 0, emit, context);
    single_emit(file, (size_t)size, FUZZ_SEAL | SINGLE_REPAIR, 3, emit, context);
    single_emit(file, (size_t)size, SINGLE_REPAIR | SINGLE_LOST, 0, emit, context);
    free(file);
    fuzz_files_free(&files);
  }
}

const fuzz_target fuzz_single = {"single", 16 << 10, single_run, single_seeds};
