/* SPDX-License-Identifier: Apache-2.0 */
/* Rows for people and programs: ages, summaries, status.json. */
#include "app/report.h"
#include "tmpdir.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_ages(void **state) {
        static const struct {
                int64_t seconds;
                const char *want;
        } rows[] = {
                { INT64_MIN, "0s" },
                { -1, "0s" },
                { 0, "0s" },
                { 42, "42s" },
                { 119, "119s" },
                { 120, "2m" },
                { 121, "2m1s" },
                { 192, "3m12s" },
                { 599, "9m59s" },
                { 600, "10m" },
                { 3 * 3600 - 1, "179m" },
                { 3 * 3600, "3h" },
                { 3 * 3600 + 59, "3h" },
                { 3 * 3600 + 60, "3h1m" },
                { 8 * 3600 - 1, "7h59m" },
                { 8 * 3600, "8h" },
                { 48 * 3600 - 1, "47h" },
                { 48 * 3600, "2d" },
                { 51 * 3600, "2d3h" },
                { 8 * 86400 - 1, "7d23h" },
                { 8 * 86400, "8d" },
                { 400 * 86400, "400d" },
                { 730 * 86400, "2y" },
                { 731 * 86400, "2y1d" },
                { (int64_t)2921 * 86400, "8y" },
                { INT64_MAX - 1, "292471208677y" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                char age[REPORT_AGE_MAX];

                report_age(rows[i].seconds, age);
                assert_string_equal(age, rows[i].want);
        }
}

/* "namespace/name State" each; NULL behind the last. */
static cJSON *rows_of(const char *const *given) {
        cJSON *rows = cJSON_CreateArray();

        for (; *given; given++) {
                char namespace[32], name[32], state[32];
                cJSON *row = cJSON_CreateObject();

                assert_int_equal(sscanf(*given, "%31[^/]/%31s %31s", namespace, name, state), 3);
                assert_true(json_add_string(row, "namespace", namespace));
                assert_true(json_add_string(row, "name", name));
                assert_true(json_add_string(row, "state", state));
                assert_true(json_append(rows, row));
        }
        return rows;
}
#define ROWS(...) rows_of((const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

static void test_ages_of_rows(void **state) {
        _cleanup_json_ cJSON *rows = ROWS("a/x Running", "a/y Refused");

        (void)state;
        assert_true(json_add(rows->child, "writtenAt", json_new_int(1000)));
        assert_int_equal(report_add_ages(rows, 1042), 0);
        assert_string_equal(json_string(rows->child, "age"), "42s");
        assert_null(json_get(rows->child->next, "age"));
        assert_int_equal(report_add_ages(rows, 4600), 0);
        assert_string_equal(json_string(rows->child, "age"), "60m");
}

static void test_what_is_well(void **state) {
        static const struct {
                State state;
                bool ill;
        } rows[] = {
                { STATE_INVALID, true }, { STATE_REFUSED, true }, { STATE_CONFLICT, true }, { STATE_NOT_STARTED, true }
        };

        (void)state;
        for (unsigned s = 0; s <= STATE_HANDED_OVER; s++) {
                char given[64];
                bool ill = false;
                _cleanup_json_ cJSON *made = NULL;

                (void)snprintf(given, sizeof(given), "a/y %s", state_name((State)s));
                made = ROWS("a/x Running", given, "a/z NotHere");
                for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                        ill |= rows[i].state == (State)s;
                assert_int_equal(report_is_well(made), !ill);
                assert_int_equal(report_row_is_well(made->child->next), !ill);
                assert_true(report_row_is_well(made->child));
        }
}

static void test_rows_are_found(void **state) {
        _cleanup_json_ cJSON *rows = ROWS("a/x Running", "b/x Held", "a/y Refused");

        (void)state;
        assert_string_equal(json_string(report_find(rows, "a", "x"), "state"), "Running");
        assert_string_equal(json_string(report_find(rows, "b", "x"), "state"), "Held");
        assert_string_equal(json_string(report_find(rows, "a", "y"), "state"), "Refused");
        assert_null(report_find(rows, "b", "y"));
        assert_null(report_find(NULL, "a", "x"));
}

static void test_controllers_line(void **state) {
        static const struct {
                const char *row, *want;
        } rows[] = {
                { "{}", "" },
                { "{\"message\":\"m\"}", "" },
                { "{\"controller\":{\"runs\":\"daemonlet\"}}", "runs now: the static pod" },
                { "{\"controller\":{\"runs\":\"controller\",\"pod\":\"p\"},\"message\":\"m\"}",
                  "runs now: the controller's pod; m" },
                { "{\"controller\":{\"runs\":\"both\"},\"message\":\"m; blind\"}",
                  "runs now: the static pod and the controller's; m; blind" },
                { "{\"controller\":{\"runs\":\"nobody\",\"blind\":\"blind\"},\"message\":\"m; blind\"}",
                  "runs now: nobody; m; blind" },
                { "{\"controller\":{\"runs\":\"daemonlet\",\"blind\":\"blind\"},\"message\":\"\"}",
                  "runs now: the static pod; blind" },
                { "{\"controller\":{\"runs\":\"a later version's\"},\"message\":\"m\"}", "" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_json_ cJSON *row = cJSON_Parse(rows[i].row);
                _cleanup_buf_ Buf out = BUF_INIT;

                assert_non_null(row);
                report_controller_line(row, &out);
                assert_string_equal(buf_text(&out), rows[i].want);
        }
}

static void check_summary(cJSON *rows, const char *want) {
        _cleanup_buf_ Buf out = BUF_INIT;

        report_summary(rows, &out);
        assert_string_equal(buf_text(&out), want);
        cJSON_Delete(rows);
}

static void test_summary(void **state) {
        (void)state;
        check_summary(ROWS(), "0 DaemonSets");
        check_summary(ROWS("a/x Running"), "1 DaemonSet: 1 runs here");
        check_summary(ROWS("a/x Running", "a/y Starting", "a/z Written"), "3 DaemonSets: 3 run here");
        check_summary(ROWS("a/x NotHere"), "1 DaemonSet: 1 does not fit");
        check_summary(ROWS("a/x NotHere", "a/y NotHere"), "2 DaemonSets: 2 do not fit");
        check_summary(ROWS("a/a NotStarted", "a/b Conflict", "a/c Invalid", "a/d Refused", "a/e Held", "a/f Waiting",
                           "a/g HandedOver", "a/h Terminating", "a/i NotHere", "a/j Written", "a/k NotStarted"),
                      "11 DaemonSets: 1 runs here, 1 does not fit, 1 terminating, 1 handed over, 1 waiting, 1 held, "
                      "1 refused, 1 invalid, 1 in conflict, 2 not started");
}

/* Every state is counted somewhere. */
static void test_summary_knows_every_state(void **state) {
        (void)state;
        for (unsigned s = 0; s <= STATE_HANDED_OVER; s++) {
                char given[64];
                _cleanup_json_ cJSON *rows = NULL;
                _cleanup_buf_ Buf out = BUF_INIT;

                (void)snprintf(given, sizeof(given), "a/x %s", state_name((State)s));
                rows = ROWS(given);
                report_summary(rows, &out);
                if (!startswith(buf_text(&out), "1 DaemonSet: 1 "))
                        fail_msg("%s: %s", given, buf_text(&out));
        }
}

static void test_columns_of_status(void **state) {
        (void)state;
        assert_string_equal(status_columns[0].header, "NAMESPACE");
        assert_string_equal(status_columns[7].key, "age");
        for (size_t i = 0; i < n_status_columns; i++)
                for (size_t j = 0; j < i; j++)
                        assert_string_not_equal(status_columns[i].header, status_columns[j].header);
}

static void test_status(void **state) {
        Mishap mishaps[] = { { .daemonset = "ns/a", .what = { "disk full" }, .at = 5, .logged_at = 4, .count = 3 },
                             { .what = { "no sources" }, .at = 2, .count = 1 } };
        const Ledger ledger = { .repairs = 1, .quarantined = 2, .holds = 3, .conflicts = 4, .restarts = 5 };
        const ReportFacts facts = {
                .ledger = &ledger, .problem = "bad", .mishaps = mishaps, .n_mishaps = ARRAY_SIZE(mishaps)
        };
        _cleanup_json_ cJSON *status = report_status(&facts);
        _cleanup_free_ char *text = json_canonical_text(status, NULL);
        char want[512];

        (void)state;
        (void)snprintf(
                want, sizeof(want),
                "{\"counters\":{\"conflicts\":4,\"handovers\":0,\"held\":3,\"quarantined\":2,\"repairs\":1,\"restarts\":5,\"takebacks\":0},"
                "\"lastErrors\":[{\"at\":5,\"count\":3,\"daemonset\":\"ns/a\",\"message\":\"disk full\"},"
                "{\"at\":2,\"count\":1,\"daemonset\":\"\",\"message\":\"no sources\"}],\"pid\":%d,"
                "\"problem\":\"bad\",\"version\":1}",
                (int)getpid());
        assert_string_equal(text, want);
}

static void test_rows_of_a_plan(void **state) {
        PlanRow rows[] = { { .namespace = (char *)(uintptr_t) "a",
                             .name = (char *)(uintptr_t) "x",
                             .state = STATE_STARTING,
                             .reason = REASON_Restarting,
                             .has_step = true,
                             .verb = STEP_WITHDRAW,
                             .effect = EFFECT_POD_RESTART,
                             .written_at = 77 },
                           { .namespace = (char *)(uintptr_t) "a", .name = (char *)(uintptr_t) "y" } };
        const Reconcile r = { .plan = { .rows = rows, .n_rows = ARRAY_SIZE(rows) } };
        _cleanup_json_ cJSON *made = report_rows(&r);
        int64_t at = 0;

        (void)state;
        assert_string_equal(json_string(made->child, "action"), "withdraw");
        assert_string_equal(json_string(made->child, "effect"), "restart");
        assert_string_equal(json_string(made->child, "reason"), "Restarting");
        assert_true(json_int(json_get(made->child, "writtenAt"), &at));
        assert_int_equal(at, 77);
        assert_string_equal(json_string(made->child->next, "action"), "-");
        assert_null(json_get(made->child->next, "writtenAt"));
}

/* ---- status.json ---- */

static void write_text(const char *dir, const char *text) {
        Err err = { 0 };

        if (report_write(dir, text, strlen(text), &err) < 0)
                fail_msg("%s", err.message);
}

static void test_report_of_a_living_agent_is_read(void **state) {
        _cleanup_free_ char *dir = NULL;
        _cleanup_json_ cJSON *status = NULL;
        char *base = tmpdir_new(), text[128];
        mode_t saved;
        pid_t pid;
        Err err = { 0 };

        (void)state;
        dir = strdup(in_dir(base, "run"));
        assert_non_null(dir);
        assert_int_equal(report_read(dir, &status), 0);
        assert_null(status);
        (void)snprintf(text, sizeof(text), "{\"pid\":%d}", (int)getpid());
        saved = umask(022); /* which a new directory obeys */
        write_text(dir, text);
        (void)umask(saved);
        assert_int_equal(mode_of(dir), 0755);
        assert_int_equal(mode_of(in_dir(dir, "status.json")), 0644);
        assert_string_equal(names_in(dir), "status.json");
        assert_int_equal(report_read(dir, &status), 0);
        assert_non_null(status);
        cJSON_Delete(status);
        /* One that has ended. */
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
                _exit(0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        (void)snprintf(text, sizeof(text), "{\"pid\":%d}", (int)pid);
        write_text(dir, text);
        assert_int_equal(report_read(dir, &status), 0);
        assert_null(status);
        for (int i = 0; i < 4; i++) {
                write_text(dir, (const char *[]){ "{}", "{\"pid\":0}", "{\"pid\":-1}", "{\"pid\":" }[i]);
                assert_int_equal(report_read(dir, &status), 0);
                assert_null(status);
        }
        /* One that anybody may have written is none. */
        (void)snprintf(text, sizeof(text), "{\"pid\":%d}", (int)getpid());
        write_text(dir, text);
        assert_int_equal(chmod(in_dir(dir, "status.json"), 0666), 0);
        assert_int_equal(report_read(dir, &status), 0);
        assert_null(status);
        put_file(in_dir(base, "file"), "", 0600);
        assert_int_equal(report_write(in_dir(base, "file"), "", 0, &err), -ENOTDIR);
        assert_non_null(strstr(err.message, "cannot write status.json"));
        tmpdir_free(base);
}

static int status_body(void *user) {
        Mishap mishap = { .what = { "disk full" } };
        const Ledger ledger = { 0 };
        const ReportFacts facts = { .ledger = &ledger, .mishaps = &mishap, .n_mishaps = 1 };
        _cleanup_json_ cJSON *status = report_status(&facts);

        (void)user;
        return status ? 0 : -ENOMEM;
}

static void test_out_of_memory(void **state) {
        (void)state;
        (void)test_oom(status_body, NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_ages),
                cmocka_unit_test(test_ages_of_rows),
                cmocka_unit_test(test_what_is_well),
                cmocka_unit_test(test_rows_are_found),
                cmocka_unit_test(test_controllers_line),
                cmocka_unit_test(test_summary),
                cmocka_unit_test(test_summary_knows_every_state),
                cmocka_unit_test(test_columns_of_status),
                cmocka_unit_test(test_status),
                cmocka_unit_test(test_rows_of_a_plan),
                cmocka_unit_test(test_report_of_a_living_agent_is_read),
                cmocka_unit_test(test_out_of_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
