/* SPDX-License-Identifier: Apache-2.0 */
/* What a pass found and did, as rows for people and programs: printed by sync and status, kept in status.json by the
 * agent. */
#pragma once

#include "app/output.h"
#include "app/reconcile.h"
#include "core/ledger.h"

extern const Column report_columns[];
extern const size_t n_report_columns;

/* The rows of the last plan, behind those of files and objects that have no name to tell: a JSON array. NULL: out of
 * memory. */
cJSON *report_rows(const Reconcile *r);

/* Whether no row is invalid, refused or in conflict. */
bool report_is_well(const cJSON *rows);

/* "7 DaemonSets: 5 run here, 1 does not fit, 1 refused". */
void report_summary(const cJSON *rows, Buf *out);

/* status.json of a running agent: rows, the node in use, counters, what is wrong. No secrets. NULL: out of memory. */
typedef struct ReportFacts {
        const Reconcile *reconcile; /* NULL before the first pass */
        const Ledger *ledger;
        const char *problem; /* why there is no pass, or what failed in the last one; NULL: nothing */
} ReportFacts;

cJSON *report_status(const ReportFacts *facts);

/* Writes status.json atomically into the runtime directory, which is made if it is missing. 0 or an errno. */
int report_write(const char *runtime_dir, const char *text, size_t len);
