/* SPDX-License-Identifier: Apache-2.0 */
/* The rest of a cluster around a kubelet_model, in the same simulated time: DaemonSets in the API server, the DaemonSet
 * controller's part for this node, the scheduler, and the watch of who lost touch with the server. All of them rest
 * while the server is down.
 *
 * The controller makes one pod for the node of each DaemonSet that has no fence and fits, deletes it when the template
 * changes, when it has failed and when the DaemonSet goes, and makes the next one when the last is gone. The scheduler
 * binds a pod unless one that the server knows of this node, mirrors included, has one of its host ports, or the node
 * is short of what the pod requests (which the scheduler finds out only when the ports are free). */
#pragma once

#include "kubelet_model.h"

typedef struct ClusterSet {
        bool exists, fenced, misfit;
        size_t spec;
        int64_t fail_at; /* the controller leaves the next failed pod until then, */
        int64_t backoff; /* and waits for so long the next time */
} ClusterSet;

typedef struct Cluster {
        Kubelet *k;
        ClusterSet sets[KM_SETS];
        bool is_short[KM_SETS];              /* of what the pods of the set request */
        int64_t controller_at, scheduler_at; /* -1: nothing to do */
        int64_t up_since;
        unsigned serial;
        bool news; /* something that a watch tells of */
} Cluster;

void cm_init(Cluster *c, Kubelet *k);
/* The server went or came back. */
void cm_api_changed(Cluster *c);

/* What people do; nothing while the server is down. */
void cm_apply(Cluster *c, size_t set, size_t spec);
void cm_delete(Cluster *c, size_t set);
void cm_fence(Cluster *c, size_t set, bool fenced);
void cm_misfit(Cluster *c, size_t set, bool misfit);
/* Something else on the node takes or gives back what its pods request; heard by the scheduler alone. */
void cm_short(Cluster *c, size_t set, bool is_short);
/* Somebody deletes the pod. */
void cm_delete_pod(Cluster *c, size_t set);

/* The object of a pod that has not failed; or NULL. */
KmObject *cm_find(const Cluster *c, size_t set);
/* The controller should have a pod here. */
bool cm_wants(const Cluster *c, size_t set);

int64_t cm_due(const Cluster *c);
void cm_run(Cluster *c);
