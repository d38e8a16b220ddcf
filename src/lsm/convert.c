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

#include "base/limits.h"
#include "lsm/super.h"

#define CONVERT_CHUNK (1 * MiB)

typedef struct conversion {
  env *from, *to;
  uint8_t *chunk;
  uint64_t done, total;
  varve_progress progress;
  void *context;
} conversion;

static int convert_progress(conversion *c, uint64_t bytes) {
  c->done += bytes;
  ASSERT(c->done <= c->total);
  if (c->progress == NULL || c->progress(c->context, c->done, c->total) == 0) return VARVE_OK;
  return status_fail(VARVE_ABORTED, "the conversion was stopped by its caller");
}

static int convert_count_visit(void *context, file_kind kind, uint64_t number, uint64_t size) {
  conversion *c = context;
  (void)kind;
  (void)number;
  c->total += size;

  return VARVE_OK;
}

static int convert_any_visit(void *context, file_kind kind, uint64_t number, uint64_t size) {
  conversion *c = context;
  (void)size;
  return status_fail(VARVE_EXISTS, "%s is not empty, it has %s; convert to a new place", c->to->fs->location,
                     file_name(kind, number));
}

/* Bytes [from, to) of an open file into another one. */
static int convert_bytes(conversion *c, vfs_file *in, vfs_file *out, uint64_t from, uint64_t to) {
  for (uint64_t at = from; at < to;) {
    size_t n = (size_t)MIN(to - at, (uint64_t)CONVERT_CHUNK);
    TRY(vfs_read_exact(in, at, c->chunk, n));
    TRY(vfs_write_at(out, at, c->chunk, n));
    at += n;
    TRY(convert_progress(c, n));
  }
  return VARVE_OK;
}

static int convert_file(conversion *c, file_kind kind, uint64_t number, uint64_t size) {
  vfs_file *in = NULL, *out = NULL;
  int rc = VARVE_OK;
  STEP(vfs_open(c->from->fs, kind, number, 0, &in));
  STEP(vfs_open(c->to->fs, kind, number, VFS_CREATE, &out));
  STEP(convert_bytes(c, in, out, 0, size));
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
static int convert_super(conversion *c, const super *root) {
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
  STEP(convert_bytes(c, in, out, at, at + SUPER_SLOT_SIZE)); /* super_read found it whole */
  STEP(vfs_sync(out));
  if (size > other) STEP(convert_bytes(c, in, out, other, MIN(size, other + SUPER_SLOT_SIZE)));
  STEP(vfs_sync(out));
out:
  ALSO(vfs_close(out));
  ALSO(vfs_close(in));
  return rc;
}

static int convert_remove_visit(void *context, file_kind kind, uint64_t number, uint64_t size) {
  conversion *c = context;
  (void)size;
  TRY(vfs_remove(c->to->fs, kind, number));
  return kind == FILE_SUPER ? vfs_sync_dir(c->to->fs) : VARVE_OK; /* no power cut may leave it without the rest */
}

/* As well as it can be done: the failure that is the reason is the one that counts. */
static void convert_undo(conversion *c) {
  char message[STATUS_MESSAGE_SIZE];
  status_keep_message(message);
  (void)vfs_list(c->to->fs, convert_remove_visit, c); /* SUPER comes first */
  (void)vfs_sync_dir(c->to->fs);
  status_set_message(message);
}

INTERNAL int lsm_convert(env *from, env *to, varve_progress progress, void *context) {
  conversion c = {.from = from, .to = to, .progress = progress, .context = context};
  super root;
  int rc = VARVE_OK;
  TRY(vfs_list(to->fs, convert_any_visit, &c));
  TRY(super_read(from, &root));
  TRY(vfs_list(from->fs, convert_count_visit, &c));
  c.chunk = mem_alloc(to->alloc, CONVERT_CHUNK);
  if (c.chunk == NULL) return mem_fail(CONVERT_CHUNK, "a copy's buffer");
  STEP(vfs_list(from->fs, convert_visit, &c));
  STEP(vfs_sync_dir(to->fs));
  STEP(convert_super(&c, &root));
out:
  mem_free(to->alloc, c.chunk, CONVERT_CHUNK);
  if (rc < 0) convert_undo(&c);
  return rc;
}

#undef CONVERT_CHUNK
