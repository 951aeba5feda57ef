/* SPDX-License-Identifier: Apache-2.0 */
/* Exponential back-off with jitter: agents that lose their server together do not come back together. Pure: randomness
 * is a parameter. */
#pragma once

#include "base/util.h"

enum {                          /* milliseconds */
       BACKOFF_FIRST = 5000,    /* the longest first pause */
       BACKOFF_MAX = 60 * 1000, /* the longest pause of all */
};

typedef struct Backoff {
        unsigned failures; /* in a row */
} Backoff;

/* The pause before the next try, after one more failure: drawn evenly from [span / 5, span], where span starts at
 * BACKOFF_FIRST and doubles with each failure up to BACKOFF_MAX. random: 32 evenly distributed bits. */
int64_t backoff_next(Backoff *b, uint32_t random);

/* Something worked for long enough: the next failure is a first one. */
void backoff_reset(Backoff *b);

/* base, more or less by a fifth: for polling. */
int64_t backoff_jitter(int64_t base, uint32_t random);
