/* one_disk.h: a place that has the one file of a single-file database, in memory, outlives its vfs, and remembers every
 * change, so that a test can make the images that a power cut would leave.
 *
 *     one_disk d; one_disk_init(&d);
 *     one_disk_open(&d, alloc, flags, &base); vfs_single_open(alloc, base, flags, &fs); ... vfs_close_fs(fs);
 *     one_disk_cut(&d, at, how, &r, &image);          what is there when power goes after `at` changes
 *
 * Safe to use from many threads.
 */
#ifndef VARVE_ONE_DISK_H
#define VARVE_ONE_DISK_H

#include "base/rng.h"
#include "env/sync.h"
#include "env/vfs.h"

typedef enum one_change_kind { ONE_WRITE, ONE_TRUNCATE, ONE_SYNC } one_change_kind;

typedef struct one_change {
  one_change_kind kind;
  uint64_t offset; /* of a truncation: the size */
  size_t size;
  uint8_t *data;
} one_change;

typedef struct one_disk {
  mutex guard;
  uint8_t *bytes;
  size_t size, room;
  bool exists, locked;
  bool record; /* changes are kept */
  one_change *changes;
  size_t count, changes_room;
  uint64_t writes, syncs, reads;
  uint64_t fail_sync; /* this sync fails, 1 = the next */
  uint64_t fail_write;
  uint64_t size_max; /* FULL beyond it; 0 = no bound */
} one_disk;

typedef enum one_cut { ONE_CUT_ALL, ONE_CUT_NONE, ONE_CUT_SOME } one_cut; /* which unsynced sectors are there */

void one_disk_init(one_disk *d);
void one_disk_free(one_disk *d);
void one_disk_copy(const one_disk *from, one_disk *to); /* bytes alone; `to` is new */
int one_disk_open(one_disk *d, allocator *alloc, uint32_t flags, vfs **fs);
/* A single-file place over it. */
int one_disk_single(one_disk *d, allocator *alloc, uint32_t flags, vfs **fs);
/* A new disk as it is when power goes after the first `at` changes. */
void one_disk_cut(const one_disk *d, size_t at, one_cut how, rng *r, one_disk *image);

#endif
