/* SPDX-License-Identifier: Apache-2.0 */
#include "core/daemon_pod.h"

#include "core/schema.h"

#include <errno.h>

#define REQUIRED_TERMS "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"

void daemon_pod_done(DaemonPod *p) {
        free(p->namespace);
        free(p->name);
        free(p->uid);
        free(p->daemonset);
        free(p->owner_uid);
        *p = (DaemonPod){ 0 };
}

/* ---- reducing ---- */

/* Keeps the items that count, and what is no object; null is an empty one. */
static void keep_items(cJSON *list, bool (*counts)(const cJSON *item)) {
        cJSON *next;

        for (cJSON *item = cJSON_IsArray(list) ? list->child : NULL; item; item = next) {
                next = item->next;
                if (cJSON_IsNull(item) || (cJSON_IsObject(item) && !counts(item)))
                        cJSON_Delete(cJSON_DetachItemViaPointer(list, item));
        }
}

static bool is_missing(const cJSON *item) {
        return !item || cJSON_IsNull(item);
}

/* A text that passes, or something else than a text: a check will tell. */
static bool may_be(const cJSON *object, const char *key, bool (*passes)(const char *text)) {
        const cJSON *item = json_get(object, key);

        return cJSON_IsString(item) ? passes(item->valuestring) : !is_missing(item);
}

static bool is_daemonset(const char *kind) {
        return streq(kind, "DaemonSet");
}

static bool is_in_apps(const char *api_version) {
        return startswith(api_version, "apps/");
}

static bool is_some(const char *text) {
        return *text;
}

static bool is_telling(const char *type) {
        return streq(type, "Ready") || streq(type, "PodScheduled");
}

static bool is_our_owner(const cJSON *owner) {
        const cJSON *controller = json_get(owner, "controller");

        return may_be(owner, "kind", is_daemonset) && may_be(owner, "apiVersion", is_in_apps) &&
               may_be(owner, "name", is_some) && !is_missing(controller) && !cJSON_IsFalse(controller);
}

static bool counts(const cJSON *condition) {
        return may_be(condition, "type", is_telling);
}

static void reduce_terms(cJSON *terms) {
        for (cJSON *term = cJSON_IsArray(terms) ? terms->child : NULL; term; term = term->next) {
                cJSON *fields = json_get_mutable(term, "matchFields");

                JSON_KEEP(term, "matchFields");
                for (cJSON *f = cJSON_IsArray(fields) ? fields->child : NULL; f; f = f->next)
                        JSON_KEEP(f, "key", "operator", "values");
        }
}

static void reduce_spec(cJSON *spec) {
        cJSON *affinity, *node, *required;

        JSON_KEEP(spec, "nodeName", "affinity");
        if (*str_or_empty(json_string(spec, "nodeName")))
                JSON_KEEP(spec, "nodeName");
        affinity = json_get_mutable(spec, "affinity");
        node = json_get_mutable(affinity, "nodeAffinity");
        required = json_get_mutable(node, "requiredDuringSchedulingIgnoredDuringExecution");
        JSON_KEEP(affinity, "nodeAffinity");
        JSON_KEEP(node, "requiredDuringSchedulingIgnoredDuringExecution");
        JSON_KEEP(required, "nodeSelectorTerms");
        reduce_terms(json_get_mutable(required, "nodeSelectorTerms"));
}

static void reduce_status(cJSON *status) {
        cJSON *conditions = json_get_mutable(status, "conditions");

        JSON_KEEP(status, "phase", "conditions");
        keep_items(conditions, counts);
        for (cJSON *c = cJSON_IsArray(conditions) ? conditions->child : NULL; c; c = c->next)
                if (streq(json_string(c, "type"), "Ready"))
                        JSON_KEEP(c, "type", "status");
                else
                        JSON_KEEP(c, "type", "status", "reason");
}

bool daemon_pod_reduce(cJSON *pod) {
        cJSON *meta = json_get_mutable(pod, "metadata"), *owners = json_get_mutable(meta, "ownerReferences");

        keep_items(owners, is_our_owner);
        if (is_missing(owners) || (cJSON_IsArray(owners) && !owners->child)) {
                JSON_KEEP(pod, "apiVersion", "kind", "metadata");
                JSON_KEEP(meta, "name", "namespace", "uid", "resourceVersion");
                return true;
        }
        JSON_KEEP(pod, "apiVersion", "kind", "metadata", "spec", "status");
        JSON_KEEP(meta, "name", "namespace", "uid", "resourceVersion", "deletionTimestamp", "ownerReferences");
        for (cJSON *owner = cJSON_IsArray(owners) ? owners->child : NULL; owner; owner = owner->next)
                JSON_KEEP(owner, "apiVersion", "kind", "name", "uid", "controller");
        reduce_spec(json_get_mutable(pod, "spec"));
        reduce_status(json_get_mutable(pod, "status"));
        return true;
}

/* ---- reading: of a reduced tree of the right types ---- */

static int check(cJSON *root) {
        Diags diags = { 0 };
        int r = 0;

        if (!streq(json_string(root, "kind"), "Pod") || !streq(json_string(root, "apiVersion"), "v1"))
                return -EBADMSG;
        schema_check(root, schema_type("Pod"), "", &diags);
        if (diags.failed)
                r = -ENOMEM;
        else if (diags.n_errors > 0 || !*str_or_empty(json_string(json_get(root, "metadata"), "name")))
                r = -EBADMSG;
        diags_done(&diags);
        return r;
}

static bool has_value(const cJSON *values, const char *wanted) {
        const cJSON *value;

        cJSON_ArrayForEach(value, values) if (streq(value->valuestring, wanted)) return true;
        return false;
}

static bool is_meant_for(const cJSON *spec, const char *node_name) {
        const cJSON *term, *field;

        cJSON_ArrayForEach(term, json_path(spec, REQUIRED_TERMS)) cJSON_ArrayForEach(
                field, json_get(term, "matchFields")) if (streq(json_string(field, "key"), "metadata.name") &&
                                                          streq(json_string(field, "operator"), "In") &&
                                                          has_value(json_get(field, "values"), node_name)) return true;
        return false;
}

static bool has_ended(const cJSON *status) {
        const char *phase = json_string(status, "phase");

        return streq(phase, "Failed") || streq(phase, "Succeeded");
}

static const cJSON *condition_of(const cJSON *status, const char *type) {
        const cJSON *conditions = json_get(status, "conditions");

        for (const cJSON *c = conditions ? conditions->child : NULL; c; c = c->next)
                if (streq(json_string(c, "type"), type))
                        return c;
        return NULL;
}

/* The scheduler has looked for a place, and there is none. */
static bool is_unschedulable(const cJSON *status) {
        const cJSON *scheduled = condition_of(status, "PodScheduled");

        return streq(json_string(scheduled, "status"), "False") &&
               !streq(json_string(scheduled, "reason"), "SchedulingGated");
}

static TheirPod state_of(const cJSON *root, bool bound) {
        const cJSON *status = json_get(root, "status");
        bool ready = streq(json_string(condition_of(status, "Ready"), "status"), "True");

        if (has_ended(status) || (!bound && !is_unschedulable(status)))
                return POD_NONE;
        if (!bound)
                return POD_UNBOUND;
        return ready && !json_path(root, "metadata.deletionTimestamp") ? POD_READY : POD_BOUND;
}

static char *copy(const cJSON *object, const char *key) {
        return strdup(str_or_empty(json_string(object, key)));
}

int daemon_pod_read(const char *bytes, size_t len, const char *node_name, DaemonPod *ret) {
        _cleanup_daemon_pod_ DaemonPod pod = { 0 };
        _cleanup_json_ cJSON *root = NULL;
        const cJSON *meta, *spec, *owner;
        const char *bound_to;
        int r = json_parse(bytes, len, (Place){ 1, 1 }, NULL, NULL, &root, NULL, NULL, NULL);

        if (r == 0) {
                (void)daemon_pod_reduce(root);
                r = check(root);
        }
        if (r < 0)
                return r;
        meta = json_get(root, "metadata");
        spec = json_get(root, "spec");
        owner = json_get(meta, "ownerReferences");
        bound_to = str_or_empty(json_string(spec, "nodeName"));
        pod.namespace = copy(meta, "namespace");
        pod.name = copy(meta, "name");
        pod.uid = copy(meta, "uid");
        owner = owner ? owner->child : NULL;
        if (owner) {
                pod.daemonset = copy(owner, "name");
                pod.owner_uid = copy(owner, "uid");
        }
        if (!pod.namespace || !pod.name || !pod.uid || (owner && (!pod.daemonset || !pod.owner_uid)))
                return -ENOMEM;
        pod.here = *bound_to ? streq(bound_to, node_name) : is_meant_for(spec, node_name);
        if (pod.here)
                pod.pod = state_of(root, *bound_to);
        *ret = pod;
        pod = (DaemonPod){ 0 };
        return 0;
}
