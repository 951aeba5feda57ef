/* SPDX-License-Identifier: Apache-2.0 */
/* The low-level functions are deprecated in OpenSSL 3 in favour of EVP, but EVP's implicit fetch allocates, takes
 * locks, and goes on with half a state when memory runs out. These allocate nothing and cannot fail. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/hash.h"

#include <openssl/sha.h>

void hash_sha256(const HashPart *parts, size_t n, uint8_t ret_digest[static HASH_BYTES]) {
        SHA256_CTX ctx;

        (void)SHA256_Init(&ctx);
        for (size_t i = 0; i < n; i++)
                (void)SHA256_Update(&ctx, parts[i].data, parts[i].len);
        (void)SHA256_Final(ret_digest, &ctx);
}

void hash_hex(const uint8_t digest[static HASH_BYTES], size_t digits, char *ret_text) {
        static const char hex[] = "0123456789abcdef";

        for (size_t i = 0; i < digits; i++)
                ret_text[i] = hex[i % 2 ? digest[i / 2] & 15 : digest[i / 2] >> 4];
        ret_text[digits] = 0;
}

void hash_uuid8(const uint8_t digest[static HASH_BYTES], char ret_text[static 37]) {
        uint8_t b[HASH_BYTES];
        char hex[HASH_HEX + 1];

        memcpy(b, digest, sizeof(b));
        b[6] = (uint8_t)((b[6] & 0x0f) | 0x80);
        b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
        hash_hex(b, 32, hex);
        for (size_t i = 0, at = 0; i < 32; i++) {
                if (i == 8 || i == 12 || i == 16 || i == 20)
                        ret_text[at++] = '-';
                ret_text[at++] = hex[i];
        }
        ret_text[36] = 0;
}
