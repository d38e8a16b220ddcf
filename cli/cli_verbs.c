/* cli_verbs.c: the table of verbs. The manual, `help VERB`, the checks of a command, and the shell all read it. */
#include <string.h>

#include "cli.h"

#define VERB_BOUNDS_TEXT                                                                                         \
  "--prefix P takes the keys that begin with P, --from K those at or after K in order, --to K those before K.\n" \
  "All of them hold at once. Keys are ordered as bytes.\n"

const cli_verb cli_verbs[] = {
    {.name = "get",
     .arguments = "KEY",
     .summary = "write the value of KEY to standard output",
     .detail =
         "Writes the bytes of the value as they are, and a newline behind them only on a terminal. Exits with 1 when\n"
         "there is no such key. --format text, json or hex writes the value readable, on a line of its own.\n",
     .options = CLI_OPT_KEYSPACE | CLI_OPT_HEX | CLI_OPT_FORMAT,
     .words_min = 1,
     .words_max = 1,
     .opening = CLI_OPEN_READ,
     .in_shell = true,
     .run = cli_run_get},
    {.name = "put",
     .arguments = "KEY [VALUE]",
     .shell_arguments = "KEY VALUE",
     .shell_summary = "store VALUE under KEY",
     .summary = "store VALUE, or standard input, under KEY",
     .detail = "Replaces the value that is there. Without VALUE, or when VALUE is -, the value is all of standard "
               "input, every\n"
               "byte of it. Makes the database and the keyspace when there is none.\n",
     .options = CLI_OPT_KEYSPACE | CLI_OPT_HEX,
     .words_min = 1,
     .words_max = 2,
     .opening = CLI_OPEN_CREATE,
     .in_shell = true,
     .run = cli_run_put},
    {.name = "del",
     .arguments = "KEY | --range BEGIN END",
     .summary = "remove KEY, or all keys from BEGIN to before END",
     .detail = "It is no error when there is nothing to remove. An empty BEGIN ('') is the first key, an empty END the "
               "end.\n"
               "Both empty is every key of the keyspace, and is taken only with --all.\n",
     .options = CLI_OPT_KEYSPACE | CLI_OPT_HEX | CLI_OPT_RANGE | CLI_OPT_ALL,
     .words_min = 1,
     .words_max = 2,
     .opening = CLI_OPEN_EXISTING,
     .in_shell = true,
     .run = cli_run_del},
    {.name = "scan",
     .arguments = "",
     .summary = "list entries in order",
     .detail = VERB_BOUNDS_TEXT
     "--reverse goes from the last to the first, --limit N stops after N, --keys and --values list one half.\n"
     "\n"
     "--format text (the default): KEY TAB VALUE, with \\t \\n \\r \\\\ and \\xNN for what is not printable text.\n"
     "--format json: one object a line, as `dump` writes them. --format hex: both in hex. --format raw: KEY TAB VALUE\n"
     "NEWLINE with the bytes as they are.\n",
     .options = CLI_OPT_KEYSPACE | CLI_OPT_BOUNDS | CLI_OPT_REVERSE | CLI_OPT_LIMIT | CLI_OPT_KEYS | CLI_OPT_VALUES |
                CLI_OPT_FORMAT,
     .opening = CLI_OPEN_READ,
     .in_shell = true,
     .run = cli_run_scan},
    {.name = "count",
     .arguments = "",
     .summary = "count entries",
     .detail = VERB_BOUNDS_TEXT,
     .options = CLI_OPT_KEYSPACE | CLI_OPT_BOUNDS,
     .opening = CLI_OPEN_READ,
     .in_shell = true,
     .run = cli_run_count},
    {.name = "keyspaces",
     .arguments = "",
     .summary = "list the names of the keyspaces",
     .detail =
         "One a line, in order, written as `scan` writes text. The default keyspace has no name and is not listed.\n",
     .opening = CLI_OPEN_READ,
     .in_shell = true,
     .run = cli_run_keyspaces},
    {.name = "drop",
     .arguments = "NAME",
     .summary = "remove a keyspace and all its entries",
     .detail = "Exits with 1 when there is no such keyspace. There is no way back.\n",
     .words_min = 1,
     .words_max = 1,
     .opening = CLI_OPEN_EXISTING,
     .in_shell = true,
     .run = cli_run_drop},
    {.name = "load",
     .arguments = "[FILE]",
     .shell_arguments = "FILE",
     .shell_summary = "store the rows of FILE",
     .summary = "store the rows of FILE, or of standard input",
     .detail =
         "Reads JSON lines as `dump` writes them, or raw records, which it knows by their first line; with --raw\n"
         "nothing else is taken. 1,000 rows or 1 MiB are one commit. At the first bad row it stops and says where, "
         "and\n"
         "how many rows are in the database by then; running it again with the rest, or with all of it, is safe.\n"
         "\n"
         "A JSON line: {\"key\":\"k\",\"value\":\"v\"}; key64 and value64 hold bytes in base64; \"keyspace\" names one "
         "other\n"
         "than the default. --keyspace NAME is where rows that name none go. Makes the database when there is none.\n",
     .options = CLI_OPT_KEYSPACE | CLI_OPT_RAW,
     .words_max = 1,
     .opening = CLI_OPEN_CREATE,
     .in_shell = true,
     .run = cli_run_load},
    {.name = "dump",
     .arguments = "[FILE]",
     .summary = "write all entries to FILE, or to standard output",
     .detail =
         "JSON lines of every keyspace, or of the one that --keyspace names. The text is canonical: two databases with "
         "the\n"
         "same entries give the same bytes, so their checksums can be compared. --raw writes one keyspace as binary\n"
         "records {varint key size, varint value size, key, value} behind the line \"varve-raw 1\", with an end "
         "mark.\n",
     .options = CLI_OPT_KEYSPACE | CLI_OPT_RAW,
     .words_max = 1,
     .opening = CLI_OPEN_READ,
     .in_shell = true,
     .run = cli_run_dump},
    {.name = "stats",
     .arguments = "",
     .summary = "show sizes, levels and counters",
     .detail = "A table to read, or with --json one JSON object. Counters begin with the opening of the database: the "
               "table\n"
               "has them in the shell alone. Empty levels are left out.\n",
     .options = CLI_OPT_JSON,
     .opening = CLI_OPEN_READ,
     .in_shell = true,
     .run = cli_run_stats},
    {.name = "verify",
     .arguments = "",
     .summary = "read every byte and check it",
     .detail = "Says OK and what was read, or the first thing that is wrong, and exits with 4 then.\n",
     .opening = CLI_OPEN_READ,
     .in_shell = true,
     .run = cli_run_verify},
    {.name = "compact",
     .arguments = "",
     .summary = "merge everything; give back the space of what is gone",
     .detail = "Needs about as much free disk as the database takes.\n",
     .opening = CLI_OPEN_EXISTING,
     .in_shell = true,
     .run = cli_run_compact},
    {.name = "backup",
     .arguments = "TARGET",
     .summary = "write a consistent copy to the directory TARGET",
     .detail = "A TARGET that holds an earlier backup of the same database is brought up to date: only new tables are "
               "copied.\n"
               "The copy is read back before it counts. `varve TARGET2 restore TARGET` makes a database of it.\n",
     .words_min = 1,
     .words_max = 1,
     .opening = CLI_OPEN_EXISTING,
     .in_shell = true,
     .run = cli_run_backup},
    {.name = "restore",
     .arguments = "BACKUP",
     .summary = "make a new database at PATH from a backup",
     .detail =
         "PATH must not exist, or be an empty directory. Everything is verified before the database counts as one.\n",
     .words_min = 1,
     .words_max = 1,
     .opening = CLI_OPEN_NOTHING,
     .run = cli_run_restore},
    {.name = "convert",
     .arguments = "TARGET",
     .summary = "copy the database to TARGET, which is one file (*.varve) or a directory",
     .detail = "The copy is the same byte for byte. PATH is only read, and nobody may have it open. TARGET must not "
               "exist\n"
               "or be empty, and is a database only when all of it is there.\n",
     .words_min = 1,
     .words_max = 1,
     .opening = CLI_OPEN_NOTHING,
     .run = cli_run_convert},
    {.name = "repair",
     .arguments = "TARGET",
     .summary = "make a new database of what can be saved",
     .detail = "For a database that is damaged, and one that does not open any more. Everything in PATH whose checksum "
               "holds\n"
               "goes to a new database at TARGET, which must not exist, or be empty; PATH is only read. Each loss is a "
               "line on\n"
               "standard output: the file, the place, the reason, and the keys beside what is missing. \"mended\" is "
               "damage\n"
               "that cost nothing. Where a newer value or a deletion is lost, an older value may be what is saved.\n"
               "Exits with 6 when anything is missing, and with 0 when everything was saved.\n",
     .words_min = 1,
     .words_max = 1,
     .opening = CLI_OPEN_NOTHING,
     .run = cli_run_repair},
    {.name = "index",
     .arguments = "COMMAND [NAME …]",
     .summary = "look at indexes, and keep manual ones",
     .detail =
         "index list                            their names\n"
         "index create NAME [btree|hash] [unique]\n"
         "                                      a manual index: its postings are inserted and removed\n"
         "index insert NAME KEY PRIMARY         a posting: the index key, and the key of the row\n"
         "index remove NAME KEY PRIMARY\n"
         "index find NAME KEY                   the postings of one key\n"
         "index scan NAME                       all of them, or those of --prefix, or from --from to before --to\n"
         "index info NAME                       what it is, and how many postings it has\n"
         "index verify NAME                     checks its form; of one that maintains itself the program must be "
         "open\n"
         "index drop NAME                       removes it\n",
     .options = CLI_OPT_BOUNDS | CLI_OPT_REVERSE | CLI_OPT_LIMIT | CLI_OPT_KEYS | CLI_OPT_VALUES | CLI_OPT_FORMAT,
     .words_min = 1,
     .words_max = 4,
     .opening = CLI_OPEN_EXISTING,
     .in_shell = true,
     .run = cli_run_index},
    {.name = "begin",
     .arguments = "[LEVEL]",
     .summary = "begin a transaction: snapshot, serializable or read-committed",
     .detail =
         "get, put, del, scan, count and index are then part of it. Nobody else sees its changes before `commit`.\n"
         "One that is not committed when the shell ends is rolled back.\n",
     .words_max = 1,
     .opening = CLI_OPEN_CREATE,
     .in_shell = true,
     .shell_only = true,
     .run = cli_run_begin},
    {.name = "commit",
     .arguments = "",
     .summary = "make the changes of the transaction",
     .detail = "All of them, or none when others were in the way: CONFLICT. It is over in either case.\n",
     .opening = CLI_OPEN_EXISTING,
     .in_shell = true,
     .shell_only = true,
     .run = cli_run_commit},
    {.name = "rollback",
     .arguments = "[N]",
     .summary = "forget the changes of the transaction, or those since savepoint N",
     .detail = "With N the transaction goes on, and the savepoint stays.\n",
     .words_max = 1,
     .opening = CLI_OPEN_EXISTING,
     .in_shell = true,
     .shell_only = true,
     .run = cli_run_rollback},
    {.name = "savepoint",
     .arguments = "",
     .summary = "mark a place to go back to, and say its number",
     .detail = "They nest and are numbered from 1.\n",
     .opening = CLI_OPEN_EXISTING,
     .in_shell = true,
     .shell_only = true,
     .run = cli_run_savepoint},
    {.name = "release",
     .arguments = "N",
     .summary = "forget savepoint N and those after it; their changes stay",
     .detail = "The transaction goes on.\n",
     .words_min = 1,
     .words_max = 1,
     .opening = CLI_OPEN_EXISTING,
     .in_shell = true,
     .shell_only = true,
     .run = cli_run_release},
    {.name = "bench",
     .arguments = "",
     .summary = "measure this machine: fill, read, scan",
     .detail =
         "Writes and reads --n N entries (100,000 when not given) of 16 byte keys and 100 byte values in a keyspace\n"
         "of its own, \"varve-bench\", and removes it at the end, which compacts the whole database: one that has\n"
         "entries is left alone without --force. :memory: as PATH measures without a disk.\n",
     .options = CLI_OPT_N | CLI_OPT_FORCE,
     .opening = CLI_OPEN_CREATE,
     .in_shell = true,
     .run = cli_run_bench},
};
const size_t cli_verbs_count = sizeof cli_verbs / sizeof cli_verbs[0];

const cli_verb *cli_verb_find(varve_slice name) {
  for (size_t i = 0; i < cli_verbs_count; i++) {
    if (cli_slice_is(name, cli_verbs[i].name)) return &cli_verbs[i];
  }
  return NULL;
}

/* ---- the nearest name ---- */

#define VERB_NAME_MAX 15

static size_t verb_least(size_t a, size_t b) {
  return a < b ? a : b;
}

size_t cli_distance(varve_slice one, varve_slice other) {
  const char *a = one.data, *b = other.data;
  size_t a_size = one.size, b_size = other.size;
  size_t cost[VERB_NAME_MAX + 1][VERB_NAME_MAX + 1];
  if (a_size > VERB_NAME_MAX || b_size > VERB_NAME_MAX) return SIZE_MAX;
  for (size_t i = 0; i <= a_size; i++) {
    for (size_t j = 0; j <= b_size; j++) {
      if (i == 0 || j == 0) {
        cost[i][j] = i + j;
        continue;
      }
      bool same = a[i - 1] == b[j - 1];
      cost[i][j] = verb_least(cost[i - 1][j - 1] + !same, verb_least(cost[i - 1][j], cost[i][j - 1]) + 1);
      bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) cost[i][j] = verb_least(cost[i][j], cost[i - 2][j - 2] + 1);
    }
  }
  return cost[a_size][b_size];
}

/* What other programs call these verbs. */
static const char *verb_synonym(varve_slice name) {
  static const char *const pairs[][2] = {{"set", "put"},     {"delete", "del"},     {"remove", "del"},
                                         {"rm", "del"},      {"list", "scan"},      {"ls", "scan"},
                                         {"import", "load"}, {"export", "dump"},    {"check", "verify"},
                                         {"info", "stats"},  {"vacuum", "compact"}, {"recover", "repair"}};
  for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
    if (cli_slice_is(name, pairs[i][0])) return pairs[i][1];
  }
  return NULL;
}

const char *cli_verb_nearest(varve_slice name) {
  const char *nearest = verb_synonym(name);
  if (nearest != NULL || name.size > VERB_NAME_MAX) return nearest;
  size_t best = name.size <= 3 ? 2 : 3; /* less than this */
  for (size_t i = 0; i < cli_verbs_count; i++) {
    size_t size = strlen(cli_verbs[i].name);
    size_t distance = cli_distance(name, VARVE_STR(cli_verbs[i].name));
    bool begins = name.size >= 2 && name.size < size && memcmp(name.data, cli_verbs[i].name, name.size) == 0;
    if (begins) distance = 0;
    if (distance >= best) continue;
    best = distance;
    nearest = cli_verbs[i].name;
  }
  return nearest;
}

#undef VERB_NAME_MAX
#undef VERB_BOUNDS_TEXT
