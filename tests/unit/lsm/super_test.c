/* super_test.c: the root: either slot, whichever survives; every byte of damage gives an error or an older
 * generation; nothing is reported durable that is not.
 */
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/coding.h"
#include "base/xxh64.h"
#include "lsm/super.h"
#include "support/fault_vfs.h"

enum { FILE_SIZE = 2 * SUPER_SLOT_SIZE };

static test_allocator memory;
static fault_vfs *fs;
static env e;

static int setup(void **state) {
  (void)state;
  vfs *inner;
  test_allocator_init(&memory);
  TEST_OK(vfs_mem_open(&memory.base, &inner));
  TEST_OK(fault_vfs_open(inner, &fs));
  e = (env){.fs = &fs->base, .alloc = &memory.base};
  return 0;
}

static int teardown(void **state) {
  (void)state;
  TEST_OK(vfs_close_fs(&fs->base));
  test_allocator_check(&memory);
  return 0;
}

static super some_super(void) {
  super s = {.id = "0123456789abcde", .manifest = 12};
  return s;
}

static void get_bytes(uint8_t bytes[FILE_SIZE]) {
  vfs_file *file;
  TEST_OK(vfs_open(e.fs, FILE_SUPER, 0, 0, &file));
  TEST_OK(vfs_read_exact(file, 0, bytes, FILE_SIZE));
  TEST_OK(vfs_close(file));
}

static void put_bytes(const uint8_t *bytes, size_t size) {
  vfs_file *file;
  int rc = vfs_open(e.fs, FILE_SUPER, 0, VFS_WRITE, &file);
  if (rc == VARVE_MISSING) rc = vfs_open(e.fs, FILE_SUPER, 0, VFS_CREATE, &file);
  TEST_OK(rc);
  TEST_OK(vfs_truncate(file, 0));
  if (size > 0) TEST_OK(vfs_write_at(file, 0, bytes, size));
  TEST_OK(vfs_close(file));
}

static void test_generations(void **state) {
  (void)state;
  super s = some_super(), got;
  TEST_RC(super_read(&e, &got), VARVE_MISSING);
  for (uint64_t g = 1; g < 8; g++) {
    s.manifest = 10 + g;
    s.flags = g == 5 ? SUPER_BACKUP : 0;
    TEST_OK(super_write(&e, &s));
    assert_int_equal(s.generation, g);
    TEST_RC(super_read(&e, &got), VARVE_OK);
    assert_memory_equal(&got, &s, offsetof(super, mate));
  }
  uint8_t bytes[FILE_SIZE];
  get_bytes(bytes);
  assert_memory_equal(bytes + SUPER_SLOT_SIZE,
                      "VARVE\0DB\1\0\0\0\0\0\0\0\7\0\0\0\0\0\0\0"
                      "0123456789abcde\0"
                      "\x11",
                      41);
  assert_int_equal(get_u64(bytes + 16), 6);
}

/* Wherever one byte changes, the answer is the state before, or the one after, or an error. */
static void test_every_byte(void **state) {
  (void)state;
  super s = some_super(), older, got;
  TEST_OK(super_write(&e, &s));
  older = s;
  s.manifest = 13;
  TEST_OK(super_write(&e, &s));
  uint8_t bytes[FILE_SIZE];
  get_bytes(bytes);
  for (size_t at = 0; at < FILE_SIZE; at++) {
    for (unsigned k = 0; k < 9; k++) {
      uint8_t kept = bytes[at];
      bytes[at] = (uint8_t)(bytes[at] ^ (k < 8 ? 1u << k : 0xffu));
      put_bytes(bytes, FILE_SIZE);
      /* generation 2, the newest, is in slot 0 */
      TEST_RC(super_read(&e, &got), VARVE_OK);
      assert_memory_equal(&got, at < SUPER_SLOT_SIZE ? &older : &s, offsetof(super, mate));
      assert_int_equal(got.mate, SUPER_MATE_BROKEN);
      bytes[at] = kept;
    }
  }
  for (size_t cut = 0; cut < FILE_SIZE; cut += cut < 64 ? 1 : 61) {
    put_bytes(bytes, cut);
    int rc = super_read(&e, &got);
    if (cut >= SUPER_SLOT_SIZE) {
      TEST_RC(rc, VARVE_OK);
      assert_memory_equal(&got, &s, offsetof(super, mate));
    } else {
      TEST_RC(rc, cut == 0 ? VARVE_MISSING : cut < 8 ? VARVE_NOT_DATABASE : VARVE_CORRUPT);
    }
  }
}

static void reseal(uint8_t *slot) {
  put_u64(slot + 4088, xxh64(slot, 4088, 0));
}

static void test_kinds_of_failure(void **state) {
  (void)state;
  super s = some_super(), got;
  uint8_t bytes[FILE_SIZE], zeros[FILE_SIZE] = {0};
  vfs_file *file;
  put_bytes(zeros, FILE_SIZE);
  TEST_RC(super_read(&e, &got), VARVE_MISSING); /* creation was cut short */
  TEST_OK(vfs_open(e.fs, FILE_MANIFEST, 1, VFS_CREATE, &file));
  TEST_OK(vfs_close(file));
  TEST_RC(super_read(&e, &got), VARVE_MISSING);
  TEST_OK(vfs_open(e.fs, FILE_SST, 5, VFS_CREATE, &file));
  TEST_OK(vfs_close(file));
  TEST_RC(super_read(&e, &got), VARVE_CORRUPT); /* but not with tables around */
  put_bytes((const uint8_t *)"hello, this is something else", 29);
  TEST_RC(super_read(&e, &got), VARVE_NOT_DATABASE);

  put_bytes(zeros, 0);
  TEST_OK(super_write(&e, &s));
  TEST_OK(super_write(&e, &s)); /* generation 2 in slot 0 */
  get_bytes(bytes);
  bytes[0] ^= 1;
  bytes[SUPER_SLOT_SIZE + 100] ^= 1;
  put_bytes(bytes, FILE_SIZE);
  TEST_RC(super_read(&e, &got), VARVE_CORRUPT);
  assert_non_null(strstr(status_message(), "SUPER is damaged at offset 4096"));
  bytes[0] ^= 1;
  bytes[SUPER_SLOT_SIZE + 100] ^= 1;

  put_u32(bytes + 8, 2); /* a newer version, sealed or sealed in a way that we do not know */
  for (int sealed = 0; sealed < 2; sealed++) {
    bytes[60] = 1;
    if (sealed == 1) reseal(bytes);
    put_bytes(bytes, FILE_SIZE);
    TEST_RC(super_read(&e, &got), VARVE_NEWER_FORMAT);
  }
  put_u64(bytes + 16, 0); /* in the older slot it decides nothing */
  put_bytes(bytes, FILE_SIZE);
  TEST_RC(super_read(&e, &got), VARVE_OK);
  assert_int_equal(got.generation, 1);

  static const struct {
    size_t at;
    uint64_t value;
  } senseless[] = {{8, 0}, {16, 3}, {16, 0}, {16, UINT64_MAX - 1}, {40, 0}, {40, UINT64_C(1) << 56}};
  for (size_t i = 0; i < COUNT_OF(senseless); i++) { /* a valid checksum over nonsense */
    put_bytes(zeros, 0);
    s = some_super();
    TEST_OK(super_write(&e, &s));
    TEST_OK(super_write(&e, &s));
    get_bytes(bytes);
    put_u64(bytes + senseless[i].at, senseless[i].value);
    reseal(bytes);
    put_bytes(bytes, FILE_SIZE);
    TEST_RC(super_read(&e, &got), VARVE_OK);
    assert_int_equal(got.generation, 1);
  }
}

/* Each call fails once, writes leave any part behind: afterwards the old state or the new one is read, and a retry
 * works. */
static void test_failures(void **state) {
  (void)state;
  for (uint32_t generations = 0; generations < 3; generations++) {
    for (uint64_t nth = 1;; nth++) {
      bool done = false;
      for (size_t part = 0; part <= SUPER_SLOT_SIZE && !done; part += 512) {
        super s = some_super(), before, got;
        (void)vfs_remove(e.fs, FILE_SUPER, 0);
        for (uint32_t g = 0; g < generations; g++) TEST_OK(super_write(&e, &s));
        before = s;
        s.manifest = 99;
        fault_vfs_arm(
            fs, (fault_rule){.ops = FAULT_ALL, .kind = FAULT_ANY_KIND, .nth = nth, .status = VARVE_IO, .part = part});
        int rc = super_write(&e, &s);
        done = fs->failed == 0;
        fault_vfs_disarm(fs);
        if (done) TEST_OK(rc);
        if (rc == VARVE_OK) continue; /* also when only the close failed to be counted */
        TEST_RC(rc, VARVE_IO);
        rc = super_read(&e, &got);
        if (rc == VARVE_OK) {
          assert_true(got.manifest == before.manifest || got.manifest == 99);
        } else {
          assert_int_equal(generations, 0);
          assert_true(rc == VARVE_MISSING || rc == VARVE_CORRUPT || rc == VARVE_NOT_DATABASE);
        }
        if (s.generation == generations) TEST_OK(super_write(&e, &s));
        TEST_OK(super_read(&e, &got));
        assert_int_equal(got.manifest, 99);
      }
      if (done) break;
      assert_true(nth < 50);
    }
  }
  for (uint64_t nth = 1; nth < 20; nth++) { /* reading */
    super got;
    fault_vfs_arm(fs, (fault_rule){.ops = FAULT_ALL, .kind = FAULT_ANY_KIND, .nth = nth, .status = VARVE_IO});
    int rc = super_read(&e, &got);
    uint64_t failed = fs->failed;
    fault_vfs_disarm(fs);
    TEST_RC(rc, failed > 0 ? VARVE_IO : VARVE_OK);
  }
  for (uint64_t nth = 1; nth < 6; nth++) { /* memory */
    super got, s = some_super();
    test_allocator_fail(&memory, nth, false);
    int rc = super_read(&e, &got);
    if (rc != VARVE_OK) TEST_RC(rc, VARVE_NOMEM);
    rc = super_write(&e, &s);
    if (rc != VARVE_OK) TEST_RC(rc, VARVE_NOMEM);
    test_allocator_fail(&memory, 0, false);
  }
}

/* The order of calls is the promise: the name before the slot, the slot before anything else; and what is read is
 * durable. */
static char calls[256];

static void note_call(void *context, fault_op op, file_kind kind, uint64_t number) {
  (void)context;
  (void)kind;
  (void)number;
  static const char letters[FAULT_OPS + 1] = "ocrwatzsmuRDlLU";
  size_t n = strlen(calls);
  if (letters[op] != 'z' && n + 1 < sizeof calls) calls[n] = letters[op];
}

static void test_order_of_calls(void **state) {
  (void)state;
  super s = some_super(), got;
  fs->before = note_call;
  memset(calls, 0, sizeof calls);
  TEST_OK(super_write(&e, &s));
  assert_string_equal(calls, "ooasDwsc"); /* open, create, two slots of zeros, sync, sync_dir, slot, sync */
  memset(calls, 0, sizeof calls);
  TEST_OK(super_write(&e, &s));
  assert_string_equal(calls, "owsc");
  memset(calls, 0, sizeof calls);
  TEST_OK(super_read(&e, &got));
  assert_string_equal(calls, "orsc");
  memset(calls, 0, sizeof calls);
  fs->base.traits |= VFS_READ_ONLY;
  TEST_OK(super_read(&e, &got));
  assert_string_equal(calls, "orc");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_generations, setup, teardown),
      cmocka_unit_test_setup_teardown(test_every_byte, setup, teardown),
      cmocka_unit_test_setup_teardown(test_kinds_of_failure, setup, teardown),
      cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
      cmocka_unit_test_setup_teardown(test_order_of_calls, setup, teardown),
  };
  return cmocka_run_group_tests_name("super", tests, NULL, NULL);
}
