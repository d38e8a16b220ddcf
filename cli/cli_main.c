/* cli_main.c: from argv to an exit status. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define MAIN_ARGUMENTS_MAX 64

static int main_unknown_verb(const cli_state *cli, varve_slice name) {
  const char *nearest = cli_verb_nearest(name);
  const char *text = name.data;
  if (text[0] == '-') return cli_usage("there is no option '%s'; `varve --help` lists them all", text);
  if (cli_verb_find(VARVE_STR(cli->path)) != NULL) {
    return cli_usage("there is no verb '%s'; the path comes first: varve PATH %s …", text, cli->path);
  }
  if (nearest != NULL) return cli_usage("there is no verb '%s'; did you mean '%s'?", text, nearest);
  return cli_usage("there is no verb '%s'; `varve --help` lists them", text);
}

static int main_help(cli_state *cli, varve_slice name) {
  if (cli_slice_is(name, "help")) return cli_help(&cli->out);
  const cli_verb *verb = cli_verb_find(name);
  return verb == NULL ? main_unknown_verb(cli, name) : cli_help_verb(&cli->out, verb);
}

/* Closes what is open. A failure to close is one of the verb too. */
static int main_close(cli_state *cli, int failed) {
  int broken = cli_output_finish(&cli->out);
  if (cli->db != NULL) {
    int status = varve_close(cli->db);
    if (status != VARVE_OK && !failed) failed = cli_db_failed(cli->db, status);
    cli->db = NULL;
  }
  return failed ? failed : broken;
}

static int main_verb(cli_state *cli, const cli_verb *verb) {
  if (verb->shell_only) return cli_usage("`%s` is for the shell: varve %s", verb->name, cli->path);
  cli->words = cli->command.words + 2;
  cli->words_count = cli->command.words_count - 2;
  cli->keyspace = cli->command.keyspace;
  int failed = cli_verb_check(cli, verb);
  if (failed) return failed;
  if (strcmp(cli->path, ":memory:") == 0 && verb->opening != CLI_OPEN_CREATE) {
    return cli_usage(
        "a database in memory is empty at the start, and `%s` is for one that is there; `varve :memory:` "
        "is a shell",
        verb->name);
  }
  if (verb->opening != CLI_OPEN_NOTHING) failed = cli_open(cli, verb->opening);
  return failed ? failed : verb->run(cli);
}

static varve_options main_options(const cli_command *command) {
  varve_options options = {.memory_bytes = command->memory, .lock_wait_ms = command->wait_ms};
  options.read_only = (command->given & CLI_OPT_READ_ONLY) != 0;
  if ((command->given & CLI_OPT_STRICT) != 0) options.durability = VARVE_STRICT;
  return options;
}

static int main_run(cli_state *cli) {
  const cli_command *command = &cli->command;
  bool wants_help = (command->given & CLI_OPT_HELP) != 0;
  bool version = command->words_count == 1 && cli_slice_is(command->words[0], "version");
  if (version || (command->given & CLI_OPT_VERSION) != 0) {
    (void)cli_print(&cli->out, "varve %s\n", varve_version());
    return CLI_OK;
  }
  if (command->words_count == 0) {
    if (wants_help) return cli_help(&cli->out);
    return cli_usage("which database? The form is `varve PATH [VERB …]`; see `varve --help`");
  }
  cli->path = command->words[0].data;
  cli->options = main_options(command);
  if (strcmp(cli->path, "help") == 0) {
    return command->words_count == 1 ? cli_help(&cli->out) : main_help(cli, command->words[1]);
  }
  if (cli->path[0] == '\0') return cli_usage("the path of the database is empty");
  if (command->words_count == 1) {
    if (wants_help) return cli_help(&cli->out);
    return cli_run_shell(cli);
  }
  const cli_verb *verb = cli_verb_find(command->words[1]);
  if (verb == NULL) return main_unknown_verb(cli, command->words[1]);
  return wants_help ? cli_help_verb(&cli->out, verb) : main_verb(cli, verb);
}

int main(int argc, char **argv) {
  static cli_state cli;
  varve_slice arguments[MAIN_ARGUMENTS_MAX];
  size_t count = 0;
  terminal_prepare();
  cli.out = (cli_output){.file = stdout, .name = "standard output", .terminal = terminal_is(stdout)};
  if (argc > MAIN_ARGUMENTS_MAX) return cli_usage("there are too many arguments");
  for (int i = 1; i < argc; i++) arguments[count++] = VARVE_STR(argv[i]);
  int failed = cli_command_parse(&cli.command, arguments, count);
  if (!failed) failed = main_run(&cli);
  return main_close(&cli, failed);
}

#undef MAIN_ARGUMENTS_MAX
