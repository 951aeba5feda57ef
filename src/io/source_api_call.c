/* SPDX-License-Identifier: Apache-2.0 */
#include "io/clock.h"
#include "io/source_api_internal.h"

#include <errno.h>

/* What a server or a load balancer in front of it says when it cannot serve anybody. */
static bool is_overloaded(int status) {
        return status == 429 || status >= 500;
}

static int api_start(SourceApi *s, const ApiCall *call, const HttpHandler *handler, void *user, HttpCall **ret) {
        _cleanup_buf_ Buf url = BUF_INIT;
        HttpRequest request = {
                .method = call->body ? "POST" : "GET",
                .accept = "application/json",
                .token = s->identity.token,
                .body = call->body,
                .body_len = call->len,
                .content_type = call->body ? "application/json" : NULL,
                .timeout = call->timeout,
                .silence = call->silence,
                .max_body = call->max,
        };

        buf_printf(&url, "%s%s", s->identity.server, call->target);
        if (url.failed)
                return -ENOMEM;
        request.url = buf_text(&url);
        return http_start(s->http, &request, handler, user, ret);
}

/* ---- the requests of reflectors ---- */

static void on_head(void *user, const HttpHead *head) {
        Follow *f = user;

        f->answered = true;
        api_heard(f->api);
        reflector_head(f->reflector, head->status, head->retry_after);
        follow_look(f);
        api_arm(f->api);
}

/* A refusal says nothing of what is known. */
static void look(Follow *f, int64_t confirmed_before) {
        if (reflector_confirmed(f->reflector) != confirmed_before)
                f->said_at = clock_real_s();
        follow_look(f);
}

static int on_data(void *user, const char *bytes, size_t len) {
        Follow *f = user;
        int64_t confirmed = reflector_confirmed(f->reflector);
        int r = reflector_data(f->reflector, bytes, len, clock_boot_ms());

        f->api->heard_at = clock_real_s();
        look(f, confirmed);
        return r;
}

static bool is_unheard(int result) {
        return result == -ECONNREFUSED || result == -ECONNRESET || result == -ETIMEDOUT || result == -EHOSTUNREACH ||
               result == -EPROTO || result == -EIO;
}

/* For the next page, or in another way, as the server knows no streaming lists, say: nothing has come of it so far. */
static bool is_asked_on(const Follow *f, int64_t now) {
        ReflectorState state = reflector_state(f->reflector);

        return (state == REFLECTOR_UNREAD || state == REFLECTOR_STALE) && reflector_due(f->reflector) <= now;
}

static void on_end(void *user, int result, const char *why) {
        Follow *f = user;
        SourceApi *s = f->api;
        int64_t confirmed = reflector_confirmed(f->reflector), now = clock_boot_ms();

        f->call = NULL;
        reflector_end(f->reflector, result, why, now, api_random());
        if (!is_asked_on(f, now))
                follow_end(f);
        if (is_unheard(result))
                api_not_heard(s, result, why);
        if (reflector_status(f->reflector) == 401)
                s->identity_due = now;
        if (reflector_streaming(f->reflector) != STREAMING_UNKNOWN)
                s->streaming = reflector_streaming(f->reflector);
        look(f, confirmed);
        api_arm(s);
}

bool follow_is_due(const Follow *f, int64_t now) {
        int64_t due = f->call ? -1 : reflector_due(f->reflector);

        return due >= 0 && due <= now;
}

int api_begin(Follow *f, int64_t now) {
        static const HttpHandler handler = { .head = on_head, .data = on_data, .end = on_end };
        SourceApi *s = f->api;
        ReflectorRequest request;
        int r;

        if (s->streaming != STREAMING_UNKNOWN)
                reflector_set_streaming(f->reflector, s->streaming);
        reflector_set_poll(f->reflector, f->polled);
        r = reflector_begin(f->reflector, now, api_random(), &request);
        if (r < 0) {
                follow_end(f);
                return r;
        }
        f->answered = false;
        r = api_start(s,
                      &(ApiCall){ .target = request.target,
                                  .timeout = request.timeout,
                                  .silence = request.stream ? REFLECTOR_SILENCE : 0,
                                  .max = request.stream ? 0 : REFLECTOR_ANSWER_MAX },
                      &handler, f, &f->call);
        if (r < 0) {
                follow_end(f);
                reflector_end(f->reflector, r, "the request could not be made", now, api_random());
        }
        return r;
}

/* ---- single questions ---- */

static void on_question_head(void *user, const HttpHead *head) {
        Question *q = user;

        q->status = head->status;
        q->retry_after = head->retry_after;
}

static int on_question_data(void *user, const char *bytes, size_t len) {
        Question *q = user;

        buf_add(&q->answer, bytes, len);
        return q->answer.failed ? -ENOMEM : 0;
}

static void on_question_end(void *user, int result, const char *why) {
        Question *q = user;
        SourceApi *s = q->api;

        q->call = NULL;
        if (result < 0)
                api_not_heard(s, result, why);
        else if (is_overloaded(q->status)) {
                Err err = { 0 };

                (void)err_set(&err, -EIO, "the server answers %d", q->status);
                api_not_heard(s, -EIO, err.message);
                if (q->retry_after > 0 && s->knock_at < clock_boot_ms() + q->retry_after)
                        s->knock_at = clock_boot_ms() + q->retry_after;
        } else {
                q->done(q);
                api_heard(s);
        }
        buf_done(&q->answer);
        api_arm(s);
}

int question_ask(Question *q, SourceApi *s, const char *target, const char *body, size_t len,
                 void (*done)(Question *q)) {
        static const HttpHandler handler = { .head = on_question_head,
                                             .data = on_question_data,
                                             .end = on_question_end };
        int r;

        if (q->call)
                return 0;
        q->api = s;
        q->done = done;
        q->status = 0;
        r = api_start(s,
                      &(ApiCall){ .target = target,
                                  .body = body,
                                  .len = len,
                                  .timeout = QUESTION_TIMEOUT,
                                  .max = QUESTION_ANSWER_MAX },
                      &handler, q, &q->call);
        if (r < 0)
                api_not_heard(s, r, "the request could not be made");
        return r;
}

int question_read(const Question *q, cJSON **ret) {
        return json_parse(buf_text(&q->answer), q->answer.len, (Place){ 0 }, NULL, NULL, ret, NULL, NULL, NULL);
}

void question_done(Question *q) {
        q->call = http_cancel(q->call);
        buf_done(&q->answer);
}
