/* SPDX-License-Identifier: Apache-2.0 */
/* A growing byte buffer whose failure is sticky: write freely, ask once at the end. */
#pragma once

#include "base/util.h"

typedef struct Buf {
        char *data; /* always followed by a NUL when not NULL */
        size_t len; /* bytes without that NUL */
        size_t cap;
        bool failed; /* out of memory at some point; the content is then incomplete */
} Buf;

#define BUF_INIT                                                                                                       \
        { 0 }

void buf_add(Buf *b, const void *data, size_t n);
void buf_str(Buf *b, const char *s);
void buf_char(Buf *b, char c);
void buf_printf(Buf *b, const char *format, ...) _printf_(2, 3);

/* Empties the buffer; keeps its memory and clears the failure. */
void buf_reset(Buf *b);

/* The text so far; "" if nothing was written. Valid until the next write. */
const char *buf_text(const Buf *b);

/* Gives the text (never NULL on success) to the caller and empties the buffer; NULL if anything failed. */
char *buf_take(Buf *b, size_t *ret_len);

void buf_done(Buf *b);
#define _cleanup_buf_ _cleanup_(buf_done)
