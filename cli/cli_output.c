/* cli_output.c: results on standard output, or in a file, with every failed write noticed.
 *
 * The first failure is kept and stops the verb. A reader that went away (`scan | head`) is no failure; a full disk is.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "cli.h"

bool cli_write(cli_output *out, const void *data, size_t size) {
  CLI_ASSERT(out->file != NULL);
  if (out->error != 0) return false;
  if (size == 0) return true;
  errno = 0;
  if (fwrite(data, 1, size, out->file) == size) return true;
  out->error = errno != 0 ? errno : EIO;
  return false;
}

bool cli_print(cli_output *out, const char *format, ...) {
  CLI_ASSERT(out->file != NULL);
  if (out->error != 0) return false;
  va_list arguments;
  va_start(arguments, format);
  errno = 0;
  int written = vfprintf(out->file, format, arguments);
  va_end(arguments);
  if (written >= 0) return true;
  out->error = errno != 0 ? errno : EIO;
  return false;
}

int cli_output_finish(cli_output *out) {
  errno = 0;
  if (fflush(out->file) != 0 && out->error == 0) out->error = errno != 0 ? errno : EIO;
  if (out->error == 0 || out->error == EPIPE) return CLI_OK;
  return cli_fail(CLI_ERROR, "cannot write to %s: %s; what is there is not complete", out->name, strerror(out->error));
}
