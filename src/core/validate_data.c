/* SPDX-License-Identifier: Apache-2.0 */
/* ConfigMaps and Secrets. No message quotes a value. */
#include "core/validate.h"

enum { DATA_MAX = 1024 * 1024 };

/* Bytes that a base64 text stands for; line breaks do not count, as in Go's decoder. */
static size_t decoded_size(const char *s) {
        size_t digits = 0;

        for (; *s && *s != '='; s++)
                digits += *s != '\n' && *s != '\r';
        return digits * 3 / 4;
}

static size_t check_keys(const At *map, bool base64) {
        size_t size = 0;

        for (const cJSON *c = cJSON_IsObject(map->item) ? map->item->child : NULL; c; c = c->next) {
                At at = at_key(map, c);
                const char *wrong = bad_config_key(c->string);

                if (wrong)
                        refuse(&at, "the key %s", wrong);
                if (cJSON_IsString(c))
                        size += base64 ? decoded_size(c->valuestring) : strlen(c->valuestring);
        }
        return size;
}

static void check_size(const At *at, size_t size) {
        if (size > DATA_MAX)
                refuse(at, "%zu bytes of data: at most 1 MiB is allowed", size);
}

static void check_configmap(const At *map) {
        At data = at_field(map, "data"), binary = at_field(map, "binaryData");
        size_t size = check_keys(&data, false) + check_keys(&binary, true);
        _cleanup_names_ NameSet keys = { 0 };

        check_size(map, size);
        for (const cJSON *c = cJSON_IsObject(binary.item) ? binary.item->child : NULL; c; c = c->next)
                (void)name_set_add(&keys, c->string, map->walk->diags);
        for (const cJSON *c = cJSON_IsObject(data.item) ? data.item->child : NULL; c; c = c->next) {
                At at = at_key(&data, c);

                if (name_set_has(&keys, c->string))
                        refuse(&at, "the key is in binaryData too");
        }
}

/* ---- the types of Secrets that need certain keys ---- */

#define ACCOUNT_NAME "kubernetes.io/service-account.name"

static const struct {
        const char *type;
        const char *keys[2];
        bool any; /* one of them is enough */
} secret_types[] = {
        { "kubernetes.io/tls", { "tls.crt", "tls.key" }, false },
        { "kubernetes.io/dockercfg", { ".dockercfg", NULL }, false },
        { "kubernetes.io/dockerconfigjson", { ".dockerconfigjson", NULL }, false },
        { "kubernetes.io/ssh-auth", { "ssh-privatekey", NULL }, false },
        { "kubernetes.io/basic-auth", { "username", "password" }, true },
};

static bool secret_has(const At *secret, const char *key) {
        return json_get(json_get(secret->item, "data"), key) || json_get(json_get(secret->item, "stringData"), key);
}

static void check_secret_type(const At *secret) {
        const char *type = str_or_empty(json_string(secret->item, "type"));
        At data = at_field(secret, "data"), meta = at_field(secret, "metadata");
        At annotations = at_field(&meta, "annotations"), account = at_field(&annotations, ACCOUNT_NAME);

        if (streq(type, "kubernetes.io/service-account-token") &&
            !*str_or_empty(json_string(annotations.item, ACCOUNT_NAME)))
                refuse(&account, "required for a Secret of type %s", type);
        for (size_t i = 0; i < ARRAY_SIZE(secret_types); i++) {
                const char *first = secret_types[i].keys[0], *second = secret_types[i].keys[1];

                if (!streq(secret_types[i].type, type))
                        continue;
                if (secret_types[i].any) {
                        if (!secret_has(secret, first) && !secret_has(secret, second))
                                refuse(&data, "a Secret of type %s needs the key %s or %s", type, first, second);
                        return;
                }
                if (!secret_has(secret, first))
                        refuse(&data, "a Secret of type %s needs the key %s", type, first);
                if (second && !secret_has(secret, second))
                        refuse(&data, "a Secret of type %s needs the key %s", type, second);
        }
}

static void check_secret(const At *secret) {
        At data = at_field(secret, "data"), text = at_field(secret, "stringData");
        size_t size = check_keys(&data, true) + check_keys(&text, false);

        /* A key of both is counted once: stringData is laid over data. */
        for (const cJSON *c = cJSON_IsObject(text.item) ? text.item->child : NULL; c; c = c->next)
                if (json_string(data.item, c->string))
                        size -= decoded_size(json_string(data.item, c->string));
        check_size(secret, size);
        check_secret_type(secret);
}

/* ---- the whole ---- */

static const Rule data_rows[] = {
        { "metadata", REQUIRED, .check = check_object_meta, .help = "with a name" },
};
static const Rules configmap_rules = RULES(data_rows, check_configmap);
static const Rules secret_rules = RULES(data_rows, check_secret);

void validate_configmap(const cJSON *tree, Diags *diags) {
        Walk walk = { .diags = diags };
        At top = at_top(&walk, tree);

        rules_apply(&configmap_rules, &top);
}

void validate_secret(const cJSON *tree, Diags *diags) {
        Walk walk = { .diags = diags };
        At top = at_top(&walk, tree);

        rules_apply(&secret_rules, &top);
}
