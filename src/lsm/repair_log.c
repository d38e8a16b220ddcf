/* repair_log.c: what can be saved of the logs.
 *
 * Recovery stops at the first frame that is not whole; here the frames behind it count as well: any whole frame is a
 * commit that was made. It is found by trying multiples of 8, as recovery does when it looks for proof of damage.
 *
 *     |header|frame|frame|XXXXXXX|frame|frame| ... the end, by one of: nothing follows; the next log says so
 *                        ^ told, with the sequences that are missing
 *
 * Frames go through a memtable, for their order, to tables in the target; range tombstones to the list of all of them.
 *
 * Invariants
 *   1. A frame counts when its checksum is right under the log's salt at its offset, its operations are as many as it
 *      says, and its sequence fits: of frames behind damage, as many sequences further on as there can be operations
 *      in the bytes between.
 *   2. Memory: one memtable, a window or the largest frame, and a writer.
 */
#include "lsm/memtable.h"
#include "lsm/repair.h"
#include "lsm/wal_format.h"

#include <stdio.h>

#define LOG_RANK     (UINT64_C(1) << 60) /* above any table's */
#define LOG_ANY_SEQ  UINT64_MAX
#define LOG_OPS_UNIT 3u /* an operation takes so many bytes at least */
#define LOG_MEMTABLE MEMTABLE_BYTES_DEFAULT

typedef struct log_piece {
  uint64_t file, size;
  wal_header h; /* h.log 0 = the header is lost but for its salt */
  bool mended;  /* a byte of the header was put right */
} log_piece;

typedef struct log_repair {
  repair *r;
  log_piece *logs; /* those that count, by log number */
  uint32_t count;
  size_t room;
  repair_window window; /* of the log at hand */
  memtable *mt;
  uint64_t mt_seq; /* the last sequence in it */
  uint64_t rank;
  uint64_t budget; /* bytes of this log that may still be checksummed for candidates */
} log_repair;

/* ---- out of the memtable ---- */

static int repair_log_write(log_repair *l, iter *it) {
  static const sst_options options = {.block_bytes = BLOCK_BYTES_DEFAULT, .bloom_bits = 1, .compress = false};
  repair *r = l->r;
  sst_writer *out = NULL;
  sst_summary summary;
  uint64_t number = r->next_number++;
  int rc = VARVE_OK;
  TRY(sst_writer_create(r->to, number, &options, &out));
  for (rc = iter_first(it); rc == VARVE_OK; rc = iter_next(it)) {
    STEP(sst_writer_add(out, it->key, it->trailer, it->value));
  }
  if (rc < 0) goto out;
  STEP(sst_writer_finish(out, &summary));
  STEP(repair_add_source(r, r->to, number, LOG_RANK + l->rank++, &summary));
out:
  sst_writer_close(out);
  return rc;
}

/* Makes a table of the memtable, which is gone then. */
static int repair_log_flush(log_repair *l) {
  if (l->mt == NULL) return VARVE_OK;
  ASSERT(l->mt_seq > 0);
  int rc = VARVE_OK;
  iter *it = NULL;
  if (memtable_entries(l->mt) > 0) {
    STEP(memtable_iter_open(l->mt, l->r->alloc, &it));
    STEP(repair_log_write(l, it));
  }
out:
  iter_close(it);
  pin_unref(memtable_pin(l->mt));
  l->mt = NULL;
  return rc;
}

static int repair_log_apply(log_repair *l, const wal_frame_header *f, slice body) {
  if (l->mt != NULL && (memtable_bytes(l->mt) >= LOG_MEMTABLE || f->first_seq <= l->mt_seq)) TRY(repair_log_flush(l));
  if (l->mt == NULL) TRY(memtable_create(l->r->alloc, &l->mt));
  TRY(memtable_reserve(l->mt, body.size, f->count));
  reader ops = reader_of(body);
  batch_op op;
  uint64_t seq = f->first_seq;
  for (; batch_read(&ops, &op) == 1; seq++) {
    range_tombstone range = {op.key, op.value, seq};
    if (op.kind == KIND_RANGE_DELETE) TRY(repair_add_range(l->r, &range));
    if (op.kind != KIND_RANGE_DELETE) memtable_add(l->mt, seq, op.kind, op.key, op.value);
  }
  ASSERT(seq == f->first_seq + f->count);
  l->mt_seq = seq - 1;
  l->r->seq_max = MAX(l->r->seq_max, seq - 1);
  return VARVE_OK;
}

/* ---- frames ---- */

/* Whether a frame can be at `at` by its header alone. */
static bool repair_log_fits(const log_repair *l, const wal_frame_header *f, uint64_t at) {
  uint64_t left = l->window.size - at;
  if (left <= WAL_FRAME_HEADER_SIZE || f->body_size == 0 || f->body_size > WAL_FRAME_BODY_MAX) return false;
  if (f->body_size > left - WAL_FRAME_HEADER_SIZE) return false;
  if (f->count == 0 || (uint64_t)f->count * LOG_OPS_UNIT > f->body_size || f->synced > at) return false;
  return f->first_seq > 0 && f->first_seq <= SEQ_MAX && f->count - 1 <= SEQ_MAX - f->first_seq;
}

/* Whether the frame at `at`, whose header fits, is whole: then *body is its operations. */
static int repair_log_check(log_repair *l, uint64_t salt, uint64_t at, const wal_frame_header *f, slice *body) {
  const uint8_t *p;
  uint64_t cost = WAL_FRAME_HEADER_SIZE + (uint64_t)f->body_size;
  body->size = 0;
  ASSERT(at % WAL_UNIT == 0 && cost <= l->window.size - at);
  if (cost > l->budget) return VARVE_OK; /* made to look like frames, many times over */
  TRY(repair_window_bytes(&l->window, at, cost, &p));
  l->budget -= cost;
  if (wal_frame_checksum(p, f->body_size, salt, at) != f->checksum) return VARVE_OK;
  reader ops = reader_of(slice_make(p + WAL_FRAME_HEADER_SIZE, f->body_size));
  batch_op op;
  uint32_t count = 0;
  int rc;
  while ((rc = batch_read(&ops, &op)) == 1) count++;
  if (rc != 0 || count != f->count) return VARVE_OK;
  l->budget += cost; /* it was none that fails */
  *body = slice_make(p + WAL_FRAME_HEADER_SIZE, f->body_size);
  return VARVE_OK;
}

/* Whether the sequence of a frame at `at` fits one that was due at `bad`, or behind it. */
static bool repair_log_in_time(const wal_frame_header *f, uint64_t at, uint64_t bad, uint64_t due) {
  if (due == LOG_ANY_SEQ) return true;
  return f->first_seq >= due && f->first_seq - due <= (at - bad) / LOG_OPS_UNIT;
}

/* The first whole frame at or after *at, where sequence `due` comes next. *at is the file's size when there is none. */
static int repair_log_find(log_repair *l, uint64_t salt, uint64_t due, uint64_t *at, wal_frame_header *f, slice *body) {
  uint64_t bad = *at;
  ASSERT(bad >= WAL_HEADER_SIZE);
  for (; *at < l->window.size && l->window.size - *at > WAL_FRAME_HEADER_SIZE; *at += WAL_UNIT) {
    const uint8_t *p;
    TRY(repair_window_bytes(&l->window, *at, WAL_FRAME_HEADER_SIZE, &p));
    *f = wal_frame_header_get(p);
    if (!repair_log_fits(l, f, *at) || !repair_log_in_time(f, *at, bad, due)) continue;
    TRY(repair_log_check(l, salt, *at, f, body));
    if (body->size > 0) return VARVE_OK;
  }
  *at = l->window.size;
  return VARVE_OK;
}

/* ---- one log ---- */

static void repair_log_tell(log_repair *l, const log_piece *log, uint64_t offset, uint64_t size, const char *reason) {
  varve_repair_loss loss = {.file = file_name(FILE_WAL, log->file), .offset = offset, .size = size, .reason = reason};
  l->r->report->bytes_lost += size;
  l->r->report->commits_lost_at++;
  repair_tell(l->r, loss);
}

static void repair_log_tell_gap(log_repair *l, const log_piece *log, uint64_t from, uint64_t to, uint64_t due,
                                uint64_t seq) {
  char reason[120];
  ASSERT(from < to);
  snprintf(reason, sizeof reason, "the commits with the sequences %llu to %llu are damaged", (unsigned long long)due,
           (unsigned long long)(seq - 1));
  repair_log_tell(l, log, from, to - from, due == LOG_ANY_SEQ || seq <= due ? "a part of the log is damaged" : reason);
}

/* Whether at the end of the frames one begins that is not whole: its header goes on with the sequence. */
static int repair_log_is_cut(log_repair *l, uint64_t at, uint64_t due, bool *cut) {
  const uint8_t *p;
  *cut = false;
  if (at >= l->window.size || l->window.size - at < WAL_FRAME_HEADER_SIZE) return VARVE_OK;
  TRY(repair_window_bytes(&l->window, at, WAL_FRAME_HEADER_SIZE, &p));
  wal_frame_header f = wal_frame_header_get(p);
  *cut = f.body_size > 0 && f.body_size <= WAL_FRAME_BODY_MAX && f.first_seq == due && f.count > 0 && f.synced <= at;
  return VARVE_OK;
}

/* Judges what follows the last frame, at `end`, where `due` would come next. `next` is the log after it, or NULL. */
static int repair_log_judge_end(log_repair *l, const log_piece *log, const log_piece *next, uint64_t end,
                                uint64_t due) {
  const manifest_state *state = &l->r->remains.state;
  ASSERT(log->h.log > 0);
  uint64_t promised = 0;
  bool cut;
  if (next != NULL && next->h.log_before == log->h.log) promised = next->h.end_before;
  if (state->current != NULL && state->clean_log == log->h.log) promised = MAX(promised, state->clean_end);
  if (promised > end) {
    repair_log_tell(l, log, end, promised - end, "the commits at the end of the log are damaged or cut off");
    return VARVE_OK;
  }
  TRY(repair_log_is_cut(l, end, due, &cut));
  if (cut) {
    repair_log_tell(l, log, end, 0, "the last commit is not whole: damaged, or never finished when a program ended");
  }
  return VARVE_OK;
}

/* Saves the frames of the open log; *due is the sequence that comes next. */
static int repair_log_frames(log_repair *l, const log_piece *log, uint64_t *due, uint64_t *end) {
  uint64_t known = log->h.log == 0 ? l->r->remains.last_seq : 0; /* of a log without a number: what is in tables */
  *end = WAL_HEADER_SIZE;
  for (;;) {
    uint64_t at = *end;
    wal_frame_header f = {0};
    slice body = {NULL, 0};
    TRY(repair_log_find(l, log->h.salt, *due, &at, &f, &body));
    if (at >= l->window.size) return VARVE_OK;
    if (at > *end && log->h.log != 0) repair_log_tell_gap(l, log, *end, at, *due, f.first_seq);
    if (f.first_seq > known) TRY(repair_log_apply(l, &f, body));
    ASSERT(body.size > 0 && f.count > 0);
    *due = f.first_seq + f.count;
    *end = MIN(at + wal_frame_size(f.body_size), l->window.size);
    TRY(repair_progress(l->r, 0));
  }
}

static void repair_log_lost(log_repair *l, const log_piece *log, uint64_t end) {
  bool any = end > WAL_HEADER_SIZE;
  if (!any) l->r->report->logs_lost++;
  repair_log_tell(l, log, 0, any ? WAL_HEADER_SIZE : log->size,
                  any ? "the log's header is damaged; the commits that were found are saved, others may be missing"
                      : "the log's header is damaged, and without it no commit in the file can be told from others'");
}

static int repair_log_one(log_repair *l, const log_piece *log, const log_piece *next) {
  varve_repair_report *report = l->r->report;
  uint64_t losses = report->losses, end;
  uint64_t due = log->h.log == 0 ? LOG_ANY_SEQ : log->h.next_seq;
  int rc = VARVE_OK;
  report->logs++;
  ASSERT(next == NULL || next->h.log >= log->h.log);
  TRY(repair_window_open(&l->window, l->r->from, FILE_WAL, log->file));
  /* Behind the end that the next log knows lies what an open gave up: its sequences were given again, over there. */
  bool ends = log->h.log != 0 && next != NULL && next->h.log_before == log->h.log;
  if (ends) l->window.size = MIN(l->window.size, MAX(next->h.end_before, (uint64_t)WAL_HEADER_SIZE));
  l->budget = 16 * l->window.size + (uint64_t)64 * MiB;
  STEP(repair_log_frames(l, log, &due, &end));
  if (log->h.log == 0) {
    repair_log_lost(l, log, end);
  } else {
    STEP(repair_log_judge_end(l, log, next, end, due));
    if (next != NULL && next->h.log != 0 && next->h.next_seq > due && report->losses == losses) {
      repair_log_tell(l, log, end, 0, "commits are missing between this log and the next one");
    }
  }
  report->logs_damaged += report->losses > losses || log->mended;
  if (log->mended) {
    varve_repair_loss loss = {.file = file_name(FILE_WAL, log->file), .size = WAL_HEADER_SIZE, .harmless = true};
    loss.reason = "a byte of the log's header is damaged";
    repair_tell(l->r, loss);
  }
  STEP(repair_progress(l->r, 2 * log->size));
out:
  repair_window_close(&l->window);
  return rc;
}

/* ---- which logs there are ---- */

/* Changes one byte so that the header becomes valid; false when none does. */
static bool repair_log_mend(const uint8_t *bytes, wal_header *h) {
  uint8_t copy[WAL_HEADER_SIZE];
  memcpy(copy, bytes, sizeof copy);
  for (size_t i = 0; i < sizeof copy; i++) {
    for (unsigned change = 1; change < 256; change++) {
      copy[i] = (uint8_t)(bytes[i] ^ change);
      if (wal_header_get(copy, h)) return true;
    }
    copy[i] = bytes[i];
  }
  return false;
}

static int repair_log_all_zero(repair_window *w, bool *zero) {
  *zero = true;
  for (uint64_t at = 0; *zero && at < w->size;) {
    const uint8_t *p;
    uint64_t n = MIN(w->size - at, (uint64_t)64 * KiB);
    TRY(repair_window_bytes(w, at, n, &p));
    for (uint64_t i = 0; *zero && i < n; i++) *zero = p[i] == 0;
    at += n;
  }
  return VARVE_OK;
}

/* Reads the header: *counts = the file holds a log, or may hold one. */
static int repair_log_header(repair_window *w, log_piece *log, bool *counts) {
  const uint8_t *p;
  uint8_t bytes[WAL_HEADER_SIZE];
  bool zero;
  *counts = false;
  TRY(repair_log_all_zero(w, &zero));
  if (zero) return VARVE_OK;
  if (w->size < WAL_HEADER_SIZE) return VARVE_OK; /* never begun, or nothing is left */
  TRY(repair_window_bytes(w, 0, WAL_HEADER_SIZE, &p));
  memcpy(bytes, p, sizeof bytes);
  bool marked = get_u32(bytes + WAL_SPARE_AT) == WAL_SPARE;
  if (wal_header_spare(bytes)) return VARVE_OK;
  *counts = true;
  if (wal_header_get(bytes, &log->h) || (log->mended = repair_log_mend(bytes, &log->h))) {
    if (log->h.log > 0 && log->h.next_seq > 0 && log->h.next_seq <= SEQ_MAX) return VARVE_OK;
  }
  log->mended = false;
  log->h = (wal_header){.salt = get_u64(bytes + WAL_SALT_AT)};
  *counts = !marked; /* a spare, and damaged besides */
  return VARVE_OK;
}

INTERNAL int repair_log_number(const repair *r, uint64_t file, uint64_t *log) {
  log_piece piece = {.file = file};
  repair_window w;
  bool counts;
  TRY(repair_window_open(&w, r->from, FILE_WAL, file));
  int rc = repair_log_header(&w, &piece, &counts);
  repair_window_close(&w);
  *log = counts ? piece.h.log : 0;
  return rc;
}

static int repair_log_list(log_repair *l) {
  repair *r = l->r;
  for (uint32_t i = 0; i < r->file_count; i++) {
    if (r->files[i].kind != FILE_WAL) continue;
    log_piece log = {.file = r->files[i].number, .size = r->files[i].size};
    bool counts;
    repair_window w;
    TRY(repair_window_open(&w, r->from, FILE_WAL, log.file));
    int rc = repair_log_header(&w, &log, &counts);
    repair_window_close(&w);
    TRY(rc);
    if (counts && log.h.log > 0 && log.h.log < r->remains.log_min) counts = false; /* all of it is in tables */
    if (!counts) {
      TRY(repair_progress(r, 2 * log.size));
      continue;
    }
    log_piece *list = mem_grow(r->alloc, l->logs, l->count, &l->room, sizeof *list, REPAIR_LIST);
    if (list == NULL) return VARVE_NOMEM;
    l->logs = list;
    uint32_t at = l->count++;
    for (; at > 0 && l->logs[at - 1].h.log > log.h.log; at--) l->logs[at] = l->logs[at - 1];
    l->logs[at] = log;
  }
  return VARVE_OK;
}

/* The log that the manifest goes on with must be there, unless there never was anything in it. */
static void repair_log_check_first(log_repair *l) {
  const manifest_state *s = &l->r->remains.state;
  if (s->current == NULL || s->log_min == 0) return;
  bool headless = false;
  for (uint32_t i = 0; i < l->count; i++) {
    if (l->logs[i].h.log == s->log_min) return;
    headless = headless || l->logs[i].h.log == 0;
  }
  if (headless || (s->clean_log == s->log_min && s->clean_end <= WAL_HEADER_SIZE)) return; /* told already; nothing */
  if (l->count == 0 && s->last_seq == 0 && l->r->report->tables == 0) return;
  varve_repair_loss loss = {.file = "", .reason = "a log is missing: the commits that were not in tables yet are lost"};
  l->r->report->commits_lost_at++;
  repair_tell(l->r, loss);
}

INTERNAL int repair_logs(repair *r) {
  log_repair l = {.r = r};
  int rc = VARVE_OK;
  STEP(repair_log_list(&l));
  repair_log_check_first(&l);
  for (uint32_t i = 0; i < l.count; i++) {
    STEP(repair_log_one(&l, &l.logs[i], i + 1 < l.count ? &l.logs[i + 1] : NULL));
  }
  STEP(repair_log_flush(&l));
out:
  if (l.mt != NULL) pin_unref(memtable_pin(l.mt));
  mem_free(r->alloc, l.logs, l.room * sizeof *l.logs);
  return rc;
}

#undef LOG_RANK
#undef LOG_ANY_SEQ
#undef LOG_OPS_UNIT
#undef LOG_MEMTABLE
