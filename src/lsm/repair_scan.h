/* repair_scan.h: finding the sections of a table whose footer or index is lost. */
#ifndef VARVE_REPAIR_SCAN_H
#define VARVE_REPAIR_SCAN_H

#include "lsm/block.h"
#include "lsm/repair.h"
#include "lsm/sst_format.h"

typedef enum repair_found { FOUND_NOTHING, FOUND_BLOCK, FOUND_RANGES, FOUND_INDEX } repair_found;

typedef struct repair_scan {
  repair_window *window;
  uint64_t number; /* of the table */
  uint64_t end;    /* no section goes on beyond this */
  uint64_t budget; /* bytes that may still be looked at for candidates that turn out to be none */
  uint8_t *raw;    /* the last compressed block, inflated */
  size_t raw_room;
} repair_scan;

INTERNAL void repair_scan_init(repair_scan *s, repair_window *w, uint64_t number, uint64_t end);
INTERNAL void repair_scan_free(repair_scan *s);

/* The block that is stored in the `size` bytes at `offset`, wholly checked; CORRUPT with a message when it is not
 * whole. It is valid until the next call. */
INTERNAL int repair_scan_block(repair_scan *s, uint64_t offset, uint64_t size, block *b);

typedef struct repair_section {
  repair_found kind;
  uint64_t size; /* as stored */
  block block;   /* of a BLOCK */
  slice payload; /* of RANGES and INDEX; borrowed until the next call */
} repair_section;

/* What begins at `offset`, a multiple of 8, if it is anything. OK also when nothing does. */
INTERNAL int repair_scan_at(repair_scan *s, uint64_t offset, repair_section *found);

/* Whether the first bytes of a block may be these; rarely true of others. */
INTERNAL bool repair_scan_like(const uint8_t *p, uint64_t size);

#endif
