/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP/1.1 server over TLS for tests, in threads of this process, on 127.0.0.1; it behaves as well or as badly as
 * the path says. And the certificates for it. The program ignores SIGPIPE. */
#pragma once

#include "test.h"

#include <stdbool.h>

#include <openssl/ssl.h>

typedef struct Cert {
        X509 *x509;
        EVP_PKEY *key;
        char *pem, *key_pem; /* NUL-terminated */
} Cert;

/* san: "DNS:a,IP:127.0.0.1", or NULL for a CA. issuer NULL: self-signed. from, to: seconds from now. */
Cert *cert_new(const char *name, const char *san, const Cert *issuer, long from, long to);
void cert_free(Cert *c);

/* The key, encrypted; free it. */
char *cert_locked_key(const Cert *c);

typedef struct TlsServer TlsServer;

typedef struct TlsServerOptions {
        const Cert *cert;
        const Cert *client_ca; /* NULL: no client certificate is asked for */
        int max_version;       /* TLS1_1_VERSION; 0: any */
        bool is_mute;          /* connections are accepted, nothing is ever said */
        bool is_proxy;         /* no TLS: an HTTP proxy that knows CONNECT */
        bool refuses;          /* the proxy says 403 */
} TlsServerOptions;

/* GET of
 *   /ok            "hello", keep-alive          /status/N         an answer of that status without a body
 *   /gzip          small, compressed            /bomb             256 KiB of NUL, compressed
 *   /torn          chunked, each byte alone     /trailers         chunked, with a trailer
 *   /until-close   body without a length        /cut              the same, without TLS's goodbye
 *   /half          half of Content-Length       /half-chunked     no last chunk
 *   /early         closes before the answer     /reset            RST within the body
 *   /silence       never answers                /stuck            answers a head and some of the body
 *   /drip          a byte when told by tls_server_drip           /endless   a stream without an end
 *   /wait          as /ok, when told by tls_server_drip
 *   /huge          1 MiB of 'x'                 /retry/VALUE      429 with that Retry-After
 *   /redirect      302 to /ok                   /early-hints      100 and 103 before the answer
 *   /garbage       no HTTP                      anything else     200, the request as it came, as body
 */
TlsServer *tls_server_new(const TlsServerOptions *options);
int tls_server_port(const TlsServer *s);
unsigned tls_server_connections(TlsServer *s); /* after the handshake */
unsigned tls_server_requests(TlsServer *s);
unsigned tls_server_open(TlsServer *s);     /* connections that are there now */
unsigned tls_server_waiting(TlsServer *s);  /* for a drip in /wait */
unsigned tls_server_dripped(TlsServer *s);  /* bytes that /drip has sent, of all connections */
const char *tls_server_sni(TlsServer *s);   /* of the last connection, "" if there was none; static buffer */
const char *tls_server_heads(TlsServer *s); /* what a proxy was told; static buffer */
void tls_server_drip(TlsServer *s);
void tls_server_free(TlsServer *s); /* ends all connections first */
