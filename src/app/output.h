/* SPDX-License-Identifier: Apache-2.0 */
/* What a command prints on standard output: rows of named values, in any of the formats. A row is a JSON object; the
 * columns say which members a table shows. */
#pragma once

#include "app/options.h"
#include "core/json.h"

typedef struct Column {
        const char *header;
        const char *key;  /* member of the row; "namespace/name" joins the two */
        unsigned formats; /* FORMAT_BIT set in which the column is shown (table, wide, tsv) */
} Column;

/* Prints the rows (a JSON array, or for json and yaml any tree). Tables have kubectl's look; empty cells are "<none>"
 * there and empty in tsv; tabs, newlines and control characters become spaces; name prints NAMESPACE/NAME lines. 0,
 * -ENOMEM, or -EIO if standard output takes no more. */
int output_rows(const cJSON *rows, const Column *columns, size_t n_columns, Format format, Err *err);

/* Writes a text to standard output. 0 or -EIO. */
int output_text(const char *text, size_t len, Err *err);
