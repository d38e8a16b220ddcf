/* cli_load.c: rows from a stream into the database.
 *
 * Two formats: JSON lines (cli_json_lines.c), and raw records, which begin with a line of their own:
 *
 *     "varve-raw 1\n"  { varint key size, varint value size, key, value }*  varint 0, varint number of records
 *
 * Varints are LEB128: seven bits a byte, the lowest first, the high bit set in all but the last. A key is not
 * empty here: a key size of 0 is the end mark; the number behind it shows that nothing is missing, and nothing follows.
 *
 * Invariant: the rows in the database are always the first ones of the stream, in whole commits. When something
 * is wrong with a row, those before it are committed, and the message says how many they are.
 */
#include <inttypes.h>
#include <string.h>

#include "cli.h"

#define LOAD_BATCH_ROWS  1000u
#define LOAD_BATCH_BYTES ((size_t)1 << 20)

typedef struct loader {
  cli_state *cli;
  cli_input input;
  cli_progress progress;
  varve_batch *batch;
  varve_keyspace *keyspace; /* of the last row */
  cli_buf keyspace_name;
  uint64_t rows;      /* read */
  uint64_t committed; /* in the database */
  uint64_t total;     /* bytes of input; 0 when not known */
} loader;

/* Says how much is in the database; comes behind every message that stopped a load. */
static int load_stopped(const loader *load, int exit_status) {
  const char *which = load->committed == 1 ? "row, the first one, is" : "rows, the first ones, are";
  fprintf(stderr, "varve: the load stopped there; %" PRIu64 " %s in the database\n", load->committed, which);
  return exit_status;
}

static int load_commit(loader *load) {
  if (varve_batch_count(load->batch) == 0) return CLI_OK;
  int status = varve_write(load->cli->db, load->batch, NULL);
  if (status != VARVE_OK) return load_stopped(load, cli_db_failed(load->cli->db, status));
  load->committed += varve_batch_count(load->batch);
  CLI_ASSERT(load->committed <= load->rows);
  varve_batch_clear(load->batch);
  if (cli_progress_tick(&load->progress, load->total > 0 ? load->input.taken : load->rows, load->total) == 0)
    return CLI_OK;
  return load_stopped(load, cli_fail(CLI_ERROR, "interrupted"));
}

/* A row is wrong: what came before it is kept. `where` is "line" or "record". */
static int load_bad_row(loader *load, const char *where, uint64_t number, size_t column, const char *wrong) {
  int failed = load_commit(load);
  if (failed) return failed;
  if (column > 0) {
    (void)cli_usage("%s, %s %" PRIu64 ", byte %zu: %s", load->input.name, where, number, column, wrong);
  } else {
    (void)cli_usage("%s, %s %" PRIu64 ": %s", load->input.name, where, number, wrong);
  }
  return load_stopped(load, CLI_USAGE);
}

/* Makes load->keyspace the one called `name`. */
static int load_keyspace(loader *load, varve_slice name) {
  if (cli_slice_compare(name, cli_buf_slice(&load->keyspace_name)) == 0) return CLI_OK;
  int failed = cli_keyspace(load->cli, name, true, &load->keyspace);
  if (failed) return load_stopped(load, failed);
  load->keyspace_name.size = 0;
  cli_buf_append(&load->keyspace_name, name.data, name.size);
  return load->keyspace_name.failed ? load_stopped(load, cli_no_memory()) : CLI_OK;
}

static int load_row(loader *load, const char *where, uint64_t number, varve_slice key, varve_slice value) {
  int status = varve_batch_put(load->batch, load->keyspace, key, value);
  if (status == VARVE_LIMIT) {
    /* The batch is full before its time: a very large value comes next. */
    int failed = load_commit(load);
    if (failed) return failed;
    status = varve_batch_put(load->batch, load->keyspace, key, value);
  }
  if (status == VARVE_KEY_TOO_LARGE || status == VARVE_VALUE_TOO_LARGE) {
    return load_bad_row(load, where, number, 0, varve_errmsg(load->cli->db));
  }
  if (status != VARVE_OK) return load_stopped(load, cli_db_failed(load->cli->db, status));
  load->rows++;
  bool full = varve_batch_count(load->batch) >= LOAD_BATCH_ROWS || varve_batch_size(load->batch) >= LOAD_BATCH_BYTES;
  return full ? load_commit(load) : CLI_OK;
}

/* ---- JSON lines ---- */

static bool load_is_blank(varve_slice line) {
  const char *p = line.data;
  for (size_t i = 0; i < line.size; i++) {
    if (p[i] != ' ' && p[i] != '\t' && p[i] != '\r') return false;
  }
  return true;
}

static int load_json_line(loader *load, cli_row *row, varve_slice line, uint64_t number) {
  size_t column = 0;
  const char *wrong = cli_json_parse(line, row, &column);
  if (wrong != NULL) return load_bad_row(load, "line", number, column, wrong);
  int failed = load_keyspace(load, row->has_keyspace ? cli_buf_slice(&row->keyspace) : load->cli->keyspace);
  if (failed) return failed;
  return load_row(load, "line", number, cli_buf_slice(&row->key), cli_buf_slice(&row->value));
}

static int load_json(loader *load) {
  cli_row row = {0};
  varve_slice line;
  int failed = CLI_OK;
  for (uint64_t number = 1; !failed && cli_input_line(&load->input, &line); number++) {
    if (!load_is_blank(line)) failed = load_json_line(load, &row, line, number);
  }
  cli_row_free(&row);
  return failed;
}

/* ---- raw records ---- */

/* NULL, or what is wrong. */
static const char *load_varint(loader *load, uint64_t max, uint64_t *number) {
  *number = 0;
  for (unsigned shift = 0; shift < 63; shift += 7) {
    varve_slice byte;
    if (!cli_input_peek(&load->input, 1, &byte)) return "the stream ends inside a record; its end mark is missing";
    unsigned char c = *(const unsigned char *)byte.data;
    cli_input_take(&load->input, 1);
    *number |= (uint64_t)(c & 0x7f) << shift;
    if (c < 0x80) return *number > max ? "a size is larger than a database can hold" : NULL;
  }
  return "a number has too many bytes";
}

/* Reads one record; *end is set at the end mark. NULL, or what is wrong. */
static const char *load_raw_record(loader *load, varve_slice *key, varve_slice *value, bool *end) {
  uint64_t key_size, value_size, records;
  const char *wrong = load_varint(load, VARVE_KEY_SIZE_MAX, &key_size);
  if (wrong != NULL) return wrong;
  *end = key_size == 0;
  if (*end) {
    wrong = load_varint(load, UINT64_MAX, &records);
    if (wrong != NULL) return wrong;
    if (records != load->rows) return "the end mark counts other records than there were; some are missing";
    varve_slice more;
    return cli_input_peek(&load->input, 1, &more) ? "there is something behind the end mark" : NULL;
  }
  wrong = load_varint(load, VARVE_VALUE_SIZE_MAX, &value_size);
  if (wrong != NULL) return wrong;
  varve_slice both;
  size_t size = (size_t)key_size + (size_t)value_size;
  if (!cli_input_peek(&load->input, size, &both)) return "the stream ends inside a record";
  *key = (varve_slice){both.data, (size_t)key_size};
  *value = (varve_slice){(const char *)both.data + key_size, (size_t)value_size};
  return NULL;
}

static int load_raw(loader *load) {
  cli_input_take(&load->input, strlen(CLI_RAW_MAGIC));
  int failed = load_keyspace(load, load->cli->keyspace);
  for (uint64_t number = 1; !failed; number++) {
    varve_slice key = {0}, value = {0};
    bool end = false;
    const char *wrong = load_raw_record(load, &key, &value, &end);
    if (cli_input_failed(&load->input)) break;
    if (wrong != NULL) return load_bad_row(load, "record", number, 0, wrong);
    if (end) break;
    failed = load_row(load, "record", number, key, value);
    if (!failed) cli_input_take(&load->input, key.size + value.size);
  }
  return failed;
}

static int load_stream(loader *load) {
  size_t magic_size = strlen(CLI_RAW_MAGIC);
  varve_slice begin;
  bool raw = cli_input_peek(&load->input, magic_size, &begin) && memcmp(begin.data, CLI_RAW_MAGIC, magic_size) == 0;
  if (!raw && !cli_input_failed(&load->input) && (load->cli->command.given & CLI_OPT_RAW) != 0) {
    return cli_usage("%s: raw records begin with the line \"varve-raw 1\", and these do not; nothing was loaded",
                     load->input.name);
  }
  int failed = raw ? load_raw(load) : load_json(load);
  if (failed) return failed;
  failed = load_commit(load);
  if (failed) return failed;
  if (cli_input_failed(&load->input)) return load_stopped(load, cli_input_report(&load->input));
  int status = varve_sync(load->cli->db);
  if (status != VARVE_OK) return load_stopped(load, cli_db_failed(load->cli->db, status));
  CLI_ASSERT(load->committed == load->rows);
  return CLI_OK;
}

int cli_run_load(cli_state *cli) {
  loader load = {.cli = cli};
  bool standard = cli->words_count == 0 || cli_slice_is(cli->words[0], "-");
  int failed = cli_input_open(&load.input, standard ? NULL : cli->words[0].data);
  if (failed) return failed;
  int status = varve_batch_create(&load.batch);
  if (status != VARVE_OK) {
    cli_input_close(&load.input);
    return cli_db_failed(cli->db, status);
  }
  if (standard) cli_reading_input();
  load.total = terminal_file_size(load.input.file);
  cli_progress_begin(&load.progress, "load");
  failed = load_stream(&load);
  cli_progress_end(&load.progress);
  if (!failed) (void)cli_print(&cli->out, "loaded %" PRIu64 " row%s\n", load.committed, cli_plural(load.committed));
  varve_batch_destroy(load.batch);
  cli_buf_free(&load.keyspace_name);
  cli_input_close(&load.input);
  return failed;
}

#undef LOAD_BATCH_ROWS
#undef LOAD_BATCH_BYTES
