/* cli_line.c: lines of the shell from a pipe or a file.
 *
 * Byte by byte through stdio, which asks for what is there and never waits for a full buffer, so that a program at
 * the other end of the pipe can have a conversation.
 */
#include "cli.h"

char *line_plain_read(size_t *size) {
  CLI_ASSERT(size != NULL);
  cli_buf line = {0};
  int c;
  while ((c = getchar()) != EOF && c != '\n') cli_buf_byte(&line, (unsigned char)c);
  if (c == EOF && line.size == 0) {
    cli_buf_free(&line);
    return NULL;
  }
  *size = line.size;
  cli_buf_byte(&line, '\0');
  if (line.failed) cli_buf_free(&line);
  return line.data;
}
