/* fault_vfs.h: a vfs around another one that counts calls, makes chosen ones fail, and hides traits.
 *
 *     fault_vfs_open(inner, &f);  env.fs = &f->base;
 *     f->base.traits &= ~VFS_MAP_WRITE;                                        the engine writes instead of mapping
 *     f->rule = (fault_rule){.ops = FAULT_BIT(FAULT_SYNC), .kind = FAULT_ANY_KIND, .nth = 2, .status = VARVE_IO};
 *
 * A rule is set while no other thread is in the vfs; calls may come from many. Closing the fault_vfs closes the inner
 * one.
 */
#ifndef VARVE_FAULT_VFS_H
#define VARVE_FAULT_VFS_H

#include "env/vfs.h"

typedef enum fault_op {
  FAULT_OPEN,
  FAULT_CLOSE,
  FAULT_READ,
  FAULT_WRITE,
  FAULT_ALLOCATE,
  FAULT_TRUNCATE,
  FAULT_SIZE,
  FAULT_SYNC,
  FAULT_MAP,
  FAULT_UNMAP,
  FAULT_REMOVE,
  FAULT_SYNC_DIR,
  FAULT_LIST,
  FAULT_LOCK,
  FAULT_UNLOCK,
  FAULT_OPS
} fault_op;

#define FAULT_BIT(op) (1u << (op))
#define FAULT_ALL     ((1u << FAULT_OPS) - 1u)
#define FAULT_CHANGING                                                                                      \
  (FAULT_BIT(FAULT_WRITE) | FAULT_BIT(FAULT_ALLOCATE) | FAULT_BIT(FAULT_TRUNCATE) | FAULT_BIT(FAULT_SYNC) | \
   FAULT_BIT(FAULT_REMOVE) | FAULT_BIT(FAULT_SYNC_DIR))
#define FAULT_ANY_KIND (-1)

typedef struct fault_rule {
  uint32_t ops;   /* FAULT_BITs of the calls that count */
  int kind;       /* file_kind, or FAULT_ANY_KIND; calls on no file (sync_dir, list, lock) fit any */
  uint64_t nth;   /* this one fails, 1 = the next; 0 = none */
  bool and_later; /* and all after it */
  int status;
  size_t part; /* a write that fails writes so many bytes first (SIZE_MAX: all); close and unmap always do their work */
} fault_rule;

typedef struct fault_vfs {
  vfs base; /* pass &f->base */
  vfs *inner;
  fault_rule rule;
  atomic_uint_fast64_t matched; /* calls that fit the rule; set to 0 with a new rule by fault_vfs_arm */
  atomic_uint_fast64_t failed;
  bool part_once;     /* only the first write that fails does what `part` says, later ones nothing; off after arming */
  fault_op failed_op; /* of the first one that failed */
  int failed_kind;
  atomic_uint_fast64_t calls[FAULT_OPS];
  atomic_int files_open, maps_open, locks_held; /* now; each must be 0 when the database is closed */
  /* Called before each call takes effect, also one that will fail. */
  void (*before)(void *context, fault_op op, file_kind kind, uint64_t number);
  void *context;
} fault_vfs;

int fault_vfs_open(vfs *inner, fault_vfs **f);
void fault_vfs_arm(fault_vfs *f, fault_rule rule); /* counting starts anew */
void fault_vfs_disarm(fault_vfs *f);

#endif
