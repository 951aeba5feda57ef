/* SPDX-License-Identifier: Apache-2.0 */
/* The witness: what the pods of our manifests do, told without the API and without the container runtime. Because the
 * pod's uid is ours, the cgroup `pod<uid>` and the kubelet's directory `pods/<uid>` give it away. The kubelet makes the
 * cgroup first and the directory next, both before any container; the directory is the last to go.
 *
 * cgroups v2, v1 and both at once; the cgroupfs driver (kubepods[/burstable|/besteffort]/pod<uid>) and the systemd
 * driver (kubepods.slice[/kubepods-<qos>.slice]/kubepods[-<qos>]-pod<uid with _ for ->.slice), under the root cgroup or
 * up to two levels below it (a kubelet with a --cgroup-root of its own; under the systemd driver the names then begin
 * with that root's: kubelet.slice/kubelet-kubepods.slice/...). Of v1 one hierarchy is read, and its processes are seen
 * from the host's PID namespace only. Read only, everything bounded; links inside of the trees are not followed.
 *
 *   the pod's cgroup      kubepods trees    its directory     pods directory     answer
 *   has processes         -                 -                 -                  running
 *   has none              -                 -                 -                  terminating
 *   not seen              read              is there          -                  terminating
 *   not seen              read              is not there      read               gone
 *   not seen              read              is not there      absent             gone: the cgroup alone tells
 *   not seen              none              is not there      read               gone: the directory alone tells
 *   anything else                                                                unknown
 *
 * The rest, in words: where there is no kubepods tree, a directory may be a running pod's (a kubelet without cgroups
 * per QoS), a dead one's, or left from an earlier boot; what could not be read to its end may hide the pod; with
 * neither tree nor pods directory nothing is known.
 *
 * "Terminating" is "starting" as well: the caller knows which it asked for. Of a cgroup that is there,
 * processes that cannot be read or lie too deep to be looked for count as there. A cgroup that vanishes while it is
 * read is gone. */
#pragma once

#include "base/util.h"
#include "core/plan.h"

typedef struct WitnessPaths {
        const char *cgroup_dir;   /* /sys/fs/cgroup */
        const char *kubelet_root; /* /var/lib/kubelet */
} WitnessPaths;

typedef struct WitnessView WitnessView;

/* Looks once: reads the names of all pods that have a cgroup or a directory, and whether they have processes. What
 * cannot be read makes answers unknown, not an error. 0 or -ENOMEM. */
int witness_look(const WitnessPaths *paths, WitnessView **ret);
WitnessView *witness_free(WitnessView *v);
DEFINE_CLEANUP(WitnessView *, witness_free)
#define _cleanup_witness_ _cleanup_(witness_freep)

/* What the view says of one pod. Unknown for what is no uid (a UUID, or the 32 hex digits that the kubelet gives a
 * static pod without one), NULL included, and with a NULL view. */
Witness witness_of(const WitnessView *v, const char *uid);

/* Whether there is anything to tell by: a kubepods tree, or a pods directory that was read. Without either every answer
 * is unknown. */
bool witness_knows(const WitnessView *v);

/* Whether the host's cgroups were searched to the end and hold no kubepods tree: a kubelet that keeps its pods in
 * cgroups (cgroupsPerQOS, the default) has not run since boot, so no pod of it does, whatever directories are left.
 * Only the caller can know whether this host's kubelet is such a one; the answers do not rely on it. */
bool witness_no_cgroups(const WitnessView *v);
