/* cli_input.c: reading a stream by lines or by counted bytes.
 *
 * One buffer slides over the stream: [taken | available | room]. A line or record may be as large as memory allows.
 */
#include <errno.h>
#include <string.h>

#include "cli.h"

#define INPUT_CHUNK ((size_t)1 << 16)

int cli_input_open(cli_input *input, const char *path) {
  *input = (cli_input){.file = stdin, .name = "standard input"};
  if (path == NULL) return CLI_OK;
  input->file = fopen(path, "rb");
  input->name = path;
  if (input->file == NULL) return cli_fail(CLI_ERROR, "cannot open '%s' for reading: %s", path, strerror(errno));
  /* Some systems open directories and fail at the first read with words of their own. */
  if (!terminal_is_directory(input->file)) return CLI_OK;
  cli_input_close(input);
  return cli_fail(CLI_ERROR, "cannot read '%s': it is a directory", path);
}

void cli_input_close(cli_input *input) {
  if (input->file != NULL && input->file != stdin) fclose(input->file);
  input->file = NULL;
  cli_buf_free(&input->buf);
}

/* Reads one more chunk. False when nothing came. */
static bool input_fill(cli_input *input) {
  if (input->ended || input->error != 0 || input->buf.failed) return false;
  cli_buf *buf = &input->buf;
  /* Sliding only when the taken part is the larger one keeps the copying linear. */
  if (input->at > 0 && input->at >= buf->size - input->at) {
    memmove(buf->data, buf->data + input->at, buf->size - input->at);
    buf->size -= input->at;
    input->at = 0;
  }
  if (!cli_buf_reserve(buf, INPUT_CHUNK)) return false;
  errno = 0;
  size_t got = fread(buf->data + buf->size, 1, INPUT_CHUNK, input->file);
  buf->size += got;
  if (got < INPUT_CHUNK) {
    if (ferror(input->file)) input->error = errno != 0 ? errno : EIO;
    input->ended = true;
  }
  return got > 0;
}

bool cli_input_line(cli_input *input, varve_slice *line) {
  size_t searched = 0;
  for (;;) {
    CLI_ASSERT(input->at <= input->buf.size);
    const char *from = input->buf.data == NULL ? "" : input->buf.data + input->at;
    size_t available = input->buf.size - input->at;
    const char *end = available == searched ? NULL : memchr(from + searched, '\n', available - searched);
    if (end != NULL) {
      *line = (varve_slice){from, (size_t)(end - from)};
      cli_input_take(input, line->size + 1);
      return true;
    }
    searched = available;
    if (input_fill(input)) continue;
    if (cli_input_failed(input) || available == 0) return false;
    *line = (varve_slice){from, available};
    cli_input_take(input, available);
    return true;
  }
}

bool cli_input_peek(cli_input *input, size_t size, varve_slice *bytes) {
  while (input->buf.size - input->at < size) {
    if (!input_fill(input)) return false;
  }
  *bytes = (varve_slice){input->buf.data + input->at, size};
  return true;
}

void cli_input_take(cli_input *input, size_t size) {
  CLI_ASSERT(size <= input->buf.size - input->at);
  input->at += size;
  input->taken += size;
}

bool cli_input_failed(const cli_input *input) {
  return input->error != 0 || input->buf.failed;
}

int cli_input_report(const cli_input *input) {
  CLI_ASSERT(cli_input_failed(input));
  if (input->buf.failed) return cli_no_memory();
  return cli_fail(CLI_ERROR, "cannot read %s: %s", input->name, strerror(input->error));
}

#undef INPUT_CHUNK
