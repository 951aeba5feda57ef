/* SPDX-License-Identifier: Apache-2.0 */
#include "core/backoff.h"

/* Evenly from [low, high]. */
static int64_t draw(int64_t low, int64_t high, uint32_t random) {
        return low + (int64_t)(((uint64_t)(high - low + 1) * random) >> 32);
}

int64_t backoff_next(Backoff *b, uint32_t random) {
        int64_t span = BACKOFF_FIRST;

        for (unsigned i = 0; i < b->failures && span < BACKOFF_MAX; i++)
                span *= 2;
        if (span < BACKOFF_MAX)
                b->failures++;
        else
                span = BACKOFF_MAX;
        return draw(span / 5, span, random);
}

void backoff_reset(Backoff *b) {
        b->failures = 0;
}

int64_t backoff_jitter(int64_t base, uint32_t random) {
        return draw(base - base / 5, base + base / 5, random);
}
