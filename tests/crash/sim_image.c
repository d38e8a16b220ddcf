/* sim_image.c: what is done with each crash image: it is opened, read, verified, crashed again while it recovers,
 * written on and crashed again, rotted, and met with errors.
 */
#include "sim_check.h"

#include <stdio.h>

enum { IMAGE_CALLS_MAX = 30000, IMAGE_DEPTH_MAX = 3, IMAGE_VALUE = 61000 };

/* One crash inside of an open. */
typedef struct image_nested {
  rng r;
  uint32_t percent;
  sim_disk *disk; /* NULL = there was none */
  sim_mode mode;
} image_nested;

static void image_hook(void *context, sim_disk *d, sim_call call, bool after) {
  (void)call;
  (void)after;
  image_nested *n = context;
  if (n->disk != NULL || !rng_percent(&n->r, n->percent)) return;
  n->mode = (sim_mode)rng_below(&n->r, SIM_MODES);
  n->disk = sim_disk_crash(d, &n->r, n->mode);
}

/* What must be found after one more crash of kind `mode` once `found` was. */
static sim_expect image_expect_again(const sim_expect *before, const sim_found *found, sim_mode first, sim_mode mode) {
  sim_expect e = {.low = found->at, .high = found->at, .durable = before->durable, .weak = before->weak};
  if (found->ghost >= 0 || found->also) {
    e.low = 1;
    e.high = 0;
    e.also = found->commit;
  }
  if (first != SIM_KILL) {
    e.durable = e.low;
    return e;
  }
  e.also_pending = found->also && before->also_pending;
  e.also_base = before->also_base;
  if (mode == SIM_KILL || (found->also && !e.also_pending)) return e;
  e.low = before->durable; /* what only the death of the process had left was still unsynced */
  e.high = found->also ? e.also_base : found->at;
  e.ghosts = true;
  return e;
}

static int image_open(const sim_checker *c, sim_session *s, sim_disk *image, bool read_only, uint64_t seed) {
  image->calls_max = image->calls + IMAGE_CALLS_MAX;
  int rc = sim_session_open(s, image, c->plan, read_only, seed);
  sim_trace(c->world, "image open", (uint64_t)(rc & 0xffff), image->calls, 0, NULL, 0);
  if (rc >= 0) return rc;
  char message[STATUS_MESSAGE_SIZE];
  status_keep_message(message);
  (void)sim_session_clean(s, "an open that failed");
  status_set_message(message);
  return rc;
}

static void image_close(const sim_checker *c, sim_session *s, bool must) {
  int rc = sim_session_close(s);
  if (rc < 0 && must) (void)sim_fail(c->world, "close", "%s: %s", varve_status_name(rc), varve_errmsg(NULL));
}

/* Opens, finds the state, closes. */
static void image_look(const sim_checker *c, sim_disk *image, const sim_expect *expect, bool read_only, uint64_t seed,
                       const char *what) {
  sim_session s;
  sim_found found;
  int rc = image_open(c, &s, image, read_only, seed);
  if (rc < 0 && !expect->weak) {
    (void)sim_fail(c->world, "open", "%s: %s: %s", what, varve_status_name(rc), varve_errmsg(NULL));
  }
  if (rc < 0) return;
  (void)sim_check_find(c, s.db, expect, &found, expect->weak, &rc);
  image_close(c, &s, !expect->weak);
}

/* ---- check 10: rot ---- */

static bool image_says_damaged(int rc) {
  return rc == VARVE_CORRUPT || rc == VARVE_NOT_DATABASE || rc == VARVE_NEWER_FORMAT;
}

static void image_rot(const sim_checker *c, sim_disk *image, const sim_found *found, uint64_t flushed_seq, rng *r) {
  char what[64];
  sim_session s;
  sim_found now = {0};
  sim_counts *counts = &c->world->counts;
  if (c->world->failed || found->ghost >= 0 || found->also || !sim_disk_rot(image, r, what)) return;
  /* The end of a log can be cut by rot unseen, as far back as nothing after it says that it was synced. */
  sim_expect expect = {.low = found->commit->proven, .high = found->at};
  bool in_manifest =
      c->plan->single || strstr(what, ".man") != NULL; /* so can its last record, and what was flushed by it */
  while (!in_manifest && expect.low < found->at && c->history->commit[expect.low].seq < flushed_seq) expect.low++;
  int rc = image_open(c, &s, image, false, 7);
  if (rc >= 0) {
    bool right = sim_check_find(c, s.db, &expect, &now, true, &rc);
    if (right && rc >= 0) counts->reached[now.at < found->at ? SIM_COUNT_flips_cut_tail : SIM_COUNT_flips_harmless]++;
    image_close(c, &s, false);
  }
  if (c->world->failed) {
    char why[SIM_WHY_SIZE];
    (void)snprintf(why, sizeof why, "%s", c->world->why);
    (void)snprintf(c->world->why, sizeof c->world->why, "with %s: %.600s", what, why);
    (void)snprintf(c->world->failure, sizeof c->world->failure, "rot");
    return;
  }
  if (rc >= 0) return;
  counts->reached[SIM_COUNT_flips_corrupt]++;
  if (strstr(varve_errmsg(NULL), ".wal is damaged") != NULL) counts->reached[SIM_COUNT_mid_log_corruption]++;
  if (!image_says_damaged(rc)) {
    (void)sim_fail(c->world, "rot", "with %s: %s: %s", what, varve_status_name(rc), varve_errmsg(NULL));
  }
}

/* ---- check 11: errors while opening ---- */

static void image_open_with_fault(const sim_checker *c, sim_disk *image, const sim_expect *expect, rng *r) {
  static const uint8_t kinds[] = {SIM_FAULT_read, SIM_FAULT_read, SIM_FAULT_read, SIM_FAULT_write,
                                  SIM_FAULT_sync, SIM_FAULT_name, SIM_FAULT_full};
  sim_fault fault = {(sim_fault_kind)kinds[rng_below(r, COUNT_OF(kinds))], 1 + rng_below(r, 8), false, rng_next(r)};
  if (fault.kind == SIM_FAULT_read) fault.nth = 1 + rng_below(r, 20);
  if (fault.kind == SIM_FAULT_full) fault.nth = rng_below(r, 20000);
  sim_session s;
  uint64_t before = image->faults;
  sim_disk_arm(image, &fault);
  int rc = image_open(c, &s, image, false, 8);
  bool struck = image->faults > before;
  sim_disk_disarm(image);
  sim_counts *counts = &c->world->counts;
  if (struck && fault.kind == SIM_FAULT_read) counts->reached[SIM_COUNT_open_read_errors]++;
  if (struck && fault.kind == SIM_FAULT_full) counts->reached[SIM_COUNT_full_at_open]++;
  if (rc >= 0) image_close(c, &s, false);
  if (rc < 0 && !struck) {
    (void)sim_fail(c->world, "open", "without a fault: %s: %s", varve_status_name(rc), varve_errmsg(NULL));
  } else if (rc >= 0 && struck && fault.kind == SIM_FAULT_read) {
    (void)sim_fail(c->world, "read error", "an open that met a read error succeeded");
  } else if (rc < 0 && rc != VARVE_IO && rc != VARVE_FULL) {
    (void)sim_fail(c->world, "read error", "an open that met an error of the disk said %s: %s", varve_status_name(rc),
                   varve_errmsg(NULL));
  }
  if (c->world->failed) return;
  sim_expect after = *expect;
  sim_mode mode = rng_percent(r, 50) ? SIM_KILL : (sim_mode)rng_below(r, SIM_MODES);
  if (mode != SIM_KILL || image->sync_failed) {
    after.low = expect->durable;
    after.ghosts = true;
  }
  sim_disk *again = sim_disk_crash(image, r, mode);
  image_look(c, again, &after, false, 9, "after an open that met an error");
  sim_disk_destroy(again);
}

/* ---- check 6: writing on ---- */

static int image_work_a_little(varve_db *db, rng *r) {
  switch (rng_below(r, 6)) {
    case 0:
      return varve_flush(db);
    case 1:
      return varve_compact(db, NULL, NULL);
    case 2:
      return varve_work(db, rng_below(r, 20000), NULL);
    default:
      return VARVE_OK;
  }
}

/* The first commit that was lost, when it was the put of one key without a keyspace: its caller tries again. It takes
 * the very place of what was lost, and meets what the crash left behind it. */
static bool image_lost_put(const sim_checker *c, const sim_found *found, uint32_t *key, uint16_t *number) {
  const sim_commit *lost = &c->history->commit[found->at + 1];
  if (found->ghost >= 0 || found->also || found->at >= c->history->issued) return false;
  if (lost->seq != found->commit->seq + 1) return false;
  uint32_t others = 0;
  *number = 0;
  for (uint32_t i = 0; i < SIM_KEYS; i++) {
    bool same = lost->after.value[0][i] == found->commit->after.value[0][i];
    others += !same;
    if (same) continue;
    *key = i;
    *number = lost->after.value[0][i];
  }
  return others == 1 && *number != 0;
}

/* Commits `also`, strictly, and crashes: *after is that image. */
static void image_write_on(const sim_checker *c, varve_db *db, sim_disk *image, const sim_found *found, rng *r,
                           sim_commit *also, sim_disk **after, sim_mode *mode) {
  uint32_t key = rng_below(r, SIM_KEYS);
  uint16_t number = (uint16_t)(IMAGE_VALUE + rng_below(r, 1000));
  uint32_t lost_key = 0;
  uint16_t lost = 0;
  bool again = rng_percent(r, 40) && image_lost_put(c, found, &lost_key, &lost);
  *also = *found->commit;
  if (again) {
    key = lost_key;
    number = lost;
  }
  also->after.value[0][key] = number;
  also->seq++;
  varve_write_options o = {.durability = VARVE_STRICT};
  int rc = again ? VARVE_OK : image_work_a_little(db, r);
  varve_slice value = sim_history_value(c->history, also->after.value[0][key]);
  if (rc >= 0) rc = varve_put(db, sim_history_key(c->history, key), value, &o);
  if (rc < 0) {
    (void)sim_fail(c->world, "write on", "after the recovery: %s: %s", varve_status_name(rc), varve_errmsg(NULL));
    return;
  }
  c->world->counts.reached[SIM_COUNT_images_written_on]++;
  *mode = rng_percent(r, 40) ? SIM_NONE : (sim_mode)rng_below(r, SIM_MODES);
  *after = sim_disk_crash(image, r, *mode);
}

/* ---- all of it ---- */

typedef struct image_copies {
  sim_disk *rotted, *faulty, *written;
  sim_mode written_mode;
  image_nested nested, writing;
  sim_commit also;
  uint64_t flushed_seq;
  bool went_on; /* with a half index: the sequence is another */
} image_copies;

/* Whether the log that is gone on with has something behind its end: a commit that was cut short. */
static bool image_has_tail(varve_db *db) {
  uint8_t behind[64] = {0};
  size_t got = 0;
  vfs_file *file;
  const wal_writer *wal = db->lsm->wal;
  if (!wal_is_uncut(wal) || vfs_open(db->env->fs, FILE_WAL, wal_file_number(wal), 0, &file) < 0) return false;
  (void)vfs_read_at(file, wal_end(wal), behind, sizeof behind, &got);
  (void)vfs_close(file);
  for (size_t i = 0; i < got; i++) {
    if (behind[i] != 0) return true;
  }
  return false;
}

/* What is done with the database while it is open; false when it is over with this image. */
static bool image_use(const sim_checker *c, sim_session *s, sim_disk *image, const sim_expect *expect, rng *r,
                      uint32_t depth, image_copies *copies, sim_found *found) {
  int rc;
  sim_counts *counts = &c->world->counts;
  copies->flushed_seq = s->db->lsm->flushed_seq;
  if (image_has_tail(s->db)) counts->reached[SIM_COUNT_torn_tail_cut]++;
  if (s->db->lsm->log_count > 0) counts->reached[SIM_COUNT_many_logs_recovered]++;
  if (image->log_removed > wal_log_number(s->db->lsm->wal)) counts->reached[SIM_COUNT_log_dropped]++;
  if (!sim_check_find(c, s->db, expect, found, expect->weak, &rc)) return false;
  if (found->at < c->history->issued) counts->reached[SIM_COUNT_images_lost_commits]++;
  if (expect->weak) return false;
  if (!sim_check_files(c, s->db)) return false;
  if (rng_percent(r, depth == 0 ? 40 : 15)) {
    counts->reached[SIM_COUNT_images_verified]++;
    if (!sim_check_verify(c, s->db)) return false;
  }
  if (depth < IMAGE_DEPTH_MAX && rng_percent(r, depth == 0 ? 60 : 12)) {
    bool plain = found->ghost < 0 && !found->also; /* one commit more than that can be told apart */
    image->before = plain ? image_hook : NULL;
    image->context = &copies->writing;
    image_write_on(c, s->db, image, found, r, &copies->also, &copies->written, &copies->written_mode);
    image->before = NULL;
  }
  bool go_on = c->plan->indexes && rng_percent(r, 50);
  return !go_on || c->world->failed || sim_check_go_on(c, s->db, &found->commit->after, &copies->went_on);
}

static void image_follow_up(const sim_checker *c, const image_copies *copies, sim_mode mode, const sim_expect *expect,
                            const sim_found *found, uint64_t seed, uint32_t depth) {
  sim_counts *counts = &c->world->counts;
  if (copies->nested.disk != NULL) {
    counts->reached[depth == 0 ? SIM_COUNT_images_in_recovery : SIM_COUNT_images_nested_twice]++;
    sim_expect e = image_expect_again(expect, found, mode, copies->nested.mode);
    sim_check_image(c, copies->nested.disk, copies->nested.mode, e, seed + 1, depth + 1);
  }
  if (copies->writing.disk != NULL) {
    sim_expect e = image_expect_again(expect, found, mode, copies->writing.mode);
    e.also = &copies->also;
    e.also_pending = true;
    e.also_base = found->at;
    sim_check_image(c, copies->writing.disk, copies->writing.mode, e, seed + 3, depth + 1);
  }
  if (copies->written != NULL) {
    sim_expect e = {.low = 1, .high = 0, .also = &copies->also, .durable = 1};
    sim_check_image(c, copies->written, SIM_NONE, e, seed + 2, depth + 1);
  }
}

void sim_check_image(const sim_checker *c, sim_disk *image, sim_mode mode, sim_expect expect, uint64_t seed,
                     uint32_t depth) {
  rng r = sim_rng(seed, 10, depth);
  const uint32_t percent = depth == 0 ? 30 : depth < IMAGE_DEPTH_MAX ? 8 : 0;
  image_copies copies = {.nested = {.r = {rng_next(&r)}, .percent = percent}};
  copies.writing = (image_nested){.r = {rng_next(&r)}, .percent = depth >= IMAGE_DEPTH_MAX ? 0 : 4};
  sim_found found = {0};
  sim_session s;
  bool good = false;
  c->world->counts.images++;
  if (depth == 0 && !expect.weak && rng_percent(&r, 15)) copies.rotted = sim_disk_crash(image, &r, SIM_KILL);
  if (depth == 0 && !expect.weak && rng_percent(&r, 12)) copies.faulty = sim_disk_crash(image, &r, SIM_KILL);
  image->before = image_hook;
  image->context = &copies.nested;
  int rc = image_open(c, &s, image, false, seed);
  image->before = NULL;
  if (rc < 0 && expect.weak) {
    c->world->counts.reached[SIM_COUNT_images_refused_weak]++;
  } else if (rc < 0) {
    (void)sim_fail(c->world, "open", "%s: %s", varve_status_name(rc), varve_errmsg(NULL));
  } else {
    good = image_use(c, &s, image, &expect, &r, depth, &copies, &found);
    image_close(c, &s, good);
    if (good && !copies.went_on && rng_percent(&r, 20)) {
      sim_expect exact = {.low = found.at, .high = found.at, .also = copies.written != NULL ? &copies.also : NULL};
      if (found.ghost >= 0 || found.also || copies.written != NULL) exact.low = exact.high + 1;
      if (copies.written == NULL && exact.low > exact.high) exact.also = found.commit;
      image_look(c, image, &exact, rng_percent(&r, 30), seed, "after a clean close");
    }
  }
  sim_disk_destroy(image);
  if (good && copies.rotted != NULL) image_rot(c, copies.rotted, &found, copies.flushed_seq, &r);
  if (good && copies.faulty != NULL && !c->world->failed) image_open_with_fault(c, copies.faulty, &expect, &r);
  sim_disk_destroy(copies.rotted);
  sim_disk_destroy(copies.faulty);
  if (good && !c->world->failed) {
    image_follow_up(c, &copies, mode, &expect, &found, seed, depth);
  } else {
    sim_disk_destroy(copies.nested.disk);
    sim_disk_destroy(copies.writing.disk);
    sim_disk_destroy(copies.written);
  }
}
