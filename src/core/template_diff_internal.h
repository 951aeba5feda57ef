/* SPDX-License-Identifier: Apache-2.0 */
/* Internal to core/template_diff: where the walk through both templates stands, and what an absent field is worth. */
#pragma once

#include "core/json.h"
#include "core/schema_table.h"

enum { OURS, THEIRS, SIDES };

/* A value, and the way to it. Lives on the stack; a path is written only when a difference is told. */
typedef struct Spot {
        const struct Spot *up; /* NULL at the top */
        enum { SPOT_FIELD, SPOT_KEY, SPOT_INDEX } kind;
        const char *name; /* of the field, or the key */
        size_t index;
        const SchemaType *type;     /* of the objects below, once the walk is in them; else NULL */
        const cJSON *sides[SIDES];  /* what stands here; NULL: absent, or as good as that */
        const cJSON *before[SIDES]; /* in lists: the items before it */
} Spot;

/* The nearest object of the type around, or at, the spot; or NULL. */
const Spot *spot_within(const Spot *spot, const char *type);

/* Whether "", 0, false, or an empty object or list is something else than absence. */
bool template_zero_counts(const SchemaType *type, const SchemaField *field);

/* Whether pods are not made of it. */
bool template_is_ignored(const SchemaType *type, const SchemaField *field);

/* What an absent field of the object of that side means, as a text; or NULL. */
const char *template_default(const Spot *object, const SchemaField *field, int side);

/* The map in which an absent key of this map is looked up; or NULL. */
const cJSON *template_twin(const Spot *object, const SchemaField *field, int side);
