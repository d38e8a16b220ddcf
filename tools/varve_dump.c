/* varve_dump.c: prints any file of a database, for people: `varve_dump [--brief] FILE...`.
 *
 * Its first or last bytes say what a file is: SUPER's slots, a manifest's edits, a log's frames and their operations,
 * a table's blocks, index, filter, ranges and properties come out, each with its offset and whether its checksum is
 * right. It needs no other file, changes nothing, and goes on behind damage as far as the format allows. --brief leaves
 * out operations and entries.
 *
 * Keys are inner keys and are shown as KEYSPACE/KEY, with \xNN for what is not printable ASCII; long ones are cut.
 * Exit status: 0 all is right, 1 something is damaged, 2 a file could not be read or is nothing that we know.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lsm/batch.h"
#include "lsm/manifest.h"
#include "lsm/sst_int.h"
#include "lsm/wal_format.h"

#define DUMP_SHOWN_MAX 60u

typedef struct dump_file {
  const char *path;
  uint8_t *data; /* at a cache line: sections are used in place */
  size_t size;
  file_kind kind; /* as the name has it, when it is one of ours */
  uint64_t number;
  bool named, damaged, brief;
  allocator *alloc;
} dump_file;

/* ---- words ---- */

static const char *dump_mark(dump_file *f, bool right) {
  if (!right) f->damaged = true;
  return right ? "ok" : "BAD";
}

static void dump_damage(dump_file *f, const char *what) {
  f->damaged = true;
  printf("  DAMAGED: %s\n", what);
}

static void dump_bytes(slice s) {
  const uint8_t *p = s.data;
  size_t shown = MIN(s.size, DUMP_SHOWN_MAX);
  for (size_t i = 0; i < shown; i++) {
    if (p[i] >= 0x20 && p[i] < 0x7f && p[i] != '\\') {
      putchar(p[i]);
    } else {
      printf("\\x%02x", p[i]);
    }
  }
  if (shown < s.size) printf("... (%zu bytes)", s.size);
}

static void dump_key(slice key) {
  reader r = reader_of(key);
  uint32_t keyspace;
  if (read_varint32(&r, &keyspace)) {
    printf("%" PRIu32 "/", keyspace);
    key = slice_make(r.at, reader_left(&r));
  }
  dump_bytes(key);
}

static void dump_id(const uint8_t id[16]) {
  for (size_t i = 0; i < 16; i++) printf("%02x", id[i]);
}

static bool dump_is_zero(const uint8_t *p, size_t size) {
  for (size_t i = 0; i < size; i++) {
    if (p[i] != 0) return false;
  }
  return true;
}

/* ---- SUPER ---- */

static void dump_super(dump_file *f) {
  printf("%s: SUPER, %zu bytes\n", f->path, f->size);
  for (size_t slot = 0; slot < 2; slot++) {
    size_t at = slot * SUPER_SLOT_SIZE;
    if (f->size < at + SUPER_SLOT_SIZE) {
      dump_damage(f, "the file ends inside a slot");
      return;
    }
    const uint8_t *p = f->data + at;
    if (dump_is_zero(p, SUPER_SLOT_SIZE)) {
      printf("%8zu  slot %zu  never written\n", at, slot);
      continue;
    }
    bool right = get_u64(p + SUPER_SLOT_SIZE - 8) == xxh64(p, SUPER_SLOT_SIZE - 8, 0);
    printf("%8zu  slot %zu  format %" PRIu32 "  generation %" PRIu64 "  manifest %" PRIu64 "  flags %" PRIu32 "%s  id ",
           at, slot, get_u32(p + 8), get_u64(p + 16), get_u64(p + 40), get_u32(p + 48),
           (get_u32(p + 48) & SUPER_BACKUP) != 0 ? " (backup)" : "");
    dump_id(p + 24);
    printf("  checksum %s\n", dump_mark(f, right));
  }
}

/* ---- manifest ---- */

static void dump_edit_table(const edit_table *t) {
  const table_meta *m = t->meta;
  if (m == NULL) {
    printf("            - level %" PRIu32 "  %" PRIu64 ".sst\n", t->level, t->number);
    return;
  }
  printf("            + level %" PRIu32 "  %" PRIu64 ".sst  %" PRIu64 " bytes  entries %" PRIu64 "  tombstones %" PRIu64
         "  ranges %" PRIu64 "  sequences %" PRIu64 "..%" PRIu64 "  keys ",
         t->level, m->number, m->size, m->entries, m->tombstones, m->range_tombstones, m->seq_min, m->seq_max);
  dump_key(m->smallest);
  printf(" .. ");
  dump_key(m->largest);
  printf("%s\n", m->largest_exclusive ? " (exclusive)" : "");
}

static void dump_edit(dump_file *f, slice body) {
  edit e;
  edit_init(&e, f->alloc);
  if (edit_decode(&e, body) != VARVE_OK) {
    dump_damage(f, "the edit makes no sense");
    return;
  }
  if (e.has_log_min) printf("            log_min %" PRIu64 "\n", e.log_min);
  if (e.has_next_number) printf("            next_number %" PRIu64 "\n", e.next_number);
  if (e.has_last_seq) printf("            last_seq %" PRIu64 "\n", e.last_seq);
  if (e.has_clean_end)
    printf("            clean close: log %" PRIu64 " ends at %" PRIu64 "\n", e.clean_log, e.clean_end);
  for (size_t i = 0; i < e.count; i++) dump_edit_table(&e.tables[i]);
  edit_free(&e);
}

static void dump_manifest(dump_file *f) {
  const size_t header = 64, head = 8;
  printf("%s: manifest, %zu bytes\n", f->path, f->size);
  if (f->size < header) {
    dump_damage(f, "the header is cut short");
    return;
  }
  uint64_t number = get_u64(f->data + 16);
  printf("%8d  header  format %" PRIu32 "  number %" PRIu64 "  id ", 0, get_u32(f->data + 8), number);
  dump_id(f->data + 24);
  printf("  checksum %s\n", dump_mark(f, get_u64(f->data + 56) == xxh64(f->data, 56, 0)));
  if (f->named && number != f->number) dump_damage(f, "the name has another number");
  for (size_t at = header; at < f->size;) {
    uint32_t size = f->size - at > head ? get_u32(f->data + at) : 0;
    if (size == 0 || size > f->size - at - head) {
      printf("%8zu  %zu bytes that are no record: a torn tail\n", at, f->size - at);
      return;
    }
    uint32_t sum = (uint32_t)xxh64(f->data + at + head, size, number ^ at ^ size);
    bool right = sum == get_u32(f->data + at + 4);
    printf("%8zu  record  body %" PRIu32 " bytes  checksum %s\n", at, size, dump_mark(f, right));
    if (right) dump_edit(f, slice_make(f->data + at + head, size));
    at += head + size;
  }
}

/* ---- log ---- */

static void dump_ops(dump_file *f, const wal_frame_header *h, slice body) {
  reader r = reader_of(body);
  batch_op op;
  uint64_t seq = h->first_seq;
  int more;
  while ((more = batch_read(&r, &op)) == 1) {
    static const char *const names[] = {"delete", "put", "delete range"};
    if (!f->brief) {
      printf("            %" PRIu64 "  %s  ", seq, names[op.kind]);
      dump_key(op.key);
      printf("%s", op.kind == KIND_PUT ? " = " : op.kind == KIND_RANGE_DELETE ? " .. " : "");
      if (op.kind == KIND_PUT) dump_bytes(op.value);
      if (op.kind == KIND_RANGE_DELETE) dump_key(op.value);
      putchar('\n');
    }
    seq++;
  }
  if (more < 0) dump_damage(f, "the operations make no sense");
  if (more == 0 && seq - h->first_seq != h->count) dump_damage(f, "there are not as many operations as the frame says");
}

/* The frame at `at`: its size, or 0 when there is none whole. */
static uint64_t dump_frame(dump_file *f, const wal_header *log, size_t at, uint64_t *next_seq) {
  if (f->size - at <= WAL_FRAME_HEADER_SIZE) return 0;
  const uint8_t *p = f->data + at;
  wal_frame_header h = wal_frame_header_get(p);
  if (h.body_size == 0 || h.body_size > f->size - at - WAL_FRAME_HEADER_SIZE) return 0;
  if (wal_frame_checksum(p, h.body_size, log->salt, at) != h.checksum) return 0;
  printf("%8zu  frame  body %" PRIu32 " bytes  sequence %" PRIu64 "  operations %" PRIu32 "  synced up to %" PRIu64
         "  checksum ok\n",
         at, h.body_size, h.first_seq, h.count, h.synced);
  if (h.first_seq != *next_seq) dump_damage(f, "the sequence does not follow from the frame before");
  dump_ops(f, &h, slice_make(p + WAL_FRAME_HEADER_SIZE, h.body_size));
  *next_seq = h.first_seq + h.count;
  return wal_frame_size(h.body_size);
}

static void dump_log(dump_file *f) {
  wal_header h;
  printf("%s: log, %zu bytes\n", f->path, f->size);
  if (f->size < WAL_HEADER_SIZE) {
    dump_damage(f, "the header is cut short");
    return;
  }
  if (wal_header_spare(f->data)) {
    printf("%8d  header  being written: a spare file without a log\n", 0);
    return;
  }
  if (!wal_header_get(f->data, &h)) {
    printf("%8d  header  format %" PRIu32 "  checksum %s\n", 0, get_u32(f->data + 8), dump_mark(f, false));
    return;
  }
  printf("%8d  header  format %" PRIu32 "  log %" PRIu64 "  before it log %" PRIu64 " up to %" PRIu64
         "  next sequence %" PRIu64 "  salt %016" PRIx64 "  checksum ok\n",
         0, get_u32(f->data + 8), h.log, h.log_before, h.end_before, h.next_seq, h.salt);
  size_t at = WAL_HEADER_SIZE;
  uint64_t next_seq = h.next_seq, size;
  while (at < f->size && (size = dump_frame(f, &h, at, &next_seq)) != 0) at += (size_t)MIN(size, f->size - at);
  size_t left = f->size - at;
  bool zeros = dump_is_zero(f->data + at, left);
  printf("%8zu  end of the valid frames; %zu bytes follow, %s\n", at, left,
         zeros ? "all zero" : "not all zero: a torn frame, damage, or what an earlier log left");
}

/* ---- table ---- */

/* Opens the section; the payload is inflated to *inflated when it must be (released by the caller). */
static bool dump_section(dump_file *f, uint64_t number, sst_extent e, const char *name, slice *payload,
                         uint8_t **inflated) {
  sst_section s;
  *inflated = NULL;
  bool right = e.offset <= f->size && e.size <= f->size - e.offset && e.offset % 8 == 0;
  right = right && sst_section_open(f->data + e.offset, e.size, number, e.offset, &s) == VARVE_OK;
  printf("%8" PRIu64 "  %s  %" PRIu64 " bytes", e.offset, name, e.size);
  if (right && s.codec == SST_CODEC_LZ4) printf(" (LZ4 of %" PRIu32 ")", s.raw_size);
  printf("  checksum %s\n", dump_mark(f, right));
  if (!right) return false;
  *payload = s.payload;
  if (s.codec == SST_CODEC_RAW) return true;
  *inflated = malloc(s.raw_size);
  if (*inflated == NULL || sst_section_inflate(&s, number, e.offset, *inflated) != VARVE_OK) {
    dump_damage(f, *inflated == NULL ? "out of memory" : "it does not decompress");
    free(*inflated);
    *inflated = NULL;
    return false;
  }
  *payload = slice_make(*inflated, s.raw_size);
  return true;
}

static void dump_block_entries(dump_file *f, const block *b) {
  for (uint32_t i = 0; i < b->count; i++) {
    slice suffix, value;
    uint8_t key[INNER_KEY_MAX];
    if (!block_entry(b, i, &suffix, &value) || suffix.size > sizeof key - b->prefix.size) {
      dump_damage(f, "an entry lies outside of its block");
      return;
    }
    if (b->prefix.size > 0) memcpy(key, b->prefix.data, b->prefix.size);
    if (suffix.size > 0) memcpy(key + b->prefix.size, suffix.data, suffix.size);
    uint64_t trailer = block_trailer(b, i);
    printf("            %" PRIu64 "  %s  ", trailer_seq(trailer), trailer_kind(trailer) == KIND_PUT ? "put" : "delete");
    dump_key(slice_make(key, b->prefix.size + suffix.size));
    if (trailer_kind(trailer) == KIND_PUT) {
      printf(" = ");
      dump_bytes(value);
    }
    putchar('\n');
  }
}

static void dump_block(dump_file *f, uint64_t number, sst_extent e, uint32_t i) {
  slice payload;
  uint8_t *inflated;
  block b;
  char name[32];
  (void)snprintf(name, sizeof name, "block %" PRIu32, i);
  if (!dump_section(f, number, e, name, &payload, &inflated)) return;
  if (!block_open(&b, payload) || b.prefix.size > INNER_KEY_MAX) {
    dump_damage(f, "the block makes no sense");
  } else {
    printf("            %" PRIu32 " entries  prefix ", b.count);
    dump_bytes(b.prefix);
    printf("  %s, offsets of %d bytes\n", b.trailers == NULL ? "no trailers" : "trailers", b.wide ? 4 : 2);
    if (!block_check(&b)) dump_damage(f, "the entries are not in order");
    if (!f->brief) dump_block_entries(f, &b);
  }
  free(inflated);
}

static void dump_ranges(dump_file *f, slice payload) {
  reader r = reader_of(payload);
  uint64_t count, seq;
  slice begin, end;
  if (!read_varint64(&r, &count)) count = UINT64_MAX;
  for (uint64_t i = 0; i < count; i++) {
    if (!read_slice(&r, INNER_KEY_MAX, &begin) || !read_slice(&r, INNER_KEY_MAX, &end) || !read_varint64(&r, &seq)) {
      dump_damage(f, "the ranges make no sense");
      return;
    }
    printf("            %" PRIu64 "  delete range  ", seq);
    dump_key(begin);
    printf(" .. ");
    dump_key(end);
    putchar('\n');
  }
}

static void dump_properties(dump_file *f, slice payload) {
  sst_summary s;
  uint32_t bits;
  if (!sst_properties_get(payload, &s, &bits)) {
    dump_damage(f, "the properties make no sense");
    return;
  }
  printf("            entries %" PRIu64 "  tombstones %" PRIu64 "  ranges %" PRIu64 "  sequences %" PRIu64 "..%" PRIu64
         "  keys and values %" PRIu64 " bytes  filter bits a key %" PRIu32 "\n            keys ",
         s.entries, s.tombstones, s.range_tombstones, s.seq_min, s.seq_max, s.raw_bytes, bits);
  dump_key(s.smallest);
  printf(" .. ");
  dump_key(s.largest);
  printf("%s\n", s.largest_exclusive ? " (exclusive)" : "");
}

/* The index with its blocks: they have no other directory. */
static void dump_index(dump_file *f, uint64_t number, slice payload, uint64_t blocks_end) {
  sst_index x;
  if (!sst_index_open(&x, payload, blocks_end)) {
    dump_damage(f, "the index makes no sense");
    return;
  }
  printf("            %" PRIu32 " blocks  prefix ", x.count);
  dump_bytes(x.prefix);
  putchar('\n');
  for (uint32_t i = 0; i < x.count; i++) {
    slice separator = sst_index_separator(&x, i);
    printf("            block %" PRIu32 " at %" PRIu64 " up to ...", i, sst_index_offset(&x, i));
    dump_bytes(separator);
    putchar('\n');
  }
  for (uint32_t i = 0; i < x.count; i++) {
    uint64_t offset = sst_index_offset(&x, i);
    dump_block(f, number, (sst_extent){offset, sst_index_offset(&x, i + 1) - offset}, i);
  }
}

static void dump_table(dump_file *f) {
  static const char *const names[SST_PARTS] = {"ranges", "filter", "index", "properties"};
  sst_footer footer;
  printf("%s: table, %zu bytes\n", f->path, f->size);
  if (f->size % 8 != 0) {
    dump_damage(f, "its size is no multiple of 8");
    return;
  }
  const uint8_t *p = f->data + f->size - SST_FOOTER_BYTES;
  uint64_t number = get_u64(p + 16);
  /* The engine asks under the number that it opened; here the footer says it, and may say anything. */
  bool possible = number >= 1 && number <= WAL_FILE_NUM_MAX;
  int rc = possible ? sst_footer_get(p, number, f->size, &footer) : VARVE_CORRUPT;
  printf("%8zu  footer  format %" PRIu32 "  number %" PRIu64 "  checksum %s\n", f->size - SST_FOOTER_BYTES,
         get_u32(p + 8), number, dump_mark(f, rc == VARVE_OK));
  if (rc != VARVE_OK) {
    dump_damage(f, possible ? status_message() : "the number is none that a file can have");
    return;
  }
  if (f->named && number != f->number) dump_damage(f, "the name has another number");
  /* sst_footer_get has seen to it that the parts lie in order. */
  uint64_t gap = footer.part[SST_RANGES].offset + footer.part[SST_RANGES].size;
  if (!dump_is_zero(f->data + gap, (size_t)(footer.part[SST_FILTER].offset - gap))) {
    dump_damage(f, "the bytes before the filter are not zero");
  }
  for (int i = SST_PARTS - 1; i >= 0; i--) {
    slice payload;
    uint8_t *inflated;
    sst_extent e = footer.part[i];
    if (e.size == 0) {
      printf("%8" PRIu64 "  %s  none\n", e.offset, names[i]);
      continue;
    }
    if (!dump_section(f, number, e, names[i], &payload, &inflated)) continue;
    if (i == SST_RANGES) dump_ranges(f, payload);
    if (i == SST_FILTER) printf("            %zu lines\n", payload.size / FILTER_LINE);
    if (i == SST_INDEX) dump_index(f, number, payload, footer.part[SST_RANGES].offset);
    if (i == SST_PROPERTIES) dump_properties(f, payload);
    free(inflated);
  }
}

/* ---- files ---- */

static bool dump_read(dump_file *f) {
  FILE *file = fopen(f->path, "rb");
  long size = -1;
  bool right =
      file != NULL && fseek(file, 0, SEEK_END) == 0 && (size = ftell(file)) >= 0 && fseek(file, 0, SEEK_SET) == 0;
  if (right) {
    f->size = (size_t)size;
    f->data = mem_alloc_lines(f->alloc, f->size + 1);
    right = f->data != NULL && fread(f->data, 1, f->size, file) == f->size;
  }
  if (!right) fprintf(stderr, "varve_dump: cannot read %s: %s\n", f->path, strerror(errno));
  if (file != NULL) fclose(file);
  return right;
}

/* By the bytes, and by the name where they are damaged. */
static void (*dump_choose(dump_file *f))(dump_file *) {
  const char *slash = strrchr(f->path, '/'), *name = slash == NULL ? f->path : slash + 1;
  f->named = file_name_parse(name, strlen(name), &f->kind, &f->number);
  if (f->size >= 8 && memcmp(f->data, "VARVE\0DB", 8) == 0) return dump_super;
  if (f->size >= 8 && memcmp(f->data, "VARVEMAN", 8) == 0) return dump_manifest;
  if (f->size >= 8 && memcmp(f->data, WAL_MAGIC, 8) == 0) return dump_log;
  bool footer = f->size >= SST_FOOTER_BYTES;
  if (footer && memcmp(f->data + f->size - SST_FOOTER_BYTES, SST_MAGIC, 8) == 0) return dump_table;
  if (!f->named) return NULL;
  if (f->kind == FILE_SUPER) return dump_super;
  if (f->kind == FILE_MANIFEST) return dump_manifest;
  if (f->kind == FILE_WAL) return dump_log;
  return f->kind == FILE_SST && footer ? dump_table : NULL;
}

static int dump_one(const char *path, bool brief, allocator *alloc) {
  dump_file f = {.path = path, .brief = brief, .alloc = alloc};
  int status = 2;
  if (dump_read(&f)) {
    void (*print)(dump_file *) = dump_choose(&f);
    if (print != NULL) {
      print(&f);
      status = f.damaged ? 1 : 0;
    } else {
      fprintf(stderr, "varve_dump: %s is no file of a Varve database, or nothing of it is left\n", path);
    }
  }
  mem_free_lines(alloc, f.data, f.size + 1);
  return status;
}

int main(int argc, char **argv) {
  allocator alloc;
  bool brief = argc > 1 && strcmp(argv[1], "--brief") == 0;
  int status = 0, first = brief ? 2 : 1;
  allocator_init_libc(&alloc);
  if (argc <= first || argv[first][0] == '-') {
    fputs("usage: varve_dump [--brief] FILE...   (SUPER, *.man, *.wal, *.sst of a database)\n", stderr);
    return 2;
  }
  for (int i = first; i < argc; i++) {
    int one = dump_one(argv[i], brief, &alloc);
    if (one > status) status = one;
  }
  if (fflush(stdout) != 0) return 2;
  return status;
}

#undef DUMP_SHOWN_MAX
