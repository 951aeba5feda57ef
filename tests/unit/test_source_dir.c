/* SPDX-License-Identifier: Apache-2.0 */
#include "io/source_dir.h"
#include "tmpdir.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- a world: a directory and the last good copy, as a state directory would keep it ---- */

static char *base;
static char dir[4096];
static char *last_good;
static size_t last_good_len;
static bool strict;
static LocalSnapshot snapshot;

static int set_up(void **unused) {
        (void)unused;
        base = tmpdir_new();
        (void)snprintf(dir, sizeof(dir), "%s/daemonsets.d", base);
        put_dir(dir, 0755);
        last_good = NULL;
        last_good_len = 0;
        strict = false;
        snapshot = (LocalSnapshot){ 0 };
        return 0;
}

static int tear_down(void **unused) {
        (void)unused;
        local_snapshot_done(&snapshot);
        free(last_good);
        tmpdir_free(base);
        return 0;
}

/* Reads, and keeps what would be saved. True if there is something new to save. */
static bool take(void) {
        local_snapshot_done(&snapshot);
        assert_int_equal(source_dir_read(dir, strict, last_good, last_good_len, &snapshot), 0);
        if (!snapshot.sources)
                return false;
        assert_int_equal(strlen(snapshot.sources), snapshot.sources_len);
        free(last_good);
        last_good_len = snapshot.sources_len;
        last_good = TAKE_PTR(snapshot.sources);
        return true;
}

static void put(const char *name, const char *text) {
        put_file(in_dir(dir, name), text, 0644);
}

static void drop(const char *name) {
        assert_int_equal(unlink(in_dir(dir, name)), 0);
}

/* "a b* c?": the objects in order; * = stands in, ! = invalid, = = defined twice. */
static const char *seen(void) {
        static char text[4096];

        text[0] = 0;
        for (size_t i = 0; i < snapshot.objects.n_objects; i++) {
                const Object *o = &snapshot.objects.objects[i];
                size_t len = strlen(text);

                (void)snprintf(text + len, sizeof(text) - len, "%s%s%s%s", len ? " " : "", o->name,
                               o->reason == REASON_Invalid        ? "!"
                               : o->reason == REASON_DefinedTwice ? "="
                                                                  : "",
                               snapshot.stand_in[i] ? "*" : "");
        }
        return text;
}

static void expect(const char *want, bool read, bool complete) {
        size_t n = 0;

        assert_string_equal(seen(), want);
        assert_int_equal(snapshot.read, read);
        assert_int_equal(snapshot.complete, complete);
        for (size_t i = 0; i < snapshot.objects.n_objects; i++)
                n += snapshot.stand_in[i];
        assert_int_equal(snapshot.n_stand_in, n);
}

/* The first file of this name, as it was read. */
static const ObjectFile *file_of(const char *name) {
        for (size_t i = 0; i < snapshot.objects.n_files; i++)
                if (streq(snapshot.objects.files[i].name, name))
                        return &snapshot.objects.files[i];
        return NULL;
}

#define CONFIG(name, value)                                                                                            \
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " name ", namespace: kube-system}\ndata: {k: " value "}\n"
#define BAD_CONFIG(name)                                                                                               \
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " name ", namespace: kube-system}\ndata: [1]\n"
#define OBJECT(name, value)                                                                                            \
        "{\"apiVersion\":\"v1\",\"data\":{\"k\":\"" value "\"},\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"" name  \
        "\",\"namespace\":\"kube-system\"}}"
/* The last good copy is of the present directory and has these files. */
static void assert_sources(const char *files) {
        struct stat st;
        char want[4096];

        assert_int_equal(stat(dir, &st), 0);
        (void)snprintf(want, sizeof(want), "{\"directory\":\"%ju\",\"files\":{%s},\"version\":1}", (uintmax_t)st.st_ino,
                       files);
        assert_string_equal(last_good, want);
}

static const Object *usable(const char *name) {
        return objects_find(&snapshot.objects, OBJECT_CONFIGMAP, "kube-system", name);
}

/* ---- the directory ---- */

static void files_are_read_in_byte_order(void **unused) {
        (void)unused;
        put("b.yml", CONFIG("b", "x"));
        put("a.yaml", CONFIG("a", "x"));
        put("B.json", OBJECT("c", "x"));
        put(".hidden.yaml", CONFIG("hidden", "x"));
        put(".yaml", CONFIG("hidden", "x"));
        put("README", "text");
        put("a.yaml~", CONFIG("backup", "x"));
        put("a.yaml.bak", CONFIG("backup", "x"));
        assert_true(take());
        expect("c a b", true, true);
        assert_null(snapshot.error);
        assert_sources(
                "\"B.json\":[" OBJECT("c", "x") "],\"a.yaml\":[" OBJECT("a", "x") "],\"b.yml\":[" OBJECT("b", "x") "]");
        assert_false(take());
}

static void empty_directory_is_remembered(void **unused) {
        (void)unused;
        assert_true(take());
        expect("", true, true);
        assert_sources("");
        assert_false(take());
        put("a.yaml", CONFIG("a", "x"));
        assert_true(take());
        drop("a.yaml");
        assert_true(take());
        expect("", true, true);
        assert_sources("");
}

static void replace_directory(void) {
        assert_int_equal(rename(dir, in_dir(base, "old")), 0);
        put_dir(dir, 0755);
}

static void another_directory_without_anything_is_not_read(void **unused) {
        (void)unused;
        put("a.yaml", CONFIG("a", "x"));
        assert_true(take());
        replace_directory();
        put("README", "nothing is mounted here");
        put("empty.yaml", "# nothing\n");
        for (int i = 0; i < 2; i++) {
                assert_false(take());
                expect("a*", false, false);
                assert_true(snapshot.replaced);
                assert_non_null(strstr(snapshot.error, "another directory"));
        }
        /* If it is meant. */
        free(last_good);
        last_good = NULL;
        assert_true(take());
        expect("", true, true);
        assert_false(snapshot.replaced);
        assert_sources("");
        assert_false(take());
        expect("", true, true);
}

static void another_directory_with_something_is_read(void **unused) {
        (void)unused;
        put("a.yaml", CONFIG("a", "x"));
        put("b.yaml", CONFIG("b", "x"));
        assert_true(take());
        replace_directory();
        put("a.yaml", CONFIG("a", "x"));
        assert_true(take());
        expect("a", true, true);
        assert_sources("\"a.yaml\":[" OBJECT("a", "x") "]");
        drop("a.yaml");
        assert_true(take());
        expect("", true, true);
}

static void another_directory_after_an_empty_one_is_read(void **unused) {
        (void)unused;
        assert_true(take());
        replace_directory();
        assert_true(take());
        expect("", true, true);
        assert_sources("");
}

static const struct NameRow {
        const char *name;
        bool want;
} name_rows[] = {
        { "a.yaml", true },  { "a.yml", true },    { "a.json", true }, { "a.b.yaml", true },  { ".a.yaml", false },
        { "a.YAML", false }, { "yaml", false },    { ".yaml", false }, { "a.yaml~", false },  { "a.yaml.bak", false },
        { "", false },       { "a.yaml.", false }, { "ayaml", false }, { "#a.yaml#", false },
};

static void source_names_are_known(void **unused) {
        (void)unused;
        for (size_t i = 0; i < ARRAY_SIZE(name_rows); i++)
                if (is_source_name(name_rows[i].name) != name_rows[i].want)
                        fail_msg("%s", name_rows[i].name);
}

static const struct UnsafeRow {
        const char *name;
        mode_t dir_mode, file_mode;
        bool link;
        const char *say;
} unsafe_rows[] = {
        { "a file that the group may write", 0755, 0664, false, "writable by group" },
        { "a file that others may write", 0755, 0646, false, "writable by group or others" },
        { "a link", 0755, 0, true, "symbolic link" },
};

static void unsafe_file_row(void **state) {
        const struct UnsafeRow *row = *state;

        (void)set_up(NULL);
        put("ok.yaml", CONFIG("ok", "x"));
        if (row->link)
                put_link(in_dir(dir, "a.yaml"), "ok.yaml");
        else
                put_file(in_dir(dir, "a.yaml"), CONFIG("a", "x"), row->file_mode);
        assert_true(take());
        expect("ok", true, false);
        assert_true(file_of("a.yaml")->unreadable);
        assert_non_null(strstr(file_of("a.yaml")->error, row->say));
        assert_true(file_of("ok.yaml")->complete);
        (void)tear_down(NULL);
}

static void strange_entries_are_unreadable(void **unused) {
        (void)unused;
        put_dir(in_dir(dir, "d.yaml"), 0755);
        assert_int_equal(mkfifo(in_dir(dir, "p.yaml"), 0600), 0);
        put("big.yaml", "# nothing\n");
        assert_int_equal(truncate(in_dir(dir, "big.yaml"), JSON_SIZE_MAX + 1), 0);
        put("\xff.yaml", CONFIG("a", "x"));
        (void)take();
        expect("", true, false);
        assert_int_equal(snapshot.objects.n_files, 4);
        assert_non_null(strstr(file_of("d.yaml")->error, "is a directory"));
        assert_non_null(strstr(file_of("p.yaml")->error, "not a regular file"));
        assert_non_null(strstr(file_of("big.yaml")->error, "larger than"));
        assert_non_null(strstr(file_of("\xff.yaml")->error, "not UTF-8"));
}

static void directory_that_others_may_write_is_not_read(void **unused) {
        static const mode_t modes[] = { 0775, 0757, 01777 };

        (void)unused;
        put("a.yaml", CONFIG("a", "x"));
        assert_true(take());
        for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
                assert_int_equal(chmod(dir, modes[i]), 0);
                assert_false(take());
                expect("a*", false, false);
                assert_non_null(strstr(snapshot.error, "writable by group or others"));
                assert_non_null(strstr(snapshot.error, dir));
        }
        assert_int_equal(chmod(dir, 0755), 0);
        if (geteuid() == 0) {
                assert_int_equal(chown(dir, 65534, 65534), 0);
                assert_false(take());
                expect("a*", false, false);
        }
}

static void directory_may_be_reached_by_a_link(void **unused) {
        (void)unused;
        put("a.yaml", CONFIG("a", "x"));
        assert_int_equal(rename(dir, in_dir(base, "checkout")), 0);
        put_link(dir, "checkout");
        assert_true(take());
        expect("a", true, true);
}

static void missing_directory_keeps_everything(void **unused) {
        (void)unused;
        put("a.yaml", CONFIG("a", "x") "---\n" CONFIG("b", "x"));
        put("c.yaml", CONFIG("c", "x"));
        assert_true(take());
        assert_int_equal(rename(dir, in_dir(base, "away")), 0);
        assert_false(take());
        expect("a* b* c*", false, false);
        assert_non_null(strstr(snapshot.error, "No such file"));
        assert_non_null(usable("b"));
        put_file(dir, "", 0600);
        assert_false(take());
        expect("a* b* c*", false, false);
        assert_non_null(strstr(snapshot.error, "Not a directory"));
}

/* ---- the last good copy: stories ---- */

static void holds_value(const char *name, const char *value) {
        const Object *o = usable(name);
        char want[64];

        (void)snprintf(want, sizeof(want), "{\"k\":\"%s\"}", value);
        assert_non_null(o);
        assert_non_null(strstr(o->bytes, want));
}

static void broken_file_keeps_what_it_last_said(void **unused) {
        (void)unused;
        put("a.yaml", CONFIG("a", "x1") "---\n" CONFIG("b", "x1"));
        put("c.yaml", CONFIG("c", "x1"));
        assert_true(take());
        put("a.yaml", "kind: [\n");
        put("c.yaml", CONFIG("c", "x2"));
        for (int i = 0; i < 2; i++) { /* c is new once */
                assert_int_equal(take(), i == 0);
                expect("c a* b*", true, false);
                holds_value("a", "x1");
                holds_value("c", "x2");
                assert_true(file_of("a.yaml")->unreadable);
                assert_int_equal(snapshot.objects.n_files, 3);
                assert_string_equal(snapshot.objects.files[2].name, "a.yaml");
                assert_false(snapshot.objects.files[2].complete);
                assert_int_equal(usable("a")->place.line, 0);
                assert_int_equal(usable("a")->file, 2);
        }
        put("a.yaml", CONFIG("b", "x2"));
        assert_true(take());
        expect("b c", true, true);
}

static void invalid_object_keeps_its_last_good_self(void **unused) {
        (void)unused;
        put("a.yaml", CONFIG("a", "x1") "---\n" CONFIG("b", "x1"));
        assert_true(take());
        put("a.yaml", BAD_CONFIG("a") "---\n" CONFIG("b", "x2"));
        assert_true(take());
        expect("a! b a*", true, false);
        holds_value("a", "x1");
        holds_value("b", "x2");
        assert_sources("\"a.yaml\":[" OBJECT("b", "x2") "," OBJECT("a", "x1") "]");
        assert_false(take());
        expect("a! b a*", true, false);
        put("a.yaml", CONFIG("a", "x3") "---\n" CONFIG("b", "x2"));
        assert_true(take());
        expect("a b", true, true);
        holds_value("a", "x3");
}

static void object_taken_out_of_a_broken_file_stays(void **unused) {
        (void)unused;
        put("a.yaml", CONFIG("a", "x1") "---\n" CONFIG("b", "x1"));
        assert_true(take());
        put("a.yaml", BAD_CONFIG("c"));
        assert_false(take());
        expect("c! a* b*", true, false);
}

static void different_definitions_leave_the_last_good_one(void **unused) {
        (void)unused;
        put("a.yaml", CONFIG("a", "x1"));
        assert_true(take());
        put("b.yaml", CONFIG("a", "x2"));
        assert_false(take());
        expect("a= a= a*", true, false);
        holds_value("a", "x1");
        drop("a.yaml");
        assert_true(take());
        expect("a", true, true);
        holds_value("a", "x2");
}

static void equal_definitions_count_in_both_files(void **unused) {
        (void)unused;
        put("a.yaml", CONFIG("a", "x1") "---\n" CONFIG("a", "x1"));
        put("b.yaml", CONFIG("a", "x1"));
        assert_true(take());
        expect("a a a", true, true);
        assert_sources("\"a.yaml\":[" OBJECT("a", "x1") "],\"b.yaml\":[" OBJECT("a", "x1") "]");
        /* Each file alone is enough to keep it, and it stands in once. */
        put("a.yaml", "[");
        put("b.yaml", "[");
        assert_false(take());
        expect("a*", true, false);
        put("a.yaml", "# nothing\n");
        assert_true(take());
        expect("a*", true, false);
        assert_sources("\"b.yaml\":[" OBJECT("a", "x1") "]");
        put("b.yaml", "# nothing\n");
        assert_true(take());
        expect("", true, true);
}

static void renamed_to_a_broken_file_stays(void **unused) {
        (void)unused;
        put("a.yaml", CONFIG("a", "x1"));
        put("b.yaml", CONFIG("b", "x1"));
        assert_true(take());
        drop("a.yaml");
        put("z.yaml", "[");
        assert_false(take());
        expect("b a*", true, false);
        /* And goes only when all has been read. */
        assert_false(take());
        expect("b a*", true, false);
        put("z.yaml", "# nothing\n");
        assert_true(take());
        expect("b", true, true);
}

static void emptied_file_keeps_what_it_defined(void **unused) {
        (void)unused;
        put("a.yaml", CONFIG("a", "x1"));
        assert_true(take());
        put("a.yaml", "");
        assert_false(take());
        expect("a*", true, false);
        put("a.yaml", "# nothing\n");
        assert_true(take());
        expect("", true, true);
}

static void renamed_while_another_is_broken_is_followed(void **unused) {
        (void)unused;
        put("a.yaml", CONFIG("a", "x1"));
        put("z.yaml", "[");
        assert_true(take());
        drop("a.yaml");
        put("b.yaml", CONFIG("a", "x1"));
        assert_true(take());
        expect("a", true, false);
        assert_sources("\"b.yaml\":[" OBJECT("a", "x1") "]");
        put("b.yaml", "# nothing\n");
        assert_true(take());
        expect("", true, false);
}

static void duplicate_in_a_broken_file_is_remembered(void **unused) {
        (void)unused;
        put("a.yaml", CONFIG("a", "x1"));
        put("b.yaml", CONFIG("a", "x1"));
        assert_true(take());
        put("a.yaml", "[");
        assert_false(take());
        expect("a", true, false);
        drop("b.yaml");
        assert_false(take());
        expect("a*", true, false);
}

static void complete_file_removes_while_another_is_broken(void **unused) {
        (void)unused;
        put("a.yaml", CONFIG("a", "x1") "---\n" CONFIG("b", "x1"));
        put("z.yaml", CONFIG("z", "x1"));
        assert_true(take());
        put("z.yaml", "[");
        put("a.yaml", CONFIG("b", "x1"));
        assert_true(take());
        expect("b z*", true, false);
}

static void what_became_strict_keeps_what_was_good(void **unused) {
        (void)unused;
        put("a.yaml", CONFIG("a", "x1") "foo: 1\n");
        assert_true(take());
        expect("a", true, true);
        strict = true;
        assert_false(take());
        expect("a! a*", true, false);
}

static void damaged_copy_is_no_copy(void **unused) {
        static const char *const copies[] = {
                "",
                "{",
                "[]",
                "{\"files\":{\"a.yaml\":[]},\"version\":2}",
                "{\"files\":[],\"version\":1}",
                "{\"files\":{\"b\":[],\"a\":[]},\"version\":1}",
                ("{\"files\":{\"a.yaml\":[1,{},{\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\"}},{\"kind\":\"Secret\"}]},"
                 "\"version\":1}"),
                "{\"files\":{\"a.yaml\":7},\"version\":1}",
        };

        (void)unused;
        put("a.yaml", "[");
        for (size_t i = 0; i < ARRAY_SIZE(copies); i++) {
                free(last_good);
                last_good = strdup(copies[i]);
                last_good_len = strlen(copies[i]);
                assert_true(take());
                expect("", true, false);
                assert_sources("");
        }
}

static void copy_that_says_a_thing_twice_is_read_once(void **unused) {
        static const char copy[] = "{\"files\":{\"a.yaml\":[" OBJECT("a", "x1") "," OBJECT("a",
                                                                                           "x2") "]},\"version\":1}";

        (void)unused;
        put("a.yaml", "[");
        last_good = strdup(copy);
        last_good_len = strlen(copy);
        (void)take();
        expect("a*", true, false);
        holds_value("a", "x1");
}

static void file_name_is_written_as_json(void **unused) {
        (void)unused;
        put("a\"\\\x01.yaml", CONFIG("a", "x"));
        assert_true(take());
        assert_sources("\"a\\\"\\\\\\u0001.yaml\":[" OBJECT("a", "x") "]");
        put("a\"\\\x01.yaml", "[");
        assert_false(take());
        expect("a*", true, false);
}

static void daemonsets_and_secrets_stand_in_too(void **unused) {
        static const char text[] =
                "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {k: x}\n---\n"
                "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: d, namespace: kube-system}\nspec:\n"
                "  selector: {matchLabels: {app: d}}\n"
                "  template:\n    metadata: {labels: {app: d}}\n"
                "    spec: {containers: [{name: c, image: i}]}\n";

        (void)unused;
        put("a.yaml", text);
        assert_true(take());
        expect("s d", true, true);
        put("a.yaml", "[");
        assert_false(take());
        expect("s* d*", true, false);
        assert_non_null(objects_find(&snapshot.objects, OBJECT_DAEMONSET, "kube-system", "d"));
        assert_non_null(objects_find(&snapshot.objects, OBJECT_SECRET, "default", "s"));
}

/* A file that is renamed while the directory is read may be seen twice or not at all: never is that taken for a
 * removal. */
static void renaming_meanwhile_loses_nothing(void **unused) {
        char from[4096], to[4096];
        pid_t child;

        (void)unused;
        (void)snprintf(from, sizeof(from), "%s", in_dir(dir, "a.yaml"));
        (void)snprintf(to, sizeof(to), "%s", in_dir(dir, "b.yaml"));
        put("a.yaml", CONFIG("a", "x1"));
        assert_true(take());
        child = fork();
        assert_true(child >= 0);
        if (child == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (;;)
                        if (rename(from, to) < 0 || rename(to, from) < 0)
                                _exit(1);
        }
        for (int i = 0; i < 300; i++) {
                (void)take();
                if (!usable("a"))
                        break;
        }
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        assert_non_null(usable("a"));
}

/* ---- out of memory ---- */

static int read_body(void *unused) {
        LocalSnapshot s;
        int r = source_dir_read(dir, false, last_good, last_good_len, &s);

        (void)unused;
        if (r == 0)
                local_snapshot_done(&s);
        return r;
}

static void reading_survives_out_of_memory(void **unused) {
        (void)unused;
        put("a.yaml", CONFIG("a", "x1"));
        put("b.yaml", CONFIG("b", "x1"));
        assert_true(take());
        local_snapshot_done(&snapshot);
        drop("a.yaml");
        put("b.yaml", BAD_CONFIG("b"));
        put("c.yaml", CONFIG("c", "x1"));
        put_link(in_dir(dir, "l.yaml"), "c.yaml");
        test_oom(read_body, NULL);
        assert_int_equal(rename(dir, in_dir(base, "away")), 0);
        test_oom(read_body, NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
        const struct CMUnitTest fixed[] = {
                TEST(files_are_read_in_byte_order),
                TEST(empty_directory_is_remembered),
                TEST(another_directory_without_anything_is_not_read),
                TEST(another_directory_with_something_is_read),
                TEST(another_directory_after_an_empty_one_is_read),
                cmocka_unit_test(source_names_are_known),
                TEST(strange_entries_are_unreadable),
                TEST(directory_that_others_may_write_is_not_read),
                TEST(directory_may_be_reached_by_a_link),
                TEST(missing_directory_keeps_everything),
                TEST(broken_file_keeps_what_it_last_said),
                TEST(invalid_object_keeps_its_last_good_self),
                TEST(object_taken_out_of_a_broken_file_stays),
                TEST(different_definitions_leave_the_last_good_one),
                TEST(equal_definitions_count_in_both_files),
                TEST(renamed_to_a_broken_file_stays),
                TEST(emptied_file_keeps_what_it_defined),
                TEST(renamed_while_another_is_broken_is_followed),
                TEST(duplicate_in_a_broken_file_is_remembered),
                TEST(complete_file_removes_while_another_is_broken),
                TEST(what_became_strict_keeps_what_was_good),
                TEST(damaged_copy_is_no_copy),
                TEST(copy_that_says_a_thing_twice_is_read_once),
                TEST(file_name_is_written_as_json),
                TEST(daemonsets_and_secrets_stand_in_too),
                TEST(renaming_meanwhile_loses_nothing),
                TEST(reading_survives_out_of_memory),
        };
        struct CMUnitTest tests[ARRAY_SIZE(fixed) + ARRAY_SIZE(unsafe_rows)];

        memcpy(tests, fixed, sizeof(fixed));
        for (size_t i = 0; i < ARRAY_SIZE(unsafe_rows); i++)
                tests[ARRAY_SIZE(fixed) + i] = (struct CMUnitTest){
                        .name = unsafe_rows[i].name,
                        .test_func = unsafe_file_row,
                        .initial_state = (void *)(uintptr_t)&unsafe_rows[i]
                };
        return _cmocka_run_group_tests("source directory", tests, ARRAY_SIZE(tests), NULL, NULL);
}
