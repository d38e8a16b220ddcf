/* cli_terminal_posix.c: signals and the window of a POSIX terminal. */
#define _DEFAULT_SOURCE
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli.h"

static volatile sig_atomic_t terminal_signal_came;

static void terminal_on_signal(int number) {
  (void)number;
  terminal_signal_came = 1;
}

unsigned terminal_width(void) {
  struct winsize size = {0, 0, 0, 0};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

void terminal_prepare(void) {
  (void)signal(SIGPIPE, SIG_IGN);
}

void terminal_interrupts_catch(void) {
  struct sigaction action = {.sa_handler = terminal_on_signal, .sa_flags = SA_RESTART};
  (void)sigemptyset(&action.sa_mask);
  (void)sigaction(SIGINT, &action, NULL);
}

bool terminal_interrupted(void) {
  return terminal_signal_came != 0;
}

void terminal_interrupts_clear(void) {
  terminal_signal_came = 0;
}
