/* kill_writer.c: a native process that writes to a database until it is killed, and one that reads what was left.
 *
 *     kill_writer write PATH [NAME=VALUE…]
 *     kill_writer check PATH [read_only=1]
 *
 *     round, seed    what is written follows from them
 *     threads        concurrent writers; each owns the keys of its own partition, one alone owns all four
 *     strict         0, 1, or 2: by chance for each commit
 *     commits        how many each thread makes before the database is closed; 0: for ever
 *     backup         a target; a backup is made while the threads write
 *     compact        1: compact again and again while the threads write
 *     no_thread      1: without a background thread
 *     kill, after    the phase, and microseconds from its beginning, at which the process kills itself
 *
 * Standard output, a line each, written at once:
 *
 *     @ PHASE                  opening, open, writing, backup, compact, closing begin; scanned, saved, closed ended
 *     = KEYSPACE KEY ID SIZE   an entry that was found at open; ID is BAD when its bytes are not what was written
 *     + THREAD N CHANGES       a commit is about to be made
 *     ! THREAD N               it returned
 *     - STATUS MESSAGE         something failed, and the process ends
 *
 * A change is pK/KEY=SIZE (a put; its id is ROUND.THREAD.N.PLACE), dK/KEY, rK/BEGIN/END, or xK, a drop of the keyspace.
 * K is 0, the default keyspace, or 1 or 2. kill_writer.mjs is the same for Node. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "process_value.h"
#include "varve.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define PARTITIONS   4u
#define KEYS         250u /* of a keyspace in one partition */
#define LINE_SIZE    1500u
#define CHANGES_MAX  12u
#define SPACES       3u
#define MEMORY_BYTES (2u << 20)
#define SMALL_BYTES  (64u << 10)

typedef struct settings {
  const char *path, *backup, *kill;
  uint64_t round, seed, threads, strict, commits, compact, no_thread, read_only, after;
} settings;

typedef struct writer {
  pthread_t handle;
  uint64_t random;
  uint64_t n;
  unsigned number;
  size_t length; /* of `line` */
  char line[LINE_SIZE];
  char value[PROCESS_VALUE_MAX];
} writer;

static settings set;
static varve_db *database;
static varve_keyspace *space[SPACES]; /* the first is the default one, NULL */
static const char *const space_name[SPACES] = {"", "one", "two"};

/* ---- what is said ---- */

static void say(const char *text, size_t size) {
  while (size > 0) {
    ssize_t n = write(STDOUT_FILENO, text, size);
    if (n <= 0) _exit(9); /* nobody listens */
    text += n;
    size -= (size_t)n;
  }
}

static void *killer_run(void *unused) {
  (void)unused;
  struct timespec span = {(time_t)(set.after / 1000000), (long)(set.after % 1000000) * 1000};
  nanosleep(&span, NULL);
  kill(getpid(), SIGKILL);
  return NULL;
}

static void phase(const char *name) {
  char line[64];
  if (set.kill != NULL && strcmp(set.kill, name) == 0) {
    pthread_t killer;
    set.kill = NULL;
    if (pthread_create(&killer, NULL, killer_run, NULL) == 0) pthread_detach(killer);
  }
  say(line, (size_t)snprintf(line, sizeof(line), "@ %s\n", name));
}

static void must(int rc, const char *what) {
  char line[LINE_SIZE];
  if (rc >= 0) return;
  int size = snprintf(line, sizeof(line), "- %s %s: %s\n", varve_status_name(rc), what, varve_errmsg(database));
  say(line, size < (int)sizeof(line) ? (size_t)size : sizeof(line) - 1);
  _exit(3);
}

/* ---- what was there ---- */

static void scan_space(unsigned k, char *work) {
  static char text[1 << 16];
  size_t used = 0;
  varve_iter_options options = {.keyspace = space[k]};
  varve_iter *iter = NULL;
  char id[33];
  must(varve_iter_open(database, &options, &iter), "iterate");
  int rc = varve_iter_first(iter);
  for (; rc == VARVE_OK; rc = varve_iter_next(iter)) {
    varve_slice key = varve_iter_key(iter), value = varve_iter_value(iter);
    if (!process_value_check(value.data, value.size, id, work)) snprintf(id, sizeof(id), "BAD");
    if (sizeof(text) - used < 512) {
      say(text, used);
      used = 0;
    }
    used += (size_t)snprintf(text + used, 512, "= %u %.*s %s %zu\n", k, (int)key.size, (const char *)key.data, id,
                             value.size);
  }
  must(rc, "scan");
  varve_iter_close(iter);
  say(text, used);
}

static int note_space(void *context, varve_slice name) {
  bool *there = context;
  for (unsigned k = 1; k < SPACES; k++) {
    if (name.size == strlen(space_name[k]) && memcmp(name.data, space_name[k], name.size) == 0) there[k] = true;
  }
  return 0;
}

/* Lists the entries of every keyspace that is there. */
static void scan(char *work) {
  bool there[SPACES] = {true};
  must(varve_keyspace_list(database, note_space, there), "list keyspaces");
  for (unsigned k = 0; k < SPACES; k++) {
    if (there[k] && k > 0) must(varve_keyspace_open(database, varve_str(space_name[k]), &space[k]), "open keyspace");
    if (there[k]) scan_space(k, work);
  }
  phase("scanned");
}

/* ---- what is written ---- */

static uint32_t below(writer *w, uint32_t limit) {
  uint64_t z = (w->random += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  z ^= z >> 31;
  return (uint32_t)((z >> 32) * limit >> 32);
}

static void note(writer *w, const char *text) {
  size_t size = strlen(text);
  if (w->length + size >= sizeof(w->line)) _exit(8);
  memcpy(w->line + w->length, text, size + 1);
  w->length += size;
}

static uint32_t value_size(writer *w) {
  if (below(w, 300) == 0) return 20000 + below(w, 80000);
  return PROCESS_VALUE_MIN + (below(w, 4) == 0 ? below(w, 4000) : below(w, 400));
}

/* Adds one change to the batch and to the line. */
static void add_change(writer *w, varve_batch *batch, unsigned place, uint32_t kind) {
  char key[32], end[32], text[128], id[32];
  unsigned k = below(w, SPACES), number = below(w, KEYS);
  unsigned partition = set.threads == 1 ? below(w, PARTITIONS) : w->number;
  snprintf(key, sizeof(key), "p%u-%05u", partition, number);
  if (kind < 70) {
    uint32_t size = value_size(w);
    snprintf(id, sizeof(id), "%llu.%u.%llu.%u", (unsigned long long)set.round, w->number, (unsigned long long)w->n,
             place);
    process_value_make(w->value, id, size);
    varve_slice value = {w->value, size};
    must(varve_batch_put(batch, space[k], varve_str(key), value), "batch put");
    snprintf(text, sizeof(text), " p%u/%s=%u", k, key, size);
  } else if (kind < 94) {
    must(varve_batch_delete(batch, space[k], varve_str(key)), "batch delete");
    snprintf(text, sizeof(text), " d%u/%s", k, key);
  } else {
    snprintf(end, sizeof(end), "p%u-%05u", partition, number + 1 + below(w, KEYS / 10));
    must(varve_batch_delete_range(batch, space[k], varve_str(key), varve_str(end)), "batch delete range");
    snprintf(text, sizeof(text), " r%u/%s/%s", k, key, end);
  }
  note(w, text);
}

/* A keyspace goes with all its entries, and is there again. */
static void drop_space(writer *w) {
  unsigned k = 1 + below(w, SPACES - 1);
  w->length += (size_t)snprintf(w->line + w->length, 16, " x%u\n", k);
  say(w->line, w->length);
  must(varve_keyspace_drop(database, varve_str(space_name[k])), "drop keyspace");
  must(varve_keyspace_open(database, varve_str(space_name[k]), &space[k]), "open keyspace");
}

static void make_commit(writer *w, varve_batch *batch) {
  uint32_t kind = below(w, 1000);
  w->length = (size_t)snprintf(w->line, sizeof(w->line), "+ %u %llu", w->number, (unsigned long long)w->n);
  varve_write_options options = {.durability = set.strict == 1 ? VARVE_STRICT : VARVE_RELAXED};
  if (set.strict == 2 && below(w, 8) == 0) options.durability = VARVE_STRICT;
  if (kind < 2 && set.threads == 1) {
    drop_space(w);
  } else {
    unsigned count = kind < 250 ? 2 + below(w, CHANGES_MAX - 1) : 1;
    varve_batch_clear(batch);
    for (unsigned i = 0; i < count; i++) add_change(w, batch, i, below(w, 100));
    note(w, "\n");
    say(w->line, w->length);
    must(varve_write(database, batch, &options), "write");
  }
  char line[64];
  say(line, (size_t)snprintf(line, sizeof(line), "! %u %llu\n", w->number, (unsigned long long)w->n));
}

static void *writer_run(void *context) {
  writer *w = context;
  varve_batch *batch = NULL;
  must(varve_batch_create(&batch), "make a batch");
  for (w->n = 0; set.commits == 0 || w->n < set.commits; w->n++) make_commit(w, batch);
  varve_batch_destroy(batch);
  return NULL;
}

static void write_all(void) {
  static writer writers[PARTITIONS];
  for (unsigned k = 1; k < SPACES; k++) {
    must(varve_keyspace_open(database, varve_str(space_name[k]), &space[k]), "open keyspace");
  }
  phase("writing");
  for (unsigned i = 0; i < set.threads; i++) {
    writers[i].number = i;
    writers[i].random = set.seed * 1000003 + set.round * 16 + i;
    if (pthread_create(&writers[i].handle, NULL, writer_run, &writers[i]) != 0) _exit(7);
  }
  if (set.backup != NULL) {
    usleep((useconds_t)(set.seed % 20000));
    phase("backup");
    must(varve_backup(database, set.backup, NULL, NULL, NULL), "back up");
    phase("saved");
  }
  while (set.compact != 0) {
    phase("compact");
    must(varve_compact(database, NULL, NULL), "compact");
    if (set.commits != 0) break;
  }
  for (unsigned i = 0; i < set.threads; i++) pthread_join(writers[i].handle, NULL);
}

/* ---- the program ---- */

static void read_settings(int count, char **argument) {
  static const struct {
    const char *name;
    uint64_t *number;
  } numbers[] = {{"round", &set.round},         {"seed", &set.seed},           {"threads", &set.threads},
                 {"strict", &set.strict},       {"commits", &set.commits},     {"compact", &set.compact},
                 {"no_thread", &set.no_thread}, {"read_only", &set.read_only}, {"after", &set.after}};
  set.threads = 1;
  set.path = argument[2];
  for (int i = 3; i < count; i++) {
    char *value = strchr(argument[i], '=');
    bool known = false;
    if (value == NULL) _exit(2);
    *value++ = '\0';
    if (strcmp(argument[i], "backup") == 0) set.backup = value, known = true;
    if (strcmp(argument[i], "kill") == 0) set.kill = value, known = true;
    for (size_t at = 0; at < sizeof(numbers) / sizeof(numbers[0]); at++) {
      if (strcmp(argument[i], numbers[at].name) != 0) continue;
      *numbers[at].number = strtoull(value, NULL, 10);
      known = true;
    }
    if (!known) _exit(2);
  }
  if (set.threads < 1 || set.threads > PARTITIONS) _exit(2);
}

int main(int count, char **argument) {
  static char work[PROCESS_VALUE_MAX];
  if (count < 3) return 2;
  bool writes = strcmp(argument[1], "write") == 0;
  read_settings(count, argument);
  varve_options options = {.memory_bytes = MEMORY_BYTES,
                           .memtable_bytes = SMALL_BYTES,
                           .table_bytes = SMALL_BYTES,
                           .sync_interval_ms = 20,
                           .no_thread = set.no_thread != 0,
                           .read_only = set.read_only != 0,
                           .must_exist = !writes,
                           .durability = set.strict == 1 ? VARVE_STRICT : VARVE_RELAXED};
  phase("opening");
  must(varve_open(set.path, &options, &database), "open");
  phase("open");
  scan(work);
  if (writes) {
    write_all();
  } else {
    must(varve_verify(database, NULL, NULL, NULL), "verify");
  }
  phase("closing");
  must(varve_close(database), "close");
  phase("closed");
  return 0;
}
