/* cli_bytes.c: growing buffers and the ways to write bytes as text.
 *
 * A buffer remembers that it ran out of memory, so that a chain of appends is checked once at its end.
 */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

void cli_buf_free(cli_buf *buf) {
  free(buf->data);
  *buf = (cli_buf){0};
}

bool cli_buf_reserve(cli_buf *buf, size_t more) {
  CLI_ASSERT(buf->size <= buf->capacity);
  if (buf->failed) return false;
  if (more <= buf->capacity - buf->size) return true;
  if (more > SIZE_MAX / 2 - buf->size) {
    buf->failed = true;
    return false;
  }
  size_t capacity = buf->capacity + buf->capacity / 2;
  if (capacity < buf->size + more) capacity = buf->size + more;
  if (capacity < 256) capacity = 256;
  char *data = realloc(buf->data, capacity);
  if (data == NULL) {
    buf->failed = true;
    return false;
  }
  buf->data = data;
  buf->capacity = capacity;
  return true;
}

void cli_buf_append(cli_buf *buf, const void *data, size_t size) {
  if (size == 0 || !cli_buf_reserve(buf, size)) return;
  memcpy(buf->data + buf->size, data, size);
  buf->size += size;
}

void cli_buf_byte(cli_buf *buf, unsigned char byte) {
  if (!cli_buf_reserve(buf, 1)) return;
  buf->data[buf->size++] = (char)byte;
}

void cli_buf_text(cli_buf *buf, const char *text) {
  cli_buf_append(buf, text, strlen(text));
}

void cli_buf_varint(cli_buf *buf, uint64_t value) {
  while (value >= 0x80) {
    cli_buf_byte(buf, (unsigned char)(value | 0x80));
    value >>= 7;
  }
  cli_buf_byte(buf, (unsigned char)value);
}

varve_slice cli_buf_slice(const cli_buf *buf) {
  return (varve_slice){buf->data, buf->size};
}

int cli_slice_compare(varve_slice a, varve_slice b) {
  size_t size = a.size < b.size ? a.size : b.size;
  int order = size == 0 ? 0 : memcmp(a.data, b.data, size);
  if (order != 0) return order;
  return (a.size > b.size) - (a.size < b.size);
}

bool cli_slice_is(varve_slice slice, const char *text) {
  return cli_slice_compare(slice, VARVE_STR(text)) == 0;
}

/* ---- UTF-8 ---- */

size_t cli_utf8_sequence(const unsigned char *p, size_t left) {
  if (left == 0) return 0;
  unsigned char first = p[0];
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  size_t size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (left < size) return 0;
  /* The second byte's range is what excludes overlong forms, surrogates and what is above U+10FFFF. */
  unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  if (p[1] < low || p[1] > high) return 0;
  for (size_t i = 2; i < size; i++) {
    if ((p[i] & 0xc0) != 0x80) return 0;
  }
  return size;
}

bool cli_utf8_valid(varve_slice text) {
  const unsigned char *p = text.data;
  for (size_t at = 0; at < text.size;) {
    size_t size = p[at] < 0x80 ? 1 : cli_utf8_sequence(p + at, text.size - at);
    if (size == 0) return false;
    at += size;
  }
  return true;
}

void cli_utf8_append(cli_buf *buf, uint32_t c) {
  CLI_ASSERT(c <= 0x10ffff && (c < 0xd800 || c > 0xdfff));
  if (c < 0x80) {
    cli_buf_byte(buf, (unsigned char)c);
    return;
  }
  if (c < 0x800) {
    cli_buf_byte(buf, (unsigned char)(0xc0 | c >> 6));
  } else {
    if (c < 0x10000) {
      cli_buf_byte(buf, (unsigned char)(0xe0 | c >> 12));
    } else {
      cli_buf_byte(buf, (unsigned char)(0xf0 | c >> 18));
      cli_buf_byte(buf, (unsigned char)(0x80 | (c >> 12 & 0x3f)));
    }
    cli_buf_byte(buf, (unsigned char)(0x80 | (c >> 6 & 0x3f)));
  }
  cli_buf_byte(buf, (unsigned char)(0x80 | (c & 0x3f)));
}

/* ---- hex, base64, escapes ---- */

static const char hex_digits[] = "0123456789abcdef";

void cli_hex_append(cli_buf *buf, varve_slice bytes) {
  const unsigned char *p = bytes.data;
  if (bytes.size > SIZE_MAX / 2) buf->failed = true;
  if (buf->failed || !cli_buf_reserve(buf, bytes.size * 2)) return;
  for (size_t i = 0; i < bytes.size; i++) {
    buf->data[buf->size++] = hex_digits[p[i] >> 4];
    buf->data[buf->size++] = hex_digits[p[i] & 15];
  }
}

int cli_hex_digit(unsigned char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool cli_hex_decode(varve_slice text, cli_buf *out) {
  const unsigned char *p = text.data;
  if (text.size % 2 != 0) return false;
  for (size_t i = 0; i < text.size; i += 2) {
    int high = cli_hex_digit(p[i]), low = cli_hex_digit(p[i + 1]);
    if (high < 0 || low < 0) return false;
    cli_buf_byte(out, (unsigned char)(high << 4 | low));
  }
  return true;
}

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void cli_base64_append(cli_buf *buf, varve_slice bytes) {
  const unsigned char *p = bytes.data;
  if (bytes.size > SIZE_MAX / 2) buf->failed = true;
  if (buf->failed || !cli_buf_reserve(buf, (bytes.size + 2) / 3 * 4)) return;
  char *to = buf->data + buf->size;
  for (size_t i = 0; i < bytes.size; i += 3) {
    size_t left = bytes.size - i;
    uint32_t bits = (uint32_t)p[i] << 16;
    if (left > 1) bits |= (uint32_t)p[i + 1] << 8;
    if (left > 2) bits |= p[i + 2];
    *to++ = base64_digits[bits >> 18];
    *to++ = base64_digits[bits >> 12 & 63];
    *to++ = left > 1 ? base64_digits[bits >> 6 & 63] : '=';
    *to++ = left > 2 ? base64_digits[bits & 63] : '=';
  }
  buf->size = (size_t)(to - buf->data);
  CLI_ASSERT(buf->size <= buf->capacity);
}

static int base64_digit(unsigned char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  if (c == '/') return 63;
  return -1;
}

/* One group of four digits, of which the last `padding` are '='. */
static bool base64_group(const unsigned char *p, size_t padding, cli_buf *out) {
  CLI_ASSERT(padding <= 2);
  uint32_t bits = 0;
  for (size_t i = 0; i < 4; i++) {
    int digit = i < 4 - padding ? base64_digit(p[i]) : 0;
    if (digit < 0) return false;
    bits = bits << 6 | (uint32_t)digit;
  }
  /* The bits that padding leaves over are zero, so that one string of bytes has one spelling. */
  if ((padding == 1 && (bits & 0xff) != 0) || (padding == 2 && (bits & 0xffff) != 0)) return false;
  cli_buf_byte(out, (unsigned char)(bits >> 16));
  if (padding < 2) cli_buf_byte(out, (unsigned char)(bits >> 8));
  if (padding < 1) cli_buf_byte(out, (unsigned char)bits);
  return true;
}

bool cli_base64_decode(varve_slice text, cli_buf *out) {
  const unsigned char *p = text.data;
  if (text.size % 4 != 0) return false;
  (void)cli_buf_reserve(out, text.size / 4 * 3);
  for (size_t i = 0; i < text.size; i += 4) {
    size_t padding = 0;
    if (i + 4 == text.size && p[i + 3] == '=') padding = p[i + 2] == '=' ? 2 : 1;
    if (!base64_group(p + i, padding, out)) return false;
  }
  return true;
}

void cli_escaped_append(cli_buf *buf, varve_slice bytes) {
  const unsigned char *p = bytes.data;
  for (size_t at = 0; at < bytes.size;) {
    unsigned char c = p[at];
    size_t size = cli_utf8_sequence(p + at, bytes.size - at);
    if (size > 1 || (size == 1 && c >= 0x20 && c != 0x7f && c != '\\')) {
      cli_buf_append(buf, p + at, size);
      at += size;
      continue;
    }
    const char *spelled = c == '\\' ? "\\\\" : c == '\t' ? "\\t" : c == '\n' ? "\\n" : c == '\r' ? "\\r" : NULL;
    if (spelled != NULL) {
      cli_buf_text(buf, spelled);
    } else {
      cli_buf_text(buf, "\\x");
      cli_hex_append(buf, (varve_slice){&c, 1});
    }
    at++;
  }
}
