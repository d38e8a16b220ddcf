/* corruption_test.c: small databases, damaged in every way: each byte of each file changed, each file cut at each
 * length, grown, zeroed by sectors, blocks and files swapped, removed, doubled, put back to an older state.
 */
#define _XOPEN_SOURCE 700

#include "corruption/corruption_judge.h"

#include "lsm/sst_format.h"

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
  rng r = test_rng(name);
  uint32_t percent = MIN(100u, test_scale(100));
  cor_make(&shape, name, fill, closed, false);
  cor_check_intact(name);
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
