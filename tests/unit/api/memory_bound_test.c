/* memory_bound_test.c: one number bounds the engine's memory: while 1 GB is written and overwritten, the process is
 * never larger than an empty one by more than memory_bytes and 20 %. Measured by the system (VmHWM), in a process of
 * its own.
 *
 * By default tables are mapped. Those of their pages that were read are counted by the system as the process's too,
 * although they are the system's cache and it takes them away when it likes. The bound is on what the process holds
 * of its own then, and the log's map with it; the figures of all of it are printed.
 *
 * Sanitizers keep memory of their own and make everything slow: there the run is short and only the engine's own
 * count is checked.
 */
#define _GNU_SOURCE
#include "unit/api/engine_bed.h"

#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEMORY_SANITIZED true
#else
#define MEMORY_SANITIZED false
#endif

enum { VALUE_SIZE = 1024 };

typedef struct memory_figures {
  uint64_t empty_kib, peak_kib, bound_kib, engine_peak_kib;
  uint64_t anonymous_kib, file_kib; /* at the largest sample */
  uint64_t anonymous_peak_kib;
  uint64_t written;
  char why[256];
} memory_figures;

/* A line of /proc/self/status in KiB, 0 when there is none. */
static uint64_t memory_line(const char *name) {
  FILE *f = fopen("/proc/self/status", "r");
  char line[256];
  unsigned long long value = 0;
  if (f == NULL) return 0;
  while (fgets(line, sizeof line, f) != NULL) {
    if (strncmp(line, name, strlen(name)) == 0) value = strtoull(line + strlen(name), NULL, 10);
  }
  (void)fclose(f);
  return value;
}

static void memory_sample(varve_db *db, memory_figures *m) {
  varve_stats s;
  if (varve_get_stats(db, &s) < 0) return;
  m->engine_peak_kib = MAX(m->engine_peak_kib, s.memory_bytes / 1024);
  uint64_t anonymous = memory_line("RssAnon:"), file = memory_line("RssFile:");
  m->anonymous_peak_kib = MAX(m->anonymous_peak_kib, anonymous);
  if (anonymous + file <= m->anonymous_kib + m->file_kib) return;
  m->anonymous_kib = anonymous;
  m->file_kib = file;
}

/* In the child. No assertions: they would go on with the parent's tests. */
static int memory_write(const char *path, const varve_options *o, uint64_t bytes, memory_figures *m) {
  varve_db *db;
  rng r = {bytes};
  static uint8_t value[VALUE_SIZE];
  char text[32];
  uint32_t keys = (uint32_t)(bytes / VALUE_SIZE / 2); /* each is written twice, on average */
  m->empty_kib = memory_line("VmHWM:");
  TRY(varve_open(path, o, &db));
  int rc = VARVE_OK;
  for (; rc >= 0 && m->written < bytes; m->written += VALUE_SIZE) {
    uint32_t i = rng_below(&r, keys);
    for (size_t k = 0; k < sizeof value; k += 8) {
      uint64_t word = rng_next(&r);
      memcpy(value + k, &word, 8);
    }
    varve_slice v = {value, sizeof value};
    rc = varve_put(db, bed_key(text, i), v, NULL);
    if (rc >= 0 && rng_below(&r, 20) == 0) rc = varve_has(db, bed_key(text, rng_below(&r, keys)), NULL);
    if (m->written / VALUE_SIZE % 2048 == 0) memory_sample(db, m);
  }
  memory_sample(db, m);
  m->peak_kib = memory_line("VmHWM:");
  m->bound_kib = bed_stats(db).memory_bytes_max / 1024;
  if (rc < 0) return rc;
  return varve_close(db);
}

static memory_figures memory_run(const varve_options *o, uint64_t bytes) {
  char dir[TEST_PATH_MAX], path[BED_PATH_MAX];
  int ends[2], status;
  memory_figures m = {0};
  test_dir_create(dir);
  bed_join(path, dir, "db");
  assert_int_equal(pipe(ends), 0);
  (void)fflush(NULL);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    int rc = memory_write(path, o, bytes, &m);
    if (rc < 0) (void)snprintf(m.why, sizeof m.why, "%.250s", varve_errmsg(NULL));
    _exit(write(ends[1], &m, sizeof m) == (ssize_t)sizeof m ? 0 : 1);
  }
  (void)close(ends[1]);
  assert_int_equal(read(ends[0], &m, sizeof m), sizeof m);
  (void)close(ends[0]);
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  test_dir_remove(dir);
  if (m.why[0] != '\0') fail_msg("%s", m.why);
  printf(
      "%llu MB written, bound %llu MiB: empty %llu, peak %llu (then %llu of its own, %llu of files), engine %llu MiB\n",
      (unsigned long long)m.written / 1000000, (unsigned long long)m.bound_kib / 1024,
      (unsigned long long)m.empty_kib / 1024, (unsigned long long)m.peak_kib / 1024,
      (unsigned long long)m.anonymous_kib / 1024, (unsigned long long)m.file_kib / 1024,
      (unsigned long long)m.engine_peak_kib / 1024);
  return m;
}

static uint64_t memory_bytes_to_write(void) {
  uint64_t full = UINT64_C(1000000000);
#ifdef VARVE_DEBUG
  full = MEMORY_SANITIZED ? 64000000 : 256000000;
#endif
#ifdef VARVE_TINY
  full = 4000000; /* thousands of small tables */
#endif
  return full / 100 * test_scale(100);
}

static void memory_check(const memory_figures *m, bool mapped) {
  assert_true(m->engine_peak_kib <= m->bound_kib + m->bound_kib / 5);
  assert_true(m->peak_kib > m->empty_kib && m->engine_peak_kib > 0);
  if (MEMORY_SANITIZED) return;
  uint64_t held = mapped ? m->anonymous_peak_kib : m->peak_kib - m->empty_kib;
  assert_true(held > 0 && held <= m->bound_kib + m->bound_kib / 5);
}

static void a_bound_that_is_set_holds(void **state) {
  (void)state;
  varve_options o = {.memory_bytes = 64 * MiB, .compression = VARVE_COMPRESSION_NONE};
  memory_figures m = memory_run(&o, memory_bytes_to_write());
  memory_check(&m, false);
}

static void the_default_bound_holds_beside_mapped_tables(void **state) {
  (void)state;
  varve_options o = {.compression = VARVE_COMPRESSION_NONE};
  memory_figures m = memory_run(&o, memory_bytes_to_write() / 4);
  memory_check(&m, true);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_bound_that_is_set_holds),
      cmocka_unit_test(the_default_bound_holds_beside_mapped_tables),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
