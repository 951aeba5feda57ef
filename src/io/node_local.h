/* SPDX-License-Identifier: Apache-2.0 */
/* The local node view: what the kubelet of this host would register as its Node. */
#pragma once

#include "core/config.h"
#include "io/kubelet.h"

typedef enum NodeSource { NODE_FROM_FILE, NODE_FROM_API, NODE_FROM_CACHE, NODE_FROM_LOCAL } NodeSource;
const char *node_source_name(NodeSource s); /* "file", "api", "cache", "local" */

/* Go's name for a machine as uname gives it ("x86_64" is "amd64"); one that is not known stays as it is. */
const char *node_go_arch(const char *machine);

/* The node's name: [node] name, else the kubelet's --hostname-override, else the last known name, else the host's name,
 * the kubelet's two in lower case as it makes them; *ret_known is false where the host's name is what is left and it is
 * empty, no DNS name, "localhost" or "localhost.*" (NodeNameUnknown). hostname: as gethostname gave it. *ret_note: one
 * line if the host's name differs from the last known one that stays in use, or NULL; given to the caller. 0 or
 * -ENOMEM. */
int node_local_name(const Config *config, const KubeletSettings *kubelet, const char *hostname, const char *last_known,
                    char **ret_name, bool *ret_known, char **ret_note);

/* Labels and taints as the kubelet would register them: hostname (the --hostname-override, else the node's name), os
 * and arch in Go's names, each also under its old beta.kubernetes.io key; --node-labels over them; the taints of
 * --register-with-taints, else those of the configuration. 0, -ENOMEM, or -EINVAL for malformed flags (err). */
int node_local_view(const char *name, const KubeletSettings *kubelet, NodeView *ret, Err *err);

/* Lays `[node] labels` and `taints` over the view. 0, -ENOMEM, -EINVAL (checked when the configuration was read). */
int node_lay_over(const Config *config, NodeView *node, Err *err);
