/* SPDX-License-Identifier: Apache-2.0 */
#include "app/cmd.h"
#include "app/files.h"
#include "app/report.h"
#include "app/requests.h"
#include "io/clock.h"

#include <errno.h>
#include <stdio.h>

/* ---- --now ---- */

static int parse_targets(const Options *options, Names *ret) {
        for (size_t i = 0; i < options->n_args; i++) {
                RequestTarget t;
                int r = requests_parse_target(options->args[i], &t);

                if (r == -ENOMEM || (r == 0 && names_add(ret, t.file) < 0)) {
                        Err err = { 0 };

                        return fail(err_oom(&err), &err);
                }
                if (r < 0) {
                        say_error("\"%s\" is no NAMESPACE/NAME", options->args[i]);
                        return EX_USAGE;
                }
        }
        return 0;
}

/* What is risked where this is what holds it. False if nothing is held that could be overridden. */
static bool say_risk(const Options *options, const char *target, const char *held) {
        static const struct {
                Reason reason;
                const char *risk;
        } risks[] = {
                { REASON_ApiNotSynced, "the kubelet has not seen its API server since its start, so the old pod goes "
                                       "on, beside the new one if the kubelet is restarted before it does" },
                { REASON_HoldAlways, "if the kubelet has not seen its API server since its start, the old pod goes "
                                     "on, beside the new one if the kubelet is restarted before it does" },
                { REASON_OnDelete, "its updateStrategy is OnDelete, and its pod is replaced without anybody having "
                                   "removed it" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(risks); i++)
                if (streq(reason_name(risks[i].reason), held)) {
                        say_warning(options, "%s: changing it now: %s (see daemonlet(8), HOLD)", target, risks[i].risk);
                        return true;
                }
        return false;
}

/* A typing error must not look as if something had been done, nor what is held for another reason. */
static bool is_done(const char *target, const cJSON *row) {
        if (!row)
                say_error("%s: no such DaemonSet", target);
        return row && report_row_is_well(row) && !streq(json_string(row, "state"), state_name(STATE_HELD));
}

static bool all_done(const Options *options, const Names *targets, const Plan *plan, const cJSON *rows) {
        bool all = true;

        for (size_t i = 0; i < targets->n; i++) {
                const PlanRow *row = requests_row(plan, targets->items[i]);

                all &= is_done(options->args[i], row ? report_find(rows, row->namespace, row->name) : NULL);
        }
        return all;
}

/* ---- by the agent ---- */

/* What its last report shows held. */
static int say_known_risks(const Options *options, const cJSON *status, bool *told) {
        for (size_t i = 0; i < options->n_args; i++) {
                RequestTarget t;
                const cJSON *row;

                if (requests_parse_target(options->args[i], &t) < 0)
                        return -ENOMEM;
                row = report_find(json_get(status, "daemonsets"), t.namespace, t.name);
                if (row && streq(json_string(row, "state"), state_name(STATE_HELD)))
                        told[i] = say_risk(options, options->args[i], json_string(row, "reason"));
        }
        return 0;
}

/* The agent may have found out later than its report that something is held. */
static int take_answer(const Options *options, const char *target, const char *answer, bool told, cJSON *rows,
                       Err *err) {
        _cleanup_json_ cJSON *a = NULL;
        const char *problem;
        cJSON *row;
        int r = json_parse(answer, strlen(answer), (Place){ 1, 1 }, NULL, NULL, &a, NULL, NULL, err);

        if (r < 0)
                return r == -ENOMEM ? r : err_wrap(err, -EIO, "the agent's answer");
        problem = json_string(a, "problem");
        if (problem && *problem)
                return err_set(err, -EIO, "%s is not changed: %s", target, problem);
        if (!told)
                (void)say_risk(options, target, json_string(a, "held"));
        row = cJSON_DetachItemFromObjectCaseSensitive(a, "row");
        if (!is_done(target, row))
                r = EXIT_NOT_WELL;
        return row && !json_append(rows, row) ? err_oom(err) : r;
}

static bool is_repeated(const Names *targets, size_t i) {
        for (size_t k = 0; k < i; k++)
                if (streq(targets->items[k], targets->items[i]))
                        return true;
        return false;
}

/* All are asked before any is waited for. Every answer is taken. */
static int ask_agent(const Options *options, const char *dir, const Names *targets, const bool *told, cJSON *rows,
                     Err *err) {
        int64_t until = clock_boot_ms() + REQUESTS_PATIENCE;
        int r = 0, status = 0;

        for (size_t i = 0; r == 0 && i < targets->n; i++)
                r = requests_ask(dir, REQUEST_NOW, targets->items[i], err);
        for (size_t i = 0; i < targets->n; i++) {
                _cleanup_free_ char *answer = NULL;

                if (is_repeated(targets, i))
                        continue;
                if (r == 0)
                        r = requests_wait(dir, REQUEST_NOW, targets->items[i], until, &answer, err);
                if (r == 0)
                        r = take_answer(options, options->args[i], answer, told[i], rows, err);
                if (r < 0)
                        requests_withdraw(dir, REQUEST_NOW, targets->items[i]);
                if (r > 0) {
                        status = r;
                        r = 0;
                }
        }
        return r < 0 ? r : status;
}

/* The exit status, or -EBUSY: it is no agent that holds the lock. */
static int now_by_agent(const Options *options, const char *dir, const Names *targets, Err *err) {
        _cleanup_json_ cJSON *status = NULL, *rows = cJSON_CreateArray();
        _cleanup_free_ bool *told = calloc(targets->n, sizeof(*told));
        int r = rows && told ? report_read(dir, &status) : -ENOMEM, e;

        if (r == 0 && !status)
                return -EBUSY;
        if (r == 0)
                r = say_known_risks(options, status, told);
        if (r < 0)
                return err_oom(err);
        r = ask_agent(options, dir, targets, told, rows, err);
        if (r < 0 && !rows->child)
                return r;
        e = output_rows(rows, report_columns, n_report_columns, options->format, err);
        return r < 0 ? r : e < 0 ? e : r;
}

/* ---- here ---- */

/* Steps that belong to no DaemonSet's row are told on standard error, and so is what --now overrides. */
static void say_steps(const Options *options, const Names *targets, const Reconcile *r) {
        const char *would = options->dry_run ? "would " : "";

        for (size_t i = 0; i < r->plan.n_steps; i++) {
                const PlanStep *s = &r->plan.steps[i];

                if (s->verb == STEP_QUARANTINE || (options->verbosity > 0 && s->verb != STEP_RECORD))
                        say_note(options, "%s%s %s: %s", would, step_verb_name(s->verb), s->file, str_or_empty(s->why));
        }
        for (size_t i = 0; i < targets->n; i++)
                (void)say_risk(options, options->args[i], reason_name(r->held[i]));
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
        return 0;
}

static int print_report(const Options *options, const Names *targets, const Reconcile *r, bool *ret_well, Err *err) {
        _cleanup_json_ cJSON *rows = report_rows(r);
        int e;

        if (!rows)
                return err_oom(err);
        e = output_rows(rows, report_columns, n_report_columns, options->format, err);
        *ret_well = report_is_well(rows) && r->local.complete;
        *ret_well &= all_done(options, targets, &r->plan, rows);
        return e;
}

static int sync_here(const Options *options, const Names *targets, Reconcile *reconcile) {
        const ReconcilePass pass = { .now = clock_real_s(), .now_files = options->now ? targets : NULL };
        Err err = { 0 }, apply_err = { 0 };
        bool well = true;
        int status, r = reconcile_read(options, reconcile, &err);

        if (r == 0)
                r = reconcile_plan(options, &pass, reconcile, &err);
        if (r < 0)
                return fail(r, &err);
        status = say_sources(options, reconcile);
        say_steps(options, targets, reconcile);
        if (!options->dry_run) {
                r = reconcile_apply(reconcile, options, pass.now, &apply_err);
                if (r < 0)
                        status = fail(r, &apply_err);
        }
        r = print_report(options, targets, reconcile, &well, &err);
        if (r < 0)
                return fail(r, &err);
        return status ? status : well ? 0 : EXIT_NOT_WELL;
}

int cmd_sync(const Options *options) {
        _cleanup_reconcile_ Reconcile reconcile = { 0 };
        _cleanup_names_ Names targets = { 0 };
        Err err = { 0 }, agent_err = { 0 };
        int r, status = check_arguments(options);

        if (status == 0)
                status = parse_targets(options, &targets);
        if (status)
                return status;
        r = reconcile_open(options, NULL, &reconcile, &err);
        /* What else would be done differently is not for one DaemonSet, and so not for the agent. */
        if (r == -EBUSY && options->now && !options->rerender && !options->confirm) {
                status = now_by_agent(options, reconcile.config.runtime_dir, &targets, &agent_err);
                if (status != -EBUSY)
                        return status < 0 ? fail(status, &agent_err) : status;
        }
        return r < 0 ? fail(r, &err) : sync_here(options, &targets, &reconcile);
}
