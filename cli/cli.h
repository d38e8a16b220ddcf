/* cli.h: what the files of the command-line program share.
 *
 * The program is a thin layer over include/varve.h and nothing else of the engine. A command is parsed to a
 * struct cli_command (cli_options.c), looked up in the table of verbs (cli_verbs.c) and run with a struct cli_state
 * that holds the open database. The shell (cli_shell.c) feeds lines through the same three steps, so a verb behaves
 * alike in both. What differs between hosts is in cli_terminal_{posix,none}.c and cli_line_{edit,none}.c, of
 * which the build takes one each.
 *
 * Ownership: words and option values of a command borrow from argv or from the shell's line.
 */
#ifndef VARVE_CLI_H
#define VARVE_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "varve.h"

#if defined(__GNUC__)
#define CLI_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define CLI_PRINTF(text, first)
#endif

/* A promise of this program, checked in every build. */
#define CLI_ASSERT(condition) ((condition) ? (void)0 : cli_assert_failed(#condition, __FILE__, __LINE__))
void cli_assert_failed(const char *condition, const char *file, int line);

/* Exit statuses; the manual (cli_help.c) explains them to the user. */
enum cli_exit { CLI_OK = 0, CLI_NONE = 1, CLI_USAGE = 2, CLI_ERROR = 3, CLI_CORRUPT = 4, CLI_LOCKED = 5, CLI_LOST = 6 };

/* ---- bytes: growing buffers, UTF-8, hex, base64, varints (cli_bytes.c) ---- */

typedef struct cli_buf {
  char *data;
  size_t size, capacity;
  bool failed; /* out of memory: every later append does nothing */
} cli_buf;

void cli_buf_free(cli_buf *buf);
bool cli_buf_reserve(cli_buf *buf, size_t more); /* room for `more` bytes after size */
void cli_buf_append(cli_buf *buf, const void *data, size_t size);
void cli_buf_byte(cli_buf *buf, unsigned char byte);
void cli_buf_text(cli_buf *buf, const char *text);
void cli_buf_varint(cli_buf *buf, uint64_t value);
varve_slice cli_buf_slice(const cli_buf *buf);

int cli_slice_compare(varve_slice a, varve_slice b); /* as the database orders keys */
bool cli_slice_is(varve_slice slice, const char *text);

/* The length of the well-formed UTF-8 sequence at `p` (1 to 4), or 0. Surrogates and overlong forms are not. */
size_t cli_utf8_sequence(const unsigned char *p, size_t left);
bool cli_utf8_valid(varve_slice text);
void cli_utf8_append(cli_buf *buf, uint32_t code_point);

void cli_hex_append(cli_buf *buf, varve_slice bytes);
bool cli_hex_decode(varve_slice text, cli_buf *out); /* false: not an even number of hex digits */
int cli_hex_digit(unsigned char c);                  /* -1: none */
void cli_base64_append(cli_buf *buf, varve_slice bytes);
bool cli_base64_decode(varve_slice text, cli_buf *out);   /* false: not canonical padded base64 */
void cli_escaped_append(cli_buf *buf, varve_slice bytes); /* the text format: \\ \t \n \r \xNN */

/* ---- output (cli_output.c) ---- */

/* Where results go. After the first failed write nothing more is written and cli_output_finish tells. */
typedef struct cli_output {
  FILE *file;
  const char *name; /* for messages */
  int error;        /* errno of the first failure */
  bool terminal;
} cli_output;

bool cli_write(cli_output *out, const void *data, size_t size); /* false: stop */
bool cli_print(cli_output *out, const char *format, ...) CLI_PRINTF(2, 3);
int cli_output_finish(cli_output *out); /* flushes; an exit status. A reader that went away is no failure */

/* ---- options and commands (cli_options.c) ---- */

typedef enum cli_format {
  CLI_FORMAT_DEFAULT,
  CLI_FORMAT_TEXT,
  CLI_FORMAT_JSON,
  CLI_FORMAT_RAW,
  CLI_FORMAT_HEX
} cli_format;

/* One bit an option: which were given, and which a verb takes. */
enum cli_option_bit {
  CLI_OPT_KEYSPACE = 1 << 0,
  CLI_OPT_HEX = 1 << 1,
  CLI_OPT_STRICT = 1 << 2,
  CLI_OPT_READ_ONLY = 1 << 3,
  CLI_OPT_MEMORY = 1 << 4,
  CLI_OPT_PREFIX = 1 << 5,
  CLI_OPT_FROM = 1 << 6,
  CLI_OPT_TO = 1 << 7,
  CLI_OPT_REVERSE = 1 << 8,
  CLI_OPT_LIMIT = 1 << 9,
  CLI_OPT_KEYS = 1 << 10,
  CLI_OPT_VALUES = 1 << 11,
  CLI_OPT_FORMAT = 1 << 12,
  CLI_OPT_JSON = 1 << 13,
  CLI_OPT_RAW = 1 << 14,
  CLI_OPT_RANGE = 1 << 15,
  CLI_OPT_N = 1 << 16,
  CLI_OPT_HELP = 1 << 17,
  CLI_OPT_VERSION = 1 << 18,
  CLI_OPT_ALL = 1 << 19,
  CLI_OPT_FORCE = 1 << 20,
  CLI_OPT_WAIT = 1 << 21
};
#define CLI_OPT_LAST    CLI_OPT_WAIT
#define CLI_OPT_ALWAYS  (CLI_OPT_MEMORY | CLI_OPT_READ_ONLY | CLI_OPT_WAIT | CLI_OPT_HELP)
#define CLI_OPT_BOUNDS  (CLI_OPT_PREFIX | CLI_OPT_FROM | CLI_OPT_TO | CLI_OPT_HEX)
#define CLI_OPT_OPENING (CLI_OPT_MEMORY | CLI_OPT_READ_ONLY | CLI_OPT_WAIT | CLI_OPT_STRICT)

#define CLI_WORDS_MAX 8

typedef struct cli_command {
  uint32_t given; /* bits of the options that were there */
  varve_slice keyspace, prefix, from, to;
  uint64_t memory, limit, n;
  uint32_t wait_ms;
  cli_format format;
  varve_slice words[CLI_WORDS_MAX]; /* what is no option; each is followed by a NUL that is not counted */
  size_t words_count;
} cli_command;

/* CLI_OK or CLI_USAGE, said on standard error. */
int cli_command_parse(cli_command *command, const varve_slice *arguments, size_t count);
const char *cli_option_name(uint32_t bit);
const char *cli_option_value_name(uint32_t bit); /* NULL: the option takes no value */

/* ---- verbs (cli_verbs.c) ---- */

typedef struct cli_state {
  const char *path;
  varve_txn *txn;        /* of the shell, NULL = none */
  varve_db *db;          /* NULL for verbs that open none, and in a shell as long as there is none */
  varve_options options; /* of the command line; cli_open adds how the verb opens */
  cli_output out;
  cli_command command;
  varve_slice *words; /* of the command, behind the path and the verb */
  size_t words_count;
  bool shell;           /* the verb came from the shell: standard input is not its own */
  bool read_only;       /* how the database was opened */
  varve_slice keyspace; /* of the command, or the shell's current one; empty = the default */
  cli_format format;    /* the shell's mode, or DEFAULT */
} cli_state;

typedef enum cli_opening { CLI_OPEN_NOTHING, CLI_OPEN_READ, CLI_OPEN_EXISTING, CLI_OPEN_CREATE } cli_opening;

typedef struct cli_verb {
  const char *name, *arguments, *summary;
  const char *shell_arguments, *shell_summary; /* where the shell's differ, else NULL */
  const char *detail;                          /* the paragraphs of `help VERB` */
  uint32_t options;
  uint8_t words_min, words_max;
  cli_opening opening;
  bool in_shell;
  bool shell_only;
  int (*run)(cli_state *cli); /* an exit status */
} cli_verb;

extern const cli_verb cli_verbs[];
extern const size_t cli_verbs_count;
const cli_verb *cli_verb_find(varve_slice name);
const char *cli_verb_nearest(varve_slice name); /* NULL: nothing is near */
/* How many letters must be put in, left out, replaced or swapped with their neighbour. Long names are far away. */
size_t cli_distance(varve_slice one, varve_slice other);

const char *cli_verb_arguments(const cli_verb *verb, bool shell);
bool cli_verb_writes(const cli_verb *verb);

/* Checks options and words of cli->command against the verb. CLI_OK or CLI_USAGE. */
int cli_verb_check(const cli_state *cli, const cli_verb *verb);

/* Opens cli->db for `opening`. An exit status. */
int cli_open(cli_state *cli, cli_opening opening);

/* The keyspace of the command, NULL for the default one. When `create` is false a keyspace that is not there is
 * CLI_NONE, said on standard error. */
int cli_keyspace(cli_state *cli, varve_slice name, bool create, varve_keyspace **keyspace);

/* Names of all keyspaces in order, each as a NUL-free or not string of bytes. Free with cli_names_free. */
typedef struct cli_names {
  cli_buf *names;
  size_t count, capacity;
  bool failed;
} cli_names;
int cli_names_read(varve_db *db, cli_names *names); /* a varve status */
void cli_names_free(cli_names *names);

/* A key as it was typed: the bytes, or what the hex digits mean with --hex (kept in `store`). */
int cli_key(const cli_state *cli, varve_slice word, cli_buf *store, varve_slice *key);
/* The bounds of the command (--prefix, --from, --to), with their bytes kept in `store[3]`. */
int cli_bounds(const cli_state *cli, cli_buf store[3], varve_iter_options *bounds);

/* ---- messages (cli_message.c): one line on standard error; each returns the exit status ---- */

int cli_fail(int exit_status, const char *format, ...) CLI_PRINTF(2, 3);
int cli_usage(const char *format, ...) CLI_PRINTF(1, 2);
int cli_db_failed(const varve_db *db, int status);
int cli_exit_of(int status);
int cli_no_memory(void);
void cli_size_text(char text[32], uint64_t bytes);   /* "1.5 MiB" */
void cli_count_text(char text[32], uint64_t number); /* "1,234,567" */
const char *cli_plural(uint64_t number);             /* what is put behind a word: "" or "s" */
void cli_message_line(uint64_t number);              /* the line of a script that messages are about; 0 = none */
void cli_reading_input(void);                        /* on a terminal, says what the program waits for */

/* ---- the verbs themselves ---- */

int cli_run_get(cli_state *cli);
int cli_run_put(cli_state *cli);
int cli_run_del(cli_state *cli);
int cli_run_scan(cli_state *cli);
int cli_run_count(cli_state *cli);
int cli_run_load(cli_state *cli);
int cli_run_dump(cli_state *cli);
int cli_run_stats(cli_state *cli);
int cli_run_verify(cli_state *cli);
int cli_run_compact(cli_state *cli);
int cli_run_backup(cli_state *cli);
int cli_run_restore(cli_state *cli);
int cli_run_convert(cli_state *cli);
int cli_run_repair(cli_state *cli);
int cli_run_bench(cli_state *cli);
int cli_run_keyspaces(cli_state *cli);
int cli_run_drop(cli_state *cli);
int cli_run_begin(cli_state *cli);
int cli_run_commit(cli_state *cli);
int cli_run_rollback(cli_state *cli);
int cli_run_savepoint(cli_state *cli);
int cli_run_release(cli_state *cli);
int cli_run_index(cli_state *cli);
int cli_run_shell(cli_state *cli); /* of `varve PATH` without a verb */

/* Writes the rows of an iterator as scan does, within --limit and --reverse. */
int cli_scan_rows(cli_state *cli, varve_iter *iter);
/* Rolls back the shell's transaction, if there is one. */
void cli_end_txn(cli_state *cli);

/* ---- JSON lines (cli_json_lines.c) and raw records (cli_raw.c) ---- */

/* Appends one line, newline included. An empty keyspace name is the default one. */
void cli_json_row(cli_buf *buf, varve_slice keyspace, varve_slice key, varve_slice value);
/* Appends one member as in a row: "name":"text" or "name64":"base64". */
void cli_json_member(cli_buf *buf, const char *name, varve_slice bytes);
/* Appends `text`, which must be valid UTF-8, as a JSON string. */
void cli_json_string(cli_buf *buf, varve_slice text);

typedef struct cli_row {
  cli_buf keyspace, key, value;
  bool has_keyspace, has_key, has_value;
} cli_row;

/* Reads one line. NULL when it is right, else what is wrong with it; *column counts bytes from 1. */
const char *cli_json_parse(varve_slice line, cli_row *row, size_t *column);
void cli_row_clear(cli_row *row);
void cli_row_free(cli_row *row);

#define CLI_RAW_MAGIC "varve-raw 1\n"

/* ---- input (cli_input.c) ---- */

typedef struct cli_input {
  FILE *file;
  const char *name;
  cli_buf buf;
  size_t at;      /* of the first byte of buf that was not taken */
  uint64_t taken; /* bytes taken from the beginning */
  int error;      /* errno of a failed read */
  bool ended;
} cli_input;

/* Opens a file, or standard input when `path` is NULL. */
int cli_input_open(cli_input *input, const char *path);
void cli_input_close(cli_input *input);
/* Takes a line without its newline; borrowed until the next call. False at the end or after a failure. */
bool cli_input_line(cli_input *input, varve_slice *line);
/* Makes `size` bytes available at once, and shows them without taking them. False: fewer are left. */
bool cli_input_peek(cli_input *input, size_t size, varve_slice *bytes);
void cli_input_take(cli_input *input, size_t size);
bool cli_input_failed(const cli_input *input); /* a read failed or memory ran out */
int cli_input_report(const cli_input *input);  /* says why; an exit status */

/* ---- progress (cli_progress.c) ---- */

typedef struct cli_progress {
  const char *label;
  uint64_t start_us, drawn_us;
  bool terminal, drawn;
} cli_progress;

void cli_progress_begin(cli_progress *progress, const char *label);
int cli_progress_tick(void *progress, uint64_t done, uint64_t total); /* a varve_progress */
void cli_progress_end(cli_progress *progress);

/* ---- help (cli_help.c) ---- */

int cli_help(cli_output *out);
int cli_help_verb(cli_output *out, const cli_verb *verb);
int cli_help_shell(cli_output *out);

/* ---- the host: cli_terminal.c, and one of cli_terminal_posix.c and cli_terminal_none.c ---- */

bool terminal_is(FILE *file);
uint64_t terminal_now_us(void);          /* monotonic */
uint64_t terminal_file_size(FILE *file); /* of a regular file; 0 when not known */
bool terminal_is_directory(FILE *file);
unsigned terminal_width(void);        /* of standard error, in columns */
void terminal_prepare(void);          /* at start: a closed pipe becomes an error, not a death */
void terminal_interrupts_catch(void); /* from here Ctrl-C stops a command, not the program */
bool terminal_interrupted(void);      /* whether Ctrl-C came since the last clear */
void terminal_interrupts_clear(void);

/* ---- lines of the shell: cli_line.c, and one of cli_line_edit.c and cli_line_none.c ---- */

/* The next line of standard input without its newline, to be freed with free(); NULL at the end. */
char *line_plain_read(size_t *size);
void line_edit_begin(void);                             /* reads the history */
char *line_edit_read(const char *prompt, size_t *size); /* as above, with a prompt, and editing where there is any */
void line_edit_end(void);                               /* writes the history */

#endif
