/* copy.c: bytes from one place to another, and the place that they are written to: see copy.h. */
#include "lsm/copy.h"

INTERNAL int copy_begin(copier *c) {
  c->chunk = mem_alloc(c->to->alloc, COPY_CHUNK);
  if (c->chunk == NULL) return mem_fail(COPY_CHUNK, "a copy's buffer");
  return block_cache_create(c->to->alloc, 1 * MiB, &c->cache);
}

INTERNAL void copy_end(copier *c) {
  block_cache_destroy(c->cache);
  mem_free(c->to->alloc, c->chunk, COPY_CHUNK);
}

INTERNAL int copy_progress(copier *c, uint64_t bytes) {
  c->done = MIN(c->done + bytes, c->total);
  if (c->progress == NULL || c->progress(c->context, c->done, c->total) == 0) return VARVE_OK;
  return status_fail(VARVE_ABORTED, "the copy was stopped by its caller");
}

INTERNAL int copy_bytes(copier *c, vfs_file *in, vfs_file *out, uint64_t from, uint64_t to) {
  ASSERT(c->chunk != NULL && from <= to);
  for (uint64_t at = from; at < to;) {
    size_t n = (size_t)MIN(to - at, (uint64_t)COPY_CHUNK);
    TRY(vfs_read_exact(in, at, c->chunk, n));
    TRY(vfs_write_at(out, at, c->chunk, n));
    at += n;
    TRY(copy_progress(c, n));
  }
  return VARVE_OK;
}

INTERNAL int copy_read_back(env *to, block_cache *cache, const table_meta *meta) {
  table *t;
  uint64_t blocks = 0, entries = 0;
  TRY(table_open(to, cache, meta->number, meta->size, false, &t));
  int rc = table_verify(t, &blocks, &entries);
  table_close(t);
  if (rc < 0 || entries == meta->entries) return rc;
  return status_fail(VARVE_CORRUPT, "%s in %s does not hold what was written to it", file_name(FILE_SST, meta->number),
                     to->fs->location);
}

typedef struct copy_target {
  env *to;
  const char *verb;
} copy_target;

static int copy_any_visit(void *context, file_kind kind, uint64_t number, uint64_t size) {
  (void)size;
  const copy_target *t = context;
  return status_fail(VARVE_EXISTS, "%s is not empty, %s is in it; %s to a new place", t->to->fs->location,
                     file_name(kind, number), t->verb);
}

INTERNAL int copy_require_empty(env *to, const char *verb) {
  copy_target t = {to, verb};
  return vfs_list(to->fs, copy_any_visit, &t);
}

static int copy_remove_visit(void *context, file_kind kind, uint64_t number, uint64_t size) {
  (void)size;
  const env *to = context;
  TRY(vfs_remove(to->fs, kind, number));
  return kind == FILE_SUPER ? vfs_sync_dir(to->fs) : VARVE_OK; /* no power cut may leave it without the rest */
}

INTERNAL void copy_clear(env *to) {
  char message[STATUS_MESSAGE_SIZE];
  status_keep_message(message);
  (void)vfs_list(to->fs, copy_remove_visit, to); /* SUPER comes first; all names are read before the first visit */
  (void)vfs_sync_dir(to->fs);
  status_set_message(message);
}
