/* fuzz_manifest.c: a manifest, and an edit alone. What can be read can be written, and reads the same again. */
#include "fuzz/fuzz.h"

#include <stdlib.h>

#include "lsm/manifest.h"

static const super manifest_root = {.generation = 1, .manifest = 1};

static bool manifest_same(const manifest_state *a, const manifest_state *b) {
  bool same = a->log_min == b->log_min && a->next_number == b->next_number && a->last_seq == b->last_seq &&
              a->clean_log == b->clean_log && a->clean_end == b->clean_end;
  for (uint32_t level = 0; level < LEVELS; level++) {
    const version_level *x = &a->current->level[level], *y = &b->current->level[level];
    same = same && x->count == y->count && x->bytes == y->bytes;
    for (uint32_t i = 0; same && i < x->count; i++) {
      const table_meta *s = x->tables[i], *t = y->tables[i];
      same = s->number == t->number && s->size == t->size && s->seq_max == t->seq_max &&
             slice_equal(s->smallest, t->smallest) && slice_equal(s->largest, t->largest);
      if (level > 0 && i > 0) FUZZ_CHECK(slice_compare(x->tables[i - 1]->largest, s->smallest) <= 0);
    }
  }
  return same;
}

static void manifest_again(env *e, const manifest_state *state) {
  manifest *m;
  manifest_state again;
  uint64_t end;
  bool torn;
  super root = manifest_root;
  root.manifest = 2;
  if (state->next_number <= 2) return;
  FUZZ_CHECK(manifest_create(e, &root, 2, state, &m) >= 0);
  FUZZ_CHECK(manifest_close(m) >= 0);
  FUZZ_CHECK(manifest_load(e, &root, &again, &end, &torn) >= 0);
  FUZZ_CHECK(!torn && manifest_same(state, &again));
  pin_unref(&again.current->pin);
}

static void manifest_run(const uint8_t *data, size_t size) {
  fuzz_input in = {data, size};
  uint8_t flags = fuzz_u8(&in);
  uint8_t *file = fuzz_copy(&in);
  if ((flags & FUZZ_SEAL) != 0) {
    if (in.left >= 64) memcpy(file, "VARVEMAN\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0", 24);
    if (in.left >= 64) memset(file + 24, 0, 16);
    fuzz_seal(file, in.left, FILE_MANIFEST, 1);
  }
  env *e = fuzz_env(fuzz_memory_begin(64 * in.left + (64 << 10)));
  fuzz_put(e->fs, FILE_MANIFEST, 1, file, in.left);
  manifest_state state;
  uint64_t end;
  bool torn;
  int rc = manifest_load(e, &manifest_root, &state, &end, &torn);
  fuzz_check_status(rc);
  if (rc >= 0) {
    manifest *m;
    FUZZ_CHECK(end <= in.left && torn == (end < in.left));
    manifest_again(e, &state);
    FUZZ_CHECK(manifest_open(e, 1, end, torn, &m) >= 0);
    FUZZ_CHECK(manifest_close(m) >= 0);
    pin_unref(&state.current->pin);
  }
  FUZZ_CHECK(env_close(e) >= 0);
  fuzz_memory_end();
  free(file);
}

static const fuzz_file *manifest_of(const fuzz_files *files) {
  for (size_t i = 0; i < files->count; i++) {
    if (files->file[i].kind == FILE_MANIFEST) return &files->file[i];
  }
  return NULL;
}

static void manifest_seeds(fuzz_emit emit, void *context) {
  for (unsigned which = 0; which < FUZZ_SAMPLES; which++) {
    fuzz_files files;
    fuzz_sample(which, &files);
    fuzz_emit_file(manifest_of(&files), FUZZ_SEAL, emit, context);
    fuzz_emit_file(manifest_of(&files), 0, emit, context);
    fuzz_files_free(&files);
  }
}

static void edit_run(const uint8_t *data, size_t size) {
  allocator *alloc = fuzz_memory_begin(200 * size + (64 << 10));
  edit one, two;
  buf first, second;
  edit_init(&one, alloc);
  edit_init(&two, alloc);
  buf_init(&first, alloc);
  buf_init(&second, alloc);
  int rc = edit_decode(&one, slice_make(data, size));
  FUZZ_CHECK(rc == VARVE_OK || rc == VARVE_CORRUPT);
  if (rc == VARVE_OK) {
    FUZZ_CHECK(edit_encode(&one, &first) >= 0);
    FUZZ_CHECK(edit_decode(&two, buf_slice(&first)) >= 0);
    FUZZ_CHECK(edit_encode(&two, &second) >= 0);
    FUZZ_CHECK(first.size == size && slice_equal(buf_slice(&first), buf_slice(&second)));
    version *base, *next;
    FUZZ_CHECK(version_create(alloc, &base) >= 0);
    rc = version_apply(base, &one, &next);
    FUZZ_CHECK(rc == VARVE_OK || rc == VARVE_CORRUPT);
    if (rc == VARVE_OK) pin_unref(&next->pin);
    pin_unref(&base->pin);
  }
  edit_free(&one);
  edit_free(&two);
  buf_free(&first);
  buf_free(&second);
  fuzz_memory_end();
}

static void edit_seeds(fuzz_emit emit, void *context) {
  fuzz_files files;
  fuzz_sample(3, &files);
  const fuzz_file *f = manifest_of(&files);
  for (size_t at = 64; at + 8 < f->size;) {
    size_t size = get_u32(f->data + at);
    emit(context, f->data + at + 8, size);
    at += 8 + size;
  }
  fuzz_files_free(&files);
}

const fuzz_target fuzz_manifest = {"manifest", 4096, manifest_run, manifest_seeds};
const fuzz_target fuzz_edit = {"edit", 1024, edit_run, edit_seeds};
