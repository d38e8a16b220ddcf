/* vfs_test.c: the contract of env/vfs.h: files, their names, their maps. */
#include "contract/vfs_places.h"

/* ---- files ---- */

static void create_open_remove(void **state) {
  PLACE(state);
  for (file_kind kind = FILE_SUPER; kind < FILE_KINDS; kind++) {
    uint64_t number = kind == FILE_SUPER ? 0 : 7;
    vfs_file *file = create(fs, kind, number), *second;
    assert_int_equal(size_of(file), 0);
    TEST_OK(vfs_write_at(file, 0, "abc", 3));
    TEST_OK(vfs_sync(file));
    TEST_RC(vfs_open(fs, kind, number, VFS_CREATE, &second), VARVE_EXISTS);
    assert_null(second);
    assert_message_has(file_name(kind, number));
    second = reopen(fs, kind, number, 0);
    assert_bytes(second, 0, "abc", 3);
    TEST_RC(vfs_write_at(second, 0, "x", 1), VARVE_READONLY);
    assert_message_has(file_name(kind, number));
    TEST_RC(vfs_allocate(second, 10), VARVE_READONLY);
    TEST_RC(vfs_truncate(second, 0), VARVE_READONLY);
    TEST_OK(vfs_close(second));
    second = reopen(fs, kind, number, VFS_WRITE);
    TEST_OK(vfs_write_at(second, 1, "X", 1));
    assert_bytes(file, 0, "aXc", 3);
    TEST_OK(vfs_close(second));
    TEST_OK(vfs_close(file));
    TEST_OK(vfs_sync_dir(fs));
    TEST_OK(vfs_remove(fs, kind, number));
    TEST_OK(vfs_sync_dir(fs));
    TEST_RC(vfs_remove(fs, kind, number), VARVE_MISSING);
    assert_message_has(file_name(kind, number));
    TEST_RC(vfs_open(fs, kind, number, VFS_WRITE, &second), VARVE_MISSING);
    assert_null(second);
    assert_message_has(file_name(kind, number));
  }
  TEST_OK(vfs_close(NULL));
}

static void reads_end_with_the_file(void **state) {
  PLACE(state);
  vfs_file *file = create(fs, FILE_SST, 1);
  char data[16];
  size_t got = 99;
  TEST_OK(vfs_read_at(file, 0, data, 4, &got));
  assert_int_equal(got, 0);
  TEST_OK(vfs_write_at(file, 0, "0123456789", 10));
  TEST_OK(vfs_read_at(file, 7, data, 9, &got));
  assert_int_equal(got, 3);
  assert_memory_equal(data, "789", 3);
  TEST_OK(vfs_read_at(file, 10, data, 1, &got));
  assert_int_equal(got, 0);
  TEST_OK(vfs_read_at(file, UINT64_MAX - 2, data, 16, &got));
  assert_int_equal(got, 0);
  TEST_OK(vfs_read_at(file, 3, data, 0, &got));
  assert_int_equal(got, 0);
  TEST_OK(vfs_read_exact(file, 6, data, 4));
  assert_memory_equal(data, "6789", 4);
  TEST_RC(vfs_read_exact(file, 7, data, 4), VARVE_CORRUPT);
  assert_message_has("1.sst is cut short");
  assert_message_has("offset 7");
  TEST_RC(vfs_read_exact(file, UINT64_MAX - 2, data, 4), VARVE_CORRUPT);
  TEST_OK(vfs_close(file));
}

static void gaps_read_as_zeros(void **state) {
  PLACE(state);
  static const uint8_t zeros[5000];
  vfs_file *file = create(fs, FILE_WAL, 1);
  TEST_OK(vfs_write_at(file, 5000, "end", 3));
  assert_int_equal(size_of(file), 5003);
  assert_bytes(file, 0, zeros, 5000);
  /* what was cut off is not there when the file grows again */
  TEST_OK(vfs_truncate(file, 5001));
  TEST_OK(vfs_write_at(file, 5100, "x", 1));
  assert_bytes(file, 5000, "e\0\0", 3);
  TEST_OK(vfs_truncate(file, 2));
  TEST_OK(vfs_allocate(file, 4000));
  assert_int_equal(size_of(file), 4000);
  assert_bytes(file, 0, zeros, 4000);
  TEST_OK(vfs_write_at(file, 9000, "", 0));
  assert_int_equal(size_of(file), 4000);
  TEST_OK(vfs_close(file));
}

static void allocate_and_truncate(void **state) {
  PLACE(state);
  static const uint8_t zeros[3000];
  vfs_file *file = create(fs, FILE_WAL, 2);
  TEST_OK(vfs_write_at(file, 0, "head", 4));
  TEST_OK(vfs_allocate(file, 300000));
  assert_int_equal(size_of(file), 300000);
  assert_bytes(file, 0, "head\0", 5);
  assert_bytes(file, 297000, zeros, 3000);
  TEST_OK(vfs_allocate(file, 10)); /* never shrinks */
  assert_int_equal(size_of(file), 300000);
  TEST_OK(vfs_write_at(file, 299998, "ends", 4));
  assert_int_equal(size_of(file), 300002);
  TEST_OK(vfs_truncate(file, 300002));
  TEST_RC(vfs_truncate(file, 300003), VARVE_INVALID);
  assert_message_has("2.wal");
  TEST_OK(vfs_truncate(file, 2));
  assert_int_equal(size_of(file), 2);
  TEST_OK(vfs_truncate(file, 0));
  assert_int_equal(size_of(file), 0);
  TEST_OK(vfs_close(file));
}

/* Random changes beside an array that says what has to be there. */
static void agrees_with_an_array(void **state) {
  PLACE(state);
  enum { MODEL_SIZE = 70000 };
  rng r = test_rng("agrees_with_an_array");
  uint8_t *model = calloc(1, MODEL_SIZE), *data = malloc(MODEL_SIZE);
  size_t size = 0, got;
  vfs_file *file = create(fs, FILE_WAL, 3);
  for (uint32_t i = test_scale(1500); i > 0; i--) {
    uint32_t what = rng_below(&r, 10), offset = rng_below(&r, MODEL_SIZE - 5000), length = rng_below(&r, 5000);
    if (what < 5) {
      test_fill(&r, data, length);
      TEST_OK(vfs_write_at(file, offset, data, length));
      memcpy(model + offset, data, length);
      if (length > 0) size = MAX(size, offset + length);
    } else if (what == 5) {
      TEST_OK(vfs_allocate(file, offset));
      size = MAX(size, offset);
    } else if (what == 6 && offset <= size && rng_percent(&r, 30)) {
      TEST_OK(vfs_truncate(file, offset));
      memset(model + offset, 0, size - offset);
      size = offset;
    } else if (what == 7) {
      TEST_OK(vfs_close(file));
      file = reopen(fs, FILE_WAL, 3, VFS_WRITE);
    } else {
      TEST_OK(vfs_read_at(file, offset, data, length, &got));
      assert_int_equal(got, offset >= size ? 0 : MIN(length, size - offset));
      assert_memory_equal(data, model + offset, got);
    }
    assert_int_equal(size_of(file), size);
  }
  assert_bytes(file, 0, model, size);
  TEST_OK(vfs_close(file));
  free(model);
  free(data);
}

static void removed_while_open(void **state) {
  PLACE(state);
  vfs_file *file = create(fs, FILE_SST, 5), *next;
  TEST_OK(vfs_write_at(file, 0, "old", 3));
  TEST_OK(vfs_remove(fs, FILE_SST, 5));
  TEST_RC(vfs_open(fs, FILE_SST, 5, 0, &next), VARVE_MISSING);
  next = create(fs, FILE_SST, 5);
  TEST_OK(vfs_write_at(next, 0, "newer", 5));
  assert_bytes(file, 0, "old", 3);
  TEST_OK(vfs_write_at(file, 3, "er", 2));
  assert_bytes(file, 0, "older", 5);
  TEST_OK(vfs_close(file));
  assert_bytes(next, 0, "newer", 5);
  TEST_OK(vfs_close(next));
}

/* ---- names and lists ---- */

static void names_parse_only_as_written(void **state) {
  (void)state;
  static const char *const foreign[] = {"",
                                        "0.sst",
                                        "01.sst",
                                        "1.SST",
                                        "1.sst ",
                                        " 1.sst",
                                        "1.sst.tmp",
                                        "-1.sst",
                                        "+1.sst",
                                        "1.",
                                        "1",
                                        ".sst",
                                        "sst",
                                        "1.ss",
                                        "1.sstx",
                                        "SUPER.1",
                                        "super",
                                        "1.SUPER",
                                        "1SUPER",
                                        "SUPE",
                                        "SUPERB",
                                        "LOCK",
                                        "1.walx",
                                        "0x1.wal",
                                        "1.blob",
                                        "1e3.man",
                                        "1.2.sst",
                                        "LOCK.node",
                                        "72057594037927936.sst",
                                        "18446744073709551617.sst",
                                        "99999999999999999999999999.sst"};
  file_kind kind;
  uint64_t number;
  char name[FILE_NAME_SIZE_MAX];
  for (size_t i = 0; i < COUNT_OF(foreign); i++) {
    if (!file_name_parse(foreign[i], strlen(foreign[i]), &kind, &number)) continue;
    print_error("\"%s\" parses\n", foreign[i]);
    fail();
  }
  assert_false(file_name_parse("1.sst\0", 6, &kind, &number));
  static const uint64_t numbers[] = {1, 9, 10, 99, 4294967296, (UINT64_C(1) << 56) - 1};
  for (file_kind k = FILE_MANIFEST; k < FILE_KINDS; k++) {
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
      size_t length = file_name_format(name, k, numbers[i]);
      assert_int_equal(length, strlen(name));
      assert_true(file_name_parse(name, length, &kind, &number));
      assert_int_equal(kind, k);
      assert_int_equal(number, numbers[i]);
      assert_false(file_name_parse(name, length - 1, &kind, &number));
    }
  }
  assert_string_equal(file_name(FILE_SUPER, 0), "SUPER");
  assert_string_equal(file_name(FILE_SST, 12), "12.sst");
  assert_string_equal(file_name(FILE_MANIFEST, 12), "12.man");
  assert_string_equal(file_name(FILE_WAL, 12), "12.wal");
  assert_true(file_name_parse("SUPER", 5, &kind, &number));
  assert_int_equal(kind, FILE_SUPER);
  assert_int_equal(number, 0);
}

static void foreign_file(const place *p, const char *name, bool directory) {
  char path[TEST_PATH_MAX + 64];
  snprintf(path, sizeof(path), "%s/%s%s", p->path, name, directory ? "/" : "");
  if (directory) {
    vfs *inner;
    TEST_OK(vfs_posix_open(&((place *)(uintptr_t)p)->alloc.base, path, VFS_PLACE_CREATE, &inner));
    TEST_OK(vfs_close_fs(inner));
    return;
  }
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs("foreign", file);
  fclose(file);
}

static void lists_ours_in_order(void **state) {
  PLACE(state);
  static const struct {
    file_kind kind;
    uint64_t number, size;
  } files[] = {{FILE_SST, 10, 3}, {FILE_SST, 9, 0},      {FILE_WAL, 100, 1},       {FILE_SUPER, 0, 5},
               {FILE_SST, 8, 2},  {FILE_MANIFEST, 2, 4}, {FILE_SST, 4294967299, 1}};
  static const char all[] = "SUPER=5 2.man=4 100.wal=1 8.sst=2 9.sst=0 10.sst=3 4294967299.sst=1 ";
  listing l = {fs, "", false, 0};
  assert_int_equal(vfs_list(fs, listing_visit, &l), VARVE_OK);
  assert_string_equal(l.text, "");
  for (size_t i = 0; i < COUNT_OF(files); i++) {
    vfs_file *file = create(fs, files[i].kind, files[i].number);
    TEST_OK(vfs_write_at(file, 0, "12345", (size_t)files[i].size));
    TEST_OK(vfs_close(file));
  }
  if (p->kind->directory) {
    foreign_file(p, "01.sst", false);
    foreign_file(p, "notes.txt", false);
    foreign_file(p, "5.sst.tmp", false);
    foreign_file(p, "6.sst", true);
  }
  assert_int_equal(vfs_list(fs, listing_visit, &l), VARVE_OK);
  assert_string_equal(l.text, all);
  l.text[0] = '\0';
  l.stop_after = 2;
  assert_int_equal(vfs_list(fs, listing_visit, &l), 42);
  assert_string_equal(l.text, "SUPER=5 2.man=4 ");
  l.text[0] = '\0';
  l.remove = true; /* a visit may change what is listed */
  assert_int_equal(vfs_list(fs, listing_visit, &l), VARVE_OK);
  assert_string_equal(l.text, all);
  l.text[0] = '\0';
  assert_int_equal(vfs_list(fs, listing_visit, &l), VARVE_OK);
  assert_string_equal(l.text, "");
}

/* ---- maps ---- */

static void maps_show_the_file(void **state) {
  PLACE(state);
  enum { SIZE = 100000 };
  rng r = test_rng("maps_show_the_file");
  uint8_t *data = malloc(SIZE);
  void *map, *again;
  test_fill(&r, data, SIZE);
  vfs_file *file = create(fs, FILE_SST, 1);
  TEST_OK(vfs_write_at(file, 0, data, SIZE));
  TEST_RC(vfs_map(file, SIZE + 1, false, &map), VARVE_CORRUPT);
  assert_null(map);
  assert_message_has("1.sst");
  TEST_OK(vfs_close(file));
  file = reopen(fs, FILE_SST, 1, 0);
  TEST_RC(vfs_map(file, SIZE, true, &map), VARVE_READONLY);
  TEST_OK(vfs_map(file, SIZE, false, &map));
  assert_memory_equal(map, data, SIZE);
  TEST_OK(vfs_map(file, 10, false, &again));
  assert_memory_equal(again, data, 10);
  TEST_OK(vfs_remove(fs, FILE_SST, 1)); /* the bytes stay as long as the file is open */
  assert_memory_equal(map, data, SIZE);
  TEST_OK(vfs_unmap(file, map, SIZE));
  assert_memory_equal(again, data, 10);
  TEST_OK(vfs_close(file)); /* unmaps the other one */
  free(data);
}

static void maps_write_the_file(void **state) {
  PLACE(state);
  enum { CHUNK = 65536 };
  vfs_file *file = create(fs, FILE_WAL, 1);
  void *map;
  TEST_OK(vfs_allocate(file, CHUNK));
  TEST_OK(vfs_map(file, CHUNK, true, &map));
  assert_int_equal(((const uint8_t *)map)[CHUNK - 1], 0);
  memcpy((uint8_t *)map + 100, "stored", 6);
  assert_bytes(file, 100, "stored", 6);
  TEST_OK(vfs_write_at(file, 102, "ARK", 3));
  assert_memory_equal((uint8_t *)map + 100, "stARKd", 6);
  TEST_OK(vfs_sync(file));
  /* the file may grow while it is mapped, the map stays where it is and what it is */
  TEST_OK(vfs_allocate(file, 3 * CHUNK));
  TEST_OK(vfs_write_at(file, CHUNK - 2, "over the edge", 13));
  assert_memory_equal((uint8_t *)map + CHUNK - 2, "ov", 2);
  memcpy((uint8_t *)map + CHUNK - 2, "OV", 2);
  assert_bytes(file, CHUNK - 2, "OVer the edge\0", 14);
  TEST_OK(vfs_unmap(file, map, CHUNK));
  TEST_OK(map_log(p, file, 3 * CHUNK, &map));
  if (map != NULL) {
    assert_memory_equal((uint8_t *)map + 100, "stARKd", 6);
    assert_memory_equal((uint8_t *)map + CHUNK - 2, "OVer the edge", 14);
    ((uint8_t *)map)[3 * CHUNK - 1] = 'z';
  } else {
    TEST_OK(vfs_write_at(file, 3 * CHUNK - 1, "z", 1));
  }
  TEST_OK(vfs_close(file));
  file = reopen(fs, FILE_WAL, 1, 0);
  assert_bytes(file, 3 * CHUNK - 1, "z", 1);
  assert_bytes(file, 100, "stARKd", 6);
  TEST_OK(vfs_close(file));
}

static void maps_are_refused_without_the_trait(void **state) {
  PLACE(state);
  vfs_file *file = create(fs, FILE_WAL, 1);
  void *map;
  TEST_OK(vfs_allocate(file, 100));
  if ((fs->traits & VFS_MAP_READ) == 0) TEST_RC(vfs_map(file, 100, false, &map), VARVE_UNSUPPORTED);
  if ((fs->traits & VFS_MAP_WRITE) == 0) TEST_RC(vfs_map(file, 100, true, &map), VARVE_UNSUPPORTED);
  TEST_OK(vfs_close(file));
}

static const contract contracts[] = {
    {"create, open, remove", create_open_remove, 0},
    {"reads end with the file", reads_end_with_the_file, 0},
    {"gaps read as zeros", gaps_read_as_zeros, 0},
    {"allocate and truncate", allocate_and_truncate, 0},
    {"agrees with an array", agrees_with_an_array, 0},
    {"removed while open", removed_while_open, 0},
    {"names parse only as written", names_parse_only_as_written, 0},
    {"lists ours in order", lists_ours_in_order, 0},
    {"maps show the file", maps_show_the_file, NEEDS_MAP},
    {"maps write the file", maps_write_the_file, NEEDS_MAP_BOTH},
    {"maps are refused without the trait", maps_are_refused_without_the_trait, 0},
};

int main(void) {
  return run_contracts("vfs", contracts, COUNT_OF(contracts));
}
