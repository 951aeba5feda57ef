/* SPDX-License-Identifier: Apache-2.0 */
/* What every command needs before it starts: the configuration and this host's facts. */
#pragma once

#include "app/options.h"
#include "core/config.h"
#include "core/decide.h"
#include "core/render.h"
#include "io/node_local.h"

/* Reads the configuration: the named file (must exist) or the default one (may be absent), then FILE.d in the order of
 * names, `*.conf` only. -EINVAL with file and line, or an errno of reading. */
int setup_config(const Options *options, Config *ret, Err *err);

/* The kubelet's settings as the configuration points to them. 0 or -ENOMEM. */
int setup_kubelet(const Config *config, KubeletSettings *ret);

typedef struct NodeFacts {
        NodeView view;
        NodeSource source;
        bool known; /* the node's name is certain; else nothing may be created or changed */
        char *note; /* one line to warn with, or NULL */
} NodeFacts;

/* The node of --node, or the local view with `[node]` laid over it. last_known: the remembered name, or NULL. */
int setup_node(const Options *options, const Config *config, const KubeletSettings *kubelet, const char *last_known,
               NodeFacts *ret, Err *err);
void node_facts_done(NodeFacts *n);

/* Where the kubelet reads its manifests: `[kubelet] manifest_dir`, else as the kubelet is set. -EINVAL when static pods
 * are switched off there. */
int setup_manifest_dir(const Config *config, const KubeletSettings *kubelet, const char *last, char **ret, Err *err);

/* The configuration that is read without --config. */
#define CONFIG_PATH SYSCONFDIR "/daemonlet/daemonlet.conf"

DecideOptions setup_decide(const Options *options, const Config *config);

/* Where volumes are materialised: an absolute path in the state directory. 0 or an errno. */
int setup_volumes_dir(const Config *config, char **ret, Err *err);

/* The certificate of the cluster's CA from the kubeconfig that is configured or found; NULL where there is none. What
 * is wrong with it is told in *ret_note, a line (or NULL): pods can do without. 0 or -ENOMEM. */
int setup_ca(const Config *config, const KubeletSettings *kubelet, char **ret, size_t *ret_len, char **ret_note);

/* The kubeconfig that is configured or found, or NULL: there is none. Borrowed. */
const char *setup_kubeconfig(const Config *config, const KubeletSettings *kubelet);

/* The kubelet's own kubeconfig as it is set, or where kubeadm has it; NULL: the kubelet has none, or there is no
 * kubelet. Borrowed. */
const char *setup_kubelet_kubeconfig(const KubeletSettings *kubelet);

/* Keeps the CA in the state directory, and gives the one that was kept where there is none now (a kubelet that is
 * stopped, a file that is being written): a pod that runs does not lose it. kubeconfig = none means that there is to be
 * none. 0 or -ENOMEM; what cannot be kept is not. */
int setup_last_ca(const Config *config, bool read_only, char **ca, size_t *len);

/* How this host renders DaemonSets, but for the objects and the CA. Borrows from its arguments. */
RenderOptions setup_render_options(const Config *config, const NodeView *node, const char *volumes_dir);

/* All of it for a command that touches nothing: configuration, the kubelet's settings, the node. */
typedef struct Host {
        Config config;
        KubeletSettings kubelet;
        NodeFacts node;
        char *volumes_dir;
} Host;

int setup_host(const Options *options, Host *ret, Err *err);

/* How this host renders the DaemonSets of a set. */
RenderOptions setup_render(const Host *host, const Objects *objects);
void host_done(Host *h);
#define _cleanup_host_ _cleanup_(host_done)
