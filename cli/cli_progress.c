/* cli_progress.c: one line on a terminal's standard error that shows how far long work is.
 *
 * It appears after a second, is redrawn ten times a second, and is wiped at the end: what scripts see never changes.
 */
#include <inttypes.h>
#include <string.h>

#include "cli.h"

#define PROGRESS_DELAY_US 1000000u
#define PROGRESS_FRAME_US 100000u
#define PROGRESS_BAR_MAX  50u

void cli_progress_begin(cli_progress *progress, const char *label) {
  *progress = (cli_progress){.label = label, .start_us = terminal_now_us(), .terminal = terminal_is(stderr)};
}

/* "[####----]" of `width` cells, 6 for the percent, and the time that is left when the pace stays. */
static void progress_draw(const cli_progress *progress, uint64_t done, uint64_t total, uint64_t elapsed_us) {
  if (total == 0) {
    fprintf(stderr, "\r%s: %" PRIu64 " (%" PRIu64 " s)\033[K", progress->label, done, elapsed_us / 1000000);
    return;
  }
  if (done > total) done = total;
  double part = (double)done / (double)total;
  unsigned columns = terminal_width(), fixed = (unsigned)strlen(progress->label) + 30;
  unsigned width = columns > fixed + 5 ? columns - fixed : 5;
  if (width > PROGRESS_BAR_MAX) width = PROGRESS_BAR_MAX;
  char bar[PROGRESS_BAR_MAX + 1];
  unsigned filled = (unsigned)(part * width);
  CLI_ASSERT(filled <= width);
  memset(bar, '#', filled);
  memset(bar + filled, '-', width - filled);
  bar[width] = '\0';
  unsigned left = part > 0 ? (unsigned)((double)elapsed_us / 1e6 * (1 - part) / part) : 0;
  fprintf(stderr, "\r%s [%s] %3u %%  %u:%02u left\033[K", progress->label, bar, (unsigned)(part * 100), left / 60,
          left % 60);
}

int cli_progress_tick(void *context, uint64_t done, uint64_t total) {
  cli_progress *progress = context;
  if (terminal_interrupted()) return 1;
  if (!progress->terminal) return 0;
  uint64_t now = terminal_now_us();
  if (now - progress->start_us < PROGRESS_DELAY_US || now - progress->drawn_us < PROGRESS_FRAME_US) return 0;
  progress_draw(progress, done, total, now - progress->start_us);
  fflush(stderr);
  progress->drawn_us = now;
  progress->drawn = true;
  return 0;
}

void cli_progress_end(cli_progress *progress) {
  if (progress->drawn) fputs("\r\033[K", stderr);
  progress->drawn = false;
}

#undef PROGRESS_DELAY_US
#undef PROGRESS_FRAME_US
#undef PROGRESS_BAR_MAX
