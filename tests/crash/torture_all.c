/* torture_all.c: the crash simulator and the engine as one translation unit, so that one line builds it anywhere:
 *
 *     cc -O2 -DVARVE_TINY -Isrc -Iinclude -Itests/crash tests/crash/torture_all.c -lpthread -o torture
 */
#include "../../src/varve_all.c"

#include "sim_counts.c"
#include "sim_world.c"
#include "sim_node.c"
#include "sim_fault.c"
#include "sim_disk.c"
#include "sim_crash.c"
#include "sim_model.c"
#include "sim_plan.c"
#include "sim_session.c"
#include "sim_index.c"
#include "sim_check.c"
#include "sim_index_check.c"
#include "sim_image.c"
#include "sim_run.c"
#include "sim_ops.c"
#include "sim_reads.c"
#include "sim_build.c"
#include "sim_txn.c"
#include "sim_txn_reads.c"
#include "sim_backup.c"
#include "sim_shrink.c"
#include "torture_main.c"
