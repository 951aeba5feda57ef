/* SPDX-License-Identifier: Apache-2.0 */
/* Scalars by their tags and styles, as values and as keys. */
#include "base/utf8.h"
#include "core/base64.h"
#include "core/yaml_internal.h"

#include <errno.h>

static size_t count_digits(const char *text, size_t len) {
        size_t n = 0;

        while (n < len && text[n] >= '0' && text[n] <= '9')
                n++;
        return n;
}

/* 2001-12-14 and the like, told by the start. */
static bool is_timestamp(const char *text, size_t len) {
        return len >= 8 && count_digits(text, len) == 4 && text[4] == '-';
}

#define TAG(name) "tag:yaml.org,2002:" name

static int decode_binary(const char *text, size_t len, Buf *scratch, Scalar *ret, Err *err) {
        _cleanup_free_ char *data = NULL;
        size_t n = 0;
        int r = base64_decode(text, len, &data, &n);

        if (r == -ENOMEM)
                return err_oom(err);
        if (r < 0)
                return err_set(err, r, "the value of !!binary is not base64");
        if (!utf8_valid(data, n))
                return err_set(err, -EBADMSG, "the value of !!binary is not text in UTF-8");
        buf_reset(scratch);
        buf_add(scratch, data, n);
        if (scratch->failed)
                return err_oom(err);
        *ret = (Scalar){ SCALAR_STRING, scratch->data, n };
        return 0;
}

static bool kind_has_tag(const Scalar *s, const char *tag) {
        switch (s->kind) {
        case SCALAR_NULL:
                return streq(tag, TAG("null"));
        case SCALAR_TRUE:
        case SCALAR_FALSE:
                return streq(tag, TAG("bool"));
        case SCALAR_INT:
                return streq(tag, TAG("int")) || streq(tag, TAG("float"));
        case SCALAR_STRING:
                return streq(tag, TAG("timestamp")) && is_timestamp(s->text, s->len);
        default:
                return streq(tag, TAG("float"));
        }
}

/* Tags of which a value can be the wrong kind; all others make a string of it. */
static bool is_resolved_tag(const char *tag) {
        static const char *const tags[] = { TAG("bool"), TAG("int"), TAG("float"), TAG("null"), TAG("timestamp") };

        for (size_t i = 0; i < ARRAY_SIZE(tags); i++)
                if (streq(tag, tags[i]))
                        return true;
        return false;
}

int yaml_scalar(const yaml_event_t *event, Buf *scratch, Scalar *ret, Err *err) {
        const char *tag = (const char *)event->data.scalar.tag;
        Scalar s = { SCALAR_STRING, (const char *)event->data.scalar.value, event->data.scalar.length };
        bool resolved = tag ? is_resolved_tag(tag) : event->data.scalar.plain_implicit;

        if (streq(tag, TAG("binary"))) {
                int r = decode_binary(s.text, s.len, scratch, &s, err);

                if (r < 0)
                        return r;
        }
        if (resolved)
                s.kind = yaml_resolve(s.text, s.len, scratch);
        if (resolved && scratch->failed)
                return err_oom(err);
        if (resolved && tag && !kind_has_tag(&s, tag))
                return err_set(err, -EBADMSG, "the value does not fit its tag !!%s", tag + strlen(TAG("")));
        if (s.kind == SCALAR_INT || s.kind == SCALAR_FLOAT) {
                s.text = scratch->data;
                s.len = scratch->len;
                if (tag && streq(tag, TAG("float")))
                        s.kind = SCALAR_FLOAT;
        }
        if (memchr(s.text, 0, s.len))
                return err_set(err, -EBADMSG, "a NUL character in a string");
        *ret = s;
        return 0;
}

/* The words of one letter keep their text, for whoever wants a string there. */
static cJSON *boolean_item(const Scalar *s) {
        _cleanup_json_ cJSON *item = cJSON_CreateBool(s->kind == SCALAR_TRUE);

        if (item && s->len == 1) {
                item->valuestring = strndup(s->text, 1);
                if (!item->valuestring)
                        return NULL;
        }
        return TAKE_PTR(item);
}

cJSON *yaml_scalar_item(const Scalar *s) {
        switch (s->kind) {
        case SCALAR_NULL:
                return cJSON_CreateNull();
        case SCALAR_TRUE:
        case SCALAR_FALSE:
                return boolean_item(s);
        case SCALAR_INT:
        case SCALAR_FLOAT:
                return json_new_number(s->text);
        default:
                return cJSON_CreateString(s->text);
        }
}

Scalar yaml_item_scalar(const cJSON *item) {
        ScalarKind kind = cJSON_IsNull(item)                  ? SCALAR_NULL
                          : cJSON_IsTrue(item)                ? SCALAR_TRUE
                          : cJSON_IsFalse(item)               ? SCALAR_FALSE
                          : !json_is_number(item)             ? SCALAR_STRING
                          : strpbrk(item->valuestring, ".eE") ? SCALAR_FLOAT
                                                              : SCALAR_INT;

        return (Scalar){ kind, str_or_empty(item->valuestring), strlen(str_or_empty(item->valuestring)) };
}

/* ---- keys ---- */

int yaml_scalar_key(const Scalar *s, char **ret, Err *err) {
        _cleanup_buf_ Buf key = BUF_INIT;
        cJSON number = { .type = cJSON_Raw, .valuestring = (char *)s->text };
        int64_t value;

        switch (s->kind) {
        case SCALAR_NULL:
                return err_set(err, -EBADMSG, "a key is null: quote it if it is text");
        case SCALAR_INT:
                if (!json_int(&number, &value))
                        return err_set(err, -EBADMSG, "a key is a number that is too large: quote it");
                buf_add(&key, s->text, s->len);
                break;
        case SCALAR_FLOAT:
                if (!yaml_float_key(s->text, s->len, &key))
                        return err_set(err, -EBADMSG, "a key is a number that could be written differently: quote it");
                break;
        case SCALAR_STRING:
                buf_add(&key, s->text, s->len);
                break;
        default:
                buf_str(&key, s->kind == SCALAR_TRUE        ? "true"
                              : s->kind == SCALAR_FALSE     ? "false"
                              : s->kind == SCALAR_INF       ? ".inf"
                              : s->kind == SCALAR_MINUS_INF ? "-.inf"
                                                            : ".nan");
        }
        *ret = buf_take(&key, NULL);
        return *ret ? 0 : err_oom(err);
}
