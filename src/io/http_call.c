/* SPDX-License-Identifier: Apache-2.0 */
#include "io/clock.h"
#include "io/http_internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

enum { /* milliseconds, seconds */
       CONNECT_TIMEOUT = 10 * 1000,
       RETRY_AFTER_MAX = 3600 * 1000,
       KEEPALIVE_IDLE = 30,
       KEEPALIVE_INTERVAL = 15,
       SECOND_LOOK = 20, /* milliseconds */
};

/* ---- results ---- */

void http_call_fail(HttpCall *c, int result, const char *format, ...) {
        va_list args;

        if (c->result < 0)
                return;
        c->result = result;
        va_start(args, format);
        (void)vsnprintf(c->why, sizeof(c->why), format, args);
        va_end(args);
        for (char *p = c->why; *p; p++)
                if (iscntrl((unsigned char)*p))
                        *p = ' ';
        for (size_t n = strlen(c->why); n && c->why[n - 1] == ' ';)
                c->why[--n] = 0;
}

static const struct {
        CURLcode code;
        int result;
} results[] = {
        { CURLE_COULDNT_RESOLVE_HOST, -EHOSTUNREACH },
        { CURLE_COULDNT_RESOLVE_PROXY, -EHOSTUNREACH },
        { CURLE_OPERATION_TIMEDOUT, -ETIMEDOUT },
        { CURLE_OUT_OF_MEMORY, -ENOMEM },
        { CURLE_GOT_NOTHING, -ECONNRESET },
        { CURLE_PARTIAL_FILE, -ECONNRESET },
        { CURLE_SEND_ERROR, -ECONNRESET },
        { CURLE_RECV_ERROR, -ECONNRESET },
        { CURLE_HTTP2, -ECONNRESET },
        { CURLE_HTTP2_STREAM, -ECONNRESET },
        { CURLE_SSL_CONNECT_ERROR, -EPROTO },
        { CURLE_SSL_CERTPROBLEM, -EPROTO },
        { CURLE_SSL_CIPHER, -EPROTO },
        { CURLE_SSL_CACERT_BADFILE, -EPROTO },
        { CURLE_SSL_ISSUER_ERROR, -EPROTO },
        { CURLE_PEER_FAILED_VERIFICATION, -EPROTO },
        { CURLE_USE_SSL_FAILED, -EPROTO },
        { CURLE_UNSUPPORTED_PROTOCOL, -EPROTO }, /* no HTTP at all */
        { CURLE_WEIRD_SERVER_REPLY, -EPROTO },
        { CURLE_BAD_CONTENT_ENCODING, -EPROTO },
};

static int result_of(CURLcode code) {
        for (size_t i = 0; i < ARRAY_SIZE(results); i++)
                if (results[i].code == code)
                        return results[i].result;
        return -EIO;
}

static int connect_result(int error) {
        switch (error) {
        case ECONNREFUSED:
        case ECONNRESET:
        case ETIMEDOUT:
                return -error;
        default:
                return -EHOSTUNREACH;
        }
}

void http_call_finish(HttpCall *c, CURLcode code) {
        /* libcurl keeps the first message, and its complaint of a connection that went at once hides the cause. */
        bool is_told = *c->error && !startswith(c->error, "getpeername()");
        const char *message = is_told ? c->error : curl_easy_strerror(code);
        long connected = 0, error = 0;
        int result = result_of(code);

        if (c->state != HTTP_CALL_RUNNING)
                return;
        c->state = HTTP_CALL_DONE;
        if (code == CURLE_OK)
                return;
        (void)curl_easy_getinfo(c->easy, CURLINFO_OS_ERRNO, &error);
        (void)curl_easy_getinfo(c->easy, CURLINFO_HTTP_CONNECTCODE, &connected);
        if (code == CURLE_COULDNT_CONNECT) {
                http_call_fail(c, connect_result((int)error), error ? "%s (%s)" : "%s", message, strerror((int)error));
                return;
        }
        if (result == -ECONNRESET && connected >= 300) /* the proxy's refusal */
                result = -EHOSTUNREACH;
        else if (result == -ECONNRESET && strstr(message, " alert ")) /* TLS 1.3 refuses a client after the handshake */
                result = -EPROTO;
        http_call_fail(c, result, "%s", message);
}

/* ---- time ---- */

typedef struct Deadline {
        int64_t due, limit;
        const char *what; /* is late then */
} Deadline;

static Deadline deadline(const HttpCall *c) {
        Deadline d = { .due = INT64_MAX };

        if (!c->is_connected)
                d = (Deadline){ c->started + c->connect_timeout, c->connect_timeout, "no connection" };
        else if (c->silence > 0)
                d = (Deadline){ c->last + c->silence, c->silence, "nothing received" };
        if (c->timeout > 0 && c->started + c->timeout < d.due)
                d = (Deadline){ c->started + c->timeout, c->timeout, "no complete answer" };
        return d;
}

/* Wake-ups that may come a little later come together. */
static void arm(HttpCall *c, int64_t now, int64_t due) {
        uint64_t accuracy = due > now ? (uint64_t)(due - now) * 1000 / 16 : 0;

        c->armed = due;
        if (due == INT64_MAX) {
                (void)sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
                return;
        }
        (void)sd_event_source_set_time_accuracy(c->timer, accuracy + 1000);
        (void)sd_event_source_set_time(c->timer, (uint64_t)due * 1000);
        (void)sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
}

bool http_call_is_late(HttpCall *c) {
        int64_t now = clock_boot_ms();
        Deadline d = deadline(c);

        if (d.due > now) {
                c->is_doubted = false;
                arm(c, now, d.due);
                return false;
        }
        /* What has come counts, however late the loop looks: the sockets have their turn first. */
        if (!c->is_doubted) {
                c->is_doubted = true;
                arm(c, now, now + SECOND_LOOK);
                return false;
        }
        http_call_fail(c, -ETIMEDOUT, "%s after %g s", str_or_empty(d.what), (double)d.limit / 1000);
        return true;
}

/* ---- the answer ---- */

/* A byte came. The timer is not touched: when it goes off it looks for itself. */
static void touch(HttpCall *c) {
        c->last = clock_boot_ms();
}

/* The connection stands, the request goes out. Again, on another one, if a kept connection turns out to be dead. */
static int on_connected(void *user, char *address, char *local, int port, int local_port) {
        HttpCall *c = user;
        long connections = 0;
        int64_t due;

        (void)address, (void)local, (void)port, (void)local_port;
        if (c->state != HTTP_CALL_RUNNING)
                return CURL_PREREQFUNC_ABORT;
        c->is_connected = true;
        touch(c);
        due = deadline(c).due;
        if (due < c->armed)
                arm(c, c->last, due);
        (void)curl_easy_getinfo(c->easy, CURLINFO_NUM_CONNECTS, &connections);
        c->http->counters.connections += (uint64_t)(connections - c->connections);
        c->connections = connections;
        c->http->counters.requests++;
        return CURL_PREREQFUNC_OK;
}

/* Bytes of the body as they come in; decompression may hold them back. */
static int on_progress(void *user, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up_now) {
        HttpCall *c = user;

        (void)total, (void)up_total, (void)up_now;
        if (now > c->received) {
                c->http->counters.bytes += (uint64_t)(now - c->received);
                touch(c);
        }
        c->received = now;
        return 0;
}

/* Milliseconds; -1 if it is neither form. */
static int64_t read_retry_after(const char *value) {
        int64_t ms;

        if (isdigit((unsigned char)*value)) {
                char *end;
                unsigned long long s = strtoull(value, &end, 10);

                end += strspn(end, " \t\r\n");
                if (*end)
                        return -1;
                ms = s > RETRY_AFTER_MAX / 1000 ? RETRY_AFTER_MAX : (int64_t)s * 1000;
        } else {
                time_t at = curl_getdate(value, NULL);

                if (at < 0)
                        return -1;
                ms = ((int64_t)at - clock_real_s()) * 1000;
                ms = ms < 0 ? 0 : ms;
        }
        return ms > RETRY_AFTER_MAX ? RETRY_AFTER_MAX : ms;
}

static void tell_head(HttpCall *c, long status) {
        const char *type = NULL;
        HttpHead head = { .status = (int)status, .retry_after = c->retry_after };

        (void)curl_easy_getinfo(c->easy, CURLINFO_CONTENT_TYPE, &type);
        head.content_type = str_or_empty(type);
        c->head_told = true;
        if (c->handler.head)
                c->handler.head(c->user, &head);
}

/* A line of the head. Less than n ends the call. */
static size_t on_header(char *line, size_t size, size_t n, void *user) {
        static const char retry_after[] = "Retry-After:";
        HttpCall *c = user;
        char value[128];
        long status = 0;

        n *= size;
        if (c->state != HTTP_CALL_RUNNING)
                return 0;
        touch(c);
        c->http->counters.bytes += n;
        if (c->head_told) /* trailers */
                return n;
        if (n >= 5 && memcmp(line, "HTTP/", 5) == 0)
                c->retry_after = -1;
        if (n > strlen(retry_after) && strncasecmp(line, retry_after, strlen(retry_after)) == 0) {
                (void)snprintf(value, sizeof(value), "%.*s", (int)(n - strlen(retry_after)),
                               line + strlen(retry_after));
                c->retry_after = read_retry_after(value + strspn(value, " \t"));
        }
        if (n > 2 || (*line != '\r' && *line != '\n'))
                return n;
        (void)curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
        if (status >= 200)
                tell_head(c, status);
        return c->state == HTTP_CALL_RUNNING ? n : 0;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *user) {
        HttpCall *c = user;
        int r = 0;

        n *= size;
        if (c->state != HTTP_CALL_RUNNING)
                return n + 1;
        touch(c);
        if (c->max_body && n > c->max_body - c->body) {
                http_call_fail(c, -EFBIG, "the answer is larger than %zu bytes", c->max_body);
                return n + 1;
        }
        c->body += n;
        if (c->handler.data && n)
                r = c->handler.data(c->user, bytes, n);
        if (r < 0)
                http_call_fail(c, r, "given up while reading the answer");
        return r < 0 || c->state != HTTP_CALL_RUNNING ? n + 1 : n;
}

/* ---- the call ---- */

#define SET(option, value) (code = code ? code : curl_easy_setopt(c->easy, option, value))

static CURLcode set_transport(HttpCall *c) {
        CURLcode code = CURLE_OK;

        SET(CURLOPT_PRIVATE, (char *)c);
        SET(CURLOPT_ERRORBUFFER, c->error);
        SET(CURLOPT_PROTOCOLS_STR, "https");
        SET(CURLOPT_FOLLOWLOCATION, 0L);
        SET(CURLOPT_NOSIGNAL, 1L);
        /* A name server that does not answer holds a thread, and nobody waits for it. */
        SET(CURLOPT_QUICK_EXIT, 1L);
        SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
        SET(CURLOPT_PIPEWAIT, 1L);
        SET(CURLOPT_ACCEPT_ENCODING, "gzip");
        SET(CURLOPT_TCP_KEEPALIVE, 1L);
        SET(CURLOPT_TCP_KEEPIDLE, (long)KEEPALIVE_IDLE);
        SET(CURLOPT_TCP_KEEPINTVL, (long)KEEPALIVE_INTERVAL);
        /* Our own timer knows more (waiting for another call's connection, suspended hosts), but this one tries the
         * next address in time. */
        SET(CURLOPT_CONNECTTIMEOUT_MS, (long)c->connect_timeout);
        SET(CURLOPT_PREREQFUNCTION, on_connected);
        SET(CURLOPT_PREREQDATA, c);
        SET(CURLOPT_NOPROGRESS, 0L);
        SET(CURLOPT_XFERINFOFUNCTION, on_progress);
        SET(CURLOPT_XFERINFODATA, c);
        SET(CURLOPT_HEADERFUNCTION, on_header);
        SET(CURLOPT_HEADERDATA, c);
        SET(CURLOPT_WRITEFUNCTION, on_body);
        SET(CURLOPT_WRITEDATA, c);
        return code;
}

int http_call_new(Http *h, const HttpIdentity *identity, const HttpRequest *request, HttpCall **ret) {
        _cleanup_(http_call_freep) HttpCall *c = calloc(1, sizeof(*c));
        CURLcode code;
        int r;

        if (!c)
                return -ENOMEM;
        *c = (HttpCall){
                .http = h,
                .easy = curl_easy_init(),
                .armed = INT64_MAX,
                .started = clock_boot_ms(),
                .connect_timeout = request->connect_timeout > 0 ? request->connect_timeout : CONNECT_TIMEOUT,
                .timeout = request->timeout,
                .silence = request->silence,
                .max_body = request->max_body,
                .retry_after = -1,
        };
        if (!c->easy)
                return -ENOMEM;
        r = http_request_set(c, identity, request);
        if (r < 0)
                return r;
        code = set_transport(c);
        if (code)
                return code == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
        *ret = TAKE_PTR(c);
        return 0;
}

HttpCall *http_call_free(HttpCall *c) {
        if (!c)
                return NULL;
        sd_event_source_disable_unref(c->timer);
        if (c->easy)
                curl_easy_cleanup(c->easy);
        for (struct curl_slist *l = c->headers; l; l = l->next)
                explicit_bzero(l->data, strlen(l->data));
        curl_slist_free_all(c->headers);
        curl_slist_free_all(c->connect_to);
        free(c);
        return NULL;
}
