/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked for, and what a refusal means to the person who may grant it. */
#include "core/reflector_internal.h"

#include <stdio.h>

enum { SHOWN_MAX = 100 }; /* bytes of an answer that is no Status */

static void add_encoded(Buf *out, const char *text) {
        for (; *text; text++) {
                unsigned char c = (unsigned char)*text;
                bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                             strchr("-._~", c);

                if (plain)
                        buf_char(out, (char)c);
                else
                        buf_printf(out, "%%%02X", c);
        }
}

static void add_stream(const Reflector *r, Asking asking, unsigned seconds, Buf *out) {
        buf_printf(out, "watch=1&allowWatchBookmarks=true&timeoutSeconds=%u", seconds);
        if (asking == ASKING_STREAM) {
                buf_str(out, "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
                return;
        }
        buf_str(out, "&resourceVersion=");
        add_encoded(out, r->version);
}

char *reflector_make_target(const Reflector *r, Asking asking, unsigned seconds) {
        _cleanup_buf_ Buf out = BUF_INIT;

        buf_str(&out, r->resource);
        if (asking != ASKING_LIST) {
                buf_char(&out, r->selector ? '&' : '?');
                add_stream(r, asking, seconds, &out);
                return buf_take(&out, NULL);
        }
        if (!r->unpaged || r->token)
                buf_printf(&out, "%climit=%d", r->selector ? '&' : '?', REFLECTOR_PAGE);
        if (r->token) {
                buf_str(&out, "&continue=");
                add_encoded(&out, r->token);
        }
        return buf_take(&out, NULL);
}

/* ---- refusals ---- */

/* The parts of a path: /api/VERSION/... or /apis/GROUP/VERSION/..., namespaces/NAMESPACE/ or not, the resource. */
typedef struct PathParts {
        const char *group, *namespace;
        int group_len, namespace_len; /* 0: the core group; the whole cluster */
        const char *resource;
} PathParts;

static int part_len(const char *s) {
        return (int)strcspn(s, "/");
}

static PathParts split_path(const char *path) {
        PathParts p = { .group = "", .namespace = "" };
        const char *last = strrchr(path, '/'), *in = strstr(path, "/namespaces/");

        p.resource = last ? last + 1 : path;
        if (startswith(path, "/apis/")) {
                p.group = path + strlen("/apis/");
                p.group_len = part_len(p.group);
        }
        if (in && in + strlen("/namespaces/") < p.resource) {
                p.namespace = in + strlen("/namespaces/");
                p.namespace_len = part_len(p.namespace);
        }
        return p;
}

/* The name that the field selector asks for; "" where it asks for none. */
static const char *selected_name(const Reflector *r, int *ret_len) {
        static const char *const keys[] = { "metadata.name%3D", "metadata.name%3d", "metadata.name=" };

        for (size_t i = 0; r->selector && i < ARRAY_SIZE(keys); i++) {
                const char *at = strstr(r->selector, keys[i]);

                if (!at)
                        continue;
                at += strlen(keys[i]);
                *ret_len = (int)strcspn(at, "%&,");
                return at;
        }
        *ret_len = 0;
        return "";
}

bool reflector_asked_for(const Reflector *r, const char *namespace, const char *name) {
        PathParts p = split_path(r->path);
        int name_len;
        const char *wanted = selected_name(r, &name_len);

        if (p.namespace_len > 0 && (strlen(namespace) != (size_t)p.namespace_len ||
                                    strncmp(namespace, p.namespace, (size_t)p.namespace_len) != 0))
                return false;
        return name_len == 0 || (strlen(name) == (size_t)name_len && strncmp(name, wanted, (size_t)name_len) == 0);
}

static void explain_forbidden(Reflector *r) {
        PathParts p = split_path(r->path);
        int name_len;
        const char *name = selected_name(r, &name_len);
        bool in = p.namespace_len > 0, grouped = p.group_len > 0, named = name_len > 0;

        (void)err_set(&r->problem, 0,
                      "forbidden: this identity may not %s %.100s%s%.*s%s%.*s; add to its %s: {apiGroups: [%.*s], "
                      "resources: [%.100s], verbs: [get, list, watch]%s%.*s%s}",
                      r->asking == ASKING_LIST ? "list" : "watch", p.resource, grouped ? "." : "", p.group_len, p.group,
                      in ? " in namespace " : "", p.namespace_len, p.namespace, in ? "Role" : "ClusterRole",
                      grouped ? p.group_len : 2, grouped ? p.group : "\"\"", p.resource,
                      named ? ", resourceNames: [" : "", name_len, name, named ? "]" : "");
}

/* What the server says, for a person: the message of a Status, or how the answer begins. */
static void say(const Reflector *r, char shown[static ERR_MAX / 2]) {
        _cleanup_json_ cJSON *status = NULL;
        const char *message;
        size_t n = r->body.len < SHOWN_MAX ? r->body.len : SHOWN_MAX;

        shown[0] = 0;
        if (r->body.len > 0)
                (void)json_parse(r->body.data, r->body.len, (Place){ 0 }, NULL, NULL, &status, NULL, NULL, NULL);
        message = json_string(status, "message");
        if (message) {
                (void)snprintf(shown, ERR_MAX / 2, "%s", message);
        } else {
                for (size_t i = 0; i < n; i++)
                        shown[i] = r->body.data[i] ? r->body.data[i] : ' ';
                shown[n] = 0;
        }
}

void reflector_explain_answer(Reflector *r) {
        char shown[ERR_MAX / 2];

        r->problem.message[0] = 0;
        say(r, shown);
        switch (r->answer) {
        case 401:
                (void)err_set(&r->problem, 0,
                              "the server does not accept this identity (token or certificate expired?)");
                return;
        case 403:
                explain_forbidden(r);
                return;
        case 404:
                (void)err_set(&r->problem, 0, "the server has no such resource; it answered 404%s%s",
                              *shown ? ": " : "", shown);
                return;
        default:
                (void)err_set(&r->problem, 0, "the server answered %d%s%s", r->answer, *shown ? ": " : "", shown);
        }
}
