/* cli_terminal_none.c: for hosts without signals and windows (WASI). There a write to a closed pipe just fails. */
#include "cli.h"

unsigned terminal_width(void) {
  return 80;
}

void terminal_prepare(void) {
}

void terminal_interrupts_catch(void) {
}

bool terminal_interrupted(void) {
  return false;
}

void terminal_interrupts_clear(void) {
}
