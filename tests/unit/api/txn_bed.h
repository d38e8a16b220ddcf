/* txn_bed.h: what the tests of transactions share. */
#ifndef VARVE_TXN_BED_H
#define VARVE_TXN_BED_H

#include "unit/api/engine_bed.h"

static inline varve_db *txn_open(const char *path, bool threads) {
  varve_db *db;
  varve_options o = {.no_thread = !threads};
  TEST_OK(varve_open(path, &o, &db));
  return db;
}

static inline varve_txn *txn_at(varve_db *db, varve_isolation level, uint32_t wait_ms) {
  varve_txn *t;
  varve_txn_options o = {.isolation = level, .lock_wait_ms = wait_ms};
  TEST_OK(varve_txn_begin(db, &o, &t));
  return t;
}

#endif
