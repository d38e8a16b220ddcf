/* slice.h: borrowed bytes and their order (unsigned bytes, the shorter first on a tie). */
#ifndef VARVE_SLICE_H
#define VARVE_SLICE_H

#include "base/base.h"

typedef varve_slice slice;

static inline slice slice_make(const void *data, size_t size) {
  slice s = {data, size};
  return s;
}

static inline int slice_compare(slice a, slice b) {
  size_t n = MIN(a.size, b.size);
  int order = n == 0 ? 0 : memcmp(a.data, b.data, n);
  if (order != 0) return order;
  return (a.size > b.size) - (a.size < b.size);
}

static inline bool slice_equal(slice a, slice b) {
  return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool slice_starts_with(slice s, slice prefix) {
  return s.size >= prefix.size && (prefix.size == 0 || memcmp(s.data, prefix.data, prefix.size) == 0);
}

/* How many leading bytes a and b share. */
static inline size_t slice_common_prefix(slice a, slice b) {
  size_t n = MIN(a.size, b.size), i = 0;
  const uint8_t *pa = a.data, *pb = b.data;
  while (i < n && pa[i] == pb[i]) i++;
  return i;
}

#endif
