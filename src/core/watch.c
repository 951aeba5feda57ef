/* SPDX-License-Identifier: Apache-2.0 */
#include "core/watch.h"

#include <errno.h>

enum {
        SHOWN_MAX = 60,       /* bytes of what came instead of an event */
        KEPT_MAX = 64 * 1024, /* an idle watch keeps no larger buffer */
};

static const char *const type_names[] = {
        [WATCH_ADDED] = "ADDED",       [WATCH_MODIFIED] = "MODIFIED", [WATCH_DELETED] = "DELETED",
        [WATCH_BOOKMARK] = "BOOKMARK", [WATCH_ERROR] = "ERROR",
};

void watch_parser_init(WatchParser *p, size_t max) {
        *p = (WatchParser){ .max = max };
}

void watch_parser_done(WatchParser *p) {
        buf_done(&p->pending);
        *p = (WatchParser){ .max = p->max };
}

bool watch_is_whole(const WatchParser *p) {
        return p->depth == 0;
}

static int garbage(Err *err, const char *text, size_t len, const char *why) {
        char shown[SHOWN_MAX + 1] = "";
        size_t n = len < SHOWN_MAX ? len : SHOWN_MAX;

        for (size_t i = 0; i < n; i++)
                shown[i] = text[i] ? text[i] : ' ';
        return err_set(err, -EBADMSG, "not a stream of events: %s: %s%s", why, shown, len > n ? "..." : "");
}

static bool find_type(const char *name, WatchEventType *ret) {
        for (size_t i = 0; i < ARRAY_SIZE(type_names); i++) {
                if (!streq(type_names[i], name))
                        continue;
                *ret = (WatchEventType)i;
                return true;
        }
        return false;
}

static int handle(const char *text, size_t len, WatchHandler handler, void *user, Err *err) {
        _cleanup_json_ cJSON *root = NULL;
        WatchEvent event;
        Err why = { 0 };
        int r;

        r = json_parse(text, len, (Place){ .line = 1, .column = 1 }, NULL, NULL, &root, NULL, NULL, &why);
        if (r == -ENOMEM)
                return err_oom(err);
        if (r < 0)
                return garbage(err, text, len, why.message);
        event.object = json_get_mutable(root, "object");
        if (!find_type(json_string(root, "type"), &event.type) || !cJSON_IsObject(event.object))
                return garbage(err, text, len, "an event has a known type and an object");
        return handler(user, &event);
}

static int handle_pending(WatchParser *p, WatchHandler handler, void *user, Err *err) {
        int r = p->pending.failed ? err_oom(err) : handle(p->pending.data, p->pending.len, handler, user, err);

        if (p->pending.cap > KEPT_MAX)
                buf_done(&p->pending);
        else
                buf_reset(&p->pending);
        return r;
}

/* True where c is the last byte of an event. */
static bool is_end(WatchParser *p, char c) {
        if (p->in_string) {
                if (p->escaped)
                        p->escaped = false;
                else if (c == '\\')
                        p->escaped = true;
                else if (c == '"')
                        p->in_string = false;
                return false;
        }
        if (c == '"')
                p->in_string = true;
        else if (c == '{' || c == '[')
                p->depth++;
        else if (c == '}' || c == ']')
                return --p->depth == 0;
        return false;
}

static bool is_space(char c) {
        return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

int watch_feed(WatchParser *p, const char *bytes, size_t len, WatchHandler handler, void *user, Err *err) {
        size_t start = 0; /* of what belongs to the event and is not in `pending` */

        for (size_t i = 0; i < len; i++) {
                int r;

                if (p->depth == 0) {
                        start = i;
                        if (is_space(bytes[i]))
                                continue;
                        if (bytes[i] != '{')
                                return garbage(err, bytes + i, len - i, "an object is expected");
                }
                if (p->pending.len + (i - start) >= p->max)
                        return err_set(err, -EFBIG, "an event is larger than %zu bytes", p->max);
                if (!is_end(p, bytes[i]))
                        continue;
                if (p->pending.len == 0) {
                        r = handle(bytes + start, i + 1 - start, handler, user, err);
                } else {
                        buf_add(&p->pending, bytes + start, i + 1 - start);
                        r = handle_pending(p, handler, user, err);
                }
                if (r < 0)
                        return r;
        }
        if (p->depth > 0)
                buf_add(&p->pending, bytes + start, len - start);
        return p->pending.failed ? err_oom(err) : 0;
}
