/* SPDX-License-Identifier: Apache-2.0 */
/* JSON trees: cJSON with places, exact numbers, strict reading and canonical writing.
 *
 * Every tree of the project obeys these rules, whether it was read from JSON or from YAML:
 *  - a number is a cJSON_Raw item whose valuestring is a JSON number as it was written (never a double);
 *  - the place (line and column, from 1) of a value is kept in the item's valuedouble (unused for such items), so it
 *    survives cJSON_Duplicate and cJSON_Detach; 0:0 where it is not known;
 *  - strings are valid UTF-8 without NUL; objects have no duplicate keys;
 *  - a tree is owned by one pointer; trees never share items and never contain references.
 * Pure: no clock, no files, no locale. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <cjson/cJSON.h>

enum {
        JSON_DEPTH_MAX = 100,             /* nesting of objects and arrays */
        JSON_SIZE_MAX = 10 * 1024 * 1024, /* bytes of one document or file */
};

typedef struct Place {
        unsigned line, column; /* from 1; 0 = unknown. Columns count characters, not bytes. */
} Place;

DEFINE_CLEANUP(cJSON *, cJSON_Delete)
#define _cleanup_json_ _cleanup_(cJSON_Deletep)

void json_set_place(cJSON *item, Place place);
Place json_place(const cJSON *item); /* 0:0 for NULL */

/* What a reader calls for each duplicate key that it drops; the last one wins (as Kubernetes' decoder has it). */
typedef void (*JsonDuplicate)(void *user, const char *key, Place dropped, Place kept);

/* Reads one JSON text, strictly by RFC 8259 (no comments, no trailing commas, no leading zeros, no control characters
 * in strings, valid UTF-8, \u0000 refused), at most JSON_DEPTH_MAX deep. Nothing but white space may follow. ret_end:
 * if not NULL, more text may follow and *ret_end is set behind the value (for concatenated documents). first: the place
 * of text[0], for messages and marks. -EBADMSG with the place in ret_place (may be NULL) and what is wrong in err;
 * -ENOMEM. */
int json_parse(const char *text, size_t len, Place first, JsonDuplicate duplicate, void *user, cJSON **ret,
               size_t *ret_end, Place *ret_place, Err *err);

/* Writes the tree in canonical form: keys sorted by bytes, no white space, list order kept, numbers as they are,
 * strings with only the escapes that JSON requires (\" \\ \b \f \n \r \t, \u00XX for other control characters), UTF-8
 * as it is. */
void json_canonical(const cJSON *item, Buf *out);

/* The canonical bytes as a string of its own, or NULL (out of memory). */
char *json_canonical_text(const cJSON *item, size_t *ret_len);

/* Drops all but the last of equal keys in every object of the tree and tells duplicate (may be NULL) of each. False
 * when out of memory. Readers have done it already. */
bool json_drop_duplicates(cJSON *item, JsonDuplicate duplicate, void *user);

/* The same value: numbers compared as written, objects regardless of the order of their keys. */
bool json_equal(const cJSON *a, const cJSON *b);

/* Lookups; all accept NULL and items of another type, and then answer NULL. Keys are case-sensitive. */
const cJSON *json_get(const cJSON *object, const char *key);
cJSON *json_get_mutable(cJSON *object, const char *key);
const cJSON *json_path(const cJSON *object, const char *dotted); /* "spec.template.spec"; no lists */
const char *json_string(const cJSON *object, const char *key);   /* NULL unless it is a string */
bool json_true(const cJSON *object, const char *key);            /* false unless it is true */
bool json_is_number(const cJSON *item);
/* Whether the number is a whole one within int64 (integer syntax only); *ret is then its value. */
bool json_int(const cJSON *item, int64_t *ret);

/* Building. All return NULL / false when out of memory, and leave the tree as it was. */
cJSON *json_new_number(const char *text); /* text: a JSON number, copied as it is */
cJSON *json_new_int(int64_t value);
bool json_add(cJSON *object, const char *key, cJSON *item); /* takes the item, also on failure; NULL item = failure */
bool json_add_string(cJSON *object, const char *key, const char *value);
bool json_append(cJSON *array, cJSON *item); /* takes the item, also on failure */
void json_delete(cJSON *object, const char *key);
/* Takes away all members but those with these keys, a list that ends with NULL; what is no object stays as it is. */
void json_keep(cJSON *object, const char *const *keys);
#define JSON_KEEP(object, ...) json_keep((object), (const char *const[]){ __VA_ARGS__, NULL })
/* Replaces the member, or adds it; takes the item, also on failure. */
bool json_put(cJSON *object, const char *key, cJSON *item);
