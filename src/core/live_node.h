/* SPDX-License-Identifier: Apache-2.0 */
/* What counts of a live Node object, as the API server has it. Pure. */
#pragma once

#include "core/model.h"

typedef struct LiveNode {
        char *uid; /* "" where there is none */
        NodeView view;
        int64_t heartbeat;    /* lastHeartbeatTime of the Ready condition, seconds since 1970; 0: none */
        bool has_fence_label; /* the key FENCE_LABEL of core/decide.h, with whatever value */
} LiveNode;

/* From the JSON of a v1 Node. What does not count is not looked at. -EBADMSG: no JSON, no Node, no name, or a type that
 * Kubernetes would refuse; -ENOMEM. */
int live_node_read(const char *bytes, size_t len, LiveNode *ret, Err *err);

/* The same Node (uid) with the same labels and taints, in whatever order; the heartbeat may differ. */
bool live_node_equal(const LiveNode *a, const LiveNode *b);

void live_node_done(LiveNode *node);
#define _cleanup_live_node_ _cleanup_(live_node_done)

/* Takes away all but apiVersion, kind, metadata (name, uid, resourceVersion, labels), spec.taints, and type, status and
 * lastHeartbeatTime of the Ready condition. What has another type than it should stays as it is, for a check to see.
 * Any tree. Always true: for ReflectorSpec.reduce of core/reflector.h. */
bool live_node_reduce(cJSON *node);

/* Seconds since 1970 of an RFC 3339 time as Go writes it (upper case T; Z or an offset; a fraction is dropped, a leap
 * second is refused). -1: malformed, or before 1970. */
int64_t rfc3339_seconds(const char *text);
