/* cli_message.c: what is said on standard error, and the exit status that goes with it. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#include "cli.h"

void cli_assert_failed(const char *condition, const char *file, int line) {
  fprintf(stderr, "varve: a promise of the program does not hold: %s (%s:%d); please report this\n", condition, file,
          line);
  abort();
}

static void message_write(const char *format, va_list arguments) {
  fputs("varve: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
}

int cli_fail(int exit_status, const char *format, ...) {
  CLI_ASSERT(exit_status > CLI_OK && exit_status <= CLI_LOCKED);
  va_list arguments;
  va_start(arguments, format);
  message_write(format, arguments);
  va_end(arguments);
  return exit_status;
}

int cli_usage(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  message_write(format, arguments);
  va_end(arguments);
  return CLI_USAGE;
}

int cli_exit_of(int status) {
  switch (status) {
    case VARVE_OK:
      return CLI_OK;
    case VARVE_NOTFOUND:
      return CLI_NONE;
    case VARVE_CORRUPT:
      return CLI_CORRUPT;
    case VARVE_LOCKED:
      return CLI_LOCKED;
    default:
      return CLI_ERROR;
  }
}

int cli_db_failed(const varve_db *db, int status) {
  CLI_ASSERT(status != VARVE_OK);
  const char *name = varve_status_name(status);
  const char *text = varve_errmsg(db);
  if (status == VARVE_ABORTED) text = "interrupted";
  return cli_fail(cli_exit_of(status), "%s: %s", name, text);
}

int cli_no_memory(void) {
  return cli_fail(CLI_ERROR, "out of memory");
}

void cli_size_text(char text[32], uint64_t bytes) {
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  size_t unit = 0;
  double amount = (double)bytes;
  while (amount >= 1024 && unit < 5) {
    amount /= 1024;
    unit++;
  }
  if (unit == 0) {
    snprintf(text, 32, "%" PRIu64 " B", bytes);
  } else {
    snprintf(text, 32, "%.1f %s", amount, units[unit]);
  }
}
