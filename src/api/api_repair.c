/* api_repair.c: a new database of what is whole in a damaged one. */
#include "api/api_int.h"

/* The source, locked. What lies beside a database that lost its SUPER is no reason to leave it alone. */
static int repair_open_source(const char *source, uint32_t lock_wait_ms, env **out) {
  TRY(env_open(api_allocator(), source, VFS_PLACE_READ_ONLY, out));
  int rc = vfs_lock((*out)->fs, lock_wait_ms);
  if (rc >= 0) return rc;
  char message[STATUS_MESSAGE_SIZE];
  status_keep_message(message);
  (void)env_close(*out);
  status_set_message(message);
  *out = NULL;
  return rc;
}

VARVE_API int varve_repair(const char *source, const char *target, const varve_repair_options *options,
                           varve_repair_report *report) {
  varve_repair_options none = {0};
  varve_repair_report unused;
  const varve_repair_options *o = options == NULL ? &none : options;
  if (source == NULL || source[0] == '\0') return status_fail(VARVE_INVALID, "the path of the database is empty");
  if (target == NULL || target[0] == '\0') return status_fail(VARVE_INVALID, "the target's path is empty");
  if (strcmp(target, ":memory:") == 0) {
    return status_fail(VARVE_INVALID, "a database repaired to memory would be gone at once; give a place on disk");
  }
  for (size_t i = 0; i < COUNT_OF(o->reserved); i++) {
    if (o->reserved[i] != 0) return status_fail(VARVE_INVALID, "options.reserved must be zero: begin with = {0}");
  }
  env *from, *to;
  TRY(repair_open_source(source, o->lock_wait_ms, &from));
  int rc = api_open_env(target, VFS_PLACE_CREATE, o->lock_wait_ms, VARVE_EXISTS, &to);
  if (rc >= 0) {
    rc = lsm_repair(from, to, o, report == NULL ? &unused : report);
    ALSO(api_close_env(to));
  }
  ALSO(api_close_env(from));
  return rc;
}
