/* cli_verb_repair.c: a new database of what can be saved of a damaged one.
 *
 * Each loss is a line on standard output as soon as it is known, so that nothing is untold when the repair fails later.
 */
#include <inttypes.h>
#include <string.h>

#include "cli.h"

typedef struct repair_lines {
  cli_state *cli;
  cli_progress progress;
} repair_lines;

/* "KEY", of keyspace 3. */
static void repair_put_key(cli_buf *buf, varve_slice key, uint64_t keyspace) {
  char number[40];
  cli_buf_text(buf, "\"");
  cli_escaped_append(buf, key);
  cli_buf_text(buf, "\"");
  if (keyspace == 0) return;
  snprintf(number, sizeof number, keyspace == 1 ? " of the names of keyspaces" : " of keyspace %" PRIu64, keyspace);
  cli_buf_text(buf, number);
}

/* "; what is missing lies between "a" and "b"", as far as it is known. */
static void repair_put_range(cli_buf *buf, const varve_repair_loss *loss) {
  bool after = loss->after.data != NULL, before = loss->before.data != NULL;
  if (!after && !before) return;
  cli_buf_text(buf, "; what is missing lies ");
  cli_buf_text(buf, after && before ? "between " : after ? "after " : "before ");
  if (after) repair_put_key(buf, loss->after, loss->after_keyspace);
  if (after && before) cli_buf_text(buf, " and ");
  if (before) repair_put_key(buf, loss->before, loss->before_keyspace);
}

static void repair_print_loss(void *context, const varve_repair_loss *loss) {
  repair_lines *lines = context;
  cli_buf buf = {0};
  char number[32], text[80];
  cli_buf_text(&buf, loss->harmless ? "mended: " : "lost: ");
  cli_buf_text(&buf, loss->file);
  if (loss->size > 0) {
    cli_count_text(number, loss->size);
    snprintf(text, sizeof text, ", %s byte%s at offset %" PRIu64, number, cli_plural(loss->size), loss->offset);
    cli_buf_text(&buf, text);
  }
  if (buf.size > strlen(loss->harmless ? "mended: " : "lost: ")) cli_buf_text(&buf, ": ");
  cli_buf_text(&buf, loss->reason);
  if (!loss->harmless) repair_put_range(&buf, loss);
  cli_buf_text(&buf, "\n");
  cli_progress_end(&lines->progress); /* it is drawn anew below the line */
  if (!buf.failed) (void)cli_write(&lines->cli->out, buf.data, buf.size);
  cli_buf_free(&buf);
}

static int repair_tick(void *context, uint64_t done, uint64_t total) {
  repair_lines *lines = context;
  return cli_progress_tick(&lines->progress, done, total);
}

int cli_run_repair(cli_state *cli) {
  CLI_ASSERT(cli->db == NULL);
  const char *target = cli->words[0].data;
  repair_lines lines = {.cli = cli};
  varve_repair_report report = {0};
  varve_repair_options options = {.progress = repair_tick, .loss = repair_print_loss, .context = &lines};
  options.lock_wait_ms = cli->options.lock_wait_ms;
  cli_progress_begin(&lines.progress, "repair");
  int status = varve_repair(cli->path, target, &options, &report);
  cli_progress_end(&lines.progress);
  if (status != VARVE_OK) return cli_db_failed(NULL, status);
  char entries[32];
  cli_count_text(entries, report.entries);
  (void)cli_print(&cli->out, "repaired to %s: %s %s; %s is as it was\n", target, entries,
                  report.entries == 1 ? "entry" : "entries", cli->path);
  if (report.losses == 0) return CLI_OK;
  return cli_fail(CLI_LOST, "not everything could be saved: %" PRIu64 " loss%s, listed above", report.losses,
                  report.losses == 1 ? "" : "es");
}
