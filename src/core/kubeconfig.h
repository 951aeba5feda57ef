/* SPDX-License-Identifier: Apache-2.0 */
/* kubeconfig files (YAML or JSON, kind Config), as client-go reads them. Pure: files that one names are the caller's to
 * read. */
#pragma once

#include "base/err.h"

/* A PEM text or a token that stands in the kubeconfig or in a file of its own. Where both are given, data wins, as in
 * client-go; but of a token the file does (`tokenFile`, what a client-go of our day reads again and again). */
typedef struct KubeMaterial {
        char *file; /* as given: relative to the kubeconfig's directory; or NULL */
        char *data; /* decoded; or NULL */
        size_t len; /* of data */
} KubeMaterial;

/* The cluster of the current context. */
typedef struct KubeCluster {
        char *server; /* URL, or NULL */
        KubeMaterial ca;
        char *tls_server_name; /* the name that the server's certificate must have instead of the URL's host; or NULL */
        char *proxy_url;       /* or NULL */
        bool insecure;         /* insecure-skip-tls-verify: true */
} KubeCluster;

/* The user of the current context. */
typedef struct KubeUser {
        KubeMaterial cert, key, token;
} KubeUser;

typedef struct KubeConfig {
        KubeCluster cluster;
        KubeUser user;
} KubeConfig;

/* name: for messages. Without current-context the only context counts, or else the only cluster (and, for the user, the
 * only user or none); a context may name no user. What the context names must be there, once; values that are read must
 * have their type; kind, if given, is Config. -EBADMSG (err says where and what), -ENOMEM. Messages never tell a value
 * that may be secret. */
int kubeconfig_cluster(const char *name, const char *text, size_t len, KubeCluster *ret, Err *err);
void kube_cluster_done(KubeCluster *c);
#define _cleanup_kube_cluster_ _cleanup_(kube_cluster_done)

/* Cluster and user, for a client. -EBADMSG as well if: server is no https:// URL, or has a query, a fragment or
 * credentials; proxy-url is no http://, https:// or socks5:// URL; there is a certificate without a key or the reverse;
 * insecure-skip-tls-verify comes with a certificate authority (client-go refuses that too). `exec`, `auth-provider`,
 * `username` and `password`, `as` (impersonation) are -EOPNOTSUPP: err names the user and what to use instead. A
 * kubeconfig of neither certificate nor token is fine: the server says whether that will do. Keys and tokens in memory
 * that is freed are wiped first (what libyaml had in its own buffers is beyond reach). */
int kubeconfig_read(const char *name, const char *text, size_t len, KubeConfig *ret, Err *err);
void kubeconfig_done(KubeConfig *c);
#define _cleanup_kubeconfig_ _cleanup_(kubeconfig_done)

/* The path of a file that a kubeconfig names: a relative one is relative to the kubeconfig's directory. NULL: out of
 * memory. */
char *kubeconfig_path(const char *kubeconfig, const char *file);
