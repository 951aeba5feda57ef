/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger: what a running agent remembers of each manifest file from one pass to the next, in memory only. A process
 * that starts anew knows nothing and waits the full times again, which is the careful side. Pure: the clock is a
 * parameter (milliseconds of a clock that never jumps and counts while the host sleeps). */
#pragma once

#include "core/plan.h"

enum {
        LEDGER_FIGHT_WINDOW = 60 * 1000, /* this many repairs ... */
        LEDGER_FIGHT_REPAIRS =
                100, /* ... of one file within the window are a fight; it ends after a window without any */
        LEDGER_FIGHT_PAUSE = 10 * 1000, /* between two repairs during a fight */
};

typedef struct LedgerEntry {
        char *file;
        int64_t unwanted_since; /* -1: its removal is not due */
        int64_t window;         /* start of the present window */
        int64_t needed;         /* when a repair was last due */
        int64_t repaired;       /* when it was last done */
        unsigned repairs;       /* in the window */
        bool fighting;
        bool delayed, damped; /* in the last plan: its removal waits, its repair waits */
} LedgerEntry;

typedef struct Ledger {
        LedgerEntry *entries; /* by file */
        size_t n, cap;
        PlanMemory *memory;            /* what ledger_memory gave last */
        uint64_t repairs, quarantined; /* counters since the start */
} Ledger;

/* The memory for a plan made now; valid until the next call. 0 or -ENOMEM. */
int ledger_memory(Ledger *l, int64_t now, const PlanMemory **ret, size_t *ret_n);

/* Learns from a plan that was carried out. 0 or -ENOMEM. */
int ledger_learn(Ledger *l, const Plan *plan, int64_t now);

/* Whether something fights over this file and its repair is known to be due: until then nothing new can be learnt of
 * it.
 */
bool ledger_is_waiting(const Ledger *l, const char *file, int64_t now);

/* When something is due that no event will announce: milliseconds of the same clock, or -1. */
int64_t ledger_due(const Ledger *l, int64_t removal_delay);

void ledger_done(Ledger *l);
