/* corruption_bed.h: a damaged database, asked for everything that it holds, and its answer compared with what it may
 * be.
 *
 * An answer is all entries forward and backward, a get of every key that was ever written, and what verify says; each
 * read may fail, but what is read must be right. Memory is counted and capped, a case has a time limit, and the case
 * at hand is named when the process dies of it.
 */
#ifndef VARVE_CORRUPTION_BED_H
#define VARVE_CORRUPTION_BED_H

#include "unit/api/engine_bed.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

enum { COR_SPACES = 3, COR_ENTRIES = 128, COR_KEYS = 128, COR_SECONDS = 20 };

/* ---- the case at hand ---- */

typedef struct cor_case {
  const char *shape, *how;
  file_kind kind;
  uint64_t number;
  size_t at;
  unsigned pattern;
} cor_case;

static cor_case cor_now;

static inline void cor_describe(char text[200], const cor_case *c) {
  char name[FILE_NAME_SIZE_MAX];
  file_name_format(name, c->kind, c->number);
  (void)snprintf(text, 200, "%s: %s, %s at %zu, pattern %u", c->shape, name, c->how, c->at, c->pattern);
}

/* The process is about to die: of a broken promise, of a wild pointer, or because a case took too long. */
static inline void cor_died(int signal_number) {
  char text[200];
  cor_describe(text, &cor_now);
  if (cor_now.shape != NULL) fprintf(stderr, "signal %d in the case \"%s\"\n", signal_number, text);
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

static inline void cor_watch(void) {
  signal(SIGABRT, cor_died);
  signal(SIGSEGV, cor_died);
  signal(SIGALRM, cor_died);
}

/* ---- memory: counted, and refused beyond a cap ---- */

typedef struct cor_allocator {
  allocator base;
  size_t cap, peak;
} cor_allocator;

static inline void *cor_resize(allocator *self, void *ptr, size_t old_size, size_t new_size) {
  cor_allocator *a = CONTAINER_OF(self, cor_allocator, base);
  size_t used = atomic_load_explicit(&self->used, memory_order_relaxed) - old_size;
  if (new_size > a->cap || used > a->cap - new_size) {
    a->peak = SIZE_MAX;
    return NULL;
  }
  void *result = NULL;
  if (new_size == 0) {
    free(ptr);
  } else {
    result = realloc(ptr, new_size);
    assert_non_null(result);
  }
  used += new_size;
  atomic_store_explicit(&self->used, used, memory_order_relaxed);
  if (a->peak < used) a->peak = used;
  return result;
}

static inline void cor_allocator_init(cor_allocator *a, size_t cap) {
  *a = (cor_allocator){.base = {.resize = cor_resize}, .cap = cap};
}

/* ---- places ---- */

static rng cor_rng; /* ids and salts: the same in every run with one seed */

static inline void cor_random(env *e, void *data, size_t size) {
  (void)e;
  test_fill(&cor_rng, data, size);
}

/* An env over files in memory, whose own memory is counted apart from the files'. */
static inline env *cor_env(allocator *alloc) {
  env *e;
  TEST_OK(env_open(alloc, ":memory:", VFS_PLACE_CREATE, &e));
  TEST_OK(vfs_close_fs(e->fs));
  TEST_OK(vfs_mem_open(api_allocator(), &e->fs));
  e->random = cor_random;
  return e;
}

static inline varve_options cor_options(bool read_only, bool mmap) {
  varve_options o = {.no_thread = true,
                     .read_only = read_only,
                     .no_mmap = !mmap,
                     .memory_bytes = mmap ? 0 : 1,
                     .memtable_bytes = 1,
                     .table_bytes = 1,
                     .block_bytes = 256,
                     .sync_interval_ms = 1000000};
  return o;
}

/* ---- content ---- */

enum { COR_ABSENT = 0, COR_FAILED = 1 };

typedef struct cor_list {
  uint64_t hash[COR_ENTRIES];
  uint32_t count;
  bool whole;
} cor_list;

typedef struct cor_content {
  int rc; /* the first failure of a read, or OK */
  uint32_t spaces;
  bool spaces_whole;
  cor_list forward[COR_SPACES], backward[COR_SPACES];
  uint64_t get[COR_SPACES][COR_KEYS]; /* COR_ABSENT, COR_FAILED, or a hash */
} cor_content;

static inline uint64_t cor_hash(varve_slice key, varve_slice value) {
  return bed_entry_hash(7, key, value) | 2;
}

/* Only damage may be found: whatever else fails is the engine's. */
static inline void cor_note(cor_content *c, int rc) {
  if (rc < 0 && (c->rc >= 0 || c->rc == VARVE_CORRUPT)) c->rc = rc;
}

static inline void cor_walk(varve_iter *it, bool forward, cor_list *list, cor_content *c) {
  int rc = forward ? varve_iter_first(it) : varve_iter_last(it);
  list->count = 0;
  for (; rc == VARVE_OK; rc = forward ? varve_iter_next(it) : varve_iter_prev(it)) {
    if (list->count == COR_ENTRIES) break;
    list->hash[list->count++] = cor_hash(varve_iter_key(it), varve_iter_value(it));
  }
  if (rc == VARVE_OK) rc = status_fail(VARVE_BUG, "there are more entries than were ever written");
  list->whole = rc == VARVE_DONE;
  cor_note(c, rc);
}

static inline void cor_read_space(varve_db *db, varve_keyspace *space, uint32_t s, cor_content *c) {
  varve_iter_options o = {.keyspace = space};
  varve_read_options ro = {.keyspace = space};
  varve_iter *it;
  c->forward[s].count = c->backward[s].count = 0;
  c->forward[s].whole = c->backward[s].whole = false;
  int rc = varve_iter_open(db, &o, &it);
  cor_note(c, rc);
  if (rc >= 0) {
    cor_walk(it, true, &c->forward[s], c);
    cor_walk(it, false, &c->backward[s], c);
    varve_iter_close(it);
  }
  for (uint32_t i = 0; i < COR_KEYS; i++) {
    char text[32];
    varve_value v;
    varve_slice key = bed_key(text, i);
    rc = varve_get(db, key, &ro, &v);
    c->get[s][i] = rc < 0 ? (uint64_t)COR_FAILED : (uint64_t)COR_ABSENT;
    if (rc == VARVE_OK) {
      varve_slice value = {v.data, v.size};
      c->get[s][i] = cor_hash(key, value);
      varve_value_release(&v);
    }
    cor_note(c, rc);
  }
}

static inline void cor_read(varve_db *db, cor_content *c) {
  bed_names names = {.count = 0};
  c->rc = VARVE_OK;
  c->spaces = 1;
  cor_read_space(db, NULL, 0, c);
  int rc = varve_keyspace_list(db, bed_names_visit, &names);
  cor_note(c, rc);
  c->spaces_whole = rc >= 0;
  for (uint32_t i = 0; i < names.count && c->spaces < COR_SPACES; i++) {
    varve_keyspace *space;
    rc = varve_keyspace_open(db, VARVE_STR(names.name[i]), &space);
    cor_note(c, rc);
    if (rc < 0) {
      c->spaces_whole = false;
      break;
    }
    cor_read_space(db, space, c->spaces++, c);
  }
}

static inline bool cor_list_agrees(const cor_list *want, const cor_list *got) {
  if (got->count > want->count || (got->whole && got->count != want->count)) return false;
  return memcmp(want->hash, got->hash, got->count * sizeof got->hash[0]) == 0;
}

/* Whether everything that was read is what `want` holds. */
static inline bool cor_agrees(const cor_content *want, const cor_content *got) {
  if (got->spaces > want->spaces || (got->spaces_whole && got->spaces != want->spaces)) return false;
  for (uint32_t s = 0; s < got->spaces; s++) {
    if (!cor_list_agrees(&want->forward[s], &got->forward[s])) return false;
    if (!cor_list_agrees(&want->backward[s], &got->backward[s])) return false;
    for (uint32_t i = 0; i < COR_KEYS; i++) {
      if (got->get[s][i] != COR_FAILED && got->get[s][i] != want->get[s][i]) return false;
    }
  }
  return true;
}

/* ---- asking ---- */

typedef struct cor_answer {
  int opened, verified, closed;
  cor_content content;
  char message[STATUS_MESSAGE_SIZE]; /* of the first failure */
  double seconds;
} cor_answer;

static inline void cor_keep(cor_answer *a, int rc) {
  if (rc < 0 && a->message[0] == '\0') status_keep_message(a->message);
}

static inline size_t cor_image_size(const bed_image *image) {
  size_t size = 0;
  for (size_t i = 0; i < image->count; i++) size += image->files[i].size;
  return size;
}

typedef struct cor_mode {
  bool single, read_only, mmap;
} cor_mode;

/* The one file of a database, changed byte by byte: it is large, and an open for reading leaves it as it is. */
static vfs *cor_shared;

static inline int cor_open(const bed_image *image, cor_mode mode, allocator *alloc, varve_db **db) {
  varve_options o = cor_options(mode.read_only, mode.mmap);
  env *e = cor_env(alloc);
  if (mode.single && mode.read_only && cor_shared != NULL) {
    TEST_OK(vfs_close_fs(e->fs));
    e->fs = cor_shared;
  } else {
    bed_image_put(image, e->fs);
  }
  if (mode.single) {
    int rc = vfs_single_open(api_allocator(), e->fs, mode.read_only ? VFS_PLACE_READ_ONLY : 0, &e->fs);
    TEST_OK(rc);
  }
  int rc = vfs_lock(e->fs, 0); /* reads the one file's directory */
  if (rc >= 0) return api_open(e, &o, db);
  char message[STATUS_MESSAGE_SIZE];
  status_keep_message(message);
  TEST_OK(env_close(e));
  status_set_message(message);
  return rc;
}

/* Opens a copy of the image, reads all of it, verifies and closes. */
static inline void cor_ask(const bed_image *image, cor_mode mode, cor_answer *a) {
  static cor_allocator memory;
  struct timespec begin, end;
  varve_db *db;
  cor_allocator_init(&memory, 8 * cor_image_size(image) + MiB);
  a->message[0] = '\0';
  a->verified = a->closed = a->content.rc = VARVE_OK;
  alarm(COR_SECONDS);
  clock_gettime(CLOCK_MONOTONIC, &begin);
  a->opened = cor_open(image, mode, &memory.base, &db);
  cor_keep(a, a->opened);
  if (a->opened >= 0) {
    cor_read(db, &a->content);
    cor_keep(a, a->content.rc);
    a->verified = varve_verify(db, NULL, NULL, NULL);
    cor_keep(a, a->verified);
    a->closed = varve_close(db);
    cor_keep(a, a->closed);
  }
  clock_gettime(CLOCK_MONOTONIC, &end);
  a->seconds = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
  alarm(0);
  if (atomic_load(&memory.base.used) != 0) fail_msg("%zu bytes leaked", atomic_load(&memory.base.used));
  if (memory.peak == SIZE_MAX) fail_msg("more than %zu bytes were asked for: %s", memory.cap, a->message);
}

#endif
