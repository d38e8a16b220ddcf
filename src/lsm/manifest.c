/* manifest.c: the durable list of edits. Header and record are drawn in manifest.h, an edit's bytes in edit.c.
 *
 *     |header|record: the whole state|record|record| ... |record|torn?|
 *                                                               ^end
 *
 * Invariants
 *   1. Bytes before `end` are durable and never written again; a record counts when its sync returned.
 *   2. After a failed append nothing more is appended: what reached the disk is unknown.
 *   3. A loaded state is one that the engine could have written: numbers never go back, every table is below
 *      next_number and holds no sequence above last_seq.
 */
#include "lsm/manifest.h"

#include "base/xxh64.h"

#define MANIFEST_MAGIC       "VARVEMAN"
#define MANIFEST_HEADER_SIZE 64u
#define MANIFEST_CHECKSUM_AT 56u
#define MANIFEST_RECORD_HEAD 8u
#define MANIFEST_NUMBER_MAX  ((UINT64_C(1) << 56) - 1)
#define MANIFEST_REWRITE     4u /* times the size of the first record */

struct manifest {
  env *e;
  vfs_file *file;
  uint64_t number, end;
  uint64_t base; /* header and first record: what the state alone took */
  bool failed;
  buf record;
};

static uint32_t manifest_checksum(const uint8_t *body, uint32_t size, uint64_t number, uint64_t offset) {
  return (uint32_t)xxh64(body, size, number ^ offset ^ size);
}

/* ---- loading ---- */

typedef struct manifest_loader {
  uint64_t number;
  const uint8_t *data;
  size_t size;
  size_t at; /* of the record being read */
} manifest_loader;

static int manifest_damaged(const manifest_loader *l, const char *reason) {
  return status_fail(VARVE_CORRUPT, "%s is damaged at offset %zu: %s", file_name(FILE_MANIFEST, l->number), l->at,
                     reason);
}

static int manifest_check_header(manifest_loader *l, const super *s) {
  const uint8_t *p = l->data;
  l->at = 0;
  if (l->size < MANIFEST_HEADER_SIZE) return manifest_damaged(l, "it is cut short");
  bool magic = memcmp(p, MANIFEST_MAGIC, 8) == 0;
  if (get_u64(p + MANIFEST_CHECKSUM_AT) != xxh64(p, MANIFEST_CHECKSUM_AT, 0)) {
    return manifest_damaged(l, magic ? "the header's checksum does not match" : "it does not begin like a manifest");
  }
  if (!magic) return manifest_damaged(l, "it does not begin like a manifest");
  if (get_u32(p + 8) > FORMAT_VERSION) {
    return status_fail(VARVE_NEWER_FORMAT, "%s has format version %u; this program knows %u",
                       file_name(FILE_MANIFEST, l->number), get_u32(p + 8), FORMAT_VERSION);
  }
  if (get_u32(p + 8) != FORMAT_VERSION || get_u32(p + 12) != 0) return manifest_damaged(l, "its header makes no sense");
  if (get_u64(p + 16) != l->number) return manifest_damaged(l, "it is another file's content");
  if (memcmp(p + 24, s->id, sizeof s->id) != 0) return manifest_damaged(l, "it belongs to another database");
  return VARVE_OK;
}

/* Size of the body of the record at `at`, 0 when there is none that could be whole. */
static uint32_t manifest_body_size(const manifest_loader *l, size_t at) {
  if (l->size - at <= MANIFEST_RECORD_HEAD) return 0;
  uint32_t size = get_u32(l->data + at);
  return size <= l->size - at - MANIFEST_RECORD_HEAD ? size : 0;
}

static bool manifest_record_valid(const manifest_loader *l, size_t at, uint32_t size) {
  const uint8_t *p = l->data + at;
  return get_u32(p + 4) == manifest_checksum(p + MANIFEST_RECORD_HEAD, size, l->number, at);
}

/* The record at l->at is bad: OK when nothing valid follows (a torn append), CORRUPT when something does. Checksums are
 * taken of a bounded number of bytes, whatever the file holds. */
static int manifest_check_tail(const manifest_loader *l) {
  uint64_t budget = (uint64_t)MIN(l->size, 64 * MiB) * 64 + (uint64_t)l->size * 4 + (uint64_t)64 * MiB;
  for (size_t at = l->at + 1; at < l->size; at++) {
    uint32_t size = manifest_body_size(l, at);
    if (size == 0) continue;
    if (size > budget) return manifest_damaged(l, "what follows was made to look like records, many times over");
    budget -= size;
    if (manifest_record_valid(l, at, size)) {
      return manifest_damaged(l, "the record is broken, and a valid record follows it");
    }
  }
  return VARVE_OK;
}

/* Takes over the edit's numbers, which never go back, and checks the tables it adds against them. */
static int manifest_take_numbers(const manifest_loader *l, manifest_state *state, const edit *e, bool first) {
  if (first && !(e->has_log_min && e->has_next_number && e->has_last_seq)) {
    return manifest_damaged(l, "the first record does not hold the whole state");
  }
  if ((e->has_log_min && e->log_min < state->log_min) || (e->has_next_number && e->next_number < state->next_number) ||
      (e->has_last_seq && e->last_seq < state->last_seq)) {
    return manifest_damaged(l, "a number goes back");
  }
  if (e->has_log_min) state->log_min = e->log_min;
  if (e->has_next_number) state->next_number = e->next_number;
  if (e->has_last_seq) state->last_seq = e->last_seq;
  if (e->has_clean_end) {
    state->clean_log = e->clean_log;
    state->clean_end = e->clean_end;
  }
  if (state->next_number <= l->number) return manifest_damaged(l, "its own number is above the next number");
  for (size_t i = 0; i < e->count; i++) {
    const table_meta *m = e->tables[i].meta;
    if (m == NULL) continue;
    if (m->number >= state->next_number) return manifest_damaged(l, "a table's number is above the next number");
    if (m->seq_max > state->last_seq) return manifest_damaged(l, "a table's sequences are above the last sequence");
  }
  return VARVE_OK;
}

static int manifest_apply(const manifest_loader *l, env *e, slice body, manifest_state *state, bool first) {
  edit change;
  version *next = NULL;
  int rc = VARVE_OK;
  edit_init(&change, e->alloc);
  rc = edit_decode(&change, body);
  if (rc == VARVE_CORRUPT) rc = manifest_damaged(l, "the record is not an edit");
  if (rc < 0) goto out;
  STEP(manifest_take_numbers(l, state, &change, first));
  if (change.count > 0) {
    rc = version_apply(state->current, &change, &next);
    if (rc == VARVE_CORRUPT) {
      char reason[STATUS_MESSAGE_SIZE];
      status_keep_message(reason);
      rc = manifest_damaged(l, reason);
    }
    if (rc < 0) goto out;
    pin_unref(&state->current->pin);
    state->current = next;
  }
out:
  edit_free(&change);
  return rc;
}

static int manifest_replay(manifest_loader *l, env *e, manifest_state *state) {
  bool first = true;
  for (l->at = MANIFEST_HEADER_SIZE; l->at < l->size; first = false) {
    uint32_t size = manifest_body_size(l, l->at);
    if (size == 0 || !manifest_record_valid(l, l->at, size)) {
      if (first) return manifest_damaged(l, "the first record is broken");
      return manifest_check_tail(l);
    }
    TRY(manifest_apply(l, e, slice_make(l->data + l->at + MANIFEST_RECORD_HEAD, size), state, first));
    l->at += MANIFEST_RECORD_HEAD + size;
  }
  return first ? manifest_damaged(l, "the first record is missing") : VARVE_OK;
}

static int manifest_read_all(env *e, vfs_file *file, uint8_t **data, size_t *size) {
  uint64_t bytes;
  *data = NULL;
  *size = 0;
  TRY(vfs_size(file, &bytes));
  if (bytes == 0) return VARVE_OK;
  if (bytes > PTRDIFF_MAX) return status_fail(VARVE_NOMEM, "%s is too large", file_name(FILE_MANIFEST, file->number));
  *data = mem_alloc(e->alloc, (size_t)bytes);
  if (*data == NULL) return mem_fail((size_t)bytes, "the manifest");
  *size = (size_t)bytes;
  return vfs_read_exact(file, 0, *data, *size);
}

INTERNAL int manifest_load(env *e, const super *s, manifest_state *state, uint64_t *end, bool *torn) {
  int rc = VARVE_OK;
  vfs_file *file = NULL;
  uint8_t *data = NULL;
  manifest_loader loader = {s->manifest, NULL, 0, 0};
  ASSERT(s->manifest > 0 && s->manifest <= MANIFEST_NUMBER_MAX);
  memset(state, 0, sizeof *state);
  rc = vfs_open(e->fs, FILE_MANIFEST, s->manifest, 0, &file);
  if (rc == VARVE_MISSING) {
    rc = status_fail(VARVE_CORRUPT, "%s is missing, although SUPER names it; restore %s from a backup",
                     file_name(FILE_MANIFEST, s->manifest), e->fs->location);
  }
  if (rc < 0) goto out;
  STEP(manifest_read_all(e, file, &data, &loader.size));
  loader.data = data;
  STEP(manifest_check_header(&loader, s));
  STEP(version_create(e->alloc, &state->current));
  STEP(manifest_replay(&loader, e, state));
  *end = loader.at;
  *torn = loader.at < loader.size;
out:
  ALSO(vfs_close(file));
  mem_free(e->alloc, data, loader.size);
  if (rc < 0 && state->current != NULL) {
    pin_unref(&state->current->pin);
    state->current = NULL;
  }
  return rc;
}

/* ---- what is left of a damaged one ---- */

INTERNAL int manifest_remains_add(env *e, manifest_remains *r, uint64_t removed) {
  uint64_t *list = mem_grow(e->alloc, r->removed, r->removed_count, &r->removed_room, sizeof *list, "a list of tables");
  if (list == NULL) return VARVE_NOMEM;
  r->removed = list;
  r->removed[r->removed_count++] = removed;
  return VARVE_OK;
}

/* Numbers of tables that the edit takes away for good: one that it adds again has moved. */
static int manifest_note_removed(env *e, const edit *change, manifest_remains *r) {
  for (size_t i = 0; i < change->count; i++) {
    bool gone = change->tables[i].meta == NULL;
    for (size_t j = 0; gone && j < change->count; j++) {
      gone = change->tables[j].meta == NULL || change->tables[j].number != change->tables[i].number;
    }
    if (gone) TRY(manifest_remains_add(e, r, change->tables[i].number));
  }
  return VARVE_OK;
}

/* Every record that is whole, wherever it is. Checksums are taken of a bounded number of bytes. */
static int manifest_salvage_records(manifest_loader *l, env *e, manifest_remains *r) {
  uint64_t budget = (uint64_t)l->size * 64 + (uint64_t)64 * MiB;
  for (l->at = MIN(l->size, (size_t)MANIFEST_HEADER_SIZE); l->at < l->size;) {
    uint32_t size = manifest_body_size(l, l->at);
    if (size > budget) return VARVE_OK;
    budget -= size;
    if (size == 0 || !manifest_record_valid(l, l->at, size)) {
      l->at++;
      continue;
    }
    edit change;
    edit_init(&change, e->alloc);
    int rc = edit_decode(&change, slice_make(l->data + l->at + MANIFEST_RECORD_HEAD, size));
    if (rc >= 0) {
      if (change.has_log_min) r->log_min = MAX(r->log_min, change.log_min);
      if (change.has_last_seq) r->last_seq = MAX(r->last_seq, change.last_seq);
      rc = manifest_note_removed(e, &change, r);
    }
    edit_free(&change);
    if (rc < 0 && rc != VARVE_CORRUPT) return rc;
    l->at += MANIFEST_RECORD_HEAD + size;
  }
  return VARVE_OK;
}

static int manifest_salvage_state(manifest_loader *l, env *e, manifest_remains *r) {
  super self = {0}; /* whose the manifest is does not matter here */
  if (l->size >= MANIFEST_HEADER_SIZE) memcpy(self.id, l->data + 24, sizeof self.id);
  int rc = manifest_check_header(l, &self);
  if (rc < 0 && rc != VARVE_CORRUPT) return rc;
  if (rc < 0) status_keep_message(r->reason);
  TRY(version_create(e->alloc, &r->state.current));
  rc = manifest_replay(l, e, &r->state);
  if (rc == VARVE_OK) {
    r->log_min = r->state.log_min;
    r->last_seq = r->state.last_seq;
    return VARVE_OK;
  }
  if (rc == VARVE_CORRUPT && r->reason[0] == '\0') status_keep_message(r->reason);
  pin_unref(&r->state.current->pin);
  memset(&r->state, 0, sizeof r->state);
  return rc == VARVE_CORRUPT ? manifest_salvage_records(l, e, r) : rc;
}

INTERNAL int manifest_salvage(env *e, uint64_t number, manifest_remains *r) {
  int rc = VARVE_OK;
  vfs_file *file = NULL;
  uint8_t *data = NULL;
  manifest_loader loader = {number, NULL, 0, 0};
  memset(r, 0, sizeof *r);
  r->number = number;
  TRY(vfs_open(e->fs, FILE_MANIFEST, number, 0, &file));
  STEP(manifest_read_all(e, file, &data, &loader.size));
  loader.data = data;
  STEP(manifest_salvage_state(&loader, e, r));
out:
  ALSO(vfs_close(file));
  mem_free(e->alloc, data, loader.size);
  if (rc < 0) manifest_remains_free(e, r);
  return rc;
}

INTERNAL void manifest_remains_free(env *e, manifest_remains *r) {
  if (r->state.current != NULL) pin_unref(&r->state.current->pin);
  mem_free(e->alloc, r->removed, r->removed_room * sizeof *r->removed);
  memset(r, 0, sizeof *r);
}

/* ---- writing ---- */

/* Appends the record of `e` to `out`; it will begin at `offset` of the file. Nothing when the edit says nothing. */
static int manifest_put_record(buf *out, const edit *e, uint64_t number, uint64_t offset) {
  size_t start = out->size;
  TRY(buf_append_zeros(out, MANIFEST_RECORD_HEAD));
  TRY(edit_encode(e, out));
  size_t size = out->size - start - MANIFEST_RECORD_HEAD;
  if (size == 0) out->size = start;
  if (size == 0) return VARVE_OK;
  if (size > UINT32_MAX) return status_fail(VARVE_LIMIT, "an edit of %zu bytes is too large for a manifest", size);
  uint8_t *p = out->data + start;
  put_u32(p, (uint32_t)size);
  put_u32(p + 4, manifest_checksum(p + MANIFEST_RECORD_HEAD, (uint32_t)size, number, offset));
  return VARVE_OK;
}

static int manifest_put_header(buf *out, const super *s, uint64_t number) {
  ASSERT(out->size == 0);
  TRY(buf_append_zeros(out, MANIFEST_HEADER_SIZE));
  uint8_t *p = out->data;
  memcpy(p, MANIFEST_MAGIC, 8);
  put_u32(p + 8, FORMAT_VERSION);
  put_u64(p + 16, number);
  memcpy(p + 24, s->id, sizeof s->id);
  put_u64(p + MANIFEST_CHECKSUM_AT, xxh64(p, MANIFEST_CHECKSUM_AT, 0));
  return VARVE_OK;
}

/* The edit that leads from nothing to `state`. */
static int manifest_whole_edit(edit *e, const manifest_state *state) {
  e->has_log_min = e->has_next_number = e->has_last_seq = true;
  e->has_clean_end = state->clean_log != 0;
  e->log_min = state->log_min;
  e->next_number = state->next_number;
  e->last_seq = state->last_seq;
  e->clean_log = state->clean_log;
  e->clean_end = state->clean_end;
  for (uint32_t l = 0; l < LEVELS; l++) {
    const version_level *level = &state->current->level[l];
    for (uint32_t t = 0; t < level->count; t++) TRY(edit_add(e, l, level->tables[t]));
  }
  return VARVE_OK;
}

static int manifest_new(env *e, uint64_t number, uint32_t flags, manifest **m) {
  *m = MEM_NEW(e->alloc, manifest);
  if (*m == NULL) return mem_fail(sizeof **m, "a manifest");
  (*m)->e = e;
  (*m)->number = number;
  buf_init(&(*m)->record, e->alloc);
  int rc = vfs_open(e->fs, FILE_MANIFEST, number, flags, &(*m)->file);
  if (rc < 0) {
    MEM_DELETE(e->alloc, *m);
    *m = NULL;
  }
  return rc;
}

INTERNAL int manifest_create(env *e, const super *s, uint64_t number, const manifest_state *state, manifest **out) {
  int rc = VARVE_OK;
  manifest *m = NULL;
  edit whole;
  *out = NULL;
  ASSERT(number > 0 && number <= MANIFEST_NUMBER_MAX);
  ASSERT(state->next_number > number && state->last_seq <= SEQ_MAX);
  TRY(manifest_new(e, number, VFS_CREATE, &m));
  edit_init(&whole, e->alloc);
  STEP(manifest_whole_edit(&whole, state));
  STEP(manifest_put_header(&m->record, s, number));
  STEP(manifest_put_record(&m->record, &whole, number, MANIFEST_HEADER_SIZE));
  STEP(vfs_write_at(m->file, 0, m->record.data, m->record.size));
  STEP(vfs_sync(m->file));
  STEP(vfs_sync_dir(e->fs));
  m->end = m->base = m->record.size;
  ASSERT(m->end > MANIFEST_HEADER_SIZE + MANIFEST_RECORD_HEAD);
  buf_free(&m->record);
  *out = m;
  m = NULL;
out:
  edit_free(&whole);
  if (m != NULL) {
    char message[STATUS_MESSAGE_SIZE];
    status_keep_message(message);
    (void)manifest_close(m);
    (void)vfs_remove(e->fs, FILE_MANIFEST, number);
    status_set_message(message);
  }
  return rc;
}

INTERNAL int manifest_open(env *e, uint64_t number, uint64_t end, bool torn, manifest **out) {
  int rc = VARVE_OK;
  manifest *m = NULL;
  uint8_t head[MANIFEST_RECORD_HEAD];
  *out = NULL;
  ASSERT(end > MANIFEST_HEADER_SIZE + MANIFEST_RECORD_HEAD);
  TRY(manifest_new(e, number, VFS_WRITE, &m));
  STEP(vfs_read_exact(m->file, MANIFEST_HEADER_SIZE, head, sizeof head));
  if (torn) STEP(vfs_truncate(m->file, end));
  /* Also without a cut: the last record may have been written and not yet synced when a process died. It counts now. */
  STEP(vfs_sync(m->file));
  m->end = end;
  m->base = MIN(end, MANIFEST_HEADER_SIZE + MANIFEST_RECORD_HEAD + (uint64_t)get_u32(head));
  *out = m;
  m = NULL;
out:
  if (m != NULL) (void)manifest_close(m);
  return rc;
}

INTERNAL int manifest_append(manifest *m, const edit *e) {
  int rc = VARVE_OK;
  if (m->failed) {
    return status_fail(VARVE_FAILED, "%s cannot be appended to after an earlier failure",
                       file_name(FILE_MANIFEST, m->number));
  }
  buf_clear(&m->record);
  TRY(manifest_put_record(&m->record, e, m->number, m->end));
  if (m->record.size == 0) return VARVE_OK;
  m->failed = true;
  STEP(vfs_write_at(m->file, m->end, m->record.data, m->record.size));
  STEP(vfs_sync(m->file));
  m->failed = false;
  m->end += m->record.size;
out:
  if (m->record.capacity > 64 * KiB) buf_free(&m->record);
  return rc;
}

INTERNAL uint64_t manifest_size(const manifest *m) {
  return m->end;
}

INTERNAL bool manifest_wants_rewrite(const manifest *m) {
  ASSERT(m->base <= m->end);
  return m->end > MANIFEST_REWRITE_BYTES_MIN && m->end / MANIFEST_REWRITE > m->base;
}

INTERNAL int manifest_close(manifest *m) {
  if (m == NULL) return VARVE_OK;
  int rc = vfs_close(m->file);
  buf_free(&m->record);
  MEM_DELETE(m->e->alloc, m);
  return rc;
}

#undef MANIFEST_MAGIC
#undef MANIFEST_HEADER_SIZE
#undef MANIFEST_CHECKSUM_AT
#undef MANIFEST_RECORD_HEAD
#undef MANIFEST_NUMBER_MAX
#undef MANIFEST_REWRITE
