/* copy.h: what backups, restores, conversions and repairs share: bytes from one place to another with progress, and
 * the care of the place that they are written to.
 */
#ifndef VARVE_COPY_H
#define VARVE_COPY_H

#include "lsm/lsm_int.h"

typedef struct copier {
  env *from, *to;
  block_cache *cache; /* for reading tables back */
  uint8_t *chunk;     /* COPY_CHUNK bytes */
  uint64_t done, total;
  varve_progress progress; /* may be NULL */
  void *context;
} copier;

#define COPY_CHUNK (1 * MiB)

/* Makes chunk and cache; copy_end takes them away, also after a failure, or when copy_begin was not reached. */
INTERNAL int copy_begin(copier *c);
INTERNAL void copy_end(copier *c);

/* `bytes` more are done; ABORTED when the caller wants. */
INTERNAL int copy_progress(copier *c, uint64_t bytes);
/* Bytes [from, to) of an open file into another one. Not synced. */
INTERNAL int copy_bytes(copier *c, vfs_file *in, vfs_file *out, uint64_t from, uint64_t to);

/* Reads a table that was written to `to`, every byte of it. CORRUPT when it is not what `meta` says. */
INTERNAL int copy_read_back(env *to, block_cache *cache, const table_meta *meta);

/* EXISTS when there is any file: "DIR is not empty, 7.sst is in it; VERB to a new place". */
INTERNAL int copy_require_empty(env *to, const char *verb);
/* Removes all files, SUPER for good before any other, so that what is left is never a database. As well as it can be
 * done: the failure that is the reason stays the thread's message. */
INTERNAL void copy_clear(env *to);

#endif
