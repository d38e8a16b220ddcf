/* cli_message.c: what is said on standard error, and the exit status that goes with it. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

void cli_assert_failed(const char *condition, const char *file, int line) {
  fprintf(stderr, "varve: a promise of the program does not hold: %s (%s:%d); please report this\n", condition, file,
          line);
  abort();
}

static uint64_t message_line;

void cli_message_line(uint64_t number) {
  message_line = number;
}

static void message_write(const char *format, va_list arguments) {
  fputs("varve: ", stderr);
  if (message_line > 0) fprintf(stderr, "line %" PRIu64 ": ", message_line);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
}

int cli_fail(int exit_status, const char *format, ...) {
  CLI_ASSERT(exit_status > CLI_OK && exit_status <= CLI_LOST);
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

/* Messages of the engine name options of the interface in C; here they are called otherwise. */
static void message_translate(const char *text, cli_buf *buf) {
  static const char *const pairs[][2] = {{"or open with lock_wait_ms", "or wait for that with --wait SECONDS"},
                                         {", or let open create it", "; `put` and `load` make one"},
                                         {"open the database with read_only", "open the database with --read-only"},
                                         {"read_only", "--read-only"}};
  while (*text != '\0') {
    size_t skip = 0;
    for (size_t i = 0; skip == 0 && i < sizeof pairs / sizeof pairs[0]; i++) {
      if (strncmp(text, pairs[i][0], strlen(pairs[i][0])) != 0) continue;
      skip = strlen(pairs[i][0]);
      cli_buf_text(buf, pairs[i][1]);
    }
    if (skip == 0) cli_buf_byte(buf, (unsigned char)*text);
    text += skip > 0 ? skip : 1;
  }
  cli_buf_byte(buf, '\0');
}

int cli_db_failed(const varve_db *db, int status) {
  CLI_ASSERT(status != VARVE_OK);
  const char *name = varve_status_name(status);
  const char *text = varve_errmsg(db);
  if (status == VARVE_ABORTED) text = "interrupted";
  cli_buf buf = {0};
  message_translate(text, &buf);
  int failed = cli_fail(cli_exit_of(status), "%s: %s", name, buf.failed ? text : buf.data);
  cli_buf_free(&buf);
  return failed;
}

int cli_no_memory(void) {
  return cli_fail(CLI_ERROR, "out of memory");
}

void cli_reading_input(void) {
  if (terminal_is(stdin)) fputs("varve: reading standard input; Ctrl-D ends it\n", stderr);
}

const char *cli_plural(uint64_t number) {
  return number == 1 ? "" : "s";
}

void cli_count_text(char text[32], uint64_t number) {
  char digits[24];
  int size = snprintf(digits, sizeof digits, "%" PRIu64, number);
  CLI_ASSERT(size > 0 && size <= 20); /* with six commas and the NUL less than 32 */
  for (int i = 0; i < size; i++) {
    if (i > 0 && (size - i) % 3 == 0) *text++ = ',';
    *text++ = digits[i];
  }
  *text = '\0';
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
