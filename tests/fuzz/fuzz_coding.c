/* fuzz_coding.c: varints and byte strings; LZ4 blocks of any bytes, and there and back. */
#include "fuzz/fuzz.h"

#include <stdlib.h>

#include "base/coding.h"
#include "base/lz4.h"

static void coding_run(const uint8_t *data, size_t size) {
  reader r = reader_of(slice_make(data, size));
  while (reader_left(&r) > 0) {
    const uint8_t *from = r.at;
    size_t left = reader_left(&r);
    uint8_t written[VARINT64_SIZE_MAX];
    uint64_t v;
    uint32_t small;
    slice s;
    reader other = r, third = r;
    bool is64 = read_varint64(&r, &v), is32 = read_varint32(&other, &small);
    FUZZ_CHECK(is32 == (is64 && v <= UINT32_MAX) && (!is32 || small == v));
    if (!is64) {
      FUZZ_CHECK(r.at == from);
      r.at++;
      continue;
    }
    size_t used = (size_t)(r.at - from);
    FUZZ_CHECK(varint_size(v) == used && varint_put(written, v) == used && memcmp(written, from, used) == 0);
    bool has = read_slice(&third, 100, &s);
    FUZZ_CHECK(has == (v <= 100 && v <= left - used));
    if (has) FUZZ_CHECK(s.size == v && s.data == from + used && third.at == from + used + v);
  }
}

static void coding_seeds(fuzz_emit emit, void *context) {
  uint8_t all[200];
  size_t size = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) size += varint_put(all + size, (UINT64_C(1) << shift) - 1);
  size += varint_put(all + size, UINT64_MAX);
  emit(context, all, size);
}

/* input: mode u8 | raw size u16 | bytes */
static void lz4_run(const uint8_t *data, size_t size) {
  static lz4_work work;
  fuzz_input in = {data, size};
  uint8_t mode = fuzz_u8(&in);
  size_t raw = fuzz_number(&in, 2), left = in.left;
  uint8_t *from = malloc(left + 1), *out = malloc(MAX(raw, left) + 1), *packed = malloc(lz4_bound(left));
  FUZZ_CHECK(from != NULL && out != NULL && packed != NULL);
  memcpy(from, in.at, left);
  if (mode % 2 == 0) {
    uint8_t *exact = malloc(MAX(raw, 1u)), *bytes = malloc(MAX(left, 1u)); /* so that a step too far is seen */
    FUZZ_CHECK(exact != NULL && bytes != NULL);
    memcpy(bytes, from, left);
    (void)lz4_decompress(bytes, left, exact, raw);
    free(exact);
    free(bytes);
  } else {
    size_t room = mode % 4 == 1 ? lz4_bound(left) : MIN(raw, lz4_bound(left));
    size_t n = lz4_compress(&work, from, left, packed, room);
    FUZZ_CHECK(n <= room && (n > 0 || mode % 4 != 1));
    if (n > 0) {
      FUZZ_CHECK(lz4_decompress(packed, n, out, left) && memcmp(out, from, left) == 0);
      FUZZ_CHECK(left == 0 || !lz4_decompress(packed, n, out, left - 1));
      FUZZ_CHECK(!lz4_decompress(packed, n - 1, out, left));
    }
  }
  free(from);
  free(out);
  free(packed);
}

static void lz4_seeds(fuzz_emit emit, void *context) {
  static lz4_work work;
  uint8_t text[600], seed[700] = {0};
  for (size_t i = 0; i < sizeof text; i++)
    text[i] = (uint8_t)(i % 7 == 0 ? (unsigned)(i * i) : (unsigned char)"abcabcabd"[i % 9]);
  size_t n = lz4_compress(&work, text, sizeof text, seed + 3, sizeof seed - 3);
  put_u16(seed + 1, sizeof text);
  emit(context, seed, 3 + n);
  seed[0] = 1;
  memcpy(seed + 3, text, sizeof text);
  emit(context, seed, 3 + sizeof text);
  seed[0] = 3;
  emit(context, seed, 3 + sizeof text);
}

const fuzz_target fuzz_coding = {"coding", 256, coding_run, coding_seeds};
const fuzz_target fuzz_lz4 = {"lz4", 4096, lz4_run, lz4_seeds};
