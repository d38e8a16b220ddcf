/* varve.h: the public interface of Varve, an embedded ordered key-value database.
 *
 * Read this file from top to bottom: it is ordered as a lesson.
 *
 *   1. Types and results      4. Iterators and counting    8. Indexes and tuples
 *   2. Open and close         5. Snapshots                 9. Care: compact, verify, backup, stats
 *   3. Put, get, delete,      6. Keyspaces                10. Hosts without threads
 *      batches, sync          7. Transactions
 *
 * The shortest program:
 *
 *     varve_db *db = NULL;
 *     if (varve_open("./my_database", NULL, &db) < 0) { puts(varve_errmsg(NULL)); return 1; }
 *     varve_put(db, VARVE_STR("user:1"), VARVE_STR("Alice"), NULL);
 *     varve_value value;
 *     if (varve_get(db, VARVE_STR("user:1"), NULL, &value) == VARVE_OK) {
 *       fwrite(value.data, 1, value.size, stdout);
 *       varve_value_release(&value);
 *     }
 *     varve_close(db);
 *
 * Threads: a database, a keyspace and a snapshot may be used from many threads at once; a batch, an iterator, and a
 * transaction with its iterators belong to one thread at a time. Readers never wait for writers.
 *
 * Limits: a key has 0 to 65,536 bytes, a value 0 to 2^30 bytes (1 GiB), a batch up to 2^31 - 1 bytes in all
 * (in 32-bit hosts what memory allows). Keys are ordered as unsigned bytes; a key sorts before every longer key that
 * begins with it.
 */
#ifndef VARVE_H
#define VARVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VARVE_VERSION "0.1.0"

#ifndef VARVE_API
#if defined(__GNUC__) && !defined(VARVE_STATIC)
#define VARVE_API __attribute__((visibility("default")))
#else
#define VARVE_API
#endif
#endif

/* ---- 1. Types and results ------------------------------------------------------------------------- */

/* What every call returns: 0 = done, > 0 = an expected outcome, < 0 = a failure that varve_errmsg explains.
 * X(name, number, text). The JavaScript codes are generated from this list ("ERR_DB_" and the name).
 * ROW is never returned yet: it is reserved for SQL. */
#define VARVE_STATUS_MAP(X)                                                                    \
  X(OK, 0, "success")                                                                          \
  X(NOTFOUND, 1, "no such key")                                                                \
  X(ROW, 2, "a row is ready")                                                                  \
  X(DONE, 3, "no more rows")                                                                   \
  X(CONFLICT, 4, "another transaction changed what this one read or wrote; run it again")      \
  X(NOMEM, -1, "out of memory")                                                                \
  X(INVALID, -2, "a call was made with an argument that it does not take")                     \
  X(KEY_TOO_LARGE, -4, "a key may have at most 65,536 bytes")                                  \
  X(VALUE_TOO_LARGE, -5, "a value may have at most 1 GiB")                                     \
  X(NOT_DATABASE, -6, "the path holds something that is not a Varve database")                 \
  X(NEWER_FORMAT, -7, "the database was written by a newer version of Varve")                  \
  X(CORRUPT, -8, "a file breaks its format or fails its checksum")                             \
  X(IO, -9, "the operating system reported an I/O error")                                      \
  X(FULL, -10, "the disk or quota is full")                                                    \
  X(READONLY, -11, "the database is open for reading only")                                    \
  X(LOCKED, -12, "another process has the database open")                                      \
  X(CLOSED, -13, "the handle was closed")                                                      \
  X(MISSING, -14, "there is no database at the path")                                          \
  X(EXISTS, -15, "there is a database at the path already")                                    \
  X(LIMIT, -16, "a limit of the engine was reached")                                           \
  X(UNSUPPORTED, -17, "this host cannot do that")                                              \
  X(FAILED, -18, "an earlier sync failed; the database is read-only until it is opened again") \
  X(BUSY, -19, "iterators, snapshots, transactions or values are still open")                  \
  X(ABORTED, -20, "the caller's callback asked to stop")                                       \
  X(BUG, -21, "a promise of the engine does not hold; please report this")                     \
  X(LEADER_LOST, -22, "the tab that had the database open is gone; open it again, or try again")

enum varve_status {
#define VARVE_STATUS_ENUM(name, number, text) VARVE_##name = (number),
  VARVE_STATUS_MAP(VARVE_STATUS_ENUM)
#undef VARVE_STATUS_ENUM
};

#define VARVE_KEY_SIZE_MAX      65536u
#define VARVE_VALUE_SIZE_MAX    (1u << 30)
#define VARVE_KEYSPACE_NAME_MAX 255u
#define VARVE_LEVELS_MAX        8

typedef struct varve_db varve_db;
typedef struct varve_keyspace varve_keyspace;
typedef struct varve_snapshot varve_snapshot;
typedef struct varve_batch varve_batch;
typedef struct varve_iter varve_iter;
typedef struct varve_txn varve_txn;

/* Bytes that somebody else owns. `data` may be NULL when size is 0. */
typedef struct varve_slice {
  const void *data;
  size_t size;
} varve_slice;

/* A value found by varve_get: borrowed from the database until varve_value_release. Small or large, nothing
 * was copied to make it: the bytes are where the engine has them, and `pin` keeps them there. */
typedef struct varve_value {
  const void *data;
  size_t size;
  void *pin;
} varve_value;

/* The bytes of a string literal, or of a NUL-terminated string `s`. */
#define VARVE_STR(s) varve_str(s)
static inline varve_slice varve_str(const char *s) {
  varve_slice slice = {s, 0};
  while (s != NULL && s[slice.size] != '\0') slice.size++;
  return slice;
}

/* "1.2.3" of the library that is linked, which may differ from VARVE_VERSION of the header. */
VARVE_API const char *varve_version(void);

/* The name of a status ("NOTFOUND"), or "UNKNOWN". Static storage. */
VARVE_API const char *varve_status_name(int status);

/* What went wrong in the calling thread's last failed call: one sentence with the file, the offset or the
 * size at fault and what to do about it. `db` may be NULL (after a failed varve_open).
 * Borrowed until the same thread's next failed call. Never NULL. */
VARVE_API const char *varve_errmsg(const varve_db *db);

/* ---- 2. Open and close ---------------------------------------------------------------------------- */

/* When a commit counts as done.
 *   RELAXED  an acknowledged commit survives the death of the process; it reaches stable storage within
 *            sync_interval_ms, or at varve_sync, and a power cut loses at most that tail, never a hole.
 *   STRICT   an acknowledged commit is on stable storage (one fdatasync for all commits waiting). */
typedef enum varve_durability {
  VARVE_DURABILITY_DEFAULT = 0, /* in a write: what the database was opened with; at open: RELAXED */
  VARVE_RELAXED = 1,
  VARVE_STRICT = 2
} varve_durability;

typedef enum varve_compression {
  VARVE_COMPRESSION_DEFAULT = 0, /* LZ4 */
  VARVE_COMPRESSION_NONE = 1,
  VARVE_COMPRESSION_LZ4 = 2 /* blocks below level 1 that become at least 12 % smaller */
} varve_compression;

/* How to open a database. Zero in any field means the default, so `varve_options o = {0};` is complete.
 * Sizes are bytes and are clamped to what the engine can work with. */
typedef struct varve_options {
  bool read_only;      /* change nothing, not even the log; needs an existing database */
  bool must_exist;     /* fail with MISSING rather than create */
  bool must_not_exist; /* fail with EXISTS rather than open */
  bool no_thread;      /* no background thread: commits pay for the work, and varve_work does more */
  varve_durability durability;
  varve_compression compression;
  /* RELAXED: longest time until stable storage, plus what the disk takes to write; a flush that is due goes first.
   * Default 100 */
  uint32_t sync_interval_ms;
  uint32_t lock_wait_ms; /* how long to wait for another process to close. Default 0 */
  /* Bound on all memory the engine takes: memtables, log, cache, indexes, filters, buffers. When it is set the
   * process grows by no more: tables are then read through the cache. Default 128 MiB (WebAssembly 32 MiB), and
   * tables are mapped besides: pages of theirs that were read count as the process's while the system leaves them
   * there. A batch or value that does not fit goes over the bound, by about twice its size, while it is written. */
  uint64_t memory_bytes;
  uint64_t memtable_bytes; /* size of one memtable. Default 8 MiB, WebAssembly 4 MiB; at most memory / 4 */
  uint32_t table_bytes;    /* target size of a table below level 0. Default 8 MiB, WebAssembly 2 MiB */
  uint32_t block_bytes;    /* target size of a block. Default 4 KiB */
  uint32_t bloom_bits;     /* filter bits a key. Default 10; 1 switches filters off */
  uint32_t l0_runs;        /* level 0 runs that start a compaction. Default 8, the most */
  uint32_t level_fanout;   /* how much larger each level is than the one above. Default 10 */
  bool no_mmap;            /* read tables through the block cache even where they could be mapped */
  uint64_t reserved[4];    /* zero */
} varve_options;

/* Opens the database at `path`, creating it when there is none. A path that names a file, or that ends in ".varve" and
 * names nothing yet, is a database in that one file ("./app.varve"; beside it lies app.varve-lock while it is open);
 * any other path is a directory. The parent directory must exist. A path of ":memory:" is a database in memory, gone
 * at close. `options` may be NULL. On failure *db is NULL and there is nothing to close.
 * Errors: MISSING, EXISTS, NOT_DATABASE, NEWER_FORMAT, LOCKED (the message names the holder), CORRUPT, IO, FULL,
 * READONLY, NOMEM, INVALID. */
VARVE_API int varve_open(const char *path, const varve_options *options, varve_db **db);

/* Closes the database; NULL is allowed. What was committed is safe whatever this returns. Fails with BUSY, and
 * leaves the database open, while iterators, snapshots, transactions or unreleased values exist. After it, calls with
 * the handle fail with CLOSED for as long as the handle is remembered (the last 64 of a process are). */
VARVE_API int varve_close(varve_db *db);

/* ---- 3. Put, get, delete, batches, sync ----------------------------------------------------------- */

typedef struct varve_write_options {
  varve_durability durability; /* DEFAULT = as opened */
  varve_keyspace *keyspace;    /* NULL = the default keyspace. Ignored by varve_write: a batch names its own */
} varve_write_options;

typedef struct varve_read_options {
  const varve_snapshot *snapshot; /* NULL = the latest committed state */
  varve_keyspace *keyspace;       /* NULL = the default keyspace */
} varve_read_options;

/* Stores `value` under `key`, over what was there. `options` may be NULL. Key and value are copied.
 * Errors: KEY_TOO_LARGE, VALUE_TOO_LARGE, READONLY, FULL, IO, FAILED, NOMEM, CLOSED, INVALID. */
VARVE_API int varve_put(varve_db *db, varve_slice key, varve_slice value, const varve_write_options *options);

/* Removes `key`. It is no error when there is none. Errors as varve_put. */
VARVE_API int varve_delete(varve_db *db, varve_slice key, const varve_write_options *options);

/* Removes every key with begin <= key < end, in time that does not depend on how many there are. An empty `end`
 * (size 0) means the end of the keyspace, an empty `begin` its start. A range with begin >= end removes nothing.
 * Errors as varve_put. */
VARVE_API int varve_delete_range(varve_db *db, varve_slice begin, varve_slice end, const varve_write_options *options);

/* Finds the value of `key`: OK and *value, or NOTFOUND. On OK call varve_value_release when done with it.
 * Errors: CORRUPT (names file and offset), IO, KEY_TOO_LARGE, NOMEM, CLOSED, INVALID. */
VARVE_API int varve_get(varve_db *db, varve_slice key, const varve_read_options *options, varve_value *value);

/* OK or NOTFOUND, without the value. Errors as varve_get. */
VARVE_API int varve_has(varve_db *db, varve_slice key, const varve_read_options *options);

/* Gives a value back; the struct is emptied. A value with no pin, or NULL, is allowed. */
VARVE_API void varve_value_release(varve_value *value);

/* A batch is a list of changes that become visible and durable together, in their order, or not at all. */
VARVE_API int varve_batch_create(varve_batch **batch);
VARVE_API void varve_batch_destroy(varve_batch *batch); /* NULL is allowed */
VARVE_API void varve_batch_clear(varve_batch *batch);   /* keeps its memory for the next use */

/* Add one change. `keyspace` may be NULL (the default one). Key and value are copied.
 * Errors: KEY_TOO_LARGE, VALUE_TOO_LARGE, LIMIT (the batch is full), NOMEM, INVALID. */
VARVE_API int varve_batch_put(varve_batch *batch, varve_keyspace *keyspace, varve_slice key, varve_slice value);
VARVE_API int varve_batch_delete(varve_batch *batch, varve_keyspace *keyspace, varve_slice key);
VARVE_API int varve_batch_delete_range(varve_batch *batch, varve_keyspace *keyspace, varve_slice begin,
                                       varve_slice end);

/* How many changes the batch holds, and their size in bytes as they will be in the log. */
VARVE_API size_t varve_batch_count(const varve_batch *batch);
VARVE_API size_t varve_batch_size(const varve_batch *batch);

/* Commits a batch; it is unchanged and may be cleared and used again. Errors as varve_put. */
VARVE_API int varve_write(varve_db *db, const varve_batch *batch, const varve_write_options *options);

/* Returns when every commit acknowledged before the call is on stable storage. Errors: IO, FAILED, CLOSED. */
VARVE_API int varve_sync(varve_db *db);

/* ---- 4. Iterators and counting -------------------------------------------------------------------- */

/* What an iterator walks over. All bounds hold at once; an empty slice is no bound. They are copied. */
typedef struct varve_iter_options {
  const varve_snapshot *snapshot; /* NULL = the state when the iterator is opened */
  varve_keyspace *keyspace;       /* NULL = the default keyspace */
  varve_slice lower;              /* keys >= lower */
  varve_slice upper;              /* keys < upper */
  varve_slice prefix;             /* keys that begin with these bytes */
} varve_iter_options;

/* Opens an iterator, not yet positioned, over one unchanging state of the database. It holds the memory and the
 * files of that state until it is closed. `options` may be NULL. Errors: NOMEM, CLOSED, INVALID. */
VARVE_API int varve_iter_open(varve_db *db, const varve_iter_options *options, varve_iter **iter);
VARVE_API void varve_iter_close(varve_iter *iter); /* NULL is allowed */

/* Moves. Each returns OK when the iterator is on an entry, DONE when there is none in that direction, or a failure
 * (CORRUPT, IO, NOMEM), which is kept and returned by further moves until an absolute one (first, last, seek…).
 *   first, last      the ends of the range
 *   seek             the first key >= key        seek_for_prev   the last key <= key
 *   next, prev       one step; after DONE they stay where they are */
VARVE_API int varve_iter_first(varve_iter *iter);
VARVE_API int varve_iter_last(varve_iter *iter);
VARVE_API int varve_iter_seek(varve_iter *iter, varve_slice key);
VARVE_API int varve_iter_seek_for_prev(varve_iter *iter, varve_slice key);
VARVE_API int varve_iter_next(varve_iter *iter);
VARVE_API int varve_iter_prev(varve_iter *iter);

/* The entry that the iterator is on; borrowed until its next move or close. Empty slices when it is on none. */
VARVE_API varve_slice varve_iter_key(const varve_iter *iter);
VARVE_API varve_slice varve_iter_value(const varve_iter *iter);
VARVE_API int varve_iter_status(const varve_iter *iter); /* OK, DONE or the failure of the last move */

/* Counts the entries of a range exactly, by walking it. Errors as the moves. */
VARVE_API int varve_count(varve_db *db, const varve_iter_options *options, uint64_t *count);

/* ---- 5. Snapshots --------------------------------------------------------------------------------- */

/* A snapshot is the state of all keyspaces at one moment. Opening one costs nothing and copies nothing; while it
 * is open the versions that it sees are kept. Errors: NOMEM, CLOSED. */
VARVE_API int varve_snapshot_open(varve_db *db, varve_snapshot **snapshot);
VARVE_API void varve_snapshot_close(varve_snapshot *snapshot); /* NULL is allowed */
VARVE_API uint64_t varve_snapshot_sequence(const varve_snapshot *snapshot);

/* ---- 6. Keyspaces --------------------------------------------------------------------------------- */

/* A keyspace is a namespace of its own inside the database; one batch may change several of them.
 * A handle is owned by the database and borrowed until it is closed, or until the keyspace is dropped (then its
 * use fails with CLOSED). Opening the same name again gives the same handle. */
VARVE_API int varve_keyspace_open(varve_db *db, varve_slice name, varve_keyspace **keyspace); /* creates it */
VARVE_API int varve_keyspace_drop(varve_db *db, varve_slice name); /* removes it and all its entries; NOTFOUND */

/* Calls `visit` with each name in order until it returns non-zero (then the result is ABORTED). */
VARVE_API int varve_keyspace_list(varve_db *db, int (*visit)(void *context, varve_slice name), void *context);

/* ---- 7. Transactions ------------------------------------------------------------------------------ */

/* A transaction sees one state of the database and its own changes, and its changes become visible and durable
 * together at its commit, or not at all. Nothing is locked while it runs: what would break its isolation is found at
 * the commit, which then returns CONFLICT, and the transaction is to be run again. The first of two to commit wins.
 *
 *                    sees, beside its own changes      conflicts when, since it began, others changed
 *   READ_COMMITTED   the latest commits, at each get   nothing
 *                    and each opening of an iterator
 *   SNAPSHOT         the state when it began           a key that it changed, or a key of a range that it deleted
 *   SERIALIZABLE     the state when it began           the same, or a key that it read, there or not, or a key of a
 *                                                      range that an iterator of its own went over, empty or not
 *
 * Writing a value that was there already is a change too. A transaction that wrote nothing does not conflict. */
typedef struct varve_txn varve_txn;

typedef enum varve_isolation {
  VARVE_ISOLATION_DEFAULT = 0, /* SNAPSHOT */
  VARVE_READ_COMMITTED = 1,
  VARVE_SNAPSHOT = 2,
  VARVE_SERIALIZABLE = 3
} varve_isolation;

typedef struct varve_txn_options {
  varve_isolation isolation;
  bool read_only;              /* never conflicts and notes nothing; its writes fail with READONLY */
  varve_durability durability; /* of the commit; DEFAULT = as opened */
  uint32_t lock_wait_ms;       /* how long varve_txn_get_for_update waits for another transaction. Default 1,000 */
  /* SERIALIZABLE: memory for what was read. Beyond it neighbours are noted as one range, with what lies between them:
   * conflicts may become more, never fewer. Default 1 MiB, at least 4 KiB. */
  uint64_t read_set_bytes;
  uint64_t reserved[4]; /* zero */
} varve_txn_options;

/* Begins a transaction. `options` may be NULL. It keeps what its snapshot sees, so it should not stay open for long.
 * Errors: NOMEM, LIMIT, CLOSED, INVALID. */
VARVE_API int varve_txn_begin(varve_db *db, const varve_txn_options *options, varve_txn **txn);

/* Reads, as varve_get and varve_has. options->snapshot must be NULL (INVALID). */
VARVE_API int varve_txn_get(varve_txn *txn, varve_slice key, const varve_read_options *options, varve_value *value);
VARVE_API int varve_txn_has(varve_txn *txn, varve_slice key, const varve_read_options *options);

/* varve_txn_get, after a lock on the key that this transaction holds to its end. Of transactions that read a key this
 * way one at a time goes on, so a counter that everybody changes is never found changed at the commit. Others, and
 * varve_put, do not look at the lock: against them the key is checked at the commit, at every isolation level. As
 * long as a transaction has only read keys that it locked, and they did not change, taking a lock makes its state that
 * of now.
 * CONFLICT when the lock was not free within lock_wait_ms (at once where there are no threads), when waiting for it
 * would be a deadlock, or when the key changed since the transaction's state: roll it back and run it again. */
VARVE_API int varve_txn_get_for_update(varve_txn *txn, varve_slice key, const varve_read_options *options,
                                       varve_value *value);

/* Changes, as varve_batch_put, varve_batch_delete and varve_batch_delete_range. Besides, READONLY in a read-only
 * transaction. */
VARVE_API int varve_txn_put(varve_txn *txn, varve_keyspace *keyspace, varve_slice key, varve_slice value);
VARVE_API int varve_txn_delete(varve_txn *txn, varve_keyspace *keyspace, varve_slice key);
VARVE_API int varve_txn_delete_range(varve_txn *txn, varve_keyspace *keyspace, varve_slice begin, varve_slice end);

/* varve_iter_open and varve_count on what the transaction sees now: changes made later are not in the iterator.
 * options->snapshot must be NULL (INVALID). The iterator may outlive the transaction. */
VARVE_API int varve_txn_iter_open(varve_txn *txn, const varve_iter_options *options, varve_iter **iter);
VARVE_API int varve_txn_count(varve_txn *txn, const varve_iter_options *options, uint64_t *count);

/* Savepoints nest; *savepoint is how many there are now, from 1.
 *   rollback_to  undoes the changes made after it, and forgets the savepoints after it; it stays itself
 *   release      forgets it and those after it, and keeps the changes
 * Locks, and what was read, are kept. Errors: INVALID (there is no such savepoint), NOMEM, CLOSED. */
VARVE_API int varve_txn_savepoint(varve_txn *txn, uint32_t *savepoint);
VARVE_API int varve_txn_rollback_to(varve_txn *txn, uint32_t savepoint);
VARVE_API int varve_txn_release(varve_txn *txn, uint32_t savepoint);

/* Ends the transaction, whatever it returns: OK = all changes are committed; CONFLICT, or a failure as varve_put's =
 * none is. (After IO or FAILED from a STRICT commit they may be.) Then, and after a rollback, every call but close and
 * get_conflict fails with CLOSED. */
VARVE_API int varve_txn_commit(varve_txn *txn);
VARVE_API int varve_txn_rollback(varve_txn *txn);

/* The sequence (varve_snapshot_sequence) of the state that the transaction sees, 0 when that is no one state
 * (READ_COMMITTED); after a commit that changed something, of that commit. */
VARVE_API uint64_t varve_txn_sequence(const varve_txn *txn);

/* Rolls back what is not over, and frees the transaction. NULL is allowed. */
VARVE_API void varve_txn_close(varve_txn *txn);

/* What was in the way, after CONFLICT. All of it is borrowed until the transaction is closed. */
typedef struct varve_conflict {
  varve_slice key;   /* that others changed or locked; of a range the first one that was found */
  varve_slice begin; /* when range: begin <= key < end was read or deleted; an empty end = the end of the keyspace */
  varve_slice end;
  uint64_t keyspace; /* its number; 0 is the default one */
  bool range;        /* the transaction read, or deleted, a range that the key lies in */
  bool read;         /* it had read it; else it had changed it */
  bool locked;       /* nobody changed it yet: another transaction has a lock on it */
} varve_conflict;

/* OK, or NOTFOUND when there was none. varve_errmsg says it in words after the call that returned CONFLICT. */
VARVE_API int varve_txn_get_conflict(const varve_txn *txn, varve_conflict *conflict);

/* ---- 8. Indexes and tuples ------------------------------------------------------------------------ */

/* How far a long call is; `total` may grow while it runs. Return non-zero to stop it with ABORTED. */
typedef int (*varve_progress)(void *context, uint64_t done, uint64_t total);

/* An index finds rows by something else than their key. It is a list of postings, (index key, primary key), kept in
 * the database beside the data and changed in the same commits. A posting is there once however often it is inserted.
 *   BTREE  ordered by index key: equality, ranges, prefixes, smallest and largest, in both directions
 *   HASH   equality alone, faster: tables that cannot hold the key are not looked at
 * An index with an `extract` function maintains itself: every way of writing to its keyspace changes it in the same
 * commit. One without is manual: the program inserts and removes postings. */
typedef struct varve_index varve_index;
typedef enum varve_index_kind { VARVE_BTREE = 1, VARVE_HASH = 2 } varve_index_kind;

/* Tells the index keys of a row by calling `emit` for each: a row without any is not in the index (as NULL in SQL), one
 * with several is in it several times. It must tell the same whenever it is given the same row, may be called by any
 * thread, more than once for a change, and must not call the database. Non-zero from `emit` is to be returned at once;
 * any other failure (< 0) becomes the write's. */
typedef int (*varve_index_emit)(void *emit_context, varve_slice index_key);
typedef int (*varve_index_extract)(void *context, varve_slice key, varve_slice value, varve_index_emit emit,
                                   void *emit_context);

typedef struct varve_index_options {
  varve_index_kind kind;       /* create: 0 = BTREE. open: 0 = as it is */
  bool unique;                 /* at most one primary key for an index key */
  varve_keyspace *keyspace;    /* whose rows it is of, NULL = the default keyspace; of an index that maintains itself */
  varve_index_extract extract; /* NULL = a manual index */
  void *context;               /* of extract */
  varve_progress progress;     /* of the building; may be NULL */
  void *progress_context;
  uint64_t reserved[4]; /* zero */
} varve_index_options;

/* Makes an index. One that maintains itself is built from the rows that are there, in short steps beside which reads
 * and writes go on. Stopped by `progress`, a failure, a close or a crash it is left unfinished, and the next
 * varve_index_open goes on with it. Handles are owned by the database, as those of keyspaces are. `options` may be
 * NULL.
 * Errors: EXISTS (the name is taken, or two rows have one key of a unique index: then nothing of it is left), INVALID,
 * ABORTED, and those of varve_put. */
VARVE_API int varve_index_create(varve_db *db, varve_slice name, const varve_index_options *options,
                                 varve_index **index);

/* Opens an index. One that maintains itself needs its `extract` again after each varve_open: until then writes to its
 * keyspace fail with INVALID. Kind and, where they are set, unique and keyspace must be those that it was made with.
 * `options` may be NULL (a manual index, or reading only). NOTFOUND; errors as varve_index_create. */
VARVE_API int varve_index_open(varve_db *db, varve_slice name, const varve_index_options *options, varve_index **index);

/* Removes an index with all its postings, in time that does not depend on how many there are. NOTFOUND. */
VARVE_API int varve_index_drop(varve_db *db, varve_slice name);

/* Calls `visit` with each name in order until it returns non-zero (then the result is ABORTED). */
VARVE_API int varve_index_list(varve_db *db, int (*visit)(void *context, varve_slice name), void *context);

typedef struct varve_index_info {
  varve_slice name; /* borrowed from the handle */
  varve_index_kind kind;
  bool unique;
  bool maintained;  /* by itself */
  bool ready;       /* it is built; false: varve_index_open has to go on with it */
  uint64_t entries; /* postings, counted by walking over them */
} varve_index_info;
VARVE_API int varve_index_get_info(varve_index *index, varve_index_info *info);

/* Insert and remove one posting of a manual index, in `txn` or, when that is NULL, in a commit of its own.
 * insert: EXISTS when the index is unique and the key has another primary key. remove: NOTFOUND.
 * Errors: KEY_TOO_LARGE (index key and primary key have some 65,000 bytes together), INVALID, those of varve_put. */
VARVE_API int varve_index_insert(varve_index *index, varve_txn *txn, varve_slice key, varve_slice primary);
VARVE_API int varve_index_remove(varve_index *index, varve_txn *txn, varve_slice key, varve_slice primary);

/* The primary key of `key`, the lowest one when there are several. Fastest. OK or NOTFOUND; varve_value_release. */
VARVE_API int varve_index_get(varve_index *index, varve_txn *txn, varve_slice key, varve_value *primary);

/* Iterators over postings, not yet positioned: varve_iter_key is the index key, varve_iter_value the primary key; seek
 * takes an index key. By index key, then by primary key. With `txn` they see what it sees.
 *   find    the postings of one key, of both kinds      range   lower <= key < upper; an empty slice is no bound
 *   prefix  keys that begin with the bytes
 * range and prefix: UNSUPPORTED for HASH. */
VARVE_API int varve_index_find(varve_index *index, varve_txn *txn, varve_slice key, varve_iter **iter);
VARVE_API int varve_index_range(varve_index *index, varve_txn *txn, varve_slice lower, varve_slice upper,
                                varve_iter **iter);
VARVE_API int varve_index_prefix(varve_index *index, varve_txn *txn, varve_slice prefix, varve_iter **iter);

/* An iterator over the whole index, on its first or last posting; NOTFOUND when there is none. UNSUPPORTED for HASH. */
VARVE_API int varve_index_min(varve_index *index, varve_txn *txn, varve_iter **iter);
VARVE_API int varve_index_max(varve_index *index, varve_txn *txn, varve_iter **iter);

typedef struct varve_index_report {
  uint64_t rows, entries;  /* looked at: of the keyspace, of the index */
  uint64_t missing, wrong; /* postings that are not there, and that should not be there */
  char first[256];         /* the first of them, in a sentence */
} varve_index_report;

/* Compares an index with its rows, both ways, as of now; of a manual index only its own form can be checked. OK, or
 * CORRUPT with the report filled in; varve_index_rebuild helps. `report` and `progress` may be NULL. */
VARVE_API int varve_index_verify(varve_index *index, varve_index_report *report, varve_progress progress,
                                 void *context);

/* Empties an index that maintains itself and builds it anew, as varve_index_create does. */
VARVE_API int varve_index_rebuild(varve_index *index, varve_progress progress, void *context);

/* Tuples: lists of values as bytes that have the order of the lists, for keys of rows and of indexes. docs/FORMAT.md
 * says which bytes; JavaScript's keyEncoding 'tuple' makes the same. NULL < false < true < numbers < dates < text <
 * bytes < lists, and a tuple comes before every longer one that begins with it. Each element is ordered upwards or,
 * when it says so, downwards. */
typedef enum varve_tuple_type {
  VARVE_TUPLE_NULL = 0,
  VARVE_TUPLE_BOOL = 1,
  VARVE_TUPLE_NUMBER = 2, /* 64-bit integers and doubles, together by what they are worth */
  VARVE_TUPLE_DATE = 3,   /* milliseconds since 1970 UTC, in `number` */
  VARVE_TUPLE_TEXT = 4,   /* UTF-8, by code points */
  VARVE_TUPLE_BYTES = 5,
  VARVE_TUPLE_LIST = 6, /* the elements up to its END are in a list; up to 32 in each other */
  VARVE_TUPLE_END = 7
} varve_tuple_type;

typedef struct varve_tuple_element {
  varve_tuple_type type;
  bool descending; /* of the tuple's own elements; those of a list go the way of the list */
  bool boolean;
  /* A number is `integer` when is_integer, else `natural` when is_natural, else `number`. A reader sets all that apply,
   * and always `number`, the nearest double. */
  bool is_integer, is_natural;
  int64_t integer;
  uint64_t natural;
  double number;
  varve_slice bytes; /* of text and bytes */
} varve_tuple_element;

/* A tuple being written into a buffer of the caller's. Only `data` and `size` are for the caller to look at. */
typedef struct varve_tuple {
  uint8_t *data;
  size_t size, room;
  uint32_t depth;
  bool turned;
} varve_tuple;
VARVE_API void varve_tuple_begin(varve_tuple *tuple, void *data, size_t room);

/* Appends an element. Errors, with nothing written: LIMIT (there is no room), INVALID (NaN, text that is no UTF-8). */
VARVE_API int varve_tuple_put(varve_tuple *tuple, const varve_tuple_element *element);
VARVE_API varve_slice varve_tuple_slice(const varve_tuple *tuple);

/* A tuple being read. Text and bytes are borrowed from the tuple or from the caller's scratch, which is large enough
 * when it has the tuple's size. */
typedef struct varve_tuple_reader {
  const uint8_t *data;
  size_t size, at;
  uint8_t *scratch;
  size_t scratch_size, scratch_used;
  uint32_t depth;
  bool turned;
} varve_tuple_reader;
VARVE_API void varve_tuple_read(varve_tuple_reader *reader, varve_slice bytes, void *scratch, size_t scratch_size);

/* The next element: OK, DONE, CORRUPT (the bytes are no tuple), LIMIT (the scratch is too small). */
VARVE_API int varve_tuple_next(varve_tuple_reader *reader, varve_tuple_element *element);

/* ---- 9. Care: compact, verify, backup, stats ------------------------------------------------------ */

/* Writes memory to tables and merges all levels, of all keyspaces, until nothing superseded or deleted (that no
 * snapshot needs) is left. `progress` may be NULL. Reads and writes go on. Errors: IO, FULL, CORRUPT, ABORTED. */
VARVE_API int varve_compact(varve_db *db, varve_progress progress, void *context);

/* Writes what is in memory to tables, so that the log is empty. Errors as varve_compact. */
VARVE_API int varve_flush(varve_db *db);

typedef struct varve_verify_report {
  uint64_t files, blocks, entries, bytes; /* what was read and found right */
  uint64_t errors;                        /* problems found; the first one's sentence is in `first` */
  char first[512];
} varve_verify_report;

/* Reads every byte of every live file and checks checksums, order, bounds, counts and references. OK, or CORRUPT with
 * the report filled in. `report` and `progress` may be NULL. */
VARVE_API int varve_verify(varve_db *db, varve_verify_report *report, varve_progress progress, void *context);

typedef struct varve_backup_report {
  uint64_t files_copied, files_kept; /* kept = were in the target from an earlier backup */
  uint64_t bytes_copied;
  uint64_t sequence; /* the backup holds every commit up to this one */
} varve_backup_report;

/* Writes a consistent copy of the database, as of now, to the directory `target` while reads and writes go on, and
 * reads it back. A target that holds an earlier backup of the same database is brought up to date: only new tables
 * are copied. A backup opens read-only; varve_restore makes a database of it. Errors: EXISTS (the target is something
 * else), IO, FULL, CORRUPT, ABORTED. `report` and `progress` may be NULL. */
VARVE_API int varve_backup(varve_db *db, const char *target, varve_backup_report *report, varve_progress progress,
                           void *context);

/* Makes a new database at `target` (which must not exist or be empty) from the backup directory `backup`, verified
 * before it is published. */
VARVE_API int varve_restore(const char *backup, const char *target, varve_progress progress, void *context);

/* Copies the database at `source` to `target` in the layout that the target's path asks for: one file when it ends in
 * ".varve", else a directory. The copy is the same byte for byte, also a backup stays a backup. The source must not be
 * open (LOCKED) and is only read; the target must not exist or be empty (EXISTS). It is published, all of it synced,
 * by the last step: after a crash before that there is no database at `target`, and after a failure it is empty.
 * Errors: MISSING, NOT_DATABASE, CORRUPT (the root is damaged, or a file is cut short; tables are copied as they are:
 * see varve_verify), IO, FULL, ABORTED. `progress` may be NULL. */
VARVE_API int varve_convert(const char *source, const char *target, varve_progress progress, void *context);

/* What could not be saved, or was damaged and could be made anew. All of it is borrowed for the time of the call. */
typedef struct varve_repair_loss {
  const char *file;      /* "7.sst"; empty when it is no one file's */
  uint64_t offset, size; /* the bytes at fault; size 0 = not known, or none */
  const char *reason;    /* what happened to them, as a part of a sentence */
  bool harmless;         /* nothing is missing because of it */
  /* What is missing lies between these keys, as far as their neighbours tell; data NULL = they do not. */
  varve_slice after, before;
  uint64_t after_keyspace, before_keyspace; /* the keyspaces' numbers; 0 is the default one */
} varve_repair_loss;

typedef struct varve_repair_options {
  varve_progress progress;                                    /* may be NULL */
  void (*loss)(void *context, const varve_repair_loss *loss); /* may be NULL; called once for each */
  void *context;                                              /* of both */
  uint32_t lock_wait_ms; /* how long to wait for another process to close either database. Default 0 */
  uint64_t reserved[4];  /* zero */
} varve_repair_options;

typedef struct varve_repair_report {
  uint64_t entries;                                  /* in the new database */
  uint64_t tables, tables_damaged, tables_lost;      /* looked at; of them damaged; of those, nothing was saved of */
  uint64_t logs, logs_damaged, logs_lost;            /* the same */
  uint64_t blocks_lost, commits_lost_at, bytes_lost; /* places in tables; places in logs; bytes of both */
  uint64_t files_ignored;                            /* leftovers that are no part of the database */
  uint64_t keyspaces_renamed;                        /* their names were lost */
  uint64_t losses;                                   /* calls of `loss` for what is missing: 0 = everything was saved */
  uint64_t mended;                                   /* calls of `loss` for what was harmless */
  bool list_lost; /* which files count was not known: entries that were deleted or overwritten may be back */
} varve_repair_report;

/* Makes a new database at `target` (which must not exist or be empty) of everything in the database at `source` whose
 * checksum holds, and tells `options->loss` what could not be saved. The source may be damaged in any way, and not
 * open any more; it is read under its lock and not changed. Where a newer value or a deletion is lost, an older value
 * may be what is saved. The new database has a new id, is compacted, and was read back before it counts as one: after
 * a failure there is none at `target`. OK means that it is there; report->losses says whether anything is missing.
 * `options` and `report` may be NULL. Errors: MISSING (there is nothing at the source), EXISTS (the target is not
 * empty), NOT_DATABASE, NEWER_FORMAT, LOCKED, IO, FULL, NOMEM, ABORTED, INVALID. */
VARVE_API int varve_repair(const char *source, const char *target, const varve_repair_options *options,
                           varve_repair_report *report);

typedef struct varve_level_stats {
  uint64_t tables, bytes, entries, tombstones;
} varve_level_stats;

typedef struct varve_stats {
  uint64_t sequence;   /* of the last commit */
  uint64_t disk_bytes; /* live tables, log and manifest */
  uint64_t table_bytes, log_bytes;
  uint64_t memory_bytes, memory_bytes_max; /* what the engine holds, and its bound */
  uint64_t memtable_bytes;                 /* unflushed data */
  uint64_t cache_bytes, cache_hits, cache_misses;
  uint64_t commits, writes, gets, iterators, snapshots; /* the last two: open now */
  uint64_t bytes_written;                               /* by commits, before the log and compaction */
  uint64_t flushes, compactions, trivial_moves, bytes_flushed, bytes_compacted_in, bytes_compacted_out;
  uint64_t syncs, stalls, stall_us; /* stalls: commits that had to wait for, or do, background work */
  uint32_t levels;
  varve_level_stats level[VARVE_LEVELS_MAX];
  uint64_t transactions, commits_txn, conflicts; /* open now; commits of transactions; conflicts at a commit */
  uint64_t oldest_snapshot_ms;                   /* age of the oldest state that a snapshot or transaction keeps */
} varve_stats;

/* Fills in `stats`, without I/O. */
VARVE_API int varve_get_stats(varve_db *db, varve_stats *stats);

/* ---- 10. Hosts without threads --------------------------------------------------------------------- */

/* Does about `budget` bytes of background work (flush, compaction, syncs that are due) on the caller's thread. *more
 * says whether there is more to do; it may be NULL. Never needed where the database has its own thread. */
VARVE_API int varve_work(varve_db *db, uint64_t budget, bool *more);

#ifdef __cplusplus
}
#endif
#endif
