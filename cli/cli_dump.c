/* cli_dump.c: all entries as a stream. The formats are described in cli_json_lines.c and cli_load.c. */
#include <errno.h>
#include <string.h>

#include "cli.h"

#define DUMP_BUFFER ((size_t)1 << 16)

typedef struct dumper {
  cli_state *cli;
  cli_output *out;
  varve_snapshot *snapshot; /* every keyspace is read from one state */
  cli_buf buf;
  uint64_t rows;
  cli_progress *progress; /* of a dump to a file; NULL: standard output may be the terminal */
  bool raw, stopped;
} dumper;

static void dump_flush(dumper *dump) {
  if (dump->buf.failed || !cli_write(dump->out, dump->buf.data, dump->buf.size)) dump->stopped = true;
  dump->buf.size = 0;
}

static void dump_row(dumper *dump, varve_slice keyspace, varve_slice key, varve_slice value) {
  if (dump->raw) {
    CLI_ASSERT(key.size > 0); /* would be the end mark */
    cli_buf_varint(&dump->buf, key.size);
    cli_buf_varint(&dump->buf, value.size);
    cli_buf_append(&dump->buf, key.data, key.size);
    cli_buf_append(&dump->buf, value.data, value.size);
  } else {
    cli_json_row(&dump->buf, keyspace, key, value);
  }
  dump->rows++;
  if (dump->buf.failed || dump->buf.size >= DUMP_BUFFER) dump_flush(dump);
  if (dump->progress != NULL) (void)cli_progress_tick(dump->progress, dump->rows, 0);
  if (terminal_interrupted()) dump->stopped = true;
}

static int dump_keyspace(dumper *dump, varve_slice name) {
  varve_iter_options options = {.snapshot = dump->snapshot};
  int failed = cli_keyspace(dump->cli, name, false, &options.keyspace);
  if (failed) return failed;
  varve_iter *iter = NULL;
  int status = varve_iter_open(dump->cli->db, &options, &iter);
  if (status == VARVE_OK) status = varve_iter_first(iter);
  if (status == VARVE_OK && dump->raw && varve_iter_key(iter).size == 0) { /* it sorts first */
    failed = cli_fail(CLI_ERROR, "raw records cannot hold the empty key, which is there; dump without --raw");
    dump->stopped = true;
  }
  while (status == VARVE_OK && !dump->stopped) {
    dump_row(dump, name, varve_iter_key(iter), varve_iter_value(iter));
    status = varve_iter_next(iter);
  }
  if (status < 0) failed = cli_db_failed(dump->cli->db, status);
  varve_iter_close(iter);
  return failed;
}

static int dump_all(dumper *dump) {
  varve_slice none = {"", 0};
  cli_names names;
  int status = cli_names_read(dump->cli->db, &names);
  int failed = status == VARVE_OK ? dump_keyspace(dump, none) : cli_db_failed(dump->cli->db, status);
  for (size_t i = 0; !failed && !dump->stopped && i < names.count; i++) {
    failed = dump_keyspace(dump, cli_buf_slice(&names.names[i]));
  }
  cli_names_free(&names);
  return failed;
}

static int dump_write(cli_state *cli, cli_output *out, cli_progress *progress) {
  dumper dump = {.cli = cli, .out = out, .progress = progress, .raw = (cli->command.given & CLI_OPT_RAW) != 0};
  int status = varve_snapshot_open(cli->db, &dump.snapshot);
  if (status != VARVE_OK) return cli_db_failed(cli->db, status);
  if (dump.raw) cli_buf_text(&dump.buf, CLI_RAW_MAGIC);
  bool one = dump.raw || (cli->command.given & CLI_OPT_KEYSPACE) != 0;
  int failed = one ? dump_keyspace(&dump, cli->keyspace) : dump_all(&dump);
  if (dump.raw && !failed && !dump.stopped) {
    cli_buf_varint(&dump.buf, 0);
    cli_buf_varint(&dump.buf, dump.rows);
  }
  if (!failed && !dump.stopped) dump_flush(&dump);
  if (!failed && dump.buf.failed) failed = cli_no_memory();
  if (!failed && terminal_interrupted()) failed = cli_fail(CLI_ERROR, "interrupted; the dump is not complete");
  varve_snapshot_close(dump.snapshot);
  cli_buf_free(&dump.buf);
  return failed;
}

int cli_run_dump(cli_state *cli) {
  if (cli->words_count == 0 || cli_slice_is(cli->words[0], "-")) return dump_write(cli, &cli->out, NULL);
  const char *path = cli->words[0].data;
  cli_output out = {.file = fopen(path, "wb"), .name = path};
  if (out.file == NULL) return cli_fail(CLI_ERROR, "cannot open '%s' for writing: %s", path, strerror(errno));
  cli_progress progress;
  cli_progress_begin(&progress, "dump");
  int failed = dump_write(cli, &out, &progress);
  cli_progress_end(&progress);
  int broken = cli_output_finish(&out);
  if (fclose(out.file) != 0 && !failed && !broken) {
    broken = cli_fail(CLI_ERROR, "cannot close '%s': %s; what is there is not complete", path, strerror(errno));
  }
  return failed ? failed : broken;
}

#undef DUMP_BUFFER
