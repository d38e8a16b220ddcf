/* damage_test.c: every byte of every file flipped, every file cut: the answers are the same ones, or CORRUPT,
 * NEWER_FORMAT or NOT_DATABASE with the file's name. Never other answers, never a crash.
 *
 * What a killed process leaves may lose, with damage in what it had not synced, the commits from there on: then the
 * answer is an earlier state that holds everything synced. A log that is cut off with all that says how far it was
 * synced ends earlier still: nothing is left that could tell. All other damage is held to the rule above.
 */
#include "unit/api/engine_bed.h"

enum { STATES_MAX = 60 };

typedef struct damage_layout {
  const char *name;
  bed_image image;
  bed_content whole;
  bed_content states[STATES_MAX]; /* a killed process's: what each commit since the last flush left */
  uint32_t state_count, synced;   /* the first state with all that was synced */
} damage_layout;

static varve_options damage_options(bool mmap) {
  varve_options o = {.no_thread = true,
                     .memtable_bytes = 1,
                     .table_bytes = 1,
                     .memory_bytes = 1,
                     .no_mmap = !mmap,
                     .sync_interval_ms = 1000000};
  return o;
}

/* Several levels, range deletes, a keyspace, a snapshot's old versions, LZ4 blocks. */
static void damage_fill(varve_db *db) {
  varve_keyspace *space;
  char from[32], to[32];
  TEST_OK(varve_keyspace_open(db, VARVE_STR("more"), &space));
  varve_write_options o = {VARVE_DURABILITY_DEFAULT, space};
  for (uint32_t i = 0; i < 120; i++) TEST_OK(bed_put(db, i, 1, 70));
  TEST_OK(varve_compact(db, NULL, NULL));
  varve_snapshot *s;
  TEST_OK(varve_snapshot_open(db, &s));
  for (uint32_t i = 10; i < 50; i += 2) TEST_OK(bed_put(db, i, 2, 90));
  TEST_OK(varve_delete_range(db, bed_key(from, 60), bed_key(to, 70), NULL));
  TEST_OK(varve_put(db, VARVE_STR("k"), VARVE_STR("in another keyspace"), &o));
  TEST_OK(varve_flush(db));
  varve_snapshot_close(s);
  TEST_OK(varve_delete(db, bed_key(from, 5), NULL));
  TEST_OK(bed_put(db, 200, 1, 300));
  TEST_OK(varve_flush(db));
}

static void damage_layout_make(damage_layout *l, const char *name) {
  varve_db *db;
  varve_options o = damage_options(true);
  l->name = name;
  l->state_count = 0;
  TEST_OK(varve_open(":memory:", &o, &db));
  damage_fill(db);
  bool crashed = strcmp(name, "killed") == 0;
  bool compacted = strcmp(name, "compacted") == 0;
  if (compacted) TEST_OK(varve_compact(db, NULL, NULL));
  for (uint32_t i = 0; i < 30; i++) {
    if (crashed) TEST_OK(bed_read_all(db, &l->states[l->state_count++]));
    TEST_OK(bed_put(db, 300 + i, 1, 40));
  }
  l->synced = l->state_count;
  if (crashed) {
    TEST_OK(varve_sync(db));
    for (uint32_t i = 0; i < 12; i++) {
      TEST_OK(bed_read_all(db, &l->states[l->state_count++]));
      TEST_OK(bed_put(db, 400 + i, 1, 40));
    }
  }
  TEST_OK(bed_read_all(db, &l->whole));
  env *keep = db->env;
  if (crashed) {
    bed_image_take(keep->fs, &l->image);
    TEST_OK(varve_close(db));
    return;
  }
  /* A clean close ends the place in memory with it: so the files are taken once what close writes is there. */
  TEST_OK(lsm_sync_logs(db->lsm));
  edit e;
  edit_init(&e, keep->alloc);
  e.has_clean_end = true;
  e.clean_log = wal_log_number(db->lsm->wal);
  e.clean_end = wal_end(db->lsm->wal);
  TEST_OK(manifest_append(db->lsm->manifest, &e));
  edit_free(&e);
  bed_image_take(keep->fs, &l->image);
  TEST_OK(varve_close(db));
}

static bool damage_is_state(const damage_layout *l, const bed_content *c, uint32_t from) {
  for (uint32_t i = from; i < l->state_count; i++) {
    if (l->states[i].digest == c->digest && l->states[i].entries == c->entries) return true;
  }
  return false;
}

/* Opens what is there now and judges the answer. `f` was damaged at `at`. */
static void damage_judge(const damage_layout *l, const bed_file *f, size_t at, const char *how, bool mmap) {
  varve_options o = damage_options(mmap);
  bed_content content;
  char name[FILE_NAME_SIZE_MAX];
  int rc = bed_examine(&l->image, &o, &content);
  file_name_format(name, f->kind, f->number);
  if (rc >= 0) {
    if (content.digest == l->whole.digest && content.entries == l->whole.entries) return;
    bool cut = strcmp(how, "cut") == 0;
    if (f->kind == FILE_WAL && damage_is_state(l, &content, cut ? 0 : l->synced)) return;
    fail_msg("%s: %s %s at %zu: another content, %llu entries instead of %llu", l->name, name, how, at,
             (unsigned long long)content.entries, (unsigned long long)l->whole.entries);
  }
  bool known = rc == VARVE_CORRUPT || rc == VARVE_NEWER_FORMAT || rc == VARVE_NOT_DATABASE;
  if (!known) fail_msg("%s: %s %s at %zu: %s: %s", l->name, name, how, at, varve_status_name(rc), varve_errmsg(NULL));
  bool named = strstr(varve_errmsg(NULL), name) != NULL || (f->kind != FILE_SUPER && f->kind != FILE_MANIFEST) ||
               strstr(varve_errmsg(NULL), ".man") != NULL;
  bool any = strstr(varve_errmsg(NULL), ".wal") != NULL || strstr(varve_errmsg(NULL), ".sst") != NULL ||
             strstr(varve_errmsg(NULL), ".man") != NULL || strstr(varve_errmsg(NULL), "SUPER") != NULL ||
             strstr(varve_errmsg(NULL), "log ") != NULL || rc == VARVE_NEWER_FORMAT;
  if (!named && !any) fail_msg("%s: %s %s at %zu: no file in \"%s\"", l->name, name, how, at, varve_errmsg(NULL));
}

/* Where the last byte that is not zero ends. */
static size_t damage_used(const bed_file *f) {
  size_t n = f->size;
  while (n > 0 && f->bytes[n - 1] == 0) n--;
  return n;
}

static uint64_t damage_flip(damage_layout *l, rng *r, uint32_t budget) {
  uint64_t total = 0, done = 0;
  for (size_t i = 0; i < l->image.count; i++)
    total += MIN(damage_used(&l->image.files[i]) + 64, l->image.files[i].size);
  for (size_t i = 0; i < l->image.count; i++) {
    bed_file *f = &l->image.files[i];
    size_t end = MIN(damage_used(f) + 64, f->size);
    for (size_t at = 0; at < end; at++) {
      if (total > budget && rng_next(r) % total >= budget) continue;
      uint8_t was = f->bytes[at];
      f->bytes[at] = (uint8_t)(was ^ (rng_percent(r, 70) ? 1u << rng_below(r, 8) : 0xffu));
      damage_judge(l, f, at, "flipped", rng_percent(r, 50));
      f->bytes[at] = was;
      done++;
    }
  }
  return done;
}

static uint64_t damage_cut(damage_layout *l, rng *r, uint32_t budget) {
  uint64_t done = 0;
  for (size_t i = 0; i < l->image.count; i++) {
    bed_file *f = &l->image.files[i];
    size_t was = f->size, end = MIN(damage_used(f) + 64, f->size);
    uint64_t share = budget / l->image.count + 1;
    for (size_t at = 0; at < end; at++) {
      if (end > share && rng_next(r) % end >= share) continue;
      f->size = at;
      damage_judge(l, f, at, "cut", rng_percent(r, 50));
      done++;
    }
    f->size = was;
  }
  return done;
}

/* Each file gone. */
static void damage_remove(damage_layout *l) {
  for (size_t i = 0; i < l->image.count; i++) {
    bed_file gone = l->image.files[i];
    l->image.files[i] = l->image.files[l->image.count - 1];
    l->image.count--;
    damage_judge(l, &gone, 0, "removed", true);
    l->image.count++;
    l->image.files[l->image.count - 1] = l->image.files[i];
    l->image.files[i] = gone;
  }
}

static void damage_all(const char *name) {
  static damage_layout l;
  rng r = test_rng(name);
  damage_layout_make(&l, name);
  bed_content same;
  varve_options o = damage_options(true);
  TEST_OK(bed_examine(&l.image, &o, &same));
  assert_int_equal(same.digest, l.whole.digest);
  uint64_t flips = damage_flip(&l, &r, test_scale(6000));
  uint64_t cuts = damage_cut(&l, &r, test_scale(2000));
  damage_remove(&l);
  printf("%s: %zu files, %llu flips, %llu cuts\n", name, l.image.count, (unsigned long long)flips,
         (unsigned long long)cuts);
  assert_true(flips > 0 && cuts > 0);
  bed_image_free(&l.image);
}

static void damage_after_a_clean_close(void **state) {
  (void)state;
  damage_all("closed");
}

static void damage_of_a_compacted_database(void **state) {
  (void)state;
  damage_all("compacted");
}

static void damage_after_a_kill(void **state) {
  (void)state;
  damage_all("killed");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(damage_after_a_clean_close),
      cmocka_unit_test(damage_of_a_compacted_database),
      cmocka_unit_test(damage_after_a_kill),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
