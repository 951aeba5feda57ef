/* SPDX-License-Identifier: Apache-2.0 */
/* The canonical form of an object: what the API server fills in, without what it keeps for itself. */
#include "core/objects_internal.h"
#include "core/validate.h"

#include <errno.h>

/* ---- before the check ---- */

/* Before apps/v1 a DaemonSet without selector selected its template's labels. */
static int default_selector(cJSON *tree) {
        cJSON *spec = json_get_mutable(tree, "spec");
        const cJSON *labels = json_path(spec, "template.metadata.labels");
        _cleanup_json_ cJSON *selector = NULL;

        if (!cJSON_IsObject(spec) || json_get(spec, "selector") || !cJSON_IsObject(labels))
                return 0;
        selector = cJSON_CreateObject();
        if (!selector || !json_add(selector, "matchLabels", cJSON_Duplicate(labels, true)))
                return -ENOMEM;
        json_set_place(selector, json_place(labels));
        return json_add(spec, "selector", TAKE_PTR(selector)) ? 0 : -ENOMEM;
}

int object_prepare(const KindInfo *kind, const char *api_version, cJSON *tree) {
        if (kind->id != OBJECT_DAEMONSET || streq(api_version, kind->served[0]))
                return 0;
        return default_selector(tree);
}

/* ---- after it ---- */

/* Metadata that says what the object is; the rest is the API server's book-keeping. */
static int keep_metadata(cJSON *tree, const char *namespace) {
        static const char *const kept[] = { "name", "labels", "annotations" };
        cJSON *old = json_get_mutable(tree, "metadata");
        _cleanup_json_ cJSON *meta = cJSON_CreateObject();

        if (!meta || !json_add_string(meta, "namespace", namespace))
                return -ENOMEM;
        for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
                cJSON *item = json_get_mutable(old, kept[i]);

                if (item && !json_add(meta, kept[i], cJSON_DetachItemViaPointer(old, item)))
                        return -ENOMEM;
        }
        return json_put(tree, "metadata", TAKE_PTR(meta)) ? 0 : -ENOMEM;
}

static bool has_source(const cJSON *volume) {
        for (size_t i = 0; volume_kinds[i]; i++)
                if (json_get(volume, volume_kinds[i]))
                        return true;
        return false;
}

/* A volume without a source is an empty directory. */
static int default_volumes(cJSON *tree) {
        cJSON *spec = json_get_mutable(tree, "spec"), *template = json_get_mutable(spec, "template");
        cJSON *volumes = json_get_mutable(json_get_mutable(template, "spec"), "volumes");

        for (cJSON *c = volumes ? volumes->child : NULL; c; c = c->next)
                if (cJSON_IsObject(c) && !has_source(c) && !json_add(c, "emptyDir", cJSON_CreateObject()))
                        return -ENOMEM;
        return 0;
}

/* ---- data of Secrets ---- */

static void drop_line_breaks(cJSON *data) {
        for (cJSON *c = data ? data->child : NULL; c; c = c->next) {
                char *to = c->valuestring;

                if (!cJSON_IsString(c))
                        continue;
                for (const char *from = c->valuestring; *from; from++)
                        if (*from != '\n' && *from != '\r')
                                *to++ = *from;
                *to = 0;
        }
}

static cJSON *new_base64(const char *text) {
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        const unsigned char *s = (const unsigned char *)text;
        size_t len = strlen(text);
        _cleanup_buf_ Buf out = BUF_INIT;

        for (size_t i = 0; i < len; i += 3) {
                size_t left = len - i;
                unsigned bits = (unsigned)s[i] << 16 | (left > 1 ? (unsigned)s[i + 1] << 8 : 0) |
                                (left > 2 ? (unsigned)s[i + 2] : 0);

                buf_char(&out, digits[bits >> 18]);
                buf_char(&out, digits[bits >> 12 & 63]);
                buf_char(&out, left > 1 ? digits[bits >> 6 & 63] : '=');
                buf_char(&out, left > 2 ? digits[bits & 63] : '=');
        }
        return out.failed ? NULL : cJSON_CreateString(buf_text(&out));
}

/* stringData is laid over data, and only data remains. */
static int merge_string_data(cJSON *tree) {
        cJSON *text = json_get_mutable(tree, "stringData"), *data = json_get_mutable(tree, "data");
        _cleanup_names_ NameSet laid = { 0 };
        Diags memory = { 0 };

        drop_line_breaks(data);
        if (!text)
                return 0;
        if (!data && text->child) {
                if (!json_add(tree, "data", cJSON_CreateObject()))
                        return -ENOMEM;
                data = json_get_mutable(tree, "data");
        }
        for (const cJSON *c = text->child; c; c = c->next)
                (void)name_set_add(&laid, c->string, &memory);
        for (cJSON *c = data ? data->child : NULL, *next; c; c = next) {
                next = c->next;
                if (name_set_has(&laid, c->string))
                        cJSON_Delete(cJSON_DetachItemViaPointer(data, c));
        }
        for (const cJSON *c = text->child; c; c = c->next)
                if (!json_add(data, c->string, new_base64(c->valuestring)))
                        return -ENOMEM;
        json_delete(tree, "stringData");
        return memory.failed ? -ENOMEM : 0;
}

int object_normalise(const KindInfo *kind, const char *namespace, cJSON *tree) {
        int r;

        if (!json_put(tree, "apiVersion", cJSON_CreateString(kind->served[0])) ||
            !json_put(tree, "kind", cJSON_CreateString(kind->kind)))
                return -ENOMEM;
        json_delete(tree, "status");
        r = keep_metadata(tree, namespace);
        if (r < 0)
                return r;
        if (kind->id == OBJECT_DAEMONSET)
                return default_volumes(tree);
        return kind->id == OBJECT_SECRET ? merge_string_data(tree) : 0;
}
