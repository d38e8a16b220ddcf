/* api_repair.c: a new database of what is whole in a damaged one. */
#include "api/api_int.h"

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
  /* What lies beside a database that lost its SUPER is no reason to leave it alone. */
  TRY(api_open_env(source, VFS_PLACE_READ_ONLY | VFS_PLACE_SALVAGE, o->lock_wait_ms, VARVE_OK, &from));
  int rc = api_open_env(target, VFS_PLACE_CREATE, o->lock_wait_ms, VARVE_EXISTS, &to);
  if (rc >= 0) {
    rc = lsm_repair(from, to, o, report == NULL ? &unused : report);
    ALSO(api_close_env(to));
  }
  ALSO(api_close_env(from));
  return rc;
}
