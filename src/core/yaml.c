/* SPDX-License-Identifier: Apache-2.0 */
#include "core/yaml_internal.h"

#include <errno.h>

/* Skips white space and keeps the place. */
static size_t skip_space(const char *text, size_t len, size_t at, Place *place) {
        for (; at < len && memchr(" \t\r\n", text[at], 4); at++) {
                place->column++;
                if (text[at] == '\n')
                        *place = (Place){ .line = place->line + 1, .column = 1 };
        }
        return at;
}

/* Moves the place behind text that is no white space only, such as a JSON value. */
static void advance(const char *text, size_t from, size_t to, Place *place) {
        for (; from < to; from++) {
                if (text[from] == '\n')
                        *place = (Place){ .line = place->line + 1, .column = 1 };
                else if (((unsigned char)text[from] & 0xc0) != 0x80)
                        place->column++;
        }
}

static int add_document(YamlStream *s, cJSON *root) {
        if (!ARRAY_GROW(s->documents, s->n, s->cap)) {
                cJSON_Delete(root);
                return -ENOMEM;
        }
        s->documents[s->n++].root = root;
        return 0;
}

/* What may follow a JSON value although it is none: a line of three dashes, and YAML behind it, or a comment. */
static bool starts_yaml(const char *text, size_t len, Place place) {
        return text[0] == '#' || (place.column == 1 && len >= 3 && strncmp(text, "---", 3) == 0);
}

/* JSON values one after the other, then perhaps YAML. */
static int read_json(const char *text, size_t len, JsonDuplicate duplicate, void *user, YamlStream *ret,
                     Place *ret_place, Err *err) {
        Place place = { 1, 1 };
        size_t at = 0;

        while ((at = skip_space(text, len, at, &place)) < len) {
                cJSON *root = NULL;
                size_t end = 0;
                int r;

                if (ret->n > 0 && starts_yaml(text + at, len - at, place))
                        return yaml_read_documents(text + at, len - at, place.line, duplicate, user, ret, ret_place,
                                                   err);
                r = json_parse(text + at, len - at, place, duplicate, user, &root, &end, ret_place, err);
                if (r < 0)
                        return r;
                if (add_document(ret, root) < 0)
                        return err_oom(err);
                advance(text, at, at + end, &place);
                at += end;
        }
        return 0;
}

/* Whether the text, which starts with a brace, looks like somebody's JSON rather than like YAML in flow style: then the
 * JSON reader's complaint is the helpful one. */
static bool meant_as_json(const char *text, size_t len) {
        Place ignored = { 1, 1 };
        size_t at = skip_space(text, len, skip_space(text, len, 0, &ignored) + 1, &ignored);

        return at >= len || text[at] == '"' || text[at] == '}';
}

static int read_json_or_yaml(const char *text, size_t len, JsonDuplicate duplicate, void *user, YamlStream *ret,
                             Place *ret_place, Err *err) {
        Err json_err = { 0 };
        Place json_place = { 0 };
        int r, json_r = read_json(text, len, duplicate, user, ret, &json_place, &json_err);

        if (json_r == 0)
                return 0;
        /* Behind a first JSON value there is no doubt any more what the text is. */
        if (json_r == -ENOMEM || ret->n > 0) {
                *ret_place = json_place;
                return err_set(err, json_r, "%s", json_err.message);
        }
        if (!meant_as_json(text, len))
                return yaml_read_documents(text, len, 1, duplicate, user, ret, ret_place, err);
        r = yaml_read_documents(text, len, 1, duplicate, user, ret, ret_place, NULL);
        if (r != -EBADMSG)
                return r == -ENOMEM ? err_oom(err) : r;
        *ret_place = json_place;
        return err_set(err, r, "%s", json_err.message);
}

static int read_text(const char *text, size_t len, JsonDuplicate duplicate, void *user, YamlStream *ret,
                     Place *ret_place, Err *err) {
        Place ignored = { 1, 1 };
        size_t start;

        *ret_place = (Place){ 1, 1 };
        if (len > JSON_SIZE_MAX)
                return err_set(err, -EBADMSG, "larger than %d MiB", JSON_SIZE_MAX / 1024 / 1024);
        if (len >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0))
                return err_set(err, -EBADMSG, "the text is UTF-16; save it as UTF-8");
        if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
                text += 3;
                len -= 3;
        }
        start = skip_space(text, len, 0, &ignored);
        if (start < len && text[start] == '{')
                return read_json_or_yaml(text, len, duplicate, user, ret, ret_place, err);
        return yaml_read_documents(text, len, 1, duplicate, user, ret, ret_place, err);
}

int yaml_read(const char *text, size_t len, JsonDuplicate duplicate, void *user, YamlStream *ret, Place *ret_place,
              Err *err) {
        _cleanup_yaml_ YamlStream stream = { 0 };
        Place place = { 0 };
        int r = read_text(text, len, duplicate, user, &stream, &place, err);

        if (r < 0) {
                if (ret_place)
                        *ret_place = place;
                return r;
        }
        *ret = stream;
        stream = (YamlStream){ 0 };
        return 0;
}

void yaml_stream_done(YamlStream *s) {
        for (size_t i = 0; i < s->n; i++)
                cJSON_Delete(s->documents[i].root);
        free(s->documents);
        *s = (YamlStream){ 0 };
}
