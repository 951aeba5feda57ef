/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base64.h"

#include <errno.h>

static int digit(char c) {
        if (c >= 'A' && c <= 'Z')
                return c - 'A';
        if (c >= 'a' && c <= 'z')
                return c - 'a' + 26;
        if (c >= '0' && c <= '9')
                return c - '0' + 52;
        return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decodes into out, which may be NULL to check only. */
static bool scan(const char *text, size_t len, char *out, size_t *ret_len) {
        unsigned quantum = 0, digits = 0, padding = 0;
        size_t n = 0;

        for (size_t i = 0; i < len; i++) {
                int d = digit(text[i]);

                if (text[i] == '\r' || text[i] == '\n')
                        continue;
                if (text[i] == '=' && digits >= 2 && digits + padding < 4) {
                        padding++;
                        continue;
                }
                if (d < 0 || padding > 0)
                        return false;
                quantum = quantum << 6 | (unsigned)d;
                if (++digits < 4)
                        continue;
                for (unsigned byte = 0; byte < 3; byte++, n++)
                        if (out)
                                out[n] = (char)(quantum >> (16 - 8 * byte));
                quantum = digits = 0;
        }
        if (digits > 0) {
                if (digits + padding != 4)
                        return false;
                quantum <<= 6 * padding;
                for (unsigned byte = 0; byte + padding < 3; byte++, n++)
                        if (out)
                                out[n] = (char)(quantum >> (16 - 8 * byte));
        }
        *ret_len = n;
        return true;
}

bool base64_valid(const char *text, size_t len) {
        size_t n;

        return scan(text, len, NULL, &n);
}

int base64_decode(const char *text, size_t len, char **ret, size_t *ret_len) {
        char *out;
        size_t n;

        if (!scan(text, len, NULL, &n))
                return -EBADMSG;
        out = malloc(n + 1);
        if (!out)
                return -ENOMEM;
        (void)scan(text, len, out, &n);
        out[n] = 0;
        *ret = out;
        *ret_len = n;
        return 0;
}
