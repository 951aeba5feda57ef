/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP over TLS: libcurl's multi interface on an sd-event loop. Knows nothing of Kubernetes.
 *
 * HTTP/2 where the server offers it (requests then share one connection), else HTTP/1.1 with keep-alive; gzip; https
 * only, TLS 1.2 or newer, the server's certificate and name always verified unless the identity says otherwise;
 * redirects are not followed; no cookies, no netrc, no proxy variables of the environment unless configured. Nothing
 * blocks: names are resolved by libcurl's threads. The program ignores SIGPIPE: libcurl leaves signals alone. */
#pragma once

#include "base/err.h"

#include <systemd/sd-event.h>

typedef struct Http Http;

/* What connections are made with; all of it is copied. */
typedef struct HttpIdentity {
        const char *ca; /* PEM; NULL: the host's certificates */
        size_t ca_len;
        const char *cert, *key; /* PEM; NULL: no client certificate */
        size_t cert_len, key_len;
        const char *tls_server_name; /* the name in the server's certificate (SNI as well); NULL: the URL's host */
        bool insecure;               /* do not verify */
        const char *proxy;           /* URL; NULL: none, whatever the environment says; "": as the environment says */
        const char *user_agent;
} HttpIdentity;

/* Connections and names are kept from request to request. -ENOMEM, or an errno of sd-event. */
int http_new(sd_event *loop, Http **ret);

/* Cancels what is under way. */
Http *http_free(Http *h);
DEFINE_CLEANUP(Http *, http_free)
#define _cleanup_http_ _cleanup_(http_freep)

/* Requests started later use it, on connections of their own; those under way go on as they are. 0 or -ENOMEM. */
int http_set_identity(Http *h, const HttpIdentity *identity);

typedef struct HttpRequest {
        const char *method; /* "GET", "POST" */
        const char *url;    /* https://... */
        const char *accept; /* or NULL */
        const char *token;  /* Authorization: Bearer; or NULL */
        const char *body;   /* NULL: none */
        size_t body_len;
        const char *content_type; /* of the body */
        int64_t connect_timeout;  /* milliseconds until the connection stands (name, TCP, TLS); 0: 10 s */
        int64_t timeout;          /* for all of it; 0: no limit */
        int64_t silence;          /* without a byte of the answer it is dead: -ETIMEDOUT; 0: no limit */
        size_t max_body;          /* bytes of the body after decompression; more is -EFBIG; 0: no limit (a stream) */
} HttpRequest;

typedef struct HttpHead {
        int status;
        const char *content_type; /* "" where there is none */
        int64_t retry_after;      /* milliseconds (seconds form and date form), at most an hour; -1: not said */
} HttpHead;

/* Called from the loop, never from within http_start. Any of them may be NULL, and may cancel this or another call, or
 * start one. */
typedef struct HttpHandler {
        void (*head)(void *user, const HttpHead *head);         /* once, before the body; not for 1xx */
        int (*data)(void *user, const char *bytes, size_t len); /* < 0 ends the call with that result */
        /* Once, at the end, unless cancelled: 0 where the answer came to its regular end (that of the connection, if
         * the answer has no length of its own); -ECONNREFUSED, -ECONNRESET (closed early, half an answer), -ETIMEDOUT,
         * -EHOSTUNREACH (name or route), -EPROTO (TLS: the message tells the certificate's fault; or no HTTP), -EFBIG,
         * -ENOMEM, what data returned, or -EIO. why: one line, "" for 0. */
        void (*end)(void *user, int result, const char *why);
} HttpHandler;

typedef struct HttpCall HttpCall;

/* 0 and a call that lasts until its end was told or it is cancelled; -EINVAL for a URL that is not https; -ENOMEM. */
int http_start(Http *h, const HttpRequest *request, const HttpHandler *handler, void *user, HttpCall **ret);

/* No handler is called any more; NULL is fine. */
HttpCall *http_cancel(HttpCall *call);

/* Bytes received (as on the wire, bodies compressed) and requests sent since the start. */
typedef struct HttpCounters {
        uint64_t bytes, requests, connections;
} HttpCounters;
HttpCounters http_counters(const Http *h);
