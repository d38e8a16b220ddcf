/* fuzz_load.c: what `varve load` reads: lines of JSON and raw records. A row that is accepted is written and read
 * again as the same; a load ends with an exit status and a database that verifies.
 */
#define _XOPEN_SOURCE 700

#include "fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "../../cli/cli.h"

static void load_row(varve_slice line) {
  cli_row row = {0}, again = {0};
  cli_buf out = {0};
  size_t column = 0;
  if (cli_json_parse(line, &row, &column) == NULL) {
    cli_json_row(&out, cli_buf_slice(&row.keyspace), cli_buf_slice(&row.key), cli_buf_slice(&row.value));
    varve_slice text = cli_buf_slice(&out);
    text.size--; /* the newline */
    FUZZ_CHECK(cli_json_parse(text, &again, &column) == NULL);
    FUZZ_CHECK(slice_equal(cli_buf_slice(&row.keyspace), cli_buf_slice(&again.keyspace)));
    FUZZ_CHECK(slice_equal(cli_buf_slice(&row.key), cli_buf_slice(&again.key)));
    FUZZ_CHECK(slice_equal(cli_buf_slice(&row.value), cli_buf_slice(&again.value)));
  } else {
    FUZZ_CHECK(column >= 1 && column <= line.size + 1);
  }
  cli_buf_free(&out);
  cli_row_free(&row);
  cli_row_free(&again);
}

/* The verb itself, with the input as its standard input. */
static void load_verb(const uint8_t *data, size_t size) {
  static FILE *nowhere;
  cli_state cli = {.path = ":memory:"};
  varve_options o = {.no_thread = true, .memory_bytes = 1};
  FILE *input = stdin, *errors = stderr;
  if (nowhere == NULL) nowhere = fopen("/dev/null", "w");
  FUZZ_CHECK(nowhere != NULL && varve_open(":memory:", &o, &cli.db) >= 0);
  stdin = fmemopen((void *)(uintptr_t)data, size, "rb");
  FUZZ_CHECK(stdin != NULL);
  stderr = nowhere;
  cli.out = (cli_output){.file = nowhere, .name = "nowhere"};
  int status = cli_run_load(&cli);
  stderr = errors;
  (void)fclose(stdin);
  stdin = input;
  FUZZ_CHECK(status == CLI_OK || status == CLI_USAGE);
  FUZZ_CHECK(varve_verify(cli.db, NULL, NULL, NULL) >= 0);
  FUZZ_CHECK(varve_close(cli.db) >= 0);
}

static void load_run(const uint8_t *data, size_t size) {
  const uint8_t *end = size == 0 ? NULL : memchr(data, '\n', size);
  load_row((varve_slice){data, end == NULL ? size : (size_t)(end - data)});
  if (size > 0) load_verb(data, size);
}

static void load_seeds(fuzz_emit emit, void *context) {
  static const char *const lines[] = {
      "{\"key\":\"a\",\"value\":\"b\"}\n{\"keyspace\":\"s\",\"key\":\"\\u00e9\\n\",\"value64\":\"AAEC/w==\"}\n",
      "{\"key64\":\"/w==\",\"value\":\"\"}\n\n  {\"value\":\"x\" , \"key\":\"\\ud83d\\ude00\"}",
      "varve-raw 1\n\1\2kvv\3\0abc\0\2"};
  emit(context, lines[0], strlen(lines[0]));
  emit(context, lines[1], strlen(lines[1]));
  emit(context, lines[2], 12 + 5 + 5 + 2);
  emit(context, lines[1], strlen(lines[1]) - 8); /* ends inside an escape */
}

const fuzz_target fuzz_load = {"load", 2048, load_run, load_seeds};
