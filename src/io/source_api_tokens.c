/* SPDX-License-Identifier: Apache-2.0 */
#include "io/clock.h"
#include "io/source_api_internal.h"

#include <errno.h>

enum { TOKENS_AT_ONCE = 4 };
enum { TOKEN_PAUSE_FORBIDDEN = 60 * 1000 }; /* milliseconds: rights do not change by the second */

/* ---- requests ---- */

static void set_problem(WantedToken *w, int status) {
        _cleanup_buf_ Buf need = BUF_INIT;

        token_need_text(&w->need, &need);
        w->problem = (Err){ 0 };
        (void)err_set(&w->problem, -EIO, "the API server answers %d to the request of a token for %s%s", status,
                      buf_text(&need), status == 403 ? "; `daemonlet rbac` prints the missing rule" : "");
}

static void fail(WantedToken *w, int status) {
        int64_t pause = backoff_next(&w->backoff, api_random());

        if ((status == 401 || status == 403 || status == 404) && pause < TOKEN_PAUSE_FORBIDDEN)
                pause = TOKEN_PAUSE_FORBIDDEN;
        w->due = clock_boot_ms() + pause;
        api_news(w->question.api, API_CHANGED_STATE);
}

/* A fifth of the life is left: enough for some jitter. */
static int64_t renewal(const Token *token) {
        int64_t left = (token_renew_at(token) - clock_real_s()) * 1000;
        int64_t jitter = left / 20 > 0
                                 ? (int64_t)(api_random() % (uint32_t)(left / 20 < INT32_MAX ? left / 20 : INT32_MAX))
                                 : 0;

        return clock_boot_ms() + (left > 1000 ? left - jitter : 1000);
}

static void on_token(Question *q) {
        WantedToken *w = (WantedToken *)q; /* its first member */
        SourceApi *s = q->api;
        _cleanup_token_ Token token = { 0 };
        int r;

        if (q->status != 201 && q->status != 200) {
                set_problem(w, q->status);
                fail(w, q->status);
                return;
        }
        w->problem = (Err){ 0 };
        r = token_answer_read(buf_text(&q->answer), q->answer.len, &w->need, clock_real_s(), &token, &w->problem);
        explicit_bzero(q->answer.data, q->answer.len);
        if (r == 0) {
                w->due = renewal(&token);
                r = tokens_put(&s->tokens, &token);
        }
        if (r < 0) {
                fail(w, 0);
                return;
        }
        backoff_reset(&w->backoff);
        api_news(s, API_CHANGED_TOKENS);
}

static void ask(SourceApi *s, WantedToken *w, int64_t now) {
        _cleanup_buf_ Buf path = BUF_INIT, body = BUF_INIT;

        token_request_path(&w->need, &path);
        token_request_body(&w->need, &body);
        /* If there is no answer at all, this is when it is asked for again. */
        w->due = now + backoff_next(&w->backoff, api_random());
        if (!path.failed && !body.failed)
                (void)question_ask(&w->question, s, buf_text(&path), buf_text(&body), body.len, on_token);
}

void tokens_restart(SourceApi *s) {
        for (size_t i = 0; i < s->n_wanted_tokens; i++) {
                WantedToken *w = s->wanted_tokens[i];

                question_done(&w->question);
                w->due = clock_boot_ms();
        }
}

static bool is_full(const SourceApi *s) {
        size_t n = 0;

        for (size_t i = 0; i < s->n_wanted_tokens; i++)
                n += s->wanted_tokens[i]->question.call != NULL;
        return n >= TOKENS_AT_ONCE;
}

void tokens_ask(SourceApi *s, int64_t now) {
        for (size_t i = 0; i < s->n_wanted_tokens && !is_full(s); i++)
                if (!s->wanted_tokens[i]->question.call && s->wanted_tokens[i]->due <= now)
                        ask(s, s->wanted_tokens[i], now);
}

int64_t tokens_due(const SourceApi *s) {
        int64_t first = -1;

        for (size_t i = 0; i < s->n_wanted_tokens && !is_full(s); i++) {
                const WantedToken *w = s->wanted_tokens[i];

                if (!w->question.call && (first < 0 || w->due < first))
                        first = w->due;
        }
        return first;
}

const char *tokens_problem(const SourceApi *s) {
        for (size_t i = 0; i < s->n_wanted_tokens; i++)
                if (s->wanted_tokens[i]->problem.message[0])
                        return s->wanted_tokens[i]->problem.message;
        return "";
}

/* ---- what is wanted ---- */

static void wanted_free(WantedToken *w) {
        question_done(&w->question);
        token_need_done(&w->need);
        free(w);
}

static WantedToken *find(const SourceApi *s, const TokenNeed *need) {
        for (size_t i = 0; i < s->n_wanted_tokens; i++)
                if (token_need_compare(&s->wanted_tokens[i]->need, need) == 0)
                        return s->wanted_tokens[i];
        return NULL;
}

static int add(SourceApi *s, const TokenNeed *need) {
        WantedToken *w = calloc(1, sizeof(*w));

        if (!w || token_need_init(&w->need, need->namespace, need->account, need->audience, need->seconds) < 0 ||
            !ARRAY_GROW(s->wanted_tokens, s->n_wanted_tokens, s->cap_wanted_tokens)) {
                if (w)
                        token_need_done(&w->need);
                free(w);
                return -ENOMEM;
        }
        w->question.api = s;
        w->wanted = true;
        w->due = clock_boot_ms();
        s->wanted_tokens[s->n_wanted_tokens++] = w;
        return 0;
}

int source_api_want_tokens(SourceApi *s, const TokenNeed *needs, size_t n) {
        size_t kept = 0;

        for (size_t i = 0; i < s->n_wanted_tokens; i++)
                s->wanted_tokens[i]->wanted = false;
        /* A kubelet may request tokens for pods that the API server knows only. */
        if (s->has_identity && s->identity.is_kubelet)
                n = 0;
        for (size_t i = 0; i < n; i++) {
                WantedToken *w = find(s, &needs[i]);

                if (w)
                        w->wanted = true;
                else if (add(s, &needs[i]) < 0)
                        return -ENOMEM;
        }
        for (size_t i = 0; i < s->n_wanted_tokens; i++)
                if (s->wanted_tokens[i]->wanted)
                        s->wanted_tokens[kept++] = s->wanted_tokens[i];
                else {
                        tokens_drop(&s->tokens, &s->wanted_tokens[i]->need);
                        wanted_free(s->wanted_tokens[i]);
                }
        s->n_wanted_tokens = kept;
        api_arm(s);
        return 0;
}

void tokens_free(SourceApi *s) {
        for (size_t i = 0; i < s->n_wanted_tokens; i++)
                wanted_free(s->wanted_tokens[i]);
        free(s->wanted_tokens);
        tokens_done(&s->tokens);
}
