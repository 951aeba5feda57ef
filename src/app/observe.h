/* SPDX-License-Identifier: Apache-2.0 */
/* What a running agent shows to the outside: status.json, systemd's status text, the metrics file, and what went wrong,
 * told to the journal once and remembered for `status`. */
#pragma once

#include "app/metrics.h"
#include "app/reconcile.h"

/* What can fail by itself, and is tried again by itself. */
typedef enum Part { PART_SETTINGS, PART_SOURCES, PART_MANIFESTS, PART_REPORT, PART_METRICS, N_PARTS } Part;

enum {
        MISHAPS_MAX = 16,         /* kept, the latest */
        MISHAP_SILENCE = 60 * 60, /* seconds for which the same one is not logged again */
};

typedef struct Mishap {
        char daemonset[320]; /* NAMESPACE/NAME, or "" */
        Err what;
        int64_t at, logged_at; /* seconds, realtime: the last time; the last time that it was logged */
        uint64_t count;
} Mishap;

typedef struct Observer {
        Err problems[N_PARTS];       /* what failed when it was last tried; empty: nothing */
        Mishap mishaps[MISHAPS_MAX]; /* the latest first */
        size_t n_mishaps;
        Metrics metrics;
        bool api_reachable; /* as it was last told */
        Err api_problem;
        char *status; /* status.json as it was last written, without its time; NULL: write it */
} Observer;

/* Notes how a part went: r < 0 and err, or 0. */
void observer_note(Observer *o, Part part, int r, const Err *err, const char *node);

/* Logs the steps of a plan that was carried out; a failure that was logged lately is only counted. */
void observer_log_steps(Observer *o, const Plan *plan, const char *node);

/* The first problem, or "". */
const char *observer_problem(const Observer *o);

typedef struct ObserverFacts {
        const Reconcile *reconcile; /* at least its configuration */
        bool has_read;              /* rows and node mean something */
        bool passed;                /* there was a pass since the last call */
        const Ledger *ledger;
} ObserverFacts;

/* Writes what is new. status.json and the status text are left alone while they would say the same. */
void observer_tell(Observer *o, const ObserverFacts *facts);

void observer_done(Observer *o);
