/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of http share. http.c: the loop, who runs and who is told; http_request.c: what libcurl is
 * told of a request; http_call.c: its answer and its time; http_identity.c: what connections are made with. */
#pragma once

#include "io/http.h"

#include <curl/curl.h>

typedef struct HttpPool HttpPool;

typedef enum HttpCallState {
        HTTP_CALL_NEW,     /* libcurl does not know it yet */
        HTTP_CALL_RUNNING, /* libcurl has it */
        HTTP_CALL_DONE,    /* the result is known, but not told */
        HTTP_CALL_GONE,    /* cancelled or told: nobody is called any more */
} HttpCallState;

struct HttpCall {
        Http *http;
        HttpPool *pool;
        HttpCall *next, **link; /* of the pool */
        CURL *easy;
        struct curl_slist *headers, *connect_to;
        HttpHandler handler;
        void *user;
        HttpCallState state;
        bool is_added; /* to the pool's libcurl handle */
        int result;
        char why[CURL_ERROR_SIZE + 128];
        char error[CURL_ERROR_SIZE]; /* libcurl's own message */

        sd_event_source *timer;
        int64_t armed; /* when the timer goes off; milliseconds of CLOCK_BOOTTIME, as all of these; INT64_MAX: never */
        int64_t started, last; /* last: when the connection stood, then when the last byte came */
        bool is_connected;
        bool is_doubted; /* it was late when the timer went off */
        int64_t connect_timeout, timeout, silence;

        long connections;      /* made for it so far */
        size_t body, max_body; /* bytes after decompression */
        curl_off_t received;   /* bytes of the body so far, as on the wire */
        bool head_told;
        int64_t retry_after;
};

/* Connections of one identity. */
struct HttpPool {
        Http *http;
        CURLM *multi;
        sd_event_source *timer; /* libcurl's */
        HttpIdentity identity;
        HttpCall *calls;
        HttpPool *next;
        bool is_broken; /* libcurl's handle is of no more use */
};

struct Http {
        sd_event *loop;
        HttpPool *pools; /* the first one is for new requests; the others last as long as their calls */
        HttpCounters counters;
        bool is_busy; /* within libcurl or a handler: nothing may be added, removed or freed now */
};

int http_identity_copy(const HttpIdentity *identity, HttpIdentity *ret);
void http_identity_done(HttpIdentity *identity); /* wipes the key */

/* 0, -EINVAL or -ENOMEM. Known to neither libcurl's multi handle nor the pool yet. */
int http_call_new(Http *h, const HttpIdentity *identity, const HttpRequest *request, HttpCall **ret);

/* Everything of it that the caller said. 0, -EINVAL or -ENOMEM. */
int http_request_set(HttpCall *c, const HttpIdentity *identity, const HttpRequest *request);

/* It is in no pool and no multi handle any more. */
HttpCall *http_call_free(HttpCall *c);
DEFINE_CLEANUP(HttpCall *, http_call_free)

/* libcurl is done with it. */
void http_call_finish(HttpCall *c, CURLcode code);

/* The result, unless there is one already. */
void http_call_fail(HttpCall *c, int result, const char *format, ...) _printf_(3, 4);

/* Ends it if its time has come: true; else sets the timer. */
bool http_call_is_late(HttpCall *c);
