/* wal_test.c: the log: what was appended comes back, whatever the file layer offers; every damage is seen; no power cut
 * is taken for damage. Failures of the file layer, threads and speed are in wal_fault_test.c, files made by
 * design in wal_forged_test.c.
 */
#include "wal_bed.h"

/* ---- what was appended comes back ---- */

static void round_trip(bool posix, bool mapped) {
  bed b;
  static want_log l;
  bed_open(&b, "round_trip", posix, mapped);
  wal_writer *w = create_log(&b.e, 7, &l, 100);
  assert_int_equal(wal_file_number(w), 7);
  assert_int_equal(wal_log_number(w), 1);
  assert_int_equal(wal_end(w), WAL_HEADER_SIZE);
  assert_int_equal(wal_synced(w), 0);
  assert_int_equal(wal_allocated(w), WAL_CHUNK_BYTES);
  if (mapped && (b.e.fs->traits & VFS_MAP_WRITE) != 0) assert_int_equal(wal_memory(w), WAL_CHUNK_BYTES);
  expect_log(&b.e, 7, &l, false);
  for (uint32_t i = 0; i < 300; i++) {
    uint32_t size = i % 100 == 50 ? WAL_CHUNK_BYTES + rng_below(&b.r, 300000) : some_size(&b.r);
    TEST_OK(append_frame(w, &l, &b.r, size));
    if (rng_percent(&b.r, 10)) {
      TEST_OK(wal_sync(w));
      assert_int_equal(wal_synced(w), wal_end(w));
    }
  }
  assert_true(wal_allocated(w) >= l.end && wal_allocated(w) % WAL_CHUNK_BYTES == 0);
  expect_log(&b.e, 7, &l, false); /* beside the writer, as after its death */
  TEST_OK(wal_close(w));
  assert_int_equal(b.fs->calls[FAULT_MAP], b.fs->calls[FAULT_UNMAP]);
  expect_log(&b.e, 7, &l, false);
  want_free(&l);
  bed_close(&b);
}

static void test_round_trip(void **state) {
  (void)state;
  for (int i = 0; i < 4; i++) round_trip((i & 1) != 0, (i & 2) != 0);
}

static void test_header(void **state) {
  (void)state;
  bed b;
  bed_open(&b, "header", false, true);
  wal_header h = {.log = 9, .log_before = 4, .end_before = 123456, .next_seq = SEQ_MAX - 5}, got;
  wal_writer *w;
  wal_reader *r;
  TEST_OK(wal_create(&b.e, 3, false, &h, 0, &w));
  TEST_OK(wal_append(w, SEQ_MAX - 5, 6, slice_make("abcdef", 6)));
  TEST_OK(wal_close(w));
  TEST_RC(wal_reader_open(&b.e, 3, &got, &r), VARVE_OK);
  assert_memory_equal(&got, &h, sizeof h);
  wal_frame f;
  TEST_RC(wal_reader_next(r, &f), VARVE_OK);
  TEST_RC(wal_reader_next(r, &f), VARVE_DONE);
  wal_reader_close(r);
  TEST_RC(wal_create(&b.e, 3, false, &h, 0, &w), VARVE_EXISTS);
  TEST_RC(wal_create(&b.e, 5, true, &h, 0, &w), VARVE_MISSING);
  TEST_RC(wal_reader_open(&b.e, 5, &got, &r), VARVE_MISSING);
  bed_close(&b);
}

/* After every append a copy of the file, as a death of the process would leave it, reads back exactly; and so does
 * each copy in which the last frame's bytes are there in part: as stores, in order, and without the first 8 bytes
 * that are stored last. */
static void killed(bool posix, bool mapped) {
  bed b;
  static want_log l;
  bed_open(&b, "killed", posix, mapped);
  wal_writer *w = create_log(&b.e, 1, &l, 100);
  for (uint32_t i = 0; i < 40; i++) {
    image before = take_image(&b.e, 1, l.end + 4096);
    TEST_OK(append_frame(w, &l, &b.r, 1 + rng_below(&b.r, 150)));
    if (i % 7 == 3) TEST_OK(wal_sync(w));
    image after = take_image(&b.e, 1, l.end + 4096);
    put_image(&b.e, 2, after.data, after.size);
    expect_log(&b.e, 2, &l, false);
    const want_frame *last = &l.frames[l.count - 1];
    uint8_t *mix = malloc(after.size);
    for (size_t m = 0; m < wal_frame_size(last->size); m += 1 + rng_below(&b.r, 9)) {
      memcpy(mix, before.data, MIN(before.size, after.size));
      memcpy(mix + last->offset, after.data + last->offset, m);
      size_t count;
      for (int whole = 0; whole < 2; whole++) {
        if (whole == 0 && m >= 8) memcpy(mix + last->offset, before.data + last->offset, 8);
        if (whole == 1) memcpy(mix + last->offset, after.data + last->offset, m);
        put_image(&b.e, 2, mix, after.size);
        TEST_RC(read_frames(&b.e, 2, &l, &count), VARVE_DONE);
        assert_in_range(count, l.count - 1, whole == 0 ? l.count - 1 : l.count);
      }
    }
    free(mix);
    free(before.data);
    free(after.data);
  }
  TEST_OK(wal_close(w));
  want_free(&l);
  bed_close(&b);
}

static void test_killed_at_any_instant(void **state) {
  (void)state;
  for (int i = 0; i < 4; i++) killed((i & 1) != 0, (i & 2) != 0);
}

static void continued(bool mapped, bool garbage) {
  bed b;
  static want_log l;
  bed_open(&b, "continued", false, mapped);
  wal_header h;
  wal_writer *w = create_log(&b.e, 1, &l, 100);
  for (uint32_t round = 0; round < 5; round++) {
    for (uint32_t i = 0; i < 20; i++) {
      if (rng_percent(&b.r, 10)) TEST_OK(wal_trim(w)); /* takes nothing away but what comes back with the next append */
      TEST_OK(append_frame(w, &l, &b.r, some_size(&b.r)));
    }
    bool trimmed = round == 2 && !garbage;
    if (trimmed) TEST_OK(wal_trim(w));
    if (trimmed) assert_int_equal(wal_allocated(w), l.end);
    bool space = wal_allocated(w) > l.end; /* to be cut */
    bool dirty = garbage && wal_allocated(w) - l.end >= 64;
    TEST_OK(wal_close(w));
    uint64_t cuts = b.fs->calls[FAULT_TRUNCATE];
    if (dirty) {
      image i = take_image(&b.e, 1, UINT64_MAX);
      uint64_t from = l.end + rng_below(&b.r, 3) * 8;
      test_fill(&b.r, i.data + from, i.size - (size_t)from);
      put_image(&b.e, 1, i.data, i.size);
      free(i.data);
    }
    expect_log(&b.e, 1, &l, dirty);
    wal_reader *r;
    TEST_RC(wal_reader_open(&b.e, 1, &h, &r), VARVE_OK);
    wal_reader_close(r);
    uint64_t syncs = b.fs->calls[FAULT_SYNC];
    TEST_OK(wal_continue(&b.e, 1, &h, l.end, 0, &w));
    assert_int_equal(wal_log_number(w), h.log);
    assert_int_equal(wal_is_uncut(w), space);
    assert_int_equal(b.fs->calls[FAULT_SYNC], syncs); /* nothing is done before the first append */
    uint64_t end = l.end;
    TEST_OK(append_frame(w, &l, &b.r, 50));
    assert_false(wal_is_uncut(w));
    assert_int_equal(b.fs->calls[FAULT_SYNC] > syncs, space);
    assert_int_equal(b.fs->calls[FAULT_TRUNCATE] - cuts, space);
    assert_int_equal(wal_synced(w), space ? end : 0);
    expect_log(&b.e, 1, &l, false); /* what followed is zeros now */
  }
  TEST_OK(wal_close(w));
  want_free(&l);
  bed_close(&b);
}

static void test_continued(void **state) {
  (void)state;
  for (int i = 0; i < 4; i++) continued((i & 1) != 0, (i & 2) != 0);
}

/* A recycled file holds frames of older logs at all offsets; none of them comes back, and none is taken for proof. */
static void test_recycled(void **state) {
  (void)state;
  bed b;
  static want_log l;
  for (uint32_t round = 0; round < test_scale(40); round++) {
    bed_open(&b, "recycled", false, round % 2 == 0);
    rng_next(&b.r);
    wal_header h = first_header;
    wal_writer *w = NULL;
    l.seq = 1;
    for (uint32_t log = 1; log < 6; log++) {
      uint64_t salt = h.salt;
      h = (wal_header){.log = log, .log_before = log - 1, .end_before = l.end, .next_seq = l.seq};
      TEST_OK(wal_create(&b.e, 1, log > 1, &h, 0, &w));
      assert_true(h.salt != salt);
      want_free(&l);
      expect_log(&b.e, 1, &l, log > 1);
      uint32_t frames = rng_below(&b.r, 60);
      for (uint32_t i = 0; i < frames; i++) {
        /* the same sizes again and again: old frames begin where new ones do */
        TEST_OK(append_frame(w, &l, &b.r, rng_percent(&b.r, 90) ? 40 : some_size(&b.r)));
        if (rng_percent(&b.r, 10)) TEST_OK(wal_sync(w));
      }
      TEST_OK(wal_close(w));
      size_t count;
      TEST_RC(read_frames(&b.e, 1, &l, &count), VARVE_DONE);
      assert_int_equal(count, l.count);
    }
    want_free(&l);
    bed_close(&b);
  }
}

/* Recycling is cut short: every prefix of each of its writes leaves the old log, the new one, or a spare. */
static void test_recycling_torn(void **state) {
  (void)state;
  bed b;
  static want_log l;
  bed_open(&b, "recycling_torn", false, false);
  wal_writer *w = create_log(&b.e, 1, &l, 0);
  for (int i = 0; i < 10; i++) {
    TEST_OK(append_frame(w, &l, &b.r, 50));
    TEST_OK(wal_sync(w));
  }
  TEST_OK(wal_close(w));
  image old = take_image(&b.e, 1, UINT64_MAX);
  for (uint32_t write = 1; write <= 3; write++) {
    for (size_t part = 0; part <= WAL_HEADER_SIZE; part++) {
      put_image(&b.e, 1, old.data, old.size);
      wal_header h = {.log = 2, .log_before = 1, .end_before = l.end, .next_seq = l.seq}, got;
      fault_vfs_arm(b.fs, (fault_rule){FAULT_BIT(FAULT_WRITE), FILE_WAL, write, true, VARVE_IO, part});
      TEST_RC(wal_create(&b.e, 1, true, &h, 0, &w), VARVE_IO);
      fault_vfs_disarm(b.fs);
      wal_reader *r;
      wal_frame f;
      int rc = wal_reader_open(&b.e, 1, &got, &r);
      if (rc != VARVE_DONE) TEST_OK(rc);
      if (rc == VARVE_OK && got.log == 2) TEST_RC(wal_reader_next(r, &f), VARVE_DONE);
      if (rc == VARVE_OK && got.log == 1) TEST_RC(wal_reader_next(r, &f), VARVE_OK);
      wal_reader_close(r);
    }
  }
  free(old.data);
  want_free(&l);
  bed_close(&b);
}

/* ---- damage ---- */

/* What reading must say when the bytes at `at` are wrong. */
static void expect_damage(env *e, uint64_t number, const want_log *l, size_t at) {
  size_t count, bad = 0;
  bool proven = false, harmless = true;
  int rc = read_frames(e, number, l, &count);
  if (at < WAL_HEADER_SIZE) {
    TEST_RC(rc, VARVE_CORRUPT);
    assert_non_null(strstr(status_message(), ".wal is damaged at offset 0: "));
    return;
  }
  for (; bad < l->count; bad++) {
    const want_frame *f = &l->frames[bad];
    if (at < f->offset + wal_frame_size(f->size)) {
      harmless = at >= f->offset + WAL_FRAME_HEADER_SIZE + f->size; /* padding */
      break;
    }
  }
  if (harmless) bad = l->count;
  for (size_t i = bad + 1; i < l->count; i++) proven |= l->frames[i].synced > l->frames[bad].offset;
  assert_int_equal(count, bad);
  TEST_RC(rc, proven ? VARVE_CORRUPT : VARVE_DONE);
  if (!proven) return;
  char text[128];
  snprintf(text, sizeof text, "%llu.wal is damaged at offset %llu: ", (unsigned long long)number,
           (unsigned long long)l->frames[bad].offset);
  assert_int_equal(strncmp(status_message(), text, strlen(text)), 0);
  assert_non_null(strstr(status_message(), "a later frame proves that these bytes were synced"));
}

static void test_every_bit_and_byte(void **state) {
  (void)state;
  static want_log l;
  for (int mapped = 0; mapped < 2; mapped++) {
    bed b;
    bed_open(&b, "every_bit", false, mapped != 0);
    image i = damage_log(&b, &l, 12);
    put_image(&b.e, 2, i.data, i.size);
    expect_log(&b.e, 2, &l, false);
    for (size_t at = 0; at < i.size; at++) {
      for (unsigned k = 0; k < 10; k++) {
        uint8_t kept = i.data[at];
        i.data[at] = (uint8_t)(i.data[at] ^ (k < 8 ? 1u << k : k == 8 ? 0xffu : 1u + rng_below(&b.r, 255)));
        put_image(&b.e, 2, i.data, i.size);
        expect_damage(&b.e, 2, &l, at);
        i.data[at] = kept;
      }
    }
    free(i.data);
    want_free(&l);
    bed_close(&b);
  }
}

static void test_every_length(void **state) {
  (void)state;
  bed b;
  static want_log l;
  bed_open(&b, "every_length", false, true);
  image i = damage_log(&b, &l, 12);
  uint8_t *copy = malloc(i.size);
  for (size_t cut = 0; cut <= i.size; cut++) {
    size_t whole = 0, count;
    while (whole < l.count && l.frames[whole].offset + WAL_FRAME_HEADER_SIZE + l.frames[whole].size <= cut) whole++;
    for (int tail = 0; tail < 3; tail++) { /* nothing, zeros, garbage behind the cut */
      memcpy(copy, i.data, cut);
      memset(copy + cut, 0, i.size - cut);
      if (tail == 2) test_fill(&b.r, copy + cut, i.size - cut);
      if (tail > 0 && cut < WAL_HEADER_SIZE) continue;
      put_image(&b.e, 2, copy, tail == 0 ? cut : i.size);
      TEST_RC(read_frames(&b.e, 2, &l, &count), VARVE_DONE);
      assert_in_range(count, MIN(whole, l.count), l.count); /* zeros may be what was cut */
      if (tail == 0) assert_int_equal(count, whole);
    }
  }
  free(copy);
  free(i.data);
  want_free(&l);
  bed_close(&b);
}

/* A header with more than one wrong byte, but the salt: the frames speak for it. Without the salt nothing can. */
static void test_broken_header(void **state) {
  (void)state;
  bed b;
  static want_log l;
  size_t count;
  for (int mapped = 0; mapped < 2; mapped++) {
    bed_open(&b, "broken_header", false, mapped != 0);
    image i = damage_log(&b, &l, 12);
    uint8_t header[WAL_HEADER_SIZE];
    memcpy(header, i.data, sizeof header);
    memset(i.data + 16, 0xee, 8);
    memset(i.data + WAL_HEADER_SIZE, 0, 40); /* and the first frame is gone, too */
    put_image(&b.e, 2, i.data, i.size);
    TEST_RC(read_frames(&b.e, 2, &l, &count), VARVE_CORRUPT);
    assert_non_null(strstr(status_message(), "its header is broken, but frames of a log that was synced are there"));
    memset(i.data, 0, WAL_HEADER_SIZE);
    put_image(&b.e, 2, i.data, i.size);
    TEST_RC(read_frames(&b.e, 2, &l, &count), VARVE_DONE);
    test_fill(&b.r, i.data, WAL_HEADER_SIZE);
    put_image(&b.e, 2, i.data, i.size);
    TEST_RC(read_frames(&b.e, 2, &l, &count), VARVE_DONE);
    memcpy(i.data, header, sizeof header);
    put_u32(i.data + 8, FORMAT_VERSION + 1); /* a newer one, with and without a checksum where ours is */
    put_u64(i.data + 56, xxh64(i.data, 56, 0));
    put_image(&b.e, 2, i.data, i.size);
    TEST_RC(read_frames(&b.e, 2, &l, &count), VARVE_NEWER_FORMAT);
    put_u64(i.data + 56, 0);
    put_image(&b.e, 2, i.data, i.size);
    TEST_RC(read_frames(&b.e, 2, &l, &count), VARVE_NEWER_FORMAT);
    memset(i.data, 0, i.size);
    put_image(&b.e, 2, i.data, i.size);
    TEST_RC(read_frames(&b.e, 2, &l, &count), VARVE_DONE);
    memcpy(i.data, header, sizeof header);
    put_u64(i.data + 40, SEQ_MAX + 1); /* a header with a checksum that makes no sense */
    put_u64(i.data + 56, xxh64(i.data, 56, 0));
    put_image(&b.e, 2, i.data, i.size);
    TEST_RC(read_frames(&b.e, 2, &l, &count), VARVE_CORRUPT);
    free(i.data);
    want_free(&l);
    bed_close(&b);
  }
}

/* A power cut: of what was not synced any sectors are lost, in any order, to zeros or to what an earlier log left
 * there. Everything synced must come back, nothing that was not appended, and it must never be called damage; until a
 * synced byte rots. */
static void test_power_cut(void **state) {
  (void)state;
  bed b;
  static want_log l;
  uint32_t sectors_lost = 0, rot_seen = 0;
  bed_open(&b, "power_cut", false, true);
  for (uint32_t round = 0; round < test_scale(400); round++) {
    uint64_t number = 10 + round;
    wal_writer *w = create_log(&b.e, number, &l, 0);
    uint64_t synced = 0;
    size_t safe = 0, count;
    image durable = {NULL, 0};
    uint32_t frames = 5 + rng_below(&b.r, 60), percent = rng_below(&b.r, 101);
    TEST_OK(wal_sync(w));
    for (uint32_t i = 0; i < frames; i++) {
      TEST_OK(append_frame(w, &l, &b.r, some_size(&b.r)));
      if (i > 0 && !rng_percent(&b.r, 10)) continue;
      TEST_OK(wal_sync(w));
      synced = l.end;
      safe = l.count;
      free(durable.data);
      durable = take_image(&b.e, number, UINT64_MAX);
    }
    TEST_OK(wal_close(w));
    image i = take_image(&b.e, number, UINT64_MAX);
    if (durable.size < i.size) {
      durable.data = realloc(durable.data, i.size);
      memset(durable.data + durable.size, 0, i.size - durable.size);
      if (rng_percent(&b.r, 30)) test_fill(&b.r, durable.data + durable.size, i.size - durable.size);
    }
    for (uint64_t s = synced / 512 * 512; s < l.end; s += 512) {
      if (!rng_percent(&b.r, percent)) continue;
      memcpy(i.data + s, durable.data + s, MIN(512, i.size - (size_t)s));
      sectors_lost++;
    }
    put_image(&b.e, 1, i.data, i.size);
    TEST_RC(read_frames(&b.e, 1, &l, &count), VARVE_DONE);
    assert_in_range(count, safe, l.count);
    size_t victim = rng_below(&b.r, (uint32_t)safe), before = 0;
    i.data[l.frames[victim].offset + rng_below(&b.r, WAL_FRAME_HEADER_SIZE + l.frames[victim].size)] ^= 0x10;
    put_image(&b.e, 1, i.data, i.size);
    int rc = read_frames(&b.e, 1, &l, &before);
    assert_int_equal(before, victim);
    if (rc == VARVE_CORRUPT) rot_seen++;
    for (size_t k = victim + 1; k < count; k++) {
      if (l.frames[k].synced > l.frames[victim].offset) TEST_RC(rc, VARVE_CORRUPT);
    }
    free(i.data);
    free(durable.data);
    want_free(&l);
    TEST_OK(vfs_remove(b.e.fs, FILE_WAL, number));
  }
  print_message("%u sectors lost, %u of %u rotten logs reported\n", sectors_lost, rot_seen, test_scale(400));
  bed_close(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_round_trip),
      cmocka_unit_test(test_header),
      cmocka_unit_test(test_killed_at_any_instant),
      cmocka_unit_test(test_continued),
      cmocka_unit_test(test_recycled),
      cmocka_unit_test(test_recycling_torn),
      cmocka_unit_test(test_every_bit_and_byte),
      cmocka_unit_test(test_every_length),
      cmocka_unit_test(test_broken_header),
      cmocka_unit_test(test_power_cut),
  };
  return cmocka_run_group_tests_name("wal", tests, NULL, NULL);
}
