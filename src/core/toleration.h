/* SPDX-License-Identifier: Apache-2.0 */
/* Taints and tolerations: v1helper.ToleratesTaint, and the tolerations that the DaemonSet controller adds
 * (pkg/controller/daemon/util.AddOrUpdateDaemonPodTolerations). Pure. */
#pragma once

#include "core/model.h"

/* Whether one toleration tolerates the taint. Effect: none or equal. Key: equal, or none with operator Exists.
 * (Lt and Gt belong to a gate that is off by default: they match nothing.) */
bool toleration_matches(const Toleration *toleration, const Taint *taint);

/* The tolerations that the controller appends to every daemon pod, in its order; the last one for hostNetwork only. */
extern const Toleration controller_tolerations[];
size_t controller_tolerations_count(bool host_network);

/* Whether the controller's own tolerations tolerate the taint. */
bool controller_tolerates(const Taint *taint, bool host_network);

/* Appends the controller's tolerations to a template's tolerations list (JSON), as AddOrUpdateTolerationInPodSpec does:
 * one of the same key, operator, value and effect is replaced where it stands. Empty strings are taken out of
 * the template's own entries, as Kubernetes' encoding does. *tolerations may be NULL (absent) and is then made. 0 or
 * -ENOMEM. */
int tolerations_add_controllers(cJSON **tolerations, bool host_network);
