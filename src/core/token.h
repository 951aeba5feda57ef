/* SPDX-License-Identifier: Apache-2.0 */
/* ServiceAccount tokens for static pods: what a volume needs, the request to the API server (TokenRequest), its answer,
 * and the set of those that are known. Pure: who asks, and when, is the caller.
 *
 * Kubernetes' rules that are reproduced:
 * - a serviceAccountToken source without expirationSeconds means 3600, and fewer than 600 cannot be asked for; without
 *   audience the token is for the API server itself (TokenRequest without audiences);
 * - the directory that every pod gets has a token of 3607 s for the API server (admission plugin ServiceAccount);
 * - a token is renewed when 80 % of its life are over, or after 24 h (pkg/kubelet/token).
 * Not reproduced: tokens are not bound to the pod, as the API server knows a static pod by its mirror only, and that
 * may come long after the token is needed.
 *
 * A token is a secret: its bytes are overwritten before they are freed, and no message holds them. */
#pragma once

#include "core/json.h"

enum {
        TOKEN_SECONDS = 3600, /* where a source says nothing */
        TOKEN_SECONDS_MIN = 600,
        TOKEN_SECONDS_ACCOUNT = 3607, /* of the directory of a ServiceAccount's token */
        TOKEN_SIZE_MAX = 64 * 1024,
        TOKEN_AGE_MAX = 24 * 3600,
};

/* ---- what a volume needs ---- */

typedef struct TokenNeed {
        char *namespace, *account;
        char *audience;  /* "": that of the API server itself */
        int64_t seconds; /* the life that is asked for */
} TokenNeed;

/* Of a serviceAccountToken source: {"audience":...,"expirationSeconds":...,"path":...}. The audience is borrowed. */
const char *token_audience(const cJSON *source);
int64_t token_seconds(const cJSON *source);

/* Copies the texts. 0 or -ENOMEM. */
int token_need_init(TokenNeed *ret, const char *namespace, const char *account, const char *audience, int64_t seconds);
void token_need_done(TokenNeed *need);

/* By namespace, account, audience and seconds: for qsort. */
int token_need_compare(const void *a, const void *b);

/* Sorts, and drops what is there twice; returns how many are left. */
size_t token_needs_merge(TokenNeed *needs, size_t n);
/* The items and the array. */
void token_needs_free(TokenNeed *needs, size_t n);

/* For messages, on one line: "ServiceAccount kube-system/agent for the API server (3607 s)". An audience that is longer
 * than 253 bytes or not visible ASCII is "for another audience". */
void token_need_text(const TokenNeed *need, Buf *out);

/* ---- request and answer ---- */

/* "/api/v1/namespaces/<namespace>/serviceaccounts/<account>/token", percent-encoded. The request is a POST. */
void token_request_path(const TokenNeed *need, Buf *out);

/* The JSON of an authentication.k8s.io/v1 TokenRequest. Out of memory: out->failed. */
void token_request_body(const TokenNeed *need, Buf *out);

typedef struct Token {
        TokenNeed need;
        char *bytes;                   /* one line of visible ASCII, at most TOKEN_SIZE_MAX */
        int64_t issued_at, expires_at; /* seconds of the wall clock: when the answer was read, and what it says */
} Token;

/* Reads the answer of the API server (201 Created) at the time `now`. -EBADMSG: no token in it, one of other bytes or
 * larger than ours may be, no time that it expires at, or one that is over (then this host's clock may be wrong): err
 * names the need. -ENOMEM. */
int token_answer_read(const char *text, size_t len, const TokenNeed *need, int64_t now, Token *ret, Err *err);

/* When to ask for the next one, in seconds of the wall clock: after 80 % of the life that the answer promised, of the
 * life asked for if that is shorter (a clock that is behind would make it long), or TOKEN_AGE_MAX after it was issued.
 * Without jitter: add some. */
int64_t token_renew_at(const Token *token);

void token_done(Token *token);
#define _cleanup_token_ _cleanup_(token_done)

/* ---- those that are known ---- */

typedef struct Tokens {
        Token *tokens; /* by need, each once */
        size_t n, cap;
} Tokens;

/* The token for exactly this need, or NULL; whether it has expired is the caller's to know. Valid until the next put. A
 * set of NULL is an empty one. */
const Token *tokens_find(const Tokens *set, const char *namespace, const char *account, const char *audience,
                         int64_t seconds);

/* Takes what the token holds, in place of the former one for the same need. 0, or -ENOMEM: then both are as they were.
 */
int tokens_put(Tokens *set, Token *token);

/* Forgets the token for exactly this need, if there is one. */
void tokens_drop(Tokens *set, const TokenNeed *need);

void tokens_done(Tokens *set);
#define _cleanup_tokens_ _cleanup_(tokens_done)
