/* repair_bed.h: databases whose whole history is known, and what a repair owes when bytes of them are damaged.
 *
 * A value says which key and which turn it was written for (bed_value), so that any value that is read can be checked
 * to have been written once. What is owed is worked out from the undamaged files: every version that lies in a block or
 * a frame without a damaged byte survives, and of those the newest one of each key counts.
 */
#ifndef VARVE_REPAIR_BED_H
#define VARVE_REPAIR_BED_H

#include "lsm/sst_int.h"
#include "lsm/wal_format.h"
#include "unit/api/engine_bed.h"

enum { REPAIR_KEYS = 300, REPAIR_SPACES = 3, REPAIR_LOSSES = 64 };

/* ---- the bytes that are damaged ---- */

typedef struct repair_damage {
  uint32_t file; /* index in the image */
  uint64_t from, to;
} repair_damage;

typedef struct repair_damages {
  repair_damage list[64];
  uint32_t count;
} repair_damages;

static inline bool repair_bed_hit(const repair_damages *d, uint32_t file, uint64_t from, uint64_t to) {
  for (uint32_t i = 0; i < d->count; i++) {
    if (d->list[i].file == file && d->list[i].from < to && from < d->list[i].to) return true;
  }
  return false;
}

/* ---- what is owed ---- */

typedef struct repair_owed {
  bool known; /* some version survives */
  uint64_t trailer;
  uint8_t hash[8];
  uint32_t size;
} repair_owed;

typedef struct repair_oracle {
  repair_owed key[REPAIR_SPACES][REPAIR_KEYS];
} repair_oracle;

/* The place of an inner key; false for the catalogue's. */
static inline bool repair_bed_place(slice key, uint32_t *space, uint32_t *number) {
  const uint8_t *p = key.data;
  char text[32];
  if (key.size != 12 || p[0] == 1 || p[0] > 3) return false;
  *space = p[0] == 0 ? 0 : p[0] - 1u;
  memcpy(text, p + 4, 8);
  text[8] = '\0';
  *number = (uint32_t)strtoul(text, NULL, 10);
  return *number < REPAIR_KEYS;
}

static inline void repair_bed_version(repair_oracle *o, slice key, uint64_t trailer, slice value) {
  uint32_t space, number;
  if (!repair_bed_place(key, &space, &number)) return;
  repair_owed *w = &o->key[space][number];
  if (w->known && w->trailer >= trailer) return;
  uint64_t hash = xxh64(value.data == NULL ? "" : value.data, value.size, 0);
  *w = (repair_owed){.known = true, .trailer = trailer, .size = (uint32_t)value.size};
  memcpy(w->hash, &hash, sizeof hash);
}

static inline void repair_bed_table(repair_oracle *o, env *e, block_cache *cache, const bed_file *f, uint32_t index,
                                    const repair_damages *d) {
  table *t;
  buf key;
  buf_init(&key, e->alloc);
  TEST_OK(table_open(e, cache, f->number, f->size, false, &t));
  for (uint32_t i = 0; i < t->index.count; i++) {
    sst_extent extent = table_block_extent(t, i);
    block b;
    cache_block *held;
    if (repair_bed_hit(d, index, extent.offset, extent.offset + extent.size)) continue;
    TEST_OK(table_block(t, i, &b, &held));
    for (uint32_t j = 0; j < b.count; j++) {
      slice suffix, value;
      assert_true(block_entry(&b, j, &suffix, &value));
      TEST_OK(buf_set(&key, b.prefix));
      TEST_OK(buf_append(&key, suffix.data, suffix.size));
      repair_bed_version(o, buf_slice(&key), block_trailer(&b, j), value);
    }
    if (held != NULL) pin_unref(&held->pin);
  }
  buf_free(&key);
  table_close(t);
}

/* How many damaged bytes a log's header has. */
static inline uint64_t repair_bed_header_hits(const repair_damages *d, uint32_t index) {
  uint64_t hits = 0;
  for (uint64_t i = 0; i < WAL_HEADER_SIZE; i++) hits += repair_bed_hit(d, index, i, i + 1);
  return hits;
}

static inline void repair_bed_log(repair_oracle *o, env *e, const bed_file *f, uint32_t index,
                                  const repair_damages *d) {
  wal_reader *r;
  wal_header h;
  wal_frame frame;
  int rc = wal_reader_open(e, f->number, &h, &r);
  if (rc == VARVE_DONE) return;
  TEST_OK(rc);
  /* One byte can be put right; beyond that the salt alone tells which frames are the log's. */
  bool salted = !repair_bed_hit(d, index, WAL_SALT_AT, WAL_SALT_AT + 8);
  bool readable = salted || repair_bed_header_hits(d, index) <= 1;
  while ((rc = wal_reader_next(r, &frame)) == VARVE_OK) {
    if (!readable || repair_bed_hit(d, index, frame.offset, frame.offset + WAL_FRAME_HEADER_SIZE + frame.body.size)) {
      continue;
    }
    reader ops = reader_of(frame.body);
    batch_op op;
    for (uint64_t seq = frame.first_seq; batch_read(&ops, &op) == 1; seq++) {
      if (op.kind != KIND_RANGE_DELETE) repair_bed_version(o, op.key, trailer_make(seq, op.kind), op.value);
    }
  }
  wal_reader_close(r);
}

/* What a repair owes of `image` when the bytes of `d` are damaged. */
static inline void repair_bed_oracle(const bed_image *image, const repair_damages *d, repair_oracle *o) {
  env *e;
  block_cache *cache;
  memset(o, 0, sizeof *o);
  TEST_OK(env_open(api_allocator(), ":memory:", VFS_PLACE_CREATE, &e));
  bed_image_put(image, e->fs);
  TEST_OK(block_cache_create(api_allocator(), 1 * MiB, &cache));
  for (uint32_t i = 0; i < image->count; i++) {
    const bed_file *f = &image->files[i];
    if (f->kind == FILE_SST) repair_bed_table(o, e, cache, f, i, d);
    if (f->kind == FILE_WAL) repair_bed_log(o, e, f, i, d);
  }
  block_cache_destroy(cache);
  TEST_OK(env_close(e));
}

/* ---- repairing ---- */

typedef struct repair_seen {
  uint32_t count, harmless;
  struct {
    char file[32], reason[600], after[40], before[40];
    uint64_t offset, size;
    bool harmless;
  } loss[REPAIR_LOSSES];
} repair_seen;

static inline void repair_bed_text(char text[40], varve_slice key) {
  size_t n = MIN(key.size, (size_t)39);
  if (n > 0) memcpy(text, key.data, n);
  text[n] = '\0';
}

static inline void repair_bed_loss(void *context, const varve_repair_loss *loss) {
  repair_seen *seen = context;
  assert_true(loss->file != NULL && loss->reason != NULL && loss->reason[0] != '\0');
  seen->harmless += loss->harmless;
  if (seen->count == REPAIR_LOSSES) return;
  snprintf(seen->loss[seen->count].file, 32, "%s", loss->file);
  snprintf(seen->loss[seen->count].reason, 600, "%s", loss->reason);
  repair_bed_text(seen->loss[seen->count].after, loss->after);
  repair_bed_text(seen->loss[seen->count].before, loss->before);
  seen->loss[seen->count].offset = loss->offset;
  seen->loss[seen->count].size = loss->size;
  seen->loss[seen->count].harmless = loss->harmless;
  seen->count++;
}

/* Repairs the image in memory: *to is the target's env, locked, also after a failure. The source must not change. */
static inline int repair_bed_run(const bed_image *image, env **to, varve_repair_report *report, repair_seen *seen) {
  env *from;
  varve_repair_options o = {.loss = repair_bed_loss, .context = seen};
  static bed_image after;
  memset(seen, 0, sizeof *seen);
  TEST_OK(env_open(api_allocator(), ":memory:", VFS_PLACE_CREATE, &from));
  TEST_OK(env_open(api_allocator(), ":memory:", VFS_PLACE_CREATE, to));
  bed_image_put(image, from->fs);
  from->fs->traits |= VFS_READ_ONLY;
  TEST_OK(vfs_lock((*to)->fs, 0));
  int rc = lsm_repair(from, *to, &o, report);
  char message[STATUS_MESSAGE_SIZE];
  status_keep_message(message);
  bed_image_take(from->fs, &after);
  assert_true(bed_image_equal(image, &after));
  bed_image_free(&after);
  TEST_OK(env_close(from));
  status_set_message(message);
  return rc;
}

/* Opens the repaired database, which must verify. */
static inline varve_db *repair_bed_open(env *to) {
  varve_options o = {.no_thread = true};
  varve_db *db;
  TEST_OK(api_open(to, &o, &db));
  TEST_OK(varve_verify(db, NULL, NULL, NULL));
  return db;
}

#endif
