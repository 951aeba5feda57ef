/* SPDX-License-Identifier: Apache-2.0 */
#include "base/util.h"

bool array_grow(void *items_ptr, size_t n, size_t *cap, size_t item_size) {
        void **items = items_ptr;
        size_t want;
        void *grown;

        if (n < *cap)
                return true;
        want = *cap ? *cap * 2 : 8;
        if (want > SIZE_MAX / item_size)
                return false;
        grown = realloc(*items, want * item_size);
        if (!grown)
                return false;
        *items = grown;
        *cap = want;
        return true;
}

enum { DISTANCE_MAX = 64 };

static int fold(char c) {
        return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : (unsigned char)c;
}

unsigned edit_distance(const char *a, const char *b) {
        unsigned row[DISTANCE_MAX + 1];
        size_t la = strnlen(a, DISTANCE_MAX), lb = strnlen(b, DISTANCE_MAX);

        for (size_t j = 0; j <= lb; j++)
                row[j] = (unsigned)j;
        for (size_t i = 1; i <= la; i++) {
                unsigned diagonal = row[0];

                row[0] = (unsigned)i;
                for (size_t j = 1; j <= lb; j++) {
                        unsigned replace = diagonal + (fold(a[i - 1]) != fold(b[j - 1]));
                        unsigned best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;

                        diagonal = row[j];
                        row[j] = replace < best ? replace : best;
                }
        }
        return row[lb];
}

const char *nearest_name(const char *word, size_t n, const char *(*name_at)(const void *names, size_t i),
                         const void *names) {
        const char *best = NULL;
        unsigned best_distance = 0;

        for (size_t i = 0; i < n; i++) {
                const char *name = name_at(names, i);
                unsigned d = edit_distance(word, name);

                /* A third of the word may differ; more is a guess that misleads. */
                if (d > (strlen(word) + 2) / 3)
                        continue;
                if (!best || d < best_distance) {
                        best = name;
                        best_distance = d;
                }
        }
        return best;
}
