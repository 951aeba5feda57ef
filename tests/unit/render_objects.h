/* SPDX-License-Identifier: Apache-2.0 */
/* Objects for the tests of the renderer, made by hand: the renderer must cope with more than validation lets through.
 */
#pragma once

#include "core/render.h"
#include "test.h"

static inline cJSON *parse(const char *text) {
        cJSON *tree = NULL;
        Err err = { "" };
        Place place;

        if (json_parse(text, strlen(text), (Place){ 1, 1 }, NULL, NULL, &tree, NULL, &place, &err) < 0)
                fail_msg("%s: %s", text, err.message);
        return tree;
}

static inline char *canonical(const char *text) {
        _cleanup_json_ cJSON *tree = parse(text);
        char *bytes = json_canonical_text(tree, NULL);

        assert_non_null(bytes);
        return bytes;
}

/* A DaemonSet kube-system/agent with this template. The bytes are borrowed. */
static inline Object daemonset(char *bytes) {
        return (Object){ .kind = OBJECT_DAEMONSET,
                         .namespace = (char *)(uintptr_t) "kube-system",
                         .name = (char *)(uintptr_t) "agent",
                         .bytes = bytes,
                         .len = strlen(bytes) };
}

static inline char *template_bytes(const char *metadata, const char *spec, const char *container) {
        _cleanup_buf_ Buf text = BUF_INIT;
        bool own = spec && strstr(spec, "\"containers\"");

        buf_str(&text, "{\"apiVersion\":\"apps/v1\",\"kind\":\"DaemonSet\",\"metadata\":{\"name\":\"agent\","
                       "\"namespace\":\"kube-system\",\"generation\":3,\"resourceVersion\":\"7\",\"uid\":\"u\"},"
                       "\"status\":{\"numberReady\":1},\"spec\":{\"selector\":{\"matchLabels\":{\"app\":\"agent\"}},"
                       "\"updateStrategy\":{\"type\":\"OnDelete\"},\"minReadySeconds\":5,\"revisionHistoryLimit\":2,"
                       "\"template\":{\"metadata\":{");
        buf_str(&text, metadata ? metadata : "\"labels\":{\"app\":\"agent\"}");
        buf_str(&text, "},\"spec\":{");
        if (!own)
                buf_printf(&text, "\"containers\":[{\"name\":\"a\",\"image\":\"r.example/a:1\"%s%s}]%s",
                           container ? "," : "", str_or_empty(container), spec ? "," : "");
        buf_str(&text, str_or_empty(spec));
        buf_str(&text, "}}}}");
        return canonical(buf_text(&text));
}

/* The objects that references of the rows find. */
static inline Objects *known_objects(void) {
        static Object objects[] = {
                { .kind = OBJECT_CONFIGMAP, .namespace = (char *)(uintptr_t) "kube-system", .same_as = 0 },
                { .kind = OBJECT_SECRET, .namespace = (char *)(uintptr_t) "kube-system", .same_as = 1 },
                { .kind = OBJECT_CONFIGMAP, .namespace = (char *)(uintptr_t) "other", .same_as = 2 },
        };
        static Objects set = { .objects = objects, .n_objects = ARRAY_SIZE(objects) };

        objects[0].name = objects[1].name = (char *)(uintptr_t) "here";
        objects[2].name = (char *)(uintptr_t) "elsewhere";
        for (size_t i = 0; i < ARRAY_SIZE(objects); i++) {
                objects[i].bytes = (char *)(uintptr_t) "{}";
                objects[i].len = 2;
        }
        return &set;
}

static inline RenderOptions options(void) {
        return (RenderOptions){ .node_name = "node-1", .objects = known_objects() };
}
