/* vfs_single.h: the inside of vfs_single: many files in one file. Only src/env/vfs_single*.c include it.
 *
 * The bytes are drawn in docs/FORMAT.md, "One file". vfs_single.c is the door (the place, names), vfs_single_files.c
 * the bytes of files, vfs_single_publish.c the moments at which directories are written, vfs_single_slots.c their bytes
 * and those of slots and header, vfs_single_space.c the pages that are free, vfs_single_salvage.c what a repair does
 * without a directory.
 *
 * Numbers of changes tie it together: every change of a size, of extents or of names counts `change` up, and a
 * directory is known by the number it was made at.
 *
 *     durable <= published <= change
 *
 * Locks, in this order: publishing (one directory at a time; held during its writes and syncs), syncing (one sync at a
 * time, so that nobody's good sync hides another's failure), guard (all fields below; never held while bytes of files
 * are read, written or synced).
 */
#ifndef VARVE_VFS_SINGLE_H
#define VARVE_VFS_SINGLE_H

#include "base/buf.h"
#include "env/sync.h"
#include "env/vfs.h"

#define SINGLE_PAGE         4096u
#define SINGLE_SLOTS        3u
#define SINGLE_SLOT_RECORDS 8u                  /* in each, all the same */
#define SINGLE_FIRST_PAGE   (1u + SINGLE_SLOTS) /* of what is handed out */
#define SINGLE_PAGES_MAX    (UINT64_C(1) << 50)
#define SINGLE_SIZE_MAX     (SINGLE_PAGES_MAX / 4 * SINGLE_PAGE) /* of one file */
#define SINGLE_NUMBER_MAX   ((UINT64_C(1) << 56) - 1)
#define SINGLE_SLOT_SYNCED  1u /* flag: what the directory names was synced before the slot was written */

typedef struct single_range {
  uint64_t start, end; /* pages */
} single_range;

/* Pages that nobody names, ascending, never touching; the last one is open ended. */
typedef struct single_space {
  single_range *ranges;
  size_t count, room;
} single_space;

typedef struct single_extent {
  uint64_t page, pages;
  uint64_t first; /* page of the file that it begins with */
  uint64_t dirty; /* bytes from its start that may be other than zero */
} single_extent;

typedef struct single_node {
  file_kind kind;
  bool removed;
  bool named;   /* in the durable directory */
  bool snapped; /* in the directory that is being made durable */
  uint32_t opens;
  uint64_t number;
  uint64_t size;
  uint64_t sound;   /* at most `size`: what the durable directory says, and what was not cut since */
  uint64_t snap;    /* the same for the directory that is being made durable */
  uint64_t changed; /* number of the last change */
  uint64_t gone;    /* number of the removal */
  uint64_t shown;   /* pages from its start that some directory on disk may name */
  single_extent *extents;
  size_t count, room;
} single_node;

/* Freed, and free once a directory of this change is durable. */
typedef struct single_pending {
  single_range range;
  uint64_t change;
} single_pending;

typedef struct single_slot {
  uint32_t flags;
  uint64_t generation, offset, size, checksum, end;
} single_slot;

typedef struct single {
  vfs base;
  vfs *below;
  vfs_file *file; /* NULL until it was loaded */
  uint32_t flags; /* VFS_PLACE_* */
  bool locked;
  bool stale; /* unlocked since it was loaded: somebody else may have written */
  mutex publishing, syncing, guard;

  uint64_t change, names_changed, published, durable;
  uint64_t generation;       /* the highest one seen or written */
  unsigned sound_slot;       /* holds the newest durable directory */
  unsigned newest_slot;      /* holds the newest directory */
  single_range sound_pages;  /* of the durable directory */
  single_range newest_pages; /* of the newest one; may be the same */
  int failed;                /* status of the sync that failed; kept for ever */
  char failure[STATUS_MESSAGE_SIZE];
  int lost; /* with VFS_LOST: why the place does not open */
  char lost_message[STATUS_MESSAGE_SIZE];

  single_node **nodes; /* by (kind, number) */
  size_t count, room;
  uint32_t files_open;
  size_t extents; /* of all nodes */
  buf image;      /* always has room for the directory, so that publishing needs no memory */

  single_space space;
  single_pending *pending;
  size_t pending_count, pending_room;
  uint64_t size;       /* of the file below */
  uint64_t high;       /* bytes from here on are zero when they come to be */
  bool cut;            /* it was cut, and not synced since */
  uint64_t cuts;       /* how often it was */
  uint64_t cut_high;   /* what was in use then or was handed out since ends here */
  bool unsynced_zeros; /* a log grew over pages that held something else */
} single;

/* A map of a file: part of one of the file below, from its start. */
typedef struct single_map {
  struct single_map *next;
  void *data;
  void *below;
  size_t size; /* of the one below */
} single_map;

typedef struct single_file {
  vfs_file base;
  single_node *node;
  bool writable;
  single_map *maps; /* guard */
} single_file;

static inline single *single_of(vfs *fs) {
  return CONTAINER_OF(fs, single, base);
}
static inline single_file *single_file_of(vfs_file *file) {
  return CONTAINER_OF(file, single_file, base);
}
static inline uint64_t single_pages(uint64_t bytes) {
  return bytes / SINGLE_PAGE + (bytes % SINGLE_PAGE != 0);
}

/* ---- vfs_single_space.c; guard is held ---- */

INTERNAL int single_space_init(allocator *a, single_space *s);
INTERNAL void single_space_destroy(allocator *a, single_space *s);
/* Takes these pages; EXISTS (no message) when some are not free. */
INTERNAL int single_space_claim(allocator *a, single_space *s, single_range r);
/* Takes up to `want` pages that follow page `at` directly. Returns how many. */
INTERNAL uint64_t single_space_extend(single_space *s, uint64_t at, uint64_t want);
/* Takes `need` to `want` contiguous pages; an empty range when the file is as large as it may be. */
INTERNAL single_range single_space_take(single_space *s, uint64_t need, uint64_t want);
/* Gives pages back. Without memory to remember them they stay unused until the file is opened the next time. */
INTERNAL void single_space_give(allocator *a, single_space *s, single_range r);
/* From this page on nothing is in use. */
INTERNAL uint64_t single_space_top(const single_space *s);

/* ---- vfs_single_slots.c ---- */

/* What a creation writes into slots 0 and 1: a directory without files, on pages 4 and 5. */
INTERNAL single_slot single_first_slot(void);
INTERNAL void single_header_put(uint8_t page[SINGLE_PAGE]);
/* What the first pages say: OK, MISSING (no message: nothing yet), NOT_DATABASE, NEWER_FORMAT, CORRUPT. `size` is that
 * of the whole file; `pages` holds its first 5 pages, zeros where there is less. */
INTERNAL int single_header_check(const single *s, const uint8_t *pages, uint64_t size);
INTERNAL void single_slot_put(uint8_t page[SINGLE_PAGE], const single_slot *slot, unsigned at);
/* The newest record of a slot; how many of its records are that one, 0 = none is whole. */
INTERNAL unsigned single_slot_get(const uint8_t page[SINGLE_PAGE], single_slot *slot, unsigned at);
/* A directory stands twice, one behind the other, so that rot of one loses nothing: where the second one begins, and
 * the pages of both. */
static inline uint64_t single_directory_copy(const single_slot *slot) {
  return slot->offset + single_pages(slot->size) * SINGLE_PAGE;
}
static inline single_range single_directory_range(const single_slot *slot) {
  uint64_t start = slot->offset / SINGLE_PAGE;
  return (single_range){start, start + 2 * single_pages(slot->size)};
}

INTERNAL uint64_t single_directory_checksum(const single_slot *slot, const uint8_t *data);
/* Appends the directory to s->image; guard is held. `synced` = as things are; else as after the durable directory but
 * for the logs. *end = bytes that the file must have for it. */
INTERNAL void single_directory_put(single *s, bool synced, uint64_t *end);
/* Fills nodes and space, both empty, from a directory whose checksum is right. CORRUPT, NOMEM. */
INTERNAL int single_directory_get(single *s, const single_slot *slot, const uint8_t *data);

/* ---- vfs_single_salvage.c ---- */

/* No directory counts, as the thread's message and `rc` say: all bytes become FILE_SINGLE. */
INTERNAL int single_salvage_load(single *s, int rc);
/* Both copies of the directory are damaged, in different places perhaps: `data` is the first one, and is what both tell
 * when a choice between them has the right checksum. */
INTERNAL int single_salvage_mix(single *s, const single_slot *slot, uint8_t *data);
/* The file ends before its directory says so: no file is larger than what there may be of it. */
INTERNAL void single_salvage_clip(single *s);

/* ---- vfs_single_publish.c ---- */

/* Opens, and makes when it may, the file below, and reads its directory. publishing is held. */
INTERNAL int single_load(single *s);
/* Forgets everything that was read; no file is open. */
INTERNAL int single_unload(single *s);
/* The kept failure of a sync, or OK. */
INTERNAL int single_check(single *s);
/* One sync of the file below. */
INTERNAL int single_sync_below(single *s);
/* Writes a directory that holds change `change`, unless one is there: durable, or for the death of the process. */
INTERNAL int single_publish(single *s, uint64_t change, bool synced);
/* Makes sure that image has room for the directory with one more file and a few more extents. */
INTERNAL int single_make_room(single *s);
/* Before others may have the file: publishes what was not, and cuts off the free tail. */
INTERNAL int single_settle(single *s);

/* ---- vfs_single.c ---- */

/* A new empty node, in the list; guard is held. */
INTERNAL int single_create(single *s, file_kind kind, uint64_t number, single_node **created);
INTERNAL single_node *single_lookup(const single *s, file_kind kind, uint64_t number);

/* ---- vfs_single_files.c ---- */

INTERNAL void single_node_free(single *s, single_node *node);
/* Room for one more extent. */
INTERNAL int single_node_room(single *s, single_node *node);
/* The last handle of a removed file was closed, or there was none; guard is held. */
INTERNAL void single_node_release(single *s, single_node *node);
/* Gives back the pages behind page `keep` of the file; guard is held. `change`: see single_pending. */
INTERNAL void single_node_cut(single *s, single_node *node, uint64_t keep, uint64_t change);
INTERNAL int single_read_at(vfs_file *file, uint64_t offset, void *data, size_t size, size_t *got);
INTERNAL int single_write_at(vfs_file *file, uint64_t offset, const void *data, size_t size);
INTERNAL int single_allocate(vfs_file *file, uint64_t size);
INTERNAL int single_truncate(vfs_file *file, uint64_t size);
INTERNAL int single_size(vfs_file *file, uint64_t *size);
INTERNAL int single_sync(vfs_file *file);
INTERNAL int single_map_file(vfs_file *file, size_t size, bool writable, void **data);
INTERNAL int single_unmap_file(vfs_file *file, void *data, size_t size);
/* Unmaps what is still mapped. */
INTERNAL int single_unmap_all(vfs_file *file);

#endif
