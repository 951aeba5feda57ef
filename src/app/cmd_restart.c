/* SPDX-License-Identifier: Apache-2.0 */
#include "app/cmd.h"
#include "app/report.h"
#include "app/requests.h"
#include "io/clock.h"

#include <errno.h>
#include <stdio.h>

enum { PATIENCE = 90 }; /* seconds behind the grace period after which somebody has to look */

/* ---- by the agent ---- */

static int say_restarting(const RequestTarget *t, Err *err) {
        _cleanup_buf_ Buf line = BUF_INIT;

        buf_printf(&line, "%s/%s restarting\n", t->namespace, t->name);
        return line.failed ? err_oom(err) : output_text(buf_text(&line), line.len, err);
}

static int refuse(const RequestTarget *t, const char *why) {
        say_error("%s/%s is not restarted: %s", t->namespace, t->name, why);
        return EXIT_NOT_WELL;
}

static int ask_agent(const Config *config, const RequestTarget *t, Err *err) {
        _cleanup_free_ char *answer = NULL;
        int r = requests_ask(config->runtime_dir, REQUEST_RESTART, t->file, err);

        if (r == 0)
                r = requests_wait(config->runtime_dir, REQUEST_RESTART, t->file, clock_boot_ms() + REQUESTS_PATIENCE,
                                  &answer, err);
        if (r < 0)
                return r;
        return streq(answer, ANSWER_RESTARTING) ? say_restarting(t, err) : refuse(t, answer);
}

/* ---- without an agent ---- */

/* One pass over this manifest: what else a sync would do is not asked for. Without a plan there are no rows. */
static int one_pass(const Options *options, const RequestTarget *t, Reconcile *r, Ledger *ledger, Err *err) {
        ReconcilePass pass = { .now = clock_real_s(), .removal_delay = INT64_MAX };
        int64_t now = clock_boot_ms();
        int e;

        if (ledger_memory(ledger, now, &pass.memory, &pass.n_memory) < 0)
                return err_oom(err);
        ledger_forget_restarts(ledger);
        r->only_file = t->file;
        e = reconcile_plan(options, &pass, r, err);
        if (e < 0)
                return e;
        plan_keep_file(&r->plan, t->file);
        e = reconcile_apply(r, options, pass.now, err);
        return ledger_learn(ledger, &r->plan, now) < 0 ? err_oom(err) : e;
}

static int64_t grace_of(const StoreSnapshot *snapshot, const RequestTarget *t) {
        int64_t grace = 0;

        for (size_t i = 0; i < snapshot->n_tombstones; i++) {
                const PlanTombstone *tomb = &snapshot->tombstones[i];

                if (streq(tomb->namespace, t->namespace) && streq(tomb->name, t->name) && tomb->grace > grace)
                        grace = tomb->grace;
        }
        return grace;
}

static int restart_begin(const Options *options, const RequestTarget *t, Reconcile *r, Ledger *ledger, Err *err) {
        int e = reconcile_open(options, NULL, r, err);

        if (e == 0)
                e = reconcile_read(options, r, err);
        if (e == 0 && ledger_ask_restart(ledger, t->file, clock_boot_ms()) < 0)
                e = err_oom(err);
        return e == 0 ? one_pass(options, t, r, ledger, err) : e;
}

static bool stands(const Plan *plan, const RequestTarget *t) {
        const PlanRow *row = plan_find_row(plan, t->namespace, t->name);

        return row && *row->revision;
}

/* What was withdrawn has to come back, whatever goes wrong meanwhile; that is told at the end. */
static int wait_until_it_stands(const Options *options, const RequestTarget *t, Reconcile *r, Ledger *ledger,
                                Err *err) {
        int64_t began = clock_boot_ms(), grace = 0;
        Err last = { 0 };
        int e = 0;

        while (!stands(&r->plan, t)) {
                Err why = { 0 };

                if (clock_boot_ms() - began > (grace + PATIENCE) * 1000)
                        return err_set(err, e < 0 ? e : -ETIMEDOUT,
                                       "the manifest of %s/%s is withdrawn, and %s; sync or the agent writes it again",
                                       t->namespace, t->name, e < 0 ? last.message : "its pod does not end");
                requests_pause();
                e = one_pass(options, t, r, ledger, &why);
                last = why;
                if (grace_of(&r->snapshot, t) > grace)
                        grace = grace_of(&r->snapshot, t);
        }
        return e < 0 ? err_set(err, e, "%s", last.message) : 0;
}

/* Does what the agent would do, until the manifest stands again. */
static int restart_here(const Options *options, const RequestTarget *t, Reconcile *r, Ledger *ledger, Err *err) {
        int e = restart_begin(options, t, r, ledger, err);
        const char *answer = requests_restart_answer(&r->plan, t->file);

        if (streq(answer, ANSWER_RESTARTING))
                return wait_until_it_stands(options, t, r, ledger, err);
        return e < 0 ? e : refuse(t, answer);
}

int cmd_restart(const Options *options) {
        _cleanup_config_ Config config = { 0 };
        _cleanup_json_ cJSON *status = NULL;
        _cleanup_reconcile_ Reconcile reconcile = { 0 };
        _cleanup_(ledger_done) Ledger ledger = LEDGER_INIT;
        Err err = { 0 };
        RequestTarget t;
        int r;

        if (options->n_args != 1 || requests_parse_target(options->args[0], &t) < 0) {
                say_error("restart wants one NAMESPACE/NAME; see daemonlet restart --help");
                return EX_USAGE;
        }
        r = setup_config(options, &config, &err);
        if (r == 0)
                r = report_read(config.runtime_dir, &status);
        if (r == 0 && status)
                r = ask_agent(&config, &t, &err);
        else if (r == 0)
                r = restart_here(options, &t, &reconcile, &ledger, &err);
        return r < 0 ? fail(r, &err) : r;
}
