/* SPDX-License-Identifier: Apache-2.0 */
/* Environment variables, and the references to fields and resources that the downward API shares with them. */
#include "core/selector.h"
#include "core/validate.h"

#include <stdio.h>

/* ---- fieldRef ---- */

static const char *const env_fields[] = { "metadata.name",
                                          "metadata.namespace",
                                          "metadata.uid",
                                          "spec.nodeName",
                                          "spec.serviceAccountName",
                                          "status.hostIP",
                                          "status.hostIPs",
                                          "status.podIP",
                                          "status.podIPs",
                                          "spec.host",
                                          NULL };
static const char *const volume_fields[] = { "metadata.name",        "metadata.namespace", "metadata.labels",
                                             "metadata.annotations", "metadata.uid",       NULL };

/* metadata.labels['KEY'] and metadata.annotations['KEY']: *ret_name is what stands in front of the bracket. */
static bool split_subscript(const char *path, char *key, size_t size, bool *ret_known, bool *ret_annotation) {
        const char *open = strstr(path, "['");
        size_t len = strlen(path);

        if (!open || len < 4 || strcmp(path + len - 2, "']") != 0 || open + 2 > path + len - 2)
                return false;
        *ret_annotation = startswith(path, "metadata.annotations[");
        *ret_known = *ret_annotation || startswith(path, "metadata.labels[");
        (void)snprintf(key, size, "%.*s", (int)(path + len - 2 - (open + 2)), open + 2);
        return true;
}

static void check_field_path(const At *path, const char *const *allowed) {
        _cleanup_buf_ Buf list = BUF_INIT;
        const char *s = cJSON_IsString(path->item) ? path->item->valuestring : "";
        bool known, annotation;
        char key[400];

        if (!*s)
                return;
        if (split_subscript(s, key, sizeof(key), &known, &annotation)) {
                for (char *c = key; *c && annotation; c++)
                        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
                if (!known)
                        refuse(path, "\"%s\" takes no key: only metadata.labels and metadata.annotations do",
                               QUOTED(s));
                else if (!is_qualified_name(key))
                        refuse(path, "the key \"%s\" %s", QUOTED(key), bad_label_key(key));
                return;
        }
        for (size_t i = 0; allowed[i]; i++) {
                if (streq(s, allowed[i]))
                        return;
                buf_printf(&list, "%s%s", i ? ", " : "", allowed[i]);
        }
        refuse(path, "\"%s\" is not supported: use %s, metadata.labels['KEY'] or metadata.annotations['KEY']",
               QUOTED(s), buf_text(&list));
        path->walk->diags->failed |= list.failed;
}

static void check_env_field(const At *path) {
        check_field_path(path, env_fields);
}

static void check_volume_field(const At *path) {
        check_field_path(path, volume_fields);
}

static const Rule env_field_rows[] = {
        { "apiVersion", 0, .choices = CHOICES("v1") },
        { "fieldPath", REQUIRED, .check = check_env_field },
};
static const Rules env_field_rules = RULES(env_field_rows, NULL);

static const Rule volume_field_rows[] = {
        { "apiVersion", 0, .choices = CHOICES("v1") },
        { "fieldPath", REQUIRED, .check = check_volume_field },
};
const Rules volume_field_rules = RULES(volume_field_rows, NULL);

/* ---- resourceFieldRef ---- */

static void check_resource(const At *resource) {
        static const char *const kinds[] = { "cpu", "memory", "ephemeral-storage" };
        const char *s = cJSON_IsString(resource->item) ? resource->item->valuestring : "";
        const char *name = startswith(s, "limits.")     ? s + strlen("limits.")
                           : startswith(s, "requests.") ? s + strlen("requests.")
                                                        : "";

        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
                if (streq(name, kinds[i]))
                        return;
        if (*s && !startswith(name, "hugepages-"))
                refuse(resource,
                       "\"%s\" is not supported: use limits. or requests. with cpu, memory, "
                       "ephemeral-storage or hugepages-SIZE",
                       QUOTED(s));
}

/* A unit that a value may be divided by: 1m and 1 of cpu, powers of 1000 and 1024 of the rest. */
static void check_divisor(const At *divisor) {
        const char *resource = str_or_empty(json_string(divisor->up->item, "resource"));
        Quantity q;

        if (!quantity_read(divisor->item, &q) || (q.whole == 0 && q.nano == 0))
                return;
        if (streq(resource, "limits.cpu") || streq(resource, "requests.cpu")) {
                if (q.negative || !((q.whole == 1 && q.nano == 0) || (q.whole == 0 && q.nano == 1000000)))
                        refuse(divisor, "must be 1m or 1 for cpu");
                return;
        }
        while (q.whole > 1 && (q.whole % 1000 == 0 || q.whole % 1024 == 0))
                q.whole /= q.whole % 1000 == 0 ? 1000 : 1024;
        if (q.negative || q.nano || q.whole != 1)
                refuse(divisor, "must be 1, or 1 with a unit as 1k, 1Ki, 1M, 1Mi");
}

static const Rule env_resource_rows[] = {
        { "resource", REQUIRED, .check = check_resource },
        { "divisor", 0, .check = check_divisor },
};
static const Rules env_resource_rules = RULES(env_resource_rows, NULL);

static const Rule volume_resource_rows[] = {
        { "containerName", .flags = REQUIRED },
        { "resource", REQUIRED, .check = check_resource },
        { "divisor", 0, .check = check_divisor },
};
const Rules volume_resource_rules = RULES(volume_resource_rows, NULL);

/* ---- env ---- */

static const Rule key_rows[] = {
        { "name", REQUIRED, .text = bad_dns_subdomain },
        { "key", REQUIRED, .text = bad_config_key },
};
static const Rules key_rules = RULES(key_rows, NULL);

static void check_file_volume(const At *name) {
        const PodFacts *pod = name->walk->pod;

        if (!cJSON_IsString(name->item))
                return;
        if (!name_set_has(&pod->volumes, name->item->valuestring))
                refuse(name, "no volume of the pod has this name");
        else if (!name_set_has(&pod->empty_dirs, name->item->valuestring))
                refuse(name, "the volume must be an emptyDir");
}

static const Rule file_rows[] = {
        { "key", REQUIRED, .text = bad_env_name },
        { "volumeName", REQUIRED, .text = bad_dns_label, .check = check_file_volume },
        { "path", REQUIRED, .text = bad_back_steps },
};
static const Rules file_rules = RULES(file_rows, NULL);

static void check_source(const At *source) {
        static const char *const sources[] = { "fieldRef",     "resourceFieldRef", "configMapKeyRef",
                                               "secretKeyRef", "fileKeyRef",       NULL };
        size_t n = refuse_several(source, sources, "source",
                                  "needs one of fieldRef, resourceFieldRef, configMapKeyRef and secretKeyRef");

        if (n > 0 && *str_or_empty(json_string(source->up->item, "value")))
                refuse(source, "not allowed together with a value");
}

static const Rule source_rows[] = {
        { "fieldRef", 0, .rules = &env_field_rules },  { "resourceFieldRef", 0, .rules = &env_resource_rules },
        { "configMapKeyRef", 0, .rules = &key_rules }, { "secretKeyRef", 0, .rules = &key_rules },
        { "fileKeyRef", 0, .rules = &file_rules },
};
static const Rules source_rules = RULES(source_rows, check_source);

static const Rule env_rows[] = {
        { "name", REQUIRED, .text = bad_env_name },
        { "valueFrom", 0, .rules = &source_rules },
};
const Rules env_rules = RULES(env_rows, NULL);

/* ---- envFrom ---- */

static void check_env_from(const At *from) {
        static const char *const sources[] = { "configMapRef", "secretRef", NULL };

        (void)refuse_several(from, sources, "source", "needs configMapRef or secretRef");
}

static const Rule reference_rows[] = { { "name", REQUIRED, .text = bad_dns_subdomain } };
static const Rules reference_rules = RULES(reference_rows, NULL);

static const Rule env_from_rows[] = {
        { "prefix", 0, .text = bad_env_name },
        { "configMapRef", 0, .rules = &reference_rules },
        { "secretRef", 0, .rules = &reference_rules },
};
const Rules env_from_rules = RULES(env_from_rows, check_env_from);
