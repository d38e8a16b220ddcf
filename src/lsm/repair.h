/* repair.h: what the files of the repair share.
 *
 *   repair.c         decides which files count, and publishes the new database
 *   repair_pages.c   the files of a single file whose directory is lost; repair_pages_tables.c: its tables
 *   repair_window.c  reading files of which any byte may be wrong or unreadable
 *   repair_table.c   a damaged table: its whole blocks as a clean table in the target
 *   repair_log.c     the logs: their whole frames as tables in the target
 *   repair_merge.c   all of that merged into the tables of the new database
 */
#ifndef VARVE_REPAIR_H
#define VARVE_REPAIR_H

#include "lsm/lsm.h"
#include "lsm/manifest.h"
#include "lsm/sst.h"

#define REPAIR_LEVEL (LEVELS - 1) /* of the new database's tables: where a full compaction puts them */

/* A whole table that takes part in the merge: one of the source, or a clean one made in the target. */
typedef struct repair_source {
  env *e;
  table_meta *meta; /* pinned */
  uint64_t rank;    /* of two versions with one key and sequence the higher rank's counts */
  uint32_t next;    /* in its run: the one behind it in key order; UINT32_MAX = none */
} repair_source;

/* A file of the source. */
typedef struct repair_file {
  file_kind kind;
  uint64_t number, size;
} repair_file;

typedef struct repair_pages repair_pages;

typedef struct repair {
  env *from, *to;
  allocator *alloc;
  const varve_repair_options *options;
  varve_repair_report *report;
  block_cache *cache;
  bool newer;           /* SUPER says that a newer program wrote it, or its version is damaged */
  uint64_t done, total; /* bytes, for the progress */
  repair_file *files;   /* of the source, by kind and number */
  uint32_t file_count;
  size_t file_room;
  repair_pages *pages;      /* NULL = there is a directory, of whatever kind */
  manifest_remains remains; /* of the manifest that counts; remains.state.current NULL = all files are used */
  repair_source *sources;
  uint32_t source_count;
  size_t source_room;
  buf ranges; /* encoded range tombstones (rangedel_append) of everything */
  uint64_t range_count;
  uint64_t seq_max;     /* of everything that was saved */
  uint64_t next_number; /* in the target */
  edit tables;          /* the new database's */
} repair;

/* ---- repair.c ---- */
/* Counts it and tells the caller. Keys in `after` and `before` are inner keys here: they are taken apart. */
INTERNAL void repair_tell(repair *r, varve_repair_loss loss);
/* `bytes` more are done; ABORTED when the caller wants. */
INTERNAL int repair_progress(repair *r, uint64_t bytes);
/* A file of the source. */
INTERNAL int repair_add_file(repair *r, file_kind kind, uint64_t number, uint64_t size);
INTERNAL repair_file *repair_find_file(const repair *r, file_kind kind, uint64_t number);
/* Adds a source; takes over nothing. */
INTERNAL int repair_add_source(repair *r, env *e, uint64_t number, uint64_t rank, const sst_summary *s);
INTERNAL int repair_add_range(repair *r, const range_tombstone *f);
/* The reason in the thread's message, without the file and offset that it begins with: "checksum mismatch". */
INTERNAL void repair_reason(char reason[STATUS_MESSAGE_SIZE]);
#define REPAIR_LIST "a list of a repair" /* what memory is asked for */

/* ---- repair_pages.c: in this order ---- */
/* Finds what the pages of the source hold, and adds SUPER and the manifests to its files. */
INTERNAL int repair_pages_open(repair *r);
/* Adds the tables: those that r->remains.state names, and those that are newer than it; all, when there is no list. May
 * be called again without one. */
INTERNAL int repair_pages_tables(repair *r);
INTERNAL int repair_pages_logs(repair *r);
INTERNAL bool repair_pages_empty(const repair *r); /* nothing of a database was found */
INTERNAL void repair_pages_close(repair *r);

/* ---- repair_window.c ---- */

/* A view of any part of a file; what cannot be read is zeros, and so fails its checksum. */
typedef struct repair_window {
  allocator *alloc;
  vfs_file *file;
  uint64_t size; /* of the file */
  uint8_t *data; /* file bytes [at, at + filled) */
  size_t room, filled;
  uint64_t at;
  uint64_t unreadable; /* bytes that the system could not read */
} repair_window;

INTERNAL int repair_window_open(repair_window *w, env *e, file_kind kind, uint64_t number);
INTERNAL void repair_window_close(repair_window *w);
/* Bytes [offset, offset + size), which are inside the file; good until the next call. They begin at a multiple of 8 in
 * memory when they do in the file. */
INTERNAL int repair_window_bytes(repair_window *w, uint64_t offset, uint64_t size, const uint8_t **p);

/* ---- repair_table.c ---- */
/* Looks at one table and makes a source of it. `meta` is what the manifest says of it, NULL = not known. */
INTERNAL int repair_table(repair *r, uint64_t number, uint64_t size, const table_meta *meta);

/* ---- repair_log.c ---- */
/* The number of the log in a file; 0 = it holds none, or its header is lost. */
INTERNAL int repair_log_number(const repair *r, uint64_t file, uint64_t *log);
/* All logs of the source. */
INTERNAL int repair_logs(repair *r);

/* ---- repair_merge.c ---- */
/* Merges the sources into the new database's tables: r->tables. */
INTERNAL int repair_merge(repair *r);

#endif
