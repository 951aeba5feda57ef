/* SPDX-License-Identifier: Apache-2.0 */
/* DaemonSet + node name -> the static pod, as canonical bytes, or a refusal with its reason. Pure: the same input gives
 * the same bytes on every machine, and golden files in tests/ guard the form. */
#pragma once

#include "core/manifest.h"
#include "core/objects.h"

typedef struct RenderOptions {
        const char *node_name;
        bool secret_env_inline; /* [pods] secret_env = inline */
        const Objects *objects; /* the set that references are looked up in */
} RenderOptions;

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
        Diags warnings; /* fields that were dropped with a loss, and what to know */
} Rendered;

/* The input hash alone (cheap: no rendering): first INPUT_HEX digits of SHA-256 over the canonical JSON
 *   {"config":{<keys used>},"daemonset":"<namespace>/<name>","template":<spec.template>,"values":{<inlined>}}
 * 0 or -ENOMEM. */
int render_input(const Object *daemonset, const RenderOptions *options, char ret_input[static INPUT_HEX + 1]);

/* Renders a usable DaemonSet. A refusal is a result. 0 or -ENOMEM. */
int render(const Object *daemonset, const RenderOptions *options, Rendered *ret);
void rendered_done(Rendered *r);
