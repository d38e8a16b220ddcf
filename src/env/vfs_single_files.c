/* vfs_single_files.c: the bytes of files in a single file: extents, growing, cutting, reading, writing.
 *
 *     file bytes   0 .............. size ......... room
 *                  extent 0 | extent 1        | slack, in no directory
 *
 * Pages are taken some ahead of what is written, the more the longer the file is, so that it has few extents; what was
 * not used is given back when the file is closed. No lock is held while bytes are read or written: extents of an open
 * file stay where they are until they are cut off, and pages that were cut off are nobody else's until a directory
 * without them is durable.
 *
 * Invariants
 *   1. A file's size covers only bytes that were written below, or that are zero there.
 *   2. In a log, zeros over pages that held something else are synced before a directory names them.
 */
#include "env/vfs_single.h"

#include "base/limits.h"

#define GROW_PAGES_MIN 16u
/* A log in one extent can be mapped, where maps work: room for one that goes with a memtable of the usual size. */
#define GROW_PAGES_LOG   ((MEMTABLE_BYTES_DEFAULT + 2u * WAL_CHUNK_BYTES) / SINGLE_PAGE)
#define GROW_PAGES_MAX   (16u * MiB / SINGLE_PAGE)
#define FILES_ZERO_BYTES (64u * KiB)

/* ---- extents; guard is held ---- */

INTERNAL void single_node_free(single *s, single_node *node) {
  ASSERT(s->extents >= node->count);
  s->extents -= node->count;
  mem_free(s->base.alloc, node->extents, node->room * sizeof *node->extents);
  MEM_DELETE(s->base.alloc, node);
}

INTERNAL int single_node_room(single *s, single_node *node) {
  if (node->count < node->room) return VARVE_OK;
  size_t room = node->room == 0 ? 2 : 2 * node->room; /* most files have one extent */
  single_extent *grown = mem_resize(s->base.alloc, node->extents, node->room * sizeof *grown, room * sizeof *grown);
  if (grown == NULL) return mem_fail(room * sizeof *grown, "the extents of a file");
  node->extents = grown;
  node->room = room;
  return VARVE_OK;
}

/* Pages of a file that it gives up, the first `shown` of which a directory on disk may name. */
static void files_give(single *s, single_range r, uint64_t shown, uint64_t change) {
  uint64_t pages = r.end - r.start;
  shown = MIN(shown, pages);
  single_range named = {r.start, r.start + shown}, rest = {r.start + shown, r.end};
  single_space_give(s->base.alloc, &s->space, rest);
  if (shown == 0) return;
  if (s->pending_count == s->pending_room) { /* large from the start: a failure here costs pages */
    size_t room = s->pending_room == 0 ? 64 : 2 * s->pending_room;
    single_pending *grown =
        mem_resize(s->base.alloc, s->pending, s->pending_room * sizeof *grown, room * sizeof *grown);
    if (grown == NULL) return; /* unused until the file is opened the next time */
    s->pending = grown;
    s->pending_room = room;
  }
  s->pending[s->pending_count++] = (single_pending){named, change};
  if (change > s->durable) return;
  s->pending_count--;
  single_space_give(s->base.alloc, &s->space, named);
}

INTERNAL void single_node_cut(single *s, single_node *node, uint64_t keep, uint64_t change) {
  while (node->count > 0) {
    single_extent *e = &node->extents[node->count - 1];
    if (e->first + e->pages <= keep) break;
    uint64_t kept = keep > e->first ? keep - e->first : 0;
    single_range given = {e->page + kept, e->page + e->pages};
    uint64_t from = e->first + kept;
    files_give(s, given, node->shown > from ? node->shown - from : 0, change);
    e->pages = kept;
    e->dirty = MIN(e->dirty, kept * SINGLE_PAGE);
    if (kept > 0) break;
    node->count--;
    s->extents--;
  }
}

INTERNAL void single_node_release(single *s, single_node *node) {
  ASSERT(node->removed && node->opens == 0);
  single_node_cut(s, node, 0, node->gone);
  single_node_free(s, node);
}

static uint64_t files_room(const single_node *node) {
  if (node->count == 0) return 0;
  const single_extent *last = &node->extents[node->count - 1];
  return last->first + last->pages;
}

/* How many bytes from the extent's start may be other than zero, when pages from `from` on are new in it. */
static uint64_t files_dirty(const single *s, const single_extent *e, uint64_t from) {
  uint64_t start = e->page * SINGLE_PAGE, length = e->pages * SINGLE_PAGE;
  if (s->high <= start + from * SINGLE_PAGE) return e->dirty;
  return MAX(e->dirty, MIN(length, s->high - start));
}

static void files_handed_out(single *s, uint64_t end_page) {
  uint64_t end = end_page * SINGLE_PAGE;
  s->high = MAX(s->high, end);
  s->cut_high = MAX(s->cut_high, end);
}

/* More pages behind the last extent, where they are free. */
static void files_extend(single *s, single_node *node, uint64_t want) {
  if (node->count == 0) return;
  single_extent *e = &node->extents[node->count - 1];
  uint64_t before = e->pages;
  e->pages += single_space_extend(&s->space, e->page + e->pages, want);
  e->dirty = files_dirty(s, e, before);
  files_handed_out(s, e->page + e->pages);
}

static int files_full(const single *s, const single_node *node, uint64_t size) {
  return status_fail(VARVE_FULL, "%s: %s cannot grow to %llu bytes", s->base.location,
                     file_name(node->kind, node->number), (unsigned long long)size);
}

/* Pages for `size` bytes. */
static int files_grow(single *s, single_node *node, uint64_t size) {
  uint64_t pages = single_pages(size), have = files_room(node);
  if (pages <= have) return VARVE_OK;
  bool large = node->kind == FILE_WAL || node->kind == FILE_SST;
  bool mapped = node->kind == FILE_WAL && (s->base.traits & VFS_MAP_WRITE) != 0;
  uint64_t least = mapped ? GROW_PAGES_LOG : large ? GROW_PAGES_MIN : 1;
  uint64_t ahead = MIN(MAX(have, least), large ? GROW_PAGES_MAX : GROW_PAGES_MIN);
  files_extend(s, node, MAX(pages - have, ahead));
  have = files_room(node);
  if (pages <= have) return VARVE_OK;
  TRY(single_node_room(s, node));
  single_range r = single_space_take(&s->space, pages - have, MAX(pages - have, ahead));
  if (r.end == 0) return files_full(s, node, size);
  single_extent e = {r.start, r.end - r.start, have, 0};
  e.dirty = files_dirty(s, &e, 0);
  files_handed_out(s, r.end);
  node->extents[node->count++] = e;
  s->extents++;
  ASSERT(files_room(node) >= pages);
  return VARVE_OK;
}

/* The extent that holds byte `offset` of the file. */
static single_extent *files_find(const single_node *node, uint64_t offset) {
  size_t low = 0, high = node->count;
  uint64_t page = offset / SINGLE_PAGE;
  while (high - low > 1) {
    size_t middle = low + (high - low) / 2;
    if (node->extents[middle].first <= page) {
      low = middle;
    } else {
      high = middle;
    }
  }
  ASSERT(low < node->count && page - node->extents[low].first < node->extents[low].pages);
  return &node->extents[low];
}

/* ---- pieces: what lies below in one run; guard is taken ---- */

typedef struct files_piece {
  uint64_t at; /* below */
  uint64_t size;
  uint64_t dirty; /* of it, from its start, that may be other than zero */
} files_piece;

/* `written` = it is going to be written to. */
static files_piece files_locate(single *s, single_node *node, uint64_t offset, uint64_t size, bool written) {
  mutex_lock(&s->guard);
  single_extent *e = files_find(node, offset);
  uint64_t inside = offset - e->first * SINGLE_PAGE;
  files_piece p = {e->page * SINGLE_PAGE + inside, MIN(size, e->pages * SINGLE_PAGE - inside), 0};
  p.dirty = e->dirty > inside ? MIN(e->dirty - inside, p.size) : 0;
  if (written) e->dirty = MAX(e->dirty, inside + p.size);
  mutex_unlock(&s->guard);
  return p;
}

INTERNAL int single_read_at(vfs_file *file, uint64_t offset, void *data, size_t size, size_t *got) {
  single *s = single_of(file->fs);
  single_node *node = single_file_of(file)->node;
  mutex_lock(&s->guard);
  uint64_t end = node->size;
  mutex_unlock(&s->guard);
  size_t left = offset >= end ? 0 : (size_t)MIN((uint64_t)size, end - offset);
  uint8_t *out = data;
  *got = left;
  while (left > 0) {
    files_piece p = files_locate(s, node, offset, left, false);
    size_t done;
    TRY(vfs_read_at(s->file, p.at, out, (size_t)p.size, &done));
    bool salvage = (s->flags & VFS_PLACE_SALVAGE) != 0;
    if (done < p.size && salvage) memset(out + done, 0, (size_t)p.size - done);
    if (done < p.size && !salvage) {
      return status_fail(VARVE_CORRUPT, "%s is cut short: %s has bytes at offset %llu; restore it from a backup",
                         s->base.location, file_name(file->kind, file->number), (unsigned long long)(p.at + done));
    }
    out += p.size;
    offset += p.size;
    left -= (size_t)p.size;
  }
  return VARVE_OK;
}

static int files_write(single *s, single_node *node, uint64_t offset, const uint8_t *data, size_t size) {
  while (size > 0) {
    files_piece p = files_locate(s, node, offset, size, true);
    TRY(vfs_write_at(s->file, p.at, data, (size_t)p.size));
    mutex_lock(&s->guard);
    s->size = MAX(s->size, p.at + p.size);
    mutex_unlock(&s->guard);
    data += p.size;
    offset += p.size;
    size -= (size_t)p.size;
  }
  return VARVE_OK;
}

/* Makes bytes [from, to) of the file zero where they may be something else, and the file below long enough for them. */
static int files_zero(single *s, single_node *node, uint64_t from, uint64_t to, bool reserve, bool *zeroed) {
  uint8_t *zeros = NULL;
  int rc = VARVE_OK;
  while (from < to) {
    files_piece p = files_locate(s, node, from, to - from, false);
    for (uint64_t done = 0; done < p.dirty;) {
      if (zeros == NULL) zeros = mem_zalloc(s->base.alloc, FILES_ZERO_BYTES);
      if (zeros == NULL) STEP(mem_fail(FILES_ZERO_BYTES, "zeros for a file"));
      size_t n = (size_t)MIN(p.dirty - done, (uint64_t)FILES_ZERO_BYTES);
      STEP(vfs_write_at(s->file, p.at + done, zeros, n));
      done += n;
      *zeroed = true;
    }
    mutex_lock(&s->guard);
    if (p.dirty > 0) s->size = MAX(s->size, p.at + p.dirty); /* else nothing was written yet */
    bool beyond = p.at + p.size > s->size;
    mutex_unlock(&s->guard);
    if (beyond) {
      STEP(reserve ? vfs_allocate(s->file, p.at + p.size) : vfs_write_at(s->file, p.at + p.size - 1, "", 1));
      mutex_lock(&s->guard);
      s->size = MAX(s->size, p.at + p.size);
      mutex_unlock(&s->guard);
    }
    from += p.size;
  }
out:
  mem_free(s->base.alloc, zeros, FILES_ZERO_BYTES);
  return rc;
}

/* ---- changing ---- */

static int files_writable(const vfs_file *file) {
  if (LIKELY(single_file_of((vfs_file *)(uintptr_t)file)->writable)) return VARVE_OK;
  return status_fail(VARVE_READONLY, "%s is open for reading only", file_name(file->kind, file->number));
}

/* Takes room for `size` bytes; *before = the size as it is. */
static int files_prepare(single *s, single_node *node, uint64_t size, uint64_t *before) {
  int rc = VARVE_OK;
  mutex_lock(&s->guard);
  *before = node->size;
  bool fits = size <= files_room(node) * SINGLE_PAGE;
  mutex_unlock(&s->guard);
  if (LIKELY(fits)) return VARVE_OK;
  TRY(single_make_room(s));
  mutex_lock(&s->guard);
  rc = files_grow(s, node, size);
  mutex_unlock(&s->guard);
  return rc;
}

/* The file has `size` bytes now, if it did not have more. A log's size outlives the death of the process. */
static int files_finish(single *s, single_node *node, uint64_t size, bool zeroed) {
  mutex_lock(&s->guard);
  if (size > node->size) {
    node->size = size;
    node->changed = ++s->change;
    if (node->kind == FILE_WAL && zeroed) s->unsynced_zeros = true;
  }
  uint64_t changed = node->changed;
  bool publish = node->kind == FILE_WAL && !node->removed && changed > s->published;
  mutex_unlock(&s->guard);
  return publish ? single_publish(s, changed, false) : VARVE_OK;
}

INTERNAL int single_write_at(vfs_file *file, uint64_t offset, const void *data, size_t size) {
  single *s = single_of(file->fs);
  single_node *node = single_file_of(file)->node;
  uint64_t before;
  bool zeroed = false;
  TRY(files_writable(file));
  if (size == 0) return VARVE_OK;
  if (offset > SINGLE_SIZE_MAX || size > SINGLE_SIZE_MAX - offset) return files_full(s, node, offset);
  TRY(files_prepare(s, node, offset + size, &before));
  if (offset > before) TRY(files_zero(s, node, before, offset, false, &zeroed));
  if (offset + size > before && node->kind == FILE_WAL) zeroed = true; /* over what may have held something else */
  TRY(files_write(s, node, offset, data, size));
  return files_finish(s, node, offset + size, zeroed);
}

INTERNAL int single_allocate(vfs_file *file, uint64_t size) {
  single *s = single_of(file->fs);
  single_node *node = single_file_of(file)->node;
  uint64_t before;
  bool zeroed = false;
  TRY(files_writable(file));
  if (size > SINGLE_SIZE_MAX) return files_full(s, node, size);
  TRY(files_prepare(s, node, size, &before));
  if (size > before) TRY(files_zero(s, node, before, size, true, &zeroed));
  return files_finish(s, node, size, zeroed);
}

INTERNAL int single_truncate(vfs_file *file, uint64_t size) {
  single *s = single_of(file->fs);
  single_node *node = single_file_of(file)->node;
  int rc = VARVE_OK;
  TRY(files_writable(file));
  mutex_lock(&s->guard);
  if (size > node->size) {
    rc = status_fail(VARVE_INVALID, "%s has %llu bytes and cannot be cut to %llu", file_name(file->kind, file->number),
                     (unsigned long long)node->size, (unsigned long long)size);
  } else if (size < node->size) {
    node->size = size;
    node->sound = MIN(node->sound, size);
    node->snap = MIN(node->snap, size);
    node->changed = ++s->change;
    single_node_cut(s, node, single_pages(size), node->changed);
  }
  mutex_unlock(&s->guard);
  return rc;
}

INTERNAL int single_size(vfs_file *file, uint64_t *size) {
  single *s = single_of(file->fs);
  mutex_lock(&s->guard);
  *size = single_file_of(file)->node->size;
  mutex_unlock(&s->guard);
  return VARVE_OK;
}

INTERNAL int single_sync(vfs_file *file) {
  single *s = single_of(file->fs);
  const single_node *node = single_file_of(file)->node;
  if ((s->base.traits & VFS_READ_ONLY) != 0) {
    return status_fail(VARVE_READONLY, "%s is open for reading only", file_name(file->kind, file->number));
  }
  mutex_lock(&s->guard);
  uint64_t changed = node->removed ? 0 : node->changed;
  bool named = changed <= s->durable;
  mutex_unlock(&s->guard);
  return named ? single_sync_below(s) : single_publish(s, changed, true);
}

/* ---- maps ---- */

/* Only of a file in one extent: a log that was allocated at once. The map below begins with the first byte of all, for
 * maps have no offset; addresses are not scarce. */
INTERNAL int single_map_file(vfs_file *file, size_t size, bool writable, void **data) {
  single *s = single_of(file->fs);
  single_file *self = single_file_of(file);
  single_node *node = self->node;
  int rc = VARVE_OK;
  uint64_t start = 0;
  ASSERT(size > 0);
  *data = NULL;
  if (writable) TRY(files_writable(file));
  uint32_t trait = writable ? VFS_MAP_WRITE : VFS_MAP_READ;
  bool can = (s->base.traits & trait) != 0;
  mutex_lock(&s->guard);
  bool inside = size <= node->size;
  bool single_extent_holds = node->count > 0 && size <= node->extents[0].pages * SINGLE_PAGE;
  if (can && inside && single_extent_holds) {
    start = node->extents[0].page * SINGLE_PAGE;
    if (writable) node->extents[0].dirty = node->extents[0].pages * SINGLE_PAGE;
  }
  mutex_unlock(&s->guard);
  if (!inside)
    return status_fail(VARVE_CORRUPT, "%s is cut short: %zu bytes are to be mapped",
                       file_name(file->kind, file->number), size);
  if (start == 0 || start + size > PTRDIFF_MAX) {
    return status_fail(VARVE_UNSUPPORTED, "%s cannot be mapped here", file_name(file->kind, file->number));
  }
  single_map *map = MEM_NEW(s->base.alloc, single_map);
  if (map == NULL) return mem_fail(sizeof *map, "a map");
  map->size = (size_t)start + size;
  STEP(vfs_map(s->file, map->size, writable, &map->below));
  *data = map->data = (uint8_t *)map->below + start;
  mutex_lock(&s->guard);
  map->next = self->maps;
  self->maps = map;
  mutex_unlock(&s->guard);
  return VARVE_OK;
out:
  MEM_DELETE(s->base.alloc, map);
  return rc;
}

static int files_unmap(single *s, single_map *map) {
  int rc = vfs_unmap(s->file, map->below, map->size);
  MEM_DELETE(s->base.alloc, map);
  return rc;
}

INTERNAL int single_unmap_file(vfs_file *file, void *data, size_t size) {
  single *s = single_of(file->fs);
  mutex_lock(&s->guard);
  single_map **link = &single_file_of(file)->maps;
  while (*link != NULL &&
         ((*link)->data != data || (*link)->size - size != (size_t)((uint8_t *)data - (uint8_t *)(*link)->below))) {
    link = &(*link)->next;
  }
  single_map *map = *link;
  ASSERT(map != NULL);
  *link = map->next;
  mutex_unlock(&s->guard);
  return files_unmap(s, map);
}

INTERNAL int single_unmap_all(vfs_file *file) {
  single *s = single_of(file->fs);
  int rc = VARVE_OK;
  mutex_lock(&s->guard);
  single_map *maps = single_file_of(file)->maps;
  single_file_of(file)->maps = NULL;
  mutex_unlock(&s->guard);
  while (maps != NULL) {
    single_map *next = maps->next;
    ALSO(files_unmap(s, maps));
    maps = next;
  }
  return rc;
}

#undef GROW_PAGES_MIN
#undef GROW_PAGES_LOG
#undef GROW_PAGES_MAX
#undef FILES_ZERO_BYTES
