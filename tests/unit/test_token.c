/* SPDX-License-Identifier: Apache-2.0 */
#include "core/token.h"
#include "test.h"
#include "wiped.h"

#include <errno.h>
#include <stdio.h>

/* ---- helpers ---- */

enum { EXPIRES = 1795201241 }; /* 2026-11-20T19:00:41Z */

#define STATUS(token, expires) "{\"token\":" token ",\"expirationTimestamp\":\"" expires "\"}"
#define ANSWER(token, expires)                                                                                         \
        "{\"kind\":\"TokenRequest\",\"apiVersion\":\"authentication.k8s.io/v1\",\"status\":" STATUS(token, expires) "}"
#define GOOD ANSWER("\"secret.of-it\"", "2026-11-20T19:00:41Z")

/* The texts are borrowed. */
static TokenNeed need_of(const char *namespace, const char *account, const char *audience, int64_t seconds) {
        return (TokenNeed){ .namespace = (char *)(uintptr_t) namespace,
                            .account = (char *)(uintptr_t)account,
                            .audience = (char *)(uintptr_t)audience,
                            .seconds = seconds };
}

static Token token_of(const char *namespace, const char *account, const char *audience, int64_t seconds,
                      const char *bytes) {
        Token token = { .bytes = strdup(bytes), .issued_at = 1, .expires_at = 2 };

        assert_non_null(token.bytes);
        assert_int_equal(token_need_init(&token.need, namespace, account, audience, seconds), 0);
        return token;
}

static cJSON *parse(const char *text) {
        cJSON *tree = NULL;

        assert_int_equal(json_parse(text, strlen(text), (Place){ 1, 1 }, NULL, NULL, &tree, NULL, NULL, NULL), 0);
        return tree;
}

/* ---- what a volume needs ---- */

static void test_sources(void **state) {
        static const struct {
                const char *source, *audience;
                int64_t seconds;
        } rows[] = {
                { "{\"path\":\"t\"}", "", 3600 },
                { "{\"path\":\"t\",\"audience\":\"\"}", "", 3600 },
                { "{\"audience\":\"vault\",\"expirationSeconds\":7200}", "vault", 7200 },
                { "{\"expirationSeconds\":600}", "", 600 },
                { "{\"expirationSeconds\":599}", "", 600 },
                { "{\"expirationSeconds\":-1}", "", 600 },
                { "{\"expirationSeconds\":4294967296}", "", 4294967296 },
                { "{\"expirationSeconds\":\"7200\",\"audience\":7}", "", 3600 },
                { "7", "", 3600 },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_json_ cJSON *source = parse(rows[i].source);

                assert_string_equal(token_audience(source), rows[i].audience);
                assert_int_equal(token_seconds(source), rows[i].seconds);
        }
}

static void test_needs_are_merged(void **state) {
        static const struct {
                const char *namespace, *account, *audience;
                int64_t seconds;
        } rows[] = {
                { "ns", "b", "", 3607 },  { "ns", "a", "x", 3600 }, { "ns", "a", "", 3600 },
                { "ns", "b", "", 3607 },  { "ns", "a", "", 600 },   { "ms", "z", "z", 9999 },
                { "ns", "a", "x", 3600 }, { "ns", "b", "", 3607 },  { "ns", "a", "w", 90000 },
        };
        static const char want[] = "ServiceAccount ms/z for audience z (9999 s)\n"
                                   "ServiceAccount ns/a for the API server (600 s)\n"
                                   "ServiceAccount ns/a for the API server (3600 s)\n"
                                   "ServiceAccount ns/a for audience w (90000 s)\n"
                                   "ServiceAccount ns/a for audience x (3600 s)\n"
                                   "ServiceAccount ns/b for the API server (3607 s)\n";
        TokenNeed *needs = calloc(ARRAY_SIZE(rows), sizeof(*needs));
        _cleanup_buf_ Buf text = BUF_INIT;
        size_t n;

        (void)state;
        assert_non_null(needs);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                assert_int_equal(token_need_init(&needs[i], rows[i].namespace, rows[i].account, rows[i].audience,
                                                 rows[i].seconds),
                                 0);
        n = token_needs_merge(needs, ARRAY_SIZE(rows));
        for (size_t i = 0; i < n; i++) {
                token_need_text(&needs[i], &text);
                buf_char(&text, '\n');
        }
        assert_string_equal(buf_text(&text), want);
        assert_int_equal(token_needs_merge(needs, n), n);
        token_needs_free(needs, n);
        assert_int_equal(token_needs_merge(NULL, 0), 0);
        token_needs_free(NULL, 0);
}

static void test_messages_stay_on_a_line(void **state) {
        static const struct {
                const char *audience, *want;
        } rows[] = {
                { "https://a.example/~b?c", "audience https://a.example/~b?c" },
                { "two words", "another audience" },
                { "two\nlines", "another audience" },
                { "\177", "another audience" },
                { "\303\244", "another audience" },
        };
        char longest[255];

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                TokenNeed need = need_of("ns", "a", rows[i].audience, 3600);
                _cleanup_buf_ Buf text = BUF_INIT, want = BUF_INIT;

                token_need_text(&need, &text);
                buf_printf(&want, "ServiceAccount ns/a for %s (3600 s)", rows[i].want);
                assert_string_equal(buf_text(&text), buf_text(&want));
        }
        for (size_t len = 253; len <= 254; len++) {
                TokenNeed need = need_of("ns", "a", longest, 3600);
                _cleanup_buf_ Buf text = BUF_INIT;

                memset(longest, 'x', len);
                longest[len] = 0;
                token_need_text(&need, &text);
                assert_int_equal(strstr(buf_text(&text), longest) != NULL, len == 253);
        }
}

/* ---- the request ---- */

static void test_request_path(void **state) {
        static const struct {
                const char *namespace, *account, *want;
        } rows[] = {
                { "kube-system", "agent", "/api/v1/namespaces/kube-system/serviceaccounts/agent/token" },
                { "a.b", "AZaz09-._~", "/api/v1/namespaces/a.b/serviceaccounts/AZaz09-._~/token" },
                { "a/b?c", "%\303\244 #@[`{",
                  "/api/v1/namespaces/a%2Fb%3Fc/serviceaccounts/%25%C3%A4%20%23%40%5B%60%7B/"
                  "token" },
                { "", "/:", "/api/v1/namespaces//serviceaccounts/%2F%3A/token" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                TokenNeed need = need_of(rows[i].namespace, rows[i].account, "ignored", 3600);
                _cleanup_buf_ Buf text = BUF_INIT;

                token_request_path(&need, &text);
                assert_string_equal(buf_text(&text), rows[i].want);
        }
}

static void test_request_body(void **state) {
        static const struct {
                const char *audience, *want;
        } rows[] = {
                { "", "{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"TokenRequest\","
                      "\"spec\":{\"expirationSeconds\":3607}}" },
                { "a\"b", "{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"TokenRequest\","
                          "\"spec\":{\"audiences\":[\"a\\\"b\"],\"expirationSeconds\":3607}}" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                TokenNeed need = need_of("ns", "a", rows[i].audience, 3607);
                _cleanup_buf_ Buf text = BUF_INIT;

                token_request_body(&need, &text);
                assert_string_equal(buf_text(&text), rows[i].want);
        }
}

/* ---- the answer ---- */

static void test_answer(void **state) {
        TokenNeed need = need_of("kube-system", "agent", "vault", 3600);
        _cleanup_token_ Token token = { 0 };

        (void)state;
        assert_int_equal(token_answer_read(GOOD, strlen(GOOD), &need, EXPIRES - 3600, &token, NULL), 0);
        assert_string_equal(token.bytes, "secret.of-it");
        assert_int_equal(token.issued_at, EXPIRES - 3600);
        assert_int_equal(token.expires_at, EXPIRES);
        assert_int_equal(token_need_compare(&token.need, &need), 0);
        assert_ptr_not_equal(token.need.audience, need.audience);
        assert_int_equal(token_renew_at(&token), EXPIRES - 720);
}

static void test_answer_of_a_server(void **state) {
        const char *path = test_shared("apiserver/16-tokenrequest.http"), *body;
        TokenNeed need = need_of("kube-system", "agent", "", 3600);
        _cleanup_token_ Token token = { 0 };
        _cleanup_free_ char *text = NULL;
        _cleanup_buf_ Buf request = BUF_INIT;

        (void)state;
        if (!path)
                skip();
        text = test_read_file(path, NULL);
        body = strstr(text, "{\"kind\":\"TokenRequest\"");
        assert_non_null(body);
        assert_int_equal(token_answer_read(body, strlen(body), &need, EXPIRES - 3600, &token, NULL), 0);
        assert_int_equal(token.expires_at, EXPIRES);
        assert_true(strlen(token.bytes) > 0);
        token_request_body(&need, &request);
        assert_non_null(strstr(text, buf_text(&request)));
        buf_reset(&request);
        token_request_path(&need, &request);
        assert_non_null(strstr(text, buf_text(&request)));
}

static void test_bad_answers(void **state) {
        static const struct {
                const char *answer, *want;
        } rows[] = {
                { "", "the answer is no JSON" },
                { "{\"status\":{\"token\":\"secret\"", "the answer is no JSON" },
                { "{}", "the answer holds no token" },
                { "7", "the answer holds no token" },
                { "{\"status\":\"Failure\",\"kind\":\"Status\"}", "the answer holds no token" },
                { "{\"status\":{\"expirationTimestamp\":\"2026-11-20T19:00:41Z\"}}", "the answer holds no token" },
                { "{\"token\":\"secret\",\"expirationTimestamp\":\"2026-11-20T19:00:41Z\"}",
                  "the answer holds no token" },
                { ANSWER("\"\"", "2026-11-20T19:00:41Z"), "the answer holds no token" },
                { ANSWER("7", "2026-11-20T19:00:41Z"), "the answer holds no token" },
                { ANSWER("[\"secret\"]", "2026-11-20T19:00:41Z"), "the answer holds no token" },
                { ANSWER("\"secret\\nsecret\"", "2026-11-20T19:00:41Z"),
                  "what the answer holds is not one line of visible ASCII" },
                { ANSWER("\"secret\\n\"", "2026-11-20T19:00:41Z"),
                  "what the answer holds is not one line of visible ASCII" },
                { ANSWER("\"secret secret\"", "2026-11-20T19:00:41Z"),
                  "what the answer holds is not one line of visible ASCII" },
                { ANSWER("\"secret\\u007f\"", "2026-11-20T19:00:41Z"),
                  "what the answer holds is not one line of visible ASCII" },
                { ANSWER("\"secret\303\244\"", "2026-11-20T19:00:41Z"),
                  "what the answer holds is not one line of visible ASCII" },
                { ANSWER("\"secret\"", ""), "the answer does not say when it expires" },
                { ANSWER("\"secret\"", "soon"), "the answer does not say when it expires" },
                { "{\"status\":{\"token\":\"secret\"}}", "the answer does not say when it expires" },
                { "{\"status\":{\"token\":\"secret\",\"expirationTimestamp\":1795201241}}",
                  "the answer does not say when it expires" },
                { ANSWER("\"secret\"", "2026-11-20T18:00:41Z"), "it has expired already; check this host's clock" },
        };
        TokenNeed need = need_of("ns", "a", "", 3600);

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_buf_ Buf want = BUF_INIT;
                Token token = { .issued_at = 77 };
                Err err = { "" };

                assert_int_equal(
                        token_answer_read(rows[i].answer, strlen(rows[i].answer), &need, EXPIRES - 3600, &token, &err),
                        -EBADMSG);
                buf_printf(&want, "token of ServiceAccount ns/a for the API server (3600 s): %s", rows[i].want);
                assert_string_equal(err.message, buf_text(&want));
                assert_int_equal(token.issued_at, 77);
                assert_null(token.bytes);
        }
}

static void test_tokens_have_a_largest_size(void **state) {
        TokenNeed need = need_of("ns", "a", "", 3600);

        (void)state;
        for (size_t more = 0; more < 2; more++) {
                _cleanup_buf_ Buf answer = BUF_INIT;
                _cleanup_token_ Token token = { 0 };

                buf_str(&answer, "{\"status\":{\"expirationTimestamp\":\"2026-11-20T19:00:41Z\",\"token\":\"");
                for (size_t i = 0; i < TOKEN_SIZE_MAX + more; i++)
                        buf_char(&answer, i % 2 ? '!' : '~');
                buf_str(&answer, "\"}}");
                assert_int_equal(token_answer_read(buf_text(&answer), answer.len, &need, EXPIRES - 1, &token, NULL),
                                 more ? -EBADMSG : 0);
        }
}

static void test_renewal(void **state) {
        static const struct {
                int64_t asked, life, want;
        } rows[] = {
                { 3600, 3600, 2880 },
                { 3607, 3607, 2886 },
                { 600, 600, 480 },
                { 3600, 600, 480 },           /* the server gave less */
                { 3600, 3600 + 86400, 2880 }, /* or the clock is behind */
                { 3600, 1, 1 },               /* never before it was issued */
                { 108000, 108000, 86400 },    /* 30 h: 24 h are 80 % of it */
                { 107995, 107995, 86396 },
                { 4294967296, 4294967296, 86400 },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                Token token = { .need = { .seconds = rows[i].asked },
                                .issued_at = 1000,
                                .expires_at = 1000 + rows[i].life };

                assert_int_equal(token_renew_at(&token) - 1000, rows[i].want);
        }
}

/* ---- those that are known ---- */

static void test_set(void **state) {
        static const struct {
                const char *namespace, *account, *audience;
                int64_t seconds;
        } rows[] = {
                { "ns", "b", "", 3607 }, { "ns", "a", "x", 3600 }, { "ns", "a", "", 3600 }, { "ns", "a", "", 600 },
                { "ms", "z", "", 3600 }, { "ns", "c", "", 3600 },  { "os", "a", "", 3600 },
        };
        _cleanup_tokens_ Tokens set = { 0 };
        char bytes[8];

        (void)state;
        assert_null(tokens_find(NULL, "ns", "a", "", 3600));
        assert_null(tokens_find(&set, "ns", "a", "", 3600));
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                Token token;

                (void)snprintf(bytes, sizeof(bytes), "t%zu", i);
                token = token_of(rows[i].namespace, rows[i].account, rows[i].audience, rows[i].seconds, bytes);
                assert_int_equal(tokens_put(&set, &token), 0);
                assert_null(token.bytes);
                assert_null(token.need.namespace);
                assert_int_equal(set.n, i + 1);
                for (size_t k = 0; k < ARRAY_SIZE(rows); k++) {
                        const Token *found = tokens_find(&set, rows[k].namespace, rows[k].account, rows[k].audience,
                                                         rows[k].seconds);

                        assert_int_equal(found != NULL, k <= i);
                        (void)snprintf(bytes, sizeof(bytes), "t%zu", k);
                        if (found)
                                assert_string_equal(found->bytes, bytes);
                }
        }
        for (size_t i = 0; i + 1 < set.n; i++)
                assert_true(token_need_compare(&set.tokens[i].need, &set.tokens[i + 1].need) < 0);
        assert_null(tokens_find(&set, "ns", "a", "", 3607));
        assert_null(tokens_find(&set, "ns", "a", "y", 3600));
        assert_null(tokens_find(&set, "ns", "aa", "", 3600));
        assert_null(tokens_find(&set, "zz", "a", "", 3600));
}

static void test_renewed_token_replaces_the_former(void **state) {
        _cleanup_tokens_ Tokens set = { 0 };
        Token first = token_of("ns", "a", "", 3600, "former"), second = token_of("ns", "a", "", 3600, "renewed");

        (void)state;
        assert_int_equal(tokens_put(&set, &first), 0);
        watched = "former";
        n_watched = 0;
        assert_int_equal(tokens_put(&set, &second), 0);
        watched = NULL;
        assert_int_equal(n_watched, 1);
        assert_int_equal(set.n, 1);
        assert_string_equal(tokens_find(&set, "ns", "a", "", 3600)->bytes, "renewed");
}

/* ---- memory ---- */

static void test_secrets_are_overwritten(void **state) {
        static const char bad[] = ANSWER("\"secret.of-it \"", "2026-11-20T19:00:41Z");
        TokenNeed need = need_of("ns", "a", "", 3600);
        Tokens set = { 0 };
        Token token = { 0 };

        (void)state;
        watched = "secret.of-it";
        n_watched = 0;
        assert_int_equal(token_answer_read(GOOD, strlen(GOOD), &need, EXPIRES - 3600, &token, NULL), 0);
        assert_int_equal(n_watched, 1); /* the tree */
        assert_int_equal(tokens_put(&set, &token), 0);
        assert_int_equal(n_watched, 1);
        tokens_done(&set);
        assert_int_equal(n_watched, 2);
        assert_null(set.tokens);
        assert_int_equal(set.n, 0);
        tokens_done(&set);
        assert_int_equal(token_answer_read(bad, strlen(bad), &need, EXPIRES - 3600, &token, NULL), -EBADMSG);
        assert_int_equal(n_watched, 3);
        watched = NULL;
}

static int read_and_put(void *user) {
        static const char *const audiences[] = { "vault", "", "vault" };
        Tokens set = { 0 };
        int r = 0;

        (void)user;
        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(audiences); i++) {
                TokenNeed need = need_of("ns", "a", audiences[i], 3600);
                Token token = { 0 };

                r = token_answer_read(GOOD, strlen(GOOD), &need, EXPIRES - 3600, &token, NULL);
                if (r < 0)
                        assert_null(token.bytes);
                else
                        r = tokens_put(&set, &token);
                if (r < 0)
                        assert_int_equal(set.n, i);
                token_done(&token);
        }
        tokens_done(&set);
        return r;
}

static int write_request(void *user) {
        TokenNeed need = need_of("ns", "a", "vault", 3600);
        _cleanup_buf_ Buf body = BUF_INIT;

        (void)user;
        token_request_body(&need, &body);
        return body.failed ? -ENOMEM : 0;
}

static void test_every_allocation_fails_once(void **state) {
        (void)state;
        (void)test_oom(read_and_put, NULL);
        (void)test_oom(write_request, NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sources),
                cmocka_unit_test(test_needs_are_merged),
                cmocka_unit_test(test_messages_stay_on_a_line),
                cmocka_unit_test(test_request_path),
                cmocka_unit_test(test_request_body),
                cmocka_unit_test(test_answer),
                cmocka_unit_test(test_answer_of_a_server),
                cmocka_unit_test(test_bad_answers),
                cmocka_unit_test(test_tokens_have_a_largest_size),
                cmocka_unit_test(test_renewal),
                cmocka_unit_test(test_set),
                cmocka_unit_test(test_renewed_token_replaces_the_former),
                cmocka_unit_test(test_secrets_are_overwritten),
                cmocka_unit_test(test_every_allocation_fails_once),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
