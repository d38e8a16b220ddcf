/* cli_verbs_data.c: get, put, del, scan, count, keyspaces, drop. */
#include <inttypes.h>

#include "cli.h"

#define DATA_BUFFER ((size_t)1 << 16)

/* The format of this verb: what was asked for, else the shell's mode, else `otherwise`. */
static cli_format data_format(const cli_state *cli, cli_format otherwise) {
  if (cli->command.format != CLI_FORMAT_DEFAULT) return cli->command.format;
  if (cli->format != CLI_FORMAT_DEFAULT) return cli->format;
  return cli->shell ? CLI_FORMAT_TEXT : otherwise;
}

static void data_append(cli_buf *buf, cli_format format, varve_slice bytes) {
  if (format == CLI_FORMAT_HEX) {
    cli_hex_append(buf, bytes);
  } else if (format == CLI_FORMAT_RAW) {
    cli_buf_append(buf, bytes.data, bytes.size);
  } else {
    CLI_ASSERT(format == CLI_FORMAT_TEXT);
    cli_escaped_append(buf, bytes);
  }
}

/* Writes what is in the buffer and empties it. False: stop. */
static bool data_flush(cli_state *cli, cli_buf *buf) {
  bool written = !buf->failed && cli_write(&cli->out, buf->data, buf->size);
  buf->size = 0;
  return written;
}

static int data_write_value(cli_state *cli, varve_slice key, varve_slice value) {
  cli_format format = data_format(cli, CLI_FORMAT_RAW);
  if (format == CLI_FORMAT_RAW) {
    (void)cli_write(&cli->out, value.data, value.size);
    if (cli->shell || cli->out.terminal) (void)cli_write(&cli->out, "\n", 1);
    return CLI_OK;
  }
  cli_buf buf = {0};
  if (format == CLI_FORMAT_JSON) {
    cli_json_row(&buf, cli->keyspace, key, value);
  } else {
    data_append(&buf, format, value);
    cli_buf_byte(&buf, '\n');
  }
  (void)data_flush(cli, &buf);
  int failed = buf.failed ? cli_no_memory() : CLI_OK;
  cli_buf_free(&buf);
  return failed;
}

int cli_run_get(cli_state *cli) {
  cli_buf store = {0};
  varve_read_options options = {0};
  varve_slice key;
  int failed = cli_key(cli, cli->words[0], &store, &key);
  if (!failed) failed = cli_keyspace(cli, cli->keyspace, false, &options.keyspace);
  if (!failed) {
    varve_value value = {0};
    int status =
        cli->txn != NULL ? varve_txn_get(cli->txn, key, &options, &value) : varve_get(cli->db, key, &options, &value);
    if (status == VARVE_OK) {
      failed = data_write_value(cli, key, (varve_slice){value.data, value.size});
      varve_value_release(&value);
    } else if (status == VARVE_NOTFOUND) {
      /* A script sees the exit status; a person gets a sentence. */
      failed = CLI_NONE;
      if (cli->shell || cli->out.terminal) (void)cli_fail(CLI_NONE, "there is no such key");
    } else {
      failed = cli_db_failed(cli->db, status);
    }
  }
  cli_buf_free(&store);
  return failed;
}

/* All of standard input, up to one byte more than a value may have: then varve_put says that it is too much. */
static int data_read_value(cli_input *input, varve_slice *value) {
  int failed = cli_input_open(input, NULL);
  if (failed) return failed;
  cli_reading_input();
  if (cli_input_peek(input, (size_t)VARVE_VALUE_SIZE_MAX + 1, value)) return CLI_OK;
  if (cli_input_failed(input)) return cli_input_report(input);
  *value = cli_buf_slice(&input->buf);
  return CLI_OK;
}

int cli_run_put(cli_state *cli) {
  cli_buf store = {0};
  cli_input input = {0};
  varve_write_options options = {0};
  varve_slice key, value = {0};
  bool from_input = cli->words_count == 1 || cli_slice_is(cli->words[1], "-");
  int failed = cli_key(cli, cli->words[0], &store, &key);
  if (!failed && from_input) failed = data_read_value(&input, &value);
  if (!failed && !from_input) value = cli->words[1];
  if (!failed) failed = cli_keyspace(cli, cli->keyspace, true, &options.keyspace);
  if (!failed) {
    int status = cli->txn != NULL ? varve_txn_put(cli->txn, options.keyspace, key, value)
                                  : varve_put(cli->db, key, value, &options);
    if (status != VARVE_OK) failed = cli_db_failed(cli->db, status);
  }
  cli_input_close(&input);
  cli_buf_free(&store);
  return failed;
}

static int data_delete(cli_state *cli, const varve_slice key[2], bool range, const varve_write_options *options) {
  if (cli->txn == NULL) {
    return range ? varve_delete_range(cli->db, key[0], key[1], options) : varve_delete(cli->db, key[0], options);
  }
  return range ? varve_txn_delete_range(cli->txn, options->keyspace, key[0], key[1])
               : varve_txn_delete(cli->txn, options->keyspace, key[0]);
}

int cli_run_del(cli_state *cli) {
  cli_buf store[2] = {{0}, {0}};
  varve_slice key[2] = {{0}, {0}};
  varve_write_options options = {0};
  bool range = (cli->command.given & CLI_OPT_RANGE) != 0;
  CLI_ASSERT(cli->words_count == (range ? 2 : 1));
  /* Two variables of a script that were never set look like this. */
  bool open_ended = range && cli->words[0].size == 0 && cli->words[1].size == 0;
  if (open_ended && (cli->command.given & CLI_OPT_ALL) == 0) {
    return cli_usage("both ends of the range are empty, which means every key; with --all they are removed");
  }
  int failed = cli_key(cli, cli->words[0], &store[0], &key[0]);
  if (!failed && range) failed = cli_key(cli, cli->words[1], &store[1], &key[1]);
  if (!failed) failed = cli_keyspace(cli, cli->keyspace, false, &options.keyspace);
  if (!failed) {
    int status = data_delete(cli, key, range, &options);
    if (status != VARVE_OK) failed = cli_db_failed(cli->db, status);
  }
  cli_buf_free(&store[0]);
  cli_buf_free(&store[1]);
  return failed;
}

/* ---- scan ---- */

static void scan_append_json(const cli_state *cli, cli_buf *buf, varve_iter *iter) {
  uint32_t given = cli->command.given;
  if ((given & (CLI_OPT_KEYS | CLI_OPT_VALUES)) == 0) {
    cli_json_row(buf, cli->keyspace, varve_iter_key(iter), varve_iter_value(iter));
    return;
  }
  cli_buf_byte(buf, '{');
  if ((given & CLI_OPT_KEYS) != 0) cli_json_member(buf, "key", varve_iter_key(iter));
  if ((given & CLI_OPT_VALUES) != 0) cli_json_member(buf, "value", varve_iter_value(iter));
  cli_buf_text(buf, "}\n");
}

static void scan_append(const cli_state *cli, cli_buf *buf, cli_format format, varve_iter *iter) {
  uint32_t given = cli->command.given;
  if (format == CLI_FORMAT_JSON) {
    scan_append_json(cli, buf, iter);
    return;
  }
  /* Who gives keys in hex reads them in hex. */
  bool hex_keys = format == CLI_FORMAT_TEXT && (given & CLI_OPT_HEX) != 0;
  if ((given & CLI_OPT_VALUES) == 0) data_append(buf, hex_keys ? CLI_FORMAT_HEX : format, varve_iter_key(iter));
  if ((given & (CLI_OPT_KEYS | CLI_OPT_VALUES)) == 0) cli_buf_byte(buf, '\t');
  if ((given & CLI_OPT_KEYS) == 0) data_append(buf, format, varve_iter_value(iter));
  cli_buf_byte(buf, '\n');
}

int cli_scan_rows(cli_state *cli, varve_iter *iter) {
  bool reverse = (cli->command.given & CLI_OPT_REVERSE) != 0;
  cli_format format = data_format(cli, CLI_FORMAT_TEXT);
  cli_buf buf = {0};
  bool writing = true;
  int status = reverse ? varve_iter_last(iter) : varve_iter_first(iter);
  for (uint64_t left = cli->command.limit; status == VARVE_OK && left > 0 && writing; left--) {
    scan_append(cli, &buf, format, iter);
    /* On a terminal each line is wanted now; elsewhere many lines are one write. */
    if (buf.failed || buf.size >= DATA_BUFFER || cli->out.terminal) writing = data_flush(cli, &buf);
    if (terminal_interrupted()) writing = false;
    if (left > 1) status = reverse ? varve_iter_prev(iter) : varve_iter_next(iter);
  }
  if (writing) (void)data_flush(cli, &buf);
  int failed = buf.failed ? cli_no_memory() : CLI_OK;
  cli_buf_free(&buf);
  if (status < 0) return cli_db_failed(cli->db, status);
  return failed;
}

int cli_run_scan(cli_state *cli) {
  cli_buf store[3] = {{0}, {0}, {0}};
  varve_iter_options options = {0};
  varve_iter *iter = NULL;
  int failed = cli_bounds(cli, store, &options);
  if (!failed) failed = cli_keyspace(cli, cli->keyspace, false, &options.keyspace);
  if (!failed) {
    int status =
        cli->txn != NULL ? varve_txn_iter_open(cli->txn, &options, &iter) : varve_iter_open(cli->db, &options, &iter);
    failed = status != VARVE_OK ? cli_db_failed(cli->db, status) : cli_scan_rows(cli, iter);
  }
  varve_iter_close(iter);
  for (size_t i = 0; i < 3; i++) cli_buf_free(&store[i]);
  return failed;
}

int cli_run_count(cli_state *cli) {
  cli_buf store[3] = {{0}, {0}, {0}};
  varve_iter_options options = {0};
  int failed = cli_bounds(cli, store, &options);
  if (!failed) failed = cli_keyspace(cli, cli->keyspace, false, &options.keyspace);
  if (!failed) {
    uint64_t count = 0;
    int status =
        cli->txn != NULL ? varve_txn_count(cli->txn, &options, &count) : varve_count(cli->db, &options, &count);
    if (status != VARVE_OK) failed = cli_db_failed(cli->db, status);
    if (status == VARVE_OK) (void)cli_print(&cli->out, "%" PRIu64 "\n", count);
  }
  for (size_t i = 0; i < 3; i++) cli_buf_free(&store[i]);
  return failed;
}

/* ---- keyspaces ---- */

int cli_run_keyspaces(cli_state *cli) {
  cli_names names;
  cli_buf buf = {0};
  int status = cli_names_read(cli->db, &names);
  for (size_t i = 0; i < names.count; i++) {
    cli_escaped_append(&buf, cli_buf_slice(&names.names[i]));
    cli_buf_byte(&buf, '\n');
  }
  if (status == VARVE_OK) (void)data_flush(cli, &buf);
  cli_names_free(&names);
  bool failed = buf.failed || status == VARVE_NOMEM;
  cli_buf_free(&buf);
  if (failed) return cli_no_memory();
  return status == VARVE_OK ? CLI_OK : cli_db_failed(cli->db, status);
}

int cli_run_drop(cli_state *cli) {
  int status = varve_keyspace_drop(cli->db, cli->words[0]);
  if (status == VARVE_NOTFOUND) {
    return cli_fail(CLI_NONE, "there is no keyspace '%s'", (const char *)cli->words[0].data);
  }
  return status == VARVE_OK ? CLI_OK : cli_db_failed(cli->db, status);
}

#undef DATA_BUFFER
