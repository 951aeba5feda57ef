/* SPDX-License-Identifier: Apache-2.0 */
#include "app/daemon_internal.h"
#include "app/report.h"
#include "app/setup.h"
#include "io/clock.h"
#include "io/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>

enum {
        RETRY_MIN = 1000, /* milliseconds after which what failed is tried again, doubled each time */
        RETRY_MAX = 30000,
        STALE_TRIES = 3, /* directories that are replaced while they are opened */
};

const char *daemon_node_name(const Daemon *d) {
        return d->r.node.view.name;
}

static void note(Daemon *d, Part part, int r, const Err *err) {
        observer_note(&d->observer, part, r, err, daemon_node_name(d));
}

void daemon_try_again(Daemon *d) {
        if (d->retry_at >= 0)
                return;
        d->retry_pause = d->retry_pause ? d->retry_pause * 2 : RETRY_MIN;
        if (d->retry_pause > RETRY_MAX)
                d->retry_pause = RETRY_MAX;
        d->retry_at = clock_boot_ms() + d->retry_pause;
}

void daemon_retry(Daemon *d) {
        const Err *problems = d->observer.problems;

        d->retry_at = -1;
        if (problems[PART_SETTINGS].message[0])
                pending_now(&d->settings);
        if (problems[PART_SOURCES].message[0])
                pending_now(&d->sources);
        d->look |= problems[PART_MANIFESTS].message[0] || problems[PART_REPORT].message[0] ||
                   problems[PART_METRICS].message[0];
}

static int watch_requests(Daemon *d) {
        int r = 0;

        (void)requests_open(d->r.config.runtime_dir);
        for (RequestKind kind = 0; r == 0 && kind < N_REQUEST_KINDS; kind++) {
                _cleanup_free_ char *path = requests_path(d->r.config.runtime_dir, kind);

                r = path ? dirwatch_set(d->watch, WATCH_REQUESTS + kind, path, false) : -ENOMEM;
        }
        return r;
}

static void watch_all(Daemon *d) {
        const Config *c = &d->r.config;
        const char *config = d->options->config_path ? d->options->config_path : CONFIG_PATH;
        _cleanup_buf_ Buf drop_ins = BUF_INIT, pods = BUF_INIT;

        buf_printf(&drop_ins, "%s.d", config);
        buf_printf(&pods, "%s/pods", c->kubelet_root_dir);
        if (dirwatch_set(d->watch, WATCH_MANIFESTS, d->r.manifest_dir, false) < 0 ||
            dirwatch_set(d->watch, WATCH_SOURCES, c->daemonsets_dir, false) < 0 ||
            dirwatch_set(d->watch, WATCH_CONFIG, config, true) < 0 ||
            dirwatch_set(d->watch, WATCH_DROP_INS, buf_text(&drop_ins), false) < 0 ||
            dirwatch_set(d->watch, WATCH_KUBELET_CONFIG, c->kubelet_config, true) < 0 ||
            dirwatch_set(d->watch, WATCH_KUBELET_FLAGS, c->kubelet_flags_file, true) < 0 ||
            dirwatch_set(d->watch, WATCH_KUBELET_EXTRA_FLAGS, c->kubelet_extra_flags_file, true) < 0 ||
            dirwatch_set(d->watch, WATCH_KUBECONFIG, setup_kubeconfig(c, &d->r.kubelet), true) < 0 ||
            dirwatch_set(d->watch, WATCH_KUBELET_KUBECONFIG, setup_kubelet_kubeconfig(&d->r.kubelet), true) < 0 ||
            dirwatch_set(d->watch, WATCH_PODS, buf_text(&pods), false) < 0 || watch_requests(d) < 0)
                daemon_try_again(d);
}

void daemon_close(Daemon *d) {
        if (d->r.kubelet.running) {
                kubelet_settings_done(&d->last_kubelet);
                d->last_kubelet = d->r.kubelet;
                d->r.kubelet = (KubeletSettings){ 0 };
        }
        /* A second time there is nothing left to hand over. */
        if (d->r.api.source) {
                d->last_api = d->r.api;
                d->r.api = (ApiLink){ 0 };
        }
        reconcile_done(&d->r);
        d->is_open = d->has_read = false;
}

int daemon_reopen(Daemon *d, Err *err) {
        Config config = { 0 };
        int r = setup_config(d->options, &config, err);

        if (r < 0)
                return r;
        config_done(&config);
        daemon_close(d);
        d->r.hook = (ApiHook){ .loop = d->loop, .changed = daemon_api_changed, .user = d };
        d->r.api = d->last_api;
        d->last_api = (ApiLink){ 0 };
        r = reconcile_open(d->options, &d->last_kubelet, &d->r, err);
        /* A directory that is not there yet is watched for as well. */
        if (d->r.manifest_dir)
                watch_all(d);
        if (d->r.hold_warning)
                log_event(LOG_LEVEL_WARNING, NULL, "%s", d->r.hold_warning);
        if (d->r.ca_note)
                log_event(LOG_LEVEL_WARNING, NULL, "%s", d->r.ca_note);
        if (r < 0)
                return r;
        if (d->r.api.source)
                source_api_hurry(d->r.api.source);
        d->is_open = true;
        pending_now(&d->sources);
        return 0;
}

static int read_sources(Daemon *d, Err *err) {
        int r;

        pending_take(&d->sources);
        d->has_read = false;
        r = reconcile_read(d->options, &d->r, err);
        if (r < 0)
                return r;
        d->has_read = d->look = true;
        if (d->r.local.error)
                return err_set(err, -EIO, "%s; nothing is removed", d->r.local.error);
        return 0;
}

/* The local files were read, and are as they were. */
static int combine(Daemon *d, Err *err) {
        int r;

        d->combine = false;
        r = reconcile_combine(d->options, &d->r, err);
        d->has_read = r == 0;
        d->look = true;
        return r;
}

/* ---- what operators ask for ---- */

void daemon_forget_requests(Daemon *d) {
        for (RequestKind kind = 0; kind < N_REQUEST_KINDS; kind++)
                names_done(&d->requests[kind]);
}

/* Without memory they are asked again in the next turn. */
static void read_requests(Daemon *d) {
        daemon_forget_requests(d);
        for (RequestKind kind = 0; kind < N_REQUEST_KINDS; kind++)
                (void)requests_read(d->r.config.runtime_dir, kind, &d->requests[kind]);
}

/* For this pass. */
static int grant_requests(Daemon *d, int64_t now, ReconcilePass *pass) {
        const Names *restarts = &d->requests[REQUEST_RESTART];
        int r = 0;

        for (size_t i = 0; r == 0 && i < restarts->n; i++)
                r = ledger_ask_restart(&d->ledger, restarts->items[i], now);
        if (d->requests[REQUEST_NOW].n > 0)
                pass->now_files = &d->requests[REQUEST_NOW];
        return r;
}

static cJSON *row_of(const Daemon *d, const char *file) {
        const PlanRow *row = requests_row(&d->r.plan, file);
        _cleanup_json_ cJSON *rows = row ? report_rows(&d->r) : NULL;

        return rows ? cJSON_Duplicate(report_find(rows, row->namespace, row->name), true) : NULL;
}

/* NULL: out of memory. */
static char *now_answer(const Daemon *d, size_t i) {
        const char *file = d->requests[REQUEST_NOW].items[i];
        _cleanup_json_ cJSON *answer = cJSON_CreateObject();
        bool planned = !d->unplanned.message[0], known = planned && requests_row(&d->r.plan, file);

        if (!json_add_string(answer, "problem", d->unplanned.message) ||
            !json_add_string(answer, "held", planned ? reason_name(d->r.held[i]) : "") ||
            (known && !json_add(answer, "row", row_of(d, file))))
                return NULL;
        return json_canonical_text(answer, NULL);
}

void daemon_answer(Daemon *d) {
        const char *dir = d->r.config.runtime_dir;
        const Names *restarts = &d->requests[REQUEST_RESTART], *now = &d->requests[REQUEST_NOW];

        for (size_t i = 0; i < restarts->n; i++)
                requests_answer(dir, REQUEST_RESTART, restarts->items[i],
                                d->unplanned.message[0] ? d->unplanned.message
                                                        : requests_restart_answer(&d->r.plan, restarts->items[i]));
        for (size_t i = 0; i < now->n; i++) {
                _cleanup_free_ char *answer = now_answer(d, i);

                if (answer)
                        requests_answer(dir, REQUEST_NOW, now->items[i], answer);
        }
        daemon_forget_requests(d);
}

/* ---- a pass ---- */

static int plan_and_apply(Daemon *d, int64_t now, Err *err) {
        ReconcilePass facts = { .now = clock_real_s(), .removal_delay = d->r.config.removal_delay * 1000 };
        int r;

        /* While daemonsets.d changes, what was read of it is old: what is to be changed now is asked again then. */
        if (pending_time(&d->sources) >= 0) {
                facts.removal_delay = INT64_MAX;
                names_done(&d->requests[REQUEST_NOW]);
        }
        if (grant_requests(d, now, &facts) < 0 || ledger_memory(&d->ledger, now, &facts.memory, &facts.n_memory) < 0)
                return err_oom(err);
        /* They count for this plan only, whatever becomes of it. */
        ledger_forget_restarts(&d->ledger);
        r = reconcile_plan(d->options, &facts, &d->r, err);
        if (r < 0)
                return r;
        d->unplanned = (Err){ 0 };
        r = reconcile_apply(&d->r, d->options, facts.now, err);
        if (r == -ESTALE)
                return r;
        observer_log_steps(&d->observer, &d->r.plan, daemon_node_name(d));
        if (ledger_learn(&d->ledger, &d->r.plan, now) < 0)
                return err_oom(err);
        return r;
}

static int64_t monotonic_us(void) {
        struct timespec ts;

        (void)clock_gettime(CLOCK_MONOTONIC, &ts);
        return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int pass(Daemon *d, int64_t now, Err *err) {
        int64_t began = monotonic_us();
        int r;

        d->look = false;
        (void)err_set(&d->unplanned, 0, "there is no plan");
        r = plan_and_apply(d, now, err);
        if (r == -ESTALE)
                return r;
        if (d->unplanned.message[0])
                d->unplanned = *err;
        d->passed = true;
        metrics_observe(&d->observer.metrics, monotonic_us() - began, r == 0, clock_real_s());
        return r;
}

static bool is_due(const Pending *p, int64_t now) {
        int64_t at = pending_time(p);

        return at >= 0 && at <= now;
}

static bool open_if_due(Daemon *d, int64_t now) {
        Err err = { 0 };
        int r;

        if (d->is_open && !is_due(&d->settings, now))
                return false;
        pending_take(&d->settings);
        r = daemon_reopen(d, &err);
        d->was_writable |= r == -ENOENT;
        note(d, PART_SETTINGS, r, &err);
        return true;
}

static bool read_if_due(Daemon *d, int64_t now) {
        int64_t due = ledger_removal_due(&d->ledger);
        Err err = { 0 };

        /* What is to be removed is read a second time first. So is what is asked for, as it is meant now. */
        if ((due >= 0 && due <= now) || d->requests[REQUEST_NOW].n > 0)
                pending_now(&d->sources);
        if (!d->is_open || !is_due(&d->sources, now))
                return false;
        note(d, PART_SOURCES, read_sources(d, &err), &err);
        return true;
}

int64_t daemon_node_due(const Daemon *d) {
        return d->is_open && !d->r.node_deleted ? api_due(&d->r.api, &d->r.config) : -1;
}

static bool combine_if_due(Daemon *d, int64_t now) {
        int64_t due = daemon_node_due(d);
        Err err = { 0 };
        int r;

        d->combine |= due >= 0 && due <= now;
        if (!d->combine || !d->has_read)
                return false;
        r = combine(d, &err);
        if (r < 0)
                note(d, PART_SOURCES, r, &err);
        return true;
}

/* In the unit's sandbox nothing that was made anew since the start can be written to, for good: the service manager is
 * to make a new sandbox. A directory that was read-only from the start is a matter of settings and waited out. */
static void leave_old_sandbox(Daemon *d, int r) {
        const char *socket = getenv("NOTIFY_SOCKET");

        if (r == 0)
                d->was_writable = true;
        if (r == -EROFS && d->was_writable && socket && *socket)
                (void)sd_event_exit(d->loop, EX_IOERR);
}

bool daemon_work(Daemon *d, int64_t now) {
        int64_t due = ledger_look_due(&d->ledger);
        bool did = false;

        d->look |= due >= 0 && due <= now;
        for (int tries = 0; tries < STALE_TRIES; tries++) {
                Err err = { 0 };
                int r;

                did |= open_if_due(d, now);
                if (d->is_open)
                        read_requests(d);
                did |= read_if_due(d, now);
                did |= combine_if_due(d, now);
                if (!d->look || !d->has_read)
                        return did;
                did = true;
                r = pass(d, now, &err);
                note(d, PART_MANIFESTS, r == -ESTALE ? 0 : r, &err);
                leave_old_sandbox(d, r);
                if (r != -ESTALE)
                        return did;
                /* A directory was replaced: open the new one. */
                daemon_close(d);
                d->look = true;
        }
        return did;
}
