/* history.h: is a history of transactions what its isolation level promises? An exact answer, from what was read and
 * the known order of commits: a graph of who wrote after, read from, and was overwritten after being read by whom; its
 * circles are anomalies (A. Adya, 1999; names as in Elle, K. Kingsbury and P. Alvaro, 2020).
 *
 *   ww   wrote the next version of a key      wr   read the other's version
 *   rw   read the version before the other's
 *
 *   G0             a circle of ww
 *   G1a, G1b       read what was rolled back; read what was not a transaction's last value
 *   G1c            a circle of ww and wr, with a wr
 *   lost update    read a version, wrote the key, and another version came in between
 *   G-single       a circle with one rw
 *   G-nonadjacent  a circle with several rw, no two of them in a row
 *   G2-item, G2    a circle with two rw in a row; G2 when a range was read on the way
 *   internal       did not see its own write
 *   missed         read nothing where its state has a value (a read that is not of one state)
 *
 * A read of a range counts as a read of each key in it, those that are not there included.
 */
#ifndef VARVE_HISTORY_H
#define VARVE_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HISTORY_KEYS = 12 };

/* What one step of a transaction did to, or saw of, one key. A value is the number of its writer and of the step. */
typedef struct history_step {
  uint8_t key;
  bool write;
  bool range;          /* a read that is part of a range's */
  bool none;           /* read: nothing was there; write: a delete */
  uint32_t writer, at; /* read: of the value; write: `at` is its own */
} history_step;

typedef struct history_txn {
  bool committed;
  uint64_t snapshot; /* the sequence that it saw, 0 = it sees no one state */
  uint64_t sequence; /* of its commit, when it wrote something */
  size_t from, to;   /* its steps */
} history_txn;

/* Transaction 0 has written the first version of every key. */
typedef struct history {
  history_txn *txns;
  size_t txn_count, txn_room;
  history_step *steps;
  size_t step_count, step_room;
} history;

typedef enum history_anomaly {
  HISTORY_G0,
  HISTORY_G1A,
  HISTORY_G1B,
  HISTORY_G1C,
  HISTORY_INTERNAL,
  HISTORY_MISSED,
  HISTORY_LOST_UPDATE,
  HISTORY_G_SINGLE,
  HISTORY_G_NONADJACENT,
  HISTORY_G2_ITEM,
  HISTORY_G2,
  HISTORY_ANOMALIES
} history_anomaly;

typedef struct history_report {
  uint64_t transactions, committed, steps, edges[3]; /* ww, wr, rw */
  uint64_t found[HISTORY_ANOMALIES];
  char example[HISTORY_ANOMALIES][200]; /* of each: the first */
} history_report;

const char *history_anomaly_name(history_anomaly a);
/* Anomalies that the level (1 = read committed, 2 = snapshot, 3 = serializable) forbids and the report has. */
uint64_t history_forbidden(const history_report *r, int level);

void history_free(history *h);
/* Adds transaction `number`, which is over, with its steps in their order; each number once, in any order. */
void history_add(history *h, size_t number, history_txn t, const history_step *steps, size_t count);
void history_check(const history *h, history_report *r);

#endif
