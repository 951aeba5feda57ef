/* SPDX-License-Identifier: Apache-2.0 */
#include "core/reflector_internal.h"

#include <errno.h>

const char *reflector_state_name(ReflectorState s) {
        static const char *const names[] = {
                [REFLECTOR_UNREAD] = "Unread",
                [REFLECTOR_LIVE] = "Live",
                [REFLECTOR_STALE] = "Stale",
                [REFLECTOR_SUSPECT] = "SuspectList",
        };
        return names[s];
}

Reflector *reflector_new(const ReflectorSpec *spec) {
        _cleanup_reflector_ Reflector *r = calloc(1, sizeof(*r));
        _cleanup_buf_ Buf resource = BUF_INIT;

        if (!r)
                return NULL;
        r->single = spec->single;
        r->fleeting = spec->fleeting;
        r->poll = spec->poll;
        r->reduce = spec->reduce;
        r->confirmed = -1;
        r->problem = (Err){ .message = "not asked yet" };
        buf_str(&resource, spec->path);
        if (spec->selector) {
                buf_printf(&resource, "?%s", spec->selector);
                r->selector = strdup(spec->selector);
        }
        r->resource = buf_take(&resource, NULL);
        r->path = strdup(spec->path);
        r->kind = strdup(spec->kind);
        if (!r->resource || !r->path || !r->kind || (spec->selector && !r->selector))
                return NULL;
        return TAKE_PTR(r);
}

Reflector *reflector_free(Reflector *r) {
        if (!r)
                return NULL;
        reflector_drop_pending(r);
        set_done(&r->set);
        watch_parser_done(&r->parser);
        buf_done(&r->body);
        free(r->resource);
        free(r->path);
        free(r->selector);
        free(r->kind);
        free(r->version);
        free(r->target);
        free(r);
        return NULL;
}

const char *reflector_resource(const Reflector *r) {
        return r->resource;
}

void reflector_set_streaming(Reflector *r, Streaming s) {
        r->streaming = s;
}

Streaming reflector_streaming(const Reflector *r) {
        return r->streaming;
}

void reflector_set_poll(Reflector *r, bool poll) {
        r->poll = poll;
}

/* ---- asking ---- */

int64_t reflector_due(const Reflector *r) {
        return r->asking == ASKING_NOTHING ? r->due : -1;
}

/* A list that was begun before it became suspect is worth nothing, and so is a place in the history of what may be
 * another cluster. */
static bool is_next_page(const Reflector *r) {
        return r->next == NEXT_PAGE && r->suspect == r->pending_suspect;
}

static Asking choose(const Reflector *r) {
        if (is_next_page(r))
                return ASKING_LIST;
        if (r->next == NEXT_WATCH && r->version && *r->version && !r->poll && !r->suspect)
                return ASKING_WATCH;
        return r->poll || r->plain || r->unpaged || r->streaming == STREAMING_NO ? ASKING_LIST : ASKING_STREAM;
}

int reflector_begin(Reflector *r, int64_t now, uint32_t random, ReflectorRequest *ret) {
        Asking asking = choose(r);
        unsigned seconds = REFLECTOR_WATCH_MIN + (unsigned)(((uint64_t)random * (REFLECTOR_WATCH_MIN + 1)) >> 32);
        char *target;

        if (asking != ASKING_WATCH && !is_next_page(r)) {
                reflector_drop_pending(r);
                r->next = NEXT_LIST;
                r->pending_suspect = r->suspect;
        }
        target = reflector_make_target(r, asking, seconds);
        if (!target) {
                r->due = now + BACKOFF_FIRST;
                return -ENOMEM;
        }
        free(r->target);
        r->target = target;
        r->asking = asking;
        r->began = now;
        r->heard = -1;
        r->answer = 0;
        r->retry_after = -1;
        r->failure = 0;
        r->fault = FAULT_NONE;
        r->why = (Err){ 0 };
        watch_parser_init(&r->parser, WATCH_EVENT_MAX);
        *ret = (ReflectorRequest){ .target = target,
                                   .stream = asking != ASKING_LIST,
                                   .timeout = asking == ASKING_LIST ? REFLECTOR_LIST_TIMEOUT
                                                                    : (int64_t)seconds * 1000 + REFLECTOR_WATCH_GRACE };
        return 0;
}

void reflector_head(Reflector *r, int status, int64_t retry_after) {
        if (r->asking == ASKING_NOTHING)
                return;
        r->answer = status;
        r->retry_after = retry_after < REFLECTOR_RETRY_MAX ? retry_after : REFLECTOR_RETRY_MAX;
        r->answered = true;
        /* A watch that goes on from where it was is told all that has happened since, or that it cannot be. But anyone
         * can answer 200: it ends no doubts. */
        if (status == 200 && r->asking == ASKING_WATCH) {
                r->live = true;
                r->status = 0;
                r->refusals = 0;
        }
}

static int read_body(Reflector *r, const char *bytes, size_t len) {
        bool good = r->answer == 200;
        size_t max = !good ? REFLECTOR_FAILURE_MAX : r->single ? REFLECTOR_SINGLE_MAX : REFLECTOR_ANSWER_MAX;

        if (r->body.len + len > max)
                return err_set(&r->why, -EFBIG, "an answer of more than %zu bytes", max);
        buf_add(&r->body, bytes, len);
        return r->body.failed ? err_oom(&r->why) : 0;
}

int reflector_data(Reflector *r, const char *bytes, size_t len, int64_t now) {
        if (r->asking == ASKING_NOTHING)
                return -ECANCELED;
        if (r->failure == 0)
                r->failure = r->answer == 200 && r->asking != ASKING_LIST ? reflector_read_events(r, bytes, len, now)
                                                                          : read_body(r, bytes, len);
        return r->failure;
}

/* The request is over, and nothing of its answer is kept. */
static void forget_answer(Reflector *r) {
        r->asking = ASKING_NOTHING;
        watch_parser_done(&r->parser);
        buf_done(&r->body);
}

void reflector_end(Reflector *r, int result, const char *why, int64_t now, uint32_t random) {
        if (r->asking == ASKING_NOTHING)
                return;
        if (result == 0)
                result = r->failure;
        r->due = now;
        reflector_conclude(r, result, str_or_empty(why), now, random);
        forget_answer(r);
}

void reflector_abort(Reflector *r, int64_t now) {
        if (r->asking == ASKING_NOTHING)
                return;
        if (r->asking != ASKING_WATCH)
                r->next = NEXT_LIST;
        reflector_drop_pending(r);
        forget_answer(r);
        r->due = now;
}

void reflector_hurry(Reflector *r, int64_t at) {
        if (r->due > at)
                r->due = at;
}

void reflector_suspect(Reflector *r) {
        r->suspect = true;
}

/* ---- what is known ---- */

ReflectorState reflector_state(const Reflector *r) {
        if (!r->version)
                return REFLECTOR_UNREAD;
        if (!r->live)
                return REFLECTOR_STALE;
        return r->doubted > 0 ? REFLECTOR_SUSPECT : REFLECTOR_LIVE;
}

int64_t reflector_confirmed(const Reflector *r) {
        return r->confirmed;
}

uint64_t reflector_generation(const Reflector *r) {
        return r->generation;
}

const ReflectorItem *reflector_items(const Reflector *r, size_t *ret_n) {
        *ret_n = r->set.n;
        return r->set.items;
}

const char *reflector_resource_version(const Reflector *r) {
        return r->doubted > 0 ? "" : str_or_empty(r->version);
}

const char *reflector_problem(const Reflector *r) {
        return !r->live ? r->problem.message : r->doubted > 0 ? r->suspicion.message : "";
}

int reflector_status(const Reflector *r) {
        return r->status;
}
