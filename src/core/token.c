/* SPDX-License-Identifier: Apache-2.0 */
#include "core/token.h"
#include "core/live_node.h"

#include <errno.h>

enum { AUDIENCE_SHOWN_MAX = 253 };

/* Text of one line without spaces. */
static bool is_visible(const char *s) {
        while (*s > ' ' && *s < 0x7f)
                s++;
        return !*s;
}

/* ---- what a volume needs ---- */

const char *token_audience(const cJSON *source) {
        return str_or_empty(json_string(source, "audience"));
}

int64_t token_seconds(const cJSON *source) {
        int64_t seconds;

        if (!json_int(json_get(source, "expirationSeconds"), &seconds))
                return TOKEN_SECONDS;
        return seconds < TOKEN_SECONDS_MIN ? TOKEN_SECONDS_MIN : seconds;
}

int token_need_init(TokenNeed *ret, const char *namespace, const char *account, const char *audience, int64_t seconds) {
        TokenNeed need = {
                .namespace = strdup(namespace),
                .account = strdup(account),
                .audience = strdup(audience),
                .seconds = seconds,
        };

        if (!need.namespace || !need.account || !need.audience) {
                token_need_done(&need);
                return -ENOMEM;
        }
        *ret = need;
        return 0;
}

void token_need_done(TokenNeed *need) {
        free(need->namespace);
        free(need->account);
        free(need->audience);
        *need = (TokenNeed){ 0 };
}

int token_need_compare(const void *a, const void *b) {
        const TokenNeed *x = a, *y = b;
        int c = strcmp(x->namespace, y->namespace);

        if (c == 0)
                c = strcmp(x->account, y->account);
        if (c == 0)
                c = strcmp(x->audience, y->audience);
        return c ? c : (x->seconds > y->seconds) - (x->seconds < y->seconds);
}

size_t token_needs_merge(TokenNeed *needs, size_t n) {
        size_t kept = 0;

        if (n > 1)
                qsort(needs, n, sizeof(*needs), token_need_compare);
        for (size_t i = 0; i < n; i++)
                if (kept == 0 || token_need_compare(&needs[kept - 1], &needs[i]) != 0)
                        needs[kept++] = needs[i];
                else
                        token_need_done(&needs[i]);
        return kept;
}

void token_needs_free(TokenNeed *needs, size_t n) {
        for (size_t i = 0; i < n; i++)
                token_need_done(&needs[i]);
        free(needs);
}

void token_need_text(const TokenNeed *need, Buf *out) {
        buf_printf(out, "ServiceAccount %s/%s for ", need->namespace, need->account);
        if (!*need->audience)
                buf_str(out, "the API server");
        else if (strlen(need->audience) > AUDIENCE_SHOWN_MAX || !is_visible(need->audience))
                buf_str(out, "another audience");
        else
                buf_printf(out, "audience %s", need->audience);
        buf_printf(out, " (%lld s)", (long long)need->seconds);
}

/* ---- the request ---- */

/* RFC 3986: all but the unreserved characters. */
static void percent_encode(const char *s, Buf *out) {
        for (; *s; s++) {
                bool letter = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z');

                if (letter || (*s >= '0' && *s <= '9') || strchr("-._~", *s))
                        buf_char(out, *s);
                else
                        buf_printf(out, "%%%02X", (unsigned)(unsigned char)*s);
        }
}

void token_request_path(const TokenNeed *need, Buf *out) {
        buf_str(out, "/api/v1/namespaces/");
        percent_encode(need->namespace, out);
        buf_str(out, "/serviceaccounts/");
        percent_encode(need->account, out);
        buf_str(out, "/token");
}

static cJSON *request_spec(const TokenNeed *need) {
        _cleanup_json_ cJSON *spec = cJSON_CreateObject(), *audiences = *need->audience ? cJSON_CreateArray() : NULL;

        if (*need->audience && (!json_append(audiences, cJSON_CreateString(need->audience)) ||
                                !json_add(spec, "audiences", TAKE_PTR(audiences))))
                return NULL;
        return json_add(spec, "expirationSeconds", json_new_int(need->seconds)) ? TAKE_PTR(spec) : NULL;
}

void token_request_body(const TokenNeed *need, Buf *out) {
        _cleanup_json_ cJSON *body = cJSON_CreateObject();

        if (!json_add_string(body, "apiVersion", "authentication.k8s.io/v1") ||
            !json_add_string(body, "kind", "TokenRequest") || !json_add(body, "spec", request_spec(need)))
                out->failed = true;
        else
                json_canonical(body, out);
}

/* ---- the answer ---- */

static int refuse(const TokenNeed *need, const char *what, Err *err) {
        _cleanup_buf_ Buf text = BUF_INIT;

        token_need_text(need, &text);
        return err_set(err, -EBADMSG, "token of %s: %s", buf_text(&text), what);
}

static const char *wrong_with(const char *bytes, int64_t expires_at, int64_t now) {
        if (!bytes || !*bytes)
                return "the answer holds no token";
        if (strlen(bytes) > TOKEN_SIZE_MAX)
                return "what the answer holds is larger than 64 KiB";
        if (!is_visible(bytes))
                return "what the answer holds is not one line of visible ASCII";
        if (expires_at < 0)
                return "the answer does not say when it expires";
        if (expires_at <= now)
                return "it has expired already; check this host's clock";
        return NULL;
}

static int take_token(const char *bytes, int64_t expires_at, const TokenNeed *need, int64_t now, Token *ret, Err *err) {
        const char *wrong = wrong_with(bytes, expires_at, now);
        _cleanup_token_ Token token = { .issued_at = now, .expires_at = expires_at };

        if (wrong)
                return refuse(need, wrong, err);
        token.bytes = strdup(bytes);
        if (!token.bytes ||
            token_need_init(&token.need, need->namespace, need->account, need->audience, need->seconds) < 0)
                return err_oom(err);
        *ret = token;
        token = (Token){ 0 };
        return 0;
}

int token_answer_read(const char *text, size_t len, const TokenNeed *need, int64_t now, Token *ret, Err *err) {
        _cleanup_json_ cJSON *answer = NULL;
        const cJSON *status, *item;
        Place place;
        int r = json_parse(text, len, (Place){ 0 }, NULL, NULL, &answer, NULL, &place, NULL);

        if (r == -ENOMEM)
                return err_oom(err);
        if (r < 0)
                return refuse(need, "the answer is no JSON", err);
        status = json_get(answer, "status");
        item = json_get(status, "token");
        r = take_token(cJSON_GetStringValue(item),
                       rfc3339_seconds(str_or_empty(json_string(status, "expirationTimestamp"))), need, now, ret, err);
        if (cJSON_IsString(item))
                explicit_bzero(item->valuestring, strlen(item->valuestring));
        return r;
}

int64_t token_renew_at(const Token *token) {
        int64_t life = token->expires_at - token->issued_at, wait;

        if (life > token->need.seconds)
                life = token->need.seconds;
        wait = life - life / 5;
        return token->issued_at + (wait < TOKEN_AGE_MAX ? wait : TOKEN_AGE_MAX);
}

void token_done(Token *token) {
        if (token->bytes)
                explicit_bzero(token->bytes, strlen(token->bytes));
        free(token->bytes);
        token_need_done(&token->need);
        *token = (Token){ 0 };
}

/* ---- those that are known ---- */

/* Where it is, or where it would be. */
static size_t place_of(const Tokens *set, const TokenNeed *need, bool *ret_found) {
        size_t low = 0, high = set->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (token_need_compare(&set->tokens[middle].need, need) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        *ret_found = low < set->n && token_need_compare(&set->tokens[low].need, need) == 0;
        return low;
}

const Token *tokens_find(const Tokens *set, const char *namespace, const char *account, const char *audience,
                         int64_t seconds) {
        const TokenNeed need = {
                .namespace = (char *)(uintptr_t) namespace,
                .account = (char *)(uintptr_t)account,
                .audience = (char *)(uintptr_t)audience,
                .seconds = seconds,
        };
        bool found = false;
        size_t at = set ? place_of(set, &need, &found) : 0;

        return found ? &set->tokens[at] : NULL;
}

int tokens_put(Tokens *set, Token *token) {
        bool found;
        size_t at = place_of(set, &token->need, &found);

        if (found) {
                token_done(&set->tokens[at]);
        } else {
                if (!ARRAY_GROW(set->tokens, set->n, set->cap))
                        return -ENOMEM;
                memmove(&set->tokens[at + 1], &set->tokens[at], (set->n - at) * sizeof(*set->tokens));
                set->n++;
        }
        set->tokens[at] = *token;
        *token = (Token){ 0 };
        return 0;
}

void tokens_drop(Tokens *set, const TokenNeed *need) {
        bool found;
        size_t at = place_of(set, need, &found);

        if (!found)
                return;
        token_done(&set->tokens[at]);
        set->n--;
        memmove(&set->tokens[at], &set->tokens[at + 1], (set->n - at) * sizeof(*set->tokens));
}

void tokens_done(Tokens *set) {
        for (size_t i = 0; i < set->n; i++)
                token_done(&set->tokens[i]);
        free(set->tokens);
        *set = (Tokens){ 0 };
}
