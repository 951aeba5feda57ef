/* SPDX-License-Identifier: Apache-2.0 */
#include "core/objects_internal.h"
#include "core/schema.h"
#include "core/validate.h"

#include <errno.h>
#include <stdio.h>

/* ---- kinds: one more is one more row ---- */

static const KindInfo kinds[] = {
        { "DaemonSet",
          "DaemonSetList",
          OBJECT_DAEMONSET,
          { "apps/v1", "apps/v1beta2", "extensions/v1beta1", NULL },
          validate_daemonset },
        { "ConfigMap", "ConfigMapList", OBJECT_CONFIGMAP, { "v1", NULL }, validate_configmap },
        { "Secret", "SecretList", OBJECT_SECRET, { "v1", NULL }, validate_secret },
};

const KindInfo *kind_by_name(const char *kind) {
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
                if (streq(kinds[i].kind, kind))
                        return &kinds[i];
        return NULL;
}

const char *object_kind_name(ObjectKind kind) {
        size_t i = 0;

        while (kinds[i].id != kind)
                i++;
        return kinds[i].kind;
}

bool object_kind_parse(const char *name, ObjectKind *ret) {
        const KindInfo *kind = kind_by_name(name);

        if (kind)
                *ret = kind->id;
        return kind;
}

const KindInfo *kind_by_list(const char *list) {
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
                if (streq(kinds[i].list, list))
                        return &kinds[i];
        return NULL;
}

bool kind_is_served(const KindInfo *kind, const char *api_version) {
        for (size_t i = 0; kind->served[i]; i++)
                if (streq(kind->served[i], api_version))
                        return true;
        return false;
}

bool is_builtin_group(const char *api_version) {
        return !strchr(api_version, '/') || startswith(api_version, "apps/") || startswith(api_version, "extensions/");
}

/* ---- objects ---- */

static void object_done(Object *object) {
        free(object->namespace);
        free(object->name);
        free(object->message);
        free(object->bytes);
        free(object->uid);
        free(object->mode);
        diags_done(&object->diags);
        pod_scheduling_done(&object->scheduling);
        *object = (Object){ 0 };
}

void object_refuse(Object *object) {
        object->reason = REASON_Invalid;
        free(object->uid);
        free(object->mode);
        free(object->bytes);
        object->bytes = object->mode = object->uid = NULL;
        object->len = 0;
        pod_scheduling_done(&object->scheduling);
        object->scheduling = (PodScheduling){ 0 };
}

static void refuse_version(Object *object, const KindInfo *kind, const char *api_version, const cJSON *tree) {
        const cJSON *item = json_get(tree, "apiVersion");
        Place place = item ? json_place(item) : json_place(tree);
        _cleanup_buf_ Buf served = BUF_INIT;

        for (size_t i = 0; kind->served[i]; i++)
                buf_printf(&served, "%s%s", i == 0 ? "" : kind->served[i + 1] ? ", " : " or ", kind->served[i]);
        if (!api_version)
                diag_add(&object->diags, DIAG_ERROR, place, "apiVersion", "required: %s", buf_text(&served));
        else
                diag_add(&object->diags, DIAG_ERROR, place, "apiVersion", "\"%s\" is not served for a %s: use %s",
                         QUOTED(api_version), kind->kind, buf_text(&served));
        object->diags.failed |= served.failed;
}

/* Checks the tree and adds to the object's diags. */
static int object_check(Object *object, const KindInfo *kind, const char *api_version, cJSON *tree) {
        int r;

        if (!api_version || !kind_is_served(kind, api_version)) {
                refuse_version(object, kind, api_version, tree);
                return object->diags.failed ? -ENOMEM : 0;
        }
        schema_check(tree, schema_type(kind->kind), "", &object->diags);
        r = object_prepare(kind, api_version, tree);
        if (r < 0)
                return r;
        kind->validate(tree, &object->diags);
        return object->diags.failed ? -ENOMEM : 0;
}

static int object_compile(Object *object, const KindInfo *kind, cJSON *tree) {
        int r;

        if (object->kind == OBJECT_DAEMONSET) {
                object->uid = strdup(str_or_empty(json_string(json_get(tree, "metadata"), "uid")));
                if (!object->uid)
                        return -ENOMEM;
        }
        r = object_normalise(kind, object->namespace, tree);
        if (r < 0)
                return r;
        object->bytes = json_canonical_text(tree, &object->len);
        if (!object->bytes)
                return -ENOMEM;
        if (object->kind != OBJECT_DAEMONSET)
                return 0;
        object->on_delete = streq(json_string(json_path(tree, "spec.updateStrategy"), "type"), "OnDelete");
        object->mode = strdup(str_or_empty(json_string(json_path(tree, "metadata.labels"), MODE_LABEL)));
        if (!object->mode)
                return -ENOMEM;
        (void)handoff_mode_parse(str_or_empty(json_string(json_path(tree, "metadata.annotations"), ANNOTATION_HANDOFF)),
                                 &object->handoff);
        return pod_scheduling_from_json(json_path(tree, "spec.template.spec"), &object->scheduling);
}

int objects_add(Objects *o, size_t file, const KindInfo *kind, const char *api_version, cJSON *tree, bool strict) {
        const cJSON *meta = json_get(tree, "metadata");
        const char *namespace = str_or_empty(json_string(meta, "namespace"));
        Object *object;
        int r;

        if (!ARRAY_GROW(o->objects, o->n_objects, o->cap_objects))
                return -ENOMEM;
        object = &o->objects[o->n_objects];
        *object = (Object){
                .kind = kind->id,
                .namespace = strdup(*namespace ? namespace : "default"),
                .name = strdup(str_or_empty(json_string(meta, "name"))),
                .file = file,
                .place = json_place(tree),
                .same_as = o->n_objects,
        };
        o->n_objects++;
        if (!object->namespace || !object->name)
                return -ENOMEM;
        r = object_check(object, kind, api_version, tree);
        if (r < 0)
                return r;
        if (strict)
                diags_raise(&object->diags);
        if (object->diags.n_errors > 0) {
                object_refuse(object);
                return 0;
        }
        return object_compile(object, kind, tree);
}

/* ---- the set ---- */

static void file_done(ObjectFile *file) {
        free(file->name);
        free(file->error);
        diags_done(&file->diags);
        *file = (ObjectFile){ 0 };
}

void objects_truncate(Objects *o, size_t n_files, size_t n_objects, size_t n_skipped) {
        while (o->n_files > n_files)
                file_done(&o->files[--o->n_files]);
        while (o->n_objects > n_objects)
                object_done(&o->objects[--o->n_objects]);
        while (o->n_skipped > n_skipped) {
                o->n_skipped--;
                free(o->skipped[o->n_skipped].kind);
                free(o->skipped[o->n_skipped].name);
        }
}

void objects_done(Objects *o) {
        objects_truncate(o, 0, 0, 0);
        free(o->files);
        free(o->objects);
        free(o->skipped);
        free(o->sorted);
        *o = (Objects){ 0 };
}

int objects_add_unreadable(Objects *o, const char *name, const char *error) {
        ObjectFile *file;

        if (!ARRAY_GROW(o->files, o->n_files, o->cap_files))
                return -ENOMEM;
        file = &o->files[o->n_files];
        *file = (ObjectFile){ .name = strdup(name), .unreadable = true, .error = strdup(error) };
        if (!file->name || !file->error) {
                file_done(file);
                return -ENOMEM;
        }
        o->n_files++;
        return 0;
}

int objects_move(Objects *from, size_t object, Objects *to) {
        Object *o = &from->objects[object];

        if (!ARRAY_GROW(to->files, to->n_files, to->cap_files) ||
            !ARRAY_GROW(to->objects, to->n_objects, to->cap_objects))
                return -ENOMEM;
        to->files[to->n_files] = from->files[o->file];
        from->files[o->file] = (ObjectFile){ 0 };
        to->objects[to->n_objects] = *o;
        to->objects[to->n_objects].file = to->n_files++;
        to->objects[to->n_objects].same_as = to->n_objects;
        to->n_objects++;
        *o = (Object){ 0 };
        return 0;
}

/* ---- defined twice ---- */

static int compare_key(const Object *a, ObjectKind kind, const char *namespace, const char *name) {
        int c = (a->kind > kind) - (a->kind < kind);

        if (c == 0)
                c = strcmp(a->namespace, namespace);
        return c ? c : strcmp(a->name, name);
}

/* An entry of the sorted index while it is made: qsort's comparison has no argument for the objects. */
typedef struct SortEntry {
        const Object *object;
        size_t index;
} SortEntry;

static int compare_entries(const void *a, const void *b) {
        const SortEntry *x = a, *y = b;
        int c = compare_key(x->object, y->object->kind, y->object->namespace, y->object->name);

        return c ? c : (x->index > y->index) - (x->index < y->index);
}

static int sort_objects(Objects *o) {
        _cleanup_free_ SortEntry *entries = NULL;
        size_t *sorted;

        if (o->n_objects == 0)
                return 0;
        entries = malloc(o->n_objects * sizeof(*entries));
        sorted = malloc(o->n_objects * sizeof(*sorted));
        if (!entries || !sorted) {
                free(sorted);
                return -ENOMEM;
        }
        for (size_t i = 0; i < o->n_objects; i++)
                entries[i] = (SortEntry){ .object = &o->objects[i], .index = i };
        qsort(entries, o->n_objects, sizeof(*entries), compare_entries);
        for (size_t i = 0; i < o->n_objects; i++)
                sorted[i] = entries[i].index;
        free(o->sorted);
        o->sorted = sorted;
        o->n_sorted = o->n_objects;
        return 0;
}

/* "defined differently at a.yaml:1:1 and b.yaml:3:1: keep one of them" */
static char *twice_message(const Objects *o, const size_t *group, size_t n) {
        enum { NAMED_MAX = 16 };
        _cleanup_buf_ Buf out = BUF_INIT;
        size_t usable = 0, named = 0;

        for (size_t i = 0; i < n; i++)
                usable += o->objects[group[i]].reason == REASON_None;
        buf_str(&out, "defined differently at ");
        for (size_t i = 0; i < n && named < NAMED_MAX; i++) {
                const Object *object = &o->objects[group[i]];

                if (object->reason != REASON_None)
                        continue;
                if (named > 0)
                        buf_str(&out, named + 1 == usable ? " and " : ", ");
                buf_printf(&out, "%s:%u:%u", o->files[object->file].name, object->place.line, object->place.column);
                named++;
        }
        if (usable > named)
                buf_printf(&out, " and %zu more places", usable - named);
        buf_str(&out, ": keep one of them");
        return buf_take(&out, NULL);
}

/* Nothing changes when there is no memory. */
static int refuse_group(Objects *o, const size_t *group, size_t n) {
        _cleanup_free_ char *message = twice_message(o, group, n);

        if (!message)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                Object *object = &o->objects[group[i]];

                if (object->reason == REASON_None && !object->message)
                        object->message = strdup(message);
                if (object->reason == REASON_None && !object->message)
                        return -ENOMEM;
        }
        for (size_t i = 0; i < n; i++) {
                Object *object = &o->objects[group[i]];

                if (object->reason != REASON_None)
                        continue;
                object->same_as = group[i];
                object->reason = REASON_DefinedTwice;
                o->files[object->file].complete = false;
        }
        return 0;
}

/* One name: equal definitions count once, different ones not at all. Invalid ones define nothing. */
static int settle_group(Objects *o, const size_t *group, size_t n) {
        const Object *first = NULL;
        bool differ = false;

        for (size_t i = 0; i < n; i++) {
                Object *object = &o->objects[group[i]];

                if (object->reason != REASON_None)
                        continue;
                if (!first)
                        first = object;
                object->same_as = (size_t)(first - o->objects);
                differ |= object->len != first->len || memcmp(object->bytes, first->bytes, first->len) != 0;
        }
        return differ ? refuse_group(o, group, n) : 0;
}

int objects_finish(Objects *o) {
        int r = sort_objects(o);

        for (size_t i = 0, n; r == 0 && i < o->n_objects; i += n) {
                const Object *first = &o->objects[o->sorted[i]];

                for (n = 1; i + n < o->n_objects; n++)
                        if (compare_key(&o->objects[o->sorted[i + n]], first->kind, first->namespace, first->name))
                                break;
                if (n > 1)
                        r = settle_group(o, &o->sorted[i], n);
        }
        return r;
}

/* ---- lookup ---- */

#define ANY_FILE SIZE_MAX

static bool counts(const Object *o, size_t file) {
        return o->reason == REASON_None && (file == ANY_FILE || o->file == file);
}

static const Object *find_sorted(const Objects *o, ObjectKind kind, const char *namespace, const char *name,
                                 size_t file) {
        size_t low = 0, high = o->n_sorted;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (compare_key(&o->objects[o->sorted[middle]], kind, namespace, name) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        for (; low < o->n_sorted; low++) {
                const Object *object = &o->objects[o->sorted[low]];

                if (compare_key(object, kind, namespace, name))
                        break;
                if (counts(object, file))
                        return object;
        }
        return NULL;
}

static const Object *find(const Objects *o, ObjectKind kind, const char *namespace, const char *name, size_t file) {
        if (o->sorted && o->n_sorted == o->n_objects)
                return find_sorted(o, kind, namespace, name, file);
        for (size_t i = 0; i < o->n_objects; i++)
                if (counts(&o->objects[i], file) && !compare_key(&o->objects[i], kind, namespace, name))
                        return &o->objects[i];
        return NULL;
}

const Object *objects_find(const Objects *o, ObjectKind kind, const char *namespace, const char *name) {
        const Object *over = o->over ? objects_find(o->over, kind, namespace, name) : NULL;

        return over ? over : find(o, kind, namespace, name, ANY_FILE);
}

size_t objects_count(const Objects *o) {
        return o->n_objects + (o->over ? objects_count(o->over) : 0);
}

size_t objects_place(const Objects *o, const Object *object) {
        if (object >= o->objects && object < o->objects + o->n_objects)
                return (size_t)(object - o->objects);
        return o->n_objects + objects_place(o->over, object);
}

const Object *objects_find_in(const Objects *o, size_t file, ObjectKind kind, const char *namespace, const char *name) {
        return find(o, kind, namespace, name, file);
}
