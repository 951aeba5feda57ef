/* SPDX-License-Identifier: Apache-2.0 */
/* Directories and files that are watched by inotify, whatever becomes of them: deleted, replaced, moved, mounted over,
 * or not there yet. Knows paths and events, nothing of what they mean. Of a directory that is there, it and the one
 * right above are watched: who renames one further up, or turns a link there, is noticed by dirwatch_refresh only. */
#pragma once

#include "base/err.h"

typedef struct DirWatch DirWatch;

enum { DIRWATCH_MAX = 16 };

/* What happened to a target. */
typedef enum DirEvent {
        DIR_EVENT_CHANGED, /* an entry was created, deleted, renamed, closed after writing, or had its mode changed */
        DIR_EVENT_WRITING, /* an entry is being written by somebody who has not closed it */
        DIR_EVENT_CLOSED,  /* who wrote an entry has closed it */
        DIR_EVENT_LOST, /* events may have been missed, or the path names another directory now: look at everything */
} DirEvent;

/* name: the entry, or "" for the target itself; valid during the call. */
typedef void (*DirHandler)(void *user, unsigned target, DirEvent event, const char *name);

int dirwatch_new(DirHandler handler, void *user, DirWatch **ret, Err *err);
DirWatch *dirwatch_free(DirWatch *w);
DEFINE_CLEANUP(DirWatch *, dirwatch_free)

/* Watches the entries of a directory, or a single file (by its directory). Replaces what the target (a number below
 * DIRWATCH_MAX) watched before; path NULL: nothing. A path that is not there is waited for. 0 or -ENOMEM; what cannot
 * be watched makes dirwatch_is_blind true. */
int dirwatch_set(DirWatch *w, unsigned target, const char *path, bool is_file);

/* To poll for reading; then call dirwatch_read, which drains it and calls the handler. 0 or -errno. */
int dirwatch_fd(const DirWatch *w);
int dirwatch_read(DirWatch *w);

/* Looks whether every path still names what is watched, and watches anew what does not (after a mount, say). */
void dirwatch_refresh(DirWatch *w);

/* Something could not be watched (the limit of watches, say): the caller has to look by itself from time to time. */
bool dirwatch_is_blind(const DirWatch *w);
