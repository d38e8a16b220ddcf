/* cli_line_edit.c: the shell's lines on a terminal through libedit: editing, history, completion of verbs.
 *
 * The history is kept in $VARVE_HISTORY, or in .varve_history in the home directory; an empty $VARVE_HISTORY keeps
 * none. Failing to read or write it is no reason to say anything.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>

#include <editline/readline.h>

#include "cli.h"

#define LINE_HISTORY_MAX 1000

static char line_history_path[4096];

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
  rl_readline_name = name;
  (void)rl_initialize();
  rl_attempted_completion_function = line_complete;
  using_history();
  stifle_history(LINE_HISTORY_MAX);
  if (line_history_path[0] != '\0') (void)read_history(line_history_path);
}

char *line_edit_read(const char *prompt, size_t *size) {
  CLI_ASSERT(prompt != NULL && size != NULL);
  char *line = readline(prompt);
  if (line == NULL) return NULL;
  *size = strlen(line);
  if (*size > 0) (void)add_history(line);
  return line;
}

void line_edit_end(void) {
  if (line_history_path[0] != '\0') (void)write_history(line_history_path);
}

#undef LINE_HISTORY_MAX
