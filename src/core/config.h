/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration: one table declares section, key, type, default and help; reading, the sample file, `--help` and
 * the man page come from it. Text in, struct out. Pure: the caller reads the files.
 *
 * INI as inih reads it: [section], key = value, comments with # or ; at the start of a line or after white space, no
 * limit on the length of a value, no continuation lines. An empty value resets a key to its default; of equal keys the
 * last wins. Unknown sections and keys, malformed values and keys outside a section are errors that name file, line and
 * the nearest known key. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "core/model.h"

typedef enum HoldOffline { HOLD_OFFLINE_AUTO, HOLD_OFFLINE_ALWAYS, HOLD_OFFLINE_NO } HoldOffline;
typedef enum OnDeleted { ON_DELETED_KEEP, ON_DELETED_REMOVE } OnDeleted;
typedef enum OnApiDeleted { ON_API_DELETED_RUN, ON_API_DELETED_STOP } OnApiDeleted;
typedef enum ApiProxy { API_PROXY_NONE, API_PROXY_ENVIRONMENT } ApiProxy;
typedef enum SecretEnv { SECRET_ENV_REFUSE, SECRET_ENV_INLINE } SecretEnv;

typedef struct Config {
        char *node_name;   /* NULL = auto */
        char *node_labels; /* as written, checked; NULL = none */
        char *node_taints;
        bool tolerate_unready;
        int64_t settle; /* durations in seconds */
        OnDeleted on_deleted;
        int64_t deleted_grace;
        char *kubelet_config, *kubelet_flags_file, *kubelet_extra_flags_file; /* the last: NULL = none */
        char *kubelet_root_dir, *kubelet_proc_dir, *kubelet_cgroup_dir;
        char *manifest_dir; /* NULL = auto */
        char *daemonsets_dir;
        OnApiDeleted on_api_deleted;
        bool follow_api;
        char *api_kubeconfig; /* NULL = auto, "none" = no API server */
        char *api_namespaces; /* "a,b", without blanks; never empty */
        bool api_tokens;
        bool api_allow_insecure;
        ApiProxy api_proxy;
        char *state_dir, *runtime_dir;
        HoldOffline hold_offline;
        int64_t removal_delay;
        char *pods_api_server; /* NULL = none */
        SecretEnv secret_env;
        char *metrics_textfile; /* NULL = none */
} Config;

/* Every default set. 0 or -ENOMEM. */
int config_init(Config *ret);

/* Reads one file's text over what is there; file: its name for messages. All errors of a file are one message, the
 * first; on failure the config is unusable. -EINVAL, -ENOMEM. */
int config_read(Config *c, const char *file, const char *text, size_t len, Err *err);

void config_done(Config *c);
#define _cleanup_config_ _cleanup_(config_done)

/* The sample file: every key with its help, commented out with its default. 0 or -ENOMEM. */
int config_sample(Buf *out);

/* The man page's section (man macros: .SS for each section, .TP for each key), from the same table. 0 or -ENOMEM. */
int config_man(Buf *out);

/* Whether "a,b" of [api] namespaces has this one. */
bool config_has_namespace(const char *namespaces, const char *namespace);

/* "k=v,k=v" and "key=value:Effect,key:Effect", as the kubelet's flags have them (white space around is cut off, empty
 * items are left out, a label without "=" has the value ""); calls add for each. Keys and values are checked as those
 * of labels. -EINVAL with what is wrong, -ENOMEM, or what add returned. */
int config_each_label(const char *text, int (*add)(void *user, const char *key, const char *value), void *user,
                      Err *err);
int config_each_taint(const char *text, int (*add)(void *user, const char *key, const char *value, TaintEffect effect),
                      void *user, Err *err);
