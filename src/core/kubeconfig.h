/* SPDX-License-Identifier: Apache-2.0 */
/* kubeconfig files (YAML or JSON, kind Config), as client-go reads them. Pure. */
#pragma once

#include "base/err.h"

/* The cluster of the current context. */
typedef struct KubeCluster {
        char *server;  /* URL, or NULL */
        char *ca_file; /* as given: relative to the kubeconfig's directory; or NULL */
        char *ca_data; /* decoded, wins over ca_file; or NULL */
        size_t ca_data_len;
} KubeCluster;

/* name: for messages. Without current-context the only context counts, or else the only cluster. -EBADMSG (err says
 * where and what), -ENOMEM. */
int kubeconfig_cluster(const char *name, const char *text, size_t len, KubeCluster *ret, Err *err);
void kube_cluster_done(KubeCluster *c);
#define _cleanup_kube_cluster_ _cleanup_(kube_cluster_done)
