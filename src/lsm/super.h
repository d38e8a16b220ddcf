/* super.h: SUPER, the root of a database: two slots, written in turn, the valid one with the higher generation wins.
 *
 *   slot, 4,096 bytes, at 0 and 4,096; generation g is in slot g & 1
 *    0  8  magic "VARVE\0DB"        40  8  manifest number
 *    8  4  format version (1)       48  4  flags: 1 = this is a backup: open it for reading, or restore it
 *   12  4  zero                     52     zeros
 *   16  8  generation             4088  8  XXH64 of bytes 0 .. 4087, seed 0
 *   24 16  database id, random
 *
 * A slot is written only after what it names was synced, file and name: so whichever slot survives names a whole
 * manifest. Every state is written twice, into both slots with two generations: the second time when the first one is
 * durable. From generation 2 on the database has, or had, a log.
 */
#ifndef VARVE_SUPER_H
#define VARVE_SUPER_H

#include "env/env.h"

#define FORMAT_VERSION  1u
#define SUPER_SLOT_SIZE 4096u
#define SUPER_BACKUP    1u

typedef struct super {
  uint64_t generation;
  uint8_t id[16];
  uint64_t manifest;
  uint32_t flags;
  uint32_t mate; /* of what super_read found: how the other slot stands to it (SUPER_MATE_*) */
} super;

#define SUPER_MATE_SAME   0u /* it says the same, so that either slot may be lost */
#define SUPER_MATE_OTHER  1u /* it is older, or was never written */
#define SUPER_MATE_BROKEN 2u /* it is not whole: a torn write, or damage */

/* Reads the newer valid slot. MISSING when there is no SUPER file, or it is empty and so is the place (creation was
 * cut short); NOT_DATABASE when neither slot has the magic; NEWER_FORMAT when the newest readable slot has a higher
 * version (checked before the checksum's scope may change: the magic and version alone decide); CORRUPT when no slot
 * is valid. */
INTERNAL int super_read(env *e, super *s);
/* The same of the place that a copy is written to: tables beside an empty SUPER are those of a copy that was cut short,
 * and MISSING, too. */
INTERNAL int super_read_target(env *e, super *s);

/* Writes s with generation + 1 (stored back) into its slot and syncs. Creates the file, both slots zero, and syncs the
 * directory when there is none. */
INTERNAL int super_write(env *e, super *s);

#endif
