/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_server.h"

#include "base/util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

enum { CONNECTIONS_MAX = 256 };

/* ---- certificates ---- */

static EVP_PKEY *new_key(void) {
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_EC, NULL);
        EVP_PKEY *key = NULL;

        assert_non_null(ctx);
        assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
        assert_int_equal(EVP_PKEY_CTX_set_ec_paramgen_curve_nid(ctx, NID_X9_62_prime256v1), 1);
        assert_int_equal(EVP_PKEY_keygen(ctx, &key), 1);
        EVP_PKEY_CTX_free(ctx);
        return key;
}

static char *take_text(BIO *bio) {
        char *data, *text;
        long n = BIO_get_mem_data(bio, &data);

        text = strndup(data, (size_t)n);
        assert_non_null(text);
        BIO_free(bio);
        return text;
}

static void extend(X509 *x, const Cert *issuer, int nid, const char *value) {
        X509V3_CTX ctx;
        X509_EXTENSION *e;

        X509V3_set_ctx_nodb(&ctx);
        X509V3_set_ctx(&ctx, issuer ? issuer->x509 : x, x, NULL, NULL, 0);
        e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
        assert_non_null(e);
        assert_int_equal(X509_add_ext(x, e, -1), 1);
        X509_EXTENSION_free(e);
}

Cert *cert_new(const char *name, const char *san, const Cert *issuer, long from, long to) {
        static long serial;
        Cert *c = calloc(1, sizeof(*c));
        X509_NAME *subject;
        BIO *bio;

        assert_non_null(c);
        c->key = new_key();
        c->x509 = X509_new();
        assert_non_null(c->x509);
        X509_set_version(c->x509, 2);
        ASN1_INTEGER_set(X509_get_serialNumber(c->x509), ++serial);
        X509_gmtime_adj(X509_getm_notBefore(c->x509), from);
        X509_gmtime_adj(X509_getm_notAfter(c->x509), to);
        subject = X509_get_subject_name(c->x509);
        X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
        X509_set_issuer_name(c->x509, issuer ? X509_get_subject_name(issuer->x509) : subject);
        X509_set_pubkey(c->x509, c->key);
        if (san)
                extend(c->x509, issuer, NID_subject_alt_name, san);
        else
                extend(c->x509, issuer, NID_basic_constraints, "critical,CA:TRUE");
        assert_true(X509_sign(c->x509, issuer ? issuer->key : c->key, EVP_sha256()) > 0);
        bio = BIO_new(BIO_s_mem());
        assert_int_equal(PEM_write_bio_X509(bio, c->x509), 1);
        c->pem = take_text(bio);
        bio = BIO_new(BIO_s_mem());
        assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, c->key, NULL, NULL, 0, NULL, NULL), 1);
        c->key_pem = take_text(bio);
        return c;
}

char *cert_locked_key(const Cert *c) {
        BIO *bio = BIO_new(BIO_s_mem());

        assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, c->key, EVP_aes_128_cbc(), "secret", 6, NULL, NULL), 1);
        return take_text(bio);
}

void cert_free(Cert *c) {
        if (!c)
                return;
        X509_free(c->x509);
        EVP_PKEY_free(c->key);
        free(c->pem);
        free(c->key_pem);
        free(c);
}

/* ---- the server ---- */

typedef struct Connection {
        TlsServer *server;
        pthread_t thread;
        int fd; /* -1: closed */
        SSL *ssl;
        bool keep;
        size_t len;
        char request[1280 * 1024];
} Connection;

struct TlsServer {
        TlsServerOptions options;
        SSL_CTX *ctx;
        int listener, port;
        pthread_t thread;
        pthread_mutex_t lock;
        pthread_cond_t dripped;
        bool ends;
        unsigned connections, requests, drips, dripped_bytes, open, waiting;
        char sni[256], heads[1024];
        Connection *all[CONNECTIONS_MAX];
        size_t n;
};

static unsigned get(TlsServer *s, const unsigned *counter) {
        unsigned n;

        pthread_mutex_lock(&s->lock);
        n = *counter;
        pthread_mutex_unlock(&s->lock);
        return n;
}

static void count(TlsServer *s, unsigned *counter, unsigned by) {
        pthread_mutex_lock(&s->lock);
        *counter += by;
        pthread_mutex_unlock(&s->lock);
}

static bool put(Connection *c, const void *bytes, size_t n) {
        return SSL_write(c->ssl, bytes, (int)n) == (int)n;
}

static bool say(Connection *c, const char *text) {
        return put(c, text, strlen(text));
}

/* Until the other side or the test ends it. */
static void wait_for_close(Connection *c) {
        char byte;

        while (SSL_read(c->ssl, &byte, 1) > 0)
                ;
        c->keep = false;
}

static const unsigned char small[] = {
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0xff, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0xd7, 0x51,
        0x48, 0xce, 0xcf, 0x2d, 0x28, 0x4a, 0x2d, 0x2e, 0x4e, 0x4d, 0x51, 0x28, 0xcf, 0x2f, 0xca, 0x49, 0xd1,
        0x51, 0xc8, 0x00, 0x49, 0x70, 0x01, 0x00, 0xf6, 0x64, 0x86, 0x19, 0x1f, 0x00, 0x00, 0x00,
};
enum { BOMB = 289 };
static const unsigned char bomb_head[] = {
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0xff, 0xed, 0xc1,
        0x31, 0x01, 0x00, 0x00, 0x00, 0xc2, 0xa0, 0xf5, 0x4f, 0xed, 0x6d, 0x07,
};
static const unsigned char bomb_tail[] = { 0xde, 0x00, 0x22, 0xea, 0x0e, 0xe2, 0x00, 0x00, 0x04, 0x00 };

static void answer_compressed(Connection *c, const unsigned char *bytes, size_t n) {
        char head[256];

        if (!strstr(c->request, "Accept-Encoding: gzip\r\n")) {
                say(c, "HTTP/1.1 406 Not Acceptable\r\nContent-Length: 0\r\n\r\n");
                return;
        }
        (void)snprintf(head, sizeof(head),
                       "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\n"
                       "Content-Length: %zu\r\n\r\n",
                       n);
        say(c, head);
        put(c, bytes, n);
}

static void answer_small(Connection *c, const char *rest) {
        (void)rest;
        answer_compressed(c, small, sizeof(small));
}

static void answer_bomb(Connection *c, const char *rest) {
        unsigned char bomb[BOMB] = { 0 };

        (void)rest;
        memcpy(bomb, bomb_head, sizeof(bomb_head));
        bomb[24] = 0xa0;
        memcpy(bomb + BOMB - sizeof(bomb_tail), bomb_tail, sizeof(bomb_tail));
        answer_compressed(c, bomb, sizeof(bomb));
}

static void answer_ok(Connection *c, const char *rest) {
        (void)rest;
        say(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello");
}

static void answer_status(Connection *c, const char *rest) {
        char head[128];

        (void)snprintf(head, sizeof(head), "HTTP/1.1 %d Whatever\r\nContent-Length: 0\r\n\r\n", atoi(rest));
        say(c, head);
}

static void answer_torn(Connection *c, const char *rest) {
        static const char text[] =
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nt\r\n2\r\nor\r\n1\r\nn\r\n0\r\n\r\n";

        (void)rest;
        for (size_t i = 0; i < sizeof(text) - 1 && put(c, text + i, 1); i++)
                ;
}

static void answer_trailers(Connection *c, const char *rest) {
        (void)rest;
        say(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n"
               "Retry-After: 3\r\n\r\n");
}

static void answer_until_close(Connection *c, const char *rest) {
        (void)rest;
        say(c, "HTTP/1.1 200 OK\r\n\r\nhello");
        SSL_shutdown(c->ssl);
        c->keep = false;
}

static void answer_cut(Connection *c, const char *rest) {
        (void)rest;
        say(c, "HTTP/1.1 200 OK\r\n\r\nhello");
        c->keep = false;
}

static void answer_half(Connection *c, const char *rest) {
        (void)rest;
        say(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        SSL_shutdown(c->ssl);
        c->keep = false;
}

static void answer_half_chunked(Connection *c, const char *rest) {
        (void)rest;
        say(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        SSL_shutdown(c->ssl);
        c->keep = false;
}

static void answer_early(Connection *c, const char *rest) {
        (void)rest;
        SSL_shutdown(c->ssl);
        c->keep = false;
}

static void answer_reset(Connection *c, const char *rest) {
        struct linger linger = { .l_onoff = 1 };

        (void)rest;
        say(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
        c->keep = false;
}

static void answer_silence(Connection *c, const char *rest) {
        (void)rest;
        wait_for_close(c);
}

static void answer_stuck(Connection *c, const char *rest) {
        (void)rest;
        say(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        wait_for_close(c);
}

static void answer_drip(Connection *c, const char *rest) {
        TlsServer *s = c->server;
        unsigned seen = get(s, &s->drips); /* before the client knows of us */
        bool more;

        (void)rest;
        say(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        do {
                pthread_mutex_lock(&s->lock);
                while (s->drips == seen && !s->ends)
                        pthread_cond_wait(&s->dripped, &s->lock);
                seen++;
                more = !s->ends;
                pthread_mutex_unlock(&s->lock);
                if (more && !say(c, "1\r\nx\r\n"))
                        more = false;
                else if (more)
                        count(s, &s->dripped_bytes, 1);
        } while (more);
        c->keep = false;
}

static void answer_wait(Connection *c, const char *rest) {
        TlsServer *s = c->server;

        pthread_mutex_lock(&s->lock);
        s->waiting++;
        for (unsigned seen = s->drips; s->drips == seen && !s->ends;)
                pthread_cond_wait(&s->dripped, &s->lock);
        s->waiting--;
        pthread_mutex_unlock(&s->lock);
        answer_ok(c, rest);
}

static void answer_endless(Connection *c, const char *rest) {
        (void)rest;
        say(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while (say(c, "10\r\n0123456789abcdef\r\n"))
                (void)usleep(50); /* valgrind's threads are not fair */
        c->keep = false;
}

static void answer_huge(Connection *c, const char *rest) {
        char block[16384];

        (void)rest;
        memset(block, 'x', sizeof(block));
        say(c, "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n");
        for (int i = 0; i < 64 && put(c, block, sizeof(block)); i++)
                ;
}

static void answer_retry(Connection *c, const char *rest) {
        char value[128], head[256];
        size_t n = 0;

        for (; *rest && *rest != ' ' && n + 1 < sizeof(value); rest++)
                value[n++] = *rest == '_' ? ' ' : *rest;
        value[n] = 0;
        (void)snprintf(head, sizeof(head), "HTTP/1.1 429 Too Many\r\nretry-after: %s\r\nContent-Length: 0\r\n\r\n",
                       value);
        say(c, head);
}

static void answer_redirect(Connection *c, const char *rest) {
        (void)rest;
        say(c, "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 4\r\n\r\nmove");
}

static void answer_early_hints(Connection *c, const char *rest) {
        (void)rest;
        say(c, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\n\r\n");
        answer_ok(c, rest);
}

static void answer_garbage(Connection *c, const char *rest) {
        (void)rest;
        say(c, "SSH-2.0-OpenSSH_9.2p1 Debian\r\n");
        c->keep = false;
}

static void answer_echo(Connection *c, const char *rest) {
        char head[128];

        (void)rest;
        (void)snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", c->len);
        say(c, head);
        put(c, c->request, c->len);
}

static const struct {
        const char *path;
        void (*answer)(Connection *c, const char *rest);
} answers[] = {
        { "ok ", answer_ok },
        { "status/", answer_status },
        { "gzip ", answer_small },
        { "bomb ", answer_bomb },
        { "torn ", answer_torn },
        { "trailers ", answer_trailers },
        { "until-close ", answer_until_close },
        { "cut ", answer_cut },
        { "half ", answer_half },
        { "half-chunked ", answer_half_chunked },
        { "early ", answer_early },
        { "reset ", answer_reset },
        { "silence ", answer_silence },
        { "stuck ", answer_stuck },
        { "drip ", answer_drip },
        { "wait ", answer_wait },
        { "endless ", answer_endless },
        { "huge ", answer_huge },
        { "retry/", answer_retry },
        { "redirect ", answer_redirect },
        { "early-hints ", answer_early_hints },
        { "garbage ", answer_garbage },
        { "", answer_echo },
};

/* A whole request, with a body as long as Content-Length says. */
static bool read_request(Connection *c) {
        c->len = 0;
        for (;;) {
                const char *end, *length;
                int n = SSL_read(c->ssl, c->request + c->len, (int)(sizeof(c->request) - 1 - c->len));

                if (n <= 0)
                        return false;
                c->len += (size_t)n;
                c->request[c->len] = 0;
                end = strstr(c->request, "\r\n\r\n");
                length = strstr(c->request, "Content-Length: ");
                if (end && c->len >= (size_t)(end + 4 - c->request) + (length ? strtoul(length + 16, NULL, 10) : 0))
                        return true;
        }
}

static void talk(Connection *c) {
        TlsServer *s = c->server;
        const char *sni;

        c->ssl = SSL_new(s->ctx);
        SSL_set_fd(c->ssl, c->fd);
        if (SSL_accept(c->ssl) != 1) {
                char sink[256];

                /* A RST would take the alert with it. */
                (void)shutdown(c->fd, SHUT_WR);
                while (read(c->fd, sink, sizeof(sink)) > 0)
                        ;
                return;
        }
        sni = SSL_get_servername(c->ssl, TLSEXT_NAMETYPE_host_name);
        pthread_mutex_lock(&s->lock);
        s->connections++;
        (void)snprintf(s->sni, sizeof(s->sni), "%s", str_or_empty(sni));
        pthread_mutex_unlock(&s->lock);
        for (c->keep = true; c->keep && read_request(c);) {
                const char *path = strchr(c->request, '/');

                count(s, &s->requests, 1);
                for (size_t i = 0; path && i < ARRAY_SIZE(answers); i++)
                        if (startswith(path + 1, answers[i].path)) {
                                answers[i].answer(c, path + 1 + strlen(answers[i].path));
                                break;
                        }
        }
}

static int dial(int port) {
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
                return fd;
        if (fd >= 0)
                (void)close(fd);
        return -1;
}

/* "CONNECT host:port": whatever the host, it is here. */
static void relay(Connection *c) {
        TlsServer *s = c->server;
        struct pollfd fds[2];
        const char *port;
        ssize_t n;
        int to;

        while (!strstr(c->request, "\r\n\r\n")) {
                n = read(c->fd, c->request + c->len, sizeof(c->request) - 1 - c->len);
                if (n <= 0)
                        return;
                c->len += (size_t)n;
        }
        pthread_mutex_lock(&s->lock);
        s->connections++;
        (void)snprintf(s->heads, sizeof(s->heads), "%.1000s", c->request);
        pthread_mutex_unlock(&s->lock);
        port = strchr(c->request, ':');
        if (s->options.refuses) {
                (void)dprintf(c->fd, "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
                return;
        }
        to = dial(port ? atoi(port + 1) : 0);
        if (to < 0)
                return;
        (void)dprintf(c->fd, "HTTP/1.1 200 Connected\r\nRetry-After: 5\r\n\r\n");
        fds[0] = (struct pollfd){ .fd = c->fd, .events = POLLIN };
        fds[1] = (struct pollfd){ .fd = to, .events = POLLIN };
        for (n = 1; n > 0 && poll(fds, 2, -1) > 0;)
                for (int i = 0; i < 2 && n > 0; i++)
                        if (fds[i].revents) {
                                n = read(fds[i].fd, c->request, sizeof(c->request));
                                n = n > 0 ? write(fds[!i].fd, c->request, (size_t)n) : n;
                        }
        (void)close(to);
}

static void *connection_thread(void *user) {
        Connection *c = user;
        char sink[256];

        count(c->server, &c->server->open, 1);
        if (c->server->options.is_mute)
                while (read(c->fd, sink, sizeof(sink)) > 0)
                        ;
        else if (c->server->options.is_proxy)
                relay(c);
        else
                talk(c);
        SSL_free(c->ssl);
        pthread_mutex_lock(&c->server->lock);
        (void)close(c->fd);
        c->fd = -1;
        c->server->open--;
        pthread_mutex_unlock(&c->server->lock);
        return NULL;
}

static void *listener_thread(void *user) {
        TlsServer *s = user;
        int fd;

        while ((fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
                Connection *c = calloc(1, sizeof(*c));

                pthread_mutex_lock(&s->lock);
                if (!c || s->ends || s->n == CONNECTIONS_MAX) {
                        (void)close(fd);
                        free(c);
                } else {
                        c->server = s;
                        c->fd = fd;
                        s->all[s->n++] = c;
                        if (pthread_create(&c->thread, NULL, connection_thread, c) != 0)
                                abort();
                }
                pthread_mutex_unlock(&s->lock);
        }
        return NULL;
}

static void make_context(TlsServer *s) {
        s->ctx = SSL_CTX_new(TLS_server_method());
        assert_non_null(s->ctx);
        assert_int_equal(SSL_CTX_use_certificate(s->ctx, s->options.cert->x509), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(s->ctx, s->options.cert->key), 1);
        if (s->options.max_version) {
                SSL_CTX_set_security_level(s->ctx, 0);
                assert_int_equal(SSL_CTX_set_min_proto_version(s->ctx, 0), 1);
                assert_int_equal(SSL_CTX_set_max_proto_version(s->ctx, s->options.max_version), 1);
        }
        if (s->options.client_ca) {
                X509_STORE_add_cert(SSL_CTX_get_cert_store(s->ctx), s->options.client_ca->x509);
                SSL_CTX_set_verify(s->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        }
}

TlsServer *tls_server_new(const TlsServerOptions *options) {
        TlsServer *s = calloc(1, sizeof(*s));
        struct sockaddr_in a = { .sin_family = AF_INET };
        socklen_t n = sizeof(a);

        assert_non_null(s);
        s->options = *options;
        pthread_mutex_init(&s->lock, NULL);
        pthread_cond_init(&s->dripped, NULL);
        if (options->cert)
                make_context(s);
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(s->listener >= 0);
        assert_int_equal(bind(s->listener, (struct sockaddr *)&a, sizeof(a)), 0);
        assert_int_equal(listen(s->listener, 64), 0);
        assert_int_equal(getsockname(s->listener, (struct sockaddr *)&a, &n), 0);
        s->port = ntohs(a.sin_port);
        assert_int_equal(pthread_create(&s->thread, NULL, listener_thread, s), 0);
        return s;
}

int tls_server_port(const TlsServer *s) {
        return s->port;
}

unsigned tls_server_connections(TlsServer *s) {
        return get(s, &s->connections);
}

unsigned tls_server_requests(TlsServer *s) {
        return get(s, &s->requests);
}

unsigned tls_server_open(TlsServer *s) {
        return get(s, &s->open);
}

unsigned tls_server_waiting(TlsServer *s) {
        return get(s, &s->waiting);
}

unsigned tls_server_dripped(TlsServer *s) {
        return get(s, &s->dripped_bytes);
}

static const char *get_text(TlsServer *s, const char *text) {
        static char copy[1024];

        pthread_mutex_lock(&s->lock);
        (void)snprintf(copy, sizeof(copy), "%s", text);
        pthread_mutex_unlock(&s->lock);
        return copy;
}

const char *tls_server_sni(TlsServer *s) {
        return get_text(s, s->sni);
}

const char *tls_server_heads(TlsServer *s) {
        return get_text(s, s->heads);
}

void tls_server_drip(TlsServer *s) {
        pthread_mutex_lock(&s->lock);
        s->drips++;
        pthread_cond_broadcast(&s->dripped);
        pthread_mutex_unlock(&s->lock);
}

void tls_server_free(TlsServer *s) {
        if (!s)
                return;
        pthread_mutex_lock(&s->lock);
        s->ends = true;
        pthread_cond_broadcast(&s->dripped);
        for (size_t i = 0; i < s->n; i++)
                if (s->all[i]->fd >= 0)
                        (void)shutdown(s->all[i]->fd, SHUT_RDWR);
        pthread_mutex_unlock(&s->lock);
        (void)shutdown(s->listener, SHUT_RDWR);
        pthread_join(s->thread, NULL);
        for (size_t i = 0; i < s->n; i++) {
                pthread_join(s->all[i]->thread, NULL);
                free(s->all[i]);
        }
        (void)close(s->listener);
        SSL_CTX_free(s->ctx);
        pthread_cond_destroy(&s->dripped);
        pthread_mutex_destroy(&s->lock);
        free(s);
}
