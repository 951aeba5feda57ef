/* SPDX-License-Identifier: Apache-2.0 */
#include "app/cmd.h"
#include "app/report.h"
#include "app/volumes.h"
#include "io/clock.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/* What may go: everything of ours, or one DaemonSet's file. The plan knows what is ours. */
typedef struct Selection {
        const char *file; /* NULL: all */
        PlanEntry *present;
        PlanWritten *written;
        size_t n_present, n_written;
} Selection;

static void selection_done(Selection *s) {
        free(s->present);
        free(s->written);
}

static int select_files(const StoreSnapshot *snapshot, Selection *s) {
        s->present = calloc(snapshot->n_present + 1, sizeof(*s->present));
        s->written = calloc(snapshot->n_written + 1, sizeof(*s->written));
        if (!s->present || !s->written)
                return -ENOMEM;
        for (size_t i = 0; i < snapshot->n_present; i++)
                if (!s->file || streq(snapshot->present[i].file, s->file))
                        s->present[s->n_present++] = snapshot->present[i];
        for (size_t i = 0; i < snapshot->n_written; i++)
                if (!s->file || streq(snapshot->written[i].file, s->file))
                        s->written[s->n_written++] = snapshot->written[i];
        return 0;
}

/* What is remembered of other DaemonSets stays. */
static int keep_handovers(const StoreSnapshot *snapshot, const char *file, Plan *plan) {
        for (size_t i = 0; i < snapshot->n_handovers; i++) {
                const PlanHandover *h = &snapshot->handovers[i];
                char own[MANIFEST_NAME_MAX + 1];

                if (manifest_file_name(h->namespace, h->name, own) == 0 && streq(own, file))
                        continue;
                if (!ARRAY_GROW(plan->handovers, plan->n_handovers, plan->cap_handovers))
                        return -ENOMEM;
                plan->handovers[plan->n_handovers++] = *h;
        }
        return 0;
}

/* As if every source were read and defined nothing, and that were meant. */
static int plan_purge(const char *file, Reconcile *r, Err *err) {
        _cleanup_(selection_done) Selection s = { .file = file };
        PlanFacts facts = { .local_read = true,
                            .local_complete = true,
                            .api_synced = true,
                            .all_synced = true,
                            .confirm = true,
                            .now = clock_real_s() };
        int e = store_scan(r->store, &r->snapshot, err);

        if (e == 0)
                e = select_files(&r->snapshot, &s);
        if (e < 0)
                return e;
        facts.present = s.present;
        facts.n_present = s.n_present;
        facts.written = s.written;
        facts.n_written = s.n_written;
        e = plan_make(&facts, &r->plan);
        return e == 0 && file ? keep_handovers(&r->snapshot, file, &r->plan) : e;
}

static size_t count_removals(const Plan *plan) {
        size_t n = 0;

        for (size_t i = 0; i < plan->n_steps; i++)
                n += plan->steps[i].verb == STEP_REMOVE || plan->steps[i].verb == STEP_QUARANTINE;
        return n;
}

static bool is_agreed(const Options *options, size_t n) {
        char answer[8] = "";

        if (options->yes)
                return true;
        if (!isatty(STDIN_FILENO)) {
                say_error("purge asks before it removes anything; without a terminal say --yes");
                return false;
        }
        (void)fprintf(stderr, "Remove %zu manifest%s and stop the pods? [y/N] ", n, n == 1 ? "" : "s");
        return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

static int find_file(const Options *options, char file[static MANIFEST_NAME_MAX + 1]) {
        const char *slash = options->n_args == 1 ? strchr(options->args[0], '/') : NULL;
        _cleanup_free_ char *namespace = NULL;

        if (options->n_args == 0)
                return 0;
        namespace = slash ? strndup(options->args[0], (size_t)(slash - options->args[0])) : NULL;
        if (!namespace || manifest_file_name(namespace, slash + 1, file) < 0) {
                say_error("purge takes one NAMESPACE/NAME, or nothing for all; see daemonlet purge --help");
                return EX_USAGE;
        }
        return 0;
}

/* What no pod needs any more; of a pod that may be ending still, the next purge. */
static int sweep_all(Reconcile *r, Err *err) {
        const Wanted none = { 0 };
        int e = store_scan(r->store, &r->snapshot, err);

        if (e == 0)
                e = reconcile_ask_witness(r) < 0 ? err_oom(err) : 0;
        if (e == 0)
                e = materialise_open(r->volumes_dir, false, &r->volumes, err);
        return e < 0 ? e : volumes_sweep(r->volumes, &none, &r->snapshot, clock_real_s(), err);
}

int cmd_purge(const Options *options) {
        _cleanup_reconcile_ Reconcile reconcile = { 0 };
        char file[MANIFEST_NAME_MAX + 1] = "";
        _cleanup_json_ cJSON *rows = NULL;
        Err err = { 0 };
        size_t n;
        int r = find_file(options, file);

        if (r)
                return r;
        r = reconcile_open(options, NULL, &reconcile, &err);
        if (r == 0)
                r = plan_purge(file[0] ? file : NULL, &reconcile, &err);
        if (r < 0)
                return fail(r, &err);
        n = count_removals(&reconcile.plan);
        if (n > 0 && !is_agreed(options, n))
                return EX_USAGE;
        r = store_apply(reconcile.store, &reconcile.plan, clock_real_s(), &reconcile.result, &err);
        if (r < 0)
                return fail(r, &err);
        rows = report_rows(&reconcile);
        if (!rows)
                return fail(-ENOMEM, &err);
        r = output_rows(rows, report_columns, n_report_columns, options->format, &err);
        if (r == 0)
                r = sweep_all(&reconcile, &err);
        return r < 0 ? fail(r, &err) : 0;
}
