/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plan_internal.h"

const char *state_name(State s) {
        static const char *const names[] = {
                [STATE_RUNNING] = "Running",         [STATE_STARTING] = "Starting", [STATE_NOT_STARTED] = "NotStarted",
                [STATE_TERMINATING] = "Terminating", [STATE_WRITTEN] = "Written",   [STATE_HELD] = "Held",
                [STATE_WAITING] = "Waiting",         [STATE_REFUSED] = "Refused",   [STATE_INVALID] = "Invalid",
                [STATE_CONFLICT] = "Conflict",       [STATE_NOT_HERE] = "NotHere",  [STATE_HANDED_OVER] = "HandedOver",
        };

        return names[s];
}

const char *step_verb_name(StepVerb v) {
        static const char *const names[] = {
                [STEP_SWEEP] = "sweep",   [STEP_QUARANTINE] = "quarantine", [STEP_HAND_OVER] = "hand-over",
                [STEP_REMOVE] = "remove", [STEP_WITHDRAW] = "withdraw",     [STEP_FORGET] = "forget",
                [STEP_RECORD] = "record", [STEP_RESTORE] = "restore",       [STEP_REPLACE] = "replace",
                [STEP_CREATE] = "create", [STEP_TOUCH] = "touch",
        };

        return names[v];
}

const char *step_effect_name(StepEffect e) {
        static const char *const names[] = {
                [EFFECT_POD_NONE] = "-",
                [EFFECT_POD_START] = "start",
                [EFFECT_POD_RESTART] = "restart",
                [EFFECT_POD_STOP] = "stop",
        };

        return names[e];
}

int plan_make(const PlanFacts *facts, Plan *ret) {
        static int (*const passes[])(Planner * p) = {
                planner_join,     planner_classify, planner_handover, planner_decide,   planner_ports,
                planner_restarts, planner_steps,    planner_rows,     planner_remember,
        };
        _cleanup_(planner_done) Planner p = { .facts = facts };

        for (size_t i = 0; i < ARRAY_SIZE(passes); i++) {
                int r = passes[i](&p);

                if (r < 0)
                        return r;
        }
        *ret = p.plan;
        p.plan = (Plan){ 0 };
        return 0;
}

static void step_done(PlanStep *s) {
        free(s->file);
        free(s->namespace);
        free(s->name);
        free(s->why);
        free(s->failure);
}

PlanRow *plan_find_row(const Plan *p, const char *namespace, const char *name) {
        for (size_t i = 0; i < p->n_rows; i++)
                if (streq(p->rows[i].namespace, namespace) && streq(p->rows[i].name, name))
                        return &p->rows[i];
        return NULL;
}

void plan_keep_file(Plan *p, const char *file) {
        size_t kept = 0;

        for (size_t i = 0; i < p->n_steps; i++)
                if (streq(p->steps[i].file, file))
                        p->steps[kept++] = p->steps[i];
                else
                        step_done(&p->steps[i]);
        p->n_steps = kept;
}

void plan_done(Plan *p) {
        for (size_t i = 0; i < p->n_steps; i++)
                step_done(&p->steps[i]);
        for (size_t i = 0; i < p->n_rows; i++) {
                free(p->rows[i].namespace);
                free(p->rows[i].name);
                free(p->rows[i].message);
        }
        free(p->steps);
        free(p->rows);
        free(p->handovers);
        *p = (Plan){ 0 };
}
