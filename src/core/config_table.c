/* SPDX-License-Identifier: Apache-2.0 */
#include "core/config_table.h"

const ConfigSection config_sections[] = {
        { "node", "What this host is to the DaemonSets: its name, labels and taints." },
        { "kubelet", "Where the kubelet of this host keeps its own settings. The agent only reads them." },
        { "daemonsets", "The DaemonSets that this host knows without an API server." },
        { "api", "The API server, where there is one. Everything works without." },
        { "agent", "The agent's own files and its care about what runs." },
        { "pods", "What the static pods contain." },
        { "metrics", "Numbers for monitoring." },
};

const size_t config_n_sections = ARRAY_SIZE(config_sections);

const ConfigItem config_items[] = {
        {
                .section = "node",
                .key = "name",
                .type = CONFIG_NODE_NAME,
                .offset = offsetof(Config, node_name),
                .fallback = "auto",
                .unset = "auto",
                .help = "The name of this node, as the kubelet registers it. With auto it is the kubelet's "
                        "--hostname-override, else the name last used on this host, else the host's name in lower "
                        "case. Set it where a cloud provider chooses the name of the node. A wrong name decides "
                        "nodeName and matchFields wrongly and gives every pod a name that the mirror pod does not "
                        "have; a changed name restarts every pod.",
        },
        {
                .section = "node",
                .key = "labels",
                .type = CONFIG_LABELS,
                .offset = offsetof(Config, node_labels),
                .fallback = "none",
                .unset = "none",
                .help = "Labels that are laid over those of the node: key=value, separated by commas. They count for "
                        "the decision on this host only and are not written to the API server. A label given here "
                        "wins over one of the same key from anywhere else.",
        },
        {
                .section = "node",
                .key = "taints",
                .type = CONFIG_TAINTS,
                .offset = offsetof(Config, node_taints),
                .fallback = "none",
                .unset = "none",
                .help = "Taints that are laid over those of the node: key=value:Effect or key:Effect, separated by "
                        "commas. Effect is NoSchedule (nothing new starts unless it tolerates the taint, what runs "
                        "goes on), NoExecute (what does not tolerate it is also stopped) or PreferNoSchedule (no "
                        "effect on DaemonSets). A taint of the same key and effect is replaced.",
        },
        {
                .section = "node",
                .key = "tolerate_unready",
                .type = CONFIG_BOOL,
                .offset = offsetof(Config, tolerate_unready),
                .fallback = "yes",
                .help = "Whether DaemonSets start on a node that Kubernetes calls not ready, unreachable or without "
                        "network. With yes the network agent that would make the node ready can start. With no the "
                        "verdict about such a node is the DaemonSet controller's: on a node whose network agent is "
                        "missing nothing starts unless its template tolerates node.kubernetes.io/not-ready with "
                        "effect NoSchedule.",
        },
        {
                .section = "node",
                .key = "settle",
                .type = CONFIG_DURATION,
                .offset = offsetof(Config, settle),
                .fallback = "60s",
                .help = "How long a change of the node's labels or taints must have stood in the API server before a "
                        "pod is stopped because of it. Pods that the change makes wanted are started at once. "
                        "Nothing is stopped within this time of the first contact with the API server. 0 stops at "
                        "once.",
        },
        {
                .section = "node",
                .key = "on_deleted",
                .type = CONFIG_WORD,
                .offset = offsetof(Config, on_deleted),
                .fallback = "keep",
                .words = "keep remove",
                .help = "What happens to the static pods when the Node object of this host has been deleted from the "
                        "API server: keep leaves them as they are, remove stops them after deleted_grace.",
        },
        {
                .section = "node",
                .key = "deleted_grace",
                .type = CONFIG_DURATION,
                .offset = offsetof(Config, deleted_grace),
                .fallback = "5m",
                .help = "How long the Node object must have been gone before on_deleted = remove takes effect.",
        },
        {
                .section = "kubelet",
                .key = "config",
                .type = CONFIG_PATH,
                .offset = offsetof(Config, kubelet_config),
                .fallback = "/var/lib/kubelet/config.yaml",
                .help = "The kubelet's configuration file, unless its command line names another one with --config. "
                        "It tells the manifest directory and the taints that the node is registered with. It may be "
                        "absent.",
        },
        {
                .section = "kubelet",
                .key = "flags_file",
                .type = CONFIG_PATH,
                .offset = offsetof(Config, kubelet_flags_file),
                .fallback = "/var/lib/kubelet/kubeadm-flags.env",
                .help = "The file with the kubelet's command line flags (KUBELET_KUBEADM_ARGS and "
                        "KUBELET_EXTRA_ARGS), read while no kubelet runs: at boot, before it starts. It may be "
                        "absent.",
        },
        {
                .section = "kubelet",
                .key = "extra_flags_file",
                .type = CONFIG_PATH,
                .offset = offsetof(Config, kubelet_extra_flags_file),
                .fallback = "/etc/default/kubelet",
                .unset = "none",
                .help = "The file with the administrator's flags (KUBELET_EXTRA_ARGS), read after flags_file in the "
                        "same way. On hosts with RPM packages it is /etc/sysconfig/kubelet. It may be absent.",
        },
        {
                .section = "kubelet",
                .key = "root_dir",
                .type = CONFIG_PATH,
                .offset = offsetof(Config, kubelet_root_dir),
                .fallback = "/var/lib/kubelet",
                .help = "The kubelet's --root-dir. The directories of the pods under it tell whether a pod is still "
                        "there.",
        },
        {
                .section = "kubelet",
                .key = "proc_dir",
                .type = CONFIG_PATH,
                .offset = offsetof(Config, kubelet_proc_dir),
                .fallback = "/proc",
                .help = "Where the process table is read to find the running kubelet. Set it where the agent runs in "
                        "a container that sees the host's process table under another path.",
        },
        {
                .section = "kubelet",
                .key = "cgroup_dir",
                .type = CONFIG_PATH,
                .offset = offsetof(Config, kubelet_cgroup_dir),
                .fallback = "/sys/fs/cgroup",
                .help = "Where the control groups are mounted, by which it is seen whether a pod runs. Set it where the "
                        "agent runs in a container that sees the host's under another path.",
        },
        {
                .section = "kubelet",
                .key = "manifest_dir",
                .type = CONFIG_PATH,
                .offset = offsetof(Config, manifest_dir),
                .fallback = "auto",
                .unset = "auto",
                .help = "The directory that the kubelet reads static pods from. With auto it is found as the kubelet "
                        "finds it: --pod-manifest-path of its command line, else staticPodPath of its configuration. "
                        "Set it only where the kubelet's settings cannot be read. The agent never makes this "
                        "directory; the kubelet must be reading it, else nothing starts.",
        },
        {
                .section = "daemonsets",
                .key = "dir",
                .type = CONFIG_PATH,
                .offset = offsetof(Config, daemonsets_dir),
                .fallback = "/etc/daemonlet/daemonsets.d",
                .help = "The directory with the local DaemonSets and the ConfigMaps and Secrets they refer to: "
                        "*.yaml, *.yml and *.json, without a leading dot, as one would kubectl apply them. Neither "
                        "the directory nor a file in it may be writable by group or others.",
        },
        {
                .section = "daemonsets",
                .key = "on_api_deleted",
                .type = CONFIG_WORD,
                .offset = offsetof(Config, on_api_deleted),
                .fallback = "run",
                .words = "run stop",
                .help = "What happens when a local DaemonSet that was handed over to the DaemonSet controller is deleted "
                        "in the API server while its file stands: run takes it back, so that it runs here again, stop "
                        "leaves it stopped until it is applied again or its file is removed.",
        },
        {
                .section = "daemonsets",
                .key = "follow_api",
                .type = CONFIG_BOOL,
                .offset = offsetof(Config, follow_api),
                .fallback = "no",
                .help = "Which template a local DaemonSet that is in the API server as well has when it runs here without "
                        "the DaemonSet controller, after a reboot that the API server does not answer. With no it is "
                        "the file's. With yes it is the one that the API server had last, if that can be a static pod: "
                        "for as long as the DaemonSet is there, changes of the file do nothing; whoever may change that "
                        "DaemonSet then decides what runs as a static pod, which meets no admission.",
        },
        {
                .section = "api",
                .key = "kubeconfig",
                .type = CONFIG_PATH,
                .offset = offsetof(Config, api_kubeconfig),
                .fallback = "auto",
                .unset = "auto",
                .word = "none",
                .help = "The kubeconfig file that names the API server and the agent's identity there. With auto it "
                        "is /etc/daemonlet/kubeconfig, else the kubelet's own, which is good enough to follow the "
                        "Node but not DaemonSets. With none no API server is ever contacted.",
        },
        {
                .section = "api",
                .key = "namespaces",
                .type = CONFIG_NAMESPACES,
                .offset = offsetof(Config, api_namespaces),
                .fallback = "kube-system",
                .help = "The namespaces whose DaemonSets are followed, separated by commas, and there only those "
                        "that opt in by the label daemonlet.io/mode. Whoever may create DaemonSets in such a "
                        "namespace becomes root on every node, because static pods meet no admission.",
        },
        {
                .section = "api",
                .key = "tokens",
                .type = CONFIG_BOOL,
                .offset = offsetof(Config, api_tokens),
                .fallback = "no",
                .help = "Whether pods get ServiceAccount tokens, which a static pod cannot have by itself. With yes "
                        "the agent requests them and keeps them fresh; its identity then needs the right to create "
                        "tokens for these ServiceAccounts (see daemonlet rbac). With no a pod that mounts one runs "
                        "without.",
        },
        {
                .section = "api",
                .key = "allow_insecure",
                .type = CONFIG_BOOL,
                .offset = offsetof(Config, api_allow_insecure),
                .fallback = "no",
                .help = "Whether insecure-skip-tls-verify of a kubeconfig is obeyed. With no such a kubeconfig is "
                        "refused. With yes whoever answers at the server's address can start pods as root on this "
                        "node: for a laboratory only.",
        },
        {
                .section = "api",
                .key = "proxy",
                .type = CONFIG_WORD,
                .offset = offsetof(Config, api_proxy),
                .fallback = "none",
                .words = "none environment",
                .help = "Through which proxy the API server is reached, unless the kubeconfig's cluster names one with "
                        "proxy-url: none asks it directly, environment obeys https_proxy and no_proxy of the agent's "
                        "environment.",
        },
        {
                .section = "agent",
                .key = "state_dir",
                .type = CONFIG_PATH,
                .offset = offsetof(Config, state_dir),
                .fallback = "/var/lib/daemonlet",
                .help = "What the agent must remember across reboots: the bytes last written, where they came from, "
                        "copies of what the API server said, quarantined files. Made with mode 0700. It must be on "
                        "a disk that survives a reboot.",
        },
        {
                .section = "agent",
                .key = "runtime_dir",
                .type = CONFIG_PATH,
                .offset = offsetof(Config, runtime_dir),
                .fallback = "/run/daemonlet",
                .help = "Where the running agent writes its report, status.json, for daemonlet status.",
        },
        {
                .section = "agent",
                .key = "hold_offline",
                .type = CONFIG_WORD,
                .offset = offsetof(Config, hold_offline),
                .fallback = "auto",
                .words = "auto always no",
                .help = "Whether a manifest whose pod is alive is left alone while the kubelet has not seen the API "
                        "server since its start. Such a kubelet neither updates nor stops static pods, and if it is "
                        "restarted then, it runs the new copy beside the old one. auto holds where the kubelet uses "
                        "an API server; always holds at all times; no never holds, which is right only where the "
                        "kubelet has no API server.",
        },
        {
                .section = "agent",
                .key = "removal_delay",
                .type = CONFIG_DURATION,
                .offset = offsetof(Config, removal_delay),
                .fallback = "5s",
                .help = "How long the running agent waits, and reads again, before it removes the manifest of a "
                        "DaemonSet that is no longer defined. Editors, git and rsync delete and create files anew; "
                        "removing a manifest for a moment kills its pod. 0 removes at once.",
        },
        {
                .section = "pods",
                .key = "api_server",
                .type = CONFIG_HOST_PORT,
                .offset = offsetof(Config, pods_api_server),
                .fallback = "none",
                .unset = "none",
                .help = "host:port of the API server, given to every container as KUBERNETES_SERVICE_HOST and "
                        "KUBERNETES_SERVICE_PORT. A static pod that starts before the kubelet knows the Services "
                        "lacks both. An IPv6 address stands in brackets. A changed value restarts every pod.",
        },
        {
                .section = "pods",
                .key = "secret_env",
                .type = CONFIG_WORD,
                .offset = offsetof(Config, secret_env),
                .fallback = "refuse",
                .words = "refuse inline",
                .help = "What happens to a DaemonSet that takes environment variables from a Secret. A static pod "
                        "can only have the value itself in its manifest, and whoever may read pods can then read it "
                        "in the mirror pod. refuse does not run such a DaemonSet and says so; inline accepts it.",
        },
        {
                .section = "metrics",
                .key = "textfile",
                .type = CONFIG_PATH,
                .offset = offsetof(Config, metrics_textfile),
                .fallback = "none",
                .unset = "none",
                .help = "A file in Prometheus' text format, written after every pass, for the node "
                        "exporter's textfile collector, which wants a name that ends in .prom. Its directory must "
                        "exist.",
        },
};

const size_t config_n_items = ARRAY_SIZE(config_items);
