/* SPDX-License-Identifier: Apache-2.0 */
/* What went wrong is told once and remembered; reports are written when they say something new. */
#include "app/observe.h"
#include "app/report.h"
#include "tmpdir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define _cleanup_observer_ _cleanup_(observer_done)

static char *base, *runtime;
static int log_fd, saved_stderr, notify_fd;

static int set_up(void **state) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        (void)state;
        (void)unsetenv("JOURNAL_STREAM");
        base = tmpdir_new();
        runtime = strdup(in_dir(base, "run"));
        assert_non_null(runtime);
        log_fd = open(in_dir(base, "log"), O_RDWR | O_CREAT | O_CLOEXEC | O_APPEND, 0600);
        assert_true(log_fd >= 0);
        saved_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        assert_true(dup2(log_fd, STDERR_FILENO) >= 0);
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", in_dir(base, "notify"));
        notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_int_equal(bind(notify_fd, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(setenv("NOTIFY_SOCKET", address.sun_path, 1), 0);
        return 0;
}

static int tear_down(void **state) {
        (void)state;
        (void)unsetenv("NOTIFY_SOCKET");
        assert_true(dup2(saved_stderr, STDERR_FILENO) >= 0);
        (void)close(saved_stderr);
        (void)close(log_fd);
        (void)close(notify_fd);
        free(runtime);
        tmpdir_free(base);
        return 0;
}

/* What was logged since the last call. */
static void check_log(const char *want) {
        _cleanup_free_ char *text = NULL;

        (void)fflush(stderr);
        text = test_read_file(in_dir(base, "log"), NULL);
        assert_string_equal(text, want);
        assert_int_equal(ftruncate(log_fd, 0), 0);
}

/* The last status text that the service manager was told since the last call; NULL: none. */
static const char *told(void) {
        static char text[2048];
        ssize_t n, last = -1;

        while ((n = recv(notify_fd, text, sizeof(text) - 1, 0)) >= 0)
                last = n;
        if (last < 0)
                return NULL;
        text[last] = 0;
        return text;
}

/* ---- parts ---- */

static void note(Observer *o, Part part, const char *message) {
        Err err = { 0 };

        (void)snprintf(err.message, sizeof(err.message), "%s", str_or_empty(message));
        observer_note(o, part, message ? -EIO : 0, message ? &err : &(Err){ 0 }, "node-1");
}

static void test_a_problem_is_logged_when_it_begins(void **state) {
        _cleanup_observer_ Observer o = { 0 };

        (void)state;
        assert_string_equal(observer_problem(&o), "");
        note(&o, PART_SOURCES, NULL);
        check_log("");
        note(&o, PART_SOURCES, "no daemonsets.d");
        check_log("daemonlet: error: no daemonsets.d\n");
        assert_string_equal(observer_problem(&o), "no daemonsets.d");
        note(&o, PART_SOURCES, "no daemonsets.d");
        check_log("");
        assert_int_equal(o.mishaps[0].count, 1);
        note(&o, PART_SOURCES, "no permission");
        check_log("daemonlet: error: no permission\n");
        assert_string_equal(observer_problem(&o), "no permission");
        note(&o, PART_SOURCES, NULL);
        assert_string_equal(observer_problem(&o), "");
        /* It begins again within the hour: counted only. */
        note(&o, PART_SOURCES, "no daemonsets.d");
        check_log("");
        assert_string_equal(observer_problem(&o), "no daemonsets.d");
        assert_int_equal(o.n_mishaps, 2);
        assert_string_equal(o.mishaps[0].what.message, "no daemonsets.d");
        assert_string_equal(o.mishaps[0].daemonset, "");
        assert_int_equal(o.mishaps[0].count, 2);
        assert_string_equal(o.mishaps[1].what.message, "no permission");
        assert_int_equal(o.mishaps[1].count, 1);
}

static void test_the_first_part_is_the_problem(void **state) {
        _cleanup_observer_ Observer o = { 0 };

        (void)state;
        for (unsigned p = N_PARTS; p-- > 0;) {
                const char *names[N_PARTS] = { "settings", "sources", "manifests", "report", "metrics" };

                note(&o, (Part)p, names[p]);
                assert_string_equal(observer_problem(&o), names[p]);
        }
        for (unsigned p = 0; p < N_PARTS; p++)
                note(&o, (Part)p, NULL);
        assert_string_equal(observer_problem(&o), "");
}

static void test_after_an_hour_it_is_logged_again(void **state) {
        static const struct {
                int64_t ago;
                bool logged;
        } rows[] = { { 0, false },
                     { MISHAP_SILENCE - 60, false },
                     { MISHAP_SILENCE, true },
                     { 2 * MISHAP_SILENCE, true },
                     { -60, true } /* the clock went back */ };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_observer_ Observer o = { 0 };
                int64_t before = (int64_t)time(NULL), set;

                note(&o, PART_REPORT, "full");
                check_log("daemonlet: error: full\n");
                assert_true(o.mishaps[0].logged_at >= before);
                assert_true(o.mishaps[0].at >= before);
                set = o.mishaps[0].logged_at = (int64_t)time(NULL) - rows[i].ago;
                o.mishaps[0].at = 0;
                note(&o, PART_REPORT, NULL);
                note(&o, PART_REPORT, "full");
                check_log(rows[i].logged ? "daemonlet: error: full\n" : "");
                assert_int_equal(o.mishaps[0].count, 2);
                assert_true(o.mishaps[0].at >= before);
                assert_true(rows[i].logged ? o.mishaps[0].logged_at >= before : o.mishaps[0].logged_at == set);
        }
}

static void test_the_latest_come_first_and_the_oldest_goes(void **state) {
        _cleanup_observer_ Observer o = { 0 };
        char message[32];

        (void)state;
        for (int i = 0; i < MISHAPS_MAX + 2; i++) {
                (void)snprintf(message, sizeof(message), "problem %d", i);
                note(&o, PART_MANIFESTS, message);
                assert_string_equal(o.mishaps[0].what.message, message);
                assert_int_equal(o.n_mishaps, i < MISHAPS_MAX ? i + 1 : MISHAPS_MAX);
        }
        for (int i = 0; i < MISHAPS_MAX; i++) {
                (void)snprintf(message, sizeof(message), "problem %d", MISHAPS_MAX + 1 - i);
                assert_string_equal(o.mishaps[i].what.message, message);
                assert_int_equal(o.mishaps[i].count, 1);
        }
        /* One from the middle comes to the front; the others keep their order. */
        note(&o, PART_MANIFESTS, "problem 10");
        assert_int_equal(o.n_mishaps, MISHAPS_MAX);
        assert_string_equal(o.mishaps[0].what.message, "problem 10");
        assert_string_equal(o.mishaps[1].what.message, "problem 17");
        assert_string_equal(o.mishaps[7].what.message, "problem 11");
        assert_string_equal(o.mishaps[8].what.message, "problem 9");
        assert_string_equal(o.mishaps[MISHAPS_MAX - 1].what.message, "problem 2");
        /* What was dropped is new. */
        note(&o, PART_MANIFESTS, "problem 0");
        assert_int_equal(o.mishaps[0].count, 1);
        assert_string_equal(o.mishaps[MISHAPS_MAX - 1].what.message, "problem 3");
}

/* ---- steps ---- */

static PlanStep step(StepVerb verb, const char *name, const char *failure) {
        return (PlanStep){ .verb = verb,
                           .file = (char *)(uintptr_t) "file.json",
                           .namespace = (char *)(uintptr_t)(*name ? "ns" : ""),
                           .name = (char *)(uintptr_t)name,
                           .why = (char *)(uintptr_t) "because",
                           .failure = (char *)(uintptr_t)failure };
}

static void test_steps_are_logged(void **state) {
        _cleanup_observer_ Observer o = { 0 };

        (void)state;
        for (unsigned v = 0; v <= STEP_TOUCH; v++) {
                PlanStep s = step((StepVerb)v, "a", NULL);
                Plan plan = { .steps = &s, .n_steps = 1 };
                char want[128] = "";

                if (v != STEP_RECORD && v != STEP_FORGET)
                        (void)snprintf(want, sizeof(want), "daemonlet: %s file.json: because\n",
                                       step_verb_name((StepVerb)v));
                observer_log_steps(&o, &plan, "node-1");
                check_log(want);
        }
        assert_int_equal(o.n_mishaps, 0);
}

static void test_failures_are_logged_once_for_each_daemonset(void **state) {
        _cleanup_observer_ Observer o = { 0 };
        PlanStep steps[] = { step(STEP_CREATE, "a", "disk full"), step(STEP_CREATE, "b", "disk full"),
                             step(STEP_SWEEP, "", "disk full"), step(STEP_CREATE, "a", "disk full") };
        Plan plan = { .steps = steps, .n_steps = ARRAY_SIZE(steps) };

        (void)state;
        observer_log_steps(&o, &plan, NULL);
        check_log("daemonlet: error: disk full\ndaemonlet: error: disk full\ndaemonlet: error: disk full\n");
        assert_int_equal(o.n_mishaps, 3);
        assert_string_equal(o.mishaps[0].daemonset, "ns/a");
        assert_int_equal(o.mishaps[0].count, 2);
        assert_string_equal(o.mishaps[1].daemonset, "");
        assert_int_equal(o.mishaps[1].count, 1);
        assert_string_equal(o.mishaps[2].daemonset, "ns/b");
        observer_log_steps(&o, &plan, NULL);
        check_log("");
        assert_int_equal(o.mishaps[0].count, 4);
        /* It is no part's problem. */
        assert_string_equal(observer_problem(&o), "");
}

/* ---- reports ---- */

typedef struct Given {
        Reconcile r;
        Ledger ledger;
        PlanRow row;
        ObserverFacts facts;
} Given;

static void give(Given *g) {
        *g = (Given){ .row = { .namespace = (char *)(uintptr_t) "ns",
                               .name = (char *)(uintptr_t) "a",
                               .state = STATE_RUNNING,
                               .reason = REASON_Fits } };
        g->r.config.runtime_dir = runtime;
        g->r.config.daemonsets_dir = base;
        g->r.manifest_dir = base;
        g->r.plan = (Plan){ .rows = &g->row, .n_rows = 1 };
        g->facts = (ObserverFacts){ .reconcile = &g->r, .has_read = true, .passed = true, .ledger = &g->ledger };
}

static char *status_text(void) {
        return test_read_file(in_dir(runtime, "status.json"), NULL);
}

static void test_report_is_written_when_it_is_new(void **state) {
        _cleanup_observer_ Observer o = { 0 };
        _cleanup_free_ char *before = NULL, *after = NULL, *text = NULL;
        Given g;

        (void)state;
        give(&g);
        observer_tell(&o, &g.facts);
        assert_string_equal(told(), "STATUS=1 DaemonSet: 1 runs here");
        text = status_text();
        assert_non_null(strstr(text, "\"state\":\"Running\""));
        assert_non_null(strstr(text, "\"updatedAt\":"));
        assert_non_null(strstr(text, "\"passes\":0"));
        /* Nothing new: nothing is written, although a pass more was made. */
        before = tree_state(base);
        o.metrics.passes = 7;
        observer_tell(&o, &g.facts);
        after = tree_state(base);
        assert_string_equal(before, after);
        assert_null(told());
        g.row.state = STATE_NOT_STARTED;
        observer_tell(&o, &g.facts);
        assert_string_equal(told(), "STATUS=1 DaemonSet: 1 not started");
        free(text);
        text = status_text();
        assert_non_null(strstr(text, "\"state\":\"NotStarted\""));
        assert_non_null(strstr(text, "\"passes\":7"));
        check_log("");
}

static void test_problem_is_told(void **state) {
        _cleanup_observer_ Observer o = { 0 };
        _cleanup_free_ char *text = NULL;
        Given g;

        (void)state;
        give(&g);
        g.facts.has_read = false;
        observer_tell(&o, &g.facts);
        assert_string_equal(told(), "STATUS=");
        note(&o, PART_SETTINGS, "no kubelet.conf");
        observer_tell(&o, &g.facts);
        assert_string_equal(told(), "STATUS=no kubelet.conf");
        text = status_text();
        assert_non_null(strstr(text, "\"problem\":\"no kubelet.conf\""));
        assert_null(strstr(text, "daemonsets"));
        assert_non_null(strstr(text, "\"lastErrors\":[{"));
        g.r.config.runtime_dir = NULL;
        note(&o, PART_SETTINGS, "other");
        observer_tell(&o, &g.facts);
        assert_string_equal(told(), "STATUS=other");
}

static void test_report_that_failed_is_written_later(void **state) {
        _cleanup_observer_ Observer o = { 0 };
        Given g;

        (void)state;
        give(&g);
        put_file(runtime, "in the way", 0600);
        observer_tell(&o, &g.facts);
        assert_null(o.status);
        assert_non_null(strstr(observer_problem(&o), "status.json"));
        assert_int_equal(unlink(runtime), 0);
        observer_tell(&o, &g.facts);
        assert_true(exists(in_dir(runtime, "status.json")));
        assert_string_equal(observer_problem(&o), "");
        /* The report on disk must not name it for ever. */
        observer_tell(&o, &g.facts);
        assert_true(strstr(told(), "1 runs here") != NULL);
}

static void test_metrics_are_written(void **state) {
        _cleanup_observer_ Observer o = { 0 };
        _cleanup_free_ char *path = NULL, *text = NULL;
        Given g;

        (void)state;
        give(&g);
        path = strdup(in_dir(base, "metrics.prom"));
        assert_non_null(path);
        g.r.config.metrics_textfile = path;
        g.ledger.restarts = 3;
        observer_tell(&o, &g.facts);
        text = test_read_file(path, NULL);
        assert_non_null(strstr(text, "\ndaemonlet_restarts_total 3\n"));
        assert_non_null(strstr(text, "daemonlet_daemonsets{state=\"Running\"} 1\n"));
        assert_non_null(strstr(text, "\ndaemonlet_problem 0\n"));
        free(text);
        note(&o, PART_SOURCES, "bad");
        observer_tell(&o, &g.facts);
        text = test_read_file(path, NULL);
        assert_non_null(strstr(text, "\ndaemonlet_problem 1\n"));
        note(&o, PART_SOURCES, NULL);
        free(path);
        path = strdup(in_dir(base, "missing/metrics.prom"));
        assert_non_null(path);
        g.r.config.metrics_textfile = path;
        observer_tell(&o, &g.facts);
        assert_non_null(strstr(observer_problem(&o), "metrics.prom"));
        /* Who reads the file sees that it could be written again. */
        put_dir(in_dir(base, "missing"), 0755);
        observer_tell(&o, &g.facts);
        assert_string_equal(observer_problem(&o), "");
        free(text);
        text = test_read_file(path, NULL);
        assert_non_null(strstr(text, "\ndaemonlet_problem 0\n"));
        /* Before the first reading there are no rows. */
        g.facts.has_read = false;
        observer_tell(&o, &g.facts);
        free(text);
        text = test_read_file(path, NULL);
        assert_non_null(strstr(text, "daemonlet_daemonsets{state=\"Running\"} 0\n"));
}

#define on_host(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                on_host(test_a_problem_is_logged_when_it_begins),
                on_host(test_the_first_part_is_the_problem),
                on_host(test_after_an_hour_it_is_logged_again),
                on_host(test_the_latest_come_first_and_the_oldest_goes),
                on_host(test_steps_are_logged),
                on_host(test_failures_are_logged_once_for_each_daemonset),
                on_host(test_report_is_written_when_it_is_new),
                on_host(test_problem_is_told),
                on_host(test_report_that_failed_is_written_later),
                on_host(test_metrics_are_written),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
