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

static bool is_cut(const char *s, size_t n) {
        size_t want = (s[0] & 0xe0) == 0xc0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : (s[0] & 0xf8) == 0xf0 ? 4 : 1;

        for (size_t i = 1; i < n; i++)
                if ((s[i] & 0xc0) != 0x80)
                        return false;
        return n < want;
}

static bool is_control(const char *s, size_t length) {
        unsigned char a = (unsigned char)s[0], b, c;

        if (length == 1)
                return a < 0x20 || a == 0x7f;
        b = (unsigned char)s[1];
        if (length == 2)
                return a == 0xc2 && b < 0xa0;
        c = (unsigned char)s[2];
        /* U+200E, U+200F, U+2028 to U+202E, U+2066 to U+2069. */
        return length == 3 && a == 0xe2 &&
               ((b == 0x80 && (c == 0x8e || c == 0x8f || (c >= 0xa8 && c <= 0xae))) ||
                (b == 0x81 && c >= 0xa6 && c <= 0xa9));
}

void utf8_flatten(char *s) {
        size_t n = strlen(s);
        char *to = s;

        while (n > 0) {
                size_t length = utf8_char(s, n), step = length ? length : 1;

                if (length == 0 && is_cut(s, n))
                        break;
                if (length == 0)
                        *to++ = '?';
                else if (is_control(s, length))
                        *to++ = ' ';
                else
                        for (size_t i = 0; i < length; i++)
                                *to++ = s[i];
                s += step;
                n -= step;
        }
        *to = 0;
}
