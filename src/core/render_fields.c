/* SPDX-License-Identifier: Apache-2.0 */
/* The pod's spec, field by field. A field that is not in the table is one that this version does not know: it is kept,
 * and a kubelet that does not know it either drops it. */
#include "core/render_internal.h"
#include "core/toleration.h"

typedef enum FieldAction {
        FIELD_KEEP,
        FIELD_DROP,
        FIELD_REFUSE,
        FIELD_LOOK, /* kept, after a look at what is in it */
} FieldAction;

typedef struct Field {
        const char *name;
        FieldAction action;
        const char *text; /* KEEP and DROP: a warning where the field says anything, or NULL; REFUSE: why */
        void (*look)(Render *r, cJSON *value, const Path *path);
} Field;

/* ---- fields that need a look ---- */

static void look_at_containers(Render *r, cJSON *value, const Path *path) {
        render_containers(r, value, path);
}

static void look_at_init_containers(Render *r, cJSON *value, const Path *path) {
        render_init_containers(r, value, path);
}

static void look_at_volumes(Render *r, cJSON *value, const Path *path) {
        render_volumes(r, value, path);
}

static void look_at_dns_policy(Render *r, cJSON *value, const Path *path) {
        const char *policy = cJSON_GetStringValue(value);

        if (streq(policy, "ClusterFirstWithHostNet"))
                render_warn(
                        r, path,
                        "the pod's names are resolved by the cluster's DNS, which may not be up when the node boots; a "
                        "pod that others wait for should use Default");
        else if (streq(policy, "ClusterFirst") && r->host_network)
                render_warn(r, path, "ClusterFirst acts as Default with hostNetwork");
}

static const struct {
        const char *name;
        int64_t value;
} system_classes[] = {
        { "system-cluster-critical", 2000000000 },
        { "system-node-critical", 2000001000 },
};

/* The classes that every cluster has are known by their value. */
static bool is_system_class(const char *name, int64_t *ret) {
        for (size_t i = 0; i < ARRAY_SIZE(system_classes); i++)
                if (streq(name, system_classes[i].name)) {
                        *ret = system_classes[i].value;
                        return true;
                }
        return false;
}

static bool class_priority(const Render *r, const char *name, int64_t *ret) {
        return name && (is_system_class(name, ret) ||
                        priority_class_find(r->options->priorities, r->options->n_priorities, name, ret));
}

static void look_at_priority_class(Render *r, cJSON *value, const Path *path) {
        const char *name = cJSON_GetStringValue(value);

        int64_t priority;

        if (!name || !*name || is_system_class(name, &priority))
                return;
        r->priority_class = strdup(name);
        r->failed |= !r->priority_class;
        if (!class_priority(r, name, &priority))
                render_warn(
                        r, path,
                        "the value of PriorityClass %s is known to the API server only; without it the pod is among "
                        "the first to end when the node shuts down",
                        name);
}

/* ---- the table ---- */

static const Field fields[] = {
        { "activeDeadlineSeconds", FIELD_DROP, "a static pod that reached it would never run again; dropped", NULL },
        { "affinity", FIELD_DROP, NULL, NULL },
        { "automountServiceAccountToken", FIELD_DROP, NULL, NULL },
        { "containers", FIELD_LOOK, NULL, look_at_containers },
        { "dnsConfig", FIELD_KEEP, NULL, NULL },
        { "dnsPolicy", FIELD_LOOK, NULL, look_at_dns_policy },
        { "enableServiceLinks", FIELD_KEEP, NULL, NULL },
        { "ephemeralContainers", FIELD_DROP, NULL, NULL },
        { "hostAliases", FIELD_KEEP, NULL, NULL },
        { "hostIPC", FIELD_KEEP, NULL, NULL },
        { "hostNetwork", FIELD_KEEP, NULL, NULL },
        { "hostPID", FIELD_KEEP, NULL, NULL },
        { "hostUsers", FIELD_KEEP, NULL, NULL },
        { "hostname", FIELD_KEEP, NULL, NULL },
        { "hostnameOverride", FIELD_KEEP, NULL, NULL },
        { "imagePullSecrets", FIELD_DROP,
          "a static pod cannot refer to Secrets; give the kubelet the registry's credentials (its config.json or a "
          "credential provider), or put the images on the host; dropped",
          NULL },
        { "initContainers", FIELD_LOOK, NULL, look_at_init_containers },
        { "nodeName", FIELD_DROP, NULL, NULL },
        { "nodeSelector", FIELD_DROP, NULL, NULL },
        { "os", FIELD_KEEP, NULL, NULL },
        { "overhead", FIELD_DROP, NULL, NULL },
        { "preemptionPolicy", FIELD_DROP, NULL, NULL },
        { "priority", FIELD_DROP, NULL, NULL },
        { "priorityClassName", FIELD_LOOK, NULL, look_at_priority_class },
        { "readinessGates", FIELD_DROP, "nobody would set these conditions on a static pod; dropped", NULL },
        { "resourceClaims", FIELD_REFUSE,
          "a static pod cannot use ResourceClaims; use a device plugin's resource, or leave this DaemonSet to the API "
          "server",
          NULL },
        { "resources", FIELD_KEEP, NULL, NULL },
        { "restartPolicy", FIELD_DROP, NULL, NULL },
        { "runtimeClassName", FIELD_KEEP,
          "the kubelet looks up the RuntimeClass at the API server: the pod does not start before it was seen", NULL },
        { "schedulerName", FIELD_DROP, NULL, NULL },
        { "schedulingGates", FIELD_DROP, NULL, NULL },
        { "schedulingGroup", FIELD_DROP, NULL, NULL },
        { "securityContext", FIELD_KEEP, NULL, NULL },
        { "serviceAccount", FIELD_DROP, NULL, NULL },
        { "serviceAccountName", FIELD_DROP, NULL, NULL },
        { "setHostnameAsFQDN", FIELD_KEEP, NULL, NULL },
        { "shareProcessNamespace", FIELD_KEEP, NULL, NULL },
        { "subdomain", FIELD_KEEP, NULL, NULL },
        { "terminationGracePeriodSeconds", FIELD_KEEP, NULL, NULL },
        { "tolerations", FIELD_KEEP, NULL, NULL },
        { "topologySpreadConstraints", FIELD_DROP, NULL, NULL },
        { "volumes", FIELD_LOOK, NULL, look_at_volumes },
};

static const Field *field_find(const char *name) {
        for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
                if (streq(name, fields[i].name))
                        return &fields[i];
        return NULL;
}

static void apply_field(Render *r, const Field *field, cJSON *value) {
        const Path *path = PATH_KEY(NULL, field->name);

        switch (field->action) {
        case FIELD_REFUSE:
                if (value_is_set(value)) {
                        render_refuse(r, REASON_UnsupportedField, path, "%s", field->text);
                        return;
                }
                break;
        case FIELD_LOOK:
                field->look(r, value, path);
                return;
        case FIELD_DROP:
        case FIELD_KEEP:
                if (field->text && value_is_set(value))
                        render_warn(r, path, "%s", field->text);
                break;
        }
        if (field->action != FIELD_KEEP)
                cJSON_Delete(cJSON_DetachItemViaPointer(r->spec, value));
}

/* ---- what the fields together say ---- */

/* Both names of the field stand for one account; "default" is what a pod without one has. */
static void look_at_account(Render *r) {
        static const char *const names[] = { "serviceAccountName", "serviceAccount" };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                const char *account = json_string(r->spec, names[i]);

                if (!account || !*account)
                        continue;
                if (!r->options->tokens && !streq(account, "default"))
                        render_warn(
                                r, PATH_KEY(NULL, names[i]),
                                "a static pod has no ServiceAccount: it gets no token of %s and cannot talk to the API "
                                "server ([api] tokens is off); dropped",
                                account);
                break;
        }
}

static void put(Render *r, const char *key, cJSON *value) {
        if (!json_put(r->spec, key, value))
                r->failed = true;
}

static void set_tolerations(Render *r) {
        _cleanup_json_ cJSON *list = cJSON_DetachItemFromObjectCaseSensitive(r->spec, "tolerations");

        if (tolerations_add_controllers(&list, r->host_network) < 0) {
                r->failed = true;
                return;
        }
        put(r, "tolerations", TAKE_PTR(list));
}

static void set_priority(Render *r) {
        int64_t priority;

        if (class_priority(r, json_string(r->spec, "priorityClassName"), &priority))
                put(r, "priority", json_new_int(priority));
}

void render_spec(Render *r) {
        bool account = account_is_wanted(r->spec);

        look_at_account(r);
        for (cJSON *value = r->spec->child, *next; value; value = next) {
                const Field *field = field_find(value->string);

                next = value->next;
                if (field)
                        apply_field(r, field, value);
        }
        if (account)
                account_mount(r);
        set_tolerations(r);
        set_priority(r);
        put(r, "restartPolicy", cJSON_CreateString("Always"));
}
