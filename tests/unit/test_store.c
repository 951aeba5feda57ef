/* SPDX-License-Identifier: Apache-2.0 */
#include "io/store.h"
#include "tmpdir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define NOW INT64_C(1767225600) /* 20260101T000000Z */
#define STAMP "20260101T000000Z"
#define A_FILE "daemonlet_kube-system_a.json"
#define B_FILE "daemonlet_kube-system_b.json"

/* ---- a world: a manifest directory, a state directory, a store ---- */

static char *base;
static char manifests[4096], state[4096];
static Store *store;
static StoreSnapshot snapshot;
static StoreResult result;
static Err err;
static char *a1, *a2, *b1; /* manifests: two revisions of a, one of b */

static char *make_manifest(const char *name, const char *image, const char *more) {
        _cleanup_json_ cJSON *pod = NULL;
        char text[2048], revision[REVISION_HEX + 1], uid[37];
        Place place;
        char *made;

        (void)snprintf(text, sizeof(text),
                       "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"%s\",\"namespace\":"
                       "\"kube-system\",\"annotations\":{\"daemonlet.io/daemonset\":\"kube-system/%s\"}},\"spec\":{"
                       "\"containers\":[{\"name\":\"c\",\"image\":\"%s\"%s}],\"terminationGracePeriodSeconds\":7}}",
                       name, name, image, more);
        assert_int_equal(json_parse(text, strlen(text), (Place){ 1, 1 }, NULL, NULL, &pod, NULL, &place, NULL), 0);
        assert_int_equal(manifest_identity(pod, "node", revision, uid), 0);
        assert_true(json_add_string(json_get_mutable(pod, "metadata"), "uid", uid));
        assert_true(json_add_string(json_get_mutable(json_get_mutable(pod, "metadata"), "annotations"),
                                    ANNOTATION_REVISION, revision));
        made = json_canonical_text(pod, NULL);
        assert_non_null(made);
        return made;
}

static int set_up(void **unused) {
        (void)unused;
        base = tmpdir_new();
        (void)snprintf(manifests, sizeof(manifests), "%s/manifests", base);
        (void)snprintf(state, sizeof(state), "%s/var/lib/state", base);
        put_dir(manifests, 0755);
        a1 = make_manifest("a", "one", ",\"ports\":[{\"containerPort\":80,\"hostPort\":8080}]");
        a2 = make_manifest("a", "two", "");
        b1 = make_manifest("b", "one", "");
        store = NULL;
        err = (Err){ 0 };
        return 0;
}

static int tear_down(void **unused) {
        (void)unused;
        store = store_free(store);
        free(a1);
        free(a2);
        free(b1);
        tmpdir_free(base);
        return 0;
}

static int try_open(bool read_only) {
        const StoreOptions options = { .manifest_dir = manifests, .state_dir = state, .read_only = read_only };

        err = (Err){ 0 };
        return store_open(&options, &store, &err);
}

static void open_store(void) {
        store = store_free(store);
        if (try_open(false) < 0)
                fail_msg("%s", err.message);
}

static void scan(void) {
        if (store_scan(store, &snapshot, &err) < 0)
                fail_msg("%s", err.message);
}

static int apply(const PlanStep *steps, size_t n, int64_t now) {
        PlanStep copies[256];
        Plan plan = { .steps = copies, .n_steps = n };

        assert_true(n <= ARRAY_SIZE(copies));
        if (n)
                memcpy(copies, steps, n * sizeof(*steps));
        err = (Err){ 0 };
        return store_apply(store, &plan, now, &result, &err);
}

/* One step on a file of ours. */
static PlanStep step_of(StepVerb verb, const char *file, const char *bytes) {
        return (PlanStep){ .verb = verb,
                           .file = (char *)(uintptr_t)file,
                           .bytes = bytes,
                           .len = bytes ? strlen(bytes) : 0,
                           .namespace = (char *)(uintptr_t) "kube-system",
                           .name = (char *)(uintptr_t)(streq(file, B_FILE) ? "b" : "a"),
                           .origin = "file:x.yaml" };
}

static int apply_one(PlanStep step) {
        return apply(&step, 1, NOW);
}

static void apply_ok(PlanStep step) {
        if (apply_one(step) < 0)
                fail_msg("%s", err.message);
        assert_int_equal(result.done, 1);
        assert_int_equal(result.failed, 0);
}

static const char *in_manifests(const char *name) {
        return in_dir(manifests, name);
}

static const char *in_state(const char *name) {
        return in_dir(state, name);
}

static const PlanEntry *find_entry(const char *file) {
        for (size_t i = 0; i < snapshot.n_present; i++)
                if (streq(snapshot.present[i].file, file))
                        return &snapshot.present[i];
        return NULL;
}

static const PlanWritten *find_written(const char *file) {
        for (size_t i = 0; i < snapshot.n_written; i++)
                if (streq(snapshot.written[i].file, file))
                        return &snapshot.written[i];
        return NULL;
}

static bool bytes_are(const char *bytes, size_t len, const char *want) {
        return want ? bytes && len == strlen(want) && memcmp(bytes, want, len) == 0 : !bytes;
}

/* Replaces a text in a file of state. */
static void edit_state(const char *file, const char *from, const char *to) {
        _cleanup_free_ char *text = test_read_file(in_state(file), NULL);
        char *at = strstr(text, from);
        _cleanup_buf_ Buf made = BUF_INIT;

        assert_non_null(at);
        buf_add(&made, text, (size_t)(at - text));
        buf_str(&made, to);
        buf_str(&made, at + strlen(from));
        put_file(in_state(file), buf_text(&made), 0600);
}

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
        apply_ok(step_of(STEP_TOUCH, A_FILE, NULL));
        scan();
        assert_true(bytes_are(find_entry(A_FILE)->bytes, find_entry(A_FILE)->len, a1));
}

/* ---- writing ---- */

static void manifest_is_created(void **unused) {
        mode_t saved = umask(0777);

        (void)unused;
        open_store();
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

        (void)set_up(NULL);
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
        (void)tear_down(NULL);
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

static void tombstone_of_the_future_is_forgotten(void **unused) {
        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        apply_ok(step_of(STEP_REMOVE, A_FILE, NULL));
        assert_int_equal(apply(NULL, 0, NOW - 86400), 0);
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
        apply_ok(step_of(STEP_REPLACE, A_FILE, a1));
        scan();
        assert_int_equal(snapshot.n_tombstones, 0);
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
        assert_int_equal(snapshot.n_tombstones, 0);
}

/* ---- interrupted, damaged, cloned ---- */

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

        (void)set_up(NULL);
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
        (void)tear_down(NULL);
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

/* Manifests without a revision: libcrypto survives some failed allocations, so that hashing them may succeed. */
#define BARE(name, image)                                                                                                       \
        "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"annotations\":{\"daemonlet.io/daemonset\":\"kube-system/" name \
        "\"},\"name\":\"" name "\",\"uid\":\"00000000-0000-8000-8000-" name image                                               \
        "\"},\"spec\":{\"containers\":[{\"image\":\"" image "\",\"name\":\"c\",\"ports\":[{\"hostPort\":80}]}]}}"

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
        (void)unused;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, BARE("a", "1")));
        apply_ok(step_of(STEP_REMOVE, A_FILE, NULL));
        apply_ok(step_of(STEP_CREATE, B_FILE, BARE("b", "1")));
        assert_int_equal(store_save_sources(store, "{}", 2, &err), 0);
        put_file(in_state("manifests/" A_FILE), BARE("a", "1"), 0600);
        put_file(in_state("next/" B_FILE), "damaged", 0600);
        put_file(in_manifests("x"), "x", 0600);
        store = store_free(store);
        test_oom(read_body, NULL);
}

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
        return store_apply(s, &plan, NOW, &result, NULL);
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
        const struct CMUnitTest fixed[] = {
                TEST(state_directory_is_made_whatever_the_umask),
                TEST(state_directory_left_open_is_closed),
                TEST(strangers_state_directory_is_refused),
                TEST(strangers_manifest_directory_is_refused),
                TEST(open_manifest_directory_is_refused),
                TEST(manifest_directory_is_never_made),
                TEST(manifest_directory_may_be_reached_by_a_link),
                TEST(one_store_at_a_time),
                TEST(reading_only_makes_nothing),
                TEST(reading_only_sees_what_others_write),
                TEST(another_directory_of_the_name_is_stale),
                TEST(everything_that_stands_is_seen),
                TEST(entries_have_kind_and_bytes),
                TEST(wrong_modes_of_our_files_are_seen),
                TEST(unreadable_entries_are_flagged),
                TEST(manifest_is_created),
                TEST(manifest_is_replaced_and_removed),
                TEST(empty_plan_on_a_new_host_writes_nothing),
                TEST(equal_bytes_under_another_origin_change_state_only),
                TEST(standing_manifest_is_recorded),
                TEST(creation_never_overwrites),
                TEST(restore_writes_again_and_saves_a_copy),
                TEST(copy_of_a_link_is_a_link),
                TEST(directory_is_moved_away_first),
                TEST(full_state_directory_stops_changes_but_not_repairs),
                TEST(failed_copy_does_not_stop_the_repair),
                TEST(touch_is_an_event_for_the_kubelet),
                TEST(litter_is_swept),
                TEST(copies_are_moved_to_the_quarantine),
                TEST(long_name_is_cut),
                TEST(quarantine_keeps_the_newest),
                TEST(quarantine_reaches_another_file_system),
                TEST(removal_leaves_a_tombstone),
                TEST(tombstone_of_the_future_is_forgotten),
                TEST(pod_that_is_written_again_is_not_dead),
                TEST(removal_without_state_reads_what_stands),
                TEST(removal_of_what_somebody_edited_saves_a_copy),
                TEST(failed_removal_leaves_nobody_dead),
                TEST(forgetting_is_for_state_only),
                TEST(interrupted_write_that_was_done_is_taken_over),
                TEST(interrupted_write_that_was_not_done_is_dropped),
                TEST(interrupted_write_is_overtaken_by_the_next),
                TEST(damaged_tombstone_damages_the_index),
                TEST(damaged_bytes_are_not_remembered),
                TEST(node_name_is_remembered_on_this_machine),
                TEST(many_manifests_are_kept_apart),
                TEST(sources_are_kept),
                TEST(reading_survives_out_of_memory),
                TEST(applying_survives_out_of_memory),
        };
        struct CMUnitTest tests[ARRAY_SIZE(fixed) + ARRAY_SIZE(same_rows) + ARRAY_SIZE(damage_rows)];
        size_t n = ARRAY_SIZE(fixed);

        memcpy(tests, fixed, sizeof(fixed));
        for (size_t i = 0; i < ARRAY_SIZE(same_rows); i++)
                tests[n++] = (struct CMUnitTest){ .name = same_rows[i].name,
                                                  .test_func = same_row,
                                                  .initial_state = (void *)(uintptr_t)&same_rows[i] };
        for (size_t i = 0; i < ARRAY_SIZE(damage_rows); i++)
                tests[n++] = (struct CMUnitTest){ .name = damage_rows[i].name,
                                                  .test_func = damage_row,
                                                  .initial_state = (void *)(uintptr_t)&damage_rows[i] };
        return _cmocka_run_group_tests("store", tests, n, NULL, NULL);
}
