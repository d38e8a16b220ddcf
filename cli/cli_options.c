/* cli_options.c: from arguments to a command.
 *
 * An option is `--name`, `--name VALUE` or `--name=VALUE`, anywhere, and `-h`; everything else is a word, `-` too, and
 * after `--` everything is a word. The first word is a path or a verb, so it begins with `-` only behind `--`: there
 * `-v` and `-V` are --version. Keys and values may begin with one `-`. Which options a verb takes is checked later, by
 * cli_verb_check.
 */
#include <inttypes.h>
#include <string.h>

#include "cli.h"

typedef struct option_row {
  const char *name;
  uint32_t bit;
  const char *value; /* what a value is called, NULL when the option takes none */
} option_row;

static const option_row option_rows[] = {
    {"keyspace", CLI_OPT_KEYSPACE, "NAME"},
    {"hex", CLI_OPT_HEX, NULL},
    {"strict", CLI_OPT_STRICT, NULL},
    {"read-only", CLI_OPT_READ_ONLY, NULL},
    {"memory", CLI_OPT_MEMORY, "BYTES"},
    {"prefix", CLI_OPT_PREFIX, "P"},
    {"from", CLI_OPT_FROM, "K"},
    {"to", CLI_OPT_TO, "K"},
    {"reverse", CLI_OPT_REVERSE, NULL},
    {"limit", CLI_OPT_LIMIT, "N"},
    {"keys", CLI_OPT_KEYS, NULL},
    {"values", CLI_OPT_VALUES, NULL},
    {"format", CLI_OPT_FORMAT, "FORMAT"},
    {"json", CLI_OPT_JSON, NULL},
    {"raw", CLI_OPT_RAW, NULL},
    {"range", CLI_OPT_RANGE, NULL},
    {"all", CLI_OPT_ALL, NULL},
    {"force", CLI_OPT_FORCE, NULL},
    {"wait", CLI_OPT_WAIT, "SECONDS"},
    {"n", CLI_OPT_N, "N"},
    {"help", CLI_OPT_HELP, NULL},
    {"version", CLI_OPT_VERSION, NULL},
};
#define OPTION_ROWS_COUNT (sizeof option_rows / sizeof option_rows[0])
#define OPTION_MEMORY_MIN (UINT64_C(1) << 20)
/* What 32 bits can address, with room for the rest of the program; else more than any machine has. */
#define OPTION_MEMORY_MAX (sizeof(size_t) == 4 ? UINT64_C(3) << 30 : UINT64_C(1) << 40)

static const option_row *option_find(uint32_t bit) {
  const option_row *row = option_rows;
  while (row < option_rows + OPTION_ROWS_COUNT && row->bit != bit) row++;
  CLI_ASSERT(row < option_rows + OPTION_ROWS_COUNT);
  return row;
}

const char *cli_option_name(uint32_t bit) {
  return option_find(bit)->name;
}

const char *cli_option_value_name(uint32_t bit) {
  return option_find(bit)->value;
}

/* A decimal number, with K, M or G for powers of 1024 behind it when `units`. */
static bool option_number(varve_slice text, bool units, uint64_t *number) {
  const char *p = text.data;
  uint64_t value = 0;
  size_t at = 0;
  for (; at < text.size && p[at] >= '0' && p[at] <= '9'; at++) {
    unsigned digit = (unsigned)(p[at] - '0');
    if (value > (UINT64_MAX - digit) / 10) return false;
    value = value * 10 + digit;
  }
  if (at == 0) return false;
  if (units && at + 1 == text.size) {
    const char *unit = p[at] == '\0' ? NULL : strchr("KMG", p[at] & ~0x20);
    if (unit == NULL) return false;
    unsigned shift = p[at] == 'K' || p[at] == 'k' ? 10 : p[at] == 'M' || p[at] == 'm' ? 20 : 30;
    if (value > UINT64_MAX >> shift) return false;
    value <<= shift;
    at++;
  }
  *number = value;
  return at == text.size;
}

static int option_format(cli_command *command, varve_slice value) {
  static const char *const names[] = {NULL, "text", "json", "raw", "hex"};
  for (int i = CLI_FORMAT_TEXT; i <= CLI_FORMAT_HEX; i++) {
    if (cli_slice_is(value, names[i])) {
      command->format = (cli_format)i;
      return CLI_OK;
    }
  }
  return cli_usage("--format is one of text, json, raw and hex, not '%s'", (const char *)value.data);
}

static int option_memory(cli_command *command, varve_slice value) {
  if (!option_number(value, true, &command->memory)) {
    return cli_usage("--memory takes a number of bytes such as 1000000 or 64M, not '%s'", (const char *)value.data);
  }
  if (command->memory >= OPTION_MEMORY_MIN && command->memory <= OPTION_MEMORY_MAX) return CLI_OK;
  return cli_usage("--memory is from 1M to %" PRIu64 "G here, not '%s'", OPTION_MEMORY_MAX >> 30,
                   (const char *)value.data);
}

static int option_wait(cli_command *command, varve_slice value) {
  uint64_t seconds, max = UINT32_MAX / 1000;
  if (!option_number(value, false, &seconds) || seconds > max) {
    return cli_usage("--wait takes a number of seconds up to %" PRIu64 ", not '%s'", max, (const char *)value.data);
  }
  command->wait_ms = (uint32_t)seconds * 1000;
  return CLI_OK;
}

static int option_set(cli_command *command, const option_row *row, varve_slice value) {
  const char *text = value.data;
  switch (row->bit) {
    case CLI_OPT_KEYSPACE:
      if (value.size > VARVE_KEYSPACE_NAME_MAX) return cli_usage("the name of a keyspace has at most 255 bytes");
      command->keyspace = value;
      break;
    case CLI_OPT_PREFIX:
      command->prefix = value;
      break;
    case CLI_OPT_FROM:
      command->from = value;
      break;
    case CLI_OPT_TO:
      command->to = value;
      break;
    case CLI_OPT_FORMAT:
      return option_format(command, value);
    case CLI_OPT_MEMORY:
      return option_memory(command, value);
    case CLI_OPT_WAIT:
      return option_wait(command, value);
    case CLI_OPT_LIMIT:
      if (option_number(value, false, &command->limit)) break;
      return cli_usage("--limit takes a number, not '%s'", text);
    case CLI_OPT_N:
      if (option_number(value, false, &command->n) && command->n > 0 && command->n <= UINT32_MAX) break;
      return cli_usage("--n takes a number from 1 to 4294967295, not '%s'", text);
    default:
      break;
  }
  return CLI_OK;
}

static int option_unknown(const char *name, size_t size) {
  const char *nearest = NULL;
  size_t best = size <= 3 ? 2 : 3; /* less than this */
  for (size_t i = 0; i < OPTION_ROWS_COUNT; i++) {
    const char *other = option_rows[i].name;
    size_t distance = cli_distance((varve_slice){name, size}, VARVE_STR(other));
    bool begins = size >= 2 && strlen(other) > size && memcmp(other, name, size) == 0;
    if (begins) distance = 0;
    if (distance >= best) continue;
    best = distance;
    nearest = other;
  }
  if (nearest != NULL) {
    return cli_usage("there is no option '--%.*s'; did you mean --%s? (`--` goes before a key that begins with --)",
                     (int)size, name, nearest);
  }
  return cli_usage(
      "there is no option '--%.*s'; `varve --help` lists them all, and `--` goes before a key that begins "
      "with --",
      (int)size, name);
}

/* The argument at *at is an option; takes the next one too when it is its value. */
static int option_take(cli_command *command, const varve_slice *arguments, size_t count, size_t *at) {
  const char *name = (const char *)arguments[*at].data + 2;
  size_t length = arguments[*at].size - 2;
  const char *equals = memchr(name, '=', length);
  size_t name_length = equals == NULL ? length : (size_t)(equals - name);
  for (size_t i = 0; i < OPTION_ROWS_COUNT; i++) {
    const option_row *row = &option_rows[i];
    if (strlen(row->name) != name_length || memcmp(row->name, name, name_length) != 0) continue;
    varve_slice value = {"", 0};
    if (row->value == NULL && equals != NULL) return cli_usage("--%s takes no value", row->name);
    if (row->value != NULL && equals != NULL) {
      value = (varve_slice){equals + 1, length - name_length - 1};
    } else if (row->value != NULL) {
      if (*at + 1 >= count) return cli_usage("--%s needs a value: --%s %s", row->name, row->name, row->value);
      value = arguments[++*at];
    }
    command->given |= row->bit;
    return option_set(command, row, value);
  }
  return option_unknown(name, name_length);
}

/* A first word with a dash is a slip, never a path: `varve -x` must not make a database called -x. */
static int option_letter(cli_command *command, const char *text) {
  if (strcmp(text, "-v") == 0 || strcmp(text, "-V") == 0) {
    command->given |= CLI_OPT_VERSION;
    return CLI_OK;
  }
  return cli_usage("there is no option '%s'; `varve --help` lists them all, and a path may be ./%s", text, text);
}

int cli_command_parse(cli_command *command, const varve_slice *arguments, size_t count) {
  *command = (cli_command){.limit = UINT64_MAX};
  bool only_words = false;
  for (size_t at = 0; at < count; at++) {
    const char *text = arguments[at].data;
    size_t size = arguments[at].size;
    CLI_ASSERT(text != NULL && text[size] == '\0');
    if (!only_words && size == 2 && memcmp(text, "--", 2) == 0) {
      only_words = true;
    } else if (!only_words && size > 2 && memcmp(text, "--", 2) == 0) {
      int failed = option_take(command, arguments, count, &at);
      if (failed) return failed;
    } else if (!only_words && size == 2 && memcmp(text, "-h", 2) == 0) {
      command->given |= CLI_OPT_HELP;
    } else if (!only_words && command->words_count == 0 && text[0] == '-') {
      int failed = option_letter(command, text);
      if (failed) return failed;
    } else {
      if (command->words_count == CLI_WORDS_MAX) return cli_usage("there are too many arguments, from '%s' on", text);
      command->words[command->words_count++] = arguments[at];
    }
  }
  return CLI_OK;
}

#undef OPTION_ROWS_COUNT
#undef OPTION_MEMORY_MIN
#undef OPTION_MEMORY_MAX
