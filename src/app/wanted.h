/* SPDX-License-Identifier: Apache-2.0 */
/* From known objects to what a plan wants: one decision and one rendering for each DaemonSet. Of a DaemonSet that is
 * defined locally and by the API server the server's counts. */
#pragma once

#include "core/decide.h"
#include "core/plan.h"
#include "io/source_dir.h"

/* A DaemonSet that the API server defined and does not any more, of which something stands. */
typedef struct FormerName {
        char *namespace, *name;
} FormerName;

typedef struct WantedFacts {
        const NodeView *node;
        bool node_known; /* else everything is kept as it is (NodeNameUnknown) */
        DecideOptions decide;
        RenderOptions render; /* all but the objects */
        bool node_is_live;    /* labels and taints are those of the live Node: what it says against a pod must settle */
        const LocalSnapshot *local; /* its objects have those of the API server over them */
        const char *const *awaited; /* PriorityClasses that may be known in a moment */
        size_t n_awaited;
        bool fence_broken;        /* the live Node has the label of the fence */
        bool node_deleted;        /* the Node is gone from the API server: nothing runs here any more */
        const Objects *theirs;    /* DaemonSets of the API server that were asked for by name; or NULL */
        bool follow_api;          /* [daemonsets] follow_api: their templates are preferred */
        const FormerName *former; /* those that turn up in `theirs` are kept until the DaemonSet controller runs them */
        size_t n_former;

        /* What was made last, of the same local files; or NULL. Renderings that would be the same are taken from it. */
        struct Wanted *before;
} WantedFacts;

/* What belongs to one PlanWanted. */
typedef struct WantedItem {
        Rendered rendered;
        char *message, *origin;
        const Object *object;   /* the DaemonSet that decides; borrowed */
        bool from_api;          /* it is the API server's, */
        bool former;            /* and did not opt in (any more); */
        const Object *followed; /* or it is, in the place of this local one; else NULL */
        bool stand_in;          /* it is the last good version, and: */
        bool invalid_twin;      /* what the file holds now is invalid: object `twin` */
        size_t twin;
        char digest[HASH_HEX + 1]; /* the object's */
        bool away; /* the last plan left it to the DaemonSet controller: nothing of it is needed on the disk */
        PlanTheirs theirs;
        char *unfit, *difference, *blind; /* back those of `theirs`; each may be NULL */
        char theirs_digest[HASH_HEX + 1]; /* of the DaemonSet that `difference` is about; "" */
} WantedItem;

typedef struct Wanted {
        PlanWanted *wanted; /* in input order, each namespace/name once */
        WantedItem *items;  /* as many */
        size_t n;
        char options[HASH_HEX + 1]; /* hash of those that every rendering depends on */
} Wanted;

/* Why a usable DaemonSet of the API server may not run through us, with the line to add or to take away; None if it
 * may.
 */
Reason wanted_api_refusal(const Object *o, bool fence_broken, const char **ret_message);

/* 0 or -ENOMEM. */
int wanted_make(const WantedFacts *facts, Wanted *ret);

/* Whether the DaemonSet controller leaves it alone, whatever the nodes are like. */
bool wanted_is_fenced(const Object *daemonset);

/* The local DaemonSet of an item, or the only one. */
static inline const Object *wanted_own(const WantedItem *item) {
        return item->followed ? item->followed : item->object;
}
void wanted_done(Wanted *w);
#define _cleanup_wanted_ _cleanup_(wanted_done)
