/* SPDX-License-Identifier: Apache-2.0 */
#include "store_world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* ---- opening ---- */

static void state_directory_is_made_whatever_the_umask(void **unused) {
        static const mode_t masks[] = { 0, 002, 022, 077 };

        (void)unused;
        for (size_t i = 0; i < ARRAY_SIZE(masks); i++) {
                char root[32];
                mode_t saved;

                (void)snprintf(root, sizeof(root), "%s%zu", "root", i);
                (void)snprintf(state, sizeof(state), "%s/%s//deep/state/", base, root);
                saved = umask(masks[i]);
                open_store();
                (void)umask(saved);
                assert_int_equal(mode_of(in_dir(base, root)), 0755);
                assert_int_equal(mode_of(in_dir(in_dir(base, root), "deep")), 0755);
                assert_int_equal(mode_of(state), 0700);
                assert_string_equal(names_in(state), "manifests next");
                assert_int_equal(mode_of(in_state("manifests")), 0700);
                assert_int_equal(mode_of(in_state("next")), 0700);
                assert_string_equal(names_in(manifests), "");
        }
}

static void state_directory_left_open_is_closed(void **unused) {
        (void)unused;
        open_store();
        assert_int_equal(chmod(state, 0777), 0);
        assert_int_equal(chmod(in_state("manifests"), 0750), 0);
        open_store();
        assert_int_equal(mode_of(state), 0700);
        assert_int_equal(mode_of(in_state("manifests")), 0700);
}

static void strangers_state_directory_is_refused(void **unused) {
        (void)unused;
        if (geteuid() != 0)
                skip();
        open_store();
        store = store_free(store);
        assert_int_equal(chown(state, 65534, 65534), 0);
        assert_int_equal(try_open(false), -EPERM);
        assert_non_null(strstr(err.message, "belongs to user 65534"));
}

static void strangers_manifest_directory_is_refused(void **unused) {
        (void)unused;
        if (geteuid() != 0)
                skip();
        assert_int_equal(chown(manifests, 65534, 65534), 0);
        assert_int_equal(try_open(false), -EPERM);
        assert_non_null(strstr(err.message, "owned by user 65534"));
}

static void open_manifest_directory_is_refused(void **unused) {
        static const mode_t modes[] = { 0775, 0757, 01777 };

        (void)unused;
        for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
                assert_int_equal(chmod(manifests, modes[i]), 0);
                assert_int_equal(try_open(false), -EPERM);
                assert_non_null(strstr(err.message, "chmod go-w"));
                assert_non_null(strstr(err.message, manifests));
        }
        assert_false(exists(in_dir(base, "var")));
}

static void manifest_directory_is_never_made(void **unused) {
        (void)unused;
        assert_int_equal(rmdir(manifests), 0);
        assert_int_equal(try_open(false), -ENOENT);
        assert_non_null(strstr(err.message, manifests));
        assert_false(exists(manifests));
        assert_false(exists(in_dir(base, "var")));
        put_file(manifests, "", 0600);
        assert_int_equal(try_open(false), -ENOTDIR);
}

static void manifest_directory_may_be_reached_by_a_link(void **unused) {
        (void)unused;
        assert_int_equal(rename(manifests, in_dir(base, "elsewhere")), 0);
        put_link(manifests, "elsewhere");
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        assert_true(file_is(in_dir(in_dir(base, "elsewhere"), A_FILE), a1));
}

static void one_store_at_a_time(void **unused) {
        Store *first;

        (void)unused;
        open_store();
        first = TAKE_PTR(store);
        assert_int_equal(try_open(false), -EBUSY);
        assert_non_null(strstr(err.message, manifests));
        assert_null(store);
        assert_int_equal(try_open(true), 0);
        store = store_free(store);
        store_free(first);
        assert_int_equal(try_open(false), 0);
}

static void reading_only_makes_nothing(void **unused) {
        _cleanup_free_ char *before = NULL, *after = NULL;

        (void)unused;
        put_file(in_manifests(A_FILE), a1, 0600);
        before = tree_state(base);
        assert_int_equal(try_open(true), 0);
        scan();
        assert_int_equal(snapshot.n_present, 1);
        assert_int_equal(snapshot.n_written, 0);
        assert_null(snapshot.node_name);
        assert_null(snapshot.warning);
        assert_int_equal(apply_one(step_of(STEP_CREATE, B_FILE, b1)), -EROFS);
        assert_int_equal(store_set_node_name(store, "n", &err), -EROFS);
        assert_int_equal(store_save_sources(store, "{}", 2, &err), -EROFS);
        after = tree_state(base);
        assert_string_equal(before, after);
}

static void reading_only_sees_what_others_write(void **unused) {
        Store *writer;

        (void)unused;
        open_store();
        writer = TAKE_PTR(store);
        assert_int_equal(try_open(true), 0);
        scan();
        assert_int_equal(snapshot.n_written, 0);
        {
                Store *reader = store;

                store = writer;
                apply_ok(step_of(STEP_CREATE, A_FILE, a1));
                store = reader;
        }
        scan();
        assert_int_equal(snapshot.n_written, 1);
        assert_string_equal(snapshot.written[0].origin, "file:x.yaml");
        assert_true(bytes_are(snapshot.written[0].bytes, snapshot.written[0].len, a1));
        store_free(writer);
}

static void another_directory_of_the_name_is_stale(void **unused) {
        (void)unused;
        open_store();
        scan();
        assert_int_equal(rename(manifests, in_dir(base, "old")), 0);
        assert_int_equal(store_scan(store, &snapshot, &err), -ESTALE);
        put_dir(manifests, 0755);
        assert_int_equal(store_scan(store, &snapshot, NULL), -ESTALE);
        assert_int_equal(apply_one(step_of(STEP_CREATE, A_FILE, a1)), -ESTALE);
        assert_string_equal(names_in(in_dir(base, "old")), "");
        open_store();
        assert_int_equal(rename(state, in_dir(base, "old-state")), 0);
        assert_int_equal(store_scan(store, &snapshot, NULL), -ESTALE);
}

/* ---- scanning ---- */

static void put_sparse(const char *path, off_t size) {
        put_file(path, "", 0600);
        assert_int_equal(truncate(path, size), 0);
}

static void everything_that_stands_is_seen(void **unused) {
        static const char *const order[] = { ".daemonlet-new",     "10",       "9",     A_FILE,      B_FILE,
                                             "daemonlet_x_y.json", "dangling", "dir",   "dirlink",   "fifo",
                                             "foreign.yaml",       "huge",     "large", "link.json", "readme" };

        (void)unused;
        put_file(in_manifests("readme"), "text", 0644);
        put_file(in_manifests(".hidden"), "text", 0600);
        put_file(in_manifests(".daemonlet-new"), "half", 0600);
        put_dir(in_manifests(".daemonlet-quarantine-x"), 0700);
        put_dir(in_manifests(".daemonlet-somebodys"), 0700);
        put_file(in_manifests("foreign.yaml"), "kind: Pod", 0600);
        put_file(in_manifests("10"), "", 0600);
        put_file(in_manifests("9"), "", 0600);
        put_file(in_manifests(A_FILE), a1, 0600);
        put_link(in_manifests(B_FILE), A_FILE);
        put_link(in_manifests("link.json"), A_FILE);
        put_link(in_manifests("dangling"), "nothing");
        put_link(in_manifests("dirlink"), "dir");
        put_dir(in_manifests("dir"), 0755);
        put_dir(in_manifests("daemonlet_x_y.json"), 0755);
        assert_int_equal(mkfifo(in_manifests("fifo"), 0600), 0);
        put_sparse(in_manifests("huge"), MANIFEST_KUBELET_MAX);
        put_sparse(in_manifests("large"), MANIFEST_KUBELET_MAX - 1);
        open_store();
        scan();
        assert_int_equal(snapshot.n_present, ARRAY_SIZE(order));
        for (size_t i = 0; i < ARRAY_SIZE(order); i++)
                assert_string_equal(snapshot.present[i].file, order[i]);
}

static const struct EntryRow {
        const char *file;
        EntryKind kind;
        const char *bytes; /* "A": those of a manifest */
        size_t len;
} entry_rows[] = {
        { "readme", ENTRY_REGULAR, "text", 4 }, { ".daemonlet-new", ENTRY_REGULAR, NULL, 0 },
        { A_FILE, ENTRY_REGULAR, "A", 0 },      { B_FILE, ENTRY_LINK, NULL, 0 },
        { "link.json", ENTRY_LINK, "A", 0 },    { "dangling", ENTRY_LINK, NULL, 0 },
        { "dirlink", ENTRY_LINK, NULL, 0 },     { "dir", ENTRY_DIRECTORY, NULL, 0 },
        { "fifo", ENTRY_OTHER, NULL, 0 },       { "fifolink", ENTRY_LINK, NULL, 0 },
        { "empty", ENTRY_REGULAR, "", 0 },
};

static void entries_have_kind_and_bytes(void **unused) {
        (void)unused;
        everything_that_stands_is_seen(NULL);
        put_link(in_manifests("fifolink"), "fifo");
        put_file(in_manifests("empty"), "", 0600);
        scan();
        for (size_t i = 0; i < ARRAY_SIZE(entry_rows); i++) {
                const struct EntryRow *row = &entry_rows[i];
                const PlanEntry *e = find_entry(row->file);

                assert_non_null(e);
                if (e->kind != row->kind || e->unreadable ||
                    !bytes_are(e->bytes, e->len, streq(row->bytes, "A") ? a1 : row->bytes))
                        fail_msg("%s is not what it should be", row->file);
        }
        assert_null(find_entry("huge")->bytes);
        assert_non_null(find_entry("large")->bytes);
        assert_int_equal(find_entry("large")->len, MANIFEST_KUBELET_MAX - 1);
}

static void wrong_modes_of_our_files_are_seen(void **unused) {
        static const struct {
                mode_t mode;
                bool wrong;
        } rows[] = { { 0600, false }, { 0644, true }, { 0400, true }, { 0660, true }, { 04600, true } };

        (void)unused;
        open_store();
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                put_file(in_manifests(A_FILE), a1, rows[i].mode);
                put_file(in_manifests("other.json"), a1, rows[i].mode);
                scan();
                assert_int_equal(find_entry(A_FILE)->mode_wrong, rows[i].wrong);
                assert_false(find_entry("other.json")->mode_wrong);
                assert_int_equal(unlink(in_manifests(A_FILE)), 0);
                assert_int_equal(unlink(in_manifests("other.json")), 0);
        }
        if (geteuid() != 0)
                return;
        put_file(in_manifests(A_FILE), a1, 0600);
        assert_int_equal(chown(in_manifests(A_FILE), 65534, 0), 0);
        scan();
        assert_true(find_entry(A_FILE)->mode_wrong);
        apply_ok(step_of(STEP_TOUCH, A_FILE, NULL));
        scan();
        assert_false(find_entry(A_FILE)->mode_wrong);
}

static void unreadable_entries_are_flagged(void **unused) {
        (void)unused;
        if (geteuid() == 0)
                skip();
        put_file(in_manifests(A_FILE), a1, 0);
        put_file(in_manifests("x"), "x", 0);
        put_link(in_manifests("y"), "x");
        open_store();
        scan();
        assert_true(find_entry(A_FILE)->unreadable);
        assert_true(find_entry(A_FILE)->mode_wrong);
        assert_true(find_entry("x")->unreadable);
        assert_true(find_entry("y")->unreadable);
        assert_null(find_entry("x")->bytes);
        assert_int_equal(apply_one(step_of(STEP_TOUCH, A_FILE, NULL)), -EACCES);
        assert_int_equal(result.done, 1);
        assert_non_null(strstr(err.message, "cannot read"));
        scan();
        assert_true(bytes_are(find_entry(A_FILE)->bytes, find_entry(A_FILE)->len, a1));
}

/* ---- damaged, cloned ---- */

static const struct DamageRow {
        const char *name;
        const char *from, *to; /* an edit of the index; NULL: it becomes `to` as a whole */
} damage_rows[] = {
        { "an empty index", NULL, "" },
        { "a cut index", NULL, "{\"manifests\":{" },
        { "an index that is no object", NULL, "[]" },
        { "an index of another version", "\"version\":1", "\"version\":2" },
        { "an index with a foreign file name", A_FILE, "../../etc/passwd" },
        { "an index with an entry that is none", "\"name\":\"a\"", "\"name\":7" },
};

static void damage_row(void **data) {
        const struct DamageRow *row = *data;

        (void)world_set_up(NULL);
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        store = store_free(store);
        if (row->from)
                edit_state("index.json", row->from, row->to);
        else
                put_file(in_state("index.json"), row->to, 0600);
        assert_int_equal(try_open(true), 0);
        scan();
        assert_non_null(snapshot.warning);
        assert_null(snapshot.written[0].origin);
        assert_string_equal(names_in(state), "index.json manifests next");
        open_store();
        assert_string_equal(names_in(state), "index.json.damaged manifests next");
        scan();
        assert_non_null(strstr(snapshot.warning, "index.json was damaged"));
        assert_int_equal(snapshot.n_written, 1);
        assert_null(snapshot.written[0].origin);
        assert_string_equal(snapshot.written[0].namespace, "kube-system");
        assert_string_equal(snapshot.written[0].name, "a");
        assert_true(bytes_are(snapshot.written[0].bytes, snapshot.written[0].len, a1));
        scan();
        assert_null(snapshot.warning);
        apply_ok(step_of(STEP_RECORD, A_FILE, a1));
        scan();
        assert_string_equal(snapshot.written[0].origin, "file:x.yaml");
        (void)world_tear_down(NULL);
}

static void damaged_tombstone_damages_the_index(void **unused) {
        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        apply_ok(step_of(STEP_REMOVE, A_FILE, NULL));
        store = store_free(store);
        edit_state("index.json", "\"port\":8080", "\"port\":80800");
        open_store();
        scan();
        assert_non_null(snapshot.warning);
        assert_int_equal(snapshot.n_tombstones, 0);
}

static const struct HandoverRow {
        const char *name;
        const char *from, *to; /* an edit of the index */
        bool good;
} handover_rows[] = {
        { "hand-overs that are no list", "\"handovers\":", "\"handovers\":{},\"x\":", false },
        { "a hand-over that is none", "\"handovers\":[", "\"handovers\":[7,", false },
        { "a hand-over without a namespace", "\"namespace\":", "\"x\":", false },
        { "a hand-over without a name", "\"name\":\"b\"", "\"x\":\"b\"", false },
        { "a hand-over whose name is none", "\"name\":\"a\"", "\"name\":7", false },
        { "a hand-over without a pod", "\"pod\":", "\"x\":", false },
        { "a hand-over without a uid", "\"uid\":\"uid-a\"", "\"uid\":null", false },
        { "a hand-over without a boot", "\"boot\":\"boot-1\"", "\"boot\":1", false },
        { "a hand-over that may be stopped", "\"stopped\":false", "\"stopped\":0", false },
        { "a hand-over that does not say whether it is stopped", "\"stopped\":false", "\"x\":false", false },
        { "a hand-over that may be unplaced", "\"unplaced\":false", "\"unplaced\":0", false },
        { "a hand-over that does not say whether it is unplaced", "\"unplaced\":false", "\"x\":false", true },
        { "two hand-overs of one name", "\"name\":\"b\"", "\"name\":\"a\"", false },
        { "hand-overs out of order", "\"name\":\"a\"", "\"name\":\"c\"", true },
        { "two hand-overs of one name in two namespaces", "\"name\":\"b\",\"namespace\":\"kube-system\"",
          "\"name\":\"a\",\"namespace\":\"x\"", true },
};

static void handover_row(void **data) {
        const struct HandoverRow *row = *data;
        const PlanHandover both[] = { handover_of("a"), handover_of("b") };

        (void)world_set_up(NULL);
        open_store();
        remember_ok(both, 2);
        store = store_free(store);
        edit_state("index.json", row->from, row->to);
        open_store();
        scan();
        assert_int_equal(!snapshot.warning, row->good);
        assert_int_equal(snapshot.n_handovers, row->good ? 2 : 0);
        assert_int_equal(exists(in_state("index.json.damaged")), !row->good);
        if (row->good)
                assert_string_equal(snapshot.handovers[0].uid, streq(row->from, "\"name\":\"a\"") ? "uid-b" : "uid-a");
        (void)world_tear_down(NULL);
}

static void index_of_before_hand_overs_is_read(void **unused) {
        _cleanup_free_ char *before = NULL, *after = NULL, *text = NULL;
        const PlanHandover one = handover_of("b");

        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        text = test_read_file(in_state("index.json"), NULL);
        assert_null(strstr(text, "handovers"));
        before = tree_state(base);
        open_store();
        scan();
        assert_null(snapshot.warning);
        assert_int_equal(snapshot.n_handovers, 0);
        assert_int_equal(apply(NULL, 0, NOW), 0);
        after = tree_state(base);
        assert_string_equal(before, after);
        remember_ok(&one, 1);
        open_store();
        scan();
        assert_int_equal(snapshot.n_handovers, 1);
        assert_string_equal(snapshot.written[0].origin, "file:x.yaml");
}

static void damaged_bytes_are_not_remembered(void **unused) {
        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        put_file(in_state("manifests/" A_FILE), "{\"apiVersion\":\"v1\",\"ki", 0600);
        put_file(in_state("manifests/" B_FILE), "", 0600);
        scan();
        assert_int_equal(snapshot.n_written, 2);
        assert_null(snapshot.written[0].bytes);
        assert_null(snapshot.written[1].bytes);
        assert_string_equal(snapshot.written[1].name, "b");
        assert_non_null(strstr(snapshot.warning, A_FILE));
        apply_ok(step_of(STEP_RECORD, A_FILE, a1));
        assert_true(file_is(in_state("manifests/" A_FILE), a1));
}

static void node_name_is_remembered_on_this_machine(void **unused) {
        _cleanup_free_ char *before = NULL, *after = NULL;

        (void)unused;
        open_store();
        assert_int_equal(store_set_node_name(store, "node-1", &err), 0);
        before = tree_state(base);
        assert_int_equal(store_set_node_name(store, "node-1", &err), 0);
        open_store();
        scan();
        assert_string_equal(snapshot.node_name, "node-1");
        assert_int_equal(store_set_node_name(store, "node-1", &err), 0);
        after = tree_state(base);
        assert_string_equal(before, after);
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        store = store_free(store);
        edit_state("index.json", "\"machineId\":\"", "\"machineId\":\"0");
        open_store();
        scan();
        assert_null(snapshot.node_name);
        assert_null(snapshot.warning);
        assert_string_equal(snapshot.written[0].origin, "file:x.yaml");
        assert_int_equal(store_set_node_name(store, "node-2", &err), 0);
        open_store();
        scan();
        assert_string_equal(snapshot.node_name, "node-2");
}

/* ---- sources ---- */

static void sources_are_kept(void **unused) {
        _cleanup_free_ char *before = NULL, *after = NULL, *bytes = NULL;
        size_t len = 99;

        (void)unused;
        open_store();
        assert_int_equal(store_load_sources(store, &bytes, &len, &err), 0);
        assert_null(bytes);
        assert_int_equal(store_save_sources(store, "{\"x\":1}", 7, &err), 0);
        assert_int_equal(mode_of(in_state("sources.json")), 0600);
        before = tree_state(base);
        assert_int_equal(store_save_sources(store, "{\"x\":1}", 7, &err), 0);
        after = tree_state(base);
        assert_string_equal(before, after);
        assert_int_equal(store_load_sources(store, &bytes, &len, &err), 0);
        assert_string_equal(bytes, "{\"x\":1}");
        assert_int_equal(len, 7);
        free(TAKE_PTR(bytes));
        put_file(in_state("sources.json"), "{\"x\":", 0600);
        assert_int_equal(store_load_sources(store, &bytes, &len, &err), 0);
        assert_null(bytes);
        assert_true(exists(in_state("sources.json.damaged")));
        scan();
        assert_non_null(strstr(snapshot.warning, "sources.json was damaged"));
}

/* ---- out of memory ---- */

static int read_body(void *unused) {
        const StoreOptions options = { .manifest_dir = manifests, .state_dir = state };
        _cleanup_store_ Store *s = NULL;
        _cleanup_free_ char *sources = NULL;
        StoreSnapshot seen;
        size_t len;
        int r = store_open(&options, &s, NULL);

        (void)unused;
        if (r == 0)
                r = store_scan(s, &seen, NULL);
        if (r == 0)
                r = store_set_node_name(s, "node", NULL);
        return r == 0 ? store_load_sources(s, &sources, &len, NULL) : r;
}

static void reading_survives_out_of_memory(void **unused) {
        const PlanHandover both[] = { handover_of("a"), handover_of("b") };

        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, BARE("a", "1")));
        apply_ok(step_of(STEP_REMOVE, A_FILE, NULL));
        apply_ok(step_of(STEP_CREATE, B_FILE, BARE("b", "1")));
        remember_ok(both, 2);
        assert_int_equal(store_save_sources(store, "{}", 2, &err), 0);
        put_file(in_state("manifests/" A_FILE), BARE("a", "1"), 0600);
        put_file(in_state("next/" B_FILE), "damaged", 0600);
        put_file(in_manifests("x"), "x", 0600);
        store = store_free(store);
        test_oom(read_body, NULL);
}

int main(void) {
        const struct CMUnitTest fixed[] = {
                WORLD_TEST(state_directory_is_made_whatever_the_umask),
                WORLD_TEST(state_directory_left_open_is_closed),
                WORLD_TEST(strangers_state_directory_is_refused),
                WORLD_TEST(strangers_manifest_directory_is_refused),
                WORLD_TEST(open_manifest_directory_is_refused),
                WORLD_TEST(manifest_directory_is_never_made),
                WORLD_TEST(manifest_directory_may_be_reached_by_a_link),
                WORLD_TEST(one_store_at_a_time),
                WORLD_TEST(reading_only_makes_nothing),
                WORLD_TEST(reading_only_sees_what_others_write),
                WORLD_TEST(another_directory_of_the_name_is_stale),
                WORLD_TEST(everything_that_stands_is_seen),
                WORLD_TEST(entries_have_kind_and_bytes),
                WORLD_TEST(wrong_modes_of_our_files_are_seen),
                WORLD_TEST(unreadable_entries_are_flagged),
                WORLD_TEST(damaged_tombstone_damages_the_index),
                WORLD_TEST(index_of_before_hand_overs_is_read),
                WORLD_TEST(damaged_bytes_are_not_remembered),
                WORLD_TEST(node_name_is_remembered_on_this_machine),
                WORLD_TEST(sources_are_kept),
                WORLD_TEST(reading_survives_out_of_memory),
        };
        struct CMUnitTest tests[ARRAY_SIZE(fixed) + ARRAY_SIZE(damage_rows) + ARRAY_SIZE(handover_rows)];
        struct CMUnitTest *rows = tests + ARRAY_SIZE(fixed);

        memcpy(tests, fixed, sizeof(fixed));
        for (size_t i = 0; i < ARRAY_SIZE(damage_rows); i++)
                *rows++ = (struct CMUnitTest){ .name = damage_rows[i].name,
                                               .test_func = damage_row,
                                               .initial_state = (void *)(uintptr_t)&damage_rows[i] };
        for (size_t i = 0; i < ARRAY_SIZE(handover_rows); i++)
                *rows++ = (struct CMUnitTest){ .name = handover_rows[i].name,
                                               .test_func = handover_row,
                                               .initial_state = (void *)(uintptr_t)&handover_rows[i] };
        return _cmocka_run_group_tests("store", tests, ARRAY_SIZE(tests), NULL, NULL);
}
