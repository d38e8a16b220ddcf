/* env.c: opening and closing the outside world: what is the same on every target. The rest, env_target_*, is in the
 * one of env_native.c, env_wasi.c and env_wasm.c that a build has.
 */
#include "env/env.h"

/* A place that is one file is the base of many. */
static int env_place(allocator *alloc, const char *path, uint32_t flags, vfs **fs) {
  vfs *base;
  TRY(env_target_place(alloc, path, flags & ~VFS_PLACE_SALVAGE, &base));
  if ((base->traits & VFS_ONE_FILE) == 0) {
    *fs = base;
    return VARVE_OK;
  }
  TRY(vfs_single_open(alloc, base, flags, fs));
  (*fs)->traits |= VFS_ONE_FILE; /* for messages */
  return VARVE_OK;
}

INTERNAL int env_open(allocator *alloc, const char *path, uint32_t flags, env **out) {
  *out = NULL;
  env *e = MEM_NEW(alloc, env);
  if (e == NULL) return mem_fail(sizeof *e, "the environment");
  int rc = strcmp(path, ":memory:") == 0 ? vfs_mem_open(alloc, &e->fs) : env_place(alloc, path, flags, &e->fs);
  if (rc < 0) {
    MEM_DELETE(alloc, e);
    return rc;
  }
  e->alloc = alloc;
  env_target_init(e);
  ASSERT(e->fs != NULL && e->now_us != NULL && e->random != NULL && e->memory_total != NULL);
  *out = e;
  return VARVE_OK;
}

INTERNAL int env_close(env *e) {
  if (e == NULL) return VARVE_OK;
  allocator *alloc = e->alloc;
  int rc = vfs_close_fs(e->fs);
  MEM_DELETE(alloc, e);
  return rc;
}
