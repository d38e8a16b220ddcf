/* repair_history.h: a database with a history that is drawn from a seed, ways to damage its files, and the comparison
 * of what a repair makes of them with what it owes (repair_bed.h).
 */
#ifndef VARVE_REPAIR_HISTORY_H
#define VARVE_REPAIR_HISTORY_H

#include "repair_bed.h"

typedef struct repair_history {
  uint32_t turn[REPAIR_SPACES][REPAIR_KEYS]; /* the last turn of each key; 0 = never written */
  bool deleted[REPAIR_SPACES][REPAIR_KEYS];
  varve_db *db;
  varve_keyspace *space[REPAIR_SPACES];
} repair_history;

static repair_history history; /* large */
static bed_image image;
static repair_oracle oracle;

static inline size_t history_size(uint32_t i, uint32_t turn) {
  return 20 + (i * 7 + turn * 13) % 300;
}

/* A value that says what it was written for, and that LZ4 makes smaller. */
static inline varve_slice history_value(uint8_t *bytes, uint32_t space, uint32_t i, uint32_t turn) {
  rng r = {((uint64_t)turn << 32) | (i + 1000 * space)};
  varve_slice value = {bytes, history_size(i, turn)};
  for (size_t k = 0; k < value.size; k++) bytes[k] = (uint8_t)(k % 16 < 4 ? rng_next(&r) : bytes[k - 1]);
  return value;
}

static inline void history_put(uint32_t space, uint32_t i) {
  char text[32];
  uint8_t bytes[BED_VALUE_MAX];
  uint32_t turn = ++history.turn[space][i];
  varve_write_options o = {.keyspace = history.space[space]};
  varve_slice value = history_value(bytes, space, i, turn);
  TEST_OK(varve_put(history.db, bed_key(text, i), value, &o));
  history.deleted[space][i] = false;
}

static inline void history_delete(uint32_t space, uint32_t i) {
  char text[32];
  varve_write_options o = {.keyspace = history.space[space]};
  TEST_OK(varve_delete(history.db, bed_key(text, i), &o));
  history.deleted[space][i] = true;
}

/* A database with tables in several levels and writes in the log; its files are in `image`. */
static inline void history_make(uint64_t seed, bool clean) {
  rng r = {seed};
  varve_options o = {.no_thread = true, .memtable_bytes = 1, .table_bytes = 1, .block_bytes = 512};
  o.compression = rng_percent(&r, 50) ? VARVE_COMPRESSION_NONE : VARVE_COMPRESSION_DEFAULT;
  env *e;
  memset(&history, 0, sizeof history);
  TEST_OK(env_open(api_allocator(), ":memory:", VFS_PLACE_CREATE, &e));
  TEST_OK(vfs_lock(e->fs, 0));
  TEST_OK(api_open(e, &o, &history.db));
  TEST_OK(varve_keyspace_open(history.db, VARVE_STR("first"), &history.space[1]));
  TEST_OK(varve_keyspace_open(history.db, VARVE_STR("second"), &history.space[2]));
  for (uint32_t part = 0; part < 6; part++) {
    for (uint32_t n = 0; n < 250; n++) {
      uint32_t space = rng_below(&r, REPAIR_SPACES), i = rng_below(&r, REPAIR_KEYS);
      if (rng_percent(&r, 80))
        history_put(space, i);
      else
        history_delete(space, i);
    }
    if (part == 2)
      TEST_OK(varve_compact(history.db, NULL, NULL));
    else if (part < 5)
      TEST_OK(varve_flush(history.db));
  }
  bool more = true;
  while (more) TEST_OK(varve_work(history.db, 1 * MiB, &more)); /* no table that is half written */
  if (!clean)
    bed_image_take(e->fs, &image); /* as a process that dies leaves it */
  else
    TEST_OK(lsm_close(history.db->lsm));
  if (clean) bed_image_take(e->fs, &image);
  if (clean) {
    history.db->lsm = NULL;
    TEST_OK(lsm_open(e,
                     &(lsm_options){.must_exist = true,
                                    .no_thread = true,
                                    .sync_interval_ms = 100,
                                    .table_bytes = 1 * MiB,
                                    .block_bytes = 4096,
                                    .bloom_bits = 10,
                                    .l0_runs = 8,
                                    .fanout = 10,
                                    .memory_bytes = 64 * MiB,
                                    .memtable_bytes = 8 * MiB},
                     &history.db->lsm));
  }
  TEST_OK(varve_close(history.db));
}

/* Key i of a keyspace in the repaired database: was it written once, and is it what is owed? */
static inline void history_check_key(varve_db *db, varve_keyspace *space, uint32_t s, uint32_t i, uint64_t *found) {
  char text[32];
  uint8_t bytes[BED_VALUE_MAX];
  varve_value v;
  varve_read_options o = {.keyspace = space};
  const repair_owed *owed = &oracle.key[s][i];
  int rc = varve_get(db, bed_key(text, i), &o, &v);
  TEST_OK(rc);
  if (rc == VARVE_NOTFOUND) {
    if (owed->known && trailer_kind(owed->trailer) == KIND_PUT) fail_msg("key %u of keyspace %u is not there", i, s);
    return;
  }
  (*found)++;
  bool written = false;
  for (uint32_t turn = 1; !written && turn <= history.turn[s][i]; turn++) {
    varve_slice value = history_value(bytes, s, i, turn);
    written = value.size == v.size && memcmp(value.data, v.data, v.size) == 0;
  }
  if (!written) fail_msg("key %u of keyspace %u has a value that was never written", i, s);
  uint64_t hash = xxh64(v.data, v.size, 0);
  bool same = owed->known && trailer_kind(owed->trailer) == KIND_PUT && owed->size == v.size &&
              memcmp(owed->hash, &hash, sizeof hash) == 0;
  if (!same) fail_msg("key %u of keyspace %u is not what its newest whole block or frame holds", i, s);
  varve_value_release(&v);
}

/* Whether the repaired database holds what `oracle` owes, all of it and nothing else. */
static inline void history_check(varve_db *db, const varve_repair_report *report) {
  static const char *const names[REPAIR_SPACES][2] = {
      {NULL, NULL}, {"first", "recovered-2"}, {"second", "recovered-3"}};
  bed_names list = {.count = 0};
  uint64_t found = 0;
  TEST_OK(varve_keyspace_list(db, bed_names_visit, &list));
  for (uint32_t s = 0; s < REPAIR_SPACES; s++) {
    varve_keyspace *space = NULL;
    for (uint32_t k = 0; s > 0 && k < list.count; k++) {
      bool ours = strcmp(list.name[k], names[s][0]) == 0 || strcmp(list.name[k], names[s][1]) == 0;
      if (ours) TEST_OK(varve_keyspace_open(db, VARVE_STR(list.name[k]), &space));
    }
    for (uint32_t i = 0; i < REPAIR_KEYS; i++) {
      bool owed = oracle.key[s][i].known && trailer_kind(oracle.key[s][i].trailer) == KIND_PUT;
      if (s > 0 && space == NULL && owed) fail_msg("keyspace %u is not there", s);
      if (s == 0 || space != NULL) history_check_key(db, space, s, i, &found);
    }
  }
  assert_int_equal(found, report->entries);
}

/* ---- damage ---- */

static inline void damage_add(repair_damages *d, uint32_t file, uint64_t from, uint64_t to) {
  assert_true(d->count < COUNT_OF(d->list));
  d->list[d->count++] = (repair_damage){file, from, to};
}

enum { DAMAGE_MAX = 3512 };

/* Damages one file in one of many ways; `hurt` is the copy that is damaged. */
static inline void damage_file(rng *r, bed_image *hurt, uint32_t index, repair_damages *d) {
  bed_file *f = &hurt->files[index];
  if (f->size == 0) return;
  static uint8_t before[DAMAGE_MAX];
  uint64_t at = rng_below(r, (uint32_t)f->size), n = 1;
  uint64_t saved = at / 512 * 512;
  memcpy(before, f->bytes + saved, MIN(sizeof before, f->size - saved));
  switch (rng_below(r, 6)) {
    case 0: /* a stretch of rubbish */
      n = 1 + rng_below(r, DAMAGE_MAX - 512);
      n = MIN(n, f->size - at);
      for (uint64_t i = 0; i < n; i++) f->bytes[at + i] = (uint8_t)rng_next(r);
      break;
    case 1: /* a sector of zeros */
      at = at / 512 * 512;
      n = MIN((uint64_t)512, f->size - at);
      memset(f->bytes + at, 0, n);
      break;
    case 2: /* cut off */
      n = f->size - at;
      f->size = (size_t)at;
      break;
    default: /* a byte */
      f->bytes[at] ^= (uint8_t)(1u << rng_below(r, 8));
      break;
  }
  /* What is as it was is no damage: rubbish may be the right byte, zeros may stand on zeros. */
  while (f->size >= at + n && n > 0 && f->bytes[at + n - 1] == before[at + n - 1 - saved]) n--;
  for (; f->size > at && n > 0 && f->bytes[at] == before[at - saved]; at++) n--;
  if (n > 0) damage_add(d, index, at, at + n);
}

static inline void image_copy(const bed_image *from, bed_image *to) {
  to->count = from->count;
  to->fs = NULL;
  for (size_t i = 0; i < from->count; i++) {
    to->files[i] = from->files[i];
    to->files[i].bytes = malloc(from->files[i].size + 1);
    assert_non_null(to->files[i].bytes);
    memcpy(to->files[i].bytes, from->files[i].bytes, from->files[i].size);
  }
}

static inline void image_remove(bed_image *x, uint32_t index) {
  free(x->files[index].bytes);
  for (size_t i = index; i + 1 < x->count; i++) x->files[i] = x->files[i + 1];
  x->count--;
}

/* Adds a copy of the file, in order. */
static inline void image_add(bed_image *x, const bed_file *f) {
  size_t at = x->count++;
  for (; at > 0; at--) {
    const bed_file *before = &x->files[at - 1];
    if (before->kind < f->kind || (before->kind == f->kind && before->number < f->number)) break;
    x->files[at] = *before;
  }
  x->files[at] = *f;
  x->files[at].bytes = malloc(f->size + 1);
  assert_non_null(x->files[at].bytes);
  memcpy(x->files[at].bytes, f->bytes, f->size);
}

static inline uint32_t image_index(const bed_image *x, file_kind kind) {
  for (uint32_t i = 0; i < x->count; i++) {
    if (x->files[i].kind == kind) return i;
  }
  fail_msg("there is no such file");
  return 0;
}

static bed_image hurt;
static repair_seen seen;

static inline void seen_print(void) {
  for (uint32_t i = 0; i < seen.count; i++) {
    print_message("%s%s at %llu, %llu bytes: %s (%s .. %s)\n", seen.loss[i].harmless ? "mended: " : "",
                  seen.loss[i].file, (unsigned long long)seen.loss[i].offset, (unsigned long long)seen.loss[i].size,
                  seen.loss[i].reason, seen.loss[i].after, seen.loss[i].before);
  }
}

/* Repairs `hurt`, which differs from `image` by `d`, and checks all that is owed. */
static inline varve_repair_report repair_and_check(const repair_damages *d) {
  env *to;
  varve_repair_report report;
  repair_bed_oracle(&image, d, &oracle);
  TEST_OK(repair_bed_run(&hurt, &to, &report, &seen));
  assert_int_equal(report.losses + report.mended,
                   seen.count < REPAIR_LOSSES ? seen.count : report.losses + report.mended);
  varve_db *db = repair_bed_open(to);
  if (getenv("VARVE_PRINT")) seen_print();
  history_check(db, &report);
  bed_put(db, 1, 99, 10); /* it takes writes */
  bed_check(db, 1, 99, 10);
  TEST_OK(varve_close(db));
  return report;
}

#endif
