/* recover.c: from files to a database: creation, and recovery after a clean close or a crash.
 *
 * SUPER names the manifest, the manifest the tables and the first log that is still needed (log_min). The logs are
 * found by listing, in whatever files they are, and replayed in the order of their numbers, each into a memtable of
 * its own; the last one is cut where its valid prefix ends and written on.
 *
 * A chain of logs has no holes: a log begins (header) with the sequence that follows the last one of the log before
 * it, at whose end it says to have begun. When power went before a log's tail was synced, the logs after it cannot
 * have been synced either, and are dropped with that tail; when one of them proves that it was synced, what is
 * missing is rot, and CORRUPT. The first log, log_min, is always there: its header was durable before the manifest
 * named it. When it is not, the manifest has lost its last records: CORRUPT.
 *
 * Invariants
 *   1. Recovery writes nothing until everything was read and found good; a read-only open writes nothing at all.
 *   2. It can be interrupted anywhere and begun again: dropped logs are removed before the log that they followed is
 *      written on.
 */
#include "lsm/lsm_int.h"

typedef struct log_file {
  uint64_t file, size;
  wal_header h;
  wal_reader *reader; /* NULL = a spare */
} log_file;

typedef struct recovery {
  lsm *lsm;
  manifest_state state;
  uint64_t manifest_end;
  bool manifest_torn;
  log_file *logs; /* first every *.wal; then those that are live, ascending by log number */
  uint32_t log_count;
  size_t log_room;
  uint64_t *orphans; /* numbers of tables that no version names */
  uint32_t orphan_count;
  size_t orphan_room;
  bool has_stray; /* a manifest that SUPER does not name */
  uint64_t number_max;
  uint64_t log_seen;                       /* largest log number in any header */
  uint32_t kept;                           /* live logs that were replayed; the rest is to be dropped */
  uint64_t kept_end;                       /* valid end of the last of them */
  memtable *memtables[IMMUTABLES_MAX + 1]; /* oldest first */
  uint64_t memtable_log[IMMUTABLES_MAX + 1];
  uint32_t memtable_count;
  uint64_t last_seq;
} recovery;

/* ---- what is there ---- */

static int recover_visit(void *context, file_kind kind, uint64_t number, uint64_t size) {
  recovery *r = context;
  r->number_max = MAX(r->number_max, number);
  if (kind == FILE_MANIFEST && number != r->lsm->root.manifest) r->has_stray = true;
  if (kind == FILE_WAL) {
    log_file *list = mem_grow(r->lsm->env->alloc, r->logs, r->log_count, &r->log_room, sizeof *list, "a list of files");
    if (list == NULL) return VARVE_NOMEM;
    r->logs = list;
    r->logs[r->log_count++] = (log_file){.file = number, .size = size};
  }
  if (kind == FILE_SST) {
    const table_meta *meta = version_find_table(r->state.current, number);
    if (meta != NULL && meta->size != size) {
      return status_fail(VARVE_CORRUPT, "%s has %llu bytes, and the manifest says %llu; restore it from a backup",
                         file_name(kind, number), (unsigned long long)size, (unsigned long long)meta->size);
    }
    if (meta == NULL) {
      uint64_t *list =
          mem_grow(r->lsm->env->alloc, r->orphans, r->orphan_count, &r->orphan_room, sizeof *list, "a list of files");
      if (list == NULL) return VARVE_NOMEM;
      r->orphans = list;
      r->orphans[r->orphan_count++] = number;
    }
  }
  return VARVE_OK;
}

typedef struct table_count {
  const version *v;
  uint32_t found;
} table_count;

static int recover_count_visit(void *context, file_kind kind, uint64_t number, uint64_t size) {
  (void)size;
  table_count *c = context;
  if (kind == FILE_SST && version_find_table(c->v, number) != NULL) c->found++;
  return VARVE_OK;
}

static int recover_name_missing(const recovery *r, uint32_t wanted, uint32_t missing) {
  const version *v = r->state.current;
  for (uint32_t level = 0; level < LEVELS; level++) {
    for (uint32_t i = 0; i < v->level[level].count; i++) {
      uint64_t number = v->level[level].tables[i]->number;
      vfs_file *file;
      int rc = vfs_open(r->lsm->env->fs, FILE_SST, number, 0, &file);
      if (rc >= 0) TRY(vfs_close(file));
      if (rc >= 0) continue;
      if (rc != VARVE_MISSING) return rc;
      return status_fail(
          VARVE_CORRUPT,
          "%s is missing from %s, one of %u missing of the %u tables that the manifest names; restore a backup",
          file_name(FILE_SST, number), r->lsm->env->fs->location, missing, wanted);
    }
  }
  return status_fail(VARVE_IO, "the tables in %s come and go", r->lsm->env->fs->location);
}

static int recover_check_tables(recovery *r) {
  const version *v = r->state.current;
  uint32_t wanted = 0;
  table_count c = {v, 0};
  TRY(vfs_list(r->lsm->env->fs, recover_count_visit, &c));
  for (uint32_t level = 0; level < LEVELS; level++) {
    wanted += v->level[level].count;
    for (uint32_t i = 0; i < v->level[level].count; i++) {
      table_meta *meta = v->level[level].tables[i];
      meta->on_release = table_cache_released;
      meta->release_context = r->lsm;
      if (meta->seq_max > r->state.last_seq) {
        return status_fail(VARVE_CORRUPT, "%s holds sequence %llu, and the manifest knows only %llu",
                           file_name(FILE_SST, meta->number), (unsigned long long)meta->seq_max,
                           (unsigned long long)r->state.last_seq);
      }
    }
  }
  return c.found == wanted ? VARVE_OK : recover_name_missing(r, wanted, wanted - c.found);
}

/* Reads the headers of all logs and brings the live ones to the front, in order. */
static int recover_open_logs(recovery *r) {
  uint32_t live = 0;
  for (uint32_t i = 0; i < r->log_count; i++) {
    log_file *f = &r->logs[i];
    int rc = wal_reader_open(r->lsm->env, f->file, &f->h, &f->reader);
    if (rc < 0) return rc;
    if (rc != VARVE_OK) continue;
    r->log_seen = MAX(r->log_seen, f->h.log);
    if (f->h.log < r->state.log_min) {
      wal_reader_close(f->reader);
      f->reader = NULL;
      continue;
    }
    log_file here = *f;
    *f = r->logs[live];
    uint32_t at = live++;
    for (; at > 0 && r->logs[at - 1].h.log > here.h.log; at--) r->logs[at] = r->logs[at - 1];
    r->logs[at] = here;
    if (at > 0 && r->logs[at - 1].h.log == here.h.log) {
      return status_fail(VARVE_CORRUPT, "%llu.wal and %llu.wal both claim to be log %llu",
                         (unsigned long long)r->logs[at - 1].file, (unsigned long long)here.file,
                         (unsigned long long)here.h.log);
    }
  }
  return VARVE_OK;
}

/* ---- replay ---- */

static int recover_apply(const log_file *f, const wal_frame *frame, memtable *mt) {
  TRY(lsm_reserve(mt, frame->body, frame->count));
  reader r = reader_of(frame->body);
  batch_op op;
  uint32_t count = 0;
  int rc;
  /* The memory was reserved for `count` operations; the bytes may hold more than the frame says. */
  while ((rc = batch_read(&r, &op)) == 1) count++;
  if (rc == 0 && count == frame->count) {
    lsm_apply(mt, frame->body, frame->first_seq);
    return VARVE_OK;
  }
  return status_fail(VARVE_CORRUPT, "%s is damaged at offset %llu: the operations of the frame cannot be read",
                     file_name(FILE_WAL, f->file), (unsigned long long)frame->offset);
}

/* Replays a whole log into mt, NULL = only look. *synced = some frame says that bytes of this log were synced. */
static int recover_replay(recovery *r, log_file *f, memtable *mt, bool *synced) {
  wal_frame frame;
  int rc;
  while ((rc = wal_reader_next(f->reader, &frame)) == VARVE_OK) {
    if (mt == NULL) continue;
    TRY(recover_apply(f, &frame, mt));
    r->last_seq = frame.first_seq + frame.count - 1;
  }
  *synced = wal_reader_synced(f->reader) > 0;
  return rc == VARVE_DONE ? VARVE_OK : rc;
}

/* Log i does not go on where what was read so far ends. Fine when nothing from it on was ever synced. */
static int recover_judge_hole(recovery *r, uint32_t i) {
  for (uint32_t k = i; k < r->log_count && r->logs[k].reader != NULL; k++) {
    bool synced;
    TRY(recover_replay(r, &r->logs[k], NULL, &synced));
    if (!synced && r->logs[k].h.log > r->state.clean_log) continue;
    const char *name = i > 0 ? file_name(FILE_WAL, r->logs[i - 1].file) : "a log";
    return status_fail(
        VARVE_CORRUPT,
        "%s is damaged at offset %llu: commits up to sequence %llu are missing, and log %llu proves that they "
        "were synced",
        name, (unsigned long long)r->kept_end, (unsigned long long)r->logs[i].h.next_seq - 1,
        (unsigned long long)r->logs[k].h.log);
  }
  return VARVE_OK;
}

static bool recover_continues(const recovery *r, uint32_t i) {
  const wal_header *h = &r->logs[i].h;
  if (h->next_seq != r->last_seq + 1) return false;
  return i == 0 || (h->log_before == r->logs[i - 1].h.log && h->end_before == r->kept_end);
}

static bool recover_is_empty(const version *v) {
  for (uint32_t level = 0; level < LEVELS; level++) {
    if (v->level[level].count > 0) return false;
  }
  return true;
}

/* The first live log must be the one that the manifest names: its header was durable before the manifest named it,
 * and it is given up only when a later record says so. None at all is fine where there never was one, or an empty
 * one. */
static int recover_check_first(const recovery *r) {
  const log_file *f = r->log_count > 0 && r->logs[0].reader != NULL ? &r->logs[0] : NULL;
  const manifest_state *s = &r->state;
  if (f != NULL && f->h.log == s->log_min && f->h.next_seq == s->last_seq + 1) return VARVE_OK;
  /* From generation 2 on there has been a log: see recover_create. A backup has none. */
  bool born = r->lsm->root.generation > 1 && (r->lsm->root.flags & SUPER_BACKUP) == 0;
  if (f == NULL && !born && s->last_seq == 0 && recover_is_empty(s->current)) return VARVE_OK;
  if (f == NULL && s->clean_log == s->log_min && s->clean_end <= WAL_HEADER_SIZE) return VARVE_OK;
  return status_fail(
      VARVE_CORRUPT,
      "log %llu, with which %s goes on, is missing from %s: the log is gone, or the manifest has lost its "
      "end; restore a backup",
      (unsigned long long)s->log_min, file_name(FILE_MANIFEST, r->lsm->root.manifest), r->lsm->env->fs->location);
}

static int recover_next_memtable(recovery *r, uint64_t log, memtable **mt) {
  /* More logs than memtables is not how a database is left; then the oldest share one. */
  if (r->memtable_count == COUNT_OF(r->memtables)) {
    *mt = r->memtables[r->memtable_count - 1];
    return VARVE_OK;
  }
  TRY(memtable_create(&r->lsm->chunks.base, mt));
  r->memtable_log[r->memtable_count] = log;
  r->memtables[r->memtable_count++] = *mt;
  return VARVE_OK;
}

static int recover_logs(recovery *r) {
  r->last_seq = r->state.last_seq;
  TRY(recover_check_first(r));
  for (uint32_t i = 0; i < r->log_count && r->logs[i].reader != NULL; i++) {
    log_file *f = &r->logs[i];
    if (!recover_continues(r, i)) {
      TRY(recover_judge_hole(r, i));
      break;
    }
    memtable *mt;
    bool synced;
    TRY(recover_next_memtable(r, f->h.log, &mt));
    TRY(recover_replay(r, f, mt, &synced));
    r->kept_end = wal_reader_end(f->reader);
    r->kept = i + 1;
    if (f->h.log != r->state.clean_log || r->kept_end >= r->state.clean_end) continue;
    return status_fail(VARVE_CORRUPT, "%s is damaged at offset %llu: the last close left it whole up to offset %llu",
                       file_name(FILE_WAL, f->file), (unsigned long long)r->kept_end,
                       (unsigned long long)r->state.clean_end);
  }
  uint64_t newest = r->kept > 0 ? r->logs[r->kept - 1].h.log : 0;
  if (r->state.clean_log >= r->state.log_min && r->state.clean_log > newest && r->state.clean_end > WAL_HEADER_SIZE) {
    return status_fail(VARVE_CORRUPT, "log %llu, which the last close left, is missing from %s",
                       (unsigned long long)r->state.clean_log, r->lsm->env->fs->location);
  }
  if (r->memtable_count == 0) {
    memtable *mt;
    TRY(recover_next_memtable(r, 0, &mt));
  }
  return VARVE_OK;
}

/* ---- tidying and going on (not when read-only) ---- */

typedef struct stray_manifest {
  uint64_t current, found;
} stray_manifest;

static int recover_stray_visit(void *context, file_kind kind, uint64_t number, uint64_t size) {
  (void)size;
  stray_manifest *x = context;
  if (kind != FILE_MANIFEST || number == x->current) return 0;
  x->found = number;
  return 1;
}

/* Manifests that SUPER does not name: each run that was cut short between the two left one. */
static int recover_remove_manifests(lsm *l) {
  for (;;) {
    stray_manifest x = {l->root.manifest, 0};
    int rc = vfs_list(l->env->fs, recover_stray_visit, &x);
    if (rc <= 0) return rc;
    TRY(vfs_remove(l->env->fs, FILE_MANIFEST, x.found));
  }
}

/* Files that nothing names; logs that were dropped; spares beyond the few that are kept. */
static int recover_remove(recovery *r) {
  lsm *l = r->lsm;
  vfs *fs = l->env->fs;
  bool dropped = false;
  for (uint32_t i = 0; i < r->log_count; i++) {
    log_file *f = &r->logs[i];
    bool live = f->reader != NULL;
    wal_reader_close(f->reader);
    f->reader = NULL;
    if (i < r->kept) continue;
    if (!live && l->spare_count < SPARE_LOGS_MAX && f->size <= 2 * lsm_log_size(l) && f->size >= WAL_HEADER_SIZE) {
      if (f->h.log > 0) TRY(lsm_mark_spare(l, f->file));
      l->spares[l->spare_count++] = (old_log){NULL, 0, f->file, f->size, true};
      continue;
    }
    TRY(vfs_remove(fs, FILE_WAL, f->file));
    dropped = dropped || live;
  }
  for (uint32_t i = 0; i < r->orphan_count; i++) TRY(vfs_remove(fs, FILE_SST, r->orphans[i]));
  if (r->has_stray) TRY(recover_remove_manifests(l));
  return dropped ? vfs_sync_dir(fs) : VARVE_OK;
}

static int recover_first_log(lsm *l, uint64_t log) {
  wal_header h = {.log = log, .next_seq = atomic_load(&l->last_seq) + 1};
  TRY(wal_create(l->env, lsm_new_number(l), false, &h, 0, &l->wal));
  l->active_log = log;
  TRY(wal_sync_header(l->wal));
  return vfs_sync_dir(l->env->fs);
}

static int recover_continue_logs(recovery *r) {
  lsm *l = r->lsm;
  /* A process that died may have made names that are not durable yet, SUPER's and a log's among them: whoever promises
   * durability next syncs them. */
  atomic_store(&l->names_unsynced, true);
  if (r->kept == 0) return recover_first_log(l, MAX(r->log_seen, r->state.log_min - 1) + 1);
  for (uint32_t i = 0; i + 1 < r->kept; i++) {
    const log_file *f = &r->logs[i];
    if (l->log_count == OLD_LOGS_MAX) return status_fail(VARVE_LIMIT, "more than %u logs to recover", OLD_LOGS_MAX);
    l->logs[l->log_count++] = (old_log){NULL, f->h.log, f->file, f->size, false};
  }
  const log_file *last = &r->logs[r->kept - 1];
  uint64_t synced = last->h.log == r->state.clean_log ? r->state.clean_end : 0;
  TRY(wal_continue(l->env, last->file, &last->h, r->kept_end, synced, &l->wal));
  if (synced < r->kept_end || r->kept > 1) {
    /* What was replayed is as durable as before: soon, by the thread, or before the next strict commit returns. */
    atomic_store(&l->dirty_us, l->env->now_us(l->env));
    atomic_store(&l->sync_due, true);
  }
  l->active_log = r->memtable_log[r->memtable_count - 1];
  return VARVE_OK;
}

static int recover_install(recovery *r) {
  lsm *l = r->lsm;
  atomic_store(&l->last_seq, r->last_seq);
  l->flushed_seq = r->state.last_seq;
  atomic_store(&l->next_number, MAX(r->state.next_number, r->number_max + 1));
  memtable *immutable[IMMUTABLES_MAX];
  uint32_t count = r->memtable_count - 1;
  for (uint32_t i = 0; i < count; i++) {
    immutable[i] = r->memtables[count - 1 - i];
    l->memtable_log[i] = r->memtable_log[count - 1 - i];
  }
  l->active = r->memtables[count];
  view *v;
  TRY(view_create(l, &v));
  view_install(l, v, r->memtables[count], immutable, count, r->state.current);
  return VARVE_OK;
}

/* ---- creation ---- */

static int recover_create_visit(void *context, file_kind kind, uint64_t number, uint64_t size) {
  (void)size;
  uint64_t *leftover = context;
  if (kind == FILE_WAL || kind == FILE_SST) {
    return status_fail(VARVE_CORRUPT, "SUPER is missing, and %s is there: restore SUPER, or use an empty directory",
                       file_name(kind, number));
  }
  if (kind == FILE_MANIFEST) *leftover = number;
  return VARVE_OK;
}

static int recover_create(lsm *l) {
  env *e = l->env;
  uint64_t leftover = 0; /* the highest of those that creations left which were cut short */
  TRY(vfs_list(e->fs, recover_create_visit, &leftover));
  int rc = VARVE_OK;
  memtable *mt = NULL;
  view *v = NULL;
  manifest_state state = {.log_min = 1, .next_number = leftover + 2};
  memset(&l->root, 0, sizeof l->root);
  e->random(e, l->root.id, sizeof l->root.id);
  atomic_store(&l->next_number, leftover + 2);
  STEP(version_create(e->alloc, &state.current));
  STEP(memtable_create(&l->chunks.base, &mt));
  STEP(manifest_create(e, &l->root, leftover + 1, &state, &l->manifest));
  l->root.manifest = leftover + 1;
  STEP(super_write(e, &l->root));
  if (leftover != 0) STEP(recover_remove_manifests(l));
  STEP(recover_first_log(l, 1));
  STEP(super_write(e, &l->root)); /* again, in the other slot: the log is there, and one damaged slot loses nothing */
  l->active = mt;
  STEP(view_create(l, &v));
  view_install(l, v, mt, NULL, 0, state.current);
out:
  if (state.current != NULL) pin_unref(&state.current->pin);
  if (mt != NULL) pin_unref(memtable_pin(mt));
  return rc;
}

/* ---- opening ---- */

static void recover_free(recovery *r) {
  allocator *alloc = r->lsm->env->alloc;
  for (uint32_t i = 0; i < r->log_count; i++) wal_reader_close(r->logs[i].reader);
  for (uint32_t i = 0; i < r->memtable_count; i++) pin_unref(memtable_pin(r->memtables[i]));
  if (r->state.current != NULL) pin_unref(&r->state.current->pin);
  mem_free(alloc, r->logs, r->log_room * sizeof *r->logs);
  mem_free(alloc, r->orphans, r->orphan_room * sizeof *r->orphans);
}

/* Read-only: the logs stay as they are, and count in stats and verify. */
static void recover_list_logs(recovery *r) {
  lsm *l = r->lsm;
  for (uint32_t i = 0; i < r->kept && l->log_count < OLD_LOGS_MAX; i++) {
    const log_file *f = &r->logs[i];
    l->logs[l->log_count++] = (old_log){NULL, f->h.log, f->file, f->size, true};
  }
}

static int recover_existing(lsm *l) {
  recovery r = {.lsm = l};
  int rc = VARVE_OK;
  STEP(manifest_load(l->env, &l->root, &r.state, &r.manifest_end, &r.manifest_torn));
  STEP(vfs_list(l->env->fs, recover_visit, &r));
  STEP(recover_check_tables(&r));
  STEP(recover_open_logs(&r));
  STEP(recover_logs(&r));
  STEP(recover_install(&r));
  if (l->options.read_only) {
    recover_list_logs(&r);
    goto out;
  }
  STEP(manifest_open(l->env, l->root.manifest, r.manifest_end, r.manifest_torn, &l->manifest));
  STEP(recover_remove(&r));
  STEP(recover_continue_logs(&r));
  if (l->root.mate != SUPER_MATE_SAME) {
    /* Generation 2 says that there has been a log, whose maker may have died before it and its name were durable. */
    STEP(wal_sync_header(l->wal));
    STEP(vfs_sync_dir(l->env->fs));
    STEP(super_write(l->env, &l->root));
  }
  l->clean_end = wal_log_number(l->wal) == r.state.clean_log ? r.state.clean_end : 0;
out:
  recover_free(&r);
  return rc;
}

INTERNAL int recover_open(lsm *l) {
  int rc = super_read(l->env, &l->root);
  if (rc == VARVE_MISSING) {
    if (!l->options.must_exist && !l->options.read_only) return recover_create(l);
    uint64_t leftover = 0; /* tables or logs without their SUPER are no empty place */
    TRY(vfs_list(l->env->fs, recover_create_visit, &leftover));
    return status_fail(rc, "there is no database at %s", l->env->fs->location);
  }
  if (rc < 0) return rc;
  if (l->options.must_not_exist) {
    return status_fail(VARVE_EXISTS, "there is a database at %s already", l->env->fs->location);
  }
  if ((l->root.flags & SUPER_BACKUP) != 0 && !l->options.read_only) {
    return status_fail(VARVE_READONLY, "%s is a backup: open it for reading only, or restore it to another place",
                       l->env->fs->location);
  }
  return recover_existing(l);
}
