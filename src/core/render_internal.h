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

typedef enum ReferenceKind {
        REFERENCE_CONFIGMAP,
        REFERENCE_SECRET,
        REFERENCE_TOKEN,
        REFERENCE_KIND_COUNT
} ReferenceKind;

/* An object that the pod cannot start without, in the order found; each object once for each state. */
typedef struct Reference {
        ReferenceKind kind;
        const char *name; /* borrowed from the pod's tree; "" for a token */
        char *path;       /* of its first use, from the pod's spec: "volumes[1].configMap" */
        bool env;         /* used in the environment, else mounted */
        bool present;
        bool optional;
} Reference;

typedef struct Render {
        const Object *daemonset;
        const RenderOptions *options;
        cJSON *spec;
        bool host_network;

        Reason refusal; /* of the first one */
        Buf refusals;
        size_t n_refusals;

        Reference *references;
        size_t n_references, cap_references;

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

/* ---- references to API objects ---- */

typedef enum EnvVerdict { ENV_KEEP, ENV_DROP } EnvVerdict;

/* A mounted object. */
void reference_volume(Render *r, ReferenceKind kind, const char *name, bool optional, const Path *path);

/* An object in the environment. ENV_DROP: it is optional and absent, so the entry goes, as in Kubernetes. */
EnvVerdict reference_env(Render *r, ReferenceKind kind, const char *name, bool optional, const Path *path);

/* Whether the environment of any container refers to a Secret: then the configuration is part of the input. */
bool spec_has_secret_env(const cJSON *spec);

/* RENDER_OK if nothing is waited for; else the reason and what for. The message is given to the caller, NULL when out
 * of memory. */
RenderStatus references_judge(const Render *r, Reason *ret_reason, char **ret_message);

void references_done(Render *r);
