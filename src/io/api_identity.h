/* SPDX-License-Identifier: Apache-2.0 */
/* Who we are to the API server, and how we know it: a kubeconfig with every file that it names, read into memory. Files
 * must be safe (owner and mode, as io/file.h has it; links are followed: the kubelet's rotated certificate is one). */
#pragma once

#include "base/err.h"
#include "base/hash.h"

#include <sys/stat.h>

enum { API_IDENTITY_FILES = 5 }; /* kubeconfig, CA, certificate, key, token */

/* One file as it was when it was read. */
typedef struct ApiIdentityFile {
        char *path; /* NULL: none, or none that counts */
        struct timespec modified, changed;
        ino_t inode;
        dev_t device;
        off_t size;
} ApiIdentityFile;

typedef struct ApiIdentity {
        char *server;          /* https://host:port[/path], without a slash at the end */
        char *tls_server_name; /* or NULL */
        char *proxy_url;       /* or NULL */
        bool insecure;         /* the server's certificate is not verified: only where the configuration allows it */
        char *ca;              /* PEM; NULL: the host's certificates */
        size_t ca_len;
        char *cert, *key; /* PEM; both or neither */
        size_t cert_len, key_len;
        char *token;     /* bearer, without white space around; or NULL */
        bool is_kubelet; /* the certificate's subject has O=system:nodes: it may read its own Node and little else */
        char cluster[HASH_HEX + 1]; /* SHA-256 of the CA's certificates (DER, in their order), of the server's URL where
                                     * there is none: part of a cache's key */
        ApiIdentityFile files[API_IDENTITY_FILES];
} ApiIdentity;

/* Reads a kubeconfig. allow_insecure: insecure-skip-tls-verify is obeyed, else it is -EPERM with a message that names
 * the configuration key `[api] allow_insecure`. A token must be one line of visible ASCII (-EBADMSG), as must be what
 * is left of a token file without the white space around. Certificates and key are parsed by libcrypto, and the first
 * certificate of the file, which is the one presented, must belong to the key, which must not be encrypted (-EBADMSG: a
 * rotation caught in the middle is tried again by the caller); a certificate that is not valid now is -EKEYEXPIRED. A
 * combined PEM file (certificate and key in one, as kubelet-client-current.pem) serves as both. -ENOENT and the like
 * name the file. -EOPNOTSUPP: as kubeconfig_read. Messages never tell a secret; secrets are wiped before their memory
 * is freed. */
int api_identity_read(const char *path, bool allow_insecure, ApiIdentity *ret, Err *err);

/* Whether one of its files looks different now (stat; a file that is gone has changed). Cheap. */
bool api_identity_has_changed(const ApiIdentity *identity);

/* Whether two are the same to a server and its connections: everything but the files' times. */
bool api_identity_equal(const ApiIdentity *a, const ApiIdentity *b);

void api_identity_done(ApiIdentity *identity);
#define _cleanup_api_identity_ _cleanup_(api_identity_done)
