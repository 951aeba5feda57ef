/* SPDX-License-Identifier: Apache-2.0 */
/* PriorityClasses: what number a name stands for. Pure. */
#pragma once

#include "core/json.h"

typedef struct PriorityClass {
        char *name;
        int64_t value;
} PriorityClass;

/* From the JSON of a PriorityClass. -EBADMSG (no name, or no whole number within 32 bits), -ENOMEM. */
int priority_class_read(const char *bytes, size_t len, PriorityClass *ret);
void priority_class_done(PriorityClass *c);

/* Its value in a list by name: true and *ret, or false. */
bool priority_class_find(const PriorityClass *classes, size_t n, const char *name, int64_t *ret);
