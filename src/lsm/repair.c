/* repair.c: a new database of everything that is whole in a damaged one.
 *
 *   1. Which files? SUPER names the manifest, the manifest the tables and the first log that counts. When it can be
 *      read to its end, and the tables that it names are there, only those count. When not, every table and log does
 *      but for those that a whole record of it took out: then what a compaction had left behind may count once more.
 *   2. Tables: whole ones stay where they are, of damaged ones the whole blocks are copied (repair_table.c).
 *   3. Logs: their whole frames become tables (repair_log.c).
 *   4. All of that is merged (repair_merge.c), every new table is read back, and only then is SUPER written.
 *
 * Invariants
 *   1. Nothing is written to the source.
 *   2. Before the end the target has no SUPER, so that it cannot be opened; after a failure its files are removed.
 *   3. Every failure to read the source that is none of memory is a loss, told, and not the end.
 */
#include "lsm/repair.h"

#include "lsm/copy.h"
#include "lsm/wal.h"

#include <stdio.h>

#define REPAIR_SEQ_MAX (TXN_SEQ_BASE / 2) /* where a new database may begin: it needs sequences of its own */

/* ---- telling ---- */

static slice repair_user_key(slice key, uint64_t *keyspace) {
  *keyspace = 0;
  if (key.size == 0) return slice_make(NULL, 0);
  reader r = reader_of(key);
  if (!read_varint64(&r, keyspace)) return slice_make(NULL, 0);
  return slice_make(r.at, reader_left(&r));
}

INTERNAL void repair_tell(repair *r, varve_repair_loss loss) {
  ASSERT(loss.file != NULL && loss.reason != NULL);
  if (loss.harmless) r->report->mended++;
  if (!loss.harmless) r->report->losses++;
  loss.after = repair_user_key(loss.after, &loss.after_keyspace);
  loss.before = repair_user_key(loss.before, &loss.before_keyspace);
  if (r->options->loss != NULL) r->options->loss(r->options->context, &loss);
}

INTERNAL int repair_progress(repair *r, uint64_t bytes) {
  ASSERT(r->done <= r->total);
  r->done = MIN(r->done + bytes, r->total);
  if (r->options->progress == NULL || r->options->progress(r->options->context, r->done, r->total) == 0)
    return VARVE_OK;
  return status_fail(VARVE_ABORTED, "the repair was stopped by its caller");
}

INTERNAL void repair_reason(char reason[STATUS_MESSAGE_SIZE]) {
  char message[STATUS_MESSAGE_SIZE];
  status_keep_message(message);
  const char *at = strstr(message, " is damaged at offset ");
  at = at == NULL ? NULL : strstr(at, ": ");
  at = at == NULL ? message : at + 2;
  memmove(reason, at, strlen(at) + 1);
}

/* ---- lists ---- */

INTERNAL int repair_add_range(repair *r, const range_tombstone *f) {
  ASSERT(slice_compare(f->begin, f->end) < 0 && f->seq <= SEQ_MAX);
  TRY(rangedel_append(f, &r->ranges));
  r->range_count++;
  return VARVE_OK;
}

INTERNAL int repair_add_source(repair *r, env *e, uint64_t number, uint64_t rank, const sst_summary *s) {
  table_meta *meta;
  ASSERT(e == r->from || e == r->to);
  if (s->entries == 0) return VARVE_OK; /* its range tombstones are in the list */
  repair_source *list = mem_grow(r->alloc, r->sources, r->source_count, &r->source_room, sizeof *list, REPAIR_LIST);
  if (list == NULL) return VARVE_NOMEM;
  r->sources = list;
  TRY(table_meta_create(r->alloc, s->smallest, s->largest, s->largest_exclusive, &meta));
  meta->number = number;
  meta->size = s->size;
  meta->entries = s->entries;
  r->sources[r->source_count++] = (repair_source){e, meta, rank, 0};
  return VARVE_OK;
}

/* ---- which files count ---- */

INTERNAL int repair_add_file(repair *r, file_kind kind, uint64_t number, uint64_t size) {
  repair_file *list = mem_grow(r->alloc, r->files, r->file_count, &r->file_room, sizeof *list, REPAIR_LIST);
  if (list == NULL) return VARVE_NOMEM;
  r->files = list;
  r->files[r->file_count++] = (repair_file){kind, number, size};
  if (kind == FILE_SST || kind == FILE_WAL) r->total += 2 * size;
  return VARVE_OK;
}

static int repair_visit(void *context, file_kind kind, uint64_t number, uint64_t size) {
  return repair_add_file(context, kind, number, size);
}

INTERNAL repair_file *repair_find_file(const repair *r, file_kind kind, uint64_t number) {
  for (uint32_t i = 0; i < r->file_count; i++) {
    if (r->files[i].kind == kind && r->files[i].number == number) return &r->files[i];
  }
  return NULL;
}

/* The number that SUPER names, 0 = none. */
static int repair_super(repair *r, uint64_t *number) {
  super root;
  *number = 0;
  int rc = super_read(r->from, &root);
  if (rc == VARVE_NOMEM) return rc;
  r->newer = rc == VARVE_NEWER_FORMAT; /* or damaged: the other files tell */
  if (rc >= 0) {
    *number = root.manifest;
    return VARVE_OK;
  }
  char reason[STATUS_MESSAGE_SIZE];
  repair_reason(reason);
  if (rc == VARVE_MISSING) memcpy(reason, "it is missing, or empty", 24);
  repair_tell(r, (varve_repair_loss){.file = "SUPER", .reason = reason, .harmless = true});
  return VARVE_OK;
}

/* Whether all tables and the log that the state names are there: else it is that of an earlier moment. */
static bool repair_is_present(const repair *r, const version *v) {
  for (uint32_t level = 0; level < LEVELS; level++) {
    for (uint32_t i = 0; i < v->level[level].count; i++) {
      if (repair_find_file(r, FILE_SST, v->level[level].tables[i]->number) == NULL) return false;
    }
  }
  return true;
}

/* Whether there is a table that the state does not name. */
static bool repair_has_orphan(const repair *r, const version *v) {
  for (uint32_t i = 0; i < r->file_count; i++) {
    if (r->files[i].kind == FILE_SST && version_find_table(v, r->files[i].number) == NULL) return true;
  }
  return false;
}

/* Whether the log that the state goes on with is there, or need not be. When it is not the manifest may have lost its
 * last records, which named newer tables and a later log. */
static int repair_has_log(const repair *r, const manifest_state *s, bool *there) {
  *there = s->clean_log == s->log_min && s->clean_end <= WAL_HEADER_SIZE; /* it was empty */
  for (uint32_t i = 0; i < r->file_count && !*there; i++) {
    if (r->files[i].kind != FILE_WAL) continue;
    uint64_t log;
    TRY(repair_log_number(r, r->files[i].number, &log));
    *there = log == s->log_min;
  }
  return VARVE_OK;
}

/* Takes over what the remains `x` of another manifest know beyond those at hand: the state that went further, and
 * the tables that are gone. `x` is freed. */
static int repair_join_remains(repair *r, manifest_remains *x) {
  manifest_remains *best = &r->remains;
  bool better =
      x->state.current != NULL && (best->state.current == NULL || x->state.next_number > best->state.next_number);
  if (better) {
    manifest_remains kept = *best;
    *best = *x;
    *x = kept;
  }
  best->log_min = MAX(best->log_min, x->log_min);
  best->last_seq = MAX(best->last_seq, x->last_seq);
  int rc = VARVE_OK;
  for (size_t i = 0; i < x->removed_count; i++) STEP(manifest_remains_add(r->from, best, x->removed[i]));
out:
  manifest_remains_free(r->from, x);
  return rc;
}

/* Reads a manifest. One that cannot be read at all has no remains. */
static int repair_read_manifest(repair *r, uint64_t number, manifest_remains *x) {
  int rc = manifest_salvage(r->from, number, x);
  if (rc == VARVE_NEWER_FORMAT || rc == VARVE_NOMEM) return rc;
  if (rc < 0) memset(x, 0, sizeof *x);
  if (rc >= 0) status_set_message(x->reason);
  x->number = number;
  repair_reason(x->reason);
  return VARVE_OK;
}

/* Whether there is a table that was made after the state's last edit. What lies in free pages of a single file is no
 * orphan that says anything; this is. It is part of the database, or holds nothing that is not in the state's tables
 * and logs. */
static bool repair_has_newer(const repair *r) {
  for (uint32_t i = 0; i < r->file_count; i++) {
    if (r->files[i].kind == FILE_SST && r->files[i].number >= r->remains.state.next_number) return true;
  }
  return false;
}

static void repair_forget_state(repair *r) {
  manifest_state *s = &r->remains.state;
  if (s->current != NULL) pin_unref(&s->current->pin);
  memset(s, 0, sizeof *s);
}

/* A manifest that lost its last records looks whole, and tells of an earlier moment: then tables or the log that it
 * names are gone, and others are there. All are used then. */
static int repair_check_state(repair *r, char reason[STATUS_MESSAGE_SIZE]) {
  const version *v = r->remains.state.current;
  bool log_there;
  if (v == NULL) return VARVE_OK;
  bool present = repair_is_present(r, v);
  TRY(repair_has_log(r, &r->remains.state, &log_there));
  if (r->pages != NULL ? !repair_has_newer(r) : !repair_has_orphan(r, v)) {
    if (present || r->pages != NULL) return VARVE_OK;
  }
  if (present && log_there) return VARVE_OK;
  if (reason[0] == '\0') {
    static const char tables[] = "it names tables that are not there", log[] = "it names a log that is not there";
    memcpy(reason, present ? log : tables, present ? sizeof log : sizeof tables);
  }
  repair_forget_state(r);
  return VARVE_OK;
}

/* Tells what became of the list of files; `reason` is what is wrong with the manifest, empty = nothing. */
static void repair_tell_state(repair *r, uint64_t named, const char *reason) {
  char text[STATUS_MESSAGE_SIZE + 128], name[FILE_NAME_SIZE_MAX] = "the manifest";
  uint64_t number = named != 0 ? named : r->remains.number;
  if (number != 0) (void)file_name_format(name, FILE_MANIFEST, number);
  r->report->list_lost = r->remains.state.current == NULL;
  if (r->report->list_lost) {
    snprintf(text, sizeof text, "%s: all tables and logs were used, and what was deleted or overwritten may be back",
             reason[0] == '\0' ? "it is missing" : reason);
    repair_tell(r, (varve_repair_loss){.file = name, .reason = text});
  } else if (reason[0] != '\0') {
    repair_tell(r, (varve_repair_loss){.file = name, .reason = reason, .harmless = true});
  }
  if (r->pages == NULL || r->report->list_lost || !repair_has_newer(r)) return;
  repair_tell(r, (varve_repair_loss){.file = name,
                                     .reason = "tables that are newer than it were found and used: what was deleted "
                                               "or overwritten may be back"});
}

/* The rest of what the pages of a single file without a directory hold. */
static int repair_page_files(repair *r, char reason[STATUS_MESSAGE_SIZE]) {
  if (r->pages != NULL) {
    TRY(repair_pages_tables(r));
    TRY(repair_pages_logs(r));
  }
  bool listed = r->remains.state.current != NULL;
  TRY(repair_check_state(r, reason));
  return r->pages != NULL && listed && r->remains.state.current == NULL ? repair_pages_tables(r) : VARVE_OK;
}

/* Finds out what is known of the set of files: by the manifest that SUPER names, else by all that there are. */
static int repair_state(repair *r) {
  uint64_t named;
  char reason[STATUS_MESSAGE_SIZE];
  TRY(repair_super(r, &named));
  if (named != 0) TRY(repair_read_manifest(r, named, &r->remains));
  memcpy(reason, r->remains.reason, sizeof reason);
  bool found = r->remains.state.current != NULL;
  for (uint32_t i = 0; i < r->file_count && !found; i++) {
    manifest_remains x;
    if (r->files[i].kind != FILE_MANIFEST || r->files[i].number == named) continue;
    TRY(repair_read_manifest(r, r->files[i].number, &x));
    if (reason[0] == '\0') memcpy(reason, x.reason, sizeof reason);
    TRY(repair_join_remains(r, &x));
  }
  TRY(repair_page_files(r, reason));
  repair_tell_state(r, named, reason);
  return VARVE_OK;
}

/* ---- tables ---- */

static bool repair_is_removed(const repair *r, uint64_t number) {
  for (size_t i = 0; i < r->remains.removed_count; i++) {
    if (r->remains.removed[i] == number) return true;
  }
  return false;
}

/* Tables that the list names and that were not found in the pages. */
static void repair_tell_missing(repair *r, const version *v) {
  for (uint32_t level = 0; v != NULL && level < LEVELS; level++) {
    for (uint32_t i = 0; i < v->level[level].count; i++) {
      const table_meta *meta = v->level[level].tables[i];
      if (repair_find_file(r, FILE_SST, meta->number) != NULL) continue;
      r->report->tables++;
      r->report->tables_damaged++;
      r->report->tables_lost++;
      r->report->bytes_lost += meta->size;
      repair_tell(r, (varve_repair_loss){.file = file_name(FILE_SST, meta->number),
                                         .size = meta->size,
                                         .reason = "its pages were not found",
                                         .after = meta->smallest,
                                         .before = meta->largest});
    }
  }
}

static int repair_tables(repair *r) {
  const version *v = r->remains.state.current;
  uint64_t newer = r->pages != NULL ? r->remains.state.next_number : UINT64_MAX;
  if (r->pages != NULL) repair_tell_missing(r, v);
  for (uint32_t i = 0; i < r->file_count; i++) {
    const repair_file *f = &r->files[i];
    if (f->kind != FILE_SST) continue;
    const table_meta *meta = version_find_table(v, f->number);
    if (v != NULL ? meta != NULL || f->number >= newer : !repair_is_removed(r, f->number)) {
      TRY(repair_table(r, f->number, f->size, meta));
      continue;
    }
    r->report->files_ignored++;
    TRY(repair_progress(r, 2 * f->size));
  }
  return VARVE_OK;
}

/* ---- the target ---- */

/* Removes the clean copies that were merged. */
static int repair_remove_sources(repair *r) {
  for (uint32_t i = 0; i < r->source_count; i++) {
    if (r->sources[i].e == r->to) TRY(vfs_remove(r->to->fs, FILE_SST, r->sources[i].meta->number));
  }
  return VARVE_OK;
}

/* Reads the new tables back. */
static int repair_check_tables(repair *r) {
  for (size_t i = 0; i < r->tables.count; i++) {
    TRY(copy_read_back(r->to, r->cache, r->tables.tables[i].meta));
    TRY(repair_progress(r, 0));
  }
  return VARVE_OK;
}

/* The manifest, read back, and then SUPER: from here on it is a database. */
static int repair_publish(repair *r) {
  int rc = VARVE_OK;
  version *empty = NULL;
  manifest *m = NULL;
  manifest_state state = {0}, back = {0};
  super root = {0};
  uint64_t number = r->next_number++, end;
  bool torn;
  TRY(version_create(r->alloc, &empty));
  STEP(version_apply(empty, &r->tables, &state.current));
  state.log_min = state.clean_log = 1; /* there is none, and nothing of it is missing */
  state.next_number = r->next_number;
  state.last_seq = MIN(r->seq_max, REPAIR_SEQ_MAX);
  r->to->random(r->to, root.id, sizeof root.id);
  STEP(vfs_sync_dir(r->to->fs));
  STEP(manifest_create(r->to, &root, number, &state, &m));
  rc = manifest_close(m);
  if (rc < 0) goto out;
  ASSERT(root.generation == 0 && number < r->next_number);
  root.manifest = number;
  STEP(manifest_load(r->to, &root, &back, &end, &torn));
  STEP(super_write(r->to, &root));
out:
  if (back.current != NULL) pin_unref(&back.current->pin);
  if (state.current != NULL) pin_unref(&state.current->pin);
  pin_unref(&empty->pin);
  return rc;
}

/* ---- all of it ---- */

/* Lists the files of the source, or of a single file without a directory those that say which others count. */
static int repair_files(repair *r) {
  if ((r->from->fs->traits & VFS_LOST) == 0) return vfs_list(r->from->fs, repair_visit, r);
  TRY(repair_pages_open(r));
  if (repair_pages_empty(r)) return vfs_single_lost(r->from->fs);
  repair_tell(r, (varve_repair_loss){.file = "the directory",
                                     .reason = "it is damaged, and was made anew from what the pages hold",
                                     .harmless = true});
  return VARVE_OK;
}

static int repair_all(repair *r) {
  TRY(repair_files(r));
  if (r->file_count == 0 && r->pages == NULL) {
    return status_fail(VARVE_MISSING, "there is no database at %s, nor anything left of one", r->from->fs->location);
  }
  TRY(repair_state(r));
  TRY(repair_tables(r));
  if (r->newer && r->remains.state.current == NULL && r->source_count == 0) {
    super root;
    TRY(super_read(r->from, &root)); /* says so */
  }
  TRY(repair_logs(r));
  TRY(repair_merge(r));
  TRY(repair_remove_sources(r));
  TRY(repair_check_tables(r));
  TRY(repair_publish(r));
  return repair_progress(r, r->total);
}

INTERNAL int lsm_repair(env *from, env *to, const varve_repair_options *options, varve_repair_report *report) {
  repair r = {.from = from, .to = to, .alloc = to->alloc, .options = options, .report = report, .next_number = 1};
  memset(report, 0, sizeof *report);
  TRY(copy_require_empty(to, "repair"));
  TRY(block_cache_create(r.alloc, 1 * MiB, &r.cache));
  buf_init(&r.ranges, r.alloc);
  edit_init(&r.tables, r.alloc);
  int rc = repair_all(&r);
  if (rc < 0) copy_clear(to);
  for (uint32_t i = 0; i < r.source_count; i++) pin_unref(&r.sources[i].meta->pin);
  mem_free(r.alloc, r.sources, r.source_room * sizeof *r.sources);
  mem_free(r.alloc, r.files, r.file_room * sizeof *r.files);
  manifest_remains_free(from, &r.remains);
  repair_pages_close(&r);
  edit_free(&r.tables);
  buf_free(&r.ranges);
  block_cache_destroy(r.cache);
  return rc;
}

#undef REPAIR_SEQ_MAX
