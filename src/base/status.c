/* status.c: the calling thread's message.
 *
 * Invariants
 *   1. The message is always NUL-terminated and at most 511 bytes long.
 *   2. A format may use the message itself as an argument ("%s while doing X"): the text is made beside it first.
 */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local char status_text[STATUS_MESSAGE_SIZE] = "no error";

INTERNAL void status_record(int status, const char *format, ...) {
  ASSERT(status < 0);
  ASSERT(format != NULL);
  char text[STATUS_MESSAGE_SIZE];
  va_list args;
  va_start(args, format);
  int n = vsnprintf(text, sizeof text, format, args);
  va_end(args);
  /* A format that the C library refuses still leaves a sentence behind. */
  status_set_message(n < 0 ? varve_status_name(status) : text);
}

INTERNAL const char *status_message(void) {
  return status_text;
}

INTERNAL void status_keep_message(char kept[STATUS_MESSAGE_SIZE]) {
  memcpy(kept, status_text, sizeof status_text);
}

INTERNAL void status_set_message(const char *message) {
  ASSERT(message != NULL);
  size_t size = 0;
  while (size < STATUS_MESSAGE_SIZE - 1 && message[size] != '\0') size++;
  /* A cut never leaves half of a UTF-8 character. */
  if (message[size] != '\0') {
    while (size > 0 && ((unsigned char)message[size] & 0xc0u) == 0x80u) size--;
  }
  memmove(status_text, message, size);
  status_text[size] = '\0';
}

const char *varve_status_name(int status) {
  switch (status) {
#define STATUS_NAME_CASE(name, number, text) \
  case (number):                             \
    return #name;
    VARVE_STATUS_MAP(STATUS_NAME_CASE)
#undef STATUS_NAME_CASE
    default:
      return "UNKNOWN";
  }
}
