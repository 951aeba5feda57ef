/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

int err_set(Err *err, int code, const char *format, ...) {
        va_list ap;

        if (!err || err->message[0])
                return code;
        va_start(ap, format);
        (void)vsnprintf(err->message, sizeof(err->message), format, ap);
        va_end(ap);
        utf8_flatten(err->message);
        return code;
}

int err_errno(Err *err, int code, const char *format, ...) {
        va_list ap;
        size_t used;

        if (!err || err->message[0])
                return code;
        va_start(ap, format);
        (void)vsnprintf(err->message, sizeof(err->message), format, ap);
        va_end(ap);
        used = strlen(err->message);
        (void)snprintf(err->message + used, sizeof(err->message) - used, ": %s", strerrordesc_np(-code));
        utf8_flatten(err->message);
        return code;
}

int err_wrap(Err *err, int code, const char *format, ...) {
        char outer[ERR_MAX];
        char inner[ERR_MAX];
        va_list ap;

        if (!err)
                return code;
        va_start(ap, format);
        (void)vsnprintf(outer, sizeof(outer), format, ap);
        va_end(ap);
        memcpy(inner, err->message, sizeof(inner));
        /* Cutting is what the buffer's contract says. */
        if (snprintf(err->message, sizeof(err->message), "%s: %s", outer, inner) < 0)
                err->message[0] = 0;
        utf8_flatten(err->message);
        return code;
}

int err_oom(Err *err) {
        return err_set(err, -ENOMEM, "out of memory");
}
