/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (libcrypto), in the forms that the project writes. */
#pragma once

#include "base/util.h"

enum {
        HASH_BYTES = 32,
        HASH_HEX = 2 * HASH_BYTES, /* digits; a string needs one byte more */
};

/* A piece of what is hashed; the pieces are hashed one after the other with nothing between them. */
typedef struct HashPart {
        const void *data;
        size_t len;
} HashPart;

/* Cannot fail. */
void hash_sha256(const HashPart *parts, size_t n, uint8_t ret_digest[static HASH_BYTES]);

/* The first `digits` lower-case hex digits of the digest, and a NUL. digits <= HASH_HEX and even. */
void hash_hex(const uint8_t digest[static HASH_BYTES], size_t digits, char *ret_text);

/* UUID version 8 (RFC 9562, custom) from the first 16 bytes of the digest: version and variant bits set, the rest as
 * it is. ret_text takes 36 characters and a NUL. */
void hash_uuid8(const uint8_t digest[static HASH_BYTES], char ret_text[static 37]);
