/* vfs.c: what every vfs shares: the names of files, and the exact read.
 *
 * Invariants
 *   1. A name is produced by exactly one (kind, number) and parses back to it; nothing else parses. So a file that
 *      somebody else put into the directory is never taken for ours, and no file of ours has two names.
 */
#include "env/vfs.h"

#include <inttypes.h>
#include <stdio.h>

#define VFS_NUMBER_MAX ((UINT64_C(1) << 56) - 1)

static const char vfs_super_name[] = "SUPER";
static const char vfs_single_name[] = "SINGLE"; /* for messages: the file has the name that the user gave */
static const char *const vfs_suffixes[FILE_KINDS] = {"", ".man", ".wal", ".sst"};

INTERNAL size_t file_name_format(char name[FILE_NAME_SIZE_MAX], file_kind kind, uint64_t number) {
  ASSERT((unsigned)kind <= FILE_SINGLE);
  if (kind == FILE_SUPER || kind == FILE_SINGLE) {
    ASSERT(number == 0);
    const char *fixed = kind == FILE_SUPER ? vfs_super_name : vfs_single_name;
    size_t size = strlen(fixed);
    memcpy(name, fixed, size + 1);
    return size;
  }
  ASSERT(number >= 1 && number <= VFS_NUMBER_MAX);
  int length = snprintf(name, FILE_NAME_SIZE_MAX, "%" PRIu64 "%s", number, vfs_suffixes[kind]);
  ASSERT(length > 0 && (unsigned)length < FILE_NAME_SIZE_MAX);
  return (size_t)length;
}

INTERNAL bool file_name_parse(const char *name, size_t size, file_kind *kind, uint64_t *number) {
  if (size == sizeof(vfs_super_name) - 1 && memcmp(name, vfs_super_name, size) == 0) {
    *kind = FILE_SUPER;
    *number = 0;
    return true;
  }
  uint64_t n = 0;
  size_t i = 0;
  for (; i < size && name[i] >= '0' && name[i] <= '9'; i++) {
    if (i == 0 && name[i] == '0') return false;
    n = n * 10 + (uint64_t)(name[i] - '0');
    if (n > VFS_NUMBER_MAX) return false;
  }
  if (i == 0) return false;
  for (unsigned k = FILE_MANIFEST; k < FILE_KINDS; k++) {
    if (size - i == strlen(vfs_suffixes[k]) && memcmp(name + i, vfs_suffixes[k], size - i) == 0) {
      *kind = (file_kind)k;
      *number = n;
      return true;
    }
  }
  return false;
}

INTERNAL const char *file_name(file_kind kind, uint64_t number) {
  static _Thread_local char name[FILE_NAME_SIZE_MAX];
  file_name_format(name, kind, number);
  return name;
}

INTERNAL int vfs_read_exact(vfs_file *file, uint64_t offset, void *data, size_t size) {
  size_t got = 0;
  TRY(vfs_read_at(file, offset, data, size, &got));
  ASSERT(got <= size);
  if (LIKELY(got == size)) return VARVE_OK;
  return status_fail(VARVE_CORRUPT,
                     "%s is cut short: %zu bytes were expected at offset %" PRIu64
                     " and %zu are there; restore %s from a backup",
                     file->kind == FILE_SINGLE ? file->fs->location : file_name(file->kind, file->number), size, offset,
                     got, file->fs->location);
}

#undef VFS_NUMBER_MAX
