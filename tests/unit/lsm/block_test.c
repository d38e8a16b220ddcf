/* block_test.c: blocks against a sorted array, at the edges of the format, and over bytes that are not blocks. */
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "lsm/block.h"

/* ---- a model: versions in order ---- */

typedef struct model_version {
  slice key, value;
  uint64_t trailer;
} model_version;

typedef struct model {
  model_version *v;
  size_t count, capacity;
} model;

static slice model_copy(slice s) {
  uint8_t *data = malloc(s.size + 1);
  if (s.size > 0) memcpy(data, s.data, s.size);
  return slice_make(data, s.size);
}

static void model_add(model *m, slice key, uint64_t trailer, slice value) {
  if (m->count == m->capacity) {
    m->capacity = m->capacity * 2 + 16;
    m->v = realloc(m->v, m->capacity * sizeof *m->v);
  }
  m->v[m->count++] = (model_version){model_copy(key), model_copy(value), trailer};
}

static int model_order(const void *a, const void *b) {
  const model_version *x = a, *y = b;
  return entry_compare(x->key, x->trailer, y->key, y->trailer);
}

static void model_sort(model *m) {
  qsort(m->v, m->count, sizeof *m->v, model_order);
  size_t kept = 0;
  for (size_t i = 0; i < m->count; i++) {
    if (kept > 0 && model_order(&m->v[kept - 1], &m->v[i]) == 0) {
      free((void *)(uintptr_t)m->v[i].key.data);
      free((void *)(uintptr_t)m->v[i].value.data);
    } else {
      m->v[kept++] = m->v[i];
    }
  }
  m->count = kept;
}

static void model_free(model *m) {
  for (size_t i = 0; i < m->count; i++) {
    free((void *)(uintptr_t)m->v[i].key.data);
    free((void *)(uintptr_t)m->v[i].value.data);
  }
  free(m->v);
  *m = (model){0};
}

/* Keys of a few shapes: many that share heads, prefixes of each other, zeros and 0xff at the edges. */
static slice random_key(rng *r, uint32_t shape, uint8_t *room) {
  static const uint8_t alphabet[] = {0, 1, 'a', 0xff};
  size_t size;
  if (shape == 0) {
    size = 1 + rng_below(r, 7);
    for (size_t i = 0; i < size; i++) room[i] = alphabet[rng_below(r, 4)];
  } else if (shape == 1) {
    size = (size_t)snprintf((char *)room, 32, "%c%016u", 1, rng_below(r, 100000));
  } else {
    memset(room, 'x', 300);
    size = 250 + rng_below(r, 20);
    for (int i = 0; i < 2; i++) room[245 + rng_below(r, 20)] = alphabet[rng_below(r, 4)];
  }
  return slice_make(room, size);
}

static void model_fill(model *m, rng *r, uint32_t count, bool plain) {
  uint8_t key[512], value[400];
  uint32_t shape = rng_below(r, 3);
  for (uint32_t i = 0; i < count; i++) {
    slice k = random_key(r, shape, key);
    uint32_t versions = plain ? 1 : 1 + rng_below(r, 4);
    for (uint32_t j = 0; j < versions; j++) {
      test_fill(r, value, sizeof value);
      entry_kind kind = plain || rng_percent(r, 80) ? KIND_PUT : KIND_DELETE;
      uint64_t seq = plain ? 0 : rng_below(r, 50);
      model_add(m, k, trailer_make(seq, kind), slice_make(value, rng_percent(r, 20) ? rng_below(r, 400) : 8));
    }
  }
  model_sort(m);
}

/* The payload in a piece of exactly its size, so that a sanitizer sees each byte too far. */
static uint8_t *model_build(const model *m, allocator *alloc, size_t *size) {
  block_builder b;
  block_builder_init(&b, alloc);
  for (size_t i = 0; i < m->count; i++) TEST_OK(block_builder_add(&b, m->v[i].key, m->v[i].trailer, m->v[i].value));
  size_t estimate = block_builder_size(&b);
  buf payload;
  buf_init(&payload, alloc);
  TEST_OK(block_builder_finish(&b, &payload));
  assert_true(payload.size <= estimate);
  assert_int_equal(b.count, 0);
  *size = payload.size;
  uint8_t *data = malloc(payload.size);
  memcpy(data, payload.data, payload.size);
  buf_free(&payload);
  block_builder_free(&b);
  return data;
}

static uint32_t model_seek(const model *m, slice key, uint64_t trailer) {
  uint32_t i = 0;
  while (i < m->count && entry_compare(m->v[i].key, m->v[i].trailer, key, trailer) < 0) i++;
  return i;
}

static void expect_entry(const block *b, uint32_t i, const model_version *v) {
  slice suffix, value;
  assert_true(block_entry(b, i, &suffix, &value));
  assert_int_equal(b->prefix.size + suffix.size, v->key.size);
  assert_memory_equal(b->prefix.data, v->key.data, b->prefix.size);
  assert_true(slice_equal(suffix, slice_make((const uint8_t *)v->key.data + b->prefix.size, suffix.size)));
  assert_true(slice_equal(value, v->value));
  assert_true(block_trailer(b, i) == v->trailer);
}

static void expect_seek(const block *b, const model *m, slice key, uint64_t trailer) {
  uint32_t want = model_seek(m, key, trailer);
  assert_int_equal(block_seek(b, key, trailer), want);
  bool found;
  slice value;
  assert_int_equal(block_find(b, key, trailer, &found, &value), want);
  assert_int_equal(found, want < m->count && slice_equal(m->v[want].key, key));
  if (found) assert_true(slice_equal(value, m->v[want].value));
}

static void random_blocks_match(void **state) {
  (void)state;
  rng r = test_rng("random_blocks_match");
  test_allocator a;
  test_allocator_init(&a);
  for (uint32_t round = test_scale(150); round > 0; round--) {
    model m = {0};
    bool plain = rng_percent(&r, 30);
    model_fill(&m, &r, 1 + rng_below(&r, rng_percent(&r, 20) ? 400 : 60), plain);
    size_t size;
    uint8_t *data = model_build(&m, &a.base, &size);
    block b;
    assert_true(block_open(&b, slice_make(data, size)));
    assert_true(block_check(&b));
    assert_int_equal(b.count, m.count);
    assert_int_equal(b.trailers == NULL, plain);
    assert_true(b.wide || size <= 65535);
    for (uint32_t i = 0; i < b.count; i++) {
      expect_entry(&b, i, &m.v[i]);
      expect_seek(&b, &m, m.v[i].key, m.v[i].trailer);
      expect_seek(&b, &m, m.v[i].key, TRAILER_MAX);
      expect_seek(&b, &m, m.v[i].key, 0);
      expect_seek(&b, &m, m.v[i].key, m.v[i].trailer + 1);
    }
    expect_seek(&b, &m, slice_make(NULL, 0), TRAILER_MAX);
    uint8_t key[512];
    for (uint32_t i = 0; i < 200; i++) {
      slice k = random_key(&r, rng_below(&r, 3), key);
      if (rng_percent(&r, 50)) { /* near one that is there */
        const model_version *v = &m.v[rng_below(&r, (uint32_t)m.count)];
        memcpy(key, v->key.data, v->key.size);
        k = slice_make(key, rng_percent(&r, 50) ? v->key.size : rng_below(&r, (uint32_t)v->key.size + 1));
        if (k.size > 0) key[rng_below(&r, (uint32_t)k.size)] ^= (uint8_t)(1u << rng_below(&r, 8));
      }
      expect_seek(&b, &m, k, rng_percent(&r, 50) ? TRAILER_MAX : trailer_make(rng_below(&r, 50), KIND_PUT));
    }
    free(data);
    model_free(&m);
  }
  test_allocator_check(&a);
}

/* Prefix at its limit, values that need 32-bit offsets, one entry alone. */
static void edges_of_the_format(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  static uint8_t key[INNER_KEY_MAX], value[200000];
  memset(key, 'k', sizeof key);
  memset(value, 'v', sizeof value);
  model m = {0};
  for (uint8_t i = 0; i < 5; i++) {
    key[INNER_KEY_MAX - 1] = i;
    model_add(&m, slice_make(key, INNER_KEY_MAX), trailer_make(i, KIND_PUT), slice_make(value, i * 50000u));
  }
  size_t size;
  uint8_t *data = model_build(&m, &a.base, &size);
  block b;
  assert_true(block_open(&b, slice_make(data, size)) && block_check(&b));
  assert_int_equal(b.prefix.size, 65535);
  assert_true(b.wide);
  for (uint32_t i = 0; i < b.count; i++) {
    expect_entry(&b, i, &m.v[i]);
    expect_seek(&b, &m, m.v[i].key, TRAILER_MAX);
  }
  free(data);
  model_free(&m);
  model_add(&m, slice_make("one", 3), trailer_make(0, KIND_PUT), slice_make("", 0));
  data = model_build(&m, &a.base, &size);
  assert_true(block_open(&b, slice_make(data, size)) && block_check(&b));
  assert_int_equal(b.prefix.size, 3); /* the whole key */
  expect_entry(&b, 0, &m.v[0]);
  expect_seek(&b, &m, slice_make("one", 3), TRAILER_MAX);
  expect_seek(&b, &m, slice_make("on", 2), TRAILER_MAX);
  expect_seek(&b, &m, slice_make("onf", 3), TRAILER_MAX);
  expect_seek(&b, &m, slice_make("one\0", 4), TRAILER_MAX);
  free(data);
  model_free(&m);
  test_allocator_check(&a);
}

/* The bytes of a block that was written down by hand from the drawing in block.h. */
static void golden_bytes(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  model m = {0};
  model_add(&m, slice_make("abX", 3), trailer_make(2, KIND_PUT), slice_make("1", 1));
  model_add(&m, slice_make("abYZ", 4), trailer_make(1, KIND_DELETE), slice_make("", 0));
  size_t size;
  uint8_t *data = model_build(&m, &a.base, &size);
  static const uint8_t want[] = {
      2,   0,   0,  0,   1,   0,   0,   0,   2,   0,   0, 0, 0, 0, 0, 0, /* count, flags, prefix size */
      0,   0,   0,  'X', 0,   0,   'Z', 'Y',                             /* heads */
      50,  0,   54, 0,   0,   0,   0,   0,                               /* offsets, padded */
      1,   2,   0,  0,   0,   0,   0,   0,   0,   1,   0, 0, 0, 0, 0, 0, /* trailers */
      'a', 'b', 1,  1,   'X', '1', 2,   0,   'Y', 'Z',
  };
  assert_int_equal(size, sizeof want);
  assert_memory_equal(data, want, sizeof want);
  free(data);
  model_free(&m);
  test_allocator_check(&a);
}

/* Everything that a reader does with a block; nothing may be touched outside it. */
static void use_block(const uint8_t *bytes, size_t size, const model *m) {
  uint8_t *data = malloc(size + (size == 0));
  memcpy(data, bytes, size);
  block b;
  if (block_open(&b, slice_make(data, size))) {
    (void)block_check(&b);
    for (uint32_t i = 0; i < MIN(b.count, 1000); i++) {
      slice suffix, value;
      if (!block_entry(&b, i, &suffix, &value)) continue;
      assert_true((const uint8_t *)suffix.data >= data && (const uint8_t *)value.data + value.size <= data + size);
      (void)block_trailer(&b, i);
    }
    for (size_t i = 0; i < m->count; i++) {
      uint32_t at = block_seek(&b, m->v[i].key, m->v[i].trailer);
      assert_true(at <= b.count || at == UINT32_MAX);
    }
  }
  free(data);
}

static void hostile_bytes_stay_inside(void **state) {
  (void)state;
  rng r = test_rng("hostile_bytes_stay_inside");
  test_allocator a;
  test_allocator_init(&a);
  for (uint32_t round = test_scale(12); round > 0; round--) {
    model m = {0};
    model_fill(&m, &r, 3 + rng_below(&r, 8), rng_percent(&r, 30));
    size_t size;
    uint8_t *data = model_build(&m, &a.base, &size);
    for (size_t i = 0; i < size; i++) {
      uint8_t was = data[i];
      for (int bit = 0; bit < 8; bit++) {
        data[i] = (uint8_t)(was ^ 1u << bit);
        use_block(data, size, &m);
      }
      data[i] = (uint8_t)rng_next(&r);
      use_block(data, size, &m);
      data[i] = was;
    }
    for (size_t cut = 0; cut < size; cut++) use_block(data, cut, &m);
    for (int i = 0; i < 300; i++) { /* several at once */
      uint8_t *broken = malloc(size);
      memcpy(broken, data, size);
      for (uint32_t n = 1 + rng_below(&r, 6); n > 0; n--)
        broken[rng_below(&r, (uint32_t)MIN(size, 120))] = (uint8_t)rng_next(&r);
      use_block(broken, size, &m);
      free(broken);
    }
    free(data);
    model_free(&m);
  }
  test_allocator_check(&a);
}

/* A changed byte of the frame is found by the full check; so are entries out of order. */
static void check_finds_damage(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  model m = {0};
  static const char *keys[] = {"prefix-a", "prefix-bcdefg", "prefix-bcdefh", "prefix-c"};
  for (size_t i = 0; i < COUNT_OF(keys); i++) {
    model_add(&m, slice_make(keys[i], strlen(keys[i])), trailer_make(9, KIND_PUT), slice_make("value", 5));
  }
  size_t size;
  uint8_t *data = model_build(&m, &a.base, &size);
  block b;
  size_t frame = 16 + 4 * m.count + 2 * m.count; /* header, heads, offsets: no padding with four entries */
  for (size_t i = 0; i < frame; i++) {
    for (int bit = 0; bit < 8; bit++) {
      data[i] ^= (uint8_t)(1u << bit);
      if (block_open(&b, slice_make(data, size)) && block_check(&b)) fail_msg("bit %d of byte %zu passes", bit, i);
      data[i] ^= (uint8_t)(1u << bit);
    }
  }
  assert_true(block_open(&b, slice_make(data, size)) && block_check(&b));
  assert_true(block_open(&b, slice_make(data, size - 1)) && !block_check(&b)); /* a gap, or too little, at the end */
  data[frame + 8] ^= 2; /* the kind of the second trailer: 3 is none */
  assert_true(block_open(&b, slice_make(data, size)) && !block_check(&b));
  free(data);
  model_free(&m);
  test_allocator_check(&a);
}

static void out_of_memory_changes_nothing(void **state) {
  (void)state;
  test_allocator a;
  test_allocator_init(&a);
  rng r = test_rng("out_of_memory_changes_nothing");
  model m = {0};
  model_fill(&m, &r, 200, false);
  for (uint64_t nth = 1; nth < 200; nth++) {
    block_builder b;
    buf payload;
    block_builder_init(&b, &a.base);
    buf_init(&payload, &a.base);
    uint64_t failures = atomic_load(&a.failures);
    test_allocator_fail(&a, nth, false);
    for (size_t i = 0; i < m.count; i++) {
      int rc = block_builder_add(&b, m.v[i].key, m.v[i].trailer, m.v[i].value);
      if (rc == VARVE_NOMEM) rc = block_builder_add(&b, m.v[i].key, m.v[i].trailer, m.v[i].value); /* once more */
      TEST_OK(rc);
    }
    if (block_builder_finish(&b, &payload) == VARVE_NOMEM) TEST_OK(block_builder_finish(&b, &payload));
    bool failed = atomic_load(&a.failures) > failures;
    test_allocator_fail(&a, 0, false);
    block v;
    assert_true(block_open(&v, buf_slice(&payload)) && block_check(&v));
    assert_int_equal(v.count, m.count);
    block_builder_free(&b);
    buf_free(&payload);
    if (!failed) break;
  }
  model_free(&m);
  test_allocator_check(&a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_blocks_match), cmocka_unit_test(edges_of_the_format),
      cmocka_unit_test(golden_bytes),        cmocka_unit_test(hostile_bytes_stay_inside),
      cmocka_unit_test(check_finds_damage),  cmocka_unit_test(out_of_memory_changes_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
