/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the local source: the last good objects of a file, as trees. */
#pragma once

#include "io/source_dir.h"

typedef struct SourceKey {
        ObjectKind kind;
        const char *namespace, *name;
} SourceKey;

/* What an object is called; false if it is none of ours. Borrows from the tree. */
bool source_key(const cJSON *object, SourceKey *ret);

/* The objects of one file that nothing usable defines now, each once, as one List. 1, 0 if there is none, or -ENOMEM.
 */
int source_stand_in_text(const LocalSnapshot *s, const cJSON *file, Buf *text);
