/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the renderer share. The pod's spec is a tree of our own that each part works on in place; what
 * stands in the way (refusals, references to API objects, warnings) is collected, and judged once at the end. */
#pragma once

#include "core/render.h"

/* A field, as a chain on the stack: text is made only when something has to be said about it. */
typedef struct Path {
        const struct Path *up; /* NULL: the pod's spec */
        const char *key;       /* NULL: a list item */
        size_t index;
} Path;

#define PATH_KEY(parent, name) (&(const Path){ .up = (parent), .key = (name) })
#define PATH_INDEX(parent, i) (&(const Path){ .up = (parent), .index = (i) })

enum { MISSING_MAX = 64 }; /* that are noted */

/* An object, or a key of it, that is missing and that the pod cannot start without; each once, in the order found. */
typedef struct Missing {
        ObjectKind kind;  /* OBJECT_CONFIGMAP or OBJECT_SECRET */
        char *name, *key; /* key NULL: the whole object */
        Reason unusable;  /* it is there, but Invalid or DefinedTwice; else None */
        char *path;       /* of its first use: "spec.template.spec.volumes[1].configMap" */
} Missing;

typedef struct Render {
        const Object *daemonset;
        const RenderOptions *options;
        cJSON *spec;
        bool host_network;

        Reason refusal; /* of the first one */
        Buf refusals;
        size_t n_refusals;

        Missing *missing;
        size_t n_missing, cap_missing;
        RenderedUse *uses;
        size_t n_uses, cap_uses;
        char *priority_class; /* none of the system's */
        TokenNeed *tokens;    /* that the volumes need */
        size_t n_tokens, cap_tokens;

        size_t mounted;       /* bytes of objects in volumes, each as often as it is mounted */
        cJSON *values;        /* inlined into the environment, for the input hash; NULL: none yet */
        bool secret_env;      /* a Secret is used in the environment */
        bool uses_api_server; /* it was injected */

        Diags warnings;
        bool failed; /* out of memory */
} Render;

/* "spec.template.spec.containers[0].image" */
void path_text(const Path *path, Buf *out);

/* A field was dropped with a loss, or there is something to know about it. */
void render_warn(Render *r, const Path *path, const char *format, ...) _printf_(3, 4);

/* The field cannot be part of a static pod; the text says what to do instead. */
void render_refuse(Render *r, Reason reason, const Path *path, const char *format, ...) _printf_(4, 5);

/* Whether a value says anything: not null, "", [] or {}. */
bool value_is_set(const cJSON *value);

/* ---- the parts ---- */

/* Fields of the pod's spec: what is kept, dropped, refused, set. */
void render_spec(Render *r);

/* Containers and init containers, volumes: items of the lists, and references in them. */
void render_containers(Render *r, cJSON *list, const Path *path);
void render_init_containers(Render *r, cJSON *list, const Path *path);
void render_volumes(Render *r, cJSON *list, const Path *path);

/* Warns of downward API fields that have no meaning in a static pod. */
void render_field_ref(Render *r, const cJSON *field_ref, const Path *path);

/* Image and pull policy that need a registry at each start. policy: NULL where absent. */
void render_image(Render *r, const char *image, const char *policy, const Path *image_path, const Path *policy_path);

/* The environment of one container: env and envFrom become plain values (render_env.c). */
void render_env(Render *r, cJSON *container, const Path *path);

/* The canonical template of a DaemonSet as a tree; an empty one where there is none. 0 or -ENOMEM. */
int template_read(const Object *daemonset, cJSON **ret);

/* "<name>-<node>" as the kubelet calls the pod, or NULL (out of memory). */
char *pod_full_name(const Object *daemonset, const RenderOptions *options);

/* ---- volumes that are materialised (render_place.c) ---- */

/* Whether the pod gets the directory of a ServiceAccount's token; adds volume and mounts. */
bool account_is_wanted(const cJSON *spec);
void account_mount(Render *r);

/* The ServiceAccount of a template's spec (which loses the field when it is rendered); borrowed. */
const char *account_name(const cJSON *spec);

/* Notes the tokens that the finished spec's volumes need. */
void tokens_gather(Render *r, const char *account);

/* RENDER_OK if all are known or tokens are off; else as references_judge. */
RenderStatus tokens_judge(const Render *r, Reason *ret_reason, char **ret_message);

bool spec_materialises(const cJSON *spec);

/* Once the input is known: makes hostPath volumes of them, and every mount of them read-only. 0 or -ENOMEM. */
int volumes_place(Render *r, const char *input, Rendered *ret);

/* Once the uid is known: what they hold. 0, or as payload_make: -ENOMEM, -EEXIST, -EFBIG. */
int volumes_fill(const Object *daemonset, const RenderOptions *options, const cJSON *template, Rendered *ret);

/* ---- references to API objects (render_refs.c) ---- */

/* The object, or NULL: then it is noted as missing unless it is optional. Either way it is noted as used. */
const Object *reference_find(Render *r, ObjectKind kind, const char *name, bool optional, bool env, const Path *path);

/* The object is there, a key that is not optional is not. */
void reference_no_key(Render *r, ObjectKind kind, const char *name, const char *key, const Path *path);

/* RENDER_OK if nothing is missing; else the reason and what for. The message is given to the caller, NULL when out of
 * memory. */
RenderStatus references_judge(const Render *r, Reason *ret_reason, char **ret_message);

/* Each object that is used once, sorted. Once all are known. */
void references_merge(Render *r);

void references_done(Render *r);
