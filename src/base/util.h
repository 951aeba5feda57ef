/* SPDX-License-Identifier: Apache-2.0 */
/* Small helpers that every layer uses: cleanup attributes, ownership hand-over, string and size tests. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(fmt, args) __attribute__((format(printf, fmt, args)))
#define _pure_ __attribute__((pure))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Hands the pointer over to the caller and forgets it, so that a cleanup attribute frees nothing. */
#define TAKE_PTR(p)                                                                                                    \
        ({                                                                                                             \
                __auto_type take_tmp_ = (p);                                                                           \
                (p) = NULL;                                                                                            \
                take_tmp_;                                                                                             \
        })

/* Defines f##p(T **p), for use with _cleanup_, from a free function that accepts NULL. */
#define DEFINE_CLEANUP(type, f)                                                                                        \
        static inline void f##p(type *p) {                                                                             \
                if (*p)                                                                                                \
                        f(*p);                                                                                         \
        }

static inline void freep(void *p) {
        free(*(void **)p);
}
#define _cleanup_free_ _cleanup_(freep)

/* Equal strings; NULL equals NULL only. */
static inline bool streq(const char *a, const char *b) {
        return a == b || (a && b && strcmp(a, b) == 0);
}

static inline bool startswith(const char *s, const char *prefix) {
        return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* A string that may be NULL, as an empty one. */
static inline const char *str_or_empty(const char *s) {
        return s ? s : "";
}

/* Makes room for one more item in a growing array: (items, n) with the capacity in cap. False when out of memory;
 * the array is then as it was. */
bool array_grow(void *items_ptr, size_t n, size_t *cap, size_t item_size);
#define ARRAY_GROW(items, n, cap) array_grow(&(items), (n), &(cap), sizeof(*(items)))

/* Edit distance of two strings (insert, delete, replace), ignoring ASCII case; limited to 64 bytes each. */
unsigned edit_distance(const char *a, const char *b);

/* The nearest of n names to word, or NULL if none is near enough to be worth suggesting.
 * name_at(names, i) returns the i-th name. */
const char *nearest_name(const char *word, size_t n, const char *(*name_at)(const void *names, size_t i),
                         const void *names);
