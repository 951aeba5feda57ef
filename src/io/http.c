/* SPDX-License-Identifier: Apache-2.0 */
#include "io/http_internal.h"

#include <errno.h>
#include <sys/epoll.h>
#include <time.h>

enum { CONNECTIONS_MAX = 100 }; /* kept for later requests: with HTTP/1.1 every watch has its own */

/* ---- libcurl's sockets and timer ---- */

static void settle(Http *h);

/* Lets libcurl do what is due, and tells those who came to their end. The pool may be gone afterwards. */
static void drive(HttpPool *p, curl_socket_t fd, int events) {
        Http *h = p->http;
        int running, left;
        CURLMsg *m;

        h->is_busy = true;
        if (curl_multi_socket_action(p->multi, fd, events, &running) != CURLM_OK)
                p->is_broken = true;
        while ((m = curl_multi_info_read(p->multi, &left))) {
                char *call = NULL;

                if (m->msg == CURLMSG_DONE && curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &call) == CURLE_OK)
                        http_call_finish((HttpCall *)(void *)call, m->data.result);
        }
        h->is_busy = false;
        settle(h);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *user) {
        int events = 0;

        (void)source;
        if (revents & (EPOLLIN | EPOLLHUP))
                events |= CURL_CSELECT_IN;
        if (revents & EPOLLOUT)
                events |= CURL_CSELECT_OUT;
        if (revents & EPOLLERR)
                events |= CURL_CSELECT_ERR;
        drive(user, fd, events);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *user) {
        (void)source, (void)usec;
        drive(user, CURL_SOCKET_TIMEOUT, 0);
        return 0;
}

/* libcurl wants to know of a socket. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *known) {
        HttpPool *p = user;
        sd_event_source *source = known;
        uint32_t events = 0;

        (void)easy;
        if (what == CURL_POLL_REMOVE) {
                sd_event_source_disable_unref(source);
                (void)curl_multi_assign(p->multi, fd, NULL);
                return 0;
        }
        if (what & CURL_POLL_IN)
                events |= EPOLLIN;
        if (what & CURL_POLL_OUT)
                events |= EPOLLOUT;
        if (source)
                return sd_event_source_set_io_events(source, events) < 0 ? -1 : 0;
        if (sd_event_add_io(p->http->loop, &source, fd, events, on_io, p) < 0)
                return -1;
        if (curl_multi_assign(p->multi, fd, source) != CURLM_OK) {
                sd_event_source_disable_unref(source);
                return -1;
        }
        return 0;
}

/* libcurl wants to be called after so many milliseconds; -1: no more. */
static int on_timeout(CURLM *multi, long timeout, void *user) {
        HttpPool *p = user;
        uint64_t now;

        (void)multi;
        if (timeout < 0)
                return sd_event_source_set_enabled(p->timer, SD_EVENT_OFF) < 0 ? -1 : 0;
        if (sd_event_now(p->http->loop, CLOCK_MONOTONIC, &now) < 0 ||
            sd_event_source_set_time(p->timer, timeout ? now + (uint64_t)timeout * 1000 : 0) < 0 ||
            sd_event_source_set_enabled(p->timer, SD_EVENT_ONESHOT) < 0)
                return -1;
        return 0;
}

/* ---- pools ---- */

static void call_remove(HttpCall *c) {
        if (c->is_added)
                (void)curl_multi_remove_handle(c->pool->multi, c->easy);
        c->is_added = false;
        *c->link = c->next;
        if (c->next)
                c->next->link = c->link;
        http_call_free(c);
}

static HttpPool *pool_free(HttpPool *p) {
        if (!p)
                return NULL;
        while (p->calls)
                call_remove(p->calls);
        curl_multi_cleanup(p->multi);
        sd_event_source_disable_unref(p->timer);
        http_identity_done(&p->identity);
        free(p);
        return NULL;
}
DEFINE_CLEANUP(HttpPool *, pool_free)

static int pool_new(Http *h, const HttpIdentity *identity, HttpPool **ret) {
        _cleanup_(pool_freep) HttpPool *p = calloc(1, sizeof(*p));
        CURLMcode code = CURLM_OK;
        int r;

        if (!p)
                return -ENOMEM;
        p->http = h;
        p->multi = curl_multi_init();
        if (!p->multi)
                return -ENOMEM;
        r = http_identity_copy(identity, &p->identity);
        if (r < 0)
                return r;
        r = sd_event_add_time(h->loop, &p->timer, CLOCK_MONOTONIC, 0, 1000, on_timer, p);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(p->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
#define SET(option, value) (code = code ? code : curl_multi_setopt(p->multi, option, value))
        SET(CURLMOPT_SOCKETFUNCTION, on_socket);
        SET(CURLMOPT_SOCKETDATA, p);
        SET(CURLMOPT_TIMERFUNCTION, on_timeout);
        SET(CURLMOPT_TIMERDATA, p);
        SET(CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
        SET(CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_MAX);
#undef SET
        if (code != CURLM_OK)
                return -ENOMEM;
        *ret = TAKE_PTR(p);
        return 0;
}

/* New requests take new connections. */
static int renew(Http *h, const HttpIdentity *identity) {
        HttpPool *p = NULL;
        int r = pool_new(h, identity, &p);

        if (r < 0)
                return r;
        p->next = h->pools;
        h->pools = p;
        return 0;
}

/* ---- calls ---- */

static int call_add(HttpCall *c) {
        if (c->pool->is_broken || curl_multi_add_handle(c->pool->multi, c->easy) != CURLM_OK)
                return -ENOMEM;
        c->is_added = true;
        c->state = HTTP_CALL_RUNNING;
        return 0;
}

static void call_tell(HttpCall *c) {
        c->state = HTTP_CALL_GONE;
        if (c->handler.end)
                c->handler.end(c->user, c->result, c->result < 0 ? c->why : "");
}

/* True if handlers were called, so that there may be more to do. */
static bool settle_pool(HttpPool *p) {
        bool told = false;

        /* Nothing is freed but here, and new calls come in front. */
        for (HttpCall *c = p->calls, *next; c; c = next) {
                if (p->is_broken && c->state == HTTP_CALL_RUNNING) {
                        http_call_fail(c, -EIO, "the connection was given up after an internal error");
                        c->state = HTTP_CALL_DONE;
                }
                if (c->state == HTTP_CALL_NEW && call_add(c) < 0) {
                        http_call_fail(c, -ENOMEM, "out of memory");
                        c->state = HTTP_CALL_DONE;
                }
                if (c->state == HTTP_CALL_DONE) {
                        call_tell(c);
                        told = true;
                }
                next = c->next;
                if (c->state == HTTP_CALL_GONE)
                        call_remove(c);
        }
        return told;
}

/* Does what could not be done within libcurl or a handler: starts, tells, frees. */
static void settle(Http *h) {
        bool again;

        if (h->is_busy)
                return;
        h->is_busy = true;
        do {
                again = false;
                for (HttpPool *p = h->pools; p; p = p->next)
                        again |= settle_pool(p);
        } while (again);
        if (h->pools->is_broken)
                (void)renew(h, &h->pools->identity);
        for (HttpPool **p = &h->pools->next; *p;) {
                HttpPool *old = *p;

                if (old->calls) {
                        p = &old->next;
                } else {
                        *p = old->next;
                        pool_free(old);
                }
        }
        h->is_busy = false;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *user) {
        HttpCall *c = user;
        Http *h = c->http;

        (void)source, (void)usec;
        if (c->state != HTTP_CALL_RUNNING || !http_call_is_late(c))
                return 0;
        /* A connection that has died without a word would swallow every request that shares it. */
        if (c->is_connected && c->pool == h->pools)
                (void)renew(h, &c->pool->identity);
        c->state = HTTP_CALL_DONE;
        settle(h);
        return 0;
}

int http_start(Http *h, const HttpRequest *request, const HttpHandler *handler, void *user, HttpCall **ret) {
        _cleanup_(http_call_freep) HttpCall *c = NULL;
        int r = http_call_new(h, &h->pools->identity, request, &c);

        if (r < 0)
                return r;
        c->handler = *handler;
        c->user = user;
        c->pool = h->pools;
        r = sd_event_add_time(h->loop, &c->timer, CLOCK_BOOTTIME, 0, 0, on_deadline, c);
        if (r < 0)
                return r;
        (void)http_call_is_late(c);
        if (!h->is_busy && call_add(c) < 0)
                return -ENOMEM;
        c->link = &h->pools->calls;
        c->next = *c->link;
        if (c->next)
                c->next->link = &c->next;
        *c->link = c;
        *ret = TAKE_PTR(c);
        return 0;
}

HttpCall *http_cancel(HttpCall *call) {
        if (!call)
                return NULL;
        call->state = HTTP_CALL_GONE;
        settle(call->http);
        return NULL;
}

/* ---- the whole ---- */

int http_new(sd_event *loop, Http **ret) {
        Http *h;
        int r;

        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return -ENOMEM;
        h = calloc(1, sizeof(*h));
        if (!h) {
                curl_global_cleanup();
                return -ENOMEM;
        }
        h->loop = sd_event_ref(loop);
        r = renew(h, &(HttpIdentity){ 0 });
        if (r < 0) {
                http_free(h);
                return r;
        }
        *ret = h;
        return 0;
}

Http *http_free(Http *h) {
        if (!h)
                return NULL;
        h->is_busy = true;
        while (h->pools) {
                HttpPool *p = h->pools;

                h->pools = p->next;
                pool_free(p);
        }
        sd_event_unref(h->loop);
        free(h);
        curl_global_cleanup();
        return NULL;
}

int http_set_identity(Http *h, const HttpIdentity *identity) {
        int r = renew(h, identity);

        if (r < 0)
                return r;
        settle(h);
        return 0;
}

HttpCounters http_counters(const Http *h) {
        return h->counters;
}
