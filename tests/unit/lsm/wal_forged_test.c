/* wal_forged_test.c: logs that somebody made: frames with right checksums and wrong fields, files that are costly to
 * read, and random changes. The answer is the frames that were appended, or an error, and it comes soon.
 */
#include "wal_bed.h"

/* Puts a frame with a right checksum at `at`; its body is there already. */
static void forge_frame(uint8_t *file, uint64_t salt, uint64_t at, uint32_t size, uint64_t seq, uint32_t count,
                        uint64_t synced) {
  uint8_t *p = file + at;
  put_u32(p, size);
  put_u64(p + 8, seq);
  put_u32(p + 16, count);
  put_u32(p + 20, (uint32_t)(synced / 8));
  put_u32(p + 4, wal_frame_checksum(p, size, salt, at));
}

static void forged(uint8_t file[512], const wal_header *h) {
  memset(file, 0, 512);
  wal_header_put(file, h);
  forge_frame(file, h->salt, 64, 8, 1, 2, 0);
  forge_frame(file, h->salt, 96, 8, 3, 1, 64);
  forge_frame(file, h->salt, 128, 8, 4, 1, 128);
}

static void test_forged_frames(void **state) {
  (void)state;
  static const struct {
    uint32_t size;
    uint64_t seq;
    uint32_t count;
    uint64_t synced;
    bool good;
  } cases[] = {{8, 3, 1, 64, true},        {8, 2, 1, 64, false},       {8, 4, 1, 64, false}, {8, 3, 0, 64, false},
               {8, 3, 9, 64, false},       {8, 3, 1, 104, false},      {0, 3, 1, 64, false}, {393, 3, 1, 64, false},
               {8, 3, 1, 96, true},        {8, SEQ_MAX, 1, 64, false}, {8, 3, 2, 64, true},  {4, 3, 1, 64, true},
               {1u << 31, 3, 1, 64, false}};
  bed b;
  bed_open(&b, "forged", false, true);
  const wal_header h = {.log = 1, .next_seq = 1, .salt = 0x1234567};
  for (size_t i = 0; i < COUNT_OF(cases); i++) {
    uint8_t file[512];
    wal_header got;
    wal_reader *r;
    wal_frame f;
    forged(file, &h);
    uint32_t size = cases[i].size;
    forge_frame(file, h.salt, 96, size <= 392 ? size : 8, cases[i].seq, cases[i].count, cases[i].synced);
    put_u32(file + 96, size);
    put_image(&b.e, 1, file, sizeof file);
    TEST_RC(wal_reader_open(&b.e, 1, &got, &r), VARVE_OK);
    TEST_RC(wal_reader_next(r, &f), VARVE_OK);
    int rc = wal_reader_next(r, &f);
    if (cases[i].good) {
      TEST_RC(rc, VARVE_OK);
    } else {
      TEST_RC(rc, VARVE_CORRUPT); /* the third frame says that 128 bytes were synced */
      assert_int_equal(wal_reader_end(r), 96);
      assert_int_equal(wal_reader_next(r, &f), VARVE_CORRUPT);
    }
    wal_reader_close(r);
  }
  bed_close(&b);
}

/* Every 8 bytes look like a large frame that would prove: without a bound this takes the square of the file's size. */
static void test_costly_file(void **state) {
  (void)state;
  enum { SIZE = 4 << 20 };
  uint8_t *file = calloc(1, SIZE);
  for (int mapped = 0; mapped < 2; mapped++) {
    bed b;
    wal_header h = {.log = 1, .next_seq = 1, .salt = 99}, got;
    wal_reader *r;
    wal_frame f;
    bed_open(&b, "costly", false, mapped != 0);
    wal_header_put(file, &h);
    put_u32(file + 64, 8);
    /* size and count 65,792, sequence 0x0000000000010100 wherever it is read from */
    for (size_t at = 72; at + 8 <= SIZE; at += 8) put_u64(file + at, at % 16 == 8 ? 0x0001000100010100u : 0x10100u);
    for (size_t at = 72; at + 24 <= SIZE; at += 16) put_u32(file + at + 20, 64);
    put_image(&b.e, 1, file, SIZE);
    TEST_RC(wal_reader_open(&b.e, 1, &got, &r), VARVE_OK);
    clock_t begin = clock();
    TEST_RC(wal_reader_next(r, &f), VARVE_CORRUPT);
    double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
    assert_non_null(strstr(status_message(), "many times over"));
    print_message("refused after %.2f s\n", seconds);
    assert_true(seconds < 20);
    wal_reader_close(r);
    bed_close(&b);
  }
  free(file);
}

/* Any bytes at all: frames that were appended, in order, or none; and it ends. */
static void test_fuzzed(void **state) {
  (void)state;
  bed b;
  static want_log l;
  bed_open(&b, "fuzzed", false, true);
  image i = damage_log(&b, &l, 25);
  uint8_t *copy = malloc(i.size);
  for (uint32_t round = 0; round < test_scale(20000); round++) {
    size_t count;
    memcpy(copy, i.data, i.size);
    for (uint32_t n = 1 + rng_below(&b.r, 4); n > 0; n--) {
      size_t at = rng_below(&b.r, (uint32_t)i.size), most = MIN(i.size - at, 40u);
      size_t len = 1 + rng_below(&b.r, (uint32_t)most);
      size_t from = rng_below(&b.r, (uint32_t)(i.size - len + 1));
      switch (rng_below(&b.r, 4)) {
        case 0:
          test_fill(&b.r, copy + at, len);
          break;
        case 1:
          memset(copy + at, (int)rng_below(&b.r, 2) * 255, len);
          break;
        case 2:
          memmove(copy + at, i.data + from, len); /* a misplaced piece */
          break;
        default:
          put_u32(copy + at / 8 * 8, rng_below(&b.r, 3000)); /* the file's size is a multiple of 8 */
          break;
      }
    }
    put_image(&b.e, 2, copy, rng_percent(&b.r, 80) ? i.size : rng_below(&b.r, (uint32_t)i.size));
    b.fs->base.traits ^= VFS_MAP_READ;
    int rc = read_frames(&b.e, 2, &l, &count);
    assert_true(rc == VARVE_DONE || rc == VARVE_CORRUPT || rc == VARVE_NEWER_FORMAT);
  }
  free(copy);
  free(i.data);
  want_free(&l);
  bed_close(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_forged_frames),
      cmocka_unit_test(test_costly_file),
      cmocka_unit_test(test_fuzzed),
  };
  return cmocka_run_group_tests_name("wal_forged", tests, NULL, NULL);
}
