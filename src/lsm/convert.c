/* convert.c: copies a database from one layout into another, file by file.
 *
 * Logs, manifests and tables come first, each synced, then their names, then SUPER: its newest slot, then the other.
 * Until that slot is there the target is no database, and nothing that leads nowhere can be opened.
 *
 * Invariants
 *   1. The source is only read, and nothing is taken out of it but whole files: what opens there opens here.
 *   2. The target was empty, so all that is in it after a failure is ours and is removed, SUPER first.
 */
#include "lsm/convert.h"

#include "lsm/copy.h"

static int convert_count_visit(void *context, file_kind kind, uint64_t number, uint64_t size) {
  copier *c = context;
  (void)kind;
  (void)number;
  c->total += size;

  return VARVE_OK;
}

static int convert_file(copier *c, file_kind kind, uint64_t number, uint64_t size) {
  vfs_file *in = NULL, *out = NULL;
  int rc = VARVE_OK;
  STEP(vfs_open(c->from->fs, kind, number, 0, &in));
  STEP(vfs_open(c->to->fs, kind, number, VFS_CREATE, &out));
  STEP(copy_bytes(c, in, out, 0, size));
  STEP(vfs_sync(out));
out:
  ALSO(vfs_close(out));
  ALSO(vfs_close(in));
  return rc;
}

static int convert_visit(void *context, file_kind kind, uint64_t number, uint64_t size) {
  return kind == FILE_SUPER ? VARVE_OK : convert_file(context, kind, number, size);
}

/* Both slots as they are, the newest one first: the other names what may be gone. */
static int convert_super(copier *c, const super *root) {
  vfs_file *in = NULL, *out = NULL;
  uint64_t size;
  int rc = VARVE_OK;
  STEP(vfs_open(c->from->fs, FILE_SUPER, 0, 0, &in));
  STEP(vfs_size(in, &size));
  uint64_t at = (root->generation & 1) * SUPER_SLOT_SIZE, other = SUPER_SLOT_SIZE - at;
  STEP(vfs_open(c->to->fs, FILE_SUPER, 0, VFS_CREATE, &out));
  STEP(vfs_allocate(out, 2 * (uint64_t)SUPER_SLOT_SIZE));
  STEP(vfs_sync(out));
  STEP(vfs_sync_dir(c->to->fs));
  STEP(copy_bytes(c, in, out, at, at + SUPER_SLOT_SIZE)); /* super_read found it whole */
  STEP(vfs_sync(out));
  if (size > other) STEP(copy_bytes(c, in, out, other, MIN(size, other + SUPER_SLOT_SIZE)));
  STEP(vfs_sync(out));
out:
  ALSO(vfs_close(out));
  ALSO(vfs_close(in));
  return rc;
}

INTERNAL int lsm_convert(env *from, env *to, varve_progress progress, void *context) {
  copier c = {.from = from, .to = to, .progress = progress, .context = context};
  super root;
  int rc = VARVE_OK;
  TRY(copy_require_empty(to, "convert"));
  TRY(super_read(from, &root));
  TRY(vfs_list(from->fs, convert_count_visit, &c));
  STEP(copy_begin(&c));
  STEP(vfs_list(from->fs, convert_visit, &c));
  STEP(vfs_sync_dir(to->fs));
  STEP(convert_super(&c, &root));
out:
  copy_end(&c);
  if (rc < 0) copy_clear(to);
  return rc;
}
