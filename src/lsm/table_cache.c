/* table_cache.c: open readers of tables, kept with their meta.
 *
 * A table is opened at its first use and stays open until its meta goes: what it holds is mapped, or an index and a
 * filter that count against the cache's bound. Tables are mapped while all of them together fit half of the machine's
 * memory.
 */
#include "lsm/lsm_int.h"

static int table_cache_open(lsm *l, table_meta *meta, table **t) {
  int rc = VARVE_OK;
  mutex_lock(&l->open_lock);
  *t = atomic_load_explicit(&meta->reader, memory_order_acquire);
  if (*t == NULL) {
    bool map = !l->options.no_mmap && (l->env->fs->traits & VFS_MAP_READ) != 0 &&
               l->mapped_bytes + meta->size <= l->mapped_bytes_max;
    rc = table_open(l->env, l->cache, meta->number, meta->size, map, t);
    if (rc == VARVE_OK) {
      if (table_mapped(*t)) l->mapped_bytes += meta->size;
      atomic_store_explicit(&meta->reader, *t, memory_order_release);
    }
  }
  mutex_unlock(&l->open_lock);
  return rc;
}

INTERNAL int table_cache_get(lsm *l, table_meta *meta, table **t) {
  *t = atomic_load_explicit(&meta->reader, memory_order_acquire);
  if (LIKELY(*t != NULL)) return VARVE_OK;
  return table_cache_open(l, meta, t);
}

INTERNAL void table_cache_released(table_meta *meta, void *context) {
  lsm *l = context;
  table *t = atomic_load(&meta->reader);
  if (t != NULL) {
    if (table_mapped(t)) {
      mutex_lock(&l->open_lock);
      ASSERT(l->mapped_bytes >= meta->size);
      l->mapped_bytes -= meta->size;
      mutex_unlock(&l->open_lock);
    }
    table_close(t);
  }
  if (!atomic_load(&meta->obsolete)) return;
  block_cache_forget(l->cache, meta->number);
  mutex_lock(&l->state_lock);
  if (l->dead_count == l->dead_capacity) {
    size_t more = MAX((size_t)64, 2 * l->dead_capacity);
    uint64_t *grown = mem_resize(l->env->alloc, l->dead, l->dead_capacity * sizeof *grown, more * sizeof *grown);
    if (grown != NULL) {
      l->dead = grown;
      l->dead_capacity = more;
    }
  }
  /* Without memory for the list this one waits for the next open, which removes what no version names. */
  if (l->dead_count < l->dead_capacity) l->dead[l->dead_count++] = meta->number;
  mutex_unlock(&l->state_lock);
}
