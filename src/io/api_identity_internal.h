/* SPDX-License-Identifier: Apache-2.0 */
/* The PEM texts of an identity, looked at with libcrypto. Nothing is left in its error queue. */
#pragma once

#include "io/api_identity.h"

/* A PEM text, and the file and what it is there, for messages. */
typedef struct Pem {
        const char *file, *what;
        const char *text;
        size_t len;
} Pem;

/* SHA-256 of the certificates, in hex. -EBADMSG if there is none, or one that cannot be read. -ENOMEM. */
int pem_hash_certificates(const Pem *ca, char ret_hash[static HASH_HEX + 1], Err *err);

/* Whether certificate and key can be presented now; errors as api_identity_read has them. */
int pem_check_pair(const Pem *cert, const Pem *key, bool *ret_is_kubelet, Err *err);
