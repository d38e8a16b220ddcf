/* index_key.c: the keys of an index's entries there and back; index_key.h draws them.
 *
 * An ordered index key: bytes other than 00 stay. A run of zeros becomes 00 and one byte:
 *
 *   00 .. 7e   so many zeros, and the key ends here (00 00 ends one that ends with no zero)
 *   7f         126 zeros, and one more at least: 00 and another of these bytes follow
 *   81 .. fe   ff minus so many zeros, and a byte that is not zero follows
 *
 * A longer run followed by something is less than a shorter one, hence the minus; an end is less than anything. A
 * number of a tuple, mostly zeros, so takes less than before and not twice as much.
 *
 * Invariants
 *   1. ordered(a) < ordered(b) exactly when a < b, and none is the beginning of another.
 *   2. A reader accepts only what index_key_begin writes.
 */
#include "index/index_key.h"

#include "base/limits.h"
#include "base/xxh64.h"

#define INDEX_RUN_MAX  126u
#define INDEX_RUN_MORE 0x7fu

INTERNAL void index_shape_init(index_shape *s, varve_index_kind kind, bool unique, uint64_t id) {
  ASSERT(kind == VARVE_BTREE || kind == VARVE_HASH);
  s->kind = kind;
  s->unique = unique;
  s->prefix[0] = 1;
  s->prefix[1] = 0;
  s->prefix[2] = kind == VARVE_HASH ? 'h' : 'b';
  s->prefix_size = (uint8_t)(3 + varint_put(s->prefix + 3, id));
  ASSERT(s->prefix_size <= sizeof s->prefix);
}

/* The run of `run` zeros at key[at]. */
static int index_key_put_run(buf *out, size_t run, bool at_end) {
  uint8_t pair[2] = {0, INDEX_RUN_MORE};
  for (; run > INDEX_RUN_MAX; run -= INDEX_RUN_MAX) TRY(buf_append(out, pair, 2));
  pair[1] = (uint8_t)(at_end ? run : 0xff - run);
  return buf_append(out, pair, 2);
}

static int index_key_put_ordered(slice key, buf *out) {
  const uint8_t *p = key.data;
  bool ended = false;
  for (size_t at = 0; at < key.size;) {
    const uint8_t *zero = memchr(p + at, 0, key.size - at);
    size_t plain = zero == NULL ? key.size - at : (size_t)(zero - (p + at)), run = 0;
    TRY(buf_append(out, p + at, plain));
    at += plain;
    while (at + run < key.size && p[at + run] == 0) run++;
    at += run;
    ended = run > 0 && at == key.size;
    if (run > 0) TRY(index_key_put_run(out, run, ended));
  }
  return ended ? VARVE_OK : index_key_put_run(out, 0, true);
}

INTERNAL int index_key_begin(const index_shape *s, slice key, buf *out) {
  TRY(buf_set(out, index_shape_prefix(s)));
  if (s->kind == VARVE_BTREE) {
    return s->unique ? buf_append(out, key.data, key.size) : index_key_put_ordered(key, out);
  }
  uint64_t hash = __builtin_bswap64(xxh64(key.data, key.size, 0));
  TRY(buf_append_u64(out, hash));
  return s->unique ? buf_append(out, key.data, key.size) : buf_append_slice(out, key);
}

INTERNAL int index_key_entry(const index_shape *s, slice key, slice primary, buf *out) {
  /* Before it is made: an index key may be as large as a row. */
  if (key.size <= VARVE_KEY_SIZE_MAX) {
    TRY(index_key_begin(s, key, out));
    if (!s->unique) TRY(buf_append(out, primary.data, primary.size));
    if (out->size < INNER_KEY_MAX) return VARVE_OK;
  }
  return status_fail(VARVE_KEY_TOO_LARGE,
                     "an index entry of an index key of %zu bytes and a primary key of %zu is larger than the %u bytes "
                     "that it may have: index a part or a hash of it",
                     key.size, primary.size, INNER_KEY_MAX - 1);
}

INTERNAL void index_key_successor(buf *b) {
  while (b->size > 0 && b->data[b->size - 1] == 0xff) b->size--;
  ASSERT(b->size > 0); /* an index's prefix has bytes below that */
  b->data[b->size - 1]++;
}

/* One run behind its 00. *ended = it ends the key, *more = another run follows. */
static bool index_key_read_run(reader *r, size_t *zeros, bool *ended, bool *more) {
  uint8_t code;
  if (!read_u8(r, &code) || code == 0x80 || code == 0xff) return false;
  *ended = code < INDEX_RUN_MORE;
  *more = code == INDEX_RUN_MORE;
  *zeros = *more ? INDEX_RUN_MAX : *ended ? code : 0xffu - code;
  if (*ended) return true;
  return reader_left(r) > 0 && (*r->at == 0) == *more;
}

static int index_key_read_ordered(reader *r, buf *room, slice *key) {
  const uint8_t *from = r->at, *zero = memchr(r->at, 0, reader_left(r));
  if (zero != NULL && zero + 1 < r->end && zero[1] == 0) { /* no zeros in it: mostly */
    *key = slice_make(from, (size_t)(zero - from));
    r->at = zero + 2;
    return VARVE_OK;
  }
  buf_clear(room);
  for (bool ended = false, more = false; !ended;) {
    uint8_t byte;
    size_t zeros;
    if (!read_u8(r, &byte)) return VARVE_CORRUPT;
    if (byte != 0) {
      TRY(buf_append(room, &byte, 1));
      continue;
    }
    bool after_more = more;
    if (!index_key_read_run(r, &zeros, &ended, &more)) return VARVE_CORRUPT;
    if (after_more && ended && zeros == 0) return VARVE_CORRUPT;
    TRY(buf_append_zeros(room, zeros));
  }
  *key = buf_slice(room);
  return VARVE_OK;
}

INTERNAL int index_key_read(const index_shape *s, slice entry, slice value, buf *room, slice *key, slice *primary) {
  if (!slice_starts_with(entry, index_shape_prefix(s))) return VARVE_CORRUPT;
  reader r = reader_of(entry);
  r.at += s->prefix_size;
  const uint8_t *hash = r.at;
  if (s->kind == VARVE_HASH) {
    if (reader_left(&r) < INDEX_HASH_BYTES) return VARVE_CORRUPT;
    r.at += INDEX_HASH_BYTES;
  }
  if (s->unique) {
    *key = slice_make(r.at, reader_left(&r));
    *primary = value;
  } else if (s->kind == VARVE_HASH) {
    if (!read_slice(&r, VARVE_KEY_SIZE_MAX, key)) return VARVE_CORRUPT;
  } else {
    TRY(index_key_read_ordered(&r, room, key));
  }
  if (!s->unique) {
    if (value.size > 0) return VARVE_CORRUPT;
    *primary = slice_make(r.at, reader_left(&r));
  }
  if (s->kind == VARVE_BTREE) return VARVE_OK;
  return head_u64(hash, INDEX_HASH_BYTES) == xxh64(key->data, key->size, 0) ? VARVE_OK : VARVE_CORRUPT;
}

#undef INDEX_RUN_MAX
#undef INDEX_RUN_MORE
