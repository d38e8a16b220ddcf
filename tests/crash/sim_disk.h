/* sim_disk.h: a disk that is simulated down to what a power cut leaves of it.
 *
 *     file       live bytes      what reads see: the page cache
 *                durable bytes   what is certainly on the platter
 *                changes         what was written, allocated, cut since, in order
 *     directory  live names, durable names, and the changes between
 *
 * sync moves a file's changes to its durable bytes; sync_dir those of the names. sim_disk_crash makes a new disk from
 * one moment of another, keeping of the changes what the mode says. A sync that fails drops the changes: they are lost
 * for good although reads may still show them.
 *
 * A map for writing is memory beside the live bytes. Stores into it are found by comparison, sector by sector, before
 * anything that could show them: each sector that differs is then one more unsynced change.
 *
 * One fault can be armed at a time: the nth call of a sort fails, or does not do what it says.
 */
#ifndef VARVE_SIM_DISK_H
#define VARVE_SIM_DISK_H

#include "env/vfs.h"
#include "sim_world.h"

#define SIM_SECTOR   512u
#define SIM_MAP_ROOM (4u << 20) /* the largest map for writing, whose memory may not move */

typedef struct sim_bytes {
  uint8_t *data;
  uint32_t size, room; /* bytes between the two have no meaning */
} sim_bytes;

typedef enum sim_change_kind { SIM_CHANGE_WRITE, SIM_CHANGE_GROW, SIM_CHANGE_CUT } sim_change_kind;

typedef struct sim_change {
  sim_change_kind kind;
  uint32_t offset, size; /* GROW and CUT: size is the file's new one */
  uint32_t at;           /* WRITE: where in `written` the bytes are */
} sim_change;

typedef struct sim_node {
  uint32_t users; /* names, changes of names, handles */
  sim_bytes live, durable, written;
  sim_change *changes;
  uint32_t change_count, change_room;
  uint8_t *map; /* for writing: all such maps share it; it equals the live bytes but for stores not looked at yet */
  uint32_t map_size, maps, write_maps;
} sim_node;

typedef struct sim_name {
  file_kind kind;
  bool removal; /* in a list of changes: the name went */
  uint64_t number;
  sim_node *node;
} sim_name;

typedef struct sim_names {
  sim_name *list; /* live and durable ones in order of kind and number; changes in the order in which they were made */
  uint32_t count, room;
} sim_names;

typedef struct sim_fault {
  sim_fault_kind kind;
  uint32_t nth;   /* this call of those that it fits, 1 = the next; 0 = off. full: bytes that are left */
  bool and_later; /* and all after it */
  uint64_t seed;  /* of what else must be chosen */
} sim_fault;

typedef struct sim_disk {
  vfs base;
  sim_world *world;
  sim_names live, durable, changes;
  uint32_t files_open;
  bool locked;
  sim_fault fault;
  uint64_t room;        /* bytes that files may still grow by; UINT64_MAX = no bound */
  uint64_t faults;      /* that happened */
  bool weak;            /* something lied: what it says is durable need not be */
  bool sync_failed;     /* since the last crash */
  uint64_t calls;       /* all */
  uint64_t calls_max;   /* more of them are an endless loop: everything fails then */
  uint64_t log_removed; /* highest number of a log, by its header, whose file was removed */
  /* Called before each call that changes something takes effect, and once more after a sync that did. */
  void (*before)(void *context, struct sim_disk *disk, sim_call call, bool after);
  void *context;
} sim_disk;

/* `traits`: of VFS_MAP_READ and VFS_MAP_WRITE. Never NULL: the simulator does not simulate its own memory running
 * out. */
sim_disk *sim_disk_create(sim_world *w, uint32_t traits);
void sim_disk_destroy(sim_disk *d); /* NULL is allowed. No handle may be open */

/* The vfs of the disk, &d->base, may be closed and used again: a disk outlives the processes that use it. */

void sim_disk_arm(sim_disk *d, const sim_fault *fault);
void sim_disk_disarm(sim_disk *d); /* space comes back too */

/* What a crash leaves of what was not synced.
 *   NONE    nothing
 *   KILL    the process died, the machine did not: everything, and it is as unsynced as it was
 *   PREFIX  of each file the first changes, the last of them torn at any byte; of the names the first changes
 *   SUBSET  each sector as it was after any change to it, in any order; each change of a name or not; a file may have
 *           its new size without its new bytes, and zeros or old bytes of the disk in their place
 */
typedef enum sim_mode { SIM_NONE, SIM_KILL, SIM_PREFIX, SIM_SUBSET, SIM_MODES } sim_mode;
extern const char *const sim_mode_names[SIM_MODES];

sim_disk *sim_disk_crash(sim_disk *from, rng *r, sim_mode mode);

/* Rots one bit of a file that is there, durable or not; writes what and where. False when all files are empty. */
bool sim_disk_rot(sim_disk *d, rng *r, char what[64]);

uint64_t sim_disk_bytes(const sim_disk *d);

/* ---- between the files of the disk ---- */

/* Every call comes through here first; *strikes = the armed fault happens in it, and it is the call's to do. */
int sim_disk_enter(sim_disk *d, sim_call call, file_kind kind, uint64_t number, bool *strikes);
/* The call's end: into the trace it goes, with what it did. Returns rc. */
int sim_disk_leave(sim_disk *d, sim_call call, const vfs_file *file, uint64_t offset, uint64_t size, const void *data,
                   int rc);
void sim_disk_count(sim_disk *d, sim_fault_kind fault, sim_call call, file_kind kind);
int sim_disk_error(sim_disk *d, sim_fault_kind fault, sim_call call, file_kind kind, uint64_t number);

void sim_bytes_grow(sim_world *w, sim_bytes *b, uint32_t size); /* the new ones are zero; never shorter */
void sim_bytes_put(sim_world *w, sim_bytes *b, uint32_t offset, const void *data, uint32_t size);
void sim_bytes_free(sim_world *w, sim_bytes *b);
sim_node *sim_node_create(sim_world *w);
void sim_node_unref(sim_world *w, sim_node *n);
void sim_node_observe(sim_world *w, sim_node *n); /* stores into a map become changes */
void sim_node_apply(sim_world *w, sim_bytes *to, const sim_node *n, const sim_change *c);
void sim_node_changed(sim_world *w, sim_node *n, sim_change_kind kind, uint32_t offset, const void *data,
                      uint32_t size);
void sim_names_push(sim_world *w, sim_names *names, sim_name name); /* takes a reference */
void sim_names_apply(sim_world *w, sim_names *names, const sim_name *change);
void sim_names_clear(sim_world *w, sim_names *names);

#endif
