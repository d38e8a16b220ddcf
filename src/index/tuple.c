/* tuple.c: elements of a tuple there and back.
 *
 *   element    = tag, then what FORMAT.md's table says
 *   descending = the same with 00 01 at the end of text and bytes, every byte complemented. Without the 01 the end of
 *                "a" would begin the escaped zero of "a\0", and a tuple that ends there would come first
 *   tags       = 10 null, 20 false, 21 true, 30 number, 38 date, 40 text, 50 bytes, 60 list .. 00
 *
 * The complement of a tag has its top bit set and no tag has, so the bytes alone say which way an element is ordered.
 * It is asked for and kept for elements of the tuple itself: what is in a list goes the way of its list.
 *
 * Invariants
 *   1. What is written, is written whole: room for all of an element is checked before its first byte.
 *   2. A reader takes nothing for granted: every byte is checked to be there before it is looked at.
 *   3. Unescaped text is never longer than escaped, so a scratch of the tuple's size is always enough.
 */
#include "index/tuple.h"

enum {
  TUPLE_END = 0x00,
  TUPLE_END_TURNED = 0x01, /* after the END of text that is complemented */
  TUPLE_NULL = 0x10,
  TUPLE_FALSE = 0x20,
  TUPLE_TRUE = 0x21,
  TUPLE_NUMBER = 0x30,
  TUPLE_DATE = 0x38,
  TUPLE_TEXT = 0x40,
  TUPLE_BYTES = 0x50,
  TUPLE_LIST = 0x60,
  TUPLE_ESCAPE = 0xff
};

#define TUPLE_WIDE       9007199254740992.0    /* 2^53: from here on several integers have one double */
#define TUPLE_2_63       9223372036854775808.0 /* 2^63 */
#define TUPLE_CORRECTION 0x8000u

/* ---- numbers ---- */

static bool tuple_is_nan(double d) {
  return d != d; /* NOLINT: what it means */
}

/* 8 bytes in the order of doubles. */
static void tuple_put_double(uint8_t *at, double d) {
  uint64_t bits;
  d += 0.0; /* -0 becomes 0 */
  memcpy(&bits, &d, sizeof bits);
  bits = (bits >> 63) != 0 ? ~bits : bits ^ (UINT64_C(1) << 63);
  bits = __builtin_bswap64(bits);
  memcpy(at, &bits, sizeof bits);
}

static double tuple_get_double(const uint8_t *at) {
  uint64_t bits = head_u64(at, 8);
  bits = (bits >> 63) == 0 ? ~bits : bits ^ (UINT64_C(1) << 63);
  double d;
  memcpy(&d, &bits, sizeof d);
  return d;
}

/* d as an integer modulo 2^64, for a whole d from -2^63 to 2^64. */
static uint64_t tuple_wrap(double d) {
  ASSERT(d >= -TUPLE_2_63 && d <= 2 * TUPLE_2_63);
  if (d >= 2 * TUPLE_2_63) return 0;
  return d < 0 ? (uint64_t)(int64_t)d : (uint64_t)d;
}

/* The number's double, and how far the number is from it. */
static double tuple_nearest(const varve_tuple_element *e, uint32_t *correction) {
  double d = e->number;
  uint64_t more = 0;
  if (e->is_integer) {
    d = (double)e->integer;
    more = (uint64_t)e->integer - tuple_wrap(d);
  } else if (e->is_natural) {
    d = (double)e->natural;
    more = e->natural - tuple_wrap(d);
  }
  ASSERT(more + 1024 <= 2048); /* modulo 2^64: -1024 .. 1024 */
  *correction = TUPLE_CORRECTION + (uint32_t)more;
  return d;
}

static bool tuple_is_wide(double d) {
  return d >= TUPLE_WIDE || d <= -TUPLE_WIDE;
}

/* What integer the number is, if it is one that 64 bits hold. */
static void tuple_say_integer(varve_tuple_element *e, uint32_t correction) {
  double d = e->number;
  if (d < -TUPLE_2_63 || d > 2 * TUPLE_2_63) return;
  int64_t more = (int64_t)correction - (int64_t)TUPLE_CORRECTION;
  uint64_t base = tuple_wrap(d), bits = base + (uint64_t)more;
  if (!tuple_is_wide(d)) {
    if ((double)(int64_t)d != d) return; /* NOLINT: whole or not */
  } else if (d < 0 ? (int64_t)bits >= 0 : base == 0 ? more >= 0 : more > 0 && bits < base) {
    return; /* outside of 64 bits: the double alone */
  }
  bool negative = d < 0;
  e->is_integer = negative || bits <= INT64_MAX;
  e->is_natural = !negative;
  e->integer = e->is_integer ? (int64_t)bits : 0;
  e->natural = e->is_natural ? bits : 0;
}

/* ---- text ---- */

/* How many bytes the code point at `at` has; 0 = it is no UTF-8 (RFC 3629: shortest form, no surrogates). */
static size_t tuple_utf8_step(const uint8_t *at, size_t left) {
  uint8_t lead = at[0];
  if (lead < 0x80) return 1;
  size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || size > left) return 0;
  for (size_t i = 1; i < size; i++) {
    if ((at[i] & 0xc0) != 0x80) return 0;
  }
  bool overlong = (lead == 0xe0 && at[1] < 0xa0) || (lead == 0xf0 && at[1] < 0x90);
  bool outside = (lead == 0xed && at[1] > 0x9f) || (lead == 0xf4 && at[1] > 0x8f);
  return overlong || outside ? 0 : size;
}

static bool tuple_is_utf8(slice text) {
  const uint8_t *p = text.data;
  for (size_t at = 0; at < text.size;) {
    size_t step = tuple_utf8_step(p + at, text.size - at);
    if (step == 0) return false;
    at += step;
  }
  return true;
}

static size_t tuple_zeros(slice s) {
  const uint8_t *p = s.data;
  size_t zeros = 0;
  for (size_t i = 0; i < s.size; i++) zeros += p[i] == 0;
  return zeros;
}

/* ---- writing ---- */

static int tuple_take_room(const varve_tuple *t, size_t size) {
  ASSERT(t->size <= t->room);
  if (LIKELY(size <= t->room - t->size)) return VARVE_OK;
  return status_fail(VARVE_LIMIT, "the tuple's next element takes %zu bytes and its buffer of %zu has %zu left", size,
                     t->room, t->room - t->size);
}

static int tuple_put_number(varve_tuple *t, const varve_tuple_element *e) {
  bool date = e->type == VARVE_TUPLE_DATE;
  uint32_t correction = TUPLE_CORRECTION;
  double d = date ? e->number : tuple_nearest(e, &correction);
  if (tuple_is_nan(d)) return status_fail(VARVE_INVALID, "a tuple cannot hold NaN, which has no order");
  bool wide = !date && tuple_is_wide(d);
  TRY(tuple_take_room(t, wide ? 11 : 9));
  uint8_t *at = t->data + t->size;
  at[0] = date ? TUPLE_DATE : TUPLE_NUMBER;
  tuple_put_double(at + 1, d);
  if (wide) {
    at[9] = (uint8_t)(correction >> 8);
    at[10] = (uint8_t)correction;
  }
  t->size += wide ? 11 : 9;
  return VARVE_OK;
}

static int tuple_put_escaped(varve_tuple *t, const varve_tuple_element *e) {
  slice s = e->bytes;
  bool text = e->type == VARVE_TUPLE_TEXT;
  if (text && !tuple_is_utf8(s)) return status_fail(VARVE_INVALID, "the text is not UTF-8: store it as bytes");
  size_t zeros = tuple_zeros(s);
  if (s.size > SIZE_MAX / 2 - 3) return status_fail(VARVE_LIMIT, "%zu bytes are too many for a tuple", s.size);
  size_t size = s.size + zeros + (t->turned ? 3 : 2);
  TRY(tuple_take_room(t, size));
  uint8_t *at = t->data + t->size;
  const uint8_t *from = s.data;
  *at++ = text ? TUPLE_TEXT : TUPLE_BYTES;
  for (size_t i = 0; i < s.size; i++) {
    *at++ = from[i];
    if (from[i] == 0) *at++ = TUPLE_ESCAPE;
  }
  *at++ = TUPLE_END;
  if (t->turned) *at++ = TUPLE_END_TURNED;
  ASSERT((size_t)(at - t->data) == t->size + size);
  t->size += size;
  return VARVE_OK;
}

static int tuple_put_tag(varve_tuple *t, uint8_t tag) {
  TRY(tuple_take_room(t, 1));
  t->data[t->size++] = tag;
  return VARVE_OK;
}

static int tuple_put_list(varve_tuple *t, bool begin) {
  if (begin && t->depth == TUPLE_DEPTH_MAX) {
    return status_fail(VARVE_INVALID, "the lists of a tuple may be nested %u deep", TUPLE_DEPTH_MAX);
  }
  if (!begin && t->depth == 0) return status_fail(VARVE_INVALID, "there is no list to end here");
  TRY(tuple_put_tag(t, begin ? TUPLE_LIST : TUPLE_END));
  t->depth = begin ? t->depth + 1 : t->depth - 1;
  return VARVE_OK;
}

static int tuple_put_ascending(varve_tuple *t, const varve_tuple_element *e) {
  switch (e->type) {
    case VARVE_TUPLE_NULL:
      return tuple_put_tag(t, TUPLE_NULL);
    case VARVE_TUPLE_BOOL:
      return tuple_put_tag(t, e->boolean ? TUPLE_TRUE : TUPLE_FALSE);
    case VARVE_TUPLE_NUMBER:
    case VARVE_TUPLE_DATE:
      return tuple_put_number(t, e);
    case VARVE_TUPLE_TEXT:
    case VARVE_TUPLE_BYTES:
      return tuple_put_escaped(t, e);
    case VARVE_TUPLE_LIST:
    case VARVE_TUPLE_END:
      return tuple_put_list(t, e->type == VARVE_TUPLE_LIST);
    default:
      return status_fail(VARVE_INVALID, "%d is no type of a tuple's element", (int)e->type);
  }
}

INTERNAL int tuple_put(varve_tuple *t, const varve_tuple_element *e) {
  size_t start = t->size;
  if (t->depth == 0) t->turned = e->descending;
  TRY(tuple_put_ascending(t, e));
  if (!t->turned) return VARVE_OK;
  for (size_t i = start; i < t->size; i++) t->data[i] = (uint8_t)~t->data[i];
  return VARVE_OK;
}

/* ---- reading ---- */

static int tuple_broken(const varve_tuple_reader *r, const char *reason) {
  return status_fail(VARVE_CORRUPT, "the bytes are no tuple: at byte %zu %s", r->at, reason);
}

static inline uint8_t tuple_byte(const varve_tuple_reader *r, size_t at) {
  ASSERT_SLOW(at < r->size);
  return (uint8_t)(r->turned ? ~r->data[at] : r->data[at]);
}

static int tuple_read_number(varve_tuple_reader *r, varve_tuple_element *e) {
  uint8_t eight[8];
  if (r->size - r->at < 8) return tuple_broken(r, "a number is cut short");
  for (size_t i = 0; i < 8; i++) eight[i] = tuple_byte(r, r->at + i);
  e->number = tuple_get_double(eight);
  if (tuple_is_nan(e->number)) return tuple_broken(r, "there is a NaN");
  r->at += 8;
  if (e->type == VARVE_TUPLE_DATE) return VARVE_OK;
  uint32_t correction = TUPLE_CORRECTION;
  if (tuple_is_wide(e->number)) {
    if (r->size - r->at < 2) return tuple_broken(r, "a number's correction is cut short");
    correction = (uint32_t)tuple_byte(r, r->at) << 8 | tuple_byte(r, r->at + 1);
    r->at += 2;
  }
  tuple_say_integer(e, correction);
  return VARVE_OK;
}

/* Where the escaped bytes at r->at end, what comes after them, and how many zeros are among them. */
static int tuple_find_end(const varve_tuple_reader *r, size_t *end, size_t *next, size_t *zeros) {
  *zeros = 0;
  for (size_t at = r->at; at < r->size; at++) {
    if (tuple_byte(r, at) != 0) continue;
    int after = at + 1 == r->size ? -1 : tuple_byte(r, at + 1);
    if (after != TUPLE_ESCAPE) {
      *end = at;
      *next = at + (r->turned ? 2 : 1);
      if (r->turned && after != TUPLE_END_TURNED) break;
      return VARVE_OK;
    }
    (*zeros)++;
    at++;
  }
  return tuple_broken(r, "text or bytes have no end");
}

static int tuple_read_escaped(varve_tuple_reader *r, varve_tuple_element *e) {
  size_t end = 0, next = 0, zeros;
  TRY(tuple_find_end(r, &end, &next, &zeros));
  ASSERT(end - r->at >= 2 * zeros);
  size_t size = end - r->at - zeros;
  if (zeros == 0 && !r->turned) {
    e->bytes = slice_make(r->data + r->at, size);
  } else {
    if (size > r->scratch_size - r->scratch_used) {
      return status_fail(VARVE_LIMIT, "the tuple's reader needs a scratch of %zu bytes", r->size);
    }
    uint8_t *to = r->scratch + r->scratch_used;
    e->bytes = slice_make(to, size);
    for (size_t at = r->at; at < end; at++) {
      *to = tuple_byte(r, at);
      if (*to++ == 0) at++;
    }
    r->scratch_used += size;
  }
  if (e->type == VARVE_TUPLE_TEXT && !tuple_is_utf8(e->bytes)) return tuple_broken(r, "the text is not UTF-8");
  r->at = next;
  return VARVE_OK;
}

static int tuple_read_tag(varve_tuple_reader *r, uint8_t tag, varve_tuple_element *e) {
  switch (tag) {
    case TUPLE_NULL:
      e->type = VARVE_TUPLE_NULL;
      return VARVE_OK;
    case TUPLE_FALSE:
    case TUPLE_TRUE:
      e->type = VARVE_TUPLE_BOOL;
      e->boolean = tag == TUPLE_TRUE;
      return VARVE_OK;
    case TUPLE_NUMBER:
    case TUPLE_DATE:
      e->type = tag == TUPLE_DATE ? VARVE_TUPLE_DATE : VARVE_TUPLE_NUMBER;
      return tuple_read_number(r, e);
    case TUPLE_TEXT:
    case TUPLE_BYTES:
      e->type = tag == TUPLE_TEXT ? VARVE_TUPLE_TEXT : VARVE_TUPLE_BYTES;
      return tuple_read_escaped(r, e);
    case TUPLE_LIST:
      if (r->depth == TUPLE_DEPTH_MAX) return tuple_broken(r, "lists are nested too deep");
      r->depth++;
      e->type = VARVE_TUPLE_LIST;
      return VARVE_OK;
    case TUPLE_END:
      if (r->depth > 0) {
        r->depth--;
        e->type = VARVE_TUPLE_END;
        return VARVE_OK;
      }
      break;
    default:
      break;
  }
  r->at--;
  return tuple_broken(r, "no element begins so");
}

INTERNAL int tuple_next(varve_tuple_reader *r, varve_tuple_element *e) {
  static const varve_tuple_element none;
  *e = none;
  ASSERT(r->at <= r->size && r->scratch_used <= r->scratch_size);
  if (r->at == r->size) return r->depth == 0 ? VARVE_DONE : tuple_broken(r, "a list has no end");
  if (r->depth == 0) r->turned = r->data[r->at] >= 0x80;
  e->descending = r->turned;
  uint8_t tag = tuple_byte(r, r->at++);
  return tuple_read_tag(r, tag, e);
}

#undef TUPLE_WIDE
#undef TUPLE_2_63
#undef TUPLE_CORRECTION
