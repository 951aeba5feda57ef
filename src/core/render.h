/* SPDX-License-Identifier: Apache-2.0 */
/* DaemonSet + node name -> the static pod, as canonical bytes, or a refusal with its reason. Pure: the same input gives
 * the same bytes on every machine, and golden files in tests/ guard the form. */
#pragma once

#include "core/manifest.h"
#include "core/objects.h"
#include "core/payload.h"
#include "core/priority.h"

typedef struct RenderOptions {
        const char *node_name;
        bool secret_env_inline;  /* [pods] secret_env = inline */
        const Objects *objects;  /* the set that references are looked up in */
        const char *volumes_dir; /* where volumes are materialised: absolute, without a slash at the end */
        const char *api_server;  /* [pods] api_server, "host:port" or "[v6]:port"; NULL: none */
        const char *ca_crt;      /* PEM of the cluster's CA, for the token directories; NULL: not known */
        size_t ca_crt_len;
        const PriorityClass *priorities; /* that are known, by name, besides the system's two; not part of the input */
        size_t n_priorities;
        const Tokens *tokens; /* that are known; NULL: tokens are off */
        bool wait_for_tokens; /* a pod waits for those that it lacks; else it starts without, and gets them later */
} RenderOptions;

/* A volume that is to be materialised before the manifest is written. */
typedef struct RenderedVolume {
        char *name; /* of the pod's volume */
        char *dir;  /* below volumes_dir: "<pod>/<input>/<volume>" */
        char hash[PAYLOAD_HEX + 1];
        bool empty; /* it would hold nothing */
} RenderedVolume;

/* An API object that the DaemonSet uses, for `explain`. */
typedef struct RenderedUse {
        ObjectKind kind;
        char *name;
        bool env;    /* in the environment: a change of it changes the manifest and restarts the pod */
        bool mount;  /* in a volume: a change swaps files */
        bool needed; /* somewhere it is not optional */
        bool found;
} RenderedUse;

typedef enum RenderStatus { RENDER_OK, RENDER_WAITING, RENDER_REFUSED } RenderStatus;

typedef struct Rendered {
        RenderStatus status;
        Reason reason; /* None if OK */
        char *message; /* why not, with the field's path and what to do; NULL if OK */
        char *bytes;   /* OK only: canonical JSON, with a newline at the end; else NULL */
        size_t len;
        char input[INPUT_HEX + 1]; /* set if OK */
        char revision[REVISION_HEX + 1];
        char uid[37];
        HostPort *ports;
        size_t n_ports;
        RenderedVolume *volumes; /* OK only; by the order of the pod's volumes */
        size_t n_volumes;
        RenderedUse *uses; /* whatever the status; each object once, by kind and name */
        size_t n_uses;
        TokenNeed *tokens; /* that its volumes need: whatever the status, with tokens off as well; sorted, each once */
        size_t n_tokens;
        char *priority_class; /* that the pod names, unless it is one of the system's; or NULL; whatever the status */
        Diags warnings;       /* fields that were dropped with a loss, and what to know */
} Rendered;

/* Renders a usable DaemonSet. A refusal is a result. 0 or -ENOMEM.
 *
 * The input hash is the first INPUT_HEX digits of SHA-256 over the canonical JSON
 *   {"config":{<keys used>},"daemonset":"<namespace>/<name>","template":<spec.template>,"values":{<inlined>}}
 * Keys used: secret_env where a Secret is in the environment, api_server where it is injected, volumes_dir where
 * something is materialised. Values: {"ConfigMap <name>":{"<key>":"<value>"},"Secret <name>":{...}} of the environment.
 * Tokens are in neither the hash nor the bytes, only in what the volumes hold: a new one swaps files.
 */
int render(const Object *daemonset, const RenderOptions *options, Rendered *ret);
/* What one of the rendered volumes holds, made anew from the same options: contents are not kept. uid: of the Rendered.
 * 0, or as payload_make. */
int render_payload(const Object *daemonset, const RenderOptions *options, const char *volume, const char *uid,
                   Payload *ret);

/* What Kubernetes pulls at each start where no policy is given: the tag latest, or neither tag nor digest. */
bool image_is_latest(const char *image);

void rendered_done(Rendered *r);
