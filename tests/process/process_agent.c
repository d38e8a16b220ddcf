/* process_agent.c: a native process that does with databases what it is told, line by line, and answers each line with
 * one of its own: "ok …", or "error STATUS MESSAGE". process_agent.mjs is the same for Node.
 *
 *     open PATH WAIT_MS AT_MS [read]    at that time of the wall clock, in microseconds after 1970 divided by 1000
 *     put KEY SIZE     get KEY          a value of process_value.h whose id is the key; get answers "ok SIZE"
 *     number KEY [N]                    stores N, or answers "ok N", 0 where there is none
 *     fill PREFIX SIZE COUNT strict|relaxed    puts PREFIX000000 and so on: "ok PUT", or "ok PUT STATUS MESSAGE"
 *     check PREFIX SIZE COUNT           all of them are there, with their values, and at most one more
 *     clear PREFIX COUNT                deletes that many from the first on, as one range
 *     verify, compact, flush, sync, close, backup TARGET, pid
 *     fork HOW                          what a child does with the parent's database: see agent_child
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "process_value.h"
#include "varve.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ARGUMENTS_MAX 8

static varve_db *database;
static char value_bytes[PROCESS_VALUE_MAX];

static void answer(int rc, const char *more) {
  if (rc < 0) {
    printf("error %s %s\n", varve_status_name(rc), varve_errmsg(database));
  } else {
    printf("ok%s%s\n", more[0] == '\0' ? "" : " ", more);
  }
  fflush(stdout);
}

static double clock_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (double)now.tv_sec * 1000 + (double)now.tv_nsec / 1e6;
}

static void wait_until(double at) {
  double left = at - clock_ms();
  if (left > 2) usleep((useconds_t)((left - 1) * 1000));
  while (clock_ms() < at) continue;
}

static int agent_open(char **word, int count) {
  varve_options options = {.memory_bytes = 2 << 20,
                           .memtable_bytes = 64 << 10,
                           .table_bytes = 64 << 10,
                           .lock_wait_ms = (uint32_t)atoi(word[2]),
                           .read_only = count > 4 && strcmp(word[4], "read") == 0};
  wait_until(atof(word[3]));
  return varve_open(word[1], &options, &database);
}

static int agent_put(const char *key, uint32_t size, varve_durability durability) {
  varve_write_options options = {.durability = durability};
  process_value_make(value_bytes, key, size);
  return varve_put(database, varve_str(key), (varve_slice){value_bytes, size}, &options);
}

/* OK, NOTFOUND, or CORRUPT when the value is another one. */
static int agent_get(const char *key, uint32_t *size) {
  varve_value value;
  char id[33];
  int rc = varve_get(database, varve_str(key), NULL, &value);
  if (rc != VARVE_OK) return rc;
  *size = (uint32_t)value.size;
  if (!process_value_check(value.data, value.size, id, value_bytes) || strcmp(id, key) != 0) rc = VARVE_CORRUPT;
  varve_value_release(&value);
  return rc;
}

static void agent_number(char **word, int count) {
  char text[32] = "0";
  varve_value value;
  int rc;
  if (count > 2) {
    rc = varve_put(database, varve_str(word[1]), varve_str(word[2]), NULL);
  } else {
    rc = varve_get(database, varve_str(word[1]), NULL, &value);
    if (rc == VARVE_OK && value.size < sizeof(text)) {
      memcpy(text, value.data, value.size);
      text[value.size] = '\0';
    }
    if (rc == VARVE_OK) varve_value_release(&value);
  }
  answer(rc, count > 2 ? "" : text);
}

static void agent_fill(char **word) {
  char key[32], text[700];
  uint32_t size = (uint32_t)atoi(word[2]), limit = (uint32_t)atoi(word[3]), made = 0;
  varve_durability durability = strcmp(word[4], "strict") == 0 ? VARVE_STRICT : VARVE_RELAXED;
  int rc = VARVE_OK;
  for (; made < limit; made++) {
    snprintf(key, sizeof(key), "%s%06u", word[1], made);
    rc = agent_put(key, size, durability);
    if (rc < 0) break;
  }
  snprintf(text, sizeof(text), "%u%s%s %s", made, rc < 0 ? " " : "", rc < 0 ? varve_status_name(rc) : "",
           rc < 0 ? varve_errmsg(database) : "");
  answer(VARVE_OK, text);
}

/* What was put is there; the one after it, which failed, may be there after a failed sync only. */
static void agent_check(char **word) {
  char key[32], text[64];
  uint32_t want = (uint32_t)atoi(word[2]), count = (uint32_t)atoi(word[3]), size = 0;
  uint64_t found = 0;
  for (uint32_t i = 0; i < count; i++) {
    snprintf(key, sizeof(key), "%s%06u", word[1], i);
    int rc = agent_get(key, &size);
    if (rc == VARVE_OK && size == want) continue;
    printf("error LOST %s: %s\n", key, rc < 0 ? varve_errmsg(database) : rc > 0 ? "not there" : "another size");
    fflush(stdout);
    return;
  }
  varve_iter_options range = {.prefix = varve_str(word[1])};
  int rc = varve_count(database, &range, &found);
  snprintf(text, sizeof(text), "%llu", (unsigned long long)found);
  answer(rc, text);
}

static int agent_clear(char **word) {
  char begin[32], end[32];
  snprintf(begin, sizeof(begin), "%s000000", word[1]);
  snprintf(end, sizeof(end), "%s%06u", word[1], (unsigned)atoi(word[2]));
  return varve_delete_range(database, varve_str(begin), varve_str(end), NULL);
}

/* What a child made by fork may try: nothing, an orderly end, a read, a write, a sync, to close, to open the path. What
 * it must not do is to harm the parent, or to hang. Its status is 40 where a call was refused, as it should be. */
static void agent_child(char **word, int count) {
  uint32_t size = 0;
  int rc = VARVE_FAILED;
  alarm(20);
  if (strcmp(word[1], "exit") == 0) exit(40);
  if (strcmp(word[1], "sleep") == 0) sleep(5);
  if (strcmp(word[1], "get") == 0) rc = agent_get("fork", &size);
  if (strcmp(word[1], "put") == 0) rc = agent_put("fork child", 500, VARVE_RELAXED);
  if (strcmp(word[1], "strict") == 0) rc = agent_put("fork child", 500, VARVE_STRICT);
  if (strcmp(word[1], "fill") == 0) {
    for (int i = 0; i < 500 && rc != VARVE_CLOSED; i++) rc = agent_put("fork child", 1000, VARVE_RELAXED);
  }
  if (strcmp(word[1], "sync") == 0) rc = varve_sync(database);
  if (strcmp(word[1], "flush") == 0) rc = varve_flush(database);
  if (strcmp(word[1], "compact") == 0) rc = varve_compact(database, NULL, NULL);
  if (strcmp(word[1], "close") == 0) rc = varve_close(database);
  if (strcmp(word[1], "open") == 0 && count > 2) rc = varve_open(word[2], NULL, &database);
  if (strcmp(word[1], "exec") == 0) execl("/bin/true", "true", (char *)NULL);
  _exit(rc < 0 ? 40 : 41);
}

static void agent_fork(char **word, int count) {
  char text[32];
  int status = 0;
  pid_t child = fork();
  if (child == 0) agent_child(word, count);
  if (strcmp(word[1], "sleep") != 0) waitpid(child, &status, 0);
  snprintf(text, sizeof(text), "%d %s %d", (int)child, WIFSIGNALED(status) ? "signal" : "exit",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
  answer(VARVE_OK, text);
}

/* false: there is no such verb. */
static bool agent_care(char **word) {
  if (strcmp(word[0], "verify") == 0) return answer(varve_verify(database, NULL, NULL, NULL), ""), true;
  if (strcmp(word[0], "compact") == 0) return answer(varve_compact(database, NULL, NULL), ""), true;
  if (strcmp(word[0], "flush") == 0) return answer(varve_flush(database), ""), true;
  if (strcmp(word[0], "sync") == 0) return answer(varve_sync(database), ""), true;
  if (strcmp(word[0], "backup") == 0) return answer(varve_backup(database, word[1], NULL, NULL, NULL), ""), true;
  if (strcmp(word[0], "clear") == 0) return answer(agent_clear(word), ""), true;
  if (strcmp(word[0], "close") != 0) return false;
  int rc = varve_close(database);
  if (rc >= 0) database = NULL;
  return answer(rc, ""), true;
}

static void agent_line(char **word, int count) {
  char text[32];
  uint32_t size = 0;
  if (strcmp(word[0], "open") == 0 && count > 3) return answer(agent_open(word, count), "");
  if (strcmp(word[0], "put") == 0 && count > 2) {
    return answer(agent_put(word[1], (uint32_t)atoi(word[2]), VARVE_RELAXED), "");
  }
  if (strcmp(word[0], "get") == 0) {
    int rc = agent_get(word[1], &size);
    snprintf(text, sizeof(text), "%u", size);
    return answer(rc, rc > 0 ? "NOTFOUND" : text);
  }
  if (strcmp(word[0], "number") == 0) return agent_number(word, count);
  if (strcmp(word[0], "fill") == 0 && count > 4) return agent_fill(word);
  if (strcmp(word[0], "check") == 0 && count > 3) return agent_check(word);
  if (strcmp(word[0], "fork") == 0 && count > 1) return agent_fork(word, count);
  if (strcmp(word[0], "pid") == 0) {
    snprintf(text, sizeof(text), "%d", (int)getpid());
    return answer(VARVE_OK, text);
  }
  if (!agent_care(word)) exit(2);
}

int main(void) {
  static char line[8192];
  signal(SIGXFSZ, SIG_IGN); /* a limit on the size of files is then an error of the call */
  while (fgets(line, sizeof(line), stdin) != NULL) {
    char *word[ARGUMENTS_MAX], *rest = NULL;
    int count = 0;
    for (char *at = strtok_r(line, " \n", &rest); at != NULL && count < ARGUMENTS_MAX; count++) {
      word[count] = at;
      at = strtok_r(NULL, " \n", &rest);
    }
    if (count > 0) agent_line(word, count);
  }
  if (database != NULL) varve_close(database);
  return 0;
}
