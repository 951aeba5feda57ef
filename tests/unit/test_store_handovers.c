/* SPDX-License-Identifier: Apache-2.0 */
/* What the store remembers of hand-overs, and when: before the manifest goes. */
#include "store_world.h"

#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- what the store calls ---- */

static bool sync_fails;  /* of the state directory */
static bool is_synced;   /* it was */
static bool unlink_ends; /* the process, before it unlinks A_FILE; its status says whether the state was synced */

static bool is_state(int fd) {
        struct stat opened, named;

        return fstat(fd, &opened) == 0 && stat(state, &named) == 0 && opened.st_dev == named.st_dev &&
               opened.st_ino == named.st_ino;
}

int fsync(int fd) {
        if (!is_state(fd))
                return (int)syscall(SYS_fsync, fd);
        if (sync_fails) {
                errno = EIO;
                return -1;
        }
        is_synced = true;
        return (int)syscall(SYS_fsync, fd);
}

int unlinkat(int fd, const char *name, int flags) {
        if (unlink_ends && streq(name, A_FILE))
                _exit(is_synced ? 0 : 1);
        return (int)syscall(SYS_unlinkat, fd, name, flags);
}

static int set_up(void **unused) {
        sync_fails = is_synced = unlink_ends = false;
        return world_set_up(unused);
}

#define HANDOVER_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, world_tear_down)

/* ---- remembered ---- */

static void assert_remembered(size_t i, const PlanHandover *want) {
        const PlanHandover *h = &snapshot.handovers[i];

        assert_true(i < snapshot.n_handovers);
        assert_string_equal(h->namespace, want->namespace);
        assert_string_equal(h->name, want->name);
        assert_string_equal(h->pod, want->pod);
        assert_string_equal(h->uid, want->uid);
        assert_string_equal(h->boot, want->boot);
        assert_int_equal(h->unplaced, want->unplaced);
        assert_int_equal(h->stopped, want->stopped);
        assert_int_equal(h->witness, WITNESS_UNKNOWN);
}

/* Every field makes a set another one. */
static void whole_set_is_remembered(void **unused) {
        PlanHandover both[] = { handover_of("a"), handover_of("b") };

        (void)unused;
        both[0].witness = WITNESS_RUNNING; /* is a fact only */
        open_store();
        scan();
        assert_int_equal(snapshot.n_handovers, 0);
        for (int i = 0; i < 9; i++) {
                switch (i) {
                case 1:
                        both[1].pod = "b-2";
                        break;
                case 2:
                        both[1].uid = "";
                        break;
                case 3:
                        both[1].boot = "boot-2";
                        break;
                case 4:
                        both[1].stopped = true;
                        break;
                case 5:
                        both[1].name = "c";
                        break;
                case 6:
                        both[1].namespace = "other";
                        break;
                case 8:
                        both[1].unplaced = true;
                        break;
                default:
                        both[0].stopped = i == 7;
                }
                remember_ok(both, 2);
                scan();
                assert_int_equal(snapshot.n_handovers, 2);
                assert_remembered(0, &both[0]);
                assert_remembered(1, &both[1]);
                open_store(); /* and again, from the disk */
                scan();
                assert_int_equal(snapshot.n_handovers, 2);
                assert_remembered(0, &both[0]);
                assert_remembered(1, &both[1]);
        }
        assert_null(snapshot.warning);
        remember_ok(&both[1], 1);
        open_store();
        scan();
        assert_int_equal(snapshot.n_handovers, 1);
        assert_remembered(0, &both[1]);
        remember_ok(NULL, 0);
        open_store();
        scan();
        assert_int_equal(snapshot.n_handovers, 0);
}

static void equal_set_writes_nothing(void **unused) {
        _cleanup_free_ char *before = NULL, *after = NULL;
        PlanHandover both[] = { handover_of("a"), handover_of("b") };

        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        remember_ok(both, 2);
        before = tree_state(base);
        is_synced = false;
        both[1].witness = WITNESS_RUNNING;
        remember_ok(both, 2);
        scan();
        remember_ok(snapshot.handovers, snapshot.n_handovers);
        open_store();
        scan();
        remember_ok(snapshot.handovers, snapshot.n_handovers);
        assert_false(is_synced);
        after = tree_state(base);
        assert_string_equal(before, after);
        remember_ok(snapshot.handovers, 1);
        assert_true(is_synced);
        free(after);
        after = tree_state(base);
        assert_string_not_equal(before, after);
}

static void set_is_kept_in_order(void **unused) {
        PlanHandover all[] = { handover_of("b"), handover_of("a"), handover_of("c") };

        (void)unused;
        all[2].namespace = "a";
        open_store();
        remember_ok(all, 3);
        for (int i = 0; i < 2; i++) {
                scan();
                assert_int_equal(snapshot.n_handovers, 3);
                assert_remembered(0, &all[2]);
                assert_remembered(1, &all[1]);
                assert_remembered(2, &all[0]);
                open_store();
        }
}

static void what_is_not_known_is_empty(void **unused) {
        PlanHandover one = { .namespace = "x", .name = "y" };
        const PlanHandover want = { .namespace = "x", .name = "y", .pod = "", .uid = "", .boot = "" };
        _cleanup_free_ char *before = NULL, *after = NULL;

        (void)unused;
        open_store();
        remember_ok(&one, 1);
        before = tree_state(base);
        remember_ok(&one, 1);
        after = tree_state(base);
        assert_string_equal(before, after);
        open_store();
        scan();
        assert_remembered(0, &want);
}

static void reading_only_sees_them_and_writes_none(void **unused) {
        const PlanHandover both[] = { handover_of("a"), handover_of("b") };
        _cleanup_free_ char *before = NULL, *after = NULL;

        (void)unused;
        open_store();
        remember_ok(both, 1);
        store = store_free(store);
        before = tree_state(base);
        assert_int_equal(try_open(true), 0);
        scan();
        assert_int_equal(snapshot.n_handovers, 1);
        assert_remembered(0, &both[0]);
        assert_int_equal(apply_with(NULL, 0, both, 2, NOW), -EROFS);
        scan();
        assert_int_equal(snapshot.n_handovers, 1);
        after = tree_state(base);
        assert_string_equal(before, after);
}

static void other_writes_keep_them(void **unused) {
        const PlanHandover one = handover_of("b");
        const PlanStep step = step_of(STEP_CREATE, A_FILE, a1);

        (void)unused;
        open_store();
        remember_ok(&one, 1);
        assert_int_equal(store_set_node_name(store, "node", &err), 0);
        assert_int_equal(apply_with(&step, 1, &one, 1, NOW), 0);
        open_store();
        scan();
        assert_int_equal(snapshot.n_handovers, 1);
        assert_remembered(0, &one);
        assert_int_equal(snapshot.n_written, 1);
        assert_string_equal(snapshot.node_name, "node");
}

/* ---- handing over ---- */

static void hand_over(void) {
        const PlanStep step = step_of(STEP_HAND_OVER, A_FILE, NULL);
        const PlanHandover one = handover_of("a");

        if (apply_with(&step, 1, &one, 1, NOW) < 0)
                fail_msg("%s", err.message);
        assert_int_equal(result.done, 1);
        assert_int_equal(result.failed, 0);
}

static void what_is_handed_over_goes_as_what_is_removed(void **unused) {
        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        hand_over();
        assert_string_equal(names_in(manifests), "");
        assert_string_equal(names_in(in_state("manifests")), "");
        assert_false(exists(in_state("quarantine")));
        for (int i = 0; i < 2; i++) {
                scan();
                assert_int_equal(snapshot.n_written, 0);
                assert_int_equal(snapshot.n_handovers, 1);
                assert_int_equal(snapshot.n_tombstones, 1);
                assert_non_null(strstr(a1, snapshot.tombstones[0].uid));
                assert_int_equal(snapshot.tombstones[0].ports[0].port, 8080);
                assert_int_equal(snapshot.tombstones[0].grace, 7);
                assert_int_equal(snapshot.tombstones[0].removed_at, NOW);
                open_store();
        }
        /* And back. */
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        scan();
        assert_int_equal(snapshot.n_handovers, 0);
        assert_int_equal(snapshot.n_tombstones, 0);
        assert_true(file_is(in_manifests(A_FILE), a1));
}

static void handing_over_what_somebody_edited_saves_a_copy(void **unused) {
        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        put_file(in_manifests(A_FILE), "edited", 0600);
        hand_over();
        assert_string_equal(names_in(manifests), "");
        assert_true(file_is(in_state("quarantine/" STAMP "-000-" A_FILE), "edited"));
}

/* It is remembered before it is tried: so the next plan tries it again. */
static void failed_hand_over_leaves_nobody_dead(void **unused) {
        const PlanStep step = step_of(STEP_HAND_OVER, A_FILE, NULL);
        const PlanHandover one = handover_of("a");

        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        assert_int_equal(unlink(in_manifests(A_FILE)), 0);
        put_dir(in_manifests(A_FILE), 0755);
        assert_int_equal(apply_with(&step, 1, &one, 1, NOW), -EISDIR);
        assert_int_equal(result.failed, 1);
        for (int i = 0; i < 2; i++) {
                scan();
                assert_int_equal(snapshot.n_tombstones, 0);
                assert_int_equal(snapshot.n_written, 1);
                assert_int_equal(snapshot.n_handovers, 1);
                open_store();
        }
}

static int hand_over_and_die(void) {
        const PlanStep step = step_of(STEP_HAND_OVER, A_FILE, NULL);
        const PlanHandover one = handover_of("a");

        if (try_open(false) < 0)
                return 2;
        is_synced = false;
        unlink_ends = true;
        (void)apply_with(&step, 1, &one, 1, NOW);
        return 3;
}

static void killed_before_the_manifest_goes_both_are_known(void **unused) {
        int status;
        pid_t child;

        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        store = store_free(store);
        child = fork();
        assert_true(child >= 0);
        if (child == 0)
                _exit(hand_over_and_die());
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        open_store();
        scan();
        assert_null(snapshot.warning);
        assert_int_equal(snapshot.n_handovers, 1);
        assert_string_equal(snapshot.handovers[0].name, "a");
        assert_true(bytes_are(find_entry(A_FILE)->bytes, find_entry(A_FILE)->len, a1));
        assert_true(bytes_are(find_written(A_FILE)->bytes, find_written(A_FILE)->len, a1));
        hand_over();
        assert_string_equal(names_in(manifests), "");
        scan();
        assert_int_equal(snapshot.n_handovers, 1);
        assert_int_equal(snapshot.n_written, 0);
}

/* ---- what cannot be remembered ---- */

/* a and b stand, c was handed over; a is to be handed over, b goes. */
static void set_up_refusal(PlanStep steps[static 3], PlanHandover handovers[static 2]) {
        handovers[0] = handover_of("a");
        handovers[1] = handover_of("c");
        steps[0] = step_of(STEP_HAND_OVER, A_FILE, NULL);
        steps[1] = step_of(STEP_HAND_OVER, "daemonlet_x_y.json", NULL);
        steps[1].failure = strdup("somebody else's");
        steps[2] = step_of(STEP_REMOVE, B_FILE, NULL);
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        apply_ok(step_of(STEP_CREATE, B_FILE, b1));
        remember_ok(&handovers[1], 1);
}

static void assert_refused(PlanStep steps[static 3], const char *why) {
        assert_true(startswith(err.message, "cannot remember what is handed over: "));
        assert_non_null(strstr(err.message, why));
        assert_true(startswith(steps[0].failure, "hand-over " A_FILE ": cannot remember"));
        assert_non_null(strstr(steps[0].failure, why));
        assert_string_equal(steps[1].failure, "somebody else's");
        assert_null(steps[2].failure);
        assert_int_equal(result.failed, 2);
        assert_int_equal(result.done, 1);
        assert_true(file_is(in_manifests(A_FILE), a1));
        assert_string_equal(names_in(manifests), A_FILE);
        scan();
        assert_int_equal(snapshot.n_handovers, 1);
        assert_string_equal(snapshot.handovers[0].name, "c");
        assert_non_null(find_written(A_FILE));
        free(TAKE_PTR(steps[0].failure));
        free(TAKE_PTR(steps[1].failure));
}

static void what_cannot_be_remembered_is_not_handed_over(void **unused) {
        PlanStep steps[3];
        PlanHandover handovers[2];
        Plan plan = { .steps = steps, .n_steps = 3, .handovers = handovers, .n_handovers = 2 };

        (void)unused;
        set_up_refusal(steps, handovers);
        assert_int_equal(unlink(in_state("index.json")), 0);
        put_dir(in_state("index.json"), 0700);
        assert_int_equal(store_apply(store, &plan, NOW, &result, &err), -EISDIR);
        assert_refused(steps, "index.json");
        assert_int_equal(snapshot.n_tombstones, 1);
        /* It is tried again. */
        assert_int_equal(rmdir(in_state("index.json")), 0);
        plan.n_steps = 1;
        assert_int_equal(store_apply(store, &plan, NOW, &result, &err), 0);
        assert_string_equal(names_in(manifests), "");
        open_store();
        scan();
        assert_int_equal(snapshot.n_handovers, 2);
        assert_remembered(0, &handovers[0]);
        assert_remembered(1, &handovers[1]);
}

static void what_may_not_be_on_the_disk_is_not_remembered(void **unused) {
        PlanStep steps[3];
        PlanHandover handovers[2];
        Plan plan = { .steps = steps, .n_steps = 3, .handovers = handovers, .n_handovers = 2 };

        (void)unused;
        set_up_refusal(steps, handovers);
        sync_fails = true;
        assert_int_equal(store_apply(store, &plan, NOW, &result, &err), -EIO);
        assert_refused(steps, "cannot sync");
        /* Neither on the disk. */
        open_store();
        scan();
        assert_int_equal(snapshot.n_handovers, 1);
        assert_remembered(0, &handovers[1]);
        sync_fails = false;
        plan.n_steps = 1;
        assert_int_equal(store_apply(store, &plan, NOW, &result, &err), 0);
        assert_string_equal(names_in(manifests), "");
        scan();
        assert_int_equal(snapshot.n_handovers, 2);
}

/* ---- out of memory ---- */

static int apply_body(void *unused) {
        const StoreOptions options = { .manifest_dir = manifests, .state_dir = state };
        static int round;
        _cleanup_store_ Store *s = NULL;
        PlanStep step = step_of(STEP_HAND_OVER, A_FILE, NULL);
        PlanHandover both[] = { handover_of("a"), handover_of("b") };
        Plan plan = { .steps = &step, .n_steps = 1, .handovers = both, .n_handovers = 2 };
        StoreSnapshot seen;
        char boot[32];
        int r = store_open(&options, &s, NULL);

        (void)unused;
        if (r < 0)
                return r;
        put_file(in_manifests(A_FILE), BARE("a", "1"), 0600);
        put_file(in_state("manifests/" A_FILE), BARE("a", "1"), 0600);
        (void)snprintf(boot, sizeof(boot), "boot-%d", round++); /* another set each time */
        both[0].boot = boot;
        r = store_apply(s, &plan, NOW, &result, NULL);
        free(step.failure);
        return r < 0 ? r : store_scan(s, &seen, NULL);
}

static void handing_over_survives_out_of_memory(void **unused) {
        const PlanHandover want = handover_of("b");

        (void)unused;
        test_oom(apply_body, NULL);
        open_store();
        scan();
        assert_null(snapshot.warning);
        assert_int_equal(snapshot.n_handovers, 2);
        assert_remembered(1, &want);
        assert_string_equal(names_in(manifests), "");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                HANDOVER_TEST(whole_set_is_remembered),
                HANDOVER_TEST(equal_set_writes_nothing),
                HANDOVER_TEST(set_is_kept_in_order),
                HANDOVER_TEST(what_is_not_known_is_empty),
                HANDOVER_TEST(reading_only_sees_them_and_writes_none),
                HANDOVER_TEST(other_writes_keep_them),
                HANDOVER_TEST(what_is_handed_over_goes_as_what_is_removed),
                HANDOVER_TEST(handing_over_what_somebody_edited_saves_a_copy),
                HANDOVER_TEST(failed_hand_over_leaves_nobody_dead),
                HANDOVER_TEST(killed_before_the_manifest_goes_both_are_known),
                HANDOVER_TEST(what_cannot_be_remembered_is_not_handed_over),
                HANDOVER_TEST(what_may_not_be_on_the_disk_is_not_remembered),
                HANDOVER_TEST(handing_over_survives_out_of_memory),
        };

        return cmocka_run_group_tests_name("store hand-overs", tests, NULL, NULL);
}
