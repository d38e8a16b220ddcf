/* cli_terminal.c: what every host has: whether a stream is a terminal, a clock, what a file is. */
#define _POSIX_C_SOURCE 200809L
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

bool terminal_is(FILE *file) {
  return isatty(fileno(file)) == 1;
}

uint64_t terminal_now_us(void) {
  struct timespec now = {0, 0};
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

uint64_t terminal_file_size(FILE *file) {
  struct stat status;
  if (fstat(fileno(file), &status) != 0 || !S_ISREG(status.st_mode) || status.st_size < 0) return 0;
  return (uint64_t)status.st_size;
}

bool terminal_is_directory(FILE *file) {
  struct stat status;
  return fstat(fileno(file), &status) == 0 && S_ISDIR(status.st_mode);
}
