/* wal.h: the write-ahead log: one file, one frame a commit. Writer and reader.
 *
 *   header, 64 bytes                                  frame, at multiples of 8
 *    0  8  magic "VARVEWAL"                            0  4  body size (> 0)
 *    8  4  format version (1)                          4  4  checksum: low half of XXH64 of bytes 8 .. end of body,
 *   12  4  zero (0x5a while it is being written)             seed = salt ^ offset of the frame ^ body size
 *   16  8  log number                                  8  8  first sequence
 *   24  8  number of the log before, 0 = none         16  4  operations in the body (each takes one sequence)
 *   32  8  end offset of the log before               20  4  synced: bytes of this log known durable when the frame
 *   40  8  next sequence when the log began                  was written, in units of 8
 *   48  8  salt, random                               24     body (batch.h), then zeros up to a multiple of 8
 *   56  8  XXH64 of bytes 0 .. 55, seed 0
 *
 * The file's number is its name; the log's number is in its header: a file is preallocated (zeros) and recycled under
 * a new log number and salt, so what an earlier log left in it cannot be taken for frames of this one.
 *
 * Recovery takes the longest prefix of frames that are whole and in sequence. What follows it is either a torn tail
 * (never synced) or rot of synced data; the latter when a frame further on, of this log and with a valid checksum,
 * says that the prefix's end was synced (`synced` beyond it), and then it is CORRUPT, never skipped. A tail of synced
 * data can rot without a later frame: the end of a log is therefore also in the next log's header, and at clean close
 * in the manifest.
 *
 * Invariants
 *   1. Writes only ever extend the valid prefix; after a failed append the next one overwrites the same offset.
 *   2. A frame's `synced` never lies: it is stored only after sync returned OK for all bytes before it.
 *   3. Before a log is continued after recovery its tail is cut off, and the cut synced.
 */
#ifndef VARVE_WAL_H
#define VARVE_WAL_H

#include "env/env.h"

#define WAL_HEADER_SIZE       64u
#define WAL_FRAME_HEADER_SIZE 24u
#define WAL_FRAME_BODY_MAX    0x7fffffffu

typedef struct wal_header {
  uint64_t log, log_before, end_before, next_seq, salt;
} wal_header;

/* ---- writer: appends are the commit lock holder's; sync may run beside them ---- */

typedef struct wal_writer wal_writer;

/* Begins log `h->log` in file `file_number`: creates it, or takes over an existing spare one (recycle). Preallocates
 * at least `size` bytes and maps them where the vfs can; h->salt is chosen here. Nothing is synced: wal_sync does the
 * file, the caller the directory. On failure nothing is left open (a created file is removed again if it can be). */
INTERNAL int wal_create(env *e, uint64_t file_number, bool recycle, wal_header *h, uint64_t size, wal_writer **w);

/* Goes on with a log that wal_reader read to `end`, of which `synced` bytes are known durable. Nothing is written
 * yet: when bytes follow the end, the first append cuts them off and syncs, so that none of them can ever be taken
 * for a frame. */
INTERNAL int wal_continue(env *e, uint64_t file_number, const wal_header *h, uint64_t end, uint64_t synced,
                          wal_writer **w);
/* That cut is still to be made: who would rather begin another log saves the sync. */
INTERNAL bool wal_is_uncut(const wal_writer *w);
/* An append failed and could not be taken back: the next open may find its frame. Nothing may be appended any more. */
INTERNAL bool wal_is_in_doubt(const wal_writer *w);

/* Appends one frame; body is the concatenation of nothing but whole ops. Grows the file when it must (FULL, IO).
 * After a failure the log is as before. */
INTERNAL int wal_append(wal_writer *w, uint64_t first_seq, uint32_t count, slice body);

/* Makes everything appended before the call durable. Any thread; one at a time. A failure is final (wal.h does
 * not remember it: the caller must stop writing). */
INTERNAL int wal_sync(wal_writer *w);
/* Makes the header durable, without a claim that anything else is: `synced` stays as it is. */
INTERNAL int wal_sync_header(wal_writer *w);

/* Gives back the space behind the last frame, at a clean close: the next wal_continue then has nothing to cut, and is
 * quick. An append takes space again. */
INTERNAL int wal_trim(wal_writer *w);

INTERNAL uint64_t wal_file_number(const wal_writer *w);
INTERNAL uint64_t wal_log_number(const wal_writer *w);
INTERNAL uint64_t wal_end(const wal_writer *w);       /* offset after the last frame; any thread */
INTERNAL uint64_t wal_synced(const wal_writer *w);    /* any thread */
INTERNAL uint64_t wal_allocated(const wal_writer *w); /* the file's size */
INTERNAL size_t wal_memory(const wal_writer *w);      /* mapped or buffered bytes, for the memory bound */
/* No more appends: gives the map back. wal_sync goes on working. */
INTERNAL int wal_seal(wal_writer *w);
INTERNAL int wal_close(wal_writer *w); /* does not sync. NULL is allowed */

/* ---- reader ---- */

typedef struct wal_reader wal_reader;

/* Opens a file and reads its header: OK; DONE when it is a spare without a readable log (zeros, or a header that was
 * torn while being recycled, and no frame of the log that it names follows); CORRUPT when the header is broken but
 * frames follow that only a live log can hold (valid under the salt in the broken header); NEWER_FORMAT. *r is NULL
 * unless OK. */
INTERNAL int wal_reader_open(env *e, uint64_t file_number, wal_header *h, wal_reader **r);

typedef struct wal_frame {
  uint64_t offset; /* of the frame */
  uint64_t first_seq;
  uint32_t count;
  uint64_t synced; /* bytes */
  slice body;      /* borrowed until the next call */
} wal_frame;

/* The next frame: OK; DONE at the end of the valid prefix; CORRUPT (with file, offset, reason) for rot of synced
 * data. Sequences must continue: the first frame's is h.next_seq, each next one's follows from the one before. */
INTERNAL int wal_reader_next(wal_reader *r, wal_frame *frame);

INTERNAL uint64_t wal_reader_end(const wal_reader *r);    /* end of the valid prefix so far */
INTERNAL uint64_t wal_reader_synced(const wal_reader *r); /* largest `synced` seen in valid frames (0 = none) */
INTERNAL void wal_reader_close(wal_reader *r);            /* NULL is allowed */

#endif
