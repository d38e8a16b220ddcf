/* cli_json_lines.c: rows as lines of JSON, in one canonical spelling.
 *
 * `dump` and `scan --format json` write, for each entry, one line that ends with LF and has no blanks:
 *
 *     {"key":K,"value":V}                     in the default keyspace
 *     {"keyspace":S,"key":K,"value":V}        in another one
 *
 * The rule, exact to the byte, so that the SHA-256 of two dumps can be compared whoever made them:
 *
 *   1. Members come in the order keyspace, key, value. A member whose bytes are not well-formed UTF-8 (RFC 3629: no
 *      surrogates, nothing overlong, nothing above U+10FFFF) has "64" added to its name and its bytes in base64
 *      (RFC 4648 section 4: A-Z a-z 0-9 + /, padded with =). Each member is decided alone: "key" may stand
 *      beside "value64".
 *   2. In strings, " and \ are written \" and \\; U+0008, U+0009, U+000A, U+000C, U+000D are written \b \t \n \f \r;
 *      the other code points below U+0020 are written \u00xx with lower-case hex digits; everything else,
 *      U+007F, U+2028 and U+FEFF included, is written as its UTF-8 bytes. (JSON.stringify writes well-formed strings
 *      in just this way. A JavaScript reader decodes with {fatal: true, ignoreBOM: true}.)
 *   3. `dump` writes the default keyspace first, then the others in the order of their names' bytes, and in
 *      each keyspace the keys in ascending order of their bytes. Keyspaces without entries leave no trace.
 *
 * `load` takes any JSON spelling of such an object, with members in any order and each at most once. A line of
 * blanks is skipped. The key is required, and so is the value.
 */
#include <string.h>

#include "cli.h"

/* ---- writing ---- */

void cli_json_string(cli_buf *buf, varve_slice text) {
  const unsigned char *p = text.data;
  cli_buf_byte(buf, '"');
  size_t from = 0;
  for (size_t at = 0; at < text.size; at++) {
    unsigned char c = p[at];
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    cli_buf_append(buf, p + from, at - from);
    from = at + 1;
    static const char letters[] = "\b\t\n\f\r\"\\", spelled[] = "btnfr\"\\";
    const char *letter = c == 0 ? NULL : strchr(letters, c);
    if (letter != NULL) {
      cli_buf_byte(buf, '\\');
      cli_buf_byte(buf, (unsigned char)spelled[letter - letters]);
    } else {
      cli_buf_text(buf, "\\u00");
      cli_hex_append(buf, (varve_slice){&c, 1});
    }
  }
  cli_buf_append(buf, text.size == 0 ? p : p + from, text.size - from);
  cli_buf_byte(buf, '"');
}

void cli_json_member(cli_buf *buf, const char *name, varve_slice bytes) {
  bool text = cli_utf8_valid(bytes);
  cli_buf_byte(buf, '"');
  cli_buf_text(buf, name);
  cli_buf_text(buf, text ? "\":" : "64\":\"");
  if (text) {
    cli_json_string(buf, bytes);
  } else {
    cli_base64_append(buf, bytes);
    cli_buf_byte(buf, '"');
  }
}

void cli_json_row(cli_buf *buf, varve_slice keyspace, varve_slice key, varve_slice value) {
  cli_buf_byte(buf, '{');
  if (keyspace.size > 0) {
    cli_json_member(buf, "keyspace", keyspace);
    cli_buf_byte(buf, ',');
  }
  cli_json_member(buf, "key", key);
  cli_buf_byte(buf, ',');
  cli_json_member(buf, "value", value);
  cli_buf_text(buf, "}\n");
}

/* ---- reading ---- */

typedef struct json_reader {
  const unsigned char *p;
  size_t at, size;
} json_reader;

static void json_skip_blanks(json_reader *in) {
  while (in->at < in->size && strchr(" \t\r", in->p[in->at]) != NULL && in->p[in->at] != 0) in->at++;
}

static bool json_take(json_reader *in, unsigned char c) {
  json_skip_blanks(in);
  if (in->at >= in->size || in->p[in->at] != c) return false;
  in->at++;
  return true;
}

static bool json_four_digits(json_reader *in, uint32_t *unit) {
  if (in->size - in->at < 4) return false;
  *unit = 0;
  for (int i = 0; i < 4; i++) {
    int digit = cli_hex_digit(in->p[in->at + (size_t)i]);
    if (digit < 0) return false;
    *unit = *unit << 4 | (uint32_t)digit;
  }
  in->at += 4;
  return true;
}

/* Behind "\u". */
static const char *json_unicode_escape(json_reader *in, cli_buf *out) {
  uint32_t unit, low;
  if (!json_four_digits(in, &unit)) return "\\u needs four hex digits";
  if (unit >= 0xd800 && unit <= 0xdfff) {
    bool pair = unit < 0xdc00 && in->size - in->at >= 2 && in->p[in->at] == '\\' && in->p[in->at + 1] == 'u';
    if (pair) in->at += 2;
    if (!pair || !json_four_digits(in, &low) || low < 0xdc00 || low > 0xdfff) {
      return "half of a surrogate pair is no character; use key64 or value64 for bytes that are not text";
    }
    unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
  }
  cli_utf8_append(out, unit);
  return NULL;
}

/* Behind a backslash. */
static const char *json_escape(json_reader *in, cli_buf *out) {
  if (in->at >= in->size) return "the line ends inside a string";
  unsigned char c = in->p[in->at++];
  static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
  if (c == 'u') return json_unicode_escape(in, out);
  const char *letter = c == 0 ? NULL : strchr(letters, c);
  if (letter == NULL) return "there is no such escape";
  cli_buf_byte(out, (unsigned char)meant[letter - letters]);
  return NULL;
}

static const char *json_string_read(json_reader *in, cli_buf *out) {
  if (!json_take(in, '"')) return "a string in double quotes is expected here";
  for (;;) {
    size_t from = in->at;
    while (in->at < in->size && in->p[in->at] >= 0x20 && in->p[in->at] != '"' && in->p[in->at] != '\\') {
      size_t size = in->p[in->at] < 0x80 ? 1 : cli_utf8_sequence(in->p + in->at, in->size - in->at);
      if (size == 0) return "this is not UTF-8; use key64 or value64 for bytes that are not text";
      in->at += size;
    }
    cli_buf_append(out, in->p + from, in->at - from);
    if (in->at >= in->size) return "the line ends inside a string";
    unsigned char c = in->p[in->at];
    if (c < 0x20) return "a control character in a string must be escaped";
    in->at++;
    if (c == '"') return NULL;
    const char *wrong = json_escape(in, out);
    if (wrong != NULL) return wrong;
  }
}

/* One "name":"string" into the field of the row that it names. `scratch` is the caller's. */
static const char *json_member_read(json_reader *in, cli_row *row, cli_buf *scratch) {
  scratch->size = 0;
  const char *wrong = json_string_read(in, scratch);
  if (wrong != NULL) return wrong;
  varve_slice name = cli_buf_slice(scratch);
  bool base64 = name.size > 2 && memcmp(scratch->data + name.size - 2, "64", 2) == 0;
  if (base64) name.size -= 2;

  cli_buf *field = NULL;
  bool *has = NULL;
  if (cli_slice_is(name, "key")) field = &row->key, has = &row->has_key;
  if (cli_slice_is(name, "value")) field = &row->value, has = &row->has_value;
  if (cli_slice_is(name, "keyspace")) field = &row->keyspace, has = &row->has_keyspace;
  if (field == NULL) return "a row has only the members keyspace, key and value (or keyspace64, key64, value64)";
  if (*has) return "this member was given already";
  *has = true;

  if (!json_take(in, ':')) return "':' is expected here";
  if (!base64) return json_string_read(in, field);
  scratch->size = 0;
  wrong = json_string_read(in, scratch);
  if (wrong != NULL) return wrong;
  return cli_base64_decode(cli_buf_slice(scratch), field) ? NULL : "this is not base64 (RFC 4648, padded)";
}

static const char *json_object_read(json_reader *in, cli_row *row, cli_buf *scratch) {
  if (!json_take(in, '{')) return "a row is an object: {\"key\":\"…\",\"value\":\"…\"}";
  if (!json_take(in, '}')) {
    do {
      json_skip_blanks(in);
      const char *wrong = json_member_read(in, row, scratch);
      if (wrong != NULL) return wrong;
    } while (json_take(in, ','));
    if (!json_take(in, '}')) return "',' or '}' is expected here";
  }
  json_skip_blanks(in);
  if (in->at < in->size) return "there is something behind the object";
  if (!row->has_key) return "the row has no key";
  if (!row->has_value) return "the row has no value";
  return NULL;
}

const char *cli_json_parse(varve_slice line, cli_row *row, size_t *column) {
  json_reader in = {line.data, 0, line.size};
  cli_buf scratch = {0};
  cli_row_clear(row);
  const char *wrong = json_object_read(&in, row, &scratch);
  CLI_ASSERT(in.at <= in.size);
  *column = in.at + 1;
  if (scratch.failed || row->key.failed || row->value.failed || row->keyspace.failed) wrong = "out of memory";
  cli_buf_free(&scratch);
  return wrong;
}

void cli_row_clear(cli_row *row) {
  row->keyspace.size = row->key.size = row->value.size = 0;
  row->has_keyspace = row->has_key = row->has_value = false;
}

void cli_row_free(cli_row *row) {
  cli_buf_free(&row->keyspace);
  cli_buf_free(&row->key);
  cli_buf_free(&row->value);
}
