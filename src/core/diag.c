/* SPDX-License-Identifier: Apache-2.0 */
#include "core/diag.h"

#include <stdarg.h>
#include <stdio.h>

enum { TEXT_MAX = 1024 }; /* of a path or a message; both may quote what somebody else wrote */

/* A copy as one line of whole characters: what was quoted cannot forge a second line or move a terminal's cursor. */
static char *copy_line(const char *text) {
        size_t len = strnlen(text, TEXT_MAX);
        char *copy;

        while (len > 0 && text[len] && ((unsigned char)text[len] & 0xc0) == 0x80)
                len--;
        copy = strndup(text, len);
        if (!copy)
                return NULL;
        for (char *c = copy; *c; c++)
                if ((unsigned char)*c < 0x20 || *c == 0x7f)
                        *c = ' ';
        return copy;
}

/* When the list is full of warnings an error takes the place of the last one: it must not go unseen. */
static bool make_room(Diags *d, DiagLevel level) {
        size_t i = d->n;

        if (d->n < DIAGS_MAX) {
                d->failed |= !ARRAY_GROW(d->items, d->n, d->cap);
                return d->n < d->cap;
        }
        if (level != DIAG_ERROR)
                return false;
        while (i > 0 && d->items[i - 1].level == DIAG_ERROR)
                i--;
        if (i == 0)
                return false;
        free(d->items[i - 1].path);
        free(d->items[i - 1].message);
        memmove(&d->items[i - 1], &d->items[i], (d->n - i) * sizeof(*d->items));
        d->n--;
        return true;
}

void diag_add(Diags *d, DiagLevel level, Place place, const char *path, const char *format, ...) {
        char message[TEXT_MAX + 8]; /* room for the character that copy_line cuts at */
        Diag *item;
        va_list ap;

        if (level == DIAG_ERROR)
                d->n_errors++;
        else
                d->n_warnings++;
        if (!make_room(d, level))
                return;
        va_start(ap, format);
        (void)vsnprintf(message, sizeof(message), format, ap);
        va_end(ap);
        item = &d->items[d->n];
        *item = (Diag){
                .level = level, .place = place, .path = copy_line(str_or_empty(path)), .message = copy_line(message)
        };
        if (!item->path || !item->message) {
                free(item->path);
                free(item->message);
                d->failed = true;
                return;
        }
        d->n++;
}

const Diag *diag_first_error(const Diags *d) {
        for (size_t i = 0; i < d->n; i++)
                if (d->items[i].level == DIAG_ERROR)
                        return &d->items[i];
        return NULL;
}

void diag_text(const Diag *d, Buf *out) {
        if (d->path[0]) {
                buf_str(out, d->path);
                buf_str(out, ": ");
        }
        buf_str(out, d->message);
}

void diags_done(Diags *d) {
        for (size_t i = 0; i < d->n; i++) {
                free(d->items[i].path);
                free(d->items[i].message);
        }
        free(d->items);
        *d = (Diags){ 0 };
}

void diags_raise(Diags *d) {
        for (size_t i = 0; i < d->n; i++)
                d->items[i].level = DIAG_ERROR;
        d->n_errors += d->n_warnings;
        d->n_warnings = 0;
}
