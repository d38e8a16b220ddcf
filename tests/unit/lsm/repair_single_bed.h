/* repair_single_bed.h: databases in one file whose content is known, ways to destroy the directories of that file, and
 * what a repair makes of it.
 */
#ifndef VARVE_REPAIR_SINGLE_BED_H
#define VARVE_REPAIR_SINGLE_BED_H
#define _POSIX_C_SOURCE 200809L

#include "repair_bed.h"

#include <time.h>

#include "env/vfs_single.h"
#include "support/one_disk.h"

enum { ONE_KEYS = 900 };

static inline double one_cpu_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Every value that was ever written, as a bit of its hash and its key's. */
static uint8_t written[1 << 20];

static inline uint64_t written_at(varve_slice key, varve_slice value) {
  return xxh64(value.data == NULL ? "" : value.data, value.size, xxh64(key.data, key.size, 5)) % (8 * sizeof written);
}

static inline int one_put(varve_db *db, varve_slice key, varve_slice value, const varve_write_options *o) {
  uint64_t at = written_at(key, value);
  written[at / 8] |= (uint8_t)(1u << at % 8);
  return varve_put(db, key, value, o);
}

typedef struct one_database {
  one_disk disk;
  bed_content content;
  uint32_t in_pieces; /* files */
} one_database;

static inline void one_env(one_disk *d, uint32_t flags, env **e) {
  TEST_OK(env_open(api_allocator(), ":memory:", VFS_PLACE_CREATE, e));
  TEST_OK(vfs_close_fs((*e)->fs));
  TEST_OK(one_disk_single(d, api_allocator(), flags, &(*e)->fs));
}

static inline varve_db *one_open(one_disk *d, const varve_options *o) {
  env *e;
  varve_db *db;
  one_env(d, o->read_only ? VFS_PLACE_READ_ONLY : VFS_PLACE_CREATE, &e);
  TEST_OK(vfs_lock(e->fs, 0));
  TEST_OK(api_open(e, o, &db));
  return db;
}

static inline void one_put_more(varve_db *db, rng *r) {
  char text[32];
  uint8_t bytes[2000];
  for (size_t k = 0; k < sizeof bytes; k++) bytes[k] = (uint8_t)rng_next(r);
  TEST_OK(one_put(db, bed_key(text, 10000 + rng_below(r, 2000)), (varve_slice){bytes, sizeof bytes}, NULL));
}

static inline uint32_t one_in_pieces(varve_db *db) {
  const single *s = single_of(db->env->fs);
  uint32_t count = 0;
  for (size_t i = 0; i < s->count; i++) count += s->nodes[i]->count > 1;
  return count;
}

/* Tables in several levels, many of them replaced since, keyspaces, deletions of ranges, a log; as a process that dies
 * leaves it, or closed. */
static inline void one_make(one_database *x, uint64_t seed, bool closed) {
  rng r = {seed};
  const uint32_t target = (uint32_t)(64 * KiB) << seed % 3 * 2; /* the larger ones lie in pieces */
  varve_options o = {.no_thread = true, .memtable_bytes = target, .table_bytes = target};
  varve_keyspace *space;
  one_disk live;
  one_disk_init(&live);
  for (uint32_t session = 0; session < 3; session++) {
    varve_db *db = one_open(&live, &o);
    TEST_OK(varve_keyspace_open(db, VARVE_STR("space"), &space));
    for (uint32_t n = 0; n < 3000; n++) {
      char text[32];
      uint32_t i = rng_below(&r, ONE_KEYS);
      varve_write_options w = {.keyspace = i % 3 == 0 ? space : NULL};
      uint8_t bytes[400];
      size_t size = 20 + rng_below(&r, 300);
      for (size_t k = 0; k < size; k++) bytes[k] = (uint8_t)rng_next(&r);
      if (rng_percent(&r, 75)) {
        TEST_OK(one_put(db, bed_key(text, i), (varve_slice){bytes, size}, &w));
      } else {
        TEST_OK(varve_delete(db, bed_key(text, i), &w));
      }
      if (n % 1000 == 500) TEST_OK(varve_delete_range(db, VARVE_STR("key00000100"), VARVE_STR("key00000130"), NULL));
      one_put_more(db, &r);
      if (n == 2000 && session == 1) TEST_OK(varve_compact(db, NULL, NULL));
    }
    bool more = true;
    while (more) TEST_OK(varve_work(db, 1 * MiB, &more));
    if (session == 2 && !closed) one_disk_copy(&live, &x->disk);
    TEST_OK(varve_close(db));
  }
  if (closed) one_disk_copy(&live, &x->disk);
  one_disk_free(&live);
  o.read_only = true;
  varve_db *db = one_open(&x->disk, &o);
  x->in_pieces = one_in_pieces(db);
  TEST_OK(bed_read_all(db, &x->content));
  assert_true(x->content.entries > ONE_KEYS / 3);
  TEST_OK(varve_close(db));
}

static inline void one_free(one_database *x) {
  one_disk_free(&x->disk);
}

/* Nothing but what was written once is in the repaired database. */
static inline void one_check_written(varve_db *db, const char *name) {
  varve_keyspace *space = NULL;
  varve_iter *it;
  if (name != NULL) TEST_OK(varve_keyspace_open(db, VARVE_STR(name), &space));
  varve_iter_options o = {.keyspace = space};
  TEST_OK(varve_iter_open(db, &o, &it));
  int rc = varve_iter_first(it);
  for (; rc == VARVE_OK; rc = varve_iter_next(it)) {
    uint64_t at = written_at(varve_iter_key(it), varve_iter_value(it));
    if ((written[at / 8] >> at % 8 & 1) == 0) fail_msg("a value was never written");
  }
  assert_int_equal(rc, VARVE_DONE);
  varve_iter_close(it);
}

/* The entries of `whole` that `db` has not, or with another value. */
static inline uint64_t one_count_missing(varve_db *whole, varve_db *db, const char *name) {
  varve_keyspace *from = NULL, *to = NULL;
  varve_iter *it;
  uint64_t missing = 0;
  if (name != NULL) TEST_OK(varve_keyspace_open(whole, VARVE_STR(name), &from));
  if (name != NULL) TEST_OK(varve_keyspace_open(db, VARVE_STR(name), &to));
  varve_iter_options o = {.keyspace = from};
  varve_read_options read = {.keyspace = to};
  TEST_OK(varve_iter_open(whole, &o, &it));
  int rc = varve_iter_first(it);
  for (; rc == VARVE_OK; rc = varve_iter_next(it)) {
    varve_value v;
    int got = varve_get(db, varve_iter_key(it), &read, &v);
    TEST_OK(got);
    varve_slice value = varve_iter_value(it);
    missing += got == VARVE_NOTFOUND || v.size != value.size || memcmp(v.data, value.data, v.size) != 0;
    if (got == VARVE_OK) varve_value_release(&v);
  }
  varve_iter_close(it);
  return missing;
}

typedef struct one_result {
  varve_repair_report report;
  repair_seen seen;
  bed_content content;
  uint64_t missing; /* entries of the undamaged database */
  int rc;
} one_result;

/* Repairs what is on the disk, which must not change, and reads the new database. */
static inline one_result one_repair(one_disk *d, one_database *whole) {
  static one_result x;
  varve_repair_options o = {.loss = repair_bed_loss, .context = &x.seen};
  env *from, *to;
  memset(&x, 0, sizeof x);
  uint64_t writes = d->writes;
  TEST_OK(env_open(api_allocator(), ":memory:", VFS_PLACE_CREATE, &to));
  one_env(d, VFS_PLACE_READ_ONLY | VFS_PLACE_SALVAGE, &from);
  TEST_OK(vfs_lock(from->fs, 0));
  TEST_OK(vfs_lock(to->fs, 0));
  x.rc = lsm_repair(from, to, &o, &x.report);
  char message[STATUS_MESSAGE_SIZE];
  status_keep_message(message);
  TEST_OK(env_close(from));
  assert_int_equal(d->writes, writes);
  for (uint32_t i = 0; getenv("VARVE_PRINT") && i < x.seen.count; i++) {
    print_message("%d %s at %llu, %llu bytes: %s (%s .. %s)\n", x.seen.loss[i].harmless, x.seen.loss[i].file,
                  (unsigned long long)x.seen.loss[i].offset, (unsigned long long)x.seen.loss[i].size,
                  x.seen.loss[i].reason, x.seen.loss[i].after, x.seen.loss[i].before);
  }
  if (x.rc < 0) {
    TEST_OK(env_close(to));
    status_set_message(message);
    return x;
  }
  varve_db *db = repair_bed_open(to);
  TEST_OK(bed_read_all(db, &x.content));
  bed_names names = {.count = 0};
  TEST_OK(varve_keyspace_list(db, bed_names_visit, &names));
  one_check_written(db, NULL);
  for (uint32_t i = 0; i < names.count; i++) one_check_written(db, names.name[i]);
  if (whole != NULL) {
    varve_options reads = {.no_thread = true, .read_only = true};
    varve_db *was = one_open(&whole->disk, &reads);
    x.missing = one_count_missing(was, db, NULL);
    if (names.count == 1 && strcmp(names.name[0], "space") == 0) x.missing += one_count_missing(was, db, "space");
    TEST_OK(varve_close(was));
  }
  TEST_OK(varve_close(db));
  return x;
}

static inline bool one_same(const bed_content *a, const bed_content *b) {
  return a->entries == b->entries && a->digest == b->digest;
}

/* Where both copies of the directory that counts stand. */
static inline single_slot one_slot(const one_disk *d) {
  single_slot best = {0}, slot;
  for (unsigned i = 0; i < SINGLE_SLOTS; i++) {
    if (single_slot_get(d->bytes + (1 + i) * (size_t)SINGLE_PAGE, &slot, i) > 0 && slot.generation > best.generation)
      best = slot;
  }
  assert_true(best.generation > 0);
  return best;
}

static inline void wipe(one_disk *d, uint64_t at, uint64_t size) {
  memset(d->bytes + at, 0, (size_t)MIN(size, d->size - at));
}

static inline void wipe_slots(one_disk *d) {
  wipe(d, SINGLE_PAGE, SINGLE_SLOTS * SINGLE_PAGE);
}

static inline void wipe_copies(one_disk *d) {
  single_slot slot = one_slot(d);
  wipe(d, slot.offset, slot.size);
  wipe(d, single_directory_copy(&slot), slot.size);
}

static inline void wipe_begin(one_disk *d) {
  wipe(d, 0, SINGLE_FIRST_PAGE * SINGLE_PAGE);
}

static inline void wipe_all_directories(one_disk *d) {
  wipe_copies(d);
  wipe_begin(d);
}

static inline void opens_no_more(one_disk *d) {
  env *e;
  one_env(d, VFS_PLACE_READ_ONLY, &e);
  int rc = vfs_lock(e->fs, 0);
  assert_true(rc == VARVE_CORRUPT || rc == VARVE_NOT_DATABASE);
  TEST_OK(env_close(e));
}

#endif
