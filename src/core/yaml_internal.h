/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of core/yaml share: scalars, libyaml's events as trees, and what libyaml's errors mean. */
#pragma once

#include "core/yaml.h"

#include <yaml.h>

typedef enum ScalarKind {
        SCALAR_STRING,
        SCALAR_NULL,
        SCALAR_TRUE,
        SCALAR_FALSE,
        SCALAR_INT,
        SCALAR_FLOAT, /* also of a whole value */
        SCALAR_INF,
        SCALAR_MINUS_INF,
        SCALAR_NAN,
} ScalarKind;

typedef struct Scalar {
        ScalarKind kind;
        const char *text; /* string, int, float: the string, or a JSON number; borrowed from the event or the scratch */
        size_t len;
} Scalar;

/* What a plain scalar without a tag is. The JSON number of an int or a float is left in the emptied *number, whose
 * failure the caller must look at. */
ScalarKind yaml_resolve(const char *text, size_t len, Buf *number);

/* A float as Kubernetes writes it where it is a key: like %g of 32 bits. False if that cannot be said without
 * rounding. */
bool yaml_float_key(const char *text, size_t len, Buf *out);

/* What a scalar event is, by its tag and style. *scratch holds what ret->text may point to. -EBADMSG, -ENOMEM. */
int yaml_scalar(const yaml_event_t *event, Buf *scratch, Scalar *ret, Err *err);

/* The scalar as a new item; NULL when out of memory. Not for .inf and .nan. */
cJSON *yaml_scalar_item(const Scalar *s);

/* The scalar as a key, given to the caller: numbers and booleans become strings as Kubernetes writes them.
 * -EBADMSG: there is no such string, -ENOMEM. */
int yaml_scalar_key(const Scalar *s, char **ret, Err *err);

/* The scalar that an item was made of. */
Scalar yaml_item_scalar(const cJSON *item);

/* Reads the documents of a text that is not JSON and appends them to *ret, which the caller frees also on failure.
 * first_line: the number of the text's first line. */
int yaml_read_documents(const char *text, size_t len, unsigned first_line, JsonDuplicate duplicate, void *user,
                        YamlStream *ret, Place *ret_place, Err *err);

/* Whether the text is UTF-8 of the characters that YAML allows; -EBADMSG with place and message if not. */
int yaml_check_text(const char *text, size_t len, unsigned first_line, Place *ret_place, Err *err);

/* Says where and what after libyaml failed: -EBADMSG or -ENOMEM. */
int yaml_explain(const yaml_parser_t *parser, const char *text, size_t len, unsigned first_line, Place *ret_place,
                 Err *err);

static inline Place yaml_place(const yaml_mark_t *mark, unsigned first_line) {
        return (Place){ .line = (unsigned)mark->line + first_line, .column = (unsigned)mark->column + 1 };
}
