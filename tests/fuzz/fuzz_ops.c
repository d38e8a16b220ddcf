/* fuzz_ops.c: any sequence of operations against an array that says what must be there; and a catalogue of any
 * entries.
 *
 *   input of ops: bytes; each operation takes a byte for what it is and some for its arguments
 */
#include "fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/api_int.h"

enum { OPS_KEYS = 48, OPS_SNAPSHOTS = 3 };

typedef struct ops_model {
  int32_t value[OPS_KEYS]; /* -1 = absent */
} ops_model;

typedef struct ops_run_state {
  varve_db *db;
  env *e;
  ops_model now, then[OPS_SNAPSHOTS];
  varve_snapshot *snapshot[OPS_SNAPSHOTS];
  varve_batch *batch;
  ops_model planned; /* what the batch will make of it */
  int32_t turn;
} ops_run_state;

static vfs *ops_fs;

static int ops_keep_fs(vfs *fs) {
  ops_fs = fs;
  return VARVE_OK;
}

/* Keys of several lengths, some the beginning of others. */
static varve_slice ops_key(char text[80], unsigned i) {
  int n = i % 4 == 3 ? snprintf(text, 80, "k%02u/a rather long key that many others share", i / 4)
                     : snprintf(text, 80, "k%02u%.*s", i / 4, (int)(i % 4), "aaa");
  return (varve_slice){text, (size_t)n};
}

static varve_slice ops_value(char text[400], int32_t turn) {
  size_t size = (size_t)(turn * 37 % 300);
  memset(text, 'a' + turn % 26, 400);
  memcpy(text, &turn, sizeof turn);
  return (varve_slice){text, MAX(size, sizeof turn)};
}

static int ops_order(unsigned a, unsigned b) {
  char x[80], y[80];
  return slice_compare(ops_key(x, a), ops_key(y, b));
}

static void ops_erase(ops_model *m, unsigned from, unsigned to) {
  for (unsigned i = 0; i < OPS_KEYS; i++) {
    if (ops_order(i, from) >= 0 && ops_order(i, to) < 0) m->value[i] = -1;
  }
}

static void ops_check_get(ops_run_state *s, unsigned i, const ops_model *m, varve_snapshot *snapshot) {
  char text[80], bytes[400];
  varve_read_options o = {.snapshot = snapshot};
  varve_value v;
  int rc = varve_get(s->db, ops_key(text, i), &o, &v);
  FUZZ_CHECK(rc == (m->value[i] < 0 ? VARVE_NOTFOUND : VARVE_OK));
  if (rc != VARVE_OK) return;
  FUZZ_CHECK(slice_equal(slice_make(v.data, v.size), ops_value(bytes, m->value[i])));
  varve_value_release(&v);
}

/* The next key of the model in a direction, OPS_KEYS = none. `from` OPS_KEYS = the end. */
static unsigned ops_neighbour(const ops_model *m, unsigned from, bool forward, bool itself) {
  unsigned best = OPS_KEYS;
  for (unsigned i = 0; i < OPS_KEYS; i++) {
    if (m->value[i] < 0) continue;
    int order = from == OPS_KEYS ? (forward ? 1 : -1) : ops_order(i, from);
    bool fits = forward ? order > 0 || (itself && order == 0) : order < 0 || (itself && order == 0);
    if (fits && (best == OPS_KEYS || (forward ? ops_order(i, best) < 0 : ops_order(i, best) > 0))) best = i;
  }
  return best;
}

static void ops_walk(ops_run_state *s, fuzz_input *in, const ops_model *m, varve_snapshot *snapshot) {
  varve_iter_options o = {.snapshot = snapshot};
  varve_iter *it;
  char text[80], bytes[400];
  unsigned at = OPS_KEYS;
  FUZZ_CHECK(varve_iter_open(s->db, &o, &it) >= 0);
  for (unsigned steps = 4 + fuzz_u8(in) % 24; steps > 0; steps--) {
    unsigned move = fuzz_u8(in), key = move / 8 % OPS_KEYS;
    int rc;
    if (at == OPS_KEYS && move % 8 < 4) move = 4 + move % 2; /* not positioned */
    switch (move % 8) {
      case 0:
      case 1:
        rc = varve_iter_next(it);
        at = ops_neighbour(m, at, true, false);
        break;
      case 2:
      case 3:
        rc = varve_iter_prev(it);
        at = ops_neighbour(m, at, false, false);
        break;
      case 4:
        rc = varve_iter_first(it);
        at = ops_neighbour(m, OPS_KEYS, true, false);
        break;
      case 5:
        rc = varve_iter_last(it);
        at = ops_neighbour(m, OPS_KEYS, false, false);
        break;
      case 6:
        rc = varve_iter_seek(it, ops_key(text, key));
        at = ops_neighbour(m, key, true, true);
        break;
      default:
        rc = varve_iter_seek_for_prev(it, ops_key(text, key));
        at = ops_neighbour(m, key, false, true);
        break;
    }
    FUZZ_CHECK(rc == (at == OPS_KEYS ? VARVE_DONE : VARVE_OK));
    if (rc != VARVE_OK) continue;
    FUZZ_CHECK(slice_equal(varve_iter_key(it), ops_key(text, at)));
    FUZZ_CHECK(slice_equal(varve_iter_value(it), ops_value(bytes, m->value[at])));
  }
  varve_iter_close(it);
}

static void ops_open(ops_run_state *s, allocator *alloc, vfs *fs, uint8_t how) {
  varve_options o = {.no_thread = true,
                     .memory_bytes = 1,
                     .memtable_bytes = 1,
                     .table_bytes = 1,
                     .block_bytes = 1,
                     .l0_runs = 2,
                     .level_fanout = 2,
                     .no_mmap = how % 2 == 1,
                     .durability = how / 2 % 2 == 0 ? VARVE_RELAXED : VARVE_STRICT,
                     .bloom_bits = how / 4 % 3,
                     .sync_interval_ms = 1000000};
  s->e = fuzz_env(alloc);
  if (fs != NULL) {
    FUZZ_CHECK(vfs_close_fs(s->e->fs) >= 0);
    s->e->fs = fs;
  }
  FUZZ_CHECK(vfs_lock(s->e->fs, 0) >= 0);
  FUZZ_CHECK(api_open(s->e, &o, &s->db) >= 0);
}

static void ops_snapshot(ops_run_state *s, unsigned slot) {
  if (s->snapshot[slot] != NULL) {
    for (unsigned i = 0; i < OPS_KEYS; i++) ops_check_get(s, i, &s->then[slot], s->snapshot[slot]);
    varve_snapshot_close(s->snapshot[slot]);
    s->snapshot[slot] = NULL;
    return;
  }
  FUZZ_CHECK(varve_snapshot_open(s->db, &s->snapshot[slot]) >= 0);
  s->then[slot] = s->now;
}

static void ops_batch(ops_run_state *s, fuzz_input *in) {
  char text[80], other[80], bytes[400];
  s->planned = s->now;
  for (unsigned n = fuzz_u8(in) % 6; n > 0; n--) {
    unsigned op = fuzz_u8(in), i = fuzz_u8(in) % OPS_KEYS;
    if (op % 4 == 0) {
      unsigned to = fuzz_u8(in) % OPS_KEYS;
      FUZZ_CHECK(varve_batch_delete_range(s->batch, NULL, ops_key(text, i), ops_key(other, to)) >= 0);
      ops_erase(&s->planned, i, to);
    } else if (op % 4 == 1) {
      FUZZ_CHECK(varve_batch_delete(s->batch, NULL, ops_key(text, i)) >= 0);
      s->planned.value[i] = -1;
    } else {
      FUZZ_CHECK(varve_batch_put(s->batch, NULL, ops_key(text, i), ops_value(bytes, ++s->turn)) >= 0);
      s->planned.value[i] = s->turn;
    }
  }
  FUZZ_CHECK(varve_write(s->db, s->batch, NULL) >= 0);
  varve_batch_clear(s->batch);
  s->now = s->planned;
}

/* Closes, or dies: what was written is there either way. */
static void ops_reopen(ops_run_state *s, allocator *alloc, const vfs_ops *own, uint8_t how) {
  fuzz_files files = {.count = 0};
  for (unsigned i = 0; i < OPS_SNAPSHOTS; i++) {
    if (s->snapshot[i] != NULL) ops_snapshot(s, i);
  }
  bool killed = how % 2 == 1;
  if (killed) fuzz_files_of(s->e->fs, &files);
  FUZZ_CHECK(varve_close(s->db) >= 0);
  if (killed) {
    static allocator disk;
    const vfs_ops *kept = ops_fs->ops;
    if (disk.resize == NULL) allocator_init_libc(&disk);
    ops_fs->ops = own;
    FUZZ_CHECK(vfs_close_fs(ops_fs) >= 0);
    FUZZ_CHECK(vfs_mem_open(&disk, &ops_fs) >= 0);
    ops_fs->ops = kept;
    for (size_t i = 0; i < files.count; i++) {
      const fuzz_file *f = &files.file[i];
      fuzz_put(ops_fs, f->kind, f->number, f->data, f->size);
    }
    fuzz_files_free(&files);
  }
  ops_open(s, alloc, ops_fs, how / 2);
}

static void ops_step(ops_run_state *s, fuzz_input *in, allocator *alloc, const vfs_ops *own) {
  char text[80], other[80], bytes[400];
  unsigned op = fuzz_u8(in), i = fuzz_u8(in) % OPS_KEYS, to;
  switch (op % 16) {
    case 0:
      FUZZ_CHECK(varve_delete(s->db, ops_key(text, i), NULL) >= 0);
      s->now.value[i] = -1;
      break;
    case 1:
      to = fuzz_u8(in) % OPS_KEYS;
      FUZZ_CHECK(varve_delete_range(s->db, ops_key(text, i), ops_key(other, to), NULL) >= 0);
      ops_erase(&s->now, i, to);
      break;
    case 2:
      ops_batch(s, in);
      break;
    case 3:
      FUZZ_CHECK((i % 4 == 0 ? varve_compact(s->db, NULL, NULL) : varve_flush(s->db)) >= 0);
      break;
    case 4:
      ops_snapshot(s, i % OPS_SNAPSHOTS);
      break;
    case 5:
      ops_walk(s, in, &s->now, NULL);
      break;
    case 6:
      to = i % OPS_SNAPSHOTS;
      if (s->snapshot[to] != NULL) ops_walk(s, in, &s->then[to], s->snapshot[to]);
      break;
    case 7:
      if (i % 3 == 0) ops_reopen(s, alloc, own, fuzz_u8(in));
      break;
    case 8:
      FUZZ_CHECK(varve_work(s->db, 1u << (i % 16), NULL) >= 0);
      break;
    case 9:
      ops_check_get(s, i, &s->now, NULL);
      break;
    default:
      FUZZ_CHECK(varve_put(s->db, ops_key(text, i), ops_value(bytes, ++s->turn), NULL) >= 0);
      s->now.value[i] = s->turn;
      break;
  }
}

static void ops_run(const uint8_t *data, size_t size) {
  static vfs_ops ops;
  static ops_run_state s;
  fuzz_input in = {data, size};
  allocator *alloc = fuzz_memory_begin(16 << 20);
  memset(&s, 0, sizeof s);
  memset(&s.now, 0xff, sizeof s.now);
  ops_open(&s, alloc, NULL, fuzz_u8(&in));
  FUZZ_CHECK(varve_batch_create(&s.batch) >= 0);
  const vfs_ops *own = s.e->fs->ops;
  ops = *own;
  ops.close_fs = ops_keep_fs;
  s.e->fs->ops = &ops;
  while (in.left > 0) ops_step(&s, &in, alloc, own);
  for (unsigned i = 0; i < OPS_KEYS; i++) ops_check_get(&s, i, &s.now, NULL);
  FUZZ_CHECK(varve_verify(s.db, NULL, NULL, NULL) >= 0);
  ops_reopen(&s, alloc, own, 0);
  for (unsigned i = 0; i < OPS_KEYS; i++) ops_check_get(&s, i, &s.now, NULL);
  varve_batch_destroy(s.batch);
  FUZZ_CHECK(varve_close(s.db) >= 0);
  ops_fs->ops = own;
  FUZZ_CHECK(vfs_close_fs(ops_fs) >= 0);
  fuzz_memory_end();
}

static void ops_seeds(fuzz_emit emit, void *context) {
  uint8_t seed[400];
  for (unsigned k = 0; k < 4; k++) {
    for (size_t i = 0; i < sizeof seed; i++) seed[i] = (uint8_t)(i * i * (2 * k + 7) >> (k + 2));
    emit(context, seed, 100 * (k + 1));
  }
}

const fuzz_target fuzz_ops = {"ops", 1024, ops_run, ops_seeds};

/* ---- a catalogue of any entries:  name size u8, value size u8, name, value; then what the api makes of it ---- */

static int catalogue_visit(void *context, varve_slice name) {
  varve_db *db = context;
  varve_keyspace *space;
  int rc = varve_keyspace_open(db, name, &space);
  if (rc != VARVE_INVALID) fuzz_check_status(rc);
  return 0;
}

static int catalogue_index(void *context, varve_slice name) {
  varve_index *ix;
  varve_index_info info;
  int rc = varve_index_open(context, name, NULL, &ix);
  if (rc == VARVE_OK) rc = varve_index_get_info(ix, &info);
  if (rc != VARVE_INVALID) fuzz_check_status(rc);
  return 0;
}

static void catalogue_indexes(varve_db *db) {
  varve_index *ix;
  fuzz_check_status(varve_index_list(db, catalogue_index, db));
  int rc = varve_index_create(db, VARVE_STR("x"), NULL, &ix);
  if (rc != VARVE_EXISTS) fuzz_check_status(rc);
}

static void catalogue_run(const uint8_t *data, size_t size) {
  static const uint8_t prefix[1] = {KEYSPACE_CATALOG};
  fuzz_input in = {data, size};
  ops_run_state s = {0};
  batch b;
  allocator *alloc = fuzz_memory_begin(16 << 20);
  ops_open(&s, alloc, NULL, 0);
  batch_init(&b, alloc);
  while (in.left > 0) {
    size_t name_size = fuzz_u8(&in), value_size = fuzz_u8(&in) % 16;
    slice name = fuzz_take(&in, name_size), value = fuzz_take(&in, value_size);
    FUZZ_CHECK(batch_put(&b, slice_make(prefix, 1), name, value) >= 0);
  }
  FUZZ_CHECK(lsm_write(s.db->lsm, &b, LSM_DEFAULT) >= 0);
  batch_free(&b);
  varve_keyspace *space;
  int rc = varve_keyspace_list(s.db, catalogue_visit, s.db);
  fuzz_check_status(rc);
  rc = varve_keyspace_open(s.db, VARVE_STR("s"), &space);
  if (rc != VARVE_LIMIT) fuzz_check_status(rc);
  if (rc >= 0) {
    varve_write_options o = {VARVE_DURABILITY_DEFAULT, space};
    varve_read_options ro = {.keyspace = space};
    varve_value v;
    rc = varve_put(s.db, VARVE_STR("k"), VARVE_STR("v"), &o);
    if (rc != VARVE_INVALID) fuzz_check_status(rc); /* INVALID: there is the definition of an index, or CORRUPT: half */
    FUZZ_CHECK(rc < 0 || varve_get(s.db, VARVE_STR("k"), &ro, &v) == VARVE_OK);
    if (rc >= 0) varve_value_release(&v);
    rc = varve_keyspace_drop(s.db, VARVE_STR("s"));
    fuzz_check_status(rc);
    catalogue_indexes(s.db);
    FUZZ_CHECK(rc < 0 || varve_get(s.db, VARVE_STR("k"), &ro, &v) == VARVE_CLOSED);
  }
  FUZZ_CHECK(varve_close(s.db) >= 0);
  fuzz_memory_end();
}

static void catalogue_seeds(fuzz_emit emit, void *context) {
  static const uint8_t seed[] = {0, 8, 3,   0,   0,    0,    0,    0,    0, 0,    /* the next id is 3 */
                                 1, 8, 's', 2,   0,    0,    0,    0,    0, 0, 0, /* s is 2 */
                                 2, 8, 't', 't', 0xfe, 0xff, 0xff, 0xff, 0, 0, 0, 0};
  static const uint8_t index[] = {
      0, 8, 3, 0,   0,   0, 0, 0, 0, 0, 1, 8, 's', 2,   0, 0, 0, 0, 0, 0, 0, /* and an index of s */
      3, 5, 0, 'i', 'x', 1, 6, 1, 2, 0, 2, 8, 0,   'n', 2, 0, 0, 0, 0, 0, 0, 0};
  emit(context, seed, sizeof seed);
  emit(context, seed, 10);
  emit(context, seed, 21);
  emit(context, index, sizeof index);
}

const fuzz_target fuzz_catalogue = {"catalogue", 512, catalogue_run, catalogue_seeds};
