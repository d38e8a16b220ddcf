/* tuple.h: lists of values as bytes in the order of the lists: docs/FORMAT.md, "Tuples", has each byte.
 *
 * The public structs of varve.h are used as they are; api_tuple.c checks what a caller gives.
 */
#ifndef VARVE_TUPLE_H
#define VARVE_TUPLE_H

#include "base/coding.h"
#include "base/status.h"

#define TUPLE_DEPTH_MAX 32u

/* Appends one element. LIMIT when there is no room, INVALID for what has no order; then nothing was written. */
INTERNAL int tuple_put(varve_tuple *t, const varve_tuple_element *element);

/* The next element: OK, DONE, CORRUPT (these bytes are no tuple), LIMIT (the scratch is smaller than the tuple). */
INTERNAL int tuple_next(varve_tuple_reader *r, varve_tuple_element *element);

#endif
