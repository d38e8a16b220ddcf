/* cli_verbs_care.c: verify, compact, backup, restore, convert, stats. */
#include <inttypes.h>
#include <string.h>

#include "cli.h"

int cli_run_verify(cli_state *cli) {
  varve_verify_report report = {0};
  cli_progress progress;
  cli_progress_begin(&progress, "verify");
  int status = varve_verify(cli->db, &report, cli_progress_tick, &progress);
  cli_progress_end(&progress);
  if (status == VARVE_CORRUPT && report.errors > 0) {
    return cli_fail(CLI_CORRUPT, "CORRUPT: %" PRIu64 " problem%s found, the first: %s", report.errors,
                    report.errors == 1 ? "" : "s", report.first);
  }
  if (status != VARVE_OK) return cli_db_failed(cli->db, status);
  char size[32];
  cli_size_text(size, report.bytes);
  (void)cli_print(&cli->out, "OK: %" PRIu64 " file%s, %" PRIu64 " block%s, %" PRIu64 " %s, %s read\n", report.files,
                  cli_plural(report.files), report.blocks, cli_plural(report.blocks), report.entries,
                  report.entries == 1 ? "entry" : "entries", size);
  return CLI_OK;
}

int cli_run_compact(cli_state *cli) {
  varve_stats before = {0}, after = {0};
  char from[32], to[32];
  cli_progress progress;
  int status = varve_get_stats(cli->db, &before);
  if (status != VARVE_OK) return cli_db_failed(cli->db, status);
  cli_progress_begin(&progress, "compact");
  status = varve_compact(cli->db, cli_progress_tick, &progress);
  cli_progress_end(&progress);
  if (status == VARVE_OK) status = varve_get_stats(cli->db, &after);
  if (status != VARVE_OK) return cli_db_failed(cli->db, status);
  cli_size_text(from, before.disk_bytes);
  cli_size_text(to, after.disk_bytes);
  (void)cli_print(&cli->out, "compacted: %s before, %s now\n", from, to);
  return CLI_OK;
}

int cli_run_backup(cli_state *cli) {
  const char *target = cli->words[0].data;
  varve_backup_report report = {0};
  cli_progress progress;
  cli_progress_begin(&progress, "backup");
  int status = varve_backup(cli->db, target, &report, cli_progress_tick, &progress);
  cli_progress_end(&progress);
  if (status != VARVE_OK) return cli_db_failed(cli->db, status);
  char size[32];
  cli_size_text(size, report.bytes_copied);
  (void)cli_print(&cli->out,
                  "backup complete: %" PRIu64 " file%s copied (%s), %" PRIu64
                  " kept; to restore it: varve NEW_PATH restore %s\n",
                  report.files_copied, cli_plural(report.files_copied), size, report.files_kept, target);
  return CLI_OK;
}

int cli_run_restore(cli_state *cli) {
  CLI_ASSERT(cli->db == NULL);
  cli_progress progress;
  cli_progress_begin(&progress, "restore");
  int status = varve_restore(cli->words[0].data, cli->path, cli_progress_tick, &progress);
  cli_progress_end(&progress);
  if (status == VARVE_MISSING && strncmp(varve_errmsg(NULL), "there is no database", 20) == 0) {
    return cli_fail(CLI_ERROR, "MISSING: there is no backup at '%s'; check the path", (const char *)cli->words[0].data);
  }
  if (status != VARVE_OK) return cli_db_failed(NULL, status);
  (void)cli_print(&cli->out, "restored to %s\n", cli->path);
  return CLI_OK;
}

typedef struct convert_progress {
  cli_progress bar;
  uint64_t total;
} convert_progress;

static int convert_tick(void *context, uint64_t done, uint64_t total) {
  convert_progress *p = context;
  p->total = total;
  return cli_progress_tick(&p->bar, done, total);
}

int cli_run_convert(cli_state *cli) {
  CLI_ASSERT(cli->db == NULL);
  const char *target = cli->words[0].data;
  convert_progress progress = {.total = 0};
  cli_progress_begin(&progress.bar, "convert");
  int status = varve_convert(cli->path, target, convert_tick, &progress);
  cli_progress_end(&progress.bar);
  if (status != VARVE_OK) return cli_db_failed(NULL, status);
  char size[32];
  cli_size_text(size, progress.total);
  (void)cli_print(&cli->out, "converted to %s: %s copied; %s is as it was\n", target, size, cli->path);
  return CLI_OK;
}

/* ---- stats ---- */

/* Every number of varve_stats once: X(member, words, is it bytes). The second map is of what the process counted. */
#define STATS_SIZES(X)                         \
  X(sequence, "last commit's sequence", false) \
  X(disk_bytes, "on disk", true)               \
  X(table_bytes, "  in tables", true)          \
  X(log_bytes, "  in the log", true)           \
  X(memory_bytes, "memory held", true)         \
  X(memory_bytes_max, "  at most", true)       \
  X(memtable_bytes, "  not yet in tables", true)
#define STATS_COUNTERS(X)                                     \
  X(cache_bytes, "cache", true)                               \
  X(cache_hits, "cache hits", false)                          \
  X(cache_misses, "cache misses", false)                      \
  X(commits, "commits", false)                                \
  X(writes, "changes", false)                                 \
  X(gets, "gets", false)                                      \
  X(iterators, "open iterators", false)                       \
  X(snapshots, "open snapshots", false)                       \
  X(bytes_written, "written by commits", true)                \
  X(flushes, "flushes", false)                                \
  X(bytes_flushed, "  written by them", true)                 \
  X(compactions, "compactions", false)                        \
  X(trivial_moves, "  tables moved as they are", false)       \
  X(bytes_compacted_in, "  read by them", true)               \
  X(bytes_compacted_out, "  written by them", true)           \
  X(syncs, "syncs", false)                                    \
  X(stalls, "commits that waited for background work", false) \
  X(stall_us, "  microseconds in all", false)

static void stats_print_json(cli_output *out, const varve_stats *stats) {
  (void)cli_print(out, "{");
#define STATS_JSON(member, words, bytes) (void)cli_print(out, "\"%s\":%" PRIu64 ",", #member, stats->member);
  STATS_SIZES(STATS_JSON)
  STATS_COUNTERS(STATS_JSON)
#undef STATS_JSON
  (void)cli_print(out, "\"levels\":[");
  for (uint32_t i = 0; i < stats->levels && i < VARVE_LEVELS_MAX; i++) {
    const varve_level_stats *level = &stats->level[i];
    (void)cli_print(
        out, "%s{\"tables\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"entries\":%" PRIu64 ",\"tombstones\":%" PRIu64 "}",
        i == 0 ? "" : ",", level->tables, level->bytes, level->entries, level->tombstones);
  }
  (void)cli_print(out, "]}\n");
}

static void stats_print_row(cli_output *out, const char *words, uint64_t number, bool bytes) {
  char text[32];
  if (bytes) {
    cli_size_text(text, number);
  } else {
    cli_count_text(text, number);
  }
  (void)cli_print(out, "%-42s %14s\n", words, text);
}

static void stats_print_level(cli_output *out, uint32_t number, const varve_level_stats *level) {
  char tables[32], size[32], entries[32], tombstones[32];
  cli_count_text(tables, level->tables);
  cli_size_text(size, level->bytes);
  cli_count_text(entries, level->entries);
  cli_count_text(tombstones, level->tombstones);
  (void)cli_print(out, "%-6" PRIu32 " %10s %12s %14s %12s\n", number, tables, size, entries, tombstones);
}

/* The counters of a process that has just opened the database say nothing; those of a shell do. */
static void stats_print_table(cli_output *out, const varve_stats *stats, bool counters) {
#define STATS_ROW(member, words, bytes) stats_print_row(out, words, stats->member, bytes);
  STATS_SIZES(STATS_ROW)
  if (counters) {
    STATS_COUNTERS(STATS_ROW)
  }
#undef STATS_ROW
  bool any = false;
  for (uint32_t i = 0; i < stats->levels && i < VARVE_LEVELS_MAX; i++) {
    if (stats->level[i].tables == 0) continue;
    if (!any) (void)cli_print(out, "\n%-6s %10s %12s %14s %12s\n", "level", "tables", "size", "entries", "tombstones");
    any = true;
    stats_print_level(out, i, &stats->level[i]);
  }
}

int cli_run_stats(cli_state *cli) {
  varve_stats stats = {0};
  int status = varve_get_stats(cli->db, &stats);
  if (status != VARVE_OK) return cli_db_failed(cli->db, status);
  if ((cli->command.given & CLI_OPT_JSON) != 0 || cli->format == CLI_FORMAT_JSON) {
    stats_print_json(&cli->out, &stats);
  } else {
    stats_print_table(&cli->out, &stats, cli->shell);
  }
  return CLI_OK;
}

#undef STATS_SIZES
#undef STATS_COUNTERS
