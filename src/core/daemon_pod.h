/* SPDX-License-Identifier: Apache-2.0 */
/* What counts of a pod of the DaemonSet controller, as the API server has it. Pure. */
#pragma once

#include "core/handover.h"
#include "core/json.h"

typedef struct DaemonPod {
        char *namespace, *name, *uid;
        char *daemonset; /* of the owner reference that is a controller, of kind DaemonSet in group apps; NULL: none */
        char *owner_uid; /* of that DaemonSet; "" where the reference has none, NULL where there is no such owner */
        bool here;       /* it is bound to the node, or unbound with the node in the matchFields of its affinity; false
                            without a DaemonSet */
        TheirPod pod; /* POD_NONE where it has ended (Failed, Succeeded), is not here, or is unbound and the scheduler
                       * has not said (PodScheduled is False) that it stays so: it may start beside ours yet */
} DaemonPod;

/* From the JSON of a v1 Pod. Unbound, it is the node's if a required node affinity term has a matchFields requirement
 * metadata.name In with the node's name (the controller writes exactly this one: a single term, a single value). Bound,
 * it is POD_READY if its Ready condition is True and it is not being deleted, else POD_BOUND. -EBADMSG: no JSON, no
 * Pod, no name, or a type that Kubernetes would refuse in what is looked at; -ENOMEM. */
int daemon_pod_read(const char *bytes, size_t len, const char *node_name, DaemonPod *ret);
void daemon_pod_done(DaemonPod *p);
#define _cleanup_daemon_pod_ _cleanup_(daemon_pod_done)

/* Takes away all but what daemon_pod_read looks at, so that a pod's other news are no news; of a pod without an owner
 * that is a DaemonSet all but apiVersion, kind, and metadata's name, namespace, uid and resourceVersion. What has
 * another type than it should stays as it is, for a check to see. Any tree. False: out of memory. For
 * ReflectorSpec.reduce of core/reflector.h. */
bool daemon_pod_reduce(cJSON *pod);
