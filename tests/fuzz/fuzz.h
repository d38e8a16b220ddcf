/* fuzz.h: what fuzz targets share: a table of them, memory with a cap, files made of bytes, and seals.
 *
 * A target is a function of any bytes. It fails by dying: through a sanitizer, an ASSERT of the engine or FUZZ_CHECK.
 * Checksums would keep nearly every change of an input from being looked at, so the first byte of many inputs has a
 * bit that asks for them to be made right: the engine itself has no such door.
 *
 * libFuzzer drives targets through fuzz_main.c; fuzz_replay.c runs seeds and regressions in every test run.
 */
#ifndef VARVE_FUZZ_H
#define VARVE_FUZZ_H

#include "env/env.h"

typedef void (*fuzz_emit)(void *context, const void *data, size_t size);

typedef struct fuzz_target {
  const char *name;
  size_t size_max;
  void (*run)(const uint8_t *data, size_t size);
  void (*seeds)(fuzz_emit emit, void *context); /* inputs to begin with, made from real databases; may be NULL */
} fuzz_target;

extern const fuzz_target fuzz_super, fuzz_manifest, fuzz_edit, fuzz_wal, fuzz_table, fuzz_block, fuzz_index,
    fuzz_properties, fuzz_ranges, fuzz_filter, fuzz_lz4, fuzz_coding, fuzz_batch, fuzz_catalogue, fuzz_database,
    fuzz_single, fuzz_ops, fuzz_load, fuzz_tuple, fuzz_posting;
extern const fuzz_target *const fuzz_targets[];
extern const size_t fuzz_targets_count;

/* ---- failing ---- */

void fuzz_failed(const char *condition, const char *file, int line);
#define FUZZ_CHECK(condition) ((condition) ? (void)0 : fuzz_failed(#condition, __FILE__, __LINE__))
/* Only what bytes may cause: CORRUPT, NEWER_FORMAT, NOT_DATABASE. */
void fuzz_check_status(int rc);

/* ---- input ---- */

typedef struct fuzz_input {
  const uint8_t *at;
  size_t left;
} fuzz_input;

uint8_t fuzz_u8(fuzz_input *in); /* 0 when nothing is left */
uint32_t fuzz_number(fuzz_input *in, unsigned bytes);
slice fuzz_take(fuzz_input *in, size_t size); /* at most what is left */
uint8_t *fuzz_copy(const fuzz_input *in);     /* of what is left, to be changed and freed */

/* ---- memory and places ---- */

/* An allocator with nothing in use that dies of a request beyond `cap` bytes in all; fuzz_memory_end checks that all
 * was
 * given back. */
allocator *fuzz_memory_begin(size_t cap);
void fuzz_memory_end(void);

/* An env over files in memory that do not count. Its random numbers are always the same ones. */
env *fuzz_env(allocator *alloc);
void fuzz_put(vfs *fs, file_kind kind, uint64_t number, const void *data, size_t size);

/* ---- files as one input:  count u8, then for each  kind u8 | number u8 | size u24 | bytes ---- */

typedef struct fuzz_file {
  file_kind kind;
  uint64_t number;
  uint8_t *data;
  size_t size;
} fuzz_file;

enum { FUZZ_FILES_MAX = 12 };

typedef struct fuzz_files {
  fuzz_file file[FUZZ_FILES_MAX];
  size_t count;
} fuzz_files;

/* Copies, which fuzz_files_free releases. */
void fuzz_files_read(fuzz_input *in, fuzz_files *files);
void fuzz_files_of(vfs *fs, fuzz_files *files);
void fuzz_files_emit(const fuzz_files *files, uint8_t flags, fuzz_emit emit, void *context);
void fuzz_files_free(fuzz_files *files);
/* A flag and one file. */
void fuzz_emit_file(const fuzz_file *file, uint8_t flags, fuzz_emit emit, void *context);

/* ---- seals: every checksum that can be found made right ---- */

#define FUZZ_SEAL 1u

void fuzz_seal(uint8_t *data, size_t size, file_kind kind, uint64_t number);

/* ---- seeds ---- */

enum { FUZZ_SAMPLES = 4 };

/* The files of a small database; the same ones in every run. */
void fuzz_sample(unsigned which, fuzz_files *files);

#endif
