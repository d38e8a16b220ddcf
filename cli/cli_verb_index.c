/* cli_verb_index.c: index: the indexes of a database, and the postings of manual ones. */
#include <inttypes.h>

#include "cli.h"

typedef struct index_command {
  const char *name;
  size_t words_min, words_max; /* behind it */
  const char *form;
  int (*run)(cli_state *cli, varve_index *index, const varve_slice *words);
  bool opens; /* the first word is the name of an index that is there */
} index_command;

static int index_visit(void *context, varve_slice name) {
  cli_buf *buf = context;
  cli_escaped_append(buf, name);
  cli_buf_byte(buf, '\n');
  return 0;
}

static int index_list(cli_state *cli, varve_index *index, const varve_slice *words) {
  (void)index, (void)words;
  cli_buf buf = {0};
  int status = varve_index_list(cli->db, index_visit, &buf);
  if (status == VARVE_OK && !buf.failed) (void)cli_write(&cli->out, buf.data, buf.size);
  bool failed = buf.failed;
  cli_buf_free(&buf);
  if (failed) return cli_no_memory();
  return status == VARVE_OK ? CLI_OK : cli_db_failed(cli->db, status);
}

static int index_create(cli_state *cli, varve_index *index, const varve_slice *words) {
  varve_index_options options = {.kind = VARVE_BTREE};
  for (size_t i = 2; i < cli->words_count; i++) {
    if (cli_slice_is(cli->words[i], "hash")) {
      options.kind = VARVE_HASH;
    } else if (cli_slice_is(cli->words[i], "unique")) {
      options.unique = true;
    } else if (!cli_slice_is(cli->words[i], "btree")) {
      return cli_usage("the form is index create NAME [btree|hash] [unique]");
    }
  }
  int status = varve_index_create(cli->db, words[0], &options, &index);
  return status == VARVE_OK ? CLI_OK : cli_db_failed(cli->db, status);
}

static int index_drop(cli_state *cli, varve_index *index, const varve_slice *words) {
  (void)index;
  int status = varve_index_drop(cli->db, words[0]);
  return status == VARVE_OK ? CLI_OK : cli_db_failed(cli->db, status);
}

static int index_info(cli_state *cli, varve_index *index, const varve_slice *words) {
  (void)words;
  varve_index_info info;
  int status = varve_index_get_info(index, &info);
  if (status != VARVE_OK) return cli_db_failed(cli->db, status);
  (void)cli_print(&cli->out, "%s%s, %s, %" PRIu64 " posting%s\n", info.kind == VARVE_HASH ? "hash" : "btree",
                  info.unique ? ", unique" : "", info.maintained ? "maintains itself" : "manual", info.entries,
                  cli_plural(info.entries));
  return CLI_OK;
}

static int index_insert(cli_state *cli, varve_index *index, const varve_slice *words) {
  int status = varve_index_insert(index, cli->txn, words[1], words[2]);
  return status == VARVE_OK ? CLI_OK : cli_db_failed(cli->db, status);
}

static int index_remove(cli_state *cli, varve_index *index, const varve_slice *words) {
  int status = varve_index_remove(index, cli->txn, words[1], words[2]);
  if (status == VARVE_NOTFOUND) return cli_fail(CLI_NONE, "there is no such posting");
  return status == VARVE_OK ? CLI_OK : cli_db_failed(cli->db, status);
}

/* Writes the postings as scan does: index key, primary key. */
static int index_walk(cli_state *cli, varve_iter *iter, int status) {
  int failed = status == VARVE_OK ? cli_scan_rows(cli, iter) : cli_db_failed(cli->db, status);
  varve_iter_close(iter);
  return failed;
}

static int index_find(cli_state *cli, varve_index *index, const varve_slice *words) {
  varve_iter *iter = NULL;
  int status = varve_index_find(index, cli->txn, words[1], &iter);
  return index_walk(cli, iter, status);
}

static int index_scan(cli_state *cli, varve_index *index, const varve_slice *words) {
  (void)words;
  cli_buf store[3] = {{0}, {0}, {0}};
  varve_iter_options bounds = {0};
  varve_iter *iter = NULL;
  int failed = cli_bounds(cli, store, &bounds);
  if (!failed && bounds.prefix.size > 0 && bounds.lower.size + bounds.upper.size > 0) {
    failed = cli_usage("`index scan` takes --prefix alone, or --from and --to");
  }
  if (!failed) {
    int status = bounds.prefix.size > 0 ? varve_index_prefix(index, cli->txn, bounds.prefix, &iter)
                                        : varve_index_range(index, cli->txn, bounds.lower, bounds.upper, &iter);
    failed = index_walk(cli, iter, status);
  }
  for (size_t i = 0; i < 3; i++) cli_buf_free(&store[i]);
  return failed;
}

static int index_verify(cli_state *cli, varve_index *index, const varve_slice *words) {
  (void)words;
  varve_index_report report = {0};
  int status = varve_index_verify(index, &report, NULL, NULL);
  if (status != VARVE_OK) return cli_db_failed(cli->db, status);
  (void)cli_print(&cli->out, "OK: %" PRIu64 " posting%s\n", report.entries, cli_plural(report.entries));
  return CLI_OK;
}

static const index_command index_commands[] = {
    {"list", 0, 0, "list", index_list, false},
    {"create", 1, 3, "create NAME [btree|hash] [unique]", index_create, false},
    {"drop", 1, 1, "drop NAME", index_drop, true},
    {"info", 1, 1, "info NAME", index_info, true},
    {"insert", 3, 3, "insert NAME KEY PRIMARY", index_insert, true},
    {"remove", 3, 3, "remove NAME KEY PRIMARY", index_remove, true},
    {"find", 2, 2, "find NAME KEY", index_find, true},
    {"scan", 1, 1, "scan NAME", index_scan, true},
    {"verify", 1, 1, "verify NAME", index_verify, true},
};

int cli_run_index(cli_state *cli) {
  const index_command *command = NULL;
  for (size_t i = 0; i < sizeof index_commands / sizeof index_commands[0]; i++) {
    if (cli_slice_is(cli->words[0], index_commands[i].name)) command = &index_commands[i];
  }
  if (command == NULL) {
    return cli_usage("`index` goes before list, create, drop, info, insert, remove, find, scan or verify");
  }
  size_t count = cli->words_count - 1;
  if (count < command->words_min || count > command->words_max) return cli_usage("the form is index %s", command->form);
  const varve_slice *words = cli->words + 1;
  varve_index *index = NULL;
  if (command->opens) {
    int status = varve_index_open(cli->db, words[0], NULL, &index);
    if (status == VARVE_NOTFOUND) return cli_fail(CLI_NONE, "there is no index '%s'", (const char *)words[0].data);
    if (status != VARVE_OK) return cli_db_failed(cli->db, status);
  }
  return command->run(cli, index, words);
}
