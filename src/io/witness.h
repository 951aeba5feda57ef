/* SPDX-License-Identifier: Apache-2.0 */
/* The witness: what the pods of our manifests do, told without the API and without the container runtime. Because the pod's uid is ours, the
 * cgroup `pod<uid>` and the kubelet's directory `pods/<uid>` give it away; both exist while the pod lives and are gone a few seconds
 * after it ended.
 *
 *   cgroup with processes in it (itself or below)             running
 *   cgroup without processes, or only the directory           terminating, or starting (the caller knows which it asked for)
 *   neither                                                   gone
 *   the cgroup tree or the kubelet's directory unreadable      unknown
 *
 * cgroups v1 and v2, the cgroupfs driver (kubepods[/besteffort|/burstable]/pod<uid>) and the systemd driver
 * (kubepods.slice/kubepods-<qos>.slice/kubepods-<qos>-pod<uid with _ for ->.slice), under the root cgroup or one that the kubelet was
 * given. Without per-QoS cgroups only the directory tells. Read only. */
#pragma once

#include "base/err.h"
#include "core/plan.h"

typedef struct WitnessPaths {
        const char *cgroup_dir; /* /sys/fs/cgroup */
        const char *kubelet_root; /* /var/lib/kubelet */
} WitnessPaths;

typedef struct WitnessView WitnessView;

/* Looks once: reads the names of all pods that have a cgroup or a directory. What cannot be read makes answers unknown, not an error. 0 or
 * -ENOMEM. */
int witness_look(const WitnessPaths *paths, WitnessView **ret);
WitnessView *witness_free(WitnessView *v);
DEFINE_CLEANUP(WitnessView *, witness_free)
#define _cleanup_witness_ _cleanup_(witness_freep)

/* What the view says of one pod. */
Witness witness_of(const WitnessView *v, const char *uid);

/* Whether the host keeps cgroups of pods at all (a kubepods tree was found), and the kubelet's pods directory was read: without either
 * every answer is unknown. */
bool witness_knows(const WitnessView *v);
