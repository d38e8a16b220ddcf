/* cli_help.c: the manual. The parts about verbs come from the table in cli_verbs.c. */
#include <string.h>

#include "cli.h"

static const char help_head[] =
    "NAME\n"
    "    varve - read, write and look after a Varve database\n"
    "\n"
    "SYNOPSIS\n"
    "    varve PATH                      a shell\n"
    "    varve PATH VERB [ARGUMENTS] [OPTIONS]\n"
    "    varve help [VERB]\n"
    "    varve version\n"
    "\n"
    "DESCRIPTION\n"
    "    Varve is an embedded, ordered key-value database. PATH is the directory of one, or one file: a path\n"
    "    that names a file, or that ends in .varve and names nothing yet, is a database in that file. :memory: is one\n"
    "    that is gone at the end. One process at a time has a database open. Keys and values are bytes. What is asked\n"
    "    for comes on standard output, messages on standard error. Verbs that only read change nothing on disk.\n"
    "\n"
    "VERBS\n";

static const char help_options[] =
    "\n"
    "OPTIONS\n"
    "    Options may stand anywhere; --name=VALUE is --name VALUE; -- ends them, so that a key may begin with --.\n"
    "    --keyspace NAME   work in this namespace of the database instead of the default one\n"
    "    --hex             keys on the command line are hex digits, and `scan` shows keys so\n"
    "    --prefix P, --from K, --to K\n"
    "                      scan, count: keys that begin with P; at or after K; before K\n"
    "    --reverse         scan: from the last key to the first\n"
    "    --limit N         scan: at most N entries\n"
    "    --keys, --values  scan: only that half of each entry\n"
    "    --format F        get, scan: text, json, raw or hex\n"
    "    --range           del: all keys from BEGIN to before END\n"
    "    --all             del --range '' '': yes, every key\n"
    "    --raw             load, dump: binary records instead of JSON lines\n"
    "    --json            stats: one JSON object\n"
    "    --n N             bench: how many entries\n"
    "    --force           bench: also in a database that has entries\n"
    "    --strict          verbs that write: return when the changes are on stable storage, not within 100 ms after\n"
    "    --read-only       open for reading only\n"
    "    --wait SECONDS    wait so long for another process that has the database open (default 0)\n"
    "    --memory BYTES    how much memory the engine may take; K, M and G may follow the number (default 128M)\n"
    "    --help, -h        this text, or that of the verb\n"
    "    --version, -v     the version\n"
    "\n"
    "EXIT STATUS\n"
    "    0   done. A reader of the output that stops early (| head) is no failure\n"
    "    1   there is no such key or keyspace\n"
    "    2   the command line or the input is not right\n"
    "    3   the database or a file could not be used; the message says why and what to do\n"
    "    4   a file of the database is damaged\n"
    "    5   another process has the database open\n"
    "    6   repair: the new database is made, and something could not be saved\n"
    "\n"
    "ENVIRONMENT\n"
    "    VARVE_HISTORY     where the shell keeps its history (default ~/.varve_history; empty: nowhere)\n"
    "\n"
    "EXAMPLES\n"
    "    varve people put user:1 Alice               make the database ./people and store a value\n"
    "    varve people get user:1                     Alice\n"
    "    varve people put photo < photo.jpg          a value from a file\n"
    "    varve people scan --prefix user: --limit 10 the first ten users\n"
    "    varve people del --range user: 'user;'      remove them all\n"
    "    varve people dump | gzip > people.gz        everything, as lines of JSON\n"
    "    gzip -dc people.gz | varve copy load        and back\n"
    "    varve people backup /mnt/people             a copy; again later, only what is new\n";

static const char help_shell_text[] =
    "A line is a verb with its arguments, or a command with a dot. 'single quotes' keep everything as it is;\n"
    "\"double quotes\" know \\n \\r \\t \\\" \\\\ and \\xNN. A line that begins with # is skipped.\n"
    "\n"
    ".help [VERB]             this text, or that of a verb\n"
    ".keyspace [NAME]         work in this keyspace; without NAME in the default one\n"
    ".keyspaces               list them\n"
    ".mode text|json|raw|hex  how get and scan write; without a word, text\n"
    ".timer on|off            say how long each verb took\n"
    ".quit                    leave (so does the end of input, Ctrl-D)\n"
    "help, quit and exit need no dot. Ctrl-C drops the line, or stops the verb that runs.\n"
    "\n";

static void help_print_verb_row(cli_output *out, const cli_verb *verb) {
  char form[64];
  int size = snprintf(form, sizeof form, "%s %s", verb->name, verb->arguments);
  CLI_ASSERT(size > 0 && (size_t)size < sizeof form);
  (void)cli_print(out, "    %-30s %s\n", form, verb->summary);
}

int cli_help(cli_output *out) {
  (void)cli_write(out, help_head, strlen(help_head));
  for (size_t i = 0; i < cli_verbs_count; i++) {
    if (!cli_verbs[i].shell_only) help_print_verb_row(out, &cli_verbs[i]);
  }
  (void)cli_print(out, "    `varve help VERB` has the details of one; `.help` those of the shell.\n");
  (void)cli_write(out, help_options, strlen(help_options));
  return CLI_OK;
}

#define HELP_COLUMNS 118

/* "varve PATH VERB ARGUMENTS [--option VALUE] …", broken where it gets too long. */
static void help_print_synopsis(cli_output *out, const cli_verb *verb) {
  size_t column = 4 + strlen("varve PATH ") + strlen(verb->name) + 1 + strlen(verb->arguments);
  (void)cli_print(out, "    varve PATH %s%s%s", verb->name, verb->arguments[0] == '\0' ? "" : " ", verb->arguments);
  for (uint32_t bit = 1; bit <= CLI_OPT_LAST; bit <<= 1) {
    bool required = bit == CLI_OPT_RANGE; /* it is in the form already */
    if ((verb->options & bit) == 0 || required) continue;
    const char *value = cli_option_value_name(bit);
    char text[64];
    int size = snprintf(text, sizeof text, " [--%s%s%s]", cli_option_name(bit), value == NULL ? "" : " ",
                        value == NULL ? "" : value);
    CLI_ASSERT(size > 0 && (size_t)size < sizeof text);
    if (column + (size_t)size > HELP_COLUMNS) {
      column = (size_t)snprintf(NULL, 0, "    varve PATH %s", verb->name);
      (void)cli_print(out, "\n%*s", (int)column, "");
    }
    (void)cli_print(out, "%s", text);
    column += (size_t)size;
  }
}

int cli_help_verb(cli_output *out, const cli_verb *verb) {
  (void)cli_print(out, "NAME\n    varve %s - %s\n\nSYNOPSIS\n", verb->name, verb->summary);
  help_print_synopsis(out, verb);
  (void)cli_print(out, "\n\nDESCRIPTION\n");
  for (const char *line = verb->detail; *line != '\0';) {
    size_t size = strcspn(line, "\n");
    (void)cli_print(out, "%s%.*s\n", size == 0 ? "" : "    ", (int)size, line);
    line += size + (line[size] == '\n');
  }
  const char *more = cli_verb_writes(verb) ? "--strict" : "--read-only";
  if (verb->opening != CLI_OPEN_NOTHING) {
    (void)cli_print(out, "\n    Also --memory BYTES --wait SECONDS %s. `varve --help` explains all options.\n", more);
  }
  return CLI_OK;
}

int cli_help_shell(cli_output *out) {
  (void)cli_write(out, help_shell_text, strlen(help_shell_text));
  for (size_t i = 0; i < cli_verbs_count; i++) {
    if (!cli_verbs[i].in_shell) continue;
    const cli_verb *verb = &cli_verbs[i];
    const char *arguments = cli_verb_arguments(verb, true);
    (void)cli_print(out, "%s%s%-*s%s\n", verb->name, arguments[0] == '\0' ? "" : " ",
                    (int)(28 - strlen(verb->name) - (arguments[0] != '\0')), arguments,
                    verb->shell_summary != NULL ? verb->shell_summary : verb->summary);
  }
  return CLI_OK;
}

#undef HELP_COLUMNS
