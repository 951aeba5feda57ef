/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates and keys are made here, with libcrypto. */
#include "io/api_identity.h"
#include "tmpdir.h"
#include "wiped.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HOUR = 3600 };

/* ---- certificates ---- */

static EVP_PKEY *new_key(void) {
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_EC, NULL);
        EVP_PKEY *key = NULL;

        assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
        assert_int_equal(EVP_PKEY_CTX_set_ec_paramgen_curve_nid(ctx, NID_X9_62_prime256v1), 1);
        assert_int_equal(EVP_PKEY_keygen(ctx, &key), 1);
        EVP_PKEY_CTX_free(ctx);
        return key;
}

static void add_bio(Buf *out, BIO *bio) {
        char *text;
        long n = BIO_get_mem_data(bio, &text);

        assert_true(n > 0);
        buf_add(out, text, (size_t)n);
        BIO_free(bio);
}

/* Who a certificate is for: organizations up to a NULL; from and until in seconds from now. */
typedef struct Subject {
        const char *name, *organizations[4];
        long from, until;
} Subject;

static void add_certificate(Buf *out, EVP_PKEY *key, const Subject *s) {
        BIO *bio = BIO_new(BIO_s_mem());
        X509 *x = X509_new();
        X509_NAME *name = X509_NAME_new();

        assert_int_equal(X509_set_version(x, 2), 1);
        assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), 1), 1);
        for (const char *const *o = s->organizations; *o; o++)
                assert_int_equal(X509_NAME_add_entry_by_NID(name, NID_organizationName, MBSTRING_UTF8,
                                                            (const unsigned char *)*o, -1, -1, 0),
                                 1);
        assert_int_equal(X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, (const unsigned char *)s->name,
                                                    -1, -1, 0),
                         1);
        assert_int_equal(X509_set_subject_name(x, name), 1);
        assert_int_equal(X509_set_issuer_name(x, name), 1);
        assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), s->from));
        assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), s->until));
        assert_int_equal(X509_set_pubkey(x, key), 1);
        assert_true(X509_sign(x, key, EVP_sha256()) > 0);
        assert_int_equal(PEM_write_bio_X509(bio, x), 1);
        add_bio(out, bio);
        X509_NAME_free(name);
        X509_free(x);
}

static void add_key(Buf *out, EVP_PKEY *key) {
        BIO *bio = BIO_new(BIO_s_mem());

        assert_int_equal(PEM_write_bio_PrivateKey_traditional(bio, key, NULL, NULL, 0, NULL, NULL), 1);
        add_bio(out, bio);
}

static void add_encrypted_key(Buf *out, EVP_PKEY *key) {
        BIO *bio = BIO_new(BIO_s_mem());
        char passphrase[] = "SECRET";

        assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, EVP_aes_128_cbc(), passphrase, 6, NULL, NULL), 1);
        add_bio(out, bio);
}

/* ---- a world: a directory with a kubeconfig and what it names ---- */

static const Subject ca_subject = { .name = "kubernetes", .from = -HOUR, .until = HOUR }, node_subject = {
        .name = "system:node:a", .organizations = { "system:nodes" }, .from = -HOUR, .until = HOUR
};

static EVP_PKEY *ca_key, *node_key, *other_key;
static Buf ca_pem, node_pem, node_key_pem, other_pem, other_key_pem;
static char *dir;
static ApiIdentity identity;
static Err err;

static int make_keys(void **unused) {
        (void)unused;
        ca_key = new_key();
        node_key = new_key();
        other_key = new_key();
        add_certificate(&ca_pem, ca_key, &ca_subject);
        add_certificate(&node_pem, node_key, &node_subject);
        add_certificate(&other_pem, other_key, &node_subject);
        add_key(&node_key_pem, node_key);
        add_key(&other_key_pem, other_key);
        return 0;
}

static int free_keys(void **unused) {
        (void)unused;
        EVP_PKEY_free(ca_key);
        EVP_PKEY_free(node_key);
        EVP_PKEY_free(other_key);
        buf_done(&ca_pem);
        buf_done(&node_pem);
        buf_done(&node_key_pem);
        buf_done(&other_pem);
        buf_done(&other_key_pem);
        return 0;
}

static void put(const char *name, const char *text) {
        put_file(in_dir(dir, name), text, 0600);
}

/* Texts, one after the other, in one file. */
static void put_two(const char *name, const char *a, const char *b) {
        _cleanup_buf_ Buf text = BUF_INIT;

        buf_str(&text, a);
        buf_str(&text, b);
        put(name, buf_text(&text));
}

static void put_kubeconfig(const char *cluster, const char *user) {
        _cleanup_buf_ Buf text = BUF_INIT;

        buf_printf(&text, "{clusters: [{name: c, cluster: {%s}}], users: [{name: u, user: {%s}}]}\n", cluster, user);
        put("kubeconfig", buf_text(&text));
}

#define SERVER "server: 'https://10.0.0.1:6443'"
#define CLUSTER SERVER ", certificate-authority: ca.crt"
#define PAIR "client-certificate: client.pem, client-key: client.pem"

static int set_up(void **unused) {
        (void)unused;
        dir = tmpdir_new();
        err = (Err){ 0 };
        put("ca.crt", buf_text(&ca_pem));
        put_two("client-1.pem", buf_text(&node_pem), buf_text(&node_key_pem));
        put_two("client-2.pem", buf_text(&other_pem), buf_text(&other_key_pem));
        put_link(in_dir(dir, "client.pem"), "client-1.pem");
        put_kubeconfig(CLUSTER, PAIR);
        return 0;
}

static int tear_down(void **unused) {
        (void)unused;
        api_identity_done(&identity);
        tmpdir_free(dir);
        return 0;
}

static int read_as(bool allow_insecure) {
        int r;

        api_identity_done(&identity);
        err = (Err){ 0 };
        r = api_identity_read(in_dir(dir, "kubeconfig"), allow_insecure, &identity, &err);
        assert_int_equal(ERR_peek_error(), 0);
        assert_int_equal(r == 0, err.message[0] == 0);
        assert_int_equal(r == 0, identity.server != NULL);
        assert_null(strstr(err.message, "SECRET"));
        assert_null(strstr(err.message, "PRIVATE"));
        return r;
}

static int read_now(void) {
        return read_as(false);
}

/* The message is "<dir>/<file>: <rest>". */
static void assert_message(const char *file, const char *rest) {
        char want[5000];

        (void)snprintf(want, sizeof(want), "%s/%s%s%s", dir, file, *rest ? ": " : "", rest);
        if (*rest)
                assert_string_equal(err.message, want);
        else if (!startswith(err.message, want))
                fail_msg("\"%s\" instead of \"%s...\"", err.message, want);
}

static void assert_refused(int result, const char *file, const char *rest) {
        assert_int_equal(read_now(), result);
        assert_message(file, rest);
}

/* ---- the whole of it ---- */

static void test_kubelet(void **state) {
        _cleanup_buf_ Buf both = BUF_INIT;

        (void)state;
        buf_printf(&both, "%s%s", buf_text(&node_pem), buf_text(&node_key_pem));
        assert_int_equal(read_now(), 0);
        assert_string_equal(identity.server, "https://10.0.0.1:6443");
        assert_null(identity.tls_server_name);
        assert_null(identity.proxy_url);
        assert_null(identity.token);
        assert_false(identity.insecure);
        assert_true(identity.is_kubelet);
        assert_string_equal(identity.ca, buf_text(&ca_pem));
        assert_int_equal(identity.ca_len, ca_pem.len);
        assert_string_equal(identity.cert, buf_text(&both));
        assert_int_equal(identity.cert_len, both.len);
        assert_string_equal(identity.key, buf_text(&both));
        assert_int_equal(identity.key_len, both.len);
        assert_int_equal(strlen(identity.cluster), HASH_HEX);
        assert_false(api_identity_has_changed(&identity));
}

/* What the kubelet does when its certificate is renewed. */
static void test_rotation(void **state) {
        ApiIdentity before;

        (void)state;
        assert_int_equal(read_now(), 0);
        before = identity;
        identity = (ApiIdentity){ 0 };
        put_link(in_dir(dir, "client.tmp"), "client-2.pem");
        assert_false(api_identity_has_changed(&before));
        assert_int_equal(rename(in_dir(dir, "client.tmp"), in_dir(dir, "client.pem")), 0);
        assert_true(api_identity_has_changed(&before));
        assert_int_equal(read_now(), 0);
        assert_false(api_identity_has_changed(&identity));
        assert_false(api_identity_equal(&before, &identity));
        assert_string_equal(before.cluster, identity.cluster);
        api_identity_done(&before);
}

static void test_everything_given(void **state) {
        (void)state;
        put("client.key", buf_text(&node_key_pem));
        put("client.crt", buf_text(&node_pem));
        put("token", "abc.DEF-1_~\n");
        put_kubeconfig("server: 'https://h/k8s/c//', tls-server-name: kube, proxy-url: 'http://p', "
                       "certificate-authority: ca.crt",
                       "client-certificate: client.crt, client-key: client.key, tokenFile: token, token: other");
        assert_int_equal(read_now(), 0);
        assert_string_equal(identity.server, "https://h/k8s/c");
        assert_string_equal(identity.tls_server_name, "kube");
        assert_string_equal(identity.proxy_url, "http://p");
        assert_string_equal(identity.cert, buf_text(&node_pem));
        assert_string_equal(identity.key, buf_text(&node_key_pem));
        assert_string_equal(identity.token, "abc.DEF-1_~");
        for (unsigned i = 0; i < API_IDENTITY_FILES; i++)
                assert_non_null(identity.files[i].path);
}

static void test_nothing_given(void **state) {
        uint8_t digest[HASH_BYTES];
        char hash[HASH_HEX + 1];

        (void)state;
        put_kubeconfig("server: 'https://h/'", "");
        assert_int_equal(read_now(), 0);
        assert_string_equal(identity.server, "https://h");
        assert_null(identity.ca);
        assert_null(identity.cert);
        assert_null(identity.key);
        assert_null(identity.token);
        assert_false(identity.is_kubelet);
        hash_sha256(&(HashPart){ "https://h", 9 }, 1, digest);
        hash_hex(digest, HASH_HEX, hash);
        assert_string_equal(identity.cluster, hash);
        for (unsigned i = 1; i < API_IDENTITY_FILES; i++)
                assert_null(identity.files[i].path);
}

static void put_data(Buf *out, const char *key, const Buf *pem) {
        unsigned char *text = malloc(pem->len * 2);

        assert_non_null(text);
        (void)EVP_EncodeBlock(text, (const unsigned char *)pem->data, (int)pem->len);
        buf_printf(out, "%s: %s, ", key, (char *)text);
        free(text);
}

/* Data wins: the files that stand beside it are not even looked at. */
static void test_data(void **state) {
        _cleanup_buf_ Buf cluster = BUF_INIT, user = BUF_INIT;

        (void)state;
        buf_str(&cluster, SERVER ", certificate-authority: gone, ");
        put_data(&cluster, "certificate-authority-data", &ca_pem);
        buf_str(&user, "client-certificate: gone, client-key: gone, ");
        put_data(&user, "client-certificate-data", &node_pem);
        put_data(&user, "client-key-data", &node_key_pem);
        put_kubeconfig(buf_text(&cluster), buf_text(&user));
        assert_int_equal(read_now(), 0);
        assert_string_equal(identity.ca, buf_text(&ca_pem));
        assert_string_equal(identity.cert, buf_text(&node_pem));
        assert_string_equal(identity.key, buf_text(&node_key_pem));
        assert_true(identity.is_kubelet);
        assert_false(api_identity_has_changed(&identity));
        buf_reset(&user);
        put_data(&user, "client-certificate-data", &node_pem);
        put_data(&user, "client-key-data", &other_key_pem);
        put_kubeconfig(buf_text(&cluster), buf_text(&user));
        assert_refused(-EBADMSG, "kubeconfig",
                       "the client key does not belong to the client certificate (perhaps they are being replaced)");
}

/* ---- certificates ---- */

typedef struct Group {
        Subject subject;
        bool is_kubelet;
} Group;

static void test_is_kubelet(void **state) {
        static const Group groups[] = {
                { { "system:node:a", { "system:nodes" }, -HOUR, HOUR }, true },
                { { "a", { "x", "system:nodes" }, -HOUR, HOUR }, true },
                { { "a", { "system:nodes", "system:masters" }, -HOUR, HOUR }, true },
                { { "system:nodes", { NULL }, -HOUR, HOUR }, false },
                { { "system:node:a", { "system:node" }, -HOUR, HOUR }, false },
                { { "system:node:a", { "system:nodes2", "system:NODES" }, -HOUR, HOUR }, false },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
                _cleanup_buf_ Buf pem = BUF_INIT;

                add_certificate(&pem, node_key, &groups[i].subject);
                add_key(&pem, node_key);
                put("client-1.pem", buf_text(&pem));
                assert_int_equal(read_now(), 0);
                assert_int_equal(identity.is_kubelet, groups[i].is_kubelet);
        }
}

static void test_the_first_certificate_counts(void **state) {
        _cleanup_buf_ Buf chain = BUF_INIT, wrong = BUF_INIT;

        (void)state;
        buf_printf(&chain, "%s%s%s", buf_text(&node_pem), buf_text(&ca_pem), buf_text(&node_key_pem));
        put("client-1.pem", buf_text(&chain));
        assert_int_equal(read_now(), 0);
        assert_string_equal(identity.cert, buf_text(&chain));
        assert_true(identity.is_kubelet);
        buf_printf(&wrong, "%s%s%s", buf_text(&ca_pem), buf_text(&node_pem), buf_text(&node_key_pem));
        put("client-1.pem", buf_text(&wrong));
        assert_refused(-EBADMSG, "client.pem",
                       "the client key does not belong to the client certificate (perhaps they are being replaced)");
}

static void test_the_key_may_come_first(void **state) {
        (void)state;
        put_two("client-1.pem", buf_text(&node_key_pem), buf_text(&node_pem));
        assert_int_equal(read_now(), 0);
        assert_true(identity.is_kubelet);
}

/* openssl ecparam writes the curve in front of the key. */
static void test_curve_in_front_of_the_key(void **state) {
        (void)state;
        put_two("client.key", "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n",
                buf_text(&node_key_pem));
        put_kubeconfig(CLUSTER, "client-certificate: client.pem, client-key: client.key");
        assert_int_equal(read_now(), 0);
}

static void test_key_of_another(void **state) {
        (void)state;
        put_kubeconfig(CLUSTER, "client-certificate: client-1.pem, client-key: client-2.pem");
        assert_refused(-EBADMSG, "client-2.pem",
                       "the client key does not belong to the client certificate (perhaps they are being replaced)");
}

/* Wherever the writing of a combined file stands. */
static void test_half_written(void **state) {
        _cleanup_buf_ Buf whole = BUF_INIT;
        size_t len;

        (void)state;
        buf_printf(&whole, "%s%s%s", buf_text(&node_pem), buf_text(&ca_pem), buf_text(&node_key_pem));
        len = whole.len;
        for (size_t n = 0; n < len - 1; n += n + 80 < len ? 37 : 1) {
                char cut = whole.data[n];
                int r;

                whole.data[n] = 0;
                put("client-1.pem", whole.data);
                whole.data[n] = cut;
                r = read_now();
                if (r != -EBADMSG)
                        fail_msg("%d for %zu bytes", r, n);
                assert_message("client.pem", "");
        }
        put("client-1.pem", whole.data);
        assert_int_equal(read_now(), 0);
}

static void test_a_broken_chain(void **state) {
        _cleanup_buf_ Buf pem = BUF_INIT;

        (void)state;
        buf_printf(&pem, "%s%s-----BEGIN CERTIFICATE-----\nSECRET\n-----END CERTIFICATE-----\n", buf_text(&node_pem),
                   buf_text(&node_key_pem));
        put("client-1.pem", buf_text(&pem));
        assert_refused(-EBADMSG, "client.pem",
                       "the client certificate cannot be read (PEM is wanted; perhaps it is being written)");
}

static void test_no_pem(void **state) {
        (void)state;
        put("client-1.pem", "SECRET\n");
        assert_refused(-EBADMSG, "client.pem", "the client certificate holds no certificate (PEM is wanted)");
        put("client-1.pem", buf_text(&node_pem));
        assert_refused(-EBADMSG, "client.pem",
                       "the client key cannot be read (PEM is wanted; perhaps it is being written)");
        put("client-1.pem", buf_text(&node_key_pem));
        assert_refused(-EBADMSG, "client.pem", "the client certificate holds no certificate (PEM is wanted)");
        put("ca.crt", "SECRET\n");
        assert_refused(-EBADMSG, "ca.crt", "the certificate authority holds no certificate (PEM is wanted)");
        put("ca.crt", "");
        assert_refused(-EBADMSG, "ca.crt", "the certificate authority holds no certificate (PEM is wanted)");
        put_two("ca.crt", buf_text(&ca_pem), "-----BEGIN CERTIFICATE-----\nMIIB\n");
        assert_refused(-EBADMSG, "ca.crt",
                       "the certificate authority cannot be read (PEM is wanted; perhaps it is being written)");
}

static void test_encrypted_key(void **state) {
        _cleanup_buf_ Buf pem = BUF_INIT;

        (void)state;
        add_encrypted_key(&pem, node_key);
        put("client.key", buf_text(&pem));
        put_kubeconfig(CLUSTER, "client-certificate: client.pem, client-key: client.key");
        assert_refused(-EBADMSG, "client.key", "the client key is encrypted, and nobody is here to unlock it");
}

/* "...: the client certificate is <what> 2026-01-01T00:00:00Z" */
static void assert_time(long from, long until, const char *what) {
        _cleanup_buf_ Buf pem = BUF_INIT;
        Subject s = { "a", { NULL }, from, until };
        char text[5000], want[5100];
        time_t limit = time(NULL) + (from > 0 ? from : until), at;
        struct tm tm = { 0 };
        const char *stamp;

        add_certificate(&pem, node_key, &s);
        add_key(&pem, node_key);
        put("client-1.pem", buf_text(&pem));
        assert_int_equal(read_now(), -EKEYEXPIRED);
        (void)snprintf(want, sizeof(want), "the client certificate is %s ", what);
        assert_message("client.pem", "");
        stamp = strstr(err.message, want);
        assert_non_null(stamp);
        (void)snprintf(text, sizeof(text), "%s", stamp + strlen(want));
        assert_string_equal(strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm), "");
        at = timegm(&tm);
        assert_true(at >= limit - HOUR / 4 && at <= limit + HOUR / 4);
}

static void test_times(void **state) {
        (void)state;
        assert_time(-2L * HOUR, -HOUR, "not valid any more since");
        assert_time(HOUR, 2L * HOUR, "not valid before");
        /* Only the certificate that is presented has to be valid now. */
        {
                _cleanup_buf_ Buf pem = BUF_INIT;
                Subject s = { "old", { NULL }, -2L * HOUR, -HOUR };

                buf_str(&pem, buf_text(&node_pem));
                add_certificate(&pem, ca_key, &s);
                add_key(&pem, node_key);
                put("client-1.pem", buf_text(&pem));
                assert_int_equal(read_now(), 0);
        }
}

/* The cluster is what its certificates say, not how they are written down. */
static void test_cluster(void **state) {
        _cleanup_buf_ Buf data = BUF_INIT;
        char first[HASH_HEX + 1];

        (void)state;
        assert_int_equal(read_now(), 0);
        memcpy(first, identity.cluster, sizeof(first));
        put_kubeconfig("server: 'https://elsewhere', certificate-authority: ca.crt", "");
        assert_int_equal(read_now(), 0);
        assert_string_equal(identity.cluster, first);
        buf_str(&data, SERVER ", ");
        put_data(&data, "certificate-authority-data", &ca_pem);
        put_kubeconfig(buf_text(&data), "");
        assert_int_equal(read_now(), 0);
        assert_string_equal(identity.cluster, first);
        put_kubeconfig(CLUSTER, "");
        put_two("ca.crt", "subject=CN = kubernetes\n", buf_text(&ca_pem));
        assert_int_equal(read_now(), 0);
        assert_string_equal(identity.cluster, first);
        put_two("ca.crt", buf_text(&ca_pem), buf_text(&other_pem));
        assert_int_equal(read_now(), 0);
        assert_string_not_equal(identity.cluster, first);
        put("ca.crt", buf_text(&other_pem));
        assert_int_equal(read_now(), 0);
        assert_string_not_equal(identity.cluster, first);
}

/* ---- tokens ---- */

static void test_tokens(void **state) {
        static const struct TokenRow {
                const char *text, *token, *message;
        } rows[] = {
                { "t", "t", NULL },
                { "\t\v\f\r\n abc.def-_~+/= \r\n\n", "abc.def-_~+/=", NULL },
                { "", NULL, "the token is empty" },
                { " \n", NULL, "the token is empty" },
                { "SECRET\nSECRET\n", NULL, "the token must be one line of visible ASCII" },
                { "SECRET\r\nHost: x", NULL, "the token must be one line of visible ASCII" },
                { "SECRET 1", NULL, "the token must be one line of visible ASCII" },
                { "SECRET\x01", NULL, "the token must be one line of visible ASCII" },
                { "SECRET\x7f", NULL, "the token must be one line of visible ASCII" },
                { "SECRET\xc3\xa4", NULL, "the token must be one line of visible ASCII" },
        };
        FILE *f;

        (void)state;
        put_kubeconfig(CLUSTER, "tokenFile: token");
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                put("token", rows[i].text);
                if (rows[i].message) {
                        assert_refused(-EBADMSG, "token", rows[i].message);
                        continue;
                }
                assert_int_equal(read_now(), 0);
                assert_string_equal(identity.token, rows[i].token);
        }
        f = fopen(in_dir(dir, "token"), "we");
        assert_non_null(f);
        assert_int_equal(fwrite("a\0b", 1, 3, f), 3);
        assert_int_equal(fclose(f), 0);
        assert_refused(-EBADMSG, "token", "the token must be one line of visible ASCII");
        put_kubeconfig(CLUSTER, "token: \" a1 \"");
        assert_int_equal(read_now(), 0);
        assert_string_equal(identity.token, "a1");
        put_kubeconfig(CLUSTER, "token: \"SECRET\\nb\"");
        assert_refused(-EBADMSG, "kubeconfig", "the token must be one line of visible ASCII");
}

/* The file wins, even where it cannot be read: what stands beside it may be years old. */
static void test_token_file_wins(void **state) {
        (void)state;
        put_kubeconfig(CLUSTER, "tokenFile: token, token: old");
        put("token", "new");
        assert_int_equal(read_now(), 0);
        assert_string_equal(identity.token, "new");
        assert_int_equal(unlink(in_dir(dir, "token")), 0);
        assert_refused(-ENOENT, "token", "No such file or directory");
}

/* ---- refusals ---- */

static void test_insecure(void **state) {
        (void)state;
        put_kubeconfig(SERVER ", insecure-skip-tls-verify: true", "token: SECRET");
        assert_refused(-EPERM, "kubeconfig",
                       "insecure-skip-tls-verify is obeyed only with allow_insecure = yes in [api]; better give the "
                       "cluster its certificate-authority");
        assert_int_equal(read_as(true), 0);
        assert_true(identity.insecure);
        put_kubeconfig(CLUSTER, "");
        assert_int_equal(read_as(true), 0);
        assert_false(identity.insecure);
}

static void test_every_file_is_needed_and_checked(void **state) {
        static const char *const names[] = { "ca.crt", "client.crt", "client.key", "token", "kubeconfig" };

        (void)state;
        put("client.crt", buf_text(&node_pem));
        put("client.key", buf_text(&node_key_pem));
        put("token", "t");
        put_kubeconfig(CLUSTER, "client-certificate: client.crt, client-key: client.key, tokenFile: token");
        assert_int_equal(read_now(), 0);
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                assert_int_equal(chmod(in_dir(dir, names[i]), 0620), 0);
                assert_refused(-EPERM, names[i], "is writable by group or others (mode 0620); run chmod go-w on it");
                assert_int_equal(chmod(in_dir(dir, names[i]), 0644), 0);
                assert_int_equal(read_now(), 0);
                assert_int_equal(rename(in_dir(dir, names[i]), in_dir(dir, "away")), 0);
                assert_refused(-ENOENT, names[i], "No such file or directory");
                put_dir(in_dir(dir, names[i]), 0700);
                assert_refused(-EISDIR, names[i], "is a directory");
                assert_int_equal(rmdir(in_dir(dir, names[i])), 0);
                assert_int_equal(rename(in_dir(dir, "away"), in_dir(dir, names[i])), 0);
        }
        assert_int_equal(truncate(in_dir(dir, "token"), 1024 * 1024 + 1), 0);
        assert_int_equal(read_now(), -EFBIG);
        assert_message("token", "");
}

static void test_what_kubeconfig_refuses(void **state) {
        (void)state;
        put_kubeconfig(CLUSTER, "exec: {command: aws}, token: SECRET");
        assert_int_equal(read_now(), -EOPNOTSUPP);
        assert_message("kubeconfig", "");
        put_kubeconfig("server: 'http://u:SECRET@h'", "");
        assert_int_equal(read_now(), -EBADMSG);
        put("kubeconfig", "users: [{token: SECRET");
        assert_int_equal(read_now(), -EBADMSG);
}

/* ---- changes ---- */

/* All of a file's marks, one at a time. */
static void assert_changes_seen(const char *name) {
        const char *path = in_dir(dir, name);
        struct stat was, is;
        struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { 0 } };

        assert_int_equal(read_now(), 0);
        assert_false(api_identity_has_changed(&identity));
        assert_int_equal(stat(path, &was), 0);
        times[1] = was.st_mtim;
        times[1].tv_sec -= 10;
        assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
        assert_true(api_identity_has_changed(&identity));

        /* Content changed, size and time of modification set back: the time of the change cannot be. */
        assert_int_equal(read_now(), 0);
        assert_int_equal(stat(path, &was), 0);
        do {
                assert_int_equal(chmod(path, 0600), 0);
                assert_int_equal(stat(path, &is), 0);
        } while (is.st_ctim.tv_sec == was.st_ctim.tv_sec && is.st_ctim.tv_nsec == was.st_ctim.tv_nsec);
        assert_true(api_identity_has_changed(&identity));

        assert_int_equal(read_now(), 0);
        assert_int_equal(rename(path, in_dir(dir, "away")), 0);
        assert_true(api_identity_has_changed(&identity));
        assert_int_equal(rename(in_dir(dir, "away"), path), 0);
}

static void test_changes(void **state) {
        static const char *const names[] = { "ca.crt", "client.crt", "client.key", "token", "kubeconfig" };
        ApiIdentity none = { 0 };

        (void)state;
        put("client.crt", buf_text(&node_pem));
        put("client.key", buf_text(&node_key_pem));
        put("token", "t");
        put_kubeconfig(CLUSTER, "client-certificate: client.crt, client-key: client.key, tokenFile: token");
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                assert_changes_seen(names[i]);
        assert_false(api_identity_has_changed(&none));
}

/* Each mark by itself, as no file system would change it. */
static void test_marks(void **state) {
        (void)state;
        assert_int_equal(read_now(), 0);
        for (unsigned mark = 0; mark < 7; mark++) {
                ApiIdentityFile was = identity.files[0], *f = &identity.files[0];

                f->inode += mark == 0;
                f->device += mark == 1;
                f->size += mark == 2;
                f->modified.tv_sec += mark == 3;
                f->modified.tv_nsec += mark == 4;
                f->changed.tv_sec += mark == 5;
                f->changed.tv_nsec += mark == 6;
                assert_true(api_identity_has_changed(&identity));
                *f = was;
                assert_false(api_identity_has_changed(&identity));
        }
}

static void test_equal(void **state) {
        static const char *const clusters[] = {
                CLUSTER,
                "server: 'https://other', certificate-authority: ca.crt",
                CLUSTER ", tls-server-name: one",
                CLUSTER ", tls-server-name: two",
                CLUSTER ", proxy-url: 'http://x'",
                SERVER,
                SERVER ", insecure-skip-tls-verify: true",
                SERVER ", certificate-authority: client.pem",
        };
        static const char *const users[] = {
                "",
                "token: a",
                "token: b",
                "client-certificate: client-1.pem, client-key: client-1.pem",
                "client-certificate: client-2.pem, client-key: client-2.pem",
                "client-certificate: client-1.pem, client-key: client.key",
        };
        enum { N = ARRAY_SIZE(clusters) + ARRAY_SIZE(users) };
        ApiIdentity all[N] = { 0 };

        (void)state;
        put("client.key", buf_text(&node_key_pem));
        for (size_t i = 0; i < N; i++) {
                ApiIdentity again;
                bool is_user = i >= ARRAY_SIZE(clusters);

                put_kubeconfig(is_user ? CLUSTER : clusters[i], is_user ? users[i - ARRAY_SIZE(clusters)] : "token: t");
                assert_int_equal(read_as(true), 0);
                again = identity;
                identity = (ApiIdentity){ 0 };
                put("ca.crt", buf_text(&ca_pem)); /* as new as the rest, with another time */
                assert_int_equal(read_as(true), 0);
                assert_true(api_identity_equal(&again, &identity));
                all[i] = again;
        }
        for (size_t i = 0; i < N; i++)
                for (size_t j = 0; j < N; j++)
                        assert_int_equal(api_identity_equal(&all[i], &all[j]), i == j);
        for (size_t i = 0; i < N; i++)
                api_identity_done(&all[i]);
}

/* ---- secrets, memory ---- */

static void test_secrets_are_wiped(void **state) {
        (void)state;
        watched = "SECRET";
        /* The text, the tree, the kubeconfig's token, and at last the identity's. */
        put_kubeconfig(CLUSTER, "token: SECRET");
        n_watched = 0;
        assert_int_equal(read_now(), 0);
        assert_int_equal(n_watched, 3);
        api_identity_done(&identity);
        assert_int_equal(n_watched, 4);
        /* What the file said, and the identity's. */
        put_kubeconfig(CLUSTER, "tokenFile: token");
        put("token", "SECRET");
        n_watched = 0;
        assert_int_equal(read_now(), 0);
        assert_int_equal(n_watched, 1);
        api_identity_done(&identity);
        assert_int_equal(n_watched, 2);
        /* What stands beside a file and does not count. */
        put_kubeconfig(CLUSTER, "tokenFile: token, token: SECRET");
        put("token", "t");
        n_watched = 0;
        assert_int_equal(read_now(), 0);
        assert_int_equal(n_watched, 3);
        /* The same where it is refused. */
        put_kubeconfig(CLUSTER, "tokenFile: token");
        put("token", "SECRET\nSECRET");
        n_watched = 0;
        assert_int_equal(read_now(), -EBADMSG);
        assert_int_equal(n_watched, 1);
        /* A combined file, read for the certificate and for the key. */
        put_two("client-1.pem", buf_text(&node_pem), "SECRET\n");
        put_kubeconfig(CLUSTER, PAIR);
        n_watched = 0;
        assert_int_equal(read_now(), -EBADMSG);
        assert_int_equal(n_watched, 2);
        /* A password. */
        put_kubeconfig(CLUSTER ", proxy-url: 'http://u:SECRET@p'", "");
        n_watched = 0;
        assert_int_equal(read_now(), 0);
        assert_int_equal(n_watched, 2);
        api_identity_done(&identity);
        assert_int_equal(n_watched, 3);
}

/* Without certificates: libcrypto does not always tell that it ran out of memory. */
static int live(void *user) {
        _cleanup_api_identity_ ApiIdentity i = { 0 };

        (void)user;
        return api_identity_read(in_dir(dir, "kubeconfig"), false, &i, NULL);
}

static void test_out_of_memory(void **state) {
        (void)state;
        put_kubeconfig(SERVER ", proxy-url: 'http://p', tls-server-name: name", "tokenFile: token, token: t");
        put("token", "t\n");
        (void)test_oom(live, NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
        static const struct CMUnitTest tests[] = {
                TEST(test_kubelet),
                TEST(test_rotation),
                TEST(test_everything_given),
                TEST(test_nothing_given),
                TEST(test_data),
                TEST(test_is_kubelet),
                TEST(test_the_first_certificate_counts),
                TEST(test_the_key_may_come_first),
                TEST(test_curve_in_front_of_the_key),
                TEST(test_key_of_another),
                TEST(test_half_written),
                TEST(test_a_broken_chain),
                TEST(test_no_pem),
                TEST(test_encrypted_key),
                TEST(test_times),
                TEST(test_cluster),
                TEST(test_tokens),
                TEST(test_token_file_wins),
                TEST(test_insecure),
                TEST(test_every_file_is_needed_and_checked),
                TEST(test_what_kubeconfig_refuses),
                TEST(test_changes),
                TEST(test_marks),
                TEST(test_equal),
                TEST(test_secrets_are_wiped),
                TEST(test_out_of_memory),
        };

        return cmocka_run_group_tests(tests, make_keys, free_keys);
}
