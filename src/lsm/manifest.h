/* manifest.h: the durable list of edits; SUPER names the current one.
 *
 *   header, 64 bytes                              record, anywhere after
 *    0  8  magic "VARVEMAN"                        0  4  body size (> 0)
 *    8  4  format version                          4  4  low half of XXH64 of the body,
 *   12  4  zero                                          seed = manifest number ^ record offset ^ body size
 *   16  8  manifest number                         8     body: an edit
 *   24 16  database id
 *   40 16  zeros
 *   56  8  XXH64 of bytes 0 .. 55, seed 0
 *
 * The first record holds the whole state when the manifest was begun. Each record is synced before it counts, so only
 * the last may be torn: a bad record with nothing valid behind it is cut off; one with a valid record behind it is
 * CORRUPT. A failed append or sync makes the manifest unusable: the caller begins a new one or stops.
 */
#ifndef VARVE_MANIFEST_H
#define VARVE_MANIFEST_H

#include "lsm/super.h"
#include "lsm/version.h"

typedef struct manifest manifest;

typedef struct manifest_state {
  version *current; /* pinned */
  uint64_t log_min, next_number, last_seq;
  uint64_t clean_log, clean_end; /* 0 when the last close was not clean */
} manifest_state;

/* Reads manifest s->manifest. On failure nothing is held. *end is where the next record goes, *torn whether bytes
 * follow it. */
INTERNAL int manifest_load(env *e, const super *s, manifest_state *state, uint64_t *end, bool *torn);

/* What is left of a manifest that may be damaged. */
typedef struct manifest_remains {
  manifest_state state;             /* when its edits are all there: `current` is pinned; else `current` is NULL */
  uint64_t number;                  /* the manifest's */
  char reason[STATUS_MESSAGE_SIZE]; /* what is damaged; empty when nothing is */
  uint64_t log_min, last_seq;       /* the highest that a whole record names */
  uint64_t *removed;                /* tables that whole records took out of the database */
  size_t removed_count, removed_room;
} manifest_remains;

/* Reads what is whole of manifest `number`, whatever SUPER says. Damage is no failure: NEWER_FORMAT, MISSING, NOMEM and
 * IO are. */
INTERNAL int manifest_salvage(env *e, uint64_t number, manifest_remains *r);
INTERNAL int manifest_remains_add(env *e, manifest_remains *r, uint64_t removed); /* one more removed table */
INTERNAL void manifest_remains_free(env *e, manifest_remains *r);

/* Begins manifest `number` with the whole of `state`, syncs it and its name. Publishing it in SUPER is the caller's. */
INTERNAL int manifest_create(env *e, const super *s, uint64_t number, const manifest_state *state, manifest **m);
/* Opens a loaded one for appending at `end`, cutting a torn tail (and syncing the cut). */
INTERNAL int manifest_open(env *e, uint64_t number, uint64_t end, bool torn, manifest **m);
/* Appends and syncs one edit. */
INTERNAL int manifest_append(manifest *m, const edit *e);
INTERNAL uint64_t manifest_size(const manifest *m);
/* True when it has grown past 4 times what the state alone takes (and MANIFEST_REWRITE_BYTES_MIN). */
INTERNAL bool manifest_wants_rewrite(const manifest *m);
INTERNAL int manifest_close(manifest *m); /* NULL is allowed */

#endif
