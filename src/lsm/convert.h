/* convert.h: the same database in another layout: a directory becomes one file, one file a directory. */
#ifndef VARVE_CONVERT_H
#define VARVE_CONVERT_H

#include "env/env.h"

/* Copies every file of the database in `from`, byte by byte, to the empty place `to`. Both envs are locked by the
 * caller; `from` is only read. MISSING (no database), EXISTS (the target is not empty), ABORTED, CORRUPT (a file is
 * shorter than it was listed), IO, FULL. After a failure the target is as empty as it was. */
INTERNAL int lsm_convert(env *from, env *to, varve_progress progress, void *context);

#endif
