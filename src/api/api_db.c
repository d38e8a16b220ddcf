/* api_db.c: opening and closing databases, options, and the handles of closed ones.
 *
 * Invariant: a varve_db is released only after 64 more databases of the process were closed, so a call with a handle
 * that was closed finds API_CLOSED in it.
 *
 * A child made by fork has the parent's memory, its descriptors and its mapped log, and none of its threads: a call
 * with the parent's handle would write into the parent's files beside it, or wait for ever. So every fork changes what
 * counts as live in the child, and such calls fail with CLOSED there.
 */
#include "api/api_int.h"

#define API_REMEMBERED 64u

static _Atomic(varve_db *) api_closed[API_REMEMBERED];
static atomic_uint api_closed_at;
static atomic_uint_least64_t api_serials;
static atomic_uint api_live = API_LIVE; /* the state of this process's open handles */
static atomic_bool api_watches_forks;

static allocator api_libc_allocator;
static atomic_uint api_allocator_state; /* 0 = not yet, 1 = being made, 2 = ready */

INTERNAL allocator *api_allocator(void) {
  unsigned state = 0;
  if (LIKELY(atomic_load_explicit(&api_allocator_state, memory_order_acquire) == 2)) return &api_libc_allocator;
  if (atomic_compare_exchange_strong(&api_allocator_state, &state, 1)) {
    allocator_init_libc(&api_libc_allocator);
    atomic_store_explicit(&api_allocator_state, 2, memory_order_release);
  }
  while (atomic_load_explicit(&api_allocator_state, memory_order_acquire) != 2) thread_yield();
  return &api_libc_allocator;
}

/* Runs in the child, where there is one thread. */
static void api_after_fork(void) {
  atomic_fetch_add(&api_live, 1);
}

INTERNAL int api_check(const varve_db *db) {
  if (UNLIKELY(db == NULL)) return status_fail(VARVE_INVALID, "the database handle is NULL");
  unsigned state = atomic_load_explicit(&db->state, memory_order_relaxed);
  if (LIKELY(state == atomic_load_explicit(&api_live, memory_order_relaxed))) return VARVE_OK;
  if (state == API_CLOSED) return status_fail(VARVE_CLOSED, "the database was closed");
  return status_fail(VARVE_CLOSED,
                     "the database was opened before a fork, by the parent process; let one process use it, or open "
                     "it in the child when the parent has closed it");
}

VARVE_API const char *varve_version(void) {
  return VARVE_VERSION;
}

VARVE_API const char *varve_errmsg(const varve_db *db) {
  (void)db; /* messages are kept by thread: two threads of one database do not mix theirs up */
  return status_message();
}

/* ---- options ---- */

static uint64_t api_clamp(uint64_t given, uint64_t otherwise, uint64_t low, uint64_t high) {
  uint64_t value = given == 0 ? otherwise : given;
  return MIN(MAX(value, low), MAX(low, high));
}

static lsm_options api_options(const varve_options *o) {
  lsm_options r = {
      .read_only = o->read_only,
      .must_exist = o->must_exist,
      .must_not_exist = o->must_not_exist,
      .no_thread = o->no_thread,
      .no_mmap = o->no_mmap || o->memory_bytes != 0, /* a bound that is asked for covers tables' pages too */
      .strict = o->durability == VARVE_STRICT,
      .compress = o->compression != VARVE_COMPRESSION_NONE};
  uint64_t memory_max = sizeof(size_t) == 4 ? UINT64_C(3) << 30 : UINT64_MAX;
  r.sync_interval_ms = o->sync_interval_ms == 0 ? SYNC_INTERVAL_MS_DEFAULT : o->sync_interval_ms;
  r.memory_bytes = api_clamp(o->memory_bytes, MEMORY_BYTES_DEFAULT, MEMORY_BYTES_MIN, memory_max);
  uint64_t memtable_bytes = MIN((uint64_t)MEMTABLE_BYTES_DEFAULT, r.memory_bytes / 8);
  r.memtable_bytes = api_clamp(o->memtable_bytes, memtable_bytes, MEMTABLE_BYTES_MIN, r.memory_bytes / 4);
  r.table_bytes = (uint32_t)api_clamp(o->table_bytes, TABLE_BYTES_DEFAULT, TABLE_BYTES_MIN, TABLE_BYTES_MAX);
  r.block_bytes = (uint32_t)api_clamp(o->block_bytes, BLOCK_BYTES_DEFAULT, BLOCK_BYTES_MIN, BLOCK_BYTES_MAX);
  r.bloom_bits = (uint32_t)api_clamp(o->bloom_bits, BLOOM_BITS_DEFAULT, 1, BLOOM_BITS_MAX);
  r.l0_runs = (uint32_t)api_clamp(o->l0_runs, L0_RUNS_DEFAULT, 2, L0_RUNS_MAX);
  r.fanout = (uint32_t)api_clamp(o->level_fanout, FANOUT_DEFAULT, 2, 100);
  return r;
}

static int api_check_options(const varve_options *o) {
  if (o->durability > VARVE_STRICT) {
    return status_fail(VARVE_INVALID, "durability must be 0, VARVE_RELAXED or VARVE_STRICT");
  }
  if (o->compression > VARVE_COMPRESSION_LZ4) {
    return status_fail(VARVE_INVALID, "compression must be 0, VARVE_COMPRESSION_NONE or VARVE_COMPRESSION_LZ4");
  }
  if (o->must_exist && o->must_not_exist) {
    return status_fail(VARVE_INVALID, "must_exist and must_not_exist exclude each other");
  }
  if (o->read_only && o->must_not_exist) {
    return status_fail(VARVE_INVALID, "a database cannot be created read_only");
  }
  for (size_t i = 0; i < COUNT_OF(o->reserved); i++) {
    if (o->reserved[i] != 0) return status_fail(VARVE_INVALID, "options.reserved must be zero: begin with = {0}");
  }
  return VARVE_OK;
}

/* ---- opening ---- */

INTERNAL int api_open_env(const char *path, uint32_t flags, uint32_t lock_wait_ms, int foreign, env **out) {
  TRY(env_open(api_allocator(), path, flags, out));
  const vfs *fs = (*out)->fs;
  const char *what = (fs->traits & VFS_ONE_FILE) != 0
                         ? "is a file of something else, and so not a Varve database; give another path"
                         : "holds other files and no database; use an empty directory or a new name";
  int rc = fs->foreign && foreign != VARVE_OK ? status_fail(foreign, "%s %s", fs->location, what)
                                              : vfs_lock((*out)->fs, lock_wait_ms);
  if (rc < 0) {
    char message[STATUS_MESSAGE_SIZE];
    status_keep_message(message);
    (void)env_close(*out);
    status_set_message(message);
    *out = NULL;
  }
  return rc;
}

INTERNAL int api_close_env(env *e) {
  int rc = vfs_unlock(e->fs);
  ALSO(env_close(e));
  return rc;
}

INTERNAL int api_open(env *e, const varve_options *options, varve_db **out) {
  varve_options none = {0};
  const varve_options *o = options == NULL ? &none : options;
  *out = NULL;
  allocator *alloc = api_allocator();
  varve_db *db = MEM_NEW(alloc, varve_db);
  int rc = db == NULL ? mem_fail(sizeof *db, "a handle") : VARVE_OK;
  if (rc >= 0) {
    lsm_options resolved = api_options(o);
    rc = lsm_open(e, &resolved, &db->lsm);
  }
  if (rc >= 0) {
    rc = txn_store_create(db->lsm, e, &db->txns);
    if (rc >= 0) rc = index_store_create(db->lsm, db->txns, alloc, db, &db->indexes);
    if (rc < 0) {
      txn_store_destroy(db->txns);
      (void)lsm_close(db->lsm);
    }
  }
  if (rc < 0) {
    char message[STATUS_MESSAGE_SIZE];
    status_keep_message(message);
    (void)api_close_env(e);
    if (db != NULL) MEM_DELETE(alloc, db);
    status_set_message(message); /* the first failure, not what closing says */
    return rc;
  }
  db->alloc = alloc;
  db->env = e;
  mutex_init(&db->keyspace_lock);
  db->serial = 1 + atomic_fetch_add(&api_serials, 1);
  if (!atomic_exchange(&api_watches_forks, true)) thread_at_fork(api_after_fork);
  atomic_store(&db->state, atomic_load(&api_live));
  *out = db;
  return VARVE_OK;
}

VARVE_API int varve_open(const char *path, const varve_options *options, varve_db **db) {
  if (db == NULL) return status_fail(VARVE_INVALID, "there is nowhere to put the handle: db is NULL");
  *db = NULL;
  if (path == NULL || path[0] == '\0')
    return status_fail(VARVE_INVALID, "the path is empty; \":memory:\" is in memory");
  varve_options none = {0};
  const varve_options *o = options == NULL ? &none : options;
  TRY(api_check_options(o));
  uint32_t flags = o->read_only ? VFS_PLACE_READ_ONLY : o->must_exist ? 0 : VFS_PLACE_CREATE;
  env *e;
  TRY(api_open_env(path, flags, o->lock_wait_ms, VARVE_NOT_DATABASE, &e));
  return api_open(e, o, db);
}

/* ---- closing ---- */

static void api_release_shell(varve_db *db) {
  if (db == NULL) return;
  allocator *alloc = db->alloc;
  while (db->keyspaces != NULL) {
    varve_keyspace *next = db->keyspaces->next;
    MEM_DELETE(alloc, db->keyspaces);
    db->keyspaces = next;
  }
  index_store_destroy(db->indexes);
  mutex_destroy(&db->keyspace_lock);
  MEM_DELETE(alloc, db);
}

VARVE_API int varve_close(varve_db *db) {
  if (db == NULL) return VARVE_OK;
  unsigned live = atomic_load(&api_live);
  if (!atomic_compare_exchange_strong(&db->state, &live, API_CLOSED)) return api_check(db);
  uint64_t open = txn_store_open_count(db->txns);
  int rc = open == 0
               ? lsm_close(db->lsm)
               : status_fail(VARVE_BUSY, "still open: %llu transactions; close them first", (unsigned long long)open);
  if (rc == VARVE_BUSY) {
    atomic_store(&db->state, live);
    return rc;
  }
  batch *idle = atomic_exchange(&db->idle_batch, NULL);
  if (idle != NULL) varve_batch_destroy(idle);
  api_iter_free(atomic_exchange(&db->idle_iter, NULL));
  db->indexes = index_store_close(db->indexes);
  txn_store_destroy(db->txns);
  ALSO(api_close_env(db->env));
  db->lsm = NULL;
  db->txns = NULL;
  db->env = NULL;
  uint32_t at = atomic_fetch_add(&api_closed_at, 1) % API_REMEMBERED;
  api_release_shell(atomic_exchange(&api_closed[at], db));
  return rc;
}
