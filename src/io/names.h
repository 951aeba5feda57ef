/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of names, sorted by bytes: what a directory holds. */
#pragma once

#include "base/util.h"

typedef struct Names {
        char **items;
        size_t n, cap;
} Names;

/* The names in an open directory that pass keep (NULL: all but "." and ".."), sorted by bytes. The descriptor's own
 * position is not used. 0, -ENOMEM, or the errno of a directory that could not be read to its end; on failure *ret is
 * untouched. */
int names_read(int dir_fd, bool (*keep)(const char *name), Names *ret);

/* Adds a copy at the end. 0 or -ENOMEM. */
int names_add(Names *names, const char *name);

/* Sorts by bytes; of equal names one stays. */
void names_sort_unique(Names *names);

void names_done(Names *names);
#define _cleanup_names_ _cleanup_(names_done)
