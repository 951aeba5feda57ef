/* SPDX-License-Identifier: Apache-2.0 */
/* From known objects to what a plan wants: one decision and one rendering for each DaemonSet. */
#pragma once

#include "core/decide.h"
#include "core/plan.h"
#include "io/source_dir.h"

typedef struct WantedFacts {
        const NodeView *node;
        bool node_known; /* else everything is kept as it is (NodeNameUnknown) */
        DecideOptions decide;
        RenderOptions render; /* all but the objects */
        const LocalSnapshot *local;
} WantedFacts;

/* What belongs to one PlanWanted. */
typedef struct WantedItem {
        Rendered rendered;
        char *message, *origin;
        size_t object;     /* the DaemonSet that decides */
        bool stand_in;     /* it is the last good version, and: */
        bool invalid_twin; /* what the file holds now is invalid: object `twin` */
        size_t twin;
} WantedItem;

typedef struct Wanted {
        PlanWanted *wanted; /* in input order, each namespace/name once */
        WantedItem *items;  /* as many */
        size_t n;
} Wanted;

/* 0 or -ENOMEM. */
int wanted_make(const WantedFacts *facts, Wanted *ret);
void wanted_done(Wanted *w);
#define _cleanup_wanted_ _cleanup_(wanted_done)
