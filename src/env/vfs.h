/* vfs.h: the contract of the file layer: what the engine may rely on, and nothing else.
 *
 * A vfs is one database's place: a directory, a part of memory, a host's storage. Files have a kind and a number,
 * never a path. Nothing is ever renamed.
 *
 *   kind      name        use
 *   SUPER     SUPER       two slots that are overwritten in turn; number 0
 *   MANIFEST  <n>.man     append-only
 *   WAL       <n>.wal     written at rising offsets; may be recycled from its start
 *   SST       <n>.sst     append-only, read after it was synced
 *   <n> is decimal, no leading zeros, 1 .. 2^56 - 1. Other names in the directory are left alone and not listed.
 *
 * Durability: bytes are durable after sync returned OK, names (created, removed) after sync_dir did. Before
 * that any part of them may be there after a power cut, in any order of 512-byte sectors. After the death of the
 * process alone everything written is there. A sync that failed is final: what was dirty may be lost although a later
 * sync says OK.
 *
 * Failures: IO, FULL (no space or quota), NOMEM, READONLY, MISSING (open or remove of a file that is not there),
 * LOCKED. Every failure carries a message with the file's name and the system's reason. Nothing is retried, nothing
 * swallowed.
 *
 * Threads: different files may be used from different threads at once. On one file any number of read_at and one
 * writer (write_at, allocate, truncate) may run at once, and sync beside them.
 */
#ifndef VARVE_VFS_H
#define VARVE_VFS_H

#include "base/alloc.h"
#include "base/slice.h"

typedef enum file_kind {
  FILE_SUPER = 0,
  FILE_MANIFEST = 1,
  FILE_WAL = 2,
  FILE_SST = 3,
  FILE_KINDS = 4,
  FILE_SINGLE = FILE_KINDS /* number 0: the one file of a place below vfs_single; list never visits it elsewhere */
} file_kind;

#define FILE_NAME_SIZE_MAX 32u /* with the NUL */

/* Powers beyond the contract. A log that lies in pieces (vfs_single) cannot be mapped for writing even with
 * VFS_MAP_WRITE: UNSUPPORTED, and it is to be written. */
#define VFS_MAP_READ  1u  /* map of sealed files works and is cheap */
#define VFS_MAP_WRITE 2u  /* map of a preallocated WAL works: stores to it survive the death of the process */
#define VFS_THREADS   4u  /* may be called from many threads */
#define VFS_READ_ONLY 8u  /* opened for reading: every changing call fails with READONLY */
#define VFS_LOST      32u /* see vfs_single_lost; known once it is locked */
#define VFS_ONE_FILE  16u /* the place is one file: it holds FILE_SINGLE alone, or is a vfs_single over such a place */

#define VFS_CREATE 1u /* open: create the file, empty; it must not exist (EXISTS) */
#define VFS_WRITE  2u /* open: for writing as well (implied by VFS_CREATE) */

typedef struct vfs vfs;
typedef struct vfs_file vfs_file;

typedef int (*vfs_visit)(void *context, file_kind kind, uint64_t number, uint64_t size);

typedef struct vfs_ops {
  uint32_t version; /* 1: all of these */

  int (*open)(vfs *fs, file_kind kind, uint64_t number, uint32_t flags, vfs_file **file);
  int (*close)(vfs_file *file); /* releases the struct whatever it returns */

  /* Reads up to `size` bytes; *got < size only when the file ends there (0 past its end). */
  int (*read_at)(vfs_file *file, uint64_t offset, void *data, size_t size, size_t *got);
  /* Writes all of it or fails; grows the file (a gap reads as zeros). After a failure any part may be written. */
  int (*write_at)(vfs_file *file, uint64_t offset, const void *data, size_t size);
  /* Makes the file at least `size` bytes long, the new ones zero, with space reserved where the host can, so that later
   * writes inside do not meet FULL. */
  int (*allocate)(vfs_file *file, uint64_t size);
  int (*truncate)(vfs_file *file, uint64_t size); /* to a smaller size */
  int (*size)(vfs_file *file, uint64_t *size);
  int (*sync)(vfs_file *file);

  /* Maps the first `size` bytes, which must be within the file, until unmap or close. UNSUPPORTED without the trait,
   * or for a log in pieces. */
  int (*map)(vfs_file *file, size_t size, bool writable, void **data);
  int (*unmap)(vfs_file *file, void *data, size_t size);

  int (*remove)(vfs *fs, file_kind kind, uint64_t number);
  int (*sync_dir)(vfs *fs);
  /* Visits every file of the four kinds, by kind and then number, until `visit` returns non-zero, which is passed
   * on. */
  int (*list)(vfs *fs, vfs_visit visit, void *context);

  /* One owner at a time, within and between processes; freed by the kernel when the process dies. LOCKED names the
   * holder. A second lock by the same vfs is an error of the caller. Shared by nobody: readers lock as well. */
  int (*lock)(vfs *fs, uint32_t wait_ms);
  int (*unlock)(vfs *fs);

  int (*close_fs)(vfs *fs); /* after all files; releases the struct whatever it returns. NULL fs is not allowed */
} vfs_ops;

/* Implementations put these first in their own structs. */
struct vfs {
  const vfs_ops *ops;
  allocator *alloc;
  uint32_t traits;
  bool foreign; /* the place held names that are no file of ours when it was opened (LOCK and LOCK.node are ours) */
  const char *location; /* for messages: "./my_database", ":memory:"; owned by the implementation */
};
struct vfs_file {
  const vfs_ops *ops;
  vfs *fs;
  uint64_t number;
  file_kind kind;
};

/* "12.sst", "SUPER". Returns the length. */
INTERNAL size_t file_name_format(char name[FILE_NAME_SIZE_MAX], file_kind kind, uint64_t number);
/* False for any name that file_name_format does not produce. */
INTERNAL bool file_name_parse(const char *name, size_t size, file_kind *kind, uint64_t *number);
/* file_name_format into the thread's static buffer, for messages: valid until the next call. */
INTERNAL const char *file_name(file_kind kind, uint64_t number);

/* read_at that fails with CORRUPT ("7.sst is cut short: ...") when the file ends before `size` bytes. */
INTERNAL int vfs_read_exact(vfs_file *file, uint64_t offset, void *data, size_t size);

static inline int vfs_open(vfs *fs, file_kind kind, uint64_t number, uint32_t flags, vfs_file **file) {
  return fs->ops->open(fs, kind, number, flags, file);
}
static inline int vfs_close(vfs_file *file) {
  return file == NULL ? VARVE_OK : file->ops->close(file);
}
static inline int vfs_read_at(vfs_file *file, uint64_t offset, void *data, size_t size, size_t *got) {
  return file->ops->read_at(file, offset, data, size, got);
}
static inline int vfs_write_at(vfs_file *file, uint64_t offset, const void *data, size_t size) {
  return file->ops->write_at(file, offset, data, size);
}
static inline int vfs_allocate(vfs_file *file, uint64_t size) {
  return file->ops->allocate(file, size);
}
static inline int vfs_truncate(vfs_file *file, uint64_t size) {
  return file->ops->truncate(file, size);
}
static inline int vfs_size(vfs_file *file, uint64_t *size) {
  return file->ops->size(file, size);
}
static inline int vfs_sync(vfs_file *file) {
  return file->ops->sync(file);
}
static inline int vfs_map(vfs_file *file, size_t size, bool writable, void **data) {
  return file->ops->map(file, size, writable, data);
}
static inline int vfs_unmap(vfs_file *file, void *data, size_t size) {
  return file->ops->unmap(file, data, size);
}
static inline int vfs_remove(vfs *fs, file_kind kind, uint64_t number) {
  return fs->ops->remove(fs, kind, number);
}
static inline int vfs_sync_dir(vfs *fs) {
  return fs->ops->sync_dir(fs);
}
static inline int vfs_list(vfs *fs, vfs_visit visit, void *context) {
  return fs->ops->list(fs, visit, context);
}
static inline int vfs_lock(vfs *fs, uint32_t wait_ms) {
  return fs->ops->lock(fs, wait_ms);
}
static inline int vfs_unlock(vfs *fs) {
  return fs->ops->unlock(fs);
}
static inline int vfs_close_fs(vfs *fs) {
  return fs->ops->close_fs(fs);
}

/* How to open a place: for vfs_*_open and env_open. */
#define VFS_PLACE_CREATE    1u /* make the directory when it is missing (its parent must exist) */
#define VFS_PLACE_READ_ONLY 2u /* open for reading only */
#define VFS_PLACE_SALVAGE   4u /* with READ_ONLY, for a repair: a single file opens even when its directory is lost */

/* Files in memory, for ":memory:" and tests. It also stands for one directory kept by the caller: closing the fs frees
 * everything. Maps for reading and writing. */
INTERNAL int vfs_mem_open(allocator *alloc, vfs **fs);

/* A place of the operating system. A path that names a regular file, or that ends in ".varve" and names nothing, is one
 * file (VFS_ONE_FILE), which may be missing as yet when CREATE was asked for; any other path is a directory. MISSING
 * when there is nothing and CREATE was not asked for; NOT_DATABASE when the path is neither file nor directory. */
INTERNAL int vfs_posix_open(allocator *alloc, const char *path, uint32_t flags, vfs **fs);
INTERNAL int vfs_wasi_open(allocator *alloc, const char *path, uint32_t flags, vfs **fs);
/* The storage of the JavaScript host: one wasm import for each slot of vfs_ops (see vfs_host.c). */
INTERNAL int vfs_host_open(allocator *alloc, const char *path, uint32_t flags, vfs **fs);

/* A database in one file (docs/FORMAT.md, "One file"): the files of the four kinds live in extents of the FILE_SINGLE
 * of `base`, which supplies that file and the lock and nothing else. `base` is owned from here on: closed with the new
 * vfs, and also when this fails. `flags` as VFS_PLACE_*: MISSING when there is no file and CREATE was not asked for,
 * NOT_DATABASE for a file of something else, CORRUPT, NEWER_FORMAT. The file is made, read and checked under the lock:
 * in the first `lock` that succeeds. The traits say what the base can do for it. */
INTERNAL int vfs_single_open(allocator *alloc, vfs *base, uint32_t flags, vfs **fs);

/* ---- a single file whose directory is lost: VFS_PLACE_SALVAGE, and then the trait VFS_LOST ----
 *
 * It has no files but FILE_SINGLE, number 0, which is not listed: all its bytes, from the first. Who knows the formats
 * finds the files in there and says where they are. Bytes behind the end are zeros. */

typedef struct vfs_piece {
  uint64_t at, size; /* bytes of FILE_SINGLE, both multiples of VFS_PIECE_UNIT */
} vfs_piece;
#define VFS_PIECE_UNIT 4096u

/* Why the place would not open without SALVAGE, as a status and its message. */
INTERNAL int vfs_single_lost(vfs *fs);
/* From now on there is this file, in these pieces, which hold `size` bytes at least; it replaces one of its name, which
 * must not be open. NOMEM. */
INTERNAL int vfs_single_adopt(vfs *fs, file_kind kind, uint64_t number, uint64_t size, const vfs_piece *pieces,
                              size_t count);
/* Visits each file of each directory that stands somewhere in the file, old ones too: they are known by their second
 * copy, not by a checksum, so all of it is a guess to be compared with the bytes. `visit` must not adopt. */
typedef int (*vfs_single_visit)(void *context, file_kind kind, uint64_t number, uint64_t size, const vfs_piece *pieces,
                                size_t count);
INTERNAL int vfs_single_images(vfs *fs, vfs_single_visit visit, void *context);

#endif
