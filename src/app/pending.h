/* SPDX-License-Identifier: Apache-2.0 */
/* When a directory that somebody writes to may be read: its writers have closed their files and it has been quiet for a
 * moment. A writer that holds its file open is waited for, but not for ever. Pure. */
#pragma once

#include "base/util.h"

enum {
        PENDING_QUIET = 200, /* milliseconds without an event */
        PENDING_PATIENCE = 5 *
                           1000,  /* milliseconds after the first event after which an open file is no reason to wait */
        PENDING_WRITERS_MAX = 64, /* names that are remembered; more are not waited for */
};

typedef struct Pending {
        bool due;            /* something has to be read */
        bool at_once;        /* without waiting for quiet, but for writers */
        int64_t first, last; /* event, milliseconds */
        char *writers[PENDING_WRITERS_MAX];
        size_t n_writers;
} Pending;

void pending_changed(Pending *p, int64_t now);
void pending_writing(Pending *p, const char *name, int64_t now); /* out of memory: the name is not waited for */
void pending_closed(Pending *p, const char *name, int64_t now);
void pending_now(Pending *p);

/* When it may be read (milliseconds; in the past: now), or -1 if nothing is due. */
int64_t pending_time(const Pending *p);

/* It is being read: nothing is due any more, and nobody is waited for any more. */
void pending_take(Pending *p);
void pending_done(Pending *p);
