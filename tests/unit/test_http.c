/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP over TLS against a real server on 127.0.0.1 that behaves as well or as badly as it is told. */
#include "io/http.h"
#include "tls_server.h"
#include "tmpdir.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE = 60, DAY = 86400 }; /* seconds */

/* ---- names: a program's own getaddrinfo is found before libc's ---- */

static pthread_mutex_t names_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t names_freed = PTHREAD_COND_INITIALIZER;
static bool names_stuck;
static unsigned names_waiting;

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **ret) {
        int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

        *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
        if (streq(name, "stuck.test")) {
                pthread_mutex_lock(&names_lock);
                names_waiting++;
                while (names_stuck)
                        pthread_cond_wait(&names_freed, &names_lock);
                names_waiting--;
                pthread_cond_broadcast(&names_freed);
                pthread_mutex_unlock(&names_lock);
                return EAI_AGAIN;
        }
        if (streq(name, "api.test") || streq(name, "other.test"))
                return real("127.0.0.1", service, hints, ret);
        return EAI_NONAME;
}

/* ---- what libcurl asks OpenSSL and we ask libc ---- */

static unsigned host_certificates_read;

/* Which of these libcurl uses depends on its version. */
int SSL_CTX_load_verify_locations(SSL_CTX *ctx, const char *file, const char *dir) {
        (void)ctx, (void)file, (void)dir;
        host_certificates_read++;
        return 1;
}

#if OPENSSL_VERSION_NUMBER >= 0x30000000L
int SSL_CTX_load_verify_dir(SSL_CTX *ctx, const char *dir) {
        return SSL_CTX_load_verify_locations(ctx, NULL, dir);
}

int SSL_CTX_load_verify_file(SSL_CTX *ctx, const char *file) {
        return SSL_CTX_load_verify_locations(ctx, file, NULL);
}

int X509_STORE_load_path(X509_STORE *store, const char *dir) {
        (void)store;
        return SSL_CTX_load_verify_locations(NULL, NULL, dir);
}

int X509_STORE_load_file(X509_STORE *store, const char *file) {
        (void)store;
        return SSL_CTX_load_verify_locations(NULL, file, NULL);
}
#endif

static const char *wiped_text; /* to be seen by explicit_bzero */
static unsigned wiped_times;

static void look_at_wiped(const void *p, size_t n) {
        if (wiped_text && n == strlen(wiped_text) && memcmp(p, wiped_text, n) == 0)
                wiped_times++;
}

static __attribute__((noinline)) void wipe(void *p, size_t n) {
        look_at_wiped(p, n);
        memset(p, 0, n);
        __asm__ __volatile__("" : : "r"(p) : "memory");
}

#undef explicit_bzero
void explicit_bzero(void *p, size_t n) {
        wipe(p, n);
}

void __explicit_bzero_chk(void *p, size_t n, size_t size); /* with _FORTIFY_SOURCE */
void __explicit_bzero_chk(void *p, size_t n, size_t size) {
        (void)size;
        wipe(p, n);
}

/* ---- the world of a test ---- */

static Cert *ca, *other_ca, *server_cert, *client_cert, *other_client_cert;

typedef struct World {
        sd_event *loop;
        Http *http;
        TlsServer *server;
} World;

/* What the handlers of a call saw. */
typedef struct Seen {
        World *w;
        HttpCall *call;
        HttpHead head;
        char type[128];
        unsigned heads, ends, pieces;
        Buf body;
        bool keeps_nothing; /* of the body */
        size_t len;
        int data_result, result;
        char why[512];
        bool is_cancelled;
        void (*hook)(struct Seen *s, const char *where);
        struct Seen *other;
} Seen;

static int group_setup(void **state) {
        (void)state;
        (void)signal(SIGPIPE, SIG_IGN);
        ca = cert_new("a test's CA", NULL, NULL, -DAY, DAY);
        other_ca = cert_new("another CA", NULL, NULL, -DAY, DAY);
        server_cert = cert_new("server", "DNS:api.test,IP:127.0.0.1", ca, -DAY, DAY);
        client_cert = cert_new("client", "DNS:client", ca, -DAY, DAY);
        other_client_cert = cert_new("client", "DNS:client", other_ca, -DAY, DAY);
        return 0;
}

static int group_teardown(void **state) {
        (void)state;
        cert_free(ca);
        cert_free(other_ca);
        cert_free(server_cert);
        cert_free(client_cert);
        cert_free(other_client_cert);
        return 0;
}

static HttpIdentity identity(void) {
        return (HttpIdentity){ .ca = ca->pem, .ca_len = strlen(ca->pem), .user_agent = "a test/1" };
}

static void use_identity(World *w, HttpIdentity id) {
        assert_int_equal(http_set_identity(w->http, &id), 0);
}

static int setup(void **state) {
        World *w = calloc(1, sizeof(*w));

        assert_non_null(w);
        assert_true(sd_event_new(&w->loop) >= 0);
        assert_int_equal(http_new(w->loop, &w->http), 0);
        use_identity(w, identity());
        w->server = tls_server_new(&(TlsServerOptions){ .cert = server_cert });
        *state = w;
        return 0;
}

static int teardown(void **state) {
        World *w = *state;

        http_free(w->http);
        sd_event_unref(w->loop);
        tls_server_free(w->server);
        free(w);
        return 0;
}

/* Another server in place of the well-behaved one. */
static void replace_server(World *w, TlsServerOptions options) {
        tls_server_free(w->server);
        w->server = tls_server_new(&options);
}

static void on_head(void *user, const HttpHead *head) {
        Seen *s = user;

        assert_false(s->is_cancelled);
        assert_int_equal(s->pieces, 0);
        assert_int_equal(s->ends, 0);
        s->heads++;
        s->head = *head;
        (void)snprintf(s->type, sizeof(s->type), "%s", head->content_type);
        if (s->hook)
                s->hook(s, "head");
}

static int on_data(void *user, const char *bytes, size_t len) {
        Seen *s = user;

        assert_false(s->is_cancelled);
        assert_int_equal(s->heads, 1);
        assert_int_equal(s->ends, 0);
        s->pieces++;
        s->len += len;
        if (!s->keeps_nothing)
                buf_add(&s->body, bytes, len);
        if (s->hook)
                s->hook(s, "data");
        return s->data_result;
}

static void on_end(void *user, int result, const char *why) {
        Seen *s = user;

        assert_false(s->is_cancelled);
        assert_int_equal(s->ends, 0);
        s->ends++;
        s->result = result;
        (void)snprintf(s->why, sizeof(s->why), "%s", why);
        assert_true(result <= 0);
        assert_int_equal(*why != 0, result < 0);
        assert_null(strpbrk(why, "\r\n\t"));
        if (s->hook)
                s->hook(s, "end");
}

static const HttpHandler handler = { .head = on_head, .data = on_data, .end = on_end };

static void seen_done(Seen *s) {
        buf_done(&s->body);
}
#define _cleanup_seen_ _cleanup_(seen_done)

static const char *url(World *w, const char *host, const char *path) {
        static char text[8][512];
        static unsigned n;
        char *to = text[n++ % 8];

        (void)snprintf(to, 512, "https://%s:%d%s", host, tls_server_port(w->server), path);
        return to;
}

/* Starts it; a request without a URL is for path. A handshake may take its time, unless that is what is asked about. */
static int start(World *w, Seen *s, HttpRequest request, const char *path) {
        s->w = w;
        request.connect_timeout = request.connect_timeout ? request.connect_timeout : PATIENCE * 1000;
        request.method = request.method ? request.method : "GET";
        request.url = request.url ? request.url : url(w, "127.0.0.1", str_or_empty(path));
        return http_start(w->http, &request, &handler, s, &s->call);
}

/* One turn of the loop; true if something was done. */
static bool turn(World *w, uint64_t usec) {
        int r = sd_event_run(w->loop, usec);

        assert_true(r >= 0);
        return r > 0;
}

static int64_t now_ms(void) {
        struct timespec t;

        assert_int_equal(clock_gettime(CLOCK_BOOTTIME, &t), 0);
        return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

#define RUN_UNTIL(w, condition)                                                                                        \
        do {                                                                                                           \
                for (int64_t begun_ = now_ms(); !(condition);) {                                                       \
                        if (now_ms() > begun_ + PATIENCE * 1000)                                                       \
                                fail_msg("waited in vain for " #condition);                                            \
                        (void)turn(w, 20000);                                                                          \
                }                                                                                                      \
        } while (0)

/* Nothing is left to do for so many milliseconds. */
static void drain_for(World *w, uint64_t quiet) {
        while (turn(w, quiet * 1000))
                ;
}

static void drain(World *w) {
        drain_for(w, 50);
}

static void ask(World *w, Seen *s, HttpRequest request, const char *path) {
        assert_int_equal(start(w, s, request, path), 0);
        assert_int_equal(s->heads + s->pieces + s->ends, 0);
        RUN_UNTIL(w, s->ends);
}

#define ASK(w, s, path, ...) ask(w, s, (HttpRequest){ __VA_ARGS__ }, path)

/* A plain request that has to work. */
static void works(World *w) {
        _cleanup_seen_ Seen s = { 0 };

        ASK(w, &s, "/ok");
        if (s.result != 0)
                fail_msg("%d: %s", s.result, s.why);
        assert_int_equal(s.head.status, 200);
        assert_string_equal(buf_text(&s.body), "hello");
}

#define ASSERT_FAILS(s, code, part)                                                                                    \
        do {                                                                                                           \
                if ((s)->result != (code) || !strstr((s)->why, part))                                                  \
                        fail_msg("%d: '%s' where %s with '%s' was expected", (s)->result, (s)->why, #code, part);      \
        } while (0)

/* ---- answers ---- */

#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello"

static void test_an_answer(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen s = { 0 };
        HttpCounters c;

        ASK(w, &s, "/ok");
        assert_int_equal(s.result, 0);
        assert_int_equal(s.head.status, 200);
        assert_string_equal(s.type, "application/json");
        assert_int_equal(s.head.retry_after, -1);
        assert_int_equal(s.heads, 1);
        assert_string_equal(buf_text(&s.body), "hello");
        c = http_counters(w->http);
        assert_int_equal(c.requests, 1);
        assert_int_equal(c.connections, 1);
        assert_int_equal(c.bytes, strlen(OK_ANSWER));
}

static void test_a_status_without_body(void **state) {
        static const int all[] = { 204, 301, 400, 401, 403, 404, 410, 422, 500, 503 };
        World *w = *state;

        for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
                _cleanup_seen_ Seen s = { 0 };
                char path[32];

                (void)snprintf(path, sizeof(path), "/status/%d", all[i]);
                ASK(w, &s, path);
                assert_int_equal(s.result, 0);
                assert_int_equal(s.head.status, all[i]);
                assert_string_equal(s.type, "");
                assert_int_equal(s.len, 0);
        }
        assert_int_equal(tls_server_connections(w->server), 1);
}

static void test_a_redirect_is_an_answer(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen s = { 0 };

        ASK(w, &s, "/redirect");
        assert_int_equal(s.result, 0);
        assert_int_equal(s.head.status, 302);
        assert_string_equal(buf_text(&s.body), "move");
        assert_int_equal(tls_server_requests(w->server), 1);
}

static void test_early_hints_are_no_head(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen s = { 0 };

        ASK(w, &s, "/early-hints");
        assert_int_equal(s.result, 0);
        assert_int_equal(s.head.status, 200);
        assert_int_equal(s.heads, 1);
        assert_int_equal(s.head.retry_after, -1);
        assert_string_equal(buf_text(&s.body), "hello");
}

static void test_compressed(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen s = { 0 };

        ASK(w, &s, "/gzip");
        assert_int_equal(s.result, 0);
        assert_string_equal(buf_text(&s.body), "hello, compressed world, hello\n");
        assert_true(http_counters(w->http).bytes > 49 && http_counters(w->http).bytes < 49 + 200);
}

static void test_torn_into_bytes(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen s = { 0 };

        ASK(w, &s, "/torn");
        assert_int_equal(s.result, 0);
        assert_string_equal(buf_text(&s.body), "torn");
}

static void test_trailers_are_no_head(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen s = { 0 };

        ASK(w, &s, "/trailers");
        assert_int_equal(s.result, 0);
        assert_int_equal(s.heads, 1);
        assert_int_equal(s.head.retry_after, -1);
        assert_string_equal(buf_text(&s.body), "hello");
}

static void test_an_end_by_closing(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen polite = { 0 }, cut = { 0 };

        ASK(w, &polite, "/until-close");
        assert_int_equal(polite.result, 0);
        assert_string_equal(buf_text(&polite.body), "hello");
        ASK(w, &cut, "/cut");
        assert_int_equal(cut.result, 0);
        assert_string_equal(buf_text(&cut.body), "hello");
}

static void test_handlers_may_be_missing(void **state) {
        World *w = *state;
        HttpCall *call;
        HttpRequest request = { .method = "GET", .url = url(w, "127.0.0.1", "/ok") };

        assert_int_equal(http_start(w->http, &request, &(HttpHandler){ 0 }, NULL, &call), 0);
        RUN_UNTIL(w, http_counters(w->http).bytes == strlen(OK_ANSWER));
        drain(w);
        works(w);
        assert_int_equal(tls_server_connections(w->server), 1);
}

static void test_huge(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen s = { .keeps_nothing = true };

        ASK(w, &s, "/huge", .max_body = 1 << 20);
        assert_int_equal(s.result, 0);
        assert_int_equal(s.len, 1 << 20);
}

static void test_retry_after(void **state) {
        static const struct {
                const char *value;
                int64_t least, most;
        } rows[] = {
                { "7", 7000, 7000 },
                { "0", 0, 0 },
                { "3600", 3600000, 3600000 },
                { "3601", 3600000, 3600000 },
                { "99999999999999999999999", 3600000, 3600000 },
                { "soon", -1, -1 },
                { "7x", -1, -1 },
                { "-5", -1, -1 },
                { "", -1, -1 },
                { "Sun,_06_Nov_1994_08:49:37_GMT", 0, 0 },
                { "Wed,_06_Nov_2097_08:49:37_GMT", 3600000, 3600000 },
        };
        World *w = *state;

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_seen_ Seen s = { 0 };
                char path[128];

                (void)snprintf(path, sizeof(path), "/retry/%s", rows[i].value);
                ASK(w, &s, path);
                assert_int_equal(s.head.status, 429);
                if (s.head.retry_after < rows[i].least || s.head.retry_after > rows[i].most)
                        fail_msg("'%s' gave %lld", rows[i].value, (long long)s.head.retry_after);
        }
}

static void test_retry_after_a_date(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen s = { 0 };
        char path[128];
        time_t at = time(NULL) + 1000;
        struct tm tm;

        (void)strftime(path, sizeof(path), "/retry/%a,_%d_%b_%Y_%H:%M:%S_GMT", gmtime_r(&at, &tm));
        ASK(w, &s, path);
        assert_true(s.head.retry_after > (1000 - 2 * PATIENCE) * 1000 && s.head.retry_after <= 1000 * 1000);
}

/* ---- requests ---- */

static void test_what_is_sent(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen s = { 0 };
        const char *text;

        ASK(w, &s, "/echo?a=%2Fb&c=d%20e", .accept = "application/json;as=Table", .token = "abc.def-ghi");
        text = buf_text(&s.body);
        assert_int_equal(s.result, 0);
        assert_true(startswith(text, "GET /echo?a=%2Fb&c=d%20e HTTP/1.1\r\n"));
        assert_non_null(strstr(text, "\r\nAccept: application/json;as=Table\r\n"));
        assert_non_null(strstr(text, "\r\nAuthorization: Bearer abc.def-ghi\r\n"));
        assert_non_null(strstr(text, "\r\nUser-Agent: a test/1\r\n"));
        assert_non_null(strstr(text, "\r\nAccept-Encoding: gzip\r\n"));
        assert_null(strstr(text, "Expect"));
        assert_null(strstr(text, "Content-Length"));
        assert_null(strstr(text, "Cookie"));
}

static void test_what_is_posted(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen s = { 0 };
        const char *text, *body;

        ASK(w, &s, "/echo", .method = "POST", .body = "{\"a\":\0 1}rest", .body_len = 9,
            .content_type = "application/json");
        text = buf_text(&s.body);
        assert_true(startswith(text, "POST /echo HTTP/1.1\r\n"));
        assert_non_null(strstr(text, "\r\nContent-Type: application/json\r\n"));
        assert_non_null(strstr(text, "\r\nContent-Length: 9\r\n"));
        assert_null(strstr(text, "Authorization"));
        body = strstr(text, "\r\n\r\n") + 4;
        assert_int_equal(s.body.len - (size_t)(body - text), 9);
        assert_memory_equal(body, "{\"a\":\0 1}", 9);
}

/* No round trip for "100 Continue", which this server never says. */
static void test_a_long_body_is_posted(void **state) {
        static char body[1100 * 1024]; /* from a mebibyte on libcurl would like to ask first */
        World *w = *state;
        _cleanup_seen_ Seen s = { 0 };

        memset(body, 'b', sizeof(body));
        ASK(w, &s, "/echo", .method = "POST", .body = body, .body_len = sizeof(body), .content_type = "text/plain");
        assert_int_equal(s.result, 0);
        assert_true(s.len > sizeof(body));
        assert_null(strstr(buf_text(&s.body), "Expect"));
}

static void test_other_methods(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen empty = { 0 }, removal = { 0 }, put = { 0 };

        ASK(w, &empty, "/echo", .method = "POST");
        assert_true(startswith(buf_text(&empty.body), "POST /echo"));
        assert_non_null(strstr(buf_text(&empty.body), "\r\nContent-Length: 0\r\n"));
        ASK(w, &removal, "/echo", .method = "DELETE");
        assert_true(startswith(buf_text(&removal.body), "DELETE /echo"));
        ASK(w, &put, "/echo", .method = "PUT", .body = "x", .body_len = 1, .content_type = "text/plain");
        assert_true(startswith(buf_text(&put.body), "PUT /echo"));
        assert_string_equal(strstr(buf_text(&put.body), "\r\n\r\n"), "\r\n\r\nx");
}

static void test_what_cannot_be_asked(void **state) {
        static const char *const bad[] = {
                "http://127.0.0.1/", "ftp://127.0.0.1/", "file:///etc/passwd", "127.0.0.1",    "",
                "https://",          "https://a b/",     "https://a:99999/",   "https://a/\n",
        };
        World *w = *state;
        Seen s = { 0 };

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                if (start(w, &s, (HttpRequest){ .url = bad[i] }, NULL) != -EINVAL)
                        fail_msg("'%s' was taken", bad[i]);
        assert_int_equal(start(w, &s, (HttpRequest){ .token = "a\r\nX: y" }, "/ok"), -EINVAL);
        assert_int_equal(start(w, &s, (HttpRequest){ .accept = "a\nX: y" }, "/ok"), -EINVAL);
        assert_int_equal(start(w, &s, (HttpRequest){ .method = "GET /x HTTP/1.1\r\nX:" }, "/ok"), -EINVAL);
        drain(w);
        assert_int_equal(tls_server_connections(w->server), 0);
        assert_int_equal(s.ends, 0);
}

/* ---- connections ---- */

static void test_a_connection_is_kept(void **state) {
        World *w = *state;

        for (int i = 0; i < 5; i++)
                works(w);
        assert_int_equal(tls_server_connections(w->server), 1);
        assert_int_equal(http_counters(w->http).connections, 1);
        assert_int_equal(http_counters(w->http).requests, 5);
}

static void test_many_connections_are_kept(void **state) {
        enum { N = 64 };
        World *w = *state;

        for (int round = 0; round < 2; round++) {
                Seen all[N] = { 0 };

                for (int i = 0; i < N; i++)
                        assert_int_equal(
                                start(w, &all[i], (HttpRequest){ .connect_timeout = PATIENCE * 1000 }, "/wait"), 0);
                RUN_UNTIL(w, tls_server_waiting(w->server) == N);
                tls_server_drip(w->server);
                for (int i = 0; i < N; i++) {
                        RUN_UNTIL(w, all[i].ends);
                        assert_int_equal(all[i].result, 0);
                        seen_done(&all[i]);
                }
        }
        assert_int_equal(http_counters(w->http).connections, N);
        assert_int_equal(tls_server_connections(w->server), N);
}

static void test_a_kept_connection_has_died(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen s = { 0 };

        ASK(w, &s, "/until-close");
        RUN_UNTIL(w, tls_server_open(w->server) == 0);
        works(w);
        assert_int_equal(tls_server_connections(w->server), 2);
}

static void test_a_new_identity_has_its_own_connections(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen s = { 0 };

        works(w);
        assert_int_equal(start(w, &s, (HttpRequest){ 0 }, "/drip"), 0);
        RUN_UNTIL(w, s.heads);
        assert_int_equal(tls_server_connections(w->server), 1);
        use_identity(w, identity());
        works(w);
        works(w);
        assert_int_equal(tls_server_connections(w->server), 2);
        /* What is under way goes on. */
        assert_int_equal(s.len, 0);
        tls_server_drip(w->server);
        RUN_UNTIL(w, s.len == 1);
        http_cancel(s.call);
        /* And takes its connections with it at the end. */
        RUN_UNTIL(w, (tls_server_drip(w->server), tls_server_open(w->server) == 1));
}

static void test_an_identity_that_is_no_more(void **state) {
        World *w = *state;
        HttpIdentity id = identity();
        _cleanup_seen_ Seen s = { 0 };

        replace_server(w, (TlsServerOptions){ .cert = server_cert, .client_ca = ca });
        id.cert = client_cert->pem, id.cert_len = strlen(id.cert);
        id.key = client_cert->key_pem, id.key_len = strlen(id.key);
        use_identity(w, id);
        works(w);
        use_identity(w, identity());
        ASK(w, &s, "/ok");
        ASSERT_FAILS(&s, -EPROTO, "certificate required");
}

static void test_keys_are_wiped(void **state) {
        World *w = *state;
        HttpIdentity id = identity();
        char header[] = "Authorization: Bearer tell-nobody";
        _cleanup_seen_ Seen s = { 0 };

        id.cert = client_cert->pem, id.cert_len = strlen(id.cert);
        id.key = client_cert->key_pem, id.key_len = strlen(id.key);
        use_identity(w, id);
        wiped_text = id.key;
        wiped_times = 0;
        use_identity(w, identity());
        assert_int_equal(wiped_times, 1);
        wiped_text = header;
        wiped_times = 0;
        ASK(w, &s, "/ok", .token = "tell-nobody");
        wiped_text = NULL;
        assert_int_equal(wiped_times, 1);
}

/* ---- TLS ---- */

static void test_the_wrong_ca(void **state) {
        World *w = *state;
        HttpIdentity id = identity();
        _cleanup_seen_ Seen s = { 0 };

        id.ca = other_ca->pem, id.ca_len = strlen(id.ca);
        use_identity(w, id);
        ASK(w, &s, "/ok");
        ASSERT_FAILS(&s, -EPROTO, "unable to get local issuer certificate");
        assert_int_equal(tls_server_requests(w->server), 0);
}

static void test_no_ca(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen s = { 0 }, garbage = { 0 };

        use_identity(w, (HttpIdentity){ 0 });
        host_certificates_read = 0;
        ASK(w, &s, "/ok");
        ASSERT_FAILS(&s, -EPROTO, "certificate");
        assert_true(host_certificates_read > 0);
        use_identity(w, (HttpIdentity){ .ca = "no PEM", .ca_len = 6 });
        ASK(w, &garbage, "/ok");
        ASSERT_FAILS(&garbage, -EPROTO, "");
}

/* Or any public authority could vouch for an API server. */
static void test_the_hosts_certificates_do_not_count_beside_ours(void **state) {
        World *w = *state;

        host_certificates_read = 0;
        works(w);
        assert_int_equal(host_certificates_read, 0);
}

static void test_not_verified_if_told_so(void **state) {
        World *w = *state;
        HttpIdentity id = identity();
        _cleanup_seen_ Seen s = { 0 };

        id.ca = other_ca->pem, id.ca_len = strlen(id.ca);
        id.insecure = true;
        use_identity(w, id);
        works(w);
        ASK(w, &s, NULL, .url = url(w, "other.test", "/ok"));
        assert_int_equal(s.result, 0);
}

static void test_certificates_out_of_their_time(void **state) {
        World *w = *state;
        Cert *old = cert_new("server", "IP:127.0.0.1", ca, -2 * DAY, -DAY);
        Cert *new = cert_new("server", "IP:127.0.0.1", ca, DAY, 2 * DAY);
        _cleanup_seen_ Seen a = { 0 }, b = { 0 };

        replace_server(w, (TlsServerOptions){ .cert = old });
        ASK(w, &a, "/ok");
        ASSERT_FAILS(&a, -EPROTO, "certificate has expired");
        replace_server(w, (TlsServerOptions){ .cert = new });
        ASK(w, &b, "/ok");
        ASSERT_FAILS(&b, -EPROTO, "certificate is not yet valid");
        cert_free(old);
        cert_free(new);
}

static void test_the_name_in_the_certificate(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen right = { 0 }, wrong = { 0 };

        ASK(w, &right, NULL, .url = url(w, "api.test", "/ok"));
        assert_int_equal(right.result, 0);
        assert_string_equal(tls_server_sni(w->server), "api.test");
        ASK(w, &wrong, NULL, .url = url(w, "other.test", "/ok"));
        ASSERT_FAILS(&wrong, -EPROTO, "subject name matches target host name 'other.test'");
}

static void test_the_server_has_another_name(void **state) {
        World *w = *state;
        HttpIdentity id = identity();
        _cleanup_seen_ Seen right = { 0 }, by_name = { 0 }, wrong = { 0 }, address = { 0 };
        char host[64];

        id.tls_server_name = "api.test";
        use_identity(w, id);
        ASK(w, &right, "/echo?a=b");
        assert_int_equal(right.result, 0);
        assert_string_equal(tls_server_sni(w->server), "api.test");
        (void)snprintf(host, sizeof(host), "\r\nHost: 127.0.0.1:%d\r\n", tls_server_port(w->server));
        assert_true(startswith(buf_text(&right.body), "GET /echo?a=b HTTP/1.1\r\n"));
        assert_non_null(strstr(buf_text(&right.body), host));
        assert_null(strstr(strstr(buf_text(&right.body), "Host: ") + 1, "Host: "));
        works(w);
        assert_int_equal(tls_server_connections(w->server), 1);
        ASK(w, &by_name, NULL, .url = url(w, "other.test", "/ok"));
        assert_int_equal(by_name.result, 0);
        id.tls_server_name = "else.test";
        use_identity(w, id);
        ASK(w, &wrong, "/ok");
        ASSERT_FAILS(&wrong, -EPROTO, "'else.test'");
        id.tls_server_name = "127.0.0.1";
        use_identity(w, id);
        ASK(w, &address, NULL, .url = url(w, "api.test", "/ok"));
        assert_int_equal(address.result, 0);
        assert_string_equal(tls_server_sni(w->server), "");
}

static void test_client_certificates(void **state) {
        World *w = *state;
        HttpIdentity id = identity();
        _cleanup_seen_ Seen none = { 0 }, wrong = { 0 };
        _cleanup_buf_ Buf combined = BUF_INIT;

        replace_server(w, (TlsServerOptions){ .cert = server_cert, .client_ca = ca });
        ASK(w, &none, "/ok");
        ASSERT_FAILS(&none, -EPROTO, "certificate required");
        id.cert = client_cert->pem, id.cert_len = strlen(id.cert);
        id.key = client_cert->key_pem, id.key_len = strlen(id.key);
        use_identity(w, id);
        works(w);
        /* As the kubelet has it: one file for both, the key first or last. */
        buf_str(&combined, client_cert->pem);
        buf_str(&combined, client_cert->key_pem);
        buf_str(&combined, ca->pem);
        id.cert = id.key = combined.data;
        id.cert_len = id.key_len = combined.len;
        use_identity(w, id);
        works(w);
        id.cert = other_client_cert->pem, id.cert_len = strlen(id.cert);
        id.key = other_client_cert->key_pem, id.key_len = strlen(id.key);
        use_identity(w, id);
        ASK(w, &wrong, "/ok");
        ASSERT_FAILS(&wrong, -EPROTO, "unknown ca");
}

static void test_unusable_client_certificates(void **state) {
        World *w = *state;
        HttpIdentity id = identity();
        char *locked = cert_locked_key(client_cert);
        _cleanup_seen_ Seen foreign = { 0 }, encrypted = { 0 }, garbage = { 0 };

        id.cert = client_cert->pem, id.cert_len = strlen(id.cert);
        id.key = other_client_cert->key_pem, id.key_len = strlen(id.key);
        use_identity(w, id);
        ASK(w, &foreign, "/ok");
        ASSERT_FAILS(&foreign, -EPROTO, "");
        id.key = locked, id.key_len = strlen(id.key);
        use_identity(w, id);
        ASK(w, &encrypted, "/ok"); /* nobody is asked for the passphrase */
        ASSERT_FAILS(&encrypted, -EPROTO, "");
        id.cert = "no PEM", id.cert_len = 6;
        use_identity(w, id);
        ASK(w, &garbage, "/ok");
        ASSERT_FAILS(&garbage, -EPROTO, "");
        free(locked);
}

static void test_old_tls_is_refused(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen s = { 0 };

        replace_server(w, (TlsServerOptions){ .cert = server_cert, .max_version = TLS1_1_VERSION });
        ASK(w, &s, "/ok");
        ASSERT_FAILS(&s, -EPROTO, "protocol version");
        replace_server(w, (TlsServerOptions){ .cert = server_cert, .max_version = TLS1_2_VERSION });
        works(w);
}

static void test_no_tls_at_all(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen s = { 0 };

        replace_server(w, (TlsServerOptions){ .is_proxy = true });
        ASK(w, &s, "/ok", .connect_timeout = 500);
        assert_true(s.result == -EPROTO || s.result == -ETIMEDOUT);
}

/* ---- faults ---- */

static void test_half_an_answer(void **state) {
        static const char *const paths[] = { "/half", "/half-chunked", "/reset" };
        World *w = *state;

        for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
                _cleanup_seen_ Seen s = { 0 };

                ASK(w, &s, paths[i]);
                ASSERT_FAILS(&s, -ECONNRESET, "");
                if (!streq(paths[i], "/reset")) /* that one may overtake what was sent before */
                        assert_string_equal(buf_text(&s.body), "hello");
        }
}

static void test_no_answer(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen early = { 0 }, garbage = { 0 };

        ASK(w, &early, "/early");
        ASSERT_FAILS(&early, -ECONNRESET, "");
        assert_int_equal(early.heads, 0);
        ASK(w, &garbage, "/garbage");
        ASSERT_FAILS(&garbage, -EPROTO, "");
        assert_int_equal(garbage.heads, 0);
        works(w);
}

/* A port of our own at which nobody listens: as long as the socket is there, nobody else gets it. */
static int port_new(int *ret_fd) {
        struct sockaddr_in a = { .sin_family = AF_INET };
        socklen_t n = sizeof(a);

        *ret_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        assert_true(*ret_fd >= 0);
        /* But a program of ours that says the same may listen there. */
        assert_int_equal(setsockopt(*ret_fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)), 0);
        assert_int_equal(bind(*ret_fd, (struct sockaddr *)&a, sizeof(a)), 0);
        assert_int_equal(getsockname(*ret_fd, (struct sockaddr *)&a, &n), 0);
        return ntohs(a.sin_port);
}

static void test_nobody_there(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen refused = { 0 }, unknown = { 0 };
        char address[64];
        int fd;

        (void)snprintf(address, sizeof(address), "https://127.0.0.1:%d/ok", port_new(&fd));
        ASK(w, &refused, NULL, .url = address);
        (void)close(fd);
        ASSERT_FAILS(&refused, -ECONNREFUSED, "Connection refused");
        ASK(w, &unknown, NULL, .url = "https://nobody.test/");
        ASSERT_FAILS(&unknown, -EHOSTUNREACH, "nobody.test");
        assert_int_equal(http_counters(w->http).requests, 0);
}

static void test_too_large(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen huge = { 0 }, bomb = { 0 };

        ASK(w, &huge, "/huge", .max_body = (1 << 20) - 1);
        ASSERT_FAILS(&huge, -EFBIG, "larger than 1048575 bytes");
        assert_true(huge.len < 1 << 20);
        ASK(w, &bomb, "/bomb", .max_body = 100 * 1024);
        ASSERT_FAILS(&bomb, -EFBIG, "larger");
        assert_true(bomb.len <= 100 * 1024);
        works(w);
}

static void test_the_reader_gives_up(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen s = { .data_result = -EBADMSG };

        ASK(w, &s, "/endless");
        ASSERT_FAILS(&s, -EBADMSG, "");
        assert_int_equal(s.pieces, 1);
        RUN_UNTIL(w, tls_server_open(w->server) == 0);
}

static void stop_after_a_while(Seen *s, const char *where) {
        if (streq(where, "data") && s->len > 1 << 14)
                s->data_result = -ENOSPC;
}

/* It does not keep the loop from others. */
static void test_an_endless_stream(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen s = { .keeps_nothing = true };

        assert_int_equal(start(w, &s, (HttpRequest){ .silence = PATIENCE * 1000 }, "/endless"), 0);
        RUN_UNTIL(w, s.pieces);
        works(w);
        assert_int_equal(s.ends, 0);
        s.hook = stop_after_a_while;
        RUN_UNTIL(w, s.ends);
        assert_int_equal(s.result, -ENOSPC);
}

/* ---- time ---- */

/* Where the machine itself was silent for so long, the server's threads or ours, once more with twice as much. Returns
 * 0 once it was well. */
static int64_t longer(int64_t silence, bool well) {
        if (!well && silence >= PATIENCE * 1000 / 2)
                fail_msg("ended in vain even with %lld ms of silence", (long long)silence);
        return well ? 0 : 2 * silence;
}

static void test_silence(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen never = { 0 }, stuck = { 0 };

        ASK(w, &never, "/silence", .silence = 300);
        ASSERT_FAILS(&never, -ETIMEDOUT, "nothing received after 0.3 s");
        for (int64_t silence = 300; silence; silence = longer(silence, streq(buf_text(&stuck.body), "hello"))) {
                char why[64];

                seen_done(&stuck);
                stuck = (Seen){ 0 };
                (void)snprintf(why, sizeof(why), "nothing received after %g s", (double)silence / 1000);
                ASK(w, &stuck, "/stuck", .silence = silence);
                ASSERT_FAILS(&stuck, -ETIMEDOUT, why);
        }
        RUN_UNTIL(w, tls_server_open(w->server) == 0);
        works(w);
}

/* So much silence is too much, but no two bytes are so far apart. True unless they were. */
static bool try_no_silence(World *w, int64_t silence) {
        _cleanup_seen_ Seen s = { 0 };
        int64_t begun, before, last = now_ms(); /* no later than what came last, and what came before it */

        assert_int_equal(start(w, &s, (HttpRequest){ .silence = silence }, "/drip"), 0);
        RUN_UNTIL(w, s.heads || s.ends);
        begun = now_ms();
        for (before = last; !s.ends && now_ms() < begun + silence + 500;) {
                size_t len = s.len;

                before = last;
                last = now_ms();
                tls_server_drip(w->server);
                RUN_UNTIL(w, s.len > len || s.ends);
                if (!s.ends)
                        (void)turn(w, 200000);
        }
        if (s.ends) {
                ASSERT_FAILS(&s, -ETIMEDOUT, "nothing received");
                assert_true(now_ms() >= before + silence);
                return false;
        }
        RUN_UNTIL(w, s.ends);
        ASSERT_FAILS(&s, -ETIMEDOUT, "nothing received");
        assert_true(now_ms() >= last + silence);
        return true;
}

static void test_no_silence(void **state) {
        for (int64_t silence = 1500; silence;)
                silence = longer(silence, try_no_silence(*state, silence));
}

enum { LATE = 16 };

/* False if it took so long to begin that a stream may rightly be taken for dead. */
static bool try_late_look(World *w, Seen all[static LATE], int64_t silence) {
        const unsigned dripped = tls_server_dripped(w->server);
        int64_t begun = now_ms();

        for (int i = 0; i < LATE; i++) {
                assert_int_equal(start(w, &all[i], (HttpRequest){ .silence = silence }, "/drip"), 0);
                RUN_UNTIL(w, all[i].heads || all[i].ends);
                tls_server_drip(w->server); /* for those that are there already as well */
        }
        for (int i = 0; i < LATE; i++)
                RUN_UNTIL(w, all[i].len == (size_t)(LATE - i) || all[i].ends);
        if (now_ms() >= begun + silence)
                return false;
        for (int i = 0; i < LATE; i++)
                assert_int_equal(all[i].ends, 0);
        begun = now_ms();
        tls_server_drip(w->server);
        (void)usleep((useconds_t)(silence * 1500));
        while (tls_server_dripped(w->server) < dripped + LATE * (LATE + 1) / 2 + LATE) {
                if (now_ms() > begun + 2 * PATIENCE * 1000)
                        fail_msg("the server has not sent what it was told to");
                (void)usleep(1000);
        }
        for (int i = 0; i < LATE; i++) {
                RUN_UNTIL(w, all[i].len == (size_t)(LATE - i) + 1 || all[i].ends);
                assert_int_equal(all[i].len, LATE - i + 1);
        }
        return true;
}

/* The loop was kept from looking for longer than the silence may last, but the bytes were there. */
static void test_a_late_look_is_no_silence(void **state) {
        World *w = *state;

        for (int64_t silence = 1000; silence;) {
                Seen all[LATE] = { 0 };

                silence = longer(silence, try_late_look(w, all, silence));
                for (int i = 0; i < LATE; i++) {
                        if (!all[i].ends)
                                http_cancel(all[i].call);
                        seen_done(&all[i]);
                }
                /* Who sends finds out that nobody is there any more. */
                RUN_UNTIL(w, (tls_server_drip(w->server), tls_server_open(w->server) == 0));
        }
}

static void test_no_end_in_time(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen s = { .keeps_nothing = true };

        ASK(w, &s, "/endless", .timeout = 300, .silence = 200000);
        ASSERT_FAILS(&s, -ETIMEDOUT, "no complete answer after 0.3 s");
}

static void test_no_connection_in_time(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen a = { 0 }, b = { 0 }, c = { 0 };

        replace_server(w, (TlsServerOptions){ .is_mute = true });
        /* The later ones may wait for the first one's connection, but no longer than they would for their own. */
        assert_int_equal(start(w, &a, (HttpRequest){ .connect_timeout = PATIENCE * 1000 }, "/ok"), 0);
        assert_int_equal(start(w, &b, (HttpRequest){ .connect_timeout = 300 }, "/ok"), 0);
        assert_int_equal(start(w, &c, (HttpRequest){ .timeout = 400 }, "/ok"), 0);
        RUN_UNTIL(w, b.ends);
        ASSERT_FAILS(&b, -ETIMEDOUT, "");
        RUN_UNTIL(w, c.ends);
        ASSERT_FAILS(&c, -ETIMEDOUT, "");
        assert_int_equal(a.ends, 0);
        http_cancel(a.call);
        assert_int_equal(http_counters(w->http).requests, 0);
}

static void test_names_that_take_for_ever(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen late = { 0 }, cancelled = { 0 }, freed = { 0 };
        int64_t begun = now_ms();

        names_stuck = true;
        ASK(w, &late, NULL, .url = "https://stuck.test/", .connect_timeout = 300);
        ASSERT_FAILS(&late, -ETIMEDOUT, "");
        assert_int_equal(start(w, &cancelled, (HttpRequest){ .url = "https://stuck.test/" }, NULL), 0);
        RUN_UNTIL(w, names_waiting == 2);
        http_cancel(cancelled.call);
        works(w);
        assert_int_equal(start(w, &freed, (HttpRequest){ .url = "https://stuck.test/" }, NULL), 0);
        RUN_UNTIL(w, names_waiting == 3);
        w->http = http_free(w->http);
        assert_true(now_ms() < begun + PATIENCE * 1000);
        pthread_mutex_lock(&names_lock);
        names_stuck = false;
        pthread_cond_broadcast(&names_freed);
        while (names_waiting)
                pthread_cond_wait(&names_freed, &names_lock);
        pthread_mutex_unlock(&names_lock);
}

/* A watch that says nothing costs nothing. */
static void test_an_idle_stream_does_not_wake_up(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen s = { 0 };
        int64_t begun;
        unsigned turns = 0;

        assert_int_equal(start(w, &s, (HttpRequest){ .silence = 130000 }, "/stuck"), 0);
        RUN_UNTIL(w, s.len == 5);
        drain_for(w, 400); /* the timers of connecting */
        for (begun = now_ms(); now_ms() < begun + 2300;)
                turns += turn(w, 100000);
        assert_int_equal(turns, 0);
        http_cancel(s.call);
}

/* ---- proxies ---- */

static void test_proxies(void **state) {
        World *w = *state;
        TlsServer *proxy = tls_server_new(&(TlsServerOptions){ .is_proxy = true });
        TlsServer *refusing = tls_server_new(&(TlsServerOptions){ .is_proxy = true, .refuses = true });
        HttpIdentity id = identity();
        _cleanup_seen_ Seen s = { 0 }, refused = { 0 };
        char address[64], connect[64];

        (void)snprintf(address, sizeof(address), "http://127.0.0.1:%d", tls_server_port(proxy));
        (void)snprintf(connect, sizeof(connect), "CONNECT 127.0.0.1:%d HTTP/1.1\r\n", tls_server_port(w->server));
        assert_int_equal(setenv("https_proxy", address, 1), 0);
        assert_int_equal(setenv("no_proxy", "api.test", 1), 0);
        works(w);
        assert_int_equal(tls_server_connections(proxy), 0);
        id.proxy = "";
        use_identity(w, id);
        works(w);
        assert_int_equal(tls_server_connections(proxy), 1);
        assert_int_equal(unsetenv("https_proxy"), 0);
        assert_int_equal(setenv("no_proxy", "*", 1), 0);
        id.proxy = address;
        use_identity(w, id);
        ASK(w, &s, "/ok");
        assert_int_equal(s.result, 0);
        assert_int_equal(s.head.status, 200);
        assert_int_equal(s.head.retry_after, -1);
        assert_int_equal(tls_server_connections(proxy), 2);
        assert_true(startswith(tls_server_heads(proxy), connect));
        /* The proxy is told where to connect, the server its own name. */
        id.tls_server_name = "api.test";
        use_identity(w, id);
        works(w);
        assert_true(startswith(tls_server_heads(proxy), connect));
        assert_string_equal(tls_server_sni(w->server), "api.test");
        assert_int_equal(unsetenv("no_proxy"), 0);
        (void)snprintf(address, sizeof(address), "http://127.0.0.1:%d", tls_server_port(refusing));
        use_identity(w, id);
        ASK(w, &refused, "/ok");
        ASSERT_FAILS(&refused, -EHOSTUNREACH, "403");
        assert_int_equal(refused.heads, 0);
        w->http = http_free(w->http);
        tls_server_free(proxy);
        tls_server_free(refusing);
}

/* ---- cancelling and starting ---- */

static void test_cancelled_at_once(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen s = { 0 };

        assert_int_equal(start(w, &s, (HttpRequest){ 0 }, "/ok"), 0);
        assert_null(http_cancel(s.call));
        assert_null(http_cancel(NULL));
        drain(w);
        assert_int_equal(s.heads + s.pieces + s.ends, 0);
        works(w);
}

static void test_cancelled_under_way(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen s = { 0 };

        assert_int_equal(start(w, &s, (HttpRequest){ 0 }, "/stuck"), 0);
        RUN_UNTIL(w, s.pieces);
        http_cancel(s.call);
        RUN_UNTIL(w, tls_server_open(w->server) == 0);
        assert_int_equal(s.ends, 0);
        works(w);
}

static const char *cancel_where;

static void cancel_itself(Seen *s, const char *where) {
        if (streq(where, cancel_where))
                http_cancel(s->call);
}

static void cancel_other(Seen *s, const char *where) {
        if (streq(where, cancel_where) && s->other->call && !s->other->ends) {
                http_cancel(s->other->call);
                s->other->call = NULL;
                s->other->is_cancelled = true;
        }
}

static void test_cancelled_by_its_own_handlers(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen head = { .hook = cancel_itself }, data = head, end = head;

        cancel_where = "head";
        assert_int_equal(start(w, &head, (HttpRequest){ 0 }, "/ok"), 0);
        RUN_UNTIL(w, head.heads);
        works(w);
        assert_int_equal(head.pieces + head.ends, 0);
        cancel_where = "data";
        assert_int_equal(start(w, &data, (HttpRequest){ 0 }, "/endless"), 0);
        RUN_UNTIL(w, data.pieces);
        works(w);
        assert_int_equal(data.pieces, 1);
        assert_int_equal(data.ends, 0);
        cancel_where = "end";
        ASK(w, &end, "/ok");
        drain(w);
        assert_int_equal(end.ends, 1);
        end.hook = NULL;
        works(w);
}

static void test_cancelled_by_anothers_handlers(void **state) {
        static const char *const wheres[] = { "head", "data", "end" };
        static const char *const victims[] = { "/stuck", "/silence", "/endless", "/ok" };
        World *w = *state;

        for (size_t i = 0; i < ARRAY_SIZE(wheres) * ARRAY_SIZE(victims); i++) {
                _cleanup_seen_ Seen victim = { .keeps_nothing = true }, s = { .hook = cancel_other, .other = &victim };
                cancel_where = wheres[i % ARRAY_SIZE(wheres)];
                assert_int_equal(start(w, &victim, (HttpRequest){ 0 }, victims[i / ARRAY_SIZE(wheres)]), 0);
                assert_int_equal(start(w, &s, (HttpRequest){ 0 }, "/ok"), 0);
                RUN_UNTIL(w, s.ends);
                assert_int_equal(s.result, 0);
                assert_true(victim.is_cancelled || victim.ends);
                works(w);
        }
}

static void start_other(Seen *s, const char *where) {
        if (streq(where, cancel_where)) {
                assert_int_equal(start(s->w, s->other, (HttpRequest){ 0 }, "/ok"), 0);
                assert_int_equal(s->other->heads, 0);
        }
}

static void test_started_by_handlers(void **state) {
        static const char *const wheres[] = { "head", "data", "end" };
        World *w = *state;

        for (size_t i = 0; i < ARRAY_SIZE(wheres); i++) {
                _cleanup_seen_ Seen next = { 0 }, s = { .hook = start_other, .other = &next };

                cancel_where = wheres[i];
                ASK(w, &s, "/ok");
                RUN_UNTIL(w, next.ends);
                assert_int_equal(next.result, 0);
                assert_string_equal(buf_text(&next.body), "hello");
        }
        /* The one that is started at the end takes over the connection. */
        assert_true(tls_server_connections(w->server) <= 3);
}

static void start_and_cancel(Seen *s, const char *where) {
        if (streq(where, cancel_where)) {
                assert_int_equal(start(s->w, s->other, (HttpRequest){ 0 }, "/ok"), 0);
                http_cancel(s->other->call);
        }
}

static void test_started_and_cancelled_by_handlers(void **state) {
        static const char *const wheres[] = { "head", "data", "end" };
        World *w = *state;

        for (size_t i = 0; i < ARRAY_SIZE(wheres); i++) {
                _cleanup_seen_ Seen next = { 0 }, s = { .hook = start_and_cancel, .other = &next };

                cancel_where = wheres[i];
                ASK(w, &s, "/ok");
                works(w);
                assert_int_equal(next.heads + next.ends, 0);
        }
}

static void change_identity(Seen *s, const char *where) {
        if (streq(where, cancel_where)) {
                use_identity(s->w, identity());
                assert_int_equal(start(s->w, s->other, (HttpRequest){ 0 }, "/ok"), 0);
        }
}

static void test_identity_changed_by_handlers(void **state) {
        static const char *const wheres[] = { "head", "data", "end" };
        World *w = *state;

        for (size_t i = 0; i < ARRAY_SIZE(wheres); i++) {
                _cleanup_seen_ Seen next = { 0 }, s = { .hook = change_identity, .other = &next };

                cancel_where = wheres[i];
                ASK(w, &s, "/ok");
                RUN_UNTIL(w, next.ends);
                assert_int_equal(s.result, 0);
                assert_int_equal(next.result, 0);
        }
        assert_int_equal(tls_server_connections(w->server), 4);
}

static void test_freed_with_calls_under_way(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen stuck = { 0 }, old = { 0 }, new = { 0 };

        assert_int_equal(start(w, &old, (HttpRequest){ 0 }, "/stuck"), 0);
        RUN_UNTIL(w, old.pieces);
        use_identity(w, identity());
        assert_int_equal(start(w, &stuck, (HttpRequest){ 0 }, "/endless"), 0);
        RUN_UNTIL(w, stuck.pieces);
        assert_int_equal(start(w, &new, (HttpRequest){ 0 }, "/ok"), 0);
        w->http = http_free(w->http);
        assert_null(http_free(NULL));
        while (turn(w, 0))
                ;
        assert_int_equal(old.ends + stuck.ends + new.ends + new.heads, 0);
}

/* Everything up to the first turn of the loop; what libcurl allocates later it looks after itself. */
static int start_and_free(void *user) {
        _cleanup_http_ Http *h = NULL;
        HttpIdentity id = identity();
        HttpCall *call;
        HttpRequest request = { .method = "POST",
                                .url = "https://127.0.0.1:1/x",
                                .accept = "application/json",
                                .token = "token",
                                .body = "body",
                                .body_len = 4,
                                .content_type = "text/plain" };
        int r = http_new(user, &h);

        id.cert = client_cert->pem, id.cert_len = strlen(id.cert);
        id.key = client_cert->key_pem, id.key_len = strlen(id.key);
        id.tls_server_name = "api.test";
        id.proxy = "http://127.0.0.1:1";
        r = r < 0 ? r : http_set_identity(h, &id);
        return r < 0 ? r : http_start(h, &request, &handler, NULL, &call);
}

static void test_out_of_memory(void **state) {
        World *w = *state;

        (void)test_oom(start_and_free, w->loop);
}

/* ---- HTTP/2 ---- */

typedef struct Http2 {
        pid_t pid;
        int port;
        char *dir;
} Http2;

static const char *nghttpd(void) {
        static const char *const paths[] = { "/usr/sbin/nghttpd", "/usr/bin/nghttpd", "/usr/local/bin/nghttpd" };

        for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
                if (access(paths[i], X_OK) == 0)
                        return paths[i];
        return NULL;
}

static bool listens(int port) {
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        r = connect(fd, (struct sockaddr *)&a, sizeof(a));
        (void)close(fd);
        return r == 0;
}

static void http2_start(World *w, Http2 *h) {
        char port[16];
        int reserved;

        h->dir = tmpdir_new();
        h->port = port_new(&reserved);
        (void)snprintf(port, sizeof(port), "%d", h->port);
        put_file(in_dir(h->dir, "cert"), server_cert->pem, 0600);
        put_file(in_dir(h->dir, "key"), server_cert->key_pem, 0600);
        put_file(in_dir(h->dir, "ok"), "hello", 0600);
        h->pid = fork();
        assert_true(h->pid >= 0);
        if (h->pid == 0) {
                int null = open("/dev/null", O_RDWR);

                (void)dup2(null, 1);
                (void)dup2(null, 2);
                (void)execl(nghttpd(), "nghttpd", "-a", "127.0.0.1", "-d", h->dir, port, in_dir(h->dir, "key"),
                            in_dir(h->dir, "cert"), NULL);
                _exit(127);
        }
        RUN_UNTIL(w, listens(h->port));
        (void)close(reserved);
}

static void http2_stop(Http2 *h) {
        (void)kill(h->pid, SIGKILL);
        (void)waitpid(h->pid, NULL, 0);
        tmpdir_free(h->dir);
}

static void test_http2_shares_a_connection(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen a = { 0 }, b = { 0 }, c = { 0 };
        char address[64];
        Http2 h;

        if (!nghttpd())
                skip();
        http2_start(w, &h);
        (void)snprintf(address, sizeof(address), "https://127.0.0.1:%d/ok", h.port);
        /* That server knows nothing else than HTTP/2. */
        assert_int_equal(start(w, &a, (HttpRequest){ .url = address }, NULL), 0);
        assert_int_equal(start(w, &b, (HttpRequest){ .url = address }, NULL), 0);
        assert_int_equal(start(w, &c, (HttpRequest){ .url = address }, NULL), 0);
        RUN_UNTIL(w, a.ends && b.ends && c.ends);
        assert_int_equal(a.result, 0);
        assert_int_equal(a.head.status, 200);
        assert_string_equal(buf_text(&a.body), "hello");
        assert_string_equal(buf_text(&b.body), "hello");
        assert_string_equal(buf_text(&c.body), "hello");
        assert_int_equal(http_counters(w->http).connections, 1);
        assert_int_equal(http_counters(w->http).requests, 3);
        http2_stop(&h);
}

/* Bytes of many calls come in one piece. */
static void test_http2_cancelled_by_a_neighbour(void **state) {
        enum { N = 8 };
        static const char *const wheres[] = { "head", "data", "end" };
        World *w = *state;
        char address[64];
        Http2 h;

        if (!nghttpd())
                skip();
        http2_start(w, &h);
        (void)snprintf(address, sizeof(address), "https://127.0.0.1:%d/ok", h.port);
        for (size_t i = 0; i < ARRAY_SIZE(wheres); i++) {
                Seen all[N] = { 0 };

                cancel_where = wheres[i];
                for (int k = 0; k < N; k++) {
                        all[k].hook = cancel_other;
                        all[k].other = &all[N - 1 - k];
                        assert_int_equal(start(w, &all[k], (HttpRequest){ .url = address }, NULL), 0);
                }
                for (int k = 0; k < N; k++)
                        RUN_UNTIL(w, all[k].ends || all[k].is_cancelled);
                drain(w);
                for (int k = 0; k < N; k++)
                        seen_done(&all[k]);
        }
        assert_int_equal(http_counters(w->http).connections, 1);
        http2_stop(&h);
}

/* The kernel would take a quarter of an hour to notice. */
static void test_a_silent_connection_is_not_used_again(void **state) {
        World *w = *state;
        _cleanup_seen_ Seen a = { 0 }, silent = { 0 }, b = { 0 };
        char address[64];
        int status;
        Http2 h;

        if (!nghttpd())
                skip();
        http2_start(w, &h);
        (void)snprintf(address, sizeof(address), "https://127.0.0.1:%d/ok", h.port);
        ASK(w, &a, NULL, .url = address);
        assert_int_equal(a.result, 0);
        assert_int_equal(kill(h.pid, SIGSTOP), 0);
        assert_int_equal(waitpid(h.pid, &status, WUNTRACED), h.pid); /* all of it has stopped */
        assert_true(WIFSTOPPED(status));
        ASK(w, &silent, NULL, .url = address, .silence = 300);
        ASSERT_FAILS(&silent, -ETIMEDOUT, "nothing received");
        assert_int_equal(http_counters(w->http).connections, 1);
        assert_int_equal(start(w, &b, (HttpRequest){ .url = address }, NULL), 0);
        assert_int_equal(kill(h.pid, SIGCONT), 0);
        RUN_UNTIL(w, b.ends);
        assert_int_equal(b.result, 0);
        assert_int_equal(http_counters(w->http).connections, 2);
        http2_stop(&h);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_an_answer),
                TEST(test_a_status_without_body),
                TEST(test_a_redirect_is_an_answer),
                TEST(test_early_hints_are_no_head),
                TEST(test_compressed),
                TEST(test_torn_into_bytes),
                TEST(test_trailers_are_no_head),
                TEST(test_an_end_by_closing),
                TEST(test_handlers_may_be_missing),
                TEST(test_huge),
                TEST(test_retry_after),
                TEST(test_retry_after_a_date),
                TEST(test_what_is_sent),
                TEST(test_what_is_posted),
                TEST(test_a_long_body_is_posted),
                TEST(test_other_methods),
                TEST(test_what_cannot_be_asked),
                TEST(test_a_connection_is_kept),
                TEST(test_many_connections_are_kept),
                TEST(test_a_kept_connection_has_died),
                TEST(test_a_new_identity_has_its_own_connections),
                TEST(test_an_identity_that_is_no_more),
                TEST(test_keys_are_wiped),
                TEST(test_the_wrong_ca),
                TEST(test_no_ca),
                TEST(test_the_hosts_certificates_do_not_count_beside_ours),
                TEST(test_not_verified_if_told_so),
                TEST(test_certificates_out_of_their_time),
                TEST(test_the_name_in_the_certificate),
                TEST(test_the_server_has_another_name),
                TEST(test_client_certificates),
                TEST(test_unusable_client_certificates),
                TEST(test_old_tls_is_refused),
                TEST(test_no_tls_at_all),
                TEST(test_half_an_answer),
                TEST(test_no_answer),
                TEST(test_nobody_there),
                TEST(test_too_large),
                TEST(test_the_reader_gives_up),
                TEST(test_an_endless_stream),
                TEST(test_silence),
                TEST(test_no_silence),
                TEST(test_a_late_look_is_no_silence),
                TEST(test_no_end_in_time),
                TEST(test_no_connection_in_time),
                TEST(test_names_that_take_for_ever),
                TEST(test_an_idle_stream_does_not_wake_up),
                TEST(test_proxies),
                TEST(test_cancelled_at_once),
                TEST(test_cancelled_under_way),
                TEST(test_cancelled_by_its_own_handlers),
                TEST(test_cancelled_by_anothers_handlers),
                TEST(test_started_by_handlers),
                TEST(test_started_and_cancelled_by_handlers),
                TEST(test_identity_changed_by_handlers),
                TEST(test_freed_with_calls_under_way),
                TEST(test_out_of_memory),
                TEST(test_http2_shares_a_connection),
                TEST(test_http2_cancelled_by_a_neighbour),
                TEST(test_a_silent_connection_is_not_used_again),
        };

        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
