/* sim_counts.h: what the runs reached. A simulator that never gets somewhere proves nothing about it, so every counter
 * here must be above zero after 1,000 seeds (torture_main.c fails the run otherwise).
 *
 * X(name, places): places = where it can happen: DIR, SINGLE, BOTH.
 */
#ifndef VARVE_SIM_COUNTS_H
#define VARVE_SIM_COUNTS_H

#include "env/vfs.h"

#define SIM_COUNT_MAP(X)                    \
  /* the life of a database */              \
  X(commits, BOTH)                          \
  X(strict_commits, BOTH)                   \
  X(batches, BOTH)                          \
  X(range_deletes, BOTH)                    \
  X(big_values, BOTH)                       \
  X(keyspaces_made, BOTH)                   \
  X(keyspaces_dropped, BOTH)                \
  X(reopens, BOTH)                          \
  X(kills, BOTH)                            \
  X(power_cuts, BOTH)                       \
  X(verifies, BOTH)                         \
  X(backups, BOTH)                          \
  X(backups_updated, BOTH)                  \
  X(backup_beside_writes, BOTH)             \
  X(backup_images, BOTH)                    \
  X(restores, BOTH)                         \
  /* what the engine did */                 \
  X(flush, BOTH)                            \
  X(compaction_l0, BOTH)                    \
  X(compaction_deeper, BOTH)                \
  X(compaction_same_level, BOTH)            \
  X(compaction_full, BOTH)                  \
  X(trivial_move, BOTH)                     \
  X(three_levels, BOTH)                     \
  X(tombstones_dropped, BOTH)               \
  X(range_tombstones_in_tables, BOTH)       \
  X(wal_rotated, BOTH)                      \
  X(wal_recycled, BOTH)                     \
  X(manifest_rewritten, BOTH)               \
  X(torn_tail_cut, BOTH)                    \
  X(log_dropped, DIR)                       \
  X(many_logs_recovered, BOTH)              \
  X(mid_log_corruption, BOTH)               \
  X(snapshot_across_compaction, BOTH)       \
  X(snapshot_across_flush, BOTH)            \
  X(iterator_across_compaction, BOTH)       \
  X(iterator_over_dead_tables, BOTH)        \
  X(writes_refused_after_failure, BOTH)     \
  X(commit_failed_unapplied, BOTH)          \
  X(commit_failed_in_doubt, BOTH)           \
  X(space_came_back, BOTH)                  \
  X(mapped_log, DIR)                        \
  X(mapped_tables, DIR)                     \
  /* transactions */                        \
  X(txns_side_by_side, BOTH)                \
  X(txns_open_at_crash, BOTH)               \
  X(txn_commits, BOTH)                      \
  X(txn_commits_of_many, BOTH)              \
  X(txn_conflicts, BOTH)                    \
  X(txn_conflicts_of_reads, BOTH)           \
  X(txn_conflicts_of_ranges, BOTH)          \
  X(txn_rollbacks, BOTH)                    \
  X(txn_savepoint_rollbacks, BOTH)          \
  X(txn_locks, BOTH)                        \
  X(txn_locks_refused, BOTH)                \
  /* indexes */                             \
  X(indexes_made, BOTH)                     \
  X(indexes_dropped, BOTH)                  \
  X(indexes_rebuilt, BOTH)                  \
  X(indexes_gone_with_keyspace, BOTH)       \
  X(index_steps, BOTH)                      \
  X(index_rows_beside_build, BOTH)          \
  X(index_duplicates, BOTH)                 \
  X(index_builds_cut, BOTH)                 \
  X(index_builds_resumed, BOTH)             \
  X(images_with_half_indexes, BOTH)         \
  X(index_checks, BOTH)                     \
  X(unique_refusals, BOTH)                  \
  X(unique_refusals_in_txns, BOTH)          \
  X(range_deletes_of_rows, BOTH)            \
  X(txn_index_writes, BOTH)                 \
  X(txn_index_reads, BOTH)                  \
  /* images, and what was done with them */ \
  X(images_none, BOTH)                      \
  X(images_kill, BOTH)                      \
  X(images_prefix, BOTH)                    \
  X(images_subset, BOTH)                    \
  X(images_after_sync, BOTH)                \
  X(images_between_calls, BOTH)             \
  X(images_in_creation, BOTH)               \
  X(images_in_recovery, BOTH)               \
  X(images_nested_twice, BOTH)              \
  X(images_lost_commits, BOTH)              \
  X(images_verified, BOTH)                  \
  X(images_written_on, BOTH)                \
  X(images_refused_weak, BOTH)              \
  X(flips_harmless, BOTH)                   \
  X(flips_corrupt, BOTH)                    \
  X(flips_cut_tail, BOTH)                   \
  X(open_read_errors, BOTH)                 \
  X(full_at_open, BOTH)                     \
  X(checks, BOTH)

typedef enum sim_count {
#define SIM_COUNT_ENUM(name, places) SIM_COUNT_##name,
  SIM_COUNT_MAP(SIM_COUNT_ENUM)
#undef SIM_COUNT_ENUM
      SIM_COUNT_NAMES
} sim_count;

/* What can go wrong in a call of the disk. */
#define SIM_FAULT_MAP(X)      \
  X(none, "nothing")          \
  X(read, "read error")       \
  X(write, "write error")     \
  X(torn, "short write")      \
  X(sync, "sync error")       \
  X(name, "create or remove") \
  X(full, "disk full")        \
  X(misdirect, "misdirected") \
  X(lie, "lying sync")

typedef enum sim_fault_kind {
#define SIM_FAULT_ENUM(name, text) SIM_FAULT_##name,
  SIM_FAULT_MAP(SIM_FAULT_ENUM)
#undef SIM_FAULT_ENUM
      SIM_FAULTS
} sim_fault_kind;

/* The calls in which one can. */
typedef enum sim_call {
  SIM_CALL_open,
  SIM_CALL_create,
  SIM_CALL_close,
  SIM_CALL_read,
  SIM_CALL_write,
  SIM_CALL_allocate,
  SIM_CALL_truncate,
  SIM_CALL_size,
  SIM_CALL_sync,
  SIM_CALL_map,
  SIM_CALL_unmap,
  SIM_CALL_remove,
  SIM_CALL_sync_dir,
  SIM_CALL_list,
  SIM_CALL_lock,
  SIM_CALL_unlock,
  SIM_CALLS
} sim_call;

typedef struct sim_counts {
  uint64_t reached[SIM_COUNT_NAMES];
  uint64_t faults[SIM_FAULTS][SIM_CALLS][FILE_KINDS + 1]; /* calls on the directory count as FILE_SUPER's */
  uint64_t seeds, images, operations, calls;
} sim_counts;

extern const char *const sim_count_names[SIM_COUNT_NAMES];
extern const char *const sim_fault_names[SIM_FAULTS];
extern const char *const sim_call_names[SIM_CALLS];

void sim_counts_add(sim_counts *to, const sim_counts *from);

/* The names of what must be reached in the layouts that ran and was not; their number. `visit` gets each name. */
uint32_t sim_counts_missing(const sim_counts *c, bool directory, bool single,
                            void (*visit)(void *context, const char *name), void *context);

/* One line of JSON, for the tool that adds up what several processes did. */
void sim_counts_print_json(const sim_counts *c);

#endif
