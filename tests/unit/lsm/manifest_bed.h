/* manifest_bed.h: what the tests of the manifest share: a place with faults, a list of edits and the state after each.
 */
#ifndef VARVE_MANIFEST_BED_H
#define VARVE_MANIFEST_BED_H

#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/xxh64.h"
#include "lsm/manifest.h"
#include "support/fault_vfs.h"

static test_allocator memory;
static fault_vfs *fs;
static env e;
static super root = {.generation = 1, .id = "0123456789abcde", .manifest = 1};

static inline int setup(void **state) {
  (void)state;
  vfs *inner;
  test_allocator_init(&memory);
  TEST_OK(vfs_mem_open(&memory.base, &inner));
  TEST_OK(fault_vfs_open(inner, &fs));
  e = (env){.fs = &fs->base, .alloc = &memory.base};
  root.manifest = 1;
  return 0;
}

static inline int teardown(void **state) {
  (void)state;
  TEST_OK(vfs_close_fs(&fs->base));
  test_allocator_check(&memory);
  return 0;
}

/* ---- a list of edits, and the state after each ---- */

static inline void add_table(edit *change, uint32_t level, uint64_t number, uint64_t seq) {
  char key[24];
  table_meta *m;
  snprintf(key, sizeof key, "%08llu", (unsigned long long)number);
  TEST_OK(table_meta_create(&memory.base, slice_make(key, 8), slice_make(key, 8), false, &m));
  m->number = number;
  m->size = 1000 + number;
  m->seq_min = seq;
  m->seq_max = seq;
  TEST_OK(edit_add(change, level, m));
  pin_unref(&m->pin);
}

/* Edit i of every test: adds table i + 2, removes or moves an older one now and then. */
static inline edit nth_edit(uint32_t i) {
  edit change;
  edit_init(&change, &memory.base);
  change.has_next_number = change.has_last_seq = true;
  change.next_number = i + 3;
  change.last_seq = i * 10;
  if (i % 2 == 1) {
    change.has_log_min = true;
    change.log_min = i;
  }
  if (i % 5 == 4) {
    change.has_clean_end = true;
    change.clean_log = i % 10 == 4 ? i : 0;
    change.clean_end = i % 10 == 4 ? 64 : 0;
  }
  add_table(&change, i % 3 == 0 ? 0 : 1, i + 2, i * 10);
  if (i % 3 == 2) {
    TEST_OK(edit_remove(&change, 1, i + 1)); /* added by edit i - 1 to level 1 */
    add_table(&change, 2, i + 1, i * 10);
  }
  return change;
}

static inline void empty_state(manifest_state *s) {
  memset(s, 0, sizeof *s);
  s->next_number = 2;
  TEST_OK(version_create(&memory.base, &s->current));
}

static inline void free_state(manifest_state *s) {
  pin_unref(&s->current->pin);
}

static inline void apply(manifest_state *s, const edit *change) {
  version *next;
  TEST_OK(version_apply(s->current, change, &next));
  pin_unref(&s->current->pin);
  s->current = next;
  if (change->has_log_min) s->log_min = change->log_min;
  s->next_number = change->next_number;
  s->last_seq = change->last_seq;
  if (!change->has_clean_end) return;
  s->clean_log = change->clean_log;
  s->clean_end = change->clean_end;
}

static inline bool same_state(const manifest_state *a, const manifest_state *b) {
  if (a->log_min != b->log_min || a->next_number != b->next_number || a->last_seq != b->last_seq) return false;
  if (a->clean_log != b->clean_log || a->clean_end != b->clean_end) return false;
  for (uint32_t l = 0; l < LEVELS; l++) {
    if (a->current->level[l].count != b->current->level[l].count) return false;
    if (a->current->level[l].bytes != b->current->level[l].bytes) return false;
    for (uint32_t t = 0; t < a->current->level[l].count; t++) {
      const table_meta *x = a->current->level[l].tables[t], *y = b->current->level[l].tables[t];
      if (x->number != y->number || !slice_equal(x->smallest, y->smallest)) return false;
    }
  }
  return true;
}

#define EDITS 16u

typedef struct history {
  manifest_state states[EDITS + 1];
  uint64_t ends[EDITS + 1]; /* of the file */
  uint32_t count;
} history;

/* A manifest with EDITS edits, and every state on the way. */
static inline manifest *write_history(history *h, uint64_t number) {
  manifest *m;
  empty_state(&h->states[0]);
  TEST_OK(manifest_create(&e, &root, number, &h->states[0], &m));
  h->ends[0] = manifest_size(m);
  for (uint32_t i = 1; i <= EDITS; i++) {
    edit change = nth_edit(i);
    TEST_OK(manifest_append(m, &change));
    h->states[i] = h->states[i - 1];
    pin_ref(&h->states[i].current->pin);
    apply(&h->states[i], &change);
    h->ends[i] = manifest_size(m);
    edit_free(&change);
  }
  h->count = EDITS + 1;
  return m;
}

static inline void free_history(history *h) {
  for (uint32_t i = 0; i < h->count; i++) free_state(&h->states[i]);
}

/* Loads and says which state of the history it is; -1 = failure *rc. */
static inline int load(const history *h, int *rc, uint64_t *end, bool *torn) {
  manifest_state s;
  *rc = manifest_load(&e, &root, &s, end, torn);
  if (*rc != VARVE_OK) {
    assert_null(s.current);
    return -1;
  }
  int found = -2;
  for (uint32_t i = 0; i < h->count; i++) {
    if (h->ends[i] == *end && same_state(&s, &h->states[i])) found = (int)i;
  }
  free_state(&s);
  assert_true(found >= 0); /* never other data */
  return found;
}

static inline uint8_t *get_bytes(uint64_t number, size_t *size) {
  vfs_file *file;
  uint64_t bytes;
  TEST_OK(vfs_open(e.fs, FILE_MANIFEST, number, 0, &file));
  TEST_OK(vfs_size(file, &bytes));
  uint8_t *data = malloc((size_t)bytes + 1);
  TEST_OK(vfs_read_exact(file, 0, data, (size_t)bytes));
  TEST_OK(vfs_close(file));
  *size = (size_t)bytes;
  return data;
}

static inline void put_bytes(uint64_t number, const uint8_t *bytes, size_t size) {
  vfs_file *file;
  int rc = vfs_open(e.fs, FILE_MANIFEST, number, VFS_WRITE, &file);
  if (rc == VARVE_MISSING) rc = vfs_open(e.fs, FILE_MANIFEST, number, VFS_CREATE, &file);
  TEST_OK(rc);
  TEST_OK(vfs_truncate(file, 0));
  if (size > 0) TEST_OK(vfs_write_at(file, 0, bytes, size));
  TEST_OK(vfs_close(file));
}

#endif
