/* sst_damage_test.c: damaged tables must give the same answers or CORRUPT, crafted ones must do no harm. */
#include "sst_model.h"

typedef struct damaged {
  place p;
  sst_model m;
  range_list ranges;
  uint8_t *bytes;
  size_t size;
} damaged;

static void damaged_put(damaged *d, const uint8_t *bytes, size_t size) {
  vfs_file *file;
  TEST_OK(vfs_open(d->p.e.fs, FILE_SST, 7, VFS_CREATE, &file));
  if (size > 0) TEST_OK(vfs_write_at(file, 0, bytes, size));
  TEST_OK(vfs_close(file));
}

static void damaged_take(damaged *d, uint64_t size) {
  vfs_file *file;
  d->size = (size_t)size;
  d->bytes = malloc(d->size);
  TEST_OK(vfs_open(d->p.e.fs, FILE_SST, 7, 0, &file));
  TEST_OK(vfs_read_exact(file, 0, d->bytes, d->size));
  TEST_OK(vfs_close(file));
}

/* Everything that can be asked of the table: answers are right or CORRUPT. Returns whether all of it passed. */
static bool damaged_ask(damaged *d, uint64_t size, bool map) {
  table *t;
  int rc = table_open(&d->p.e, d->p.cache, 7, size, map, &t);
  if (!corrupt_or(rc, VARVE_OK, true)) {
    assert_null(t);
    return false;
  }
  bool well = true;
  for (size_t i = 0; i < d->m.count; i++) {
    well &= expect_get(t, &d->m, d->m.v[i].key, trailer_seq(d->m.v[i].trailer), true);
  }
  well &= expect_get(t, &d->m, slice_make("nothing", 7), SEQ_MAX, true);
  well &= expect_scan(t, d->p.e.alloc, &d->m, false, true);
  well &= expect_scan(t, d->p.e.alloc, &d->m, true, true);
  const rangedel_set *set = table_range_set(t);
  assert_int_equal(set == NULL ? 0 : set->count, d->ranges.count);
  for (size_t i = 0; i < d->ranges.count; i++) assert_int_equal(set->fragments[i].seq, d->ranges.list[i].seq);
  uint64_t blocks, entries;
  well &= corrupt_or(table_verify(t, &blocks, &entries), VARVE_OK, true);
  table_close(t);
  block_cache_forget(d->p.cache, 7);
  return well;
}

static void damaged_open(damaged *d, rng *r, bool compress) {
  static const range_tombstone list[] = {{{"b", 1}, {"d", 1}, 90}, {{"d", 1}, {"m", 1}, 7}};
  memset(d, 0, sizeof *d);
  place_open(&d->p, 1 << 20);
  d->ranges = (range_list){list, COUNT_OF(list)};
  for (uint32_t i = 0; i < 24; i++) {
    char key[32], value[64];
    slice k = slice_make(key, (size_t)snprintf(key, sizeof key, "key-%03u", i / 2));
    memset(value, 'v', sizeof value);
    sst_model_add(&d->m, k, trailer_make(1 + rng_below(r, 60), i % 5 == 0 ? KIND_DELETE : KIND_PUT),
                  slice_make(value, i % 5 == 0 ? 0 : rng_below(r, sizeof value)));
  }
  sst_model_sort(&d->m);
  sst_options o = {compress ? 512 : 256, 10, compress};
  sst_summary s;
  TEST_OK(write_table(&d->p, &d->m, d->ranges, &o, &s));
  damaged_take(d, s.size);
  free_summary(&s);
  assert_true(damaged_ask(d, d->size, true) && damaged_ask(d, d->size, false));
  remove_table(&d->p);
}

static void damaged_close(damaged *d) {
  free(d->bytes);
  sst_model_free(&d->m);
  place_close(&d->p);
}

static void every_flipped_byte_is_noticed(void **state) {
  (void)state;
  rng r = test_rng("every_flipped_byte_is_noticed");
  for (int compress = 0; compress < 2; compress++) {
    damaged d;
    damaged_open(&d, &r, compress != 0);
    for (size_t i = 0; i < d.size; i++) {
      uint8_t was = d.bytes[i];
      for (int kind = 0; kind < 3; kind++) {
        uint32_t flip = kind == 0 ? 1u << rng_below(&r, 8) : kind == 1 ? 0xff : was ^ (was + 1u);
        d.bytes[i] = (uint8_t)(was ^ flip);
        damaged_put(&d, d.bytes, d.size);
        for (int map = 0; map < 2; map++) {
          if (damaged_ask(&d, d.size, map != 0)) fail_msg("byte %zu of %zu may be %02x", i, d.size, d.bytes[i]);
        }
        remove_table(&d.p);
      }
      d.bytes[i] = was;
    }
    damaged_close(&d);
  }
}

static void every_cut_is_noticed(void **state) {
  (void)state;
  rng r = test_rng("every_cut_is_noticed");
  damaged d;
  damaged_open(&d, &r, true);
  for (size_t cut = 0; cut < d.size; cut++) {
    damaged_put(&d, d.bytes, cut);
    for (int map = 0; map < 2; map++) {
      assert_false(damaged_ask(&d, d.size, map != 0)); /* as the manifest says it should be */
      assert_false(damaged_ask(&d, cut, map != 0));    /* as the file is */
    }
    remove_table(&d.p);
  }
  uint8_t *longer = calloc(1, d.size + 8);
  memcpy(longer, d.bytes, d.size);
  damaged_put(&d, longer, d.size + 8);
  assert_false(damaged_ask(&d, d.size, true));
  assert_false(damaged_ask(&d, d.size + 8, true));
  free(longer);
  remove_table(&d.p);
  damaged_close(&d);
}

/* Damage behind checksums that were made right again: nothing may be read outside, answers may be anything. */
static void crafted_sections_are_survived(void **state) {
  (void)state;
  rng r = test_rng("crafted_sections_are_survived");
  damaged d;
  damaged_open(&d, &r, false);
  sst_footer f;
  TEST_OK(sst_footer_get(d.bytes + d.size - SST_FOOTER_BYTES, 7, d.size, &f));
  for (uint32_t round = test_scale(4000); round > 0; round--) {
    uint8_t *bytes = malloc(d.size);
    memcpy(bytes, d.bytes, d.size);
    uint32_t part = rng_below(&r, SST_PARTS + 1);
    sst_extent e = part < SST_PARTS ? f.part[part] : (sst_extent){d.size - SST_FOOTER_BYTES, SST_FOOTER_BYTES};
    if (part == SST_FILTER)
      e = (sst_extent){
          0, sst_index_offset(
                 &(sst_index){.offsets =
                                  (const uint32_t *)(const void *)(d.bytes + f.part[SST_INDEX].offset + 8 +
                                                                   8 * get_u32(d.bytes + f.part[SST_INDEX].offset))},
                 1)};
    uint32_t end = (uint32_t)e.size - 4;
    for (uint32_t n = 1 + rng_below(&r, 3); n > 0; n--)
      bytes[e.offset + rng_below(&r, rng_percent(&r, 50) ? MIN(end, 40) : end)] = (uint8_t)rng_next(&r);
    put_u32(bytes + e.offset + end, sst_checksum(bytes + e.offset, end, 7, e.offset));
    damaged_put(&d, bytes, d.size);
    free(bytes);
    for (int map = 0; map < 2; map++) {
      table *t;
      int rc = table_open(&d.p.e, d.p.cache, 7, d.size, map != 0, &t);
      assert_true(rc == VARVE_OK || rc == VARVE_CORRUPT || rc == VARVE_NEWER_FORMAT);
      if (rc < 0) continue;
      for (size_t i = 0; i < d.m.count; i++) {
        table_get_result g;
        rc = table_get(t, d.m.v[i].key, key_hash(d.m.v[i].key), SEQ_MAX, &g);
        assert_true(rc == VARVE_OK || rc == VARVE_NOTFOUND || rc == VARVE_CORRUPT);
        if (rc != VARVE_OK) continue;
        volatile uint64_t sum = xxh64(g.value.data, g.value.size, 0);
        (void)sum;
        if (g.block != NULL) pin_unref(&g.block->pin);
      }
      for (int bulk = 0; bulk < 2; bulk++) {
        iter *it;
        TEST_OK(table_iter_open(t, d.p.e.alloc, bulk != 0, &it));
        rc = iter_first(it);
        while (rc == VARVE_OK) {
          assert_true(it->key.size > 0 && it->key.size <= INNER_KEY_MAX && trailer_kind(it->trailer) <= KIND_PUT);
          rc = iter_next(it);
        }
        assert_true(rc == VARVE_DONE || rc == VARVE_CORRUPT);
        rc = iter_last(it);
        while (rc == VARVE_OK) rc = iter_prev(it);
        (void)iter_seek_before(it, slice_make("key-005", 7));
        iter_close(it);
      }
      uint64_t blocks, entries;
      (void)table_verify(t, &blocks, &entries);
      table_close(t);
    }
    remove_table(&d.p);
  }
  damaged_close(&d);
}

/* The properties are compared with what the table holds, each of them. */
static void wrong_properties_are_found(void **state) {
  (void)state;
  rng r = test_rng("wrong_properties_are_found");
  damaged d;
  damaged_open(&d, &r, false);
  sst_footer f;
  TEST_OK(sst_footer_get(d.bytes + d.size - SST_FOOTER_BYTES, 7, d.size, &f));
  sst_extent e = f.part[SST_PROPERTIES];
  uint8_t *section = d.bytes + e.offset;
  uint32_t found = 0;
  for (size_t at = 0;
       section[at] > 0 && section[at] < 10;) { /* all but the filter's bits: their count decides nothing */
    uint8_t tag = section[at];
    size_t last = at + 1 + section[at + 1]; /* the last byte of a number, or of a key */
    section[last] ^= 1;
    put_u32(section + e.size - 4, sst_checksum(section, (size_t)e.size - 4, 7, e.offset));
    damaged_put(&d, d.bytes, d.size);
    table *t;
    uint64_t blocks, entries;
    int rc = table_open(&d.p.e, d.p.cache, 7, d.size, true, &t);
    if (rc == VARVE_OK) {
      rc = table_verify(t, &blocks, &entries);
      table_close(t);
    }
    if (rc != VARVE_CORRUPT) fail_msg("property %u may be wrong", tag);
    remove_table(&d.p);
    section[last] ^= 1;
    at = last + 1;
    found++;
  }
  assert_int_equal(found, 9);
  damaged_close(&d);
}

/* A few bytes that claim to inflate to a gigabyte are refused before memory is asked for. */
static void a_bomb_is_refused(void **state) {
  (void)state;
  buf out;
  test_allocator a;
  test_allocator_init(&a);
  buf_init(&out, &a.base);
  TEST_OK(buf_append_u32(&out, 1u << 30));
  TEST_OK(buf_append_zeros(&out, 100));
  TEST_OK(sst_section_end(&out, 0, SST_CODEC_LZ4, 7, 4096));
  sst_section s;
  TEST_RC(sst_section_open(out.data, out.size, 7, 4096, &s), VARVE_CORRUPT);
  assert_non_null(strstr(status_message(), "7.sst is damaged at offset 4096: a compressed section claims"));
  buf_free(&out);
  test_allocator_check(&a);
}

static void a_newer_format_is_named(void **state) {
  (void)state;
  rng r = test_rng("a_newer_format_is_named");
  damaged d;
  damaged_open(&d, &r, false);
  uint8_t *footer = d.bytes + d.size - SST_FOOTER_BYTES;
  put_u32(footer + 8, 2);
  put_u32(footer + 124, sst_checksum(footer, 124, 7, d.size - SST_FOOTER_BYTES));
  damaged_put(&d, d.bytes, d.size);
  table *t;
  TEST_RC(table_open(&d.p.e, d.p.cache, 7, d.size, true, &t), VARVE_NEWER_FORMAT);
  TEST_RC(table_open(&d.p.e, d.p.cache, 8, d.size, true, &t), VARVE_MISSING);
  /* An intact table under another number. */
  put_u32(footer + 8, 1);
  put_u32(footer + 124, sst_checksum(footer, 124, 7, d.size - SST_FOOTER_BYTES));
  vfs_file *file;
  TEST_OK(vfs_open(d.p.e.fs, FILE_SST, 9, VFS_CREATE, &file));
  TEST_OK(vfs_write_at(file, 0, d.bytes, d.size));
  TEST_OK(vfs_close(file));
  TEST_RC(table_open(&d.p.e, d.p.cache, 9, d.size, true, &t), VARVE_CORRUPT);
  assert_non_null(strstr(status_message(), "another table"));
  damaged_close(&d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_flipped_byte_is_noticed),
      cmocka_unit_test(every_cut_is_noticed),
      cmocka_unit_test(crafted_sections_are_survived),
      cmocka_unit_test(wrong_properties_are_found),
      cmocka_unit_test(a_bomb_is_refused),
      cmocka_unit_test(a_newer_format_is_named),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
