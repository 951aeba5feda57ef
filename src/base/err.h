/* SPDX-License-Identifier: Apache-2.0 */
/* The one error rule of the project.
 *
 * A function that can fail returns 0 or a negative errno and takes an `Err *err` as its last argument. The buffer
 * belongs to the caller, may be NULL, and holds one line for a person: what, where, why, what to do. The first
 * message wins; callers add context in front of it with err_wrap ("outer: inner"). An outcome that is expected is an
 * enum in the result, never an error. Nothing below app/ prints, logs above debug level, exits or aborts. */
#pragma once

#include "base/util.h"

enum { ERR_MAX = 1024 };

typedef struct Err {
        char message[ERR_MAX]; /* empty: nothing is wrong; else one line without newline, cut if longer */
} Err;

/* Sets the message unless one is set already; returns code, so that `return err_set(err, -EINVAL, ...)` reads well. */
int err_set(Err *err, int code, const char *format, ...) _printf_(3, 4);

/* As err_set, with ": " and the text of the errno -code behind it. */
int err_errno(Err *err, int code, const char *format, ...) _printf_(3, 4);

/* Puts "context: " in front of the message there; returns code. */
int err_wrap(Err *err, int code, const char *format, ...) _printf_(3, 4);

/* Out of memory: sets the fixed message and returns -ENOMEM. */
int err_oom(Err *err);
