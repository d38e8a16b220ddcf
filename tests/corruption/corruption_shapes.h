/* corruption_shapes.h: the small databases that are damaged, each as an image of its files, with what it holds, what
 * each of the commits in its logs left, and where in the files everything is.
 */
#ifndef VARVE_CORRUPTION_SHAPES_H
#define VARVE_CORRUPTION_SHAPES_H

#include "corruption/corruption_bed.h"

#include "lsm/wal_format.h"

enum { COR_STATES = 48, COR_STALE = 2 };

/* A commit in a log of the image. */
typedef struct cor_frame {
  uint64_t file, log, offset, end, synced; /* end: of the body; zeros to a multiple of 8 follow */
} cor_frame;

typedef struct cor_shape {
  const char *name;
  bool closed; /* by varve_close: the manifest says where the log ends */
  bool single; /* all of it is in one file, `outer` */
  bed_image outer;
  bed_image image, stale[COR_STALE];
  uint32_t stale_count;
  cor_content states[COR_STATES]; /* after the last flush, and after each commit since then */
  uint32_t state_count;
  cor_frame frames[COR_STATES]; /* frame i leads from state i to state i + 1 */
  uint32_t frame_count;
  unsigned newest_slot;
  uint64_t manifest, last_record; /* where the last record begins */
  uint64_t clean_end;
} cor_shape;

/* ---- a place that is still there after varve_close ---- */

static vfs_ops cor_keep_ops;
static const vfs_ops *cor_kept_ops;
static vfs *cor_kept;

static inline int cor_keep_close(vfs *fs) {
  cor_kept = fs;
  return VARVE_OK;
}

static inline void cor_keep_open(vfs *fs) {
  cor_kept_ops = fs->ops;
  cor_keep_ops = *fs->ops;
  cor_keep_ops.close_fs = cor_keep_close;
  fs->ops = &cor_keep_ops;
}

/* ---- filling ---- */

static inline void cor_record(cor_shape *s, varve_db *db) {
  assert_true(s->state_count < COR_STATES);
  cor_content *c = &s->states[s->state_count++];
  memset(c, 0, sizeof *c);
  cor_read(db, c);
  TEST_OK(c->rc);
}

static inline void cor_put(cor_shape *s, varve_db *db, uint32_t i, uint32_t turn, size_t size) {
  TEST_OK(bed_put(db, i, turn, size));
  cor_record(s, db);
}

static inline void cor_flushed(cor_shape *s, varve_db *db, bool compact) {
  TEST_OK(compact ? varve_compact(db, NULL, NULL) : varve_flush(db));
  s->state_count = 0;
  cor_record(s, db);
}

static inline void cor_stale(cor_shape *s, varve_db *db) {
  assert_true(s->stale_count < COR_STALE);
  bed_image_take(db->env->fs, &s->stale[s->stale_count++]);
}

/* One commit of each kind in turn. */
static inline void cor_commit(cor_shape *s, varve_db *db, uint32_t i) {
  char from[32], to[32];
  uint8_t bytes[64];
  varve_keyspace *more;
  varve_batch *b;
  TEST_OK(varve_keyspace_open(db, VARVE_STR("more"), &more));
  varve_write_options o = {VARVE_DURABILITY_DEFAULT, more};
  switch (i % 5) {
    case 0:
      TEST_OK(varve_put(db, bed_key(from, 40 + i), bed_value(bytes, 1 + i, i, 3), NULL));
      break;
    case 1:
      TEST_OK(varve_delete(db, bed_key(from, i), NULL));
      break;
    case 2:
      TEST_OK(varve_batch_create(&b));
      TEST_OK(varve_batch_put(b, NULL, bed_key(from, 2 * i), bed_value(bytes, 20, i, 4)));
      TEST_OK(varve_batch_put(b, more, bed_key(from, i), bed_value(bytes, 30, i, 5)));
      TEST_OK(varve_batch_delete(b, NULL, bed_key(from, 2 * i + 1)));
      TEST_OK(varve_write(db, b, NULL));
      varve_batch_destroy(b);
      break;
    case 3:
      TEST_OK(varve_delete_range(db, bed_key(from, 3 * i), bed_key(to, 3 * i + 4), NULL));
      break;
    default:
      TEST_OK(varve_put(db, bed_key(from, i), bed_value(bytes, 0, i, 6), &o));
      break;
  }
  cor_record(s, db);
}

/* Commits `from` to `to` - 1, a sync behind the one numbered `sync`. */
static inline void cor_commits(cor_shape *s, varve_db *db, uint32_t from, uint32_t to, uint32_t sync) {
  for (uint32_t i = from; i < to; i++) {
    cor_commit(s, db, i);
    if (i == sync) TEST_OK(varve_sync(db));
  }
}

static inline void cor_fill_log(cor_shape *s, varve_db *db) {
  varve_keyspace *more;
  TEST_OK(varve_keyspace_open(db, VARVE_STR("more"), &more));
  cor_record(s, db);
  cor_commits(s, db, 0, 5, 3);
  cor_stale(s, db);
  cor_commits(s, db, 5, 10, 6);
  cor_stale(s, db);
  cor_commits(s, db, 10, 13, 100);
}

/* Tables in several levels, old versions kept by a snapshot, range tombstones, compressed blocks, filters. */
static inline void cor_fill_tables(cor_shape *s, varve_db *db) {
  char from[32], to[32];
  varve_keyspace *more;
  varve_snapshot *snapshot;
  TEST_OK(varve_keyspace_open(db, VARVE_STR("more"), &more));
  cor_record(s, db);
  for (uint32_t i = 0; i < 36; i++) cor_put(s, db, i, 1, 60);
  cor_flushed(s, db, true);
  TEST_OK(varve_snapshot_open(db, &snapshot));
  for (uint32_t i = 4; i < 24; i += 2) cor_put(s, db, i, 2, 70);
  TEST_OK(varve_delete_range(db, bed_key(from, 18), bed_key(to, 22), NULL));
  cor_commit(s, db, 4);
  cor_stale(s, db);
  cor_flushed(s, db, false);
  varve_snapshot_close(snapshot);
  cor_commits(s, db, 30, 35, 100);
  cor_flushed(s, db, false);
  cor_stale(s, db);
}

static inline void cor_fill_levels(cor_shape *s, varve_db *db) {
  cor_fill_tables(s, db);
  cor_commits(s, db, 0, 12, 5);
}

/* The log's file held two logs before, whose frames are still behind its end. */
static inline void cor_fill_recycled(cor_shape *s, varve_db *db) {
  varve_keyspace *more;
  TEST_OK(varve_keyspace_open(db, VARVE_STR("more"), &more));
  cor_record(s, db);
  for (uint32_t turn = 0; turn < 3; turn++) {
    cor_commits(s, db, 3 * turn, 10 + 3 * turn, 8);
    if (turn > 0) cor_stale(s, db);
    cor_flushed(s, db, false);
  }
  cor_commits(s, db, 20, 26, 22);
}

/* Two live logs: the second one was begun while the first one's memtable waits for its flush. */
static inline void cor_fill_chain(cor_shape *s, varve_db *db) {
  cor_fill_log(s, db);
  db->lsm->thread_running = true; /* so that no commit does the flush; cor_make takes it back */
  mutex_lock(&db->lsm->commit_lock);
  TEST_OK(lsm_rotate(db->lsm));
  mutex_unlock(&db->lsm->commit_lock);
  cor_commits(s, db, 13, 21, 16);
}

/* Closed while there was nothing in the log: everything is in one level. */
static inline void cor_fill_compacted(cor_shape *s, varve_db *db) {
  cor_fill_tables(s, db);
  cor_flushed(s, db, true);
}

static inline void cor_fill_nothing(cor_shape *s, varve_db *db) {
  (void)s;
  (void)db;
}

/* ---- where everything is ---- */

static inline void cor_map_logs(cor_shape *s, env *e, uint64_t log_min) {
  uint64_t logs[8], files[8];
  uint32_t count = 0;
  for (size_t i = 0; i < s->image.count; i++) {
    wal_header h;
    wal_reader *r;
    if (s->image.files[i].kind != FILE_WAL) continue;
    int rc = wal_reader_open(e, s->image.files[i].number, &h, &r);
    TEST_OK(rc);
    wal_reader_close(r);
    if (rc != VARVE_OK || h.log < log_min) continue;
    uint32_t at = count++;
    for (; at > 0 && logs[at - 1] > h.log; at--) logs[at] = logs[at - 1], files[at] = files[at - 1];
    logs[at] = h.log;
    files[at] = s->image.files[i].number;
  }
  for (uint32_t i = 0; i < count; i++) {
    wal_header h;
    wal_reader *r;
    wal_frame f;
    TEST_RC(wal_reader_open(e, files[i], &h, &r), VARVE_OK);
    while (wal_reader_next(r, &f) == VARVE_OK) {
      s->frames[s->frame_count++] =
          (cor_frame){files[i], h.log, f.offset, f.offset + WAL_FRAME_HEADER_SIZE + f.body.size, f.synced};
    }
    wal_reader_close(r);
  }
}

static inline void cor_map(cor_shape *s) {
  env *e = cor_env(api_allocator());
  super root;
  manifest_state state;
  uint64_t end;
  bool torn;
  bed_image_put(&s->image, e->fs);
  TEST_OK(super_read(e, &root));
  TEST_OK(manifest_load(e, &root, &state, &end, &torn));
  assert_false(torn);
  s->newest_slot = root.generation & 1;
  s->manifest = root.manifest;
  s->clean_end = state.clean_end;
  for (size_t i = 0; i < s->image.count; i++) {
    const bed_file *f = &s->image.files[i];
    if (f->kind != FILE_MANIFEST || f->number != root.manifest) continue;
    for (uint64_t at = 64; at < end; at += 8 + get_u32(f->bytes + at)) s->last_record = at;
  }
  s->frame_count = 0;
  cor_map_logs(s, e, state.log_min);
  pin_unref(&state.current->pin);
  TEST_OK(env_close(e));
  if (s->frame_count + 1 != s->state_count)
    fail_msg("%s: %u frames, %u states", s->name, s->frame_count, s->state_count);
}

/* Zeros at the end of a log that was preallocated: a few of them stand for the rest. */
static inline void cor_trim_logs(bed_image *image) {
  for (size_t i = 0; i < image->count; i++) {
    bed_file *f = &image->files[i];
    size_t used = f->size;
    if (f->kind != FILE_WAL) continue;
    while (used > 0 && f->bytes[used - 1] == 0) used--;
    f->size = MIN(f->size, (used + 7) / 8 * 8 + 64);
  }
}

/* The files in the one file that is kept. */
static inline void cor_look_inside(cor_shape *s) {
  vfs *below, *inside;
  TEST_OK(vfs_mem_open(api_allocator(), &below));
  bed_image_put(&s->outer, below);
  TEST_OK(vfs_single_open(api_allocator(), below, 0, &inside));
  TEST_OK(vfs_lock(inside, 0));
  bed_image_take(inside, &s->image);
  TEST_OK(vfs_unlock(inside));
  TEST_OK(vfs_close_fs(inside));
}

static inline void cor_make(cor_shape *s, const char *name, void (*fill)(cor_shape *, varve_db *), bool closed,
                            bool single) {
  varve_options o = cor_options(false, true);
  varve_db *db;
  *s = (cor_shape){.name = name, .closed = closed, .single = single};
  cor_rng = test_rng(name);
  env *e = cor_env(api_allocator());
  cor_keep_open(e->fs);
  vfs *below = e->fs;
  if (single) TEST_OK(vfs_single_open(api_allocator(), below, VFS_PLACE_CREATE, &e->fs));
  TEST_OK(vfs_lock(e->fs, 0));
  TEST_OK(api_open(e, &o, &db));
  cor_record(s, db);
  fill(s, db);
  if (!closed) bed_image_take(below, single ? &s->outer : &s->image);
  db->lsm->thread_running = false;
  TEST_OK(varve_close(db));
  if (closed) bed_image_take(cor_kept, single ? &s->outer : &s->image);
  cor_kept->ops = cor_kept_ops;
  TEST_OK(vfs_close_fs(cor_kept));
  if (single) cor_look_inside(s);
  cor_trim_logs(&s->image);
  for (uint32_t i = 0; i < s->stale_count; i++) cor_trim_logs(&s->stale[i]);
  cor_map(s);
}

static inline void cor_free(cor_shape *s) {
  bed_image_free(&s->image);
  bed_image_free(&s->outer);
  for (uint32_t i = 0; i < s->stale_count; i++) bed_image_free(&s->stale[i]);
}

#endif
