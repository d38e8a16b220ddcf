/* memtable.h: the newest writes, sorted, in memory: a B+tree in an arena, one writer, readers that never wait.
 *
 * A leaf has up to BTREE_FANOUT slots sorted by key: a 64-bit head (8 key bytes after the node's common prefix,
 * big-endian) and a 32-bit reference to the newest version of the key; a version links to the next older one.
 * Versions are immutable. Range tombstones are kept beside the tree.
 *
 * Threads: one writer at a time (the commit lock) calls reserve, add and delete_range. Any number of threads read at
 * the same time. Reads are optimistic: a node's version number is odd while it changes and a reader that saw it
 * change starts again. Nothing is freed before the memtable is. What a reader may see is decided by sequence, not by
 * time: versions with a sequence <= the last published one are complete.
 */
#ifndef VARVE_MEMTABLE_H
#define VARVE_MEMTABLE_H

#include "base/arena.h"
#include "base/pin.h"
#include "lsm/iter.h"
#include "lsm/rangedel.h"

typedef struct memtable memtable;

/* A new, empty memtable with one pin. NOMEM. */
INTERNAL int memtable_create(allocator *alloc, memtable **mt);
INTERNAL pin *memtable_pin(memtable *mt); /* for pin_ref and pin_unref; the last one frees it */
/* Says that no version in it will have a smaller sequence. Before the memtable is shared; 0 until then. */
INTERNAL void memtable_begin_at(memtable *mt, uint64_t seq);
INTERNAL uint64_t memtable_begin_seq(const memtable *mt);
/* Empties it, keeping memory for the next use. Only while the caller's is the only pin: false otherwise. */
INTERNAL bool memtable_reset(memtable *mt);

/* After this, adds of `count` entries with keys and values of `bytes` bytes in all cannot fail. NOMEM, LIMIT. */
INTERNAL int memtable_reserve(memtable *mt, size_t bytes, size_t count);
/* kind is PUT or DELETE. seq is larger than every one before. */
INTERNAL void memtable_add(memtable *mt, uint64_t seq, entry_kind kind, slice key, slice value);
/* Adds a range tombstone; begin < end. May fail with NOMEM only when not reserved for (bytes + 2 * 4096, count + 1). */
INTERNAL void memtable_delete_range(memtable *mt, uint64_t seq, slice begin, slice end);

/* Memory in use (what is allocated is about one arena chunk more), and what was added. Any thread. */
INTERNAL size_t memtable_bytes(const memtable *mt);
INTERNAL uint64_t memtable_entries(const memtable *mt);       /* versions, without range tombstones */
INTERNAL uint64_t memtable_range_deletes(const memtable *mt); /* range tombstones as added */

/* The newest version of `key` with a sequence <= seq_max. False when there is none. *value is borrowed from the
 * memtable. Point versions only: see memtable_covering. */
INTERNAL bool memtable_get(const memtable *mt, slice key, uint64_t seq_max, uint64_t *trailer, slice *value);

/* The newest range tombstone with sequence <= seq_max that covers key: false when none, else *found (slices borrowed
 * from the memtable; the range may be a fragment or the whole). One load when there are no range tombstones. */
INTERNAL bool memtable_covering(const memtable *mt, slice key, uint64_t seq_max, range_tombstone *found);

/* Whether a version or range tombstone with a sequence > since is in, or touches, lower <= key < upper (upper empty =
 * no bound): *found is then its key, or the first key of it in the range (borrowed from the memtable or from
 * `lower`). */
INTERNAL bool memtable_changed(const memtable *mt, slice lower, slice upper, uint64_t since, slice *found);
/* The part of it that asks range tombstones. */
INTERNAL bool memtable_ranges_changed(const memtable *mt, slice lower, slice upper, uint64_t since, slice *found);

/* All range tombstones fragmented (NULL when there are none), for a flush of a memtable that is no longer written.
 * Owned by the caller. */
INTERNAL int memtable_range_set(const memtable *mt, allocator *alloc, rangedel_set **set);

/* An iterator over all point versions. Holds a pin. It may not see versions added after it was positioned (those have
 * sequences that its user does not want), but it never misses one that was there. */
INTERNAL int memtable_iter_open(memtable *mt, allocator *alloc, iter **it);

#endif
