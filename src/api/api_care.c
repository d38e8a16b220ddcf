/* api_care.c: compaction, verification, backup, restoring, figures, and work for hosts without threads. */
#include "api/api_int.h"

#include "lsm/convert.h"

VARVE_API int varve_compact(varve_db *db, varve_progress progress, void *context) {
  TRY(api_check(db));
  return lsm_compact(db->lsm, progress, context);
}

VARVE_API int varve_flush(varve_db *db) {
  TRY(api_check(db));
  return lsm_flush(db->lsm);
}

VARVE_API int varve_verify(varve_db *db, varve_verify_report *report, varve_progress progress, void *context) {
  TRY(api_check(db));
  varve_verify_report unused;
  return lsm_verify(db->lsm, report == NULL ? &unused : report, progress, context);
}

VARVE_API int varve_backup(varve_db *db, const char *target, varve_backup_report *report, varve_progress progress,
                           void *context) {
  TRY(api_check(db));
  if (target == NULL || target[0] == '\0') return status_fail(VARVE_INVALID, "the backup's target is empty");
  varve_backup_report unused;
  env *e;
  TRY(api_open_env(target, VFS_PLACE_CREATE, 0, VARVE_EXISTS, &e));
  int rc = lsm_backup(db->lsm, e, report == NULL ? &unused : report, progress, context);
  ALSO(api_close_env(e));
  return rc;
}

typedef int (*care_copy)(env *from, env *to, varve_progress progress, void *context);

/* Both places, locked, for as long as the copy takes. The message calls the source by its `noun`. */
static int care_copy_place(const char *noun, const char *source, const char *target, care_copy copy,
                           varve_progress progress, void *context) {
  if (source == NULL || source[0] == '\0') return status_fail(VARVE_INVALID, "the %s's path is empty", noun);
  if (target == NULL || target[0] == '\0') return status_fail(VARVE_INVALID, "the target's path is empty");
  env *from, *to;
  TRY(api_open_env(source, VFS_PLACE_READ_ONLY, 0, VARVE_NOT_DATABASE, &from));
  int rc = api_open_env(target, VFS_PLACE_CREATE, 0, VARVE_EXISTS, &to);
  if (rc >= 0) {
    rc = copy(from, to, progress, context);
    ALSO(api_close_env(to));
  }
  ALSO(api_close_env(from));
  return rc;
}

VARVE_API int varve_restore(const char *backup, const char *target, varve_progress progress, void *context) {
  return care_copy_place("backup", backup, target, lsm_restore, progress, context);
}

VARVE_API int varve_convert(const char *source, const char *target, varve_progress progress, void *context) {
  return care_copy_place("source", source, target, lsm_convert, progress, context);
}

VARVE_API int varve_get_stats(varve_db *db, varve_stats *stats) {
  TRY(api_check(db));
  if (stats == NULL) return status_fail(VARVE_INVALID, "there is nowhere to put the figures: stats is NULL");
  lsm_get_stats(db->lsm, stats);
  txn_store_get_stats(db->txns, stats);
  return VARVE_OK;
}

VARVE_API int varve_work(varve_db *db, uint64_t budget, bool *more) {
  TRY(api_check(db));
  return lsm_step(db->lsm, budget, more);
}
