/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to a running agent, and its answers. */
#include "app/requests.h"
#include "tmpdir.h"

#include <errno.h>
#include <unistd.h>

#define A_FILE "daemonlet_ns_a.json"
#define B_FILE "daemonlet_ns_b.json"

static char *base, *runtime;
static Err err;

static int set_up(void **state) {
        (void)state;
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
        _cleanup_free_ char *path = requests_path(runtime);

        assert_non_null(path);
        return in_dir(path, name);
}

/* "a b c" */
static char *questions(void) {
        _cleanup_names_ Names names = { 0 };
        Buf text = BUF_INIT;

        assert_int_equal(requests_read(runtime, &names), 0);
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

        assert_int_equal(requests_take(runtime, file, &got, &err), 0);
        if (want)
                assert_string_equal(got, want);
        else
                assert_null(got);
}

static void ask(const char *file) {
        if (requests_ask(runtime, file, &err) < 0)
                fail_msg("%s", err.message);
}

static void test_directory_is_made(void **state) {
        (void)state;
        assert_int_equal(requests_open(runtime), 0);
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
        requests_answer(runtime, A_FILE, "Held ApiNotSynced");
        assert_string_equal(names_in(in_requests("")), A_FILE " " B_FILE);
        check_questions(B_FILE);
        check_answer(B_FILE, NULL);
        check_answer(A_FILE, "Held ApiNotSynced");
        /* An answer is taken once. */
        assert_string_equal(names_in(in_requests("")), B_FILE);
        requests_withdraw(runtime, B_FILE);
        check_questions("");
        assert_string_equal(names_in(in_requests("")), "");
}

static void test_asked_again_over_an_old_answer(void **state) {
        (void)state;
        assert_int_equal(requests_open(runtime), 0);
        ask(A_FILE);
        requests_answer(runtime, A_FILE, "old");
        ask(A_FILE);
        check_questions(A_FILE);
        check_answer(A_FILE, NULL);
        requests_answer(runtime, A_FILE, "new");
        check_answer(A_FILE, "new");
}

static void test_who_went_away_gets_no_answer(void **state) {
        (void)state;
        assert_int_equal(requests_open(runtime), 0);
        ask(A_FILE);
        requests_withdraw(runtime, A_FILE);
        requests_answer(runtime, A_FILE, "too late");
        assert_string_equal(names_in(in_requests("")), "");
        /* An answer stands until it is taken. */
        ask(A_FILE);
        requests_answer(runtime, A_FILE, "first");
        requests_answer(runtime, A_FILE, "second");
        check_answer(A_FILE, "first");
}

static void test_lost_answer(void **state) {
        _cleanup_free_ char *got = NULL;

        (void)state;
        assert_int_equal(requests_open(runtime), 0);
        assert_int_equal(requests_take(runtime, A_FILE, &got, &err), -ENOENT);
        assert_null(got);
        assert_non_null(strstr(err.message, "/restart/" A_FILE));
}

static void test_answer_that_anybody_may_have_written_is_none(void **state) {
        _cleanup_free_ char *got = NULL;

        (void)state;
        assert_int_equal(requests_open(runtime), 0);
        put_file(in_requests(A_FILE), "Running", 0600);
        assert_int_equal(chmod(in_requests(A_FILE), 0606), 0);
        assert_int_equal(requests_take(runtime, A_FILE, &got, &err), -EPERM);
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
        assert_int_equal(requests_ask(runtime, "daemonlet_ns_e.json", &err), -ELOOP);
        assert_non_null(strstr(err.message, "cannot ask the agent"));
}

/* Nobody listens in a directory that others may write to. */
static void check_deaf(int why) {
        _cleanup_free_ char *got = NULL;

        err = (Err){ 0 };
        check_questions("");
        assert_int_equal(requests_ask(runtime, B_FILE, &err), why);
        assert_non_null(strstr(err.message, "/restart"));
        err = (Err){ 0 };
        assert_int_equal(requests_take(runtime, A_FILE, &got, &err), why);
        assert_null(got);
        requests_answer(runtime, A_FILE, "no");
        requests_withdraw(runtime, A_FILE);
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
        put_link(in_dir(runtime, "restart"), in_dir(base, "other"));
        check_questions("");
        assert_true(requests_ask(runtime, B_FILE, &err) < 0);
        assert_string_equal(names_in(in_dir(base, "other")), A_FILE);
}

static int read_body(void *user) {
        _cleanup_names_ Names names = { 0 };

        (void)user;
        return requests_read(runtime, &names);
}

static void test_out_of_memory(void **state) {
        (void)state;
        assert_int_equal(requests_open(runtime), 0);
        ask(A_FILE);
        ask(B_FILE);
        (void)test_oom(read_body, NULL);
}

#define on_host(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                on_host(test_directory_is_made),
                on_host(test_question_and_answer),
                on_host(test_asked_again_over_an_old_answer),
                on_host(test_who_went_away_gets_no_answer),
                on_host(test_lost_answer),
                on_host(test_answer_that_anybody_may_have_written_is_none),
                on_host(test_what_is_no_question),
                on_host(test_unsafe_directory_is_refused),
                on_host(test_link_in_place_of_the_directory_is_refused),
                on_host(test_out_of_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
