/* SPDX-License-Identifier: Apache-2.0 */
/* What a pass found and did, as rows for people and programs: printed by sync and status, kept in status.json by the
 * agent. */
#pragma once

#include "app/observe.h"
#include "app/output.h"
#include "app/reconcile.h"
#include "core/ledger.h"

extern const Column report_columns[];
extern const size_t n_report_columns;
extern const Column status_columns[]; /* "age" is a member that report_add_ages makes */
extern const size_t n_status_columns;

/* The rows of the last plan, behind those of files and objects that have no name to tell: a JSON array. NULL: out of
 * memory. */
cJSON *report_rows(const Reconcile *r);

/* Whether a row is invalid, refused, in conflict or not started; whether none is. */
bool report_row_is_well(const cJSON *row);
bool report_is_well(const cJSON *rows);

enum { REPORT_AGE_MAX = 48 };

/* As kubectl writes ages: "42s", "3m12s", "5h", "2d3h". */
void report_age(int64_t seconds, char ret[static REPORT_AGE_MAX]);

/* Adds "age" to the rows of manifests that stand. 0 or -ENOMEM. */
int report_add_ages(cJSON *rows, int64_t now);

/* "7 DaemonSets: 5 run here, 1 does not fit, 1 refused". */
void report_summary(const cJSON *rows, Buf *out);

/* status.json of a running agent: rows, the node in use, counters, what is wrong. No secrets. NULL: out of memory. */
typedef struct ReportFacts {
        const Reconcile *reconcile; /* NULL before the first pass */
        const Ledger *ledger;
        const char *problem; /* why there is no pass, or what failed in the last one; NULL: nothing */
        const Mishap *mishaps;
        size_t n_mishaps;
} ReportFacts;

cJSON *report_status(const ReportFacts *facts);

/* Writes status.json atomically into the runtime directory, which is made if it is missing. 0 or an errno. */
int report_write(const char *runtime_dir, const char *text, size_t len, Err *err);

/* The report of an agent that is still there; *ret is NULL if there is none. 0 or -ENOMEM. */
int report_read(const char *runtime_dir, cJSON **ret);

/* Who runs it now, who will, and what is waited for: one line; nothing where the DaemonSet controller has no part in
 * it.
 */
void report_controller_line(const cJSON *row, Buf *out);

/* The row of a DaemonSet, or NULL. */
const cJSON *report_find(const cJSON *rows, const char *namespace, const char *name);
