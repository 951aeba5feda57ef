/* SPDX-License-Identifier: Apache-2.0 */
#include "io/source_internal.h"

#include <errno.h>

bool source_key(const cJSON *object, SourceKey *ret) {
        const cJSON *meta = json_get(object, "metadata");
        const char *namespace = json_string(meta, "namespace");

        ret->namespace = namespace ? namespace : "default";
        ret->name = json_string(meta, "name");
        return ret->name && object_kind_parse(json_string(object, "kind"), &ret->kind);
}

typedef struct Candidate {
        SourceKey key;
        size_t index;
        const cJSON *object;
} Candidate;

static int compare_candidates(const void *a, const void *b) {
        const Candidate *x = a, *y = b;
        int order = (x->key.kind > y->key.kind) - (x->key.kind < y->key.kind);

        if (order == 0)
                order = strcmp(x->key.namespace, y->key.namespace);
        if (order == 0)
                order = strcmp(x->key.name, y->key.name);
        return order ? order : (x->index > y->index) - (x->index < y->index);
}

static int compare_indices(const void *a, const void *b) {
        const Candidate *x = a, *y = b;

        return (x->index > y->index) - (x->index < y->index);
}

/* Of several of one name the first stays; then in their order again. */
static size_t drop_twins(Candidate *c, size_t n) {
        size_t kept = 0;

        if (n > 0)
                qsort(c, n, sizeof(*c), compare_candidates);
        for (size_t i = 0; i < n; i++) {
                const SourceKey *last = kept ? &c[kept - 1].key : NULL;

                if (!last || last->kind != c[i].key.kind || !streq(last->namespace, c[i].key.namespace) ||
                    !streq(last->name, c[i].key.name))
                        c[kept++] = c[i];
        }
        if (kept > 0)
                qsort(c, kept, sizeof(*c), compare_indices);
        return kept;
}

int source_stand_in_text(const LocalSnapshot *s, const cJSON *file, Buf *text) {
        _cleanup_free_ Candidate *candidates = calloc((size_t)cJSON_GetArraySize(file) + 1, sizeof(*candidates));
        size_t n = 0;

        if (!candidates)
                return -ENOMEM;
        for (const cJSON *object = file->child; object; object = object->next) {
                Candidate *c = &candidates[n];

                if (!source_key(object, &c->key) ||
                    objects_find(&s->objects, c->key.kind, c->key.namespace, c->key.name))
                        continue;
                c->object = object;
                c->index = n++;
        }
        n = drop_twins(candidates, n);
        buf_str(text, "{\"apiVersion\":\"v1\",\"items\":[");
        for (size_t i = 0; i < n; i++) {
                if (i > 0)
                        buf_char(text, ',');
                json_canonical(candidates[i].object, text);
        }
        buf_str(text, "],\"kind\":\"List\"}");
        if (text->failed)
                return -ENOMEM;
        return n > 0;
}
