/* The simulated disk: what it keeps of a crash is what each mode promises, no more and no less. */
#include "sim_disk.h"
#include "support/test.h"

enum { ROUNDS = 300 };

typedef struct bed {
  sim_world world;
  sim_disk *disk;
} bed;

static bed the_bed;

static int bed_setup(void **state) {
  sim_world_init(&the_bed.world);
  the_bed.disk = sim_disk_create(&the_bed.world, VFS_MAP_READ | VFS_MAP_WRITE);
  *state = &the_bed;
  return 0;
}

/* Everything that a disk takes it gives back. */
static int bed_teardown(void **state) {
  bed *b = *state;
  sim_disk_destroy(b->disk);
  return b->world.disks.pieces == 0 ? 0 : -1;
}

static vfs_file *bed_open(sim_disk *d, uint64_t number, uint32_t flags) {
  vfs_file *file;
  TEST_OK(vfs_open(&d->base, FILE_WAL, number, flags, &file));
  return file;
}

static void bed_write(vfs_file *file, uint64_t offset, int byte, size_t size) {
  uint8_t bytes[8 * SIM_SECTOR];
  assert_true(size <= sizeof bytes);
  memset(bytes, byte, size);
  TEST_OK(vfs_write_at(file, offset, bytes, size));
}

/* What log `number` holds on that disk; SIZE_MAX when there is no such name. */
static size_t bed_read(sim_disk *d, uint64_t number, uint8_t *bytes, size_t room) {
  vfs_file *file;
  size_t got;
  int rc = vfs_open(&d->base, FILE_WAL, number, 0, &file);
  if (rc == VARVE_MISSING) return SIZE_MAX;
  TEST_OK(rc);
  TEST_OK(vfs_read_at(file, 0, bytes, room, &got));
  TEST_OK(vfs_close(file));
  return got;
}

/* A file of sector "a" that is durable, and 4 sectors of "b" over and behind it that are not. */
static void bed_half_synced(bed *b) {
  vfs_file *file = bed_open(b->disk, 1, VFS_CREATE);
  bed_write(file, 0, 'a', SIM_SECTOR);
  TEST_OK(vfs_sync(file));
  TEST_OK(vfs_sync_dir(&b->disk->base));
  for (uint32_t i = 0; i < 4; i++) bed_write(file, i * SIM_SECTOR, 'b', SIM_SECTOR);
  TEST_OK(vfs_close(file));
}

static void none_keeps_what_was_synced(void **state) {
  bed *b = *state;
  uint8_t bytes[4096];
  rng r = {1};
  bed_half_synced(b);
  sim_disk *image = sim_disk_crash(b->disk, &r, SIM_NONE);
  assert_int_equal(bed_read(image, 1, bytes, sizeof bytes), SIM_SECTOR);
  for (size_t i = 0; i < SIM_SECTOR; i++) assert_int_equal(bytes[i], 'a');
  sim_disk_destroy(image);
  /* The disk itself goes on. */
  assert_int_equal(bed_read(b->disk, 1, bytes, sizeof bytes), 4 * SIM_SECTOR);
  assert_int_equal(bytes[0], 'b');
}

static void none_loses_names(void **state) {
  bed *b = *state;
  uint8_t bytes[64];
  rng r = {1};
  vfs_file *file = bed_open(b->disk, 1, VFS_CREATE);
  bed_write(file, 0, 'a', 10);
  TEST_OK(vfs_sync(file));
  TEST_OK(vfs_close(file));
  sim_disk *image = sim_disk_crash(b->disk, &r, SIM_NONE);
  assert_true(bed_read(image, 1, bytes, sizeof bytes) == SIZE_MAX);
  sim_disk_destroy(image);
  TEST_OK(vfs_sync_dir(&b->disk->base));
  TEST_OK(vfs_remove(&b->disk->base, FILE_WAL, 1));
  image = sim_disk_crash(b->disk, &r, SIM_NONE);
  assert_int_equal(bed_read(image, 1, bytes, sizeof bytes), 10);
  sim_disk_destroy(image);
}

/* The process died: all is there, and a power cut after that still takes it. */
static void kill_keeps_all_unsynced(void **state) {
  bed *b = *state;
  uint8_t bytes[4096];
  rng r = {1};
  bed_half_synced(b);
  sim_disk *killed = sim_disk_crash(b->disk, &r, SIM_KILL);
  assert_int_equal(bed_read(killed, 1, bytes, sizeof bytes), 4 * SIM_SECTOR);
  sim_disk *cut = sim_disk_crash(killed, &r, SIM_NONE);
  assert_int_equal(bed_read(cut, 1, bytes, sizeof bytes), SIM_SECTOR);
  assert_int_equal(bytes[0], 'a');
  sim_disk_destroy(cut);
  vfs_file *file = bed_open(killed, 1, VFS_WRITE);
  TEST_OK(vfs_sync(file));
  TEST_OK(vfs_close(file));
  cut = sim_disk_crash(killed, &r, SIM_NONE);
  assert_int_equal(bed_read(cut, 1, bytes, sizeof bytes), 4 * SIM_SECTOR);
  sim_disk_destroy(cut);
  sim_disk_destroy(killed);
}

/* The first changes, the last one torn: never a later byte without the earlier ones; and all lengths come up. */
static void prefix_tears_at_any_byte(void **state) {
  bed *b = *state;
  uint8_t bytes[4096];
  bool torn_inside = false, all = false, little = false;
  rng r = test_rng("prefix");
  bed_half_synced(b);
  for (uint32_t round = 0; round < ROUNDS; round++) {
    sim_disk *image = sim_disk_crash(b->disk, &r, SIM_PREFIX);
    size_t size = bed_read(image, 1, bytes, sizeof bytes), new_bytes = 0;
    while (new_bytes < size && bytes[new_bytes] == 'b') new_bytes++;
    for (size_t i = new_bytes; i < size; i++) assert_true(i < SIM_SECTOR && bytes[i] == 'a');
    little = little || new_bytes < SIM_SECTOR;
    all = all || new_bytes == 4 * SIM_SECTOR;
    torn_inside = torn_inside || new_bytes % SIM_SECTOR != 0;
    sim_disk_destroy(image);
  }
  assert_true(little && all && torn_inside);
}

/* Sectors land in any order, each whole; the size may land without them. */
static void subset_keeps_sectors(void **state) {
  bed *b = *state;
  uint8_t bytes[4096];
  bool hole = false, stale = false;
  rng r = test_rng("subset");
  bed_half_synced(b);
  for (uint32_t round = 0; round < ROUNDS; round++) {
    sim_disk *image = sim_disk_crash(b->disk, &r, SIM_SUBSET);
    size_t size = bed_read(image, 1, bytes, sizeof bytes);
    assert_true(size >= SIM_SECTOR && size <= 4 * SIM_SECTOR && size % SIM_SECTOR == 0);
    bool before = true;
    for (size_t sector = 0; sector < size / SIM_SECTOR; sector++) {
      const uint8_t *p = bytes + sector * SIM_SECTOR;
      bool landed = memchr(p, 'a', SIM_SECTOR) == NULL && p[0] == 'b' && p[SIM_SECTOR - 1] == 'b';
      hole = hole || (landed && !before);
      stale = stale || (sector > 0 && p[0] != 'b' && p[0] != 0);
      before = landed;
    }
    sim_disk_destroy(image);
  }
  assert_true(hole && stale);
}

static void failed_sync_drops_what_was_dirty(void **state) {
  bed *b = *state;
  uint8_t bytes[4096];
  bool lost = false;
  rng r = test_rng("failed sync");
  for (uint64_t number = 1; number <= 40; number++) {
    vfs_file *file = bed_open(b->disk, number, VFS_CREATE);
    bed_write(file, 0, 'a', SIM_SECTOR);
    sim_fault fault = {.kind = SIM_FAULT_sync, .nth = 1, .seed = rng_next(&r)};
    sim_disk_arm(b->disk, &fault);
    TEST_RC(vfs_sync(file), VARVE_IO);
    TEST_OK(vfs_sync(file)); /* says OK and brings nothing back */
    TEST_OK(vfs_sync_dir(&b->disk->base));
    sim_disk *image = sim_disk_crash(b->disk, &r, SIM_NONE);
    lost = lost || bed_read(image, number, bytes, sizeof bytes) == 0;
    sim_disk_destroy(image);
    TEST_OK(vfs_close(file));
  }
  assert_true(lost);
}

static void stores_into_a_map_are_unsynced_sectors(void **state) {
  bed *b = *state;
  uint8_t bytes[4096], *map;
  rng r = {1};
  void *data;
  vfs_file *file = bed_open(b->disk, 1, VFS_CREATE);
  TEST_OK(vfs_allocate(file, 4 * SIM_SECTOR));
  TEST_OK(vfs_sync(file));
  TEST_OK(vfs_sync_dir(&b->disk->base));
  TEST_OK(vfs_map(file, 4 * SIM_SECTOR, true, &data));
  map = data;
  map[3 * SIM_SECTOR] = 7;
  sim_disk *image = sim_disk_crash(b->disk, &r, SIM_NONE);
  assert_int_equal(bed_read(image, 1, bytes, sizeof bytes), 4 * SIM_SECTOR);
  assert_int_equal(bytes[3 * SIM_SECTOR], 0);
  sim_disk_destroy(image);
  image = sim_disk_crash(b->disk, &r, SIM_KILL);
  assert_int_equal(bed_read(image, 1, bytes, sizeof bytes), 4 * SIM_SECTOR);
  assert_int_equal(bytes[3 * SIM_SECTOR], 7);
  sim_disk_destroy(image);
  TEST_OK(vfs_sync(file));
  image = sim_disk_crash(b->disk, &r, SIM_NONE);
  assert_int_equal(bed_read(image, 1, bytes, sizeof bytes), 4 * SIM_SECTOR);
  assert_int_equal(bytes[3 * SIM_SECTOR], 7);
  sim_disk_destroy(image);
  TEST_OK(vfs_unmap(file, data, 4 * SIM_SECTOR));
  TEST_OK(vfs_close(file));
}

static void a_full_disk_takes_a_part(void **state) {
  bed *b = *state;
  uint8_t bytes[4096];
  vfs_file *file = bed_open(b->disk, 1, VFS_CREATE);
  sim_fault fault = {.kind = SIM_FAULT_full, .nth = 100};
  sim_disk_arm(b->disk, &fault);
  uint8_t more[300] = {1};
  TEST_RC(vfs_write_at(file, 0, more, sizeof more), VARVE_FULL);
  assert_int_equal(bed_read(b->disk, 1, bytes, sizeof bytes), 100);
  TEST_OK(vfs_write_at(file, 0, more, 100)); /* over what is there */
  TEST_RC(vfs_allocate(file, 101), VARVE_FULL);
  sim_disk_disarm(b->disk);
  TEST_OK(vfs_write_at(file, 0, more, sizeof more));
  TEST_OK(vfs_close(file));
}

static void a_lie_keeps_nothing_and_is_known(void **state) {
  bed *b = *state;
  uint8_t bytes[64];
  rng r = {1};
  vfs_file *file = bed_open(b->disk, 1, VFS_CREATE);
  TEST_OK(vfs_sync_dir(&b->disk->base));
  bed_write(file, 0, 'a', 10);
  sim_fault fault = {.kind = SIM_FAULT_lie, .nth = 1};
  sim_disk_arm(b->disk, &fault);
  TEST_OK(vfs_sync(file));
  assert_true(b->disk->weak);
  sim_disk *image = sim_disk_crash(b->disk, &r, SIM_NONE);
  assert_int_equal(bed_read(image, 1, bytes, sizeof bytes), 0);
  sim_disk_destroy(image);
  TEST_OK(vfs_close(file));
}

static void rot_turns_one_bit(void **state) {
  bed *b = *state;
  uint8_t before[4096], after[4096];
  char what[64];
  rng r = test_rng("rot");
  bed_half_synced(b);
  size_t size = bed_read(b->disk, 1, before, sizeof before);
  assert_true(sim_disk_rot(b->disk, &r, what));
  assert_int_equal(bed_read(b->disk, 1, after, sizeof after), size);
  int bits = 0;
  for (size_t i = 0; i < size; i++) bits += __builtin_popcount(before[i] ^ after[i]);
  assert_int_equal(bits, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(none_keeps_what_was_synced, bed_setup, bed_teardown),
      cmocka_unit_test_setup_teardown(none_loses_names, bed_setup, bed_teardown),
      cmocka_unit_test_setup_teardown(kill_keeps_all_unsynced, bed_setup, bed_teardown),
      cmocka_unit_test_setup_teardown(prefix_tears_at_any_byte, bed_setup, bed_teardown),
      cmocka_unit_test_setup_teardown(subset_keeps_sectors, bed_setup, bed_teardown),
      cmocka_unit_test_setup_teardown(failed_sync_drops_what_was_dirty, bed_setup, bed_teardown),
      cmocka_unit_test_setup_teardown(stores_into_a_map_are_unsynced_sectors, bed_setup, bed_teardown),
      cmocka_unit_test_setup_teardown(a_full_disk_takes_a_part, bed_setup, bed_teardown),
      cmocka_unit_test_setup_teardown(a_lie_keeps_nothing_and_is_known, bed_setup, bed_teardown),
      cmocka_unit_test_setup_teardown(rot_turns_one_bit, bed_setup, bed_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
