/* cli_line_none.c: for builds without libedit: a prompt, and what the terminal itself can edit. */
#include "cli.h"

void line_edit_begin(void) {
}

char *line_edit_read(const char *prompt, size_t *size) {
  CLI_ASSERT(prompt != NULL);
  fputs(prompt, stdout);
  fflush(stdout);
  return line_plain_read(size);
}

void line_edit_end(void) {
}
