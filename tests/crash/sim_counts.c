/* sim_counts.c: adding up what the runs reached, and finding what they did not. */
#include "sim_counts.h"

#include <stdio.h>

const char *const sim_count_names[SIM_COUNT_NAMES] = {
#define SIM_COUNT_NAME(name, places) #name,
    SIM_COUNT_MAP(SIM_COUNT_NAME)
#undef SIM_COUNT_NAME
};

const char *const sim_fault_names[SIM_FAULTS] = {
#define SIM_FAULT_NAME(name, text) text,
    SIM_FAULT_MAP(SIM_FAULT_NAME)
#undef SIM_FAULT_NAME
};

const char *const sim_call_names[SIM_CALLS] = {"open",     "create", "close", "read",  "write", "allocate",
                                               "truncate", "size",   "sync",  "map",   "unmap", "remove",
                                               "sync_dir", "list",   "lock",  "unlock"};

enum { COUNTS_DIR = 1, COUNTS_SINGLE = 2, COUNTS_BOTH = 3, COUNTS_NAME_MAX = 80 };

static const uint8_t counts_places[SIM_COUNT_NAMES] = {
#define SIM_COUNT_PLACES(name, places) COUNTS_##places,
    SIM_COUNT_MAP(SIM_COUNT_PLACES)
#undef SIM_COUNT_PLACES
};

/* Which calls a fault must have struck, on files of which kinds. */
static const struct {
  uint8_t fault, call, kind;
} counts_sites[] = {
    {SIM_FAULT_full, SIM_CALL_write, FILE_MANIFEST},    {SIM_FAULT_full, SIM_CALL_write, FILE_SST},
    {SIM_FAULT_full, SIM_CALL_allocate, FILE_WAL},      {SIM_FAULT_full, SIM_CALL_create, FILE_WAL},
    {SIM_FAULT_full, SIM_CALL_create, FILE_SST},        {SIM_FAULT_full, SIM_CALL_create, FILE_MANIFEST},
    {SIM_FAULT_write, SIM_CALL_write, FILE_SUPER},      {SIM_FAULT_write, SIM_CALL_write, FILE_MANIFEST},
    {SIM_FAULT_write, SIM_CALL_write, FILE_WAL},        {SIM_FAULT_write, SIM_CALL_write, FILE_SST},
    {SIM_FAULT_write, SIM_CALL_allocate, FILE_WAL},     {SIM_FAULT_write, SIM_CALL_truncate, FILE_WAL},
    {SIM_FAULT_torn, SIM_CALL_write, FILE_SUPER},       {SIM_FAULT_torn, SIM_CALL_write, FILE_MANIFEST},
    {SIM_FAULT_torn, SIM_CALL_write, FILE_WAL},         {SIM_FAULT_torn, SIM_CALL_write, FILE_SST},
    {SIM_FAULT_sync, SIM_CALL_sync, FILE_SUPER},        {SIM_FAULT_sync, SIM_CALL_sync, FILE_MANIFEST},
    {SIM_FAULT_sync, SIM_CALL_sync, FILE_WAL},          {SIM_FAULT_sync, SIM_CALL_sync, FILE_SST},
    {SIM_FAULT_sync, SIM_CALL_sync_dir, FILE_SUPER},    {SIM_FAULT_read, SIM_CALL_read, FILE_SUPER},
    {SIM_FAULT_read, SIM_CALL_read, FILE_MANIFEST},     {SIM_FAULT_read, SIM_CALL_read, FILE_WAL},
    {SIM_FAULT_read, SIM_CALL_read, FILE_SST},          {SIM_FAULT_name, SIM_CALL_create, FILE_WAL},
    {SIM_FAULT_name, SIM_CALL_create, FILE_SST},        {SIM_FAULT_name, SIM_CALL_remove, FILE_SST},
    {SIM_FAULT_name, SIM_CALL_remove, FILE_WAL},        {SIM_FAULT_misdirect, SIM_CALL_write, FILE_WAL},
    {SIM_FAULT_misdirect, SIM_CALL_write, FILE_SST},    {SIM_FAULT_lie, SIM_CALL_sync, FILE_WAL},
    {SIM_FAULT_lie, SIM_CALL_sync, FILE_SST},           {SIM_FAULT_full, SIM_CALL_write, FILE_SINGLE},
    {SIM_FAULT_write, SIM_CALL_write, FILE_SINGLE},     {SIM_FAULT_torn, SIM_CALL_write, FILE_SINGLE},
    {SIM_FAULT_sync, SIM_CALL_sync, FILE_SINGLE},       {SIM_FAULT_read, SIM_CALL_read, FILE_SINGLE},
    {SIM_FAULT_misdirect, SIM_CALL_write, FILE_SINGLE}, {SIM_FAULT_lie, SIM_CALL_sync, FILE_SINGLE},
};

static void counts_site_name(uint32_t i, char name[COUNTS_NAME_MAX]) {
  static const char *const kinds[] = {"SUPER", "manifest", "log", "table", "file"};
  (void)snprintf(name, COUNTS_NAME_MAX, "%s in %s of %s", sim_fault_names[counts_sites[i].fault],
                 sim_call_names[counts_sites[i].call], kinds[counts_sites[i].kind]);
}

void sim_counts_add(sim_counts *to, const sim_counts *from) {
  uint64_t *a = (uint64_t *)(void *)to;
  const uint64_t *b = (const uint64_t *)(const void *)from;
  static_assert(sizeof(sim_counts) % sizeof(uint64_t) == 0, "counters alone");
  for (size_t i = 0; i < sizeof *to / sizeof *a; i++) a[i] += b[i];
}

uint32_t sim_counts_missing(const sim_counts *c, bool directory, bool single,
                            void (*visit)(void *context, const char *name), void *context) {
  uint32_t missing = 0;
  unsigned ran = (directory ? COUNTS_DIR : 0u) | (single ? COUNTS_SINGLE : 0u);
  for (uint32_t i = 0; i < SIM_COUNT_NAMES; i++) {
    if (c->reached[i] > 0 || (counts_places[i] & ran) == 0) continue;
    missing++;
    visit(context, sim_count_names[i]);
  }
  for (uint32_t i = 0; i < COUNT_OF(counts_sites); i++) {
    bool in_single = counts_sites[i].kind == FILE_SINGLE;
    if (in_single ? !single : !directory) continue;
    if (c->faults[counts_sites[i].fault][counts_sites[i].call][counts_sites[i].kind] > 0) continue;
    char name[COUNTS_NAME_MAX];
    counts_site_name(i, name);
    missing++;
    visit(context, name);
  }
  return missing;
}

void sim_counts_print_json(const sim_counts *c) {
  printf("{\"seeds\":%llu,\"images\":%llu,\"operations\":%llu,\"calls\":%llu", (unsigned long long)c->seeds,
         (unsigned long long)c->images, (unsigned long long)c->operations, (unsigned long long)c->calls);
  for (uint32_t i = 0; i < SIM_COUNT_NAMES; i++) {
    const char *place = counts_places[i] == COUNTS_DIR ? "dir:" : counts_places[i] == COUNTS_SINGLE ? "single:" : "";
    printf(",\"%s%s\":%llu", place, sim_count_names[i], (unsigned long long)c->reached[i]);
  }
  for (uint32_t i = 0; i < COUNT_OF(counts_sites); i++) {
    char name[COUNTS_NAME_MAX];
    counts_site_name(i, name);
    bool single = counts_sites[i].kind == FILE_SINGLE;
    uint64_t count = c->faults[counts_sites[i].fault][counts_sites[i].call][counts_sites[i].kind];
    printf(",\"%s:%s\":%llu", single ? "single" : "dir", name, (unsigned long long)count);
  }
  printf("}\n");
}
