/* super.c: reads and writes the root of a database. The slots are drawn in super.h.
 *
 * Invariants
 *   1. A slot is never written while it holds the newest generation: the other one always survives a torn write.
 *   2. What super_read returns is durable: a slot that was written and not yet synced when a process died is synced
 *      before anybody acts on it (and removes, say, the manifest that the older slot names).
 */
#include "lsm/super.h"

#include "base/coding.h"
#include "base/xxh64.h"

#define SUPER_MAGIC          "VARVE\0DB"
#define SUPER_CHECKSUM_AT    (SUPER_SLOT_SIZE - 8u)
#define SUPER_FILE_SIZE      (2u * SUPER_SLOT_SIZE)
#define SUPER_NUMBER_MAX     ((UINT64_C(1) << 56) - 1)
#define SUPER_GENERATION_MAX (UINT64_MAX / 2)

typedef enum super_slot_state { SLOT_NONE, SLOT_BROKEN, SLOT_NEWER, SLOT_VALID } super_slot_state;

/* Whether the checksum is that of the slot with this format version. */
static bool super_slot_sound(uint8_t *p, uint32_t format) {
  uint32_t stored = get_u32(p + 8);
  put_u32(p + 8, format);
  bool sound = get_u64(p + SUPER_CHECKSUM_AT) == xxh64(p, SUPER_CHECKSUM_AT, 0);
  put_u32(p + 8, stored);
  return sound;
}

static super_slot_state super_slot_get(uint8_t *p, unsigned slot, super *s) {
  memset(s, 0, sizeof *s);
  if (memcmp(p, SUPER_MAGIC, 8) != 0) return SLOT_NONE;
  uint32_t format = get_u32(p + 8);
  bool sound = super_slot_sound(p, FORMAT_VERSION);
  s->generation = get_u64(p + 16);
  if (format > FORMAT_VERSION) return sound ? SLOT_BROKEN : SLOT_NEWER; /* sound: only the version itself is damaged */
  if (format != FORMAT_VERSION || get_u32(p + 12) != 0 || !sound) return SLOT_BROKEN;
  memcpy(s->id, p + 24, sizeof s->id);
  s->manifest = get_u64(p + 40);
  s->flags = get_u32(p + 48);
  sound = s->generation > 0 && s->generation <= SUPER_GENERATION_MAX && (s->generation & 1) == slot &&
          s->manifest > 0 && s->manifest <= SUPER_NUMBER_MAX;
  return sound ? SLOT_VALID : SLOT_BROKEN;
}

static void super_slot_put(uint8_t p[SUPER_SLOT_SIZE], const super *s) {
  memset(p, 0, SUPER_SLOT_SIZE);
  memcpy(p, SUPER_MAGIC, 8);
  put_u32(p + 8, FORMAT_VERSION);
  put_u64(p + 16, s->generation);
  memcpy(p + 24, s->id, sizeof s->id);
  put_u64(p + 40, s->manifest);
  put_u32(p + 48, s->flags);
  put_u64(p + SUPER_CHECKSUM_AT, xxh64(p, SUPER_CHECKSUM_AT, 0));
}

/* Stops at the first file that holds data; in a copy (*context) tables come before SUPER. */
static int super_visit(void *context, file_kind kind, uint64_t number, uint64_t size) {
  const bool *copy = context;
  (void)number;
  (void)size;
  return kind == FILE_WAL || (kind == FILE_SST && !*copy) ? VARVE_DONE : VARVE_OK;
}

/* SUPER holds nothing but zeros, or nothing: an interrupted creation, unless there is data beside it. */
static int super_empty(env *e, bool copy) {
  int rc = vfs_list(e->fs, super_visit, &copy);
  TRY(rc);
  if (rc == VARVE_DONE) {
    return status_fail(VARVE_CORRUPT, "SUPER is damaged at offset 0: it is empty, but there are tables or logs in %s",
                       e->fs->location);
  }
  return status_fail(VARVE_MISSING, "there is no database in %s", e->fs->location);
}

static bool super_all_zero(const uint8_t *p, size_t size) {
  for (size_t i = 0; i < size; i++) {
    if (p[i] != 0) return false;
  }
  return true;
}

/* Chooses between the two slots; `p` holds `size` bytes of the file, then zeros. */
static int super_choose(env *e, uint8_t *p, size_t size, bool copy, super *s) {
  super slots[2];
  super_slot_state state[2];
  for (unsigned i = 0; i < 2; i++) state[i] = super_slot_get(p + i * SUPER_SLOT_SIZE, i, &slots[i]);
  /* The first slot ever written is the second one (generation 1): while it is not whole and the first is untouched,
   * creation was cut short, whatever part of it arrived. */
  bool unborn = state[1] <= SLOT_BROKEN && super_all_zero(p, MIN(size, (size_t)SUPER_SLOT_SIZE));
  if (unborn) return super_empty(e, copy);
  if (state[0] == SLOT_NONE && state[1] == SLOT_NONE) {
    return status_fail(VARVE_NOT_DATABASE, "%s is not a Varve database: its SUPER is something else", e->fs->location);
  }
  bool usable[2] = {state[0] >= SLOT_NEWER, state[1] >= SLOT_NEWER};
  if (!usable[0] && !usable[1]) {
    return status_fail(VARVE_CORRUPT, "SUPER is damaged at offset %u: no slot is whole",
                       state[0] == SLOT_BROKEN ? 0u : SUPER_SLOT_SIZE);
  }
  unsigned newest = usable[0] && (!usable[1] || slots[0].generation > slots[1].generation) ? 0 : 1;
  if (state[newest] == SLOT_NEWER) {
    return status_fail(VARVE_NEWER_FORMAT,
                       "%s was written by a newer version of Varve: it has format version %u, and "
                       "this program knows %u",
                       e->fs->location, get_u32(p + newest * SUPER_SLOT_SIZE + 8), FORMAT_VERSION);
  }
  *s = slots[newest];
  const super *mate = &slots[1 - newest];
  bool same = mate->manifest == s->manifest && mate->flags == s->flags && memcmp(mate->id, s->id, sizeof s->id) == 0;
  s->mate = state[1 - newest] != SLOT_VALID ? SUPER_MATE_BROKEN : same ? SUPER_MATE_SAME : SUPER_MATE_OTHER;
  if (s->generation == 1 && super_all_zero(p, SUPER_SLOT_SIZE)) s->mate = SUPER_MATE_OTHER; /* nothing was there yet */
  ASSERT((s->generation & 1) == newest && s->manifest > 0);
  return VARVE_OK;
}

static int super_load(env *e, bool copy, super *s) {
  int rc = VARVE_OK;
  vfs_file *file = NULL;
  size_t size = 0;
  bool writable = (e->fs->traits & VFS_READ_ONLY) == 0;
  uint8_t *bytes = mem_zalloc(e->alloc, SUPER_FILE_SIZE);
  if (bytes == NULL) return mem_fail(SUPER_FILE_SIZE, "SUPER");
  rc = vfs_open(e->fs, FILE_SUPER, 0, writable ? VFS_WRITE : 0, &file);
  if (rc == VARVE_MISSING) rc = status_fail(VARVE_MISSING, "there is no database in %s", e->fs->location);
  if (rc < 0) goto out;
  STEP(vfs_read_at(file, 0, bytes, SUPER_FILE_SIZE, &size));
  STEP(super_choose(e, bytes, size, copy, s));
  if (writable) STEP(vfs_sync(file));
out:
  ALSO(vfs_close(file));
  mem_free(e->alloc, bytes, SUPER_FILE_SIZE);
  return rc;
}

INTERNAL int super_read(env *e, super *s) {
  return super_load(e, false, s);
}

INTERNAL int super_read_target(env *e, super *s) {
  return super_load(e, true, s);
}

/* Opens SUPER, two slots long and with a durable name. */
static int super_open(env *e, bool first, vfs_file **out) {
  int rc = VARVE_OK;
  vfs_file *file = NULL;
  uint64_t size = 0;
  *out = NULL;
  rc = vfs_open(e->fs, FILE_SUPER, 0, VFS_WRITE, &file);
  if (rc == VARVE_MISSING) rc = vfs_open(e->fs, FILE_SUPER, 0, VFS_CREATE, &file);
  if (rc < 0) goto out;
  STEP(vfs_size(file, &size));
  if (size < SUPER_FILE_SIZE) {
    STEP(vfs_allocate(file, SUPER_FILE_SIZE));
    STEP(vfs_sync(file));
    first = true;
  }
  /* A process that died between the creation and this left a name that is not durable. */
  if (first) STEP(vfs_sync_dir(e->fs));
  *out = file;
  file = NULL;
out:
  ALSO(vfs_close(file));
  return rc;
}

INTERNAL int super_write(env *e, super *s) {
  int rc = VARVE_OK;
  vfs_file *file = NULL;
  super next = *s;
  ASSERT(s->generation < SUPER_GENERATION_MAX);
  ASSERT(s->manifest > 0 && s->manifest <= SUPER_NUMBER_MAX);
  next.generation++;
  next.mate = SUPER_MATE_SAME; /* for whoever writes it twice */
  uint8_t *slot = mem_alloc(e->alloc, SUPER_SLOT_SIZE);
  if (slot == NULL) return mem_fail(SUPER_SLOT_SIZE, "SUPER");
  super_slot_put(slot, &next);
  STEP(super_open(e, s->generation == 0, &file));
  STEP(vfs_write_at(file, (next.generation & 1) * SUPER_SLOT_SIZE, slot, SUPER_SLOT_SIZE));
  STEP(vfs_sync(file));
  *s = next;
out:
  ALSO(vfs_close(file));
  mem_free(e->alloc, slot, SUPER_SLOT_SIZE);
  return rc;
}

#undef SUPER_MAGIC
#undef SUPER_CHECKSUM_AT
#undef SUPER_FILE_SIZE
#undef SUPER_NUMBER_MAX
#undef SUPER_GENERATION_MAX
