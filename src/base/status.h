/* status.h: outcomes, and the one shape of error handling.
 *
 * A function that can fail returns int: 0 done, > 0 an expected outcome, < 0 a failure (enum varve_status). Whoever
 * finds a failure says what it saw with status_fail, once, where the file, offset and size are known; callers pass
 * the number on. The message is kept for the calling thread (varve_errmsg).
 *
 *     TRY(expr)    before anything is owned: returns expr's failure
 *     STEP(expr)   after: keeps it in `rc` and goes to `out`
 *     ALSO(expr)   while releasing: the first failure is the one kept
 *
 * TRY and STEP let outcomes > 0 pass. A function that uses STEP declares `int rc = VARVE_OK;` and has one label, `out`.
 */
#ifndef VARVE_STATUS_H
#define VARVE_STATUS_H

#include "base/base.h"

/* Keeps the message and returns `status`, which must be < 0. printf's rules; cut at 511 bytes. */
#define status_fail(status, ...)               \
  __extension__({                              \
    int fail_rc_ = (status);                   \
    status_record(fail_rc_, __VA_ARGS__);      \
    fail_rc_; /* known to the compiler here */ \
  })
INTERNAL void status_record(int status, const char *format, ...) __attribute__((cold, format(printf, 2, 3)));

/* The calling thread's message (never NULL), and a way to put one back that was kept. */
#define STATUS_MESSAGE_SIZE 512
INTERNAL const char *status_message(void);
INTERNAL void status_keep_message(char kept[STATUS_MESSAGE_SIZE]);
INTERNAL void status_set_message(const char *message);

#define TRY(expr)                              \
  do {                                         \
    int try_rc_ = (expr);                      \
    if (UNLIKELY(try_rc_ < 0)) return try_rc_; \
  } while (0)

#define STEP(expr)                  \
  do {                              \
    rc = (expr);                    \
    if (UNLIKELY(rc < 0)) goto out; \
  } while (0)

#define ALSO(expr)                                        \
  do {                                                    \
    int also_rc_ = (expr);                                \
    if (UNLIKELY(also_rc_ < 0) && rc >= 0) rc = also_rc_; \
  } while (0)

#endif
