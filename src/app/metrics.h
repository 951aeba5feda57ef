/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent counts, as a file for node_exporter's textfile collector. Names and units are Prometheus'
 * conventions; every series that can appear is there from the start, so that rates and alerts work.
 *
 *   daemonlet_build_info{version}                       gauge, 1
 *   daemonlet_start_time_seconds                        gauge, when the agent started, since 1970
 *   daemonlet_daemonsets{state}                         gauge, how many DaemonSets are in each state of `status`
 *   daemonlet_verdicts{reason}                          gauge, how many have each reason; only those that occur
 *   daemonlet_daemonset_state{namespace,daemonset,state,reason}   gauge, 1, a series for each DaemonSet that is known
 *   daemonlet_repairs_total, daemonlet_quarantined_total, daemonlet_conflicts_total, daemonlet_holds_total,
 *   daemonlet_restarts_total                            counters, since the start (restarts: pods of manifests that
 *                                                       were removed and written again, by command or as NotStarted)
 *   daemonlet_handovers_total, daemonlet_takebacks_total
 *                                                       counters, since the start: manifests withdrawn for a pod of
 *                                                       the DaemonSet controller, and written again later
 *   daemonlet_failures_total                            counter, passes that failed
 *   daemonlet_reconcile_duration_seconds                histogram, of passes
 *   daemonlet_last_success_timestamp_seconds            gauge, end of the last pass without a failure; 0: none yet
 *   daemonlet_problem                                   gauge, 1 while something is wrong that `status` names
 *
 * daemonlet_problem does not speak of this file: while it cannot be written, nobody reads what it would say.
 */
#pragma once

#include "core/json.h"
#include "core/ledger.h"
#include "io/source_api.h"

enum { METRICS_BUCKETS = 10 };

typedef struct Metrics {
        int64_t started_at;                /* seconds, realtime */
        uint64_t buckets[METRICS_BUCKETS]; /* passes by duration, not cumulated; longer ones are in `passes` only */
        uint64_t passes, failures;
        int64_t microseconds;    /* spent in passes */
        int64_t last_success_at; /* seconds, realtime; 0: none yet */
} Metrics;

/* Counts one pass. */
void metrics_observe(Metrics *m, int64_t microseconds, bool success, int64_t now);

typedef struct MetricsFacts {
        const Metrics *metrics;
        const Ledger *ledger; /* counters */
        const cJSON *rows;    /* as in status.json; NULL before the first pass */
        bool problem;         /* of another kind than that the file cannot be written */
        const ApiReport *api; /* of the API server; NULL: there is none */
} MetricsFacts;

/* Adds the text exposition format 0.0.4 to out. The order is that of the rows. A row without a name (a file that cannot
 * be read) is counted and has no series of its own; of rows with one name the first counts, as a series that is there
 * twice would make the collector drop the file. 0 or -ENOMEM. */
int metrics_text(const MetricsFacts *facts, Buf *out);

/* Writes the file atomically beside itself, 0644, through a name that no collector reads (.NAME.new); equal bytes are
 * written again too, since the collector reports the age of the file. The directory must exist and may be anybody's; a
 * link in place of the file is replaced, not followed. Not synced. 0 or an errno, and what stood stands; err names the
 * file and what to do. */
int metrics_write(const char *path, const char *text, size_t len, Err *err);
