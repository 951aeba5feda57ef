/* SPDX-License-Identifier: Apache-2.0 */
#include "io/http_internal.h"

#include <errno.h>

/* A NUL follows the bytes. */
static bool copy(const char *bytes, size_t len, const char **ret, size_t *ret_len) {
        char *text;

        if (!bytes)
                return true;
        text = malloc(len + 1);
        if (!text)
                return false;
        memcpy(text, bytes, len);
        text[len] = 0;
        *ret = text;
        if (ret_len)
                *ret_len = len;
        return true;
}

static bool copy_text(const char *s, const char **ret) {
        return copy(s, s ? strlen(s) : 0, ret, NULL);
}

/* The certificates alone: libcurl keeps a copy of them with every connection, and a file of certificate and key in one
 * would scatter the key. A text without any is left to libcurl to refuse. */
static bool copy_certificates(const char *pem, size_t len, const char **ret, size_t *ret_len) {
        static const char begin[] = "-----BEGIN CERTIFICATE-----", end[] = "-----END CERTIFICATE-----";
        const char *whole = NULL;
        char *out;

        if (!pem)
                return true;
        if (!copy(pem, len, &whole, NULL))
                return false;
        out = calloc(1, 2 * len + 1);
        if (out) {
                for (const char *p = whole, *last; (p = strstr(p, begin)) && (last = strstr(p, end)); p = last) {
                        last += strlen(end);
                        strcat(strncat(out, p, (size_t)(last - p)), "\n");
                }
                *ret = out;
                *ret_len = strlen(out);
        }
        explicit_bzero((void *)whole, len);
        free((void *)whole);
        return out;
}

int http_identity_copy(const HttpIdentity *identity, HttpIdentity *ret) {
        HttpIdentity to = { .insecure = identity->insecure };

        if (!copy(identity->ca, identity->ca_len, &to.ca, &to.ca_len) ||
            !copy_certificates(identity->cert, identity->cert_len, &to.cert, &to.cert_len) ||
            !copy(identity->key, identity->key_len, &to.key, &to.key_len) ||
            !copy_text(identity->tls_server_name, &to.tls_server_name) || !copy_text(identity->proxy, &to.proxy) ||
            !copy_text(identity->user_agent, &to.user_agent)) {
                http_identity_done(&to);
                return -ENOMEM;
        }
        *ret = to;
        return 0;
}

void http_identity_done(HttpIdentity *identity) {
        if (identity->key)
                explicit_bzero((void *)identity->key, identity->key_len);
        free((void *)identity->ca);
        free((void *)identity->cert);
        free((void *)identity->key);
        free((void *)identity->tls_server_name);
        free((void *)identity->proxy);
        free((void *)identity->user_agent);
        *identity = (HttpIdentity){ 0 };
}
