/* sim_ops.c: the operations of a run, and what is learnt from the engine after each. */
#include "sim_run.h"

enum { OPS_BATCH_MAX = 20 };

/* ---- commits ---- */

/* A keyspace that is there. */
static uint32_t ops_space(const sim_run *r, rng *g) {
  const sim_state *now = &r->history.commit[r->history.issued].after;
  uint32_t space = rng_percent(g, 30) ? 1 + rng_below(g, SIM_SPACES - 1) : 0;
  return now->made[space] ? space : 0;
}

static varve_write_options ops_options(const sim_run *r, rng *g, uint32_t space, bool *strict) {
  varve_write_options o = {.keyspace = r->space[space]};
  if (rng_percent(g, 60)) o.durability = rng_percent(g, r->plan->strict_percent) ? VARVE_STRICT : VARVE_RELAXED;
  *strict = o.durability == VARVE_STRICT ||
            (o.durability == VARVE_DURABILITY_DEFAULT && r->plan->options.durability == VARVE_STRICT);
  return o;
}

/* What the changes of a commit add up to. */
typedef struct ops_change {
  sim_state *next;
  uint32_t operations;
  bool taken, maybe_taken; /* a unique index must, or may, refuse it */
} ops_change;

static ops_change ops_begin(sim_run *r) {
  return (ops_change){.next = sim_history_begin(&r->history)};
}

static void ops_row(sim_run *r, ops_change *c, uint32_t space, uint32_t key, uint16_t number) {
  sim_row_change row;
  sim_index_row(r->plan, &r->history, c->next, c->next->value[space], space, key, number, &row);
  c->operations += row.operations;
  c->taken = c->taken || row.taken;
  c->maybe_taken = c->maybe_taken || row.maybe_taken;
  sim_index_posted(r->plan, &r->history, c->next, space, key, c->next->value[space][key], number);
  c->next->value[space][key] = number;
  sim_touch(r, space, key, key + 1);
  sim_touch_codes(r, &row.codes);
}

static void ops_rows_end(sim_run *r, ops_change *c, uint32_t space, uint32_t low, uint32_t high) {
  uint32_t operations = c->operations + 1;
  for (uint32_t i = low; i < high; i++) {
    bool there = c->next->value[space][i] != 0;
    if (there) ops_row(r, c, space, i, 0);
    if (there) operations = --c->operations + 1; /* the row itself goes with the range */
  }
  c->operations = operations;
  sim_touch(r, space, low, high);
}

/* After the call. */
static void ops_committed(sim_run *r, int rc, const ops_change *c, bool strict) {
  sim_history *h = &r->history;
  if (rc == VARVE_EXISTS && (c->taken || c->maybe_taken)) {
    sim_trace(r->world, "refused", h->issued, c->operations, 0, NULL, 0);
    h->pending = false;
    sim_touched_now(r, false);
    r->world->counts.reached[SIM_COUNT_unique_refusals]++;
    if (atomic_load(&r->session.db->lsm->last_seq) == h->commit[h->issued].seq) return;
    (void)sim_fail(r->world, "sequence", "operation %u: a write that was refused took a sequence", (unsigned)r->op);
    return;
  }
  if (rc >= 0 && c->taken) {
    (void)sim_fail(r->world, "unique", "operation %u: a second row got a key of a unique index", (unsigned)r->op);
    return;
  }
  sim_run_committed(r, rc, c->operations, strict);
}

static void ops_put_into(sim_run *r, rng *g, uint32_t space, uint32_t key) {
  bool strict;
  varve_write_options o = ops_options(r, g, space, &strict);
  ops_change c = ops_begin(r);
  uint16_t number = sim_index_new_value(r, g, space);
  ops_row(r, &c, space, key, number);
  varve_slice value = sim_history_value(&r->history, number);
  if (value.size >= 3000) r->world->counts.reached[SIM_COUNT_big_values]++;
  sim_history_pend(&r->history, c.operations);
  /* The bytes are needed only until the call has copied them; images in between make other values. */
  ops_committed(r, varve_put(r->session.db, sim_history_key(&r->history, key), value, &o), &c, strict);
}

static void ops_put(sim_run *r, rng *g) {
  uint32_t space = ops_space(r, g), key = rng_below(g, SIM_KEYS);
  ops_put_into(r, g, space, key);
}

static void ops_delete_in(sim_run *r, rng *g, uint32_t space) {
  bool strict;
  uint32_t key = rng_below(g, SIM_KEYS);
  varve_write_options o = ops_options(r, g, space, &strict);
  ops_change c = ops_begin(r);
  ops_row(r, &c, space, key, 0);
  sim_history_pend(&r->history, c.operations);
  ops_committed(r, varve_delete(r->session.db, sim_history_key(&r->history, key), &o), &c, strict);
}

static void ops_delete(sim_run *r, rng *g) {
  uint32_t space = ops_space(r, g);
  ops_delete_in(r, g, space);
}

/* A range, mostly short; high = SIM_KEYS stands for no end. */
void sim_op_draw_range(rng *g, uint32_t *low, uint32_t *high) {
  *low = rng_below(g, SIM_KEYS);
  uint32_t span = 1 + (rng_percent(g, 75) ? rng_below(g, 6) : rng_below(g, SIM_KEYS));
  *high = MIN(*low + span, (uint32_t)SIM_KEYS);
}

static varve_slice ops_range_end(const sim_run *r, uint32_t high) {
  varve_slice none = {NULL, 0};
  return high < SIM_KEYS ? sim_history_key(&r->history, high) : none;
}

static void ops_range_in(sim_run *r, rng *g, uint32_t space) {
  bool strict;
  uint32_t low, high;
  varve_write_options o = ops_options(r, g, space, &strict);
  sim_op_draw_range(g, &low, &high);
  ops_change c = ops_begin(r);
  ops_rows_end(r, &c, space, low, high);
  sim_history_pend(&r->history, c.operations);
  r->world->counts.reached[SIM_COUNT_range_deletes]++;
  r->world->counts.reached[SIM_COUNT_range_deletes_of_rows] += c.operations > 1;
  int rc = varve_delete_range(r->session.db, sim_history_key(&r->history, low), ops_range_end(r, high), &o);
  ops_committed(r, rc, &c, strict);
}

static void ops_range(sim_run *r, rng *g) {
  uint32_t space = ops_space(r, g);
  ops_range_in(r, g, space);
}

static int ops_batch_add(sim_run *r, rng *g, varve_batch *b, ops_change *c, uint32_t space) {
  uint32_t key = rng_below(g, SIM_KEYS), what = rng_below(g, 10);
  if (what < 6) {
    uint16_t number = sim_index_new_value(r, g, space);
    ops_row(r, c, space, key, number);
    varve_slice value = sim_history_value(&r->history, number);
    return varve_batch_put(b, r->space[space], sim_history_key(&r->history, key), value);
  }
  if (what < 9) {
    ops_row(r, c, space, key, 0);
    return varve_batch_delete(b, r->space[space], sim_history_key(&r->history, key));
  }
  uint32_t low, high;
  sim_op_draw_range(g, &low, &high);
  ops_rows_end(r, c, space, low, high);
  r->world->counts.reached[SIM_COUNT_range_deletes]++;
  return varve_batch_delete_range(b, r->space[space], sim_history_key(&r->history, low), ops_range_end(r, high));
}

/* `only` < 0: changes of any keyspaces. */
static void ops_batch_in(sim_run *r, rng *g, int only) {
  bool strict;
  varve_write_options o = ops_options(r, g, 0, &strict);
  varve_batch *b;
  if (varve_batch_create(&b) < 0) return;
  ops_change c = ops_begin(r);
  uint32_t count = 2 + rng_below(g, rng_percent(g, 20) ? OPS_BATCH_MAX : 4);
  int rc = VARVE_OK;
  for (uint32_t i = 0; i < count && rc >= 0; i++) {
    rc = ops_batch_add(r, g, b, &c, only < 0 ? ops_space(r, g) : (uint32_t)only);
  }
  if (rc < 0) {
    (void)sim_fail(r->world, "batch", "%s: %s", varve_status_name(rc), varve_errmsg(NULL));
  } else {
    sim_history_pend(&r->history, c.operations);
    r->world->counts.reached[SIM_COUNT_batches]++;
    ops_committed(r, varve_write(r->session.db, b, &o), &c, strict);
  }
  varve_batch_destroy(b);
}

void sim_op_row(sim_run *r, rng *g, uint32_t space) {
  uint32_t what = rng_below(g, 10);
  if (what < 5) return ops_put_into(r, g, space, rng_below(g, SIM_KEYS));
  if (what < 7) return ops_delete_in(r, g, space);
  if (what < 8) return ops_range_in(r, g, space);
  ops_batch_in(r, g, (int)space);
}

/* Rows of a keyspace that has indexes, or may get some. */
static void ops_rows(sim_run *r, rng *g) {
  uint32_t space = 1 + rng_below(g, SIM_SPACES - 1);
  if (r->space[space] == NULL) return sim_op_keyspace(r, space);
  sim_op_row(r, g, space);
}

/* Indexes go with their keyspace. */
static uint32_t ops_indexes_end(const sim_run *r, sim_state *next, uint32_t space) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < SIM_INDEXES; i++) {
    if (r->plan->index[i].space != space || next->index[i] == SIM_INDEX_NONE) continue;
    next->index[i] = SIM_INDEX_NONE;
    memset(next->posted[i], 0, sizeof next->posted[i]);
    count++;
  }
  return count;
}

/* Both are commits of two operations, and two for each index; reads before them may fail as well. */
void sim_op_keyspace(sim_run *r, uint32_t space) {
  bool strict = r->plan->options.durability == VARVE_STRICT;
  bool make = !r->history.commit[r->history.issued].after.made[space];
  sim_state *next = sim_history_begin(&r->history);
  next->made[space] = make;
  memset(next->value[space], 0, sizeof next->value[space]);
  uint32_t indexes = ops_indexes_end(r, next, space), operations = 2 + 2 * indexes;
  sim_history_pend(&r->history, operations);
  int rc = make ? varve_keyspace_open(r->session.db, sim_space_name(space), &r->space[space])
                : varve_keyspace_drop(r->session.db, sim_space_name(space));
  if (rc == VARVE_NOTFOUND) (void)sim_fail(r->world, "catalogue", "a keyspace to be dropped is not there");
  sim_run_committed(r, rc, operations, strict);
  if (!make && r->history.commit[r->history.issued].after.made[space] == false) {
    r->space[space] = NULL;
    sim_txn_space_gone(r, space);
    r->world->counts.reached[SIM_COUNT_indexes_gone_with_keyspace] += indexes > 0;
  }
  if (rc < 0 && make && r->history.commit[r->history.issued].after.made[space]) {
    /* It was made and could not be synced: the handle comes with the next open. */
    int again = varve_keyspace_open(r->session.db, sim_space_name(space), &r->space[space]);
    if (again < 0) (void)sim_run_may_fail(r, again, "keyspace_open");
  }
  if (rc >= 0) r->world->counts.reached[make ? SIM_COUNT_keyspaces_made : SIM_COUNT_keyspaces_dropped]++;
}

/* ---- care ---- */

/* A call that brings everything to stable storage when it says OK. */
static void ops_durable(sim_run *r, int rc, const char *what, bool logged) {
  sim_trace(r->world, what, (uint64_t)(rc & 0xffff), r->history.issued, 0, NULL, 0);
  sim_run_observe(r);
  if (rc < 0) {
    (void)sim_run_may_fail(r, rc, what);
  } else {
    sim_history_synced(&r->history, logged);
  }
}

static void ops_work(sim_run *r, rng *g) {
  uint32_t turns = 1 + rng_below(g, 4);
  bool more = true;
  for (uint32_t i = 0; i < turns && more && !r->world->failed; i++) {
    uint32_t budget = rng_percent(g, 50) ? rng_below(g, 300) : rng_below(g, 30000);
    int rc = varve_work(r->session.db, budget, &more);
    sim_trace(r->world, "work", (uint64_t)(rc & 0xffff), budget, more, NULL, 0);
    if (rc < 0) (void)sim_run_may_fail(r, rc, "work");
    sim_run_observe(r);
  }
}

/* Everything is read and compared. */
static void ops_look(sim_run *r) {
  int rc = VARVE_OK;
  const sim_history *h = &r->history;
  bool same = sim_check_state(&r->checker, r->session.db, &h->commit[h->issued].after, true, &rc);
  if (!same && rc < 0) (void)sim_run_may_fail(r, rc, "look");
}

static void ops_verify(sim_run *r) {
  varve_verify_report report;
  int rc = varve_verify(r->session.db, &report, NULL, NULL);
  r->world->counts.reached[SIM_COUNT_verifies]++;
  sim_trace(r->world, "verify", (uint64_t)(rc & 0xffff), report.entries, report.bytes, NULL, 0);
  if (rc == VARVE_CORRUPT && r->disk->sync_failed) return; /* what the failed sync lost is missed: well seen */
  if (rc < 0) (void)sim_run_may_fail(r, rc, "verify");
}

void sim_op_run(sim_run *r, const sim_op *op, rng *g) {
  varve_db *db = r->session.db;
  switch (op->kind) {
    case SIM_OP_put:
      return ops_put(r, g);
    case SIM_OP_delete:
      return ops_delete(r, g);
    case SIM_OP_range:
      return ops_range(r, g);
    case SIM_OP_batch:
      return ops_batch_in(r, g, -1);
    case SIM_OP_keyspace:
      return sim_op_keyspace(r, 1 + rng_below(g, SIM_SPACES - 1));
    case SIM_OP_sync:
      return ops_durable(r, varve_sync(db), "sync", true);
    case SIM_OP_flush:
      return ops_durable(r, varve_flush(db), "flush", false);
    case SIM_OP_compact:
      r->world->counts.reached[SIM_COUNT_compaction_full]++;
      return ops_durable(r, varve_compact(db, NULL, NULL), "compact", false);
    case SIM_OP_work:
      return ops_work(r, g);
    case SIM_OP_snapshot:
      return sim_reads_snapshot(r, g);
    case SIM_OP_iterator:
      return sim_reads_iterator(r, g);
    case SIM_OP_look:
      return ops_look(r);
    case SIM_OP_verify:
      return ops_verify(r);
    case SIM_OP_backup:
      return sim_backup_run(r, g);
    case SIM_OP_reopen:
      r->world->counts.reached[SIM_COUNT_reopens]++;
      return sim_run_restart(r, SIM_MODES, g);
    case SIM_OP_kill:
      r->world->counts.reached[SIM_COUNT_kills]++;
      return sim_run_restart(r, SIM_KILL, g);
    case SIM_OP_power: {
      static const int modes[4] = {SIM_NONE, SIM_PREFIX, SIM_SUBSET, SIM_SUBSET};
      r->world->counts.reached[SIM_COUNT_power_cuts]++;
      return sim_run_restart(r, modes[rng_below(g, 4)], g);
    }
    case SIM_OP_tx_begin:
      return sim_txn_begin(r, g);
    case SIM_OP_tx_write:
      return sim_txn_write_run(r, g);
    case SIM_OP_tx_read:
      return sim_txn_read_run(r, g);
    case SIM_OP_tx_mark:
      return sim_txn_mark_run(r, g);
    case SIM_OP_tx_end:
      return sim_txn_end_run(r, g);
    case SIM_OP_row:
      return ops_rows(r, g);
    case SIM_OP_index:
      return sim_index_run(r, g);
    case SIM_OP_index_look:
      return sim_index_look(r, g);
    default:
      break;
  }
}

/* ---- what the engine did ---- */

static void observe_job(sim_run *r, const lsm *l) {
  uint64_t *reached = r->world->counts.reached;
  if (l->compact_job == NULL) return;
  const job_inputs *in = job_in(l->compact_job);
  uint32_t first = 0;
  while (first + 1 < LEVELS && in->level[first].from == in->level[first].to) first++;
  if (l->full_job == l->compact_job) return;
  if (first == 0) reached[SIM_COUNT_compaction_l0]++;
  if (first > 0 && first < in->output_level) reached[SIM_COUNT_compaction_deeper]++;
  if (first == in->output_level) reached[SIM_COUNT_compaction_same_level]++;
}

void sim_run_observe_log(sim_run *r) {
  const lsm *l = r->session.db->lsm;
  uint64_t log = wal_log_number(l->wal), file = wal_file_number(l->wal), *reached = r->world->counts.reached;
  if (l->root.manifest != r->seen_manifest) reached[SIM_COUNT_manifest_rewritten]++;
  r->seen_manifest = l->root.manifest;
  if (log == r->seen_log) return;
  reached[SIM_COUNT_wal_rotated]++;
  for (uint32_t i = 0; i < COUNT_OF(r->seen_files); i++) {
    if (r->seen_files[i] == file) {
      reached[SIM_COUNT_wal_recycled]++;
      break;
    }
  }
  r->seen_files[r->seen_file_at++ % COUNT_OF(r->seen_files)] = file;
  r->seen_log = log;
  /* Frames of a new log prove nothing about syncs yet. */
  sim_history *h = &r->history;
  uint32_t before = h->commit[h->issued > 0 ? h->issued - 1 : 0].proven;
  h->commit[h->issued].proven = MIN(h->commit[h->issued].proven, before);
  h->proven = h->commit[h->issued].proven;
}

void sim_run_observe(sim_run *r) {
  if (r->session.db == NULL) return;
  const lsm *l = r->session.db->lsm;
  uint64_t *reached = r->world->counts.reached, tombstones = 0, levels = 0;
  varve_stats s;
  if (varve_get_stats(r->session.db, &s) < 0) return;
  sim_run_observe_log(r);
  observe_job(r, l);
  reached[SIM_COUNT_flush] += s.flushes > r->stats.flushes;
  reached[SIM_COUNT_trivial_move] += s.trivial_moves > r->stats.trivial_moves;
  for (uint32_t i = 0; i < s.levels; i++) {
    tombstones += s.level[i].tombstones;
    levels += s.level[i].tables > 0;
  }
  reached[SIM_COUNT_tombstones_dropped] += s.compactions > r->stats.compactions && tombstones < r->seen_tombstones;
  reached[SIM_COUNT_three_levels] += levels >= 3;
  r->seen_tombstones = tombstones;
  r->age = (sim_age){s.flushes, s.compactions + s.trivial_moves};
  r->stats = s;
  const view *v = atomic_load(&l->view);
  for (uint32_t i = 0; i < LEVELS; i++) {
    for (uint32_t k = 0; k < v->current->level[i].count; k++) {
      const table_meta *t = v->current->level[i].tables[k];
      reached[SIM_COUNT_range_tombstones_in_tables] += t->range_tombstones > 0;
      reached[SIM_COUNT_mapped_tables] += (r->disk->base.traits & VFS_MAP_READ) != 0 && !l->options.no_mmap;
    }
  }
  if ((r->disk->base.traits & VFS_MAP_WRITE) != 0 && wal_memory(l->wal) > 0) reached[SIM_COUNT_mapped_log]++;
}
