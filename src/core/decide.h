/* SPDX-License-Identifier: Apache-2.0 */
/* The decision: should this node run this DaemonSet? Reproduces NodeShouldRunDaemonPod of the DaemonSet controller
 * (Kubernetes 1.36, default feature gates). Pure, total, allocates nothing. */
#pragma once

#include "core/model.h"
#include "core/reason.h"

/* The label that every node has in the eyes of the agent, unless deciding as upstream does: the real controller finds
 * it nowhere and leaves such DaemonSets alone. */
#define FENCE_LABEL "daemonlet.io/static"

typedef struct DecideOptions {
        bool upstream;         /* exactly as the controller: no fence label, no tolerance for unready nodes */
        bool tolerate_unready; /* also tolerate not-ready and unreachable with every effect, and network-unavailable;
                                  ignored if upstream */
} DecideOptions;

typedef enum Check {
        CHECK_NODE_NAME,
        CHECK_NODE_SELECTOR,
        CHECK_NODE_AFFINITY,
        CHECK_TAINTS_NO_EXECUTE,
        CHECK_TAINTS_NO_SCHEDULE,
        CHECK_COUNT
} Check;

typedef struct Verdict {
        bool should_run;              /* the manifest stands and is current */
        bool should_continue_running; /* what stands is kept */
        Reason reason;                /* Fits, or the first failed check's */
        bool passed[CHECK_COUNT];     /* one row for each check; all are evaluated */
        const Label *selector;        /* the first nodeSelector entry that does not match, or NULL */
        const Taint *no_execute;      /* the first untolerated taint of each effect, or NULL */
        const Taint *no_schedule;
} Verdict;

/* Pointers in the verdict are borrowed from the arguments. */
void decide(const NodeView *node, const PodScheduling *pod, const DecideOptions *options, Verdict *ret);

/* "NodeName", "NodeSelector", "NodeAffinity", "TaintsNoExecute", "TaintsNoSchedule". */
const char *check_name(Check check);

/* What the check looked at and found: for a failed one the expression and the node's actual value
 * ("disk=ssd: the node has disk=hdd"), for a passed one a short confirmation. */
void decide_explain(const NodeView *node, const PodScheduling *pod, const DecideOptions *options,
                    const Verdict *verdict, Check check, Buf *out);
