/* SPDX-License-Identifier: Apache-2.0 */
/* Objects for the tests of the renderer. DaemonSets are made by hand: the renderer must cope with more than validation
 * lets through. */
#pragma once

#include "core/render.h"
#include "test.h"

#define VOLUMES_DIR "/var/lib/daemonlet/volumes"

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

/* A set of objects from YAML. */
static inline void read_set(const char *text, Objects *ret) {
        *ret = (Objects){ 0 };
        assert_int_equal(objects_read(ret, "objects.yaml", text, strlen(text), false), 0);
        if (ret->files[0].unreadable)
                fail_msg("%s: %s", text, ret->files[0].error);
        assert_int_equal(objects_finish(ret), 0);
}

/* The objects that references of the rows find. */
static inline Objects *known_objects(void) {
        static Objects set;

        if (set.n_objects == 0) {
                _cleanup_free_ char *text = test_read("cases/render/objects.yaml", NULL);

                read_set(text, &set);
        }
        return &set;
}

static inline RenderOptions options(void) {
        return (RenderOptions){ .node_name = "node-1", .objects = known_objects(), .volumes_dir = VOLUMES_DIR };
}
