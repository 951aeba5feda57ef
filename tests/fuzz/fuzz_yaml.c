/* SPDX-License-Identifier: Apache-2.0 */
/* Any text: reading it must end, and what was read must survive being written and read again. */
#include "core/yaml.h"

#include <assert.h>
#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The rules of core/json.h for every item of a tree. */
static void check_tree(const cJSON *item, size_t depth) {
        assert(depth <= JSON_DEPTH_MAX);
        assert(!cJSON_IsNumber(item) && !(item->type & cJSON_IsReference));
        assert(item->valueint == 0);
        for (const cJSON *c = item->child; c; c = c->next) {
                assert(!cJSON_IsObject(item) || json_get(item, c->string) == c);
                check_tree(c, depth + (cJSON_IsObject(c) || cJSON_IsArray(c)));
        }
}

static void check_document(const cJSON *root) {
        _cleanup_buf_ Buf text = BUF_INIT;
        _cleanup_yaml_ YamlStream again = { 0 };
        int r;

        check_tree(root, cJSON_IsObject(root) || cJSON_IsArray(root));
        r = yaml_write(root, &text);
        assert(r == 0);
        r = yaml_read(buf_text(&text), text.len, NULL, NULL, &again, NULL, NULL);
        assert(r == 0);
        assert(again.n == 1 && json_equal(root, again.documents[0].root));
}

static bool is_json(const uint8_t *data, size_t size) {
        size_t at = size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;

        while (at < size && memchr(" \t\r\n", data[at], 4))
                at++;
        return at < size && data[at] == '{';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_yaml_ YamlStream stream = { 0 };
        Place place = { 0 };
        Err err = { 0 };
        int r = yaml_read((const char *)data, size, NULL, NULL, &stream, &place, &err);

        if (r < 0) {
                assert(r == -EBADMSG && place.line > 0 && place.column > 0 && err.message[0]);
                return 0;
        }
        /* A number in a text that is JSON may be one that YAML writes in another way (1.0). */
        for (size_t i = 0; i < stream.n && !is_json(data, size); i++)
                check_document(stream.documents[i].root);
        return 0;
}
