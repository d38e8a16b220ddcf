/* vfs_single_publish.c: reading a single file's directory, and the moments at which a new one is written.
 *
 *     durable:   image, twice -> free pages | sync | slot, flag 1 | sync | the same in a third slot
 *     for the death of the process alone:
 *                image, twice -> free pages | (sync, when zeros over old bytes are not yet) | slot
 *
 * The slot that is written is neither the newest durable one nor the newest one. Whatever instant everything stops at,
 * one of the two is whole: the newest one when the process died, one of both when power went.
 *
 * Invariants
 *   1. After a sync that failed no directory is written any more.
 *   2. Pages that the newest durable directory names are not handed out, be they its own or a file's; nor are those of
 *      the newest one.
 *   3. A durable directory names nothing that was not synced before its slot was written.
 *   4. What is read and acted upon is durable: the file is synced after its directory was chosen, before any change.
 */
#include "env/vfs_single.h"

#include "base/coding.h"
#include "base/limits.h"

#define SINGLE_CUT_BYTES \
  (1 * MiB) /* a free tail of this size is cut off at once, a smaller one when the file is closed */
#define SINGLE_ROOM_FIRST 4096u
#define SINGLE_MOVE_PAGES 16u

/* ---- failures and syncs ---- */

INTERNAL int single_check(single *s) {
  mutex_lock(&s->guard);
  int rc = s->failed == VARVE_OK ? VARVE_OK
                                 : status_fail(s->failed, "%s is not written to any more, because a sync failed: %s",
                                               s->base.location, s->failure);
  mutex_unlock(&s->guard);
  return rc;
}

INTERNAL int single_sync_below(single *s) {
  int rc = VARVE_OK;
  mutex_lock(&s->syncing);
  STEP(single_check(s));
  mutex_lock(&s->guard);
  bool cut = s->cut;
  uint64_t cuts = s->cuts;
  mutex_unlock(&s->guard);
  rc = vfs_sync(s->file);
  mutex_lock(&s->guard);
  if (rc < 0) {
    s->failed = rc;
    status_keep_message(s->failure);
  } else if (cut && cuts == s->cuts) {
    s->high = s->cut_high; /* what was cut off is gone for good: it comes back as zeros */
    s->cut = false;
  }
  mutex_unlock(&s->guard);
out:
  mutex_unlock(&s->syncing);
  return rc;
}

/* Bytes that image must have room for; guard is held. */
static size_t publish_bound(const single *s) {
  return (s->count + s->extents + 16) * 2 * VARINT64_SIZE_MAX;
}

/* Room for twice that; publishing and guard are held: image is written from without the guard. */
static int publish_reserve(single *s) {
  buf_clear(&s->image);
  return buf_reserve(&s->image, MAX(2 * publish_bound(s), SINGLE_ROOM_FIRST));
}

INTERNAL int single_make_room(single *s) {
  mutex_lock(&s->guard);
  bool enough = publish_bound(s) <= s->image.capacity;
  mutex_unlock(&s->guard);
  if (LIKELY(enough)) return VARVE_OK;
  mutex_lock(&s->publishing);
  mutex_lock(&s->guard);
  int rc = publish_reserve(s);
  mutex_unlock(&s->guard);
  mutex_unlock(&s->publishing);
  return rc;
}

/* ---- writing a directory ---- */

/* Cuts off the tail when it is free. guard is held: nobody is given a page of it meanwhile. */
static int publish_cut(single *s, uint64_t least) {
  uint64_t top = single_space_top(&s->space) * SINGLE_PAGE;
  if (s->size <= top || s->size - top < least) return VARVE_OK;
  TRY(vfs_truncate(s->file, top));
  s->size = top;
  s->cut = true;
  s->cuts++;
  s->cut_high = top;
  return VARVE_OK;
}

/* The directory of change `change` is durable: what it does not name is free. guard is held. */
static void publish_free(single *s, uint64_t change) {
  size_t kept = 0;
  for (size_t i = 0; i < s->pending_count; i++) {
    if (s->pending[i].change <= change) {
      single_space_give(s->base.alloc, &s->space, s->pending[i].range);
    } else {
      s->pending[kept++] = s->pending[i];
    }
  }
  s->pending_count = kept;
}

static bool publish_same(single_range a, single_range b) {
  return a.start == b.start;
}

/* The slot was written whole: it is the newest one now. guard is held. */
static void publish_settled(single *s, unsigned at, single_range pages, uint64_t change, bool synced) {
  single_range newest = s->newest_pages, sound = s->sound_pages;
  s->newest_slot = at;
  s->newest_pages = pages;
  s->published = change;
  if (!publish_same(newest, sound)) single_space_give(s->base.alloc, &s->space, newest);
  if (!synced) return;
  s->sound_slot = at;
  s->sound_pages = pages;
  s->durable = change;
  single_space_give(s->base.alloc, &s->space, sound);
  publish_free(s, change);
  for (size_t i = 0; i < s->count; i++) {
    single_node *node = s->nodes[i];
    node->named = node->named || node->snapped;
    if (node->snapped) node->sound = node->snap;
    node->snapped = false;
  }
}

/* A directory on its way. */
typedef struct publication {
  single_slot slot;
  single_range pages;
  uint64_t change;
  bool synced;
  bool zeros; /* a log's zeros over old bytes have to be synced before */
} publication;

/* Fills image and gives it pages. */
static int publish_image(single *s, publication *p) {
  uint64_t end;
  mutex_lock(&s->guard);
  for (size_t i = 0; i < s->count; i++) s->nodes[i]->snapped = false;
  single_directory_put(s, p->synced, &end);
  p->change = s->change;
  const uint64_t pages = 2 * single_pages(s->image.size);
  p->pages = single_space_take(&s->space, pages, pages);
  bool found = p->pages.end > 0;
  if (found) {
    uint64_t offset = p->pages.start * SINGLE_PAGE;
    p->slot = (single_slot){p->synced ? SINGLE_SLOT_SYNCED : 0, s->generation + 1, offset, s->image.size, 0, 0};
    p->slot.end = MAX(end, single_directory_copy(&p->slot) + s->image.size);
    p->slot.checksum = single_directory_checksum(&p->slot, s->image.data);
    p->zeros = s->unsynced_zeros;
    s->unsynced_zeros = false;
    s->cut_high = MAX(s->cut_high, p->pages.end * SINGLE_PAGE);
    s->high = MAX(s->high, p->pages.end * SINGLE_PAGE);
  }
  mutex_unlock(&s->guard);
  return found ? VARVE_OK : status_fail(VARVE_FULL, "%s cannot grow any further", s->base.location);
}

/* Whatever became of the writes, these pages stay untouched until a directory that does not name them is durable. */
static void publish_doubt(single *s, const publication *p) {
  mutex_lock(&s->guard);
  s->change++;
  s->unsynced_zeros = s->unsynced_zeros || p->zeros;
  if (s->pending_count < s->pending_room) s->pending[s->pending_count++] = (single_pending){p->pages, s->change};
  mutex_unlock(&s->guard);
}

static int publish_slot(single *s, const single_slot *slot, unsigned at) {
  uint8_t page[SINGLE_PAGE];
  single_slot_put(page, slot, at);
  return vfs_write_at(s->file, (uint64_t)(1 + at) * SINGLE_PAGE, page, sizeof page);
}

/* publishing is held. */
static int publish_write(single *s, bool synced) {
  publication p = {.synced = synced};
  int rc = VARVE_OK;
  unsigned at = (s->sound_slot + 2) % SINGLE_SLOTS;
  if (at == s->newest_slot) at = (s->sound_slot + 1) % SINGLE_SLOTS;
  ASSERT(at != s->sound_slot && at != s->newest_slot);
  TRY(single_check(s));
  TRY(publish_image(s, &p));
  STEP(vfs_write_at(s->file, p.slot.offset, s->image.data, s->image.size));
  STEP(vfs_write_at(s->file, single_directory_copy(&p.slot), s->image.data, s->image.size));
  if (synced || p.zeros) STEP(single_sync_below(s));
  p.zeros = false;
  s->generation++; /* also when the write fails: it may be there all the same */
  STEP(publish_slot(s, &p.slot, at));
  if (synced) STEP(single_sync_below(s));
  mutex_lock(&s->guard);
  s->size = MAX(s->size, single_directory_copy(&p.slot) + p.slot.size);
  publish_settled(s, at, p.pages, p.change, synced);
  if (synced) rc = publish_cut(s, SINGLE_CUT_BYTES);
  mutex_unlock(&s->guard);
  /* A copy that is not whole does no harm, so its failure is none. */
  if (synced) (void)publish_slot(s, &p.slot, (at + 1) % SINGLE_SLOTS);
  return rc;
out:
  publish_doubt(s, &p);
  return rc;
}

INTERNAL int single_publish(single *s, uint64_t change, bool synced) {
  mutex_lock(&s->publishing);
  mutex_lock(&s->guard);
  bool there = (synced ? s->durable : s->published) >= change;
  mutex_unlock(&s->guard);
  int rc = there ? VARVE_OK : publish_write(s, synced);
  mutex_unlock(&s->publishing);
  /* Somebody else did it, and may have synced before the caller's last bytes were written. */
  return there && synced ? single_sync_below(s) : rc;
}

/* Whether the directory stands at the end, behind pages that are free and worth a move. */
static bool publish_is_in_the_way(single *s) {
  mutex_lock(&s->guard);
  const single_space *f = &s->space;
  bool last = f->count > 1 && s->sound_pages.end == single_space_top(f);
  const single_range *below = last ? &f->ranges[f->count - 2] : NULL;
  bool worth = last && below->end == s->sound_pages.start && below->end - below->start >= SINGLE_MOVE_PAGES;
  mutex_unlock(&s->guard);
  return worth;
}

/* A disk or memory that is full is no failure here: what was not synced was not promised. */
INTERNAL int single_settle(single *s) {
  if (s->file == NULL || s->failed < 0 || (s->base.traits & VFS_READ_ONLY) != 0) return VARVE_OK;
  int rc = s->change > s->durable ? single_publish(s, s->change, true) : VARVE_OK;
  if (rc == VARVE_OK && publish_is_in_the_way(s)) {
    mutex_lock(&s->publishing);
    rc = publish_write(s, true);
    mutex_unlock(&s->publishing);
  }
  if (rc == VARVE_OK) {
    mutex_lock(&s->guard);
    rc = publish_cut(s, 1);
    mutex_unlock(&s->guard);
  }
  return rc == VARVE_FULL || rc == VARVE_NOMEM ? VARVE_OK : rc;
}

/* ---- reading ---- */

static void load_clear(single *s) {
  allocator *a = s->base.alloc;
  ASSERT(s->files_open == 0);
  for (size_t i = 0; i < s->count; i++) single_node_free(s, s->nodes[i]);
  mem_free(a, s->nodes, s->room * sizeof *s->nodes);
  mem_free(a, s->pending, s->pending_room * sizeof *s->pending);
  single_space_destroy(a, &s->space);
  s->nodes = NULL;
  s->pending = NULL;
  s->count = s->room = s->extents = s->pending_count = s->pending_room = 0;
}

/* Reads up to `size` bytes; what the file does not have is zero. */
static int load_bytes(single *s, uint64_t offset, uint8_t *data, size_t size) {
  size_t got;
  TRY(vfs_read_at(s->file, offset, data, size, &got));
  memset(data + got, 0, size - got);
  return VARVE_OK;
}

/* Reads the slot's directory. OK, DONE (it does not count, and was never promised), or a failure. *sound = both copies
 * of it are whole. */
static int load_directory(single *s, const single_slot *slot, bool *sound) {
  bool promised = (slot->flags & SINGLE_SLOT_SYNCED) != 0;
  bool salvage = (s->flags & VFS_PLACE_SALVAGE) != 0 && single_directory_copy(slot) <= s->size;
  int rc = VARVE_OK;
  if (slot->end > s->size && !promised) return VARVE_DONE;
  if (slot->end > s->size && !salvage) {
    return status_fail(VARVE_CORRUPT,
                       "%s is cut short: it has %llu bytes, and its directory says %llu at least; restore it from a "
                       "backup",
                       s->base.location, (unsigned long long)s->size, (unsigned long long)slot->end);
  }
  if (slot->size > PTRDIFF_MAX) return mem_fail(SIZE_MAX, "the directory");
  size_t size = (size_t)slot->size;
  uint8_t *data = mem_alloc(s->base.alloc, size);
  if (data == NULL) return mem_fail(size, "the directory");
  STEP(load_bytes(s, single_directory_copy(slot), data, size));
  *sound = single_directory_checksum(slot, data) == slot->checksum;
  STEP(load_bytes(s, slot->offset, data, size));
  if (single_directory_checksum(slot, data) != slot->checksum) {
    if (*sound) STEP(load_bytes(s, single_directory_copy(slot), data, size));
    if (!*sound && salvage) STEP(single_salvage_mix(s, slot, data));
    *sound = false;
  }
  if (single_directory_checksum(slot, data) != slot->checksum) {
    rc = promised ? status_fail(VARVE_CORRUPT,
                                "%s is damaged at offset %llu: the checksums of both copies of its directory do not "
                                "match; restore it from a backup",
                                s->base.location, (unsigned long long)slot->offset)
                  : VARVE_DONE;
    goto out;
  }
  STEP(single_space_init(s->base.alloc, &s->space));
  STEP(single_directory_get(s, slot, data));
  if (slot->end > s->size) single_salvage_clip(s);
out:
  mem_free(s->base.alloc, data, size);
  return rc;
}

/* Tries the slots from the highest generation down. *sound = what was found needs no writing anew. */
static int load_newest(single *s, const uint8_t *pages, bool *sound) {
  single_slot slots[SINGLE_SLOTS];
  unsigned whole[SINGLE_SLOTS];
  s->generation = 0;
  for (unsigned i = 0; i < SINGLE_SLOTS; i++) {
    whole[i] = single_slot_get(pages + (size_t)(1 + i) * SINGLE_PAGE, &slots[i], i);
    if (whole[i] > 0) s->generation = MAX(s->generation, slots[i].generation);
  }
  for (;;) {
    unsigned at = SINGLE_SLOTS;
    for (unsigned i = 0; i < SINGLE_SLOTS; i++) {
      if (whole[i] > 0 && (at == SINGLE_SLOTS || slots[i].generation > slots[at].generation)) at = i;
    }
    if (at == SINGLE_SLOTS) break;
    bool both = false;
    int rc = load_directory(s, &slots[at], &both);
    if (rc < 0) return rc;
    if (rc == VARVE_OK) {
      s->sound_slot = s->newest_slot = at;
      s->sound_pages = s->newest_pages = single_directory_range(&slots[at]);
      *sound = (slots[at].flags & SINGLE_SLOT_SYNCED) != 0 && whole[at] == SINGLE_SLOT_RECORDS && both;
      return VARVE_OK;
    }
    whole[at] = 0;
  }
  return status_fail(VARVE_CORRUPT,
                     "%s is damaged at offset %u: none of its slots is whole and names a directory; restore it from a "
                     "backup",
                     s->base.location, SINGLE_PAGE);
}

/* It is the same in every file: when what it leads to is whole, a broken one is made anew. */
static int load_header(single *s) {
  uint8_t page[SINGLE_PAGE];
  single_header_put(page);
  TRY(vfs_write_at(s->file, 0, page, sizeof page));
  return single_sync_below(s);
}

/* Everything but the header, sync, the header, sync: with a header, the rest is there. */
static int load_create(single *s) {
  uint8_t directory[FILE_KINDS] = {0};
  single_slot slot = single_first_slot();
  if (s->size > 0) TRY(vfs_truncate(s->file, 0));
  /* So that it grows from nothing, and nothing but zeros can be seen in it. Also when it is empty already: whoever cut
   * it may have died before that was durable. */
  TRY(single_sync_below(s));
  TRY(vfs_write_at(s->file, slot.offset, directory, sizeof directory));
  TRY(vfs_write_at(s->file, single_directory_copy(&slot), directory, sizeof directory));
  TRY(publish_slot(s, &slot, 0));
  TRY(publish_slot(s, &slot, 1));
  TRY(single_sync_below(s));
  return load_header(s);
}

static int load_open(single *s) {
  bool writable = (s->base.traits & VFS_READ_ONLY) == 0;
  int rc = vfs_open(s->below, FILE_SINGLE, 0, writable ? VFS_WRITE : 0, &s->file);
  if (rc == VARVE_MISSING && writable && (s->flags & VFS_PLACE_CREATE) != 0) {
    rc = vfs_open(s->below, FILE_SINGLE, 0, VFS_CREATE, &s->file);
  }
  if (rc == VARVE_MISSING) rc = status_fail(VARVE_MISSING, "there is no database at %s", s->base.location);
  return rc;
}

/* An empty place that may not be written to: no files. */
static int load_nothing(single *s) {
  s->generation = 0;
  s->sound_slot = s->newest_slot = 0;
  return single_space_init(s->base.alloc, &s->space);
}

/* The directory that was found was not promised when it was written, and now it is: it is written as one that was, lest
 * one damaged bit lead back to an older one. On a full disk it stays as it is. */
static int load_repeat(single *s) {
  int rc = publish_write(s, true);
  return rc == VARVE_FULL ? VARVE_OK : rc;
}

INTERNAL int single_load(single *s) {
  bool writable = (s->base.traits & VFS_READ_ONLY) == 0;
  ASSERT(!writable || (s->flags & VFS_PLACE_SALVAGE) == 0);
  s->base.traits &= ~VFS_LOST;
  const size_t head = (size_t)(SINGLE_FIRST_PAGE + 1) * SINGLE_PAGE;
  int rc = VARVE_OK;
  ASSERT(s->file == NULL && s->count == 0);
  uint8_t *pages = mem_alloc(s->base.alloc, head);
  if (pages == NULL) return mem_fail(head, "the header of a file");
  STEP(load_open(s));
  STEP(vfs_size(s->file, &s->size));
  STEP(load_bytes(s, 0, pages, head));
  rc = single_header_check(s, pages, s->size);
  if (rc == VARVE_MISSING && writable) {
    STEP(load_create(s));
    STEP(vfs_size(s->file, &s->size));
    STEP(load_bytes(s, 0, pages, head));
    rc = VARVE_OK;
  }
  bool sound = true, header = rc != VARVE_CORRUPT;
  bool salvage = (s->flags & VFS_PLACE_SALVAGE) != 0;
  if (rc == VARVE_OK || rc == VARVE_CORRUPT) rc = load_newest(s, pages, &sound); /* a header says nothing of its own */
  if (rc == VARVE_MISSING) rc = load_nothing(s);
  if (salvage && (rc == VARVE_CORRUPT || rc == VARVE_NOT_DATABASE)) {
    load_clear(s);
    rc = single_salvage_load(s, rc);
  }
  if (rc < 0) goto out;
  s->high = MAX(s->size, single_space_top(&s->space) * SINGLE_PAGE);
  s->cut = false;
  s->change = s->names_changed = s->published = s->durable = 0;
  if (writable) {
    STEP(publish_reserve(s));
    STEP(single_sync_below(s));
    STEP(vfs_sync_dir(s->below)); /* whoever made the file may have died before its name was durable */
    if (!header) STEP(load_header(s));
    if (!sound) STEP(load_repeat(s));
    STEP(publish_cut(s, 1));
  }
out:
  mem_free(s->base.alloc, pages, head);
  if (rc < 0) {
    char message[STATUS_MESSAGE_SIZE];
    status_keep_message(message);
    (void)single_unload(s);
    status_set_message(message);
  }
  return rc;
}

INTERNAL int single_unload(single *s) {
  load_clear(s);
  int rc = vfs_close(s->file);
  s->file = NULL;
  return rc;
}

#undef SINGLE_CUT_BYTES
#undef SINGLE_ROOM_FIRST
#undef SINGLE_MOVE_PAGES
