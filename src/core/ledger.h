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
        LEDGER_LOOK_MIN = 250,          /* until the next look at pods that start or end ... */
        LEDGER_LOOK_MAX = 10 * 1000,    /* ... doubled each time as long as nothing happens */
};

typedef struct LedgerEntry {
        char *file;
        int64_t unwanted_since; /* -1: its removal is not due */
        int64_t due_at;         /* when it can be done; INT64_MAX: a reading of the sources tells */
        int64_t held_since;     /* seconds, realtime: a change of it is held since; 0 */
        int64_t window;         /* start of the present window */
        int64_t needed;         /* when a repair was last due */
        int64_t repaired;       /* when it was last done */
        unsigned repairs;       /* in the window */
        bool fighting;
        bool delayed, damped;              /* in the last plan: its removal waits, its repair waits */
        bool held, conflict;               /* in the last plan: its state */
        bool was_held, was_conflict, seen; /* while a plan is learnt: what it was before; a row spoke of it */
        bool told_absent;                  /* in the last plan it was NotStarted */
        bool restart;                      /* asked for by ledger_ask_restart */
        int64_t absent_since;              /* it has had no pod since; -1: it has one, or none is expected */
        unsigned retries;                  /* writings since its pod was last seen */
        int64_t gone_since;                /* the pod of what was withdrawn is gone since; -1 */
        int64_t missing_since;             /* what it was handed over to is missing since; -1 */
        int64_t unplaced_since;            /* that finds no place since; -1 */
} LedgerEntry;

typedef struct Ledger {
        LedgerEntry *entries; /* by file */
        size_t n, cap;
        PlanMemory *memory;          /* what ledger_memory gave last */
        size_t n_unsettled;          /* rows of the last plan that will change without an event */
        int64_t look_at, look_pause; /* when to look at them; -1: there are none */
        /* Counters since the start: manifests put right, files moved out, DaemonSets that became held or in conflict,
         * manifests withdrawn to start their pods again, handed over to the DaemonSet controller, taken back from it.
         */
        uint64_t repairs, quarantined, holds, conflicts, restarts, handovers, takebacks;
} Ledger;

/* An empty ledger is all zero, but for look_at. */
#define LEDGER_INIT ((Ledger){ .look_at = -1 })

/* The memory for a plan made now; valid until the next call. 0 or -ENOMEM. */
int ledger_memory(Ledger *l, int64_t now, const PlanMemory **ret, size_t *ret_n);

/* Learns from a plan that was carried out. 0 or -ENOMEM. */
int ledger_learn(Ledger *l, const Plan *plan, int64_t now);

/* Whether something fights over this file and its repair is known to be due: until then nothing new can be learnt of
 * it.
 */
bool ledger_is_waiting(const Ledger *l, const char *file, int64_t now);

/* An operator wants the pod of this manifest restarted. It counts for the next plan only. 0 or -ENOMEM. */
int ledger_ask_restart(Ledger *l, const char *file, int64_t now);

/* They were given to a plan, or cannot be. */
void ledger_forget_restarts(Ledger *l);

/* When a removal is due for which the sources must be read once more: milliseconds of the same clock, or -1. */
int64_t ledger_removal_due(const Ledger *l);

/* When the manifest directory and the pods must be looked at although no event announces it: likewise. */
int64_t ledger_look_due(const Ledger *l);

void ledger_done(Ledger *l);
