/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>

DEFINE_CLEANUP(EVP_MD_CTX *, EVP_MD_CTX_free)

int hash_sha256(const HashPart *parts, size_t n, uint8_t ret_digest[static HASH_BYTES]) {
        _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();

        if (!ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                if (EVP_DigestUpdate(ctx, parts[i].data, parts[i].len) != 1)
                        return -ENOMEM;
        return EVP_DigestFinal_ex(ctx, ret_digest, NULL) == 1 ? 0 : -ENOMEM;
}

void hash_hex(const uint8_t digest[static HASH_BYTES], size_t digits, char *ret_text) {
        static const char hex[] = "0123456789abcdef";

        for (size_t i = 0; i < digits; i++)
                ret_text[i] = hex[i % 2 ? digest[i / 2] & 15 : digest[i / 2] >> 4];
        ret_text[digits] = 0;
}

void hash_uuid8(const uint8_t digest[static HASH_BYTES], char ret_text[static 37]) {
        uint8_t b[16];
        char hex[33];

        memcpy(b, digest, sizeof(b));
        b[6] = (uint8_t)((b[6] & 0x0f) | 0x80);
        b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
        for (size_t i = 0; i < sizeof(b); i++)
                (void)snprintf(hex + 2 * i, 3, "%02x", b[i]);
        (void)snprintf(ret_text, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}
