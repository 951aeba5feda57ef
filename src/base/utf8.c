/* SPDX-License-Identifier: Apache-2.0 */
#include "base/utf8.h"

size_t utf8_char(const char *s, size_t n) {
        const unsigned char *p = (const unsigned char *)s;
        size_t length;

        if (p[0] < 0x80)
                return 1;
        length = p[0] >= 0xc2 && p[0] <= 0xdf ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : 0;
        if (length == 0 || length > n)
                return 0;
        for (size_t i = 1; i < length; i++)
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
        if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
            (p[0] == 0xf4 && p[1] > 0x8f))
                return 0;
        return length;
}

bool utf8_valid(const char *s, size_t n) {
        for (size_t i = 0; i < n;) {
                size_t length = utf8_char(s + i, n - i);

                if (length == 0)
                        return false;
                i += length;
        }
        return true;
}
