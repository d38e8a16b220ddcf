/* corruption_single_test.c: databases in one file, damaged: each byte of it that is not in a page of zeros changed, and
 * cut at many lengths. Damage in a page of a file inside it is held to the rules for that file.
 */
#define _XOPEN_SOURCE 700

#include "corruption/corruption_judge.h"

/* Whose byte is byte `at` of the one file? Pages are known by what is in them; those of zeros belong to nobody. */
static bool cor_owner(const uint8_t *page, size_t size, cor_case *inner) {
  for (size_t i = 0; i < shape.image.count; i++) {
    const bed_file *f = &shape.image.files[i];
    for (size_t from = 0; from < f->size; from += 4096) {
      size_t n = MIN(MIN(f->size - from, (size_t)4096), size), used = n;
      while (used > 0 && f->bytes[from + used - 1] == 0) used--;
      if (used < 8 || memcmp(f->bytes + from, page, n) != 0) continue;
      *inner = (cor_case){.kind = f->kind, .number = f->number, .at = from};
      return true;
    }
  }
  return false;
}

/* Bytes [at, end) of a page of the one file, of which [first, ..) is the page as it was. */
static void cor_try_page(const bed_file *one, const cor_case *owner, cor_how how, size_t at, unsigned pattern) {
  size_t within = at % 4096 + (owner == NULL ? 0 : owner->at);
  const bed_file *f = owner == NULL ? NULL : cor_file(owner->kind, owner->number);
  if (f != NULL && within < f->size) {
    cor_try_bytes(f, how, within, within + 1, pattern, false);
    return;
  }
  cor_case c = {shape.name, cor_how_names[how], one->kind, one->number, at, pattern};
  cor_rule rule = {how, shape.frame_count, true};
  cor_try(&c, &rule);
}

/* Cut somewhere behind the header; a file that ends inside it is a creation that was cut short. */
static void cor_cut_one(bed_file *one, rng *r, uint32_t percent) {
  size_t was = one->size;
  for (size_t at = 64; at < was; at += 1 + rng_below(r, (uint32_t)(at < 65536 ? 512 : was / 32))) {
    if (cor_skip(r, percent)) continue;
    one->size = at;
    cor_case c = {shape.name, cor_how_names[COR_CUT], one->kind, one->number, at, 0};
    cor_rule rule = {COR_CUT, shape.frame_count, true};
    cor_try(&c, &rule);
  }
  one->size = was;
}

static void cor_one_file(rng *r, uint32_t percent) {
  bed_file *one = &shape.outer.files[0];
  vfs_file *file;
  assert_int_equal(shape.outer.count, 1);
  TEST_OK(vfs_mem_open(api_allocator(), &cor_shared));
  bed_image_put(&shape.outer, cor_shared);
  cor_keep_open(cor_shared);
  TEST_OK(vfs_open(cor_shared, FILE_SINGLE, 0, VFS_WRITE, &file));
  uint32_t owned = 0;
  for (size_t page = 0; page < one->size; page += 4096) {
    size_t n = MIN(one->size - page, (size_t)4096), used = n;
    cor_case owner = {.at = 0};
    bool known = page >= 4 * 4096 && cor_owner(one->bytes + page, n, &owner);
    owned += known;
    while (used > 0 && one->bytes[page + used - 1] == 0) used--;
    for (size_t at = page; at < page + n; at++) {
      uint8_t was = one->bytes[at];
      bool zeros = at >= page + used || (was == 0 && at % 4096 >= 128);
      uint8_t changed[3] = {(uint8_t)(was ^ (1u << rng_below(r, 8))), 0xff, 0};
      for (unsigned k = 0; k < (zeros ? 1 : COUNT_OF(changed)); k++) {
        if (changed[k] == was || (used == 0 && at % 4096 != page / 4096 % 4096) || cor_skip(r, percent)) continue;
        one->bytes[at] = changed[k];
        TEST_OK(vfs_write_at(file, at, &changed[k], 1));
        cor_try_page(one, known ? &owner : NULL, COR_FLIP, at, k);
      }
      one->bytes[at] = was;
      TEST_OK(vfs_write_at(file, at, &was, 1));
    }
  }
  TEST_OK(vfs_close(file));
  cor_shared->ops = cor_kept_ops;
  TEST_OK(vfs_close_fs(cor_shared));
  cor_shared = NULL;
  printf("%u of %zu pages belong to files\n", owned, one->size / 4096);
  cor_cut_one(one, r, percent);
}

static void cor_all_of_one(const char *name, void (*fill)(cor_shape *, varve_db *), bool closed) {
  rng r = test_rng(name);
  uint32_t percent = MIN(100u, test_scale(30));
  cor_make(&shape, name, fill, closed, true);
  cor_check_intact(name);
  cor_one_file(&r, percent);
  cor_free(&shape);
}

static void corruption_of_one_file(void **state) {
  (void)state;
  cor_all_of_one("one file, log, killed", cor_fill_log, false);
  cor_all_of_one("one file, levels, killed", cor_fill_levels, false);
  cor_all_of_one("one file, levels, closed", cor_fill_levels, true);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(corruption_of_one_file),
      cmocka_unit_test(corruption_report),
  };
  cor_watch();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
