/* SPDX-License-Identifier: Apache-2.0 */
/* The answer to a LIST. It may be larger than one JSON text may be, and a tree of all of it would take many times its
 * size: so its items are read one after the other. */
#include "core/reflector_internal.h"

#include <errno.h>

typedef struct Text {
        const char *at, *end;
} Text;

typedef struct ListHead {
        cJSON *kind, *api_version, *metadata;
        Text items; /* from its bracket on; at == NULL: none */
} ListHead;

static void list_head_done(ListHead *h) {
        cJSON_Delete(h->kind);
        cJSON_Delete(h->api_version);
        cJSON_Delete(h->metadata);
}

static int malformed(Err *err, const char *what) {
        return err_set(err, -EBADMSG, "malformed JSON: %s", what);
}

static int peek(Text *t) {
        while (t->at < t->end && memchr(" \t\r\n", *t->at, 4))
                t->at++;
        return t->at < t->end ? (unsigned char)*t->at : -1;
}

/* Goes behind a value, which is only measured. False where it does not end. */
static bool skip_value(Text *t, Text *ret) {
        size_t depth = 0;
        bool in_string = false;

        (void)peek(t);
        ret->at = t->at;
        for (; t->at < t->end; t->at++) {
                char c = *t->at;

                if (in_string) {
                        if (c == '\\' && t->at + 1 < t->end)
                                t->at++;
                        else if (c == '"')
                                in_string = false;
                } else if (c == '"') {
                        in_string = true;
                } else if (c == '{' || c == '[') {
                        depth++;
                        continue;
                } else if (depth == 0 && memchr(",}] \t\r\n", c, 7)) {
                        break;
                } else if (c == '}' || c == ']') {
                        depth--;
                } else {
                        continue;
                }
                if (depth == 0 && !in_string) {
                        t->at++;
                        break;
                }
        }
        ret->end = t->at;
        return depth == 0 && !in_string && ret->at < ret->end;
}

static int parse_value(Text value, cJSON **ret, Err *err) {
        Err why = { 0 };
        int r = json_parse(value.at, (size_t)(value.end - value.at), (Place){ 0 }, NULL, NULL, ret, NULL, NULL, &why);

        return r == -ENOMEM ? err_oom(err) : r < 0 ? malformed(err, why.message) : 0;
}

static int read_member(Text *t, ListHead *h, Err *err) {
        _cleanup_json_ cJSON *key = NULL, *value = NULL;
        cJSON **kept;
        Text text;
        int r;

        if (peek(t) != '"' || !skip_value(t, &text))
                return malformed(err, "a key is expected");
        r = parse_value(text, &key, err);
        if (r < 0)
                return r;
        if (peek(t) != ':')
                return malformed(err, "a colon is expected");
        t->at++;
        if (!skip_value(t, &text))
                return malformed(err, "a value is expected");
        if (streq(key->valuestring, "items")) {
                if (h->items.at)
                        return malformed(err, "items are there twice");
                h->items = text;
                return 0;
        }
        r = parse_value(text, &value, err);
        if (r < 0)
                return r;
        kept = streq(key->valuestring, "kind")         ? &h->kind
               : streq(key->valuestring, "apiVersion") ? &h->api_version
               : streq(key->valuestring, "metadata")   ? &h->metadata
                                                       : NULL;
        if (kept) {
                cJSON_Delete(*kept);
                *kept = TAKE_PTR(value);
        }
        return 0;
}

/* Calls member for each part of an object or a list; nothing may follow it. */
static int read_parts(Text *t, char open, char close, int (*part)(Text *t, void *user, Err *err), void *user,
                      Err *err) {
        if (peek(t) != open)
                return malformed(err, open == '{' ? "an object is expected" : "a list is expected");
        t->at++;
        if (peek(t) != close) {
                for (;;) {
                        int r = part(t, user, err);

                        if (r < 0)
                                return r;
                        if (peek(t) == close)
                                break;
                        if (peek(t) != ',')
                                return malformed(err, "a comma or the closing bracket is expected");
                        t->at++;
                }
        }
        t->at++;
        return peek(t) == -1 ? 0 : malformed(err, "nothing may follow");
}

static int head_part(Text *t, void *user, Err *err) {
        return read_member(t, user, err);
}

typedef struct Items {
        Reflector *reflector;
        const char *api_version; /* NULL: every item must have its own */
} Items;

static int item_part(Text *t, void *user, Err *err) {
        const Items *items = user;
        Reflector *r = items->reflector;
        _cleanup_json_ cJSON *object = NULL;
        ReflectorItem item = { 0 };
        Text text;
        int result;

        if (!skip_value(t, &text))
                return malformed(err, "a value is expected");
        result = parse_value(text, &object, err);
        if (result == 0)
                result = item_read(r, object, items->api_version, &item, err);
        if (result == 0)
                result = set_put(&r->pending, &item, 0, NULL, err);
        return result;
}

bool version_is_usable(const char *version) {
        return version && *version && strlen(version) <= REFLECTOR_VERSION_MAX;
}

/* Whether it is a list of what was asked for. */
static int check_head(const Reflector *r, const ListHead *h, Err *err) {
        const char *kind = cJSON_GetStringValue(h->kind), *version = json_string(h->metadata, "resourceVersion"),
                   *token = json_string(h->metadata, "continue");
        size_t n = strlen(r->kind);

        if (!kind || !(streq(kind, "List") || (strncmp(kind, r->kind, n) == 0 && streq(kind + n, "List"))))
                return err_set(err, -EBADMSG, "an object of kind %.80s", kind ? kind : "(none)");
        if (!*str_or_empty(cJSON_GetStringValue(h->api_version)))
                return err_set(err, -EBADMSG, "a list without apiVersion");
        if (!version_is_usable(version))
                return err_set(err, -EBADMSG, "a list without a usable resourceVersion");
        if (strlen(str_or_empty(token)) > REFLECTOR_TOKEN_MAX)
                return err_set(err, -EBADMSG, "a list with a continue token that is too long");
        if (!h->items.at || *h->items.at != '[')
                return err_set(err, -EBADMSG, "a list without items");
        return 0;
}

static int read_list(Reflector *r, const ListHead *h, char **ret_version, char **ret_token, Err *err) {
        Items items = { .reflector = r };
        const char *token = json_string(h->metadata, "continue");
        Text text = h->items;
        int result = check_head(r, h, err);

        if (result < 0)
                return result;
        if (!streq(h->kind->valuestring, "List"))
                items.api_version = h->api_version->valuestring;
        result = read_parts(&text, '[', ']', item_part, &items, err);
        if (result < 0)
                return result;
        *ret_version = strdup(json_string(h->metadata, "resourceVersion"));
        *ret_token = token && *token ? strdup(token) : NULL;
        return *ret_version && (*ret_token || !token || !*token) ? 0 : err_oom(err);
}

int reflector_read_list(Reflector *r, const char *text, size_t len, char **ret_version, char **ret_token, Err *err) {
        ListHead head = { 0 };
        Text t = { .at = text, .end = text + len };
        int result = read_parts(&t, '{', '}', head_part, &head, err);

        if (result == 0)
                result = read_list(r, &head, ret_version, ret_token, err);
        list_head_done(&head);
        return result;
}
