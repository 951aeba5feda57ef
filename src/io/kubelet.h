/* SPDX-License-Identifier: Apache-2.0 */
/* What the kubelet on this host is set to: its command line (of the running process, else its flags file), its
 * configuration file and drop-ins. Read only; nothing here changes anything. */
#pragma once

#include "core/model.h"

typedef struct KubeletPaths {
        const char *proc_dir;         /* /proc */
        const char *config;           /* used unless the command line names another with --config; may be absent */
        const char *flags_file;       /* kubeadm-flags.env; may be absent */
        const char *extra_flags_file; /* the administrator's: /etc/default/kubelet, say; may be absent; or NULL */
} KubeletPaths;

typedef struct KubeletSettings {
        bool running;
        int pid;                    /* 0 if not running */
        int64_t started_at;         /* of the running process, seconds since 1970; 0 if not known */
        int64_t start_ticks;        /* the same, in clock ticks since boot; 0 if not known */
        int64_t config_changed_at;  /* the newest change of the configuration and its drop-ins; 0 if there is none */
        bool known;                 /* a running process, a flags file or a config was found */
        char *hostname_override;    /* --hostname-override as given, or NULL */
        char *node_labels;          /* --node-labels as given, several joined by commas, or NULL */
        char *register_with_taints; /* flag as given, "" included, or NULL (then config_taints count) */
        Taint *config_taints;       /* registerWithTaints of config and drop-ins */
        size_t n_config_taints;
        char *static_pod_path; /* --pod-manifest-path, else staticPodPath; NULL: not set, "" never */
        bool static_pod_path_is_flag;
        char *kubeconfig; /* --kubeconfig / --bootstrap-kubeconfig, or NULL: no API server known */
        char *warning;    /* something could not be read; one line, or NULL */
} KubeletSettings;

/* 0 or -ENOMEM; what is unreadable is left out and named in `warning`. Flags are read as pflag does: `--a=b`, `--a b`,
 * the last wins (--node-labels accumulates), `_` in a flag's name is `-`. Drop-ins: `--config-dir`, files `*.conf` of
 * it and of its folders in byte order, each laid over what came before as a JSON merge patch. Relative paths are
 * resolved as the kubelet resolves them: those of flags and drop-ins from its working directory, those of its
 * configuration from that file's directory. A kubelet in another PID namespace (in a container) than process 1 is not
 * this host's. */
int kubelet_settings_read(const KubeletPaths *paths, KubeletSettings *ret);
void kubelet_settings_done(KubeletSettings *k);
#define _cleanup_kubelet_settings_ _cleanup_(kubelet_settings_done)

/* Keeps the settings of a kubelet that runs in the state directory, and gives those of the last one of this boot: 1 and
 * the settings, as of one that runs, or 0: none is known. What cannot be kept or read is not; -ENOMEM. */
int kubelet_settings_keep(const char *state_dir, const char *proc_dir, const KubeletSettings *k);
int kubelet_settings_last(const char *state_dir, const char *proc_dir, KubeletSettings *ret);

/* The id of this boot of the host; *ret is NULL where it cannot be told. 0 or -ENOMEM. */
int kubelet_boot_id(const char *proc_dir, char **ret);

/* How long the process that was read has run, in milliseconds; -1 if there was none, or it has ended. */
int64_t kubelet_up_for(const char *proc_dir, const KubeletSettings *k);

/* Whether another kubelet runs now than the one that was read, or one where there was none: then the settings have to
 * be read again. One that has ended was set as it was. Cheap while it runs. */
bool kubelet_is_another(const char *proc_dir, const KubeletSettings *k);

/* Takes the flags from the text of a flags file: lines KUBELET_KUBEADM_ARGS="..." and then KUBELET_EXTRA_ARGS="...",
 * split as a shell would (quotes, backslashes, white space); other lines are ignored. Exposed for tests. 0 or -ENOMEM.
 */
int kubelet_flags_parse(const char *text, KubeletSettings *into);
