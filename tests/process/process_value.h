/* process_value.h: values that say what they are, so that whoever reads one can check every byte of it. The text
 *
 *     "<id> <size> " and filler up to <size> bytes
 *
 * where byte i of the filler depends on the id and on i. process_value.mjs makes the same bytes. */
#ifndef PROCESS_VALUE_H
#define PROCESS_VALUE_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define PROCESS_VALUE_MIN 48u
#define PROCESS_VALUE_MAX (1u << 17)

static inline uint32_t process_value_hash(const char *id, size_t size) {
  uint32_t hash = 2166136261u;
  for (size_t i = 0; i < size; i++) hash = (hash ^ (uint8_t)id[i]) * 16777619u;
  return hash;
}

/* Writes `size` bytes, PROCESS_VALUE_MIN at the least, to `value`. */
static inline void process_value_make(char *value, const char *id, uint32_t size) {
  uint32_t hash = process_value_hash(id, strlen(id)) >> 8;
  uint32_t at = (uint32_t)snprintf(value, PROCESS_VALUE_MIN, "%s %u ", id, size);
  for (; at < size; at++) value[at] = (char)('a' + (hash + at * 7 + (at >> 5) * (hash & 15)) % 26);
}

/* Whether these bytes are a value; then its id, of at most 31 bytes, is in `id`. `work` has PROCESS_VALUE_MAX bytes. */
static inline int process_value_check(const char *value, size_t size, char *id, char *work) {
  if (size < PROCESS_VALUE_MIN || size > PROCESS_VALUE_MAX) return 0;
  const char *blank = memchr(value, ' ', 32);
  if (blank == NULL) return 0;
  memcpy(id, value, (size_t)(blank - value));
  id[blank - value] = '\0';
  process_value_make(work, id, (uint32_t)size);
  return memcmp(work, value, size) == 0;
}

#endif
