/* SPDX-License-Identifier: Apache-2.0 */
#include "app/cmd.h"
#include "app/report.h"
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

/* The last report of an agent that is still there; *ret stays NULL if there is none. */
static int read_report(const Config *config, cJSON **ret) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        _cleanup_json_ cJSON *status = NULL;
        int64_t pid;
        size_t len;
        int r;

        if (asprintf(&path, "%s/status.json", config->runtime_dir) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        r = file_read(AT_FDCWD, path, JSON_SIZE_MAX, (FileTrust){ .check = true }, &text, &len, NULL);
        if (r == 0)
                r = json_parse(text, len, (Place){ 1, 1 }, NULL, NULL, &status, NULL, NULL, NULL);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        if (json_int(json_get(status, "pid"), &pid) && pid > 0 && (kill((pid_t)pid, 0) == 0 || errno == EPERM))
                *ret = TAKE_PTR(status);
        return 0;
}

static int show_report(const Options *options, const cJSON *status, Err *err) {
        const cJSON *rows = json_get(status, "daemonsets"), *node = json_get(status, "node");
        const cJSON *counters = json_get(status, "counters");
        const char *problem = str_or_empty(json_string(status, "problem"));
        int64_t repairs = 0, quarantined = 0;
        int r;

        if (options->format == FORMAT_JSON || options->format == FORMAT_YAML)
                r = output_rows(status, NULL, 0, options->format, err);
        else
                r = rows ? output_rows(rows, report_columns, n_report_columns, options->format, err) : 0;
        if (r < 0)
                return r;
        (void)json_int(json_get(counters, "repairs"), &repairs);
        (void)json_int(json_get(counters, "quarantined"), &quarantined);
        say_note(options, "node %s (%s); %" PRId64 " repairs, %" PRId64 " quarantined",
                 str_or_empty(json_string(node, "name")), str_or_empty(json_string(node, "source")), repairs,
                 quarantined);
        if (*problem)
                say_error("%s", problem);
        return *problem || !rows || !report_is_well(rows) ? EXIT_NOT_WELL : 0;
}

/* What stands and what would be done, as a dry run sees it. */
static int show_disk(const Options *options, Err *err) {
        Options dry = *options;
        _cleanup_reconcile_ Reconcile r = { 0 };
        _cleanup_json_ cJSON *rows = NULL;
        int e;

        dry.dry_run = true;
        e = reconcile_open(&dry, &r, err);
        if (e == 0)
                e = reconcile_read(&dry, &r, err);
        if (e == 0)
                e = reconcile_plan(&dry, &(ReconcilePass){ .now = (int64_t)time(NULL) }, &r, err);
        if (e < 0)
                return e;
        rows = report_rows(&r);
        if (!rows)
                return err_oom(err);
        e = output_rows(rows, report_columns, n_report_columns, options->format, err);
        return e < 0 ? e : EXIT_NO_AGENT;
}

int cmd_status(const Options *options) {
        _cleanup_config_ Config config = { 0 };
        _cleanup_json_ cJSON *status = NULL;
        Err err = { 0 };
        int r;

        if (options->n_args > 0) {
                say_error("status takes no arguments; see daemonlet status --help");
                return EX_USAGE;
        }
        r = setup_config(options, &config, &err);
        if (r == 0)
                r = read_report(&config, &status);
        if (r < 0)
                return fail(r, &err);
        if (status) {
                r = show_report(options, status, &err);
                return r < 0 ? fail(r, &err) : r;
        }
        say_note(options, "no agent runs here; this is what stands on disk, and what a sync would do");
        r = show_disk(options, &err);
        if (r < 0)
                (void)fail(r, &err);
        return EXIT_NO_AGENT;
}
