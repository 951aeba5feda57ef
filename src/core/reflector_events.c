/* SPDX-License-Identifier: Apache-2.0 */
/* The events of a stream: of a watch, and of a streaming list until its end mark. */
#include "core/reflector_internal.h"

#include <errno.h>

typedef struct Reading {
        Reflector *reflector;
        int64_t now;
} Reading;

static int fault(Reflector *r, Fault f, int result) {
        r->fault = result == -ENOMEM ? FAULT_MEMORY : f;
        return result;
}

/* The position in the history. An event's may be older where a server says of a deleted object when it was last
 * written; the history does not go back for it. */
static int move_on(Reflector *r, const char *version) {
        char *copy;

        if (version_is_lower(version, r->version) || streq(version, r->version))
                return 0;
        copy = strdup(version);
        if (!copy)
                return fault(r, FAULT_MEMORY, err_oom(&r->why));
        free(r->version);
        r->version = copy;
        return 0;
}

static void confirm(Reflector *r, int64_t now) {
        r->live = r->sure = true;
        r->refusals = 0;
        r->status = 0;
        r->confirmed = r->heard = now;
}

/* An event of another object than the one of the item: of one of that name which is no more. */
static bool is_another(const ReflectorItem *item, const ReflectorItem *event) {
        return *item->uid && *event->uid && !streq(item->uid, event->uid);
}

static int change_set(Reflector *r, WatchEventType type, ReflectorItem *event) {
        bool listing = r->asking == ASKING_STREAM, changed = false;
        ItemSet *set = listing ? &r->pending : &r->set;
        ReflectorItem *item = set_find(set, event->namespace, event->name);
        bool doubted = item && item->doubted;
        int result = 0;

        if (type == WATCH_DELETED) {
                changed = item && !is_another(item, event);
                if (changed)
                        set_remove(set, item);
                else
                        doubted = false;
                item_done(event);
        } else {
                result = set_put(set, event, listing ? 0 : r->doubted, &changed, &r->why);
        }
        if (result < 0)
                return fault(r, FAULT_GARBAGE, result);
        if (!listing) {
                r->generation += changed;
                r->doubted -= doubted;
        }
        return 0;
}

static int read_change(Reading *reading, WatchEvent *e) {
        Reflector *r = reading->reflector;
        _cleanup_free_ char *version = NULL;
        ReflectorItem item = { 0 };
        int result = item_read(r, e->object, NULL, &item, &r->why);

        if (result < 0)
                return fault(r, FAULT_GARBAGE, result);
        if (!version_is_usable(item.resource_version)) {
                item_done(&item);
                return fault(r, FAULT_GARBAGE, err_set(&r->why, -EBADMSG, "an event without a usable resourceVersion"));
        }
        version = strdup(item.resource_version);
        if (!version) {
                item_done(&item);
                return fault(r, FAULT_MEMORY, err_oom(&r->why));
        }
        result = change_set(r, e->type, &item);
        if (result < 0)
                return result;
        if (r->asking == ASKING_STREAM) {
                r->heard = reading->now;
                return 0;
        }
        result = move_on(r, version);
        if (result == 0)
                confirm(r, reading->now);
        return result;
}

static int read_bookmark(Reading *reading, const WatchEvent *e) {
        Reflector *r = reading->reflector;
        const cJSON *metadata = json_get(e->object, "metadata");
        const char *version = json_string(metadata, "resourceVersion"),
                   *mark = json_string(json_get(metadata, "annotations"), "k8s.io/initial-events-end");
        int result;

        if (!version_is_usable(version) || !streq(json_string(e->object, "kind"), r->kind))
                return fault(r, FAULT_GARBAGE, err_set(&r->why, -EBADMSG, "a bookmark that cannot be read"));
        if (r->asking == ASKING_STREAM) {
                /* Before the end mark there are none, unless the server knows of no streaming lists. */
                if (!streq(mark, "true"))
                        return fault(r, FAULT_REFUSED,
                                     err_set(&r->why, -EBADMSG, "a watch instead of a streaming list"));
                result = reflector_take_list(r, version, reading->now, &r->why);
                if (result < 0)
                        return fault(r, FAULT_GARBAGE, result);
                r->streaming = STREAMING_YES;
                r->asking = ASKING_WATCH;
                r->plain = false;
                r->next = NEXT_WATCH;
                r->restarts = 0;
        } else if (version_is_lower(version, r->version)) {
                return fault(r, FAULT_BACKWARD,
                             err_set(&r->why, -ESTALE, "the server is at resourceVersion %.40s, and was at %.40s",
                                     version, r->version));
        } else {
                result = move_on(r, version);
                if (result < 0)
                        return result;
        }
        confirm(r, reading->now);
        return 0;
}

static int read_error(Reflector *r, const WatchEvent *e) {
        const char *message = json_string(e->object, "message"), *reason = json_string(e->object, "reason");
        int64_t code = 0;

        (void)json_int(json_get(e->object, "code"), &code);
        r->status = code >= 400 && code <= 599 ? (int)code : 0;
        (void)err_set(&r->why, 0, "the server ended the stream: %.300s", message ? message : "no reason given");
        if (code == 410 || streq(reason, "Expired") || streq(reason, "Gone"))
                return fault(r, FAULT_EXPIRED, -ESTALE);
        return fault(r, r->asking == ASKING_STREAM ? FAULT_REFUSED : FAULT_ERROR, -EIO);
}

static int read_event(void *user, WatchEvent *e) {
        Reading *reading = user;

        switch (e->type) {
        case WATCH_BOOKMARK:
                return read_bookmark(reading, e);
        case WATCH_ERROR:
                return read_error(reading->reflector, e);
        default:
                return read_change(reading, e);
        }
}

int reflector_read_events(Reflector *r, const char *bytes, size_t len, int64_t now) {
        Reading reading = { .reflector = r, .now = now };
        int result = watch_feed(&r->parser, bytes, len, read_event, &reading, &r->why);

        if (result < 0 && r->fault == FAULT_NONE)
                return fault(r, FAULT_GARBAGE, result);
        if (result == 0 && r->asking == ASKING_STREAM && now - r->began > REFLECTOR_STREAM_LIST)
                return fault(r, FAULT_REFUSED, err_set(&r->why, -ETIMEDOUT, "a streaming list that does not end"));
        return result;
}
