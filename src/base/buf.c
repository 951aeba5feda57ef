/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

static bool reserve(Buf *b, size_t more) {
        size_t want = b->len + more + 1;
        size_t cap = b->cap ? b->cap : 64;
        char *grown;

        if (b->failed)
                return false;
        if (want <= b->cap)
                return true;
        while (cap < want)
                cap *= 2;
        grown = realloc(b->data, cap);
        if (!grown) {
                b->failed = true;
                return false;
        }
        b->data = grown;
        b->cap = cap;
        return true;
}

void buf_add(Buf *b, const void *data, size_t n) {
        if (!reserve(b, n))
                return;
        if (n)
                memcpy(b->data + b->len, data, n);
        b->len += n;
        b->data[b->len] = 0;
}

void buf_str(Buf *b, const char *s) {
        buf_add(b, s, strlen(s));
}

void buf_char(Buf *b, char c) {
        buf_add(b, &c, 1);
}

void buf_printf(Buf *b, const char *format, ...) {
        va_list ap;
        int n;

        va_start(ap, format);
        n = vsnprintf(NULL, 0, format, ap);
        va_end(ap);
        if (n < 0) {
                b->failed = true;
                return;
        }
        if (!reserve(b, (size_t)n))
                return;
        va_start(ap, format);
        (void)vsnprintf(b->data + b->len, (size_t)n + 1, format, ap);
        va_end(ap);
        b->len += (size_t)n;
}

void buf_reset(Buf *b) {
        b->len = 0;
        b->failed = false;
        if (b->data)
                b->data[0] = 0;
}

const char *buf_text(const Buf *b) {
        return b->data ? b->data : "";
}

char *buf_take(Buf *b, size_t *ret_len) {
        char *text;

        buf_add(b, "", 0);
        if (b->failed)
                return NULL;
        text = b->data;
        if (ret_len)
                *ret_len = b->len;
        *b = (Buf)BUF_INIT;
        return text;
}

void buf_done(Buf *b) {
        free(b->data);
        *b = (Buf)BUF_INIT;
}
