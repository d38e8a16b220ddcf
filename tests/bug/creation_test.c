/* creation_test.c: a power cut while a database is created leaves any part of SUPER's first slot behind.
 * Where there is no log and no table yet the next open begins again; beside a log or a table the same SUPER
 * is CORRUPT.
 *
 * What was wrong: only a SUPER of zeros counted as a creation that was cut short. With some of the slot's
 * sectors the place was NOT_DATABASE or CORRUPT for ever, although nothing had been stored there.
 */
#include "unit/api/engine_bed.h"

#include "lsm/super.h"

enum { CREATION_SECTOR = 512, CREATION_SECTORS = SUPER_SLOT_SIZE / CREATION_SECTOR };
#define CREATION_ALL ((1u << CREATION_SECTORS) - 1u)

typedef enum creation_beside { BESIDE_NOTHING, BESIDE_LOG, BESIDE_TABLE, BESIDE_CASES } creation_beside;

typedef struct creation {
  bed_image born; /* a new database with one table, closed */
  bed_file super; /* of it when it was created: generation 1 in the second slot */
} creation;

static int creation_setup(void **state) {
  creation *c = calloc(1, sizeof *c);
  assert_non_null(c);
  varve_db *db;
  varve_options o = {.no_thread = true};
  TEST_OK(varve_open(":memory:", &o, &db));
  TEST_OK(bed_put(db, 1, 1, 100));
  TEST_OK(varve_flush(db));
  bed_image_take(db->env->fs, &c->born);
  TEST_OK(varve_close(db));
  c->super = *bed_image_find(&c->born, FILE_SUPER);
  assert_int_equal(c->super.size, 2 * SUPER_SLOT_SIZE);
  memset(c->super.bytes, 0, SUPER_SLOT_SIZE); /* before the second generation */
  *state = c;
  return 0;
}

static int creation_teardown(void **state) {
  creation *c = *state;
  bed_image_free(&c->born);
  free(c);
  return 0;
}

/* A SUPER of `size` bytes to which these sectors of the second slot arrived, the manifest, what is beside them. */
static void creation_image(const creation *c, uint32_t arrived, size_t size, creation_beside beside, bed_image *out) {
  out->count = 0;
  for (size_t i = 0; i < c->born.count; i++) {
    const bed_file *f = &c->born.files[i];
    if (f->kind == FILE_WAL && beside != BESIDE_LOG) continue;
    if (f->kind == FILE_SST && beside != BESIDE_TABLE) continue;
    bed_file *copy = &out->files[out->count++];
    *copy = *f;
    copy->size = f->kind == FILE_SUPER ? size : f->size;
    copy->bytes = malloc(f->size + 1);
    assert_non_null(copy->bytes);
    memcpy(copy->bytes, f->bytes, f->size);
    for (size_t s = 0; f->kind == FILE_SUPER && s < CREATION_SECTORS; s++) {
      if ((arrived >> s & 1) == 0) memset(copy->bytes + SUPER_SLOT_SIZE + s * CREATION_SECTOR, 0, CREATION_SECTOR);
    }
  }
}

static bool creation_is_whole(const creation *c, const bed_image *image) {
  for (size_t i = 0; i < image->count; i++) {
    const bed_file *f = &image->files[i];
    if (f->kind == FILE_SUPER) {
      return f->size == c->super.size && memcmp(f->bytes, c->super.bytes, f->size) == 0;
    }
  }
  return false;
}

/* It opens as a new database, which keeps what is put into it. */
static void creation_check_new(const bed_image *image, uint32_t arrived) {
  static bed_image after;
  varve_db *db;
  varve_options o = {.no_thread = true, .must_not_exist = true};
  int rc = bed_open_image(image, &o, &db);
  if (rc < 0) fail_msg("sectors %02x: %s: %s", (unsigned)arrived, varve_status_name(rc), varve_errmsg(NULL));
  bed_check(db, 1, 0, 0);
  TEST_OK(bed_put(db, 2, 1, 100));
  TEST_OK(varve_sync(db));
  bed_image_take(db->env->fs, &after);
  TEST_OK(varve_close(db));
  o.must_not_exist = false;
  TEST_OK(bed_open_image(&after, &o, &db));
  bed_check(db, 2, 1, 100);
  TEST_OK(varve_verify(db, NULL, NULL, NULL));
  TEST_OK(varve_close(db));
  bed_image_free(&after);
}

static void creation_check(const creation *c, uint32_t arrived, size_t size, creation_beside beside) {
  static bed_image image;
  varve_db *db;
  varve_options plain = {.no_thread = true}, must = {.no_thread = true, .must_exist = true}, ro = {.read_only = true};
  creation_image(c, arrived, size, beside, &image);
  if (creation_is_whole(c, &image)) {
    bed_image_free(&image);
    return;
  }
  int expected = beside == BESIDE_NOTHING ? VARVE_MISSING : VARVE_CORRUPT;
  TEST_RC(bed_open_image(&image, &must, &db), expected);
  TEST_RC(bed_open_image(&image, &ro, &db), expected);
  if (beside == BESIDE_NOTHING) {
    creation_check_new(&image, arrived);
  } else {
    EXPECT(bed_open_image(&image, &plain, &db), VARVE_CORRUPT, "SUPER");
  }
  bed_image_free(&image);
}

static void any_sectors_of_the_first_slot(void **state) {
  const creation *c = *state;
  for (creation_beside beside = BESIDE_NOTHING; beside < BESIDE_CASES; beside++) {
    for (uint32_t arrived = 0; arrived <= CREATION_ALL; arrived++) {
      creation_check(c, arrived, c->super.size, beside);
    }
  }
}

/* The file's size is not durable before its sync either. */
static void any_size_of_the_file(void **state) {
  const creation *c = *state;
  for (creation_beside beside = BESIDE_NOTHING; beside < BESIDE_CASES; beside++) {
    for (size_t size = 0; size < c->super.size; size += CREATION_SECTOR) {
      creation_check(c, CREATION_ALL, size, beside);
      creation_check(c, CREATION_ALL, size + 1, beside);
    }
  }
}

/* Without SUPER the logs and tables beside it are no empty place either, however it is opened. */
static void no_super_beside_a_log_or_a_table(void **state) {
  const creation *c = *state;
  static bed_image image;
  const varve_options options[] = {{.no_thread = true}, {.must_exist = true}, {.read_only = true}};
  for (creation_beside beside = BESIDE_LOG; beside < BESIDE_CASES; beside++) {
    creation_image(c, CREATION_ALL, c->super.size, beside, &image);
    bed_file *root = bed_image_find(&image, FILE_SUPER);
    free(root->bytes);
    *root = image.files[--image.count];
    for (size_t i = 0; i < COUNT_OF(options); i++) {
      varve_db *db;
      TEST_RC(bed_open_image(&image, &options[i], &db), VARVE_CORRUPT);
    }
    bed_image_free(&image);
  }
}

/* What is no creation that was cut short is not begun again: other people's bytes, a database that lived longer. */
static void something_else_stays_what_it_is(void **state) {
  const creation *c = *state;
  static bed_image image;
  varve_options o = {.no_thread = true};
  varve_db *db;
  creation_image(c, 0, c->super.size, BESIDE_NOTHING, &image);
  memcpy(bed_image_find(&image, FILE_SUPER)->bytes, "hello", 5);
  TEST_RC(bed_open_image(&image, &o, &db), VARVE_NOT_DATABASE);
  bed_image_free(&image);
  creation_image(c, 1, c->super.size, BESIDE_NOTHING, &image); /* the first slot was written too, and is broken */
  bed_file *root = bed_image_find(&image, FILE_SUPER);
  memcpy(root->bytes, c->super.bytes + SUPER_SLOT_SIZE, CREATION_SECTOR);
  TEST_RC(bed_open_image(&image, &o, &db), VARVE_CORRUPT);
  bed_image_free(&image);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(any_sectors_of_the_first_slot),
      cmocka_unit_test(any_size_of_the_file),
      cmocka_unit_test(no_super_beside_a_log_or_a_table),
      cmocka_unit_test(something_else_stays_what_it_is),
  };
  return cmocka_run_group_tests(tests, creation_setup, creation_teardown);
}
