/* corruption_test.c: small databases, damaged in every way: each byte of each file changed, each file cut at each
 * length, grown, zeroed by sectors, blocks and files swapped, removed, doubled, put back to an older state.
 *
 * The answer is the same, or CORRUPT with the file and the offset. An older state is an answer only where the format
 * cannot tell (docs/FORMAT.md, "Recovery"): what no sync promised at the end of a killed process's logs; then it is
 * exactly the state before the first damaged commit. Nothing else is ever an answer. What neither the opening nor a
 * read nor verify reports must lie where nothing is kept.
 */
#define _XOPEN_SOURCE 700

#include "corruption/corruption_shapes.h"

#include "lsm/sst_format.h"

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

static const bed_file *cor_file(file_kind kind, uint64_t number) {
  for (size_t i = 0; i < shape.image.count; i++) {
    const bed_file *f = &shape.image.files[i];
    if (f->kind == kind && f->number == number) return f;
  }
  return NULL;
}

/* The state before the first commit that damage from offset `at` on of this log hits; the last state when it hits
 * none. */
static uint32_t cor_state_before(uint64_t file, size_t at) {
  for (uint32_t i = 0; i < shape.frame_count; i++) {
    if (shape.frames[i].file == file && shape.frames[i].end > at) return i;
  }
  return shape.frame_count;
}

/* Whether what is left proves that commit i was synced: only where nothing but bytes of one commit was damaged. */
static bool cor_provable(uint32_t i) {
  if (shape.closed) return true;
  for (uint32_t k = i + 1; k < shape.frame_count; k++) {
    const cor_frame *f = &shape.frames[k];
    if (f->log == shape.frames[i].log ? f->synced > shape.frames[i].offset : f->synced > 0) return true;
  }
  return false;
}

/* Whether nothing is kept in bytes [at, end) of the file: damage there may go unseen. */
static bool cor_is_dead(const cor_case *c, size_t at, size_t end) {
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
static bool cor_beheads(uint64_t file, size_t at) {
  return shape.frame_count > 0 && shape.frames[0].file == file && at < WAL_HEADER_SIZE;
}

static bool cor_holds_log(uint64_t file) {
  for (uint32_t i = 0; i < shape.frame_count; i++) {
    if (shape.frames[i].file == file) return true;
  }
  return false;
}

static void cor_fail(const cor_case *c, const cor_answer *a, const char *what) {
  char text[200];
  cor_describe(text, c);
  fail_msg("%s: %s (open %s, read %s, verify %s: %s)", text, what, varve_status_name(a->opened),
           varve_status_name(a->content.rc), varve_status_name(a->verified), a->message);
}

/* The message says what is damaged. */
static void cor_check_message(const cor_case *c, const cor_answer *a) {
  bool file = strstr(a->message, "SUPER") != NULL || strstr(a->message, ".man") != NULL ||
              strstr(a->message, ".wal") != NULL || strstr(a->message, ".sst") != NULL ||
              strstr(a->message, "log ") != NULL;
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

static void cor_judge(const cor_case *c, const cor_rule *rule, const cor_answer *a, bool read_only) {
  cor_totals *t = &cor_total[rule->how];
  t->tried++;
  if (a->seconds > cor_slowest) cor_slowest = a->seconds;
  int rc = a->opened < 0 ? a->opened : a->content.rc;
  const cor_content *newest = &shape.states[shape.frame_count];
  bool known = rc >= 0 || rc == VARVE_CORRUPT ||
               (c->kind == FILE_SUPER && (rc == VARVE_NOT_DATABASE || rc == VARVE_NEWER_FORMAT));
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
static void cor_try(const cor_case *c, const cor_rule *rule) {
  static cor_answer a;
  static unsigned turn;
  cor_now = *c;
  bool mmap = turn++ % 2 == 0;
  cor_ask(&shape.image, (cor_mode){false, false, mmap}, &a);
  cor_judge(c, rule, &a, false);
  cor_ask(&shape.image, (cor_mode){false, true, !mmap}, &a);
  cor_judge(c, rule, &a, true);
}

/* Damage of bytes [at, end) of one file. `gone`: what proved that the bytes were synced may have gone as well. */
static void cor_try_bytes(const bed_file *f, cor_how how, size_t at, size_t end, unsigned pattern, bool gone) {
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

static bool cor_skip(rng *r, uint32_t percent) {
  return percent < 100 && !rng_percent(r, percent);
}

/* Where nothing but zeros is, one pattern of the five does for all. */
static void cor_flip(rng *r, uint32_t percent) {
  for (size_t i = 0; i < shape.image.count; i++) {
    bed_file *f = &shape.image.files[i];
    for (size_t at = 0; at < f->size; at++) {
      uint8_t was = f->bytes[at];
      uint8_t changed[5] = {(uint8_t)(was ^ (1u << rng_below(r, 8))), 0, 0xff, (uint8_t)(was + 1),
                            (uint8_t)rng_next(r)};
      bool zeros = f->kind == FILE_SUPER && at % 4096 >= 64 && at % 4096 < 4080;
      for (unsigned k = 0; k < (zeros ? 1 : COUNT_OF(changed)); k++) {
        if (changed[k] == was || cor_skip(r, percent)) continue;
        f->bytes[at] = changed[k];
        cor_try_bytes(f, COR_FLIP, at, at + 1, k, false);
      }
      f->bytes[at] = was;
    }
  }
}

static void cor_cut(rng *r, uint32_t percent) {
  for (size_t i = 0; i < shape.image.count; i++) {
    bed_file *f = &shape.image.files[i];
    size_t was = f->size;
    for (size_t at = 0; at < was; at++) {
      bool zeros = f->kind == FILE_SUPER && at % 16 != 0;
      if (zeros || cor_skip(r, percent)) continue;
      f->size = at;
      cor_try_bytes(f, COR_CUT, at, was, 0, true);
    }
    f->size = was;
  }
}

static void cor_extend(rng *r) {
  static const size_t more[] = {1, 7, 8, 64, 512, 5000};
  for (size_t i = 0; i < shape.image.count; i++) {
    bed_file *f = &shape.image.files[i], was = *f;
    for (unsigned k = 0; k < 2 * COUNT_OF(more); k++) {
      f->size = was.size + more[k / 2];
      f->bytes = calloc(1, f->size);
      assert_non_null(f->bytes);
      memcpy(f->bytes, was.bytes, was.size);
      if (k % 2 == 1) test_fill(r, f->bytes + was.size, f->size - was.size);
      cor_try_bytes(f, COR_EXTEND, was.size, f->size, k, false);
      free(f->bytes);
    }
    *f = was;
  }
}

static void cor_sectors(void) {
  for (size_t i = 0; i < shape.image.count; i++) {
    bed_file *f = &shape.image.files[i];
    for (size_t at = 0; at < f->size; at += 512) {
      uint8_t was[512];
      size_t n = MIN(f->size - at, sizeof was), used = n, first = 0;
      memcpy(was, f->bytes + at, n);
      while (used > 0 && was[used - 1] == 0) used--;
      while (first < used && was[first] == 0) first++;
      if (used == 0) continue;
      memset(f->bytes + at, 0, n);
      cor_try_bytes(f, COR_SECTOR, at + first, at + used, 0, true);
      memcpy(f->bytes + at, was, n);
    }
  }
}

/* ---- things in each other's place ---- */

/* The blocks of a table, as its index has them. */
static uint32_t cor_blocks(const bed_file *f, uint64_t offsets[64]) {
  sst_footer footer;
  sst_section section;
  sst_index index;
  TEST_OK(sst_footer_get(f->bytes + f->size - SST_FOOTER_BYTES, f->number, f->size, &footer));
  sst_extent e = footer.part[SST_INDEX];
  TEST_OK(sst_section_open(f->bytes + e.offset, e.size, f->number, e.offset, &section));
  assert_true(sst_index_open(&index, section.payload, footer.part[SST_RANGES].offset));
  assert_true(index.count < 64);
  for (uint32_t i = 0; i <= index.count && index.count > 0; i++) offsets[i] = sst_index_offset(&index, i);
  return index.count;
}

static void cor_swap_blocks(void) {
  for (size_t i = 0; i < shape.image.count; i++) {
    bed_file *f = &shape.image.files[i];
    uint64_t at[64];
    if (f->kind != FILE_SST) continue;
    uint32_t count = cor_blocks(f, at);
    uint8_t *was = malloc(f->size);
    assert_non_null(was);
    memcpy(was, f->bytes, f->size);
    for (uint32_t a = 0; a < count; a++) {
      for (uint32_t b = a + 1; b < count; b++) {
        size_t size_a = (size_t)(at[a + 1] - at[a]), size_b = (size_t)(at[b + 1] - at[b]);
        uint8_t *p = f->bytes + at[a];
        size_t between = (size_t)(at[b] - at[a + 1]);
        memcpy(p, was + at[b], size_b);
        memcpy(p + size_b, was + at[a + 1], between);
        memcpy(p + size_b + between, was + at[a], size_a);
        cor_try_bytes(f, COR_BLOCKS, (size_t)at[a], (size_t)at[b + 1], b, true);
        memcpy(f->bytes, was, f->size);
      }
    }
    free(was);
  }
}

/* The whole of a file is something else, or gone. What a log held may be lost from its first commit on. */
static void cor_try_file(const bed_file *f, cor_how how, size_t at, bool unseen) {
  cor_case c = {shape.name, cor_how_names[how], f->kind, f->number, at, 0};
  cor_rule rule = {how, shape.frame_count, unseen};
  bool may = f->kind == FILE_WAL && !shape.closed && !cor_beheads(f->number, at);
  if (may) rule.older = cor_state_before(f->number, at);
  cor_try(&c, &rule);
}

static void cor_swap_files(void) {
  for (size_t i = 0; i < shape.image.count; i++) {
    for (size_t j = i + 1; j < shape.image.count; j++) {
      bed_file *a = &shape.image.files[i], *b = &shape.image.files[j];
      if (a->kind != b->kind) continue;
      bed_file was_a = *a, was_b = *b;
      a->bytes = was_b.bytes, a->size = was_b.size;
      b->bytes = was_a.bytes, b->size = was_a.size;
      cor_try_file(a, COR_SWAP, 0, a->kind == FILE_WAL); /* a log says itself which one it is */
      *a = was_a, *b = was_b;
    }
  }
}

static void cor_remove(void) {
  for (size_t i = 0; i < shape.image.count; i++) {
    bed_file gone = shape.image.files[i];
    size_t last = --shape.image.count;
    shape.image.files[i] = shape.image.files[last];
    bool unseen = gone.kind == FILE_WAL && !cor_holds_log(gone.number);
    cor_try_file(&gone, COR_REMOVE, 0, unseen);
    shape.image.files[i] = gone;
    shape.image.count++;
  }
}

static void cor_double(void) {
  uint64_t next = 0;
  for (size_t i = 0; i < shape.image.count; i++) next = MAX(next, shape.image.files[i].number);
  for (size_t i = 0; i < shape.image.count; i++) {
    if (shape.image.files[i].kind == FILE_SUPER) continue;
    bed_file copy = shape.image.files[i];
    copy.number = next + 3;
    shape.image.files[shape.image.count++] = copy;
    cor_try_file(&copy, COR_DOUBLE, 0, true);
    shape.image.count--;
  }
}

/* One file as it was earlier. */
static void cor_put_back(void) {
  for (uint32_t k = 0; k < shape.stale_count; k++) {
    for (size_t i = 0; i < shape.stale[k].count; i++) {
      const bed_file *old = &shape.stale[k].files[i];
      bed_file *f = (bed_file *)(uintptr_t)cor_file(old->kind, old->number);
      if (f == NULL) continue;
      size_t at = 0, n = MIN(f->size, old->size);
      while (at < n && f->bytes[at] == old->bytes[at]) at++;
      if (at == f->size && at == old->size) continue;
      bed_file was = *f;
      f->bytes = old->bytes, f->size = old->size;
      bool tail = f->kind == FILE_MANIFEST && at >= shape.last_record;
      cor_try_file(f, COR_OLD, at, tail || (f->kind == FILE_WAL && !cor_holds_log(f->number)));
      *f = was;
    }
  }
}

/* ---- shapes ---- */

static void cor_all(const char *name, void (*fill)(cor_shape *, varve_db *), bool closed) {
  static cor_answer a;
  rng r = test_rng(name);
  uint32_t percent = MIN(100u, test_scale(100));
  cor_make(&shape, name, fill, closed);
  for (int k = 0; k < 4; k++) {
    cor_ask(&shape.image, (cor_mode){false, k / 2 == 1, k % 2 == 1}, &a);
    TEST_OK(a.opened);
    TEST_OK(a.content.rc);
    TEST_OK(a.verified);
    assert_true(cor_agrees(&shape.states[shape.frame_count], &a.content));
  }
  printf("%s: %zu files, %zu bytes, %u commits in logs\n", name, shape.image.count, cor_image_size(&shape.image),
         shape.frame_count);
  cor_flip(&r, percent);
  cor_cut(&r, percent);
  cor_extend(&r);
  cor_sectors();
  cor_swap_blocks();
  cor_swap_files();
  cor_remove();
  cor_double();
  cor_put_back();
  cor_free(&shape);
}

static void corruption_of_a_log(void **state) {
  (void)state;
  cor_all("log, killed", cor_fill_log, false);
  cor_all("log, closed", cor_fill_log, true);
}

static void corruption_of_levels(void **state) {
  (void)state;
  cor_all("levels, killed", cor_fill_levels, false);
  cor_all("levels, closed", cor_fill_levels, true);
}

static void corruption_of_a_recycled_log(void **state) {
  (void)state;
  cor_all("recycled log, killed", cor_fill_recycled, false);
}

static void corruption_of_two_logs(void **state) {
  (void)state;
  cor_all("two logs, killed", cor_fill_chain, false);
}

static void corruption_without_commits_in_the_log(void **state) {
  (void)state;
  cor_all("compacted, closed", cor_fill_compacted, true);
  cor_all("empty, closed", cor_fill_nothing, true);
}

static void corruption_report(void **state) {
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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(corruption_of_a_log),
      cmocka_unit_test(corruption_of_levels),
      cmocka_unit_test(corruption_of_a_recycled_log),
      cmocka_unit_test(corruption_of_two_logs),
      cmocka_unit_test(corruption_without_commits_in_the_log),
      cmocka_unit_test(corruption_report),
  };
  cor_watch();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
