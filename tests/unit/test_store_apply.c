/* SPDX-License-Identifier: Apache-2.0 */
#include "store_world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* ---- writing ---- */

static void manifest_is_created(void **unused) {
        mode_t saved;

        (void)unused;
        open_store();
        saved = umask(0777);
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        (void)umask(saved);
        assert_string_equal(names_in(manifests), A_FILE);
        assert_true(file_is(in_manifests(A_FILE), a1));
        assert_int_equal(mode_of(in_manifests(A_FILE)), 0600);
        assert_string_equal(names_in(state), "index.json manifests next");
        assert_string_equal(names_in(in_state("next")), "");
        assert_string_equal(names_in(in_state("manifests")), A_FILE);
        assert_true(file_is(in_state("manifests/" A_FILE), a1));
        assert_int_equal(mode_of(in_state("manifests/" A_FILE)), 0600);
        assert_int_equal(mode_of(in_state("index.json")), 0600);
        scan();
        assert_int_equal(snapshot.n_written, 1);
        assert_string_equal(snapshot.written[0].file, A_FILE);
        assert_string_equal(snapshot.written[0].namespace, "kube-system");
        assert_string_equal(snapshot.written[0].name, "a");
        assert_string_equal(snapshot.written[0].origin, "file:x.yaml");
        assert_true(bytes_are(snapshot.written[0].bytes, snapshot.written[0].len, a1));
        assert_null(snapshot.written[0].next);
        assert_int_equal(snapshot.written[0].witness, WITNESS_UNKNOWN);
}

static void manifest_is_replaced_and_removed(void **unused) {
        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        apply_ok(step_of(STEP_REPLACE, A_FILE, a2));
        assert_true(file_is(in_manifests(A_FILE), a2));
        assert_true(file_is(in_state("manifests/" A_FILE), a2));
        apply_ok(step_of(STEP_REMOVE, A_FILE, NULL));
        assert_string_equal(names_in(manifests), "");
        assert_string_equal(names_in(in_state("manifests")), "");
        assert_string_equal(names_in(in_state("next")), "");
        assert_string_equal(names_in(state), "index.json manifests next");
        scan();
        assert_int_equal(snapshot.n_written, 0);
}

static const struct SameRow {
        const char *name;
        StepVerb verb;
} same_rows[] = {
        { "creating what stands touches nothing", STEP_CREATE },
        { "replacing by equal bytes touches nothing", STEP_REPLACE },
        { "restoring what stands touches nothing", STEP_RESTORE },
        { "recording what is known touches nothing", STEP_RECORD },
        { "forgetting the unknown touches nothing", STEP_FORGET },
        { "an empty plan touches nothing", STEP_SWEEP },
};

static void same_row(void **data) {
        const struct SameRow *row = *data;
        _cleanup_free_ char *before = NULL, *after = NULL;

        (void)world_set_up(NULL);
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        assert_int_equal(store_set_node_name(store, "node", &err), 0);
        before = tree_state(base);
        if (row->verb == STEP_SWEEP)
                assert_int_equal(apply(NULL, 0, NOW + 1000), 0);
        else
                apply_ok(step_of(row->verb, row->verb == STEP_FORGET ? B_FILE : A_FILE, a1));
        scan();
        after = tree_state(base);
        assert_string_equal(before, after);
        open_store();
        scan();
        assert_int_equal(apply(NULL, 0, NOW + 1000), 0);
        free(after);
        after = tree_state(base);
        assert_string_equal(before, after);
        (void)world_tear_down(NULL);
}

static void empty_plan_on_a_new_host_writes_nothing(void **unused) {
        (void)unused;
        open_store();
        scan();
        assert_int_equal(apply(NULL, 0, NOW), 0);
        assert_string_equal(names_in(state), "manifests next");
}

static void equal_bytes_under_another_origin_change_state_only(void **unused) {
        _cleanup_free_ char *before = NULL, *after = NULL;
        PlanStep step;

        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        before = tree_state(manifests);
        step = step_of(STEP_RECORD, A_FILE, a1);
        step.origin = "api";
        apply_ok(step);
        after = tree_state(manifests);
        assert_string_equal(before, after);
        scan();
        assert_string_equal(snapshot.written[0].origin, "api");
        step.origin = NULL; /* unknown: what is known stays */
        apply_ok(step);
        scan();
        assert_string_equal(snapshot.written[0].origin, "api");
}

static void standing_manifest_is_recorded(void **unused) {
        (void)unused;
        put_file(in_manifests(A_FILE), a1, 0600);
        open_store();
        scan();
        assert_int_equal(snapshot.n_written, 0);
        apply_ok(step_of(STEP_RECORD, A_FILE, a1));
        assert_true(file_is(in_state("manifests/" A_FILE), a1));
        scan();
        assert_true(bytes_are(snapshot.written[0].bytes, snapshot.written[0].len, a1));
}

static void creation_never_overwrites(void **unused) {
        PlanStep steps[2];

        (void)unused;
        put_file(in_manifests(A_FILE), "somebody's", 0600);
        open_store();
        steps[0] = step_of(STEP_CREATE, A_FILE, a1);
        steps[1] = step_of(STEP_CREATE, B_FILE, b1);
        assert_int_equal(apply(steps, 2, NOW), -EEXIST);
        assert_string_equal(err.message, "create " A_FILE ": something of this name appeared meanwhile");
        assert_int_equal(result.done, 1);
        assert_int_equal(result.failed, 1);
        assert_true(file_is(in_manifests(A_FILE), "somebody's"));
        assert_true(file_is(in_manifests(B_FILE), b1));
        assert_string_equal(names_in(manifests), A_FILE " " B_FILE);
        assert_string_equal(names_in(in_state("next")), "");
        assert_string_equal(names_in(in_state("manifests")), B_FILE);
        scan();
        assert_null(find_written(A_FILE));
}

static void restore_writes_again_and_saves_a_copy(void **unused) {
        PlanStep step = step_of(STEP_RESTORE, A_FILE, a1);

        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        put_file(in_manifests(A_FILE), "edited", 0600);
        step.save_copy = true;
        apply_ok(step);
        assert_true(file_is(in_manifests(A_FILE), a1));
        assert_string_equal(names_in(in_state("quarantine")), STAMP "-000-" A_FILE);
        assert_true(file_is(in_state("quarantine/" STAMP "-000-" A_FILE), "edited"));
        assert_int_equal(mode_of(in_state("quarantine")), 0700);
        assert_int_equal(mode_of(in_state("quarantine/" STAMP "-000-" A_FILE)), 0600);
        assert_int_equal(unlink(in_manifests(A_FILE)), 0);
        apply_ok(step);
        assert_true(file_is(in_manifests(A_FILE), a1));
        assert_string_equal(names_in(in_state("quarantine")), STAMP "-000-" A_FILE);
}

static void copy_of_a_link_is_a_link(void **unused) {
        PlanStep step = step_of(STEP_RESTORE, A_FILE, a1);
        char target[64] = "";

        (void)unused;
        put_file(in_manifests("victim"), "precious", 0600);
        put_link(in_manifests(A_FILE), "victim");
        open_store();
        step.save_copy = true;
        apply_ok(step);
        assert_true(file_is(in_manifests("victim"), "precious"));
        assert_true(file_is(in_manifests(A_FILE), a1));
        assert_int_equal(readlink(in_state("quarantine/" STAMP "-000-" A_FILE), target, sizeof(target)), 6);
        assert_string_equal(target, "victim");
}

static void directory_is_moved_away_first(void **unused) {
        PlanStep step = step_of(STEP_RESTORE, A_FILE, a1);

        (void)unused;
        put_dir(in_manifests(A_FILE), 0755);
        put_file(in_dir(in_manifests(A_FILE), "x"), "inside", 0600);
        open_store();
        step.move_first = true;
        apply_ok(step);
        assert_true(file_is(in_manifests(A_FILE), a1));
        assert_true(file_is(in_state("quarantine/" STAMP "-000-" A_FILE "/x"), "inside"));
}

/* A directory where the temporary file should be stands for every reason why state cannot be written. */
static void block_state(void) {
        put_dir(in_state("next/.tmp"), 0700);
}

static void full_state_directory_stops_changes_but_not_repairs(void **unused) {
        PlanStep steps[4];

        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        apply_ok(step_of(STEP_CREATE, B_FILE, b1));
        put_file(in_manifests(B_FILE), "", 0600);
        block_state();
        steps[0] = step_of(STEP_RESTORE, B_FILE, b1);
        steps[1] = step_of(STEP_REPLACE, A_FILE, a2);
        assert_int_equal(apply(steps, 2, NOW), -EISDIR);
        assert_int_equal(result.done, 1);
        assert_int_equal(result.failed, 1);
        assert_non_null(strstr(err.message, "/next"));
        assert_true(file_is(in_manifests(A_FILE), a1));
        assert_true(file_is(in_manifests(B_FILE), b1));
        scan();
        assert_true(bytes_are(find_written(A_FILE)->bytes, find_written(A_FILE)->len, a1));
}

static void failed_copy_does_not_stop_the_repair(void **unused) {
        PlanStep step = step_of(STEP_RESTORE, A_FILE, a1);

        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        put_file(in_manifests(A_FILE), "edited", 0600);
        put_file(in_state("quarantine"), "no directory", 0600);
        step.save_copy = true;
        assert_int_equal(apply_one(step), -ENOTDIR);
        assert_int_equal(result.done, 1);
        assert_true(file_is(in_manifests(A_FILE), a1));
}

static void touch_is_an_event_for_the_kubelet(void **unused) {
        struct stat before, after;

        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        assert_int_equal(stat(in_manifests(A_FILE), &before), 0);
        do { /* until the clock of the file system has moved on */
                apply_ok(step_of(STEP_TOUCH, A_FILE, NULL));
                assert_int_equal(stat(in_manifests(A_FILE), &after), 0);
        } while (before.st_ctim.tv_nsec == after.st_ctim.tv_nsec);
        assert_int_equal(before.st_ino, after.st_ino);
        assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
        assert_int_equal(chmod(in_manifests(A_FILE), 0644), 0);
        apply_ok(step_of(STEP_TOUCH, A_FILE, NULL));
        assert_int_equal(mode_of(in_manifests(A_FILE)), 0600);
        put_file(in_manifests("victim"), "", 0644);
        put_link(in_manifests(B_FILE), "victim");
        assert_int_equal(apply_one(step_of(STEP_TOUCH, B_FILE, NULL)), -ELOOP);
        assert_int_equal(mode_of(in_manifests("victim")), 0644);
}

static void litter_is_swept(void **unused) {
        (void)unused;
        put_file(in_manifests(".daemonlet-new"), "half", 0600);
        open_store();
        apply_ok(step_of(STEP_SWEEP, ".daemonlet-new", NULL));
        assert_string_equal(names_in(manifests), "");
        apply_ok(step_of(STEP_SWEEP, ".daemonlet-new", NULL));
}

/* ---- quarantine ---- */

static void copies_are_moved_to_the_quarantine(void **unused) {
        (void)unused;
        put_file(in_manifests("a.bak"), a1, 0644);
        put_link(in_manifests("b.bak"), "a.bak");
        open_store();
        apply_ok(step_of(STEP_QUARANTINE, "a.bak", NULL));
        apply_ok(step_of(STEP_QUARANTINE, "b.bak", NULL));
        apply_ok(step_of(STEP_QUARANTINE, "gone", NULL));
        put_file(in_manifests("a.bak"), "another", 0644);
        apply_ok(step_of(STEP_QUARANTINE, "a.bak", NULL));
        assert_string_equal(names_in(manifests), "");
        assert_string_equal(names_in(in_state("quarantine")),
                            STAMP "-000-a.bak " STAMP "-000-b.bak " STAMP "-001-a.bak");
        assert_true(file_is(in_state("quarantine/" STAMP "-000-a.bak"), a1));
        assert_true(file_is(in_state("quarantine/" STAMP "-001-a.bak"), "another"));
}

static void long_name_is_cut(void **unused) {
        char name[256], moved[256];

        (void)unused;
        memset(name, 'x', 255);
        name[255] = 0;
        (void)snprintf(moved, sizeof(moved), STAMP "-000-%.*s", (int)(255 - strlen(STAMP "-000-")), name);
        put_file(in_manifests(name), "long", 0600);
        open_store();
        apply_ok(step_of(STEP_QUARANTINE, name, NULL));
        assert_string_equal(names_in(in_state("quarantine")), moved);
}

static void quarantine_keeps_the_newest(void **unused) {
        PlanStep steps[70];
        char names[70][8];

        (void)unused;
        open_store();
        put_file(in_manifests("old"), "", 0600);
        apply_ok(step_of(STEP_QUARANTINE, "old", NULL));
        for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
                (void)snprintf(names[i], sizeof(names[i]), "f%02zu", i);
                put_file(in_manifests(names[i]), "", 0600);
                steps[i] = step_of(STEP_QUARANTINE, names[i], NULL);
        }
        assert_int_equal(apply(steps, ARRAY_SIZE(steps), NOW + 3600), 0);
        assert_null(strstr(names_in(in_state("quarantine")), "old"));
        assert_null(strstr(names_in(in_state("quarantine")), "f05"));
        assert_true(startswith(names_in(in_state("quarantine")), "20260101T010000Z-000-f06 "));
        assert_non_null(strstr(names_in(in_state("quarantine")), "f69"));
}

static void quarantine_reaches_another_file_system(void **unused) {
        PlanStep step = step_of(STEP_RESTORE, B_FILE, b1);
        char shm[] = "/dev/shm/daemonlet-test-XXXXXX", target[64] = "", *other;
        struct stat here, there;

        (void)unused;
        if (!mkdtemp(shm))
                skip();
        other = strdup(shm);
        assert_int_equal(stat(base, &here), 0);
        assert_int_equal(stat(shm, &there), 0);
        if (here.st_dev == there.st_dev) {
                tmpdir_free(other);
                skip();
        }
        (void)snprintf(state, sizeof(state), "%s/state", shm);
        put_file(in_manifests("a.bak"), a1, 0644);
        put_link(in_manifests("l.bak"), "a.bak");
        assert_int_equal(mkfifo(in_manifests("p.bak"), 0600), 0);
        put_dir(in_manifests(B_FILE), 0755);
        put_file(in_dir(in_manifests(B_FILE), "x"), "inside", 0600);
        open_store();
        apply_ok(step_of(STEP_QUARANTINE, "a.bak", NULL));
        apply_ok(step_of(STEP_QUARANTINE, "l.bak", NULL));
        apply_ok(step_of(STEP_QUARANTINE, "p.bak", NULL));
        step.move_first = true;
        apply_ok(step);
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        assert_true(file_is(in_state("quarantine/" STAMP "-000-a.bak"), a1));
        assert_int_equal(readlink(in_state("quarantine/" STAMP "-000-l.bak"), target, sizeof(target)), 5);
        assert_string_equal(names_in(manifests), ".daemonlet-quarantine-" STAMP "-000-" B_FILE " " A_FILE " " B_FILE);
        scan();
        assert_int_equal(snapshot.n_present, 2);
        store = store_free(store);
        tmpdir_free(other);
}

/* ---- removal and tombstones ---- */

static void removal_leaves_a_tombstone(void **unused) {
        const PlanTombstone *t;

        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        apply_ok(step_of(STEP_REMOVE, A_FILE, NULL));
        assert_false(exists(in_state("quarantine")));
        for (int i = 0; i < 2; i++) {
                scan();
                assert_int_equal(snapshot.n_tombstones, 1);
                t = &snapshot.tombstones[0];
                assert_string_equal(t->namespace, "kube-system");
                assert_string_equal(t->name, "a");
                assert_non_null(strstr(a1, t->uid));
                assert_int_equal(strlen(t->uid), 36);
                assert_int_equal(t->n_ports, 1);
                assert_int_equal(t->ports[0].port, 8080);
                assert_string_equal(t->ports[0].protocol, "TCP");
                assert_string_equal(t->ports[0].ip, "");
                assert_int_equal(t->grace, 7);
                assert_int_equal(t->removed_at, NOW);
                open_store(); /* and again, from the disk */
        }
        assert_int_equal(apply(NULL, 0, NOW + 7 + 600), 0);
        scan();
        assert_int_equal(snapshot.n_tombstones, 1);
        assert_int_equal(apply(NULL, 0, NOW + 7 + 601), 0);
        scan();
        assert_int_equal(snapshot.n_tombstones, 0);
        open_store();
        scan();
        assert_int_equal(snapshot.n_tombstones, 0);
}

static void tombstone_of_the_future_counts_from_now(void **unused) {
        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        apply_ok(step_of(STEP_REMOVE, A_FILE, NULL));
        assert_int_equal(apply(NULL, 0, NOW - 86400), 0);
        scan();
        assert_int_equal(snapshot.n_tombstones, 1);
        assert_int_equal(snapshot.tombstones[0].removed_at, NOW - 86400);
        assert_int_equal(apply(NULL, 0, NOW - 86400 + 3600), 0);
        scan();
        assert_int_equal(snapshot.n_tombstones, 0);
}

static void pod_that_is_written_again_is_not_dead(void **unused) {
        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        apply_ok(step_of(STEP_REMOVE, A_FILE, NULL));
        apply_ok(step_of(STEP_CREATE, A_FILE, a2)); /* another uid */
        scan();
        assert_int_equal(snapshot.n_tombstones, 1);
        assert_non_null(strstr(a1, snapshot.tombstones[0].uid));
        apply_ok(step_of(STEP_REPLACE, A_FILE, a1));
        scan();
        assert_int_equal(snapshot.n_tombstones, 1);
        assert_non_null(strstr(a2, snapshot.tombstones[0].uid));
}

static void pod_that_strayed_into_another_file_is_not_dead(void **unused) {
        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        put_file(in_manifests(A_FILE), b1, 0600);
        apply_ok(step_of(STEP_RESTORE, A_FILE, a1));
        scan();
        assert_int_equal(snapshot.n_tombstones, 0);
        /* An own one that somebody put there may run. */
        put_file(in_manifests(A_FILE), a2, 0600);
        apply_ok(step_of(STEP_RESTORE, A_FILE, a1));
        scan();
        assert_int_equal(snapshot.n_tombstones, 1);
        assert_non_null(strstr(a2, snapshot.tombstones[0].uid));
}

static void removal_without_state_reads_what_stands(void **unused) {
        (void)unused;
        put_file(in_manifests(A_FILE), a1, 0600);
        open_store();
        apply_ok(step_of(STEP_REMOVE, A_FILE, NULL));
        scan();
        assert_int_equal(snapshot.n_tombstones, 1);
        assert_non_null(strstr(a1, snapshot.tombstones[0].uid));
}

static void removal_of_what_somebody_edited_saves_a_copy(void **unused) {
        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        put_file(in_manifests(A_FILE), "edited", 0600);
        apply_ok(step_of(STEP_REMOVE, A_FILE, NULL));
        assert_string_equal(names_in(manifests), "");
        assert_true(file_is(in_state("quarantine/" STAMP "-000-" A_FILE), "edited"));
}

static void failed_removal_leaves_nobody_dead(void **unused) {
        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        assert_int_equal(unlink(in_manifests(A_FILE)), 0);
        put_dir(in_manifests(A_FILE), 0755);
        assert_int_equal(apply_one(step_of(STEP_REMOVE, A_FILE, NULL)), -EISDIR);
        assert_int_equal(result.failed, 1);
        scan();
        assert_int_equal(snapshot.n_tombstones, 0);
        assert_int_equal(snapshot.n_written, 1);
        open_store();
        scan();
        assert_int_equal(snapshot.n_tombstones, 0);
}

static void forgetting_is_for_state_only(void **unused) {
        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        apply_ok(step_of(STEP_FORGET, A_FILE, NULL));
        assert_true(exists(in_manifests(A_FILE)));
        assert_string_equal(names_in(in_state("manifests")), "");
        scan();
        assert_int_equal(snapshot.n_written, 0);
        /* Its pod may live on and hold its port. */
        assert_int_equal(snapshot.n_tombstones, 1);
}

static void replaced_pod_is_buried(void **unused) {
        PlanStep step;

        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        apply_ok(step_of(STEP_REPLACE, A_FILE, a2));
        scan();
        assert_int_equal(snapshot.n_tombstones, 1);
        assert_int_equal(snapshot.tombstones[0].ports[0].port, 8080);
        /* One without ports as well: its successor has to wait. One that comes back is not dead. */
        apply_ok(step_of(STEP_REPLACE, A_FILE, a1));
        scan();
        assert_int_equal(snapshot.n_tombstones, 1);
        assert_non_null(strstr(a2, snapshot.tombstones[0].uid));
        assert_int_equal(snapshot.tombstones[0].n_ports, 0);
        /* Replaced by itself, nobody dies. */
        put_file(in_manifests(A_FILE), "damage", 0600);
        step = step_of(STEP_REPLACE, A_FILE, a1);
        step.save_copy = true;
        apply_ok(step);
        scan();
        assert_int_equal(snapshot.n_tombstones, 1);
        assert_non_null(strstr(a2, snapshot.tombstones[0].uid));
}

static void withdrawn_manifest_comes_back(void **unused) {
        PlanStep step;

        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        apply_ok(step_of(STEP_CREATE, B_FILE, b1));
        step = step_of(STEP_WITHDRAW, A_FILE, NULL);
        step.origin = "file:y.yaml";
        apply_ok(step);
        assert_string_equal(names_in(manifests), B_FILE);
        assert_true(file_is(in_state("manifests/" A_FILE), a1));
        assert_false(exists(in_state("quarantine")));
        for (int i = 0; i < 2; i++) {
                scan();
                assert_int_equal(snapshot.n_present, 1);
                assert_int_equal(snapshot.n_written, 2);
                assert_true(bytes_are(find_written(A_FILE)->bytes, find_written(A_FILE)->len, a1));
                assert_string_equal(find_written(A_FILE)->origin, "file:y.yaml");
                assert_int_equal(snapshot.n_tombstones, 1);
                assert_string_equal(snapshot.tombstones[0].name, "a");
                assert_non_null(strstr(a1, snapshot.tombstones[0].uid));
                assert_int_equal(snapshot.tombstones[0].ports[0].port, 8080);
                assert_int_equal(snapshot.tombstones[0].removed_at, NOW);
                assert_int_equal(snapshot.tombstones[0].grace, 7);
                open_store(); /* and again, from the disk */
        }
        apply_ok(step_of(STEP_RESTORE, A_FILE, a1));
        assert_true(file_is(in_manifests(A_FILE), a1));
        scan();
        assert_int_equal(snapshot.n_tombstones, 0);
        open_store();
        scan();
        assert_int_equal(snapshot.n_tombstones, 0);
        assert_int_equal(snapshot.n_written, 2);
}

static void failed_withdrawal_leaves_nobody_dead(void **unused) {
        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        assert_int_equal(unlink(in_manifests(A_FILE)), 0);
        put_dir(in_manifests(A_FILE), 0755);
        assert_int_equal(apply_one(step_of(STEP_WITHDRAW, A_FILE, NULL)), -EISDIR);
        assert_int_equal(result.failed, 1);
        for (int i = 0; i < 2; i++) {
                scan();
                assert_int_equal(snapshot.n_tombstones, 0);
                assert_int_equal(snapshot.n_written, 1);
                assert_true(bytes_are(snapshot.written[0].bytes, snapshot.written[0].len, a1));
                open_store();
        }
}

static void withdrawal_of_what_somebody_edited_saves_a_copy(void **unused) {
        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        put_file(in_manifests(A_FILE), "edited", 0600);
        apply_ok(step_of(STEP_WITHDRAW, A_FILE, NULL));
        assert_string_equal(names_in(manifests), "");
        assert_true(file_is(in_state("quarantine/" STAMP "-000-" A_FILE), "edited"));
        assert_true(file_is(in_state("manifests/" A_FILE), a1));
}

static void full_state_still_brings_back_the_last_bytes(void **unused) {
        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        assert_int_equal(unlink(in_manifests(A_FILE)), 0);
        /* next/ takes nothing. */
        put_dir(in_state("next/.tmp"), 0755);
        assert_true(apply_one(step_of(STEP_CREATE, A_FILE, a2)) < 0);
        assert_int_equal(result.failed, 1);
        assert_true(file_is(in_manifests(A_FILE), a1));
}

static void manifest_that_comes_back_is_not_dead(void **unused) {
        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        apply_ok(step_of(STEP_CREATE, B_FILE, b1));
        apply_ok(step_of(STEP_REMOVE, A_FILE, NULL));
        apply_ok(step_of(STEP_REMOVE, B_FILE, NULL));
        apply_ok(step_of(STEP_CREATE, B_FILE, b1));
        scan();
        assert_int_equal(snapshot.n_tombstones, 1);
        assert_string_equal(snapshot.tombstones[0].name, "a");
}

/* ---- interrupted ---- */

static void interrupted_write_that_was_done_is_taken_over(void **unused) {
        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        put_file(in_state("next/" A_FILE), a2, 0600);
        put_file(in_manifests(A_FILE), a2, 0600);
        scan();
        assert_true(bytes_are(snapshot.written[0].bytes, snapshot.written[0].len, a1));
        assert_true(bytes_are(snapshot.written[0].next, snapshot.written[0].next_len, a2));
        assert_int_equal(apply(NULL, 0, NOW), 0);
        assert_string_equal(names_in(in_state("next")), "");
        scan();
        assert_true(bytes_are(snapshot.written[0].bytes, snapshot.written[0].len, a2));
        assert_null(snapshot.written[0].next);
        assert_string_equal(snapshot.written[0].origin, "file:x.yaml");
}

static void interrupted_write_that_was_not_done_is_dropped(void **unused) {
        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        put_file(in_state("next/" A_FILE), a2, 0600);
        put_file(in_state("next/" B_FILE), b1, 0600);
        put_file(in_state("next/.tmp"), "half", 0600);
        put_file(in_state("next/strange"), "", 0600);
        scan();
        assert_int_equal(snapshot.n_written, 2);
        assert_null(find_written(B_FILE)->bytes);
        assert_string_equal(find_written(B_FILE)->name, "b");
        assert_int_equal(apply(NULL, 0, NOW), 0);
        assert_string_equal(names_in(in_state("next")), "");
        assert_true(file_is(in_state("manifests/" A_FILE), a1));
        assert_string_equal(names_in(in_state("manifests")), A_FILE);
}

static void interrupted_write_is_overtaken_by_the_next(void **unused) {
        (void)unused;
        open_store();
        put_file(in_state("next/" A_FILE), a2, 0600);
        put_file(in_manifests(A_FILE), a2, 0600);
        apply_ok(step_of(STEP_REPLACE, A_FILE, a1));
        assert_true(file_is(in_manifests(A_FILE), a1));
        assert_true(file_is(in_state("manifests/" A_FILE), a1));
        assert_string_equal(names_in(in_state("next")), "");
}

static void many_manifests_are_kept_apart(void **unused) {
        PlanStep steps[100];
        char names[100][MANIFEST_NAME_MAX + 1];

        (void)unused;
        open_store();
        for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
                (void)snprintf(names[i], sizeof(names[i]), "daemonlet_x_%zu.json", (i * 37) % 100);
                steps[i] = step_of(STEP_CREATE, names[i], i % 2 ? a1 : b1);
        }
        assert_int_equal(apply(steps, ARRAY_SIZE(steps), NOW), 0);
        for (size_t i = 0; i < ARRAY_SIZE(steps); i += 3) {
                steps[i].verb = STEP_REMOVE;
                assert_int_equal(apply(&steps[i], 1, NOW), 0);
        }
        open_store();
        scan();
        assert_int_equal(snapshot.n_written, 66);
        for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
                const PlanWritten *w = find_written(names[i]);

                assert_int_equal(!w, i % 3 == 0);
                if (w)
                        assert_true(bytes_are(w->bytes, w->len, i % 2 ? a1 : b1));
        }
}

/* ---- a former manifest directory ---- */

static void manifests_leave_the_former_directory(void **unused) {
        char former[4096];
        PlanStep steps[2];

        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        apply_ok(step_of(STEP_CREATE, B_FILE, b1));
        put_file(in_manifests("daemonlet_x_y.json"), "somebody's", 0600);
        put_file(in_manifests("copy.json"), a1, 0600);
        (void)snprintf(former, sizeof(former), "%s", manifests);
        (void)snprintf(manifests, sizeof(manifests), "%s/elsewhere", base);
        put_dir(manifests, 0755);
        put_file(in_manifests(B_FILE), "in the way", 0600);
        open_store();
        scan();
        assert_int_equal(snapshot.n_present, 1);
        assert_int_equal(snapshot.n_written, 2);
        steps[0] = step_of(STEP_RESTORE, A_FILE, a1);
        steps[1] = step_of(STEP_CREATE, B_FILE, b1);
        /* Not before all of the new ones stand. */
        assert_int_equal(apply(steps, 2, NOW), -EEXIST);
        assert_string_equal(names_in(former), "copy.json " A_FILE " " B_FILE " daemonlet_x_y.json");
        apply_ok(step_of(STEP_REPLACE, B_FILE, b1));
        assert_string_equal(names_in(former), "copy.json daemonlet_x_y.json");
        assert_string_equal(names_in(manifests), A_FILE " " B_FILE);
        scan();
        assert_int_equal(snapshot.n_written, 2);
}

static void same_directory_by_another_path_is_not_left(void **unused) {
        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        put_link(in_dir(base, "link"), "manifests");
        (void)snprintf(manifests, sizeof(manifests), "%s/link", base);
        open_store();
        apply_ok(step_of(STEP_CREATE, B_FILE, b1));
        assert_string_equal(names_in(manifests), A_FILE " " B_FILE);
        /* And one that is gone is no trouble. */
        assert_int_equal(unlink(manifests), 0);
        (void)snprintf(manifests, sizeof(manifests), "%s/manifests", base);
        open_store();
        assert_int_equal(apply(NULL, 0, NOW), 0);
        assert_string_equal(names_in(manifests), A_FILE " " B_FILE);
}

/* ---- out of memory ---- */

static int apply_body(void *unused) {
        const StoreOptions options = { .manifest_dir = manifests, .state_dir = state };
        _cleanup_store_ Store *s = NULL;
        PlanStep steps[4];
        Plan plan = { .steps = steps, .n_steps = ARRAY_SIZE(steps) };
        int r = store_open(&options, &s, NULL);

        (void)unused;
        if (r < 0)
                return r;
        (void)unlink(in_manifests(B_FILE));
        (void)unlink(in_state("quarantine/" STAMP "-000-x"));
        (void)unlink(in_state("quarantine/" STAMP "-000-daemonlet_x_c.json"));
        put_file(in_manifests(A_FILE), BARE("a", "1"), 0600);
        put_file(in_manifests("x"), "x", 0600);
        put_file(in_manifests("daemonlet_x_c.json"), BARE("c", "1"), 0600);
        steps[0] = step_of(STEP_QUARANTINE, "x", NULL);
        steps[1] = step_of(STEP_REMOVE, "daemonlet_x_c.json", NULL);
        steps[2] = step_of(STEP_REPLACE, A_FILE, BARE("a", "2"));
        steps[3] = step_of(STEP_CREATE, B_FILE, BARE("b", "1"));
        r = store_apply(s, &plan, NOW, &result, NULL);
        for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
                free(steps[i].failure);
        return r;
}

static void applying_survives_out_of_memory(void **unused) {
        (void)unused;
        test_oom(apply_body, NULL);
        open_store();
        scan();
        assert_int_equal(apply(NULL, 0, NOW), 0);
        assert_string_equal(names_in(manifests), A_FILE " " B_FILE);
        assert_string_equal(names_in(in_state("next")), "");
}

int main(void) {
        const struct CMUnitTest fixed[] = {
                WORLD_TEST(manifest_is_created),
                WORLD_TEST(manifest_is_replaced_and_removed),
                WORLD_TEST(empty_plan_on_a_new_host_writes_nothing),
                WORLD_TEST(equal_bytes_under_another_origin_change_state_only),
                WORLD_TEST(standing_manifest_is_recorded),
                WORLD_TEST(creation_never_overwrites),
                WORLD_TEST(restore_writes_again_and_saves_a_copy),
                WORLD_TEST(copy_of_a_link_is_a_link),
                WORLD_TEST(directory_is_moved_away_first),
                WORLD_TEST(full_state_directory_stops_changes_but_not_repairs),
                WORLD_TEST(failed_copy_does_not_stop_the_repair),
                WORLD_TEST(touch_is_an_event_for_the_kubelet),
                WORLD_TEST(litter_is_swept),
                WORLD_TEST(copies_are_moved_to_the_quarantine),
                WORLD_TEST(long_name_is_cut),
                WORLD_TEST(quarantine_keeps_the_newest),
                WORLD_TEST(quarantine_reaches_another_file_system),
                WORLD_TEST(removal_leaves_a_tombstone),
                WORLD_TEST(tombstone_of_the_future_counts_from_now),
                WORLD_TEST(pod_that_is_written_again_is_not_dead),
                WORLD_TEST(pod_that_strayed_into_another_file_is_not_dead),
                WORLD_TEST(removal_without_state_reads_what_stands),
                WORLD_TEST(removal_of_what_somebody_edited_saves_a_copy),
                WORLD_TEST(failed_removal_leaves_nobody_dead),
                WORLD_TEST(forgetting_is_for_state_only),
                WORLD_TEST(replaced_pod_is_buried),
                WORLD_TEST(withdrawn_manifest_comes_back),
                WORLD_TEST(failed_withdrawal_leaves_nobody_dead),
                WORLD_TEST(withdrawal_of_what_somebody_edited_saves_a_copy),
                WORLD_TEST(full_state_still_brings_back_the_last_bytes),
                WORLD_TEST(manifest_that_comes_back_is_not_dead),
                WORLD_TEST(interrupted_write_that_was_done_is_taken_over),
                WORLD_TEST(interrupted_write_that_was_not_done_is_dropped),
                WORLD_TEST(interrupted_write_is_overtaken_by_the_next),
                WORLD_TEST(many_manifests_are_kept_apart),
                WORLD_TEST(manifests_leave_the_former_directory),
                WORLD_TEST(same_directory_by_another_path_is_not_left),
                WORLD_TEST(applying_survives_out_of_memory),
        };
        struct CMUnitTest tests[ARRAY_SIZE(fixed) + ARRAY_SIZE(same_rows)];

        memcpy(tests, fixed, sizeof(fixed));
        for (size_t i = 0; i < ARRAY_SIZE(same_rows); i++)
                tests[ARRAY_SIZE(fixed) + i] = (struct CMUnitTest){ .name = same_rows[i].name,
                                                                    .test_func = same_row,
                                                                    .initial_state = (void *)(uintptr_t)&same_rows[i] };
        return _cmocka_run_group_tests("store apply", tests, ARRAY_SIZE(tests), NULL, NULL);
}
