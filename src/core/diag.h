/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong with an input, and where: a list of errors and warnings, in the order found. */
#pragma once

#include "core/json.h"

typedef enum DiagLevel { DIAG_WARNING, DIAG_ERROR } DiagLevel;

typedef struct Diag {
        DiagLevel level;
        Place place;
        char *path;    /* the field, "spec.template.spec.containers[0].name"; "" for the whole */
        char *message; /* one line, without the path */
} Diag;

enum { DIAGS_MAX = 64 }; /* later ones are counted only */

typedef struct Diags {
        Diag *items;
        size_t n, cap;
        size_t n_errors, n_warnings; /* all, also those not kept */
        bool failed;                 /* out of memory: treat as an error */
} Diags;

void diag_add(Diags *d, DiagLevel level, Place place, const char *path, const char *format, ...) _printf_(5, 6);

/* Makes every warning an error. */
void diags_raise(Diags *d);

/* The first error, or NULL. */
const Diag *diag_first_error(const Diags *d);

/* "path: message", or the message alone without a path. */
void diag_text(const Diag *d, Buf *out);

void diags_done(Diags *d);
