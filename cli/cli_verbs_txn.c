/* cli_verbs_txn.c: begin, commit, rollback, savepoint, release: transactions of the shell, one at a time. While one is
 * open get, put, del, scan, count and index work in it (cli_state.txn).
 */
#include <inttypes.h>

#include "cli.h"

static int txn_need(const cli_state *cli) {
  return cli->txn != NULL ? CLI_OK : cli_usage("there is no transaction; `begin` begins one");
}

int cli_run_begin(cli_state *cli) {
  static const char *const levels[] = {"read-committed", "snapshot", "serializable"};
  varve_txn_options options = {.read_only = cli->read_only};
  for (int i = 0; i < 3 && cli->words_count > 0; i++) {
    if (cli_slice_is(cli->words[0], levels[i])) options.isolation = (varve_isolation)(VARVE_READ_COMMITTED + i);
  }
  if (cli->words_count > 0 && options.isolation == VARVE_ISOLATION_DEFAULT) {
    return cli_usage("the levels are read-committed, snapshot and serializable");
  }
  if (cli->txn != NULL) return cli_usage("there is a transaction already; `commit` or `rollback` ends it");
  int status = varve_txn_begin(cli->db, &options, &cli->txn);
  return status == VARVE_OK ? CLI_OK : cli_db_failed(cli->db, status);
}

int cli_run_commit(cli_state *cli) {
  int failed = txn_need(cli);
  if (failed) return failed;
  int status = varve_txn_commit(cli->txn);
  if (status != VARVE_OK) failed = cli_db_failed(cli->db, status);
  cli_end_txn(cli);
  return failed;
}

void cli_end_txn(cli_state *cli) {
  varve_txn_close(cli->txn);
  cli->txn = NULL;
}

/* The number of a savepoint; 0 = none. */
static uint32_t txn_savepoint_of(varve_slice word) {
  uint32_t number = 0;
  for (size_t i = 0; i < word.size; i++) {
    char c = ((const char *)word.data)[i];
    if (c < '0' || c > '9' || number > 1000000) return 0;
    number = 10 * number + (uint32_t)(c - '0');
  }
  return number;
}

static int txn_with_savepoint(cli_state *cli, int (*run)(varve_txn *txn, uint32_t savepoint)) {
  uint32_t savepoint = txn_savepoint_of(cli->words[0]);
  if (savepoint == 0) return cli_usage("a savepoint is a number, which `savepoint` has said");
  int status = run(cli->txn, savepoint);
  return status == VARVE_OK ? CLI_OK : cli_db_failed(cli->db, status);
}

int cli_run_rollback(cli_state *cli) {
  int failed = txn_need(cli);
  if (failed) return failed;
  if (cli->words_count > 0) return txn_with_savepoint(cli, varve_txn_rollback_to);
  cli_end_txn(cli);
  return CLI_OK;
}

int cli_run_savepoint(cli_state *cli) {
  uint32_t savepoint = 0;
  int failed = txn_need(cli);
  if (failed) return failed;
  int status = varve_txn_savepoint(cli->txn, &savepoint);
  if (status != VARVE_OK) return cli_db_failed(cli->db, status);
  (void)cli_print(&cli->out, "savepoint %" PRIu32 "\n", savepoint);
  return CLI_OK;
}

int cli_run_release(cli_state *cli) {
  int failed = txn_need(cli);
  return failed ? failed : txn_with_savepoint(cli, varve_txn_release);
}
