/* repair_pages.h: what the files of the repair share that look at pages (repair_pages.c, repair_pages_tables.c). */
#ifndef VARVE_REPAIR_PAGES_H
#define VARVE_REPAIR_PAGES_H

#include "lsm/repair.h"

#define PAGES_FIRST      4u                  /* header and slots are none of a file's */
#define PAGES_NAMELESS   (UINT64_C(1) << 54) /* plus the page: a number for a file whose own is lost or taken */
#define PAGES_NUMBER_MAX ((UINT64_C(1) << 54) - 1)

/* The beginning of a log or manifest, or the footer of a table. */
typedef struct pages_part {
  file_kind kind;
  uint64_t number;
  uint64_t at;       /* the first page; of a table where its footer ends, for it may lie in pieces */
  uint64_t size;     /* of a table, else 0 */
  vfs_piece *pieces; /* as an old directory has them; NULL = from `at` on in one piece */
  size_t count;
} pages_part;

struct repair_pages {
  repair_window all;
  uint64_t pages; /* of the file */
  uint8_t *taken; /* a bit for each page that an adopted table or manifest, or SUPER, has */
  pages_part *parts;
  size_t count, room;
  uint64_t super_at[2], super_generation[2]; /* of the slots; at 0 = none */
  uint64_t number_max;                       /* of tables and manifests */
  uint64_t budget;                           /* bytes that may still be checksummed to find tables without a footer */
};

/* Whether no page of it is taken; takes them. Pages behind the end are nobody's. */
INTERNAL bool repair_pages_free(const repair_pages *p, const vfs_piece *piece);
INTERNAL void repair_pages_take(repair_pages *p, const vfs_piece *piece);
/* The first part that is not before `key`: logs and manifests by place, then tables by number, the highest first, and
 * by size. */
INTERNAL size_t repair_pages_find(const repair_pages *p, const pages_part *key);
/* From page `at` on: where the next log or manifest begins, or what is taken. */
INTERNAL uint64_t repair_pages_stop(const repair_pages *p, uint64_t at);
/* Whether a file of this kind and number was adopted. */
INTERNAL int repair_pages_has(const repair *r, file_kind kind, uint64_t number, bool *has);
/* Adopts a file, and adds it to the source's. */
INTERNAL int repair_pages_adopt(repair *r, file_kind kind, uint64_t number, uint64_t size, const vfs_piece *pieces,
                                size_t count);

#endif
