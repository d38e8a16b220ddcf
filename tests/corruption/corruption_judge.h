/* corruption_judge.h: what a damaged database may answer, the verdict on each case, and the totals.
 *
 * The answer is the same, or CORRUPT with the file and the offset. An older state is an answer only where the format
 * cannot tell (docs/FORMAT.md, "Recovery"): what no sync promised at the end of a killed process's logs; then it is
 * exactly the state before the first damaged commit. Nothing else is ever an answer. What neither the opening nor a
 * read nor verify reports must lie where nothing is kept.
 */
#ifndef VARVE_CORRUPTION_JUDGE_H
#define VARVE_CORRUPTION_JUDGE_H

#include "corruption/corruption_shapes.h"

typedef enum cor_how {
  COR_FLIP,
  COR_CUT,
  COR_EXTEND,
  COR_SECTOR,
  COR_BLOCKS,
  COR_SWAP,
  COR_REMOVE,
  COR_DOUBLE,
  COR_OLD,
  COR_HOWS
} cor_how;

static const char *const cor_how_names[COR_HOWS] = {"flipped", "cut",     "extended", "sector zeroed", "blocks swapped",
                                                    "swapped", "removed", "doubled",  "stale"};

typedef struct cor_totals {
  uint64_t tried, at_open, at_read, at_verify, same, older, other_error;
} cor_totals;

static cor_totals cor_total[COR_HOWS];
static cor_shape shape;
static double cor_slowest;

/* ---- what may be ---- */

static inline const bed_file *cor_file(file_kind kind, uint64_t number) {
  for (size_t i = 0; i < shape.image.count; i++) {
    const bed_file *f = &shape.image.files[i];
    if (f->kind == kind && f->number == number) return f;
  }
  return NULL;
}

/* The state before the first commit that damage from offset `at` on of this log hits; the last state when it hits
 * none. */
static inline uint32_t cor_state_before(uint64_t file, size_t at) {
  for (uint32_t i = 0; i < shape.frame_count; i++) {
    if (shape.frames[i].file == file && shape.frames[i].end > at) return i;
  }
  return shape.frame_count;
}

/* Whether what is left proves that commit i was synced: only where nothing but bytes of one commit was damaged. */
static inline bool cor_provable(uint32_t i) {
  if (shape.closed) return true;
  for (uint32_t k = i + 1; k < shape.frame_count; k++) {
    const cor_frame *f = &shape.frames[k];
    if (f->log == shape.frames[i].log ? f->synced > shape.frames[i].offset : f->synced > 0) return true;
  }
  return false;
}

/* Whether nothing is kept in bytes [at, end) of the file: damage there may go unseen. */
static inline bool cor_is_dead(const cor_case *c, size_t at, size_t end) {
  if (c->kind == FILE_SUPER) return at >= 8192 || (at < end && at / 4096 == (MIN(end, (size_t)8192) - 1) / 4096);
  if (c->kind == FILE_MANIFEST) return c->number != shape.manifest || at >= shape.last_record;
  if (c->kind == FILE_SST) return false;
  const cor_frame *last = NULL;
  for (uint32_t i = 0; i < shape.frame_count; i++) {
    const cor_frame *f = &shape.frames[i];
    if (f->file != c->number) continue;
    if (at >= f->end && end <= wal_frame_size((size_t)(f->end - f->offset) - WAL_FRAME_HEADER_SIZE) + f->offset)
      return true;
    last = f;
  }
  return last != NULL && at >= last->end;
}

/* The first log that is needed is known to the manifest, and so is that there was one: without it nothing is opened. */
static inline bool cor_beheads(uint64_t file, size_t at) {
  return shape.frame_count > 0 && shape.frames[0].file == file && at < WAL_HEADER_SIZE;
}

static inline bool cor_holds_log(uint64_t file) {
  for (uint32_t i = 0; i < shape.frame_count; i++) {
    if (shape.frames[i].file == file) return true;
  }
  return false;
}

static inline void cor_fail(const cor_case *c, const cor_answer *a, const char *what) {
  char text[200];
  cor_describe(text, c);
  fail_msg("%s: %s (open %s, read %s, verify %s: %s)", text, what, varve_status_name(a->opened),
           varve_status_name(a->content.rc), varve_status_name(a->verified), a->message);
}

/* The message says what is damaged. */
static inline void cor_check_message(const cor_case *c, const cor_answer *a) {
  bool file = strstr(a->message, "SUPER") != NULL || strstr(a->message, ".man") != NULL ||
              strstr(a->message, ".wal") != NULL || strstr(a->message, ".sst") != NULL ||
              strstr(a->message, "log ") != NULL || shape.single;
  bool place = strstr(a->message, " offset ") != NULL || strstr(a->message, "is missing") != NULL ||
               strstr(a->message, "are missing") != NULL || strstr(a->message, " has ") != NULL ||
               strstr(a->message, "cut short") != NULL || strstr(a->message, "both claim") != NULL ||
               strstr(a->message, "another") != NULL;
  if (!file || !place) cor_fail(c, a, "the message does not say where");
}

/* ---- judging ---- */

typedef struct cor_rule {
  cor_how how;
  uint32_t older; /* the state that may be an answer; the newest one = none but that */
  bool unseen;    /* nothing that is kept was changed */
} cor_rule;

static inline void cor_judge(const cor_case *c, const cor_rule *rule, const cor_answer *a, bool read_only) {
  cor_totals *t = &cor_total[rule->how];
  t->tried++;
  if (a->seconds > cor_slowest) cor_slowest = a->seconds;
  int rc = a->opened < 0 ? a->opened : a->content.rc;
  const cor_content *newest = &shape.states[shape.frame_count];
  bool known =
      rc >= 0 || rc == VARVE_CORRUPT ||
      ((c->kind == FILE_SUPER || c->kind == FILE_SINGLE) && (rc == VARVE_NOT_DATABASE || rc == VARVE_NEWER_FORMAT));
  if (!known) cor_fail(c, a, "a failure that is none of the data");
  if (a->verified < 0 && a->verified != VARVE_CORRUPT) cor_fail(c, a, "verify fails otherwise");
  if (rc == VARVE_CORRUPT) cor_check_message(c, a);
  if (rc == VARVE_NOT_DATABASE || rc == VARVE_NEWER_FORMAT) t->other_error++;
  if (a->opened < 0) {
    t->at_open++;
    return;
  }
  /* Where the lost commits changed nothing, the older state and the newest one are the same. */
  bool same = cor_agrees(newest, &a->content);
  bool older = rule->older < shape.frame_count && cor_agrees(&shape.states[rule->older], &a->content);
  if (!same && !older) cor_fail(c, a, "another answer");
  if (rc < 0) {
    t->at_read++;
    if (a->verified >= 0) cor_fail(c, a, "verify does not find what a read finds");
  } else if (older && !(same && (rule->unseen || a->verified < 0))) {
    t->older++;
  } else if (a->verified < 0) {
    t->at_verify++;
    cor_check_message(c, a);
  } else {
    t->same++;
    /* One slot of SUPER is mended by an open for writing, and seen in one for reading. */
    bool mended = c->kind == FILE_SUPER && rule->how != COR_EXTEND;
    if (!rule->unseen || (mended && read_only)) cor_fail(c, a, "damage that nothing reports");
  }
  if (a->closed < 0 && a->closed != VARVE_CORRUPT) cor_fail(c, a, "closing fails");
}

/* Asks twice, once for reading only. */
static inline void cor_try(const cor_case *c, const cor_rule *rule) {
  static cor_answer a;
  static unsigned turn;
  cor_now = *c;
  bool mmap = turn++ % 2 == 0;
  const bed_image *image = shape.single ? &shape.outer : &shape.image;
  if (!shape.single || turn % 64 == 0) {
    cor_ask(image, (cor_mode){shape.single, false, mmap}, &a);
    cor_judge(c, rule, &a, false);
  }
  cor_ask(image, (cor_mode){shape.single, true, !mmap}, &a);
  cor_judge(c, rule, &a, true);
}

/* Damage of bytes [at, end) of one file. `gone`: what proved that the bytes were synced may have gone as well. */
static inline void cor_try_bytes(const bed_file *f, cor_how how, size_t at, size_t end, unsigned pattern, bool gone) {
  cor_case c = {shape.name, cor_how_names[how], f->kind, f->number, at, pattern};
  cor_rule rule = {how, shape.frame_count, cor_is_dead(&c, at, end)};
  if (f->kind == FILE_WAL) {
    uint32_t k = cor_state_before(f->number, at);
    bool proven = k < shape.frame_count && (gone ? shape.closed : cor_provable(k));
    if (!proven && !cor_beheads(f->number, at)) rule.older = k;
    if (!cor_holds_log(f->number)) rule.unseen = true;
  }
  cor_try(&c, &rule);
}

/* ---- damage of bytes ---- */

static inline bool cor_skip(rng *r, uint32_t percent) {
  return percent < 100 && !rng_percent(r, percent);
}

/* The image as it is, in all four ways of opening it. */
static inline void cor_check_intact(const char *name) {
  static cor_answer a;
  for (int k = 0; k < 4; k++) {
    cor_ask(shape.single ? &shape.outer : &shape.image, (cor_mode){shape.single, k / 2 == 1, k % 2 == 1}, &a);
    TEST_OK(a.opened);
    TEST_OK(a.content.rc);
    TEST_OK(a.verified);
    assert_true(cor_agrees(&shape.states[shape.frame_count], &a.content));
  }
  printf("%s: %zu files, %zu bytes, %u commits in logs\n", name, shape.image.count, cor_image_size(&shape.image),
         shape.frame_count);
}

static inline void corruption_report(void **state) {
  (void)state;
  cor_totals sum = {0};
  printf("%-15s %9s %9s %9s %9s %9s %9s\n", "", "tried", "at open", "by reads", "by verify", "no harm", "older");
  for (int i = 0; i < COR_HOWS; i++) {
    const cor_totals *t = &cor_total[i];
    printf("%-15s %9llu %9llu %9llu %9llu %9llu %9llu\n", cor_how_names[i], (unsigned long long)t->tried,
           (unsigned long long)t->at_open, (unsigned long long)t->at_read, (unsigned long long)t->at_verify,
           (unsigned long long)t->same, (unsigned long long)t->older);
    sum.tried += t->tried;
    sum.older += t->older;
    sum.other_error += t->other_error;
    assert_true(t->tried == t->at_open + t->at_read + t->at_verify + t->same + t->older);
  }
  printf("%llu cases, %llu times an older state, %llu times NOT_DATABASE or NEWER_FORMAT, slowest %.3f s\n",
         (unsigned long long)sum.tried, (unsigned long long)sum.older, (unsigned long long)sum.other_error,
         cor_slowest);
}

#endif
