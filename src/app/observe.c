/* SPDX-License-Identifier: Apache-2.0 */
#include "app/observe.h"
#include "app/report.h"
#include "io/clock.h"
#include "io/log.h"
#include "io/message_ids.h"

#include <errno.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>

/* ---- what went wrong ---- */

static size_t find(const Observer *o, const char *daemonset, const char *message) {
        size_t i = 0;

        while (i < o->n_mishaps &&
               !(streq(o->mishaps[i].daemonset, daemonset) && streq(o->mishaps[i].what.message, message)))
                i++;
        return i;
}

/* Counts it, moves it to the front, and tells whether it is to be logged. */
static bool remember(Observer *o, const char *daemonset, const char *message) {
        int64_t now = clock_real_s();
        size_t i = find(o, daemonset, message);
        Mishap m = { .logged_at = INT64_MIN / 2 };
        bool log;

        if (i < o->n_mishaps)
                m = o->mishaps[i];
        else {
                (void)snprintf(m.daemonset, sizeof(m.daemonset), "%s", daemonset);
                (void)snprintf(m.what.message, sizeof(m.what.message), "%s", message);
                if (o->n_mishaps < MISHAPS_MAX)
                        o->n_mishaps++;
                i = o->n_mishaps - 1;
        }
        log = now - m.logged_at >= MISHAP_SILENCE || now < m.logged_at;
        m.at = now;
        m.count++;
        if (log)
                m.logged_at = now;
        memmove(o->mishaps + 1, o->mishaps, i * sizeof(*o->mishaps));
        o->mishaps[0] = m;
        return log;
}

void observer_note(Observer *o, Part part, int r, const Err *err, const char *node) {
        const LogFields fields = { .node = node, .message_id = MESSAGE_ID_PROBLEM };
        Err *known = &o->problems[part];

        if (r < 0 && !streq(known->message, err->message) && remember(o, "", err->message))
                log_event(LOG_LEVEL_ERROR, &fields, "%s", err->message);
        *known = r < 0 ? *err : (Err){ 0 };
}

const char *observer_problem(const Observer *o) {
        for (Part p = 0; p < N_PARTS; p++)
                if (o->problems[p].message[0])
                        return o->problems[p].message;
        return "";
}

/* ---- the journal ---- */

static const char *message_id(const PlanStep *s) {
        static const char *const ids[] = {
                [STEP_QUARANTINE] = MESSAGE_ID_QUARANTINED, [STEP_HAND_OVER] = MESSAGE_ID_HANDED_OVER,
                [STEP_REMOVE] = MESSAGE_ID_REMOVED,         [STEP_WITHDRAW] = MESSAGE_ID_WITHDRAWN,
                [STEP_RESTORE] = MESSAGE_ID_REPAIRED,       [STEP_REPLACE] = MESSAGE_ID_REPLACED,
                [STEP_CREATE] = MESSAGE_ID_WRITTEN,         [STEP_TOUCH] = MESSAGE_ID_REPAIRED,
        };

        if (s->failure)
                return MESSAGE_ID_PROBLEM;
        if (s->back)
                return MESSAGE_ID_TAKEN_BACK;
        return s->again ? MESSAGE_ID_WRITTEN : ids[s->verb];
}

void observer_log_steps(Observer *o, const Plan *plan, const char *node) {
        for (size_t i = 0; i < plan->n_steps; i++) {
                const PlanStep *s = &plan->steps[i];
                char daemonset[sizeof(o->mishaps[0].daemonset)] = "";
                const PlanRow *row = plan_find_row(plan, s->namespace, s->name);
                const char *reason = row ? reason_name(row->reason) : "";
                LogFields fields = { .node = node, .message_id = message_id(s), .pod = s->pod };

                if (s->verb == STEP_RECORD || s->verb == STEP_FORGET)
                        continue;
                if (s->name[0]) {
                        (void)snprintf(daemonset, sizeof(daemonset), "%s/%s", s->namespace, s->name);
                        fields.daemonset = daemonset;
                }
                if (*reason)
                        fields.reason = reason;
                if (!s->failure)
                        log_event(LOG_LEVEL_NOTICE, &fields, "%s %s: %s", step_verb_name(s->verb), s->file,
                                  str_or_empty(s->why));
                /* A failure's text says itself what failed. */
                else if (remember(o, daemonset, s->failure))
                        log_event(LOG_LEVEL_ERROR, &fields, "%s", s->failure);
        }
}

/* ---- reports ---- */

/* The whole report is remembered without its times, so that an idle agent writes nothing. */
static void write_status(Observer *o, const char *runtime_dir, cJSON *status) {
        _cleanup_free_ char *text = NULL;
        Err err = { 0 };
        size_t len = 0;
        int r = -ENOMEM;

        if (json_put(status, "updatedAt", json_new_int(clock_real_s())) &&
            json_put(json_get_mutable(status, "counters"), "passes", json_new_int((int64_t)o->metrics.passes)))
                text = json_canonical_text(status, &len);
        if (text)
                r = report_write(runtime_dir, text, len, &err);
        observer_note(o, PART_REPORT, r, &err, NULL);
        if (r < 0) {
                free(o->status);
                o->status = NULL;
        }
}

/* Whether nothing else is wrong than that the metrics cannot be written: who reads them sees that they could. */
static bool is_well(const Observer *o) {
        for (Part p = 0; p < PART_METRICS; p++)
                if (o->problems[p].message[0])
                        return false;
        return true;
}

/* The API server came, went, or has another fault: a line in the journal. */
static void log_api(Observer *o, const ApiReport *api, const char *node) {
        const char *problem = api->problem;

        /* While nobody answers, that is what is wrong, and not what each of them lacks. */
        for (size_t i = 0; api->reachable && !*problem && i < api->n_resources; i++)
                problem = api->resources[i].problem;
        if (api->reachable == o->api_reachable && streq(problem, o->api_problem.message))
                return;
        if (*problem)
                log_event(LOG_LEVEL_WARNING, &(LogFields){ .node = node },
                          "API server %s: %s; what it last said counts", str_or_empty(api->server), problem);
        else if (api->reachable)
                log_event(LOG_LEVEL_INFO, &(LogFields){ .node = node }, "API server %s: followed",
                          str_or_empty(api->server));
        o->api_reachable = api->reachable;
        o->api_problem = (Err){ 0 };
        (void)err_set(&o->api_problem, 0, "%s", problem);
}

/* Of the server that there is; NULL: none. */
static const ApiReport *look_at_api(Observer *o, const ObserverFacts *f, ApiReport *report) {
        SourceApi *source = f->reconcile->api.source;

        if (!f->has_read || !source || source_api_report(source, report) < 0 || !report->kubeconfig)
                return NULL;
        log_api(o, report, f->reconcile->node.view.name);
        return report;
}

static void write_metrics(Observer *o, const ObserverFacts *f, const ApiReport *api) {
        const char *path = f->reconcile->config.metrics_textfile;
        _cleanup_json_ cJSON *rows = path && f->has_read ? report_rows(f->reconcile) : NULL;
        const MetricsFacts facts = {
                .metrics = &o->metrics, .ledger = f->ledger, .rows = rows, .problem = !is_well(o), .api = api
        };
        _cleanup_buf_ Buf text = BUF_INIT;
        Err err = { 0 };
        int r = 0;

        if (path) {
                r = f->has_read && !rows ? -ENOMEM : metrics_text(&facts, &text);
                r = r < 0 ? err_oom(&err) : metrics_write(path, buf_text(&text), text.len, &err);
        }
        observer_note(o, PART_METRICS, r, &err, NULL);
}

static void write_report(Observer *o, const ObserverFacts *f, const ApiReport *api) {
        const char *wrong = observer_problem(o);
        const ReportFacts facts = { .reconcile = f->has_read ? f->reconcile : NULL,
                                    .ledger = f->ledger,
                                    .problem = wrong,
                                    .mishaps = o->mishaps,
                                    .n_mishaps = o->n_mishaps };
        _cleanup_json_ cJSON *status = report_status(&facts);
        _cleanup_free_ char *text = status ? json_canonical_text(status, NULL) : NULL;
        _cleanup_buf_ Buf summary = BUF_INIT;

        if (!text || streq(text, o->status))
                return;
        if (*wrong)
                buf_str(&summary, wrong);
        else if (f->has_read)
                report_summary(json_get(status, "daemonsets"), &summary);
        if (api && !api->reachable)
                buf_str(&summary, "; the API server does not answer");
        (void)sd_notifyf(0, "STATUS=%s", buf_text(&summary));
        free(o->status);
        o->status = TAKE_PTR(text);
        /* An agent that could not open its directories tells that as well. */
        if (f->reconcile->config.runtime_dir)
                write_status(o, f->reconcile->config.runtime_dir, status);
}

void observer_tell(Observer *o, const ObserverFacts *f) {
        ApiReport report;
        const ApiReport *api = look_at_api(o, f, &report);

        /* First, so that the report can say that they cannot be written. */
        write_metrics(o, f, api);
        write_report(o, f, api);
}

void observer_done(Observer *o) {
        free(o->status);
}
