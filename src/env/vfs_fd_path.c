/* vfs_fd_path.c: what a path stands for: a directory, or one file that holds a whole database.
 *
 *     it names a regular file                       that file
 *     it names nothing and ends in ".varve"         a file, to be made
 *     it names a directory, or anything else        a directory, to be opened or made
 *
 * A symbolic link that was given as the path of a file is followed, once and by hand, and what it leads to is opened by
 * its own name. So two links to one file find the same lock files, which lie beside the file and not beside the links,
 * and from then on no link is followed any more.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif
#include "env/vfs_fd.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define FD_LINKS_MAX 40 /* as many as Linux follows */

static const char fd_ending[] = ".varve";

INTERNAL int fd_path_choose(const char *path, bool *one_file) {
  struct stat info;
  size_t size = strlen(path), ending = sizeof(fd_ending) - 1;
  *one_file = false;
  if (stat(path, &info) != 0) { /* whatever else is wrong with it is found when it is opened */
    *one_file = size >= ending && memcmp(path + size - ending, fd_ending, ending) == 0;
    return VARVE_OK;
  }
  *one_file = S_ISREG(info.st_mode);
  if (*one_file || S_ISDIR(info.st_mode)) return VARVE_OK;
  return status_fail(VARVE_NOT_DATABASE,
                     "%s is neither a file nor a directory, and so not a database; give another path", path);
}

static int fd_path_fail(const char *path, int error) {
  return status_fail(fd_status(error, false), "%s: cannot open it: %s; %s", path, strerror(error),
                     fd_remedy(error, false));
}

/* `target` as seen from the directory that the link `followed` is in, in place of it. */
static int fd_path_step(const char *path, char followed[FD_PATH_MAX], const char *target, size_t size) {
  const char *slash = strrchr(followed, '/');
  size_t above = target[0] == '/' || slash == NULL ? 0 : (size_t)(slash - followed) + 1;
  ASSERT(above < FD_PATH_MAX && size > 0);
  if (size >= FD_PATH_MAX - above) return fd_path_fail(path, ENAMETOOLONG);
  memcpy(followed + above, target, size);
  followed[above + size] = '\0';
  return VARVE_OK;
}

INTERNAL int fd_path_follow(const char *path, char followed[FD_PATH_MAX]) {
  char target[FD_PATH_MAX];
  size_t size = strlen(path);
  if (size >= FD_PATH_MAX) return fd_path_fail(path, ENAMETOOLONG);
  memcpy(followed, path, size + 1);
  for (int links = 0; links < FD_LINKS_MAX; links++) {
    ssize_t n = readlink(followed, target, sizeof(target));
    if (n <= 0) return VARVE_OK; /* no link, or nothing there: opening it says what is wrong */
    ASSERT((size_t)n <= sizeof(target));
    TRY(fd_path_step(path, followed, target, (size_t)n));
  }
  return fd_path_fail(path, ELOOP);
}

#undef FD_LINKS_MAX
