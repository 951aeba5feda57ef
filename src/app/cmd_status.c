/* SPDX-License-Identifier: Apache-2.0 */
#include "app/cmd.h"
#include "app/report.h"
#include "app/report_api.h"
#include "io/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum { SHOWN_MISHAPS = 5 };

static int64_t count(const cJSON *status, const char *name) {
        int64_t n = 0;

        (void)json_int(json_get(json_get(status, "counters"), name), &n);
        return n;
}

/* A file of which not even a name can be told speaks for itself. */
static void say_row(const Options *options, const cJSON *row) {
        const char *namespace = str_or_empty(json_string(row, "namespace"));

        say_note(options, "%s%s%s%s%s", namespace, *namespace ? "/" : "",
                 *namespace ? str_or_empty(json_string(row, "name")) : "", *namespace ? ": " : "",
                 str_or_empty(json_string(row, "message")));
}

static void say_held(const Options *options, const cJSON *row, int64_t now) {
        char age[REPORT_AGE_MAX];
        int64_t since;

        if (!json_int(json_get(row, "heldSince"), &since))
                return;
        report_age(now - since, age);
        say_note(options, "%s/%s: held for %s (%s): %s", str_or_empty(json_string(row, "namespace")),
                 str_or_empty(json_string(row, "name")), age, str_or_empty(json_string(row, "reason")),
                 str_or_empty(json_string(row, "message")));
}

static void say_controller(const Options *options, const cJSON *row) {
        _cleanup_buf_ Buf line = BUF_INIT;

        report_controller_line(row, &line);
        if (line.len)
                say_note(options, "%s/%s: %s", str_or_empty(json_string(row, "namespace")),
                         str_or_empty(json_string(row, "name")), buf_text(&line));
}

/* What the table has no room for: why something is not well, and what went wrong lately. */
static void say_details(const Options *options, const cJSON *status, const cJSON *rows, int64_t now) {
        const cJSON *node = json_get(status, "node"), *mishaps = json_get(status, "lastErrors");
        _cleanup_buf_ Buf api = BUF_INIT, handed = BUF_INIT;
        int shown = 0;

        if (count(status, "handovers") || count(status, "takebacks"))
                buf_printf(&handed, ", %" PRId64 " handed over, %" PRId64 " taken back", count(status, "handovers"),
                           count(status, "takebacks"));

        say_note(options,
                 "node %s (%s%s); %" PRId64 " repairs, %" PRId64 " quarantined, %" PRId64 " held, %" PRId64
                 " conflicts, %" PRId64 " restarts%s",
                 str_or_empty(json_string(node, "name")), str_or_empty(json_string(node, "source")),
                 json_true(node, "deleted") ? "; deleted from the API server" : "", count(status, "repairs"),
                 count(status, "quarantined"), count(status, "held"), count(status, "conflicts"),
                 count(status, "restarts"), buf_text(&handed));
        report_api_line(status, now, &api);
        if (api.len)
                say_note(options, "%s", buf_text(&api));
        for (const cJSON *row = rows ? rows->child : NULL; row; row = row->next)
                if (!report_row_is_well(row))
                        say_row(options, row);
                else {
                        say_held(options, row, now);
                        say_controller(options, row);
                }
        for (const cJSON *m = mishaps ? mishaps->child : NULL; m && shown < SHOWN_MISHAPS; m = m->next, shown++) {
                const char *daemonset = str_or_empty(json_string(m, "daemonset"));
                int64_t at = now, n = 1;
                char age[REPORT_AGE_MAX];

                (void)json_int(json_get(m, "at"), &at);
                (void)json_int(json_get(m, "count"), &n);
                report_age(now - at, age);
                say_note(options, "error %s ago, %" PRId64 " times: %s%s%s", age, n, daemonset, *daemonset ? ": " : "",
                         str_or_empty(json_string(m, "message")));
        }
}

static int show_report(const Options *options, cJSON *status, Err *err) {
        cJSON *rows = json_get_mutable(status, "daemonsets");
        const char *problem = str_or_empty(json_string(status, "problem"));
        bool whole = options->format == FORMAT_JSON || options->format == FORMAT_YAML;
        int64_t now = clock_real_s();
        int r = 0;

        if (whole)
                r = output_rows(status, NULL, 0, options->format, err);
        else if (rows && report_add_ages(rows, now) < 0)
                r = err_oom(err);
        else if (rows)
                r = output_rows(rows, status_columns, n_status_columns, options->format, err);
        if (r < 0)
                return r;
        say_details(options, status, rows, now);
        if (*problem)
                say_error("%s", problem);
        return *problem || !rows || !report_is_well(rows) || !report_api_is_well(status) ? EXIT_NOT_WELL : 0;
}

/* What stands and what would be done, as a dry run sees it. */
static int show_disk(const Options *options, Err *err) {
        Options dry = *options;
        _cleanup_reconcile_ Reconcile r = { 0 };
        _cleanup_json_ cJSON *rows = NULL;
        int e;

        dry.dry_run = true;
        e = reconcile_open(&dry, NULL, &r, err);
        if (e == 0)
                e = reconcile_read(&dry, &r, err);
        if (e == 0)
                e = reconcile_plan(&dry, &(ReconcilePass){ .now = clock_real_s() }, &r, err);
        if (e < 0)
                return e;
        rows = report_rows(&r);
        if (!rows)
                return err_oom(err);
        if (report_add_ages(rows, clock_real_s()) < 0)
                return err_oom(err);
        e = output_rows(rows, status_columns, n_status_columns, options->format, err);
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
                r = report_read(config.runtime_dir, &status);
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
