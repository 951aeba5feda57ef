/* SPDX-License-Identifier: Apache-2.0 */
/* What io/kubelet*.c share. */
#pragma once

#include "base/buf.h"
#include "io/kubelet.h"

/* The flags that count, as they were given; NULL: not given. */
typedef struct KubeletFlags {
        char *hostname_override;
        char *node_labels;
        char *register_with_taints;
        char *pod_manifest_path;
        char *config;
        char *config_dir;
        char *kubeconfig;
        char *bootstrap_kubeconfig;
} KubeletFlags;

void kubelet_flags_done(KubeletFlags *f);
#define _cleanup_kubelet_flags_ _cleanup_(kubelet_flags_done)

/* Reads arguments that stand one behind the other, each with a NUL; the first one is the program. 0 or -ENOMEM. */
int kubelet_flags_from_arguments(const char *arguments, size_t len, KubeletFlags *f);

/* Reads the text of a flags file. 0 or -ENOMEM. */
int kubelet_flags_from_file(const char *text, KubeletFlags *f);

/* Remembers the first warning. 0 or -ENOMEM. */
int kubelet_warn(KubeletSettings *k, const char *format, ...) _printf_(2, 3);

/* The path itself if it is absolute, else dir/path; dir NULL: as it is. NULL: out of memory. */
char *kubelet_resolve(const char *dir, const char *path);

/* Lays the configuration file, then the drop-ins of a directory (NULL: none) over the settings. named: the command line
 * names the file, so that it must be there. cwd: what a relative path in a drop-in starts from, or NULL. 0 or
 * -ENOMEM. */
int kubelet_config_read(const char *path, bool named, const char *config_dir, const char *cwd, KubeletSettings *k);
