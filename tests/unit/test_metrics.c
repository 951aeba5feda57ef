/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers for Prometheus: the exact text, and the file that they are written to. */
#include "app/metrics.h"
#include "test.h"
#include "tmpdir.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- text ---- */

typedef struct Given {
        const char *namespace, *name, *state, *reason; /* NULL: the row has no such member */
} Given;

static cJSON *rows_of(const Given *given, size_t n) {
        cJSON *rows = cJSON_CreateArray();

        for (size_t i = 0; i < n; i++) {
                const Given *g = &given[i];
                cJSON *row = cJSON_CreateObject();

                assert_true(!g->namespace || json_add_string(row, "namespace", g->namespace));
                assert_true(!g->name || json_add_string(row, "name", g->name));
                assert_true(!g->state || json_add_string(row, "state", g->state));
                assert_true(!g->reason || json_add_string(row, "reason", g->reason));
                assert_true(json_append(rows, row));
        }
        return rows;
}

static char *text_of(const MetricsFacts *facts) {
        Buf out = BUF_INIT;

        assert_int_equal(metrics_text(facts, &out), 0);
        return buf_take(&out, NULL);
}

/* The samples that start like this. */
static char *samples(const char *text, const char *start) {
        Buf out = BUF_INIT;

        for (const char *p = text; *p; p = strchr(p, '\n') + 1)
                if (startswith(p, start))
                        buf_add(&out, p, (size_t)(strchr(p, '\n') + 1 - p));
        return buf_take(&out, NULL);
}

static void check_rows(const Given *given, size_t n, const char *start, const char *want) {
        _cleanup_json_ cJSON *rows = rows_of(given, n);
        MetricsFacts facts = { .metrics = &(Metrics){ 0 }, .ledger = &(Ledger){ 0 }, .rows = rows };
        _cleanup_free_ char *text = text_of(&facts);
        _cleanup_free_ char *got = samples(text, start);

        assert_string_equal(got, want);
}
#define CHECK_ROWS(given, start, want) check_rows(given, ARRAY_SIZE(given), "daemonlet_" start, want)

static void test_all_series_are_there_from_the_start(void **state) {
        static const char want[] =
                "# HELP daemonlet_build_info Always 1; the label tells the version.\n"
                "# TYPE daemonlet_build_info gauge\n"
                "daemonlet_build_info{version=\"" PACKAGE_VERSION "\"} 1\n"
                "# HELP daemonlet_start_time_seconds When the agent started, since 1970.\n"
                "# TYPE daemonlet_start_time_seconds gauge\n"
                "daemonlet_start_time_seconds 1700000000\n"
                "# HELP daemonlet_daemonsets DaemonSets in each state.\n"
                "# TYPE daemonlet_daemonsets gauge\n"
                "daemonlet_daemonsets{state=\"Running\"} 0\n"
                "daemonlet_daemonsets{state=\"Starting\"} 0\n"
                "daemonlet_daemonsets{state=\"NotStarted\"} 0\n"
                "daemonlet_daemonsets{state=\"Terminating\"} 0\n"
                "daemonlet_daemonsets{state=\"Written\"} 0\n"
                "daemonlet_daemonsets{state=\"Held\"} 0\n"
                "daemonlet_daemonsets{state=\"Waiting\"} 0\n"
                "daemonlet_daemonsets{state=\"Refused\"} 0\n"
                "daemonlet_daemonsets{state=\"Invalid\"} 0\n"
                "daemonlet_daemonsets{state=\"Conflict\"} 0\n"
                "daemonlet_daemonsets{state=\"NotHere\"} 0\n"
                "daemonlet_daemonsets{state=\"HandedOver\"} 0\n"
                "# HELP daemonlet_verdicts DaemonSets with each reason that occurs.\n"
                "# TYPE daemonlet_verdicts gauge\n"
                "# HELP daemonlet_daemonset_state Always 1; the labels tell state and reason of a DaemonSet.\n"
                "# TYPE daemonlet_daemonset_state gauge\n"
                "# HELP daemonlet_repairs_total Manifests that were put right.\n"
                "# TYPE daemonlet_repairs_total counter\n"
                "daemonlet_repairs_total 0\n"
                "# HELP daemonlet_quarantined_total Files that were moved out of the manifest directory.\n"
                "# TYPE daemonlet_quarantined_total counter\n"
                "daemonlet_quarantined_total 0\n"
                "# HELP daemonlet_conflicts_total Times that a DaemonSet came into conflict.\n"
                "# TYPE daemonlet_conflicts_total counter\n"
                "daemonlet_conflicts_total 0\n"
                "# HELP daemonlet_holds_total Times that a DaemonSet became held.\n"
                "# TYPE daemonlet_holds_total counter\n"
                "daemonlet_holds_total 0\n"
                "# HELP daemonlet_restarts_total Manifests that were withdrawn to start their pods again.\n"
                "# TYPE daemonlet_restarts_total counter\n"
                "daemonlet_restarts_total 0\n"
                "# HELP daemonlet_handovers_total Manifests that were withdrawn for the DaemonSet controller's pod.\n"
                "# TYPE daemonlet_handovers_total counter\n"
                "daemonlet_handovers_total 0\n"
                "# HELP daemonlet_takebacks_total Manifests that were written again after a hand-over.\n"
                "# TYPE daemonlet_takebacks_total counter\n"
                "daemonlet_takebacks_total 0\n"
                "# HELP daemonlet_failures_total Passes that failed.\n"
                "# TYPE daemonlet_failures_total counter\n"
                "daemonlet_failures_total 0\n"
                "# HELP daemonlet_reconcile_duration_seconds Duration of passes.\n"
                "# TYPE daemonlet_reconcile_duration_seconds histogram\n"
                "daemonlet_reconcile_duration_seconds_bucket{le=\"0.0005\"} 0\n"
                "daemonlet_reconcile_duration_seconds_bucket{le=\"0.001\"} 0\n"
                "daemonlet_reconcile_duration_seconds_bucket{le=\"0.0025\"} 0\n"
                "daemonlet_reconcile_duration_seconds_bucket{le=\"0.005\"} 0\n"
                "daemonlet_reconcile_duration_seconds_bucket{le=\"0.01\"} 0\n"
                "daemonlet_reconcile_duration_seconds_bucket{le=\"0.025\"} 0\n"
                "daemonlet_reconcile_duration_seconds_bucket{le=\"0.05\"} 0\n"
                "daemonlet_reconcile_duration_seconds_bucket{le=\"0.1\"} 0\n"
                "daemonlet_reconcile_duration_seconds_bucket{le=\"0.25\"} 0\n"
                "daemonlet_reconcile_duration_seconds_bucket{le=\"1\"} 0\n"
                "daemonlet_reconcile_duration_seconds_bucket{le=\"+Inf\"} 0\n"
                "daemonlet_reconcile_duration_seconds_sum 0.000000\n"
                "daemonlet_reconcile_duration_seconds_count 0\n"
                "# HELP daemonlet_last_success_timestamp_seconds End of the last pass without a failure, since 1970; 0 if there was none.\n"
                "# TYPE daemonlet_last_success_timestamp_seconds gauge\n"
                "daemonlet_last_success_timestamp_seconds 0\n"
                "# HELP daemonlet_problem 1 while something is wrong that daemonlet status names.\n"
                "# TYPE daemonlet_problem gauge\n"
                "daemonlet_problem 0\n";
        const Metrics m = { .started_at = 1700000000 };
        _cleanup_free_ char *text = text_of(&(MetricsFacts){ .metrics = &m, .ledger = &(Ledger){ 0 } });

        (void)state;
        assert_string_equal(text, want);
}

static void test_rows(void **state) {
        static const Given rows[] = {
                { "", "-", "Invalid", "Unreadable" },
                { "", "-", "Invalid", "Unreadable" },
                { "z", "b", "Written", "Fits" },
                { "a", "c", "Refused", "UnsupportedVolume" },
                { "a", "b", "Written", "Fits" },
                { "a", "-", "NotHere", "UntoleratedTaint" },
                { "", "b", "Held", "" },
        };

        (void)state;
        CHECK_ROWS(rows, "daemonsets{state=\"Running\"", "daemonlet_daemonsets{state=\"Running\"} 0\n");
        CHECK_ROWS(rows, "daemonsets{state=\"Written\"", "daemonlet_daemonsets{state=\"Written\"} 2\n");
        CHECK_ROWS(rows, "daemonsets{state=\"Invalid\"", "daemonlet_daemonsets{state=\"Invalid\"} 2\n");
        CHECK_ROWS(rows, "daemonsets{state=\"HandedOver\"", "daemonlet_daemonsets{state=\"HandedOver\"} 0\n");
        CHECK_ROWS(rows, "verdicts{",
                   "daemonlet_verdicts{reason=\"Fits\"} 2\n"
                   "daemonlet_verdicts{reason=\"UntoleratedTaint\"} 1\n"
                   "daemonlet_verdicts{reason=\"Unreadable\"} 2\n"
                   "daemonlet_verdicts{reason=\"UnsupportedVolume\"} 1\n");
        CHECK_ROWS(
                rows, "daemonset_state{",
                "daemonlet_daemonset_state{namespace=\"z\",daemonset=\"b\",state=\"Written\",reason=\"Fits\"} 1\n"
                "daemonlet_daemonset_state{namespace=\"a\",daemonset=\"c\",state=\"Refused\",reason=\"UnsupportedVolume\"} 1\n"
                "daemonlet_daemonset_state{namespace=\"a\",daemonset=\"b\",state=\"Written\",reason=\"Fits\"} 1\n"
                "daemonlet_daemonset_state{namespace=\"a\",daemonset=\"-\",state=\"NotHere\",reason=\"UntoleratedTaint\"} 1\n"
                "daemonlet_daemonset_state{namespace=\"\",daemonset=\"b\",state=\"Held\",reason=\"\"} 1\n");
}

static void test_the_first_of_twins_counts(void **state) {
        static const Given rows[] = {
                { "b", "a", "Written", "Fits" }, { "a", "a", "NotHere", "UntoleratedTaint" },
                { "b", "a", "Held", "Fight" },   { "a", "a", "Invalid", "DefinedTwice" },
                { "b", "a", "Written", "Fits" },
        };

        (void)state;
        CHECK_ROWS(rows, "daemonsets{state=\"Written\"", "daemonlet_daemonsets{state=\"Written\"} 1\n");
        CHECK_ROWS(rows, "daemonsets{state=\"Held\"", "daemonlet_daemonsets{state=\"Held\"} 0\n");
        CHECK_ROWS(rows, "verdicts{",
                   "daemonlet_verdicts{reason=\"Fits\"} 1\n"
                   "daemonlet_verdicts{reason=\"UntoleratedTaint\"} 1\n");
        CHECK_ROWS(
                rows, "daemonset_state{",
                "daemonlet_daemonset_state{namespace=\"b\",daemonset=\"a\",state=\"Written\",reason=\"Fits\"} 1\n"
                "daemonlet_daemonset_state{namespace=\"a\",daemonset=\"a\",state=\"NotHere\",reason=\"UntoleratedTaint\"} 1\n");
}

static void test_rows_without_members_have_no_name(void **state) {
        static const Given rows[] = { { 0 },
                                      { .state = "Waiting" },
                                      { .namespace = "a", .name = "", .state = "Waiting" } };

        (void)state;
        CHECK_ROWS(rows, "daemonsets{state=\"Waiting\"", "daemonlet_daemonsets{state=\"Waiting\"} 2\n");
        CHECK_ROWS(rows, "verdicts{", "");
        CHECK_ROWS(rows, "daemonset_state{", "");
}

static void test_labels_are_escaped(void **state) {
        static const Given rows[] = { { "a\\b", "q\"r\ns\xc3\xa9\t{}=,", "Invalid", "Invalid" } };

        (void)state;
        CHECK_ROWS(
                rows, "daemonset_state{",
                "daemonlet_daemonset_state{namespace=\"a\\\\b\",daemonset=\"q\\\"r\\ns\xc3\xa9\t{}=,\",state=\"Invalid\",reason=\"Invalid\"} 1\n");
}

static void test_counters(void **state) {
        Ledger l = { .repairs = 1, .quarantined = 2, .conflicts = 3, .holds = 4, .restarts = UINT64_MAX };
        Metrics m = { .failures = 5, .passes = 6, .last_success_at = 1700000001 };
        _cleanup_free_ char *text = text_of(&(MetricsFacts){ .metrics = &m, .ledger = &l, .problem = true });
        static const char *const want[] = {
                "\ndaemonlet_repairs_total 1\n",
                "\ndaemonlet_quarantined_total 2\n",
                "\ndaemonlet_conflicts_total 3\n",
                "\ndaemonlet_holds_total 4\n",
                "\ndaemonlet_restarts_total 18446744073709551615\n",
                "\ndaemonlet_failures_total 5\n",
                "\ndaemonlet_reconcile_duration_seconds_count 6\n",
                "\ndaemonlet_last_success_timestamp_seconds 1700000001\n",
                "\ndaemonlet_problem 1\n",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(want); i++)
                if (!strstr(text, want[i]))
                        fail_msg("no %s in\n%s", want[i], text);
}

/* ---- observations ---- */

static void test_what_bucket_a_duration_falls_in(void **state) {
        static const struct {
                int64_t microseconds;
                size_t bucket;
        } rows[] = {
                { -1, 0 },     { 0, 0 },      { 500, 0 },     { 501, 1 },      { 1000, 1 },        { 1001, 2 },
                { 2500, 2 },   { 2501, 3 },   { 5000, 3 },    { 5001, 4 },     { 10000, 4 },       { 10001, 5 },
                { 25000, 5 },  { 25001, 6 },  { 50000, 6 },   { 50001, 7 },    { 100000, 7 },      { 100001, 8 },
                { 250000, 8 }, { 250001, 9 }, { 1000000, 9 }, { 1000001, 10 }, { 3600000000, 10 },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                Metrics m = { 0 };

                metrics_observe(&m, rows[i].microseconds, true, 1);
                for (size_t k = 0; k < METRICS_BUCKETS; k++)
                        if (m.buckets[k] != (k == rows[i].bucket))
                                fail_msg("%" PRId64 " us: bucket %zu has %" PRIu64, rows[i].microseconds, k,
                                         m.buckets[k]);
                assert_int_equal(m.passes, 1);
                assert_int_equal(m.microseconds, rows[i].microseconds < 0 ? 0 : rows[i].microseconds);
        }
}

static void test_buckets_are_cumulated(void **state) {
        static const int64_t durations[] = { 400, 500, 700, 2000, 2000, 1000000, 1000001, 12000034, -7 };
        Metrics m = { 0 };
        _cleanup_free_ char *text = NULL, *got = NULL;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(durations); i++)
                metrics_observe(&m, durations[i], true, 1);
        text = text_of(&(MetricsFacts){ .metrics = &m, .ledger = &(Ledger){ 0 } });
        got = samples(text, "daemonlet_reconcile");
        assert_string_equal(got, "daemonlet_reconcile_duration_seconds_bucket{le=\"0.0005\"} 3\n"
                                 "daemonlet_reconcile_duration_seconds_bucket{le=\"0.001\"} 4\n"
                                 "daemonlet_reconcile_duration_seconds_bucket{le=\"0.0025\"} 6\n"
                                 "daemonlet_reconcile_duration_seconds_bucket{le=\"0.005\"} 6\n"
                                 "daemonlet_reconcile_duration_seconds_bucket{le=\"0.01\"} 6\n"
                                 "daemonlet_reconcile_duration_seconds_bucket{le=\"0.025\"} 6\n"
                                 "daemonlet_reconcile_duration_seconds_bucket{le=\"0.05\"} 6\n"
                                 "daemonlet_reconcile_duration_seconds_bucket{le=\"0.1\"} 6\n"
                                 "daemonlet_reconcile_duration_seconds_bucket{le=\"0.25\"} 6\n"
                                 "daemonlet_reconcile_duration_seconds_bucket{le=\"1\"} 7\n"
                                 "daemonlet_reconcile_duration_seconds_bucket{le=\"+Inf\"} 9\n"
                                 "daemonlet_reconcile_duration_seconds_sum 14.005635\n"
                                 "daemonlet_reconcile_duration_seconds_count 9\n");
}

static void test_success_and_failure(void **state) {
        Metrics m = { 0 };

        (void)state;
        metrics_observe(&m, 1, false, 100);
        assert_int_equal(m.failures, 1);
        assert_int_equal(m.last_success_at, 0);
        metrics_observe(&m, 1, true, 200);
        assert_int_equal(m.failures, 1);
        assert_int_equal(m.last_success_at, 200);
        metrics_observe(&m, 1, false, 300);
        assert_int_equal(m.failures, 2);
        assert_int_equal(m.last_success_at, 200);
        assert_int_equal(m.passes, 3);
        assert_int_equal(m.started_at, 0);
}

/* ---- file ---- */

static int write_text(const char *path, const char *text, Err *err) {
        return metrics_write(path, text, strlen(text), err);
}

static void check_refused(const char *path, int code, const char *const *words) {
        Err err = { 0 };

        assert_int_equal(write_text(path, "new\n", &err), code);
        for (; *words; words++)
                if (!strstr(err.message, *words))
                        fail_msg("no \"%s\" in \"%s\"", *words, err.message);
        assert_int_equal(write_text(path, "new\n", NULL), code);
}
#define CHECK_REFUSED(path, code, ...) check_refused(path, code, (const char *const[]){ path, __VA_ARGS__, NULL })

static void test_write(void **state) {
        char *dir = tmpdir_new();
        const char *path = in_dir(dir, "a.prom");
        mode_t umask_before = umask(0077);
        _cleanup_free_ char *before = NULL, *after = NULL;

        (void)state;
        assert_int_equal(write_text(path, "one\n", NULL), 0);
        assert_true(file_is(path, "one\n"));
        assert_int_equal(mode_of(path), 0644);
        assert_int_equal(write_text(path, "two\n", NULL), 0);
        assert_true(file_is(path, "two\n"));
        /* The same again is a new file. */
        before = tree_state(dir);
        assert_int_equal(write_text(path, "two\n", NULL), 0);
        after = tree_state(dir);
        assert_string_not_equal(before, after);
        assert_string_equal(names_in(dir), "a.prom");
        (void)umask(umask_before);
        tmpdir_free(dir);
}

static void test_links_are_not_followed(void **state) {
        char *dir = tmpdir_new();

        (void)state;
        put_file(in_dir(dir, "target"), "precious", 0600);
        put_link(in_dir(dir, "a.prom"), "target");
        put_link(in_dir(dir, ".a.prom.new"), "target");
        assert_int_equal(write_text(in_dir(dir, "a.prom"), "new\n", NULL), 0);
        assert_true(file_is(in_dir(dir, "target"), "precious"));
        assert_int_equal(mode_of(in_dir(dir, "target")), 0600);
        assert_true(file_is(in_dir(dir, "a.prom"), "new\n"));
        assert_string_equal(names_in(dir), "a.prom target");
        /* The way there may be one. */
        put_dir(in_dir(dir, "real"), 0755);
        put_link(in_dir(dir, "way"), "real");
        assert_int_equal(write_text(in_dir(dir, "way/a.prom"), "new\n", NULL), 0);
        assert_string_equal(names_in(in_dir(dir, "real")), "a.prom");
        tmpdir_free(dir);
}

static void test_what_an_interrupted_write_left_is_replaced(void **state) {
        char *dir = tmpdir_new();

        (void)state;
        put_file(in_dir(dir, ".a.prom.new"), "half of something that is longer", 0600);
        assert_int_equal(write_text(in_dir(dir, "a.prom"), "new\n", NULL), 0);
        assert_true(file_is(in_dir(dir, "a.prom"), "new\n"));
        assert_string_equal(names_in(dir), "a.prom");
        tmpdir_free(dir);
}

static void test_relative_path(void **state) {
        char *dir = tmpdir_new(), cwd[4096];

        (void)state;
        assert_non_null(getcwd(cwd, sizeof(cwd)));
        assert_int_equal(chdir(dir), 0);
        assert_int_equal(write_text("a.prom", "new\n", NULL), 0);
        assert_int_equal(chdir(cwd), 0);
        assert_string_equal(names_in(dir), "a.prom");
        tmpdir_free(dir);
}

static void test_no_such_place(void **state) {
        char *dir = tmpdir_new(), name[300];
        const char *missing = in_dir(dir, "no");

        (void)state;
        put_file(in_dir(dir, "file"), "text", 0600);
        assert_int_equal(mkfifo(in_dir(dir, "pipe"), 0600), 0);
        put_dir(in_dir(dir, "taken.prom"), 0755);
        put_dir(in_dir(dir, ".a.prom.new"), 0755);
        CHECK_REFUSED(in_dir(dir, "no/a.prom"), -ENOENT, "[metrics] textfile", missing, "make it");
        CHECK_REFUSED(in_dir(dir, "file/a.prom"), -ENOTDIR, in_dir(dir, "file is not a directory"));
        (void)alarm(30); /* a pipe must not be waited for */
        CHECK_REFUSED(in_dir(dir, "pipe/a.prom"), -ENOTDIR, "is not a directory");
        (void)alarm(0);
        CHECK_REFUSED(in_dir(dir, "taken.prom"), -EISDIR, "is a directory", "remove that or name another file");
        CHECK_REFUSED(in_dir(dir, "a.prom"), -EISDIR, ".a.prom.new");
        CHECK_REFUSED(in_dir(dir, "taken.prom/"), -EISDIR, "is a directory");
        memset(name, 'a', sizeof(name) - 1);
        name[sizeof(name) - 1] = 0;
        CHECK_REFUSED(in_dir(dir, name), -ENAMETOOLONG, "File name too long");
        assert_string_equal(names_in(dir), ".a.prom.new file pipe taken.prom");
        assert_string_equal(names_in(in_dir(dir, "taken.prom")), "");
        tmpdir_free(dir);
}

static void test_no_permission(void **state) {
        char *dir = tmpdir_new();
        uid_t me = geteuid();

        (void)state;
        assert_int_equal(chmod(dir, 0555), 0);
        if (me == 0)
                assert_int_equal(seteuid(65534), 0);
        CHECK_REFUSED(in_dir(dir, "a.prom"), -EACCES, dir, "may not write");
        CHECK_REFUSED("/daemonlet-test.prom", -EACCES, "may not write to /;");
        assert_int_equal(seteuid(me), 0);
        tmpdir_free(dir);
}

static void test_read_only(void **state) {
        char *dir;

        (void)state;
        if (unshare(CLONE_NEWNS) < 0)
                skip();
        dir = tmpdir_new();
        if (mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("none", dir, "tmpfs", MS_RDONLY, NULL) < 0) {
                tmpdir_free(dir);
                skip();
        }
        CHECK_REFUSED(in_dir(dir, "a.prom"), -EROFS, dir, "read-only", "systemctl edit daemonlet", "ReadWritePaths=-/");
        assert_int_equal(umount(dir), 0);
        tmpdir_free(dir);
}

static void test_full_disk_keeps_what_stood(void **state) {
        char *dir = tmpdir_new();
        struct rlimit before, small;
        void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
        _cleanup_free_ char *text = calloc(1, 8001);

        (void)state;
        memset(text, 'x', 8000);
        put_file(in_dir(dir, "a.prom"), "old\n", 0644);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
        small = (struct rlimit){ .rlim_cur = 4000, .rlim_max = before.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        assert_int_equal(write_text(in_dir(dir, "a.prom"), text, NULL), -EFBIG);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        (void)signal(SIGXFSZ, handler);
        assert_true(file_is(in_dir(dir, "a.prom"), "old\n"));
        assert_string_equal(names_in(dir), "a.prom");
        tmpdir_free(dir);
}

/* ---- out of memory ---- */

static int make_text(void *user) {
        MetricsFacts facts = { .metrics = &(Metrics){ 0 }, .ledger = &(Ledger){ 0 }, .rows = user };
        _cleanup_buf_ Buf out = BUF_INIT;

        return metrics_text(&facts, &out);
}

static int write_file(void *user) {
        return write_text(user, "text\n", NULL);
}

static void test_out_of_memory(void **state) {
        static const Given given[] = { { "a", "a", "Written", "Fits" }, { "a", "a", "Held", "Fight" } };
        _cleanup_json_ cJSON *rows = rows_of(given, ARRAY_SIZE(given));
        char *dir = tmpdir_new();

        (void)state;
        (void)test_oom(make_text, rows);
        (void)test_oom(write_file, (void *)in_dir(dir, "a.prom"));
        assert_string_equal(names_in(dir), "a.prom");
        tmpdir_free(dir);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_all_series_are_there_from_the_start),
                cmocka_unit_test(test_rows),
                cmocka_unit_test(test_the_first_of_twins_counts),
                cmocka_unit_test(test_rows_without_members_have_no_name),
                cmocka_unit_test(test_labels_are_escaped),
                cmocka_unit_test(test_counters),
                cmocka_unit_test(test_what_bucket_a_duration_falls_in),
                cmocka_unit_test(test_buckets_are_cumulated),
                cmocka_unit_test(test_success_and_failure),
                cmocka_unit_test(test_write),
                cmocka_unit_test(test_links_are_not_followed),
                cmocka_unit_test(test_what_an_interrupted_write_left_is_replaced),
                cmocka_unit_test(test_relative_path),
                cmocka_unit_test(test_no_such_place),
                cmocka_unit_test(test_no_permission),
                cmocka_unit_test(test_read_only),
                cmocka_unit_test(test_full_disk_keeps_what_stood),
                cmocka_unit_test(test_out_of_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
