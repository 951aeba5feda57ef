/* SPDX-License-Identifier: Apache-2.0 */
/* The form of the generated table: one array of fields, in which every type has a run sorted by name. */
#pragma once

#include "core/schema.h"

typedef enum SchemaKind {
        SCHEMA_STRING,
        SCHEMA_BOOL,
        SCHEMA_INT32,
        SCHEMA_INT64,
        SCHEMA_INT_OR_STRING,
        SCHEMA_QUANTITY,
        SCHEMA_TIME,
        SCHEMA_BYTES,
        SCHEMA_ANY_OBJECT, /* of any content */
        SCHEMA_STRUCT,     /* of the field's type */
} SchemaKind;

typedef enum SchemaShape { SCHEMA_ONE, SCHEMA_LIST, SCHEMA_MAP } SchemaShape;

typedef struct SchemaField {
        const char *name;
        uint8_t shape; /* SchemaShape; the kind is that of the items */
        uint8_t kind;  /* SchemaKind */
        uint16_t type; /* SCHEMA_STRUCT: index into schema_types */
} SchemaField;

struct SchemaType {
        const char *name;
        uint16_t first, n; /* fields */
};

extern const SchemaType schema_types[]; /* sorted by name */
extern const uint16_t schema_types_count;
extern const SchemaField schema_fields[];
