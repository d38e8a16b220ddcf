/* fuzz_super.c: SUPER, from any bytes.  input: flags u8 | 96 bytes of slot 0 | 96 bytes of slot 1 | more than that
 * is in the zeros behind; with the flag 2 the rest is the file itself.
 */
#include "fuzz/fuzz.h"

#include "lsm/super.h"

static void super_run(const uint8_t *data, size_t size) {
  static uint8_t file[2 * SUPER_SLOT_SIZE];
  fuzz_input in = {data, size};
  uint8_t flags = fuzz_u8(&in);
  size_t used = sizeof file;
  memset(file, 0, sizeof file);
  if ((flags & 2) != 0) {
    slice whole = fuzz_take(&in, sizeof file);
    memcpy(file, whole.data, whole.size);
    used = whole.size;
  } else {
    for (size_t slot = 0; slot < 2; slot++) {
      slice head = fuzz_take(&in, 96);
      memcpy(file + slot * SUPER_SLOT_SIZE, head.data, head.size);
    }
    slice rest = fuzz_take(&in, 256);
    memcpy(file + 200, rest.data, rest.size);
  }
  if ((flags & FUZZ_SEAL) != 0) fuzz_seal(file, used, FILE_SUPER, 0);
  env *e = fuzz_env(fuzz_memory_begin(64 << 10));
  fuzz_put(e->fs, FILE_SUPER, 0, file, used);
  if ((flags & 4) != 0) fuzz_put(e->fs, FILE_WAL, 3, "x", 1);
  super s;
  int rc = super_read(e, &s);
  if (rc != VARVE_MISSING) fuzz_check_status(rc);
  if (rc >= 0) {
    FUZZ_CHECK(s.generation > 0 && s.manifest > 0 && s.manifest >> 56 == 0);
    super next = s, again;
    if (s.generation < UINT64_MAX / 2) {
      FUZZ_CHECK(super_write(e, &next) >= 0);
      FUZZ_CHECK(super_read(e, &again) >= 0);
      FUZZ_CHECK(again.generation == s.generation + 1 && again.manifest == s.manifest);
      FUZZ_CHECK(memcmp(again.id, s.id, sizeof s.id) == 0);
    }
  }
  FUZZ_CHECK(env_close(e) >= 0);
  fuzz_memory_end();
}

static void super_seeds(fuzz_emit emit, void *context) {
  fuzz_files files;
  fuzz_sample(3, &files);
  const uint8_t *super_file = files.file[0].data;
  uint8_t seed[1 + 192];
  for (uint8_t flags = 0; flags < 8; flags++) {
    seed[0] = flags;
    memcpy(seed + 1, super_file, 96);
    memcpy(seed + 97, super_file + SUPER_SLOT_SIZE, 96);
    if ((flags & 2) == 0) emit(context, seed, sizeof seed);
  }
  fuzz_emit_file(&files.file[0], 2 | FUZZ_SEAL, emit, context);
  fuzz_files_free(&files);
}

const fuzz_target fuzz_super = {"super", 9000, super_run, super_seeds};
