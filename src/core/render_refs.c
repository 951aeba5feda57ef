/* SPDX-License-Identifier: Apache-2.0 */
/* API objects that the pod refers to: which are used, and which are missing. */
#include "core/render_internal.h"

#include <errno.h>

enum { NAMED_MAX = 3 }; /* what is missing, as far as a message spells it out */

/* ---- what is used ---- */

/* Appended, and merged once at the end: a template may refer to very many. */
static RenderedUse *add_use(Render *r, ObjectKind kind, const char *name) {
        RenderedUse *use;

        if (!ARRAY_GROW(r->uses, r->n_uses, r->cap_uses))
                return NULL;
        use = &r->uses[r->n_uses];
        *use = (RenderedUse){ .kind = kind, .name = strdup(name) };
        if (!use->name)
                return NULL;
        r->n_uses++;
        return use;
}

static int compare_uses(const void *a, const void *b) {
        const RenderedUse *x = a, *y = b;
        int order = (x->kind > y->kind) - (x->kind < y->kind);

        return order ? order : strcmp(x->name, y->name);
}

void references_merge(Render *r) {
        size_t n = 0;

        if (r->n_uses > 1)
                qsort(r->uses, r->n_uses, sizeof(*r->uses), compare_uses);
        for (size_t i = 0; i < r->n_uses; i++) {
                RenderedUse *use = &r->uses[i], *last = n ? &r->uses[n - 1] : NULL;

                if (!last || compare_uses(last, use) != 0) {
                        r->uses[n++] = *use;
                        continue;
                }
                last->env |= use->env;
                last->mount |= use->mount;
                last->needed |= use->needed;
                free(use->name);
        }
        r->n_uses = n;
}

/* ---- what is missing ---- */

static bool is_known(const Render *r, ObjectKind kind, const char *name, const char *key) {
        for (size_t i = 0; i < r->n_missing; i++) {
                const Missing *m = &r->missing[i];

                if (m->kind == kind && streq(m->name, name) && (m->key == key || streq(m->key, key)))
                        return true;
        }
        return false;
}

static void missing_done(Missing *m) {
        free(m->name);
        free(m->key);
        free(m->path);
}

/* Why an object that is there does not count. */
static Reason unusable_reason(const Render *r, ObjectKind kind, const char *name) {
        for (const Objects *set = r->options->objects; set; set = set->over)
                for (size_t i = 0; i < set->n_objects; i++) {
                        const Object *o = &set->objects[i];

                        if (o->kind == kind && streq(o->namespace, r->daemonset->namespace) && streq(o->name, name))
                                return o->reason;
                }
        return REASON_None;
}

static void add_missing(Render *r, ObjectKind kind, const char *name, const char *key, const Path *path) {
        _cleanup_buf_ Buf text = BUF_INIT;
        Missing m;

        /* A pod that lacks so much is not made better by a longer list, and a long list costs a square. */
        if (r->n_missing >= MISSING_MAX || is_known(r, kind, name, key))
                return;
        path_text(path, &text);
        m = (Missing){ .kind = kind, .name = strdup(name), .path = buf_take(&text, NULL) };
        if (key)
                m.key = strdup(key);
        else
                m.unusable = unusable_reason(r, kind, name);
        if (!m.name || !m.path || (key && !m.key) || !ARRAY_GROW(r->missing, r->n_missing, r->cap_missing)) {
                missing_done(&m);
                r->failed = true;
                return;
        }
        r->missing[r->n_missing++] = m;
}

const Object *reference_find(Render *r, ObjectKind kind, const char *name, bool optional, bool env, const Path *path) {
        const Object *o = NULL;
        RenderedUse *use = add_use(r, kind, str_or_empty(name));

        if (r->options->objects)
                o = objects_find(r->options->objects, kind, r->daemonset->namespace, str_or_empty(name));
        /* One that is there but does not count would be taken away from a pod that has it. */
        if (!o && (!optional || unusable_reason(r, kind, str_or_empty(name)) != REASON_None))
                add_missing(r, kind, str_or_empty(name), NULL, path);
        if (!use) {
                r->failed = true;
                return o;
        }
        use->env = env;
        use->mount = !env;
        use->needed = !optional;
        use->found = o != NULL;
        return o;
}

void reference_no_key(Render *r, ObjectKind kind, const char *name, const char *key, const Path *path) {
        add_missing(r, kind, name, str_or_empty(key), path);
}

/* ---- the verdict ---- */

static void missing_text(const Render *r, const Missing *m, Buf *out) {
        const char *path = m->path + strlen("spec.template.spec.");

        buf_printf(out, "%s %s/%s ", object_kind_name(m->kind), r->daemonset->namespace, m->name);
        if (m->key)
                buf_printf(out, "has no key %s", m->key);
        else
                buf_str(out, m->unusable == REASON_DefinedTwice ? "is defined twice, differently"
                             : m->unusable                      ? "is invalid"
                                                                : "is missing");
        buf_printf(out, " (%s)", path);
}

RenderStatus references_judge(const Render *r, Reason *ret_reason, char **ret_message) {
        static const struct {
                ObjectKind kind;
                Reason reason;
        } order[] = { { OBJECT_CONFIGMAP, REASON_WaitingForConfigMap }, { OBJECT_SECRET, REASON_WaitingForSecret } };
        _cleanup_buf_ Buf text = BUF_INIT;
        Reason reason = REASON_None;
        size_t named = 0;

        for (size_t k = 0; k < ARRAY_SIZE(order); k++)
                for (size_t i = 0; i < r->n_missing; i++) {
                        if (r->missing[i].kind != order[k].kind)
                                continue;
                        if (reason == REASON_None)
                                reason = order[k].reason;
                        if (named == NAMED_MAX)
                                continue;
                        if (named++)
                                buf_str(&text, "; ");
                        missing_text(r, &r->missing[i], &text);
                }
        if (reason == REASON_None)
                return RENDER_OK;
        if (r->n_missing > named)
                buf_printf(&text, "; and %zu more", r->n_missing - named);
        *ret_reason = reason;
        *ret_message = buf_take(&text, NULL);
        return RENDER_WAITING;
}

void references_done(Render *r) {
        for (size_t i = 0; i < r->n_missing; i++)
                missing_done(&r->missing[i]);
        free(r->missing);
        for (size_t i = 0; i < r->n_uses; i++)
                free(r->uses[i].name);
        free(r->uses);
        r->missing = NULL;
        r->uses = NULL;
        r->n_missing = r->cap_missing = r->n_uses = r->cap_uses = 0;
}
