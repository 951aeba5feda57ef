/* SPDX-License-Identifier: Apache-2.0 */
/* A reflector (the field's word: client-go's LIST and WATCH) of one collection or of one named object of the API
 * server, as a machine without sockets: it says what to ask for and when, is fed the answer, and holds the last
 * complete snapshot with what is known about its truth. Pure: time (milliseconds of a clock that never jumps) and
 * randomness are parameters.
 *
 * Asking. First a streaming list (WATCH with sendInitialEvents), which a server that has none refuses (400, 404, 405,
 * 422, an ERROR event, a bookmark or the end of the watch before the list is complete, or a minute without that): then,
 * and after any other failure of a streaming list that the server answered (but 401 and 429), LIST in pages of
 * REFLECTOR_PAGE, and WATCH with bookmarks from the resourceVersion of the list. A continue token that expired (410)
 * starts the list anew, at most twice in a row, then without pages. 410 (as a status or as an ERROR event) lists anew
 * at once the first time, with back-off when it happens again; so does a bookmark from before what was said already,
 * and then the list is suspect. A watch that ends regularly is resumed from the last resourceVersion at once, but with
 * back-off when it is the second in a row that did not live for REFLECTOR_CALM, or lived for less than a second; one
 * that was cut, after a back-off; one that was silent for REFLECTOR_SILENCE or brought what cannot be read lists anew,
 * after a back-off. 429 and 503 with Retry-After wait for as long, and not less than the back-off. The back-off starts
 * over when a watch has lived for REFLECTOR_CALM.
 *
 * Evidence. Only a complete 200 list of this very resource (right kind, every item readable) or a DELETED event says
 * that something is gone. After every other outcome (401, 403, 404, 5xx, what is no JSON, half an answer, garbage in
 * the stream) the snapshot stays and the state is STALE, until a list, an event or a bookmark comes, or a watch is
 * resumed from where it was. A list is suspect if it is empty where there was something, or its resourceVersion is
 * lower than the last one seen, or reflector_suspect was called: what it adds and changes counts, what it lacks stays
 * (Item.doubted) until lists and events have said the same for REFLECTOR_DOUBT. A single object has no such doubt,
 * since nothing is removed when it is missing; its owner looks after that. Neither has what is fleeting: it goes all
 * the time, and nothing of it is doubted for any of these reasons. */
#pragma once

#include "base/hash.h"
#include "core/json.h"

enum {
        REFLECTOR_PAGE = 50,              /* objects of one page of a list */
        REFLECTOR_ANSWER_MAX = 16 << 20,  /* bytes of one list's answer, and of the objects that are kept */
        REFLECTOR_SINGLE_MAX = 4 << 20,   /* of the answer about a single object */
        REFLECTOR_ITEMS_MAX = 10000,      /* of one collection: more is an error, and the snapshot stays */
        REFLECTOR_SILENCE = 130 * 1000,   /* two bookmark intervals */
        REFLECTOR_CALM = 60 * 1000,       /* a watch that lived so long was a good one */
        REFLECTOR_DOUBT = 10 * 60 * 1000, /* until a suspect answer is believed */
        REFLECTOR_POLL = 60 * 1000,       /* between two lists where there is no watch; more or less by a fifth */
        REFLECTOR_FORBIDDEN = 60 * 1000,  /* the shortest pause after 401 and 403, but not after the first ones: */
        REFLECTOR_REFUSALS = 3,           /* a server that starts does not know its RBAC rules yet */
        REFLECTOR_WATCH_MIN = 5 * 60,     /* seconds that a watch asks for: drawn from [MIN, 2 * MIN] */
};

typedef enum ReflectorState {
        REFLECTOR_UNREAD,  /* no snapshot */
        REFLECTOR_LIVE,    /* the snapshot is what the server says */
        REFLECTOR_STALE,   /* the snapshot was true once: from the cache, or the server cannot be asked now */
        REFLECTOR_SUSPECT, /* live, but something that it lacks is kept */
} ReflectorState;
const char *reflector_state_name(ReflectorState s); /* "Unread", "Live", "Stale", "SuspectList" */

typedef struct ReflectorSpec {
        const char *path;     /* "/api/v1/nodes", "/apis/apps/v1/namespaces/kube-system/daemonsets" */
        const char *selector; /* "fieldSelector=metadata.name%3Dnode-a", "labelSelector=..."; NULL: none */
        const char *kind;     /* of the items: "DaemonSet" */
        bool single;          /* one object by its name */
        bool fleeting;        /* what comes and goes by itself: a list is believed at once, nothing is doubted */
        bool poll;            /* LIST now and then, no WATCH */
        /* What is worth keeping of an object: takes away the rest. Returns false when out of memory. NULL: everything.
         * metadata.managedFields and metadata.resourceVersion are never kept. */
        bool (*reduce)(cJSON *object);
} ReflectorSpec;

/* One object of the snapshot. */
typedef struct ReflectorItem {
        char *namespace, *name; /* namespace "" where there is none */
        char *uid, *resource_version;
        char *bytes; /* canonical JSON, with apiVersion and kind, after `reduce` */
        size_t len;
        char digest[HASH_HEX + 1]; /* of the bytes */
        bool doubted;              /* the server no longer lists it, but that is not believed yet */
        int64_t doubted_since;     /* -1 where it is not */
} ReflectorItem;

typedef struct Reflector Reflector;

/* Copies the strings. NULL: out of memory. */
Reflector *reflector_new(const ReflectorSpec *spec);
Reflector *reflector_free(Reflector *r);
DEFINE_CLEANUP(Reflector *, reflector_free)
#define _cleanup_reflector_ _cleanup_(reflector_freep)

/* path?selector: what it is known by. */
const char *reflector_resource(const Reflector *r);

/* Whether the server is known to have streaming lists, or to have none: reflectors of one server share what they learn.
 */
typedef enum Streaming { STREAMING_UNKNOWN, STREAMING_YES, STREAMING_NO } Streaming;
void reflector_set_streaming(Reflector *r, Streaming s);
Streaming reflector_streaming(const Reflector *r);

/* From WATCH to polling and back; takes effect with the next request, a running watch is for the caller to cancel. */
void reflector_set_poll(Reflector *r, bool poll);

/* ---- asking ---- */

/* When a request is due: milliseconds of the clock; -1 while one is under way. A new reflector's is due at once. */
int64_t reflector_due(const Reflector *r);

typedef struct ReflectorRequest {
        char *target;    /* path and query, for a GET; valid until the next request */
        bool stream;     /* it may last: REFLECTOR_SILENCE is its limit, and its size has none */
        int64_t timeout; /* of the whole, milliseconds */
} ReflectorRequest;

/* Begins the request that is due; none is under way. 0 or -ENOMEM (then it is due again later). */
int reflector_begin(Reflector *r, int64_t now, uint32_t random, ReflectorRequest *ret);

/* Its answer. head comes first, but may be missing; data any number of times (< 0: end the call; tell reflector_end
 * this result); end once: result 0 where the answer is whole, else a negative errno and why. */
void reflector_head(Reflector *r, int status, int64_t retry_after);
int reflector_data(Reflector *r, const char *bytes, size_t len, int64_t now);
void reflector_end(Reflector *r, int result, const char *why, int64_t now, uint32_t random);

/* The request that is under way is given up (its call was cancelled), without fault: it is due again at once. */
void reflector_abort(Reflector *r, int64_t now);

/* Asks again now, whatever the back-off: the server was heard of. Nothing while a request is under way. */
void reflector_hurry(Reflector *r, int64_t at);

/* The next list may be another cluster's: it is suspect whatever it says, and comes before the next watch. What is
 * under way is for the caller to cancel. */
void reflector_suspect(Reflector *r);

/* Moves doubts on: true if the snapshot changed. When to call next: reflector_doubt_ends (-1: nothing is doubted, or
 * the server has said nothing since it could not be asked; it changes with what reflector_data and reflector_end
 * bring). */
bool reflector_settle_doubts(Reflector *r, int64_t now);
int64_t reflector_doubt_ends(const Reflector *r);

/* ---- what is known ---- */

ReflectorState reflector_state(const Reflector *r);

/* When the snapshot was last confirmed (list, event, bookmark), by the same clock; -1: never by this process. */
int64_t reflector_confirmed(const Reflector *r);

/* Grows with each change of the items (not of resourceVersions alone, not of the state). */
uint64_t reflector_generation(const Reflector *r);

/* By namespace and name. Valid until the next call that feeds or frees. */
const ReflectorItem *reflector_items(const Reflector *r, size_t *ret_n);
/* Of the snapshot; "" where there is none, or where the snapshot is of two minds (REFLECTOR_SUSPECT). */
const char *reflector_resource_version(const Reflector *r);

/* Why it is not live: one line, "" if it is. A 403 names the verb and the resource, and the rule to add to the role of
 * the identity. */
const char *reflector_problem(const Reflector *r);

/* The status of the last answer that was no success: 401, 403, 404, 410, 429, 5xx; 0: none, or no answer at all. */
int reflector_status(const Reflector *r);

/* ---- the cache ---- */

/* Takes over what the cache has, before the first request: then the state is STALE. items: array of objects; where
 * there are some and resource_version is "", they were in doubt, and the first list is suspect. Nothing of it counts if
 * one is unusable (-EBADMSG). -ENOMEM. */
int reflector_load(Reflector *r, const char *resource_version, const cJSON *items);

/* The items (doubted ones too) as the canonical text of an array. 0 or -ENOMEM. */
int reflector_store(const Reflector *r, Buf *out);
