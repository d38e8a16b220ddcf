/* version.h: which tables make up the database: an immutable, pinned set; and edits that lead from one to the next.
 *
 * Level 0 holds whole flushes that may overlap, newest first. In every deeper level tables are sorted by key and
 * disjoint.
 *
 * Bounds of a table: smallest <= every key in it, range tombstones' begins too; largest is the largest key, or, when
 * largest_exclusive, the end of its last range tombstone (a key that the table says nothing about).
 */
#ifndef VARVE_VERSION_H
#define VARVE_VERSION_H

#include "base/coding.h"
#include "base/pin.h"
#include "lsm/entry.h"

struct table;

typedef struct table_meta {
  pin pin; /* one for each version that holds it, and for jobs */
  allocator *alloc;
  uint64_t number, size;
  uint64_t entries;          /* point versions */
  uint64_t tombstones;       /* point deletes among them */
  uint64_t range_tombstones; /* fragments */
  uint64_t seq_min, seq_max;
  slice smallest, largest; /* owned; in one piece of memory behind the struct */
  bool largest_exclusive;

  _Atomic(struct table *) reader; /* the table cache's: set when the table is open */
  atomic_bool obsolete;           /* dropped by an edit: remove the file when the last pin goes */
  void (*on_release)(struct table_meta *self, void *context); /* called by the last unpin, before the memory goes */
  void *release_context;
} table_meta;

/* A meta with one pin, its keys copied. Fields other than the bounds are the caller's to set. */
INTERNAL int table_meta_create(allocator *alloc, slice smallest, slice largest, bool largest_exclusive,
                               table_meta **meta);

/* < 0 when the whole table is before key, > 0 when after, 0 when key is within its bounds. */
INTERNAL int table_meta_compare(const table_meta *t, slice key);
/* Whether [begin, end] (end empty = no upper bound; begin empty = no lower; end itself included) touches the bounds. */
INTERNAL bool table_meta_overlaps(const table_meta *t, slice begin, slice end);

typedef struct version_level {
  table_meta **tables; /* level 0: newest first (seq_max descending, then number descending) */
  uint32_t count;
  uint64_t bytes;
} version_level;

typedef struct version {
  pin pin;
  allocator *alloc;
  version_level level[LEVELS];
} version;

/* A list of changes. Add to it, append it to the manifest, apply it. */
typedef struct edit_table {
  uint32_t level;
  uint64_t number;  /* of a removed table */
  table_meta *meta; /* of an added one: pinned by the edit; NULL = removed */
} edit_table;

typedef struct edit {
  allocator *alloc;
  edit_table *tables;
  size_t count, capacity;
  bool has_log_min, has_next_number, has_last_seq, has_clean_end;
  uint64_t log_min;              /* logs with smaller numbers are not needed any more */
  uint64_t next_number;          /* no file with this number or above was ever used */
  uint64_t last_seq;             /* of everything in tables */
  uint64_t clean_log, clean_end; /* clean close: this log is valid up to this offset, and synced; log 0 takes it back */
} edit;

INTERNAL void edit_init(edit *e, allocator *alloc);
INTERNAL void edit_free(edit *e);
INTERNAL int edit_add(edit *e, uint32_t level, table_meta *meta); /* takes a pin of its own */
INTERNAL int edit_remove(edit *e, uint32_t level, uint64_t number);

/* As tagged fields (docs/FORMAT.md). decode: hostile bytes; CORRUPT without a message; metas are created. */
INTERNAL int edit_encode(const edit *e, buf *out);
INTERNAL int edit_decode(edit *e, slice bytes);

INTERNAL int version_create(allocator *alloc, version **v); /* empty, one pin */
/* `base` changed by `e`: a new version with one pin. CORRUPT (with a reason) when the edit removes what is not there,
 * adds a number twice, or breaks order or disjointness. Tables removed are not marked obsolete here. */
INTERNAL int version_apply(const version *base, const edit *e, version **next);
/* The table of a level >= 1 whose bounds hold key, or the first one after it; index == count when none. */
INTERNAL uint32_t version_find(const version_level *level, slice key);
/* The table with this file number, on any level; NULL when there is none, and of a NULL version. */
INTERNAL table_meta *version_find_table(const version *v, uint64_t number);
/* First and one past the last index of the tables of a level >= 1 that touch [begin, end] (as table_meta_overlaps). */
INTERNAL void version_overlap(const version_level *level, slice begin, slice end, uint32_t *from, uint32_t *to);

#endif
