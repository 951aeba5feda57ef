/* SPDX-License-Identifier: Apache-2.0 */
/* The API server in a pass: from the configuration to the source, and from its snapshot to the node, to what is wanted
 * and to what is held. */
#pragma once

#include "app/setup.h"
#include "app/wanted.h"
#include "io/source_api.h"

/* Of whoever turns a loop; all zero for a command, which only looks at the cache. */
typedef struct ApiHook {
        sd_event *loop;
        void (*changed)(void *user, unsigned what);
        void *user;
} ApiHook;

typedef struct ApiLink {
        SourceApi *source; /* NULL: there is no API server */
        char *key;         /* what it was opened with */
} ApiLink;

/* Opens the source, or keeps the one that is open if nothing has changed. 0 or an errno. */
int api_open(ApiLink *link, const Config *config, const KubeletSettings *kubelet, const char *node_name,
             const ApiHook *hook, Err *err);
void api_close(ApiLink *link);

/* Labels and taints of the live Node, or of its last copy, in the place of the local ones; `[node]` laid over. Nothing
 * where neither is known. 0, -ENOMEM. */
int api_lay_node(const ApiSnapshot *snapshot, const Config *config, NodeFacts *node, Err *err);

typedef struct ApiFollow {
        const Wanted *wanted;
        const FormerName *former;
        size_t n_former;
        const PlanHandover *given; /* in this boot and others; by namespace and name */
        size_t n_given;
        const char *boot; /* this one, or NULL */
} ApiFollow;

/* Follows what the DaemonSets use, and what tells whether the DaemonSet controller runs them. former: DaemonSets that
 * the API server does not define any more, of which something stands; given: what was handed over. True in *ret_more if
 * the snapshot is another one now: the cache knew more. 0 or -ENOMEM. */
int api_follow(const ApiLink *link, const Config *config, const ApiFollow *what, bool *ret_more);

/* Whether one of the former ones may turn up yet. */
bool api_awaits_former(const ApiLink *link, const FormerName *former, size_t n);

/* Whether the Node has been gone for so long that its pods go as well; was: they went already. What a server said that
 * cannot be asked now does not begin it. */
bool api_node_is_deleted(const ApiLink *link, const ApiSnapshot *snapshot, const Config *config, bool was);

/* When a change of the Node that is not told will matter: clock_boot_ms, or -1. */
int64_t api_due(const ApiLink *link, const Config *config);

/* Fills in what the plan has to know. link->source may be NULL. */
void api_facts(const ApiLink *link, const Config *config, const KubeletSettings *kubelet, bool local_complete,
               PlanFacts *facts);

/* A warning where the configuration makes `hold_offline = auto` mean nothing, or NULL. */
const char *api_hold_warning(const Config *config, const KubeletSettings *kubelet);
