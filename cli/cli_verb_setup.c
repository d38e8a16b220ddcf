/* cli_verb_setup.c: what each verb needs before it runs: its arguments checked, the database opened in the mildest way
 * that will do, the keyspace, the keys and the bounds.
 *
 * Verbs that only read open read-only, so that nothing on disk changes; only put, load, bench and the shell may
 * make a database. A keyspace is made only by verbs that write to it.
 */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

const char *cli_verb_arguments(const cli_verb *verb, bool shell) {
  return shell && verb->shell_arguments != NULL ? verb->shell_arguments : verb->arguments;
}

/* A backup only reads the database, though it locks it as a writer does when it may. */
bool cli_verb_writes(const cli_verb *verb) {
  return (verb->opening == CLI_OPEN_EXISTING || verb->opening == CLI_OPEN_CREATE) && verb->run != cli_run_backup;
}

static int verb_check_options(const cli_state *cli, const cli_verb *verb) {
  const cli_command *command = &cli->command;
  bool writes = cli_verb_writes(verb);
  uint32_t allowed = verb->options | (cli->shell ? CLI_OPT_HELP : CLI_OPT_ALWAYS);
  if (writes && !cli->shell) allowed |= CLI_OPT_STRICT;
  uint32_t wrong = command->given & ~allowed;
  if (verb->run == cli_run_count && (wrong & CLI_OPT_LIMIT) != 0) {
    return cli_usage("`count` counts all entries within the bounds; --limit is for `scan`");
  }
  if (wrong != 0) {
    uint32_t first = wrong & (~wrong + 1);
    bool opening = cli->shell && (first & CLI_OPT_OPENING) != 0;
    return cli_usage("`%s` does not take --%s; %s%s%s", verb->name, cli_option_name(first),
                     opening ? "give it when the shell is started" : "see `varve help ", opening ? "" : verb->name,
                     opening ? "" : "`");
  }
  uint32_t halves = CLI_OPT_KEYS | CLI_OPT_VALUES;
  if ((command->given & halves) == halves) return cli_usage("--keys and --values do not go together; leave out both");
  if ((command->given & (CLI_OPT_ALL | CLI_OPT_RANGE)) == CLI_OPT_ALL) {
    return cli_usage("--all goes with --range: del --range '' '' --all");
  }
  bool read_only = cli->shell ? cli->read_only : (command->given & CLI_OPT_READ_ONLY) != 0;
  if (writes && read_only) {
    return cli_usage("`%s` changes the database, and --read-only forbids that", verb->name);
  }
  return CLI_OK;
}

int cli_verb_check(const cli_state *cli, const cli_verb *verb) {
  int failed = verb_check_options(cli, verb);
  if (failed) return failed;
  size_t min = verb->words_min, max = verb->words_max;
  if (verb->run == cli_run_del) min = max = (cli->command.given & CLI_OPT_RANGE) != 0 ? 2 : 1;
  /* In the shell standard input holds the commands. */
  bool piped = verb->run == cli_run_put || verb->run == cli_run_load;
  if (cli->shell && piped) min = max;
  if (cli->words_count >= min && cli->words_count <= max) {
    bool dash = cli->shell && piped && cli_slice_is(cli->words[max - 1], "-");
    if (!dash) return CLI_OK;
    return cli_usage("in the shell `%s` cannot read standard input: that holds the commands", verb->name);
  }
  const char *arguments = cli_verb_arguments(verb, cli->shell);
  const char *problem = cli->words_count < min ? "something is missing" : "there is too much";
  return cli_usage("%s: the form is `%s%s%s%s`; see `varve help %s`", problem, cli->shell ? "" : "varve PATH ",
                   verb->name, arguments[0] == '\0' ? "" : " ", arguments, verb->name);
}

int cli_open(cli_state *cli, cli_opening opening) {
  CLI_ASSERT(cli->db == NULL && opening != CLI_OPEN_NOTHING);
  varve_options options = cli->options;
  options.read_only = options.read_only || opening == CLI_OPEN_READ;
  options.must_exist = opening != CLI_OPEN_CREATE;
  int status = varve_open(cli->path, &options, &cli->db);
  if (status != VARVE_OK) return cli_db_failed(NULL, status);
  CLI_ASSERT(cli->db != NULL);
  cli->read_only = options.read_only;
  return CLI_OK;
}

/* ---- keyspaces ---- */

static int names_add(void *context, varve_slice name) {
  cli_names *names = context;
  if (name.size == 0) return 0;
  if (names->count == names->capacity) {
    size_t capacity = names->capacity == 0 ? 16 : names->capacity * 2;
    cli_buf *grown = realloc(names->names, capacity * sizeof *grown);
    if (grown == NULL) {
      names->failed = true;
      return 1;
    }
    names->names = grown;
    names->capacity = capacity;
  }
  cli_buf *copy = &names->names[names->count++];
  *copy = (cli_buf){0};
  cli_buf_append(copy, name.data, name.size);
  names->failed = names->failed || copy->failed;
  return names->failed;
}

static int names_order(const void *a, const void *b) {
  return cli_slice_compare(cli_buf_slice(a), cli_buf_slice(b));
}

int cli_names_read(varve_db *db, cli_names *names) {
  *names = (cli_names){0};
  int status = varve_keyspace_list(db, names_add, names);
  if (names->failed) status = VARVE_NOMEM;
  /* The dump promises the order of bytes, so it does not lean on the order of the list. */
  if (status == VARVE_OK && names->count > 1) qsort(names->names, names->count, sizeof *names->names, names_order);
  return status;
}

void cli_names_free(cli_names *names) {
  for (size_t i = 0; i < names->count; i++) cli_buf_free(&names->names[i]);
  free(names->names);
  *names = (cli_names){0};
}

static int keyspace_missing(const cli_state *cli, varve_slice name) {
  cli_buf shown = {0};
  cli_escaped_append(&shown, name);
  cli_buf_byte(&shown, '\0');
  if (shown.failed) return cli_no_memory();
  int failed = cli_fail(CLI_NONE, "there is no keyspace '%s' in '%s'; the verb keyspaces lists what there is",
                        shown.data, cli->path);
  cli_buf_free(&shown);
  return failed;
}

int cli_keyspace(cli_state *cli, varve_slice name, bool create, varve_keyspace **keyspace) {
  *keyspace = NULL;
  if (name.size == 0) return CLI_OK;
  bool found = create;
  if (!create) {
    cli_names names;
    int status = cli_names_read(cli->db, &names);
    for (size_t i = 0; status == VARVE_OK && !found && i < names.count; i++) {
      found = cli_slice_compare(cli_buf_slice(&names.names[i]), name) == 0;
    }
    cli_names_free(&names);
    if (status == VARVE_NOMEM) return cli_no_memory();
    if (status != VARVE_OK) return cli_db_failed(cli->db, status);
  }
  if (!found) return keyspace_missing(cli, name);
  int status = varve_keyspace_open(cli->db, name, keyspace);
  if (status != VARVE_OK) return cli_db_failed(cli->db, status);
  CLI_ASSERT(*keyspace != NULL);
  return CLI_OK;
}

/* ---- keys and bounds ---- */

int cli_key(const cli_state *cli, varve_slice word, cli_buf *store, varve_slice *key) {
  *key = word;
  if ((cli->command.given & CLI_OPT_HEX) == 0) return CLI_OK;
  if (!cli_hex_decode(word, store)) {
    return cli_usage("with --hex a key is an even number of hex digits, not '%s'", (const char *)word.data);
  }
  if (store->failed) return cli_no_memory();
  *key = cli_buf_slice(store);
  return CLI_OK;
}

int cli_bounds(const cli_state *cli, cli_buf store[3], varve_iter_options *bounds) {
  const cli_command *command = &cli->command;
  int failed = cli_key(cli, command->prefix, &store[0], &bounds->prefix);
  if (!failed) failed = cli_key(cli, command->from, &store[1], &bounds->lower);
  if (!failed) failed = cli_key(cli, command->to, &store[2], &bounds->upper);
  return failed;
}
