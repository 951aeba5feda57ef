/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to a running agent, and its answers. */
#include "app/requests.h"
#include "tmpdir.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define A_FILE "daemonlet_ns_a.json"
#define B_FILE "daemonlet_ns_b.json"

static char *base, *runtime;
static RequestKind kind;
static Err err;

static int set_up(void **state) {
        kind = *state ? *(RequestKind *)*state : REQUEST_RESTART;
        base = tmpdir_new();
        runtime = strdup(in_dir(base, "run"));
        assert_non_null(runtime);
        err = (Err){ 0 };
        return 0;
}

static int tear_down(void **state) {
        (void)state;
        free(runtime);
        tmpdir_free(base);
        return 0;
}

static const char *in_requests(const char *name) {
        _cleanup_free_ char *path = requests_path(runtime, kind);

        assert_non_null(path);
        return in_dir(path, name);
}

/* "a b c" */
static char *questions(void) {
        _cleanup_names_ Names names = { 0 };
        Buf text = BUF_INIT;

        assert_int_equal(requests_read(runtime, kind, &names), 0);
        for (size_t i = 0; i < names.n; i++)
                buf_printf(&text, "%s%s", i ? " " : "", names.items[i]);
        return buf_take(&text, NULL);
}

static void check_questions(const char *want) {
        _cleanup_free_ char *got = questions();

        assert_string_equal(got, want);
}

static void check_answer(const char *file, const char *want) {
        _cleanup_free_ char *got = NULL;

        assert_int_equal(requests_take(runtime, kind, file, &got, &err), 0);
        if (want)
                assert_string_equal(got, want);
        else
                assert_null(got);
}

static void ask(const char *file) {
        if (requests_ask(runtime, kind, file, &err) < 0)
                fail_msg("%s", err.message);
}

static void test_directory_is_made(void **state) {
        const mode_t saved = umask(022);

        (void)state;
        assert_int_equal(requests_open(runtime), 0);
        (void)umask(saved);
        assert_int_equal(mode_of(runtime), 0755);
        assert_int_equal(mode_of(in_requests("")), 0700);
        assert_int_equal(requests_open(runtime), 0);
        check_questions("");
        put_file(in_dir(base, "file"), "", 0600);
        assert_int_equal(requests_open(in_dir(base, "file")), -ENOTDIR);
}

static void test_question_and_answer(void **state) {
        (void)state;
        assert_int_equal(requests_open(runtime), 0);
        ask(B_FILE);
        ask(A_FILE);
        assert_int_equal(mode_of(in_requests(A_FILE)), 0600);
        check_questions(A_FILE " " B_FILE);
        check_answer(A_FILE, NULL);
        check_questions(A_FILE " " B_FILE);
        requests_answer(runtime, kind, A_FILE, "Held ApiNotSynced");
        assert_string_equal(names_in(in_requests("")), A_FILE " " B_FILE);
        check_questions(B_FILE);
        check_answer(B_FILE, NULL);
        check_answer(A_FILE, "Held ApiNotSynced");
        /* An answer is taken once. */
        assert_string_equal(names_in(in_requests("")), B_FILE);
        requests_withdraw(runtime, kind, B_FILE);
        check_questions("");
        assert_string_equal(names_in(in_requests("")), "");
}

static void test_asked_again_over_an_old_answer(void **state) {
        (void)state;
        assert_int_equal(requests_open(runtime), 0);
        ask(A_FILE);
        requests_answer(runtime, kind, A_FILE, "old");
        ask(A_FILE);
        check_questions(A_FILE);
        check_answer(A_FILE, NULL);
        requests_answer(runtime, kind, A_FILE, "new");
        check_answer(A_FILE, "new");
}

static void test_who_went_away_gets_no_answer(void **state) {
        (void)state;
        assert_int_equal(requests_open(runtime), 0);
        ask(A_FILE);
        requests_withdraw(runtime, kind, A_FILE);
        requests_answer(runtime, kind, A_FILE, "too late");
        assert_string_equal(names_in(in_requests("")), "");
        /* An answer stands until it is taken. */
        ask(A_FILE);
        requests_answer(runtime, kind, A_FILE, "first");
        requests_answer(runtime, kind, A_FILE, "second");
        check_answer(A_FILE, "first");
}

static void test_lost_answer(void **state) {
        _cleanup_free_ char *got = NULL;

        (void)state;
        assert_int_equal(requests_open(runtime), 0);
        assert_int_equal(requests_take(runtime, kind, A_FILE, &got, &err), -ENOENT);
        assert_null(got);
        assert_non_null(strstr(err.message, kind == REQUEST_NOW ? "/now/" A_FILE : "/restart/" A_FILE));
}

static void test_answer_that_anybody_may_have_written_is_none(void **state) {
        _cleanup_free_ char *got = NULL;

        (void)state;
        assert_int_equal(requests_open(runtime), 0);
        put_file(in_requests(A_FILE), "Running", 0600);
        assert_int_equal(chmod(in_requests(A_FILE), 0606), 0);
        assert_int_equal(requests_take(runtime, kind, A_FILE, &got, &err), -EPERM);
        assert_null(got);
        assert_true(exists(in_requests(A_FILE)));
}

static void test_what_is_no_question(void **state) {
        (void)state;
        assert_int_equal(requests_open(runtime), 0);
        put_file(in_requests("x.json"), "", 0600);
        put_file(in_requests(".answer"), "", 0600);
        put_file(in_requests("daemonlet_ns_c.json.bak"), "", 0600);
        put_dir(in_requests("daemonlet_ns_d.json"), 0700);
        put_link(in_requests("daemonlet_ns_e.json"), "x.json");
        check_questions("");
        ask(A_FILE);
        check_questions(A_FILE);
        /* Through a link nothing is asked. */
        assert_int_equal(requests_ask(runtime, kind, "daemonlet_ns_e.json", &err), -ELOOP);
        assert_non_null(strstr(err.message, "cannot ask the agent"));
}

/* Nobody listens in a directory that others may write to. */
static void check_deaf(int why) {
        _cleanup_free_ char *got = NULL;

        err = (Err){ 0 };
        check_questions("");
        assert_int_equal(requests_ask(runtime, kind, B_FILE, &err), why);
        assert_non_null(strstr(err.message, kind == REQUEST_NOW ? "/now" : "/restart"));
        err = (Err){ 0 };
        assert_int_equal(requests_take(runtime, kind, A_FILE, &got, &err), why);
        assert_null(got);
        requests_answer(runtime, kind, A_FILE, "no");
        requests_withdraw(runtime, kind, A_FILE);
}

static void test_unsafe_directory_is_refused(void **state) {
        (void)state;
        check_deaf(-ENOENT);
        assert_int_equal(requests_open(runtime), 0);
        ask(A_FILE);
        for (mode_t mode = 0; mode < 2; mode++) {
                assert_int_equal(chmod(in_requests(""), mode ? 0702 : 0720), 0);
                check_deaf(-EPERM);
                assert_true(file_is(in_requests(A_FILE), ""));
                assert_string_equal(names_in(in_requests("")), A_FILE);
        }
        assert_int_equal(chmod(in_requests(""), 0755), 0);
        check_questions(A_FILE);
        if (geteuid() == 0) {
                assert_int_equal(chown(in_requests(""), 12345, 0), 0);
                check_deaf(-EPERM);
                assert_true(file_is(in_requests(A_FILE), ""));
                assert_int_equal(chown(in_requests(""), 0, 0), 0);
        }
        check_questions(A_FILE);
}

static void test_link_in_place_of_the_directory_is_refused(void **state) {
        (void)state;
        put_dir(runtime, 0755);
        put_dir(in_dir(base, "other"), 0700);
        put_file(in_dir(base, "other/" A_FILE), "", 0600);
        put_link(in_dir(runtime, kind == REQUEST_NOW ? "now" : "restart"), in_dir(base, "other"));
        check_questions("");
        assert_true(requests_ask(runtime, kind, B_FILE, &err) < 0);
        assert_string_equal(names_in(in_dir(base, "other")), A_FILE);
}

/* What is asked of one kind is nothing to the other. */
static void test_kinds_are_apart(void **state) {
        (void)state;
        assert_int_equal(requests_open(runtime), 0);
        assert_string_equal(names_in(runtime), "now restart");
        for (RequestKind k = 0; k < N_REQUEST_KINDS; k++) {
                kind = k;
                check_questions("");
                assert_int_equal(mode_of(in_requests("")), 0700);
                ask(A_FILE);
                requests_answer(runtime, kind, A_FILE, k == REQUEST_NOW ? "now" : "restart");
        }
        assert_true(file_is(in_dir(runtime, "restart/" A_FILE), "restart"));
        assert_true(file_is(in_dir(runtime, "now/" A_FILE), "now"));
        requests_withdraw(runtime, REQUEST_NOW, A_FILE);
        assert_true(exists(in_dir(runtime, "restart/" A_FILE)));
        assert_false(exists(in_dir(runtime, "now/" A_FILE)));
}

/* A row's message has no end that is known. */
static void test_long_answer(void **state) {
        char text[5000];

        (void)state;
        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = 0;
        assert_int_equal(requests_open(runtime), 0);
        ask(A_FILE);
        requests_answer(runtime, kind, A_FILE, text);
        check_answer(A_FILE, text);
}

static void test_waiting(void **state) {
        _cleanup_free_ char *got = NULL;

        (void)state;
        assert_int_equal(requests_open(runtime), 0);
        ask(A_FILE);
        ask(B_FILE);
        requests_answer(runtime, kind, A_FILE, "here");
        /* An answer that is there is taken, however late. */
        assert_int_equal(requests_wait(runtime, kind, A_FILE, 0, &got, &err), 0);
        assert_string_equal(got, "here");
        free(TAKE_PTR(got));
        assert_int_equal(requests_wait(runtime, kind, B_FILE, 0, &got, &err), -ETIMEDOUT);
        assert_null(got);
        assert_non_null(strstr(err.message, "has not answered"));
        assert_string_equal(names_in(in_requests("")), "");
        err = (Err){ 0 };
        assert_int_equal(requests_wait(runtime, kind, B_FILE, INT64_MAX, &got, &err), -ENOENT);
}

static void test_target(void **state) {
        static const char *const bad[] = { "", "a", "/", "a/", "/a", "a/b/c", "A/b", "../a", "a/..", "a b/c", "*" };
        char longest[2 * MANIFEST_NAME_MAX + 2];
        RequestTarget t;

        (void)state;
        assert_int_equal(requests_parse_target("kube-system/a.b", &t), 0);
        assert_string_equal(t.namespace, "kube-system");
        assert_string_equal(t.name, "a.b");
        assert_string_equal(t.file, "daemonlet_kube-system_a.b.json");
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                if (requests_parse_target(bad[i], &t) != -EINVAL)
                        fail_msg("\"%s\" is taken", bad[i]);
        for (size_t n = MANIFEST_NAME_MAX - 1; n < MANIFEST_NAME_MAX + 3; n++) {
                memset(longest, 'a', sizeof(longest));
                memcpy(longest + n, "/b", 3);
                assert_int_equal(requests_parse_target(longest, &t), -EINVAL);
        }
        /* A name of any length has a file. */
        memset(longest, 'a', sizeof(longest));
        longest[1] = '/';
        longest[2 + 253] = 0;
        assert_int_equal(requests_parse_target(longest, &t), 0);
        assert_int_equal(strlen(t.file), MANIFEST_NAME_MAX);
}

/* ---- what a plan makes of them ---- */

/* Its file bears only a part of it. */
static char long_name[241];

/* "b" is held, since an earlier pod of it runs still; the other two are not. */
static char plan_bytes[] = "{}";
static const Rendered plan_rendered = { .bytes = plan_bytes, .len = 2, .revision = "2", .input = "2", .uid = "2" };
static const PlanWanted plan_wanted[] = {
        { .namespace = "ns",
          .name = "a",
          .wish = WISH_ABSENT,
          .state = STATE_NOT_HERE,
          .reason = REASON_UntoleratedTaint,
          .origin = "file:x" },
        { .namespace = "ns", .name = "b", .wish = WISH_PRESENT, .rendered = &plan_rendered, .origin = "file:x" },
        { .namespace = "ns",
          .name = long_name,
          .wish = WISH_ABSENT,
          .state = STATE_NOT_HERE,
          .reason = REASON_UntoleratedTaint,
          .origin = "file:x" },
};
static const PlanTombstone plan_tombstone = {
        .namespace = "ns", .name = "b", .uid = "1", .grace = 30, .witness = WITNESS_RUNNING
};

static PlanFacts plan_facts(void) {
        memset(long_name, 'a', sizeof(long_name) - 1);
        return (PlanFacts){
                .wanted = plan_wanted,
                .n_wanted = ARRAY_SIZE(plan_wanted),
                .tombstones = &plan_tombstone,
                .n_tombstones = 1,
                .hold = HOLD_ALWAYS,
                .kubelet_up_for = 1,
        };
}

static int find_body(void *user) {
        char long_arg[sizeof(long_name) + 3] = "ns/";
        const char *const args[] = { long_arg, "ns/none", "ns/b", "ns/a" };
        const PlanFacts facts = plan_facts();
        _cleanup_names_ Names files = { 0 }, targets = { 0 };
        Reason held[ARRAY_SIZE(args)] = { 0 };
        int r = 0;

        (void)user;
        memcpy(long_arg + 3, long_name, sizeof(long_name));
        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(args); i++) {
                RequestTarget t;

                r = requests_parse_target(args[i], &t);
                if (r == 0)
                        r = names_add(&files, t.file);
        }
        if (r == 0)
                r = requests_find_targets(&facts, &files, &targets, held);
        if (r < 0)
                return r;
        assert_int_equal(targets.n, 3);
        assert_string_equal(targets.items[0], long_arg);
        assert_string_equal(targets.items[1], "ns/b");
        assert_string_equal(targets.items[2], "ns/a");
        for (size_t i = 0; i < ARRAY_SIZE(args); i++)
                assert_int_equal(held[i], i == 2 ? REASON_HoldAlways : REASON_None);
        return 0;
}

static void test_targets_are_found_by_their_files(void **state) {
        (void)state;
        assert_int_equal(find_body(NULL), 0);
        (void)test_oom(find_body, NULL);
}

static void test_answer_to_a_restart(void **state) {
        const PlanFacts facts = plan_facts();
        _cleanup_plan_ Plan plan = { 0 };

        (void)state;
        assert_int_equal(plan_make(&facts, &plan), 0);
        assert_string_equal(requests_restart_answer(&plan, "daemonlet_ns_none.json"), "nothing of it stands here");
        assert_non_null(strstr(requests_restart_answer(&plan, B_FILE), "new revision 2 is pending"));
        assert_string_equal(requests_restart_answer(&plan, A_FILE), "it is being put right; ask again");
        assert_ptr_equal(requests_row(&plan, B_FILE), &plan.rows[1]);
        assert_null(requests_row(&plan, "daemonlet_ns_none.json"));
}

static int read_body(void *user) {
        _cleanup_names_ Names names = { 0 };

        (void)user;
        return requests_read(runtime, kind, &names);
}

static void test_out_of_memory(void **state) {
        (void)state;
        assert_int_equal(requests_open(runtime), 0);
        ask(A_FILE);
        ask(B_FILE);
        (void)test_oom(read_body, NULL);
}

static RequestKind kinds[] = { REQUEST_RESTART, REQUEST_NOW };

#define on_host(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define of_kind(f, i)                                                                                                  \
        { #f " " #i, f, set_up, tear_down, &kinds[i] }
#define of_each_kind(f) of_kind(f, 0), of_kind(f, 1)

int main(void) {
        const struct CMUnitTest tests[] = {
                of_each_kind(test_directory_is_made),
                of_each_kind(test_question_and_answer),
                of_each_kind(test_asked_again_over_an_old_answer),
                of_each_kind(test_who_went_away_gets_no_answer),
                of_each_kind(test_lost_answer),
                of_each_kind(test_answer_that_anybody_may_have_written_is_none),
                of_each_kind(test_what_is_no_question),
                of_each_kind(test_unsafe_directory_is_refused),
                of_each_kind(test_link_in_place_of_the_directory_is_refused),
                of_each_kind(test_long_answer),
                of_each_kind(test_waiting),
                of_each_kind(test_out_of_memory),
                on_host(test_kinds_are_apart),
                on_host(test_target),
                on_host(test_targets_are_found_by_their_files),
                on_host(test_answer_to_a_restart),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
