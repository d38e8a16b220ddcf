/* misuse_bed.h: a database in a scratch directory, for the tests of what callers and places do wrong.
 */
#ifndef VARVE_MISUSE_BED_H
#define VARVE_MISUSE_BED_H

#include "unit/api/engine_bed.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct misuse {
  char dir[TEST_PATH_MAX], path[BED_PATH_MAX];
  varve_db *db;
} misuse;

static inline int misuse_setup(void **state) {
  misuse *m = calloc(1, sizeof *m);
  assert_non_null(m);
  test_dir_create(m->dir);
  bed_join(m->path, m->dir, "db");
  TEST_OK(varve_open(m->path, NULL, &m->db));
  TEST_OK(bed_put(m->db, 1, 1, 100));
  *state = m;
  return 0;
}

static inline int misuse_teardown(void **state) {
  misuse *m = *state;
  (void)varve_close(m->db);
  test_dir_remove(m->dir);
  free(m);
  return 0;
}

static inline void misuse_write_file(const char *dir, const char *name, const void *bytes, size_t size) {
  char path[2 * BED_PATH_MAX];
  (void)snprintf(path, sizeof path, "%s/%s", dir, name);
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes, 1, size, f), size);
  assert_int_equal(fclose(f), 0);
}

#define MISUSE(f) cmocka_unit_test_setup_teardown(f, misuse_setup, misuse_teardown)

#endif
