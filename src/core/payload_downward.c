/* SPDX-License-Identifier: Apache-2.0 */
/* Fields of the pod as files: what fieldpath.ExtractFieldPathAsString gives. */
#include "core/payload.h"

#include <errno.h>

/* As Go's %q has it. Labels are plain ASCII, so that what is printable beyond it need not be known. */
static void quote(const char *s, Buf *out) {
        static const char escapes[] = "\"\"\\\\\aa\bb\ff\nn\rr\tt\vv";

        buf_char(out, '"');
        for (; *s; s++) {
                const char *e = escapes;

                while (*e && *e != *s)
                        e += 2;
                if (*e)
                        buf_printf(out, "\\%c", e[1]);
                else if ((unsigned char)*s < ' ' || *s == 0x7f)
                        buf_printf(out, "\\x%02x", (unsigned)*s);
                else
                        buf_char(out, *s);
        }
        buf_char(out, '"');
}

static int compare_keys(const void *a, const void *b) {
        const cJSON *const *x = a, *const *y = b;

        return strcmp((*x)->string, (*y)->string);
}

/* key="value" for each, by key, without a newline at the end. */
static char *format_map(const cJSON *map) {
        _cleanup_free_ const cJSON **sorted = NULL;
        _cleanup_buf_ Buf text = BUF_INIT;
        size_t n = 0, cap = 0;
        const cJSON *item;

        cJSON_ArrayForEach(item, map) {
                if (!ARRAY_GROW(sorted, n, cap))
                        return NULL;
                sorted[n++] = item;
        }
        if (n > 1)
                qsort(sorted, n, sizeof(*sorted), compare_keys);
        for (size_t i = 0; i < n; i++) {
                buf_printf(&text, "%s%s=", i ? "\n" : "", sorted[i]->string);
                quote(str_or_empty(cJSON_GetStringValue(sorted[i])), &text);
        }
        return buf_take(&text, NULL);
}

/* The KEY of "<front>['KEY']". */
static bool subscript(const char *field, const char *front, const char **ret_key, size_t *ret_len) {
        size_t skip = strlen(front), len = strlen(field);

        if (!startswith(field, front) || !startswith(field + skip, "['") || len < skip + 4 ||
            !streq(field + len - 2, "']"))
                return false;
        *ret_key = field + skip + 2;
        *ret_len = len - skip - 4;
        return true;
}

static const char *look_up(const cJSON *map, const char *key, size_t len) {
        const cJSON *item;

        cJSON_ArrayForEach(item, map) {
                if (strlen(item->string) == len && memcmp(item->string, key, len) == 0)
                        return str_or_empty(cJSON_GetStringValue(item));
        }
        return "";
}

/* The template's own ones of these are dropped; the pod has others, that the kubelet or daemonlet wrote. */
static bool is_reserved_annotation(const char *key) {
        return startswith(key, "kubernetes.io/config.") || startswith(key, "daemonlet.io/");
}

/* Borrowed; NULL if only the kubelet can tell. */
static const char *plain_field(const PayloadFacts *facts, const char *field) {
        const char *key;
        size_t len;

        if (streq(field, "metadata.name"))
                return str_or_empty(facts->pod_name);
        if (streq(field, "metadata.namespace"))
                return facts->namespace;
        if (streq(field, "metadata.uid"))
                return str_or_empty(facts->uid);
        if (subscript(field, "metadata.labels", &key, &len))
                return look_up(facts->labels, key, len);
        if (subscript(field, "metadata.annotations", &key, &len) && !is_reserved_annotation(key))
                return look_up(facts->annotations, key, len);
        return NULL;
}

int payload_downward(const PayloadFacts *facts, const cJSON *item, char **ret) {
        const char *field = str_or_empty(json_string(json_get(item, "fieldRef"), "fieldPath")), *plain;
        char *value;

        if (streq(field, "metadata.labels")) {
                value = format_map(facts->labels);
        } else {
                plain = plain_field(facts, field);
                if (!plain)
                        return -EOPNOTSUPP;
                value = strdup(plain);
        }
        if (!value)
                return -ENOMEM;
        *ret = value;
        return 0;
}
