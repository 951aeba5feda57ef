/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata: names, labels, annotations, label selectors. */
#include "core/selector.h"
#include "core/validate.h"

enum { ANNOTATIONS_MAX = 256 * 1024 };

void check_labels(const At *labels) {
        if (!cJSON_IsObject(labels->item))
                return;
        for (const cJSON *c = labels->item->child; c; c = c->next) {
                At at = at_key(labels, c);
                const char *wrong = bad_label_key(c->string);

                if (wrong)
                        refuse(&at, "the key %s", wrong);
                wrong = cJSON_IsString(c) ? bad_label_value(c->valuestring) : NULL;
                if (wrong)
                        refuse(&at, "\"%s\" %s", QUOTED(c->valuestring), wrong);
        }
}

/* Upstream looks at the key in lower case: the DNS name before the slash may have capitals. */
static const char *bad_annotation_key(const char *key) {
        char small[320];
        size_t len = strlen(key);

        if (len >= sizeof(small))
                return bad_label_key(key);
        for (size_t i = 0; i <= len; i++)
                small[i] = key[i] >= 'A' && key[i] <= 'Z' ? (char)(key[i] - 'A' + 'a') : key[i];
        return bad_label_key(small);
}

void check_annotations(const At *annotations) {
        size_t size = 0;

        if (!cJSON_IsObject(annotations->item))
                return;
        for (const cJSON *c = annotations->item->child; c; c = c->next) {
                At at = at_key(annotations, c);
                const char *wrong = bad_annotation_key(c->string);

                if (wrong)
                        refuse(&at, "the key %s", wrong);
                size += strlen(c->string) + (cJSON_IsString(c) ? strlen(c->valuestring) : 0);
        }
        if (size > ANNOTATIONS_MAX)
                refuse(annotations, "%zu bytes in all: at most 256 KiB are allowed", size);
}

static const Rule meta_rows[] = {
        { "name", REQUIRED, .text = bad_dns_subdomain,
          .help = "without a name it cannot be told from others "
                  "(generateName works with the API server only)" },
        { "namespace", 0, .text = bad_dns_label },
        { "labels", 0, .check = check_labels },
        { "annotations", 0, .check = check_annotations },
};
static const Rules meta_rules = RULES(meta_rows, NULL);

void check_object_meta(const At *meta) {
        rules_apply(&meta_rules, meta);
}

/* ---- label selectors ---- */

static void check_requirement(const At *at) {
        At values = at_field(at, "values"), op = at_field(at, "operator");
        const char *name = str_or_empty(json_string(at->item, "operator"));
        bool listed = streq(name, "In") || streq(name, "NotIn");
        bool some = cJSON_IsArray(values.item) && values.item->child;

        if (!listed && !streq(name, "Exists") && !streq(name, "DoesNotExist"))
                refuse(&op, "\"%s\" is no operator: use In, NotIn, Exists or DoesNotExist", QUOTED(name));
        else if (listed && !some)
                refuse(&values, "required: %s needs at least one value", name);
        else if (!listed && some)
                refuse(&values, "not allowed: %s takes no values", name);
}

static const Rule requirement_rows[] = {
        { "key", REQUIRED, .text = bad_label_key },
        { "values", LIST, .text = bad_label_value },
};
static const Rules requirement_rules = RULES(requirement_rows, check_requirement);

static const Rule label_selector_rows[] = {
        { "matchLabels", 0, .check = check_labels },
        { "matchExpressions", LIST, .rules = &requirement_rules },
};
static const Rules label_selector_rules = RULES(label_selector_rows, NULL);

void check_label_selector(const At *selector) {
        rules_apply(&label_selector_rules, selector);
}

/* ---- annotations of a pod that mean something to Kubernetes ---- */

#define APPARMOR "container.apparmor.security.beta.kubernetes.io/"
#define SECCOMP_POD "seccomp.security.alpha.kubernetes.io/pod"
#define SECCOMP_CONTAINER "container.seccomp.security.alpha.kubernetes.io/"

static bool has_container(const cJSON *pod, const char *name) {
        static const char *const lists[] = { "initContainers", "containers", "ephemeralContainers" };

        for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
                const cJSON *list = json_get(pod, lists[i]);

                for (const cJSON *c = cJSON_IsArray(list) ? list->child : NULL; c; c = c->next)
                        if (streq(json_string(c, "name"), name))
                                return true;
        }
        return false;
}

static void check_apparmor(const At *at, const cJSON *pod) {
        const char *value = at->item->valuestring, *container = at->name + strlen(APPARMOR);

        if (!has_container(pod, container))
                refuse(at, "there is no container \"%s\"", QUOTED(container));
        if (*value && !streq(value, "runtime/default") && !streq(value, "unconfined") &&
            !startswith(value, "localhost/"))
                refuse(at, "\"%s\" is no AppArmor profile: use runtime/default, unconfined or localhost/NAME",
                       QUOTED(value));
}

static void check_seccomp(const At *at) {
        const char *value = at->item->valuestring;

        if (streq(value, "runtime/default") || streq(value, "docker/default") || streq(value, "unconfined"))
                return;
        if (!startswith(value, "localhost/"))
                refuse(at, "\"%s\" is no seccomp profile: use runtime/default, unconfined or localhost/PATH",
                       QUOTED(value));
        else if (bad_relative_path(value + strlen("localhost/")))
                refuse(at, "the profile's path %s", bad_relative_path(value + strlen("localhost/")));
}

void check_pod_annotations(const At *pod_template) {
        At meta = at_field(pod_template, "metadata"), annotations = at_field(&meta, "annotations");
        const cJSON *pod = json_get(pod_template->item, "spec");

        if (!cJSON_IsObject(annotations.item))
                return;
        for (const cJSON *c = annotations.item->child; c; c = c->next) {
                At at = at_key(&annotations, c);

                if (!cJSON_IsString(c))
                        continue;
                if (startswith(c->string, APPARMOR))
                        check_apparmor(&at, pod);
                else if (startswith(c->string, SECCOMP_CONTAINER) || streq(c->string, SECCOMP_POD))
                        check_seccomp(&at);
                else if (streq(c->string, "kubernetes.io/config.mirror") && !json_string(pod, "nodeName"))
                        refuse(&at, "not allowed: it marks the mirror pods that kubelets make");
        }
}
