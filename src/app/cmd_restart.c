/* SPDX-License-Identifier: Apache-2.0 */
#include "app/cmd.h"
#include "app/report.h"
#include "app/requests.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

enum {
        LOOK = 100 * 1000 * 1000, /* nanoseconds between two looks */
        ANSWER_MAX = 60,          /* seconds: a busy agent may read 10 MiB first */
        PATIENCE = 90,            /* seconds behind the grace period after which somebody has to look */
};

typedef struct Target {
        char namespace[MANIFEST_NAME_MAX + 1], file[MANIFEST_NAME_MAX + 1];
        const char *name;
} Target;

static int parse_target(const char *arg, Target *t) {
        const char *slash = strchr(arg, '/');
        size_t n = slash ? (size_t)(slash - arg) : 0;

        if (!slash || n >= sizeof(t->namespace))
                return -EINVAL;
        memcpy(t->namespace, arg, n);
        t->namespace[n] = 0;
        t->name = slash + 1;
        return manifest_file_name(t->namespace, t->name, t->file);
}

static void wait_a_moment(void) {
        (void)nanosleep(&(struct timespec){ .tv_nsec = LOOK }, NULL);
}

static int64_t seconds(void) {
        struct timespec ts;

        (void)clock_gettime(CLOCK_BOOTTIME, &ts);
        return ts.tv_sec;
}

/* ---- by the agent ---- */

static int say_restarting(const Target *t, Err *err) {
        _cleanup_buf_ Buf line = BUF_INIT;

        buf_printf(&line, "%s/%s restarting\n", t->namespace, t->name);
        return line.failed ? err_oom(err) : output_text(buf_text(&line), line.len, err);
}

static int refuse(const Target *t, const char *why) {
        say_error("%s/%s is not restarted: %s", t->namespace, t->name, why);
        return EXIT_NOT_WELL;
}

static int ask_agent(const Config *config, const Target *t, Err *err) {
        int64_t end = seconds() + ANSWER_MAX;
        _cleanup_free_ char *answer = NULL;
        int r = requests_ask(config->runtime_dir, t->file, err);

        if (r == 0)
                r = requests_take(config->runtime_dir, t->file, &answer, err);
        while (r == 0 && !answer) {
                if (seconds() > end) {
                        requests_withdraw(config->runtime_dir, t->file);
                        return err_set(err, -ETIMEDOUT, "the agent has not answered for %d s; see daemonlet status",
                                       ANSWER_MAX);
                }
                wait_a_moment();
                r = requests_take(config->runtime_dir, t->file, &answer, err);
        }
        if (r < 0)
                return r;
        return streq(answer, ANSWER_RESTARTING) ? say_restarting(t, err) : refuse(t, answer);
}

/* ---- without an agent ---- */

/* One pass over this manifest: what else a sync would do is not asked for. Without a plan there are no rows. */
static int one_pass(const Options *options, const Target *t, Reconcile *r, Ledger *ledger, Err *err) {
        ReconcilePass pass = { .now = (int64_t)time(NULL), .removal_delay = INT64_MAX };
        int64_t now = seconds() * 1000;
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

static int64_t grace_of(const StoreSnapshot *snapshot, const Target *t) {
        int64_t grace = 0;

        for (size_t i = 0; i < snapshot->n_tombstones; i++) {
                const PlanTombstone *tomb = &snapshot->tombstones[i];

                if (streq(tomb->namespace, t->namespace) && streq(tomb->name, t->name) && tomb->grace > grace)
                        grace = tomb->grace;
        }
        return grace;
}

static int restart_begin(const Options *options, const Target *t, Reconcile *r, Ledger *ledger, Err *err) {
        int e = reconcile_open(options, NULL, r, err);

        if (e == 0)
                e = reconcile_read(options, r, err);
        if (e == 0 && ledger_ask_restart(ledger, t->file, seconds() * 1000) < 0)
                e = err_oom(err);
        return e == 0 ? one_pass(options, t, r, ledger, err) : e;
}

static bool stands(const Plan *plan, const Target *t) {
        const PlanRow *row = plan_find_row(plan, t->namespace, t->name);

        return row && *row->revision;
}

/* What was withdrawn has to come back, whatever goes wrong meanwhile; that is told at the end. */
static int wait_until_it_stands(const Options *options, const Target *t, Reconcile *r, Ledger *ledger, Err *err) {
        int64_t began = seconds(), grace = 0;
        Err last = { 0 };
        int e = 0;

        while (!stands(&r->plan, t)) {
                Err why = { 0 };

                if (seconds() - began > grace + PATIENCE)
                        return err_set(err, e < 0 ? e : -ETIMEDOUT,
                                       "the manifest of %s/%s is withdrawn, and %s; sync or the agent writes it again",
                                       t->namespace, t->name, e < 0 ? last.message : "its pod does not end");
                wait_a_moment();
                e = one_pass(options, t, r, ledger, &why);
                last = why;
                if (grace_of(&r->snapshot, t) > grace)
                        grace = grace_of(&r->snapshot, t);
        }
        return e < 0 ? err_set(err, e, "%s", last.message) : 0;
}

/* Does what the agent would do, until the manifest stands again. */
static int restart_here(const Options *options, const Target *t, Reconcile *r, Ledger *ledger, Err *err) {
        int e = restart_begin(options, t, r, ledger, err);
        const char *answer = reconcile_answer(&r->plan, t->file);

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
        Target t;
        int r;

        if (options->n_args != 1 || parse_target(options->args[0], &t) < 0) {
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
