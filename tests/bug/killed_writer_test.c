/* What a process that was killed leaves is not durable yet: the next one must not promise what rests on it before it
 * is. Found by the crash simulator:
 *   - a database whose maker died before its names were synced was gone after a strict commit of the next process and a
 *     power cut, in both layouts;
 *   - the next process cut the tail of the newest log and synced it, so that its frames said that they were durable,
 *     while the log before it was not: after a power cut the database did not open (CORRUPT);
 *   - two creations that were cut short left a manifest behind that the third did not remove.
 */
#include "sim_check.h"
#include "support/test.h"

enum { LIFE_CALLS_MAX = 200, LIFE_IMAGES = 60 };

typedef struct life {
  sim_world world;
  sim_plan plan;
  sim_session session;
  sim_disk *disk;
  /* The hook's: an image before the nth call that changes something. */
  uint32_t nth;
  sim_mode mode;
  rng r;
  sim_disk *image;
} life;

static life the_life;

static int life_setup(void **state) {
  life *l = &the_life;
  memset(l, 0, sizeof *l);
  sim_world_init(&l->world);
  l->r = test_rng("killed writer");
  l->plan.options = (varve_options){.no_thread = true, .sync_interval_ms = 1000000, .memtable_bytes = 64 * KiB};
  l->disk = sim_disk_create(&l->world, 0);
  *state = l;
  return 0;
}

static int life_teardown(void **state) {
  life *l = *state;
  sim_disk_destroy(l->disk);
  return l->world.disks.pieces == 0 && !l->world.failed ? 0 : -1;
}

static void life_hook(void *context, sim_disk *disk, sim_call call, bool after) {
  life *l = context;
  (void)call;
  if (after || l->nth == 0 || --l->nth > 0) return;
  l->image = sim_disk_crash(disk, &l->r, l->mode);
}

static void life_open(life *l, sim_disk *disk) {
  disk->before = life_hook;
  disk->context = l;
  TEST_OK(sim_session_open(&l->session, disk, &l->plan, false, 1));
}

static void life_close(life *l) {
  TEST_OK(sim_session_close(&l->session));
}

static void life_replace(life *l, sim_disk *next) {
  sim_disk_destroy(l->disk);
  l->disk = next;
}

/* A strict commit into what is open survives that power goes right after it. Closes the database. */
static void life_keeps_strict(life *l, varve_slice value) {
  varve_write_options strict = {.durability = VARVE_STRICT};
  varve_value v;
  TEST_OK(varve_put(l->session.db, VARVE_STR("key"), value, &strict));
  sim_disk *cut = sim_disk_crash(l->disk, &l->r, SIM_NONE);
  life_close(l);
  life_replace(l, cut);
  life_open(l, l->disk);
  TEST_RC(varve_get(l->session.db, VARVE_STR("key"), NULL, &v), VARVE_OK);
  varve_value_release(&v);
  life_close(l);
}

/* Killed before the nth call of its creation; the next process commits strictly; power goes. */
static bool life_creation(life *l, uint32_t nth) {
  sim_disk *first = sim_disk_create(&l->world, 0);
  l->nth = nth;
  l->mode = SIM_KILL;
  l->image = NULL;
  life_open(l, first);
  life_close(l);
  sim_disk_destroy(first);
  l->nth = 0;
  if (l->image == NULL) return false;
  life_replace(l, l->image);
  life_open(l, l->disk);
  life_keeps_strict(l, VARVE_STR("value"));
  return true;
}

static void killed_in_creation(void **state) {
  life *l = *state;
  for (int single = 0; single < 2; single++) {
    l->plan.single = single == 1;
    uint32_t nth = 1;
    while (life_creation(l, nth)) nth++;
    assert_in_range(nth, 10, LIFE_CALLS_MAX);
  }
}

/* A writer is killed with two logs, neither synced, and its successor opens what is there. */
static void life_kill_with_two_logs(life *l, varve_slice value) {
  life_open(l, l->disk);
  for (uint32_t i = 0; l->session.db->lsm->log_count == 0; i++) {
    varve_slice key = {&i, sizeof i};
    TEST_OK(varve_put(l->session.db, key, value, NULL));
  }
  sim_disk *killed = sim_disk_crash(l->disk, &l->r, SIM_KILL);
  life_close(l);
  life_replace(l, killed);
  life_open(l, l->disk);
}

/* Two logs, neither synced; killed; one more commit; power goes, and keeps any part. */
static void killed_with_two_logs(void **state) {
  life *l = *state;
  static const uint8_t bytes[3000];
  varve_slice value = {bytes, sizeof bytes};
  life_kill_with_two_logs(l, value);
  assert_int_equal(l->session.db->lsm->log_count, 1);
  TEST_OK(varve_put(l->session.db, VARVE_STR("one more"), value, NULL));
  sim_disk *images[LIFE_IMAGES];
  for (uint32_t i = 0; i < LIFE_IMAGES; i++) images[i] = sim_disk_crash(l->disk, &l->r, SIM_SUBSET);
  life_close(l);
  for (uint32_t i = 0; i < LIFE_IMAGES; i++) {
    life_open(l, images[i]);
    life_close(l);
    sim_disk_destroy(images[i]);
  }
}

/* The name of a log that a killed process made is durable before a strict commit into it says OK. */
static void killed_with_a_new_name(void **state) {
  life *l = *state;
  static const uint8_t bytes[3000];
  varve_slice value = {bytes, sizeof bytes};
  life_kill_with_two_logs(l, value);
  life_keeps_strict(l, value);
}

static int life_count_manifests(void *context, file_kind kind, uint64_t number, uint64_t size) {
  (void)number;
  (void)size;
  uint32_t *count = context;
  *count += kind == FILE_MANIFEST;
  return 0;
}

/* Creation after creation is cut short, wherever; the one that is not leaves one manifest. */
static void creations_cut_short(void **state) {
  life *l = *state;
  for (uint32_t round = 0; round < 100; round++) {
    life_replace(l, sim_disk_create(&l->world, 0));
    for (uint32_t crash = 0; crash < 4; crash++) {
      l->nth = 1 + rng_below(&l->r, 14);
      l->mode = SIM_SUBSET;
      l->image = NULL;
      life_open(l, l->disk);
      life_close(l);
      l->nth = 0;
      if (l->image != NULL) life_replace(l, l->image);
    }
    uint32_t manifests = 0;
    life_open(l, l->disk);
    TEST_OK(vfs_list(l->session.db->env->fs, life_count_manifests, &manifests));
    assert_int_equal(manifests, 1);
    life_close(l);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(killed_in_creation, life_setup, life_teardown),
      cmocka_unit_test_setup_teardown(killed_with_two_logs, life_setup, life_teardown),
      cmocka_unit_test_setup_teardown(killed_with_a_new_name, life_setup, life_teardown),
      cmocka_unit_test_setup_teardown(creations_cut_short, life_setup, life_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
