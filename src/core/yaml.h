/* SPDX-License-Identifier: Apache-2.0 */
/* YAML, read as Kubernetes reads it, into the trees of core/json.h.
 *
 * The grammar is libyaml's (Kubernetes' own parser was ported from it); scalars resolve as in sigs.k8s.io/yaml
 * (YAML 1.1 of go-yaml v2): yes/no/on/off are booleans, 0755 and 0o755 are 493, 0x1F, 0b1, 1_000, .5, .inf and .nan
 * (the last two have no JSON form: an error), timestamps stay strings, quoted scalars and !!str are strings, !!binary
 * is decoded. (y and n are booleans too; such an item keeps the letter in its valuestring, and core/schema makes a
 * string of it where one belongs.) Integers keep their value and floats with a whole value become integers, as on
 * Kubernetes' way through JSON; other floats keep the text that the user wrote as far as it is a JSON number. Keys that
 * are integers or booleans become strings as there. Anchors, aliases and merge keys (<<) are expanded. A text whose
 * first character (after BOM and white space) is '{' is read as JSON, several documents one after the other; if it is
 * no JSON, as YAML. A UTF-8 BOM is skipped, CRLF is a line end. Pure. */
#pragma once

#include "core/json.h"

enum {
        YAML_ITEMS_MAX = 1000000,      /* values, keys and ends of lists that one text may hold: bounds the memory */
        YAML_ALIAS_ITEMS_MAX = 200000, /* items that all alias expansions of one text may make */
};

typedef struct YamlDocument {
        cJSON *root; /* never NULL; empty documents are left out */
} YamlDocument;

typedef struct YamlStream {
        YamlDocument *documents;
        size_t n, cap;
} YamlStream;

/* Reads a whole text. On failure nothing is returned; ret_place and err tell where and what (tabs used for indentation
 * and comments that start with two slashes are recognised and named). -EBADMSG: not YAML, or a limit passed (size,
 * depth, aliases); -ENOMEM. duplicate may be NULL. */
int yaml_read(const char *text, size_t len, JsonDuplicate duplicate, void *user, YamlStream *ret, Place *ret_place,
              Err *err);

void yaml_stream_done(YamlStream *s);
#define _cleanup_yaml_ _cleanup_(yaml_stream_done)

/* Writes a tree as one YAML document (block style, keys in their order, strings quoted wherever a YAML 1.1 reader could
 * take them for something else), without a leading "---". 0 or -ENOMEM. */
int yaml_write(const cJSON *item, Buf *out);
