/* vfs_place_test.c: the contract of env/vfs.h: the place as a whole: its owner, read-only places, large files, lack of
 * memory, threads. */
#include "contract/vfs_places.h"
#include "env/sync.h"

/* ---- locks ---- */

static void one_owner(void **state) {
  PLACE(state);
  vfs *other = NULL;
  TEST_OK(vfs_lock(fs, 0));
  TEST_RC(vfs_lock(fs, 0), VARVE_LOCKED);
  assert_message_has(fs->location);
  if (p->kind->disk) {
    TEST_OK(p->kind->open(&p->alloc.base, p->path, 0, &other));
    TEST_RC(vfs_lock(other, 0), VARVE_LOCKED);
    assert_message_has(fs->location);
    TEST_RC(vfs_lock(other, 5), VARVE_LOCKED);
  }
  TEST_OK(vfs_unlock(fs));
  if (other != NULL) {
    TEST_OK(vfs_lock(other, 0));
    TEST_RC(vfs_lock(fs, 0), VARVE_LOCKED);
    TEST_OK(vfs_close_fs(other)); /* gives the lock back */
  }
  TEST_OK(vfs_lock(fs, 0));
  TEST_OK(vfs_unlock(fs));
}

/* ---- read-only, persistent, large ---- */

static void read_only_refuses_every_change(void **state) {
  PLACE(state);
  vfs_file *file = create(fs, FILE_SST, 1);
  char data[3];
  TEST_OK(vfs_write_at(file, 0, "abc", 3));
  TEST_OK(vfs_close(file));
  TEST_OK(vfs_close_fs(fs));
  p->fs = NULL;
  TEST_OK(p->kind->open(&p->alloc.base, p->path, VFS_PLACE_READ_ONLY, &p->fs));
  fs = p->fs;
  assert_true((fs->traits & VFS_READ_ONLY) != 0);
  TEST_OK(vfs_lock(fs, 0));
  TEST_RC(vfs_open(fs, FILE_SST, 2, VFS_CREATE, &file), VARVE_READONLY);
  assert_message_has("2.sst");
  TEST_RC(vfs_open(fs, FILE_SST, 1, VFS_WRITE, &file), VARVE_READONLY);
  assert_message_has("1.sst");
  TEST_RC(vfs_remove(fs, FILE_SST, 1), VARVE_READONLY);
  TEST_RC(vfs_sync_dir(fs), VARVE_READONLY);
  file = reopen(fs, FILE_SST, 1, 0);
  TEST_RC(vfs_write_at(file, 0, "x", 1), VARVE_READONLY);
  TEST_RC(vfs_allocate(file, 100), VARVE_READONLY);
  TEST_RC(vfs_truncate(file, 0), VARVE_READONLY);
  TEST_RC(vfs_sync(file), VARVE_READONLY);
  TEST_OK(vfs_read_exact(file, 0, data, 3));
  assert_memory_equal(data, "abc", 3);
  TEST_OK(vfs_close(file));
  TEST_OK(vfs_unlock(fs));
}

static void outlives_its_vfs(void **state) {
  PLACE(state);
  vfs_file *file = create(fs, FILE_MANIFEST, 3);
  TEST_OK(vfs_write_at(file, 0, "kept", 4));
  TEST_OK(vfs_sync(file));
  TEST_OK(vfs_sync_dir(fs));
  TEST_OK(vfs_close(file));
  TEST_OK(vfs_close_fs(fs));
  p->fs = NULL;
  TEST_OK(p->kind->open(&p->alloc.base, p->path, 0, &p->fs));
  file = reopen(p->fs, FILE_MANIFEST, 3, 0);
  assert_bytes(file, 0, "kept", 4);
  TEST_OK(vfs_close(file));
}

static void offsets_have_64_bits(void **state) {
  PLACE(state);
  const uint64_t far = (UINT64_C(5) << 30) + 123;
  vfs_file *file = create(fs, FILE_SST, 1);
  char data[8];
  size_t got;
  TEST_OK(vfs_write_at(file, far, "far", 3));
  assert_int_equal(size_of(file), far + 3);
  TEST_OK(vfs_read_at(file, far - 2, data, 8, &got));
  assert_int_equal(got, 5);
  assert_memory_equal(data, "\0\0far", 5);
  TEST_OK(vfs_read_at(file, far & UINT32_MAX, data, 3, &got));
  assert_int_equal(got, 3);
  assert_memory_equal(data, "\0\0\0", 3);
  TEST_OK(vfs_truncate(file, UINT64_C(1) << 32));
  assert_int_equal(size_of(file), UINT64_C(1) << 32);
  TEST_RC(vfs_write_at(file, UINT64_MAX - 1, "x", 1), VARVE_FULL);
  assert_message_has("1.sst");
  TEST_RC(vfs_allocate(file, UINT64_MAX), VARVE_FULL);
  assert_int_equal(size_of(file), UINT64_C(1) << 32);
  TEST_OK(vfs_close(file));
}

/* ---- memory, threads ---- */

static int use_everything(const place *p, vfs *fs) {
  vfs_file *file = NULL;
  listing l = {fs, "", false, 0};
  void *map;
  int rc = VARVE_OK;
  STEP(vfs_open(fs, FILE_WAL, 1, VFS_CREATE, &file));
  STEP(vfs_write_at(file, 0, "0123456789", 10));
  STEP(vfs_allocate(file, 100000));
  STEP(vfs_write_at(file, 99990, "0123456789abcdef", 16));
  if ((fs->traits & VFS_MAP_WRITE) != 0) {
    STEP(map_log(p, file, 100000, &map));
    STEP(vfs_allocate(file, 500000));
    if (map != NULL) STEP(vfs_unmap(file, map, 100000));
    STEP(map_log(p, file, 500000, &map));
  }
  STEP(vfs_truncate(file, 10));
  STEP(vfs_list(fs, listing_visit, &l));
  assert_string_equal(l.text, "1.wal=10 ");
out:
  ALSO(vfs_close(file));
  if (file != NULL) ALSO(vfs_remove(fs, FILE_WAL, 1));
  return rc;
}

static void survives_lack_of_memory(void **state) {
  PLACE(state);
  vfs *other = NULL;
  TEST_OK(vfs_close_fs(fs));
  p->fs = NULL;
  for (int later = 0; later < 2; later++) {
    for (uint64_t nth = 1;; nth++) {
      assert_true(nth < 100);
      test_allocator_fail(&p->alloc, nth, later != 0);
      uint64_t failed = atomic_load(&p->alloc.failures);
      int rc = p->kind->open(&p->alloc.base, p->path, VFS_PLACE_CREATE, &other);
      assert_true((rc < 0) == (other == NULL));
      if (rc >= 0) {
        rc = use_everything(p, other);
        TEST_OK(vfs_close_fs(other));
      }
      other = NULL;
      if (rc < 0) TEST_RC(rc, VARVE_NOMEM);
      assert_int_equal(atomic_load(&p->alloc.pieces), 0);
      if (atomic_load(&p->alloc.failures) == failed) break;
    }
    test_allocator_fail(&p->alloc, 0, false);
  }
}

typedef struct crew {
  struct crew *writer;
  vfs *fs;
  vfs_file *file;
  uint64_t number;
  atomic_uint written;
  uint32_t rounds;
  const char *wrong; /* what went wrong in this thread, or NULL */
} crew;

static void *crew_read(void *context) {
  crew *c = context;
  crew *writer = c->writer;
  uint32_t data[64];
  size_t got;
  for (uint32_t seen = 0; seen < c->rounds && c->wrong == NULL;) {
    seen = atomic_load(&writer->written);
    if (seen == 0) continue;
    if (vfs_read_at(c->file, (uint64_t)(seen - 1) * sizeof(data), data, sizeof(data), &got) < 0) c->wrong = "read";
    if (got != sizeof(data) || data[0] != seen || data[63] != seen) c->wrong = "other bytes than were written";
    thread_yield();
  }
  return NULL;
}

static void *crew_churn(void *context) {
  crew *c = context;
  vfs_file *file;
  for (uint32_t i = 0; i < c->rounds / 4 && c->wrong == NULL; i++) {
    if (vfs_open(c->fs, FILE_SST, c->number, VFS_CREATE, &file) < 0) {
      c->wrong = "create";
    } else {
      if (vfs_write_at(file, 0, &i, sizeof(i)) < 0) c->wrong = "write";
      if (vfs_close(file) < 0) c->wrong = "close";
      if (vfs_remove(c->fs, FILE_SST, c->number) < 0) c->wrong = "remove";
    }
  }
  return NULL;
}

static void threads_share_it(void **state) {
  PLACE(state);
  crew writer = {.fs = fs, .file = create(fs, FILE_WAL, 1), .rounds = test_scale(400)};
  crew others[4];
  thread threads[COUNT_OF(others)];
  for (size_t i = 0; i < COUNT_OF(others); i++) {
    crew one = {.fs = fs, .file = writer.file, .number = i + 1, .rounds = writer.rounds, .writer = &writer};
    memcpy(&others[i], &one, sizeof(one));
    TEST_OK(thread_start(&threads[i], i < 2 ? crew_read : crew_churn, &others[i]));
  }
  for (uint32_t i = 1; i <= writer.rounds; i++) {
    uint32_t data[64];
    for (size_t k = 0; k < COUNT_OF(data); k++) data[k] = i;
    TEST_OK(vfs_write_at(writer.file, (uint64_t)(i - 1) * sizeof(data), data, sizeof(data)));
    atomic_store(&writer.written, i);
  }
  for (size_t i = 0; i < COUNT_OF(others); i++) {
    thread_join(&threads[i]);
    if (others[i].wrong != NULL) fail_msg("thread %zu: %s", i, others[i].wrong);
  }
  TEST_OK(vfs_close(writer.file));
}

static const contract contracts[] = {
    {"one owner", one_owner, 0},
    {"read-only refuses every change", read_only_refuses_every_change, NEEDS_DISK},
    {"outlives its vfs", outlives_its_vfs, NEEDS_DISK},
    {"offsets have 64 bits", offsets_have_64_bits, NEEDS_DISK},
    {"survives lack of memory", survives_lack_of_memory, 0},
    {"threads share it", threads_share_it, NEEDS_THREADS},
};

int main(void) {
  return run_contracts("vfs_place", contracts, COUNT_OF(contracts));
}
