/* sim_session.c: the env that a seed decides. */
#include "sim_session.h"

static sim_session *sim_session_of(env *e) {
  sim_memory *m = CONTAINER_OF(e->alloc, sim_memory, base);
  return CONTAINER_OF(m, sim_session, memory);
}

static uint64_t sim_session_now(env *e) {
  sim_session *s = sim_session_of(e);
  s->now_us += rng_below(&s->clock, 800);
  return s->now_us;
}

static void sim_session_random(env *e, void *data, size_t size) {
  sim_session *s = sim_session_of(e);
  uint8_t *bytes = data;
  for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)rng_next(&s->entropy);
}

static uint64_t sim_session_memory_total(env *e) {
  (void)e;
  return UINT64_C(64) << 20;
}

int sim_session_env(sim_session *s, sim_disk *disk, bool single, uint32_t flags, uint64_t seed, env **out) {
  memset(s, 0, sizeof *s);
  sim_memory_init(&s->memory);
  s->world = disk->world;
  s->disk = disk;
  s->entropy = sim_rng(seed, 3, 0);
  s->clock = sim_rng(seed, 4, 0);
  *out = NULL;
  env *e = MEM_NEW(&s->memory.base, env);
  ASSERT(e != NULL);
  *e = (env){.fs = &disk->base,
             .alloc = &s->memory.base,
             .now_us = sim_session_now,
             .random = sim_session_random,
             .memory_total = sim_session_memory_total};
  int rc = single ? vfs_single_open(&s->memory.base, &disk->base, flags, &e->fs) : VARVE_OK;
  if (rc < 0) {
    MEM_DELETE(&s->memory.base, e);
    return rc;
  }
  rc = vfs_lock(e->fs, 0);
  if (rc < 0) {
    char message[STATUS_MESSAGE_SIZE];
    status_keep_message(message);
    (void)env_close(e);
    status_set_message(message);
    return rc;
  }
  *out = e;
  return rc;
}

int sim_session_open(sim_session *s, sim_disk *disk, const sim_plan *p, bool read_only, uint64_t seed) {
  env *e;
  varve_options o = p->options;
  o.read_only = read_only;
  TRY(sim_session_env(s, disk, p->single, read_only ? VFS_PLACE_READ_ONLY : VFS_PLACE_CREATE, seed, &e));
  return api_open(e, &o, &s->db);
}

bool sim_session_clean(sim_session *s, const char *after) {
  size_t used = atomic_load(&s->memory.base.used);
  if (s->memory.pieces == 0 && used == 0 && s->disk->files_open == 0 && !s->disk->locked) return true;
  return sim_fail(s->world, "leak", "after %s: %llu pieces of memory (%llu bytes), %u open files%s", after,
                  (unsigned long long)s->memory.pieces, (unsigned long long)used, (unsigned)s->disk->files_open,
                  s->disk->locked ? ", the lock" : "");
}

int sim_session_close(sim_session *s) {
  int rc = varve_close(s->db);
  if (rc == VARVE_BUSY) {
    (void)sim_fail(s->world, "busy", "close: %s", varve_errmsg(NULL));
    return rc;
  }
  s->db = NULL;
  char message[STATUS_MESSAGE_SIZE];
  status_keep_message(message);
  (void)sim_session_clean(s, "close");
  status_set_message(message);
  return rc;
}
