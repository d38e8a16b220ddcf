/* xxh64.h: XXH64, written from the public specification (xxHash fast digest algorithm, Y. Collet, version 0.1.1).
 * Checksums of files and hashes of filters; not cryptographic. */
#ifndef VARVE_XXH64_H
#define VARVE_XXH64_H

#include "base/base.h"

INTERNAL uint64_t xxh64(const void *data, size_t size, uint64_t seed);

#endif
