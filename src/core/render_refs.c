/* SPDX-License-Identifier: Apache-2.0 */
#include "core/render_internal.h"

#include <errno.h>

enum {
        NAMED_MAX = 3,  /* references that a message spells out */
        LOOK_BACK = 16, /* how far back the same object is looked for, so that a huge pod costs no square */
};

static const struct {
        const char *word;
        Reason waiting;
        ObjectKind object;
} kinds[REFERENCE_KIND_COUNT] = {
        [REFERENCE_CONFIGMAP] = { "ConfigMap", REASON_WaitingForConfigMap, OBJECT_CONFIGMAP },
        [REFERENCE_SECRET] = { "Secret", REASON_WaitingForSecret, OBJECT_SECRET },
        [REFERENCE_TOKEN] = { "ServiceAccount token", REASON_WaitingForToken, OBJECT_SECRET },
};

static bool is_present(const Render *r, ReferenceKind kind, const char *name) {
        return kind != REFERENCE_TOKEN && r->options->objects &&
               objects_find(r->options->objects, kinds[kind].object, r->daemonset->namespace, name);
}

static bool is_known(const Render *r, const Reference *new) {
        size_t first = r->n_references > LOOK_BACK ? r->n_references - LOOK_BACK : 0;

        for (size_t i = first; i < r->n_references; i++) {
                const Reference *old = &r->references[i];

                if (old->kind == new->kind && old->optional == new->optional &&
                    old->env == new->env &&streq(old->name, new->name))
                        return true;
        }
        return false;
}

static void add(Render *r, Reference new, const Path *path) {
        _cleanup_buf_ Buf text = BUF_INIT;

        if (is_known(r, &new))
                return;
        path_text(path, &text);
        new.path = buf_take(&text, NULL);
        if (!new.path || !ARRAY_GROW(r->references, r->n_references, r->cap_references)) {
                free(new.path);
                r->failed = true;
                return;
        }
        r->references[r->n_references++] = new;
}

void reference_volume(Render *r, ReferenceKind kind, const char *name, bool optional, const Path *path) {
        add(r,
            (Reference){
                    .kind = kind,
                    .name = str_or_empty(name),
                    .present = is_present(r, kind, str_or_empty(name)),
                    .optional = optional,
            },
            path);
}

EnvVerdict reference_env(Render *r, ReferenceKind kind, const char *name, bool optional, const Path *path) {
        bool present = is_present(r, kind, str_or_empty(name));

        if (optional && !present)
                return ENV_DROP;
        if (kind == REFERENCE_SECRET && !r->options->secret_env_inline) {
                render_refuse(r, REASON_SecretInEnv, path,
                              "Secret %s/%s would be readable to everyone who may read pods, through the mirror pod; "
                              "mount it as a volume, or set secret_env = inline in [pods]",
                              r->daemonset->namespace, str_or_empty(name));
                return ENV_KEEP;
        }
        add(r,
            (Reference){
                    .kind = kind, .name = str_or_empty(name), .env = true, .present = present, .optional = optional },
            path);
        return ENV_KEEP;
}

static bool container_has_secret_env(const cJSON *container) {
        const cJSON *item;

        cJSON_ArrayForEach(item, json_get(container, "env")) if (cJSON_IsObject(json_get(json_get(item, "valueFrom"),
                                                                                         "secretKeyRef"))) return true;
        cJSON_ArrayForEach(item,
                           json_get(container, "envFrom")) if (cJSON_IsObject(json_get(item, "secretRef"))) return true;
        return false;
}

bool spec_has_secret_env(const cJSON *spec) {
        static const char *const lists[] = { "containers", "initContainers" };

        for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
                const cJSON *container;

                cJSON_ArrayForEach(container,
                                   json_get(spec, lists[i])) if (container_has_secret_env(container)) return true;
        }
        return false;
}

static void reference_text(const Render *r, const Reference *ref, Buf *out) {
        const char *path = ref->path + strlen("spec.template.spec.");

        if (ref->kind == REFERENCE_TOKEN) {
                buf_printf(out, "a ServiceAccount token cannot be made without an API server (%s)", path);
                return;
        }
        buf_printf(out, "%s%s %s/%s %s (%s)", ref->optional ? "optional " : "", kinds[ref->kind].word,
                   r->daemonset->namespace, ref->name,
                   !ref->present && !ref->optional ? "is missing"
                   : ref->env                      ? "cannot be put into the environment by this version"
                                                   : "cannot be mounted by this version",
                   path);
}

RenderStatus references_judge(const Render *r, Reason *ret_reason, char **ret_message) {
        _cleanup_buf_ Buf text = BUF_INIT;
        Reason reason = REASON_None;
        size_t named = 0;

        if (r->n_references == 0)
                return RENDER_OK;
        for (ReferenceKind kind = 0; kind < REFERENCE_KIND_COUNT; kind++)
                for (size_t i = 0; i < r->n_references; i++) {
                        if (r->references[i].kind != kind)
                                continue;
                        if (reason == REASON_None)
                                reason = kinds[kind].waiting;
                        if (named == NAMED_MAX)
                                continue;
                        if (named++)
                                buf_str(&text, "; ");
                        reference_text(r, &r->references[i], &text);
                }
        if (r->n_references > named)
                buf_printf(&text, "; and %zu more", r->n_references - named);
        *ret_reason = reason;
        *ret_message = buf_take(&text, NULL);
        return RENDER_WAITING;
}

void references_done(Render *r) {
        for (size_t i = 0; i < r->n_references; i++)
                free(r->references[i].path);
        free(r->references);
        r->references = NULL;
        r->n_references = r->cap_references = 0;
}
