/* SPDX-License-Identifier: Apache-2.0 */
#include "core/rbac.h"
#include "core/config.h"
#include "core/validate.h"

#include <errno.h>

#define RBAC_API_GROUP "rbac.authorization.k8s.io"
#define ROOT_CA "kube-root-ca.crt"
#define MODE_STATIC "static"

/* ---- the tables ---- */

/* Sorted as they are printed: the rights of one role stand together. */
typedef enum Right {
        RIGHT_NAMESPACE,
        RIGHT_NODE,
        RIGHT_PRIORITY_CLASS,
        RIGHT_DAEMONSETS,
        RIGHT_PODS,
        RIGHT_CONFIGMAP,
        RIGHT_SECRET,
        RIGHT_TOKEN,
} Right;

typedef struct RightInfo {
        const char *role, *group, *resource;
        const char *verbs[3];
} RightInfo;

#define READ                                                                                                           \
        { "get", "list", "watch" }

static const RightInfo rights[] = {
        [RIGHT_NAMESPACE] = { "daemonlet-node", "", "namespaces", { "get" } },
        [RIGHT_NODE] = { "daemonlet-node-", "", "nodes", READ }, /* the node's name goes behind it */
        [RIGHT_PRIORITY_CLASS] = { "daemonlet-priorityclasses", "scheduling.k8s.io", "priorityclasses", READ },
        [RIGHT_DAEMONSETS] = { "daemonlet-daemonsets", "apps", "daemonsets", READ },
        [RIGHT_PODS] = { "daemonlet-daemonsets", "", "pods", READ },
        [RIGHT_CONFIGMAP] = { "daemonlet-objects", "", "configmaps", READ },
        [RIGHT_SECRET] = { "daemonlet-objects", "", "secrets", READ },
        [RIGHT_TOKEN] = { "daemonlet-objects", "", "serviceaccounts/token", { "create" } },
};

/* ---- what is needed ---- */

typedef struct Need {
        char *namespace; /* "" where there is none */
        Right right;
        char *name; /* "" = all: where is_of_all */
} Need;

/* A rule without names: for DaemonSets and pods. */
static bool is_of_all(Right right) {
        return right == RIGHT_DAEMONSETS || right == RIGHT_PODS;
}

typedef struct Needs {
        Need *items;
        size_t n, cap;
} Needs;

static void needs_done(Needs *needs) {
        for (size_t i = 0; i < needs->n; i++) {
                free(needs->items[i].namespace);
                free(needs->items[i].name);
        }
        free(needs->items);
}

static int add_need(Needs *needs, const char *namespace, Right right, const char *name) {
        Need item = { .right = right };

        /* No name, in a request as in resourceNames, is a list of all. */
        if (!is_of_all(right) && (!name || bad_dns_subdomain(name)))
                return 0;
        item.namespace = strdup(namespace);
        item.name = strdup(str_or_empty(name));
        if (!item.namespace || !item.name || !ARRAY_GROW(needs->items, needs->n, needs->cap)) {
                free(item.namespace);
                free(item.name);
                return -ENOMEM;
        }
        needs->items[needs->n++] = item;
        return 0;
}

static int compare_needs(const void *a, const void *b) {
        const Need *x = a, *y = b;
        int order = strcmp(x->namespace, y->namespace);

        if (order == 0)
                order = (x->right > y->right) - (x->right < y->right);
        return order ? order : strcmp(x->name, y->name);
}

static void needs_sort(Needs *needs) {
        size_t n = 0;

        if (needs->n > 1)
                qsort(needs->items, needs->n, sizeof(*needs->items), compare_needs);
        for (size_t i = 0; i < needs->n; i++) {
                if (n == 0 || compare_needs(&needs->items[n - 1], &needs->items[i]) != 0) {
                        needs->items[n++] = needs->items[i];
                        continue;
                }
                free(needs->items[i].namespace);
                free(needs->items[i].name);
        }
        needs->n = n;
}

/* ---- of one DaemonSet ---- */

static int need_uses(const Object *o, const Rendered *rendered, Needs *needs) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < rendered->n_uses; i++) {
                const RenderedUse *use = &rendered->uses[i];

                if (use->kind != OBJECT_DAEMONSET)
                        r = add_need(needs, o->namespace, use->kind == OBJECT_SECRET ? RIGHT_SECRET : RIGHT_CONFIGMAP,
                                     use->name);
        }
        return r;
}

/* As the agent asks for them: with a token it wants the CA too. */
static int need_tokens(const Object *o, const RbacOptions *options, const Rendered *rendered, Needs *needs) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < rendered->n_tokens; i++)
                r = add_need(needs, o->namespace, RIGHT_TOKEN, rendered->tokens[i].account);
        if (r == 0 && options->tokens && rendered->n_tokens > 0)
                r = add_need(needs, o->namespace, RIGHT_CONFIGMAP, ROOT_CA);
        return r;
}

static int need_references(const Object *o, const RbacOptions *options, const Rendered *rendered, Needs *needs) {
        int r = need_uses(o, rendered, needs);

        if (r == 0)
                r = add_need(needs, "", RIGHT_PRIORITY_CLASS, rendered->priority_class);
        return r == 0 ? need_tokens(o, options, rendered, needs) : r;
}

/* ---- what there is to say ---- */

/* message: taken, also on failure. */
static int note(Rbac *r, RbacNoteKind kind, const Object *o, Reason reason, char *message) {
        if (!ARRAY_GROW(r->notes, r->n_notes, r->cap_notes)) {
                free(message);
                return -ENOMEM;
        }
        r->notes[r->n_notes++] = (RbacNote){ kind, o, reason, message };
        return 0;
}

static int add_daemonset(const Object *o, const RbacOptions *options, Rbac *rbac, Needs *needs) {
        _cleanup_(rendered_done) Rendered rendered = { 0 };
        int r = render(o, &options->render, &rendered);

        if (r < 0)
                return r;
        rbac->n_daemonsets++;
        r = add_need(needs, o->namespace, RIGHT_DAEMONSETS, NULL);
        if (r == 0)
                r = add_need(needs, o->namespace, RIGHT_PODS, NULL);
        if (r == 0 && rendered.status == RENDER_REFUSED)
                r = note(rbac, RBAC_REFUSED, o, rendered.reason, TAKE_PTR(rendered.message));
        else if (r == 0)
                r = need_references(o, options, &rendered, needs);
        if (r == 0 && !streq(o->mode, MODE_STATIC))
                r = note(rbac, RBAC_NOT_OPTED_IN, o, REASON_None, NULL);
        if (r == 0 && !config_has_namespace(options->namespaces, o->namespace))
                r = note(rbac, RBAC_NOT_FOLLOWED, o, REASON_None, NULL);
        return r;
}

/* ---- the objects ---- */

static cJSON *strings(const char *const *items, size_t n) {
        _cleanup_json_ cJSON *list = cJSON_CreateArray();

        for (size_t i = 0; i < n && items[i]; i++)
                if (!json_append(list, cJSON_CreateString(items[i])))
                        return NULL;
        return TAKE_PTR(list);
}

static cJSON *names_of(const Need *needs, size_t n) {
        _cleanup_json_ cJSON *names = cJSON_CreateArray();

        for (size_t i = 0; i < n; i++)
                if (!json_append(names, cJSON_CreateString(needs[i].name)))
                        return NULL;
        return TAKE_PTR(names);
}

/* The needs of one right in one namespace. */
static cJSON *make_rule(const Need *needs, size_t n) {
        const RightInfo *right = &rights[needs[0].right];
        _cleanup_json_ cJSON *rule = cJSON_CreateObject();

        if (!json_add(rule, "apiGroups", strings(&right->group, 1)) ||
            !json_add(rule, "resources", strings(&right->resource, 1)) ||
            (!is_of_all(needs[0].right) && !json_add(rule, "resourceNames", names_of(needs, n))) ||
            !json_add(rule, "verbs", strings(right->verbs, ARRAY_SIZE(right->verbs))))
                return NULL;
        return TAKE_PTR(rule);
}

static cJSON *make_rules(const Need *needs, size_t n) {
        _cleanup_json_ cJSON *rules = cJSON_CreateArray();

        for (size_t i = 0, k; i < n; i = k) {
                for (k = i; k < n && needs[k].right == needs[i].right;)
                        k++;
                if (!json_append(rules, make_rule(&needs[i], k - i)))
                        return NULL;
        }
        return TAKE_PTR(rules);
}

/* apiVersion, kind and metadata of a role or binding. */
static cJSON *make_object(const Need *need, const char *kind, const char *name) {
        _cleanup_json_ cJSON *object = cJSON_CreateObject(), *metadata = cJSON_CreateObject(),
                             *labels = cJSON_CreateObject();
        _cleanup_buf_ Buf text = BUF_INIT;

        buf_printf(&text, "%s%s", need->namespace[0] ? "" : "Cluster", kind);
        if (text.failed || !json_add_string(labels, RBAC_LABEL, need->right == RIGHT_NODE ? "node" : "group") ||
            !json_add_string(metadata, "name", name) ||
            (need->namespace[0] && !json_add_string(metadata, "namespace", need->namespace)) ||
            !json_add(metadata, "labels", TAKE_PTR(labels)) ||
            !json_add_string(object, "apiVersion", RBAC_API_GROUP "/v1") ||
            !json_add_string(object, "kind", buf_text(&text)) || !json_add(object, "metadata", TAKE_PTR(metadata)))
                return NULL;
        return TAKE_PTR(object);
}

/* {"apiGroup":...,"kind":...,"name":...} */
static cJSON *make_reference(const char *kind, const char *name) {
        _cleanup_json_ cJSON *reference = cJSON_CreateObject();

        if (!json_add_string(reference, "apiGroup", RBAC_API_GROUP) || !json_add_string(reference, "kind", kind) ||
            !json_add_string(reference, "name", name))
                return NULL;
        return TAKE_PTR(reference);
}

static cJSON *make_subjects(const Need *need) {
        _cleanup_json_ cJSON *subjects = cJSON_CreateArray();
        bool user = need->right == RIGHT_NODE;
        _cleanup_buf_ Buf name = BUF_INIT;

        buf_printf(&name, "%s%s", user ? RBAC_USER_PREFIX : RBAC_GROUP, user ? need->name : "");
        if (name.failed || !json_append(subjects, make_reference(user ? "User" : "Group", buf_text(&name))))
                return NULL;
        return TAKE_PTR(subjects);
}

/* The needs of one role in one namespace: the role and its binding. */
static int add_role(const Need *needs, size_t n, cJSON *objects) {
        _cleanup_json_ cJSON *role = NULL, *binding = NULL;
        _cleanup_buf_ Buf name = BUF_INIT;

        buf_str(&name, rights[needs[0].right].role);
        if (needs[0].right == RIGHT_NODE)
                buf_str(&name, needs[0].name);
        if (name.failed)
                return -ENOMEM;
        role = make_object(&needs[0], "Role", buf_text(&name));
        binding = make_object(&needs[0], "RoleBinding", buf_text(&name));
        if (!role || !json_add(role, "rules", make_rules(needs, n)) || !binding ||
            !json_add(binding, "roleRef", make_reference(json_string(role, "kind"), buf_text(&name))) ||
            !json_add(binding, "subjects", make_subjects(&needs[0])))
                return -ENOMEM;
        if (!json_append(objects, TAKE_PTR(role)) || !json_append(objects, TAKE_PTR(binding)))
                return -ENOMEM;
        return 0;
}

static bool same_role(const Need *a, const Need *b) {
        return streq(a->namespace, b->namespace) && streq(rights[a->right].role, rights[b->right].role);
}

static int add_roles(const Needs *needs, cJSON *objects) {
        int r = 0;

        for (size_t i = 0, k; r == 0 && i < needs->n; i = k) {
                for (k = i; k < needs->n && same_role(&needs->items[i], &needs->items[k]);)
                        k++;
                r = add_role(&needs->items[i], k - i, objects);
        }
        return r;
}

/* Without tokens these are no rights but something to tell. */
static int take_accounts(Needs *needs, char **ret) {
        _cleanup_buf_ Buf text = BUF_INIT;
        size_t n = 0;

        for (size_t i = 0; i < needs->n; i++) {
                Need *item = &needs->items[i];

                if (item->right != RIGHT_TOKEN) {
                        needs->items[n++] = *item;
                        continue;
                }
                buf_printf(&text, "%s%s/%s", text.len ? ", " : "", item->namespace, item->name);
                free(item->namespace);
                free(item->name);
        }
        needs->n = n;
        *ret = buf_take(&text, NULL);
        return *ret ? 0 : -ENOMEM;
}

/* ---- all of it ---- */

static int make(const RbacOptions *options, Rbac *rbac, Needs *needs) {
        const Objects *set = options->render.objects;
        int r;

        rbac->objects = cJSON_CreateArray();
        if (!rbac->objects)
                return -ENOMEM;
        r = add_need(needs, "", RIGHT_NAMESPACE, "kube-system");
        for (size_t i = 0; r == 0 && i < set->n_objects; i++) {
                const Object *o = &set->objects[i];

                if (o->kind == OBJECT_DAEMONSET && o->reason == REASON_None && o->same_as == i)
                        r = add_daemonset(o, options, rbac, needs);
        }
        if (r < 0)
                return r;
        needs_sort(needs);
        if (options->tokens)
                rbac->accounts = strdup("");
        else
                (void)take_accounts(needs, &rbac->accounts);
        return rbac->accounts ? add_roles(needs, rbac->objects) : -ENOMEM;
}

int rbac_make(const RbacOptions *options, Rbac *ret) {
        _cleanup_(needs_done) Needs needs = { 0 };
        RbacOptions o = *options;
        Rbac rbac = { 0 };
        int r = add_need(&needs, "", RIGHT_NODE, o.render.node_name);

        /* The renderer needs a name; one letter goes with every DaemonSet. */
        if (!o.render.node_name)
                o.render.node_name = "a";
        if (r == 0)
                r = make(&o, &rbac, &needs);

        if (r < 0) {
                rbac_done(&rbac);
                return r;
        }
        *ret = rbac;
        return 0;
}

void rbac_done(Rbac *r) {
        cJSON_Delete(r->objects);
        free(r->accounts);
        for (size_t i = 0; i < r->n_notes; i++)
                free(r->notes[i].message);
        free(r->notes);
        *r = (Rbac){ 0 };
}
