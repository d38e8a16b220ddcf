/* fuzz_replay.c: the fuzz targets without libFuzzer.
 *
 *   fuzz_replay [target...]              seeds, kept inputs, regressions, and some seeded changes of them
 *   fuzz_replay --seeds DIRECTORY        writes the seeds to DIRECTORY/<target>/
 *   fuzz_replay --file TARGET FILE       one input
 */
#define _XOPEN_SOURCE 700

#include "fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/rng.h"
#include "base/xxh64.h"

#ifndef FUZZ_DIRECTORY
#define FUZZ_DIRECTORY "tests/fuzz"
#endif

enum { REPLAY_INPUTS = 600, REPLAY_CHANGES = 400, REPLAY_PATH = 4200 };

typedef struct replay {
  const fuzz_target *target;
  const char *directory; /* seeds are written there; NULL = kept */
  struct {
    uint8_t *data;
    size_t size;
  } input[REPLAY_INPUTS];
  size_t count;
} replay;

static void replay_path(char path[REPLAY_PATH], const char *a, const char *b, const char *c) {
  int n = snprintf(path, REPLAY_PATH, "%s/%s/%s", a, b, c);
  FUZZ_CHECK(n > 0 && n < REPLAY_PATH);
}

static void replay_keep(void *context, const void *data, size_t size) {
  replay *r = context;
  if (r->count == REPLAY_INPUTS) return;
  if (r->directory != NULL) {
    char path[REPLAY_PATH], name[32];
    (void)snprintf(name, sizeof name, "seed-%zu", r->count++);
    replay_path(path, r->directory, r->target->name, name);
    FILE *f = fopen(path, "wb");
    FUZZ_CHECK(f != NULL && fwrite(data, 1, size, f) == size && fclose(f) == 0);
    return;
  }
  uint8_t *copy = malloc(size + 1);
  FUZZ_CHECK(copy != NULL);
  memcpy(copy, data, size);
  r->input[r->count].data = copy;
  r->input[r->count++].size = size;
}

static bool replay_file(replay *r, const char *path) {
  static uint8_t bytes[1 << 20];
  FILE *f = fopen(path, "rb");
  if (f == NULL) return false;
  size_t size = fread(bytes, 1, sizeof bytes, f);
  (void)fclose(f);
  replay_keep(r, bytes, size);
  return true;
}

static void replay_directory(replay *r, const char *kind) {
  char path[REPLAY_PATH], place[REPLAY_PATH];
  replay_path(place, FUZZ_DIRECTORY, kind, r->target->name);
  DIR *d = opendir(place);
  if (d == NULL) return;
  for (struct dirent *entry; (entry = readdir(d)) != NULL;) {
    if (entry->d_name[0] == '.') continue;
    replay_path(path, place, ".", entry->d_name);
    (void)replay_file(r, path);
  }
  (void)closedir(d);
}

/* A few bytes changed, moved, left out. */
static size_t replay_change(rng *g, uint8_t *p, size_t size, size_t room) {
  for (uint32_t n = 1 + rng_below(g, 4); n > 0 && size > 0; n--) {
    size_t at = rng_below(g, (uint32_t)size), most = MIN(size - at, 16u), length = 1 + rng_below(g, (uint32_t)most);
    switch (rng_below(g, 6)) {
      case 0:
        p[at] ^= (uint8_t)(1u << rng_below(g, 8));
        break;
      case 1:
        p[at] = (uint8_t)rng_next(g);
        break;
      case 2:
        memset(p + at, (int)rng_below(g, 2) * 255, length);
        break;
      case 3:
        memmove(p + at, p + rng_below(g, (uint32_t)(size - length + 1)), length);
        break;
      case 4:
        memmove(p + at, p + at + length, size - at - length);
        size -= length;
        break;
      default:
        if (length > room - size) break;
        memmove(p + at + length, p + at, size - at);
        size += length;
        break;
    }
  }
  return size;
}

static void replay_target(replay *r, uint64_t changes) {
  static uint8_t bytes[(1 << 20) + 64];
  const fuzz_target *t = r->target;
  rng g = {xxh64(t->name, strlen(t->name), 1)};
  r->count = 0;
  if (t->seeds != NULL) t->seeds(replay_keep, r);
  size_t seeds = r->count;
  replay_directory(r, "corpus");
  size_t kept = r->count;
  replay_directory(r, "regressions");
  for (size_t i = 0; i < r->count; i++) t->run(r->input[i].data, r->input[i].size);
  for (uint64_t i = 0; i < changes; i++) {
    size_t size = 0;
    if (r->count > 0) {
      size_t pick = rng_below(&g, (uint32_t)r->count);
      size = MIN(r->input[pick].size, sizeof bytes / 2);
      memcpy(bytes, r->input[pick].data, size);
    } else {
      size = rng_below(&g, 100);
      for (size_t k = 0; k < size; k++) bytes[k] = (uint8_t)rng_next(&g);
    }
    size = replay_change(&g, bytes, size, t->size_max);
    if (size <= t->size_max) t->run(bytes, size);
  }
  printf("%-12s %3zu seeds, %3zu kept, %2zu regressions, %llu changed\n", t->name, seeds, kept - seeds, r->count - kept,
         (unsigned long long)changes);
  for (size_t i = 0; i < r->count; i++) free(r->input[i].data);
}

static int replay_one(replay *r, const char *path) {
  r->count = 0;
  if (!replay_file(r, path)) {
    fprintf(stderr, "cannot read %s\n", path);
    return 2;
  }
  r->target->run(r->input[0].data, r->input[0].size);
  free(r->input[0].data);
  return 0;
}

int main(int count, char **words) {
  static replay r;
  const char *text = getenv("VARVE_TEST_SCALE");
  uint64_t changes = REPLAY_CHANGES * (text == NULL ? 100 : strtoull(text, NULL, 10)) / 100;
  bool seeds = count == 3 && strcmp(words[1], "--seeds") == 0, file = count == 4 && strcmp(words[1], "--file") == 0;
  bool any = false;
  for (size_t i = 0; i < fuzz_targets_count; i++) {
    r.target = fuzz_targets[i];
    bool named = count == 1 || seeds;
    for (int k = 1; k < (file ? 3 : count); k++) named = named || strcmp(words[k], r.target->name) == 0;
    if (!named) continue;
    any = true;
    if (file) return replay_one(&r, words[3]);
    if (seeds) {
      char path[REPLAY_PATH];
      replay_path(path, words[2], r.target->name, ".");
      path[strlen(path) - 2] = '\0';
      (void)mkdir(path, 0777);
      r.directory = words[2];
      r.count = 0;
      if (r.target->seeds != NULL) r.target->seeds(replay_keep, &r);
      continue;
    }
    replay_target(&r, changes);
  }
  if (!any) fprintf(stderr, "there is no such target\n");
  return any ? 0 : 2;
}
