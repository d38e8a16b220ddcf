/* cli_line_edit.c: the shell's lines on a terminal through libedit: editing, history, completion of verbs.
 *
 * The history is kept in $VARVE_HISTORY, or in .varve_history in the home directory; an empty $VARVE_HISTORY keeps
 * none. Failing to read or write it is no reason to say anything.
 *
 * Characters come through line_key, so that Ctrl-C can drop the line: the signal ends its poll, and it answers with
 * the end of a line that line_edit_read then forgets.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include <editline/readline.h>

#include "cli.h"

#define LINE_HISTORY_MAX 1000

static char line_history_path[4096];
static bool line_dropped;

/* One byte of the terminal; EOF at the end, '\n' when Ctrl-C came. */
static int line_byte(void) {
  for (;;) {
    struct pollfd ready = {.fd = STDIN_FILENO, .events = POLLIN};
    unsigned char byte;
    bool came = poll(&ready, 1, -1) > 0;
    if (terminal_interrupted()) {
      line_dropped = true;
      return '\n';
    }
    if (!came && errno != EINTR) return EOF;
    if (!came) continue;
    ssize_t got = read(STDIN_FILENO, &byte, 1);
    if (got == 1) return byte;
    if (got == 0 || errno != EINTR) return EOF;
  }
}

/* The next character as libedit wants it: wide. Bytes that are none in this locale come one by one. */
static int line_key(FILE *file) {
  (void)file;
  mbstate_t state;
  memset(&state, 0, sizeof state);
  for (;;) {
    int byte = line_byte();
    if (byte == EOF || line_dropped) return byte;
    char c = (char)byte;
    wchar_t wide = 0;
    size_t size = mbrtowc(&wide, &c, 1, &state);
    if (size == (size_t)-1) return byte;
    if (size != (size_t)-2) return size == 0 ? 0 : (int)wide;
  }
}

/* The next name that begins with `text`: verbs first, then commands with a dot. */
static char *line_complete_next(const char *text, int state) {
  static const char *const dots[] = {".help", ".keyspace", ".keyspaces", ".mode", ".quit", ".timer"};
  static size_t at;
  if (state == 0) at = 0;
  size_t dots_count = sizeof dots / sizeof dots[0];
  while (at < cli_verbs_count + dots_count) {
    size_t i = at++;
    if (i < cli_verbs_count && !cli_verbs[i].in_shell) continue;
    const char *name = i < cli_verbs_count ? cli_verbs[i].name : dots[i - cli_verbs_count];
    if (strncmp(name, text, strlen(text)) == 0) return strdup(name);
  }
  return NULL;
}

/* Only the first word is completed, and never with names of files. */
static char **line_complete(const char *text, int start, int end) {
  (void)end;
  rl_attempted_completion_over = 1;
  return start == 0 ? rl_completion_matches(text, line_complete_next) : NULL;
}

void line_edit_begin(void) {
  const char *path = getenv("VARVE_HISTORY"), *home = getenv("HOME");
  if (path != NULL) {
    (void)snprintf(line_history_path, sizeof line_history_path, "%s", path);
  } else if (home != NULL && home[0] != '\0') {
    (void)snprintf(line_history_path, sizeof line_history_path, "%s/.varve_history", home);
  }
  static char name[] = "varve";
  (void)setlocale(LC_CTYPE, "");
  rl_readline_name = name;
  rl_getc_function = line_key;
  (void)rl_initialize();
  rl_attempted_completion_function = line_complete;
  using_history();
  stifle_history(LINE_HISTORY_MAX);
  if (line_history_path[0] != '\0') (void)read_history(line_history_path);
}

char *line_edit_read(const char *prompt, size_t *size) {
  CLI_ASSERT(prompt != NULL && size != NULL);
  line_dropped = false;
  terminal_interrupts_clear();
  char *line = readline(prompt);
  if (line == NULL) return NULL;
  if (line_dropped) line[0] = '\0';
  *size = strlen(line);
  if (*size > 0) (void)add_history(line);
  return line;
}

void line_edit_end(void) {
  if (line_history_path[0] != '\0') (void)write_history(line_history_path);
}

#undef LINE_HISTORY_MAX
