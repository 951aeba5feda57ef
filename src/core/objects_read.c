/* SPDX-License-Identifier: Apache-2.0 */
/* From a text to its documents, from lists to their items, and duplicate keys to the objects they stand in. */
#include "core/objects_internal.h"
#include "core/schema.h"
#include "core/validate.h"
#include "core/yaml.h"

#include <errno.h>

/* ---- what one text gives on the way ---- */

typedef struct Duplicate {
        char *key;
        Place dropped, kept;
} Duplicate;

/* Where a document or an item of a list starts. */
typedef struct Start {
        Place place;
        size_t object; /* NO_OBJECT: nothing that became one */
} Start;

enum { DUPLICATES_MAX = 1024 }; /* more of them are told in one line */
#define NO_OBJECT SIZE_MAX

typedef struct Reader {
        Objects *o;
        size_t file;
        bool strict;
        Duplicate *duplicates;
        size_t n_duplicates, cap_duplicates;
        size_t more_duplicates; /* that were not kept */
        Start *starts;
        size_t n_starts, cap_starts;
        bool failed; /* out of memory in a callback */
} Reader;

static void reader_done(Reader *r) {
        for (size_t i = 0; i < r->n_duplicates; i++)
                free(r->duplicates[i].key);
        free(r->duplicates);
        free(r->starts);
}

static ObjectFile *reader_file(Reader *r) {
        return &r->o->files[r->file];
}

static void note_duplicate(void *user, const char *key, Place dropped, Place kept) {
        Reader *r = user;
        Duplicate *d;

        if (r->n_duplicates == DUPLICATES_MAX) {
                r->more_duplicates++;
                return;
        }
        if (!ARRAY_GROW(r->duplicates, r->n_duplicates, r->cap_duplicates)) {
                r->failed = true;
                return;
        }
        d = &r->duplicates[r->n_duplicates];
        *d = (Duplicate){ .key = strdup(key), .dropped = dropped, .kept = kept };
        if (d->key)
                r->n_duplicates++;
        else
                r->failed = true;
}

static int note_start(Reader *r, const cJSON *item, size_t object) {
        if (!ARRAY_GROW(r->starts, r->n_starts, r->cap_starts))
                return -ENOMEM;
        r->starts[r->n_starts++] = (Start){ .place = json_place(item), .object = object };
        return 0;
}

/* ---- documents ---- */

static const char *type_name(const cJSON *item) {
        if (cJSON_IsArray(item))
                return "a list";
        if (cJSON_IsString(item))
                return "a text";
        if (cJSON_IsBool(item))
                return "true or false";
        return json_is_number(item) ? "a number" : "nothing";
}

static int skip_object(Reader *r, const cJSON *item, const char *kind) {
        Objects *o = r->o;
        SkippedObject *s;

        if (!ARRAY_GROW(o->skipped, o->n_skipped, o->cap_skipped))
                return -ENOMEM;
        s = &o->skipped[o->n_skipped++];
        *s = (SkippedObject){
                .kind = strdup(kind),
                .name = strdup(str_or_empty(json_string(json_get(item, "metadata"), "name"))),
                .file = r->file,
                .place = json_place(item),
        };
        return s->kind && s->name ? note_start(r, item, NO_OBJECT) : -ENOMEM;
}

/* An item of our kinds, or one to skip. */
static int read_item(Reader *r, cJSON *item, const KindInfo *kind, const char *name, const char *api_version) {
        int e;

        if (!kind || (api_version && !is_builtin_group(api_version)))
                return skip_object(r, item, name);
        e = note_start(r, item, r->o->n_objects);
        return e < 0 ? e : objects_add(r->o, r->file, kind, api_version, item, r->strict);
}

/* What cannot be told what it is: an error of the file. */
static int refuse_item(Reader *r, const At *at) {
        At kind = at_field(at, "kind");

        if (!cJSON_IsObject(at->item))
                refuse(at, "%s stands where an object with apiVersion and kind should be", type_name(at->item));
        else if (!kind.item)
                refuse(&kind, "required: every object needs apiVersion and kind");
        else
                refuse(&kind, "must be the name of a kind");
        return note_start(r, at->item, NO_OBJECT);
}

/* One item of a list. `list`: its kind where the list is of one kind (items then need not say it), else NULL. */
static int read_list_item(Reader *r, const At *at, const cJSON *root, const KindInfo *list) {
        cJSON *item = (cJSON *)at->item; /* the walk reads; the tree is ours */
        const char *kind = json_string(item, "kind"), *api_version = json_string(item, "apiVersion");

        if (list && cJSON_IsObject(item) && !json_get(item, "kind"))
                kind = list->kind;
        if (list && cJSON_IsObject(item) && !json_get(item, "apiVersion"))
                api_version = json_string(root, "apiVersion");
        if (!kind || !*kind)
                return refuse_item(r, at);
        return read_item(r, item, kind_by_name(kind), kind, api_version);
}

static int read_list(Reader *r, const At *root, const KindInfo *list) {
        At items = at_field(root, "items");
        int e = note_start(r, root->item, NO_OBJECT);

        if (e < 0 || !items.item || cJSON_IsNull(items.item))
                return e;
        if (!cJSON_IsArray(items.item)) {
                refuse(&items, "must be a list");
                return 0;
        }
        for (each_at(item, &items)) {
                e = read_list_item(r, &item, root->item, list);
                if (e < 0)
                        return e;
        }
        return 0;
}

static int read_document(Reader *r, cJSON *root) {
        const char *kind = json_string(root, "kind"), *api_version = json_string(root, "apiVersion");
        bool builtin = !api_version || is_builtin_group(api_version);
        Diags diags = { 0 };
        Walk walk = { .diags = &diags };
        At top = at_top(&walk, root);
        int e;

        /* The file itself may move when the list of files grows, so its diags are only borrowed for this document. */
        diags = reader_file(r)->diags;
        if (!kind || !*kind)
                e = refuse_item(r, &top);
        else if (builtin && (streq(kind, "List") || kind_by_list(kind)))
                e = read_list(r, &top, kind_by_list(kind));
        else
                e = read_item(r, root, kind_by_name(kind), kind, api_version);
        reader_file(r)->diags = diags;
        return e;
}

/* ---- duplicate keys ---- */

static int compare_places(Place a, Place b) {
        int c = (a.line > b.line) - (a.line < b.line);

        return c ? c : (a.column > b.column) - (a.column < b.column);
}

static int compare_starts(const void *a, const void *b) {
        const Start *x = a, *y = b;

        return compare_places(x->place, y->place);
}

/* The object in whose lines the place is, or NO_OBJECT. Starts are sorted. */
static size_t object_at(const Reader *r, Place place) {
        size_t low = 0, high = r->n_starts;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (compare_places(r->starts[middle].place, place) <= 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low > 0 ? r->starts[low - 1].object : NO_OBJECT;
}

static void add_duplicates(Reader *r) {
        if (r->n_starts)
                qsort(r->starts, r->n_starts, sizeof(*r->starts), compare_starts);
        for (size_t i = 0; i < r->n_duplicates; i++) {
                const Duplicate *d = &r->duplicates[i];
                size_t object = object_at(r, d->dropped);
                Diags *diags = object == NO_OBJECT ? &reader_file(r)->diags : &r->o->objects[object].diags;

                diag_add(diags, r->strict ? DIAG_ERROR : DIAG_WARNING, d->dropped, "",
                         "duplicate key \"%s\": the one at %u:%u is dropped, the last one, at %u:%u, counts",
                         QUOTED(d->key), d->dropped.line, d->dropped.column, d->kept.line, d->kept.column);
                if (r->strict && object != NO_OBJECT)
                        object_refuse(&r->o->objects[object]);
        }
        if (r->more_duplicates)
                diag_add(&reader_file(r)->diags, DIAG_WARNING, (Place){ 0 }, "", "%zu more duplicate keys",
                         r->more_duplicates);
}

/* ---- the text ---- */

/* Whether every object counts; out of memory in a list of messages shows here too. */
static int judge_file(Reader *r, size_t first_object) {
        ObjectFile *file = reader_file(r);
        bool strictly_wrong;

        if (r->strict)
                diags_raise(&file->diags);
        strictly_wrong = r->strict && file->diags.n_errors > 0;

        file->complete = file->diags.n_errors == 0 && !strictly_wrong;
        if (file->diags.failed)
                return -ENOMEM;
        for (size_t i = first_object; i < r->o->n_objects; i++) {
                Object *object = &r->o->objects[i];

                /* A warning that belongs to no object may belong to any. */
                if (strictly_wrong)
                        object_refuse(object);
                if (object->diags.failed)
                        return -ENOMEM;
                file->complete &= object->reason == REASON_None;
        }
        return 0;
}

static int mark_unreadable(Reader *r, Place place, const Err *err) {
        ObjectFile *file = reader_file(r);

        file->unreadable = true;
        file->place = place;
        file->error = strdup(err->message);
        return file->error ? 0 : -ENOMEM;
}

static int read_text(Reader *r, const char *text, size_t len) {
        _cleanup_yaml_ YamlStream stream = { 0 };
        size_t first_object = r->o->n_objects;
        Err err = { 0 };
        Place place = { 0 };
        int e = yaml_read(text, len, note_duplicate, r, &stream, &place, &err);

        if (e == -ENOMEM || r->failed)
                return -ENOMEM;
        if (e < 0)
                return mark_unreadable(r, place, &err);
        for (size_t i = 0; i < stream.n; i++) {
                e = read_document(r, stream.documents[i].root);
                if (e < 0)
                        return e;
        }
        add_duplicates(r);
        return judge_file(r, first_object);
}

int objects_read(Objects *o, const char *name, const char *text, size_t len, bool strict) {
        __attribute__((cleanup(reader_done))) Reader r = { .o = o, .file = o->n_files, .strict = strict };
        size_t n_objects = o->n_objects, n_skipped = o->n_skipped;
        char *copy;
        int e;

        if (!ARRAY_GROW(o->files, o->n_files, o->cap_files))
                return -ENOMEM;
        copy = strdup(name);
        if (!copy)
                return -ENOMEM;
        o->files[o->n_files++] = (ObjectFile){ .name = copy };
        e = read_text(&r, text, len);
        if (e < 0)
                objects_truncate(o, r.file, n_objects, n_skipped);
        return e;
}

/* ---- a node ---- */

static int node_error(Err *err, const char *name, Place place, const Diag *diag) {
        _cleanup_buf_ Buf text = BUF_INIT;

        diag_text(diag, &text);
        return text.failed ? err_oom(err)
                           : err_set(err, -EBADMSG, "%s:%u:%u: %s", name, place.line, place.column, buf_text(&text));
}

static int check_node(const char *name, cJSON *root, Err *err) {
        const char *kind = json_string(root, "kind"), *api_version = json_string(root, "apiVersion");
        Diags diags = { 0 };
        Place place = json_place(root);
        int e = 0;

        if (!streq(kind, "Node") || !streq(api_version, "v1"))
                return err_set(err, -EBADMSG, "%s:%u:%u: not a Node: kind Node of apiVersion v1 is wanted, this is %s",
                               name, place.line, place.column, kind ? QUOTED(kind) : type_name(root));
        schema_check(root, schema_type("Node"), "", &diags);
        if (diags.failed)
                e = err_oom(err);
        else if (diag_first_error(&diags))
                e = node_error(err, name, diag_first_error(&diags)->place, diag_first_error(&diags));
        else if (!*str_or_empty(json_string(json_get(root, "metadata"), "name")))
                e = err_set(err, -EBADMSG, "%s:%u:%u: metadata.name: required", name, place.line, place.column);
        diags_done(&diags);
        return e;
}

int objects_read_node(const char *name, const char *text, size_t len, NodeView *ret, Err *err) {
        _cleanup_yaml_ YamlStream stream = { 0 };
        Err reason = { 0 };
        Place place = { 0 };
        int e = yaml_read(text, len, NULL, NULL, &stream, &place, &reason);

        if (e == -ENOMEM)
                return err_oom(err);
        if (e < 0)
                return err_set(err, e, "%s:%u:%u: %s", name, place.line, place.column, reason.message);
        if (stream.n != 1)
                return err_set(err, -EBADMSG, "%s: holds %zu objects: exactly one Node is wanted", name, stream.n);
        e = check_node(name, stream.documents[0].root, err);
        if (e < 0)
                return e;
        return node_view_from_json(stream.documents[0].root, ret) < 0 ? err_oom(err) : 0;
}
