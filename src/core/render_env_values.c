/* SPDX-License-Identifier: Apache-2.0 */
/* Values of objects: looked up, made text, put into the environment and recorded for the input's hash. */
#include "base/utf8.h"
#include "core/base64.h"
#include "core/render_env_internal.h"

#include <errno.h>

/* ---- the objects ---- */

static int compare_items(const void *a, const void *b) {
        const cJSON *const *x = a, *const *y = b;

        return strcmp((*x)->string, (*y)->string);
}

static bool read_data(const Object *object, Data *ret) {
        _cleanup_json_ cJSON *tree = NULL;
        const cJSON *data, *item, **items;
        size_t n = 0;

        /* The bytes are canonical ones of our own making, so that nothing but memory can be missing. */
        if (json_parse(object->bytes, object->len, (Place){ 0 }, NULL, NULL, &tree, NULL, NULL, NULL) < 0)
                return false;
        data = json_get(tree, "data");
        for (item = data ? data->child : NULL; item; item = item->next)
                n += cJSON_IsString(item);
        items = malloc((n + 1) * sizeof(*items));
        if (!items)
                return false;
        n = 0;
        for (item = data ? data->child : NULL; item; item = item->next)
                if (cJSON_IsString(item))
                        items[n++] = item;
        qsort(items, n, sizeof(*items), compare_items);
        *ret = (Data){ .tree = TAKE_PTR(tree), .items = items, .n = n };
        return true;
}

const Data *env_data(Env *e, const Object *object) {
        const Objects *all = e->r->options->objects;
        size_t i = objects_place(all, object);

        if (!e->data)
                e->data = calloc(objects_count(all), sizeof(*e->data));
        if (!e->data || (!e->data[i].items && !read_data(object, &e->data[i]))) {
                e->r->failed = true;
                return NULL;
        }
        return &e->data[i];
}

const cJSON *env_datum(const Data *data, const char *key) {
        cJSON wanted = { .string = (char *)(uintptr_t)key };
        const cJSON *item = &wanted;
        const cJSON **found = bsearch(&item, data->items, data->n, sizeof(*data->items), compare_items);

        return found ? *found : NULL;
}

const Object *env_object(Env *e, ObjectKind kind, const cJSON *ref, const Path *path) {
        const char *name = str_or_empty(json_string(ref, "name"));
        bool optional = json_true(ref, "optional");
        const Object *object = reference_find(e->r, kind, name, optional, true, path);

        if (kind != OBJECT_SECRET)
                return object;
        e->r->secret_env = true;
        if (e->r->options->secret_env_inline || (optional && !object))
                return object;
        render_refuse(e->r, REASON_SecretInEnv, path,
                      "Secret %s/%s would be readable to everyone who may read pods, through the mirror pod; "
                      "mount it as a volume, or set secret_env = inline in [pods]",
                      e->r->daemonset->namespace, name);
        return NULL;
}

/* ---- values ---- */

void env_refuse_as_too_large(Env *e, const Path *path) {
        if (!e->full)
                render_refuse(e->r, REASON_TooLarge, path,
                              "the environment would be larger than %d bytes, the most that a pod in the API can have",
                              (int)MANIFEST_SIZE_MAX);
        e->full = true;
}

/* The value as text, given to the caller. NULL: it cannot be one, or out of memory; that is noted. */
static char *value_text(Env *e, const Object *object, const cJSON *datum, const Path *path) {
        char *text;
        size_t len;
        int r;

        if (object->kind != OBJECT_SECRET) {
                text = strdup(datum->valuestring); /* the rules of JSON trees make it proper text */
                e->r->failed |= !text;
                return text;
        }
        r = base64_decode(datum->valuestring, strlen(datum->valuestring), &text, &len);
        if (r == 0 && !memchr(text, 0, len) && utf8_valid(text, len))
                return text;
        if (r == 0)
                free(text);
        if (r == -ENOMEM)
                e->r->failed = true;
        else
                render_refuse(e->r, REASON_UnsupportedField, path,
                              "%s of Secret %s/%s is no text (UTF-8 without NUL bytes) and cannot be a variable's "
                              "value; mount it as a volume",
                              datum->string, object->namespace, object->name);
        return NULL;
}

static cJSON *double_dollars(const char *text) {
        _cleanup_buf_ Buf doubled = BUF_INIT;

        for (const char *dollar; (dollar = strchr(text, '$')); text = dollar + 1) {
                buf_add(&doubled, text, (size_t)(dollar - text));
                buf_str(&doubled, "$$");
        }
        buf_str(&doubled, text);
        return doubled.failed ? NULL : cJSON_CreateString(buf_text(&doubled));
}

cJSON *env_value(Env *e, const char *name, const Object *object, const cJSON *datum, const Path *path) {
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ cJSON *kept = NULL, *value = NULL;

        if (e->full)
                return NULL;
        text = value_text(e, object, datum, path);
        if (!text)
                return NULL;
        e->size += strlen(name) + strlen(text) + ENTRY_BYTES;
        if (e->size > MANIFEST_SIZE_MAX) {
                env_refuse_as_too_large(e, path);
                return NULL;
        }
        kept = cJSON_CreateString(text);
        value = double_dollars(text);
        if (!kept || !value || !ARRAY_GROW(e->inlined, e->n_inlined, e->cap_inlined)) {
                e->r->failed = true;
                return NULL;
        }
        e->inlined[e->n_inlined++] = (Inlined){ .object = object, .key = datum->string, .value = TAKE_PTR(kept) };
        return TAKE_PTR(value);
}

void env_insert_before(cJSON *list, cJSON *before, cJSON *item) {
        if (!before) {
                (void)cJSON_AddItemToArray(list, item);
                return;
        }
        item->next = before;
        item->prev = before->prev; /* of the first one: the last */
        if (before == list->child)
                list->child = item;
        else
                before->prev->next = item;
        before->prev = item;
}

/* ---- the record ---- */

static int compare_inlined(const void *a, const void *b) {
        const Inlined *x = a, *y = b;
        int order = (x->object->kind > y->object->kind) - (x->object->kind < y->object->kind);

        if (order == 0)
                order = strcmp(x->object->name, y->object->name);
        return order ? order : strcmp(x->key, y->key);
}

/* The member of that key, which the item becomes if there is none. Members are sorted, and so are the calls; cursor is
 * what the last one answered, NULL before the first. Takes the item, NULL is a failure; NULL: out of memory. */
static cJSON *place_member(cJSON *object, cJSON *cursor, const char *key, cJSON *item) {
        cJSON *at = cursor ? cursor : object->child;

        if (!item)
                return NULL;
        while (at && strcmp(at->string, key) < 0)
                at = at->next;
        if (at && streq(at->string, key)) {
                cJSON_Delete(item);
                return at;
        }
        item->string = strdup(key);
        if (!item->string) {
                cJSON_Delete(item);
                return NULL;
        }
        env_insert_before(object, at, item);
        return item;
}

static cJSON *place_object(cJSON *values, cJSON *cursor, const Object *object) {
        _cleanup_buf_ Buf name = BUF_INIT;

        buf_printf(&name, "%s %s", object_kind_name(object->kind), object->name);
        return name.failed ? NULL : place_member(values, cursor, buf_text(&name), cJSON_CreateObject());
}

void env_record(Env *e) {
        cJSON *object = NULL, *value = NULL;

        if (e->n_inlined == 0)
                return;
        if (!e->r->values)
                e->r->values = cJSON_CreateObject();
        qsort(e->inlined, e->n_inlined, sizeof(*e->inlined), compare_inlined);
        for (size_t i = 0; i < e->n_inlined && e->r->values; i++) {
                Inlined *this = &e->inlined[i];

                if (i == 0 || this->object != this[-1].object) {
                        object = place_object(e->r->values, object, this->object);
                        value = NULL;
                }
                value = object ? place_member(object, value, this->key, TAKE_PTR(this->value)) : NULL;
                if (!value)
                        break;
        }
        e->r->failed |= !value;
}
