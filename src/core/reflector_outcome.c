/* SPDX-License-Identifier: Apache-2.0 */
/* What follows from the end of a request: what is asked for next, and when. */
#include "core/reflector_internal.h"

#include <errno.h>

/* ---- when ---- */

static void pause_for(Reflector *r, int64_t at_least, int64_t now, uint32_t random) {
        int64_t pause = backoff_next(&r->backoff, random);

        /* All who are told to wait as long are not to come back together. */
        r->due = now + (pause < at_least ? at_least + pause / 5 : pause);
}

/* At once where it is the first time in a row, else with back-off. */
static void again(Reflector *r, unsigned *times, int64_t now, uint32_t random) {
        if ((*times)++ > 0)
                pause_for(r, 0, now, random);
}

static void calm_down(Reflector *r) {
        backoff_reset(&r->backoff);
        r->expired = r->early = r->failed = 0;
}

static void list_anew(Reflector *r) {
        r->next = NEXT_LIST;
        reflector_drop_pending(r);
}

static void set_problem(Reflector *r, const char *what, const char *why) {
        r->live = r->sure = false;
        r->problem.message[0] = 0;
        (void)err_set(&r->problem, 0, "%s%s%s", what, *why ? ": " : "", why);
}

/* ---- an answer that is no success ---- */

static bool is_no_streaming(int status) {
        return status == 400 || status == 404 || status == 405 || status == 422;
}

/* This list is asked for in pages; that the server has no streaming lists is only believed where it never had. */
static void refuse_streaming(Reflector *r) {
        if (r->streaming == STREAMING_UNKNOWN)
                r->streaming = STREAMING_NO;
        r->plain = true;
        list_anew(r);
}

static void token_expired(Reflector *r, int64_t now, uint32_t random) {
        list_anew(r);
        if (r->unpaged) {
                r->unpaged = false;
                r->restarts = 0;
                pause_for(r, 0, now, random);
                return;
        }
        r->unpaged = ++r->restarts > REFLECTOR_RESTARTS;
        r->plain = true;
}

static int64_t pause_after_refusal(Reflector *r) {
        if (r->answer != 401 && r->answer != 403)
                return 0;
        return r->refusals++ < REFLECTOR_REFUSALS ? 0 : REFLECTOR_FORBIDDEN;
}

static void conclude_refusal(Reflector *r, int64_t now, uint32_t random) {
        bool retry_after = (r->answer == 429 || r->answer == 503) && r->retry_after > 0;

        reflector_explain_answer(r);
        r->live = r->sure = false;
        r->status = r->answer;
        if (r->asking == ASKING_STREAM && is_no_streaming(r->answer)) {
                refuse_streaming(r);
        } else if (r->asking == ASKING_LIST && r->answer == 410 && r->token) {
                token_expired(r, now, random);
        } else if (r->answer == 410) {
                r->plain |= r->asking == ASKING_STREAM;
                list_anew(r);
                again(r, &r->expired, now, random);
        } else {
                /* What a watch cannot go on from, a list may; but not each list of a server in distress is to be large.
                 */
                if (r->asking == ASKING_WATCH && (is_no_streaming(r->answer) || ++r->failed > 1))
                        r->next = NEXT_LIST;
                if (r->asking != ASKING_WATCH)
                        list_anew(r);
                /* Whoever may not watch may list. */
                r->plain |= r->asking == ASKING_STREAM && r->answer != 401 && r->answer != 429;
                pause_for(r, retry_after ? r->retry_after : pause_after_refusal(r), now, random);
        }
}

/* ---- a list ---- */

static void refuse_list(Reflector *r, const char *why, int64_t now, uint32_t random) {
        set_problem(r, "the answer is no list that can be used", why);
        list_anew(r);
        pause_for(r, 0, now, random);
}

static void list_is_complete(Reflector *r, int64_t now, uint32_t random) {
        r->live = r->sure = true;
        r->status = 0;
        r->confirmed = now;
        r->restarts = 0;
        r->unpaged = r->plain = false;
        r->next = NEXT_WATCH;
        if (!r->poll)
                return;
        r->refusals = 0;
        calm_down(r);
        r->next = NEXT_LIST;
        r->due = now + backoff_jitter(REFLECTOR_POLL, random);
}

static void conclude_page(Reflector *r, char **version, char **token, int64_t now, uint32_t random) {
        if (r->token && !streq(*version, r->pending_version)) {
                set_problem(r, "the pages of a list have different resourceVersions", "");
                token_expired(r, now, random);
                return;
        }
        if (streq(*token, r->token) || ++r->pages >= REFLECTOR_PAGES_MAX) {
                refuse_list(r, "its pages do not end", now, random);
                return;
        }
        free(r->token);
        free(r->pending_version);
        r->token = TAKE_PTR(*token);
        r->pending_version = TAKE_PTR(*version);
        r->next = NEXT_PAGE;
}

static void conclude_list(Reflector *r, int64_t now, uint32_t random) {
        _cleanup_free_ char *version = NULL, *token = NULL;
        int result = reflector_read_list(r, buf_text(&r->body), r->body.len, &version, &token, &r->why);

        if (result == 0 && (token || (r->token && !streq(version, r->pending_version)))) {
                conclude_page(r, &version, &token, now, random);
                return;
        }
        if (result == 0)
                result = reflector_take_list(r, version, now, &r->why);
        if (result < 0)
                refuse_list(r, r->why.message, now, random);
        else
                list_is_complete(r, now, random);
}

/* ---- a stream ---- */

static void conclude_fault(Reflector *r, int64_t now, uint32_t random) {
        bool was_list = r->asking == ASKING_STREAM;

        set_problem(r, r->why.message, "");
        r->plain |= was_list;
        switch (r->fault) {
        case FAULT_REFUSED:
                refuse_streaming(r);
                return;
        case FAULT_EXPIRED:
                list_anew(r);
                again(r, &r->expired, now, random);
                return;
        case FAULT_BACKWARD:
                r->suspect = true;
                list_anew(r);
                again(r, &r->expired, now, random);
                return;
        default:
                list_anew(r);
                pause_for(r, 0, now, random);
        }
}

/* The regular end of a watch. */
static void conclude_watch(Reflector *r, int64_t now, uint32_t random) {
        bool hasty = now - r->began < REFLECTOR_HASTY;

        if (now - r->began >= REFLECTOR_CALM)
                calm_down(r);
        else
                r->early++;
        if (now - r->confirmed >= REFLECTOR_SILENCE) {
                set_problem(r, "the server says nothing in its watches", "");
                list_anew(r);
                pause_for(r, 0, now, random);
                return;
        }
        if (hasty && r->heard < 0)
                set_problem(r, "the server ends watches at once", "");
        if (hasty || r->early > 1)
                pause_for(r, 0, now, random);
}

/* A stream that was cut, or never came to its end mark. */
static void conclude_cut(Reflector *r, int result, const char *why, int64_t now, uint32_t random) {
        set_problem(r, result == -ETIMEDOUT ? "the server fell silent" : "the server's answer was cut short",
                    result == 0 ? "it ends too early" : why);
        if (r->asking == ASKING_STREAM && (result == 0 || result == -ETIMEDOUT)) {
                refuse_streaming(r);
        } else if (r->asking == ASKING_STREAM) {
                r->plain = true;
                list_anew(r);
        } else if (result == -ETIMEDOUT) {
                list_anew(r);
        }
        pause_for(r, 0, now, random);
}

void reflector_conclude(Reflector *r, int result, const char *why, int64_t now, uint32_t random) {
        if (r->asking != ASKING_LIST && r->heard - r->began >= REFLECTOR_CALM)
                calm_down(r);
        if (r->answer == 0) {
                r->answered = false;
                r->status = 0;
                set_problem(r, "the server cannot be reached", result == 0 ? "no answer" : why);
                if (r->asking != ASKING_WATCH)
                        list_anew(r);
                pause_for(r, 0, now, random);
        } else if (r->answer != 200) {
                conclude_refusal(r, now, random);
        } else if (r->asking == ASKING_LIST && result == 0) {
                conclude_list(r, now, random);
        } else if (r->asking == ASKING_LIST) {
                r->status = 0;
                refuse_list(r, *r->why.message ? r->why.message : why, now, random);
        } else if (r->fault != FAULT_NONE) {
                conclude_fault(r, now, random);
        } else if (result < 0 || r->asking == ASKING_STREAM || !watch_is_whole(&r->parser)) {
                conclude_cut(r, result, why, now, random);
        } else {
                conclude_watch(r, now, random);
        }
}
