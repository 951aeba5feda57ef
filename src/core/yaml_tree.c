/* SPDX-License-Identifier: Apache-2.0 */
/* libyaml's events as trees: containers, anchors and aliases, merge keys, duplicate keys.
 *
 * Keys are set in the order in which they stand, and a merge is no exception: what is merged behind an explicit key
 * overwrites it (so does Kubernetes' reader, whatever the YAML specification says). */
#include "core/yaml_internal.h"

#include <errno.h>
#include <search.h>

typedef struct Frame {
        cJSON *container;
        char *key; /* mapping: the key whose value comes next */
        Place key_place;
        size_t n;    /* members */
        bool merge;  /* mapping: the value of a merge key comes next */
        bool merged; /* mapping: some members came by a merge; valueint marks them while the mapping is open */
} Frame;

typedef struct Anchor {
        cJSON *item; /* in the tree, or in what was dropped */
        char name[];
} Anchor;

typedef struct Member {
        cJSON *item;
        size_t order;
} Member;

typedef struct Reader {
        yaml_parser_t parser;
        const char *text;
        size_t len;
        size_t given; /* bytes that libyaml has had */
        unsigned first_line;
        JsonDuplicate duplicate;
        void *user;
        YamlStream *out;
        Place *ret_place;
        Err *err;

        Frame frames[JSON_DEPTH_MAX];
        size_t depth;
        cJSON *root;
        cJSON *dropped; /* items that are not in the tree (any more), but that an alias may still mean */
        void *anchors;  /* of tsearch: a million of them must not make a quadratic search */
        size_t alias_items;
        Member *members; /* scratch */
        size_t cap_members;
        Buf scratch;
} Reader;

static void reader_done(Reader *r) {
        for (size_t i = 0; i < r->depth; i++)
                free(r->frames[i].key);
        tdestroy(r->anchors, free);
        cJSON_Delete(r->root);
        cJSON_Delete(r->dropped);
        free(r->members);
        buf_done(&r->scratch);
        yaml_parser_delete(&r->parser);
}

/* Says where the trouble is; what it is has been said, or is said by the caller's next words. */
static int fail_at(Reader *r, const yaml_mark_t *mark, int code) {
        *r->ret_place = yaml_place(mark, r->first_line);
        return code;
}

static int fail(Reader *r, const yaml_mark_t *mark, const char *message) {
        return fail_at(r, mark, err_set(r->err, -EBADMSG, "%s", message));
}

static Frame *top(Reader *r) {
        return r->depth > 0 ? &r->frames[r->depth - 1] : NULL;
}

static bool wants_key(const Frame *f) {
        return f && cJSON_IsObject(f->container) && !f->key && !f->merge;
}

/* ---- anchors ---- */

static int compare_anchors(const void *a, const void *b) {
        return strcmp(((const Anchor *)a)->name, ((const Anchor *)b)->name);
}

static Anchor *anchor_new(const char *name, cJSON *item) {
        size_t n = strlen(name) + 1;
        Anchor *a = malloc(sizeof(*a) + n);

        if (!a)
                return NULL;
        a->item = item;
        memcpy(a->name, name, n);
        return a;
}

/* An anchor that is set again means the new item from there on. */
static int anchor_set(Reader *r, const yaml_char_t *name, cJSON *item) {
        Anchor *a, **found;

        if (!name)
                return 0;
        a = anchor_new((const char *)name, item);
        if (!a)
                return err_oom(r->err);
        found = tsearch(a, &r->anchors, compare_anchors);
        if (!found) {
                free(a);
                return err_oom(r->err);
        }
        if (*found != a) {
                (*found)->item = item;
                free(a);
        }
        return 0;
}

static int anchor_get(Reader *r, const yaml_event_t *event, cJSON **ret) {
        const char *name = (const char *)event->data.alias.anchor;
        _cleanup_free_ Anchor *wanted = anchor_new(name, NULL);
        Anchor **found;

        if (!wanted)
                return err_oom(r->err);
        found = tfind(wanted, &r->anchors, compare_anchors);
        if (!found)
                return fail_at(
                        r, &event->start_mark,
                        err_set(r->err, -EBADMSG,
                                "no anchor of this name stands before the alias; quote a text that starts with *"));
        for (size_t i = 0; i < r->depth; i++)
                if (r->frames[i].container == (*found)->item)
                        return fail_at(r, &event->start_mark,
                                       err_set(r->err, -EBADMSG, "the anchor &%.64s contains itself", name));
        *ret = (*found)->item;
        return 0;
}

/* Counts the items of a tree against what aliases may make; the height of a scalar is 0. False: too many. */
static bool measure(Reader *r, const cJSON *item, size_t *height) {
        size_t tallest = 0;

        if (++r->alias_items > YAML_ALIAS_ITEMS_MAX)
                return false;
        for (const cJSON *c = item->child; c; c = c->next) {
                size_t h = 0;

                if (!measure(r, c, &h))
                        return false;
                tallest = h > tallest ? h : tallest;
        }
        *height = tallest + (cJSON_IsObject(item) || cJSON_IsArray(item));
        return true;
}

/* A copy of what an anchor stands for, for the container on top. */
static int copy_item(Reader *r, const cJSON *item, const yaml_mark_t *mark, cJSON **ret) {
        size_t height = 0;

        if (!measure(r, item, &height))
                return fail(r, mark, "the aliases and merge keys expand to too many values");
        if (r->depth + height > JSON_DEPTH_MAX)
                return fail(r, mark, "nested too deeply (at most 100 levels)");
        *ret = cJSON_Duplicate(item, true);
        return *ret ? 0 : err_oom(r->err);
}

/* ---- members ---- */

/* Takes the item, puts it into the container on top and sets the anchor on it. A collection in block style begins where
 * its key stands: its own first line is already one of its members. */
static int attach(Reader *r, cJSON *item, const yaml_mark_t *mark, bool block, const yaml_char_t *anchor) {
        Frame *f = top(r);

        if (!item)
                return err_oom(r->err);
        json_set_place(item, yaml_place(mark, r->first_line));
        if (!f) {
                r->root = item;
        } else if (f->merge) {
                (void)cJSON_AddItemToArray(r->dropped, item);
        } else {
                if (f->key && block)
                        json_set_place(item, f->key_place);
                free(item->string);
                item->string = TAKE_PTR(f->key);
                (void)cJSON_AddItemToArray(f->container, item);
                f->n++;
        }
        return anchor_set(r, anchor, item);
}

static int merge_mapping(Reader *r, Frame *f, const cJSON *source, const yaml_mark_t *mark) {
        for (const cJSON *c = source->child; c; c = c->next) {
                cJSON *copy = NULL;
                int q = copy_item(r, c, mark, &copy);

                if (q < 0)
                        return q;
                copy->valueint = 1;
                (void)cJSON_AddItemToArray(f->container, copy);
                f->n++;
        }
        f->merged = true;
        return 0;
}

/* Of several mappings the first wins, so they are merged from the last on. */
static int merge(Reader *r, Frame *f, const cJSON *source, bool list, const yaml_mark_t *mark) {
        f->merge = false;
        if (cJSON_IsObject(source))
                return merge_mapping(r, f, source, mark);
        if (!cJSON_IsArray(source) || !list)
                return fail(r, mark, "the merge key << needs a mapping, or a list of mappings");
        for (const cJSON *c = source->child ? source->child->prev : NULL; c; c = c == source->child ? NULL : c->prev) {
                int q;

                if (!cJSON_IsObject(c))
                        return fail(r, mark, "the merge key << needs a mapping, or a list of mappings");
                q = merge_mapping(r, f, c, mark);
                if (q < 0)
                        return q;
        }
        return 0;
}

/* ---- duplicate keys ---- */

/* A key that a later explicit one overrides after a merge is what merging is for; everything else is told. */
static void drop(Reader *r, Frame *f, cJSON *item, const cJSON *kept) {
        if (r->duplicate && !item->valueint)
                r->duplicate(r->user, item->string, json_place(item), json_place(kept));
        (void)cJSON_AddItemToArray(r->dropped, cJSON_DetachItemViaPointer(f->container, item));
}

static int compare_members(const void *a, const void *b) {
        const Member *x = a, *y = b;
        int c = strcmp(x->item->string, y->item->string);

        return c ? c : (x->order > y->order) - (x->order < y->order);
}

static int drop_duplicates_sorted(Reader *r, Frame *f) {
        size_t n = 0;

        for (cJSON *c = f->container->child; c; c = c->next) {
                if (!ARRAY_GROW(r->members, n, r->cap_members))
                        return err_oom(r->err);
                r->members[n] = (Member){ c, n };
                n++;
        }
        qsort(r->members, n, sizeof(*r->members), compare_members);
        for (size_t i = 0, last; i < n; i = last + 1) {
                for (last = i; last + 1 < n && streq(r->members[i].item->string, r->members[last + 1].item->string);)
                        last++;
                for (size_t k = i; k < last; k++)
                        drop(r, f, r->members[k].item, r->members[last].item);
        }
        return 0;
}

/* The last of equal keys stays. */
static int drop_duplicates(Reader *r, Frame *f) {
        enum { FEW = 16 };
        cJSON *next;

        if (f->n > FEW)
                return drop_duplicates_sorted(r, f);
        for (cJSON *item = f->container->child; item; item = next) {
                const cJSON *last = NULL;

                next = item->next;
                for (const cJSON *c = next; c; c = c->next)
                        if (c->string[0] == item->string[0] && streq(c->string, item->string))
                                last = c;
                if (last)
                        drop(r, f, item, last);
        }
        return 0;
}

/* ---- events ---- */

static int on_key(Reader *r, Frame *f, const yaml_event_t *event) {
        static const char merge_tag[] = "tag:yaml.org,2002:merge";
        const char *tag = (const char *)event->data.scalar.tag;
        cJSON *item;
        Scalar s;
        int q;

        f->key_place = yaml_place(&event->start_mark, r->first_line);
        if (streq((const char *)event->data.scalar.value, "<<") &&
            (event->data.scalar.plain_implicit || streq(tag, merge_tag))) {
                f->merge = true;
                return 0;
        }
        q = yaml_scalar(event, &r->scratch, &s, r->err);
        if (q >= 0)
                q = yaml_scalar_key(&s, &f->key, r->err);
        if (q < 0)
                return fail_at(r, &event->start_mark, q);
        if (!event->data.scalar.anchor)
                return 0;
        item = yaml_scalar_item(&s);
        if (!item)
                return err_oom(r->err);
        (void)cJSON_AddItemToArray(r->dropped, item);
        return anchor_set(r, event->data.scalar.anchor, item);
}

static int on_scalar(Reader *r, const yaml_event_t *event) {
        Frame *f = top(r);
        Scalar s;
        int q;

        if (wants_key(f))
                return on_key(r, f, event);
        if (f && f->merge)
                return fail(r, &event->start_mark, "the merge key << needs a mapping, or a list of mappings");
        q = yaml_scalar(event, &r->scratch, &s, r->err);
        if (q < 0)
                return fail_at(r, &event->start_mark, q);
        if (s.kind == SCALAR_INF || s.kind == SCALAR_MINUS_INF || s.kind == SCALAR_NAN)
                return fail(r, &event->start_mark, "no number can be infinite or .nan here: quote it if it is text");
        return attach(r, yaml_scalar_item(&s), &event->start_mark, false, event->data.scalar.anchor);
}

static int on_alias(Reader *r, const yaml_event_t *event) {
        Frame *f = top(r);
        cJSON *item = NULL, *copy = NULL;
        int q = anchor_get(r, event, &item);

        if (q < 0)
                return q;
        if (wants_key(f)) {
                Scalar s = yaml_item_scalar(item);

                if (cJSON_IsObject(item) || cJSON_IsArray(item))
                        return fail(r, &event->start_mark, "a list or a mapping cannot be a key");
                f->key_place = yaml_place(&event->start_mark, r->first_line);
                q = yaml_scalar_key(&s, &f->key, r->err);
                return q < 0 ? fail_at(r, &event->start_mark, q) : 0;
        }
        if (f && f->merge)
                return merge(r, f, item, false, &event->start_mark);
        q = copy_item(r, item, &event->start_mark, &copy);
        if (q < 0)
                return q;
        return attach(r, copy, &event->start_mark, false, NULL);
}

static int on_start(Reader *r, cJSON *container, const yaml_event_t *event, bool block, const yaml_char_t *anchor) {
        _cleanup_json_ cJSON *owned = container;
        int q;

        if (wants_key(top(r)))
                return fail(r, &event->start_mark,
                            "a list or a mapping cannot be a key (is this an unrendered template, {{ ... }}?)");
        if (r->depth == JSON_DEPTH_MAX)
                return fail(r, &event->start_mark, "nested too deeply (at most 100 levels)");
        q = attach(r, TAKE_PTR(owned), &event->start_mark, block, anchor);
        if (q < 0)
                return q;
        r->frames[r->depth++] = (Frame){ .container = container };
        return 0;
}

static int on_end(Reader *r, const yaml_event_t *event) {
        Frame *f = top(r), *parent;
        int q = 0;

        if (cJSON_IsObject(f->container) && f->n > 1)
                q = drop_duplicates(r, f);
        if (f->merged)
                for (cJSON *c = f->container->child; c; c = c->next)
                        c->valueint = 0;
        r->depth--;
        parent = top(r);
        if (q < 0 || !parent || !parent->merge)
                return q;
        return merge(r, parent, f->container, true, &event->start_mark);
}

/* A document that is null is an empty one. Anchors end with their document. */
static int on_document_end(Reader *r) {
        _cleanup_json_ cJSON *root = TAKE_PTR(r->root);

        tdestroy(r->anchors, free);
        r->anchors = NULL;
        cJSON_Delete(r->dropped->child);
        r->dropped->child = NULL;
        if (!root || cJSON_IsNull(root))
                return 0;
        if (!ARRAY_GROW(r->out->documents, r->out->n, r->out->cap))
                return err_oom(r->err);
        r->out->documents[r->out->n++].root = TAKE_PTR(root);
        return 0;
}

static int on_event(Reader *r, const yaml_event_t *event) {
        switch (event->type) {
        case YAML_SCALAR_EVENT:
                return on_scalar(r, event);
        case YAML_ALIAS_EVENT:
                return on_alias(r, event);
        case YAML_SEQUENCE_START_EVENT:
                return on_start(r, cJSON_CreateArray(), event,
                                event->data.sequence_start.style == YAML_BLOCK_SEQUENCE_STYLE,
                                event->data.sequence_start.anchor);
        case YAML_MAPPING_START_EVENT:
                return on_start(r, cJSON_CreateObject(), event,
                                event->data.mapping_start.style == YAML_BLOCK_MAPPING_STYLE,
                                event->data.mapping_start.anchor);
        case YAML_SEQUENCE_END_EVENT:
        case YAML_MAPPING_END_EVENT:
                return on_end(r, event);
        case YAML_DOCUMENT_END_EVENT:
                return on_document_end(r);
        default:
                return 0;
        }
}

/* Gives libyaml the text, with a line end behind its last line if it lacks one: Kubernetes reads line by line and does
 * so too, which matters where a file ends in a block of text. */
static int give_input(void *user, unsigned char *buffer, size_t size, size_t *ret_size) {
        Reader *r = user;
        bool cut = r->len > 0 && r->text[r->len - 1] != '\n';
        size_t n = r->given < r->len ? r->len - r->given : 0;

        n = n < size ? n : size;
        memcpy(buffer, r->text + (n > 0 ? r->given : 0), n);
        r->given += n;
        if (n < size && cut && r->given == r->len) {
                buffer[n++] = '\n';
                r->given++;
        }
        *ret_size = n;
        return 1;
}

static int read_events(Reader *r) {
        for (size_t n = 0;;) {
                yaml_event_t event;
                bool end;
                int q;

                if (!yaml_parser_parse(&r->parser, &event))
                        return yaml_explain(&r->parser, r->text, r->len, r->first_line, r->ret_place, r->err);
                q = ++n > YAML_ITEMS_MAX ? fail_at(r, &event.start_mark, err_set(r->err, -EBADMSG, "too many values"))
                                         : on_event(r, &event);
                end = event.type == YAML_STREAM_END_EVENT;
                yaml_event_delete(&event);
                if (q < 0 || end)
                        return q;
        }
}

int yaml_read_documents(const char *text, size_t len, unsigned first_line, JsonDuplicate duplicate, void *user,
                        YamlStream *ret, Place *ret_place, Err *err) {
        Reader r = { .text = text,
                     .len = len,
                     .first_line = first_line,
                     .duplicate = duplicate,
                     .user = user,
                     .out = ret,
                     .ret_place = ret_place,
                     .err = err };
        int q = yaml_check_text(text, len, first_line, ret_place, err);

        if (q < 0)
                return q;
        if (!yaml_parser_initialize(&r.parser))
                return err_oom(err);
        yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
        yaml_parser_set_input(&r.parser, give_input, &r);
        r.dropped = cJSON_CreateArray();
        q = r.dropped ? read_events(&r) : err_oom(err);
        reader_done(&r);
        return q;
}
