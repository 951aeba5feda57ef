/* SPDX-License-Identifier: Apache-2.0 */
/* The stream of a WATCH: bytes in, events out, whatever the chunks (fed byte by byte it gives the same). Events follow
 * one another with or without white space between them, on one line or indented over many. Pure. */
#pragma once

#include "core/json.h"

typedef enum WatchEventType {
        WATCH_ADDED,
        WATCH_MODIFIED,
        WATCH_DELETED,
        WATCH_BOOKMARK,
        WATCH_ERROR,
} WatchEventType;

typedef struct WatchEvent {
        WatchEventType type;
        cJSON *object; /* owned by the parser; the handler may change it, or detach it from its parent */
} WatchEvent;

/* < 0 ends watch_feed with that result. */
typedef int (*WatchHandler)(void *user, WatchEvent *event);

typedef struct WatchParser {
        Buf pending;    /* an event that is not whole yet */
        size_t max;     /* bytes of one event */
        unsigned depth; /* of braces and brackets so far */
        bool in_string, escaped;
} WatchParser;

enum { WATCH_EVENT_MAX = 4 * 1024 * 1024 }; /* an object in etcd has 1.5 MiB at most; indented it is larger */

/* max: bytes of one event, white space inside it included. */
void watch_parser_init(WatchParser *p, size_t max);

/* Every complete event is handed on at once, in order. -EBADMSG: not the stream of a watch (err shows what came
 * instead, cut short and made printable): a text that is no JSON object, or one of an unknown `type` or without
 * `object`; -EFBIG; -ENOMEM; or what the handler returned. After a failure the parser is of no use until initialised
 * anew. */
int watch_feed(WatchParser *p, const char *bytes, size_t len, WatchHandler handler, void *user, Err *err);

/* Whether the stream may end here: nothing is half read. */
bool watch_is_whole(const WatchParser *p);

void watch_parser_done(WatchParser *p);
#define _cleanup_watch_parser_ _cleanup_(watch_parser_done)
