/* SPDX-License-Identifier: Apache-2.0 */
/* What the kubelet on this host is set to: its command line (of the running process, else its flags file), its
 * configuration file and drop-ins. Read only; nothing here changes anything. */
#pragma once

#include "core/model.h"

typedef struct KubeletPaths {
        const char *proc_dir;   /* /proc */
        const char *config;     /* used unless the command line names another with --config */
        const char *flags_file; /* kubeadm-flags.env */
} KubeletPaths;

typedef struct KubeletSettings {
        bool running;
        int pid;                    /* 0 if not running */
        bool known;                 /* a running process, a flags file or a config was found */
        char *hostname_override;    /* or NULL */
        char *node_labels;          /* --node-labels as given, or NULL */
        char *register_with_taints; /* flag as given, or NULL (then config_taints count) */
        Taint *config_taints;       /* registerWithTaints of config and drop-ins */
        size_t n_config_taints;
        char *static_pod_path; /* --pod-manifest-path, else staticPodPath; NULL: not set, "" never */
        char *kubeconfig;      /* --kubeconfig / --bootstrap-kubeconfig, or NULL: no API server known */
        char *warning;         /* something could not be read; one line, or NULL */
} KubeletSettings;

/* 0 or -ENOMEM; what is unreadable is left out and named in `warning`. Flags are read as pflag does: `--a=b`, `--a b`,
 * the last wins. Drop-ins: `--config-dir`, files `*.conf` in byte order, each laid over what came before. */
int kubelet_settings_read(const KubeletPaths *paths, KubeletSettings *ret);
void kubelet_settings_done(KubeletSettings *k);

/* Splits a flags text as a shell would for kubeadm's KUBELET_KUBEADM_ARGS="..." (quotes, backslashes, white space).
 * Exposed for tests. */
int kubelet_flags_parse(const char *text, KubeletSettings *into);
