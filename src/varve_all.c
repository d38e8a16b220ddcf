/* varve_all.c: the whole engine as one translation unit, bottom layer first. This is what the libraries are built from,
 * and tools/amalgamate.mjs makes dist/varve.c of it.
 *
 * Everything shared between files becomes static here, so that nothing but varve_* leaves the library and the compiler
 * sees every caller. Targets differ by the files that are chosen, never inside one.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* before the first system header: what the files of src/env need */
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif

#define INTERNAL static
/* A target has no use for some functions, and no definition of other targets' doors. tools/check finds what nobody
 * uses. */
#pragma GCC diagnostic ignored "-Wunused-function"
#if defined(__GNUC__) && !defined(__clang__)
/* A message is cut to its buffer on purpose. */
#pragma GCC diagnostic ignored "-Wformat-truncation"
#endif

#if !defined(__EMSCRIPTEN__) && !defined(__wasi__) && !defined(VARVE_THREADS)
#define VARVE_THREADS 1
#endif

#include "base/base.c"
#include "base/status.c"
#include "base/alloc.c"
#include "base/arena.c"
#include "base/buf.c"
#include "base/coding.c"
#include "base/xxh64.c"
#include "base/lz4.c"

#include "env/vfs.c"
#include "env/vfs_mem.c"
#include "env/vfs_single_space.c"
#include "env/vfs_single_slots.c"
#include "env/vfs_single_publish.c"
#include "env/vfs_single_files.c"
#include "env/vfs_single_salvage.c"
#include "env/vfs_single.c"
#include "env/env.c"
#if defined(__EMSCRIPTEN__)
#include "env/sync_none.c"
#include "env/vfs_host.c"
#include "env/env_wasm.c"
#elif defined(__wasi__)
#include "env/sync_none.c"
#include "env/vfs_fd.c"
#include "env/vfs_fd_path.c"
#include "env/vfs_fd_place.c"
#include "env/vfs_wasi.c"
#include "env/env_wasi.c"
#else
#include "env/sync_pthread.c"
#include "env/vfs_fd.c"
#include "env/vfs_fd_path.c"
#include "env/vfs_fd_place.c"
#include "env/vfs_posix.c"
#include "env/vfs_posix_lock.c"
#include "env/env_native.c"
#endif

#include "lsm/batch.c"
#include "lsm/rangedel.c"
#include "lsm/memtable.c"
#include "lsm/memtable_tree.c"
#include "lsm/memtable_ranges.c"
#include "lsm/memtable_iter.c"
#include "lsm/filter.c"
#include "lsm/block.c"
#include "lsm/block_cache.c"
#include "lsm/sst_section.c"
#include "lsm/sst_props.c"
#include "lsm/sst_index.c"
#include "lsm/sst_window.c"
#include "lsm/sst_writer.c"
#include "lsm/sst_reader.c"
#include "lsm/sst_iter.c"
#include "lsm/sst_check.c"
#include "lsm/wal_writer.c"
#include "lsm/wal_reader.c"
#include "lsm/super.c"
#include "lsm/edit.c"
#include "lsm/version.c"
#include "lsm/manifest.c"
#include "lsm/chunk_pool.c"
#include "lsm/table_cache.c"
#include "lsm/view.c"
#include "lsm/level_iter.c"
#include "lsm/merge_iter.c"
#include "lsm/user_iter.c"
#include "lsm/compact_pick.c"
#include "lsm/job.c"
#include "lsm/work.c"
#include "lsm/recover.c"
#include "lsm/lsm_write.c"
#include "lsm/lsm_read.c"
#include "lsm/lsm_prefix.c"
#include "lsm/changed.c"
#include "lsm/lsm.c"
#include "lsm/copy.c"
#include "lsm/backup.c"
#include "lsm/convert.c"
#include "lsm/lsm_check.c"
#include "lsm/repair_window.c"
#include "lsm/repair_scan.c"
#include "lsm/repair_pages.c"
#include "lsm/repair_pages_tables.c"
#include "lsm/repair_table.c"
#include "lsm/repair_log.c"
#include "lsm/repair_merge.c"
#include "lsm/repair.c"

#include "txn/read_set.c"
#include "txn/lock_table.c"
#include "txn/txn.c"
#include "txn/txn_write.c"
#include "txn/txn_read.c"
#include "txn/txn_iter.c"
#include "txn/txn_commit.c"

#include "index/tuple.c"
#include "index/index_key.c"
#include "index/index_catalogue.c"
#include "index/index_write.c"
#include "index/index_build.c"
#include "index/index_change.c"
#include "index/index_read.c"
#include "index/index_verify.c"

#include "api/api_db.c"
#include "api/api_batch.c"
#include "api/api_read.c"
#include "api/api_keyspace.c"
#include "api/api_txn.c"
#include "api/api_index.c"
#include "api/api_care.c"
#include "api/api_repair.c"
#include "api/api_tuple.c"
#if defined(__EMSCRIPTEN__)
#include "api/api_wasm.c"
#include "api/api_wasm_rows.c"
#include "api/api_wasm_value.c"
#include "api/api_wasm_txn.c"
#include "api/api_wasm_index.c"
#endif
