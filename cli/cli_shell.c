/* cli_shell.c: the shell: lines from a terminal, or from a pipe or a file as a script.
 *
 * A line is split into words and goes the way of a command line: options, verb, check, run. The database stays open, so
 * verbs that the command line would run read-only run on the one that is open.
 *
 * As a script the exit status is that of the first line that failed; a key that is not there is not a failure.
 */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define SHELL_WORDS_MAX 32

typedef struct shell_state {
  cli_state *cli;
  bool interactive, timer, done;
  cli_buf keyspace; /* the current one's name */
  int failed;       /* the first failure */
  uint64_t line_number;
} shell_state;

/* ---- the database ---- */

/* Opens it when there was none at the start. Verbs that read or remove then say that there still is none. */
static int shell_need(cli_state *cli, cli_opening opening) {
  if (cli->db != NULL) return CLI_OK;
  return cli_open(cli, opening == CLI_OPEN_CREATE ? CLI_OPEN_CREATE : CLI_OPEN_EXISTING);
}

/* ---- words ---- */

static bool shell_is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}

/* Behind a backslash in double quotes. `at` is on the letter; what is taken moves it. NULL, or what is wrong. */
static const char *shell_escape(varve_slice line, size_t *at, cli_buf *store) {
  const char *p = line.data;
  if (*at >= line.size) return "a quote is not closed";
  char c = p[(*at)++];
  static const char letters[] = "nrt\"\\", meant[] = "\n\r\t\"\\";
  const char *letter = c == '\0' ? NULL : strchr(letters, c);
  if (letter != NULL) {
    cli_buf_byte(store, (unsigned char)meant[letter - letters]);
    return NULL;
  }
  if (c != 'x' || line.size - *at < 2) return "in double quotes a backslash goes before n, r, t, \", \\ or xNN";
  int high = cli_hex_digit((unsigned char)p[*at]), low = cli_hex_digit((unsigned char)p[*at + 1]);
  if (high < 0 || low < 0) return "\\x needs two hex digits";
  cli_buf_byte(store, (unsigned char)(high << 4 | low));
  *at += 2;
  return NULL;
}

/* One word, which may be made of quoted and unquoted parts, to the end of `store`. NULL, or what is wrong. */
static const char *shell_word(varve_slice line, size_t *at, cli_buf *store) {
  const char *p = line.data;
  char quote = '\0';
  while (*at < line.size && (quote != '\0' || !shell_is_blank(p[*at]))) {
    char c = p[(*at)++];
    if (quote == '\0' && (c == '"' || c == '\'')) {
      quote = c;
    } else if (c == quote && quote != '\0') {
      quote = '\0';
    } else if (c == '\\' && quote == '"') {
      const char *wrong = shell_escape(line, at, store);
      if (wrong != NULL) return wrong;
    } else {
      cli_buf_byte(store, (unsigned char)c);
    }
  }
  return quote == '\0' ? NULL : "a quote is not closed";
}

/* Splits the line. The words are in `store`, each with a NUL behind it. NULL, or what is wrong. */
static const char *shell_split(varve_slice line, cli_buf *store, varve_slice words[SHELL_WORDS_MAX], size_t *count) {
  size_t starts[SHELL_WORDS_MAX], at = 0;
  *count = 0;
  for (;;) {
    while (at < line.size && shell_is_blank(((const char *)line.data)[at])) at++;
    if (at == line.size) break;
    if (*count == SHELL_WORDS_MAX) return "there are too many words";
    starts[*count] = store->size;
    const char *wrong = shell_word(line, &at, store);
    if (wrong != NULL) return wrong;
    words[*count].size = store->size - starts[*count];
    ++*count;
    cli_buf_byte(store, '\0');
  }
  if (store->failed) return "out of memory";
  /* The store does not move any more. */
  for (size_t i = 0; i < *count; i++) words[i].data = store->data + starts[i];
  return NULL;
}

/* ---- commands with a dot ---- */

static int shell_set_keyspace(shell_state *shell, varve_slice name) {
  if (name.size > VARVE_KEYSPACE_NAME_MAX) return cli_usage("the name of a keyspace has at most 255 bytes");
  shell->keyspace.size = 0;
  cli_buf_append(&shell->keyspace, name.data, name.size);
  return shell->keyspace.failed ? cli_no_memory() : CLI_OK;
}

static int shell_set_mode(shell_state *shell, varve_slice name) {
  static const char *const names[] = {"", "text", "json", "raw", "hex"};
  for (int i = CLI_FORMAT_DEFAULT; i <= CLI_FORMAT_HEX; i++) {
    if (!cli_slice_is(name, names[i])) continue;
    shell->cli->format = (cli_format)i;
    return CLI_OK;
  }
  return cli_usage("the modes are text, json, raw and hex");
}

static int shell_help(shell_state *shell, varve_slice name) {
  if (name.size == 0) return cli_help_shell(&shell->cli->out);
  const cli_verb *verb = cli_verb_find(name);
  if (verb == NULL) return cli_usage("there is no verb '%s'; .help lists them", (const char *)name.data);
  return cli_help_verb(&shell->cli->out, verb);
}

static bool shell_is_quit(varve_slice name) {
  return cli_slice_is(name, ".quit") || cli_slice_is(name, ".exit") || cli_slice_is(name, "quit") ||
         cli_slice_is(name, "exit");
}

/* Whether the line goes to shell_dot. Three commands are so common elsewhere that they need no dot. */
static bool shell_is_dot(varve_slice name) {
  return ((const char *)name.data)[0] == '.' || shell_is_quit(name) || cli_slice_is(name, "help");
}

static int shell_dot(shell_state *shell, const varve_slice *words, size_t count) {
  varve_slice name = words[0], argument = count > 1 ? words[1] : (varve_slice){"", 0};
  if (count > 2) return cli_usage("there is too much behind '%s'; see .help", (const char *)name.data);
  if (cli_slice_is(name, ".help") || cli_slice_is(name, "help")) return shell_help(shell, argument);
  if (cli_slice_is(name, ".keyspace")) return shell_set_keyspace(shell, argument);
  if (cli_slice_is(name, ".keyspaces")) {
    int failed = shell_need(shell->cli, CLI_OPEN_READ);
    return failed ? failed : cli_run_keyspaces(shell->cli);
  }
  if (cli_slice_is(name, ".mode")) return shell_set_mode(shell, argument);
  if (shell_is_quit(name)) {
    shell->done = true;
    return CLI_OK;
  }
  if (cli_slice_is(name, ".timer")) {
    bool on = cli_slice_is(argument, "on");
    if (!on && !cli_slice_is(argument, "off")) return cli_usage("the form is .timer on, or .timer off");
    shell->timer = on;
    return CLI_OK;
  }
  const char *text = name.data;
  const cli_verb *verb = cli_verb_find(VARVE_STR(text + 1));
  if (verb != NULL && verb->in_shell) return cli_usage("`%s` has no dot", verb->name);
  return cli_usage("there is no command '%s'; see .help", text);
}

/* ---- verbs ---- */

static int shell_unknown_verb(varve_slice name) {
  const char *nearest = cli_verb_nearest(name);
  if (nearest != NULL) return cli_usage("there is no verb '%s'; did you mean '%s'?", (const char *)name.data, nearest);
  return cli_usage("there is no verb '%s'; .help lists them", (const char *)name.data);
}

static int shell_verb(shell_state *shell, const varve_slice *words, size_t count) {
  cli_state *cli = shell->cli;
  int failed = cli_command_parse(&cli->command, words, count);
  if (failed) return failed;
  cli_command *command = &cli->command;
  if (command->words_count == 0) return cli_usage("which verb? .help lists them");
  const cli_verb *verb = cli_verb_find(command->words[0]);
  if (verb == NULL) return shell_unknown_verb(command->words[0]);
  if (!verb->in_shell)
    return cli_usage("`%s` is for the command line: varve PATH %s %s", verb->name, verb->name, verb->arguments);
  if ((command->given & CLI_OPT_HELP) != 0) return cli_help_verb(&cli->out, verb);
  cli->words = command->words + 1;
  cli->words_count = command->words_count - 1;
  bool named = (command->given & CLI_OPT_KEYSPACE) != 0;
  cli->keyspace = named ? command->keyspace : cli_buf_slice(&shell->keyspace);
  failed = cli_verb_check(cli, verb);
  if (failed) return failed;
  failed = shell_need(cli, verb->opening);
  if (failed) return failed;
  bool apart = verb->run == cli_run_load || verb->run == cli_run_drop || verb->run == cli_run_bench;
  if (apart && cli->txn != NULL) {
    return cli_usage("`%s` is no part of a transaction; `commit` or `rollback` first", verb->name);
  }
  uint64_t start = terminal_now_us();
  failed = verb->run(cli);
  if (shell->timer) (void)cli_print(&cli->out, "time: %.3f ms\n", (double)(terminal_now_us() - start) / 1000);
  return failed;
}

static void shell_line(shell_state *shell, varve_slice line) {
  cli_state *cli = shell->cli;
  cli_buf store = {0};
  varve_slice words[SHELL_WORDS_MAX];
  size_t count = 0;
  int failed = CLI_OK;
  const char *wrong = shell_split(line, &store, words, &count);
  const char *first = wrong == NULL && count > 0 ? words[0].data : NULL;
  if (wrong != NULL) {
    failed = cli_usage("%s", wrong);
  } else if (first != NULL && shell_is_dot(words[0])) {
    failed = shell_dot(shell, words, count);
  } else if (first != NULL && first[0] != '#') {
    failed = shell_verb(shell, words, count);
  }
  cli_buf_free(&store);
  if (failed == CLI_NONE) failed = CLI_OK;
  if (failed && shell->failed == CLI_OK) shell->failed = failed;
  if (cli->out.error == 0 && fflush(cli->out.file) != 0) (void)cli_output_finish(&cli->out);
}

/* The form of the prompt: "varve> ", or "varve:users> " in a keyspace; in a transaction with a star. */
static void shell_prompt(const shell_state *shell, cli_buf *prompt) {
  prompt->size = 0;
  cli_buf_text(prompt, "varve");
  if (shell->keyspace.size > 0) cli_buf_byte(prompt, ':');
  cli_escaped_append(prompt, cli_buf_slice(&shell->keyspace));
  if (shell->cli->txn != NULL) cli_buf_byte(prompt, '*');
  cli_buf_append(prompt, "> ", 3);
}

static void shell_loop(shell_state *shell) {
  cli_buf prompt = {0};
  while (!shell->done && shell->cli->out.error == 0) {
    size_t size = 0;
    shell_prompt(shell, &prompt);
    char *line = shell->interactive && !prompt.failed ? line_edit_read(prompt.data, &size) : line_plain_read(&size);
    if (line == NULL) break;
    shell->line_number++;
    terminal_interrupts_clear();
    if (!shell->interactive) cli_message_line(shell->line_number);
    shell_line(shell, (varve_slice){line, size});
    cli_message_line(0);
    /* The terminal has written ^C where the output stopped. */
    if (shell->interactive && terminal_interrupted()) (void)cli_print(&shell->cli->out, "\n");
    free(line);
  }
  cli_buf_free(&prompt);
}

/* Opens the database when there is one. Else the first verb that makes one does, so that a shell that only reads
 * leaves nothing behind. */
static int shell_open(cli_state *cli) {
  if (strcmp(cli->path, ":memory:") == 0) return cli_open(cli, CLI_OPEN_CREATE);
  if (cli->options.read_only) return cli_open(cli, CLI_OPEN_READ);
  varve_options options = cli->options;
  options.must_exist = true;
  int status = varve_open(cli->path, &options, &cli->db);
  return status == VARVE_OK || status == VARVE_MISSING ? CLI_OK : cli_db_failed(NULL, status);
}

/* At the end of a script that made no database: a slip in the path must not look like success. */
static int shell_nothing_there(const cli_state *cli) {
  if (cli_verb_find(VARVE_STR(cli->path)) != NULL) {
    return cli_usage("the path comes first: varve PATH %s …", cli->path);
  }
  return cli_fail(CLI_ERROR,
                  "there is no database at '%s'; `varve %s put KEY VALUE` makes one, `varve --help` is the "
                  "manual",
                  cli->path, cli->path);
}

int cli_run_shell(cli_state *cli) {
  uint32_t wrong = cli->command.given & ~(uint32_t)(CLI_OPT_OPENING | CLI_OPT_KEYSPACE);
  if (wrong != 0)
    return cli_usage("the shell does not take --%s; see `varve --help`", cli_option_name(wrong & (~wrong + 1)));
  shell_state shell = {.cli = cli, .interactive = terminal_is(stdin) && cli->out.terminal};
  int failed = shell_open(cli);
  if (failed) return failed;
  failed = shell_set_keyspace(&shell, cli->command.keyspace);
  cli->shell = true;
  if (!failed && shell.interactive) {
    terminal_interrupts_catch();
    line_edit_begin();
    (void)cli_print(&cli->out, "varve %s, %s%s%s; .help for help, .quit to leave\n", varve_version(), cli->path,
                    cli->db == NULL ? " (new, made by the first put)" : "", cli->read_only ? " (read-only)" : "");
  }
  if (!failed) shell_loop(&shell);
  if (cli->txn != NULL) {
    int left = cli_fail(CLI_ERROR, "the transaction was not committed: its changes are gone");
    if (shell.failed == CLI_OK) shell.failed = left;
    cli_end_txn(cli);
  }
  if (!failed && shell.interactive) {
    line_edit_end();
    (void)cli_print(&cli->out, "\n");
  }
  cli_buf_free(&shell.keyspace);
  if (failed) return failed;
  if (cli->db == NULL && !shell.interactive && !shell.failed) return shell_nothing_there(cli);
  return shell.interactive ? CLI_OK : shell.failed;
}

#undef SHELL_WORDS_MAX
