/* SPDX-License-Identifier: Apache-2.0 */
#include "app/cmd.h"
#include "app/files.h"
#include "app/report.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

/* Steps that belong to no DaemonSet's row are told on standard error, and so is what --now overrides. */
static void say_steps(const Options *options, const Reconcile *r) {
        const char *would = options->dry_run ? "would " : "";

        for (size_t i = 0; i < r->plan.n_steps; i++) {
                const PlanStep *s = &r->plan.steps[i];

                if (s->verb == STEP_QUARANTINE || (options->verbosity > 0 && s->verb != STEP_RECORD))
                        say_note(options, "%s%s %s: %s", would, step_verb_name(s->verb), s->file, str_or_empty(s->why));
        }
        if (options->now)
                say_warning(options, "--now: a kubelet that has not seen its API server since its start keeps the old "
                                     "pod running and starts the new one beside it after a restart");
}

static int say_sources(const Options *options, const Reconcile *r) {
        if (r->snapshot.warning)
                say_warning(options, "%s", r->snapshot.warning);
        if (r->node.note)
                say_warning(options, "%s", r->node.note);
        if (r->ca_note)
                say_warning(options, "%s", r->ca_note);
        if (r->kubelet.warning)
                say_warning(options, "%s", r->kubelet.warning);
        files_say_diags(options, &r->local.objects);
        if (r->local.read)
                return 0;
        say_error("%s; nothing is removed", str_or_empty(r->local.error));
        return EX_IOERR;
}

static int check_arguments(const Options *options) {
        if (options->n_args > 0 && !options->now) {
                say_error("sync takes no arguments but NAMESPACE/NAME behind --now; see daemonlet sync --help");
                return EX_USAGE;
        }
        if (options->now && options->n_args == 0) {
                say_error("--now wants the NAMESPACE/NAME of what is to be changed now");
                return EX_USAGE;
        }
        for (size_t i = 0; i < options->n_args; i++) {
                const char *slash = strchr(options->args[i], '/');

                if (!slash || slash == options->args[i] || !slash[1] || strchr(slash + 1, '/')) {
                        say_error("\"%s\" is no NAMESPACE/NAME", options->args[i]);
                        return EX_USAGE;
                }
        }
        return 0;
}

/* A typing error must not look as if something had been done. */
static bool knows_targets(const Options *options, const Plan *plan) {
        bool all = true;

        for (size_t i = 0; options->now && i < options->n_args; i++) {
                const char *slash = strchr(options->args[i], '/');
                size_t n = (size_t)(slash - options->args[i]);
                bool found = false;

                for (size_t k = 0; k < plan->n_rows; k++)
                        found |= strncmp(plan->rows[k].namespace, options->args[i], n) == 0 &&
                                 !plan->rows[k].namespace[n] && streq(plan->rows[k].name, slash + 1);
                if (!found)
                        say_error("%s: no such DaemonSet", options->args[i]);
                all &= found;
        }
        return all;
}

static int print_report(const Options *options, const Reconcile *r, bool *ret_well, Err *err) {
        _cleanup_json_ cJSON *rows = report_rows(r);

        if (!rows)
                return err_oom(err);
        *ret_well = report_is_well(rows);
        return output_rows(rows, report_columns, n_report_columns, options->format, err);
}

int cmd_sync(const Options *options) {
        _cleanup_reconcile_ Reconcile reconcile = { 0 };
        int64_t now = (int64_t)time(NULL);
        Err err = { 0 }, apply_err = { 0 };
        bool well = true;
        int r, status;

        status = check_arguments(options);
        if (status)
                return status;
        r = reconcile_open(options, NULL, &reconcile, &err);
        if (r == 0)
                r = reconcile_read(options, &reconcile, &err);
        if (r == 0)
                r = reconcile_plan(options, &(ReconcilePass){ .now = now }, &reconcile, &err);
        if (r < 0)
                return fail(r, &err);
        status = say_sources(options, &reconcile);
        say_steps(options, &reconcile);
        if (!options->dry_run) {
                r = reconcile_apply(&reconcile, options, now, &apply_err);
                if (r < 0)
                        status = fail(r, &apply_err);
        }
        r = print_report(options, &reconcile, &well, &err);
        if (r < 0)
                return fail(r, &err);
        well &= knows_targets(options, &reconcile.plan) && reconcile.local.complete;
        return status ? status : well ? 0 : EXIT_NOT_WELL;
}
