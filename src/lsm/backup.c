/* backup.c: consistent copies while the database is in use, and databases made from them.
 *
 * A backup is a directory in the database's own format, flagged in SUPER: the tables of one version and a manifest
 * that lists them, no log (memory is flushed first). Tables are immutable and numbered once, so a later backup to the
 * same place copies only those that it has not; SUPER is written when everything that it leads to is there and was
 * read back.
 *
 * A restored database gets an id of its own: its numbers go their own way, and a backup of it is no continuation of
 * the old one's.
 */
#include "lsm/copy.h"

static int backup_other_history(const copier *c) {
  return status_fail(VARVE_EXISTS, "%s is a backup of another history of this database; give another place",
                     c->to->fs->location);
}

/* Whether a table of an earlier backup is the very same file, byte by byte: number and size alone are also those of a
 * copy of the database that went its own way. */
static int backup_compare_bytes(copier *c, vfs_file *a, vfs_file *b, const table_meta *meta) {
  uint8_t *other = c->chunk + COPY_CHUNK / 2;
  for (uint64_t at = 0; at < meta->size;) {
    size_t n = (size_t)MIN(meta->size - at, (uint64_t)COPY_CHUNK / 2);
    TRY(vfs_read_exact(a, at, c->chunk, n));
    TRY(vfs_read_exact(b, at, other, n));
    if (memcmp(c->chunk, other, n) != 0) {
      return backup_other_history(c);
    }
    at += n;
    TRY(copy_progress(c, n));
  }
  return VARVE_OK;
}

static int backup_keep_table(copier *c, const table_meta *meta) {
  vfs_file *a = NULL, *b = NULL;
  int rc = VARVE_OK;
  TRY(copy_read_back(c->to, c->cache, meta));
  TRY(vfs_open(c->from->fs, FILE_SST, meta->number, 0, &a));
  STEP(vfs_open(c->to->fs, FILE_SST, meta->number, 0, &b));
  STEP(backup_compare_bytes(c, a, b, meta));
out:
  ALSO(vfs_close(a));
  ALSO(vfs_close(b));
  return rc;
}

static int backup_copy_table(copier *c, const table_meta *meta) {
  vfs_file *in = NULL, *out = NULL;
  int rc = vfs_remove(c->to->fs, FILE_SST, meta->number); /* of an earlier copy that was cut short */
  if (rc < 0 && rc != VARVE_MISSING) return rc;
  TRY(vfs_open(c->from->fs, FILE_SST, meta->number, 0, &in));
  STEP(vfs_open(c->to->fs, FILE_SST, meta->number, VFS_CREATE, &out));
  STEP(copy_bytes(c, in, out, 0, meta->size));
  STEP(vfs_sync(out));
out:
  ALSO(vfs_close(in));
  ALSO(vfs_close(out));
  return rc < 0 ? rc : copy_read_back(c->to, c->cache, meta);
}

/* Copies the tables of `v` that `have` (may be NULL) does not hold. Those that it holds are compared in a pass of
 * their own, before anything is changed: a target that is refused stays as it was. */
static int backup_copy_tables(copier *c, const version *v, const version *have, varve_backup_report *report) {
  for (uint32_t level = 0; level < LEVELS; level++) c->total += v->level[level].bytes;
  for (int copying = 0; copying < 2; copying++) {
    for (uint32_t level = 0; level < LEVELS; level++) {
      for (uint32_t i = 0; i < v->level[level].count; i++) {
        const table_meta *meta = v->level[level].tables[i];
        const table_meta *old = version_find_table(have, meta->number);
        if ((old == NULL) != (copying == 1)) continue;
        if (old != NULL && old->size != meta->size) return backup_other_history(c);
        TRY(old != NULL ? backup_keep_table(c, meta) : backup_copy_table(c, meta));
        report->files_kept += old != NULL;
        report->files_copied += old == NULL;
        report->bytes_copied += old == NULL ? meta->size : 0;
      }
    }
  }
  return VARVE_OK;
}

typedef struct leftovers {
  const version *live;
  uint64_t manifest, number_max;
  uint64_t first_dead;
  file_kind first_kind;
} leftovers;

static int backup_leftover_visit(void *context, file_kind kind, uint64_t number, uint64_t size) {
  (void)size;
  leftovers *x = context;
  x->number_max = MAX(x->number_max, number);
  if (kind == FILE_SUPER || (kind == FILE_MANIFEST && number == x->manifest)) return 0;
  if (kind == FILE_SST && version_find_table(x->live, number) != NULL) return 0;
  x->first_dead = number;
  x->first_kind = kind;
  return x->manifest == 0 ? 0 : 1;
}

/* Removes what the target's SUPER does not lead to. */
static int backup_remove_leftovers(env *to, const version *live, uint64_t current) {
  for (;;) {
    leftovers x = {live, current, 0, 0, FILE_SST};
    int rc = vfs_list(to->fs, backup_leftover_visit, &x);
    if (rc <= 0) return rc;
    TRY(vfs_remove(to->fs, x.first_kind, x.first_dead));
  }
}

/* Writes the manifest of the copied tables and makes it the target's. */
static int backup_publish(env *to, super *root, uint32_t flags, const manifest_state *state) {
  leftovers x = {state->current, 0, 0, 0, FILE_SST};
  TRY(vfs_list(to->fs, backup_leftover_visit, &x));
  manifest_state out = *state;
  uint64_t number = MAX(x.number_max, state->next_number) + 1;
  out.next_number = number + 1;
  out.clean_log = out.log_min; /* there is none, and nothing of it is missing */
  out.clean_end = 0;
  manifest *m;
  TRY(vfs_sync_dir(to->fs));
  TRY(manifest_create(to, root, number, &out, &m));
  TRY(manifest_close(m));
  root->manifest = number;
  root->flags = flags;
  TRY(super_write(to, root));
  return backup_remove_leftovers(to, state->current, number);
}

/* What the target holds: an earlier backup of this database (*have), or nothing (*have = NULL). */
static int backup_target(const uint8_t id[16], env *to, super *root, manifest_state *have) {
  have->current = NULL;
  int rc = super_read_target(to, root);
  if (rc == VARVE_MISSING) {
    memset(root, 0, sizeof *root);
    memcpy(root->id, id, sizeof root->id);
    return VARVE_OK;
  }
  if (rc == VARVE_NOT_DATABASE) return status_fail(VARVE_EXISTS, "%s is something else", to->fs->location);
  TRY(rc);
  if ((root->flags & SUPER_BACKUP) == 0 || memcmp(root->id, id, sizeof root->id) != 0) {
    return status_fail(VARVE_EXISTS, "%s is not a backup of this database; give another place", to->fs->location);
  }
  uint64_t end;
  bool torn;
  return manifest_load(to, root, have, &end, &torn);
}

INTERNAL int lsm_backup(lsm *l, env *target, varve_backup_report *report, varve_progress progress, void *context) {
  memset(report, 0, sizeof *report);
  super root;
  manifest_state have = {0};
  int rc = VARVE_OK;
  copier c = {.from = l->env, .to = target, .progress = progress, .context = context};
  TRY(lsm_flush(l));
  mutex_lock(&l->step_lock); /* so that version and sequence belong together */
  view *v = view_pin(l);
  manifest_state state = {.current = v->current, .last_seq = l->flushed_seq};
  state.next_number = atomic_load(&l->next_number);
  uint8_t id[sizeof l->root.id];
  memcpy(id, l->root.id, sizeof id);
  mutex_unlock(&l->step_lock);
  mutex_lock(&l->state_lock);
  state.log_min = wal_log_number(l->wal) + 1; /* none of ours is in the backup */
  mutex_unlock(&l->state_lock);
  STEP(backup_target(id, target, &root, &have));
  if (have.current != NULL && have.last_seq > state.last_seq) {
    rc = status_fail(VARVE_EXISTS, "%s is a backup of a later state of this database; give another place",
                     target->fs->location);
    goto out;
  }
  STEP(copy_begin(&c));
  STEP(backup_copy_tables(&c, state.current, have.current, report));
  STEP(backup_publish(target, &root, SUPER_BACKUP, &state));
  report->sequence = state.last_seq;
out:
  copy_end(&c);
  if (have.current != NULL) pin_unref(&have.current->pin);
  pin_unref(&v->pin);
  return rc;
}

static int restore_check_target(env *to) {
  super root;
  int rc = super_read_target(to, &root);
  if (rc == VARVE_IO || rc == VARVE_NOMEM) return rc; /* nobody knows what is there */
  if (rc != VARVE_MISSING) {
    return status_fail(VARVE_EXISTS, "%s is not empty; restore to a new place", to->fs->location);
  }
  return VARVE_OK;
}

INTERNAL int lsm_restore(env *from, env *to, varve_progress progress, void *context) {
  super root;
  manifest_state state = {0};
  uint64_t end;
  bool torn;
  varve_backup_report report = {0};
  int rc = VARVE_OK;
  copier c = {.from = from, .to = to, .progress = progress, .context = context};
  TRY(super_read(from, &root));
  if ((root.flags & SUPER_BACKUP) == 0) {
    return status_fail(VARVE_INVALID, "%s is a database, not a backup; make one with backup", from->fs->location);
  }
  TRY(restore_check_target(to));
  TRY(manifest_load(from, &root, &state, &end, &torn));
  STEP(copy_begin(&c));
  STEP(backup_copy_tables(&c, state.current, NULL, &report));
  super fresh = {0};
  to->random(to, fresh.id, sizeof fresh.id);
  STEP(backup_publish(to, &fresh, 0, &state));
out:
  copy_end(&c);
  pin_unref(&state.current->pin);
  return rc;
}
